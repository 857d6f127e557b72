"""Recreate: the old version is gone before the new one comes. An extension of Prograde.

    old has its pods ──▶ old to 0 ──▶ no pod of it exists any more ──▶ new gets its pods ──▶ all available: stable

For versions that must never run side by side: a lock, a volume that can be mounted once, a schema that changes. That
nothing serves in between is what the user has chosen.

A pod is gone when it is gone, not when its ReplicaSet stops counting it: one that is terminating may run on for as long
as its grace period. So the pods themselves are looked at before the first new one starts, again and again, since
nobody reports the end of a pod.

One revision is the one to run: the new one, or the stable one after an abort. Everything follows from that, so an
update, going back, trying again and undoing are one and the same move. A paused Rollout does not move: before the move
the old version stays up, and in the middle of it nothing starts until the Rollout is resumed. An abort is the
exception, for it says "back", and nothing may be up at all.

The pods of a Deployment that the Rollout takes over from are an old version, too: they have to go first.
"""

from datetime import timedelta
from typing import Final

import msgspec

from prograde.api import defaults, names
from prograde.api.meta import controller_of
from prograde.api.rollout import RolloutStatus
from prograde.api.workloads import Deployment, Pod, ReplicaSet
from prograde.core.plan import Wait, WaitReason
from prograde.core.rollout import metadata, restart, revisions, runs
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.promotion import fast_rollback_reason, promote
from prograde.core.rollout.replicasets import count_actual, count_available, hash_of, size_of
from prograde.core.rollout.status import base_status, reset_status
from prograde.core.rollout.workload import is_replaced

__all__ = ["decide", "scale_only"]

PODS_POLL: Final = timedelta(seconds=1)
"""How soon to look again whether the old pods are gone: nothing serves meanwhile, and a list of pods is cheap."""

OVERDUE: Final = timedelta(seconds=30)
"""How long after its time a pod may still be there. A node that is alive needs a few seconds for its last report."""


def decide(context: RolloutContext, draft: Draft) -> RolloutStatus | None:
    """Decide one pass; return the status with the strategy's part done, None when it must not be written."""
    if context.is_template_changed:
        return reset_status(context, draft, base_status(context))
    if restart.restart_pods(context, draft):
        return None
    metadata.sync(context, draft)
    runs.clean_up(context, draft)
    if _move(context, draft):
        # Not before: a ReplicaSet in the history tells whose pods are still terminating.
        revisions.clean_up_history(context, draft)
    return _conclude(context, draft)


def scale_only(context: RolloutContext, draft: Draft) -> RolloutStatus:
    """Follow a change of `spec.replicas` and nothing else; all but two counts of the status stay as they are."""
    if context.is_template_changed:
        _resize(context, draft)
    else:
        _move(context, draft)
    return msgspec.structs.replace(
        context.status,
        available_replicas=count_available(context.replica_sets),
        hpa_replicas=count_actual(context.replica_sets),
    )


# ---- Pods ------------------------------------------------------------------------------------------------------------


def _move(context: RolloutContext, draft: Draft) -> bool:
    """Bring the revision that is to run to its size, all others to 0, and these first; tell whether they are gone.

    Asks for pods (`Draft.wants_pods`) when only they can tell.
    """
    if context.spec.paused and not draft.is_aborted:
        _resize(context, draft)
        return False
    chosen = context.stable if draft.is_aborted and context.stable is not None else context.new
    assert chosen is not None, "it has been created, or the pass would have ended"
    others = [each for each in context.replica_sets if each is not chosen]
    for each in others:
        if size_of(each) > 0:
            draft.scale(each, 0)
    draft.remove_deadline(chosen)
    if not all(_is_empty(each) for each in others):
        draft.hold(chosen)
        return False
    is_settled = size_of(chosen) > 0 and context.is_fully_promoted
    if size_of(chosen) < context.replicas and not is_settled and _is_anything_left(context, draft, chosen):
        draft.hold(chosen)
        return False
    draft.scale(chosen, context.replicas)
    return True


def _is_anything_left(context: RolloutContext, draft: Draft, chosen: ReplicaSet) -> bool:
    """Tell whether pods of something else may still be running, and say whose."""
    deployment = context.snapshot.workload
    if isinstance(deployment, Deployment) and deployment.spec.replicas != 0:
        draft.wait(_waiting_for_deployment(context, deployment))
        return True
    if context.snapshot.pods is None:
        draft.wants_pods = True
        return True
    remaining = _pods_of_others(context, chosen, context.snapshot.pods)
    if remaining:
        draft.look_again(context.now + PODS_POLL)
        draft.wait(_waiting_for_end(context, chosen, remaining))
    return bool(remaining)


