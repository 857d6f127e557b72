"""HTTP in front of the embedded cluster: sockets, TLS, tokens, and who may knock at all.

Everything about the API itself is behind `handle`; here bytes come in and go out. The server listens on a loopback
address only, unless told twice. A browser on the same machine is not a client: a page from the internet can make it
send requests to loopback addresses, so that hosts and origins that are not ours are turned away.

On `stop`, watches end first and cleanly, so that clients resume elsewhere instead of reporting a broken connection.
"""

import asyncio
import gzip
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from prograde.kube.transport import Request, Response
from prograde.sandbox.api import Stream, status_response
from prograde.sandbox.auth import ADMIN, Authenticator, User, impersonated
from prograde.sandbox.bodies import BODY_BYTES_MAX
from prograde.sandbox.errors import StatusError

__all__ = ["HttpServer", "NotLoopback", "is_host_name"]

Handle: TypeAlias = Callable[[Request, User], Awaitable[Response | Stream]]

GZIP_BYTES_MIN = 131_072
"""Smaller bodies are not worth the time: the network here is a loopback device."""

GZIP_IN_THREAD_BYTES = 1_048_576
"""Above this, compressing takes so long (10 ms) that others would notice."""

STOP_SECONDS = 2.0
"""How long a stop waits for clients to read the ends of their watches."""

KEEP_ALIVE_SECONDS = 3600.0
"""An idle connection costs nothing here, and closing one races with the next request on it."""

HEADER_BYTES_MAX = 65_536

HOSTS = frozenset({"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1"})


class NotLoopback(ValueError):
    """The address would make the cluster reachable from other machines."""


class HttpServer:
    """One listening socket in front of a handler."""

    def __init__(
        self,
        handle: Handle,
        *,
        authenticator: Authenticator | None,
        tls: ssl.SSLContext | None,
        end_watches: Callable[[], None],
        hosts: Iterable[str] = (),
    ) -> None:
        """Without an `authenticator`, everybody who can connect is the administrator.

        `hosts` are further names under which the server may be called.
        """
        self._handle = handle
        self._authenticator = authenticator
        self._tls = tls
        self._end_watches = end_watches
        self._hosts = HOSTS.union(host.lower() for host in hosts)
        self._runner: web.ServerRunner | None = None
        self._audit_ids = count(1)
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        scheme = "https" if self._tls is not None else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, allows_other_machines: bool = False) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            NotLoopback: other machines could connect, and nobody said that they may.
            OSError: the port is taken, or the address is not of this machine.
        """
        if not allows_other_machines and not _is_loopback(host):
            message = f"{host} is not a loopback address: the cluster would be open to other machines"
            raise NotLoopback(message)
        server = web.Server(
            self._answer,
            request_factory=_make_request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=STOP_SECONDS)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, host, port, ssl_context=self._tls)
            await site.start()
        except OSError:
            await self._runner.cleanup()
            self._runner = None
            raise
        address = self._runner.addresses[0]
        self.host, self.port = host, address[1]
        self._hosts |= {host.lower()}

    async def stop(self) -> None:
        """End all watches, let their clients read that, and close."""
        self._end_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # -- requests ------------------------------------------------------------------------------------------------

    async def _answer(self, raw: web.BaseRequest) -> web.StreamResponse:
        request = None
        try:
            request = await _read(raw)
            self._check_origin(request)
            user = self._user(request)
            answer = await self._handle(request, user)
        except StatusError as err:
            answer = status_response(err)
        except ConnectionError:
            # A fault that was asked for: the client must see a broken connection, not an answer.
            if raw.transport is not None:
                raw.transport.abort()
            return web.Response()
        if isinstance(answer, Response):
            return await self._complete(answer, request)
        return await self._stream(raw, answer)

    def _user(self, request: Request) -> User:
        if self._authenticator is None:
            return impersonated(ADMIN, request.headers)
        return self._authenticator.authenticate(request.path, request.headers)

    def _check_origin(self, request: Request) -> None:
        """Refuse requests that a foreign web page made this machine's browser send.

        Raises:
            StatusError: 403.
        """
        host = _host_name(request.headers.get("host", ""))
        if host not in self._hosts and not _is_loopback(host):
            why = f'host "{host}" is none of this cluster: use a loopback address'
            raise StatusError(403, "Forbidden", f"forbidden: {why}")
        origin = request.headers.get("origin")
        if origin is not None:
            parts = urlsplit(origin)
            own = (parts.hostname or "") in self._hosts or _is_loopback(parts.hostname or "")
            if not own or parts.port != self.port:
                raise StatusError(403, "Forbidden", f'forbidden: requests from pages of "{origin}" are not served')

    async def _complete(self, answer: Response, request: Request | None) -> web.Response:
        headers = dict(answer.headers)
        headers["audit-id"] = self._audit_id()
        body = answer.body
        if request is not None and len(body) > GZIP_BYTES_MIN and _wants_gzip(request, headers):
            if len(body) > GZIP_IN_THREAD_BYTES:
                body = await asyncio.to_thread(gzip.compress, body, 1)
            else:
                body = gzip.compress(body, compresslevel=1)
            headers |= {"content-encoding": "gzip", "vary": "Accept-Encoding"}
        return web.Response(status=answer.status, headers=headers, body=body)

    async def _stream(self, raw: web.BaseRequest, answer: Stream) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={**answer.headers, "audit-id": self._audit_id()})
        response.enable_chunked_encoding()
        chunks = answer.chunks()
        try:
            await response.prepare(raw)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
        except ConnectionError:
            if raw.transport is not None:
                raw.transport.abort()
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        return response

    def _audit_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._audit_ids):012x}"


async def _read(raw: web.BaseRequest) -> Request:
    try:
        body = await raw.read() if raw.can_read_body else b""
    except web.HTTPRequestEntityTooLarge:
        message = f"Request entity too large: limit is {BODY_BYTES_MAX}"
        raise StatusError(413, "RequestEntityTooLarge", message) from None
    path, _, query = raw.raw_path.partition("?")
    return Request(
        method=raw.method,
        path=path,
        query=tuple(parse_qsl(query, keep_blank_values=True)) if query else (),
        headers={name.lower(): value for name, value in raw.headers.items()},
        body=body,
    )


def _make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: object,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    return web.BaseRequest(
        message,
        payload,
        protocol,
        writer,  # type: ignore[arg-type]  # what aiohttp hands us
        task,
        asyncio.get_running_loop(),
        client_max_size=BODY_BYTES_MAX + 1,
    )


def _wants_gzip(request: Request, headers: dict[str, str]) -> bool:
    return (
        request.method == "GET"
        and "content-encoding" not in headers
        and "gzip" in request.headers.get("accept-encoding", "")
    )


def _host_name(host: str) -> str:
    """Return a Host header without its port, in lower case."""
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    return (name if name and port.isdecimal() else host).strip("[]").lower()


def is_host_name(host: str) -> bool:
    """Return whether this is a name, not an IP address."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return True
    return False


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
