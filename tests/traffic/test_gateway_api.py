"""The Gateway API: which routes, and the weights and labels that they get."""

from typing import Any

import pytest
from tests.traffic.gateway_world import (
    FIELD,
    LABEL,
    NAMESPACE,
    SINGULAR,
    Rule,
    Web,
    backend,
    exact_header,
    extra,
    path_match,
    ref,
    route_of,
    split,
)
from tests.traffic.world import header_route

from prograde.api.meta import LabelSelector, LabelSelectorRequirement
from prograde.api.rollout import (
    CanaryStatus,
    PingPong,
    RolloutStatus,
)
from prograde.core.objects import ObjectKind, ObjectSelection
from prograde.core.plan import Event, PatchObject, WaitReason
from prograde.core.routing import Routed
from prograde.traffic.gateway_api_config import (
    GRPC_ROUTES,
    HTTP_ROUTES,
    ROUTE_KINDS,
    TCP_ROUTES,
    TLS_ROUTES,
)

# ---- Which routes -----------------------------------------------------------------------------------------------


def test_the_router_reads_what_is_named_and_what_is_selected() -> None:
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}
    web = Web({}, {"httpRoutes": [{"name": "a"}], "httpRoute": "b", "tlsRoute": "c", "grpcRouteSelector": selector})
    wanted = web.router.wanted()
    assert web.router.name == "argoproj-labs/gatewayAPI"
    assert wanted.refs == (ref("a"), ref("b"), ref("c", TLS_ROUTES))
    expression = LabelSelectorRequirement(key="tier", operator="Exists")
    assert wanted.selections == (
        ObjectSelection(
            GRPC_ROUTES, NAMESPACE, LabelSelector(match_labels={"app": "web"}, match_expressions=(expression,))
        ),
    )


