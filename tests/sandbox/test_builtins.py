"""The table of built-in kinds and their schemas."""

from collections import Counter
from typing import Any

import pytest

from prograde.sandbox import protobuf
from prograde.sandbox.builtins import builtin_kinds
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind

KINDS = {(kind.group, kind.version, kind.kind): kind for kind in builtin_kinds()}


def row(kind: str, group: str = "", version: str = "v1") -> Kind:
    return KINDS[(group, version, kind)]


def test_the_table_is_made_once_and_no_row_twice() -> None:
    assert builtin_kinds() is builtin_kinds()
    assert len(KINDS) == len(builtin_kinds())
    assert max(Counter((kind.group, kind.version, kind.plural) for kind in builtin_kinds()).values()) == 1


def test_every_kind_that_clients_expect_is_served() -> None:
    served: dict[str, list[str]] = {}
    for kind in builtin_kinds():
        served.setdefault(kind.group, []).append(kind.plural)
    assert {group: sorted(plurals) for group, plurals in served.items()} == {
        "": sorted(
            [
                "configmaps",
                "endpoints",
                "events",
                "limitranges",
                "namespaces",
                "nodes",
                "persistentvolumeclaims",
                "pods",
                "podtemplates",
                "replicationcontrollers",
                "resourcequotas",
                "secrets",
                "serviceaccounts",
                "services",
            ]
        ),
        "apps": ["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"],
        "batch": ["cronjobs", "jobs"],
        "autoscaling": ["horizontalpodautoscalers", "horizontalpodautoscalers"],
        "policy": ["poddisruptionbudgets"],
        "networking.k8s.io": ["ingressclasses", "ingresses", "networkpolicies"],
        "discovery.k8s.io": ["endpointslices"],
        "coordination.k8s.io": ["leases"],
        "events.k8s.io": ["events"],
        "rbac.authorization.k8s.io": ["clusterrolebindings", "clusterroles", "rolebindings", "roles"],
        "authorization.k8s.io": ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"],
        "authentication.k8s.io": ["selfsubjectreviews", "tokenreviews"],
        "scheduling.k8s.io": ["priorityclasses"],
        "apiextensions.k8s.io": ["customresourcedefinitions"],
    }


@pytest.mark.parametrize(
    ("short_name", "plural", "group"),
    [
        ("po", "pods", ""),
        ("svc", "services", ""),
        ("cm", "configmaps", ""),
        ("ns", "namespaces", ""),
        ("ev", "events", ""),
        ("no", "nodes", ""),
        ("sa", "serviceaccounts", ""),
        ("ep", "endpoints", ""),
        ("pvc", "persistentvolumeclaims", ""),
        ("quota", "resourcequotas", ""),
        ("limits", "limitranges", ""),
        ("rc", "replicationcontrollers", ""),
        ("deploy", "deployments", "apps"),
        ("rs", "replicasets", "apps"),
        ("sts", "statefulsets", "apps"),
        ("ds", "daemonsets", "apps"),
        ("cj", "cronjobs", "batch"),
        ("hpa", "horizontalpodautoscalers", "autoscaling"),
        ("pdb", "poddisruptionbudgets", "policy"),
        ("ing", "ingresses", "networking.k8s.io"),
        ("netpol", "networkpolicies", "networking.k8s.io"),
        ("crd", "customresourcedefinitions", "apiextensions.k8s.io"),
        ("crds", "customresourcedefinitions", "apiextensions.k8s.io"),
        ("pc", "priorityclasses", "scheduling.k8s.io"),
    ],
)
def test_a_short_name_leads_first_to_the_kind_that_people_mean(short_name: str, plural: str, group: str) -> None:
    first = next(kind for kind in builtin_kinds() if short_name in kind.short_names)
    assert (first.plural, first.group) == (plural, group)


