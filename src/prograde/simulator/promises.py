"""What must hold of every Rollout at every instant, each as a function that says so and yields what breaks it.

The functions know nothing of how the controller decides. They look at the objects alone, as a suspicious operator
would, and of several answers that were true within the allowed time (see `View`) the most lenient one counts.

    about a new ReplicaSet          ``one_set_per_template``, ``sets_begin_empty``, ``revisions_are_unique``
    about a ReplicaSet's size       ``surge``, ``one_version_at_a_time``, ``availability``, ``traffic_keeps_its_pods``
    about where requests go         ``no_traffic_to_nobody``, ``switch_to_the_ready``
    about a Rollout's status        the rest
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from prograde.api import defaults
from prograde.api.meta import is_controlled_by
from prograde.api.names import PAUSE_CANARY_STEP
from prograde.api.rollout import Rollout, RolloutSpec
from prograde.api.workloads import ReplicaSet
from prograde.core.rollout.replicas import Limits, limits
from prograde.simulator.observed import KnownSet, View, images_of, revision_of, sizes_text
from prograde.simulator.traffic import Destination, shares

__all__ = ["PROMISES", "Created", "Moved", "Resized", "Routed", "Switched"]


@dataclass(frozen=True)
class Created:
    """A ReplicaSet of the Rollout was created, or its revision changed."""

    view: View
    replica_set: ReplicaSet
    old: ReplicaSet | None


@dataclass(frozen=True)
class Resized:
    """A ReplicaSet was given another size."""

    view: View
    resized: KnownSet
    old_size: int


@dataclass(frozen=True)
class Switched:
    """The active Service of a blue-green Rollout was switched to another hash."""

    view: View
    service: str
    chosen: str


@dataclass(frozen=True)
class Routed:
    """Somebody of ours wrote a Service, a routing object or a size: where requests went before, and where they go."""

    view: View
    what: str
    before: tuple[Destination, ...]
    after: tuple[Destination, ...]
    pods_before: Mapping[str, int]
    pods_after: Mapping[str, int]


@dataclass(frozen=True)
class Moved:
    """The status or the annotations of the Rollout were written by the controller."""

    view: View
    old: Rollout
    new: Rollout


E = TypeVar("E", Created, Resized, Switched, Routed, Moved)

PROMISES: Final[dict[type, list[Callable[..., Iterator[str]]]]] = {
    each: [] for each in (Created, Resized, Switched, Routed, Moved)
}
"""The functions to ask about each kind of happening."""


def _promise(kind: type[E]) -> Callable[[Callable[[E], Iterator[str]]], Callable[[E], Iterator[str]]]:
    def register(function: Callable[[E], Iterator[str]]) -> Callable[[E], Iterator[str]]:
        PROMISES[kind].append(function)
        return function

    return register


# ---- ReplicaSets ---------------------------------------------------------------------------------------------------


@_promise(Created)
def sets_begin_empty(it: Created) -> Iterator[str]:
    """A new ReplicaSet has no pods: sizes come later, with everything else in view."""
    if it.old is None and (it.replica_set.spec.replicas or 0) > 0:
        yield f"ReplicaSet {it.replica_set.metadata.name} was created with pods"


@_promise(Created)
def one_set_per_template(it: Created) -> Iterator[str]:
    """Each pod template has one ReplicaSet."""
    if it.old is not None:
        return
    for other in it.view.known.sets.values():
        if other.current is not it.replica_set and images_of(other.current) == images_of(it.replica_set):
            yield f"ReplicaSets {other.current.metadata.name} and {it.replica_set.metadata.name} are for one template"


@_promise(Created)
def one_owner(it: Created) -> Iterator[str]:
    """A ReplicaSet of a Rollout is controlled by it and by nobody else."""
    owners = [each for each in it.replica_set.metadata.owner_references if each.controller]
    if len(owners) > 1 or not is_controlled_by(it.replica_set, it.view.known.current.metadata.uid):
        yield f"ReplicaSet {it.replica_set.metadata.name} is controlled by {[each.name for each in owners]}"


@_promise(Created)
def revisions_go_up(it: Created) -> Iterator[str]:
    """The revision of a ReplicaSet never goes back."""
    if it.old is not None and revision_of(it.replica_set) < revision_of(it.old):
        yield (
            f"ReplicaSet {it.replica_set.metadata.name} went back from revision {revision_of(it.old)} "
            f"to {revision_of(it.replica_set)}"
        )


@_promise(Created)
def revisions_are_unique(it: Created) -> Iterator[str]:
    """No two ReplicaSets have the same revision, unless one is too new to have been seen by who made the other."""
    revision = revision_of(it.replica_set)
    if it.old is not None and revision == revision_of(it.old):
        return
    for other in it.view.known.sets.values():
        if other.current.metadata.name == it.replica_set.metadata.name or other.known_since > it.view.since:
            continue
        if revision_of(other.current) == revision:
            names = f"{other.current.metadata.name} and {it.replica_set.metadata.name}"
            yield f"ReplicaSets {names} are both revision {revision}"


@_promise(Resized)
def surge(it: Resized) -> Iterator[str]:
    """A canary without a router never wants more pods than `replicas` and the surge together."""
    versions = it.view.versions
    if it.resized.size <= it.old_size or not all(map(_is_basic_canary, versions)):
        return
    total = sum(each.size for each in it.view.known.sets.values())
    most = max(defaults.effective_replicas(each.spec) + _limits(each.spec).surge for each in versions)
    if total > most:
        yield f"{total} pods are wanted, {most} are allowed: {sizes_text(it.view.known)}"


@_promise(Resized)
def one_version_at_a_time(it: Resized) -> Iterator[str]:
    """With Recreate no version gets pods while another one has ready pods that nobody has asked to go."""
    view = it.view
    if it.resized.size <= it.old_size or not all(each.spec.strategy.recreate is not None for each in view.versions):
        return
    for name, each in view.known.sets.items():
        if each is not it.resized and each.size > 0 and min(each.ready.since(view.since), default=0) > 0:
            yield f"{it.resized.current.metadata.name} gets pods while {name} has some: {sizes_text(view.known)}"


@_promise(Resized)
def availability(it: Resized) -> Iterator[str]:
    """A canary without a router gives up no pod that it needs: those left are at least `replicas - maxUnavailable`."""
    view, versions = it.view, it.view.versions
    if it.resized.size >= it.old_size or not all(map(_is_basic_canary, versions)):
        return

    # A pod that comes and goes counts with the others, and not with what is given up.
    others = sum(min(each.size, view.available(each)) for each in view.known.sets.values() if each is not it.resized)
    given = view.least_available(it.resized)
    before, after = others + min(it.old_size, given), others + min(it.resized.size, given)
    needed = min(defaults.effective_replicas(each.spec) - _limits(each.spec).unavailable for each in versions)
    if after < min(before, needed):
        yield (
            f"resizing {it.resized.current.metadata.name} from {it.old_size} leaves {after} pods available, "
            f"{needed} are needed: {sizes_text(view.known)}"
        )


@_promise(Resized)
def traffic_keeps_its_pods(it: Resized) -> Iterator[str]:
    """With a switch or a router, the stable version keeps all its pods, and so does what has the traffic.

    Only `dynamicStableScale` gives pods of the stable version up, share by share.
    """
    versions = it.view.versions
    size, hash_ = it.resized.size, it.resized.hash_
    needed = min(defaults.effective_replicas(each.spec) for each in versions)
    if size >= it.old_size or size >= needed:
        return
    name = it.resized.current.metadata.name
    if all(each.spec.strategy.blue_green is not None for each in versions):
        if all(each.status.blue_green.active_selector == hash_ for each in versions):
            yield f"ReplicaSet {name} has the traffic and shrinks to {size} of {needed} pods"
        elif all(each.status.stable_rs == hash_ for each in versions):
            yield f"ReplicaSet {name} is stable and shrinks to {size} of {needed} pods"
    elif all(_is_routed_canary(each) and not _is_dynamic(each) and each.status.stable_rs == hash_ for each in versions):
        yield f"ReplicaSet {name} is stable and shrinks to {size} of {needed} pods"


# ---- Traffic -------------------------------------------------------------------------------------------------------


@_promise(Switched)
def switch_to_the_ready(it: Switched) -> Iterator[str]:
    """A switch of the active Service leads to a version with all its pods; the way back, to one that has any."""
    view = it.view
    if not it.chosen or not any(each.status.stable_rs for each in view.versions):
        return  # given back to every pod there is, or nothing has served yet
    target = view.known.by_hash(it.chosen)
    available = view.available(target)
    wanted = min(defaults.effective_replicas(each.spec) for each in view.versions)
    is_return = any(each.status.stable_rs == it.chosen for each in view.versions)
    if target is None or available < (min(wanted, 1) if is_return else wanted):
        text = f"Service {it.service} was switched to {it.chosen or 'every pod'}"
        yield f"{text} with {available} of {wanted} pods available"


@_promise(Routed)
def no_traffic_to_nobody(it: Routed) -> Iterator[str]:
    """No write sends requests to a version without ready pods that had somewhere to go before.

    A Recreate says by its name that there is a gap, and without a switch or router it is `availability` that counts.
    """
    if any(each.spec.strategy.recreate is not None or _is_basic_canary(each) for each in it.view.versions):
        return
    if not any(it.pods_before.values()) or not all(defaults.effective_replicas(each.spec) for each in it.view.versions):
        return  # who asks for no pods serves nobody
    if not all(each.hash_ for each in it.after):
        return  # whoever took the hash off a Service has taken the traffic out of our hands
    before, after = shares(it.before, it.pods_before), shares(it.after, it.pods_after)
    if after.lost > before.lost + 1e-9:
        legs = ", ".join(f"{each.route}: {each.weight:g} to {each.hash_ or 'every pod'}" for each in it.after)
        yield (
            f"{it.what} loses {after.lost:.0%} of the requests, before it was {before.lost:.0%}: {legs}; "
            f"ready: {dict(it.pods_after)}"
        )


@_promise(Routed)
def weights_sum_up(it: Routed) -> Iterator[str]:
    """The weights of every route sum up to the whole, 100."""
    totals: dict[str, float] = {}
    for each in it.after:
        totals[each.route] = totals.get(each.route, 0.0) + each.weight
    old: dict[str, float] = {}
    for each in it.before:
        old[each.route] = old.get(each.route, 0.0) + each.weight
    for route, total in totals.items():
        if abs(total - 100) > 1e-6 and old.get(route) != total:
            yield f"the weights of {route} sum up to {total:g}"


# ---- The status ----------------------------------------------------------------------------------------------------


@_promise(Moved)
def revision_goes_up(it: Moved) -> Iterator[str]:
    """The revision of a Rollout never goes back."""
    if revision_of(it.new) < revision_of(it.old):
        yield f"the revision went back from {revision_of(it.old)} to {revision_of(it.new)}"


@_promise(Moved)
def conditions_are_unique(it: Moved) -> Iterator[str]:
    """There is one condition of each type."""
    types = [each.type for each in it.new.status.conditions]
    if len(types) != len(set(types)):
        yield f"conditions are doubled: {types}"


@_promise(Moved)
def steps_go_one_by_one(it: Moved) -> Iterator[str]:
    """The step goes on by one, back to the first, or to the end; never beyond it."""
    before, after = it.old.status.current_step_index, it.new.status.current_step_index
    counts = {_step_count(each) for each in it.view.versions}
    # An index that belongs to steps of before stays in the status until the new steps have been looked at.
    if after is not None and after != before and after > max(counts):
        yield f"step {after} of {max(counts)}"
    elif after is not None and before is not None and after not in {before, before + 1, 0, *counts}:
        yield f"the step went from {before} to {after}"


@_promise(Moved)
def paused_means_paused(it: Moved) -> Iterator[str]:
    """A Rollout that its user has paused takes no step, promotes nothing, and moves no traffic to the canary."""
    if not all(each.spec.paused for each in it.view.versions):
        return
    old, new = it.old.status, it.new.status
    before, after = old.current_step_index, new.current_step_index
    is_attempt_same = old.current_pod_hash == new.current_pod_hash
    counts = {_step_count(each) for each in it.view.versions}
    if is_attempt_same and before is not None and after == before + 1 and after not in counts:
        yield f"paused by the user, and the step went from {before} to {after}"
    if _has_new_stable(it) and not _is_first(it):
        yield f"paused by the user, and {new.stable_rs} became stable instead of {old.stable_rs}"


@_promise(Moved)
def aborted_means_back(it: Moved) -> Iterator[str]:
    """An aborted Rollout takes no step, promotes nothing, and gives its canary no more traffic."""
    old, new = it.old.status, it.new.status
    if not all(each.status.abort for each in it.view.versions) or not new.abort:
        return
    if old.current_pod_hash != new.current_pod_hash:
        return
    before, after = old.current_step_index, new.current_step_index
    counts = {_step_count(each) for each in it.view.versions}
    if after != before and after not in {None, 0, *counts}:
        yield f"aborted, and at step {after}"
    if _has_new_stable(it) and not _is_first(it):
        yield f"aborted, and {new.stable_rs} became stable instead of {old.stable_rs}"
    before_weights, weights = old.canary.weights, new.canary.weights
    if before_weights is None or weights is None or weights.canary.pod_template_hash == new.stable_rs:
        return
    if weights.canary.weight > before_weights.canary.weight:
        yield f"aborted, and the weight went from {before_weights.canary.weight} to {weights.canary.weight}"


@_promise(Moved)
def stable_is_earned(it: Moved) -> Iterator[str]:
    """Only the current version becomes stable: with all its pods, and, when there is a switch, with the traffic."""
    if not _has_new_stable(it) or _is_first(it):
        return
    new, after = it.new.status, it.new.status.stable_rs
    if after != new.current_pod_hash:
        yield f"{after} became stable, and not {new.current_pod_hash}"
    versions = it.view.versions
    if all(each.spec.strategy.blue_green is not None for each in versions):
        if new.blue_green.active_selector != after:
            yield f"{after} became stable without having the traffic"
        return
    if all(_needs_all_pods(each.spec) for each in versions):
        needed = min(defaults.effective_replicas(each.spec) for each in versions)
        available = it.view.available(it.view.known.by_hash(after))
        if available < needed:
            yield f"{after} became stable with {available} of {needed} pods available"


@_promise(Moved)
def pauses_are_ended_by_people(it: Moved) -> Iterator[str]:
    """A pause without an end is ended by a user: by resuming, aborting, or changing what is rolled out."""
    old, new = it.old.status, it.new.status
    if not any(each.reason == PAUSE_CANARY_STEP for each in old.pause_conditions):
        return
    if any(each.reason == PAUSE_CANARY_STEP for each in new.pause_conditions):
        return
    index = old.current_step_index
    for each in it.view.versions:
        canary = each.spec.strategy.canary
        if canary is None or index is None or index >= len(canary.steps):
            return
        pause = canary.steps[index].pause
        if pause is None or pause.duration is not None or each.status.abort or each.status.promote_full:
            return
    is_other_attempt = old.current_pod_hash != new.current_pod_hash or old.current_step_hash != new.current_step_hash
    if not is_other_attempt and not new.abort and new.stable_rs != new.current_pod_hash:
        yield f"the pause of step {index} has no end, and ended by itself"


# ---- details -------------------------------------------------------------------------------------------------------


def _has_new_stable(it: Moved) -> bool:
    return it.old.status.stable_rs != it.new.status.stable_rs


def _is_first(it: Moved) -> bool:
    """Tell whether nothing was stable before: the first revision is so at once, and so is what never had traffic."""
    if it.view.known.by_hash(it.old.status.stable_rs) is None:
        return True
    return all(
        each.spec.strategy.blue_green is not None and not each.status.blue_green.active_selector
        for each in it.view.versions
    )


def _is_basic_canary(rollout: Rollout) -> bool:
    canary = rollout.spec.strategy.canary
    return canary is not None and canary.traffic_routing is None


def _is_routed_canary(rollout: Rollout) -> bool:
    canary = rollout.spec.strategy.canary
    return canary is not None and canary.traffic_routing is not None


def _is_dynamic(rollout: Rollout) -> bool:
    canary = rollout.spec.strategy.canary
    return canary is not None and canary.dynamic_stable_scale


def _needs_all_pods(spec: RolloutSpec) -> bool:
    canary = spec.strategy.canary
    return canary is None or canary.replica_progress_threshold is None


def _limits(spec: RolloutSpec) -> Limits:
    return limits(
        defaults.effective_replicas(spec), defaults.effective_max_surge(spec), defaults.effective_max_unavailable(spec)
    )


def _step_count(rollout: Rollout) -> int:
    canary = rollout.spec.strategy.canary
    return len(canary.steps) if canary is not None else 0
