"""Blue-green: two full sizes of pods and one switch.

    created (0 pods) ─▶ preview selects it ─▶ preview size, ready ─▶ analysis ─▶ pause ─▶ whole size, saturated
        ─▶ active switches ─▶ analysis ─▶ stable ─▶ the revision before keeps its pods for a delay, then goes to 0

`decide` is one full pass, top to bottom. When only the wanted number of pods has changed, `scale_only` runs instead:
sizes follow at once, everything else waits for the next full pass.

What must hold at every instant, and how the code sees to it:

* The active Service moves only to a ReplicaSet whose pods are all available, and never to nothing. An abort is the
  exception that saves traffic: the stable revision gets it back as soon as it has any available pod, however badly the
  new one does.
* The stable ReplicaSet has the whole size in every state, so that going back is one write.
* An active Service that has lost its hash gets it back, so that it does not select two versions at once.
* No ReplicaSet that the active or preview Service selects, or that the status remembers, is taken out of service. An
  aborted revision keeps its pods as long as the active Service selects it.

Gates between preview and switch are in `bluegreen_gates`, the delays in `deadlines`.
"""

from datetime import timedelta

import msgspec

from prograde.api import defaults, names
from prograde.api.rollout import RolloutStatus
from prograde.api.scalars import format_time
from prograde.api.selectors import format_selector
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.plan import Wait, WaitReason
from prograde.core.rollout import analysis, metadata, restart, revisions, runs
from prograde.core.rollout.bluegreen_gates import BlueGreenGates
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.deadlines import hold_after_abort, retire
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.promotion import fast_rollback_reason, promote
from prograde.core.rollout.replicasets import (
    count_actual,
    count_available,
    desired_replicas_of,
    find_by_hash,
    hash_of,
    newest_revisions_first,
    size_of,
)
from prograde.core.rollout.status import base_status, reset_status

__all__ = ["decide", "scale_only"]


def decide(context: RolloutContext, draft: Draft) -> RolloutStatus | None:
    """Decide one full pass; return the status with the strategy's part done, None when it must not be written."""
    gates = _gates(context, draft)
    _point_preview_to_new(context, draft, gates)
    if not context.is_template_changed:
        restart.restart_pods(context, draft)
        analysis.decide_blue_green(context, draft, is_complete=gates.is_complete)
        if draft.error:
            return None
        _restore_lost_selector(context, draft, gates)
        _take_back_traffic_on_abort(context, draft, gates)
        _size_replica_sets(context, draft, gates)
        revisions.clean_up_history(context, draft)
        _pause_before_switch(context, draft, gates)
        if not _switch_to_new(context, draft, gates) and gates.is_pause_ended:
            draft.keep_resume()
        runs.clean_up(context, draft)
        metadata.sync(context, draft)
    return _conclude(context, draft, gates)


def scale_only(context: RolloutContext, draft: Draft) -> RolloutStatus:
    """Follow a change of `spec.replicas` and nothing else; all but two counts of the status stay as they are."""
    gates = _gates(context, draft)
    _size_replica_sets(context, draft, gates)
    if gates.pause_state == "running":
        draft.wait(_waiting_for_resume(context, gates))
    active = find_by_hash(context.replica_sets, context.status.blue_green.active_selector)
    counted = context.replica_sets if active is None else (active,)
    return msgspec.structs.replace(
        context.status, available_replicas=count_available(counted), hpa_replicas=count_actual(counted)
    )


def _gates(context: RolloutContext, draft: Draft) -> BlueGreenGates:
    strategy = context.blue_green
    assert strategy is not None
    return BlueGreenGates(
        context=context,
        strategy=strategy,
        selected_hash=draft.selected_hash(strategy.active_service),
        runs=analysis.current_runs(context),
    )


# ---- Services --------------------------------------------------------------------------------------------------------


