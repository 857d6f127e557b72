"""What the reconciler of Rollouts adds to the plans: writes of mere counts wait a moment for more of the kind."""

import asyncio

from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.controller.rollouts import COUNTS_HELD_SECONDS
from prograde.sandbox.faults import Answer, DelayEvents
from prograde.simulator.world import World, world

NAME = "canary-demo"


def status_writes(it: World) -> int:
    return sum(1 for each in it.sandbox.request_log if each.resource == "rollouts/status" and each.is_write)


@virtual_time
async def test_pods_that_come_up_one_by_one_are_not_a_status_write_each() -> None:
    async with world(profile="real") as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: it.rollout(NAME).status.available_replicas == 5)
        before = status_writes(it)
        it.patch(NAME, {"spec": {"replicas": 25}})
        await it.until(lambda: it.rollout(NAME).status.available_replicas == 25)
        assert status_writes(it) - before <= 6, "twenty pods became ready at twenty different moments"


@virtual_time
async def test_counts_that_stay_as_they_are_reach_the_status_within_the_hold() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        it.patch(NAME, {"spec": {"replicas": 6}})
        await it.until(
            lambda: sum(each["status"].get("readyReplicas", 0) for each in it.sandbox.list("replicasets")) == 6
        )
        await it.until(lambda: it.rollout(NAME).status.ready_replicas == 6, seconds=COUNTS_HELD_SECONDS + 0.5)


@virtual_time
async def test_every_release_is_measured_once_also_one_that_another_took_the_place_of() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        before = it.metrics.duration.count("Promoted")
        it.set_image(NAME, "argoproj/rollouts-demo:yellow")
        await it.until_phase(NAME, "Paused")
        await asyncio.sleep(5)  # starts are kept in whole seconds
        it.set_image(NAME, "argoproj/rollouts-demo:green")
        await it.until(lambda: it.metrics.duration.count("Superseded") == 1)
        await it.until_phase(NAME, "Paused")
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        assert it.metrics.duration.count("Promoted") == before + 1
        assert it.metrics.duration.count("Superseded") == 1


@virtual_time
async def test_a_pass_over_caches_that_have_not_seen_its_own_writes_does_nothing_twice() -> None:
    async with world() as it:
        it.sandbox.faults.add(DelayEvents(5), verbs="watch", resource="replicasets", client="rollouts-controller")
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        ours = [each for each in it.sandbox.request_log if each.client == "rollouts-controller" and each.is_write]
        done = [each.verb for each in ours if each.resource == "replicasets" and each.status < 300]
        assert done == ["create", "patch"]
        assert it.event_reasons(NAME).count("ScalingReplicaSet") == 1


@virtual_time
async def test_a_release_whose_last_write_fails_is_measured_once() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(5)  # starts are kept in whole seconds
        before = it.metrics.duration.count("Promoted")
        it.set_image(NAME, "argoproj/rollouts-demo:yellow")
        await it.until_phase(NAME, "Paused")
        it.promote(NAME)
        await it.until(lambda: it.sizes()["argoproj/rollouts-demo:blue"] == 0)
        it.sandbox.faults.add(Answer(500), verbs="patch", resource="rollouts/status", times=8)
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(1000)
        assert it.metrics.duration.count("Promoted") == before + 1
