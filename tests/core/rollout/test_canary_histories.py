"""Canaries in random histories: what must hold after every plan, and that every history can be brought to its end.

A history is whatever people, pods, the clock and a crashing controller may do, in any order.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.rollout.builders import World, pause, replace, rollout, weight

from prograde.api import defaults
from prograde.api.rollout import CanaryStep, CanaryStrategy, RollbackWindow, RolloutStatus
from prograde.core.plan import PatchReplicaSet, Plan
from prograde.core.rollout.replicas import limits
from prograde.core.rollout.replicasets import size_of

OPERATIONS = (
    "push",
    "back",
    "promote",
    "promote full",
    "abort",
    "retry",
    "pause",
    "unpause",
    "scale",
    "edit steps",
    "break",
    "heal",
    "lose a pod",
    "pods",
    "pods",
    "pass",
    "pass",
    "pass",
    "settle",
    "second",
    "minute",
    "crash",
)

STEPS = st.one_of(
    st.sampled_from([0, 10, 25, 50, 75, 90, 95, 100]).map(weight), st.sampled_from([None, 5, "10s"]).map(pause)
)
BOUND = st.sampled_from([None, 0, 1, "50%", "100%"])


class CheckedWorld(World):
    """Judges every plan before it is carried out."""

    pushed = 1

    def step(self) -> Plan[RolloutStatus]:
        plan = self.plan()
        self.judge(plan)
        self.apply(plan)
        return plan

    def judge(self, plan: Plan[RolloutStatus]) -> None:
        assert plan.requeue_at is None or plan.requeue_at > self.now, "a plan that wants to be made again at once"
        # Steps that were taken away are noticed by the pass that starts over, which may not be this one.
        index, index_before = (plan.status or self.status).current_step_index, self.status.current_step_index
        assert index == index_before or 0 <= (index or 0) <= len(self.strategy.steps)
        assert (plan.status or self.status).phase == "Healthy" or plan.waits, "it waits and does not say why"

        spec = self.rollout.spec
        wanted = defaults.effective_replicas(spec)
        bounds = limits(wanted, defaults.effective_max_surge(spec), defaults.effective_max_unavailable(spec))
        resized = {
            action.name: action.replicas
            for action in plan.actions
            if isinstance(action, PatchReplicaSet) and action.replicas is not None
        }
        pods_before = available_before = pods_after = available_after = 0
        for each in self.replica_sets.values():
            before, available = size_of(each), each.status.available_replicas
            after = resized.get(each.metadata.name, before)
            pods_before, pods_after = pods_before + before, pods_after + after
            # Pods that are not ready are removed first, so what stays available is the smaller of the two.
            available_before += min(before, available)
            available_after += min(after, available)
        assert available_after >= min(wanted - bounds.unavailable, available_before), "needed pods are given up"
        assert pods_after <= max(pods_before, wanted + bounds.surge), "more pods than the surge allows"

    def settle(self) -> Plan[RolloutStatus]:
        for _ in range(120):
            plan = self.step()
            moved = self.settle_pods()
            if plan.writes_nothing and not moved:
                return plan
        raise AssertionError(f"does not come to rest: {self.shape()}")

    @property
    def strategy(self) -> CanaryStrategy:
        canary = self.rollout.spec.strategy.canary
        assert canary is not None
        return canary

    def lose_a_pod(self) -> None:
        each = max(self.replica_sets.values(), key=lambda each: each.status.available_replicas)
        left = max(0, each.status.available_replicas - 1)
        status = replace(each.status, available_replicas=left, ready_replicas=left)
        self.replica_sets[each.metadata.name] = replace(each, status=status)

    def perform(self, operation: str) -> None:
        match operation:
            case "push":
                self.pushed += 1
                self.set_image(f"v{self.pushed}")
            case "back":
                self.set_image(f"v{max(1, self.pushed - 1)}")
            case "promote":
                self.change_status(pause_conditions=())
            case "promote full":
                self.change_status(promote_full=True)
            case "abort" | "retry":
                self.change_status(abort=operation == "abort")
            case "pause" | "unpause":
                self.change_spec(paused=operation == "pause")
            case "scale":
                self.change_spec(replicas=(self.rollout.spec.replicas or 0) % 7 + 1)
            case "edit steps":
                self.change_strategy(steps=self.strategy.steps[1:])
            case "break":
                self.broken_images = {f"v{self.pushed}"}
            case "heal":
                self.broken_images = set()
            case "lose a pod":
                self.lose_a_pod()
            case "pods":
                self.settle_pods()
            case "pass":
                self.step()
            case "settle":
                self.settle()
            case "second" | "minute":
                self.tick(1 if operation == "second" else 60)
            case "crash":
                self.apply(self.plan(), stop_after=1)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=4),
    replicas=st.integers(1, 6),
    max_surge=BOUND,
    max_unavailable=BOUND,
    window=st.sampled_from([None, RollbackWindow(revisions=1)]),
    operations=st.lists(st.sampled_from(OPERATIONS), max_size=30),
)
def test_in_any_history_needed_pods_stay_and_everything_can_be_completed(
    steps: list[CanaryStep],
    replicas: int,
    max_surge: Any,
    max_unavailable: Any,
    window: RollbackWindow | None,
    operations: list[str],
):
    if max_surge == max_unavailable == 0:
        max_unavailable = 1
    strategy = CanaryStrategy(steps=tuple(steps), max_surge=max_surge, max_unavailable=max_unavailable)
    world = CheckedWorld(rollout(canary=strategy, replicas=replicas, rollback_window=window))
    world.settle()
    for operation in operations:
        world.perform(operation)

    for operation in ("heal", "unpause", "retry"):
        world.perform(operation)
    for _ in range(8):
        world.settle()
        world.tick(61)
        world.perform("promote")
    plan = world.settle()
    assert plan.requeue_at is None
    assert world.status.phase == "Healthy", world.status.message
    assert world.status.stable_rs == world.status.current_pod_hash
    assert sum(size_of(each) for each in world.replica_sets.values()) == world.rollout.spec.replicas
