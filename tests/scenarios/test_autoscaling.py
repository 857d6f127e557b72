"""What an autoscaler does, through the scale sub-resource, while a release goes on."""

import asyncio
from typing import Any

from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.simulator.world import World, world

BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
CANARY, BLUE_GREEN = "canary-demo", "bluegreen-demo"


def scale(it: World, name: str, replicas: int) -> None:
    """Scale as an autoscaler does, which knows nothing but the sub-resource."""
    it.patch(name, {"spec": {"replicas": replicas}}, "scale")


def scale_of(it: World, name: str) -> dict[str, Any]:
    found: dict[str, Any] = it.sandbox.get("rollouts", name)
    status = found["status"]
    return {"replicas": status["HPAReplicas"], "selector": status["selector"]}


def selected(it: World, selector: str) -> int:
    """Return how many pods an autoscaler would look at."""
    wanted = dict(part.split("=") for part in selector.split(","))
    return sum(wanted.items() <= pod["metadata"]["labels"].items() for pod in it.sandbox.list("pods"))


@virtual_time
async def test_a_canary_at_a_pause_follows_in_its_proportion_and_keeps_its_step() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(CANARY, "Healthy")
        it.set_image(CANARY, YELLOW)
        await it.until_phase(CANARY, "Paused")
        scale(it, CANARY, 10)
        await it.until(lambda: it.sizes() == {BLUE: 8, YELLOW: 2})
        await it.until_phase(CANARY, "Paused")
        assert it.rollout(CANARY).status.current_step_index == 1
        await it.until(lambda: scale_of(it, CANARY)["replicas"] == 10)
        assert selected(it, scale_of(it, CANARY)["selector"]) == 10
        scale(it, CANARY, 5)
        await it.until(lambda: it.sizes() == {BLUE: 4, YELLOW: 1})
        it.promote(CANARY)
        await it.until_phase(CANARY, "Healthy")
        assert it.sizes() == {BLUE: 0, YELLOW: 5}


@virtual_time
async def test_a_blue_green_autoscaler_sees_the_pods_that_serve_and_no_preview() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "bluegreen.yaml")
        await it.until_phase(BLUE_GREEN, "Healthy")
        size = it.rollout(BLUE_GREEN).spec.replicas
        assert size is not None
        it.patch(BLUE_GREEN, {"spec": {"strategy": {"blueGreen": {"previewReplicaCount": 1}}}})
        it.set_image(BLUE_GREEN, YELLOW)
        await it.until_phase(BLUE_GREEN, "Paused")
        assert it.sizes() == {BLUE: size, YELLOW: 1}
        scale(it, BLUE_GREEN, size + 3)
        await it.until(lambda: it.sizes()[BLUE] == size + 3)
        await it.until(lambda: scale_of(it, BLUE_GREEN)["replicas"] == size + 3)
        assert selected(it, scale_of(it, BLUE_GREEN)["selector"]) == size + 3
        assert it.sizes()[YELLOW] == 1
        it.promote(BLUE_GREEN)
        await it.until(lambda: it.sizes()[YELLOW] == size + 3)
        await it.until_phase(BLUE_GREEN, "Healthy")


@virtual_time
async def test_scaling_to_nothing_and_back_is_no_release() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase(CANARY, "Healthy")
        duration = it.rollout(CANARY).status.duration
        scale(it, CANARY, 0)
        await it.until(lambda: not it.sandbox.list("pods"))
        await it.until_phase(CANARY, "Healthy")
        scale(it, CANARY, 3)
        await it.until(lambda: it.rollout(CANARY).status.available_replicas == 3)
        await it.until_phase(CANARY, "Healthy")
        await asyncio.sleep(60)
        status = it.rollout(CANARY).status
        assert (status.duration, status.current_step_index) == (duration, 8)
        assert it.sizes() == {BLUE: 3}
