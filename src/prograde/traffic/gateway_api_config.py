"""What a Rollout tells the Gateway API router: the JSON under ``plugins["argoproj-labs/gatewayAPI"]``.

Routes are named one by one, in lists, or chosen by their labels; all are in one namespace. Reading is as tolerant as it
is for a Rollout: unknown fields are skipped, null is absence. A value of a wrong type is an error, because whatever it
was meant to say decides where requests go.
"""

from typing import Final

import msgspec

from prograde.api.codec import DecodeError, decode_object
from prograde.api.meta import LabelSelector, WireStruct
from prograde.api.selectors import InvalidSelector, compile_selector
from prograde.core.objects import ObjectKind, ObjectRef, ObjectSelection

__all__ = [
    "FIELD",
    "GRPC_ROUTES",
    "HTTP_ROUTES",
    "PLUGIN",
    "ROUTE_KINDS",
    "TCP_ROUTES",
    "TLS_ROUTES",
    "ConfigError",
    "GatewayApiConfig",
    "read_config",
]

PLUGIN: Final = "argoproj-labs/gatewayAPI"
"""The name under which Rollouts ask for this router, that of a plugin of Argo Rollouts."""

FIELD: Final = f"spec.strategy.canary.trafficRouting.plugins[{PLUGIN}]"

_GROUP: Final = "gateway.networking.k8s.io"

HTTP_ROUTES: Final = ObjectKind(_GROUP, "v1", "httproutes", "HTTPRoute")
GRPC_ROUTES: Final = ObjectKind(_GROUP, "v1", "grpcroutes", "GRPCRoute")
TCP_ROUTES: Final = ObjectKind(_GROUP, "v1alpha2", "tcproutes", "TCPRoute")
TLS_ROUTES: Final = ObjectKind(_GROUP, "v1alpha2", "tlsroutes", "TLSRoute")

ROUTE_KINDS: Final = (HTTP_ROUTES, GRPC_ROUTES, TCP_ROUTES, TLS_ROUTES)
"""In the order in which they are written."""


class ConfigError(ValueError):
    """The configuration cannot be understood; the text names the field."""


class RouteEntry(WireStruct, frozen=True, kw_only=True):
    """One route of a list. Header routes mean something for HTTPRoutes and GRPCRoutes only."""

    name: str = ""
    use_header_routes: bool = False


class GatewayApiConfig(WireStruct, frozen=True, kw_only=True):
    """The configuration. A route of a singular field has header routes, a selected one has none."""

    http_route: str = ""
    http_routes: tuple[RouteEntry, ...] = ()
    http_route_selector: LabelSelector | None = None
    grpc_route: str = ""
    grpc_routes: tuple[RouteEntry, ...] = ()
    grpc_route_selector: LabelSelector | None = None
    tcp_route: str = ""
    tcp_routes: tuple[RouteEntry, ...] = ()
    tcp_route_selector: LabelSelector | None = None
    tls_route: str = ""
    tls_routes: tuple[RouteEntry, ...] = ()
    tls_route_selector: LabelSelector | None = None
    namespace: str = ""
    """Of all routes; empty for that of the Rollout."""
    disable_in_progress_label: bool = False
    in_progress_label_key: str = ""
    in_progress_label_value: str = ""

    def named(self, kind: ObjectKind, namespace: str) -> dict[ObjectRef, bool]:
        """Return the routes of a kind that are named, each with whether it has header routes.

        A route that is named twice comes once, with header routes if one of the two says so.
        """
        one, many, _ = self._of(kind)
        found: dict[ObjectRef, bool] = {}
        for entry in (*many, *([RouteEntry(name=one, use_header_routes=True)] if one else [])):
            ref = ObjectRef(kind, namespace, entry.name)
            found[ref] = found.get(ref, False) or entry.use_header_routes
        return found

    def selection(self, kind: ObjectKind, namespace: str) -> ObjectSelection | None:
        """Return which routes of a kind are chosen by their labels; None if that is not asked for."""
        _, _, selector = self._of(kind)
        return ObjectSelection(kind, namespace, selector) if selector is not None else None

    def _of(self, kind: ObjectKind) -> tuple[str, tuple[RouteEntry, ...], LabelSelector | None]:
        if kind == HTTP_ROUTES:
            return self.http_route, self.http_routes, self.http_route_selector
        if kind == GRPC_ROUTES:
            return self.grpc_route, self.grpc_routes, self.grpc_route_selector
        if kind == TCP_ROUTES:
            return self.tcp_route, self.tcp_routes, self.tcp_route_selector
        return self.tls_route, self.tls_routes, self.tls_route_selector


def read_config(raw: msgspec.Raw) -> GatewayApiConfig:
    """Return the configuration.

    Raises:
        ConfigError: it is no object, or a field has a wrong type or a value that cannot be meant.
    """
    try:
        config, problems = decode_object(bytes(raw), GatewayApiConfig)
    except DecodeError as err:
        raise ConfigError(f"{FIELD}: {err}") from err
    for problem in problems:
        raise ConfigError(f"{FIELD}.{problem.path}: {problem.message}")
    for field, routes, selector in (
        ("httpRoute", config.http_routes, config.http_route_selector),
        ("grpcRoute", config.grpc_routes, config.grpc_route_selector),
        ("tcpRoute", config.tcp_routes, config.tcp_route_selector),
        ("tlsRoute", config.tls_routes, config.tls_route_selector),
    ):
        for index, entry in enumerate(routes):
            if not entry.name:
                raise ConfigError(f"{FIELD}.{field}s[{index}].name: a route needs a name")
        try:
            compile_selector(selector or LabelSelector())
        except InvalidSelector as err:
            raise ConfigError(f"{FIELD}.{field}Selector: {err}") from err
    return config
