"""Finding, loading and calling step plugins."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from prograde.api.meta import ObjectMeta
from prograde.api.rollout import Rollout
from prograde.controller.stepplugins import ENTRY_POINT_GROUP, StepContext, StepPlugin, StepPlugins, StepResult
from prograde.core.plan import PluginCall
from prograde.core.rollout.snapshot import PluginAnswer

ROLLOUT = Rollout(metadata=ObjectMeta(name="cart", namespace="shop"))


def call(operation: Any = "Run", **members: Any) -> PluginCall:
    return PluginCall(index=0, name="acme/approve", operation=operation, **members)


def answer_of(plugin: Any, asked: PluginCall | None = None, **options: Any) -> PluginAnswer:
    """Let `plugin`, a class or anything else that may stand behind an entry point, answer one call."""
    plugins = StepPlugins(lambda: {"acme/approve": lambda: plugin}, **options)
    return asyncio.run(plugins.call(ROLLOUT, asked or call()))


class Recorder(StepPlugin):
    """Says what it was asked."""

    async def run(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        seen = {"rollout": rollout["metadata"]["name"], "config": context.config, "status": context.status}
        return StepResult(phase="Running", message="asking", requeue_after=timedelta(minutes=1), status=seen)


def test_a_plugin_sees_the_rollout_its_configuration_and_what_it_returned_before():
    found = answer_of(Recorder, call(config=b'{"change": 7}', status=b'"begun"'))
    assert (found.phase, found.message, found.requeue_after) == ("Running", "asking", timedelta(minutes=1))
    assert found.status == b'{"rollout":"cart","config":{"change":7},"status":"begun"}'


def test_a_first_call_without_configuration_sees_nothing():
    assert answer_of(Recorder).status == b'{"rollout":"cart","config":null,"status":null}'


@pytest.mark.parametrize("operation", ["Terminate", "Abort"])
def test_ending_a_plugin_that_has_nothing_to_end_succeeds(operation):
    assert answer_of(Recorder, call(operation)) == PluginAnswer(call=call(operation), phase="Successful")


class Ending(StepPlugin):
    async def terminate(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        return StepResult(message="terminated")

    async def abort(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        return StepResult(phase="Failed", message="aborted")


@pytest.mark.parametrize(
    ("operation", "phase", "message"), [("Terminate", "Successful", "terminated"), ("Abort", "Failed", "aborted")]
)
def test_each_operation_has_a_method(operation, phase, message):
    found = answer_of(Ending, call(operation))
    assert (found.phase, found.message) == (phase, message)


class Raising(StepPlugin):
    async def run(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        raise RuntimeError("no connection")


class Silent(StepPlugin):
    async def run(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        raise KeyError


class Slow(StepPlugin):
    async def run(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        await asyncio.Event().wait()
        return StepResult()


class Wrong(StepPlugin):
    async def run(self, rollout: dict[str, Any], context: StepContext) -> Any:
        return "done"


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        pytest.param(Raising, "no connection", id="raises"),
        pytest.param(Silent, "KeyError", id="raises without words"),
        pytest.param(Slow, "no answer within 0.01 s", id="takes too long"),
        pytest.param(Wrong, "str is no StepResult", id="answers something else"),
    ],
)
def test_a_plugin_that_fails_to_answer_is_an_exception_in_the_answer(plugin, words):
    assert answer_of(plugin, call_seconds_max=0.01) == PluginAnswer(call=call(), exception=words)


class _Broken(StepPlugin):
    def __init__(self) -> None:
        raise ImportError("no module named acme")


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        pytest.param(_Broken, "no module named acme", id="does not load"),
        pytest.param(dict, "its entry point makes a dict and no StepPlugin", id="is no plugin"),
    ],
)
def test_a_plugin_that_does_not_load_is_unusable(plugin, words):
    assert answer_of(plugin).unusable == f"unable to load plugin (acme/approve): {words}"


def test_a_plugin_that_is_not_installed_is_unusable_and_the_text_names_the_group():
    plugins = StepPlugins()
    found = asyncio.run(plugins.call(ROLLOUT, call()))
    assert found.unusable.startswith("unable to load plugin (acme/approve)")
    assert ENTRY_POINT_GROUP in found.unusable


def test_a_disabled_plugin_is_not_even_loaded():
    assert answer_of(_Broken, disabled=frozenset({"acme/approve"})) == PluginAnswer(call=call(), is_disabled=True)


def test_a_plugin_is_made_once_for_all_calls():
    made = []

    class Counted(Recorder):
        def __init__(self) -> None:
            made.append(self)

    plugins = StepPlugins(lambda: {"acme/approve": lambda: Counted})

    async def twice() -> None:
        await plugins.call(ROLLOUT, call())
        await plugins.call(ROLLOUT, call("Abort"))

    asyncio.run(twice())
    assert len(made) == 1


def test_a_plugin_that_is_installed_later_is_found():
    installed: dict[str, Any] = {}
    plugins = StepPlugins(lambda: installed)

    async def later() -> PluginAnswer:
        assert (await plugins.call(ROLLOUT, call())).unusable
        installed["acme/approve"] = lambda: Recorder
        return await plugins.call(ROLLOUT, call())

    assert asyncio.run(later()).phase == "Running"


def test_a_cancelled_pass_cancels_the_call():
    async def work() -> None:
        plugins = StepPlugins(lambda: {"acme/approve": lambda: Slow})
        task = asyncio.create_task(plugins.call(ROLLOUT, call()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
