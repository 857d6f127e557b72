"""Which kinds are served right now, built-in and custom, and in what order clients should prefer them.

The registry is a look-up table over `Kind` rows. It changes only when a CustomResourceDefinition comes, changes or
goes; each change counts `generation` up, which is what discovery and OpenAPI key their caches on.
"""

import re
from collections.abc import Iterable, Iterator

from prograde.sandbox.client import Resource
from prograde.sandbox.kinds import Kind

__all__ = ["Registry", "version_priority"]

_GROUP_ORDER = (
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "networking.k8s.io",
    "discovery.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    "rbac.authorization.k8s.io",
    "authorization.k8s.io",
    "authentication.k8s.io",
    "scheduling.k8s.io",
    "apiextensions.k8s.io",
)
"""Built-in groups in order of preference: kubectl resolves a short name to the first group that has it."""

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Return a sort key that puts stable versions first, then betas, then alphas, newer before older, others last."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    major, stage, minor = match.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), version)


class Registry:
    """The kinds of one cluster."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.generation = 0
        """Grows with every change."""
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self._stored: dict[Resource, Kind] = {}
        self.add(kinds)

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def stored(self, resource: Resource) -> Kind | None:
        """Return the kind in whose form objects of this resource are stored, None when it is not served."""
        return self._stored.get(resource)

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        """Return the row for an object's apiVersion and kind."""
        group, _, version = api_version.rpartition("/")
        for row in self._kinds.values():
            if row.kind == kind and row.version == version and row.group == group:
                return row
        return None

    def resources(self) -> list[Resource]:
        """Return every resource that is stored."""
        return [resource for resource, kind in self._stored.items() if kind.is_stored]

    def __iter__(self) -> Iterator[Kind]:
        """Yield all kinds: groups and versions in order of preference, resources as they were registered."""
        for group in self.groups():
            for version in self.versions(group):
                yield from self.of_version(group, version)

    def groups(self) -> list[str]:
        """Return the served groups, preferred ones first, custom ones last and by name."""
        served = {group for group, _, _ in self._kinds}
        builtin = [group for group in _GROUP_ORDER if group in served]
        return builtin + sorted(served.difference(_GROUP_ORDER))

    def versions(self, group: str) -> list[str]:
        """Return the served versions of a group, preferred ones first."""
        return sorted({version for served, version, _ in self._kinds if served == group}, key=version_priority)

    def of_version(self, group: str, version: str) -> list[Kind]:
        return [kind for kind in self._kinds.values() if kind.group == group and kind.version == version]

    def add(self, kinds: Iterable[Kind]) -> None:
        """Serve `kinds` from now on, in place of rows of the same group, version and plural."""
        for kind in kinds:
            self._kinds[kind.group, kind.version, kind.plural] = kind
            if kind.stored_as is None and kind.storage_version in ("", kind.version):
                self._stored[kind.storage_key] = kind
        self.generation += 1

    def replace(self, resource: Resource, kinds: Iterable[Kind]) -> None:
        """Serve exactly `kinds` as the versions of `resource`, none to stop serving it."""
        for key in [key for key, kind in self._kinds.items() if (kind.group, kind.plural) == resource]:
            del self._kinds[key]
        self._stored.pop(resource, None)
        self.add(kinds)

    def clone(self) -> "Registry":
        twin = Registry(())
        twin._kinds = dict(self._kinds)
        twin._stored = dict(self._stored)
        twin.generation = self.generation
        return twin
