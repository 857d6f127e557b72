"""An onlooker who sees at every change in the cluster whether every request would find a pod."""

from typing import Any

from prograde.api.names import POD_TEMPLATE_HASH_LABEL
from prograde.sandbox.client import Resource
from prograde.simulator.traffic import destinations, shares
from prograde.simulator.world import World

GATEWAY = "gateway.networking.k8s.io"


class Traffic:
    """Where the requests for one Rollout go, from the first time that they can be answered.

    What it sees are routing objects, Services and pods, as a proxy would, and nothing that the controller says.
    """

    def __init__(self, it: World, name: str) -> None:
        self._it = it
        self._name = name
        self._client = it.sandbox.client("onlooker")
        self.history: list[float] = []
        """The shares of the version that the Rollout describes, in percent, as they came to be."""
        self.lost: list[str] = []
        """What was going on when requests would have found no pod."""
        self._client.subscribe(self._look)

    def _read(self, resource: Resource, namespace: str, name: str) -> Any:
        return self._client.get(resource, namespace, name)

    def _pods(self) -> dict[str, int]:
        """Return how many pods could answer, by hash."""
        found: dict[str, int] = {}
        for pod in self._it.sandbox.list("pods"):
            conditions = pod.get("status", {}).get("conditions") or ()
            if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
                hash_ = pod["metadata"]["labels"][POD_TEMPLATE_HASH_LABEL]
                found[hash_] = found.get(hash_, 0) + 1
        return found

    def _rules_to_the_canary_alone(self) -> list[Any]:
        """Return the header routes in the routes of the Gateway API, which `destinations` leaves out."""
        kinds = [kind for kind in ("httproutes", "grpcroutes") if self._is_served(kind)]
        routes = [route for kind in kinds for route in self._it.sandbox.list(kind)]
        return [rule for each in routes for rule in each["spec"]["rules"] if len(rule["backendRefs"]) == 1]

    def _is_served(self, kind: str) -> bool:
        return self._read(("apiextensions.k8s.io", "customresourcedefinitions"), "", f"{kind}.{GATEWAY}") is not None

    def _hash_behind(self, service: str) -> str:
        found = self._read(("", "services"), "default", service)
        hash_: str = found["spec"]["selector"].get(POD_TEMPLATE_HASH_LABEL, "")
        return hash_

    def _look(self, change: str, resource: Resource, new: Any, old: Any) -> None:
        if resource[1] in ("events", "leases"):
            return
        if self._read(("argoproj.io", "rollouts"), "default", self._name) is None:
            return
        rollout = self._it.rollout(self._name)
        seen = shares(destinations(rollout, self._read), self._pods())
        if seen.lost:
            self.lost.append(f"{seen.lost:.0%} lost as {resource[1]} {new['metadata']['name']} came to be {change}")
        share = round(100 * seen.by_hash.get(rollout.status.current_pod_hash, 0.0), 3)
        for rule in self._rules_to_the_canary_alone():
            if not self._pods().get(self._hash_behind(rule["backendRefs"][0]["name"])):
                self.lost.append(f"no pod for rule {rule.get('name')} as {resource[1]} came to be {change}")
        if not self.history or self.history[-1] != share:
            self.history.append(share)
