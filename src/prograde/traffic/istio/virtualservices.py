"""How a VirtualService should look that splits the traffic of a Rollout.

It belongs to the user; of the routes that carry weights only weights and the list of destinations are touched. Before
them come the header and mirror routes of the Rollout's steps, which are made anew each time: they follow their base,
the first weighted HTTP route, in port and weights. A managed route that is not wanted is removed, unless it carries
weights itself.
"""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from prograde.api.jsonvalues import json_equal
from prograde.api.rollout import (
    HeaderRoutingMatch,
    IstioVirtualService,
    RouteMatch,
    SetHeaderRoute,
    SetMirrorRoute,
    StringMatch,
    WeightDestination,
)
from prograde.api.validation.istio import ROUTE_KINDS, RouteTargets, route_problems, weighted_routes
from prograde.core.objects import Json, JsonObject
from prograde.core.plan import Event
from prograde.traffic.documents import list_in, object_in, objects_in, text_in

__all__ = ["CannotRoute", "Wish", "routed_virtual_service"]

UPDATED = "Updated VirtualService"
"""The reason of the events; with a blank, as tools expect it."""

_WHOLE = 100
"""Weights of one route are percentages."""


class CannotRoute(Exception):
    """The VirtualService does not allow what is wanted. The text is for people and says what is wrong with it."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How the traffic is to flow."""

    targets: RouteTargets
    additional_subsets: frozenset[str]
    """Subsets whose destinations keep the weights that they have."""
    weight: int
    """Percent for the canary."""
    additional: tuple[WeightDestination, ...]
    """Further destinations, each with percent and the name of a Service."""
    routes: tuple[SetHeaderRoute | SetMirrorRoute, ...]
    """The managed routes that are to exist, in their order."""
    canary_host: str
    """Where header and mirror routes lead."""
    is_elsewhere: bool
    """The VirtualService is in another namespace, where the plain name of a Service means another one."""


def routed_virtual_service(
    obj: JsonObject, reference: IstioVirtualService, name: str, wish: Wish
) -> tuple[JsonObject, tuple[Event, ...]]:
    """Return the VirtualService as it should be, and an event for each thing that changes.

    Raises:
        CannotRoute: it is not clear where to write.
    """
    if problem := next(route_problems(wish.targets, reference, obj), None):
        raise CannotRoute(problem)
    before, after = object_in(obj, "spec"), dict(object_in(obj, "spec"))
    has_new_weights = False
    for kind in ROUTE_KINDS:
        routes = list_in(before, kind)
        weighted = weighted_routes(wish.targets, reference, obj, kind)
        shared = [_with_weights(route, wish) if index in weighted else route for index, route in enumerate(routes)]
        if any(old is not new for old, new in zip(routes, shared, strict=True)):
            after[kind] = shared
            has_new_weights = True
    managed = _with_managed_routes(obj, reference, wish, list_in(after, "http"))
    if not json_equal(list_in(after, "http"), managed.routes):
        after["http"] = managed.routes
    has_new_weights |= managed.has_new_weights
    texts = list(managed.texts)
    if has_new_weights:
        texts.append(f"set to desiredWeight '{wish.weight}'")
    return {**obj, "spec": after}, tuple(Event(UPDATED, f"VirtualService `{name}` {text}") for text in texts)


# ---- Weights ----------------------------------------------------------------------------------------------------


def _with_weights(route: Json, wish: Wish) -> Json:
    """Return the route with the shares of all destinations; the very same route if it has them already.

    A destination that is none of ours gets nothing, and is removed if it had something.
    """
    left = {each.service_name: each.weight for each in wish.additional if each.service_name}
    targets = objects_in(route, "route")
    fixed = sum(_weight_of(target) for target in targets if _keeps_weight(target, wish))
    stable_weight = max(0, _WHOLE - wish.weight - sum(left.values()) - fixed)
    shared: list[Json] = []
    for target in targets:
        host = _service_of(target)
        if not host or _keeps_weight(target, wish):
            shared.append(target)
        elif _is_canary(target, wish):
            shared.append(_weighing(target, wish.weight))
        elif _is_stable(target, wish):
            shared.append(_weighing(target, stable_weight))
        elif host in left:
            shared.append(_weighing(target, left.pop(host)))
        elif _weight_of(target) == 0:
            shared.append(target)
    suffix = _suffix(targets, wish)
    for service in sorted(left):
        if left[service]:
            shared.append({"destination": {"host": service + suffix}, "weight": left[service]})
    if json_equal(shared, targets):
        return route
    assert isinstance(route, dict)
    return {**route, "route": shared}


