"""Rows 34 to 49: metadata, patches, sub-resources, kinds."""

import asyncio
import json
from random import Random
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

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError

ARGO = "/apis/argoproj.io/v1alpha1/namespaces/default"


def analysis_run(name: str, **more: Any) -> dict[str, Any]:
    metric = {"name": "m", "provider": {"web": {"url": "http://x", "jsonPath": "{$.a}"}}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"metrics": [metric]},
        **more,
    }


async def test_row_34_generated_names_are_short_safe_and_unique(http: Http) -> None:
    body = config_map("")
    body["metadata"] = {"generateName": "x" * 70}

    reply = await http("POST", f"{NAMESPACE}/configmaps", body)
    name = reply.json["metadata"]["name"]
    assert (len(name), name[:58]) == (63, "x" * 58)
    assert set(name[58:]) <= set("bcdfghjklmnpqrstvwxz2456789")


class _Stuck(Random):
    """Draws the same letters for a number of names, and then as usual."""

    def __init__(self, times: int) -> None:
        super().__init__(0)
        self.times = times

    def choices(self, population: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if self.times:
            self.times -= 1
            return ["b"] * kwargs["k"]
        return super().choices(population, *args, **kwargs)


@pytest.mark.parametrize(("collisions", "is_created"), [(7, True), (8, False)])
def test_row_34_a_taken_name_is_drawn_again_up_to_eight_times(collisions: int, is_created: bool) -> None:
    sandbox = Sandbox(controllers=False)
    sandbox.create(config_map("a-bbbbb"))
    sandbox._verbs.rng = _Stuck(collisions)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}}

    if is_created:
        assert sandbox.create(body)["metadata"]["name"].startswith("a-")
    else:
        with pytest.raises(StatusError, match='configmaps "a-bbbbb" already exists'):
            sandbox.create(body)


async def test_row_35_a_write_that_changes_nothing_is_not_one(http: Http) -> None:
    obj = (await http("POST", ROLLOUTS, rollout("x"))).json
    revision = http.sandbox.revision
    async with http.watch(ROLLOUTS, resourceVersion=str(revision), timeoutSeconds="1") as events:
        assert (await http("PUT", f"{ROLLOUTS}/x", obj)).json == obj
        assert (await http("PUT", f"{ROLLOUTS}/x", rollout("x"))).status == 200
        assert (await http.patch(f"{ROLLOUTS}/x", {"spec": {"replicas": 1}})).json == obj
        assert (await http.patch(f"{ROLLOUTS}/x", [], "json")).json == obj
        assert (await http.patch(f"{ROLLOUTS}/x/status", {"metadata": {"labels": {"a": "b"}}})).status == 200
        assert await events.rest() == []
    assert http.sandbox.revision == revision


async def test_row_36_generation_counts_what_the_user_wants(http: Http) -> None:
    def generation(reply: Any) -> int:
        return int(reply.json["metadata"]["generation"])

    assert generation(await http("POST", ROLLOUTS, rollout("x"))) == 1
    assert generation(await http.patch(f"{ROLLOUTS}/x", {"metadata": {"labels": {"a": "b"}}})) == 1
    assert generation(await http.patch(f"{ROLLOUTS}/x", {"spec": {"replicas": 5}})) == 2
    assert generation(await http.patch(f"{ROLLOUTS}/x/status", {"status": {"phase": "Healthy"}})) == 2
    await http.patch(f"{ROLLOUTS}/x", {"metadata": {"finalizers": ["example.com/a"]}})
    assert generation(await http("DELETE", f"{ROLLOUTS}/x")) == 3


async def test_row_37_each_endpoint_takes_its_own_part_only(http: Http) -> None:
    http.sandbox.create(rollout("x"))
    body = rollout("x", replicas=9)
    body["status"] = {"phase": "Paused"}
    body["metadata"]["labels"] = {"a": "b"}

    status = (await http("PUT", f"{ROLLOUTS}/x/status", body)).json
    assert (status["spec"]["replicas"], status["status"]) == (1, {"phase": "Paused"})
    assert "labels" not in status["metadata"]

    body["status"] = {"phase": "Healthy"}
    main = (await http("PUT", f"{ROLLOUTS}/x", body)).json
    assert (main["spec"]["replicas"], main["status"]) == (9, {"phase": "Paused"})
    assert main["metadata"]["labels"] == {"a": "b"}
    assert (await http("GET", f"{ROLLOUTS}/x/status")).json == main


async def test_row_38_a_status_sent_on_create_is_dropped_where_there_is_a_status_endpoint(http: Http) -> None:
    body = rollout("x")
    body["status"] = {"phase": "Healthy"}
    assert "status" not in (await http("POST", ROLLOUTS, body)).json

    run = analysis_run("r", status={"phase": "Running"})
    assert (await http("POST", f"{ARGO}/analysisruns", run)).json["status"] == {"phase": "Running"}


