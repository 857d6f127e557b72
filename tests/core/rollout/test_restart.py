"""Restarting pods: who is evicted, how many at a time, and when it is done."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import NOW, World, hash_for, owner, pause, pod, replace, rollout, service, weight

from prograde.api.rollout import BlueGreenStrategy, CanaryStrategy
from prograde.api.workloads import Pod, ReplicaSet
from prograde.core.plan import EvictPod, WaitReason
from prograde.core.rollout.planner import plan_rollout

RESTART_AT = NOW - timedelta(minutes=1)
OLD, YOUNG = timedelta(minutes=5), timedelta(seconds=30)


def idle(replicas: int = 3, max_unavailable: int | str = 0, image: str = "v1") -> World:
    """Return a world with an idle canary for which a restart is due."""
    world = World(rollout(canary=CanaryStrategy(max_unavailable=max_unavailable), replicas=replicas, image=image))
    world.run_to_phase("Healthy")
    world.now = NOW
    world.change_spec(restart_at=RESTART_AT)
    return world


def evicted(world: World) -> list[str]:
    return [each.name for each in world.plan().actions if isinstance(each, EvictPod)]


def pods(parent: ReplicaSet, *ages: timedelta, ready: bool = True) -> list[Pod]:
    return [pod(f"p{number}", parent, age=age, ready=ready) for number, age in enumerate(ages)]


@pytest.mark.parametrize(
    ("max_unavailable", "young_ready", "expected", "is_polled"),
    [
        pytest.param(2, True, 2, False, id="both old ones may go"),
        pytest.param(2, False, 1, True, id="an unavailable pod uses the budget"),
        pytest.param(0, True, 1, True, id="one may always go"),
        pytest.param("100%", True, 2, False, id="everything may go, but the young one need not"),
    ],
)
def test_as_many_go_as_may_be_missing(
    max_unavailable: int | str, young_ready: bool, expected: int, is_polled: bool
) -> None:
    world = idle(max_unavailable=max_unavailable)
    parent = world.of_image("v1")
    world.pods = [*pods(parent, OLD, OLD), pod("p2", parent, age=YOUNG, ready=young_ready)]
    plan = world.plan()
    assert len(evicted(world)) == expected
    assert (plan.requeue_at == NOW + timedelta(seconds=30)) is is_polled


@pytest.mark.parametrize(("canary_ready", "expected"), [(True, 1), (False, 0)])
def test_of_two_replica_sets_with_a_pod_each_one_goes_if_both_are_available(canary_ready: bool, expected: int) -> None:
    world = World(rollout(canary=CanaryStrategy(steps=(weight(50), pause())), replicas=1))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    world.now = NOW + timedelta(minutes=1)
    world.change_spec(restart_at=NOW)
    world.pods = [pod("stable", world.of_image("v1")), pod("canary", world.of_image("v2"), ready=canary_ready)]
    plan = world.plan()
    assert len(evicted(world)) == expected
    assert plan.requeue_at == world.now + timedelta(seconds=30)


def test_the_plan_asks_for_pods_once_a_restart_is_due() -> None:
    world = idle()
    plan = plan_rollout(replace(world.snapshot(), pods=None), NOW)
    assert plan.wants_pods
    assert not list(plan.actions)
    assert plan.status is None


def test_a_restart_in_the_future_waits_for_its_time_and_does_not_ask_for_pods() -> None:
    world = idle()
    at = NOW + timedelta(minutes=10)
    world.change_spec(restart_at=at)
    world.run_to_phase("Progressing")
    plan = plan_rollout(replace(world.snapshot(), pods=None), NOW)
    assert not plan.wants_pods
    assert plan.requeue_at is not None
    assert timedelta(0) < plan.requeue_at - at < timedelta(seconds=1)
    assert plan.waits[0].reason is WaitReason.RESTART
    assert world.status.message == "rollout is restarting"


def test_at_the_very_instant_nothing_is_restarted_yet() -> None:
    world = idle()
    world.change_spec(restart_at=NOW)
    world.pods = pods(world.of_image("v1"), OLD)
    assert evicted(world) == []


def test_a_pod_made_at_the_very_instant_or_later_needs_no_restart() -> None:
    world = idle(max_unavailable="100%")
    world.pods = pods(world.of_image("v1"), timedelta(minutes=1), YOUNG)
    assert evicted(world) == []


def test_the_restart_is_done_when_no_pod_is_left_that_needs_it() -> None:
    world = idle(max_unavailable=2)
    parent = world.of_image("v1")
    world.pods = pods(parent, OLD, OLD, YOUNG)
    plan = world.step()
    assert plan.status is None, "the world has to be looked at again after an eviction"
    world.run_to_phase("Healthy")
    assert world.status.restarted_at == RESTART_AT
    assert world.plan().writes_nothing


def test_terminating_pods_still_count_as_to_be_restarted_but_are_not_evicted_again() -> None:
    world = idle(max_unavailable=2)
    parent = world.of_image("v1")
    world.pods = [pod("p0", parent, age=OLD, deleting=True), pod("p1", parent, age=YOUNG), pod("p2", parent, age=YOUNG)]
    assert evicted(world) == []
    plan = world.plan()
    assert plan.requeue_at == NOW + timedelta(seconds=30)
    assert plan.status is not None
    assert plan.status.restarted_at is None
    assert plan.waits[0].message == "1 of 3 pods are still to be restarted; a few may be missing at a time"


def test_a_rollout_without_pods_is_restarted_at_once() -> None:
    world = idle(replicas=0)
    world.run_to_phase("Healthy")
    assert world.status.restarted_at == RESTART_AT


def test_stable_pods_go_first_then_new_ones_then_others_oldest_first() -> None:
    world = World(rollout(canary=CanaryStrategy(steps=(weight(50), pause()), max_unavailable="100%"), replicas=2))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    world.now = NOW + timedelta(minutes=1)
    world.change_spec(restart_at=NOW)
    world.pods = [
        pod("new", world.of_image("v2"), age=timedelta(hours=3)),
        pod("stable-b", world.of_image("v1"), age=timedelta(hours=1)),
        pod("stable-a", world.of_image("v1"), age=timedelta(hours=2)),
    ]
    assert evicted(world) == ["stable-a", "stable-b", "new"]


def test_pods_of_others_are_not_touched() -> None:
    world = idle(max_unavailable="100%")
    mine = world.of_image("v1")
    stranger = pod("stranger", mine)
    stranger = replace(stranger, metadata=replace(stranger.metadata, owner_references=(owner(uid="other"),)))
    world.pods = [stranger]
    assert evicted(world) == []


def test_a_pod_is_available_only_after_its_ready_time() -> None:
    world = idle(max_unavailable=1)
    world.change_spec(min_ready_seconds=60)
    parent = world.of_image("v1")
    world.pods = [
        pod("p0", parent, age=OLD),
        pod("p1", parent, age=OLD),
        pod("p2", parent, age=YOUNG, ready_for=timedelta(seconds=10)),
    ]
    assert evicted(world) == []


def test_a_new_template_cancels_a_restart_that_is_still_going_on() -> None:
    """The pods of the new revision are younger anyway. Argo Rollouts means to do this and does not."""
    world = idle()
    world.pods = pods(world.of_image("v1"), OLD, OLD, OLD)
    world.set_image("v2")
    world.step()
    world.step()
    assert world.status.restarted_at == RESTART_AT


def test_a_blue_green_restart_that_evicts_all_it_must_is_done_in_the_same_plan() -> None:
    world = World(
        rollout(blue_green=BlueGreenStrategy(active_service="active", max_unavailable="100%")),
        services=[service("active")],
    )
    world.run_to_phase("Healthy")
    world.now = NOW
    world.change_spec(restart_at=RESTART_AT)
    world.pods = pods(world.of_image("v1"), OLD, OLD, OLD)
    plan = world.step()
    assert sum(isinstance(each, EvictPod) for each in plan.actions) == 3
    assert plan.status is not None
    assert plan.status.restarted_at == RESTART_AT
    assert world.status.stable_rs == hash_for("v1")
