"""The world of `builders` with a blue-green Rollout in it, in the words of blue-green.

What must never happen is checked after every single write, not only between passes. A version is its image: ``v1``.
"""

from datetime import datetime, timedelta
from typing import Any

from tests.core.rollout.builders import World, replace, rollout, service

from prograde.api import names
from prograde.api.rollout import BlueGreenStrategy, RolloutStatus, RolloutStrategy
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import Action, Plan
from prograde.core.rollout.replicasets import find_by_hash, scale_down_deadline_of, size_of

ACTIVE, PREVIEW = "cart-active", "cart-preview"


class BlueGreenWorld(World):
    """A blue-green Rollout, its Services and its ReplicaSets."""

    crash_after: int | None = None
    """Let the controller die once, after this many more writes."""

    # ---- Setting it up ------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, *, replicas: int = 1, has_preview: bool = True, **strategy: Any) -> "BlueGreenWorld":
        """A world in which nothing has happened yet."""
        blue_green = BlueGreenStrategy(
            active_service=ACTIVE, preview_service=PREVIEW if has_preview else "", **strategy
        )
        services = [service(ACTIVE), service(PREVIEW)] if has_preview else [service(ACTIVE)]
        return cls(rollout(blue_green=blue_green, replicas=replicas), services=services)

    @classmethod
    def deployed(cls, **options: Any) -> "BlueGreenWorld":
        """A world in which the first version has been healthy for an hour."""
        world = cls.create(**options)
        world.settle()
        assert world.status.phase == "Healthy", world.status.message
        world.wait(timedelta(hours=1))
        world.events.clear()
        return world

    # ---- What people do -----------------------------------------------------------------------------------------

    def edit_strategy(self, **changes: Any) -> None:
        blue_green = self.rollout.spec.strategy.blue_green
        assert blue_green is not None
        self.change_spec(strategy=RolloutStrategy(blue_green=replace(blue_green, **changes)))

    def promote(self) -> None:
        self.change_status(pause_conditions=())
        if self.rollout.spec.paused:
            self.change_spec(paused=False)

    def promote_full(self) -> None:
        self.change_status(promote_full=True)

    def abort(self) -> None:
        self.change_status(abort=True)

    def retry(self) -> None:
        self.change_status(abort=False)

    # ---- What happens meanwhile ---------------------------------------------------------------------------------

    def wait(self, delta: timedelta) -> None:
        self.tick(delta.total_seconds())

    def set_pods(self, version: str, *, available: int) -> None:
        """Let this many pods of a version be available right now."""
        each = self.of_image(version)
        status = replace(
            each.status,
            replicas=max(size_of(each), available),
            ready_replicas=available,
            available_replicas=available,
        )
        self.replica_sets[each.metadata.name] = replace(each, status=status)

    def annotate(self, version: str, key: str, value: str | None) -> None:
        """Change an annotation of a ReplicaSet behind the controller's back; None removes it."""
        each = self.of_image(version)
        patch: Any = {"metadata": {"annotations": {key: value}}}
        self.replica_sets[each.metadata.name] = self._patched(each, patch)

    def unmark(self, service_name: str) -> None:
        """Take the mark of being managed off a Service."""
        patch: Any = {"metadata": {"annotations": {names.MANAGED_BY_ANNOTATION: None}}}
        self.services[service_name] = self._patched(self.services[service_name], patch)

    # ---- The controller -----------------------------------------------------------------------------------------

    def step(self) -> Plan[RolloutStatus]:
        plan = self.plan()
        assert plan.requeue_at is None or plan.requeue_at > self.now, "a plan that wants to be made again at once"
        writes = len(list(plan.actions)) + (plan.status is not None)
        if self.crash_after is None or writes <= self.crash_after:
            self.apply(plan)
            self.crash_after = None if self.crash_after is None else self.crash_after - writes
        else:
            self.apply(plan, stop_after=self.crash_after)
            self.crash_after = None
        self.check()
        return plan

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def settle(self, *, moves_pods: bool = True) -> Plan[RolloutStatus]:
        """Step until nothing is written and no pod changes; return the last plan. Time stands still."""
        for _ in range(60):
            plan = self.step()
            moved = self.settle_pods() if moves_pods else False
            if plan.writes_nothing and not moved:
                return plan
        raise AssertionError(f"does not come to rest: {plan}")

    def _carry_out(self, action: Action) -> None:
        super()._carry_out(action)
        self.check()

    # ---- Reading ------------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of all ReplicaSets by version, in the order of the versions."""
        return dict(sorted((self.image_of(each), size_of(each)) for each in self.replica_sets.values()))

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
    def messages(self) -> list[str]:
        return [each.message for each in self.events]

    @property
    def active(self) -> str:
        """The version that gets the traffic; empty if none."""
        return self.version_of(self.selected(ACTIVE))

    @property
    def preview(self) -> str:
        return self.version_of(self.selected(PREVIEW)) if PREVIEW in self.services else ""

    @property
    def stable(self) -> str:
        return self.version_of(self.status.stable_rs)

    @property
    def waits(self) -> list[str]:
        """The reasons for waiting of the last plan, in order."""
        return [str(each.reason) for each in self.plans[-1].waits]

    def version_of(self, pod_hash: str) -> str:
        found = find_by_hash(tuple(self.replica_sets.values()), pod_hash)
        return pod_hash if found is None else self.image_of(found)

    def deadline(self, version: str) -> datetime | None:
        found = scale_down_deadline_of(self.of_image(version))
        return None if found is None else found.at

    def state(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition; empty texts if it does not exist."""
        found = self.condition(kind)
        return ("", "") if found is None else (found.status, found.reason)

    # ---- What must hold after every single write ------------------------------------------------------------------

    def check(self) -> None:
        pod_hash = self.selected(ACTIVE)
        if not pod_hash:
            assert not self.status.blue_green.active_selector, "the active Service has lost its pods"
            return
        serving = self._serving(pod_hash)
        # Scaling the whole Rollout to 0 is the one way to have no pods behind the active Service.
        assert size_of(serving) > 0 or self.rollout.spec.replicas == 0, "pods were taken from under the traffic"

    def _serving(self, pod_hash: str) -> ReplicaSet:
        found = find_by_hash(tuple(self.replica_sets.values()), pod_hash)
        assert found is not None, "the active Service selects a revision that does not exist"
        return found


# ---- States to begin with ----------------------------------------------------------------------------------------


def switched_but_not_promoted(**options: Any) -> BlueGreenWorld:
    """The state between the switch and the promotion: the active Service has moved, the status was not written."""
    world = BlueGreenWorld.deployed(**options)
    world.set_image("v2")
    world.steps(3)
    stable = world.status.stable_rs
    while world.active == "v1":
        world.settle_pods()
        world.step()
    world.change_status(stable_rs=stable)
    return world


def promoted_twice(**options: Any) -> BlueGreenWorld:
    """Version 2 has just been promoted, version 1 is in its delay."""
    world = BlueGreenWorld.deployed(**options)
    world.set_image("v2")
    world.settle()
    world.promote()
    world.settle()
    assert world.stable == "v2"
    world.events.clear()
    return world
