"""What stands between a controller and its cluster in a history, beside the faults that the cluster itself knows.

`CrashingTransport` ends a controller between two of its writes: after the chosen one has taken effect, nothing that the
controller sends is answered any more, until it is gone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from prograde.kube.transport import Request, Response, StreamingResponse, Transport
from prograde.sandbox.faults import (
    Action,
    Answer,
    CutWatch,
    DelayEvents,
    Disconnect,
    ExpireWatch,
    RepeatEvents,
    StaleList,
)

__all__ = ["TROUBLES", "CrashPoint", "CrashingTransport", "watch_trouble"]

TROUBLES: Final[dict[str, Action]] = {
    "conflicts": Answer(409),
    "errors": Answer(500),
    "too-many": Answer(429, retry_after_seconds=2),
    "lost-answers": Answer(500, when="after"),
    "disconnects": Disconnect(),
    "lost-after": Disconnect(when="after"),
}
"""What can happen to requests."""


def watch_trouble(kind: str, value: float) -> Action | None:
    """Return what happens to watches and lists under that name; None for other names."""
    match kind:
        case "cut-watches":
            return CutWatch(after_events=int(value))
        case "torn-watches":
            return CutWatch(after_events=int(value), is_mid_line=True)
        case "expired-watches":
            return ExpireWatch(after_events=int(value))
        case "late-watches":
            return DelayEvents(value / 10)
        case "repeated-events":
            return RepeatEvents(revisions=int(value))
        case "stale-lists":
            return StaleList(revisions=int(value))
    return None


class CrashPoint:
    """Counts the writes of all controllers, and says when the last one has been made."""

    def __init__(self) -> None:
        self._left: int | None = None
        self.reached = asyncio.Event()

    def arm(self, writes: int) -> None:
        """Let the controller end after so many more writes."""
        self._left = writes
        self.reached.clear()

    def disarm(self) -> None:
        self._left = None
        self.reached.clear()

    async def pass_write(self) -> None:
        """Note that a write has taken effect."""
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.reached.set()

    async def stop_here(self) -> None:
        """Never return when the point is reached."""
        if self.reached.is_set():
            await asyncio.Event().wait()


class CrashingTransport:
    """A transport that falls silent at a `CrashPoint`."""

    def __init__(self, inner: Transport, point: CrashPoint) -> None:
        self._inner = inner
        self._point = point

    async def request(self, request: Request) -> Response:
        await self._point.stop_here()
        response = await self._inner.request(request)
        if request.method != "GET" and "/events" not in request.path:
            await self._point.pass_write()
        await self._point.stop_here()
        return response

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[StreamingResponse]:
        await self._point.stop_here()
        async with self._inner.stream(request) as answer:
            yield answer

    async def close(self) -> None:
        await self._inner.close()
