"""Watches: the history of one resource as a stream of events.

A `Watch` reads its own cursor; writers only ring its bell. Each change is compared with the selection before and
after, so that an object entering it is ADDED, one leaving it DELETED. The encoded line of a change is kept with the
change, and hundreds of watchers of the same form share it.

What comes first depends on the request: all current objects, or the changes since a revision, or both with a bookmark
in between that says "now you have everything" (streaming lists). A request for history that is gone gets a single ERROR
event, since the HTTP status has long been sent when a client opens its watch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from prograde.sandbox.errors import StatusError
from prograde.sandbox.forms import bytes_as
from prograde.sandbox.kinds import Kind
from prograde.sandbox.listing import ListOptions
from prograde.sandbox.store import Change, ChangeType, Compacted, Cursor, Entry, Overrun, Store
from prograde.sandbox.tables import IncludeObject, partial_object, table_bytes

__all__ = ["BOOKMARK_SECONDS", "EventForm", "JsonEvents", "MetadataEvents", "TableEvents", "Watch", "error_line"]

BOOKMARK_SECONDS = 60.0
"""A quiet watcher learns about once a minute how far the world has moved, so that resuming it stays possible."""

CHUNK_BYTES = 65_536
"""Initial events are sent in pieces of about this size: quick to start, few system calls."""

_encode = msgspec.json.Encoder().encode


class EventForm(Protocol):
    """How events look in one negotiated form."""

    name: str
    """Under which encoded lines may be shared; empty: never."""

    def event(self, change_type: ChangeType, entry: Entry) -> bytes:
        """Return one line."""
        ...

    def bookmark(self, metadata: dict[str, Any]) -> bytes: ...


def _line(change_type: str, obj: bytes) -> bytes:
    return b'{"type":"' + change_type.encode() + b'","object":' + obj + b"}\n"


def error_line(error: StatusError) -> bytes:
    """Return the ERROR event that ends a watch."""
    return _line("ERROR", _encode(error.to_status()))


class JsonEvents:
    """Whole objects."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = f"json {kind.api_version}"

    def event(self, change_type: ChangeType, entry: Entry) -> bytes:
        return _line(change_type, bytes_as(entry, self.kind))

    def bookmark(self, metadata: dict[str, Any]) -> bytes:
        obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        return _line("BOOKMARK", _encode(obj))


