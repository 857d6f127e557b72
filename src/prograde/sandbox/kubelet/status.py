"""The status of a pod as the kubelet reports it, rendered from the states of its containers.

`pod_status` says what the kubelet would write; `status_changes` leaves only what differs from what is there. Conditions
that the kubelet does not own, such as those of readiness gates, stay as they are: it reads them and never writes them.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from prograde.sandbox.controllers.objects import find_condition, format_time
from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.containers import ContainerRun, Stage
from prograde.sandbox.kubelet.images import image_id, normalized_reference

__all__ = ["PodAddress", "pod_status", "status_changes"]


@dataclass(frozen=True, slots=True)
class PodAddress:
    host_ip: str
    pod_ip: str
    """Shown once the pod's first container was started."""


def pod_status(
    pod: Object,
    init: Sequence[ContainerRun],
    main: Sequence[ContainerRun],
    is_ready: Callable[[ContainerRun], bool],
    *,
    address: PodAddress,
    started_at: datetime,
    is_stopping: bool,
    failure: tuple[str, str] | None,
    now: datetime,
) -> Object:
    """Return the fields that the kubelet owns.

    `failure` is the (reason, message) of a pod that was ended from outside its containers, such as by its deadline.
    """
    is_initialized = all(_is_init_done(run) for run in init)
    phase = "Failed" if failure is not None else _phase(init, main, is_initialized=is_initialized)
    status: Object = {
        "phase": phase,
        "conditions": _conditions(
            pod,
            init,
            main,
            phase,
            is_initialized=is_initialized,
            is_ready=lambda run: not is_stopping and is_ready(run),
            now=now,
        ),
        "hostIP": address.host_ip,
        "hostIPs": [{"ip": address.host_ip}],
        "startTime": format_time(started_at),
        "containerStatuses": [
            _container_status(run, is_ready=not is_stopping and is_ready(run), is_initialized=is_initialized)
            for run in main
        ],
    }
    if init:
        status["initContainerStatuses"] = [
            _container_status(run, is_ready=_is_init_ready(run, is_ready), is_initialized=is_initialized)
            for run in init
        ]
    if any(run.process is not None for run in (*init, *main)):
        status["podIP"] = address.pod_ip
        status["podIPs"] = [{"ip": address.pod_ip}]
    if failure is not None:
        status["reason"], status["message"] = failure
    return status


def status_changes(current: Object, desired: Object) -> Object:
    """Return the desired fields that differ from the current status; empty when nothing needs to be written.

    A condition keeps its lastTransitionTime for as long as its status stays the same.
    """
    known = current.get("conditions") or []
    owned = [
        _merged_condition(find_condition(known, condition["type"]), condition) for condition in desired["conditions"]
    ]
    types = {condition["type"] for condition in owned}
    conditions = [*owned, *(condition for condition in known if condition["type"] not in types)]
    wanted = {**desired, "conditions": conditions}
    return {name: value for name, value in wanted.items() if current.get(name) != value}


def _merged_condition(known: Object | None, condition: Object) -> Object:
    if known is None or known.get("status") != condition["status"]:
        return condition
    merged = {**condition, "lastTransitionTime": known.get("lastTransitionTime", condition["lastTransitionTime"])}
    # Fields that other versions of the kubelet or other writers put there are kept, in place.
    return {**known, **merged} if merged.get("reason") == known.get("reason") else merged


def _is_init_done(run: ContainerRun) -> bool:
    if run.role == "sidecar":
        return run.has_started or run.stage in (Stage.STOPPING, Stage.FINISHED) or run.restarts > 0
    return run.is_finished and run.terminated is not None and run.terminated["exitCode"] == 0


def _is_init_ready(run: ContainerRun, is_ready: Callable[[ContainerRun], bool]) -> bool:
    return is_ready(run) if run.role == "sidecar" else _is_init_done(run)


def _phase(init: Sequence[ContainerRun], main: Sequence[ContainerRun], *, is_initialized: bool) -> str:
    is_sidecar_running = any(run.role == "sidecar" and run.is_running for run in init)
    if (
        any(run.role == "init" and run.is_finished and not _is_init_done(run) for run in init)
        and not is_sidecar_running
    ):
        return "Failed"
    if not is_initialized:
        return "Pending"
    if any(run.process is None for run in main):
        return "Pending"
    if any(run.stage is Stage.POST_START and run.restarts == 0 for run in main):
        return "Pending"
    if is_sidecar_running or not all(run.is_finished for run in main):
        return "Running"
    succeeded = all(run.terminated is not None and run.terminated["exitCode"] == 0 for run in main)
    return "Succeeded" if succeeded else "Failed"


# -- conditions ------------------------------------------------------------------------------------------------------


