"""The work loop: order, duplicates, due times, failures, and running by itself."""

import asyncio
from datetime import datetime, timedelta
from typing import ClassVar

import pytest

from prograde.sandbox.client import Resource
from prograde.sandbox.clock import ManualClock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.controllers.base import ChangeType, Controller, Key, WorkLoop
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

CONFIG_MAPS: Resource = ("", "configmaps")


class Notebook(Controller):
    """Notes what it is asked to do, and does as a test says."""

    name: ClassVar[str] = "notebook"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({CONFIG_MAPS})

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.calls: list[tuple[float, str]] = []
        self.again: dict[str, list[float]] = {}
        self.failures: dict[str, list[Exception]] = {}
        self._start = clock()

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        self.enqueue((new["metadata"]["name"],))

    def reconcile(self, key: Key) -> datetime | None:
        self.calls.append((round((self.clock() - self._start).total_seconds(), 3), key[0]))
        if failures := self.failures.get(key[0]):
            raise failures.pop(0)
        if waits := self.again.get(key[0]):
            return self.clock() + timedelta(seconds=waits.pop(0))
        return None


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(now=self.clock, controllers=False, crds=())
        self.loop = WorkLoop(self.sandbox.client(), self.clock)
        self.notebook = Notebook(self.clock)

    def start(self) -> None:
        self.loop.start([self.notebook])

    def create(self, name: str) -> None:
        self.sandbox.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})

    def settle(self, seconds: float) -> None:
        self.loop.settle(self.clock() + timedelta(seconds=seconds), self.clock.move_to)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_objects_that_exist_at_the_start_are_reconciled(bench: Bench) -> None:
    bench.create("a")
    bench.start()
    bench.loop.sync()
    assert bench.notebook.calls == [(0, "a")]


def test_keys_are_served_in_order_and_without_duplicates(bench: Bench) -> None:
    bench.start()
    for name in ("b", "a", "c"):
        bench.create(name)
    bench.notebook.enqueue(("b",))
    assert bench.loop.sync() == 3
    assert [name for _, name in bench.notebook.calls] == ["b", "a", "c"]


def test_changes_of_other_resources_are_not_shown(bench: Bench) -> None:
    bench.start()
    bench.sandbox.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    assert bench.loop.sync() == 0


def test_a_due_time_is_kept_to_the_instant(bench: Bench) -> None:
    bench.notebook.again["a"] = [5, 10]
    bench.start()
    bench.create("a")
    bench.settle(4.999)
    assert bench.notebook.calls == [(0, "a")]
    bench.settle(100)
    assert bench.notebook.calls == [(0, "a"), (5, "a"), (15, "a")]


def test_the_earlier_of_two_due_times_wins(bench: Bench) -> None:
    bench.start()
    for seconds in (9, 3, 6):
        bench.notebook.enqueue_at(("a",), bench.clock() + timedelta(seconds=seconds))
    assert bench.loop.next_due() == bench.clock() + timedelta(seconds=3)
    bench.settle(20)
    assert bench.notebook.calls == [(3, "a")]
    assert bench.loop.next_due() is None


@pytest.mark.parametrize("error", [StatusError.conflict("", "configmaps", "a"), RuntimeError("a bug")])
def test_a_failing_key_is_retried_with_growing_delays_and_stops_nobody(bench: Bench, error: Exception) -> None:
    bench.notebook.failures["a"] = [error] * 4
    bench.start()
    bench.create("a")
    bench.create("b")
    bench.settle(1)
    assert bench.notebook.calls == [(0, "a"), (0, "b"), (0.005, "a"), (0.015, "a"), (0.035, "a"), (0.075, "a")]
    assert bench.loop.error_count == 4
    assert bench.loop.next_due() is None


def test_the_delay_starts_over_after_a_success(bench: Bench) -> None:
    bench.notebook.failures["a"] = [RuntimeError("a bug")]
    bench.start()
    bench.create("a")
    bench.settle(1)
    bench.notebook.failures["a"] = [RuntimeError("a bug")]
    bench.notebook.enqueue(("a",))
    bench.settle(1)
    assert bench.notebook.calls == [(0, "a"), (0.005, "a"), (1, "a"), (1.005, "a")]


def test_the_delay_is_bounded(bench: Bench) -> None:
    bench.notebook.failures["a"] = [RuntimeError("a bug")] * 40
    bench.start()
    bench.create("a")
    bench.settle(600)
    moments = [moment for moment, _ in bench.notebook.calls]
    assert round(moments[-1] - moments[-2]) == 30


def test_settling_ends_at_the_instant_asked_for(bench: Bench) -> None:
    bench.start()
    began = bench.clock()
    bench.settle(7)
    assert bench.clock() == began + timedelta(seconds=7)


async def test_a_running_loop_reacts_to_changes_and_to_time() -> None:
    loop = asyncio.get_running_loop()
    zero, began = loop.time(), datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    sandbox = Sandbox(now=lambda: began + timedelta(seconds=loop.time() - zero), profile="fast", crds=())
    ready = asyncio.Event()

    def look(change: str, resource: Resource, new: Object, previous: Object | None) -> None:
        if resource == ("apps", "replicasets") and (new.get("status") or {}).get("readyReplicas") == 2:
            ready.set()

    sandbox.client().subscribe(look)
    async with sandbox.running():
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        sandbox.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r"}, "spec": spec})
        async with asyncio.timeout(5):
            await ready.wait()
    assert loop.time() - zero < 2
