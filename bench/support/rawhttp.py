"""A client that costs next to nothing: prepared requests on several kept-alive connections, answers barely looked at.

Not for anything but measuring a server: it reads the status, the length, and counts lines of a chunked stream.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import cast

__all__ = ["Connection", "connect", "request_bytes", "send_all"]


def request_bytes(method: str, path: str, body: bytes = b"", content_type: str = "", accept: str = "") -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", "user-agent: bench/1"]
    lines += [f"content-length: {len(body)}"] if body else []
    lines += [f"content-type: {content_type}"] if content_type else []
    lines += [f"accept: {accept}"] if accept else []
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """Sends one request after the other, each when the answer to the last one is complete."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._requests: Iterator[bytes] = iter(())
        self._buffer = bytearray()
        self._needed = 0
        self._finished: asyncio.Future[None] | None = None
        self.on_data: Callable[[bytes], None] | None = None
        """Takes everything that arrives, instead of answers being waited for."""
        self.received_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    async def exchange(self, requests: Iterator[bytes]) -> None:
        """Send `requests` until there are no more; the iterator may be shared with other connections.

        Raises:
            RuntimeError: an answer is not a success.
        """
        self._requests = requests
        self._finished = asyncio.get_running_loop().create_future()
        self._next()
        await self._finished

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.on_data is not None:
            self.on_data(data)
            return
        self._buffer += data
        if not self._needed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            if head[9:10] != b"2":
                self._fail(bytes(self._buffer))
                return
            at = head.index(b"content-length:") + 15
            self._needed = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
        if len(self._buffer) >= self._needed:
            self.received_bytes += self._needed
            self._buffer.clear()
            self._needed = 0
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._finished is not None and not self._finished.done():
            self._finished.set_exception(exc or ConnectionError("the server hung up"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self.send(request)
        elif self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _fail(self, answer: bytes) -> None:
        if self._finished is not None and not self._finished.done():
            self._finished.set_exception(RuntimeError(answer[:600].decode(errors="replace")))


async def connect(port: int, count: int = 1) -> list[Connection]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]


async def send_all(connections: Iterable[Connection], requests: Iterable[bytes]) -> None:
    """Send all requests over all connections, each taking the next one as soon as it is free."""
    shared = iter(requests)
    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(connection.exchange(shared))
