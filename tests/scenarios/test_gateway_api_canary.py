"""Whole releases with the Gateway API: what the route says, and whether every request finds a pod."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES
from tests.scenarios.routed import Traffic

from prograde.api.manifests import load_documents
from prograde.sandbox.faults import Answer
from prograde.sandbox.routingkinds import routing_definitions
from prograde.simulator.world import World, world

NAME = "gateway-demo"
BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
BROKEN = "argoproj/rollouts-demo:does-not-exist"
LABEL = "rollouts.argoproj.io/gatewayapi-canary"


def manifests(*kinds: str) -> list[dict[str, Any]]:
    """Return the objects of the example, or those of some kinds."""
    text = (EXAMPLES / "canary-gateway-api.yaml").read_bytes()
    return [each.value for each in load_documents(text) if not kinds or each.value["kind"] in kinds]


def with_routing(**config: Any) -> list[dict[str, Any]]:
    """Return the example with another configuration of the router, only weights as steps, and no route."""
    rollout, *others = with_steps({"setWeight": 20}, {"pause": {}})
    rollout["spec"]["strategy"]["canary"]["trafficRouting"]["plugins"] = {"argoproj-labs/gatewayAPI": config}
    return [rollout, *(each for each in others if each["kind"] != "HTTPRoute")]


def with_steps(*steps: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the example with other steps."""
    rollout, *others = manifests()
    rollout["spec"]["strategy"]["canary"]["steps"] = list(steps)
    return [rollout, *others]


def route_of(kind: str, version: str, name: str = NAME, **labels: str) -> dict[str, Any]:
    """Return a route that leads to both versions, with the weights that an API server gives them."""
    refs = [{"name": f"{NAME}-stable", "port": 80}, {"name": f"{NAME}-canary", "port": 80}]
    return {
        "apiVersion": f"gateway.networking.k8s.io/{version}",
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {"rules": [{"backendRefs": refs}]},
    }


def rules(it: World, kind: str = "httproutes", name: str = NAME) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = it.sandbox.get(kind, name)["spec"]["rules"]
    return found


def weights(it: World, kind: str = "httproutes", name: str = NAME) -> list[int]:
    """Return the weights of the stable version and the canary in the rule that splits."""
    return [each["weight"] for each in rules(it, kind, name)[0]["backendRefs"]]


def names_of_rules(it: World) -> list[str | None]:
    return [rule.get("name") for rule in rules(it)]


def said_by_route(it: World) -> tuple[Any, Any]:
    """Return what the route says, and its labels."""
    route = it.sandbox.get("httproutes", NAME)
    return route["spec"], route["metadata"].get("labels")


def messages(it: World) -> list[str]:
    return [each["message"] for each in it.sandbox.events(f"rollout/{NAME}")]


@asynccontextmanager
async def started(*objects: dict[str, Any]) -> AsyncIterator[tuple[World, Traffic]]:
    """Yield a cluster in which the first version runs and takes all requests; without objects that of the example."""
    async with world() as it:
        it.apply(list(routing_definitions()))
        it.apply(list(objects) or manifests())
        await it.until_phase(NAME, "Healthy")
        yield it, Traffic(it, NAME)


@asynccontextmanager
async def updated() -> AsyncIterator[tuple[World, Traffic]]:
    """Yield a cluster in which only testers get the second version, until somebody promotes it."""
    async with started() as (it, traffic):
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        yield it, traffic


@virtual_time
async def test_every_request_of_a_whole_release_finds_a_pod() -> None:
    async with started() as (it, traffic):
        before = it.sandbox.get("httproutes", NAME)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert it.sizes() == {BLUE: 5, YELLOW: 1}
        assert weights(it) == [100, 0]
        (header_rule,) = rules(it)[1:]
        assert header_rule["name"] == "testers"
        (match,) = header_rule["matches"]
        assert match["headers"] == [{"type": "Exact", "name": "X-Tester", "value": "true"}]
        assert [each["name"] for each in header_rule["backendRefs"]] == ["gateway-demo-canary"]
        assert it.sandbox.get("httproutes", NAME)["metadata"]["labels"] == {LABEL: "in-progress"}
        it.promote(NAME)
        await it.until(lambda: weights(it) == [80, 20])
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: it.sizes() == {BLUE: 0, YELLOW: 5})
        after = it.sandbox.get("httproutes", NAME)
        assert after["spec"] == before["spec"]
        assert not after["metadata"].get("labels")
        assert traffic.lost == []
        assert traffic.history == [100, 0, 20, 50, 100]


@virtual_time
async def test_every_write_of_a_release_changes_the_route_and_none_is_made_twice() -> None:
    async with started() as (it, _):
        seen: list[Any] = []
        it.sandbox.client("onlooker").subscribe(
            lambda change, resource, new, old: seen.append(new) if resource[1] == "httproutes" else None
        )
        before = len(it.writes())
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: it.sizes() == {BLUE: 0, YELLOW: 5})
        writes = [path for _, path in it.writes()[before:] if "httproutes" in path]
        assert len(writes) == len(seen) == 5
        split = [[each["weight"] for each in route["spec"]["rules"][0]["backendRefs"]] for route in seen]
        assert split == [[100, 0], [80, 20], [50, 50], [0, 100], [100, 0]]


