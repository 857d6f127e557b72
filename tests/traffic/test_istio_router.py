"""Which objects the router of Istio asks for, what it says when it cannot route, and what holds for any objects."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.traffic.istio_objects import (
    FIELD,
    RULE,
    Mesh,
    both,
    destination_rule,
    extra,
    header,
    mirror,
    rollout,
    router_of,
    subsets,
    to,
    virtual_service,
)

from prograde.api.rollout import SetMirrorRoute
from prograde.core.objects import DESTINATION_RULES, VIRTUAL_SERVICES, ObjectRef
from prograde.core.plan import PatchObject, WaitReason
from prograde.traffic.istio import IstioRouter
from prograde.traffic.registry import routers_of

# ---- Objects ----------------------------------------------------------------------------------------------------


def test_the_router_asks_for_what_the_rollout_names() -> None:
    others = [{"name": "a"}, {"name": "b.c.other.cluster.local"}, {"name": "a.shop"}]
    assert router_of(rollout(others=others, rule=RULE)).wanted().refs == (
        ObjectRef(VIRTUAL_SERVICES, "shop", "a"),
        ObjectRef(VIRTUAL_SERVICES, "other", "b.c"),
        ObjectRef(DESTINATION_RULES, "shop", "web-dr"),
    )
    assert router_of(rollout()).wanted().refs == (ObjectRef(VIRTUAL_SERVICES, "shop", "web-vs"),)
    assert router_of(rollout(others=[])).wanted().refs == ()


def test_a_rollout_with_istio_gets_this_router() -> None:
    (router,) = routers_of(rollout())
    assert isinstance(router, IstioRouter)
    assert router.name == "Istio"


def test_a_patch_says_what_is_recorded_when_it_fails() -> None:
    mesh = Mesh(virtual_service([subsets()]), destination_rule())
    routed = mesh.ask(rollout(rule=RULE), 10, canary_hash="abc", stable_hash="def")
    failures = [action.failure for group in routed.groups for action in group if isinstance(action, PatchObject)]
    assert [(each.reason, each.type, each.message) for each in failures if each is not None] == [
        ("TrafficRoutingError", "Warning", "DestinationRule web-dr could not be updated"),
        ("TrafficRoutingError", "Warning", "VirtualService web-vs could not be updated"),
    ]


def test_a_patch_holds_only_what_changes() -> None:
    mesh = Mesh(virtual_service([both()], tcp=[both(10, 90)], gateways=["gw"]))
    routed = mesh.ask(rollout(), 90)
    (action,) = routed.groups[0]
    assert isinstance(action, PatchObject)
    assert action.patch == {"metadata": {"resourceVersion": "7"}, "spec": {"http": [both(10, 90)]}}


# ---- What cannot be routed --------------------------------------------------------------------------------------


def test_a_missing_virtual_service_is_an_error_and_the_others_are_written() -> None:
    mesh = Mesh(virtual_service([both()], name="two"))
    routed = mesh.route(rollout(others=[{"name": "one.other"}, {"name": "two"}]), 10)
    assert routed.error == (
        f'Rollout shop/web: {FIELD}: virtualservices.networking.istio.io "one" not found in namespace "other"'
    )
    assert mesh.weights(virtual_service="two") == [90, 10]
    assert mesh.events[-1] == "VirtualServiceNotFound VirtualService `one` not found"
    assert [(event.reason, event.type) for event in routed.events] == [("VirtualServiceNotFound", "Warning")]
    (wait,) = routed.waits
    assert wait.object == "VirtualService one"
    assert wait.reason == WaitReason.TRAFFIC_NOT_ROUTED


def test_every_virtual_service_that_cannot_be_routed_is_named() -> None:
    mesh = Mesh(virtual_service([{"route": [to("stable", 100)]}], name="two"))
    routed = mesh.route(rollout(others=[{"name": "one"}, {"name": "two"}]), 10)
    first, second = routed.error.split("; ")
    assert '"one" not found' in first
    assert second == (
        "VirtualService shop/two: Istio VirtualService has invalid HTTP routes. "
        "Error: Canary Service 'canary' not found in route"
    )
    assert [event.reason for event in routed.events] == ["VirtualServiceNotFound"]
    assert [wait.object for wait in routed.waits] == ["VirtualService one", "VirtualService two"]


ONLY_ONE = (
    "spec.http[] should be set in VirtualService and it must have exactly one route when omitting "
    "spec.strategy.canary.trafficRouting.istio.virtualService.routes"
)


@pytest.mark.parametrize(
    ("fields", "http", "text"),
    [
        ({}, [both(name="primary"), both(name="secondary")], ONLY_ONE),
        ({"routes": ["x"]}, [both(name="primary")], "HTTP Route 'x' is not found in the defined Virtual Service."),
        ({}, [{"route": []}], "Canary Service 'canary' not found in route"),
        ({"rule": RULE}, [both()], "Canary DestinationRule subset 'canary' not found in route"),
        ({"rule": RULE}, [{"route": [to("web", 1, "canary")]}],
         "Stable DestinationRule subset 'stable' not found in route"),
    ],
)  # fmt: skip
def test_routes_that_do_not_fit_are_an_error(fields: dict[str, Any], http: Any, text: str) -> None:
    mesh = Mesh(virtual_service(http), destination_rule())
    routed = mesh.route(rollout(**fields), 10)
    assert routed.error == (f"VirtualService shop/web-vs: Istio VirtualService has invalid HTTP routes. Error: {text}")
    assert "VirtualService web-vs" not in mesh.writes
    assert routed.events == ()
    assert routed.waits[-1].remedy == "change the routes of VirtualService web-vs"


@pytest.mark.parametrize(
    ("kind", "plural"), [(VIRTUAL_SERVICES, "virtualservices"), (DESTINATION_RULES, "destinationrules")]
)
def test_definitions_that_are_not_installed_are_an_error(kind: Any, plural: str) -> None:
    mesh = Mesh(virtual_service([subsets()]), destination_rule(), unserved=[kind])
    routed = mesh.route(rollout(rule=RULE), 10)
    assert routed.error == (
        f"Rollout shop/web: {FIELD}: the API server does not know {plural}.networking.istio.io: "
        "Istio's definitions are not installed"
    )
    assert mesh.writes == []
    assert [wait.remedy for wait in routed.waits] == [
        "install Istio, name the version that it serves by --istio-api-version, or route in another way"
    ]


def test_a_rule_whose_definition_is_missing_matters_only_if_one_is_named() -> None:
    mesh = Mesh(virtual_service([both()]), unserved=[DESTINATION_RULES])
    assert mesh.route(rollout(), 10).error == ""


# ---- For any objects --------------------------------------------------------------------------------------------

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANAGED = ["h1", "m1", "h2", "m2"]

noise = st.dictionaries(
    st.sampled_from(["retries", "timeout", "fault", "x"]),
    st.recursive(st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3), st.lists, max_leaves=3),
    max_size=2,
)
stranger = st.builds(to, st.sampled_from(["other", "old.shop.svc", "exp-a", "exp-z"]), st.integers(0, 60) | st.none())


@st.composite
def routes(draw: st.DrawFn, name: str | None = None) -> dict[str, Any]:
    """A route with one destination for each version, some others, and fields that mean nothing to us."""
    stable = {**to("stable", draw(st.integers(0, 100)), draw(st.sampled_from(["", "v1"]))), **draw(noise)}
    canary = {**to("canary.shop", draw(st.integers(0, 100) | st.none())), **draw(noise)}
    destinations = draw(st.permutations([stable, canary, *draw(st.lists(stranger, max_size=2))]))
    return {**draw(noise), **({} if name is None else {"name": name}), "route": destinations}


@st.composite
def virtual_services(draw: st.DrawFn) -> dict[str, Any]:
    """A VirtualService with a base, and with user's and managed routes around it."""
    others = draw(st.lists(st.builds(lambda fields, name: {**fields, **name}, noise, st.sampled_from(
        [{}, {"name": "mine"}, {"name": "also"}])), max_size=3))  # fmt: skip
    managed = draw(st.lists(st.sampled_from(MANAGED).flatmap(routes), max_size=3))
    http = draw(st.permutations([draw(routes("base")), *others, *managed]))
    tcp = draw(st.lists(routes(), max_size=1))
    return virtual_service(http, **draw(noise), **({"tcp": tcp} if tcp else {}))


