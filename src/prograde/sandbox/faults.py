"""Disturbances at the door: what can go wrong between a client and a healthy cluster, on demand and reproducibly.

A fault is an action with a filter (verb, resource, name, client), a probability and a number of times. Every draw comes
from one seeded generator, in the order of requests. All disturbances are legal: a real cluster behind a real network
can do every one of them. Events of an object never change their order, and no connection goes back in time.

What goes wrong inside the cluster has its own switches: history is forgotten by `Sandbox.compact`, pods and nodes fail
through `Sandbox.controllers`, time jumps with its clock.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

import msgspec

from prograde.kube.transport import Request, Response
from prograde.sandbox.api import Stream, status_response
from prograde.sandbox.errors import StatusError
from prograde.sandbox.paths import ResourcePath, parse_path
from prograde.sandbox.requestlog import verb_of
from prograde.sandbox.store import Store
from prograde.sandbox.watch import error_line

__all__ = [
    "Action",
    "Answer",
    "CutWatch",
    "Delay",
    "DelayEvents",
    "Disconnect",
    "ExpireWatch",
    "Fault",
    "Faults",
    "RepeatEvents",
    "StaleList",
    "WithholdBookmarks",
]

When: TypeAlias = Literal["before", "after"]
"""Before the request is carried out, or after: then it took effect, and its answer is lost."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with an error status instead."""

    status: int
    when: When = "before"
    retry_after_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Break the connection, after so many seconds of silence, without an answer."""

    when: When = "before"
    silent_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Delay:
    """Take longer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StaleList:
    """Answer a list that accepts any age (``resourceVersion=0``) with the state of some revisions ago."""

    revisions: int


@dataclass(frozen=True, slots=True)
class RepeatEvents:
    """Let a watch that resumes start some revisions too early."""

    revisions: int


@dataclass(frozen=True, slots=True)
class CutWatch:
    """End a watch after so many events: cleanly, or by breaking the connection in the middle of the next line."""

    after_events: int = 0
    is_mid_line: bool = False


@dataclass(frozen=True, slots=True)
class ExpireWatch:
    """End a watch after so many events with the error that its history is gone (410)."""

    after_events: int = 0


