"""What the rules of a route of the Gateway API say about the two versions, and what they should say.

    rules:
    - backendRefs: [stable 70, canary 30]              a split: the weights add up to the maximum
    - backendRefs: [stable 70, other 1]                nothing to split, but it shows the weight as well
    - backendRefs: [canary]                            a user's own way to the canary, for good: left alone
    - name: NAME, matches: [headers], [canary]         managed: a header route, made of the first split
    - name: NAME-1, matches: [headers], [canary]       the same header route, made of the next split

Rules and backends that are not about the two versions belong to somebody else and stay as they are. Nothing here
changes a rule in place.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from prograde.api.jsonvalues import json_equal
from prograde.api.rollout import HeaderRoutingMatch, Rollout, SetHeaderRoute
from prograde.core.objects import Json, JsonObject
from prograde.traffic.documents import list_in, objects_in, text_in
from prograde.traffic.services import RoutedServices

__all__ = [
    "BackendsMissing",
    "Destination",
    "InvalidHeaderMatch",
    "Managed",
    "Weights",
    "with_destinations",
    "with_header_rules",
    "with_weights",
]


class BackendsMissing(ValueError):
    """No rule leads to the canary, or none to the stable version."""


class InvalidHeaderMatch(ValueError):
    """A header route does not say what to compare the header with."""


class Weights(NamedTuple):
    """The weights of the two versions, which add up to the maximum unless there are further destinations."""

    stable: int
    canary: int
    whole: int
    """The maximum."""


class Destination(NamedTuple):
    """A further Service to send requests to."""

    name: str
    namespace: str
    port: int
    weight: int


class Managed(NamedTuple):
    """How the rules that the controller has made are recognised.

    By name: that of a managed route, alone or with a number. Older releases of the plugin of Argo Rollouts wrote no
    names; such a rule leads to the canary alone and asks for the headers of a step.
    """

    names: frozenset[str]
    headers: tuple[frozenset[str], ...]
    """The names of the headers of each step, in lower case."""
    canary_service: str

    @classmethod
    def by(cls, rollout: Rollout, canary_service: str) -> "Managed":
        canary = rollout.spec.strategy.canary
        routing = canary.traffic_routing if canary is not None else None
        if canary is None or routing is None or not routing.managed_routes:
            return cls(frozenset(), (), canary_service)
        steps = [step.set_header_route for step in canary.steps if step.set_header_route is not None]
        return cls(
            names=frozenset(route.name for route in routing.managed_routes),
            headers=tuple(frozenset(match.header_name.lower() for match in step.match) for step in steps if step.match),
            canary_service=canary_service,
        )

    def owns(self, rule: JsonObject) -> bool:
        """Say whether the controller has made a rule, and may change or remove it."""
        if name := text_in(rule, "name"):
            return name in self.names or _without_number(name) in self.names
        if _services_of(rule) != [self.canary_service]:
            return False
        found = [_header_names(match) for match in objects_in(rule, "matches")]
        return any(wanted <= names for wanted in self.headers for names in found)


def _without_number(name: str) -> str:
    return re.sub(r"-[0-9]+\Z", "", name)


def _header_names(match: JsonObject) -> frozenset[str]:
    return frozenset(text_in(header, "name").lower() for header in objects_in(match, "headers"))


def _backends(rule: JsonObject) -> list[JsonObject]:
    return objects_in(rule, "backendRefs")


def _services_of(rule: JsonObject) -> list[str]:
    return [text_in(ref, "name") for ref in _backends(rule)]


def _is_split(rule: JsonObject, services: RoutedServices) -> bool:
    return set(services) <= set(_services_of(rule))


# ---- Weights ----------------------------------------------------------------------------------------------------


def with_weights(
    rules: Sequence[JsonObject], services: RoutedServices, weights: Weights, managed: Managed | None
) -> list[JsonObject]:
    """Return the rules with the weights in every backend that is one of the two versions.

    With `managed` None every rule counts. Otherwise managed rules do not, nor do those that lead to the canary and
    nowhere else: its weight says nothing there, except that 0 would turn every request away.

    Raises:
        BackendsMissing: the rules that count do not lead to both versions.
    """
    counted = [rule for rule in rules if managed is None or not _is_left_alone(rule, managed)]
    reached = {service for rule in counted for service in _services_of(rule) if service}
    if not set(services) <= reached:
        raise BackendsMissing
    return [
        rule if managed is not None and _is_left_alone(rule, managed) else _weighted(rule, services, weights)
        for rule in rules
    ]


def _is_left_alone(rule: JsonObject, managed: Managed) -> bool:
    return managed.owns(rule) or set(_services_of(rule)) == {managed.canary_service}


def _weighted(rule: JsonObject, services: RoutedServices, weights: Weights) -> JsonObject:
    stable = weights.stable
    if stable == 0 and services.canary not in _services_of(rule):
        # Nobody takes over here: with 0 the requests would be turned away.
        stable = weights.whole
    return _with_backend_weights(rule, {services.stable: stable, services.canary: weights.canary})


def _with_backend_weights(rule: JsonObject, wanted: Mapping[str, int]) -> JsonObject:
    if not wanted.keys() & set(_services_of(rule)):
        return rule
    weighted: list[Json] = []
    for ref in _backends(rule):
        weight = wanted.get(text_in(ref, "name"))
        weighted.append(ref if weight is None else {**ref, "weight": weight})
    return {**rule, "backendRefs": weighted}


# ---- Further destinations ---------------------------------------------------------------------------------------


def with_destinations(
    rules: Sequence[JsonObject],
    services: RoutedServices,
    weights: Weights,
    destinations: Sequence[Destination],
    gone: frozenset[str],
    managed: Managed,
) -> list[JsonObject]:
    """Return the rules, already weighted, with further destinations in one of them.

    That is the first split, or else the first rule that leads to either version; in no other one they remain. What a
    destination gets is taken from the stable version. The backends in `gone` are those of destinations that are no
    more.
    """
    chosen = _rule_for_destinations(rules, services, managed) if destinations else None
    elsewhere = gone | {each.name for each in destinations}
    return [
        _with_more_backends(_without_backends(rule, gone, services.canary), services, weights, destinations)
        if index == chosen
        else _without_backends(rule, elsewhere, services.canary)
        for index, rule in enumerate(rules)
    ]


def _with_more_backends(
    rule: JsonObject, services: RoutedServices, weights: Weights, destinations: Sequence[Destination]
) -> JsonObject:
    given = sum(each.weight for each in destinations)
    wanted = {each.name: each.weight for each in destinations} | {services.stable: max(0, weights.stable - given)}
    weighted = _with_backend_weights(rule, wanted)
    present = set(_services_of(weighted))
    more = [each._asdict() for each in destinations if each.name not in present]
    return {**weighted, "backendRefs": [*list_in(weighted, "backendRefs"), *more]}


def _rule_for_destinations(rules: Sequence[JsonObject], services: RoutedServices, managed: Managed) -> int:
    counted = [index for index, rule in enumerate(rules) if not _is_left_alone(rule, managed)]
    splits = (index for index in counted if _is_split(rules[index], services))
    others = (index for index in counted if set(services) & set(_services_of(rules[index])))
    return next(itertools.chain(splits, others))


def _without_backends(rule: JsonObject, services: frozenset[str], canary_service: str) -> JsonObject:
    """Return a rule without these backends, unless the canary or nothing would be left.

    No destination was ever added to such a rule, so the backend is somebody else's.
    """
    found = set(_services_of(rule))
    if services.isdisjoint(found) or found - services <= {canary_service}:
        return rule
    return {**rule, "backendRefs": [ref for ref in _backends(rule) if text_in(ref, "name") not in services]}


# ---- Header routes ----------------------------------------------------------------------------------------------

_KEPT_OF_MATCH: Final = ("path", "method", "queryParams")
"""What a header route keeps of the match of its source, besides the headers. GRPCRoutes have only a method."""


def with_header_rules(
    rules: Sequence[JsonObject], services: RoutedServices, managed: Managed, wanted: Sequence[SetHeaderRoute]
) -> list[JsonObject]:
    """Return the rules with these header routes and no others that are managed.

    For each header route there is a rule for every split, which sends the requests with all its headers to the canary.
    The rules stand at the end; their order means nothing, for the most specific match wins.

    Raises:
        InvalidHeaderMatch: a header is to be compared with nothing.
        BackendsMissing: header routes are wanted, and there is no split.
    """
    headers = {route.name: [_header(match) for match in route.match] for route in wanted}
    splits = [rule for rule in rules if not managed.owns(rule) and _is_split(rule, services)]
    if wanted and not splits:
        raise BackendsMissing
    made = [
        _header_rule(name, split, services.canary, headers[route.name])
        for route in wanted
        for name, split in zip(_rule_names(route.name, len(splits), managed), splits, strict=True)
    ]
    present = [rule for rule in rules if managed.owns(rule)]
    if _say_the_same(present, made):
        return list(rules)
    return [*(rule for rule in rules if not managed.owns(rule)), *made]


def _rule_names(route: str, count: int, managed: Managed) -> list[str]:
    """Return the name of the route, then the name with numbers, but for those that are the names of other routes."""
    numbered = (f"{route}-{number}" for number in itertools.count(1))
    free = (name for name in numbered if name not in managed.names)
    return list(itertools.islice(itertools.chain([route], free), count))


def _header(match: HeaderRoutingMatch) -> JsonObject:
    value = match.header_value
    if value is not None and value.exact:
        return {"type": "Exact", "name": match.header_name, "value": value.exact}
    if value is not None and value.prefix:
        return {"type": "RegularExpression", "name": match.header_name, "value": f"{value.prefix}.*"}
    if value is not None and value.regex:
        return {"type": "RegularExpression", "name": match.header_name, "value": value.regex}
    raise InvalidHeaderMatch("invalid header match type")


def _header_rule(name: str, split: JsonObject, canary_service: str, headers: list[JsonObject]) -> JsonObject:
    """Return the rule that sends what a split matches, and what has the headers, to the canary alone."""
    source = next(ref for ref in _backends(split) if text_in(ref, "name") == canary_service)
    backend: JsonObject = {
        "group": source.get("group") or "",
        "kind": source.get("kind") or "Service",
        "name": canary_service,
        **{key: source[key] for key in ("namespace", "port") if source.get(key) is not None},
    }
    return {
        "name": name,
        "matches": [_with_headers(match, headers) for match in objects_in(split, "matches") or [{}]],
        "filters": list_in(split, "filters"),
        "backendRefs": [backend],
    }


def _with_headers(match: JsonObject, headers: list[JsonObject]) -> JsonObject:
    """Return a match that also asks for these headers. A name can only be there once."""
    new = {text_in(header, "name").lower() for header in headers}
    before = [header for header in objects_in(match, "headers") if text_in(header, "name").lower() not in new]
    return {**{key: match[key] for key in _KEPT_OF_MATCH if key in match}, "headers": [*before, *headers]}


def _say_the_same(present: Sequence[JsonObject], made: Sequence[JsonObject]) -> bool:
    """Compare rules by name, whatever their order is and whatever the API server has added to them."""
    if len(present) != len(made):
        return False
    found = {text_in(rule, "name"): _with_defaults(rule) for rule in present}
    return all(json_equal(found.get(text_in(rule, "name")), _with_defaults(rule)) for rule in made)


def _with_defaults(rule: JsonObject) -> JsonObject:
    """Return a managed rule with the defaults of the Gateway API, which its API server writes into what it stores."""
    return {
        **rule,
        "matches": [_match_with_defaults(match) for match in objects_in(rule, "matches")],
        "filters": list_in(rule, "filters"),
        "backendRefs": [{"weight": 1, **ref} for ref in _backends(rule)],
    }


def _match_with_defaults(match: JsonObject) -> JsonObject:
    result: JsonObject = {"path": {"type": "PathPrefix", "value": "/"}, **match}
    for key in ("headers", "queryParams"):
        result[key] = [{"type": "Exact", **each} for each in objects_in(match, key)]
    method = match.get("method")
    if isinstance(method, dict):
        result["method"] = {"type": "Exact", **method}
    return result
