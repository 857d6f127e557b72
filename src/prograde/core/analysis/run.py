"""What an AnalysisRun does next. Start reading here.

    plan_run      completed?   then only its time to live counts
                  arguments, metrics and rules in order?   if not, the run ends in Error
                  what is due?   tasks for the providers, after the Secrets have been read
                  nothing due?   the assessment, and when to look again
    fold          the providers' answers into the status, then the same assessment

Measuring is I/O and happens between the two, in `controller`; a status never shows a measurement before its provider
has answered. Both functions can be asked again at any time with what the cluster holds.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, AnalysisRunStatus, Measurement, Metric, MetricResult, SecretKeyRef
from prograde.api.scalars import whole_seconds
from prograde.core.analysis.arguments import (
    Secrets,
    UnresolvedArguments,
    argument_values,
    redacted,
    resolve_metrics,
    secret_references,
)
from prograde.core.analysis.assess import assess, completion_event, count_measurement
from prograde.core.analysis.prepared import Prepared, prepare
from prograde.core.analysis.schedule import Operation, Task, due_tasks, is_terminating, next_look, taken
from prograde.core.plan import Event

__all__ = ["AnalysisPlan", "AnalysisSnapshot", "Outcome", "Trim", "fold", "plan_run"]


class AnalysisSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One run, and the Secrets that its arguments refer to, if they have been read."""

    run: AnalysisRun
    secrets: Secrets | None = None
    """None: not read. A plan that needs them asks for them."""
    missing_secret: str = ""
    """Why a Secret cannot be used: it does not exist, or lacks the key. A transient failure to read it is none."""
    ended_jobs: frozenset[str] = frozenset()
    """The Jobs of the run that are known to have ended, by name."""


class Trim(msgspec.Struct, frozen=True):
    """A metric of which only the newest `limit` measurements are kept; its provider may have more to clean up."""

    metric: Metric
    limit: int


class AnalysisPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about one run now."""

    wants_secrets: tuple[SecretKeyRef, ...] = ()
    """Read these and plan again; nothing else is set."""
    tasks: tuple[Task, ...] = ()
    """Have these measured, all together, and fold the answers; nothing else is set."""
    status: AnalysisRunStatus | None = None
    """The complete new status; None when the persisted one is right as it is."""
    events: tuple[Event, ...] = ()
    trims: tuple[Trim, ...] = ()
    deletes: bool = False
    """The run has outlived its time."""
    requeue_at: datetime | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider has answered to a task."""

    measurement: Measurement
    metadata: Mapping[str, str] = {}
    """About the metric itself, for instance the query; kept from the first answer on."""


def plan_run(snapshot: AnalysisSnapshot, now: datetime) -> AnalysisPlan:
    """Decide what to do about a run."""
    run = snapshot.run
    if run.metadata.deletion_timestamp is not None:
        return AnalysisPlan()
    if run.status.phase in names.COMPLETED_RUN_PHASES:
        return _time_to_live(run, now)
    prepared = prepare(run.spec)
    if prepared.error:
        return _failed(run, prepared.error, now)
    tasks = due_tasks(run, prepared.metrics, now, snapshot.ended_jobs)
    if not tasks:
        return _assessed(run, prepared, now, ends=is_terminating(run))
    references = secret_references(run.spec.args)
    if snapshot.missing_secret:
        return _failed(run, f"Unable to resolve metric arguments: {snapshot.missing_secret}", now)
    if references and snapshot.secrets is None:
        return AnalysisPlan(wants_secrets=references)
    if not references:
        return AnalysisPlan(tasks=tasks)
    try:
        filled = _with_secrets(run, prepared, tasks, snapshot.secrets or {})
    except UnresolvedArguments as err:
        return _failed(run, f"Unable to resolve metric arguments: {err}", now)
    return AnalysisPlan(tasks=filled)


def fold(
    run: AnalysisRun, tasks: Sequence[Task], outcomes: Sequence[Outcome], secrets: Secrets, now: datetime
) -> AnalysisPlan:
    """Take the answers to `tasks`, in their order, into the run.

    `run` is as the cluster holds it now; it may have changed since the tasks were handed out. An answer to a metric
    that has gone on without it, which a second controller could have caused, is dropped. A run that was told to end
    meanwhile goes on as long as something has just been left in flight, so that the next pass stops it.
    """
    if run.status.phase in names.COMPLETED_RUN_PHASES or run.metadata.deletion_timestamp is not None:
        return AnalysisPlan()
    prepared = prepare(run.spec)
    if prepared.error:
        return _failed(run, prepared.error, now)
    results = {each.name: each for each in run.status.metric_results}
    for task, outcome in zip(tasks, outcomes, strict=True):
        result = results.get(task.metric.name) or MetricResult(
            name=task.metric.name,
            phase=names.RUN_RUNNING,
            dry_run=task.metric.name in prepared.dry_run,
            metadata={key: redacted(text, secrets) for key, text in outcome.metadata.items()},
        )
        results[task.metric.name] = _with_measurement(result, task, outcome.measurement, secrets, now)
    ordered = tuple(results[metric.name] for metric in prepared.metrics if metric.name in results)
    changed = msgspec.structs.replace(run, status=msgspec.structs.replace(run.status, metric_results=ordered))
    ends = is_terminating(run)
    is_left_running = any(
        task.operation is not Operation.TERMINATE and outcome.measurement.phase not in names.COMPLETED_RUN_PHASES
        for task, outcome in zip(tasks, outcomes, strict=True)
    )
    if ends and is_left_running:
        plan = _assessed(changed, prepared, now, ends=False, before=run.status)
        return msgspec.structs.replace(plan, requeue_at=now)
    return _assessed(changed, prepared, now, ends=ends, before=run.status)


