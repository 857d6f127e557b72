"""The work queue: four rules, two lanes, and an end."""

import asyncio
import random

import pytest
from tests.kube.virtual_time import settle, virtual_time

from prograde.kube.workqueue import ShutDown, WorkQueue


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(queue: WorkQueue[str]) -> str:
    """Take and finish the next key; fails instead of waiting."""
    async with asyncio.timeout(0.0001):
        key = await queue.get()
    queue.done(key)
    return key


@virtual_time
async def test_keys_come_out_in_the_order_they_were_added() -> None:
    queue = WorkQueue[str]("q")
    for key in ("a", "b", "c"):
        queue.add(key)
    assert [await take(queue) for _ in range(3)] == ["a", "b", "c"]


@virtual_time
async def test_a_key_added_many_times_is_handed_out_once() -> None:
    queue = WorkQueue[str]("q")
    for _ in range(100):
        queue.add("a")
    assert len(queue) == 1
    await take(queue)
    assert len(queue) == 0


@virtual_time
async def test_a_key_added_while_being_worked_on_waits_for_done_and_then_comes_once() -> None:
    queue = WorkQueue[str]("q")
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await queue.get()
    queue.done("a")
    assert await take(queue) == "a"
    assert len(queue) == 0


@virtual_time
async def test_a_waiting_worker_wakes_when_a_key_arrives() -> None:
    queue = WorkQueue[str]("q")
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(queue.get())
        await asyncio.sleep(5)
        queue.add("a")
    assert worker.result() == "a"


@virtual_time
async def test_a_worker_cancelled_at_the_moment_it_is_woken_passes_the_key_on() -> None:
    queue = WorkQueue[str]("q")
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    queue.add("a")  # wakes the first
    first.cancel()
    assert await second == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize(
    ("delays", "expected"),
    [
        pytest.param([10], 10, id="one delay"),
        pytest.param([10, 3], 3, id="an earlier delay wins"),
        pytest.param([3, 10], 3, id="a later delay does not put off"),
        pytest.param([5, 0], 0, id="none means now"),
        pytest.param([-1], 0, id="the past means now"),
    ],
)
def test_the_earliest_of_several_delays_counts(delays: list[float], expected: float) -> None:
    @virtual_time
    async def check() -> None:
        queue = WorkQueue[str]("q")
        started_at = now()
        for delay in delays:
            queue.add_after("a", delay)
        assert await queue.get() == "a"
        assert now() - started_at == pytest.approx(expected)

    check()


@virtual_time
async def test_two_delays_of_one_key_give_one_pass() -> None:
    queue = WorkQueue[str]("q")
    queue.add_after("a", 3)
    queue.add_after("a", 10)
    await queue.get()
    queue.done("a")
    await asyncio.sleep(100)
    assert len(queue) == 0


@virtual_time
async def test_a_plain_add_leaves_the_delayed_one() -> None:
    queue = WorkQueue[str]("q")
    queue.add_after("a", 10)
    queue.add("a")
    assert await take(queue) == "a"
    assert queue.delayed == 1
    await asyncio.sleep(10)
    assert await take(queue) == "a"


@virtual_time
async def test_a_delay_that_ends_during_work_brings_the_key_back_after_it() -> None:
    queue = WorkQueue[str]("q")
    queue.add("a")
    await queue.get()
    queue.add_after("a", 5)
    await asyncio.sleep(20)
    assert len(queue) == 0
    queue.done("a")
    assert await take(queue) == "a"


@virtual_time
async def test_failures_double_the_delay_of_their_key_only_until_forgotten() -> None:
    queue = WorkQueue[str]("q", base_delay_seconds=0.001, max_delay_seconds=10)
    delays = [queue.add_rate_limited("a") for _ in range(16)]
    assert delays[:5] == pytest.approx([0.001, 0.002, 0.004, 0.008, 0.016])
    assert delays[13:] == pytest.approx([8.192, 10, 10])
    assert queue.failures("a") == 16
    assert queue.add_rate_limited("b") == pytest.approx(0.001)
    queue.forget("a")
    assert queue.failures("a") == 0
    assert queue.add_rate_limited("a") == pytest.approx(0.001)


@virtual_time
async def test_ten_thousand_failures_do_not_overflow() -> None:
    queue = WorkQueue[str]("q", max_delay_seconds=10)
    for _ in range(10_000):
        delay = queue.add_rate_limited("a")
    assert delay == 10


@virtual_time
async def test_default_back_off_starts_at_5_ms_and_ends_at_1000_s() -> None:
    queue = WorkQueue[str]("q")
    delays = [queue.add_rate_limited("a") for _ in range(30)]
    assert (delays[0], delays[-1]) == (0.005, 1000.0)


