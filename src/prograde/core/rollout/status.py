"""The status of a Rollout, field by field: where a pass begins, what every pass ends with, and its phase.

A pass begins with `base_status`: counts and hashes afresh, decisions carried over. The strategy changes what it has
decided (index, stable hash, selectors), and `finish` brings the rest in line: abort and pauses, conditions, phase,
duration. Everything that is not recomputed and not carried over is gone, which is how the block of a strategy that is
no longer in the spec disappears.

`phase_and_message` is what clients show; it is here so that command line and dashboard say exactly what the
controller means.
"""

import msgspec

from prograde.api import defaults, names
from prograde.api.jsonvalues import merge_patch_between
from prograde.api.meta import Condition
from prograde.api.rollout import BlueGreenStatus, CanaryStatus, PauseCondition, Rollout, RolloutStatus
from prograde.api.scalars import parse_integer
from prograde.api.selectors import format_selector
from prograde.core.plan import JsonObject
from prograde.core.rollout import conditions, duration, runs
from prograde.core.rollout.context import RolloutContext, is_completed
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.replicasets import count_actual, count_available, count_ready

__all__ = [
    "base_status",
    "compute_phase",
    "differ_in_counts_only",
    "finish",
    "is_generation_observed",
    "phase_and_message",
    "reset_status",
    "settle_pause",
    "status_patch",
    "with_phase",
]


# ---- The beginning of a pass ------------------------------------------------------------------------------------


def base_status(context: RolloutContext) -> RolloutStatus:
    """Return the status that a full pass starts from, with the sums over all ReplicaSets."""
    old = context.status
    actual = count_actual(context.replica_sets)
    return RolloutStatus(
        abort=old.abort,
        aborted_at=old.aborted_at,
        pause_conditions=old.pause_conditions,
        controller_pause=old.controller_pause,
        current_pod_hash=context.pod_hash,
        current_step_hash=context.step_hash,
        current_step_index=context.step_index,
        stable_rs=old.stable_rs,
        replicas=actual,
        updated_replicas=context.new.status.replicas if context.new is not None else 0,
        ready_replicas=count_ready(context.replica_sets),
        available_replicas=count_available(context.replica_sets),
        hpa_replicas=actual,
        selector=format_selector(context.spec.selector),
        collision_count=old.collision_count,
        conditions=conditions.remove_condition(old.conditions, names.CONDITION_INVALID_SPEC),
        canary=_carried_canary(context),
        blue_green=BlueGreenStatus(),
        restarted_at=old.restarted_at,
        promote_full=old.promote_full,
        alb=old.alb,
        albs=old.albs,
        duration=old.duration,
    )


def _carried_canary(context: RolloutContext) -> CanaryStatus:
    """Return what outlives a pass. Runs and experiments are recorded anew by whoever has them in hand."""
    old = context.status.canary
    if context.canary is None:
        return CanaryStatus()
    return CanaryStatus(
        weights=context.traffic_weights,
        stable_ping_pong=old.stable_ping_pong,
        step_plugin_statuses=old.step_plugin_statuses,
    )


def reset_status(context: RolloutContext, draft: Draft, status: RolloutStatus) -> RolloutStatus:
    """Return `status` for a new attempt: a changed template (or changed steps) starts from the beginning.

    Pauses, an abort, a requested full promotion and a pending restart belonged to the attempt before. The new pods are
    younger than any restart that was asked for, so the restart is done.
    """
    draft.clear_pauses()
    draft.remove_abort()
    return msgspec.structs.replace(
        status,
        promote_full=False,
        restarted_at=context.spec.restart_at or status.restarted_at,
        current_step_index=0 if context.steps else None,
        canary=CanaryStatus(weights=status.canary.weights, stable_ping_pong=status.canary.stable_ping_pong),
        blue_green=BlueGreenStatus(
            preview_selector=status.blue_green.preview_selector, active_selector=status.blue_green.active_selector
        ),
    )


# ---- The end of a pass ------------------------------------------------------------------------------------------


def finish(context: RolloutContext, draft: Draft, status: RolloutStatus, *, is_scaling: bool = False) -> RolloutStatus:
    """Return the complete new status, given one in which the strategy's decisions are made.

    Adds the events that go with what changes here. With `is_scaling`, the pass has followed a change of `spec.replicas`
    and not looked at anything else, or could do nothing at all, so that it must not use up a resume.
    """
    old = context.status
    workload_generation = context.rollout.metadata.annotations.get(names.WORKLOAD_GENERATION_ANNOTATION, "")
    generation = str(context.rollout.metadata.generation)
    if is_scaling and (context.is_template_changed or context.are_steps_changed):
        # The phase is still about the revision before. Called observed, it would tell clients that this one is healthy.
        generation, workload_generation = old.observed_generation, old.workload_observed_generation
    status = msgspec.structs.replace(
        status,
        observed_generation=generation,
        workload_observed_generation=workload_generation,
        restarted_at=draft.restarted_at or status.restarted_at,
    )
    if is_scaling and runs.is_retry(context):
        # This pass takes the trace of the abort away, by which the next one would know that old results do not count.
        status = runs.forgotten(status)
    _abort_if_too_late(context, draft, status)
    status = _with_abort_and_pauses(context, draft, status, keeps_resume=is_scaling or context.spec.paused)
    status = conditions.update(context, draft, status)
    status = with_phase(context.rollout, status)
    # A changed template that meets a changed size begins its attempt once, in the pass that starts over.
    attempt = duration.update(context, old, status, sees_changes=not is_scaling)
    status = msgspec.structs.replace(status, duration=attempt)
    _record_pauses(draft, old, status)
    return status


