"""OpenAPI v3 documents of the served kinds, as kubectl reads them for apply, create, edit, diff and explain.

A document has a path item for every resource, because kubectl concludes from the parameters of its ``patch`` operation
whether the server can validate fields, and a schema for every kind, which ``explain`` prints. Types that several kinds
share, such as a pod's spec, are referred to; schemas of custom resources are written out, as their definitions are.

Documents are made on demand and kept for as long as the same kinds are served with the same schemas.
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from prograde.sandbox.builtins.schemas import named_types, object_schema
from prograde.sandbox.kinds import Kind
from prograde.sandbox.schema import OPEN

__all__ = ["document", "group_version_path", "root"]

_DOCUMENTS_KEPT = 128
_HASH_LENGTH = 32

_Json: TypeAlias = dict[str, Any]


def group_version_path(group: str, version: str) -> str:
    """Return ``api/v1`` or ``apis/<group>/<version>``."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def root(kinds: Iterable[Kind]) -> dict[str, str]:
    """Return group version path -> hash of its document, for the list under ``/openapi/v3``."""
    return {path: _made(path, members)[1] for path, members in sorted(_by_path(kinds).items())}


def document(group_version: str, kinds: Iterable[Kind]) -> _Json:
    """Return the document of one group version path, such as ``apis/apps/v1``; shared, never to be changed.

    Args:
        kinds: all served kinds; those of other group versions are passed over.
    """
    return _made(group_version, _by_path(kinds).get(group_version, ()))[0]


def _by_path(kinds: Iterable[Kind]) -> dict[str, tuple[Kind, ...]]:
    paths: dict[str, tuple[Kind, ...]] = {}
    for kind in kinds:
        path = group_version_path(kind.group, kind.version)
        paths[path] = (*paths.get(path, ()), kind)
    return paths


@functools.lru_cache(maxsize=_DOCUMENTS_KEPT)
def _made(group_version: str, kinds: tuple[Kind, ...]) -> tuple[_Json, str]:
    """Return a document and its hash."""
    paths: _Json = {}
    components = _Components()
    for kind in kinds:
        components.add_kind(kind)
        paths |= _paths(kind)
    made = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.schemas.items()))},
    }
    digest = hashlib.sha256(msgspec.json.encode(made)).hexdigest()[:_HASH_LENGTH].upper()
    return made, digest


# ------------------------------------------------------------------------------------------------------------- schemas


def _schema_name(kind: Kind) -> str:
    """Return for example ``io.k8s.api.apps.v1.Deployment`` or ``io.argoproj.v1alpha1.Rollout``."""
    if kind.is_custom:
        return f"{'.'.join(reversed(kind.group.split('.')))}.{kind.version}.{kind.kind}"
    return f"io.k8s.api.{kind.group.partition('.')[0] or 'core'}.{kind.version}.{kind.kind}"


def _type_of(kind: Kind) -> _Json:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


class _Components:
    """The schemas of a document, grown kind by kind; shared types come in when something refers to them."""

    def __init__(self) -> None:
        self.schemas: _Json = {}

    def add_kind(self, kind: Kind) -> None:
        raw: Mapping[str, Any] = kind.schema.openapi if kind.schema is not None else OPEN
        name = _schema_name(kind)
        schema = self._inlined(object_schema(raw) if kind.is_custom or raw is OPEN else raw)
        self.schemas[name] = {**schema, "x-kubernetes-group-version-kind": [_type_of(kind)]}
        if not kind.is_stored:
            return
        items = {
            "description": f"Objects of the kind {kind.kind}.",
            "type": "array",
            "items": {"$ref": f"#/components/schemas/{name}"},
        }
        text = {"type": "string"}
        self.schemas[f"{name}List"] = {
            "description": f"A list of objects of the kind {kind.kind}.",
            "type": "object",
            "required": ["items"],
            "properties": {"apiVersion": text, "kind": text, "items": items, "metadata": {"type": "object"}},
            "x-kubernetes-group-version-kind": [{**_type_of(kind), "kind": kind.list_kind_name}],
        }

    def _inlined(self, raw: Mapping[str, Any]) -> _Json:
        """Return `raw` with the shared types below it replaced by references."""
        schema: _Json = dict(raw)
        if "properties" in raw:
            schema["properties"] = {name: self._referring(child) for name, child in raw["properties"].items()}
        if "items" in raw:
            schema["items"] = self._referring(raw["items"])
        if isinstance(raw.get("additionalProperties"), dict):
            schema["additionalProperties"] = self._referring(raw["additionalProperties"])
        return schema

    def _referring(self, raw: Mapping[str, Any]) -> _Json:
        named = named_types().get(id(raw.get("properties")))
        if named is None:
            return self._inlined(raw)
        type_name, whole = named
        name = f"io.k8s.api.{type_name}"
        if name not in self.schemas:
            self.schemas[name] = {}  # ends the recursion should a type ever refer to itself
            self.schemas[name] = self._inlined(whole)
        description = raw.get("description") or whole.get("description") or ""
        # Readers of a bare reference see no description, not even that of the type.
        return {"description": description, "allOf": [{"$ref": f"#/components/schemas/{name}"}]}


