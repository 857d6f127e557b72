"""How the header and mirror routes of a Rollout come into VirtualServices, and out of them."""

from typing import Any

import pytest
from tests.traffic.istio_objects import (
    RULE,
    Mesh,
    both,
    destination_rule,
    header,
    mirror,
    rollout,
    subsets,
    to,
    virtual_service,
)

from prograde.api.rollout import HeaderRoutingMatch, SetHeaderRoute, StringMatch

PREFIX = "Updated VirtualService VirtualService `web-vs` "
REMOVED_ALL = PREFIX + "removed all managed routes."
WEIGHT = PREFIX + "set to desiredWeight '{}'"
HEADER = PREFIX + "set headerRoute '{}'"
MIRROR = PREFIX + "set mirrorRoute '{}'"


def primary(stable: int = 100, canary: int = 0, port: int = 0) -> dict[str, Any]:
    return {
        "name": "primary",
        "retries": {},
        "route": [to("stable", stable, port=port), to("canary", canary, port=port)],
    }


# ---- Header routes ----------------------------------------------------------------------------------------------


def test_a_header_route_goes_before_all_others() -> None:
    mesh = Mesh(virtual_service([primary(port=8443), both(name="secondary")]))
    mesh.route(rollout(managed=["hdr-1"], routes=["primary"]), 0, routes=(header("hdr-1"),))
    assert mesh.http() == [
        {
            "name": "hdr-1",
            "match": [{"headers": {"agent": {"exact": "firefox"}}}],
            "route": [to("canary", 100, port=8443)],
        },
        primary(port=8443),
        both(name="secondary"),
    ]
    assert mesh.events == [HEADER.format("hdr-1")]


def test_a_header_route_is_there_once_whatever_changes() -> None:
    mesh = Mesh(virtual_service([primary()]))
    subject = rollout(managed=["hdr-1"])
    mesh.route(subject, 0, routes=(header("hdr-1"),))
    mesh.route(subject, 0, routes=(header("hdr-1"),))
    mesh.route(subject, 0, routes=(header("hdr-1", "chrome"),))
    assert mesh.names() == ["hdr-1", "primary"]
    assert mesh.http()[0]["match"] == [{"headers": {"agent": {"exact": "chrome"}}}]
    mesh.route(subject, 0)
    assert mesh.http() == [primary()]
    assert mesh.events == [HEADER.format("hdr-1"), HEADER.format("hdr-1"), REMOVED_ALL]


def test_the_matches_of_a_header_route_are_alternatives() -> None:
    route = SetHeaderRoute(
        name="hdr-1",
        match=(
            HeaderRoutingMatch(header_name="agent", header_value=StringMatch(exact="a")),
            HeaderRoutingMatch(header_name="agent", header_value=StringMatch(prefix="b", regex="c")),
            HeaderRoutingMatch(header_name="any"),
        ),
    )
    mesh = Mesh(virtual_service([primary()]))
    mesh.route(rollout(managed=["hdr-1"]), 0, routes=(route,))
    assert mesh.http()[0]["match"] == [
        {"headers": {"agent": {"exact": "a"}}},
        {"headers": {"agent": {"prefix": "b", "regex": "c"}}},
        {"headers": {"any": {}}},
    ]


def test_a_header_route_leads_to_the_host_and_the_subset_of_the_destination_rule() -> None:
    mesh = Mesh(virtual_service([subsets()]), destination_rule())
    mesh.route(rollout(rule=RULE, managed=["hdr-1"], canary={}), 0, routes=(header("hdr-1"),))
    assert mesh.http()[0]["route"] == [to("web", 100, "canary")]


def test_a_destination_rule_without_host_cannot_carry_a_header_route() -> None:
    rule = destination_rule()
    del rule["spec"]["host"]
    mesh = Mesh(virtual_service([subsets()]), rule)
    routed = mesh.route(rollout(rule=RULE, managed=["hdr-1"], canary={}), 0, routes=(header("hdr-1"),))
    text = "VirtualService shop/web-vs: its managed routes need a host, and DestinationRule web-dr has no spec.host"
    assert routed.error == text
    assert [wait.message for wait in routed.waits] == [text]
    assert mesh.http() == [subsets()]


