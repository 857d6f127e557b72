"""Providers that others have written."""

import asyncio
import importlib.util
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import NOW, context_for, measure, metric_of

from prograde.api.analysis import Measurement, Metric
from prograde.providers import plugin
from prograde.providers.base import AtOnce, Provider, ProviderContext, ProviderError, Reading, errored
from prograde.providers.plugin import PluginProvider, plugin_config

START = "failed to create plugin: unable to get metric plugin: unable to start plugin system: "
EXAMPLE = Path(__file__).parents[2] / "examples" / "provider-plugin"
RUNNING = Measurement(phase="Running", started_at=NOW, resume_at=NOW, metadata={"job": "7"})


class Constant(AtOnce):
    """Measures what its configuration says."""

    async def read(self) -> Reading:
        number = plugin_config(self.metric)["number"]
        return Reading(result=number, text=str(number), metadata={"by": "me"})


class Patient:
    """Begins something, and comes back for it."""

    type_name = "Patient"

    def __init__(self, metric: Metric, context: ProviderContext) -> None:
        self.calls: list[str] = []

    def metadata(self) -> Mapping[str, str]:
        return {"query": "q"}

    async def run(self) -> Measurement:
        return RUNNING

    async def resume(self, measurement: Measurement) -> Measurement:
        return msgspec.structs.replace(measurement, phase="Successful", value="1", resume_at=None)

    async def terminate(self, measurement: Measurement) -> Measurement:
        return msgspec.structs.replace(measurement, phase="Inconclusive", resume_at=None)

    async def collect_garbage(self, limit: int) -> None:
        self.calls.append(f"collect {limit}")


class Broken(Patient):
    """Raises something wherever it can."""

    error: BaseException = RuntimeError("boom")

    def metadata(self) -> Mapping[str, str]:
        raise self.error

    async def run(self) -> Measurement:
        raise self.error

    async def resume(self, measurement: Measurement) -> Measurement:
        raise self.error

    async def terminate(self, measurement: Measurement) -> Measurement:
        raise self.error

    async def collect_garbage(self, limit: int) -> None:
        raise self.error


def metric(config: Any = None, **fields: Any) -> Metric:
    return metric_of({"plugin": {"acme/x": {} if config is None else config}}, **fields)


async def built(make: Any, config: Any = None, seconds: float = 5, **fields: Any) -> Provider:
    async with context_for() as context:
        return await plugin.build(metric(config, **fields), context, lambda: {"acme/x": lambda: make}, seconds)


async def refusal(find: Callable[[], Mapping[str, Callable[[], Any]]], seconds: float = 5) -> str:
    async with context_for() as context:
        with pytest.raises(ProviderError) as caught:
            await plugin.build(metric(), context, find, seconds)
    return str(caught.value)


# ---- Measuring ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("condition", "phase"), [("result > 5", "Successful"), ("result > 50", "Failed")])
async def test_a_reading_is_judged_by_the_conditions(condition: str, phase: str) -> None:
    provider = await built(Constant, {"number": 10}, successCondition=condition)
    measurement = await provider.run()
    assert (measurement.phase, measurement.value, measurement.metadata) == (phase, "10", {"by": "me"})
    assert provider.type_name == "RPCPlugin"


async def test_a_plugin_may_come_back_for_its_measurement() -> None:
    provider = await built(Patient)
    begun = await provider.run()
    assert begun == RUNNING
    assert (await provider.resume(begun)).phase == "Successful"
    assert (await provider.terminate(begun)).phase == "Inconclusive"
    assert provider.metadata() == {"query": "q"}


async def test_old_measurements_are_cleaned_up_by_the_plugin() -> None:
    made = []

    def make(metric: Metric, context: ProviderContext) -> Provider:
        made.append(Patient(metric, context))
        return made[0]

    await (await built(make)).collect_garbage(3)
    assert made[0].calls == ["collect 3"]


async def test_a_plugin_may_be_made_asynchronously() -> None:
    async def make(metric: Metric, context: ProviderContext) -> Provider:
        return Constant(metric, context)

    assert (await (await built(make, {"number": 1})).run()).value == "1"


