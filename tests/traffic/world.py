"""Rollouts with a router, and a small world that holds routing objects as an API server would.

Writes are carried out through the very patches that a router returns, with the versions they name, so that a patch that
would conflict or write nonsense fails here, too.
"""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from prograde.api.meta import ObjectMeta
from prograde.api.rollout import (
    CanaryStatus,
    CanaryStep,
    CanaryStrategy,
    HeaderRoutingMatch,
    ManagedRoute,
    Rollout,
    RolloutSpec,
    RolloutStatus,
    RolloutStrategy,
    SetHeaderRoute,
    SetMirrorRoute,
    StringMatch,
    TrafficRouting,
    TrafficWeights,
    WeightDestination,
)
from prograde.api.workloads import Service
from prograde.core.objects import JsonObject, ObjectKind, ObjectRef, Objects
from prograde.core.plan import Action, CreateObject, PatchObject
from prograde.core.routing import Routed, Router, RoutingIntent
from prograde.kube.patches import merge_patch

NAMESPACE = "shop"
UID = "rollout-uid"


def rollout_with(
    routing: TrafficRouting | None,
    *,
    name: str = "web",
    steps: Sequence[CanaryStep] = (),
    recorded: Sequence[WeightDestination] = (),
    **canary: Any,
) -> Rollout:
    """Return a Rollout with Services called stable and canary; `recorded` are further destinations in its status."""
    weights = TrafficWeights(additional=tuple(recorded)) if recorded else None
    services = {"stable_service": "stable", "canary_service": "canary"}
    strategy = CanaryStrategy(traffic_routing=routing, steps=tuple(steps), **{**services, **canary})
    return Rollout(
        metadata=ObjectMeta(name=name, namespace=NAMESPACE, uid=UID),
        spec=RolloutSpec(strategy=RolloutStrategy(canary=strategy)),
        status=RolloutStatus(canary=CanaryStatus(weights=weights)),
    )


def header_route(name: str, **headers: str | StringMatch) -> SetHeaderRoute:
    """Return a header route; underscores in names become dashes, plain strings are compared exactly."""
    matches = (
        HeaderRoutingMatch(
            header_name=key.replace("_", "-"),
            header_value=StringMatch(exact=value) if isinstance(value, str) else value,
        )
        for key, value in headers.items()
    )
    return SetHeaderRoute(name=name, match=tuple(matches))


def managed(*routes: str) -> tuple[ManagedRoute, ...]:
    return tuple(ManagedRoute(name=route) for route in routes)


class Cluster:
    """The routing objects that there are."""

    def __init__(self, objects: Mapping[ObjectRef, JsonObject], unserved: Iterable[ObjectKind] = ()) -> None:
        self.objects: dict[ObjectRef, Any] = {}
        self.unserved = frozenset(unserved)
        self._revision = 0
        for ref, obj in objects.items():
            self.put(ref, obj)

    def put(self, ref: ObjectRef, obj: JsonObject) -> None:
        """Store an object, with the metadata that every object has."""
        self._revision += 1
        written = json.loads(json.dumps(obj))  # what is the same object twice becomes two
        metadata = written.setdefault("metadata", {})
        assert isinstance(metadata, dict)
        metadata |= {"name": ref.name, "namespace": ref.namespace, "resourceVersion": str(self._revision)}
        self.objects[ref] = written

    def remove(self, ref: ObjectRef) -> None:
        del self.objects[ref]

    def snapshot(self) -> Objects:
        return Objects(found=copy.deepcopy(self.objects), unserved=self.unserved)

    def ask(
        self,
        router: Router,
        rollout: Rollout,
        weight: int,
        *,
        max_weight: int = 100,
        routes: Sequence[SetHeaderRoute | SetMirrorRoute] = (),
        additional: Sequence[WeightDestination] = (),
        services: Mapping[str, Service] | None = None,
        is_going_back: bool = False,
    ) -> Routed:
        """Return what the router would do. It must not change what it is given, and must look only at what it wants."""
        intent = RoutingIntent(
            rollout=rollout,
            weight=weight,
            max_weight=max_weight,
            canary_hash="new",
            stable_hash="old",
            routes=tuple(routes),
            additional=tuple(additional),
            services=services or {},
            is_going_back=is_going_back,
        )
        wanted = router.wanted()
        everything = self.snapshot()
        selected = [ref for selection in wanted.selections for ref, _ in everything.select(selection)]
        given = msgspec.structs.replace(
            everything, found={ref: everything.found[ref] for ref in (*wanted.refs, *selected) if ref in self.objects}
        )
        before = copy.deepcopy(given)
        routed = router.route(intent, given)
        assert given == before
        return routed

    def carry_out(self, routed: Routed) -> list[Action]:
        """Carry out the writes and return them."""
        actions = [action for group in routed.groups for action in group]
        for action in actions:
            if isinstance(action, CreateObject):
                assert action.ref not in self.objects, "the name is taken"
                self.put(action.ref, action.manifest)
            elif isinstance(action, PatchObject):
                self._patch(action)
            else:
                raise AssertionError(f"a router does not write {action!r}")
        return actions

    def _patch(self, action: PatchObject) -> None:
        present = self.objects[action.ref]
        metadata = action.patch.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        replaces_a_list = _has_list(action.patch)
        assert version == present["metadata"]["resourceVersion"] or (version is None and not replaces_a_list)
        self.put(action.ref, merge_patch(present, action.patch))


def _has_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_list, value.values()))
    return isinstance(value, list)
