"""How the weights of VirtualServices follow the intent."""

from typing import Any

import pytest
from tests.traffic.istio_objects import (
    PING_PONG,
    RULE,
    Mesh,
    both,
    destination_rule,
    extra,
    rollout,
    subsets,
    to,
    virtual_service,
)

HASHES = {"canary_hash": "abc", "stable_hash": "def"}


def weight_event(weight: int, name: str = "web-vs") -> str:
    return f"Updated VirtualService VirtualService `{name}` set to desiredWeight '{weight}'"


def test_only_the_named_route_changes() -> None:
    mesh = Mesh(virtual_service([both(name="primary"), both(name="secondary", stable=0, canary=100)]))
    mesh.route(rollout(routes=["primary"]), 10)
    assert mesh.weights("primary") == [90, 10]
    assert mesh.weights("secondary") == [0, 100]
    assert mesh.writes == ["VirtualService web-vs"]
    assert mesh.events == [weight_event(10)]


def test_right_weights_are_not_written_again() -> None:
    mesh = Mesh(virtual_service([both(90, 10)]))
    mesh.route(rollout(), 10)
    assert mesh.writes == mesh.events == []


def test_all_that_is_not_a_weight_survives() -> None:
    route = both(
        name="primary",
        retries={"attempts": 3},
        corsPolicy={"maxAge": "24h"},
        headers={"request": {"set": {"x": "y"}}},
        unheard_of=[1, {"a": None}],
    )
    route["route"][1]["headers"] = {"response": {"add": {"via": "canary"}}}
    before = virtual_service([route], gateways=["gw"], exportTo=["."])
    mesh = Mesh(before)
    mesh.route(rollout(), 10)
    expected = {**route, "route": [to("stable", 90), {**route["route"][1], "weight": 10}]}
    assert mesh.http() == [expected]
    assert mesh.spec() == {**before["spec"], "http": [expected]}


def test_an_unnamed_route_beside_a_managed_one_is_the_base() -> None:
    mesh = Mesh(virtual_service([{"name": "foo", "route": [to("elsewhere", 100)]}, both()]))
    subject = rollout(managed=["foo"])
    mesh.route(subject, 10)
    assert mesh.names() == [None]
    assert mesh.weights() == [90, 10]


@pytest.mark.parametrize("managed", [None, ["foo"]], ids=["nothing managed", "something managed"])
def test_a_single_named_route_need_not_be_listed(managed: list[str] | None) -> None:
    mesh = Mesh(virtual_service([both(name="primary")]))
    mesh.route(rollout(managed=managed), 10)
    assert mesh.weights("primary") == [90, 10]


def test_the_only_route_is_never_removed_even_if_it_is_listed_as_managed() -> None:
    mesh = Mesh(virtual_service([both(name="primary")]))
    mesh.route(rollout(managed=["primary"]), 10)
    mesh.route(rollout(managed=["primary"], routes=["primary"]), 20)
    assert mesh.names() == ["primary"]
    assert mesh.weights("primary") == [80, 20]


def test_hosts_may_be_written_in_full() -> None:
    route = {"route": [to("stable.default.svc.cluster.local", 100), to("canary.default.svc.cluster.local", 0)]}
    mesh = Mesh(virtual_service([route]))
    mesh.route(rollout(), 10)
    assert mesh.weights() == [90, 10]


def tls(*hosts: str, port: int | None = None) -> dict[str, Any]:
    return both(match=[{"sniHosts": [host], **({} if port is None else {"port": port})} for host in hosts])


def test_a_tls_route_is_found_by_its_hosts_in_any_order() -> None:
    mesh = Mesh(virtual_service(tls=[tls("a", "b", "c"), tls("a", "b", "c", port=3001), tls("a", "b")]))
    mesh.route(rollout(tlsRoutes=[{"sniHosts": ["c", "a", "b"]}]), 10)
    assert [[target["weight"] for target in route["route"]] for route in mesh.spec()["tls"]] == [
        [90, 10],
        [100, 0],
        [100, 0],
    ]


def test_a_tcp_route_is_found_by_its_port() -> None:
    mesh = Mesh(virtual_service(tcp=[both(match=[{"port": 3000}]), both(match=[{"port": 3001}])]))
    mesh.route(rollout(tcpRoutes=[{"port": 3000}]), 10)
    assert [route["route"][1]["weight"] for route in mesh.spec()["tcp"]] == [10, 0]


