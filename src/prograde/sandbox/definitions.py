"""What a CustomResourceDefinition sets in motion: routes, conditions, and at its end the deletion of its objects.

`prograde.sandbox.crd` knows what a definition means; here its meaning takes effect. That happens inside the write of
the definition, so that there is no moment in which a client can read ``Established`` and miss the routes: the kinds are
registered first, then the condition is stored.
"""

from dataclasses import dataclass
from typing import Any

from prograde.sandbox import crd
from prograde.sandbox.client import Resource
from prograde.sandbox.deletion import DeleteOptions, delete
from prograde.sandbox.errors import StatusError
from prograde.sandbox.forms import copy_object
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.store import Entry
from prograde.sandbox.updates import is_finished
from prograde.sandbox.verbs import Verbs

__all__ = ["Definitions"]

CRDS: Resource = ("apiextensions.k8s.io", "customresourcedefinitions")


@dataclass
class Definitions:
    """A hook of the write verbs that keeps registry and definitions in step."""

    verbs: Verbs

    def __call__(self, kind: Kind, entry: Entry | None, previous: Entry | None) -> None:
        if kind.storage_key == CRDS:
            if entry is None:
                assert previous is not None, "what is removed was there before"
                self._forget(previous.obj)
                self._admit_waiting(kind, previous.key)
            elif "deletionTimestamp" in entry.obj["metadata"]:
                self._delete_instances(kind, entry)
            elif previous is None or previous.obj["spec"] != entry.obj["spec"]:
                self._establish(kind, entry)
        elif kind.is_custom and entry is None:
            self._finish(kind)

    def _establish(self, kind: Kind, entry: Entry) -> None:
        """Serve what the definition says from now on, then say so in its status."""
        self._admit(kind, entry)
        spec = entry.obj["spec"]
        self._refresh((spec["group"], spec["names"]["plural"]))
        self._admit_waiting(kind, entry.key)

    def _admit(self, kind: Kind, entry: Entry) -> None:
        definition = entry.obj
        others = [other.obj for other in self.verbs.store.bucket(CRDS).scan()]
        status = crd.admit(definition, others, self.verbs.now())
        admitted = {**definition, "metadata": dict(definition["metadata"]), "status": status}
        if crd.is_established(admitted):
            self.register(admitted)
        if status != definition.get("status"):
            self.verbs.store.put(kind.storage_key, admitted)

    def _admit_waiting(self, kind: Kind, changed: str) -> None:
        """Look again at the definitions that wait for a name: `changed` may have given one up."""
        for other in list(self.verbs.store.bucket(CRDS).scan()):
            if other.key != changed and not crd.is_established(other.obj):
                self._admit(kind, other)

    def register(self, definition: Object) -> None:
        """Serve the versions of an established definition."""
        spec = definition["spec"]
        self.verbs.registry.replace((spec["group"], spec["names"]["plural"]), crd.kinds_of(definition))

    def _refresh(self, resource: Resource) -> None:
        """Fill defaults that a schema has gained into the objects stored before; that is no change of theirs."""
        kind = self.verbs.registry.stored(resource)
        bucket = self.verbs.store.bucket(resource)
        if kind is None or kind.schema is None or not len(bucket):
            return
        fresh: dict[str, Entry] = {}
        for key, entry in bucket.entries.items():
            try:
                obj = kind.schema.process(entry.obj).obj
            except StatusError:
                continue  # it does not fit the new schema at all: it stays readable as it is
            obj = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
            if obj != entry.obj:
                fresh[key] = Entry(key, obj, entry.revision)
        bucket.rewrite(fresh)

    def _delete_instances(self, kind: Kind, entry: Entry) -> None:
        resource = _resource_of(entry.obj)
        instances = self.verbs.registry.stored(resource)
        if instances is not None:
            for instance in list(self.verbs.store.bucket(resource).scan()):
                if instance.obj["metadata"].get("deletionTimestamp") is None:
                    delete(self.verbs, instances, instance, DeleteOptions())
        self._finish_definition(kind, entry.key)

    def _finish(self, instances: Kind) -> None:
        """An instance went: if it was the last one of a definition that waits for that, the definition goes too."""
        kind = self.verbs.registry.stored(CRDS)
        if kind is not None and not len(self.verbs.store.bucket(instances.storage_key)):
            self._finish_definition(kind, f"{instances.plural}.{instances.group}")

    def _finish_definition(self, kind: Kind, name: str) -> None:
        entry = self.verbs.store.bucket(CRDS).get("", name)
        if entry is None or "deletionTimestamp" not in entry.obj["metadata"]:
            return
        if crd.CLEANUP_FINALIZER not in entry.obj["metadata"].get("finalizers", ()):
            return
        if len(self.verbs.store.bucket(_resource_of(entry.obj))):
            return
        done = copy_object(crd.without_instances(entry.obj, self.verbs.now()))
        if is_finished(done):
            self.verbs.remove(kind, entry, done)
        else:
            self.verbs.store.put(kind.storage_key, done)

    def _forget(self, definition: Object) -> None:
        resource = _resource_of(definition)
        if crd.is_established(definition):
            self.verbs.registry.replace(resource, ())
            self.verbs.store.drop(resource)


def _resource_of(definition: Object) -> Resource:
    spec: dict[str, Any] = definition["spec"]
    return (spec["group"], spec["names"]["plural"])