def _conditions(
    pod: Object,
    init: Sequence[ContainerRun],
    main: Sequence[ContainerRun],
    phase: str,
    *,
    is_initialized: bool,
    is_ready: Callable[[ContainerRun], bool],
    now: datetime,
) -> list[Object]:
    moment = format_time(now)
    waiting = [run.name for run in init if not _is_init_done(run)]
    unready = [run.name for run in main if not is_ready(run)]
    unready += [run.name for run in init if run.role == "sidecar" and not is_ready(run)]
    initialized = ("", "") if is_initialized else ("ContainersNotInitialized", _listed("incomplete", waiting))
    if phase in ("Succeeded", "Failed"):
        why = ("PodCompleted" if phase == "Succeeded" else "PodFailed", "")
        initialized = ("", "") if is_initialized else initialized
        containers = ready = why
        if phase == "Succeeded" and not is_initialized:
            initialized = ("PodCompleted", "")
    else:
        containers = ("ContainersNotReady", _listed("unready", unready)) if unready else ("", "")
        ready = containers if unready else _gates(pod)
    return [
        _condition("PodReadyToStartContainers", ("", ""), moment),
        _condition("Initialized", initialized, moment),
        _condition("Ready", ready, moment),
        _condition("ContainersReady", containers, moment),
    ]


def _listed(what: str, names: Sequence[str]) -> str:
    return f"containers with {what} status: [{' '.join(names)}]"


def _gates(pod: Object) -> tuple[str, str]:
    """Return why the readiness gates keep the pod from being ready, empty strings when they do not."""
    conditions = (pod.get("status") or {}).get("conditions")
    problems = []
    for gate in pod["spec"].get("readinessGates") or ():
        type_ = gate["conditionType"]
        condition = find_condition(conditions, type_)
        if condition is None:
            problems.append(f'corresponding condition of pod readiness gate "{type_}" does not exist.')
        elif condition.get("status") != "True":
            state = condition.get("status")
            problems.append(f'the status of pod readiness gate "{type_}" is not "True", but {state}')
    return ("ReadinessGatesNotReady", ", ".join(problems)) if problems else ("", "")


def _condition(type_: str, problem: tuple[str, str], moment: str) -> Object:
    reason, message = problem
    condition = {
        "type": type_,
        "status": "False" if reason else "True",
        "lastTransitionTime": moment,
    }
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


# -- containers ------------------------------------------------------------------------------------------------------


def _container_status(run: ContainerRun, *, is_ready: bool, is_initialized: bool) -> Object:
    state = _state(run, is_initialized=is_initialized)
    last = run.last_terminated
    if "waiting" in state:
        last = run.terminated or last
    status: Object = {
        "name": run.name,
        "state": state,
        "lastState": {"terminated": last} if last is not None else {},
        "ready": is_ready,
        "restartCount": run.restarts,
        "image": normalized_reference(run.image) if run.process is not None else run.image,
        "imageID": image_id(run.image, _image_digest(run.image)) if run.process is not None else "",
        "started": run.has_started or run.stage is Stage.STOPPING,
    }
    if run.process is not None:
        status["containerID"] = run.process.container_id
    return status


@lru_cache(maxsize=1024)
def _image_digest(image: str) -> str:
    return hashlib.sha256(image.encode()).hexdigest()


def _state(run: ContainerRun, *, is_initialized: bool) -> Object:
    match run.stage:
        case Stage.RUNNING | Stage.STOPPING:
            assert run.process is not None, "only a started process runs"
            return {"running": {"startedAt": format_time(run.process.started_at)}}
        case Stage.FINISHED:
            return {"terminated": run.terminated} if run.terminated is not None else _waiting("ContainerCreating")
        case Stage.EXITED if run.terminated is not None:
            if run.terminated["reason"] == "StartError":
                return _waiting("RunContainerError", run.message)
            return {"terminated": run.terminated}
        case Stage.PULL_FAILED:
            return _waiting("ErrImagePull", run.message)
        case Stage.PULL_BACKOFF:
            return _waiting("ImagePullBackOff", run.message)
        case Stage.PULLING if run.pull_failures:
            # Trying again is not worth a word before the outcome is known.
            return _waiting("ImagePullBackOff", run.message)
        case Stage.INVALID_IMAGE:
            return _waiting("InvalidImageName", run.message)
        case Stage.CONFIG_ERROR:
            return _waiting("CreateContainerConfigError", run.message)
        case Stage.BACKOFF:
            return _waiting("CrashLoopBackOff", run.message)
    if run.terminated is not None and run.stage in (Stage.PULLING, Stage.CREATING):
        # On its way back: shows what it was until the new process runs.
        return {"terminated": run.terminated}
    return _waiting("ContainerCreating" if is_initialized else "PodInitializing")


def _waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}
