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
from typing import Final

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

__all__ = ["generation_change", "is_replaced", "replace_deployment", "resolve", "sync_generation"]

FOLLOWERS_MAX: Final = 8
"""How many Rollouts a Deployment remembers. More than one at a time is rare, and those that are gone drop out first."""


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
    if is_replaced(context.rollout, deployment):
        return
    is_recreate = context.spec.strategy.recreate is not None
    if is_recreate and context.spec.paused:
        return
    if is_recreate or status.phase == names.PHASE_HEALTHY:
        followers = [*_followers_of(deployment)[-FOLLOWERS_MAX + 1 :], context.rollout.metadata.uid]
        _scale(context, draft, deployment, 0, {names.REPLACED_BY_ANNOTATION: ",".join(followers)})
    elif mode == names.SCALE_DOWN_PROGRESSIVELY:
        wanted = _size_beside(context, draft, deployment)
        if wanted != _size_of(deployment):
            _scale(context, draft, deployment, wanted, {})


def is_replaced(rollout: Rollout, deployment: Deployment) -> bool:
    """Tell whether the Rollout has taken over from the Deployment, and leaves it alone from then on."""
    return rollout.metadata.uid in _followers_of(deployment)


def _followers_of(deployment: Deployment) -> list[str]:
    marks = deployment.metadata.annotations.get(names.REPLACED_BY_ANNOTATION, "")
    return [uid for uid in marks.split(",") if uid]


def _size_of(deployment: Deployment) -> int:
    return 1 if deployment.spec.replicas is None else deployment.spec.replicas


def _size_before(deployment: Deployment) -> int:
    """Return how many pods the Deployment had before anybody took some, as far as that was written down."""
    noted = parse_integer(deployment.metadata.annotations.get(names.REPLICAS_BEFORE_ANNOTATION, "")) or 0
    return max(_size_of(deployment), noted)


def _size_beside(context: RolloutContext, draft: Draft, deployment: Deployment) -> int:
    """Return how many pods the Deployment needs beside the pods that the Rollout has and keeps.

    Before the Rollout has any, the Deployment is left at its size, even if that is more than the Rollout will have.
    Given back is only what this Rollout has taken itself: what never had pods is not started, and two Rollouts with the
    same Deployment do not undo each other's work for ever.
    """
    size = _size_of(deployment)
    lasting = sum(min(draft.size_after(each), each.status.available_replicas) for each in context.replica_sets)
    missing = max(0, context.replicas - lasting)
    if missing > size:
        is_ours = deployment.metadata.annotations.get(names.SCALED_BY_ANNOTATION) == context.rollout.metadata.uid
        return min(missing, _size_before(deployment)) if is_ours else size
    return missing if lasting > 0 else size


def _scale(
    context: RolloutContext, draft: Draft, deployment: Deployment, wanted: int, marks: Mapping[str, str]
) -> None:
    metadata, size = deployment.metadata, _size_of(deployment)
    marks = {
        **marks,
        names.SCALED_BY_ANNOTATION: context.rollout.metadata.uid,
        names.REPLICAS_BEFORE_ANNOTATION: str(_size_before(deployment)),
    }
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
