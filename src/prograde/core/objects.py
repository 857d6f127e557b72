"""Objects that are known by kind and name only: what routers and referenced workloads are made of.

Whatever Prograde has no type for is read and written as plain JSON, so that every field that it does not know survives.
A kind says by itself how it is reached; only its version may be set differently by an operator.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgspec

from prograde.api.meta import LabelSelector
from prograde.api.selectors import selector_matches

__all__ = [
    "DEPLOYMENTS",
    "DESTINATION_RULES",
    "INGRESSES",
    "VIRTUAL_SERVICES",
    "Json",
    "JsonObject",
    "ObjectKind",
    "ObjectRef",
    "ObjectSelection",
    "Objects",
]

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""A JSON value as Python reads it."""

JsonObject: TypeAlias = dict[str, Json]


class ObjectKind(msgspec.Struct, frozen=True, order=True):
    """A namespaced kind. `version` is what is asked for unless the operator says otherwise."""

    group: str
    version: str
    plural: str
    kind: str


class ObjectRef(msgspec.Struct, frozen=True, order=True):
    """One object, whether or not it exists."""

    kind: ObjectKind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.name}"


class ObjectSelection(msgspec.Struct, frozen=True):
    """All objects of a kind in one namespace whose labels match."""

    kind: ObjectKind
    namespace: str
    selector: LabelSelector


class Objects(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of the objects that somebody asked for, at one instant.

    `found` has every object asked for that exists, and may have others. `unserved` are the kinds that the API server
    does not know at all: their definitions are not installed.
    """

    found: Mapping[ObjectRef, JsonObject] = {}
    unserved: frozenset[ObjectKind] = frozenset()

    def get(self, ref: ObjectRef) -> JsonObject | None:
        """Return the object; None when it does not exist."""
        return self.found.get(ref)

    def select(self, selection: ObjectSelection) -> Iterator[tuple[ObjectRef, JsonObject]]:
        """Return the selected objects in the order of their names."""
        for ref in sorted(self.found):
            if ref.kind == selection.kind and ref.namespace == selection.namespace:
                obj = self.found[ref]
                metadata = obj.get("metadata")
                labels = metadata.get("labels") if isinstance(metadata, dict) else None
                texts = {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}
                if selector_matches(selection.selector, texts):
                    yield ref, obj


# The kinds that validation and the core itself look at; every other kind is known to its router alone.

DEPLOYMENTS = ObjectKind("apps", "v1", "deployments", "Deployment")
INGRESSES = ObjectKind("networking.k8s.io", "v1", "ingresses", "Ingress")
VIRTUAL_SERVICES = ObjectKind("networking.istio.io", "v1alpha3", "virtualservices", "VirtualService")
DESTINATION_RULES = ObjectKind("networking.istio.io", "v1alpha3", "destinationrules", "DestinationRule")
