"""Deployments become ReplicaSets, one per pod template, and move pods from old to new.

One pass: find the Deployment's ReplicaSets; create the one for the present template if there is none; take one step of
scaling within the limits; write the status. What a step changes comes back as changes of ReplicaSets. What happens to
counts is decided in `deployment_plan`; here it is read and written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.deployment_plan import (
    DESIRED_ANNOTATION,
    HASH_LABEL,
    HISTORY_ANNOTATION,
    MAX_ANNOTATION,
    REVISION_ANNOTATION,
    Limits,
    deployment_status,
    is_complete,
    is_saturated,
    is_scaling,
    limits_of,
    new_replica_count,
    old_replica_counts,
    progress_deadline,
    proportional_counts,
    replicas_of,
    revision_of,
    same_template,
    set_condition,
    template_hash,
    with_progress,
)
from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.index import PODS
from prograde.sandbox.controllers.objects import (
    controller_of,
    find_condition,
    is_deleting,
    is_terminal,
    labels_of,
    matches,
    owner_reference,
)
from prograde.sandbox.controllers.replicaset import REPLICASETS
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["DEPLOYMENTS", "DeploymentController"]

DEPLOYMENTS: Resource = ("apps", "deployments")

_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION_ANNOTATION,
        HISTORY_ANNOTATION,
        DESIRED_ANNOTATION,
        MAX_ANNOTATION,
        "deprecated.deployment.rollback.to",
    }
)
"""Annotations of a Deployment that say nothing about its ReplicaSets."""

HISTORY_LENGTH_MAX = 2000
"""Characters of the revision history annotation; the oldest revisions are dropped beyond."""


@dataclass(frozen=True, slots=True)
class _Family:
    """A Deployment and its ReplicaSets, old ones oldest first."""

    deployment: Object
    limits: Limits
    new: Object | None
    old: tuple[Object, ...]

    @property
    def all(self) -> tuple[Object, ...]:
        return (*self.old, self.new) if self.new is not None else self.old

    @property
    def is_recreate(self) -> bool:
        return (self.deployment["spec"].get("strategy") or {}).get("type") == "Recreate"


class DeploymentController(Controller):
    """Reconciles (namespace, name) of one Deployment."""

    name: ClassVar[str] = "deployment"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({DEPLOYMENTS, REPLICASETS, PODS})

    def __init__(self, client: LocalClient, now: Callable[[], datetime], recorder: EventRecorder) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._recorder = recorder
        self._orphans: dict[Key, None] = {}
        """ReplicaSets without a controller: candidates for adoption."""

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        namespace, name = new["metadata"]["namespace"], new["metadata"]["name"]
        if resource == DEPLOYMENTS:
            if change != "DELETED":
                self.enqueue((namespace, name))
            return
        if resource == PODS:
            if change == "DELETED":
                self._enqueue_owner_of_owner(new)
            return
        self._orphans.pop((namespace, name), None)
        for each in (new, previous):
            owner = controller_of(each) if each is not None else None
            if owner is not None and owner["kind"] == "Deployment":
                self.enqueue((namespace, owner["name"]))
        if change != "DELETED" and controller_of(new) is None:
            self._orphans[namespace, name] = None
            for deployment in self._client.list(DEPLOYMENTS, namespace):
                if matches(deployment["spec"]["selector"], labels_of(new)):
                    self.enqueue((namespace, deployment["metadata"]["name"]))

    def _enqueue_owner_of_owner(self, pod: Object) -> None:
        """A Deployment that recreates waits for its old pods to be gone, not just for their ReplicaSets."""
        owner = controller_of(pod)
        if owner is None or owner["kind"] != "ReplicaSet":
            return
        replica_set = self._client.get(REPLICASETS, pod["metadata"]["namespace"], owner["name"])
        above = controller_of(replica_set) if replica_set is not None else None
        if above is not None and above["kind"] == "Deployment":
            self.enqueue((pod["metadata"]["namespace"], above["name"]))

    def reconcile(self, key: Key) -> datetime | None:
        deployment = self._client.get(DEPLOYMENTS, *key)
        if deployment is None:
            return None
        replica_sets = self._claim(deployment)
        if is_deleting(deployment):
            return self._write_status(self._family(deployment, replica_sets), has_progress=False)
        deployment = self._note_pause(deployment)
        family = self._family(deployment, replica_sets)
        if deployment["spec"].get("paused") or is_scaling(deployment, replica_sets):
            family = self._with_revisions(family)
            self._scale(family)
            if deployment["spec"].get("paused"):
                self._clean_up(family)
            return self._write_status(self._refreshed(family), has_progress=False)
        if family.is_recreate:
            return self._recreate(family)
        return self._roll(family)

    # -- ReplicaSets ---------------------------------------------------------------------------------------------

    def _claim(self, deployment: Object) -> list[Object]:
        """Return the Deployment's ReplicaSets, oldest first, after adopting and releasing."""
        meta, selector = deployment["metadata"], deployment["spec"]["selector"]
        owned = []
        for resource, obj in list(self._client.dependents(meta["uid"])):
            owner = controller_of(obj)
            if resource != REPLICASETS or owner is None or owner["uid"] != meta["uid"]:
                continue
            if matches(selector, labels_of(obj)) or is_deleting(deployment):
                owned.append(obj)
            else:
                self._set_owners(obj, [ref for ref in obj["metadata"]["ownerReferences"] if ref is not owner])
        for namespace, name in () if is_deleting(deployment) else tuple(self._orphans):
            orphan = self._client.get(REPLICASETS, namespace, name) if namespace == meta["namespace"] else None
            if orphan is not None and not is_deleting(orphan) and matches(selector, labels_of(orphan)):
                references = orphan["metadata"].get("ownerReferences") or []
                owned.append(self._set_owners(orphan, [*references, _reference(deployment)]))
        return sorted(owned, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"]))

    def _set_owners(self, replica_set: Object, references: list[Object]) -> Object:
        return self._patch(REPLICASETS, replica_set, {"metadata": {"ownerReferences": references or None}})

    def _family(self, deployment: Object, replica_sets: Sequence[Object]) -> _Family:
        """Tell the new ReplicaSet from the old ones: the oldest with the present template is the new one."""
        template = deployment["spec"]["template"]
        new = next((each for each in replica_sets if same_template(template, each["spec"]["template"])), None)
        old = tuple(each for each in replica_sets if each is not new)
        return _Family(deployment, limits_of(deployment), new, old)

    def _refreshed(self, family: _Family) -> _Family:
        """Return the family as stored now, after writes."""
        meta = family.deployment["metadata"]
        deployment = self._client.get(DEPLOYMENTS, meta["namespace"], meta["name"]) or family.deployment
        return self._family(deployment, self._claim(deployment))

    def _with_revisions(self, family: _Family) -> _Family:
        """Number the new ReplicaSet as the latest revision, and the Deployment after it."""
        if family.new is None:
            return family
        deployment, meta = family.deployment, family.new["metadata"]
        annotations = dict(meta.get("annotations") or {})
        wanted = {**annotations, **_copied_annotations(deployment)}
        latest = max((revision_of(each) for each in family.old), default=0) + 1
        if revision_of(family.new) < latest:
            before = annotations.get(REVISION_ANNOTATION, "")
            wanted[REVISION_ANNOTATION] = str(latest)
            if before:
                history = [*filter(None, annotations.get(HISTORY_ANNOTATION, "").split(",")), before]
                while len(",".join(history)) > HISTORY_LENGTH_MAX:
                    history.pop(0)
                wanted[HISTORY_ANNOTATION] = ",".join(history)
        wanted |= _count_annotations(family.limits)
        changes: Object = {}
        if wanted != annotations:
            changes["metadata"] = {"annotations": wanted}
        min_ready = deployment["spec"].get("minReadySeconds", 0)
        if family.new["spec"].get("minReadySeconds", 0) != min_ready:
            changes["spec"] = {"minReadySeconds": min_ready}
        new = self._patch(REPLICASETS, family.new, changes) if changes else family.new
        deployment = self._with_revision(deployment, wanted[REVISION_ANNOTATION])
        if find_condition((deployment.get("status") or {}).get("conditions"), "Progressing") is None:
            message = f'Found new replica set "{meta["name"]}"'
            deployment = self._write_progress(deployment, "True", "FoundNewReplicaSet", message)
        return _Family(deployment, family.limits, new, family.old)

    def _with_revision(self, deployment: Object, revision: str) -> Object:
        if (deployment["metadata"].get("annotations") or {}).get(REVISION_ANNOTATION) == revision:
            return deployment
        return self._patch(DEPLOYMENTS, deployment, {"metadata": {"annotations": {REVISION_ANNOTATION: revision}}})

    def _with_new(self, family: _Family) -> _Family:
        """Return the family with a ReplicaSet for the present template, created if there is none.

        Raises:
            StatusError: it cannot be created; the status says why.
        """
        if family.new is not None:
            return self._with_revisions(family)
        deployment = family.deployment
        total = sum(replicas_of(each) for each in family.old)
        count = new_replica_count(family.limits, 0, total, is_recreate=family.is_recreate)
        collisions = (deployment.get("status") or {}).get("collisionCount", 0)
        revision = max((revision_of(each) for each in family.old), default=0) + 1
        wanted = _new_replica_set(deployment, family.limits, template_hash(deployment["spec"]["template"], collisions))
        wanted["metadata"]["annotations"] |= {REVISION_ANNOTATION: str(revision)}
        wanted["spec"]["replicas"] = count
        try:
            new = self._client.create(REPLICASETS, deployment["metadata"]["namespace"], wanted)
        except StatusError as err:
            if err.reason == "AlreadyExists":
                # Another ReplicaSet has the name: choose another one next time.
                self._patch(DEPLOYMENTS, deployment, {"status": {"collisionCount": collisions + 1}}, "status")
            else:
                self._write_progress(deployment, "False", "ReplicaSetCreateError", err.message)
            raise
        name = new["metadata"]["name"]
        if count > 0:
            self._record(deployment, "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {count}")
        deployment = self._with_revision(deployment, str(revision))
        deployment = self._write_progress(
            deployment, "True", "NewReplicaSetCreated", f'Created new replica set "{name}"'
        )
        return _Family(deployment, family.limits, new, family.old)

    # -- strategies ----------------------------------------------------------------------------------------------

    def _roll(self, family: _Family) -> datetime | None:
        """Take one step of a rolling update: new pods first, then fewer old ones."""
        family = self._with_new(family)
        assert family.new is not None, "it was just made sure of"
        total = sum(replicas_of(each) for each in family.all)
        count = new_replica_count(family.limits, replicas_of(family.new), total)
        if not self._scale_to(family, family.new, count):
            active = [each for each in family.old if replicas_of(each) > 0]
            for name, lower in old_replica_counts(family.limits, family.new, active).items():
                self._scale_to(family, next(each for each in active if each["metadata"]["name"] == name), lower)
        return self._finish(family)

    def _recreate(self, family: _Family) -> datetime | None:
        """Remove all old pods, wait until they are gone, then create the new ones."""
        scaled = [self._scale_to(family, each, 0) for each in family.old if replicas_of(each) > 0]
        if any(scaled) or self._has_old_pods(family):
            return self._write_status(self._refreshed(family), has_progress=True)
        family = self._with_new(family)
        assert family.new is not None, "it was just made sure of"
        self._scale_to(family, family.new, family.limits.desired)
        return self._finish(family)

    def _has_old_pods(self, family: _Family) -> bool:
        return any(
            resource == PODS and not is_terminal(pod)
            for each in family.old
            for resource, pod in self._client.dependents(each["metadata"]["uid"])
        )

    def _finish(self, family: _Family) -> datetime | None:
        family = self._refreshed(family)
        status = deployment_status(family.deployment, family.limits, family.new, family.all, self._now())
        if is_complete(family.deployment, status):
            self._clean_up(family)
            family = self._refreshed(family)
        return self._write_status(family, has_progress=True)

    def _scale(self, family: _Family) -> None:
        """Follow a change of the Deployment's count without moving pods between versions."""
        active = [each for each in family.all if replicas_of(each) > 0]
        if len(active) <= 1:
            candidates = active or ([family.new] if family.new is not None else list(family.old[-1:]))
            for each in candidates:
                self._scale_to(family, each, family.limits.desired)
        elif is_saturated(family.deployment, family.new):
            for each in family.old:
                self._scale_to(family, each, 0)
        elif not family.is_recreate:
            counts = proportional_counts(family.deployment, family.limits, active)
            for each in active:
                self._scale_to(family, each, counts[each["metadata"]["name"]])

    def _scale_to(self, family: _Family, replica_set: Object, count: int) -> bool:
        """Scale one ReplicaSet and note for which Deployment size; return whether its count changed."""
        before = replicas_of(replica_set)
        annotations = replica_set["metadata"].get("annotations") or {}
        wanted = _count_annotations(family.limits)
        if before == count and wanted.items() <= annotations.items():
            return False
        changes: Object = {"metadata": {"annotations": wanted}}
        if before != count:
            changes["spec"] = {"replicas": count}
        self._patch(REPLICASETS, replica_set, changes)
        if before != count:
            direction = "up" if count > before else "down"
            name = replica_set["metadata"]["name"]
            message = f"Scaled {direction} replica set {name} from {before} to {count}"
            self._record(family.deployment, "ScalingReplicaSet", message)
        return before != count

    def _clean_up(self, family: _Family) -> None:
        """Delete old ReplicaSets beyond the history limit, lowest revisions first; those with pods stay."""
        limit = family.deployment["spec"].get("revisionHistoryLimit", 10)
        alive = [each for each in family.old if not is_deleting(each)]
        for each in sorted(alive, key=revision_of)[: max(0, len(alive) - limit)]:
            meta, status = each["metadata"], each.get("status") or {}
            if status.get("replicas", 0) or replicas_of(each):
                continue
            if meta.get("generation", 0) > status.get("observedGeneration", 0):
                continue
            self._client.delete(REPLICASETS, meta["namespace"], meta["name"], uid=meta["uid"])

    # -- status --------------------------------------------------------------------------------------------------

    def _note_pause(self, deployment: Object) -> Object:
        """Say in the Progressing condition that the Deployment was paused or resumed."""
        if deployment["spec"].get("progressDeadlineSeconds") is None:
            return deployment
        current = find_condition((deployment.get("status") or {}).get("conditions"), "Progressing")
        if current is not None and current["reason"] == "ProgressDeadlineExceeded":
            return deployment
        is_paused = bool(deployment["spec"].get("paused"))
        is_noted = current is not None and current["reason"] == "DeploymentPaused"
        if is_paused and not is_noted:
            return self._write_progress(deployment, "Unknown", "DeploymentPaused", "Deployment is paused")
        if not is_paused and is_noted:
            return self._write_progress(deployment, "Unknown", "DeploymentResumed", "Deployment is resumed")
        return deployment

    def _write_progress(self, deployment: Object, status: str, reason: str, message: str) -> Object:
        if deployment["spec"].get("progressDeadlineSeconds") is None:
            return deployment
        known = (deployment.get("status") or {}).get("conditions") or []
        conditions = set_condition(known, "Progressing", status, reason, message, self._now())
        return self._patch(DEPLOYMENTS, deployment, {"status": {"conditions": conditions}}, "status")

    def _write_status(self, family: _Family, *, has_progress: bool) -> datetime | None:
        """Write what changed of the status; return when to look at the progress deadline."""
        deployment, now = family.deployment, self._now()
        status = deployment_status(deployment, family.limits, family.new, family.all, now)
        if has_progress:
            status = with_progress(deployment, status, family.new, now)
        current = deployment.get("status") or {}
        changed = {name: value for name, value in status.items() if current.get(name) != value}
        if changed:
            self._patch(DEPLOYMENTS, deployment, {"status": changed}, "status")
        return progress_deadline(deployment, status)

    def _patch(self, resource: Resource, obj: Object, patch: Object, subresource: str = "") -> Object:
        meta = obj["metadata"]
        patch = {**patch, "metadata": {**patch.get("metadata", {}), "uid": meta["uid"]}}
        return self._client.patch(resource, meta["namespace"], meta["name"], patch, subresource=subresource)

    def _record(self, deployment: Object, reason: str, message: str) -> None:
        self._recorder.record(deployment, "apps/v1", "Deployment", "Normal", reason, message)


def _reference(deployment: Object) -> Object:
    return owner_reference(deployment, "apps/v1", "Deployment")


def _copied_annotations(deployment: Object) -> dict[str, str]:
    annotations = deployment["metadata"].get("annotations") or {}
    return {name: value for name, value in annotations.items() if name not in _NOT_COPIED}


def _count_annotations(limits: Limits) -> dict[str, str]:
    return {DESIRED_ANNOTATION: str(limits.desired), MAX_ANNOTATION: str(limits.max_total)}


def _new_replica_set(deployment: Object, limits: Limits, name_hash: str) -> Object:
    meta, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: name_hash}
    selector = spec["selector"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{name_hash}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {**_copied_annotations(deployment), **_count_annotations(limits)},
            "ownerReferences": [_reference(deployment)],
        },
        "spec": {
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: name_hash}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
            **({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
        },
    }
