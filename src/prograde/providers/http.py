"""HTTP for providers: one pool of connections, time limits, bounded bodies, causes that a person understands.

Servers of metrics are outside of our control: they hang, answer pages of HTML with status 200, redirect in circles and
send megabytes. Nothing here waits for ever or reads without end, and every failure is one `HttpError` with method,
address and cause.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import aiohttp

__all__ = ["Http", "HttpAnswer", "HttpError"]

REDIRECTS_MAX: Final = 10
BODY_BYTES_MAX: Final = 10 * 1024 * 1024
"""More than any query of a metric answers with; a condition over more would be a mistake."""


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
    ) -> HttpAnswer:
        """Send a request and read the whole answer, whatever its status.

        Raises:
            HttpError: no answer came in time, or none that can be read.
        """
        shown = f'{method.capitalize()} "{url}"'
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._session(proxies=uses_proxies).request(
                    method,
                    url,
                    headers=headers,
                    data=body,
                    ssl=True if verifies else self._insecure,
                    max_redirects=REDIRECTS_MAX,
                    allow_redirects=follows_redirects,
                ) as answer,
            ):
                read = await answer.content.read(BODY_BYTES_MAX + 1)
                while len(read) <= BODY_BYTES_MAX and not answer.content.at_eof():
                    read += await answer.content.read(BODY_BYTES_MAX + 1 - len(read))
                if len(read) > BODY_BYTES_MAX:
                    raise HttpError(f"{shown}: the answer is larger than {BODY_BYTES_MAX} bytes")
                return HttpAnswer(answer.status, answer.headers, read)
        except TimeoutError:
            raise HttpError(f"{shown}: no answer within {timeout_seconds:g} s") from None
        except aiohttp.TooManyRedirects:
            raise HttpError(f"{shown}: stopped after {REDIRECTS_MAX} redirects") from None
        except (aiohttp.ClientError, ValueError) as err:
            raise HttpError(f"{shown}: {str(err) or type(err).__name__}") from err

    def _session(self, *, proxies: bool) -> aiohttp.ClientSession:
        trust = proxies and self._environment_proxies
        if trust not in self._sessions:
            self._sessions[trust] = aiohttp.ClientSession(
                trust_env=trust, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=True
            )
        return self._sessions[trust]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
