"""Jobs become pods that come to an end.

    pods ──▶ count what succeeded, failed, still works ──▶ a verdict?   end the rest, then say Complete or Failed
                                                       └─▶ none yet?   create, delete, or wait for a back-off

One pass plans purely (`plan_job`) and then acts; creating and deleting change pods, which brings the Job back. A
verdict is written twice, as in a real cluster: first as an interim condition (``SuccessCriteriaMet`` or
``FailureTarget``), and when no pod works any more as the final one (``Complete``, ``Failed``), which stays for ever.

Pods that somebody deletes must stay counted. What they were is remembered here, not held by finalizers, so that
deleting a Job in whatever way leaves nothing to clean up. Completion indexes, policies about pod failures and success
and Jobs that another controller manages are not simulated.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.index import PODS
from prograde.sandbox.controllers.objects import (
    condition_of,
    controller_of,
    find_condition,
    format_time,
    is_active,
    is_deleting,
    is_pod_ready,
    later,
    owner_reference,
    parse_time,
    with_condition,
)
from prograde.sandbox.controllers.replicaset import BURST_MAX, deletion_rank
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["JOBS", "JobController", "JobPlan", "Memory", "plan_job"]

JOBS: Resource = ("batch", "jobs")

BACK_OFF_SECONDS = 10.0
BACK_OFF_SECONDS_MAX = 360.0
"""A failed pod is replaced after 10 s, the next in a row after twice as long, as real controllers do."""


@dataclass(slots=True)
class Memory:
    """What is known about pods of one Job that its remaining pods do not show."""

    succeeded: int = 0
    failed: int = 0
    """How the pods ended that are gone."""
    dismissed: set[str] = field(default_factory=set)
    """UIDs of pods that were ended because they are not needed; no failures of the Job."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What one pass does; at most one of the first two is not empty."""

    create_count: int
    delete: tuple[Object, ...]
    dismisses: bool
    """Whether what is deleted is merely not needed, instead of failing with the Job."""
    status: Object
    news: tuple[tuple[str, str, str], ...]
    """Events: type, reason, message."""
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Verdict:
    interim: str
    final: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Count:
    """The pods of a Job, sorted out."""

    active: list[Object]
    terminating: int
    succeeded: int
    failed: int
    restarts: int
    """Of containers that restart within their pods, which count like failed pods then."""


def plan_job(job: Object, pods: Sequence[Object], memory: Memory, now: datetime) -> JobPlan:
    """Plan for a Job that has neither completed nor failed, and its pods."""
    spec, status = job["spec"], job.get("status") or {}
    conditions = list(status.get("conditions") or ())
    count = _count(spec, pods, memory)
    was_suspended = _is_true(conditions, "Suspended")
    started_at = parse_time(status["startTime"]) if status.get("startTime") else None
    if not spec.get("suspend") and (started_at is None or was_suspended):
        started_at = now
    deadline = _deadline(spec, started_at)
    verdict = _verdict(spec, conditions, count, deadline, now)

    create, delete, wake_at = 0, [], deadline
    news: list[tuple[str, str, str]] = []
    completed_at = None
    if verdict is not None:
        delete = count.active
        conditions = _with(conditions, verdict.interim, verdict.reason, verdict.message, now)
        wake_at = None
        if not delete:
            conditions = _with(conditions, verdict.final, verdict.reason, verdict.message, now)
            if verdict.final == "Complete":
                completed_at = format_time(now)
                news.append(("Normal", "Completed", "Job completed"))
            else:
                news.append(("Warning", verdict.reason, verdict.message))
    elif spec.get("suspend"):
        delete, wake_at = count.active, None
        if not was_suspended:
            conditions = _with(conditions, "Suspended", "JobSuspended", "Job suspended", now)
            news.append(("Normal", "Suspended", "Job suspended"))
    else:
        if was_suspended:
            conditions = _with(conditions, "Suspended", "JobResumed", "Job resumed", now, status="False")
            news.append(("Normal", "Resumed", "Job resumed"))
        missing = _wanted(spec, count) - len(count.active)
        if missing < 0:
            ranked = sorted(count.active, key=lambda pod: deletion_rank(pod, Counter(), now))
            delete = ranked[:-missing]
        elif spec.get("podReplacementPolicy") == "Failed":
            missing -= count.terminating
        back_off = _back_off_until(pods, now)
        if missing > 0 and back_off is not None:
            wake_at = min(back_off, wake_at or back_off)
        elif missing > 0:
            create = min(missing, BURST_MAX)

    new_status: Object = {
        "active": len(count.active) or None,
        "ready": sum(1 for pod in count.active if is_pod_ready(pod)),
        "terminating": count.terminating,
        "succeeded": count.succeeded or None,
        "failed": count.failed or None,
        "startTime": format_time(started_at) if started_at is not None else None,
        "completionTime": completed_at,
        "uncountedTerminatedPods": {},
        "conditions": conditions or None,
    }
    return JobPlan(create, tuple(delete[:BURST_MAX]), verdict is None, new_status, tuple(news), wake_at)


