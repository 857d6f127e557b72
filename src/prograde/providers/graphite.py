"""Graphite: the points of the first target of a render query.

The query is a piece of a URL, ``target=sumSeries(app.*.count)&from=-5min``, and may be spread over lines.
"""

import re
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from prograde.api.analysis import Metric
from prograde.expr.jsontext import compact_json
from prograde.expr.values import Floats
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading
from prograde.providers.http import without_password
from prograde.providers.vendor import ask, check_url, excerpt, json_of, list_at

__all__ = ["GraphiteProvider", "build"]

TIMEOUT_SECONDS: Final = 10.0

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_INTEGER: Final = re.compile(r"[+-]?\d+")


async def build(metric: Metric, context: ProviderContext) -> "GraphiteProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: the address is none.
    """
    config = metric.provider.graphite
    assert config is not None
    try:
        check_url(config.address)
    except ProviderError:
        raise ProviderError(f"Graphite address {without_password(config.address)} is not a valid URL") from None
    if not config.address:
        raise ProviderError("Graphite address  is not a valid URL")
    return GraphiteProvider(metric, context, config.address, config.query)


class GraphiteProvider(AtOnce):
    """One query."""

    type_name = "Graphite"
    keeps_value = True

    def __init__(self, metric: Metric, context: ProviderContext, address: str, query: str) -> None:
        super().__init__(metric, context)
        self._address = address
        self._query = query

    async def read(self) -> Reading:
        parts = urlsplit(self._address)
        url = urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/render", _encoded(self._query), ""))
        answer = await ask(self.context, "GET", url, timeout_seconds=TIMEOUT_SECONDS)
        if answer.status >= 400:
            raise ProviderError(f"error response: {excerpt(answer.text)}")
        targets = [[_point(point) for point in list_at(target, "datapoints")] for target in _targets(json_of(answer))]
        if not targets or not targets[0]:
            raise ProviderError("no values found")
        values = Floats(value for value in targets[0] if value is not None)
        return Reading(result=values, text=f"[{','.join(f'{value:f}' for value in values)}]")


def _encoded(query: str) -> str:
    """Return a query as it is sent: without white space, in order, and for an answer in JSON.

    Raises:
        ProviderError: it can be no part of a URL.
    """
    packed = "".join(query.split())
    if any(char < " " or char == "\x7f" for char in packed):
        raise ProviderError(f'parse "./render?{packed}": net/url: invalid control character in URL')
    pairs: dict[str, list[str]] = {}
    for pair in packed.partition("#")[0].split("&"):
        written_name, _, written_value = pair.partition("=")
        name, value = _decoded(written_name), _decoded(written_value)
        if pair and ";" not in pair and name is not None and value is not None:
            pairs.setdefault(name, []).append(value)
    pairs["format"] = ["json"]
    return urlencode([(name, value) for name in sorted(pairs) for value in pairs[name]])


def _decoded(text: str) -> str | None:
    """Return a part of a query without its escapes, None if one of them is none."""
    return None if _BAD_ESCAPE.search(text) else unquote_plus(text)


def _targets(body: Any) -> list[Any]:
    if not isinstance(body, list):
        raise ProviderError("json: the answer is no list of targets")
    return body


def _point(point: Any) -> float | None:
    """Return the value of a point, None for null.

    Raises:
        ProviderError: it is no pair of a value and a time.
    """
    if not isinstance(point, list) or len(point) != 2:
        raise ProviderError(f"error unmarshaling data point: {compact_json(point)}")
    value, at = point
    if isinstance(at, str):
        if not _INTEGER.fullmatch(at):
            raise ProviderError(f'strconv.ParseInt: parsing "{at}": invalid syntax')
    elif type(at) is not float and at is not None:
        raise ProviderError(f"error unmarshaling timestamp: {compact_json(at)}")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ProviderError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None
    if type(value) is not float and value is not None:
        raise ProviderError(f"error unmarshaling value: {compact_json(value)}")
    return value
