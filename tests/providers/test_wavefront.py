"""Wavefront's chart API. Its servers are always asked by HTTPS; here a loopback server stands in."""

import json
from typing import Any

import pytest
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import NOW, context_for, measure, metric_of
from tests.providers.stored_secrets import client_with, own_secret

from prograde.api.analysis import Measurement
from prograde.providers.registry import build_provider
from prograde.providers.wavefront import WavefrontProvider

PATH = "/api/v2/chart/api"
START = int(NOW.timestamp())


async def query(server: FakeServer, condition: str = "true") -> Measurement:
    metric = metric_of({"wavefront": {"address": "x.wavefront.com", "query": "ts(a)"}}, successCondition=condition)
    async with context_for() as context:
        return await WavefrontProvider(metric, context, server.url, "ts(a)", "t0ken-s3cr3t").run()


def answer(*series: list[tuple[int, float]], **more: Any) -> str:
    """Write an answer; times are relative to the start."""
    data = [{"data": [[START + at, value] for at, value in points]} for points in series]
    return json.dumps({"timeseries": data, **more})


@pytest.mark.parametrize(
    ("body", "condition", "phase", "value", "metadata"),
    [
        (
            answer([(-1, 1), (4, 2)]),
            "result == 1",
            "Successful",
            "1.00",
            {"timestamps": str(START - 1), "drift": "-1"},
        ),
        (answer([(-4, 1), (1, 2)]), "result == 2", "Successful", "2.00", {"timestamps": str(START + 1), "drift": "1"}),
        (answer([(-2, 1), (2, 2)]), "result == 1", "Successful", "1.00", {"timestamps": str(START - 2), "drift": "-2"}),
        (answer([(0, 0.994)]), "result < 0.9935", "Failed", "0.99", {"timestamps": str(START), "drift": "0"}),
        (
            answer([(0, 10)], [(-3, 11)], warnings="slow"),
            "all(result, # >= 10)",
            "Successful",
            "[10.00,11.00]",
            {"timestamps": f"[{START},{START - 3}]", "drift": "[0,-3]", "warnings": "slow"},
        ),
    ],
)
async def test_the_point_nearest_to_the_start_counts(
    server: FakeServer, body: str, condition: str, phase: str, value: str, metadata: dict[str, str]
) -> None:
    server.says(PATH, body)
    measurement = await query(server, condition)
    assert (measurement.phase, measurement.value, measurement.message) == (phase, value, "")
    assert measurement.metadata == metadata


async def test_a_query_asks_for_the_second_of_the_start(server: FakeServer) -> None:
    server.says(PATH, answer([(0, 1)]))
    await query(server)
    (asked,) = server.asked
    assert (asked.method, asked.headers["Authorization"]) == ("GET", "Bearer t0ken-s3cr3t")
    assert asked.headers["Accept"] == "application/json"
    assert asked.query == {
        "q": "ts(a)",
        "s": f"{START}000",
        "e": f"{START}000",
        "g": "s",
        "p": "1",
        "i": "true",
        "autoEvents": "false",
        "listmode": "false",
        "strict": "false",
        "includeObsoleteMetrics": "false",
    }


@pytest.mark.parametrize(
    ("body", "status", "message", "metadata"),
    [
        ("{}", 200, "No TimeSeries found in response from Wavefront", {}),
        (
            '{"warnings":"No query provided"}',
            200,
            "No TimeSeries found in response from Wavefront",
            {"warnings": "No query provided"},
        ),
        ('{"timeseries":[{"data":[]}],"warnings":"w"}', 200, "no data points", {"warnings": "w"}),
        ('{"timeseries":[{}]}', 200, "no data points", {}),
        ('{"timeseries":[{"data":[[1]]}]}', 200, "json: a point is no pair of numbers", {}),
        ('{"timeseries":[{"data":[["1",2]]}]}', 200, "json: a point is no pair of numbers", {}),
        ('{"timeseries":"x"}', 200, "json: cannot use string as a list at timeseries", {}),
        ("<html>", 200, "invalid character '<' looking for beginning of value", {}),
        ("no", 401, "server returned 401 Unauthorized\nno\n", {}),
        ("", 500, "server returned 500 Internal Server Error\n\n", {}),
        ("t0ken-s3cr3t?", 403, "server returned 403 Forbidden\n*****?\n", {}),
    ],
)
async def test_every_bad_answer_is_an_error_that_says_so(
    server: FakeServer, body: str, status: int, message: str, metadata: dict[str, str]
) -> None:
    server.says(PATH, body, status=status)
    measurement = await query(server)
    assert (measurement.phase, measurement.message, measurement.value) == ("Error", message, "")
    assert measurement.metadata == metadata
    assert measurement.finished_at is not None


async def test_a_condition_that_cannot_be_evaluated_leaves_only_the_warnings(server: FakeServer) -> None:
    server.says(PATH, answer([(0, 1)], warnings="w"))
    measurement = await query(server, "result > 'x'")
    assert (measurement.phase, measurement.value, measurement.metadata) == ("Error", "", {"warnings": "w"})


async def test_the_token_is_that_of_the_host() -> None:
    tokens = {"a.wavefront.com": "token-a", "b.wavefront.com": "token-b"}
    async with context_for({}, await own_secret("wavefront-api-tokens", tokens)) as context:
        metric = metric_of({"wavefront": {"address": "b.wavefront.com", "query": "q"}})
        provider = await build_provider(metric, context)
    assert isinstance(provider, WavefrontProvider)
    assert (provider.url, provider._token) == ("https://b.wavefront.com", "token-b")


@pytest.mark.parametrize("address", ["", "c.wavefront.com", "https://b.wavefront.com"])
async def test_a_host_without_a_token_is_an_error(address: str) -> None:
    client = await own_secret("wavefront-api-tokens", {"b.wavefront.com": "token-b"})
    measurement = await measure(metric_of({"wavefront": {"address": address, "query": "q"}}), {}, client)
    assert measurement.message == "API token not found"


async def test_a_missing_secret_is_an_error() -> None:
    metric = metric_of({"wavefront": {"address": "b.wavefront.com", "query": "q"}})
    assert (await measure(metric, {}, await client_with())).message == 'secrets "wavefront-api-tokens" not found'
