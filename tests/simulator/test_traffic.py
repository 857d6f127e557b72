"""Where requests go, read from the objects alone."""

from typing import Any

import msgspec
import pytest

from prograde.api.names import POD_TEMPLATE_HASH_LABEL
from prograde.api.rollout import Rollout
from prograde.sandbox.client import Resource
from prograde.simulator.traffic import Destination, destinations, shares

Json = dict[str, Any]


def rollout(strategy: Json) -> Rollout:
    manifest = {"metadata": {"name": "shop", "namespace": "default"}, "spec": {"strategy": strategy}}
    return msgspec.json.decode(msgspec.json.encode(manifest), type=Rollout)


def service(name: str, hash_: str) -> Json:
    selector = {"app": "shop", **({POD_TEMPLATE_HASH_LABEL: hash_} if hash_ else {})}
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": selector}}


def cluster(*objects: tuple[Resource, Json]) -> Any:
    found = {(resource, obj["metadata"]["name"]): obj for resource, obj in objects}
    return lambda resource, namespace, name: found.get((resource, name))


SERVICES: Resource = ("", "services")
PAIR = ((SERVICES, service("stable", "aaa")), (SERVICES, service("canary", "bbb")))
INGRESSES: Resource = ("networking.k8s.io", "ingresses")


def canary(**members: Any) -> Json:
    return {"canary": {"stableService": "stable", "canaryService": "canary", **members}}


def ingress(name: str, backend: str, annotations: dict[str, str] | None = None) -> tuple[Resource, Json]:
    path = {"path": "/", "backend": {"service": {"name": backend}}}
    metadata = {"name": name, "annotations": annotations or {}}
    return INGRESSES, {"metadata": metadata, "spec": {"rules": [{"http": {"paths": [path]}}]}}


def legs(where: tuple[Destination, ...]) -> dict[str, float]:
    return {each.hash_: each.weight for each in where}


def test_without_switch_and_router_every_pod_gets_its_share() -> None:
    where = destinations(rollout(canary()), cluster(*PAIR))
    assert shares(where, {"aaa": 3, "bbb": 1}).by_hash == {"aaa": 0.75, "bbb": 0.25}


def test_the_active_service_has_all_the_traffic_of_a_blue_green_rollout() -> None:
    blue_green = rollout({"blueGreen": {"activeService": "stable"}})
    assert legs(destinations(blue_green, cluster(*PAIR))) == {"aaa": 100}
    assert shares(destinations(blue_green, cluster()), {"aaa": 3}).lost == 1, "there is no such Service"


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param(None, {"aaa": 100}, id="no canary Ingress"),
        pytest.param({"canary-weight": "0"}, {"aaa": 100}, id="no weight"),
        pytest.param({"canary-weight": "20"}, {"aaa": 80, "bbb": 20}, id="a fifth"),
        pytest.param({"canary-weight": "1", "canary-weight-total": "4"}, {"aaa": 75, "bbb": 25}, id="of another total"),
        pytest.param({"canary-weight": "100"}, {"bbb": 100}, id="all"),
    ],
)
def test_the_canary_ingress_of_nginx_takes_its_weight(annotations: Json | None, expected: dict[str, float]) -> None:
    objects = [ingress("web", "stable")]
    if annotations is not None:
        prefixed = {f"nginx.ingress.kubernetes.io/{key}": value for key, value in annotations.items()}
        objects.append(ingress("shop-web-canary", "canary", prefixed))
    nginx = rollout(canary(trafficRouting={"nginx": {"stableIngress": "web"}}))
    assert legs(destinations(nginx, cluster(*PAIR, *objects))) == expected


def test_http_routes_are_read_rule_by_rule_and_header_routes_are_no_weights() -> None:
    weighted = {"backendRefs": [{"name": "stable", "weight": 90}, {"name": "canary", "weight": 10}]}
    by_header = {"backendRefs": [{"name": "canary"}]}
    route = {"metadata": {"name": "web"}, "spec": {"rules": [by_header, weighted]}}
    config = {"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "web"}}}
    read = cluster(*PAIR, (("gateway.networking.k8s.io", "httproutes"), route))
    where = destinations(rollout(canary(trafficRouting=config)), read)
    assert legs(where) == {"aaa": 90, "bbb": 10}


VIRTUAL_SERVICES: Resource = ("networking.istio.io", "virtualservices")


def test_a_virtual_service_sends_to_hosts_on_the_routes_that_are_named() -> None:
    split = [{"destination": {"host": "stable"}, "weight": 70}, {"destination": {"host": "canary"}, "weight": 30}]
    spec = {"http": [{"name": "primary", "route": split}, {"name": "other", "route": [{"destination": {"host": "x"}}]}]}
    routing = {"istio": {"virtualService": {"name": "web", "routes": ["primary"]}}}
    read = cluster(*PAIR, (VIRTUAL_SERVICES, {"metadata": {"name": "web"}, "spec": spec}))
    assert legs(destinations(rollout(canary(trafficRouting=routing)), read)) == {"aaa": 70, "bbb": 30}


def test_a_virtual_service_sends_to_subsets_and_a_destination_rule_says_which_pods_they_are() -> None:
    split = [
        {"destination": {"host": "shop", "subset": "old"}, "weight": 60},
        {"destination": {"host": "shop", "subset": "new"}, "weight": 40},
    ]
    subsets = [
        {"name": "old", "labels": {POD_TEMPLATE_HASH_LABEL: "aaa"}},
        {"name": "new", "labels": {POD_TEMPLATE_HASH_LABEL: "bbb"}},
    ]
    rule = {"name": "rule", "stableSubsetName": "old", "canarySubsetName": "new"}
    routing = {"istio": {"virtualService": {"name": "web"}, "destinationRule": rule}}
    read = cluster(
        (VIRTUAL_SERVICES, {"metadata": {"name": "web"}, "spec": {"http": [{"route": split}]}}),
        (("networking.istio.io", "destinationrules"), {"metadata": {"name": "rule"}, "spec": {"subsets": subsets}}),
    )
    assert legs(destinations(rollout(canary(trafficRouting=routing)), read)) == {"aaa": 60, "bbb": 40}


@pytest.mark.parametrize(
    ("where", "pods", "by_hash", "lost"),
    [
        pytest.param([("aaa", 80), ("bbb", 20)], {"aaa": 4, "bbb": 1}, {"aaa": 0.8, "bbb": 0.2}, 0, id="all served"),
        pytest.param([("aaa", 80), ("bbb", 20)], {"aaa": 4, "bbb": 0}, {"aaa": 0.8}, 0.2, id="nobody is there"),
        pytest.param([], {"aaa": 4}, {}, 0, id="nothing is routed"),
    ],
)
def test_weight_that_leads_to_no_pod_is_lost(
    where: list[tuple[str, float]], pods: dict[str, int], by_hash: dict[str, float], lost: float
) -> None:
    found = shares([Destination("route", weight, hash_) for hash_, weight in where], pods)
    assert found.by_hash == pytest.approx(by_hash)
    assert found.lost == pytest.approx(lost)
