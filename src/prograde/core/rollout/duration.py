"""`status.duration`: how long the current attempt takes, how much of it people spent pausing, and how it ended.

An *attempt* begins when the template changes (or a retry begins) and ends when the new revision is promoted and
available, when it is aborted, or when another template supersedes it. How it will end may be known before it does: a
rollback says so from its first moment.
"""

from datetime import datetime, timedelta

import msgspec

from prograde.api import defaults, names
from prograde.api.meta import find_condition
from prograde.api.rollout import DurationStatus, RolloutStatus
from prograde.core.rollout.context import RolloutContext

__all__ = ["Attempt", "finished_attempt", "is_running", "mark_promotion", "update"]


def is_running(duration: DurationStatus | None) -> bool:
    """Tell whether an attempt has begun and not ended."""
    return duration is not None and duration.rollout_started_at is not None and duration.finished_at is None


def mark_promotion(duration: DurationStatus | None, *, was_full: bool) -> DurationStatus | None:
    """Note how the running attempt will have ended, unless that is known already."""
    if duration is None or duration.completion_status:
        return duration
    status = names.COMPLETION_FAST_PROMOTED if was_full else names.COMPLETION_PROMOTED
    return msgspec.structs.replace(duration, completion_status=status)


def update(
    context: RolloutContext, old: RolloutStatus, new: RolloutStatus, *, sees_changes: bool = True
) -> DurationStatus | None:
    """Return the duration after the step from `old` to `new`, which is complete but for this.

    With `sees_changes` False a changed template or changed steps are left to a later step. An invalid Rollout stands
    outside of time.
    """
    duration = new.duration
    if find_condition(new.conditions, names.CONDITION_INVALID_SPEC) is not None:
        return duration
    is_changed = sees_changes and (not old.current_pod_hash or context.is_template_changed or context.are_steps_changed)
    available = context.new.status.available_replicas if context.new is not None else 0
    is_done = new.stable_rs == new.current_pod_hash and available >= context.replicas
    if duration is not None and is_running(duration):
        if is_changed and context.is_rollback:
            duration = msgspec.structs.replace(duration, completion_status=_rollback_status(context))
        elif is_changed:
            duration = _finish(duration, names.COMPLETION_SUPERSEDED, context.stamp)
        if is_done and is_running(duration):
            return _finish(duration, duration.completion_status or names.COMPLETION_PROMOTED, context.stamp)
        if new.abort and is_running(duration):
            return _finish(duration, duration.completion_status or names.COMPLETION_ABORTED, context.stamp)
    if not is_running(duration) and not is_done and (is_changed or _is_retry(old, new)):
        duration = _begin(context)
    if duration is None or not is_running(duration):
        return duration
    return _count_pause(duration, is_paused=_is_manually_paused(context, new), at=context.stamp)


class Attempt(msgspec.Struct, frozen=True):
    """A finished attempt, for metrics and logs."""

    completion_status: str
    total: timedelta
    paused: timedelta

    @property
    def progressing(self) -> timedelta:
        """What the attempt took without the pauses that waited for people."""
        return self.total - self.paused


def finished_attempt(old: DurationStatus | None, new: DurationStatus | None, now: datetime) -> Attempt | None:
    """Return the attempt that ends with the write of `new` over `old`; None when none does.

    An attempt that a new one took the place of never shows its end in a status: it is superseded, now.
    """
    if old is None or old.rollout_started_at is None or old.finished_at is not None or new is None:
        return None
    if new.rollout_started_at != old.rollout_started_at:
        ended = _finish(old, names.COMPLETION_SUPERSEDED, now)
    elif new.finished_at is not None:
        ended = new
    else:
        return None
    assert ended.finished_at is not None
    return Attempt(
        completion_status=ended.completion_status,
        total=ended.finished_at - old.rollout_started_at,
        paused=timedelta(seconds=ended.total_manual_pause_duration_seconds or 0),
    )


def _begin(context: RolloutContext) -> DurationStatus:
    """Start an attempt now.

    Coming back to a blue-green revision whose pods are all still there is fast, and must stay so while its scale-down
    deadline is gone already: `RolloutContext.is_fast_rollback` reads it here.
    """
    is_swift = context.blue_green is not None and context.is_rollback and context.is_new_within_delay
    return DurationStatus(
        rollout_started_at=context.stamp,
        completion_status=names.COMPLETION_FAST_ROLLED_BACK if is_swift else "",
    )


def _rollback_status(context: RolloutContext) -> str:
    return names.COMPLETION_FAST_ROLLED_BACK if context.is_fast_rollback else names.COMPLETION_ROLLED_BACK


def _is_retry(old: RolloutStatus, new: RolloutStatus) -> bool:
    progressing = find_condition(old.conditions, names.CONDITION_PROGRESSING)
    return not new.abort and progressing is not None and progressing.reason == names.REASON_ROLLOUT_ABORTED


def _finish(duration: DurationStatus, status: str, at: datetime) -> DurationStatus:
    closed = _count_pause(duration, is_paused=False, at=at)
    return msgspec.structs.replace(closed, finished_at=at, completion_status=status)


def _count_pause(duration: DurationStatus, *, is_paused: bool, at: datetime) -> DurationStatus:
    """Open a manual pause, or close an open one and add it to the total."""
    began = duration.manual_pause_started_at
    if is_paused and began is None:
        return msgspec.structs.replace(duration, manual_pause_started_at=at)
    if not is_paused and began is not None:
        total = (duration.total_manual_pause_duration_seconds or 0) + int((at - began).total_seconds())
        return msgspec.structs.replace(
            duration, manual_pause_started_at=None, total_manual_pause_duration_seconds=total
        )
    return duration


def _is_manually_paused(context: RolloutContext, status: RolloutStatus) -> bool:
    """Tell whether it takes a person to end the pause."""
    return context.spec.paused or any(_needs_a_person(context, status, each.reason) for each in status.pause_conditions)


def _needs_a_person(context: RolloutContext, status: RolloutStatus, reason: str) -> bool:
    if reason == names.PAUSE_CANARY_STEP:
        index = status.current_step_index or 0
        pause = context.steps[index].pause if index < len(context.steps) else None
        return pause is not None and pause.duration is None
    if reason == names.PAUSE_BLUE_GREEN:
        return not defaults.effective_auto_promotion_enabled(context.spec)
    return reason in (names.PAUSE_INCONCLUSIVE_ANALYSIS, names.PAUSE_INCONCLUSIVE_EXPERIMENT)
