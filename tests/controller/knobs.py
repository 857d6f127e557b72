"""A traffic router as simple as can be: the weight stands in an object of its own, a Knob named like the Rollout."""

from typing import Any

from prograde.api.meta import LabelSelector
from prograde.api.names import EVENT_TRAFFIC_ROUTING_ERROR, EVENT_WARNING
from prograde.api.rollout import Rollout
from prograde.core.objects import ObjectKind, ObjectRef, Objects, ObjectSelection
from prograde.core.plan import Event, PatchObject
from prograde.core.routing import Routed, Router, RoutingIntent, Wanted

__all__ = ["KNOBS", "KNOB_DEFINITION", "SELECTION_LABEL", "knob", "knob_routers"]

KNOBS = ObjectKind("example.com", "v1", "knobs", "Knob")

SELECTION_LABEL = "knobs"
"""A Rollout with this label wants all Knobs that have the same value of it."""

KNOB_DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "knobs.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "knobs", "singular": "knob", "kind": "Knob", "listKind": "KnobList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": version,
                "served": True,
                "storage": version == "v1",
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
            for version in ("v1", "v2")
        ],
    },
}


def knob(name: str = "cart", weight: int = 0, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Knob",
        "metadata": {"name": name, **metadata},
        "spec": {"weight": weight},
    }


class KnobRouter:
    """Turns the Knob of a Rollout."""

    name = "Knob"

    def __init__(self, rollout: Rollout) -> None:
        metadata = rollout.metadata
        self._ref = ObjectRef(KNOBS, metadata.annotations.get("knob-in", metadata.namespace), metadata.name)
        value = metadata.labels.get(SELECTION_LABEL)
        selector = LabelSelector(match_labels={SELECTION_LABEL: value or ""})
        self._selections = (ObjectSelection(KNOBS, metadata.namespace, selector),) if value else ()

    def wanted(self) -> Wanted:
        return Wanted((self._ref,), self._selections)

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        if KNOBS in objects.unserved:
            return Routed(error="there are no Knobs in this cluster")
        found: Any = objects.get(self._ref)
        if found is None:
            return Routed(error=f'knobs.example.com "{self._ref.name}" not found')
        if found["spec"]["weight"] == intent.weight:
            return Routed()
        version = found["metadata"]["resourceVersion"]
        failure = Event(EVENT_TRAFFIC_ROUTING_ERROR, f"cannot turn {self._ref}", EVENT_WARNING)
        turn = PatchObject(
            ref=self._ref,
            patch={"metadata": {"resourceVersion": version}, "spec": {"weight": intent.weight}},
            failure=failure,
            events=(Event("Turned", f"{self._ref} to {intent.weight}"),),
        )
        return Routed(groups=((turn,),))


def knob_routers(rollout: Rollout) -> tuple[Router, ...]:
    """Route every Rollout with `trafficRouting` by its Knob."""
    canary = rollout.spec.strategy.canary
    return (KnobRouter(rollout),) if canary is not None and canary.traffic_routing is not None else ()
