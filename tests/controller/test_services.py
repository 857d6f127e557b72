"""Services that change, and those that a Rollout has left, on caches that follow a real API server."""

import asyncio
from typing import Any

import pytest
from tests.controller.test_apply import ROLLOUT
from tests.controller.test_gather import following
from tests.kube.virtual_time import virtual_time

from prograde.api.meta import NamespacedName
from prograde.api.names import MANAGED_BY_ANNOTATION, POD_TEMPLATE_HASH_LABEL
from prograde.controller.services import ServiceReconciler
from prograde.kube.client import Client
from prograde.kube.errors import ApiError, Conflict
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer
from prograde.simulator.loop import EPOCH
from prograde.simulator.world import world

KEY = NamespacedName("default", "web")
LABEL = "argo-rollouts.argoproj.io/controller-instance-id"


def service(pod_hash: str = "old", manager: str | None = None) -> dict[str, Any]:
    annotations = {"mine": "1"} if manager is None else {"mine": "1", MANAGED_BY_ANNOTATION: manager}
    selector = {"app": "cart", **({POD_TEMPLATE_HASH_LABEL: pod_hash} if pod_hash else {})}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"selector": selector, "ports": [{"port": 80}]},
    }


def rollout(name: str = "cart", uses: str = "", **metadata: Any) -> dict[str, Any]:
    strategy = {"canary": {"stableService": uses, "canaryService": f"{uses}-canary"} if uses else {}}
    return {**ROLLOUT, "metadata": {"name": name, **metadata}, "spec": {**ROLLOUT["spec"], "strategy": strategy}}


class Ended:
    """What came of looking after the Service once."""

    def __init__(self, sandbox: Sandbox, woken: list[NamespacedName]) -> None:
        self.woken = [key.name for key in woken]
        found = sandbox.get("services", "web")
        self.pod_hash = found["spec"]["selector"].get(POD_TEMPLATE_HASH_LABEL, "")
        self.annotations = found["metadata"]["annotations"]
        self.selector = found["spec"]["selector"]
        self.requests = [
            (each.verb, each.resource)
            for each in sandbox.request_log
            if each.client == "services" and each.resource in ("services", "rollouts")
        ]


async def look_after(sandbox: Sandbox) -> Ended:
    woken: list[NamespacedName] = []
    async with following(sandbox) as caches:
        await ServiceReconciler(Client(sandbox.transport("services"), qps=0), caches, woken.append).reconcile(KEY)
    return Ended(sandbox, woken)


@pytest.mark.parametrize(
    ("existing", "rollouts", "woken", "is_kept"),
    [
        pytest.param(service(manager="cart"), [rollout(uses="web")], ["cart"], True, id="its manager uses it"),
        pytest.param(service(manager="cart"), [rollout(uses="other")], [], False, id="its manager uses another"),
        pytest.param(service(manager="cart"), [], [], False, id="its manager is gone"),
        pytest.param(
            service(manager="cart"), [rollout("b", uses="web")], [], False, id="another one uses it, and takes over"
        ),
        pytest.param(service(), [rollout(uses="web")], ["cart"], True, id="somebody uses it who has not marked it"),
        pytest.param(service(), [rollout()], [], False, id="nobody uses it"),
        pytest.param(service(pod_hash=""), [], [], True, id="no hash, nothing to do"),
    ],
)
def test_a_service_is_handed_to_its_rollout_or_cleaned(
    existing: dict[str, Any], rollouts: list[dict[str, Any]], woken: list[str], is_kept: bool
) -> None:
    @virtual_time
    async def check() -> None:
        sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
        sandbox.apply([existing, *rollouts])
        ended = await look_after(sandbox)
        assert ended.woken == woken
        if is_kept:
            assert ended.selector == existing["spec"]["selector"]
            assert ended.annotations == existing["metadata"]["annotations"]
        else:
            assert ended.selector == {"app": "cart"}
            assert ended.annotations == {"mine": "1"}

    check()


