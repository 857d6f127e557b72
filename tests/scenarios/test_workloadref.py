"""From a Deployment to a Rollout and back, against the embedded cluster."""

import asyncio
from typing import Any

import pytest
from tests.kube.virtual_time import virtual_time

from prograde.sandbox.faults import Answer, DelayEvents
from prograde.simulator.world import World, world

NAME = "web"
ONE, TWO, BROKEN = "shop/web:1", "shop/web:2", "shop/web:does-not-exist"


def template(image: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }


def deployment(replicas: int = 3, image: str = ONE) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
        },
    }


def rollout(scale_down: str = "", kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    reference = {"apiVersion": "v1" if kind == "PodTemplate" else "apps/v1", "kind": kind, "name": NAME}
    if scale_down:
        reference["scaleDown"] = scale_down
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"replicas": 3, "strategy": {"canary": {}}, "workloadRef": reference, **spec},
    }


def size(it: World) -> int:
    replicas: int = it.sandbox.get("deployments", NAME)["spec"]["replicas"]
    return replicas


def ready(it: World, *, of_rollout: bool) -> int:
    return sum(
        any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
        for pod in it.sandbox.list("pods")
        if ("rollouts-pod-template-hash" in pod["metadata"]["labels"]) is of_rollout
        and "deletionTimestamp" not in pod["metadata"]
    )


def sizes(it: World) -> dict[str, int]:
    """Return the sizes of the Rollout's own ReplicaSets, by image."""
    return {
        each["spec"]["template"]["spec"]["containers"][0]["image"]: each["spec"]["replicas"]
        for each in it.sandbox.list("replicasets")
        if "rollouts-pod-template-hash" in each["metadata"].get("labels", {})
    }


def change_template(it: World, image: str) -> None:
    it.sandbox.patch("deployments", NAME, {"spec": {"template": template(image)}})


async def deployed(it: World, scale_down: str = "", **spec: Any) -> None:
    """Have a Deployment with all its pods, and a Rollout that refers to it."""
    it.apply([deployment()])
    await it.until(lambda: ready(it, of_rollout=False) == 3)
    it.apply([rollout(scale_down, **spec)])


async def until_healthy(it: World, capacity: int = 0) -> None:
    """Let time pass until the Rollout is healthy, with so many ready pods of both workloads at any time."""
    for _ in range(6000):
        assert ready(it, of_rollout=False) + ready(it, of_rollout=True) >= capacity
        if it.phase(NAME) == "Healthy":
            return
        await asyncio.sleep(0.1)
    raise AssertionError(it.rollout(NAME).status)


@virtual_time
async def test_the_pods_are_made_from_the_deployments_template_and_the_deployment_is_left_alone() -> None:
    async with world() as it:
        await deployed(it)
        await until_healthy(it, capacity=3)
        assert sizes(it) == {ONE: 3}
        assert size(it) == 3
        assert "template" not in it.sandbox.get("rollouts", NAME)["spec"]
        assert "selector" not in it.sandbox.get("rollouts", NAME)["spec"]
        assert it.rollout(NAME).status.selector == "app=web"


@virtual_time
async def test_a_changed_template_of_the_deployment_is_a_new_revision() -> None:
    async with world() as it:
        await deployed(it, strategy={"canary": {"steps": [{"setWeight": 34}, {"pause": {}}]}})
        await until_healthy(it)
        change_template(it, TWO)
        await it.until_phase(NAME, "Paused")
        assert sizes(it)[TWO] == 1
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        assert sizes(it) == {ONE: 0, TWO: 3}
        workload = it.sandbox.get("deployments", NAME)["metadata"]["generation"]
        assert it.rollout(NAME).metadata.annotations["rollout.argoproj.io/workload-generation"] == str(workload)
        assert it.rollout(NAME).status.workload_observed_generation == str(workload)


@virtual_time
async def test_on_success_the_deployment_goes_when_the_rollout_is_healthy() -> None:
    async with world() as it:
        await deployed(it, "onsuccess")
        while it.phase(NAME) != "Healthy":
            assert size(it) == 3 or ready(it, of_rollout=True) == 3
            await asyncio.sleep(0.1)
        await it.until(lambda: size(it) == 0)
        assert ready(it, of_rollout=True) == 3
        await it.until(lambda: "ScalingDeployment" in it.event_reasons(NAME))