# --------------------------------------------------------------------------------------------------------------- paths


def _parameter(name: str, description: str, type_: str = "string") -> _Json:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": type_, "uniqueItems": True},
    }


_DRY_RUN = _parameter("dryRun", "With All, the request is processed but nothing is stored.")
_FIELD_MANAGER = _parameter("fieldManager", "Name of who makes the change, for managedFields.")
_FIELD_VALIDATION = _parameter("fieldValidation", "What unknown fields lead to: Ignore, Warn or Strict.")
_FORCE = _parameter("force", "Take fields from other managers when applying.", "boolean")
_LIST_PARAMETERS = [
    _parameter("labelSelector", "Only objects with matching labels."),
    _parameter("fieldSelector", "Only objects with matching fields."),
    _parameter("limit", "At most so many objects at once.", "integer"),
    _parameter("continue", "Where the last page ended."),
    _parameter("resourceVersion", "State to list, or to watch from."),
    _parameter("resourceVersionMatch", "How resourceVersion is meant."),
    _parameter("timeoutSeconds", "When to end the request.", "integer"),
    _parameter("watch", "Stream changes instead of listing.", "boolean"),
    _parameter("allowWatchBookmarks", "Send bookmarks in a watch.", "boolean"),
    _parameter("sendInitialEvents", "Begin a watch with the objects that are there.", "boolean"),
]
_DELETE_PARAMETERS = [
    _DRY_RUN,
    _parameter("gracePeriodSeconds", "Seconds the object gets to end.", "integer"),
    _parameter("propagationPolicy", "What becomes of dependents: Orphan, Background or Foreground."),
]
_WRITE_PARAMETERS = [_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION]
_BODY_TYPE = "application/json"
_PATCH_TYPES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
"""Strategic merge is not offered here: kubectl would look for merge keys in the schemas, and knows them by itself."""


def _paths(kind: Kind) -> _Json:
    prefix = f"/{group_version_path(kind.group, kind.version)}"
    in_namespace = f"{prefix}/namespaces/{{namespace}}" if kind.namespaced else prefix
    collection = f"{in_namespace}/{kind.plural}"
    if not kind.is_stored:
        return {collection: _item(kind, {"post": "post"}, collection)}
    item = f"{collection}/{{name}}"
    paths = {
        collection: _item(kind, {"get": "list", "post": "post", "delete": "deletecollection"}, collection),
        item: _item(kind, {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}, item),
    }
    if kind.namespaced:
        everywhere = f"{prefix}/{kind.plural}"
        paths[everywhere] = _item(kind, {"get": "list"}, everywhere)
    for subresource in (*(("status",) if kind.has_status else ()), *(("scale",) if kind.scale else ())):
        path = f"{item}/{subresource}"
        paths[path] = _item(kind, {"get": "get", "put": "put", "patch": "patch"}, path, subresource)
    return paths


def _item(kind: Kind, actions: Mapping[str, str], path: str, subresource: str = "") -> _Json:
    item: _Json = {method: _operation(kind, action, subresource) for method, action in actions.items()}
    item["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
        for name in ("name", "namespace")
        if f"{{{name}}}" in path
    ]
    return item


def _operation(kind: Kind, action: str, subresource: str) -> _Json:
    is_scale = subresource == "scale"
    type_ = {"group": "autoscaling", "version": "v1", "kind": "Scale"} if is_scale else _type_of(kind)
    name = _schema_name(kind) + ("List" if action == "list" else "")
    body = {"type": "object"} if is_scale else {"$ref": f"#/components/schemas/{name}"}
    operation: _Json = {
        "tags": ["_".join(filter(None, (kind.group.partition(".")[0] or "core", kind.version)))],
        "operationId": f"{action}{kind.version.title()}{kind.kind}{subresource.title()}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": type_,
        "responses": {"200": {"description": "OK", "content": {_BODY_TYPE: {"schema": body}}}},
    }
    match action:
        case "list" | "deletecollection":
            operation["parameters"] = _LIST_PARAMETERS
        case "delete":
            operation["parameters"] = _DELETE_PARAMETERS
        case "post" | "put":
            operation["parameters"] = _WRITE_PARAMETERS
            operation["requestBody"] = {"required": True, "content": {_BODY_TYPE: {"schema": body}}}
        case "patch":
            operation["parameters"] = [*_WRITE_PARAMETERS, _FORCE]
            content = {patch_type: {"schema": {"type": "object"}} for patch_type in _PATCH_TYPES}
            operation["requestBody"] = {"required": True, "content": content}
    return operation
