"""The canary strategy: the decisions of one pass, top to bottom.

Without a traffic router the number of pods *is* the weight, so everything turns on three ReplicaSet groups that move
one at a time: stable first, then the new one, then the others. A group that moves ends the moving of this pass; the
next pass computes its move from what is then there. That way no move relies on another one having worked out.

    template or steps changed     start over, and nothing else in this pass
    pods to restart               evict, and nothing else: availability has just changed
    metadata, history, services
    traffic                       before the pods, where a router moves it
    experiments, analyses         begin, go on, or end the update
    replica counts                one group, unless halted
    pause step, plugins           only while nothing moves
    conclusion                    promote, or go back, or complete one step

With a router the traffic moves before the pods do (`routing`), and the pods follow it (`routed`).
"""

import msgspec

from prograde.api import defaults, names
from prograde.api.rollout import RolloutStatus
from prograde.api.workloads import ReplicaSet
from prograde.core.rollout import hooks, metadata, replicas, restart, revisions, routed, routing, services, steps
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.promotion import fast_rollback_reason, promote
from prograde.core.rollout.replicas import Counts, Size
from prograde.core.rollout.replicasets import (
    count_actual,
    count_available,
    newest_revisions_first,
    size_of,
)
from prograde.core.rollout.status import base_status, reset_status

__all__ = ["decide", "scale_only"]


def decide(context: RolloutContext, draft: Draft) -> RolloutStatus | None:
    """Decide one pass; return the status with the strategy's part done, None when it must not be written."""
    if context.is_template_changed or context.are_steps_changed:
        return _start_over(context, draft)
    if restart.restart_pods(context, draft):
        return None
    metadata.sync(context, draft)
    revisions.clean_up_history(context, draft)
    services.switch_canary_services(context, draft)
    if not routing.route(context, draft):
        return None
    services.register_pods_to_come(context, draft)
    if not hooks.decide(context, draft):
        return None
    is_moving = not draft.added_pauses and _scale(context, draft)
    if not is_moving:
        steps.enter_pause(context, draft)
    hooks.call_plugins(context, draft, is_moving=is_moving)
    return _conclude(context, draft)


def scale_only(context: RolloutContext, draft: Draft) -> RolloutStatus:
    """Follow a change of `spec.replicas` and nothing else; all but two counts of the status stay as they are."""
    if context.halted_by or context.is_template_changed or context.are_steps_changed:
        _keep_proportion(context, draft)
    else:
        _scale(context, draft)
    return msgspec.structs.replace(
        context.status,
        available_replicas=count_available(context.replica_sets),
        hpa_replicas=count_actual(context.replica_sets),
    )


# ---- Beginning and end of an attempt ----------------------------------------------------------------------------


def _start_over(context: RolloutContext, draft: Draft) -> RolloutStatus:
    """Begin at the first step, or right behind the last one if this revision needs no proof.

    Steps that were edited while the Rollout was idle lead here too, with the event of a rollback: tools know it so.
    """
    status = reset_status(context, draft, base_status(context))
    if not context.steps or context.new is None:
        return status
    if context.is_back_on_stable:
        draft.record(names.EVENT_SKIP_STEPS, "Rollback to stable ReplicaSets")
    elif context.is_within_rollback_window and size_of(context.new) > 0:
        draft.record(names.EVENT_SKIP_STEPS, "Rollback to active ReplicaSets within RollbackWindow")
    else:
        return status
    return msgspec.structs.replace(status, current_step_index=len(context.steps))


