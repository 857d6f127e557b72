"""Why it is waiting: the true blocker first, with everything that a person needs to know."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.core.rollout.builders import (
    NAME,
    NOW,
    World,
    hash_for,
    owner,
    pause,
    paused_for,
    replace,
    rollout,
    weight,
)

from prograde.api import names
from prograde.api.meta import Condition, ObjectMeta
from prograde.api.rollout import CanaryStrategy, RolloutAnalysisRunStatus
from prograde.api.workloads import ContainerState, ContainerStateWaiting, ContainerStatus, Pod, PodStatus
from prograde.core.plan import CreateReplicaSet, Wait, WaitReason

STEPS = CanaryStrategy(steps=(weight(20), pause()))
NEW = f"{NAME}-{hash_for('v2')}"
STABLE = f"{NAME}-{hash_for('v1')}"


def updating(**options: Any) -> World:
    """Return a world in which revision 2 has just been scaled to its first pods."""
    world = World(rollout(canary=STEPS, replicas=10, **options))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    while "8/2" not in world.shape():
        world.settle_pods()
        world.step()
    return world


def set_pods(world: World, image: str, *, actual: int, ready: int, available: int, **more: Any) -> None:
    each = world.of_image(image)
    status = replace(each.status, replicas=actual, ready_replicas=ready, available_replicas=available, **more)
    world.replica_sets[each.metadata.name] = replace(each, status=status)


def first(world: World) -> Wait:
    return world.plan().waits[0]


def test_a_healthy_rollout_waits_for_nothing() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    assert world.plan().waits == ()


def test_pods_that_do_not_exist_yet() -> None:
    wait = first(updating())
    assert (wait.reason, wait.message) == (WaitReason.PODS_NOT_CREATED, f"ReplicaSet {NEW} has 0 of 2 pods")
    assert (wait.object, wait.field) == (f"ReplicaSet {NEW}", "status.replicas")


def test_pods_that_are_not_available_and_since_when() -> None:
    world = updating()
    set_pods(world, "v2", actual=2, ready=1, available=1)
    world.step()
    progressed = world.now
    world.tick(90)
    wait = first(world)
    assert wait.reason is WaitReason.PODS_NOT_AVAILABLE
    assert wait.message == f"ReplicaSet {NEW} has 1 of 2 pods available"
    assert wait.since == progressed.replace(microsecond=0)
    assert wait.remedy == f"look at the pods: kubectl describe replicaset {NEW}"


def test_pods_that_are_ready_but_not_for_long_enough() -> None:
    world = updating(min_ready_seconds=30)
    set_pods(world, "v2", actual=2, ready=2, available=0)
    wait = first(world)
    assert wait.message == (
        f"ReplicaSet {NEW} has 0 of 2 pods available; 2 ready, to stay so for 30 s (minReadySeconds)"
    )
    assert wait.remedy == ""


def test_stable_pods_that_are_still_there() -> None:
    world = updating()
    set_pods(world, "v2", actual=2, ready=2, available=2)
    set_pods(world, "v1", actual=10, ready=10, available=10)
    wait = first(world)
    assert (wait.reason, wait.message) == (
        WaitReason.PODS_TERMINATING,
        f"ReplicaSet {STABLE} has 10 pods and is to have 8",
    )


def test_superseded_pods_that_are_still_there() -> None:
    world = updating()
    world.run_to_phase("Paused")
    world.set_image("v3")
    world.step()
    plan = world.step()
    messages = [each.message for each in plan.waits]
    assert f"2 pods of the superseded ReplicaSet {NEW} must go" in messages


def test_a_pause_comes_before_pods_that_are_missing() -> None:
    world = updating()
    world.run_to_phase("Paused")
    set_pods(world, "v1", actual=8, ready=7, available=7)
    assert [each.reason for each in world.plan().waits] == [WaitReason.PAUSE_STEP, WaitReason.PODS_NOT_AVAILABLE]


def test_a_pause_of_the_user_says_since_when_and_how_to_end_it() -> None:
    world = updating()
    world.change_spec(paused=True)
    world.run_to_phase("Paused")
    wait = first(world)
    assert (wait.reason, wait.field) == (WaitReason.USER_PAUSE, "spec.paused")
    assert wait.since is not None
    assert wait.remedy == "to go on: prograde promote cart"


def test_an_inconclusive_analysis_says_that_a_person_must_decide() -> None:
    world = updating()
    inconclusive = paused_for(names.PAUSE_INCONCLUSIVE_ANALYSIS, ago=timedelta(minutes=3))
    world.change_status(controller_pause=True, pause_conditions=(inconclusive,))
    wait = first(world)
    assert (wait.reason, wait.since) == (WaitReason.INCONCLUSIVE, NOW - timedelta(minutes=3))
    assert "abort" in wait.remedy


@pytest.mark.parametrize("deed", ["abort", "deadline"])
def test_what_went_wrong_comes_before_everything_else(deed: str) -> None:
    world = updating()
    if deed == "abort":
        world.change_status(abort=True)
    else:
        world.broken_images.add("v2")
        world.run()
        world.tick(700)
    world.step()
    expected = WaitReason.ABORTED if deed == "abort" else WaitReason.PROGRESS_DEADLINE
    assert first(world).reason is expected
    assert len(world.plan().waits) > 1


def test_a_missed_deadline_says_what_it_had_been_waiting_for() -> None:
    world = updating()
    world.broken_images.add("v2")
    world.run()
    progressed = world.condition("Progressing")
    assert progressed is not None
    world.now = world.plan().requeue_at or NOW
    world.step()
    text = f'ReplicaSet "{NEW}" has timed out progressing.'
    late, pods = world.plan().waits[:2]
    assert late.message == f"{text} ReplicaSet {NEW} has 0 of 2 pods available."
    assert pods.reason is WaitReason.PODS_NOT_AVAILABLE
    assert progressed.last_update_time is not None
    assert pods.since == progressed.last_update_time + timedelta(seconds=1)


def test_between_two_steps_the_next_one_is_named() -> None:
    world = updating()
    world.settle_pods()
    plan = world.step()
    assert world.status.current_step_index == 1
    assert [(each.reason, each.message) for each in plan.waits] == [(WaitReason.OBSERVATION, "step 2/2 is next: pause")]


def test_no_reason_is_given_twice() -> None:
    world = updating()
    world.run_to_phase("Paused")
    waits = world.plan().waits
    assert len(waits) == len(set(waits))


# ---- With the pods at hand ----------------------------------------------------------------------------------------


def pods_of(world: World, image: str, *statuses: ContainerStatus, ready_since: datetime | None = None) -> None:
    """Let somebody list the pods: one of the image's ReplicaSet for each status."""
    set_uid = world.of_image(image).metadata.uid
    condition = Condition(
        type="Ready", status="False" if ready_since is None else "True", last_transition_time=ready_since or NOW
    )
    world.pods = [
        Pod(
            metadata=ObjectMeta(name=f"pod-{number}", uid=f"pod-{number}", owner_references=(owner(set_uid),)),
            status=PodStatus(conditions=(condition,), container_statuses=(status,)),
        )
        for number, status in enumerate(statuses)
    ]


