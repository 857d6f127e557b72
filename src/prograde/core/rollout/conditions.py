"""The conditions of a Rollout's status: how each is set, and what counts as healthy, progress and timed out.

`update` computes all of them at the end of a pass. `settle_pause` brings the two that speak of pauses in line with the
pauses themselves; Argo Rollouts does that in a pass of its own before anything else, here it happens in the same
plan, with the same result. The conditions that report a failure (`InvalidSpec`, `ReplicaSetCreateError`) are set where
the failure is found.

Setting a condition is not assigning it: with the same status and reason nothing happens, so that neither its message
nor its times move; a changed one goes to the end of the list. Tools depend on both.
"""

from datetime import datetime, timedelta

import msgspec

from prograde.api import defaults, names
from prograde.api.meta import Condition, find_condition
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.scalars import go_quote
from prograde.core.rollout.context import RolloutContext, is_completed
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.replicasets import find_by_hash, is_saturated, scale_down_deadline_of, size_of
from prograde.core.rollout.steps import is_pause_over

__all__ = [
    "blocks_progress_deadline",
    "condition",
    "has_progressed",
    "is_healthy",
    "is_timed_out",
    "progress_deadline",
    "put_condition",
    "remove_condition",
    "set_condition",
    "settle_pause",
    "timed_out_message",
    "update",
]

Conditions = tuple[Condition, ...]


# ---- The list ---------------------------------------------------------------------------------------------------


def condition(kind: str, status: str, reason: str, message: str, at: datetime) -> Condition:
    """Return a condition that was both updated and changed at `at`."""
    return Condition(
        type=kind, status=status, reason=reason, message=message, last_update_time=at, last_transition_time=at
    )


def set_condition(conditions: Conditions, new: Condition) -> Conditions:
    """Return the list with `new` in force: unchanged if one of the same type, status and reason is there."""
    old = find_condition(conditions, new.type)
    if old is not None and old.status == new.status and old.reason == new.reason:
        return conditions
    return put_condition(conditions, new)


def put_condition(conditions: Conditions, new: Condition) -> Conditions:
    """Return the list with `new` at its end, replacing another of its type whose status says since when it holds."""
    old = find_condition(conditions, new.type)
    if old is not None and old.status == new.status:
        new = msgspec.structs.replace(new, last_transition_time=old.last_transition_time)
    return (*remove_condition(conditions, new.type), new)


def remove_condition(conditions: Conditions, kind: str) -> Conditions:
    return tuple(each for each in conditions if each.type != kind)


# ---- What is healthy, progress, too late ------------------------------------------------------------------------


def is_healthy(context: RolloutContext, status: RolloutStatus) -> bool:
    """Tell whether `status`, not yet written, describes a Rollout that has all it wants.

    The generation is compared as it was *before* this pass. So any change of the spec makes a Rollout unhealthy for
    the moment until it has been observed; tools watch for that.
    """
    is_observed = context.status.observed_generation == str(context.rollout.metadata.generation)
    wanted = context.replicas
    if not (is_observed and status.updated_replicas == wanted and status.available_replicas == wanted):
        return False
    blue_green = context.blue_green
    if blue_green is not None:
        selectors = status.blue_green
        return selectors.active_selector == status.current_pod_hash and (
            not blue_green.preview_service or selectors.preview_selector == status.current_pod_hash
        )
    steps_done = not context.steps or status.current_step_index in (None, len(context.steps))
    return steps_done and is_completed(status) and status.replicas == wanted


def has_progressed(context: RolloutContext, old: RolloutStatus, new: RolloutStatus) -> bool:
    """Tell whether the step from `old` to `new` is progress, which resets the progress deadline."""
    if (
        new.updated_replicas != old.updated_replicas
        or new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        or new.ready_replicas > old.ready_replicas
        or new.available_replicas > old.available_replicas
    ):
        return True
    if context.blue_green is not None:
        return (
            new.blue_green.active_selector != old.blue_green.active_selector
            or new.blue_green.preview_selector != old.blue_green.preview_selector
        )
    is_other_step = None not in (new.current_step_index, old.current_step_index) and (
        new.current_step_index != old.current_step_index
    )
    return new.stable_rs != old.stable_rs or is_other_step or new.current_step_hash != old.current_step_hash


def progress_deadline(context: RolloutContext, conditions: Conditions) -> datetime | None:
    """Return when the Rollout counts as stuck unless it makes progress; None while no clock is running."""
    progressing = find_condition(conditions, names.CONDITION_PROGRESSING)
    if progressing is None or progressing.last_update_time is None:
        return None
    if progressing.reason in (names.REASON_ROLLOUT_ABORTED, names.REASON_ROLLOUT_PAUSED):
        return None
    return progressing.last_update_time + timedelta(seconds=defaults.effective_progress_deadline_seconds(context.spec))


