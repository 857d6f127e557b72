"""What a canary waits for besides its pods and its traffic: experiments, analyses and step plugins.

One place to ask all three, in the order in which they act:

    `decide`             experiments, then analyses; what nobody waits for any more is stopped
    `call_plugins`       after the pods have been seen to
    `is_step_complete`   for the steps that are theirs
    `record`             what they have decided, in the status
"""

import msgspec

from prograde.api.rollout import RolloutStatus
from prograde.core.rollout import analysis, experiments, runs, stepplugins
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft

__all__ = ["call_plugins", "decide", "is_step_complete", "leave_step", "record"]


def decide(context: RolloutContext, draft: Draft) -> bool:
    """Start, keep, judge and stop runs; tell whether the pass goes on. It has failed when one cannot be made."""
    experiments.decide(context, draft)
    if not draft.error:
        analysis.decide_canary(context, draft)
    if draft.error:
        return False
    runs.clean_up(context, draft)
    return True


def call_plugins(context: RolloutContext, draft: Draft, *, is_moving: bool) -> None:
    """Ask for the calls of step plugins that are due, and deal with their answers."""
    stepplugins.decide(context, draft, may_run=not is_moving and not draft.added_pauses)


def is_step_complete(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the current step is one of theirs and has done what it is for."""
    return (
        experiments.is_step_complete(context, draft)
        or analysis.is_step_complete(context, draft)
        or stepplugins.is_step_complete(context, draft)
    )


def leave_step(status: RolloutStatus) -> RolloutStatus:
    """Return `status` without what belongs to the step that is over."""
    canary = msgspec.structs.replace(status.canary, current_step_analysis_run_status=None, current_experiment="")
    return msgspec.structs.replace(status, canary=canary)


def record(context: RolloutContext, draft: Draft, status: RolloutStatus) -> RolloutStatus:
    """Return `status` with everything that was decided here."""
    status = runs.record(context, draft, status)
    canary = msgspec.structs.replace(status.canary, step_plugin_statuses=draft.plugin_statuses)
    return msgspec.structs.replace(status, canary=canary)