@st.composite
def intents(draw: st.DrawFn) -> dict[str, Any]:
    weight = draw(st.integers(0, 100))
    first = draw(st.integers(0, 100 - weight))
    second = draw(st.integers(0, 100 - weight - first))
    extras = draw(st.sampled_from([(), (extra("exp-a", first),), (extra("exp-b", second), extra("exp-a", first))]))
    wanted = draw(st.sets(st.sampled_from(MANAGED)))
    chosen = tuple(header(name) if name.startswith("h") else mirror(name) for name in MANAGED if name in wanted)
    return {"weight": weight, "additional": extras, "routes": chosen}


@QUICK
@given(before=virtual_services(), intent=intents())
def test_any_virtual_service_is_brought_in_line_in_one_write(before: dict[str, Any], intent: dict[str, Any]) -> None:
    mesh = Mesh(before)
    weight = intent.pop("weight")
    routed = mesh.route(rollout(managed=MANAGED, routes=["base"]), weight, **intent)
    assert routed.error == ""
    assert len(mesh.writes) <= 1

    wanted = [route.name for route in intent["routes"]]
    http = mesh.http()
    made = [route for route in http if route.get("name") in MANAGED]
    assert [route["name"] for route in made] == wanted
    assert [route.get("name") for route in http].index("base") >= len(wanted)

    # Everything else is there once each, in the old order, and but for the base as it was.
    def is_base(route: dict[str, Any]) -> bool:
        return route.get("name") == "base"

    old = [route for route in before["spec"]["http"] if route.get("name") not in MANAGED]
    new = [route for route in http if route.get("name") not in MANAGED]
    assert [None if is_base(route) else route for route in new] == [None if is_base(route) else route for route in old]
    foreign = {key: value for key, value in before["spec"].items() if key not in ("http", "tcp")}
    assert {key: value for key, value in mesh.spec().items() if key not in ("http", "tcp")} == foreign

    mirrors = [made[position] for position, wish in enumerate(intent["routes"]) if isinstance(wish, SetMirrorRoute)]
    weighted = [next(filter(is_base, new)), *mirrors, *mesh.spec().get("tcp", [])]
    for route in weighted:
        shares: Counter[str] = Counter()
        for target in route["route"]:
            shares[target["destination"]["host"]] += target.get("weight") or 0
        assert shares.total() == 100
        assert shares["canary.shop"] == weight
        for each in intent["additional"]:
            assert shares[each.service_name] == each.weight
    base = next(filter(is_base, new))
    old_base = next(filter(is_base, old))
    assert {key: base[key] for key in base if key != "route"} == {key: old_base[key] for key in base if key != "route"}


