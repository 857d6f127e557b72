"""The routing kinds that a cluster can be given: they default and limit what routing is about, and keep the rest."""

from typing import Any

import pytest

from prograde.api.crd import custom_resource_definitions
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError
from prograde.sandbox.routingkinds import routing_definitions


@pytest.fixture(scope="module")
def prepared() -> Sandbox:
    return Sandbox(crds=[*custom_resource_definitions(), *routing_definitions()], controllers=False)


@pytest.fixture
def cluster(prepared: Sandbox) -> Sandbox:
    return prepared.clone()


def route(kind: str, version: str, **rule: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"gateway.networking.k8s.io/{version}",
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [rule]},
    }


KINDS = [("HTTPRoute", "v1"), ("GRPCRoute", "v1"), ("TCPRoute", "v1alpha2"), ("TLSRoute", "v1alpha2")]


@pytest.mark.parametrize(("kind", "version"), KINDS)
def test_a_backend_gets_the_defaults_of_the_gateway_api(cluster: Sandbox, kind: str, version: str) -> None:
    cluster.apply(route(kind, version, backendRefs=[{"name": "stable", "port": 80}], other={"field": 1}))
    spec = cluster.get(kind, "web")["spec"]
    assert spec["parentRefs"] == [{"name": "gateway"}]
    (rule,) = spec["rules"]
    assert rule["backendRefs"] == [{"name": "stable", "port": 80, "group": "", "kind": "Service", "weight": 1}]
    assert rule["other"] == {"field": 1}


@pytest.mark.parametrize(("kind", "version"), KINDS)
@pytest.mark.parametrize("weight", [-1, 1_000_001, "10"])
def test_a_weight_has_limits(cluster: Sandbox, kind: str, version: str, weight: object) -> None:
    with pytest.raises(StatusError, match="weight"):
        cluster.apply(route(kind, version, backendRefs=[{"name": "stable", "port": 80, "weight": weight}]))


def test_a_match_gets_the_defaults_of_the_gateway_api(cluster: Sandbox) -> None:
    header = {"name": "X-Canary", "value": "true"}
    cluster.apply(route("HTTPRoute", "v1", matches=[{"headers": [header]}]))
    (match,) = cluster.get("httproutes", "web")["spec"]["rules"][0]["matches"]
    assert match == {"headers": [{**header, "type": "Exact"}], "path": {"type": "PathPrefix", "value": "/"}}


def test_a_header_is_asked_for_once(cluster: Sandbox) -> None:
    header = {"name": "X-Canary", "value": "true"}
    with pytest.raises(StatusError, match="Duplicate"):
        cluster.apply(route("GRPCRoute", "v1", matches=[{"headers": [header, header]}]))


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
@pytest.mark.parametrize(
    ("kind", "short", "spec"),
    [
        (
            "VirtualService",
            "vs",
            {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}], "timeout": "1s"}]},
        ),
        ("DestinationRule", "dr", {"host": "a", "subsets": [{"name": "s", "labels": {"a": "b"}}], "trafficPolicy": {}}),
    ],
)
def test_the_kinds_of_istio_are_served_in_all_their_versions(
    cluster: Sandbox, version: str, kind: str, short: str, spec: dict[str, Any]
) -> None:
    api_version = f"networking.istio.io/{version}"
    cluster.apply({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec})
    assert cluster.get(short, "a")["spec"] == spec


def test_the_kinds_can_be_installed_later() -> None:
    cluster = Sandbox(controllers=False)
    with pytest.raises(StatusError, match="HTTPRoute"):
        cluster.apply(route("HTTPRoute", "v1"))
    cluster.apply(list(routing_definitions()))
    cluster.apply(route("HTTPRoute", "v1"))
    assert [each["metadata"]["name"] for each in cluster.list("httproutes")] == ["web"]
