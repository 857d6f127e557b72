"""Protobuf bodies: recorded ones of a real kubectl, and written ones for every rule of the conversion."""

import base64
import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.sandbox import protobuf
from prograde.sandbox.protobuf import MAGIC, ProtobufError, decode


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def field(number: int, value: int | str | bytes | float | list[Any]) -> bytes:
    """Encode one field: a message is a list of encoded fields."""
    match value:
        case int():
            return varint(number << 3) + varint(value)
        case float():
            return varint(number << 3 | 1) + struct.pack("<d", value)
        case list():
            content = b"".join(value)
        case str():
            content = value.encode()
        case _:
            content = value
    return varint(number << 3 | 2) + varint(len(content)) + content


def body(api_version: str, kind: str, fields: Iterable[bytes]) -> bytes:
    return MAGIC + field(1, [field(1, api_version), field(2, kind)]) + field(2, b"".join(fields))


def decoded(api_version: str, kind: str, *fields: bytes) -> dict[str, Any]:
    obj = decode(body(api_version, kind, fields))
    assert (obj.pop("apiVersion"), obj.pop("kind")) == (api_version, kind)
    return obj


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        pytest.param(
            "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50Er4BCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEowBCAASDAoK"
            "CgNhcHASA3dlYhpyChwKABIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViElISNAoFbmdpbngSCm5naW54OjEuMjUqADILCgAQ"
            "ABiQPyIAKgBCAGoAcgCAAQCIAQCQAQCiAQAaADIAQgBKAFIAWABgAGgAggEAigEAmgEAwgEAIgIKACgAOAAaDAgAEAAYACAA"
            "KAA4ABoAIgA=",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "creationTimestamp": None, "labels": {"app": "web"}},
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": {"app": "web"}},
                    "template": {
                        "metadata": {"creationTimestamp": None, "labels": {"app": "web"}},
                        "spec": {
                            "containers": [{"name": "nginx", "image": "nginx:1.25", "ports": [{"containerPort": 8080}]}]
                        },
                    },
                },
            },
            id="Deployment",
        ),
        pytest.param(
            "azhzAAoMCgJ2MRIGU2VjcmV0Eh4KEgoCczESABoAIgAqADIAOABCABIGCgFhEgFiGgAaACIA",
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s1", "creationTimestamp": None},
                "data": {"a": "Yg=="},
            },
            id="Secret",
        ),
        pytest.param(
            "azhzAAoPCghiYXRjaC92MRIDSm9iEogBChIKAmoxEgAaACIAKgAyADgAQgASaDJmChAKABIAGgAiACoAMgA4AEIAElISLwoC"
            "ajESB2J1c3lib3gaAnNoGgItYxoEdHJ1ZSoAQgBqAHIAgAEAiAEAkAEAogEAGgVOZXZlcjIAQgBKAFIAWABgAGgAggEAigEA"
            "mgEAwgEAGgggACgAMAA6ABoAIgA=",
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "j1", "creationTimestamp": None},
                "spec": {
                    "template": {
                        "metadata": {"creationTimestamp": None},
                        "spec": {
                            "containers": [{"name": "j1", "image": "busybox", "command": ["sh", "-c", "true"]}],
                            "restartPolicy": "Never",
                        },
                    }
                },
            },
            id="Job",
        ),
        pytest.param(
            "azhzAAoNCgJ2MRIHU2VydmljZRJmCh0KAnMxEgAaACIAKgAyADgAQgBaCQoDYXBwEgJzMRJBChsKBzgwLTgwODASA1RDUBhQ"
            "IgcIABCQPxoAKAASCQoDYXBwEgJzMRoAIglDbHVzdGVySVA6AEIAUgBaAGAAaAAaAgoAGgAiAA==",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "s1", "creationTimestamp": None, "labels": {"app": "s1"}},
                "spec": {
                    "ports": [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                    "selector": {"app": "s1"},
                    "type": "ClusterIP",
                },
            },
            id="Service",
        ),
        pytest.param(
            "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSNwoSCgJwMRIAGgAiACoAMgA4AEIAEhUKCQgBEAAaAzUw"
            "JRIICgYKAWESAWIaCggAGAAgACgAMAAaACIA",
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "p1", "creationTimestamp": None},
                "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}},
                "status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
            },
            id="PodDisruptionBudget",
        ),
        pytest.param(
            "azhzAAofChRuZXR3b3JraW5nLms4cy5pby92MRIHSW5ncmVzcxJZChIKAmkxEgAaACIAKgAyADgAQgASPxINCgdmb28uY29t"
            "EgJteRouCgdmb28uY29tEiMKIQofCgQvYmFyEg8iDQoEc3ZjMRIFCgAQkD8aBlByZWZpeBoCCgAaACIA",
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": "i1", "creationTimestamp": None},
                "spec": {
                    "tls": [{"hosts": ["foo.com"], "secretName": "my"}],
                    "rules": [
                        {
                            "host": "foo.com",
                            "http": {
                                "paths": [
                                    {
                                        "path": "/bar",
                                        "backend": {"service": {"name": "svc1", "port": {"number": 8080}}},
                                        "pathType": "Prefix",
                                    }
                                ]
                            },
                        }
                    ],
                },
            },
            id="Ingress",
        ),
        pytest.param(
            "azhzAAoTCgJ2MRINUmVzb3VyY2VRdW90YRI1ChIKAnExEgAaACIAKgAyADgAQgASHQoKCgNjcHUSAwoBMQoPCgZtZW1vcnkS"
            "BQoDMUdpGgAaACIA",
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "q1", "creationTimestamp": None},
                "spec": {"hard": {"cpu": "1", "memory": "1Gi"}},
            },
            id="ResourceQuota",
        ),
        pytest.param(
            "azhzAAoyChdhdXRob3JpemF0aW9uLms4cy5pby92MRIXU2VsZlN1YmplY3RBY2Nlc3NSZXZpZXcSPAoQCgASABoAIgAqADIA"
            "OABCABIeChwKB2RlZmF1bHQSA2dldBoAIgAqBHBvZHMyADoAGggIABIAGgAgABoAIgA=",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "metadata": {"creationTimestamp": None},
                "spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}},
                "status": {"allowed": False},
            },
            id="SelfSubjectAccessReview",
        ),
        pytest.param(
            "azhzAAooChhhdXRoZW50aWNhdGlvbi5rOHMuaW8vdjESDFRva2VuUmVxdWVzdBIaChAKABIAGgAiACoAMgA4AEIAEgAaBAoAEgAaACIA",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "metadata": {"creationTimestamp": None},
                "status": {"token": ""},
            },
            id="TokenRequest",
        ),
        pytest.param(
            "azhzAAopCg5hdXRvc2NhbGluZy92MhIXSG9yaXpvbnRhbFBvZEF1dG9zY2FsZXISXwoTCgN3ZWISABoAIgAqADIAOABCABJC"
            "ChoKCkRlcGxveW1lbnQSA3dlYhoHYXBwcy92MRgFIiIKCFJlc291cmNlIhYKA2NwdRIPCgtVdGlsaXphdGlvbiBQGgQYACAA"
            "GgAiAA==",
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "web", "creationTimestamp": None},
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
                    "maxReplicas": 5,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                        }
                    ],
                },
                "status": {"desiredReplicas": 0},
            },
            id="HorizontalPodAutoscaler",
        ),
    ],
)
def test_a_body_of_kubectl_reads_as_the_json_that_older_ones_sent(recorded: str, expected: Any) -> None:
    assert decode(base64.b64decode(recorded)) == expected


