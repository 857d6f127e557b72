"""Providers of vendors behind the whole controller: their Secrets, judgements that take a while, missing plugins."""

import base64
from typing import Any

import pytest
from tests.providers.fake_server import FakeServer, server
from tests.scenarios.measured import FINISHED, Cluster, measuring

__all__ = ["server"]

pytestmark = pytest.mark.timeout(60)

KEYS = {"api-key": "0123456789abcdef", "app-key": "fedcba9876543210"}


def store(cluster: Cluster, name: str, entries: dict[str, str]) -> None:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in entries.items()}
    cluster.sandbox.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": data}
    )


def first(status: dict[str, Any]) -> dict[str, Any]:
    measurement: dict[str, Any] = status["metricResults"][0]["measurements"][0]
    return measurement


async def test_a_secret_beside_the_run_is_enough_for_datadog(server: FakeServer) -> None:
    server.says("/api/v1/query", '{"series":[{"pointlist":[[1,0.25]]}]}')
    datadog = {"query": "avg:errors{*}", "secretRef": {"name": "keys", "namespaced": True}}
    async with measuring() as cluster:
        store(cluster, "keys", {**KEYS, "address": server.url})
        cluster.create("good", {"name": "m", "successCondition": "result < 0.5", "provider": {"datadog": datadog}})
        status = await cluster.until("good", *FINISHED)
    assert (status["phase"], first(status)["value"]) == ("Successful", "0.25")
    assert server.asked[0].headers["DD-API-KEY"] == KEYS["api-key"]
    assert server.asked[0].query["query"] == "avg:errors{*}"


async def test_a_judgement_in_flight_ends_with_its_run(server: FakeServer) -> None:
    server.says("/canaryConfig", '[{"id":"1","name":"wanted"}]')
    server.says("/canary/1", '{"canaryExecutionId":"exec"}')
    side = {"scope": "app", "region": "eu", "step": 60, "start": "", "end": ""}
    kayenta = {
        "address": server.url,
        "application": "shop",
        "canaryConfigName": "wanted",
        "metricsAccountName": "m",
        "configurationAccountName": "c",
        "storageAccountName": "s",
        "threshold": {"pass": 90, "marginal": 75},
        "scopes": [{"name": "default", "controlScope": side, "experimentScope": side}],
        "lookback": True,
    }
    async with measuring() as cluster:
        cluster.create("judged", {"name": "m", "provider": {"kayenta": kayenta}})
        await cluster.wait(lambda: bool(cluster.status("judged").get("metricResults")))
        assert first(cluster.status("judged"))["metadata"] == {"canaryExecutionId": "exec"}
        cluster.create("judged", {"name": "m", "provider": {"kayenta": kayenta}}, terminate=True)
        status = await cluster.until("judged", *FINISHED)
    measurement = first(status)
    assert (measurement["phase"], measurement["message"]) == ("Inconclusive", "Metric Terminated")
    assert "finishedAt" in measurement


async def test_a_plugin_that_is_missing_is_an_error_of_the_measurement() -> None:
    async with measuring() as cluster:
        metric = {"name": "m", "consecutiveErrorLimit": 0, "provider": {"plugin": {"acme/none": {"a": 1}}}}
        cluster.create("lost", metric)
        status = await cluster.until("lost", *FINISHED)
    assert status["phase"] == "Error"
    assert "unable to find plugin (acme/none): plugin acme/none not configured in configmap" in first(status)["message"]