@virtual_time
async def test_an_abort_takes_weight_and_header_route_away_and_a_retry_begins_anew() -> None:
    async with updated() as (it, traffic):
        it.promote(NAME)
        await it.until(lambda: weights(it) == [80, 20])
        it.abort(NAME)
        await it.until(lambda: weights(it) == [100, 0], seconds=3)
        assert names_of_rules(it) == [None]
        await it.until(lambda: it.sizes() == {BLUE: 5, YELLOW: 0})
        assert traffic.lost == []
        it.retry(NAME)
        await it.until_phase(NAME, "Paused")
        assert names_of_rules(it) == [None, "testers"]
        assert weights(it) == [100, 0]


@virtual_time
async def test_what_a_gitops_tool_reverts_is_put_right() -> None:
    async with updated() as (it, traffic):
        it.promote(NAME)
        await it.until(lambda: weights(it) == [80, 20])
        stored = said_by_route(it)
        (original,) = manifests("HTTPRoute")
        for patch in ({"spec": original["spec"]}, {"metadata": {"labels": {LABEL: None}}}):
            it.sandbox.patch("httproutes", NAME, patch)
            await it.until(lambda: said_by_route(it) == stored, seconds=3)
        assert traffic.lost == []


@virtual_time
async def test_a_rule_that_somebody_adds_in_the_middle_stays_and_is_split_as_well() -> None:
    async with updated() as (it, _):
        it.promote(NAME)
        await it.until(lambda: weights(it) == [80, 20])
        own = {**rules(it)[0], "name": "own", "matches": [{"path": {"type": "Exact", "value": "/own"}}]}
        it.sandbox.patch("httproutes", NAME, {"spec": {"rules": [*rules(it), own]}})
        await it.until(lambda: names_of_rules(it) == [None, "own", "testers", "testers-1"], seconds=3)
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: names_of_rules(it) == [None, "own"])
        assert [[each["weight"] for each in rule["backendRefs"]] for rule in rules(it)] == [[100, 0], [100, 0]]


@virtual_time
async def test_a_route_that_is_deleted_stops_the_release_until_it_is_back() -> None:
    async with updated() as (it, _):
        it.sandbox.delete("httproutes", NAME)
        it.promote(NAME)
        error = f'failed to set weight via plugin: httproutes.gateway.networking.k8s.io "{NAME}" not found'
        await it.until(lambda: error in messages(it))
        await asyncio.sleep(120)
        assert it.sizes() == {BLUE: 5, YELLOW: 1}
        it.apply(manifests("HTTPRoute"))
        await it.until(lambda: weights(it) == [80, 20])
        assert names_of_rules(it) == [None, "testers"]
        await it.until_phase(NAME, "Healthy")


@virtual_time
async def test_without_the_definitions_nothing_is_rolled_out_until_they_are_installed() -> None:
    async with world() as it:
        it.apply(manifests("Rollout", "Service"))
        error = "failed to set weight via plugin: the API server does not know httproutes.gateway.networking.k8s.io"
        await it.until(lambda: error in messages(it))
        it.set_image(NAME, YELLOW)
        await asyncio.sleep(120)
        assert it.sizes() == {BLUE: 5, YELLOW: 0}
        it.apply(list(routing_definitions()))
        it.apply(manifests("HTTPRoute"))
        await it.until_phase(NAME, "Paused")
        assert names_of_rules(it) == [None, "testers"]


@virtual_time
async def test_a_header_route_goes_before_its_pods_and_comes_back_with_them() -> None:
    steps = [
        {"setCanaryScale": {"replicas": 1}},
        next(step for step in manifests()[0]["spec"]["strategy"]["canary"]["steps"] if "setHeaderRoute" in step),
        {"pause": {}},
        # No weight yet, so no pods.
        {"setCanaryScale": {"matchTrafficWeight": True}},
        {"pause": {}},
        {"setWeight": 20},
        {"pause": {}},
    ]
    async with started(*with_steps(*steps)) as (it, traffic):
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert names_of_rules(it) == [None, "testers"]
        it.promote(NAME)
        await it.until(lambda: it.sizes() == {BLUE: 5, YELLOW: 0})
        assert names_of_rules(it) == [None]
        await it.until_phase(NAME, "Paused")
        it.promote(NAME)
        await it.until(lambda: weights(it) == [80, 20])
        assert names_of_rules(it) == [None, "testers"]
        assert traffic.lost == []


@virtual_time
async def test_a_broken_version_gets_no_request_and_no_header_route() -> None:
    async with started() as (it, traffic):
        it.set_image(NAME, BROKEN)
        await it.until_phase(NAME, "Degraded")
        assert names_of_rules(it) == [None]
        assert weights(it) == [100, 0]
        assert traffic.lost == []


KINDS = [("HTTPRoute", "v1"), ("GRPCRoute", "v1"), ("TCPRoute", "v1alpha2"), ("TLSRoute", "v1alpha2")]


