"""Step plugins: which calls are due now, and what their answers mean.

A plugin carries out a canary step that Prograde knows nothing of. Three operations, each with an entry of its own in
`status.canary.stepPluginStatuses`:

    Run         while its step is the current one, again and again until it is Successful (next step) or Failed (abort);
                an Error, its own or that of the call, is tried again for ever
    Terminate   once, when the update ends well while the last plugin still runs
    Abort       once per plugin that has run, the last one first, when the update is taken back

The decision is pure, so it cannot call. It leaves in the draft which calls it needs (`Draft.plugin_calls`), the shell
makes them, and the pass is planned again with the answers in the snapshot; only then anything is written. A plugin that
cannot be called at all is reported and tried again, and the rest of the pass goes on without it.

Abort and Terminate do not wait for pods or pauses, and a plugin goes on when the progress deadline has passed. (With
Argo Rollouts an abort never reaches the plugins when the first step is a pause, and a plugin that takes longer than the
deadline is never called again.)
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from prograde.api import names
from prograde.api.meta import NO_RAW
from prograde.api.rollout import PluginStep, StepPluginStatus
from prograde.api.scalars import InvalidDuration, format_duration, parse_duration
from prograde.core.plan import PluginCall, Wait, WaitReason
from prograde.core.rollout import runs
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.snapshot import PluginAnswer

__all__ = ["decide", "is_step_complete"]

Operation: TypeAlias = Literal["Run", "Terminate", "Abort"]
RUN: Operation = "Run"
TERMINATE: Operation = "Terminate"
ABORT: Operation = "Abort"
RUNNING, SUCCESSFUL, FAILED, ERROR = "Running", "Successful", "Failed", "Error"

Entries = tuple[StepPluginStatus, ...]

BACKOFF = timedelta(seconds=30)
"""Between two calls of a plugin that does not say when it wants to be called again, or failed to answer."""
BACKOFF_MIN = timedelta(seconds=10)
"""A plugin that wants to be called again sooner gets the ordinary `BACKOFF`."""
WAKE_UP_MARGIN = timedelta(seconds=5)
"""How long after the end of a backoff the pass comes that makes the next call."""
UNUSABLE_RETRY = timedelta(seconds=30)
"""How soon a plugin that cannot be called at all is tried again."""


def decide(context: RolloutContext, draft: Draft, *, may_run: bool) -> None:
    """Ask for the calls that are due and bring their answers into the draft.

    `may_run` says that nothing else is moving, so that the current step may be carried out.
    """
    if draft.is_aborted:
        for entry in list(_to_abort(context, draft.plugin_statuses)):
            _finish(context, draft, entry, ABORT)
        return
    if context.status.promote_full or context.is_fully_promoted:
        last = _to_terminate(draft.plugin_statuses)
        if last is not None and _step_of(context, last) is not None:
            _finish(context, draft, last, TERMINATE)
        return
    if runs.is_retry(context):
        draft.plugin_statuses = ()
    step = context.step.plugin if context.step is not None else None
    if step is not None and may_run and not (context.spec.paused or context.status.pause_conditions):
        _run(context, draft, step)


def is_step_complete(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the plugin of the current step has done its work, or is not to do it."""
    index = context.step_index
    if index is None or context.step is None or context.step.plugin is None or context.halted_by:
        return False
    entry = _find(draft.plugin_statuses, index, RUN)
    if entry is None:
        return False
    return entry.disabled or entry.phase == SUCCESSFUL or _is_told_to_end(draft.plugin_statuses, entry)


# ---- Run --------------------------------------------------------------------------------------------------------


def _run(context: RolloutContext, draft: Draft, step: PluginStep) -> None:
    index = context.step_index
    assert index is not None
    before = _find(draft.plugin_statuses, index, RUN)
    if before is not None and (before.phase in (SUCCESSFUL, FAILED) or _is_told_to_end(draft.plugin_statuses, before)):
        return
    if before is None or before.disabled:
        before = StepPluginStatus(index=index, name=step.name, operation=RUN, phase=RUNNING, started_at=context.stamp)
    next_call = _next_call(before)
    if next_call is not None and next_call > context.now:
        _wait(context, draft, before)
        return
    answer = _answer(context, draft, before, step, RUN)
    if answer is None:
        return
    if trouble := _trouble(answer):
        _report(context, draft, before, trouble)
        return
    if answer.is_missing:
        _wait(context, draft, before)
        return
    after = _after_run(context, before, answer)
    _put(draft, after)
    if after.phase == FAILED:
        draft.abort(f"Step Plugin {index + 1} ({step.name}) failed: {after.message}")
    elif after.phase in (RUNNING, ERROR):
        _wait(context, draft, after)


