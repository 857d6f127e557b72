"""The phase of an Experiment and its conditions: what its templates and its analyses come to.

A template that fails counts for more than an analysis, and any analysis that fails ends the Experiment. Required ones
end it early when all of them are successful, and hold up its end otherwise.
"""

from typing import NamedTuple

import msgspec

from prograde.api import names
from prograde.api.experiment import ExperimentStatus
from prograde.api.meta import Condition
from prograde.core.experiment.context import ExperimentContext
from prograde.core.rollout.conditions import condition, put_condition, remove_condition, set_condition

__all__ = ["assessed", "invalid", "with_conditions"]

replace = msgspec.structs.replace


class _Verdict(NamedTuple):
    phase: str
    message: str = ""


_TEMPLATES_BEST_FIRST = (
    names.TEMPLATE_SUCCESSFUL,
    names.TEMPLATE_RUNNING,
    names.TEMPLATE_PROGRESSING,
    names.TEMPLATE_ERROR,
    names.TEMPLATE_FAILED,
)
_OPEN = (names.RUN_PENDING, names.RUN_RUNNING)
_FAILED = (names.RUN_FAILED, names.RUN_ERROR)


def assessed(context: ExperimentContext, status: ExperimentStatus) -> ExperimentStatus:
    """Return `status`, the new one of the templates and analyses, with its phase, message and `available_at`."""
    if status.phase and status.phase not in _OPEN:
        return status
    if not status.phase:
        return replace(status, phase=names.RUN_PENDING)
    templates, analyses = _templates(context, status), _analyses(context, status)
    if templates.phase == names.RUN_RUNNING and status.available_at is None:
        status = replace(status, available_at=context.stamp)
    verdict = _chosen(context, status, templates, analyses)
    return replace(status, phase=verdict.phase, message=verdict.message)


def _chosen(context: ExperimentContext, status: ExperimentStatus, templates: _Verdict, analyses: _Verdict) -> _Verdict:
    if templates.phase in _FAILED:
        return templates
    if templates.phase == names.RUN_SUCCESSFUL:
        has_required = any(each.required_for_completion for each in context.spec.analyses)
        return templates if analyses.phase == names.RUN_RUNNING and not has_required else analyses
    if analyses.phase in (*_FAILED, names.RUN_INCONCLUSIVE) or _are_required_successful(context, status):
        return analyses
    return templates


def _templates(context: ExperimentContext, status: ExperimentStatus) -> _Verdict:
    """Return what the worst template of the spec makes of the Experiment."""
    entries = {each.name: each for each in status.template_statuses}
    found = [
        _Verdict(entry.status or names.TEMPLATE_PROGRESSING, entry.message)
        if (entry := entries.get(template.name)) is not None
        else _Verdict(names.TEMPLATE_PROGRESSING)
        for template in context.templates
    ]
    worst = _worst(found, _TEMPLATES_BEST_FIRST)
    return _Verdict(names.RUN_PENDING, worst.message) if worst.phase == names.TEMPLATE_PROGRESSING else worst


def _analyses(context: ExperimentContext, status: ExperimentStatus) -> _Verdict:
    """Return what the worst analysis of the spec makes of the Experiment; one without phase is fine."""
    entries = {each.name: each for each in status.analysis_runs}
    found = [
        _Verdict(entry.phase or names.RUN_SUCCESSFUL, entry.message)
        for analysis in context.spec.analyses
        if (entry := entries.get(analysis.name)) is not None
    ]
    worst = _worst(found, names.RUN_PHASES_BEST_FIRST)
    if worst.phase == names.RUN_SUCCESSFUL and _are_required_successful(context, status):
        return _Verdict(names.RUN_SUCCESSFUL, "Required AnalysisRuns completed")
    return _Verdict(names.RUN_RUNNING, worst.message) if worst.phase == names.RUN_PENDING else worst


def _worst(found: list[_Verdict], best_first: tuple[str, ...]) -> _Verdict:
    """Return the first of the worst; success without message if there is none at all."""
    # A word that nobody knows is no reason to stop.
    known = [each for each in found if each.phase in best_first]
    return max(known, key=lambda each: best_first.index(each.phase), default=_Verdict(names.RUN_SUCCESSFUL))


def _are_required_successful(context: ExperimentContext, status: ExperimentStatus) -> bool:
    """Tell whether any analysis is required, and all that are have been successful."""
    phases = {each.name: each.phase for each in status.analysis_runs}
    required = [phases.get(each.name) for each in context.spec.analyses if each.required_for_completion]
    return bool(required) and all(phase == names.RUN_SUCCESSFUL for phase in required)


# ---- Conditions -------------------------------------------------------------------------------------------------


def invalid(context: ExperimentContext, conditions: tuple[Condition, ...], message: str) -> tuple[Condition, ...]:
    """Return the conditions with the one that says why the spec is invalid; what they say otherwise stays."""
    present = next((each for each in conditions if each.type == names.CONDITION_INVALID_SPEC), None)
    if present is not None and present.message == message:
        return conditions
    kind, reason = names.CONDITION_INVALID_SPEC, names.REASON_INVALID_SPEC
    new = condition(kind, names.CONDITION_TRUE, reason, message, context.stamp)
    return (*remove_condition(conditions, kind), new)


def with_conditions(context: ExperimentContext, status: ExperimentStatus) -> ExperimentStatus:
    """Return the new status with its conditions."""
    conditions, name = status.conditions, context.experiment.metadata.name
    if context.is_valid:
        conditions = remove_condition(conditions, names.CONDITION_INVALID_SPEC)

    def progressing(truth: str, reason: str, message: str) -> Condition:
        return condition(names.CONDITION_PROGRESSING, truth, reason, message, context.stamp)

    if status.phase == names.RUN_SUCCESSFUL:
        text = f'Experiment "{name}" has successfully ran and completed.'
        new = progressing(names.CONDITION_FALSE, names.REASON_EXPERIMENT_COMPLETED, text)
        conditions = set_condition(conditions, new)
    elif _has_progressed(context.status, status):
        text = f'Experiment "{name}" is progressing.'
        new = progressing(names.CONDITION_TRUE, names.REASON_REPLICA_SET_UPDATED, text)
        conditions = put_condition(conditions, new)
    elif context.status.available_at is not None and not context.is_duration_over:
        text = f'Experiment "{name}" is running.'
        new = progressing(names.CONDITION_TRUE, names.REASON_NEW_REPLICA_SET_AVAILABLE, text)
        conditions = set_condition(conditions, new)
    return replace(status, conditions=conditions)


def _has_progressed(old: ExperimentStatus, new: ExperimentStatus) -> bool:
    """Tell whether there are more templates than before, or any of their pods have come or gone."""
    before = {each.name: each for each in old.template_statuses}
    if len(new.template_statuses) > len(before):
        return True
    counts = ("replicas", "updated_replicas", "ready_replicas", "available_replicas")
    return any(
        getattr(each, count) != getattr(before[each.name], count)
        for each in new.template_statuses
        if each.name in before
        for count in counts
    )
