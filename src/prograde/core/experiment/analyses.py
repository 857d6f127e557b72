"""Analyses of an Experiment: an AnalysisRun each, begun when all templates are available, and what has come of it.

Until then it is only checked that the templates exist, so that a spelling mistake costs no pods. An Experiment that is
wound up starts no runs and stops those under way, but goes on looking at them: it ends with what they say. (In Argo
Rollouts it looks away, and so may never end.)
"""

from collections.abc import Iterable

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, AnalysisRunSpec, AnalysisTemplateRef, Argument
from prograde.api.analysistemplates import (
    InvalidTemplates,
    TemplateNotFound,
    collect_templates,
    flatten_templates,
    merge_into_run_spec,
)
from prograde.api.codec import to_json
from prograde.api.experiment import ExperimentAnalysis, ExperimentAnalysisRunStatus
from prograde.api.jsonvalues import json_equal
from prograde.api.meta import ObjectMeta, controller_reference, is_controlled_by
from prograde.api.placeholders import UnresolvedPlaceholder, substitute
from prograde.api.scalars import format_time
from prograde.core.experiment.context import Draft, ExperimentContext, duration_of
from prograde.core.plan import CreateAnalysisRun, Event, RunRef, TerminateAnalysisRun, Wait, WaitReason
from prograde.core.rollout.replicasets import hash_of
from prograde.core.rollout.runs import free_name

__all__ = ["concerns_owner", "decide", "missing", "terminate_abandoned"]

replace = msgspec.structs.replace


def missing(context: ExperimentContext) -> tuple[RunRef, ...]:
    """Return the unfinished runs that the status records and nobody has looked for, though the snapshot lacks them."""
    snapshot = context.snapshot
    known = {run.metadata.name for run in snapshot.analysis_runs}
    wanted = (
        RunRef("AnalysisRun", entry.analysis_run)
        for entry in context.status.analysis_runs
        if entry.analysis_run and entry.analysis_run not in known and entry.phase not in names.COMPLETED_RUN_PHASES
    )
    return tuple(each for each in dict.fromkeys(wanted) if each not in snapshot.looked_up)


def concerns_owner(event: Event) -> bool:
    """Tell whether the Rollout that an Experiment belongs to is told as well: its users have subscribed to that."""
    prefix = names.EVENT_ANALYSIS_RUN_PREFIX
    return event.reason.startswith(prefix) and event.reason != names.EVENT_ANALYSIS_RUN_TERMINATING


def decide(context: ExperimentContext, draft: Draft, analysis: ExperimentAnalysis) -> ExperimentAnalysisRunStatus:
    """Begin, follow or stop the run of an analysis, and return its new status."""
    stored = context.analysis_status(analysis.name)
    status = stored if stored is not None else ExperimentAnalysisRunStatus(name=analysis.name)
    if context.status.phase not in names.COMPLETED_RUN_PHASES or status.analysis_run:
        status = _decided(context, draft, analysis, status)
    if status.phase and (stored is None or status.phase != stored.phase):
        before = stored.phase if stored is not None else ""
        text = f"AnalysisRun '{analysis.name}' transitioned from {before} -> {status.phase}"
        draft.record(
            f"{names.EVENT_ANALYSIS_RUN_PREFIX}{status.phase}",
            f"{text}: {status.message}" if status.message else text,
            is_warning=status.phase in (names.RUN_FAILED, names.RUN_ERROR, names.RUN_INCONCLUSIVE),
        )
    if analysis.required_for_completion and status.phase in (names.RUN_PENDING, names.RUN_RUNNING):
        message = f"analysis {analysis.name} has to end first, its AnalysisRun {status.analysis_run} is {status.phase}"
        draft.waits.append(
            Wait(
                reason=WaitReason.ANALYSIS,
                message=message,
                object=f"AnalysisRun {status.analysis_run}",
                field="status.phase",
            )
        )
    return status


def terminate_abandoned(context: ExperimentContext, draft: Draft) -> None:
    """Stop the runs of analyses that the spec no longer names."""
    in_spec = {each.name for each in context.spec.analyses}
    left = {each.analysis_run for each in context.status.analysis_runs if each.name not in in_spec}
    for run in context.snapshot.analysis_runs:
        if run.metadata.name in left:
            _terminate(draft, run)


def _decided(
    context: ExperimentContext, draft: Draft, analysis: ExperimentAnalysis, status: ExperimentAnalysisRunStatus
) -> ExperimentAnalysisRunStatus:
    if context.status.available_at is None:
        return _verified(context, analysis, status)
    if not status.analysis_run:
        return status if context.is_terminating else _begun(context, draft, analysis, status)
    if status.phase in names.COMPLETED_RUN_PHASES:
        return status
    run = next((each for each in context.snapshot.analysis_runs if each.metadata.name == status.analysis_run), None)
    if run is None:
        message = f'analysisruns.argoproj.io "{status.analysis_run}" not found'
        return replace(status, phase=names.RUN_ERROR, message=message)
    if context.is_terminating:
        _terminate(draft, run, f"Terminating {analysis.name} ({run.metadata.name})")
    # Without a phase it has only not been begun, which must not look like being over.
    return replace(status, phase=run.status.phase or names.RUN_PENDING, message=run.status.message)


