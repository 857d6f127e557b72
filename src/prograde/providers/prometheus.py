"""Prometheus and everything that speaks its HTTP API: instant and range queries.

    scalar    a float
    vector    floats, one per series; their labels are not kept
    matrix    floats, all points of all series one after the other

Sample values come as texts, since JSON knows no NaN.
"""

import base64
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from prograde.api.analysis import Metric, PrometheusMetric
from prograde.api.scalars import InvalidDuration, parse_duration
from prograde.expr.conditions import evaluate_time
from prograde.expr.errors import ExpressionError
from prograde.expr.values import Floats
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading
from prograde.providers.http import HttpAnswer, HttpError
from prograde.providers.numbers import list_text, number_text
from prograde.providers.oauth2 import MISSING
from prograde.providers.sigv4 import sign

__all__ = ["PrometheusProvider", "build"]

ADDRESS_VARIABLE: Final = "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS"
TIMEOUT_SECONDS: Final = 30
AWS_MARK: Final = "aps-workspaces"
GET_INSTEAD: Final = frozenset((403, 405, 501))
"""Answers of servers and proxies that do not take a query by POST."""


async def build(metric: Metric, context: ProviderContext) -> "PrometheusProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: the address or the authentication is wrong.
    """
    config = metric.provider.prometheus
    assert config is not None
    address = config.address or context.environment.get(ADDRESS_VARIABLE, "")
    if not address:
        raise ProviderError("prometheus address is not configured")
    parts = urlsplit(address)
    if not parts.scheme or not parts.netloc:
        raise ProviderError("prometheus address is not is url format")
    if config.timeout is not None and config.timeout < 0:
        raise ProviderError("prometheus timeout should not be negative")
    authentication = config.authentication
    if authentication is not None and authentication.basic_auth is not None:
        basic = authentication.basic_auth
        for name, given, other in (
            ("username", basic.username, basic.password),
            ("password", basic.password, basic.username),
        ):
            if other and not given:
                raise ProviderError(f"missing mandatory parameter in metric for basic auth setup: {name}")
    oauth2 = authentication.oauth2 if authentication is not None else None
    if oauth2 is not None and oauth2.token_url and not (oauth2.client_id and oauth2.client_secret):
        raise ProviderError(MISSING)
    return PrometheusProvider(metric, context, config, address.rstrip("/"))


class PrometheusProvider(AtOnce):
    """One query."""

    type_name = "Prometheus"

    def __init__(self, metric: Metric, context: ProviderContext, config: PrometheusMetric, address: str) -> None:
        super().__init__(metric, context)
        self._config = config
        self._address = address
        self._timeout_seconds = float(TIMEOUT_SECONDS if config.timeout is None else config.timeout)

    def metadata(self) -> Mapping[str, str]:
        query = self._config.query
        return {"ResolvedPrometheusQuery": query} if query else {}

    async def read(self) -> Reading:
        return _reading(await self._ask())

    async def series(self) -> dict[str, float]:
        """Return the newest value of every series of an instant query, by its labels in canonical JSON.

        Raises:
            ProviderError: there are none to be had.
        """
        data, _ = _data(await self._ask())
        try:
            if data["resultType"] == "scalar":
                return {"{}": _number(data["result"][1])}
            return {
                json.dumps(each["metric"], sort_keys=True, separators=(",", ":")): _number(each["value"][1])
                for each in data["result"]
            }
        except (KeyError, TypeError, ValueError, IndexError) as err:
            raise ProviderError(f"bad_response: {type(err).__name__}: {err}") from None

    async def _ask(self) -> HttpAnswer:
        path, form = self._parameters()
        if self._timeout_seconds == 0:
            raise ProviderError(f'Post "{self._address}{path}": context deadline exceeded')
        body = urlencode(form)
        answer = await self._send("POST", f"{self._address}{path}", body)
        if answer.status in GET_INSTEAD:
            answer = await self._send("GET", f"{self._address}{path}?{body}", "")
        return answer

    def _parameters(self) -> tuple[str, dict[str, str]]:
        now = self.context.now()
        config = self._config
        if config.range_query is None:
            return "/api/v1/query", {"query": config.query, "time": _seconds(now)}
        wanted = config.range_query
        form = {"query": config.query}
        for name, expression in (("start", wanted.start), ("end", wanted.end)):
            try:
                form[name] = _seconds(evaluate_time(expression, lambda: now))
            except ExpressionError as err:
                raise ProviderError(f"failed to parse rangeQuery.{name} as time: {err}") from None
        try:
            form["step"] = number_text(parse_duration(wanted.step).total_seconds())
        except InvalidDuration as err:
            raise ProviderError(f"failed to parse rangeQuery.step as duration: {err}") from None
        return "/api/v1/query_range", form

    async def _send(self, method: str, url: str, body: str) -> HttpAnswer:
        content = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        headers = {**content, **await self._authorization(method, url, body)}
        # Last, and so stronger than any other way of authenticating.
        headers = _with_custom(headers, self._custom())
        try:
            return await self.context.http.request(
                method,
                url,
                headers=headers,
                body=body.encode() if body else None,
                timeout_seconds=self._timeout_seconds,
                verifies=not self._config.insecure,
                shares=True,
            )
        except HttpError as err:
            raise ProviderError(str(err)) from err

    def _custom(self) -> dict[str, str]:
        return {header.key: header.value for header in self._config.headers}

    async def _authorization(self, method: str, url: str, body: str) -> dict[str, str]:
        authentication = self._config.authentication
        if authentication is None:
            return {}
        oauth2, sigv4, basic = authentication.oauth2, authentication.sigv4, authentication.basic_auth
        if oauth2 is not None and oauth2.token_url:
            token = await self.context.tokens.bearer(
                self.context.http,
                oauth2,
                headers=self._custom(),
                timeout_seconds=self._timeout_seconds,
                verifies=not self._config.insecure,
            )
            return {"Authorization": f"Bearer {token}"}
        if sigv4 is not None and AWS_MARK in self._address and (sigv4.region or sigv4.profile or sigv4.role_arn):
            return await sign(method, url, body.encode(), service="aps", config=sigv4)
        if basic is not None and basic.username:
            pair = f"{basic.username}:{basic.password}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {}


def _with_custom(headers: dict[str, str], custom: dict[str, str]) -> dict[str, str]:
    """Set custom headers over others of the same name, whatever their case."""
    replaced = {name.lower() for name in custom}
    return {**{name: text for name, text in headers.items() if name.lower() not in replaced}, **custom}


def _seconds(at: datetime) -> str:
    return number_text(round(at.timestamp(), 3))


# ---- The answer -----------------------------------------------------------------------------------------------------


def _reading(answer: HttpAnswer) -> Reading:
    """Return what the server has measured.

    Raises:
        ProviderError: it says that it cannot, or says nothing sensible.
    """
    data, metadata = _data(answer)
    try:
        return _value(data, metadata)
    except (KeyError, TypeError, ValueError, IndexError) as err:
        raise ProviderError(f"bad_response: {type(err).__name__}: {err}") from None


def _data(answer: HttpAnswer) -> tuple[Any, dict[str, str]]:
    """Return the data of an answer, and what to keep about it.

    Raises:
        ProviderError: the server says that it cannot, or says nothing sensible.
    """
    has_body = 200 <= answer.status < 300 or answer.status in (400, 422)
    if not has_body:
        if 400 <= answer.status < 500:
            raise ProviderError(f"client_error: client error: {answer.status}")
        if 500 <= answer.status < 600:
            raise ProviderError(f"server_error: server error: {answer.status}")
        raise ProviderError(f"bad_response: bad response code {answer.status}")
    try:
        body = json.loads(answer.body)
        if not isinstance(body, dict):
            raise ValueError(f"expected an object, not {type(body).__name__}")
    except ValueError as err:
        raise ProviderError(f"bad_response: {err}") from None
    if body.get("status") == "error":
        raise ProviderError(f"{body.get('errorType', '')}: {body.get('error', '')}")
    if answer.status in (400, 422):
        raise ProviderError("bad_response: inconsistent body for response code")
    warnings = body.get("warnings")
    metadata = {}
    if isinstance(warnings, list) and warnings:
        metadata["warnings"] = ", ".join(f'"{each}"' for each in warnings)
    if "data" not in body:
        raise ProviderError("bad_response: KeyError: 'data'")
    return body["data"], metadata


def _value(data: Mapping[str, Any], metadata: Mapping[str, str]) -> Reading:
    kind, result = data["resultType"], data["result"]
    match kind:
        case "scalar":
            number = _number(result[1])
            return Reading(result=number, text=number_text(number), metadata=metadata)
        case "vector":
            numbers = Floats(_number(series["value"][1]) for series in result)
        case "matrix":
            numbers = Floats(_number(point[1]) for series in result for point in series["values"])
        case _:
            raise ProviderError(f'unexpected value type "{kind}"')
    return Reading(result=numbers, text=list_text(numbers), metadata=metadata)


def _number(text: str) -> float:
    """Read a sample value: a decimal number, ``NaN``, ``+Inf`` or ``-Inf``."""
    return {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf, "Inf": math.inf}.get(text) or float(text)
