"""Whole canaries behind Istio, in virtual time: no request ever meets a version without pods for it."""

import asyncio
import json
import logging
from typing import Any

import pytest
from tests.kube.virtual_time import virtual_time
from tests.scenarios.istio import (
    HASH,
    IMAGE,
    NAME,
    PING_PONG,
    Traffic,
    destination_rule,
    http,
    image_of,
    istio_world,
    messages,
    rollout,
    service,
    service_images,
    split_by_services,
    split_by_subsets,
    subset_images,
    virtual_service,
    weights,
)
from tests.scenarios.manifests import EXAMPLES

from prograde.sandbox.cluster import Sandbox
from prograde.simulator.loop import wall_clock
from prograde.simulator.scenery import definitions
from prograde.simulator.world import World, world

BLUE, YELLOW, RED, BROKEN = (IMAGE.format(tag) for tag in ("blue", "yellow", "red", "does-not-exist"))
STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": "5s"}}]
HEADER = {
    "setHeaderRoute": {"name": "h", "match": [{"headerName": "x-canary", "headerValue": {"exact": "yes"}}]},
}
MIRROR = {"setMirrorRoute": {"name": "m", "match": [{"path": {"prefix": "/"}}], "percentage": 50}}


async def started(it: World, objects: list[dict[str, Any]]) -> Traffic:
    it.apply(objects)
    traffic = Traffic(it)
    await it.until_phase(NAME, "Healthy")
    return traffic


async def updated(it: World, image: str, phase: str = "Paused") -> None:
    it.set_image(NAME, image)
    await it.until_phase(NAME, phase)


@virtual_time
async def test_the_example_goes_through_its_steps() -> None:
    name = "istio-demo"
    async with istio_world() as it:
        it.apply(EXAMPLES / "canary-istio.yaml")

        def routes() -> dict[str, list[int]]:
            found = it.sandbox.get("virtualservices", name)["spec"]["http"]
            return {route["name"]: [target["weight"] for target in route["route"]] for route in found}

        await it.until_phase(name, "Healthy")
        before = it.sandbox.get("virtualservices", name)["spec"]
        it.set_image(name, YELLOW)
        await it.until_phase(name, "Paused")
        assert it.sizes() == {BLUE: 5, YELLOW: 1}
        assert routes() == {"istio-demo-header": [100], "primary": [100, 0]}
        it.promote(name)
        await it.until(lambda: routes() == {"istio-demo-header": [100], "primary": [80, 20]})
        await it.until(lambda: routes() == {"istio-demo-header": [100], "primary": [40, 60]})
        assert it.sizes() == {BLUE: 5, YELLOW: 3}
        await it.until_phase(name, "Healthy")
        assert it.sandbox.get("virtualservices", name)["spec"] == before
        await it.until(lambda: it.sizes() == {BLUE: 0, YELLOW: 5})


@virtual_time
async def test_a_canary_split_by_services_keeps_every_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with istio_world() as it:
        traffic = await started(it, split_by_services(STEPS))
        assert service_images(it, "web-stable", "web-canary") == ["blue", "blue"]
        await updated(it, YELLOW)
        assert weights(it) == [80, 20]
        assert service_images(it, "web-stable", "web-canary") == ["blue", "yellow"]
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: it.sizes() == {BLUE: 0, YELLOW: 5})
        assert weights(it) == [100, 0]
        assert service_images(it, "web-stable", "web-canary") == ["yellow", "yellow"]
        assert traffic.history == [0, 20, 60, 100, 0]
        assert traffic.lost == []
        assert messages(caplog, "Updated VirtualService") == [
            f"VirtualService `web` set to desiredWeight '{weight}'" for weight in (20, 60, 100, 0)
        ]


@virtual_time
async def test_a_canary_split_by_subsets_keeps_every_request() -> None:
    async with istio_world() as it:
        traffic = await started(it, split_by_subsets(STEPS))
        assert subset_images(it) == {"stable": "blue", "canary": "blue"}
        await updated(it, YELLOW)
        assert weights(it) == [80, 20]
        assert subset_images(it) == {"stable": "blue", "canary": "yellow"}
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: it.sizes() == {BLUE: 0, YELLOW: 5})
        assert subset_images(it) == {"stable": "yellow", "canary": "yellow"}
        assert traffic.history == [0, 20, 60, 100, 0]
        assert traffic.lost == []
        assert it.sandbox.get("destinationrules", NAME)["spec"]["subsets"][1]["trafficPolicy"] == {}


