"""The garbage collector: objects whose owners are gone go too, and owners that wait for their dependents are let go.

Two kinds of keys. An *object* key asks whether an object still has an owner. An *owner* key asks what an object that
is being deleted still waits for: ``foregroundDeletion`` waits until no dependent blocks it, ``orphan`` until no
dependent refers to it. The words of an owner reference's state, as seen from the dependent:

    solid      the owner exists and is not waiting for its dependents
    dangling   no such object, or another one with the same name
    waiting    the owner exists and is being deleted in the foreground: this dependent should go first
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, TypeAlias

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.events import EVENTS, EventRecorder
from prograde.sandbox.controllers.objects import is_deleting
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["FOREGROUND_FINALIZER", "ORPHAN_FINALIZER", "GarbageCollector"]

FOREGROUND_FINALIZER = "foregroundDeletion"
ORPHAN_FINALIZER = "orphan"

UNKNOWN_KIND_RETRY = timedelta(minutes=1)
"""An owner of a kind that is not served may come back with its definition; until then, its dependents are kept."""

OwnerState: TypeAlias = Literal["solid", "dangling", "waiting", "unknown", "unreachable"]
"""`unknown`: the kind is not served. `unreachable`: the owner lives in another namespace, which is not allowed."""


class GarbageCollector(Controller):
    name: ClassVar[str] = "garbage-collector"

    def __init__(self, client: LocalClient, now: Callable[[], datetime], recorder: EventRecorder) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._recorder = recorder
        # Where each living UID is: only to tell an owner in the wrong namespace from one that never existed.
        self._namespace_of: dict[str, str] = {}

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        if resource == EVENTS:
            return  # by far the most frequent objects, and nothing owns them
        meta = new["metadata"]
        references = meta.get("ownerReferences")
        if change == "DELETED":
            self._namespace_of.pop(meta["uid"], None)
            self.enqueue(("gone", meta["uid"]))
            for reference in references or ():
                self._enqueue_owner(reference, meta.get("namespace", ""))
            return
        self._namespace_of[meta["uid"]] = meta.get("namespace", "")
        before = previous["metadata"].get("ownerReferences") if previous is not None else None
        if references != before:
            if references:
                self.enqueue(("object", *resource, meta.get("namespace", ""), meta["name"]))
            for reference in before or ():
                self._enqueue_owner(reference, meta.get("namespace", ""))
        if "deletionTimestamp" in meta and _waits_for_dependents(new):
            self.enqueue(("owner", *resource, meta.get("namespace", ""), meta["name"]))

    def _enqueue_owner(self, reference: Object, namespace: str) -> None:
        resource = self._client.kind_of(reference["apiVersion"], reference["kind"])
        if resource is not None:
            scope = namespace if self._client.is_namespaced(resource) else ""
            self.enqueue(("owner", *resource, scope, reference["name"]))

    def reconcile(self, key: Key) -> datetime | None:
        if key[0] == "gone":
            for resource, dependent in self._client.dependents(key[1]):
                meta = dependent["metadata"]
                self.enqueue(("object", *resource, meta.get("namespace", ""), meta["name"]))
            return None
        resource, namespace, name = (key[1], key[2]), key[3], key[4]
        obj = self._client.get(resource, namespace, name)
        if obj is None:
            return None
        if key[0] == "owner":
            self._finish_owner(resource, obj)
            return None
        return self._collect(resource, obj)

    def _collect(self, resource: Resource, obj: Object) -> datetime | None:
        """Delete an object without owners, or take away the references that lead nowhere."""
        meta = obj["metadata"]
        references = meta.get("ownerReferences") or []
        if not references or is_deleting(obj):
            return None
        states = [self._owner_state(reference, obj) for reference in references]
        for reference, state in zip(references, states, strict=True):
            if state == "unreachable":
                self._record_invalid_namespace(resource, obj, reference)
        if "unknown" in states:
            return self._now() + UNKNOWN_KIND_RETRY
        kept = [ref for ref, state in zip(references, states, strict=True) if state == "solid"]
        if kept:
            if len(kept) < len(references):
                self._patch(resource, meta, {"uid": meta["uid"], "ownerReferences": kept})
            return None
        if not meta.get("namespace") and "unreachable" in states:
            return None  # a cluster-scoped object outlives a mistaken reference to a namespaced owner
        self._delete(resource, obj, "waiting" in states)
        return None

    def _owner_state(self, reference: Object, dependent: Object) -> OwnerState:
        owner_resource = self._client.kind_of(reference["apiVersion"], reference["kind"])
        if owner_resource is None:
            return "unknown"
        namespace = dependent["metadata"].get("namespace", "")
        is_namespaced = self._client.is_namespaced(owner_resource)
        if is_namespaced and not namespace:
            return "unreachable"
        owner = self._client.get(owner_resource, namespace if is_namespaced else "", reference["name"])
        if owner is None or owner["metadata"]["uid"] != reference["uid"]:
            elsewhere = self._namespace_of.get(reference["uid"])
            return "unreachable" if is_namespaced and elsewhere is not None and elsewhere != namespace else "dangling"
        if is_deleting(owner) and FOREGROUND_FINALIZER in (owner["metadata"].get("finalizers") or ()):
            return "waiting"
        return "solid"

    def _delete(self, resource: Resource, obj: Object, owner_waits: bool) -> None:
        meta = obj["metadata"]
        finalizers = meta.get("finalizers") or ()
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background"
        if ORPHAN_FINALIZER in finalizers:
            propagation = "Orphan"
        elif FOREGROUND_FINALIZER in finalizers or (owner_waits and self._has_dependents(meta["uid"])):
            propagation = "Foreground"
        try:
            self._client.delete(
                resource, meta.get("namespace", ""), meta["name"], uid=meta["uid"], propagation=propagation
            )
        except StatusError as err:
            if err.code != 404:
                raise

    def _has_dependents(self, uid: str) -> bool:
        return next(iter(self._client.dependents(uid)), None) is not None

    def _finish_owner(self, resource: Resource, owner: Object) -> None:
        meta = owner["metadata"]
        finalizers = meta.get("finalizers") or []
        if not is_deleting(owner):
            return
        dependents = list(self._client.dependents(meta["uid"]))
        if ORPHAN_FINALIZER in finalizers:
            for kind, dependent in dependents:
                left = [ref for ref in dependent["metadata"]["ownerReferences"] if ref["uid"] != meta["uid"]]
                patch = {"uid": dependent["metadata"]["uid"], "ownerReferences": left or None}
                self._patch(kind, dependent["metadata"], patch)
            self._drop_finalizer(resource, meta, ORPHAN_FINALIZER)
        elif FOREGROUND_FINALIZER in finalizers:
            for kind, dependent in dependents:
                inner = dependent["metadata"]
                self.enqueue(("object", *kind, inner.get("namespace", ""), inner["name"]))
            if not any(_blocks(dependent, meta["uid"]) for _, dependent in dependents):
                self._drop_finalizer(resource, meta, FOREGROUND_FINALIZER)

    def _drop_finalizer(self, resource: Resource, meta: Any, finalizer: str) -> None:
        left = [name for name in meta["finalizers"] if name != finalizer]
        self._patch(resource, meta, {"uid": meta["uid"], "finalizers": left or None})

    def _patch(self, resource: Resource, meta: Any, changes: Object) -> None:
        self._client.patch(resource, meta.get("namespace", ""), meta["name"], {"metadata": changes})

    def _record_invalid_namespace(self, resource: Resource, obj: Object, reference: Object) -> None:
        message = (
            f"ownerRef [{reference['apiVersion']}/{reference['kind']}, namespace: "
            f"{obj['metadata'].get('namespace', '')}, name: {reference['name']}, uid: {reference['uid']}] "
            "does not exist in namespace "
            f'"{obj["metadata"].get("namespace", "")}"'
        )
        api_version = obj.get("apiVersion") or (resource[0] or "v1")
        kind = obj.get("kind") or resource[1]
        self._recorder.record(obj, api_version, kind, "Warning", "OwnerRefInvalidNamespace", message)


def _waits_for_dependents(obj: Object) -> bool:
    finalizers = obj["metadata"].get("finalizers") or ()
    return FOREGROUND_FINALIZER in finalizers or ORPHAN_FINALIZER in finalizers


def _blocks(dependent: Object, owner_uid: str) -> bool:
    return any(
        ref["uid"] == owner_uid and ref.get("blockOwnerDeletion") for ref in dependent["metadata"]["ownerReferences"]
    )
