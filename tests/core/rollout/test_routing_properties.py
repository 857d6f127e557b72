"""What holds for every routed canary, whatever people and pods do: nobody gets traffic that he cannot serve.

Random histories as for the canary without a router, but here the check comes after every single *write* of a plan: the
shares of the traffic, by subset and by Service, against the pods that are there. Pods may die at any time, so traffic
may well meet too few of them; but no write may make that worse.
"""

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.rollout.builders import canary_scale, pause, weight
from tests.core.rollout.routing_world import RoutedWorld, header, managing, mirror, released, routed
from tests.core.rollout.test_properties import Deed, do

from prograde.api import defaults
from prograde.api.rollout import RolloutStatus
from prograde.core.plan import Action, PatchReplicaSet, Plan
from prograde.core.rollout.replicasets import hash_of, size_of

STEP_LISTS = (
    (),
    (weight(20), pause(), weight(60)),
    (weight(10), pause(5), weight(50), pause(5), weight(100), weight(30)),
    (pause(), weight(100), pause(1), weight(0)),
    (
        canary_scale(replicas=2),
        header("h"),
        weight(10),
        canary_scale(match_traffic_weight=True),
        mirror("m"),
        weight(50),
    ),
    (weight(60), canary_scale(replicas=0), pause(), weight(20), canary_scale(match_traffic_weight=True)),
    (weight(70), header("h"), pause(), header("h", off=True), weight(40)),
)

DEEDS = st.one_of(
    st.builds(Deed, st.just("pods"), st.integers(0, 10**6)),
    st.builds(Deed, st.just("settle")),
    st.builds(Deed, st.just("settle")),
    st.builds(Deed, st.just("step")),
    st.builds(Deed, st.just("crash"), st.integers(0, 4)),
    st.builds(Deed, st.just("image"), st.integers(1, 4)),
    st.builds(Deed, st.just("replicas"), st.integers(0, 8)),
    st.builds(Deed, st.just("tick"), st.sampled_from([1, 6, 31, 700])),
    st.builds(Deed, st.sampled_from(["resume", "skip", "abort", "retry", "full", "pause", "unpause"])),
    st.builds(Deed, st.just("steps"), st.integers(0, len(STEP_LISTS) - 1)),
)


@dataclass
class Watch:
    """Looks at a world after every write, and complains when a write has made things worse."""

    world: RoutedWorld
    is_by_service: bool
    lacking: Fraction = Fraction(0)

    def look(self) -> None:
        """Take what is lacking now for granted; pods and people have done it, and no write."""
        self.lacking = self._lacking()

    def after(self, action: Action) -> None:
        self._check_weights()
        lacking = self._lacking()
        assert lacking < self.lacking + 1, (str(action), self.world.journal[-6:], self.world.live, self.world.shape())
        self.lacking = lacking

    def _check_weights(self) -> None:
        table, weights = self.world.table(), self.world.status.canary.weights
        assert not table or 0 <= table["weight"] <= table["max"]
        if weights is not None:
            listed = (weights.canary, weights.stable, *weights.additional)
            assert sum(each.weight for each in listed) == 100
            assert all(each.weight >= 0 for each in listed)

    def _lacking(self) -> Fraction:
        """Return how many pods are missing to carry what each ReplicaSet gets; the guard of stable forgives one."""
        table = self.world.table()
        if not table or "weight" not in table or "canary" not in table:
            return Fraction(0)
        shares: dict[str, int] = {}
        behind = ("canary", "stable")
        for role, share in zip(behind, (table["weight"], table["max"] - table["weight"]), strict=True):
            pod_hash = self.world.selected(role) if self.is_by_service else table[role]
            shares[pod_hash] = shares.get(pod_hash, 0) + share
        total = self.world.rollout.spec.replicas or 0
        lasting = {
            hash_of(each): min(size_of(each), each.status.available_replicas)
            for each in self.world.replica_sets.values()
        }
        needs = {pod_hash: Fraction(share * total, table["max"]) for pod_hash, share in shares.items()}
        return sum((max(Fraction(0), need - lasting.get(each, 0)) for each, need in needs.items()), Fraction(0))


