"""Runs a provider once, as the analysis controller does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from prograde.api.analysis import AnalysisRun, Measurement, Metric
from prograde.api.codec import decode
from prograde.api.meta import ObjectMeta
from prograde.kube.client import Client
from prograde.providers.base import ProviderContext, ProviderError, errored
from prograde.providers.http import Http
from prograde.providers.registry import build_provider

NOW = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
RUN = AnalysisRun(metadata=ObjectMeta(name="run", namespace="shop", uid="run-uid"))


def metric_of(provider: Mapping[str, Any], **fields: Any) -> Metric:
    """Make a metric from JSON, as users write it."""
    return decode(msgspec.json.encode({"name": "m", "provider": provider, **fields}), Metric)


@asynccontextmanager
async def context_for(
    environment: Mapping[str, str] | None = None, client: Client | None = None, *, live: bool = False
) -> AsyncIterator[ProviderContext]:
    """Offer everything that a provider may use. Without `client` it must not need one; `live` has the real time."""
    async with Http(environment_proxies=False) as http:
        yield ProviderContext(
            run=RUN,
            client=cast(Client, client),
            http=http,
            now=(lambda: datetime.now(UTC)) if live else (lambda: NOW),
            environment=environment or {},
            own_namespace="argo-rollouts",
        )


async def measure(
    metric: Metric,
    environment: Mapping[str, str] | None = None,
    client: Client | None = None,
    *,
    live: bool = False,
) -> Measurement:
    """Take one measurement; a failure is a measurement in phase Error."""
    async with context_for(environment, client, live=live) as context:
        try:
            provider = await build_provider(metric, context)
            return await provider.run()
        except ProviderError as err:
            return errored(str(err), NOW, NOW)
