"""ReplicaSets: number of pods, which pods go first, claims, status."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.sandbox.controllers.workbench import (
    DEPLOYMENTS,
    PODS,
    REPLICASETS,
    Workbench,
    pod_object,
    ready_condition,
    replica_set,
    run_alone,
)

from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.index import PodIndex
from prograde.sandbox.controllers.objects import format_time
from prograde.sandbox.controllers.replicaset import ReplicaSetController, deletion_rank
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object


class World(Workbench):
    """Only the ReplicaSet controller runs: pods do what the tests say."""

    def __init__(self) -> None:
        super().__init__(controllers=False)
        index = PodIndex(self.client)
        recorder = EventRecorder(self.client, self.sandbox.clock, "replicaset-controller")
        self.controller = ReplicaSetController(self.client, self.sandbox.clock, index, recorder)
        self.work = run_alone(self, index, self.controller)

    def sync(self) -> int:
        return self.work.sync()

    def wait(self, seconds: float) -> None:
        self.work.settle(self.now + timedelta(seconds=seconds), self.sandbox.clock.move_to)

    def scale(self, replicas: int) -> None:
        self.patch(REPLICASETS, "cart", {"spec": {"replicas": replicas}})
        self.sync()

    @property
    def status(self) -> Object:
        return self.get(REPLICASETS, "cart")["status"]

    def set_pod(self, pod: Object, *, node: str = "", **status: Any) -> None:
        name = pod["metadata"]["name"]
        if node:
            self.patch(PODS, name, {"spec": {"nodeName": node}}, "binding")
        if status:
            self.patch(PODS, name, {"status": status}, "status")

    def make_ready(self, pod: Object) -> None:
        self.set_pod(pod, node="n", phase="Running", conditions=[ready_condition(self.now)])

    def delete_pod(self, pod: Object) -> None:
        self.client.delete(PODS, "shop", pod["metadata"]["name"])


@pytest.fixture
def world() -> World:
    return World()


def test_scaling_up_creates_pods_with_owner_labels_and_an_event_each(world: World) -> None:
    world.create(REPLICASETS, replica_set(3))
    world.sync()
    pods = world.pods()
    assert len(pods) == 3
    assert all(pod["metadata"]["name"].startswith("cart-") for pod in pods)
    assert pods[0]["metadata"]["labels"] == {"app": "cart"}
    assert pods[0]["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "cart",
            "uid": world.get(REPLICASETS, "cart")["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert sorted(world.messages("SuccessfulCreate")) == sorted(f"Created pod: {p['metadata']['name']}" for p in pods)
    assert world.status == {"replicas": 3, "fullyLabeledReplicas": 3, "observedGeneration": 1}


def test_a_pass_over_an_unchanged_replica_set_writes_nothing(world: World) -> None:
    world.create(REPLICASETS, replica_set(3))
    world.sync()
    world.client.writes.clear()
    world.controller.enqueue(("shop", "cart"))
    assert world.sync() == 1
    assert world.client.writes == []


def test_template_annotations_and_finalizers_reach_the_pods(world: World) -> None:
    spec = replica_set(1)
    spec["spec"]["template"]["metadata"] |= {"annotations": {"a": "b"}, "finalizers": ["example.com/keep"]}
    world.create(REPLICASETS, spec)
    world.sync()
    meta = world.pods()[0]["metadata"]
    assert (meta["annotations"], meta["finalizers"]) == ({"a": "b"}, ["example.com/keep"])


def test_scale_to_zero_reports_zero_while_pods_still_terminate(world: World) -> None:
    world.create(REPLICASETS, replica_set(3))
    world.sync()
    for pod in world.pods():
        world.make_ready(pod)
    world.sync()
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
    world.create(REPLICASETS, replica_set(5))
    world.sync()
    assert seen == sorted(seen)
    assert seen[-1] == 5


def test_terminating_pods_are_replaced_at_once_and_never_counted(world: World) -> None:
    world.create(REPLICASETS, replica_set(2))
    world.sync()
    for pod in world.pods():
        world.make_ready(pod)
    world.delete_pod(world.pods()[0])
    world.sync()
    assert len(world.pods()) == 3
    assert world.status["replicas"] == 2


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_finished_pods_are_left_and_replaced(world: World, phase: str) -> None:
    world.create(REPLICASETS, replica_set(2))
    world.sync()
    finished = world.pods()[0]["metadata"]["name"]
    world.set_pod(world.pods()[0], node="n", phase=phase)
    world.sync()
    assert len(world.pods()) == 3
    assert world.status["replicas"] == 2
    assert world.find(PODS, finished) is not None


def test_available_follows_ready_after_min_ready_seconds_without_another_trigger(world: World) -> None:
    world.create(REPLICASETS, replica_set(1, minReadySeconds=7))
    world.sync()
    world.make_ready(world.pods()[0])
    world.sync()
    assert world.status["readyReplicas"] == 1
    assert "availableReplicas" not in world.status
    world.wait(6.9)
    assert "availableReplicas" not in world.status
    world.wait(0.1)
    assert world.status["availableReplicas"] == 1


def test_more_than_a_burst_is_created_over_several_passes(world: World) -> None:
    world.create(REPLICASETS, replica_set(1201))
    world.sync()
    assert world.status["replicas"] == 1201


def test_a_matching_orphan_is_adopted_and_counts(world: World) -> None:
    world.create(PODS, pod_object("stray", labels={"app": "cart"}))
    world.create(REPLICASETS, replica_set(2))
    world.sync()
    assert len(world.pods()) == 2
    stray = world.find(PODS, "stray")
    assert stray is not None
    assert stray["metadata"]["ownerReferences"][0]["name"] == "cart"


def test_an_orphan_that_appears_later_is_adopted_and_the_surplus_deleted(world: World) -> None:
    world.create(REPLICASETS, replica_set(2))
    world.sync()
    for pod in world.pods():
        world.make_ready(pod)
    world.create(PODS, pod_object("stray", labels={"app": "cart"}))
    world.sync()
    assert world.find(PODS, "stray") is None
    assert len(world.pods()) == 2


def test_a_pod_of_another_controller_is_never_adopted(world: World) -> None:
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
    meta = {"name": "theirs", "labels": {"app": "cart"}, "ownerReferences": [reference]}
    world.create(PODS, {**pod_object("theirs"), "metadata": meta})
    world.create(REPLICASETS, replica_set(1))
    world.sync()
    assert len(world.pods()) == 2


def test_a_relabelled_pod_is_released_and_replaced(world: World) -> None:
    world.create(REPLICASETS, replica_set(1))
    world.sync()
    name = world.pods()[0]["metadata"]["name"]
    world.patch(PODS, name, {"metadata": {"labels": {"app": "debug"}}})
    world.sync()
    released = world.get(PODS, name)
    assert not released["metadata"].get("ownerReferences")
    assert len(world.pods()) == 2


def test_a_replica_set_being_deleted_neither_creates_nor_deletes_nor_adopts(world: World) -> None:
    world.create(REPLICASETS, replica_set(1))
    world.sync()
    world.client.delete(REPLICASETS, "shop", "cart", propagation="Foreground")
    world.create(PODS, pod_object("s", labels={"app": "cart"}))
    world.delete_pod(world.pods()[0])
    world.sync()
    assert [pod["metadata"]["name"] for pod in world.pods()] == ["s"]
    assert "ownerReferences" not in world.pods()[0]["metadata"]


def test_a_failed_create_is_reported_and_retried_with_back_off(world: World) -> None:
    world.client.refusal = lambda resource, obj: (
        StatusError.forbidden("", "pods", "cart-x", "quota") if resource == PODS else None
    )
    world.create(REPLICASETS, replica_set(4))
    world.sync()
    (condition,) = world.status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("ReplicaFailure", "True", "FailedCreate")
    assert condition["message"] == 'pods "cart-x" is forbidden: quota'
    assert world.messages("FailedCreate") == ['Error creating: pods "cart-x" is forbidden: quota']
    world.client.refusal = lambda resource, obj: None
    world.wait(1)
    assert world.status == {"replicas": 4, "fullyLabeledReplicas": 4, "observedGeneration": 1}


def test_slow_start_stops_at_the_first_failed_batch(world: World) -> None:
    attempts = Counter[str]()

    def fail_after_three(resource: Any, obj: Object) -> StatusError | None:
        if resource != PODS:
            return None
        attempts["pods"] += 1
        return StatusError.forbidden("", "pods", "x", "quota") if attempts["pods"] > 3 else None

    world.client.refusal = fail_after_three
    world.create(REPLICASETS, replica_set(100))
    world.sync()
    # The batch of four fails and no batch of eight follows; the new pods bring one more pass, which fails at once.
    assert attempts["pods"] == (1 + 2 + 4) + 1


def test_creating_into_a_terminating_namespace_is_no_failure(world: World) -> None:
    world.create(REPLICASETS, replica_set(1))
    world.client.delete(("", "namespaces"), "", "shop")
    world.sync()
    assert world.status == {"replicas": 0, "observedGeneration": 1}
    assert world.work.error_count == 0


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
    conditions = [ready_condition(NOW - timedelta(seconds=ready_for))] if ready_for is not None else []
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
    owner = world.create(DEPLOYMENTS, replica_set(0))
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "uid": owner["metadata"]["uid"]}
    old = replica_set(2, selector={"matchLabels": {"app": "old"}})
    old["metadata"] = {"name": "old", "ownerReferences": [{**reference, "controller": True}]}
    old["spec"]["template"]["metadata"]["labels"] = {"app": "old"}
    world.create(REPLICASETS, old)
    new = replica_set(2)
    new["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    world.create(REPLICASETS, new)
    world.sync()
    ours = [p for p in world.pods() if p["metadata"]["labels"]["app"] == "cart"]
    theirs = [p for p in world.pods() if p["metadata"]["labels"]["app"] == "old"]
    for each, node in [(ours[0], "n1"), (ours[1], "n2"), (theirs[0], "n2"), (theirs[1], "n2")]:
        world.set_pod(each, node=node, phase="Running", conditions=[ready_condition(world.now)])
    world.scale(1)
    left = [
        p for p in world.pods() if p["metadata"]["labels"]["app"] == "cart" and "deletionTimestamp" not in p["metadata"]
    ]
    assert [p["spec"]["nodeName"] for p in left] == ["n1"]