@virtual_time
async def test_routes_of_all_kinds_move_together() -> None:
    plurals = [f"{kind.lower()}s" for kind, _ in KINDS]
    config = {f"{kind[:-5].lower()}Route": NAME for kind, _ in KINDS}
    async with started(*with_routing(**config), *(route_of(*kind) for kind in KINDS)) as (it, traffic):
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert [weights(it, plural) for plural in plurals] == [[80, 20]] * 4
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        assert [weights(it, plural) for plural in plurals] == [[100, 0]] * 4
        assert traffic.lost == []


@virtual_time
async def test_a_route_is_taken_along_as_soon_as_it_is_labelled() -> None:
    objects = with_routing(httpRouteSelector={"matchLabels": {"app": "shop"}})
    routes = [route_of("HTTPRoute", "v1", "a", app="shop"), route_of("HTTPRoute", "v1", "b", app="other")]
    async with started(*objects, *routes) as (it, _):
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert (weights(it, name="a"), weights(it, name="b")) == ([80, 20], [1, 1])
        it.sandbox.patch("httproutes", "b", {"metadata": {"labels": {"app": "shop"}}})
        await it.until(lambda: weights(it, name="b") == [80, 20], seconds=3)


@virtual_time
async def test_a_configuration_that_makes_no_sense_stops_the_release_with_the_name_of_the_field() -> None:
    async with world() as it:
        it.apply(with_routing(httpRoutes=[{"name": 7}]))
        error = (
            "failed to set weight via plugin: spec.strategy.canary.trafficRouting.plugins[argoproj-labs/gatewayAPI]"
            ".httpRoutes[0].name: expected str, got int"
        )
        await it.until(lambda: error in messages(it))


@virtual_time
async def test_nothing_is_written_while_nothing_changes() -> None:
    async with updated() as (it, _):
        await asyncio.sleep(300)
        before = it.writes()
        await asyncio.sleep(4 * 3600)
        assert it.writes() == before


@virtual_time
async def test_a_write_that_meets_a_newer_version_is_made_again_without_a_word() -> None:
    async with started() as (it, traffic):
        fault = it.sandbox.faults.add(Answer(409), verbs="patch", resource="httproutes*", times=3)
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        assert fault.hits == 3
        assert names_of_rules(it) == [None, "testers"]
        await asyncio.sleep(600)  # events go out at leisure
        assert "TrafficRoutingError" not in it.event_reasons(NAME)
        assert traffic.lost == []


@virtual_time
async def test_a_write_that_is_refused_is_announced_and_holds_the_release_until_it_succeeds() -> None:
    async with started() as (it, traffic):
        it.sandbox.faults.add(Answer(403), verbs="patch", resource="httproutes*")
        it.set_image(NAME, YELLOW)
        await it.until(lambda: "TrafficRoutingError" in it.event_reasons(NAME))
        assert any(message.startswith("failed to set weight via plugin: ") for message in messages(it))
        await asyncio.sleep(120)
        assert it.rollout(NAME).status.current_step_index == 1
        assert it.sizes() == {BLUE: 5, YELLOW: 1}
        it.sandbox.faults.heal()
        await it.until_phase(NAME, "Paused")
        assert names_of_rules(it) == [None, "testers"]
        assert traffic.lost == []


@virtual_time
async def test_two_services_that_take_turns_change_their_roles_with_every_release() -> None:
    rollout, *others = with_steps({"setWeight": 20}, {"pause": {}})
    canary = rollout["spec"]["strategy"]["canary"]
    stable, other = canary.pop("stableService"), canary.pop("canaryService")
    canary["pingPong"] = {"pingService": other, "pongService": stable}
    async with started(rollout, *others) as (it, traffic):
        # The first version came as the canary, behind ping, and so ping is stable after it.
        assert weights(it) == [0, 100]
        for image, at_pause, at_end in ((YELLOW, [20, 80], [100, 0]), (BLUE, [80, 20], [0, 100])):
            it.set_image(NAME, image)
            await it.until_phase(NAME, "Paused")
            assert weights(it) == at_pause
            it.promote(NAME)
            await it.until_phase(NAME, "Healthy")
            await it.until(lambda image=image: all(size == 0 for key, size in it.sizes().items() if key != image))
            assert weights(it) == at_end
        assert traffic.lost == []


@virtual_time
async def test_a_stable_side_that_follows_the_traffic_serves_every_request_there_and_back() -> None:
    rollout, *others = with_steps({"setWeight": 40}, {"pause": {}}, {"setWeight": 80}, {"pause": {}})
    rollout["spec"]["strategy"]["canary"]["dynamicStableScale"] = True
    async with started(rollout, *others) as (it, traffic):
        it.set_image(NAME, YELLOW)
        await it.until_phase(NAME, "Paused")
        await it.until(lambda: it.sizes() == {BLUE: 3, YELLOW: 2})
        it.promote(NAME)
        await it.until(lambda: weights(it) == [20, 80] and it.sizes() == {BLUE: 1, YELLOW: 4})
        it.abort(NAME)
        await it.until(lambda: weights(it) == [100, 0] and it.sizes()[BLUE] == 5)
        await it.until(lambda: it.sizes()[YELLOW] == 0)
        assert traffic.lost == []
