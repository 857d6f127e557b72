"""What a Rollout tells the Gateway API router, and how it is told that it makes no sense."""

from typing import Any

import pytest
from tests.traffic.gateway_world import FIELD, Web, ref, route_of

# ---- The configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"httpRoute": 1}, ".httpRoute: expected str, got int"),
        ({"httpRoutes": "web"}, ".httpRoutes: expected array, got str"),
        ({"httpRoutes": [{"name": 1}]}, ".httpRoutes[0].name: expected str, got int"),
        (
            {"tcpRoutes": [{"name": "a", "useHeaderRoutes": "yes"}]},
            ".tcpRoutes[0].useHeaderRoutes: expected bool, got str",
        ),
        ({"grpcRoutes": [{"name": "a"}, {"name": ["b"]}]}, ".grpcRoutes[1].name: expected str, got array"),
        ({"grpcRoutes": [{}]}, ".grpcRoutes[0].name: a route needs a name"),
        ({"tlsRoutes": [{"name": "a"}, None]}, ".tlsRoutes[1].name: a route needs a name"),
        ({"httpRouteSelector": {"matchLabels": []}}, ".httpRouteSelector.matchLabels: expected object, got array"),
        (
            {"httpRouteSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}},
            '.httpRouteSelector: "Is" is not a valid label selector operator',
        ),
        ({"namespace": ["a"]}, ".namespace: expected str, got array"),
        ([], ": not the JSON of a GatewayApiConfig: expected object, got array"),
        ("web", ": not the JSON of a GatewayApiConfig: expected object, got str"),
    ],
)
def test_a_configuration_that_does_not_fit_is_an_error_that_names_the_field(config: Any, complaint: str) -> None:
    web = Web({ref("web"): route_of()}, config)
    routed = web.ask(30)
    assert routed.error == f"failed to set weight via plugin: {FIELD}{complaint}"
    assert (routed.groups, routed.verified) == ((), None)
    assert [(wait.field, wait.remedy) for wait in routed.waits] == [(FIELD, "correct the configuration of the router")]
    assert web.router.wanted().refs == ()
    assert web.router.wanted().selections == ()


def test_fields_that_are_unknown_or_no_longer_needed_are_accepted() -> None:
    web = Web({ref("web"): route_of()}, {"httpRoute": "web", "configMap": "argo-gatewayapi-configmap", "future": [1]})
    assert len(web.route(30)) == 1


@pytest.mark.parametrize("kind", ["httpRoute", "grpcRoute", "tcpRoute", "tlsRoute"])
def test_each_kind_is_checked_alike(kind: str) -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": "In"}]}
    for config, complaint in (
        ({f"{kind}s": [{"name": "a"}, {}]}, f"{kind}s[1].name: a route needs a name"),
        ({f"{kind}Selector": selector}, f"{kind}Selector: values: Invalid value: []: for 'in', 'notin' operators"),
    ):
        error = Web({}, config).ask(30).error
        assert error.startswith(f"failed to set weight via plugin: {FIELD}.{complaint}")
