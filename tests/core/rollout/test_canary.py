"""Canaries from beginning to end and decision by decision, without a traffic router."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import (
    NAME,
    NOW,
    World,
    hash_for,
    pause,
    paused_for,
    pod,
    progressing,
    replace,
    replica_set,
    rollout,
    service,
    weight,
)

from prograde.api import names
from prograde.api.rollout import (
    CanaryStrategy,
    PingPong,
    ReplicaProgressThreshold,
    RollbackWindow,
    RolloutStatus,
)
from prograde.core.plan import EvictPod, PatchReplicaSet, WaitReason

TWENTY_THEN_PAUSE = CanaryStrategy(steps=(weight(20), pause()))


def promoted(canary: CanaryStrategy = TWENTY_THEN_PAUSE, replicas: int = 10, **options: object) -> World:
    """Return a world in which revision 1 is promoted and idle, with its history of events forgotten."""
    world = World(rollout(canary=canary, replicas=replicas, **options))  # type: ignore[arg-type]
    world.run_to_phase("Healthy")
    world.events.clear()
    world.writes.clear()
    world.status_writes = 0
    return world


def paused(canary: CanaryStrategy = TWENTY_THEN_PAUSE, replicas: int = 10, **options: object) -> World:
    """Return a world in which revision 2 waits at its first pause."""
    world = promoted(canary, replicas, **options)
    world.set_image("v2")
    world.run_to_phase("Paused")
    return world


def resume(world: World) -> None:
    world.change_status(pause_conditions=())


# ---- Whole canaries, plan by plan -------------------------------------------------------------------------------


def test_a_first_deployment_takes_three_plans_and_is_stable_before_a_pod_is_ready() -> None:
    world = World(rollout(canary=TWENTY_THEN_PAUSE, replicas=3))
    world.step()
    assert (world.shape(), world.reason(), world.status.current_pod_hash) == ("0", "NewReplicaSetCreated", "")
    world.step()
    assert (world.shape(), world.status.current_step_index) == ("0", 0)
    assert world.status.current_pod_hash == hash_for("v1")
    assert world.reason("Completed") == "RolloutCompleted"
    world.step()
    assert (world.shape(), world.status.current_step_index) == ("3", 2)
    assert world.status.stable_rs == hash_for("v1")
    assert world.status.available_replicas == 0
    completed = world.condition("Completed")
    assert completed is not None
    assert completed.status == "True"
    world.settle_pods()
    world.step()
    assert world.status.phase == "Healthy"
    assert world.reason() == "NewReplicaSetAvailable"
    assert world.status.duration is not None
    assert world.status.duration.completion_status == "Promoted"
    assert world.status.duration.finished_at == world.now
    assert world.plan().writes_nothing


def test_an_update_goes_step_by_step_and_scales_one_group_at_a_time() -> None:
    world = promoted()
    world.set_image("v2")
    assert world.run() == ["10/0", "8/0", "8/2"]
    assert (world.status.phase, world.status.message) == ("Paused", "CanaryPauseStep")
    assert (world.reason(), world.reason("Paused")) == ("RolloutPaused", "RolloutPaused")
    resume(world)
    world.step()
    assert world.status.current_step_index == 2
    assert not world.status.controller_pause
    paused_condition = world.condition("Paused")
    assert paused_condition is not None
    assert paused_condition.status == "False"
    assert world.run() == ["6/2", "6/7", "1/7", "1/10", "0/10"]
    assert world.status.phase == "Healthy"
    assert world.status.stable_rs == hash_for("v2")


def test_events_come_in_the_order_that_tools_know() -> None:
    """One pod, a weight and a short pause; aborted at the pause, then retried to the end."""
    world = World(rollout(canary=CanaryStrategy(steps=(weight(50), pause("3s"))), replicas=1))
    world.run()
    assert world.event_reasons() == [
        "RolloutUpdated",
        "NewReplicaSetCreated",
        "RolloutNotCompleted",
        "ScalingReplicaSet",
        "RolloutCompleted",
    ]
    world.events.clear()
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert world.event_reasons() == [
        "RolloutUpdated",
        "NewReplicaSetCreated",
        "RolloutNotCompleted",
        "ScalingReplicaSet",
        "RolloutStepCompleted",
        "RolloutPaused",
    ]
    world.events.clear()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    assert world.event_reasons() == ["ScalingReplicaSet", "RolloutAborted"]
    world.events.clear()
    world.change_status(abort=False)
    world.run_to_phase("Paused")
    world.tick(4)
    world.run_to_phase("Healthy")
    assert [each.message for each in world.events] == [
        f"Scaled up ReplicaSet {NAME}-{hash_for('v2')} (revision 2) from 0 to 1",
        "Rollout step 1/2 completed (setWeight: 50)",
        "Rollout is paused (CanaryPauseStep)",
        "Rollout step 2/2 completed (pause: 3s)",
        "Rollout is resumed",
        f"Scaled down ReplicaSet {NAME}-{hash_for('v1')} (revision 1) from 1 to 0",
        f"Rollout completed update to revision 2 ({hash_for('v2')}): Completed all 2 canary steps",
    ]


@pytest.mark.parametrize(
    ("replicas", "options", "shapes"),
    [
        pytest.param(10, {"max_surge": 3, "max_unavailable": 2}, ["10/0", "8/0", "8/5", "3/5", "3/10", "0/10"]),
        pytest.param(4, {}, ["4/0", "3/0", "3/2", "1/2", "1/4", "0/4"], id="defaults"),
        pytest.param(1, {}, ["1/0", "1/1", "0/1"], id="one pod never goes missing"),
        pytest.param(2, {"max_surge": 0, "max_unavailable": 1}, ["2/0", "1/0", "1/1", "0/1", "0/2"], id="no surge"),
        pytest.param(0, {}, ["0/0"], id="no pods at all"),
    ],
)
def test_without_steps_an_update_is_a_rolling_one(replicas: int, options: dict[str, int], shapes: list[str]) -> None:
    world = promoted(CanaryStrategy(**options), replicas)  # type: ignore[arg-type]
    world.set_image("v2")
    assert world.run() == shapes
    assert world.status.phase == "Healthy"
    assert world.status.current_step_index is None


def test_a_broken_revision_waits_with_its_surge_and_is_never_promoted() -> None:
    world = promoted(CanaryStrategy(max_surge="100%"), 4)
    world.broken_images.add("v2")
    world.set_image("v2")
    world.run()
    assert world.shape() == "3/4"
    assert world.status.stable_rs == hash_for("v1")
    world.change_spec(replicas=8)
    world.run()
    assert world.shape() == "3/8"
    world.change_spec(replicas=4)
    world.run()
    assert world.shape() == "3/4"


def test_a_status_write_is_needed_at_most_three_times_per_step() -> None:
    steps = (weight(20), pause(1), weight(40), pause(1), weight(60), pause(1))
    world = promoted(CanaryStrategy(steps=steps), 5)
    world.set_image("v2")
    for _ in range(4):
        world.run()
        world.tick(2)
    assert world.status.phase == "Healthy"
    # Creation and reset come before the first step, the last of the old pods after the last one.
    assert world.status_writes <= 3 * len(steps) + 4


# ---- What a plan does at a time ---------------------------------------------------------------------------------


def test_only_the_stable_replica_set_moves_when_both_must() -> None:
    world = promoted(CanaryStrategy(max_surge=2, max_unavailable=1, steps=(weight(50),)))
    world.set_image("v2")
    world.step()
    world.step()
    (action,) = world.step().actions
    assert isinstance(action, PatchReplicaSet)
    assert (action.name, action.replicas) == (f"{NAME}-{hash_for('v1')}", 9)


def test_others_go_newest_first_and_never_below_what_must_stay_available() -> None:
    """Two superseded revisions of 5 pods each while the new one, of 4, has none ready: only 6 of the 10 may go."""
    status = RolloutStatus(stable_rs=hash_for("v3"), current_pod_hash=hash_for("v3"), current_step_hash="5ffbfbbd64")
    world = World(
        rollout(canary=CanaryStrategy(max_surge=1, max_unavailable=0), image="v3", replicas=4, status=status),
        replica_set("v1", size=5, revision=1, age=timedelta(minutes=3)),
        replica_set("v2", size=5, revision=2, age=timedelta(minutes=2)),
        replica_set("v3", size=5, available=0, revision=3, desired=4, age=timedelta(minutes=1)),
    )
    world.step()
    assert world.shape() == "4/0/5"


def test_unavailable_pods_of_superseded_revisions_go_first() -> None:
    status = RolloutStatus(stable_rs=hash_for("v2"), current_pod_hash=hash_for("v2"), current_step_hash="5ffbfbbd64")
    world = World(
        rollout(canary=CanaryStrategy(max_unavailable=0), image="v2", replicas=10, status=status),
        replica_set("v1", size=10, available=8, age=timedelta(minutes=3)),
        replica_set("v2", size=10, available=0, revision=2, desired=10, age=timedelta(minutes=2)),
    )
    world.step()
    assert world.shape() == "8/10"


def test_a_plan_that_scales_still_concludes() -> None:
    """A first deployment is promoted in the very plan that gives it its pods."""
    world = World(rollout(canary=TWENTY_THEN_PAUSE))
    world.step()
    world.step()
    plan = world.step()
    assert [each.reason for each in plan.all_events] == ["ScalingReplicaSet", "RolloutCompleted"]


# ---- Pauses -----------------------------------------------------------------------------------------------------


def test_entering_a_pause_says_so_in_status_conditions_event_and_wait() -> None:
    world = promoted(CanaryStrategy(steps=(pause(),)))
    world.set_image("v2")
    world.step()
    world.step()
    plan = world.step()
    assert world.status.pause_conditions == (replace(paused_for("CanaryPauseStep"), start_time=world.now),)
    assert world.status.controller_pause
    assert world.status.phase == "Paused"
    assert [each.message for each in plan.events] == ["Rollout is paused (CanaryPauseStep)"]
    wait = plan.waits[0]
    assert wait.reason is WaitReason.PAUSE_STEP
    assert wait.since == world.now
    assert wait.until is None
    assert "prograde promote cart" in wait.remedy
    assert world.plan().writes_nothing


def test_a_resume_completes_the_step_in_one_plan_and_is_used_up() -> None:
    world = paused()
    resume(world)
    plan = world.step()
    assert world.status.current_step_index == 2
    assert not world.status.controller_pause
    assert [each.reason for each in plan.events] == ["RolloutStepCompleted"]
    assert world.status_writes > 0


def test_a_timed_pause_wakes_up_just_after_its_end() -> None:
    world = paused(CanaryStrategy(steps=(weight(20), pause(10))))
    world.tick(5)
    plan = world.plan()
    assert plan.writes_nothing
    assert plan.waits[0].until == world.now + timedelta(seconds=5)
    assert plan.requeue_at is not None
    assert timedelta(seconds=5) < plan.requeue_at - world.now < timedelta(seconds=6)
    world.now = plan.requeue_at
    world.step()
    assert world.status.current_step_index == 2


def test_at_the_very_end_of_its_time_a_pause_is_not_over_yet() -> None:
    world = paused(CanaryStrategy(steps=(weight(20), pause(10))))
    world.tick(10)
    plan = world.plan()
    assert plan.writes_nothing
    assert plan.requeue_at is not None
    assert plan.requeue_at > world.now


def test_a_pause_longer_than_the_resync_has_a_timer_of_its_own() -> None:
    world = paused(CanaryStrategy(steps=(weight(20), pause("1h"))))
    plan = world.plan()
    assert plan.requeue_at is not None
    assert plan.requeue_at >= world.now + timedelta(hours=1)


def test_consecutive_pauses_have_their_own_clocks() -> None:
    world = paused(CanaryStrategy(steps=(pause(5), pause(5))))
    world.tick(6)
    world.step()
    assert (world.status.current_step_index, world.status.pause_conditions) == (1, ())
    world.step()
    assert world.status.pause_conditions[0].start_time == world.now
    world.tick(3)
    assert world.plan().writes_nothing


def test_another_pause_condition_does_not_count_as_a_resume_of_the_step() -> None:
    """Argo Rollouts takes the missing condition of the step for a resume while another pause is still on."""
    world = promoted(CanaryStrategy(steps=(pause(), weight(50))))
    world.set_image("v2")
    world.step()
    world.step()
    other = paused_for(names.PAUSE_INCONCLUSIVE_EXPERIMENT)
    world.change_status(controller_pause=True, pause_conditions=(other,))
    world.step()
    assert world.status.current_step_index == 0
    assert [each.reason for each in world.status.pause_conditions] == [other.reason, "CanaryPauseStep"]


def test_a_promotion_past_the_pause_by_index_is_taken_as_it_is() -> None:
    world = paused(CanaryStrategy(steps=(weight(20), pause(), weight(40), pause())))
    world.change_status(pause_conditions=(), current_step_index=2)
    world.run_to_phase("Paused")
    assert world.status.current_step_index == 3
    assert world.shape() == "6/4"


# ---- Paused by the user -----------------------------------------------------------------------------------------


def test_a_paused_rollout_creates_the_new_revision_and_moves_nothing() -> None:
    world = promoted()
    world.change_spec(paused=True)
    world.run_to_phase("Paused")
    world.set_image("v2")
    world.run()
    assert world.shape() == "10/0"
    assert world.status.message == "manually paused"
    assert "RolloutPaused" not in world.event_reasons()
    assert world.plan().waits[0].reason is WaitReason.USER_PAUSE


def test_a_rollout_created_as_paused_gets_no_pods_until_it_is_resumed() -> None:
    world = World(rollout(canary=TWENTY_THEN_PAUSE, paused=True))
    world.run()
    assert world.shape() == "0"
    world.change_spec(paused=False)
    world.run_to_phase("Healthy")
    assert world.shape() == "3"


def test_a_pause_that_ran_out_while_the_user_paused_ends_when_the_user_resumes() -> None:
    world = paused(CanaryStrategy(steps=(weight(20), pause(10))))
    world.change_spec(paused=True)
    world.run()
    world.tick(60)
    assert world.plan().status is None
    assert world.status.current_step_index == 1
    world.change_spec(paused=False)
    world.run_to_phase("Healthy")


def test_a_resume_during_a_user_pause_is_not_lost() -> None:
    """The command line clears the conditions first and unpauses then; Argo Rollouts may forget the first half."""
    world = paused()
    world.change_spec(paused=True)
    world.run()
    resume(world)
    world.run()
    assert world.status.controller_pause
    world.change_spec(paused=False)
    world.run_to_phase("Healthy")


@pytest.mark.parametrize(("replicas", "shape"), [(20, "16/4"), (5, "4/1"), (0, "0/0")])
def test_a_user_pause_does_not_keep_an_autoscaler_from_scaling(replicas: int, shape: str) -> None:
    """Argo Rollouts scales nothing here and stays in that state until the pause ends."""
    world = paused()
    world.change_spec(paused=True)
    world.run()
    world.change_spec(replicas=replicas)
    world.run()
    assert world.shape() == shape
    assert world.plan().writes_nothing


# ---- The number of pods changes ---------------------------------------------------------------------------------


def test_scaling_at_a_pause_keeps_the_ratio_and_the_step() -> None:
    world = paused(CanaryStrategy(steps=(weight(25), pause())), 4)
    assert world.shape() == "3/1"
    before = world.status.pause_conditions
    world.change_spec(replicas=8)
    world.run_to_phase("Paused")
    assert world.shape() == "6/2"
    world.change_spec(replicas=4)
    world.run_to_phase("Paused")
    assert world.shape() == "3/1"
    assert (world.status.current_step_index, world.status.pause_conditions) == (1, before)


def test_a_scaling_plan_looks_at_nothing_but_the_size() -> None:
    world = paused()
    world.change_spec(replicas=20)
    resume(world)
    plan = world.step()
    assert [type(each) for each in plan.actions] == [PatchReplicaSet]
    assert world.status.current_step_index == 1
    assert world.status.controller_pause, "the resume must survive a plan that cannot act on it"
    world.run_to_phase("Healthy")
    assert world.shape() == "0/20"


def test_the_generation_counts_as_observed_after_a_scaling_plan() -> None:
    """Kept: clients see the spec as observed although only the number of pods was looked at."""
    world = paused()
    world.change_spec(replicas=20)
    world.step()
    assert world.status.observed_generation == str(world.rollout.metadata.generation)


def test_a_superseded_replica_set_with_a_stale_record_is_no_scaling_event() -> None:
    world = paused()
    old = replica_set("v0", size=1, revision=0, desired=2, age=timedelta(hours=1))
    world.replica_sets[old.metadata.name] = old
    world.step()
    assert world.status.replicas == 11


def test_scaled_to_nothing_is_healthy() -> None:
    world = promoted()
    world.change_spec(replicas=0)
    world.run_to_phase("Healthy")
    assert world.shape() == "0"
    world.set_image("v2")
    world.run_to_phase("Paused")
    resume(world)
    world.run_to_phase("Healthy")


# ---- Steps ------------------------------------------------------------------------------------------------------


def test_a_weight_is_reached_only_when_the_canary_is_available_and_surplus_stable_pods_are_gone() -> None:
    world = promoted(CanaryStrategy(steps=(weight(20), pause())))
    world.set_image("v2")
    for _ in range(3):
        world.step()
        world.settle_pods()
    world.step()
    assert world.shape() == "8/2"
    stable, canary = world.of_image("v1"), world.of_image("v2")
    lagging = replace(stable.status, replicas=9)
    ready = replace(canary.status, replicas=2, ready_replicas=2, available_replicas=2)
    world.replica_sets[canary.metadata.name] = replace(canary, status=ready)
    world.replica_sets[stable.metadata.name] = replace(stable, status=lagging)
    world.step()
    assert world.status.current_step_index == 0
    world.settle_pods()
    world.step()
    assert world.status.current_step_index == 1


def test_a_weight_of_which_superseded_pods_have_a_share_is_not_reached() -> None:
    world = paused()
    world.set_image("v3")
    world.run_to_phase("Paused")
    assert world.shape() == "8/0/2"
    assert world.status.current_step_index == 1


def test_only_one_step_completes_per_plan() -> None:
    world = promoted(CanaryStrategy(steps=(weight(0), weight(0), weight(20), pause())))
    world.set_image("v2")
    world.step()
    world.step()
    for index in (1, 2):
        world.step()
        assert world.status.current_step_index == index


def test_steps_edited_in_the_middle_start_over_with_the_same_revision() -> None:
    world = paused()
    world.change_strategy(steps=(weight(10), pause(), weight(50)))
    world.step()
    assert world.status.current_step_index == 0
    assert world.status.pause_conditions == ()
    world.run_to_phase("Paused")
    assert world.status.current_step_index == 1
    assert world.shape() == "9/1"
    assert len(world.replica_sets) == 2


def test_steps_edited_on_an_idle_rollout_are_skipped_with_the_event_of_a_rollback() -> None:
    """Kept: it is what tools have always seen."""
    world = promoted()
    world.change_strategy(steps=(weight(10), pause(), weight(50)))
    world.run_to_phase("Healthy")
    assert world.status.current_step_index == 3
    assert [(each.reason, each.message) for each in world.events] == [("SkipSteps", "Rollback to stable ReplicaSets")]


def test_an_index_beyond_the_steps_is_brought_back_to_their_number() -> None:
    world = paused()
    world.change_status(current_step_index=7, pause_conditions=(), controller_pause=False)
    world.run_to_phase("Healthy")
    assert world.status.current_step_index == 2


# ---- Another template in the middle -----------------------------------------------------------------------------


def test_a_third_revision_supersedes_the_second_which_goes_first() -> None:
    world = paused()
    world.events.clear()
    world.set_image("v3")
    world.run_to_phase("Paused")
    assert world.shape() == "8/0/2"
    assert [each.reason for each in world.events][:3] == [
        "RolloutUpdated",
        "NewReplicaSetCreated",
        "RolloutResumed",
    ]
    resume(world)
    world.run_to_phase("Healthy")
    assert world.shape() == "0/0/10"
    assert world.status.stable_rs == hash_for("v3")


def test_going_back_to_stable_in_the_middle_skips_the_steps() -> None:
    world = paused()
    world.events.clear()
    world.set_image("v1")
    world.step()
    assert world.status.current_step_index == 2
    assert world.status.pause_conditions == ()
    assert world.revision("v1") == 3
    assert world.of_image("v1").metadata.annotations[names.REVISION_HISTORY_ANNOTATION] == "1"
    assert world.status.duration is not None
    assert world.status.duration.completion_status == "FastRolledBack"
    assert [(each.reason, each.message) for each in world.events] == [
        ("RolloutUpdated", "Rollout updated to revision 3"),
        ("SkipSteps", "Rollback to stable ReplicaSets"),
        ("RolloutResumed", "Rollout is resumed"),
    ]
    world.run_to_phase("Healthy")
    assert world.shape() == "10/0"
    assert world.status.duration.completion_status == "FastRolledBack"


def test_going_back_to_stable_with_other_steps_skips_them_too() -> None:
    world = paused()
    world.change_strategy(steps=(weight(5), pause(), weight(10)))
    world.set_image("v1")
    world.step()
    assert world.status.current_step_index == 3
    world.run_to_phase("Healthy")


def test_an_undo_after_promotion_goes_through_all_steps() -> None:
    world = paused()
    resume(world)
    world.run_to_phase("Healthy")
    world.set_image("v1")
    world.run_to_phase("Paused")
    assert world.shape() == "2/8"
    assert world.revision("v1") == 3


def test_a_rollback_within_the_window_skips_the_steps_even_if_its_pods_are_gone() -> None:
    world = paused(rollback_window=RollbackWindow(revisions=1))
    resume(world)
    world.run_to_phase("Healthy")
    world.events.clear()
    world.set_image("v1")
    world.run_to_phase("Healthy")
    assert world.shape() == "10/0"
    messages = [each.message for each in world.events if each.reason == "RolloutCompleted"]
    assert messages == [f"Rollout completed update to revision 3 ({hash_for('v1')}): Rollback within window"]


def test_a_rollback_within_the_window_to_a_revision_with_pods_skips_the_steps_at_once() -> None:
    steps = (weight(20), pause())
    world = World(
        rollout(
            canary=CanaryStrategy(steps=steps),
            image="v1",
            replicas=10,
            rollback_window=RollbackWindow(revisions=1),
            status=RolloutStatus(
                stable_rs=hash_for("v2"), current_pod_hash=hash_for("v2"), current_step_hash="", current_step_index=2
            ),
        ),
        replica_set("v1", size=1, desired=10, revision=1, age=timedelta(minutes=5)),
        replica_set("v2", size=9, desired=10, revision=2, age=timedelta(minutes=4)),
    )
    plan = world.step()
    assert ("SkipSteps", "Rollback to active ReplicaSets within RollbackWindow") in [
        (each.reason, each.message) for each in plan.events
    ]
    assert world.status.current_step_index == 2


# ---- Promotion --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "available", "is_promoted"),
    [
        (None, 9, False),
        (None, 10, True),
        (ReplicaProgressThreshold(type="Percent", value=90), 9, True),
        (ReplicaProgressThreshold(type="Percent", value=90), 8, False),
        (ReplicaProgressThreshold(type="Pods", value=8), 8, True),
        (ReplicaProgressThreshold(type="Pods", value=-1), 9, False),
    ],
)
def test_the_last_step_is_followed_by_promotion_when_enough_pods_are_available(
    threshold: ReplicaProgressThreshold | None, available: int, is_promoted: bool
) -> None:
    canary = CanaryStrategy(steps=(weight(20), pause()), replica_progress_threshold=threshold)
    world = paused(canary)
    resume(world)
    new = world.of_image("v2")
    status = replace(new.status, replicas=10, ready_replicas=available, available_replicas=available)
    world.step()
    world.replica_sets[new.metadata.name] = replace(new, spec=replace(new.spec, replicas=10), status=status)
    world.step()
    assert (world.status.stable_rs == hash_for("v2")) is is_promoted


def test_more_available_pods_than_wanted_are_enough_for_promotion() -> None:
    world = paused()
    resume(world)
    world.step()
    world.change_spec(replicas=1)
    world.run_to_phase("Healthy")
    assert world.shape() == "0/1"


def test_promote_full_ends_the_pause_and_honours_surge_and_availability() -> None:
    world = paused(CanaryStrategy(steps=(weight(20), pause()), max_surge=3, max_unavailable=0))
    world.change_status(promote_full=True)
    shapes = world.run()
    assert world.status.phase == "Healthy"
    assert not world.status.promote_full
    assert world.status.current_step_index == 2
    assert shapes[-1] == "0/10"
    assert all(sum(map(int, shape.split("/"))) <= 13 for shape in shapes)
    assert world.status.duration is not None
    assert world.status.duration.completion_status == "FastPromoted"
    completed = [each.message for each in world.events if each.reason == "RolloutCompleted"]
    assert completed == [f"Rollout completed update to revision 2 ({hash_for('v2')}): Full promotion requested"]


def test_promote_full_does_not_count_steps_beyond_the_last() -> None:
    world = promoted(CanaryStrategy(steps=(weight(0), pause())))
    world.set_image("v2")
    world.step()
    world.step()
    world.change_status(promote_full=True)
    plan = world.step()
    assert world.status.current_step_index == 2
    assert "RolloutStepCompleted" not in [each.reason for each in plan.events]


def test_promote_full_takes_an_abort_back() -> None:
    world = paused()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.change_status(promote_full=True)
    world.run_to_phase("Healthy")
    assert not world.status.abort
    assert world.status.stable_rs == hash_for("v2")


def test_promote_full_of_an_idle_rollout_is_dropped() -> None:
    world = promoted()
    world.change_status(promote_full=True)
    world.run_to_phase("Healthy")
    assert not world.status.promote_full


def test_a_new_template_drops_a_requested_full_promotion() -> None:
    world = paused()
    world.broken_images.add("v2")
    world.change_status(promote_full=True)
    world.run()
    assert world.status.promote_full
    world.set_image("v3")
    world.run_to_phase("Paused")
    assert not world.status.promote_full


# ---- Ping-pong without a router ---------------------------------------------------------------------------------


def test_ping_and_pong_take_turns_and_no_selector_moves_at_promotion() -> None:
    services = [service("ping"), service("pong")]
    canary = CanaryStrategy(ping_pong=PingPong(ping_service="ping", pong_service="pong"))
    world = World(rollout(canary=canary), services=services)
    world.run_to_phase("Healthy")
    assert world.status.canary.stable_ping_pong == "ping"
    assert world.selected("ping") == hash_for("v1")
    assert world.selected("pong") == ""
    world.set_image("v2")
    world.run_to_phase("Healthy")
    assert world.status.canary.stable_ping_pong == "pong"
    assert (world.selected("ping"), world.selected("pong")) == (hash_for("v1"), hash_for("v2"))


# ---- Evictions end the plan -------------------------------------------------------------------------------------


def test_a_canary_that_evicts_pods_does_nothing_else_and_writes_no_status() -> None:
    world = promoted(replicas=3)
    world.pods = [pod(f"p{number}", world.of_image("v1")) for number in range(3)]
    world.change_spec(restart_at=NOW - timedelta(minutes=1))
    plan = world.step()
    assert [type(each) for each in plan.actions] == [EvictPod]
    assert plan.status is None


def test_an_interrupted_update_whose_stable_replica_set_is_gone_is_promoted_at_once() -> None:
    """Kept: with nothing to go back to, the new revision is all there is."""
    world = paused()
    del world.replica_sets[world.of_image("v1").metadata.name]
    world.run_to_phase("Healthy")
    assert world.shape() == "10"


def test_a_progress_condition_of_an_older_time_does_not_disturb_a_paused_canary() -> None:
    world = paused()
    world.change_status(
        conditions=(
            *(each for each in world.status.conditions if each.type != "Progressing"),
            progressing("RolloutPaused", "Unknown", ago=timedelta(hours=2)),
        )
    )
    assert world.plan().writes_nothing


# ---- When a weight is reached -----------------------------------------------------------------------------------


def test_a_weight_is_not_reached_while_superseded_pods_keep_the_canary_from_growing() -> None:
    """Even if those are not available, so that no traffic is theirs."""
    world = promoted(CanaryStrategy(steps=(weight(10), pause()), max_surge=1, max_unavailable=0))
    world.broken_images |= {"v2", "v3"}
    world.set_image("v2")
    world.run()
    assert world.shape() == "10/1"
    world.set_image("v3")
    world.run()
    assert world.shape() == "10/0/1"
    assert world.status.current_step_index == 0


def test_a_smaller_weight_is_not_reached_before_the_canary_has_shrunk() -> None:
    """The canary has to keep its pods until the stable ones are available; until then the step waits."""
    world = promoted(CanaryStrategy(steps=(weight(100), weight(0), pause()), max_surge=2, max_unavailable=0), 3)
    world.set_image("v2")
    for _ in range(20):
        world.step()
        world.settle_pods()
        if world.status.current_step_index == 1:
            break
    assert world.shape() == "0/3"
    world.broken_images.add("v1")
    world.run()
    assert world.shape() == "2/3"
    assert world.status.current_step_index == 1
    world.broken_images.clear()
    world.settle_pods()
    world.run_to_phase("Paused")
    assert world.shape() == "3/0"


def test_a_progress_threshold_is_measured_by_the_final_size_of_the_canary() -> None:
    threshold = ReplicaProgressThreshold(type="Percent", value=50)
    canary = CanaryStrategy(
        steps=(weight(50), pause()), max_surge=1, max_unavailable=0, replica_progress_threshold=threshold
    )
    world = promoted(canary)
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert world.shape() == "5/5"


def test_a_user_pause_over_superseded_pods_lets_the_stable_ones_grow_within_the_surge_only() -> None:
    world = promoted(CanaryStrategy(max_surge=2, max_unavailable=1), 5)
    world.set_image("v2")
    world.step()
    world.step()
    while world.shape() != "4/3":
        world.step()
        if world.shape() == "4/3":
            break
        world.settle_pods()
    world.settle_pods()
    world.set_image("v1")
    world.change_spec(paused=True)
    world.run()
    world.change_spec(replicas=6)
    world.run()
    assert world.shape() == "5/3"


def test_pods_on_their_way_out_are_no_reason_to_make_new_ones_beyond_the_surge() -> None:
    """An abort right after the stable side has shrunk, before its status shows that."""
    world = promoted(CanaryStrategy(max_surge=2, max_unavailable=1, steps=(weight(60), pause())), 5)
    world.set_image("v2")
    world.run_to_phase("Paused")
    stable, canary = world.of_image("v1"), world.of_image("v2")
    lagging = replace(stable.status, replicas=4, ready_replicas=4, available_replicas=4)
    world.replica_sets[stable.metadata.name] = replace(stable, spec=replace(stable.spec, replicas=3), status=lagging)
    four = replace(canary.status, replicas=4, ready_replicas=4, available_replicas=4)
    world.replica_sets[canary.metadata.name] = replace(canary, spec=replace(canary.spec, replicas=4), status=four)
    world.change_status(abort=True)
    world.step()
    assert sum(map(int, world.shape().split("/"))) <= 7
