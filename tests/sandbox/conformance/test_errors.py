"""Rows 13 to 25: what failures look like."""

import asyncio
from typing import Any

import pytest
from tests.sandbox.conformance.harness import (
    DEPLOYMENTS,
    NAMESPACE,
    ROLLOUTS,
    Http,
    config_map,
    deployment,
    pod,
    rollout,
)

CONFIG_MAPS = f"{NAMESPACE}/configmaps"


async def test_row_13_a_missing_object_is_named_by_its_plural(http: Http) -> None:
    reply = await http("GET", f"{ROLLOUTS}/x")

    assert reply.status == 404
    assert reply.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'rollouts.argoproj.io "x" not found',
        "reason": "NotFound",
        "details": {"name": "x", "group": "argoproj.io", "kind": "rollouts"},
        "code": 404,
    }


async def test_row_13_core_resources_have_no_group_in_the_message(http: Http) -> None:
    reply = await http("GET", f"{NAMESPACE}/pods/x")

    assert reply.message == 'pods "x" not found'
    assert reply.json["details"] == {"name": "x", "kind": "pods"}


async def test_row_14_creating_twice_is_already_exists(http: Http) -> None:
    assert (await http("POST", ROLLOUTS, rollout("x"))).status == 201

    reply = await http("POST", ROLLOUTS, rollout("x"))
    assert (reply.status, reply.json["reason"]) == (409, "AlreadyExists")
    assert reply.message == 'rollouts.argoproj.io "x" already exists'
    assert reply.json["details"] == {"name": "x", "group": "argoproj.io", "kind": "rollouts"}


async def test_row_15_a_stale_version_conflicts_and_no_version_does_not(http: Http) -> None:
    old = (await http("POST", ROLLOUTS, rollout("x"))).json
    await http.patch(f"{ROLLOUTS}/x", {"spec": {"replicas": 2}})

    stale = await http("PUT", f"{ROLLOUTS}/x", old)
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    assert stale.message == (
        'Operation cannot be fulfilled on rollouts.argoproj.io "x": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )

    assert (await http("PUT", f"{ROLLOUTS}/x", rollout("x", replicas=3))).status == 200


async def test_row_15_another_uid_conflicts(http: Http) -> None:
    old = (await http("POST", ROLLOUTS, rollout("x"))).json
    old["metadata"] |= {"uid": "other", "resourceVersion": ""}

    reply = await http("PUT", f"{ROLLOUTS}/x", old)
    assert reply.status == 409
    assert "Precondition failed: UID in precondition: other, UID in object meta: " in reply.message


async def test_row_16_a_missing_namespace_is_what_is_not_found(http: Http) -> None:
    reply = await http("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("a"))

    assert reply.status == 404
    assert reply.message == 'namespaces "nowhere" not found'
    assert reply.json["details"] == {"name": "nowhere", "kind": "namespaces"}


async def test_row_17_nothing_new_comes_into_a_terminating_namespace(http: Http) -> None:
    http.sandbox.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old"}})
    assert (await http("DELETE", "/api/v1/namespaces/old")).json["status"]["phase"] == "Terminating"

    reply = await http("POST", "/api/v1/namespaces/old/configmaps", config_map("a"))
    assert (reply.status, reply.json["reason"]) == (403, "Forbidden")
    assert reply.message == (
        'configmaps "a" is forbidden: unable to create new content in namespace old because it is being terminated'
    )
    assert reply.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_row_17_system_namespaces_stay(http: Http, name: str) -> None:
    reply = await http("DELETE", f"/api/v1/namespaces/{name}")

    assert reply.status == 403
    assert reply.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"metadata": {"name": "x", "namespace": "other"}},
            "the namespace of the provided object does not match the namespace sent on the request",
            id="namespace",
        ),
        pytest.param({"kind": "Experiment"}, "the kind in the data (Experiment) does not match", id="kind"),
        pytest.param({"kind": None}, "Object 'Kind' is missing in", id="no kind"),
        pytest.param(
            {"apiVersion": "argoproj.io/v1"},
            "the API version in the data (argoproj.io/v1) does not match the expected API version "
            "(argoproj.io/v1alpha1)",
            id="version",
        ),
        pytest.param(
            {"metadata": {"name": "x", "resourceVersion": "5"}},
            "resourceVersion should not be set on objects to be created",
            id="row 19: version set",
        ),
        pytest.param({"metadata": {"name": "x", "labels": {"a": 1}}}, "labels", id="metadata of a wrong type"),
    ],
)
async def test_row_18_an_object_that_does_not_fit_its_url_is_a_bad_request(
    http: Http, change: dict[str, Any], message: str
) -> None:
    reply = await http("POST", ROLLOUTS, {**rollout("x"), **change})

    assert (reply.status, reply.json["reason"]) == (400, "BadRequest")
    assert message in reply.message


