"""PodDisruptionBudgets: what their status says, and evictions that it allows."""

from typing import Any

import pytest
from tests.sandbox.controllers.workbench import DEPLOYMENTS, REPLICASETS, Workbench, pod_object, replica_set

from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

BUDGETS = ("policy", "poddisruptionbudgets")
PODS = ("", "pods")


@pytest.fixture
def bench() -> Workbench:
    return Workbench()


def budget(**spec: Any) -> Object:
    return {"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"app": "cart"}}, **spec}}


def numbers(bench: Workbench) -> tuple[int, int, int, int]:
    status = bench.get(BUDGETS, "b")["status"]
    return tuple(status[f] for f in ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"))  # type: ignore[return-value]


def evict(bench: Workbench, name: str) -> None:
    bench.sandbox._evict("shop", name)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"minAvailable": 4}, (4, 4, 4, 0), id="all are needed"),
        pytest.param({"minAvailable": 3}, (4, 3, 4, 1), id="one may go"),
        pytest.param({"minAvailable": "50%"}, (4, 2, 4, 2), id="a percentage"),
        pytest.param({"minAvailable": "60%"}, (4, 3, 4, 1), id="a percentage is rounded up"),
        pytest.param({"maxUnavailable": 1}, (4, 3, 4, 1), id="one may be missing"),
        pytest.param({"maxUnavailable": "30%"}, (4, 2, 4, 2), id="a percentage of missing ones is rounded up"),
        pytest.param({"maxUnavailable": 9}, (4, 0, 4, 4), id="more than there are"),
    ],
)
@pytest.mark.parametrize("owner", [REPLICASETS, DEPLOYMENTS], ids=["replicaset", "deployment"])
def test_the_status_of_a_budget(bench: Workbench, spec: Object, expected: tuple[int, ...], owner: Any) -> None:
    bench.create(owner, replica_set(4))
    bench.create(BUDGETS, budget(**spec))
    bench.settle(2)
    assert numbers(bench) == expected


def test_pods_without_an_owner_count_for_themselves(bench: Workbench) -> None:
    bench.create(PODS, pod_object(labels={"app": "cart"}))
    bench.create(BUDGETS, budget(minAvailable=1))
    bench.settle(1)
    assert numbers(bench) == (1, 1, 1, 0)


def test_evictions_use_the_budget_up_and_replacements_fill_it(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(4))
    bench.create(BUDGETS, budget(minAvailable=3))
    bench.settle(1)
    first, second, *_ = bench.names(PODS)
    evict(bench, first)
    with pytest.raises(StatusError) as refused:
        evict(bench, second)
    assert refused.value.code == 429
    bench.settle(1)
    assert numbers(bench) == (4, 3, 4, 1)
    evict(bench, second)
    bench.settle(1)
    assert len(bench.pods()) == 4


def test_a_budget_that_needs_all_pods_blocks_until_it_is_deleted(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(4))
    bench.create(BUDGETS, budget(minAvailable=4))
    bench.settle(1)
    name = bench.names(PODS)[0]
    with pytest.raises(StatusError, match=r"Cannot evict pod as it would violate the pod's disruption budget\."):
        evict(bench, name)
    bench.client.delete(BUDGETS, "shop", "b")
    evict(bench, name)
    bench.settle(1)
    assert name not in bench.names(PODS)


def test_unready_pods_are_not_healthy(bench: Workbench) -> None:
    template = replica_set(1)["spec"]["template"]
    template["metadata"]["annotations"] = {"sandbox.prograde.io/never-ready": "true"}
    bench.create(REPLICASETS, replica_set(2, template=template))
    bench.create(BUDGETS, budget(minAvailable=1))
    bench.settle(2)
    assert numbers(bench) == (2, 1, 0, 0)
