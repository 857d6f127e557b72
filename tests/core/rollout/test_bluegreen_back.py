"""Blue-green on the way back: aborts, retries and rollbacks."""

from datetime import timedelta

from tests.core.rollout.bluegreen_world import (
    ACTIVE,
    BlueGreenWorld,
    promoted_twice,
    switched_but_not_promoted,
)

from prograde.api import names
from prograde.api.rollout import RollbackWindow

MANUAL = {"auto_promotion_enabled": False}


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
