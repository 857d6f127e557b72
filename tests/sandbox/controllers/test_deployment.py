"""Deployments: updates within limits, revisions, scaling in mid-update, pause, deadline, history, conditions."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sandbox.controllers.workbench import DEPLOYMENTS, PODS, REPLICASETS, Workbench, replica_set

from prograde.sandbox.controllers.deployment_plan import REVISION_ANNOTATION
from prograde.sandbox.controllers.objects import condition_of, find_condition, is_active, is_pod_ready
from prograde.sandbox.kinds import Object


@pytest.fixture
def bench() -> Workbench:
    return Workbench()


def deploy(bench: Workbench, replicas: int = 3, image: str = "nginx:1", **spec: Any) -> None:
    bench.create(DEPLOYMENTS, replica_set(replicas, template=template(image), **spec))
    bench.settle(2)


def template(image: str) -> Object:
    return {"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def set_image(bench: Workbench, image: str) -> None:
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"template": template(image)}})


def status(bench: Workbench) -> Object:
    found: Object = bench.get(DEPLOYMENTS, "cart")["status"]
    return found


def progress(bench: Workbench) -> tuple[str, str, str]:
    condition = find_condition(status(bench)["conditions"], "Progressing")
    assert condition is not None
    return condition["status"], condition["reason"], condition["message"]


def by_image(bench: Workbench) -> dict[str, Object]:
    return {rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs for rs in bench.objects(REPLICASETS)}


def counts(bench: Workbench) -> dict[str, int]:
    return {image: rs["spec"]["replicas"] for image, rs in by_image(bench).items()}


def revisions(bench: Workbench) -> dict[str, str]:
    return {image: rs["metadata"]["annotations"][REVISION_ANNOTATION] for image, rs in by_image(bench).items()}


def test_a_deployment_creates_one_named_replica_set(bench: Workbench) -> None:
    deploy(bench)
    (rs,) = bench.objects(REPLICASETS)
    name_hash = rs["metadata"]["labels"]["pod-template-hash"]
    assert len(name_hash) == 10
    assert rs["metadata"]["name"] == f"cart-{name_hash}"
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "cart", "pod-template-hash": name_hash}
    assert all(pod["metadata"]["labels"]["pod-template-hash"] == name_hash for pod in bench.pods())
    annotations = rs["metadata"]["annotations"]
    assert annotations == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert bench.get(DEPLOYMENTS, "cart")["metadata"]["annotations"][REVISION_ANNOTATION] == "1"
    assert bench.messages("ScalingReplicaSet") == [f"Scaled up replica set {rs['metadata']['name']} from 0 to 3"]


def test_the_status_of_a_complete_deployment(bench: Workbench) -> None:
    deploy(bench)
    name = bench.names(REPLICASETS)[0]
    found = status(bench)
    numbers = {key: value for key, value in found.items() if key != "conditions"}
    assert numbers == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
    }
    assert progress(bench) == ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
    available = find_condition(found["conditions"], "Available")
    assert available is not None
    assert (available["status"], available["reason"]) == ("True", "MinimumReplicasAvailable")


def test_the_conditions_of_a_first_roll_out_come_in_order(bench: Workbench) -> None:
    seen = bench.history(
        DEPLOYMENTS,
        "cart",
        lambda obj: tuple((condition_of(obj, type_) or {}).get("reason", "") for type_ in ("Progressing", "Available")),
    )
    deploy(bench)
    assert seen == [
        ("", ""),
        ("NewReplicaSetCreated", ""),
        ("NewReplicaSetCreated", "MinimumReplicasUnavailable"),
        ("ReplicaSetUpdated", "MinimumReplicasUnavailable"),
        ("NewReplicaSetAvailable", "MinimumReplicasAvailable"),
    ]


def test_an_update_replaces_all_pods_and_counts_revisions(bench: Workbench) -> None:
    deploy(bench)
    set_image(bench, "nginx:2")
    bench.settle(5)
    assert counts(bench) == {"nginx:1": 0, "nginx:2": 3}
    assert revisions(bench) == {"nginx:1": "1", "nginx:2": "2"}
    assert all(pod["spec"]["containers"][0]["image"] == "nginx:2" for pod in bench.pods())
    assert progress(bench)[1] == "NewReplicaSetAvailable"


def test_undoing_takes_the_old_replica_set_as_a_new_revision(bench: Workbench) -> None:
    deploy(bench)
    set_image(bench, "nginx:2")
    bench.settle(5)
    set_image(bench, "nginx:1")
    bench.settle(5)
    assert counts(bench) == {"nginx:1": 3, "nginx:2": 0}
    assert revisions(bench) == {"nginx:1": "3", "nginx:2": "2"}
    annotations = by_image(bench)["nginx:1"]["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert bench.get(DEPLOYMENTS, "cart")["metadata"]["annotations"][REVISION_ANNOTATION] == "3"


def test_a_restart_annotation_is_an_update(bench: Workbench) -> None:
    deploy(bench)
    before = set(bench.names(PODS))
    restarted = {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"template": {"metadata": restarted}}})
    bench.settle(5)
    assert len(bench.pods()) == 3
    assert before.isdisjoint(bench.names(PODS))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    replicas=st.integers(1, 8),
    surge=st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "50%", "100%"])),
    unavailable=st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "60%"])),
    image=st.sampled_from(["nginx:2", "bad-image:2", "app:slow-3"]),
)
def test_an_update_never_exceeds_its_limits(
    replicas: int, surge: int | str, unavailable: int | str, image: str
) -> None:
    if surge in (0, "0%") and unavailable in (0, "0%"):
        unavailable = 1

    def scaled(value: int | str, *, up: bool) -> int:
        if isinstance(value, int):
            return value
        product = int(value[:-1]) * replicas
        return -(-product // 100) if up else product // 100

    most = replicas + scaled(surge, up=True)
    missing = scaled(unavailable, up=False)
    if most == replicas and missing == 0:
        missing = 1
    broken: list[tuple[int, int]] = []
    bench = Workbench()
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    deploy(bench, replicas, strategy={"type": "RollingUpdate", "rollingUpdate": rolling})

    def check(change: str, resource: Any, new: Object, previous: Object | None) -> None:
        if resource == PODS:
            pods = [pod for pod in bench.pods() if is_active(pod)]
            ready = sum(1 for pod in pods if is_pod_ready(pod))
            if len(pods) > most or ready < replicas - missing:
                broken.append((len(pods), ready))

    bench.client.subscribe(check)
    set_image(bench, image)
    bench.settle(30)
    assert broken == []
    if image != "bad-image:2":
        assert counts(bench) == {"nginx:1": 0, image: replicas}


def test_a_bad_image_stops_the_update_and_is_timed_out(bench: Workbench) -> None:
    deploy(bench, 4, progressDeadlineSeconds=60)
    set_image(bench, "bad-image:1")
    bench.settle(55)
    assert counts(bench) == {"nginx:1": 3, "bad-image:1": 2}
    assert progress(bench)[:2] == ("True", "ReplicaSetUpdated")
    bench.settle(10)
    name = by_image(bench)["bad-image:1"]["metadata"]["name"]
    message = f'ReplicaSet "{name}" has timed out progressing.'
    assert progress(bench) == ("False", "ProgressDeadlineExceeded", message)
    set_image(bench, "nginx:1")
    bench.settle(5)
    assert counts(bench) == {"nginx:1": 4, "bad-image:1": 0}
    assert progress(bench)[:2] == ("True", "NewReplicaSetAvailable")


def test_recreate_removes_all_old_pods_before_it_creates_new_ones(bench: Workbench) -> None:
    obj = replica_set(3, template=template("nginx:1"), strategy={"type": "Recreate"})
    hook = {"preStop": {"sleep": {"seconds": 5}}}
    obj["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = hook
    bench.create(DEPLOYMENTS, obj)
    bench.settle(2)
    set_image(bench, "nginx:2")
    bench.settle(4)
    assert counts(bench) == {"nginx:1": 0}
    assert len(bench.pods()) == 3
    bench.settle(4)
    assert counts(bench) == {"nginx:1": 0, "nginx:2": 3}
    assert status(bench)["availableReplicas"] == 3


def test_scaling_a_settled_deployment(bench: Workbench) -> None:
    deploy(bench)
    name = bench.names(REPLICASETS)[0]
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"replicas": 5}})
    bench.settle(2)
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"replicas": 0}})
    bench.settle(2)
    assert counts(bench) == {"nginx:1": 0}
    assert bench.messages("ScalingReplicaSet") == [
        f"Scaled up replica set {name} from 0 to 3",
        f"Scaled up replica set {name} from 3 to 5",
        f"Scaled down replica set {name} from 5 to 0",
    ]
    assert "replicas" not in status(bench)
    assert progress(bench)[1] == "NewReplicaSetAvailable"


def test_scaling_in_the_middle_of_an_update_keeps_proportions(bench: Workbench) -> None:
    deploy(bench, 10)
    set_image(bench, "bad-image:1")
    bench.settle(5)
    assert counts(bench) == {"nginx:1": 8, "bad-image:1": 5}
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"replicas": 20}})
    bench.settle(5)
    assert counts(bench) == {"nginx:1": 15, "bad-image:1": 10}


def test_a_paused_deployment_does_not_update_but_scales(bench: Workbench) -> None:
    deploy(bench)
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"paused": True}})
    set_image(bench, "nginx:2")
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"replicas": 4}})
    bench.settle(2)
    assert counts(bench) == {"nginx:1": 4}
    assert progress(bench) == ("Unknown", "DeploymentPaused", "Deployment is paused")
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"paused": None}})
    bench.settle()
    bench.settle(5)
    assert counts(bench) == {"nginx:1": 0, "nginx:2": 4}


def test_resuming_without_a_change_says_so(bench: Workbench) -> None:
    deploy(bench)
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"paused": True}})
    bench.settle()
    reasons = bench.history(DEPLOYMENTS, "cart", lambda obj: (condition_of(obj, "Progressing") or {})["reason"])
    bench.patch(DEPLOYMENTS, "cart", {"spec": {"paused": None}})
    bench.settle()
    assert "DeploymentResumed" in reasons


def test_history_is_cut_to_its_limit(bench: Workbench) -> None:
    deploy(bench, 1, revisionHistoryLimit=2)
    for version in range(2, 7):
        set_image(bench, f"nginx:{version}")
        bench.settle(3)
    assert revisions(bench) == {"nginx:4": "4", "nginx:5": "5", "nginx:6": "6"}


def test_min_ready_seconds_hold_the_update_back(bench: Workbench) -> None:
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    deploy(bench, 2, minReadySeconds=10, strategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    bench.settle(12)
    set_image(bench, "nginx:2")
    bench.settle(9)
    assert counts(bench) == {"nginx:1": 2, "nginx:2": 1}
    bench.settle(25)
    assert counts(bench) == {"nginx:1": 0, "nginx:2": 2}


def test_a_matching_replica_set_is_adopted_with_its_pods(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(2))
    bench.settle(1)
    deploy(bench, 2)
    adopted = bench.get(REPLICASETS, "cart")
    assert adopted["metadata"]["ownerReferences"][0]["kind"] == "Deployment"
    assert bench.names(REPLICASETS) == ["cart"]
    assert progress(bench)[1] == "NewReplicaSetAvailable"


def test_a_taken_name_makes_another_hash(bench: Workbench) -> None:
    deploy(bench, 1)
    taken = bench.names(REPLICASETS)[0]
    bench.client.delete(DEPLOYMENTS, "shop", "cart")
    bench.settle(1)
    bench.create(REPLICASETS, replica_set(0, name=taken, app="other"))
    deploy(bench, 1)
    assert status(bench)["collisionCount"] == 1
    assert len(bench.names(REPLICASETS)) == 2
    assert status(bench)["availableReplicas"] == 1


def test_a_replica_failure_is_shown_on_the_deployment(bench: Workbench) -> None:
    deploy(bench)
    bench.client.delete(("", "namespaces"), "", "shop")
    bench.settle(2)
    assert bench.find(DEPLOYMENTS, "cart") is None


def test_annotations_reach_the_replica_set_but_for_bookkeeping(bench: Workbench) -> None:
    obj = replica_set(1)
    cause = {"kubernetes.io/change-cause": "first"}
    obj["metadata"]["annotations"] = {**cause, "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    bench.create(DEPLOYMENTS, obj)
    bench.settle(1)
    (rs,) = bench.objects(REPLICASETS)
    assert rs["metadata"]["annotations"].items() >= cause.items()
    assert "kubectl.kubernetes.io/last-applied-configuration" not in rs["metadata"]["annotations"]


def test_a_settled_deployment_is_left_alone(bench: Workbench) -> None:
    deploy(bench)
    before = bench.sandbox.revision
    assert bench.sandbox.controllers is not None
    for controller in bench.sandbox.controllers.loop._controllers:
        if controller.name == "deployment":
            controller.enqueue(("shop", "cart"))
    bench.settle(1200)
    assert bench.sandbox.revision == before
