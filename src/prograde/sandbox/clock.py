"""Time for clusters that nobody waits for."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["DEFAULT_START", "ManualClock", "accelerated_clock", "wall_clock"]

DEFAULT_START = datetime(2025, 1, 1, tzinfo=UTC)
"""Where a manual clock starts unless told otherwise: the same in every run."""


def wall_clock() -> datetime:
    """Return the real time."""
    return datetime.now(UTC)


def accelerated_clock(speed: float) -> Callable[[], datetime]:
    """Return a clock that starts at the real time and runs `speed` times as fast.

    Later steps of the real clock do not count.
    """
    start, origin = wall_clock(), time.monotonic()

    def now() -> datetime:
        return start + timedelta(seconds=(time.monotonic() - origin) * speed)

    return now


class ManualClock:
    """A clock that stands still until it is moved. Call it for the time."""

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def move_to(self, instant: datetime) -> None:
        """Go forward to `instant`; time never goes back."""
        self._now = max(self._now, instant)