def _weighing(target: JsonObject, weight: int) -> JsonObject:
    return target if _weight_of(target) == weight else {**target, "weight": weight}


def _weight_of(target: JsonObject) -> int:
    weight = target.get("weight")
    return weight if isinstance(weight, int) else 0


def _service_of(target: JsonObject) -> str:
    """Return the Service that the host stands for: whatever comes before the first dot."""
    return text_in(target.get("destination"), "host").partition(".")[0]


def _subset_of(target: JsonObject) -> str:
    return text_in(target.get("destination"), "subset")


def _keeps_weight(target: JsonObject, wish: Wish) -> bool:
    """Tell whether the destination is one of the additional subsets, whatever its host."""
    subset = _subset_of(target)
    return subset in wish.additional_subsets and subset not in (wish.targets.subsets or ())


def _is_canary(target: JsonObject, wish: Wish) -> bool:
    subset = wish.targets.subsets[1] if wish.targets.subsets is not None else ""
    return _stands_for(target, wish.targets.canary_service, subset)


def _is_stable(target: JsonObject, wish: Wish) -> bool:
    subset = wish.targets.subsets[0] if wish.targets.subsets is not None else ""
    return _stands_for(target, wish.targets.stable_service, subset)


def _stands_for(target: JsonObject, service: str, subset: str) -> bool:
    return bool(service and _service_of(target) == service) or bool(subset and _subset_of(target) == subset)


def _suffix(targets: list[JsonObject], wish: Wish) -> str:
    """Return what has to follow the name of a Service of the Rollout's namespace.

    Nothing in a VirtualService of the same namespace. Elsewhere the user had to write more to reach the canary.
    """
    if not wish.is_elsewhere:
        return ""
    canary = next((target for target in targets if _is_canary(target, wish)), {})
    return text_in(canary.get("destination"), "host").removeprefix(_service_of(canary))


# ---- Managed routes ---------------------------------------------------------------------------------------------


class _Managed(msgspec.Struct, frozen=True):
    routes: list[Json]
    """All HTTP routes."""
    texts: tuple[str, ...] = ()
    """What has changed, for people."""
    has_new_weights: bool = False
    """The destinations of a mirror route have changed."""


def _with_managed_routes(obj: JsonObject, reference: IstioVirtualService, wish: Wish, http: list[Json]) -> _Managed:
    """Put the wanted routes before the weighted ones; `http` are the routes with their new weights."""
    if not http:
        if wish.routes:
            kind = "mirror" if isinstance(wish.routes[0], SetMirrorRoute) else "header"
            raise CannotRoute(f"[Set{kind.title()}Route] failed to reconcile {kind} routes: spec.http not found")
        if wish.targets.managed_routes and object_in(obj, "spec").get("http"):
            detail = "failed to get http routes from virtual service: spec.http is not a list"
            raise CannotRoute(f"[RemoveManagedRoutes] {detail}")
        return _Managed(http)
    weighted = weighted_routes(wish.targets, reference, obj, "http")
    base = http[weighted[0]]
    names = {route.name for route in wish.routes}
    carrying = {text_in(http[index], "name") for index in weighted}
    if collisions := sorted(names & carrying):
        raise CannotRoute(f"route {collisions[0]} carries weights and cannot be a managed route as well")
    managed = (wish.targets.managed_routes | names) - carrying
    wanted = [_managed_route(route, base, wish) for route in wish.routes]
    old = {name: route for route in reversed(http) if (name := text_in(route, "name")) in managed}
    changes = list(_changes(old, wanted))
    removed = [name for name in old if name not in names]
    if removed and not wanted:
        texts = ["removed all managed routes."]
    else:
        texts = [_route_text(name, "mirror" in object_in(old[name])) for name in sorted(removed)]
    texts += [_route_text(text_in(route, "name"), "mirror" in route) for route in changes]
    has_new_weights = any(
        not json_equal(route.get("route"), object_in(old[name]).get("route"))
        for route in wanted
        if route not in changes and (name := text_in(route, "name")) in old
    )
    return _Managed(_arranged(http, wanted, managed, min(weighted)), tuple(texts), has_new_weights)


