"""Ephemeral metadata: labels and annotations that pods carry only while their revision plays a part.

The canary (preview) and the stable (active) pods get what the strategy says, in their ReplicaSet's template for pods to
come and on the running pods themselves; when the part changes, so does the metadata, without a restart. What was
injected is recorded on the ReplicaSet as an annotation, so that exactly that can be taken away again. Values that were
there before and got overwritten are not restored.
"""

from collections.abc import Iterable, Mapping

import msgspec

from prograde.api import names
from prograde.api.analysis import PodTemplateMetadata
from prograde.api.meta import is_controlled_by
from prograde.api.podtemplate import template_metadata
from prograde.api.workloads import Pod, ReplicaSet
from prograde.core.plan import PatchPodMetadata
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.replicasets import hash_of, size_of

__all__ = ["injected_into", "metadata_for_new", "record_of", "sync"]


def sync(context: RolloutContext, draft: Draft) -> None:
    """Bring the metadata of all ReplicaSets and their pods in line with the parts that they play.

    Also runs when the strategy no longer says anything, as long as something injected is left.
    """
    if not _is_configured(context) and not any(injected_into(each) is not None for each in context.replica_sets):
        return
    for replica_set in context.replica_sets:
        _sync_one(context, draft, replica_set, _wanted(context, replica_set))


def metadata_for_new(context: RolloutContext) -> PodTemplateMetadata | None:
    """Return what a ReplicaSet that is created now starts with; None for nothing."""
    is_challenger = context.stable is not None and context.stable is not context.new
    return _challenger_metadata(context) if is_challenger else _incumbent_metadata(context)


def injected_into(replica_set: ReplicaSet) -> PodTemplateMetadata | None:
    """Return what was injected into it; None when nothing was, or when the record cannot be read."""
    text = replica_set.metadata.annotations.get(names.EPHEMERAL_METADATA_ANNOTATION)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=PodTemplateMetadata)
    except (msgspec.DecodeError, UnicodeError):
        return None


def record_of(metadata: PodTemplateMetadata) -> str:
    """Return the text that records `metadata` as injected."""
    return msgspec.json.encode(metadata, order="deterministic").decode()


def _is_configured(context: RolloutContext) -> bool:
    return _challenger_metadata(context) is not None or _incumbent_metadata(context) is not None


def _challenger_metadata(context: RolloutContext) -> PodTemplateMetadata | None:
    if context.blue_green is not None:
        return context.blue_green.preview_metadata
    return context.canary.canary_metadata if context.canary is not None else None


def _incumbent_metadata(context: RolloutContext) -> PodTemplateMetadata | None:
    if context.blue_green is not None:
        return context.blue_green.active_metadata
    return context.canary.stable_metadata if context.canary is not None else None


def _wanted(context: RolloutContext, replica_set: ReplicaSet) -> PodTemplateMetadata | None:
    """Return the metadata for the part that the ReplicaSet plays; None for a part without."""
    if replica_set is context.new:
        stable = context.status.stable_rs
        is_incumbent = not stable or stable == hash_of(replica_set)
        return _incumbent_metadata(context) if is_incumbent else _challenger_metadata(context)
    return _incumbent_metadata(context) if replica_set is context.stable else None


def _sync_one(
    context: RolloutContext, draft: Draft, replica_set: ReplicaSet, wanted: PodTemplateMetadata | None
) -> None:
    before = injected_into(replica_set)
    record = names.EPHEMERAL_METADATA_ANNOTATION
    template = template_metadata(replica_set.spec.template)
    labels, annotations = _changes(template.labels, template.annotations, before, wanted)
    recorded = replica_set.metadata.annotations.get(record)
    if labels or annotations or (recorded is not None and before != wanted):
        draft.patch_replica_set(
            replica_set,
            template_labels=labels,
            template_annotations=annotations,
            annotations={record: record_of(wanted) if wanted is not None else None},
        )
    if size_of(replica_set) == 0:
        return
    if context.snapshot.pods is None:
        draft.wants_pods = True
        return
    for pod in _pods_of(replica_set, context.snapshot.pods):
        labels, annotations = _changes(pod.metadata.labels, pod.metadata.annotations, before, wanted)
        if labels or annotations:
            draft.act(
                Stage.PODS,
                PatchPodMetadata(name=pod.metadata.name, uid=pod.metadata.uid, labels=labels, annotations=annotations),
            )


def _pods_of(replica_set: ReplicaSet, pods: Iterable[Pod]) -> Iterable[Pod]:
    return (pod for pod in pods if is_controlled_by(pod, replica_set.metadata.uid))


_NOTHING = PodTemplateMetadata()


def _changes(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    before: PodTemplateMetadata | None,
    wanted: PodTemplateMetadata | None,
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Return the labels and annotations to set, or to remove (None), so that what is there has `wanted`.

    Removed is only what was injected `before`.
    """
    before, wanted = before or _NOTHING, wanted or _NOTHING
    return (
        _map_changes(labels, before.labels, wanted.labels),
        _map_changes(annotations, before.annotations, wanted.annotations),
    )


def _map_changes(
    present: Mapping[str, str], before: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, str | None]:
    changes: dict[str, str | None] = {key: value for key, value in wanted.items() if present.get(key) != value}
    changes |= {key: None for key in before if key not in wanted and key in present}
    return changes
