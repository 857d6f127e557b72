"""The HTTP transport against a real server on the loopback interface: TLS, credentials, streams, broken connections."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from tests.kube.certificates import Authority

from prograde.kube.config import ConnectionConfig, Impersonation, TlsConfig
from prograde.kube.credentials import FixedCredentials, Identity
from prograde.kube.errors import ConfigError, ConnectFailed
from prograde.kube.http import HttpTransport, ssl_context
from prograde.kube.transport import Request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

AUTHORITY = Authority()
SERVER_PAIR = AUTHORITY.issue("server", "127.0.0.1", "api.example.com")
CLIENT_PAIR = AUTHORITY.issue("alice")
GET = Request(method="GET", path="/api/v1/pods")


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def transport_to(server: str, **options: Any) -> AsyncIterator[HttpTransport]:
    config = {"credentials": FixedCredentials(Identity())} | options
    transport = HttpTransport(ConnectionConfig(server=server, **config), user_agent="test/1", read_seconds=5)
    try:
        yield transport
    finally:
        await transport.close()


@pytest.fixture
def server_context(tmp_path: Path) -> ssl.SSLContext:
    certificate, key, authority = tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.crt"
    certificate.write_bytes(SERVER_PAIR.certificate)
    key.write_bytes(SERVER_PAIR.key)
    authority.write_bytes(AUTHORITY.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def echo(request: web.BaseRequest) -> web.Response:
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
            "body": (await request.read()).decode(),
            "peer": dict(pair[0] for pair in certificate["subject"]) if certificate else {},
        }
    )


async def ask(transport: HttpTransport, request: Request = GET) -> Any:
    response = await transport.request(request)
    assert response.status == 200
    return msgspec.json.decode(response.body)


async def test_method_path_query_headers_and_body_arrive_as_given() -> None:
    async with serving(echo) as server, transport_to(f"{server}/k8s/clusters/c-1/") as transport:
        query = (("labelSelector", "a=b,c in (d, e)"), ("x", "ä&+"), ("x", "2"))
        headers = {"content-type": "application/merge-patch+json"}
        seen = await ask(
            transport,
            Request(method="PATCH", path="/apis/a/v1/x/a%2Fb", query=query, headers=headers, body=b'{"a":1}'),
        )
        assert seen["method"] == "PATCH"
        path = "/k8s/clusters/c-1/apis/a/v1/x/a%2Fb"
        assert seen["path"] == f"{path}?labelSelector=a%3Db%2Cc+in+%28d%2C+e%29&x=%C3%A4%26%2B&x=2"
        assert seen["body"] == '{"a":1}'
        assert ["content-type", "application/merge-patch+json"] in seen["headers"]
        assert ["user-agent", "test/1"] in seen["headers"]


async def test_error_statuses_are_answers_and_redirects_are_not_followed() -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": "/elsewhere"})
        return web.Response(status=503, headers={"Retry-After": "3"}, body=b"busy")

    async with serving(answer) as server, transport_to(server) as transport:
        response = await transport.request(GET)
        assert (response.status, response.body, response.headers["retry-after"]) == (503, b"busy", "3")
        assert (await transport.request(Request(method="GET", path="/moved"))).status == 302


async def test_connections_are_kept_alive_between_requests() -> None:
    peers = set()

    async def note(request: web.BaseRequest) -> web.Response:
        peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        return web.Response(body=b"{}")

    async with serving(note) as server, transport_to(server) as transport:
        for _ in range(5):
            await transport.request(GET)
        assert len(peers) == 1


async def test_gzip_is_asked_for_and_unpacked_unless_disabled() -> None:
    async def zipped(request: web.BaseRequest) -> web.Response:
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return web.Response(body=b"plain")
        return web.Response(body=gzip.compress(b"unpacked"), headers={"Content-Encoding": "gzip"})

    async with serving(zipped) as server:
        async with transport_to(server) as transport:
            assert (await transport.request(GET)).body == b"unpacked"
        async with transport_to(server, disable_compression=True) as transport:
            assert (await transport.request(GET)).body == b"plain"


async def test_impersonation_headers() -> None:
    impersonation = Impersonation(
        user="jane", uid="7", groups=("dev", "ops"), extra={"Scopes/x": ("view", "edit"), "n": ("1",)}
    )
    async with serving(echo) as server, transport_to(server, impersonation=impersonation) as transport:
        seen = await ask(transport)
        assert [pair for pair in seen["headers"] if pair[0].startswith("impersonate")] == [
            ["impersonate-user", "jane"],
            ["impersonate-uid", "7"],
            ["impersonate-group", "dev"],
            ["impersonate-group", "ops"],
            ["impersonate-extra-scopes%2fx", "view"],
            ["impersonate-extra-scopes%2fx", "edit"],
            ["impersonate-extra-n", "1"],
        ]


# -- streams ----------------------------------------------------------------------------------------------------


async def test_a_stream_hands_over_pieces_while_the_answer_still_arrives() -> None:
    go_on = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"X-A": "b"})
        await response.prepare(request)
        await response.write(b"first\nsec")
        await go_on.wait()
        await response.write(b"ond\n")
        return response

    async with serving(slow) as server, transport_to(server) as transport, transport.stream(GET) as stream:
        assert (stream.status, stream.headers["x-a"]) == (200, "b")
        pieces = stream.chunks()
        assert await anext(pieces) == b"first\nsec"
        go_on.set()
        assert [piece async for piece in pieces] == [b"ond\n"]


async def test_leaving_a_stream_early_ends_it_on_the_server() -> None:
    ended = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 1000)
                await asyncio.sleep(0)
        finally:
            ended.set()

    async with serving(endless) as server, transport_to(server) as transport:
        async with transport.stream(GET) as stream:
            async for _ in stream.chunks():
                break
        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_stream_cut_in_the_middle_raises_after_what_arrived() -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADD')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(cut) as server, transport_to(server) as transport:
        pieces: list[bytes] = []
        with pytest.raises(ConnectionError, match="the connection broke"):  # noqa: PT012
            async with transport.stream(GET) as stream:
                async for piece in stream.chunks():
                    pieces.append(piece)
        assert b"".join(pieces) in (b"", b'{"type":"ADD')


# -- no answer --------------------------------------------------------------------------------------------------


async def test_a_server_that_is_not_there_says_where_and_that_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with transport_to(f"http://127.0.0.1:{port}") as transport:
            with pytest.raises(ConnectFailed, match=f"cannot connect to http://127.0.0.1:{port}: "):
                await transport.request(GET)


async def test_an_unknown_host_is_named() -> None:
    async with transport_to("https://no-such-host.invalid:6443") as transport:
        with pytest.raises(ConnectFailed, match="cannot connect to https://no-such-host.invalid:6443"):
            await transport.request(GET)


async def test_a_connection_closed_without_answer_is_an_ambiguous_error() -> None:
    async def hang_up(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(hang_up) as server, transport_to(server) as transport:
        with pytest.raises(ConnectionError) as caught:
            await transport.request(Request(method="POST", path="/x", body=b"{}"))
        assert not isinstance(caught.value, ConnectFailed)


async def test_a_server_that_does_not_answer_times_out() -> None:
    release = asyncio.Event()

    async def silent(request: web.BaseRequest) -> web.Response:
        await release.wait()
        return web.Response()

    async with serving(silent) as server:
        config = ConnectionConfig(server=server, credentials=FixedCredentials(Identity()))
        transport = HttpTransport(config, user_agent="test/1", read_seconds=0.05)
        with pytest.raises(TimeoutError, match=f"{server}: no answer in time"):
            await transport.request(GET)
        release.set()
        await transport.close()


async def test_a_closed_transport_refuses() -> None:
    async with transport_to("http://127.0.0.1:1") as transport:
        await transport.close()
        with pytest.raises(ConnectFailed, match="the transport is closed"):
            await transport.request(GET)


# -- credentials ------------------------------------------------------------------------------------------------


class Rotating:
    """Credentials with another token after each refusal."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)

    async def get(self) -> Identity:
        return Identity(authorization=f"Bearer {self.tokens[0]}")

    async def renew(self, used: Identity) -> bool:
        if len(self.tokens) == 1:
            return False
        self.tokens.pop(0)
        return True