@pytest.mark.parametrize(
    ("kind", "group_version", "name"),
    [
        (HTTP_ROUTES, "gateway.networking.k8s.io/v1", "HTTPRoute"),
        (GRPC_ROUTES, "gateway.networking.k8s.io/v1", "GRPCRoute"),
        (TCP_ROUTES, "gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
        (TLS_ROUTES, "gateway.networking.k8s.io/v1alpha2", "TLSRoute"),
    ],
)
def test_each_kind_is_asked_for_in_the_version_that_is_served(kind: ObjectKind, group_version: str, name: str) -> None:
    assert (f"{kind.group}/{kind.version}", kind.kind, kind.plural) == (group_version, name, f"{name.lower()}s")


def test_one_route_of_each_kind_gets_the_weights_in_the_order_of_the_kinds() -> None:
    web = Web(
        {ref("web", kind): route_of() for kind in ROUTE_KINDS},
        {"tlsRoute": "web", "tcpRoute": "web", "grpcRoute": "web", "httpRoute": "web"},
    )
    assert [patch.ref.kind for patch in web.route(30)] == [HTTP_ROUTES, GRPC_ROUTES, TCP_ROUTES, TLS_ROUTES]
    for kind in ROUTE_KINDS:
        assert web.weights(kind=kind) == {"stable": 70, "canary": 30}
        assert web.labels(kind=kind) == {LABEL: "in-progress"}
    assert web.route(30) == []


def test_routes_of_a_list_are_patched_one_by_one_until_the_first_that_cannot_be() -> None:
    listed = {"httpRoutes": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
    web = Web({ref("a"): route_of(), ref("b"): route_of(), ref("c"): route_of()}, listed)
    assert [patch.ref.name for patch in web.route(30)] == ["a", "b", "c"]
    web.cluster.remove(ref("b"))
    routed = web.ask(40)
    assert routed.error == 'failed to set weight via plugin: httproutes.gateway.networking.k8s.io "b" not found'
    assert [group[0].ref.name for group in routed.groups] == ["a"]
    (wait,) = routed.waits
    assert (wait.reason, wait.object, wait.message) == (WaitReason.TRAFFIC_NOT_ROUTED, "HTTPRoute b", routed.error)
    assert (wait.field, wait.remedy) == (FIELD, "create the HTTPRoute, or name one that exists")


def test_on_the_way_back_every_route_is_brought_in_line_that_can_be() -> None:
    listed = {"httpRoutes": [{"name": "a"}, {"name": "b"}], "grpcRoute": "c", "tcpRouteSelector": {}, "tlsRoute": "d"}
    routes = {ref("b"): route_of(split(50)), ref("d", TLS_ROUTES): route_of(split(50))}
    web = Web(routes, listed, unserved=[GRPC_ROUTES, TCP_ROUTES])
    assert web.ask(0).groups == ()
    routed = web.ask(0, is_going_back=True)
    assert [[action.ref.name for action in group] for group in routed.groups] == [["b", "d"]]
    assert routed.error == 'failed to set weight via plugin: httproutes.gateway.networking.k8s.io "a" not found'
    assert [wait.message.removeprefix("failed to set weight via plugin: ") for wait in routed.waits] == [
        'httproutes.gateway.networking.k8s.io "a" not found',
        "the API server does not know grpcroutes.gateway.networking.k8s.io",
        "the API server does not know tcproutes.gateway.networking.k8s.io",
    ]
    assert routed.verified is None


def test_listed_routes_come_first_then_the_single_one_then_the_selected() -> None:
    config = {"httpRoutes": [{"name": "z"}], "httpRoute": "y", "httpRouteSelector": {"matchLabels": {"app": "web"}}}
    labelled = route_of(labels={"app": "web"})
    web = Web(
        {ref("z"): route_of(), ref("y"): labelled, ref("b"): labelled, ref("a"): labelled, ref("x"): route_of()}, config
    )
    assert [patch.ref.name for patch in web.route(30)] == ["z", "y", "a", "b"]


def test_a_route_that_is_named_twice_is_patched_once_with_header_routes_if_either_says_so() -> None:
    hdr = header_route("hdr", X_Canary="true")
    config = {"httpRoutes": [{"name": "web"}, {"name": "web", "useHeaderRoutes": True}, {"name": "web"}]}
    web = Web({ref("web"): route_of()}, config, header_steps=[hdr])
    assert len(web.route(30, routes=[hdr])) == 1
    assert [each.get("name") for each in web.rules()] == [None, "hdr"]


@pytest.mark.parametrize("kind", ROUTE_KINDS)
def test_a_selector_chooses_routes_by_their_labels_now(kind: ObjectKind) -> None:
    selector = {f"{SINGULAR[kind]}Selector": {"matchLabels": {"app": "web"}}}
    labelled = route_of(labels={"app": "web"})
    web = Web({ref("a", kind): labelled, ref("b", kind): labelled, ref("c", kind): route_of()}, selector)
    assert [patch.ref.name for patch in web.route(30)] == ["a", "b"]
    web.cluster.put(ref("c", kind), labelled)
    assert [patch.ref.name for patch in web.route(30)] == ["c"]


@pytest.mark.parametrize(
    "config", [{}, {"httpRouteSelector": {"matchLabels": {"app": "nothing"}}}, {"httpRoute": "", "httpRoutes": None}]
)
def test_without_any_route_there_is_nothing_to_route_with(config: dict[str, Any]) -> None:
    routed = Web({ref("web"): route_of()}, config).ask(30)
    assert [wait.remedy for wait in routed.waits] == ["name a route, or label one so that it is selected"]
    assert routed.error == (
        "failed to set weight via plugin: No routes configured. At least one of 'httpRoutes', 'grpcRoutes', "
        "'tcpRoutes', 'tlsRoutes', 'httpRoute', 'grpcRoute', 'tcpRoute' or 'tlsRoute' must be set"
    )
    assert routed.groups == ()


@pytest.mark.parametrize(("namespace", "expected"), [(None, NAMESPACE), ("", NAMESPACE), ("edge", "edge")])
def test_routes_are_in_the_namespace_of_the_rollout_unless_another_is_named(
    namespace: str | None, expected: str
) -> None:
    config = {"httpRoute": "web", "tcpRouteSelector": {}, "namespace": namespace}
    web = Web({}, config)
    assert web.router.wanted().refs == (ref("web", namespace=expected),)
    assert [selection.namespace for selection in web.router.wanted().selections] == [expected]


@pytest.mark.parametrize("config", [{"grpcRoute": "web"}, {"grpcRouteSelector": {}}])
def test_a_kind_that_the_api_server_does_not_know_is_an_error_that_says_what_to_install(config: dict[str, Any]) -> None:
    routed = Web({}, config, unserved=[GRPC_ROUTES]).ask(30)
    assert routed.error == (
        "failed to set weight via plugin: the API server does not know grpcroutes.gateway.networking.k8s.io"
    )
    (wait,) = routed.waits
    assert wait.remedy == "install the definitions (CRDs) of the Gateway API"
    assert wait.object == "CustomResourceDefinition grpcroutes.gateway.networking.k8s.io"


def test_a_kind_that_nobody_asks_for_need_not_be_known() -> None:
    web = Web({ref("web"): route_of()}, unserved=[GRPC_ROUTES, TCP_ROUTES, TLS_ROUTES])
    assert len(web.route(30)) == 1


# ---- Weights ----------------------------------------------------------------------------------------------------


def test_weights_and_label_go_out_as_one_patch_on_the_version_that_was_read() -> None:
    rules = [{"backendRefs": [backend("stable", 100), backend("canary", 0), backend("foreign", 1)]}]
    web = Web({ref("web"): route_of(*rules, labels={"team": "a"})})
    version = web.cluster.objects[ref("web")]["metadata"]["resourceVersion"]
    assert web.route(30) == [
        PatchObject(
            ref=ref("web"),
            patch={
                "metadata": {"resourceVersion": version, "labels": {LABEL: "in-progress"}},
                "spec": {
                    "rules": [{"backendRefs": [backend("stable", 70), backend("canary", 30), backend("foreign", 1)]}]
                },
            },
            failure=Event("TrafficRoutingError", "failed to set weight via plugin", "Warning"),
        )
    ]
    web.route(0)
    assert web.weights() == {"stable": 100, "canary": 0, "foreign": 1}
    assert web.labels() == {"team": "a"}


def test_nothing_is_written_when_the_weights_are_right() -> None:
    assert Web({ref("web"): route_of()}).ask(0) == Routed(verified=True)
    assert Web({ref("web"): route_of(split(30), labels={LABEL: "in-progress"})}).ask(30) == Routed(verified=True)


def test_a_changed_label_alone_leaves_the_rules_out_of_the_patch() -> None:
    web = Web({ref("web"): route_of(labels={LABEL: "in-progress"})})
    (patch,) = web.route(0)
    assert patch.patch == {"metadata": {"resourceVersion": "1", "labels": {LABEL: None}}}


def test_key_and_value_of_the_label_can_be_chosen() -> None:
    config = {"httpRoute": "web", "inProgressLabelKey": "example.com/busy", "inProgressLabelValue": "yes"}
    web = Web({ref("web"): route_of()}, config)
    web.route(30)
    assert web.labels() == {"example.com/busy": "yes"}
    web.route(0)
    assert web.labels() == {}


@pytest.mark.parametrize("labels", [None, {LABEL: "in-progress"}])
def test_a_label_that_is_switched_off_is_neither_set_nor_removed(labels: dict[str, str] | None) -> None:
    web = Web({ref("web"): route_of(labels=labels)}, {"httpRoute": "web", "disableInProgressLabel": True})
    for weight in (30, 0):
        web.route(weight)
        assert web.labels() == (labels or {})


def test_the_label_stands_as_long_as_there_is_anything_that_a_gitops_tool_would_take_away() -> None:
    hdr = header_route("hdr", X_Canary="true")
    web = Web({ref("web"): route_of()}, header_steps=[hdr])
    web.route(0, routes=[hdr])
    assert web.labels() == {LABEL: "in-progress"}
    web.route(0)
    assert web.labels() == {}


@pytest.mark.parametrize("kind", ROUTE_KINDS)
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([{"backendRefs": [backend("stable", 1)]}], id="no canary"),
        pytest.param([{"backendRefs": [backend("canary", 1), backend("other", 1)]}], id="no stable"),
        pytest.param([{"backendRefs": None}], id="no backends"),
        pytest.param([], id="no rules"),
    ],
)
def test_a_route_that_does_not_lead_to_both_versions_is_an_error_without_a_write(
    kind: ObjectKind, rules: list[Rule]
) -> None:
    texts = {
        HTTP_ROUTES: "backendRef was not found in httpRoute",
        GRPC_ROUTES: "backendRef was not found in grpcRoute",
        TCP_ROUTES: "backendRef list was not found in tcpRoute",
        TLS_ROUTES: "backendRef list was not found in tlsRoute",
    }
    web = Web({ref("web", kind): {"metadata": {}, "spec": {"rules": rules}}}, {SINGULAR[kind]: "web"})
    routed = web.ask(30)
    assert (routed.error, routed.groups) == (f"failed to set weight via plugin: {texts[kind]}", ())
    (wait,) = routed.waits
    assert wait.object == f"{kind.kind} web"
    assert wait.remedy == f'let a rule of the {kind.kind} lead to the Services "stable" and "canary"'


