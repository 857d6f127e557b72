"""Client-side throttling: a token bucket on the event loop's clock."""

import asyncio

__all__ = ["TokenBucket"]


class TokenBucket:
    """Let `burst` calls through at once and `qps` per second in the long run, in order of arrival.

    Each caller reserves the next free slot and sleeps until it comes, so waiting costs one timer and nobody is
    overtaken. `qps` of 0 or less means no limit.
    """

    def __init__(self, qps: float, burst: int) -> None:
        self._qps = qps
        self._burst = max(burst, 1)
        self._tokens = float(self._burst)
        self._updated_at: float | None = None

    async def wait(self) -> float:
        """Wait for a slot; return the seconds waited."""
        delay_seconds = self._reserve()
        if delay_seconds > 0:
            try:
                await asyncio.sleep(delay_seconds)
            except asyncio.CancelledError:
                self._tokens += 1  # the slot was not used
                raise
        return delay_seconds

    def _reserve(self) -> float:
        """Take one token, into debt if need be; return the seconds until the debt is paid."""
        if self._qps <= 0:
            return 0.0
        now = asyncio.get_running_loop().time()
        if self._updated_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._qps)
        self._updated_at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._qps)