class MetadataEvents:
    """Type and metadata only."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.name = f"metadata {version}"

    def event(self, change_type: ChangeType, entry: Entry) -> bytes:
        return _line(change_type, partial_object(entry, self.version))

    def bookmark(self, metadata: dict[str, Any]) -> bytes:
        obj = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self.version}", "metadata": metadata}
        return _line("BOOKMARK", _encode(obj))


@dataclass
class TableEvents:
    """One-row tables; only the first says what the columns are."""

    kind: Kind
    now: Callable[[], datetime]
    include: IncludeObject
    version: str
    name: str = ""
    has_columns_sent: bool = False

    def event(self, change_type: ChangeType, entry: Entry) -> bytes:
        table = table_bytes(
            self.kind,
            [entry],
            self.now(),
            metadata={"resourceVersion": str(entry.revision)},
            include=self.include,
            with_columns=not self.has_columns_sent,
            version=self.version,
        )
        self.has_columns_sent = True
        return _line(change_type, table)

    def bookmark(self, metadata: dict[str, Any]) -> bytes:
        table = {"kind": "Table", "apiVersion": f"meta.k8s.io/{self.version}", "metadata": metadata, "rows": []}
        return _line("BOOKMARK", _encode(table))


class Watch:
    """One watch, from its request to its end. Iterate `chunks` once; `stop` ends it cleanly from the server's side."""

    def __init__(
        self,
        store: Store,
        kind: Kind,
        options: ListOptions,
        form: EventForm,
        *,
        default_timeout_seconds: float,
        bookmark_seconds: float = BOOKMARK_SECONDS,
    ) -> None:
        """Take the snapshot and the place in history where this watch starts: nothing after this moment is lost."""
        self._bucket = store.bucket(kind.storage_key)
        self._store = store
        self._selection = options.selection
        self._form = form
        self._allows_bookmarks = options.allows_bookmarks
        self._timeout_seconds = options.timeout_seconds or default_timeout_seconds
        self._bookmark_seconds = bookmark_seconds
        self._wake = asyncio.Event()
        self._is_stopped = False
        self._initial: list[Entry] = []
        self._announces_end = options.sends_initial_events is True
        self._failure: StatusError | None = None
        is_from_now = not options.revision
        starts_with_all = is_from_now if options.sends_initial_events is None else options.sends_initial_events
        self._after = 0 if starts_with_all else options.revision or 0
        try:
            if starts_with_all:
                self._initial = list(self._selection.find(self._bucket))
            start = store.revision if starts_with_all or is_from_now else self._after
            self._cursor: Cursor = self._bucket.cursor(min(start, store.revision))
        except Compacted as err:
            self._failure = StatusError(410, "Expired", str(err))
        self._snapshot_revision = store.revision

    def stop(self) -> None:
        """End the stream after what is already known has been sent."""
        self._is_stopped = True
        self._wake.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield whole lines until the time is up, the server stops, or the reader was too slow."""
        if self._failure is not None:
            yield error_line(self._failure)
            return
        for chunk in _in_chunks(self._form.event("ADDED", entry) for entry in self._initial):
            yield chunk
        self._initial = []
        if self._announces_end:
            annotations = {"k8s.io/initial-events-end": "true"}
            yield self._bookmark(self._snapshot_revision, {"annotations": annotations})
        self._bucket.wakers[self] = self._wake.set
        try:
            async for chunk in self._live():
                yield chunk
        finally:
            del self._bucket.wakers[self]

    async def _live(self) -> AsyncIterator[bytes]:
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeout_seconds
        bookmark_at = now() + self._bookmark_seconds
        while True:
            self._wake.clear()
            try:
                changes = self._cursor.read()
            except Overrun:
                return
            lines = b"".join(line for change in changes for line in self._lines(change))
            if lines:
                yield lines
                bookmark_at = now() + self._bookmark_seconds
                continue
            is_over = self._is_stopped or self._bucket.is_dropped or now() >= deadline
            if self._allows_bookmarks and (is_over or now() >= bookmark_at):
                yield self._bookmark(self._store.revision)
                bookmark_at = now() + self._bookmark_seconds
            if is_over:
                return
            try:
                async with asyncio.timeout_at(min(deadline, bookmark_at) if self._allows_bookmarks else deadline):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _lines(self, change: Change) -> Iterator[bytes]:
        """Yield what this watch shows of a change: one line or none."""
        if change.revision <= self._after:
            return
        before = change.previous is not None and self._selection.matches(change.previous.obj)
        after = change.type != "DELETED" and self._selection.matches(change.entry.obj)
        if after:
            yield self._shared_line("MODIFIED" if before else "ADDED", change, change.entry)
        elif before and change.type == "DELETED":
            yield self._shared_line("DELETED", change, change.entry)
        elif before and change.previous is not None:
            # It left the selection: the watcher must see the state in which it knew the object, as of now.
            metadata = {**change.previous.obj["metadata"], "resourceVersion": str(change.revision)}
            left = Entry(change.entry.key, {**change.previous.obj, "metadata": metadata}, change.revision)
            yield self._form.event("DELETED", left)

    def _shared_line(self, change_type: ChangeType, change: Change, entry: Entry) -> bytes:
        if not self._form.name:
            return self._form.event(change_type, entry)
        name = f"{change_type} {self._form.name}"
        line = change.lines.get(name)
        if line is None:
            line = change.lines[name] = self._form.event(change_type, entry)
        return line

    def _bookmark(self, revision: int, extra: dict[str, Any] | None = None) -> bytes:
        metadata = {"resourceVersion": str(revision), "creationTimestamp": None, **(extra or {})}
        return self._form.bookmark(metadata)


def _in_chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines into pieces of about `CHUNK_BYTES`."""
    pending: list[bytes] = []
    size = 0
    for line in lines:
        pending.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)