def test_in_the_same_namespace_a_header_route_has_the_plain_name() -> None:
    route = {"route": [to("stable.shop.svc.cluster.local", 100), to("canary.shop.svc.cluster.local", 0)]}
    mesh = Mesh(virtual_service([route]))
    mesh.route(rollout(managed=["hdr-1"]), 0, routes=(header("hdr-1"),))
    assert mesh.http()[0]["route"] == [to("canary", 100)]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (("stable.shop.svc.cluster.local", "canary.shop.svc.cluster.local"), "canary.shop.svc.cluster.local"),
        (("stable", "canary"), "canary"),
    ],
)
def test_in_another_namespace_a_header_route_leads_where_the_base_does(hosts: tuple[str, str], expected: str) -> None:
    route = {"route": [to(hosts[0], 100), to(hosts[1], 0)]}
    mesh = Mesh(virtual_service([route], namespace="ingress"))
    mesh.route(rollout(name="web-vs.ingress", managed=["hdr-1"]), 0, routes=(header("hdr-1"),))
    assert mesh.http(namespace="ingress")[0]["route"] == [to(expected, 100)]


@pytest.mark.parametrize(
    ("host", "expected"), [("web", "web.shop.svc.cluster.local"), ("web.other.svc", "web.other.svc")]
)
def test_in_another_namespace_the_host_of_the_destination_rule_is_completed(host: str, expected: str) -> None:
    target = "web.shop.svc.cluster.local"
    route = {"route": [to(target, 100, "stable"), to(target, 0, "canary")]}
    mesh = Mesh(virtual_service([route], namespace="ingress"), destination_rule(host=host))
    subject = rollout(name="web-vs.ingress", rule=RULE, managed=["hdr-1"], canary={})
    mesh.route(subject, 0, routes=(header("hdr-1"),))
    assert mesh.http(namespace="ingress")[0]["route"] == [to(expected, 100, "canary")]


@pytest.mark.parametrize(("route", "kind"), [(header("r"), "Header"), (mirror("r"), "Mirror")])
def test_a_managed_route_needs_http_routes(route: Any, kind: str) -> None:
    mesh = Mesh(virtual_service(tcp=[both()]))
    routed = mesh.route(rollout(managed=["r"]), 10, routes=(route,))
    assert routed.error == (
        f"VirtualService shop/web-vs: [Set{kind}Route] failed to reconcile {kind.lower()} routes: spec.http not found"
    )
    assert mesh.writes == []


# ---- Mirror routes ----------------------------------------------------------------------------------------------


def test_a_mirror_route_copies_the_destinations_of_its_base() -> None:
    base = primary(90, 10, port=8443)
    base["route"][0]["headers"] = {"request": {}}
    mesh = Mesh(virtual_service([base]))
    match = {"method": {"exact": "GET"}, "path": {"prefix": "/"}, "headers": {"agent": {"regex": ".*"}}}
    mesh.route(rollout(managed=["mirror-1"]), 10, routes=(mirror("mirror-1", **match),))
    assert mesh.http()[0] == {
        "name": "mirror-1",
        "match": [{"method": {"exact": "GET"}, "uri": {"prefix": "/"}, "headers": {"agent": {"regex": ".*"}}}],
        "route": [to("stable", 90, port=8443), to("canary", 10, port=8443)],
        "mirror": to("canary", port=8443)["destination"],
        "mirrorPercentage": {"value": 100},
    }
    assert mesh.http()[1] == base
    assert mesh.events == [MIRROR.format("mirror-1")]


def test_a_mirror_route_may_mirror_a_part_and_leads_to_the_subset() -> None:
    mesh = Mesh(virtual_service([subsets()]), destination_rule())
    mesh.route(rollout(rule=RULE, managed=["m"], canary={}), 0, routes=(mirror("m", 35),))
    assert mesh.http()[0]["mirror"] == {"host": "web", "subset": "canary"}
    assert mesh.http()[0]["mirrorPercentage"] == {"value": 35}
    assert mesh.http()[0]["route"] == subsets()["route"]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"method": {"exact": "GET"}}, {"method": {"exact": "GET"}}),
        ({"path": {"prefix": "/"}}, {"uri": {"prefix": "/"}}),
        (
            {"headers": {"a": {"exact": "1"}, "b": {"regex": "2"}}},
            {"headers": {"a": {"exact": "1"}, "b": {"regex": "2"}}},
        ),
    ],
)
def test_a_mirror_route_has_the_criteria_that_are_given(criteria: dict[str, Any], expected: dict[str, Any]) -> None:
    mesh = Mesh(virtual_service([primary()]))
    mesh.route(rollout(managed=["m"]), 0, routes=(mirror("m", **criteria),))
    assert mesh.http()[0]["match"] == [expected]


