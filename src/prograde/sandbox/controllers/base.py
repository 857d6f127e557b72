"""The loop that all built-in controllers and the kubelet share: keys in, reconciles out, wake-ups on one heap.

A `Controller` looks at changes only to note keys (`observe`), and brings one key's state closer to what it should be
(`reconcile`). It is level-triggered: a key may be reconciled at any time and any number of times. The `WorkLoop` owns
the order: a queue without duplicates, served first in first out, and a heap of due times. It runs in two ways. `sync`
works until nothing is due at this instant and returns: tests and simulations decide when time moves. `run` is a task
that does the same whenever something becomes due on the running loop's clock.

An error in one key never stops the others: it is retried with a growing delay, and anything but an API error is
logged with its traceback.
"""

import asyncio
import heapq
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Literal, TypeAlias

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["ChangeType", "Controller", "Key", "WorkLoop"]

logger = logging.getLogger(__name__)

ChangeType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
Key: TypeAlias = tuple[str, ...]
"""What a controller reconciles, usually (namespace, name); each controller has its own key space."""

RETRY_SECONDS_MIN = 0.005
RETRY_SECONDS_MAX = 30.0
"""A failing key is retried after 5 ms, then twice as long each time; half a minute keeps a broken key visible."""

SLICE_LENGTH = 32
"""Keys reconciled between two turns of the asyncio loop, so that requests are answered during a burst. Counted, not
timed: a simulation must take the same turns on every machine."""

SYNC_RECONCILES_MAX = 5_000_000
"""A `sync` that takes longer than this is two controllers undoing each other's work."""


class Controller(ABC):
    """One kind of work. Subclasses say which resources they watch and how to reconcile one key."""

    name: ClassVar[str]
    watches: ClassVar[frozenset[Resource] | None] = None
    """The resources whose changes `observe` gets; None for all."""

    def __init__(self) -> None:
        self._loop: WorkLoop | None = None

    def attach(self, loop: "WorkLoop") -> None:
        """Connect to the loop that will run this controller; called once, by the loop."""
        self._loop = loop

    def enqueue(self, key: Key) -> None:
        """Reconcile `key` soon; a key that is already waiting is not added again."""
        assert self._loop is not None, "a controller must be added to a loop before it is used"
        self._loop.add(self, key)

    def enqueue_at(self, key: Key, due: datetime) -> None:
        """Reconcile `key` at `due`, or earlier when something else asks for it."""
        assert self._loop is not None, "a controller must be added to a loop before it is used"
        self._loop.add_at(self, key, due)

    @abstractmethod
    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        """Note which keys a change concerns. Must not write and must not raise."""

    @abstractmethod
    def reconcile(self, key: Key) -> datetime | None:
        """Bring one key closer to its desired state; return when to look again, None when only a change matters."""

    def start(self) -> None:  # noqa: B027  optional hook
        """Do once what does not follow from any object, before existing objects are observed."""