def _conclude(context: RolloutContext, draft: Draft) -> RolloutStatus:
    """Promote, go back, or complete the current step: at most one of them, judged by what the pass started from."""
    status = hooks.record(context, draft, base_status(context))
    status = msgspec.structs.replace(status, canary=msgspec.structs.replace(status.canary, weights=draft.weights))
    skips_steps = context.status.promote_full or context.is_within_rollback_window
    if skips_steps:
        draft.clear_pauses()
        draft.remove_abort()
        status = _at_step(context, status, len(context.steps))
    reason = _promotion_reason(context, draft)
    if reason:
        return promote(context, draft, status, reason)
    if draft.is_aborted:
        is_on_stable = status.stable_rs == status.current_pod_hash
        return _at_step(context, status, len(context.steps) if is_on_stable else 0)
    if not skips_steps and _is_step_complete(context, draft):
        return _complete_step(context, draft, status)
    return status


def _promotion_reason(context: RolloutContext, draft: Draft) -> str:
    """Say why the new revision is to become the stable one now; empty when it is not."""
    if context.stable is None:
        # Before a single pod is ready: clients rely on a stable revision from the first moment on.
        return "Initial deploy"
    if draft.is_aborted or context.new is None:
        return ""
    if context.spec.paused and not context.is_back_on_stable:
        # Whoever pauses wants to be able to go back to what is stable now, even if every pod is new already.
        return ""
    if not routed.is_enough(context, context.new.status.available_replicas, context.replicas):
        return ""
    if context.status.promote_full:
        return "Full promotion requested"
    if reason := fast_rollback_reason(context):
        return reason
    if context.step_index in (None, len(context.steps)):
        return f"Completed all {len(context.steps)} canary steps"
    return ""


def _at_step(context: RolloutContext, status: RolloutStatus, index: int) -> RolloutStatus:
    return msgspec.structs.replace(status, current_step_index=index if context.steps else None)


# ---- Steps ------------------------------------------------------------------------------------------------------


