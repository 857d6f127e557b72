"""Specs of AnalysisRuns and Experiments. Both report one error only, as text: the first."""

from collections.abc import Callable

from prograde.api import defaults
from prograde.api.analysis import AnalysisRunSpec, Metric, MetricProvider
from prograde.api.experiment import Experiment
from prograde.api.meta import LabelSelector
from prograde.api.scalars import InvalidDuration, integer_value, parse_duration_nanoseconds

__all__ = ["analysis_run_error", "experiment_error", "provider_count"]


# --- AnalysisRun ----------------------------------------------------------------------------------------------


Selects = Callable[[str, str], bool]
"""Tells whether the regular expression of a rule is found in the name of a metric."""


def analysis_run_error(spec: AnalysisRunSpec, selects: Selects) -> str | None:
    """Return what is wrong with the spec of a run whose arguments have been resolved, None for a valid one.

    The phase of the run then is Error, and its message ``Analysis spec invalid: <error>``.
    """
    if not spec.metrics:
        return "no metrics specified"
    names: set[str] = set()
    for index, metric in enumerate(spec.metrics):
        if metric.name in names:
            return f"metrics[{index}]: duplicate name '{metric.name}'"
        names.add(metric.name)
        if error := _metric_error(metric):
            return f"metrics[{index}]: {error}"
    rules = {
        "dryRun": [rule.metric_name for rule in spec.dry_run],
        "measurementRetention": [rule.metric_name for rule in spec.measurement_retention],
    }
    for field, patterns in rules.items():
        for index, pattern in enumerate(patterns):
            if not any(selects(pattern, name) for name in names):
                return f"{field}[{index}]: Rule didn't match any metric name(s)"
    return None


def _metric_error(metric: Metric) -> str | None:
    count = integer_value(metric.count)
    failure_limit = integer_value(metric.failure_limit)
    success_limit = integer_value(metric.consecutive_success_limit)
    inconclusive_limit = integer_value(metric.inconclusive_limit)
    if success_limit < 0:
        return "consecutiveSuccessLimit must be >= 0"
    if failure_limit < -1:
        return "failureLimit must be >= 0, or -1 to be disabled"
    if failure_limit == -1 and success_limit == 0:
        return "failureLimit and consecutiveSuccessLimit cannot both be disabled"
    if inconclusive_limit < 0:
        return "inconclusiveLimit must be >= 0"
    if integer_value(metric.consecutive_error_limit) < 0:
        return "consecutiveErrorLimit must be >= 0"
    if count > 0:
        if failure_limit >= 0 and count < failure_limit + success_limit:
            return (
                f"count ({count}) must be >= failureLimit + consecutiveSuccessLimit "
                f"({failure_limit} + {success_limit}) if both >= 0"
            )
        if failure_limit < 0 and count < success_limit:
            return "count must be >= consecutiveSuccessLimit"
        if count < inconclusive_limit:
            return "count must be >= inconclusiveLimit"
    if count > 1 and not metric.interval:
        return "interval must be specified when count > 1"
    return (
        _duration_error(metric.interval, "invalid interval string")
        or _duration_error(metric.initial_delay, "invalid startDelay string")
        or _provider_error(metric.provider)
    )


def _duration_error(text: str, what: str) -> str | None:
    if text:
        try:
            parse_duration_nanoseconds(text)
        except InvalidDuration as err:
            return f"{what}: {err}"
    return None


def _provider_error(provider: MetricProvider) -> str | None:
    count = provider_count(provider)
    if count == 0:
        return "no provider specified"
    return "multiple providers specified" if count > 1 else None


def provider_count(provider: MetricProvider) -> int:
    """Return how many providers a metric has; every plugin is one."""
    members = (getattr(provider, name) for name in provider.__struct_fields__ if name != "plugin")
    return sum(member is not None for member in members) + len(provider.plugin)


# --- Experiment -----------------------------------------------------------------------------------------------


def experiment_error(experiment: Experiment) -> str | None:
    """Return what is wrong with the spec of an Experiment, None for a valid one; for its InvalidSpec condition."""
    deadline = defaults.effective_progress_deadline_seconds(experiment.spec)
    names: set[str] = set()
    for index, template in enumerate(experiment.spec.templates):
        if template.selector is None:
            # Experiments say "Rollout" here; tools match the text.
            return f"Rollout has missing field '.Spec.Templates[{index}].Selector'"
        if template.selector == LabelSelector():
            return f"This experiment is selecting all pods at index {index}. A non-empty selector is required."
        if template.min_ready_seconds > deadline:
            return f"MinReadySeconds cannot be longer than ProgressDeadlineSeconds. Check template index {index}"
        if not template.name:
            return f"Experiment {experiment.metadata.name} has empty template name at index {index}"
        if template.name in names:
            return f"Experiment {experiment.metadata.name} has repeated template name '{template.name}' in templates"
        names.add(template.name)
    # One that cannot be read would never be over.
    return _duration_error(experiment.spec.duration, "invalid duration string")
