"""Analysis of a Rollout: which AnalysisRuns there are to be now, and what their results mean.

    kind            asked for by                        while
    Step            `canary.steps[i].analysis`          step i is the current one
    Background      `canary.analysis`                   from `startingStep` on
    PrePromotion    `blueGreen.prePromotionAnalysis`    the new revision is complete, until the switch
    PostPromotion   `blueGreen.postPromotionAnalysis`   after the switch, until the promotion

For each kind: is it wanted? is there a run, or must a new one begin? what does its result say? A new one begins when
there is none, and when somebody has resumed after an inconclusive one. A retry forgets every run of the attempt before,
so that it is neither stopped by an old failure nor let through by an old success; Argo Rollouts judges the old ones
again. An analysis without templates counts as not configured, everywhere.

A failure aborts the update, and an unclear result pauses it. What happens inside a run is not decided here: a run is
created, watched, stopped and counted.
"""

from collections.abc import Mapping

from prograde.api import defaults, names
from prograde.api.analysis import AnalysisRun, AnalysisRunSpec
from prograde.api.analysistemplates import (
    InvalidTemplates,
    TemplateNotFound,
    collect_templates,
    flatten_templates,
    merge_into_run_spec,
)
from prograde.api.codec import to_json
from prograde.api.fieldpaths import InvalidFieldPath
from prograde.api.jsonvalues import json_equal
from prograde.api.meta import ObjectMeta, controller_reference
from prograde.api.rollout import RolloutAnalysis, RolloutAnalysisRunStatus
from prograde.core.plan import CreateAnalysisRun, Wait, WaitReason
from prograde.core.rollout import runs
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage

__all__ = [
    "current_runs",
    "decide_blue_green",
    "decide_canary",
    "is_configured",
    "is_post_promotion_skipped",
    "is_step_complete",
    "is_successful",
]

STEP, BACKGROUND = names.ANALYSIS_STEP, names.ANALYSIS_BACKGROUND
PRE, POST = names.ANALYSIS_PRE_PROMOTION, names.ANALYSIS_POST_PROMOTION

_FAILURES: Mapping[str, str] = {
    STEP: "Step-based analysis phase error/failed",
    BACKGROUND: "Background analysis phase error/failed",
    PRE: "Blue/green pre-promotion analysis phase error/failed",
    POST: "Blue/green post-promotion analysis phase error/failed",
}
"""What an abort says; tools match these texts."""

_INFIXES: Mapping[str, str] = {BACKGROUND: "", PRE: "-pre", POST: "-post"}


def is_configured(analysis: RolloutAnalysis | None) -> bool:
    """Tell whether there is anything to analyse. An empty list of templates is nothing: no run could ever end it."""
    return analysis is not None and bool(analysis.templates)


def is_successful(run: AnalysisRun | None) -> bool:
    return run is not None and run.status.phase == names.RUN_SUCCESSFUL


def current_runs(context: RolloutContext) -> dict[str, AnalysisRun]:
    """Return the runs of this attempt, by kind, as the pass finds them."""
    if context.is_template_changed or context.are_steps_changed or runs.is_retry(context):
        return {}
    found = {kind: runs.recorded_run(context, entry) for kind, entry in _entries(context).items()}
    return {kind: run for kind, run in found.items() if run is not None}


def _entries(context: RolloutContext) -> dict[str, RolloutAnalysisRunStatus | None]:
    """Return what the status records, in the order in which changes are announced."""
    canary, blue_green = context.status.canary, context.status.blue_green
    return {
        POST: blue_green.post_promotion_analysis_run_status,
        PRE: blue_green.pre_promotion_analysis_run_status,
        STEP: canary.current_step_analysis_run_status,
        BACKGROUND: canary.current_background_analysis_run_status,
    }


# ---- Canary -----------------------------------------------------------------------------------------------------


def decide_canary(context: RolloutContext, draft: Draft) -> None:
    """Start, keep or judge the runs of a canary; what is current is in the draft afterwards.

    All others are stopped by `runs.clean_up`. Fails the pass when a run cannot be made.
    """
    if _is_moot(context, draft):
        return
    current = current_runs(context)
    _decide_step(context, draft, current.get(STEP))
    if draft.error:
        return
    _decide_background(context, draft, current.get(BACKGROUND))
    _announce(context, draft)


