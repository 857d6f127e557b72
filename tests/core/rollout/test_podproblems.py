"""What is the matter with a pod: the container, the reason in Kubernetes' words, and what a person can do."""

from datetime import timedelta
from typing import Any

import pytest
from tests.core.rollout.builders import NOW, owner, replica_set

from prograde.api.meta import Condition, ObjectMeta
from prograde.api.workloads import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    PodStatus,
)
from prograde.core.rollout.podproblems import PodProblem, settled_at, worst_problem

SET = replica_set("v1")
SINCE = NOW - timedelta(minutes=3)
CREATED = NOW - timedelta(minutes=4)


def container(name: str = "web", *, ready: bool = False, restarts: int = 0, **state: Any) -> ContainerStatus:
    return ContainerStatus(name=name, image="web:2", ready=ready, restart_count=restarts, state=ContainerState(**state))


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": ContainerStateWaiting(reason=reason, message=message)}


def ready(status: str = "False", since: Any = SINCE) -> Condition:
    return Condition(type="Ready", status=status, last_transition_time=since)


def pod(
    name: str = "cart-1",
    *containers: ContainerStatus,
    inits: tuple[ContainerStatus, ...] = (),
    conditions: tuple[Condition, ...] = (ready(),),
    uid: str = SET.metadata.uid,
    deleting: bool = False,
) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=name,
            creation_timestamp=CREATED,
            deletion_timestamp=NOW if deleting else None,
            owner_references=(owner(uid, "ReplicaSet", SET.metadata.name),),
        ),
        status=PodStatus(conditions=conditions, container_statuses=containers, init_container_statuses=inits),
    )


def problem_of(*pods: Pod) -> PodProblem:
    found = worst_problem(SET, pods)
    assert found is not None
    return found


RUNNING = {"running": ContainerStateRunning()}
LOGS = "see why it ends: kubectl logs cart-1 -c web"

CONTAINERS = [
    pytest.param(
        container(**waiting("ImagePullBackOff", "Back-off pulling image")),
        ".state.waiting",
        "container web waits: ImagePullBackOff: Back-off pulling image",
        "is the image web:2 there, and may it be pulled?",
        id="image",
    ),
    *(
        pytest.param(
            container(**waiting(reason)),
            ".state.waiting",
            f"container web waits: {reason}",
            "is the image web:2 there, and may it be pulled?",
            id=reason,
        )
        for reason in ("ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
    ),
    pytest.param(
        container(restarts=1, **waiting("CrashLoopBackOff", "back-off 10s restarting failed container")),
        ".state.waiting",
        "container web waits: CrashLoopBackOff after 1 restart",
        f"{LOGS} --previous",
        id="crash loop",
    ),
    pytest.param(
        container(**waiting("CreateContainerConfigError", 'secret "x" not found')),
        ".state.waiting",
        'container web waits: CreateContainerConfigError: secret "x" not found',
        "see its events: kubectl describe pod cart-1",
        id="any other reason",
    ),
    pytest.param(
        container(terminated=ContainerStateTerminated(exit_code=137, reason="OOMKilled")),
        ".state.terminated",
        "container web ended: OOMKilled (exit code 137)",
        LOGS,
        id="ended",
    ),
    pytest.param(
        container(terminated=ContainerStateTerminated(exit_code=3)),
        ".state.terminated",
        "container web ended: Error (exit code 3)",
        LOGS,
        id="ended without a reason",
    ),
    pytest.param(
        container(**RUNNING),
        ".ready",
        "container web runs and is not ready",
        "see what its readiness probe says: kubectl describe pod cart-1",
        id="not ready",
    ),
    pytest.param(
        container(restarts=2, **RUNNING),
        ".ready",
        "container web runs and is not ready after 2 restarts",
        "see what its readiness probe says: kubectl describe pod cart-1",
        id="not ready again",
    ),
]


@pytest.mark.parametrize(("status", "field", "text", "remedy"), CONTAINERS)
def test_a_container_that_keeps_its_pod_from_being_ready(
    status: ContainerStatus, field: str, text: str, remedy: str
) -> None:
    found = problem_of(pod("cart-1", status))
    assert (found.pod, found.field) == ("cart-1", f"status.containerStatuses[web]{field}")
    assert (found.text, found.remedy, found.since) == (text, remedy, SINCE)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(container(**waiting("ContainerCreating")), id="is being created"),
        pytest.param(container(**waiting("PodInitializing")), id="waits for its turn"),
        pytest.param(container(**waiting("")), id="waits without a reason"),
        pytest.param(container(), id="no state at all"),
        pytest.param(container(ready=True, **RUNNING), id="ready"),
        pytest.param(container(terminated=ContainerStateTerminated(exit_code=0)), id="has done its work"),
    ],
)
def test_a_container_with_which_nothing_is_wrong(status: ContainerStatus) -> None:
    assert worst_problem(SET, [pod("cart-1", status)]) is None


