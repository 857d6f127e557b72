"""DestinationRules of Istio that a Rollout has left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml
from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.api.crd import custom_resource_definitions
from prograde.api.names import MANAGED_BY_ANNOTATION, POD_TEMPLATE_HASH_LABEL
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer
from prograde.sandbox.routingkinds import routing_definitions
from prograde.simulator.loop import wall_clock
from prograde.simulator.world import World, world

NAME, RULE = "istio-demo", "istio-rule"


def rule(manager: str | None = None, pod_hash: str = "", name: str = RULE) -> dict[str, Any]:
    labels = {POD_TEMPLATE_HASH_LABEL: pod_hash} if pod_hash else {}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "DestinationRule",
        "metadata": {"name": name, "annotations": {MANAGED_BY_ANNOTATION: manager} if manager else {}},
        "spec": {
            "host": NAME,
            "subsets": [{"name": role, "labels": {"app": NAME, **labels}} for role in ("canary", "stable")],
        },
    }


def manifests() -> list[dict[str, Any]]:
    """Return the example, with subsets of one host in the place of two."""
    documents = [each for each in yaml.load_all((EXAMPLES / "canary-istio.yaml").read_text(), yaml.CSafeLoader) if each]
    for each in documents:
        if each["kind"] == "Rollout":
            canary = each["spec"]["strategy"]["canary"]
            canary["steps"] = [{"setWeight": 20}, {"pause": {}}]
            canary["trafficRouting"]["istio"]["destinationRule"] = {
                "name": RULE,
                "canarySubsetName": "canary",
                "stableSubsetName": "stable",
            }
        if each["kind"] == "VirtualService":
            each["spec"]["http"] = [
                {
                    "name": "primary",
                    "route": [
                        {"destination": {"host": NAME, "subset": "stable"}, "weight": 100},
                        {"destination": {"host": NAME, "subset": "canary"}, "weight": 0},
                    ],
                }
            ]
    return documents


@asynccontextmanager
async def released() -> AsyncIterator[World]:
    """Yield a cluster with a healthy Rollout whose DestinationRule carries its name and hashes."""
    sandbox = Sandbox(now=wall_clock, profile="fast", crds=[*custom_resource_definitions(), *routing_definitions()])
    async with world(sandbox=sandbox) as it:
        it.apply([*manifests(), rule()])
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: manager(it) == NAME)
        assert hashes(it)
        yield it


def manager(it: World, name: str = RULE) -> str:
    found: str = (
        it.sandbox.get("destinationrules", name)["metadata"].get("annotations", {}).get(MANAGED_BY_ANNOTATION, "")
    )
    return found


def hashes(it: World, name: str = RULE) -> set[str]:
    subsets = it.sandbox.get("destinationrules", name)["spec"]["subsets"]
    return {each.get("labels", {}).get(POD_TEMPLATE_HASH_LABEL) for each in subsets} - {None}


@virtual_time
async def test_a_rule_whose_rollout_is_deleted_is_cleaned_and_keeps_everything_else() -> None:
    async with released() as it:
        it.sandbox.delete("rollouts", NAME)
        await it.until(lambda: manager(it) == "", seconds=2)
        assert hashes(it) == set()
        assert [each["labels"] for each in it.sandbox.get("destinationrules", RULE)["spec"]["subsets"]] == [
            {"app": NAME}
        ] * 2


@virtual_time
async def test_a_rule_that_its_rollout_names_no_longer_is_cleaned() -> None:
    async with released() as it:
        it.apply(rule(name="next"))
        it.patch(NAME, {"spec": {"strategy": {"canary": {"trafficRouting": {"istio": {
            "destinationRule": {"name": "next"}}}}}}})  # fmt: skip
        await it.until(lambda: manager(it) == "" and hashes(it) == set(), seconds=2)
        await it.until(lambda: manager(it, "next") == NAME)


@virtual_time
async def test_a_rule_that_comes_with_the_name_of_a_rollout_that_does_not_exist_is_cleaned() -> None:
    async with released() as it:
        it.apply(rule("gone", "old", name="left"))
        await it.until(lambda: manager(it, "left") == "", seconds=2)
        assert hashes(it, "left") == set()


@virtual_time
async def test_a_rule_without_a_manager_is_nobodys_business() -> None:
    async with released() as it:
        it.apply(rule(None, "old", name="foreign"))
        await asyncio.sleep(60)
        assert hashes(it, "foreign") == {"old"}


@virtual_time
async def test_a_rule_that_somebody_changes_is_put_right_at_once() -> None:
    async with released() as it:
        before = it.sandbox.get("destinationrules", RULE)["spec"]
        it.sandbox.patch("destinationrules", RULE, {"spec": rule()["spec"]})
        await it.until(lambda: it.sandbox.get("destinationrules", RULE)["spec"] == before, seconds=1)


@pytest.mark.parametrize(
    "fault", [{"verbs": "get", "resource": "rollouts"}, {"verbs": "patch", "resource": "destinationrules"}]
)
def test_a_rule_is_not_cleaned_before_it_is_certain_that_nobody_uses_it(fault: dict[str, str]) -> None:
    @virtual_time
    async def check() -> None:
        async with released() as it:
            refusing = it.sandbox.faults.add(Answer(500), **fault)
            it.sandbox.delete("rollouts", NAME)
            await asyncio.sleep(30)
            assert manager(it) == NAME
            it.sandbox.faults.remove(refusing)
            await it.until(lambda: manager(it) == "", seconds=20)

    check()


@virtual_time
async def test_a_rule_left_while_no_controller_was_running_is_cleaned_by_the_next_that_follows_rules() -> None:
    async with released() as it:
        await it.crash_controller()
        it.apply(rule("gone", "old", name="left"))
        it.start_controller()
        await it.until(lambda: manager(it, "left") == "", seconds=5)