@pytest.mark.parametrize(
    ("tokens", "status", "seen"),
    [
        (("good",), 200, ["good"]),
        (("old", "good"), 200, ["old", "good"]),
        (("old",), 401, ["old"]),
        (("old", "older", "good"), 401, ["old", "older"]),
    ],
)
async def test_credentials_are_renewed_once_after_a_401(tokens: tuple[str, ...], status: int, seen: list[str]) -> None:
    got: list[str] = []

    async def guarded(request: web.BaseRequest) -> web.Response:
        got.append(request.headers["authorization"].removeprefix("Bearer "))
        return web.Response(status=200 if got[-1] == "good" else 401)

    async with serving(guarded) as server, transport_to(server, credentials=Rotating(*tokens)) as transport:
        assert (await transport.request(GET)).status == status
        assert got == seen


async def test_a_stream_renews_credentials_too() -> None:
    async def guarded(request: web.BaseRequest) -> web.Response:
        is_good = request.headers["authorization"] == "Bearer good"
        return web.Response(status=200 if is_good else 401, body=b"log")

    credentials = Rotating("old", "good")
    async with (
        serving(guarded) as server,
        transport_to(server, credentials=credentials) as transport,
        transport.stream(GET) as stream,
    ):
        assert stream.status == 200
        assert [piece async for piece in stream.chunks()] == [b"log"]