@pytest.mark.parametrize(("config", "read"), [({"a": [1]}, {"a": [1]}), ("text", "text"), ({}, {})])
def test_the_configuration_is_any_json(config: Any, read: Any) -> None:
    assert plugin_config(metric(config)) == read


# ---- What goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("boom"), "boom"),
        (ValueError(), "ValueError"),
        (ProviderError("no data"), "no data"),
        (SystemExit("bye"), "bye"),
    ],
)
async def test_whatever_a_plugin_raises_is_an_error_of_the_measurement(error: BaseException, words: str) -> None:
    class Raising(Broken):
        pass

    Raising.error = error
    provider = await built(Raising)
    for call, what in (
        (provider.run(), "run"),
        (provider.resume(RUNNING), "resume"),
        (provider.terminate(RUNNING), "terminate"),
        (provider.collect_garbage(1), "garbage collect"),
    ):
        with pytest.raises(ProviderError) as caught:
            await call
        assert str(caught.value) == f"failed to {what} via plugin: {words}"
    assert provider.metadata() == {"error": f"failed to get metadata via plugin: {words}"}


async def test_an_error_that_is_returned_is_named_as_the_plugins() -> None:
    class Returning(Patient):
        async def run(self) -> Measurement:
            return errored("analysisRun is nil", NOW, NOW)

        async def resume(self, measurement: Measurement) -> Measurement:
            return errored("gone", NOW, NOW, measurement)

        async def terminate(self, measurement: Measurement) -> Measurement:
            return errored("stuck", NOW, NOW, measurement)

        def metadata(self) -> Mapping[str, str]:
            return {"error": "none", "other": "x"}

    provider = await built(Returning)
    assert (await provider.run()).message == "failed to run via plugin: analysisRun is nil"
    assert (await provider.resume(RUNNING)).message == "failed to resume via plugin: gone"
    assert (await provider.terminate(RUNNING)).message == "failed to terminate via plugin: stuck"
    assert provider.metadata() == {"error": "failed to get metadata via plugin: none", "other": "x"}


async def test_a_plugin_that_returns_something_else_is_an_error() -> None:
    class Confused(Patient):
        async def run(self) -> Any:
            return {"phase": "Successful"}

    with pytest.raises(ProviderError, match="^failed to run via plugin: dict is no Measurement$"):
        await (await built(Confused)).run()


async def test_a_phase_that_nobody_knows_is_kept() -> None:
    class Odd(Patient):
        async def run(self) -> Measurement:
            return Measurement(phase="Wondering", started_at=NOW)

    assert (await (await built(Odd)).run()).phase == "Wondering"


async def test_a_plugin_that_takes_too_long_is_given_up() -> None:
    class Slow(Patient):
        async def run(self) -> Measurement:
            await asyncio.Event().wait()
            return RUNNING

    with pytest.raises(ProviderError, match=r"^failed to run via plugin: no answer within 0\.01 s$"):
        await (await built(Slow, seconds=0.01)).run()


async def test_cancelling_reaches_the_plugin() -> None:
    was_cancelled = asyncio.Event()
    is_running = asyncio.Event()

    class Slow(Patient):
        async def run(self) -> Measurement:
            is_running.set()
            try:
                await asyncio.Event().wait()
            finally:
                was_cancelled.set()
            return RUNNING

    task = asyncio.create_task((await built(Slow)).run())
    await is_running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert was_cancelled.is_set()


# ---- Finding and building -------------------------------------------------------------------------------------------


async def test_a_plugin_that_is_not_installed_is_an_error() -> None:
    message = (await measure(metric())).message
    assert message.startswith(f"{START}unable to find plugin (acme/x): plugin acme/x not configured in configmap")
    assert "prograde.metric_providers" in message


async def test_no_plugin_at_all_is_an_error() -> None:
    async with context_for() as context:
        with pytest.raises(ProviderError, match="no plugin found"):
            await plugin.build(metric_of({}), context)