def _verified(
    context: ExperimentContext, analysis: ExperimentAnalysis, status: ExperimentAnalysisRunStatus
) -> ExperimentAnalysisRunStatus:
    """Check that the template itself exists; those that it refers to are looked for when the run begins."""
    snapshot, name = context.snapshot, analysis.template_name
    if name in (snapshot.cluster_analysis_templates if analysis.cluster_scope else snapshot.analysis_templates):
        return status
    kind = names.CLUSTER_ANALYSIS_TEMPLATE if analysis.cluster_scope else names.ANALYSIS_TEMPLATE
    message = f"{kind} verification failed for analysis '{analysis.name}': {_not_found(kind, name)}"
    return replace(status, phase=names.RUN_ERROR, message=message)


def _terminate(draft: Draft, run: AnalysisRun, text: str = "") -> None:
    if run.status.phase in names.COMPLETED_RUN_PHASES or run.spec.terminate:
        return
    events = (Event(names.EVENT_ANALYSIS_RUN_TERMINATING, text),) if text else ()
    draft.runs.append(TerminateAnalysisRun(name=run.metadata.name, events=events))


# ---- A new run --------------------------------------------------------------------------------------------------


def _begun(
    context: ExperimentContext, draft: Draft, analysis: ExperimentAnalysis, status: ExperimentAnalysisRunStatus
) -> ExperimentAnalysisRunStatus:
    """Create the run, unless an earlier pass has created just this one and could not record it."""
    if status.phase in names.COMPLETED_RUN_PHASES or not context.is_valid:
        return status
    try:
        run, is_new = _run(context, analysis)
    except TemplateNotFound as err:
        kind = names.CLUSTER_ANALYSIS_TEMPLATE if err.is_cluster_scoped else names.ANALYSIS_TEMPLATE
        return _not_begun(analysis, status, _not_found(kind, err.name))
    except (InvalidTemplates, UnresolvedPlaceholder) as err:
        return _not_begun(analysis, status, str(err))
    name = run.metadata.name
    if is_new:
        if (refusal := context.refusal(CreateAnalysisRun, name)) is not None:
            return _not_begun(analysis, status, refusal.message)
        manifest = to_json(run)
        # The CRD asks for the field, even if templates that only refer to others leave it empty.
        manifest["spec"].setdefault("metrics", [])
        draft.runs.append(CreateAnalysisRun(name=name, manifest=manifest))
    return replace(status, analysis_run=name, phase=names.RUN_PENDING)


def _not_begun(
    analysis: ExperimentAnalysis, status: ExperimentAnalysisRunStatus, cause: str
) -> ExperimentAnalysisRunStatus:
    message = f"Failed to create AnalysisRun for analysis '{analysis.name}': {cause}"
    return replace(status, phase=names.RUN_ERROR, message=message)


def _not_found(kind: str, name: str) -> str:
    return f'{kind.lower()}.argoproj.io "{name}" not found'


def _run(context: ExperimentContext, analysis: ExperimentAnalysis) -> tuple[AnalysisRun, bool]:
    """Return the run of an analysis, and whether it is yet to be created.

    Raises:
        TemplateNotFound, InvalidTemplates, UnresolvedPlaceholder: there can be none.
    """
    snapshot, experiment = context.snapshot, context.experiment
    reference = AnalysisTemplateRef(template_name=analysis.template_name, cluster_scope=analysis.cluster_scope)
    collected = collect_templates((reference,), snapshot.analysis_templates, snapshot.cluster_analysis_templates)
    spec = merge_into_run_spec(
        flatten_templates(collected.specs),
        _arguments(context, analysis.args),
        experiment.spec.dry_run,
        experiment.spec.measurement_retention,
    )
    holders = [*snapshot.analysis_runs]
    holders += [each.existing for each in snapshot.refusals if isinstance(each.existing, AnalysisRun)]
    name, found = free_name(
        f"{experiment.metadata.name}-{analysis.name}", ".", holders, lambda run: _is_wanted(context, run, spec)
    )
    if found is not None:
        return found, False
    added = experiment.spec.analysis_run_metadata
    instance = experiment.metadata.labels.get(names.INSTANCE_ID_LABEL)
    metadata = ObjectMeta(
        name=name,
        namespace=experiment.metadata.namespace,
        labels={**({names.INSTANCE_ID_LABEL: instance} if instance else {}), **added.labels},
        annotations=added.annotations,
        owner_references=(controller_reference(experiment),),
    )
    return AnalysisRun(metadata=metadata, spec=spec), True


def _is_wanted(context: ExperimentContext, run: AnalysisRun, spec: AnalysisRunSpec) -> bool:
    """Tell whether a run may be taken for the one that is to be created. One that was told to stop has another spec."""
    return (
        run.status.phase not in names.COMPLETED_RUN_PHASES
        and run.metadata.deletion_timestamp is None
        and is_controlled_by(run, context.experiment.metadata.uid)
        and json_equal(to_json(run.spec), to_json(spec))
    )


def _arguments(context: ExperimentContext, given: Iterable[Argument]) -> tuple[Argument, ...]:
    """Return the arguments with what they say about the Experiment filled in.

    Raises:
        UnresolvedPlaceholder: a value asks for something that there is not.
    """
    values = {}
    for template, replica_set in context.replica_sets.items():
        values[f"templates.{template}.podTemplateHash"] = hash_of(replica_set)
        values[f"templates.{template}.replicaset.name"] = replica_set.metadata.name
    available_at, duration = context.status.available_at, duration_of(context.spec)
    if available_at is not None:
        values["experiment.availableAt"] = format_time(available_at)
        if duration is not None:
            values["experiment.finishedAt"] = format_time(available_at + duration)
    return tuple(each if each.value is None else replace(each, value=substitute(each.value, values)) for each in given)