# -- TLS --------------------------------------------------------------------------------------------------------


async def test_a_server_signed_by_the_given_authority_is_trusted(server_context: ssl.SSLContext) -> None:
    tls = TlsConfig(certificate_authority=AUTHORITY.certificate)
    async with serving(echo, server_context) as server, transport_to(server, tls=tls) as transport:
        assert (await ask(transport))["peer"] == {}


@pytest.mark.parametrize("authority", [b"", Authority().certificate])
async def test_a_server_signed_by_somebody_else_is_refused_with_a_remedy(
    server_context: ssl.SSLContext, authority: bytes
) -> None:
    tls = TlsConfig(certificate_authority=authority)
    async with serving(echo, server_context) as server, transport_to(server, tls=tls) as transport:
        with pytest.raises(ConnectFailed, match="certificate is not trusted: .*; check certificate-authority"):
            await transport.request(GET)


async def test_insecure_skip_verify_trusts_anybody(server_context: ssl.SSLContext) -> None:
    tls = TlsConfig(insecure_skip_verify=True)
    async with serving(echo, server_context) as server, transport_to(server, tls=tls) as transport:
        await ask(transport)


@pytest.mark.parametrize(("name", "is_good"), [("api.example.com", True), ("other.example.com", False)])
async def test_the_expected_server_name_can_be_given(server_context: ssl.SSLContext, name: str, is_good: bool) -> None:
    tls = TlsConfig(certificate_authority=AUTHORITY.certificate, server_name=name)
    async with serving(echo, server_context) as server, transport_to(server, tls=tls) as transport:
        if is_good:
            await ask(transport)
        else:
            with pytest.raises(ConnectFailed, match="not trusted"):
                await transport.request(GET)


async def test_a_client_certificate_is_presented(server_context: ssl.SSLContext) -> None:
    tls = TlsConfig(certificate_authority=AUTHORITY.certificate)
    identity = Identity(client_certificate=CLIENT_PAIR.certificate, client_key=CLIENT_PAIR.key)
    credentials = FixedCredentials(identity)
    async with (
        serving(echo, server_context) as server,
        transport_to(server, tls=tls, credentials=credentials) as transport,
    ):
        assert (await ask(transport))["peer"] == {"commonName": "alice"}


async def test_a_new_client_certificate_is_used_from_the_next_request_on(server_context: ssl.SSLContext) -> None:
    class Changing:
        identity = Identity(client_certificate=CLIENT_PAIR.certificate, client_key=CLIENT_PAIR.key)

        async def get(self) -> Identity:
            return self.identity

        async def renew(self, used: Identity) -> bool:
            return False

    tls = TlsConfig(certificate_authority=AUTHORITY.certificate)
    credentials = Changing()
    async with (
        serving(echo, server_context) as server,
        transport_to(server, tls=tls, credentials=credentials) as transport,
    ):
        await ask(transport)
        bob = AUTHORITY.issue("bob")
        credentials.identity = Identity(client_certificate=bob.certificate, client_key=bob.key)
        assert (await ask(transport))["peer"] == {"commonName": "bob"}


@pytest.mark.parametrize(
    ("tls", "identity", "message"),
    [
        (TlsConfig(certificate_authority=b"junk"), Identity(), "certificate-authority: not a PEM certificate"),
        (TlsConfig(certificate_authority=b"\xff"), Identity(), "certificate-authority: not a PEM certificate"),
        (TlsConfig(), Identity(client_certificate=b"junk", client_key=b"junk"), "not a PEM pair that belongs together"),
        (
            TlsConfig(),
            Identity(client_certificate=CLIENT_PAIR.certificate, client_key=SERVER_PAIR.key),
            "not a PEM pair that belongs together",
        ),
    ],
)
def test_unusable_certificates_are_configuration_errors(tls: TlsConfig, identity: Identity, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ssl_context(tls, identity)
