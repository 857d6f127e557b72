"""Wavefront: of every series, the point that is nearest to the start of the measurement."""

import math
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from prograde.api import names
from prograde.api.analysis import Measurement, Metric
from prograde.api.scalars import whole_seconds
from prograde.expr.values import Floats
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading, errored, judged
from prograde.providers.credentials import hidden, read_secret
from prograde.providers.vendor import ask, excerpt, json_of, list_at, member, status_line

__all__ = ["WavefrontProvider", "build"]

SECRET: Final = "wavefront-api-tokens"
"""Its keys are names of hosts."""
TIMEOUT_SECONDS: Final = 30.0


async def build(metric: Metric, context: ProviderContext) -> "WavefrontProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: there is no token for its host.
    """
    config = metric.provider.wavefront
    assert config is not None
    token = (await read_secret(context, SECRET)).get(config.address, "")
    if not token:
        raise ProviderError("API token not found")
    return WavefrontProvider(metric, context, f"https://{config.address}", config.query, token)


class WavefrontProvider(AtOnce):
    """One query."""

    type_name = "Wavefront"

    def __init__(self, metric: Metric, context: ProviderContext, url: str, query: str, token: str) -> None:
        super().__init__(metric, context)
        self.url = url
        self._query = query
        self._token = token

    async def run(self) -> Measurement:
        """Take a reading and judge it; what the server warns of is kept even if there is none."""
        now = self.context.now
        started_at = whole_seconds(now())
        warnings: dict[str, str] = {}
        try:
            body = await self._ask(int(started_at.timestamp()))
            warning = member(body, "warnings")
            if isinstance(warning, str) and warning:
                warnings["warnings"] = excerpt(warning)
            reading = _nearest(body, started_at.timestamp())
        except ProviderError as err:
            before = Measurement(started_at=started_at, metadata=warnings)
            return errored(hidden(str(err), self._token), started_at, now(), before)
        measurement = judged(self.metric, reading, started_at, now)
        is_judged = measurement.phase != names.RUN_ERROR
        return msgspec.structs.replace(measurement, metadata={**(reading.metadata if is_judged else {}), **warnings})

    async def _ask(self, at: int) -> Any:
        query = {
            "autoEvents": "false",
            "e": at * 1000,
            "g": "s",
            "i": "true",
            "includeObsoleteMetrics": "false",
            "listmode": "false",
            "p": 1,
            "q": self._query,
            "s": at * 1000,
            "strict": "false",
        }
        answer = await ask(
            self.context,
            "GET",
            f"{self.url}/api/v2/chart/api?{urlencode(query)}",
            headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json"},
            timeout_seconds=TIMEOUT_SECONDS,
            uses_proxies=False,
        )
        if answer.status != 200:
            raise ProviderError(f"server returned {status_line(answer)}\n{excerpt(answer.text)}\n")
        return json_of(answer)


def _nearest(body: Any, started_at: float) -> Reading:
    """Return the point of each series that is nearest to the start.

    Raises:
        ProviderError: there is none.
    """
    series = list_at(body, "timeseries")
    if not series:
        raise ProviderError("No TimeSeries found in response from Wavefront")
    values, times, drifts = Floats(), [], []
    for each in series:
        points = [_point(point) for point in list_at(each, "data")]
        if not points:
            raise ProviderError("no data points")
        at, value = min(points, key=lambda point: abs(point[0] - started_at))
        values.append(value)
        times.append(str(math.trunc(at)))
        drifts.append(str(math.trunc(at - started_at)))
    if len(values) == 1:
        return Reading(result=values[0], text=_fixed(values[0]), metadata={"timestamps": times[0], "drift": drifts[0]})
    return Reading(
        result=values,
        text=f"[{','.join(map(_fixed, values))}]",
        metadata={"timestamps": f"[{','.join(times)}]", "drift": f"[{','.join(drifts)}]"},
    )


def _point(point: Any) -> tuple[float, float]:
    if not isinstance(point, list) or len(point) < 2 or not all(type(each) is float for each in point[:2]):
        raise ProviderError("json: a point is no pair of numbers")
    return point[0], point[1]


def _fixed(number: float) -> str:
    return f"{number:.2f}"