def _count(spec: Object, pods: Sequence[Object], memory: Memory) -> _Count:
    replaces_early = spec.get("podReplacementPolicy") != "Failed"
    succeeded, failed, terminating, restarts = memory.succeeded, memory.failed, 0, 0
    active = []
    for pod in pods:
        status = pod.get("status") or {}
        phase = status.get("phase")
        if phase == "Succeeded":
            succeeded += 1
        elif phase == "Failed" or (is_deleting(pod) and replaces_early):
            failed += pod["metadata"]["uid"] not in memory.dismissed
        if is_deleting(pod) and phase not in ("Succeeded", "Failed"):
            terminating += 1
        if is_active(pod):
            active.append(pod)
            if pod["spec"].get("restartPolicy") == "OnFailure":
                restarts += _restarts(pod)
    return _Count(active, terminating, succeeded, failed, restarts)


def _restarts(pod: Object) -> int:
    status = pod.get("status") or {}
    statuses = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return sum(each.get("restartCount", 0) for each in statuses)


def _deadline(spec: Object, started_at: datetime | None) -> datetime | None:
    seconds = spec.get("activeDeadlineSeconds")
    return later(started_at, seconds) if seconds is not None and started_at is not None else None


def _verdict(
    spec: Object, conditions: Sequence[Object], count: _Count, deadline: datetime | None, now: datetime
) -> _Verdict | None:
    """Return how the Job has ended; once given, it stays."""
    for interim, final in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
        known = find_condition(conditions, interim)
        if known is not None:
            return _Verdict(interim, final, known["reason"], known["message"])
    limit = spec.get("backoffLimit", 6)
    # A limit of 0 forbids the first restart; any other is reached when there have been as many.
    if count.failed > limit or count.restarts >= max(limit, 1):
        message = "Job has reached the specified backoff limit"
        return _Verdict("FailureTarget", "Failed", "BackoffLimitExceeded", message)
    if deadline is not None and deadline <= now and not spec.get("suspend"):
        message = "Job was active longer than specified deadline"
        return _Verdict("FailureTarget", "Failed", "DeadlineExceeded", message)
    if _is_done(spec, count):
        message = "Reached expected number of succeeded pods"
        return _Verdict("SuccessCriteriaMet", "Complete", "CompletionsReached", message)
    return None


def _is_done(spec: Object, count: _Count) -> bool:
    completions = spec.get("completions")
    if completions is None:
        return count.succeeded > 0 and not count.active
    return bool(count.succeeded >= completions)


def _wanted(spec: Object, count: _Count) -> int:
    """Return how many pods should work now."""
    parallelism: int = spec.get("parallelism", 1)
    if spec.get("completions") is None:
        # Pods that share a queue: the first that succeeds has found it empty, so no others are started.
        return min(parallelism, len(count.active)) if count.succeeded else parallelism
    completions: int = spec["completions"]
    return min(parallelism, completions - count.succeeded)


def _back_off_until(pods: Sequence[Object], now: datetime) -> datetime | None:
    """Return until when no pod may be created, because some have failed in a row; None when one may be."""
    ends = [(_ended_at(pod), pod["status"]["phase"]) for pod in pods if _phase(pod) in ("Succeeded", "Failed")]
    last_success = max((at for at, phase in ends if phase == "Succeeded"), default=None)
    failures = [at for at, phase in ends if phase == "Failed" and (last_success is None or at > last_success)]
    if not failures:
        return None
    seconds = min(BACK_OFF_SECONDS * 2 ** min(len(failures) - 1, 30), BACK_OFF_SECONDS_MAX)
    until = later(max(failures), seconds)
    return until if until > now else None


def _phase(pod: Object) -> str:
    phase: str = (pod.get("status") or {}).get("phase", "")
    return phase


def _ended_at(pod: Object) -> datetime:
    statuses = pod["status"].get("containerStatuses") or ()
    ends = [(each.get("state") or {}).get("terminated") or {} for each in statuses]
    times = [parse_time(each["finishedAt"]) for each in ends if each.get("finishedAt")]
    return max(times, default=parse_time(pod["metadata"]["creationTimestamp"]))


def _with(
    conditions: list[Object], type_: str, reason: str, message: str, now: datetime, *, status: str = "True"
) -> list[Object]:
    known = find_condition(conditions, type_)
    if known is not None and known["status"] == status:
        return conditions
    moment = format_time(now)
    condition = {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": moment,
        "lastTransitionTime": moment,
    }
    return with_condition(conditions, condition)


def _is_true(conditions: Sequence[Object], type_: str) -> bool:
    known = find_condition(conditions, type_)
    return known is not None and known["status"] == "True"


