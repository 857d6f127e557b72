"""List, then watch, for ever: the loop that keeps a copy equal to one collection of the API server.

    list ──pages──▶ replace ──▶ watch from the list's version ──events──▶ upsert / remove
      ▲                            │        ▲
      │ 410, or failures in a row  │        │ ended, cut or failed: resume from the last version seen
      └────────────────────────────┴────────┘

Nothing is lost on the way:

- A watch resumes from the version of the last *complete* line, so a line that was cut in the middle comes again.
- What a watch tells again is skipped, so no object ever goes back to an older version.
- Bookmarks move that version forward in quiet times, so that resuming rarely meets 410.
- After a 410 the collection is listed anew and the receiver compares: what is missing has been deleted meanwhile.
- A list whose snapshot expires between two pages is repeated in one piece.

Nothing spins: every failure, and every watch that ends at once without a word, waits for a growing and spread delay,
which is reset by progress only. Nothing hangs: a watch asks the server to end it after five to ten minutes, and is
given up a little later if the server does not.

What objects are, and that one of them may not be readable, is the business of the receiver (`prograde.kube.informer`).
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Final, Generic, TypeGuard, TypeVar

import msgspec

from prograde.kube.backoff import Backoff
from prograde.kube.client import PAGE_SIZE, Client
from prograde.kube.errors import (
    ApiError,
    Forbidden,
    Gone,
    KubeError,
    MethodNotAllowed,
    NotFound,
    ServerError,
    Status,
    TooManyRequests,
    from_status,
)
from prograde.kube.resources import Key, Resource

__all__ = ["Entry", "Reflector", "lines"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

WATCH_SECONDS_MIN: Final = 300
WATCH_SECONDS_MAX: Final = 600
"""How long a watch is asked to live; drawn anew for each, so that watches of many clients do not end together."""

WATCH_GRACE_SECONDS: Final = 30
"""How much later than asked a server may end a watch before we take the connection for dead."""

WATCH_TOO_SHORT_SECONDS: Final = 1.0
"""A watch that ends sooner than this and said nothing counts as failed, whatever its status."""

FAILURES_BEFORE_LIST: Final = 5
"""Failed watches in a row after which the collection is listed anew: if one event cannot be read (garbage where a
line should be), resuming before it would meet it for ever, while a list steps over it."""

LINE_BYTES_MAX: Final = 64 << 20
"""Objects are limited to about 3 MB by the server's storage; a line twenty times as long is something else."""


