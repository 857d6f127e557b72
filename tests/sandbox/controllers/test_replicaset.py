"""ReplicaSets: number of pods, which pods go first, claims, status."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.sandbox.memory_client import Clock, MemoryClient

from prograde.sandbox.controllers.base import WorkLoop
from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.index import PODS, PodIndex
from prograde.sandbox.controllers.objects import format_time
from prograde.sandbox.controllers.replicaset import REPLICASETS, ReplicaSetController, deletion_rank
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

EVENTS = ("", "events")


class World:
    """A memory client with the ReplicaSet controller on it, and the words the tests need."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.client = MemoryClient(self.clock)
        self.loop = WorkLoop(self.client, self.clock)
        index = PodIndex(self.client)
        recorder = EventRecorder(self.client, self.clock, "replicaset-controller")
        self.loop.start([index, ReplicaSetController(self.client, self.clock, index, recorder)])

    def create(self, replicas: int, **spec: Any) -> Object:
        return self.client.create(REPLICASETS, "shop", replica_set(replicas, **spec))

    def scale(self, replicas: int) -> None:
        self.client.patch(REPLICASETS, "shop", "cart", {"spec": {"replicas": replicas}})
        self.loop.sync()

    def get(self) -> Object:
        found = self.client.get(REPLICASETS, "shop", "cart")
        assert found is not None
        return found

    @property
    def status(self) -> Object:
        return self.get()["status"]

    def pods(self) -> list[Object]:
        return list(self.client.list(PODS, "shop"))

    def set_pod(self, pod: Object, *, node: str = "", **status: Any) -> None:
        name = pod["metadata"]["name"]
        if node:
            self.client.patch(PODS, "shop", name, {"spec": {"nodeName": node}})
        if status:
            self.client.patch(PODS, "shop", name, {"status": status}, subresource="status")

    def make_ready(self, pod: Object) -> None:
        self.set_pod(pod, node="n", phase="Running", conditions=[ready_since(self.clock())])

    def messages(self, reason: str) -> list[str]:
        return [event["message"] for event in self.client.list(EVENTS) if event["reason"] == reason]


def replica_set(replicas: int, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": [{"name": "c", "image": "cart:1"}]}}
    return {
        "metadata": {"name": "cart"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "cart"}}, "template": template, **spec},
    }


def ready_since(moment: datetime, *, is_ready: bool = True) -> Object:
    return {"type": "Ready", "status": str(is_ready), "lastTransitionTime": format_time(moment)}


@pytest.fixture
def world() -> World:
    return World()


