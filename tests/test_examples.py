"""The examples: every field of theirs exists, API servers and the controller accept them, and they do what they say."""

from pathlib import Path
from typing import Any

import pytest

from prograde.api import codec, crd
from prograde.api.manifests import Document, check_fields, decode_document, load_documents
from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout
from prograde.api.validation import References, validate_references, validate_rollout
from prograde.api.workloads import Ingress, Service
from prograde.core.rollout.unsupported import unsupported_field
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.schema import Schema
from prograde.simulator.scenery import definitions

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


def documents_of(name: str) -> list[Document]:
    return load_documents((EXAMPLES / name).read_bytes(), name)


def values_of(name: str, kind: str) -> list[dict[str, Any]]:
    return [document.value for document in documents_of(name) if document.value["kind"] == kind]


def rollout_of(name: str) -> Rollout:
    (document,) = [document for document in documents_of(name) if document.value["kind"] == "Rollout"]
    rollout, problems = decode_document(document, Rollout)
    assert problems == ()
    return rollout


def template_of(name: str) -> dict[str, Any]:
    template: dict[str, Any] = codec.to_json(rollout_of(name))["spec"]["template"]
    return template


def test_there_are_examples_for_what_the_readme_tells_to_try() -> None:
    assert FILES == [
        "analysis-judge.yaml",
        "bluegreen.yaml",
        "canary-broken.yaml",
        "canary-gateway-api.yaml",
        "canary-guarded.yaml",
        "canary-istio.yaml",
        "canary-nginx.yaml",
        "canary.yaml",
        "recreate.yaml",
    ]


@pytest.mark.parametrize("name", FILES)
def test_every_field_of_a_rollout_is_known_and_of_the_right_type(name: str) -> None:
    for document in documents_of(name):
        if document.value["kind"] == "Rollout":
            assert check_fields(document, Rollout) == []


@pytest.mark.parametrize("name", FILES)
def test_the_schema_accepts_a_rollout_removes_nothing_and_adds_nothing(name: str) -> None:
    schema = Schema(crd.resource_schema("Rollout"))
    for value in values_of(name, "Rollout"):
        result = schema.process(value, strictness="Strict")
        assert result.causes == []
        assert result.unknown_fields == []
        # A default would make every `kubectl apply` of the same file a change.
        assert result.obj == value


@pytest.mark.parametrize("name", FILES)
def test_a_cluster_accepts_an_example_and_a_second_time_changes_nothing(name: str) -> None:
    cluster = Sandbox(controllers=False, crds=definitions())
    text = (EXAMPLES / name).read_bytes()
    cluster.apply(text)
    revision = cluster.revision
    cluster.apply(text)
    assert cluster.revision == revision


@pytest.mark.parametrize("name", FILES)
def test_the_controller_finds_no_fault_with_a_rollout_and_its_services(name: str) -> None:
    rollout = rollout_of(name)
    services = [
        decode_document(document, Service)[0] for document in documents_of(name) if document.value["kind"] == "Service"
    ]
    assert validate_rollout(rollout) == []
    references = References(
        services={service.metadata.name: service for service in services},
        ingresses={
            document.value["metadata"]["name"]: decode_document(document, Ingress)[0]
            for document in documents_of(name)
            if document.value["kind"] == "Ingress"
        },
        virtual_services={
            NamespacedName(rollout.metadata.namespace, value["metadata"]["name"]): value
            for value in values_of(name, "VirtualService")
        },
    )
    assert validate_references(rollout, references) == []


@pytest.mark.parametrize("name", FILES)
def test_this_version_can_do_all_that_an_example_asks_for(name: str) -> None:
    assert unsupported_field(rollout_of(name).spec) == ""


@pytest.mark.parametrize("name", FILES)
def test_the_selector_chooses_the_pods_and_so_do_all_services(name: str) -> None:
    rollout = rollout_of(name)
    labels = template_of(name)["metadata"]["labels"]
    assert rollout.spec.selector is not None
    assert rollout.spec.selector.match_labels.items() <= labels.items()
    for service in values_of(name, "Service"):
        assert service["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize("name", FILES)
def test_services_lead_to_ports_that_the_pods_have(name: str) -> None:
    ports = {port["name"] for port in template_of(name)["spec"]["containers"][0]["ports"]}
    for service in values_of(name, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_services_of_blue_green_are_in_the_file() -> None:
    blue_green = rollout_of("bluegreen.yaml").spec.strategy.blue_green
    assert blue_green is not None
    names = {service["metadata"]["name"] for service in values_of("bluegreen.yaml", "Service")}
    assert names == {blue_green.active_service, blue_green.preview_service}


def test_the_broken_version_is_the_same_rollout_with_another_image() -> None:
    (good,) = values_of("canary.yaml", "Rollout")
    (broken,) = values_of("canary-broken.yaml", "Rollout")
    (container,) = broken["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "argoproj/rollouts-demo:does-not-exist"
    container["image"] = "argoproj/rollouts-demo:blue"
    assert broken == good
