"""The definitions of the five kinds: names, sub-resources, columns, and schemas that API servers accept."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from prograde.api import crd
from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.descriptions import descriptions, parse
from prograde.api.experiment import Experiment
from prograde.api.meta import LabelSelector, ObjectMeta
from prograde.api.podschema import Schema
from prograde.api.rollout import Rollout
from prograde.sandbox import crd as definitions
from prograde.sandbox.schema import Schema as CompiledSchema

MANIFESTS = Path(__file__).parents[2] / "manifests"
KINDS = ("Rollout", "Experiment", "AnalysisRun", "AnalysisTemplate", "ClusterAnalysisTemplate")
METRIC_KINDS = ("AnalysisRun", "AnalysisTemplate", "ClusterAnalysisTemplate")
TYPES = (Rollout, Experiment, AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate)

POD_SPECS = [
    ("Rollout", "spec.template.spec"),
    ("Experiment", "spec.templates[].template.spec"),
    *((kind, "spec.metrics[].provider.job.spec.template.spec") for kind in METRIC_KINDS),
]
"""Everywhere a pod is described."""

INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}


def spec_of(kind: str) -> dict[str, Any]:
    spec: dict[str, Any] = crd.custom_resource_definition(kind)["spec"]
    return spec


def version_of(kind: str) -> dict[str, Any]:
    (version,) = spec_of(kind)["versions"]
    return dict(version)


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield all nodes of a schema with their paths."""
    yield path.removeprefix("."), schema
    for name, node in schema.get("properties", {}).items():
        yield from nodes(node, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def all_nodes() -> Iterator[tuple[str, Schema]]:
    for kind in KINDS:
        for path, node in nodes(crd.resource_schema(kind)):
            yield f"{kind}: {path}", node


def node_at(kind: str, path: str) -> Schema:
    schema = crd.resource_schema(kind)
    for step in path.split(".") if path else ():
        name, _, rest = step.partition("[")
        schema = schema["properties"][name]
        if rest:
            schema = schema["items"]
    return schema


def without_description(node: Schema) -> Schema:
    return {key: value for key, value in node.items() if key != "description"}


# --- Names, scope, sub-resources, columns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "plural", "short", "scope"),
    [
        ("Rollout", "rollouts", "ro", "Namespaced"),
        ("AnalysisTemplate", "analysistemplates", "at", "Namespaced"),
        ("ClusterAnalysisTemplate", "clusteranalysistemplates", "cat", "Cluster"),
        ("AnalysisRun", "analysisruns", "ar", "Namespaced"),
        ("Experiment", "experiments", "exp", "Namespaced"),
    ],
)
def test_each_kind_goes_by_its_names(kind: str, plural: str, short: str, scope: str) -> None:
    definition = crd.custom_resource_definition(kind)
    assert definition["apiVersion"] == "apiextensions.k8s.io/v1"
    assert definition["kind"] == "CustomResourceDefinition"
    assert definition["metadata"] == {"name": f"{plural}.argoproj.io"}
    assert definition["spec"]["group"] == "argoproj.io"
    assert definition["spec"]["scope"] == scope
    assert definition["spec"]["names"] == {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_one_version_served_and_stored_without_conversion(kind: str) -> None:
    version = version_of(kind)
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    assert "conversion" not in spec_of(kind)
    assert "preserveUnknownFields" not in spec_of(kind)


def test_only_the_rollout_has_sub_resources_and_is_scaled_by_the_replicas_for_autoscalers() -> None:
    assert version_of("Rollout")["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.HPAReplicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    for kind in KINDS[1:]:
        assert "subresources" not in version_of(kind), kind


AGE = ("Age", "date", ".metadata.creationTimestamp", "Time since resource was created")


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        (
            "Rollout",
            [
                ("Desired", "integer", ".spec.replicas", "Number of desired pods"),
                (
                    "Current",
                    "integer",
                    ".status.replicas",
                    "Total number of non-terminated pods targeted by this rollout",
                ),
                (
                    "Up-to-date",
                    "integer",
                    ".status.updatedReplicas",
                    "Total number of non-terminated pods targeted by this rollout that have the desired template spec",
                ),
                (
                    "Available",
                    "integer",
                    ".status.availableReplicas",
                    "Total number of available pods (ready for at least minReadySeconds) targeted by this rollout",
                ),
                AGE,
            ],
        ),
        ("Experiment", [("Status", "string", ".status.phase", "Experiment status"), AGE]),
        ("AnalysisRun", [("Status", "string", ".status.phase", "AnalysisRun status"), AGE]),
        ("AnalysisTemplate", [AGE]),
        ("ClusterAnalysisTemplate", [AGE]),
    ],
)
def test_kubectl_get_prints_these_columns(kind: str, columns: list[tuple[str, ...]]) -> None:
    assert [
        (column["name"], column["type"], column["jsonPath"], column["description"])
        for column in version_of(kind)["additionalPrinterColumns"]
    ] == columns