def test_scaling_up_creates_pods_with_owner_labels_and_an_event_each(world: World) -> None:
    world.create(3)
    world.loop.sync()
    pods = world.pods()
    assert len(pods) == 3
    assert all(pod["metadata"]["name"].startswith("cart-") for pod in pods)
    assert pods[0]["metadata"]["labels"] == {"app": "cart"}
    assert pods[0]["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "cart",
            "uid": world.get()["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert sorted(world.messages("SuccessfulCreate")) == sorted(f"Created pod: {p['metadata']['name']}" for p in pods)
    assert world.status == {"replicas": 3, "fullyLabeledReplicas": 3, "observedGeneration": 1}


def test_a_pass_over_an_unchanged_replica_set_writes_nothing(world: World) -> None:
    world.create(3)
    world.loop.sync()
    world.client.writes.clear()
    for controller in world.loop._controllers:
        if controller.name == "replicaset":
            controller.enqueue(("shop", "cart"))
    assert world.loop.sync() == 1
    assert world.client.writes == []


def test_template_annotations_and_finalizers_reach_the_pods(world: World) -> None:
    spec = replica_set(1)
    spec["spec"]["template"]["metadata"] |= {"annotations": {"a": "b"}, "finalizers": ["example.com/keep"]}
    world.client.create(REPLICASETS, "shop", spec)
    world.loop.sync()
    meta = world.pods()[0]["metadata"]
    assert (meta["annotations"], meta["finalizers"]) == ({"a": "b"}, ["example.com/keep"])


def test_scale_to_zero_reports_zero_while_pods_still_terminate(world: World) -> None:
    world.create(3)
    world.loop.sync()
    for pod in world.pods():
        world.make_ready(pod)
    world.loop.sync()
    assert world.status["availableReplicas"] == 3
    world.scale(0)
    assert len(world.pods()) == 3
    assert all("deletionTimestamp" in pod["metadata"] for pod in world.pods())
    assert world.status == {"replicas": 0, "observedGeneration": 2}
    assert len(world.messages("SuccessfulDelete")) == 3


def test_the_status_sequence_of_scaling_up_is_monotone(world: World) -> None:
    seen: list[int] = []
    world.client.subscribe(
        lambda change, resource, new, old: (
            seen.append(new["status"]["replicas"]) if resource == REPLICASETS and "status" in new else None
        )
    )
    world.create(5)
    world.loop.sync()
    assert seen == sorted(seen)
    assert seen[-1] == 5


def test_terminating_pods_are_replaced_at_once_and_never_counted(world: World) -> None:
    world.create(2)
    world.loop.sync()
    for pod in world.pods():
        world.make_ready(pod)
    world.client.delete(PODS, "shop", world.pods()[0]["metadata"]["name"])
    world.loop.sync()
    assert len(world.pods()) == 3
    assert world.status["replicas"] == 2


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_finished_pods_are_left_and_replaced(world: World, phase: str) -> None:
    world.create(2)
    world.loop.sync()
    finished = world.pods()[0]["metadata"]["name"]
    world.set_pod(world.pods()[0], node="n", phase=phase)
    world.loop.sync()
    assert len(world.pods()) == 3
    assert world.status["replicas"] == 2
    assert world.client.get(PODS, "shop", finished) is not None


def test_available_follows_ready_after_min_ready_seconds_without_another_trigger(world: World) -> None:
    world.create(1, minReadySeconds=7)
    world.loop.sync()
    world.make_ready(world.pods()[0])
    world.loop.sync()
    assert world.status["readyReplicas"] == 1
    assert "availableReplicas" not in world.status
    world.loop.settle(world.clock() + timedelta(seconds=6.9), world.clock.advance_to)
    assert "availableReplicas" not in world.status
    world.loop.settle(world.clock() + timedelta(seconds=0.1), world.clock.advance_to)
    assert world.status["availableReplicas"] == 1


def test_more_than_a_burst_is_created_over_several_passes(world: World) -> None:
    world.create(1201)
    world.loop.sync()
    assert world.status["replicas"] == 1201


def test_a_matching_orphan_is_adopted_and_counts(world: World) -> None:
    orphan = {"metadata": {"name": "stray", "labels": {"app": "cart"}}, "spec": {"containers": []}}
    world.client.create(PODS, "shop", orphan)
    world.create(2)
    world.loop.sync()
    assert len(world.pods()) == 2
    stray = world.client.get(PODS, "shop", "stray")
    assert stray is not None
    assert stray["metadata"]["ownerReferences"][0]["name"] == "cart"


def test_an_orphan_that_appears_later_is_adopted_and_the_surplus_deleted(world: World) -> None:
    world.create(2)
    world.loop.sync()
    for pod in world.pods():
        world.make_ready(pod)
    orphan = {"metadata": {"name": "stray", "labels": {"app": "cart"}}, "spec": {"containers": []}}
    world.client.create(PODS, "shop", orphan)
    world.loop.sync()
    assert world.client.get(PODS, "shop", "stray") is None
    assert len(world.pods()) == 2


def test_a_pod_of_another_controller_is_never_adopted(world: World) -> None:
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
    meta = {"name": "theirs", "labels": {"app": "cart"}, "ownerReferences": [reference]}
    world.client.create(PODS, "shop", {"metadata": meta, "spec": {"containers": []}})
    world.create(1)
    world.loop.sync()
    assert len(world.pods()) == 2


def test_a_relabelled_pod_is_released_and_replaced(world: World) -> None:
    world.create(1)
    world.loop.sync()
    name = world.pods()[0]["metadata"]["name"]
    world.client.patch(PODS, "shop", name, {"metadata": {"labels": {"app": "debug"}}})
    world.loop.sync()
    released = world.client.get(PODS, "shop", name)
    assert released is not None
    assert not released["metadata"].get("ownerReferences")
    assert len(world.pods()) == 2


def test_a_replica_set_being_deleted_neither_creates_nor_deletes_nor_adopts(world: World) -> None:
    world.create(1)
    world.loop.sync()
    world.client.delete(REPLICASETS, "shop", "cart", propagation="Foreground")
    world.client.create(
        PODS, "shop", {"metadata": {"name": "s", "labels": {"app": "cart"}}, "spec": {"containers": []}}
    )
    world.client.delete(PODS, "shop", world.pods()[0]["metadata"]["name"])
    world.loop.sync()
    assert [pod["metadata"]["name"] for pod in world.pods()] == ["s"]
    assert "ownerReferences" not in world.pods()[0]["metadata"]


def test_a_failed_create_is_reported_and_retried_with_back_off(world: World) -> None:
    world.client.fail_create = lambda resource, obj: (
        StatusError.forbidden("", "pods", "cart-x", "quota") if resource == PODS else None
    )
    world.create(4)
    world.loop.sync()
    (condition,) = world.status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("ReplicaFailure", "True", "FailedCreate")
    assert condition["message"] == 'pods "cart-x" is forbidden: quota'
    assert world.messages("FailedCreate") == ['Error creating: pods "cart-x" is forbidden: quota']
    world.client.fail_create = lambda resource, obj: None
    world.loop.settle(world.clock() + timedelta(seconds=1), world.clock.advance_to)
    assert world.status == {"replicas": 4, "fullyLabeledReplicas": 4, "observedGeneration": 1}


def test_slow_start_stops_at_the_first_failed_batch(world: World) -> None:
    attempts = Counter[str]()

    def fail_after_three(resource: Any, obj: Object) -> StatusError | None:
        if resource != PODS:
            return None
        attempts["pods"] += 1
        return StatusError.forbidden("", "pods", "x", "quota") if attempts["pods"] > 3 else None

    world.client.fail_create = fail_after_three
    world.create(100)
    world.loop.sync()
    # The batch of four fails and no batch of eight follows; the three new pods bring one more pass, which fails at once.
    assert attempts["pods"] == (1 + 2 + 4) + 1


def test_creating_into_a_terminating_namespace_is_no_failure(world: World) -> None:
    world.create(1)
    world.client.delete(("", "namespaces"), "", "shop")
    world.loop.sync()
    assert world.status == {"replicas": 0, "observedGeneration": 1}
    assert world.loop.error_count == 0


NOW = datetime.fromisoformat("2026-01-01T00:10:00+00:00")


def pod(
    name: str,
    *,
    node: str = "n1",
    phase: str = "Running",
    ready_for: float | None = 60,
    cost: str = "",
    restarts: int = 0,
    age: float = 120,
) -> Object:
    conditions = [ready_since(NOW - timedelta(seconds=ready_for))] if ready_for is not None else []
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": format_time(NOW - timedelta(seconds=age)),
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {},
        },
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, "conditions": conditions, "containerStatuses": [{"restartCount": restarts}]},
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(pod("z", node=""), pod("a", cost="-5"), id="an unassigned pod goes before all"),
        pytest.param(pod("z", phase="Pending", cost="9"), pod("a", phase="Unknown"), id="pending before unknown"),
        pytest.param(pod("z", phase="Unknown", cost="9"), pod("a"), id="unknown before running"),
        pytest.param(pod("z", ready_for=None, cost="9"), pod("a"), id="not ready before ready"),
        pytest.param(pod("z", cost="-1"), pod("a", node="n2"), id="lower deletion cost first"),
        pytest.param(pod("z", cost="nonsense"), pod("a", cost="1"), id="a cost that is no number counts as 0"),
        pytest.param(pod("z", node="n2", ready_for=300), pod("a", ready_for=1), id="the crowded node first"),
        pytest.param(pod("z", ready_for=10), pod("a", ready_for=100, restarts=9), id="ready for a shorter time first"),
        pytest.param(pod("z", ready_for=65, restarts=2), pod("a", ready_for=60), id="more restarts first"),
        pytest.param(pod("z", age=70), pod("a", age=300), id="newest first"),
        pytest.param(pod("z", age=119), pod("a", age=120), id="newest first among pods of about the same age"),
        pytest.param(pod("a"), pod("b"), id="the UID decides between equals"),
    ],
)
def test_deletion_order(first: Object, second: Object) -> None:
    per_node = Counter({"n1": 1, "n2": 3} if first["spec"].get("nodeName") == "n2" else {"n1": 2, "n2": 2})
    ranked = sorted([second, first], key=lambda each: deletion_rank(each, per_node, NOW))
    assert [each["metadata"]["name"] for each in ranked] == [first["metadata"]["name"], second["metadata"]["name"]]


