"""Who judges the AnalysisRuns of a simulated cluster: a stand-in that decides by the clock, and measures nothing.

A run goes on for as long as its metrics would take to be measured, all well, and then is Successful, unless the judge
ends it otherwise before. One that is terminated ends as Successful, like a real one. A metric with an interval and no
count goes on for ever, as the background analyses of canaries do.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from prograde.api.analysis import AnalysisRun, Metric
from prograde.api.scalars import InvalidDuration, format_time, integer_value, parse_duration
from prograde.sandbox.client import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["ENDED", "Analysts", "Judgement", "measured_seconds"]

ANALYSIS_RUNS: Final[Resource] = ("argoproj.io", "analysisruns")

ENDED: Final = frozenset({"Successful", "Failed", "Error", "Inconclusive"})
"""The phases in which a run has come to its end."""


class Judgement(NamedTuple):
    """How a run ends."""

    phase: str
    message: str = ""


class Analysts:
    """Judge every AnalysisRun of a cluster; `run` is to be a task.

    Args:
        judge: asked about a run when it begins, when it would end, and whenever `look_again` is called; None lets it go
            on, or end well.
        least_seconds: how long a run lasts even if its metrics are measured in an instant.
    """

    def __init__(
        self, sandbox: Sandbox, judge: Callable[[AnalysisRun], Judgement | None], *, least_seconds: float = 0.0
    ) -> None:
        self._least_seconds = least_seconds
        self._client = sandbox.client("analysts")
        self._now = sandbox.clock
        self._judge = judge
        self._due: dict[tuple[str, str], None] = {}
        self._wake = asyncio.Event()
        self._client.subscribe(self._observe)

    def look_again(self) -> None:
        """Judge every run again that has not ended."""
        for obj in self._client.list(ANALYSIS_RUNS):
            self._add((obj["metadata"]["namespace"], obj["metadata"]["name"]))

    async def run(self) -> None:
        """Judge until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            for key in due:
                try:
                    self._look_at(key)
                except StatusError as err:
                    if err.code != 404:  # deleted by a callback of our own write
                        raise

    def _observe(self, change: str, resource: Resource, new: Object, _: Object | None) -> None:
        if resource == ANALYSIS_RUNS and change != "DELETED":
            self._add((new["metadata"]["namespace"], new["metadata"]["name"]))

    def _add(self, key: tuple[str, str]) -> None:
        self._due[key] = None
        self._wake.set()

    def _look_at(self, key: tuple[str, str]) -> None:
        obj = self._client.get(ANALYSIS_RUNS, *key)
        if obj is None:
            return
        run = msgspec.convert(msgspec.json.decode(msgspec.json.encode(obj)), AnalysisRun, strict=False)
        if run.status.phase in ENDED:
            return
        now = self._now()
        began_at = run.status.started_at or now
        if run.spec.terminate:
            self._end(key, began_at, Judgement("Successful", "Run Terminated"))
            return
        judgement = self._judge(run)
        seconds = measured_seconds(run.spec.metrics)
        left = None if seconds is None else max(seconds, self._least_seconds) - (now - began_at).total_seconds()
        if judgement is None and left is not None and left <= 0:
            judgement = Judgement("Successful")
        if judgement is not None:
            self._end(key, began_at, judgement)
            return
        if not run.status.phase:
            self._write(key, {"phase": "Running", "startedAt": format_time(now)})
        if left is not None:
            asyncio.get_running_loop().call_later(left + 1e-3, self._add, key)

    def _end(self, key: tuple[str, str], began_at: datetime, judgement: Judgement) -> None:
        status = {"phase": judgement.phase, "message": judgement.message, "startedAt": format_time(began_at)}
        self._write(key, {**status, "completedAt": format_time(self._now())})

    def _write(self, key: tuple[str, str], status: dict[str, str]) -> None:
        self._client.patch(ANALYSIS_RUNS, *key, {"status": status}, subresource="status")


def measured_seconds(metrics: Iterable[Metric]) -> float | None:
    """Return how long it takes to measure all metrics as often as they ask for; None for ever."""
    longest = 0.0
    for metric in metrics:
        interval, delay = _seconds(metric.interval), _seconds(metric.initial_delay)
        count = integer_value(metric.count) or (0 if interval else 1)
        if not count:
            return None
        longest = max(longest, delay + interval * (count - 1))
    return longest


def _seconds(text: str) -> float:
    try:
        return parse_duration(text).total_seconds() if text else 0.0
    except InvalidDuration:
        return 0.0
