"""What cluster and network can do to a controller: it loses nothing, never spins, and never stops other Rollouts."""

import asyncio
from typing import Any

import pytest
from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.sandbox.faults import Action, Answer, CutWatch, Delay, DelayEvents, Disconnect, ExpireWatch
from prograde.simulator.loop import run_virtually
from prograde.simulator.world import world

BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
NAME = "canary-demo"
CONTROLLER = "rollouts-controller"

WRITES = "patch,create"


@pytest.mark.parametrize(
    ("action", "filters"),
    [
        pytest.param(Answer(409), {"verbs": "patch", "resource": "replicasets", "times": 3}, id="conflicts on scaling"),
        pytest.param(
            Answer(409), {"verbs": "patch", "resource": "rollouts*", "times": 5}, id="conflicts on the status"
        ),
        pytest.param(Answer(409), {"verbs": "create", "resource": "replicasets", "times": 1}, id="conflict on create"),
        pytest.param(Answer(500), {"verbs": "patch", "probability": 0.3}, id="a third of the patches fail"),
        pytest.param(Answer(500, when="after"), {"verbs": "patch", "probability": 0.3}, id="answers are lost"),
        pytest.param(Answer(500, when="after"), {"verbs": "create", "times": 2}, id="the answer to a create is lost"),
        pytest.param(Answer(503), {"verbs": WRITES, "times": 4}, id="unavailable for a while"),
        pytest.param(Answer(429, retry_after_seconds=3), {"verbs": "patch", "times": 4}, id="too many requests"),
        pytest.param(Disconnect(), {"verbs": "patch", "times": 3}, id="connections break before"),
        pytest.param(Disconnect(when="after"), {"verbs": WRITES, "times": 3}, id="connections break after"),
        pytest.param(CutWatch(after_events=1), {"verbs": "watch"}, id="watches end after every event"),
        pytest.param(CutWatch(after_events=1, is_mid_line=True), {"verbs": "watch"}, id="watches break in mid-line"),
        pytest.param(ExpireWatch(after_events=2), {"verbs": "watch"}, id="watches expire"),
        pytest.param(DelayEvents(2.0), {"verbs": "watch"}, id="events come two seconds late"),
        pytest.param(Delay(0.7), {"verbs": WRITES}, id="every write is slow"),
    ],
)
def test_a_release_comes_through(action: Action, filters: dict[str, Any]) -> None:
    async def main() -> None:
        async with world() as it:
            it.apply(EXAMPLES / "canary.yaml")
            await it.until_phase(NAME, "Healthy")
            it.sandbox.faults.add(action, client=CONTROLLER, **filters)
            # Watches that are open already know nothing of the fault.
            it.sandbox.api.end_watches()
            it.set_image(NAME, YELLOW)
            await it.until_phase(NAME, "Paused", seconds=900)
            assert it.sizes() == {BLUE: 4, YELLOW: 1}
            it.promote(NAME)
            await it.until_phase(NAME, "Healthy", seconds=900)
            assert it.sizes() == {BLUE: 0, YELLOW: 5}
            assert it.rollout(NAME).status.collision_count is None
            assert len(it.sandbox.list("replicasets")) == 2
            assert sum(fault.hits for fault in it.sandbox.faults.faults) > 0, "the fault was never met"

    run_virtually(main())


@virtual_time
async def test_an_api_server_that_is_away_for_minutes_is_not_hammered_and_found_again() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        fault = it.sandbox.faults.add(Disconnect(), client=CONTROLLER)
        it.sandbox.api.end_watches()
        it.set_image(NAME, YELLOW)
        await asyncio.sleep(600)
        assert it.sizes() == {BLUE: 5}
        assert fault.hits < 5 * 600, "less than one request a second for each of the five watches"
        it.sandbox.faults.heal()
        await it.until_phase(NAME, "Paused", seconds=120)


@virtual_time
async def test_a_rollout_that_cannot_be_written_does_not_hold_up_another() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        other = (EXAMPLES / "canary.yaml").read_text().replace(NAME, "other")
        fault = it.sandbox.faults.add(Answer(500), verbs="patch", resource="rollouts*", name=NAME)
        it.apply(other)
        await it.until_phase("other", "Healthy", seconds=60)
        assert it.phase(NAME) != "Healthy"
        await asyncio.sleep(600)
        assert fault.hits < 150, "tried about every ten seconds, not in a loop"
        it.sandbox.faults.heal()
        await it.until_phase(NAME, "Healthy", seconds=60)


@virtual_time
async def test_an_invalid_rollout_is_frozen_with_a_message_and_another_goes_on() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        it.patch(NAME, {"spec": {"strategy": {"canary": {"maxSurge": 0, "maxUnavailable": 0}}}})
        await it.until_phase(NAME, "Degraded")
        message = it.rollout(NAME).status.message
        assert message.startswith("InvalidSpec: ")
        assert "MaxSurge and MaxUnavailable both can not be zero" in message
        it.set_image(NAME, YELLOW)
        it.apply((EXAMPLES / "canary.yaml").read_text().replace(NAME, "other"))
        await it.until_phase("other", "Healthy")
        assert len(it.sandbox.list("replicasets", labels=f"app={NAME}")) == 1, "nothing moves while it is invalid"
        before = len(it.writes())
        await asyncio.sleep(3600)
        assert len(it.writes()) == before
        it.patch(NAME, {"spec": {"strategy": {"canary": {"maxSurge": 1}}}})
        await it.until_phase(NAME, "Paused")


@virtual_time
async def test_history_that_is_gone_is_listed_again_with_the_deletions_in_between() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        it.sandbox.faults.add(Disconnect(), verbs="watch,list", client=CONTROLLER)
        it.sandbox.api.end_watches()
        it.sandbox.delete("rollouts", NAME)
        await asyncio.sleep(60)
        it.sandbox.expire_watches()
        it.sandbox.faults.heal()
        await it.until(lambda: it.event_reasons(NAME)[-1] == "RolloutDeleted", seconds=120)
