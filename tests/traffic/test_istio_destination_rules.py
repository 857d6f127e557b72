"""How the subsets of a DestinationRule follow the hashes, and when they have to wait for pods."""

from typing import Any

import pytest
from tests.traffic.istio_objects import (
    FIELD,
    HASH,
    MANAGER,
    PING_PONG,
    RULE,
    Mesh,
    destination_rule,
    extra,
    header,
    replica_set,
    rollout,
    subsets,
    to,
    virtual_service,
)

from prograde.core.plan import WaitReason

HASHES = {"canary_hash": "abc", "stable_hash": "def"}
UPDATED = "UpdatedDestinationRule DestinationRule web-dr subset updated (canary: {}, stable: {})"
WEIGHT = "Updated VirtualService VirtualService `web-vs` set to desiredWeight '{}'"


def subset(name: str, pod_hash: str = "", **fields: Any) -> dict[str, Any]:
    return {"name": name, **({"labels": {HASH: pod_hash}} if pod_hash else {}), **fields}


def mesh_of(*rule_subsets: Any, weights: tuple[int, int] = (100, 0), **rule_spec: Any) -> Mesh:
    return Mesh(virtual_service([subsets(*weights)]), destination_rule(*rule_subsets, **rule_spec))


SUBJECT = rollout(rule=RULE, canary={})


def test_subsets_get_the_hashes_and_the_rule_its_manager() -> None:
    canary = {"name": "canary", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}
    mesh = mesh_of({"name": "stable", "labels": {"version": "v3"}}, canary, trafficPolicy={"x": 1}, exportTo=["."])
    mesh.route(SUBJECT, 0, **HASHES)
    assert mesh.rule()["metadata"]["annotations"] == {MANAGER: "web"}
    assert mesh.rule()["spec"] == {
        "host": "web",
        "trafficPolicy": {"x": 1},
        "exportTo": ["."],
        "subsets": [
            {"name": "stable", "labels": {"version": "v3", HASH: "def"}},
            {**canary, "labels": {HASH: "abc"}},
        ],
    }
    assert mesh.writes == ["DestinationRule web-dr"]
    assert mesh.events == [UPDATED.format("abc", "def")]


@pytest.mark.parametrize("has_host", [True, False])
def test_a_rule_that_says_so_already_is_not_written(has_host: bool) -> None:
    mesh = mesh_of(subset("canary", "abc", trafficPolicy={}), subset("stable", "def"))
    mesh.rule()["metadata"]["annotations"] = {MANAGER: "web", "other": "x"}
    if not has_host:
        del mesh.rule()["spec"]["host"]
    mesh.route(SUBJECT, 0, **HASHES)
    assert mesh.writes == mesh.events == []


def test_the_annotation_alone_is_a_change() -> None:
    mesh = mesh_of(subset("canary", "abc"), subset("stable", "def"))
    mesh.rule()["metadata"]["annotations"] = {MANAGER: "former", "other": "x"}
    mesh.route(SUBJECT, 0, **HASHES)
    assert mesh.rule()["metadata"]["annotations"] == {MANAGER: "web", "other": "x"}
    assert mesh.events == [UPDATED.format("abc", "def")]


@pytest.mark.parametrize("labels", [{HASH: "abc"}, {HASH: "abc", "version": "v3"}, {HASH: ""}, {}])
def test_without_a_hash_the_label_goes_and_others_stay(labels: dict[str, str]) -> None:
    mesh = mesh_of({"name": "canary", "labels": labels}, subset("stable", "def"))
    mesh.route(SUBJECT, 0, canary_hash="", stable_hash="def")
    others = {key: labels[key] for key in labels if key != HASH}
    after = mesh.rule()["spec"]["subsets"][0]
    assert after.get("labels", {}) == others
    assert mesh.events == [UPDATED.format("", "def")]


def test_foreign_subsets_are_dropped_even_the_additional_ones() -> None:
    mesh = mesh_of(subset("legacy"), subset("canary"), subset("mine"), "odd", subset("stable"))
    mesh.route(rollout(rule={**RULE, "additionalSubsetNames": ["legacy"]}, canary={}), 0, **HASHES)
    assert mesh.hashes() == {"canary": "abc", "stable": "def"}


def test_missing_subsets_are_added() -> None:
    mesh = mesh_of(subset("stable"))
    mesh.route(SUBJECT, 0, **HASHES)
    assert mesh.rule()["spec"]["subsets"] == [subset("stable", "def"), subset("canary", "abc")]
    rule = destination_rule()
    del rule["spec"]["subsets"]
    mesh = Mesh(virtual_service([subsets()]), rule)
    mesh.route(SUBJECT, 0, **HASHES)
    assert mesh.rule()["spec"]["subsets"] == [subset("canary", "abc"), subset("stable", "def")]