def _arranged(http: list[Json], wanted: list[JsonObject], managed: Collection[str], first_weighted: int) -> list[Json]:
    """Return all HTTP routes, each once: the wanted ones in their order, and then the others in the order they have.

    Wanted routes that are in order, and before those that carry weights, stay where they are: other Rollouts may have
    theirs in the same VirtualService, and not everybody can be first.
    """
    positions = [index for index, route in enumerate(http) if text_in(route, "name") in managed]
    present = [text_in(http[index], "name") for index in positions]
    if present == [text_in(route, "name") for route in wanted] and all(index < first_weighted for index in positions):
        made = dict(zip(positions, wanted, strict=True))
        return [made.get(index, route) for index, route in enumerate(http)]
    return [*wanted, *(route for index, route in enumerate(http) if index not in positions)]


def _changes(old: Mapping[str, Json], wanted: list[JsonObject]) -> Iterator[JsonObject]:
    """Return the wanted routes that are not there yet, or not so. A mirror route may differ in its weights alone."""
    for route in wanted:
        ignored = {"route": None} if "mirror" in route else {}
        if not json_equal(object_in(old.get(text_in(route, "name"))) | ignored, route | ignored):
            yield route


def _route_text(name: str, is_mirror: bool) -> str:
    return f"set {'mirror' if is_mirror else 'header'}Route '{name}'"


def _managed_route(route: SetHeaderRoute | SetMirrorRoute, base: Json, wish: Wish) -> JsonObject:
    canary = _canary_destination(base, wish)
    if isinstance(route, SetHeaderRoute):
        return {
            "name": route.name,
            "match": [_header_match(match) for match in route.match],
            "route": [{"destination": canary, "weight": _WHOLE}],
        }
    return {
        "name": route.name,
        "match": [_mirror_match(match) for match in route.match],
        "route": [_destination_alone(target) for target in objects_in(base, "route")],
        "mirror": canary,
        "mirrorPercentage": {"value": _WHOLE if route.percentage is None else route.percentage},
    }


def _canary_destination(base: Json, wish: Wish) -> JsonObject:
    """Return the canary as a destination, with the port that the base uses."""
    targets = objects_in(base, "route")
    host = wish.canary_host if "." in wish.canary_host else wish.canary_host + _suffix(targets, wish)
    destination: JsonObject = {"host": host}
    port = object_in(targets[0], "destination", "port").get("number") if targets else None
    if port:
        destination["port"] = {"number": port}
    if wish.targets.subsets is not None and wish.targets.subsets[1]:
        destination["subset"] = wish.targets.subsets[1]
    return destination


def _destination_alone(target: JsonObject) -> JsonObject:
    """Return a copy that says where and how much, and nothing else."""
    destination = object_in(target, "destination")
    kept: JsonObject = {key: destination[key] for key in ("host", "port", "subset") if key in destination}
    return {"destination": kept, "weight": _weight_of(target)}


def _header_match(match: HeaderRoutingMatch) -> JsonObject:
    """Return one entry of a list whose entries are alternatives."""
    return {"headers": {match.header_name: _string_match(match.header_value)}}


def _mirror_match(match: RouteMatch) -> JsonObject:
    """Return one entry; its criteria have to be met together."""
    criteria: JsonObject = {}
    if match.method is not None:
        criteria["method"] = _string_match(match.method)
    if match.path is not None:
        criteria["uri"] = _string_match(match.path)
    if match.headers:
        criteria["headers"] = {name: _string_match(match.headers[name]) for name in match.headers}
    return criteria


def _string_match(match: StringMatch | None) -> JsonObject:
    if match is None:
        return {}
    kinds: JsonObject = {"exact": match.exact, "prefix": match.prefix, "regex": match.regex}
    return {kind: text for kind, text in kinds.items() if text}
