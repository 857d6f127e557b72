"""Canary steps that plugins carry out: the real controller calls them, waits for them, and takes back what they did."""

from datetime import timedelta
from typing import Any

from tests.kube.virtual_time import virtual_time
from tests.scenarios.test_analysis_hooks import BLUE, GREEN, NAME, canary

from prograde.controller.stepplugins import StepContext, StepPlugin, StepPlugins, StepResult
from prograde.simulator.world import World, world

STEPS = ({"plugin": {"name": "acme/approve", "config": {"change": 7}}}, {"setWeight": 100})


class Approval(StepPlugin):
    """Waits for an approval that a test gives, and remembers what it was asked."""

    is_approved = False
    is_rejected = False
    calls: list[tuple[str, Any, Any]]

    def __init__(self) -> None:
        self.calls = []

    async def run(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        self.calls.append(("run", context.config, context.status))
        if self.is_rejected:
            return StepResult(phase="Failed", message="rejected")
        if self.is_approved:
            return StepResult(message="approved")
        return StepResult(
            phase="Running",
            message="nobody has approved yet",
            requeue_after=timedelta(minutes=1),
            status={"asked": rollout["metadata"]["name"]},
        )

    async def abort(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        self.calls.append(("abort", context.config, context.status))
        return StepResult()

    async def terminate(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        self.calls.append(("terminate", context.config, context.status))
        return StepResult()


def plugins(approval: Approval) -> StepPlugins:
    return StepPlugins(lambda: {"acme/approve": lambda: lambda: approval})


async def updating(it: World) -> None:
    it.apply(canary(*STEPS))
    await it.until_phase(NAME, "Healthy")
    it.set_image(NAME, GREEN)


@virtual_time
async def test_a_release_waits_for_its_plugin_and_goes_on_with_it() -> None:
    approval = Approval()
    async with world(call_plugin=plugins(approval).call) as it:
        await updating(it)
        await it.until(lambda: len(approval.calls) == 3)
        assert approval.calls[0] == ("run", {"change": 7}, None)
        assert approval.calls[1] == ("run", {"change": 7}, {"asked": NAME})
        (entry,) = it.rollout(NAME).status.canary.step_plugin_statuses
        assert (entry.phase, entry.executions, entry.backoff) == ("Running", 3, "1m0s")
        approval.is_approved = True
        await it.until_phase(NAME, "Healthy")
        assert it.sizes() == {BLUE: 0, GREEN: 2}
        assert "StepPluginTransition" in it.event_reasons(NAME)


@virtual_time
async def test_a_plugin_that_says_no_takes_the_release_back() -> None:
    approval = Approval()
    approval.is_rejected = True
    async with world(call_plugin=plugins(approval).call) as it:
        await updating(it)
        await it.until_phase(NAME, "Degraded")
        assert it.rollout(NAME).status.message.endswith("Step Plugin 1 (acme/approve) failed: rejected")
        assert [name for name, *_ in approval.calls] == ["run"]


@virtual_time
async def test_an_abort_reaches_the_plugin_once_and_a_retry_begins_anew() -> None:
    approval = Approval()
    async with world(call_plugin=plugins(approval).call) as it:
        await updating(it)
        await it.until(lambda: len(approval.calls) == 1)
        it.abort(NAME)
        await it.until(lambda: approval.calls[-1][0] == "abort")
        await it.until_phase(NAME, "Degraded")
        it.retry(NAME)
        await it.until(lambda: approval.calls[-1] == ("run", {"change": 7}, None))
        assert [name for name, *_ in approval.calls] == ["run", "abort", "run"]


@virtual_time
async def test_a_plugin_that_is_not_installed_is_reported_and_used_as_soon_as_it_is_there() -> None:
    approval = Approval()
    approval.is_approved = True
    installed: dict[str, Any] = {}
    async with world(call_plugin=StepPlugins(lambda: installed).call) as it:
        await updating(it)
        await it.until(lambda: "ReconciliationError" in it.event_reasons(NAME))
        assert it.phase(NAME) == "Progressing"
        installed["acme/approve"] = lambda: lambda: approval
        await it.until_phase(NAME, "Healthy", seconds=60)
