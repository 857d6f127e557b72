"""Rows 87 to 99: the built-in controllers, in virtual time."""

from datetime import timedelta
from typing import Any

import pytest
from tests.sandbox.conformance.harness import deployment, pod, rollout, widget, widget_definition

from prograde.sandbox.client import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object


def replica_set(name: str, replicas: int = 1, **spec: Any) -> dict[str, Any]:
    body = deployment(name, replicas=replicas)
    body["kind"] = "ReplicaSet"
    body["spec"] |= spec
    return body


def names(objects: list[Object]) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def owned_by(kind: str, owner: Object) -> list[dict[str, Any]]:
    reference = {"apiVersion": owner["apiVersion"], "kind": kind, "name": owner["metadata"]["name"]}
    return [{**reference, "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def test_row_87_a_replica_set_grows_and_shrinks_by_rank(sandbox: Sandbox) -> None:
    counts: list[int] = []

    def note(change: str, resource: Resource, new: Object, previous: Object | None) -> None:
        if resource == ("apps", "replicasets"):
            counts.append((new.get("status") or {}).get("readyReplicas", 0))

    sandbox.client().subscribe(note)
    sandbox.create(replica_set("web", 0))
    sandbox.patch("rs", "web", {"spec": {"replicas": 3}})
    sandbox.advance(10)
    assert counts == sorted(counts)
    first, second, third = names(sandbox.list("pods"))
    sandbox.patch("pods", second, {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "5"}}})
    sandbox.patch("rs", "web", {"spec": {"replicas": 1}})
    sandbox.advance(60)

    assert names(sandbox.list("pods")) == [second]
    told = [event["message"] for event in sandbox.events("ReplicaSet/web")]
    assert set(told[:3]) == {f"Created pod: {each}" for each in (first, second, third)}
    assert set(told[3:]) == {f"Deleted pod: {first}", f"Deleted pod: {third}"}


def test_row_87_the_pod_that_is_not_ready_goes_first(sandbox: Sandbox) -> None:
    sandbox.create(replica_set("web", 2))
    sandbox.advance(5)
    sandbox.patch(
        "rs", "web", {"spec": {"template": {"spec": {"containers": [{"name": "c0", "image": "never-ready:1"}]}}}}
    )
    sandbox.patch("rs", "web", {"spec": {"replicas": 3}})
    sandbox.advance(5)
    unready = [
        name
        for name in names(sandbox.list("pods"))
        if sandbox.get("pods", name)["spec"]["containers"][0]["image"] != "nginx:1.19"
    ]
    sandbox.patch("rs", "web", {"spec": {"replicas": 2}})
    sandbox.advance(60)

    assert len(sandbox.list("pods")) == 2
    assert not set(unready) & set(names(sandbox.list("pods")))


def test_row_88_a_replica_set_adopts_and_releases(sandbox: Sandbox) -> None:
    orphan = pod("orphan")
    orphan["metadata"]["labels"] = {"app": "web"}
    sandbox.create(orphan)
    sandbox.create(replica_set("web", 2))
    sandbox.advance(5)
    assert len(sandbox.list("pods")) == 2
    (owner,) = sandbox.get("pods", "orphan")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("ReplicaSet", "web", True)

    sandbox.patch("pods", "orphan", {"metadata": {"labels": {"app": "other"}}})
    sandbox.advance(5)
    assert "ownerReferences" not in sandbox.get("pods", "orphan")["metadata"]
    assert len(sandbox.list("pods", labels="app=web")) == 2


def test_row_89_available_follows_ready_after_the_delay_by_itself(sandbox: Sandbox) -> None:
    sandbox.create(replica_set("web", 1, minReadySeconds=30))
    sandbox.advance(5)
    status = sandbox.get("rs", "web")["status"]
    assert (status["readyReplicas"], status.get("availableReplicas", 0)) == (1, 0)

    sandbox.advance(30)
    assert sandbox.get("rs", "web")["status"]["availableReplicas"] == 1


