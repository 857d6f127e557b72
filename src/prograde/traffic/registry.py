"""Which routers a Rollout's `trafficRouting` names, in the order in which they are asked.

The order is fixed, plugins by name come last: several routers may be active at once, and events and writes should not
depend on chance. A plugin that nobody knows is a router as well, one that only says so: a release whose traffic stays
where it was must not go on.
"""

from collections.abc import Iterator

from prograde.api.rollout import Rollout, TrafficRouting
from prograde.core.objects import Objects
from prograde.core.plan import Wait, WaitReason
from prograde.core.routing import Routed, Router, RoutingIntent, Wanted
from prograde.traffic.gateway_api import GatewayApiRouter
from prograde.traffic.gateway_api_config import PLUGIN as GATEWAY_API
from prograde.traffic.istio import IstioRouter
from prograde.traffic.nginx import NginxRouter

__all__ = ["UnknownPlugin", "routers_of"]


def routers_of(rollout: Rollout) -> tuple[Router, ...]:
    """Return the routers of a Rollout; none without `trafficRouting`."""
    canary = rollout.spec.strategy.canary
    routing = canary.traffic_routing if canary is not None else None
    return tuple(_routers(rollout, routing)) if routing is not None else ()


def _routers(rollout: Rollout, routing: TrafficRouting) -> Iterator[Router]:
    if routing.istio is not None:
        yield IstioRouter(rollout, routing.istio)
    if routing.nginx is not None:
        yield NginxRouter(rollout, routing.nginx)
    for name in sorted(routing.plugins):
        if name == GATEWAY_API:
            yield GatewayApiRouter(rollout, routing.plugins[name])
        else:
            yield UnknownPlugin(name)


class UnknownPlugin:
    """Stands for a plugin that there is none for."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def wanted(self) -> Wanted:
        return Wanted()

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        """Say that nothing can be routed."""
        error = (
            f"failed to get traffic router plugin {self._name}: unable to start plugin system: "
            f"unable to find plugin ({self._name}): plugin {self._name} not configured in configmap"
        )
        wait = Wait(
            reason=WaitReason.TRAFFIC_NOT_ROUTED,
            message=error,
            field=f"spec.strategy.canary.trafficRouting.plugins[{self._name}]",
            remedy=f"use a router that is built in; of the plugins that is {GATEWAY_API}",
        )
        return Routed(error=error, waits=(wait,))
