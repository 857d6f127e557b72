"""What a Rollout refers to: does it exist, and does it fit?

`References` holds what was found. The order of errors is that of Argo Rollouts: first whatever is missing or configured
twice, then what is found but does not fit; in each part Services, analysis templates, ingresses, Istio, Ambassador, App
Mesh.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from prograde.api.analysis import AnalysisTemplate, ClusterAnalysisTemplate, PodTemplateMetadata
from prograde.api.meta import NamespacedName
from prograde.api.names import MANAGED_BY_ANNOTATION, POD_TEMPLATE_HASH_LABEL
from prograde.api.podtemplate import template_metadata
from prograde.api.rollout import CanaryStrategy, Rollout
from prograde.api.scalars import go_quote
from prograde.api.validation.appmesh import app_mesh_errors, missing_app_mesh_errors
from prograde.api.validation.errors import FieldError, invalid
from prograde.api.validation.ingresses import ingress_config_errors, ingress_errors, missing_ingress_errors
from prograde.api.validation.istio import missing_virtual_service_errors, virtual_service_errors
from prograde.api.validation.templates import missing_template_errors, template_errors
from prograde.api.workloads import Ingress, Service

__all__ = ["References", "service_references", "validate_references"]

_ROUTING = "spec.strategy.canary.trafficRouting"


class References(msgspec.Struct, frozen=True, kw_only=True):
    """The objects that a Rollout names, as far as they were found, by name.

    A kind that is None was not looked for, and nothing is said about it.
    """

    services: Mapping[str, Service] | None = None
    analysis_templates: Mapping[str, AnalysisTemplate] | None = None
    """Those of the Rollout's namespace."""
    cluster_analysis_templates: Mapping[str, ClusterAnalysisTemplate] | None = None
    ingresses: Mapping[str, Ingress] | None = None
    virtual_services: Mapping[NamespacedName, Any] | None = None
    """Istio's, as JSON values; a reference may name another namespace."""
    is_istio_installed: bool = True
    """The API server knows VirtualServices at all."""
    mappings: Mapping[str, Any] | None = None
    """Ambassador's, as JSON values."""
    app_mesh_virtual_services: Mapping[str, Any] | None = None
    app_mesh_virtual_routers: Mapping[str, Any] | None = None
    is_complete: bool = True
    """What is not here does not exist. False when a file is checked: the rest may be in the cluster."""


def validate_references(rollout: Rollout, references: References) -> list[FieldError]:
    """Return what is wrong with the objects that a Rollout names, the most important first."""
    return [*_missing(rollout, references), *_unfit(rollout, references)]


def _missing(rollout: Rollout, references: References) -> Iterator[FieldError]:
    """What does not exist, or is not named properly."""
    canary = rollout.spec.strategy.canary
    routing = canary.traffic_routing if canary is not None else None
    if not references.is_complete:
        return
    if references.services is not None:
        for path, name, _ in service_references(rollout):
            if name not in references.services:
                yield invalid(path, name, f"service {go_quote(name)} not found")
    if references.analysis_templates is not None and references.cluster_analysis_templates is not None:
        yield from missing_template_errors(
            rollout, references.analysis_templates, references.cluster_analysis_templates
        )
    if routing is None:
        return
    yield from ingress_config_errors(routing)
    if references.ingresses is not None:
        yield from missing_ingress_errors(routing, references.ingresses)
    if routing.istio is not None:
        yield from missing_virtual_service_errors(
            routing.istio,
            rollout.metadata.namespace,
            references.virtual_services,
            is_installed=references.is_istio_installed,
        )
    if routing.ambassador is not None:
        yield from _missing_mapping_errors(routing.ambassador.mappings, references.mappings)
    if routing.app_mesh is not None:
        yield from missing_app_mesh_errors(
            routing.app_mesh,
            rollout.metadata.namespace,
            references.app_mesh_virtual_services,
            references.app_mesh_virtual_routers,
        )


