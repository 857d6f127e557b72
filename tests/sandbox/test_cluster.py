"""The `Sandbox` object itself."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from prograde.api.manifests import ManifestError
from prograde.kube.transport import Request
from prograde.sandbox.clock import ManualClock, wall_clock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError

MANIFEST = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}, data: {k: v}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b}
"""


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str, replicas: int = 1) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def test_a_manifest_is_applied_object_by_object() -> None:
    sandbox = Sandbox(controllers=False)
    applied = sandbox.apply(MANIFEST)
    assert [(obj["kind"], obj["metadata"]["name"]) for obj in applied] == [
        ("Namespace", "shop"),
        ("ConfigMap", "a"),
        ("ConfigMap", "b"),
    ]
    revision = sandbox.revision
    sandbox.apply(MANIFEST)
    assert sandbox.revision == revision
    sandbox.apply(config_map("b", more="text"))
    assert sandbox.get("cm", "b")["data"] == {"more": "text"}


def test_a_manifest_that_cannot_be_applied_says_why() -> None:
    sandbox = Sandbox(controllers=False)
    with pytest.raises(ManifestError):
        sandbox.apply("a: [")
    with pytest.raises(StatusError, match='no matches for kind "Nothing" in version "v1"'):
        sandbox.apply({"apiVersion": "v1", "kind": "Nothing"})
    with pytest.raises(StatusError, match="strict decoding error"):
        sandbox.apply({**config_map("a"), "colour": "red"})


@pytest.mark.parametrize(
    "name", ["deployments", "deployment", "deploy", "Deployment", "deployments.apps", ("apps", "deployments")]
)
def test_a_kind_is_known_by_all_its_names(name: Any) -> None:
    assert Sandbox(controllers=False).kind(name).kind == "Deployment"


def test_an_unknown_kind_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nonsense: not served"):
        Sandbox(controllers=False).kind("nonsense")


def test_lists_take_selectors() -> None:
    sandbox = Sandbox(controllers=False)
    for name, app in (("a", "x"), ("b", "y")):
        body = config_map(name)
        body["metadata"]["labels"] = {"app": app}
        sandbox.create(body)
    assert [obj["metadata"]["name"] for obj in sandbox.list("cm", labels="app=y")] == ["b"]
    assert [obj["metadata"]["name"] for obj in sandbox.list("cm", fields="metadata.name!=b")] == ["a"]


def test_a_new_cluster_has_what_every_cluster_has() -> None:
    sandbox = Sandbox()
    sandbox.settle()
    assert [obj["metadata"]["name"] for obj in sandbox.list("ns")] == [
        "default",
        "kube-node-lease",
        "kube-public",
        "kube-system",
    ]
    assert [obj["metadata"]["name"] for obj in sandbox.list("nodes")] == ["sandbox-0"]
    assert sandbox.get("svc", "kubernetes")["spec"]["ports"][0]["port"] == 443
    assert sandbox.get("sa", "default")
    assert "ca.crt" in sandbox.get("cm", "kube-root-ca.crt")["data"]
    assert len(sandbox.list("crd")) == 5


def test_building_a_cluster_takes_less_than_20_ms_once_the_kinds_are_known() -> None:
    Sandbox()
    best = min(_seconds(Sandbox) for _ in range(10))
    assert best < 0.02


