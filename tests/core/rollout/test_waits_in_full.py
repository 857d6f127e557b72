"""Every reason for waiting to the last word: people read them, and scripts match them."""

from datetime import timedelta
from typing import Any

import pytest
from tests.core.rollout import routing_world
from tests.core.rollout.bluegreen_world import BlueGreenWorld
from tests.core.rollout.builders import NAME, NOW, World, pause, paused_for, replace, weight
from tests.core.rollout.test_waits import NEW, STABLE, set_pods, updating

from prograde.api import names
from prograde.api.meta import Condition
from prograde.api.rollout import RolloutAnalysisRunStatus
from prograde.core.plan import Wait, WaitReason


def of(world: World, reason: WaitReason) -> Wait:
    (wait,) = (each for each in world.plan().waits if each.reason is reason)
    return wait


def progressed(world: World) -> Any:
    condition = world.condition("Progressing")
    assert condition is not None
    return condition.last_update_time


def test_pods_that_do_not_exist() -> None:
    world = updating()
    assert of(world, WaitReason.PODS_NOT_CREATED) == Wait(
        reason=WaitReason.PODS_NOT_CREATED,
        message=f"ReplicaSet {NEW} has 0 of 2 pods",
        object=f"ReplicaSet {NEW}",
        field="status.replicas",
        since=progressed(world),
    )


@pytest.mark.parametrize(("available", "count"), [(1, "1 of 2 pods"), (0, "0 of 2 pods")])
def test_pods_that_are_not_available(available: int, count: str) -> None:
    world = updating()
    set_pods(world, "v2", actual=2, ready=available, available=available)
    world.step()
    assert of(world, WaitReason.PODS_NOT_AVAILABLE) == Wait(
        reason=WaitReason.PODS_NOT_AVAILABLE,
        message=f"ReplicaSet {NEW} has {count} available",
        object=f"ReplicaSet {NEW}",
        field="status.availableReplicas",
        since=progressed(world),
        remedy=f"look at the pods: kubectl describe replicaset {NEW}",
    )


def test_one_ready_pod_that_has_to_stay_so() -> None:
    world = updating(min_ready_seconds=30)
    set_pods(world, "v2", actual=2, ready=1, available=0)
    assert of(world, WaitReason.PODS_NOT_AVAILABLE) == Wait(
        reason=WaitReason.PODS_NOT_AVAILABLE,
        message=f"ReplicaSet {NEW} has 0 of 2 pods available; 1 ready, to stay so for 30 s (minReadySeconds)",
        object=f"ReplicaSet {NEW}",
        field="status.availableReplicas",
        since=progressed(world),
    )


def test_pods_that_are_ready_and_about_to_be_counted() -> None:
    world = updating()
    set_pods(world, "v2", actual=2, ready=2, available=0)
    wait = of(world, WaitReason.PODS_NOT_AVAILABLE)
    assert (wait.message, wait.remedy, wait.until) == (f"ReplicaSet {NEW} has 0 of 2 pods available", "", None)


def test_pods_that_are_too_many() -> None:
    world = updating()
    set_pods(world, "v2", actual=2, ready=2, available=2)
    set_pods(world, "v1", actual=10, ready=10, available=10)
    assert of(world, WaitReason.PODS_TERMINATING) == Wait(
        reason=WaitReason.PODS_TERMINATING,
        message=f"ReplicaSet {STABLE} has 10 pods and is to have 8",
        object=f"ReplicaSet {STABLE}",
        field="status.replicas",
        since=progressed(world),
    )


@pytest.mark.parametrize(("count", "words"), [(1, "1 pod"), (2, "2 pods")])
def test_superseded_pods_that_must_go(count: int, words: str) -> None:
    world = updating()
    world.run_to_phase("Paused")
    world.set_image("v3")
    world.step()
    world.step()
    set_pods(world, "v2", actual=count, ready=0, available=0)
    found = [each for each in world.plan().waits if "superseded" in each.message]
    assert found == [
        Wait(
            reason=WaitReason.PODS_TERMINATING,
            message=f"{words} of the superseded ReplicaSet {NEW} must go",
            object=f"ReplicaSet {NEW}",
            field="status.replicas",
            since=progressed(world),
        )
    ]
    set_pods(world, "v2", actual=0, ready=0, available=0)
    assert not [each for each in world.plan().waits if "superseded" in each.message]


