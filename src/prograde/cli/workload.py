"""The object whose pod template a Rollout uses by reference (`spec.workloadRef`)."""

from dataclasses import dataclass
from typing import Any

from prograde.cli.framework import CliError
from prograde.controller.resources import DEPLOYMENTS, POD_TEMPLATES, REPLICA_SETS
from prograde.kube.resources import Resource

__all__ = ["WorkloadReference", "workload_reference"]


@dataclass(frozen=True, slots=True)
class WorkloadReference:
    """Where a pod template lives: in `name` of `resource`, at `template_path`."""

    resource: Resource
    name: str
    template_path: tuple[str, ...]


_TARGETS = {
    "Deployment": (DEPLOYMENTS, ("spec", "template")),
    "ReplicaSet": (REPLICA_SETS, ("spec", "template")),
    "PodTemplate": (POD_TEMPLATES, ("template",)),
}


def workload_reference(rollout: dict[str, Any]) -> WorkloadReference | None:
    """Return what `spec.workloadRef` of a Rollout, as JSON, points to; None without a reference.

    Raises:
        CliError: the reference cannot be followed.
    """
    reference = (rollout.get("spec") or {}).get("workloadRef")
    if not reference:
        return None
    kind, name = reference.get("kind", ""), reference.get("name", "")
    if not isinstance(name, str):
        raise CliError(f"spec.workloadRef.name is not a string: {name!r}")
    if kind not in _TARGETS:
        raise CliError(f"workload of type {kind} is not supported")
    resource, path = _TARGETS[kind]
    return WorkloadReference(resource, name, path)