# --- What API servers demand of a schema ------------------------------------------------------------------------------

ALLOWED_KEYS = {
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}


def test_nodes_hold_nothing_that_structural_schemas_forbid() -> None:
    for path, node in all_nodes():
        assert node.keys() <= ALLOWED_KEYS, path


def test_every_node_has_one_type_unless_it_takes_any_value_or_integers_and_strings() -> None:
    for path, node in all_nodes():
        if "type" in node:
            assert node["type"] in {"object", "array", "string", "integer", "number", "boolean"}, path
            assert "x-kubernetes-int-or-string" not in node, path
        else:
            assert node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields"), path


def test_choices_only_occur_as_integer_or_string() -> None:
    for path, node in all_nodes():
        assert ("anyOf" in node) == ("x-kubernetes-int-or-string" in node), path
        assert node.get("anyOf", INT_OR_STRING["anyOf"]) == INT_OR_STRING["anyOf"], path


def test_objects_and_lists_have_what_belongs_to_them() -> None:
    for path, node in all_nodes():
        assert ("items" in node) == (node.get("type") == "array"), path
        assert not ({"properties", "additionalProperties"} <= node.keys()), path
        if "properties" in node or "additionalProperties" in node:
            assert node["type"] == "object", path
        assert set(node.get("required", ())) <= node.get("properties", {}).keys(), path


def test_the_keys_of_list_maps_are_required_or_have_a_default() -> None:
    for path, node in all_nodes():
        for key in node.get("x-kubernetes-list-map-keys", ()):
            item = node["items"]
            assert key in item.get("required", ()) or "default" in item["properties"][key], f"{path}: {key}"


def test_metadata_of_an_object_is_left_to_the_server() -> None:
    for kind in KINDS:
        assert without_description(node_at(kind, "metadata")) == {"type": "object"}
        assert node_at(kind, "apiVersion")["type"] == node_at(kind, "kind")["type"] == "string"


def test_defaults_are_values_of_their_fields() -> None:
    python_types = {"string": str, "boolean": bool}
    for path, node in all_nodes():
        if "default" in node:
            assert isinstance(node["default"], python_types[node["type"]]), path


