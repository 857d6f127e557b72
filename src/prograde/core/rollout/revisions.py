"""Revisions: which ReplicaSets are ours, which one is new, their numbers, and how long old ones are remembered.

A revision is a ReplicaSet. Its number is an annotation that only ever rises: a template that returns takes its old
ReplicaSet to the front of the queue under a new number, and keeps the former ones in a history. The identity of
a revision is the hash on its label; how that was computed once does not matter, since a ReplicaSet whose template
means the same as the Rollout's is the new one whatever its label says. So a controller that hashes in another way
redeploys nothing.
"""

from collections.abc import Sequence

import msgspec

from prograde.api import defaults, names, podtemplate
from prograde.api.meta import controller_of, controller_reference, is_controlled_by
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.scalars import go_quote
from prograde.api.selectors import selector_matches, selector_with_label
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import (
    AdoptReplicaSet,
    CreateReplicaSet,
    Event,
    JsonObject,
    ReleaseReplicaSet,
)
from prograde.core.rollout import affinity, metadata, runs
from prograde.core.rollout.conditions import condition, set_condition
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.replicasets import (
    by_age,
    desired_replicas_of,
    hash_of,
    newest_revision,
    revision_of,
    size_of,
)

__all__ = [
    "Claim",
    "claim",
    "clean_up_history",
    "create_new",
    "find_new",
    "is_own",
    "is_scaling_event",
    "name_of_new",
    "sync_revision",
]


# ---- Whose ReplicaSets? -----------------------------------------------------------------------------------------


class Claim(msgspec.Struct, frozen=True):
    """The ReplicaSets that belong to a Rollout, oldest first, and what has to change so that they do."""

    owned: tuple[ReplicaSet, ...]
    adopt: tuple[AdoptReplicaSet, ...] = ()
    release: tuple[ReleaseReplicaSet, ...] = ()


def claim(rollout: Rollout, replica_sets: Sequence[ReplicaSet]) -> Claim:
    """Sort out which ReplicaSets belong to the Rollout.

    Ours is what names us as controller and carries labels that our selector selects. An orphan with such labels is
    adopted, unless it is being deleted; one of ours that is no longer selected is released. Without a selector nothing
    can be said, so what we own we keep: taking "selects nothing" at its word would let go of every pod.
    """
    selector, uid = rollout.spec.selector, rollout.metadata.uid
    is_selecting = selector is not None and bool(selector.match_labels or selector.match_expressions)
    owned, adopt, release = [], [], []
    for each in replica_sets:
        if names.POD_TEMPLATE_HASH_LABEL not in each.metadata.labels:
            continue
        owner = controller_of(each)
        if owner is not None and owner.uid != uid:
            continue
        is_ours = owner is not None
        is_selected = is_selecting and selector_matches(selector, each.metadata.labels)
        if is_ours and (is_selected or not is_selecting):
            owned.append(each)
        elif is_ours:
            release.append(ReleaseReplicaSet(name=each.metadata.name, uid=each.metadata.uid, owner_uid=uid))
        elif is_selected and each.metadata.deletion_timestamp is None:
            adopt.append(_adoption(rollout, each))
    return Claim(owned=tuple(by_age(owned)), adopt=tuple(adopt), release=tuple(release))


def _adoption(rollout: Rollout, replica_set: ReplicaSet) -> AdoptReplicaSet:
    return AdoptReplicaSet(
        name=replica_set.metadata.name,
        uid=replica_set.metadata.uid,
        owner_api_version=names.API_VERSION,
        owner_kind=names.ROLLOUT,
        owner_name=rollout.metadata.name,
        owner_uid=rollout.metadata.uid,
    )


# ---- The new revision -------------------------------------------------------------------------------------------


