"""An event loop whose clock jumps to the next timer: hours pass in no time, and in the same order in every run."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

__all__ = ["EPOCH", "TimeStandsStill", "VirtualTimeLoop", "run_virtually", "wall_clock"]

R = TypeVar("R")

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of day that belongs to loop time zero."""


TURNS_MAX: Final = 20_000
"""A hundred times of what the busiest instant needs: whoever takes more goes round in circles."""


class TimeStandsStill(AssertionError):
    """Something runs again and again without waiting."""


class _JumpingSelector(selectors.SelectSelector):
    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            self.loop.take_turn()
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
        self.turns = 0
        """How often something ran since the clock has moved."""
        self.main: asyncio.Task[Any] | None = None
        self.stood_still_at: float | None = None
        self.now = 1000.0  # not 0: code that takes 0 for "never" should be found out
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def take_turn(self) -> None:
        """Count a turn in which time does not move; end what runs when there are too many."""
        self.turns += 1
        if self.turns % TURNS_MAX == 0 and self.main is not None:
            self.stood_still_at = self.now
            self.main.cancel()

    def jump(self) -> None:
        """Move the clock to the earliest timer."""
        due = self._scheduled[0].when()  # type: ignore[attr-defined]
        if due > self.now:
            self.now, self.turns = due, 0


def wall_clock() -> datetime:
    """Return the time of day that belongs to the running virtual loop."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


def run_virtually(main: Coroutine[Any, Any, R]) -> R:
    """Run `main` on a loop of its own; like `asyncio.run`, but without any waiting.

    Raises:
        TimeStandsStill: something ran again and again, and the clock never moved.
    """

    async def guarded() -> R:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop), "made by the runner"
        loop.main = asyncio.current_task()
        try:
            return await main
        except asyncio.CancelledError:
            if loop.stood_still_at is None:
                raise
            text = f"stands still: {TURNS_MAX} turns of the loop, and it is still {loop.stood_still_at:.6f}"
            raise TimeStandsStill(text) from None

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(guarded())
