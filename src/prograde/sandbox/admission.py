"""What must hold before something is created: its namespace exists, and neither that nor its kind is on its way out."""

from collections.abc import Callable
from dataclasses import dataclass

from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Kind
from prograde.sandbox.store import Store

__all__ = ["Admission"]

NAMESPACES = ("", "namespaces")
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")


@dataclass
class Admission:
    """The rules of creation. With `create_namespace`, a missing namespace is made instead of missed."""

    store: Store
    create_namespace: Callable[[str], None] | None = None

    def __call__(self, kind: Kind, namespace: str, name: str) -> None:
        """Admit a create.

        Raises:
            StatusError: 404, there is no such namespace; 403, it is being terminated; 405, its kind is.
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

    def _check_definition(self, kind: Kind) -> None:
        entry = self.store.bucket(CRDS).get("", f"{kind.plural}.{kind.group}")
        if entry is not None and "deletionTimestamp" in entry.obj["metadata"]:
            message = "create not allowed while custom resource definition is terminating"
            raise StatusError(405, "MethodNotAllowed", message, name=kind.plural, group=kind.group, kind=kind.plural)
