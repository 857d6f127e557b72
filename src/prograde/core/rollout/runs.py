"""AnalysisRuns and Experiments that belong to the Rollout: stop what nobody waits for, forget what is long over.

No strategy that gets as far as this asks for runs (`unsupported` stands before it), so every run that exists is left
from another spec or another controller.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from prograde.api import defaults, names
from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.core.plan import (
    DeleteAnalysisRun,
    DeleteExperiment,
    TerminateAnalysisRun,
    TerminateExperiment,
)
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.replicasets import hash_of

__all__ = ["clean_up", "delete_with_revision"]


def clean_up(context: RolloutContext, draft: Draft) -> None:
    """Terminate what still runs and delete finished ones beyond the history limits."""
    for run in context.snapshot.analysis_runs:
        if run.status.phase not in names.COMPLETED_RUN_PHASES and not run.spec.terminate:
            draft.act(Stage.CLEAN_UP, TerminateAnalysisRun(name=run.metadata.name))
    for experiment in context.snapshot.experiments:
        if experiment.status.phase not in names.COMPLETED_RUN_PHASES and not experiment.spec.terminate:
            draft.act(Stage.CLEAN_UP, TerminateExperiment(name=experiment.metadata.name))
    for run in _surplus(context, context.snapshot.analysis_runs):
        _delete_run(draft, run)
    for experiment in _surplus(context, context.snapshot.experiments):
        _delete_experiment(draft, experiment)


def delete_with_revision(context: RolloutContext, draft: Draft, pod_hash: str) -> None:
    """Delete what belongs to a revision whose ReplicaSet goes."""
    for run in context.snapshot.analysis_runs:
        if _hash_label(run) == pod_hash:
            _delete_run(draft, run)
    for experiment in context.snapshot.experiments:
        if _hash_label(experiment) == pod_hash:
            _delete_experiment(draft, experiment)


Run = TypeVar("Run", AnalysisRun, Experiment)


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
