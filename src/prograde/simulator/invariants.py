"""What must hold at every instant of every release, checked at every write to a simulated cluster.

The checks know nothing of how the controller decides. They look at the objects alone, as a suspicious operator would:

    a ReplicaSet is resized     capacity stays within what the user allows, traffic is never left without pods
    a ReplicaSet is created     each template has one ReplicaSet, each revision one number
    a Service is switched       it leads to pods that can serve
    a Rollout's status moves    steps, pauses, aborts and promotions follow the rules

A controller acts on what it has seen, and caches run behind. So a decision is held against everything that was true
within the last `staleness_seconds`: of several answers the most lenient one counts. With an undisturbed network that
is close to nothing.

A check never raises where it is made, in the middle of somebody's write. What it finds is kept in `violations`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from prograde.api import defaults
from prograde.api.meta import controller_of
from prograde.api.names import (
    PAUSE_CANARY_STEP,
    POD_TEMPLATE_HASH_LABEL,
    REVISION_ANNOTATION,
    ROLLOUT,
)
from prograde.api.rollout import Rollout, RolloutSpec
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.rollout.replicas import Limits, limits
from prograde.core.rollout.replicasets import hash_of, size_of
from prograde.sandbox.client import Resource
from prograde.sandbox.cluster import Sandbox

__all__ = ["Invariants"]

T = TypeVar("T", Rollout, ReplicaSet, Service)
V = TypeVar("V")

ROLLOUTS: Final[Resource] = ("argoproj.io", "rollouts")
REPLICA_SETS: Final[Resource] = ("apps", "replicasets")
SERVICES: Final[Resource] = ("", "services")


class _Recent(Generic[V]):
    """A value and what it was before, as far back as somebody may still act on it."""

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, V]] = []

    def add(self, at: datetime, value: V) -> None:
        self._entries.append((at, value))

    def since(self, moment: datetime) -> list[V]:
        """Return every value that was current at `moment` or later, oldest first."""
        while len(self._entries) > 1 and self._entries[1][0] < moment:
            del self._entries[0]
        return [value for _, value in self._entries]


@dataclass
class _KnownSet:
    current: ReplicaSet
    available: _Recent[int] = field(default_factory=_Recent)


@dataclass
class _KnownRollout:
    current: Rollout
    versions: _Recent[Rollout] = field(default_factory=_Recent)
    sets: dict[str, _KnownSet] = field(default_factory=dict)


class Invariants:
    """Watches all Rollouts of a sandbox from now on.

    Args:
        staleness_seconds: how far behind the newest state a controller may legally act.
    """

    def __init__(self, sandbox: Sandbox, *, staleness_seconds: float = 1.0) -> None:
        self.violations: list[str] = []
        self.is_lenient = False
        """Set while two controllers work at once: each may be right by itself and both together exceed a limit."""
        self.staleness_seconds = staleness_seconds
        self._now = sandbox.clock
        self._rollouts: dict[str, _KnownRollout] = {}
        self._is_user_acting = False
        sandbox.client("invariants").subscribe(self._observe)

    @contextmanager
    def by_user(self) -> Iterator[None]:
        """Mark writes as a user's: whoever writes a status by hand may do what a controller may not."""
        self._is_user_acting = True
        try:
            yield
        finally:
            self._is_user_acting = False

    def assert_held(self) -> None:
        """Raise AssertionError with the first violation, if there was any."""
        assert not self.violations, self.violations[0]

    # --- following the cluster --------------------------------------------------------------------------------------

    def _observe(self, change: str, resource: Resource, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        if resource == ROLLOUTS:
            self._observe_rollout(change, _typed(new, Rollout))
        elif resource == REPLICA_SETS:
            self._observe_replica_set(change, _typed(new, ReplicaSet))
        elif resource == SERVICES and change == "MODIFIED" and not self._is_user_acting:
            self._check_service(_typed(new, Service), _typed(old, Service) if old is not None else None)

    def _observe_rollout(self, change: str, rollout: Rollout) -> None:
        uid = rollout.metadata.uid
        if change == "DELETED":
            self._rollouts.pop(uid, None)
            return
        known = self._rollouts.get(uid)
        if known is None:
            known = self._rollouts[uid] = _KnownRollout(rollout)
        elif not self._is_user_acting:
            self._check_rollout(known, known.current, rollout)
        known.current = rollout
        known.versions.add(self._now(), rollout)

    def _observe_replica_set(self, change: str, replica_set: ReplicaSet) -> None:
        owner = controller_of(replica_set)
        known = self._rollouts.get(owner.uid) if owner is not None and owner.kind == ROLLOUT else None
        if known is None:
            return
        name = replica_set.metadata.name
        before = known.sets.get(name)
        if change == "DELETED":
            if before is not None and size_of(before.current) and known.current.metadata.deletion_timestamp is None:
                self._report(known, f"ReplicaSet {name} was deleted while it had {size_of(before.current)} pods")
            known.sets.pop(name, None)
            return
        if before is None:
            known.sets[name] = _KnownSet(replica_set)
            self._check_new_set(known, replica_set)
        else:
            old, before.current = before.current, replica_set
            self._check_resize(known, before, size_of(old))
            self._check_revision(known, replica_set, _revision(old))
        known.sets[name].available.add(self._now(), replica_set.status.available_replicas)

    # --- ReplicaSets ------------------------------------------------------------------------------------------------

    def _check_new_set(self, known: _KnownRollout, replica_set: ReplicaSet) -> None:
        if size_of(replica_set):
            self._report(known, f"ReplicaSet {replica_set.metadata.name} was created with pods")
        for other in known.sets.values():
            if other.current is not replica_set and _images(other.current) == _images(replica_set):
                names = f"{other.current.metadata.name} and {replica_set.metadata.name}"
                self._report(known, f"ReplicaSets {names} are for the same template")
        self._check_revision(known, replica_set, 0)

    def _check_revision(self, known: _KnownRollout, replica_set: ReplicaSet, old: int) -> None:
        revision = _revision(replica_set)
        if revision < old:
            self._report(known, f"ReplicaSet {replica_set.metadata.name} went back from revision {old} to {revision}")
        if revision == old or self.is_lenient:
            return
        for other in known.sets.values():
            if other.current.metadata.name != replica_set.metadata.name and _revision(other.current) == revision:
                names = f"{other.current.metadata.name} and {replica_set.metadata.name}"
                self._report(known, f"ReplicaSets {names} are both revision {revision}")

    def _check_resize(self, known: _KnownRollout, resized: _KnownSet, old_size: int) -> None:
        size = size_of(resized.current)
        if size == old_size or self.is_lenient or known.current.metadata.deletion_timestamp is not None:
            return
        specs = [each.spec for each in self._versions(known)]
        if all(spec.strategy.canary is not None for spec in specs):
            if size > old_size:
                self._check_surge(known, specs)
            else:
                self._check_availability(known, resized, old_size, specs)
        elif all(spec.strategy.blue_green is not None for spec in specs) and size < old_size:
            self._check_whole(known, resized, specs)

    def _check_surge(self, known: _KnownRollout, specs: list[RolloutSpec]) -> None:
        total = sum(size_of(each.current) for each in known.sets.values())
        most = max(defaults.effective_replicas(spec) + _limits(spec).surge for spec in specs)
        if total > most:
            self._report(known, f"{total} pods are wanted, {most} are allowed: {_sizes(known)}")

    def _check_availability(
        self, known: _KnownRollout, resized: _KnownSet, old_size: int, specs: list[RolloutSpec]
    ) -> None:
        def lasting(each: _KnownSet, size: int) -> int:
            return min(size, max(each.available.since(self._moment()), default=0))

        others = sum(lasting(each, size_of(each.current)) for each in known.sets.values() if each is not resized)
        before, after = others + lasting(resized, old_size), others + lasting(resized, size_of(resized.current))
        needed = min(defaults.effective_replicas(spec) - _limits(spec).unavailable for spec in specs)
        if after < min(before, needed):
            name = resized.current.metadata.name
            text = f"resizing {name} from {old_size} leaves {after} pods available, {needed} are needed"
            self._report(known, f"{text}: {_sizes(known)}")

    def _check_whole(self, known: _KnownRollout, resized: _KnownSet, specs: list[RolloutSpec]) -> None:
        """What has the traffic, or may have to take it back at once, has all pods."""
        size, needed = size_of(resized.current), min(defaults.effective_replicas(spec) for spec in specs)
        if size >= needed:
            return
        name, hash_ = resized.current.metadata.name, hash_of(resized.current)
        if all(each.status.blue_green.active_selector == hash_ for each in self._versions(known)):
            self._report(known, f"ReplicaSet {name} has the traffic and shrinks to {size} of {needed} pods")
        if all(each.status.stable_rs == hash_ for each in self._versions(known)):
            self._report(known, f"ReplicaSet {name} is stable and shrinks to {size} of {needed} pods")

    # --- Services ---------------------------------------------------------------------------------------------------

    def _check_service(self, service: Service, old: Service | None) -> None:
        chosen = service.spec.selector.get(POD_TEMPLATE_HASH_LABEL, "")
        if self.is_lenient or (old is not None and old.spec.selector.get(POD_TEMPLATE_HASH_LABEL, "") == chosen):
            return
        for known in self._rollouts.values():
            versions = self._versions(known)
            strategies = [each.spec.strategy.blue_green for each in versions]
            is_active = all(each is not None and each.active_service == service.metadata.name for each in strategies)
            if not is_active or known.current.metadata.namespace != service.metadata.namespace:
                continue
            target = next((each for each in known.sets.values() if hash_of(each.current) == chosen), None)
            available = 0 if target is None else max(target.available.since(self._moment()), default=0)
            wanted = min(defaults.effective_replicas(each.spec) for each in versions)
            is_return = any(each.status.stable_rs == chosen for each in versions)
            if target is None or available < (min(wanted, 1) if is_return else wanted):
                text = f"Service {service.metadata.name} was switched to {chosen or 'every pod'}"
                self._report(known, f"{text} with {available} of {wanted} pods available")

    # --- Rollouts ---------------------------------------------------------------------------------------------------

    def _check_rollout(self, known: _KnownRollout, old: Rollout, new: Rollout) -> None:
        if _revision(new) < _revision(old):
            self._report(known, f"the revision went back from {_revision(old)} to {_revision(new)}")
        types = [each.type for each in new.status.conditions]
        if len(types) != len(set(types)):
            self._report(known, f"conditions are doubled: {types}")
        if new.status == old.status or self.is_lenient:
            return
        self._check_steps(known, old, new)
        self._check_promotion(known, old, new)
        self._check_pauses(known, old, new)

    def _check_steps(self, known: _KnownRollout, old: Rollout, new: Rollout) -> None:
        before, after = old.status.current_step_index, new.status.current_step_index
        counts = {_step_count(each) for each in self._versions(known)}
        # An index that belongs to steps of before stays in the status until the new steps have been looked at.
        if after is not None and after != before and after > max(counts):
            self._report(known, f"step {after} of {max(counts)}")
        if after is not None and before is not None and after not in {before, before + 1, 0, *counts}:
            self._report(known, f"the step went from {before} to {after}")
        is_attempt_same = old.status.current_pod_hash == new.status.current_pod_hash
        is_held = all(each.spec.paused for each in self._versions(known))
        if is_held and is_attempt_same and before is not None and after == before + 1 and after not in counts:
            self._report(known, f"paused by the user, and the step went from {before} to {after}")
        if old.status.abort and new.status.abort and after != before and after not in {None, 0, *counts}:
            self._report(known, f"aborted, and at step {after}")

    def _check_promotion(self, known: _KnownRollout, old: Rollout, new: Rollout) -> None:
        before, after = old.status.stable_rs, new.status.stable_rs
        if before == after:
            return
        if after != new.status.current_pod_hash:
            self._report(known, f"{after} became stable, and not {new.status.current_pod_hash}")
        if not any(hash_of(each.current) == before for each in known.sets.values()):
            return  # the first revision is stable at once
        if all(
            each.spec.strategy.blue_green is not None and not each.status.blue_green.active_selector
            for each in self._versions(known)
        ):
            return  # nothing has had the traffic yet
        if all(each.spec.paused for each in self._versions(known)):
            self._report(known, f"paused by the user, and {after} became stable instead of {before}")
        if old.status.abort and new.status.abort:
            self._report(known, f"aborted, and {after} became stable instead of {before}")
        strategies = [each.spec.strategy for each in self._versions(known)]
        if all(each.blue_green is not None for each in strategies):
            if new.status.blue_green.active_selector != after:
                self._report(known, f"{after} became stable without having the traffic")
        elif all(each.canary is not None and each.canary.replica_progress_threshold is None for each in strategies):
            needed = min(defaults.effective_replicas(each.spec) for each in self._versions(known))
            promoted = next((each for each in known.sets.values() if hash_of(each.current) == after), None)
            available = 0 if promoted is None else max(promoted.available.since(self._moment()), default=0)
            if available < needed:
                self._report(known, f"{after} became stable with {available} of {needed} pods available")

    def _check_pauses(self, known: _KnownRollout, old: Rollout, new: Rollout) -> None:
        """A pause without an end is ended by a user: by resuming, aborting, or changing what is rolled out."""
        if not any(each.reason == PAUSE_CANARY_STEP for each in old.status.pause_conditions):
            return
        if any(each.reason == PAUSE_CANARY_STEP for each in new.status.pause_conditions):
            return
        is_other_attempt = (
            old.status.current_pod_hash != new.status.current_pod_hash
            or old.status.current_step_hash != new.status.current_step_hash
        )
        index = old.status.current_step_index
        for each in self._versions(known):
            canary = each.spec.strategy.canary
            if canary is None or index is None or index >= len(canary.steps):
                return
            pause = canary.steps[index].pause
            if pause is None or pause.duration is not None or each.status.abort or each.status.promote_full:
                return
        if not is_other_attempt and not new.status.abort and new.status.stable_rs != new.status.current_pod_hash:
            self._report(known, f"the pause of step {index} has no end, and ended by itself")

    # --- details ----------------------------------------------------------------------------------------------------

    def _moment(self) -> datetime:
        """Return since when what was true may still be acted on."""
        now = self._now()
        return datetime.fromtimestamp(now.timestamp() - self.staleness_seconds, now.tzinfo)

    def _versions(self, known: _KnownRollout) -> list[Rollout]:
        """Return the versions of a Rollout that a controller may be acting on."""
        return known.versions.since(self._moment()) or [known.current]

    def _report(self, known: _KnownRollout, text: str) -> None:
        metadata = known.current.metadata
        self.violations.append(f"{self._now():%H:%M:%S.%f} Rollout {metadata.namespace}/{metadata.name}: {text}")


def _typed(obj: dict[str, Any], kind: type[T]) -> T:
    return msgspec.json.decode(msgspec.json.encode(obj), type=kind)


def _limits(spec: RolloutSpec) -> Limits:
    return limits(
        defaults.effective_replicas(spec), defaults.effective_max_surge(spec), defaults.effective_max_unavailable(spec)
    )


def _revision(obj: Rollout | ReplicaSet) -> int:
    return int(obj.metadata.annotations.get(REVISION_ANNOTATION, "0"))


def _images(replica_set: ReplicaSet) -> list[str]:
    template: dict[str, Any] = msgspec.json.decode(replica_set.spec.template)
    return [container["image"] for container in template["spec"]["containers"]]


def _step_count(rollout: Rollout) -> int:
    canary = rollout.spec.strategy.canary
    return len(canary.steps) if canary is not None else 0


def _sizes(known: _KnownRollout) -> str:
    return ", ".join(
        f"{name} {size_of(each.current)} wanted {each.current.status.available_replicas} available"
        for name, each in known.sets.items()
    )
