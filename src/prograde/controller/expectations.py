"""What a cache must have seen before the next decision: our own last writes.

Caches run behind. A pass that looks at a ReplicaSet as it was before our last write would decide on the past: at best
its own write comes back as a conflict, at worst it counts pods that it has already taken away. So every write notes the
resourceVersion that the server answered with, and a key is looked at again a moment later while any cache is older.

Nothing is ever put *into* a cache from here; that is the reason for waiting at all.
"""

from typing import Final

from prograde.api.meta import NamespacedName
from prograde.kube.resources import Resource

__all__ = ["Expectations", "is_older"]

WAIT_SECONDS_MAX: Final = 30.0
"""An object that was written and then deleted by somebody may never show up in a cache that listed in between."""


def is_older(version: str, than: str) -> bool:
    """Compare resourceVersions as decimal integers; anything that is none is never older."""
    if not _is_decimal(version) or not _is_decimal(than):
        return False
    return (len(version), version) < (len(than), than)


def _is_decimal(version: str) -> bool:
    return version.isascii() and version.isdigit() and version[0] != "0"


class Expectations:
    """The resourceVersions that the caches have still to reach, by the key of the Rollout whose pass wrote them."""

    def __init__(self) -> None:
        self._expected: dict[NamespacedName, dict[tuple[Resource, NamespacedName], tuple[str, float]]] = {}

    def note(
        self, key: NamespacedName, resource: Resource, written: NamespacedName, version: str, now_seconds: float
    ) -> None:
        """Remember that the object `written` is at `version` now; the clock is the event loop's."""
        self._expected.setdefault(key, {})[(resource, written)] = (version, now_seconds)

    def unseen(
        self,
        key: NamespacedName,
        resource: Resource,
        written: NamespacedName,
        seen_version: str | None,
        now_seconds: float,
    ) -> bool:
        """Say whether the cache's version of `written` (None: not in the cache) is older than our last write."""
        return self._is_unseen(self._expected.get(key, {}).get((resource, written)), seen_version, now_seconds)

    def expected(self, key: NamespacedName) -> tuple[tuple[Resource, NamespacedName], ...]:
        """Return which objects are waited for."""
        return tuple(self._expected.get(key, ()))

    def settle(self, key: NamespacedName, resource: Resource, written: NamespacedName) -> None:
        """Stop waiting for one object: it was seen, or seen to be deleted."""
        expected = self._expected.get(key)
        if expected is not None:
            expected.pop((resource, written), None)
            if not expected:
                del self._expected[key]

    def forget(self, key: NamespacedName) -> None:
        """Forget everything about a Rollout, for example when it is gone."""
        self._expected.pop(key, None)

    def _is_unseen(self, entry: tuple[str, float] | None, seen_version: str | None, now_seconds: float) -> bool:
        if entry is None:
            return False
        version, noted_at_seconds = entry
        if now_seconds - noted_at_seconds > WAIT_SECONDS_MAX:
            return False
        return seen_version is None or is_older(seen_version, version)
