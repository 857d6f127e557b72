"""Why is it waiting? The reasons of a plan, found in the facts and not in the code that happened to run.

Parts of a strategy that wait for something of their own say so in the draft (a pause, a deadline, a Service). Here
comes what holds for every Rollout: aborts, deadlines, users, and above all pods. A Rollout that is not healthy always
gets at least one reason, the one that really blocks it first. A healthy one waits for nothing, but it may keep pods for
a while, or have some to restart.

A ReplicaSet counts its pods, and that is all a controller needs. Whoever has listed the pods as well (`snapshot.pods`)
is told which one is the matter.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from prograde.api import defaults, names
from prograde.api.meta import find_condition
from prograde.api.rollout import RolloutStatus
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import Wait, WaitReason
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.podproblems import settled_at, worst_problem
from prograde.core.rollout.replicasets import scale_down_deadline_of
from prograde.core.rollout.steps import step_text

__all__ = ["explain"]

_ORDER = {reason: position for position, reason in enumerate(WaitReason)}

_BESIDE_HEALTH = (
    WaitReason.TRAFFIC_NOT_ROUTED,
    WaitReason.WEIGHT_NOT_VERIFIED,
    WaitReason.STABLE_CAPACITY,
    WaitReason.SCALE_DOWN_DELAY,
    WaitReason.RESTART,
)

_NEAR = 0.25
"""The share of the progress deadline that is left when it is worth a word: early enough to act, late enough to mean it.
"""


def explain(
    context: RolloutContext, draft: Draft, status: RolloutStatus, deadline: datetime | None = None
) -> tuple[Wait, ...]:
    """Return the reasons why the Rollout is not healthy after this plan, the most important one first.

    `deadline` is when the Rollout counts as stuck unless it makes progress; None while no clock is running.
    """
    if status.phase == names.PHASE_HEALTHY:
        waits = [wait for wait in draft.waits if wait.reason in _BESIDE_HEALTH]
    else:
        for_pods = sorted(_waits_for_pods(context, draft, status), key=lambda wait: _ORDER[wait.reason])
        waits = [*draft.waits, *_waits_of_people(context, status, for_pods), *for_pods]
        if not waits:
            waits.append(_fallback(context, status))
        waits += _near_deadline(context, deadline)
    since = _last_progress(context, status) if not draft.error or _is_persisted(context, status) else None
    dated = [_since(wait, since) for wait in dict.fromkeys(waits)]
    return tuple(sorted(dated, key=lambda wait: _ORDER[wait.reason]))


def _is_persisted(context: RolloutContext, status: RolloutStatus) -> bool:
    """Tell whether the Progressing condition is that of the cluster; a pass that fails makes it anew every time."""
    kind = names.CONDITION_PROGRESSING
    return find_condition(status.conditions, kind) == find_condition(context.snapshot.rollout.status.conditions, kind)


def _since(wait: Wait, last_progress: datetime | None) -> Wait:
    """Return a wait that began, for all that is known, when anything moved last."""
    if wait.since is not None or wait.until is not None:
        return wait
    return msgspec.structs.replace(wait, since=last_progress)


def _near_deadline(context: RolloutContext, deadline: datetime | None) -> Iterator[Wait]:
    """Yield the progress deadline when most of its time is over."""
    seconds = defaults.effective_progress_deadline_seconds(context.spec)
    if deadline is None or not timedelta() < deadline - context.now <= timedelta(seconds=seconds) * _NEAR:
        return
    consequence = "the update is aborted" if context.spec.progress_deadline_abort else "the Rollout is Degraded"
    yield Wait(
        reason=WaitReason.DEADLINE_NEAR,
        message=f"{consequence} unless something progresses within {seconds} s of the last progress",
        object=f"Rollout {context.rollout.metadata.name}",
        field="spec.progressDeadlineSeconds",
        since=deadline - timedelta(seconds=seconds),
        until=deadline,
        remedy="clear the first reason, or raise spec.progressDeadlineSeconds",
    )


def _waits_of_people(context: RolloutContext, status: RolloutStatus, for_pods: Sequence[Wait]) -> Iterator[Wait]:
    """Yield what only a person can change."""
    name = context.rollout.metadata.name
    progressing = find_condition(status.conditions, names.CONDITION_PROGRESSING)
    if status.abort:
        yield Wait(
            reason=WaitReason.ABORTED,
            message=(progressing.message if progressing is not None else "the update was aborted")
            + _on_the_way(for_pods),
            object=f"Rollout {name}",
            field="status.abort",
            since=status.aborted_at,
            remedy=f"to try again: prograde retry rollout {name}; or change the template",
        )
    if progressing is not None and progressing.reason == names.REASON_PROGRESS_DEADLINE_EXCEEDED:
        # That time is up is only half of the answer: what had it been waiting for?
        cause = f" {for_pods[0].message}." if for_pods else ""
        yield Wait(
            reason=WaitReason.PROGRESS_DEADLINE,
            message=f"{progressing.message}{cause}",
            object=f"Rollout {name}",
            field="spec.progressDeadlineSeconds",
            since=progressing.last_transition_time,
            remedy=f"goes on when pods become available; to go back: prograde undo {name}",
        )
    if context.spec.paused:
        paused = find_condition(status.conditions, names.CONDITION_PAUSED)
        yield Wait(
            reason=WaitReason.USER_PAUSE,
            message="paused by a user; nothing moves until that is taken back",
            object=f"Rollout {name}",
            field="spec.paused",
            since=paused.last_transition_time if paused is not None else None,
            remedy=f"to go on: prograde promote {name}",
        )
    for pause in status.pause_conditions:
        if pause.reason in (names.PAUSE_INCONCLUSIVE_ANALYSIS, names.PAUSE_INCONCLUSIVE_EXPERIMENT):
            # A run that has been deleted since is no longer in the new status.
            judged = _inconclusive(status) or _inconclusive(context.snapshot.rollout.status)
            yield Wait(
                reason=WaitReason.INCONCLUSIVE,
                message=f"paused because {judged or 'an analysis'} came to no clear result",
                object=judged or f"Rollout {name}",
                field="status.phase" if judged else "status.pauseConditions",
                since=pause.start_time,
                remedy=f"to go on: prograde promote {name}; to go back: prograde abort {name}",
            )


def _inconclusive(status: RolloutStatus) -> str:
    """Return the run that came to no clear result, as far as the status tells."""
    canary, blue_green = status.canary, status.blue_green
    runs = (
        canary.current_step_analysis_run_status,
        canary.current_background_analysis_run_status,
        blue_green.pre_promotion_analysis_run_status,
        blue_green.post_promotion_analysis_run_status,
    )
    for run in runs:
        if run is not None and run.status == names.RUN_INCONCLUSIVE:
            return f"AnalysisRun {run.name}"
    return f"Experiment {canary.current_experiment}" if canary.current_experiment else ""


def _on_the_way(for_pods: Sequence[Wait]) -> str:
    """Say what the way back waits for, if it is not over yet."""
    return f"; on the way back {for_pods[0].message}" if for_pods else ""


def _waits_for_pods(context: RolloutContext, draft: Draft, status: RolloutStatus) -> Iterator[Wait]:
    """Yield what is missing or too much, new revision first."""
    since = _last_progress(context, status)
    failure = find_condition(status.conditions, names.CONDITION_REPLICA_FAILURE)
    if failure is not None:
        yield Wait(
            reason=WaitReason.REPLICA_FAILURE,
            message=f"pods cannot be created: {failure.message}",
            object=f"Rollout {context.rollout.metadata.name}",
            field="status.conditions[ReplicaFailure]",
            since=failure.last_transition_time,
            remedy="make room, or let the pods in: quotas and admission policies are the usual causes",
        )
    for each in (context.new, context.separate_stable):
        if each is not None:
            yield from _waits_for(context, each, draft.size_after(each), since)
    for each in context.others:
        if each.status.replicas > 0 and scale_down_deadline_of(each) is None:
            yield Wait(
                reason=WaitReason.PODS_TERMINATING,
                message=f"{_pods(each.status.replicas)} of the superseded ReplicaSet {each.metadata.name} must go",
                object=f"ReplicaSet {each.metadata.name}",
                field="status.replicas",
                since=since,
            )


def _last_progress(context: RolloutContext, status: RolloutStatus) -> datetime | None:
    """Return since when nothing has moved; None if unknown."""
    progressing = find_condition(status.conditions, names.CONDITION_PROGRESSING)
    if progressing is None or progressing.last_update_time is None:
        return None
    if progressing.reason == names.REASON_PROGRESS_DEADLINE_EXCEEDED:
        # The condition was written when the time was up.
        limit = timedelta(seconds=defaults.effective_progress_deadline_seconds(context.spec))
        return progressing.last_update_time - limit
    return progressing.last_update_time


def _waits_for(context: RolloutContext, replica_set: ReplicaSet, wanted: int, since: datetime | None) -> Iterator[Wait]:
    """Yield what distinguishes one ReplicaSet from `wanted` available pods; its own size may just be changing."""
    name, found = replica_set.metadata.name, replica_set.status
    if replica_set.metadata.deletion_timestamp is not None:
        yield Wait(
            reason=WaitReason.PODS_NOT_CREATED,
            message=f"ReplicaSet {name} is being deleted and gets no more pods; when it is gone, it is created anew",
            object=f"ReplicaSet {name}",
            field="metadata.deletionTimestamp",
            since=replica_set.metadata.deletion_timestamp,
            remedy=_release_text(replica_set.metadata.finalizers),
        )
    elif found.replicas < wanted:
        yield Wait(
            reason=WaitReason.PODS_NOT_CREATED,
            message=f"ReplicaSet {name} has {found.replicas} of {_pods(wanted)}",
            object=f"ReplicaSet {name}",
            field="status.replicas",
            since=since,
        )
    if found.available_replicas < min(wanted, found.replicas):
        yield _not_available(context, replica_set, wanted, since)
    if found.replicas > wanted:
        yield Wait(
            reason=WaitReason.PODS_TERMINATING,
            message=f"ReplicaSet {name} has {_pods(found.replicas)} and is to have {wanted}",
            object=f"ReplicaSet {name}",
            field="status.replicas",
            since=since,
        )


def _not_available(context: RolloutContext, replica_set: ReplicaSet, wanted: int, since: datetime | None) -> Wait:
    """Say what is the matter with pods that exist: with the worst of them, if they are known."""
    name, found = replica_set.metadata.name, replica_set.status
    message = f"ReplicaSet {name} has {found.available_replicas} of {_pods(wanted)} available"
    wait = Wait(
        reason=WaitReason.PODS_NOT_AVAILABLE,
        message=message,
        object=f"ReplicaSet {name}",
        field="status.availableReplicas",
        since=since,
        remedy=f"look at the pods: kubectl describe replicaset {name}",
    )
    pods = context.snapshot.pods or ()
    problem = worst_problem(replica_set, pods)
    if problem is not None:
        return msgspec.structs.replace(
            wait,
            message=f"{message}; pod {problem.pod}: {problem.text}",
            object=f"Pod {problem.pod}",
            field=problem.field,
            since=problem.since or since,
            remedy=problem.remedy,
        )
    settling, seconds = found.ready_replicas - found.available_replicas, context.spec.min_ready_seconds
    if settling > 0:
        text = f"; {settling} ready, to stay so for {seconds} s (minReadySeconds)" if seconds else ""
        until = settled_at(replica_set, pods, timedelta(seconds=seconds)) if seconds else None
        return msgspec.structs.replace(wait, message=message + text, until=until, remedy="")
    return wait


def _release_text(finalizers: Sequence[str]) -> str:
    if not finalizers:
        return ""
    return f"deletion waits for the finalizers {', '.join(finalizers)}: whoever set them must remove them"


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _fallback(context: RolloutContext, status: RolloutStatus) -> Wait:
    """Say what comes next when nothing stands in its way but that this plan's effect has to be seen first."""
    message = status.message or "the change has to be observed"
    index = status.current_step_index
    if index is not None and index < len(context.steps):
        message = f"step {index + 1}/{len(context.steps)} is next: {step_text(context.steps[index])}"
    return Wait(
        reason=WaitReason.OBSERVATION,
        message=message,
        object=f"Rollout {context.rollout.metadata.name}",
        field="status",
    )
