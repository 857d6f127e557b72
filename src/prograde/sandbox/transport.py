"""The in-process way to the embedded cluster: the same requests and bytes as over HTTP, without sockets."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeAlias

import msgspec

from prograde.kube.transport import Request, Response, StreamingResponse
from prograde.sandbox.api import Stream

__all__ = ["Handler", "InProcessTransport"]

Handler: TypeAlias = Callable[[Request], Awaitable[Response | Stream]]


class _Complete:
    """A complete answer read as a stream: one chunk."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = response.headers
        self._body = response.body

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._body:
            yield self._body


class InProcessTransport:
    """A `prograde.kube.transport.Transport` to a handler in this process."""

    def __init__(self, handle: Handler, *, user_agent: str = "prograde") -> None:
        """`user_agent` names the client in the request log and, as far as the slash, as manager of fields."""
        self._handle = handle
        self._user_agent = user_agent
        self._is_closed = False

    async def request(self, request: Request) -> Response:
        answer = await self._ask(request)
        if isinstance(answer, Response):
            return answer
        body = bytearray()
        async with aclosing(_closable(answer)) as chunks:
            async for chunk in chunks:
                body += chunk
        return Response(status=answer.status, headers=answer.headers, body=bytes(body))

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[StreamingResponse]:
        answer = await self._ask(request)
        if isinstance(answer, Response):
            yield _Complete(answer)
            return
        chunks = _closable(answer)
        try:
            yield _Opened(answer, chunks)
        finally:
            await chunks.aclose()

    async def close(self) -> None:
        self._is_closed = True

    async def _ask(self, request: Request) -> Response | Stream:
        if self._is_closed:
            raise ConnectionError("the transport was closed")
        if "user-agent" not in request.headers:
            request = msgspec.structs.replace(request, headers={**request.headers, "user-agent": self._user_agent})
        return await self._handle(request)


class _Opened:
    """A stream of the server, with chunks that can be abandoned."""

    def __init__(self, stream: Stream, chunks: AsyncIterator[bytes]) -> None:
        self.status = stream.status
        self.headers = stream.headers
        self._chunks = chunks

    def chunks(self) -> AsyncIterator[bytes]:
        return self._chunks


async def _closable(stream: Stream) -> AsyncGenerator[bytes, None]:
    """Yield a stream's chunks from a generator of our own, so that leaving early unregisters the watch at once."""
    chunks = stream.chunks()
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
