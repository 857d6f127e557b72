"""What a Rollout may ask for that this version does not do yet.

Half of a strategy would be worse than none: a canary whose router is ignored gets no traffic, or all of it. So a
Rollout that uses any of this is frozen as it is, like one with an invalid spec, and says which field is to blame.
"""

from collections.abc import Iterator

from prograde.api.rollout import CanaryStrategy, RolloutSpec, TrafficRouting

__all__ = ["unsupported_field"]


def unsupported_field(spec: RolloutSpec) -> str:
    """Return the path of the first field that this version cannot honour; empty when there is none."""
    return next(_fields(spec), "")


def _fields(spec: RolloutSpec) -> Iterator[str]:
    if spec.strategy.canary is not None:
        yield from _canary_fields(spec.strategy.canary)


GATEWAY_API_PLUGIN = "argoproj-labs/gatewayAPI"
"""The one plugin whose work is done without a plugin."""


def _routing_fields(routing: TrafficRouting, path: str) -> Iterator[str]:
    routers = {
        "alb": routing.alb,
        "smi": routing.smi,
        "ambassador": routing.ambassador,
        "appMesh": routing.app_mesh,
        "traefik": routing.traefik,
        "apisix": routing.apisix,
    }
    yield from (f"{path}.{name}" for name, config in routers.items() if config is not None)
    yield from (f'{path}.plugins["{name}"]' for name in sorted(routing.plugins) if name != GATEWAY_API_PLUGIN)


def _canary_fields(canary: CanaryStrategy) -> Iterator[str]:
    path = "spec.strategy.canary"
    if canary.traffic_routing is not None:
        yield from _routing_fields(canary.traffic_routing, f"{path}.trafficRouting")
