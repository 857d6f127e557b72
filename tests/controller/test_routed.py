"""Canaries with a traffic router, as the controller around the plans carries them out."""

import asyncio
from typing import Any

import pytest
from tests.controller.knobs import KNOB_DEFINITION, knob, knob_routers
from tests.kube.virtual_time import virtual_time

from prograde.sandbox.faults import Answer, Delay
from prograde.simulator.world import World, world

NAME = "cart"
BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
CONTROLLER = "rollouts-controller"


def manifests(**canary: Any) -> list[dict[str, Any]]:
    """A Rollout of four pods with a router, and its Services."""
    labels = {"app": NAME}
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"{NAME}-{role}"},
            "spec": {"selector": labels, "ports": [{"port": 80}]},
        }
        for role in ("stable", "canary")
    ]
    strategy = {
        "stableService": f"{NAME}-stable",
        "canaryService": f"{NAME}-canary",
        "trafficRouting": {},
        "steps": [{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {"duration": "10s"}}],
        **canary,
    }
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": BLUE}]},
            },
            "strategy": {"canary": strategy},
        },
    }
    return [*services, rollout]


def weight(it: World) -> int:
    found: int = it.sandbox.get("knobs", NAME)["spec"]["weight"]
    return found


def requests(it: World, *, verbs: str, resource: str = "knobs") -> int:
    return sum(
        1
        for each in it.sandbox.request_log
        if each.resource == resource and each.client == CONTROLLER and each.verb in verbs.split()
    )


async def installed(it: World) -> None:
    it.apply([KNOB_DEFINITION, knob(), *manifests()])
    await it.until_phase(NAME, "Healthy")


@virtual_time
async def test_a_canary_moves_its_weight_and_ends_without_any() -> None:
    async with world(routers_of=knob_routers) as it:
        await installed(it)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert weight(it) == 25
        assert it.sizes() == {BLUE: 4, YELLOW: 1}
        it.promote(NAME)
        await it.until(lambda: weight(it) == 75)
        await it.until_phase(NAME, "Healthy")
        assert weight(it) == 0
        # The old revision keeps its pods for as long as the mesh may still know them.
        await it.until(lambda: it.sizes() == {BLUE: 0, YELLOW: 4})
        turned = [each["message"] for each in it.sandbox.events(f"rollout/{NAME}") if each["reason"] == "Turned"]
        assert turned == ["Knob cart to 25", "Knob cart to 75"], "after so many events the rest is swallowed"
        assert requests(it, verbs="list") == 1
        assert requests(it, verbs="get") == 0


@virtual_time
async def test_nothing_is_listed_or_watched_for_routers_that_no_rollout_has() -> None:
    async with world() as it:
        it.apply([each for each in manifests() if each["kind"] == "Service"])
        plain = manifests()[-1]
        del plain["spec"]["strategy"]["canary"]["trafficRouting"]
        it.apply(plain)
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        seen = {each.resource for each in it.sandbox.request_log if each.client == CONTROLLER and not each.is_write}
        assert seen == {"rollouts", "replicasets", "services", "analysisruns", "experiments"}


@virtual_time
async def test_a_kind_that_is_installed_later_is_used_without_a_restart() -> None:
    async with world(routers_of=knob_routers) as it:
        it.apply(manifests())
        await asyncio.sleep(120)
        assert it.metrics.reconcile_error.value("default", NAME) > 3, "every pass counts as failed"
        it.apply([KNOB_DEFINITION, knob()])
        await it.until_phase(NAME, "Healthy", seconds=30)
        await asyncio.sleep(30)
        failures = it.metrics.reconcile_error.value("default", NAME)
        it.set_image(NAME, YELLOW)
        await it.until(lambda: weight(it) == 25)
        assert it.metrics.reconcile_error.value("default", NAME) == failures


@virtual_time
async def test_a_weight_that_somebody_changes_is_put_right_at_once() -> None:
    async with world(routers_of=knob_routers) as it:
        await installed(it)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        it.sandbox.patch("knobs", NAME, {"spec": {"weight": 0}})
        await it.until(lambda: weight(it) == 25, seconds=1)


