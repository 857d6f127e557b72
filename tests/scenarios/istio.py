"""A cluster with Istio's kinds, Rollouts behind them, and an eye on whether every request would find a pod."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from prograde.sandbox.client import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.simulator.loop import wall_clock
from prograde.simulator.scenery import definitions
from prograde.simulator.world import World, world

HASH = "rollouts-pod-template-hash"
NAME = "web"
IMAGE = "argoproj/rollouts-demo:{}"
RULE = {"name": NAME, "canarySubsetName": "canary", "stableSubsetName": "stable"}
PAIR = {"stableService": "web-stable", "canaryService": "web-canary"}
PING_PONG = {"pingPong": {"pingService": "web-ping", "pongService": "web-pong"}}


def rollout(
    steps: list[dict[str, Any]],
    *,
    rule: bool = False,
    managed: list[str] | None = None,
    replicas: int = 5,
    **canary: Any,
) -> dict[str, Any]:
    istio: dict[str, Any] = {"virtualService": {"name": NAME}, **({"destinationRule": RULE} if rule else {})}
    routing: dict[str, Any] = {"istio": istio}
    if managed is not None:
        routing["managedRoutes"] = [{"name": name} for name in managed]
    template = {
        "metadata": {"labels": {"app": NAME}},
        "spec": {"containers": [{"name": "demo", "image": IMAGE.format("blue")}]},
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": NAME}},
            "strategy": {"canary": {"steps": steps, "trafficRouting": routing, **canary}},
            "template": template,
        },
    }


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]},
    }


def virtual_service(stable: str, canary: str, *, subsets: bool = False) -> dict[str, Any]:
    targets: list[dict[str, Any]] = [
        {"destination": {"host": stable, **({"subset": "stable"} if subsets else {})}, "weight": 100},
        {"destination": {"host": canary, **({"subset": "canary"} if subsets else {})}, "weight": 0},
    ]
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "VirtualService",
        "metadata": {"name": NAME},
        "spec": {"hosts": ["web.example"], "http": [{"name": "primary", "route": targets}]},
    }


def destination_rule() -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "DestinationRule",
        "metadata": {"name": NAME},
        "spec": {"host": NAME, "subsets": [{"name": "stable"}, {"name": "canary", "trafficPolicy": {}}]},
    }


def split_by_services(steps: list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    return [
        service("web-stable"),
        service("web-canary"),
        virtual_service("web-stable", "web-canary"),
        rollout(steps, **PAIR, **fields),
    ]


def split_by_subsets(steps: list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    rule = destination_rule()
    return [service(NAME), rule, virtual_service(NAME, NAME, subsets=True), rollout(steps, rule=True, **fields)]


class Traffic:
    """Looks at every change in the cluster: does each destination have the pods for its share?"""

    def __init__(self, it: World) -> None:
        self._it = it
        self.lost: list[str] = []
        """Whenever requests would have found too few pods, or none."""
        self.history: list[int] = []
        """The canary's weights as they came to be."""
        self.switched_with_weight = 0
        """How often the canary's subset got other pods while it had weight."""
        it.sandbox.client("onlooker").subscribe(self._look)

    def _look(self, change: str, resource: Resource, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        if resource[1] not in ("virtualservices", "destinationrules", "services", "pods"):
            return
        if resource[1] == "pods" and change != "DELETED" and _serves(new) == (old is not None and _serves(old)):
            return
        if resource[1] == "destinationrules" and old is not None and _canary_hash(new) != _canary_hash(old):
            self.switched_with_weight += self.history[-1] > 0
        for route in self._routes():
            if len(route["route"]) == 2 and "mirror" not in route:
                weight = route["route"][1].get("weight", 0)
                if not self.history or self.history[-1] != weight:
                    self.history.append(weight)
            for target in route["route"]:
                weight = target.get("weight", 0)
                available = self._available(target["destination"])
                # A header chooses the canary whatever its share: one pod has to do.
                needed = 1 if len(route["route"]) == 1 else self._replicas() * weight // 100
                if weight and available is not None and available < max(1, needed):
                    found = f"{weight} of {route.get('name')} to {target['destination']} with {available} pods"
                    self.lost.append(f"{found} after {change} of {resource[1]}")

    def _routes(self) -> Iterator[dict[str, Any]]:
        for each in self._it.sandbox.list("virtualservices"):
            yield from each["spec"]["http"]

    def _replicas(self) -> int:
        return int(self._it.sandbox.get("rollouts", NAME)["spec"]["replicas"])

    def _available(self, destination: dict[str, Any]) -> int | None:
        """Return how many pods answer there; None if all pods do, whatever their version."""
        if "subset" in destination:
            rules = {each["metadata"]["name"]: each for each in self._it.sandbox.list("destinationrules")}
            if destination["host"] not in rules:
                return 0
            subsets = {each["name"]: each for each in rules[destination["host"]]["spec"]["subsets"]}
            pod_hash = subsets[destination["subset"]].get("labels", {}).get(HASH)
        else:
            pod_hash = self._it.sandbox.get("services", destination["host"])["spec"]["selector"].get(HASH)
        if pod_hash is None:
            return None
        return sum(_serves(pod) for pod in self._it.sandbox.list("pods", labels=f"{HASH}={pod_hash}"))


def _canary_hash(rule: dict[str, Any]) -> str | None:
    (canary,) = [each for each in rule["spec"]["subsets"] if each["name"] == "canary"]
    found: str | None = canary.get("labels", {}).get(HASH)
    return found


def _serves(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return is_ready and "deletionTimestamp" not in pod["metadata"]


@asynccontextmanager
async def istio_world() -> AsyncIterator[World]:
    """Yield a cluster with Istio's kinds and a running controller."""
    sandbox = Sandbox(now=wall_clock, seed_number=7, profile="fast", crds=definitions())
    async with world(sandbox=sandbox) as it:
        yield it


def http(it: World) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = it.sandbox.get("virtualservices", NAME)["spec"]["http"]
    return routes


def weights(it: World, route: str = "primary") -> list[int]:
    (found,) = [each for each in http(it) if each.get("name") == route]
    return [target.get("weight", 0) for target in found["route"]]


def subset_images(it: World) -> dict[str, str]:
    """Return the image behind each subset, empty where no version is chosen."""
    subsets = it.sandbox.get("destinationrules", NAME)["spec"]["subsets"]
    return {each["name"]: image_of(it, each.get("labels", {}).get(HASH, "")) for each in subsets}


def service_images(it: World, *names: str) -> list[str]:
    """Return the image behind each Service, empty where no version is chosen."""
    return [image_of(it, it.sandbox.get("services", name)["spec"]["selector"].get(HASH, "")) for name in names]


def image_of(it: World, pod_hash: str) -> str:
    """Return the tag of the image that a hash stands for."""
    for each in it.sandbox.list("replicasets"):
        if each["metadata"]["labels"][HASH] == pod_hash:
            return str(each["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]
    return ""


def messages(caplog: pytest.LogCaptureFixture, reason: str) -> list[str]:
    """Return the messages of the events with this reason.

    As recorded: the cluster gets no more than a few of an object that has many.
    """
    return [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "prograde_fields", {}).get("event_reason") == reason
    ]
