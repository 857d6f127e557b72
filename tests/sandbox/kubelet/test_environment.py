"""Environment variables and argument vectors, from the pod and from what it refers to."""

from typing import Any

import pytest

from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.addresses import PodAddresses, node_address
from prograde.sandbox.kubelet.environment import ConfigError, argv_of, environment_of, expand

OBJECTS: dict[tuple[str, str], Object] = {
    ("configmaps", "conf"): {"data": {"a": "1", "b": "2"}},
    ("secrets", "keys"): {"data": {"token": "czNjcmV0"}},
    ("configmaps", "empty"): {},
}

POD: Object = {
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "web"},
        "annotations": {"example.com/note": "hi"},
    },
    "spec": {"nodeName": "sandbox-0", "serviceAccountName": "default"},
}


def environment(**container: Any) -> dict[str, str]:
    return environment_of(POD, container, "10.244.0.9", "172.18.0.2", lambda kind, name: OBJECTS.get((kind, name)))


def field(path: str) -> Object:
    return {"env": [{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['example.com/note']", "hi"),
        ("metadata.labels['none']", ""),
        ("spec.nodeName", "sandbox-0"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "10.244.0.9"),
        ("status.hostIP", "172.18.0.2"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    assert environment(**field(path))["V"] == value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ({"configMapKeyRef": {"name": "conf", "key": "a"}}, "1"),
        ({"secretKeyRef": {"name": "keys", "key": "token"}}, "s3cret"),
        ({"configMapKeyRef": {"name": "conf", "key": "none", "optional": True}}, None),
        ({"configMapKeyRef": {"name": "none", "key": "a", "optional": True}}, None),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, ""),
    ],
)
def test_values_from_elsewhere(source: Object, value: str | None) -> None:
    assert environment(env=[{"name": "V", "valueFrom": source}]).get("V") == value


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            {"env": [{"name": "V", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "a"}}}]},
            'configmap "x" not found',
        ),
        ({"env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": "x", "key": "a"}}}]}, 'secret "x" not found'),
        (
            {"env": [{"name": "V", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "z"}}}]},
            "couldn't find key z in ConfigMap shop/conf",
        ),
        ({"envFrom": [{"configMapRef": {"name": "x"}}]}, 'configmap "x" not found'),
        ({"envFrom": [{"secretRef": {"name": "x"}}]}, 'secret "x" not found'),
    ],
)
def test_what_is_missing_is_named(container: Object, message: str) -> None:
    with pytest.raises(ConfigError) as missing:
        environment(**container)
    assert str(missing.value) == message


def test_whole_maps_come_with_a_prefix_and_single_variables_win() -> None:
    sources = [{"prefix": "C_", "configMapRef": {"name": "conf"}}, {"secretRef": {"name": "keys"}}]
    sources.append({"configMapRef": {"name": "none", "optional": True}})
    found = environment(envFrom=sources, env=[{"name": "C_a", "value": "own"}, {"name": "EMPTY"}])
    assert found == {"HOSTNAME": "web-1", "C_a": "own", "C_b": "2", "token": "s3cret", "EMPTY": ""}


def test_later_variables_may_use_earlier_ones() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(C)-$$(A)"}, {"name": "C", "value": "3"}]
    assert environment(env=env)["B"] == "1-$(C)-$(A)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)", "1"), ("$A", "$A"), ("$(NONE)", "$(NONE)"), ("$$(A)", "$(A)"), ("$", "$"), ("$(", "$("), ("a$$b", "a$b")],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({}, ()),
        ({"command": ["run"], "args": ["$(A)"]}, ("run", "1")),
        ({"args": ["sleep", "5"]}, ("sleep", "5")),
    ],
)
def test_command_and_arguments_are_one_vector(container: Object, argv: tuple[str, ...]) -> None:
    assert argv_of(container, {"A": "1"}) == argv


def test_addresses_are_given_out_in_order_and_not_used_again_soon() -> None:
    addresses = PodAddresses()
    first, second = addresses.take(), addresses.take()
    assert (first, second) == ("10.244.0.2", "10.244.0.3")
    addresses.give_back(first)
    assert addresses.take() == "10.244.0.4"
    assert addresses.take("10.244.0.2") == "10.244.0.2"
    assert addresses.take("10.244.0.2") == "10.244.0.5"
    assert node_address(1) == "172.18.0.3"


def test_no_pod_gets_a_network_or_broadcast_address() -> None:
    addresses = PodAddresses()
    taken = {addresses.take() for _ in range(600)}
    assert len(taken) == 600
    assert not any(address.endswith((".0", ".255")) for address in taken)
