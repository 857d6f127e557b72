"""Datadog: its query API, version 1 for one query, version 2 for several with a formula and for groups.

    v1    the last point of the first series
    v2    one number; a list of numbers, one per group, as soon as the query groups

Nothing measured is nil, which ``default(result, 0)`` replaces.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from prograde.api.analysis import DatadogMetric, Metric
from prograde.api.scalars import InvalidDuration, go_quote, parse_duration
from prograde.expr.jsontext import compact_json
from prograde.expr.values import Floats
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading
from prograde.providers.credentials import hidden, read_secret
from prograde.providers.http import HttpAnswer
from prograde.providers.numbers import list_text, number_text
from prograde.providers.vendor import ask, check_url, excerpt, interval_seconds, json_of, list_at, member

__all__ = ["DatadogProvider", "build"]

ADDRESS: Final = "https://api.datadoghq.com"
SECRET: Final = "datadog"
VARIABLES: Final = ("DD_API_KEY", "DD_APP_KEY", "DD_ADDRESS")
TIMEOUT_SECONDS: Final = 10.0
AGGREGATOR: Final = "last"

GROUPS_MAX: Final = 100
"""How many groups are kept with a measurement; of more, half are the lowest and half the highest."""


@dataclass(frozen=True, slots=True)
class _Access:
    api_key: str
    app_key: str
    address: str


async def build(metric: Metric, context: ProviderContext) -> "DatadogProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: there are no credentials, or the queries do not fit together.
    """
    config = metric.provider.datadog
    assert config is not None
    access = await _access(config, context)
    _check_queries(config)
    return DatadogProvider(metric, context, config, access, _timeout_seconds(config))


async def _access(config: DatadogMetric, context: ProviderContext) -> _Access:
    """Find the keys: in the Secret that the metric names, else in the environment, else in the usual Secret.

    Raises:
        ProviderError: they are nowhere.
    """
    reference = config.secret_ref
    if reference.namespaced and not reference.name:
        raise ProviderError("secret name is required for namespaced credentials")
    environment = context.environment
    if not reference.name and all(name in environment for name in VARIABLES):
        found = _Access(*(environment[name] for name in VARIABLES))
        if found.api_key and found.app_key:
            return found
    namespace = (context.run.metadata.namespace or "") if reference.namespaced else ""
    try:
        secret = await read_secret(context, reference.name or SECRET, namespace=namespace)
    except ProviderError:
        # A Secret that cannot be read is as good as none; the message below is what people look for.
        secret = {}
    found = _Access(secret.get("api-key", ""), secret.get("app-key", ""), secret.get("address", ""))
    if not found.api_key or not found.app_key:
        raise ProviderError("failed to find the credentials for datadog metrics provider")
    return found


def _check_queries(config: DatadogMetric) -> None:
    """Check what fits together, for metrics that were never validated.

    Raises:
        ProviderError: something does not.
    """
    review = "Please review the Analysis Template."
    is_v1 = config.api_version in ("", "v1")
    problems = (
        (not config.query and not config.queries, f"Must have either a query or queries. {review}"),
        (config.query and config.queries, f"Cannot have both a query and queries. {review}"),
        (
            is_v1 and not config.query,
            "Query is empty. API Version v1 only supports using the query parameter in your Analysis Template.",
        ),
        (config.formula and not config.queries, f"Formula are only valid when queries are set. {review}"),
        (
            not config.formula and len(config.queries) > 1,
            "When multiple queries are provided you must include a formula.",
        ),
        (is_v1 and config.aggregator, f"Aggregator is not supported in v1. {review}"),
    )
    for is_wrong, message in problems:
        if is_wrong:
            raise ProviderError(message)


def _timeout_seconds(config: DatadogMetric) -> float:
    if not config.request_timeout:
        return TIMEOUT_SECONDS
    try:
        seconds = parse_duration(config.request_timeout).total_seconds()
    except InvalidDuration as err:
        raise ProviderError(
            f"Could not parse the request timeout: {err}. Please review the Analysis Template."
        ) from None
    if seconds <= 0:
        raise ProviderError(
            "Request timeout must be a positive duration (e.g. 30s). Please review the Analysis Template."
        )
    return seconds


