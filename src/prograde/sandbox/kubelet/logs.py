"""Container logs, worked out from what the simulated processes print.

Nothing is stored: a `Process` knows its whole output in advance, and a log is the part of it up to now. Only the
current process and the one before it are known, as on a real node.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prograde.sandbox.client import LocalClient
from prograde.sandbox.controllers.index import PODS
from prograde.sandbox.controllers.objects import WAIT_SECONDS_MAX, is_terminal, later
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.containers import ContainerRun, Process

__all__ = ["LogReader"]

ContainerRuns = Callable[[str], Sequence[ContainerRun]]
"""The containers of a pod by its UID; empty when the kubelet does not know the pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What of a log is asked for; None means no limit."""

    previous: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_seconds: float | None = None
    since_time: datetime | None = None
    timestamps: bool = False


class LogReader:
    """Reads and follows the logs of one cluster's containers."""

    def __init__(
        self, client: LocalClient, now: Callable[[], datetime], runs: ContainerRuns, *, speed: float = 1.0
    ) -> None:
        """`speed` is how many seconds `now` advances per second of the asyncio clock."""
        self._client = client
        self._now = now
        self._runs = runs
        self._speed = speed
        self._followers: dict[str, list[asyncio.Event]] = {}

    def notify(self, uid: str) -> None:
        """Tell those who follow a pod's logs that something about it changed."""
        for changed in self._followers.get(uid, ()):
            changed.set()

    def read_log(
        self,
        namespace: str,
        pod: str,
        container: str = "",
        *,
        previous: bool = False,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
        since_seconds: float | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
    ) -> bytes:
        """Return a container's log up to now.

        Raises:
            StatusError: 404 for an unknown pod, 400 for a container that is unknown, not named or not started.
        """
        options = _Options(
            previous=previous,
            tail_lines=tail_lines,
            limit_bytes=limit_bytes,
            since_seconds=since_seconds,
            since_time=since_time,
            timestamps=timestamps,
        )
        found = self._existing(namespace, pod)
        name = _choose_container(found, container)
        run = self._run(found["metadata"]["uid"], name)
        if run is None and is_terminal(found):
            return b""  # finished before this kubelet was started
        process = _choose_process(found, run, name, previous=previous)
        now = self._now()
        return _rendered(_lines(process, now), options, now)

    async def follow_log(self, namespace: str, pod: str, container: str = "", **options: Any) -> AsyncIterator[bytes]:
        """Yield a container's log and then whatever is added, until the container ends. Takes `read_log`'s options.

        Raises:
            StatusError: as `read_log`, before the first item.
        """
        chosen = _Options(**options)
        found = self._existing(namespace, pod)
        name, uid = _choose_container(found, container), found["metadata"]["uid"]
        run = self._run(uid, name)
        if run is None and is_terminal(found):
            return
        process = _choose_process(found, run, name, previous=chosen.previous)
        changed = asyncio.Event()
        self._followers.setdefault(uid, []).append(changed)
        try:
            now = self._now()
            lines = _lines(process, now)
            content = _rendered(lines, chosen, now)
            seen = _length(lines)
            left = None if chosen.limit_bytes is None else chosen.limit_bytes - len(content)
            if content:
                yield content
            while process.ended_at is None and self._runs(uid) and (left is None or left > 0):
                await self._wait(changed, _next_output_at(process, now))
                now = self._now()
                process = self._followed(uid, name, process)
                lines = _lines(process, now)
                if _length(lines) > seen:
                    content = _rendered(_after(lines, seen), _Options(timestamps=chosen.timestamps), now)[:left]
                    seen = _length(lines)
                    left = None if left is None else left - len(content)
                    yield content
        finally:
            self._followers[uid].remove(changed)
            if not self._followers[uid]:
                del self._followers[uid]

    async def _wait(self, changed: asyncio.Event, due: datetime | None) -> None:
        """Wait for a change of the pod, or for the time of the next line."""
        timeout = None if due is None else max(0.0, (due - self._now()).total_seconds()) / self._speed + 1e-6
        try:
            async with asyncio.timeout(timeout):
                await changed.wait()
        except TimeoutError:
            pass
        changed.clear()

    def _followed(self, uid: str, container: str, process: Process) -> Process:
        """Return the followed process as it is now: a restart makes it the previous one, and ended."""
        run = self._run(uid, container)
        for known in (run.process, run.previous) if run is not None else ():
            if known is not None and known.container_id == process.container_id:
                return known
        return process

    def _existing(self, namespace: str, name: str) -> Object:
        found = self._client.get(PODS, namespace, name)
        if found is None:
            raise StatusError.not_found("", "pods", name)
        return found

    def _run(self, uid: str, container: str) -> ContainerRun | None:
        return next((each for each in self._runs(uid) if each.name == container), None)


