"""The memory of the embedded cluster: every object, every version of it that a watcher may still ask for.

One `Store` holds all resources of a cluster under a single revision counter, as a real one does in etcd. Per resource
there is a `Bucket`: the current objects in key order, and a ring of the changes that led there. A write makes an
immutable `Entry` (decoded object, encoded bytes, revision), appends a `Change` to the ring and wakes whoever waits.
Writers never wait for readers: a watcher owns a `Cursor`, a position in the ring, and one that falls too far behind
is told so.

Objects are shared, not copied: what goes into the store belongs to the store, and what comes out must not be changed.
Each version is encoded once, with ``apiVersion`` and ``kind`` in front, so that lists and watches splice these bytes
and another version of the same resource differs in the first few of them only.

Snapshots of the past (pages of a list, ``resourceVersionMatch=Exact``) are made by undoing the ring backwards.
Compaction forgets changes; whoever asks for something older gets `Compacted`.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, TypeVar

import msgspec

from prograde.sandbox.client import Resource
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = [
    "FIRST_REVISION",
    "Bucket",
    "Change",
    "ChangeType",
    "Compacted",
    "Cursor",
    "Entry",
    "Overrun",
    "Store",
    "object_key",
]

ChangeType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
Subscriber: TypeAlias = Callable[[ChangeType, Resource, "Entry", "Entry | None"], None]

FIRST_REVISION = 1000
"""Where counting starts, so that no object ever has one of the versions that mean something special (0, 1)."""

HISTORY_MIN = 10_000
HISTORY_AGE = timedelta(minutes=5)
HISTORY_MAX = 100_000
"""Changes kept per resource: the larger of 10,000 and five minutes' worth, but never more than this."""

QUEUE_MAX = 10_000
"""A watcher that has more unread changes than this is cut off; it lists again and is faster for it."""

OBJECT_BYTES_MAX = 1_572_864
"""1.5 MiB, the default limit of etcd: a manifest that fits here fits into a real cluster."""

OBJECTS_MAX = 200_000
"""Keeps a runaway loop from eating the machine; about 3 GB of pods."""

_TRIM_EVERY = 1024

_Group = TypeVar("_Group")
_Member = TypeVar("_Member")

_encode = msgspec.json.Encoder().encode


class Compacted(Exception):
    """History no longer reaches back to the revision asked for."""

    def __init__(self, revision: int, floor: int) -> None:
        super().__init__(f"too old resource version: {revision} ({floor})")
        self.revision = revision
        self.floor = floor


class Overrun(Exception):
    """A cursor was too slow: changes it has not seen are gone, or too many wait for it."""


def object_key(namespace: str, name: str) -> str:
    """Return the key that orders a list: byte order of ``namespace/name``."""
    return f"{namespace}/{name}" if namespace else name


class Entry:
    """One version of one object. Immutable, except that it remembers how it was encoded for other readers."""

    __slots__ = ("_body_at", "key", "obj", "raw", "revision", "views")

    def __init__(self, key: str, obj: Object, revision: int) -> None:
        head = _encode({"apiVersion": obj["apiVersion"], "kind": obj["kind"]})
        self.key = key
        self.obj = obj
        self.raw = _encode(obj)
        self.revision = revision
        self._body_at = len(head)
        self.views: dict[str, bytes] = {}
        """Encoded forms by a name that the reader chooses; whoever encodes one puts it here for the next."""

    def body(self) -> bytes:
        """Return the bytes after apiVersion and kind, closing brace included, no opening one."""
        return self.raw[self._body_at :]


class Change:
    """One step in the history of one resource. For DELETED, `entry` is the last state with the deletion's revision."""

    __slots__ = ("at", "entry", "lines", "previous", "revision", "type")

    def __init__(self, change_type: ChangeType, entry: Entry, previous: Entry | None, at: datetime) -> None:
        self.type = change_type
        self.entry = entry
        self.previous = previous
        self.revision = entry.revision
        self.at = at
        self.lines: dict[str, bytes] = {}
        """Encoded watch events by the name of their form, shared by all watchers that read the same one."""


