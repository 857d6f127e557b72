"""Rows 26 to 33: unknown, duplicate and wrong fields; pruning and defaults."""

import json
from typing import Any

import pytest
from tests.sandbox.conformance.harness import (
    DEPLOYMENTS,
    ROLLOUTS,
    Http,
    Kubectl,
    deployment,
    rollout,
    widget,
    widget_definition,
    widget_version,
)

from prograde.api.crd import custom_resource_definitions

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def test_row_26_apply_refuses_an_unknown_field_and_stores_nothing(kubectl: Kubectl) -> None:
    complaint = await kubectl.fails("apply", "-f", "-", stdin=json.dumps(rollout("x", foo=1)))

    assert 'strict decoding error: unknown field "spec.foo"' in complaint
    assert kubectl.sandbox.list("rollouts") == []


async def test_row_27_warn_prunes_and_says_so_and_false_prunes_silently(kubectl: Kubectl) -> None:
    body = json.dumps(rollout("x", foo=1))

    warned = await kubectl.run("apply", "--validate=warn", "-f", "-", stdin=body)
    assert (warned.code, warned.stderr) == (0, 'Warning: unknown field "spec.foo"\n')
    assert "foo" not in kubectl.sandbox.get("ro", "x")["spec"]

    silent = await kubectl.run("create", "--validate=false", "-f", "-", stdin=json.dumps(rollout("y", foo=1)))
    assert (silent.code, silent.stderr) == (0, "")
    assert "foo" not in kubectl.sandbox.get("ro", "y")["spec"]


async def test_row_27_warnings_are_headers_one_per_problem(http: Http) -> None:
    reply = await http("POST", ROLLOUTS, rollout("x", foo=1, bar=2), fieldValidation="Warn")

    assert reply.status == 201
    assert reply.headers["Warning"] == '299 - "unknown field \\"spec.foo\\"", 299 - "unknown field \\"spec.bar\\""'


async def test_row_26_strictness_on_create_and_on_patch(http: Http) -> None:
    created = await http("POST", ROLLOUTS, rollout("x", foo=1, bar=2), fieldValidation="Strict")
    assert (created.status, created.json["reason"]) == (400, "BadRequest")
    assert created.message == (
        'Rollout in version "v1alpha1" cannot be handled as a Rollout: strict decoding error: '
        'unknown field "spec.foo", unknown field "spec.bar"'
    )

    http.sandbox.create(rollout("x"))
    patched = await http.patch(f"{ROLLOUTS}/x", {"spec": {"foo": 1}}, fieldValidation="Strict")
    assert (patched.status, patched.json["reason"]) == (422, "Invalid")
    assert patched.json["details"]["causes"][0]["field"] == "patch"
    assert 'strict decoding error: unknown field "spec.foo"' in patched.message


async def test_row_28_a_duplicate_key_is_named(http: Http) -> None:
    text = json.dumps(rollout("x")).replace('"replicas": 1', '"replicas": 1, "replicas": 2').encode()

    strict = await http("POST", ROLLOUTS, text, fieldValidation="Strict")
    assert strict.status == 400
    assert 'strict decoding error: duplicate field "spec.replicas"' in strict.message

    warned = await http("POST", ROLLOUTS, text)
    assert warned.status == 201
    assert warned.headers["Warning"] == '299 - "duplicate field \\"spec.replicas\\""'
    assert warned.json["spec"]["replicas"] == 2


async def test_row_28_a_duplicate_key_in_yaml_is_named_too(http: Http) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b, a: c}\n"

    reply = await http(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        text,
        content_type="application/yaml",
        fieldValidation="Strict",
    )
    assert reply.status == 400
    assert 'duplicate field "data.a"' in reply.message


async def test_row_29_what_a_schema_preserves_stays(http: Http) -> None:
    properties = {
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "shut": {"type": "object", "properties": {"known": {"type": "integer"}}},
    }
    await http("POST", CRDS, widget_definition(widget_version("v1", properties=properties)))

    body = widget("a", open={"anything": [1, 1.0, {}]}, shut={"known": 1, "unknown": 2})
    reply = await http("POST", WIDGETS, body)
    assert reply.json["spec"] == {"open": {"anything": [1, 1.0, {}]}, "shut": {"known": 1}}
    assert b"[1,1.0,{}]" in reply.body