@virtual_time
async def test_nothing_is_written_while_nothing_changes() -> None:
    async with istio_world() as it:
        await started(it, split_by_subsets([HEADER, MIRROR, *STEPS], managed=["h", "m"]))
        await updated(it, YELLOW)
        await asyncio.sleep(60)
        before = len(it.writes())
        await asyncio.sleep(4 * 3600)
        assert len(it.writes()) == before
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(120)
        before = len(it.writes())
        await asyncio.sleep(4 * 3600)
        assert len(it.writes()) == before


@pytest.mark.parametrize("split", [split_by_services, split_by_subsets])
def test_a_third_version_takes_the_canary_over_without_its_weight(split: Any) -> None:
    """The canary never leads to the third version's pods before there are some, and gets their share only then."""

    @virtual_time
    async def scenario() -> None:
        async with istio_world() as it:
            traffic = await started(it, split([{"setWeight": 40}, {"pause": {}}, {"setWeight": 80}, {"pause": {}}]))
            await updated(it, YELLOW)
            assert weights(it) == [60, 40]
            it.set_image(NAME, RED)
            await it.until(lambda: it.sizes().get(RED) == 2 and it.phase(NAME) == "Paused")
            assert weights(it) == [60, 40]
            await it.until(lambda: it.sizes()[YELLOW] == 0)
            assert traffic.history == [0, 40, 0, 40]
            assert traffic.switched_with_weight == 0
            assert traffic.lost == []

    scenario()


@pytest.mark.parametrize("split", [split_by_services, split_by_subsets])
def test_an_abort_returns_the_traffic_before_the_pods_go(split: Any) -> None:
    @virtual_time
    async def scenario() -> None:
        async with istio_world() as it:
            objects = split([HEADER, *STEPS], managed=["h"], abortScaleDownDelaySeconds=10)
            traffic = await started(it, objects)
            await updated(it, YELLOW)
            assert weights(it) == [80, 20]
            assert [route.get("name") for route in http(it)] == ["h", "primary"]
            it.abort(NAME)
            await it.until_phase(NAME, "Degraded")
            assert weights(it) == [100, 0]
            assert [route.get("name") for route in http(it)] == ["primary"]
            assert it.sizes()[YELLOW] == 1
            await it.until(lambda: it.sizes()[YELLOW] == 0, seconds=30)
            assert traffic.lost == []
            it.retry(NAME)
            await it.until_phase(NAME, "Paused")
            assert weights(it) == [80, 20]
            assert [route.get("name") for route in http(it)] == ["h", "primary"]
            assert traffic.lost == []

    scenario()


@virtual_time
async def test_a_broken_version_gets_no_traffic() -> None:
    async with istio_world() as it:
        objects = split_by_subsets(STEPS)
        objects[-1]["spec"]["progressDeadlineSeconds"] = 30
        traffic = await started(it, objects)
        await updated(it, BROKEN, phase="Degraded")
        assert weights(it) == [100, 0]
        assert traffic.history == [0]
        await updated(it, YELLOW)
        assert weights(it) == [80, 20]
        assert traffic.lost == []


@virtual_time
async def test_a_broken_version_is_degraded_although_a_stable_pod_was_missing_when_it_came() -> None:
    """Its subset could not be switched before it got a pod, and that pod never becomes available."""
    async with istio_world() as it:
        objects = split_by_subsets(STEPS)
        objects[-1]["spec"]["progressDeadlineSeconds"] = 30
        traffic = await started(it, objects)
        await asyncio.sleep(5)
        it.sandbox.delete("pods", it.sandbox.list("pods")[0]["metadata"]["name"])
        await updated(it, BROKEN, phase="Degraded")
        assert traffic.history == [0]
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert weights(it) == [80, 20]


