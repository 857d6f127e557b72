"""What the built-in controllers and the kubelet see of the API server: an ordinary client without sockets.

Controllers get no back door to the store. They call the same verbs that HTTP requests end in, so that admission,
managed fields, no-op detection and watch events are the same for everybody. Everything here is synchronous: the store
lives in this process and a verb never waits.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol, TypeAlias

from prograde.sandbox.kinds import Object

__all__ = ["ChangeCallback", "LocalClient", "Resource"]

Resource: TypeAlias = tuple[str, str]
"""(group, plural), for example ``("apps", "replicasets")`` or ``("", "pods")``."""

ChangeCallback: TypeAlias = Callable[[Literal["ADDED", "MODIFIED", "DELETED"], Resource, Object, Object | None], None]
"""Called as ``callback(type, resource, new, previous)`` after a change was stored, in revision order.

For DELETED, `new` is the last state. A callback must only note what to look at (enqueue a key) and return.
"""


class LocalClient(Protocol):
    """Verbs on JSON objects. Returned objects are shared: copy before changing. Failures raise `StatusError`."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return the object or None; cluster-scoped kinds have namespace ``""``."""
        ...

    def list(self, resource: Resource, namespace: str | None = None) -> Iterable[Object]:
        """Return all objects, of one namespace unless None, in key order."""
        ...

    def dependents(self, owner_uid: str) -> Iterable[tuple[Resource, Object]]:
        """Return every object, of any kind, that has an owner reference to this UID (an index look-up)."""
        ...

    def pods_on_node(self, node: str) -> Iterable[Object]: ...

    def create(self, resource: Resource, namespace: str, obj: Object) -> Object: ...

    def update(self, resource: Resource, namespace: str, obj: Object, *, subresource: str = "") -> Object:
        """Replace; with a resourceVersion in `obj` a stale one raises 409."""
        ...

    def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, subresource: str = "", kind: str = "merge"
    ) -> Object:
        """Apply a ``merge``, ``json`` or ``strategic`` patch."""
        ...

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> None:
        """Delete; a `uid` is a precondition."""
        ...

    def resources(self) -> Iterable[Resource]:
        """Return every stored resource that is served now, custom ones included."""
        ...

    def kind_of(self, api_version: str, kind: str) -> Resource | None:
        """Map an owner reference's apiVersion and kind to a resource, None when not served."""
        ...

    def is_namespaced(self, resource: Resource) -> bool: ...

    def subscribe(self, callback: ChangeCallback) -> None:
        """Be told of every change of every kind from now on."""
        ...
