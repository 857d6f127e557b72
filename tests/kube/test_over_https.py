"""From a kubeconfig file over HTTPS to an API server and back: every layer of this package at once, in real time."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from prograde.api.meta import ObjectMeta
from prograde.kube.backoff import Backoff
from prograde.kube.client import Client
from prograde.kube.config import Overrides, load_kubeconfig
from prograde.kube.errors import Unauthorized
from prograde.kube.http import HttpTransport
from prograde.kube.informer import Informer
from prograde.kube.resources import Resource
from prograde.sandbox.clock import wall_clock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.endpoint import Endpoint
from prograde.sandbox.faults import CutWatch

pytestmark = pytest.mark.cluster

CONFIG_MAPS = Resource(plural="configmaps", kind="ConfigMap")


class ConfigMap(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    data: dict[str, str] = {}


def config_map(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}


@asynccontextmanager
async def connecting(endpoint: Endpoint, **overrides: Any) -> AsyncIterator[Client]:
    config = load_kubeconfig([endpoint.kubeconfig], Overrides(**overrides), environ={}, now=lambda: datetime.now(UTC))
    client = Client(HttpTransport(config, user_agent="prograde/test"), rng=random.Random(1))
    try:
        yield client
    finally:
        await client.close()


class Waiter:
    """Lets a test wait until subscribers have been told of an object in a certain state."""

    def __init__(self, informer: Informer[ConfigMap]) -> None:
        self.informer = informer
        self.changed = asyncio.Event()
        informer.subscribe(lambda old, new: self.changed.set())

    async def until(self, expected: dict[str, int]) -> None:
        """Wait until names and sizes of the cached objects are as expected."""
        async with asyncio.timeout(30):
            while {obj.metadata.name: len(obj.data["value"]) for obj in self.informer.all()} != expected:
                self.changed.clear()
                await self.changed.wait()


async def test_an_informer_follows_large_objects_through_cut_connections_and_a_restart_of_all_watches() -> None:
    sandbox = Sandbox(now=wall_clock, controllers=False)
    sandbox.create(config_map("a", "1"))
    async with sandbox.serving() as endpoint, connecting(endpoint) as client, asyncio.TaskGroup() as group:
        rng = random.Random(1)
        informer = Informer(
            client,
            CONFIG_MAPS,
            msgspec.json.Decoder(ConfigMap).decode,
            rng=rng,
            namespace="default",
            field_selector="metadata.name!=kube-root-ca.crt",
            backoff=Backoff(rng, base_seconds=0.01),
        )
        waiter = Waiter(informer)
        cut = sandbox.faults.add(CutWatch(after_events=1, is_mid_line=True), verbs="watch", times=2)
        task = group.create_task(informer.run())
        await informer.wait_synced()
        known = {"a": 1}
        await waiter.until(known)
        for number in range(4):
            sandbox.create(config_map(f"big{number}", "x" * 900_000))
            known[f"big{number}"] = 900_000
        await waiter.until(known)
        assert cut.hits == 2
        sandbox.delete("configmaps", "big0")
        sandbox.expire_watches()
        sandbox.delete("configmaps", "big1")
        del known["big0"], known["big1"]
        await waiter.until(known)
        task.cancel()


async def test_a_wrong_token_is_told() -> None:
    sandbox = Sandbox(now=wall_clock, controllers=False)
    async with sandbox.serving() as endpoint, connecting(endpoint, token="wrong") as client:
        with pytest.raises(Unauthorized, match="list configmaps default"):
            await client.list(CONFIG_MAPS, "default")


async def test_plain_http_needs_no_credentials() -> None:
    sandbox = Sandbox(now=wall_clock, controllers=False)
    sandbox.create(config_map("a", "1"))
    async with sandbox.serving(insecure_http=True) as endpoint, connecting(endpoint) as client:
        answer = await client.get(CONFIG_MAPS, "default", "a")
        assert answer.to(ConfigMap).data == {"value": "1"}
