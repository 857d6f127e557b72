"""An event loop whose clock jumps to the next timer: hours pass in no time, and in the same order in every run."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

__all__ = ["EPOCH", "VirtualTimeLoop", "run_virtually", "wall_clock"]

R = TypeVar("R")

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of day that belongs to loop time zero."""


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
    """Never sleeps: when nothing can run, the clock moves to the next timer."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self.now = 1000.0  # not 0: code that takes 0 for "never" should be found out
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def jump(self) -> None:
        """Move the clock to the earliest timer."""
        self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]


def wall_clock() -> datetime:
    """Return the time of day that belongs to the running virtual loop."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


def run_virtually(main: Coroutine[Any, Any, R]) -> R:
    """Run `main` on a loop of its own; like `asyncio.run`, but without any waiting."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
