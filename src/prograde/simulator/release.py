"""One release from beginning to end, in virtual time: the current version is deployed, a new one is released, and
everything that a watching user would notice is written down as a `Timeline`.

The controller is the real one and the cluster is the embedded one. What is invented is only what nobody can know from a
manifest: how long pods take, whether they fail, how the metrics judge. `Conditions` says so.

The clock jumps from one thing that happens to the next, so that waiting costs nothing. A release ends when it has come
to rest: nothing changes any more, and neither the cluster nor the controller has anything due.
"""

import asyncio
import contextlib
import copy
import logging
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from prograde.api import defaults
from prograde.api.analysis import AnalysisRun
from prograde.api.names import (
    PHASE_DEGRADED,
    PHASE_HEALTHY,
    PHASE_PAUSED,
    POD_TEMPLATE_HASH_LABEL,
    REVISION_ANNOTATION,
    ROLLOUT,
)
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.controller.settings import ControllerSettings
from prograde.core.plan import Plan, Wait, WaitReason
from prograde.core.rollout.status import phase_and_message
from prograde.sandbox.client import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.images import DEFAULT_RULES, ImageRule, ImageTraits
from prograde.sandbox.kubelet.profiles import PROFILES, Profile
from prograde.simulator.analysts import Analysts, Judgement
from prograde.simulator.loop import run_virtually, wall_clock
from prograde.simulator.scenery import definitions, make_up
from prograde.simulator.timelines import Action, Conditions, Happening, Moment, Timeline, Verdict, Version
from prograde.simulator.traffic import destinations, shares
from prograde.simulator.world import World, world

__all__ = ["CannotSimulate", "next_image", "simulate_release"]

Json = dict[str, Any]

GRACE: Final = timedelta(seconds=0.5)
"""What happens within so short a time is one moment: a user sees the state after it."""

DEPLOY_SECONDS: Final = 3600.0
"""A current version that is not up by then never will be."""

QUIET: Final = timedelta(minutes=15)
"""A release that cannot go on by itself is watched for so long after the last change."""

RESYNC: Final = timedelta(hours=6)
"""The real controller looks at everything again more often, in case a change was lost on the way; here none is."""

EVENTS_SHOWN: Final = frozenset(
    {
        "RolloutAborted",
        "RolloutStepCompleted",
        "RolloutCompleted",
        "RolloutPaused",
        "RolloutResumed",
        "SkipSteps",
        "SwitchService",
        "AnalysisRunFailed",
        "AnalysisRunError",
        "AnalysisRunInconclusive",
        "AnalysisRunSuccessful",
        "ExperimentFailed",
        "ExperimentError",
        "ExperimentInconclusive",
        "ExperimentSuccessful",
        "InvalidSpec",
        "ReplicaSetFailedCreate",
    }
)
"""What an onlooker cares for. Sizes, weights and new ReplicaSets are columns of the timeline already."""


class CannotSimulate(ValueError):
    """The input is no release; the message says what is missing."""


# --- running ----------------------------------------------------------------------------------------------------


def simulate_release(documents: Sequence[Json], conditions: Conditions, *, name: str = "") -> Timeline:
    """Run the release that `documents` describe and return what happened.

    Two documents of the same Rollout are its version before and after.

    Raises:
        CannotSimulate: there is no Rollout, no single one, or nothing that changes.
        StatusError: the API server refuses an object.
    """
    before, after, others = _chosen(documents, name)
    started_at = time.perf_counter()
    logger = logging.getLogger("prograde")
    level, logger.level = logger.level, logging.CRITICAL + 1
    try:
        timeline = run_virtually(_Release(before, after, others, conditions).run())
    finally:
        logger.level = level
    verdict = msgspec.structs.replace(timeline.verdict, wall_seconds=round(time.perf_counter() - started_at, 3))
    return msgspec.structs.replace(timeline, verdict=verdict)


def next_image(image: str) -> str:
    """Return an image for the version after `image`: the last number of the tag counted up, or a tag ``next``."""
    repository, colon, tag = image.partition("@")[0].rpartition(":")
    if not colon or "/" in tag:
        return f"{image.partition('@')[0]}:next"
    numbers = list(re.finditer(r"\d+", tag))
    if not numbers:
        return f"{repository}:{tag}-next"
    last = numbers[-1]
    return f"{repository}:{tag[: last.start()]}{int(last.group()) + 1}{tag[last.end() :]}"


