"""A `LocalClient` over a dictionary: the API server's semantics that controllers rely on, without its schemas.

It keeps what matters to a level-triggered loop: revisions, no-op detection, status written apart from the rest, graceful
deletion, finalizers, owner look-ups and change callbacks in order.
"""

import copy
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from prograde.sandbox.client import ChangeCallback, Resource
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Object

KINDS: dict[Resource, tuple[str, str, bool]] = {
    ("", "pods"): ("v1", "Pod", True),
    ("", "events"): ("v1", "Event", True),
    ("", "services"): ("v1", "Service", True),
    ("", "endpoints"): ("v1", "Endpoints", True),
    ("", "configmaps"): ("v1", "ConfigMap", True),
    ("", "secrets"): ("v1", "Secret", True),
    ("", "serviceaccounts"): ("v1", "ServiceAccount", True),
    ("", "namespaces"): ("v1", "Namespace", False),
    ("", "nodes"): ("v1", "Node", False),
    ("apps", "replicasets"): ("apps/v1", "ReplicaSet", True),
    ("apps", "deployments"): ("apps/v1", "Deployment", True),
    ("discovery.k8s.io", "endpointslices"): ("discovery.k8s.io/v1", "EndpointSlice", True),
    ("policy", "poddisruptionbudgets"): ("policy/v1", "PodDisruptionBudget", True),
    ("coordination.k8s.io", "leases"): ("coordination.k8s.io/v1", "Lease", True),
    ("example.com", "widgets"): ("example.com/v1", "Widget", True),
    ("example.com", "clusterwidgets"): ("example.com/v1", "ClusterWidget", False),
}


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance_to(self, moment: datetime) -> None:
        assert moment >= self.moment, "time does not run backwards"
        self.moment = moment


