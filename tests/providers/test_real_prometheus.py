"""Queries against a real Prometheus on loopback, with series that it has scraped.

Debian calls the package ``prometheus``; where it is not installed these tests are skipped.
"""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession
from tests.providers.fake_server import FakeServer, server
from tests.providers.measuring import measure, metric_of

__all__ = ["server"]

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(90),
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus"),
]

PATIENCE_SECONDS = 45.0

SERIES = """\
# TYPE http_requests_total counter
http_requests_total{version="blue",code="200"} 990
http_requests_total{version="blue",code="500"} 10
http_requests_total{version="yellow",code="200"} 950
http_requests_total{version="yellow",code="500"} 50
# TYPE queue_length gauge
queue_length 7
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def prometheus(server: FakeServer, tmp_path: Path) -> AsyncIterator[str]:
    """A Prometheus that has scraped the series above, and its address."""
    server.says("/metrics", SERIES, Content_Type="text/plain; version=0.0.4")
    port = _free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{server.url.removeprefix('http://')}']}}]}}]\n"
    )
    assert PROMETHEUS is not None
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        await _has_scraped(address)
        yield address
    finally:
        process.terminate()
        await process.wait()


async def _has_scraped(address: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), ClientSession() as session:
        while True:
            try:
                async with session.get(f"{address}/api/v1/query", params={"query": "queue_length"}) as answer:
                    if (await answer.json())["data"]["result"]:
                        return
            except (ClientError, KeyError, OSError):
                pass
            await asyncio.sleep(0.1)


ERROR_RATE = (
    'sum(http_requests_total{version="%s",code="500"}) / sum(http_requests_total{version="%s"})'  # the whole is 1000
)


async def test_queries_are_answered_as_by_every_prometheus(prometheus: str) -> None:
    async def ask(query: str, success: str = "", **config: object) -> tuple[str, str, str]:
        wanted = {"prometheus": {"address": prometheus, "query": query, **config}}
        measured = await measure(metric_of(wanted, successCondition=success), live=True)
        return measured.phase, measured.value, measured.message

    assert await ask("queue_length", "result[0] == 7") == ("Successful", "[7]", "")
    assert await ask("scalar(queue_length)", "result == 7") == ("Successful", "7", "")
    assert await ask(ERROR_RATE % ("blue", "blue"), "result[0] <= 0.01") == ("Successful", "[0.01]", "")
    assert await ask(ERROR_RATE % ("yellow", "yellow"), "result[0] <= 0.01") == ("Failed", "[0.05]", "")
    assert await ask("sort(sum by (version) (http_requests_total))", "len(result) == 2") == (
        "Successful",
        "[1000,1000]",
        "",
    )
    assert await ask("missing_series", "len(result) == 0") == ("Successful", "[]", "")
    assert await ask("0 / 0", "isNaN(result)") == ("Successful", "NaN", "")
    phase, _, message = await ask("sum(")
    assert phase == "Error"
    assert message.startswith("bad_data: ")
    phase, _, message = await ask('"text"')
    assert (phase, message) == ("Error", 'unexpected value type "string"')


async def test_ranges_are_answered_point_by_point(prometheus: str) -> None:
    wanted = {
        "prometheus": {
            "address": prometheus,
            "query": "vector(3)",
            "rangeQuery": {"start": 'now() - duration("10s")', "end": "now()", "step": "5s"},
        }
    }
    measured = await measure(metric_of(wanted, successCondition="all(result, # == 3)"), live=True)
    assert (measured.phase, measured.value) == ("Successful", "[3,3,3]")