def _chosen(documents: Sequence[Json], name: str) -> tuple[Json, Json | None, list[Json]]:
    """Return the Rollout before the release, after it if the input says so, and everything else."""
    rollouts = [each for each in documents if each.get("kind") == ROLLOUT]
    names = list(dict.fromkeys((each.get("metadata") or {}).get("name", "") for each in rollouts))
    if name:
        rollouts = [each for each in rollouts if (each.get("metadata") or {}).get("name") == name]
    if not rollouts:
        raise CannotSimulate(
            f'there is no Rollout "{name}" in the input' if name else "there is no Rollout in the input"
        )
    chosen = (rollouts[0].get("metadata") or {}).get("name", "")
    if len(names) > 1 and not name:
        raise CannotSimulate(f"there are several Rollouts, choose one by --name: {', '.join(names)}")
    if len(rollouts) > 2:
        raise CannotSimulate(f'Rollout "{chosen}" is there {len(rollouts)} times; give it once, or before and after')
    others = [each for each in documents if each.get("kind") != ROLLOUT]
    return rollouts[0], rollouts[1] if len(rollouts) == 2 else None, others


@dataclass
class _Seen:
    """What has come to the watcher since the last moment."""

    happenings: list[Happening] = field(default_factory=list)
    plan: Plan[RolloutStatus] | None = None