def find_new(rollout: Rollout, computed_hash: str, replica_sets: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """Return the ReplicaSet of the Rollout's template among its own (oldest first); None if it is yet to be created.

    By label first, then by meaning: what controllers inject into the template of a ReplicaSet does not count.
    """
    labelled = next((each for each in replica_sets if hash_of(each) == computed_hash), None)
    if labelled is not None:
        return labelled
    return next((each for each in replica_sets if _means_the_same(rollout, each)), None)


def is_own(rollout: Rollout, replica_set: ReplicaSet) -> bool:
    """Tell whether a ReplicaSet that holds the name of a new one is just that: ours, with the same template."""
    return is_controlled_by(replica_set, rollout.metadata.uid) and _means_the_same(rollout, replica_set)


def _means_the_same(rollout: Rollout, replica_set: ReplicaSet) -> bool:
    injected = replica_set.metadata.annotations.get(names.EPHEMERAL_METADATA_ANNOTATION, "")
    return podtemplate.is_same_template(rollout.spec.template, replica_set.spec.template, injected)


def name_of_new(context: RolloutContext) -> str:
    """Return the name of the ReplicaSet that the template gets if it has none yet."""
    return f"{context.rollout.metadata.name}-{context.computed_hash}"


def create_new(context: RolloutContext, draft: Draft) -> RolloutStatus:
    """Create the ReplicaSet of a new revision, without pods, and return the status that says so.

    The status says nothing else, in particular not that the new generation has been observed: its phase is still about
    the revision before.
    """
    name, revision = name_of_new(context), newest_revision(context.replica_sets) + 1
    draft.act(Stage.CREATE, CreateReplicaSet(name=name, manifest=_manifest(context, name, revision)))
    created = Event(names.REASON_NEW_REPLICA_SET_CREATED, f"Created ReplicaSet {name} (revision {revision})")
    if not _number_rollout(context, draft, revision, also=(created,)):
        draft.record(created.reason, created.message)
    progressing = condition(
        names.CONDITION_PROGRESSING,
        names.CONDITION_TRUE,
        names.REASON_NEW_REPLICA_SET_CREATED,
        f"Created new replica set {go_quote(name)}",
        context.stamp,
    )
    return msgspec.structs.replace(context.status, conditions=set_condition(context.status.conditions, progressing))


def _manifest(context: RolloutContext, name: str, revision: int) -> JsonObject:
    rollout = context.rollout
    hash_label = {names.POD_TEMPLATE_HASH_LABEL: context.computed_hash}
    template: JsonObject = msgspec.json.decode(affinity.with_injected_term(context, rollout.spec.template), type=dict)
    template_metadata = _object_in(template, "metadata")
    labels = {**_object_in(template_metadata, "labels"), **hash_label}
    annotations: JsonObject = {
        **_copied_annotations(rollout),
        names.REVISION_ANNOTATION: str(revision),
        names.DESIRED_REPLICAS_ANNOTATION: str(context.replicas),
    }
    template_metadata["labels"] = dict(labels)
    if injected := metadata.metadata_for_new(context):
        template_metadata["labels"] = {**labels, **injected.labels}
        template_metadata["annotations"] = {**_object_in(template_metadata, "annotations"), **injected.annotations}
        annotations[names.EPHEMERAL_METADATA_ANNOTATION] = metadata.record_of(injected)
    template["metadata"] = template_metadata
    assert rollout.spec.selector is not None, "validation asks for a selector"
    selector = selector_with_label(rollout.spec.selector, *next(iter(hash_label.items())))
    spec: JsonObject = {
        "replicas": 0,
        "selector": msgspec.to_builtins(selector),
        "template": template,
    }
    if rollout.spec.min_ready_seconds:
        spec["minReadySeconds"] = rollout.spec.min_ready_seconds
    return {
        "apiVersion": ReplicaSet.API_VERSION,
        "kind": ReplicaSet.KIND,
        "metadata": {
            "name": name,
            "namespace": rollout.metadata.namespace,
            "labels": dict(labels),
            "annotations": annotations,
            "ownerReferences": [msgspec.to_builtins(controller_reference(rollout))],
        },
        "spec": spec,
    }


def _object_in(parent: JsonObject, key: str) -> JsonObject:
    """Return a copy of the object at `key`; empty when it is absent or null."""
    value = parent.get(key)
    return dict(value) if isinstance(value, dict) else {}


# ---- Numbers ----------------------------------------------------------------------------------------------------


def sync_revision(context: RolloutContext, draft: Draft) -> None:
    """Give the new ReplicaSet the highest number and the Rollout's annotations, and the Rollout its number.

    Its number never goes down, although older ReplicaSets may have gone meanwhile. An annotation that was taken off the
    Rollout stays on the ReplicaSet.
    """
    new = context.new
    assert new is not None, "it has been created, or the pass would have ended"
    present = new.metadata.annotations
    wanted = newest_revision(context.older) + 1
    current = revision_of(new)
    changes = {key: value for key, value in _copied_annotations(context.rollout).items() if present.get(key) != value}
    # A number that cannot be read is left alone, whoever wrote it.
    if current is None and not present.get(names.REVISION_ANNOTATION):
        changes[names.REVISION_ANNOTATION] = str(wanted)
        current = wanted
    elif current is not None and current < wanted:
        history = present.get(names.REVISION_HISTORY_ANNOTATION, "")
        changes[names.REVISION_ANNOTATION] = str(wanted)
        changes[names.REVISION_HISTORY_ANNOTATION] = f"{history},{current}" if history else str(current)
        current = wanted
    draft.annotate(new, changes)
    if new.spec.min_ready_seconds != context.spec.min_ready_seconds:
        draft.patch_replica_set(new, min_ready_seconds=context.spec.min_ready_seconds)
    affinity.refresh(context, draft, new)
    if current is not None:
        _number_rollout(context, draft, current)


def _copied_annotations(rollout: Rollout) -> dict[str, str]:
    return {
        key: value for key, value in rollout.metadata.annotations.items() if key not in names.ANNOTATIONS_NOT_COPIED
    }


def _number_rollout(context: RolloutContext, draft: Draft, revision: int, also: tuple[Event, ...] = ()) -> bool:
    """Write the revision on the Rollout, unless it is there already; tell whether it is written."""
    draft.revision = revision
    annotation = names.REVISION_ANNOTATION
    if context.snapshot.rollout.metadata.annotations.get(annotation) == str(revision):
        return False
    updated = Event(names.EVENT_ROLLOUT_UPDATED, f"Rollout updated to revision {revision}")
    draft.annotate_rollout({annotation: str(revision)}, (updated, *also))
    return True


def is_scaling_event(context: RolloutContext) -> bool:
    """Tell whether `spec.replicas` has changed since the new or the stable ReplicaSet was last sized.

    One without pods takes the ordinary way up. The others are not asked on purpose: nothing would ever correct a stale
    record on one of them.
    """
    for each in (context.new, context.stable):
        if each is not None and size_of(each) > 0:
            desired = desired_replicas_of(each)
            if desired is not None and desired != context.replicas:
                return True
    return False


# ---- History ----------------------------------------------------------------------------------------------------


def clean_up_history(context: RolloutContext, draft: Draft) -> None:
    """Delete the oldest other ReplicaSets beyond `revisionHistoryLimit`, and the runs of their revisions.

    Exactly as many of the oldest are looked at as are too many. One that still has pods, or whose emptiness its
    controller has not confirmed, stays, and no younger one goes in its place.
    """
    candidates = by_age(each for each in context.others if each.metadata.deletion_timestamp is None)
    excess = len(candidates) - defaults.effective_revision_history_limit(context.spec)
    for each in candidates[: max(0, excess)]:
        is_settled = each.metadata.generation <= each.status.observed_generation
        if size_of(each) == 0 and each.status.replicas == 0 and is_settled:
            draft.delete_replica_set(each)
            runs.delete_with_revision(context, draft, hash_of(each))
