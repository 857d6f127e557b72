"""Whole releases with NGINX: what the canary Ingress says, and whether every request finds a pod."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES
from tests.scenarios.routed import Traffic

from prograde.api.manifests import load_documents
from prograde.sandbox.errors import StatusError
from prograde.sandbox.faults import Answer, DelayEvents, Disconnect
from prograde.simulator.world import World, world

NAME = "nginx-demo"
CANARY = "nginx-demo-nginx-demo-canary"
BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
BROKEN = "argoproj/rollouts-demo:does-not-exist"
WEIGHT = "nginx.ingress.kubernetes.io/canary-weight"


def manifests(*kinds: str) -> list[dict[str, Any]]:
    """Return the objects of the example, or those of some kinds."""
    text = (EXAMPLES / "canary-nginx.yaml").read_bytes()
    return [each.value for each in load_documents(text) if not kinds or each.value["kind"] in kinds]


def canary_ingress(it: World) -> dict[str, Any]:
    found: dict[str, Any] = it.sandbox.get("ingresses", CANARY)
    return found


def weight(it: World) -> str:
    value: str = canary_ingress(it)["metadata"]["annotations"][WEIGHT]
    return value


@asynccontextmanager
async def started() -> AsyncIterator[tuple[World, Traffic]]:
    """Yield a cluster in which the first version of the example runs and takes all requests."""
    async with world() as it:
        it.apply(manifests())
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: [each["metadata"]["name"] for each in it.sandbox.list("ingresses")] == [NAME, CANARY])
        yield it, Traffic(it, NAME)


@asynccontextmanager
async def updated() -> AsyncIterator[tuple[World, Traffic]]:
    """Yield a cluster in which a twentieth of the requests goes to the second version until somebody promotes it."""
    async with started() as (it, traffic):
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert weight(it) == "5"
        yield it, traffic


@virtual_time
async def test_every_request_of_a_whole_release_finds_a_pod() -> None:
    async with updated() as (it, traffic):
        assert it.sizes() == {BLUE: 5, YELLOW: 1}
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: it.sizes() == {BLUE: 0, YELLOW: 5})
        assert weight(it) == "0"
        assert traffic.lost == []
        assert traffic.history == [100, 0, 5, 25, 50, 100]


@virtual_time
async def test_the_canary_ingress_goes_with_the_rollout() -> None:
    async with started() as (it, _):
        it.sandbox.delete("rollouts", NAME)
        await it.until(lambda: [each["metadata"]["name"] for each in it.sandbox.list("ingresses")] == [NAME])


@virtual_time
async def test_an_abort_takes_the_weight_away_at_once_and_a_retry_gives_it_back() -> None:
    async with updated() as (it, traffic):
        it.abort(NAME)
        await it.until(lambda: weight(it) == "0", seconds=3)
        await it.until_phase(NAME, "Degraded")
        await it.until(lambda: it.sizes() == {BLUE: 5, YELLOW: 0})
        it.retry(NAME)
        await it.until(lambda: weight(it) == "5")
        assert it.sizes() == {BLUE: 5, YELLOW: 1}
        assert traffic.lost == []


@virtual_time
async def test_a_broken_version_gets_no_request() -> None:
    async with started() as (it, traffic):
        it.set_image(NAME, BROKEN)
        await it.until_phase(NAME, "Degraded")
        assert weight(it) == "0"
        assert it.sizes() == {BLUE: 5, BROKEN: 1}
        assert traffic.lost == []
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert weight(it) == "5"
        assert traffic.lost == []


@virtual_time
async def test_what_a_gitops_tool_reverts_is_put_right() -> None:
    async with updated() as (it, _):
        stored = canary_ingress(it)
        for annotations in (
            {WEIGHT: "0"},
            {WEIGHT: "90"},
            {WEIGHT: None},
            {"nginx.ingress.kubernetes.io/canary": "false"},
        ):
            it.sandbox.patch("ingresses", CANARY, {"metadata": {"annotations": annotations}})
            await it.until(
                lambda: canary_ingress(it)["metadata"]["annotations"] == stored["metadata"]["annotations"], seconds=3
            )
        it.sandbox.patch("ingresses", CANARY, {"spec": {"rules": [{"host": "elsewhere.local"}]}})
        await it.until(lambda: canary_ingress(it)["spec"] == stored["spec"], seconds=3)


@virtual_time
async def test_a_canary_ingress_that_is_deleted_comes_back_with_its_weight() -> None:
    async with updated() as (it, traffic):
        it.sandbox.delete("ingresses", CANARY)
        with pytest.raises(StatusError):
            canary_ingress(it)
        await it.until(lambda: len(it.sandbox.list("ingresses")) == 2, seconds=3)
        assert weight(it) == "5"
        assert traffic.lost == []


@virtual_time
async def test_the_canary_follows_the_paths_of_the_stable_ingress() -> None:
    async with updated() as (it, _):
        backend = {"service": {"name": "nginx-demo-stable", "port": {"name": "http"}}}
        path = {"path": "/shop", "pathType": "Prefix", "backend": backend}
        it.sandbox.patch("ingresses", NAME, {"spec": {"rules": [{"host": "shop.local", "http": {"paths": [path]}}]}})
        await it.until(lambda: canary_ingress(it)["spec"]["rules"][0]["host"] == "shop.local", seconds=3)
        (rule,) = canary_ingress(it)["spec"]["rules"]
        (found,) = rule["http"]["paths"]
        assert (found["path"], found["backend"]["service"]["name"]) == ("/shop", "nginx-demo-canary")


@virtual_time
async def test_a_missing_ingress_keeps_a_rollout_as_it_is_until_it_comes() -> None:
    async with world() as it:
        it.apply(manifests("Rollout", "Service"))
        await it.until_phase(NAME, "Degraded")
        (condition,) = [each for each in it.rollout(NAME).status.conditions if each.type == "InvalidSpec"]
        assert condition.message == (
            'The Rollout "nginx-demo" is invalid: spec.strategy.canary.trafficRouting.nginx.stableIngress: '
            'Invalid value: "nginx-demo": ingress.networking.k8s.io "nginx-demo" not found'
        )
        assert it.sandbox.list("replicasets") == []
        it.apply(manifests("Ingress"))
        await it.until_phase(NAME, "Healthy", seconds=60)


@virtual_time
async def test_a_canary_ingress_of_somebody_else_stops_the_release_and_nothing_is_scaled() -> None:
    async with world() as it:
        foreign = {**manifests("Ingress")[0], "metadata": {"name": CANARY}}
        it.apply([*manifests(), foreign])
        message = f"canary ingress `{CANARY}` controlled by different object"
        await it.until(lambda: message in [each["message"] for each in it.sandbox.events(f"rollout/{NAME}")])
        it.set_image(NAME, YELLOW)
        await asyncio.sleep(300)
        assert it.sizes() == {BLUE: 5, YELLOW: 0}
        assert canary_ingress(it)["metadata"].get("annotations") is None
        it.sandbox.delete("ingresses", CANARY)
        await it.until_phase(NAME, "Paused")
        assert weight(it) == "5"


@virtual_time
async def test_nothing_is_written_while_nothing_changes() -> None:
    async with updated() as (it, _):
        await asyncio.sleep(300)
        before = it.writes()
        await asyncio.sleep(4 * 3600)
        assert it.writes() == before


@virtual_time
async def test_a_create_whose_answer_is_lost_while_the_watch_is_late_is_tried_again_without_harm() -> None:
    async with world() as it:
        it.sandbox.faults.add(Disconnect(when="after"), verbs="create", resource="ingresses*", times=1)
        it.sandbox.faults.add(DelayEvents(10), verbs="watch", resource="ingresses*")
        it.apply(manifests())
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert weight(it) == "5"
        creates = [each.status for each in it.sandbox.request_log if each.verb == "create" and "ingress" in each.path]
        assert creates[1:]
        assert set(creates[1:]) == {409}
        await asyncio.sleep(600)  # events go out at leisure
        texts = [each["message"] for each in it.sandbox.events(f"rollout/{NAME}")]
        assert not [text for text in texts if "already exists" in text]


@virtual_time
async def test_a_create_that_is_refused_is_announced_and_made_again() -> None:
    async with world() as it:
        it.sandbox.faults.add(Answer(403), verbs="create", resource="ingresses*")
        it.apply(manifests())
        await it.until(lambda: "TrafficRoutingError" in it.event_reasons(NAME))
        (message,) = {
            e["message"] for e in it.sandbox.events(f"rollout/{NAME}") if e["reason"] == "TrafficRoutingError"
        }
        assert message.startswith(f"error creating canary ingress `{CANARY}`: ")
        it.sandbox.faults.heal()
        await it.until(lambda: len(it.sandbox.list("ingresses")) == 2)
        assert weight(it) == "0"
