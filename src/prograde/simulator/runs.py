"""One history, from its first manifest to rest: what happened, and what of it should not have.

    the history's moves      users and accidents, while `Invariants` watches every write
    all is healed            the Rollout must come to rest, and say why it rests there
    a good version           it must become Healthy, whatever went before, and have all the traffic
    half an hour of silence  nothing may be written; in some histories a whole day

The same history gives the same run, write for write; `Run.digest` is equal exactly if everything was.
"""

import asyncio
import gc
import hashlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, Final

from prograde.api.analysis import AnalysisRun
from prograde.api.names import PHASE_DEGRADED, PHASE_HEALTHY, PHASE_PAUSED, POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION
from prograde.api.rollout import Rollout
from prograde.core.rollout.status import phase_and_message
from prograde.sandbox.client import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.kubelet.profiles import Profile
from prograde.simulator.analysts import Analysts, Judgement
from prograde.simulator.disturbances import CrashingTransport, CrashPoint
from prograde.simulator.histories import VERSION, History, history_of
from prograde.simulator.invariants import STUCK_SECONDS, Invariants
from prograde.simulator.loop import run_virtually, wall_clock
from prograde.simulator.player import RECOVERY_SECONDS, Player
from prograde.simulator.scenery import definitions
from prograde.simulator.specs import BROKEN_IMAGES, GOOD_IMAGES, NAME, WORKLOAD
from prograde.simulator.traffic import destinations, shares
from prograde.simulator.world import world

__all__ = ["Run", "run_history", "run_seed"]

REST_SECONDS: Final = 1200.0
"""The longest way to rest: five pauses of a minute, and eight pods one after the other, each slow to be available."""

SILENCE_SECONDS: Final = 2000.0
"""More than two resyncs, at which every Rollout is looked at again."""

DAY_SECONDS: Final = 24 * 3600.0
DAY_EVERY: Final = 50
"""One of so many histories is watched for a whole day: what comes round daily must not write either."""

RETRIES_MAX: Final = 3

PATIENCE_SECONDS: Final = 120.0
"""After so long a person looks at the stable version, too, and finds it broken."""

STORY_WRITES: Final = 20

ANALYSIS_SECONDS: Final = 3.0
"""How long an analysis takes that measures once, and how often one that goes on is judged."""

FLAPPING: Final = ("crash", "oom")
"""Images whose pods come and go for ever: every coming counts as progress, so an update neither ends nor is late."""

BRIEF: Final = Profile(
    name="brief",
    schedule_seconds=0,
    admit_seconds=0,
    pull_seconds=0,
    start_seconds=(0.030, 0.280),
    stop_seconds=0,
    settle_seconds=1,
    has_normal_events=False,
)
"""Pods with as few writes each as possible, and still none is ready at once."""

NODES: Final = 2


@dataclass
class Run:
    """What came of a history."""

    history: History
    log: list[str] = field(default_factory=list)
    """Every write and every move, with its time."""
    failure: str = ""
    """What should not have happened; empty for a good run. It begins with the name of what was broken."""
    requests: int = 0
    releases: int = 0
    """How many templates were rolled out: the first one, and each that was not the stable one then."""

    @property
    def seed(self) -> int:
        return self.history.seed

    @property
    def broken(self) -> str:
        """The name of the promise that was broken."""
        return self.failure.partition(":")[0]

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.log).encode()).hexdigest()

    def story(self) -> str:
        """Return the failure with what is needed to see it again."""
        moves = "\n".join(f"  {move}" for move in self.history.moves)
        tail = "\n".join(f"  {line}" for line in self.log[-STORY_WRITES:])
        scale_down = self.history.scale_down
        workload = f"\ntemplate of a Deployment, scaleDown: {scale_down}" if scale_down else ""
        return (
            f"seed {self.seed} (version {self.history.version}): {self.failure}\n"
            f"again:   python -m prograde.simulator --seeds 1 --start {self.seed}\n"
            f"smaller: python -m prograde.simulator --shrink {self.seed}\n"
            f"spec: {self.history.spec}{workload}\nmoves:\n{moves}\nlast writes:\n{tail}"
        )


def run_seed(seed: int) -> Run:
    """Run the history of `seed` on a clock of its own; failures are in the result."""
    return run_history(history_of(seed))