async def test_row_30_defaults_of_a_custom_kind_appear_on_create(http: Http) -> None:
    body = rollout("x")
    body["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 80}]

    reply = await http("POST", ROLLOUTS, body)
    assert reply.json["spec"]["template"]["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "protocol": "TCP"}
    ]


async def test_row_30_a_default_added_later_appears_in_objects_stored_before(http: Http) -> None:
    await http("POST", CRDS, widget_definition())
    before = (await http("POST", WIDGETS, widget("a"))).json
    properties = {"size": {"type": "integer", "default": 7}}
    definition = (await http("GET", f"{CRDS}/widgets.example.com")).json
    definition["spec"]["versions"] = [widget_version("v1", properties=properties)]

    assert (await http("PUT", f"{CRDS}/widgets.example.com", definition)).status == 200
    after = (await http("GET", f"{WIDGETS}/a")).json
    assert after["spec"] == {"size": 7}
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"replicas": "3"}, "spec.replicas"),
        ({"strategy": {"canary": {"maxSurge": 1.5}}}, "spec.strategy.canary.maxSurge"),
    ],
)
async def test_row_31_a_value_of_the_wrong_type_is_invalid(http: Http, spec: dict[str, Any], field: str) -> None:
    reply = await http("POST", ROLLOUTS, rollout("x", **spec))

    assert (reply.status, reply.json["reason"]) == (422, "Invalid")
    assert reply.json["details"]["kind"] == "Rollout"
    assert field in [cause["field"] for cause in reply.json["details"]["causes"]]


@pytest.mark.parametrize("surge", ["25%", 1])
async def test_row_31_an_integer_or_a_percentage_is_fine(http: Http, surge: Any) -> None:
    reply = await http("POST", ROLLOUTS, rollout("x", strategy={"canary": {"maxSurge": surge}}))

    assert reply.status == 201


async def test_row_32_a_selector_cannot_change_and_may_be_sent_again(http: Http) -> None:
    http.sandbox.create(rollout("x"))

    changed = await http.patch(f"{ROLLOUTS}/x", {"spec": {"selector": {"matchLabels": {"app": "y"}}}})
    assert (changed.status, changed.json["reason"]) == (422, "Invalid")
    assert "spec.selector: Invalid value: " in changed.message
    assert ".spec.selector is immutable" in changed.message

    same = await http.patch(f"{ROLLOUTS}/x", {"spec": {"selector": {"matchLabels": {"app": "x"}}}})
    assert same.status == 200


async def test_row_33_a_large_definition_goes_in_by_server_side_apply_only(kubectl: Kubectl) -> None:
    (definition,) = [each for each in custom_resource_definitions() if each["spec"]["names"]["kind"] == "Rollout"]
    definition = json.loads(json.dumps(definition).replace("argoproj.io", "elsewhere.io"))
    (version,) = definition["spec"]["versions"]
    definition["spec"]["versions"].append({**version, "name": "v1alpha2", "storage": False})

    client_side = await kubectl.fails("apply", "-f", "-", stdin=json.dumps(definition))
    assert "metadata.annotations: Too long: may not be more than 262144 bytes" in client_side

    server_side = await kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(definition))
    assert server_side == "customresourcedefinition.apiextensions.k8s.io/rollouts.elsewhere.io serverside-applied\n"
    await kubectl("get", "rollouts.elsewhere.io")


async def test_unknown_fields_of_built_in_kinds_are_dropped_with_a_warning(http: Http) -> None:
    body = deployment("web")
    body["spec"]["foo"] = 1

    reply = await http("POST", DEPLOYMENTS, body)
    assert reply.headers["Warning"] == '299 - "unknown field \\"spec.foo\\""'
    assert "foo" not in reply.json["spec"]


async def test_unknown_metadata_is_an_unknown_field(http: Http) -> None:
    body = rollout("x")
    body["metadata"]["colour"] = "red"

    strict = await http("POST", ROLLOUTS, body, fieldValidation="Strict")
    assert 'unknown field "metadata.colour"' in strict.message
    assert "colour" not in (await http("POST", ROLLOUTS, body)).json["metadata"]
