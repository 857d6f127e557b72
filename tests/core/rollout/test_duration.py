"""How long an attempt takes, what of that was waiting for people, and how it ended."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import NOW, World, pause, rollout, weight

from prograde.api.rollout import CanaryStrategy, DurationStatus
from prograde.core.rollout.duration import Attempt, finished_attempt

STEPS = CanaryStrategy(steps=(weight(20), pause(), weight(40), pause(30)))


def duration(world: World) -> DurationStatus:
    found = world.status.duration
    assert found is not None
    return found


def updating() -> World:
    """Return a world that waits at the first, manual pause since a known time."""
    world = World(rollout(canary=STEPS, replicas=5))
    world.run_to_phase("Healthy")
    world.tick(1000)
    world.set_image("v2")
    world.run_to_phase("Paused")
    return world


def test_an_attempt_runs_from_the_new_template_to_promotion_and_availability() -> None:
    world = updating()
    began = duration(world).rollout_started_at
    assert began is not None
    assert duration(world).finished_at is None
    world.tick(50)
    world.change_status(pause_conditions=())
    world.run_to_phase("Paused")
    world.tick(31)
    world.run_to_phase("Healthy")
    found = duration(world)
    assert found.completion_status == "Promoted"
    assert found.finished_at == world.now
    assert found.total_manual_pause_duration_seconds == 50, "the timed pause is not a manual one"
    assert found.manual_pause_started_at is None


def test_a_first_deployment_is_an_attempt_too_and_ends_when_the_pods_are_there() -> None:
    world = World(rollout(canary=STEPS))
    for _ in range(3):
        world.step()
    assert duration(world).completion_status == "Promoted"
    assert duration(world).finished_at is None
    world.tick(20)
    world.settle_pods()
    world.step()
    assert duration(world).finished_at == world.now


def test_a_manual_pause_is_open_while_it_lasts() -> None:
    world = updating()
    assert duration(world).manual_pause_started_at is not None


def test_a_user_pause_counts_as_manual() -> None:
    world = updating()
    world.change_status(pause_conditions=())
    world.run_to_phase("Paused")
    before = duration(world).total_manual_pause_duration_seconds or 0
    world.change_spec(paused=True)
    world.run()
    world.tick(7)
    world.change_spec(paused=False)
    world.run()
    assert duration(world).total_manual_pause_duration_seconds == before + 7


def test_an_abort_ends_the_attempt_and_its_pause() -> None:
    world = updating()
    world.tick(9)
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    found = duration(world)
    assert found.completion_status == "Aborted"
    assert found.finished_at is not None
    assert found.total_manual_pause_duration_seconds == 9
    assert found.manual_pause_started_at is None


def test_a_retry_begins_another_attempt() -> None:
    world = updating()
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.tick(100)
    world.change_status(abort=False)
    world.step()
    found = duration(world)
    assert (found.rollout_started_at, found.finished_at, found.completion_status) == (world.now, None, "")


def test_another_template_supersedes_the_attempt() -> None:
    world = updating()
    before = duration(world)
    world.tick(60)
    world.set_image("v3")
    world.step()
    world.step()
    after = duration(world)
    assert after.rollout_started_at == world.now
    assert after.completion_status == ""
    attempt = finished_attempt(before, after, world.now)
    assert attempt is not None
    assert attempt.completion_status == "Superseded"
    assert attempt.paused >= timedelta(seconds=60)


def test_going_back_to_stable_goes_on_as_a_fast_rollback() -> None:
    world = updating()
    began = duration(world).rollout_started_at
    world.set_image("v1")
    world.step()
    assert (duration(world).completion_status, duration(world).rollout_started_at) == ("FastRolledBack", began)
    world.run_to_phase("Healthy")
    assert duration(world).completion_status == "FastRolledBack"
    assert duration(world).finished_at is not None


def test_going_back_to_an_older_revision_goes_on_as_a_rollback() -> None:
    world = updating()
    world.change_status(promote_full=True)
    world.run_to_phase("Healthy")
    world.set_image("v3")
    world.run_to_phase("Paused")
    world.set_image("v1")
    world.step()
    assert duration(world).completion_status == "RolledBack"


def test_editing_the_steps_of_an_idle_rollout_begins_no_attempt() -> None:
    world = World(rollout(canary=STEPS))
    world.run_to_phase("Healthy")
    before = world.status.duration
    world.tick(100)
    world.change_strategy(steps=(weight(10),))
    world.run_to_phase("Healthy")
    assert world.status.duration == before


STARTED = DurationStatus(rollout_started_at=NOW, total_manual_pause_duration_seconds=10)
FINISHED = DurationStatus(
    rollout_started_at=NOW,
    finished_at=NOW + timedelta(seconds=60),
    completion_status="Promoted",
    total_manual_pause_duration_seconds=20,
)
PAUSED = DurationStatus(rollout_started_at=NOW, manual_pause_started_at=NOW + timedelta(seconds=5))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, STARTED, None),
        (STARTED, STARTED, None),
        (FINISHED, FINISHED, None),
        (FINISHED, DurationStatus(rollout_started_at=NOW + timedelta(hours=1)), None),
        (STARTED, FINISHED, Attempt("Promoted", timedelta(seconds=60), timedelta(seconds=20))),
        (
            PAUSED,
            DurationStatus(rollout_started_at=NOW + timedelta(seconds=30)),
            Attempt("Superseded", timedelta(seconds=30), timedelta(seconds=25)),
        ),
    ],
)
def test_an_attempt_is_reported_once_by_the_write_that_ends_it(
    old: DurationStatus | None, new: DurationStatus, expected: Attempt | None
) -> None:
    assert finished_attempt(old, new, NOW + timedelta(seconds=30)) == expected


def test_what_was_not_a_pause_was_progress() -> None:
    attempt = Attempt("Promoted", timedelta(seconds=60), timedelta(seconds=20))
    assert attempt.progressing == timedelta(seconds=40)
