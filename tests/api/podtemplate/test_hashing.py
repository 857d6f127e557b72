"""The hashes that name revisions, against the reference values."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.codec import decode
from prograde.api.podtemplate import canonical, go_json, pod_template_hash, step_hash
from prograde.api.rollout import CanaryStep, CanaryStrategy

EMPTY = b'{"metadata":{},"spec":{"containers":null}}'
CONTAINER = {
    "name": "container-name",
    "image": "foo/bar",
    "resources": {"limits": {"cpu": "2", "memory": "8192M"}, "requests": {"cpu": "150m", "memory": "8192M"}},
}


def template(**container) -> bytes:
    value = {"metadata": {"labels": {"foo": "bar"}}, "spec": {"containers": [{**CONTAINER, **container}]}}
    return json.dumps(value).encode()


# --- Pod template ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "collision_count", "expected"),
    [
        pytest.param(EMPTY, None, "658c46c486", id="empty"),
        pytest.param(EMPTY, 1, "6746d5bbc", id="one collision"),
        pytest.param(EMPTY, 0, "6f9d9db974", id="a present 0 is not the same as absence"),
        pytest.param(b"", None, "658c46c486", id="absent"),
        pytest.param(b"{}", None, "658c46c486", id="nothing in it"),
        pytest.param(b'{"spec":{"containers":[]}}', None, "658c46c486", id="an empty list is none"),
        pytest.param(b'{"metadata":{"creationTimestamp":null}}', None, "658c46c486", id="null is absence"),
        pytest.param(template(), None, "6f496f9f78", id="container"),
    ],
)
def test_a_pod_template_has_the_reference_hash(text, collision_count, expected):
    assert pod_template_hash(text, collision_count) == expected
    assert pod_template_hash(msgspec.Raw(text), collision_count) == expected


@pytest.mark.parametrize(
    "resources",
    [
        {"limits": {"cpu": "2000m", "memory": "8192M"}, "requests": {"cpu": "0.15", "memory": "8192M"}},
        {"limits": {"cpu": 2, "memory": "8192M"}, "requests": {"cpu": 0.15, "memory": "8192M"}},
        {"limits": {"cpu": "2", "memory": "8192000k"}, "requests": {"cpu": "150000u", "memory": "8192M"}},
        {"requests": {"memory": "8192M", "cpu": "150m"}, "limits": {"memory": "8192M", "cpu": "2.0"}},
    ],
)
def test_the_spelling_of_a_quantity_does_not_change_the_hash(resources):
    assert pod_template_hash(template(resources=resources)) == "6f496f9f78"


@pytest.mark.parametrize(
    "unset",
    [
        {"env": []},
        {"env": None},
        {"stdin": False},
        {"workingDir": ""},
        {"command": None, "args": []},
        {"livenessProbe": None},
    ],
)
def test_what_is_unset_or_empty_does_not_change_the_hash(unset):
    assert pod_template_hash(template(**unset)) == "6f496f9f78"


@pytest.mark.parametrize(
    "change",
    [
        {"image": "foo/baz"},
        {"securityContext": {}},
        {"securityContext": {"privileged": False}},
        {"restartPolicy": ""},
        {"livenessProbe": {}},
        {"fieldOfTheFuture": {"b": 1}},
        {"args": ["<"]},
    ],
)
def test_what_is_set_changes_the_hash(change):
    assert pod_template_hash(template(**change)) != "6f496f9f78"


def test_unknown_fields_count_whatever_their_order():
    one, other = template(zzz={"b": 1, "a": [{"d": 1, "c": 2}]}), template(zzz={"a": [{"c": 2, "d": 1}], "b": 1})
    assert pod_template_hash(one) == pod_template_hash(other)


def test_the_hash_does_not_depend_on_the_order_of_keys():
    reversed_text = (
        b'{"spec":{"containers":[{"resources":{"requests":{"memory":"8192M","cpu":"150m"},"limits":{"memory"'
    )
    reversed_text += (
        b':"8192M","cpu":"2"}},"image":"foo/bar","name":"container-name"}]},"metadata":{"labels":{"foo":"bar"}}}'
    )
    assert pod_template_hash(reversed_text) == "6f496f9f78"


def test_a_hash_is_short_and_has_only_safe_characters():
    hashes = {pod_template_hash(template(image=str(number))) for number in range(500)}
    assert len(hashes) == 500
    assert all(1 <= len(text) <= 10 and set(text) <= set("456789bcdf") for text in hashes)


# --- Canonical form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a<b>&"c"', b'"a\\u003cb\\u003e\\u0026\\"c\\""'),
        ("\u2028\u2029é", b'"\\u2028\\u2029\xc3\xa9"'),
        ("\n\r\t\b\f\x00\x1f\x7f\\/", b'"\\n\\r\\t\\b\\f\\u0000\\u001f\x7f\\\\/"'),
    ],
)
def test_texts_are_escaped_as_go_does(text, expected):
    assert go_json(text) == expected


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        ({}, "PodTemplateSpec", '{"metadata":{},"spec":{"containers":null}}'),
        ({"name": "a"}, "Container", '{"name":"a","resources":{}}'),
        ({}, "Volume", '{"name":""}'),
        ({"emptyDir": {}, "name": "a"}, "Volume", '{"name":"a","emptyDir":{}}'),
        ({"emptyDir": {"sizeLimit": "1024Mi"}, "name": "a"}, "Volume", '{"name":"a","emptyDir":{"sizeLimit":"1Gi"}}'),
        (
            {"configMap": {"optional": False, "name": "x"}},
            "Volume",
            '{"name":"","configMap":{"name":"x","optional":false}}',
        ),
        ({"name": "a", "scaleIO": {}}, "Volume", '{"name":"a","scaleIO":{"gateway":"","system":"","secretRef":null}}'),
        ({"resource": "limits.cpu"}, "ResourceFieldSelector", '{"resource":"limits.cpu","divisor":"0"}'),
        ({"path": "/", "port": "http"}, "HTTPGetAction", '{"path":"/","port":"http"}'),
        ({}, "HTTPGetAction", '{"port":0}'),
        ({"port": 5}, "GRPCAction", '{"port":5,"service":null}'),
        ({"port": 5, "service": ""}, "GRPCAction", '{"port":5,"service":""}'),
        ({"tolerationSeconds": 0}, "Toleration", '{"tolerationSeconds":0}'),
        ({"failureThreshold": 0, "exec": {"command": ["a"]}}, "Probe", '{"exec":{"command":["a"]}}'),
        ({"kind": "a", "name": "b"}, "TypedLocalObjectReference", '{"apiGroup":null,"kind":"a","name":"b"}'),
        ({"matchLabels": {"b": "1", "a": None}}, "LabelSelector", '{"matchLabels":{"a":"","b":"1"}}'),
        ({"limits": {"é": "1", "z": "0.5"}}, "ResourceRequirements", '{"limits":{"z":"500m","é":"1"}}'),
        ({"limits": {"cpu": "lots", "x": True}}, "ResourceRequirements", '{"limits":{"cpu":"lots","x":true}}'),
        ({"preference": {}}, "PreferredSchedulingTerm", '{"weight":0,"preference":{}}'),
        (
            {"volumeClaimTemplate": {}},
            "EphemeralVolumeSource",
            '{"volumeClaimTemplate":{"metadata":{},"spec":{"resources":{}}}}',
        ),
        ("no object", "PodTemplateSpec", '{"metadata":{},"spec":{"containers":null}}'),
    ],
)
def test_the_canonical_form_is_that_of_go(value, type_, expected):
    assert go_json(canonical(value, type_)).decode() == expected


names = st.sampled_from(["name", "image", "env", "resources", "ports", "stdin", "livenessProbe", "odd"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "1000m", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(names, values))
def test_the_canonical_form_is_stable_whatever_comes_in(container):
    once = canonical({"spec": {"containers": [container]}})
    assert go_json(canonical(json.loads(go_json(once)))) == go_json(once)


# --- Steps ----------------------------------------------------------------------------------------------------


def steps(text: str) -> tuple[CanaryStep, ...]:
    return decode(b'{"steps":%s}' % text.encode(), CanaryStrategy).steps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "5ffbfbbd64"),
        ("null", "5ffbfbbd64"),
        ('[{"pause":{}}]', "6b9b86fbd5"),
        ('[{"pause":{"duration":null},"setWeight":null}]', "6b9b86fbd5"),
        ('[{"pause":{}},{"pause":{}}]', "79c9b9f6bf"),
    ],
)
def test_steps_have_the_reference_hash(text, expected):
    assert step_hash(steps(text)) == expected


TEMPLATE_STEP = '{"name":"n","specRef":"stable","metadata":{},"service":{}}'
MIRROR_MATCH = '{"path":{"prefix":"/"},"headers":{"a":{"regex":"2"},"b":{"exact":"1"}}}'
MIRROR_MATCH_AS_WRITTEN = '{"headers":{"b":{"exact":"1"},"a":{"regex":"2"}},"path":{"prefix":"/"}}'


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ('{"setWeight":0}', '{"setWeight":0}'),
        ('{"pause":{"duration":0}}', '{"pause":{"duration":0}}'),
        ('{"pause":{"duration":"1h"}}', '{"pause":{"duration":"1h"}}'),
        ('{"setCanaryScale":{"replicas":0}}', '{"setCanaryScale":{"replicas":0}}'),
        (
            '{"analysis":{"templates":[{"clusterScope":false,"templateName":"t"}]}}',
            '{"analysis":{"templates":[{"templateName":"t","clusterScope":false}]}}',
        ),
        (
            '{"analysis":{"args":[{"valueFrom":{"fieldRef":{"fieldPath":"p"}},"name":"a"}],"analysisRunMetadata":{}}}',
            '{"analysis":{"args":[{"name":"a","valueFrom":{"fieldRef":{"fieldPath":"p"}}}],"analysisRunMetadata":{}}}',
        ),
        (
            '{"analysis":{"measurementRetention":[{"metricName":"m"}]}}',
            '{"analysis":{"measurementRetention":[{"metricName":"m","limit":0}]}}',
        ),
        ('{"experiment":{}}', '{"experiment":{"templates":null,"analysisRunMetadata":{}}}'),
        (
            '{"experiment":{"duration":"5m","templates":[{"specRef":"stable","name":"n","service":{}}]}}',
            f'{{"experiment":{{"templates":[{TEMPLATE_STEP}],"duration":"5m","analysisRunMetadata":{{}}}}}}',
        ),
        (
            '{"setHeaderRoute":{"match":[{"headerName":"h"}],"name":"r"}}',
            '{"setHeaderRoute":{"name":"r","match":[{"headerName":"h","headerValue":null}]}}',
        ),
        (
            f'{{"setMirrorRoute":{{"match":[{MIRROR_MATCH_AS_WRITTEN}],"percentage":0,"name":"m"}}}}',
            f'{{"setMirrorRoute":{{"name":"m","match":[{MIRROR_MATCH}],"percentage":0}}}}',
        ),
        (
            '{"plugin":{"config":{ "z" : 1.0, "a b": "x  \\" y" },"name":"p"}}',
            '{"plugin":{"name":"p","config":{"z":1.0,"a b":"x  \\" y"}}}',
        ),
        ('{"plugin":{"name":"p"}}', '{"plugin":{"name":"p"}}'),
    ],
)
def test_steps_are_hashed_in_the_order_and_with_the_omissions_of_go(step, expected):
    fnv = 2166136261
    for byte in f"[{expected}]".encode():
        fnv = (fnv ^ byte) * 16777619 % 2**32
    assert step_hash(steps(f"[{step}]")) == str(fnv).translate(str.maketrans("0123456789", "456789bcdf"))