def test_a_percentage_that_comes_back_as_a_fraction_is_the_same() -> None:
    mesh = Mesh(virtual_service([primary()]))
    subject, routes = rollout(managed=["m"]), (mirror("m", 35),)
    mesh.route(subject, 0, routes=routes)
    mesh.http()[0]["mirrorPercentage"] = {"value": 35.0}
    mesh.route(subject, 0, routes=routes)
    assert len(mesh.writes) == 1


def test_managed_routes_have_the_order_of_the_spec_and_mirrors_follow_the_weights() -> None:
    mesh = Mesh(virtual_service([primary(), both(name="secondary")]))
    subject = rollout(managed=["2", "3", "1"], routes=["primary"])
    routes = (mirror("2"), mirror("3"), mirror("1"))
    mesh.route(subject, 0, routes=routes[2:])
    mesh.route(subject, 0, routes=(routes[0], routes[2]))
    mesh.route(subject, 0, routes=routes)
    assert mesh.names() == ["2", "3", "1", "primary", "secondary"]
    assert mesh.events == [MIRROR.format("1"), MIRROR.format("2"), MIRROR.format("3")]
    mesh.events.clear()
    mesh.route(subject, 40, routes=routes)
    assert mesh.names() == ["2", "3", "1", "primary", "secondary"]
    assert [mesh.weights(name) for name in ("2", "3", "1", "primary")] == [[60, 40]] * 4
    assert mesh.weights("secondary") == [100, 0]
    assert mesh.events == [WEIGHT.format(40)]


def test_weights_of_a_mirror_that_somebody_has_changed_are_put_right() -> None:
    mesh = Mesh(virtual_service([primary()]))
    subject = rollout(managed=["m"])
    mesh.route(subject, 20, routes=(mirror("m"),))
    mesh.http()[0]["route"][0]["weight"] = 1
    mesh.events.clear()
    mesh.route(subject, 20, routes=(mirror("m"),))
    assert mesh.weights("m") == [80, 20]
    assert mesh.events == [WEIGHT.format(20)]


# ---- All together -----------------------------------------------------------------------------------------------


def test_everything_is_one_write_with_an_event_for_each_thing() -> None:
    gone = {"name": "gone", "mirror": {"host": "canary"}, "route": []}
    mesh = Mesh(virtual_service([primary(), gone, both(name="secondary")]))
    subject = rollout(managed=["gone", "m", "h"], routes=["primary"])
    mesh.route(subject, 10, routes=(mirror("m"), header("h")))
    assert mesh.names() == ["m", "h", "primary", "secondary"]
    assert mesh.writes == ["VirtualService web-vs"]
    assert mesh.events == [
        MIRROR.format("gone"),
        MIRROR.format("m"),
        HEADER.format("h"),
        WEIGHT.format(10),
    ]


def test_an_order_that_somebody_has_changed_is_put_right() -> None:
    mesh = Mesh(virtual_service([primary()]))
    subject, routes = rollout(managed=["a", "b"]), (header("a"), header("b"))
    mesh.route(subject, 0, routes=routes)
    mesh.http().reverse()
    mesh.route(subject, 0, routes=routes)
    assert mesh.names() == ["a", "b", "primary"]


def test_two_rollouts_may_have_routes_in_one_virtual_service() -> None:
    """Each wants to be first, and neither may fight for it."""
    mesh = Mesh(virtual_service([both(name="a"), both(name="b")]))
    one, other = rollout(managed=["ha", "ma"], routes=["a"]), rollout(managed=["hb"], routes=["b"])
    mesh.route(one, 10, routes=(header("ha"), mirror("ma")))
    mesh.route(other, 20, routes=(header("hb"),))
    assert mesh.names() == ["hb", "ha", "ma", "a", "b"]
    writes = len(mesh.writes)
    mesh.route(one, 10, routes=(header("ha"), mirror("ma")))
    mesh.route(other, 20, routes=(header("hb"),))
    assert len(mesh.writes) == writes
    mesh.route(one, 30, routes=(header("ha"), mirror("ma")))
    assert mesh.names() == ["hb", "ha", "ma", "a", "b"]
    assert mesh.weights("ma") == mesh.weights("a") == [70, 30]
    mesh.route(one, 0)
    assert mesh.names() == ["hb", "a", "b"]


def test_a_managed_route_behind_a_weighted_one_is_moved_before_it() -> None:
    mesh = Mesh(virtual_service([both(name="a"), both(name="b")]))
    subject, routes = rollout(managed=["h"], routes=["b", "a"]), (header("h"),)
    mesh.route(subject, 0, routes=routes)
    made = mesh.http().pop(0)
    mesh.http().insert(1, made)
    mesh.route(subject, 0, routes=routes)
    assert mesh.names() == ["h", "a", "b"]