# --- Relaxed pod templates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "pod_spec"), POD_SPECS)
@pytest.mark.parametrize("containers", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize("amounts", ["limits", "requests"])
def test_resources_of_containers_take_any_value(kind: str, pod_spec: str, containers: str, amounts: str) -> None:
    node = node_at(kind, f"{pod_spec}.{containers}[].resources.{amounts}")
    assert without_description(node) == {"x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(("kind", "pod_spec"), POD_SPECS)
def test_volumes_take_any_value(kind: str, pod_spec: str) -> None:
    node = node_at(kind, f"{pod_spec}.volumes")
    assert without_description(node) == {"x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(("kind", "pod_spec"), POD_SPECS)
def test_other_parts_of_pods_are_typed(kind: str, pod_spec: str) -> None:
    assert node_at(kind, pod_spec)["required"] == ["containers"]
    assert node_at(kind, f"{pod_spec}.resources.limits")["additionalProperties"]["x-kubernetes-int-or-string"] is True
    assert node_at(kind, f"{pod_spec}.overhead")["additionalProperties"]["pattern"]
    assert node_at(kind, f"{pod_spec}.containers[].resources.claims")["x-kubernetes-list-map-keys"] == ["name"]
    assert node_at(kind, f"{pod_spec}.containers[].ports")["x-kubernetes-list-map-keys"] == [
        "containerPort",
        "protocol",
    ]
    assert node_at(kind, f"{pod_spec}.containers[].env")["x-kubernetes-list-map-keys"] == ["name"]
    probe_port = node_at(kind, f"{pod_spec}.containers[].readinessProbe.httpGet.port")
    assert without_description(probe_port) == INT_OR_STRING


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        *((kind, pod_spec.removesuffix("spec") + "metadata") for kind, pod_spec in POD_SPECS),
        *((kind, "spec.metrics[].provider.job.metadata") for kind in METRIC_KINDS),
        ("Rollout", "spec.strategy.canary.canaryMetadata"),
        ("Rollout", "spec.strategy.canary.stableMetadata"),
        ("Rollout", "spec.strategy.blueGreen.previewMetadata"),
        ("Rollout", "spec.strategy.blueGreen.activeMetadata"),
        ("Rollout", "spec.strategy.canary.steps[].experiment.templates[].metadata"),
        ("Rollout", "spec.strategy.canary.analysis.analysisRunMetadata"),
        ("Experiment", "spec.analysisRunMetadata"),
    ],
)
def test_metadata_below_spec_has_labels_and_annotations_and_nothing_else(kind: str, path: str) -> None:
    node = node_at(kind, path)
    assert node["type"] == "object"
    assert {name: without_description(field) for name, field in node["properties"].items()} == {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    }


# --- Special fields ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Rollout", "spec.strategy.canary.steps[].plugin.config"),
        ("Rollout", "spec.strategy.canary.trafficRouting.plugins"),
        ("Rollout", "status.canary.stepPluginStatuses[].status"),
        *((kind, "spec.metrics[].provider.plugin") for kind in METRIC_KINDS),
        *((kind, "spec.metrics[].provider.web.jsonBody") for kind in METRIC_KINDS),
    ],
)
def test_free_form_fields_are_objects_kept_as_they_are(kind: str, path: str) -> None:
    expected = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert without_description(node_at(kind, path)) == expected


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Rollout", "spec.strategy.canary.maxSurge"),
        ("Rollout", "spec.strategy.canary.maxUnavailable"),
        ("Rollout", "spec.strategy.blueGreen.maxUnavailable"),
        ("Rollout", "spec.strategy.canary.steps[].pause.duration"),
        *(
            (kind, f"spec.metrics[].{field}")
            for kind in METRIC_KINDS
            for field in (
                "count",
                "failureLimit",
                "inconclusiveLimit",
                "consecutiveErrorLimit",
                "consecutiveSuccessLimit",
                "provider.cloudWatch.metricDataQueries[].period",
                "provider.cloudWatch.metricDataQueries[].metricStat.period",
            )
        ),
    ],
)
def test_numbers_that_may_be_written_as_strings(kind: str, path: str) -> None:
    assert without_description(node_at(kind, path)) == INT_OR_STRING


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Rollout", "spec.selector"),
        ("Rollout", "spec.strategy.canary.steps[].experiment.templates[].selector"),
        ("Rollout", "spec.template.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[]"),
        ("Experiment", "spec.templates[].selector"),
    ],
)
def test_label_selectors_are_applied_as_one_value(kind: str, path: str) -> None:
    node = node_at(kind, path)
    selector = node["properties"].get("labelSelector", node)
    assert selector["x-kubernetes-map-type"] == "atomic"
    assert list(selector["properties"]) == ["matchLabels", "matchExpressions"]


def test_lists_of_our_kinds_have_no_list_type_and_so_are_applied_as_a_whole() -> None:
    for kind, path in [
        ("Rollout", "spec.strategy.canary.steps"),
        ("Rollout", "spec.strategy.canary.analysis.args"),
        ("Rollout", "status.conditions"),
        ("Experiment", "spec.templates"),
        ("AnalysisTemplate", "spec.metrics"),
        ("AnalysisTemplate", "spec.args"),
        ("AnalysisRun", "status.metricResults"),
    ]:
        assert "x-kubernetes-list-type" not in node_at(kind, path), path


