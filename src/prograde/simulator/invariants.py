"""Holds every write to a simulated cluster against the promises, and keeps what breaks one.

What must hold is in `promises`, what is known of the objects in `observed`, where requests go in `traffic`. Here the
changes are told apart, and the allowances of faults are kept: how far behind the newest state a controller may legally
act, and which promises a fault excuses, each for as long as the fault explains it and no longer.

A check never raises where it is made, in the middle of somebody's write. What it finds is kept in `violations`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from prograde.api.meta import controller_of
from prograde.api.names import POD_TEMPLATE_HASH_LABEL, ROLLOUT
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import Plan
from prograde.sandbox.client import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.kinds import Object
from prograde.simulator.observed import KnownRollout, KnownSet, View, revision_of, typed
from prograde.simulator.promises import PROMISES, Created, Moved, Resized, Routed, Switched
from prograde.simulator.traffic import (
    DESTINATION_RULES,
    INGRESSES,
    ROUTE_KINDS,
    SERVICES,
    VIRTUAL_SERVICES,
    destinations,
)

__all__ = ["STUCK_SECONDS", "Invariants"]

ROLLOUTS: Final[Resource] = ("argoproj.io", "rollouts")
REPLICA_SETS: Final[Resource] = ("apps", "replicasets")
ROUTING: Final = frozenset({SERVICES, INGRESSES, VIRTUAL_SERVICES, DESTINATION_RULES, *ROUTE_KINDS.values()})

UNDISTURBED: Final = timedelta(seconds=1)
"""How far the controller may be behind in the best of networks: counts of pods may wait that long to be written."""

STUCK_SECONDS: Final = 5.0
"""How much later than it said a controller may look at a Rollout again, with nothing in its way."""


class Invariants:
    """Watches all Rollouts of a sandbox from now on."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.violations: list[str] = []
        self._client = sandbox.client("invariants")
        self._now = sandbox.clock
        self._rollouts: dict[str, KnownRollout] = {}
        self._due: dict[str, datetime] = {}
        self._staleness: list[tuple[timedelta, datetime | None]] = []
        self._excused: list[tuple[frozenset[str], datetime | None]] = []
        self._is_user_acting = False
        self._client.subscribe(self._observe)

    # --- allowances -------------------------------------------------------------------------------------------------

    def allow_staleness(self, seconds: float, for_seconds: float | None = None) -> None:
        """Let controllers act on what is that old, for so long; None until `end_allowances`."""
        self._staleness.append((timedelta(seconds=seconds), self._until(for_seconds)))

    def excuse(self, promises: Iterable[str], for_seconds: float | None = None) -> None:
        """Check some promises no more, for so long; None until `end_allowances`."""
        self._excused.append((frozenset(promises), self._until(for_seconds)))

    def end_allowances(self, after_seconds: float) -> None:
        """End what was allowed without an end: the faults are over, and their effects will be so in a moment."""
        ends = self._until(after_seconds)
        self._staleness = [(span, until or ends) for span, until in self._staleness]
        self._excused = [(names, until or ends) for names, until in self._excused]

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

    # --- being stuck ------------------------------------------------------------------------------------------------

    def note_plan(self, rollout: Rollout, plan: Plan[RolloutStatus]) -> None:
        """Take note of when a controller means to look at a Rollout again."""
        if plan.requeue_at is None or plan.error:  # what fails is tried again with a back-off, whatever it says
            self._due.pop(rollout.metadata.uid, None)
        else:
            self._due[rollout.metadata.uid] = plan.requeue_at

    def forget_plans(self) -> None:
        """Hold nobody to what was said before: the controller is gone, or its clock has jumped."""
        self._due.clear()

    def check_due(self, skew: timedelta) -> None:
        """Report Rollouts that nobody has looked at although it was time; only with nothing in the way.

        Args:
            skew: how far the controller's clock is ahead of the cluster's.
        """
        now = self._now() + skew
        for uid, due in self._due.items():
            known = self._rollouts.get(uid)
            if known is not None and now > due + timedelta(seconds=STUCK_SECONDS):
                self._report(known, "looks_again", f"it was to be looked at again at {due:%H:%M:%S}, and was not")

    # --- following the cluster --------------------------------------------------------------------------------------

    def _observe(self, change: str, resource: Resource, new: Object, old: Object | None) -> None:
        if resource == ROLLOUTS:
            self._observe_rollout(change, typed(new, Rollout))
        elif resource == REPLICA_SETS:
            self._observe_replica_set(change, new, old)
        elif resource in ROUTING and not self._is_user_acting:
            self._check_routing(change, resource, new, old)

    def _observe_rollout(self, change: str, rollout: Rollout) -> None:
        uid = rollout.metadata.uid
        if change == "DELETED":
            self._rollouts.pop(uid, None)
            self._due.pop(uid, None)
            return
        known = self._rollouts.get(uid)
        if known is None:
            known = self._rollouts[uid] = KnownRollout(rollout)
        elif not self._is_user_acting:
            self._ask(known, Moved(self._view(known), known.current, rollout))
        known.current = rollout
        known.versions.add(self._now(), rollout)

    def _observe_replica_set(self, change: str, obj: Object, old: Object | None) -> None:
        replica_set = typed(obj, ReplicaSet)
        owner = controller_of(replica_set)
        known = self._rollouts.get(owner.uid) if owner is not None and owner.kind == ROLLOUT else None
        if known is None:
            return
        name = replica_set.metadata.name
        before = known.sets.get(name)
        if change == "DELETED":
            if before is not None and before.size and known.current.metadata.deletion_timestamp is None:
                text = f"ReplicaSet {name} was deleted while it had {before.size} pods"
                self._report(known, "deleted_sets_are_empty", text)
            known.sets.pop(name, None)
            return
        if before is None:
            before = known.sets[name] = KnownSet(replica_set, self._now())
            self._ask(known, Created(self._view(known), replica_set, None))
        else:
            self._check_change(known, before, replica_set)
        before.available.add(self._now(), replica_set.status.available_replicas)
        before.ready.add(self._now(), replica_set.status.ready_replicas)

    def _check_change(self, known: KnownRollout, before: KnownSet, replica_set: ReplicaSet) -> None:
        old, old_size = before.current, before.size
        pods_before = self._pods(known)
        before.current = replica_set
        if revision_of(old) != revision_of(replica_set):
            self._ask(known, Created(self._view(known), replica_set, old))
        if before.size != old_size and known.current.metadata.deletion_timestamp is None:
            view = self._view(known)
            self._ask(known, Resized(view, before, old_size))
            if before.size < old_size:
                where = destinations(known.current, self._client.get)
                what = f"resizing ReplicaSet {replica_set.metadata.name} from {old_size} to {before.size}"
                self._ask(known, Routed(view, what, where, where, pods_before, self._pods(known)))

    def _check_routing(self, change: str, resource: Resource, new: Object, old: Object | None) -> None:
        metadata = new["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]

        def read_before(asked: Resource, in_namespace: str, named: str) -> Object | None:
            if (asked, in_namespace, named) == (resource, namespace, name):
                return old
            return self._client.get(asked, in_namespace, named)

        for known in self._rollouts.values():
            rollout = known.current
            if rollout.metadata.namespace != namespace or rollout.metadata.deletion_timestamp is not None:
                continue
            view, pods = self._view(known), self._pods(known)
            before, after = destinations(rollout, read_before), destinations(rollout, self._client.get)
            if before != after:
                kind = new.get("kind") or resource[1]
                self._ask(known, Routed(view, f"{change.lower()} {kind} {name}", before, after, pods, pods))
            if resource == SERVICES and change == "MODIFIED" and _chosen(old) != _chosen(new):
                strategies = [each.spec.strategy.blue_green for each in view.versions]
                if all(each is not None and each.active_service == name for each in strategies):
                    self._ask(known, Switched(view, name, _chosen(new)))

    # --- details ----------------------------------------------------------------------------------------------------

    def _ask(self, known: KnownRollout, happening: Created | Resized | Switched | Routed | Moved) -> None:
        excused = self._excused_now()
        for promise in PROMISES[type(happening)]:
            if promise.__name__ not in excused:
                for text in promise(happening):
                    self._report(known, promise.__name__, text)

    def _pods(self, known: KnownRollout) -> dict[str, int]:
        """Return how many ready pods of each version will stay, at the best of what may have been seen."""
        view = self._view(known)
        return {each.hash_: min(each.size, view.ready(each)) for each in known.sets.values()}

    def _view(self, known: KnownRollout) -> View:
        now = self._now()
        spans = [span for span, until in self._staleness if until is None or now <= until]
        return View(known, now - max(spans, default=UNDISTURBED))

    def _excused_now(self) -> set[str]:
        now = self._now()
        return {name for names, until in self._excused if until is None or now <= until for name in names}

    def _until(self, seconds: float | None) -> datetime | None:
        return None if seconds is None else self._now() + timedelta(seconds=seconds)

    def _report(self, known: KnownRollout, promise: str, text: str) -> None:
        if promise in self._excused_now():
            return
        metadata = known.current.metadata
        where = f"{self._now():%H:%M:%S.%f} Rollout {metadata.namespace}/{metadata.name}"
        self.violations.append(f"{promise}: {where}: {text}")


def _chosen(service: Object | None) -> str:
    selector: dict[str, Any] = ((service or {}).get("spec") or {}).get("selector") or {}
    return str(selector.get(POD_TEMPLATE_HASH_LABEL, ""))