@pytest.mark.parametrize(
    ("api_version", "kind", "fields", "expected"),
    [
        pytest.param("v1", "Pod", [], {}, id="absent stays absent"),
        pytest.param(
            "apps/v1",
            "ReplicaSet",
            [field(2, [field(1, 0), field(4, 0)])],
            {"spec": {"replicas": 0}},
            id="a zero counts only in a pointer",
        ),
        pytest.param(
            "v1",
            "Pod",
            [field(3, [field(8, [field(1, ""), field(4, 0), field(5, 0), field(6, ""), field(7, "")])])],
            {
                "status": {
                    "containerStatuses": [{"name": "", "ready": False, "restartCount": 0, "image": "", "imageID": ""}]
                }
            },
            id="fields that are always written",
        ),
        pytest.param(
            "v1",
            "Pod",
            [field(3, [field(8, [field(1, "c"), field(9, 0)])])],
            {"status": {"containerStatuses": [{"name": "c", "started": False}]}},
            id="a pointer to false",
        ),
        pytest.param(
            "v1",
            "Pod",
            [field(2, [field(1, [field(1, "v"), field(2, [field(2, [])])])])],
            {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
            id="an empty message behind a pointer, in an inlined message",
        ),
        pytest.param(
            "v1",
            "Pod",
            [field(2, [field(2, [field(1, "c"), field(8, [])])])],
            {"spec": {"containers": [{"name": "c"}]}},
            id="an empty plain message",
        ),
        pytest.param(
            "v1",
            "Pod",
            [
                field(
                    2,
                    [
                        field(
                            2,
                            [field(1, "c"), field(11, [field(1, [field(2, [field(2, [field(1, 0), field(2, 80)])])])])],
                        )
                    ],
                )
            ],
            {"spec": {"containers": [{"name": "c", "readinessProbe": {"httpGet": {"port": 80}}}]}},
            id="a handler inlined into a probe",
        ),
        pytest.param(
            "policy/v1",
            "PodDisruptionBudget",
            [field(2, [field(1, [field(1, 1), field(2, 0), field(3, "50%")]), field(3, [field(1, 0), field(2, 0)])])],
            {"spec": {"minAvailable": "50%", "maxUnavailable": 0}},
            id="integer or string",
        ),
        pytest.param(
            "v1",
            "Pod",
            [
                field(
                    2,
                    [field(2, [field(1, "c"), field(8, [field(2, [field(1, "cpu"), field(2, [field(1, "100m")])])])])],
                )
            ],
            {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}},
            id="quantities in a map",
        ),
        pytest.param(
            "v1",
            "ConfigMap",
            [field(2, [field(1, "empty")]), field(3, [field(1, "b"), field(2, b"\xff\x00")])],
            {"data": {"empty": ""}, "binaryData": {"b": "/wA="}},
            id="maps of text and bytes",
        ),
        pytest.param(
            "v1",
            "Pod",
            [field(1, [field(1, "p"), field(8, [field(1, 1764064800)]), field(9, [])])],
            {"metadata": {"name": "p", "creationTimestamp": "2025-11-25T10:00:00Z"}},
            id="times to the second, zero ones absent",
        ),
        pytest.param(
            "v1",
            "Pod",
            [field(1, [field(1, "p"), field(8, [])])],
            {"metadata": {"name": "p", "creationTimestamp": None}},
            id="the time of what is not created yet",
        ),
        pytest.param(
            "coordination.k8s.io/v1",
            "Lease",
            [
                field(
                    2,
                    [field(1, "me"), field(2, 15), field(4, [field(1, 1764064800), field(2, 123456789)]), field(5, 0)],
                )
            ],
            {
                "spec": {
                    "holderIdentity": "me",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2025-11-25T10:00:00.123456Z",
                    "leaseTransitions": 0,
                }
            },
            id="times to the microsecond",
        ),
        pytest.param(
            "apps/v1",
            "ControllerRevision",
            [field(2, [field(1, b'{"spec": {"a": [1]}}')]), field(3, 0)],
            {"data": {"spec": {"a": [1]}}, "revision": 0},
            id="embedded JSON",
        ),
        pytest.param(
            "v1",
            "Pod",
            [field(1, [field(17, [field(1, "m"), field(7, [field(1, b'{"f:spec":{}}')])])])],
            {"metadata": {"managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}]}},
            id="managed fields",
        ),
        pytest.param(
            "batch/v1",
            "Job",
            [field(2, [field(3, -1)])],
            {"spec": {"activeDeadlineSeconds": -1}},
            id="negative numbers",
        ),
        pytest.param(
            "authorization.k8s.io/v1",
            "SubjectAccessReview",
            [field(2, [field(3, "jane"), field(5, [field(1, "scopes"), field(2, [field(1, "a"), field(1, "b")])])])],
            {"spec": {"user": "jane", "extra": {"scopes": ["a", "b"]}}},
            id="maps of lists",
        ),
        pytest.param(
            "events.k8s.io/v1",
            "Event",
            [field(7, "Started"), field(10, "text"), field(15, 0)],
            {"reason": "Started", "note": "text"},
            id="events of their own group",
        ),
        pytest.param(
            "policy/v1",
            "Eviction",
            [field(1, [field(1, "p")]), field(2, [field(1, 0), field(4, "Background")])],
            {"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}},
            id="eviction",
        ),
        pytest.param(
            "apps/v1",
            "DeleteOptions",
            [field(2, [field(1, "uid")]), field(3, 0), field(5, "All")],
            {"preconditions": {"uid": "uid"}, "orphanDependents": False, "dryRun": ["All"]},
            id="delete options of any group",
        ),
        pytest.param(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            [field(3, [field(1, "g"), field(2, "Role"), field(3, "r")])],
            {"roleRef": {"apiGroup": "g", "kind": "Role", "name": "r"}},
            id="access control",
        ),
        pytest.param(
            "v1",
            "Namespace",
            [
                field(99, 5),
                field(98, "new"),
                field(97, 1.5),
                varint(96 << 3 | 5) + b"\0\0\0\0",
                field(2, [field(1, "k")]),
            ],
            {"spec": {"finalizers": ["k"]}},
            id="fields of a newer client are passed over",
        ),
    ],
)
def test_wire_values_become_the_json_that_go_would_write(
    api_version: str, kind: str, fields: list[bytes], expected: Any
) -> None:
    assert decoded(api_version, kind, *fields) == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b'{"kind": "Pod"}', "does not start with the Kubernetes protobuf prefix", id="JSON"),
        pytest.param(b"", "does not start with", id="nothing"),
        pytest.param(
            body("argoproj.io/v1alpha1", "Rollout", []), "no protobuf decoding for kind 'Rollout'", id="custom"
        ),
        pytest.param(body("v1", "Unheard", []), "no protobuf decoding for kind 'Unheard'", id="unknown kind"),
        pytest.param(body("v1", "Pod", [b"\x0a\xff"]), "cut off", id="cut off in a length"),
        pytest.param(body("v1", "Pod", [b"\x0a\x05abc"]), "field 1 is cut off", id="cut off in a value"),
        pytest.param(body("v1", "Pod", [b"\x80" * 11]), "cut off or too long", id="endless number"),
        pytest.param(body("v1", "Pod", [b"\x0b"]), "unknown wire type 3", id="group"),
        pytest.param(body("v1", "Pod", [field(1, 5)]), "a number stands where", id="number for a message"),
        pytest.param(
            body("apps/v1", "ReplicaSet", [field(2, [field(1, "x")])]), "stands where a number", id="text for a number"
        ),
        pytest.param(body("v1", "Pod", [field(1, [field(1, b"\xff")])]), "not UTF-8", id="broken text"),
        pytest.param(
            body("apps/v1", "ControllerRevision", [field(2, [field(1, b"{")])]),
            "is not JSON",
            id="broken embedded JSON",
        ),
        pytest.param(
            body("v1", "Pod", [field(1, [field(8, [field(1, 2**62)])])]),
            "a time is out of range",
            id="time out of range",
        ),
    ],
)
def test_a_damaged_or_foreign_body_is_refused_with_the_reason(content: bytes, problem: str) -> None:
    with pytest.raises(ProtobufError, match=problem):
        decode(content)


@given(st.binary(max_size=200))
def test_no_content_whatever_does_more_than_raise_the_one_error(content: bytes) -> None:
    try:
        obj = decode(body("v1", "Pod", [content]))
    except ProtobufError:
        return
    assert obj["kind"] == "Pod"


def test_every_type_that_the_table_mentions_is_in_the_table() -> None:
    names = protobuf._lines()
    assert len(names) == 337
    for message in names:
        for described in protobuf._fields(message).values():
            assert described.type in names or described.type in protobuf._CONVERSIONS
