"""Where the traffic of a canary goes: one decision per pass, made known to every router.

    who serves what?         `_choose`: the first rule that applies gives the canary's weight
      back on stable, which is not complete yet     the revision before keeps what stable cannot take
      promoted                                      0
      aborted                                       0, or downwards as stable gets its pods back
      canary without available pods                 0
      full promotion                                as it is, or with the pods if stable shrinks meanwhile
      a step                                        its weight once the pods are there, and until then the one before
    can stable take it?      if not, the traffic stays as it is, and so do hashes and routes
    the routers              each brings the cluster there; the first that cannot ends the pass
    what was decided         recorded as `status.canary.weights`

Weights move before pods leave and after pods have come, see `routed`. Two things Argo Rollouts does differently, for
the same reason: a canary whose pods are gone has its traffic taken away even if stable is not complete, since the
requests would be lost otherwise; and an aborted canary hands over what stable can take instead of waiting until it can
take all.

Header and mirror routes are no events but a wish as well: what the steps so far have set is in force as long as the
steps are, and put right in every pass.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from prograde.api import defaults, names
from prograde.api.rollout import SetHeaderRoute, SetMirrorRoute, TrafficWeights, WeightDestination
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import Wait, WaitReason
from prograde.core.rollout import experiments, replicas, routed
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.replicasets import find_by_hash, hash_of, lasting_pods, scale_down_deadline_of, size_of
from prograde.core.routing import Routed, RoutingIntent

__all__ = ["is_coming_back", "may_take_over", "route"]


def route(context: RolloutContext, draft: Draft) -> bool:
    """Bring the traffic where it belongs now; False ends the pass, for a router cannot do what it has to."""
    canary = context.canary
    assert canary is not None
    if not context.routers:
        draft.weights = None
        return True
    stable = context.stable
    if stable is None:
        # The first deployment: all traffic is on its way to the only revision there is.
        return True
    share = _choose(context, draft)
    if not _can_stable_take(context, stable, share.weight):
        draft.wait(_waiting_for_capacity(context, stable, share.weight))
        return True
    if error := _overdrawn(context, share):
        return _fail(draft, error, ())
    weights = _weights(context, share)
    answers: list[bool | None] = []
    intent = _intent(context, draft, share)
    for router in context.routers:
        routed_by = router.route(intent, context.snapshot.objects)
        _take_over(draft, routed_by)
        if routed_by.error:
            return _fail(draft, routed_by.error, routed_by.waits)
        if routed_by.verify_error:
            draft.warn(names.EVENT_WEIGHT_VERIFY_ERROR, f"Failed to verify weight: {routed_by.verify_error}")
        answers.append(routed_by.verified)
    verified = False if False in answers else True if True in answers else None
    if verified is False and not _wait_for_verification(context, draft, weights):
        return False
    _record(draft, weights)
    draft.weights = msgspec.structs.replace(weights, verified=verified)
    draft.has_routed, draft.keeps_routes = True, share.follows_steps
    _after_routing(context, draft, share, stable)
    return True


# ---- The decision -------------------------------------------------------------------------------------------------


class _Share(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to get what."""

    weight: int
    canary_hash: str
    additional: tuple[WeightDestination, ...] = ()
    follows_steps: bool = False
    """The weight is that of a step, so that the routes of the steps are in force too."""
    is_going_back: bool = False


def is_coming_back(context: RolloutContext) -> bool:
    """Tell whether the stable template has come back before all of its pods have.

    Then the abandoned revision has to go on serving what the stable one cannot take yet.
    """
    canary, recorded, new = context.canary, context.traffic_weights, context.new
    if canary is None or recorded is None or new is None or not context.routers or not context.is_fully_promoted:
        return False
    carrier = _carrier(context)
    if carrier is None or carrier is new or lasting_pods(carrier) == 0:
        return False
    available = lasting_pods(new)
    if canary.dynamic_stable_scale:
        return available < context.replicas
    return recorded.canary.weight > 0 and not routed.is_enough(context, available, context.replicas)


def may_take_over(context: RolloutContext, replica_set: ReplicaSet) -> bool:
    """Tell whether a canary Service may move to these pods.

    Not while it carries more traffic for another revision than they could serve: the weight goes first.
    """
    recorded = context.traffic_weights
    if recorded is None or recorded.canary.pod_template_hash == hash_of(replica_set):
        return True
    return recorded.canary.weight <= routed.bearable_weight(context, replica_set)