def _point_preview_to_new(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> None:
    """Let the preview Service select the new revision from its very beginning, pods or not.

    It stays there after an abort too: tools take the preview selector for "the revision being tried".
    """
    preview = draft.service(gates.strategy.preview_service)
    if preview is not None and context.new is not None and not context.halted_by:
        draft.switch_service(preview, hash_of(context.new))


def _restore_lost_selector(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> None:
    """Let an active Service without hash select the revision again that had the traffic.

    Somebody has replaced the Service, or the spec names another one. Without hash it selects the pods of all versions,
    the unproven one included.
    """
    active, status = draft.service(gates.strategy.active_service), context.status
    if active is None or gates.selected_hash or context.separate_stable is None or draft.is_aborted:
        return
    before = find_by_hash(context.replica_sets, status.blue_green.active_selector)
    for each in (before, context.stable):
        if each is not None and each.status.available_replicas > 0:
            draft.switch_service(active, hash_of(each))
            return


def _take_back_traffic_on_abort(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> None:
    """Give the traffic of an aborted revision back to the stable one as soon as that has any available pod.

    Argo Rollouts asks for a complete *new* ReplicaSet first, and so leaves the traffic on it when its pods crash. It
    also does nothing while a user has paused the Rollout; but a pause says "no further", and an abort "back".
    """
    stable = context.stable
    active = draft.service(gates.strategy.active_service)
    if not draft.is_aborted or stable is None or active is None:
        return
    if gates.selected_hash == hash_of(stable):
        return
    if stable.status.available_replicas > 0:
        draft.switch_service(active, hash_of(stable))
        return
    draft.wait(
        Wait(
            reason=WaitReason.SERVICE_NOT_SWITCHED,
            message=f"Service {active.metadata.name} goes back to the stable revision when that has an available pod",
            object=f"ReplicaSet {stable.metadata.name}",
            field="status.availableReplicas",
        )
    )


def _switch_to_new(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> bool:
    """Let the active Service select the new revision, once that can carry everything and every gate is open.

    Tells whether it does so in this plan.
    """
    new, active = context.new, draft.service(gates.strategy.active_service)
    if new is None or active is None or context.halted_by or draft.is_aborted:
        return False
    if not gates.is_ready or not gates.is_saturated:
        if gates.is_ready and gates.is_open and gates.wanted != context.replicas:
            draft.wait(_waiting_for_whole_size(context, new))
        return False
    if gates.is_open:
        return draft.switch_service(active, hash_of(new), Stage.ACTIVE_SERVICE)
    if gates.selected_hash:
        # Nothing moves, but a Service that was set up by hand is marked as ours.
        draft.switch_service(active, gates.selected_hash, Stage.ACTIVE_SERVICE)
    return False


def _waiting_for_whole_size(context: RolloutContext, new: ReplicaSet) -> Wait:
    return Wait(
        reason=WaitReason.SERVICE_NOT_SWITCHED,
        message=f"preview {new.metadata.name} is complete and grows to {context.replicas} pods before the switch",
        object=f"ReplicaSet {new.metadata.name}",
        field="spec.strategy.blueGreen.previewReplicaCount",
    )


# ---- ReplicaSets -----------------------------------------------------------------------------------------------------


def _size_replica_sets(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> None:
    """Give every ReplicaSet its size. This goes on while the Rollout is paused."""
    stable, new = context.separate_stable, context.new
    if stable is not None:
        draft.remove_deadline(stable)
        draft.scale(stable, context.replicas)
    if new is not None:
        _size_new(context, draft, gates, new)
    is_unclear = draft.has_pause(names.PAUSE_INCONCLUSIVE_ANALYSIS)
    if not is_unclear and names.PAUSE_INCONCLUSIVE_ANALYSIS not in draft.added_pauses:
        _retire_superseded(context, draft, gates)


def _size_new(context: RolloutContext, draft: Draft, gates: BlueGreenGates, new: ReplicaSet) -> None:
    abort_delay = defaults.effective_abort_scale_down_delay(context.spec)
    if draft.is_aborted and context.stable is not None and abort_delay is not None:
        hold_after_abort(
            draft,
            new,
            delay=abort_delay,
            is_stable_complete=context.stable.status.available_replicas >= context.replicas,
            has_traffic=draft.selected_hash(gates.strategy.active_service) == hash_of(new),
        )
        return
    if not context.is_template_changed:
        # Only the pass that starts over may judge by its deadline whether this is a fast rollback.
        draft.remove_deadline(new)
    draft.scale(new, gates.wanted)


def _retire_superseded(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> None:
    """Take the revisions that nobody refers to any more out of service, each after its delay.

    Without a delay of the user's own choosing they stay while the new one is analysed under traffic.
    """
    has_own_delay = gates.strategy.scale_down_delay_seconds is not None
    is_analysed = not gates.is_post_promotion_passed and not analysis.is_post_promotion_skipped(context)
    if is_analysed and not has_own_delay:
        return
    needed = _referenced_hashes(context, draft, gates)
    retire(
        draft,
        [each for each in newest_revisions_first(context.others) if hash_of(each) not in needed],
        delay=timedelta(seconds=defaults.effective_scale_down_delay_seconds(context.spec)),
        revision_limit=defaults.effective_scale_down_delay_revision_limit(context.spec),
        size_while_waiting=lambda replica_set: _size_in_delay(replica_set, context.replicas),
    )


def _size_in_delay(replica_set: ReplicaSet, replicas: int) -> int:
    """Return the size of an old ReplicaSet while it waits for its deadline.

    One that has carried the whole Rollout follows the wanted number, so that going back to it stays possible at once. A
    mere preview does not grow any more.
    """
    size = size_of(replica_set)
    was_whole = size == desired_replicas_of(replica_set)
    return replicas if was_whole else min(size, replicas)


def _referenced_hashes(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> set[str]:
    """Return the hashes that get traffic or are remembered before this plan; what it moves may go in a later one."""
    status, strategy = context.status, gates.strategy
    selected = [_selected(draft.service(name)) for name in (strategy.active_service, strategy.preview_service)]
    recorded = [status.blue_green.active_selector, status.blue_green.preview_selector]
    return {status.stable_rs, status.current_pod_hash, *recorded, *selected} - {""}


def _selected(service: Service | None) -> str:
    return "" if service is None else service.spec.selector.get(names.POD_TEMPLATE_HASH_LABEL, "")


# ---- The pause before the switch -------------------------------------------------------------------------------------


def _pause_before_switch(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> None:
    """Begin the pause when the preview is ready, end it by time, and show what it waits for.

    While a pod is missing the pause is neither begun nor ended, so that a person never finds it over before there was
    something to look at.
    """
    if draft.is_aborted or context.halted_by or not gates.is_ready:
        return
    if gates.is_fast_tracked or gates.pause_state == "not needed":
        draft.end_pause(names.PAUSE_BLUE_GREEN)
        return
    if not gates.is_pre_promotion_passed:
        return
    if gates.pause_state == "over":
        draft.end_pause(names.PAUSE_BLUE_GREEN)
        return
    if gates.pause_state == "not begun":
        draft.pause(names.PAUSE_BLUE_GREEN)
    draft.wait(_waiting_for_resume(context, gates))


def _waiting_for_resume(context: RolloutContext, gates: BlueGreenGates) -> Wait:
    name = context.rollout.metadata.name
    began = gates.pause_began_at or context.stamp
    seconds = gates.strategy.auto_promotion_seconds
    is_timed = gates.pause_kind == "timed"
    until = began + timedelta(seconds=seconds) if is_timed else None
    return Wait(
        reason=WaitReason.BLUE_GREEN_PAUSE,
        message=(
            f"paused before the switch, which follows by itself at {format_time(until)}"
            if until is not None
            else "paused before the switch until somebody promotes"
        ),
        object=f"Rollout {name}",
        field=f"spec.strategy.blueGreen.{'autoPromotionSeconds' if is_timed else 'autoPromotionEnabled'}",
        since=began,
        until=until,
        remedy=f"to go on{' now' if until is not None else ''}: prograde promote {name}",
    )


# ---- Conclusion ------------------------------------------------------------------------------------------------------


def _conclude(context: RolloutContext, draft: Draft, gates: BlueGreenGates) -> RolloutStatus:
    status = runs.record(context, draft, base_status(context))
    if context.is_template_changed:
        status = reset_status(context, draft, status)
    if context.status.promote_full or context.is_within_rollback_window:
        draft.clear_pauses()
        draft.remove_abort()
    selectors = msgspec.structs.replace(
        status.blue_green,
        active_selector=draft.selected_hash(gates.strategy.active_service),
        preview_selector=draft.selected_hash(gates.strategy.preview_service),
    )
    status = msgspec.structs.replace(status, blue_green=selectors)
    reason = _promotion_reason(context, draft, gates, status)
    if reason:
        status = promote(context, draft, status, reason)
    elif _passes_checkpoint(context, gates):
        status = msgspec.structs.replace(
            status, blue_green=msgspec.structs.replace(selectors, scale_up_preview_check_point=True)
        )
    return _with_counts_of_active(context, status)


def _promotion_reason(context: RolloutContext, draft: Draft, gates: BlueGreenGates, status: RolloutStatus) -> str:
    """Say why the new revision is to become the stable one now; empty when it is not. The first rule decides.

    What counts is where the active Service points after this plan.
    """
    active_selector = status.blue_green.active_selector
    if context.stable is None:
        return "Initial deploy"
    if active_selector != status.current_pod_hash:
        return ""
    if context.status.promote_full:
        return "Full promotion requested"
    if reason := fast_rollback_reason(context):
        return reason
    if draft.is_aborted or not gates.is_post_promotion_passed:
        return ""
    return "Completed blue-green update"


def _passes_checkpoint(context: RolloutContext, gates: BlueGreenGates) -> bool:
    """Tell whether the preview may grow to the whole size: it is complete, and the pause lies behind it.

    A checkpoint belongs to its revision. Argo Rollouts lets the next revision inherit it, which then goes live without
    the pause that the user asked for.
    """
    size, new = gates.strategy.preview_replica_count, context.new
    if size is None or new is None or context.is_template_changed:
        return False
    if gates.is_past_checkpoint:
        return True
    is_passed = gates.is_pre_promotion_passed and gates.pause_state in ("not needed", "over")
    return is_passed and new.status.available_replicas == size


def _with_counts_of_active(context: RolloutContext, status: RolloutStatus) -> RolloutStatus:
    """Return the status with the counts of the active revision alone: autoscalers must not see the preview."""
    active = find_by_hash(context.replica_sets, status.blue_green.active_selector)
    if active is None:
        return status
    return msgspec.structs.replace(
        status,
        hpa_replicas=active.status.replicas,
        ready_replicas=active.status.ready_replicas,
        available_replicas=active.status.available_replicas,
        selector=format_selector(active.spec.selector),
    )
