"""The steps of a canary: pausing, when a step is complete, and how a step reads.

The status holds the index of the current step. It moves by one when the step is complete, to the end when the steps
are skipped, and to the beginning with a new template, other steps or an abort; never beyond their number.

A pause leaves two traces, and the combination tells who is to act:

    controllerPause   pauseConditions
    false             none               not paused; a pause step adds its condition now
    true              some               paused by us, waiting
    true              none               somebody has cleared the conditions: resume
"""

from datetime import timedelta

from prograde.api import names
from prograde.api.rollout import CanaryStep
from prograde.api.scalars import pause_seconds
from prograde.core.plan import Wait, WaitReason
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft

__all__ = ["enter_pause", "is_pause_over", "step_text"]


def enter_pause(context: RolloutContext, draft: Draft) -> None:
    """Begin the pause of the current step if it has not begun, and say what it waits for.

    A pause that somebody has ended, or whose time is up, is left for the completion of the step. So is every pause
    while the user has paused the whole Rollout: its clock goes on, its effect waits.
    """
    step, status = context.step, context.status
    if step is None or step.pause is None or draft.is_aborted or status.promote_full or context.spec.paused:
        return
    if not status.stable_rs or is_pause_over(context, draft):
        return
    if not draft.has_pause(names.PAUSE_CANARY_STEP):
        draft.pause(names.PAUSE_CANARY_STEP)
    began = next((each.start_time for each in status.pause_conditions if each.reason == names.PAUSE_CANARY_STEP), None)
    since = began or context.stamp
    position = f"step {(context.step_index or 0) + 1}/{len(context.steps)}"
    name = context.rollout.metadata.name
    if step.pause.duration is None:
        draft.wait(
            Wait(
                reason=WaitReason.PAUSE_STEP,
                message=f"paused at {position} until somebody resumes",
                object=f"Rollout {name}",
                field="status.pauseConditions",
                since=since,
                remedy=f"to go on: prograde promote {name}; to go back: prograde abort {name}",
            )
        )
        return
    draft.wait(
        Wait(
            reason=WaitReason.PAUSE_STEP,
            message=f"paused at {position} for {step.pause.duration}{_unit(step.pause.duration)}",
            object=f"Rollout {name}",
            field="status.pauseConditions",
            since=since,
            until=since + timedelta(seconds=pause_seconds(step.pause.duration)),
            remedy=f"to go on now: prograde promote {name}",
        )
    )


def is_pause_over(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the pause of the current step has been resumed or has lasted long enough.

    A resume is the absence of *every* pause condition: a pause for another reason that is still there says nothing
    about this step.
    """
    step, status = context.step, context.status
    if step is None or step.pause is None:
        return False
    if not draft.has_pause(names.PAUSE_CANARY_STEP):
        return status.controller_pause and not status.pause_conditions
    if step.pause.duration is None:
        return False
    length = timedelta(seconds=pause_seconds(step.pause.duration))
    return any(
        each.reason == names.PAUSE_CANARY_STEP
        and each.start_time is not None
        and context.now > each.start_time + length
        for each in status.pause_conditions
    )


def step_text(step: CanaryStep) -> str:
    """Say what a step does, as events and the command line show it; the first member that is set decides."""
    if step.set_weight is not None:
        return f"setWeight: {step.set_weight}"
    if step.pause is not None:
        return "pause" if step.pause.duration is None else f"pause: {step.pause.duration}"
    if step.experiment is not None:
        return "experiment"
    if step.analysis is not None:
        return "analysis"
    scale = step.set_canary_scale
    if scale is not None and scale.weight is not None:
        return f"setCanaryScale{{weight: {scale.weight}}}"
    if scale is not None and scale.match_traffic_weight:
        return "setCanaryScale{matchTrafficWeight: true}"
    if scale is not None and scale.replicas is not None:
        return f"setCanaryScale{{replicas: {scale.replicas}}}"
    if step.plugin is not None:
        return f"plugin: {step.plugin.name}"
    if step.set_header_route is not None:
        return f"setHeaderRoute: {step.set_header_route.name}"
    if step.set_mirror_route is not None:
        return f"setMirrorRoute: {step.set_mirror_route.name}"
    return "invalid"


def _unit(duration: int | str) -> str:
    return " s" if isinstance(duration, int) or duration.isdigit() else ""
