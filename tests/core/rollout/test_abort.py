"""Taking an update back, trying it again, and giving up by itself when the deadline passes."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import (
    NAME,
    NOW,
    World,
    hash_for,
    pause,
    progressing,
    replace,
    replica_set,
    rollout,
    service,
    weight,
)

from prograde.api import names
from prograde.api.analysis import AnalysisTemplateRef
from prograde.api.rollout import CanaryStep, CanaryStrategy, ExperimentStep, RolloutAnalysis, RolloutStatus
from prograde.core.plan import WaitReason
from prograde.core.rollout.conditions import blocks_progress_deadline, is_timed_out
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.snapshot import RolloutSnapshot

STEPS = CanaryStrategy(steps=(weight(10), pause()), max_surge=1, max_unavailable=0)


def paused(canary: CanaryStrategy = STEPS, **options: object) -> World:
    world = World(rollout(canary=canary, replicas=10, **options))  # type: ignore[arg-type]
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    world.events.clear()
    return world


def stuck(**options: object) -> World:
    """Return a world whose second revision never gets an available pod."""
    world = World(rollout(canary=STEPS, replicas=10, **options))  # type: ignore[arg-type]
    world.run_to_phase("Healthy")
    world.broken_images.add("v2")
    world.set_image("v2")
    world.run_to_phase("Progressing")
    world.events.clear()
    return world


# ---- Abort ------------------------------------------------------------------------------------------------------


def test_an_abort_goes_back_by_surge_and_drops_step_and_pause() -> None:
    world = paused()
    assert world.shape() == "9/1"
    world.change_status(abort=True)
    plan = world.step()
    assert world.shape() == "10/1"
    assert world.status.current_step_index == 0
    assert world.status.abort
    assert world.status.aborted_at == world.now
    assert (world.status.pause_conditions, world.status.controller_pause) == ((), False)
    assert (world.status.phase, world.status.message) == (
        "Degraded",
        "RolloutAborted: Rollout aborted update to revision 2",
    )
    assert [(each.type, each.reason, each.message) for each in plan.events] == [
        ("Warning", "RolloutAborted", "Rollout aborted update to revision 2")
    ]
    world.run_to_phase("Degraded")
    assert world.shape() == "10/0"
    assert world.status.stable_rs == hash_for("v1")


def test_an_aborted_rollout_at_rest_is_not_written_again_and_says_how_to_go_on() -> None:
    world = paused()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    aborted_at = world.status.aborted_at
    world.tick(60)
    plan = world.plan()
    assert plan.writes_nothing
    wait = plan.waits[0]
    assert (wait.reason, wait.since) == (WaitReason.ABORTED, aborted_at)
    assert "prograde retry rollout cart" in wait.remedy
    assert world.status.aborted_at == aborted_at


def test_an_abort_of_one_pod_never_leaves_the_service_without_pods() -> None:
    world = World(rollout(canary=CanaryStrategy(steps=(weight(100), pause())), replicas=4))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert world.shape() == "0/4"
    world.change_status(abort=True)
    shapes = world.run()
    assert shapes[0] == "1/4"
    assert world.shape() == "4/0"


def test_an_abort_points_the_canary_service_at_the_stable_pods() -> None:
    canary = CanaryStrategy(steps=(weight(10), pause()), canary_service="canary", stable_service="stable")
    world = World(rollout(canary=canary, replicas=10), services=[service("canary"), service("stable")])
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert (world.selected("canary"), world.selected("stable")) == (hash_for("v2"), hash_for("v1"))
    world.change_status(abort=True)
    world.step()
    assert (world.selected("canary"), world.selected("stable")) == (hash_for("v1"), hash_for("v1"))


def test_an_abort_with_nothing_to_go_back_to_is_dropped() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    world.change_status(abort=True)
    world.run_to_phase("Healthy")
    assert not world.status.abort
    assert world.status.aborted_at is None
    assert world.status.current_step_index == 2
    assert "RolloutAborted" not in world.event_reasons()


def test_an_abort_of_the_very_first_deployment_has_no_effect() -> None:
    world = World(rollout(canary=STEPS))
    world.step()
    world.step()
    world.change_status(abort=True)
    world.run_to_phase("Healthy")
    assert not world.status.abort


def test_a_new_template_takes_the_abort_back() -> None:
    world = paused()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.set_image("v3")
    world.run_to_phase("Paused")
    assert not world.status.abort
    assert world.status.aborted_at is None


def test_going_back_to_the_stable_template_takes_the_abort_back() -> None:
    world = paused()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.set_image("v1")
    world.run_to_phase("Healthy")
    assert not world.status.abort


def test_an_abort_removes_the_pause_without_an_event_of_resuming() -> None:
    world = paused()
    world.change_status(abort=True)
    world.run()
    assert "RolloutResumed" not in world.event_reasons()


# ---- Retry ------------------------------------------------------------------------------------------------------


def test_a_retry_begins_at_the_first_step() -> None:
    world = paused()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.change_status(abort=False)
    world.step()
    assert world.reason() == "RolloutRetry"
    assert world.status.phase == "Progressing"
    assert world.status.aborted_at is None
    assert world.status.current_step_index == 0
    world.run_to_phase("Paused")
    assert world.shape() == "9/1"
    assert world.status.current_step_index == 1


def test_a_retry_is_announced_by_no_event() -> None:
    world = paused()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.events.clear()
    world.change_status(abort=False)
    world.run()
    assert world.event_reasons() == [
        "ScalingReplicaSet",
        "ScalingReplicaSet",
        "RolloutStepCompleted",
        "RolloutPaused",
    ]


def test_a_retry_puts_the_paused_condition_of_the_abort_right() -> None:
    world = paused()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    left_over = world.condition("Paused")
    assert left_over is not None
    assert left_over.status == "True", "kept while the abort lasts"
    world.change_status(abort=False)
    world.step()
    condition = world.condition("Paused")
    assert condition is not None
    assert condition.status == "False"


# ---- The progress deadline --------------------------------------------------------------------------------------


def test_a_rollout_without_progress_is_degraded_after_its_deadline_and_goes_on_when_pods_come() -> None:
    world = stuck()
    began = world.condition("Progressing")
    assert began is not None
    assert began.last_update_time is not None
    world.tick(599)
    plan = world.plan()
    assert plan.writes_nothing
    assert plan.requeue_at == began.last_update_time + timedelta(seconds=601)
    world.now = plan.requeue_at
    plan = world.step()
    message = f'ReplicaSet "{NAME}-{hash_for("v2")}" has timed out progressing.'
    condition = world.condition("Progressing")
    assert condition is not None
    assert (condition.status, condition.reason, condition.message) == ("False", "ProgressDeadlineExceeded", message)
    assert world.status.message == f"ProgressDeadlineExceeded: {message}"
    assert not world.status.abort
    assert WaitReason.PROGRESS_DEADLINE in [each.reason for each in plan.waits]
    assert world.plan().requeue_at is None
    world.broken_images.clear()
    world.settle_pods()
    world.run_to_phase("Paused")


def test_an_overdue_rollout_is_never_looked_at_again_sooner_than_in_a_second() -> None:
    world = stuck()
    condition = world.condition("Progressing")
    assert condition is not None
    assert condition.last_update_time is not None
    world.now = condition.last_update_time + timedelta(seconds=600)
    plan = world.plan()
    assert plan.writes_nothing
    assert plan.requeue_at is not None
    assert plan.requeue_at - world.now >= timedelta(seconds=1)


def test_with_progress_deadline_abort_the_update_is_aborted_with_the_reason() -> None:
    world = stuck(progress_deadline_abort=True)
    world.tick(700)
    plan = world.step()
    timed_out = f'ReplicaSet "{NAME}-{hash_for("v2")}" has timed out progressing.'
    assert world.status.abort
    assert [(each.type, each.reason, each.message) for each in plan.events] == [
        ("Warning", "RolloutAborted", timed_out),
        ("Warning", "RolloutAborted", f"Rollout aborted update to revision 2: {timed_out}"),
    ]
    assert world.status.message == f"RolloutAborted: Rollout aborted update to revision 2: {timed_out}"
    world.run_to_phase("Degraded")
    assert world.shape() == "10/0"


def test_switching_the_deadline_abort_on_aborts_what_has_timed_out_before() -> None:
    world = stuck()
    world.tick(700)
    world.run_to_phase("Degraded")
    assert not world.status.abort
    world.change_spec(progress_deadline_abort=True)
    world.run_to_phase("Degraded")
    assert world.status.abort


def test_a_first_deployment_never_aborts_but_is_degraded() -> None:
    world = World(rollout(canary=STEPS, progress_deadline_abort=True))
    world.broken_images.add("v1")
    world.run()
    world.tick(700)
    world.run_to_phase("Degraded")
    assert not world.status.abort
    assert world.reason() == "ProgressDeadlineExceeded"


def test_a_promoted_rollout_that_loses_pods_is_neither_aborted_nor_timed_out() -> None:
    world = World(rollout(canary=STEPS, progress_deadline_abort=True))
    world.run_to_phase("Healthy")
    world.tick(7000)
    world.broken_images.add("v1")
    world.settle_pods()
    world.run_to_phase("Progressing")
    condition = world.condition("Progressing")
    assert condition is not None
    assert (condition.status, condition.reason, condition.message) == (
        "True",
        "ReplicaSetNotAvailable",
        "Rollout does not have minimum availability",
    )


@pytest.mark.parametrize("deadline", [60, None])
def test_a_paused_canary_never_times_out(deadline: int | None) -> None:
    world = paused(progress_deadline_seconds=deadline)
    world.tick(10_000)
    plan = world.plan()
    assert plan.writes_nothing
    assert plan.requeue_at is None


def test_a_second_broken_revision_is_degraded_like_the_first() -> None:
    world = stuck()
    world.tick(700)
    world.run_to_phase("Degraded")
    world.broken_images.add("v3")
    world.set_image("v3")
    world.run_to_phase("Progressing")
    world.tick(700)
    world.run_to_phase("Degraded")
    condition = world.condition("Progressing")
    assert condition is not None
    assert hash_for("v3") in condition.message


def test_a_bad_stable_revision_does_not_keep_its_fix_from_rolling() -> None:
    world = World(rollout(canary=STEPS, replicas=4))
    world.broken_images.add("v1")
    world.run()
    world.set_image("v2")
    world.run_to_phase("Paused")
    world.change_status(pause_conditions=())
    world.run_to_phase("Healthy")
    assert world.shape() == "0/4"


def test_another_replica_set_in_its_scale_down_delay_suspends_the_deadline() -> None:
    """And its timer too: Argo Rollouts looks again at once, hundreds of times a second."""
    world = stuck()
    old = World(rollout(image="v0"))
    old.run()
    waiting = old.of_image("v0")
    deadline = {**waiting.metadata.annotations, names.SCALE_DOWN_DEADLINE_ANNOTATION: "2026-01-02T04:00:00Z"}
    spec = replace(waiting.spec, replicas=0)
    status = replace(waiting.status, replicas=0, ready_replicas=0, available_replicas=0)
    metadata = replace(waiting.metadata, annotations=deadline)
    world.replica_sets[metadata.name] = replace(waiting, metadata=metadata, spec=spec, status=status)
    world.tick(700)
    plan = world.plan()
    assert plan.status is None or plan.status.phase == "Progressing"
    assert plan.requeue_at is None


@pytest.mark.parametrize(
    ("step", "is_timed"),
    [
        (weight(10), True),
        (pause(), False),
        (pause("1h"), False),
        (CanaryStep(analysis=RolloutAnalysis(templates=(AnalysisTemplateRef(template_name="t"),))), False),
        (CanaryStep(experiment=ExperimentStep()), False),
    ],
    ids=["weight", "pause", "timed pause", "analysis", "experiment"],
)
@pytest.mark.parametrize("aborts", [False, True])
def test_only_a_step_that_ought_to_be_over_has_a_deadline(step: CanaryStep, is_timed: bool, aborts: bool) -> None:
    subject = rollout(canary=CanaryStrategy(steps=(step,)), replicas=2, image="v2", progress_deadline_abort=aborts)
    status = RolloutStatus(
        current_pod_hash=hash_for("v2"),
        current_step_hash="x",
        current_step_index=0,
        stable_rs=hash_for("v1"),
        conditions=(progressing("ReplicaSetUpdated", ago=timedelta(seconds=700)),),
    )
    context = RolloutContext(
        snapshot=RolloutSnapshot(rollout=subject),
        now=NOW,
        rollout=replace(subject, status=status),
        computed_hash=hash_for("v2"),
        step_hash="x",
        replica_sets=(),
        new=None,
        stable=None,
    )
    assert is_timed_out(context, status.conditions)
    assert bool(blocks_progress_deadline(context, Draft(context))) is not is_timed


@pytest.mark.parametrize(
    ("deadline", "is_leaving", "is_timed"),
    [
        pytest.param("2026-01-02T04:00:00Z", False, False, id="keeps its pods until its deadline"),
        pytest.param("2026-01-02T03:00:00Z", True, False, id="loses them now"),
        pytest.param("2026-01-02T03:00:00Z", False, True, id="keeps them although its time is up"),
        pytest.param("garbage", False, True, id="keeps them with a deadline that nobody can read"),
    ],
)
def test_only_a_replica_set_that_waits_for_its_deadline_stops_the_clock(
    deadline: str, is_leaving: bool, is_timed: bool
) -> None:
    """One that is kept because a Service still leads to it would otherwise keep an update from ever being late."""
    marks = {names.SCALE_DOWN_DEADLINE_ANNOTATION: deadline}
    sets = (replica_set("v0", size=2, annotations=marks), replica_set("v1", size=2), replica_set("v2", size=2))
    subject = rollout(canary=CanaryStrategy(), replicas=2, image="v2")
    context = RolloutContext(
        snapshot=RolloutSnapshot(rollout=subject),
        now=NOW,
        rollout=subject,
        computed_hash=hash_for("v2"),
        step_hash="",
        replica_sets=sets,
        new=sets[2],
        stable=sets[1],
    )
    draft = Draft(context)
    if is_leaving:
        draft.scale(sets[0], 0)
    assert bool(blocks_progress_deadline(context, draft)) is not is_timed
