"""The objects of one kind as the API server last told them, found by key or by index.

Only the reflector writes here, and only what the server said, version by version. Nobody puts the result of an own
write into the store: a slow answer would overwrite a newer event, and the object would be stale until its next change.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from prograde.api.meta import Object
from prograde.kube.resources import Key

__all__ = ["Indexer", "Store", "by_namespace", "by_owner_uid"]

T = TypeVar("T", bound=Object)

Indexer = Callable[[T], Iterable[str]]
"""Return the values under which an object is found; pure, and cheap, for it runs on every change."""


def by_namespace(obj: Object) -> Iterable[str]:
    """Index by namespace."""
    return (obj.metadata.namespace,)


def by_owner_uid(obj: Object) -> Iterable[str]:
    """Index by the UID of every owner, controlling or not."""
    return [reference.uid for reference in obj.metadata.owner_references]


class Store(Generic[T]):
    """A dictionary with secondary indexes. Iteration follows insertion, so it is the same in every run."""

    def __init__(self, indexers: Mapping[str, Indexer[T]] | None = None) -> None:
        self._objects: dict[Key, T] = {}
        self._indexers = dict(indexers or {})
        self._indexes: dict[str, dict[str, dict[Key, None]]] = {name: {} for name in self._indexers}

    def get(self, key: Key) -> T | None:
        return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    def keys(self) -> Collection[Key]:
        return self._objects.keys()

    def find(self, index: str, value: str) -> list[T]:
        """Return the objects that `index` lists under `value`.

        Raises:
            KeyError: there is no such index; that is a programming error and not an empty result.
        """
        return [self._objects[key] for key in self._indexes[index].get(value, ())]

    def put(self, key: Key, obj: T) -> T | None:
        """Store `obj` and return what was there before."""
        old = self._objects.get(key)
        self._objects[key] = obj
        for name, indexer in self._indexers.items():
            before = dict.fromkeys(indexer(old)) if old is not None else {}
            after = dict.fromkeys(indexer(obj))
            self._unlist(name, key, before.keys() - after.keys())
            for value in after:
                self._indexes[name].setdefault(value, {})[key] = None
        return old

    def pop(self, key: Key) -> T | None:
        """Remove and return the object; None if it is not here."""
        old = self._objects.pop(key, None)
        if old is not None:
            for name, indexer in self._indexers.items():
                self._unlist(name, key, indexer(old))
        return old

    def _unlist(self, name: str, key: Key, values: Iterable[str]) -> None:
        index = self._indexes[name]
        for value in values:
            keys = index.get(value)
            if keys is None:
                continue
            keys.pop(key, None)
            if not keys:
                del index[value]  # values such as UIDs never come back; empty entries would pile up
