"""Namespaces: what they contain, and how they end."""

import pytest
from tests.sandbox.controllers.workbench import (
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICASETS,
    Workbench,
    condition_status,
    pod_object,
    replica_set,
)

from prograde.sandbox.controllers.objects import condition_of
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

CONFIG_MAPS = ("", "configmaps")
SERVICE_ACCOUNTS = ("", "serviceaccounts")


@pytest.fixture
def bench() -> Workbench:
    return Workbench()


def namespace(bench: Workbench) -> Object | None:
    return bench.client.get(NAMESPACES, "", "shop")


def test_a_namespace_gets_an_account_and_the_root_certificate(bench: Workbench) -> None:
    bench.settle()
    assert bench.names(SERVICE_ACCOUNTS) == ["default"]
    assert bench.names(CONFIG_MAPS) == ["kube-root-ca.crt"]


def test_they_come_back_when_deleted(bench: Workbench) -> None:
    bench.settle()
    bench.client.delete(SERVICE_ACCOUNTS, "shop", "default")
    bench.client.delete(CONFIG_MAPS, "shop", "kube-root-ca.crt")
    bench.settle()
    assert bench.names(SERVICE_ACCOUNTS) == ["default"]
    assert bench.names(CONFIG_MAPS) == ["kube-root-ca.crt"]


def test_objects_can_be_created_right_after_their_namespace(bench: Workbench) -> None:
    bench.create(PODS, pod_object())
    bench.settle(1)
    assert condition_status(bench.pod(), "Ready") == "True"


def test_deleting_empties_the_namespace_and_pods_keep_their_grace(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(2))
    bench.create(PODS, pod_object(container={"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}))
    bench.settle(1)
    bench.client.delete(NAMESPACES, "", "shop")
    bench.settle(1)
    terminating = namespace(bench)
    assert terminating is not None
    assert terminating["status"]["phase"] == "Terminating"
    remaining = condition_of(terminating, "NamespaceContentRemaining")
    assert remaining is not None
    assert (remaining["status"], remaining["reason"]) == ("True", "SomeResourcesRemain")
    assert remaining["message"] == "Some resources are remaining: pods. has 1 resource instances"
    with pytest.raises(StatusError, match="because it is being terminated"):
        bench.create(CONFIG_MAPS, {"metadata": {"name": "late"}})
    bench.settle(5)
    assert namespace(bench) is None
    assert bench.objects(EVENTS) == []


def test_a_foreign_finalizer_keeps_the_namespace_and_the_conditions_say_so(bench: Workbench) -> None:
    bench.create(CONFIG_MAPS, {"metadata": {"name": "held", "finalizers": ["example.com/keep"]}})
    bench.settle()
    bench.client.delete(NAMESPACES, "", "shop")
    bench.settle(3600)
    held = namespace(bench)
    assert held is not None
    finalizers = condition_of(held, "NamespaceFinalizersRemaining")
    assert finalizers is not None
    assert (finalizers["status"], finalizers["reason"]) == ("True", "SomeFinalizersRemain")
    assert finalizers["message"].endswith("finalizers remaining: example.com/keep in 1 resource instances")
    assert condition_status(held, "NamespaceDeletionContentFailure") == "False"
    bench.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}})
    bench.settle()
    assert namespace(bench) is None


def test_an_empty_namespace_goes_at_once(bench: Workbench) -> None:
    bench.client.delete(NAMESPACES, "", "shop")
    bench.settle()
    assert namespace(bench) is None


def test_a_namespace_of_the_same_name_can_follow(bench: Workbench) -> None:
    bench.client.delete(NAMESPACES, "", "shop")
    bench.settle()
    bench.client.create(NAMESPACES, "", {"metadata": {"name": "shop"}})
    bench.settle()
    assert bench.names(SERVICE_ACCOUNTS) == ["default"]