def is_step_complete(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the analysis of the current step has been successful, or has nothing to measure."""
    step, run = context.step, draft.analysis_runs.get(STEP)
    if step is None or step.analysis is None:
        return False
    if not is_configured(step.analysis):
        return True
    return run is not None and is_successful(run) and _is_of_step(run, context.step_index) and not context.halted_by


def _decide_step(context: RolloutContext, draft: Draft, current: AnalysisRun | None) -> None:
    if context.status.pause_conditions:
        # Whatever is paused for has to be over first: the pause may be about this very run.
        _keep(draft, STEP, current)
        return
    step = context.step
    analysis = step.analysis if step is not None else None
    if analysis is None or not is_configured(analysis):
        return
    if current is not None and not _is_of_step(current, context.step_index):
        # The run of another step makes room; one for this step begins in the next pass.
        return
    _keep_or_begin(context, draft, STEP, analysis, current)
    _wait_for(context, draft, STEP)


def _is_of_step(run: AnalysisRun, index: int | None) -> bool:
    return run.metadata.labels.get(names.STEP_INDEX_LABEL) == str(index)


def _decide_background(context: RolloutContext, draft: Draft, current: AnalysisRun | None) -> None:
    canary = context.canary
    assert canary is not None
    analysis = canary.analysis
    index = context.step_index
    is_too_early = index is not None and index < defaults.effective_starting_step(canary)
    if analysis is None or not is_configured(analysis) or is_too_early or not context.status.current_pod_hash:
        return
    if draft.has_pause(names.PAUSE_INCONCLUSIVE_ANALYSIS):
        _keep(draft, BACKGROUND, current)
        return
    _keep_or_begin(context, draft, BACKGROUND, analysis, current)


# ---- Blue-green -------------------------------------------------------------------------------------------------


def decide_blue_green(context: RolloutContext, draft: Draft, *, is_complete: bool) -> None:
    """Start, keep or judge the runs around the switch; what is current is in the draft afterwards.

    Runs of an update that is over, one way or the other, are stopped but stay recorded until the next one. All others
    are stopped by `runs.clean_up`. `is_complete` says that the new revision has all the pods that it is to have now; a
    run that has begun goes on without them. Fails the pass when a run cannot be made.
    """
    current = current_runs(context)
    strategy = context.blue_green
    assert strategy is not None
    if _is_moot(context, draft):
        for kind, run in current.items():
            runs.terminate(draft, run)
            _keep(draft, kind, run)
        _announce(context, draft)
        return
    pre, post = strategy.pre_promotion_analysis, strategy.post_promotion_analysis
    active = context.status.blue_green.active_selector
    _decide_gate(context, draft, PRE, pre, is_over=active == context.pod_hash, may_begin=is_complete and bool(active))
    if not draft.error:
        is_skipped = is_post_promotion_skipped(context)
        _decide_gate(context, draft, POST, post, is_over=is_skipped, may_begin=is_complete)
    _announce(context, draft)


def _decide_gate(
    context: RolloutContext,
    draft: Draft,
    kind: str,
    analysis: RolloutAnalysis | None,
    *,
    is_over: bool,
    may_begin: bool,
) -> None:
    current = current_runs(context).get(kind)
    if analysis is None or not is_configured(analysis):
        return
    if is_over:
        # A run that is stopped for this may end as successful, and must not open the gate if it is needed once more.
        if current is not None and current.status.phase in names.COMPLETED_RUN_PHASES:
            _keep(draft, kind, current)
    elif draft.has_pause(names.PAUSE_INCONCLUSIVE_ANALYSIS):
        _keep(draft, kind, current)
    elif current is not None or may_begin:
        _keep_or_begin(context, draft, kind, analysis, current)
        _wait_for(context, draft, kind)


def is_post_promotion_skipped(context: RolloutContext) -> bool:
    """Tell whether there is nothing to analyse after the switch, as the switch has not been made or recorded."""
    return context.status.blue_green.active_selector != context.pod_hash or context.is_back_on_stable


# ---- Keeping, beginning, judging, stopping ----------------------------------------------------------------------


def _is_moot(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether no analysis matters any more, or none is needed: nothing to prove, or nothing to compare with.

    A promoted Rollout is "back on stable", too, and so on the fast track.
    """
    return draft.is_aborted or context.status.promote_full or context.is_fast_rollback or context.stable is None


def _keep(draft: Draft, kind: str, run: AnalysisRun | None) -> None:
    if run is not None:
        draft.analysis_runs[kind] = run


def _keep_or_begin(
    context: RolloutContext, draft: Draft, kind: str, analysis: RolloutAnalysis, current: AnalysisRun | None
) -> None:
    if current is not None and not _is_to_be_repeated(context, kind, current):
        _keep(draft, kind, current)
        _judge(draft, kind, current)
        return
    try:
        _keep(draft, kind, _begin(context, draft, kind, analysis))
    except (TemplateNotFound, InvalidTemplates, InvalidFieldPath) as err:
        draft.fail(f"{kind} analysis cannot begin: {err}")
        draft.wait(
            Wait(
                reason=WaitReason.ANALYSIS,
                message=f"no AnalysisRun can be made for the {_WORDS[kind]} analysis: {err}",
                object=f"Rollout {context.rollout.metadata.name}",
                field=_field(context, kind),
                remedy="change the arguments or the templates; it is tried again",
            )
        )


def _is_to_be_repeated(context: RolloutContext, kind: str, run: AnalysisRun) -> bool:
    """Tell whether somebody has resumed after this run's unclear result, which had paused the Rollout."""
    entry = _entries(context)[kind]
    was_seen = entry is not None and entry.status == names.RUN_INCONCLUSIVE
    return runs.is_resumed(context) and was_seen and run.status.phase == names.RUN_INCONCLUSIVE


def _judge(draft: Draft, kind: str, run: AnalysisRun) -> None:
    phase, message = run.status.phase, run.status.message
    if phase == names.RUN_INCONCLUSIVE:
        draft.pause(names.PAUSE_INCONCLUSIVE_ANALYSIS)
    elif phase in (names.RUN_FAILED, names.RUN_ERROR):
        draft.abort(f"{_FAILURES[kind]}: {message}" if message else _FAILURES[kind])


def _announce(context: RolloutContext, draft: Draft) -> None:
    """Record an event for every current run whose phase is not the one that the status knows."""
    for kind, entry in _entries(context).items():
        run = draft.analysis_runs.get(kind)
        if run is None or not run.status.phase:
            continue
        phase, name = run.status.phase, run.metadata.name
        if entry is not None and (entry.name != name or entry.status == phase):
            continue
        before = entry.status if entry is not None else "NoPreviousStatus"
        event = draft.warn if phase in (names.RUN_FAILED, names.RUN_ERROR) else draft.record
        event(
            f"{names.EVENT_ANALYSIS_RUN_PREFIX}{phase}",
            f"{kind} Analysis Run '{name}' Status New: '{phase}' Previous: '{before}'",
        )


# ---- A new run --------------------------------------------------------------------------------------------------


def _begin(context: RolloutContext, draft: Draft, kind: str, analysis: RolloutAnalysis) -> AnalysisRun:
    """Create a run, unless an earlier pass has created just this one and could not record it; return it.

    Raises:
        TemplateNotFound, InvalidTemplates, InvalidFieldPath: no run can be made of the Rollout's words.
    """
    snapshot = context.snapshot
    spec = _spec(context, analysis)
    infix = f"-{context.step_index}" if kind == STEP else _INFIXES[kind]
    holders = [*snapshot.analysis_runs, *(each for each in snapshot.taken if isinstance(each, AnalysisRun))]
    name, found = runs.free_name(
        f"{context.rollout.metadata.name}-{context.pod_hash}-{draft.revision}{infix}",
        ".",
        holders,
        lambda run: runs.is_unfinished_and_ours(context, run) and _measure_the_same(run.spec, spec),
    )
    if found is not None:
        return found
    run = AnalysisRun(metadata=_metadata(context, draft, kind, analysis, name), spec=spec)
    manifest = to_json(run)
    # The CRD asks for the field, even if templates that only refer to others leave it empty.
    manifest["spec"].setdefault("metrics", [])
    failure = runs.refusal(f"AnalysisRun {name} could not be created")
    draft.act(Stage.RUNS, CreateAnalysisRun(name=name, manifest=manifest, failure=failure))
    return run


def _spec(context: RolloutContext, analysis: RolloutAnalysis) -> AnalysisRunSpec:
    snapshot = context.snapshot
    collected = collect_templates(analysis.templates, snapshot.analysis_templates, snapshot.cluster_analysis_templates)
    return merge_into_run_spec(
        flatten_templates(collected.specs),
        runs.arguments(context, analysis.args),
        analysis.dry_run,
        analysis.measurement_retention,
    )


def _measure_the_same(left: AnalysisRunSpec, right: AnalysisRunSpec) -> bool:
    """Compare what two runs measure and how, whatever the order of keys in their raw parts."""
    return json_equal(_measured(left), _measured(right))


def _measured(spec: AnalysisRunSpec) -> object:
    return [to_json(part) for part in (spec.metrics, spec.args, spec.dry_run, spec.measurement_retention)]


def _metadata(context: RolloutContext, draft: Draft, kind: str, analysis: RolloutAnalysis, name: str) -> ObjectMeta:
    """Return the metadata of a new run.

    What the user adds comes first, and cannot take away the labels by which the run is recognised. (In Argo Rollouts it
    can, and such a run is deleted at once as one of an unknown revision.)
    """
    rollout, added = context.rollout, analysis.analysis_run_metadata
    selector = rollout.spec.selector
    labels = {
        **(added.labels if added is not None else {}),
        **(selector.match_labels if selector is not None else {}),
        **runs.base_labels(context),
        names.ROLLOUT_TYPE_LABEL: kind,
    }
    if kind == STEP:
        labels[names.STEP_INDEX_LABEL] = str(context.step_index)
    return ObjectMeta(
        name=name,
        namespace=rollout.metadata.namespace,
        labels=labels,
        annotations={
            names.REVISION_ANNOTATION: str(draft.revision),
            **(added.annotations if added is not None else {}),
        },
        owner_references=(controller_reference(rollout),),
    )


# ---- Why it waits -----------------------------------------------------------------------------------------------


_WORDS: Mapping[str, str] = {STEP: "step", BACKGROUND: "background", PRE: "pre-promotion", POST: "post-promotion"}


def _wait_for(context: RolloutContext, draft: Draft, kind: str) -> None:
    """Say that a run has to end before anything moves; those in the background hold nothing up."""
    run = draft.analysis_runs.get(kind)
    if run is None or run.status.phase in names.COMPLETED_RUN_PHASES:
        return
    name = context.rollout.metadata.name
    what = f"step {(context.step_index or 0) + 1}/{len(context.steps)}" if kind == STEP else f"the {_WORDS[kind]} gate"
    if run.status.phase == names.RUN_RUNNING:
        state = "which is running"
        since = run.status.started_at or run.metadata.creation_timestamp
    else:
        state = "which has not been started yet"
        since = run.metadata.creation_timestamp
    metrics = ", ".join(metric.name for metric in run.spec.metrics) or "nothing"
    onward = f"prograde promote {name}" if kind == STEP else f"prograde promote {name} --full"
    draft.wait(
        Wait(
            reason=WaitReason.ANALYSIS,
            message=f"{what} waits for AnalysisRun {run.metadata.name}, {state}; it measures {metrics}",
            object=f"AnalysisRun {run.metadata.name}",
            field="status.phase",
            since=since,
            remedy=f"to go on without its result: {onward}; to go back: prograde abort {name}",
        )
    )


def _field(context: RolloutContext, kind: str) -> str:
    return {
        STEP: f"spec.strategy.canary.steps[{context.step_index}].analysis",
        BACKGROUND: "spec.strategy.canary.analysis",
        PRE: "spec.strategy.blueGreen.prePromotionAnalysis",
        POST: "spec.strategy.blueGreen.postPromotionAnalysis",
    }[kind]