def _choose(context: RolloutContext, draft: Draft) -> _Share:
    """Return the share of the canary; the first rule that applies decides."""
    recorded, new = context.traffic_weights, context.new
    new_hash = hash_of(new)
    if is_coming_back(context):
        assert recorded is not None
        weight = _least_weight(context, 0 if not _is_dynamic(context) else recorded.canary.weight)
        return _Share(weight=weight, canary_hash=recorded.canary.pod_template_hash, is_going_back=True)
    if context.is_fully_promoted:
        was_other = recorded is not None and recorded.canary.pod_template_hash != new_hash
        return _Share(weight=0, canary_hash=new_hash, is_going_back=was_other)
    if draft.is_aborted:
        weight = _aborted_weight(context)
        canary_hash = recorded.canary.pod_template_hash if recorded is not None and weight > 0 else new_hash
        return _Share(weight=weight, canary_hash=canary_hash, is_going_back=True)
    additional = experiments.destinations(context)
    if new is None or lasting_pods(new) == 0:
        return _Share(weight=0, canary_hash=new_hash, additional=additional)
    if context.status.promote_full:
        return _Share(weight=_full_promotion_weight(context), canary_hash=new_hash)
    if context.step_index is None:
        return _Share(weight=0, canary_hash=new_hash)
    weight = _step_weight(context, draft, context.step_index)
    if context.step_index == len(context.steps):
        additional = ()
    return _Share(weight=weight, canary_hash=new_hash, additional=additional, follows_steps=True)


def _step_weight(context: RolloutContext, draft: Draft, index: int) -> int:
    """Return the weight of the step, or what may go to the canary before its pods are there.

    That is the weight of the step before, but never more than the pods can carry or carry already: a step may have been
    skipped before its pods came. A lower weight needs no pods, so it comes at once.
    """
    carried = _carried_weight(context)
    if context.halted_by:
        return carried
    if routed.wanted_counts(context, draft).canary == 0:
        # Whatever the weight says: a scale of 0 wants nobody to be there, and the traffic goes first.
        return 0
    step_weights = [step.set_weight for step in context.steps]
    is_done = index == len(context.steps)
    wanted = _max_weight(context) if is_done else replicas.last_set_weight(step_weights, index)
    if routed.is_at_target(context, draft, None):
        return wanted
    before = replicas.last_set_weight(step_weights[:index], index)
    return min(before, wanted, max(carried, routed.bearable_weight(context, context.new)))


def _full_promotion_weight(context: RolloutContext) -> int:
    """Return the present weight, since the new pods come first; with a dynamic stable side the weight follows them."""
    bearable = routed.bearable_weight(context, context.new)
    if _is_dynamic(context):
        return bearable
    recorded = context.traffic_weights
    if recorded is None:
        return 0
    return max(_carried_weight(context), min(recorded.canary.weight, bearable))


def _aborted_weight(context: RolloutContext) -> int:
    """Return the weight that an aborted canary keeps for now.

    0 if stable can take everything, which it can as a rule. With a dynamic stable side the weight goes down stepwise as
    stable gets its pods back, and never up again.
    """
    stable, carrier, recorded = context.stable, _carrier(context), context.traffic_weights
    if stable is None or context.new is None or context.replicas == 0:
        return 0
    if recorded is not None and (carrier is None or lasting_pods(carrier) == 0):
        return 0
    if not _is_dynamic(context):
        return _least_weight(context, 0)
    step = routed.weight_while_handing_back(context)
    lacking = _max_weight(context) - routed.bearable_weight(context, stable)
    if recorded is None:
        return min(max(lacking, step), routed.bearable_weight(context, context.new))
    current = recorded.canary.weight
    if step <= 0:
        return min(lacking, current)
    if lacking > step:
        return current
    return min(step, current)


def _least_weight(context: RolloutContext, wanted: int) -> int:
    """Return `wanted` or what stable cannot take, if that is more; but no more than the canary has."""
    stable, recorded = context.stable, context.traffic_weights
    if stable is None or recorded is None:
        return wanted
    if routed.is_enough(context, lasting_pods(stable), _pods_for_rest(context, wanted)):
        return wanted
    lacking = _max_weight(context) - routed.bearable_weight(context, stable)
    return min(recorded.canary.weight, max(wanted, lacking))


def _carried_weight(context: RolloutContext) -> int:
    """Return the weight that the new revision has already."""
    recorded = context.traffic_weights
    if recorded is None or recorded.canary.pod_template_hash != hash_of(context.new):
        return 0
    return recorded.canary.weight


def _carrier(context: RolloutContext) -> ReplicaSet | None:
    """Return the ReplicaSet behind the canary as the last pass has left it; None when there is none."""
    recorded = context.traffic_weights
    return find_by_hash(context.replica_sets, recorded.canary.pod_template_hash) if recorded is not None else None


def _is_dynamic(context: RolloutContext) -> bool:
    return context.canary is not None and context.canary.dynamic_stable_scale


def _max_weight(context: RolloutContext) -> int:
    return defaults.effective_max_traffic_weight(context.spec)


# ---- Can stable take the rest? ------------------------------------------------------------------------------------