def _after_run(context: RolloutContext, before: StepPluginStatus, answer: PluginAnswer) -> StepPluginStatus:
    if answer.is_disabled:
        return StepPluginStatus(index=before.index, name=before.name, operation=RUN, disabled=True)
    called = msgspec.structs.replace(
        before, executions=before.executions + 1, updated_at=context.stamp, backoff="", message=answer.message
    )
    if answer.exception:
        return msgspec.structs.replace(called, phase=ERROR, message=answer.exception, backoff=format_duration(BACKOFF))
    phase = answer.phase or RUNNING
    if phase == ERROR:
        return msgspec.structs.replace(called, phase=ERROR, backoff=format_duration(BACKOFF))
    called = msgspec.structs.replace(
        called, phase=phase, status=msgspec.Raw(answer.status) if answer.status else NO_RAW
    )
    if phase == RUNNING:
        wanted = answer.requeue_after if answer.requeue_after > BACKOFF_MIN else BACKOFF
        return msgspec.structs.replace(called, backoff=format_duration(wanted))
    return msgspec.structs.replace(called, finished_at=context.stamp)


def _next_call(entry: StepPluginStatus) -> datetime | None:
    """Return before when the plugin is not to be called again; None before the first call."""
    if entry.executions == 0 or entry.updated_at is None:
        return None
    try:
        backoff = parse_duration(entry.backoff) if entry.backoff else BACKOFF
    except InvalidDuration:
        backoff = BACKOFF
    return entry.updated_at + backoff


# ---- Terminate and Abort ----------------------------------------------------------------------------------------


def _to_abort(context: RolloutContext, entries: Entries) -> Iterator[StepPluginStatus]:
    """Yield the runs to abort, the last one first: those that have begun something, and have not been aborted yet."""
    for entry in reversed(entries):
        is_begun = entry.operation == RUN and not entry.disabled and entry.phase in (RUNNING, SUCCESSFUL)
        if is_begun and _find(entries, entry.index, ABORT) is None and _step_of(context, entry) is not None:
            yield entry


def _to_terminate(entries: Entries) -> StepPluginStatus | None:
    """Return the run that the end of the update finds running; None when there is none, or it has been told."""
    running = next((each for each in reversed(entries) if each.operation == RUN and each.phase == RUNNING), None)
    return None if running is None or _is_told_to_end(entries, running) else running


def _finish(context: RolloutContext, draft: Draft, run: StepPluginStatus, operation: Operation) -> None:
    """Make the one call that ends a run. Whatever comes of it, it is not repeated; only a plugin that cannot be called
    is tried again."""
    step = _step_of(context, run)
    assert step is not None, "only runs of steps that still are plugin steps are ended"
    answer = _answer(context, draft, run, step, operation)
    if answer is None or answer.is_missing:
        return
    if trouble := _trouble(answer):
        _report(context, draft, run, trouble)
        return
    entry = StepPluginStatus(
        index=run.index,
        name=run.name,
        operation=operation,
        started_at=context.stamp,
        updated_at=context.stamp,
        finished_at=context.stamp,
        executions=1,
    )
    if answer.is_disabled:
        entry = msgspec.structs.replace(entry, disabled=True, executions=0)
    elif answer.exception:
        entry = msgspec.structs.replace(entry, phase=ERROR, message=answer.exception)
    else:
        # There is no second call to find out what becomes of one that goes on.
        phase = FAILED if answer.phase == RUNNING else answer.phase or SUCCESSFUL
        entry = msgspec.structs.replace(entry, phase=phase, message=answer.message)
    _put(draft, entry)


# ---- Calls, entries, events -------------------------------------------------------------------------------------