def test_the_pod_and_container_that_hold_everything_up_are_named() -> None:
    world = updating()
    set_pods(world, "v2", actual=2, ready=0, available=0)
    failing = ContainerStatus(name="main", image="v2", state=ContainerState(waiting=ContainerStateWaiting(reason="X")))
    pods_of(world, "v2", failing)
    wait = first(world)
    assert wait.message == f"ReplicaSet {NEW} has 0 of 2 pods available; pod pod-0: container main waits: X"
    assert (wait.object, wait.field) == ("Pod pod-0", "status.containerStatuses[main].state.waiting")
    assert wait.since == NOW
    assert wait.remedy == "see its events: kubectl describe pod pod-0"


def test_min_ready_seconds_end_by_themselves_when_the_last_pod_has_settled() -> None:
    world = updating(min_ready_seconds=30)
    set_pods(world, "v2", actual=2, ready=2, available=0)
    since = world.now - timedelta(seconds=10)
    pods_of(world, "v2", ContainerStatus(name="main", ready=True), ready_since=since)
    wait = first(world)
    assert (wait.until, wait.remedy) == (since + timedelta(seconds=30), "")


# ---- Deadlines ----------------------------------------------------------------------------------------------------


def near(world: World) -> list[Wait]:
    return [wait for wait in world.plan().waits if wait.reason is WaitReason.DEADLINE_NEAR]