def test_the_category_all_holds_what_kubectl_get_all_shows() -> None:
    assert {kind.plural for kind in builtin_kinds() if "all" in kind.categories} == {
        "pods",
        "replicationcontrollers",
        "services",
        "daemonsets",
        "deployments",
        "replicasets",
        "statefulsets",
        "horizontalpodautoscalers",
        "cronjobs",
        "jobs",
    }


def test_generations_are_counted_where_kubernetes_counts_them() -> None:
    counted = {kind.kind for kind in builtin_kinds() if kind.has_generation}
    assert {
        "CronJob",
        "CustomResourceDefinition",
        "DaemonSet",
        "Deployment",
        "Ingress",
        "Job",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "ReplicaSet",
        "StatefulSet",
    } <= counted
    assert not counted & {"Event", "ConfigMap", "Secret", "Service", "Lease", "Namespace", "Node"}


def test_scale_and_status_are_where_clients_write_them() -> None:
    assert {kind.kind for kind in builtin_kinds() if kind.scale} == {
        "Deployment",
        "ReplicaSet",
        "ReplicationController",
        "StatefulSet",
    }
    with_status = {kind.kind for kind in builtin_kinds() if kind.has_status}
    assert {"Pod", "Service", "Node", "Namespace", "Job", "HorizontalPodAutoscaler", "Ingress"} <= with_status
    assert not with_status & {"ConfigMap", "Event", "Lease", "EndpointSlice", "Endpoints"}
    assert {"log", "eviction", "binding"} <= set(row("Pod").subresources)
    assert row("Namespace").subresources == ("finalize",)
    assert row("ServiceAccount").subresources == ("token",)


def test_views_share_the_storage_of_what_they_show() -> None:
    event = row("Event", "events.k8s.io")
    assert event.storage_key == row("Event").storage_key == ("", "events")
    first, second = (row("HorizontalPodAutoscaler", "autoscaling", version) for version in ("v1", "v2"))
    assert first.storage_version == second.storage_version == "v2"
    assert second.is_storage_form
    assert not first.is_storage_form
    assert not event.is_storage_form


def test_reviews_are_not_stored() -> None:
    assert all(kind.is_stored == (not kind.kind.endswith("Review")) for kind in builtin_kinds())


# ----------------------------------------------------------------------------------------------------------- schemas


def test_every_kind_describes_itself_and_its_metadata() -> None:
    for kind in builtin_kinds():
        schema = kind.schema.openapi
        assert schema["description"], kind
        assert {"apiVersion", "kind", "metadata"} <= schema["properties"].keys(), kind
        assert "name" in schema["properties"]["metadata"]["properties"], kind
        assert "x-kubernetes-preserve-unknown-fields" not in schema, kind


def declared(schema: Any, path: str) -> Any:
    for name in path.split("."):
        schema = schema["properties"][name]
        if "items" in schema:
            schema = schema["items"]
    return schema


@pytest.mark.parametrize(
    ("kind", "group", "path"),
    [
        ("Pod", "", "spec.containers.readinessProbe.httpGet.port"),
        ("Pod", "", "status.containerStatuses.state.waiting.reason"),
        ("Deployment", "apps", "spec.template.spec.volumes.projected.sources.serviceAccountToken.path"),
        ("Job", "batch", "spec.template.spec.containers.env.valueFrom.fieldRef.fieldPath"),
        ("Ingress", "networking.k8s.io", "spec.rules.http.paths.backend.service.port.number"),
        ("CustomResourceDefinition", "apiextensions.k8s.io", "spec.versions.additionalPrinterColumns.jsonPath"),
    ],
)
def test_fields_are_written_down_to_the_bottom(kind: str, group: str, path: str) -> None:
    assert declared(row(kind, group).schema.openapi, path)["description"]


