"""VirtualServices of Istio: do their routes lead to the canary and the stable version?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from prograde.api.meta import NamespacedName
from prograde.api.names import PING
from prograde.api.rollout import CanaryStrategy, IstioTrafficRouting, IstioVirtualService, Rollout, TcpRoute, TlsRoute
from prograde.api.scalars import go_quote
from prograde.api.validation.errors import FieldError, internal, invalid

__all__ = [
    "missing_virtual_service_errors",
    "service_names",
    "virtual_service_errors",
    "virtual_service_key",
]

_ISTIO = "spec.strategy.canary.trafficRouting.istio"
_CLUSTER_DOMAIN = ".cluster.local"

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


def _references(istio: IstioTrafficRouting) -> tuple[str, tuple[IstioVirtualService, ...]]:
    if istio.virtual_services:
        return f"{_ISTIO}.virtualServices.name", istio.virtual_services
    return f"{_ISTIO}.virtualService.name", (istio.virtual_service,) if istio.virtual_service is not None else ()


def missing_virtual_service_errors(
    istio: IstioTrafficRouting, namespace: str, found: Mapping[NamespacedName, Any] | None
) -> Iterator[FieldError]:
    """Check that VirtualServices are named in one way, and that they exist; `found` None: not looked for."""
    if bool(istio.virtual_services) == (istio.virtual_service is not None):
        yield internal(_ISTIO, "either VirtualService or VirtualServices must be configured")
        return
    if found is None:
        return
    path, references = _references(istio)
    for reference in references:
        key = virtual_service_key(reference.name, namespace)
        if key not in found:
            yield invalid(path, key.name, f"virtualservices.networking.istio.io {go_quote(key.name)} not found")


def virtual_service_errors(
    rollout: Rollout, canary: CanaryStrategy, found: Mapping[NamespacedName, Any]
) -> Iterator[FieldError]:
    """Check the routes of the VirtualServices that a Rollout names."""
    istio = canary.traffic_routing.istio if canary.traffic_routing is not None else None
    if istio is None:
        yield invalid(_ISTIO, rollout.metadata.name, "Rollout object is not configured with Istio traffic routing")
        return
    path, references = _references(istio)
    for reference in references:
        key = virtual_service_key(reference.name, rollout.metadata.namespace)
        if key in found:
            yield from _route_errors(_Expected.of(rollout, canary, istio), reference, key.name, found[key], path)


class _Expected(NamedTuple):
    """Where the routes must lead."""

    stable_service: str
    canary_service: str
    subsets: tuple[str, str] | None
    """(stable, canary); None when whole Services are routed to."""
    managed_routes: frozenset[str]

    @classmethod
    def of(cls, rollout: Rollout, canary: CanaryStrategy, istio: IstioTrafficRouting) -> "_Expected":
        stable, canary_service = service_names(rollout, canary)
        rule = istio.destination_rule
        managed = canary.traffic_routing.managed_routes if canary.traffic_routing is not None else None
        return cls(
            stable,
            canary_service,
            (rule.stable_subset_name, rule.canary_subset_name) if rule is not None else None,
            frozenset(route.name for route in managed or ()),
        )


def _route_errors(
    expected: _Expected, reference: IstioVirtualService, name: str, virtual_service: Any, path: str
) -> Iterator[FieldError]:
    spec = virtual_service.get("spec") if isinstance(virtual_service, dict) else None
    sections = {kind: spec.get(kind) for kind in ("http", "tls", "tcp")} if isinstance(spec, dict) else {}
    if not any(isinstance(routes, list) for routes in sections.values()):
        detail = "Unable to get any of the HTTP, TCP or TLS routes for the Istio VirtualService"
        yield invalid(path, name, detail)
    for kind in ("http", "tls", "tcp"):
        routes = sections.get(kind)
        if not isinstance(routes, list):
            continue
        if not _is_well_formed(routes):
            yield invalid(path, name, f"Unable to get {kind.upper()} routes for Istio VirtualService")
            continue
        try:
            _check_routes(expected, reference, kind, routes)
        except InvalidRoutes as err:
            yield invalid(path, name, f"Istio VirtualService has invalid {kind.upper()} routes. Error: {err}")


def _is_well_formed(routes: list[Any]) -> bool:
    """Say whether these are routes with a list of destinations each."""
    for route in routes:
        if not isinstance(route, dict) or not isinstance(route.get("name", ""), str):
            return False
        targets = route.get("route") or []
        matches = route.get("match") or []
        if not isinstance(targets, list) or not isinstance(matches, list):
            return False
        if not all(isinstance(target, dict) and _is_destination(target.get("destination")) for target in targets):
            return False
        if not all(isinstance(match, dict) for match in matches):
            return False
    return True


def _is_destination(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict) and isinstance(value.get("host", ""), str) and isinstance(value.get("subset", ""), str)
    )


def _check_routes(expected: _Expected, reference: IstioVirtualService, kind: str, routes: Sequence[JsonObject]) -> None:
    """Check the routes of one section.

    Raises:
        InvalidRoutes: a route does not exist, or does not lead to both versions.
    """
    names: Sequence[object]
    if kind == "http":
        names, listed = reference.routes, "routes"
        selected = _select_http(reference.routes, routes)
        counted = [route for route in routes if route.get("name", "") not in expected.managed_routes]
    elif kind == "tls":
        names, listed, counted = reference.tls_routes, "tlsRoutes", list(routes)
        selected = _select_by_match(reference.tls_routes, routes, "TLS")
    else:
        names, listed, counted = reference.tcp_routes, "tcpRoutes", list(routes)
        selected = _select_by_match(reference.tcp_routes, routes, "TCP")
    for route in selected:
        _check_destinations(expected, route)
    if not names and len(counted) > 1:
        raise InvalidRoutes(
            f"spec.{kind}[] should be set in VirtualService and it must have exactly one route when omitting "
            f"spec.strategy.canary.trafficRouting.istio.virtualService.{listed}"
        )


def _select_http(names: Sequence[str], routes: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the routes named; without names the only one, or the first without a name."""
    if not names:
        if len(routes) == 1:
            return list(routes)
        return [route for route in routes if not route.get("name")][:1]
    selected = []
    for name in names:
        route = next((route for route in routes if route.get("name", "") == name), None)
        if route is None:
            raise InvalidRoutes(f"HTTP Route '{name}' is not found in the defined Virtual Service.")
        selected.append(route)
    return selected


