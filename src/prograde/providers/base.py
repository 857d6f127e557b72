"""What a metric provider is: the contract between the analysis controller and whoever measures.

    Task ──▶ provider_for(metric, context) ──▶ run / resume / terminate ──▶ Measurement

A provider is built for one call of one metric, whose placeholders are filled, secrets included. Whatever goes wrong
while it is built or while it measures is a `ProviderError`, and becomes a measurement in phase Error that says so; only
bugs and cancellation get past that. Most providers answer at once; those that start something and come back later
return a measurement in phase Running with `resume_at`, and find it again in `resume` and `terminate`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, Measurement, Metric
from prograde.api.scalars import whole_seconds
from prograde.core.analysis.conditions import InvalidCondition, judge_value
from prograde.expr.values import Value
from prograde.kube.client import Client
from prograde.providers.errors import ProviderError
from prograde.providers.http import Http
from prograde.providers.oauth2 import Tokens

__all__ = ["AtOnce", "Provider", "ProviderContext", "ProviderError", "Reading", "errored", "judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderContext:
    """What a provider may use."""

    run: AnalysisRun
    client: Client
    """For Secrets and Jobs; throttled with everything else that the controller does."""
    http: Http
    now: Callable[[], datetime]
    tokens: Tokens = field(default_factory=Tokens)
    environment: Mapping[str, str] = field(default_factory=dict)
    """The environment of the controller."""
    own_namespace: str = "argo-rollouts"
    """Where the controller's own Secrets are."""


class Provider(Protocol):
    """One way of measuring, built for one metric."""

    @property
    def type_name(self) -> str:
        """The name in metrics and logs: ``Prometheus``, ``Job``, ..."""
        ...

    def metadata(self) -> Mapping[str, str]:
        """Return what is kept about the metric itself, such as its query with all placeholders filled."""
        ...

    async def run(self) -> Measurement:
        """Begin a measurement, and finish it if that can be done at once.

        Raises:
            ProviderError: it cannot be taken.
        """
        ...

    async def resume(self, measurement: Measurement) -> Measurement:
        """Go on with a measurement in flight.

        Raises:
            ProviderError: it cannot be finished.
        """
        ...

    async def terminate(self, measurement: Measurement) -> Measurement:
        """Stop a measurement in flight, for the run ends.

        Raises:
            ProviderError: it cannot be stopped.
        """
        ...

    async def collect_garbage(self, limit: int) -> None:
        """Clean up what measurements beyond the newest `limit` have left outside.

        Raises:
            ProviderError: it cannot be cleaned up; the next time may do.
        """
        ...


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured: the value that conditions see, and how the status shows it."""

    result: Value
    text: str
    metadata: Mapping[str, str] = {}


class AtOnce:
    """The part of a provider that measures within one call, once the reading has been described."""

    type_name = ""
    keeps_value = False
    """Whether the value is shown even when no condition can be evaluated with it."""

    def __init__(self, metric: Metric, context: ProviderContext) -> None:
        self.metric = metric
        self.context = context

    async def read(self) -> Reading:
        """Take the reading.

        Raises:
            ProviderError: there is none.
        """
        raise NotImplementedError

    def metadata(self) -> Mapping[str, str]:
        return {}

    async def run(self) -> Measurement:
        """Take a reading and judge it."""
        started_at = whole_seconds(self.context.now())
        reading = await self.read()
        measurement = judged(self.metric, reading, started_at, self.context.now)
        if self.keeps_value and measurement.phase == names.RUN_ERROR:
            return msgspec.structs.replace(measurement, value=reading.text)
        return measurement

    async def resume(self, measurement: Measurement) -> Measurement:
        """Nothing is ever in flight here."""
        return measurement

    async def terminate(self, measurement: Measurement) -> Measurement:
        """Nothing is ever in flight here."""
        return measurement

    async def collect_garbage(self, limit: int) -> None:
        """Nothing is left outside."""


def judged(metric: Metric, reading: Reading, started_at: datetime, now: Callable[[], datetime]) -> Measurement:
    """Return the completed measurement that a reading makes, by the conditions of its metric.

    A condition that cannot be evaluated makes an error, and the value is not shown then.
    """
    try:
        phase = judge_value(metric, reading.result, now)
    except InvalidCondition as err:
        return errored(str(err), started_at, now())
    return Measurement(
        phase=phase,
        value=reading.text,
        metadata=dict(reading.metadata),
        started_at=started_at,
        finished_at=whole_seconds(now()),
    )


def errored(message: str, started_at: datetime | None, now: datetime, before: Measurement | None = None) -> Measurement:
    """Return the completed measurement of a failed attempt; `before` is the one in flight, if there was one."""
    return msgspec.structs.replace(
        before or Measurement(started_at=started_at),
        phase=names.RUN_ERROR,
        message=message,
        finished_at=whole_seconds(now),
        resume_at=None,
    )


Build = Callable[[Metric, ProviderContext], Awaitable[Provider]]
"""How a module of this package makes its provider. May read Secrets.

Raises ProviderError if the metric, a Secret or the environment does not allow it.
"""