def run_history(history: History) -> Run:
    """Run a history on a clock of its own; failures are in the result."""
    assert history.version == VERSION, f"this history is of version {history.version}, this program knows {VERSION}"
    run = Run(history)
    # What would go to an operator's log is told by the run's own log, in the order of things.
    logger = logging.getLogger("prograde")
    level, logger.level = logger.level, logging.CRITICAL + 1
    has_gc = gc.isenabled()
    gc.disable()  # a run is short, and its cycles go all at once
    try:
        run_virtually(_Runner(run).play())
    except AssertionError as err:
        run.failure = str(err) or repr(err)
    finally:
        logger.level = level
        if has_gc:
            gc.enable()
    return run


@cache
def _definitions() -> list[dict[str, Any]]:
    """Return the custom kinds of every simulated cluster: the same objects each time, so that schemas are shared."""
    return definitions()


class _Runner:
    """Runs one history."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rng = random.Random(run.seed)
        self.retries = 0
        self.is_well = False
        """Whether everything goes well from now on."""
        self.point = CrashPoint()

    async def play(self) -> None:
        sandbox = Sandbox(
            now=wall_clock,
            seed_number=self.run.seed,
            profile=BRIEF,
            crds=_definitions(),
            managed_fields="off",
            is_lean=True,
            nodes=NODES,
        )
        self.invariants = Invariants(sandbox)
        sandbox.client("log").subscribe(self._log_change)
        async with world(
            sandbox=sandbox,
            wrap=lambda transport: CrashingTransport(transport, self.point),
            planned=self.invariants.note_plan,
        ) as it:
            self.it = it
            self.player = Player(it, self.invariants, self.run.history, self.point, self._log)
            analysts = Analysts(sandbox, self._judge, least_seconds=ANALYSIS_SECONDS)
            others = [asyncio.create_task(analysts.run()), asyncio.create_task(self._ask_again(analysts))]
            try:
                self.player.apply(self.run.history.manifests)
                for move in self.run.history.moves:
                    await asyncio.sleep(move.after_seconds)
                    self._check()
                    await self.player.make(move)
                self._log("everything is healed")
                await self.player.heal()
                self._make_valid()
                await self._expect_rest()
                await self._expect_health()
                await self._expect_silence()
            finally:
                self.run.requests = sum(it.sandbox.request_log.counts.values())
                await self.player.end()
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)

    # --- analysis -------------------------------------------------------------------------------------------------

    async def _ask_again(self, analysts: Analysts) -> None:
        """Let runs that go on be judged now and then, as long as anything may go wrong."""
        while not self.is_well:
            await asyncio.sleep(ANALYSIS_SECONDS)
            analysts.look_again()

    def _judge(self, run: AnalysisRun) -> Judgement | None:
        """Let one run in three end badly, by its name; none any more once all is to be well."""
        if self.is_well or not run.status.phase:
            return None
        chosen = random.Random(f"{self.run.seed} {run.metadata.name}").random()
        for share, phase in ((0.2, "Failed"), (0.28, "Inconclusive"), (0.33, "Error")):
            if chosen < share:
                return Judgement(phase, "as drawn")
        return None

    # --- the log --------------------------------------------------------------------------------------------------

    def _log_change(self, change: str, resource: Resource, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        metadata = new["metadata"]
        detail = ""
        status = new.get("status") or {}
        if resource[1] == "rollouts":
            shown = ("phase", "currentStepIndex", "abort", "controllerPause", "stableRS", "currentPodHash")
            detail = " ".join(f"{name}={status[name]}" for name in shown if name in status)
            weights = (status.get("canary") or {}).get("weights")
            if weights:
                detail += f" weight={weights['canary'].get('weight')}"
            before, current = ((old or {}).get("status") or {}).get("currentPodHash"), status.get("currentPodHash")
            if current and current != before and (not before or current != status.get("stableRS")):
                self.run.releases += 1
        elif resource[1] == "replicasets":
            detail = f"wanted={new['spec'].get('replicas')} available={status.get('availableReplicas')}"
        elif resource[1] == "services":
            detail = str((new["spec"].get("selector") or {}).get(POD_TEMPLATE_HASH_LABEL, ""))
        self._log(f"{change} {resource[1]}/{metadata['name']} {metadata.get('resourceVersion')} {detail}")

    def _log(self, text: str) -> None:
        self.run.log.append(f"{asyncio.get_running_loop().time():.6f} {text}")

    # --- the end --------------------------------------------------------------------------------------------------

    def _make_valid(self) -> None:
        if (self.it.rollout(NAME).spec.min_ready_seconds or 0) > 1000:
            self.player.as_user(lambda: self.it.patch(NAME, {"spec": {"minReadySeconds": 0}}))

    async def _expect_rest(self) -> None:
        """Expect that the Rollout comes to rest without any help, and says so."""
        await self._pass_time(RECOVERY_SECONDS)
        if any(fault in self.player.image() for fault in FLAPPING):
            await self._pass_time(60)
            return

        def is_at_rest() -> bool:
            rollout = self.it.rollout(NAME)
            phase, message = phase_and_message(rollout)
            if rollout.spec.paused or self._is_stable_broken(rollout):
                return True  # it waits for its user, who has paused it or must give the stable version up
            return phase == PHASE_HEALTHY or (phase in (PHASE_PAUSED, PHASE_DEGRADED) and bool(message))

        await self._until(is_at_rest, "come to rest")
        await self._pass_time(STUCK_SECONDS)
        self._expect_no_traffic_after_abort()

    def _expect_no_traffic_after_abort(self) -> None:
        """Expect that an aborted update has given all requests back to the stable version."""
        rollout = self.it.rollout(NAME)
        status, canary = rollout.status, rollout.spec.strategy.canary
        is_routed = rollout.spec.strategy.blue_green is not None or (
            canary is not None and canary.traffic_routing is not None
        )
        stable = self._ready().get(status.stable_rs, 0)
        if not status.abort or not is_routed or not stable or status.current_pod_hash == status.stable_rs:
            return
        if phase_and_message(rollout)[1].startswith("InvalidSpec"):
            return
        by_hash = shares(destinations(rollout, self.it.sandbox.client().get), self._ready()).by_hash
        share = by_hash.get(status.current_pod_hash, 0.0)
        assert not share, f"aborted_is_back: aborted, and the new version still has {share:.0%} of the requests"

    async def _expect_health(self) -> None:
        """Expect that a good version can always be rolled out, by a user who does what the phase asks for."""
        self._log("a good version is rolled out")
        self.is_well = True
        self.player.as_user(self._wish_well)

        patient_until = wall_clock() + timedelta(seconds=PATIENCE_SECONDS)

        def help_on() -> bool:
            rollout = self.it.rollout(NAME)
            phase, _ = phase_and_message(rollout)
            if rollout.status.abort:
                self.retries += 1
                self.player.as_user(lambda: self.it.retry(NAME))
                if self.retries > RETRIES_MAX:
                    # A step that gives pods back to a broken stable revision never ends; a person goes the other way.
                    self.player.as_user(lambda: self.it.patch(NAME, {"status": {"promoteFull": True}}, "status"))
            elif phase == PHASE_PAUSED:
                self.player.as_user(lambda: self.it.promote(NAME))
            elif wall_clock() > patient_until and self._is_stable_broken(rollout):
                # A step that waits for such a stable revision never ends either, and one that flaps is never late.
                self.player.as_user(lambda: self._give_stable_up(rollout))
            return phase == PHASE_HEALTHY and self._is_clean()

        await self._until(help_on, "become Healthy")
        revisions = [each["metadata"]["annotations"][REVISION_ANNOTATION] for each in self.player.sets()]
        assert len(set(revisions)) == len(revisions), f"revisions_are_unique: revisions are doubled: {revisions}"

    def _give_stable_up(self, rollout: Rollout) -> None:
        """Go forward without a stable version to fall back on.

        A basic canary also waits for room: superseded pods that are available stay until others are, and broken stable
        pods stay while those do. Whoever allows that all are missing breaks the tie. And a subset of Istio is not given
        to a version that lacks pods, with which everything else waits, until somebody does it by hand.
        """
        self.it.patch(NAME, {"status": {"promoteFull": True}}, "status")
        canary = rollout.spec.strategy.canary
        routing = canary.traffic_routing if canary is not None else None
        rule = routing.istio.destination_rule if routing is not None and routing.istio is not None else None
        if rule is not None:
            labels = {POD_TEMPLATE_HASH_LABEL: rollout.status.stable_rs}
            subsets = [{"name": name, "labels": labels} for name in (rule.stable_subset_name, rule.canary_subset_name)]
            found = self.it.sandbox.get("destinationrules", rule.name)
            if any(each.get("labels") != labels for each in found["spec"]["subsets"][:1]):
                self.it.sandbox.patch("destinationrules", rule.name, {"spec": {"subsets": subsets}})
        if canary is not None and canary.traffic_routing is None and canary.max_unavailable != "100%":
            self.it.patch(NAME, {"spec": {"strategy": {"canary": {"maxUnavailable": "100%"}}}})

    def _is_stable_broken(self, rollout: Rollout) -> bool:
        images = {
            each["metadata"]["labels"][POD_TEMPLATE_HASH_LABEL]: each["spec"]["template"]["spec"]["containers"][0][
                "image"
            ]
            for each in self.player.sets()
        }
        stable = rollout.status.stable_rs
        return stable != rollout.status.current_pod_hash and images.get(stable) in BROKEN_IMAGES

    def _wish_well(self) -> None:
        spec: dict[str, Any] = {"paused": False}
        replicas = self.it.rollout(NAME).spec.replicas
        if not replicas:
            spec["replicas"] = 2
        if self.run.history.scale_down == "never":
            # Who keeps a Deployment must let it go himself, or a Recreate waits for its pods to be gone.
            self.it.sandbox.patch("deployments", WORKLOAD, {"spec": {"replicas": 0}})
        if self.player.image() in BROKEN_IMAGES:
            self.player.set_image(self.rng.choice(GOOD_IMAGES))
        self.it.patch(NAME, {"spec": spec})

    def _is_clean(self) -> bool:
        """Tell whether exactly the current revision has pods, all of them, and all the traffic."""
        rollout = self.it.rollout(NAME)
        current = rollout.status.current_pod_hash
        if rollout.status.stable_rs != current or rollout.status.available_replicas != rollout.spec.replicas:
            return False
        wanted = {
            each["metadata"]["labels"][POD_TEMPLATE_HASH_LABEL]: each["spec"]["replicas"] for each in self.player.sets()
        }
        if any(size != (rollout.spec.replicas if hash_ == current else 0) for hash_, size in wanted.items()):
            return False
        if self._is_deployment_kept():
            return False
        traffic = shares(destinations(rollout, self.it.sandbox.client().get), self._ready())
        if traffic.lost or abs(traffic.by_hash.get(current, 0.0) - 1) > 1e-9:
            return False
        used = _services_in_use(rollout)
        selected = {name: self._selected(name) for name in ("active", "preview")}
        return all(hash_ == (current if name in used else "") for name, hash_ in selected.items())

    def _is_deployment_kept(self) -> bool:
        """Tell whether the referenced Deployment still has the pods that it was to give up."""
        if self.run.history.scale_down not in ("onsuccess", "progressively"):
            return False
        return bool(self.it.sandbox.get("deployments", WORKLOAD)["spec"]["replicas"])

    async def _expect_silence(self) -> None:
        await self._pass_time(60)
        before = self._write_count()
        await self._pass_time(DAY_SECONDS if not self.run.seed % DAY_EVERY else SILENCE_SECONDS)
        after = self._write_count()
        written = [f"{each.verb} {each.resource} {each.name}" for each in self.it.sandbox.request_log.writes()]
        text = f"{after - before} writes although nothing changes, the last: {written[-3:]}"
        assert after == before, f"silence: {text}"

    # --- details --------------------------------------------------------------------------------------------------

    async def _until(self, is_true: Callable[[], bool], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + REST_SECONDS
        while not is_true():
            self._check()
            self.invariants.check_due(self.it.skew)
            if asyncio.get_running_loop().time() > deadline:
                rollout = self.it.rollout(NAME)
                sizes = [
                    (each["metadata"]["name"], each["spec"]["replicas"], each.get("status"))
                    for each in self.player.sets()
                ]
                phase, message = phase_and_message(rollout)
                # Another way of being stuck is another failure, lest one is cut down to the other.
                name = "invalid_spec" if message.startswith("InvalidSpec") else f"liveness_{phase.lower()}"
                raise AssertionError(f"{name}: does not {what}: {phase}: {message}; {rollout.status} {sizes}")
            await asyncio.sleep(1)
        self._check()

    async def _pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._check()

    def _check(self) -> None:
        self.invariants.assert_held()

    def _ready(self) -> dict[str, int]:
        return {
            each["metadata"]["labels"][POD_TEMPLATE_HASH_LABEL]: (each.get("status") or {}).get("readyReplicas") or 0
            for each in self.player.sets()
        }

    def _selected(self, name: str) -> str:
        selector: dict[str, str] = self.it.sandbox.get("services", name)["spec"]["selector"]
        return selector.get(POD_TEMPLATE_HASH_LABEL, "")

    def _write_count(self) -> int:
        reads = ("get", "list", "watch")
        return sum(count for (verb, _), count in self.it.sandbox.request_log.counts.items() if verb not in reads)


def _services_in_use(rollout: Rollout) -> tuple[str, ...]:
    """Return the Services that are to select the current version once all is done."""
    canary, blue_green = rollout.spec.strategy.canary, rollout.spec.strategy.blue_green
    if blue_green is not None:
        return (blue_green.active_service, blue_green.preview_service)
    if canary is not None:
        return (canary.stable_service, canary.canary_service)
    return ()