def test_the_destinations_of_an_experiment_have_subsets_in_their_order() -> None:
    mesh = mesh_of(subset("canary"), {"name": "exp-b", "trafficPolicy": {}}, subset("stable"))
    extras = (extra("exp-c", 5, "333"), extra("exp-b", 5, "222"), extra("exp-a", 5, "111"), extra("", 5, "000"))
    mesh.route(SUBJECT, 10, **HASHES, additional=extras)
    assert mesh.rule()["spec"]["subsets"] == [
        subset("canary", "abc"),
        {"name": "exp-b", "trafficPolicy": {}, "labels": {HASH: "222"}},
        subset("stable", "def"),
        subset("exp-c", "333"),
        subset("exp-a", "111"),
    ]
    mesh.route(SUBJECT, 10, **HASHES)
    assert mesh.hashes() == {"canary": "abc", "stable": "def"}


def test_a_destination_without_hash_has_one_subset() -> None:
    mesh = mesh_of(subset("canary"), subset("stable"), subset("exp"))
    mesh.route(SUBJECT, 10, **HASHES, additional=(extra("exp", 5), extra("new", 5)))
    assert mesh.hashes() == {"canary": "abc", "stable": "def", "exp": "", "new": ""}


# ---- Order ------------------------------------------------------------------------------------------------------


def test_the_hash_goes_before_the_weight() -> None:
    mesh = mesh_of(subset("canary"), subset("stable"))
    routed = mesh.route(SUBJECT, 10, **HASHES)
    assert len(routed.groups) == 2
    assert mesh.writes == ["DestinationRule web-dr", "VirtualService web-vs"]
    assert mesh.events == [UPDATED.format("abc", "def"), WEIGHT.format(10)]
    assert routed.verified is None


def test_the_weight_goes_before_the_hash_when_the_canary_is_replaced_by_one_without_pods() -> None:
    mesh = mesh_of(subset("canary", "old"), subset("stable", "def"), weights=(50, 50))
    mesh.route(SUBJECT, 0, canary_hash="new", stable_hash="def", weight_first=True)
    assert mesh.writes == ["VirtualService web-vs", "DestinationRule web-dr"]


def test_without_destination_rule_there_is_none_to_write() -> None:
    mesh = Mesh(virtual_service([{"route": [to("stable"), to("canary")]}]))
    routed = mesh.route(rollout(), 0, **HASHES, replica_sets=(replica_set("abc", 2, 0),))
    assert mesh.writes == ["VirtualService web-vs"]
    assert routed.error == ""


def test_a_missing_rule_is_an_error_and_no_weight_is_written() -> None:
    mesh = Mesh(virtual_service([subsets()]))
    routed = mesh.route(SUBJECT, 10, **HASHES)
    assert routed.error == (
        f"Rollout shop/web: {FIELD}: destinationrules.networking.istio.io "
        '"web-dr" not found in namespace "shop"'
    )  # fmt: skip
    assert routed.groups == ()
    assert mesh.events == ["DestinationRuleNotFound DestinationRule `web-dr` not found"]
    assert [event.type for event in routed.events] == ["Warning"]
    (wait,) = routed.waits
    assert (wait.reason, wait.object, wait.field) == (
        WaitReason.TRAFFIC_NOT_ROUTED,
        "DestinationRule web-dr",
        f"{FIELD}.destinationRule.name",
    )
    assert wait.remedy == "create the DestinationRule, or change the field"


def test_weights_that_come_first_are_written_without_the_rule() -> None:
    mesh = Mesh(virtual_service([subsets(50, 50)]))
    routed = mesh.route(SUBJECT, 0, **HASHES, weight_first=True)
    assert mesh.writes == ["VirtualService web-vs"]
    assert "web-dr" in routed.error


def test_a_weight_that_cannot_be_set_first_keeps_the_hash_back() -> None:
    mesh = Mesh(destination_rule(subset("canary", "old"), subset("stable", "def")))
    routed = mesh.route(SUBJECT, 0, canary_hash="new", stable_hash="def", weight_first=True)
    assert mesh.writes == []
    assert "web-vs" in routed.error


# ---- Waiting for pods -------------------------------------------------------------------------------------------


def delayed(subject: Any = SUBJECT, **intent: Any) -> tuple[str, list[str]]:
    """Return error and writes for subsets that select older hashes."""
    mesh = mesh_of(subset("canary", "x"), subset("stable", "y"))
    return mesh.route(subject, 10, **{**HASHES, **intent}).error, mesh.writes


WRITTEN = ("", ["DestinationRule web-dr", "VirtualService web-vs"])


def test_a_subset_is_not_switched_to_pods_that_are_not_there_and_no_weight_is_set() -> None:
    """This is how a fast rollback to a revision that is partly scaled down begins."""
    mesh = mesh_of(subset("canary", "x"), subset("stable", "def"))
    routed = mesh.route(SUBJECT, 100, **HASHES, replica_sets=(replica_set("abc", 3, 1), replica_set("def", 3, 3)))
    assert routed.error == "delaying destination rule switch: ReplicaSet web-abc not fully available"
    assert mesh.writes == mesh.events == []
    (wait,) = routed.waits
    assert wait.reason == WaitReason.PODS_NOT_AVAILABLE
    assert wait.object == "ReplicaSet web-abc"
    assert wait.message == (
        "DestinationRule web-dr is switched to ReplicaSet web-abc once that has all its pods available: 1 of 3"
    )
    mesh.route(SUBJECT, 100, **HASHES, replica_sets=(replica_set("abc", 3, 3), replica_set("def", 3, 3)))
    assert mesh.writes == ["DestinationRule web-dr", "VirtualService web-vs"]