rule_subsets = st.lists(
    st.builds(
        lambda name, labels, fields: {"name": name, **labels, **fields},
        st.sampled_from(["stable", "canary", "exp-a", "mine"]),
        st.sampled_from([{}, {"labels": {}}, {"labels": {"version": "v1", "rollouts-pod-template-hash": "old"}}]),
        noise,
    ),
    max_size=5,
)
hashes = st.sampled_from(["", "abc", "def", "old"])


@QUICK
@given(subsets_before=rule_subsets, canary=hashes, stable=hashes, exp=hashes, has_extra=st.booleans(), fields=noise)
def test_any_destination_rule_is_brought_in_line_in_one_write(
    subsets_before: list[Any], canary: str, stable: str, exp: str, has_extra: bool, fields: dict[str, Any]
) -> None:
    mesh = Mesh(virtual_service([subsets()]), destination_rule(*subsets_before, **fields))
    extras = (extra("exp-a", 0, exp),) if has_extra else ()
    mesh.route(rollout(rule=RULE), 0, canary_hash=canary, stable_hash=stable, additional=extras)
    assert mesh.writes == ["DestinationRule web-dr"]
    assert mesh.hashes() == {"canary": canary, "stable": stable, **({"exp-a": exp} if has_extra else {})}
    assert {key: mesh.rule()["spec"][key] for key in fields} == fields
    kept = [each for each in subsets_before if each["name"] in mesh.hashes()]
    for old, new in zip(kept, mesh.rule()["spec"]["subsets"], strict=False):
        assert {key: new[key] for key in old if key != "labels"} == {key: old[key] for key in old if key != "labels"}
        assert new.get("labels", {}).get("version") == old.get("labels", {}).get("version")
