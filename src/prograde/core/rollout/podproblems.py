"""What is the matter with a pod: the container, its reason in Kubernetes' words, and what a person can do about it.

A ReplicaSet only counts its pods. Whoever looks at the pods as well can name the one that will not start, and why. Of
several the worst is told: what never gets better by waiting comes before what may just take its time.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from prograde.api import names
from prograde.api.meta import find_condition
from prograde.api.workloads import ContainerStatus, Pod, ReplicaSet

__all__ = ["PodProblem", "settled_at", "worst_problem"]

_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_STARTING_REASONS = ("", "ContainerCreating", "PodInitializing")


class PodProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why one pod is not ready."""

    pod: str
    field: str
    """The field of the pod's status that says so."""
    text: str
    since: datetime | None = None
    remedy: str = ""
    rank: int = 0
    """The lower, the worse."""


def worst_problem(replica_set: ReplicaSet, pods: Iterable[Pod]) -> PodProblem | None:
    """Return why the ReplicaSet's pods are not ready; None when all are, or nothing is known of them."""
    uid = replica_set.metadata.uid
    own = (pod for pod in pods if any(owner.uid == uid for owner in pod.metadata.owner_references))
    found = [problem for pod in own if pod.metadata.deletion_timestamp is None for problem in _problems(pod)]
    return min(found, key=lambda each: (each.rank, each.pod), default=None)


def settled_at(replica_set: ReplicaSet, pods: Iterable[Pod], min_ready: timedelta) -> datetime | None:
    """Return when the last of the ReplicaSet's ready pods will have been ready for `min_ready`; None without any."""
    uid = replica_set.metadata.uid
    conditions = [
        find_condition(pod.status.conditions, "Ready")
        for pod in pods
        if any(owner.uid == uid for owner in pod.metadata.owner_references)
    ]
    times = [
        each.last_transition_time + min_ready
        for each in conditions
        if each is not None and each.status == names.CONDITION_TRUE and each.last_transition_time is not None
    ]
    return max(times, default=None)


def _problems(pod: Pod) -> Iterator[PodProblem]:
    """Yield what keeps a pod from being ready, as far as its status tells."""
    ready = find_condition(pod.status.conditions, "Ready")
    if ready is not None and ready.status == names.CONDITION_TRUE:
        return
    since = ready.last_transition_time if ready is not None else pod.metadata.creation_timestamp
    name = pod.metadata.name
    scheduled = find_condition(pod.status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status == names.CONDITION_FALSE:
        yield PodProblem(
            pod=name,
            field="status.conditions[PodScheduled]",
            text=f"cannot be scheduled: {scheduled.message or scheduled.reason}",
            since=scheduled.last_transition_time or since,
            remedy="make room for the pod, or ask for less in spec.template",
            rank=1,
        )
    for field, statuses in (
        ("initContainerStatuses", pod.status.init_container_statuses),
        ("containerStatuses", pod.status.container_statuses),
    ):
        for status in statuses:
            problem = _container_problem(name, f"status.{field}[{status.name}]", status)
            if problem is not None:
                yield msgspec.structs.replace(problem, since=since)


def _container_problem(pod: str, path: str, status: ContainerStatus) -> PodProblem | None:
    state, container = status.state, f"container {status.name}"
    logs = f"see why it ends: kubectl logs {pod} -c {status.name} --previous"
    if state.waiting is not None and state.waiting.reason not in _STARTING_REASONS:
        reason = state.waiting.reason
        detail = f": {state.waiting.message}" if state.waiting.message else ""
        field, text = f"{path}.state.waiting", f"{container} waits: {reason}{detail}"
        if reason in _IMAGE_REASONS:
            remedy = f"is the image {status.image} there, and may it be pulled?"
            return PodProblem(pod=pod, field=field, text=text, remedy=remedy, rank=0)
        if reason == "CrashLoopBackOff":
            text = f"{container} waits: {reason} after {_restarts(status.restart_count)}"
            return PodProblem(pod=pod, field=field, text=text, remedy=logs, rank=0)
        return PodProblem(pod=pod, field=field, text=text, remedy=f"see its events: kubectl describe pod {pod}", rank=0)
    if state.terminated is not None and state.terminated.exit_code != 0:
        ended = state.terminated
        text = f"{container} ended: {ended.reason or 'Error'} (exit code {ended.exit_code})"
        return PodProblem(
            pod=pod, field=f"{path}.state.terminated", text=text, remedy=logs.replace(" --previous", ""), rank=0
        )
    if state.running is not None and not status.ready:
        restarts = f" after {_restarts(status.restart_count)}" if status.restart_count else ""
        text = f"{container} runs and is not ready{restarts}"
        remedy = f"see what its readiness probe says: kubectl describe pod {pod}"
        return PodProblem(pod=pod, field=f"{path}.ready", text=text, remedy=remedy, rank=2)
    return None


def _restarts(count: int) -> str:
    return "1 restart" if count == 1 else f"{count} restarts"
