"""A live, typed copy of one kind: look-ups without requests, and a call for every change.

    Reflector ──bytes──▶ decode ──▶ Store (indexes) ──▶ subscribers (old, new)

Objects are decoded straight from the server's bytes into frozen structs, one by one, so that an object that does not
fit its type (a schema was loosened, somebody wrote a string where a number belongs) stops nobody else: its key is
reported, `failures` says why, and the last version that could be read stays in the store until a readable one comes
or the object is deleted. Whether to act on that last good version is for the caller to decide; that it is not current
is never hidden.

Subscribers are told `(old, new)`: `(None, new)` for an object that is new here, `(old, None)` for one that is gone,
and twice the same object for a resync. They run synchronously in the server's order and should only note a key. One
that raises is logged and does not stop the rest.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec

from prograde.api.meta import Object, key_of
from prograde.kube.backoff import Backoff
from prograde.kube.client import PAGE_SIZE, Client
from prograde.kube.errors import ApiError
from prograde.kube.reflector import Entry, Reflector
from prograde.kube.resources import Key, Resource
from prograde.kube.store import Indexer, Store, by_namespace, by_owner_uid

__all__ = ["Indexer", "Informer", "Subscriber", "Undecodable", "by_namespace", "by_owner_uid"]

T = TypeVar("T", bound=Object)

logger = logging.getLogger(__name__)

Subscriber = Callable[[T | None, T | None], None]


class Undecodable(msgspec.Struct, frozen=True, kw_only=True):
    """One object that could not be read. `key` is None when not even its name could."""

    resource: Resource
    key: Key | None
    resource_version: str
    message: str

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.key or '(unknown name)'}: {self.message}"


class _Header(msgspec.Struct, frozen=True):
    """What can be read of an object whose type does not fit."""

    class _Meta(msgspec.Struct, frozen=True, rename="camel"):
        name: str
        namespace: str = ""
        resource_version: str = ""

    metadata: _Meta


_decode_header = msgspec.json.Decoder(_Header).decode


class Informer(Generic[T]):
    """See the module's docstring.

    Args:
        decode: turn an object's JSON into the typed object. May raise msgspec's errors and `ValueError`; the bytes
            belong to the object alone.
        namespace: ``""`` for all.
        label_selector, field_selector: filter on the server; what leaves the selection is reported as deleted.
        indexers: functions by name, for `find`. `by_namespace` under "namespace" is always there.
        resync_seconds: how often every object is handed to subscribers again; 0 for never.
        on_undecodable: told of every version that could not be read.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        decode: Callable[[bytes], T],
        *,
        rng: random.Random,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer[T]] | None = None,
        resync_seconds: float = 0.0,
        on_undecodable: Callable[[Undecodable], None] | None = None,
        page_size: int = PAGE_SIZE,
        backoff: Backoff | None = None,
    ) -> None:
        self.resource = resource
        self._decode = decode
        self._store: Store[T] = Store({"namespace": by_namespace, **(indexers or {})})
        self._resync_seconds = resync_seconds
        self._on_undecodable = on_undecodable
        self._failures: dict[Key, Undecodable] = {}
        self._subscribers: list[Subscriber[T]] = []
        self._synced = asyncio.Event()
        self._reflector: Reflector[T] = Reflector(
            client,
            resource,
            parse=self._parse,
            replace=self._replace,
            upsert=self._upsert,
            remove=self._remove,
            rng=rng,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            page_size=page_size,
            backoff=backoff,
        )

    # -- running ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the server until cancelled. The store outlives it and simply stops changing."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run(), name=f"reflector {self.resource.qualified}")
            if self._resync_seconds > 0:
                group.create_task(self._resync(), name=f"resync {self.resource.qualified}")

    @property
    def has_synced(self) -> bool:
        """Return whether the first list is in the store and every subscriber has been told of it."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def subscribe(self, subscriber: Subscriber[T]) -> Callable[[], None]:
        """Call `subscriber` for every change from now on, and at once for what is here. Return how to stop it."""
        self._subscribers.append(subscriber)
        for obj in list(self._store):
            self._tell(subscriber, None, obj)

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe

    # -- looking ------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> T | None:
        """Return the object, in the last version that could be read."""
        return self._store.get(key)

    def all(self) -> list[T]:
        """Return every object."""
        return list(self._store)

    def find(self, index: str, value: str) -> list[T]:
        """Return the objects that `index` lists under `value`."""
        return self._store.find(index, value)

    def __len__(self) -> int:
        return len(self._store)

    @property
    def failures(self) -> Mapping[Key, Undecodable]:
        """Return the objects whose current version cannot be read."""
        return MappingProxyType(self._failures)

    @property
    def resource_version(self) -> str:
        """Return up to which version the server has been followed."""
        return self._reflector.resource_version

    @property
    def refusal(self) -> ApiError | None:
        """Return why the server does not let us follow, see `Reflector.refusal`; what is here may be out of date."""
        return self._reflector.refusal

    # -- what the reflector calls -------------------------------------------------------------------------------

    def _replace(self, entries: Sequence[Entry[T]]) -> None:
        """Take a complete list; report what it lacks as deleted.

        With an object in it whose name cannot be read, nobody knows what is missing: nothing is reported as deleted.
        """
        listed = {entry.key for entry in entries}
        if None not in listed:
            for key in [key for key in self._store.keys() if key not in listed]:  # noqa: SIM118 - no dict
                self._publish(self._store.pop(key), None)
            for key in [key for key in self._failures if key not in listed]:
                del self._failures[key]
        for entry in entries:
            self._upsert(entry)
        self._synced.set()

    def _upsert(self, entry: Entry[T]) -> None:
        """Take a new version of one object."""
        if entry.key is None or entry.obj is None:
            self._report(entry)
            return
        self._failures.pop(entry.key, None)
        old = self._store.get(entry.key)
        if old is not None:
            if old.metadata.uid != entry.obj.metadata.uid:
                # Deleted and created again while we were not looking: two objects, so two reports.
                self._publish(self._store.pop(entry.key), None)
                old = None
            elif old.metadata.resource_version == entry.resource_version:
                return
        self._store.put(entry.key, entry.obj)
        self._publish(old, entry.obj)

    def _remove(self, entry: Entry[T]) -> None:
        """Take a deletion; subscribers see the last state if it can be read, else the last that could be."""
        if entry.key is None:
            self._report(entry)
            return
        self._failures.pop(entry.key, None)
        old = self._store.pop(entry.key)
        if old is not None:
            self._publish(entry.obj if entry.obj is not None else old, None)

    # -- below --------------------------------------------------------------------------------------------------

    def _parse(self, body: bytes) -> Entry[T]:
        try:
            obj = self._decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as err:
            return _unreadable(body, err)
        return Entry(key=key_of(obj), resource_version=obj.metadata.resource_version, obj=obj)

    def _report(self, entry: Entry[T]) -> None:
        failure = Undecodable(
            resource=self.resource,
            key=entry.key,
            resource_version=entry.resource_version,
            message=str(entry.error),
        )
        known = self._failures.get(entry.key) if entry.key is not None else None
        if known is not None and known.resource_version == entry.resource_version:
            return  # listed again, unchanged
        if entry.key is not None:
            self._failures[entry.key] = failure
        logger.error("cannot read %s", failure)
        if self._on_undecodable is not None:
            self._on_undecodable(failure)

    def _publish(self, old: T | None, new: T | None) -> None:
        for subscriber in tuple(self._subscribers):
            self._tell(subscriber, old, new)

    def _tell(self, subscriber: Subscriber[T], old: T | None, new: T | None) -> None:
        try:
            subscriber(old, new)
        except Exception:
            obj = new if new is not None else old
            where = key_of(obj) if obj is not None else ""
            logger.exception("a subscriber failed on %s %s", self.resource.kind, where)

    async def _resync(self) -> None:
        await self._synced.wait()
        while True:
            await asyncio.sleep(self._resync_seconds)
            for obj in list(self._store):
                self._publish(obj, obj)


def _unreadable(body: bytes, error: Exception) -> Entry[T]:
    """Return an entry that says which object could not be read, as far as that can be told."""
    try:
        meta = _decode_header(body).metadata
    except msgspec.DecodeError:
        return Entry(key=None, resource_version="", error=error)
    return Entry(key=Key(meta.namespace, meta.name), resource_version=meta.resource_version, error=error)
