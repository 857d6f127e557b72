"""The sizes of a canary whose traffic is split by a router, and which superseded pods may leave.

With a router the pods need not represent the weight, they only have to carry it: the stable side has the whole size
(or, with `dynamicStableScale`, what its traffic needs), and the canary what its weight or a `setCanaryScale` says. What
matters is the order: a side grows before it gets traffic and shrinks only after the traffic has left it. The weights
that are recorded say where the traffic was when this pass began, those of the draft where this very pass sends it;
whoever shrinks must do without the traffic of both. And while a router says that the weights are not in force yet,
nobody shrinks at all.

An aborted canary keeps its pods for a delay, others that are out of service too (`deadlines`); what may still get
traffic, by weight, Service or subset, is left alone whatever its deadline says.
"""

from collections.abc import Iterator
from datetime import timedelta

from prograde.api import defaults, names
from prograde.api.rollout import SetCanaryScale, TrafficWeights
from prograde.api.workloads import ReplicaSet
from prograde.core.rollout import replicas
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.deadlines import gets_delay_with_routing, hold_after_abort, retire
from prograde.core.rollout.destinationrules import destination_rule_of, subset_hashes
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.replicas import CanaryScale, Counts, Size, Weights
from prograde.core.rollout.replicasets import (
    desired_replicas_of,
    hash_of,
    lasting_pods,
    newest_revisions_first,
    scale_down_deadline_of,
    size_of,
)

__all__ = [
    "bearable_weight",
    "is_at_target",
    "is_enough",
    "keep_proportion",
    "keeps_canary_after_abort",
    "referenced_hashes",
    "scale",
    "wanted_counts",
    "weight_while_handing_back",
]


# ---- What each side is to have ----------------------------------------------------------------------------------


def wanted_counts(context: RolloutContext, draft: Draft, *carried: TrafficWeights | None) -> Counts:
    """Return the sizes for the current step, none below what the `carried` weights need."""
    strategy = context.canary
    assert strategy is not None
    floor = _floor(context, carried)
    is_aborted = draft.is_aborted and not _goes_full(context)
    own_scale = None if _goes_full(context) else _effective_scale(context, draft)
    counts = replicas.routed_counts(
        context.replicas,
        _weight(context, draft),
        scale=own_scale,
        pods_min=strategy.min_pods_per_replica_set,
        is_dynamic=strategy.dynamic_stable_scale,
        recorded=floor,
        max_weight=defaults.effective_max_traffic_weight(context.spec),
    )
    if is_aborted and own_scale is None and keeps_canary_after_abort(context):
        # "Never scale down" is about the pods that are there, whatever the first step would ask for. (Argo Rollouts
        # keeps them only if that step is a setCanaryScale.)
        return Counts(canary=max(counts.canary, size_of(context.new)), stable=counts.stable)
    if counts.canary == 0 and floor is not None and floor.canary > 0:
        # What a setCanaryScale says is done whatever the traffic, but the last pod goes after it.
        return Counts(canary=size_of(context.new), stable=counts.stable)
    return counts


def keeps_canary_after_abort(context: RolloutContext) -> bool:
    """Tell whether the user wants an aborted canary to keep its pods for good (`abortScaleDownDelaySeconds: 0`)."""
    return defaults.effective_abort_scale_down_delay(context.spec) is None


def weight_while_handing_back(context: RolloutContext) -> int:
    """Return the largest step downwards that an aborted canary with a dynamic stable side has not passed yet."""
    assert context.new is not None
    assert context.stable is not None
    holds_canary = defaults.has_explicit_abort_scale_down_delay(context.spec) or keeps_canary_after_abort(context)
    return replicas.abort_weight(
        [step.set_weight for step in context.steps],
        context.replicas,
        new_available=lasting_pods(context.new),
        stable_available=lasting_pods(context.stable),
        holds_canary=holds_canary,
        max_weight=defaults.effective_max_traffic_weight(context.spec),
    )


def _goes_full(context: RolloutContext) -> bool:
    return context.status.promote_full or not context.status.stable_rs or context.is_fully_promoted


def _weight(context: RolloutContext, draft: Draft) -> int:
    """Return the weight that the canary's pods are to carry."""
    strategy = context.canary
    assert strategy is not None
    is_handing_back = draft.is_aborted and strategy.dynamic_stable_scale and not _goes_full(context)
    if is_handing_back and context.new is not None and context.stable is not None:
        return weight_while_handing_back(context)
    return replicas.desired_weight(
        [step.set_weight for step in context.steps],
        context.step_index or 0,
        goes_full=_goes_full(context),
        is_aborted=draft.is_aborted,
        max_weight=defaults.effective_max_traffic_weight(context.spec),
    )


