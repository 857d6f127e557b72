"""What has hurt users of controllers like this one, replayed, with the outcome that they would have wanted."""

import asyncio

from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.sandbox.faults import Answer, DelayEvents
from prograde.simulator.invariants import Invariants
from prograde.simulator.world import World, world

BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
BROKEN, NEVER_READY = "argoproj/rollouts-demo:does-not-exist", "argoproj/rollouts-demo:never-ready"
NAME = "canary-demo"


async def paused_at_first_step(it: World) -> None:
    it.apply(EXAMPLES / "canary.yaml")
    await it.until_phase(NAME, "Healthy")
    it.set_image(NAME, YELLOW)
    await it.until_phase(NAME, "Paused")


@virtual_time
async def test_a_promotion_is_never_missed_although_events_are_late_and_writes_conflict() -> None:
    # why: paused for ever after a successful promote
    async with world() as it:
        await paused_at_first_step(it)
        it.sandbox.faults.add(DelayEvents(3), verbs="watch", client="rollouts-controller")
        it.sandbox.faults.add(Answer(409), verbs="patch", times=6, client="rollouts-controller")
        it.sandbox.api.end_watches()
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy", seconds=300)


@virtual_time
async def test_size_and_template_changed_together_in_a_pause_lead_to_a_new_attempt() -> None:
    # why: stuck, because the new ReplicaSet was not found
    async with world() as it:
        await paused_at_first_step(it)
        containers = it.sandbox.get("rollouts", NAME)["spec"]["template"]["spec"]["containers"]
        template = {"spec": {"containers": [{**containers[0], "image": "argoproj/rollouts-demo:red"}]}}
        it.patch(NAME, {"spec": {"replicas": 8, "template": template}})
        await it.until(lambda: it.sizes().get("argoproj/rollouts-demo:red", 0) == 2, seconds=120)
        await it.until_phase(NAME, "Paused", seconds=60)


@virtual_time
async def test_a_second_broken_version_is_degraded_like_the_first() -> None:
    # why: the second one stayed Progressing past its deadline
    async with world() as it:
        await paused_at_first_step(it)
        it.set_image(NAME, BROKEN)
        await it.until_phase(NAME, "Degraded", seconds=60)
        it.set_image(NAME, NEVER_READY)
        await it.until_phase(NAME, "Progressing", seconds=10)
        await it.until_phase(NAME, "Degraded", seconds=60)


@virtual_time
async def test_a_fix_can_be_rolled_out_although_the_stable_version_is_broken() -> None:
    # why: it waited for the broken pods
    async with world() as it:
        it.apply((EXAMPLES / "canary.yaml").read_text().replace(BLUE, BROKEN))
        await it.until_phase(NAME, "Degraded", seconds=60)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused", seconds=60)
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy", seconds=120)


@virtual_time
async def test_two_controllers_at_once_end_where_one_does() -> None:
    # why: an old leader kept working
    async with world() as it:
        await paused_at_first_step(it)
        it.start_rival()
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy", seconds=300)
        await it.crash_rival()
        assert it.sizes() == {BLUE: 0, YELLOW: 5}
        assert it.rollout(NAME).status.collision_count is None


@virtual_time
async def test_an_autoscaler_at_work_in_a_pause_never_takes_capacity_away() -> None:
    # why: stable was scaled down while the canary lacked pods
    async with world() as it:
        invariants = Invariants(it.sandbox)
        await paused_at_first_step(it)
        for size in (10, 3, 7, 1, 5):
            with invariants.by_user():
                it.patch(NAME, {"spec": {"replicas": size}})
            await asyncio.sleep(3)
        invariants.assert_held()
        assert sum(it.sizes().values()) in (5, 6)
        assert it.rollout(NAME).status.current_step_index == 1