@virtual_time
async def test_progressively_capacity_is_never_below_the_wanted_number() -> None:
    async with world(profile="real") as it:
        await deployed(it, "progressively")
        seen = set()
        for _ in range(3000):
            assert ready(it, of_rollout=False) + ready(it, of_rollout=True) >= 3
            seen.add(size(it))
            if it.phase(NAME) == "Healthy" and size(it) == 0:
                break
            await asyncio.sleep(0.1)
        assert seen > {0, 3}
        await it.until(lambda: ready(it, of_rollout=False) == 0)


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
@virtual_time
async def test_a_first_revision_that_fails_does_not_keep_the_deployment_for_ever(scale_down: str) -> None:
    async with world() as it:
        it.apply([deployment(image=BROKEN), rollout(scale_down, progressDeadlineSeconds=30)])
        await it.until_phase(NAME, "Degraded")
        assert size(it) == 3
        change_template(it, TWO)
        await until_healthy(it)
        await it.until(lambda: size(it) == 0)
        assert sizes(it)[TWO] == 3


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
@virtual_time
async def test_whoever_goes_back_may_scale_the_deployment_up_again(scale_down: str) -> None:
    async with world() as it:
        await deployed(it, scale_down)
        await it.until(lambda: size(it) == 0)
        it.sandbox.patch("deployments", NAME, {"spec": {"replicas": 3}})
        await it.until(lambda: ready(it, of_rollout=False) == 3)
        it.patch(NAME, {"spec": {"replicas": 0}})
        await it.until(lambda: ready(it, of_rollout=True) == 0)
        it.sandbox.delete("rollouts", NAME)
        await asyncio.sleep(1000)
        assert size(it) == 3
        assert ready(it, of_rollout=False) == 3
        assert sizes(it) == {}


@virtual_time
async def test_a_deleted_rollout_takes_its_pods_along_and_scales_nothing_up() -> None:
    async with world() as it:
        await deployed(it, "onsuccess")
        await it.until(lambda: size(it) == 0)
        it.sandbox.delete("rollouts", NAME)
        await asyncio.sleep(1000)
        assert size(it) == 0
        assert it.sandbox.list("pods") == []


@virtual_time
async def test_a_template_that_moves_into_the_rollout_starts_no_revision() -> None:
    async with world() as it:
        await deployed(it, "onsuccess")
        await it.until(lambda: size(it) == 0)
        await until_healthy(it)
        spec = it.sandbox.get("deployments", NAME)["spec"]
        it.patch(NAME, {"spec": {"workloadRef": None, "template": spec["template"], "selector": spec["selector"]}})
        await it.until(lambda: it.rollout(NAME).status.workload_observed_generation == "")
        await asyncio.sleep(60)
        assert it.phase(NAME) == "Healthy"
        assert sizes(it) == {ONE: 3}
        assert "rollout.argoproj.io/workload-generation" not in it.rollout(NAME).metadata.annotations
        it.sandbox.delete("deployments", NAME)
        await asyncio.sleep(60)
        assert ready(it, of_rollout=True) == 3


@virtual_time
async def test_a_missing_workload_freezes_the_rollout_until_it_is_there() -> None:
    async with world() as it:
        it.apply([rollout()])
        await it.until_phase(NAME, "Degraded")
        assert it.rollout(NAME).status.message == (
            'InvalidSpec: The Rollout "web" is invalid: deployments.apps "default/web" not found'
        )
        it.apply([deployment()])
        await it.until_phase(NAME, "Healthy", seconds=5)


@virtual_time
async def test_a_workload_that_vanishes_takes_no_pod_along() -> None:
    async with world() as it:
        await deployed(it)
        await until_healthy(it)
        it.sandbox.delete("deployments", NAME)
        await it.until_phase(NAME, "Degraded")
        await asyncio.sleep(100)
        assert sizes(it) == {ONE: 3}
        assert ready(it, of_rollout=True) == 3
        owners = [each["metadata"].get("ownerReferences") for each in it.sandbox.list("replicasets")]
        assert all(owners)
        it.apply([deployment()])
        await it.until_phase(NAME, "Healthy")
        assert sizes(it) == {ONE: 3}


