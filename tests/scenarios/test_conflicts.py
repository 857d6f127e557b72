"""Two Rollouts that want the same thing: the first one keeps it, the other one says why it stands still."""

import asyncio
from typing import Any

import yaml
from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.api.crd import custom_resource_definitions
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.routingkinds import routing_definitions
from prograde.simulator.loop import wall_clock
from prograde.simulator.world import World, world

NAME = "istio-demo"
YELLOW = "argoproj/rollouts-demo:yellow"


def cluster() -> Sandbox:
    return Sandbox(now=wall_clock, profile="fast", crds=[*custom_resource_definitions(), *routing_definitions()])


def objects(*kinds: str) -> list[dict[str, Any]]:
    documents = yaml.load_all((EXAMPLES / "canary-istio.yaml").read_text(), yaml.CSafeLoader)
    return [each for each in documents if not kinds or each["kind"] in kinds]


def renamed(text: str) -> list[dict[str, Any]]:
    """Return the Rollout and the Services of the example under another name, still with its VirtualService."""
    dumped = yaml.dump_all(objects("Rollout", "Service")).replace(NAME, text)
    found = list(yaml.load_all(dumped, yaml.CSafeLoader))
    for each in found:
        if each["kind"] == "Rollout":
            routing = each["spec"]["strategy"]["canary"]["trafficRouting"]
            routing["istio"]["virtualService"] = {"name": NAME, "routes": [text]}
    return found


def with_route(name: str) -> dict[str, Any]:
    """Return the VirtualService with a further route, to the Services of `name`."""
    (service,) = objects("VirtualService")
    route = yaml.safe_load(yaml.dump(service["spec"]["http"][0]).replace(NAME, name))
    service["spec"]["http"].append({**route, "name": name})
    return service


def message(it: World, name: str) -> str:
    found = [each for each in it.rollout(name).status.conditions if each.type == "InvalidSpec"]
    return found[0].message if found else ""


@virtual_time
async def test_the_second_rollout_on_the_same_services_is_invalid_and_the_first_goes_on() -> None:
    async with world(sandbox=cluster()) as it:
        it.apply(objects())
        await it.until_phase(NAME, "Healthy")
        (second,) = objects("Rollout")
        second["metadata"]["name"] = "second"
        it.apply(second)
        await it.until(lambda: "is managed by another Rollout" in message(it, "second"))
        assert f'Service "{NAME}-stable" is managed by another Rollout' in message(it, "second")
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert it.phase("second") == "Degraded"


@virtual_time
async def test_two_rollouts_share_a_virtual_service_but_not_a_managed_route() -> None:
    async with world(sandbox=cluster()) as it:
        it.apply(objects())
        await it.until_phase(NAME, "Healthy")
        it.apply([with_route("later"), *renamed("later")])
        await it.until_phase("later", "Healthy")

        canary = it.sandbox.get("rollouts", "later")["spec"]["strategy"]["canary"]
        taken = yaml.safe_load(yaml.dump(canary).replace("later-header", f"{NAME}-header"))
        it.patch("later", {"spec": {"strategy": {"canary": taken}}})
        await it.until(lambda: message(it, "later") != "")
        assert message(it, "later") == (
            'The Rollout "later" is invalid: spec.strategy.canary.trafficRouting.managedRoutes[0].name: '
            f'Invalid value: "{NAME}-header": '
            f'the route of VirtualService {NAME} is managed by another Rollout, "{NAME}"'
        )
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        it.patch("later", {"spec": {"strategy": {"canary": canary}}})
        await it.until_phase("later", "Healthy")


@virtual_time
async def test_the_second_comes_into_its_own_when_the_first_is_gone() -> None:
    async with world(sandbox=cluster()) as it:
        it.apply(objects())
        await it.until_phase(NAME, "Healthy")
        (second,) = objects("Rollout")
        second["metadata"]["name"] = "second"
        it.apply(second)
        await it.until(lambda: message(it, "second") != "")
        await asyncio.sleep(5)
        it.sandbox.delete("rollouts", NAME)
        await it.until_phase("second", "Healthy", seconds=60)


@virtual_time
async def test_of_two_rollouts_that_come_at_the_same_moment_one_gets_the_service_and_keeps_it() -> None:
    async with world(sandbox=cluster()) as it:
        rollouts = []
        for name in ("one", "two"):
            labels = {"app": "shared", "version": name}
            rollouts.append(
                {
                    "apiVersion": "argoproj.io/v1alpha1",
                    "kind": "Rollout",
                    "metadata": {"name": name},
                    "spec": {
                        "replicas": 1,
                        "selector": {"matchLabels": labels},
                        "template": {
                            "metadata": {"labels": labels},
                            "spec": {"containers": [{"name": "web", "image": "argoproj/rollouts-demo:blue"}]},
                        },
                        "strategy": {"blueGreen": {"activeService": "shared"}},
                    },
                }
            )
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "shared"},
            "spec": {"selector": {"app": "shared"}, "ports": [{"port": 80}]},
        }
        it.apply([service, *rollouts])
        await it.until(lambda: {it.phase("one"), it.phase("two")} == {"Healthy", "Degraded"})
        loser = next(name for name in ("one", "two") if it.phase(name) == "Degraded")
        assert 'Service "shared" is managed by another Rollout' in message(it, loser)
        switches = [each["reason"] for each in it.sandbox.events() if each["reason"] == "SwitchService"]
        assert len(switches) == 1
        await asyncio.sleep(120)
        assert it.phase(loser) == "Degraded"