def test_colleagues_of_the_same_owner_count_when_a_node_is_crowded(world: World) -> None:
    owner = world.client.create(("apps", "deployments"), "shop", {"metadata": {"name": "cart"}, "spec": {}})
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "uid": owner["metadata"]["uid"]}
    old = replica_set(2, selector={"matchLabels": {"app": "old"}})
    old["metadata"] = {"name": "old", "ownerReferences": [{**reference, "controller": True}]}
    old["spec"]["template"]["metadata"]["labels"] = {"app": "old"}
    world.client.create(REPLICASETS, "shop", old)
    new = replica_set(2)
    new["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    world.client.create(REPLICASETS, "shop", new)
    world.loop.sync()
    ours = [p for p in world.pods() if p["metadata"]["labels"]["app"] == "cart"]
    theirs = [p for p in world.pods() if p["metadata"]["labels"]["app"] == "old"]
    for each, node in [(ours[0], "n1"), (ours[1], "n2"), (theirs[0], "n2"), (theirs[1], "n2")]:
        world.set_pod(each, node=node, phase="Running", conditions=[ready_since(world.clock())])
    world.scale(1)
    left = [
        p for p in world.pods() if p["metadata"]["labels"]["app"] == "cart" and "deletionTimestamp" not in p["metadata"]
    ]
    assert [p["spec"]["nodeName"] for p in left] == ["n1"]
