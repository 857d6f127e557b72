"""Logs: what is printed so far, of which run, cut and stamped as asked, and followed to the end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.sandbox.controllers.workbench import PODS, Workbench, pod_object

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kubelet.logs import LogReader

COUNTING = ["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; sleep 1; done; sleep 100"]


@pytest.fixture
def bench() -> Workbench:
    return Workbench("instant")


def reader(bench: Workbench) -> LogReader:
    assert bench.sandbox.controllers is not None
    return bench.sandbox.controllers.kubelet.logs


def test_a_server_prints_that_it_started(bench: Workbench) -> None:
    bench.create(PODS, pod_object(container={"ports": [{"containerPort": 80}, {"containerPort": 81}]}))
    bench.settle()
    assert reader(bench).read_log("shop", "p") == b"nginx:1: simulated server started, listening on 80, 81\n"


def test_an_annotation_replaces_the_start_line(bench: Workbench) -> None:
    bench.create(PODS, pod_object(annotations={"sandbox.prograde.io/log": "one\ntwo"}))
    bench.settle()
    assert reader(bench).read_log("shop", "p") == b"one\ntwo\n"


def test_lines_appear_as_time_passes(bench: Workbench) -> None:
    bench.create(PODS, pod_object(container={"command": COUNTING}))
    bench.settle(0)
    assert reader(bench).read_log("shop", "p") == b"line 1\n"
    bench.settle(2)
    assert reader(bench).read_log("shop", "p") == b"line 1\nline 2\nline 3\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"tail_lines": 2}, b"line 4\nline 5\n", id="tail"),
        pytest.param({"tail_lines": 0}, b"", id="no lines"),
        pytest.param({"tail_lines": 99}, b"line 1\nline 2\nline 3\nline 4\nline 5\n", id="more than there are"),
        pytest.param({"limit_bytes": 9}, b"line 1\nli", id="bytes"),
        pytest.param({"since_seconds": 6}, b"line 5\n", id="seconds back"),
        pytest.param({"since_time": datetime(2025, 1, 1, 0, 0, 3, tzinfo=UTC)}, b"line 4\nline 5\n", id="since"),
        pytest.param({"tail_lines": 1, "timestamps": True}, b"2025-01-01T00:00:04.000000000Z line 5\n", id="stamps"),
    ],
)
def test_options(bench: Workbench, options: dict[str, Any], expected: bytes) -> None:
    bench.create(PODS, pod_object(container={"command": COUNTING}))
    bench.settle(10)
    assert reader(bench).read_log("shop", "p", "c", **options) == expected


def test_the_previous_run_has_its_own_log(bench: Workbench) -> None:
    bench.create(PODS, pod_object(container={"command": ["sh", "-c", "date; sleep 5; exit 1"]}))
    bench.settle(7)
    assert reader(bench).read_log("shop", "p", previous=True) == b"Wed Jan  1 00:00:00 UTC 2025\n"
    assert reader(bench).read_log("shop", "p") == b"Wed Jan  1 00:00:05 UTC 2025\n"


def test_in_a_back_off_current_and_previous_are_the_last_run(bench: Workbench) -> None:
    bench.create(PODS, pod_object(container={"command": ["sh", "-c", "date; sleep 5; exit 1"]}))
    bench.settle(12)
    last = b"Wed Jan  1 00:00:05 UTC 2025\n"
    assert reader(bench).read_log("shop", "p") == last
    assert reader(bench).read_log("shop", "p", previous=True) == last


def test_a_finished_pod_keeps_its_log(bench: Workbench) -> None:
    bench.create(
        PODS, pod_object(container={"command": ["sh", "-c", "-x", "sleep 1 && exit 3"]}, restartPolicy="Never")
    )
    bench.settle(100)
    assert reader(bench).read_log("shop", "p") == b"+ sleep 1\n+ exit 3\n"


def test_errors(bench: Workbench) -> None:
    two = pod_object("two")
    two["spec"]["containers"].append({"name": "d", "image": "bad-image:1"})
    two["spec"]["initContainers"] = [{"name": "i", "image": "alpine:3", "command": ["true"]}]
    bench.create(PODS, two)
    bench.create(PODS, pod_object("waiting", nodeSelector={"no": "node"}))
    bench.settle(1)

    def failure(*arguments: str, **options: Any) -> tuple[int, str]:
        with pytest.raises(StatusError) as caught:
            reader(bench).read_log("shop", *arguments, **options)
        return caught.value.code, caught.value.message

    assert failure("none") == (404, 'pods "none" not found')
    assert failure("two", "x") == (400, "container x is not valid for pod two")
    choose = "a container name must be specified for pod two, choose one of: [c d] or one of the init containers: [i]"
    assert failure("two") == (400, choose)
    assert failure("two", "d") == (400, 'container "d" in pod "two" is waiting to start: ImagePullBackOff')
    assert failure("two", "c", previous=True) == (400, 'previous terminated container "c" in pod "two" not found')
    assert failure("waiting") == (400, "pod waiting does not have a host assigned")


class LoopClock:
    """The time of the running loop, as a sandbox wants it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()

    def __call__(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=self._loop.time() - self._start)


async def running(sandbox: Sandbox) -> None:
    """Wait until the pod runs."""
    changed = asyncio.Event()
    sandbox.client().subscribe(lambda *change: changed.set())
    async with asyncio.timeout(5):
        while sandbox.get("pods", "p")["status"]["phase"] == "Pending":
            changed.clear()
            await changed.wait()


async def test_following_yields_lines_as_they_come_and_ends_with_the_container() -> None:
    sandbox = Sandbox(now=LoopClock(), profile="instant", crds=())
    command = ["sh", "-c", "echo a; sleep 0.05; echo b; sleep 0.05; echo c"]
    async with sandbox.running():
        pod = pod_object(container={"command": command}, restartPolicy="Never")
        sandbox.create({"apiVersion": "v1", "kind": "Pod", **pod})
        await running(sandbox)
        assert sandbox.controllers is not None
        logs = sandbox.controllers.kubelet.logs
        async with asyncio.timeout(5):
            chunks = [chunk async for chunk in logs.follow_log("default", "p")]
    assert chunks == [b"a\n", b"b\n", b"c\n"]
    assert sandbox.get("pods", "p")["status"]["phase"] == "Succeeded"


async def test_following_ends_when_the_pod_is_deleted() -> None:
    sandbox = Sandbox(now=LoopClock(), profile="instant", crds=())
    async with sandbox.running():
        sandbox.create({"apiVersion": "v1", "kind": "Pod", **pod_object()})
        await running(sandbox)
        assert sandbox.controllers is not None
        chunks = sandbox.controllers.kubelet.logs.follow_log("default", "p", limit_bytes=1000)
        assert b"started" in await anext(chunks)
        sandbox.delete("pods", "p", grace_seconds=0)
        async with asyncio.timeout(5):
            assert [chunk async for chunk in chunks] == []
