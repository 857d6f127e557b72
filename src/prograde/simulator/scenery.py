"""What a Rollout needs around itself and nobody has written down: Services, routing objects, analysis templates.

A manifest is often simulated alone, apart from what it will meet in its cluster. Whatever it names and nobody brings
is made up here in its plainest form, and said so.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from prograde.api.analysis import AnalysisTemplateRef
from prograde.api.crd import custom_resource_definitions
from prograde.api.names import ANALYSIS_TEMPLATE, API_VERSION, CLUSTER_ANALYSIS_TEMPLATE
from prograde.api.rollout import (
    CanaryStrategy,
    IstioTrafficRouting,
    NginxTrafficRouting,
    Rollout,
)
from prograde.sandbox.routingkinds import routing_definitions
from prograde.simulator.traffic import GATEWAY_PLUGIN, ROUTE_KINDS

__all__ = ["Json", "MadeUp", "definitions", "make_up", "template_refs"]

Json = dict[str, Any]

HOST: Final = "app.example.com"


class MadeUp(NamedTuple):
    """An object that was missing, and the words to say so."""

    manifest: Json
    note: str


def definitions() -> list[Json]:
    """Return the custom resource definitions of a cluster that can run any Rollout that we can route."""
    return [*custom_resource_definitions(), *routing_definitions()]


def make_up(rollout: Rollout, existing: Collection[tuple[str, str]]) -> list[MadeUp]:
    """Return what the Rollout names and `existing`, as (kind, name), does not have."""
    known = set(existing)
    made = []
    for manifest in _needed(rollout):
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if (kind, name) not in known:
            known.add((kind, name))
            if kind != CLUSTER_ANALYSIS_TEMPLATE:
                manifest["metadata"]["namespace"] = rollout.metadata.namespace
            made.append(MadeUp(manifest, f"{kind} {name} is made up"))
    return made


def template_refs(rollout: Rollout) -> Iterator[AnalysisTemplateRef]:
    """Yield every reference to an analysis template."""
    canary, blue_green = rollout.spec.strategy.canary, rollout.spec.strategy.blue_green
    analyses: list[Any] = []
    if canary is not None:
        analyses += [canary.analysis, *(step.analysis for step in canary.steps)]
    if blue_green is not None:
        analyses += [blue_green.pre_promotion_analysis, blue_green.post_promotion_analysis]
    for analysis in analyses:
        if analysis is not None:
            yield from analysis.templates


def _needed(rollout: Rollout) -> Iterator[Json]:
    canary, blue_green = rollout.spec.strategy.canary, rollout.spec.strategy.blue_green
    services: list[str] = []
    if blue_green is not None:
        services = [blue_green.active_service, blue_green.preview_service]
    elif canary is not None:
        services = [canary.stable_service, canary.canary_service]
        if canary.ping_pong is not None:
            services += [canary.ping_pong.ping_service, canary.ping_pong.pong_service]
    for name in services:
        if name:
            yield _service(name, dict(rollout.spec.selector.match_labels) if rollout.spec.selector is not None else {})
    if canary is not None and canary.traffic_routing is not None:
        yield from _routing(canary)
    background = canary.analysis.templates if canary is not None and canary.analysis is not None else ()
    for ref in template_refs(rollout):
        if ref.template_name:
            yield _template(ref, is_endless=ref in background)


def _routing(canary: CanaryStrategy) -> Iterator[Json]:
    routing = canary.traffic_routing
    assert routing is not None, "asked for without routing"
    stable, other = canary.stable_service, canary.canary_service
    if canary.ping_pong is not None:
        stable, other = canary.ping_pong.ping_service, canary.ping_pong.pong_service
    if routing.nginx is not None:
        yield from _ingresses(routing.nginx, stable)
    if routing.istio is not None:
        yield from _istio(routing.istio, stable, other)
    if GATEWAY_PLUGIN in routing.plugins:
        yield from _routes(msgspec.json.decode(routing.plugins[GATEWAY_PLUGIN]), stable, other)


def _service(name: str, selector: dict[str, str]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": 80}]},
    }


def _ingresses(nginx: NginxTrafficRouting, stable: str) -> Iterator[Json]:
    one, many = nginx.stable_ingress, nginx.stable_ingresses
    for name in dict.fromkeys(many if many is not None else (one,)):
        backend = {"service": {"name": stable, "port": {"number": 80}}}
        path = {"path": "/", "pathType": "Prefix", "backend": backend}
        yield {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": name},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": HOST, "http": {"paths": [path]}}]},
        }


def _istio(istio: IstioTrafficRouting, stable: str, canary: str) -> Iterator[Json]:
    rule = istio.destination_rule
    if rule is not None:
        subsets = [{"name": name, "labels": {}} for name in (rule.stable_subset_name, rule.canary_subset_name) if name]
        yield {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "DestinationRule",
            "metadata": {"name": rule.name},
            "spec": {"host": HOST, "subsets": subsets},
        }
    legs: list[Json] = [{"destination": {"host": stable}}, {"destination": {"host": canary}}]
    if rule is not None:
        legs = [
            {"destination": {"host": HOST, "subset": s}} for s in (rule.stable_subset_name, rule.canary_subset_name)
        ]
    legs = [{**leg, "weight": weight} for leg, weight in zip(legs, (100, 0), strict=True)]
    several = istio.virtual_services
    for service in several if several is not None else (istio.virtual_service,):
        if service is not None:
            routes = [{"name": name, "route": legs} for name in service.routes] or [{"route": legs}]
            yield {
                "apiVersion": "networking.istio.io/v1alpha3",
                "kind": "VirtualService",
                "metadata": {"name": service.name},
                "spec": {"hosts": [HOST], "http": routes},
            }


def _routes(config: Json, stable: str, canary: str) -> Iterator[Json]:
    for field, (group, plural) in ROUTE_KINDS.items():
        names = [config[field]] if config.get(field) else []
        names += [each["name"] for each in config.get(f"{field}s") or ()]
        definition = next(each for each in routing_definitions() if each["metadata"]["name"] == f"{plural}.{group}")
        version, kind = definition["spec"]["versions"][0]["name"], definition["spec"]["names"]["kind"]
        for name in names:
            refs = [{"name": stable, "port": 80, "weight": 100}, {"name": canary, "port": 80, "weight": 0}]
            yield {
                "apiVersion": f"{group}/{version}",
                "kind": kind,
                "metadata": {"name": name},
                "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": refs}]},
            }


def _template(ref: AnalysisTemplateRef, *, is_endless: bool) -> Json:
    """Return a template with one metric: for a background analysis one that is measured for ever, else just once."""
    provider = {"web": {"url": f"http://{HOST}/", "jsonPath": "{$.ok}"}}
    often: Json = {"interval": "1m"} if is_endless else {"count": 1}
    metric = {"name": "made-up", "successCondition": "result == true", "provider": provider, **often}
    return {
        "apiVersion": API_VERSION,
        "kind": CLUSTER_ANALYSIS_TEMPLATE if ref.cluster_scope else ANALYSIS_TEMPLATE,
        "metadata": {"name": ref.template_name},
        "spec": {"metrics": [metric]},
    }