def check_status(world: RoutedWorld, plan: Plan[RolloutStatus]) -> None:
    old, new = world.status, plan.status
    if new is None:
        return
    if new.phase not in ("Healthy", ""):
        assert plan.waits, "whoever is not healthy waits for something"
    if old.abort and new.abort and old.canary.weights and new.canary.weights:
        assert new.canary.weights.canary.weight <= old.canary.weights.canary.weight, "an abort only goes back"
    if new.stable_rs != old.stable_rs:
        assert new.stable_rs == new.current_pod_hash


def step(world: RoutedWorld, stop_after: int | None = None) -> Plan[RolloutStatus]:
    plan = world.plan()
    check_status(world, plan)
    for name, each in world.replica_sets.items():
        for action in plan.actions:
            if world.rollout.spec.replicas and getattr(action, "name", "") == name and _goes(action):
                weights = world.status.canary.weights
                served = (weights.canary, weights.stable) if weights else ()
                assert hash_of(each) not in {dest.pod_template_hash for dest in served if dest.weight > 0}
    world.apply(plan, stop_after)
    return plan


def _goes(action: Action) -> bool:
    return isinstance(action, PatchReplicaSet) and action.replicas == 0


def leave_in_peace(world: RoutedWorld, watch: Watch) -> None:
    world.change_spec(paused=False)
    if world.status.abort:
        world.change_status(abort=False)
    for _ in range(250):
        watch.look()
        plan = step(world)
        settled = world.settle_pods()
        if plan.writes_nothing and not settled:
            if plan.requeue_at is not None and plan.requeue_at > world.now:
                world.now = plan.requeue_at
            elif world.status.pause_conditions:
                world.change_status(pause_conditions=())
            else:
                return
        world.tick(1)
    raise AssertionError(f"never at rest: {world.shape()}, {world.recorded}, {world.status}")


def history(
    deeds: list[Deed], replicas: int, steps: int, *, is_by_service: bool, is_dynamic: bool
) -> tuple[RoutedWorld, Watch]:
    strategy = routed(*STEP_LISTS[steps], routing=managing("h", "m"), dynamic_stable_scale=is_dynamic)
    world = released(strategy, replicas=replicas)
    watch = Watch(world, is_by_service)
    remember = world.after_write

    def after_write(action: Action) -> None:
        remember(action)
        watch.after(action)

    world.after_write = after_write
    for deed in deeds:
        if deed.name == "steps":
            world.change_strategy(steps=STEP_LISTS[deed.value])
        else:
            do(world, deed)
        watch.look()
        step(world, stop_after=deed.value if deed.name == "crash" else None)
    return world, watch


HISTORIES = st.lists(DEEDS, min_size=1, max_size=40)


@pytest.mark.parametrize("is_by_service", [pytest.param(False, id="by subset"), pytest.param(True, id="by Service")])
@pytest.mark.parametrize("is_dynamic", [pytest.param(False, id="whole"), pytest.param(True, id="dynamic")])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deeds=HISTORIES, replicas=st.integers(0, 8), steps=st.integers(0, len(STEP_LISTS) - 1))
def test_no_write_sends_traffic_to_pods_that_are_not_there_and_every_history_comes_to_rest(
    deeds: list[Deed], replicas: int, steps: int, is_by_service: bool, is_dynamic: bool
) -> None:
    world, watch = history(deeds, replicas, steps, is_by_service=is_by_service, is_dynamic=is_dynamic)
    leave_in_peace(world, watch)
    status, wanted = world.status, world.rollout.spec.replicas
    promoted = next(each for each in world.replica_sets.values() if hash_of(each) == status.stable_rs)
    assert status.phase == "Healthy", status.message
    assert status.stable_rs == status.current_pod_hash
    assert f'"{world.image_of(promoted)}"'.encode() in bytes(world.rollout.spec.template)
    assert sum(size_of(each) for each in world.replica_sets.values()) == size_of(promoted) == wanted
    if wanted:
        assert world.live == world.recorded == f"{world.image_of(promoted)}=0 {world.image_of(promoted)}=100"
        assert world.table()["routes"] == []
        assert world.selected("stable") == world.selected("canary") == status.stable_rs
    assert defaults.effective_max_traffic_weight(world.rollout.spec) == 100
