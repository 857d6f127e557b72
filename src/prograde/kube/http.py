"""The HTTP implementation of `Transport`, on aiohttp.

One session per cluster keeps connections alive between requests. Credentials are asked for every request and renewed
once after a 401. Connections are probed by the kernel, so that a watch over a dead one (a node gone, a firewall that
forgot it) ends in about a minute, while a quiet but healthy watch may stay open for as long as it likes.

Failures come out as `OSError`s, as the protocol says: `ConnectFailed` if nothing was sent, `ConnectionError` if the
connection broke, `TimeoutError` if no answer came. Redirects are not followed: credentials stay with their server.
"""

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from prograde.kube.config import ConnectionConfig, TlsConfig
from prograde.kube.credentials import Identity
from prograde.kube.errors import ConfigError, ConnectFailed
from prograde.kube.transport import Request, Response

__all__ = ["HttpTransport", "ssl_context"]

CONNECTIONS_MAX: Final = 250
"""Watches hold one each for minutes, so the limit is far above the number of kinds and workers together."""

KEEP_ALIVE_SECONDS: Final = 60.0
"""Shorter than the idle time-outs of common load balancers, which would else close under a request being sent."""

CONNECT_SECONDS: Final = 10.0
POOL_SECONDS: Final = 30.0
READ_SECONDS: Final = 60.0
"""Between two pieces of an answer, not for all of it. API servers give up by themselves after 60 s."""

PROBE_IDLE_SECONDS: Final = 30
PROBE_INTERVAL_SECONDS: Final = 10
PROBES_MAX: Final = 3

BODY_BYTES_MAX: Final = 1 << 30
"""No sensible answer is larger; one that is would only end in the out-of-memory killer."""

STREAM_BUFFER_BYTES: Final = 1 << 18