def _choose_container(pod: Object, container: str) -> str:
    """Return the container whose log is meant.

    Raises:
        StatusError: 400, it is unknown, or none was named where the pod has several.
    """
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    main = [str(each["name"]) for each in spec["containers"]]
    init = [str(each["name"]) for each in spec.get("initContainers") or ()]
    if container:
        if container not in (*main, *init):
            raise StatusError.bad_request(f"container {container} is not valid for pod {pod_name}")
        return container
    if len(main) == 1:
        return main[0]
    listed = f" or one of the init containers: [{' '.join(init)}]" if init else ""
    text = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(main)}]{listed}"
    raise StatusError.bad_request(text)


def _choose_process(pod: Object, run: ContainerRun | None, container: str, *, previous: bool) -> Process:
    """Return the process whose log is meant.

    Raises:
        StatusError: 400, there is none: the container waits, or was never restarted.
    """
    name = pod["metadata"]["name"]
    if previous:
        before = None
        if run is not None:
            # Between two runs, the one that ended last is the previous one: no newer one has begun.
            is_between = run.terminated is not None and not run.is_finished
            before = run.process if is_between else run.previous
        if before is None:
            raise StatusError.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        return before
    if not pod["spec"].get("nodeName"):
        raise StatusError.bad_request(f"pod {name} does not have a host assigned")
    if run is None or run.process is None:
        reason = _waiting_reason(pod, container)
        raise StatusError.bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
    return run.process


def _waiting_reason(pod: Object, container: str) -> str:
    status = pod.get("status") or {}
    for entry in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        waiting = (entry.get("state") or {}).get("waiting")
        if entry["name"] == container and waiting:
            return str(waiting["reason"])
    return "ContainerCreating"


def _lines(process: Process, now: datetime) -> list[tuple[datetime, str]]:
    """Return the lines printed so far with their times; the last may lack its end."""
    until = now if process.ended_at is None else min(now, process.ended_at)
    lines: list[tuple[datetime, str]] = []
    for seconds, text in ((0.0, process.log), *process.program.output):
        moment = later(process.started_at, seconds)
        if moment > until:
            break
        for line in text.splitlines(keepends=True):
            if lines and not lines[-1][1].endswith("\n"):
                lines[-1] = (lines[-1][0], lines[-1][1] + line)
            else:
                lines.append((moment, line))
    return lines


def _length(lines: Sequence[tuple[datetime, str]]) -> int:
    return sum(len(text) for _, text in lines)


def _after(lines: Sequence[tuple[datetime, str]], seen: int) -> list[tuple[datetime, str]]:
    """Return what follows the first `seen` characters."""
    new: list[tuple[datetime, str]] = []
    position = 0
    for moment, text in lines:
        if position + len(text) > seen:
            new.append((moment, text[max(0, seen - position) :]))
        position += len(text)
    return new


def _next_output_at(process: Process, now: datetime) -> datetime | None:
    moments = (later(process.started_at, seconds) for seconds, _ in process.program.output)
    return next((moment for moment in moments if moment > now), None)


def _rendered(lines: Sequence[tuple[datetime, str]], options: _Options, now: datetime) -> bytes:
    since = options.since_time
    if options.since_seconds is not None:
        since = now - timedelta(seconds=min(options.since_seconds, WAIT_SECONDS_MAX))
    chosen = [line for line in lines if since is None or line[0] >= since]
    if options.tail_lines is not None:
        chosen = chosen[max(0, len(chosen) - options.tail_lines) :]
    form = "{0:%Y-%m-%dT%H:%M:%S.%f}000Z {1}" if options.timestamps else "{1}"
    content = "".join(form.format(moment, line) for moment, line in chosen).encode()
    return content if options.limit_bytes is None else content[: options.limit_bytes]
