"""Nodes: what they say about themselves, and cordon, drain, failure and recovery."""

import pytest
from tests.sandbox.controllers.workbench import (
    PODS,
    REPLICASETS,
    Workbench,
    condition_status,
    pod_object,
    replica_set,
)

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.controllers.manager import ControllerManager
from prograde.sandbox.controllers.objects import condition_of
from prograde.sandbox.kinds import Object

NODES = ("", "nodes")
BUDGETS = ("policy", "poddisruptionbudgets")


@pytest.fixture
def bench() -> Workbench:
    return Workbench(nodes=2)


def manager(bench: Workbench) -> ControllerManager:
    assert bench.sandbox.controllers is not None
    return bench.sandbox.controllers


def node(bench: Workbench, name: str = "sandbox-0") -> Object:
    found = bench.client.get(NODES, "", name)
    assert found is not None
    return found


def places(bench: Workbench) -> list[str]:
    return sorted(pod["spec"].get("nodeName", "") for pod in bench.pods() if "deletionTimestamp" not in pod["metadata"])


def test_nodes_are_registered_ready_with_labels_and_room() -> None:
    first, second = Sandbox(crds=(), nodes=2).list("nodes")
    assert [each["metadata"]["name"] for each in (first, second)] == ["sandbox-0", "sandbox-1"]
    labels = first["metadata"]["labels"]
    assert labels["kubernetes.io/hostname"] == "sandbox-0"
    assert {"kubernetes.io/os", "kubernetes.io/arch", "node.kubernetes.io/instance-type"} <= labels.keys()
    assert "topology.kubernetes.io/zone" in labels
    assert first["status"]["capacity"] == first["status"]["allocatable"]
    assert first["status"]["capacity"]["cpu"] == "1k"
    assert first["status"]["capacity"]["memory"] == "1Ti"
    assert first["status"]["capacity"]["pods"] == "110k"
    assert condition_status(first, "Ready") == "True"
    assert first["status"]["addresses"][0] != second["status"]["addresses"][0]


def test_a_cordoned_node_gets_no_new_pods(bench: Workbench) -> None:
    manager(bench).nodes.cordon("sandbox-0")
    bench.create(REPLICASETS, replica_set(4))
    bench.settle(1)
    assert places(bench) == ["sandbox-1"] * 4
    manager(bench).nodes.cordon("sandbox-0", is_cordoned=False)
    bench.patch(REPLICASETS, "cart", {"spec": {"replicas": 6}})
    bench.settle(1)
    assert places(bench).count("sandbox-0") == 2


def test_draining_moves_the_pods(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(4))
    bench.settle(1)
    assert places(bench) == ["sandbox-0", "sandbox-0", "sandbox-1", "sandbox-1"]
    assert manager(bench).nodes.drain("sandbox-0") == []
    bench.settle(1)
    assert places(bench) == ["sandbox-1"] * 4


def test_draining_respects_a_disruption_budget(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(4))
    budget = {"minAvailable": 3, "selector": {"matchLabels": {"app": "cart"}}}
    bench.create(BUDGETS, {"metadata": {"name": "b"}, "spec": budget})
    bench.settle(1)
    (held,) = manager(bench).nodes.drain("sandbox-0")
    assert held.startswith("shop/cart-")
    bench.settle(1)
    assert manager(bench).nodes.drain("sandbox-0") == []


def test_a_silent_node_becomes_unknown_after_40_seconds_and_its_pods_unready(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(4))
    bench.settle(1)
    manager(bench).nodes.fail("sandbox-0")
    bench.settle(39)
    assert condition_status(node(bench), "Ready") == "True"
    assert all(condition_status(pod, "Ready") == "True" for pod in bench.pods())
    bench.settle(1)
    ready = condition_of(node(bench), "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert {taint["effect"] for taint in node(bench)["spec"]["taints"]} == {"NoSchedule", "NoExecute"}
    unready = [pod for pod in bench.pods() if condition_status(pod, "Ready") == "False"]
    assert [pod["spec"]["nodeName"] for pod in unready] == ["sandbox-0"] * 2
    assert bench.get(REPLICASETS, "cart")["status"]["readyReplicas"] == 2


def test_its_pods_are_deleted_after_300_more_seconds_and_replaced_elsewhere(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(4))
    bench.settle(1)
    manager(bench).nodes.fail("sandbox-0")
    bench.settle(339)
    assert len(bench.pods()) == 4
    bench.settle(2)
    assert places(bench) == ["sandbox-1"] * 4
    assert len(bench.pods()) == 6, "only the silent node could say that its pods are gone"
    manager(bench).nodes.recover("sandbox-0")
    bench.settle(1)
    assert len(bench.pods()) == 4
    assert condition_status(node(bench), "Ready") == "True"
    assert not node(bench)["spec"].get("taints")


@pytest.mark.parametrize(("seconds", "gone_after"), [(10, 50), (None, None)])
def test_a_pod_may_say_how_long_it_stays(bench: Workbench, seconds: int | None, gone_after: int | None) -> None:
    toleration = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    if seconds is not None:
        toleration |= {"tolerationSeconds": seconds}  # type: ignore[dict-item]
    bench.create(PODS, pod_object(tolerations=[toleration]))
    bench.settle(1)
    manager(bench).nodes.fail("sandbox-0")
    bench.settle((gone_after or 10_000) - 1)
    assert "deletionTimestamp" not in bench.pod()["metadata"]
    bench.settle(2)
    assert ("deletionTimestamp" in bench.pod()["metadata"]) == (gone_after is not None)


def test_a_node_that_recovers_in_time_is_never_marked(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(2))
    bench.settle(1)
    manager(bench).nodes.fail("sandbox-0")
    bench.settle(30)
    manager(bench).nodes.recover("sandbox-0")
    bench.settle(600)
    assert len(bench.pods()) == 2
    assert all(condition_status(pod, "Ready") == "True" for pod in bench.pods())


def test_simulated_nodes_send_no_heartbeats(bench: Workbench) -> None:
    bench.settle(60)
    assert bench.sandbox.list(("coordination.k8s.io", "leases")) == []
