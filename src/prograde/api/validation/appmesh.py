"""Virtual services and routers of AWS App Mesh."""

from collections.abc import Iterator, Mapping
from typing import Any

from prograde.api.rollout import AppMeshTrafficRouting
from prograde.api.scalars import go_quote
from prograde.api.validation.errors import FieldError, invalid

__all__ = ["app_mesh_errors", "missing_app_mesh_errors", "virtual_router_name"]

_PATH = "spec.strategy.canary.trafficRouting.appmesh.virtualService"
"""Spelled in lower case; tools know it."""

_ROUTE_TYPES = ("httpRoute", "tcpRoute", "http2Route", "grpcRoute")
_TARGETS_WANTED = 2


def missing_app_mesh_errors(
    app_mesh: AppMeshTrafficRouting,
    namespace: str,
    services: Mapping[str, Any] | None,
    routers: Mapping[str, Any] | None,
) -> Iterator[FieldError]:
    """Check that there is a virtual service, and its router; None: not looked for."""
    if app_mesh.virtual_service is None:
        yield invalid(_PATH, None, "must provide virtual-service")
        return
    name = app_mesh.virtual_service.name
    if services is None:
        return
    if name not in services:
        detail = f"virtualservices.appmesh.k8s.aws {go_quote(name)} not found"
        yield invalid(_PATH, f"{name}.{namespace}", detail)
        return
    router = virtual_router_name(services[name])
    if routers is not None and router not in routers:
        detail = f"virtualrouters.appmesh.k8s.aws {go_quote(router)} not found"
        yield invalid(_PATH, f"{name}.{namespace}", detail)


def virtual_router_name(service: Any) -> str:
    """Return the router of a virtual service, ``""`` if it has none."""
    value = service
    for part in ("spec", "provider", "virtualRouter", "virtualRouterRef", "name"):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def app_mesh_errors(
    app_mesh: AppMeshTrafficRouting, services: Mapping[str, Any], routers: Mapping[str, Any]
) -> Iterator[FieldError]:
    """Check that every route of the router splits its traffic between two nodes; the first error ends it."""
    if app_mesh.virtual_service is None or app_mesh.virtual_service.name not in services:
        return
    router = routers.get(virtual_router_name(services[app_mesh.virtual_service.name]))
    if router is None:
        return
    error = _router_error(router)
    if error is not None:
        yield error


def _router_error(router: Any) -> FieldError | None:
    kind = router.get("kind", "")
    if kind != "VirtualRouter":
        return invalid("kind", kind, f"Expected object kind to be VirtualRouter but is {kind}")
    name = router.get("metadata", {}).get("name", "")
    spec = router.get("spec")
    routes = spec.get("routes") if isinstance(spec, dict) else None
    if not isinstance(routes, list) or not routes:
        return invalid("spec.routes", name, f"No routes defined for AppMesh virtual-router {name}")
    return next(filter(None, (_route_error(name, index, route) for index, route in enumerate(routes))), None)


def _route_error(router: str, index: int, route: Any) -> FieldError | None:
    path = f"spec.routes[{index}]"
    if not isinstance(route, dict):
        detail = f"Invalid route was found for AppMesh virtual-router {router} at index {index}"
        return invalid(path, router, detail)
    of_route = f"for AppMesh virtual-router {router} and route {route.get('name', '<nil>')}"
    kind = next((kind for kind in _ROUTE_TYPES if isinstance(route.get(kind), dict)), None)
    if kind is None:
        detail = f"Error getting route details {of_route}. Error: Route has unsupported route type"
        return invalid(path, router, detail)
    action = route[kind].get("action")
    targets = action.get("weightedTargets") if isinstance(action, dict) else None
    targets_path = f"{path}.{kind}.action.weightedTargets"
    if not isinstance(targets, list):
        return invalid(targets_path, router, f"Invalid route action found {of_route}")
    if len(targets) != _TARGETS_WANTED:
        detail = f"Invalid number of weightedTargets ({len(targets)}) {of_route}, expected {_TARGETS_WANTED}"
        return invalid(targets_path, router, detail)
    return None
