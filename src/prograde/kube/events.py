"""Telling people what happened: core/v1 Events, few enough to be read, and never in anybody's way.

    record ──▶ bounded queues ─▶ EventCorrelator ──▶ create, or patch of count and time
                                  │
                                  ├─ the same again?        one Event, its count grows
                                  ├─ ten messages in ten minutes that differ in nothing else?
                                  │                         one Event "(combined from similar events): ..."
                                  └─ an object that never stops? 25 at once, then one in five minutes

These are the rules of client-go's recorder, so that a cluster shows the same Events whoever wrote them. `record` only
puts a value into a queue; a task writes one after the other, and waits out an unreachable server for a while. Events
are best effort: what the server refuses, and what overflows the queue, is logged and dropped.
"""

import asyncio
import logging
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, Literal, TypeVar

import msgspec

from prograde.api.meta import WireStruct
from prograde.api.scalars import format_time
from prograde.kube.client import Client
from prograde.kube.errors import AlreadyExists, ApiError, KubeError, NotFound, ServerError, TooManyRequests
from prograde.kube.resources import EVENTS

__all__ = ["EventCorrelator", "EventRecorder", "EventType", "ObjectReference", "Occurrence"]

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

EventType = Literal["Normal", "Warning"]

QUEUE_MAX: Final = 1000
"""Events waiting to be written; more means that the server is away, and then the first ones tell most."""

MINOR_QUEUE_MAX: Final = 10_000
"""Of minor events many may come at once, such as one for each object at a start."""

TRIES_MAX: Final = 12
RETRY_SECONDS: Final = 10.0
"""Two minutes in all: long enough for an API server to be replaced."""

FLUSH_SECONDS: Final = 5.0
"""How long a stopping process goes on writing."""

SIMILAR_MAX: Final = 10
SIMILAR_WINDOW: Final = timedelta(minutes=10)
SIMILAR_PREFIX: Final = "(combined from similar events): "

SPAM_BURST: Final = 25
SPAM_REFILL: Final = timedelta(minutes=5)

MEMORY_MAX: Final = 4096
"""Objects and events remembered for the three rules."""

NAME_CHARACTERS_MAX: Final = 253
MESSAGE_CHARACTERS_MAX: Final = 16_384
"""Far above any sentence for people; keeps a runaway error text from becoming an object the server refuses."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ObjectReference(WireStruct, frozen=True, kw_only=True):
    """The object that an Event is about."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an object at a time."""

    about: ObjectReference
    type: EventType
    reason: str
    message: str
    at: datetime
    annotations: Mapping[str, str] = {}


@dataclass
class _Known:
    """An Event that we have written or are about to write; shared between correlator and writer."""

    name: str
    first_at: datetime
    count: int = 0
    is_written: bool = False


