"""What validation is told of the objects that a Rollout refers to.

Routing objects are JSON in the snapshot; those that validation has a type for are decoded here. A kind that nobody has
looked for is left out, and then nothing is said about it.
"""

import msgspec

from prograde.api.codec import decode
from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout, TrafficRouting
from prograde.api.validation import References
from prograde.api.workloads import Ingress
from prograde.core.objects import INGRESSES, VIRTUAL_SERVICES, JsonObject
from prograde.core.rollout.snapshot import RolloutSnapshot

__all__ = ["references_of"]


def references_of(snapshot: RolloutSnapshot) -> References:
    """Return what there is of the objects that the Rollout names."""
    routing = _routing_of(snapshot.rollout)
    return References(
        services=snapshot.services,
        analysis_templates=snapshot.analysis_templates,
        cluster_analysis_templates=snapshot.cluster_analysis_templates,
        ingresses=_ingresses(snapshot) if routing is not None and (routing.nginx or routing.alb) else None,
        virtual_services=_virtual_services(snapshot) if routing is not None and routing.istio is not None else None,
        is_istio_installed=VIRTUAL_SERVICES not in snapshot.objects.unserved,
    )


def _routing_of(rollout: Rollout) -> TrafficRouting | None:
    canary = rollout.spec.strategy.canary
    return canary.traffic_routing if canary is not None else None


def _ingresses(snapshot: RolloutSnapshot) -> dict[str, Ingress] | None:
    """Return the Ingresses of the namespace by name; None when the API server does not know the kind."""
    if INGRESSES in snapshot.objects.unserved:
        return None
    namespace = snapshot.rollout.metadata.namespace
    return {
        ref.name: decode(msgspec.json.encode(obj), Ingress)
        for ref, obj in snapshot.objects.found.items()
        if ref.kind == INGRESSES and ref.namespace == namespace
    }


def _virtual_services(snapshot: RolloutSnapshot) -> dict[NamespacedName, JsonObject]:
    """Return Istio's VirtualServices of all namespaces."""
    return {
        NamespacedName(ref.namespace, ref.name): obj
        for ref, obj in snapshot.objects.found.items()
        if ref.kind == VIRTUAL_SERVICES
    }
