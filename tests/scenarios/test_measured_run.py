"""AnalysisRuns from the API to the providers and back, by the real controller against the embedded cluster."""

import asyncio

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer, server
from tests.scenarios.measured import PATIENCE_SECONDS, measuring, web_metric

__all__ = ["server"]

pytestmark = pytest.mark.timeout(60)


async def test_a_good_measurement_makes_a_successful_run(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 0.99}')
    async with measuring() as cluster:
        cluster.create("good", web_metric(server, successCondition="result >= 0.95"))
        status = await cluster.until("good", "Successful", "Failed", "Error")
        await asyncio.sleep(0.2)
        events = cluster.events("good")
    assert status["phase"] == "Successful"
    (result,) = status["metricResults"]
    assert (result["phase"], result["successful"], result["measurements"][0]["value"]) == ("Successful", 1, "0.99")
    assert status["runSummary"] == {"count": 1, "successful": 1}
    assert events == ["MetricSuccessful", "AnalysisRunSuccessful"]


async def test_a_bad_measurement_makes_a_failed_run(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 0.5}')
    async with measuring() as cluster:
        cluster.create("bad", web_metric(server, successCondition="result >= 0.95"))
        status = await cluster.until("bad", "Successful", "Failed", "Error")
    assert status["phase"] == "Failed"
    assert status["message"] == 'Metric "rate" assessed Failed due to failed (1) > failureLimit (0)'


async def test_measurements_follow_each_other_at_the_interval(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        cluster.create("three", web_metric(server, interval="1s", count=3))
        status = await cluster.until("three", "Successful", "Failed", "Error")
    assert status["metricResults"][0]["count"] == 3
    assert len(server.asked) == 3


async def test_a_provider_that_hangs_holds_up_no_other_run(server: FakeServer) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(20)
        raise AssertionError

    server.answers["/hang"] = hang
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        for number in range(60):
            cluster.create(f"hanging-{number}", web_metric(server, "/hang"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(asked.path == "/hang" for asked in server.asked):
                await asyncio.sleep(0.02)
        cluster.create("quick", web_metric(server))
        status = await cluster.until("quick", "Successful", "Failed", "Error")
        assert status["phase"] == "Successful"
        assert cluster.status("hanging-0") == {}


async def test_a_run_is_ended_when_somebody_asks_for_it(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        cluster.create("endless", web_metric(server, interval="1s"))
        await cluster.until("endless", "Running")
        cluster.sandbox.patch("analysisruns", "endless", {"spec": {"terminate": True}})
        status = await cluster.until("endless", "Successful", "Failed", "Error")
    assert (status["phase"], status["message"]) == ("Successful", "Run Terminated")


async def test_secrets_reach_the_provider_and_nobody_else(server: FakeServer) -> None:
    server.says("/rate", "no", status=500)
    async with measuring() as cluster:
        cluster.sandbox.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "token", "namespace": "default"},
                "data": {"key": "czNjcjN0"},
            }
        )
        metric = web_metric(server, consecutiveErrorLimit=0)
        metric["provider"]["web"]["headers"] = [{"key": "X-Token", "value": "{{args.token}}"}]
        metric["provider"]["web"]["url"] += "?t={{args.token}}"
        source = {"secretKeyRef": {"name": "token", "key": "key"}}
        cluster.create("secret", metric, args=[{"name": "token", "valueFrom": source}])
        status = await cluster.until("secret", "Successful", "Failed", "Error")
    assert status["phase"] == "Error"
    assert server.asked[0].headers["X-Token"] == "s3cr3t"
    assert "s3cr3t" not in str(status)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"name": "missing", "key": "k"}, 'Unable to resolve metric arguments: secrets "missing" not found'),
        ({"name": "token", "key": "k"}, "Unable to resolve metric arguments: key 'k' does not exist in secret 'token'"),
    ],
)
async def test_a_missing_secret_ends_the_run(server: FakeServer, reference: dict[str, str], message: str) -> None:
    async with measuring() as cluster:
        cluster.sandbox.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": "default"}}
        )
        metric = web_metric(server)
        metric["provider"]["web"]["url"] = "{{args.x}}"
        cluster.create("run", metric, args=[{"name": "x", "valueFrom": {"secretKeyRef": reference}}])
        status = await cluster.until("run", "Successful", "Failed", "Error")
    assert (status["phase"], status["message"]) == ("Error", message)
    assert server.asked == []


async def test_a_run_is_deleted_when_its_time_is_over(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        cluster.create("short", web_metric(server), ttlStrategy={"secondsAfterCompletion": 0})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while cluster.sandbox.list("analysisruns"):
                await asyncio.sleep(0.05)


async def test_a_finished_run_costs_nothing(server: FakeServer) -> None:
    server.says("/rate", '{"rate": 1}')
    async with measuring() as cluster:
        cluster.create("done", web_metric(server))
        await cluster.until("done", "Successful")
        await asyncio.sleep(0.3)
        before = len(cluster.sandbox.request_log.writes())
        await asyncio.sleep(1)
        assert len(cluster.sandbox.request_log.writes()) == before
        assert cluster.controller.caches.analysis_runs.has_synced
