"""Where the requests of a simulated cluster go: what its routing objects, Services and pods say at one instant.

    routing object ──weight──▶ Service or subset ──pod-template hash──▶ ReplicaSet ──▶ pods that are ready

Nothing here asks the controller or its status. The objects are read as the proxies of a real cluster would read them,
so that a weight that leads to nobody shows, whatever the controller believes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from prograde.api.names import POD_TEMPLATE_HASH_LABEL
from prograde.api.rollout import Rollout, TrafficRouting
from prograde.sandbox.client import Resource
from prograde.sandbox.kinds import Object

__all__ = ["GATEWAY_PLUGIN", "ROUTE_KINDS", "Destination", "Pods", "Read", "Shares", "destinations", "shares"]

SERVICES: Final[Resource] = ("", "services")
INGRESSES: Final[Resource] = ("networking.k8s.io", "ingresses")
VIRTUAL_SERVICES: Final[Resource] = ("networking.istio.io", "virtualservices")
DESTINATION_RULES: Final[Resource] = ("networking.istio.io", "destinationrules")

GATEWAY_PLUGIN: Final = "argoproj-labs/gatewayAPI"
ROUTE_KINDS: Final[Mapping[str, Resource]] = {
    name: ("gateway.networking.k8s.io", f"{name.lower()}s")
    for name in ("httpRoute", "grpcRoute", "tcpRoute", "tlsRoute")
}
"""The kinds of routes of the Gateway API, by their name in the plugin's configuration."""

_NGINX_PREFIX: Final = "nginx.ingress.kubernetes.io"
_NAME_MAX: Final = 253


class Read(Protocol):
    """Looks an object up by resource, namespace and name; None when there is none."""

    def __call__(self, resource: Resource, namespace: str, name: str, /) -> Object | None: ...


class Destination(NamedTuple):
    """Some share of the requests, and which pods it is for."""

    route: str
    """The object and rule that says so, for messages; all requests of one rule together are the whole."""
    weight: float
    hash_: str
    """The pod-template hash that is selected; empty for the pods of every version."""
    exists: bool = True
    """False when the Service is not there."""


Pods = Mapping[str, int]
"""How many pods could answer, by pod-template hash."""


class Shares(NamedTuple):
    """How the requests are spread; fractions of 1."""

    by_hash: Mapping[str, float]
    lost: float
    """What reaches no pod at all."""


def destinations(rollout: Rollout, read: Read) -> tuple[Destination, ...]:
    """Return where requests for the Rollout go, rule by rule; none while nothing is routed yet."""
    strategy = rollout.spec.strategy
    namespace = rollout.metadata.namespace

    def behind(service: str) -> tuple[str, bool]:
        found = read(SERVICES, namespace, service)
        selector = ((found or {}).get("spec") or {}).get("selector") or {}
        return selector.get(POD_TEMPLATE_HASH_LABEL, ""), found is not None

    if strategy.blue_green is not None:
        name = strategy.blue_green.active_service
        return (Destination(f"Service {name}", 100, *behind(name)),)
    canary = strategy.canary
    routing = canary.traffic_routing if canary is not None else None
    if canary is None or routing is None:
        return (Destination("every pod", 100, "", True),)
    return tuple(
        Destination(route, weight, *(behind(service) if not subset else (subset, True)))
        for route, weight, service, subset in _routed(rollout, routing, read)
    )


def shares(where: Iterable[Destination], pods: Pods) -> Shares:
    """Return how requests spread over the versions, each rule counting alike."""
    by_hash: dict[str, float] = {}
    lost = total = 0.0
    for each in where:
        total += each.weight
        chosen = {hash_: count for hash_, count in pods.items() if count and each.hash_ in ("", hash_)}
        count = sum(chosen.values())
        if not each.exists or not count:
            lost += each.weight
            continue
        for hash_, ready in chosen.items():
            by_hash[hash_] = by_hash.get(hash_, 0.0) + each.weight * ready / count
    if not total:
        return Shares({}, 0.0)
    return Shares({hash_: weight / total for hash_, weight in by_hash.items()}, lost / total)


# --- the routers' objects ---------------------------------------------------------------------------------------

_Leg = tuple[str, float, str, str]
"""Rule, weight, Service, and the hash of a subset that stands instead of the Service's own."""


def _routed(rollout: Rollout, routing: TrafficRouting, read: Read) -> Iterator[_Leg]:
    if routing.nginx is not None:
        one, many = routing.nginx.stable_ingress, routing.nginx.stable_ingresses
        for name in dict.fromkeys(many if many is not None else (one,)):
            yield from _nginx(rollout, name, routing.nginx.annotation_prefix or _NGINX_PREFIX, read)
    if routing.istio is not None:
        single, several = routing.istio.virtual_service, routing.istio.virtual_services
        managed = {each.name for each in routing.managed_routes or ()}
        subsets = _subsets(rollout, read)
        for service in several if several is not None else (single,) if single is not None else ():
            found = read(VIRTUAL_SERVICES, rollout.metadata.namespace, service.name)
            yield from _istio(service.name, found or {}, set(service.routes), managed, subsets)
    if GATEWAY_PLUGIN in routing.plugins:
        config = msgspec.json.decode(routing.plugins[GATEWAY_PLUGIN])
        for field, resource in ROUTE_KINDS.items():
            names = [config[field]] if config.get(field) else []
            names += [each["name"] for each in config.get(f"{field}s") or ()]
            for name in names:
                found = read(resource, config.get("namespace") or rollout.metadata.namespace, name)
                yield from _gateway(rollout, f"{field} {name}", found or {})


