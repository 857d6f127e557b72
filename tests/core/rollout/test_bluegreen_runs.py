"""Whole blue-green rollouts, pass by pass: what happens in which order, and what people do in between."""

from datetime import timedelta

import pytest
from tests.core.rollout.bluegreen_world import ACTIVE, PREVIEW, BlueGreenWorld
from tests.core.rollout.builders import replace

from prograde.api import names
from prograde.api.rollout import BlueGreenStatus, PauseCondition, RollbackWindow
from prograde.core.rollout.duration import finished_attempt

MANUAL = {"auto_promotion_enabled": False}


# ---- First deployment ------------------------------------------------------------------------------------------------


def test_a_first_deployment_goes_from_nothing_to_healthy_without_asking():
    world = BlueGreenWorld.create(replicas=2, **MANUAL)

    world.step()
    assert world.sizes == {"v1": 0}
    assert world.state("Progressing") == ("True", "NewReplicaSetCreated")

    world.step()
    assert world.sizes == {"v1": 2}
    assert (world.preview, world.active, world.stable) == ("v1", "", "v1")
    assert world.status.blue_green.preview_selector == world.status.stable_rs
    assert world.status.selector == "app=cart"
    assert (world.status.phase, world.status.message) == ("Progressing", "more replicas need to be updated")

    world.settle_pods()
    world.step()
    assert world.active == "v1"
    assert world.status.phase == "Healthy"
    assert world.status.pause_conditions == ()
    assert world.state("Healthy") == ("True", "RolloutHealthy")
    assert world.step().writes_nothing


def test_events_of_a_first_deployment():
    world = BlueGreenWorld.create(has_preview=False)
    world.settle()
    assert world.event_reasons() == [
        "RolloutUpdated",
        "NewReplicaSetCreated",
        "ScalingReplicaSet",
        "RolloutCompleted",
        "SwitchService",
    ]
    assert world.messages[3].endswith("): Initial deploy")
    assert world.messages[4] == f"Switched selector for service '{ACTIVE}' from '' to '{world.status.stable_rs}'"


def test_a_first_deployment_waits_for_all_its_pods_before_it_gets_traffic():
    world = BlueGreenWorld.create(replicas=3)
    world.step()
    world.step()
    world.settle_pods()
    world.set_pods("v1", available=2)
    world.step()
    assert world.active == ""
    assert world.stable == "v1"
    assert world.status.message == "updated replicas are still becoming available"


def test_a_first_deployment_beyond_its_progress_deadline_degrades_but_is_never_aborted():
    world = BlueGreenWorld.create()
    world.change_spec(progress_deadline_seconds=60, progress_deadline_abort=True)
    world.broken_images = {"v1"}
    world.settle()
    world.tick(61)
    world.settle()
    assert world.status.phase == "Degraded"
    assert not world.status.abort
    world.broken_images = set()
    world.settle_pods()
    world.settle()
    assert world.status.phase == "Healthy"
    assert world.active == "v1"


# ---- A plain update --------------------------------------------------------------------------------------------------


def test_a_plain_update_scales_switches_promotes_and_retires_the_old_revision_after_its_delay():
    world = BlueGreenWorld.deployed(replicas=3)
    world.set_image("v2")

    world.step()
    assert world.sizes == {"v1": 3, "v2": 0}
    world.step()
    assert (world.preview, world.active) == ("v2", "v1")
    assert world.sizes == {"v1": 3, "v2": 0}, "the pass that sees a new template scales nothing"
    world.step()
    assert world.sizes == {"v1": 3, "v2": 3}
    assert world.active == "v1"
    world.settle_pods()
    world.step()
    assert (world.active, world.stable, world.status.phase) == ("v2", "v2", "Healthy")
    assert world.counts == (3, 6, 3, 3, 3)
    assert world.deadline("v1") is None, "deadlines come after the promotion has been recorded"
    world.step()
    assert world.deadline("v1") == world.now + timedelta(seconds=30)
    assert world.sizes == {"v1": 3, "v2": 3}

    world.settle()
    world.tick(29)
    assert world.step().writes_nothing
    world.tick(1)
    world.settle()
    assert world.sizes == {"v1": 0, "v2": 3}
    assert world.deadline("v1") is None
    assert world.plans[-1].requeue_at is None


def test_events_of_a_plain_update():
    world = BlueGreenWorld.deployed(has_preview=False)
    world.set_image("v2")
    world.settle()
    assert world.event_reasons() == [
        "RolloutUpdated",
        "NewReplicaSetCreated",
        "RolloutNotCompleted",
        "ScalingReplicaSet",
        "SwitchService",
        "RolloutCompleted",
    ]
    assert world.messages[-1] == (
        f"Rollout completed update to revision 2 ({world.status.stable_rs}): Completed blue-green update"
    )


def test_the_preview_service_is_switched_before_the_first_pod_exists():
    world = BlueGreenWorld.deployed()
    world.set_image("v2")
    world.settle()
    switches = [event.message for event in world.events if event.reason == "SwitchService"]
    assert [PREVIEW in switches[0], ACTIVE in switches[1]] == [True, True]
    assert world.event_reasons().index("SwitchService") < world.event_reasons().index("ScalingReplicaSet")