def test_init_containers_are_looked_at_too() -> None:
    found = problem_of(pod("cart-1", inits=(container("migrate", **waiting("ErrImagePull")),)))
    assert found.field == "status.initContainerStatuses[migrate].state.waiting"


def test_a_pod_that_cannot_be_scheduled() -> None:
    at = NOW - timedelta(minutes=1)
    unscheduled = Condition(
        type="PodScheduled", status="False", reason="Unschedulable", message="no node fits", last_transition_time=at
    )
    found = problem_of(pod(conditions=(unscheduled,)))
    assert (found.text, found.since) == ("cannot be scheduled: no node fits", at)
    assert found.field == "status.conditions[PodScheduled]"
    assert found.remedy == "make room for the pod, or ask for less in spec.template"
    silent = Condition(type="PodScheduled", status="False", reason="Unschedulable")
    assert problem_of(pod(conditions=(silent,))).text == "cannot be scheduled: Unschedulable"
    assert problem_of(pod(conditions=(silent,))).since == CREATED


def test_a_pod_without_conditions_has_waited_since_it_was_created() -> None:
    assert problem_of(pod("cart-1", container(**RUNNING), conditions=())).since == CREATED


def test_the_worst_of_several_pods_is_told() -> None:
    slow = pod("cart-1", container(**RUNNING))
    homeless = pod("cart-2", conditions=(Condition(type="PodScheduled", status="False", reason="Unschedulable"),))
    broken = pod("cart-3", container(**waiting("ErrImagePull")))
    assert problem_of(slow, homeless, broken).pod == "cart-3"
    assert problem_of(slow, homeless).pod == "cart-2"
    assert problem_of(pod("cart-5", container(**RUNNING)), slow).pod == "cart-1"


@pytest.mark.parametrize(
    "broken", [row.values[0] for row in CONTAINERS if row.id not in ("not ready", "not ready again")]
)
def test_what_will_not_get_better_by_waiting_is_worse_than_having_no_place(broken: ContainerStatus) -> None:
    homeless = pod("cart-1", conditions=(Condition(type="PodScheduled", status="False", reason="Unschedulable"),))
    assert problem_of(homeless, pod("cart-2", broken)).pod == "cart-2"


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param(pod("cart-1", container(**waiting("ErrImagePull")), conditions=(ready("True"),)), id="is ready"),
        pytest.param(pod("cart-1", container(**waiting("ErrImagePull")), deleting=True), id="is on its way out"),
        pytest.param(pod("cart-1", container(**waiting("ErrImagePull")), uid="another"), id="is another ReplicaSet's"),
    ],
)
def test_a_pod_that_keeps_nothing_up(harmless: Pod) -> None:
    assert worst_problem(SET, [harmless]) is None


def test_ready_pods_have_settled_when_the_last_one_has() -> None:
    long = timedelta(seconds=30)
    pods = [
        pod("cart-1", conditions=(ready("True", NOW - timedelta(seconds=20)),)),
        pod("cart-2", conditions=(ready("True", NOW - timedelta(seconds=5)),)),
        pod("cart-3", conditions=(ready("False", NOW),)),
        pod("cart-4", conditions=(ready("True", NOW),), uid="another"),
        pod("cart-5", conditions=(ready("True", None),)),
        pod("cart-6", conditions=()),
    ]
    assert settled_at(SET, pods, long) == NOW + timedelta(seconds=25)
    assert settled_at(SET, [], long) is None
