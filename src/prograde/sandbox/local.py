"""The client that controllers and the kubelet use: the verbs of the API server, without bytes.

It is an ordinary client. Its writes are admitted, validated, tracked and watched like everybody's.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from prograde.sandbox import subresources
from prograde.sandbox.client import ChangeCallback, Resource
from prograde.sandbox.deletion import DeleteOptions, delete
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.store import ChangeType, Entry
from prograde.sandbox.verbs import PatchType, Verbs, WriteOptions

__all__ = ["VerbsClient"]


class VerbsClient:
    """A `LocalClient` that writes in the name of one manager."""

    def __init__(self, verbs: Verbs, manager: str = "kube-controller-manager", *, is_trusted: bool = False) -> None:
        self._verbs = verbs
        self._store = verbs.store
        self._options = WriteOptions(manager=manager, validation="Ignore", is_trusted=is_trusted)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        entry = self._store.bucket(resource).get(namespace, name)
        return None if entry is None else entry.obj

    def list(self, resource: Resource, namespace: str | None = None) -> Iterable[Object]:
        return (entry.obj for entry in self._store.bucket(resource).scan(namespace))

    def dependents(self, owner_uid: str) -> Iterator[tuple[Resource, Object]]:
        return ((resource, entry.obj) for resource, entry in self._store.owned_by(owner_uid))

    def pods_on_node(self, node: str) -> Iterator[Object]:
        return (entry.obj for entry in self._store.on_node(node))

    def create(self, resource: Resource, namespace: str, obj: Object) -> Object:
        return self._verbs.create(self._kind(resource), namespace, dict(obj), self._options).obj

    def update(self, resource: Resource, namespace: str, obj: Object, *, subresource: str = "") -> Object:
        kind, name = self._kind(resource), obj["metadata"]["name"]
        if subresource == "scale":
            entry = self._verbs.get(kind, namespace, name)
            return subresources.update_scale(self._verbs, kind, entry, obj, self._options).obj
        return self._verbs.update(kind, namespace, name, dict(obj), self._options, subresource=subresource).obj

    def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, subresource: str = "", kind: str = "merge"
    ) -> Object:
        row, patch_type = self._kind(resource), _patch_type(kind)
        if subresource == "scale":
            entry = self._verbs.get(row, namespace, name)
            return subresources.patch_scale(self._verbs, row, entry, patch_type, patch, self._options).obj
        if subresource == "binding":
            binding = {**patch, "target": {"kind": "Node", "name": patch["spec"]["nodeName"]}}
            subresources.bind(self._verbs, row, self._verbs.get(row, namespace, name), binding, self._options)
            return self._verbs.get(row, namespace, name).obj
        written = self._verbs.patch(row, namespace, name, patch_type, patch, self._options, subresource=subresource)
        return written.obj

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> None:
        kind = self._kind(resource)
        entry = self._verbs.get(kind, namespace, name)
        delete(self._verbs, kind, entry, DeleteOptions(uid=uid, grace_seconds=grace_seconds, propagation=propagation))

    def resources(self) -> Iterable[Resource]:
        return self._verbs.registry.resources()

    def kind_of(self, api_version: str, kind: str) -> Resource | None:
        row = self._verbs.registry.by_kind(api_version, kind)
        return None if row is None else row.storage_key

    def is_namespaced(self, resource: Resource) -> bool:
        return self._kind(resource).namespaced

    def subscribe(self, callback: ChangeCallback) -> None:
        def pass_on(change_type: ChangeType, resource: Resource, entry: Entry, previous: Entry | None) -> None:
            callback(change_type, resource, entry.obj, None if previous is None else previous.obj)

        self._store.subscribe(pass_on)

    def _kind(self, resource: Resource) -> Kind:
        kind = self._verbs.registry.stored(resource)
        if kind is None:
            raise StatusError(404, "NotFound", "the server could not find the requested resource")
        return kind


def _patch_type(name: str) -> PatchType:
    match name:
        case "merge" | "json" | "strategic":
            return name
        case _:
            raise ValueError(f"{name}: not a type of patch")