def _effective_scale(context: RolloutContext, draft: Draft) -> CanaryScale | None:
    return replicas.effective_canary_scale(
        [_canary_scale(step.set_canary_scale) for step in context.steps],
        context.step_index or 0,
        is_aborted=draft.is_aborted,
        keeps_canary_on_abort=keeps_canary_after_abort(context),
    )


def _canary_scale(wanted: SetCanaryScale | None) -> CanaryScale | None:
    if wanted is None:
        return None
    return CanaryScale(
        replicas=wanted.replicas, weight=wanted.weight, matches_traffic_weight=wanted.match_traffic_weight
    )


def _floor(context: RolloutContext, carried: tuple[TrafficWeights | None, ...]) -> Weights | None:
    """Return the largest weight of each side. What went to an earlier canary is no business of this one's.

    Routers that have never been asked leave all traffic with stable.
    """
    known = [each for each in carried if each is not None]
    if not known:
        is_with_stable = bool(carried and context.routers)
        return Weights(0, defaults.effective_max_traffic_weight(context.spec)) if is_with_stable else None
    new_hash = hash_of(context.new)
    return Weights(
        canary=max(each.canary.weight if each.canary.pod_template_hash == new_hash else 0 for each in known),
        stable=max(each.stable.weight for each in known),
    )


# ---- What each side can carry ------------------------------------------------------------------------------------


def is_at_target(context: RolloutContext, draft: Draft, carried: TrafficWeights | None) -> bool:
    """Tell whether the canary is complete for the current step, and the stable side has its size.

    Availability of the stable side does not matter here, its terminating pods do. With `dynamicStableScale` its size
    follows the traffic and so cannot be waited for.
    """
    strategy = context.canary
    assert strategy is not None
    new, stable = context.new, context.stable
    counts = wanted_counts(context, draft, carried)
    if new is None or not replicas.is_new_at_target(_size(new), counts.canary, context.progress_threshold):
        return False
    if strategy.dynamic_stable_scale:
        return True
    return stable is not None and replicas.is_stable_at_target(size_of(stable), stable.status.replicas, counts.stable)


def is_enough(context: RolloutContext, available: int, wanted: int) -> bool:
    """Tell whether so many available pods do for `wanted` ones."""
    return available >= wanted or bool(replicas.meets_threshold(context.progress_threshold, available, wanted))


def bearable_weight(context: RolloutContext, replica_set: ReplicaSet | None) -> int:
    """Return the largest weight that its available pods can carry."""
    available = lasting_pods(replica_set)
    max_weight = defaults.effective_max_traffic_weight(context.spec)
    return max_weight if available >= context.replicas else max_weight * available // context.replicas


# ---- Scaling ------------------------------------------------------------------------------------------------------


def scale(context: RolloutContext, draft: Draft) -> bool:
    """Move one group of ReplicaSets, stable first; tell whether any moved."""
    stable, new = context.separate_stable, context.new
    counts = wanted_counts(context, draft, context.traffic_weights, draft.weights)
    if stable is not None:
        draft.remove_deadline(stable)
        if draft.scale(stable, _unless_unverified(draft, stable, counts.stable)):
            return True
    if new is not None and _scale_new(context, draft, new, counts.canary):
        return True
    return _scale_others(context, draft)


def keep_proportion(context: RolloutContext, draft: Draft) -> None:
    """Bring both sides to a changed `spec.replicas` in the proportion that they have, and no further.

    Neither goes below what its recorded weight needs.
    """
    stable, new = context.separate_stable, context.new
    strategy, total = context.canary, context.replicas
    assert strategy is not None
    max_weight = defaults.effective_max_traffic_weight(context.spec)
    floor = _floor(context, (context.traffic_weights,)) or Weights(canary=0, stable=0)
    if stable is not None:
        size = _in_proportion(stable, total) if strategy.dynamic_stable_scale else total
        draft.scale(stable, max(size, replicas.pods_for_weight(total, floor.stable, max_weight)))
    if new is not None and draft.is_aborted:
        draft.hold(new)
    elif new is not None:
        size = _in_proportion(new, total)
        draft.scale(new, max(size, replicas.pods_for_weight(total, floor.canary, max_weight)))