async def test_row_39_the_status_of_an_analysis_run_is_an_ordinary_field(http: Http) -> None:
    await http("POST", f"{ARGO}/analysisruns", analysis_run("r"))

    patched = await http.patch(f"{ARGO}/analysisruns/r", {"status": {"phase": "Successful"}})
    assert patched.json["metadata"]["generation"] == 2
    assert (await http.patch(f"{ARGO}/analysisruns/r/status", {"status": {}})).status == 404
    assert (await http("GET", f"{ARGO}/analysisruns/r/status")).body == b"404 page not found\n"


async def test_row_40_a_dry_run_answers_fully_and_does_nothing(http: Http) -> None:
    http.sandbox.create(rollout("x"))
    revision = http.sandbox.revision

    created = await http("POST", ROLLOUTS, rollout("y"), dryRun="All")
    assert created.status == 201
    assert created.json["metadata"]["uid"]
    patched = await http.patch(f"{ROLLOUTS}/x", {"spec": {"replicas": 3}}, dryRun="All")
    assert (patched.json["spec"]["replicas"], patched.json["metadata"]["generation"]) == (3, 2)
    assert (await http("DELETE", f"{ROLLOUTS}/x", dryRun="All")).json["status"] == "Success"
    assert (await http("DELETE", f"{ROLLOUTS}/x", {"dryRun": ["All"]})).status == 200
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    address = (await http("POST", f"{NAMESPACE}/services", service, dryRun="All")).json["spec"]["clusterIP"]
    assert address.startswith("10.96.")

    assert http.sandbox.revision == revision
    assert [obj["metadata"]["name"] for obj in http.sandbox.list("ro")] == ["x"]


async def test_row_41_json_patches_test_replace_and_append(http: Http) -> None:
    http.sandbox.create(rollout("x"))
    url = f"{ROLLOUTS}/x"

    def steps(reply: Any) -> Any:
        return reply.json["spec"]["strategy"]["canary"]["steps"]

    failed = await http.patch(url, [{"op": "test", "path": "/spec/replicas", "value": 7}], "json")
    missing = await http.patch(url, [{"op": "replace", "path": "/spec/nothing", "value": 1}], "json")
    for reply in (failed, missing):
        assert (reply.status, reply.json["reason"]) == (422, "Invalid")
        assert reply.message == "the server rejected our request due to an error in our request"
    assert (await http.patch(url, {"op": "test"}, "json")).status == 400

    append = [{"op": "add", "path": "/spec/strategy/canary/steps/-", "value": {"pause": {}}}]
    assert steps(await http.patch(url, append, "json")) == [{"setWeight": 20}, {"pause": {}}]


async def test_row_42_merge_patches_remove_with_null_and_replace_lists(http: Http) -> None:
    http.sandbox.create(rollout("x", revisionHistoryLimit=3))

    reply = await http.patch(
        f"{ROLLOUTS}/x",
        {"spec": {"revisionHistoryLimit": None, "strategy": {"canary": {"steps": [{"setWeight": 5}]}}}},
    )
    assert "revisionHistoryLimit" not in reply.json["spec"]
    assert reply.json["spec"]["strategy"]["canary"]["steps"] == [{"setWeight": 5}]


async def test_row_43_strategic_patches_merge_lists_by_key(http: Http) -> None:
    http.sandbox.create(deployment("web", "a:1", "b:1"))
    url = f"{DEPLOYMENTS}/web"

    def images(reply: Any) -> list[tuple[str, str]]:
        return [(c["name"], c["image"]) for c in reply.json["spec"]["template"]["spec"]["containers"]]

    def change(**containers: Any) -> dict[str, Any]:
        return {"spec": {"template": {"spec": containers}}}

    order = [{"name": "c0"}, {"name": "c1"}]
    body = change(**{"$setElementOrder/containers": order, "containers": [{"name": "c1", "image": "b:2"}]})
    assert images(await http.patch(url, body, "strategic")) == [("c0", "a:1"), ("c1", "b:2")]

    deleted = await http.patch(url, change(containers=[{"name": "c0", "$patch": "delete"}]), "strategic")
    assert images(deleted) == [("c1", "b:2")]


async def test_row_44_patches_conflict_only_if_they_name_a_version(http: Http) -> None:
    first = http.sandbox.create(config_map("a", n="0"))["metadata"]["resourceVersion"]
    url = f"{NAMESPACE}/configmaps/a"

    assert (await http.patch(url, {"metadata": {"resourceVersion": first}, "data": {"n": "1"}})).status == 200
    assert (await http.patch(url, {"metadata": {"resourceVersion": first}, "data": {"n": "2"}})).status == 409

    replies = await asyncio.gather(*(http.patch(url, {"data": {f"k{index}": "v"}}) for index in range(50)))
    assert {reply.status for reply in replies} == {200}
    assert len(http.sandbox.get("cm", "a")["data"]) == 51