NEWER_FIELDS = {
    "ClusterTrustBundleProjection.user",
    "ConfigMapVolumeSource.defaultUser",
    "DownwardAPIVolumeFile.user",
    "DownwardAPIVolumeSource.defaultUser",
    "EmptyDirVolumeSource.mode",
    "GRPCAction.mode",
    "HTTPGetAction.protocol",
    "KeyToPath.user",
    "NodeSpec.podPreemptionPolicy",
    "NodeStatus.declaredFeatures",
    "PersistentVolumeClaimStatus.healthStatus",
    "PodCertificateProjection.user",
    "PodCertificateProjection.userAnnotations",
    "PodSpec.evictionResponders",
    "PodSpec.schedulingGroup",
    "PodStatus.nodeAllocatableResourceClaimStatuses",
    "PodStatus.volumeHealth",
    "ProjectedVolumeSource.defaultUser",
    "SecretVolumeSource.defaultUser",
    "ServiceAccountTokenProjection.user",
    "VolumeMount.bindMountOptions",
    "VolumeMountStatus.volumeStatus",
}
"""Fields that Kubernetes gained after 1.34, the version that this cluster passes for."""


def dropped_fields(schema: Any, message: str, seen: tuple[str, ...] = ()) -> set[str]:
    """Return the fields of `message` and those below it that `schema` would drop."""
    if message in seen or "properties" not in schema:
        return set()
    dropped = set()
    for described in protobuf._fields(message).values():
        inner = schema["properties"].get(described.name, schema if not described.name else None)
        if inner is None:
            dropped.add(f"{message.partition('.')[2]}.{described.name}")
        elif described.type in protobuf._lines():
            if described.name:
                inner = inner.get("items") or inner.get("additionalProperties") or inner
            dropped |= dropped_fields(inner, described.type, (*seen, message))
    return dropped


MESSAGES = {
    f"{kind.group.partition('.')[0] or 'core'}{kind.version}.{kind.kind}": kind.schema for kind in builtin_kinds()
}


@pytest.mark.parametrize("message", sorted(MESSAGES.keys() & protobuf._lines().keys()))
def test_no_schema_drops_a_field_that_typed_clients_send(message: str) -> None:
    assert dropped_fields(MESSAGES[message].openapi, message) <= NEWER_FIELDS


@pytest.mark.parametrize(
    ("kind", "group", "spec", "unknown"),
    [
        ("Deployment", "apps", {"replica": 1}, "spec.replica"),
        ("Service", "", {"port": 1}, "spec.port"),
        ("PodDisruptionBudget", "policy", {"minAvailible": 1}, "spec.minAvailible"),
    ],
)
def test_a_misspelt_field_is_named(kind: str, group: str, spec: Any, unknown: str) -> None:
    found = row(kind, group)
    obj = {"apiVersion": found.api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    assert found.schema.process(obj, strictness="Strict").unknown_fields == [unknown]


def test_a_wrong_type_in_a_built_in_cannot_be_decoded() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": 1}}
    with pytest.raises(StatusError) as caught:
        row("ConfigMap").schema.process(obj)
    assert caught.value.code == 400
    assert caught.value.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct '
        "field ConfigMap.data.a of type string"
    )


@pytest.mark.parametrize(
    ("kind", "group", "path", "expected"),
    [
        ("Pod", "", "spec.containers", "list-map"),
        ("Pod", "", "spec.volumes", "list-map"),
        ("Pod", "", "spec.tolerations", "atomic"),
        ("Pod", "", "status.conditions", "list-map"),
        ("Service", "", "spec.ports", "list-map"),
        ("Service", "", "spec.selector", "atomic"),
        ("Deployment", "apps", "spec.selector", "atomic"),
        ("Deployment", "apps", "spec.template.metadata.labels", "map"),
        ("Pod", "", "metadata.finalizers", "list-set"),
        ("Pod", "", "metadata.ownerReferences", "list-map"),
        ("ConfigMap", "", "data", "map"),
        ("Ingress", "networking.k8s.io", "spec.rules", "atomic"),
    ],
)
def test_lists_and_maps_merge_as_in_kubernetes(kind: str, group: str, path: str, expected: str) -> None:
    shape = row(kind, group).schema.shape
    for name in path.split("."):
        shape = shape.member(name)
        assert shape is not None
    assert shape.kind == expected
