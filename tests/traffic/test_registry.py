from typing import Any

import msgspec
import pytest
from tests.traffic.world import Cluster, rollout_with

from prograde.api.rollout import (
    IstioTrafficRouting,
    IstioVirtualService,
    NginxTrafficRouting,
    RolloutSpec,
    TrafficRouting,
)
from prograde.traffic.registry import routers_of

NGINX = NginxTrafficRouting(stable_ingress="web-ing")
ISTIO = IstioTrafficRouting(virtual_service=IstioVirtualService(name="web"))
GATEWAY_API = "argoproj-labs/gatewayAPI"


def raw(value: bytes = b'{"httpRoute":"web"}') -> msgspec.Raw:
    return msgspec.Raw(value)


@pytest.mark.parametrize(
    ("routing", "names"),
    [
        pytest.param(None, [], id="no trafficRouting"),
        pytest.param({}, [], id="an empty one"),
        pytest.param({"nginx": NGINX}, ["Nginx"], id="NGINX"),
        pytest.param({"plugins": {GATEWAY_API: raw()}}, [GATEWAY_API], id="the Gateway API"),
        pytest.param(
            {"plugins": {"z/z": raw(), GATEWAY_API: raw(), "a/a": raw()}, "nginx": NGINX, "istio": ISTIO},
            ["Istio", "Nginx", "a/a", GATEWAY_API, "z/z"],
            id="all of them: plugins come last, by name",
        ),
    ],
)
def test_each_part_of_the_traffic_routing_is_a_router(routing: dict[str, Any] | None, names: list[str]) -> None:
    rollout = rollout_with(None if routing is None else TrafficRouting(**routing))
    assert [router.name for router in routers_of(rollout)] == names


def test_a_rollout_without_a_canary_strategy_has_no_routers() -> None:
    assert routers_of(msgspec.structs.replace(rollout_with(None), spec=RolloutSpec())) == ()


@pytest.mark.parametrize("config", [b"{}", b"null", b"[]", b'"x"', b'{"httpRoutes":7}'])
def test_a_configuration_that_makes_no_sense_is_the_error_of_the_router_and_nobody_elses(config: bytes) -> None:
    rollout = rollout_with(TrafficRouting(plugins={GATEWAY_API: raw(config)}))
    (router,) = routers_of(rollout)
    assert Cluster({}).ask(router, rollout, 10).error.startswith("failed to set weight via plugin: ")


def test_a_plugin_that_nobody_knows_is_a_router_that_says_so() -> None:
    rollout = rollout_with(TrafficRouting(plugins={"acme/router": raw()}))
    (router,) = routers_of(rollout)
    assert (router.wanted().refs, router.wanted().selections) == ((), ())
    routed = Cluster({}).ask(router, rollout, 10)
    assert routed.groups == ()
    assert routed.error == (
        "failed to get traffic router plugin acme/router: unable to start plugin system: "
        "unable to find plugin (acme/router): plugin acme/router not configured in configmap"
    )
    (wait,) = routed.waits
    assert wait.field == "spec.strategy.canary.trafficRouting.plugins[acme/router]"
    assert wait.remedy == f"use a router that is built in; of the plugins that is {GATEWAY_API}"
