"""Templates of an Experiment: a ReplicaSet each, its size, and how it stands.

A ReplicaSet is created without pods and sized in a later pass, when its Service is there. It is never changed apart
from its size: what its pods run is what the template said at the beginning.

    desired pods are available      Running, or Successful once the Experiment is over
    no progress for the deadline    Failed
    a write was refused             Error
    otherwise                       Progressing, or Successful when the Experiment is wound up
"""

from datetime import timedelta

import msgspec

from prograde.api import defaults, names
from prograde.api.codec import to_json
from prograde.api.experiment import ExperimentTemplate, ExperimentTemplateStatus
from prograde.api.meta import LabelSelector, ObjectMeta, controller_reference
from prograde.api.podtemplate import (
    is_same_template,
    pod_template_hash,
    template_metadata,
    with_metadata,
    without_metadata,
)
from prograde.api.scalars import format_time
from prograde.api.selectors import selector_with_label
from prograde.api.workloads import ReplicaSet, ReplicaSetSpec
from prograde.core.experiment import services
from prograde.core.experiment.context import LEFT_OVER_RETRY, Draft, ExperimentContext
from prograde.core.plan import CreateReplicaSet, DeleteReplicaSet, Event, PatchReplicaSet, Wait, WaitReason
from prograde.core.rollout.replicasets import scale_down_deadline_of, size_of

__all__ = ["decide", "decide_abandoned", "name_of", "progress_deadline_of", "replica_set_of"]

replace = msgspec.structs.replace


def decide(context: ExperimentContext, draft: Draft, template: ExperimentTemplate) -> ExperimentTemplateStatus:
    """Bring one template closer to what it is to be, and return its new status."""
    stored = context.template_status(template.name)
    status = stored if stored is not None else ExperimentTemplateStatus(name=template.name)
    replica_set = context.replica_sets.get(template.name)
    desired = context.desired(template)
    if replica_set is None:
        status = _create(context, draft, template, status)
    else:
        status = services.decide(context, draft, template, replica_set, status, desired)
        if desired == 0 or status.status != names.TEMPLATE_ERROR:
            status = _scale(context, draft, replica_set, template, status, desired)
    status = _counted(context, status, replica_set)
    if status.status not in names.COMPLETED_TEMPLATE_STATUSES:
        status = _judged(context, template, status, desired)
    _announce(draft, stored, status)
    _wait_for(context, draft, template, status, desired)
    return status


def decide_abandoned(
    context: ExperimentContext, draft: Draft, status: ExperimentTemplateStatus
) -> ExperimentTemplateStatus | None:
    """Clear up after a template that the spec no longer names; return its status, None when nothing is left of it.

    What it has decided stays decided: a failure is not forgotten.
    """
    replica_set, found = context.replica_sets.get(status.name), context.services.get(status.name, ())
    if replica_set is None and not found:
        return status if status.status in (names.TEMPLATE_FAILED, names.TEMPLATE_ERROR) else None
    if replica_set is None or replica_set.status.available_replicas == 0:
        services.delete(context, draft, found)
    if replica_set is not None:
        status = _scale(context, draft, replica_set, None, status, 0)
        if size_of(replica_set) == 0 and replica_set.status.replicas == 0:
            metadata = replica_set.metadata
            draft.changes.append(
                DeleteReplicaSet(name=metadata.name, uid=metadata.uid, resource_version=metadata.resource_version)
            )
    return _counted(context, status, replica_set)


# ---- The ReplicaSet ---------------------------------------------------------------------------------------------


def name_of(context: ExperimentContext, template: str) -> str:
    """Return the name of a template's ReplicaSet. It has no hash, and so does not change with the template."""
    return f"{context.experiment.metadata.name}-{template}"


def replica_set_of(context: ExperimentContext, template: ExperimentTemplate) -> ReplicaSet:
    """Return the ReplicaSet that a template gets, without pods."""
    stored = context.template_status(template.name)
    collision_count = stored.collision_count if stored is not None else None
    bare = without_metadata(template.template, labels=(names.POD_TEMPLATE_HASH_LABEL,))
    hash_label = {names.POD_TEMPLATE_HASH_LABEL: pod_template_hash(bare, collision_count)}
    pods = with_metadata(bare, labels=hash_label)
    selector = template.selector or LabelSelector()
    return ReplicaSet(
        metadata=ObjectMeta(
            name=name_of(context, template.name),
            namespace=context.experiment.metadata.namespace,
            labels=template_metadata(pods).labels,
            annotations={
                names.EXPERIMENT_NAME_ANNOTATION: context.experiment.metadata.name,
                names.EXPERIMENT_TEMPLATE_NAME_ANNOTATION: template.name,
            },
            owner_references=(controller_reference(context.experiment),),
        ),
        spec=ReplicaSetSpec(
            replicas=0,
            min_ready_seconds=template.min_ready_seconds,
            selector=selector_with_label(selector, *next(iter(hash_label.items()))),
            template=pods,
        ),
    )


