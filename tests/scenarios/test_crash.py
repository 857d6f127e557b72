"""The controller dies and another one starts, at any moment of a release: the outcome is the same."""

import asyncio
import random

import pytest
from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.simulator.loop import run_virtually
from prograde.simulator.world import World, world

BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
NAME = "canary-demo"


def available(it: World) -> int:
    return sum((each.get("status") or {}).get("availableReplicas", 0) for each in it.sandbox.list("replicasets"))


async def crash_at(seconds: float, downtime_seconds: float) -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, YELLOW)
        await asyncio.sleep(seconds)
        await it.crash_controller()
        assert available(it) >= 5, "a crash takes no capacity away"
        await asyncio.sleep(downtime_seconds)
        it.start_controller()
        await it.until_phase(NAME, "Paused", seconds=120)
        assert it.sizes() == {BLUE: 4, YELLOW: 1}
        assert it.rollout(NAME).status.current_step_index == 1
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy", seconds=300)
        assert it.sizes() == {BLUE: 0, YELLOW: 5}
        assert len(it.sandbox.list("replicasets")) == 2
        revisions = [
            each["metadata"]["annotations"]["rollout.argoproj.io/revision"] for each in it.sandbox.list("replicasets")
        ]
        assert sorted(revisions) == ["1", "2"]


@pytest.mark.parametrize("moment", range(20))
def test_a_crash_at_any_moment_of_an_update_changes_nothing_about_its_outcome(moment: int) -> None:
    rng = random.Random(moment)
    run_virtually(crash_at(rng.uniform(0, 1.5), rng.choice((0.0, 0.5, 20.0))))


@pytest.mark.parametrize("write", range(12))
@virtual_time
async def test_a_crash_right_after_any_write_changes_nothing_about_the_outcome(write: int) -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        before = len(it.writes())
        it.set_image(NAME, YELLOW)
        while len(it.writes()) <= before + write:
            await asyncio.sleep(0.001)
            if it.phase(NAME) == "Paused":
                break
        await it.crash_controller()
        it.start_controller()
        await it.until_phase(NAME, "Paused", seconds=120)
        assert it.sizes() == {BLUE: 4, YELLOW: 1}
        events = it.event_reasons(NAME)
        assert "RolloutDeleted" not in events