class Correlated(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written for an occurrence: an Event that is new or has happened `count` times."""

    occurrence: Occurrence
    known: _Known
    count: int


class EventRecorder:
    """Write Events in the background; see the module's docstring.

    Args:
        component: the source that Events show, for example ``rollouts-controller``.
        now: the wall clock, aware.
        host: the source's host; empty is usual for controllers.
    """

    def __init__(
        self,
        client: Client,
        *,
        component: str,
        now: Callable[[], datetime],
        rng: random.Random,
        host: str = "",
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._now = now
        self._rng = rng
        self._queue: deque[Occurrence] = deque()
        self._minor_queue: deque[Occurrence] = deque()
        self._queue_max = queue_max
        self._correlator = EventCorrelator()
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()
        self.dropped = 0
        """How many occurrences found the queue full or the recorder closed."""

    def record(
        self,
        about: ObjectReference,
        event_type: EventType,
        reason: str,
        message: str,
        *,
        annotations: Mapping[str, str] | None = None,
        is_minor: bool = False,
    ) -> None:
        """Note that something happened. Never waits and never fails.

        A minor event is written when no other waits, so that thousands of them keep nobody from hearing of a failure.
        """
        queue, queue_max = (self._minor_queue, MINOR_QUEUE_MAX) if is_minor else (self._queue, self._queue_max)
        if self._closed.is_set() or len(queue) >= queue_max:
            self.dropped += 1
            level = logging.DEBUG if is_minor else logging.WARNING
            logger.log(
                level, "dropped event %s about %s %s: the queue is full or closed", reason, about.kind, about.name
            )
            return
        queue.append(
            Occurrence(
                about=about,
                type=event_type,
                reason=reason,
                message=message[:MESSAGE_CHARACTERS_MAX],
                at=self._now(),
                annotations=annotations or {},
            )
        )
        self._wake.set()

    async def run(self) -> None:
        """Write until `close` is called and the queue is empty, or a few seconds have passed since."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write_all())
            await self._closed.wait()
            done, _ = await asyncio.wait([writing], timeout=FLUSH_SECONDS)
            if not done:
                left = len(self._queue) + len(self._minor_queue) + 1
                logger.warning("%d events could not be written before the end", left)
                writing.cancel()

    def close(self) -> None:
        """Take no more; `run` returns when the rest is written."""
        self._closed.set()
        self._wake.set()

    # -- below --------------------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        while True:
            queue = self._queue or self._minor_queue
            if not queue:
                if self._closed.is_set():
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            correlated = self._correlator.correlate(queue.popleft())
            if correlated is not None:
                await self._write(correlated)

    async def _write(self, correlated: Correlated) -> None:
        """Write one Event, trying again for a while if the server is away."""
        about = correlated.occurrence.about
        may_have_been_written = False
        for attempt in range(TRIES_MAX):
            if attempt:
                # The first wait is a random part, so that many controllers do not come back in step.
                await asyncio.sleep(RETRY_SECONDS * (self._rng.random() if attempt == 1 else 1.0))
            try:
                await self._write_once(correlated)
                correlated.known.is_written = True
                return
            except AlreadyExists:
                if may_have_been_written:  # by the try whose answer was lost
                    correlated.known.is_written = True
                    return
                correlated.known.name = self._correlator.new_name(about.name, correlated.occurrence.at)
            except KubeError as err:
                if isinstance(err, ApiError) and not isinstance(err, TooManyRequests | ServerError):
                    level = logging.DEBUG if err.has_cause("NamespaceTerminating") else logging.WARNING
                    logger.log(level, "the server refused an event about %s %s: %s", about.kind, about.name, err)
                    return
                may_have_been_written = True
                logger.info("cannot write event, will try again: %s", err)
        logger.warning("gave up on event %s about %s %s", correlated.occurrence.reason, about.kind, about.name)

    async def _write_once(self, correlated: Correlated) -> None:
        occurrence, known = correlated.occurrence, correlated.known
        namespace = occurrence.about.namespace or "default"
        if known.is_written:
            patch = {
                "count": correlated.count,
                "lastTimestamp": format_time(occurrence.at),
                "message": occurrence.message,
            }
            try:
                await self._client.patch(EVENTS, namespace, known.name, patch)
                return
            except NotFound:
                known.is_written = False  # servers forget Events after an hour
        await self._client.create(EVENTS, namespace, self._body(correlated, namespace))

    def _body(self, correlated: Correlated, namespace: str) -> dict[str, object]:
        occurrence, known = correlated.occurrence, correlated.known
        metadata: dict[str, object] = {"name": known.name, "namespace": namespace}
        if occurrence.annotations:
            metadata["annotations"] = dict(occurrence.annotations)
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": metadata,
            "involvedObject": occurrence.about,
            "reason": occurrence.reason,
            "message": occurrence.message,
            "source": source,
            "firstTimestamp": format_time(known.first_at),
            "lastTimestamp": format_time(occurrence.at),
            "count": correlated.count,
            "type": occurrence.type,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


class EventCorrelator:
    """The three rules of the module's docstring, for one source. Pure but for its memory."""

    def __init__(self) -> None:
        self._groups: _Memory[Hashable, _Group] = _Memory()
        self._known: _Memory[Hashable, _Known] = _Memory()
        self._buckets: _Memory[Hashable, _Bucket] = _Memory()
        self._last_nanoseconds = 0

    def correlate(self, occurrence: Occurrence) -> Correlated | None:
        """Return what to write, None if the object has used up its share.

        The share is charged last: what it suppresses is counted all the same, and the count is right when the object
        is heard again.
        """
        occurrence, key = self._combine(occurrence)
        known = self._known.get(key)
        if known is None:
            known = _Known(self.new_name(occurrence.about.name, occurrence.at), occurrence.at)
        known.count += 1
        self._known.put(key, known)
        if not self._has_share(occurrence):
            return None
        return Correlated(occurrence=occurrence, known=known, count=known.count)

    def new_name(self, object_name: str, at: datetime) -> str:
        """Return a name for an Event: the object's, and the time in nanoseconds, which never repeats here."""
        nanoseconds = (at - _EPOCH) // timedelta(microseconds=1) * 1000
        self._last_nanoseconds = max(nanoseconds, self._last_nanoseconds + 1)
        suffix = f".{self._last_nanoseconds:x}"
        return object_name[: NAME_CHARACTERS_MAX - len(suffix)].rstrip(".-") + suffix

    def _combine(self, occurrence: Occurrence) -> tuple[Occurrence, Hashable]:
        """Return the occurrence and what identifies its Event; from the tenth similar message on, the combined one."""
        about = _identity(occurrence.about)
        key = (about, occurrence.type, occurrence.reason)
        group = self._groups.get(key)
        if group is None or occurrence.at - group.last_at > SIMILAR_WINDOW:
            group = _Group()
        group.messages[occurrence.message] = None
        group.last_at = occurrence.at
        self._groups.put(key, group)
        if len(group.messages) < SIMILAR_MAX:
            return occurrence, (*key, occurrence.about.field_path, occurrence.message)
        group.messages.popitem(last=False)
        return msgspec.structs.replace(occurrence, message=SIMILAR_PREFIX + occurrence.message), key

    def _has_share(self, occurrence: Occurrence) -> bool:
        key = _identity(occurrence.about)
        bucket = self._buckets.get(key) or _Bucket(float(SPAM_BURST), occurrence.at)
        passed = max(occurrence.at - bucket.updated_at, timedelta())  # wall clocks step back at times
        bucket.tokens = min(bucket.tokens + passed / SPAM_REFILL, SPAM_BURST)
        bucket.updated_at = occurrence.at
        self._buckets.put(key, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _identity(about: ObjectReference) -> Hashable:
    return about.kind, about.namespace, about.name, about.uid, about.api_version


@dataclass
class _Group:
    """Occurrences that differ in their message only."""

    messages: OrderedDict[str, None] = field(default_factory=OrderedDict)
    last_at: datetime = _EPOCH


@dataclass
class _Bucket:
    tokens: float
    updated_at: datetime


class _Memory(Generic[K, V]):
    """A dictionary that forgets what was not used for longest."""

    def __init__(self) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > MEMORY_MAX:
            self._values.popitem(last=False)
