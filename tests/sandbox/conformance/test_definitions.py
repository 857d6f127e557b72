"""Rows 81 to 86: CustomResourceDefinitions and their objects."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.sandbox.conformance.harness import (
    Http,
    Kubectl,
    widget,
    widget_definition,
    widget_version,
)

from prograde.api.crd import custom_resource_definitions
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.routingkinds import routing_definitions

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
EXAMPLES = Path(__file__).parents[3] / "examples"


def conditions(obj: Any) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in obj["status"]["conditions"]}


async def test_row_81_routes_and_discovery_are_there_before_established(http: Http) -> None:
    served_at: list[bool] = []

    def look(change: str, resource: tuple[str, str], new: Any, previous: Any) -> None:
        if resource[1] == "customresourcedefinitions" and conditions(
            {"status": {"conditions": [], **new.get("status", {})}}
        ):
            served_at.append(http.sandbox._registry.find("example.com", "v1", "widgets") is not None)

    http.sandbox.client().subscribe(look)
    assert (await http("GET", WIDGETS)).status == 404
    await http("POST", CRDS, widget_definition())

    assert served_at == [True]
    definition = (await http("GET", f"{CRDS}/widgets.example.com")).json
    assert conditions(definition) == {"NamesAccepted": "True", "Established": "True"}
    assert definition["status"]["acceptedNames"]["listKind"] == "WidgetList"
    assert definition["status"]["storedVersions"] == ["v1"]
    groups = (await http("GET", "/apis", headers={"Accept": AGGREGATED})).json["items"]
    assert "example.com" in [group["metadata"]["name"] for group in groups]
    assert (await http("POST", WIDGETS, widget("a"))).status == 201


async def test_row_81_apply_right_after_wait_established_works(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=json.dumps(widget_definition()))
    await kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s")
    await kubectl("apply", "-f", "-", stdin=json.dumps(widget("a", size=1)))
    assert "widget.example.com/a" in await kubectl("get", "wd", "-o", "name")


async def test_row_82_versions_are_views_of_the_same_objects(http: Http) -> None:
    versions = widget_version("v1alpha3"), widget_version("v1beta1", storage=False)
    await http("POST", CRDS, widget_definition(*versions))
    alpha, beta = WIDGETS.replace("/v1/", "/v1alpha3/"), WIDGETS.replace("/v1/", "/v1beta1/")

    async with http.watch(alpha) as events:
        written = (await http("POST", beta, widget("a", "v1beta1", size=3))).json
        event = await events.next()
    assert written["apiVersion"] == "example.com/v1beta1"
    assert event["object"]["apiVersion"] == "example.com/v1alpha3"
    assert event["object"]["spec"] == {"size": 3}
    assert (await http("GET", f"{alpha}/a")).json["apiVersion"] == "example.com/v1alpha3"
    (item,) = (await http("GET", beta)).json["items"]
    assert item["apiVersion"] == "example.com/v1beta1"
    assert (await http("PUT", f"{alpha}/a", widget("a", "v1beta1"))).status == 400


async def test_row_82_a_version_that_is_not_served_is_not_found_and_a_deprecated_one_warns(http: Http) -> None:
    off = {**widget_version("v2", storage=False), "served": False}
    old = widget_version("v1", deprecated=True, deprecationWarning="use something newer")
    await http("POST", CRDS, widget_definition(old, off))

    assert (await http("GET", WIDGETS.replace("/v1/", "/v2/"))).status == 404
    reply = await http("POST", WIDGETS, widget("a"))
    assert reply.headers["Warning"] == '299 - "use something newer"'


async def test_row_83_an_update_adds_columns_and_fields_for_objects_already_stored(http: Http) -> None:
    definition = (await http("POST", CRDS, widget_definition())).json
    await http("POST", WIDGETS, widget("a", size=3, colour="red"))
    before = (await http("GET", WIDGETS, headers=TABLE)).json
    assert [column["name"] for column in before["columnDefinitions"]] == ["Name", "Age"]
    properties = {"size": {"type": "integer"}, "colour": {"type": "string"}}
    column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
    definition["spec"]["versions"] = [widget_version("v1", properties=properties, additionalPrinterColumns=[column])]
    del definition["metadata"]["resourceVersion"]

    assert (await http("PUT", f"{CRDS}/widgets.example.com", definition)).status == 200
    after = (await http("GET", WIDGETS, headers=TABLE)).json
    assert [column["name"] for column in after["columnDefinitions"]] == ["Name", "Size"]
    assert after["rows"][0]["cells"] == ["a", 3]
    patched = await http.patch(f"{WIDGETS}/a", {"spec": {"colour": "blue"}})
    assert patched.json["spec"] == {"size": 3, "colour": "blue"}


async def test_row_84_deleting_a_definition_deletes_its_objects_first(http: Http) -> None:
    await http("POST", CRDS, widget_definition())
    await http("POST", WIDGETS, widget("free"))
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await http("POST", WIDGETS, held)

    deleted = (await http("DELETE", f"{CRDS}/widgets.example.com")).json
    assert conditions(deleted)["Terminating"] == "True"
    assert [item["metadata"]["name"] for item in (await http("GET", WIDGETS)).json["items"]] == ["held"]
    assert (await http("POST", WIDGETS, widget("late"))).status == 405

    await http.patch(f"{WIDGETS}/held", {"metadata": {"finalizers": None}})
    assert (await http("GET", f"{CRDS}/widgets.example.com")).status == 404
    assert (await http("GET", WIDGETS)).status == 404
    assert (await http("POST", CRDS, widget_definition())).status == 201
    assert (await http("GET", WIDGETS)).json["items"] == []


async def test_row_84_a_definition_without_objects_goes_at_once_and_ends_its_watches(http: Http) -> None:
    await http("POST", CRDS, widget_definition())
    async with http.watch(WIDGETS) as events:
        await http("DELETE", f"{CRDS}/widgets.example.com")
        assert await events.rest() == []

    assert (await http("GET", WIDGETS)).status == 404


async def test_row_85_a_taken_name_is_not_accepted_until_it_is_free(http: Http) -> None:
    await http("POST", CRDS, widget_definition())
    other = widget_definition(plural="gadgets", singular="gadget", kind="Widget", shortNames=["gd"])
    other["metadata"]["name"] = "gadgets.example.com"
    await http("POST", CRDS, other)

    refused = (await http("GET", f"{CRDS}/gadgets.example.com")).json
    assert conditions(refused) == {"NamesAccepted": "False", "Established": "False"}
    assert refused["status"]["conditions"][0]["reason"] == "KindConflict"
    gadgets = WIDGETS.replace("widgets", "gadgets")
    assert (await http("GET", gadgets)).status == 404

    await http("DELETE", f"{CRDS}/widgets.example.com")
    accepted = (await http("GET", f"{CRDS}/gadgets.example.com")).json
    assert conditions(accepted) == {"NamesAccepted": "True", "Established": "True"}
    assert (await http("GET", gadgets)).status == 200


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"metadata": {"name": "wrong.example.com"}}, 'must be spec.names.plural+"."+spec.group'),
        ({"versions": []}, "spec.versions"),
        ({"scope": "Galaxy"}, "spec.scope"),
    ],
)
async def test_a_definition_that_cannot_be_served_is_invalid(http: Http, change: dict[str, Any], problem: str) -> None:
    body = widget_definition()
    if "metadata" in change:
        body["metadata"] = change["metadata"]
    else:
        body["spec"] |= change

    reply = await http("POST", CRDS, body)
    assert reply.status == 422
    assert problem in reply.message


async def test_row_82_versions_that_only_a_webhook_could_convert_are_not_served(http: Http) -> None:
    body = widget_definition(widget_version("v1"), widget_version("v2", storage=False))
    body["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}}

    assert (await http("POST", CRDS, body)).status == 201
    definition = (await http("GET", f"{CRDS}/widgets.example.com")).json
    assert conditions(definition)["Established"] == "False"
    assert (await http("GET", WIDGETS)).status == 404


def test_row_86_all_own_definitions_load_quickly() -> None:
    started = time.perf_counter()
    sandbox = Sandbox(crds=[], controllers=False)
    for definition in custom_resource_definitions():
        sandbox.apply(json.dumps(definition))
    assert time.perf_counter() - started < 1.5
    assert len(sandbox.list("crd")) == 5


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_row_86_each_example_is_accepted(path: Path) -> None:
    sandbox = Sandbox(controllers=False, crds=[*custom_resource_definitions(), *routing_definitions()])
    documents = [each for each in yaml.safe_load_all(path.read_text()) if each]
    for namespace in {each["metadata"].get("namespace", "default") for each in documents} - {"default"}:
        sandbox.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    assert len(sandbox.apply(path.read_text())) == len(documents)