@pytest.mark.parametrize(
    ("abort", "consequence"), [(False, "the Rollout is Degraded"), (True, "the update is aborted")]
)
def test_a_deadline_is_told_of_in_its_last_quarter(abort: bool, consequence: str) -> None:
    world = updating(progress_deadline_seconds=100, progress_deadline_abort=abort)
    world.broken_images.add("v2")
    world.run()
    progressing = world.condition("Progressing")
    assert progressing is not None
    assert progressing.last_update_time is not None
    deadline = progressing.last_update_time + timedelta(seconds=100)
    world.now = deadline - timedelta(seconds=26)
    assert near(world) == []
    world.now = deadline - timedelta(seconds=25)
    (wait,) = near(world)
    assert wait.message == f"{consequence} unless something progresses within 100 s of the last progress"
    assert (wait.since, wait.until) == (progressing.last_update_time, deadline)
    assert wait.field == "spec.progressDeadlineSeconds"
    assert world.plan().waits[0].reason is WaitReason.PODS_NOT_AVAILABLE
    world.now = deadline
    assert near(world) == []


def test_no_deadline_is_told_of_in_a_pause() -> None:
    world = updating(progress_deadline_seconds=10)
    world.run_to_phase("Paused")
    world.tick(9)
    assert near(world) == []


# ---- ReplicaSets in trouble ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finalizers", "remedy"),
    [
        ((), ""),
        (
            ("a.com/x", "b.com/y"),
            "deletion waits for the finalizers a.com/x, b.com/y: whoever set them must remove them",
        ),
    ],
)
def test_a_replica_set_that_is_being_deleted(finalizers: tuple[str, ...], remedy: str) -> None:
    world = updating()
    each = world.of_image("v2")
    metadata = replace(each.metadata, deletion_timestamp=NOW, finalizers=finalizers)
    world.replica_sets[each.metadata.name] = replace(each, metadata=metadata)
    wait = first(world)
    assert wait.message == (
        f"ReplicaSet {NEW} is being deleted and gets no more pods; when it is gone, it is created anew"
    )
    assert (wait.object, wait.field) == (f"ReplicaSet {NEW}", "metadata.deletionTimestamp")
    assert (wait.since, wait.remedy) == (NOW, remedy)


def test_what_was_refused_the_last_time_is_the_reason_while_it_is_tried_again() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    refused = Condition(
        type="Progressing",
        status="False",
        reason="ReplicaSetCreateError",
        message="exceeded quota",
        last_update_time=NOW,
        last_transition_time=NOW,
    )
    world.change_status(conditions=(refused,))
    plan = world.plan()
    assert [action.name for action in plan.actions if isinstance(action, CreateReplicaSet)] == [NEW]
    wait = plan.waits[0]
    assert (wait.reason, wait.message, wait.since) == (WaitReason.WRITE_FAILED, "exceeded quota", NOW)
    assert (wait.object, wait.field) == (f"ReplicaSet {NEW}", "status.conditions[Progressing]")
    assert plan.requeue_at == world.now + timedelta(seconds=10)


# ---- Aborts and judgements ----------------------------------------------------------------------------------------


def test_an_aborted_update_says_what_its_way_back_waits_for() -> None:
    world = updating()
    world.run_to_phase("Paused")
    world.change_status(abort=True)
    world.step()
    set_pods(world, "v1", actual=10, ready=9, available=9)
    wait = first(world)
    assert wait.reason is WaitReason.ABORTED
    assert wait.message.endswith(f"; on the way back ReplicaSet {STABLE} has 9 of 10 pods available")


@pytest.mark.parametrize(
    "where",
    ["current_step_analysis_run_status", "current_background_analysis_run_status"],
)
def test_an_inconclusive_run_is_named(where: str) -> None:
    world = updating()
    judged = RolloutAnalysisRunStatus(name="cart-1-2", status="Inconclusive")
    inconclusive = paused_for(names.PAUSE_INCONCLUSIVE_ANALYSIS, ago=timedelta(minutes=3))
    canary = replace(world.status.canary, **{where: judged})
    world.change_status(controller_pause=True, pause_conditions=(inconclusive,), canary=canary)
    wait = first(world)
    assert wait.message == "paused because AnalysisRun cart-1-2 came to no clear result"
    assert (wait.object, wait.field) == ("AnalysisRun cart-1-2", "status.phase")
