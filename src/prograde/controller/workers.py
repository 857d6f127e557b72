"""Queue to reconcile to outcome: the one place where outcomes become queue operations.

The contract of a reconciler:

* It is called with a key, never with an event: it looks at the world as it is (level-triggered). It may be called at
  any time and any number of times, and must be right when calls were skipped, doubled or cut short.
* It returns a `Result`: done, or "look again after so many seconds". Looking again is no failure.
* It raises when it could not do its work. The key is tried again with growing delays, whatever the error was: a bug in
  the handling of one Rollout, too, is logged with its traceback and counted, and stops no other Rollout.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import msgspec

from prograde.api.meta import NamespacedName
from prograde.kube.errors import AlreadyExists, Conflict, KubeError, TooManyRequests
from prograde.kube.workqueue import ShutDown, WorkQueue
from prograde.telemetry.logs import fields

__all__ = ["BASE_DELAY_SECONDS", "MAX_DELAY_SECONDS", "Reconciler", "Result", "StateOfTheWorld", "run_workers"]

log = logging.getLogger(__name__)

K = TypeVar("K", bound=NamespacedName)

BASE_DELAY_SECONDS: Final = 0.001
MAX_DELAY_SECONDS: Final = 10.0
"""A key that fails for ever costs a try every ten seconds, and is at most ten seconds late once the cause is gone."""

RACES_MAX: Final = 4
"""So many conflicts in a row are bad luck, and no failure; more mean that somebody keeps writing against us."""

RETRY_AFTER_SECONDS_MAX: Final = 60.0
"""What is believed of a Retry-After: a proxy that says a day must not stop a rollout for a day."""


class Result(msgspec.Struct, frozen=True):
    """How a reconcile ended, when it did not raise."""

    requeue_after_seconds: float | None = None
    """None: an event or the resync will bring the key back."""

    @classmethod
    def done(cls) -> "Result":
        return cls()

    @classmethod
    def after(cls, seconds: float) -> "Result":
        return cls(requeue_after_seconds=max(seconds, 0.0))


class StateOfTheWorld(Exception):
    """Nobody's fault and worth another try: logged without a traceback."""


class Reconciler(Generic[K]):
    """What a kind of object plugs into the workers.

    Args:
        kind: lower-case name for logs (``rollout``).
        reconcile: see the module.
        failed: told of every failure, for metrics.
        finished: told the seconds that a reconcile took, failed or not.
    """

    def __init__(
        self,
        kind: str,
        queue: WorkQueue[K],
        reconcile: Callable[[K], Awaitable[Result]],
        *,
        failed: Callable[[K], None] = lambda _: None,
        finished: Callable[[K, float], None] = lambda _, __: None,
    ) -> None:
        self.kind = kind
        self.queue = queue
        self._reconcile = reconcile
        self._failed = failed
        self._finished = finished

    async def process_next(self) -> None:
        """Wait for a key and bring it through one reconcile.

        Raises:
            ShutDown: the queue is empty for good.
        """
        key = await self.queue.get()
        started_at = asyncio.get_running_loop().time()
        try:
            try:
                outcome: Result | Exception = await self._reconcile(key)
            except Exception as err:
                outcome = err
            match outcome:
                case Result(requeue_after_seconds=None):
                    self.queue.forget(key)
                case Result(requeue_after_seconds=seconds):
                    self.queue.forget(key)
                    self.queue.add_after(key, seconds or 0.0)
                case TooManyRequests(retry_after_seconds=float(seconds)) if seconds > 0:
                    # The server said when to come back; coming earlier only adds to its load.
                    self._report(key, outcome)
                    self.queue.add_after(key, min(seconds, RETRY_AFTER_SECONDS_MAX))
                case Exception():
                    self._report(key, outcome)
                    self.queue.add_rate_limited(key)
        finally:
            self._finished(key, asyncio.get_running_loop().time() - started_at)
            self.queue.done(key)

    def _report(self, key: K, err: Exception) -> None:
        about = fields(namespace=key.namespace, **{self.kind: key.name})
        if isinstance(err, AlreadyExists | Conflict) and self.queue.failures(key) < RACES_MAX:
            log.info("%s changed while it was worked on, looking again: %s", self.kind, err, extra=about)
            return
        self._failed(key)
        if isinstance(err, KubeError | StateOfTheWorld | OSError):
            log.error("%s syncHandler error: %s", self.kind, err, extra=about)
        else:
            log.error("Recovered from Panic: %r", err, exc_info=err, extra=about)
        retries = self.queue.failures(key) + 1
        log.info('%s syncHandler queue retries: %d : key "%s"', self.kind, retries, key, extra=about)


async def run_workers(reconciler: Reconciler[K], count: int) -> None:
    """Work with `count` workers until the queue is shut down and empty."""

    async def work() -> None:
        while True:
            try:
                await reconciler.process_next()
            except ShutDown:
                return

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(work(), name=f"{reconciler.kind}-worker-{number}")
