"""Corners that lie between the strategies: order of writes, timers, repeated commands."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import World, pause, rollout, weight

from prograde.api.rollout import CanaryStep, CanaryStrategy, RolloutStrategy

STEPS = (weight(20), pause())


def promoted(*steps: CanaryStep, replicas: int = 10) -> World:
    world = World(rollout(canary=CanaryStrategy(steps=steps or STEPS), replicas=replicas))
    world.run_to_phase("Healthy")
    world.events.clear()
    return world


def paused(*steps: CanaryStep, replicas: int = 10) -> World:
    world = promoted(*steps, replicas=replicas)
    world.set_image("v2")
    world.run_to_phase("Paused")
    return world


@pytest.mark.parametrize("extra", [{"abort": True}, {"promote_full": True}], ids=["abort", "full promotion"])
def test_a_command_that_is_given_twice_has_the_effect_of_one(extra: dict[str, bool]) -> None:
    once, twice = paused(), paused()
    once.change_status(**extra)
    once.run()
    twice.change_status(**extra)
    twice.run()
    twice.change_status(**extra)
    twice.run()
    assert twice.shape() == once.shape()
    assert (twice.status.phase, twice.status.stable_rs) == (once.status.phase, once.status.stable_rs)


def test_steps_that_grow_in_the_middle_of_an_update_begin_again_with_the_first() -> None:
    world = paused()
    before = world.status.current_step_hash
    world.change_strategy(steps=(*STEPS, weight(60), pause()))
    world.step()
    assert world.status.current_step_index == 0
    assert world.status.current_step_hash != before
    world.run_to_phase("Paused")
    assert (world.shape(), world.status.current_step_index) == ("8/2", 1)


def test_a_third_version_applied_at_a_pause_pauses_again_with_the_second_gone() -> None:
    world = paused(weight(25), pause(), replicas=4)
    assert world.shape() == "3/1"
    world.set_image("v3")
    world.run_to_phase("Paused")
    assert world.shape() == "3/0/1"


def test_the_ratio_at_a_pause_survives_every_change_of_size() -> None:
    world = paused(weight(25), pause(), replicas=4)
    for replicas, shape in ((8, "6/2"), (4, "3/1"), (1, "1/1")):
        world.change_spec(replicas=replicas)
        world.run()
        assert (world.shape(), world.status.current_step_index) == (shape, 1)


def test_switching_the_strategy_of_an_idle_rollout_writes_no_history_of_an_update() -> None:
    world = promoted()
    before = world.status.duration
    world.change_spec(strategy=RolloutStrategy(canary=CanaryStrategy(steps=(weight(50),))))
    world.run_to_phase("Healthy")
    assert world.shape() == "10"
    assert world.status.duration == before
    assert world.event_reasons() == ["SkipSteps"]


def test_a_missed_deadline_does_not_block_the_progress_that_comes_later() -> None:
    world = promoted()
    world.change_spec(progress_deadline_seconds=5)
    world.run()
    world.broken_images.add("v2")
    world.set_image("v2")
    world.run()
    world.tick(7)
    world.run_to_phase("Degraded")
    world.broken_images.clear()
    world.run_to_phase("Paused")
    world.tick(3600)
    assert world.plan().writes_nothing
    world.change_status(pause_conditions=())
    world.run_to_phase("Healthy")


def test_a_timed_pause_that_ended_while_the_controller_was_away_ends_at_once_and_once() -> None:
    world = paused(weight(20), pause("60s"), pause("60s"))
    world.tick(timedelta(hours=1).total_seconds())
    world.run_to_phase("Paused")
    assert world.status.current_step_index == 2
    (condition,) = world.status.pause_conditions
    assert condition.start_time == world.now


def test_nothing_is_promoted_while_the_user_has_paused_even_if_every_pod_is_new() -> None:
    world = paused(weight(100), pause())
    assert world.shape() == "0/10"
    before = world.status.stable_rs
    world.change_spec(paused=True)
    world.change_status(promote_full=True)
    world.run()
    assert world.status.stable_rs == before
    world.change_spec(paused=False)
    world.run_to_phase("Healthy")
    assert world.status.stable_rs == world.hash("v2")