def test_row_90_terminating_pods_are_replaced_at_once_and_not_counted(sandbox: Sandbox) -> None:
    body = replica_set("web", 1)
    lifecycle = {"preStop": {"exec": {"command": ["sleep", "20"]}}}
    body["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = lifecycle
    sandbox.create(body)
    sandbox.advance(5)
    (first,) = names(sandbox.list("pods"))

    sandbox.delete("pods", first)
    sandbox.advance(2)
    assert len(sandbox.list("pods")) == 2
    assert sandbox.get("rs", "web")["status"]["replicas"] == 1
    sandbox.patch("rs", "web", {"spec": {"replicas": 0}})
    sandbox.advance(1)
    assert sandbox.get("rs", "web")["status"]["replicas"] == 0
    assert len(sandbox.list("pods")) == 2


@pytest.mark.parametrize("seed", range(5))
def test_row_91_an_update_of_a_deployment_stays_within_its_limits(seed: int) -> None:
    sandbox = Sandbox(seed_number=seed)
    body = deployment("web", "nginx:1", replicas=8)
    body["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}}
    sandbox.create(body)
    sandbox.advance(10)
    extremes: list[tuple[int, int]] = []

    def note(change: str, resource: Resource, new: Object, previous: Object | None) -> None:
        if resource == ("apps", "replicasets"):
            sets = sandbox.list("rs")
            available = sum((rs.get("status") or {}).get("availableReplicas", 0) for rs in sets)
            extremes.append((sum(rs["spec"]["replicas"] for rs in sets), available))

    sandbox.client().subscribe(note)
    sandbox.patch(
        "deploy", "web", {"spec": {"template": {"spec": {"containers": [{"name": "c0", "image": "nginx:2"}]}}}}
    )
    sandbox.advance(60)

    assert max(total for total, _ in extremes) <= 10
    assert min(available for _, available in extremes) >= 7
    images = {each["spec"]["containers"][0]["image"] for each in sandbox.list("pods")}
    assert (images, len(sandbox.list("pods"))) == ({"nginx:2"}, 8)


@pytest.fixture
def family(sandbox: Sandbox) -> Sandbox:
    """A Rollout with a ReplicaSet of one pod that takes five seconds to stop."""
    owner = sandbox.create(rollout("cart"))
    body = replica_set("cart-1")
    body["metadata"]["ownerReferences"] = owned_by("Rollout", owner)
    lifecycle = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    body["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = lifecycle
    sandbox.create(body)
    sandbox.advance(5)
    return sandbox


def left(sandbox: Sandbox) -> tuple[int, int, int]:
    return len(sandbox.list("ro")), len(sandbox.list("rs")), len(sandbox.list("pods"))


def test_row_94_a_foreground_delete_waits_for_dependents(family: Sandbox) -> None:
    family.delete("ro", "cart", propagation="Foreground")
    family.advance(2)
    assert left(family) == (1, 1, 1)
    assert family.get("ro", "cart")["metadata"]["finalizers"] == ["foregroundDeletion"]
    family.advance(10)
    assert left(family) == (0, 0, 0)


def test_row_94_a_background_delete_returns_at_once(family: Sandbox) -> None:
    family.delete("ro", "cart", propagation="Background")
    assert left(family) == (0, 1, 1)
    family.advance(1)
    assert left(family) == (0, 0, 1)
    family.advance(10)
    assert left(family) == (0, 0, 0)


def test_row_94_an_orphaning_delete_leaves_dependents_without_owner(family: Sandbox) -> None:
    family.delete("ro", "cart", propagation="Orphan")
    family.advance(5)
    assert left(family) == (0, 1, 1)
    assert "ownerReferences" not in family.get("rs", "cart-1")["metadata"]


def test_row_96_an_unknown_owner_means_collection_and_one_live_owner_survival(sandbox: Sandbox) -> None:
    live = sandbox.create(rollout("live"))
    dead = {"apiVersion": "v1", "kind": "ConfigMap", "name": "dead", "uid": "gone"}
    (alive,) = owned_by("Rollout", live)
    for name, owners in (("alone", [dead]), ("kept", [{**alive, "controller": False}, dead])):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": owners}}
        sandbox.create(body)
    sandbox.advance(5)

    kept = [obj for obj in sandbox.list("cm", "default") if obj["metadata"]["name"] != "kube-root-ca.crt"]
    assert names(kept) == ["kept"]
    assert [owner["name"] for owner in kept[0]["metadata"]["ownerReferences"]] == ["live"]


def test_row_97_a_namespace_goes_when_its_content_has_gone(sandbox: Sandbox) -> None:
    sandbox.apply(widget_definition())
    sandbox.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    sandbox.create({**deployment("web"), "metadata": {"name": "web", "namespace": "team"}})
    held = widget("held")
    held["metadata"] |= {"namespace": "team", "finalizers": ["example.com/hold"]}
    sandbox.create(held)
    sandbox.advance(5)
    assert names(sandbox.list("sa", "team")) == ["default"]

    sandbox.delete("ns", "team")
    sandbox.advance(60)
    team = sandbox.get("ns", "team")
    assert team["status"]["phase"] == "Terminating"
    conditions = {each["type"]: each["status"] for each in team["status"]["conditions"]}
    assert conditions["NamespaceContentRemaining"] == "True"
    assert conditions["NamespaceFinalizersRemaining"] == "True"
    assert sandbox.list("pods", "team") == []

    sandbox.patch("widgets", "held", {"metadata": {"finalizers": None}}, "team")
    sandbox.advance(5)
    with pytest.raises(StatusError, match='namespaces "team" not found'):
        sandbox.get("ns", "team")


def test_row_98_slices_follow_readiness_termination_and_named_ports(sandbox: Sandbox) -> None:
    body = deployment("web")
    container = body["spec"]["template"]["spec"]["containers"][0]
    container |= {"ports": [{"name": "http", "containerPort": 8080}]}
    container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", "20"]}}}
    sandbox.create(body)
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
    sandbox.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    sandbox.settle()
    selector = "kubernetes.io/service-name=web"

    def endpoints() -> list[dict[str, Any]]:
        return [each for obj in sandbox.list("endpointslices", labels=selector) for each in obj.get("endpoints") or []]

    sandbox.advance(5)
    (endpoint,) = endpoints()
    assert endpoint["conditions"]["ready"] is True
    assert endpoint["targetRef"]["kind"] == "Pod"
    (slice_,) = sandbox.list("endpointslices", labels=selector)
    assert [(port["port"], port["protocol"]) for port in slice_["ports"]] == [(8080, "TCP")]
    assert sandbox.get("endpoints", "web")["subsets"][0]["ports"][0]["port"] == 8080

    (name,) = names(sandbox.list("pods"))
    sandbox.delete("pods", name)
    sandbox.settle()
    terminating = [each["conditions"] for each in endpoints() if each["targetRef"]["name"] == name]
    assert [(each["ready"], each["terminating"]) for each in terminating] == [(False, True)]


def test_row_99_a_budget_of_all_pods_forbids_evictions_until_it_is_gone(sandbox: Sandbox) -> None:
    sandbox.create(deployment("web", replicas=4))
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "p"},
        "spec": {"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}},
    }
    sandbox.create(budget)
    sandbox.advance(10)
    victim = names(sandbox.list("pods"))[0]

    with pytest.raises(StatusError, match="would violate the pod's disruption budget"):
        sandbox._evict("default", victim)
    sandbox.delete("pdb", "p")
    sandbox._evict("default", victim)
    assert "deletionTimestamp" in sandbox.get("pods", victim)["metadata"]


def test_the_same_seed_makes_the_same_cluster_event_for_event() -> None:
    def history(seed: int) -> list[tuple[str, str]]:
        sandbox = Sandbox(seed_number=seed)
        sandbox.create(deployment("web", replicas=3))
        sandbox.advance(timedelta(minutes=1).total_seconds())
        return [(event["metadata"]["name"], event["message"]) for event in sandbox.events()]

    assert history(1) == history(1)
    assert history(1) != history(2)


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}


def job_conditions(sandbox: Sandbox, name: str) -> list[tuple[str, str]]:
    conditions = (sandbox.get("jobs", name).get("status") or {}).get("conditions") or ()
    return [(each["type"], each["status"]) for each in conditions]


COMPLETE = [("SuccessCriteriaMet", "True"), ("Complete", "True")]
FAILED = [("FailureTarget", "True"), ("Failed", "True")]


@pytest.mark.parametrize(
    ("script", "spec", "conditions", "pod_count"),
    [
        pytest.param("sleep 3; exit 0", {}, COMPLETE, 1, id="success"),
        pytest.param("exit 3", {"backoffLimit": 0}, FAILED, 1, id="no retries"),
        pytest.param("exit 3", {"backoffLimit": 2}, FAILED, 3, id="two retries"),
        pytest.param("sleep 600", {"activeDeadlineSeconds": 10}, FAILED, 0, id="deadline"),
        pytest.param("exit 0", {"completions": 4, "parallelism": 2}, COMPLETE, 4, id="parallelism"),
        pytest.param("exit 0", {"suspend": True}, [("Suspended", "True")], 0, id="suspended"),
    ],
)
def test_row_92_jobs_complete_fail_and_retry(
    sandbox: Sandbox, script: str, spec: dict[str, Any], conditions: list[tuple[str, str]], pod_count: int
) -> None:
    sandbox.create(job("check", script, **spec))
    sandbox.advance(120)
    assert job_conditions(sandbox, "check") == conditions
    assert len(sandbox.list("pods")) == pod_count


def test_row_92_a_finished_job_goes_after_its_time_to_live(sandbox: Sandbox) -> None:
    sandbox.create(job("check", "exit 0", ttlSecondsAfterFinished=5))
    sandbox.advance(60)
    assert (sandbox.list("jobs"), sandbox.list("pods")) == ([], [])


def test_row_93_jobs_with_dots_in_their_names_make_valid_pods(sandbox: Sandbox) -> None:
    name = f"01234567-0123-4567-8901-0123456789ab.{'a' * 24}.1"
    assert len(name) == 63
    sandbox.create(job(name, "exit 0"))
    sandbox.advance(30)
    assert job_conditions(sandbox, name) == COMPLETE
    (pod,) = sandbox.list("pods")
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == name
    assert pod["metadata"]["name"].startswith(name[:58])


def test_row_95_deleting_a_job_without_options_orphans_its_pods(sandbox: Sandbox) -> None:
    sandbox.create(job("check", "sleep 600"))
    sandbox.advance(5)
    sandbox.client().delete(("batch", "jobs"), "default", "check")
    sandbox.advance(60)
    assert sandbox.list("jobs") == []
    (pod,) = sandbox.list("pods")
    assert "ownerReferences" not in pod["metadata"]