def _abort_if_too_late(context: RolloutContext, draft: Draft, status: RolloutStatus) -> None:
    """Abort an update that made no progress within its deadline, if the user wants that."""
    if (
        context.spec.progress_deadline_abort
        and not draft.is_aborted
        and not is_completed(status)
        and not conditions.has_progressed(context, context.status, status)
        and not conditions.blocks_progress_deadline(context, draft)
        and conditions.is_timed_out(context, context.status.conditions)
    ):
        message = conditions.timed_out_message(context)
        draft.abort(message)
        draft.warn(names.REASON_ROLLOUT_ABORTED, message)


def _with_abort_and_pauses(
    context: RolloutContext, draft: Draft, status: RolloutStatus, *, keeps_resume: bool
) -> RolloutStatus:
    old = context.status
    # An abort that this pass adds is recorded even if the pass removes an older one.
    if draft.abort_message is not None or (old.abort and not draft.removes_abort):
        return msgspec.structs.replace(
            status,
            abort=True,
            aborted_at=old.aborted_at or context.stamp,
            pause_conditions=(),
            controller_pause=False,
        )
    status = msgspec.structs.replace(status, abort=False, aborted_at=None)
    if draft.clears_pauses:
        return msgspec.structs.replace(status, pause_conditions=(), controller_pause=False)
    known = {each.reason for each in old.pause_conditions}
    kept = tuple(each for each in old.pause_conditions if each.reason not in draft.removed_pauses)
    added = tuple(
        PauseCondition(reason=reason, start_time=context.stamp) for reason in draft.added_pauses if reason not in known
    )
    # A resume is used up by the pass that sees it, but not by one that may not act on it.
    has_unused_resume = draft.keeps_resume or (keeps_resume and old.controller_pause and not old.pause_conditions)
    return msgspec.structs.replace(
        status,
        pause_conditions=kept + added,
        controller_pause=bool(added) or (old.controller_pause and bool(kept)) or has_unused_resume,
    )


def _record_pauses(draft: Draft, old: RolloutStatus, new: RolloutStatus) -> None:
    if new.pause_conditions and not old.pause_conditions:
        draft.record(names.REASON_ROLLOUT_PAUSED, f"Rollout is paused ({new.pause_conditions[0].reason})")
    elif old.pause_conditions and not new.pause_conditions and not new.abort:
        draft.record(names.REASON_ROLLOUT_RESUMED, "Rollout is resumed")


def settle_pause(context: RolloutContext) -> RolloutStatus:
    """Return the status with the conditions that speak of pauses in line with the pauses; the same one if they are.

    Looks at nothing else, so counts and hashes stay as they were.
    """
    settled = conditions.settle_pause(context.rollout, context.stamp)
    if settled is context.status.conditions:
        return context.status
    return _conditions_only(context, settled)


def _conditions_only(context: RolloutContext, changed: tuple[Condition, ...]) -> RolloutStatus:
    """Return the persisted status with other conditions and what follows from them alone."""
    status = msgspec.structs.replace(
        context.status, conditions=changed, observed_generation=str(context.rollout.metadata.generation)
    )
    status = with_phase(context.rollout, status)
    return msgspec.structs.replace(
        status, duration=duration.update(context, context.status, status, sees_changes=False)
    )


# ---- Phase and message ------------------------------------------------------------------------------------------


def with_phase(rollout: Rollout, status: RolloutStatus) -> RolloutStatus:
    """Return `status` with the phase and message that follow from it and from the spec of `rollout`."""
    phase, message = compute_phase(msgspec.structs.replace(rollout, status=status))
    return msgspec.structs.replace(status, phase=phase, message=message)


def phase_and_message(rollout: Rollout, *, is_template_resolved: bool = False) -> tuple[str, str]:
    """Return phase and message as clients show them: what the controller has written, if that is about this spec.

    `is_template_resolved` says that the template in `rollout` came from its workloadRef.
    """
    status = rollout.status
    if not is_generation_observed(rollout):
        return names.PHASE_PROGRESSING, "waiting for rollout spec update to be observed"
    if _is_resume_unseen(rollout):
        return names.PHASE_PROGRESSING, "waiting for rollout to unpause"
    if is_template_resolved:
        workload = rollout.metadata.annotations.get(names.WORKLOAD_GENERATION_ANNOTATION)
        observed = parse_integer(status.workload_observed_generation)
        if workload is not None and observed is not None and parse_integer(workload) != observed:
            return (
                names.PHASE_PROGRESSING,
                "waiting for rollout spec update to be observed for the reference workload",
            )
    if status.phase:
        return status.phase, status.message
    return compute_phase(rollout)