def _answer(
    context: RolloutContext, draft: Draft, run: StepPluginStatus, step: PluginStep, operation: Operation
) -> PluginAnswer | None:
    """Return the answer to a call; None if it has still to be made, which then is left in the draft."""
    call = PluginCall(
        index=run.index, name=step.name, operation=operation, config=bytes(step.config), status=bytes(run.status)
    )
    found = next((each for each in context.snapshot.plugin_answers if each.call == call), None)
    if found is None:
        draft.plugin_calls.append(call)
    return found


def _trouble(answer: PluginAnswer) -> str:
    """Say why an answer is none; empty when it is one."""
    if answer.unusable:
        return answer.unusable
    if answer.phase and answer.phase not in names.STEP_PLUGIN_PHASES:
        return f"could not validate rpc phase: phase '{answer.phase}' is not valid"
    return ""


def _report(context: RolloutContext, draft: Draft, run: StepPluginStatus, trouble: str) -> None:
    draft.warn(names.EVENT_RECONCILIATION_ERROR, f"Reconciliation failed with error: {trouble}")
    at = context.now + UNUSABLE_RETRY
    draft.look_again(at)
    draft.wait(
        Wait(
            reason=WaitReason.STEP_PLUGIN,
            message=f"plugin {run.name} of step {run.index + 1}/{len(context.steps)} cannot be called: {trouble}",
            object=f"Rollout {context.rollout.metadata.name}",
            field=f"spec.strategy.canary.steps[{run.index}].plugin",
            since=run.started_at,
            remedy="install the plugin for the controller, or change the step; it is tried again every 30 s",
        )
    )


def _wait(context: RolloutContext, draft: Draft, entry: StepPluginStatus) -> None:
    """Say what the current step waits for, and be there for the next call."""
    name = context.rollout.metadata.name
    next_call = _next_call(entry)
    at = next_call + WAKE_UP_MARGIN if next_call is not None else None
    if at is not None:
        draft.look_again(at)
    state = "is running" if entry.phase == RUNNING else "has not succeeded and is tried again"
    words = f": {entry.message}" if entry.message else ""
    draft.wait(
        Wait(
            reason=WaitReason.STEP_PLUGIN,
            message=f"step {entry.index + 1}/{len(context.steps)} waits for plugin {entry.name}, which {state}{words}",
            object=f"Rollout {name}",
            field=f"status.canary.stepPluginStatuses[{entry.index}]",
            since=entry.started_at,
            remedy=f"to go on without it: prograde promote {name}; to go back: prograde abort {name}",
        )
    )


def _step_of(context: RolloutContext, entry: StepPluginStatus) -> PluginStep | None:
    """Return the step that an entry is about; None when that is no plugin step any more."""
    return context.steps[entry.index].plugin if 0 <= entry.index < len(context.steps) else None


def _find(entries: Iterable[StepPluginStatus], index: int, operation: str) -> StepPluginStatus | None:
    return next((each for each in entries if each.index == index and each.operation == operation), None)


def _is_told_to_end(entries: Entries, run: StepPluginStatus) -> bool:
    return any(_find(entries, run.index, each) is not None for each in (TERMINATE, ABORT))


def _put(draft: Draft, entry: StepPluginStatus) -> None:
    """Record an entry in the place of its predecessor, or at the end, and tell of a change of its phase."""
    before = _find(draft.plugin_statuses, entry.index, entry.operation)
    if before is None:
        draft.plugin_statuses = (*draft.plugin_statuses, entry)
    else:
        draft.plugin_statuses = tuple(entry if each is before else each for each in draft.plugin_statuses)
    is_news = before is None or before.phase != entry.phase
    if entry.disabled or not is_news or (entry.operation == RUN and entry.phase == SUCCESSFUL):
        return
    texts: dict[str, str] = {
        RUN: f"transitioned to {entry.phase}",
        TERMINATE: f"terminated ({entry.phase})",
        ABORT: f"aborted ({entry.phase})",
    }
    event = draft.warn if entry.phase in (ERROR, FAILED) else draft.record
    what = texts[entry.operation]
    event(names.EVENT_STEP_PLUGIN_TRANSITION, f"Step plugin {entry.name} (step {entry.index + 1}) {what}")
