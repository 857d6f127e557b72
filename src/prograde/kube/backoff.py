"""Growing, spread waits between attempts, on the event loop's clock."""

import asyncio
import random
from typing import Final

__all__ = ["Backoff"]

EXPONENT_MAX: Final = 64
"""Beyond it any base has reached any sensible maximum; keeps 2**n from overflowing a float."""


class Backoff:
    """Double from `base_seconds` to `max_seconds`; add up to `jitter` of it, so that clients do not march in step."""

    def __init__(
        self, rng: random.Random, *, base_seconds: float = 0.8, max_seconds: float = 30.0, jitter: float = 1.0
    ) -> None:
        self._rng = rng
        self._base_seconds = base_seconds
        self._max_seconds = max_seconds
        self._jitter = jitter
        self._attempts = 0

    def next_seconds(self) -> float:
        """Return the next delay and grow."""
        delay_seconds = min(self._base_seconds * 2.0 ** min(self._attempts, EXPONENT_MAX), self._max_seconds)
        self._attempts += 1
        return delay_seconds * (1 + self._jitter * self._rng.random())

    async def wait(self, at_least_seconds: float = 0.0) -> None:
        """Sleep for the next delay, or for longer if somebody else (a Retry-After) asks for it."""
        await asyncio.sleep(max(self.next_seconds(), at_least_seconds))

    def reset(self) -> None:
        """Start small again: something has worked."""
        self._attempts = 0