def _is_resume_unseen(rollout: Rollout) -> bool:
    """Tell whether a pause has been ended and the controller has not taken notice yet: it still calls it paused.

    A resume may be kept for long, until the preview is ready or as long as the user has paused the Rollout; then what
    the controller says is what holds it.
    """
    status = rollout.status
    is_resumed = status.controller_pause and not status.pause_conditions
    return is_resumed and not rollout.spec.paused and status.phase in ("", names.PHASE_PAUSED)


def is_generation_observed(rollout: Rollout) -> bool:
    """Tell whether the status is about this spec. Text that is no number, or a number too high, counts as such."""
    observed = parse_integer(rollout.status.observed_generation)
    return observed is None or observed >= rollout.metadata.generation


def compute_phase(rollout: Rollout) -> tuple[str, str]:
    """Return phase and message of the status as it is; the first rule that applies decides."""
    spec, status = rollout.spec, rollout.status
    for each in status.conditions:
        # Whether such a condition is True or False does not matter.
        if each.type == names.CONDITION_INVALID_SPEC:
            return names.PHASE_DEGRADED, f"{names.CONDITION_INVALID_SPEC}: {each.message}"
        if each.reason in (names.REASON_ROLLOUT_ABORTED, names.REASON_PROGRESS_DEADLINE_EXCEEDED):
            return names.PHASE_DEGRADED, f"{each.reason}: {each.message}"
    if spec.paused:
        return names.PHASE_PAUSED, "manually paused"
    if status.pause_conditions:
        return names.PHASE_PAUSED, status.pause_conditions[0].reason
    progress = _unfinished(rollout)
    return (names.PHASE_PROGRESSING, progress) if progress else (names.PHASE_HEALTHY, "")


def _unfinished(rollout: Rollout) -> str:
    """Say what is still to come; empty when nothing is."""
    spec, status = rollout.spec, rollout.status
    if spec.restart_at is not None and spec.restart_at != status.restarted_at:
        return "rollout is restarting"
    if spec.strategy.recreate is not None and status.replicas > status.updated_replicas:
        return "old replicas are pending termination"
    if status.updated_replicas < defaults.effective_replicas(spec):
        return "more replicas need to be updated"
    if status.available_replicas < status.updated_replicas:
        return "updated replicas are still becoming available"
    blue_green = spec.strategy.blue_green
    if blue_green is not None:
        selector = status.blue_green.active_selector
        if not selector or selector != status.current_pod_hash:
            return "active service cutover pending"
        if not is_completed(status):
            run = status.blue_green.post_promotion_analysis_run_status
            if blue_green.post_promotion_analysis is not None and (
                run is None or run.status not in names.COMPLETED_RUN_PHASES
            ):
                return "waiting for analysis to complete"
            return "waiting for post-promotion verification to complete"
    canary = spec.strategy.canary
    if canary is not None:
        if canary.traffic_routing is None and status.replicas > status.updated_replicas:
            return "old replicas are pending termination"
        if not is_completed(status):
            return "waiting for all steps to complete"
    if spec.strategy.recreate is not None and not is_completed(status):
        return "waiting for promotion"
    return ""


# ---- Writing ----------------------------------------------------------------------------------------------------


def status_patch(old: RolloutStatus, new: RolloutStatus) -> JsonObject:
    """Return the merge patch of the ``status`` sub-resource that turns `old` into `new`; empty if they are equal."""
    patch = merge_patch_between(_as_json(old), _as_json(new))
    return {"status": patch} if patch else {}


def _as_json(status: RolloutStatus) -> JsonObject:
    return msgspec.json.decode(msgspec.json.encode(status), type=dict)


_COUNTS = ("replicas", "updated_replicas", "ready_replicas", "available_replicas", "hpa_replicas")


def differ_in_counts_only(old: RolloutStatus, new: RolloutStatus) -> bool:
    """Tell whether nothing but counts of pods changes, so that the write may wait a moment for more of the kind.

    The Progressing condition counts in here when all it does is to restart its clock.
    """
    unchanged = {name: getattr(old, name) for name in _COUNTS}
    same_counts = msgspec.structs.replace(new, **unchanged, conditions=())
    return same_counts == msgspec.structs.replace(old, conditions=()) and _states(old) == _states(new)


def _states(status: RolloutStatus) -> set[tuple[str, str, str]]:
    return {(each.type, each.status, each.reason) for each in status.conditions}
