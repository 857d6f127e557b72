"""An embedded cluster with the real controller, which measures at a server that a test controls, in real time."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.providers.fake_server import FakeServer

from prograde import __version__
from prograde.controller.controller import Controller
from prograde.controller.metrics import ControllerMetrics
from prograde.controller.settings import ControllerSettings
from prograde.kube.client import Client
from prograde.kube.events import EventRecorder
from prograde.providers.http import Http
from prograde.sandbox.clock import wall_clock
from prograde.sandbox.cluster import Sandbox

__all__ = ["FINISHED", "PATIENCE_SECONDS", "Cluster", "controlling", "measuring", "web_metric"]

FINISHED = ("Successful", "Failed", "Error", "Inconclusive")

PATIENCE_SECONDS = 15.0


class Cluster:
    """An embedded cluster with a controller that measures."""

    def __init__(self, sandbox: Sandbox, controller: Controller) -> None:
        self.sandbox = sandbox
        self.controller = controller

    async def wait(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                await asyncio.sleep(0.02)

    def create(self, name: str, *metrics: dict[str, Any], **spec: Any) -> None:
        self.sandbox.apply(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "AnalysisRun",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"metrics": list(metrics), **spec},
            }
        )

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.sandbox.get("analysisruns", name).get("status") or {}
        return status

    async def until(self, name: str, *phases: str) -> dict[str, Any]:
        await self.wait(lambda: self.status(name).get("phase") in phases)
        return self.status(name)

    def events(self, name: str) -> list[str]:
        return [each["reason"] for each in self.sandbox.events() if each["involvedObject"]["name"] == name]


@asynccontextmanager
async def controlling(sandbox: Sandbox) -> AsyncIterator[Controller]:
    """Run a controller until the end of the block, and then as long as its work in hand takes."""
    rng = random.Random(1)
    async with Http(environment_proxies=False) as http:
        client = Client(sandbox.transport(f"controller/{__version__}"), qps=0, rng=rng)
        recorder = EventRecorder(client, component="rollouts-controller", now=wall_clock, rng=rng)
        controller = Controller(
            client,
            ControllerSettings(),
            ControllerMetrics(),
            recorder,
            now=wall_clock,
            rng=rng,
            http=http,
            environment={},
        )
        stop = asyncio.Event()
        running = asyncio.create_task(controller.run(stop))
        try:
            yield controller
        finally:
            stop.set()
            await running


@asynccontextmanager
async def measuring() -> AsyncIterator[Cluster]:
    sandbox = Sandbox(now=wall_clock, seed_number=1, profile="instant")
    async with sandbox.running(), controlling(sandbox) as controller:
        yield Cluster(sandbox, controller)


def web_metric(server: FakeServer, path: str = "/rate", **fields: Any) -> dict[str, Any]:
    return {"name": "rate", "provider": {"web": {"url": f"{server.url}{path}", "jsonPath": "{$.rate}"}}, **fields}
