"""Endpoints and EndpointSlices follow the pods behind a Service."""

from typing import Any

import pytest
from tests.sandbox.controllers.workbench import PODS, Workbench, pod_object

from prograde.sandbox.kinds import Object

SERVICES = ("", "services")
ENDPOINTS = ("", "endpoints")
SLICES = ("discovery.k8s.io", "endpointslices")
WEB = {"app": "web"}


@pytest.fixture
def bench() -> Workbench:
    return Workbench()


def service(selector: dict[str, str] | None, **spec: Any) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "metadata": {"name": "web", "labels": {"team": "a"}},
        "spec": {"selector": selector, "ports": ports, **spec},
    }


def web_pod(name: str, port: int = 8080, **spec: Any) -> Object:
    container = {"ports": [{"name": "http", "containerPort": port}]}
    return pod_object(name, labels=WEB, container=container, **spec)


def slices(bench: Workbench) -> list[Object]:
    return [each for each in bench.objects(SLICES) if each["metadata"]["labels"]["kubernetes.io/service-name"] == "web"]


def conditions(bench: Workbench) -> dict[str, tuple[bool, bool, bool]]:
    """Return (ready, serving, terminating) by pod name."""
    return {
        each["targetRef"]["name"]: tuple(each["conditions"][name] for name in ("ready", "serving", "terminating"))
        for item in slices(bench)
        for each in item["endpoints"]
    }


def test_a_service_gets_a_slice_and_endpoints_with_ready_pods(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, web_pod("a"))
    bench.settle(1)
    (item,) = slices(bench)
    meta = item["metadata"]
    assert meta["name"].startswith("web-")
    assert meta["labels"]["team"] == "a"
    assert meta["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert (meta["ownerReferences"][0]["kind"], meta["ownerReferences"][0]["name"]) == ("Service", "web")
    assert item["addressType"] == "IPv4"
    pod = bench.pod("a")
    assert item["endpoints"] == [
        {
            "addresses": [pod["status"]["podIP"]],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "name": "a", "namespace": "shop", "uid": pod["metadata"]["uid"]},
            "nodeName": "sandbox-0",
        }
    ]
    assert item["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    (subset,) = bench.get(ENDPOINTS, "web")["subsets"]
    assert [address["ip"] for address in subset["addresses"]] == [pod["status"]["podIP"]]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_readiness_moves_a_pod_between_ready_and_not_ready(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, web_pod("a", annotations={"sandbox.prograde.io/ready-after": "5s"}))
    bench.settle(1)
    assert conditions(bench) == {"a": (False, False, False)}
    assert "notReadyAddresses" in bench.get(ENDPOINTS, "web")["subsets"][0]
    bench.settle(5)
    assert conditions(bench) == {"a": (True, True, False)}
    assert "notReadyAddresses" not in bench.get(ENDPOINTS, "web")["subsets"][0]


def test_a_terminating_pod_is_marked_and_leaves_when_gone(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, web_pod("a", annotations={"sandbox.prograde.io/termination": "5s"}))
    bench.settle(1)
    bench.client.delete(PODS, "shop", "a")
    bench.settle(1)
    assert conditions(bench) == {"a": (False, False, True)}
    assert not bench.get(ENDPOINTS, "web").get("subsets")
    bench.settle(5)
    assert conditions(bench) == {}


def test_named_ports_are_resolved_per_pod(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, web_pod("a", 8080))
    bench.create(PODS, web_pod("b", 9090))
    bench.create(PODS, pod_object("c", labels=WEB))
    bench.settle(1)
    found = {
        each["targetRef"]["name"]: [port["port"] for port in item.get("ports") or ()]
        for item in slices(bench)
        for each in item["endpoints"]
    }
    assert found == {"a": [8080], "b": [9090], "c": []}


def test_a_changed_selector_moves_the_service(bench: Workbench) -> None:
    bench.create(SERVICES, service({"app": "blue"}))
    for name, app in (("b", "blue"), ("g", "green")):
        bench.create(PODS, pod_object(name, labels={"app": app}))
    bench.settle(1)
    assert list(conditions(bench)) == ["b"]
    bench.patch(SERVICES, "web", {"spec": {"selector": {"app": "green"}}})
    bench.settle(0.05)
    assert list(conditions(bench)) == ["g"]


def test_a_relabelled_pod_leaves(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, web_pod("a"))
    bench.settle(1)
    bench.patch(PODS, "a", {"metadata": {"labels": {"app": "debug"}}})
    bench.settle()
    assert conditions(bench) == {}


def test_not_ready_addresses_can_be_published(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB, publishNotReadyAddresses=True))
    bench.create(PODS, web_pod("a", annotations={"sandbox.prograde.io/never-ready": "true"}))
    bench.settle(1)
    assert conditions(bench)["a"][0] is True
    assert "addresses" in bench.get(ENDPOINTS, "web")["subsets"][0]


def test_finished_pods_and_pods_without_an_address_are_left_out(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, pod_object("done", labels=WEB, container={"command": ["true"]}, restartPolicy="Never"))
    bench.create(PODS, pod_object("stuck", labels=WEB, container={"image": "bad-image:1"}))
    bench.settle(5)
    assert conditions(bench) == {}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(service(None), id="no selector"),
        pytest.param(service(WEB, type="ExternalName", externalName="example.com"), id="external name"),
    ],
)
def test_some_services_are_left_alone(bench: Workbench, spec: Object) -> None:
    bench.create(SERVICES, spec)
    bench.settle(1)
    assert slices(bench) == []
    assert bench.find(ENDPOINTS, "web") is None


def test_a_slice_has_at_most_a_hundred_endpoints() -> None:
    bench = Workbench("instant")
    bench.create(SERVICES, service(WEB))
    for index in range(130):
        bench.create(PODS, web_pod(f"p{index:03}"))
    bench.settle(1)
    assert sorted(len(item["endpoints"]) for item in slices(bench)) == [30, 100]
    assert len(conditions(bench)) == 130


def test_what_somebody_deletes_is_written_again(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, web_pod("a"))
    bench.settle(1)
    bench.client.delete(SLICES, "shop", slices(bench)[0]["metadata"]["name"])
    bench.client.delete(ENDPOINTS, "shop", "web")
    bench.settle()
    assert list(conditions(bench)) == ["a"]
    assert bench.find(ENDPOINTS, "web") is not None


def test_a_deleted_service_takes_both_along(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, web_pod("a"))
    bench.settle(1)
    bench.client.delete(SERVICES, "shop", "web")
    bench.settle()
    assert slices(bench) == []
    assert bench.find(ENDPOINTS, "web") is None


def test_a_second_look_changes_nothing(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB))
    bench.create(PODS, web_pod("a"))
    bench.settle(1)
    before = bench.sandbox.revision
    bench.patch(PODS, "a", {"metadata": {"annotations": {"note": "x"}}})
    bench.settle()
    assert bench.sandbox.revision == before + 1


def test_a_load_balancer_gets_its_cluster_address_at_once(bench: Workbench) -> None:
    bench.create(SERVICES, service(WEB, type="LoadBalancer"))
    bench.settle()
    found = bench.get(SERVICES, "web")
    address = found["spec"]["clusterIP"]
    assert found["status"]["loadBalancer"]["ingress"] == [{"ip": address, "ipMode": "VIP"}]
    bench.patch(SERVICES, "web", {"spec": {"type": "ClusterIP"}})
    bench.settle()
    assert not bench.get(SERVICES, "web")["status"]["loadBalancer"]
