"""What must hold before something is created: its namespace exists and has room for it, and neither it nor the kind of
the object is on its way out.

A namespace has room unless a ResourceQuota limits the number of objects of the kind. Quotas of CPU, memory and the like
are stored and not enforced: nothing here uses any.
"""

from collections.abc import Callable
from dataclasses import dataclass

from prograde.api.scalars import parse_quantity
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Kind
from prograde.sandbox.store import Store

__all__ = ["Admission"]

NAMESPACES = ("", "namespaces")
QUOTAS = ("", "resourcequotas")
_PODS = ("", "pods")
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")


@dataclass
class Admission:
    """The rules of creation. With `create_namespace`, a missing namespace is made instead of missed."""

    store: Store
    create_namespace: Callable[[str], None] | None = None

    def __call__(self, kind: Kind, namespace: str, name: str) -> None:
        """Admit a create.

        Raises:
            StatusError: 404, there is no such namespace; 403, it is being terminated or full; 405, its kind is being
                terminated.
        """
        if kind.is_custom:
            self._check_definition(kind)
        if not kind.namespaced:
            return
        entry = self.store.bucket(NAMESPACES).get("", namespace)
        if entry is None:
            if self.create_namespace is None:
                raise StatusError.not_found("", "namespaces", namespace)
            self.create_namespace(namespace)
            return
        if "deletionTimestamp" in entry.obj["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
            raise StatusError.forbidden(kind.group, kind.plural, name, why, [cause])
        if len(self.store.bucket(QUOTAS)):
            self._check_quotas(kind, namespace, name)

    def _check_quotas(self, kind: Kind, namespace: str, name: str) -> None:
        qualified = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        limited = [f"count/{qualified}", *([kind.plural] if not kind.group else [])]
        for quota in self.store.bucket(QUOTAS).scan(namespace):
            hard = (quota.obj.get("spec") or {}).get("hard") or {}
            for resource in limited:
                if resource not in hard:
                    continue
                most, used = parse_quantity(hard[resource]).nano // 10**9, self._used(kind, namespace)
                if used + 1 > most:
                    why = f"exceeded quota: {quota.obj['metadata']['name']}, requested: {resource}=1, "
                    why += f"used: {resource}={used}, limited: {resource}={most}"
                    raise StatusError.forbidden(kind.group, kind.plural, name, why)

    def _used(self, kind: Kind, namespace: str) -> int:
        """Count the objects; a pod that has ended needs nothing any more."""
        entries = self.store.bucket((kind.group, kind.plural)).scan(namespace)
        if (kind.group, kind.plural) != _PODS:
            return sum(1 for _ in entries)
        return sum((entry.obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed") for entry in entries)

    def _check_definition(self, kind: Kind) -> None:
        entry = self.store.bucket(CRDS).get("", f"{kind.plural}.{kind.group}")
        if entry is not None and "deletionTimestamp" in entry.obj["metadata"]:
            message = "create not allowed while custom resource definition is terminating"
            raise StatusError(405, "MethodNotAllowed", message, name=kind.plural, group=kind.group, kind=kind.plural)
