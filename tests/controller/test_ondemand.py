"""Informers that begin when they are needed."""

import asyncio
import random

import msgspec
from tests.controller.test_apply import ROLLOUT
from tests.kube.virtual_time import virtual_time

from prograde.api.rollout import Rollout
from prograde.controller.ondemand import InformersOnDemand, OnDemand
from prograde.controller.resources import ROLLOUTS
from prograde.kube.client import Client
from prograde.kube.informer import Informer
from prograde.sandbox.cluster import Sandbox
from prograde.simulator.loop import EPOCH


class Stage:
    def __init__(self) -> None:
        self.sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
        self.sandbox.apply(ROLLOUT)
        self.informers = InformersOnDemand()
        self.synced = 0
        client = Client(self.sandbox.transport("controller"), qps=0)
        informer = Informer(client, ROLLOUTS, msgspec.json.Decoder(Rollout).decode, rng=random.Random(1))
        self.rollouts = OnDemand(self.informers, informer, synced=self.count)

    def count(self) -> None:
        assert len(self.rollouts.informer) == 1, "told when the list is there, not before"
        self.synced += 1

    @property
    def requests(self) -> list[str]:
        return [each.verb for each in self.sandbox.request_log if each.client == "controller"]


@virtual_time
async def test_one_that_nobody_uses_asks_for_nothing() -> None:
    on = Stage()
    task = asyncio.create_task(on.informers.run())
    await asyncio.sleep(60)
    assert on.requests == []
    assert not on.rollouts.is_started
    assert len(on.rollouts.informer) == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@virtual_time
async def test_it_begins_once_however_often_it_is_used_and_tells_of_its_first_list() -> None:
    on = Stage()
    task = asyncio.create_task(on.informers.run())
    await asyncio.sleep(1)
    for _ in range(3):
        assert on.rollouts.use() is on.rollouts.informer
    assert not on.rollouts.informer.has_synced
    await asyncio.sleep(1)
    assert on.rollouts.informer.has_synced
    assert on.requests == ["list", "watch"]
    assert on.synced == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@virtual_time
async def test_one_that_is_used_early_begins_with_the_others() -> None:
    on = Stage()
    on.rollouts.use()
    await asyncio.sleep(1)
    assert on.requests == []
    task = asyncio.create_task(on.informers.run())
    await asyncio.sleep(1)
    assert on.synced == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    on.sandbox.apply({**ROLLOUT, "metadata": {"name": "later"}})
    await asyncio.sleep(1)
    assert len(on.rollouts.informer) == 1, "it ends with the others"