def test_merge_kinds_are_as_many_as_existing_clusters_have() -> None:
    counts = Counter(node["x-kubernetes-list-type"] for _, node in all_nodes() if "x-kubernetes-list-type" in node)
    assert counts["atomic"] == 541
    assert counts["map"] == 120


def test_fifteen_protocols_default_to_tcp() -> None:
    protocols = [path for path, node in all_nodes() if node.get("default") == "TCP"]
    assert len(protocols) == 15
    assert all(path.endswith("ports[].protocol") for path in protocols)


@pytest.mark.parametrize("kind", METRIC_KINDS)
@pytest.mark.parametrize(("field", "default"), [("interval", "5m"), ("apiVersion", "v1"), ("requestTimeout", "10s")])
def test_datadog_has_defaults(kind: str, field: str, default: str) -> None:
    assert node_at(kind, f"spec.metrics[].provider.datadog.{field}")["default"] == default


@pytest.mark.parametrize("kind", METRIC_KINDS)
def test_only_two_fields_of_datadog_have_closed_sets_of_values(kind: str) -> None:
    enums = {path: node["enum"] for path, node in nodes(crd.resource_schema(kind)) if "enum" in node}
    assert enums == {
        "spec.metrics[].provider.datadog.apiVersion": ["v1", "v2"],
        "spec.metrics[].provider.datadog.aggregator": [
            "avg",
            "min",
            "max",
            "sum",
            "last",
            "percentile",
            "mean",
            "l2norm",
            "area",
        ],
    }


def test_all_defaults_beside_those_of_pods_are_datadogs() -> None:
    for path, node in all_nodes():
        if "default" in node and ".datadog." not in path:
            assert ".template.spec." in path, path


def test_the_selector_of_a_rollout_is_immutable_and_this_is_the_only_rule() -> None:
    rules = {path: node["x-kubernetes-validations"] for path, node in all_nodes() if "x-kubernetes-validations" in node}
    assert rules == {"Rollout: spec.selector": [{"rule": "self == oldSelf", "message": ".spec.selector is immutable"}]}


CONDITION = ["type", "status", "lastUpdateTime", "lastTransitionTime", "reason", "message"]
TRAFFIC = "spec.strategy.canary.trafficRouting"
STEP = "spec.strategy.canary.steps[]"


