"""New Relic: an NRQL query by way of NerdGraph, its GraphQL interface.

One row of results is a map, several are a list of maps. Members with dots are read as ``result['average.duration']``.
A server that is busy or broken is asked again, up to three times.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from prograde import __version__
from prograde.api.analysis import Metric, NewRelicMetric
from prograde.api.scalars import parse_integer
from prograde.expr.jsontext import compact_json
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading
from prograde.providers.credentials import hidden, read_secret
from prograde.providers.http import HttpAnswer, without_password
from prograde.providers.vendor import ask, check_url, excerpt, json_of, list_at, member

__all__ = ["NewRelicProvider", "build"]

log = logging.getLogger(__name__)

SECRET: Final = "newrelic"
URL_VARIABLE: Final = "NEW_RELIC_NERDGRAPH_BASE_URL"
SERVICE_VARIABLE: Final = "NEW_RELIC_SERVICE_NAME"
URLS: Final = {
    "us": "https://api.newrelic.com/graphql",
    "eu": "https://api.eu.newrelic.com/graphql",
    "jp": "https://api.jp.newrelic.com/graphql",
    "gov": "https://gov-api.newrelic.com/graphql",
    "fedramp": "https://gov-api.newrelic.com/graphql",
    "staging": "https://staging-api.newrelic.com/graphql",
    "local": "http://localhost:3000/graphql",
}
CLIENT: Final = "newrelic-client-go"
"""Who New Relic counts queries for; its dashboards of usage know this name."""
OPERATION: Final = (
    "query($query: Nrql!, $accountId: Int!, $timeout: Seconds!) {"
    " actor { account(id: $accountId) { nrql(query: $query, timeout: $timeout) { results } } } }"
)

QUERY_SECONDS: Final = 5
TIMEOUT_SECONDS: Final = 30.0
RETRY_DELAYS: tuple[float, ...] = (1, 2, 4)
"""Seconds before each further attempt."""

BUSY: Final = "TOO_MANY_REQUESTS"
BROKEN: Final = frozenset(("TIMEOUT", "INTERNAL_SERVER_ERROR", "SERVER_ERROR"))
DEPRECATED: Final = "This field is deprecated!"
UNAUTHORIZED: Final = (
    "401 response returned: Invalid credentials provided. Missing API key or an invalid API key was provided."
)


async def build(metric: Metric, context: ProviderContext) -> "NewRelicProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: the Secret lacks something, or what it says makes no sense.
    """
    config = metric.provider.new_relic
    assert config is not None
    secret = await read_secret(context, config.profile or SECRET)
    key, account = secret.get("personal-api-key", ""), secret.get("account-id", "")
    if not key or not account:
        raise ProviderError("account ID or personal API key not found")
    if secret.get("base-url-rest") == "":
        raise ProviderError("base URL can not be empty")
    if secret.get("base-url-nerdgraph") == "":
        raise ProviderError("nerdgraph base URL can not be empty")
    account_id = parse_integer(account)
    if account_id is None:
        raise ProviderError(f'could not parse account ID: strconv.Atoi: parsing "{account}": invalid syntax')
    region = secret.get("region", "us")
    if region.lower() not in URLS:
        log.warning("Unknown New Relic region %r, using us", region)
    url = (
        secret.get("base-url-nerdgraph")
        or context.environment.get(URL_VARIABLE)
        or URLS.get(region.lower(), URLS["us"])
    )
    return NewRelicProvider(metric, context, config, url=url, key=key, account_id=account_id)