def test_routes_of_all_kinds_are_one_write() -> None:
    mesh = Mesh(virtual_service([both()], tls=[both()], tcp=[both()]))
    mesh.route(rollout(), 10)
    for kind in ("http", "tls", "tcp"):
        assert mesh.weights(kind=kind) == [90, 10]
    assert mesh.writes == ["VirtualService web-vs"]
    assert mesh.events == [weight_event(10)]


@pytest.mark.parametrize("spec", [{"http": "text", "tls": [both()]}, {"http": None, "tls": [both()], "tcp": []}])
def test_a_section_that_is_no_list_is_left_alone(spec: dict[str, Any]) -> None:
    mesh = Mesh(virtual_service(**spec))
    mesh.route(rollout(), 10)
    assert mesh.spec().get("http") == spec["http"]
    assert mesh.weights(kind="tls") == [90, 10]


@pytest.mark.parametrize(
    ("status", "ping", "pong"),
    [({}, 10, 90), ({"canary": {"stablePingPong": "pong"}}, 10, 90), ({"canary": {"stablePingPong": "ping"}}, 90, 10)],
)
def test_with_ping_pong_the_status_says_who_is_stable(status: dict[str, Any], ping: int, pong: int) -> None:
    mesh = Mesh(virtual_service([{"route": [to("ping"), to("pong")]}]))
    mesh.route(rollout(canary=PING_PONG, status=status), 10)
    assert mesh.weights() == [ping, pong]


def test_a_destination_that_stands_for_both_is_the_canary() -> None:
    targets = [to("web", 100, "stable"), to("canary", 0, "stable"), to("web", 0, "canary")]
    mesh = Mesh(virtual_service([{"route": targets}]), destination_rule())
    mesh.route(rollout(rule=RULE), 10, **HASHES)
    assert mesh.weights() == [90, 10, 10]


def test_subsets_split_the_traffic_of_one_host() -> None:
    mesh = Mesh(virtual_service([subsets()]), destination_rule())
    mesh.route(rollout(rule=RULE, canary={}), 10, **HASHES)
    assert mesh.weights() == [90, 10]


@pytest.mark.parametrize(
    ("canary", "host"),
    [({}, "web"), ({}, "legacy"), (None, "legacy"), (None, "stable"), (None, "canary")],
    ids=["same host", "own host", "own host, Services", "host of the stable Service", "host of the canary Service"],
)
def test_additional_subsets_keep_their_weight(canary: dict[str, Any] | None, host: str) -> None:
    route = {"route": [to("web", 80, "stable"), to("web", 0, "canary"), to(host, 20, "stable-subset")]}
    mesh = Mesh(virtual_service([route]), destination_rule())
    subject = rollout(rule={**RULE, "additionalSubsetNames": ["stable-subset"]}, canary=canary)
    mesh.route(subject, 10, **HASHES)
    assert mesh.weights() == [70, 10, 20]
    mesh.route(subject, 100, **HASHES)
    assert mesh.weights() == [0, 100, 20]


def test_the_subsets_of_the_two_versions_are_never_additional() -> None:
    mesh = Mesh(virtual_service([subsets()]), destination_rule())
    subject = rollout(rule={**RULE, "additionalSubsetNames": ["canary", "stable"]}, canary={})
    mesh.route(subject, 10, **HASHES)
    assert mesh.weights() == [90, 10]


def test_a_further_destination_may_come_without_any_other_change() -> None:
    mesh = Mesh(virtual_service([both(80, 10)]))
    mesh.route(rollout(), 10, additional=(extra("exp", 10),))
    assert mesh.weights() == [80, 10, 10]


def test_further_destinations_come_change_and_go() -> None:
    primary = both(name="primary", retries={"attempts": 3})
    for target in primary["route"]:
        target["destination"]["port"] = {"number": 8443}
    mesh = Mesh(virtual_service([primary]))
    mesh.route(rollout(), 10, additional=(extra("exp-svc", 20),))
    assert mesh.http() == [
        {
            **primary,
            "route": [
                to("stable", 70, port=8443),
                to("canary", 10, port=8443),
                to("exp-svc", 20),
            ],
        }
    ]
    mesh.route(rollout(), 10, additional=(extra("exp-svc", 10),))
    assert mesh.weights() == [80, 10, 10]
    mesh.route(rollout(), 10)
    assert mesh.weights() == [90, 10]
    assert mesh.writes == ["VirtualService web-vs"] * 3
    assert mesh.events == [weight_event(10)] * 3


