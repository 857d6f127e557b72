"""OpenAPI v3 documents: what kubectl looks for in them, and that they are stable."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from prograde.api.crd import custom_resource_definitions
from prograde.sandbox import crd, openapi
from prograde.sandbox.builtins import builtin_kinds
from prograde.sandbox.kinds import Kind


def custom_kinds() -> Iterator[Kind]:
    for definition in custom_resource_definitions():
        own = copy.deepcopy(definition)
        crd.prepare(own)
        own["status"] = crd.admit(own, [], datetime(2026, 11, 25, tzinfo=UTC))
        yield from crd.kinds_of(own)


ALL_KINDS = [*builtin_kinds(), *custom_kinds()]
PATHS = sorted({openapi.group_version_path(kind.group, kind.version) for kind in ALL_KINDS})


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_there_is_one_document_for_every_group_version() -> None:
    assert sorted(openapi.root(ALL_KINDS)) == PATHS
    assert "api/v1" in PATHS
    assert "apis/argoproj.io/v1alpha1" in PATHS


@pytest.mark.parametrize("path", PATHS)
def test_every_reference_leads_to_a_schema(path: str) -> None:
    document = openapi.document(path, ALL_KINDS)
    schemas = document["components"]["schemas"]
    assert {reference.removeprefix("#/components/schemas/") for reference in references(document)} <= schemas.keys()


@pytest.mark.parametrize(
    "kind", [kind for kind in ALL_KINDS if kind.is_stored], ids=lambda kind: f"{kind.group}/{kind.kind}"
)
def test_patching_a_resource_takes_the_parameters_without_which_kubectl_refuses_to_apply(kind: Kind) -> None:
    document = openapi.document(openapi.group_version_path(kind.group, kind.version), ALL_KINDS)
    prefix = openapi.group_version_path(kind.group, kind.version)
    scope = "/namespaces/{namespace}" if kind.namespaced else ""
    item = document["paths"][f"/{prefix}{scope}/{kind.plural}/{{name}}"]
    own_type = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    assert item["patch"]["x-kubernetes-group-version-kind"] == own_type
    assert {"fieldValidation", "dryRun", "fieldManager"} <= {each["name"] for each in item["patch"]["parameters"]}
    assert item["get"]["x-kubernetes-action"] == "get"
    assert {"post", "get"} <= document["paths"][f"/{prefix}{scope}/{kind.plural}"].keys()


def test_strategic_merge_is_not_offered_because_the_schemas_have_no_merge_keys() -> None:
    item = openapi.document("apis/apps/v1", ALL_KINDS)["paths"][
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    ]
    assert "application/strategic-merge-patch+json" not in item["patch"]["requestBody"]["content"]


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: f"{kind.group}/{kind.version}/{kind.kind}")
def test_every_kind_has_one_schema_with_its_type_and_a_description(kind: Kind) -> None:
    document = openapi.document(openapi.group_version_path(kind.group, kind.version), ALL_KINDS)
    own_type = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    (schema,) = [
        schema
        for schema in document["components"]["schemas"].values()
        if own_type in schema.get("x-kubernetes-group-version-kind", ())
    ]
    assert schema["description"]
    assert {"apiVersion", "kind", "metadata"} <= schema["properties"].keys()


def test_sub_resources_are_listed_where_they_exist() -> None:
    paths = openapi.document("apis/argoproj.io/v1alpha1", ALL_KINDS)["paths"]
    rollout = "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/{name}"
    assert f"{rollout}/status" in paths
    assert paths[f"{rollout}/scale"]["get"]["x-kubernetes-group-version-kind"] == {
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
    }
    assert "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/analysisruns/{name}/status" not in paths


def test_a_review_can_only_be_posted() -> None:
    paths = openapi.document("apis/authorization.k8s.io/v1", ALL_KINDS)["paths"]
    assert paths["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"].keys() == {"post", "parameters"}


def test_a_shared_type_is_described_once_and_each_use_keeps_its_own_description() -> None:
    schemas = openapi.document("apis/apps/v1", ALL_KINDS)["components"]["schemas"]
    template = schemas["io.k8s.api.DeploymentSpec"]["properties"]["template"]
    assert template["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.PodTemplateSpec"}]
    assert template["description"] == "The pods to make."
    assert len(msgspec.json.encode(openapi.document("apis/apps/v1", ALL_KINDS))) < 300_000


def test_the_schema_of_a_custom_resource_is_written_out_with_its_descriptions() -> None:
    schemas = openapi.document("apis/argoproj.io/v1alpha1", ALL_KINDS)["components"]["schemas"]
    canary = schemas["io.argoproj.v1alpha1.Rollout"]["properties"]["spec"]["properties"]["strategy"]["properties"][
        "canary"
    ]
    assert canary["description"]
    assert canary["properties"]["steps"]["items"]["properties"]["setWeight"]["description"]


def test_the_hash_of_a_document_changes_with_its_kinds_and_only_with_them() -> None:
    before = openapi.root(ALL_KINDS)
    assert openapi.root(list(ALL_KINDS)) == before
    changed = [replace(kind, plural="carts") if kind.kind == "Rollout" else kind for kind in ALL_KINDS]
    after = openapi.root(changed)
    assert {path for path in after if after[path] != before[path]} == {"apis/argoproj.io/v1alpha1"}


def test_a_kind_without_a_schema_is_described_as_open() -> None:
    kind = Kind(group="example.com", version="v1", kind="Thing", plural="things", is_custom=True)
    schemas = openapi.document("apis/example.com/v1", [kind])["components"]["schemas"]
    assert schemas["com.example.v1.Thing"]["x-kubernetes-preserve-unknown-fields"] is True
