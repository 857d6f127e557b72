"""What holds for every provider of a vendor that measures within one call."""

from typing import Any

import pytest
from tests.providers.measuring import NOW, context_for, metric_of
from tests.providers.stored_secrets import client_with

from prograde.api.analysis import Measurement
from prograde.kube.client import Client
from prograde.providers.registry import build_provider, type_name_of

NOWHERE = "http://127.0.0.1:9"
IN_FLIGHT = Measurement(phase="Running", started_at=NOW, metadata={"a": "b"})


async def credentials() -> Client:
    return await client_with(
        ("argo-rollouts", "datadog", {"api-key": "a", "app-key": "b", "address": NOWHERE}),
        ("argo-rollouts", "newrelic", {"personal-api-key": "a", "account-id": "1", "base-url-nerdgraph": NOWHERE}),
        ("argo-rollouts", "wavefront-api-tokens", {"host": "a"}),
        ("argo-rollouts", "influxdb", {"authToken": "a", "org": "b", "address": NOWHERE}),
    )


@pytest.mark.parametrize(
    ("provider", "type_name"),
    [
        ({"datadog": {"query": "q"}}, "Datadog"),
        ({"newRelic": {"query": "q"}}, "NewRelic"),
        ({"wavefront": {"address": "host", "query": "q"}}, "Wavefront"),
        ({"graphite": {"address": NOWHERE, "query": "target=q"}}, "Graphite"),
        ({"influxdb": {"query": "q"}}, "Influxdb"),
        ({"skywalking": {"address": NOWHERE, "query": "q"}}, "skywalking"),
        ({"cloudWatch": {"metricDataQueries": [{"id": "a"}]}}, "CloudWatch"),
    ],
)
async def test_nothing_is_ever_in_flight(provider: dict[str, Any], type_name: str) -> None:
    metric = metric_of(provider)
    async with context_for({}, await credentials()) as context:
        built = await build_provider(metric, context)
        assert await built.resume(IN_FLIGHT) is IN_FLIGHT
        assert await built.terminate(IN_FLIGHT) is IN_FLIGHT
        await built.collect_garbage(1)
        assert built.type_name == type_name == type_name_of(metric)
        assert built.metadata() == ({"ResolvedNewRelicQuery": "q"} if type_name == "NewRelic" else {})
