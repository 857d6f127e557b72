"""One seed, from its first manifest to rest: what happened, and what of it should not have.

    the history's moves      users and accidents, while `Invariants` watches every write
    all is healed            the Rollout must come to rest, and say why it rests there
    a good version           it must become Healthy, whatever went before
    half an hour of silence  nothing may be written

The same seed gives the same run, write for write; `Run.digest` is equal exactly if everything was.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from prograde.api.names import PHASE_DEGRADED, PHASE_HEALTHY, PHASE_PAUSED, POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION
from prograde.core.rollout.status import phase_and_message
from prograde.sandbox.client import Resource
from prograde.sandbox.errors import StatusError
from prograde.sandbox.faults import (
    Action,
    Answer,
    CutWatch,
    Delay,
    DelayEvents,
    Disconnect,
    ExpireWatch,
    RepeatEvents,
    StaleList,
)
from prograde.simulator.histories import BROKEN_IMAGES, GOOD_IMAGES, NAME, History, Move, history_of, service
from prograde.simulator.invariants import Invariants
from prograde.simulator.loop import run_virtually
from prograde.simulator.world import world

__all__ = ["Run", "run_seed"]

REST_SECONDS: Final = 1200.0
"""The longest way to rest: five pauses of a minute, and eight pods one after the other, each slow to be available."""

SILENCE_SECONDS: Final = 2000.0
"""More than two resyncs, at which every Rollout is looked at again."""

UNDISTURBED_SECONDS: Final = 1.0
"""How far the controller may be behind in the best of networks: counts of pods may wait that long to be written."""

DISTURBED_SECONDS: Final = 45.0
"""How far behind with late events, slow requests and broken connections: their own delays, and the way back."""

RETRIES_MAX: Final = 3

FLAPPING: Final = ("crash", "oom")
"""Images whose pods come and go for ever: every coming counts as progress, so an update neither ends nor is late."""


@dataclass
class Run:
    """What came of a seed."""

    seed: int
    history: History
    log: list[str] = field(default_factory=list)
    """Every write and every move, with its time."""
    failure: str = ""
    """What should not have happened; empty for a good run."""
    requests: int = 0

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.log).encode()).hexdigest()

    def story(self) -> str:
        """Return the failure with what is needed to see it again."""
        moves = "\n".join(f"  {move}" for move in self.history.moves)
        tail = "\n".join(f"  {line}" for line in self.log[-25:])
        return (
            f"seed {self.seed}: {self.failure}\n"
            f"again: python -m prograde.simulator --seeds 1 --start {self.seed}\n"
            f"spec: {self.history.spec}\nmoves:\n{moves}\nlast writes:\n{tail}"
        )


def run_seed(seed: int) -> Run:
    """Run the history of `seed` on a clock of its own; failures are in the result."""
    run = Run(seed, history_of(seed))
    # What would go to an operator's log is told by the run's own log, in the order of things.
    logger = logging.getLogger("prograde")
    level, logger.level = logger.level, logging.CRITICAL + 1
    try:
        run_virtually(_Player(run).play())
    except AssertionError as err:
        run.failure = str(err) or repr(err)
    finally:
        logger.level = level
    return run


class _Player:
    """Plays one history."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rng = random.Random(run.seed)
        self.retries = 0
        self.again: list[asyncio.Task[None]] = []
        """What will happen later by itself: a controller that comes back, a rival that ends."""

    async def play(self) -> None:
        async with world(seed=self.run.seed) as it:
            self.it = it
            self.invariants = Invariants(it.sandbox, staleness_seconds=UNDISTURBED_SECONDS)
            it.sandbox.client("log").subscribe(self._log_change)
            try:
                self._apply(self.run.history.manifests)
                for move in self.run.history.moves:
                    await asyncio.sleep(move.after_seconds)
                    self._check()
                    await self._make(move)
                await self._heal()
                await self._expect_rest()
                await self._expect_health()
                await self._expect_silence()
            finally:
                self.run.requests = sum(it.sandbox.request_log.counts.values())
                for task in self.again:
                    task.cancel()
                await asyncio.gather(*self.again, return_exceptions=True)

    # --- the log --------------------------------------------------------------------------------------------------

    def _log_change(self, change: str, resource: Resource, new: dict[str, Any], _: dict[str, Any] | None) -> None:
        metadata = new["metadata"]
        detail = ""
        if resource[1] == "rollouts":
            status = new.get("status") or {}
            shown = ("phase", "currentStepIndex", "abort", "controllerPause", "stableRS", "currentPodHash")
            detail = " ".join(f"{name}={status[name]}" for name in shown if name in status)
        elif resource[1] == "replicasets":
            detail = (
                f"wanted={new['spec'].get('replicas')} available={(new.get('status') or {}).get('availableReplicas')}"
            )
        elif resource[1] == "services":
            detail = str((new["spec"].get("selector") or {}).get(POD_TEMPLATE_HASH_LABEL, ""))
        self._log(f"{change} {resource[1]}/{metadata['name']} {metadata.get('resourceVersion')} {detail}")

    def _log(self, text: str) -> None:
        self.run.log.append(f"{asyncio.get_running_loop().time():.6f} {text}")

    # --- moves ----------------------------------------------------------------------------------------------------

    async def _make(self, move: Move) -> None:
        self._log(f"move {move}")
        match move.kind:
            case "crash":
                if self.it.has_controller:
                    await self.it.crash_controller()
                    self._later(move.value, self._restart_controller)
            case "rival":
                if not self.it.has_rival:
                    self.invariants.is_lenient = True
                    self.it.start_rival()
                    await asyncio.sleep(move.value)
                    await self.it.crash_rival()
                    self._later(DISTURBED_SECONDS, self._end_leniency)
            case "heal":
                self.it.sandbox.faults.heal()
            case kind if kind in _TROUBLES:
                verbs, resource, probability, times = move.value
                self._add_fault(_TROUBLES[kind], verbs=verbs, resource=resource, probability=probability, times=times)
            case "slow":
                self._add_fault(Delay(move.value / 10), verbs="patch,create,delete,get,list")
            case kind if kind in _WATCH_TROUBLES:
                self._add_fault(_WATCH_TROUBLES[kind](move.value), verbs="watch,list", probability=0.7)
                self.it.sandbox.api.end_watches()
            case "forget-history":
                self._go_behind()
                self.it.sandbox.expire_watches()
            case "pods-fail" | "kubelet-stops":
                await self._hurt_pods(move)
            case "delete-and-recreate":
                if self._exists():
                    self._as_user(lambda: self.it.sandbox.delete("rollouts", NAME))
                    self._later(move.value, self._recreate)
            case "lose-service":
                with contextlib.suppress(StatusError):
                    self._as_user(lambda: self.it.sandbox.delete("services", "active"))
                self._later(move.value, self._restore_services)
            case _:
                if self._exists():
                    self._as_user(lambda: self._edit(move))

    async def _hurt_pods(self, move: Move) -> None:
        controllers = self.it.sandbox.controllers
        assert controllers is not None
        self._go_behind()
        if move.kind == "kubelet-stops":
            controllers.kubelet.pause()
            await asyncio.sleep(move.value)
            controllers.kubelet.resume()
            return
        for pod in self.it.sandbox.list("pods"):
            if self.rng.random() < move.value:
                controllers.kubelet.fail_pod(
                    "default", pod["metadata"]["name"], "Evicted", "The node was low on memory."
                )

    def _edit(self, move: Move) -> None:
        it = self.it
        rollout = it.rollout(NAME)
        canary = rollout.spec.strategy.canary
        match move.kind:
            case "promote":
                it.promote(NAME)
                if rollout.spec.paused:
                    it.patch(NAME, {"spec": {"paused": False}})
            case "promote-full":
                if rollout.status.current_pod_hash != rollout.status.stable_rs:
                    it.patch(NAME, {"status": {"promoteFull": True}}, "status")
            case "skip-step":
                if canary is not None and canary.steps:
                    index = min((rollout.status.current_step_index or 0) + 1, len(canary.steps))
                    it.patch(NAME, {"status": {"pauseConditions": None, "currentStepIndex": index}}, "status")
            case "abort":
                it.abort(NAME)
            case "retry":
                it.retry(NAME)
            case "image":
                it.set_image(NAME, move.value)
            case "image-and-size":
                image, size = move.value
                it.patch(NAME, {"spec": {"replicas": size, "template": self._template(image)}})
            case "undo":
                self._undo(move.value)
            case "scale":
                it.patch(NAME, {"spec": {"replicas": move.value}})
            case "steps":
                if canary is not None:
                    it.patch(NAME, {"spec": {"strategy": {"canary": {"steps": move.value}}}})
            case "limits":
                if canary is not None:
                    cleared = {"maxSurge": None, "maxUnavailable": None}
                    it.patch(NAME, {"spec": {"strategy": {"canary": cleared | move.value}}})
            case "strategy":
                other = "blueGreen" if "canary" in move.value else "canary"
                it.sandbox.patch(
                    "rollouts",
                    NAME,
                    [{"op": "replace", "path": "/spec/strategy", "value": move.value}],
                    patch_type="json",
                )
                self._log(f"{other} is gone")
            case "pause":
                it.patch(NAME, {"spec": {"paused": True}})
            case "unpause":
                it.patch(NAME, {"spec": {"paused": False}})
            case "restart":
                it.patch(NAME, {"spec": {"restartAt": f"{it.sandbox.clock():%Y-%m-%dT%H:%M:%SZ}"}})
            case "make-invalid":
                it.patch(NAME, {"spec": {"minReadySeconds": 10_000}})
            case "make-valid":
                it.patch(NAME, {"spec": {"minReadySeconds": 0}})
            case kind:
                raise ValueError(f"nobody knows how to {kind}")

    def _template(self, image: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": "demo", "image": image}]}}

    def _undo(self, share: float) -> None:
        """Go back to one of the revisions that there are."""
        images = [each["spec"]["template"]["spec"]["containers"][0]["image"] for each in self._sets()]
        if images:
            self.it.set_image(NAME, images[int(share * len(images))])

    def _add_fault(self, action: Action, *, verbs: str, resource: str = "", **more: Any) -> None:
        self._go_behind()
        self.it.sandbox.faults.add(action, verbs=verbs, resource=resource, client="rollouts-controller", **more)

    def _go_behind(self) -> None:
        self.invariants.staleness_seconds = DISTURBED_SECONDS

    # --- what happens later by itself ------------------------------------------------------------------------------

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            what()

        self.again.append(asyncio.create_task(wait()))

    def _restart_controller(self) -> None:
        if not self.it.has_controller:
            self.it.start_controller()

    def _end_leniency(self) -> None:
        self.invariants.is_lenient = self.it.has_rival

    def _recreate(self) -> None:
        if not self._exists():
            self._apply(self.run.history.manifests)

    def _restore_services(self) -> None:
        self._apply([service(name) for name in ("active", "preview") if not self._has_service(name)])

    # --- the end --------------------------------------------------------------------------------------------------

    async def _heal(self) -> None:
        """Let everything around the Rollout be well, and everybody do their work again."""
        self._log("everything is healed")
        for task in self.again:
            task.cancel()
        await self.it.crash_rival()
        self.it.sandbox.faults.heal()
        self.it.sandbox.api.end_watches()
        self._restart_controller()
        self._restore_services()
        self._recreate()
        if (self.it.rollout(NAME).spec.min_ready_seconds or 0) > 1000:
            self._as_user(lambda: self.it.patch(NAME, {"spec": {"minReadySeconds": 0}}))

    async def _expect_rest(self) -> None:
        """Expect that the Rollout comes to rest without any help, and says so."""
        if any(fault in self._image() for fault in FLAPPING):
            await self._pass_time(60)
            return

        def is_at_rest() -> bool:
            phase, message = phase_and_message(self.it.rollout(NAME))
            return phase == PHASE_HEALTHY or (phase in (PHASE_PAUSED, PHASE_DEGRADED) and bool(message))

        await self._until(is_at_rest, "come to rest")

    async def _expect_health(self) -> None:
        """Expect that a good version can always be rolled out, by a user who does what the phase asks for."""
        self._log("a good version is rolled out")
        self._as_user(self._wish_well)
        self.invariants.is_lenient = False
        self.invariants.staleness_seconds = DISTURBED_SECONDS

        def help_on() -> bool:
            rollout = self.it.rollout(NAME)
            phase, _ = phase_and_message(rollout)
            if rollout.status.abort:
                self.retries += 1
                self._as_user(lambda: self.it.retry(NAME))
                if self.retries > RETRIES_MAX:
                    # A step that gives pods back to a broken stable revision never ends; a person goes the other way.
                    self._as_user(lambda: self.it.patch(NAME, {"status": {"promoteFull": True}}, "status"))
            elif phase == PHASE_PAUSED:
                self._as_user(lambda: self.it.promote(NAME))
            return phase == PHASE_HEALTHY and self._is_clean()

        await self._until(help_on, "become Healthy")
        revisions = [each["metadata"]["annotations"][REVISION_ANNOTATION] for each in self._sets()]
        assert len(set(revisions)) == len(revisions), f"revisions are doubled: {revisions}"

    def _wish_well(self) -> None:
        spec: dict[str, Any] = {"paused": False}
        replicas = self.it.rollout(NAME).spec.replicas
        if not replicas:
            spec["replicas"] = 2
        if self._image() in BROKEN_IMAGES:
            spec["template"] = self._template(self.rng.choice(GOOD_IMAGES))
        self.it.patch(NAME, {"spec": spec})

    def _is_clean(self) -> bool:
        """Tell whether exactly the current revision has pods, all of them, and the Services select it."""
        rollout = self.it.rollout(NAME)
        current = rollout.status.current_pod_hash
        if rollout.status.stable_rs != current or rollout.status.available_replicas != rollout.spec.replicas:
            return False
        wanted = {
            each["metadata"]["labels"][POD_TEMPLATE_HASH_LABEL]: each["spec"]["replicas"] for each in self._sets()
        }
        if any(size != (rollout.spec.replicas if hash_ == current else 0) for hash_, size in wanted.items()):
            return False
        strategy = rollout.spec.strategy
        used: list[str] = []
        if strategy.canary is not None:
            used = [strategy.canary.stable_service, strategy.canary.canary_service]
        elif strategy.blue_green is not None:
            used = [strategy.blue_green.active_service, strategy.blue_green.preview_service]
        selected = {name: self._selected(name) for name in ("active", "preview")}
        return all(hash_ == (current if name in used else "") for name, hash_ in selected.items())

    async def _expect_silence(self) -> None:
        await self._pass_time(60)
        before = self._write_count()
        await self._pass_time(SILENCE_SECONDS)
        after = self._write_count()
        written = [f"{each.verb} {each.resource} {each.name}" for each in self.it.sandbox.request_log.writes()]
        assert after == before, f"{after - before} writes although nothing changes, the last: {written[-3:]}"

    # --- details --------------------------------------------------------------------------------------------------

    async def _until(self, is_true: Callable[[], bool], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + REST_SECONDS
        while not is_true():
            self._check()
            if asyncio.get_running_loop().time() > deadline:
                rollout = self.it.rollout(NAME)
                sizes = [
                    (each["metadata"]["name"], each["spec"]["replicas"], each.get("status")) for each in self._sets()
                ]
                raise AssertionError(f"does not {what}: {phase_and_message(rollout)} {rollout.status} {sizes}")
            await asyncio.sleep(1)
        self._check()

    async def _pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._check()

    def _check(self) -> None:
        self.invariants.assert_held()

    def _as_user(self, act: Callable[[], None]) -> None:
        with self.invariants.by_user():
            act()

    def _apply(self, manifests: list[dict[str, Any]]) -> None:
        self._as_user(lambda: self.it.apply(manifests))

    def _exists(self) -> bool:
        return any(
            each["metadata"]["name"] == NAME and "deletionTimestamp" not in each["metadata"]
            for each in self.it.sandbox.list("rollouts")
        )

    def _has_service(self, name: str) -> bool:
        return any(each["metadata"]["name"] == name for each in self.it.sandbox.list("services", "default"))

    def _selected(self, name: str) -> str:
        selector: dict[str, str] = self.it.sandbox.get("services", name)["spec"]["selector"]
        return selector.get(POD_TEMPLATE_HASH_LABEL, "")

    def _image(self) -> str:
        template = self.it.sandbox.get("rollouts", NAME)["spec"]["template"]
        image: str = template["spec"]["containers"][0]["image"]
        return image

    def _sets(self) -> list[dict[str, Any]]:
        """Return the ReplicaSets of the Rollout that exists now."""
        uid = self.it.sandbox.get("rollouts", NAME)["metadata"]["uid"]
        return [
            each
            for each in self.it.sandbox.list("replicasets")
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or ())
        ]

    def _write_count(self) -> int:
        reads = ("get", "list", "watch")
        return sum(count for (verb, _), count in self.it.sandbox.request_log.counts.items() if verb not in reads)


_TROUBLES: Final[dict[str, Action]] = {
    "conflicts": Answer(409),
    "errors": Answer(500),
    "too-many": Answer(429, retry_after_seconds=2),
    "lost-answers": Answer(500, when="after"),
    "disconnects": Disconnect(),
    "lost-after": Disconnect(when="after"),
}

_WATCH_TROUBLES: Final[dict[str, Callable[[Any], Action]]] = {
    "cut-watches": lambda few: CutWatch(after_events=few),
    "torn-watches": lambda few: CutWatch(after_events=few, is_mid_line=True),
    "expired-watches": lambda few: ExpireWatch(after_events=few),
    "late-watches": lambda seconds: DelayEvents(seconds / 10),
    "repeated-events": lambda few: RepeatEvents(revisions=few),
    "stale-lists": lambda few: StaleList(revisions=few),
}
