from typing import Any

import pytest

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = spec.pop("ports", [{"port": 80}])
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports, **spec}}


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(controllers=False)


def test_services_get_addresses_in_turn_and_the_first_is_the_apis(sandbox: Sandbox) -> None:
    assert sandbox.get("svc", "kubernetes")["spec"]["clusterIP"] == "10.96.0.1"
    addresses = [sandbox.create(service(name))["spec"]["clusterIP"] for name in "abc"]
    assert len(set(addresses)) == 3
    assert "10.96.0.1" not in addresses
    assert all(address.startswith("10.96.") for address in addresses)


def test_an_address_can_be_wished_for_once_and_is_free_again_after(sandbox: Sandbox) -> None:
    assert sandbox.create(service("a", clusterIP="10.96.7.7"))["spec"]["clusterIPs"] == ["10.96.7.7"]
    with pytest.raises(StatusError, match="provided IP is already allocated"):
        sandbox.create(service("b", clusterIP="10.96.7.7"))
    sandbox.delete("svc", "a")
    assert sandbox.create(service("b", clusterIP="10.96.7.7"))["spec"]["clusterIP"] == "10.96.7.7"


@pytest.mark.parametrize("address", ["192.168.0.1", "nonsense"])
def test_an_address_outside_the_network_is_refused(sandbox: Sandbox, address: str) -> None:
    with pytest.raises(StatusError, match="spec.clusterIPs"):
        sandbox.create(service("a", clusterIP=address))


def test_node_ports_are_distinct_even_within_one_service(sandbox: Sandbox) -> None:
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    stored = sandbox.create(service("a", type="NodePort", ports=ports))["spec"]["ports"]
    numbers = {port["nodePort"] for port in stored}
    assert len(numbers) == 2
    assert all(30_000 <= number <= 32_767 for number in numbers)
    taken = [{"port": 1, "nodePort": min(numbers)}]
    with pytest.raises(StatusError, match="provided port is already allocated"):
        sandbox.create(service("b", type="NodePort", ports=taken))
    with pytest.raises(StatusError, match="the range of valid ports is 30000-32767"):
        sandbox.create(service("c", type="NodePort", ports=[{"port": 1, "nodePort": 80}]))


def test_a_failed_write_takes_nothing(sandbox: Sandbox) -> None:
    with pytest.raises(StatusError):
        sandbox.create(service("a", clusterIP="10.96.9.9", ports=[{"port": 99_999}]))
    assert sandbox.create(service("a", clusterIP="10.96.9.9"))["spec"]["clusterIP"] == "10.96.9.9"


def test_a_headless_service_takes_no_address(sandbox: Sandbox) -> None:
    assert sandbox.create(service("a", clusterIP="None"))["spec"]["clusterIP"] == "None"
    assert sandbox.create(service("b", clusterIP="None"))["spec"]["clusterIPs"] == ["None"]


def test_a_cloned_cluster_knows_what_is_taken(sandbox: Sandbox) -> None:
    taken = sandbox.create(service("a"))["spec"]["clusterIP"]
    twin = sandbox.clone()
    with pytest.raises(StatusError, match="already allocated"):
        twin.create(service("b", clusterIP=taken))
