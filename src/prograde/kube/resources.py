"""How a kind is reached over the API: group, version, plural; and what an object is known by.

A `Resource` is all the client needs to build paths, so supporting another kind is one more constant where it is used.
Only kinds that this package itself reads or writes are listed here.
"""

from typing import TypeAlias
from urllib.parse import quote

import msgspec

from prograde.api.meta import NamespacedName

__all__ = ["EVENTS", "JOBS", "LEASES", "PODS", "Key", "Resource"]


Key: TypeAlias = NamespacedName
"""Namespace and name: what an object is known by within its kind. Cluster-scoped objects have namespace ``""``."""


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One served resource, for example ``apps/v1 replicasets``; the core group is ``""``."""

    group: str = ""
    version: str = "v1"
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return what objects carry in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Return the plural as servers print it: ``rollouts.argoproj.io``, without a dot for the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_path(self) -> str:
        """Return the path that lists what this group and version serves."""
        return f"/apis/{quote(self.group)}/{quote(self.version)}" if self.group else f"/api/{quote(self.version)}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the percent-encoded path; without `name` the collection's, without `namespace` that of all of them.

        Raises:
            ValueError: a namespace for a cluster-scoped resource, or a name without the namespace it lives in. Both
                would silently reach something else.
        """
        if namespace and not self.namespaced:
            raise ValueError(f"{self.qualified} {name!r}: the resource is cluster-scoped, yet namespace={namespace!r}")
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.qualified} {name!r}: the resource is namespaced and the namespace is empty")
        parts = [self.group_path]
        if namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(quote(self.plural, safe=""))
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


PODS = Resource(plural="pods", kind="Pod")
JOBS = Resource(group="batch", plural="jobs", kind="Job")
EVENTS = Resource(plural="events", kind="Event")
LEASES = Resource(group="coordination.k8s.io", plural="leases", kind="Lease")