@pytest.mark.parametrize(
    ("kind", "path", "required"),
    [
        *((kind, "", ["spec"]) for kind in KINDS),
        ("Rollout", "spec", []),
        ("Rollout", "spec.workloadRef", []),
        ("Rollout", "spec.strategy", []),
        ("Rollout", "spec.strategy.blueGreen", ["activeService"]),
        ("Rollout", "spec.strategy.canary", []),
        ("Rollout", "spec.strategy.canary.pingPong", ["pingService", "pongService"]),
        ("Rollout", "spec.strategy.canary.replicaProgressThreshold", ["type", "value"]),
        (
            "Rollout",
            "spec.strategy.canary.antiAffinity.preferredDuringSchedulingIgnoredDuringExecution",
            ["weight"],
        ),
        ("Rollout", "spec.strategy.canary.analysis", []),
        ("Rollout", "spec.strategy.canary.analysis.templates[]", []),
        ("Rollout", "spec.strategy.canary.analysis.args[]", ["name"]),
        ("Rollout", "spec.strategy.canary.analysis.args[].valueFrom.fieldRef", ["fieldPath"]),
        ("Rollout", "spec.strategy.canary.analysis.dryRun[]", ["metricName"]),
        ("Rollout", "spec.strategy.canary.analysis.measurementRetention[]", ["metricName", "limit"]),
        ("Rollout", STEP, []),
        ("Rollout", f"{STEP}.pause", []),
        ("Rollout", f"{STEP}.setHeaderRoute", []),
        ("Rollout", f"{STEP}.setHeaderRoute.match[]", ["headerName", "headerValue"]),
        ("Rollout", f"{STEP}.setMirrorRoute", ["name"]),
        ("Rollout", f"{STEP}.plugin", ["name"]),
        ("Rollout", f"{STEP}.experiment", ["templates"]),
        ("Rollout", f"{STEP}.experiment.templates[]", ["name", "specRef"]),
        ("Rollout", f"{STEP}.experiment.analyses[]", ["name", "templateName"]),
        ("Rollout", f"{TRAFFIC}.managedRoutes[]", ["name"]),
        ("Rollout", f"{TRAFFIC}.istio.virtualService", ["name"]),
        ("Rollout", f"{TRAFFIC}.istio.virtualServices[]", ["name"]),
        ("Rollout", f"{TRAFFIC}.istio.destinationRule", ["name", "canarySubsetName", "stableSubsetName"]),
        ("Rollout", f"{TRAFFIC}.nginx", []),
        ("Rollout", f"{TRAFFIC}.alb", ["servicePort"]),
        ("Rollout", f"{TRAFFIC}.alb.stickinessConfig", ["enabled", "durationSeconds"]),
        ("Rollout", f"{TRAFFIC}.smi", []),
        ("Rollout", f"{TRAFFIC}.ambassador", ["mappings"]),
        ("Rollout", f"{TRAFFIC}.appMesh", []),
        ("Rollout", f"{TRAFFIC}.appMesh.virtualService", ["name"]),
        ("Rollout", f"{TRAFFIC}.appMesh.virtualNodeGroup", ["canaryVirtualNodeRef", "stableVirtualNodeRef"]),
        ("Rollout", f"{TRAFFIC}.appMesh.virtualNodeGroup.canaryVirtualNodeRef", ["name"]),
        ("Rollout", f"{TRAFFIC}.traefik", ["weightedTraefikServiceName"]),
        ("Rollout", f"{TRAFFIC}.apisix", []),
        ("Rollout", f"{TRAFFIC}.apisix.route", ["name"]),
        ("Rollout", "status", []),
        ("Rollout", "status.pauseConditions[]", ["reason", "startTime"]),
        ("Rollout", "status.conditions[]", CONDITION),
        ("Rollout", "status.blueGreen.prePromotionAnalysisRunStatus", ["name", "status"]),
        ("Rollout", "status.canary.weights", ["canary", "stable"]),
        ("Rollout", "status.canary.weights.canary", ["weight"]),
        ("Rollout", "status.canary.stepPluginStatuses[]", ["index", "name", "operation"]),
        ("Rollout", "status.alb", []),
        ("Rollout", "status.albs[].loadBalancer", ["name", "arn"]),
        ("Rollout", "status.duration", []),
        ("AnalysisTemplate", "spec", []),
        ("AnalysisTemplate", "spec.args[]", ["name"]),
        ("AnalysisTemplate", "spec.args[].valueFrom.secretKeyRef", ["name", "key"]),
        ("AnalysisTemplate", "spec.templates[]", []),
        ("AnalysisTemplate", "spec.metrics[]", ["name", "provider"]),
        ("AnalysisTemplate", "spec.metrics[].provider", []),
        ("AnalysisTemplate", "spec.metrics[].provider.prometheus", []),
        ("AnalysisTemplate", "spec.metrics[].provider.prometheus.headers[]", ["key", "value"]),
        ("AnalysisTemplate", "spec.metrics[].provider.web", ["url"]),
        ("AnalysisTemplate", "spec.metrics[].provider.newRelic", ["query"]),
        ("AnalysisTemplate", "spec.metrics[].provider.cloudWatch", ["metricDataQueries"]),
        ("AnalysisTemplate", "spec.metrics[].provider.job", ["spec"]),
        ("AnalysisTemplate", "spec.metrics[].provider.kayenta.threshold", ["pass", "marginal"]),
        (
            "AnalysisTemplate",
            "spec.metrics[].provider.kayenta.scopes[].controlScope",
            ["scope", "region", "step", "start", "end"],
        ),
        ("AnalysisRun", "spec", ["metrics"]),
        ("AnalysisRun", "status", ["phase"]),
        ("AnalysisRun", "status.metricResults[]", ["name", "phase"]),
        ("AnalysisRun", "status.metricResults[].measurements[]", ["phase"]),
        ("Experiment", "spec", ["templates"]),
        ("Experiment", "spec.templates[]", ["name", "selector", "template"]),
        ("Experiment", "spec.analyses[]", ["name", "templateName"]),
        ("Experiment", "status", []),
        (
            "Experiment",
            "status.templateStatuses[]",
            ["name", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"],
        ),
        ("Experiment", "status.analysisRuns[]", ["name", "analysisRun", "phase"]),
        ("Experiment", "status.conditions[]", CONDITION),
    ],
)
def test_the_api_server_demands_these_fields(kind: str, path: str, required: list[str]) -> None:
    assert node_at(kind, path).get("required", []) == required


@pytest.mark.parametrize(
    ("kind", "path", "format_"),
    [
        ("Rollout", "spec.replicas", "int32"),
        ("Rollout", "spec.restartAt", "date-time"),
        ("Rollout", "status.duration.totalManualPauseDurationSeconds", "int64"),
        ("Rollout", f"{TRAFFIC}.istio.virtualService.tlsRoutes[].port", "int64"),
        ("Rollout", f"{TRAFFIC}.istio.virtualService.tcpRoutes[].port", "int64"),
        ("Rollout", f"{TRAFFIC}.alb.servicePort", "int32"),
        ("Rollout", f"{TRAFFIC}.alb.stickinessConfig.durationSeconds", "int64"),
        ("AnalysisTemplate", "spec.metrics[].provider.prometheus.timeout", "int64"),
        ("AnalysisTemplate", "spec.metrics[].provider.newRelic.timeout", "int64"),
        ("AnalysisTemplate", "spec.metrics[].provider.web.timeoutSeconds", "int64"),
        ("AnalysisTemplate", "spec.metrics[].provider.kayenta.threshold.pass", "int64"),
        ("AnalysisTemplate", "spec.metrics[].provider.kayenta.scopes[].controlScope.step", "int64"),
        ("AnalysisRun", "status.metricResults[].count", "int32"),
    ],
)
def test_numbers_and_times_have_their_width(kind: str, path: str, format_: str) -> None:
    assert node_at(kind, path)["format"] == format_


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Rollout", "status.observedGeneration"),
        ("Rollout", "status.workloadObservedGeneration"),
        ("Rollout", "status.HPAReplicas"),
        ("Rollout", "status.stableRS"),
        ("Rollout", "status.currentStepIndex"),
        ("AnalysisTemplate", "spec.metrics[].provider.skywalking.query"),
    ],
)
def test_fields_with_odd_names_or_types_exist(kind: str, path: str) -> None:
    expected = "integer" if path.endswith(("Replicas", "Index")) else "string"
    assert node_at(kind, path)["type"] == expected


