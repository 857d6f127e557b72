"""Why is it waiting? The reasons of a plan, found in the facts and not in the code that happened to run.

Parts of a strategy that wait for something of their own say so in the draft (a pause, a deadline, a Service). Here
comes what holds for every Rollout: aborts, deadlines, users, and above all pods. A Rollout that is not healthy always
gets at least one reason, the one that really blocks it first.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from prograde.api import defaults, names
from prograde.api.meta import find_condition
from prograde.api.rollout import RolloutStatus
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import Wait, WaitReason
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.replicasets import scale_down_deadline_of
from prograde.core.rollout.steps import step_text

__all__ = ["explain"]

_ORDER = {reason: position for position, reason in enumerate(WaitReason)}


def explain(context: RolloutContext, draft: Draft, status: RolloutStatus) -> tuple[Wait, ...]:
    """Return the reasons why the Rollout is not healthy after this plan, the most important one first."""
    if status.phase == names.PHASE_HEALTHY:
        return ()
    for_pods = list(_waits_for_pods(context, draft, status))
    waits = [*draft.waits, *_waits_of_people(context, status, for_pods), *for_pods]
    if not waits:
        waits.append(_fallback(context, status))
    unique = list(dict.fromkeys(waits))
    return tuple(sorted(unique, key=lambda wait: _ORDER[wait.reason]))


def _waits_of_people(context: RolloutContext, status: RolloutStatus, for_pods: Sequence[Wait]) -> Iterator[Wait]:
    """Yield what only a person can change."""
    name = context.rollout.metadata.name
    progressing = find_condition(status.conditions, names.CONDITION_PROGRESSING)
    if status.abort:
        yield Wait(
            reason=WaitReason.ABORTED,
            message=progressing.message if progressing is not None else "the update was aborted",
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
            yield Wait(
                reason=WaitReason.INCONCLUSIVE,
                message="paused because an analysis came to no clear result",
                object=f"Rollout {name}",
                field="status.pauseConditions",
                since=pause.start_time,
                remedy=f"to go on: prograde promote {name}; to go back: prograde abort {name}",
            )


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
    if found.replicas < wanted:
        yield Wait(
            reason=WaitReason.PODS_NOT_CREATED,
            message=f"ReplicaSet {name} has {found.replicas} of {_pods(wanted)}",
            object=f"ReplicaSet {name}",
            field="status.replicas",
            since=since,
        )
    if found.available_replicas < min(wanted, found.replicas):
        message = f"ReplicaSet {name} has {found.available_replicas} of {_pods(wanted)} available"
        settling = found.ready_replicas - found.available_replicas
        if settling > 0 and context.spec.min_ready_seconds:
            message += f"; {settling} ready, to stay so for {context.spec.min_ready_seconds} s (minReadySeconds)"
        yield Wait(
            reason=WaitReason.PODS_NOT_AVAILABLE,
            message=message,
            object=f"ReplicaSet {name}",
            field="status.availableReplicas",
            since=since,
            remedy="" if settling > 0 else f"look at the pods: kubectl describe replicaset {name}",
        )
    if found.replicas > wanted:
        yield Wait(
            reason=WaitReason.PODS_TERMINATING,
            message=f"ReplicaSet {name} has {_pods(found.replicas)} and is to have {wanted}",
            object=f"ReplicaSet {name}",
            field="status.replicas",
            since=since,
        )


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
