"""VirtualServices of Istio: which routes carry weights, and do these lead to the canary and the stable version?

The router asks the same questions as validation, of the same functions, so that it never writes to a route that has
not been looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from prograde.api.meta import NamespacedName
from prograde.api.names import PING
from prograde.api.rollout import CanaryStrategy, IstioTrafficRouting, IstioVirtualService, Rollout, TcpRoute, TlsRoute
from prograde.api.scalars import go_quote
from prograde.api.validation.errors import FieldError, internal, invalid

__all__ = [
    "ROUTE_KINDS",
    "RouteTargets",
    "missing_virtual_service_errors",
    "route_problems",
    "service_names",
    "virtual_service_errors",
    "virtual_service_key",
    "virtual_service_references",
    "weighted_routes",
]

_ISTIO = "spec.strategy.canary.trafficRouting.istio"
_CLUSTER_DOMAIN = ".cluster.local"
_NOT_INSTALLED = "Istio's definitions are not installed, or not in the version that --istio-api-version names"

ROUTE_KINDS = ("http", "tls", "tcp")
"""The sections of a VirtualService that have routes."""

JsonObject: TypeAlias = dict[str, Any]


class InvalidRoutes(ValueError):
    """The routes of a VirtualService do not fit the Rollout."""


def virtual_service_key(reference: str, namespace: str) -> NamespacedName:
    """Read the name of a VirtualService, ``name`` or ``name.namespace``; `namespace` is the Rollout's.

    The last part counts as namespace, so that ``name.namespace.svc.cluster.local`` is not understood.
    """
    name, dot, found = reference.removesuffix(_CLUSTER_DOMAIN).rpartition(".")
    return NamespacedName(found or namespace, name) if dot else NamespacedName(namespace, found)


def service_names(rollout: Rollout, canary: CanaryStrategy) -> tuple[str, str]:
    """Return the Services of (stable, canary): ping and pong only where the ordinary two are not named."""
    if canary.ping_pong is None or canary.stable_service or canary.canary_service:
        return canary.stable_service, canary.canary_service
    ping, pong = canary.ping_pong.ping_service, canary.ping_pong.pong_service
    return (ping, pong) if rollout.status.canary.stable_ping_pong == PING else (pong, ping)


def virtual_service_references(istio: IstioTrafficRouting) -> tuple[IstioVirtualService, ...]:
    """Return the VirtualServices that are named, in whichever of the two ways."""
    if istio.virtual_services:
        return istio.virtual_services
    return (istio.virtual_service,) if istio.virtual_service is not None else ()


def _path(istio: IstioTrafficRouting) -> str:
    return f"{_ISTIO}.virtualServices.name" if istio.virtual_services else f"{_ISTIO}.virtualService.name"


def missing_virtual_service_errors(
    istio: IstioTrafficRouting,
    namespace: str,
    found: Mapping[NamespacedName, Any] | None,
    *,
    is_installed: bool = True,
) -> Iterator[FieldError]:
    """Check that VirtualServices are named in one way, and that they exist; `found` None: not looked for.

    If Istio is not installed, that is why.
    """
    if bool(istio.virtual_services) == (istio.virtual_service is not None):
        yield internal(_ISTIO, "either VirtualService or VirtualServices must be configured")
        return
    if found is None:
        return
    for reference in virtual_service_references(istio):
        key = virtual_service_key(reference.name, namespace)
        if key not in found:
            why = "" if is_installed else f": {_NOT_INSTALLED}"
            detail = f"virtualservices.networking.istio.io {go_quote(key.name)} not found{why}"
            yield invalid(_path(istio), key.name, detail)


def virtual_service_errors(
    rollout: Rollout, canary: CanaryStrategy, found: Mapping[NamespacedName, Any]
) -> Iterator[FieldError]:
    """Check the routes of the VirtualServices that a Rollout names."""
    istio = canary.traffic_routing.istio if canary.traffic_routing is not None else None
    if istio is None:
        yield invalid(_ISTIO, rollout.metadata.name, "Rollout object is not configured with Istio traffic routing")
        return
    targets = RouteTargets.of(rollout, canary, istio)
    for reference in virtual_service_references(istio):
        key = virtual_service_key(reference.name, rollout.metadata.namespace)
        if key in found:
            for problem in route_problems(targets, reference, found[key]):
                yield invalid(_path(istio), key.name, problem)


class RouteTargets(NamedTuple):
    """Where the routes that carry weights must lead."""

    stable_service: str
    canary_service: str
    subsets: tuple[str, str] | None
    """(stable, canary); None when whole Services are routed to."""
    managed_routes: frozenset[str]
    """The names of the routes that a Rollout may create and remove."""

    @classmethod
    def of(cls, rollout: Rollout, canary: CanaryStrategy, istio: IstioTrafficRouting) -> "RouteTargets":
        stable, canary_service = service_names(rollout, canary)
        rule = istio.destination_rule
        managed = canary.traffic_routing.managed_routes if canary.traffic_routing is not None else None
        return cls(
            stable,
            canary_service,
            (rule.stable_subset_name, rule.canary_subset_name) if rule is not None else None,
            frozenset(route.name for route in managed or () if route.name),
        )


def route_problems(targets: RouteTargets, reference: IstioVirtualService, virtual_service: Any) -> Iterator[str]:
    """Say what is wrong with the routes of one VirtualService; nothing when weights can be set in all its sections."""
    sections = {kind: _routes(virtual_service, kind) for kind in ROUTE_KINDS}
    if not any(sections.values()):
        yield "Unable to get any of the HTTP, TCP or TLS routes for the Istio VirtualService"
    for kind, routes in sections.items():
        if not _is_well_formed(routes):
            yield f"Unable to get {kind.upper()} routes for Istio VirtualService"
            continue
        try:
            for index in _select(targets, reference, kind, routes):
                _check_destinations(targets, routes[index])
        except InvalidRoutes as err:
            yield f"Istio VirtualService has invalid {kind.upper()} routes. Error: {err}"


def weighted_routes(
    targets: RouteTargets, reference: IstioVirtualService, virtual_service: Any, kind: str
) -> tuple[int, ...]:
    """Return the positions of the routes that carry weights, in the order in which they are named.

    For a VirtualService without `route_problems`.
    """
    return tuple(dict.fromkeys(_select(targets, reference, kind, _routes(virtual_service, kind))))


def _routes(virtual_service: Any, kind: str) -> list[Any]:
    """Return the routes of one section; none for a section that is absent or no list at all."""
    spec = virtual_service.get("spec") if isinstance(virtual_service, dict) else None
    routes = spec.get(kind) if isinstance(spec, dict) else None
    return routes if isinstance(routes, list) else []


def _is_well_formed(routes: list[Any]) -> bool:
    """Say whether these are routes with a list of weighted destinations each."""
    for route in routes:
        if not isinstance(route, dict) or not isinstance(route.get("name", ""), str):
            return False
        targets = route.get("route") or []
        matches = route.get("match") or []
        if not isinstance(targets, list) or not isinstance(matches, list):
            return False
        if not all(isinstance(target, dict) and _is_weighted_destination(target) for target in targets):
            return False
        if not all(isinstance(match, dict) for match in matches):
            return False
    return True


def _is_weighted_destination(target: JsonObject) -> bool:
    value = target.get("destination") or {}
    if not isinstance(value, dict) or not isinstance(target.get("weight") or 0, int):
        return False
    return isinstance(value.get("host", ""), str) and isinstance(value.get("subset", ""), str)


def _select(
    targets: RouteTargets, reference: IstioVirtualService, kind: str, routes: Sequence[JsonObject]
) -> list[int]:
    """Return which routes of one section carry weights.

    Raises:
        InvalidRoutes: a route does not exist, or it is not clear which is meant.
    """
    if not routes:
        return []
    if kind == "http":
        return _select_http(targets, reference.routes, routes)
    if kind == "tls":
        return _select_by_match(reference.tls_routes, routes, kind)
    return _select_by_match(reference.tcp_routes, routes, kind)


def _select_http(targets: RouteTargets, names: Sequence[str], routes: Sequence[JsonObject]) -> list[int]:
    """Return the routes named; without names the only one that the Rollout has not made itself."""
    if not names:
        own = [index for index, route in enumerate(routes) if route.get("name", "") not in targets.managed_routes]
        return _only(own if len(routes) > 1 else [0], "http", "routes")
    selected = []
    for name in names:
        index = next((index for index, route in enumerate(routes) if route.get("name", "") == name), None)
        if index is None:
            raise InvalidRoutes(f"HTTP Route '{name}' is not found in the defined Virtual Service.")
        selected.append(index)
    return selected


def _select_by_match(
    wanted: Sequence[TlsRoute] | Sequence[TcpRoute], routes: Sequence[JsonObject], kind: str
) -> list[int]:
    """Return the routes for the ports, and with TLS for the hosts, that are wanted; without any the only one."""
    if not wanted:
        return _only(list(range(len(routes))), kind, f"{kind}Routes")
    selected = [index for each in wanted for index, route in enumerate(routes) if _matches(each, route)]
    if not selected:
        raise InvalidRoutes(f"No matching {kind.upper()} routes found in the defined Virtual Service.")
    return selected


def _only(indices: list[int], kind: str, field: str) -> list[int]:
    if len(indices) != 1:
        raise InvalidRoutes(
            f"spec.{kind}[] should be set in VirtualService and it must have exactly one route when omitting "
            f"spec.strategy.canary.trafficRouting.istio.virtualService.{field}"
        )
    return indices


def _matches(wanted: TlsRoute | TcpRoute, route: JsonObject) -> bool:
    """Say whether all matches of a route together have just the port, and just the hosts, that are wanted."""
    matches = route.get("match") or []
    if ({port for match in matches if (port := match.get("port"))} or {0}) != {wanted.port}:
        return False
    if isinstance(wanted, TcpRoute):
        return True
    hosts = {host for match in matches for host in match.get("sniHosts") or ()}
    return hosts == set(wanted.sni_hosts)


def _check_destinations(targets: RouteTargets, route: JsonObject) -> None:
    destinations = [target.get("destination") or {} for target in route.get("route") or []]
    if targets.subsets is not None:
        found = {destination.get("subset", "") for destination in destinations}
        stable, canary = targets.subsets
        what = "DestinationRule subset"
    else:
        found = {destination.get("host", "").partition(".")[0] for destination in destinations}
        stable, canary, what = targets.stable_service, targets.canary_service, "Service"
    if canary not in found:
        raise InvalidRoutes(f"Canary {what} '{canary}' not found in route")
    if stable not in found:
        raise InvalidRoutes(f"Stable {what} '{stable}' not found in route")
