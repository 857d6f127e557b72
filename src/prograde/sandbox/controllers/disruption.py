"""PodDisruptionBudgets: the status that says how many pods may be disturbed. The `eviction` sub-resource acts on it."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.index import PODS, PodIndex
from prograde.sandbox.controllers.objects import (
    controller_of,
    format_time,
    is_deleting,
    is_pod_ready,
    labels_of,
    matches,
)
from prograde.sandbox.kinds import Object

__all__ = ["BUDGETS", "DisruptionController", "plan_budget"]

BUDGETS: Resource = ("policy", "poddisruptionbudgets")


def plan_budget(budget: Object, pods: Iterable[Object], expected: int, now: datetime) -> Object:
    """Return the status of a budget whose pods belong to controllers that want `expected` pods in all."""
    spec = budget["spec"]
    healthy = sum(1 for pod in pods if is_pod_ready(pod) and not is_deleting(pod))
    if spec.get("maxUnavailable") is not None:
        desired = max(0, expected - _scaled(spec["maxUnavailable"], expected))
    else:
        desired = _scaled(spec.get("minAvailable", 1), expected)
    allowed = max(0, healthy - desired) if expected > 0 else 0
    generation = budget["metadata"].get("generation", 0)
    known: Object = next(iter((budget.get("status") or {}).get("conditions") or ()), {})
    status = "True" if allowed else "False"
    condition = {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": known["lastTransitionTime"] if known.get("status") == status else format_time(now),
    }
    return {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": [condition],
    }


def _scaled(value: int | str, total: int) -> int:
    """Return a count, or a percentage of `total` rounded up."""
    if isinstance(value, str) and value.endswith("%"):
        return -(-int(value[:-1]) * total // 100)
    return int(value)


class DisruptionController(Controller):
    """Reconciles (namespace, name) of one PodDisruptionBudget."""

    name: ClassVar[str] = "disruption"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({PODS, BUDGETS})

    def __init__(self, client: LocalClient, now: Callable[[], datetime], pods: PodIndex) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._pods = pods
        self._selectors: dict[Key, Any] = {}

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        key = (new["metadata"]["namespace"], new["metadata"]["name"])
        if resource == BUDGETS:
            if change == "DELETED":
                self._selectors.pop(key, None)
            else:
                self._selectors[key] = new["spec"].get("selector")
                self.enqueue(key)
            return
        for budget, selector in self._selectors.items():
            if budget[0] == key[0] and matches(selector, labels_of(new)):
                self.enqueue(budget)

    def reconcile(self, key: Key) -> None:
        budget = self._client.get(BUDGETS, *key)
        if budget is None:
            return
        pods = list(self._pods.matching(key[0], budget["spec"].get("selector") or {}))
        status = plan_budget(budget, pods, self._expected(pods), self._now())
        current = budget.get("status") or {}
        status["disruptedPods"] = {
            pod["metadata"]["name"]: current["disruptedPods"][pod["metadata"]["name"]]
            for pod in pods
            if pod["metadata"]["name"] in (current.get("disruptedPods") or {}) and not is_deleting(pod)
        } or None
        changed = {name: value for name, value in status.items() if current.get(name) != value}
        if changed:
            self._client.patch(BUDGETS, key[0], key[1], {"status": changed}, subresource="status")

    def _expected(self, pods: Iterable[Object]) -> int:
        """Return the replicas that the pods' controllers want; a pod without one counts for itself."""
        expected = 0
        seen: set[str] = set()
        for pod in pods:
            owner, reference = self._controller_of(pod)
            if reference is not None and owner is not None and owner["kind"] == "ReplicaSet":
                above, above_reference = self._controller_of(owner)
                if above_reference is not None and above_reference["kind"] == "Deployment":
                    owner, reference = above, above_reference
            if reference is None:
                expected += 1
            elif reference["uid"] not in seen:
                seen.add(reference["uid"])
                expected += ((owner or {}).get("spec") or {}).get("replicas", 1)
        return expected

    def _controller_of(self, obj: Object) -> tuple[Object | None, Object | None]:
        """Return the managing controller, if it still exists, and the reference to it."""
        reference = controller_of(obj)
        if reference is None:
            return None, None
        resource = self._client.kind_of(reference["apiVersion"], reference["kind"])
        owner = self._client.get(resource, obj["metadata"]["namespace"], reference["name"]) if resource else None
        return owner, reference
