"""Small objects for tests of views, decoded from JSON as a cluster would send them."""

from typing import Any, TypeVar

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.rollout import Rollout
from prograde.api.workloads import Pod, ReplicaSet

T = TypeVar("T")

CREATED = "2026-01-01T00:00:00Z"


def decode(kind: type[T], body: dict[str, Any]) -> T:
    return msgspec.json.decode(msgspec.json.encode(body), type=kind)


def owner(kind: str, name: str, uid: str) -> dict[str, Any]:
    return {"apiVersion": "x/v1", "kind": kind, "name": name, "uid": uid, "controller": True}


def rollout(strategy: dict[str, Any] | None = None, *, status: dict[str, Any] | None = None, **spec: Any) -> Rollout:
    body = {
        "metadata": {"name": "shop", "namespace": "web", "uid": "r", "generation": 1, "creationTimestamp": CREATED},
        "spec": {"strategy": strategy or {"canary": {}}, **spec},
        "status": {"observedGeneration": "1", **(status or {})},
    }
    return decode(Rollout, body)


def replica_set(name: str, revision: int | None, template_hash: str | None = None, **parts: Any) -> ReplicaSet:
    annotations = dict(parts.get("annotations", {}))
    if revision is not None:
        annotations["rollout.argoproj.io/revision"] = str(revision)
    replicas = parts.get("replicas", 1)
    available = parts.get("available", replicas)
    body = {
        "metadata": {
            "name": name,
            "namespace": "web",
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": CREATED,
            "labels": {"rollouts-pod-template-hash": template_hash} if template_hash else {},
            "annotations": annotations,
            "ownerReferences": [parts.get("owner", owner("Rollout", "shop", "r"))],
        },
        "spec": {
            "replicas": replicas,
            "template": {"spec": {"containers": [{"name": "c", "image": parts.get("image", f"img:{name}")}]}},
        },
        "status": {
            "replicas": parts.get("actual", replicas),
            "availableReplicas": available,
            "observedGeneration": parts.get("observed", 1),
            "conditions": parts.get("conditions", []),
        },
    }
    return decode(ReplicaSet, body)


def pod(name: str, of: str, status: dict[str, Any] | None = None, **parts: Any) -> Pod:
    metadata = {
        "name": name,
        "namespace": "web",
        "creationTimestamp": parts.get("created", CREATED),
        "ownerReferences": [owner("ReplicaSet", of, f"uid-{of}")],
    }
    if "deleted" in parts:
        metadata["deletionTimestamp"] = parts["deleted"]
    running = {
        "phase": "Running",
        "containerStatuses": [{"name": "c", "ready": True, "restartCount": 0, "state": {"running": {}}}],
    }
    spec = {"containers": [{"name": "c"}], "initContainers": parts.get("init", [])}
    return decode(Pod, {"metadata": metadata, "spec": spec, "status": running if status is None else status})


def analysis_run(name: str, revision: int, phase: str, results: list[dict[str, Any]] | None = None) -> AnalysisRun:
    body = {
        "metadata": {
            "name": name,
            "namespace": "web",
            "creationTimestamp": CREATED,
            "annotations": {"rollout.argoproj.io/revision": str(revision)},
            "ownerReferences": [owner("Rollout", "shop", "r")],
        },
        "spec": {"metrics": []},
        "status": {"phase": phase, "metricResults": results or []},
    }
    return decode(AnalysisRun, body)


def experiment(name: str, revision: int, phase: str) -> Experiment:
    body = {
        "metadata": {
            "name": name,
            "namespace": "web",
            "uid": f"uid-{name}",
            "creationTimestamp": CREATED,
            "annotations": {"rollout.argoproj.io/revision": str(revision)},
            "ownerReferences": [owner("Rollout", "shop", "r")],
        },
        "spec": {"templates": []},
        "status": {"phase": phase},
    }
    return decode(Experiment, body)