def _is_step_complete(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the current step has done what it is for. With several members the first of these decides."""
    step = context.step
    if step is None or context.spec.paused or not context.status.stable_rs:
        return False
    if step.pause is not None:
        return steps.is_pause_over(context, draft)
    if step.set_canary_scale is not None or step.set_weight is not None:
        return _is_at_target(context) if context.canary_routing is None else _is_routed_step_complete(context, draft)
    if step.set_header_route is not None or step.set_mirror_route is not None:
        return _are_routes_set(context, draft)
    return hooks.is_step_complete(context, draft)


def _is_routed_step_complete(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the pods of the current step are there, and its weight is known to have been sent."""
    step, weights = context.step, draft.weights
    assert step is not None
    if not routed.is_at_target(context, draft, weights):
        return False
    if step.set_canary_scale is not None or not context.routers or _is_without_pods(context, draft):
        return True
    return weights is not None and weights.canary.weight == step.set_weight and weights.verified is not False


def _are_routes_set(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the routers know of the route of this step.

    They do not put it in force while the canary has no pods. If it is not to have any yet, that is for a later step.
    """
    if not draft.has_routed:
        return not context.routers
    return draft.keeps_routes or _is_without_pods(context, draft)


def _is_without_pods(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the canary is not meant to have any pods now, so that there is no one to send anything to."""
    return routed.wanted_counts(context, draft, draft.weights).canary == 0


def _complete_step(context: RolloutContext, draft: Draft, status: RolloutStatus) -> RolloutStatus:
    step, index = context.step, context.step_index
    assert step is not None
    assert index is not None
    draft.record(
        names.EVENT_ROLLOUT_STEP_COMPLETED,
        f"Rollout step {index + 1}/{len(context.steps)} completed ({steps.step_text(step)})",
    )
    draft.end_pause(names.PAUSE_CANARY_STEP)
    return _at_step(context, hooks.leave_step(status), index + 1)


# ---- Replica counts ---------------------------------------------------------------------------------------------


def _scale(context: RolloutContext, draft: Draft) -> bool:
    """Move one group of ReplicaSets towards the current weight; tell whether any moved."""
    if context.halted_by:
        return False
    if context.canary_routing is not None:
        return routed.scale(context, draft)
    for each in (context.new, context.separate_stable):
        if each is not None:
            # Only a router's ReplicaSets wait for deadlines; one that is left from such times must not count.
            draft.remove_deadline(each)
    counts = _next_counts(context)
    if context.separate_stable is not None and draft.scale(context.separate_stable, counts.stable):
        return True
    if context.new is not None and draft.scale(context.new, counts.canary):
        return True
    return _scale_others(context, draft)


def _scale_others(context: RolloutContext, draft: Draft) -> bool:
    """Let the pods of superseded revisions go as fast as availability allows; they still get traffic until then."""
    old = [each for each in newest_revisions_first(context.others) if size_of(each) > 0]
    if not old:
        return False
    room = replicas.room_to_scale_down(
        [_size(each) for each in context.replica_sets], context.replicas, context.limits.unavailable
    )
    sizes = replicas.scale_down_others([_size(each) for each in old], room)
    is_moving = False
    for each, size in zip(old, sizes, strict=True):
        is_moving |= draft.scale(each, size)
    return is_moving


def _keep_proportion(context: RolloutContext, draft: Draft) -> None:
    """Bring new and stable to the changed number of pods in the proportion that they have.

    Being halted forbids progress, not capacity: an autoscaler may go on working while a person thinks. (Argo Rollouts
    scales nothing in this state, and so never gets out of it.) And as long as a changed template or changed steps have
    not been observed, the step index speaks of something else, so that no weight can be read from it.
    """
    if context.canary_routing is not None:
        routed.keep_proportion(context, draft)
        return
    new, stable = context.new, context.separate_stable
    if new is None or stable is None:
        if new is not None and size_of(new) > 0:
            room = context.replicas + context.limits.surge - sum(size_of(each) for each in context.others)
            draft.scale(new, min(context.replicas, max(size_of(new), room)))
        return
    counts = replicas.resized_in_proportion(
        context.replicas,
        context.limits,
        new=_size(new),
        stable=_size(stable),
        others=[_size(each) for each in context.others],
    )
    draft.scale(stable, counts.stable)
    draft.scale(new, counts.canary)


def _next_counts(context: RolloutContext) -> Counts:
    new, stable = context.new, context.separate_stable
    return replicas.next_counts(
        context.replicas,
        _weight(context),
        context.limits,
        new=_size(new) if new is not None else None,
        stable=_size(stable) if stable is not None else None,
        others_spec=sum(size_of(each) for each in context.others),
    )


def _weight(context: RolloutContext) -> int:
    """Return the weight that the pods are to represent now, of 100."""
    status = context.status
    return replicas.desired_weight(
        [step.set_weight for step in context.steps],
        context.step_index or 0,
        goes_full=status.promote_full or not status.stable_rs or context.is_fully_promoted,
        is_aborted=status.abort,
    )


def _is_at_target(context: RolloutContext) -> bool:
    """Tell whether the pods represent the current weight: nothing is left to move and the canary is available.

    Availability of the stable side does not matter, its terminating pods do: they may still be getting traffic. The
    canary is held to its final size and not, as in Argo Rollouts, to what the next move would make of it. Otherwise a
    weight would count as reached while superseded pods, or pods that cannot be spared, still keep the canary from
    growing or shrinking.
    """
    new, stable = context.new, context.separate_stable
    if new is None or stable is None:
        return False
    wanted = replicas.approximate_weight(
        context.replicas, _weight(context), defaults.MAX_TRAFFIC_WEIGHT, context.limits.surge
    ).canary
    return (
        size_of(new) == wanted
        and replicas.is_new_at_target(_size(new), wanted, context.progress_threshold)
        and replicas.is_stable_at_target(size_of(stable), stable.status.replicas, _next_counts(context).stable)
        and not any(size_of(each) for each in context.others)
        and count_available(context.others) == 0
    )


def _size(replica_set: ReplicaSet) -> Size:
    return Size(spec=size_of(replica_set), available=replica_set.status.available_replicas)
