"""Workloads that Rollouts refer to: found in caches that begin with the first reference, and whom a change wakes."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.controller.test_apply import ROLLOUT, TEMPLATE
from tests.kube.virtual_time import virtual_time

from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout
from prograde.api.workloads import Deployment, PodTemplate, ReplicaSet
from prograde.controller.ondemand import InformersOnDemand
from prograde.controller.resources import DEPLOYMENTS, POD_TEMPLATES, ROLLOUTS
from prograde.controller.workloads import FoundWorkload, Workloads, by_workload
from prograde.kube.client import Client
from prograde.kube.informer import Informer
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer
from prograde.simulator.loop import EPOCH


def rollout(name: str = "cart", kind: str = "Deployment", api_version: str = "apps/v1", workload: str = "web") -> Any:
    reference = {"apiVersion": api_version, "kind": kind, "name": workload}
    spec = {"strategy": {"canary": {}}, "workloadRef": reference}
    return {**ROLLOUT, "metadata": {"name": name}, "spec": spec}


def deployment(kind: str = "Deployment", name: str = "web", image: str = "web:1") -> dict[str, Any]:
    containers = [{"name": "web", "image": image}]
    template = {**TEMPLATE, "spec": {"containers": containers}}
    if kind == "PodTemplate":
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "cart"}}, "template": template},
    }


class Stage:
    """A cluster whose Rollouts are followed, and what they refer to."""

    def __init__(self, namespace: str = "") -> None:
        self.sandbox = Sandbox(now=lambda: EPOCH, controllers=False, creates_namespaces=True)
        self.woken: list[tuple[str, bool]] = []
        client = Client(self.sandbox.transport("controller"), qps=0)
        rng = random.Random(1)
        decode = msgspec.json.Decoder(Rollout).decode
        self.rollouts = Informer(client, ROLLOUTS, decode, rng=rng, indexers={"workload": by_workload})
        self.informers = InformersOnDemand()
        self.workloads = Workloads(
            client,
            self.informers,
            self.rollouts,
            wake=lambda key, urgent: self.woken.append((key.name, urgent)),
            rng=rng,
            namespace=namespace,
        )

    def find(self, name: str = "cart") -> FoundWorkload:
        subject = self.rollouts.get(NamespacedName("default", name))
        assert subject is not None
        return self.workloads.find(subject)

    async def found(self, name: str = "cart") -> FoundWorkload:
        """Ask, wait for the first list, and ask again."""
        assert self.find(name).is_pending
        await asyncio.sleep(1)
        return self.find(name)

    def lists(self) -> list[str]:
        return [
            f"{each.verb} {each.resource}"
            for each in self.sandbox.request_log
            if each.client == "controller" and each.resource != "rollouts"
        ]


@asynccontextmanager
async def stage(*objects: dict[str, Any], namespace: str = "") -> AsyncIterator[Stage]:
    on = Stage(namespace)
    on.sandbox.apply(list(objects))
    tasks = [asyncio.create_task(on.rollouts.run()), asyncio.create_task(on.informers.run())]
    try:
        await on.rollouts.wait_synced()
        yield on
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("kind", "api_version", "type_"),
    [
        ("Deployment", "apps/v1", Deployment),
        ("Deployment", "apps/v1beta2", Deployment),
        ("ReplicaSet", "apps/v1", ReplicaSet),
        ("PodTemplate", "v1", PodTemplate),
    ],
)
@virtual_time
async def test_a_workload_is_found_and_a_change_of_it_wakes_its_rollouts(
    kind: str, api_version: str, type_: type
) -> None:
    async with stage(
        rollout("cart", kind, api_version), rollout("other", kind, api_version, "x"), deployment(kind)
    ) as on:
        found = await on.found()
        assert isinstance(found.workload, type_)
        assert found.error == ""
        # The first list wakes everybody who refers to the kind.
        assert on.woken == [("cart", False), ("other", False)]
        on.woken.clear()
        on.sandbox.apply(deployment(kind, image="web:2"))
        await asyncio.sleep(1)
        assert on.woken == [("cart", True)]
        changed = on.find().workload
        assert changed is not None
        assert changed.metadata.generation == found.workload.metadata.generation + 1


@virtual_time
async def test_nothing_is_followed_before_somebody_refers_to_it() -> None:
    async with stage({**ROLLOUT}, deployment()) as on:
        assert on.find() == FoundWorkload()
        await asyncio.sleep(1)
        assert on.lists() == []
        assert on.workloads.informer_of(DEPLOYMENTS) is None


@virtual_time
async def test_two_rollouts_share_one_list() -> None:
    async with stage(rollout(), rollout("other"), deployment()) as on:
        await on.found()
        assert on.find("other").workload is not None
        assert on.lists() == ["list deployments", "watch deployments"]
        informer = on.workloads.informer_of(DEPLOYMENTS)
        assert informer is not None
        assert informer.get(NamespacedName("default", "web")) is not None
        assert on.workloads.informer_of(POD_TEMPLATES) is None


@virtual_time
async def test_what_is_missing_is_found_as_missing_and_wakes_when_it_comes() -> None:
    async with stage(rollout()) as on:
        assert await on.found() == FoundWorkload()
        on.woken.clear()
        on.sandbox.apply(deployment())
        await asyncio.sleep(1)
        assert on.woken == [("cart", True)]
        on.woken.clear()
        on.sandbox.delete("deployments", "web")
        await asyncio.sleep(1)
        assert on.woken == [("cart", True)]
        assert on.find() == FoundWorkload()


@virtual_time
async def test_only_what_a_rollout_may_act_on_wakes_it() -> None:
    async with stage(rollout(), deployment()) as on:
        await on.found()
        on.woken.clear()
        on.sandbox.patch("deployments", "web", {"status": {"replicas": 3}}, subresource="status")
        on.sandbox.patch("deployments", "web", {"metadata": {"annotations": {"anything": "else"}}})
        await asyncio.sleep(1)
        assert on.woken == []
        on.sandbox.patch("deployments", "web", {"metadata": {"annotations": {"prograde.io/replaced-by-rollout": "x"}}})
        await asyncio.sleep(1)
        assert on.woken == [("cart", True)]


@pytest.mark.parametrize(("kind", "api_version"), [("StatefulSet", "apps/v1"), ("Pod", "v1"), ("Deployment", "v1")])
@virtual_time
async def test_other_kinds_are_left_to_the_plan(kind: str, api_version: str) -> None:
    async with stage(rollout("cart", kind, api_version)) as on:
        assert on.find() == FoundWorkload()
        await asyncio.sleep(1)
        assert on.lists() == []


@virtual_time
async def test_a_kind_that_may_not_be_listed_is_an_error_after_a_minute_and_found_when_it_may() -> None:
    async with stage(rollout(), deployment()) as on:
        refused = on.sandbox.faults.add(Answer(403), verbs="list", resource="deployments")
        assert on.find().is_pending
        await asyncio.sleep(59)
        assert on.find().is_pending
        await asyncio.sleep(2)
        assert on.find() == FoundWorkload(error="failed to sync informer for apps/v1, Kind=Deployment")
        on.sandbox.faults.remove(refused)
        await asyncio.sleep(120)
        assert on.find().workload is not None
        assert on.woken == [("cart", False)]


@virtual_time
async def test_the_error_of_a_core_kind_names_its_empty_group() -> None:
    async with stage(rollout("cart", "PodTemplate", "v1")) as on:
        on.sandbox.faults.add(Answer(500), verbs="list", resource="podtemplates")
        on.find()
        await asyncio.sleep(61)
        assert on.find().error == "failed to sync informer for /v1, Kind=PodTemplate"
