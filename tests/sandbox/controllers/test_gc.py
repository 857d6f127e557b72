"""The garbage collector: background, foreground, orphan, unknown owners, wrong namespaces."""

from typing import Any

import pytest
from tests.sandbox.controllers.workbench import DEPLOYMENTS, PODS, REPLICASETS, Workbench, replica_set

from prograde.sandbox.kinds import Object

CONFIG_MAPS = ("", "configmaps")
NODES = ("", "nodes")


@pytest.fixture
def bench() -> Workbench:
    return Workbench()


def config_map(name: str, *owners: Object, **metadata: Any) -> Object:
    return {"metadata": {"name": name, "ownerReferences": list(owners), **metadata}}


def owned_by(owner: Object, **fields: Any) -> Object:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {**reference, **fields}


def deployed(bench: Workbench, replicas: int = 2) -> None:
    obj = replica_set(replicas)
    bench.create(DEPLOYMENTS, obj)
    bench.settle(1)
    assert len(bench.pods()) == replicas


def test_background_deletion_takes_dependents_after_their_grace(bench: Workbench) -> None:
    deployed(bench)
    bench.client.delete(DEPLOYMENTS, "shop", "cart", propagation="Background")
    assert bench.find(DEPLOYMENTS, "cart") is None
    bench.settle()
    assert bench.names(REPLICASETS) == []
    assert all("deletionTimestamp" in pod["metadata"] for pod in bench.pods())
    bench.settle(0.1)
    assert bench.pods() == []


def test_foreground_deletion_waits_for_replica_sets_and_pods(bench: Workbench) -> None:
    template = replica_set(2)["spec"]["template"]
    hook = {"preStop": {"sleep": {"seconds": 5}}}
    template["spec"] = {"containers": [{"name": "c", "image": "nginx:1", "lifecycle": hook}]}
    bench.create(DEPLOYMENTS, replica_set(2, template=template))
    bench.settle(1)
    bench.client.delete(DEPLOYMENTS, "shop", "cart", propagation="Foreground")
    bench.settle(4)
    assert bench.get(DEPLOYMENTS, "cart")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert len(bench.names(REPLICASETS)) == 1
    bench.settle(2)
    assert (bench.find(DEPLOYMENTS, "cart"), bench.names(REPLICASETS), bench.pods()) == (None, [], [])


def test_orphaning_keeps_dependents_without_the_reference(bench: Workbench) -> None:
    deployed(bench)
    bench.client.delete(DEPLOYMENTS, "shop", "cart", propagation="Orphan")
    bench.settle(5)
    assert bench.find(DEPLOYMENTS, "cart") is None
    (left,) = bench.objects(REPLICASETS)
    assert not left["metadata"].get("ownerReferences")
    assert len(bench.pods()) == 2


def test_a_dependent_that_does_not_block_does_not_hold_its_owner(bench: Workbench) -> None:
    owner = bench.create(CONFIG_MAPS, config_map("owner"))
    bench.create(CONFIG_MAPS, config_map("held", owned_by(owner), finalizers=["example.com/keep"]))
    bench.settle()
    bench.client.delete(CONFIG_MAPS, "shop", "owner", propagation="Foreground")
    bench.settle()
    assert bench.find(CONFIG_MAPS, "owner") is None
    assert "deletionTimestamp" in bench.get(CONFIG_MAPS, "held")["metadata"]


def test_a_blocking_dependent_with_a_finalizer_holds_its_owner(bench: Workbench) -> None:
    owner = bench.create(CONFIG_MAPS, config_map("owner"))
    reference = owned_by(owner, blockOwnerDeletion=True)
    bench.create(CONFIG_MAPS, config_map("held", reference, finalizers=["example.com/keep"]))
    bench.settle()
    bench.client.delete(CONFIG_MAPS, "shop", "owner", propagation="Foreground")
    bench.settle(60)
    assert bench.find(CONFIG_MAPS, "owner") is not None
    bench.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}})
    bench.settle()
    assert bench.find(CONFIG_MAPS, "owner") is None


def test_an_object_with_an_owner_that_never_existed_is_collected(bench: Workbench) -> None:
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "never-was"}
    bench.create(CONFIG_MAPS, config_map("child", ghost))
    bench.settle()
    assert bench.find(CONFIG_MAPS, "child") is None


def test_an_owner_of_the_same_name_but_another_uid_is_no_owner(bench: Workbench) -> None:
    owner = bench.create(CONFIG_MAPS, config_map("owner"))
    bench.create(CONFIG_MAPS, config_map("child", {**owned_by(owner), "uid": "an-earlier-one"}))
    bench.settle()
    assert bench.find(CONFIG_MAPS, "child") is None


def test_one_living_owner_keeps_an_object_and_the_dead_reference_goes(bench: Workbench) -> None:
    alive, dead = bench.create(CONFIG_MAPS, config_map("alive")), bench.create(CONFIG_MAPS, config_map("dead"))
    bench.create(CONFIG_MAPS, config_map("child", owned_by(alive), owned_by(dead)))
    bench.settle()
    bench.client.delete(CONFIG_MAPS, "shop", "dead")
    bench.settle()
    child = bench.get(CONFIG_MAPS, "child")
    assert [reference["name"] for reference in child["metadata"]["ownerReferences"]] == ["alive"]
    bench.client.delete(CONFIG_MAPS, "shop", "alive")
    bench.settle()
    assert bench.find(CONFIG_MAPS, "child") is None


def test_an_owner_in_another_namespace_is_reported_and_does_not_count(bench: Workbench) -> None:
    elsewhere = bench.client.create(CONFIG_MAPS, "default", config_map("owner"))
    bench.create(CONFIG_MAPS, config_map("child", owned_by(elsewhere)))
    bench.settle()
    assert bench.find(CONFIG_MAPS, "child") is None
    (message,) = bench.messages("OwnerRefInvalidNamespace")
    assert 'does not exist in namespace "shop"' in message


def test_a_cluster_scoped_owner_counts_everywhere(bench: Workbench) -> None:
    node = bench.client.get(NODES, "", "sandbox-0")
    assert node is not None
    bench.create(CONFIG_MAPS, config_map("child", owned_by(node)))
    bench.settle()
    assert bench.find(CONFIG_MAPS, "child") is not None
    bench.client.delete(NODES, "", "sandbox-0")
    bench.settle()
    assert bench.find(CONFIG_MAPS, "child") is None


def test_a_cluster_scoped_object_survives_a_reference_to_a_namespaced_owner(bench: Workbench) -> None:
    owner = bench.create(CONFIG_MAPS, config_map("owner"))
    meta = {"name": "spare", "ownerReferences": [owned_by(owner)]}
    bench.client.create(NODES, "", {"metadata": meta})
    bench.client.delete(CONFIG_MAPS, "shop", "owner")
    bench.settle()
    assert bench.client.get(NODES, "", "spare") is not None


def test_an_owner_of_an_unknown_kind_keeps_its_dependents(bench: Workbench) -> None:
    unknown = {"apiVersion": "example.com/v9", "kind": "Mystery", "name": "m", "uid": "u"}
    bench.create(CONFIG_MAPS, config_map("child", unknown))
    bench.settle(300)
    assert bench.find(CONFIG_MAPS, "child") is not None


def test_pods_of_a_deleted_replica_set_go_within_a_second(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(10))
    bench.settle(1)
    bench.client.delete(REPLICASETS, "shop", "cart")
    bench.settle(1)
    assert bench.names(PODS) == []
