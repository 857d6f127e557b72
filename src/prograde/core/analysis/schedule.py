"""When which metric is measured.

    no measurement yet                 after its initial delay, which counts from the start of the run
    measurement in flight              when its provider wants to be asked again; at once when the run ends,
                                       or when the Job that it waits for has ended
    last one finished                  after the interval, or 10 s after an error
    count reached, metric completed    never again

Times are stored in whole seconds. A measurement is due *at* its time, so that a clock that stands still in between
(a simulated one) does not miss it.
"""

from collections.abc import Iterator, Sequence, Set
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, Measurement, Metric, MetricResult
from prograde.api.defaults import effective_count
from prograde.api.scalars import InvalidDuration, parse_duration

__all__ = [
    "JOB_NAME",
    "RETRY_AFTER_ERROR",
    "Operation",
    "Task",
    "due_tasks",
    "is_terminating",
    "next_look",
    "result_of",
    "taken",
]

RETRY_AFTER_ERROR: Final = timedelta(seconds=10)
"""The interval after an error, whatever the metric's own, and that of a metric without one."""


JOB_NAME: Final = "job-name"
"""Where a measurement in flight keeps which Job it waits for."""


class Operation(StrEnum):
    """What a provider is asked to do."""

    RUN = "Run"
    RESUME = "Resume"
    TERMINATE = "Terminate"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a provider."""

    metric: Metric
    """With placeholders filled; secrets included once it is handed out for measuring."""
    operation: Operation
    measurement: Measurement | None = None
    """The one in flight; None for a new one."""
    taken: int
    """How many measurements of the metric had been completed before."""


def result_of(run: AnalysisRun, name: str) -> MetricResult | None:
    """Return what is stored about a metric."""
    return next((each for each in run.status.metric_results if each.name == name), None)


def taken(result: MetricResult | None) -> int:
    """Return how many measurements have been completed, whatever came of them; it only ever grows."""
    return result.count + result.error if result is not None else 0


def is_terminating(run: AnalysisRun) -> bool:
    """Tell whether the run is to end: it was asked to, or a metric that counts has ended badly."""
    return run.spec.terminate or any(
        not each.dry_run and each.phase in names.COMPLETED_RUN_PHASES and each.phase != names.RUN_SUCCESSFUL
        for each in run.status.metric_results
    )


def due_tasks(
    run: AnalysisRun, metrics: Sequence[Metric], now: datetime, ended_jobs: Set[str] = frozenset()
) -> tuple[Task, ...]:
    """Return what is to be done now, in the order of the metrics; a measurement whose Job has ended is due."""
    ends = is_terminating(run)
    tasks = []
    for metric, result, last in _open_metrics(run, metrics):
        if last is not None and last.finished_at is None:
            if ends:
                tasks.append(Task(metric=metric, operation=Operation.TERMINATE, measurement=last, taken=taken(result)))
            elif last.resume_at is None or last.resume_at <= now or last.metadata.get(JOB_NAME) in ended_jobs:
                tasks.append(Task(metric=metric, operation=Operation.RESUME, measurement=last, taken=taken(result)))
        elif not ends:
            due = _next_new(run, metric, result, now)
            if due is not None and due <= now:
                tasks.append(Task(metric=metric, operation=Operation.RUN, taken=taken(result)))
    return tuple(tasks)


def next_look(run: AnalysisRun, metrics: Sequence[Metric], now: datetime) -> datetime | None:
    """Return when the next measurement is due; None when only an event can bring one."""
    times = []
    for metric, result, last in _open_metrics(run, metrics):
        if last is not None and last.finished_at is None:
            times.append(last.resume_at)
        elif last is None or metric.interval or last.phase == names.RUN_ERROR:
            times.append(_next_new(run, metric, result, now))
    known = [each for each in times if each is not None]
    return min(known) if known else None


def _open_metrics(
    run: AnalysisRun, metrics: Sequence[Metric]
) -> Iterator[tuple[Metric, MetricResult | None, Measurement | None]]:
    """Yield the metrics that are not completed, each with its result and its last measurement so far."""
    for metric in metrics:
        result = result_of(run, metric.name)
        if result is None or result.phase not in names.COMPLETED_RUN_PHASES:
            yield metric, result, result.measurements[-1] if result is not None and result.measurements else None


def _next_new(run: AnalysisRun, metric: Metric, result: MetricResult | None, now: datetime) -> datetime | None:
    """Return when the next new measurement of a metric is due; None for never.

    A metric with an initial delay waits for the run to have started, even if the delay is 0.
    """
    if result is None or not result.measurements:
        if not metric.initial_delay:
            return now
        delay = _duration(metric.initial_delay)
        if delay is None:
            return None
        return (run.status.started_at or now) + max(delay, _INSTANT if run.status.started_at is None else delay)
    last = result.measurements[-1]
    count = effective_count(metric)
    if last.finished_at is None or (count is not None and result.count >= count):
        return None
    if last.phase == names.RUN_ERROR or not metric.interval:
        return last.finished_at + RETRY_AFTER_ERROR
    interval = _duration(metric.interval)
    return last.finished_at + interval if interval is not None else None


_INSTANT: Final = timedelta(milliseconds=1)


def _duration(text: str) -> timedelta | None:
    try:
        return parse_duration(text)
    except InvalidDuration:
        return None
