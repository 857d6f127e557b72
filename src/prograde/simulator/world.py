"""A cluster and the real controller on one virtual clock: whole releases in milliseconds, the same in every run.

The controller is the one that production runs, over the in-process transport. `wrap` puts faults between the two.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from prograde.api.names import EVENT_SOURCE_COMPONENT
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.controller.controller import Controller
from prograde.controller.metrics import ControllerMetrics
from prograde.controller.questions import CallPlugin, no_plugins
from prograde.controller.settings import ControllerSettings
from prograde.core.plan import Plan
from prograde.core.rollout.status import phase_and_message
from prograde.core.routing import RoutersOf
from prograde.kube.client import Client
from prograde.kube.events import EventRecorder
from prograde.kube.transport import Transport
from prograde.sandbox.cluster import Sandbox
from prograde.simulator.loop import wall_clock
from prograde.traffic.registry import routers_of

__all__ = ["World", "world"]


class World:
    """What a user does to the cluster, what a user sees of it, and what becomes of the controller meanwhile."""

    def __init__(
        self,
        sandbox: Sandbox,
        settings: ControllerSettings,
        wrap: Callable[[Transport], Transport],
        planned: Callable[[Rollout, Plan[RolloutStatus]], None],
        routers_of: RoutersOf,
        call_plugin: CallPlugin,
    ) -> None:
        self.sandbox = sandbox
        self.metrics = ControllerMetrics()
        self._settings = settings
        self._wrap = wrap
        self._planned = planned
        self._routers_of = routers_of
        self._call_plugin = call_plugin
        self.skew = timedelta(0)
        """How far the controllers' clock is ahead of the cluster's."""
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._rival: asyncio.Task[None] | None = None

    # --- the controller -----------------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        """Start a controller that knows nothing of any other before it."""
        assert self._task is None, "a controller is running"
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run_controller(self._stop))

    async def stop_controller(self) -> None:
        """Stop in an orderly way."""
        self._stop.set()
        task, self._task = self._task, None
        if task is not None:
            await task

    async def crash_controller(self) -> None:
        """End the controller at once, wherever it is; what it has sent may still take effect."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def start_rival(self) -> None:
        """Start a second controller beside the first: a leader that has not noticed yet that it leads no more."""
        assert self._rival is None, "two rivals are more than the worst case"
        self._rival = asyncio.create_task(self._run_controller(asyncio.Event()))

    async def crash_rival(self) -> None:
        """End the second controller at once."""
        task, self._rival = self._rival, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def has_controller(self) -> bool:
        return self._task is not None

    @property
    def has_rival(self) -> bool:
        return self._rival is not None

    async def _run_controller(self, stop: asyncio.Event) -> None:
        rng = random.Random(1)
        transport = self._wrap(self.sandbox.transport("rollouts-controller"))
        client = Client(transport, qps=0, observer=self.metrics.observe_request, rng=rng)
        recorder = EventRecorder(client, component=EVENT_SOURCE_COMPONENT, now=self._controllers_clock, rng=rng)
        controller = Controller(
            client,
            self._settings,
            self.metrics,
            recorder,
            now=self._controllers_clock,
            rng=rng,
            routers_of=self._routers_of,
            planned=self._planned,
            call_plugin=self._call_plugin,
        )
        await controller.run(stop)

    def _controllers_clock(self) -> datetime:
        return wall_clock() + self.skew

    # --- doing -------------------------------------------------------------------------------------------------------

    def apply(self, manifest: str | Path | dict[str, Any] | list[dict[str, Any]]) -> None:
        self.sandbox.apply(manifest.read_text() if isinstance(manifest, Path) else manifest)

    def patch(self, name: str, patch: dict[str, Any], subresource: str = "") -> None:
        self.sandbox.patch("rollouts", name, patch, subresource=subresource)

    def set_image(self, name: str, image: str) -> None:
        template = self.sandbox.get("rollouts", name)["spec"]["template"]
        containers = [{**container, "image": image} for container in template["spec"]["containers"]]
        self.patch(name, {"spec": {"template": {"spec": {"containers": containers}}}})

    def promote(self, name: str) -> None:
        self.patch(name, {"status": {"pauseConditions": None}}, "status")

    def abort(self, name: str) -> None:
        self.patch(name, {"status": {"abort": True}}, "status")

    def retry(self, name: str) -> None:
        self.patch(name, {"status": {"abort": False}}, "status")

    # --- seeing ------------------------------------------------------------------------------------------------------

    def rollout(self, name: str) -> Rollout:
        return self.rollout_in("default", name)

    def rollout_in(self, namespace: str, name: str) -> Rollout:
        return msgspec.json.decode(msgspec.json.encode(self.sandbox.get("rollouts", name, namespace)), type=Rollout)

    def phase(self, name: str) -> str:
        return phase_and_message(self.rollout(name))[0]

    def sizes(self) -> dict[str, int]:
        """Return the wanted size of every ReplicaSet, by image."""
        return {
            replica_set["spec"]["template"]["spec"]["containers"][0]["image"]: replica_set["spec"]["replicas"]
            for replica_set in self.sandbox.list("replicasets")
        }

    def event_reasons(self, name: str) -> list[str]:
        return [event["reason"] for event in self.sandbox.events(f"rollout/{name}")]

    def writes(self) -> list[tuple[str, str]]:
        """Return verb and path of every write that came through the API's door."""
        return [
            (each.verb, each.path) for each in self.sandbox.request_log if each.verb not in ("get", "list", "watch")
        ]

    async def until(self, is_true: Callable[[], bool], seconds: float = 600) -> None:
        """Let time pass until the condition holds; fail when it does not within so many (virtual) seconds."""
        for _ in range(int(seconds * 10)):
            if is_true():
                return
            await asyncio.sleep(0.1)
        names = [each["metadata"]["name"] for each in self.sandbox.list("rollouts")]
        states = {name: (self.rollout(name).status, self.sizes()) for name in names}
        raise AssertionError(f"not true after {seconds} s: {states}")

    async def until_phase(self, name: str, phase: str, seconds: float = 600) -> None:
        await self.until(lambda: self.phase(name) == phase, seconds)


@asynccontextmanager
async def world(
    *,
    profile: str = "fast",
    settings: ControllerSettings | None = None,
    wrap: Callable[[Transport], Transport] = lambda transport: transport,
    planned: Callable[[Rollout, Plan[RolloutStatus]], None] = lambda rollout, plan: None,
    routers_of: RoutersOf = routers_of,
    call_plugin: CallPlugin = no_plugins,
    seed: int = 7,
    sandbox: Sandbox | None = None,
) -> AsyncIterator[World]:
    """Yield a cluster with a running controller; to be used on a virtual-time loop.

    Args:
        profile: how fast pods start.
        wrap: puts something between controller and cluster, for example faults.
        planned: is told of every plan that a controller has carried out.
        routers_of: knows the traffic routers.
        call_plugin: calls step plugins.
        seed: of everything random in the cluster.
        sandbox: a cluster made elsewhere, on `wall_clock`; `profile` and `seed` mean nothing then.
    """
    if sandbox is None:
        sandbox = Sandbox(now=wall_clock, seed_number=seed, profile=profile)
    made = World(sandbox, settings or ControllerSettings(), wrap, planned, routers_of, call_plugin)
    async with sandbox.running():
        made.start_controller()
        try:
            yield made
        finally:
            await made.crash_rival()
            await made.stop_controller()
