"""The Gateway API: weights and header routes in the rules of HTTPRoutes, GRPCRoutes, TCPRoutes and TLSRoutes.

Served here is what Argo Rollouts leaves to its plugin ``argoproj-labs/gatewayAPI``, under the same name and with the
same configuration. The routes are the user's. In them the canary's and the stable Service get their weights, and header
routes become rules of their own (`gateway_api_rules`). A label says that a release is in progress, so that a GitOps
tool can be told to look away meanwhile.

Each route is written with one patch per pass, whatever changes in it: at no moment does it hold the header route of one
step and the weight of another. The API of a gateway does not say whether the weights are in force, so a weight that has
been written counts as verified.
"""

from typing import Final, NamedTuple

import msgspec

from prograde.api.jsonvalues import json_equal
from prograde.api.names import EVENT_TRAFFIC_ROUTING_ERROR
from prograde.api.rollout import Rollout, SetHeaderRoute
from prograde.api.scalars import go_quote
from prograde.core.objects import JsonObject, ObjectKind, ObjectRef, Objects
from prograde.core.plan import Event, PatchObject, Wait, WaitReason
from prograde.core.routing import Routed, RoutingIntent, Wanted
from prograde.traffic.documents import object_in, objects_in, text_in
from prograde.traffic.gateway_api_config import (
    FIELD,
    GRPC_ROUTES,
    HTTP_ROUTES,
    PLUGIN,
    ROUTE_KINDS,
    TCP_ROUTES,
    TLS_ROUTES,
    ConfigError,
    GatewayApiConfig,
    read_config,
)
from prograde.traffic.gateway_api_rules import (
    BackendsMissing,
    Destination,
    InvalidHeaderMatch,
    Managed,
    Weights,
    with_destinations,
    with_header_rules,
    with_weights,
)
from prograde.traffic.onebyone import CannotRoute, route_one_by_one
from prograde.traffic.services import RoutedServices, routed_services

__all__ = ["GatewayApiRouter"]

LABEL_KEY: Final = "rollouts.argoproj.io/gatewayapi-canary"
LABEL_VALUE: Final = "in-progress"

EXPERIMENT_PORT: Final = 8080
"""For a Service without ports, which cannot serve on any."""

_NO_ROUTES: Final = (
    "No routes configured. At least one of 'httpRoutes', 'grpcRoutes', 'tcpRoutes', 'tlsRoutes', 'httpRoute', "
    "'grpcRoute', 'tcpRoute' or 'tlsRoute' must be set"
)
_SET_WEIGHT: Final = "failed to set weight via plugin"
_SET_HEADER_ROUTE: Final = "failed to set header route via plugin"

_MISSING_BACKENDS: Final = {
    HTTP_ROUTES: "backendRef was not found in httpRoute",
    GRPC_ROUTES: "backendRef was not found in grpcRoute",
    TCP_ROUTES: "backendRef list was not found in tcpRoute",
    TLS_ROUTES: "backendRef list was not found in tlsRoute",
}
_WITH_MATCHES: Final = (HTTP_ROUTES, GRPC_ROUTES)
"""The kinds whose rules match requests, and so can have header routes."""


class GatewayApiRouter:
    """Routes by the weights of backends in routes of the Gateway API."""

    name: Final = PLUGIN

    def __init__(self, rollout: Rollout, config: msgspec.Raw) -> None:
        self._rollout = rollout
        self._config_error = ""
        self._config = GatewayApiConfig()
        try:
            self._config = read_config(config)
        except ConfigError as err:
            self._config_error = str(err)

    @property
    def _namespace(self) -> str:
        return self._config.namespace or self._rollout.metadata.namespace

    def wanted(self) -> Wanted:
        refs = [ref for kind in ROUTE_KINDS for ref in self._config.named(kind, self._namespace)]
        selections = [self._config.selection(kind, self._namespace) for kind in ROUTE_KINDS]
        return Wanted(refs=tuple(refs), selections=tuple(each for each in selections if each is not None))

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        """Bring the routes in line one after the other."""
        wish = _Wish.of(intent)

        def write_for(route: tuple[ObjectRef, bool]) -> PatchObject | None:
            ref, use_header_routes = route
            if ref.kind in objects.unserved:
                definition = _full_name(ref.kind)
                message = f"{_SET_WEIGHT}: the API server does not know {definition}"
                remedy = "install the definitions (CRDs) of the Gateway API"
                about = f"CustomResourceDefinition {definition}"
                raise CannotRoute(message, about=about, field=FIELD, remedy=remedy)
            patch = self._patch(wish, ref, objects.get(ref), use_header_routes=use_header_routes)
            return PatchObject(ref=ref, patch=patch, failure=_FAILURE) if patch else None

        try:
            routes = self._routes(objects)
        except CannotRoute as err:
            return Routed(error=str(err), waits=(err.wait,))
        return route_one_by_one(intent, routes.items(), write_for, verified=True, waits=wish.waits)

    # ---- Which routes -------------------------------------------------------------------------------------------

    def _routes(self, objects: Objects) -> dict[ObjectRef, bool]:
        """Return every route once, in the order of writing, each with whether it has header routes.

        A kind that the API server does not know has at least one route, whatever would be selected.

        Raises:
            CannotRoute: there are none.
        """
        if self._config_error:
            raise _failed(f"{_SET_WEIGHT}: {self._config_error}", "correct the configuration of the router")
        routes: dict[ObjectRef, bool] = {}
        for kind in ROUTE_KINDS:
            routes |= self._config.named(kind, self._namespace)
            selection = self._config.selection(kind, self._namespace)
            if selection is not None and kind in objects.unserved:
                routes.setdefault(ObjectRef(kind, self._namespace, ""), False)
            elif selection is not None:
                for ref, _ in objects.select(selection):
                    routes.setdefault(ref, False)
        if not routes:
            raise _failed(f"{_SET_WEIGHT}: {_NO_ROUTES}", "name a route, or label one so that it is selected")
        return routes

    # ---- What becomes of a route --------------------------------------------------------------------------------

    def _patch(self, wish: "_Wish", ref: ObjectRef, route: JsonObject | None, *, use_header_routes: bool) -> JsonObject:
        """Return the patch that brings a route in line, empty if it is.

        Raises:
            CannotRoute: the route does not exist, or does not lead to both versions.
        """
        if route is None:
            message = f"{_SET_WEIGHT}: {_full_name(ref.kind)} {go_quote(ref.name)} not found"
            raise _failed(message, f"create the {ref.kind.kind}, or name one that exists", ref)
        present = objects_in(object_in(route, "spec"), "rules")
        has_header_routes = use_header_routes and ref.kind in _WITH_MATCHES
        rules = _rules(wish, ref, present, has_header_routes=has_header_routes)
        is_in_progress = (
            wish.weights.canary != 0
            or (has_header_routes and bool(wish.header_routes))
            or (ref.kind == HTTP_ROUTES and bool(wish.destinations))
        )
        labels = self._changed_labels(object_in(route, "metadata", "labels"), is_in_progress=is_in_progress)
        patch: JsonObject = {}
        if not json_equal(present, rules):
            patch["spec"] = {"rules": [*rules]}
        if patch or labels:
            version = text_in(object_in(route, "metadata"), "resourceVersion")
            patch["metadata"] = {"resourceVersion": version, **({"labels": labels} if labels else {})}
        return patch

    def _changed_labels(self, labels: JsonObject, *, is_in_progress: bool) -> JsonObject:
        """Return the label to set or to remove (null); empty if it is right, or none of our business."""
        if self._config.disable_in_progress_label:
            return {}
        key = self._config.in_progress_label_key or LABEL_KEY
        value = self._config.in_progress_label_value or LABEL_VALUE
        if is_in_progress:
            return {} if labels.get(key) == value else {key: value}
        return {key: None} if key in labels else {}


