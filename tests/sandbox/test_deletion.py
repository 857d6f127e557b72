"""What a delete leaves: nothing, a mark, or an error."""

from typing import Any

import pytest

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.deletion import DeleteOptions, parse_delete_options
from prograde.sandbox.errors import StatusError


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(controllers=False)


def job(name: str) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def config_map(name: str, *finalizers: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def pod(name: str, node: str = "n1", phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": node, **spec},
        "status": {"phase": phase},
    }


def store_pod(sandbox: Sandbox, body: dict[str, Any]) -> None:
    sandbox.create(body)
    sandbox.patch("pods", body["metadata"]["name"], {"status": body["status"]}, subresource="status")


@pytest.mark.parametrize(
    ("resource", "present", "propagation", "expected"),
    [
        ("cm", (), None, None),
        ("cm", (), "Background", None),
        ("cm", (), "Foreground", ["foregroundDeletion"]),
        ("cm", (), "Orphan", ["orphan"]),
        ("cm", ("e.io/hold",), None, ["e.io/hold"]),
        ("cm", ("e.io/hold",), "Foreground", ["e.io/hold", "foregroundDeletion"]),
        ("cm", ("orphan",), None, ["orphan"]),
        ("cm", ("orphan",), "Foreground", ["foregroundDeletion"]),
        ("cm", ("foregroundDeletion",), "Background", None),
        ("jobs", (), None, ["orphan"]),
        ("jobs", (), "Background", None),
    ],
)
def test_propagation_becomes_finalizers(
    sandbox: Sandbox, resource: str, present: tuple[str, ...], propagation: Any, expected: list[str] | None
) -> None:
    sandbox.create(job("x") if resource == "jobs" else config_map("x", *present))
    sandbox.delete(resource, "x", propagation=propagation)

    left = sandbox.list(resource, "default")
    assert [obj["metadata"].get("finalizers") for obj in left] == ([] if expected is None else [expected])
    assert all(obj["metadata"]["deletionGracePeriodSeconds"] == 0 for obj in left)


@pytest.mark.parametrize(
    ("body", "asked", "grace"),
    [
        pytest.param(pod("p"), None, 30, id="the default"),
        pytest.param(pod("p", terminationGracePeriodSeconds=7), None, 7, id="the pod's own"),
        pytest.param(pod("p"), 5, 5, id="the request's"),
        pytest.param(pod("p"), -3, 1, id="a negative one"),
        pytest.param(pod("p"), 0, None, id="none"),
        pytest.param(pod("p", node=""), None, None, id="not assigned"),
        pytest.param(pod("p", phase="Succeeded"), None, None, id="finished"),
        pytest.param(pod("p", phase="Failed"), 60, None, id="failed"),
    ],
)
def test_running_pods_get_grace(sandbox: Sandbox, body: dict[str, Any], asked: int | None, grace: int | None) -> None:
    store_pod(sandbox, body)
    sandbox.delete("pods", "p", grace_seconds=asked)

    left = [obj["metadata"]["deletionGracePeriodSeconds"] for obj in sandbox.list("pods")]
    assert left == ([] if grace is None else [grace])
    if grace is not None:
        seconds = f"{grace:02}"
        assert sandbox.get("pods", "p")["metadata"]["deletionTimestamp"] == f"2025-01-01T00:00:{seconds}Z"


@pytest.mark.parametrize(("second", "grace"), [(10, 10), (60, 30), (None, 30)])
def test_a_second_delete_only_shortens_the_grace(sandbox: Sandbox, second: int | None, grace: int) -> None:
    store_pod(sandbox, pod("p"))
    sandbox.delete("pods", "p")
    revision = sandbox.revision
    sandbox.delete("pods", "p", grace_seconds=second)

    assert sandbox.get("pods", "p")["metadata"]["deletionGracePeriodSeconds"] == grace
    assert (sandbox.revision == revision) is (grace == 30)


def test_a_pod_in_its_grace_outlives_its_last_finalizer(sandbox: Sandbox) -> None:
    body = pod("p")
    body["metadata"]["finalizers"] = ["e.io/hold"]
    store_pod(sandbox, body)
    sandbox.delete("pods", "p")
    sandbox.patch("pods", "p", {"metadata": {"finalizers": None}})
    assert len(sandbox.list("pods")) == 1
    sandbox.delete("pods", "p", grace_seconds=0)
    assert sandbox.list("pods") == []


def test_what_goes_at_once_is_never_seen_as_terminating(sandbox: Sandbox) -> None:
    last: list[dict[str, Any]] = []
    sandbox.client().subscribe(lambda change, resource, new, previous: last.append(new))
    sandbox.create(config_map("a"))
    sandbox.delete("cm", "a")
    assert "deletionTimestamp" not in last[-1]["metadata"]
    assert int(last[-1]["metadata"]["resourceVersion"]) == sandbox.revision


@pytest.mark.parametrize(
    ("body", "query", "expected"),
    [
        (None, {}, DeleteOptions()),
        (
            None,
            {"gracePeriodSeconds": "0", "propagationPolicy": "Foreground"},
            DeleteOptions(grace_seconds=0, propagation="Foreground"),
        ),
        (None, {"orphanDependents": "false"}, DeleteOptions(orphans=False)),
        (None, {"dryRun": "All"}, DeleteOptions(is_dry_run=True)),
        ({"gracePeriodSeconds": 5}, {"gracePeriodSeconds": "0"}, DeleteOptions(grace_seconds=5)),
        ({"preconditions": {"uid": "u", "resourceVersion": "7"}}, {}, DeleteOptions(uid="u", resource_version="7")),
        ({"kind": "DeleteOptions", "apiVersion": "v1", "unknown": 1}, {}, DeleteOptions()),
    ],
)
def test_options_come_from_the_body_or_else_from_the_query(
    body: dict[str, Any] | None, query: dict[str, str], expected: DeleteOptions
) -> None:
    assert parse_delete_options(body, query) == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"gracePeriodSeconds": "soon"}, 400),
        ({"propagationPolicy": "Sometimes"}, 422),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, 422),
        ({"dryRun": ["Some"]}, 422),
    ],
)
def test_options_that_make_no_sense_are_refused(body: dict[str, Any], code: int) -> None:
    with pytest.raises(StatusError) as raised:
        parse_delete_options(body, {})
    assert raised.value.code == code