def test_the_two_versions_may_be_in_different_rules() -> None:
    rules = [
        {"backendRefs": [backend("stable", 1), backend("a", 1)]},
        {"backendRefs": [backend("canary", 1), backend("b", 1)]},
    ]
    web = Web({ref("web"): route_of(*rules)})
    web.route(30)
    assert (web.weights(rule=0), web.weights(rule=1)) == ({"stable": 70, "a": 1}, {"canary": 30, "b": 1})


@pytest.mark.parametrize("kind", ROUTE_KINDS)
def test_a_rule_of_the_stable_version_alone_shows_the_weight_but_never_turns_requests_away(kind: ObjectKind) -> None:
    web = Web({ref("web", kind): route_of(split(), {"backendRefs": [backend("stable", 100)]})}, {SINGULAR[kind]: "web"})
    web.route(30)
    assert web.weights(kind=kind, rule=1) == {"stable": 70}
    web.route(100)
    assert web.weights(kind=kind, rule=0) == {"stable": 0, "canary": 100}
    assert web.weights(kind=kind, rule=1) == {"stable": 100}


@pytest.mark.parametrize("kind", [HTTP_ROUTES, GRPC_ROUTES])
@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="everything"),
        pytest.param({"name": "preview"}, id="with a name"),
        pytest.param({"matches": [path_match(headers=[exact_header("X-Me", "1")])]}, id="by a header"),
        pytest.param({"backendRefs": [backend("canary", 1), backend("canary", 3, 81)]}, id="on two ports"),
    ],
)
def test_a_users_own_way_to_the_canary_is_neither_weighted_nor_removed(kind: ObjectKind, members: Rule) -> None:
    own = {"backendRefs": [backend("canary", 1)], **members}
    hdr = header_route("hdr", X_Canary="true")
    web = Web({ref("web", kind): route_of(split(), own)}, {SINGULAR[kind]: "web"}, header_steps=[hdr])
    web.route(30, routes=[hdr])
    assert web.rules(kind=kind)[1] == own
    web.route(0)
    assert web.rules(kind=kind) == [split(), own]


