"""Whole blue-green updates, pass by pass: what happens in which order, and what people do in between."""

from datetime import timedelta

import pytest
from tests.core.rollout.bluegreen_world import (
    ACTIVE,
    PREVIEW,
    BlueGreenWorld,
)

from prograde.api import names
from prograde.core.rollout.status import phase_and_message

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
    assert world.plans[-1].waits[0].remedy == "to go on: prograde promote cart"
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


def test_a_remembered_promote_of_a_preview_that_never_comes_up_is_shown_as_degraded():
    world = BlueGreenWorld.deployed(replicas=2, auto_promotion_enabled=False)
    world.change_spec(progress_deadline_seconds=60)
    world.settle()
    world.set_image("v2")
    world.settle()
    world.set_pods("v2", available=0)
    world.promote()
    assert phase_and_message(world.rollout) == ("Progressing", "waiting for rollout to unpause")
    world.steps(3)
    world.wait(timedelta(minutes=5))
    world.steps(2)
    assert (world.status.controller_pause, world.pauses, world.active) == (True, [], "v1")
    phase, message = phase_and_message(world.rollout)
    assert (phase, message.split(":")[0]) == ("Degraded", "ProgressDeadlineExceeded")


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