@pytest.mark.parametrize("manager", [None, "cart"])
@virtual_time
async def test_a_service_of_another_controllers_rollout_is_left_alone(manager: str | None) -> None:
    sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
    sandbox.apply([service(manager=manager), rollout(uses="web", labels={LABEL: "blue"})])
    woken: list[NamespacedName] = []
    async with following(sandbox, label_selector=f"!{LABEL}") as caches:
        assert len(caches.rollouts) == 0
        await ServiceReconciler(Client(sandbox.transport("services"), qps=0), caches, woken.append).reconcile(KEY)
    assert sandbox.get("services", "web")["spec"]["selector"][POD_TEMPLATE_HASH_LABEL] == "old"


@virtual_time
async def test_a_rollout_that_is_known_costs_no_request() -> None:
    sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
    sandbox.apply([service(manager="cart"), rollout(uses="web")])
    assert (await look_after(sandbox)).requests == []


@pytest.mark.parametrize(("manager", "verb"), [(None, "list"), ("cart", "get")])
@virtual_time
async def test_nothing_is_cleaned_while_it_is_not_known_whether_anybody_uses_it(manager: str | None, verb: str) -> None:
    sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
    sandbox.apply(service(manager=manager))
    sandbox.faults.add(Answer(500), verbs=verb, resource="rollouts", client="services")
    with pytest.raises(ExceptionGroup) as raised:
        await look_after(sandbox)
    assert raised.group_contains(ApiError)
    assert sandbox.get("services", "web")["spec"]["selector"][POD_TEMPLATE_HASH_LABEL] == "old"


@virtual_time
async def test_a_service_that_was_taken_over_since_it_was_looked_at_is_not_cleaned() -> None:
    sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
    sandbox.apply(service(manager="gone"))
    async with following(sandbox) as caches:
        taken = service("new", manager="cart")
        sandbox.patch("services", "web", {"metadata": taken["metadata"], "spec": taken["spec"]})
        reconciler = ServiceReconciler(Client(sandbox.transport("services"), qps=0), caches, lambda _: None)
        with pytest.raises(Conflict):
            await reconciler.reconcile(KEY)
    assert sandbox.get("services", "web")["spec"]["selector"][POD_TEMPLATE_HASH_LABEL] == "new"


@virtual_time
async def test_a_service_that_is_gone_is_no_error() -> None:
    sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
    sandbox.apply(service(manager="cart"))
    async with following(sandbox) as caches:
        sandbox.delete("services", "web")
        await ServiceReconciler(Client(sandbox.transport("services"), qps=0), caches, lambda _: None).reconcile(KEY)


# --- In the whole controller ------------------------------------------------------------------------------------------


def blue_green() -> list[dict[str, Any]]:
    strategy = {"blueGreen": {"activeService": "web"}}
    return [service(pod_hash=""), {**ROLLOUT, "spec": {**ROLLOUT["spec"], "strategy": strategy}}]


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param({"spec": {"selector": {POD_TEMPLATE_HASH_LABEL: None}}}, id="the hash"),
        pytest.param({"spec": {"selector": {POD_TEMPLATE_HASH_LABEL: "wrong"}}}, id="the right hash"),
    ],
)
@virtual_time
async def test_a_service_that_loses_its_pods_is_pointed_at_them_again_at_once(loss: dict[str, Any]) -> None:
    async with world() as it:
        it.apply(blue_green())
        await it.until_phase("cart", "Healthy")
        await asyncio.sleep(5)
        selector = it.sandbox.get("services", "web")["spec"]["selector"]
        assert POD_TEMPLATE_HASH_LABEL in selector
        it.sandbox.patch("services", "web", loss)
        await it.until(lambda: it.sandbox.get("services", "web")["spec"]["selector"] == selector, seconds=1)


@virtual_time
async def test_a_service_that_changes_in_nothing_that_matters_wakes_no_rollout_whose_pods_it_does_not_select() -> None:
    async with world() as it:
        it.apply(blue_green())
        await it.until_phase("cart", "Healthy")
        it.sandbox.apply({**service(pod_hash=""), "metadata": {"name": "foreign"}})
        await asyncio.sleep(5)
        before = it.metrics.reconcile.count("default", "cart")
        it.sandbox.patch("services", "foreign", {"metadata": {"labels": {"a": "b"}}})
        await asyncio.sleep(5)
        assert it.metrics.reconcile.count("default", "cart") == before
