"""An event loop whose clock jumps to the next timer: tests wait for hours in no time, in the same order each run."""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _JumpingSelector(selectors.SelectSelector):
    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("deadlock: nothing is scheduled and nobody can wake the loop")
        self.loop.jump()
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self.now = 1000.0  # not 0: code that takes 0 for "never" should be found out
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def jump(self) -> None:
        self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]


def wall_clock() -> datetime:
    """Return the time of day that belongs to the running virtual loop."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


def run_virtually(main: Coroutine[Any, Any, R]) -> R:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test on a `VirtualTimeLoop`."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        run_virtually(main())

    return wrapper


async def settle() -> None:
    """Let everything that can run now run, without letting time pass."""
    for _ in range(50):
        await asyncio.sleep(0)