class WorkLoop:
    """Queue, heap and outcome handling for a set of controllers on one client."""

    def __init__(self, client: LocalClient, now: Callable[[], datetime], *, speed: float = 1.0) -> None:
        """`speed` is how many seconds `now` advances per second of the asyncio clock."""
        self._client = client
        self._now = now
        self._speed = speed
        self._controllers: list[Controller] = []
        self._observers: dict[Resource, list[Controller]] = {}
        self._ready: deque[tuple[Controller, Key]] = deque()
        self._queued: set[tuple[Controller, Key]] = set()
        self._heap: list[tuple[datetime, int, Controller, Key]] = []
        self._due: dict[tuple[Controller, Key], datetime] = {}
        self._failures: dict[tuple[Controller, Key], int] = {}
        self._sequence = 0
        self._wake: asyncio.Event | None = None
        self.reconcile_count = 0
        """How many reconciles were run since the start: the measure of work in tests and benchmarks."""
        self.error_count = 0

    def start(self, controllers: Sequence[Controller]) -> None:
        """Attach the controllers, subscribe, and show them every object that already exists.

        The subscription comes before the list: a change in between is seen twice, never lost.
        """
        self._controllers.extend(controllers)
        for controller in controllers:
            controller.attach(self)
        self._client.subscribe(self._observe)
        for controller in controllers:
            controller.start()
        for resource in list(self._client.resources()):
            for obj in list(self._client.list(resource)):
                self._observe("ADDED", resource, obj, None)

    def _observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        observers = self._observers.get(resource)
        if observers is None:
            observers = [c for c in self._controllers if c.watches is None or resource in c.watches]
            self._observers[resource] = observers
        for controller in observers:
            controller.observe(change, resource, new, previous)

    def add(self, controller: Controller, key: Key) -> None:
        item = (controller, key)
        if item in self._queued:
            return
        self._queued.add(item)
        self._ready.append(item)
        if self._wake is not None:
            self._wake.set()

    def add_at(self, controller: Controller, key: Key, due: datetime) -> None:
        item = (controller, key)
        known = self._due.get(item)
        if known is not None and known <= due:
            return
        self._due[item] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, controller, key))
        if self._wake is not None:
            self._wake.set()

    def next_due(self) -> datetime | None:
        """Return the earliest due time, or None when nothing waits for time to pass."""
        heap = self._heap
        while heap and self._due.get((heap[0][2], heap[0][3])) != heap[0][0]:
            heapq.heappop(heap)  # superseded by an earlier due time
        return heap[0][0] if heap else None

    def sync(self) -> int:
        """Reconcile until nothing is due now; return how many reconciles that took."""
        count = 0
        while self._take_due() or self._ready:
            while self._ready:
                self._reconcile_next()
                count += 1
                if count > SYNC_RECONCILES_MAX:
                    controller, key = self._ready[0] if self._ready else (None, ())
                    name = controller.name if controller is not None else "nothing"
                    raise RuntimeError(f"no quiescence after {count} reconciles; next: {name} {'/'.join(key)}")
        return count

    def settle(self, until: datetime, advance: Callable[[datetime], None]) -> int:
        """Work through everything that is due up to `until`, moving the clock with `advance`; end at `until`."""
        count = self.sync()
        while (due := self.next_due()) is not None and due <= until:
            advance(due)
            count += self.sync()
        if self._now() < until:
            advance(until)
            count += self.sync()
        return count

    async def run(self) -> None:
        """Work until cancelled, waking for changes at once and for due times on the running loop's clock."""
        self._wake = asyncio.Event()
        try:
            while True:
                self._wake.clear()
                self._take_due()
                if self._ready:
                    for _ in range(min(SLICE_LENGTH, len(self._ready))):
                        self._reconcile_next()
                    await asyncio.sleep(0)
                    continue
                await self._sleep_until_needed()
        finally:
            self._wake = None

    async def _sleep_until_needed(self) -> None:
        assert self._wake is not None, "only the running loop sleeps"
        due = self.next_due()
        timer = None
        if due is not None:
            # A microsecond on top: the loop's clock has finer ticks than a datetime and would wake just too early.
            seconds = max(0.0, (due - self._now()).total_seconds()) / self._speed + 1e-6
            timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _take_due(self) -> bool:
        """Move what is due from the heap to the queue; return whether anything was."""
        now = self._now()
        took = False
        while (due := self.next_due()) is not None and due <= now:
            _, _, controller, key = heapq.heappop(self._heap)
            del self._due[(controller, key)]
            self.add(controller, key)
            took = True
        return took

    def _reconcile_next(self) -> None:
        item = self._ready.popleft()
        self._queued.discard(item)
        controller, key = item
        self.reconcile_count += 1
        try:
            due = controller.reconcile(key)
        except StatusError as err:
            logger.debug("%s %s: %s", controller.name, "/".join(key), err)
            self._retry(item)
        except Exception:
            logger.exception("%s %s: reconcile failed", controller.name, "/".join(key))
            self._retry(item)
        else:
            self._failures.pop(item, None)
            if due is not None:
                self.add_at(controller, key, due)

    def _retry(self, item: tuple[Controller, Key]) -> None:
        self.error_count += 1
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        seconds = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2 ** min(failures, 20))
        self.add_at(item[0], item[1], self._now() + timedelta(seconds=seconds))
