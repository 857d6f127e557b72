import aiohttp
import pytest

from prograde.telemetry.metrics import Registry
from prograde.telemetry.server import PortInUse, serve_healthz, serve_metrics


async def test_healthz_answers_ok_and_nothing_else_is_there() -> None:
    async with serve_healthz("127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
            assert response.status == 200
            assert await response.text() == "ok"
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        async with session.get(f"http://127.0.0.1:{port}/other") as response:
            assert response.status == 404


async def test_metrics_answers_the_text_format() -> None:
    registry = Registry()
    registry.counter("rollout_events_total", "Count of rollout events").inc()
    async with serve_metrics("127.0.0.1", 0, registry) as port, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "rollout_events_total 1" in await response.text()


async def test_a_port_in_use_is_named_together_with_the_flag_that_changes_it() -> None:
    async with serve_healthz("127.0.0.1", 0) as port:
        with pytest.raises(PortInUse, match=rf"cannot listen on 127.0.0.1:{port} for /metrics: .*--metricsPort"):
            async with serve_metrics("127.0.0.1", port, Registry()):
                pass