class _Release:
    """Runs one release."""

    def __init__(self, before: Json, after: Json | None, others: list[Json], conditions: Conditions) -> None:
        self._before, self._after, self._others = copy.deepcopy(before), copy.deepcopy(after), copy.deepcopy(others)
        self._conditions = conditions
        metadata = self._before.setdefault("metadata", {})
        self._namespace = metadata.setdefault("namespace", "default")
        self._name = metadata.get("name", "")
        self._notes: list[str] = []
        self._changed = asyncio.Event()
        self._seen = _Seen()
        self._last_wait: tuple[WaitReason, datetime | None] | None = None
        self._moments: list[Moment] = []
        self._began_at: datetime | None = None
        self._pending: list[Action] = sorted(conditions.actions, key=lambda action: action.seconds)

    async def run(self) -> Timeline:
        async with self._world() as it:
            self._it = it
            analysts = Analysts(it.sandbox, self._judge)
            judging = asyncio.create_task(analysts.run())
            try:
                await self._deploy()
                await asyncio.sleep(-asyncio.get_running_loop().time() % 1)  # whole seconds are easier to read
                old = self._images()
                it.sandbox.client("onlooker").subscribe(self._observe)
                self._began_at = wall_clock()
                if self._conditions.error_rate is not None:
                    asyncio.get_running_loop().call_later(
                        self._conditions.error_rate.from_seconds, self._degrade, analysts
                    )
                self._release()
                verdict = await self._watch()
            finally:
                judging.cancel()
                await asyncio.gather(judging, return_exceptions=True)
            rollout = it.rollout_in(self._namespace, self._name)
            return Timeline(
                namespace=self._namespace,
                name=self._name,
                strategy=_strategy_of(rollout),
                replicas=defaults.effective_replicas(rollout.spec),
                old_images=old,
                new_images=self._images(),
                notes=tuple(self._notes),
                moments=tuple(self._moments),
                verdict=verdict,
            )

    @contextlib.asynccontextmanager
    async def _world(self) -> AsyncIterator[World]:
        rules = tuple(
            ImageRule("tag", f"^{re.escape(tag)}$", ImageTraits(pull="missing"))
            for tag in self._conditions.failing_tags
        )
        sandbox = Sandbox(
            now=wall_clock,
            profile=_profile(self._conditions.pods_ready_seconds),
            crds=definitions(),
            managed_fields="off",
            is_lean=True,
            creates_namespaces=True,
            image_rules=(*rules, *DEFAULT_RULES),
        )
        settings = ControllerSettings(resync_period=RESYNC)
        async with world(sandbox=sandbox, settings=settings, planned=self._take_plan) as it:
            yield it

    # --- before -----------------------------------------------------------------------------------------------------

    async def _deploy(self) -> None:
        """Bring the current version up, with everything around it."""
        for manifest in (self._before, *([self._after] if self._after is not None else [])):
            self._prepare(manifest)
        if self._conditions.old_image:
            _containers(self._before)[0]["image"] = self._conditions.old_image
        rollout = _typed(self._before)
        existing = {(each.get("kind", ""), (each.get("metadata") or {}).get("name", "")) for each in self._others}
        self._it.sandbox.apply(self._others, namespace=self._namespace)
        for each in make_up(rollout, existing):
            self._it.sandbox.apply(each.manifest, namespace=self._namespace)
            self._notes.append(each.note)
        self._it.sandbox.apply(self._before, namespace=self._namespace)
        await self._until_deployed()

    def _prepare(self, manifest: Json) -> None:
        """Take off what would hinder the simulation, such as probes when the time to be ready is given."""
        manifest["metadata"].setdefault("namespace", self._namespace)
        manifest.pop("status", None)
        if self._conditions.pods_ready_seconds is not None:
            for container in _containers(manifest):
                for probe in ("readinessProbe", "startupProbe", "livenessProbe", "lifecycle"):
                    container.pop(probe, None)

    async def _until_deployed(self) -> None:
        deadline = asyncio.get_running_loop().time() + DEPLOY_SECONDS
        while True:
            await asyncio.sleep(1)
            rollout = self._it.rollout_in(self._namespace, self._name)
            phase, message = phase_and_message(rollout)
            replicas = defaults.effective_replicas(rollout.spec)
            if phase == PHASE_HEALTHY and rollout.status.available_replicas >= replicas:
                await asyncio.sleep(GRACE.total_seconds())
                return
            if phase == PHASE_DEGRADED or asyncio.get_running_loop().time() > deadline:
                raise CannotSimulate(
                    f"the current version does not become Healthy, it is {phase}: {message} "
                    "(--from names an image to start from)"
                )

    # --- the release --------------------------------------------------------------------------------------------------

    def _release(self) -> None:
        """Do what a user does who releases a version."""
        chosen = dict(self._conditions.images)
        if self._after is not None and not chosen:
            spec = self._after["spec"]
            self._it.sandbox.patch(
                "rollouts",
                self._name,
                [{"op": "replace", "path": "/spec", "value": spec}],
                self._namespace,
                patch_type="json",
            )
        else:
            kind, name, template = self._template()
            containers = copy.deepcopy(template["spec"]["containers"])
            names = {container["name"] for container in containers}
            unknown = set(chosen) - names - {""}
            if unknown:
                raise CannotSimulate(
                    f"there is no container {sorted(unknown)[0]}; there are {', '.join(sorted(names))}"
                )
            for index, container in enumerate(containers):
                image = chosen.get(container["name"]) or (chosen.get("") if index == 0 else None)
                if not chosen and index == 0:
                    image = next_image(container["image"])
                container["image"] = image or container["image"]
            if containers == template["spec"]["containers"]:
                raise CannotSimulate("nothing is released: the new images are the old ones")
            patch = {"spec": {"template": {"spec": {"containers": containers}}}}
            self._it.sandbox.patch(kind, name, patch, self._namespace)
        changed = [f"{name}={image}" for name, image in self._images().items()]
        self._happen("user", "Release", f"released: {', '.join(changed)}")

    def _template(self) -> tuple[str, str, Json]:
        """Return where the pod template is: resource, name, and itself."""
        rollout = self._it.sandbox.get("rollouts", self._name, self._namespace)
        reference = rollout["spec"].get("workloadRef")
        if not reference:
            return "rollouts", self._name, rollout["spec"]["template"]
        kind, name = reference["kind"], reference["name"]
        try:
            workload = self._it.sandbox.get(kind, name, self._namespace)
        except (StatusError, KeyError) as err:
            raise CannotSimulate(f"spec.workloadRef: {kind} {name} is not in the input") from err
        template: Json = workload["spec"]["template"] if kind != "PodTemplate" else workload["template"]
        return kind, name, template

    def _images(self) -> dict[str, str]:
        _, _, template = self._template()
        return {container["name"]: container["image"] for container in template["spec"]["containers"]}

    def _degrade(self, analysts: Analysts) -> None:
        rate = self._conditions.error_rate
        assert rate is not None, "called when the error rate begins"
        self._happen("note", "ErrorRate", f"from now on {rate.percent:g}% of the new version's requests fail")
        analysts.look_again()

    def _judge(self, run: AnalysisRun) -> Judgement | None:
        """Fail a run while the new version's error rate is too high."""
        rate = self._conditions.error_rate
        if rate is None or rate.percent <= self._conditions.error_limit_percent:
            return None
        if self._began_at is None or self._elapsed() + 1e-6 < rate.from_seconds:
            return None
        limit = self._conditions.error_limit_percent
        return Judgement("Failed", f"simulated error rate {rate.percent:g}% is above the limit of {limit:g}%")

    # --- watching -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> Verdict:
        """Write moments down until the release has come to rest, or time is up."""
        last_change = self._began()
        while True:
            self._changed.clear()
            due = self._next_look(last_change)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, (due - wall_clock()).total_seconds())):
                    await self._changed.wait()
            if self._pending and self._pending[0].seconds <= self._elapsed():
                self._act(self._pending.pop(0))
            await asyncio.sleep(GRACE.total_seconds())
            if self._note_moment():
                last_change = wall_clock()
            verdict = self._verdict(last_change)
            if verdict is not None:
                return verdict

    def _next_look(self, last_change: datetime) -> datetime:
        ends = self._began() + timedelta(seconds=self._conditions.until_seconds)
        looks = [ends]
        if self._pending:
            looks.append(self._began() + timedelta(seconds=self._pending[0].seconds))
        quiet = last_change + QUIET
        if quiet > wall_clock():
            looks.append(quiet)
        return min(looks)

    def _verdict(self, last_change: datetime) -> Verdict | None:
        rollout = self._it.rollout_in(self._namespace, self._name)
        phase, message = phase_and_message(rollout)
        is_time_up = self._elapsed() >= self._conditions.until_seconds
        if not is_time_up and (self._pending or not self._is_at_rest(phase, last_change)):
            return None
        wait = self._seen.plan.waits[0] if self._seen.plan is not None and self._seen.plan.waits else None
        outcome: Literal["healthy", "degraded", "stuck"] = "stuck"
        if phase == PHASE_HEALTHY:
            outcome = "healthy"
        elif phase == PHASE_DEGRADED:
            outcome = "degraded"
        return Verdict(
            outcome=outcome,
            phase=phase,
            message=(wait.message if wait is not None else message) if phase != PHASE_HEALTHY else "",
            remedy=wait.remedy if wait is not None and phase != PHASE_HEALTHY else "",
            seconds=self._moments[-1].seconds if self._moments else 0.0,
            wall_seconds=0.0,
        )

    def _is_at_rest(self, phase: str, last_change: datetime) -> bool:
        """Tell whether nothing will happen any more unless somebody does something."""
        plan, now = self._seen.plan, wall_clock()
        if plan is None or self._changed.is_set():
            return False
        requeue_at = plan.requeue_at
        if phase == PHASE_HEALTHY:
            return not plan.waits and requeue_at is None and self._are_pods_settled()
        if requeue_at is not None and requeue_at > max(now, last_change + QUIET):
            return False
        if phase == PHASE_PAUSED and requeue_at is None and self._are_pods_settled():
            return True
        return now >= last_change + QUIET

    def _are_pods_settled(self) -> bool:
        return all(
            (each["spec"].get("replicas") or 0)
            == ((each.get("status") or {}).get("replicas") or 0)
            == ((each.get("status") or {}).get("availableReplicas") or 0)
            for each in self._sets()
        )

    def _act(self, action: Action) -> None:
        rollout = self._it.rollout_in(self._namespace, self._name)
        status: Json
        match action.kind:
            case "promote":
                status = {"pauseConditions": None}
                if rollout.spec.paused:
                    self._it.sandbox.patch("rollouts", self._name, {"spec": {"paused": False}}, self._namespace)
            case "promote-full":
                status = {"promoteFull": True}
            case "abort":
                status = {"abort": True}
            case "retry":
                status = {"abort": False}
        self._it.sandbox.patch("rollouts", self._name, {"status": status}, self._namespace, subresource="status")
        self._happen("user", action.kind, f"user: {action.kind.replace('-full', ' --full')}")

    def _happen(self, kind: Literal["user", "event", "note"], reason: str, message: str) -> None:
        self._seen.happenings.append(Happening(kind=kind, reason=reason, message=message))
        self._changed.set()

    def _observe(self, change: str, resource: Resource, new: Object, old: Object | None) -> None:
        if resource[1] not in ("events", "leases"):
            self._changed.set()

    def _take_plan(self, rollout: Rollout, plan: Plan[RolloutStatus]) -> None:
        if rollout.metadata.name != self._name:
            return
        self._seen.plan = plan
        if self._began_at is not None:
            for event in plan.all_events:
                if event.reason in EVENTS_SHOWN:
                    self._happen("event", event.reason, event.message)
            self._changed.set()

    def _elapsed(self) -> float:
        return (wall_clock() - self._began()).total_seconds()

    def _began(self) -> datetime:
        assert self._began_at is not None, "the release has not begun"
        return self._began_at

    # --- moments --------------------------------------------------------------------------------------------------

    def _note_moment(self) -> bool:
        """Write the present state down if anything is different; return whether it was."""
        moment = self._moment()
        wait = _reason_of(self._seen.plan)
        key = _key_of(wait)
        if wait is not None and key != self._last_wait:
            until = None if wait.until is None else max(0.0, (wait.until - self._began()).total_seconds())
            said = Happening(kind="wait", reason=wait.reason.value, message=wait.message, until_seconds=until)
            moment = msgspec.structs.replace(moment, happenings=(*moment.happenings, said))
        if self._moments and not moment.happenings and _shown(self._moments[-1]) == _shown(moment):
            return False
        self._moments.append(moment)
        self._seen.happenings = []
        self._last_wait = key
        return True

    def _moment(self) -> Moment:
        rollout = self._it.rollout_in(self._namespace, self._name)
        phase, message = phase_and_message(rollout)
        canary = rollout.spec.strategy.canary
        steps = len(canary.steps) if canary is not None and canary.steps else None
        sets = list(self._sets())
        ready = {_hash(each): (each.get("status") or {}).get("readyReplicas") or 0 for each in sets}
        traffic = shares(destinations(rollout, self._it.sandbox.client().get), ready)
        new = rollout.status.current_pod_hash
        versions = tuple(
            _version(each, rollout, traffic.by_hash.get(_hash(each), 0.0))
            for each in sorted(sets, key=_revision)
            if each["spec"].get("replicas") or (each.get("status") or {}).get("replicas") or _hash(each) == new
        )
        return Moment(
            seconds=round(max(0.0, self._elapsed() - GRACE.total_seconds()), 1),
            phase=phase,
            message=message,
            step=min(rollout.status.current_step_index or 0, steps) if steps is not None else None,
            steps=steps,
            traffic_percent=round(100 * traffic.by_hash.get(new, 0.0), 1),
            lost_percent=round(100 * traffic.lost, 1),
            versions=versions,
            happenings=tuple(self._seen.happenings),
        )

    def _sets(self) -> Iterator[Object]:
        uid = self._it.sandbox.get("rollouts", self._name, self._namespace)["metadata"]["uid"]
        for resource, obj in self._it.sandbox.client().dependents(uid):
            if resource == ("apps", "replicasets"):
                yield obj


