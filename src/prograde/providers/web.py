"""Any HTTP endpoint: the answer, or a part of it, is the measurement.

A JSON answer is read with a path, ``{$}`` by default, of which the first value counts. Any other answer is a text.
"""

import json
from typing import Any, Final

from prograde.api.analysis import Metric, WebMetric
from prograde.api.meta import NO_RAW
from prograde.expr.jsontext import compact_json
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading
from prograde.providers.http import HttpError
from prograde.providers.oauth2 import MISSING
from prograde.templating.jsonpath import InvalidJsonPath, NotFound, Template, parse_jsonpath

__all__ = ["WebProvider", "build"]

TIMEOUT_SECONDS: Final = 10
READS: Final = frozenset(("GET", "HEAD"))


async def build(metric: Metric, context: ProviderContext) -> "WebProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: the path is none, or the authentication is incomplete.
    """
    config = metric.provider.web
    assert config is not None
    oauth2 = config.authentication.oauth2 if config.authentication is not None else None
    if oauth2 is not None and oauth2.token_url and not (oauth2.client_id and oauth2.client_secret):
        raise ProviderError(MISSING)
    try:
        path = parse_jsonpath(config.json_path or "{$}")
    except InvalidJsonPath as err:
        raise ProviderError(str(err)) from None
    return WebProvider(metric, context, config, path)


class WebProvider(AtOnce):
    """One request."""

    type_name = "Web"

    def __init__(self, metric: Metric, context: ProviderContext, config: WebMetric, path: Template) -> None:
        super().__init__(metric, context)
        self._config = config
        self._path = path

    async def read(self) -> Reading:
        config = self._config
        method = config.method or "GET"
        has_json_body = bytes(config.json_body) not in (b"", bytes(NO_RAW))
        if config.body and has_json_body:
            raise ProviderError("use either Body or JSONBody; both cannot exists for WebMetric payload")
        if (config.body or has_json_body) and method == "GET":
            raise ProviderError("Body/JSONBody can only be used with POST or PUT WebMetric Method types")
        body = bytes(config.json_body) if has_json_body else config.body.encode()
        headers = await self._authorization()
        for header in config.headers:
            headers = {name: text for name, text in headers.items() if name.lower() != header.key.lower()}
            headers[header.key] = header.value
        if has_json_body:
            headers = {name: text for name, text in headers.items() if name.lower() != "content-type"}
            headers["Content-Type"] = "application/json"
        try:
            answer = await self.context.http.request(
                method,
                config.url,
                headers=headers,
                body=body or None,
                timeout_seconds=float(config.timeout_seconds if config.timeout_seconds > 0 else TIMEOUT_SECONDS),
                verifies=not config.insecure,
                uses_proxies=not config.insecure,
                shares=method in READS,
            )
        except HttpError as err:
            raise ProviderError(str(err)) from err
        if not 200 <= answer.status < 300:
            raise ProviderError(f"received non 2xx response code: {answer.status}")
        return self._reading(answer.body)

    async def _authorization(self) -> dict[str, str]:
        config = self._config
        oauth2 = config.authentication.oauth2 if config.authentication is not None else None
        if oauth2 is None or not oauth2.token_url:
            return {}
        token = await self.context.tokens.bearer(
            self.context.http,
            oauth2,
            timeout_seconds=float(config.timeout_seconds if config.timeout_seconds > 0 else TIMEOUT_SECONDS),
            verifies=not config.insecure,
        )
        return {"Authorization": f"Bearer {token}"}

    def _reading(self, body: bytes) -> Reading:
        try:
            document = _json(body)
        except ValueError:
            text = body.decode("utf-8", "replace")
            return Reading(result=text, text=text)
        try:
            found = self._path.find(document)
        except NotFound as err:
            raise ProviderError(f"Could not find JSONPath in body: {err}") from None
        if not found:
            raise ProviderError("result of web metric produced no value")
        value = _as_json(found[0])
        return Reading(result=value, text=compact_json(value))


def _json(body: bytes) -> Any:
    """Read JSON in which every number is a float.

    Raises:
        ValueError: it is none; NaN and infinities are no JSON either.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    return json.loads(body.decode(), parse_int=float, parse_constant=refuse)


def _as_json(value: Any) -> Any:
    """Return a value as the conditions know values of JSON: a constant of the path is one as well."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