def _seconds(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def test_time_moves_only_when_told_and_things_happen_in_it() -> None:
    sandbox = Sandbox()
    started = sandbox.clock()
    sandbox.create(deployment("web"))
    sandbox.settle()
    assert sandbox.clock() == started
    assert sandbox.get("deploy", "web")["status"].get("readyReplicas", 0) == 0
    sandbox.advance(5)
    assert sandbox.clock() == started + timedelta(seconds=5)
    assert sandbox.get("deploy", "web")["status"]["readyReplicas"] == 1


def test_a_clock_of_others_cannot_be_moved() -> None:
    with pytest.raises(TypeError, match="ManualClock"):
        Sandbox(now=wall_clock, controllers=False).advance(1)


def test_without_controllers_time_passes_all_the_same() -> None:
    sandbox = Sandbox(controllers=False)
    started = sandbox.clock()
    assert sandbox.advance(3) == 0
    assert sandbox.settle() == 0
    assert sandbox.clock() == started + timedelta(seconds=3)


async def test_a_running_cluster_acts_by_itself() -> None:
    sandbox = Sandbox(now=wall_clock, profile="instant")
    async with sandbox.running(), asyncio.timeout(10):
        sandbox.create(deployment("web"))
        while sandbox.get("deploy", "web").get("status", {}).get("readyReplicas") != 1:
            await asyncio.sleep(0.01)


def test_events_are_told_in_the_order_of_their_creation() -> None:
    sandbox = Sandbox()
    sandbox.create(deployment("web"))
    sandbox.advance(5)
    uid = sandbox.get("deploy", "web")["metadata"]["uid"]
    (scaled,) = sandbox.events(uid)
    assert scaled["reason"] == "ScalingReplicaSet"
    assert sandbox.events("Deployment/web") == [scaled]
    (pod,) = sandbox.list("pods")
    reasons = [event["reason"] for event in sandbox.events(f"pod/{pod['metadata']['name']}")]
    assert reasons == ["Scheduled", "Pulling", "Pulled", "Created", "Started"]


def test_a_clone_starts_where_its_original_is_and_goes_its_own_way() -> None:
    sandbox = Sandbox()
    sandbox.create(deployment("web"))
    sandbox.advance(5)
    twin = sandbox.clone()
    assert twin.clock() == sandbox.clock()
    assert twin.get("deploy", "web") == sandbox.get("deploy", "web")

    twin.delete("deploy", "web")
    twin.advance(60)
    assert (len(twin.list("pods")), len(sandbox.list("pods"))) == (0, 1)
    new = twin.create(config_map("a"))["metadata"]["uid"]
    uids = {
        obj["metadata"]["uid"] for resource in ("pods", "deploy", "rs", "ns", "cm") for obj in sandbox.list(resource)
    }
    assert new not in uids


def test_a_missing_namespace_is_made_where_that_is_wanted() -> None:
    sandbox = Sandbox(controllers=False, creates_namespaces=True)
    sandbox.create({**config_map("a"), "metadata": {"name": "a", "namespace": "new"}})
    assert sandbox.get("ns", "new")["status"]["phase"] == "Active"


async def test_expired_watches_end_and_cannot_be_resumed() -> None:
    sandbox = Sandbox(controllers=False)
    old = str(sandbox.revision)
    sandbox.create(config_map("a"))
    path = "/api/v1/configmaps"
    query = (("watch", "1"), ("resourceVersion", str(sandbox.revision)))
    async with sandbox.transport().stream(Request(method="GET", path=path, query=query)) as stream:
        chunks = stream.chunks()
        waiting = asyncio.ensure_future(anext(chunks, b"ended"))
        await asyncio.sleep(0)
        sandbox.expire_watches()
        assert await waiting == b"ended"
    query = (("watch", "1"), ("resourceVersion", old))
    answer = await sandbox.transport().request(Request(method="GET", path=path, query=query))
    assert b'"code":410' in answer.body


async def test_metrics_count_objects_and_requests() -> None:
    sandbox = Sandbox(controllers=False)
    transport = sandbox.transport()
    await transport.request(Request(method="GET", path="/api/v1/pods"))
    text = (await transport.request(Request(method="GET", path="/metrics"))).body.decode()
    assert 'prograde_sandbox_objects{resource="namespaces"} 4\n' in text
    assert 'prograde_sandbox_objects{resource="rollouts.argoproj.io"} 0\n' in text
    assert 'prograde_sandbox_requests_total{verb="list",code="200"} 1\n' in text
    assert f"prograde_sandbox_revision {sandbox.revision}\n" in text


def test_two_clusters_of_one_seed_are_equal_byte_for_byte() -> None:
    def bytes_of(seed: int) -> list[bytes]:
        sandbox = Sandbox(seed_number=seed)
        sandbox.create(deployment("web", 5))
        sandbox.advance(30)
        sandbox.patch("deploy", "web", {"spec": {"replicas": 2}})
        sandbox.advance(30)
        return [
            change.entry.raw
            for resource in sandbox._registry.resources()
            for change in sandbox._store.bucket(resource).changes
        ]

    assert bytes_of(5) == bytes_of(5)


def test_a_manual_clock_is_what_you_get_without_another() -> None:
    assert isinstance(Sandbox(controllers=False).clock, ManualClock)