def _create(
    context: ExperimentContext, draft: Draft, template: ExperimentTemplate, status: ExperimentTemplateStatus
) -> ExperimentTemplateStatus:
    """Create the ReplicaSet, also of a template that is over already: then it stays without pods.

    What was refused once is not asked for again.
    """
    if status.status == names.TEMPLATE_ERROR or not context.is_valid:
        return status
    replica_set = replica_set_of(context, template)
    name = replica_set.metadata.name
    refusal = context.refusal(CreateReplicaSet, name)
    if refusal is None:
        draft.creates.append(CreateReplicaSet(name=name, manifest=to_json(replica_set)))
        return replace(status, last_transition_time=context.stamp)
    if isinstance(refusal.existing, ReplicaSet):
        if context.is_of_template(refusal.existing, template.name) and is_same_template(
            replica_set.spec.template, refusal.existing.spec.template
        ):
            # An earlier pass has created it, and the cache has not heard of it yet.
            return replace(status, last_transition_time=context.stamp)
        if context.is_left_over(refusal.existing):
            draft.due.append(context.now + LEFT_OVER_RETRY)
            return replace(status, last_transition_time=status.last_transition_time or context.stamp)
        message = f"ReplicaSet '{name}' already exists and is not owned by experiment template {template.name}"
        return replace(status, status=names.TEMPLATE_ERROR, message=message)
    text = f'Failed to create new replica set "{name}": {refusal.message}'
    draft.record(names.REASON_REPLICA_SET_CREATE_ERROR, text, is_warning=True)
    message = f"Failed to create ReplicaSet for template '{template.name}': {refusal.message}"
    return replace(status, status=names.TEMPLATE_ERROR, message=message)


# ---- Its size ---------------------------------------------------------------------------------------------------


def _scale(
    context: ExperimentContext,
    draft: Draft,
    replica_set: ReplicaSet,
    template: ExperimentTemplate | None,
    status: ExperimentTemplateStatus,
    desired: int,
) -> ExperimentTemplateStatus:
    """Give the ReplicaSet its size. Pods that are not wanted any more stay for the delay, so that traffic can leave."""
    size, target, annotation = size_of(replica_set), desired, names.SCALE_DOWN_DEADLINE_ANNOTATION
    annotations: dict[str, str | None] = {}
    if desired > 0 and annotation in replica_set.metadata.annotations:
        # Left there, it would cut the delay short when the pods are to go again.
        annotations[annotation] = None
    elif desired == 0 and size > 0:
        kept = size if template is None else defaults.effective_experiment_replicas(template)
        target, annotations = _wind_down(context, draft, replica_set, kept)
    if target == size and not annotations:
        return status
    name = replica_set.metadata.name
    direction = "up" if target > size else "down"
    if (refusal := context.refusal(PatchReplicaSet, name)) is not None:
        failed = f"Failed to scale {name} {direction}: {refusal.message}"
        draft.record(names.EVENT_REPLICA_SET_UPDATE_ERROR, failed, is_warning=True)
        message = (
            f"Unable to scale ReplicaSet for template '{status.name}' to desired replica count '{target}': "
            f"{refusal.message}"
        )
        return replace(status, status=names.TEMPLATE_ERROR, message=message)
    text = f"Scaled {direction} ReplicaSet {name} from {size} to {target}"
    draft.changes.append(
        PatchReplicaSet(
            name=name,
            resource_version=replica_set.metadata.resource_version,
            replicas=target if target != size else None,
            annotations=annotations,
            events=(Event(names.EVENT_SCALING_REPLICA_SET, text),) if target != size else (),
        )
    )
    return replace(status, last_transition_time=context.stamp) if target != size else status