@virtual_time
async def test_a_pod_template_and_a_replica_set_serve_as_well() -> None:
    async with world() as it:
        it.apply(
            [
                {
                    "apiVersion": "v1",
                    "kind": "PodTemplate",
                    "metadata": {"name": NAME, "namespace": "default"},
                    "template": template(ONE),
                },
                rollout("onsuccess", "PodTemplate", selector={"matchLabels": {"app": "web"}}),
            ]
        )
        await until_healthy(it)
        it.sandbox.patch("podtemplates", NAME, {"template": template(TWO)})
        await it.until(lambda: sizes(it).get(TWO) == 3)
        it.sandbox.delete("rollouts", NAME)
        it.sandbox.delete("podtemplates", NAME)
        await it.until(lambda: not it.sandbox.list("pods"))
        source = {**deployment(0, TWO), "kind": "ReplicaSet"}
        it.apply([source, rollout("onsuccess", "ReplicaSet")])
        await until_healthy(it)
        assert sizes(it) == {TWO: 3}
        assert it.sandbox.get("replicasets", NAME)["spec"]["replicas"] == 0


@virtual_time
async def test_a_restart_finds_the_pods_by_the_workloads_selector() -> None:
    async with world() as it:
        await deployed(it, "onsuccess")
        await it.until(lambda: size(it) == 0 and ready(it, of_rollout=False) == 0)
        await asyncio.sleep(5)
        before = {pod["metadata"]["name"] for pod in it.sandbox.list("pods")}
        it.patch(NAME, {"spec": {"restartAt": "2026-01-01T00:20:00Z"}})
        await it.until(lambda: it.rollout(NAME).status.restarted_at is not None)
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: not before & {pod["metadata"]["name"] for pod in it.sandbox.list("pods")})
        assert size(it) == 0


@virtual_time
async def test_nothing_is_written_while_nothing_changes() -> None:
    async with world() as it:
        await deployed(it, "progressively")
        await it.until(lambda: size(it) == 0)
        await asyncio.sleep(60)
        before = len(it.writes())
        await asyncio.sleep(4 * 3600)
        assert len(it.writes()) == before


@virtual_time
async def test_with_recreate_pods_of_deployment_and_rollout_never_meet() -> None:
    async with world(profile="real") as it:
        await deployed(it, "progressively", strategy={"recreate": {}})
        for _ in range(3000):
            kinds = {"rollouts-pod-template-hash" in pod["metadata"]["labels"] for pod in it.sandbox.list("pods")}
            assert len(kinds) <= 1
            if it.phase(NAME) == "Healthy":
                break
            await asyncio.sleep(0.1)
        assert sizes(it) == {ONE: 3}
        assert size(it) == 0


# ---- Accidents -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_deployment_that_may_not_be_scaled_holds_up_no_release_and_is_scaled_when_it_may() -> None:
    async with world() as it:
        fault = it.sandbox.faults.add(Answer(403), verbs="update", resource="deployments", client="rollouts-controller")
        await deployed(it, "onsuccess")
        await until_healthy(it, capacity=3)
        change_template(it, TWO)
        await it.until(lambda: sizes(it).get(TWO) == 3)
        await until_healthy(it)
        assert size(it) == 3
        it.sandbox.faults.remove(fault)
        await it.until(lambda: size(it) == 0, seconds=30)


@virtual_time
async def test_a_controller_that_crashes_again_and_again_keeps_the_capacity() -> None:
    async with world(profile="real") as it:
        await deployed(it, "progressively")
        for turn in range(40):
            await asyncio.sleep(0.05 + 0.07 * (turn % 7))
            await it.crash_controller()
            assert ready(it, of_rollout=False) + ready(it, of_rollout=True) >= 3
            it.start_controller()
        await until_healthy(it, capacity=3)
        await it.until(lambda: size(it) == 0)


@virtual_time
async def test_late_news_of_the_deployment_make_nothing_happen_twice() -> None:
    async with world() as it:
        it.sandbox.faults.add(DelayEvents(5), verbs="watch", resource="deployments", client="rollouts-controller")
        await deployed(it, "onsuccess")
        await it.until(lambda: size(it) == 0)
        await asyncio.sleep(60)
        ours = [each for each in it.sandbox.request_log if each.client == "rollouts-controller"]
        assert [each.verb for each in ours if each.resource == "deployments" and each.is_write] == ["update"]
        assert it.event_reasons(NAME).count("ScalingDeployment") == 1