@virtual_time
async def test_an_object_that_is_deleted_stops_the_canary_and_its_return_lets_it_go_on() -> None:
    async with world(routers_of=knob_routers) as it:
        await installed(it)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        it.sandbox.delete("knobs", NAME)
        it.promote(NAME)
        await asyncio.sleep(60)
        assert it.sizes() == {BLUE: 4, YELLOW: 1}, "nothing is scaled while traffic cannot be moved"
        it.apply(knob())
        await it.until(lambda: weight(it) in (25, 75), seconds=1)
        await it.until_phase(NAME, "Healthy")


@virtual_time
async def test_a_conflict_on_the_object_is_settled_by_the_next_snapshot_without_an_event() -> None:
    async with world(routers_of=knob_routers) as it:
        await installed(it)
        fault = it.sandbox.faults.add(Answer(409), verbs="patch", resource="knobs", times=3)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert fault.hits == 3
        assert weight(it) == 25
        assert "TrafficRoutingError" not in it.event_reasons(NAME)


@virtual_time
async def test_a_refused_change_of_the_object_is_told_and_nothing_is_scaled_meanwhile() -> None:
    async with world(routers_of=knob_routers) as it:
        await installed(it)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        fault = it.sandbox.faults.add(Answer(500), verbs="patch", resource="knobs")
        it.promote(NAME)
        await it.until(lambda: fault.hits > 5)
        events = [each for each in it.sandbox.events(f"rollout/{NAME}") if each["reason"] == "TrafficRoutingError"]
        assert events[0]["message"] == "cannot turn Knob cart: Internal error occurred: a fault was injected"
        assert events[0]["type"] == "Warning"
        assert weight(it) == 25
        scaled = it.sizes()
        await asyncio.sleep(60)
        assert it.sizes() == scaled
        it.sandbox.faults.remove(fault)
        await it.until_phase(NAME, "Healthy")
        assert it.event_reasons(NAME).count("TrafficRoutingError") == 1, "the same event is counted, not repeated"


@virtual_time
async def test_a_crash_between_the_weight_and_the_status_changes_nothing_for_anybody() -> None:
    async with world(routers_of=knob_routers) as it:
        await installed(it)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        fault = it.sandbox.faults.add(Delay(3600), verbs="patch", resource="rollouts/status")
        it.patch(NAME, {"status": {"pauseConditions": None}}, "status")
        await it.until(lambda: weight(it) == 75 or fault.hits > 0)
        await asyncio.sleep(5)
        await it.crash_controller()
        it.sandbox.faults.heal()
        it.start_controller()
        await it.until_phase(NAME, "Healthy")
        assert weight(it) == 0


@virtual_time
async def test_a_permission_that_is_missing_is_told_by_an_event_with_the_servers_words() -> None:
    async with world(routers_of=knob_routers) as it:
        fault = it.sandbox.faults.add(Answer(403), resource="knobs", client=CONTROLLER)
        it.apply([KNOB_DEFINITION, knob(), *manifests()])
        await it.until(lambda: "TrafficRoutingError" in it.event_reasons(NAME))
        (event,) = [each for each in it.sandbox.events(f"rollout/{NAME}") if each["reason"] == "TrafficRoutingError"]
        assert event["message"].startswith("get knobs.example.com default/cart: ")
        it.sandbox.faults.remove(fault)
        await it.until_phase(NAME, "Healthy", seconds=60)


@virtual_time
async def test_an_object_that_cannot_be_watched_is_read_in_every_pass_and_the_release_comes_through() -> None:
    async with world(routers_of=knob_routers) as it:
        it.sandbox.faults.add(Answer(403), verbs="watch", resource="knobs", client=CONTROLLER)
        await installed(it)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused", seconds=60)
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy", seconds=60)
        assert requests(it, verbs="get") > 3


@pytest.mark.parametrize("stage", ["Healthy", "Paused"])
def test_a_routed_rollout_that_has_nothing_to_do_writes_and_reads_nothing(stage: str) -> None:
    @virtual_time
    async def check() -> None:
        async with world(routers_of=knob_routers) as it:
            await installed(it)
            if stage == "Paused":
                it.set_image(NAME, YELLOW)
                await it.until_phase(NAME, "Paused")
            await asyncio.sleep(60)
            it.sandbox.request_log.clear()
            await asyncio.sleep(3600)
            seen = [
                each for each in it.sandbox.request_log if each.client == CONTROLLER and each.verb not in ("watch",)
            ]
            assert seen == []

    check()
