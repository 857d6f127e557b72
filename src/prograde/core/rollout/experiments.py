"""Experiments of a Rollout: a canary step that lets versions run beside each other for a while.

At its step an Experiment is created with the pod templates of the canary and stable ReplicaSets as they are then. It
stays the current one until the step moves, whatever its phase: forgotten too early, it would be started again. (Argo
Rollouts forgets it when its result is unclear, or when the user has paused the Rollout, and then does start another.)
A resume after an unclear result, and a retry, do start another.

    Successful      the step is complete
    Inconclusive    pause
    Failed, Error   abort
    otherwise       wait; while it is Running, its weighted templates get traffic (`destinations`)
"""

from collections.abc import Sequence

import msgspec

from prograde.api import names
from prograde.api.codec import to_json
from prograde.api.experiment import (
    Experiment,
    ExperimentAnalysis,
    ExperimentService,
    ExperimentSpec,
    ExperimentTemplate,
)
from prograde.api.fieldpaths import InvalidFieldPath
from prograde.api.jsonvalues import json_equal
from prograde.api.meta import LabelSelector, ObjectMeta, controller_reference
from prograde.api.rollout import ExperimentStep, ExperimentStepAnalysis, ExperimentStepTemplate, WeightDestination
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import CreateExperiment, Event, JsonObject, Wait, WaitReason
from prograde.core.rollout import runs
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage

__all__ = ["current_experiment", "decide", "destinations", "is_step_complete"]

_FAILURE = "Experiment analysis phase is error/failed"
"""What an abort says; tools match this text."""


class _InvalidStep(ValueError):
    """No Experiment can be made of what the step says."""


def current_experiment(context: RolloutContext) -> Experiment | None:
    """Return the Experiment that the status records; None when it records none, or that one is gone."""
    name = context.status.canary.current_experiment
    return next((each for each in context.snapshot.experiments if each.metadata.name == name), None)


def decide(context: RolloutContext, draft: Draft) -> None:
    """Start, keep or judge the Experiment of the current step; what is current is in the draft afterwards.

    All others, and the current one when its step is over, are stopped by `runs.clean_up`. Fails the pass when an
    Experiment cannot be made.
    """
    step = context.step.experiment if context.step is not None else None
    if draft.is_aborted or context.status.promote_full or step is None:
        return
    current = None if runs.is_retry(context) else current_experiment(context)
    if any(map(draft.has_pause, (names.PAUSE_INCONCLUSIVE_ANALYSIS, names.PAUSE_INCONCLUSIVE_EXPERIMENT))):
        draft.experiment = current
        return
    is_to_be_repeated = (
        current is not None and runs.is_resumed(context) and current.status.phase == names.RUN_INCONCLUSIVE
    )
    if current is not None and (not is_to_be_repeated or context.spec.paused):
        draft.experiment = current
        if not is_to_be_repeated:
            _judge(draft, current)
    elif context.stable is not None:
        _try_to_begin(context, draft, step)
    _wait_for(context, draft)


def is_step_complete(context: RolloutContext, draft: Draft) -> bool:
    """Tell whether the Experiment of the current step has been successful."""
    experiment = draft.experiment
    is_successful = experiment is not None and experiment.status.phase == names.RUN_SUCCESSFUL
    return context.step is not None and context.step.experiment is not None and is_successful and not context.halted_by


def destinations(context: RolloutContext) -> tuple[WeightDestination, ...]:
    """Return the further destinations of traffic: the weighted templates of the Experiment, while it is running.

    In the order of the Experiment's own status, which knows the Services and hashes behind the templates. Before it is
    running and after it has ended there are none, so that the traffic is gone before its pods are.
    """
    step, experiment = _last_step(context), current_experiment(context)
    if step is None or experiment is None or experiment.status.phase != names.RUN_RUNNING:
        return ()
    weights = {each.name: each.weight for each in step.templates}
    found = []
    for template in experiment.status.template_statuses:
        weight = weights.get(template.name)
        if weight is not None:
            found.append(
                WeightDestination(
                    weight=weight, service_name=template.service_name, pod_template_hash=template.pod_template_hash
                )
            )
    return tuple(found)


def _last_step(context: RolloutContext) -> ExperimentStep | None:
    """Return the experiment of the current step, or of the last one before it that has any."""
    index = context.step_index
    until = 0 if index is None else index + 1
    return next((each.experiment for each in reversed(context.steps[:until]) if each.experiment is not None), None)


def _judge(draft: Draft, experiment: Experiment) -> None:
    phase, message = experiment.status.phase, experiment.status.message
    if phase == names.RUN_INCONCLUSIVE:
        draft.pause(names.PAUSE_INCONCLUSIVE_EXPERIMENT)
    elif phase in (names.RUN_FAILED, names.RUN_ERROR):
        draft.abort(f"{_FAILURE}: {message}" if message else _FAILURE)
        draft.experiment = None


# ---- A new Experiment -------------------------------------------------------------------------------------------


def _try_to_begin(context: RolloutContext, draft: Draft, step: ExperimentStep) -> None:
    try:
        draft.experiment = _begin(context, draft, step)
    except (_InvalidStep, InvalidFieldPath) as err:
        draft.fail(f"no Experiment can be made for step {context.step_index}: {err}")
        draft.wait(
            Wait(
                reason=WaitReason.EXPERIMENT,
                message=f"no Experiment can be made: {err}",
                object=f"Rollout {context.rollout.metadata.name}",
                field=f"spec.strategy.canary.steps[{context.step_index}].experiment",
                remedy="change the step; it is tried again",
            )
        )


