"""One container as a state machine: `advance` moves it through every stage that is due, and says what to tell.

    WAITING -> PULLING -> CREATING -> [POST_START] -> RUNNING -> [STOPPING] -> EXITED -> FINISHED
                 |  ^         |                                                  |  ^
        PULL_FAILED |         +- cannot be started, goes to EXITED               |  |
                 v  |                                                            v  |
        PULL_BACKOFF          CONFIG_ERROR waits for a ConfigMap or Secret     BACKOFF, then CREATING again

A stage ends at `until`, or never by itself when that is None. Times of stages are planned from the moment the previous
one was seen to end; a late caller makes a late pod, not an inconsistent one.
"""

import enum
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Literal, TypeAlias

from prograde.sandbox.controllers.objects import format_time, later
from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.behaviour import Behaviour
from prograde.sandbox.kubelet.environment import ConfigError, argv_of
from prograde.sandbox.kubelet.images import normalized_reference
from prograde.sandbox.kubelet.probes import ProbeRun, advance_probe, declared_probes, start_probe
from prograde.sandbox.kubelet.profiles import Profile
from prograde.sandbox.kubelet.program import FOREVER, Program
from prograde.sandbox.kubelet.shell import program_of

__all__ = ["ContainerRun", "Facts", "PodEvent", "Process", "Role", "Stage", "advance", "begin_stop", "shorten_stop"]

Role: TypeAlias = Literal["init", "sidecar", "main"]

BACKOFF_SECONDS_MIN = 10.0
BACKOFF_SECONDS_MAX = 300.0
"""Waiting times after failed pulls and crashes, doubling, as the real kubelet's."""

BACKOFF_RESET_SECONDS = 600.0
"""A process that ran this long is forgiven its earlier crashes."""

CONFIG_RETRY_SECONDS = 5.0

STOP_AFTER_HOOK_SECONDS = 2.0
"""A process is given at least this long after a preStop hook that used up the grace period."""

TRANSITIONS_MAX = 1_000
"""Transitions of one container in one step; instant restarts of an instantly exiting program are the limit case."""


class Stage(enum.Enum):
    WAITING = "waiting"
    PULLING = "pulling"
    PULL_FAILED = "pull failed"
    PULL_BACKOFF = "pull back-off"
    INVALID_IMAGE = "invalid image"
    CONFIG_ERROR = "config error"
    CREATING = "creating"
    POST_START = "post start"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    BACKOFF = "back-off"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class PodEvent:
    """An event to record about the pod, or about one container of it."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    container: str = ""
    is_init: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """One run of a container's program: what logs and exit states are made of."""

    program: Program
    started_at: datetime
    container_id: str
    ended_at: datetime | None = None
    log: str = ""
    """Printed at the start, before anything the program prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRun:
    """The state of one container of one pod."""

    name: str
    role: Role
    image: str
    """The image that this state is about; another one in the spec restarts the container."""
    stage: Stage = Stage.WAITING
    until: datetime | None = None
    restarts: int = 0
    pull_failures: int = 0
    crashes: int = 0
    """Exits that count for the next back-off."""
    message: str = ""
    process: Process | None = None
    previous: Process | None = None
    terminated: Object | None = None
    """The exit state of `process`."""
    last_terminated: Object | None = None
    probes: tuple[ProbeRun, ...] = ()
    stop_exit_code: int = 0
    stops_for_good: bool = False
    """Stopping because the pod ends, so that nothing is restarted."""

    @property
    def is_finished(self) -> bool:
        return self.stage is Stage.FINISHED

    @property
    def is_running(self) -> bool:
        return self.stage in (Stage.RUNNING, Stage.STOPPING)

    @property
    def has_started(self) -> bool:
        """Whether the process runs and its startup probe, if any, is through."""
        return self.stage is Stage.RUNNING and all(p.kind != "startup" or p.is_passing for p in self.probes)

    def is_ready(self, behaviour: Behaviour, now: datetime) -> bool:
        """Return whether the container counts as ready: by its readiness probe, or by its behaviour without one."""
        if not self.has_started or self.process is None:
            return False
        readiness = next((probe for probe in self.probes if probe.kind == "readiness"), None)
        if readiness is not None:
            return readiness.is_passing
        return not _unready(behaviour, self.process.started_at, now)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a container's step needs to know of the world."""

    pod: Object
    profile: Profile
    behaviour: Behaviour
    restart_policy: str
    environment: Callable[[], dict[str, str]]
    """Raises `ConfigError` when something that the container refers to is missing."""
    has_image: Callable[[str], bool]
    jitter: float
    """Between 0 and 1: where in the profile's ranges this start falls."""
    events: list[PodEvent] = field(default_factory=list)
    """Filled by the step."""

    def tell(self, type_: Literal["Normal", "Warning"], reason: str, message: str, run: ContainerRun) -> None:
        self.events.append(PodEvent(type_, reason, message, run.name, run.role != "main"))


