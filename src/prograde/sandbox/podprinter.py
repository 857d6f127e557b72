"""The row of a pod. Its Status cell names the first thing that keeps the pod from working."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prograde.api.ages import human_duration
from prograde.sandbox.cells import (
    NONE,
    UNKNOWN,
    Cells,
    condition_of,
    is_true,
    name_of,
    object_age,
    parse_time,
    spec_of,
    status_of,
)
from prograde.sandbox.kinds import Object

__all__ = ["pod_cells"]


def pod_cells(obj: Object, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or []) + len(sidecars)
    reason, ready, restarts, last_restart = _pod_progress(obj, sidecars)
    restarts_text = str(restarts)
    if restarts and last_restart is not None:
        restarts_text += f" ({human_duration(now - last_restart)} ago)"
    gates = [gate.get("conditionType", "") for gate in spec.get("readinessGates") or []]
    passed = sum(1 for gate in gates if is_true(obj, gate))
    return [
        name_of(obj),
        f"{ready}/{total}",
        reason,
        restarts_text,
        object_age(obj, now),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{passed}/{len(gates)}" if gates else NONE,
    ]


def _pod_progress(obj: Object, sidecars: set[str]) -> tuple[str, int, int, datetime | None]:
    """Return the Status cell, how many containers are ready, the restarts and when the last one was."""
    spec, status = spec_of(obj), status_of(obj)
    reason = status.get("reason") or status.get("phase") or UNKNOWN
    if condition_of(obj, "PodScheduled").get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    init_total = len(spec.get("initContainers") or [])
    ready = restarts = sidecar_restarts = 0
    ends: list[datetime] = []
    is_initializing = False
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        is_sidecar = container.get("name") in sidecars
        restarts += container.get("restartCount", 0)
        sidecar_restarts += container.get("restartCount", 0) if is_sidecar else 0
        ends += _last_end(container)
        ready += 1 if is_sidecar and container.get("ready") else 0
        blocked = _init_blocked(container, index, init_total, is_sidecar)
        if blocked is not None:
            reason, is_initializing = blocked, True
            break
    if not is_initializing or is_true(obj, "Initialized"):
        restarts = sidecar_restarts
        has_running = False
        for container in reversed(status.get("containerStatuses") or []):
            restarts += container.get("restartCount", 0)
            ends += _last_end(container)
            state = container.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated is not None:
                reason = _termination(terminated)
            elif container.get("ready") and state.get("running") is not None:
                has_running = True
                ready += 1
        if reason == "Completed" and has_running:
            reason = "Running" if is_true(obj, "Ready") else "NotReady"
    if "deletionTimestamp" in obj["metadata"]:
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return reason, ready, restarts, max(ends, default=None)


def _init_blocked(container: Mapping[str, Any], index: int, total: int, is_sidecar: bool) -> str | None:
    """Return why the pod has not come past this init container, None when it has."""
    state = container.get("state") or {}
    waiting, terminated = state.get("waiting") or {}, state.get("terminated")
    if terminated is not None and terminated.get("exitCode", 0) == 0 and not is_sidecar:
        return None
    if is_sidecar and container.get("started"):
        return None
    if terminated is not None:
        return f"Init:{_termination(terminated)}"
    if waiting.get("reason") and waiting["reason"] != "PodInitializing":
        return f"Init:{waiting['reason']}"
    return f"Init:{index}/{total}"


def _termination(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        reason: str = terminated["reason"]
        return reason
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _last_end(container: Mapping[str, Any]) -> list[datetime]:
    last = (container.get("lastState") or {}).get("terminated") or {}
    end = parse_time(last.get("finishedAt"))
    return [end] if end is not None else []