def is_timed_out(context: RolloutContext, conditions: Conditions) -> bool:
    """Tell whether the progress deadline has passed; once it has, only progress lifts that."""
    progressing = find_condition(conditions, names.CONDITION_PROGRESSING)
    if progressing is not None and progressing.reason == names.REASON_PROGRESS_DEADLINE_EXCEEDED:
        return True
    deadline = progress_deadline(context, conditions)
    return deadline is not None and deadline < context.now


def blocks_progress_deadline(context: RolloutContext, draft: Draft) -> str:
    """Say why standing still is legitimate at the moment, whatever the clock says; empty when it is not."""
    step = context.step
    if step is not None and (step.analysis or step.experiment or step.plugin):
        return "the current step has no limit"
    if step is not None and step.pause and not is_pause_over(context, draft):
        # One that is over may still be the current step, as long as a router fails.
        return "the current step has no limit"
    if not is_completed(context.status) and (analysis := _unfinished_gate(context.status)):
        return f"AnalysisRun {analysis} is not over"
    paused = find_condition(context.status.conditions, names.CONDITION_PAUSED)
    if paused is not None and paused.status == names.CONDITION_TRUE:
        return "the Rollout is paused"
    if _waits_for_scale_down(context, draft):
        return "an older ReplicaSet is waiting for its scale-down"
    return ""


