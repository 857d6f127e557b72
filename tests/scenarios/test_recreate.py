"""Releases by Recreate against the embedded cluster: the two versions never meet."""

import asyncio
from typing import Any

from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.simulator.loop import wall_clock
from prograde.simulator.world import World, world

BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
BROKEN = "argoproj/rollouts-demo:does-not-exist"
NAME = "recreate-demo"


def images(it: World) -> set[str]:
    """Return the images of all pods that exist, terminating ones among them."""
    return {pod["spec"]["containers"][0]["image"] for pod in it.sandbox.list("pods")}


async def watched(it: World, phase: str, allowed: int = 1) -> None:
    """Let time pass until the Rollout is in the phase, and see to it that no two versions exist at any time."""
    for _ in range(3000):
        assert len(images(it)) <= allowed, images(it)
        if it.phase(NAME) == phase:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(it.rollout(NAME).status)


def slow_to_end(it: World, seconds: int) -> dict[str, Any]:
    """Return a patch that makes pods take so long to stop."""
    annotations = {"sandbox.prograde.io/termination": f"{seconds}s"}
    return {
        "spec": {
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {"terminationGracePeriodSeconds": 2 * seconds},
            }
        }
    }


@virtual_time
async def test_no_pod_of_the_new_version_exists_before_the_last_old_one_has_ended() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "recreate.yaml")
        it.patch(NAME, slow_to_end(it, 40))
        await it.until_phase(NAME, "Healthy")
        assert it.sizes() == {BLUE: 2}
        it.set_image(NAME, YELLOW)
        await it.until(lambda: it.sizes()[BLUE] == 0)
        assert it.sandbox.list("replicasets")[0]["status"]["replicas"] == 0
        await asyncio.sleep(20)
        assert it.sizes()[YELLOW] == 0
        assert images(it) == {BLUE}
        assert it.rollout(NAME).status.message == "more replicas need to be updated"
        await watched(it, "Healthy")
        assert it.sizes() == {BLUE: 0, YELLOW: 2}


@virtual_time
async def test_a_version_that_does_not_come_up_makes_room_for_the_one_before() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "recreate.yaml")
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, BROKEN)
        await watched(it, "Degraded")
        await it.until(lambda: it.sizes()[BLUE] == 2)
        await it.until(lambda: it.rollout(NAME).status.available_replicas == 2)
        assert it.rollout(NAME).status.abort
        assert images(it) == {BLUE}
        assert "RolloutAborted" in it.event_reasons(NAME)


@virtual_time
async def test_abort_retry_and_undo_are_the_same_move() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "recreate.yaml")
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, BROKEN)
        await it.until(lambda: it.sizes().get(BROKEN) == 2)
        it.abort(NAME)
        await watched(it, "Degraded")
        await it.until(lambda: it.rollout(NAME).status.available_replicas == 2)
        it.retry(NAME)
        await it.until(lambda: images(it) == {BROKEN})
        it.set_image(NAME, BLUE)
        await watched(it, "Healthy")
        assert it.sizes() == {BLUE: 2, BROKEN: 0}


@virtual_time
async def test_a_pause_keeps_the_old_version_until_it_is_taken_back() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "recreate.yaml")
        await it.until_phase(NAME, "Healthy")
        it.patch(NAME, {"spec": {"paused": True}})
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        await asyncio.sleep(60)
        assert images(it) == {BLUE}
        it.patch(NAME, {"spec": {"paused": False, "replicas": 3}})
        await it.until(lambda: it.sizes()[BLUE] == 0)
        await watched(it, "Healthy")
        assert it.sizes() == {BLUE: 0, YELLOW: 3}


@virtual_time
async def test_a_controller_that_crashes_in_between_starts_nothing_too_early() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "recreate.yaml")
        it.patch(NAME, slow_to_end(it, 30))
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, YELLOW)
        await it.until(lambda: it.sizes()[BLUE] == 0)
        await it.crash_controller()
        await asyncio.sleep(3)
        it.start_controller()
        await watched(it, "Healthy")
        assert it.sizes() == {BLUE: 0, YELLOW: 2}


@virtual_time
async def test_a_restart_takes_all_pods_at_once() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "recreate.yaml")
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(30)
        before = {pod["metadata"]["name"] for pod in it.sandbox.list("pods")}
        it.patch(NAME, {"spec": {"restartAt": f"{wall_clock():%Y-%m-%dT%H:%M:%SZ}"}})
        await it.until(lambda: it.rollout(NAME).status.restarted_at is not None)
        evicted = [each.path for each in it.sandbox.request_log if each.path.endswith("/eviction")]
        assert len(evicted) == 2
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: not before & {pod["metadata"]["name"] for pod in it.sandbox.list("pods")})


@virtual_time
async def test_nothing_is_written_while_nothing_changes() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "recreate.yaml")
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, YELLOW)
        await watched(it, "Healthy", allowed=1)
        await asyncio.sleep(60)
        before = len(it.writes())
        await asyncio.sleep(4 * 3600)
        assert len(it.writes()) == before
