"""Header routes and further destinations in the rules of the user's routes, and what holds for all rules."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.traffic.gateway_world import (
    HDR,
    LABEL,
    NAMESPACE,
    SINGULAR,
    WANTED_HEADER,
    Rule,
    Web,
    backend,
    exact_header,
    extra,
    managed_rule,
    path_match,
    ref,
    route_of,
    service,
    split,
)
from tests.traffic.world import header_route

from prograde.api.rollout import (
    RouteMatch,
    SetHeaderRoute,
    SetMirrorRoute,
    StringMatch,
)
from prograde.core.objects import ObjectKind
from prograde.core.routing import Routed
from prograde.traffic.gateway_api_config import (
    GRPC_ROUTES,
    HTTP_ROUTES,
    ROUTE_KINDS,
    TCP_ROUTES,
    TLS_ROUTES,
)

# ---- Header routes ----------------------------------------------------------------------------------------------


def test_a_header_route_is_a_rule_for_every_split() -> None:
    rules = [
        {
            "matches": [path_match("/orders")],
            "backendRefs": [backend("stable", 80), backend("canary", 20)],
        },
        {
            "matches": [path_match("/items")],
            "backendRefs": [backend("stable", 80, 81), backend("canary", 20, 81)],
        },
    ]
    web = Web({ref("web"): route_of(*rules)}, header_steps=[HDR])
    web.route(20, routes=[HDR])
    assert web.rules() == [
        *rules,
        managed_rule("hdr", path_match("/orders", headers=[WANTED_HEADER])),
        managed_rule("hdr-1", path_match("/items", headers=[WANTED_HEADER]), port=81),
    ]
    assert web.route(20, routes=[HDR]) == []


@pytest.mark.parametrize("kind", [HTTP_ROUTES, GRPC_ROUTES])
def test_a_header_route_and_the_weight_go_out_together_and_the_route_itself_has_no_weight(kind: ObjectKind) -> None:
    web = Web({ref("web", kind): route_of()}, {SINGULAR[kind]: "web"}, header_steps=[HDR])
    assert len(web.route(40, routes=[HDR])) == 1
    assert web.weights(kind=kind) == {"stable": 60, "canary": 40}
    assert web.weights(kind=kind, rule=1) == {"canary": None}
    web.route(50, routes=[HDR])
    assert web.weights(kind=kind, rule=1) == {"canary": None}


def test_the_port_is_that_of_the_canary() -> None:
    web = Web(
        {ref("web"): route_of({"backendRefs": [backend("stable", 100, 80), backend("canary", 0, 8080)]})},
        header_steps=[HDR],
    )
    web.route(0, routes=[HDR])
    assert web.rules()[1]["backendRefs"] == [backend("canary", port=8080, group="", kind="Service")]


@pytest.mark.parametrize("filters", [None, [{"type": "URLRewrite", "urlRewrite": {"hostname": "x"}}]])
def test_the_filters_of_the_split_are_copied(filters: list[Any] | None) -> None:
    rule = split(**({"filters": filters} if filters is not None else {}))
    web = Web({ref("web"): route_of(rule)}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    assert web.rules()[1]["filters"] == (filters or [])


def test_every_match_of_the_split_is_kept_and_asks_for_the_headers_as_well() -> None:
    present = exact_header("X-Tenant", "a")
    query = [{"type": "Exact", "name": "q", "value": "1"}]
    rule = split(matches=[path_match("/a", method="GET", queryParams=query, headers=[present]), path_match("/b")])
    web = Web({ref("web"): route_of(rule)}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    assert web.rules()[1]["matches"] == [
        path_match("/a", method="GET", queryParams=query, headers=[present, WANTED_HEADER]),
        path_match("/b", headers=[WANTED_HEADER]),
    ]


def test_the_match_of_a_grpc_route_keeps_its_method() -> None:
    method = {"type": "Exact", "service": "shop.Cart", "method": "Add"}
    rules = [split(matches=[{"method": method}, {"headers": [exact_header("X-Tenant", "a")]}]), split()]
    web = Web({ref("web", GRPC_ROUTES): route_of(*rules)}, {"grpcRoute": "web"}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    assert web.rules(kind=GRPC_ROUTES)[2:] == [
        managed_rule(
            "hdr",
            {"method": method, "headers": [WANTED_HEADER]},
            {"headers": [exact_header("X-Tenant", "a"), WANTED_HEADER]},
        ),
        managed_rule("hdr-1", {"headers": [WANTED_HEADER]}),
    ]
    assert web.route(0, routes=[HDR]) == []
    web.route(0)
    assert web.rules(kind=GRPC_ROUTES) == rules


def test_a_split_without_matches_becomes_a_match_of_the_headers_alone() -> None:
    web = Web({ref("web"): route_of()}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    assert web.rules()[1]["matches"] == [{"headers": [WANTED_HEADER]}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (StringMatch(exact="a.b"), ("Exact", "a.b")),
        (StringMatch(prefix="a"), ("RegularExpression", "a.*")),
        (StringMatch(regex="a|b"), ("RegularExpression", "a|b")),
    ],
)
def test_a_header_is_compared_as_the_step_says(value: StringMatch, expected: tuple[str, str]) -> None:
    step = header_route("hdr", X_Canary=value)
    web = Web({ref("web"): route_of()}, header_steps=[step])
    web.route(0, routes=[step])
    type_, text = expected
    assert web.rules()[1]["matches"][0]["headers"] == [{"type": type_, "name": "X-Canary", "value": text}]


@pytest.mark.parametrize("value", [StringMatch(), None])
def test_a_header_without_a_value_is_an_error_without_a_write(value: StringMatch | None) -> None:
    step = msgspec.structs.replace(HDR, match=(msgspec.structs.replace(HDR.match[0], header_value=value),))
    routed = Web({ref("web"): route_of()}, header_steps=[step]).ask(30, routes=[step])
    assert (routed.error, routed.groups) == ("failed to set header route via plugin: invalid header match type", ())
    assert [wait.remedy for wait in routed.waits] == ["give headerValue one of exact, prefix and regex"]


def test_several_headers_of_a_step_must_all_be_there() -> None:
    step = header_route("hdr", X_Canary="true", X_User=StringMatch(prefix="test-"))
    web = Web({ref("web"): route_of()}, header_steps=[step])
    web.route(0, routes=[step])
    (match,) = web.rules()[1]["matches"]
    assert [header["name"] for header in match["headers"]] == ["X-Canary", "X-User"]


def test_a_header_that_the_split_asks_for_already_is_asked_for_once() -> None:
    rule = split(matches=[path_match(headers=[exact_header("x-canary", "false"), exact_header("X-Tenant", "a")])])
    web = Web({ref("web"): route_of(rule)}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    assert web.rules()[1]["matches"][0]["headers"] == [exact_header("X-Tenant", "a"), WANTED_HEADER]


def test_two_header_routes_stand_side_by_side_even_with_the_same_header() -> None:
    other = header_route("beta", X_Canary="beta")
    web = Web({ref("web"): route_of()}, header_steps=[HDR, other])
    web.route(0, routes=[HDR])
    web.route(0, routes=[HDR, other])
    assert [rule.get("name") for rule in web.rules()] == [None, "hdr", "beta"]
    web.route(0, routes=[other])
    assert [rule.get("name") for rule in web.rules()] == [None, "beta"]


def test_the_order_of_managed_rules_is_no_reason_to_write() -> None:
    other = header_route("beta", X_Canary="beta")
    web = Web({ref("web"): route_of()}, header_steps=[HDR, other])
    web.route(0, routes=[HDR, other])
    assert web.route(0, routes=[other, HDR]) == []


def test_a_header_route_follows_the_splits_when_they_change() -> None:
    web = Web(
        {ref("web"): route_of(split(matches=[path_match("/a")]), split(matches=[path_match("/b")]))}, header_steps=[HDR]
    )
    web.route(0, routes=[HDR])
    assert [rule.get("name") for rule in web.rules()] == [None, None, "hdr", "hdr-1"]
    del web.rules()[0]
    web.route(0, routes=[HDR])
    assert web.rules() == [
        split(matches=[path_match("/b")]),
        managed_rule("hdr", path_match("/b", headers=[WANTED_HEADER])),
    ]


def test_a_number_that_makes_the_name_of_another_route_is_left_out() -> None:
    other = header_route("hdr-1", X_Other="true")
    web = Web({ref("web"): route_of(split(), split())}, header_steps=[HDR, other])
    web.route(0, routes=[HDR, other])
    assert [rule.get("name") for rule in web.rules()[2:]] == ["hdr", "hdr-2", "hdr-1", "hdr-1-1"]
    assert web.route(0, routes=[HDR, other]) == []
    web.route(0)
    assert web.rules() == [split(), split()]


def test_a_rule_of_the_stable_version_alone_makes_no_header_route() -> None:
    web = Web({ref("web"): route_of(split(), {"backendRefs": [backend("stable", 100)]})}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    assert [rule.get("name") for rule in web.rules()] == [None, None, "hdr"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (HTTP_ROUTES, "backendRef was not found in httpRoute"),
        (GRPC_ROUTES, "backendRef was not found in grpcRoute"),
    ],
)
def test_without_a_split_there_can_be_no_header_route(kind: ObjectKind, text: str) -> None:
    rules = [
        {"backendRefs": [backend("stable", 1), backend("a", 1)]},
        {"backendRefs": [backend("canary", 1), backend("b", 1)]},
    ]
    web = Web({ref("web", kind): route_of(*rules)}, {SINGULAR[kind]: "web"}, header_steps=[HDR])
    routed = web.ask(30, routes=[HDR])
    assert (routed.error, routed.groups) == (f"failed to set header route via plugin: {text}", ())


@pytest.mark.parametrize(
    "config", [{"httpRoutes": [{"name": "web"}]}, {"httpRouteSelector": {"matchLabels": {"app": "web"}}}]
)
def test_a_route_without_header_routes_gets_none_and_loses_none(config: dict[str, Any]) -> None:
    before = managed_rule("hdr", {"headers": [WANTED_HEADER]})
    web = Web({ref("web"): route_of(split(), before, labels={"app": "web"})}, config, header_steps=[HDR])
    web.route(30, routes=[HDR])
    assert web.rules() == [split(30), before]
    web.route(0)
    assert web.rules() == [split(), before]


@pytest.mark.parametrize(("kind", "name"), [(TCP_ROUTES, "tcpRoutes"), (TLS_ROUTES, "tlsRoutes")])
def test_routes_of_connections_have_no_header_routes(kind: ObjectKind, name: str) -> None:
    config = {name: [{"name": "web", "useHeaderRoutes": True}]}
    web = Web({ref("web", kind): route_of()}, config, header_steps=[HDR])
    web.route(30, routes=[HDR])
    assert web.rules(kind=kind) == [split(30)]


def test_managed_rules_go_when_nobody_wants_them_and_nothing_else_does() -> None:
    others = [
        {"name": "hdr-x", "backendRefs": [backend("foreign", 1)]},
        {"name": "hdr-1-a", "backendRefs": [backend("canary", 1)]},
    ]
    ours = [managed_rule("hdr", {"headers": [WANTED_HEADER]}), managed_rule("hdr-12", {"headers": [WANTED_HEADER]})]
    web = Web({ref("web"): route_of(split(), *ours, *others)}, header_steps=[HDR])
    assert len(web.route(0)) == 1
    assert web.rules() == [split(), *others]
    assert web.route(0) == []


def test_a_header_route_is_managed_although_the_step_of_that_name_is_gone() -> None:
    web = Web(
        {ref("web"): route_of(split(), managed_rule("old", {"headers": [WANTED_HEADER]}))}, managed_routes=["old"]
    )
    web.route(0)
    assert web.rules() == [split()]


def test_nameless_rules_of_an_older_release_are_replaced_or_removed() -> None:
    nameless = {
        key: value for key, value in managed_rule("", path_match(headers=[WANTED_HEADER])).items() if key != "name"
    }
    web = Web({ref("web"): route_of(split(), nameless)}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    assert [rule.get("name") for rule in web.rules()] == [None, "hdr"]
    web = Web({ref("web"): route_of(split(), nameless)}, header_steps=[HDR])
    web.route(0)
    assert web.rules() == [split()]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "mine"}, id="it has a name"),
        pytest.param({"matches": [path_match("/beta")]}, id="it asks for no header"),
        pytest.param(
            {"matches": [path_match(headers=[exact_header("X-Other", "1")])]}, id="it asks for another header"
        ),
        pytest.param({"backendRefs": [backend("canary", 1), backend("other", 1)]}, id="it leads elsewhere, too"),
    ],
)
def test_a_rule_that_only_looks_like_one_of_an_older_release_stays(change: Rule) -> None:
    own = {"matches": [path_match(headers=[WANTED_HEADER])], "backendRefs": [backend("canary", 0)], **change}
    web = Web({ref("web"): route_of(split(), own)}, header_steps=[HDR])
    web.route(0)
    assert [rule.get("matches") for rule in web.rules()] == [None, own["matches"]]


def test_what_an_api_server_adds_to_a_rule_is_no_reason_to_write_it_again() -> None:
    rules = [
        split(
            matches=[{"headers": [{"name": "X-Tenant", "value": "a"}], "queryParams": [{"name": "q", "value": "1"}]}]
        ),
        split(),
    ]
    web = Web({ref("web"): route_of(*rules)}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    for rule in web.rules()[2:]:
        rule["backendRefs"][0]["weight"] = 1
        for match in rule["matches"]:
            match["path"] = {"type": "PathPrefix", "value": "/"}
            for each in (*match["headers"], *match.get("queryParams", ())):
                each["type"] = "Exact"
        if not rule["filters"]:
            del rule["filters"]
    assert web.route(0, routes=[HDR]) == []


def test_a_method_without_a_type_is_compared_exactly() -> None:
    bare = split(matches=[{"method": {"service": "shop.Cart"}}])
    web = Web({ref("web", GRPC_ROUTES): route_of(bare)}, {"grpcRoute": "web"}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    web.rules(kind=GRPC_ROUTES)[1]["matches"][0]["method"]["type"] = "Exact"
    assert web.route(0, routes=[HDR]) == []


def test_what_somebody_changes_in_a_managed_rule_is_put_right() -> None:
    web = Web({ref("web"): route_of()}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    written = copy.deepcopy(web.rules())
    for change in (
        lambda rule: rule["backendRefs"][0].update(weight=0),
        lambda rule: rule["backendRefs"].append(backend("foreign", 1)),
        lambda rule: rule["matches"][0]["headers"][0].update(value="false"),
        lambda rule: rule["matches"].clear(),
        lambda rule: rule.update(timeouts={"request": "1s"}),
        lambda rule: rule["filters"].append({"type": "RequestRedirect"}),
    ):
        change(web.rules()[1])
        assert len(web.route(0, routes=[HDR])) == 1
        assert web.rules() == written


def test_the_canary_may_be_of_another_kind_and_in_another_namespace() -> None:
    imported = {"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "namespace": "fleet"}
    rule = {"backendRefs": [backend("stable", 100, **imported), backend("canary", 0, **imported)]}
    web = Web({ref("web"): route_of(rule)}, header_steps=[HDR])
    web.route(0, routes=[HDR])
    assert web.rules()[1]["backendRefs"] == [backend("canary", **imported)]


def test_mirror_routes_mean_nothing_here() -> None:
    mirror = SetMirrorRoute(name="mirror", match=(RouteMatch(method=StringMatch(exact="GET")),), percentage=50)
    web = Web({ref("web"): route_of()}, managed_routes=["mirror"])
    assert web.ask(0, routes=[mirror]) == Routed(verified=True)


# ---- Experiments ------------------------------------------------------------------------------------------------


def test_further_destinations_are_taken_from_the_stable_version() -> None:
    web = Web({ref("web"): route_of(split(), split())})
    services = {"one": service(("http", 8000)), "two": service(("http", 8000))}
    wish: dict[str, Any] = {"additional": [extra("one", 5), extra("two", 10)], "services": services}
    web.route(20, **wish)
    assert web.rules() == [
        {
            "backendRefs": [
                backend("stable", 65),
                backend("canary", 20),
                {"name": "one", "namespace": NAMESPACE, "port": 8000, "weight": 5},
                {"name": "two", "namespace": NAMESPACE, "port": 8000, "weight": 10},
            ]
        },
        split(20),
    ]
    assert web.route(20, **wish) == []


@pytest.mark.parametrize(
    ("ports", "expected"), [([("metrics", 9090), ("http", 8000)], 8000), ([("a", 1), ("b", 2)], 1), ([], 8080)]
)
def test_the_port_of_a_destination_is_called_http_or_is_the_first(ports: list[tuple[str, int]], expected: int) -> None:
    web = Web({ref("web"): route_of()})
    web.route(0, additional=[extra()], services={"exp": service(*ports)})
    assert web.rules()[0]["backendRefs"][2]["port"] == expected


def test_a_destination_without_a_service_gets_nothing_and_is_waited_for() -> None:
    web = Web({ref("web"): route_of()})
    wish: dict[str, Any] = {"additional": [extra("one"), extra("two")], "services": {"two": service(("http", 80))}}
    routed = web.ask(20, **wish)
    assert routed.error == ""
    (wait,) = routed.waits
    assert wait.message == "Service one of the Experiment does not exist yet, so it gets no traffic"
    assert wait.object == "Service one"
    web.cluster.carry_out(routed)
    assert web.weights() == {"stable": 75, "canary": 20, "two": 5}


def test_the_weight_of_a_destination_is_put_right() -> None:
    web = Web({ref("web"): route_of()})
    services = {"exp": service(("http", 80))}
    web.route(20, additional=[extra(weight=5)], services=services)
    web.route(20, additional=[extra(weight=10)], services=services)
    assert web.weights() == {"stable": 70, "canary": 20, "exp": 10}


def test_destinations_that_are_no_more_leave_and_nothing_else_does() -> None:
    web = Web({ref("web"): route_of()}, recorded=[extra("one"), extra("two"), extra("canary")])
    web.rules()[0]["backendRefs"] += [backend("one", 5), backend("two", 5), backend("foreign", 1)]
    services = {"two": service(("http", 80))}
    web.route(20, additional=[extra("two")], services=services)
    assert web.weights() == {"stable": 75, "canary": 20, "two": 5, "foreign": 1}
    web.route(20)
    assert web.weights() == {"stable": 80, "canary": 20, "foreign": 1}
    assert web.route(20) == []


def test_destinations_go_to_the_first_rule_that_splits() -> None:
    web = Web({ref("web"): route_of({"backendRefs": [backend("stable", 100)]}, split(), split())})
    web.route(20, additional=[extra()], services={"exp": service(("http", 80))})
    assert [web.weights(rule=index).get("exp") for index in range(3)] == [None, 5, None]


def test_a_destination_that_is_left_in_another_rule_leaves_it() -> None:
    web = Web({ref("web"): route_of(split(), split())})
    web.rules()[1]["backendRefs"].append(backend("exp", 5))
    web.route(20, additional=[extra()], services={"exp": service(("http", 80))})
    assert [web.weights(rule=index).get("exp") for index in range(2)] == [5, None]


@pytest.mark.parametrize("names", [["exp", "canary"], ["exp"]])
def test_a_backend_that_cannot_have_been_a_destination_stays(names: list[str]) -> None:
    own = {"matches": [path_match(headers=[WANTED_HEADER])], "backendRefs": [backend(name, 0) for name in names]}
    web = Web({ref("web"): route_of(split(), own)}, header_steps=[HDR], recorded=[extra()])
    assert web.route(0) == []


def test_destinations_go_to_the_first_rule_with_either_version_when_none_splits() -> None:
    rules = [
        {"backendRefs": [backend("other", 1)]},
        {"backendRefs": [backend("stable", 1)]},
        {"backendRefs": [backend("canary", 1), backend("b", 1)]},
    ]
    web = Web({ref("web"): route_of(*rules)})
    web.route(20, additional=[extra()], services={"exp": service(("http", 80))})
    assert [web.weights(rule=index).get("exp") for index in range(3)] == [None, 5, None]
    assert web.weights(rule=1)["stable"] == 75


def test_the_stable_version_never_gets_less_than_nothing() -> None:
    web = Web({ref("web"): route_of()})
    web.route(90, additional=[extra(weight=20)], services={"exp": service(("http", 80))})
    assert web.weights() == {"stable": 0, "canary": 90, "exp": 20}


@pytest.mark.parametrize("kind", [GRPC_ROUTES, TCP_ROUTES, TLS_ROUTES])
def test_only_http_routes_lead_to_experiments(kind: ObjectKind) -> None:
    web = Web({ref("web", kind): route_of()}, {SINGULAR[kind]: "web"})
    web.route(20, additional=[extra()], services={"exp": service(("http", 80))})
    assert web.rules(kind=kind) == [split(20)]


def test_the_label_stands_while_an_experiment_gets_traffic() -> None:
    web = Web({ref("web"): route_of()}, recorded=[extra()])
    web.route(0, additional=[extra()], services={"exp": service(("http", 80))})
    assert web.labels() == {LABEL: "in-progress"}
    web.route(0)
    assert web.labels() == {}


# ---- Properties -------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["stable", "canary", "foreign", "exp"])
MATCHES = st.lists(
    st.sampled_from(
        [path_match("/a"), {"headers": [exact_header("X-Canary", "1")]}, path_match("/b", method="GET"), {}]
    ),
    max_size=2,
)
OTHER_RULES = st.builds(
    lambda name, names, matches, weights: {
        **({"name": name} if name else {}),
        **({"matches": matches} if matches else {}),
        "backendRefs": [backend(each, weight) for each, weight in zip(names, weights, strict=False)],
    },
    st.sampled_from(["", "hdr", "hdr-1", "hdr-x", "own"]),
    st.lists(NAMES, max_size=3, unique=True),
    MATCHES,
    st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=3, max_size=3),
)
STEPS = [HDR, header_route("beta", X_Beta="1", X_Canary=StringMatch(prefix="b"))]


@given(
    kind=st.sampled_from(ROUTE_KINDS),
    others=st.lists(OTHER_RULES, max_size=4),
    position=st.integers(0, 4),
    weight=st.integers(0, 95),
    max_weight=st.sampled_from([100, 1000]),
    routes=st.lists(st.sampled_from(STEPS), unique=True, max_size=2),
    has_experiment=st.booleans(),
    labels=st.sampled_from([None, {"team": "a"}, {LABEL: "x"}]),
)
def test_routing_twice_writes_once_and_keeps_what_belongs_to_others(
    kind: ObjectKind,
    others: list[Rule],
    position: int,
    weight: int,
    max_weight: int,
    routes: list[SetHeaderRoute],
    has_experiment: bool,
    labels: dict[str, str] | None,
) -> None:
    rules = [*others[:position], split(matches=[path_match("/x")], filters=[]), *others[position:]]
    web = Web(
        {ref("web", kind): route_of(*rules, labels=labels)},
        {SINGULAR[kind]: "web"},
        header_steps=STEPS,
        max_weight=max_weight,
        recorded=[extra()],
    )
    wish: dict[str, Any] = {"routes": routes, "services": {"exp": service(("http", 80))}}
    if has_experiment:
        wish["additional"] = [extra()]
    assert len(web.route(weight, **wish)) <= 1
    assert web.route(weight, **wish) == []
    written = copy.deepcopy(web.rules(kind=kind))
    assert foreign_backends(written) == foreign_backends(rules)
    for found in splits_of(written):
        assert found["canary"] == weight
        given_away = found.get("exp", 0) if kind == HTTP_ROUTES else 0
        assert found["stable"] + found["canary"] + given_away == max_weight
    if kind in (HTTP_ROUTES, GRPC_ROUTES):
        assert {name.partition("-")[0] for name in managed_names(written)} == {each.name for each in routes}
    web.route(0)
    assert all(found["canary"] == 0 for found in splits_of(web.rules(kind=kind)))
    if kind in (HTTP_ROUTES, GRPC_ROUTES):
        assert managed_names(web.rules(kind=kind)) == set()


def is_own(rule: Rule) -> bool:
    """Say whether a rule belongs to the user, whatever is in it."""
    return rule.get("name", "own") in ("own", "hdr-x")


def foreign_backends(rules: list[Rule]) -> list[Any]:
    """Return the backends of the user's rules that are none of the two versions and no experiment."""
    ours = {"stable", "canary", "exp"}
    return [each for rule in rules if is_own(rule) for each in rule["backendRefs"] if each["name"] not in ours]


def splits_of(rules: list[Rule]) -> list[dict[str, Any]]:
    """Return the weights of the user's rules that lead to both versions."""
    weights = [{each["name"]: each.get("weight") for each in rule["backendRefs"]} for rule in rules if is_own(rule)]
    return [each for each in weights if {"stable", "canary"} <= each.keys()]


def managed_names(rules: list[Rule]) -> set[str]:
    return {rule["name"] for rule in rules if not is_own(rule)}
