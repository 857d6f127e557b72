from typing import Any

import pytest

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind, ScalePaths
from prograde.sandbox.subresources import bind, evict, scale_of
from prograde.sandbox.verbs import WriteOptions

METADATA = {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": {"a": "b"}}


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ("app=x", "app=x"),
        ({"app": "x", "b": "y"}, "app=x,b=y"),
        ({"matchLabels": {"app": "x"}}, "app=x"),
        ({"matchExpressions": [{"key": "k", "operator": "In", "values": ["a", "b"]}]}, "k in (a,b)"),
        (None, None),
        ({}, None),
    ],
)
def test_a_scale_writes_every_form_of_selector_as_text(selector: Any, text: str | None) -> None:
    paths = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector")
    kind = Kind(group="e.io", version="v1", kind="Thing", plural="things", scale=paths)
    scale = scale_of(kind, {"metadata": METADATA, "spec": {"selector": selector}})
    assert scale["status"].get("selector") == text
    assert scale["spec"] == {"replicas": 0}
    assert "labels" not in scale["metadata"]


@pytest.fixture
def sandbox() -> Sandbox:
    sandbox = Sandbox(controllers=False)
    body = {"spec": {"containers": [{"name": "c", "image": "i"}]}, "apiVersion": "v1", "kind": "Pod"}
    sandbox.create({**body, "metadata": {"name": "p", "labels": {"app": "x"}}})
    return sandbox


def status_of_pod(sandbox: Sandbox, phase: str, ready: str = "True") -> None:
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
    sandbox.patch("pods", "p", {"status": status}, subresource="status")


def budget(sandbox: Sandbox, name: str = "b", policy: str = "", **status: int) -> None:
    spec: dict[str, Any] = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    sandbox.create({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec})
    sandbox.patch("pdb", name, {"status": {"observedGeneration": 1, **status}}, subresource="status")


def evicted(sandbox: Sandbox, **eviction: Any) -> bool:
    """Try to evict the pod; return whether no budget was in the way."""
    kind = sandbox.kind("pods")
    try:
        evict(sandbox._verbs, kind, sandbox._verbs.get(kind, "default", "p"), eviction, WriteOptions())
    except StatusError as err:
        if err.code != 429:
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("phase", "ready", "policy", "status", "expected"),
    [
        pytest.param("Running", "True", "", {"disruptionsAllowed": 0}, False, id="used up"),
        pytest.param("Running", "True", "", {"disruptionsAllowed": 1}, True, id="one left"),
        pytest.param(
            "Running", "True", "", {"disruptionsAllowed": 1, "observedGeneration": 0}, False, id="not counted yet"
        ),
        pytest.param("Pending", "False", "", {"disruptionsAllowed": 0}, True, id="pending"),
        pytest.param("Failed", "False", "", {"disruptionsAllowed": 0}, True, id="failed"),
        pytest.param("Succeeded", "False", "", {"disruptionsAllowed": 0}, True, id="succeeded"),
        pytest.param(
            "Running", "False", "", {"desiredHealthy": 1, "currentHealthy": 0}, False, id="unready and too few healthy"
        ),
        pytest.param(
            "Running", "False", "", {"desiredHealthy": 1, "currentHealthy": 1}, True, id="unready and enough healthy"
        ),
        pytest.param("Running", "False", "AlwaysAllow", {"desiredHealthy": 1}, True, id="unready and always allowed"),
    ],
)
def test_a_budget_decides_about_an_eviction(
    sandbox: Sandbox, phase: str, ready: str, policy: str, status: dict[str, int], expected: bool
) -> None:
    status_of_pod(sandbox, phase, ready)
    budget(sandbox, policy=policy, **status)
    assert evicted(sandbox) is expected
    assert (sandbox.list("pods") == []) is expected


def test_two_budgets_for_one_pod_are_an_error(sandbox: Sandbox) -> None:
    status_of_pod(sandbox, "Running")
    budget(sandbox, "a", disruptionsAllowed=1)
    budget(sandbox, "b", disruptionsAllowed=1)
    kind = sandbox.kind("pods")
    with pytest.raises(StatusError, match="more than one PodDisruptionBudget") as raised:
        evict(sandbox._verbs, kind, sandbox._verbs.get(kind, "default", "p"), {}, WriteOptions())
    assert raised.value.code == 500


def test_an_eviction_may_be_a_dry_run(sandbox: Sandbox) -> None:
    status_of_pod(sandbox, "Running")
    budget(sandbox, disruptionsAllowed=1)
    assert evicted(sandbox, deleteOptions={"dryRun": ["All"]})
    assert len(sandbox.list("pods")) == 1
    assert sandbox.get("pdb", "b")["status"]["disruptionsAllowed"] == 1


def test_a_pod_is_bound_to_a_node_once(sandbox: Sandbox) -> None:
    kind = sandbox.kind("pods")

    def bound(target: dict[str, Any], **metadata: str) -> None:
        entry = sandbox._verbs.get(kind, "default", "p")
        bind(sandbox._verbs, kind, entry, {"target": target, "metadata": metadata}, WriteOptions())

    with pytest.raises(StatusError, match="target.name: Required value"):
        bound({})
    with pytest.raises(StatusError, match="Precondition failed"):
        bound({"name": "n1"}, uid="other")
    bound({"name": "n1"})
    pod = sandbox.get("pods", "p")
    assert pod["spec"]["nodeName"] == "n1"
    assert [(each["type"], each["status"]) for each in pod["status"]["conditions"]] == [("PodScheduled", "True")]
    with pytest.raises(StatusError, match='pod p is already assigned to node "n1"'):
        bound({"name": "n2"})
