"""ReplicaSets become pods.

One pass: claim pods (adopt matching orphans, release what no longer matches), then create or delete, and only when
the number is right write the status. Creating and deleting change pods, which brings the ReplicaSet back: the next
pass sees the new state, so nothing here remembers what it did.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.index import PODS, PodIndex
from prograde.sandbox.controllers.objects import (
    available_at,
    condition_of,
    controller_of,
    find_condition,
    format_time,
    is_active,
    is_deleting,
    is_pod_ready,
    labels_of,
    matches,
    owner_reference,
    parse_time,
)
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["REPLICASETS", "ReplicaSetController", "ReplicaSetPlan", "deletion_rank", "plan_replica_set"]

REPLICASETS: Resource = ("apps", "replicasets")

BURST_MAX = 500
"""Pods created or deleted in one pass at most; the pass that follows does the rest."""


@dataclass(frozen=True, slots=True)
class ReplicaSetPlan:
    """What one pass does about the number of pods; at most one of the first two is not empty."""

    create_count: int
    delete: tuple[Object, ...]
    status: Object
    """The status that describes the pods as they are."""
    wake_at: datetime | None
    """When the next ready pod becomes available."""


def plan_replica_set(
    replica_set: Object, pods: Sequence[Object], colleagues: Callable[[], Iterable[Object]], now: datetime
) -> ReplicaSetPlan:
    """Plan for the pods that this ReplicaSet owns; `colleagues` yields the pods of its sibling ReplicaSets too."""
    active = [pod for pod in pods if is_active(pod)]
    desired = replica_set["spec"].get("replicas", 1)
    surplus = len(active) - desired
    delete: tuple[Object, ...] = ()
    if surplus > 0:
        per_node = Counter(pod["spec"].get("nodeName", "") for pod in colleagues() if is_active(pod))
        ranked = sorted(active, key=lambda pod: deletion_rank(pod, per_node, now))
        delete = tuple(ranked[: min(surplus, BURST_MAX)])
    status, wake_at = _status(replica_set, active, now)
    return ReplicaSetPlan(min(max(0, -surplus), BURST_MAX), delete, status, wake_at)


def deletion_rank(pod: Object, per_node: Counter[str], now: datetime) -> tuple[Any, ...]:
    """Return a sort key: the first in order is the pod whose loss matters least.

    Times are compared by the logarithm of their age first, so that pods of about the same age are alike.
    """
    status = pod.get("status") or {}
    node = pod["spec"].get("nodeName", "")
    ready = condition_of(pod, "Ready")
    is_ready = ready is not None and ready.get("status") == "True"
    ready_since = parse_time(ready["lastTransitionTime"]) if is_ready and ready else None
    created = parse_time(pod["metadata"]["creationTimestamp"])
    annotations = pod["metadata"].get("annotations") or {}
    restarts = max((c.get("restartCount", 0) for c in status.get("containerStatuses") or ()), default=0)
    return (
        bool(node),
        {"Pending": 0, "Unknown": 1}.get(status.get("phase", "Pending"), 2),
        is_ready,
        _deletion_cost(annotations.get("controller.kubernetes.io/pod-deletion-cost", "0")),
        -per_node[node],
        _age_rank(ready_since, now),
        -restarts,
        _age_rank(created, now),
        -created.timestamp(),
        pod["metadata"]["uid"],
    )


def _deletion_cost(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0  # as real controllers do with a cost that is no number


def _age_rank(moment: datetime | None, now: datetime) -> int:
    if moment is None or moment >= now:
        return -1
    return int(math.log2((now - moment).total_seconds() * 1e9))


def _status(replica_set: Object, active: Sequence[Object], now: datetime) -> tuple[Object, datetime | None]:
    spec = replica_set["spec"]
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    min_ready_seconds = spec.get("minReadySeconds", 0)
    available, wake_at = 0, None
    for pod in active:
        due = available_at(pod, min_ready_seconds)
        if due is None:
            continue
        if due <= now:
            available += 1
        elif wake_at is None or due < wake_at:
            wake_at = due
    labelled = sum(1 for pod in active if template_labels.items() <= labels_of(pod).items())
    status: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": labelled or None,
        "readyReplicas": sum(1 for pod in active if is_pod_ready(pod)) or None,
        "availableReplicas": available or None,
        "observedGeneration": replica_set["metadata"].get("generation", 0),
    }
    return status, wake_at


class ReplicaSetController(Controller):
    """Reconciles (namespace, name) of one ReplicaSet."""

    name: ClassVar[str] = "replicaset"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({REPLICASETS, PODS})

    def __init__(
        self, client: LocalClient, now: Callable[[], datetime], pods: PodIndex, recorder: EventRecorder
    ) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._pods = pods
        self._recorder = recorder

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        namespace = new["metadata"]["namespace"]
        if resource == REPLICASETS:
            # A change of status alone is mostly our own: looking again would only defeat the back-off after a failure.
            if previous is None or new["metadata"].get("generation") != previous["metadata"].get("generation"):
                self.enqueue((namespace, new["metadata"]["name"]))
            return
        if (
            change == "MODIFIED"
            and previous is not None
            and _seen_by_replica_set(new) == _seen_by_replica_set(previous)
        ):
            return
        owners = {self._owner_name(pod) for pod in (new, previous) if pod is not None}
        for owner in sorted(filter(None, owners)):
            self.enqueue((namespace, owner))
        if change != "DELETED" and controller_of(new) is None:
            for replica_set in self._client.list(REPLICASETS, namespace):
                if matches(replica_set["spec"]["selector"], labels_of(new)):
                    self.enqueue((namespace, replica_set["metadata"]["name"]))

    @staticmethod
    def _owner_name(pod: Object) -> str:
        owner = controller_of(pod)
        return owner["name"] if owner is not None and owner["kind"] == "ReplicaSet" else ""

    def reconcile(self, key: Key) -> datetime | None:
        replica_set = self._client.get(REPLICASETS, *key)
        if replica_set is None:
            return None
        pods = self._claim(replica_set)
        plan = plan_replica_set(replica_set, pods, lambda: self._colleagues(replica_set), self._now())
        changed, failure = 0, None
        if not is_deleting(replica_set):
            changed, failure = self._create(replica_set, plan.create_count)
            if plan.delete:
                changed, failure = self._delete(replica_set, plan.delete)
        if changed and failure is None:
            return None  # the pods' changes bring us back, with a status worth writing
        self._write_status(replica_set, plan, failure)
        if failure is not None:
            raise failure
        return plan.wake_at

    def _claim(self, replica_set: Object) -> list[Object]:
        """Return the owned pods after adopting and releasing."""
        meta, selector = replica_set["metadata"], replica_set["spec"]["selector"]
        owned = []
        for resource, pod in list(self._client.dependents(meta["uid"])):
            owner = controller_of(pod)
            if resource != PODS or owner is None or owner["uid"] != meta["uid"]:
                continue
            if matches(selector, labels_of(pod)):
                owned.append(pod)
            elif not is_deleting(replica_set):
                self._set_owners(pod, [ref for ref in pod["metadata"]["ownerReferences"] if ref is not owner])
        if not is_deleting(replica_set):
            for pod in self._pods.orphans(meta["namespace"]):
                if is_active(pod) and matches(selector, labels_of(pod)):
                    references = pod["metadata"].get("ownerReferences") or []
                    owned.append(self._set_owners(pod, [*references, _reference(replica_set)]))
        return owned

    def _set_owners(self, pod: Object, references: list[Object]) -> Object:
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"], "ownerReferences": references or None}}
        return self._client.patch(PODS, meta["namespace"], meta["name"], patch)

    def _colleagues(self, replica_set: Object) -> Iterator[Object]:
        """Yield the pods of all ReplicaSets of this one's owner, its own included."""
        owner = controller_of(replica_set)
        uids = [replica_set["metadata"]["uid"]]
        if owner is not None:
            uids = [rs["metadata"]["uid"] for kind, rs in self._client.dependents(owner["uid"]) if kind == REPLICASETS]
        for uid in uids:
            yield from (pod for kind, pod in self._client.dependents(uid) if kind == PODS)

    def _create(self, replica_set: Object, count: int) -> tuple[int, StatusError | None]:
        """Create pods in batches of 1, 2, 4, ..., so that a hopeless template fails a few times, not hundreds.

        Return how many were created, and the last failure of the batch that had one.
        """
        if not count:
            return 0, None
        pod = _new_pod(replica_set)
        batch, created = 1, 0
        failure: StatusError | None = None
        while created < count and failure is None:
            for _ in range(min(batch, count - created)):
                try:
                    name = self._client.create(PODS, replica_set["metadata"]["namespace"], pod)["metadata"]["name"]
                except StatusError as err:
                    if _is_namespace_terminating(err):
                        return created, None  # nothing to report: the ReplicaSet will go too
                    failure = err
                    self._record(replica_set, "Warning", "FailedCreate", f"Error creating: {err.message}")
                else:
                    created += 1
                    self._record(replica_set, "Normal", "SuccessfulCreate", f"Created pod: {name}")
            batch *= 2
        return created, failure

    def _delete(self, replica_set: Object, pods: Sequence[Object]) -> tuple[int, StatusError | None]:
        deleted = 0
        failure: StatusError | None = None
        for pod in pods:
            meta = pod["metadata"]
            try:
                self._client.delete(PODS, meta["namespace"], meta["name"], uid=meta["uid"])
            except StatusError as err:
                if err.code == 404:
                    continue
                failure = err
                self._record(replica_set, "Warning", "FailedDelete", f"Error deleting: {err.message}")
            else:
                deleted += 1
                self._record(replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {meta['name']}")
        return deleted, failure

    def _record(self, replica_set: Object, type_: Any, reason: str, message: str) -> None:
        self._recorder.record(replica_set, "apps/v1", "ReplicaSet", type_, reason, message)

    def _write_status(self, replica_set: Object, plan: ReplicaSetPlan, failure: StatusError | None) -> None:
        current = replica_set.get("status") or {}
        status = {**plan.status, "conditions": self._conditions(current, plan, failure)}
        changed = {name: value for name, value in status.items() if current.get(name) != value}
        if changed:
            meta = replica_set["metadata"]
            patch = {"metadata": {"uid": meta["uid"]}, "status": changed}
            self._client.patch(REPLICASETS, meta["namespace"], meta["name"], patch, subresource="status")

    def _conditions(self, current: Object, plan: ReplicaSetPlan, failure: StatusError | None) -> list[Object] | None:
        """Return the conditions with ReplicaFailure set or taken away, None for none at all."""
        conditions = current.get("conditions") or []
        if failure is None:
            return [condition for condition in conditions if condition["type"] != "ReplicaFailure"] or None
        if find_condition(conditions, "ReplicaFailure") is not None:
            return list(conditions)
        condition = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedDelete" if plan.delete else "FailedCreate",
            "message": failure.message,
            "lastTransitionTime": format_time(self._now()),
        }
        return [*conditions, condition]


def _new_pod(replica_set: Object) -> Object:
    template = replica_set["spec"]["template"]
    meta = replica_set["metadata"]
    wanted = template.get("metadata") or {}
    metadata = {name: wanted[name] for name in ("labels", "annotations", "finalizers") if wanted.get(name)}
    metadata["generateName"] = f"{meta['name']}-"
    metadata["namespace"] = meta["namespace"]
    metadata["ownerReferences"] = [_reference(replica_set)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _reference(replica_set: Object) -> Object:
    return owner_reference(replica_set, "apps/v1", "ReplicaSet")


def _seen_by_replica_set(pod: Object) -> tuple[Any, ...]:
    """Return what of a pod can change a ReplicaSet's mind; other changes are not worth a pass."""
    meta = pod["metadata"]
    ready = condition_of(pod, "Ready")
    return (
        meta.get("labels"),
        meta.get("ownerReferences"),
        is_active(pod),
        ready and (ready.get("status"), ready.get("lastTransitionTime")),
    )


def _is_namespace_terminating(err: StatusError) -> bool:
    return any(cause.reason == "NamespaceTerminating" for cause in err.causes)
