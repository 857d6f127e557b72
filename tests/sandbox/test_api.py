"""The door never breaks: whatever comes in, an answer in the words of Kubernetes goes out."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prograde.kube.transport import Request, Response
from prograde.sandbox.cluster import Sandbox

KINDS = [
    ("v1", "Pod", "/api/v1/namespaces/default/pods"),
    ("v1", "Service", "/api/v1/namespaces/default/services"),
    ("v1", "Secret", "/api/v1/namespaces/default/secrets"),
    ("v1", "Event", "/api/v1/namespaces/default/events"),
    ("v1", "Namespace", "/api/v1/namespaces"),
    ("v1", "Node", "/api/v1/nodes"),
    ("events.k8s.io/v1", "Event", "/apis/events.k8s.io/v1/namespaces/default/events"),
    ("apps/v1", "Deployment", "/apis/apps/v1/namespaces/default/deployments"),
    ("apps/v1", "ReplicaSet", "/apis/apps/v1/namespaces/default/replicasets"),
    ("batch/v1", "Job", "/apis/batch/v1/namespaces/default/jobs"),
    ("autoscaling/v1", "HorizontalPodAutoscaler", "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"),
    ("policy/v1", "PodDisruptionBudget", "/apis/policy/v1/namespaces/default/poddisruptionbudgets"),
    ("networking.k8s.io/v1", "Ingress", "/apis/networking.k8s.io/v1/namespaces/default/ingresses"),
    ("coordination.k8s.io/v1", "Lease", "/apis/coordination.k8s.io/v1/namespaces/default/leases"),
    (
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ),
    ("argoproj.io/v1alpha1", "Rollout", "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts"),
    (
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    ),
]

NAMES = [
    "spec",
    "status",
    "metadata",
    "template",
    "containers",
    "ports",
    "selector",
    "replicas",
    "data",
    "name",
    "type",
]
scalars = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "80", "25%", "TCP"]) | st.floats(-1, 1)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)


def send(sandbox: Sandbox, request: Request) -> Response:
    answer = asyncio.run(sandbox.transport().request(request))
    assert isinstance(answer, Response)
    return answer


def check(answer: Response) -> None:
    assert answer.status < 500 or answer.status in (501, 504), answer.body
    if answer.status >= 400 and answer.body and answer.headers["content-type"] == "application/json":
        status = json.loads(answer.body)
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.status)
        assert status["message"]
        assert status["reason"]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.fixed_dictionaries({}, optional={"spec": values, "status": values, "data": values, "metadata": values}),
    st.sampled_from(["Strict", "Warn", "Ignore"]),
)
def test_no_object_breaks_the_door(kind: tuple[str, str, str], fields: dict[str, Any], validation: str) -> None:
    sandbox = Sandbox(controllers=False)
    api_version, name, path = kind
    metadata = fields.pop("metadata", {})
    if isinstance(metadata, dict):
        metadata = {"name": "x", **metadata}
    body = {"apiVersion": api_version, "kind": name, "metadata": metadata, **fields}
    query = (("fieldValidation", validation),)
    answer = send(sandbox, Request(method="POST", path=path, query=query, body=json.dumps(body).encode()))
    check(answer)
    if answer.status == 201 and not path.endswith("reviews"):
        stored = json.loads(answer.body)["metadata"]["name"]
        table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        check(send(sandbox, Request(method="GET", path=f"{path}/{stored}", headers=table)))
        check(send(sandbox, Request(method="DELETE", path=f"{path}/{stored}")))


PATCHED = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "x"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
            "application/apply-patch+yaml",
        ]
    ),
    st.sampled_from(["", "/status", "/scale"]),
    values,
)
def test_no_patch_breaks_the_door(content_type: str, part: str, patch: Any) -> None:
    sandbox = Sandbox(controllers=False)
    sandbox.create(PATCHED)
    before = sandbox.get("deploy", "x")
    if content_type.startswith("application/json-patch"):
        patch = [{"op": "add", "path": "/spec/template", "value": patch}]
    elif content_type.startswith("application/apply") and isinstance(patch, dict):
        patch = {"apiVersion": "apps/v1", "kind": "Deployment", **patch}
    request = Request(
        method="PATCH",
        path=f"/apis/apps/v1/namespaces/default/deployments/x{part}",
        query=(("fieldManager", "me"),),
        headers={"content-type": content_type},
        body=json.dumps(patch).encode(),
    )
    answer = send(sandbox, request)
    # What an apply does not know is, on a real server too, an error of the conversion: 500.
    if not (answer.status == 500 and b"failed to create typed patch object" in answer.body):
        check(answer)
    if answer.status >= 400:
        assert sandbox.get("deploy", "x") == before


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]),
    st.lists(
        st.sampled_from(
            [
                "api",
                "apis",
                "v1",
                "apps",
                "namespaces",
                "default",
                "pods",
                "x",
                "status",
                "log",
                "watch",
                "%2F",
                "",
                "openapi",
                "v3",
                "version",
            ]
        ),
        max_size=8,
    ),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "dryRun", "hash", "verbose"]
            ),
            st.sampled_from(["", "0", "-1", "x", "a=b", "a in (", "metadata.name=x", "All", "e30", "1000"]),
        ),
        max_size=3,
    ),
    st.sampled_from(
        ["", "*/*", "application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io", ";;;", "text/html;q=x"]
    ),
)
def test_no_path_query_or_header_breaks_the_door(
    method: str, parts: list[str], query: list[tuple[str, str]], accept: str
) -> None:
    sandbox = Sandbox(controllers=False)
    path = "/" + "/".join(parts)
    check(send(sandbox, Request(method=method, path=path, query=tuple(query), headers={"accept": accept})))
