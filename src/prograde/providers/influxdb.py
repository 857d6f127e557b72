"""InfluxDB: a Flux query, whose answer is annotated CSV.

    #datatype,string,long,dateTime:RFC3339,double
    #group,false,false,false,false
    #default,_result,,,
    ,result,table,_time,_value
    ,,0,2026-03-01T12:00:00Z,6.6

The values are those of column ``_value`` in all rows of all tables, each of the type that its annotation says.
"""

import base64
import binascii
import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote_plus

from prograde.api.analysis import Metric
from prograde.api.scalars import InvalidDuration, parse_duration_nanoseconds
from prograde.expr.times import parse_time
from prograde.expr.values import Duration, Value, text_of
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading
from prograde.providers.credentials import hidden, read_secret
from prograde.providers.http import HttpAnswer
from prograde.providers.vendor import ask, excerpt, json_of, member, status_line

__all__ = ["InfluxdbProvider", "build"]

SECRET: Final = "influxdb"
TIMEOUT_SECONDS: Final = 20.0
DIALECT: Final = {"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": True}
RFC3339: Final = "2006-01-02T15:04:05.999999999Z07:00"


async def build(metric: Metric, context: ProviderContext) -> "InfluxdbProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: its Secret cannot be read, or lacks something.
    """
    config = metric.provider.influxdb
    assert config is not None
    secret = await read_secret(context, config.profile or SECRET)
    token, org, address = (secret.get(key, "") for key in ("authToken", "org", "address"))
    if not token or not org or not address:
        raise ProviderError("authToken, org, or address not found")
    url = f"{address.rstrip('/')}/api/v2/query?org={quote_plus(org)}"
    return InfluxdbProvider(metric, context, url, token, config.query)


class InfluxdbProvider(AtOnce):
    """One query."""

    type_name = "Influxdb"

    def __init__(self, metric: Metric, context: ProviderContext, url: str, token: str, query: str) -> None:
        super().__init__(metric, context)
        self._url = url
        self._token = token
        self._query = query

    async def read(self) -> Reading:
        try:
            values = await self._values()
        except ProviderError as err:
            raise ProviderError(hidden(str(err), self._token)) from None
        if not values:
            raise ProviderError("no results returned from flux query")
        return Reading(result=values, text=text_of(values))

    async def _values(self) -> list[Value]:
        answer = await ask(
            self.context,
            "POST",
            self._url,
            headers={
                "Authorization": f"Token {self._token}",
                "Content-Type": "application/json",
                "Accept-Encoding": "gzip",
            },
            body=json.dumps({"dialect": DIALECT, "query": self._query, "type": "flux"}).encode(),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        if not 200 <= answer.status < 300:
            raise ProviderError(_refusal(answer))
        return _read_tables(answer.text)


def _refusal(answer: HttpAnswer) -> str:
    """Return what an answer that is none says.

    Raises:
        ProviderError: it claims to be JSON, and is not.
    """
    if answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        return f"{status_line(answer)}: {excerpt(answer.text)}"
    body = json_of(answer)
    code, message = member(body, "code") or "", member(body, "message") or ""
    if code and message:
        return excerpt(f"{code}: {message}")
    if code or message:
        return f"Unexpected status code {answer.status}"
    if answer.status == 429:
        return "too many requests: exceeded rate limit"
    if answer.status == 503:
        return "unavailable: service temporarily unavailable"
    if reason := answer.headers.get("X-Influxdb-Error", ""):
        return f"{status_line(answer)}: {excerpt(reason)}"
    return f"Unexpected status code {answer.status}"


# ---- Annotated CSV --------------------------------------------------------------------------------------------------


def _read_tables(text: str) -> list[Value]:
    """Return the values of all rows of all tables.

    Raises:
        ProviderError: an error is among the tables, or something that is no table.
    """
    annotations: dict[str, list[str]] = {}
    header: list[str] | None = None
    values: list[Value] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if not any(row):
                annotations, header = {}, None
            elif row[0].startswith("#"):
                if header is not None:
                    # A table may follow without an empty line between.
                    annotations, header = {}, None
                annotations[row[0]] = row
            elif header is None:
                header = row
                if "#datatype" not in annotations and not _is_error(header):
                    raise ProviderError("flux query: a table has no annotation of its types")
            else:
                values.append(_value(header, annotations, row))
    except csv.Error as err:
        raise ProviderError(f"the answer is no CSV: {err}") from None
    return values


def _value(header: list[str], annotations: Mapping[str, list[str]], row: list[str]) -> Value:
    """Return the value in a row, nil if the table has no column for it.

    Raises:
        ProviderError: the row is an error, or its value is not what the annotation says.
    """
    if _is_error(header):
        cells = dict(zip(header, row, strict=False))
        reference = cells.get("reference", "")
        raise ProviderError(f"flux query: {excerpt(cells['error'])}{f' ({reference})' if reference else ''}")
    if len(row) != len(header):
        raise ProviderError(f"flux query: a row has {len(row)} columns, its header {len(header)}")
    if "_value" not in header:
        return None
    column = header.index("_value")
    kind = _cell(annotations["#datatype"], column)
    text = row[column] or _cell(annotations.get("#default", []), column)
    convert = _CONVERSIONS.get(kind)
    if convert is None:
        raise ProviderError(f"flux query: unknown data type {kind}")
    if not text:
        return None
    try:
        return convert(text)
    except (ValueError, InvalidDuration, binascii.Error):
        raise ProviderError(f"flux query: {text!r} is no {kind}") from None


def _is_error(header: list[str]) -> bool:
    """Whether a table reports an error; any other begins with the columns ``result`` and ``table``."""
    return next(filter(None, header), "") == "error"


def _cell(row: list[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def _date(text: str) -> Value:
    date = parse_time(text, RFC3339)
    if date is None:
        raise ValueError(text)
    return date


_CONVERSIONS: Final[Mapping[str, Callable[[str], Value]]] = {
    "double": float,
    "long": int,
    "unsignedLong": int,
    "boolean": lambda text: text != "false",
    "string": str,
    "dateTime:RFC3339": _date,
    "dateTime:RFC3339Nano": _date,
    "duration": lambda text: Duration(parse_duration_nanoseconds(text)),
    "base64Binary": lambda text: base64.b64decode(text, validate=True),
}
