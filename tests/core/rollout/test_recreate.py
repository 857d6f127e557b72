"""Recreate: no pod of one version while there is any of another."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import NOW, World, hash_for, paused_for, pod, replace, replica_set, rollout

from prograde.api import names
from prograde.api.rollout import CanaryStrategy, RecreateStrategy, RolloutStrategy
from prograde.core.plan import EvictPod, PatchReplicaSet, WaitReason
from prograde.core.rollout.planner import plan_rollout

RECREATE = RolloutStrategy(recreate=RecreateStrategy())


class RecreateWorld(World):
    """A world in which pods take their time to end: they are there, uncounted, until `end_pods`."""

    def __init__(self, *args, grace=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.has_grace = grace
        self.overlaps = 0

    def settle_pods(self):
        for each in list(self.replica_sets.values()):
            size, before = each.spec.replicas, each.status.replicas
            if size < before and self.has_grace:
                self.pods += [
                    pod(f"{each.metadata.name}-{number}", each, deleting=True) for number in range(before - size)
                ]
        changed = super().settle_pods()
        self.check()
        return changed

    def check(self):
        """Note it if pods of two versions exist, ended or not."""
        existing = {each.metadata.labels[names.POD_TEMPLATE_HASH_LABEL] for each in self.pods}
        existing |= {self.hash(self.image_of(each)) for each in self.replica_sets.values() if each.status.replicas > 0}
        self.overlaps += len(existing) > 1

    def end_pods(self):
        self.pods = []


def world(image="v1", **arguments):
    """Return a Rollout that has been deployed."""
    made = RecreateWorld(rollout(strategy=RECREATE, image=image, **arguments))
    made.run_to_phase(names.PHASE_HEALTHY)
    return made


def update(made, image="v2"):
    """Go on until the old pods are terminating."""
    made.set_image(image)
    made.run()
    assert made.shape() == "0/0"
    return made


# ---- The move -------------------------------------------------------------------------------------------------------


def test_the_first_version_starts_at_once_and_is_stable_at_once():
    made = RecreateWorld(rollout(strategy=RECREATE))
    assert made.run() == ["0", "3"]
    assert made.status.phase == names.PHASE_HEALTHY
    assert made.status.stable_rs == hash_for("v1")
    assert made.status.current_step_index is None
    completed = next(each for each in made.events if each.reason == names.REASON_ROLLOUT_COMPLETED)
    assert completed.message == f"Rollout completed update to revision 1 ({hash_for('v1')}): Initial deploy"


def test_the_old_version_is_gone_before_the_new_one_gets_its_first_pod():
    made = update(world())
    assert made.status.phase == names.PHASE_PROGRESSING
    assert len(made.pods) == 3
    wait = made.plans[-1].waits[0]
    assert wait.reason is WaitReason.PODS_TERMINATING
    assert wait.object == f"Pod {made.of_image('v1').metadata.name}-0"
    assert "-0 and 2 more of another version are not gone yet; ReplicaSet " in wait.message
    assert wait.until is None
    assert made.plans[-1].requeue_at == made.now + timedelta(seconds=1)
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/3"
    assert made.overlaps == 0


def test_a_pod_that_is_terminating_is_known_to_be_killed_some_time():
    made = update(world())
    killed_at = made.now + timedelta(seconds=30)
    made.pods = [replace(each, metadata=replace(each.metadata, deletion_timestamp=killed_at)) for each in made.pods]
    plan = made.plan()
    assert plan.waits[0].until == killed_at
    assert plan.requeue_at == made.now + timedelta(seconds=1)


@pytest.mark.parametrize(("seconds", "is_overdue"), [(30, False), (31, True)])
def test_a_pod_that_does_not_end_may_be_on_a_node_that_is_gone(seconds, is_overdue):
    made = update(world())
    killed_at = made.now - timedelta(seconds=seconds)
    made.pods = [replace(each, metadata=replace(each.metadata, deletion_timestamp=killed_at)) for each in made.pods]
    wait, name = made.plan().waits[0], made.pods[0].metadata.name
    remedy = f"if its node is gone for good: kubectl delete pod {name} --force"
    assert (wait.until, wait.remedy) == (None, remedy if is_overdue else "")


def test_the_new_version_is_stable_when_all_its_pods_are_available():
    made = update(world())
    made.broken_images.add("v2")
    made.end_pods()
    made.run()
    assert made.shape() == "0/3"
    assert made.status.stable_rs == hash_for("v1")
    assert (made.status.phase, made.status.message) == (
        names.PHASE_PROGRESSING,
        "updated replicas are still becoming available",
    )
    made.broken_images.clear()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.status.stable_rs == hash_for("v2")
    assert made.events[-1].message == (
        f"Rollout completed update to revision 2 ({hash_for('v2')}): Completed recreate update"
    )


def test_one_pod_too_few_is_not_all():
    made = RecreateWorld(
        rollout(
            strategy=RECREATE,
            image="v2",
            status=replace(world().status, current_pod_hash=hash_for("v2"), stable_rs=hash_for("v1")),
        ),
        replica_set("v1"),
        replica_set("v2", size=3, available=2, revision=2, age=timedelta(minutes=1)),
    )
    made.step()
    assert made.status.stable_rs == hash_for("v1")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_pods_that_have_ended_are_in_nobodys_way(phase):
    made = update(world())
    made.pods = [replace(each, status=replace(each.status, phase=phase)) for each in made.pods]
    made.run_to_phase(names.PHASE_HEALTHY)


def test_pods_of_somebody_else_are_in_nobodys_way():
    made = update(world())
    stranger = replica_set("v9", owners=())
    owned_by_other = replace(stranger, metadata=replace(stranger.metadata, name="other-123", uid="other"))
    orphan = pod("orphan", made.of_image("v1"))
    made.pods = [
        replace(orphan, metadata=replace(orphan.metadata, owner_references=())),
        pod("of-another-rollout", owned_by_other),
    ]
    made.run()
    assert made.shape() == "0/3"


def test_pods_of_a_replica_set_that_was_deleted_count_as_well():
    made = update(world())
    del made.replica_sets[made.of_image("v1").metadata.name]
    made.step()
    assert made.shape() == "0"
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)


def test_old_pods_must_have_gone_for_the_replica_sets_controller_too():
    made = update(world())
    made.end_pods()
    old = made.of_image("v1")
    made.replica_sets[old.metadata.name] = replace(old, status=replace(old.status, observed_generation=0))
    made.step()
    assert made.shape() == "0/0"


def test_pods_are_asked_for_only_before_the_first_pod_of_a_version():
    made = world()
    assert not plan_rollout(replace(made.snapshot(), pods=None), made.now).wants_pods
    made.set_image("v2")
    made.step()
    made.step()
    assert made.shape() == "3/0"
    assert not plan_rollout(replace(made.snapshot(), pods=None), made.now).wants_pods
    made.run()
    assert plan_rollout(replace(made.snapshot(), pods=None), made.now).wants_pods


def test_the_history_is_cleaned_only_when_the_old_pods_are_gone():
    made = world(revision_history_limit=0)
    update(made)
    assert len(made.replica_sets) == 2
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    made.step()
    # The superseded one is kept while it is the stable one, and goes afterwards.
    assert made.shape() == "3"


def test_a_finished_rollout_plans_nothing():
    made = update(world())
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.plan().writes_nothing


def test_a_third_version_takes_the_place_of_the_second():
    made = update(world())
    made.end_pods()
    made.broken_images.add("v2")
    made.run()
    made.set_image("v3")
    made.run()
    assert made.shape() == "0/0/0"
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/0/3"
    assert made.overlaps == 0


# ---- Phase, message, conditions --------------------------------------------------------------------------------------


def test_the_message_says_what_is_to_come():
    made = world()
    made.set_image("v2")
    messages = []
    for _ in range(12):
        made.step()
        if not messages or messages[-1] != made.status.message:
            messages.append(made.status.message)
        made.settle_pods()
        if len(made.plans) % 4 == 0:
            made.end_pods()
    assert messages == ["", "old replicas are pending termination", "more replicas need to be updated", ""]


def test_conditions_and_events_are_those_of_a_canary():
    made = update(world())
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert {each.type: each.status for each in made.status.conditions} == {
        names.CONDITION_HEALTHY: "True",
        names.CONDITION_PROGRESSING: "True",
        names.CONDITION_AVAILABLE: "True",
        names.CONDITION_COMPLETED: "True",
    }
    assert made.reason() == names.REASON_NEW_REPLICA_SET_AVAILABLE
    second = made.event_reasons()[made.event_reasons().index("RolloutCompleted") + 1 :]
    assert second == [
        "RolloutUpdated",
        "NewReplicaSetCreated",
        "RolloutNotCompleted",
        "ScalingReplicaSet",
        "ScalingReplicaSet",
        "RolloutCompleted",
    ]
    assert made.status.duration is not None
    assert made.status.duration.completion_status == names.COMPLETION_PROMOTED


def test_nothing_available_in_between_is_said():
    made = update(world())
    condition = made.condition(names.CONDITION_AVAILABLE)
    assert condition is not None
    assert condition.status == "False"


# ---- Pause -----------------------------------------------------------------------------------------------------------


def test_a_pause_keeps_the_old_version_up():
    made = world()
    made.change_spec(paused=True)
    made.set_image("v2")
    made.run()
    assert made.shape() == "3/0"
    assert (made.status.phase, made.status.message) == (names.PHASE_PAUSED, "manually paused")
    made.change_spec(paused=False)
    made.run()
    assert made.shape() == "0/0"


def test_a_pause_in_the_middle_keeps_the_new_version_from_starting():
    made = update(world())
    made.change_spec(paused=True)
    made.end_pods()
    made.run()
    assert made.shape() == "0/0"
    made.change_spec(paused=False)
    made.run_to_phase(names.PHASE_HEALTHY)


def test_a_pause_holds_up_promotion():
    made = update(world())
    made.broken_images.add("v2")
    made.end_pods()
    made.run()
    made.change_spec(paused=True)
    made.broken_images.clear()
    made.run()
    assert made.status.stable_rs == hash_for("v1")
    made.change_spec(paused=False)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.status.stable_rs == hash_for("v2")


# ---- Back ------------------------------------------------------------------------------------------------------------


def stuck():
    made = update(world())
    made.broken_images.add("v2")
    made.end_pods()
    made.run()
    return made


def test_abort_takes_the_new_version_away_before_the_old_one_comes_back():
    made = stuck()
    made.change_status(abort=True)
    made.run()
    assert made.shape() == "0/0"
    assert len(made.pods) == 3
    made.end_pods()
    made.run()
    assert made.shape() == "3/0"
    assert made.overlaps == 0
    assert made.status.phase == names.PHASE_DEGRADED
    assert made.status.message == "RolloutAborted: Rollout aborted update to revision 2"
    assert made.plan().writes_nothing


def test_abort_goes_back_although_the_rollout_is_paused():
    made = stuck()
    made.change_spec(paused=True)
    made.run()
    made.change_status(abort=True)
    made.run()
    made.end_pods()
    made.run()
    assert made.shape() == "3/0"


def test_retry_makes_the_same_move_again():
    made = stuck()
    made.change_status(abort=True)
    made.run()
    made.end_pods()
    made.run()
    made.broken_images.clear()
    made.change_status(abort=False)
    made.run()
    assert made.shape() == "0/0"
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/3"


def test_undo_in_the_middle_brings_the_stable_version_back():
    made = stuck()
    made.set_image("v1")
    made.run()
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "3/0"
    assert made.revision("v1") == 3
    assert made.overlaps == 0
    assert made.status.duration is not None
    assert made.status.duration.completion_status == names.COMPLETION_FAST_ROLLED_BACK


def test_undo_before_the_old_pods_are_gone_needs_no_wait_for_the_own_pods():
    made = update(world())
    made.set_image("v1")
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "3/0"


def test_undo_of_a_finished_update_recreates_as_well():
    made = update(world())
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    made.set_image("v1")
    made.run()
    assert made.shape() == "0/0"
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "3/0"


def test_full_promotion_skips_nothing_and_keeps_nobody_from_aborting():
    made = stuck()
    made.change_status(promote_full=True)
    made.run()
    assert made.status.promote_full is False
    assert made.status.stable_rs == hash_for("v1")
    assert made.shape() == "0/3"
    made.change_status(abort=True)
    made.run()
    made.end_pods()
    made.run()
    assert made.shape() == "3/0"
    assert made.overlaps == 0


def test_full_promotion_after_an_abort_tries_again():
    made = stuck()
    made.change_status(abort=True)
    made.run()
    made.end_pods()
    made.run()
    made.broken_images.clear()
    made.change_status(promote_full=True)
    made.run()
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/3"
    assert made.status.abort is False


def test_an_abort_of_a_promoted_version_is_dropped():
    made = world()
    made.change_status(abort=True)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.status.abort is False
    assert made.shape() == "3"


# ---- Deadline --------------------------------------------------------------------------------------------------------


def test_the_progress_deadline_counts():
    made = stuck()
    made.tick(601)
    made.run()
    assert made.status.phase == names.PHASE_DEGRADED
    assert made.reason() == names.REASON_PROGRESS_DEADLINE_EXCEEDED
    made.broken_images.clear()
    made.run_to_phase(names.PHASE_HEALTHY)


def test_the_progress_deadline_may_abort():
    made = stuck()
    made.change_spec(progress_deadline_abort=True)
    made.run()
    made.tick(601)
    made.run()
    made.end_pods()
    made.run()
    assert made.status.abort
    assert made.shape() == "3/0"
    assert "has timed out progressing" in made.status.message


# ---- Size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_changed_size_is_followed(size):
    made = world()
    made.change_spec(replicas=size)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == str(size)


def test_a_changed_size_is_followed_by_the_old_version_while_paused():
    made = world()
    made.change_spec(paused=True)
    made.set_image("v2")
    made.run()
    made.change_spec(replicas=5)
    made.run()
    assert made.shape() == "5/0"


def test_size_and_template_changed_together():
    made = world()
    made.set_image("v2")
    made.change_spec(replicas=5)
    made.run()
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/5"
    assert made.overlaps == 0


def test_a_size_that_changes_while_the_new_version_starts():
    made = stuck()
    made.change_spec(replicas=5)
    made.run()
    assert made.shape() == "0/5"
    made.broken_images.clear()
    made.run_to_phase(names.PHASE_HEALTHY)


def test_from_nothing_to_something_waits_for_old_pods_too():
    made = world(replicas=3)
    made.change_spec(replicas=0)
    made.run()
    made.set_image("v2")
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.status.stable_rs == hash_for("v2")
    made.change_spec(replicas=3)
    made.run()
    assert made.shape() == "0/0"
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/3"


# ---- Other strategies, restart ---------------------------------------------------------------------------------------


def test_switching_over_in_the_middle_of_a_canary_takes_the_stable_pods_away_first():
    made = RecreateWorld(
        rollout(
            strategy=RECREATE,
            image="v2",
            replicas=10,
            status=replace(
                world().status,
                current_pod_hash=hash_for("v2"),
                stable_rs=hash_for("v1"),
                current_step_index=1,
                current_step_hash="steps",
                controller_pause=True,
                pause_conditions=(paused_for(names.PAUSE_CANARY_STEP),),
            ),
        ),
        replica_set("v1", size=8, desired=10),
        replica_set("v2", size=2, desired=10, revision=2, age=timedelta(minutes=1)),
    )
    made.run()
    assert made.shape() == "0/2"
    made.end_pods()
    made.run()
    assert made.shape() == "0/10"
    assert made.status.current_step_index is None
    assert made.status.current_step_hash == ""


def test_switching_away_goes_on_as_a_canary():
    made = world()
    made.change_spec(strategy=RolloutStrategy(canary=CanaryStrategy()))
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "3"
    made.set_image("v2")
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/3"


def test_a_restart_takes_all_pods_at_once():
    made = world()
    made.change_spec(restart_at=NOW - timedelta(minutes=1))
    made.pods = [pod(f"pod-{number}", made.of_image("v1")) for number in range(3)]
    plan = made.step()
    assert [type(action) for action in plan.actions] == [EvictPod] * 3


def test_replica_sets_of_the_history_are_left_alone_when_the_size_changes():
    made = update(world())
    made.end_pods()
    made.run_to_phase(names.PHASE_HEALTHY)
    made.change_spec(replicas=5)
    plan = made.step()
    assert [action.name for action in plan.actions if isinstance(action, PatchReplicaSet)] == [
        made.of_image("v2").metadata.name
    ]
