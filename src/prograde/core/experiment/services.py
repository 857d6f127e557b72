"""Services in front of an Experiment's templates: created before the pods, deleted after the last available one.

A Service is never changed. When its name in the spec changes, another one is made and becomes the one of the status;
the former goes a pass later, when those who send traffic have been told.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from prograde.api import names
from prograde.api.experiment import ExperimentTemplate, ExperimentTemplateStatus
from prograde.api.meta import controller_reference
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.experiment.context import LEFT_OVER_RETRY, Draft, ExperimentContext
from prograde.core.plan import CreateService, DeleteService, Json, JsonObject
from prograde.core.rollout.replicasets import hash_of

__all__ = ["decide", "delete"]

replace = msgspec.structs.replace


def decide(
    context: ExperimentContext,
    draft: Draft,
    template: ExperimentTemplate,
    replica_set: ReplicaSet,
    status: ExperimentTemplateStatus,
    desired: int,
) -> ExperimentTemplateStatus:
    """Create or delete the Service of a template, and return the status that names what is there."""
    found = context.services.get(template.name, ())
    if template.service is None:
        return _deleted(context, draft, template, found, status)
    if desired > 0:
        return _ensured(context, draft, template, replica_set, found, status)
    if replica_set.status.available_replicas == 0:
        return _deleted(context, draft, template, found, status)
    return status


def delete(context: ExperimentContext, draft: Draft, services: Iterable[Service]) -> str:
    """Delete Services; return why one cannot be deleted, empty if all can."""
    for each in services:
        name = each.metadata.name
        if (refusal := context.refusal(DeleteService, name)) is not None:
            return refusal.message
        if each.metadata.deletion_timestamp is None:
            draft.changes.append(DeleteService(name=name, uid=each.metadata.uid))
    return ""


def _deleted(
    context: ExperimentContext,
    draft: Draft,
    template: ExperimentTemplate,
    found: tuple[Service, ...],
    status: ExperimentTemplateStatus,
) -> ExperimentTemplateStatus:
    if failure := delete(context, draft, found):
        message = f"Failed to delete Service for template '{template.name}': {failure}"
        return replace(status, status=names.TEMPLATE_ERROR, message=message)
    return replace(status, service_name="", pod_template_hash="")


def _ensured(
    context: ExperimentContext,
    draft: Draft,
    template: ExperimentTemplate,
    replica_set: ReplicaSet,
    found: tuple[Service, ...],
    status: ExperimentTemplateStatus,
) -> ExperimentTemplateStatus:
    name = template.service.name if template.service is not None else ""
    name = name or replica_set.metadata.name
    ports = _ports(replica_set)
    if not ports:
        return status
    made = replace(status, service_name=name, pod_template_hash=hash_of(replica_set))
    if any(each.metadata.name == name for each in found):
        if status.service_name == name:
            delete(context, draft, (each for each in found if each.metadata.name != name))
        return made
    refusal = context.refusal(CreateService, name)
    if refusal is None:
        draft.creates.append(CreateService(name=name, manifest=_manifest(context, replica_set, name, ports)))
        return made
    if isinstance(refusal.existing, Service):
        if context.is_of_template(refusal.existing, template.name):
            return made
        if context.is_left_over(refusal.existing):
            draft.due.append(context.now + LEFT_OVER_RETRY)
            return status
        cause = f"service {name} already exists and is not owned by experiment template {template.name}"
    elif refusal.is_unreadable:
        cause = f"did not get existing service with name {name}: {refusal.message}"
    else:
        cause = f"cannot create service: {refusal.message}"
    message = f"Failed to create Service {name} for template '{template.name}': {cause}"
    return replace(status, status=names.TEMPLATE_ERROR, message=message)


def _manifest(context: ExperimentContext, replica_set: ReplicaSet, name: str, ports: list[Json]) -> JsonObject:
    annotations = {
        key: value
        for key, value in replica_set.metadata.annotations.items()
        if key in (names.EXPERIMENT_NAME_ANNOTATION, names.EXPERIMENT_TEMPLATE_NAME_ANNOTATION)
    }
    return {
        "apiVersion": Service.API_VERSION,
        "kind": Service.KIND,
        "metadata": {
            "name": name,
            "namespace": replica_set.metadata.namespace,
            "annotations": dict(annotations),
            "ownerReferences": [msgspec.to_builtins(controller_reference(context.experiment))],
        },
        "spec": {"selector": dict(replica_set.metadata.labels), "ports": ports},
    }


def _ports(replica_set: ReplicaSet) -> list[Json]:
    """Return a port for every port of the containers; those of init containers serve nobody."""
    template: Any = msgspec.json.decode(replica_set.spec.template) if bytes(replica_set.spec.template) else {}
    ports: list[Json] = []
    for container in (template.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            number = port.get("containerPort")
            kept: JsonObject = {key: port[key] for key in ("name", "protocol") if port.get(key)}
            ports.append({**kept, "port": number, "targetPort": number})
    return ports
