import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from tests.kube.virtual_time import virtual_time

from prograde.api.meta import NamespacedName
from prograde.controller.workers import MAX_DELAY_SECONDS, Reconciler, Result, run_workers
from prograde.kube.errors import AlreadyExists, Conflict, Forbidden, Status, TooManyRequests
from prograde.kube.workqueue import WorkQueue

KEY = NamespacedName("shop", "cart")
OTHER = NamespacedName("shop", "web")


class Script:
    """A reconcile function that does, per call, what the list says, and notes when it was called."""

    def __init__(self, *steps: Result | Exception) -> None:
        self.steps = list(steps)
        self.calls: list[tuple[NamespacedName, float]] = []

    async def __call__(self, key: NamespacedName) -> Result:
        self.calls.append((key, asyncio.get_running_loop().time()))
        step = self.steps.pop(0) if self.steps else Result.done()
        if isinstance(step, Exception):
            raise step
        return step


async def work_through(
    script: Callable[[NamespacedName], Awaitable[Result]], seconds: float
) -> WorkQueue[NamespacedName]:
    """Run one worker for `seconds` of virtual time."""
    queue: WorkQueue[NamespacedName] = WorkQueue("Rollouts", base_delay_seconds=1, max_delay_seconds=MAX_DELAY_SECONDS)
    reconciler = Reconciler("rollout", queue, script)
    queue.add(KEY)
    worker = asyncio.create_task(run_workers(reconciler, 1))
    await asyncio.sleep(seconds)
    queue.shut_down()
    await worker
    return queue


def times(script: Script) -> list[float]:
    first = script.calls[0][1]
    return [time - first for _, time in script.calls]


@virtual_time
async def test_done_leaves_the_key_alone() -> None:
    script = Script(Result.done())
    await work_through(script, 3600)
    assert times(script) == [0]


@virtual_time
async def test_a_result_brings_the_key_back_at_its_time() -> None:
    script = Script(Result.after(30))
    await work_through(script, 3600)
    assert times(script) == pytest.approx([0, 30])


@virtual_time
async def test_failures_back_off_and_a_success_resets_it() -> None:
    conflict = Conflict(Status(code=409, message="modified"))
    script = Script(conflict, conflict, conflict, Result.after(5), conflict)
    await work_through(script, 3600)
    assert times(script) == pytest.approx([0, 1, 3, 7, 12, 13])


@virtual_time
async def test_a_conflict_is_one_quiet_line_but_a_conflict_for_ever_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    failed: list[NamespacedName] = []
    conflict = Conflict(Status(code=409, message="modified"), call="patch replicasets.apps shop/cart-1")
    script = Script(*[conflict] * 5, AlreadyExists(Status(code=409, message="exists")))
    queue: WorkQueue[NamespacedName] = WorkQueue("Rollouts", base_delay_seconds=1)
    queue.add(KEY)
    worker = asyncio.create_task(run_workers(Reconciler("rollout", queue, script, failed=failed.append), 1))
    await asyncio.sleep(3600)
    queue.shut_down()
    await worker
    assert [each.levelname for each in caplog.records] == [*["INFO"] * 4, "ERROR", "INFO", "ERROR", "INFO"]
    assert caplog.messages[0] == (
        "rollout changed while it was worked on, looking again: patch replicasets.apps shop/cart-1: modified"
    )
    assert failed == [KEY, KEY]


@virtual_time
async def test_the_back_off_ends_at_ten_seconds() -> None:
    script = Script(*[OSError("cut")] * 8)
    await work_through(script, 3600)
    gaps = [later - earlier for earlier, later in zip(times(script), times(script)[1:], strict=False)]
    assert gaps == pytest.approx([1, 2, 4, 8, 10, 10, 10, 10])


@virtual_time
async def test_too_many_requests_waits_as_long_as_the_server_asked() -> None:
    script = Script(TooManyRequests(Status(code=429, message="later"), retry_after_seconds=17.0))
    await work_through(script, 3600)
    assert times(script) == pytest.approx([0, 17])


@pytest.mark.parametrize(("asked_seconds", "waited_seconds"), [(0.0, 1.0), (86_400.0, 60.0)])
def test_a_wait_that_would_spin_or_stop_the_rollout_is_not_believed(
    asked_seconds: float, waited_seconds: float
) -> None:
    @virtual_time
    async def check() -> None:
        script = Script(TooManyRequests(Status(code=429, message="later"), retry_after_seconds=asked_seconds))
        await work_through(script, 3600)
        assert times(script) == pytest.approx([0, waited_seconds])

    check()


@virtual_time
async def test_a_bug_is_logged_with_its_traceback_and_stops_no_other_key(caplog: pytest.LogCaptureFixture) -> None:
    failed: list[NamespacedName] = []
    queue: WorkQueue[NamespacedName] = WorkQueue("Rollouts", base_delay_seconds=1)
    seen: list[NamespacedName] = []

    async def reconcile(key: NamespacedName) -> Result:
        seen.append(key)
        if key == KEY:
            raise ZeroDivisionError("bug")
        return Result.done()

    reconciler = Reconciler("rollout", queue, reconcile, failed=failed.append)
    queue.add(KEY)
    queue.add(OTHER)
    worker = asyncio.create_task(run_workers(reconciler, 1))
    await asyncio.sleep(0.5)
    queue.shut_down()
    await worker
    assert seen == [KEY, OTHER]
    assert failed == [KEY]
    record = next(each for each in caplog.records if "Recovered from Panic" in each.message)
    assert record.exc_info
    assert record.prograde_fields == {"namespace": "shop", "rollout": "cart"}  # type: ignore[attr-defined]


@virtual_time
async def test_a_state_of_the_world_is_logged_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await work_through(Script(Forbidden(Status(code=403, message="not allowed"))), 10)
    messages = [each.getMessage() for each in caplog.records]
    assert "rollout syncHandler error: not allowed" in messages
    assert 'rollout syncHandler queue retries: 1 : key "shop/cart"' in messages
    assert all(not each.exc_info for each in caplog.records)


@virtual_time
async def test_the_time_of_every_reconcile_is_reported_also_of_a_failed_one() -> None:
    finished: list[tuple[NamespacedName, float]] = []
    queue: WorkQueue[NamespacedName] = WorkQueue("Rollouts", base_delay_seconds=100)

    async def reconcile(_: NamespacedName) -> Result:
        await asyncio.sleep(0.25)
        raise OSError("cut")

    reconciler = Reconciler("rollout", queue, reconcile, finished=lambda key, seconds: finished.append((key, seconds)))
    queue.add(KEY)
    worker = asyncio.create_task(run_workers(reconciler, 1))
    await asyncio.sleep(1)
    queue.shut_down()
    await worker
    assert finished == [(KEY, pytest.approx(0.25))]


@virtual_time
async def test_workers_work_in_parallel_but_never_on_the_same_key() -> None:
    running: list[NamespacedName] = []
    most = 0
    queue: WorkQueue[NamespacedName] = WorkQueue("Rollouts")

    async def reconcile(key: NamespacedName) -> Result:
        nonlocal most
        assert key not in running
        running.append(key)
        most = max(most, len(running))
        await asyncio.sleep(1)
        running.remove(key)
        return Result.done()

    workers = asyncio.create_task(run_workers(Reconciler("rollout", queue, reconcile), 3))
    for number in range(4):
        queue.add(NamespacedName("shop", str(number)))
    await asyncio.sleep(0.5)
    queue.add(NamespacedName("shop", "0"))
    await queue.drain()
    await workers
    assert most == 3
