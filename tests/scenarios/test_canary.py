import asyncio
import logging

import pytest
from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.simulator.world import world

BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
BROKEN = "argoproj/rollouts-demo:does-not-exist"
NAME = "canary-demo"


@virtual_time
async def test_the_canary_example_goes_through_its_steps_and_comes_back_from_a_broken_version() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        assert it.sizes() == {BLUE: 5}
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert it.sizes() == {BLUE: 4, YELLOW: 1}
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        assert it.sizes() == {BLUE: 0, YELLOW: 5}
        it.set_image(NAME, BROKEN)
        await it.until_phase(NAME, "Degraded")
        it.abort(NAME)
        await it.until(lambda: it.sizes()[BROKEN] == 0)
        assert it.sizes()[YELLOW] == 5
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Healthy")


@virtual_time
async def test_events_come_in_the_order_that_tools_expect(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def reasons() -> list[str]:
        """Return the reasons as recorded: the cluster counts repeated events up instead of listing them again."""
        shown = (getattr(record, "prograde_fields", {}) for record in caplog.records)
        return [values["event_reason"] for values in shown if "event_reason" in values]

    async with world() as it:
        it.apply((EXAMPLES / "canary.yaml").read_text())
        await it.until_phase(NAME, "Healthy")
        steps = [{"setWeight": 50}, {"pause": {"duration": "3s"}}]
        it.patch(NAME, {"spec": {"replicas": 1, "strategy": {"canary": {"steps": steps}}}})
        await it.until(lambda: it.rollout(NAME).status.replicas == 1)
        await asyncio.sleep(5)
        caplog.clear()
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        it.abort(NAME)
        await it.until(lambda: it.sizes()[YELLOW] == 0)
        await it.until_phase(NAME, "Degraded")
        it.retry(NAME)
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(5)
        update = ["RolloutUpdated", "NewReplicaSetCreated", "RolloutNotCompleted"]
        to_pause = ["ScalingReplicaSet", "RolloutStepCompleted", "RolloutPaused"]
        abort = ["ScalingReplicaSet", "RolloutAborted"]
        end = ["RolloutStepCompleted", "RolloutResumed", "ScalingReplicaSet", "RolloutCompleted"]
        assert reasons() == [*update, *to_pause, *abort, *to_pause, *end]


@virtual_time
async def test_nothing_is_written_while_nothing_changes() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(60)
        before = len(it.writes())
        await asyncio.sleep(4 * 3600)
        assert len(it.writes()) == before


@virtual_time
async def test_the_guarded_example_takes_a_broken_version_away_by_itself_and_rolls_back_fast() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary-guarded.yaml")
        name = "guarded-demo"
        await it.until_phase(name, "Healthy")
        it.set_image(name, BROKEN)
        await it.until_phase(name, "Degraded")
        await it.until(lambda: it.sizes()[BROKEN] == 0)
        assert it.rollout(name).status.abort
        it.set_image(name, YELLOW)
        await it.until_phase(name, "Healthy")
        assert it.sizes()[YELLOW] == 10
        first = next(image for image in it.sizes() if image not in (BROKEN, YELLOW))
        it.set_image(name, first)
        await it.until_phase(name, "Healthy", seconds=30)
        assert it.sizes()[first] == 10


@virtual_time
async def test_a_change_of_size_in_the_middle_of_a_pause_keeps_the_weight() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        it.patch(NAME, {"spec": {"replicas": 10}})
        await it.until(lambda: it.sizes() == {BLUE: 8, YELLOW: 2})
        assert it.rollout(NAME).status.current_step_index == 1


@virtual_time
async def test_deleting_a_rollout_takes_everything_below_it_along() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        it.sandbox.delete("rollouts", NAME)
        await it.until(lambda: not it.sandbox.list("replicasets") and not it.sandbox.list("pods"), seconds=60)
        assert it.event_reasons(NAME)[-1] == "RolloutDeleted"
