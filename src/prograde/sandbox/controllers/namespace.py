"""Namespaces: what every living one contains, and emptying one that is being deleted.

A terminating namespace is emptied kind by kind; pods take their grace, and content with finalizers takes until its
owners are done. When nothing is left, the namespace's own finalizer goes, and the namespace with it. Until then its
conditions say what is in the way.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.objects import find_condition, format_time, is_deleting
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["NAMESPACES", "NamespaceController"]

NAMESPACES: Resource = ("", "namespaces")
SERVICE_ACCOUNTS: Resource = ("", "serviceaccounts")
CONFIG_MAPS: Resource = ("", "configmaps")

ROOT_CA_NAME = "kube-root-ca.crt"
NAMESPACE_FINALIZER = "kubernetes"

_CONTENT: dict[Resource, str] = {SERVICE_ACCOUNTS: "default", CONFIG_MAPS: ROOT_CA_NAME}


class NamespaceController(Controller):
    """Reconciles a namespace by name."""

    name: ClassVar[str] = "namespace"

    def __init__(self, client: LocalClient, now: Callable[[], datetime], root_certificate: str) -> None:
        """`root_certificate` is what pods should trust as the API server's, in PEM."""
        super().__init__()
        self._client = client
        self._now = now
        self._root_certificate = root_certificate
        self._terminating: set[str] = set()

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        meta = new["metadata"]
        if resource == NAMESPACES:
            if change == "DELETED":
                self._terminating.discard(meta["name"])
                return
            if is_deleting(new):
                self._terminating.add(meta["name"])
            self.enqueue((meta["name"],))
            return
        namespace = meta.get("namespace", "")
        if namespace in self._terminating or (change == "DELETED" and _CONTENT.get(resource) == meta["name"]):
            self.enqueue((namespace,))

    def reconcile(self, key: Key) -> None:
        (name,) = key
        namespace = self._client.get(NAMESPACES, "", name)
        if namespace is None:
            return
        if is_deleting(namespace):
            self._empty(namespace)
        else:
            self._furnish(name)

    def _furnish(self, name: str) -> None:
        if self._client.get(SERVICE_ACCOUNTS, name, "default") is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
            self._client.create(SERVICE_ACCOUNTS, name, account)
        if self._client.get(CONFIG_MAPS, name, ROOT_CA_NAME) is None:
            note = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints."
            metadata = {
                "name": ROOT_CA_NAME,
                "namespace": name,
                "annotations": {"kubernetes.io/description": note},
            }
            data = {"ca.crt": self._root_certificate}
            config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            self._client.create(CONFIG_MAPS, name, config_map)

    def _empty(self, namespace: Object) -> None:
        """Delete what is not yet being deleted, report what is left, or let the namespace go."""
        name = namespace["metadata"]["name"]
        remaining: Counter[Resource] = Counter()
        finalizers: Counter[str] = Counter()
        failures: list[str] = []
        for resource in list(self._client.resources()):
            if not self._client.is_namespaced(resource):
                continue
            for obj in list(self._client.list(resource, name)):
                if not is_deleting(obj):
                    failures.extend(self._delete(resource, name, obj))
            for obj in self._client.list(resource, name):
                remaining[resource] += 1
                finalizers.update(obj["metadata"].get("finalizers") or ())
        self._report(namespace, remaining, finalizers, failures)
        if not remaining:
            left = [each for each in namespace["spec"].get("finalizers") or () if each != NAMESPACE_FINALIZER]
            latest = self._client.get(NAMESPACES, "", name)
            if latest is not None and left != (latest["spec"].get("finalizers") or []):
                finalized = {**latest, "spec": {**latest["spec"], "finalizers": left}}
                self._client.update(NAMESPACES, "", finalized, subresource="finalize")

    def _delete(self, resource: Resource, namespace: str, obj: Object) -> list[str]:
        meta = obj["metadata"]
        try:
            self._client.delete(resource, namespace, meta["name"], uid=meta["uid"], propagation="Background")
        except StatusError as err:
            return [] if err.code == 404 else [err.message]
        return []

    def _report(
        self, namespace: Object, remaining: Counter[Resource], finalizers: Counter[str], failures: list[str]
    ) -> None:
        resources = [
            f"{plural}{f'.{group}' if group else '.'} has {count} resource instances"
            for (group, plural), count in sorted(remaining.items())
        ]
        holders = [f"{finalizer} in {count} resource instances" for finalizer, count in sorted(finalizers.items())]
        wanted = [
            ("NamespaceDeletionDiscoveryFailure", "", "ResourcesDiscovered", "All resources successfully discovered"),
            (
                "NamespaceDeletionContentFailure",
                f"Failed to delete all resource types, {len(failures)} remaining: {'; '.join(failures)}"
                if failures
                else "",
                "ContentDeletionFailed" if failures else "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            (
                "NamespaceContentRemaining",
                f"Some resources are remaining: {', '.join(resources)}" if resources else "",
                "SomeResourcesRemain" if resources else "ContentRemoved",
                "All content successfully removed",
            ),
            (
                "NamespaceFinalizersRemaining",
                f"Some content in the namespace has finalizers remaining: {', '.join(holders)}" if holders else "",
                "SomeFinalizersRemain" if holders else "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
        ]
        known = (namespace.get("status") or {}).get("conditions") or []
        conditions = []
        for type_, problem, reason, well in wanted:
            status = "True" if problem else "False"
            before = find_condition(known, type_)
            is_same = before is not None and before["status"] == status
            moment = before["lastTransitionTime"] if is_same and before is not None else format_time(self._now())
            conditions.append(
                {
                    "type": type_,
                    "status": status,
                    "lastTransitionTime": moment,
                    "reason": reason,
                    "message": problem or well,
                }
            )
        if conditions != known:
            name = namespace["metadata"]["name"]
            patch = {"status": {"conditions": conditions}}
            self._client.patch(NAMESPACES, "", name, patch, subresource="status")