def test_without_gate_the_switch_and_the_promotion_are_one_plan():
    world = BlueGreenWorld.deployed(has_preview=False)
    world.set_image("v2")
    world.step()
    world.step()
    world.step()
    world.settle_pods()
    world.step()
    assert (world.active, world.stable, world.status.phase) == ("v2", "v2", "Healthy")
    assert world.status.duration is not None
    assert world.status.duration.completion_status == "Promoted"


def test_no_pass_over_a_settled_rollout_writes_anything():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.settle()
    assert world.step().writes_nothing
    world.promote()
    world.settle()
    assert world.step().writes_nothing


# ---- Pauses ----------------------------------------------------------------------------------------------------------


def test_a_manual_gate_pauses_when_the_preview_is_ready_and_switches_when_somebody_promotes():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.steps(3)
    world.settle_pods()
    world.set_pods("v2", available=1)
    world.step()
    assert world.pauses == [], "no pause while a pod is missing"

    world.settle_pods()
    world.step()
    assert world.pauses == ["BlueGreenPause"]
    assert world.status.controller_pause
    assert (world.status.phase, world.status.message) == ("Paused", "BlueGreenPause")
    assert world.active == "v1"
    assert world.state("Paused") == ("True", "RolloutPaused")
    assert world.state("Progressing") == ("Unknown", "RolloutPaused")
    assert world.waits[0] == "BlueGreenPause"
    assert world.plans[-1].waits[0].remedy == "prograde promote cart"
    assert world.step().writes_nothing

    world.tick(90)
    world.promote()
    world.step()
    assert (world.active, world.stable) == ("v2", "v2")
    assert not world.status.controller_pause
    assert world.status.phase == "Healthy"
    assert world.state("Paused") == ("False", "RolloutPaused")
    assert world.status.duration is not None
    assert world.status.duration.total_manual_pause_duration_seconds == 90


