"""`spec.workloadRef`: a template that lives in another workload, and the pods of a Deployment that is being replaced.

A Rollout with a reference has no template of its own. `resolve` fills the workload's in before anything else is
looked at, in memory only; while there is nothing to fill in, the Rollout is frozen. The generation of the workload is
kept in an annotation of the Rollout and, once a pass has dealt with it, in its status; clients compare the two.

`scaleDown` says what becomes of a Deployment's own pods, which `replace_deployment` decides in every pass:

    never            nothing, ever
    onsuccess        none are left when the Rollout is healthy
    progressively    those go that the Rollout can do without: Deployment + available pods >= spec.replicas.
                     They come back, up to what the Deployment had, when the Rollout loses pods meanwhile

With Recreate there is no beside: all pods of the Deployment go before the first pod of the Rollout comes, unless
they are never to go; then the Rollout waits for somebody who sends them away.

The move happens once. When the Rollout is healthy for the first time, the Deployment goes to 0 and is marked as
replaced by this Rollout; from then on it is left alone, so that a person can go back by scaling it up. Argo Rollouts
looks at the revision number instead: a failed first revision leaves both workloads running for good, and a healthy
one fights whoever scales the Deployment up.
"""

from collections.abc import Mapping

from prograde.api import defaults, names
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.scalars import parse_integer
from prograde.api.workloadref import UnresolvedWorkload, resolve_workload
from prograde.api.workloads import Deployment
from prograde.core.objects import DEPLOYMENTS, ObjectRef
from prograde.core.plan import Event, ScaleWorkload
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.snapshot import RolloutSnapshot

__all__ = ["generation_change", "replace_deployment", "resolve", "sync_generation"]


def resolve(snapshot: RolloutSnapshot) -> Rollout:
    """Return the Rollout with the template of its workload, if it refers to one.

    Raises:
        UnresolvedWorkload: the reference leads nowhere. Without template and selector nobody can say what is ours, so
            nothing may be claimed, released or scaled.
    """
    if snapshot.workload_error:
        raise UnresolvedWorkload(snapshot.workload_error)
    return resolve_workload(snapshot.rollout, snapshot.workload)


def generation_change(before: Rollout, resolved: Rollout) -> dict[str, str | None]:
    """Return what changes in the annotations of the Rollout so that they say the generation of its workload.

    Without a reference there is none to be said.
    """
    key = names.WORKLOAD_GENERATION_ANNOTATION
    found = resolved.metadata.annotations.get(key)
    return {} if before.metadata.annotations.get(key) == found else {key: found}


def sync_generation(context: RolloutContext, draft: Draft) -> None:
    """Keep the generation of the workload in an annotation of the Rollout."""
    if change := generation_change(context.snapshot.rollout, context.rollout):
        draft.annotate_rollout(change)


def replace_deployment(context: RolloutContext, draft: Draft, status: RolloutStatus) -> None:
    """Scale the Deployment as `scaleDown` says; `status` is the complete new one.

    A Rollout that wants no pods replaces nothing: its Deployment is what serves.
    """
    deployment = context.snapshot.workload
    mode = defaults.effective_workload_scale_down(context.spec)
    if mode == names.SCALE_DOWN_NEVER or not isinstance(deployment, Deployment) or context.replicas == 0:
        return
    marks = deployment.metadata.annotations
    if marks.get(names.REPLACED_BY_ANNOTATION) == context.rollout.metadata.uid:
        return
    size = 1 if deployment.spec.replicas is None else deployment.spec.replicas
    size_before = max(size, parse_integer(marks.get(names.REPLICAS_BEFORE_ANNOTATION, "")) or 0)
    is_recreate = context.spec.strategy.recreate is not None
    if is_recreate and context.spec.paused:
        return
    if is_recreate or status.phase == names.PHASE_HEALTHY:
        _scale(context, draft, deployment, size, 0, _replaced(context, size_before))
    elif mode == names.SCALE_DOWN_PROGRESSIVELY:
        wanted = _size_beside(context, draft, size, size_before)
        if wanted != size:
            _scale(context, draft, deployment, size, wanted, {names.REPLICAS_BEFORE_ANNOTATION: str(size_before)})


def _replaced(context: RolloutContext, size_before: int) -> dict[str, str]:
    return {
        names.REPLACED_BY_ANNOTATION: context.rollout.metadata.uid,
        names.REPLICAS_BEFORE_ANNOTATION: str(size_before),
    }


def _size_beside(context: RolloutContext, draft: Draft, size: int, size_before: int) -> int:
    """Return how many pods the Deployment needs beside the pods that the Rollout has and keeps.

    Before the Rollout has any, the Deployment is left at its size, even if that is more than the Rollout will have. It
    is never made larger than it was found: what never had pods is not started.
    """
    lasting = sum(min(draft.size_after(each), each.status.available_replicas) for each in context.replica_sets)
    missing = max(0, context.replicas - lasting)
    if missing > size:
        return min(missing, size_before)
    return missing if lasting > 0 else size


def _scale(
    context: RolloutContext, draft: Draft, deployment: Deployment, size: int, wanted: int, marks: Mapping[str, str]
) -> None:
    metadata = deployment.metadata
    events: tuple[Event, ...] = ()
    if wanted != size:
        direction = "up" if wanted > size else "down"
        text = f"Scaled {direction} Deployment {metadata.name} from {size} to {wanted}"
        events = (Event(names.EVENT_SCALING_DEPLOYMENT, text),)
    action = ScaleWorkload(
        ref=ObjectRef(DEPLOYMENTS, context.rollout.metadata.namespace, metadata.name),
        uid=metadata.uid,
        replicas=wanted,
        annotations=marks,
        events=events,
    )
    # Last of all: whatever this plan does to the Rollout's own pods has then been accepted.
    draft.act(Stage.CLEAN_UP, action)