# --- What an API server does with them --------------------------------------------------------------------------------


def minimal(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}


def pod_rollout(**pod_spec: Any) -> dict[str, Any]:
    return minimal("Rollout", {"template": {"spec": {"containers": [], **pod_spec}}})


def process(obj: dict[str, Any], old: dict[str, Any] | None = None) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return what the embedded cluster stores, the fields it removes, and its complaints."""
    result = CompiledSchema(crd.resource_schema(obj["kind"])).process(obj, old=old, strictness="Warn")
    return result.obj, result.unknown_fields, [cause.field for cause in result.causes]


@pytest.mark.parametrize("kind", KINDS)
def test_an_api_server_finds_no_fault_with_a_definition(kind: str) -> None:
    definition = json.loads(json.dumps(crd.custom_resource_definition(kind)))
    definitions.prepare(definition)
    assert definitions.validate(definition) == []


@pytest.mark.parametrize("cpu", [1, 0.15, "100m", "a lot", None])
def test_resources_may_be_written_in_any_way(cpu: object) -> None:
    container = {"name": "a", "resources": {"limits": {"cpu": cpu}, "requests": {"cpu": cpu}}}
    obj = pod_rollout(containers=[container])
    assert process(obj) == (obj, [], [])


def test_volumes_are_kept_as_they_are() -> None:
    obj = pod_rollout(volumes=[{"name": "a", "futureSource": {"size": 0.5}}])
    assert process(obj) == (obj, [], [])


def test_an_unknown_field_of_a_pod_is_removed() -> None:
    stored, removed, faults = process(pod_rollout(containers=[{"name": "a", "imag": "typo"}]))
    assert stored == pod_rollout(containers=[{"name": "a"}])
    assert removed == ["spec.template.spec.containers[0].imag"]
    assert faults == []


def test_template_metadata_keeps_labels_and_annotations_only() -> None:
    metadata = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    obj = minimal("Rollout", {"template": {"metadata": metadata | {"name": "x", "finalizers": ["y"]}}})
    stored, removed, _ = process(obj)
    assert stored["spec"]["template"]["metadata"] == metadata
    assert sorted(removed) == ["spec.template.metadata.finalizers", "spec.template.metadata.name"]


def test_the_protocol_of_a_port_is_stored_as_tcp() -> None:
    stored, _, _ = process(pod_rollout(containers=[{"name": "a", "ports": [{"containerPort": 80}]}]))
    assert stored["spec"]["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_a_json_body_must_be_an_object() -> None:
    def template(body: object) -> dict[str, Any]:
        metric = {"name": "a", "provider": {"web": {"url": "http://a", "jsonBody": body}}}
        return minimal("AnalysisTemplate", {"metrics": [metric]})

    assert process(template({"any": [1, {"thing": None}]}))[2] == []
    assert process(template([1]))[2] == ["spec.metrics[0].provider.web.jsonBody"]


def test_datadog_defaults_are_stored_and_its_enums_checked() -> None:
    def template(**datadog: str) -> dict[str, Any]:
        return minimal("AnalysisTemplate", {"metrics": [{"name": "a", "provider": {"datadog": datadog}}]})

    stored, _, faults = process(template(query="q"))
    assert stored == template(query="q", interval="5m", apiVersion="v1", requestTimeout="10s")
    assert faults == []
    assert process(template(apiVersion="v3"))[2] == ["spec.metrics[0].provider.datadog.apiVersion"]
    assert process(template(aggregator="median"))[2] == ["spec.metrics[0].provider.datadog.aggregator"]


@pytest.mark.parametrize(
    ("old", "new", "is_accepted"),
    [
        pytest.param(
            {"selector": {"matchLabels": {"a": "b"}}}, {"selector": {"matchLabels": {"a": "b"}}}, True, id="same"
        ),
        pytest.param(
            {"selector": {"matchLabels": {"a": "b"}}}, {"selector": {"matchLabels": {"a": "c"}}}, False, id="new"
        ),
        pytest.param({}, {"selector": {"matchLabels": {"a": "b"}}}, True, id="added"),
        pytest.param({"selector": {"matchLabels": {"a": "b"}}}, {}, True, id="removed"),
    ],
)
def test_the_selector_may_be_added_and_removed_but_not_changed(
    old: dict[str, Any], new: dict[str, Any], is_accepted: bool
) -> None:
    _, _, faults = process(minimal("Rollout", new), minimal("Rollout", old))
    assert faults == ([] if is_accepted else ["spec.selector"])


def test_a_rollout_needs_a_spec_and_nothing_in_it() -> None:
    assert process(minimal("Rollout", {}))[2] == []
    without = minimal("Rollout", {})
    del without["spec"]
    assert process(without)[2] == ["spec"]


# --- Descriptions -----------------------------------------------------------------------------------------------------


def structs_within(type_: Any, found: set[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    """Collect the structs that a type is made of, but those that Kubernetes describes."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        if type_ not in found and type_ not in (ObjectMeta, LabelSelector):
            found.add(type_)
            for field in msgspec.structs.fields(type_):
                structs_within(field.type, found)
    else:
        for argument in getattr(type_, "__args__", ()):
            structs_within(argument, found)
    return found