@virtual_time
async def test_urgent_keys_overtake_slow_ones_which_still_get_every_fourth_turn() -> None:
    queue = WorkQueue[str]("q")
    for n in range(4):
        queue.add(f"slow{n}", urgent=False)
    for n in range(6):
        queue.add(f"fast{n}")
    order = [await take(queue) for _ in range(10)]
    assert order[:8] == ["fast0", "fast1", "fast2", "slow0", "fast3", "fast4", "fast5", "slow1"]
    assert order[8:] == ["slow2", "slow3"]


@virtual_time
async def test_a_slow_key_that_becomes_urgent_moves_and_does_not_double() -> None:
    queue = WorkQueue[str]("q")
    for key in ("a", "b", "c"):
        queue.add(key, urgent=False)
    queue.add("c")
    queue.add("c", urgent=False)
    assert [await take(queue) for _ in range(3)] == ["c", "a", "b"]
    assert len(queue) == 0


@virtual_time
async def test_after_shutdown_waiting_keys_are_handed_out_and_new_ones_refused() -> None:
    queue = WorkQueue[str]("q")
    queue.add("a")
    queue.add_after("later", 5)
    queue.shut_down()
    queue.add("b")
    queue.add_after("c", 1)
    assert await take(queue) == "a"
    with pytest.raises(ShutDown, match="queue q"):
        await queue.get()
    await asyncio.sleep(60)
    assert len(queue) == 0


@virtual_time
async def test_shutdown_wakes_every_idle_worker() -> None:
    queue = WorkQueue[str]("q")
    workers = [asyncio.create_task(queue.get()) for _ in range(5)]
    await settle()
    queue.shut_down()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(result, ShutDown) for result in results)


@virtual_time
async def test_drain_waits_for_keys_in_work_and_their_repetitions() -> None:
    queue = WorkQueue[str]("q")
    worked: list[tuple[str, float]] = []

    async def worker() -> None:
        while True:
            try:
                key = await queue.get()
            except ShutDown:
                return
            await asyncio.sleep(5)
            worked.append((key, now()))
            queue.done(key)

    task = asyncio.create_task(worker())
    started_at = now()
    queue.add("a")
    queue.add("b")
    await settle()
    queue.add("a")  # while it is being worked on
    await queue.drain()
    assert now() - started_at == pytest.approx(15)
    assert [key for key, _ in worked] == ["a", "b", "a"]
    await task


@virtual_time
async def test_drain_of_an_idle_queue_returns_at_once() -> None:
    queue = WorkQueue[str]("q")
    async with asyncio.timeout(0.001):
        await queue.drain()
    assert queue.is_shut_down


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def added(self, depth: int) -> None:
        self.calls.append(("added", depth))

    def started(self, depth: int, waited_seconds: float) -> None:
        self.calls.append(("started", depth, round(waited_seconds, 6)))

    def finished(self, worked_seconds: float) -> None:
        self.calls.append(("finished", round(worked_seconds, 6)))

    def retried(self) -> None:
        self.calls.append(("retried",))


@virtual_time
async def test_the_observer_sees_depth_waiting_and_working_times() -> None:
    recorder = Recorder()
    queue = WorkQueue[str]("q", observer=recorder)
    queue.add("a")
    queue.add("a")
    await asyncio.sleep(2)
    await queue.get()
    await asyncio.sleep(3)
    assert queue.unfinished_seconds() == pytest.approx((3, 3))
    queue.done("a")
    queue.add_rate_limited("a")
    assert queue.unfinished_seconds() == (0, 0)
    assert recorder.calls == [("added", 1), ("started", 0, 2.0), ("finished", 3.0), ("retried",)]


@pytest.mark.parametrize("seed", range(30))
def test_in_any_order_of_events_no_key_is_lost_nor_worked_on_twice_at_once(seed: int) -> None:
    @virtual_time
    async def check() -> None:
        rng = random.Random(seed)
        queue = WorkQueue[int]("q", base_delay_seconds=0.01, max_delay_seconds=5)
        asked_at: dict[int, float] = {}
        started_at: dict[int, float] = {}
        in_work: set[int] = set()

        async def worker() -> None:
            while True:
                try:
                    key = await queue.get()
                except ShutDown:
                    return
                assert key not in in_work
                in_work.add(key)
                started_at[key] = now()
                await asyncio.sleep(rng.choice([0, 0.01, 3]))
                if rng.random() < 0.3:
                    queue.add_rate_limited(key)
                else:
                    queue.forget(key)
                in_work.discard(key)
                queue.done(key)

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(worker())
            for _ in range(300):
                key = rng.randrange(8)
                delay = rng.choice([0, 0, 0.5, 20])
                queue.add_after(key, delay) if delay else queue.add(key, urgent=rng.random() < 0.5)
                asked_at[key] = max(asked_at.get(key, 0), now())
                await asyncio.sleep(rng.choice([0, 0.01, 1]))
            await asyncio.sleep(100)
            assert all(started_at[key] >= asked_at[key] for key in asked_at)
            assert (len(queue), queue.delayed) == (0, 0)
            await queue.drain()

    check()