class JobController(Controller):
    """Reconciles (namespace, name) of one Job."""

    name: ClassVar[str] = "job"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({JOBS, PODS})

    def __init__(self, client: LocalClient, now: Callable[[], datetime], recorder: EventRecorder) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._recorder = recorder
        self._memories: dict[str, Memory] = {}

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        meta = new["metadata"]
        if resource == JOBS:
            if change == "DELETED":
                self._memories.pop(meta["uid"], None)
            elif previous is None or meta.get("generation") != previous["metadata"].get("generation"):
                self.enqueue((meta["namespace"], meta["name"]))
            return
        owner = controller_of(new)
        if owner is None or owner["kind"] != "Job":
            return
        if change == "DELETED":
            self._remember(owner, new)
        elif previous is not None and _seen_by_job(new) == _seen_by_job(previous):
            return
        self.enqueue((meta["namespace"], owner["name"]))

    def _remember(self, owner: Object, pod: Object) -> None:
        job = self._client.get(JOBS, pod["metadata"]["namespace"], owner["name"])
        if job is None or job["metadata"]["uid"] != owner["uid"]:
            return
        memory = self._memories.setdefault(owner["uid"], Memory())
        if pod["metadata"]["uid"] in memory.dismissed:
            memory.dismissed.discard(pod["metadata"]["uid"])
        elif _phase(pod) == "Succeeded":
            memory.succeeded += 1
        else:
            memory.failed += 1

    def reconcile(self, key: Key) -> datetime | None:
        job = self._client.get(JOBS, *key)
        if job is None or is_deleting(job):
            return None
        ended = condition_of(job, "Complete") or condition_of(job, "Failed")
        if ended is not None:
            return self._outlive(job, ended)
        uid = job["metadata"]["uid"]
        pods = [pod for kind, pod in list(self._client.dependents(uid)) if kind == PODS and _is_owned(pod, uid)]
        plan = plan_job(job, pods, self._memories.get(uid, Memory()), self._now())
        # The verdict first: whoever sees pods end should be able to see why.
        self._write_status(job, plan.status)
        for type_, reason, message in plan.news:
            self._record(job, type_, reason, message)
        for _ in range(plan.create_count):
            self._create(job)
        for pod in plan.delete:
            self._delete(job, pod, is_dismissal=plan.dismisses)
        return self._after_news(key, plan)

    def _after_news(self, key: Key, plan: JobPlan) -> datetime | None:
        """Come back for the time to live of a Job that has just ended; a status alone brings nobody back."""
        if plan.news:
            self.enqueue(key)
        return plan.wake_at

    def _outlive(self, job: Object, ended: Object) -> datetime | None:
        """Delete a Job whose time after its end is over; return when that will be."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return None
        due = later(parse_time(ended["lastTransitionTime"]), seconds)
        if due > self._now():
            return due
        meta = job["metadata"]
        self._client.delete(JOBS, meta["namespace"], meta["name"], uid=meta["uid"], propagation="Foreground")
        return None

    def _create(self, job: Object) -> None:
        """Create one pod.

        Raises:
            StatusError: it was refused; the rest has to wait for the retry.
        """
        try:
            name = self._client.create(PODS, job["metadata"]["namespace"], _new_pod(job))["metadata"]["name"]
        except StatusError as err:
            self._record(job, "Warning", "FailedCreate", f"Error creating: {err.message}")
            raise
        self._record(job, "Normal", "SuccessfulCreate", f"Created pod: {name}")

    def _delete(self, job: Object, pod: Object, *, is_dismissal: bool) -> None:
        meta = pod["metadata"]
        if is_dismissal:
            self._memories.setdefault(job["metadata"]["uid"], Memory()).dismissed.add(meta["uid"])
        self._client.delete(PODS, meta["namespace"], meta["name"], uid=meta["uid"])
        self._record(job, "Normal", "SuccessfulDelete", f"Deleted pod: {meta['name']}")

    def _record(self, job: Object, type_: Any, reason: str, message: str) -> None:
        self._recorder.record(job, "batch/v1", "Job", type_, reason, message)

    def _write_status(self, job: Object, status: Object) -> None:
        current = job.get("status") or {}
        changed = {name: value for name, value in status.items() if current.get(name) != value}
        if changed:
            meta = job["metadata"]
            patch = {"metadata": {"uid": meta["uid"]}, "status": changed}
            self._client.patch(JOBS, meta["namespace"], meta["name"], patch, subresource="status")


def _is_owned(pod: Object, uid: str) -> bool:
    owner = controller_of(pod)
    return owner is not None and owner["uid"] == uid


def _new_pod(job: Object) -> Object:
    template, meta = job["spec"]["template"], job["metadata"]
    wanted = template.get("metadata") or {}
    metadata = {name: wanted[name] for name in ("labels", "annotations", "finalizers") if wanted.get(name)}
    metadata["generateName"] = f"{meta['name']}-"
    metadata["namespace"] = meta["namespace"]
    metadata["ownerReferences"] = [owner_reference(job, "batch/v1", "Job")]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _seen_by_job(pod: Object) -> tuple[Any, ...]:
    """Return what of a pod can change a Job's mind; other changes are not worth a pass."""
    return _phase(pod), is_deleting(pod), is_pod_ready(pod), _restarts(pod)
