"""Schemas of the Kubernetes types that our resources contain: pod templates, Jobs, metadata and selectors.

A Rollout holds a complete pod template, and a structural schema has no references, so everything that Kubernetes 1.34
allows in a pod must be spelled out: what a schema does not know, the API server removes. The fields are written down
in a line notation (`notation`), by concept: `metadata`, `pods`, `containers`, `volumes`, `jobs`.

The functions here return the types as Kubernetes has them. What the custom resources relax (resources of containers,
volumes, metadata of templates) is the business of `prograde.api.crd`. All results are shared values: read-only.
"""

from functools import cache

from prograde.api.podschema import containers, jobs, metadata, pods, volumes
from prograde.api.podschema.notation import INT_OR_STRING, Schema, TypeTable, described

__all__ = [
    "INT_OR_STRING",
    "Schema",
    "TypeTable",
    "described",
    "field_schema",
    "job_template_schema",
    "label_selector_schema",
    "object_meta_schema",
    "pod_spec_schema",
    "pod_template_schema",
    "type_names",
    "type_schema",
]


@cache
def _types() -> TypeTable:
    return TypeTable(metadata.TEXT, pods.TEXT, containers.TEXT, volumes.TEXT, jobs.TEXT)


def pod_template_schema() -> Schema:
    """Return the schema of a PodTemplateSpec, with complete metadata and typed volumes."""
    return type_schema("PodTemplateSpec")


def pod_spec_schema() -> Schema:
    """Return the schema of a PodSpec."""
    return type_schema("PodSpec")


def object_meta_schema() -> Schema:
    """Return the schema of an object's metadata."""
    return type_schema("ObjectMeta")


def label_selector_schema() -> Schema:
    """Return the schema of a label selector."""
    return type_schema("LabelSelector")


def job_template_schema() -> Schema:
    """Return the schema of a JobTemplateSpec: the ``metadata`` and ``spec`` of a Job."""
    return type_schema("JobTemplateSpec")


def type_schema(name: str) -> Schema:
    """Return the schema of one type by its Kubernetes name, such as ``Container`` or ``Probe``.

    Raises:
        KeyError: no such type is known.
    """
    return _types().schema(name)


def field_schema(type_: str, description: str = "") -> Schema:
    """Return the schema of a field of a type in the notation, such as ``list(Container;name)`` or ``string=TCP``.

    Raises:
        KeyError: a type that the expression names is not known.
    """
    return _types().field_schema(type_, description)


def type_names() -> tuple[str, ...]:
    """Return the names that `type_schema` knows."""
    return _types().names