class HttpTransport:
    """Requests to the server of `config`. Create and use it in one event loop, and close it at the end.

    Args:
        user_agent: as servers log it, for example ``prograde/0.1.0 (controller)``.
    """

    def __init__(
        self,
        config: ConnectionConfig,
        *,
        user_agent: str,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._config = config
        self._credentials = config.credentials
        url = urlsplit(config.server)
        self._origin = f"{url.scheme}://{url.netloc}"
        self._base_path = url.path.rstrip("/")
        self._headers = _fixed_headers(config, user_agent)
        self._timeouts = aiohttp.ClientTimeout(
            total=None, connect=POOL_SECONDS, sock_connect=connect_seconds, sock_read=read_seconds
        )
        self._stream_timeouts = aiohttp.ClientTimeout(total=None, connect=POOL_SECONDS, sock_connect=connect_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._ssl_contexts: dict[Identity, ssl.SSLContext] = {}
        self._is_closed = False

    async def request(self, request: Request) -> Response:
        """Send and read the whole answer; see `Transport`."""
        async with self._open(request, self._timeouts) as answer:
            body = bytearray()
            async for piece in _pieces(answer, self._config.server):
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise ConnectionError(f"{self._config.server}: the answer is longer than {BODY_BYTES_MAX} bytes")
            return Response(status=answer.status, headers=_lower(answer.headers), body=bytes(body))

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator["_Stream"]:
        """Send and hand the answer over while it arrives; see `Transport`."""
        async with self._open(request, self._stream_timeouts) as answer:
            yield _Stream(answer, self._config.server)

    async def close(self) -> None:
        """Close all connections, waiting for TLS to say good-bye."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()
            # aiohttp closes TLS connections one turn of the loop later; leaving earlier warns about them.
            await asyncio.sleep(0)
            self._session = None

    # -- below --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _open(self, request: Request, limits: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, renewing credentials once if the server does not know us; hang up when the context is left."""
        identity = await self._credentials.get()
        answer = await self._send(request, limits, identity)
        try:
            if answer.status == 401 and await self._credentials.renew(identity):
                answer.close()
                answer = await self._send(request, limits, await self._credentials.get())
            yield answer
        finally:
            # An answer read to its end has given its connection back already; any other is cut, not read on.
            answer.close()

    async def _send(
        self, request: Request, limits: aiohttp.ClientTimeout, identity: Identity
    ) -> aiohttp.ClientResponse:
        query = f"?{urlencode(request.query)}" if request.query else ""
        headers = self._headers.copy()
        headers.update(request.headers)
        if identity.authorization:
            headers["authorization"] = identity.authorization
        context = self._ssl_context(identity)
        with _translated(self._config.server):
            return await self._open_session().request(
                request.method,
                URL(f"{self._origin}{self._base_path}{request.path}{query}", encoded=True),
                data=request.body or None,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                proxy=self._config.proxy_url or None,
                ssl=context if context is not None else True,
                server_hostname=self._config.tls.server_name or None,
                read_bufsize=STREAM_BUFFER_BYTES,
            )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise ConnectFailed(f"{self._config.server}: the transport is closed")
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_SECONDS, socket_factory=_probed_socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=("content-type",)
            )
        return self._session

    def _ssl_context(self, identity: Identity) -> ssl.SSLContext | None:
        """Return the context for the identity's certificate, None over plain HTTP.

        Only the last one is kept: plugins hand out a new certificate every few hours.
        """
        if not self._origin.startswith("https:"):
            return None
        certificate = Identity(client_certificate=identity.client_certificate, client_key=identity.client_key)
        context = self._ssl_contexts.get(certificate)
        if context is None:
            context = ssl_context(self._config.tls, certificate)
            self._ssl_contexts = {certificate: context}
        return context


class _Stream:
    """See `StreamingResponse`."""

    def __init__(self, answer: aiohttp.ClientResponse, server: str) -> None:
        self._answer = answer
        self._server = server
        self.status = answer.status
        self.headers: Mapping[str, str] = _lower(answer.headers)

    def chunks(self) -> AsyncIterator[bytes]:
        return _pieces(self._answer, self._server)


async def _pieces(answer: aiohttp.ClientResponse, server: str) -> AsyncIterator[bytes]:
    with _translated(server):
        async for piece in answer.content.iter_any():
            yield piece


@contextmanager
def _translated(server: str) -> Iterator[None]:
    """Turn aiohttp's exceptions into the `OSError`s that the protocol promises, naming the server."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as err:
        reason = f"the server's certificate is not trusted: {err.certificate_error}"
        raise ConnectFailed(f"{server}: {reason}; check certificate-authority in the kubeconfig") from err
    except aiohttp.ClientConnectorError as err:
        raise ConnectFailed(f"cannot connect to {server}: {_reason(err.os_error)}") from err
    except aiohttp.ConnectionTimeoutError as err:
        raise ConnectFailed(f"cannot connect to {server}: timed out") from err
    except aiohttp.ClientHttpProxyError as err:
        raise ConnectFailed(f"cannot connect to {server}: the proxy answered {err.status} {err.message}") from err
    except aiohttp.ServerTimeoutError as err:
        raise TimeoutError(f"{server}: no answer in time") from err
    except aiohttp.ClientError as err:
        raise ConnectionError(f"{server}: the connection broke: {str(err) or type(err).__name__}") from err


def _reason(err: OSError) -> str:
    """Return the system's words for the error; asyncio's own texts repeat the address instead."""
    if err.errno is not None and err.errno > 0:
        return os.strerror(err.errno)
    return err.strerror or str(err)


def ssl_context(tls: TlsConfig, identity: Identity) -> ssl.SSLContext:
    """Return a client context that trusts what `tls` says and presents the identity's certificate.

    Raises:
        ConfigError: a certificate or key is no PEM, or the two do not belong together.
    """
    try:
        authority = tls.certificate_authority.decode() or None
        context = ssl.create_default_context(cadata=authority)
    except (ssl.SSLError, ValueError) as err:
        raise ConfigError(f"certificate-authority: not a PEM certificate: {err}") from err
    # Cluster authorities made by common tools lack extensions that strict mode (the default from 3.13) asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity.client_certificate:
        _load_certificate(context, identity)
    return context


def _load_certificate(context: ssl.SSLContext, identity: Identity) -> None:
    """Load certificate and key through a private folder: the ssl module takes files only."""
    with tempfile.TemporaryDirectory(prefix="prograde-") as folder:  # mode 0700
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        certificate.write_bytes(identity.client_certificate)
        key.write_bytes(identity.client_key)
        try:
            # An encrypted key would make OpenSSL prompt on the terminal.
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (ssl.SSLError, ValueError) as err:
            raise ConfigError(
                f"client-certificate and client-key: not a PEM pair that belongs together: {err}"
            ) from err


def _probed_socket(address: Any) -> socket.socket:
    """Return a socket whose dead peer is noticed within about a minute."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", PROBE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", PROBE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", PROBES_MAX),
        ("TCP_USER_TIMEOUT", (PROBE_IDLE_SECONDS + PROBES_MAX * PROBE_INTERVAL_SECONDS) * 1000),
    ):
        if hasattr(socket, name):  # not every system has each of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


def _fixed_headers(config: ConnectionConfig, user_agent: str) -> CIMultiDict[str]:
    """Return the headers of every request."""
    headers = CIMultiDict({"user-agent": user_agent})
    if config.disable_compression:
        headers["accept-encoding"] = "identity"
    impersonation = config.impersonation
    if impersonation.user:
        headers["impersonate-user"] = impersonation.user
    if impersonation.uid:
        headers["impersonate-uid"] = impersonation.uid
    for group in impersonation.groups:
        headers.add("impersonate-group", group)
    for key, values in impersonation.extra.items():
        for value in values:
            headers.add(f"impersonate-extra-{quote(key, safe='')}", value)
    return headers


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
