"""A pod as a pure state machine: `step` takes what is known and returns what to write, to tell, and when to come back.

    admitted -> init containers, one after the other -> main containers, all at once -> finished

Beside that path: a deletion stops the main containers, then the sidecars, and then the pod is gone; a deadline fails
the pod; a pod whose containers have all ended for good is Succeeded or Failed, and nothing happens any more.

Times in a status are whole seconds, too coarse to continue from, so the state between two steps is a `PodRun`. It is
rebuilt from nothing when a kubelet starts over: containers start afresh and keep their restart counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from prograde.sandbox.controllers.objects import is_terminal, later
from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.behaviour import Behaviour
from prograde.sandbox.kubelet.containers import (
    ContainerRun,
    Facts,
    PodEvent,
    Role,
    Stage,
    advance,
    begin_stop,
    shorten_stop,
)
from prograde.sandbox.kubelet.profiles import Profile
from prograde.sandbox.kubelet.status import PodAddress, pod_status, status_changes

__all__ = ["PodFacts", "PodRun", "Step", "begin_pod", "step"]


@dataclass(frozen=True, slots=True)
class Ending:
    """The pod is being stopped: since when, and how long its processes may take."""

    began_at: datetime
    grace_seconds: float
    failure: tuple[str, str] | None = None
    """(reason, message) when the pod fails by it; None for a deletion."""
    is_shortened: bool = False
    """A later deletion allowed less time than the first."""

    @property
    def deadline(self) -> datetime:
        return later(self.began_at, self.grace_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRun:
    """What the kubelet remembers of a pod between two steps."""

    uid: str
    admit_at: datetime
    """When the kubelet takes the pod up; also its start time."""
    address: PodAddress
    init: tuple[ContainerRun, ...]
    main: tuple[ContainerRun, ...]
    ending: Ending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """What a step needs to know beside the pod and its run."""

    profile: Profile
    behaviour_of: Callable[[str], Behaviour]
    """By image."""
    environment_of: Callable[[Object], dict[str, str]]
    """By container spec; raises `ConfigError`."""
    has_image: Callable[[str], bool]
    jitter_of: Callable[[str, int], float]
    """By container name and number of restarts, between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one step."""

    run: PodRun
    status: Object
    """Changed status fields, empty when there is nothing to write."""
    events: tuple[PodEvent, ...]
    wake_at: datetime | None
    is_gone: bool = False
    """All is stopped and the pod may be removed."""


def begin_pod(pod: Object, address: PodAddress, profile: Profile, now: datetime) -> PodRun:
    """Return the run of a pod that was just assigned to this node."""
    spec, status = pod["spec"], pod.get("status") or {}
    known = {
        entry["name"]: entry.get("restartCount", 0)
        for field in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(field) or ()
    }

    def runs(containers: Sequence[Object] | None, role: Callable[[Object], Role]) -> tuple[ContainerRun, ...]:
        return tuple(
            ContainerRun(name=c["name"], role=role(c), image=c["image"], restarts=known.get(c["name"], 0))
            for c in containers or ()
        )

    return PodRun(
        uid=pod["metadata"]["uid"],
        admit_at=later(now, profile.admit_seconds),
        address=address,
        init=runs(spec.get("initContainers"), lambda c: "sidecar" if c.get("restartPolicy") == "Always" else "init"),
        main=runs(spec["containers"], lambda c: "main"),
    )


def step(pod: Object, run: PodRun, facts: PodFacts, now: datetime) -> Step:
    """Bring a pod as far as it can come by `now`. Without anything due, the same step again changes nothing."""
    if is_terminal(pod):
        return Step(run, {}, (), None, is_gone="deletionTimestamp" in pod["metadata"])
    if run.admit_at > now and "deletionTimestamp" not in pod["metadata"]:
        return Step(run, {}, (), run.admit_at)
    events: list[PodEvent] = []
    run = _notice_ending(pod, run, now)
    stepper = _Stepper(pod, facts, events, now)
    if run.ending is None:
        run = stepper.start_containers(run)
        run = _notice_finished(pod, run, now)
    if run.ending is not None:
        run = stepper.stop_containers(run, run.ending)
    everything = (*run.init, *run.main)
    is_stopped = run.ending is not None and not any(each.is_running for each in everything)
    is_gone = is_stopped and "deletionTimestamp" in pod["metadata"]
    desired = pod_status(
        pod,
        run.init,
        run.main,
        lambda each: each.is_ready(facts.behaviour_of(each.image), now),
        address=run.address,
        started_at=run.admit_at,
        is_stopping=run.ending is not None,
        failure=run.ending.failure if run.ending is not None and is_stopped else None,
        now=now,
    )
    changes = status_changes(pod.get("status") or {}, desired)
    due = [each.until for each in everything if each.until is not None and not each.is_finished]
    if run.ending is None and (deadline := _active_deadline(pod, run)) is not None:
        due.append(deadline)
    return Step(run, changes, tuple(events), None if is_gone else min(due, default=None), is_gone)


def _notice_ending(pod: Object, run: PodRun, now: datetime) -> PodRun:
    """Begin or shorten the end of the pod, by deletion or by its deadline."""
    meta = pod["metadata"]
    if "deletionTimestamp" in meta:
        grace = float(meta.get("deletionGracePeriodSeconds") or 0)
        ending = run.ending
        if ending is None or ending.failure is not None:
            return replace(run, ending=Ending(now, grace))
        if later(now, grace) < ending.deadline and grace < ending.grace_seconds:
            return replace(run, ending=replace(ending, began_at=now, grace_seconds=grace, is_shortened=True))
        return run
    deadline = _active_deadline(pod, run)
    if deadline is not None and deadline <= now and run.ending is None:
        why = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        return replace(run, ending=Ending(now, _grace(pod), why))
    return run


def _notice_finished(pod: Object, run: PodRun, now: datetime) -> PodRun:
    """End a pod whose main containers are done, or whose initialization failed: sidecars must stop too."""
    is_done = all(each.is_finished for each in run.main)
    has_failed_init = any(
        each.role == "init" and each.is_finished and (each.terminated or {}).get("exitCode") for each in run.init
    )
    sidecars = [each for each in run.init if each.role == "sidecar" and not each.is_finished]
    if (is_done or has_failed_init) and sidecars:
        return replace(run, ending=Ending(now, _grace(pod)))
    return run


def _active_deadline(pod: Object, run: PodRun) -> datetime | None:
    seconds = pod["spec"].get("activeDeadlineSeconds")
    return None if seconds is None else later(run.admit_at, seconds)


def _grace(pod: Object) -> float:
    grace = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if grace is None else float(grace)


class _Stepper:
    """Moves the containers of one pod in one step."""

    def __init__(self, pod: Object, facts: PodFacts, events: list[PodEvent], now: datetime) -> None:
        self._pod = pod
        self._facts = facts
        self._events = events
        self._now = now
        spec = pod["spec"]
        self._specs = {c["name"]: c for c in (*(spec.get("initContainers") or ()), *spec["containers"])}

    def start_containers(self, run: PodRun) -> PodRun:
        """Advance init containers up to the first that is not through, and the main ones when all are."""
        init = list(run.init)
        is_blocked = False
        for index, each in enumerate(init):
            if is_blocked:
                break
            moved = self._advance(each)
            init[index] = moved
            is_blocked = not _lets_next_start(moved)
        main = run.main if is_blocked else tuple(self._advance(each) for each in run.main)
        return replace(run, init=tuple(init), main=main)

    def _advance(self, each: ContainerRun) -> ContainerRun:
        return each if each.is_finished else advance(each, self._spec(each), self._container_facts(each), self._now)

    def stop_containers(self, run: PodRun, ending: Ending) -> PodRun:
        """Stop main and init containers first, sidecars when those are gone, all before the deadline."""
        main = tuple(self._stop(each, ending) for each in run.main)
        init = tuple(self._stop(each, ending) if each.role == "init" else each for each in run.init)
        if all(each.is_finished for each in main):
            init = tuple(self._stop(each, ending) for each in init)
        else:
            init = tuple(each if each.is_finished or each.role == "init" else self._advance(each) for each in init)
        return replace(run, main=main, init=init)

    def _stop(self, each: ContainerRun, ending: Ending) -> ContainerRun:
        if each.is_finished:
            return each
        facts, container = self._container_facts(each), self._spec(each)
        if each.stage in (Stage.RUNNING, Stage.POST_START):
            facts.tell("Normal", "Killing", f"Stopping container {each.name}", each)
            left = max(0.0, (ending.deadline - self._now).total_seconds())
            each = begin_stop(each, container, facts, self._now, grace_seconds=left, for_good=True)
        elif each.stage is Stage.STOPPING:
            # A restart that was under way becomes the end; a shorter grace period kills earlier.
            each = replace(each, stops_for_good=True)
            if ending.is_shortened:
                each = shorten_stop(each, ending.deadline)
        else:
            return replace(each, stage=Stage.FINISHED, until=None)
        return advance(each, container, facts, self._now)

    def _spec(self, each: ContainerRun) -> Object:
        spec: Object = self._specs[each.name]
        return spec

    def _container_facts(self, each: ContainerRun) -> Facts:
        container = self._spec(each)
        return Facts(
            pod=self._pod,
            profile=self._facts.profile,
            behaviour=self._facts.behaviour_of(container["image"]),
            restart_policy=self._pod["spec"].get("restartPolicy") or "Always",
            environment=lambda: self._facts.environment_of(container),
            has_image=self._facts.has_image,
            jitter=self._facts.jitter_of(each.name, each.restarts),
            events=self._events,
        )


def _lets_next_start(each: ContainerRun) -> bool:
    if each.role == "sidecar":
        return each.has_started or each.restarts > 0
    return each.is_finished and (each.terminated or {}).get("exitCode") == 0
