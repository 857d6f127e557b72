"""Two Rollouts that route with the same objects: what they may share, and who has to give way.

Many Rollouts may have their own routes in one VirtualService or HTTPRoute. Two things cannot be shared, because each
of two Rollouts would put right what the other one has done, for ever: the subsets of a DestinationRule, which stand for
the versions of one Rollout, and a managed route, which is there only while the steps of one Rollout ask for it.

Whoever was first goes on as if nothing were: with a DestinationRule the one whose name it carries, with a managed route
the older Rollout. The other one is invalid until it names something else.
"""

from prograde.api.meta import key_of
from prograde.api.rollout import ManagedRoute, Rollout
from prograde.api.scalars import go_quote
from prograde.api.validation.errors import FieldError, invalid
from prograde.core.objects import INGRESSES
from prograde.core.rollout.destinationrules import destination_rule_of, manager_of
from prograde.core.rollout.snapshot import RolloutSnapshot

__all__ = ["conflict_of"]

_ROUTING = "spec.strategy.canary.trafficRouting"


def conflict_of(snapshot: RolloutSnapshot) -> FieldError | None:
    """Return what the Rollout must not use, because another one does already; None if there is nothing."""
    return _destination_rule_error(snapshot) or _managed_route_error(snapshot)


def _destination_rule_error(snapshot: RolloutSnapshot) -> FieldError | None:
    ref = destination_rule_of(snapshot.rollout)
    rule = snapshot.objects.get(ref) if ref is not None else None
    manager = manager_of(rule) if rule is not None else ""
    if ref is None or manager in ("", snapshot.rollout.metadata.name):
        return None
    # One that its Rollout has left loses the name of it.
    detail = f"DestinationRule {go_quote(ref.name)} is managed by another Rollout, {go_quote(manager)}"
    return invalid(f"{_ROUTING}.istio.destinationRule.name", ref.name, detail)


def _managed_route_error(snapshot: RolloutSnapshot) -> FieldError | None:
    rollout = snapshot.rollout
    for ref in sorted(snapshot.sharing):
        if ref.kind == INGRESSES:
            continue  # nothing is managed there
        for other in snapshot.sharing[ref]:
            if not _is_before(other, rollout):
                continue
            theirs = {route.name for route in _managed_routes(other)}
            for index, route in enumerate(_managed_routes(rollout)):
                if route.name in theirs:
                    detail = f"the route of {ref} is managed by another Rollout, {go_quote(other.metadata.name)}"
                    return invalid(f"{_ROUTING}.managedRoutes[{index}].name", route.name, detail)
    return None


def _managed_routes(rollout: Rollout) -> tuple[ManagedRoute, ...]:
    canary = rollout.spec.strategy.canary
    routing = canary.traffic_routing if canary is not None else None
    return (routing.managed_routes or ()) if routing is not None else ()


def _is_before(other: Rollout, rollout: Rollout) -> bool:
    """Say whether `other` was there first; of two of the same second, the one whose name comes first."""
    if other.metadata.deletion_timestamp is not None:
        return False
    ours, theirs = rollout.metadata.creation_timestamp, other.metadata.creation_timestamp
    if ours is None or theirs is None or ours == theirs:
        return key_of(other) < key_of(rollout)
    return theirs < ours
