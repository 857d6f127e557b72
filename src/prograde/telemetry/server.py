"""The two small HTTP endpoints of a controller: ``/healthz`` and ``/metrics``."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from prograde.telemetry.metrics import CONTENT_TYPE, Registry

__all__ = ["PortInUse", "serve_healthz", "serve_metrics"]

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PortInUse(Exception):
    """A listening port is taken (or may not be bound); the message says which and what to do."""


@asynccontextmanager
async def serve_healthz(host: str, port: int, flag: str = "--healthzPort") -> AsyncIterator[int]:
    """Serve ``/healthz`` while the context lasts and yield the port (a free one for 0)."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(
            text="ok", content_type="text/plain", charset="utf-8", headers={"X-Content-Type-Options": "nosniff"}
        )

    log.info("Starting Healthz Server at %s:%d", host, port)
    async with _serve(host, port, "/healthz", healthz, flag) as bound:
        yield bound


@asynccontextmanager
async def serve_metrics(host: str, port: int, registry: Registry, flag: str = "--metricsPort") -> AsyncIterator[int]:
    """Serve ``/metrics`` of `registry` while the context lasts and yield the port (a free one for 0)."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=registry.render(), headers={"Content-Type": CONTENT_TYPE})

    log.info("Starting Metric Server at %s:%d", host, port)
    async with _serve(host, port, "/metrics", metrics, flag) as bound:
        yield bound


@asynccontextmanager
async def _serve(host: str, port: int, path: str, handler: Handler, flag: str) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_get(path, handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as err:
            raise PortInUse(
                f"cannot listen on {host}:{port} for {path}: {err.strerror or err}; choose another with {flag}"
            ) from err
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