def _begin(context: RolloutContext, draft: Draft, step: ExperimentStep) -> Experiment:
    """Create an Experiment, unless an earlier pass has created just this one and could not record it; return it.

    Raises:
        _InvalidStep, InvalidFieldPath: no Experiment can be made of what the step says.
    """
    rollout, snapshot = context.rollout, context.snapshot
    spec = _spec(context, step)
    holders = [*snapshot.experiments, *(each for each in snapshot.taken if isinstance(each, Experiment))]
    name, found = runs.free_name(
        f"{rollout.metadata.name}-{context.pod_hash}-{draft.revision}-{context.step_index}",
        "-",
        holders,
        lambda each: runs.is_unfinished_and_ours(context, each) and json_equal(to_json(each.spec), to_json(spec)),
    )
    if found is not None:
        return found
    experiment = Experiment(
        metadata=ObjectMeta(
            name=name,
            namespace=rollout.metadata.namespace,
            labels={**rollout.metadata.labels, **runs.base_labels(context)},
            annotations={names.REVISION_ANNOTATION: str(draft.revision)},
            owner_references=(controller_reference(rollout),),
        ),
        spec=spec,
    )
    created = Event(names.EVENT_EXPERIMENT_CREATED, f"Created Experiment '{name}'")
    failure = runs.refusal(f"Experiment {name} could not be created")
    create = CreateExperiment(name=name, manifest=to_json(experiment), events=(created,), failure=failure)
    draft.act(Stage.RUNS, create)
    return experiment


def _spec(context: RolloutContext, step: ExperimentStep) -> ExperimentSpec:
    return ExperimentSpec(
        templates=tuple(_template(context, each) for each in step.templates),
        duration=step.duration,
        progress_deadline_seconds=context.spec.progress_deadline_seconds,
        analyses=_analyses(context, step.analyses),
        scale_down_delay_seconds=step.scale_down_delay_seconds,
        dry_run=step.dry_run,
        analysis_run_metadata=step.analysis_run_metadata,
    )


def _analyses(context: RolloutContext, analyses: Sequence[ExperimentStepAnalysis]) -> tuple[ExperimentAnalysis, ...]:
    return tuple(
        ExperimentAnalysis(
            name=each.name,
            template_name=each.template_name,
            cluster_scope=each.cluster_scope,
            args=runs.arguments(context, each.args),
            required_for_completion=each.required_for_completion,
        )
        for each in analyses
    )


def _template(context: RolloutContext, step: ExperimentStepTemplate) -> ExperimentTemplate:
    """Return a template that runs what the canary or stable ReplicaSet runs, under the labels of the step.

    The labels go into the selector, too, so that templates do not take each other's pods.
    """
    source = _source(context, step.spec_ref)
    selector = step.selector or source.spec.selector or LabelSelector()
    service = None
    if step.weight is not None or step.service is not None:
        service = ExperimentService(name=step.service.name if step.service is not None else "")
    return ExperimentTemplate(
        name=step.name,
        replicas=step.replicas,
        min_ready_seconds=source.spec.min_ready_seconds,
        selector=msgspec.structs.replace(selector, match_labels={**selector.match_labels, **step.metadata.labels}),
        template=_with_metadata(source, step),
        service=service,
    )


def _source(context: RolloutContext, spec_ref: str) -> ReplicaSet:
    found = {names.SPEC_REF_CANARY: context.new, names.SPEC_REF_STABLE: context.stable}.get(spec_ref)
    if found is None:
        raise _InvalidStep("Invalid template step SpecRef: must be canary or stable")
    return found


def _with_metadata(source: ReplicaSet, step: ExperimentStepTemplate) -> msgspec.Raw:
    """Return the pod template of the ReplicaSet with the labels and annotations of the step."""
    if not (step.metadata.labels or step.metadata.annotations):
        return source.spec.template
    template: JsonObject = msgspec.json.decode(source.spec.template, type=dict)
    metadata = _object_in(template, "metadata")
    for key, added in (("labels", step.metadata.labels), ("annotations", step.metadata.annotations)):
        if added:
            metadata[key] = {**_object_in(metadata, key), **added}
    template["metadata"] = metadata
    return msgspec.Raw(msgspec.json.encode(template))


def _object_in(parent: JsonObject, key: str) -> JsonObject:
    """Return a copy of the object at `key`; empty when it is absent or null."""
    value = parent.get(key)
    return dict(value) if isinstance(value, dict) else {}


# ---- Why it waits -----------------------------------------------------------------------------------------------


def _wait_for(context: RolloutContext, draft: Draft) -> None:
    experiment, name = draft.experiment, context.rollout.metadata.name
    if experiment is None or experiment.status.phase in names.COMPLETED_RUN_PHASES:
        return
    phase = experiment.status.phase
    state = "which is running" if phase == names.RUN_RUNNING else "whose pods are not available yet"
    if not phase:
        state = "which has not been started yet"
    running_since = experiment.status.available_at if phase == names.RUN_RUNNING else None
    until = f" for {experiment.spec.duration}" if experiment.spec.duration else ""
    position = f"step {(context.step_index or 0) + 1}/{len(context.steps)}"
    templates = ", ".join(each.name for each in experiment.spec.templates)
    draft.wait(
        Wait(
            reason=WaitReason.EXPERIMENT,
            message=f"{position} waits for Experiment {experiment.metadata.name}, {state}; it runs {templates}{until}",
            object=f"Experiment {experiment.metadata.name}",
            field="status.phase",
            since=running_since or experiment.metadata.creation_timestamp,
            remedy=f"to go on without its result: prograde promote {name}; to go back: prograde abort {name}",
        )
    )