def test_a_rule_without_backends_stays_as_it_is() -> None:
    redirect = {"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}
    web = Web({ref("web"): route_of(redirect, split())}, recorded=[extra()])
    web.route(30)
    assert web.rules() == [redirect, split(30)]


def test_weights_add_up_to_the_maximum_that_the_rollout_sets() -> None:
    web = Web({ref("web"): route_of()}, max_weight=1000)
    web.route(5)
    assert web.weights() == {"stable": 995, "canary": 5}


def test_services_that_take_turns_are_routed_to_when_no_others_are_named() -> None:
    rules = {"backendRefs": [backend("ping", 0), backend("pong", 100)]}
    pair = {"stable_service": "", "canary_service": "", "ping_pong": PingPong(ping_service="ping", pong_service="pong")}
    web = Web({ref("web"): route_of(rules)}, **pair)
    web.route(30)
    assert web.weights() == {"ping": 30, "pong": 70}
    after = RolloutStatus(canary=CanaryStatus(stable_ping_pong="ping"))
    web = Web({ref("web"): route_of(rules)}, status=after, **pair)
    web.route(0)
    assert web.weights() == {"ping": 100, "pong": 0}


def test_a_rollout_without_services_has_no_backends_to_weigh() -> None:
    nameless = {"backendRefs": [{"port": 80}, {"name": "stable"}]}
    routed = Web({ref("web"): route_of(nameless)}, stable_service="", canary_service="").ask(30)
    assert routed.error == "failed to set weight via plugin: backendRef was not found in httpRoute"
