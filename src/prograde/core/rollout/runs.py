"""AnalysisRuns and Experiments of a Rollout: which count, what they are called, and what becomes of the rest.

A run is *current* while the status records it: it belongs to this step, or to this gate. All others are left from
somewhere: an attempt that was superseded, a step that is over, another spec. They are stopped, and forgotten when they
are long over. `analysis` and `experiments` say which runs are to be current; what they decide is in the draft, and
`record` brings it into the status of the same pass.

A run that is in the status but not in the snapshot is asked for (`missing`) before anything is decided: the cache may
be behind, after a change of leader for example, and taking a run for gone would start a second one.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from prograde.api import defaults, names
from prograde.api.analysis import AnalysisRun, Argument
from prograde.api.experiment import Experiment
from prograde.api.fieldpaths import resolve_field_path
from prograde.api.meta import is_controlled_by
from prograde.api.rollout import AnalysisArgument, BlueGreenStatus, RolloutAnalysisRunStatus, RolloutStatus
from prograde.core.plan import (
    DeleteAnalysisRun,
    DeleteExperiment,
    Event,
    RunRef,
    TerminateAnalysisRun,
    TerminateExperiment,
)
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.replicasets import hash_of

__all__ = [
    "arguments",
    "base_labels",
    "clean_up",
    "delete_with_revision",
    "forgotten",
    "free_name",
    "is_resumed",
    "is_retry",
    "is_unfinished_and_ours",
    "missing",
    "record",
    "recorded_run",
    "refusal",
    "terminate",
]

Run = TypeVar("Run", AnalysisRun, Experiment)


# ---- Which runs count -------------------------------------------------------------------------------------------


def missing(context: RolloutContext) -> tuple[RunRef, ...]:
    """Return the runs that the status records and nobody has looked for, although the snapshot does not hold them."""
    snapshot, status = context.snapshot, context.status
    if context.is_template_changed or context.are_steps_changed:
        # This pass forgets them all.
        return ()
    entries = (
        status.canary.current_step_analysis_run_status,
        status.canary.current_background_analysis_run_status,
        status.blue_green.pre_promotion_analysis_run_status,
        status.blue_green.post_promotion_analysis_run_status,
    )
    wanted = [RunRef("AnalysisRun", entry.name) for entry in entries if entry is not None and entry.name]
    if status.canary.current_experiment:
        wanted.append(RunRef("Experiment", status.canary.current_experiment))
    known = {RunRef("AnalysisRun", run.metadata.name) for run in snapshot.analysis_runs}
    known |= {RunRef("Experiment", experiment.metadata.name) for experiment in snapshot.experiments}
    return tuple(each for each in dict.fromkeys(wanted) if each not in known and each not in snapshot.looked_up)


def recorded_run(context: RolloutContext, entry: RolloutAnalysisRunStatus | None) -> AnalysisRun | None:
    """Return the run that an entry of the status names; None without entry, or when the run is gone."""
    if entry is None:
        return None
    return next((run for run in context.snapshot.analysis_runs if run.metadata.name == entry.name), None)


def is_retry(context: RolloutContext) -> bool:
    """Tell whether this pass begins a new attempt after an abort: its runs are forgotten, whatever came of them."""
    return context.status.aborted_at is not None and not context.status.abort


def is_resumed(context: RolloutContext) -> bool:
    """Tell whether somebody has taken back a pause that an inconclusive result had caused.

    What is left is our mark of having paused, without any reason.
    """
    return context.status.controller_pause and not context.status.pause_conditions


def record(context: RolloutContext, draft: Draft, status: RolloutStatus) -> RolloutStatus:
    """Return `status` with the runs that this pass has made current, and no others."""

    def entry(kind: str) -> RolloutAnalysisRunStatus | None:
        run = draft.analysis_runs.get(kind)
        if run is None:
            return None
        return RolloutAnalysisRunStatus(name=run.metadata.name, status=run.status.phase, message=run.status.message)

    if context.blue_green is not None:
        blue_green = msgspec.structs.replace(
            status.blue_green,
            pre_promotion_analysis_run_status=entry(names.ANALYSIS_PRE_PROMOTION),
            post_promotion_analysis_run_status=entry(names.ANALYSIS_POST_PROMOTION),
        )
        return msgspec.structs.replace(status, blue_green=blue_green)
    canary = msgspec.structs.replace(
        status.canary,
        current_step_analysis_run_status=entry(names.ANALYSIS_STEP),
        current_background_analysis_run_status=entry(names.ANALYSIS_BACKGROUND),
        current_experiment=draft.experiment.metadata.name if draft.experiment is not None else "",
    )
    return msgspec.structs.replace(status, canary=canary)


def forgotten(status: RolloutStatus) -> RolloutStatus:
    """Return `status` without any run, and without what step plugins have done: the beginning of an attempt."""
    canary = msgspec.structs.replace(
        status.canary,
        current_step_analysis_run_status=None,
        current_background_analysis_run_status=None,
        current_experiment="",
        step_plugin_statuses=(),
    )
    blue_green: BlueGreenStatus = msgspec.structs.replace(
        status.blue_green, pre_promotion_analysis_run_status=None, post_promotion_analysis_run_status=None
    )
    return msgspec.structs.replace(status, canary=canary, blue_green=blue_green)


# ---- What new ones are made of ----------------------------------------------------------------------------------


def free_name(
    base: str, separator: str, holders: Iterable[Run], is_wanted: Callable[[Run], bool]
) -> tuple[str, Run | None]:
    """Return the first name that is free, or that of a run that is already what is wanted, with that run."""
    by_name = {each.metadata.name: each for each in holders}
    name, number = base, 0
    while (holder := by_name.get(name)) is not None:
        if is_wanted(holder):
            return name, holder
        number += 1
        name = f"{base}{separator}{number}"
    return name, None


def is_unfinished_and_ours(context: RolloutContext, run: AnalysisRun | Experiment) -> bool:
    """Tell whether a run may be taken for the one that was to be created: an earlier pass did, and could not say so.

    One that was told to stop may not. It would soon count as successful without having measured anything.
    """
    return (
        run.status.phase not in names.COMPLETED_RUN_PHASES
        and not run.spec.terminate
        and run.metadata.deletion_timestamp is None
        and is_controlled_by(run, context.rollout.metadata.uid)
    )


def base_labels(context: RolloutContext) -> dict[str, str]:
    """Return the labels by which a run is recognised: whose revision it is, and who looks after it."""
    labels = {names.POD_TEMPLATE_HASH_LABEL: context.pod_hash}
    instance = context.rollout.metadata.labels.get(names.INSTANCE_ID_LABEL)
    return labels if instance is None else {**labels, names.INSTANCE_ID_LABEL: instance}


def refusal(what: str) -> Event:
    """Return what people are told when the API server does not let us do something."""
    return Event(names.EVENT_RECONCILIATION_ERROR, f"Reconciliation failed with error: {what}", names.EVENT_WARNING)


def arguments(context: RolloutContext, given: Sequence[AnalysisArgument]) -> tuple[Argument, ...]:
    """Return the arguments of a run; each has a value, if only an empty one.

    Raises:
        InvalidFieldPath: a field path leads nowhere.
    """
    hashes = {names.HASH_VALUE_LATEST: context.pod_hash, names.HASH_VALUE_STABLE: hash_of(context.stable)}
    resolved = []
    for argument in given:
        value, source = argument.value, argument.value_from
        if source is not None and source.pod_template_hash_value is not None:
            value = hashes.get(source.pod_template_hash_value, value)
        elif source is not None and source.field_ref is not None:
            value = resolve_field_path(context.rollout, source.field_ref.field_path)
        resolved.append(Argument(name=argument.name, value=value))
    return tuple(resolved)


# ---- The rest ---------------------------------------------------------------------------------------------------


def terminate(draft: Draft, run: AnalysisRun | Experiment) -> None:
    """Ask a run to stop, unless it is over or has been asked already. Nobody waits for it."""
    if run.status.phase in names.COMPLETED_RUN_PHASES or run.spec.terminate:
        return
    name = run.metadata.name
    draft.act_once(
        Stage.CLEAN_UP,
        TerminateAnalysisRun(name=name) if isinstance(run, AnalysisRun) else TerminateExperiment(name=name),
    )


def clean_up(context: RolloutContext, draft: Draft) -> None:
    """Stop the runs that are not current and delete the finished ones among them beyond the history limits."""
    current = {run.metadata.name for run in draft.analysis_runs.values()}
    runs = [run for run in context.snapshot.analysis_runs if run.metadata.name not in current]
    experiments = [each for each in context.snapshot.experiments if not _is_same(each, draft.experiment)]
    for run in runs:
        terminate(draft, run)
    for experiment in experiments:
        terminate(draft, experiment)
    for run in _surplus(context, runs):
        _delete_run(draft, run)
    for experiment in _surplus(context, experiments):
        _delete_experiment(draft, experiment)


def _is_same(experiment: Experiment, current: Experiment | None) -> bool:
    return current is not None and current.metadata.name == experiment.metadata.name


def delete_with_revision(context: RolloutContext, draft: Draft, pod_hash: str) -> None:
    """Delete what belongs to a revision whose ReplicaSet goes."""
    for run in context.snapshot.analysis_runs:
        if _hash_label(run) == pod_hash:
            _delete_run(draft, run)
    for experiment in context.snapshot.experiments:
        if _hash_label(experiment) == pod_hash:
            _delete_experiment(draft, experiment)


def _surplus(context: RolloutContext, runs: Sequence[Run]) -> list[Run]:
    """Return those to delete: without a living ReplicaSet of their revision, or finished beyond the limit, newest kept.

    Unfinished ones stay, and those that are being deleted already are left alone.
    """
    living = {hash_of(each) for each in context.replica_sets if each.metadata.deletion_timestamp is None}
    limits = {
        True: defaults.effective_successful_run_history_limit(context.spec),
        False: defaults.effective_unsuccessful_run_history_limit(context.spec),
    }
    surplus = []
    for run in sorted(runs, key=_age_key, reverse=True):
        if run.metadata.deletion_timestamp is not None:
            continue
        if _hash_label(run) not in living:
            surplus.append(run)
        elif run.status.phase in names.COMPLETED_RUN_PHASES:
            kind = run.status.phase == names.RUN_SUCCESSFUL
            limits[kind] -= 1
            if limits[kind] < 0:
                surplus.append(run)
    return surplus


def _age_key(run: AnalysisRun | Experiment) -> tuple[datetime, str]:
    return run.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC), run.metadata.name


def _hash_label(run: AnalysisRun | Experiment) -> str:
    return run.metadata.labels.get(names.POD_TEMPLATE_HASH_LABEL, "")


def _delete_run(draft: Draft, run: AnalysisRun) -> None:
    action = DeleteAnalysisRun(name=run.metadata.name, uid=run.metadata.uid)
    draft.act_once(Stage.CLEAN_UP, action)


def _delete_experiment(draft: Draft, experiment: Experiment) -> None:
    action = DeleteExperiment(name=experiment.metadata.name, uid=experiment.metadata.uid)
    draft.act_once(Stage.CLEAN_UP, action)