def _pods_for_rest(context: RolloutContext, weight: int) -> int:
    max_weight = _max_weight(context)
    return (max_weight - weight) * context.replicas // max_weight


def _can_stable_take(context: RolloutContext, stable: ReplicaSet, weight: int) -> bool:
    """Tell whether the stable side can carry what the canary with `weight` leaves.

    A share that does not grow is no question of its pods; a broken stable version must not keep its fix from getting
    traffic, as it does in Argo Rollouts. It gets a larger one anyway where the traffic has nowhere else to be: if it is
    with the very same pods under another name, or with pods that are gone.
    """
    available, recorded, carrier = lasting_pods(stable), context.traffic_weights, _carrier(context)
    if recorded is None:
        return weight > 0 or routed.is_enough(context, available, context.replicas)
    if weight >= recorded.canary.weight:
        return True
    # However small the share is that comes back: without a single pod it is lost.
    if available == 0 and context.replicas > 0:
        return False
    if routed.is_enough(context, available, _pods_for_rest(context, weight)):
        return True
    return carrier is None or carrier is stable or lasting_pods(carrier) == 0


def _waiting_for_capacity(context: RolloutContext, stable: ReplicaSet, weight: int) -> Wait:
    name, available = stable.metadata.name, lasting_pods(stable)
    needed = _pods_for_rest(context, weight)
    return Wait(
        reason=WaitReason.STABLE_CAPACITY,
        message=f"the traffic stays as it is: stable ReplicaSet {name} has {available} of the {needed} available pods"
        f" that a canary weight of {weight} asks of it",
        object=f"ReplicaSet {name}",
        field="status.availableReplicas",
        remedy=f"look at the pods: kubectl describe replicaset {name}",
    )


def _waiting_to_hand_over(context: RolloutContext, stable: ReplicaSet, weight: int) -> Wait:
    name, available = stable.metadata.name, lasting_pods(stable)
    return Wait(
        reason=WaitReason.STABLE_CAPACITY,
        message=f"the canary keeps a weight of {weight} for now: stable ReplicaSet {name} has {available} of"
        f" {context.replicas} available pods",
        object=f"ReplicaSet {name}",
        field="status.availableReplicas",
        remedy="goes on by itself as stable gets its pods back",
    )


# ---- What the routers are asked for -------------------------------------------------------------------------------


def _intent(context: RolloutContext, draft: Draft, share: _Share) -> RoutingIntent:
    recorded = context.traffic_weights
    before = recorded.canary if recorded is not None else WeightDestination()
    successor = find_by_hash(context.replica_sets, share.canary_hash)
    is_gone = lasting_pods(context.new) == 0
    is_too_small = (
        before.pod_template_hash != share.canary_hash and routed.bearable_weight(context, successor) < before.weight
    )
    return RoutingIntent(
        rollout=context.rollout,
        weight=share.weight,
        max_weight=_max_weight(context),
        canary_hash=share.canary_hash,
        stable_hash=hash_of(context.stable),
        additional=share.additional,
        routes=_routes(context, draft) if share.follows_steps else (),
        weight_first=before.weight > 0 and (is_gone or is_too_small),
        is_going_back=share.is_going_back,
        replica_sets=context.replica_sets,
        services=context.snapshot.services,
    )


def _routes(context: RolloutContext, draft: Draft) -> tuple[SetHeaderRoute | SetMirrorRoute, ...]:
    """Return the managed routes that the steps up to the current one have left in force.

    The very first revision has none: there is no other one that its requests could be told from.
    """
    routing = context.canary.traffic_routing if context.canary is not None else None
    index = context.step_index
    if routing is None or index is None or draft.revision <= 1:
        return ()
    if routed.wanted_counts(context, draft, context.traffic_weights).canary == 0:
        # Its pods are to go, and nothing may lead to them by then.
        return ()
    # Who is halted does not begin another step; one that has been begun is over.
    until = index if context.halted_by else index + 1
    in_force: dict[str, SetHeaderRoute | SetMirrorRoute] = {}
    for step in context.steps[:until]:
        for route_step in (step.set_header_route, step.set_mirror_route):
            if route_step is None:
                continue
            in_force.pop(route_step.name, None)
            if route_step.match:
                in_force[route_step.name] = route_step
    order = [each.name for each in routing.managed_routes or ()]
    return tuple(in_force[name] for name in order if name in in_force)


def _overdrawn(context: RolloutContext, share: _Share) -> str:
    """Say what is wrong if canary and experiment together want more than there is; empty when nothing is."""
    max_weight = _max_weight(context)
    extra = sum(each.weight for each in share.additional)
    if share.weight + extra <= max_weight:
        return ""
    name = context.rollout.metadata.name
    return (
        f"Rollout {name}: the canary's weight {share.weight} and the weights of its experiment, {extra},"
        f" are more than {max_weight}: lower the weights in spec.strategy.canary.steps"
    )


