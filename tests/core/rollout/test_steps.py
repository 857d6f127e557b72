"""How a step reads, when a pause is over, and what stands in the way of both."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import World, pause, rollout, weight

from prograde.api.rollout import (
    CanaryStep,
    CanaryStrategy,
    ExperimentStep,
    PluginStep,
    RolloutAnalysis,
    RolloutPause,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
)
from prograde.core.plan import WaitReason
from prograde.core.rollout.steps import step_text


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (weight(10), "setWeight: 10"),
        (weight(0), "setWeight: 0"),
        (pause(), "pause"),
        (pause("1h"), "pause: 1h"),
        (pause(30), "pause: 30"),
        (CanaryStep(experiment=ExperimentStep()), "experiment"),
        (CanaryStep(analysis=RolloutAnalysis()), "analysis"),
        (CanaryStep(set_canary_scale=SetCanaryScale(weight=5)), "setCanaryScale{weight: 5}"),
        (
            CanaryStep(set_canary_scale=SetCanaryScale(weight=5, match_traffic_weight=True, replicas=3)),
            "setCanaryScale{weight: 5}",
        ),
        (
            CanaryStep(set_canary_scale=SetCanaryScale(match_traffic_weight=True, replicas=3)),
            "setCanaryScale{matchTrafficWeight: true}",
        ),
        (CanaryStep(set_canary_scale=SetCanaryScale(replicas=3)), "setCanaryScale{replicas: 3}"),
        (CanaryStep(plugin=PluginStep(name="a/b")), "plugin: a/b"),
        (CanaryStep(set_header_route=SetHeaderRoute(name="h")), "setHeaderRoute: h"),
        (CanaryStep(set_mirror_route=SetMirrorRoute(name="m")), "setMirrorRoute: m"),
        (CanaryStep(), "invalid"),
        (CanaryStep(set_weight=10, pause=RolloutPause()), "setWeight: 10"),
        (CanaryStep(set_canary_scale=SetCanaryScale(), plugin=PluginStep(name="p")), "plugin: p"),
    ],
)
def test_the_first_member_says_what_a_step_does(step: CanaryStep, text: str) -> None:
    assert step_text(step) == text


def paused(*steps: CanaryStep) -> World:
    world = World(rollout(canary=CanaryStrategy(steps=steps), replicas=5))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    return world


@pytest.mark.parametrize(
    ("duration", "seconds", "shown"),
    [(30, 30, "30 s"), ("30", 30, "30 s"), ("1m30s", 90, "1m30s"), ("1.5h", 5400, "1.5h"), ("1500ms", 1, "1500ms")],
)
def test_a_pause_says_how_long_it_takes_and_when_it_ends(duration: int | str, seconds: int, shown: str) -> None:
    world = paused(pause(duration))
    wait = world.plan().waits[0]
    assert (wait.reason, wait.message) == (WaitReason.PAUSE_STEP, f"paused at step 1/1 for {shown}")
    assert wait.since == world.status.pause_conditions[0].start_time
    assert wait.since is not None
    assert wait.until == wait.since + timedelta(seconds=seconds)


def test_a_pause_of_no_length_lasts_until_the_next_look() -> None:
    world = World(rollout(canary=CanaryStrategy(steps=(pause(0), pause())), replicas=5))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert world.status.current_step_index == 0
    requeue_at = world.plan().requeue_at
    assert requeue_at is not None
    world.now = requeue_at
    world.run_to_phase("Paused")
    assert world.status.current_step_index == 1


def test_a_pause_in_front_keeps_the_canary_at_no_pods() -> None:
    world = paused(pause(), weight(40))
    assert world.shape() == "5/0"
