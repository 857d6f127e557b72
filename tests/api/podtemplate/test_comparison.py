"""Was a ReplicaSet made from this template? A wrong no would redeploy a workload."""

import copy
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.podtemplate import default_pod_template, is_same_template, with_anti_affinity, with_metadata
from prograde.api.rollout import AntiAffinity, PreferredAntiAffinity, RequiredAntiAffinity

TEMPLATE = {
    "metadata": {"labels": {"app": "shop"}, "annotations": {"note": "x"}},
    "spec": {
        "serviceAccountName": "robot",
        "hostNetwork": True,
        "containers": [
            {
                "name": "web",
                "image": "web:1",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": {"limits": {"cpu": "2000m", "memory": "1024Mi"}},
                "readinessProbe": {"httpGet": {"port": "http"}},
                "securityContext": {"runAsUser": 0},
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "c"}}, {"name": "scratch"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    },
}


SPREAD_AS_STORED = {
    **TEMPLATE["spec"]["topologySpreadConstraints"][0],
    "nodeAffinityPolicy": "Honor",
    "nodeTaintsPolicy": "Ignore",
}


def raw(value) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def live(**spec) -> dict:
    """Return the template as an API server stores it in a ReplicaSet, with these fields of the spec on top."""
    value = copy.deepcopy(TEMPLATE)
    default_pod_template(value)
    value["metadata"]["labels"]["rollouts-pod-template-hash"] = "abc"
    value["metadata"]["creationTimestamp"] = None
    value["spec"]["serviceAccount"] = "robot"
    value["spec"].update(spec)
    return value


def container(**changes) -> list:
    return [{**live()["spec"]["containers"][0], **changes}]


def test_a_template_is_the_same_as_what_the_api_server_made_of_it():
    assert is_same_template(raw(TEMPLATE), raw(live()))
    assert is_same_template(raw(TEMPLATE), raw(TEMPLATE))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"nodeSelector": {}, "tolerations": []}, id="nil and empty are the same"),
        pytest.param({"containers": container(resources={"limits": {"cpu": "2", "memory": "1Gi"}})}, id="quantities"),
        pytest.param({"serviceAccount": "other"}, id="the deprecated twin does not count"),
        pytest.param({"enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority"}, id="server values"),
        pytest.param(
            {"containers": container(ports=[{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}])},
            id="host ports of old servers",
        ),
        pytest.param(
            {"containers": container(securityContext={"runAsUser": 0, "procMount": "Default"})}, id="procMount"
        ),
        pytest.param({"topologySpreadConstraints": [SPREAD_AS_STORED]}, id="spread policies"),
        pytest.param({"terminationGracePeriodSeconds": None, "dnsPolicy": ""}, id="defaults not filled in"),
    ],
)
def test_what_does_not_come_from_the_user_does_not_count(spec):
    assert is_same_template(raw(TEMPLATE), raw(live(**spec)))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"containers": container(image="web:2")}, id="image"),
        pytest.param({"containers": container(resources={"limits": {"cpu": "3", "memory": "1Gi"}})}, id="quantity"),
        pytest.param({"containers": container(securityContext={})}, id="security context"),
        pytest.param({"containers": container(ports=[{"containerPort": 80, "hostPort": 81}])}, id="host port"),
        pytest.param({"terminationGracePeriodSeconds": 5}, id="other than the default"),
        pytest.param({"terminationGracePeriodSeconds": 0}, id="zero is not unset"),
        pytest.param({"affinity": None}, id="affinity of the user"),
        pytest.param({"enableServiceLinks": False}, id="links off"),
        pytest.param({"fieldOfTheFuture": 1}, id="unknown field"),
        pytest.param({"volumes": [{"name": "config", "configMap": {"name": "d"}}, {"name": "scratch"}]}, id="volume"),
        pytest.param({"volumes": [{"name": "config", "newSource": {"x": 1}}, {"name": "scratch"}]}, id="new source"),
    ],
)
def test_what_comes_from_the_user_counts(spec):
    assert not is_same_template(raw(TEMPLATE), raw(live(**spec)))


def test_labels_and_annotations_count_but_for_the_hash():
    assert not is_same_template(raw(TEMPLATE), with_metadata(raw(live()), labels={"new": "x"}))
    assert not is_same_template(raw(TEMPLATE), with_metadata(raw(live()), annotations={"note": "y"}))
    assert is_same_template(with_metadata(raw(TEMPLATE), labels={"rollouts-pod-template-hash": "z"}), raw(live()))


def test_ephemeral_metadata_is_left_out_on_the_live_side_whatever_its_value():
    injected = with_metadata(raw(live()), labels={"role": "canary"}, annotations={"role-note": "edited"})
    recorded = '{"labels":{"role":"stable"},"annotations":{"role-note":"original"}}'
    assert is_same_template(raw(TEMPLATE), injected, recorded)
    assert not is_same_template(raw(TEMPLATE), injected)
    assert not is_same_template(with_metadata(raw(TEMPLATE), labels={"role": "canary"}), raw(live()), recorded)


@pytest.mark.parametrize("annotation", ["{", "null", "[]", '{"labels":7}', '{"labels":{"role":5}}'])
def test_a_malformed_record_of_ephemeral_metadata_is_no_accident(annotation):
    assert is_same_template(raw(TEMPLATE), raw(live()), annotation)


@pytest.mark.parametrize(
    "anti_affinity",
    [
        AntiAffinity(required_during_scheduling_ignored_during_execution=RequiredAntiAffinity()),
        AntiAffinity(preferred_during_scheduling_ignored_during_execution=PreferredAntiAffinity(weight=5)),
    ],
)
@pytest.mark.parametrize("with_own_affinity", [True, False])
def test_injected_anti_affinity_is_left_out(anti_affinity, with_own_affinity):
    template = copy.deepcopy(TEMPLATE)
    if not with_own_affinity:
        del template["spec"]["affinity"]
    injected = json.loads(bytes(with_anti_affinity(raw(template), anti_affinity, "old", "shop")))
    default_pod_template(injected)
    assert is_same_template(raw(template), raw(injected))
    assert is_same_template(raw(template), with_anti_affinity(raw(injected), anti_affinity, "new", "shop"))


@given(
    st.lists(st.sampled_from(["image", "command", "env", "volumeMounts", "livenessProbe", "lifecycle", "resources"])),
    st.integers(0, 3),
)
def test_a_template_is_always_the_same_as_its_defaulted_self(fields, number):
    samples = {
        "image": f"repo:{number}" if number else "repo",
        "command": ["sh", "<&>"],
        "env": [{"name": "X", "value": ""}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False}],
        "livenessProbe": {"grpc": {"port": 1}, "periodSeconds": number},
        "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
        "resources": {"requests": {"cpu": number / 8}},
    }
    template = {"spec": {"containers": [{"name": "c", **{field: samples[field] for field in fields}}]}}
    defaulted = copy.deepcopy(template)
    default_pod_template(defaulted)
    assert is_same_template(raw(template), raw(defaulted))