async def test_a_plugin_that_cannot_be_imported_is_an_error() -> None:
    def load() -> Any:
        raise ModuleNotFoundError("No module named 'acme'")

    assert await refusal(lambda: {"acme/x": load}) == (
        f"{START}unable to get plugin client (acme/x): No module named 'acme'"
    )


async def test_a_plugin_that_cannot_be_made_is_an_error() -> None:
    def make(metric: Metric, context: ProviderContext) -> Provider:
        raise KeyError("url")

    message = await refusal(lambda: {"acme/x": lambda: make})
    assert message == f"{START}unable to initialize plugin via rpc (acme/x): 'url'"


async def test_making_a_plugin_takes_no_longer_than_a_call() -> None:
    async def make(metric: Metric, context: ProviderContext) -> Provider:
        await asyncio.Event().wait()
        return Constant(metric, context)

    message = await refusal(lambda: {"acme/x": lambda: make}, 0.01)
    assert message == f"{START}unable to initialize plugin via rpc (acme/x): no answer within 0.01 s"


async def test_what_is_no_provider_is_an_error() -> None:
    message = await refusal(lambda: {"acme/x": lambda: lambda metric, context: object()})
    assert message == (
        f"{START}unexpected type from plugin: object has no metadata, run, resume, terminate, collect_garbage"
    )


async def test_names_that_come_with_prograde_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "BUILT_IN", {"acme/x": "prograde.providers.prometheus"})
    wanted = msgspec.structs.replace(
        metric(),
        provider=metric_of({"prometheus": {"address": "http://127.0.0.1:9"}, "plugin": {"acme/x": {}}}).provider,
    )
    async with context_for() as context:
        provider = await plugin.build(wanted, context, lambda: {"acme/x": lambda: Constant})
    assert provider.type_name == "Prometheus"
    assert not isinstance(provider, PluginProvider)


# ---- The example ----------------------------------------------------------------------------------------------------


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the example as pip would."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "acme_metrics-1.0.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0.0\n")
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {where}\n" for name, where in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (folder / "entry_points.txt").write_text(points)
    (tmp_path / "acme_metrics.py").write_text((EXAMPLE / "acme_metrics.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)


def backlog(url: str) -> Metric:
    template = yaml.safe_load((EXAMPLE / "analysistemplate.yaml").read_text())
    (written,) = template["spec"]["metrics"]
    written["provider"]["plugin"]["acme/backlog"] |= {"url": url, "queue": "a/b"}
    return metric_of(written["provider"], successCondition=written["successCondition"])


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("body", "status", "phase", "value", "message"),
    [
        ('{"waiting": 7, "oldestSeconds": 3}', 200, "Successful", "7 waiting, the oldest for 3 s", ""),
        ('{"waiting": 100, "oldestSeconds": 3}', 200, "Failed", "100 waiting, the oldest for 3 s", ""),
        ("", 503, "Error", "", "failed to run via plugin: the shop answers 503"),
        ("{}", 200, "Error", "", "failed to run via plugin: the shop's answer is no queue: KeyError('waiting')"),
    ],
)
async def test_the_example_works_as_it_is_installed(
    server: FakeServer, body: str, status: int, phase: str, value: str, message: str
) -> None:
    server.says("/queues/a/b", body, status=status)
    measurement = await measure(backlog(f"{server.url}/queues"))
    assert (measurement.phase, measurement.value, measurement.message) == (phase, value, message)


@pytest.mark.usefixtures("example")
async def test_the_example_says_when_the_shop_is_closed() -> None:
    measurement = await measure(backlog("http://127.0.0.1:9"))
    assert measurement.message.startswith('failed to run via plugin: Get "http://127.0.0.1:9/a%2Fb": ')


def test_the_example_is_a_package_of_one_module() -> None:
    spec = importlib.util.spec_from_file_location("acme_metrics_example", EXAMPLE / "acme_metrics.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    (where,) = project["entry-points"][plugin.ENTRY_POINT_GROUP].values()
    assert hasattr(module, where.partition(":")[2])