class DatadogProvider(AtOnce):
    """One request."""

    type_name = "Datadog"

    def __init__(
        self,
        metric: Metric,
        context: ProviderContext,
        config: DatadogMetric,
        access: _Access,
        timeout_seconds: float,
    ) -> None:
        super().__init__(metric, context)
        self._config = config
        self._access = access
        self._timeout_seconds = timeout_seconds

    async def read(self) -> Reading:
        try:
            return await self._read()
        except ProviderError as err:
            raise ProviderError(hidden(str(err), self._access.api_key, self._access.app_key)) from None

    async def _read(self) -> Reading:
        is_v1 = self._config.api_version in ("", "v1")
        answer = await (self._ask_v1() if is_v1 else self._ask_v2())
        if answer.status in (401, 403):
            raise ProviderError(f"received authentication error response code: {answer.status} {excerpt(answer.text)}")
        if answer.status != 200:
            raise ProviderError(f"received non 2xx response code: {answer.status} {excerpt(answer.text)}")
        body = json_of(answer, "Could not parse JSON body: ")
        return _last_point(body) if is_v1 else _columns(body)

    async def _ask_v1(self) -> HttpAnswer:
        start, end = _window(self._config, self.context.now())
        query = urlencode({"from": start, "query": self._config.query, "to": end})
        return await self._send("GET", f"/api/v1/query?{query}", None)

    async def _ask_v2(self) -> HttpAnswer:
        config = self._config
        start, end = _window(config, self.context.now())
        queries = config.queries or {"query": config.query}
        body = {
            "data": {
                "attributes": {
                    "formulas": [{"formula": config.formula}] if config.formula else [],
                    "from": start * 1000,
                    "queries": [
                        {
                            "aggregator": config.aggregator or AGGREGATOR,
                            "data_source": "metrics",
                            "name": name,
                            "query": queries[name],
                        }
                        for name in sorted(queries)
                    ],
                    "to": end * 1000,
                },
                "type": "scalar_request",
            }
        }
        return await self._send("POST", "/api/v2/query/scalar", json.dumps(body).encode())

    async def _send(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        address = (self._access.address or ADDRESS).rstrip("/")
        check_url(address)
        return await ask(
            self.context,
            method,
            f"{address}{path}",
            headers={
                "Content-Type": "application/json",
                "DD-API-KEY": self._access.api_key,
                "DD-APPLICATION-KEY": self._access.app_key,
            },
            body=body,
            timeout_seconds=self._timeout_seconds,
            # What is asked in a body cannot be asked again elsewhere.
            follows_redirects=body is None,
        )


def _window(config: DatadogMetric, now: datetime) -> tuple[int, int]:
    end = int(now.timestamp())
    return end - interval_seconds(config.interval), end


# ---- Version 1 ------------------------------------------------------------------------------------------------------


def _last_point(body: Any) -> Reading:
    """Return the newest point of the first series; points that say null do not count."""
    try:
        series = list_at(body, "series")
        points = list_at(series[0], "pointlist") if series else []
        for point in reversed(points):
            if not isinstance(point, list):
                raise ProviderError("json: a point is no list")
            if len(point) != 2:
                break
            if point[1] is not None and type(point[1]) is not float:
                raise ProviderError("json: the value of a point is no number")
    except ProviderError as err:
        raise ProviderError(f"Could not parse JSON body: {err}") from None
    for point in reversed(points):
        if len(point) != 2:
            raise ProviderError("Datapoint does not have 2 values")
        if point[1] is not None:
            return Reading(result=point[1], text=number_text(point[1]))
    shown = [{"pointlist": member(each, "pointlist")} for each in series]
    return Reading(result=None, text=compact_json(shown if member(body, "series") is not None else None))


# ---- Version 2 ------------------------------------------------------------------------------------------------------


def _columns(body: Any) -> Reading:
    """Return the number, or the numbers of all groups."""
    try:
        errors = member(body, "data", "errors")
        columns = list_at(body, "data", "attributes", "columns")
        kinds = [member(column, "type") or "number" for column in columns]
        numbers = next((column for column, kind in zip(columns, kinds, strict=True) if kind == "number"), None)
        values = list_at(numbers, "values")
        groups = [list_at(each, "values") for each, kind in zip(columns, kinds, strict=True) if kind == "group"]
    except ProviderError as err:
        raise ProviderError(f"Could not parse JSON body: {err}") from None
    if isinstance(errors, str) and errors:
        raise ProviderError(f"There were errors in your query: {excerpt(errors)}")
    found = Floats()
    labels = []
    for index, value in enumerate(values):
        if value is None:
            continue
        if type(value) is not float:
            raw = go_quote(compact_json(value))
            name = excerpt(str(member(numbers, "name") or ""))
            raise ProviderError(f'could not parse numeric value {raw} in column "{name}": it is no number')
        found.append(value)
        labels.append(",".join(_label(group, index) for group in groups))
    if not found:
        return Reading(result=None, text="[]")
    if not groups:
        return Reading(result=found[0], text=number_text(found[0]))
    return Reading(result=found, text=list_text(found), metadata=_groups(labels, found))


def _label(group: list[Any], index: int) -> str:
    tags = group[index] if index < len(group) else None
    if not isinstance(tags, list) or not tags or not all(isinstance(tag, str) for tag in tags):
        raise ProviderError(f"could not parse group label at index {index}")
    return ",".join(tags)


def _groups(labels: list[str], values: Floats) -> Mapping[str, str]:
    """Return which value belongs to which group: what is kept in the status may not grow without end."""
    groups = [{"name": name, "value": value} for name, value in zip(labels, values, strict=True)]
    if len(groups) <= GROUPS_MAX:
        return {"groups": compact_json(groups)}
    ordered = [groups[i] for i in sorted(range(len(groups)), key=lambda i: values[i])]
    half = GROUPS_MAX // 2
    return {"groups": compact_json(ordered[:half] + ordered[-half:]), "groups_truncated": "true"}
