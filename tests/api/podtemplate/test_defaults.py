"""What an API server fills into pod templates and pods."""

import copy

import pytest

from prograde.api.podtemplate import default_pod, default_pod_template

POD_DEFAULTS = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
}
CONTAINER_DEFAULTS = {
    "imagePullPolicy": "Always",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def defaulted(spec: dict) -> dict:
    template = {"spec": copy.deepcopy(spec)}
    default_pod_template(template)
    again = copy.deepcopy(template)
    default_pod_template(again)
    assert again == template, "defaulting twice changes nothing"
    return template["spec"]


def container_of(container: dict, kind: str = "containers") -> dict:
    (result,) = defaulted({kind: [container]})[kind]
    return result


def volume_of(volume: dict) -> dict:
    (result,) = defaulted({"volumes": [{"name": "v", **volume}]})["volumes"]
    del result["name"]
    return result


@pytest.mark.parametrize(
    "template", [{}, {"spec": None}, {"spec": {}}, {"spec": {"dnsPolicy": "", "securityContext": None}}]
)
def test_an_empty_pod_gets_the_defaults_of_pods(template):
    default_pod_template(template)
    assert template == {"spec": POD_DEFAULTS}


def test_what_is_set_stays():
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "dnsPolicy": "None",
        "schedulerName": "mine",
        "securityContext": {"fsGroup": 1},
    }
    assert defaulted(spec) == spec


@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
def test_every_kind_of_container_gets_its_defaults(kind):
    assert container_of({"image": "a"}, kind) == {"image": "a", **CONTAINER_DEFAULTS}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("host:5000/web", "Always"),
        ("host:5000/web:1", "IfNotPresent"),
        ("web@sha256:abc", "IfNotPresent"),
        ("web:1@sha256:abc", "IfNotPresent"),
        ("web:latest@sha256:abc", "Always"),
        (None, "Always"),
    ],
)
def test_the_pull_policy_goes_by_the_tag(image, policy):
    assert container_of({"image": image})["imagePullPolicy"] == policy
    assert volume_of({"image": {"reference": image}})["image"]["pullPolicy"] == policy


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"ports": [{"containerPort": 1}, {"protocol": "UDP"}]},
         {"ports": [{"containerPort": 1, "protocol": "TCP"}, {"protocol": "UDP"}]}),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
         {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x", "apiVersion": "v1"}}}]}),
        ({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "x"}}}]},
         {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "x", "optional": False}}}]}),
        ({"resources": {"limits": {"cpu": "1u", "memory": "1Gi"}, "requests": {"cpu": 0.0001}}},
         {"resources": {"limits": {"cpu": "1m", "memory": "1Gi"}, "requests": {"cpu": "1m"}}}),
        ({"livenessProbe": {"periodSeconds": 0, "failureThreshold": 5}},
         {"livenessProbe": {**PROBE_DEFAULTS, "failureThreshold": 5}}),
        ({"readinessProbe": {"httpGet": {"port": 1}}},
         {"readinessProbe": {**PROBE_DEFAULTS, "httpGet": {"port": 1, "path": "/", "scheme": "HTTP"}}}),
        ({"startupProbe": {"grpc": {"port": 1}}},
         {"startupProbe": {**PROBE_DEFAULTS, "grpc": {"port": 1, "service": ""}}}),
        ({"lifecycle": {"preStop": {"httpGet": {"path": "/x"}}, "postStart": {"exec": {}}}},
         {"lifecycle": {"preStop": {"httpGet": {"path": "/x", "scheme": "HTTP"}}, "postStart": {"exec": {}}}}),
    ],
)  # fmt: skip
def test_the_parts_of_a_container_get_their_defaults(container, expected):
    assert container_of(container) == {**CONTAINER_DEFAULTS, **expected}


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({}, {"emptyDir": {}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"configMap": {"defaultMode": 0}}, {"configMap": {"defaultMode": 0}}),
        ({"downwardAPI": {"items": [{"fieldRef": {}}]}},
         {"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1"}}], "defaultMode": 420}}),
        ({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
         {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                        "defaultMode": 420}}),
        ({"projected": {"sources": [{"downwardAPI": {"items": [{"fieldRef": {}}]}}]}},
         {"projected": {"sources": [{"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1"}}]}}],
                        "defaultMode": 420}}),
        ({"ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1u"}}}}}},
         {"ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1m"}},
                                                         "volumeMode": "Filesystem"}}}}),
        ({"iscsi": {"iscsiInterface": ""}}, {"iscsi": {"iscsiInterface": "default"}}),
        ({"rbd": {"user": "me"}}, {"rbd": {"user": "me", "pool": "rbd", "keyring": "/etc/ceph/keyring"}}),
        ({"azureDisk": {"readOnly": True}},
         {"azureDisk": {"readOnly": True, "cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4"}}),
        ({"scaleIO": {}}, {"scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"}}),
        ({"persistentVolumeClaim": {"claimName": "c"}}, {"persistentVolumeClaim": {"claimName": "c"}}),
    ],
)  # fmt: skip
def test_volumes_get_their_defaults(volume, expected):
    assert volume_of(volume) == expected


def test_pods_get_more_than_templates():
    container = {"image": "a:1", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 80}]}
    spec = {"hostNetwork": True, "containers": [container]}
    template_spec = defaulted(spec)
    assert "enableServiceLinks" not in template_spec
    assert template_spec["containers"][0]["resources"] == {"limits": {"cpu": "1"}}
    default_pod(spec)
    assert spec["enableServiceLinks"] is True
    assert spec["containers"][0]["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [7], ["x"], [None]])
@pytest.mark.parametrize("name", ["containers", "volumes", "overhead", "resources", "securityContext"])
def test_odd_shapes_are_left_alone(name, odd):
    default_pod_template({"spec": {name: odd}})
    default_pod_template({"spec": {"containers": [{"env": odd, "ports": odd, "resources": odd, "lifecycle": odd}]}})
    default_pod({"containers": odd})
