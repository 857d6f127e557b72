"""Rollouts that route with Istio, their objects, and a mesh in which patches are carried out at once.

`Mesh.route` carries out what the router wants and asks it again: whatever a test is about, the second answer must be
that nothing is left to write.
"""

import copy
import json
from collections.abc import Sequence
from typing import Any

from prograde.api.codec import decode
from prograde.api.meta import ObjectMeta
from prograde.api.rollout import Rollout, SetHeaderRoute, SetMirrorRoute, WeightDestination
from prograde.api.workloads import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from prograde.core.objects import DESTINATION_RULES, VIRTUAL_SERVICES, ObjectKind, ObjectRef, Objects
from prograde.core.plan import PatchObject
from prograde.core.routing import Routed, RoutingIntent
from prograde.kube.patches import merge_patch
from prograde.traffic.istio import IstioRouter

HASH = "rollouts-pod-template-hash"
MANAGER = "argo-rollouts.argoproj.io/managed-by-rollouts"
FIELD = "spec.strategy.canary.trafficRouting.istio"

RULE = {"name": "web-dr", "canarySubsetName": "canary", "stableSubsetName": "stable"}
SERVICES = {"stableService": "stable", "canaryService": "canary"}
PING_PONG = {"pingPong": {"pingService": "ping", "pongService": "pong"}}


def rollout(
    *,
    managed: Sequence[str] | None = None,
    rule: dict[str, Any] | None = None,
    others: Sequence[dict[str, Any]] | None = None,
    canary: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **virtual_service: Any,
) -> Rollout:
    """Return a Rollout for VirtualService `web-vs`; `others` stands for a list of VirtualServices instead."""
    istio: dict[str, Any] = {"virtualService": {"name": "web-vs", **virtual_service}}
    if others is not None:
        istio = {"virtualServices": list(others)}
    if rule is not None:
        istio["destinationRule"] = rule
    routing: dict[str, Any] = {"istio": istio}
    if managed is not None:
        routing["managedRoutes"] = [{"name": name} for name in managed]
    value = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"strategy": {"canary": {**(SERVICES if canary is None else canary), "trafficRouting": routing}}},
        "status": status or {},
    }
    return decode(json.dumps(value).encode(), Rollout)


def to(host: str, weight: int | None = None, subset: str = "", port: int = 0) -> dict[str, Any]:
    """Return a destination; None leaves its weight out."""
    destination: dict[str, Any] = {"host": host}
    if port:
        destination["port"] = {"number": port}
    if subset:
        destination["subset"] = subset
    return {"destination": destination} if weight is None else {"destination": destination, "weight": weight}


def both(stable: int = 100, canary: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a route to both Services."""
    return {**fields, "route": [to("stable", stable), to("canary", canary)]}


def subsets(stable: int = 100, canary: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a route to both subsets."""
    return {**fields, "route": [to("web", stable, "stable"), to("web", canary, "canary")]}


def virtual_service(http: Any = None, *, name: str = "web-vs", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": "7", "labels": {"team": "web"}},
        "spec": {"hosts": ["web.example"], **spec, **({} if http is None else {"http": http})},
    }


def destination_rule(*subsets: Any, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "DestinationRule",
        "metadata": {"name": "web-dr", "namespace": "shop", "resourceVersion": "8"},
        "spec": {"host": "web", **spec, "subsets": list(subsets)},
    }


def replica_set(pod_hash: str, size: int, available: int) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name=f"web-{pod_hash}", namespace="shop", labels={HASH: pod_hash}),
        spec=ReplicaSetSpec(replicas=size),
        status=ReplicaSetStatus(available_replicas=available, replicas=size),
    )


def extra(name: str, weight: int, pod_hash: str = "") -> WeightDestination:
    return WeightDestination(service_name=name, weight=weight, pod_template_hash=pod_hash)


class Mesh:
    """What the cluster holds of Istio's objects."""

    def __init__(self, *objects: dict[str, Any], unserved: Sequence[ObjectKind] = ()) -> None:
        self.objects = {_ref(obj): obj for obj in objects}
        self.unserved = frozenset(unserved)
        self.writes: list[str] = []
        """The objects written, in order."""
        self.events: list[str] = []
        """What was recorded: reason, blank, message."""

    def ask(self, subject: Rollout, weight: int = 0, **intent: Any) -> Routed:
        """Return the router's answer, nothing is carried out."""
        found = Objects(found=copy.deepcopy(self.objects), unserved=self.unserved)
        answer = router_of(subject).route(RoutingIntent(rollout=subject, weight=weight, **intent), found)
        assert found.found == self.objects, "the router has changed what it was given"
        return answer

    def route(self, subject: Rollout, weight: int = 0, **intent: Any) -> Routed:
        """Carry out what the router wants, and ask again: nothing may be left."""
        routed = self.ask(subject, weight, **intent)
        for group in routed.groups:
            for action in group:
                assert isinstance(action, PatchObject)
                before = self.objects[action.ref]
                assert action.patch["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
                after = merge_patch(before, action.patch)
                after["metadata"]["resourceVersion"] = str(int(before["metadata"]["resourceVersion"]) + 1)
                self.objects[action.ref] = after
                self.writes.append(str(action.ref))
                self.events += [f"{event.reason} {event.message}" for event in action.events]
        self.events += [f"{event.reason} {event.message}" for event in routed.events]
        again = self.ask(subject, weight, **intent)
        assert again.groups == ()
        return routed

    def spec(self, name: str = "web-vs", namespace: str = "shop") -> dict[str, Any]:
        return self.objects[ObjectRef(VIRTUAL_SERVICES, namespace, name)]["spec"]

    def http(self, name: str = "web-vs", namespace: str = "shop") -> list[dict[str, Any]]:
        return self.spec(name, namespace)["http"]

    def names(self) -> list[str | None]:
        """Return the names of the HTTP routes in their order."""
        return [route.get("name") for route in self.http()]

    def weights(self, name: str | None = None, kind: str = "http", virtual_service: str = "web-vs") -> list[int]:
        """Return the weights of a route by its name; None for the first one."""
        routes = self.spec(virtual_service)[kind]
        route = routes[0] if name is None else next(each for each in routes if each.get("name") == name)
        return [target.get("weight", 0) for target in route["route"]]

    def rule(self) -> dict[str, Any]:
        return self.objects[ObjectRef(DESTINATION_RULES, "shop", "web-dr")]

    def hashes(self) -> dict[str, str]:
        """Return the hash of each subset of the DestinationRule, empty for none."""
        return {each["name"]: each.get("labels", {}).get(HASH, "") for each in self.rule()["spec"]["subsets"]}


def header(name: str, value: str = "firefox") -> SetHeaderRoute:
    match = [{"headerName": "agent", "headerValue": {"exact": value}}]
    return decode(json.dumps({"name": name, "match": match}).encode(), SetHeaderRoute)


def mirror(name: str, percentage: int | None = None, **match: Any) -> SetMirrorRoute:
    value = {"name": name, "match": [match or {"method": {"exact": "GET"}}], "percentage": percentage}
    return decode(json.dumps(value).encode(), SetMirrorRoute)


def router_of(subject: Rollout) -> IstioRouter:
    canary = subject.spec.strategy.canary
    assert canary is not None
    assert canary.traffic_routing is not None
    assert canary.traffic_routing.istio is not None
    return IstioRouter(subject, canary.traffic_routing.istio)


def _ref(obj: dict[str, Any]) -> ObjectRef:
    kind = VIRTUAL_SERVICES if obj["kind"] == "VirtualService" else DESTINATION_RULES
    return ObjectRef(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