# --- details ----------------------------------------------------------------------------------------------------


def _profile(ready_seconds: float | None) -> Profile:
    if ready_seconds is None:
        return PROFILES["real"]
    return Profile(
        name="given",
        schedule_seconds=0,
        admit_seconds=0,
        pull_seconds=0,
        start_seconds=(ready_seconds, ready_seconds),
        stop_seconds=1,
        settle_seconds=2,
        has_normal_events=False,
    )


def _reason_of(plan: Plan[RolloutStatus] | None) -> Wait | None:
    """Return why a plan waits, leaving out that its own writes have to come back."""
    waits: Iterable[Wait] = plan.waits if plan is not None else ()
    return next((wait for wait in waits if wait.reason != WaitReason.OBSERVATION), None)


def _key_of(wait: Wait | None) -> tuple[WaitReason, datetime | None] | None:
    """Return what tells a reason for waiting from the one before: pods come one by one, which is nothing new."""
    if wait is None:
        return None
    return wait.reason, wait.until if wait.reason != WaitReason.PODS_NOT_AVAILABLE else None


def _containers(manifest: Json) -> list[Json]:
    template = (manifest.get("spec") or {}).get("template") or {}
    return (template.get("spec") or {}).get("containers") or []


def _typed(manifest: Json) -> Rollout:
    return msgspec.json.decode(msgspec.json.encode(manifest), type=Rollout)