def _services_of(rollout: Rollout) -> tuple[str, str]:
    """Return the Services of canary and stable at this moment."""
    canary = rollout.spec.strategy.canary
    assert canary is not None, "only a canary has routes"
    if canary.ping_pong is None:
        return canary.canary_service, canary.stable_service
    ping, pong = canary.ping_pong.ping_service, canary.ping_pong.pong_service
    return (pong, ping) if rollout.status.canary.stable_ping_pong == "ping" else (ping, pong)


def _nginx(rollout: Rollout, stable_ingress: str, prefix: str, read: Read) -> Iterator[_Leg]:
    namespace = rollout.metadata.namespace
    stable = read(INGRESSES, namespace, stable_ingress)
    if stable is None:
        return
    suffix = "-canary"
    name = f"{rollout.metadata.name}-{stable_ingress}"[: _NAME_MAX - len(suffix)] + suffix
    canary = read(INGRESSES, namespace, name)
    annotations = ((canary or {}).get("metadata") or {}).get("annotations") or {}
    total = float(annotations.get(f"{prefix}/canary-weight-total", "100"))
    weight = float(annotations.get(f"{prefix}/canary-weight", "0")) if canary is not None else 0.0
    route = f"Ingress {stable_ingress}"
    canary_service, stable_service = _services_of(rollout)
    behind = set(_ingress_services(canary or {})) or {canary_service}
    front = set(_ingress_services(stable)) & {stable_service, canary_service} or {stable_service}
    if weight:
        yield route, 100 * weight / total, min(behind), ""
    if weight < total:
        yield route, 100 * (total - weight) / total, min(front), ""


def _ingress_services(ingress: Object) -> Iterator[str]:
    spec = ingress.get("spec") or {}
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            name = ((path.get("backend") or {}).get("service") or {}).get("name")
            if name:
                yield name
    default = ((spec.get("defaultBackend") or {}).get("service") or {}).get("name")
    if default:
        yield default


def _istio(
    name: str, service: Object, wanted: set[str], managed: set[str], subsets: Mapping[str, str]
) -> Iterator[_Leg]:
    spec = service.get("spec") or {}
    for index, rule in enumerate(spec.get("http") or ()):
        title = rule.get("name") or ""
        if title in managed or (wanted and title not in wanted):
            continue
        yield from _istio_legs(f"VirtualService {name} route {title or index}", rule, subsets)
    for index, rule in enumerate([*(spec.get("tls") or ()), *(spec.get("tcp") or ())]):
        yield from _istio_legs(f"VirtualService {name} connection {index}", rule, subsets)


def _istio_legs(route: str, rule: Object, subsets: Mapping[str, str]) -> Iterator[_Leg]:
    legs = rule.get("route") or ()
    for leg in legs:
        target = leg.get("destination") or {}
        weight = float(leg.get("weight", 100 if len(legs) == 1 else 0))
        if weight:
            service = str(target.get("host", "")).split(".")[0]
            yield route, weight, service, subsets.get(target.get("subset") or "", "")


def _subsets(rollout: Rollout, read: Read) -> dict[str, str]:
    """Return which hash each subset of the DestinationRule stands for."""
    canary = rollout.spec.strategy.canary
    istio = canary.traffic_routing.istio if canary is not None and canary.traffic_routing is not None else None
    if istio is None or istio.destination_rule is None:
        return {}
    found = read(DESTINATION_RULES, rollout.metadata.namespace, istio.destination_rule.name)
    return {
        each["name"]: (each.get("labels") or {}).get(POD_TEMPLATE_HASH_LABEL, "")
        for each in ((found or {}).get("spec") or {}).get("subsets") or ()
    }


def _gateway(rollout: Rollout, route: str, found: Object) -> Iterator[_Leg]:
    ours = set(_services_of(rollout))
    for index, rule in enumerate((found.get("spec") or {}).get("rules") or ()):
        refs: list[dict[str, Any]] = [each for each in rule.get("backendRefs") or () if each.get("name") in ours]
        if not _is_weighted(refs, ours):
            continue  # a header route, which sends all of few requests to one side
        total = sum(float(each.get("weight", 1)) for each in refs)
        for each in refs:
            weight = float(each.get("weight", 1))
            if weight:
                yield f"{route} rule {index}", 100 * weight / total, each["name"], ""


def _is_weighted(refs: list[dict[str, Any]], ours: set[str]) -> bool:
    return {each["name"] for each in refs} == ours