def _resize(context: RolloutContext, draft: Draft) -> None:
    """Bring what is running to the wanted number of pods, without starting or ending a revision."""
    running = [each for each in context.replica_sets if size_of(each) > 0]
    for each in running:
        if len(running) == 1:
            draft.scale(each, context.replicas)
        else:
            # Left from another strategy. Which of them is to grow is decided when the Rollout moves again.
            draft.hold(each)


def _is_empty(replica_set: ReplicaSet) -> bool:
    """Tell whether it counts no pod any more and makes none, as its controller has confirmed for its present size."""
    is_confirmed = replica_set.status.observed_generation >= replica_set.metadata.generation
    return is_confirmed and size_of(replica_set) == 0 and replica_set.status.replicas == 0


def _pods_of_others(context: RolloutContext, chosen: ReplicaSet, pods: tuple[Pod, ...]) -> list[Pod]:
    """Return the pods of other versions that may still be running.

    These are the pods of other revisions, also of those whose ReplicaSet has been deleted, and the pods of the
    Deployment that the Rollout has its template from. ReplicaSets are named after their owner and their hash.
    """
    uids = {each.metadata.uid for each in context.replica_sets if each is not chosen}
    workload = context.snapshot.workload
    deployment = workload.metadata.name if isinstance(workload, Deployment) else ""
    found = []
    for pod in pods:
        labels, owner = pod.metadata.labels, controller_of(pod)
        pod_hash = labels.get(names.POD_TEMPLATE_HASH_LABEL, "")
        if owner is None or pod.status.phase in ("Succeeded", "Failed") or pod_hash == hash_of(chosen):
            continue
        families = {
            f"{context.rollout.metadata.name}-{pod_hash}",
            f"{deployment}-{labels.get(_DEPLOYMENT_HASH_LABEL, '')}",
        }
        if owner.uid in uids or owner.name in families:
            found.append(pod)
    return found


_DEPLOYMENT_HASH_LABEL: Final = "pod-template-hash"


def _waiting_for_deployment(context: RolloutContext, deployment: Deployment) -> Wait:
    name = deployment.metadata.name
    is_left_alone = defaults.effective_workload_scale_down(context.spec) == names.SCALE_DOWN_NEVER or is_replaced(
        context.rollout, deployment
    )
    return Wait(
        reason=WaitReason.WORKLOAD,
        message=f"Deployment {name} still has pods, beside which none of this Rollout may run",
        object=f"Deployment {name}",
        field="spec.workloadRef.scaleDown",
        remedy=f"kubectl scale deployment {name} --replicas=0" if is_left_alone else "",
    )


def _waiting_for_end(context: RolloutContext, chosen: ReplicaSet, remaining: list[Pod]) -> Wait:
    first = min(remaining, key=lambda pod: pod.metadata.name)
    named = f"pod {first.metadata.name} of another version is"
    if len(remaining) > 1:
        named = f"pod {first.metadata.name} and {len(remaining) - 1} more of another version are"
    # Whoever deletes a pod sets the time at which it is killed.
    killed_at = first.metadata.deletion_timestamp
    is_overdue = killed_at is not None and killed_at < context.now - OVERDUE
    return Wait(
        reason=WaitReason.PODS_TERMINATING,
        message=f"{named} not gone yet; ReplicaSet {chosen.metadata.name} starts after that",
        object=f"Pod {first.metadata.name}",
        field="spec.strategy.recreate",
        until=killed_at if killed_at is not None and killed_at > context.now else None,
        remedy=f"if its node is gone for good: kubectl delete pod {first.metadata.name} --force" if is_overdue else "",
    )


# ---- Conclusion ------------------------------------------------------------------------------------------------------


def _conclude(context: RolloutContext, draft: Draft) -> RolloutStatus:
    status = base_status(context)
    if context.status.promote_full:
        # There is nothing to skip but an abort. A request that stayed would undo every later abort.
        draft.remove_abort()
        status = msgspec.structs.replace(status, promote_full=False)
    reason = _promotion_reason(context, draft)
    return promote(context, draft, status, reason) if reason else status


def _promotion_reason(context: RolloutContext, draft: Draft) -> str:
    """Say why the new revision is to become the stable one now; empty when it is not."""
    if context.stable is None:
        # Before a single pod is ready: clients rely on a stable revision from the first moment on.
        return "Initial deploy"
    assert context.new is not None, "it has been created, or the pass would have ended"
    if draft.is_aborted or (context.spec.paused and not context.is_back_on_stable):
        return ""
    others = [each for each in context.replica_sets if each is not context.new]
    if context.new.status.available_replicas < context.replicas or any(each.status.replicas > 0 for each in others):
        return ""
    return fast_rollback_reason(context) or "Completed recreate update"