async def test_row_18_a_name_that_is_not_the_urls_is_a_bad_request(http: Http) -> None:
    http.sandbox.create(rollout("x"))

    reply = await http("PUT", f"{ROLLOUTS}/x", rollout("y"))
    assert reply.status == 400
    assert reply.message == "the name of the object (y) does not match the name on the URL (x)"


async def test_row_19_a_version_on_create_is_a_bad_request(http: Http) -> None:
    body = config_map("a")
    body["metadata"]["resourceVersion"] = "7"

    reply = await http("POST", CONFIG_MAPS, body)
    assert (reply.status, reply.message) == (400, "resourceVersion should not be set on objects to be created")


async def test_row_20_deleting_something_else_by_that_name_conflicts(http: Http) -> None:
    uid = http.sandbox.create(config_map("a"))["metadata"]["uid"]

    reply = await http("DELETE", f"{CONFIG_MAPS}/a", {"preconditions": {"uid": "wrong"}})
    assert reply.status == 409
    assert f"the UID in the precondition (wrong) does not match the UID in record ({uid})" in reply.message

    gone = await http("DELETE", f"{CONFIG_MAPS}/a", {"preconditions": {"uid": uid}})
    assert gone.status == 200
    assert gone.json["status"] == "Success"
    assert gone.json["details"] == {"name": "a", "kind": "configmaps", "uid": uid}


async def test_row_21_bodies_and_annotations_have_limits(http: Http) -> None:
    large = await http("POST", CONFIG_MAPS, config_map("a", text="x" * 3_200_000))
    assert (large.status, large.json["reason"]) == (413, "RequestEntityTooLarge")
    assert large.message == "Request entity too large: limit is 3145728"

    body = config_map("a")
    body["metadata"]["annotations"] = {"a": "x" * 262_144}
    annotated = await http("POST", CONFIG_MAPS, body)
    assert annotated.status == 422
    assert "metadata.annotations: Too long: may not be more than 262144 bytes" in annotated.message


async def test_row_21_an_object_that_no_store_would_take_is_refused(http: Http) -> None:
    body = rollout("x")
    body["spec"]["template"]["spec"]["containers"][0]["args"] = ["x" * 1_600_000]

    reply = await http("POST", ROLLOUTS, body)
    assert (reply.status, reply.message) == (413, "etcdserver: request is too large")


async def test_row_22_patch_types_that_do_not_exist_for_a_kind_are_unsupported(http: Http) -> None:
    http.sandbox.create(rollout("x"))

    strategic = await http.patch(f"{ROLLOUTS}/x", {"spec": {"replicas": 2}}, "strategic")
    unknown = await http("PATCH", f"{ROLLOUTS}/x", {}, content_type="application/json")
    protobuf = await http("POST", ROLLOUTS, b"k8s\0", content_type="application/vnd.kubernetes.protobuf")

    for reply in (strategic, unknown, protobuf):
        assert (reply.status, reply.json["reason"]) == (415, "UnsupportedMediaType")
    assert strategic.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"nonsense", b""])
async def test_row_23_what_is_no_json_object_is_a_bad_request(http: Http, body: bytes) -> None:
    reply = await http("POST", ROLLOUTS, body)

    assert (reply.status, reply.json["reason"]) == (400, "BadRequest")
    assert reply.message.startswith("the object provided is unrecognized (must be of type Rollout): ")


async def test_row_24_an_unsupported_field_selector_is_named(http: Http) -> None:
    reply = await http("GET", ROLLOUTS, fieldSelector="spec.foo=1")
    assert (reply.status, reply.message) == (400, "field label not supported: spec.foo")

    labels = await http("GET", ROLLOUTS, labelSelector="a in b")
    assert labels.status == 400
    assert labels.message.startswith("unable to parse requirement: ")