def _hash(replica_set: Object) -> str:
    return str((replica_set["metadata"].get("labels") or {}).get(POD_TEMPLATE_HASH_LABEL, ""))


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION_ANNOTATION, "0"))


def _version(replica_set: Object, rollout: Rollout, share: float) -> Version:
    status, hash_ = replica_set.get("status") or {}, _hash(replica_set)
    return Version(
        revision=_revision(replica_set),
        hash_=hash_,
        is_new=hash_ == rollout.status.current_pod_hash,
        is_stable=hash_ == rollout.status.stable_rs,
        image=replica_set["spec"]["template"]["spec"]["containers"][0]["image"],
        wanted=replica_set["spec"].get("replicas") or 0,
        pods=status.get("replicas") or 0,
        available=status.get("availableReplicas") or 0,
        traffic_percent=round(100 * share, 1),
    )


def _strategy_of(rollout: Rollout) -> str:
    strategy = rollout.spec.strategy
    chosen = next((field for field in strategy.__struct_fields__ if getattr(strategy, field) is not None), "")
    return {"blue_green": "BlueGreen"}.get(chosen, chosen.capitalize())


def _shown(moment: Moment) -> tuple[object, ...]:
    """Return what makes a moment different from another."""
    pods = tuple((each.hash_, each.wanted, each.available) for each in moment.versions)
    return moment.phase, moment.message, moment.step, moment.traffic_percent, moment.lost_percent, pods
