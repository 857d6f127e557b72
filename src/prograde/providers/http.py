"""HTTP for providers: one pool of connections, time limits, bounded bodies, causes that a person understands.

Servers of metrics are outside of our control: they hang, answer pages of HTML with status 200, redirect in circles and
send megabytes. Nothing here waits for ever or reads without end, and every failure is one `HttpError` with method,
address and cause.

Many metrics ask the same thing at the same time, one for each Rollout that uses a template. Identical requests that
are in flight together are sent once (`shares`). And a server that says when to come back is believed: until then
nothing more is sent to it, and who cannot wait that long is told so.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self, TypeAlias

import aiohttp
from yarl import URL

__all__ = ["Http", "HttpAnswer", "HttpError", "without_password"]

REDIRECTS_MAX: Final = 10
BODY_BYTES_MAX: Final = 10 * 1024 * 1024
"""More than any query of a metric answers with; a condition over more would be a mistake."""
CONNECTIONS_PER_HOST_MAX: Final = 50
"""Enough for every controller, few enough not to look like an attack. Hosts do not take connections from each other."""

TOO_MANY_REQUESTS: Final = 429
SERVICE_UNAVAILABLE: Final = 503

_PASSWORD: Final = re.compile(r"//([^/?#@:]*):[^/?#@]*@")
"""A password in an address; it is for its server alone."""


def without_password(url: str) -> str:
    """Return an address as it may be shown."""
    return _PASSWORD.sub(r"//\1:***@", url)


class HttpError(Exception):
    """A request got no answer that could be read: ``Get "http://host/path": cause``."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Whatever the server has said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class _Request:
    """What makes two requests the same."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    verifies: bool
    uses_proxies: bool
    follows_redirects: bool

    def __str__(self) -> str:
        return f'{self.method.capitalize()} "{without_password(self.url)}"'


_InFlight: TypeAlias = "asyncio.Task[HttpAnswer]"


class Http:
    """A pool of connections for all providers of a process.

    Args:
        environment_proxies: obey HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as Go's default transport does.
    """

    def __init__(self, *, environment_proxies: bool = True) -> None:
        self._environment_proxies = environment_proxies
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._insecure = ssl.create_default_context()
        self._insecure.check_hostname = False
        self._insecure.verify_mode = ssl.CERT_NONE
        self._in_flight: dict[_Request, _InFlight] = {}
        self._not_before: dict[str, float] = {}
        """When, on the loop's clock, a server wants to be asked again."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_seconds: float,
        verifies: bool = True,
        uses_proxies: bool = True,
        follows_redirects: bool = True,
        shares: bool = False,
    ) -> HttpAnswer:
        """Send a request and read the whole answer, whatever its status.

        With `shares` the request only reads, so that an identical one in flight is as good as a new one. A server that
        refuses for now (429 or 503 with Retry-After) is asked again if that comes in time.

        Raises:
            HttpError: no answer came in time, or none that can be read.
        """
        request = _Request(
            method, url, tuple(sorted((headers or {}).items())), body, verifies, uses_proxies, follows_redirects
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                return await (self._shared(request) if shares else self._patient(request))
        except TimeoutError:
            raise HttpError(f"{request}: {self._late(request, timeout_seconds)}") from None

    def _late(self, request: _Request, timeout_seconds: float) -> str:
        wait_seconds = self._wait_seconds(request)
        if wait_seconds > 0:
            return f"the server asks to come back in {wait_seconds:.0f} s"
        return f"no answer within {timeout_seconds:g} s"

    async def _shared(self, request: _Request) -> HttpAnswer:
        """Wait for the answer to an identical request in flight; nobody's giving up ends it for the others."""
        task = self._in_flight.get(request)
        if task is None:
            task = asyncio.create_task(self._patient(request))
            self._in_flight[request] = task
            task.add_done_callback(lambda done: self._forget(request, done))
        return await asyncio.shield(task)

    def _forget(self, request: _Request, task: _InFlight) -> None:
        self._in_flight.pop(request, None)
        if not task.cancelled():
            # Whoever waited may be gone; the failure must not be reported as one that nobody has looked at.
            task.exception()

    async def _patient(self, request: _Request) -> HttpAnswer:
        """Send a request when its server wants to be asked, and again if it has refused for now."""
        while True:
            wait_seconds = self._wait_seconds(request)
            if wait_seconds > 0:
                await asyncio.sleep(wait_seconds)
            answer = await self._send(request)
            retry_after = _retry_after_seconds(answer)
            if answer.status not in (TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE) or retry_after is None:
                return answer
            self._not_before[_origin(request)] = asyncio.get_running_loop().time() + retry_after

    def _wait_seconds(self, request: _Request) -> float:
        not_before = self._not_before.get(_origin(request))
        if not_before is None:
            return 0.0
        wait_seconds = not_before - asyncio.get_running_loop().time()
        if wait_seconds <= 0:
            self._not_before.pop(_origin(request), None)
        return max(0.0, wait_seconds)

    async def _send(self, request: _Request) -> HttpAnswer:
        try:
            async with self._session(proxies=request.uses_proxies).request(
                request.method,
                URL(request.url, encoded=True),
                headers=dict(request.headers),
                data=request.body,
                ssl=True if request.verifies else self._insecure,
                max_redirects=REDIRECTS_MAX,
                allow_redirects=request.follows_redirects,
            ) as answer:
                read = bytearray()
                async for chunk in answer.content.iter_any():
                    read += chunk
                    if len(read) > BODY_BYTES_MAX:
                        raise HttpError(f"{request}: the answer is larger than {BODY_BYTES_MAX} bytes")
                return HttpAnswer(answer.status, answer.headers, bytes(read))
        except aiohttp.TooManyRedirects:
            raise HttpError(f"{request}: stopped after {REDIRECTS_MAX} redirects") from None
        except (aiohttp.ClientError, ValueError, OSError) as err:
            raise HttpError(f"{request}: {str(err) or type(err).__name__}") from err

    def _session(self, *, proxies: bool) -> aiohttp.ClientSession:
        trust = proxies and self._environment_proxies
        if trust not in self._sessions:
            self._sessions[trust] = aiohttp.ClientSession(
                trust_env=trust,
                timeout=aiohttp.ClientTimeout(total=None),
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST_MAX),
            )
        return self._sessions[trust]

    async def close(self) -> None:
        """End what is in flight, and all connections."""
        tasks = list(self._in_flight.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _origin(request: _Request) -> str:
    url = URL(request.url, encoded=True)
    return f"{url.scheme}://{url.host}:{url.port}"


def _retry_after_seconds(answer: HttpAnswer) -> float | None:
    """Return how long a server wants to be left alone; None when it does not say, or not so that it can be read."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    date = answer.headers.get("Date", "")
    try:
        # Both by the server's clock, which need not be ours.
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError):
        return None
