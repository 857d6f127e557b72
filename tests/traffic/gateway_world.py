"""A Rollout that routes with the Gateway API, and the routes around it."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from tests.traffic.world import NAMESPACE, Cluster, header_route, managed, rollout_with

from prograde.api.meta import ObjectMeta
from prograde.api.rollout import (
    CanaryStep,
    RolloutStatus,
    SetHeaderRoute,
    TrafficRouting,
    WeightDestination,
)
from prograde.api.workloads import Service, ServicePort, ServiceSpec
from prograde.core.objects import ObjectKind, ObjectRef
from prograde.core.routing import Routed
from prograde.traffic.gateway_api import GatewayApiRouter
from prograde.traffic.gateway_api_config import (
    GRPC_ROUTES,
    HTTP_ROUTES,
    PLUGIN,
    TCP_ROUTES,
    TLS_ROUTES,
)

LABEL = "rollouts.argoproj.io/gatewayapi-canary"
SINGULAR = {HTTP_ROUTES: "httpRoute", GRPC_ROUTES: "grpcRoute", TCP_ROUTES: "tcpRoute", TLS_ROUTES: "tlsRoute"}
FIELD = "spec.strategy.canary.trafficRouting.plugins[argoproj-labs/gatewayAPI]"

Rule = dict[str, Any]


def ref(name: str, kind: ObjectKind = HTTP_ROUTES, namespace: str = NAMESPACE) -> ObjectRef:
    return ObjectRef(kind, namespace, name)


def backend(name: str, weight: int | None = None, port: int = 80, **members: Any) -> dict[str, Any]:
    return {"name": name, "port": port, **({} if weight is None else {"weight": weight}), **members}


def split(weight: int = 0, whole: int = 100, **members: Any) -> Rule:
    """Return a rule that leads to both versions."""
    return {**members, "backendRefs": [backend("stable", whole - weight), backend("canary", weight)]}


def route_of(*rules: Rule, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a route; without rules one split with everything on the stable version."""
    return {"metadata": {"labels": labels} if labels else {}, "spec": {"rules": list(rules) or [split()]}}


def path_match(value: str = "/", **members: Any) -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": value}, **members}


def exact_header(name: str, value: str) -> dict[str, Any]:
    return {"type": "Exact", "name": name, "value": value}


def managed_rule(name: str, *matches: dict[str, Any], port: int = 80, filters: Sequence[Any] = ()) -> Rule:
    """Return a header route as the router writes it."""
    target = {"group": "", "kind": "Service", "name": "canary", "port": port}
    return {"name": name, "matches": list(matches), "filters": list(filters), "backendRefs": [target]}


class Web:
    """A Rollout, its router, and the routes around it."""

    def __init__(
        self,
        routes: dict[ObjectRef, dict[str, Any]],
        config: Any = None,
        *,
        header_steps: Sequence[SetHeaderRoute] = (),
        managed_routes: Sequence[str] | None = None,
        unserved: Sequence[ObjectKind] = (),
        max_weight: int = 100,
        recorded: Sequence[WeightDestination] = (),
        status: RolloutStatus | None = None,
        **canary: Any,
    ) -> None:
        raw = msgspec.Raw(json.dumps({"httpRoute": "web"} if config is None else config).encode())
        names = [step.name for step in header_steps] if managed_routes is None else managed_routes
        routing = TrafficRouting(
            plugins={PLUGIN: raw},
            managed_routes=managed(*names) if names else None,
            max_traffic_weight=None if max_weight == 100 else max_weight,
        )
        steps = [CanaryStep(set_header_route=step) for step in header_steps]
        self.rollout = rollout_with(routing, steps=steps, recorded=recorded, **canary)
        if status is not None:
            self.rollout = msgspec.structs.replace(self.rollout, status=status)
        self.router = GatewayApiRouter(self.rollout, raw)
        self.cluster = Cluster(routes, unserved)
        self._max_weight = max_weight

    def ask(self, weight: int, **wish: Any) -> Routed:
        return self.cluster.ask(self.router, self.rollout, weight, max_weight=self._max_weight, **wish)

    def route(self, weight: int, **wish: Any) -> list[Any]:
        """Route, expecting success, and return the writes."""
        routed = self.ask(weight, **wish)
        assert (routed.error, routed.waits, routed.events, routed.verified) == ("", (), (), True)
        assert all(len(group) == 1 for group in routed.groups)
        return self.cluster.carry_out(routed)

    def rules(self, name: str = "web", kind: ObjectKind = HTTP_ROUTES) -> Any:
        return self.cluster.objects[ref(name, kind)]["spec"]["rules"]

    def labels(self, name: str = "web", kind: ObjectKind = HTTP_ROUTES) -> Any:
        return self.cluster.objects[ref(name, kind)]["metadata"].get("labels", {})

    def weights(self, name: str = "web", kind: ObjectKind = HTTP_ROUTES, rule: int = 0) -> dict[str, Any]:
        return {each["name"]: each.get("weight") for each in self.rules(name, kind)[rule]["backendRefs"]}


HDR = header_route("hdr", X_Canary="true")
WANTED_HEADER = exact_header("X-Canary", "true")


def extra(name: str = "exp", weight: int = 5) -> WeightDestination:
    return WeightDestination(weight=weight, service_name=name, pod_template_hash="abc")


def service(*ports: tuple[str, int]) -> Service:
    return Service(
        metadata=ObjectMeta(name="exp", namespace=NAMESPACE),
        spec=ServiceSpec(ports=tuple(ServicePort(name=name, port=port) for name, port in ports)),
    )
