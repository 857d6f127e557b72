"""What is kept of a finished run. Thousands of them may lie around, and nobody measures them again.

Rollouts and Experiments read how a run has ended, the time to live reads when, and the figures of the controller which
metrics there were and how each has ended. All that is kept; queries, conditions, arguments and measurements are not.
Outlines of runs of the same template share most of themselves.
"""

from functools import lru_cache
from typing import Final

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, AnalysisRunSpec, Metric, MetricProvider, MetricResult
from prograde.api.meta import NO_RAW

__all__ = ["outlined"]

OUTLINES_KEPT: Final = 4096
"""To share; more different ones than a cluster has templates."""


def outlined(run: AnalysisRun) -> AnalysisRun:
    """Return a finished run without what nobody reads any more, any other run as it is."""
    if run.status.phase not in names.COMPLETED_RUN_PHASES:
        return run
    kinds = tuple((metric.name, _member(metric.provider)) for metric in run.spec.metrics)
    results = tuple((each.name, each.phase, each.dry_run) for each in run.status.metric_results)
    return msgspec.structs.replace(
        run,
        spec=AnalysisRunSpec(metrics=_metrics(kinds), terminate=run.spec.terminate, ttl_strategy=run.spec.ttl_strategy),
        status=msgspec.structs.replace(run.status, metric_results=_results(results)),
    )


def _member(provider: MetricProvider) -> str:
    return next((member for member in provider.__struct_fields__ if getattr(provider, member)), "")


@lru_cache(maxsize=OUTLINES_KEPT)
def _metrics(kinds: tuple[tuple[str, str], ...]) -> tuple[Metric, ...]:
    return tuple(Metric(name=name, provider=_provider(member)) for name, member in kinds)


def _provider(member: str) -> MetricProvider:
    """Return a provider of which only the type can be told."""
    if member in ("", "plugin"):
        return MetricProvider(plugin={member: NO_RAW} if member else {})
    return msgspec.convert({_WIRE_NAMES[member]: {}}, MetricProvider)


_WIRE_NAMES: Final = {field.name: field.encode_name for field in msgspec.structs.fields(MetricProvider)}


@lru_cache(maxsize=OUTLINES_KEPT)
def _results(results: tuple[tuple[str, str, bool], ...]) -> tuple[MetricResult, ...]:
    return tuple(MetricResult(name=name, phase=phase, dry_run=is_dry) for name, phase, is_dry in results)
