"""The scheduler: which node, and what it says when there is none."""

from typing import Any

import pytest
from tests.sandbox.controllers.workbench import EVENTS, PODS, Workbench, condition_of_pod, pod_object

from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.scheduler import Placement, place


def node(name: str, *, ready: str = "True", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": {"conditions": conditions}}


def taint(effect: str, key: str = "k", value: str = "v") -> Object:
    return {"key": key, "value": value, "effect": effect}


def affinity(*expressions: Object, fields: list[Object] | None = None) -> Object:
    term = {"matchExpressions": list(expressions), "matchFields": fields or []}
    required = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


@pytest.mark.parametrize(
    ("spec", "nodes", "expected"),
    [
        pytest.param({}, [node("b"), node("a")], "a", id="the first by name"),
        pytest.param({}, [node("a", unschedulable=True), node("b")], "b", id="not a cordoned one"),
        pytest.param({}, [node("a", ready="Unknown"), node("b")], "b", id="not one that is not ready"),
        pytest.param({}, [node("a", taints=[taint("NoSchedule")]), node("b")], "b", id="not a tainted one"),
        pytest.param({}, [node("a", taints=[taint("PreferNoSchedule")])], "a", id="soft taints are ignored"),
        pytest.param(
            {"tolerations": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
            [node("a", taints=[taint("NoSchedule")])],
            "a",
            id="a tolerated taint",
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]},
            [node("a", taints=[taint("NoExecute")], unschedulable=True)],
            "a",
            id="a pod that tolerates everything",
        ),
        pytest.param(
            {"nodeSelector": {"disk": "ssd"}}, [node("a"), node("b", labels={"disk": "ssd"})], "b", id="selector"
        ),
        pytest.param(
            affinity({"key": "zone", "operator": "In", "values": ["x", "y"]}),
            [node("a", labels={"zone": "z"}), node("b", labels={"zone": "y"})],
            "b",
            id="affinity In",
        ),
        pytest.param(
            affinity({"key": "size", "operator": "Gt", "values": ["3"]}),
            [node("a", labels={"size": "3"}), node("b", labels={"size": "10"})],
            "b",
            id="affinity Gt",
        ),
        pytest.param(
            affinity(fields=[{"key": "metadata.name", "operator": "In", "values": ["b"]}]),
            [node("a"), node("b")],
            "b",
            id="affinity by name",
        ),
    ],
)
def test_where_a_pod_goes(spec: Object, nodes: list[Object], expected: str) -> None:
    assert place(pod_object(**spec), nodes, {}) == Placement(node=expected)


def test_the_emptiest_node_wins() -> None:
    assert place(pod_object(), [node("a"), node("b")], {"a": 2, "b": 1}).node == "b"


@pytest.mark.parametrize(
    ("spec", "nodes", "problem"),
    [
        ({}, [], "no nodes available to schedule pods"),
        ({}, [node("a", unschedulable=True)], "0/1 nodes are available: 1 node(s) were unschedulable."),
        (
            {"nodeSelector": {"x": "y"}},
            [node("a"), node("b", taints=[taint("NoSchedule")])],
            (
                "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
                "1 node(s) had untolerated taint {k: v}."
            ),
        ),
        (
            affinity({"key": "size", "operator": "Lt", "values": ["3"]}),
            [node("a", labels={"size": "big"})],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
    ],
)
def test_why_a_pod_goes_nowhere(spec: Object, nodes: list[Object], problem: str) -> None:
    assert place(pod_object(**spec), nodes, {}) == Placement(problem=problem)


def test_an_unschedulable_pod_says_why_and_is_placed_when_a_node_fits() -> None:
    bench = Workbench()
    bench.create(PODS, pod_object(nodeSelector={"disk": "ssd"}))
    bench.settle(5)
    condition = condition_of_pod(bench.pod(), "PodScheduled")
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert condition["message"].startswith("0/1 nodes are available")
    (event,) = [event for event in bench.objects(EVENTS) if event["reason"] == "FailedScheduling"]
    assert event["source"]["component"] == "default-scheduler"
    bench.client.patch(("", "nodes"), "", "sandbox-0", {"metadata": {"labels": {"disk": "ssd"}}})
    bench.settle(1)
    assert condition_of_pod(bench.pod(), "PodScheduled")["status"] == "True"
    assert condition_of_pod(bench.pod(), "Ready")["status"] == "True"


def test_scheduling_gates_hold_a_pod() -> None:
    bench = Workbench()
    bench.create(PODS, pod_object(schedulingGates=[{"name": "example.com/wait"}]))
    bench.settle(5)
    assert condition_of_pod(bench.pod(), "PodScheduled")["reason"] == "SchedulingGated"
    bench.patch(PODS, "p", {"spec": {"schedulingGates": None}})
    bench.settle(1)
    assert condition_of_pod(bench.pod(), "Ready")["status"] == "True"


def test_pods_of_another_scheduler_are_left_to_it() -> None:
    bench = Workbench()
    bench.create(PODS, pod_object(schedulerName="mine"))
    bench.settle(5)
    assert "nodeName" not in bench.pod()["spec"]
    bench.patch(PODS, "p", {"spec": {"nodeName": "sandbox-0"}}, "binding")
    bench.settle(1)
    assert condition_of_pod(bench.pod(), "Ready")["status"] == "True"
