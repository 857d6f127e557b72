"""Scale-down deadlines: how long a ReplicaSet that went out of service keeps its pods.

Clients go on reaching pods for a while after a selector or a weight has moved away from them, and a person may want
to go back at once. So pods that lost their traffic stay for a delay. The delay is remembered as a deadline in an
annotation of the ReplicaSet, nowhere else. Two rules write it:

    promoted        superseded ReplicaSets ── deadline ──▶ 0 pods                 `retire`
    aborted         new ReplicaSet ── stable is complete ── deadline ──▶ 0 pods   `hold_after_abort`

A ReplicaSet that comes back into service loses its deadline (`Draft.remove_deadline`). A basic canary has no
deadlines: its old pods share the traffic until they go, so they go as fast as availability allows.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from prograde.api.workloads import ReplicaSet
from prograde.core.plan import Wait, WaitReason
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.replicasets import scale_down_deadline_of, size_of

__all__ = ["gets_delay_with_routing", "hold_after_abort", "retire"]


def retire(
    draft: Draft,
    superseded: Iterable[ReplicaSet],
    *,
    delay: timedelta,
    revision_limit: int | None,
    size_while_waiting: Callable[[ReplicaSet], int] = size_of,
) -> bool:
    """Take ReplicaSets out of service, each after its delay; tell whether the size of any of them changes.

    `superseded` comes newest revision first, and at most `revision_limit` (None: all) of those that have pods may wait;
    older ones go at once. A delay of 0 means at once. While it waits a ReplicaSet has `size_while_waiting`, once it has
    been given its deadline. A deadline that nobody can read is over: otherwise its pods would stay for ever.

    A ReplicaSet that still gets traffic must not be passed in.
    """
    is_scaled = False
    waiting = 0
    for replica_set in superseded:
        if size_of(replica_set) == 0:
            continue
        deadline = scale_down_deadline_of(replica_set)
        may_wait = revision_limit is None or waiting < revision_limit
        if deadline is None and delay <= timedelta(0):
            may_wait = False
        if not may_wait or (deadline is not None and deadline.is_over(draft.context.now)):
            # An expired one still counts: it was among those that were allowed to wait.
            waiting += may_wait
            is_scaled |= draft.scale(replica_set, 0)
            continue
        waiting += 1
        if deadline is None or deadline.at is None:
            until = draft.context.stamp + delay
            draft.set_deadline(replica_set, until)
        else:
            until = deadline.at
            is_scaled |= draft.scale(replica_set, size_while_waiting(replica_set))
        draft.wait(_waiting(replica_set, until, delay, "its traffic has gone to a newer revision"))
    return is_scaled


def hold_after_abort(
    draft: Draft, new: ReplicaSet, *, delay: timedelta, is_stable_complete: bool, has_traffic: bool
) -> bool:
    """Keep the pods of an aborted revision for a delay, then let them go; tell whether its size changes.

    The delay begins when the stable side can carry everything (`is_stable_complete`) and the traffic has left. Until it
    is over the size stays as it is, whatever happens to the wanted number, and as long as `has_traffic` the pods stay
    even if it is over. The deadline outlives the pods, so that they stay away while the abort lasts.
    """
    deadline = scale_down_deadline_of(new)
    if deadline is not None and deadline.is_over(draft.context.now) and not has_traffic:
        return draft.scale(new, 0, keeps_deadline=True)
    draft.hold(new)
    if deadline is None and is_stable_complete and not has_traffic:
        until = draft.context.stamp + delay
        draft.set_deadline(new, until)
    elif deadline is not None and deadline.at is not None and not deadline.is_over(draft.context.now):
        until = deadline.at
    else:
        return False
    draft.wait(_waiting(new, until, delay, "its update was aborted"))
    return False


def gets_delay_with_routing(*, is_fully_promoted: bool, has_deadline: bool, is_dynamic: bool) -> bool:
    """Tell whether an unreferenced old ReplicaSet of a traffic-routed canary keeps its pods for the delay.

    A former stable revision does, since everything went to it until just now. A revision that was replaced in the
    middle of its own update goes at once, and so does any with a dynamic stable side, whose point is to save pods.
    """
    return (is_fully_promoted or has_deadline) and not is_dynamic


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _waiting(replica_set: ReplicaSet, until: datetime, delay: timedelta, because: str) -> Wait:
    name = replica_set.metadata.name
    return Wait(
        reason=WaitReason.SCALE_DOWN_DELAY,
        message=f"ReplicaSet {name} keeps its {_pods(size_of(replica_set))} until its scale-down deadline: {because}",
        object=f"ReplicaSet {name}",
        field="metadata.annotations[scale-down-deadline]",
        since=until - delay,
        until=until,
    )
