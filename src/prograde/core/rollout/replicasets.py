"""What one ReplicaSet says about itself: its hash, revision, size and deadline, read from labels and annotations."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from prograde.api import names
from prograde.api.scalars import InvalidTime, parse_integer, parse_time
from prograde.api.workloads import ReplicaSet

__all__ = [
    "Deadline",
    "by_age",
    "count_actual",
    "count_available",
    "count_ready",
    "desired_replicas_of",
    "find_by_hash",
    "hash_of",
    "is_fully_available",
    "is_saturated",
    "lasting_pods",
    "newest_revision",
    "newest_revisions_first",
    "revision_of",
    "scale_down_deadline_of",
    "size_of",
]


def hash_of(replica_set: ReplicaSet | None) -> str:
    """Return the pod-template hash that the ReplicaSet is labelled with; empty without ReplicaSet or label.

    It is the identity of a revision. It is never recomputed from the template, since the way of hashing may have
    changed after the ReplicaSet was made.
    """
    return "" if replica_set is None else replica_set.metadata.labels.get(names.POD_TEMPLATE_HASH_LABEL, "")


def size_of(replica_set: ReplicaSet | None) -> int:
    """Return how many pods it asks for (`spec.replicas`); 0 without ReplicaSet."""
    if replica_set is None:
        return 0
    return 1 if replica_set.spec.replicas is None else replica_set.spec.replicas


def revision_of(replica_set: ReplicaSet) -> int | None:
    """Return its revision number, or None when the annotation is missing or no number."""
    return parse_integer(replica_set.metadata.annotations.get(names.REVISION_ANNOTATION, ""))


def newest_revision(replica_sets: Iterable[ReplicaSet]) -> int:
    """Return the highest revision among them; 0 if there is none that can be read."""
    return max((revision_of(replica_set) or 0 for replica_set in replica_sets), default=0)


def desired_replicas_of(replica_set: ReplicaSet) -> int | None:
    """Return `spec.replicas` of the Rollout at the time when the ReplicaSet was scaled last; None if unknown."""
    return parse_integer(replica_set.metadata.annotations.get(names.DESIRED_REPLICAS_ANNOTATION, ""))


class Deadline(msgspec.Struct, frozen=True):
    """When a ReplicaSet that is out of service may lose its pods."""

    at: datetime | None
    """None when the annotation cannot be read: that counts as over, or the pods would stay for ever."""

    def is_over(self, now: datetime) -> bool:
        return self.at is None or self.at <= now


def scale_down_deadline_of(replica_set: ReplicaSet) -> Deadline | None:
    """Return its scale-down deadline; None when it has none."""
    text = replica_set.metadata.annotations.get(names.SCALE_DOWN_DEADLINE_ANNOTATION, "")
    if not text:
        return None
    try:
        return Deadline(parse_time(text))
    except InvalidTime:
        return Deadline(None)


def is_fully_available(replica_set: ReplicaSet) -> bool:
    """Tell whether it has pods at all, and every one that it asks for is available."""
    return 0 < size_of(replica_set) <= replica_set.status.available_replicas


def lasting_pods(replica_set: ReplicaSet | None) -> int:
    """Return how many available pods it keeps; 0 without ReplicaSet.

    Those that it no longer asks for are as good as gone, although its status may still count them.
    """
    return 0 if replica_set is None else min(size_of(replica_set), replica_set.status.available_replicas)


def is_saturated(replica_set: ReplicaSet | None, replicas: int) -> bool:
    """Tell whether it carries the whole Rollout: sized, recorded as sized and available for exactly `replicas` pods."""
    return (
        replica_set is not None
        and size_of(replica_set) == replicas
        and desired_replicas_of(replica_set) == replicas
        and replica_set.status.available_replicas == replicas
    )


def count_actual(replica_sets: Iterable[ReplicaSet]) -> int:
    """Return how many pods they have, in whatever state."""
    return sum(replica_set.status.replicas for replica_set in replica_sets)


def count_ready(replica_sets: Iterable[ReplicaSet]) -> int:
    return sum(replica_set.status.ready_replicas for replica_set in replica_sets)


def count_available(replica_sets: Iterable[ReplicaSet]) -> int:
    return sum(replica_set.status.available_replicas for replica_set in replica_sets)


def by_age(replica_sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Return them oldest first; the name decides between equals."""
    return sorted(replica_sets, key=lambda each: (each.metadata.creation_timestamp or _BEGINNING, each.metadata.name))


def newest_revisions_first(replica_sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Return them by falling revision; of one revision the younger first. An unreadable revision counts as 0."""
    ordered = by_age(replica_sets)
    ordered.reverse()
    return sorted(ordered, key=lambda each: revision_of(each) or 0, reverse=True)


def find_by_hash(replica_sets: Sequence[ReplicaSet], pod_hash: str) -> ReplicaSet | None:
    """Return the first one that is labelled with `pod_hash`; None if there is none or the hash is empty."""
    if not pod_hash:
        return None
    return next((each for each in replica_sets if hash_of(each) == pod_hash), None)


_BEGINNING = datetime.min.replace(tzinfo=UTC)