@virtual_time
async def test_header_and_mirror_routes_come_and_go_with_their_steps(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    steps = [{"setCanaryScale": {"weight": 20}}, HEADER, MIRROR, {"pause": {}}, {"setWeight": 20}, {"pause": {}},
             {"setHeaderRoute": {"name": "h"}}, {"pause": {}}]  # fmt: skip
    async with istio_world() as it:
        traffic = await started(it, split_by_services(steps, managed=["m", "h"]))
        await updated(it, YELLOW)
        mirrored, by_header, primary = http(it)
        assert by_header == {
            "name": "h",
            "match": [{"headers": {"x-canary": {"exact": "yes"}}}],
            "route": [{"destination": {"host": "web-canary"}, "weight": 100}],
        }
        assert mirrored == {
            "name": "m",
            "match": [{"uri": {"prefix": "/"}}],
            "route": primary["route"],
            "mirror": {"host": "web-canary"},
            "mirrorPercentage": {"value": 50},
        }
        it.promote(NAME)
        await it.until(lambda: it.rollout(NAME).status.current_step_index == 5 and it.phase(NAME) == "Paused")
        assert weights(it) == weights(it, "m") == [80, 20]
        it.promote(NAME)
        await it.until(lambda: it.rollout(NAME).status.current_step_index == 7 and it.phase(NAME) == "Paused")
        assert [route["name"] for route in http(it)] == ["m", "primary"]
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        assert [route["name"] for route in http(it)] == ["primary"]
        assert messages(caplog, "Updated VirtualService") == [
            "VirtualService `web` set headerRoute 'h'",
            "VirtualService `web` set mirrorRoute 'm'",
            "VirtualService `web` set to desiredWeight '20'",
            "VirtualService `web` set headerRoute 'h'",
            "VirtualService `web` set to desiredWeight '100'",
            "VirtualService `web` removed all managed routes.",
            "VirtualService `web` set to desiredWeight '0'",
        ]
        assert traffic.lost == []


@virtual_time
async def test_what_a_deployment_tool_puts_back_is_repaired_at_once() -> None:
    async with istio_world() as it:
        objects = split_by_subsets([HEADER, *STEPS], managed=["h"])
        await started(it, objects)
        await updated(it, YELLOW)
        wanted = http(it)
        await asyncio.sleep(60)
        as_in_git = [{"name": "primary", "route": [
            {"destination": {"host": NAME, "subset": "stable"}, "weight": 100},
            {"destination": {"host": NAME, "subset": "canary"}, "weight": 0},
        ]}]  # fmt: skip
        it.sandbox.patch("virtualservices", NAME, {"spec": {"http": as_in_git}})
        assert http(it) == as_in_git
        await it.until(lambda: http(it) == wanted, seconds=3)
        subsets = it.sandbox.get("destinationrules", NAME)["spec"]["subsets"]
        it.sandbox.patch("destinationrules", NAME, {"spec": {"subsets": destination_rule()["spec"]["subsets"]}})
        await it.until(lambda: it.sandbox.get("destinationrules", NAME)["spec"]["subsets"] == subsets, seconds=3)


@virtual_time
async def test_two_rollouts_in_one_virtual_service_leave_each_other_alone() -> None:
    steps = [{"setCanaryScale": {"weight": 20}}, HEADER, {"pause": {}}]
    objects = split_by_services(steps, managed=["h"])
    others = json.loads(json.dumps(objects).replace('"web', '"api').replace('"h"', '"h-api"'))
    shared = objects[2]
    assert shared["kind"] == others[2]["kind"] == "VirtualService"
    others[2]["spec"]["http"][0]["name"] = "secondary"
    shared["spec"]["http"] += others[2]["spec"]["http"]
    for subject, route in ((objects[-1], "primary"), (others[-1], "secondary")):
        istio = subject["spec"]["strategy"]["canary"]["trafficRouting"]["istio"]
        istio["virtualService"] = {"name": NAME, "routes": [route]}

    async with istio_world() as it:
        it.apply([*objects, *others[:2], others[-1]])
        for name in (NAME, "api"):
            await it.until_phase(name, "Healthy")
            it.set_image(name, YELLOW)
        for name in (NAME, "api"):
            await it.until_phase(name, "Paused")
        assert {route["name"] for route in http(it)[:2]} == {"h", "h-api"}
        assert [route["name"] for route in http(it)[2:]] == ["primary", "secondary"]
        await asyncio.sleep(60)
        before = len(it.writes())
        await asyncio.sleep(3600)
        assert len(it.writes()) == before


@virtual_time
async def test_ping_and_pong_take_turns() -> None:
    objects = [
        service("web-ping"),
        service("web-pong"),
        virtual_service("web-pong", "web-ping"),
        rollout(STEPS, **PING_PONG),
    ]

    async with istio_world() as it:
        traffic = await started(it, objects)
        ping_pong = ("web-pong", "web-ping")
        for image, stable in ((YELLOW, 0), (RED, 1), (BLUE, 0)):
            await it.until(lambda: len([size for size in it.sizes().values() if size]) == 1)
            shares = weights(it)
            assert shares[stable] == 100 or shares[1 - stable] == 100
            carrying = shares.index(100)
            before = service_images(it, ping_pong[carrying])
            await updated(it, image)
            assert weights(it)[carrying] == 80
            assert service_images(it, ping_pong[carrying]) == before
            it.promote(NAME)
            await it.until_phase(NAME, "Healthy")
            assert weights(it)[1 - carrying] == 100
            assert service_images(it, ping_pong[1 - carrying]) == [image.rpartition(":")[2]]
        assert traffic.lost == []


@virtual_time
async def test_a_destination_rule_is_cleaned_when_its_rollout_is_deleted() -> None:
    async with istio_world() as it:
        await started(it, split_by_subsets(STEPS))
        await updated(it, YELLOW)
        assert set(subset_images(it).values()) == {"blue", "yellow"}
        it.sandbox.delete("rollouts", NAME)

        def is_clean() -> bool:
            rule = it.sandbox.get("destinationrules", NAME)
            return rule["spec"] == destination_rule()["spec"] and not rule["metadata"].get("annotations")

        await it.until(is_clean, seconds=30)


@virtual_time
async def test_a_destination_rule_is_cleaned_when_its_rollout_no_longer_names_it() -> None:
    async with istio_world() as it:
        objects = split_by_subsets(STEPS)
        await started(it, objects)
        other = destination_rule()
        other["metadata"]["name"] = "other"
        it.apply([other])
        it.patch(NAME, {"spec": {"strategy": {"canary": {"trafficRouting": {"istio": {
            "destinationRule": {"name": "other"}}}}}}})  # fmt: skip

        def labels(name: str) -> list[str]:
            subsets = it.sandbox.get("destinationrules", name)["spec"]["subsets"]
            return [image_of(it, subset.get("labels", {}).get(HASH, "")) for subset in subsets]

        await it.until(lambda: labels("other") == ["blue", "blue"] and labels(NAME) == ["", ""], seconds=30)


@virtual_time
async def test_a_fast_rollback_waits_for_the_pods_of_the_version_before(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with istio_world() as it:
        objects = split_by_subsets(STEPS, scaleDownDelaySeconds=300)
        objects[-1]["spec"]["rollbackWindow"] = {"revisions": 1}
        traffic = await started(it, objects)
        await asyncio.sleep(2)
        await updated(it, YELLOW)
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(10)
        assert it.sizes() == {BLUE: 5, YELLOW: 5}
        first_pods = [each for each in it.sandbox.list("pods") if each["spec"]["containers"][0]["image"] == BLUE]
        for pod in first_pods[:2]:
            it.sandbox.delete("pods", pod["metadata"]["name"])
        it.set_image(NAME, BLUE)
        await it.until(
            lambda: it.rollout(NAME).status.stable_rs == it.rollout(NAME).status.current_pod_hash, seconds=60
        )
        await it.until(lambda: subset_images(it) == {"stable": "blue", "canary": "blue"}, seconds=10)
        await it.until(lambda: weights(it) == [100, 0], seconds=10)
        (delay,) = set(messages(caplog, "TrafficRoutingError"))
        assert delay.startswith("delaying destination rule switch: ReplicaSet web-")
        assert traffic.history == [0, 20, 60, 100, 0, 100, 0]
        assert traffic.lost == []


@virtual_time
async def test_a_missing_virtual_service_freezes_the_rollout_until_it_comes() -> None:
    async with istio_world() as it:
        objects = split_by_services(STEPS)
        (found,) = [each for each in objects if each["kind"] == "VirtualService"]
        it.apply([each for each in objects if each is not found])
        await it.until_phase(NAME, "Degraded", seconds=30)
        (condition,) = [each for each in it.rollout(NAME).status.conditions if each.type == "InvalidSpec"]
        assert 'virtualservices.networking.istio.io "web" not found' in condition.message
        it.apply([found])
        await it.until_phase(NAME, "Healthy", seconds=60)


@virtual_time
async def test_a_rollout_waits_until_istio_is_installed() -> None:
    kinds = [each for each in definitions() if each["spec"]["group"] == "networking.istio.io"]
    sandbox = Sandbox(now=wall_clock, profile="fast")
    async with world(sandbox=sandbox) as it:
        objects = split_by_subsets(STEPS)
        it.apply([each for each in objects if each["kind"] in ("Service", "Rollout")])
        await it.until_phase(NAME, "Degraded", seconds=30)
        (condition,) = [each for each in it.rollout(NAME).status.conditions if each.type == "InvalidSpec"]
        assert "Istio's definitions are not installed" in condition.message
        assert it.sizes() == {}
        it.apply(kinds)
        it.apply([each for each in objects if each["kind"] not in ("Service", "Rollout")])
        await it.until_phase(NAME, "Healthy", seconds=60)


@virtual_time
async def test_a_missing_destination_rule_stops_the_release_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with istio_world() as it:
        traffic = await started(it, split_by_subsets(STEPS))
        await updated(it, YELLOW)
        assert traffic.lost == []
        it.sandbox.delete("destinationrules", NAME)
        it.promote(NAME)
        await it.until(lambda: bool(messages(caplog, "DestinationRuleNotFound")), seconds=30)
        assert set(messages(caplog, "DestinationRuleNotFound")) == {"DestinationRule `web` not found"}
        assert weights(it) == [80, 20]
        it.apply([destination_rule()])
        await it.until_phase(NAME, "Healthy", seconds=60)