# ---- What came of it ----------------------------------------------------------------------------------------------


def _take_over(draft: Draft, routed_by: Routed) -> None:
    draft.route(routed_by.groups)
    draft.events.extend(routed_by.events)
    for wait in routed_by.waits:
        draft.wait(wait)


def _fail(draft: Draft, error: str, waits: Sequence[Wait]) -> bool:
    """End the pass, for traffic and pods must not part ways."""
    draft.warn(names.EVENT_TRAFFIC_ROUTING_ERROR, error)
    if not waits:
        context = draft.context
        draft.wait(
            Wait(
                reason=WaitReason.TRAFFIC_NOT_ROUTED,
                message=error,
                object=f"Rollout {context.rollout.metadata.name}",
                field="spec.strategy.canary.trafficRouting",
                remedy="it is tried again and again, and nothing is scaled meanwhile",
            )
        )
    draft.fail(error)
    return False


def _weights(context: RolloutContext, share: _Share) -> TrafficWeights:
    canary = context.canary
    assert canary is not None
    rest = _max_weight(context) - share.weight - sum(each.weight for each in share.additional)
    return TrafficWeights(
        canary=WeightDestination(
            weight=share.weight, service_name=canary.canary_service, pod_template_hash=share.canary_hash
        ),
        stable=WeightDestination(
            weight=rest, service_name=canary.stable_service, pod_template_hash=hash_of(context.stable)
        ),
        additional=share.additional,
    )


def _record(draft: Draft, new: TrafficWeights) -> None:
    """Announce other weights than those on record; that they are those of another revision is told by others."""
    old = draft.context.traffic_weights
    if old is not None and msgspec.structs.replace(old, verified=None) == new:
        return
    details = []
    if old is None:
        details.append(f"to {new.canary.weight}")
    elif old.canary.weight != new.canary.weight:
        details.append(f"from {old.canary.weight} to {new.canary.weight}")
    if old is not None and old.additional != new.additional:
        listed = " ".join(f"{{{each.weight} {each.service_name} {each.pod_template_hash}}}" for each in new.additional)
        details.append(f"additional: [{listed}]")
    if details:
        draft.record(names.EVENT_TRAFFIC_WEIGHT_UPDATED, f"Traffic weight updated {', '.join(details)}")


def _wait_for_verification(context: RolloutContext, draft: Draft, weights: TrafficWeights) -> bool:
    """Look again soon; False if everything hangs on it, so that nothing may be scaled down on the strength of it."""
    weight = weights.canary.weight
    name = context.rollout.metadata.name
    draft.look_again(context.now + context.settings.verify_retry)
    draft.wait(
        Wait(
            reason=WaitReason.WEIGHT_NOT_VERIFIED,
            message=f"the weight of {weight} is set, but not known to be in force",
            object=f"Rollout {name}",
            field="status.canary.weights.verified",
            remedy=f"it is asked for again every {context.settings.verify_retry.total_seconds():g} s",
        )
    )
    if weight != _max_weight(context) or (context.step_index or 0) < len(context.steps):
        return True
    draft.fail(f"end of rollout, desired weight {weight} not yet verified")
    return False


def _after_routing(context: RolloutContext, draft: Draft, share: _Share, stable: ReplicaSet) -> None:
    """See to what follows at once from where the traffic is now."""
    canary = context.canary
    assert canary is not None
    if share.is_going_back and share.weight > 0:
        draft.wait(_waiting_to_hand_over(context, stable, share.weight))
    if share.is_going_back and share.weight == 0 and lasting_pods(stable) > 0:
        # Goes out before the weights do: whoever still gets to the canary Service is served well.
        service = draft.service(canary.canary_service)
        if service is not None and draft.selected_hash(canary.canary_service) != hash_of(stable):
            draft.switch_service(service, hash_of(stable))
    _delay_scale_down(context, draft)


def _delay_scale_down(context: RolloutContext, draft: Draft) -> None:
    """Let superseded pods that lose their traffic in this pass live on for the delay that old stable pods get.

    So do those that were stable when the weights were recorded, whatever their weight: they had everything until the
    promotion, and a release that follows at once must not cost them their delay.
    """
    old, new = context.traffic_weights, draft.weights
    delay = timedelta(seconds=defaults.effective_scale_down_delay_seconds(context.spec))
    if old is None or new is None or _is_dynamic(context) or delay <= timedelta(0):
        return
    served = {each.pod_template_hash for each in (old.canary, *old.additional) if each.weight > 0}
    served.add(old.stable.pod_template_hash)
    serves = {each.pod_template_hash for each in (new.canary, new.stable, *new.additional)}
    for each in context.others:
        if hash_of(each) in served - serves and size_of(each) > 0 and scale_down_deadline_of(each) is None:
            draft.set_deadline(each, context.stamp + delay)