def test_further_destinations_are_appended_by_name_and_removed_together() -> None:
    mesh = Mesh(virtual_service([both(90, 10)]))
    mesh.route(rollout(), 10, additional=(extra("exp-b", 5), extra("exp-a", 10), extra("exp-c", 0)))
    assert mesh.http()[0]["route"] == [to("stable", 75), to("canary", 10), to("exp-a", 10), to("exp-b", 5)]
    mesh.route(rollout(), 10)
    assert mesh.http() == [both(90, 10)]


def test_a_further_destination_without_service_gets_no_host_and_no_share() -> None:
    mesh = Mesh(virtual_service([both()]))
    mesh.route(rollout(), 10, additional=(extra("", 20),))
    assert mesh.http() == [both(90, 10)]


def test_a_further_destination_that_is_named_twice_is_kept_once() -> None:
    mesh = Mesh(virtual_service([{"route": [to("stable", 80), to("canary", 0), to("exp", 10), to("exp", 10)]}]))
    mesh.route(rollout(), 10, additional=(extra("exp", 20),))
    assert mesh.http()[0]["route"] == [to("stable", 70), to("canary", 10), to("exp", 20)]


def test_strangers_go_unless_they_have_no_traffic() -> None:
    route = {"route": [to("idle", 0), to("stable", 50), to("stranger", 50), to("canary"), to("silent"), to("", 5)]}
    mesh = Mesh(virtual_service([route]))
    mesh.route(rollout(), 0)
    assert mesh.http()[0]["route"] == [to("idle", 0), to("stable", 100), to("canary"), to("silent"), to("", 5)]


def test_the_stable_share_is_never_negative() -> None:
    mesh = Mesh(virtual_service([both()]))
    mesh.route(rollout(), 90, additional=(extra("exp", 20),))
    assert mesh.weights() == [0, 90, 20]


def test_a_router_beside_it_may_count_finer_than_percent() -> None:
    mesh = Mesh(virtual_service([both()]))
    mesh.route(rollout(), 255, max_weight=1000, additional=(extra("exp", 100),))
    assert mesh.weights() == [65, 25, 10]
    assert mesh.events == [weight_event(25)]


def test_a_base_beside_a_managed_mirror_gets_its_weight_without_being_listed() -> None:
    mirrored = {"name": "mirror-1", "mirror": {"host": "canary"}, **both()}
    for base in (both(), both(name="base")):
        mesh = Mesh(virtual_service([mirrored, base]))
        mesh.route(rollout(managed=["mirror-1"]), 10)
        assert mesh.http() == [{**base, **both(90, 10)}]


# ---- Several VirtualServices ------------------------------------------------------------------------------------


def test_each_virtual_service_has_its_own_routes() -> None:
    mesh = Mesh(
        virtual_service([both(name="a"), both(name="b")], name="one"),
        virtual_service([both(name="a"), both(name="b")], name="two"),
    )
    subject = rollout(others=[{"name": "one", "routes": ["a"]}, {"name": "two", "routes": ["b"]}])
    mesh.route(subject, 10)
    assert mesh.weights("a", virtual_service="one") == [90, 10]
    assert mesh.weights("b", virtual_service="one") == [100, 0]
    assert mesh.weights("a", virtual_service="two") == [100, 0]
    assert mesh.weights("b", virtual_service="two") == [90, 10]
    assert mesh.events == [weight_event(10, "one"), weight_event(10, "two")]


def test_a_virtual_service_that_is_named_twice_is_written_once() -> None:
    mesh = Mesh(virtual_service([both(name="a"), both(name="b"), both(name="c")], tcp=[both(match=[{"port": 5}])]))
    subject = rollout(
        others=[
            {"name": "web-vs", "routes": ["a"]},
            {"name": "web-vs.shop", "routes": ["c"], "tcpRoutes": [{"port": 5}]},
        ]
    )
    mesh.route(subject, 10)
    assert [route["route"][1]["weight"] for route in mesh.http()] == [10, 0, 10]
    assert mesh.writes == ["VirtualService web-vs"]
    assert mesh.events == [weight_event(10)]


def test_a_virtual_service_may_be_in_another_namespace() -> None:
    route = {"route": [to("stable.shop.svc.cluster.local", 100), to("canary.shop.svc.cluster.local", 0)]}
    mesh = Mesh(virtual_service([route], namespace="ingress"), virtual_service([both()]))
    mesh.route(rollout(name="web-vs.ingress.cluster.local"), 10, additional=(extra("exp", 20),))
    assert mesh.http(namespace="ingress")[0]["route"] == [
        to("stable.shop.svc.cluster.local", 70),
        to("canary.shop.svc.cluster.local", 10),
        to("exp.shop.svc.cluster.local", 20),
    ]
    assert mesh.http() == [both()]
