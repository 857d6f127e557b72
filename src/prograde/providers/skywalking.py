"""SkyWalking: a GraphQL query over the last minutes."""

import json
from datetime import timedelta
from typing import Final

from prograde.api.analysis import Metric, SkyWalkingMetric
from prograde.expr.jsontext import compact_json
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading
from prograde.providers.vendor import ask, excerpt, interval_seconds, json_of, list_at, member

__all__ = ["SkyWalkingProvider", "build"]

TIMEOUT_SECONDS: Final = 30.0
CONTENT: Final = "application/json; charset=utf-8"


async def build(metric: Metric, context: ProviderContext) -> "SkyWalkingProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: the interval is no duration.
    """
    config = metric.provider.skywalking
    assert config is not None
    return SkyWalkingProvider(metric, context, config, interval_seconds(config.interval))


class SkyWalkingProvider(AtOnce):
    """One query."""

    type_name = "skywalking"

    def __init__(self, metric: Metric, context: ProviderContext, config: SkyWalkingMetric, interval: int) -> None:
        super().__init__(metric, context)
        self._config = config
        self._interval = timedelta(seconds=interval)

    async def read(self) -> Reading:
        # Minutes are told apart by the clock on the wall, of the server as of the controller.
        end = self.context.now().astimezone()
        duration = {
            "start": (end - self._interval).strftime("%Y-%m-%d %H%M"),
            "end": end.strftime("%Y-%m-%d %H%M"),
            "step": "MINUTE",
        }
        answer = await ask(
            self.context,
            "POST",
            f"{self._config.address.rstrip('/')}/graphql",
            headers={"Content-Type": CONTENT, "Accept": CONTENT},
            body=json.dumps({"query": self._config.query, "variables": {"duration": duration}}).encode(),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        try:
            body = json_of(answer)
            errors = list_at(body, "errors")
            message = member(errors[0], "message") if errors else None
            data = member(body, "data")
        except ProviderError as err:
            if answer.status != 200:
                raise ProviderError(f"graphql: server returned a non-200 status code: {answer.status}") from None
            raise ProviderError(f"decoding response: {err}") from None
        if errors:
            raise ProviderError(f"graphql: {excerpt(str(message or ''))}")
        if data is None:
            raise ProviderError("no results returned from SkyWalking query")
        return Reading(result=data, text=compact_json(data))
