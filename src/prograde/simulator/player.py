"""Plays the moves of a history on a world: users, other programs, and accidents.

Every fault is told to the invariants together with what it explains: how far behind a controller may act because of it,
or which promises two controllers at once cannot keep. What heals, ends that as well, a short while later.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

from prograde.api.names import POD_TEMPLATE_HASH_LABEL, ROLLOUT
from prograde.api.rollout import Rollout
from prograde.sandbox.client import Resource
from prograde.sandbox.errors import StatusError
from prograde.sandbox.faults import Action, Delay
from prograde.simulator.disturbances import TROUBLES, CrashPoint, watch_trouble
from prograde.simulator.histories import History, Move, service, surroundings
from prograde.simulator.invariants import Invariants
from prograde.simulator.specs import NAME, WORKLOAD
from prograde.simulator.world import World

__all__ = ["RECOVERY_SECONDS", "Player"]

Json = dict[str, Any]

RECOVERY_SECONDS: Final = 75.0
"""How long a controller may be behind after a fault: back-offs of lists and watches end at a minute, half of it chance,
and those of passes that fail on what is stale meanwhile ten seconds later."""

REQUEST_FAULT_SECONDS: Final = 15.0
"""How far behind failing requests may keep a controller: its retries back off to ten seconds."""

WATCH_FAULT_SECONDS: Final = 180.0
"""How far behind broken watches may keep a controller: several of them in a row, each after a back-off of its own."""

PODS_SECONDS: Final = 2.0
"""Pods that fail in the same moment as the controller counts them."""

RIVAL_EXCUSES: Final = (
    "surge",
    "one_version_at_a_time",
    "availability",
    "traffic_keeps_its_pods",
    "no_traffic_to_nobody",
    "switch_to_the_ready",
)
"""Two controllers may each keep a limit and exceed it together: sizes of two ReplicaSets are no single write."""

AUTOSCALER_SECONDS: Final = 5.0
GITOPS_SECONDS: Final = 10.0


class Player:
    """Makes moves on one world."""

    def __init__(
        self,
        it: World,
        invariants: Invariants,
        history: History,
        point: CrashPoint,
        log: Callable[[str], None],
    ) -> None:
        self.it = it
        self.invariants = invariants
        self.history = history
        self._point = point
        self._log = log
        self._rng = random.Random(history.seed)
        self._later: list[asyncio.Task[None]] = []
        """What will happen by itself: a controller that comes back, a program that writes again and again."""

    async def make(self, move: Move) -> None:
        """Do what `move` says, and wait as long as it lasts."""
        self._log(f"move {move}")
        match move.kind:
            case "crash":
                if self.it.has_controller:
                    await self._crash(move.value)
            case "crash-at-write":
                if self.it.has_controller:
                    self._start(self._crash_at(*move.value))
            case "rival":
                await self._have_rival(move.value)
            case "clock-jumps":
                self.it.skew += timedelta(seconds=move.value)
                self.invariants.forget_plans()
            case "heal":
                self.it.sandbox.faults.heal()
                self.invariants.end_allowances(RECOVERY_SECONDS)
            case "autoscaler":
                self._start(self._autoscale(move.value))
            case "gitops":
                self._start(self._revert_again_and_again())
            case "pods-fail" | "kubelet-stops" | "node-vanishes":
                await self._hurt_pods(move)
            case "delete-and-recreate":
                if self.exists():
                    self.as_user(lambda: self.it.sandbox.delete("rollouts", NAME))
                    self._start(self._after(move.value, self.recreate))
            case "lose-service":
                with contextlib.suppress(StatusError):
                    self.as_user(lambda: self.it.sandbox.delete("services", "active"))
                self._start(self._after(move.value, self.restore_surroundings))
            case _ if not self._disturb(move) and self.exists():
                self.as_user(lambda: self._edit(move))

    async def heal(self) -> None:
        """Let everything around the Rollout be well, and everybody do their work again."""
        await self.end()
        self.it.sandbox.faults.heal()
        self.it.sandbox.api.end_watches()
        self.invariants.end_allowances(RECOVERY_SECONDS)
        self._restart_controller()
        controllers = self.it.sandbox.controllers
        assert controllers is not None, "a world has controllers"
        controllers.kubelet.resume()
        for node in self.it.sandbox.list("nodes"):
            controllers.nodes.recover(node["metadata"]["name"])
        self.restore_surroundings()
        self.recreate()

    async def end(self) -> None:
        """End everything that would happen by itself."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        self._later.clear()
        if self._point.reached.is_set():
            # Whoever was to end the controller here has just been cancelled, and it would be silent for ever.
            await self.it.crash_controller()
            self.invariants.forget_plans()
        self._point.disarm()
        await self.it.crash_rival()

    # --- what goes wrong --------------------------------------------------------------------------------------------

    def _disturb(self, move: Move) -> bool:
        """Set a fault between controller and cluster; return False if the move is none."""
        if move.kind in TROUBLES:
            verbs, resource, probability, times = move.value
            self.invariants.allow_staleness(REQUEST_FAULT_SECONDS)
            self._add_fault(TROUBLES[move.kind], verbs=verbs, resource=resource, probability=probability, times=times)
        elif move.kind == "slow":
            # A pass makes several requests, and what it knows is older with each.
            self.invariants.allow_staleness(REQUEST_FAULT_SECONDS + move.value)
            self._add_fault(Delay(move.value / 10), verbs="patch,create,delete,get,list")
        elif move.kind == "forget-history":
            self.invariants.allow_staleness(RECOVERY_SECONDS, RECOVERY_SECONDS)
            self.it.sandbox.expire_watches()
        else:
            action = watch_trouble(move.kind, move.value) if isinstance(move.value, (int, float)) else None
            if action is None:
                return False
            self.invariants.allow_staleness(WATCH_FAULT_SECONDS)
            self._add_fault(action, verbs="watch,list", probability=0.7)
            self.it.sandbox.api.end_watches()
        return True

    def _add_fault(self, action: Action, *, verbs: str, resource: str = "", **more: Any) -> None:
        self.it.sandbox.faults.add(action, verbs=verbs, resource=resource, client="rollouts-controller", **more)

    async def _crash(self, seconds: float) -> None:
        await self.it.crash_controller()
        self.invariants.forget_plans()
        self._start(self._after(seconds, self._restart_controller))

    async def _crash_at(self, writes: int, seconds: float) -> None:
        self._point.arm(writes)
        await self._point.reached.wait()
        self._log("the controller ends between two writes")
        if self.it.has_controller:
            await self.it.crash_controller()
        self.invariants.forget_plans()
        self._point.disarm()
        await asyncio.sleep(seconds)
        self._restart_controller()

    def _restart_controller(self) -> None:
        if not self.it.has_controller:
            self.it.start_controller()

    async def _have_rival(self, seconds: float) -> None:
        if self.it.has_rival:
            return
        self.invariants.excuse(RIVAL_EXCUSES, seconds + REQUEST_FAULT_SECONDS)
        self.invariants.allow_staleness(REQUEST_FAULT_SECONDS, seconds + REQUEST_FAULT_SECONDS)
        self.it.start_rival()
        await asyncio.sleep(seconds)
        await self.it.crash_rival()
        self.invariants.forget_plans()

    async def _hurt_pods(self, move: Move) -> None:
        controllers = self.it.sandbox.controllers
        assert controllers is not None, "a world has controllers"
        match move.kind:
            case "kubelet-stops":
                controllers.kubelet.pause()
                await asyncio.sleep(move.value)
                controllers.kubelet.resume()
            case "node-vanishes":
                nodes = [node["metadata"]["name"] for node in self.it.sandbox.list("nodes")]
                name = self._rng.choice(nodes)
                self.invariants.allow_staleness(PODS_SECONDS, move.value + RECOVERY_SECONDS)
                controllers.nodes.fail(name)
                self._start(self._after(move.value * 10, lambda: controllers.nodes.recover(name)))
            case _:
                self.invariants.allow_staleness(PODS_SECONDS, PODS_SECONDS)
                for pod in self.it.sandbox.list("pods"):
                    if self._rng.random() < move.value:
                        name = pod["metadata"]["name"]
                        controllers.kubelet.fail_pod("default", name, "Evicted", "The node was low on memory.")

    # --- other programs -------------------------------------------------------------------------------------------

    async def _autoscale(self, sizes: list[int]) -> None:
        """Write one size after the other, as an autoscaler does that follows the load."""
        for size in sizes:
            await asyncio.sleep(AUTOSCALER_SECONDS)
            if self.exists():
                self.as_user(lambda size=size: self.it.patch(NAME, {"spec": {"replicas": size}}))  # type: ignore[misc]

    async def _revert_again_and_again(self) -> None:
        """Write everything around the Rollout as its repository has it, over and over."""
        while True:
            await asyncio.sleep(GITOPS_SECONDS)
            if self.exists():
                self.restore_surroundings(everything=True)

    # --- users ------------------------------------------------------------------------------------------------------

    def _edit(self, move: Move) -> None:
        it = self.it
        rollout = it.rollout(NAME)
        match move.kind:
            case "promote":
                it.promote(NAME)
                if rollout.spec.paused:
                    it.patch(NAME, {"spec": {"paused": False}})
            case "promote-full":
                if rollout.status.current_pod_hash != rollout.status.stable_rs:
                    it.patch(NAME, {"status": {"promoteFull": True}}, "status")
            case "skip-step":
                self._skip_step(rollout)
            case "abort":
                it.abort(NAME)
            case "retry":
                it.retry(NAME)
            case "image":
                self.set_image(move.value)
            case "image-and-size":
                image, size = move.value
                if self.history.scale_down:
                    self.set_image(image)
                    it.patch(NAME, {"spec": {"replicas": size}})
                else:
                    it.patch(NAME, {"spec": {"replicas": size, "template": _template(image)}})
            case "undo":
                self._undo(move.value)
            case "scale":
                it.patch(NAME, {"spec": {"replicas": move.value}})
            case "steps" | "limits":
                self._change_canary(rollout, move)
            case "strategy":
                self._replace_strategy(move.value)
            case "pause" | "unpause":
                it.patch(NAME, {"spec": {"paused": move.kind == "pause"}})
            case "restart":
                it.patch(NAME, {"spec": {"restartAt": f"{it.sandbox.clock():%Y-%m-%dT%H:%M:%SZ}"}})
            case "make-invalid":
                it.patch(NAME, {"spec": {"minReadySeconds": 10_000}})
            case "make-valid":
                it.patch(NAME, {"spec": {"minReadySeconds": 0}})
            case kind:
                raise ValueError(f"nobody knows how to {kind}")

    def _skip_step(self, rollout: Rollout) -> None:
        canary = rollout.spec.strategy.canary
        if canary is not None and canary.steps:
            index = min((rollout.status.current_step_index or 0) + 1, len(canary.steps))
            self.it.patch(NAME, {"status": {"pauseConditions": None, "currentStepIndex": index}}, "status")

    def _change_canary(self, rollout: Rollout, move: Move) -> None:
        canary = rollout.spec.strategy.canary
        if canary is None:
            return
        if move.kind == "limits":
            changed: Json = {"maxSurge": None, "maxUnavailable": None, **move.value}
        else:
            has_router = canary.traffic_routing is not None
            changed = {"steps": [step for step in move.value if has_router or "setCanaryScale" not in step]}
        self.it.patch(NAME, {"spec": {"strategy": {"canary": changed}}})

    def _replace_strategy(self, strategy: Json) -> None:
        patch = [{"op": "replace", "path": "/spec/strategy", "value": strategy}]
        self.it.sandbox.patch("rollouts", NAME, patch, patch_type="json")
        self.restore_surroundings()

    def _undo(self, share: float) -> None:
        """Go back to one of the revisions that there are; `share` is a place among them, 0 to 1."""
        images = [each["spec"]["template"]["spec"]["containers"][0]["image"] for each in self.sets()]
        if images:
            self.set_image(images[min(int(share * len(images)), len(images) - 1)])

    def set_image(self, image: str) -> None:
        """Change the image where the template is."""
        resource, name = ("deployments", WORKLOAD) if self.history.scale_down else ("rollouts", NAME)
        self.it.sandbox.patch(resource, name, {"spec": {"template": _template(image)}})

    def image(self) -> str:
        """Return the image of the template."""
        resource, name = ("deployments", WORKLOAD) if self.history.scale_down else ("rollouts", NAME)
        template = self.it.sandbox.get(resource, name)["spec"]["template"]
        image: str = template["spec"]["containers"][0]["image"]
        return image

    def recreate(self) -> None:
        """Apply the whole history's manifests again if the Rollout is gone."""
        if not self.exists():
            self.apply(self.history.manifests)

    def restore_surroundings(self, *, everything: bool = False) -> None:
        """Bring back what the Rollout names and is gone; with `everything`, as it was written in the beginning."""
        rollout = self.it.sandbox.get("rollouts", NAME) if self.exists() else self.history.rollout
        wanted = surroundings({"kind": ROLLOUT, "metadata": rollout["metadata"], "spec": rollout["spec"]})
        if everything:
            # As a server-side apply of the whole: what is not in the manifest and somebody else's stays.
            wanted = [_with_cleared_hash(each) for each in wanted]
        else:
            wanted = [each for each in wanted if not self._has(each)]
        self.apply(wanted)

    # --- details ----------------------------------------------------------------------------------------------------

    def as_user(self, act: Callable[[], Any]) -> None:
        with self.invariants.by_user():
            act()

    def apply(self, manifests: list[Json]) -> None:
        self.as_user(lambda: self.it.apply(manifests))

    def exists(self) -> bool:
        return any(
            each["metadata"]["name"] == NAME and "deletionTimestamp" not in each["metadata"]
            for each in self.it.sandbox.list("rollouts")
        )

    def sets(self) -> list[Json]:
        """Return the ReplicaSets of the Rollout that exists now."""
        uid = self.it.sandbox.get("rollouts", NAME)["metadata"]["uid"]
        return [
            each
            for each in self.it.sandbox.list("replicasets")
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or ())
        ]

    def _has(self, manifest: Json) -> bool:
        kind = self.it.sandbox.kind(manifest["kind"])
        name: Resource = kind.storage_key
        namespace = "default" if kind.namespaced else ""
        return self.it.sandbox.client().get(name, namespace, manifest["metadata"]["name"]) is not None

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._later.append(asyncio.create_task(work))

    async def _after(self, seconds: float, what: Callable[[], None]) -> None:
        await asyncio.sleep(seconds)
        what()


def _template(image: str) -> Json:
    """Return the patch of a pod template that sets the image."""
    return {"spec": {"containers": [{"name": "demo", "image": image}]}}


def _with_cleared_hash(manifest: Json) -> Json:
    """Return a Service's manifest as a tool writes it that takes away what it does not know."""
    if manifest["kind"] != service("x")["kind"]:
        return manifest
    selector = {**manifest["spec"]["selector"], POD_TEMPLATE_HASH_LABEL: None}
    return {**manifest, "spec": {**manifest["spec"], "selector": selector}}