def _select_by_match(
    wanted: Sequence[TlsRoute] | Sequence[TcpRoute], routes: Sequence[JsonObject], kind: str
) -> list[JsonObject]:
    """Return the routes for the ports, and with TLS for the hosts, that are wanted; without any the first."""
    if not wanted:
        return list(routes[:1])
    selected = [route for each in wanted for route in routes if _matches(each, route)]
    if not selected:
        raise InvalidRoutes(f"No matching {kind} routes found in the defined Virtual Service.")
    return selected


def _matches(wanted: TlsRoute | TcpRoute, route: JsonObject) -> bool:
    """Say whether all matches of a route together have just the port, and just the hosts, that are wanted."""
    matches = route.get("match") or []
    if {match.get("port") or 0 for match in matches} != {wanted.port}:
        return False
    if isinstance(wanted, TcpRoute):
        return True
    hosts = {host for match in matches for host in match.get("sniHosts") or ()}
    return hosts == set(wanted.sni_hosts)


def _check_destinations(expected: _Expected, route: JsonObject) -> None:
    destinations = [target.get("destination") or {} for target in route.get("route") or []]
    if expected.subsets is not None:
        found = {destination.get("subset", "") for destination in destinations}
        stable, canary = expected.subsets
        what = "DestinationRule subset"
    else:
        found = {destination.get("host", "").partition(".")[0] for destination in destinations}
        stable, canary, what = expected.stable_service, expected.canary_service, "Service"
    if canary not in found:
        raise InvalidRoutes(f"Canary {what} '{canary}' not found in route")
    if stable not in found:
        raise InvalidRoutes(f"Stable {what} '{stable}' not found in route")
