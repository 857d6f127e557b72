"""Keys waiting to be reconciled: each at most once, by one worker at a time, sooner or later as told.

The queue holds *keys*, never events, so a burst of changes to one object is one pass. Four rules, the same as
client-go's, make level-triggered workers safe:

- A key that waits already is not added twice.
- A key being worked on is not handed to a second worker; added meanwhile, it comes again when the first is `done`.
- `add_after` keeps the earliest time asked for.
- `add_rate_limited` delays by the key's own failures, doubling each time, until `forget`.

           add ──────────────▶ waiting ──get──▶ processing ──done──▶ (gone)
            ▲                     ▲                  │ added meanwhile
    timers ─┘                     └──────────────────┘

Two lanes keep urgent keys from queueing behind thousands that only arrived with a start-up list or a resync:
`add(key, urgent=False)` uses the slow lane, of which every fourth `get` takes, so that it never starves.

Everything runs on the event loop's thread and clock.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["QueueObserver", "ShutDown", "WorkQueue"]

K = TypeVar("K", bound=Hashable)

SLOW_LANE_TURN: Final = 4
"""Every fourth key comes from the slow lane while both wait: urgent work keeps three quarters of the workers."""

EXPONENT_MAX: Final = 64
"""Beyond it any base has reached any sensible maximum; keeps 2**n from overflowing a float."""


class ShutDown(Exception):
    """The queue was shut down and has nothing left to hand out."""


class QueueObserver(Protocol):
    """Told what happens, for metrics; must not raise or wait. Times are seconds."""

    def added(self, depth: int) -> None: ...
    def started(self, depth: int, waited_seconds: float) -> None: ...
    def finished(self, worked_seconds: float) -> None: ...
    def retried(self) -> None: ...


class WorkQueue(Generic[K]):
    """See the module's docstring.

    Args:
        name: for logs and metrics.
        base_delay_seconds, max_delay_seconds: the first delay after a failure, and the ceiling of its doubling.
    """

    def __init__(
        self,
        name: str,
        *,
        base_delay_seconds: float = 0.005,
        max_delay_seconds: float = 1000.0,
        observer: QueueObserver | None = None,
    ) -> None:
        self.name = name
        self._base_delay_seconds = base_delay_seconds
        self._max_delay_seconds = max_delay_seconds
        self._observer = observer
        self._urgent: OrderedDict[K, float] = OrderedDict()  # key -> loop time of its arrival
        self._slow: OrderedDict[K, float] = OrderedDict()
        self._processing: dict[K, float] = {}  # key -> loop time of its start
        self._again: dict[K, bool] = {}  # added while processing -> urgent
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._turn = 0
        self._is_shut_down = False
        self._idle = asyncio.Event()
        self._idle.set()

    # -- adding -------------------------------------------------------------------------------------------------

    def add(self, key: K, *, urgent: bool = True) -> None:
        """Make sure that `key` is worked on once more, as soon as a worker is free. No effect after shutdown."""
        if not self._is_shut_down:
            self._enqueue(key, urgent)

    def add_after(self, key: K, seconds: float) -> None:
        """Add `key` after a delay. Of several delays the earliest counts; a plain `add` leaves the delayed one."""
        if self._is_shut_down:
            return
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due_at = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due_at:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due_at, self._on_due, key)

    def add_rate_limited(self, key: K) -> float:
        """Count a failure of `key` and add it after its back-off. Return the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_seconds = min(self._base_delay_seconds * 2.0 ** min(failures, EXPONENT_MAX), self._max_delay_seconds)
        if self._observer is not None:
            self._observer.retried()
        self.add_after(key, delay_seconds)
        return delay_seconds

    def forget(self, key: K) -> None:
        """Reset the back-off of `key`; it does not leave the queue."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Return how often `key` has failed since it was last forgotten."""
        return self._failures.get(key, 0)

    # -- working ------------------------------------------------------------------------------------------------

    async def get(self) -> K:
        """Wait for a key and take it; `done` must follow, whatever happens.

        Raises:
            ShutDown: there is nothing left, and never will be.
        """
        while not self._urgent and not self._slow:
            if self._is_shut_down:
                raise ShutDown(f"queue {self.name} is shut down")
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                # Woken and cancelled at once: the wake-up belongs to somebody else.
                if getter.done() and not getter.cancelled():
                    self._wake_one()
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise
        key, added_at = self._pick_lane().popitem(last=False)
        now = asyncio.get_running_loop().time()
        self._processing[key] = now
        if self._observer is not None:
            self._observer.started(len(self), now - added_at)
        return key

    def done(self, key: K) -> None:
        """Declare work on `key` finished, well or not; it comes again if it was added meanwhile."""
        started_at = self._processing.pop(key)
        if self._observer is not None:
            self._observer.finished(asyncio.get_running_loop().time() - started_at)
        urgent = self._again.pop(key, None)
        if urgent is not None:
            self._enqueue(key, urgent)
        if not self._processing and not len(self):
            self._idle.set()

    # -- ending -------------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Take nothing more. Waiting keys are still handed out, delayed ones are dropped: the next start finds them."""
        self._is_shut_down = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._getters:
            self._wake_one()

    async def drain(self) -> None:
        """Shut down and wait until the last key is done. Needs workers that still `get`."""
        self.shut_down()
        await self._idle.wait()

    @property
    def is_shut_down(self) -> bool:
        return self._is_shut_down

    # -- looking ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of waiting keys, without delayed ones and those being worked on."""
        return len(self._urgent) + len(self._slow)

    @property
    def delayed(self) -> int:
        """Return the number of keys with a timer."""
        return len(self._timers)

    def unfinished_seconds(self) -> tuple[float, float]:
        """Return how long keys now in work have taken so far: the sum and the longest, for metrics."""
        if not self._processing:
            return 0.0, 0.0
        now = asyncio.get_running_loop().time()
        ages = [now - started_at for started_at in self._processing.values()]
        return sum(ages), max(ages)

    # -- below --------------------------------------------------------------------------------------------------

    def _enqueue(self, key: K, urgent: bool) -> None:
        if key in self._processing:
            self._again[key] = urgent or self._again.get(key, False)
            return
        if key in self._urgent:
            return
        if key in self._slow:
            if urgent:
                self._urgent[key] = self._slow.pop(key)
            return
        lane = self._urgent if urgent else self._slow
        lane[key] = asyncio.get_running_loop().time()
        self._idle.clear()
        if self._observer is not None:
            self._observer.added(len(self))
        self._wake_one()

    def _on_due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _pick_lane(self) -> OrderedDict[K, float]:
        if not self._slow:
            return self._urgent
        if not self._urgent:
            return self._slow
        self._turn += 1
        return self._slow if self._turn % SLOW_LANE_TURN == 0 else self._urgent

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