@dataclass(frozen=True, slots=True)
class DelayEvents:
    """Deliver what a watch has to tell late, in order."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WithholdBookmarks:
    """Send no bookmarks, except the one that ends the initial events, without which nobody could start."""


WatchAction: TypeAlias = CutWatch | ExpireWatch | DelayEvents | WithholdBookmarks
Action: TypeAlias = Answer | Disconnect | Delay | StaleList | RepeatEvents | WatchAction

_REASONS = {
    403: ("Forbidden", "forbidden: a fault was injected"),
    404: ("NotFound", "the server could not find the requested resource"),
    409: ("Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "Internal error occurred: a fault was injected"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "request did not complete within the allotted timeout"),
}


@dataclass(slots=True)
class Fault:
    """An action and when it applies. Empty filters match everything; `name` and `client` may have ``*``."""

    action: Action
    verbs: frozenset[str] = frozenset()
    resource: str = ""
    """A plural, with its sub-resource if that is meant: ``rollouts``, ``rollouts/status``, ``*/scale``."""
    name: str = ""
    client: str = ""
    """The user agent up to its first slash."""
    probability: float = 1.0
    left: int | None = None
    """How many more times; None for always."""
    hits: int = 0

    def matches(self, verb: str, path: ResourcePath, client: str) -> bool:
        resource = f"{path.plural}/{path.subresource}" if path.subresource else path.plural
        return (
            (self.left is None or self.left > 0)
            and (not self.verbs or verb in self.verbs)
            and (not self.resource or fnmatchcase(resource, self.resource))
            and (not self.name or fnmatchcase(path.name, self.name))
            and (not self.client or fnmatchcase(client, self.client))
        )


@dataclass
class Faults:
    """The faults that are set on one cluster."""

    rng: random.Random
    store: Store
    faults: list[Fault] = field(default_factory=list)
    _shown: dict[tuple[str, str], int] = field(default_factory=dict)
    """The newest revision that a client has seen in a stale list of a resource: it must not see an older one."""

    def add(
        self,
        action: Action,
        *,
        verbs: str = "",
        resource: str = "",
        name: str = "",
        client: str = "",
        probability: float = 1.0,
        times: int | None = None,
    ) -> Fault:
        """Set a fault; `verbs` are separated by commas. The result counts its hits and can be given to `remove`."""
        chosen = frozenset(verb.strip() for verb in verbs.split(",") if verb.strip())
        fault = Fault(action, chosen, resource, name, client, probability, times)
        self.faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        self.faults.remove(fault)

    def heal(self) -> None:
        """Remove all faults."""
        self.faults.clear()

    async def around(
        self, request: Request, call: Callable[[Request], Awaitable[Response | Stream]]
    ) -> Response | Stream:
        """Carry out `request` by `call`, with whatever goes wrong.

        Raises:
            ConnectionError: the connection broke.
        """
        if not self.faults:
            return await call(request)
        path = parse_path(request.path)
        if path is None:
            return await call(request)
        actions = self._draw(request, path)
        for action in actions:
            match action:
                case Delay(seconds):
                    await asyncio.sleep(seconds)
                case StaleList(revisions):
                    request = self._made_stale(request, path, revisions)
                case RepeatEvents(revisions):
                    request = self._moved_back(request, path, revisions)
                case Answer(when="before"):
                    return _error(action, path)
                case Disconnect(when="before"):
                    await _break(action)
        answer = await call(request)
        for action in actions:
            match action:
                case Answer(when="after"):
                    await _abandon(answer)
                    return _error(action, path)
                case Disconnect(when="after"):
                    await _abandon(answer)
                    await _break(action)
        watch_actions = [action for action in actions if isinstance(action, WatchAction)]
        if isinstance(answer, Stream) and watch_actions:
            return Stream(self._disturbed(answer, watch_actions), answer.headers, answer.close)
        return answer

    def _draw(self, request: Request, path: ResourcePath) -> list[Action]:
        verb = verb_of(request, path)
        client = request.headers.get("user-agent", "").partition("/")[0]
        actions = []
        for fault in self.faults:
            if fault.matches(verb, path, client) and (fault.probability >= 1 or self.rng.random() < fault.probability):
                fault.hits += 1
                if fault.left is not None:
                    fault.left -= 1
                actions.append(fault.action)
        return actions

    def _made_stale(self, request: Request, path: ResourcePath, revisions: int) -> Request:
        query = dict(request.query)
        if query.get("resourceVersion") != "0" or "continue" in query or verb_of(request, path) != "list":
            return request
        client = request.headers.get("user-agent", "")
        bucket = self.store.bucket((path.group, path.plural))
        key = (client, path.plural)
        revision = max(self.store.revision - revisions, bucket.floor, self._shown.get(key, 0))
        self._shown[key] = revision
        query |= {"resourceVersion": str(revision), "resourceVersionMatch": "Exact"}
        return msgspec.structs.replace(request, query=tuple(query.items()))

    def _moved_back(self, request: Request, path: ResourcePath, revisions: int) -> Request:
        query = dict(request.query)
        text = query.get("resourceVersion", "")
        if verb_of(request, path) != "watch" or not text.isdecimal() or text == "0":
            return request
        bucket = self.store.bucket((path.group, path.plural))
        if int(text) < bucket.floor:
            return request
        query["resourceVersion"] = str(max(int(text) - revisions, bucket.floor))
        return msgspec.structs.replace(request, query=tuple(query.items()))

    async def _disturbed(self, stream: Stream, actions: list[WatchAction]) -> AsyncIterator[bytes]:
        """Yield the lines of a watch with `actions` done to them."""
        has_bookmarks = not any(isinstance(action, WithholdBookmarks) for action in actions)
        delay = sum(action.seconds for action in actions if isinstance(action, DelayEvents))
        ends = [action for action in actions if isinstance(action, (CutWatch, ExpireWatch))]
        end = min(ends, key=lambda action: action.after_events, default=None)
        count = 0
        chunks = stream.chunks()
        try:
            if end is not None and end.after_events == 0 and not (isinstance(end, CutWatch) and end.is_mid_line):
                if isinstance(end, ExpireWatch):
                    yield self._expired()
                return
            async for chunk in chunks:
                if delay:
                    await asyncio.sleep(delay)
                for line in chunk.splitlines(keepends=True):
                    is_bookmark = line.startswith(b'{"type":"BOOKMARK"')
                    if is_bookmark and not has_bookmarks and b"k8s.io/initial-events-end" not in line:
                        continue
                    if isinstance(end, CutWatch) and end.is_mid_line and count >= end.after_events:
                        yield line[: len(line) // 2]
                        raise ConnectionResetError("the connection was cut in the middle of an event")
                    yield line
                    count += 0 if is_bookmark else 1
                    if end is not None and count >= end.after_events and not getattr(end, "is_mid_line", False):
                        if isinstance(end, ExpireWatch):
                            yield self._expired()
                        return
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    def _expired(self) -> bytes:
        revision = self.store.revision
        message = f"too old resource version: {revision - 1} ({revision})"
        return error_line(StatusError(410, "Expired", message))


def _error(action: Answer, path: ResourcePath) -> Response:
    reason, message = _REASONS.get(action.status, ("InternalError", "a fault was injected"))
    if action.status == 409:
        return status_response(StatusError.conflict(path.group, path.plural, path.name))
    error = StatusError(action.status, reason, message, retry_after_seconds=action.retry_after_seconds)
    return status_response(error)


async def _break(action: Disconnect) -> None:
    if action.silent_seconds:
        await asyncio.sleep(action.silent_seconds)
    raise ConnectionResetError("the connection was broken")


async def _abandon(answer: Response | Stream) -> None:
    """Drop an answer; an abandoned stream must not stay registered."""
    if isinstance(answer, Stream):
        close = getattr(answer.chunks(), "aclose", None)
        if close is not None:
            await close()