async def test_row_45_secrets_fold_their_texts_and_immutable_data_is_frozen(http: Http) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
    created = (await http("POST", f"{NAMESPACE}/secrets", secret)).json
    assert (created["data"], created["type"]) == ({"a": "Yg=="}, "Opaque")
    assert "stringData" not in created

    for plural, name in (("secrets", "s"), ("configmaps", "c")):
        if plural == "configmaps":
            http.sandbox.create(config_map("c", a="b"))
        url = f"{NAMESPACE}/{plural}/{name}"
        assert (await http.patch(url, {"immutable": True})).status == 200
        for change in ({"data": {"a": "Yw=="}}, {"immutable": False}):
            assert (await http.patch(url, change)).status == 422


async def test_row_46_pod_templates_get_their_defaults_except_in_rollouts(http: Http) -> None:
    deployed = (await http("POST", DEPLOYMENTS, deployment("web", "a:1", "b", "c:latest"))).json
    template = deployed["spec"]["template"]["spec"]
    assert [c["imagePullPolicy"] for c in template["containers"]] == ["IfNotPresent", "Always", "Always"]
    assert (template["restartPolicy"], template["dnsPolicy"]) == ("Always", "ClusterFirst")
    assert template["terminationGracePeriodSeconds"] == 30
    created = (await http("POST", f"{NAMESPACE}/pods", pod("p"))).json
    assert created["status"]["phase"] == "Pending"
    assert created["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"

    custom = (await http("POST", ROLLOUTS, rollout("x"))).json
    assert custom["spec"]["template"] == rollout("x")["spec"]["template"]


async def test_row_47_quantities_are_canonical_in_built_in_kinds_only(http: Http) -> None:
    resources = {"requests": {"cpu": "0.001", "memory": "1024Mi"}, "limits": {"cpu": 1}}

    def with_resources(obj: dict[str, Any]) -> dict[str, Any]:
        obj["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
        return obj

    def resources_of(reply: Any) -> Any:
        return reply.json["spec"]["template"]["spec"]["containers"][0]["resources"]

    deployed = await http("POST", DEPLOYMENTS, with_resources(deployment("web")))
    assert resources_of(deployed) == {"requests": {"cpu": "1m", "memory": "1Gi"}, "limits": {"cpu": "1"}}
    custom = await http("POST", ROLLOUTS, with_resources(rollout("x")))
    assert resources_of(custom) == resources


async def test_row_48_owners_and_finalizers_are_checked(http: Http) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1", "controller": True}
    body = config_map("a")
    body["metadata"]["ownerReferences"] = [owner, {**owner, "name": "b", "uid": "2"}]
    two = await http("POST", f"{NAMESPACE}/configmaps", body)
    assert two.status == 422
    assert "metadata.ownerReferences" in two.message

    body["metadata"] = {"name": "a", "finalizers": ["example.com/hold"]}
    await http("POST", f"{NAMESPACE}/configmaps", body)
    assert "deletionTimestamp" in (await http("DELETE", f"{NAMESPACE}/configmaps/a")).json["metadata"]
    finalizers = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    more = await http.patch(f"{NAMESPACE}/configmaps/a", finalizers)
    assert more.status == 422
    assert "no new finalizers can be added if the object is being deleted" in more.message

    released = await http.patch(f"{NAMESPACE}/configmaps/a", {"metadata": {"finalizers": None}})
    assert released.status == 200
    assert (await http("GET", f"{NAMESPACE}/configmaps/a")).status == 404


@pytest.mark.parametrize("plural", ["deployments", "rollouts"])
async def test_row_49_scale_reads_and_writes_the_number_of_replicas(http: Http, plural: str) -> None:
    http.sandbox.create(deployment("x") if plural == "deployments" else rollout("x"))
    url = f"{DEPLOYMENTS if plural == 'deployments' else ROLLOUTS}/x"
    status = {"replicas": 1, "HPAReplicas": 1, "selector": "app=x"}
    http.sandbox.patch(plural, "x", {"status": status}, subresource="status")

    scale = (await http("GET", f"{url}/scale")).json
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"] == {"replicas": 1, "selector": "app=x"}

    scale["spec"]["replicas"] = 4
    put = await http("PUT", f"{url}/scale", json.dumps(scale).encode(), content_type="")
    assert (put.status, put.json["spec"]) == (200, {"replicas": 4})
    assert (await http("PUT", f"{url}/scale", scale)).status == 409
    patched = await http.patch(f"{url}/scale", {"spec": {"replicas": 2}})
    assert patched.json["spec"] == {"replicas": 2}
    assert (await http.patch(f"{url}/scale", {"spec": {"replicas": -1}})).status == 422
    main = (await http("GET", url)).json
    assert (main["spec"]["replicas"], main["metadata"]["generation"]) == (2, 3)
