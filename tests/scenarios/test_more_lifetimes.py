"""What happens at the edges of a Rollout's life: seen first, seen again, and without a Service it once used."""

import asyncio

from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.simulator.world import world

NAME = "bluegreen-demo"
HASH = "rollouts-pod-template-hash"
FIRST_SEEN = "RolloutAddedToInformer"


@virtual_time
async def test_a_rollout_is_announced_when_it_is_seen_first_with_its_full_name() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "bluegreen.yaml")
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: FIRST_SEEN in it.event_reasons(NAME), seconds=10)
        (event,) = [each for each in it.sandbox.events(f"rollout/{NAME}") if each["reason"] == FIRST_SEEN]
        assert event["message"] == f"Rollout resource added to informer: default/{NAME}"


@virtual_time
async def test_a_controller_that_starts_over_an_idle_rollout_writes_nothing_to_it() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "bluegreen.yaml")
        await it.until_phase(NAME, "Healthy")
        await it.stop_controller()
        version = it.sandbox.get("rollouts", NAME)["metadata"]["resourceVersion"]
        it.start_controller()
        await it.until(lambda: it.event_reasons(NAME).count(FIRST_SEEN) == 2, seconds=60)
        await asyncio.sleep(60)
        assert it.sandbox.get("rollouts", NAME)["metadata"]["resourceVersion"] == version


@virtual_time
async def test_a_preview_service_that_is_taken_out_of_the_spec_loses_hash_and_mark() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "bluegreen.yaml")
        await it.until_phase(NAME, "Healthy")
        preview = f"{NAME}-preview"
        assert HASH in it.sandbox.get("services", preview)["spec"]["selector"]
        it.patch(NAME, {"spec": {"strategy": {"blueGreen": {"previewService": None}}}})
        await it.until(lambda: HASH not in it.sandbox.get("services", preview)["spec"]["selector"], seconds=60)
        annotations = it.sandbox.get("services", preview)["metadata"].get("annotations") or {}
        assert "argo-rollouts.argoproj.io/managed-by-rollouts" not in annotations
        assert HASH in it.sandbox.get("services", f"{NAME}-active")["spec"]["selector"]
        await it.until_phase(NAME, "Healthy")
