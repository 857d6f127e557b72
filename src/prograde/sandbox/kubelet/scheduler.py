"""The scheduler: assigns pending pods to nodes.

A node fits when it is ready and not cordoned, its labels satisfy the pod's node selector and required node affinity,
and the pod tolerates its taints. Among those that fit, the emptiest wins, then the first by name. Resources are not
counted: a simulated node has room for everything.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.index import PODS
from prograde.sandbox.controllers.objects import (
    condition_of,
    format_time,
    is_deleting,
    is_terminal,
    labels_of,
    matches,
    with_condition,
)
from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.profiles import Profile

__all__ = ["NODES", "Placement", "Scheduler", "place", "tolerates"]

NODES: Resource = ("", "nodes")

DEFAULT_SCHEDULER = "default-scheduler"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a pod should go, or why it can go nowhere."""

    node: str = ""
    problem: str = ""


def place(pod: Object, nodes: Sequence[Object], pod_counts: Mapping[str, int]) -> Placement:
    """Choose a node for a pod; `pod_counts` says how many pods each node has."""
    problems: dict[str, int] = {}
    fitting: list[tuple[int, str]] = []
    for node in nodes:
        name = node["metadata"]["name"]
        problem = _misfit(pod, node)
        if problem:
            problems[problem] = problems.get(problem, 0) + 1
        else:
            fitting.append((pod_counts.get(name, 0), name))
    if fitting:
        return Placement(node=min(fitting)[1])
    if not nodes:
        return Placement(problem="no nodes available to schedule pods")
    listed = ", ".join(f"{count} {problem}" for problem, count in sorted(problems.items()))
    return Placement(problem=f"0/{len(nodes)} nodes are available: {listed}.")


def _misfit(pod: Object, node: Object) -> str:
    """Return why a node does not fit, empty when it does."""
    spec = node.get("spec") or {}
    if spec.get("unschedulable") and not tolerates(pod, {"key": "node.kubernetes.io/unschedulable"}, ("NoSchedule",)):
        return "node(s) were unschedulable"
    for taint in spec.get("taints") or ():
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(pod, taint, (taint["effect"],)):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    ready = condition_of(node, "Ready")
    if ready is None or ready.get("status") != "True":
        return "node(s) were not ready"
    labels = {**labels_of(node), "metadata.name": node["metadata"]["name"]}
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(name) != value for name, value in wanted.items()) or not _affine(pod, labels):
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def _affine(pod: Object, labels: Mapping[str, str]) -> bool:
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(
        all(
            _term_holds(each, labels)
            for each in (*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ()))
        )
        for term in required.get("nodeSelectorTerms") or ()
    )


def _term_holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    operator = expression["operator"]
    if operator in ("Gt", "Lt"):
        try:
            left, right = int(labels.get(expression["key"], "")), int((expression.get("values") or [""])[0])
        except ValueError:
            return False
        return left > right if operator == "Gt" else left < right
    return matches({"matchExpressions": [expression]}, labels)


def tolerates(pod: Object, taint: Mapping[str, str], effects: Iterable[str]) -> bool:
    """Return whether one of the pod's tolerations covers a taint with all of the effects."""
    return all(any(_covers(each, taint, effect) for each in pod["spec"].get("tolerations") or ()) for effect in effects)


def _covers(toleration: Mapping[str, Any], taint: Mapping[str, str], effect: str) -> bool:
    if toleration.get("effect") not in (None, "", effect):
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint["key"]
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")


class Scheduler(Controller):
    """Reconciles (namespace, name) of one pod."""

    name: ClassVar[str] = "scheduler"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({PODS, NODES})

    def __init__(
        self, client: LocalClient, now: Callable[[], datetime], recorder: EventRecorder, profile: Profile
    ) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._recorder = recorder
        self._profile = profile
        self._pod_counts: dict[str, int] = {}
        self._waiting: dict[Key, None] = {}
        """Pods that fitted nowhere: tried again when a node changes."""

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        if resource == NODES:
            for key in tuple(self._waiting):
                self.enqueue(key)
            return
        key = (new["metadata"]["namespace"], new["metadata"]["name"])
        before = previous["spec"].get("nodeName", "") if previous is not None else ""
        after = new["spec"].get("nodeName", "")
        if change == "DELETED":
            self._waiting.pop(key, None)
            self._count(after, -1)
            return
        if before != after:
            self._count(after, 1)
        elif not after and change == "MODIFIED":
            self.enqueue(key)
        if not after and change == "ADDED":
            if self._profile.schedule_seconds:
                self.enqueue_at(key, self._now() + timedelta(seconds=self._profile.schedule_seconds))
            else:
                self.enqueue(key)

    def _count(self, node: str, difference: int) -> None:
        if node:
            self._pod_counts[node] = self._pod_counts.get(node, 0) + difference

    def reconcile(self, key: Key) -> None:
        pod = self._client.get(PODS, *key)
        self._waiting.pop(key, None)
        if pod is None or pod["spec"].get("nodeName") or is_deleting(pod) or is_terminal(pod):
            return
        if (pod["spec"].get("schedulerName") or DEFAULT_SCHEDULER) != DEFAULT_SCHEDULER:
            return  # somebody else's
        if pod["spec"].get("schedulingGates"):
            self._report(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
            return
        placement = place(pod, list(self._client.list(NODES)), self._pod_counts)
        if placement.node:
            self._bind(pod, placement.node)
        else:
            self._waiting[key] = None
            self._report(pod, "Unschedulable", placement.problem)
            self._recorder.record(pod, "v1", "Pod", "Warning", "FailedScheduling", placement.problem)

    def _bind(self, pod: Object, node: str) -> None:
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"]}, "spec": {"nodeName": node}}
        self._client.patch(PODS, meta["namespace"], meta["name"], patch, subresource="binding")
        if self._profile.has_normal_events:
            message = f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}"
            self._recorder.record(pod, "v1", "Pod", "Normal", "Scheduled", message)

    def _report(self, pod: Object, reason: str, message: str) -> None:
        meta = pod["metadata"]
        known = condition_of(pod, "PodScheduled")
        if known is not None and (known.get("reason"), known.get("message")) == (reason, message):
            return
        moment = format_time(self._now())
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "lastTransitionTime": known["lastTransitionTime"] if known is not None else moment,
            "reason": reason,
            "message": message,
        }
        conditions = with_condition((pod.get("status") or {}).get("conditions") or [], condition)
        patch = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": conditions}}
        self._client.patch(PODS, meta["namespace"], meta["name"], patch, subresource="status")
