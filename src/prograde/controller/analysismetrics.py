"""What ``/metrics`` shows of AnalysisRuns' metrics and of analysis templates, computed from the caches."""

from collections.abc import Iterable
from typing import Final

from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.core.analysis.schedule import result_of
from prograde.providers.registry import type_name_of
from prograde.telemetry.metrics import Family, Sample

__all__ = ["RUN_PHASES", "run_metric_families", "template_families"]

RUN_PHASES: Final = ("Pending", "Error", "Failed", "Successful", "Running", "Inconclusive")


def run_metric_families(runs: tuple[AnalysisRun, ...]) -> Iterable[Family]:
    """Return the type of each metric of each run, and the phase of those that have been measured."""
    types, phases = [], []
    for run in runs:
        owner = (run.metadata.namespace, run.metadata.name)
        for metric in run.spec.metrics:
            about = (*owner, metric.name, type_name_of(metric))
            types.append(Sample(about, 1))
            result = result_of(run, metric.name)
            if result is None:
                continue
            is_dry = "true" if result.dry_run else "false"
            current = result.phase or "Pending"
            phases += [Sample((*about, is_dry, phase), float(phase == current)) for phase in RUN_PHASES]
    labels = ("namespace", "name", "metric", "type")
    yield Family(
        "analysis_run_metric_type",
        "Information on the type of a specific metric in the Analysis Runs.",
        "gauge",
        labels,
        types,
    )
    yield Family(
        "analysis_run_metric_phase",
        "Information on the duration of a specific metric in the Analysis Run",
        "gauge",
        (*labels, "dry_run", "phase"),
        phases,
    )


def template_families(templates: tuple[AnalysisTemplate | ClusterAnalysisTemplate, ...]) -> Iterable[Family]:
    """Return that these templates exist, and what their metrics measure by; cluster templates have no namespace."""
    yield Family(
        "analysis_template_info",
        "Information about analysis templates.",
        "gauge",
        ("namespace", "name"),
        [Sample((each.metadata.namespace, each.metadata.name), 1) for each in templates],
    )
    yield Family(
        "analysis_template_metric_info",
        "Information on metrics in analysis templates.",
        "gauge",
        ("namespace", "name", "type", "metric"),
        [
            Sample((each.metadata.namespace, each.metadata.name, type_name_of(metric), metric.name), 1)
            for each in templates
            for metric in each.spec.metrics
        ],
    )