def test_events_of_a_pause():
    world = BlueGreenWorld.deployed(has_preview=False, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.promote()
    world.settle()
    # The command line clears the conditions itself, so nobody sees them vanish.
    assert world.event_reasons()[3:] == ["ScalingReplicaSet", "RolloutPaused", "SwitchService", "RolloutCompleted"]
    assert "Rollout is paused (BlueGreenPause)" in world.messages


def test_a_pause_that_ends_by_time_says_resumed():
    world = BlueGreenWorld.deployed(has_preview=False, auto_promotion_seconds=10)
    world.set_image("v2")
    world.settle()
    assert world.pauses == ["BlueGreenPause"]
    wait = next(wait for wait in world.plans[-1].waits if wait.reason == "BlueGreenPause")
    assert wait.until == world.status.pause_conditions[0].start_time + timedelta(seconds=10)
    assert world.plans[-1].requeue_at is not None
    assert timedelta() < world.plans[-1].requeue_at - wait.until < timedelta(seconds=1)

    world.tick(10)
    assert world.step().writes_nothing, "strictly after"
    world.tick(0.001)
    world.step()
    assert (world.active, world.stable, world.pauses) == ("v2", "v2", [])
    assert world.event_reasons()[-1] == "RolloutResumed"
    assert world.status.duration.total_manual_pause_duration_seconds is None


def test_without_automatic_promotion_the_seconds_mean_nothing():
    world = BlueGreenWorld.deployed(auto_promotion_seconds=10, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.tick(3600)
    world.settle()
    assert (world.active, world.pauses) == ("v1", ["BlueGreenPause"])
    assert world.plans[-1].requeue_at is None


def test_an_early_promote_of_a_timed_pause_switches_at_once():
    """Argo Rollouts adds the pause again and starts its clock anew."""
    world = BlueGreenWorld.deployed(auto_promotion_seconds=600)
    world.set_image("v2")
    world.settle()
    world.promote()
    world.settle()
    assert (world.active, world.stable, world.pauses) == ("v2", "v2", [])


@pytest.mark.parametrize("gate", [MANUAL, {"auto_promotion_seconds": 600}], ids=["manual", "timed"])
def test_a_promote_that_meets_a_restarting_preview_pod_is_remembered(gate):
    """Argo Rollouts forgets it and pauses again."""
    world = BlueGreenWorld.deployed(replicas=2, **gate)
    world.set_image("v2")
    world.settle()
    world.set_pods("v2", available=1)
    world.promote()
    world.steps(3)
    assert world.active == "v1"
    assert (world.status.controller_pause, world.pauses) == (True, [])
    world.settle_pods()
    world.settle()
    assert (world.active, world.stable) == ("v2", "v2")
    assert not world.status.controller_pause


def test_a_remembered_promote_ends_with_the_next_template():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.set_pods("v2", available=1)
    world.promote()
    world.step()
    world.set_image("v3")
    world.settle()
    assert (world.active, world.pauses) == ("v1", ["BlueGreenPause"])


def test_a_remembered_promote_ends_with_an_abort():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.set_pods("v2", available=1)
    world.promote()
    world.step()
    world.abort()
    world.step()
    assert not world.status.controller_pause
    world.retry()
    world.settle()
    assert (world.active, world.pauses) == ("v1", ["BlueGreenPause"])


def test_an_expired_timed_pause_waits_until_the_preview_is_complete():
    world = BlueGreenWorld.deployed(replicas=2, auto_promotion_seconds=10)
    world.set_image("v2")
    world.settle()
    world.set_pods("v2", available=1)
    world.tick(60)
    world.step()
    assert (world.active, world.pauses) == ("v1", ["BlueGreenPause"])
    world.settle_pods()
    world.settle()
    assert (world.active, world.pauses) == ("v2", [])


def test_taking_the_gate_away_ends_the_pause():
    world = BlueGreenWorld.deployed(**MANUAL)
    world.set_image("v2")
    world.settle()
    world.edit_strategy(auto_promotion_enabled=None)
    world.settle()
    assert (world.active, world.stable, world.pauses) == ("v2", "v2", [])


# ---- The user's own pause --------------------------------------------------------------------------------------------


def test_a_user_pause_stops_services_and_pauses_but_not_sizes():
    world = BlueGreenWorld.deployed(replicas=2)
    world.change_spec(paused=True)
    world.set_image("v2")
    world.settle()
    assert world.sizes == {"v1": 2, "v2": 2}
    assert (world.preview, world.active) == ("v1", "v1")
    assert (world.status.phase, world.status.message) == ("Paused", "manually paused")
    assert "UserPause" in world.waits
    world.change_spec(replicas=4)
    world.settle()
    assert world.sizes == {"v1": 4, "v2": 4}
    world.change_spec(paused=False)
    world.settle()
    assert (world.preview, world.active, world.stable) == ("v2", "v2", "v2")


def test_an_expired_timed_pause_does_not_switch_under_a_user_pause():
    world = BlueGreenWorld.deployed(auto_promotion_seconds=10)
    world.set_image("v2")
    world.settle()
    world.change_spec(paused=True)
    world.tick(60)
    world.settle()
    assert (world.active, world.pauses) == ("v1", ["BlueGreenPause"])
    world.change_spec(paused=False)
    world.settle()
    assert world.active == "v2"


def test_a_promote_under_a_user_pause_is_not_lost():
    world = BlueGreenWorld.deployed(**MANUAL)
    world.set_image("v2")
    world.settle()
    world.change_spec(paused=True)
    world.settle()
    world.change_status(pause_conditions=())
    world.settle()
    assert world.active == "v1"
    world.change_spec(paused=False)
    world.settle()
    assert world.active == "v2"


# ---- Preview size ----------------------------------------------------------------------------------------------------


def test_a_preview_grows_to_the_whole_size_behind_its_checkpoint_and_only_then_gets_traffic():
    world = BlueGreenWorld.deployed(replicas=5, preview_replica_count=3)
    world.set_image("v2")
    world.steps(3)
    assert world.sizes == {"v1": 5, "v2": 3}
    world.settle_pods()
    world.step()
    assert world.status.blue_green.scale_up_preview_check_point
    assert (world.sizes, world.active) == ({"v1": 5, "v2": 3}, "v1")
    assert world.waits[0] == "ServiceNotSwitched"
    world.step()
    assert (world.sizes, world.active) == ({"v1": 5, "v2": 5}, "v1")
    world.settle_pods()
    world.step()
    assert (world.active, world.stable) == ("v2", "v2")
    assert not world.status.blue_green.scale_up_preview_check_point
    assert world.counts == (5, 10, 5, 5, 5)


def test_a_preview_with_a_manual_gate_stays_small_until_somebody_promotes():
    world = BlueGreenWorld.deployed(replicas=2, preview_replica_count=1, **MANUAL)
    world.set_image("v2")
    world.settle()
    assert (world.counts, world.pauses) == ((2, 3, 1, 2, 2), ["BlueGreenPause"])
    world.promote()
    world.settle()
    assert (world.counts, world.status.phase) == ((2, 4, 2, 2, 2), "Healthy")


def test_a_small_preview_paused_beyond_the_progress_deadline_stays_paused_and_can_be_promoted_in_full():
    world = BlueGreenWorld.deployed(replicas=2, preview_replica_count=1, **MANUAL)
    world.change_spec(progress_deadline_seconds=1)
    world.settle()
    world.set_image("v2")
    world.settle()
    world.tick(10)
    world.settle()
    assert world.status.phase == "Paused"
    world.promote_full()
    world.settle()
    assert (world.counts, world.status.phase) == ((2, 4, 2, 2, 2), "Healthy")


def test_a_preview_that_is_larger_than_the_rollout_shrinks_before_the_switch():
    world = BlueGreenWorld.deployed(replicas=1, preview_replica_count=3)
    world.set_image("v2")
    world.steps(3)
    assert world.sizes["v2"] == 3
    world.settle()
    assert (world.active, world.sizes["v2"]) == ("v2", 1)


def test_a_preview_of_no_pods_is_ready_at_once():
    world = BlueGreenWorld.deployed(replicas=2, preview_replica_count=0, **MANUAL)
    world.set_image("v2")
    world.settle()
    assert (world.sizes, world.pauses) == ({"v1": 2, "v2": 0}, ["BlueGreenPause"])
    world.promote()
    world.settle()
    assert (world.active, world.sizes["v2"]) == ("v2", 2)


def test_a_user_pause_between_checkpoint_and_switch_takes_the_preview_back_to_its_size():
    world = BlueGreenWorld.deployed(replicas=5, preview_replica_count=3)
    world.set_image("v2")
    world.steps(3)
    world.settle_pods()
    world.step()
    world.step()
    assert world.sizes["v2"] == 5
    world.change_spec(paused=True)
    world.settle()
    assert (world.sizes["v2"], world.active) == (3, "v1")
    world.change_spec(paused=False)
    world.settle()
    assert (world.sizes["v2"], world.active) == (5, "v2")


def test_the_checkpoint_of_one_revision_is_not_inherited_by_the_next():
    """With Argo Rollouts the third version would go live in full size and without the manual pause."""
    world = BlueGreenWorld.deployed(replicas=4, preview_replica_count=1, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.broken_images = set()
    world.promote()
    world.step()
    assert world.status.blue_green.scale_up_preview_check_point
    world.set_image("v3")
    world.settle()
    assert not world.status.blue_green.scale_up_preview_check_point
    assert (world.active, world.sizes["v3"], world.pauses) == ("v1", 1, ["BlueGreenPause"])


def test_a_revision_that_comes_back_in_whole_size_gets_no_traffic_while_it_shrinks_to_the_preview_size():
    world = BlueGreenWorld.deployed(replicas=4, preview_replica_count=1)
    world.set_image("v2")
    while world.sizes.get("v2") != 4:
        world.step()
        world.settle_pods()
    world.set_image("v3")
    world.steps(2)
    world.set_image("v2")
    seen = []
    while world.active == "v1":
        world.step()
        seen.append((world.active, world.sizes["v2"]))
        world.settle_pods()
    assert ("v1", 1) in seen
    assert seen[-1] == ("v2", 4)


def test_a_superseded_preview_keeps_its_size_for_its_delay():
    """Argo Rollouts lifts it to the whole size."""
    world = BlueGreenWorld.deployed(replicas=4, preview_replica_count=1, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.set_image("v3")
    world.settle()
    assert world.deadline("v2") is not None
    assert world.sizes == {"v1": 4, "v2": 1, "v3": 1}
    world.tick(31)
    world.settle()
    assert world.sizes == {"v1": 4, "v2": 0, "v3": 1}


def test_without_active_revision_a_preview_size_means_nothing():
    world = BlueGreenWorld.create(replicas=4, preview_replica_count=1)
    world.settle()
    assert world.sizes == {"v1": 4}


# ---- A changed number of pods ----------------------------------------------------------------------------------------


def test_a_changed_number_of_pods_is_followed_by_stable_and_new_in_a_pass_of_its_own():
    world = BlueGreenWorld.deployed(**MANUAL)
    world.set_image("v2")
    world.settle()
    world.change_spec(replicas=2)
    status = world.status
    world.step()
    assert world.sizes == {"v1": 2, "v2": 2}
    assert world.active == "v1"
    assert world.status.blue_green == status.blue_green
    assert world.status.pause_conditions == status.pause_conditions
    assert "BlueGreenPause" in world.waits


def test_a_preview_follows_its_own_size_and_not_the_changed_number():
    world = BlueGreenWorld.deployed(replicas=1, preview_replica_count=3, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.change_spec(replicas=2)
    world.settle()
    assert world.sizes == {"v1": 2, "v2": 3}
    assert world.of_image("v2").metadata.annotations[names.DESIRED_REPLICAS_ANNOTATION] == "2"


def test_a_template_and_a_size_that_change_together_are_one_attempt():
    world = BlueGreenWorld.deployed(replicas=2)
    world.set_image("v2")
    world.change_spec(replicas=3)
    ended = []
    for _ in range(6):
        before = world.status.duration
        world.step()
        attempt = finished_attempt(before, world.status.duration, world.now)
        ended += [attempt.completion_status] if attempt is not None else []
        world.settle_pods()
        world.tick(1)
    assert ended == ["Promoted"]


def test_an_old_revision_within_its_delay_follows_the_number_of_pods():
    world = BlueGreenWorld.deployed(replicas=2)
    world.set_image("v2")
    world.settle()
    world.change_spec(replicas=3)
    world.settle()
    assert world.sizes == {"v1": 3, "v2": 3}
    world.change_spec(replicas=1)
    world.settle()
    assert world.sizes == {"v1": 1, "v2": 1}


def test_scaled_to_nothing_everything_is_healthy_and_can_come_back():
    world = BlueGreenWorld.deployed(replicas=2)
    world.change_spec(replicas=0)
    world.settle()
    assert (world.sizes, world.status.phase) == ({"v1": 0}, "Healthy")
    world.set_image("v2")
    world.settle()
    assert (world.active, world.stable, world.status.phase) == ("v2", "v2", "Healthy")
    world.change_spec(replicas=2)
    world.settle()
    assert (world.sizes["v2"], world.status.phase) == (2, "Healthy")


# ---- Abort and retry -------------------------------------------------------------------------------------------------


def test_an_abort_before_the_switch_keeps_the_preview_for_its_delay_and_then_removes_it():
    world = BlueGreenWorld.deployed(replicas=2, abort_scale_down_delay_seconds=5, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.abort()
    world.step()
    assert world.status.aborted_at == world.now
    assert (world.status.phase, world.pauses) == ("Degraded", [])
    assert world.status.message == "RolloutAborted: Rollout aborted update to revision 2"
    assert world.events[-1].reason == "RolloutAborted"
    assert world.deadline("v2") == world.now + timedelta(seconds=5)
    assert world.sizes == {"v1": 2, "v2": 2}
    world.settle()
    assert world.waits[0] == "Aborted"
    world.tick(5)
    world.settle()
    assert world.sizes == {"v1": 2, "v2": 0}
    assert world.deadline("v2") is not None, "the pods stay away while the abort lasts"
    assert (world.active, world.preview, world.stable) == ("v1", "v2", "v1")
    world.wait(timedelta(hours=1))
    assert world.step().writes_nothing


def test_the_delay_of_an_abort_begins_when_the_stable_revision_is_complete():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.set_pods("v1", available=1)
    world.abort()
    world.step()
    assert world.deadline("v2") is None
    world.settle_pods()
    world.step()
    assert world.deadline("v2") == world.now + timedelta(seconds=30)


def test_an_abort_delay_of_zero_keeps_the_preview_for_ever():
    world = BlueGreenWorld.deployed(replicas=2, preview_replica_count=1, abort_scale_down_delay_seconds=0, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.abort()
    world.settle()
    world.wait(timedelta(days=1))
    world.settle()
    assert world.sizes == {"v1": 2, "v2": 1}
    assert world.deadline("v2") is None


def test_an_abort_delay_longer_than_the_resync_is_held_in_full():
    world = BlueGreenWorld.deployed(abort_scale_down_delay_seconds=3600, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.abort()
    world.settle()
    world.tick(3599)
    world.settle()
    assert world.sizes["v2"] == 1
    world.tick(1)
    world.settle()
    assert world.sizes["v2"] == 0


def test_an_unreadable_deadline_of_an_aborted_revision_is_over():
    """Argo Rollouts scales the aborted revision up again."""
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.abort()
    world.settle()
    world.annotate("v2", "scale-down-deadline", "Abcd123")
    world.settle()
    assert world.sizes["v2"] == 0


def test_an_aborted_revision_keeps_its_size_whatever_the_number_of_pods():
    world = BlueGreenWorld.deployed(replicas=5, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.set_pods("v1", available=3)
    world.abort()
    world.step()
    world.change_spec(replicas=4)
    world.step()
    assert world.sizes == {"v1": 4, "v2": 5}
    assert world.of_image("v2").metadata.annotations[names.DESIRED_REPLICAS_ANNOTATION] == "4"
    assert world.deadline("v2") is None
    world.settle_pods()
    world.step()
    assert world.deadline("v2") is not None


def test_a_retry_begins_again_and_passes_every_gate_again():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.abort()
    world.settle()
    world.tick(31)
    world.settle()
    assert world.sizes["v2"] == 0
    world.retry()
    world.settle()
    assert world.status.aborted_at is None
    assert world.deadline("v2") is None
    assert (world.sizes["v2"], world.pauses, world.active) == (2, ["BlueGreenPause"], "v1")
    world.promote()
    world.settle()
    assert world.active == "v2"


def test_a_retry_within_the_delay_of_the_abort_is_not_fast_tracked():
    """An older template that was aborted is not proven by the deadline that the abort gave it."""
    world = BlueGreenWorld.deployed(**MANUAL)
    world.set_image("v2")
    world.settle()
    world.promote()
    world.settle()
    world.wait(timedelta(minutes=5))
    world.settle()
    world.set_image("v1")
    world.settle()
    assert world.pauses == ["BlueGreenPause"]
    world.abort()
    world.settle()
    world.retry()
    world.settle()
    assert (world.active, world.pauses) == ("v2", ["BlueGreenPause"])


def test_an_abort_of_a_promoted_rollout_is_dropped_silently():
    world = BlueGreenWorld.deployed()
    world.abort()
    world.settle()
    assert not world.status.abort
    assert world.status.phase == "Healthy"
    assert world.events == []


def switched_but_not_promoted(**options) -> BlueGreenWorld:
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


def test_an_abort_after_the_switch_gives_the_traffic_back_before_the_new_pods_go():
    world = switched_but_not_promoted(replicas=2)
    world.abort()
    world.step()
    assert world.active == "v1"
    assert world.status.blue_green.active_selector == world.selected(ACTIVE)
    assert world.status.selector == f"app=cart,rollouts-pod-template-hash={world.selected(ACTIVE)}"
    assert world.status.hpa_replicas == 2
    assert world.status.phase == "Degraded"
    assert world.sizes == {"v1": 2, "v2": 2}
    assert world.deadline("v2") == world.now + timedelta(seconds=30)


def test_an_abort_takes_the_traffic_from_a_crashing_new_revision():
    """Argo Rollouts waits for the *new* pods first, and so leaves the traffic where nobody answers."""
    world = switched_but_not_promoted(replicas=2)
    world.set_pods("v2", available=0)
    world.abort()
    world.step()
    assert world.active == "v1"


def test_an_abort_moves_no_traffic_to_a_stable_revision_without_pods():
    world = switched_but_not_promoted(replicas=2)
    world.set_pods("v1", available=0)
    world.abort()
    world.step()
    assert world.active == "v2"
    assert "ServiceNotSwitched" in world.waits
    world.annotate("v2", "scale-down-deadline", "2020-01-01T00:00:00Z")
    world.step()
    assert world.sizes["v2"] == 2, "the pods that get the traffic stay, deadline or not"
    world.set_pods("v1", available=1)
    world.step()
    assert world.active == "v1"


def test_an_abort_gives_the_traffic_back_even_under_a_user_pause():
    """With Argo Rollouts a paused Rollout leaves its traffic on the revision that was aborted."""
    world = switched_but_not_promoted(replicas=2)
    world.change_spec(paused=True)
    world.abort()
    world.step()
    assert world.active == "v1"


def test_an_abort_without_stable_revision_never_empties_a_selector():
    world = BlueGreenWorld.create(replicas=1)
    world.settle()
    world.change_status(stable_rs="", current_pod_hash="other", abort=True)
    world.settle()
    assert world.active == "v1"


def test_a_progress_deadline_can_abort():
    world = BlueGreenWorld.deployed(replicas=1)
    world.change_spec(progress_deadline_seconds=60, progress_deadline_abort=True)
    world.settle()
    world.set_image("v2")
    world.broken_images = {"v2"}
    world.settle()
    world.tick(62)
    world.step()
    name = world.of_image("v2").metadata.name
    text = f'ReplicaSet "{name}" has timed out progressing.'
    assert world.status.abort
    assert world.status.message == f"RolloutAborted: Rollout aborted update to revision 2: {text}"
    assert [event.message for event in world.events if event.reason == "RolloutAborted"] == [
        text,
        f"Rollout aborted update to revision 2: {text}",
    ]


def test_the_deadline_of_a_revision_without_pods_does_not_hold_up_the_progress_deadline():
    """With Argo Rollouts the second broken revision in a row is never found to be stuck."""
    world = BlueGreenWorld.deployed(**MANUAL)
    world.change_spec(progress_deadline_seconds=60)
    world.settle()
    world.set_image("v2")
    world.settle()
    world.abort()
    world.settle()
    world.tick(31)
    world.settle()
    world.set_image("v3")
    world.broken_images = {"v3"}
    world.settle()
    assert world.deadline("v2") is not None
    world.tick(62)
    world.settle()
    assert world.state("Progressing") == ("False", "ProgressDeadlineExceeded")
    assert world.status.phase == "Degraded"


def test_a_promoted_rollout_that_loses_its_pods_is_never_aborted():
    world = BlueGreenWorld.deployed(replicas=1)
    world.change_spec(progress_deadline_seconds=60, progress_deadline_abort=True)
    world.settle()
    world.set_pods("v1", available=0)
    world.settle(moves_pods=False)
    assert world.state("Progressing") == ("True", "ReplicaSetNotAvailable")
    world.tick(120)
    world.settle(moves_pods=False)
    assert not world.status.abort


# ---- Full promotion --------------------------------------------------------------------------------------------------


def test_a_full_promotion_ignores_pause_and_preview_size_but_not_the_pods():
    world = BlueGreenWorld.deployed(replicas=4, preview_replica_count=1, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.promote_full()
    world.step()
    assert (world.sizes["v2"], world.active, world.pauses) == (4, "v1", [])
    world.settle()
    assert (world.active, world.stable) == ("v2", "v2")
    assert not world.status.promote_full
    assert world.messages[-1].endswith("): Full promotion requested")
    assert world.status.duration.completion_status == "FastPromoted"


def test_a_full_promotion_takes_an_abort_back():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.abort()
    world.settle()
    world.tick(31)
    world.settle()
    world.promote_full()
    world.settle()
    assert (world.active, world.stable, world.status.phase) == ("v2", "v2", "Healthy")
    assert not world.status.abort


# ---- Going back ------------------------------------------------------------------------------------------------------


def test_back_to_stable_before_the_switch_is_done_in_the_pass_that_sees_it():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.events.clear()
    world.set_image("v1")
    world.settle()
    assert (world.active, world.preview, world.stable, world.pauses) == ("v1", "v1", "v1", [])
    assert world.status.phase == "Healthy"
    assert "RolloutCompleted" not in world.event_reasons()
    assert world.sizes == {"v1": 2, "v2": 2}
    assert world.deadline("v2") is not None
    assert world.of_image("v1").metadata.annotations["rollout.argoproj.io/revision"] == "3"


def test_back_to_stable_after_the_switch_returns_the_traffic_at_once_and_in_whole_size():
    world = switched_but_not_promoted(replicas=4, preview_replica_count=1)
    world.set_image("v1")
    world.settle()
    assert (world.active, world.stable) == ("v1", "v1")
    assert world.sizes["v1"] == 4


def promoted_twice(**options) -> BlueGreenWorld:
    """Version 2 has just been promoted, version 1 is in its delay."""
    world = BlueGreenWorld.deployed(**options)
    world.set_image("v2")
    world.settle()
    world.promote()
    world.settle()
    assert world.stable == "v2"
    world.events.clear()
    return world


def test_back_to_a_revision_within_its_delay_skips_the_pause():
    world = promoted_twice(replicas=2, **MANUAL)
    assert world.deadline("v1") is not None
    world.tick(10)
    world.set_image("v1")
    world.settle()
    assert (world.active, world.stable, world.pauses) == ("v1", "v1", [])
    assert world.deadline("v1") is None
    assert world.messages[-1].endswith("): Fast rollback")
    assert world.status.duration.completion_status == "FastRolledBack"


def test_a_fast_rollback_stays_fast_when_its_pods_are_not_all_there():
    """Argo Rollouts decides it in a single pass, and asks for a promotion if a pod is missing just then."""
    world = promoted_twice(replicas=2, **MANUAL)
    world.set_image("v1")
    world.step()
    world.set_pods("v1", available=1)
    world.steps(3)
    assert world.active == "v2"
    world.tick(60)
    world.settle_pods()
    world.settle()
    assert (world.active, world.stable, world.pauses) == ("v1", "v1", [])


def test_a_fast_rollback_stays_fast_when_the_number_of_pods_changes_with_it():
    world = promoted_twice(replicas=2, **MANUAL)
    world.set_image("v1")
    world.change_spec(replicas=3)
    world.settle()
    assert (world.active, world.stable, world.sizes["v1"]) == ("v1", "v1", 3)


def test_a_fast_rollback_with_a_preview_size_keeps_its_whole_size():
    """With Argo Rollouts it shrinks to the preview size first and is fast no more."""
    world = promoted_twice(replicas=4, preview_replica_count=1, **MANUAL)
    world.set_image("v1")
    seen = []
    for _ in range(5):
        world.step()
        seen.append(world.sizes["v1"])
        world.settle_pods()
    assert set(seen) == {4}
    assert (world.active, world.stable) == ("v1", "v1")


def test_back_to_a_revision_after_its_delay_is_an_ordinary_update():
    world = promoted_twice(replicas=2, **MANUAL)
    world.tick(31)
    world.settle()
    assert world.sizes["v1"] == 0
    world.set_image("v1")
    world.settle()
    assert (world.active, world.pauses) == ("v2", ["BlueGreenPause"])


def test_a_revision_within_the_rollback_window_needs_no_promotion():
    world = promoted_twice(replicas=4, preview_replica_count=1, **MANUAL)
    world.change_spec(rollback_window=RollbackWindow(revisions=1))
    world.wait(timedelta(hours=1))
    world.settle()
    assert world.sizes["v1"] == 0
    world.set_image("v1")
    world.settle()
    assert (world.active, world.stable, world.sizes["v1"]) == ("v1", "v1", 4)
    assert world.messages[-1].endswith("): Rollback within window")


def test_an_abort_of_a_rollback_within_the_window_has_no_lasting_effect():
    world = promoted_twice(replicas=2, **MANUAL)
    world.change_spec(rollback_window=RollbackWindow(revisions=1))
    world.wait(timedelta(hours=1))
    world.settle()
    world.broken_images = {"v1"}
    world.set_image("v1")
    world.settle()
    world.abort()
    world.step()
    assert not world.status.abort
    world.broken_images = set()
    world.settle()
    assert world.stable == "v1"


# ---- Old revisions ---------------------------------------------------------------------------------------------------


def test_only_as_many_old_revisions_wait_as_the_limit_allows():
    world = BlueGreenWorld.deployed(replicas=1, scale_down_delay_seconds=86400, scale_down_delay_revision_limit=2)
    for version in ("v2", "v3", "v4"):
        world.wait(timedelta(minutes=1))
        world.set_image(version)
        world.settle()
    assert world.sizes == {"v1": 0, "v2": 1, "v3": 1, "v4": 1}
    assert world.counts == (1, 3, 1, 1, 1)
    world.edit_strategy(scale_down_delay_revision_limit=1)
    world.settle()
    assert world.sizes == {"v1": 0, "v2": 0, "v3": 1, "v4": 1}
    assert world.counts == (1, 2, 1, 1, 1)


def test_a_delay_of_zero_means_now():
    """With Argo Rollouts the old pods stay for ever and the controller spins."""
    world = BlueGreenWorld.deployed(replicas=2, scale_down_delay_seconds=0)
    world.set_image("v2")
    world.settle()
    assert world.sizes == {"v1": 0, "v2": 2}
    assert world.plans[-1].requeue_at is None


@pytest.mark.parametrize(
    ("deadline", "expected"),
    [
        pytest.param("2099-01-01T00:00:00Z", 1, id="ahead"),
        pytest.param("2020-01-01T00:00:00Z", 0, id="past"),
        pytest.param("Abcd123", 0, id="unreadable"),
    ],
)
def test_the_deadline_of_an_old_revision_decides_about_its_pods(deadline, expected):
    world = BlueGreenWorld.deployed()
    world.set_image("v2")
    world.settle()
    world.annotate("v1", "scale-down-deadline", deadline)
    world.settle()
    assert world.sizes["v1"] == expected
    assert (world.deadline("v1") is None) == (expected == 0)


def test_the_revision_that_gets_the_traffic_is_never_retired_whatever_the_status_says():
    world = BlueGreenWorld.deployed(replicas=2, scale_down_delay_seconds=0)
    world.set_image("v2")
    world.settle(moves_pods=False)
    pod_hash = world.selected(PREVIEW)
    world.change_status(stable_rs=pod_hash, current_pod_hash=pod_hash)
    world.change_status(blue_green=type(world.status.blue_green)())
    world.settle(moves_pods=False)
    assert (world.active, world.sizes["v1"]) == ("v1", 2)


def test_a_revision_that_the_status_still_names_is_not_retired():
    world = BlueGreenWorld.deployed(replicas=2, scale_down_delay_seconds=0)
    world.set_image("v2")
    world.steps(3)
    world.settle_pods()
    world.step()
    blue_green = world.status.blue_green
    world.change_status(blue_green=replace(blue_green, active_selector=world.hash("v1")))
    world.step()
    assert world.sizes == {"v1": 2, "v2": 2}
    world.step()
    assert world.sizes == {"v1": 0, "v2": 2}


def test_a_revision_keeps_its_pods_in_the_plan_that_takes_its_traffic_away():
    world = BlueGreenWorld.deployed(replicas=2, has_preview=False, scale_down_delay_seconds=0)
    world.set_image("v2")
    world.steps(3)
    world.settle_pods()
    world.change_status(stable_rs=world.hash("v2"), blue_green=BlueGreenStatus())
    world.step()
    assert (world.active, world.sizes) == ("v2", {"v1": 2, "v2": 2})
    world.step()
    assert world.sizes == {"v1": 0, "v2": 2}


def test_a_preview_that_is_just_being_superseded_is_not_retired_by_a_change_of_size():
    world = BlueGreenWorld.deployed(replicas=2, has_preview=False, scale_down_delay_seconds=0, **MANUAL)
    world.set_image("v2")
    world.settle()
    world.set_image("v3")
    world.change_spec(replicas=3)
    world.steps(2)
    assert world.sizes == {"v1": 3, "v2": 2, "v3": 3}
    world.settle()
    assert world.sizes == {"v1": 3, "v2": 0, "v3": 3}


def test_nothing_is_retired_while_an_analysis_is_inconclusive():
    world = promoted_twice()
    pause = PauseCondition(reason=names.PAUSE_INCONCLUSIVE_ANALYSIS, start_time=world.now)
    world.tick(60)
    world.change_status(pause_conditions=(pause,), controller_pause=True)
    world.step()
    assert world.sizes == {"v1": 1, "v2": 1}


def test_a_third_version_pushed_after_an_abort_leaves_the_second_one_its_deadline():
    world = BlueGreenWorld.deployed(**MANUAL)
    world.set_image("v2")
    world.settle()
    world.abort()
    world.settle()
    deadline = world.deadline("v2")
    world.tick(10)
    world.set_image("v3")
    world.settle()
    assert world.pauses == ["BlueGreenPause"]
    assert world.sizes == {"v1": 1, "v2": 1, "v3": 1}
    assert world.deadline("v2") == deadline
    assert (world.active, world.preview) == ("v1", "v3")
    world.promote()
    world.settle()
    assert world.active == "v3"
    assert world.deadline("v1") is not None
    assert world.deadline("v2") == deadline


def test_history_is_kept_within_its_limit():
    world = BlueGreenWorld.deployed(scale_down_delay_seconds=0)
    world.change_spec(revision_history_limit=1)
    for version in ("v2", "v3", "v4"):
        world.wait(timedelta(minutes=1))
        world.set_image(version)
        world.settle()
    assert sorted(world.sizes) == ["v3", "v4"]


# ---- Services that were set up by hand -------------------------------------------------------------------------------


def test_other_keys_of_a_selector_stay():
    world = BlueGreenWorld.deployed()
    assert world.services[ACTIVE].spec.selector["app"] == "cart"
    assert world.services[ACTIVE].metadata.annotations[names.MANAGED_BY_ANNOTATION] == "cart"


def test_a_service_without_selector_gets_one():
    world = BlueGreenWorld.create(has_preview=False)
    service = world.services[ACTIVE]
    world.services[ACTIVE] = type(service)(metadata=service.metadata)
    world.settle()
    assert list(world.services[ACTIVE].spec.selector) == [names.POD_TEMPLATE_HASH_LABEL]


def test_a_service_that_selects_the_right_pods_already_is_only_marked():
    world = BlueGreenWorld.deployed()
    world.unmark(ACTIVE)
    world.settle()
    assert world.services[ACTIVE].metadata.annotations[names.MANAGED_BY_ANNOTATION] == "cart"
    pod_hash = world.status.stable_rs
    assert world.messages == [f"Switched selector for service '{ACTIVE}' from '{pod_hash}' to '{pod_hash}'"]


def test_a_surplus_pod_or_a_stale_record_of_the_size_is_not_saturated():
    world = BlueGreenWorld.deployed(replicas=3)
    world.set_image("v2")
    world.steps(3)
    world.settle_pods()
    world.set_pods("v2", available=4)
    world.step()
    assert world.active == "v1"
    world.settle_pods()
    world.set_pods("v2", available=3)
    world.annotate("v2", names.DESIRED_REPLICAS_ANNOTATION, None)
    world.step()
    assert world.active == "v1", "the size is recorded first"
    world.step()
    assert world.active == "v2"
