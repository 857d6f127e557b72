"""Restarting pods (`spec.restartAt`): evict every pod older than that instant, a few at a time.

Evictions respect disruption budgets, and here as many pods stay available as an update would leave: one pod may always
be missing, or nothing could ever be restarted. The restart is done as soon as no pod is left that needs one,
not when the replacements are up; `status.restartedAt` then says so.
"""

from datetime import datetime, timedelta

from prograde.api import defaults, names
from prograde.api.meta import find_condition
from prograde.api.workloads import Pod
from prograde.core.plan import EvictPod, Wait, WaitReason
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.replicasets import by_age, size_of

__all__ = ["restart_pods"]


def restart_pods(context: RolloutContext, draft: Draft) -> bool:
    """Evict the pods that must and may go now; tell whether there are any.

    Asks for pods (`Draft.wants_pods`) when a restart is due and the snapshot has none.
    """
    restart_at = context.spec.restart_at
    if restart_at is None or restart_at == context.status.restarted_at:
        return False
    if context.now <= restart_at:
        draft.wait(_waiting(context, f"pods are restarted at {restart_at:%Y-%m-%dT%H:%M:%SZ}", until=restart_at))
        return False
    if context.snapshot.pods is None:
        draft.wants_pods = True
        return False
    pods = _pods_in_order(context, context.snapshot.pods)
    budget = sum(_is_available(context, pod) for pod in pods) - _available_min(context)
    old = [pod for pod in pods if _created(pod) < restart_at]
    candidates = [pod for pod in old if pod.metadata.deletion_timestamp is None]
    evicted = candidates[: max(0, budget)]
    for pod in evicted:
        draft.act(Stage.PODS, EvictPod(name=pod.metadata.name, uid=pod.metadata.uid))
    if len(evicted) == len(old):
        draft.restarted_at = restart_at
        return bool(evicted)
    left = len(old) - len(evicted)
    draft.look_again(context.now + defaults.RESTART_POLL)
    draft.wait(
        _waiting(context, f"{left} of {len(pods)} pods are still to be restarted; a few may be missing at a time")
    )
    return bool(evicted)


def _pods_in_order(context: RolloutContext, pods: tuple[Pod, ...]) -> list[Pod]:
    """Return the Rollout's own pods: those of the stable ReplicaSet first, then of the new one, then of the others."""
    ordered = [context.stable, context.new, *by_age(context.others)]
    position: dict[str, int] = {}
    for replica_set in ordered:
        if replica_set is not None:
            position.setdefault(replica_set.metadata.uid, len(position))
    found = []
    for pod in pods:
        owners = [position[owner.uid] for owner in pod.metadata.owner_references if owner.uid in position]
        if owners:
            found.append((min(owners), _created(pod), pod.metadata.name, pod))
    return [pod for *_, pod in sorted(found, key=lambda each: each[:3])]


def _available_min(context: RolloutContext) -> int:
    total = max(context.replicas, sum(size_of(each) for each in context.replica_sets))
    return total - max(context.limits.unavailable, 1)


def _is_available(context: RolloutContext, pod: Pod) -> bool:
    ready = find_condition(pod.status.conditions, "Ready")
    if pod.metadata.deletion_timestamp is not None or ready is None or ready.status != names.CONDITION_TRUE:
        return False
    needed = timedelta(seconds=context.spec.min_ready_seconds)
    return not needed or (ready.last_transition_time is not None and ready.last_transition_time + needed <= context.now)


def _created(pod: Pod) -> datetime:
    created = pod.metadata.creation_timestamp
    assert created is not None, "the API server sets the creation time of every object"
    return created


def _waiting(context: RolloutContext, message: str, until: datetime | None = None) -> Wait:
    return Wait(
        reason=WaitReason.RESTART,
        message=message,
        object=f"Rollout {context.rollout.metadata.name}",
        field="spec.restartAt",
        since=None if until is not None else context.spec.restart_at,
        until=until,
    )
