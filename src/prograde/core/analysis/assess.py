"""From measurements to the phase of a metric, and from metrics to the phase of a run.

The order decides. A metric: completed for ever, nothing measured, in flight, a limit exceeded, a streak of successes
long enough, the count reached, else running. A run takes the worst of its completed metrics once all are complete, or
once it is to end; dry-run metrics count only for when, never for how.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, AnalysisRunStatus, Measurement, Metric, MetricResult, RunSummary
from prograde.api.defaults import effective_consecutive_error_limit, effective_count
from prograde.api.scalars import integer_value, whole_seconds
from prograde.core.plan import Event

__all__ = ["Assessment", "assess", "completion_event", "count_measurement", "metric_phase"]

FAILURE_LIMIT_DISABLED = -1


class Assessment(msgspec.Struct, frozen=True):
    """The status after an assessment, and what there is to tell."""

    status: AnalysisRunStatus
    events: tuple[Event, ...] = ()


def count_measurement(result: MetricResult, measurement: Measurement) -> MetricResult:
    """Return the result with a completed measurement counted; errors do not use up the count."""
    match measurement.phase:
        case names.RUN_SUCCESSFUL:
            counted = {"successful": result.successful + 1}
        case names.RUN_FAILED:
            counted = {"failed": result.failed + 1}
        case names.RUN_INCONCLUSIVE:
            counted = {"inconclusive": result.inconclusive + 1}
        case names.RUN_ERROR:
            counted = {"error": result.error + 1}
        case _:
            return result
    is_success, is_error = measurement.phase == names.RUN_SUCCESSFUL, measurement.phase == names.RUN_ERROR
    return msgspec.structs.replace(
        result,
        **counted,
        count=result.count + (not is_error),
        consecutive_success=result.consecutive_success + 1 if is_success else 0,
        consecutive_error=result.consecutive_error + 1 if is_error else 0,
    )


# ---- One metric -----------------------------------------------------------------------------------------------------


class _Verdict(msgspec.Struct, frozen=True):
    """The phase of a metric, and which limit made it so, if one did."""

    phase: str
    limit: str = ""


def metric_phase(metric: Metric, result: MetricResult, *, ends: bool) -> str:
    """Return the phase of a metric; `ends` says that the run is to end."""
    return _verdict(metric, result, ends=ends).phase


def _verdict(metric: Metric, result: MetricResult, *, ends: bool) -> _Verdict:
    limit = _exceeded_limit(metric, result)
    if result.phase in names.COMPLETED_RUN_PHASES:
        return _Verdict(result.phase, limit.limit if limit is not None else _missed_streak(metric, result))
    if not result.measurements:
        return _Verdict(names.RUN_SUCCESSFUL if ends else names.RUN_PENDING)
    if result.measurements[-1].phase not in names.COMPLETED_RUN_PHASES:
        return _Verdict(names.RUN_RUNNING)
    if limit is not None:
        return limit
    streak = integer_value(metric.consecutive_success_limit)
    if 0 < streak <= result.consecutive_success:
        return _Verdict(names.RUN_SUCCESSFUL)
    count = effective_count(metric)
    if count is not None and result.count >= count:
        if missed := _missed_streak(metric, result):
            is_disabled = _failure_limit(metric) == FAILURE_LIMIT_DISABLED
            return _Verdict(names.RUN_FAILED if is_disabled else names.RUN_INCONCLUSIVE, missed)
        return _Verdict(names.RUN_SUCCESSFUL)
    return _Verdict(names.RUN_SUCCESSFUL if ends else names.RUN_RUNNING)


def _failure_limit(metric: Metric) -> int:
    return integer_value(metric.failure_limit)


def _exceeded_limit(metric: Metric, result: MetricResult) -> _Verdict | None:
    """Return what an exceeded limit makes of a metric; errors weigh more than doubts, and these more than failures."""
    verdict = None
    failure_limit = _failure_limit(metric)
    if failure_limit >= 0 and result.failed > failure_limit:
        verdict = _Verdict(names.RUN_FAILED, f"failed ({result.failed}) > failureLimit ({failure_limit})")
    inconclusive_limit = integer_value(metric.inconclusive_limit)
    if result.inconclusive > inconclusive_limit:
        text = f"inconclusive ({result.inconclusive}) > inconclusiveLimit ({inconclusive_limit})"
        verdict = _Verdict(names.RUN_INCONCLUSIVE, text)
    error_limit = effective_consecutive_error_limit(metric)
    if result.consecutive_error > error_limit:
        text = f"consecutiveErrors ({result.consecutive_error}) > consecutiveErrorLimit ({error_limit})"
        verdict = _Verdict(names.RUN_ERROR, text)
    return verdict


def _missed_streak(metric: Metric, result: MetricResult) -> str:
    """Say that all measurements were taken without the successes in a row that were asked for; empty if not so."""
    streak, count = integer_value(metric.consecutive_success_limit), effective_count(metric)
    if streak <= 0 or result.consecutive_success >= streak or count is None or result.count < count:
        return ""
    return f"consecutiveSuccessLimit ({streak}) not reached"


# ---- The run --------------------------------------------------------------------------------------------------------


def assess(
    run: AnalysisRun, metrics: Sequence[Metric], dry_run: frozenset[str], now: datetime, *, ends: bool
) -> Assessment:
    """Return the status that follows from the measurements in it.

    `metrics` have their placeholders filled, `dry_run` are the names of those that only try. Whether the run `ends`
    is decided before: a metric that ends badly here stops the others in the next pass.
    """
    results = {each.name: each for each in run.status.metric_results}
    events: list[Event] = []
    worst = ""
    message = "Run Terminated" if run.spec.terminate else ""
    is_complete = True
    summaries = {False: _Summary(), True: _Summary()}
    for metric in metrics:
        is_trial = metric.name in dry_run
        summaries[is_trial].count += 1
        result = results.get(metric.name)
        if result is None:
            is_complete = False
            continue
        verdict = _verdict(metric, result, ends=ends)
        if verdict.phase != result.phase:
            if verdict.phase in names.COMPLETED_RUN_PHASES:
                events.append(completion_event("Metric", f"Metric '{metric.name}' Completed.", verdict.phase))
            last = result.measurements[-1].message if result.measurements else ""
            result = msgspec.structs.replace(result, phase=verdict.phase, message=last)
        if verdict.phase not in names.COMPLETED_RUN_PHASES:
            is_complete = False
        elif is_trial:
            summaries[True].add(verdict.phase)
            worst = worst or names.RUN_SUCCESSFUL
            if verdict.limit:
                result = msgspec.structs.replace(
                    result, message=f"Metric assessed {verdict.phase} due to {verdict.limit}"
                )
        else:
            summaries[False].add(verdict.phase)
            if not worst or _is_worse(verdict.phase, worst):
                worst = verdict.phase
                if verdict.limit:
                    message = f'Metric "{metric.name}" assessed {verdict.phase} due to {verdict.limit}'
                    if result.message:
                        message += f': "Error Message: {result.message}"'
        results[metric.name] = result
    phase, message = _ending(worst, message.strip(), ends=ends, is_complete=is_complete)
    status = msgspec.structs.replace(
        run.status,
        metric_results=tuple(results[metric.name] for metric in metrics if metric.name in results),
        run_summary=summaries[False].frozen(),
        dry_run_summary=summaries[True].frozen(),
        started_at=run.status.started_at or whole_seconds(now),
    )
    return _with_phase(status, phase, message, events, now)


def _is_worse(phase: str, other: str) -> bool:
    order = names.RUN_PHASES_BEST_FIRST
    return order.index(phase) > order.index(other)


def _ending(worst: str, message: str, *, ends: bool, is_complete: bool) -> tuple[str, str]:
    """Return phase and message of the run."""
    if ends:
        return worst or names.RUN_SUCCESSFUL, message
    return (worst, message) if is_complete and worst else (names.RUN_RUNNING, "")


def _with_phase(status: AnalysisRunStatus, phase: str, message: str, events: list[Event], now: datetime) -> Assessment:
    if phase == status.phase:
        return Assessment(status, tuple(events))
    completed_at = status.completed_at
    if phase in names.COMPLETED_RUN_PHASES:
        events.append(completion_event(names.EVENT_ANALYSIS_RUN_PREFIX, "Analysis Completed.", phase))
        completed_at = completed_at or whole_seconds(now)
    status = msgspec.structs.replace(status, phase=phase, message=message, completed_at=completed_at)
    return Assessment(status, tuple(events))


def completion_event(prefix: str, what: str, phase: str) -> Event:
    """Return the event that a metric or a run has ended in `phase`."""
    is_bad = phase in (names.RUN_FAILED, names.RUN_ERROR)
    return Event(f"{prefix}{phase}", f"{what} Result: {phase}", "Warning" if is_bad else "Normal")


class _Summary:
    """Counts how completed metrics have ended."""

    def __init__(self) -> None:
        self.count = 0
        self._ended: dict[str, int] = {}

    def add(self, phase: str) -> None:
        self._ended[phase] = self._ended.get(phase, 0) + 1

    def frozen(self) -> RunSummary:
        return RunSummary(
            count=self.count,
            successful=self._ended.get(names.RUN_SUCCESSFUL, 0),
            failed=self._ended.get(names.RUN_FAILED, 0),
            inconclusive=self._ended.get(names.RUN_INCONCLUSIVE, 0),
            error=self._ended.get(names.RUN_ERROR, 0),
        )
