"""Providers that others have written: how they are found, built and called.

A plugin is an entry point of the group ``prograde.metric_providers``. Its name is the one that a metric uses,
``organisation/name``:

    [project.entry-points."prograde.metric_providers"]
    "acme/latency" = "acme_metrics:Latency"

The entry point leads to something that is called with the metric, all its placeholders filled, and the
`ProviderContext`, and gives a `Provider`, at once or when it is awaited. A class that extends `AtOnce` is such a thing:

    class Latency(AtOnce):
        async def read(self):
            latency = await ask_for(plugin_config(self.metric)["service"])
            return Reading(result=latency, text=f"{latency:.3f}")

A provider is built anew for every call, so it keeps nothing; what has to be found again goes into the metadata of the
measurement. Whatever a plugin raises, and whatever takes too long, is a measurement in phase Error. Everything is
called on the controller's event loop: work that blocks belongs into a thread.
"""

import asyncio
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final, TypeVar

import msgspec

from prograde.api import names
from prograde.api.analysis import Measurement, Metric
from prograde.providers.base import Build, Provider, ProviderContext, ProviderError

__all__ = ["ENTRY_POINT_GROUP", "PluginProvider", "build", "installed_plugins", "plugin_config"]

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "prograde.metric_providers"

CALL_SECONDS_MAX: Final = 60.0
"""A call holds up the measurements of its run; a plugin that needs longer says Running and is called again."""

BUILT_IN: Final[Mapping[str, str]] = {"prograde/judge": "prograde.providers.judge"}
"""Names of plugins that come with Prograde, and the modules whose ``build`` makes them."""

_START: Final = "failed to create plugin: unable to get metric plugin: unable to start plugin system: "

T = TypeVar("T")


def plugin_config(metric: Metric) -> Any:
    """Return the configuration of a metric's plugin, as JSON values."""
    raw = next(iter(metric.provider.plugin.values()), None)
    return msgspec.json.decode(raw) if raw else None


def installed_plugins() -> dict[str, Callable[[], Any]]:
    """Return what loads the installed plugins, by name."""
    return _installed(tuple(sys.path))


@lru_cache(maxsize=1)
def _installed(path: tuple[str, ...]) -> dict[str, Callable[[], Any]]:
    """Look for plugins once: it reads a file of every package, and a measurement is taken every few seconds."""
    return {point.name: point.load for point in entry_points(group=ENTRY_POINT_GROUP)}


async def build(
    metric: Metric,
    context: ProviderContext,
    find: Callable[[], Mapping[str, Callable[[], Any]]] = installed_plugins,
    call_seconds_max: float = CALL_SECONDS_MAX,
) -> Provider:
    """Return the provider of a metric.

    Raises:
        ProviderError: the plugin is not installed, or cannot be made.
    """
    name = next(iter(metric.provider.plugin), None)
    if name is None:
        raise ProviderError(f"{_START}no plugin found")
    if name in BUILT_IN:
        built_in: Build = import_module(BUILT_IN[name]).build
        return await built_in(metric, context)
    loader = find().get(name)
    if loader is None:
        raise ProviderError(
            f"{_START}unable to find plugin ({name}): plugin {name} not configured in configmap,"
            f" and no entry point of the group {ENTRY_POINT_GROUP} has this name"
        )
    try:
        make = loader()
    except (Exception, SystemExit) as err:  # importing runs code of the plugin, which may raise anything
        raise ProviderError(f"{_START}unable to get plugin client ({name}): {_words(err)}") from err
    try:
        async with asyncio.timeout(call_seconds_max) as limit:
            made = make(metric, context)
            provider = await made if inspect.isawaitable(made) else made
    except (Exception, SystemExit) as err:
        words = f"no answer within {call_seconds_max:g} s" if limit.expired() else _words(err)
        raise ProviderError(f"{_START}unable to initialize plugin via rpc ({name}): {words}") from err
    missing = [each for each in _METHODS if not callable(getattr(provider, each, None))]
    if missing:
        raise ProviderError(
            f"{_START}unexpected type from plugin: {type(provider).__name__} has no {', '.join(missing)}"
        )
    return PluginProvider(name, provider, call_seconds_max)


_METHODS: Final = ("metadata", "run", "resume", "terminate", "collect_garbage")


class PluginProvider:
    """Calls a plugin, and lets nothing of it get further than the measurement."""

    type_name = "RPCPlugin"

    def __init__(self, name: str, plugin: Provider, call_seconds_max: float = CALL_SECONDS_MAX) -> None:
        self._name = name
        self._plugin = plugin
        self._call_seconds_max = call_seconds_max

    def metadata(self) -> Mapping[str, str]:
        try:
            metadata = {str(key): str(text) for key, text in self._plugin.metadata().items()}
        except (Exception, SystemExit) as err:  # a plugin may raise anything
            log.debug("Metric plugin %s failed", self._name, exc_info=True)
            metadata = {"error": _words(err)}
        if metadata.get("error"):
            metadata["error"] = f"failed to get metadata via plugin: {metadata['error']}"
        return metadata

    async def run(self) -> Measurement:
        return await self._measure("run", self._plugin.run)

    async def resume(self, measurement: Measurement) -> Measurement:
        return await self._measure("resume", lambda: self._plugin.resume(measurement))

    async def terminate(self, measurement: Measurement) -> Measurement:
        return await self._measure("terminate", lambda: self._plugin.terminate(measurement))

    async def collect_garbage(self, limit: int) -> None:
        await self._call("garbage collect", lambda: self._plugin.collect_garbage(limit))

    async def _measure(self, what: str, call: Callable[[], Awaitable[Measurement]]) -> Measurement:
        measurement: object = await self._call(what, call)
        if not isinstance(measurement, Measurement):
            raise ProviderError(f"failed to {what} via plugin: {type(measurement).__name__} is no Measurement")
        if measurement.phase != names.RUN_ERROR:
            return measurement
        return msgspec.structs.replace(measurement, message=f"failed to {what} via plugin: {measurement.message}")

    async def _call(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make one call.

        Raises:
            ProviderError: it raised something, or took too long.
        """
        try:
            async with asyncio.timeout(self._call_seconds_max) as limit:
                return await call()
        except (Exception, SystemExit) as err:  # a plugin may raise anything
            if not isinstance(err, ProviderError):
                log.debug("Metric plugin %s failed", self._name, exc_info=True)
            words = f"no answer within {self._call_seconds_max:g} s" if limit.expired() else _words(err)
            raise ProviderError(f"failed to {what} via plugin: {words}") from err


def _words(err: BaseException) -> str:
    """Return what an exception says, or what it is if it says nothing."""
    return str(err) or type(err).__name__