class Entry(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One object as parsed: `obj`, or the `error` that made it unreadable. Key and version are known in both cases,
    except that `key` is None when not even the metadata could be read."""

    key: Key | None
    resource_version: str
    obj: T | None = None
    error: Exception | None = None


class BrokenStream(KubeError):
    """A watch delivered something that is no event."""


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Versioned(msgspec.Struct, frozen=True):
    """The only part of a bookmark's object that counts."""

    class _Meta(msgspec.Struct, frozen=True, rename="camel"):
        resource_version: str = ""

    metadata: _Meta


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_versioned = msgspec.json.Decoder(_Versioned).decode
_decode_status = msgspec.json.Decoder(Status).decode


class Reflector(Generic[T]):
    """See the module's docstring.

    Args:
        parse: turn one object's JSON into an `Entry`; must not raise. The bytes are the object's own copy: keeping a
            view into them does not keep a page of 500 objects alive.
        replace: take the entries as the whole collection; whatever else is known has been deleted.
        upsert, remove: take one change. All three are called from one task, in the server's order.
        namespace: ``""`` for all.
        backoff: delays between failures.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        parse: Callable[[bytes], Entry[T]],
        replace: Callable[[Sequence[Entry[T]]], None],
        upsert: Callable[[Entry[T]], None],
        remove: Callable[[Entry[T]], None],
        rng: random.Random,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        page_size: int = PAGE_SIZE,
        backoff: Backoff | None = None,
    ) -> None:
        self._client = client
        self._resource = resource
        self._parse = parse
        self._replace = replace
        self._upsert = upsert
        self._remove = remove
        self._rng = rng
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._page_size = page_size
        self._backoff = backoff or Backoff(rng)
        self._version = ""
        self._list_refusal: ApiError | None = None
        self._watch_refusal: ApiError | None = None

    @property
    def resource_version(self) -> str:
        """Return the version that has been seen; ``""`` before the first list."""
        return self._version

    @property
    def refusal(self) -> ApiError | None:
        """Return why the server does not let us follow: the kind is not served, or a permission is missing.

        None while it lets us, before it was asked, and for failures that pass by themselves. It is asked again and
        again, so this may change at any time.
        """
        return self._list_refusal or self._watch_refusal

    async def run(self) -> None:
        """Work until cancelled."""
        said = ""
        while True:
            try:
                entries, version = await self._list()
            except KubeError as err:
                if _is_refusal(err):
                    self._list_refusal = err
                # What stays as it is, such as a kind that is not installed, is said once.
                logger.log(
                    logging.DEBUG if str(err) == said else logging.WARNING, "cannot list, will try again: %s", err
                )
                said = str(err)
                await self._backoff.wait(_retry_after(err))
                continue
            said = ""
            self._list_refusal = None
            self._replace(entries)
            self._version = version
            await self._follow()

    async def _list(self) -> tuple[list[Entry[T]], str]:
        """Return the whole collection, page by page; in one piece if its snapshot expires meanwhile."""
        try:
            return await self._list_paged(self._page_size)
        except Gone:
            return await self._list_paged(0)

    async def _list_paged(self, page_size: int) -> tuple[list[Entry[T]], str]:
        entries: list[Entry[T]] = []
        version = ""
        pages = self._client.pages(
            self._resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            page_size=page_size,
        )
        async for page in pages:
            entries += [self._parse(bytes(item)) for item in page.items or ()]
            version = page.metadata.resource_version
        return entries, version

    async def _follow(self) -> None:
        """Watch from `self._version`, again and again; return when a new list is needed."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started_at, started_version = loop.time(), self._version
            error: KubeError | None = None
            try:
                await self._watch()
            except KubeError as err:
                error = err
                if _is_refusal(err):
                    self._watch_refusal = err
            has_progressed = self._version != started_version
            if has_progressed or (error is None and loop.time() - started_at >= WATCH_TOO_SHORT_SECONDS):
                self._backoff.reset()
                failures = 0
                if error is None:
                    continue
            if isinstance(error, Gone):
                logger.info("%s: %s; listing anew", self._resource.qualified, error.message)
                if not has_progressed:  # a server that expires every version at once must not make us spin
                    await self._backoff.wait()
                return
            failures += 1
            logger.warning("%s: watch failed, will resume: %s", self._resource.qualified, error or "ended at once")
            await self._backoff.wait(_retry_after(error))
            if failures >= FAILURES_BEFORE_LIST or not _is_transient(error):
                return

    async def _watch(self) -> None:
        """Follow one watch to its end."""
        timeout_seconds = self._rng.randint(WATCH_SECONDS_MIN, WATCH_SECONDS_MAX)
        try:
            async with (
                asyncio.timeout(timeout_seconds + WATCH_GRACE_SECONDS),
                self._client.watch(
                    self._resource,
                    self._namespace,
                    resource_version=self._version,
                    timeout_seconds=timeout_seconds,
                    label_selector=self._label_selector,
                    field_selector=self._field_selector,
                ) as pieces,
                aclosing(lines(pieces)) as events,
            ):
                self._watch_refusal = None
                async for line in events:
                    self._take(line)
        except TimeoutError:
            logger.info("%s: the server did not end the watch in time; hanging up", self._resource.qualified)

    def _take(self, line: bytes) -> None:
        """Apply one line.

        Raises:
            ApiError: it is an ERROR event.
            BrokenStream: it is no event.
        """
        try:
            event = _decode_event(line)
            if event.type == "ERROR":
                raise from_status(_decode_status(event.object), call=f"watch {self._resource.qualified}")
            if event.type == "BOOKMARK":
                version = _decode_versioned(event.object).metadata.resource_version
                if version and not self._has_seen(version):
                    self._version = version
                return
        except msgspec.DecodeError as err:
            start = line[:80].decode(errors="replace")
            raise BrokenStream(f"a line of {len(line)} bytes is no event: {err}: {start!r}") from err
        if event.type not in ("ADDED", "MODIFIED", "DELETED"):
            raise BrokenStream(f"unknown event type {event.type!r}")
        entry = self._parse(bytes(event.object))
        if self._has_seen(entry.resource_version):
            return
        if event.type == "DELETED":
            self._remove(entry)
        else:
            self._upsert(entry)
        self._version = entry.resource_version or self._version

    def _has_seen(self, version: str) -> bool:
        """Return whether a version is no newer than what has been followed, as far as versions can be compared.

        A server that lags behind another one may tell again what we know; taking it would undo newer news. Versions
        are whole numbers on every server that keeps its objects in etcd; others are taken as they come.
        """
        return version.isdecimal() and self._version.isdecimal() and int(version) <= int(self._version)


async def lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the complete, non-empty lines of a stream that is cut anywhere; what follows the last newline is dropped.

    Each byte is copied once however many pieces a line comes in.

    Raises:
        BrokenStream: a line outgrows `LINE_BYTES_MAX`.
    """
    parts: list[bytes] = []
    size = 0
    async for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            parts.append(piece[start:end])
            line = b"".join(parts)
            parts.clear()
            size = 0
            start = end + 1
            if line:
                yield line
        rest = piece[start:]
        size += len(rest)
        if size > LINE_BYTES_MAX:
            raise BrokenStream(f"a line is longer than {LINE_BYTES_MAX} bytes")
        parts.append(rest)


def _is_refusal(error: KubeError) -> TypeGuard[ApiError]:
    """Return whether it takes a person, or an installation, to make the same request work."""
    return isinstance(error, Forbidden | MethodNotAllowed | NotFound)


def _is_transient(error: KubeError | None) -> bool:
    """Return whether the same watch may work later. Other refusals (403, 404) are left to the list to report."""
    return not isinstance(error, ApiError) or isinstance(error, TooManyRequests | ServerError)


def _retry_after(error: KubeError | None) -> float:
    return (error.retry_after_seconds or 0.0) if isinstance(error, ApiError) else 0.0
