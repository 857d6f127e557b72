"""The one door between a client and an API server: requests in, responses or streams out.

Everything that talks to a cluster does so through a `Transport`. There are two: HTTP (`prograde.kube.client`) and
in-process (the sandbox answers the same requests without sockets). Both carry bytes, so a test or the simulator can
put faults between client and server at one place: drop a response after the write took effect, cut a watch in the
middle of a line, answer 409, 429 or 500.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

__all__ = ["Request", "Response", "StreamingResponse", "Transport"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request to an API server.

    `path` is absolute and percent-encoded (``/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts``); `query` keeps
    order and repetition and is *not* encoded. Header names are lower-case.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A complete answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class StreamingResponse(Protocol):
    """An answer whose body arrives piece by piece (a watch or a log)."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces of any size; a piece may end in the middle of a line."""
        ...


class Transport(Protocol):
    """Carry requests to one API server.

    Raises:
        OSError: the server could not be reached, or the connection broke (`ConnectionError` is an `OSError`).
        TimeoutError: no answer within the transport's own limit.
    """

    async def request(self, request: Request) -> Response:
        """Send `request` and read the whole answer. An HTTP error status is an answer, not an exception."""
        ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamingResponse]:
        """Send `request` and hand over the answer while its body still arrives; leaving the context hangs up."""
        ...

    async def close(self) -> None: ...
