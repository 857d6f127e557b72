"""How many pods each revision of a blue-green Rollout has: preview sizes, changed numbers, old revisions."""

from datetime import timedelta

import pytest
from tests.core.rollout.bluegreen_world import (
    PREVIEW,
    BlueGreenWorld,
    promoted_twice,
)
from tests.core.rollout.builders import replace

from prograde.api import names
from prograde.api.rollout import BlueGreenStatus, PauseCondition
from prograde.core.rollout.duration import finished_attempt

MANUAL = {"auto_promotion_enabled": False}


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
