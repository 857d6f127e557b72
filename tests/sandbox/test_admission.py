"""Whether there is room for another object in a namespace."""

from typing import Any

import pytest

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError


def quota(**hard: str) -> dict[str, Any]:
    named = {name.replace("__", "/").replace("_", "."): amount for name, amount in hard.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": named}}


def pod(name: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "web", "image": "web:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("resource", ["pods", "count__pods"])
def test_a_quota_refuses_the_object_that_is_too_many(resource: str) -> None:
    sandbox = Sandbox()
    sandbox.apply(quota(**{resource: "1"}))
    sandbox.create(pod("first"))
    with pytest.raises(StatusError) as refused:
        sandbox.create(pod("second"))
    shown = resource.replace("__", "/")
    assert refused.value.message == (
        f'pods "second" is forbidden: exceeded quota: small, requested: {shown}=1, used: {shown}=1, limited: {shown}=1'
    )
    assert refused.value.code == 403


def test_a_quota_counts_kinds_of_a_group_by_their_full_name() -> None:
    sandbox = Sandbox()
    sandbox.apply(quota(count__replicasets_apps="0"))
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod("web")["spec"]}
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    with pytest.raises(StatusError, match="requested: count/replicasets.apps=1"):
        sandbox.create(replica_set)


def test_a_quota_holds_in_its_namespace_and_not_for_pods_that_have_ended() -> None:
    sandbox = Sandbox()
    sandbox.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    sandbox.apply(quota(pods="1"))
    sandbox.create(pod("first"))
    sandbox.create(pod("second"), namespace="other")
    sandbox.patch("pods", "first", {"status": {"phase": "Succeeded"}}, subresource="status")
    sandbox.create(pod("third"))
