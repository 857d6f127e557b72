"""The schemas of the built-in kinds, made from the line notation of `prograde.api.podschema`.

The field types of pods, Jobs and metadata are those that the custom resources use, too; the rest is written down in
the modules beside this one, compactly: parts that hardly anybody writes are open objects. A schema is made when its
kind is first used.
"""

import functools
from collections.abc import Mapping
from typing import Any

from prograde.api.podschema import containers, jobs, metadata, pods, volumes
from prograde.api.podschema.notation import TypeTable
from prograde.sandbox.builtins import cluster_types, policy_types, workload_types
from prograde.sandbox.schema import OPEN, Schema

__all__ = ["named_types", "object_schema", "schema_of"]

_TYPE_NAMES: Mapping[tuple[str, str, str], str] = {
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): "HorizontalPodAutoscalerV1",
    ("events.k8s.io", "v1", "Event"): "EventsEvent",
}
"""(group, version, kind) -> type, where one name stands for two types."""

_ATOMIC_MAPS = (("Service", "spec", "selector"),)
"""(kind, member, member) of maps that change owner as a whole: half a selector would select other pods."""


def schema_of(group: str, version: str, kind: str) -> Schema:
    """Return the schema of a built-in kind; one that keeps everything when its fields are not written down."""
    type_name = _TYPE_NAMES.get((group, version, kind), kind)
    return Schema(functools.partial(_root_schema, type_name), is_typed=True)


def object_schema(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a whole object: `fields`, a schema, and what every object has."""
    types = _types()
    whole = {
        "apiVersion": types.field_schema("string", "Group and version of the API that the object belongs to."),
        "kind": types.field_schema("string", "Name of the object's kind."),
        "metadata": types.field_schema("ObjectMeta", "What every object says about itself."),
    }
    own = {name: value for name, value in (fields.get("properties") or {}).items() if name not in whole}
    return {**fields, "properties": {**whole, **own}}


@functools.cache
def named_types() -> Mapping[int, tuple[str, Mapping[str, Any]]]:
    """Return identity of the properties -> (name, schema) of every type, so that documents can refer to types."""
    types = _types()
    schemas = ((name, types.schema(name)) for name in types.names)
    return {id(schema["properties"]): (name, schema) for name, schema in schemas}


@functools.cache
def _types() -> TypeTable:
    return TypeTable(
        metadata.TEXT,
        pods.TEXT,
        containers.TEXT,
        volumes.TEXT,
        jobs.TEXT,
        workload_types.TEXT,
        cluster_types.TEXT,
        policy_types.TEXT,
    )


@functools.cache
def _root_schema(type_name: str) -> dict[str, Any]:
    types = _types()
    if type_name not in types.names:
        return object_schema(OPEN)
    schema = object_schema(types.schema(type_name))
    for kind, *path in _ATOMIC_MAPS:
        if kind == type_name:
            schema = _with_atomic_map(schema, path)
    return schema


def _with_atomic_map(schema: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """Return a copy of `schema` in which the map at `path` is atomic."""
    if not path:
        return {**schema, "x-kubernetes-map-type": "atomic"}
    properties = schema["properties"]
    return {**schema, "properties": {**properties, path[0]: _with_atomic_map(properties[path[0]], path[1:])}}
