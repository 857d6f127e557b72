"""The reconciler of AnalysisRuns where providers, Secrets, other controllers and users are in its way."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer, server
from tests.scenarios.measured import FINISHED, Cluster, controlling, measuring, web_metric

from prograde.sandbox.certificates import ensure_certificates
from prograde.sandbox.clock import wall_clock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer

__all__ = ["server"]

pytestmark = pytest.mark.timeout(60)

SECRET = "s3cr3t/+&"
"""With characters that addresses write in another way."""

TOKEN = {"name": "token", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}}


def keep_secret(cluster: Cluster) -> None:
    cluster.sandbox.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "token", "namespace": "default"},
            "stringData": {"key": SECRET},
        }
    )


def hangs(server: FakeServer, path: str = "/rate") -> asyncio.Event:
    """Answer a path only once the event is set."""
    answered = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await answered.wait()
        return web.json_response({"rate": 1})

    server.answers[path] = handler
    return answered


# ---- What providers answer -------------------------------------------------------------------------------------------

NO_DATA = "metric result is nil or empty: no data returned from the metric provider"


def condition(success: str, reason: str) -> str:
    return f'could not evaluate successCondition "{success}": {reason}'


@pytest.mark.parametrize(
    ("body", "success", "message"),
    [
        pytest.param('{"rate": null}', "result > 1", condition("result > 1", NO_DATA), id="nil"),
        pytest.param('{"rate": []}', "result[0] > 1", condition("result[0] > 1", NO_DATA), id="empty"),
        pytest.param('{"rate": null}', "result >", condition("result >", NO_DATA), id="nil, and a wrong condition"),
        pytest.param(
            '{"rate": "high"}',
            "result > 1",
            condition("result > 1", "invalid operation: > (mismatched types string and int)"),
            id="a text where a number is expected",
        ),
        pytest.param('{"rate": 1}', "result >", condition("result >", "unexpected token EOF"), id="does not compile"),
        pytest.param('{"rate": 1}', "rate > 1", condition("rate > 1", "unknown name rate"), id="unknown name"),
        pytest.param('{"rate": 1}', "result", condition("result", "expected bool, but got float64"), id="no answer"),
        pytest.param('{"other": 1}', "result > 1", "Could not find JSONPath in body: rate is not found", id="shape"),
    ],
)
async def test_a_value_that_has_no_meaning_is_an_error_that_says_why(
    server: FakeServer, body: str, success: str, message: str
) -> None:
    server.says("/rate", body)
    async with measuring() as cluster:
        cluster.create("run", web_metric(server, successCondition=success, consecutiveErrorLimit=0))
        status = await cluster.until("run", *FINISHED)
    assert status["phase"] == "Error"
    measurement = status["metricResults"][0]["measurements"][0]
    assert (measurement["phase"], measurement["message"]) == ("Error", message)
    limit = "consecutiveErrors (1) > consecutiveErrorLimit (0)"
    assert status["message"] == f'Metric "rate" assessed Error due to {limit}: "Error Message: {message}"'


@pytest.mark.parametrize(
    ("success", "failure", "phase"),
    [
        ("1 / (result - 1) < 5", "", "Failed"),
        ("isInf(1 / (result - 1))", "", "Successful"),
        ("(result - 1) / (result - 1) >= 0", "", "Failed"),
        ("(result - 1) / (result - 1) >= 0", "(result - 1) / (result - 1) < 0", "Inconclusive"),
        ("isNaN((result - 1) / (result - 1))", "", "Successful"),
    ],
)
async def test_division_by_zero_nan_and_infinity_are_numbers(
    server: FakeServer, success: str, failure: str, phase: str
) -> None:
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        cluster.create("run", web_metric(server, successCondition=success, failureCondition=failure))
        status = await cluster.until("run", *FINISHED)
    assert status["phase"] == phase


async def test_a_page_of_html_is_a_text_that_conditions_do_not_fit(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.says("/rate", "<html><body>Log in, please</body></html>", Content_Type="text/html")
    with caplog.at_level(logging.WARNING, "prograde"):
        async with measuring() as cluster:
            cluster.create("run", web_metric(server, successCondition="result > 0.9", consecutiveErrorLimit=0))
            status = await cluster.until("run", *FINISHED)
    assert status["phase"] == "Error"
    assert "mismatched types string and float64" in status["message"]
    (record,) = [each for each in caplog.records if "had error" in each.getMessage()]
    about: dict[str, Any] = record.__dict__["prograde_fields"]
    assert (about["metric"], about["provider"]) == ("rate", "Web")


async def test_three_megabytes_of_json_are_read_and_not_stored(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 1, "rest": [' + ",".join(["0.123456789"] * 270_000) + "]}")
    async with measuring() as cluster:
        cluster.create("run", web_metric(server, successCondition="result == 1"))
        status = await cluster.until("run", *FINISHED)
    assert status["phase"] == "Successful"
    assert len(str(status)) < 2_000


async def test_a_circle_of_redirects_is_left(server: FakeServer) -> None:
    server.says("/rate", status=302, Location="/rate")
    async with measuring() as cluster:
        cluster.create("run", web_metric(server, consecutiveErrorLimit=0))
        status = await cluster.until("run", *FINISHED)
    assert status["phase"] == "Error"
    assert f'Get "{server.url}/rate": stopped after 10 redirects' in status["message"]
    assert len(server.asked) <= 11


@pytest.fixture
async def encrypted(tmp_path: Path) -> AsyncIterator[str]:
    """A server whose certificate nobody trusts."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"rate": 1})

    app = web.Application()
    app.router.add_get("/rate", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ensure_certificates(tmp_path).server_context())
    await site.start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("insecure", [False, True])