# ---- The parts ------------------------------------------------------------------------------------------------------


def _with_secrets(run: AnalysisRun, prepared: Prepared, tasks: Sequence[Task], secrets: Secrets) -> tuple[Task, ...]:
    """Return the tasks with the metrics that are really measured."""
    real = resolve_metrics(run.spec.metrics, argument_values(run.spec.args, secrets))
    by_name = {decided.name: metric for decided, metric in zip(prepared.metrics, real, strict=True)}
    return tuple(msgspec.structs.replace(task, metric=by_name[task.metric.name]) for task in tasks)


def _with_measurement(
    result: MetricResult, task: Task, measurement: Measurement, secrets: Secrets, now: datetime
) -> MetricResult:
    last = result.measurements[-1] if result.measurements else None
    is_in_flight = last is not None and last.finished_at is None
    if (task.operation is Operation.RUN) == is_in_flight or task.taken != taken(result):
        return result
    is_completed = measurement.phase in names.COMPLETED_RUN_PHASES
    message = measurement.message
    if task.operation is Operation.TERMINATE and measurement.phase in (names.RUN_SUCCESSFUL, names.RUN_INCONCLUSIVE):
        message = "Metric Terminated"
    measurement = msgspec.structs.replace(
        measurement,
        message=redacted(message, secrets),
        value=redacted(measurement.value, secrets),
        metadata={key: redacted(text, secrets) for key, text in measurement.metadata.items()},
        finished_at=(measurement.finished_at or whole_seconds(now)) if is_completed else None,
    )
    if is_completed:
        result = count_measurement(result, measurement)
    kept = result.measurements[:-1] if is_in_flight else result.measurements
    return msgspec.structs.replace(result, measurements=(*kept, measurement))


def _assessed(
    run: AnalysisRun, prepared: Prepared, now: datetime, *, ends: bool, before: AnalysisRunStatus | None = None
) -> AnalysisPlan:
    assessment = assess(run, prepared.metrics, prepared.dry_run, now, ends=ends)
    status, trims = _trimmed(prepared, assessment.status)
    changed = msgspec.structs.replace(run, status=status)
    is_over = status.phase in names.COMPLETED_RUN_PHASES
    requeue_at = _time_to_live(changed, now).requeue_at if is_over else next_look(changed, prepared.metrics, now)
    return AnalysisPlan(
        status=status if status != (before or run.status) else None,
        events=assessment.events,
        trims=trims,
        requeue_at=requeue_at,
    )


def _trimmed(prepared: Prepared, status: AnalysisRunStatus) -> tuple[AnalysisRunStatus, tuple[Trim, ...]]:
    """Keep the newest measurements only; the counters know of all."""
    trims, results = [], []
    by_name = {metric.name: metric for metric in prepared.metrics}
    for result in status.metric_results:
        limit = prepared.kept[result.name]
        if len(result.measurements) > limit:
            trims.append(Trim(by_name[result.name], limit))
            result = msgspec.structs.replace(result, measurements=result.measurements[-limit:])
        results.append(result)
    return msgspec.structs.replace(status, metric_results=tuple(results)), tuple(trims)


def _failed(run: AnalysisRun, message: str, now: datetime) -> AnalysisPlan:
    status = msgspec.structs.replace(
        run.status,
        phase=names.RUN_ERROR,
        message=message,
        completed_at=run.status.completed_at or whole_seconds(now),
    )
    event = completion_event(names.EVENT_ANALYSIS_RUN_PREFIX, "Analysis Completed.", names.RUN_ERROR)
    changed = msgspec.structs.replace(run, status=status)
    return AnalysisPlan(status=status, events=(event,), requeue_at=_time_to_live(changed, now).requeue_at)


def _time_to_live(run: AnalysisRun, now: datetime) -> AnalysisPlan:
    """Decide whether a completed run has to go."""
    strategy, completed_at = run.spec.ttl_strategy, run.status.completed_at
    if strategy is None or completed_at is None:
        return AnalysisPlan()
    seconds = {
        names.RUN_SUCCESSFUL: strategy.seconds_after_success,
        names.RUN_FAILED: strategy.seconds_after_failure,
    }.get(run.status.phase)
    if seconds is None:
        seconds = strategy.seconds_after_completion
    if seconds is None:
        return AnalysisPlan()
    # Whole seconds have to have passed, and one more: "after" is meant strictly.
    expires_at = completed_at + timedelta(seconds=seconds + 1)
    return AnalysisPlan(deletes=True) if now >= expires_at else AnalysisPlan(requeue_at=expires_at)
