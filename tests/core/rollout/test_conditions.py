"""Conditions: how they are set, what each says, and what counts as progress."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import (
    NAME,
    NOW,
    World,
    condition,
    hash_for,
    pause,
    paused_for,
    progressing,
    replace,
    rollout,
    weight,
)

from prograde.api import names
from prograde.api.rollout import CanaryStrategy, RolloutStatus
from prograde.core.plan import WaitReason
from prograde.core.rollout.conditions import put_condition, remove_condition, set_condition, settle_pause

HOUR = timedelta(hours=1)
STEPS = CanaryStrategy(steps=(weight(20), pause()))

# ---- The list ---------------------------------------------------------------------------------------------------

OLD = condition("A", "True", "Because", message="old", ago=HOUR)
OTHER = condition("B", "True", "Whatever", ago=HOUR)


def test_setting_a_condition_of_the_same_status_and_reason_changes_nothing_at_all() -> None:
    conditions = (OLD, OTHER)
    assert set_condition(conditions, condition("A", "True", "Because", message="new")) is conditions


def test_another_reason_keeps_the_time_of_transition_and_moves_the_condition_to_the_end() -> None:
    new = condition("A", "True", "Otherwise")
    assert set_condition((OLD, OTHER), new) == (OTHER, replace(new, last_transition_time=NOW - HOUR))


def test_another_status_has_a_new_time_of_transition() -> None:
    new = condition("A", "False", "Because")
    assert set_condition((OLD, OTHER), new) == (OTHER, new)


def test_putting_a_condition_replaces_even_an_equal_one() -> None:
    new = condition("A", "True", "Because", message="old")
    assert put_condition((OLD, OTHER), new) == (OTHER, replace(new, last_transition_time=NOW - HOUR))


def test_removing_leaves_the_rest_in_order() -> None:
    assert remove_condition((OLD, OTHER), "A") == (OTHER,)
    assert remove_condition((OTHER,), "A") == (OTHER,)


# ---- Healthy and its flicker ------------------------------------------------------------------------------------


def state(world: World, kind: str) -> tuple[str, str, str]:
    found = world.condition(kind)
    return (found.status, found.reason, found.message) if found is not None else ("", "", "")


def test_a_healthy_rollout_says_so_in_five_conditions() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    name = f"{NAME}-{hash_for('v1')}"
    assert state(world, "Healthy") == ("True", "RolloutHealthy", "Rollout is healthy")
    assert state(world, "Available") == ("True", "AvailableReason", "Rollout has minimum availability")
    assert state(world, "Completed") == ("True", "RolloutCompleted", "RolloutCompleted")
    assert state(world, "Progressing") == (
        "True",
        "NewReplicaSetAvailable",
        f'ReplicaSet "{name}" has successfully progressed.',
    )
    assert world.condition("Paused") is None, "a Rollout that was never paused has no such condition"
    assert world.condition("ReplicaFailure") is None


def test_any_change_of_the_spec_makes_a_rollout_unhealthy_for_one_plan() -> None:
    """Kept: tools watch for the flicker."""
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    world.change_spec(revision_history_limit=3)
    world.step()
    assert state(world, "Healthy") == ("False", "RolloutHealthy", "Rollout is not healthy")
    assert state(world, "Progressing") == (
        "True",
        "ReplicaSetNotAvailable",
        "Rollout does not have minimum availability",
    )
    assert world.status.phase == "Healthy"
    world.step()
    assert state(world, "Healthy")[0] == "True"
    assert state(world, "Progressing")[1] == "NewReplicaSetAvailable"
    assert world.plan().writes_nothing


def test_the_healthy_condition_appears_only_with_the_first_health() -> None:
    world = World(rollout(canary=STEPS))
    world.step()
    world.step()
    assert world.condition("Healthy") is None


def test_lost_availability_turns_the_available_condition() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    world.broken_images.add("v1")
    world.settle_pods()
    world.run()
    assert state(world, "Available") == ("False", "AvailableReason", "Rollout does not have minimum availability")


def test_an_update_is_not_completed_until_promotion() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    world.events.clear()
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert state(world, "Completed") == ("False", "RolloutCompleted", "RolloutCompleted")
    messages = [each.message for each in world.events if each.reason == "RolloutNotCompleted"]
    assert messages == [f"Rollout not completed, started update to revision 2 ({hash_for('v2')})"]


def test_a_failure_to_create_pods_is_copied_and_explained_and_goes_away_again() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    failing = world.of_image("v1")
    failure = condition("ReplicaFailure", "True", "FailedCreate", message="no quota", ago=HOUR)
    status = replace(failing.status, conditions=(failure,), available_replicas=2)
    world.replica_sets[failing.metadata.name] = replace(failing, status=status)
    plan = world.step()
    assert world.condition("ReplicaFailure") == failure
    assert plan.waits[0].reason is WaitReason.REPLICA_FAILURE
    assert "no quota" in plan.waits[0].message
    world.settle_pods()
    world.run_to_phase("Healthy")
    assert world.condition("ReplicaFailure") is None


# ---- Progress ---------------------------------------------------------------------------------------------------


def test_every_bit_of_progress_restarts_the_clock_but_keeps_the_time_of_transition() -> None:
    world = World(rollout(canary=CanaryStrategy(), replicas=3))
    world.step()
    world.step()
    began = world.condition("Progressing")
    assert began is not None
    world.step()
    name = next(iter(world.replica_sets))
    for available in (1, 2):
        world.tick(100)
        each = world.replica_sets[name]
        status = replace(each.status, replicas=3, ready_replicas=available, available_replicas=available)
        world.replica_sets[name] = replace(each, status=status)
        world.step()
        found = world.condition("Progressing")
        assert found is not None
        assert (found.reason, found.last_update_time) == ("ReplicaSetUpdated", world.now)
        assert found.message == f'ReplicaSet "{name}" is progressing.'
        assert found.last_transition_time == began.last_transition_time


# ---- Pauses in the conditions -----------------------------------------------------------------------------------


def settled(
    *conditions: object, paused: bool = False, pauses: bool = False, abort: bool = False, completed: bool = False
) -> list[tuple[str, str, str]]:
    """Return what the conditions of an observed Rollout become."""
    status = RolloutStatus(
        observed_generation="1",
        conditions=tuple(conditions),  # type: ignore[arg-type]
        abort=abort,
        pause_conditions=(paused_for("CanaryPauseStep"),) if pauses else (),
        current_pod_hash="new",
        stable_rs="new" if completed else "old",
    )
    return [(each.type, each.status, each.reason) for each in settle_pause(rollout(status=status, paused=paused), NOW)]


UPDATED = progressing("ReplicaSetUpdated", ago=HOUR)
MARKED = (progressing("RolloutPaused", "Unknown", ago=HOUR), condition("Paused", "True", "RolloutPaused", ago=HOUR))


def test_a_pause_is_marked_in_both_conditions() -> None:
    expected = [("Progressing", "Unknown", "RolloutPaused"), ("Paused", "True", "RolloutPaused")]
    assert settled(UPDATED, pauses=True) == expected
    assert settled(UPDATED, paused=True) == expected


def test_a_resume_is_marked_in_both_conditions() -> None:
    assert settled(*MARKED) == [("Progressing", "Unknown", "RolloutResumed"), ("Paused", "False", "RolloutPaused")]


def test_what_is_in_line_is_not_touched() -> None:
    assert settled(*MARKED, pauses=True) == [
        ("Progressing", "Unknown", "RolloutPaused"),
        ("Paused", "True", "RolloutPaused"),
    ]
    assert settled(UPDATED) == [("Progressing", "True", "ReplicaSetUpdated")]


def test_a_completed_rollout_that_its_user_pauses_keeps_its_reason_of_progress() -> None:
    assert settled(UPDATED, paused=True, completed=True) == [
        ("Progressing", "True", "ReplicaSetUpdated"),
        ("Paused", "True", "RolloutPaused"),
    ]


def test_an_abort_keeps_the_conditions_and_its_end_is_a_retry() -> None:
    aborted = (progressing("RolloutAborted", "False", ago=HOUR), MARKED[1])
    assert settled(*aborted, abort=True) == [
        ("Progressing", "False", "RolloutAborted"),
        ("Paused", "True", "RolloutPaused"),
    ]
    assert settled(*aborted) == [("Paused", "True", "RolloutPaused"), ("Progressing", "Unknown", "RolloutRetry")]


def test_nothing_is_done_about_pauses_before_the_spec_has_been_observed() -> None:
    status = RolloutStatus(observed_generation="1", conditions=(UPDATED,))
    unobserved = rollout(status=status, paused=True, generation=2)
    assert settle_pause(unobserved, NOW) is status.conditions


def test_the_texts_of_pause_conditions_do_not_turn_with_their_status() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert state(world, "Progressing") == ("Unknown", "RolloutPaused", "Rollout is paused")
    assert state(world, "Paused") == ("True", "RolloutPaused", "Rollout is paused")
    world.change_status(pause_conditions=())
    world.step()
    assert state(world, "Paused") == ("False", "RolloutPaused", "Rollout is paused")


def test_a_user_pause_of_an_idle_rollout_has_no_event() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    world.events.clear()
    world.change_spec(paused=True)
    world.run_to_phase("Paused")
    world.change_spec(paused=False)
    world.run_to_phase("Healthy")
    assert world.events == []
    assert state(world, "Paused")[0] == "False"


@pytest.mark.parametrize("seconds", [0, 599, 600])
def test_until_the_deadline_has_passed_nothing_is_timed_out(seconds: int) -> None:
    world = World(rollout(canary=CanaryStrategy()))
    world.broken_images.add("v1")
    world.run()
    found = world.condition("Progressing")
    assert found is not None
    assert found.last_update_time is not None
    world.now = found.last_update_time + timedelta(seconds=seconds)
    assert world.plan().writes_nothing
    assert world.reason() == names.REASON_REPLICA_SET_UPDATED