async def test_a_certificate_that_nobody_trusts_is_an_error_unless_told_otherwise(
    encrypted: str, insecure: bool
) -> None:
    provider = {"web": {"url": f"{encrypted}/rate", "jsonPath": "{$.rate}", "insecure": insecure}}
    async with measuring() as cluster:
        cluster.create("run", {"name": "rate", "provider": provider, "consecutiveErrorLimit": 0})
        status = await cluster.until("run", *FINISHED)
    if insecure:
        assert status["phase"] == "Successful"
    else:
        assert status["phase"] == "Error"
        assert status["message"].startswith('Metric "rate" assessed Error')
        assert f'Get "{encrypted}/rate"' in status["message"]
        assert "certificate verify failed" in status["message"]


async def test_a_provider_that_cannot_be_built_is_asked_again(server: FakeServer) -> None:
    metric = web_metric(server, interval="1s")
    metric["provider"]["web"]["jsonPath"] = "{$.rate"
    async with measuring() as cluster:
        cluster.create("run", metric)
        await cluster.until("run", "Running")
        status = cluster.status("run")
    (result,) = status["metricResults"]
    assert (result["phase"], result["error"], result["consecutiveError"]) == ("Running", 1, 1)
    assert result["measurements"][0]["message"]


# ---- Secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["url", "header", "condition", "path"])
async def test_a_secret_shows_nowhere(server: FakeServer, caplog: pytest.LogCaptureFixture, field: str) -> None:
    async def quote(request: web.Request) -> web.Response:
        return web.json_response({"rate": f"{request.headers.get('X-Token')} at {request.url}"})

    server.answers["*"] = quote
    metric = web_metric(server, interval="1s", count=1, consecutiveErrorLimit=0)
    config = metric["provider"]["web"]
    if field == "url":
        config["url"] = "http://127.0.0.1:1/?key={{args.token}}"
    elif field == "header":
        config["headers"] = [{"key": "X-Token", "value": "{{args.token}}"}]
    elif field == "condition":
        metric["successCondition"] = "result > '{{args.token}}' + 1"
    else:
        config["jsonPath"] = "{$.['{{args.token}}'"
    with caplog.at_level(logging.DEBUG):
        async with measuring() as cluster:
            keep_secret(cluster)
            cluster.create("run", metric, args=[TOKEN])
            status = await cluster.until("run", *FINISHED)
            await asyncio.sleep(0.1)
            told = [*cluster.sandbox.events(), status]
    assert status["phase"] == ("Successful" if field == "header" else "Error")
    lines = [f"{record.getMessage()} {record.__dict__}" for record in caplog.records if "prograde" in record.name]
    for shown in (SECRET, "s3cr3t"):
        assert shown not in str(told)
        assert not [line for line in lines if shown in line and "sandbox" not in line]


