"""CloudWatch: one GetMetricData, with the credentials that AWS's own tools would find.

Conditions see the records as they are answered: ``result[0].Values[0]`` is the newest value of the first query. Needs
botocore, which comes with the extra ``aws``.
"""

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from prograde.api.analysis import CloudWatchMetric, CloudWatchQuery, Metric
from prograde.api.scalars import integer_value
from prograde.expr.jsontext import compact_json
from prograde.expr.times import Instant
from prograde.expr.values import Floats, Record, text_of
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading
from prograde.providers.sigv4 import MISSING
from prograde.providers.vendor import interval_seconds

__all__ = ["CloudWatchProvider", "build"]

TIMEOUT_SECONDS: Final = 60.0
"""For the call and the attempts that botocore repeats."""
REFUSED: Final = frozenset(
    (
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    )
)
"""What the service says to credentials that it does not accept."""
CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 30
CALLS_MAX: Final = 16
"""How many calls may wait for their answers together."""

_threads: Final = ThreadPoolExecutor(CALLS_MAX, "cloudwatch")
"""Threads of their own, so that a service that hangs holds up nothing else that has to block."""


async def build(metric: Metric, context: ProviderContext) -> "CloudWatchProvider":
    """Return the provider of a metric."""
    config = metric.provider.cloud_watch
    assert config is not None
    return CloudWatchProvider(metric, context, config)


class CloudWatchProvider(AtOnce):
    """One call."""

    type_name = "CloudWatch"
    keeps_value = True

    def __init__(self, metric: Metric, context: ProviderContext, config: CloudWatchMetric) -> None:
        super().__init__(metric, context)
        self._config = config

    async def read(self) -> Reading:
        now = self.context.now()
        query = {
            "StartTime": now - timedelta(seconds=interval_seconds(self._config.interval)),
            "EndTime": now,
            "MetricDataQueries": [_query(each) for each in self._config.metric_data_queries],
        }
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                # The call blocks, and so may looking for credentials.
                loop = asyncio.get_running_loop()
                return _reading(await loop.run_in_executor(_threads, _get_metric_data, query))
        except TimeoutError:
            raise ProviderError(f"GetMetricData: no answer within {TIMEOUT_SECONDS:g} s") from None


def _query(query: CloudWatchQuery) -> dict[str, Any]:
    """Write a query; what is not given is not sent."""
    sent: dict[str, Any] = {"Id": query.id}
    if query.expression is not None:
        sent["Expression"] = query.expression
    if query.label is not None:
        sent["Label"] = query.label
    if query.return_data is not None:
        sent["ReturnData"] = query.return_data
    if query.period is not None:
        sent["Period"] = integer_value(query.period)
    if query.metric_stat is not None:
        stat, named = query.metric_stat, query.metric_stat.metric
        name: dict[str, Any] = {"MetricName": named.metric_name}
        if named.namespace is not None:
            name["Namespace"] = named.namespace
        if named.dimensions:
            name["Dimensions"] = [{"Name": each.name, "Value": each.value} for each in named.dimensions]
        sent["MetricStat"] = {"Metric": name, "Period": integer_value(stat.period), "Stat": stat.stat}
        if stat.unit:
            sent["MetricStat"]["Unit"] = stat.unit
    return sent


def _get_metric_data(query: Mapping[str, Any]) -> dict[str, Any]:
    try:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
    except ImportError:
        raise ProviderError(MISSING) from None
    environment = tuple(sorted((name, text) for name, text in os.environ.items() if name.startswith("AWS_")))
    try:
        answer: dict[str, Any] = _client(environment).get_metric_data(**query)
    except (BotoCoreError, ClientError, HTTPClientError, ValueError) as err:
        is_refused = isinstance(err, ClientError) and err.response.get("Error", {}).get("Code") in REFUSED
        if is_refused or isinstance(err, NoCredentialsError):
            # Credentials may be there, or be other ones, the next time.
            _client.cache_clear()
        raise ProviderError(str(err)) from err
    except (AttributeError, KeyError, TypeError) as err:
        # botocore relies on the shape of answers.
        raise ProviderError(f"GetMetricData: the answer cannot be read: {err}") from err
    return answer


@lru_cache(maxsize=4)
def _client(environment: tuple[tuple[str, str], ...]) -> Any:
    """Return a client; making one reads descriptions of services, and it keeps its credentials fresh itself."""
    from botocore.config import Config
    from botocore.session import Session

    # A name that is empty, or a statistic that does not exist, is for the service to refuse.
    config = Config(
        parameter_validation=False,
        max_pool_connections=CALLS_MAX,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
    )
    return Session().create_client("cloudwatch", config=config)


def _reading(answer: Mapping[str, Any]) -> Reading:
    if "MetricDataResults" not in answer:
        # To botocore a page of HTML is an answer without anything in it.
        raise ProviderError("GetMetricData: the answer has no MetricDataResults")
    records = [
        Record(
            Id=each.get("Id"),
            Label=each.get("Label"),
            Messages=[_message(message) for message in each.get("Messages") or ()],
            StatusCode=each.get("StatusCode", ""),
            Timestamps=[_instant(at) for at in each.get("Timestamps") or ()],
            Values=Floats(float(value) for value in each.get("Values") or ()),
        )
        for each in answer["MetricDataResults"]
    ]
    messages = [dict(_message(each)) for each in answer.get("Messages") or ()]
    return Reading(
        result=records,
        text=text_of([record["Values"] for record in records]),
        metadata={"messages": compact_json(messages)} if messages else {},
    )


def _message(message: Mapping[str, Any]) -> Record:
    return Record(Code=message.get("Code"), Value=message.get("Value"))


def _instant(at: datetime) -> Instant:
    return Instant.of(at)