class MemoryClient:
    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._objects: dict[Resource, dict[tuple[str, str], Object]] = {resource: {} for resource in KINDS}
        self._callbacks: list[ChangeCallback] = []
        self._revision = 0
        self._names = 0
        self.fail_create: Callable[[Resource, Object], StatusError | None] = lambda resource, obj: None
        self.writes: list[tuple[str, Resource, str]] = []
        for name in ("default", "shop"):
            namespace = {"metadata": {"name": name}, "spec": {"finalizers": ["kubernetes"]}}
            self.create(("", "namespaces"), "", {**namespace, "status": {"phase": "Active"}})

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._objects[resource].get((namespace, name))

    def list(self, resource: Resource, namespace: str | None = None) -> Iterable[Object]:
        found = sorted(self._objects[resource].items())
        return [obj for (where, _), obj in found if namespace is None or where == namespace]

    def dependents(self, owner_uid: str) -> Iterable[tuple[Resource, Object]]:
        return [
            (resource, obj)
            for resource, objects in self._objects.items()
            for obj in objects.values()
            if any(ref["uid"] == owner_uid for ref in obj["metadata"].get("ownerReferences") or ())
        ]

    def pods_on_node(self, node: str) -> Iterable[Object]:
        return [pod for pod in self._objects["", "pods"].values() if pod["spec"].get("nodeName") == node]

    def create(self, resource: Resource, namespace: str, obj: Object) -> Object:
        if (failure := self.fail_create(resource, obj)) is not None:
            raise failure
        self._check_namespace(resource, namespace)
        obj = copy.deepcopy(obj)
        meta = obj["metadata"]
        self._names += 1
        meta.setdefault("name", f"{meta.get('generateName', '')}{self._names:05d}")
        if namespace:
            meta["namespace"] = namespace
        if (namespace, meta["name"]) in self._objects[resource]:
            raise StatusError.already_exists(*resource, meta["name"])
        obj["apiVersion"], obj["kind"], _ = KINDS[resource]
        meta.update(
            uid=f"uid-{self._names}", creationTimestamp=self._now().strftime("%Y-%m-%dT%H:%M:%SZ"), generation=1
        )
        if resource == ("", "pods"):
            obj.setdefault("status", {}).setdefault("phase", "Pending")
        self.writes.append(("create", resource, meta["name"]))
        return self._store(resource, obj, None)

    def update(self, resource: Resource, namespace: str, obj: Object, *, subresource: str = "") -> Object:
        current = self._existing(resource, namespace, obj["metadata"]["name"])
        sent = obj["metadata"].get("resourceVersion")
        if sent and sent != current["metadata"]["resourceVersion"]:
            raise StatusError.conflict(*resource, obj["metadata"]["name"])
        new = copy.deepcopy(current)
        if subresource == "status":
            new["status"] = copy.deepcopy(obj.get("status") or {})
        else:
            new = {**copy.deepcopy(obj), "status": new["status"]} if "status" in new else copy.deepcopy(obj)
        for name in ("uid", "creationTimestamp", "deletionTimestamp", "generation"):
            if name in current["metadata"]:
                new["metadata"][name] = current["metadata"][name]
        return self._replace(resource, current, new, subresource)

    def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, subresource: str = "", kind: str = "merge"
    ) -> Object:
        assert kind == "merge", "controllers need no other patches"
        current = self._existing(resource, namespace, name)
        uid = (patch.get("metadata") or {}).get("uid")
        if uid and uid != current["metadata"]["uid"]:
            raise StatusError.conflict(*resource, name, "Precondition failed")
        allowed = {"status"} if subresource == "status" else set(patch) - {"status"}
        new = _merge(current, {key: value for key, value in patch.items() if key in allowed})
        return self._replace(resource, current, new, subresource)

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        propagation: str | None = None,
    ) -> None:
        current = self._existing(resource, namespace, name)
        if uid and uid != current["metadata"]["uid"]:
            raise StatusError.conflict(*resource, name, "the UID in the precondition does not match")
        new = copy.deepcopy(current)
        meta = new["metadata"]
        finalizers = [f for f in meta.get("finalizers") or () if f not in ("orphan", "foregroundDeletion")]
        finalizers += {"Orphan": ["orphan"], "Foreground": ["foregroundDeletion"]}.get(propagation or "", [])
        meta["finalizers"] = finalizers
        self.writes.append(("delete", resource, name))
        grace = self._grace(resource, new, grace_seconds)
        if grace is None and not finalizers and not (new.get("spec") or {}).get("finalizers"):
            return self._remove(resource, new, current)
        previous = meta.get("deletionGracePeriodSeconds")
        if previous is None or (grace or 0) < previous:
            due = self._now() + timedelta(seconds=grace or 0)
            meta["deletionTimestamp"] = due.strftime("%Y-%m-%dT%H:%M:%SZ")
            meta["deletionGracePeriodSeconds"] = grace or 0
        if resource == ("", "namespaces"):
            new["status"] = {**new.get("status", {}), "phase": "Terminating"}
        if new != current:
            self._store(resource, new, current)
        return None

    def resources(self) -> Iterable[Resource]:
        return list(KINDS)

    def kind_of(self, api_version: str, kind: str) -> Resource | None:
        return next((r for r, row in KINDS.items() if row[:2] == (api_version, kind)), None)

    def is_namespaced(self, resource: Resource) -> bool:
        return KINDS[resource][2]

    def subscribe(self, callback: ChangeCallback) -> None:
        self._callbacks.append(callback)

    def _check_namespace(self, resource: Resource, namespace: str) -> None:
        if not KINDS[resource][2]:
            return
        found = self._objects["", "namespaces"].get(("", namespace))
        if found is None:
            raise StatusError.not_found("", "namespaces", namespace)
        if "deletionTimestamp" in found["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise StatusError.forbidden(*resource, "", why, [Cause(reason="NamespaceTerminating", message=why)])

    def _existing(self, resource: Resource, namespace: str, name: str) -> Object:
        current = self._objects[resource].get((namespace, name))
        if current is None:
            raise StatusError.not_found(*resource, name)
        return current

    @staticmethod
    def _grace(resource: Resource, pod: Object, requested: int | None) -> int | None:
        """Return the seconds to wait, None to delete at once."""
        if resource != ("", "pods") or not pod["spec"].get("nodeName"):
            return None
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return None
        grace = requested if requested is not None else pod["spec"].get("terminationGracePeriodSeconds", 30)
        return max(grace, 0) or None

    def _replace(self, resource: Resource, current: Object, new: Object, subresource: str) -> Object:
        if new == current:
            return current
        new["metadata"] = dict(new["metadata"])
        if not subresource and new.get("spec") != current.get("spec"):
            new["metadata"]["generation"] += 1
        self.writes.append((subresource or "update", resource, new["metadata"]["name"]))
        meta = new["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers") and not (new.get("spec") or {}).get("finalizers"):
            if not meta.get("deletionGracePeriodSeconds"):
                self._remove(resource, new, current)
                return new
        return self._store(resource, new, current)

    def _store(self, resource: Resource, new: Object, previous: Object | None) -> Object:
        self._revision += 1
        meta = new["metadata"]
        meta["resourceVersion"] = str(self._revision)
        self._objects[resource][meta.get("namespace", ""), meta["name"]] = new
        for callback in self._callbacks:
            callback("MODIFIED" if previous is not None else "ADDED", resource, new, previous)
        return new

    def _remove(self, resource: Resource, last: Object, previous: Object) -> None:
        self._revision += 1
        meta = last["metadata"]
        meta["resourceVersion"] = str(self._revision)
        del self._objects[resource][meta.get("namespace", ""), meta["name"]]
        for callback in self._callbacks:
            callback("DELETED", resource, last, previous)


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