def _unfit(rollout: Rollout, references: References) -> Iterator[FieldError]:
    """What exists but does not fit."""
    for path, name, metadata in service_references(rollout):
        if service := (references.services or {}).get(name):
            yield from _service_errors(rollout, service, path, metadata)
    if references.analysis_templates is not None and references.cluster_analysis_templates is not None:
        yield from template_errors(rollout, references.analysis_templates, references.cluster_analysis_templates)
    canary = rollout.spec.strategy.canary
    routing = canary.traffic_routing if canary is not None else None
    if canary is None or routing is None:
        return
    yield from ingress_errors(canary, routing, references.ingresses or {})
    if routing.istio is not None:
        yield from virtual_service_errors(rollout, canary, references.virtual_services or {})
    if routing.ambassador is not None:
        for name in routing.ambassador.mappings:
            if mapping := (references.mappings or {}).get(name):
                yield from _mapping_errors(name, mapping)
    if routing.app_mesh is not None:
        yield from app_mesh_errors(
            routing.app_mesh, references.app_mesh_virtual_services or {}, references.app_mesh_virtual_routers or {}
        )


# --- Services -------------------------------------------------------------------------------------------------


def service_references(rollout: Rollout) -> list[tuple[str, str, PodTemplateMetadata | None]]:
    """Return path and name of each Service that a Rollout names, and the metadata its pods have in that role."""
    blue_green, canary = rollout.spec.strategy.blue_green, rollout.spec.strategy.canary
    references: list[tuple[str, str, PodTemplateMetadata | None]] = []
    if blue_green is not None:
        path = "spec.strategy.blueGreen"
        references.append((f"{path}.activeService", blue_green.active_service, blue_green.active_metadata))
        references.append((f"{path}.previewService", blue_green.preview_service, blue_green.preview_metadata))
    if canary is not None:
        references += _canary_service_references(canary)
    return [reference for reference in references if reference[1]]


def _canary_service_references(canary: CanaryStrategy) -> list[tuple[str, str, PodTemplateMetadata | None]]:
    path = "spec.strategy.canary"
    references = [
        (f"{path}.stableService", canary.stable_service, canary.stable_metadata),
        (f"{path}.canaryService", canary.canary_service, canary.canary_metadata),
    ]
    if canary.ping_pong is not None:
        references.append((f"{path}.pingPong.pingService", canary.ping_pong.ping_service, None))
        references.append((f"{path}.pingPong.pongService", canary.ping_pong.pong_service, None))
    return references


def _service_errors(
    rollout: Rollout, service: Service, path: str, metadata: PodTemplateMetadata | None
) -> Iterator[FieldError]:
    """Check that the Service selects the Rollout's pods, and that no other Rollout manages it.

    Labels that the pods only have in the role of this Service count, too.
    """
    name = service.metadata.name
    labels = template_metadata(rollout.spec.template).labels
    role_labels = metadata.labels if metadata is not None else {}
    for key in sorted(service.spec.selector):
        wanted = service.spec.selector[key]
        if key != POD_TEMPLATE_HASH_LABEL and wanted not in (labels.get(key), role_labels.get(key)):
            yield invalid(path, name, f"Service {go_quote(name)} has unmatch label {go_quote(key)} in rollout")
    manager = service.metadata.annotations.get(MANAGED_BY_ANNOTATION)
    if manager is not None and manager != rollout.metadata.name:
        yield invalid(path, name, f"Service {go_quote(name)} is managed by another Rollout")


# --- Ambassador -----------------------------------------------------------------------------------------------


def _missing_mapping_errors(names: tuple[str, ...], mappings: Mapping[str, Any] | None) -> Iterator[FieldError]:
    path = f"{_ROUTING}.ambassador.mappings"
    if not names:
        yield invalid(path, None, "must provide at least one mapping")
    for name in names if mappings is not None else ():
        if mappings is not None and name not in mappings:
            yield invalid(path, name, f"mappings.getambassador.io {go_quote(name)} not found")


def _mapping_errors(name: str, mapping: Any) -> Iterator[FieldError]:
    spec = mapping.get("spec") if isinstance(mapping, dict) else None
    if isinstance(spec, dict) and spec.get("weight"):
        yield invalid("spec.weight", name, f"Ambassador mapping {go_quote(name)} can not define weight")