def test_superseded_pods_that_are_kept_for_a_while_need_not_go_yet() -> None:
    world = updating()
    world.run_to_phase("Paused")
    world.set_image("v3")
    world.step()
    world.step()
    each = world.of_image("v2")
    annotations = {**each.metadata.annotations, names.SCALE_DOWN_DEADLINE_ANNOTATION: "2099-01-01T00:00:00Z"}
    world.replica_sets[each.metadata.name] = replace(each, metadata=replace(each.metadata, annotations=annotations))
    assert not [wait for wait in world.plan().waits if "superseded" in wait.message]


def test_pods_that_are_refused() -> None:
    world = updating()
    since = NOW - timedelta(minutes=2)
    refused = Condition(
        type="ReplicaFailure", status="True", reason="FailedCreate", message="no quota", last_transition_time=since
    )
    set_pods(world, "v2", actual=0, ready=0, available=0, conditions=(refused,))
    wait = of(world, WaitReason.REPLICA_FAILURE)
    assert wait == Wait(
        reason=WaitReason.REPLICA_FAILURE,
        message="pods cannot be created: no quota",
        object=f"Rollout {NAME}",
        field="status.conditions[ReplicaFailure]",
        since=wait.since,
        remedy="make room, or let the pods in: quotas and admission policies are the usual causes",
    )
    assert wait.since is not None


def test_an_abort() -> None:
    world = updating()
    world.run_to_phase("Paused")
    world.change_status(abort=True, aborted_at=NOW)
    world.run()
    assert of(world, WaitReason.ABORTED) == Wait(
        reason=WaitReason.ABORTED,
        message="Rollout aborted update to revision 2",
        object=f"Rollout {NAME}",
        field="status.abort",
        since=NOW,
        remedy=f"to try again: prograde retry rollout {NAME}; or change the template",
    )


def test_a_deadline_that_has_passed() -> None:
    world = updating(progress_deadline_seconds=60)
    world.broken_images.add("v2")
    world.run()
    world.tick(62)
    world.step()
    condition = world.condition("Progressing")
    assert condition is not None
    assert of(world, WaitReason.PROGRESS_DEADLINE) == Wait(
        reason=WaitReason.PROGRESS_DEADLINE,
        message=f'ReplicaSet "{NEW}" has timed out progressing. ReplicaSet {NEW} has 0 of 2 pods available.',
        object=f"Rollout {NAME}",
        field="spec.progressDeadlineSeconds",
        since=condition.last_transition_time,
        remedy=f"goes on when pods become available; to go back: prograde undo {NAME}",
    )


def test_a_deadline_that_is_near() -> None:
    world = updating(progress_deadline_seconds=100)
    world.broken_images.add("v2")
    world.run()
    since = progressed(world)
    world.now = since + timedelta(seconds=80)
    assert of(world, WaitReason.DEADLINE_NEAR) == Wait(
        reason=WaitReason.DEADLINE_NEAR,
        message="the Rollout is Degraded unless something progresses within 100 s of the last progress",
        object=f"Rollout {NAME}",
        field="spec.progressDeadlineSeconds",
        since=since,
        until=since + timedelta(seconds=100),
        remedy="clear the first reason, or raise spec.progressDeadlineSeconds",
    )


def test_a_pause_of_the_user() -> None:
    world = updating()
    world.change_spec(paused=True)
    world.run_to_phase("Paused")
    paused = world.condition("Paused")
    assert paused is not None
    assert of(world, WaitReason.USER_PAUSE) == Wait(
        reason=WaitReason.USER_PAUSE,
        message="paused by a user; nothing moves until that is taken back",
        object=f"Rollout {NAME}",
        field="spec.paused",
        since=paused.last_transition_time,
        remedy=f"to go on: prograde promote {NAME}",
    )


@pytest.mark.parametrize(
    ("reason", "where", "found", "about"),
    [
        (names.PAUSE_INCONCLUSIVE_ANALYSIS, "current_step_analysis_run_status", "run-1", "AnalysisRun run-1"),
        (names.PAUSE_INCONCLUSIVE_ANALYSIS, "current_background_analysis_run_status", "run-1", "AnalysisRun run-1"),
        (names.PAUSE_INCONCLUSIVE_EXPERIMENT, "current_experiment", "exp-1", "Experiment exp-1"),
        (names.PAUSE_INCONCLUSIVE_ANALYSIS, "", "", ""),
    ],
)
def test_a_judgement_that_is_none(reason: str, where: str, found: str, about: str) -> None:
    world = updating()
    value: Any = found if where == "current_experiment" else RolloutAnalysisRunStatus(name=found, status="Inconclusive")
    status = replace(world.status.canary, **({where: value} if where else {}))
    world.change_status(
        controller_pause=True, canary=status, pause_conditions=(paused_for(reason, ago=timedelta(minutes=3)),)
    )
    assert of(world, WaitReason.INCONCLUSIVE) == Wait(
        reason=WaitReason.INCONCLUSIVE,
        message=f"paused because {about or 'an analysis'} came to no clear result",
        object=about or f"Rollout {NAME}",
        field="status.phase" if about else "status.pauseConditions",
        since=NOW - timedelta(minutes=3),
        remedy=f"to go on: prograde promote {NAME}; to go back: prograde abort {NAME}",
    )