class Cursor:
    """A reader's place in the history of one resource."""

    __slots__ = ("_bucket", "_position")

    def __init__(self, bucket: "Bucket", position: int) -> None:
        self._bucket = bucket
        self._position = position

    def read(self) -> list[Change]:
        """Return the changes since the last call, oldest first, and move behind them.

        Raises:
            Overrun: more than `QUEUE_MAX` are waiting, or some were already forgotten.
        """
        bucket = self._bucket
        start = self._position - bucket.forgotten
        if start < 0 or len(bucket.changes) - start > QUEUE_MAX:
            raise Overrun
        changes = bucket.changes[start:]
        self._position += len(changes)
        return changes


class Bucket:
    """All objects of one resource and their recent history."""

    def __init__(self, resource: Resource, floor: int) -> None:
        self.resource = resource
        self.entries: dict[str, Entry] = {}
        self.changes: list[Change] = []
        self.forgotten = 0
        """How many changes were dropped from the front of `changes`, which makes positions absolute."""
        self.floor = floor
        """Changes after this revision are all present; older questions cannot be answered."""
        self.wakers: dict[object, Callable[[], None]] = {}
        """Called after each change, by the token of whoever waits."""
        self.is_dropped = False
        """True when the resource is no longer served: nothing will ever change here again."""
        self._keys: list[str] = []
        self._labels: dict[str, dict[str, dict[str, None]]] = {}

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def is_namespaced(self) -> bool:
        """Whether the objects live in namespaces; an empty bucket does not know and says yes."""
        return not self._keys or "/" in self._keys[0]

    def get(self, namespace: str, name: str) -> Entry | None:
        return self.entries.get(object_key(namespace, name))

    def scan(self, namespace: str | None = None, *, after: str = "", revision: int | None = None) -> Iterator[Entry]:
        """Yield entries in key order, of one namespace unless None, behind the key `after`.

        With `revision`, as they were at that moment.

        Raises:
            Compacted: history does not reach back to `revision`.
        """
        past = self._past(revision) if revision is not None else {}
        keys: Iterable[str] = self._range(self._keys, namespace, after)
        if past:
            gone = self._range(sorted(key for key in past if key not in self.entries), namespace, after)
            keys = sorted([*keys, *gone])
        for key in keys:
            entry = past[key] if key in past else self.entries.get(key)
            if entry is not None:
                yield entry

    def count(self, namespace: str | None = None) -> int:
        return len(self._range(self._keys, namespace, "")) if namespace is not None else len(self._keys)

    def with_label(self, label: str, value: str) -> list[Entry]:
        """Return the entries that carry this label with this value, in key order. The first use builds an index."""
        index = self._labels.get(label)
        if index is None:
            index = self._labels[label] = {}
            for key, entry in self.entries.items():
                self._index_label(index, label, key, entry)
        return [self.entries[key] for key in sorted(index.get(value, ()))]

    def cursor(self, revision: int) -> Cursor:
        """Return a cursor whose first change is the first one after `revision`.

        Raises:
            Compacted: changes after `revision` were already forgotten.
        """
        if revision < self.floor:
            raise Compacted(revision, self.floor)
        index = bisect_right(self.changes, revision, key=lambda change: change.revision)
        return Cursor(self, self.forgotten + index)

    def compact(self, revision: int) -> None:
        """Forget the changes up to and including `revision`."""
        index = bisect_right(self.changes, revision, key=lambda change: change.revision)
        self.floor = max(self.floor, revision)
        self._forget(index)

    def record(self, change: Change) -> None:
        """Make `change` the newest one: objects, indexes, history; then wake the waiting."""
        entry, previous = change.entry, change.previous
        key = entry.key
        for label, index in self._labels.items():
            if previous is not None:
                index.get((previous.obj["metadata"].get("labels") or {}).get(label, ""), {}).pop(key, None)
            if change.type != "DELETED":
                self._index_label(index, label, key, entry)
        if change.type == "DELETED":
            del self.entries[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            if previous is None:
                insort(self._keys, key)
            self.entries[key] = entry
        self.changes.append(change)
        if not (self.forgotten + len(self.changes)) % _TRIM_EVERY:
            self._trim(change.at)
        for wake in tuple(self.wakers.values()):
            wake()

    def rewrite(self, entries: Mapping[str, Entry]) -> None:
        """Replace current versions by others of the same revision, without a change: the schema changed, not they."""
        self.entries.update(entries)

    def clone(self) -> "Bucket":
        twin = Bucket(self.resource, self.floor)
        twin.entries = dict(self.entries)
        twin.changes = list(self.changes)
        twin.forgotten = self.forgotten
        twin._keys = list(self._keys)
        return twin

    def _past(self, revision: int) -> dict[str, Entry | None]:
        """Return what was different at `revision`: the entry of then, None where there was none."""
        if revision < self.floor:
            raise Compacted(revision, self.floor)
        past: dict[str, Entry | None] = {}
        for change in reversed(self.changes):
            if change.revision <= revision:
                break
            past[change.entry.key] = change.previous
        return past

    @staticmethod
    def _range(keys: list[str], namespace: str | None, after: str) -> list[str]:
        start, end = 0, len(keys)
        if namespace is not None:
            start = bisect_left(keys, f"{namespace}/")
            end = bisect_left(keys, f"{namespace}0")  # "0" follows "/" in byte order
        if after:
            start = max(start, bisect_right(keys, after))
        return keys[start:end]

    @staticmethod
    def _index_label(index: dict[str, dict[str, None]], label: str, key: str, entry: Entry) -> None:
        value = (entry.obj["metadata"].get("labels") or {}).get(label)
        if value is not None:
            index.setdefault(value, {})[key] = None

    def _trim(self, now: datetime) -> None:
        surplus = len(self.changes) - HISTORY_MIN
        if surplus <= 0:
            return
        old = bisect_left(self.changes, now - HISTORY_AGE, key=lambda change: change.at)
        count = max(min(surplus, old), len(self.changes) - HISTORY_MAX)
        if count > 0:
            self.floor = self.changes[count - 1].revision
            self._forget(count)

    def _forget(self, count: int) -> None:
        del self.changes[:count]
        self.forgotten += count


class Store:
    """All buckets of one cluster, the revision they share, and the indexes that cross them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.revision = FIRST_REVISION
        self.wakers: dict[object, Callable[[], None]] = {}
        """Called after each write to any resource."""
        self._now = now
        self._buckets: dict[Resource, Bucket] = {}
        self._owned: dict[str, dict[tuple[Resource, str], None]] = {}
        self._on_node: dict[str, dict[str, None]] = {}
        self._subscribers: list[Subscriber] = []
        self._count = 0

    def bucket(self, resource: Resource) -> Bucket:
        """Return the objects of one resource; there is an empty bucket for one never written."""
        bucket = self._buckets.get(resource)
        if bucket is None:
            bucket = self._buckets[resource] = Bucket(resource, FIRST_REVISION)
        return bucket

    def put(self, resource: Resource, obj: Object) -> Entry:
        """Store a new object or a new version of one; stamp it with the next revision.

        `obj` is the store's from now on: the caller must not touch it, nor anything inside it, any more.

        Raises:
            StatusError: the object, or the number of objects, is beyond what a cluster can hold.
        """
        bucket = self.bucket(resource)
        metadata = obj["metadata"]
        key = object_key(metadata.get("namespace", ""), metadata["name"])
        previous = bucket.entries.get(key)
        if previous is None and self._count >= OBJECTS_MAX:
            raise StatusError(507, "InternalError", f"this cluster holds no more than {OBJECTS_MAX} objects")
        metadata["resourceVersion"] = str(self.revision + 1)
        entry = Entry(key, _in_order(obj), self.revision + 1)
        if len(entry.raw) > OBJECT_BYTES_MAX:
            raise StatusError(413, "RequestEntityTooLarge", "etcdserver: request is too large")
        self.revision = entry.revision
        if previous is None:
            self._count += 1
        self._commit(bucket, Change("ADDED" if previous is None else "MODIFIED", entry, previous, self._now()))
        return entry

    def delete(self, resource: Resource, obj: Object) -> Entry:
        """Remove an object; `obj` is its last state, owned by the store from now on, and returned as an entry."""
        bucket = self.bucket(resource)
        metadata = obj["metadata"]
        key = object_key(metadata.get("namespace", ""), metadata["name"])
        self.revision += 1
        metadata["resourceVersion"] = str(self.revision)
        entry = Entry(key, _in_order(obj), self.revision)
        self._count -= 1
        self._commit(bucket, Change("DELETED", entry, bucket.entries[key], self._now()))
        return entry

    def owned_by(self, uid: str) -> list[tuple[Resource, Entry]]:
        """Return every object, of any resource, with an owner reference to `uid`, in the order they gained it."""
        owned = self._owned.get(uid, {})
        return [(resource, self._buckets[resource].entries[key]) for resource, key in owned]

    def on_node(self, node: str) -> list[Entry]:
        """Return the pods assigned to a node (``""``: to none), in the order they were assigned."""
        pods = self.bucket(("", "pods")).entries
        return [pods[key] for key in self._on_node.get(node, ())]

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def compact(self, resource: Resource | None = None) -> None:
        """Forget all history now, of one resource or of all, as a compaction of etcd does."""
        for bucket in [self.bucket(resource)] if resource is not None else self._buckets.values():
            bucket.compact(self.revision)

    def drop(self, resource: Resource) -> None:
        """Forget an empty resource: its CustomResourceDefinition is gone."""
        bucket = self._buckets.pop(resource, None)
        if bucket is None:
            return
        assert not len(bucket), f"{resource} still has objects"
        bucket.is_dropped = True
        for wake in tuple(bucket.wakers.values()):
            wake()

    def clone(self, now: Callable[[], datetime]) -> "Store":
        """Return an independent store with the same content; objects are shared, subscribers are not."""
        twin = Store(now)
        twin.revision = self.revision
        twin._buckets = {resource: bucket.clone() for resource, bucket in self._buckets.items()}
        twin._owned = {uid: dict(owned) for uid, owned in self._owned.items()}
        twin._on_node = {node: dict(pods) for node, pods in self._on_node.items()}
        twin._count = self._count
        return twin

    def _commit(self, bucket: Bucket, change: Change) -> None:
        self._index(bucket.resource, change)
        bucket.record(change)
        for subscriber in self._subscribers:
            subscriber(change.type, bucket.resource, change.entry, change.previous)
        for wake in tuple(self.wakers.values()):
            wake()

    def _index(self, resource: Resource, change: Change) -> None:
        key = change.entry.key
        before = change.previous.obj if change.previous is not None else None
        after = change.entry.obj if change.type != "DELETED" else None
        old_owners, new_owners = _owner_uids(before), _owner_uids(after)
        if old_owners != new_owners:
            for uid in old_owners - new_owners:
                _discard(self._owned, uid, (resource, key))
            for uid in sorted(new_owners - old_owners):
                self._owned.setdefault(uid, {})[resource, key] = None
        if resource == ("", "pods"):
            old_node, new_node = _node_of(before), _node_of(after)
            if old_node != new_node:
                if old_node is not None:
                    _discard(self._on_node, old_node, key)
                if new_node is not None:
                    self._on_node.setdefault(new_node, {})[key] = None


def _in_order(obj: Object) -> Object:
    """Return `obj` with apiVersion, kind and metadata first: the order that makes bytes of versions comparable."""
    if list(obj)[:3] == ["apiVersion", "kind", "metadata"]:
        return obj
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"], **obj}


def _owner_uids(obj: Object | None) -> frozenset[str]:
    if obj is None:
        return frozenset()
    owners = obj["metadata"].get("ownerReferences")
    return frozenset(owner["uid"] for owner in owners) if owners else frozenset()


def _node_of(obj: Object | None) -> str | None:
    """Return where a pod runs, ``""`` when it is not assigned yet, None without a pod."""
    if obj is None:
        return None
    node: str = (obj.get("spec") or {}).get("nodeName", "")
    return node


def _discard(index: dict[_Group, dict[_Member, None]], group: _Group, member: _Member) -> None:
    members = index.get(group)
    if members is not None:
        members.pop(member, None)
        if not members:
            del index[group]