def _waits_for_scale_down(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether another ReplicaSet keeps its pods until a deadline, or loses them with this very plan.

    One whose time is up, and that keeps its pods because something still leads to them, waits for something else.
    """
    return any(
        not deadline.is_over(context.now) or draft.size_after(each) < size_of(each)
        for each in context.others
        if (deadline := scale_down_deadline_of(each)) is not None
    )


def _unfinished_gate(status: RolloutStatus) -> str:
    """Return the name of the analysis that a blue-green update waits for; empty when there is none."""
    gates = (
        status.blue_green.pre_promotion_analysis_run_status,
        status.blue_green.post_promotion_analysis_run_status,
    )
    return next((each.name for each in gates if each and each.status not in names.COMPLETED_RUN_PHASES), "")


def timed_out_message(context: RolloutContext) -> str:
    return f"{_new_replica_set(context)} has timed out progressing."


# ---- The conditions at the end of a pass ------------------------------------------------------------------------


def update(context: RolloutContext, draft: Draft, status: RolloutStatus) -> RolloutStatus:
    """Return `status`, complete but for its phase, with all conditions brought in line with it.

    Adds the events that go with a change.
    """
    conditions, became_unhealthy = _health(context, status)
    status = msgspec.structs.replace(status, conditions=conditions)
    conditions = _progressing(context, draft, status, became_unhealthy=became_unhealthy)
    conditions = set_condition(conditions, _available(context, status))
    conditions = _replica_failure(context, conditions)
    conditions = _completed(context, draft, status, conditions)
    return msgspec.structs.replace(status, conditions=conditions)


def _health(context: RolloutContext, status: RolloutStatus) -> tuple[Conditions, bool]:
    """Return the list with Healthy set, and whether it has just turned to False."""
    is_paused = bool(status.pause_conditions) or context.spec.paused
    at, reason = context.stamp, names.REASON_ROLLOUT_HEALTHY
    if not is_paused and is_healthy(context, status):
        healthy = condition(names.CONDITION_HEALTHY, names.CONDITION_TRUE, reason, "Rollout is healthy", at)
        return set_condition(status.conditions, healthy), False
    if find_condition(status.conditions, names.CONDITION_HEALTHY) is None:
        return status.conditions, False
    unhealthy = condition(names.CONDITION_HEALTHY, names.CONDITION_FALSE, reason, "Rollout is not healthy", at)
    conditions = set_condition(status.conditions, unhealthy)
    return conditions, conditions is not status.conditions


def _progressing(context: RolloutContext, draft: Draft, status: RolloutStatus, *, became_unhealthy: bool) -> Conditions:
    def progressing(state: str, reason: str, message: str) -> Condition:
        return condition(names.CONDITION_PROGRESSING, state, reason, message, context.stamp)

    conditions = status.conditions
    if draft.is_aborted:
        message = f"Rollout aborted update to revision {draft.revision}"
        if draft.abort_message:
            message = f"{message}: {draft.abort_message}"
        aborted = progressing(names.CONDITION_FALSE, names.REASON_ROLLOUT_ABORTED, message)
        after = set_condition(conditions, aborted)
        if after is not conditions:
            draft.warn(names.REASON_ROLLOUT_ABORTED, message)
        return after
    if is_healthy(context, status):
        message = f"{_new_replica_set(context)} has successfully progressed."
        done = progressing(names.CONDITION_TRUE, names.REASON_NEW_REPLICA_SET_AVAILABLE, message)
        return set_condition(conditions, done)
    if became_unhealthy or has_progressed(context, context.status, status):
        reason, message = names.REASON_REPLICA_SET_UPDATED, f"{_new_replica_set(context)} is progressing."
        if became_unhealthy and status.stable_rs == status.current_pod_hash:
            reason, message = names.REASON_REPLICA_SET_NOT_AVAILABLE, _NOT_AVAILABLE
        # Replaced even by an equal one: this restarts the clock of the progress deadline.
        return put_condition(conditions, progressing(names.CONDITION_TRUE, reason, message))
    if not blocks_progress_deadline(context, draft) and is_timed_out(context, conditions):
        message = timed_out_message(context)
        late = progressing(names.CONDITION_FALSE, names.REASON_PROGRESS_DEADLINE_EXCEEDED, message)
        return set_condition(conditions, late)
    return conditions


_NOT_AVAILABLE = "Rollout does not have minimum availability"


def _available(context: RolloutContext, status: RolloutStatus) -> Condition:
    if context.blue_green is not None:
        active = find_by_hash(context.replica_sets, status.blue_green.active_selector)
        is_available = is_saturated(active, context.replicas)
    else:
        is_available = status.available_replicas >= context.replicas
    return condition(
        names.CONDITION_AVAILABLE,
        names.CONDITION_TRUE if is_available else names.CONDITION_FALSE,
        names.REASON_AVAILABLE,
        "Rollout has minimum availability" if is_available else _NOT_AVAILABLE,
        context.stamp,
    )


def _replica_failure(context: RolloutContext, conditions: Conditions) -> Conditions:
    """Show the first failure to create pods, preferring that of the new revision."""
    new_first = ([context.new] if context.new is not None else []) + list(context.older)
    for replica_set in new_first:
        failure = find_condition(replica_set.status.conditions, names.CONDITION_REPLICA_FAILURE)
        if failure is not None:
            copy = msgspec.structs.replace(failure, last_update_time=failure.last_transition_time)
            return set_condition(conditions, copy)
    return remove_condition(conditions, names.CONDITION_REPLICA_FAILURE)


def _completed(context: RolloutContext, draft: Draft, status: RolloutStatus, conditions: Conditions) -> Conditions:
    done = is_completed(status)
    reason = names.REASON_ROLLOUT_COMPLETED
    state = names.CONDITION_TRUE if done else names.CONDITION_FALSE
    # Reason and message are the same whichever way it turns; so says every tool that reads this condition.
    after = set_condition(conditions, condition(names.CONDITION_COMPLETED, state, reason, reason, context.stamp))
    if after is not conditions and not done:
        draft.record(
            names.REASON_ROLLOUT_NOT_COMPLETED,
            f"Rollout not completed, started update to revision {draft.revision} ({status.current_pod_hash})",
        )
    return after


def _new_replica_set(context: RolloutContext) -> str:
    assert context.new is not None, "a pass begins only after it has been created"
    return f"ReplicaSet {go_quote(context.new.metadata.name)}"


# ---- Pauses in the conditions -----------------------------------------------------------------------------------


def settle_pause(rollout: Rollout, at: datetime) -> Conditions:
    """Return the conditions of the Rollout's status with Progressing and Paused in line with its pauses and abort.

    Returns the very same tuple when they are already. While the status is about an older generation nothing is done:
    the pass that observes the new one comes first.

    A Rollout that is promoted and then paused by its user keeps its Progressing reason, and an aborted one keeps a
    Paused condition from before until it is retried.
    """
    status = rollout.status
    conditions = status.conditions
    if status.observed_generation != str(rollout.metadata.generation):
        return conditions
    is_paused = bool(status.pause_conditions) or rollout.spec.paused
    progressing = find_condition(conditions, names.CONDITION_PROGRESSING)
    reason = progressing.reason if progressing is not None else ""
    is_marked_aborted = reason == names.REASON_ROLLOUT_ABORTED
    paused = find_condition(conditions, names.CONDITION_PAUSED)
    is_marked_paused = paused is not None and paused.status == names.CONDITION_TRUE

    def unknown(reason: str, message: str) -> Condition:
        return condition(names.CONDITION_PROGRESSING, names.CONDITION_UNKNOWN, reason, message, at)

    if is_paused != (reason == names.REASON_ROLLOUT_PAUSED) and not is_marked_aborted and not is_completed(status):
        if is_paused:
            new = unknown(names.REASON_ROLLOUT_PAUSED, "Rollout is paused")
        else:
            new = unknown(names.REASON_ROLLOUT_RESUMED, "Rollout is resumed")
        conditions = set_condition(conditions, new)
    if is_marked_aborted and not status.abort:
        retry = unknown(names.REASON_ROLLOUT_RETRY, "Retrying Rollout after abort")
        conditions = set_condition(conditions, retry)
    if is_paused != is_marked_paused and not is_marked_aborted:
        state = names.CONDITION_TRUE if is_paused else names.CONDITION_FALSE
        # The reason and the message do not turn with the status.
        mark = condition(names.CONDITION_PAUSED, state, names.REASON_ROLLOUT_PAUSED, "Rollout is paused", at)
        conditions = set_condition(conditions, mark)
    return conditions
