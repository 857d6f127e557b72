"""Replica arithmetic: how many pods each ReplicaSet of a canary should have.

Only integers come in and go out. Nothing here knows what a Rollout looks like; the canary strategy reads its fields,
asks these functions, and turns the answers into scale actions. In the order in which a pass needs them:

1. `limits`: how many pods may exist on top of, and may be missing from, the wanted number.
2. `desired_weight`: the share of the canary at the current step.
3. `approximate_weight`: that share as whole pods, when pods are the only means to split traffic ("basic canary").
4. `next_counts`: one move from the present sizes towards that split, within the limits. It is computed afresh in every
   pass, so the whole rollout is the repetition of this one move, whatever happened in between.
5. `scale_down_others`: what may leave from revisions that are neither the new nor the stable one;
   `resized_in_proportion`: what a changed number of pods means while nothing may move.
6. `routed_counts`, `effective_canary_scale`, `abort_weight`: the sizes when a router splits the traffic and the pods
   only have to carry their share.
7. `is_new_at_target`, `is_stable_at_target`: whether reality has arrived, the gate for completing a step.

Words: *spec* is the size a ReplicaSet asks for, *available* the number of its pods that have been ready long enough,
*actual* the number of its pods that exist. All products are exact integers, so weights up to any maximum are safe and
no result depends on the rounding of floating point numbers.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from prograde.api.scalars import IntOrString, scaled_value

__all__ = [
    "DEFAULT_MAX_WEIGHT",
    "CanaryScale",
    "Counts",
    "Limits",
    "ProgressThreshold",
    "Size",
    "Weights",
    "abort_weight",
    "approximate_weight",
    "desired_weight",
    "effective_canary_scale",
    "is_new_at_target",
    "is_stable_at_target",
    "last_set_weight",
    "limits",
    "meets_threshold",
    "next_counts",
    "pods_for_weight",
    "resized_in_proportion",
    "room_to_scale_down",
    "routed_counts",
    "scale_down_others",
]

DEFAULT_MAX_WEIGHT = 100
"""What weights are measured against unless the traffic router is told another maximum."""


class Limits(msgspec.Struct, frozen=True):
    """How far a rolling change may leave the wanted number of pods, upwards and downwards."""

    surge: int
    unavailable: int


class Counts(msgspec.Struct, frozen=True):
    """Sizes of the canary and of the stable ReplicaSet."""

    canary: int
    stable: int


class Size(msgspec.Struct, frozen=True):
    """What a ReplicaSet asks for and what it has."""

    spec: int
    available: int

    @property
    def lasting(self) -> int:
        """Return how many available pods will still be there when the ReplicaSet has its size."""
        return min(self.spec, self.available)


def limits(total: int, max_surge: IntOrString | None, max_unavailable: IntOrString | None) -> Limits:
    """Return the resolved limits for `total` wanted pods; None counts as 0, defaults are the caller's business.

    Percentages of surge are rounded up and those of unavailable down. If both come out as 0 nothing could ever move,
    so one pod may be missing. A value that is no number counts as 0; that is for validation to report.
    """
    surge = 0 if max_surge is None else scaled_value(max_surge, total, round_up=True)
    unavailable = 0 if max_unavailable is None else scaled_value(max_unavailable, total, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(surge=surge, unavailable=min(unavailable, total))


def last_set_weight(step_weights: Sequence[int | None], index: int) -> int:
    """Return the last weight set at or before the step `index`, or 0. None stands for a step without a weight."""
    for weight in reversed(step_weights[: index + 1]):
        if weight is not None:
            return weight
    return 0


def desired_weight(
    step_weights: Sequence[int | None],
    index: int,
    *,
    goes_full: bool,
    is_aborted: bool,
    max_weight: int = DEFAULT_MAX_WEIGHT,
) -> int:
    """Return the weight of the canary at the step `index` (an index past the last step means that all are done).

    `goes_full` holds while there is nothing to split: a full promotion was requested, no stable revision exists yet,
    or the new revision is the stable one. It wins over an abort, since then there is nothing to go back to.
    """
    if goes_full:
        return max_weight
    if is_aborted:
        return 0
    if index >= len(step_weights):
        return max_weight
    return last_set_weight(step_weights, index)


def approximate_weight(total: int, weight: int, max_weight: int, surge: int) -> Counts:
    """Return the split of `total` pods whose share of canaries is nearest to `weight`.

    A surge allows one pod more to come nearer. Of two splits that are equally near the larger canary wins. A weight
    strictly between nothing and everything never yields an empty side, unless there is but one pod to give.
    """
    if total == 0:
        return Counts(canary=0, stable=0)
    scaled = total * weight
    upper, lower = -(-scaled // max_weight), scaled // max_weight
    may_be_empty = weight in (0, max_weight) or (total == 1 and surge == 0)

    candidates: list[tuple[int, int]] = []
    if upper < total or may_be_empty:
        candidates.append((upper, total))
    if (lower != 0 or may_be_empty) and not (candidates and _is_tie(total, weight, max_weight)):
        # The smaller neighbour is left out on a tie only if the larger one is eligible. Argo Rollouts leaves it out
        # always and so gives the canary no pod at all for, say, 95 % of 10 pods without surge.
        candidates.append((lower, total))
    if surge > 0:
        candidates.append((upper, total + 1))
        if (lower != 0 or may_be_empty) and not _is_tie(total + 1, weight, max_weight):
            candidates.append((lower, total + 1))

    best: tuple[int, int] | None = None
    for candidate in candidates:
        if best is None or _is_nearer(candidate, best, weight, max_weight):
            best = candidate
    if best is None:
        return Counts(canary=0, stable=total)
    canary, pods = best
    return Counts(canary=canary, stable=pods - canary)


def _is_tie(total: int, weight: int, max_weight: int) -> bool:
    """Return whether the exact number of canaries lies in the middle between two whole numbers."""
    return 2 * (total * weight % max_weight) == max_weight


def _is_nearer(one: tuple[int, int], other: tuple[int, int], weight: int, max_weight: int) -> bool:
    """Return whether the share of canaries in `one` is strictly nearer to the weight than that in `other`."""
    distance_one = abs(one[0] * max_weight - weight * one[1])
    distance_other = abs(other[0] * max_weight - weight * other[1])
    return distance_one * other[1] < distance_other * one[1]


def next_counts(
    total: int,
    weight: int,
    bounds: Limits,
    *,
    new: Size | None,
    stable: Size | None,
    others_spec: int = 0,
    max_weight: int = DEFAULT_MAX_WEIGHT,
) -> Counts:
    """Return the sizes after one move of a basic canary towards `weight`, as far as the limits allow now.

    `stable` is None if no stable ReplicaSet exists or if it is the new one: then the new one takes all pods.
    `others_spec` is the sum of the sizes of all further ReplicaSets; while it is not 0, nothing of new and stable is
    scaled down.

    The stable side has precedence when there is room to grow. The side that shrinks is counted by its size, so that
    crashing pods never block their own removal; the side that grows is counted by what is available.
    """
    target = approximate_weight(total, weight, max_weight, bounds.surge)
    if stable is None:
        target = Counts(canary=total, stable=0)
    pods_max = total + bounds.surge
    new_spec = new.spec if new is not None else 0
    stable_spec = stable.spec if stable is not None else 0

    room = pods_max - (new_spec + stable_spec + others_spec)
    grown_stable = _grow(stable_spec, target.stable, room)
    grown_new = _grow(new_spec, target.canary, room - (grown_stable - stable_spec))
    grown = Counts(canary=grown_new, stable=grown_stable)
    if others_spec > 0:
        return grown

    available_min = total - bounds.unavailable
    canary_rises = new is None or target.canary >= new.spec
    counted_new = 0 if new is None else new.lasting if canary_rises else new.spec
    counted_stable = 0 if stable is None else stable.spec if canary_rises else stable.lasting
    spare = counted_new + counted_stable - available_min
    if spare <= 0:
        return grown

    if canary_rises:
        drained = _shrink(stable_spec, grown.stable, target.stable, spare)
        drained, held = _within_limits(stable, drained, new, grown.canary, pods_max, available_min)
        return Counts(canary=held, stable=drained)
    drained = _shrink(new_spec, grown.canary, target.canary, spare)
    drained, held = _within_limits(new, drained, stable, grown.stable, pods_max, available_min)
    return Counts(canary=drained, stable=held)


def _grow(spec: int, target: int, room: int) -> int:
    """Return the size after growing towards the target by at most the room left; never smaller than before."""
    if spec < target and room > 0:
        return min(target, spec + room)
    return spec


def _shrink(spec: int, grown: int, target: int, spare: int) -> int:
    """Return the size after giving up at most `spare` pods towards the target; the grown size if none is too many."""
    return max(target, spec - spare) if spec > target else grown


def _within_limits(
    drain: Size | None, drain_spec: int, grow: Size | None, grow_spec: int, pods_max: int, available_min: int
) -> tuple[int, int]:
    """Return both sizes, repaired so that their sum stays within the surge without giving up needed pods.

    This matters for starts that are above the limit already, for instance after an autoscaler lowered the wanted
    number: then the growing side may have to give up pods as well, but those that are not available first.
    """
    if grow is None:
        return drain_spec, grow_spec
    grow_spec -= max(0, grow_spec + drain_spec - pods_max)
    drain_available = drain.available if drain is not None else 0
    available = min(drain_available, drain_spec) + min(grow.available, grow_spec)
    # Pods beyond its size are on their way out; a larger size would not keep them but make new ones beyond the surge.
    lost = max(0, grow.lasting - grow_spec)
    grow_spec += min(lost, max(0, available_min - available))
    drain_spec -= max(0, grow_spec + drain_spec - pods_max)
    return drain_spec, grow_spec


def resized_in_proportion(
    total: int, bounds: Limits, *, new: Size, stable: Size, others: Sequence[Size] = ()
) -> Counts:
    """Return the sizes for a changed number of pods while nothing may move: each side keeps its share.

    Within the limits, that is. Growing stops at the surge, where the pods of `others` count, stable first. And no side
    shrinks as long as that would leave less available than the limits allow, as it would where a broken canary holds a
    share. New and stable together must have pods.
    """
    counts = approximate_weight(total, new.spec, new.spec + stable.spec, bounds.surge)
    room = total + bounds.surge - new.spec - stable.spec - sum(other.spec for other in others)
    grown_stable = _grow(stable.spec, counts.stable, room)
    grown_new = _grow(new.spec, counts.canary, room - (grown_stable - stable.spec))
    wanted_stable, wanted_new = min(grown_stable, counts.stable), min(grown_new, counts.canary)

    needed = total - bounds.unavailable - sum(other.lasting for other in others)
    kept_stable = max(wanted_stable, min(stable.spec, needed - min(wanted_new, new.available)))
    kept_new = max(wanted_new, min(new.spec, needed - min(kept_stable, stable.available)))
    return Counts(canary=kept_new, stable=kept_stable)


def room_to_scale_down(sizes: Sequence[Size], total: int, max_unavailable: int) -> int:
    """Return how many of the available pods of all given ReplicaSets may leave; 0 or less means none.

    Pods beyond the size of their ReplicaSet are leaving already and do not count. Argo Rollouts counts them, and so may
    give the same spare pod away twice when a pass comes before the status has followed the last scaling.
    """
    return sum(size.lasting for size in sizes) - (total - max_unavailable)


def scale_down_others(others: Sequence[Size], room: int) -> tuple[int, ...]:
    """Return the new sizes of the other ReplicaSets of a basic canary, in the order given: first come, first shrunk.

    Pods that are not available go at once. Of the available ones as many as `room_to_scale_down` allows go. Callers
    give the newest revision first: the older a revision, the more it has proven.
    """
    sizes = []
    for each in others:
        leaving = min(each.lasting, max(0, room))
        room -= leaving
        sizes.append(each.lasting - leaving)
    return tuple(sizes)


# ---- With a traffic router -------------------------------------------------------------------------------------------


class CanaryScale(msgspec.Struct, frozen=True):
    """A `setCanaryScale` step: a fixed size, or a weight that counts for the pods only, or "as the traffic" again."""

    replicas: int | None = None
    weight: int | None = None
    matches_traffic_weight: bool = False


class Weights(msgspec.Struct, frozen=True):
    """The recorded traffic weights of both sides."""

    canary: int
    stable: int


def pods_for_weight(total: int, weight: int, max_weight: int = DEFAULT_MAX_WEIGHT) -> int:
    """Return how many of `total` pods carry the weight, rounded up."""
    return -(-total * weight // max_weight)


def effective_canary_scale(
    scales: Sequence[CanaryScale | None], index: int, *, is_aborted: bool, keeps_canary_on_abort: bool
) -> CanaryScale | None:
    """Return the `setCanaryScale` in force at the step `index`, or None if the pods follow the traffic weight.

    The last one at or before the step decides; it stays in force across later weights until a step says
    `matchTrafficWeight`. After the last step, and on an abort that scales the canary down later, none is in force.
    """
    if (is_aborted and not keeps_canary_on_abort) or index >= len(scales):
        return None
    for scale in reversed(scales[: index + 1]):
        if scale is not None:
            return None if scale.matches_traffic_weight else scale
    return None


def routed_counts(
    total: int,
    weight: int,
    *,
    scale: CanaryScale | None = None,
    pods_min: int | None = None,
    is_dynamic: bool = False,
    recorded: Weights | None = None,
    max_weight: int = DEFAULT_MAX_WEIGHT,
) -> Counts:
    """Return the wanted sizes when a router splits the traffic.

    `weight` is the canary's desired weight, which an effective `scale` overrides for the pods; callers pass no scale
    when the canary takes everything anyway. `pods_min` (minPodsPerReplicaSet) is a lower bound for sizes other than
    0, itself bounded by `total`. With `is_dynamic` the stable side gives up what its traffic no longer needs.

    Neither side gets less than its `recorded` weight needs, so that it shrinks only after the traffic has left and
    grows before it comes back; but what a `scale` says is what the user wants, whatever the traffic.
    """
    exact = scale.replicas if scale is not None else None
    if exact is not None:
        # As in Argo Rollouts a fixed size says nothing about traffic, so a dynamic stable side stays whole.
        weight = 0
    elif scale is not None and scale.weight is not None:
        weight = scale.weight
    canary = exact if exact is not None else pods_for_weight(total, weight, max_weight)
    if recorded is not None and (scale is None or (exact is None and scale.weight is None)):
        canary = max(canary, pods_for_weight(total, recorded.canary, max_weight))
    if not is_dynamic:
        return Counts(canary=canary if exact is not None else _at_least(canary, pods_min, total), stable=total)
    stable = pods_for_weight(total, max(0, max_weight - weight), max_weight)
    if recorded is not None:
        stable = max(stable, pods_for_weight(total, recorded.stable, max_weight))
    return Counts(canary=_at_least(canary, pods_min, total), stable=_at_least(stable, pods_min, total))


def _at_least(count: int, pods_min: int | None, total: int) -> int:
    return count if count == 0 or pods_min is None else max(count, min(pods_min, total))


def abort_weight(
    step_weights: Sequence[int | None],
    total: int,
    *,
    new_available: int,
    stable_available: int,
    holds_canary: bool,
    max_weight: int = DEFAULT_MAX_WEIGHT,
) -> int:
    """Return the weight to go back to while an aborted canary with a dynamic stable side hands its traffic back.

    It is the largest step downwards that needs fewer pods than the stable side still lacks or the canary still has.
    `holds_canary` says that the canary keeps its pods for a delay: then they must not count, or they would hold the
    weight up for ever.
    """
    missing = total - stable_available
    if not holds_canary:
        missing = max(missing, new_available)
    for weight in reversed(step_weights):
        if weight is not None and pods_for_weight(total, weight, max_weight) < missing:
            return weight
    return 0


# ---- Has reality arrived? --------------------------------------------------------------------------------------------


class ProgressThreshold(msgspec.Struct, frozen=True):
    """How much of the wanted size is enough to go on: a percentage of it, or a number of pods."""

    kind: Literal["Percent", "Pods"]
    value: int


def meets_threshold(threshold: ProgressThreshold | None, available: int, target: int) -> bool | None:
    """Return whether `available` pods are enough for `target`; None if no threshold applies (absent or negative).

    A number of pods above the target counts as the target: more than all cannot be asked for.
    """
    if threshold is None or threshold.value < 0:
        return None
    if threshold.kind == "Percent":
        return available * 100 >= threshold.value * target
    return available >= min(threshold.value, target)


def is_new_at_target(new: Size | None, target: int, threshold: ProgressThreshold | None = None) -> bool:
    """Return whether the new ReplicaSet has its size and exactly that many available pods, or meets the threshold."""
    if new is None:
        return False
    enough = meets_threshold(threshold, new.available, target)
    return new.spec == target == new.available if enough is None else enough


def is_stable_at_target(spec: int, actual: int, target: int) -> bool:
    """Return whether the stable ReplicaSet has its size and as many pods exist, available or not.

    Pods that are still terminating keep it from being there: as long as they exist they may get traffic.
    """
    return spec == target == actual
