"""Decide about one Experiment: `plan_experiment` turns a snapshot into a plan.

    Pending ──all templates available for the first time──▶ Running ──▶ Successful, Failed, Error or Inconclusive

The first time that all templates are available begins the duration and the analyses. A finished Experiment never
changes its phase again, but is looked after until its pods and Services are gone.

What a pass finds out counts from the next one on: analyses begin in the pass after the one that found the templates
available, pods go in the pass after the one that found the Experiment over.
"""

from datetime import datetime

import msgspec

from prograde.api import names
from prograde.api.experiment import ExperimentAnalysisRunStatus, ExperimentStatus, ExperimentTemplateStatus
from prograde.api.jsonvalues import merge_patch_between
from prograde.api.scalars import format_time
from prograde.api.validation.runs import experiment_error
from prograde.core.experiment import analyses, templates
from prograde.core.experiment.context import Ambiguous, Draft, ExperimentContext, is_terminating, make_context
from prograde.core.experiment.phase import assessed, invalid, with_conditions
from prograde.core.experiment.snapshot import ExperimentSnapshot
from prograde.core.plan import JsonObject, Plan, Wait, WaitReason

__all__ = ["plan_experiment", "status_patch"]

replace = msgspec.structs.replace


def plan_experiment(snapshot: ExperimentSnapshot, now: datetime) -> Plan[ExperimentStatus]:
    """Decide what to do about an Experiment at `now`."""
    experiment = snapshot.experiment
    if experiment.metadata.deletion_timestamp is not None:
        return Plan()
    error = experiment_error(experiment)
    try:
        context = make_context(snapshot, now, is_valid=error is None)
    except Ambiguous as err:
        return Plan(error=str(err))
    if error is not None and not experiment.spec.terminate:
        return _plan_invalid(context, error)
    if missing := analyses.missing(context):
        return Plan(wants_runs=missing)
    draft = Draft()
    status = replace(
        context.status,
        template_statuses=_template_statuses(context, draft),
        analysis_runs=_analysis_statuses(context, draft),
    )
    status = with_conditions(context, assessed(context, status))
    if error is not None:
        status = replace(status, conditions=invalid(context, status.conditions, error))
    _announce(draft, experiment.status, status)
    _wait_for_end(context, draft, status)
    return Plan(
        groups=draft.groups,
        status=status if status != experiment.status else None,
        events=tuple(draft.events),
        waits=tuple(sorted(draft.waits, key=lambda wait: list(WaitReason).index(wait.reason))),
        requeue_at=_requeue_at(context, draft, status),
    )


def status_patch(old: ExperimentStatus, new: ExperimentStatus) -> JsonObject:
    """Return the merge patch of the status that turns `old` into `new`; empty if they are equal."""
    before, after = (msgspec.json.decode(msgspec.json.encode(each), type=dict) for each in (old, new))
    patch: JsonObject = merge_patch_between(before, after)
    return patch


def _plan_invalid(context: ExperimentContext, error: str) -> Plan[ExperimentStatus]:
    """Say what is wrong; whatever runs goes on as it is."""
    stored = context.experiment.status
    status = replace(stored, conditions=invalid(context, stored.conditions, error))
    wait = Wait(
        reason=WaitReason.INVALID_SPEC,
        message=f"the spec is invalid: {error}",
        object=f"Experiment {context.experiment.metadata.name}",
        field="spec",
        remedy="change the spec, or set spec.terminate",
    )
    return Plan(status=status if status != stored else None, waits=(wait,))


def _template_statuses(context: ExperimentContext, draft: Draft) -> tuple[ExperimentTemplateStatus, ...]:
    """Return the new entries: known ones in their places, new ones at the end in the order of the spec."""
    decided = {each.name: templates.decide(context, draft, each) for each in context.templates}
    entries: dict[str, ExperimentTemplateStatus] = {}
    for stored in context.status.template_statuses:
        entry = decided.get(stored.name) or templates.decide_abandoned(context, draft, stored)
        if entry is not None:
            entries[stored.name] = entry
    return tuple({**entries, **decided}.values())


def _analysis_statuses(context: ExperimentContext, draft: Draft) -> tuple[ExperimentAnalysisRunStatus, ...]:
    decided = {each.name: analyses.decide(context, draft, each) for each in context.spec.analyses}
    analyses.terminate_abandoned(context, draft)
    stored = {each.name: each for each in context.status.analysis_runs}
    return tuple({**stored, **decided}.values())


def _announce(draft: Draft, old: ExperimentStatus, new: ExperimentStatus) -> None:
    if old.phase != new.phase:
        draft.record(
            f"{names.EVENT_EXPERIMENT_PREFIX}{new.phase}",
            f"Experiment transitioned from {old.phase} -> {new.phase}",
            is_warning=new.phase in (names.RUN_FAILED, names.RUN_ERROR, names.RUN_INCONCLUSIVE),
        )


def _requeue_at(context: ExperimentContext, draft: Draft, status: ExperimentStatus) -> datetime | None:
    """Return when to look again: at the end of the duration, a deadline or a delay, whichever comes first."""
    due = list(draft.due)
    if not is_terminating(context.spec, status):
        if context.ends_at is not None and not context.is_duration_over:
            due.append(context.ends_at)
        open_statuses = (names.TEMPLATE_PROGRESSING, names.TEMPLATE_RUNNING)
        wanted = {each.name: context.desired(each) for each in context.templates}
        for entry in status.template_statuses:
            desired = wanted.get(entry.name, 0)
            is_short = desired > 0 and entry.available_replicas != desired
            if is_short and entry.status in open_statuses and entry.last_transition_time is not None:
                due.append(entry.last_transition_time + context.progress_deadline)
    return min(due, default=None)


def _wait_for_end(context: ExperimentContext, draft: Draft, status: ExperimentStatus) -> None:
    """Say what a running Experiment waits for when nothing is amiss."""
    if status.phase != names.RUN_RUNNING or context.is_terminating:
        return
    ends_at, name = context.ends_at, context.experiment.metadata.name
    has_required = any(each.required_for_completion for each in context.spec.analyses)
    if ends_at is None and has_required:
        return
    until = "until it is terminated, for it has no duration" if ends_at is None else f"until {format_time(ends_at)}"
    draft.waits.append(
        Wait(
            reason=WaitReason.EXPERIMENT,
            message=f"the experiment runs {until}",
            object=f"Experiment {name}",
            field="spec.duration",
            since=status.available_at,
            until=ends_at,
            remedy=f"to end it now: prograde terminate experiment {name}",
        )
    )