def test_every_field_of_every_struct_is_described_and_nothing_else_is() -> None:
    structs: set[type[msgspec.Struct]] = set()
    for root in TYPES:
        structs_within(root, structs)
    expected = {
        struct.__name__: {each.encode_name for each in msgspec.structs.fields(struct) if each.type is not ObjectMeta}
        for struct in structs
    }
    assert {name: set(found.fields) for name, found in descriptions().items()} == expected


def test_tables_of_exceptions_name_existing_fields() -> None:
    fields = {f"{struct}.{name}" for struct, found in descriptions().items() for name in found.fields}
    assert crd._NOTED_TYPES.keys() <= fields
    assert crd._ENUMS.keys() <= fields
    assert crd._written_schemas().keys() <= fields


def test_every_property_is_described_by_sentences() -> None:
    for path, node in all_nodes():
        for name, child in node.get("properties", {}).items():
            text = child.get("description", "")
            assert text.endswith("."), f"{path}.{name}: {text!r}"
            assert "`" not in text, f"{path}.{name}: {text!r}"


def test_the_main_fields_say_what_users_ask_about() -> None:
    assert "600 by default" in node_at("Rollout", "spec.progressDeadlineSeconds")["description"]
    assert "25% by default" in node_at("Rollout", "spec.strategy.canary.maxSurge")["description"]
    assert "Only with trafficRouting" in node_at("Rollout", f"{STEP}.setCanaryScale")["description"]
    assert "promotes" in node_at("Rollout", f"{STEP}.pause.duration")["description"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("name Before any heading.", "belongs to no struct", id="no struct"),
        pytest.param("# A: One.\n    more", "belongs to no struct or field", id="nothing to continue"),
        pytest.param("# A: One.\nname", "no description", id="no text"),
        pytest.param("# A: One.\nname It.\nname It.", "field is described twice", id="field twice"),
        pytest.param("# A: One.\n# A: One.", "A is described twice", id="struct twice"),
    ],
)
def test_a_description_without_place_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_checked_in_file_is_current(kind: str) -> None:
    """If this fails, run ``make manifests``."""
    text = (MANIFESTS / "crds" / f"{kind.lower()}-crd.yaml").read_text(encoding="utf-8")
    assert text == crd.to_yaml(crd.custom_resource_definition(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_reads_back_as_the_definition(kind: str) -> None:
    definition = crd.custom_resource_definition(kind)
    assert yaml.load(crd.to_yaml(definition), yaml.CSafeLoader) == definition


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_is_plain_json_small_enough_for_client_side_apply(kind: str) -> None:
    text = json.dumps(crd.custom_resource_definition(kind), separators=(",", ":"))
    assert json.loads(text) == crd.custom_resource_definition(kind)
    assert len(text.encode()) < 200_000  # annotations hold 262,144 bytes in all


def test_main_writes_one_file_per_kind_always_with_the_same_content(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "crds"
    assert crd.main([str(directory)]) == 0
    first = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert set(first) == {f"{kind.lower()}-crd.yaml" for kind in KINDS}
    assert crd.main([str(directory)]) == 0
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == first


def test_check_names_the_files_that_are_missing_or_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crd.main([str(tmp_path)])
    assert crd.main(["--check", str(tmp_path)]) == 0
    missing, stale = tmp_path / "rollout-crd.yaml", tmp_path / "experiment-crd.yaml"
    missing.unlink()
    stale.write_text("kind: Old\n")
    assert crd.main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"not what the types say: {missing}, {stale}; run: make manifests\n"
    assert not missing.exists()
    assert stale.read_text() == "kind: Old\n"


@pytest.mark.parametrize("arguments", [[], ["--check"], ["--help"], ["a", "b"], ["--check", "a", "b"]])
def test_main_says_how_to_call_it(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m prograde.api.crd [--check] DIRECTORY\n"


def test_definitions_come_rollout_first_and_are_built_once() -> None:
    first = crd.custom_resource_definitions()
    assert [definition["spec"]["names"]["kind"] for definition in first] == list(KINDS)
    assert all(one is other for one, other in zip(first, crd.custom_resource_definitions(), strict=True))


def test_an_unknown_kind_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="Deployment"):
        crd.custom_resource_definition("Deployment")
