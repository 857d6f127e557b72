"""Step plugins written in Python: how they are found and called.

A plugin is an entry point of the group ``prograde.steps``. Its name is the one that a Rollout uses, ``namespace/name``:

    [project.entry-points."prograde.steps"]
    "acme/approve" = "acme_steps:Approve"

The entry point leads to a class, or anything else that gives a `StepPlugin` when it is called without arguments. It is
loaded when the first Rollout needs it, and one object serves all Rollouts; calls for different ones overlap.

    class Approve(StepPlugin):
        async def run(self, rollout, context):
            if await is_approved(context.config["change"]):
                return StepResult(phase="Successful")
            return StepResult(phase="Running", requeue_after=timedelta(minutes=1))

`run` is called again until its result is Successful or Failed, each time with the `status` that it returned before; so
it begins something or looks how far it is, and returns soon. `terminate` ends what is still running when the update is
over, `abort` takes back what was done when the update is; each is called once, and both do nothing unless a plugin says
otherwise. An exception counts as Error, and `run` is tried again. Everything is called on the controller's event loop:
work that blocks belongs into a thread.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.metadata import entry_points
from typing import Any, Final, Literal

import msgspec

from prograde.api.codec import to_json
from prograde.api.rollout import Rollout
from prograde.core.plan import PluginCall
from prograde.core.rollout.snapshot import PluginAnswer
from prograde.telemetry.logs import fields

__all__ = ["ENTRY_POINT_GROUP", "StepContext", "StepPlugin", "StepPlugins", "StepResult", "installed_plugins"]

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "prograde.steps"

CALL_SECONDS_MAX: Final = 30.0
"""A call holds up its Rollout and one worker; a plugin that needs longer says Running and is called again."""


class StepContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin is told besides the Rollout."""

    name: str
    """The name by which the step asks for the plugin."""
    config: Any = None
    """``config`` of the step, as JSON values; None if it has none."""
    status: Any = None
    """What `run` has returned as `status` before; None at the first call."""


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call."""

    phase: Literal["Running", "Successful", "Failed", "Error"] = "Successful"
    message: str = ""
    """For people; it is shown with the Rollout."""
    requeue_after: timedelta = timedelta(0)
    """When to call `run` again while the phase is Running. Up to ten seconds mean the usual 30."""
    status: Any = None
    """JSON values to be given back at the next call; None keeps none."""


class StepPlugin:
    """The base of plugins. `rollout` is the whole object as JSON values; changing it changes nothing."""

    async def run(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        """Carry out the step, or look how far it is."""
        raise NotImplementedError

    async def terminate(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        """End what is still running, since the update is over."""
        return StepResult()

    async def abort(self, rollout: dict[str, Any], context: StepContext) -> StepResult:
        """Take back what was done, since the update is taken back."""
        return StepResult()


def installed_plugins() -> dict[str, Callable[[], Any]]:
    """Return what loads the installed plugins, by name."""
    return {point.name: point.load for point in entry_points(group=ENTRY_POINT_GROUP)}


class StepPlugins:
    """Calls step plugins; `call` is what a plan's questions are answered with.

    Args:
        find: returns what loads each plugin, by name; asked again for every call of a plugin that is not loaded yet.
        disabled: names of plugins that are not to be called; their steps count as done.
    """

    def __init__(
        self,
        find: Callable[[], Mapping[str, Callable[[], Any]]] = installed_plugins,
        *,
        disabled: frozenset[str] = frozenset(),
        call_seconds_max: float = CALL_SECONDS_MAX,
    ) -> None:
        self._find = find
        self._disabled = disabled
        self._call_seconds_max = call_seconds_max
        self._plugins: dict[str, StepPlugin] = {}

    async def call(self, rollout: Rollout, call: PluginCall) -> PluginAnswer:
        """Make one call. Whatever the plugin does, an answer comes back."""
        if call.name in self._disabled:
            return PluginAnswer(call=call, is_disabled=True)
        try:
            plugin = self._plugins.get(call.name) or self._load(call.name)
        except Exception as err:  # importing runs code of the plugin, which may raise anything
            return PluginAnswer(call=call, unusable=f"unable to load plugin ({call.name}): {_words(err)}")
        method = {"Run": plugin.run, "Terminate": plugin.terminate, "Abort": plugin.abort}[call.operation]
        context = StepContext(name=call.name, config=_json(call.config), status=_json(call.status))
        about = fields(namespace=rollout.metadata.namespace, rollout=rollout.metadata.name)
        try:
            async with asyncio.timeout(self._call_seconds_max) as limit:
                result = await method(to_json(rollout), context)
            return _answer(call, result)
        except Exception as err:  # a plugin may raise anything; it must not take the pass with it
            log.warning("Step plugin %s failed", call.name, exc_info=True, extra=about)
            words = f"no answer within {self._call_seconds_max:g} s" if limit.expired() else _words(err)
        return PluginAnswer(call=call, exception=words)

    def _load(self, name: str) -> StepPlugin:
        """Load a plugin.

        Raises:
            LookupError: no such plugin is installed.
            TypeError: what is installed under the name is none.
            Exception: whatever its import raises.
        """
        loader = self._find().get(name)
        if loader is None:
            raise LookupError(f"no entry point of the group {ENTRY_POINT_GROUP} has this name")
        plugin = loader()()
        if not isinstance(plugin, StepPlugin):
            raise TypeError(f"its entry point makes a {type(plugin).__name__} and no StepPlugin")
        self._plugins[name] = plugin
        return plugin


def _answer(call: PluginCall, result: object) -> PluginAnswer:
    if not isinstance(result, StepResult):
        return PluginAnswer(call=call, exception=f"{type(result).__name__} is no StepResult")
    return PluginAnswer(
        call=call,
        phase=result.phase,
        message=result.message,
        requeue_after=result.requeue_after,
        status=b"" if result.status is None else msgspec.json.encode(result.status),
    )


def _json(text: bytes) -> Any:
    return msgspec.json.decode(text) if text else None


def _words(err: Exception) -> str:
    """Return what an exception says, or what it is if it says nothing."""
    return str(err) or type(err).__name__