def test_a_run_that_is_still_measuring_is_not_the_one_without_result() -> None:
    world = updating()
    running = RolloutAnalysisRunStatus(name="run-1", status="Running")
    inconclusive = RolloutAnalysisRunStatus(name="run-2", status="Inconclusive")
    status = replace(
        world.status.canary,
        current_step_analysis_run_status=running,
        current_background_analysis_run_status=inconclusive,
    )
    paused = paused_for(names.PAUSE_INCONCLUSIVE_ANALYSIS, ago=timedelta(minutes=3))
    world.change_status(controller_pause=True, canary=status, pause_conditions=(paused,))
    assert of(world, WaitReason.INCONCLUSIVE).object == "AnalysisRun run-2"


def test_between_two_steps() -> None:
    world = updating()
    world.settle_pods()
    plan = world.step()
    assert plan.waits == (
        Wait(
            reason=WaitReason.OBSERVATION,
            message="step 2/2 is next: pause",
            object=f"Rollout {NAME}",
            field="status",
            since=plan.waits[0].since,
        ),
    )
    assert plan.waits[0].since is not None


def test_every_reason_has_its_place_in_the_order() -> None:
    assert [reason.value for reason in WaitReason][:4] == ["InvalidSpec", "NotSupported", "Workload", "WriteFailed"]
    assert list(WaitReason)[-1] is WaitReason.OBSERVATION


def test_a_pause_of_the_user_dates_from_its_own_condition() -> None:
    world = updating()
    world.change_spec(paused=True)
    world.run_to_phase("Paused")
    since = NOW - timedelta(hours=2)
    others = [each for each in world.status.conditions if each.type != "Paused"]
    paused = Condition(type="Paused", status="True", reason="RolloutPaused", last_transition_time=since)
    world.change_status(conditions=(*others, replace(paused, last_update_time=since)))
    assert of(world, WaitReason.USER_PAUSE).since == since


def test_an_abort_of_which_no_condition_tells() -> None:
    world = updating()
    world.run_to_phase("Paused")
    world.change_status(abort=True, conditions=())
    message = of(world, WaitReason.ABORTED).message
    assert message.startswith(("the update was aborted", "Rollout aborted update to revision 2"))


def test_a_healthy_rollout_waits_for_no_more_than_what_outlasts_its_update() -> None:
    world = BlueGreenWorld.deployed(scale_down_delay_seconds=300)
    world.set_image("v2")
    world.settle()
    plan = world.plan()
    assert (plan.status or world.status).phase == "Healthy"
    (wait,) = plan.waits
    name = world.of_image("v1").metadata.name
    assert wait.until is not None
    assert wait == Wait(
        reason=WaitReason.SCALE_DOWN_DELAY,
        message=f"ReplicaSet {name} keeps its 1 pod until its scale-down deadline: "
        "its traffic has gone to a newer revision",
        object=f"ReplicaSet {name}",
        field="metadata.annotations[scale-down-deadline]",
        since=wait.until - timedelta(seconds=300),
        until=wait.until,
    )


def test_a_pass_that_fails_dates_its_reason_from_what_the_cluster_holds() -> None:
    world = routing_world.updating(routing_world.routed(weight(20), pause(), weight(50), pause()))
    since = progressed(world)
    world.tick(300)
    del world.objects[world.ref()]
    wait = of(world, WaitReason.TRAFFIC_NOT_ROUTED)
    assert wait.since == since


def test_a_pass_that_fails_each_time_anew_does_not_know_since_when() -> None:
    # Somebody resumes, and the condition that says so is made in every pass and written in none.
    world = routing_world.updating(routing_world.routed(weight(20), pause(), weight(50), pause()))
    del world.objects[world.ref()]
    world.change_status(pause_conditions=())
    world.tick(300)
    assert of(world, WaitReason.TRAFFIC_NOT_ROUTED).since is None