_FAILURE: Final = Event(EVENT_TRAFFIC_ROUTING_ERROR, _SET_WEIGHT, "Warning")


def _failed(message: str, remedy: str, ref: ObjectRef | None = None) -> CannotRoute:
    return CannotRoute(message, about=str(ref) if ref is not None else "", field=FIELD, remedy=remedy)


def _full_name(kind: ObjectKind) -> str:
    return f"{kind.plural}.{kind.group}"


class _Wish(NamedTuple):
    """What is wanted of every route, in the words of the Gateway API."""

    services: RoutedServices
    weights: Weights
    header_routes: tuple[SetHeaderRoute, ...]
    destinations: tuple[Destination, ...]
    """Those of a running Experiment; HTTPRoutes only."""
    gone: frozenset[str]
    """The Services of an Experiment that has ended, as far as the status still has them."""
    managed: Managed
    waits: tuple[Wait, ...]

    @classmethod
    def of(cls, intent: RoutingIntent) -> "_Wish":
        services = routed_services(intent.rollout)
        destinations, waits = _destinations(intent)
        recorded = intent.rollout.status.canary.weights
        before = frozenset(each.service_name for each in recorded.additional) if recorded is not None else frozenset()
        return cls(
            services=services,
            weights=Weights(max(0, intent.max_weight - intent.weight), intent.weight, intent.max_weight),
            header_routes=tuple(each for each in intent.routes if isinstance(each, SetHeaderRoute)),
            destinations=destinations,
            gone=before - {each.service_name for each in intent.additional} - set(services),
            managed=Managed.by(intent.rollout, services.canary),
            waits=waits,
        )


def _destinations(intent: RoutingIntent) -> tuple[tuple[Destination, ...], tuple[Wait, ...]]:
    """Return the further destinations, and what to wait for where a Service does not exist yet."""
    found, waits = [], []
    for each in intent.additional:
        service = intent.services.get(each.service_name)
        if service is None:
            message = f"Service {each.service_name} of the Experiment does not exist yet, so it gets no traffic"
            waits.append(
                Wait(reason=WaitReason.TRAFFIC_NOT_ROUTED, message=message, object=f"Service {each.service_name}")
            )
            continue
        ports = service.spec.ports
        port = next((each.port for each in ports if each.name == "http"), ports[0].port if ports else EXPERIMENT_PORT)
        found.append(Destination(each.service_name, intent.rollout.metadata.namespace, port, each.weight))
    return tuple(found), tuple(waits)


def _rules(wish: _Wish, ref: ObjectRef, present: list[JsonObject], *, has_header_routes: bool) -> list[JsonObject]:
    """Return the rules that a route should have."""
    try:
        rules = present
        if has_header_routes:
            step = _SET_HEADER_ROUTE
            rules = with_header_rules(rules, wish.services, wish.managed, wish.header_routes)
        step = _SET_WEIGHT
        managed = wish.managed if ref.kind in _WITH_MATCHES else None
        rules = with_weights(rules, wish.services, wish.weights, managed)
        if ref.kind == HTTP_ROUTES:
            rules = with_destinations(rules, wish.services, wish.weights, wish.destinations, wish.gone, wish.managed)
    except BackendsMissing as err:
        stable, canary = wish.services
        remedy = f"let a rule of the {ref.kind.kind} lead to the Services {go_quote(stable)} and {go_quote(canary)}"
        raise _failed(f"{step}: {_MISSING_BACKENDS[ref.kind]}", remedy, ref) from err
    except InvalidHeaderMatch as err:
        raise _failed(f"{step}: {err}", "give headerValue one of exact, prefix and regex", ref) from err
    return rules
