"""The CustomResourceDefinitions of our five kinds, made from the types.

The schema of a resource follows its msgspec struct: wire names, kinds of values, nesting. What the struct cannot say
comes from three tables: `descriptions` has the texts and the required fields, `_NOTED_TYPES` the fields whose JSON type
is narrower or wider than the Python one, and `podschema` the Kubernetes types. Pod templates are relaxed in places
(see `_relaxed_pod_template`), so that everything users of such resources write today is accepted.

Call `custom_resource_definitions` at run time; no files are needed. The same definitions are checked in as YAML,
written by ``python -m prograde.api.crd manifests/crds``. The schemas are structural: no references, one type per node,
value checks only beside it. Their parts are shared and must not be changed.
"""

import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

from prograde.api import podschema
from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.descriptions import descriptions
from prograde.api.experiment import Experiment
from prograde.api.meta import LabelSelector, ObjectMeta
from prograde.api.names import GROUP, PLURALS, SHORT_NAMES, VERSION
from prograde.api.podschema import INT_OR_STRING, Schema, described
from prograde.api.rollout import Rollout

__all__ = [
    "custom_resource_definition",
    "custom_resource_definitions",
    "main",
    "resource_schema",
    "to_yaml",
]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column that ``kubectl get`` prints."""

    name: str
    type: str
    json_path: str
    description: str


@dataclass(frozen=True, slots=True)
class _Resource:
    """What a definition says beside the schema."""

    type: type[msgspec.Struct]
    columns: tuple[_Column, ...]
    is_namespaced: bool = True
    subresources: Schema | None = None


_AGE: Final = _Column("Age", "date", ".metadata.creationTimestamp", "Time since resource was created")

_RESOURCES: Final[dict[str, _Resource]] = {
    "Rollout": _Resource(
        Rollout,
        (
            _Column("Desired", "integer", ".spec.replicas", "Number of desired pods"),
            _Column(
                "Current",
                "integer",
                ".status.replicas",
                "Total number of non-terminated pods targeted by this rollout",
            ),
            _Column(
                "Up-to-date",
                "integer",
                ".status.updatedReplicas",
                "Total number of non-terminated pods targeted by this rollout that have the desired template spec",
            ),
            _Column(
                "Available",
                "integer",
                ".status.availableReplicas",
                "Total number of available pods (ready for at least minReadySeconds) targeted by this rollout",
            ),
            _AGE,
        ),
        subresources={
            "scale": {
                "labelSelectorPath": ".status.selector",
                "specReplicasPath": ".spec.replicas",
                # Not .status.replicas: autoscalers must not count pods that only exist during an update.
                "statusReplicasPath": ".status.HPAReplicas",
            },
            "status": {},
        },
    ),
    "Experiment": _Resource(Experiment, (_Column("Status", "string", ".status.phase", "Experiment status"), _AGE)),
    "AnalysisRun": _Resource(AnalysisRun, (_Column("Status", "string", ".status.phase", "AnalysisRun status"), _AGE)),
    "AnalysisTemplate": _Resource(AnalysisTemplate, (_AGE,)),
    "ClusterAnalysisTemplate": _Resource(ClusterAnalysisTemplate, (_AGE,), is_namespaced=False),
}

_NOTED_TYPES: Final = {
    "DatadogMetric.apiVersion": "string=v1",
    "DatadogMetric.interval": "string=5m",
    "DatadogMetric.requestTimeout": "string=10s",
    "DurationStatus.totalManualPauseDurationSeconds": "int64",
    "KayentaScopeDetail.step": "int64",
    "KayentaThreshold.marginal": "int64",
    "KayentaThreshold.pass": "int64",
    "NewRelicMetric.timeout": "int64",
    "PrometheusMetric.timeout": "int64",
    "StickinessConfig.durationSeconds": "int64",
    "TcpRoute.port": "int64",
    "TlsRoute.port": "int64",
    "WebMetric.timeoutSeconds": "int64",
}
"""Fields by struct and wire name, with their type in the notation of `podschema`, where the struct does not say all."""

_ENUMS: Final = {
    "DatadogMetric.aggregator": ("avg", "min", "max", "sum", "last", "percentile", "mean", "l2norm", "area"),
    "DatadogMetric.apiVersion": ("v1", "v2"),
}
"""Fields whose values the API server checks; all other closed sets are checked by the controller, with its messages."""

_SELECTOR_RULES: Final = [{"message": ".spec.selector is immutable", "rule": "self == oldSelf"}]
"""A transition rule: it says nothing about adding or removing the selector."""

_SCALARS: Final[dict[Any, str]] = {str: "string", bool: "boolean", int: "int32", float: "number", datetime: "time"}

_API_VERSION: Final = "Group and version of the resource: argoproj.io/v1alpha1."
_KIND: Final = "Kind of the resource."
_METADATA: Final = "Name, namespace, labels and other metadata."

_ANY_VALUE: Final[Schema] = {"x-kubernetes-preserve-unknown-fields": True}


def custom_resource_definitions() -> list[Schema]:
    """Return the definitions of all kinds, Rollout first. They are built once and shared: read-only."""
    return [custom_resource_definition(kind) for kind in _RESOURCES]


@cache
def custom_resource_definition(kind: str) -> Schema:
    """Return the CustomResourceDefinition of a kind as JSON values; shared and read-only.

    Raises:
        KeyError: `kind` is none of ours.
    """
    resource = _RESOURCES[kind]
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "description": column.description,
                "jsonPath": column.json_path,
            }
            for column in resource.columns
        ],
        "schema": {"openAPIV3Schema": resource_schema(kind)},
    }
    if resource.subresources is not None:
        version["subresources"] = resource.subresources
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURALS[kind]}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": PLURALS[kind],
                "singular": kind.lower(),
                "shortNames": [SHORT_NAMES[kind]],
            },
            "scope": "Namespaced" if resource.is_namespaced else "Cluster",
            "versions": [version],
        },
    }


@cache
def resource_schema(kind: str) -> Schema:
    """Return the structural schema of a kind; shared and read-only.

    Raises:
        KeyError: `kind` is none of ours.
    """
    schema = _struct_schema(_RESOURCES[kind].type)
    return schema | {
        "properties": {
            "apiVersion": {"description": _API_VERSION, "type": "string"},
            "kind": {"description": _KIND, "type": "string"},
            "metadata": {"description": _METADATA, "type": "object"},
            **schema["properties"],
        },
    }


# --- From types to schemas --------------------------------------------------------------------------------------------


@cache
def _struct_schema(struct: type[msgspec.Struct]) -> Schema:
    description = descriptions()[struct.__name__]
    schema: Schema = {"description": description.summary, "type": "object"}
    if description.required:
        schema["required"] = description.required
    properties = {
        each.encode_name: described(_field_schema(struct, each), description.fields[each.encode_name])
        for each in msgspec.structs.fields(struct)
        if each.type is not ObjectMeta
    }
    if properties:
        schema["properties"] = properties
    return schema


def _field_schema(struct: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> Schema:
    path = f"{struct.__name__}.{field.encode_name}"
    if (written := _written_schemas().get(path)) is not None:
        return written
    noted = _NOTED_TYPES.get(path)
    schema = _type_schema(field.type) if noted is None else podschema.field_schema(noted)
    if (values := _ENUMS.get(path)) is not None:
        schema = schema | {"enum": list(values)}
    return schema


def _type_schema(type_: Any) -> Schema:
    """Return the schema of a Python type as it stands in a struct."""
    if (scalar := _SCALARS.get(type_)) is not None:
        return podschema.field_schema(scalar)
    if type_ is msgspec.Raw:
        return podschema.field_schema("object")
    if type_ is LabelSelector:
        return podschema.label_selector_schema()
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _type_schema(arguments[0])
    if origin in (Union, types.UnionType):
        present = [argument for argument in arguments if argument is not types.NoneType]
        if set(present) == {int, str}:
            return INT_OR_STRING
        assert len(present) == 1, f"no schema for a choice between {present}"
        return _type_schema(present[0])
    if origin is tuple:
        # No list type: the lists of our kinds are replaced as a whole, as merge patches and their users expect.
        return {"type": "array", "items": _type_schema(arguments[0])}
    if origin is dict:
        if arguments[1] is msgspec.Raw:
            return podschema.field_schema("object")
        return {"type": "object", "additionalProperties": _type_schema(arguments[1])}
    assert issubclass(type_, msgspec.Struct), f"no schema for {type_}"
    return _struct_schema(type_)


@cache
def _written_schemas() -> dict[str, Schema]:
    """Return the schemas of the fields that hold Kubernetes types or carry rules, by struct and wire name."""
    return {
        "RolloutSpec.selector": podschema.label_selector_schema() | {"x-kubernetes-validations": _SELECTOR_RULES},
        "RolloutSpec.template": _relaxed_pod_template(),
        "ExperimentTemplate.template": _relaxed_pod_template(),
        "JobMetric.spec": _with_node(podschema.type_schema("JobSpec"), ("template",), _relaxed_pod_template()),
    }


@cache
def _relaxed_pod_template() -> Schema:
    """Return the pod template as our kinds have it.

    Resources of containers may be written as numbers, also broken ones, which a typed schema would refuse; volumes are
    not looked into, for the claims inside them name resources too; and of the metadata only labels and annotations
    exist, since the rest would mean nothing and is removed.
    """
    template = podschema.pod_template_schema()
    template = _with_node(template, ("metadata",), podschema.type_schema("TemplateMeta"))
    template = _with_node(template, ("spec", "volumes"), _ANY_VALUE)
    for containers in ("containers", "initContainers", "ephemeralContainers"):
        for amounts in ("limits", "requests"):
            template = _with_node(template, ("spec", containers, "[]", "resources", amounts), _ANY_VALUE)
    return template


def _with_node(schema: Schema, path: Sequence[str], node: Schema) -> Schema:
    """Return a copy of `schema` in which `node` stands at `path`, under the description that was there.

    Only the nodes along the path are copied. ``[]`` steps from a list to its items.
    """
    if not path:
        return described(node, schema.get("description", ""))
    if path[0] == "[]":
        return schema | {"items": _with_node(schema["items"], path[1:], node)}
    properties = schema["properties"]
    return schema | {"properties": properties | {path[0]: _with_node(properties[path[0]], path[1:], node)}}


# --- As files ---------------------------------------------------------------------------------------------------------


def to_yaml(definition: Schema) -> str:
    """Return a definition as block YAML, in the order of its keys and with long texts wrapped."""
    import yaml  # not needed at run time, where the values are used as they are

    class Dumper(yaml.CSafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            """Write shared parts out: an anchor would mean nothing to a reader."""
            return True

    return yaml.dump(definition, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def main(arguments: Sequence[str]) -> int:
    """Write one file per definition into a directory, or with ``--check`` compare; return the exit code."""
    match arguments:
        case [directory] if not directory.startswith("-"):
            is_check = False
        case ["--check", directory]:
            is_check = True
        case _:
            sys.stderr.write("usage: python -m prograde.api.crd [--check] DIRECTORY\n")
            return 2
    texts = {Path(directory) / name: text for name, text in _files().items()}
    if not is_check:
        Path(directory).mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [str(path) for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]
    if stale:
        sys.stderr.write(f"not what the types say: {', '.join(stale)}; run: make manifests\n")
    return 1 if stale else 0


def _files() -> dict[str, str]:
    """Return the text of the file of each definition, by name."""
    return {
        f"{definition['spec']['names']['singular']}-crd.yaml": to_yaml(definition)
        for definition in custom_resource_definitions()
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