def _in_proportion(replica_set: ReplicaSet, total: int) -> int:
    before = desired_replicas_of(replica_set)
    size = size_of(replica_set)
    return -(-size * total // before) if before else size


def _unless_unverified(draft: Draft, replica_set: ReplicaSet, wanted: int) -> int:
    """Return the size, or the present one as long as the traffic may not have left yet."""
    is_unverified = draft.weights is not None and draft.weights.verified is False
    return max(wanted, size_of(replica_set)) if is_unverified else wanted


def _scale_new(context: RolloutContext, draft: Draft, new: ReplicaSet, wanted: int) -> bool:
    strategy, stable = context.canary, context.separate_stable
    assert strategy is not None
    delay = defaults.effective_abort_scale_down_delay(context.spec)
    is_draining = strategy.dynamic_stable_scale and not defaults.has_explicit_abort_scale_down_delay(context.spec)
    if draft.is_aborted and stable is not None and delay is not None and not is_draining:
        return hold_after_abort(
            draft,
            new,
            delay=delay,
            is_stable_complete=is_enough(context, stable.status.available_replicas, context.replicas),
            has_traffic=_has_traffic(context, draft, new),
        )
    draft.remove_deadline(new)
    return draft.scale(new, _unless_unverified(draft, new, wanted))


def _has_traffic(context: RolloutContext, draft: Draft, replica_set: ReplicaSet) -> bool:
    """Tell whether it gets traffic, or may still get some that has been sent elsewhere just now."""
    own_hash = hash_of(replica_set)
    strategy = context.canary
    assert strategy is not None
    if draft.weights is not None and draft.weights.verified is False:
        return True
    for weights in (context.traffic_weights, draft.weights):
        if weights is not None and weights.canary.weight > 0 and weights.canary.pod_template_hash == own_hash:
            return True
    services = (strategy.canary_service, strategy.stable_service)
    return any(context.selected_hash(name) == own_hash for name in services)


# ---- Superseded revisions ------------------------------------------------------------------------------------------


def _scale_others(context: RolloutContext, draft: Draft) -> bool:
    """Take the revisions out of service that no traffic can reach any more; tell whether any changes its size."""
    strategy = context.canary
    assert strategy is not None
    if draft.weights is not None and draft.weights.verified is False:
        return False
    # With no pods wanted there is nobody for a Service to move on to, so that it must not keep the old ones.
    needed = referenced_hashes(context, draft) if context.replicas > 0 else frozenset()
    free = [
        each for each in newest_revisions_first(context.others) if size_of(each) > 0 and hash_of(each) not in needed
    ]
    sizes = [_size(each) for each in context.replica_sets]
    if replicas.room_to_scale_down(sizes, context.replicas, context.limits.unavailable) <= 0:
        free = [each for each in free if each.status.available_replicas == 0]  # a broken version is nobody's reserve
    if not free:
        return False
    waiting, is_moving = [], False
    for each in free:
        if gets_delay_with_routing(
            is_fully_promoted=context.is_fully_promoted,
            has_deadline=scale_down_deadline_of(each) is not None,
            is_dynamic=strategy.dynamic_stable_scale,
        ):
            waiting.append(each)
        else:
            is_moving |= draft.scale(each, 0)
    return is_moving | retire(
        draft,
        waiting,
        delay=timedelta(seconds=defaults.effective_scale_down_delay_seconds(context.spec)),
        revision_limit=defaults.effective_scale_down_delay_revision_limit(context.spec),
    )


def referenced_hashes(context: RolloutContext, draft: Draft) -> frozenset[str]:
    """Return the hashes whose pods may get traffic, before or after this plan."""
    rule = destination_rule_of(context.rollout)
    found = context.snapshot.objects.get(rule) if rule is not None else None
    return frozenset(
        {
            context.status.stable_rs,
            context.status.current_pod_hash,
            *_weighted_hashes(context.traffic_weights),
            *_weighted_hashes(draft.weights),
            *(context.selected_hash(name) for name in _serving(context, draft)),
            *(subset_hashes(found) if found is not None else ()),
        }
        - {""}
    )


def _weighted_hashes(weights: TrafficWeights | None) -> Iterator[str]:
    if weights is not None:
        for each in (weights.canary, weights.stable, *weights.additional):
            yield each.pod_template_hash


def _serving(context: RolloutContext, draft: Draft) -> Iterator[str]:
    """Yield the Services that can get traffic.

    After a promotion the canary of a ping-pong pair goes on selecting the pods of the revision before, until the next
    update needs it. Without weight that must not keep them alive.
    """
    strategy = context.canary
    assert strategy is not None
    yield strategy.stable_service
    yield strategy.canary_service
    pair = strategy.ping_pong
    if pair is None:
        return
    is_stable_ping = context.status.canary.stable_ping_pong == names.PING
    yield pair.ping_service if is_stable_ping else pair.pong_service
    records = (context.traffic_weights, draft.weights)
    if not context.is_fully_promoted or any(each is None or each.canary.weight > 0 for each in records):
        yield pair.pong_service if is_stable_ping else pair.ping_service


def _size(replica_set: ReplicaSet) -> Size:
    return Size(spec=size_of(replica_set), available=replica_set.status.available_replicas)