def test_a_route_that_has_multiplied_is_there_once_again() -> None:
    mesh = Mesh(virtual_service([primary()]))
    subject, routes = rollout(managed=["a"]), (header("a"),)
    mesh.route(subject, 0, routes=routes)
    mesh.http().append(mesh.http()[0])
    mesh.route(subject, 0, routes=routes)
    assert mesh.names() == ["a", "primary"]


def test_routes_without_name_and_of_the_same_name_are_kept_once_each() -> None:
    others = [
        both(),
        {"match": [{"uri": {"exact": "/"}}], **both()},
        both(name="same"),
        both(name="same", timeout="1s"),
    ]
    mesh = Mesh(virtual_service([*others, primary()]))
    subject = rollout(managed=["h"], routes=["primary"])
    mesh.route(subject, 30, routes=(header("h"),))
    assert mesh.http()[1:] == [*others, primary(70, 30)]


def test_a_header_route_that_differs_in_one_field_is_made_anew() -> None:
    mesh = Mesh(virtual_service([primary()]))
    subject, routes = rollout(managed=["a"]), (header("a"),)
    mesh.route(subject, 0, routes=routes)
    made = mesh.http()[0]
    mesh.http()[0] = {**made, "timeout": "5s"}
    mesh.route(subject, 0, routes=routes)
    assert mesh.http()[0] == made


def test_a_route_that_carries_weights_cannot_be_managed_too() -> None:
    mesh = Mesh(virtual_service([primary()]))
    routed = mesh.route(rollout(managed=["primary"], routes=["primary"]), 0, routes=(header("primary"),))
    assert routed.error == (
        "VirtualService shop/web-vs: route primary carries weights and cannot be a managed route as well"
    )
    assert mesh.writes == []


# ---- Removal ----------------------------------------------------------------------------------------------------


def test_nothing_managed_is_no_write() -> None:
    mesh = Mesh(virtual_service([primary()]))
    mesh.route(rollout(managed=["h", "m"]), 0)
    mesh.route(rollout(), 0)
    assert mesh.writes == mesh.events == []


def test_without_managed_routes_every_route_stays() -> None:
    mesh = Mesh(virtual_service([both(name="h"), primary()]))
    mesh.route(rollout(routes=["primary"]), 10)
    assert mesh.names() == ["h", "primary"]


def test_a_route_made_by_hand_goes_if_it_is_listed_as_managed() -> None:
    mesh = Mesh(virtual_service([both(name="mine"), primary()]))
    mesh.route(rollout(managed=["mine"], routes=["primary"]), 0)
    assert mesh.http() == [primary()]
    assert mesh.events == [REMOVED_ALL]


def test_managed_routes_leave_each_of_several_virtual_services() -> None:
    mesh = Mesh(virtual_service([primary()], name="one"), virtual_service([primary()], name="two"))
    subject = rollout(others=[{"name": "one"}, {"name": "two"}], managed=["h"])
    mesh.route(subject, 0, routes=(header("h"),))
    assert len(mesh.http("one")) == len(mesh.http("two")) == 2
    mesh.http("one").pop(0)
    mesh.route(subject, 0)
    assert mesh.http("one") == mesh.http("two") == [primary()]
    assert mesh.events[2:] == ["Updated VirtualService VirtualService `two` removed all managed routes."]


def test_a_managed_name_that_is_empty_means_no_route() -> None:
    mesh = Mesh(virtual_service([both(), primary()]))
    mesh.route(rollout(managed=[""], routes=["primary"]), 10)
    assert mesh.http() == [both(), primary(90, 10)]


def test_http_routes_of_another_type_are_an_error_only_if_something_is_managed() -> None:
    mesh = Mesh(virtual_service("text", tcp=[both()]))
    routed = mesh.route(rollout(managed=["h"]), 10)
    assert routed.error == (
        "VirtualService shop/web-vs: [RemoveManagedRoutes] failed to get http routes from virtual service: "
        "spec.http is not a list"
    )
    assert mesh.writes == []
    mesh.route(rollout(), 10)
    assert mesh.weights(kind="tcp") == [90, 10]


def test_a_route_that_is_no_object_keeps_everything_from_being_written() -> None:
    mesh = Mesh(virtual_service([primary(), "odd"]))
    routed = mesh.route(rollout(managed=["h"]), 10)
    assert routed.error == "VirtualService shop/web-vs: Unable to get HTTP routes for Istio VirtualService"
    assert mesh.writes == []
