"""The ``log`` sub-resource of pods: which lines of which container, once or as they come.

Where lines come from is the kubelet's business (`LogSource`); here is what `kubectl logs` may ask about them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Object
from prograde.sandbox.printers import parse_time
from prograde.sandbox.store import Store

__all__ = ["LogLine", "LogOptions", "LogSource", "follow_log", "parse_log_options", "read_log"]

FOLLOW_SECONDS = 0.2
"""How long a follower waits for the next line; a change of any pod wakes it sooner."""


class LogLine(NamedTuple):
    """One line, without its end, and when it was written."""

    at: datetime
    text: str


class LogSource(Protocol):
    """Whoever runs the containers."""

    def lines(self, pod: Object, container: str, *, previous: bool) -> Sequence[LogLine] | None:
        """Return what a container, or its previous run, has written until now; None when there is no such run."""
        ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What `kubectl logs` asks for."""

    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None


def parse_log_options(pod: Object, query: Mapping[str, str], now: datetime) -> LogOptions:
    """Read the query of a log request.

    Raises:
        StatusError: 400, the container is unknown or must be named; 422, a value makes no sense.
    """
    causes: list[Cause] = []

    def number(name: str, least: int) -> int | None:
        text = query.get(name, "")
        if not text:
            return None
        if not text.lstrip("-").isdecimal() or int(text) < least:
            causes.append(Cause("FieldValueInvalid", f"Invalid value: {text}: must be at least {least}", name))
            return None
        return int(text)

    seconds = number("sinceSeconds", 1)
    since = now - timedelta(seconds=seconds) if seconds is not None else parse_time(query.get("sinceTime"))
    options = LogOptions(
        container=_container(pod, query.get("container", "")),
        follow=query.get("follow", "") in ("true", "1", "True"),
        previous=query.get("previous", "") in ("true", "1", "True"),
        timestamps=query.get("timestamps", "") in ("true", "1", "True"),
        tail_lines=number("tailLines", 0),
        limit_bytes=number("limitBytes", 1),
        since=since,
    )
    if causes:
        raise StatusError.invalid("", "PodLogOptions", pod["metadata"]["name"], causes)
    return options


def read_log(source: LogSource | None, pod: Object, options: LogOptions) -> bytes:
    """Return the lines asked for as text.

    Raises:
        StatusError: 400, the container has not started, or has no previous run.
    """
    lines = _lines(source, pod, options)
    if options.since is not None:
        lines = [line for line in lines if line.at >= options.since]
    if options.tail_lines is not None:
        lines = lines[max(0, len(lines) - options.tail_lines) :]
    text = b"".join(_format(line, options) for line in lines)
    return text if options.limit_bytes is None else text[: options.limit_bytes]


async def follow_log(source: LogSource | None, store: Store, pod: Object, options: LogOptions) -> AsyncIterator[bytes]:
    """Yield the log and then what is added to it, until the container ends or the pod goes."""
    metadata = pod["metadata"]
    bucket = store.bucket(("", "pods"))
    sent = len(_lines(source, pod, options))
    text = read_log(source, pod, options)
    left = None if options.limit_bytes is None else options.limit_bytes - len(text)
    if text:
        yield text
    changed = asyncio.Event()
    bucket.wakers[changed] = changed.set
    try:
        while left is None or left > 0:
            entry = bucket.get(metadata["namespace"], metadata["name"])
            is_gone = entry is None or entry.obj["metadata"]["uid"] != metadata["uid"]
            current = pod if entry is None or is_gone else entry.obj
            lines = [] if is_gone else _lines_or_none(source, current, options)
            if len(lines) > sent:
                text = b"".join(_format(line, options) for line in lines[sent:])
                sent = len(lines)
                text = text if left is None else text[:left]
                left = None if left is None else left - len(text)
                yield text
            if is_gone or not _is_running(current, options.container):
                return
            changed.clear()
            try:
                async with asyncio.timeout(FOLLOW_SECONDS):
                    await changed.wait()
            except TimeoutError:
                continue
    finally:
        del bucket.wakers[changed]


def _container(pod: Object, name: str) -> str:
    spec, pod_name = pod.get("spec") or {}, pod["metadata"]["name"]
    names = [c["name"] for c in spec.get("containers") or []]
    init_names = [c["name"] for c in spec.get("initContainers") or []]
    if name:
        if name not in names and name not in init_names:
            raise StatusError.bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(names) == 1:
        return str(names[0])
    listed, init = " ".join(names), f" or one of the init containers: [{' '.join(init_names)}]" if init_names else ""
    message = f"a container name must be specified for pod {pod_name}, choose one of: [{listed}]{init}"
    raise StatusError.bad_request(message)


def _status_of(pod: Object, container: str) -> Mapping[str, Any]:
    status = pod.get("status") or {}
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        if each.get("name") == container:
            found: Mapping[str, Any] = each
            return found
    return {}


def _is_running(pod: Object, container: str) -> bool:
    return (_status_of(pod, container).get("state") or {}).get("running") is not None


def _lines(source: LogSource | None, pod: Object, options: LogOptions) -> Sequence[LogLine]:
    name, container = pod["metadata"]["name"], options.container
    status = _status_of(pod, container)
    if options.previous and not (status.get("lastState") or {}).get("terminated"):
        raise StatusError.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    state = status.get("state") or {}
    has_run = "running" in state or "terminated" in state or (status.get("lastState") or {}).get("terminated")
    lines = source.lines(pod, container, previous=options.previous) if source is not None else None
    if lines is None and not has_run:
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        raise StatusError.bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
    return lines or []


def _lines_or_none(source: LogSource | None, pod: Object, options: LogOptions) -> Sequence[LogLine]:
    return (source.lines(pod, options.container, previous=options.previous) if source is not None else None) or []


def _format(line: LogLine, options: LogOptions) -> bytes:
    stamp = f"{line.at:%Y-%m-%dT%H:%M:%S.%f}000Z " if options.timestamps else ""
    return f"{stamp}{line.text}\n".encode()