def _wind_down(
    context: ExperimentContext, draft: Draft, replica_set: ReplicaSet, kept: int
) -> tuple[int, dict[str, str | None]]:
    """Return the size of a ReplicaSet whose time is over, and how its annotations change.

    One transaction: pods never go because the deadline could not be written.
    """
    annotation = names.SCALE_DOWN_DEADLINE_ANNOTATION
    delay = timedelta(seconds=defaults.effective_experiment_scale_down_delay_seconds(context.spec))
    if not delay:
        return 0, {annotation: None} if annotation in replica_set.metadata.annotations else {}
    deadline = scale_down_deadline_of(replica_set)
    if deadline is not None and deadline.is_over(context.now):
        return 0, {}
    ends_at = context.stamp + delay if deadline is None else deadline.at
    assert ends_at is not None, "a deadline that cannot be read is over"
    draft.due.append(ends_at)
    draft.waits.append(
        Wait(
            reason=WaitReason.SCALE_DOWN_DELAY,
            message=f"ReplicaSet {replica_set.metadata.name} keeps its pods until {format_time(ends_at)}",
            object=f"ReplicaSet {replica_set.metadata.name}",
            field="spec.scaleDownDelaySeconds",
            until=ends_at,
        )
    )
    return kept, {annotation: format_time(ends_at)} if deadline is None else {}


# ---- How it stands ----------------------------------------------------------------------------------------------


def _counted(
    context: ExperimentContext, status: ExperimentTemplateStatus, replica_set: ReplicaSet | None
) -> ExperimentTemplateStatus:
    """Return the status with the pods that are there. Any change of them counts as progress."""
    pods = replica_set.status if replica_set is not None else ReplicaSet().status
    counted = replace(
        status,
        replicas=pods.replicas,
        updated_replicas=pods.replicas,
        ready_replicas=pods.ready_replicas,
        available_replicas=pods.available_replicas,
    )
    is_clock_missing = replica_set is not None and status.last_transition_time is None
    if counted != status or is_clock_missing:
        return replace(counted, last_transition_time=context.stamp)
    return counted


def progress_deadline_of(context: ExperimentContext, status: ExperimentTemplateStatus) -> timedelta:
    """Return how much time a template has left for its next progress."""
    since = status.last_transition_time if status.last_transition_time is not None else context.stamp
    return since + context.progress_deadline - context.now


def _judged(
    context: ExperimentContext, template: ExperimentTemplate, status: ExperimentTemplateStatus, desired: int
) -> ExperimentTemplateStatus:
    if status.available_replicas == desired:
        is_over = context.is_duration_over or context.is_terminating
        return replace(status, status=names.TEMPLATE_SUCCESSFUL if is_over else names.TEMPLATE_RUNNING)
    # Pods that are to go may take their time.
    if desired > 0 and progress_deadline_of(context, status) <= timedelta(0):
        seconds = defaults.effective_progress_deadline_seconds(context.spec)
        message = f"Template '{template.name}' exceeded its progressDeadlineSeconds ({seconds})"
        return replace(status, status=names.TEMPLATE_FAILED, message=message)
    if context.is_terminating:
        # Nobody waits for pods to go.
        return replace(status, status=names.TEMPLATE_SUCCESSFUL)
    return replace(status, status=names.TEMPLATE_PROGRESSING)


def _announce(draft: Draft, stored: ExperimentTemplateStatus | None, status: ExperimentTemplateStatus) -> None:
    before = stored.status if stored is not None else ""
    if status.status == before:
        return
    text = f"Template '{status.name}' transitioned from {before} -> {status.status}"
    is_warning = status.status in (names.TEMPLATE_FAILED, names.TEMPLATE_ERROR)
    draft.record(
        f"{names.EVENT_TEMPLATE_PREFIX}{status.status}",
        f"{text}: {status.message}" if status.message else text,
        is_warning=is_warning,
    )


def _wait_for(
    context: ExperimentContext,
    draft: Draft,
    template: ExperimentTemplate,
    status: ExperimentTemplateStatus,
    desired: int,
) -> None:
    if status.status != names.TEMPLATE_PROGRESSING:
        return
    draft.waits.append(
        Wait(
            reason=WaitReason.PODS_NOT_AVAILABLE,
            message=f"template {template.name} has {status.available_replicas} of {desired} pods available",
            object=f"ReplicaSet {name_of(context, template.name)}",
            field="status.availableReplicas",
            since=status.last_transition_time,
            until=context.now + progress_deadline_of(context, status) if desired > 0 else None,
            remedy="look at its pods; without progress until then the Experiment fails" if desired > 0 else "",
        )
    )