class NewRelicProvider(AtOnce):
    """One query."""

    type_name = "NewRelic"

    def __init__(
        self,
        metric: Metric,
        context: ProviderContext,
        config: NewRelicMetric,
        *,
        url: str,
        key: str,
        account_id: int,
    ) -> None:
        super().__init__(metric, context)
        self.url = url
        self._config = config
        self._key = key
        self._account_id = account_id

    def metadata(self) -> Mapping[str, str]:
        query = self._config.query
        return {"ResolvedNewRelicQuery": query} if query else {}

    async def read(self) -> Reading:
        seconds = QUERY_SECONDS if self._config.timeout is None else self._config.timeout
        if seconds < 0:
            raise ProviderError("timeout value needs to be a positive value")
        variables = {"accountId": self._account_id, "query": self._config.query, "timeout": seconds}
        try:
            return _reading(await self._ask(json.dumps({"query": OPERATION, "variables": variables}).encode()))
        except ProviderError as err:
            raise ProviderError(hidden(str(err), self._key)) from None

    async def _ask(self, body: bytes) -> Any:
        """Ask until there is an answer that another attempt would not change.

        Raises:
            ProviderError: the answer is an error, or there is none.
        """
        check_url(self.url)
        for delay in (*RETRY_DELAYS, None):
            failure: ProviderError
            try:
                answer = await self._send(body)
            except ProviderError as err:
                if "unsupported protocol scheme" in str(err) or "redirects" in str(err) or "certificate" in str(err):
                    raise
                failure = self._given_up(f": {err}")
            else:
                answered, errors = _errors(answer)
                if _is_busy(answer.status, errors):
                    failure = self._given_up("")
                elif any(_class(error) in BROKEN for error in errors):
                    failure = ProviderError(f"maximum retries reached: {_messages(errors)}")
                else:
                    _check(answer, errors)
                    return answered
            if delay is None:
                raise failure
            await asyncio.sleep(delay)
        raise AssertionError("the last attempt raises or returns")

    def _given_up(self, cause: str) -> ProviderError:
        return ProviderError(
            f"POST {without_password(self.url)} giving up after {len(RETRY_DELAYS) + 1} attempt(s){cause}"
        )

    async def _send(self, body: bytes) -> HttpAnswer:
        service = self.context.environment.get(SERVICE_VARIABLE)
        client = f"{service}|{CLIENT}" if service else CLIENT
        return await ask(
            self.context,
            "POST",
            self.url,
            headers={
                "Api-Key": self._key,
                "Content-Type": "application/json",
                "User-Agent": f"argo-rollouts/{__version__} (https://github.com/argoproj/argo-rollouts)",
                "NewRelic-Requesting-Services": client,
                "X-Query-Source-Component-Id": client,
            },
            body=body,
            timeout_seconds=TIMEOUT_SECONDS,
        )


def _errors(answer: HttpAnswer) -> tuple[Any, list[Any]]:
    """Return the body of an answer and the errors it lists; who refuses need not speak JSON.

    Raises:
        ProviderError: the answer is a success, but cannot be read.
    """
    try:
        body = json_of(answer)
        return body, list_at(body, "errors")
    except ProviderError:
        if 200 <= answer.status < 300:
            raise
        return None, []


def _is_busy(status: int, errors: list[Any]) -> bool:
    return status in (429, 500) or status >= 502 or (status == 200 and bool(errors) and _class(errors[0]) == BUSY)


def _check(answer: HttpAnswer, errors: list[Any]) -> None:
    """Check an answer that counts.

    Raises:
        ProviderError: it is an error.
    """
    messages = _messages(errors)
    if 200 <= answer.status < 300:
        # A warning about a field comes as an error, along with the results.
        if errors and not any(_message(error).startswith(DEPRECATED) for error in errors):
            raise ProviderError(messages)
        return
    if answer.status == 404:
        raise ProviderError("resource not found")
    if answer.status == 402:
        raise ProviderError("Payment Required")
    has_bad_key = any(_extension(error, "error_code") == "BAD_API_KEY" for error in errors)
    if has_bad_key or (answer.status == 401 and errors):
        raise ProviderError(UNAUTHORIZED)
    raise ProviderError(f"{answer.status} response returned{f': {messages}' if messages else ''}")


def _reading(body: Any) -> Reading:
    results = list_at(body, "data", "actor", "account", "nrql", "results")
    if not all(isinstance(row, dict) for row in results):
        raise ProviderError("json: a row of the results is no object")
    if not results or results == [{}]:
        raise ProviderError("no results returned from NRQL query")
    result = results[0] if len(results) == 1 else results
    return Reading(result=result, text=compact_json(result))


def _message(error: Any) -> str:
    text = member(error, "message")
    return text if isinstance(text, str) else ""


def _messages(errors: list[Any]) -> str:
    return excerpt(", ".join(filter(None, map(_message, errors))))


def _class(error: Any) -> Any:
    return _extension(error, "errorClass")


def _extension(error: Any, name: str) -> Any:
    extensions = member(error, "extensions")
    return member(extensions, name) if isinstance(extensions, dict) else None