async def test_row_25_an_eviction_against_a_budget_says_which_and_why(http: Http) -> None:
    http.sandbox.create(pod("web"))
    http.sandbox.patch("pods", "web", {"status": RUNNING}, subresource="status")
    http.sandbox.create(BUDGET)
    status = {"observedGeneration": 1, "disruptionsAllowed": 0, "desiredHealthy": 4, "currentHealthy": 4}
    http.sandbox.patch("pdb", "p", {"status": status}, subresource="status")

    reply = await http("POST", f"{NAMESPACE}/pods/web/eviction", EVICTION)
    assert (reply.status, reply.json["reason"]) == (429, "TooManyRequests")
    assert reply.message == "Cannot evict pod as it would violate the pod's disruption budget."
    (cause,) = reply.json["details"]["causes"]
    assert cause == {
        "reason": "DisruptionBudget",
        "message": "The disruption budget p needs 4 healthy pods and has 4 currently",
    }


async def test_row_25_an_eviction_within_the_budget_takes_one_disruption(http: Http) -> None:
    http.sandbox.create(pod("web"))
    http.sandbox.patch("pods", "web", {"status": RUNNING}, subresource="status")
    http.sandbox.create(BUDGET)
    status = {"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 3, "currentHealthy": 4}
    http.sandbox.patch("pdb", "p", {"status": status}, subresource="status")

    reply = await http("POST", f"{NAMESPACE}/pods/web/eviction", EVICTION)
    assert (reply.status, reply.json["status"]) == (201, "Success")
    after = http.sandbox.get("pdb", "p")["status"]
    assert after["disruptionsAllowed"] == 0
    assert list(after["disruptedPods"]) == ["web"]
    assert http.sandbox.list("pods") == []


async def test_row_25_history_that_is_gone_says_expired(http: Http) -> None:
    for index in range(4):
        http.sandbox.create(config_map(f"m{index}"))
    revision = http.sandbox.revision
    page = (await http("GET", CONFIG_MAPS, limit="2")).json
    http.sandbox.create(config_map("z"))
    http.sandbox.compact()

    exact = await http("GET", CONFIG_MAPS, resourceVersion=str(revision), resourceVersionMatch="Exact")
    assert (exact.status, exact.json["reason"]) == (410, "Expired")
    assert exact.message == f"too old resource version: {revision} ({http.sandbox.revision})"

    expired = await http("GET", CONFIG_MAPS, limit="2", continue_=page["metadata"]["continue"])
    assert (expired.status, expired.json["reason"]) == (410, "Expired")
    assert expired.message.startswith("The provided continue parameter is too old to display a consistent list result")
    fresh = await http("GET", CONFIG_MAPS, limit="2", continue_=expired.json["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in fresh.json["items"]] == ["m2", "m3"]


async def test_row_25_a_version_from_the_future_times_out_with_its_cause(http: Http) -> None:
    ahead = http.sandbox.revision + 900
    started = asyncio.get_running_loop().time()

    reply = await http("GET", CONFIG_MAPS, resourceVersion=str(ahead))
    assert asyncio.get_running_loop().time() - started < 4
    assert (reply.status, reply.json["reason"]) == (504, "Timeout")
    assert reply.message == f"Timeout: Too large resource version: {ahead}, current: {http.sandbox.revision}"
    assert reply.json["details"]["retryAfterSeconds"] == 1
    assert reply.json["details"]["causes"] == [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    ]


@pytest.mark.parametrize(
    ("query", "kind", "problem"),
    [
        ({"dryRun": "Some"}, "PatchOptions", 'dryRun: Unsupported value: ["Some"]: supported values: "All"'),
        ({"fieldValidation": "Hard"}, "PatchOptions", 'fieldValidation: Unsupported value: "Hard"'),
        ({"fieldManager": "x" * 129}, "PatchOptions", "fieldManager: Too long: may not be more than 128 bytes"),
        ({"force": "true"}, "PatchOptions", "force: Forbidden: may not be specified for non-apply patch"),
    ],
)
async def test_options_that_make_no_sense_are_invalid_options(
    http: Http, query: dict[str, str], kind: str, problem: str
) -> None:
    http.sandbox.create(deployment("web"))

    reply = await http.patch(f"{DEPLOYMENTS}/web", {}, **query)
    assert (reply.status, reply.json["reason"]) == (422, "Invalid")
    assert reply.message.startswith(f'{kind}.meta.k8s.io "" is invalid: {problem}')


async def test_apply_without_a_manager_is_invalid(http: Http) -> None:
    reply = await http.patch(f"{DEPLOYMENTS}/web", deployment("web"), "apply")

    assert reply.status == 422
    assert reply.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )


RUNNING = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web", "namespace": "default"}}
BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "p"},
    "spec": {"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}},
}