def test_the_stable_subset_waits_as_well() -> None:
    error, writes = delayed(replica_sets=(replica_set("def", 3, 2),))
    assert error == "delaying destination rule switch: ReplicaSet web-def not fully available"
    assert writes == []


@pytest.mark.parametrize("ping_pong", [{}, PING_PONG])
def test_only_services_of_fixed_roles_stand_for_pods(ping_pong: dict[str, Any]) -> None:
    assert delayed(rollout(rule=RULE, canary=ping_pong), replica_sets=(replica_set("abc", 3, 2),))[1] == []


@pytest.mark.parametrize("canary", [{"stableService": "s"}, {"canaryService": "c"}, None])
def test_with_services_nothing_is_delayed(canary: dict[str, Any] | None) -> None:
    assert delayed(rollout(rule=RULE, canary=canary), replica_sets=(replica_set("abc", 3, 0),)) == WRITTEN


@pytest.mark.parametrize(
    "each",
    [replica_set("other", 3, 0), replica_set("abc", 0, 0), replica_set("abc", 3, 3), replica_set("x", 3, 1)],
    ids=["unrelated", "without pods", "complete", "left behind"],
)
def test_other_replica_sets_delay_nothing(each: Any) -> None:
    assert delayed(replica_sets=(each,)) == WRITTEN


def test_on_the_way_back_the_canary_delays_nothing() -> None:
    assert delayed(replica_sets=(replica_set("abc", 3, 1),), is_going_back=True) == WRITTEN
    assert delayed(canary_hash="", replica_sets=(replica_set("abc", 3, 1),), is_going_back=True) == WRITTEN
    assert delayed(replica_sets=(replica_set("def", 3, 1),), is_going_back=True)[1] == []


def test_a_subset_that_is_switched_already_delays_nothing() -> None:
    mesh = mesh_of(subset("canary", "abc"), subset("stable", "def"))
    replica_sets = (replica_set("abc", 3, 1), replica_set("def", 3, 2))
    assert mesh.route(SUBJECT, 20, **HASHES, replica_sets=replica_sets).error == ""
    assert mesh.events == [UPDATED.format("abc", "def"), WEIGHT.format(20)]


def test_an_incomplete_stable_version_does_not_keep_a_new_canary_from_being_known() -> None:
    mesh = mesh_of(subset("canary", "x"), subset("stable", "def"))
    replica_sets = (replica_set("abc", 0, 0), replica_set("def", 3, 2))
    assert mesh.route(SUBJECT, 0, **HASHES, replica_sets=replica_sets).error == ""
    assert mesh.hashes() == {"canary": "abc", "stable": "def"}


def test_managed_routes_wait_for_the_switch_too() -> None:
    mesh = mesh_of(subset("canary", "x"), subset("stable", "def"))
    subject = rollout(rule=RULE, canary={}, managed=["h"])
    mesh.route(subject, 0, **HASHES, routes=(header("h"),), replica_sets=(replica_set("abc", 3, 2),))
    assert mesh.writes == []


def test_a_canary_that_gets_no_request_is_known_before_it_has_pods() -> None:
    """Otherwise the pods of a broken version would be waited for without end, and without a deadline."""
    mesh = mesh_of(subset("canary", "x"), subset("stable", "def"))
    assert mesh.route(SUBJECT, 0, **HASHES, replica_sets=(replica_set("abc", 1, 0),)).error == ""
    assert mesh.hashes() == {"canary": "abc", "stable": "def"}


def test_the_stable_version_has_pods_before_it_is_known_whatever_the_canary_gets() -> None:
    mesh = mesh_of(subset("canary", "abc"), subset("stable", "y"))
    assert "web-def" in mesh.route(SUBJECT, 0, **HASHES, replica_sets=(replica_set("def", 3, 2),)).error
    assert mesh.writes == []


def test_weights_that_come_first_do_not_wait_for_pods() -> None:
    mesh = mesh_of(subset("canary", "old"), subset("stable", "def"), weights=(50, 50))
    routed = mesh.route(SUBJECT, 30, **HASHES, weight_first=True, replica_sets=(replica_set("abc", 3, 1),))
    assert mesh.writes == ["VirtualService web-vs"]
    assert routed.error == "delaying destination rule switch: ReplicaSet web-abc not fully available"
    assert mesh.hashes()["canary"] == "old"


def test_a_weight_that_is_gone_lets_the_hash_follow_at_once() -> None:
    mesh = mesh_of(subset("canary", "old"), subset("stable", "def"), weights=(50, 50))
    mesh.route(SUBJECT, 0, **HASHES, weight_first=True, replica_sets=(replica_set("abc", 1, 0),))
    assert mesh.writes == ["VirtualService web-vs", "DestinationRule web-dr"]