async def test_a_secret_that_cannot_be_read_now_is_read_later(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        keep_secret(cluster)
        fault = cluster.sandbox.faults.add(Answer(500), verbs="get", resource="secrets", times=2)
        cluster.create("run", web_metric(server), args=[TOKEN])
        status = await cluster.until("run", *FINISHED)
    assert status["phase"] == "Successful"
    assert fault.hits == 2


# ---- What happens to a run meanwhile ---------------------------------------------------------------------------------


async def test_a_run_that_takes_the_name_of_another_does_not_wait_for_its_provider(server: FakeServer) -> None:
    hangs(server, "/hang")
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        cluster.create("run", web_metric(server, "/hang"))
        await cluster.wait(lambda: bool(server.asked))
        cluster.sandbox.delete("analysisruns", "run")
        cluster.create("run", web_metric(server))
        status = await cluster.until("run", *FINISHED)
    assert status["phase"] == "Successful"
    assert len(status["metricResults"][0]["measurements"]) == 1


async def test_the_answer_for_a_run_that_was_deleted_is_dropped(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    answered = hangs(server)
    async with measuring() as cluster:
        cluster.create("run", web_metric(server))
        await cluster.wait(lambda: bool(server.asked))
        cluster.sandbox.delete("analysisruns", "run")
        await asyncio.sleep(0.1)
        answered.set()
        await asyncio.sleep(0.1)
        assert not cluster.sandbox.list("analysisruns")
        assert cluster.events("run") == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_run_that_is_told_to_end_while_it_is_measured_ends_with_what_was_measured(server: FakeServer) -> None:
    answered = hangs(server)
    async with measuring() as cluster:
        cluster.create("run", web_metric(server, interval="1s", successCondition="result > 1"))
        await cluster.wait(lambda: bool(server.asked))
        cluster.sandbox.patch("analysisruns", "run", {"spec": {"terminate": True}})
        await asyncio.sleep(0.1)
        assert cluster.status("run") == {}
        answered.set()
        status = await cluster.until("run", *FINISHED)
    assert status["phase"] == "Failed"
    assert status["message"] == 'Metric "rate" assessed Failed due to failed (1) > failureLimit (0)'
    assert len(server.asked) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_status_that_could_not_be_written_costs_no_second_measurement(
    server: FakeServer, when: Literal["before", "after"]
) -> None:
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        fault = cluster.sandbox.faults.add(Answer(500, when=when), verbs="patch", resource="analysisruns", times=2)
        cluster.create("run", web_metric(server))
        status = await cluster.until("run", *FINISHED)
        await cluster.wait(lambda: fault.hits >= 1)
        await asyncio.sleep(0.1)
        assert cluster.status("run") == status
    assert (status["phase"], status["metricResults"][0]["count"]) == ("Successful", 1)
    assert len(server.asked) == 1


# ---- Controllers -----------------------------------------------------------------------------------------------------


async def test_a_controller_that_stops_in_the_middle_of_a_measurement_leaves_it_to_the_next(server: FakeServer) -> None:
    hangs(server)
    sandbox = Sandbox(now=wall_clock, seed_number=1, profile="instant")
    async with sandbox.running():
        async with controlling(sandbox) as first:
            cluster = Cluster(sandbox, first)
            cluster.create("run", web_metric(server))
            await cluster.wait(lambda: bool(server.asked))
        assert cluster.status("run") == {}
        server.says("/rate", '{"rate": 1}')
        async with controlling(sandbox) as second:
            status = await Cluster(sandbox, second).until("run", *FINISHED)
    assert (status["phase"], status["metricResults"][0]["count"]) == ("Successful", 1)


async def test_two_controllers_at_once_count_no_measurement_twice(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 1}')
    sandbox = Sandbox(now=wall_clock, seed_number=1, profile="instant")
    async with sandbox.running(), controlling(sandbox) as one, controlling(sandbox):
        cluster = Cluster(sandbox, one)
        cluster.create("run", web_metric(server, interval="1s", count=3, successCondition="result == 1"))
        status = await cluster.until("run", *FINISHED)
    (result,) = status["metricResults"]
    assert (status["phase"], result["count"], result["successful"]) == ("Successful", 3, 3)
    assert len(result["measurements"]) == 3
    taken = [each["finishedAt"] for each in result["measurements"]]
    assert taken == sorted(taken)
