"""A server that says what a test wants it to say, and remembers what it was asked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeServer:
    """A loopback server; `answers` are handlers by path, ``*`` for every other."""

    url: str = ""
    answers: dict[str, Handler] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def says(self, path: str, body: str | bytes = "", status: int = 200, **headers: str) -> None:
        """Answer every request for a path with the same thing."""

        async def handler(_: web.Request) -> web.Response:
            raw = body if isinstance(body, bytes) else body.encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            named.setdefault("Content-Type", "application/json")
            return web.Response(status=status, body=raw, headers=named)

        self.answers[path] = handler

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(
            Asked(request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        )
        handler = self.answers.get(request.path) or self.answers.get("*")
        if handler is None:
            return web.Response(status=404, text="nobody here")
        return await handler(request)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    yield fake
    await runner.cleanup()