def advance(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    """Move a container that may start through everything due at `now`."""
    if container["image"] != run.image:
        run = _change_image(run, container, facts, now)
    for _ in range(TRANSITIONS_MAX):
        moved = _advance_once(run, container, facts, now)
        if moved == run:
            return run
        run = moved
    # A program that exits at once and is restarted at once: go on in a moment, so that others get their turn.
    return replace(run, until=later(now, 1))


def _advance_once(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    if run.stage is Stage.RUNNING:
        return _advance_running(run, container, facts, now)
    if run.stage is Stage.WAITING:
        return _begin_pull(run, container, facts, now)
    if run.until is None or run.until > now:
        return run
    match run.stage:
        case Stage.PULLING:
            return _end_pull(run, container, facts, now)
        case Stage.PULL_FAILED:
            return _begin_pull_backoff(run, facts, now)
        case Stage.PULL_BACKOFF:
            return _begin_pull(run, container, facts, now)
        case Stage.CONFIG_ERROR:
            return replace(run, stage=Stage.CREATING, until=now)
        case Stage.CREATING:
            return _start(run, container, facts, now)
        case Stage.POST_START:
            return _end_post_start(run, container, facts, now)
        case Stage.STOPPING:
            return _exit(run, facts, now, run.stop_exit_code, "")
        case Stage.EXITED:
            return _begin_restart(run, container, facts, now)
        case Stage.BACKOFF:
            return _begin_pull(run, container, facts, now)
    return run


def _change_image(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    run = replace(run, image=container["image"], pull_failures=0, crashes=0)
    if run.stage in (Stage.RUNNING, Stage.POST_START):
        message = f"Container {run.name} definition changed, will be restarted"
        facts.tell("Normal", "Killing", message, run)
        return begin_stop(run, container, facts, now, grace_seconds=_grace_of(facts.pod))
    if run.stage in (Stage.STOPPING, Stage.EXITED, Stage.FINISHED, Stage.WAITING):
        return run
    return replace(run, stage=Stage.WAITING, until=None)


# -- images ----------------------------------------------------------------------------------------------------------


def _begin_pull(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    image = run.image
    if facts.behaviour.pull == "invalid":
        why = f'couldn\'t parse image name "{image}": invalid reference format'
        message = f'Failed to apply default image tag "{image}": {why}'
        facts.tell("Warning", "InspectFailed", message, run)
        facts.tell("Warning", "Failed", "Error: InvalidImageName", run)
        return replace(run, stage=Stage.INVALID_IMAGE, until=None, message=message)
    policy = container.get("imagePullPolicy")
    if facts.behaviour.pull == "present" and (policy == "Never" or (policy != "Always" and facts.has_image(image))):
        facts.tell("Normal", "Pulled", f'Container image "{image}" already present on machine', run)
        return _begin_create(run, facts, now)
    facts.tell("Normal", "Pulling", f'Pulling image "{image}"', run)
    return replace(run, stage=Stage.PULLING, until=later(now, facts.profile.pull_seconds))


def _end_pull(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    image = run.image
    if facts.behaviour.pull == "missing":
        reference = normalized_reference(image)
        error = (
            f'failed to pull and unpack image "{reference}": failed to resolve reference "{reference}": '
            f"{reference}: not found"
        )
        facts.tell("Warning", "Failed", f'Failed to pull image "{image}": {error}', run)
        facts.tell("Warning", "Failed", "Error: ErrImagePull", run)
        until = later(now, facts.profile.settle_seconds)
        return replace(run, stage=Stage.PULL_FAILED, until=until, pull_failures=run.pull_failures + 1, message=error)
    duration = f"{round(facts.profile.pull_seconds * 1000)}ms"
    message = f'Successfully pulled image "{image}" in {duration} ({duration} including waiting). Image size: 1 bytes.'
    facts.tell("Normal", "Pulled", message, run)
    return _begin_create(run, facts, now)


def _begin_pull_backoff(run: ContainerRun, facts: Facts, now: datetime) -> ContainerRun:
    message = f'Back-off pulling image "{run.image}"'
    facts.tell("Normal", "BackOff", message, run)
    facts.tell("Warning", "Failed", "Error: ImagePullBackOff", run)
    seconds = _backoff_seconds(run.pull_failures)
    return replace(run, stage=Stage.PULL_BACKOFF, until=later(now, seconds), message=message)


def _backoff_seconds(failures: int) -> float:
    """Return the wait after this many failures: 10 s, 20 s, ... 5 min."""
    return min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * 2.0 ** min(failures - 1, 10))


# -- start -----------------------------------------------------------------------------------------------------------


def _begin_create(run: ContainerRun, facts: Facts, now: datetime) -> ContainerRun:
    shortest, longest = facts.profile.start_seconds
    seconds = shortest + (longest - shortest) * facts.jitter + facts.behaviour.start_delay_seconds
    return replace(run, stage=Stage.CREATING, until=later(now, seconds), message="")


def _start(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    try:
        environment = facts.environment()
    except ConfigError as err:
        facts.tell("Warning", "Failed", f"Error: {err}", run)
        until = later(now, CONFIG_RETRY_SECONDS)
        return replace(run, stage=Stage.CONFIG_ERROR, until=until, message=str(err))
    program = program_of(argv_of(container, environment), environment, now)
    if program.start_error and not container.get("command"):
        program = FOREVER  # only arguments: they are the entry point's business
    error = facts.behaviour.start_error or program.start_error
    run = replace(
        run,
        restarts=run.restarts + (run.process is not None),
        previous=run.process or run.previous,
        last_terminated=run.terminated or run.last_terminated,
        terminated=None,
        message=error,
    )
    container_id = _container_id(facts.pod["metadata"]["uid"], run.name, run.restarts)
    facts.tell("Normal", "Created", f"Created container: {run.name}", run)
    if error:
        facts.tell("Warning", "Failed", f"Error: {error}", run)
        failed = replace(run, process=Process(program, now, container_id))
        return _exit(failed, facts, now, 128, "StartError")
    facts.tell("Normal", "Started", f"Started container {run.name}", run)
    process = Process(program, now, container_id, log=_start_log(container, facts.behaviour, program))
    run = replace(run, process=process)
    hook = (container.get("lifecycle") or {}).get("postStart")
    if hook:
        seconds = _hook_program(hook, environment, now).exit_after_seconds
        hook_end = None if seconds is None else later(now, seconds)
        return replace(run, stage=Stage.POST_START, until=hook_end)
    return _begin_running(run, container, now)


def _start_log(container: Object, behaviour: Behaviour, program: Program) -> str:
    """Return the line that a silent server prints, so that `kubectl logs` shows something."""
    if behaviour.log:
        return behaviour.log if behaviour.log.endswith("\n") else f"{behaviour.log}\n"
    if program.output or program.exit_after_seconds is not None:
        return ""
    ports = ", ".join(str(port["containerPort"]) for port in container.get("ports") or ())
    return f"{container['image']}: simulated server started{f', listening on {ports}' if ports else ''}\n"


def _end_post_start(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    assert run.process is not None, "a hook runs beside a process"
    hook = _hook_program(container["lifecycle"]["postStart"], facts.environment(), run.process.started_at)
    if hook.exit_code == 0 and not hook.start_error:
        return _begin_running(run, container, now)
    facts.tell("Warning", "FailedPostStartHook", "PostStartHook failed", run)
    facts.tell("Normal", "Killing", f"Container {run.name} failed postStart hook, will be restarted", run)
    return _exit(run, facts, now, 137, "")


def _hook_program(hook: Object, environment: dict[str, str], now: datetime) -> Program:
    """Return what a lifecycle hook does: requests succeed at once, commands and sleeps take their time."""
    if command := (hook.get("exec") or {}).get("command"):
        program = program_of(command, environment, now)
        return Program(exit_after_seconds=0.0, exit_code=126) if program.start_error else program
    return Program(exit_after_seconds=float((hook.get("sleep") or {}).get("seconds") or 0))


def _begin_running(run: ContainerRun, container: Object, now: datetime) -> ContainerRun:
    assert run.process is not None, "only a started process runs"
    declared = declared_probes(container)
    kinds = ["startup"] if "startup" in declared else list(declared)
    probes = tuple(start_probe(kind, declared[kind], run.process.started_at, now) for kind in declared if kind in kinds)
    return replace(run, stage=Stage.RUNNING, until=None, probes=probes)


# -- running ---------------------------------------------------------------------------------------------------------


def _advance_running(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    """Exit if the program is over, look through due probes, and note when to come back."""
    process = run.process
    assert process is not None, "only a started process runs"
    seconds, code, reason = _planned_exit(process.program, facts.behaviour)
    exit_at = None if seconds is None else later(process.started_at, seconds)
    if exit_at is not None and exit_at <= now:
        return _exit(run, facts, now, code, reason)
    declared = declared_probes(container)
    readiness_changes_at = _readiness_changes_at(facts.behaviour, process.started_at, now)
    probes: list[ProbeRun] = []
    for probe in run.probes:
        outcome = partial(_probe_failure, probe.kind, declared[probe.kind], process, facts)
        advanced = advance_probe(probe, declared[probe.kind], outcome, readiness_changes_at, now)
        if advanced is not probe and advanced.failure:
            facts.tell("Warning", "Unhealthy", f"{probe.kind.capitalize()} probe failed: {advanced.failure}", run)
        probes.append(advanced)
    run = replace(run, probes=tuple(probes))
    failed = next((probe for probe in probes if probe.has_failed and probe.kind != "readiness"), None)
    if failed is not None:
        facts.tell("Normal", "Killing", f"Container {run.name} failed {failed.kind} probe, will be restarted", run)
        grace = declared[failed.kind].get("terminationGracePeriodSeconds") or _grace_of(facts.pod)
        return begin_stop(run, container, facts, now, grace_seconds=grace)
    if run.has_started and len(run.probes) < len(declared):
        started = [start_probe(k, declared[k], process.started_at, now) for k in declared if k != "startup"]
        return replace(run, probes=(*run.probes, *started))
    changes_at = None if "readiness" in declared else readiness_changes_at
    due = [moment for moment in (exit_at, changes_at, *(probe.next_at for probe in probes)) if moment is not None]
    return replace(run, until=min(due, default=None))


def _planned_exit(program: Program, behaviour: Behaviour) -> tuple[float | None, int, str]:
    if behaviour.exit is not None:
        return behaviour.exit.after_seconds, behaviour.exit.code, behaviour.exit.reason
    return program.exit_after_seconds, program.exit_code, program.reason


def _unready(behaviour: Behaviour, started_at: datetime, now: datetime) -> bool:
    age = (now - started_at).total_seconds()
    return age < behaviour.ready_after_seconds or age >= behaviour.unready_after_seconds


def _readiness_changes_at(behaviour: Behaviour, started_at: datetime, now: datetime) -> datetime | None:
    """Return the next instant at which readiness changes by behaviour."""
    moments = [
        later(started_at, seconds)
        for seconds in (behaviour.ready_after_seconds, behaviour.unready_after_seconds)
        if not math.isinf(seconds)
    ]
    return min((moment for moment in moments if moment > now), default=None)


def _probe_failure(kind: str, probe: Object, process: Process, facts: Facts, now: datetime) -> str:
    """Return what a probe finds wrong, empty when all is well."""
    behaviour = facts.behaviour
    fails = behaviour.are_probes_failing
    if kind == "readiness":
        fails |= _unready(behaviour, process.started_at, now)
    if command := (probe.get("exec") or {}).get("command"):
        if not fails:
            program = program_of(command, facts.environment(), now)
            fails = bool(program.start_error or program.exit_code)
            fails |= (program.exit_after_seconds or 0) > (probe.get("timeoutSeconds") or 1)
        return "command failed" if fails else ""
    if not fails:
        return ""
    if "httpGet" in probe:
        return "HTTP probe failed with statuscode: 500"
    return "connection refused"


# -- the end ---------------------------------------------------------------------------------------------------------


def _grace_of(pod: Object) -> float:
    grace = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if grace is None else float(grace)


def begin_stop(
    run: ContainerRun, container: Object, facts: Facts, now: datetime, *, grace_seconds: float, for_good: bool = False
) -> ContainerRun:
    """Stop a running process: preStop hook, termination signal, and a kill when the grace period is over."""
    assert run.process is not None, "only a started process is stopped"
    hook = (container.get("lifecycle") or {}).get("preStop")
    hook_seconds = 0.0
    if hook and grace_seconds > 0:
        program = _hook_program(hook, facts.environment(), now)
        planned = program.exit_after_seconds
        hook_seconds = grace_seconds if planned is None else min(planned, grace_seconds)
        if program.exit_code:
            facts.tell("Warning", "FailedPreStopHook", "PreStopHook failed", run)
    kill_seconds = max(grace_seconds, hook_seconds + STOP_AFTER_HOOK_SECONDS) if hook_seconds else grace_seconds
    stop_seconds = facts.behaviour.stop_seconds
    if stop_seconds is None:
        is_deaf = facts.profile.is_sleep_deaf and run.process.program.is_sleep_like
        stop_seconds = math.inf if is_deaf else facts.profile.stop_seconds
    is_killed = hook_seconds + stop_seconds > kill_seconds or grace_seconds <= 0
    # Who heeds the signal ends well; sleeping programs die of it.
    exit_code = 137 if is_killed else 143 if run.process.program.is_sleep_like else 0
    until = later(now, min(kill_seconds, hook_seconds + stop_seconds))
    return replace(run, stage=Stage.STOPPING, until=until, stop_exit_code=exit_code, stops_for_good=for_good)


def shorten_stop(run: ContainerRun, deadline: datetime) -> ContainerRun:
    """Kill at `deadline` what would otherwise stop later."""
    if run.stage is not Stage.STOPPING or (run.until is not None and run.until <= deadline):
        return run
    return replace(run, until=deadline, stop_exit_code=137)


def _exit(run: ContainerRun, facts: Facts, now: datetime, code: int, reason: str) -> ContainerRun:
    assert run.process is not None, "only a process exits"
    process = replace(run.process, ended_at=now)
    never_started = reason == "StartError"
    terminated: Object = {
        "exitCode": code,
        "reason": reason or ("Completed" if code == 0 else "Error"),
        # A process that never was has no start: the API shows the beginning of time.
        "startedAt": "1970-01-01T00:00:00Z" if never_started else format_time(process.started_at),
        "finishedAt": format_time(now),
        "containerID": process.container_id,
    }
    if run.message and never_started:
        terminated["message"] = run.message
    run = replace(run, process=process, terminated=terminated, probes=())
    if run.stops_for_good or not _restarts(run.role, facts.restart_policy, code):
        return replace(run, stage=Stage.FINISHED, until=None)
    if facts.behaviour.restarts_at_once:
        return replace(run, stage=Stage.EXITED, until=now)
    ran_seconds = (now - process.started_at).total_seconds()
    crashes = 1 if ran_seconds >= BACKOFF_RESET_SECONDS else run.crashes + 1
    until = later(now, facts.profile.settle_seconds)
    return replace(run, stage=Stage.EXITED, until=until, crashes=crashes)


def _restarts(role: Role, restart_policy: str, code: int) -> bool:
    if role == "sidecar":
        return True
    if role == "init":
        return restart_policy != "Never" and code != 0
    return restart_policy == "Always" or (restart_policy == "OnFailure" and code != 0)


def _begin_restart(run: ContainerRun, container: Object, facts: Facts, now: datetime) -> ContainerRun:
    """Start again at once after the first exit, after a growing wait when it keeps ending."""
    if run.crashes <= 1 or facts.behaviour.restarts_at_once:
        return _begin_pull(run, container, facts, now)
    seconds = _backoff_seconds(run.crashes - 1)
    meta = facts.pod["metadata"]
    message = (
        f"back-off {_go_duration(seconds)} restarting failed container={run.name} "
        f"pod={meta['name']}_{meta.get('namespace', '')}({meta['uid']})"
    )
    facts.tell("Warning", "BackOff", f"Back-off restarting failed container {run.name} in pod "
               f"{meta['name']}_{meta.get('namespace', '')}({meta['uid']})", run)  # fmt: skip
    ended = run.process.ended_at if run.process is not None and run.process.ended_at is not None else now
    return replace(run, stage=Stage.BACKOFF, until=later(ended, seconds), message=message)


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _container_id(uid: str, name: str, restarts: int) -> str:
    return "containerd://" + hashlib.sha256(f"{uid}/{name}/{restarts}".encode()).hexdigest()
