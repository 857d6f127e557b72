"""A blue-green Rollout and the little piece of cluster that its plans act on, stepped by hand.

Every pass plans from a fresh snapshot and carries the plan out, action by action; `World.invariants` hold after each
single action, not only between passes. Pods appear when the kubelet is asked to work, available or not as told. The
plan may be cut after any number of writes, as a crash would.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from prograde.api import names
from prograde.api.meta import LabelSelector, ObjectMeta, find_condition
from prograde.api.rollout import (
    BlueGreenStrategy,
    Rollout,
    RolloutSpec,
    RolloutStatus,
    RolloutStrategy,
)
from prograde.api.workloads import ReplicaSet, ReplicaSetStatus, Service, ServiceSpec
from prograde.core.plan import (
    Action,
    CreateReplicaSet,
    DeleteReplicaSet,
    Event,
    PatchReplicaSet,
    PatchRollout,
    PatchService,
    Plan,
)
from prograde.core.rollout.planner import plan_rollout
from prograde.core.rollout.replicasets import hash_of, size_of
from prograde.core.rollout.snapshot import RolloutSnapshot

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
ACTIVE, PREVIEW = "shop-active", "shop-preview"


class Crash(Exception):
    """The controller dies here."""


def template(version: str) -> msgspec.Raw:
    pod = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "shop", "image": f"shop:{version}"}]},
    }
    return msgspec.Raw(json.dumps(pod).encode())


@dataclass
class World:
    """The cluster, the clock and what has been seen."""

    rollout: Rollout
    services: dict[str, Service]
    replica_sets: dict[str, ReplicaSet] = field(default_factory=dict)
    now: datetime = START
    events: list[Event] = field(default_factory=list)
    unavailable: set[str] = field(default_factory=set)
    """Versions whose pods never become available."""
    versions: dict[str, str] = field(default_factory=dict)
    """Hash to version, for reading."""
    writes: int = 0
    crash_after: int | None = None
    """Die after this many more writes."""
    plan: Plan[RolloutStatus] = field(default_factory=Plan)
    _counter: int = 0

    # ---- Setting it up ------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, *, replicas: int = 1, has_preview: bool = True, paused: bool = False, **blue_green: Any) -> "World":
        strategy = BlueGreenStrategy(
            active_service=ACTIVE, preview_service=PREVIEW if has_preview else "", **blue_green
        )
        rollout = Rollout(
            metadata=ObjectMeta(
                name="shop", namespace="default", uid="rollout-uid", generation=1, resource_version="1"
            ),
            spec=RolloutSpec(
                replicas=replicas,
                selector=LabelSelector(match_labels={"app": "shop"}),
                template=template("v1"),
                strategy=RolloutStrategy(blue_green=strategy),
                paused=paused,
            ),
        )
        world = cls(rollout=rollout, services={name: _service(name) for name in (ACTIVE, PREVIEW)[: 1 + has_preview]})
        world.versions["v1"] = "v1"
        return world

    @classmethod
    def deployed(cls, **options: Any) -> "World":
        """A world whose first version is deployed and healthy, ready for the second."""
        world = cls.create(**options)
        world.settle()
        assert world.rollout.status.phase == "Healthy", world.rollout.status.message
        world.wait(timedelta(hours=1))
        world.events.clear()
        return world

    # ---- What people do -----------------------------------------------------------------------------------------

    def edit(self, **changes: Any) -> None:
        """Change `spec` as a user does; the generation rises."""
        metadata = msgspec.structs.replace(self.rollout.metadata, generation=self.rollout.metadata.generation + 1)
        spec = msgspec.structs.replace(self.rollout.spec, **changes)
        self.rollout = msgspec.structs.replace(self.rollout, metadata=metadata, spec=spec)

    def edit_strategy(self, **changes: Any) -> None:
        blue_green = msgspec.structs.replace(self.strategy, **changes)
        self.edit(strategy=RolloutStrategy(blue_green=blue_green))

    def set_image(self, version: str) -> None:
        self.edit(template=template(version))

    def patch_status(self, **changes: Any) -> None:
        """Change `status` as the command line does."""
        self.rollout = msgspec.structs.replace(
            self.rollout, status=msgspec.structs.replace(self.rollout.status, **changes)
        )

    def promote(self) -> None:
        self.patch_status(pause_conditions=())
        if self.rollout.spec.paused:
            self.edit(paused=False)

    def promote_full(self) -> None:
        self.patch_status(promote_full=True)

    def abort(self) -> None:
        self.patch_status(abort=True)

    def retry(self) -> None:
        self.patch_status(abort=False)

    # ---- Time and the rest of the cluster -------------------------------------------------------------------------

    def wait(self, delta: timedelta) -> None:
        self.now += delta

    def wait_seconds(self, seconds: float) -> None:
        self.wait(timedelta(seconds=seconds))

    def kubelet(self) -> bool:
        """Let every ReplicaSet have its pods; tell whether that changed anything."""
        changed = False
        for name, each in self.replica_sets.items():
            size = size_of(each)
            available = 0 if self.version_of(hash_of(each)) in self.unavailable else size
            status = ReplicaSetStatus(
                replicas=size,
                ready_replicas=available,
                available_replicas=available,
                observed_generation=each.metadata.generation,
            )
            if status != each.status:
                self.replica_sets[name] = msgspec.structs.replace(each, status=status)
                changed = True
        return changed

    # ---- The controller -------------------------------------------------------------------------------------------

    def step(self) -> Plan[RolloutStatus]:
        """Plan once and carry the plan out."""
        snapshot = RolloutSnapshot(
            rollout=self.rollout, replica_sets=tuple(self.replica_sets.values()), services=dict(self.services), pods=()
        )
        plan = plan_rollout(snapshot, self.now)
        self.plan = plan
        assert plan.requeue_at is None or plan.requeue_at > self.now, "a plan that wants to be made again at once"
        for action in plan.actions:
            self._write()
            self._carry_out(action)
            self.events.extend(action.events)
            self.check()
        if plan.status is not None:
            self._write()
            self.rollout = msgspec.structs.replace(self.rollout, status=plan.status)
            self.check()
        self.events.extend(plan.events)
        return plan

    def settle(self, *, passes_max: int = 40, kubelet: bool = True) -> None:
        """Step until nothing is written any more and no pod changes."""
        for _ in range(passes_max):
            try:
                plan = self.step()
            except Crash:
                continue
            moved = self.kubelet() if kubelet else False
            if plan.writes_nothing and not moved:
                return
        raise AssertionError(f"does not come to rest: {self.plan}")

    def sleep_until_done(self, *, rounds_max: int = 20) -> None:
        """Settle, and wait for every timer that a plan sets, until no timer is left."""
        for _ in range(rounds_max):
            self.settle()
            if self.plan.requeue_at is None:
                return
            self.now = max(self.plan.requeue_at, self.now) + timedelta(milliseconds=5)
        raise AssertionError(f"never done: {self.plan}")

    def _write(self) -> None:
        if self.crash_after is not None:
            if self.crash_after == 0:
                self.crash_after = None
                raise Crash
            self.crash_after -= 1
        self.writes += 1

    def _carry_out(self, action: Action) -> None:
        match action:
            case CreateReplicaSet():
                self._create(action)
            case PatchReplicaSet():
                before = self.replica_sets[action.name]
                assert action.resource_version == before.metadata.resource_version, "decided on a stale version"
                after = _patched(before, action.merge_patch(), ReplicaSet)
                self.replica_sets[action.name] = self._touched(after, spec_changed=after.spec != before.spec)
            case PatchService():
                self.services[action.name] = _patched(self.services[action.name], action.merge_patch(), Service)
            case PatchRollout():
                self.rollout = _patched(self.rollout, action.merge_patch(), Rollout)
            case DeleteReplicaSet():
                del self.replica_sets[action.name]
            case _:
                raise AssertionError(f"not expected in these tests: {action}")

    def _create(self, action: CreateReplicaSet) -> None:
        created = msgspec.convert(json.loads(json.dumps(action.manifest)), type=dict[str, Any])
        replica_set = msgspec.json.decode(json.dumps(created), type=ReplicaSet)
        image = created["spec"]["template"]["spec"]["containers"][0]["image"]
        self.versions[hash_of(replica_set)] = image.removeprefix("shop:")
        self._counter += 1
        metadata = msgspec.structs.replace(
            replica_set.metadata,
            uid=f"uid-{self._counter}",
            resource_version="1",
            generation=1,
            # Creation times must differ, as they do for revisions that people make.
            creation_timestamp=self.now.replace(microsecond=0) + timedelta(seconds=self._counter),
        )
        self.replica_sets[action.name] = msgspec.structs.replace(replica_set, metadata=metadata)

    def _touched(self, replica_set: ReplicaSet, *, spec_changed: bool) -> ReplicaSet:
        metadata = replica_set.metadata
        return msgspec.structs.replace(
            replica_set,
            metadata=msgspec.structs.replace(
                metadata,
                resource_version=str(int(metadata.resource_version) + 1),
                generation=metadata.generation + spec_changed,
            ),
        )

    # ---- Reading ----------------------------------------------------------------------------------------------------

    @property
    def strategy(self) -> BlueGreenStrategy:
        strategy = self.rollout.spec.strategy.blue_green
        assert strategy is not None
        return strategy

    @property
    def status(self) -> RolloutStatus:
        return self.rollout.status

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of all ReplicaSets by version."""
        return {self.version_of(hash_of(each)): size_of(each) for each in self.replica_sets.values()}

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """HPA, current, updated, ready and available pods as the status has them."""
        status = self.status
        return (
            status.hpa_replicas,
            status.replicas,
            status.updated_replicas,
            status.ready_replicas,
            status.available_replicas,
        )

    @property
    def pauses(self) -> list[str]:
        return [each.reason for each in self.status.pause_conditions]

    @property
    def reasons(self) -> list[str]:
        """The reasons of all events, in order."""
        return [each.reason for each in self.events]

    @property
    def messages(self) -> list[str]:
        return [each.message for each in self.events]

    @property
    def active(self) -> str:
        """The version that gets the traffic; empty if none."""
        return self.version_of(self.selected(ACTIVE))

    @property
    def preview(self) -> str:
        return self.version_of(self.selected(PREVIEW))

    @property
    def stable(self) -> str:
        return self.version_of(self.status.stable_rs)

    def selected(self, service: str) -> str:
        return self.services[service].spec.selector.get(names.POD_TEMPLATE_HASH_LABEL, "")

    def version_of(self, pod_hash: str) -> str:
        return self.versions.get(pod_hash, pod_hash)

    def replica_set(self, version: str) -> ReplicaSet:
        return next(each for each in self.replica_sets.values() if self.version_of(hash_of(each)) == version)

    def deadline(self, version: str) -> datetime | None:
        text = self.replica_set(version).metadata.annotations.get(names.SCALE_DOWN_DEADLINE_ANNOTATION)
        return datetime.fromisoformat(text) if text else None

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of the condition; empty texts if it does not exist."""
        found = find_condition(self.status.conditions, kind)
        return ("", "") if found is None else (found.status, found.reason)

    def annotate(self, version: str, key: str, value: str | None) -> None:
        """Change an annotation of a ReplicaSet behind the controller's back; None removes it."""
        each = self.replica_set(version)
        patch = {"metadata": {"annotations": {key: value}}}
        self.replica_sets[each.metadata.name] = self._touched(_patched(each, patch, ReplicaSet), spec_changed=False)

    def unmark(self, service: str) -> None:
        """Take the mark of being managed off a Service."""
        patch = {"metadata": {"annotations": {names.MANAGED_BY_ANNOTATION: None}}}
        self.services[service] = _patched(self.services[service], patch, Service)

    def set_pods(self, version: str, *, available: int) -> None:
        """Let this many pods of a version be available right now."""
        each = self.replica_set(version)
        self.replica_sets[each.metadata.name] = msgspec.structs.replace(
            each,
            status=msgspec.structs.replace(
                each.status,
                replicas=max(size_of(each), available),
                ready_replicas=available,
                available_replicas=available,
            ),
        )

    # ---- What must hold after every single write ---------------------------------------------------------------------

    def check(self) -> None:
        pod_hash = self.selected(ACTIVE)
        if not pod_hash:
            return
        serving = [each for each in self.replica_sets.values() if hash_of(each) == pod_hash]
        assert serving, "the active Service selects a revision that does not exist"
        # Scaling the whole Rollout to 0 is the one way to have no pods behind the active Service.
        assert size_of(serving[0]) > 0 or self.rollout.spec.replicas == 0, "pods were taken from under the traffic"


def _service(name: str) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace="default", uid=name), spec=ServiceSpec(selector={"app": "shop"})
    )


def _patched(obj: Any, patch: Any, kind: Any) -> Any:
    return msgspec.json.decode(json.dumps(_merged(json.loads(msgspec.json.encode(obj)), patch)), type=kind)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
