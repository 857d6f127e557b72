"""Analysis templates: found for whoever uses them, and whom a change of one wakes."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.controller.test_apply import ROLLOUT
from tests.kube.virtual_time import virtual_time

from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout
from prograde.controller.ondemand import InformersOnDemand
from prograde.controller.resources import ROLLOUTS
from prograde.controller.templates import Templates, by_analysis
from prograde.kube.client import Client
from prograde.kube.informer import Informer
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer
from prograde.simulator.loop import EPOCH
from prograde.simulator.world import world

LABEL = "argo-rollouts.argoproj.io/controller-instance-id"


def template(name: str, *nested: dict[str, Any], cluster: bool = False, count: int = 1, **metadata: Any) -> Any:
    metric = {"name": "m", "count": count, "provider": {"web": {"url": "http://x", "jsonPath": "{$.x}"}}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ClusterAnalysisTemplate" if cluster else "AnalysisTemplate",
        "metadata": {"name": name, **metadata},
        "spec": {"templates": list(nested)} if nested else {"metrics": [metric]},
    }


def ref(name: str, *, cluster: bool = False) -> dict[str, Any]:
    return {"templateName": name, **({"clusterScope": True} if cluster else {})}


def rollout(name: str, *refs: dict[str, Any], strategy: dict[str, Any] | None = None) -> dict[str, Any]:
    usual = {"canary": {"analysis": {"templates": list(refs)}}} if refs else {"canary": {}}
    return {**ROLLOUT, "metadata": {"name": name}, "spec": {**ROLLOUT["spec"], "strategy": strategy or usual}}


class Stage:
    def __init__(self, namespace: str, label_selector: str) -> None:
        self.sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
        client = Client(self.sandbox.transport("controller"), qps=0)
        self.woken: list[tuple[str, bool]] = []
        rng = random.Random(1)
        self.rollouts = Informer(
            client,
            ROLLOUTS,
            msgspec.json.Decoder(Rollout).decode,
            rng=rng,
            indexers={"analysis": by_analysis},
        )
        self.informers = InformersOnDemand()
        self.templates = Templates(
            client,
            self.informers,
            self.rollouts,
            wake=lambda key, urgent: self.woken.append((key.name, urgent)),
            rng=rng,
            namespace=namespace,
            label_selector=label_selector,
        )

    def listed(self) -> list[str]:
        return sorted(
            each.resource
            for each in self.sandbox.request_log
            if each.client == "controller" and each.verb == "list" and each.resource.endswith("templates")
        )

    async def used(self, name: str = "cart") -> tuple[list[str], list[str]]:
        """Return the names of the templates of a Rollout, once the first lists are there."""
        one = self.rollouts.get(NamespacedName("default", name))
        assert one is not None
        found = self.templates.used_by(one)
        if found is None:
            await asyncio.sleep(1)
            found = self.templates.used_by(one)
        assert found is not None
        return sorted(found[0]), sorted(found[1])


@asynccontextmanager
async def stage(
    *objects: dict[str, Any], namespace: str = "", label_selector: str = "", forbidden: str = ""
) -> AsyncIterator[Stage]:
    on = Stage(namespace, label_selector)
    on.sandbox.apply(list(objects))
    if forbidden:
        on.sandbox.faults.add(Answer(403), resource=forbidden)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(on.rollouts.run()), group.create_task(on.informers.run())]
        await on.rollouts.wait_synced()
        yield on
        for task in tasks:
            task.cancel()


@virtual_time
async def test_without_an_analysis_no_template_is_listed() -> None:
    async with stage(template("a"), rollout("cart")) as on:
        assert await on.used() == ([], [])
        assert on.listed() == []


@virtual_time
async def test_the_first_rollout_with_an_analysis_has_them_listed_once_and_is_woken() -> None:
    async with stage(template("a"), rollout("cart", ref("a")), rollout("other", ref("a"))) as on:
        assert on.templates.used_by(on.rollouts.all()[0]) is None, "not known yet"
        await asyncio.sleep(1)
        assert {name for name, _ in on.woken} == {"cart", "other"}
        assert await on.used() == (["a"], [])
        assert await on.used("other") == (["a"], [])
        assert on.listed() == ["analysistemplates", "clusteranalysistemplates"]


@pytest.mark.parametrize(
    ("refs", "namespaced", "cluster"),
    [
        pytest.param([ref("a")], ["a"], [], id="of the namespace"),
        pytest.param([ref("a", cluster=True)], [], ["a"], id="of the cluster, same name"),
        pytest.param([ref("missing")], [], [], id="missing"),
        pytest.param([ref("outer")], ["a", "outer"], ["inner"], id="templates of templates"),
        pytest.param([ref("one")], ["one", "two"], [], id="a circle"),
    ],
)
def test_a_rollout_gets_the_templates_that_it_uses_directly_or_not(
    refs: list[dict[str, Any]], namespaced: list[str], cluster: list[str]
) -> None:
    @virtual_time
    async def check() -> None:
        existing = [
            template("a"),
            template("a", cluster=True),
            template("outer", ref("inner", cluster=True), ref("a")),
            template("inner", ref("missing"), cluster=True),
            template("one", ref("two")),
            template("two", ref("one")),
            template("unused"),
        ]
        async with stage(*existing, rollout("cart", *refs)) as on:
            assert await on.used() == (namespaced, cluster)

    check()


@pytest.mark.parametrize(
    "strategy",
    [
        {"canary": {"steps": [{"setWeight": 1}, {"analysis": {"templates": [ref("a")]}}]}},
        {"canary": {"analysis": {"templates": [ref("a")]}}},
        {"blueGreen": {"activeService": "x", "prePromotionAnalysis": {"templates": [ref("a")]}}},
        {"blueGreen": {"activeService": "x", "postPromotionAnalysis": {"templates": [ref("a")]}}},
    ],
)
def test_every_place_for_an_analysis_counts(strategy: dict[str, Any]) -> None:
    @virtual_time
    async def check() -> None:
        async with stage(template("a"), rollout("cart", strategy=strategy)) as on:
            assert await on.used() == (["a"], [])

    check()


@virtual_time
async def test_a_template_that_appears_changes_or_goes_wakes_whoever_uses_it_in_any_way() -> None:
    async with stage(
        template("outer", ref("inner")), rollout("direct", ref("inner")), rollout("nested", ref("outer")),
        rollout("apart", ref("other")), rollout("none"),
    ) as on:  # fmt: skip
        await on.used("direct")
        for change in (
            lambda: on.sandbox.apply(template("inner")),
            lambda: on.sandbox.apply(template("inner", count=2)),
            lambda: on.sandbox.delete("analysistemplates", "inner"),
        ):
            on.woken.clear()
            change()
            await asyncio.sleep(1)
            assert sorted(on.woken) == [("direct", True), ("nested", True)]


@virtual_time
async def test_a_label_on_a_template_wakes_nobody() -> None:
    async with stage(template("a"), rollout("cart", ref("a"))) as on:
        await on.used()
        on.woken.clear()
        on.sandbox.patch("analysistemplates", "a", {"metadata": {"labels": {"team": "x"}}})
        await asyncio.sleep(1)
        assert on.woken == []


@virtual_time
async def test_a_template_of_the_cluster_wakes_rollouts_of_all_namespaces() -> None:
    async with stage(rollout("cart", ref("a", cluster=True))) as on:
        await on.used()
        on.woken.clear()
        on.sandbox.apply(template("a", cluster=True))
        await asyncio.sleep(1)
        assert on.woken == [("cart", True)]


@virtual_time
async def test_a_controller_of_one_namespace_does_not_ask_for_templates_of_the_cluster() -> None:
    async with stage(
        template("a"), template("a", cluster=True), rollout("cart", ref("a"), ref("a", cluster=True)),
        namespace="default",
    ) as on:  # fmt: skip
        assert await on.used() == (["a"], [])
        assert on.listed() == ["analysistemplates"]


@virtual_time
async def test_an_instance_sees_its_own_templates_only() -> None:
    async with stage(
        template("a", labels={LABEL: "blue"}), template("b"), rollout("cart", ref("a"), ref("b")),
        label_selector=f"{LABEL}=blue",
    ) as on:  # fmt: skip
        assert await on.used() == (["a"], [])


@virtual_time
async def test_templates_that_may_not_be_listed_count_as_missing_and_stop_nobody() -> None:
    async with stage(template("a"), rollout("cart", ref("a")), forbidden="clusteranalysistemplates") as on:
        assert await on.used() == (["a"], [])


@virtual_time
async def test_a_rollout_that_waits_for_its_template_goes_on_when_it_appears() -> None:
    async with world() as it:
        it.apply(rollout("cart", ref("late")))
        await it.until(lambda: "AnalysisTemplate 'late' not found" in it.rollout("cart").status.message)
        await asyncio.sleep(5)
        it.apply(template("late"))
        await it.until_phase("cart", "Healthy", seconds=3)
