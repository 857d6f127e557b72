"""What is known of the Rollouts of a simulated cluster, now and as far back as somebody may still act on it.

A controller acts on what it has seen, and caches run behind. So a promise is held against everything that was true
within a span of time: with an undisturbed network that is close to nothing, after a fault as long as that explains.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from prograde.api.names import REVISION_ANNOTATION
from prograde.api.rollout import Rollout
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.rollout.replicasets import hash_of, size_of
from prograde.sandbox.kinds import Object

__all__ = ["KnownRollout", "KnownSet", "Recent", "View", "images_of", "revision_of", "sizes_text", "typed"]

T = TypeVar("T", Rollout, ReplicaSet, Service)
V = TypeVar("V")


class Recent(Generic[V]):
    """A value and what it was before."""

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, V]] = []

    def add(self, at: datetime, value: V) -> None:
        self._entries.append((at, value))

    def since(self, moment: datetime) -> list[V]:
        """Return every value that was current at `moment` or later, oldest first; forget all before."""
        while len(self._entries) > 1 and self._entries[1][0] < moment:
            del self._entries[0]
        return [value for _, value in self._entries]


@dataclass
class KnownSet:
    """A ReplicaSet."""

    current: ReplicaSet
    known_since: datetime
    available: Recent[int] = field(default_factory=Recent)
    ready: Recent[int] = field(default_factory=Recent)

    @property
    def hash_(self) -> str:
        return hash_of(self.current)

    @property
    def size(self) -> int:
        return size_of(self.current)


@dataclass
class KnownRollout:
    """A Rollout and its ReplicaSets by name."""

    current: Rollout
    versions: Recent[Rollout] = field(default_factory=Recent)
    sets: dict[str, KnownSet] = field(default_factory=dict)

    def by_hash(self, hash_: str) -> KnownSet | None:
        return next((each for each in self.sets.values() if each.hash_ == hash_), None)


@dataclass(frozen=True)
class View:
    """A Rollout as somebody may see it who is behind by the allowed time."""

    known: KnownRollout
    since: datetime

    @property
    def versions(self) -> list[Rollout]:
        """The versions of the Rollout that a controller may be acting on."""
        return self.known.versions.since(self.since) or [self.known.current]

    def available(self, known: KnownSet | None) -> int:
        """Return the largest number of available pods that there was."""
        return 0 if known is None else max(known.available.since(self.since), default=0)

    def least_available(self, known: KnownSet) -> int:
        """Return the smallest number of available pods that there was."""
        return min(known.available.since(self.since), default=0)

    def ready(self, known: KnownSet) -> int:
        return max(known.ready.since(self.since), default=0)


def typed(obj: Object, kind: type[T]) -> T:
    """Return the object as the API types have it."""
    return msgspec.json.decode(msgspec.json.encode(obj), type=kind)


def revision_of(obj: Rollout | ReplicaSet) -> int:
    return int(obj.metadata.annotations.get(REVISION_ANNOTATION, "0"))


def images_of(replica_set: ReplicaSet) -> list[str]:
    template = msgspec.json.decode(replica_set.spec.template)
    return [container["image"] for container in template["spec"]["containers"]]


def sizes_text(known: KnownRollout) -> str:
    return ", ".join(
        f"{name} {each.size} wanted {each.current.status.available_replicas} available"
        for name, each in known.sets.items()
    )
