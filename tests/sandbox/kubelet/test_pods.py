"""The life of simulated pods: stages, phases, conditions, restarts, ends."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from tests.sandbox.controllers.workbench import (
    EVENTS,
    PODS,
    REPLICASETS,
    Workbench,
    condition_status,
    container_state,
    pod_object,
    ready_condition,
    reason_of,
    replica_set,
)

from prograde.sandbox.controllers.objects import condition_of, parse_time
from prograde.sandbox.kinds import Object


@pytest.fixture
def bench() -> Workbench:
    return Workbench()


def events_of(bench: Workbench) -> list[str]:
    events = sorted(bench.objects(EVENTS), key=lambda event: int(event["metadata"]["resourceVersion"]))
    return [event["reason"] for event in events if event["involvedObject"]["kind"] == "Pod"]


def run_pod(bench: Workbench, seconds: float = 1.0, **spec: Any) -> Object:
    bench.create(PODS, pod_object(**spec))
    bench.settle(seconds)
    return bench.pod()


# -- the healthy pod -------------------------------------------------------------------------------------------------


def test_a_healthy_pod_is_ready_within_400_ms_and_goes_through_all_stages(bench: Workbench) -> None:
    started = bench.now
    stages: list[tuple[float, str, str, bool]] = []

    def note(change: str, resource: Any, new: Object, previous: Object | None) -> None:
        if resource == PODS:
            at = round((bench.now - started).total_seconds() * 1000)
            stages.append((at, new["status"]["phase"], reason_of(new), condition_status(new, "Ready") == "True"))

    bench.client.subscribe(note)
    bench.create(PODS, pod_object())
    assert condition_status(bench.pod(), "PodScheduled") == "", "a new pod has no conditions"
    bench.settle(0.4)
    assert stages[:3] == [
        (0, "Pending", "", False),
        (5, "Pending", "", False),
        (10, "Pending", "ContainerCreating", False),
    ]
    (last,) = stages[3:]
    assert 50 <= last[0] <= 300
    assert last[1:] == ("Running", "Running", True)


def test_a_pod_seen_by_the_kubelet_says_what_it_waits_for(bench: Workbench) -> None:
    pod = run_pod(bench, 0.012)
    assert {each["type"]: each["status"] for each in pod["status"]["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }
    ready = condition_of(pod, "Ready")
    assert ready is not None
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [c]")
    assert "podIP" not in pod["status"]
    assert pod["status"]["hostIP"] == "172.18.0.2"


def test_a_running_pod_has_addresses_ids_and_a_start_time(bench: Workbench) -> None:
    pod = run_pod(bench)
    status = pod["status"]
    assert pod["spec"]["nodeName"] == "sandbox-0"
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    (container,) = status["containerStatuses"]
    assert container["image"] == "docker.io/library/nginx:1"
    assert container["imageID"].startswith("docker.io/library/nginx@sha256:")
    assert container["containerID"].startswith("containerd://")
    assert (container["started"], container["ready"], container["restartCount"]) == (True, True, 0)


def test_the_life_of_a_healthy_pod_is_told_in_events(bench: Workbench) -> None:
    run_pod(bench)
    assert events_of(bench) == ["Scheduled", "Pulling", "Pulled", "Created", "Started"]
    assert bench.messages("Scheduled") == ["Successfully assigned shop/p to sandbox-0"]
    (started,) = [event for event in bench.objects(EVENTS) if event["reason"] == "Started"]
    assert started["involvedObject"]["fieldPath"] == "spec.containers{c}"
    assert started["source"] == {"component": "kubelet", "host": "sandbox-0"}


def test_an_image_that_is_on_the_node_is_not_pulled_again(bench: Workbench) -> None:
    run_pod(bench)
    bench.create(PODS, pod_object("q"))
    bench.settle(1)
    assert bench.messages("Pulled")[-1] == 'Container image "nginx:1" already present on machine'
    bench.create(PODS, pod_object("r", container={"imagePullPolicy": "Always"}))
    bench.settle(1)
    assert bench.messages("Pulled")[-1].startswith('Successfully pulled image "nginx:1"')


def test_the_instant_profile_takes_one_status_write_and_tells_nothing() -> None:
    bench = Workbench("instant")
    phases = bench.history(PODS, "p", lambda pod: pod["metadata"]["resourceVersion"])
    bench.create(PODS, pod_object())
    bench.settle()
    assert condition_status(bench.pod(), "Ready") == "True"
    assert len(phases) == 3, "created, bound, ready"
    assert events_of(bench) == []


@pytest.mark.parametrize(("profile", "least", "most"), [("real", 1.0, 3.0), ("slow", 8.0, 17.0)])
def test_slower_profiles_take_their_time(profile: str, least: float, most: float) -> None:
    bench = Workbench(profile)
    run_pod(bench, least)
    assert condition_status(bench.pod(), "Ready") != "True"
    bench.settle(most - least)
    assert condition_status(bench.pod(), "Ready") == "True"


def test_two_runs_with_one_seed_write_the_same_events_and_objects() -> None:
    def run() -> list[Object]:
        bench = Workbench()
        bench.create(REPLICASETS, replica_set(5))
        bench.create(PODS, pod_object(container={"image": "app:crash"}))
        bench.settle(60)
        return [*bench.objects(EVENTS), *bench.pods()]

    assert run() == run()


def test_steps_of_a_settled_pod_write_nothing(bench: Workbench) -> None:
    run_pod(bench)
    before = bench.sandbox.revision
    assert bench.sandbox.controllers is not None
    bench.sandbox.controllers.kubelet.enqueue(("shop", "p"))
    bench.settle(600)
    assert bench.sandbox.revision == before


# -- conditions and gates --------------------------------------------------------------------------------------------


def test_a_missing_readiness_gate_keeps_the_pod_from_being_ready(bench: Workbench) -> None:
    pod = run_pod(bench, readinessGates=[{"conditionType": "example.com/ok"}])
    ready = condition_of(pod, "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert ready["message"] == 'corresponding condition of pod readiness gate "example.com/ok" does not exist.'
    assert condition_status(pod, "ContainersReady") == "True"
    assert condition_status(pod, "example.com/ok") == "", "the kubelet never sets a gate's condition"


def test_setting_the_gate_makes_the_pod_ready_and_the_condition_survives(bench: Workbench) -> None:
    pod = run_pod(bench, readinessGates=[{"conditionType": "example.com/ok"}])
    gate = {"type": "example.com/ok", "status": "False"}
    conditions = pod["status"]["conditions"]
    bench.patch(PODS, "p", {"status": {"conditions": [*conditions, gate]}}, "status")
    bench.settle(1)
    ready = condition_of(bench.pod(), "Ready")
    assert ready is not None
    assert ready["message"] == 'the status of pod readiness gate "example.com/ok" is not "True", but False'
    bench.patch(PODS, "p", {"status": {"conditions": [*conditions, {**gate, "status": "True"}]}}, "status")
    bench.settle(1)
    assert condition_status(bench.pod(), "Ready") == "True"
    assert condition_status(bench.pod(), "example.com/ok") == "True"


def test_a_client_that_writes_the_status_meets_at_most_a_few_conflicts_while_a_pod_starts(bench: Workbench) -> None:
    versions = bench.history(PODS, "p", lambda pod: pod["metadata"]["resourceVersion"])
    run_pod(bench, readinessGates=[{"conditionType": "g"}])
    assert len(versions) <= 5, "a client that tries five times cannot lose against so few writes"


def test_ready_says_when_it_changed(bench: Workbench) -> None:
    pod = run_pod(bench, annotations={"sandbox.prograde.io/ready-after": "20s"}, seconds=1)
    assert condition_status(pod, "Ready") == "False"
    begun = bench.now
    bench.settle(30)
    ready = condition_of(bench.pod(), "Ready")
    assert ready is not None
    assert ready["status"] == "True"
    changed = parse_time(ready["lastTransitionTime"])
    assert begun + timedelta(seconds=18) <= changed <= begun + timedelta(seconds=20)


# -- images ----------------------------------------------------------------------------------------------------------


def test_a_missing_image_alternates_between_error_and_back_off(bench: Workbench) -> None:
    reasons = bench.history(PODS, "p", reason_of)
    pod = run_pod(bench, 0.5, container={"image": "shop/app:does-not-exist"})
    assert reason_of(pod) == "ErrImagePull"
    message = container_state(pod)["waiting"]["message"]
    assert message.startswith('failed to pull and unpack image "docker.io/shop/app:does-not-exist"')
    assert message.endswith("not found")
    bench.settle(35)
    assert reasons == ["", "ContainerCreating", *["ErrImagePull", "ImagePullBackOff"] * 3]
    assert bench.messages("BackOff") == ['Back-off pulling image "shop/app:does-not-exist"']
    assert bench.pod()["status"]["phase"] == "Pending"


def test_a_fixed_image_recovers(bench: Workbench) -> None:
    run_pod(bench, 15, container={"image": "bad-image:1"})
    patch = {"spec": {"containers": [{**bench.pod()["spec"]["containers"][0], "image": "good:1"}]}}
    bench.patch(PODS, "p", patch)
    bench.settle(1)
    assert condition_status(bench.pod(), "Ready") == "True"


def test_a_changed_image_restarts_a_running_container(bench: Workbench) -> None:
    run_pod(bench)
    patch = {"spec": {"containers": [{**bench.pod()["spec"]["containers"][0], "image": "nginx:2"}]}}
    bench.patch(PODS, "p", patch)
    bench.settle(2)
    (container,) = bench.pod()["status"]["containerStatuses"]
    assert (container["restartCount"], container["image"]) == (1, "docker.io/library/nginx:2")
    assert bench.messages("Killing") == ["Container c definition changed, will be restarted"]


def test_an_invalid_image_name_is_said_so(bench: Workbench) -> None:
    pod = run_pod(bench, container={"image": "Not A Reference"})
    assert reason_of(pod) == "InvalidImageName"
    assert container_state(pod)["waiting"]["message"].endswith("invalid reference format")


# -- exits and restarts ----------------------------------------------------------------------------------------------


def test_a_crashing_container_restarts_once_at_once_and_then_backs_off(bench: Workbench) -> None:
    starts: list[float] = []
    begun = bench.now

    def note(change: str, resource: Any, new: Object, previous: Object | None) -> None:
        if resource == EVENTS and new["reason"] == "Started" and change != "DELETED":
            starts.append((bench.now - begun).total_seconds())

    bench.client.subscribe(note)
    pod = run_pod(bench, 5, container={"image": "app:crash"})
    assert reason_of(pod) == "CrashLoopBackOff"
    (container,) = pod["status"]["containerStatuses"]
    assert container["lastState"]["terminated"]["exitCode"] == 1
    assert container["lastState"]["terminated"]["reason"] == "Error"
    assert container["restartCount"] == 1
    message = container["state"]["waiting"]["message"]
    assert message.startswith("back-off 10s restarting failed container=c pod=p_shop(")
    bench.settle(900)
    waits = [later - earlier - 1 for earlier, later in pairwise(starts)]
    expected = [1, 10, 20, 40, 80, 160, 300]
    assert all(abs(wait - want) < 0.5 for wait, want in zip(waits, expected, strict=False)), waits
    assert condition_status(bench.pod(), "Ready") == "False"
    assert bench.pod()["status"]["phase"] == "Running"


def test_out_of_memory_is_reported_as_such(bench: Workbench) -> None:
    pod = run_pod(bench, 1.8, container={"image": "app:oom"})
    terminated = container_state(pod)["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)


@pytest.mark.parametrize("command", [["/bad-command"], ["exit", "1"]])
@pytest.mark.parametrize("policy", ["Always", "Never"])
def test_a_command_that_cannot_be_started(bench: Workbench, command: list[str], policy: str) -> None:
    reasons = bench.history(PODS, "p", reason_of)
    pod = run_pod(bench, 10, container={"command": command}, restartPolicy=policy)
    if policy == "Never":
        assert (reason_of(pod), pod["status"]["phase"]) == ("StartError", "Failed")
        assert container_state(pod)["terminated"]["exitCode"] == 128
        assert f'exec: "{command[0]}"' in container_state(pod)["terminated"]["message"]
    else:
        assert reasons[-2:] == ["RunContainerError", "CrashLoopBackOff"]
        assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 128


@pytest.mark.parametrize(
    ("policy", "command", "phase", "reason", "restarts"),
    [
        pytest.param("Never", ["true"], "Succeeded", "Completed", 0, id="success is final with Never"),
        pytest.param("Never", ["false"], "Failed", "Error", 0, id="failure is final with Never"),
        pytest.param("OnFailure", ["true"], "Succeeded", "Completed", 0, id="success is final with OnFailure"),
        pytest.param("OnFailure", ["false"], "Running", "CrashLoopBackOff", 1, id="failure restarts with OnFailure"),
        pytest.param("Always", ["true"], "Running", "CrashLoopBackOff", 1, id="success restarts with Always"),
    ],
)
def test_phase_and_restarts_by_policy(
    bench: Workbench, policy: str, command: list[str], phase: str, reason: str, restarts: int
) -> None:
    pod = run_pod(bench, 5, container={"command": command}, restartPolicy=policy)
    assert (pod["status"]["phase"], reason_of(pod)) == (phase, reason)
    assert pod["status"]["containerStatuses"][0]["restartCount"] == restarts


def test_a_pod_succeeds_only_when_all_its_containers_did(bench: Workbench) -> None:
    obj = pod_object(container={"command": ["true"]}, restartPolicy="Never")
    obj["spec"]["containers"].append({"name": "d", "image": "nginx:1", "command": ["sleep", "10"]})
    bench.create(PODS, obj)
    bench.settle(5)
    assert bench.pod()["status"]["phase"] == "Running"
    bench.settle(10)
    assert bench.pod()["status"]["phase"] == "Succeeded"
    ready = condition_of(bench.pod(), "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_an_active_deadline_fails_the_pod(bench: Workbench) -> None:
    pod = run_pod(bench, 15, activeDeadlineSeconds=10)
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_long_run_forgives_earlier_crashes(bench: Workbench) -> None:
    pod = run_pod(bench, 1, container={"command": ["sh", "-c", "sleep 700; exit 1"]})
    bench.settle(2200)
    pod = bench.pod()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 3, "each exit restarts at once"


# -- init containers and sidecars ------------------------------------------------------------------------------------


def test_init_containers_run_one_after_the_other_before_the_main_ones(bench: Workbench) -> None:
    init = [{"name": n, "image": "alpine:3", "command": ["sleep", "5"]} for n in ("i1", "i2")]
    pod = run_pod(bench, 3, initContainers=init)
    assert pod["status"]["phase"] == "Pending"
    assert [reason_of(pod, name) for name in ("i1", "i2", "c")] == ["Running", "PodInitializing", "PodInitializing"]
    initialized = condition_of(pod, "Initialized")
    assert initialized is not None
    assert initialized["message"] == "containers with incomplete status: [i1 i2]"
    bench.settle(5)
    assert [reason_of(bench.pod(), name) for name in ("i1", "i2")] == ["Completed", "Running"]
    bench.settle(5)
    assert condition_status(bench.pod(), "Ready") == "True"
    assert condition_status(bench.pod(), "Initialized") == "True"


@pytest.mark.parametrize(
    ("policy", "phase", "reason"), [("Never", "Failed", "Error"), ("Always", "Pending", "CrashLoopBackOff")]
)
def test_a_failing_init_container(bench: Workbench, policy: str, phase: str, reason: str) -> None:
    init = [{"name": "i", "image": "alpine:3", "command": ["false"]}]
    pod = run_pod(bench, 5, initContainers=init, restartPolicy=policy)
    assert (pod["status"]["phase"], reason_of(pod, "i")) == (phase, reason)
    assert reason_of(pod) == "PodInitializing"


def test_a_sidecar_starts_first_keeps_running_and_counts_for_readiness(bench: Workbench) -> None:
    sidecar = {"name": "s", "image": "envoy:1", "restartPolicy": "Always"}
    pod = run_pod(bench, 1, initContainers=[sidecar])
    assert (reason_of(pod, "s"), reason_of(pod)) == ("Running", "Running")
    assert condition_status(pod, "Ready") == "True"


def test_a_sidecar_is_stopped_when_the_main_containers_are_done(bench: Workbench) -> None:
    sidecar = {"name": "s", "image": "envoy:1", "restartPolicy": "Always"}
    main = {"command": ["sleep", "5"]}
    pod = run_pod(bench, 4, initContainers=[sidecar], container=main, restartPolicy="Never")
    assert pod["status"]["phase"] == "Running"
    bench.settle(5)
    assert (bench.pod()["status"]["phase"], reason_of(bench.pod(), "s")) == ("Succeeded", "Completed")


def test_a_sidecar_ends_after_the_main_container_on_deletion(bench: Workbench) -> None:
    sidecar = {"name": "s", "image": "envoy:1", "restartPolicy": "Always"}
    main = {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}
    run_pod(bench, 1, initContainers=[sidecar], container=main)
    bench.client.delete(PODS, "shop", "p")
    bench.settle(4)
    assert reason_of(bench.pod(), "s") == "Running"
    bench.settle(2)
    assert bench.find(PODS, "p") is None


# -- hooks and termination -------------------------------------------------------------------------------------------


def test_a_post_start_hook_holds_the_container_back(bench: Workbench) -> None:
    hook = {"lifecycle": {"postStart": {"exec": {"command": ["sleep", "5"]}}}}
    pod = run_pod(bench, 4, container=hook)
    assert reason_of(pod) == "ContainerCreating"
    assert pod["status"]["phase"] == "Pending"
    bench.settle(2)
    assert condition_status(bench.pod(), "Ready") == "True"


def test_a_failing_post_start_hook_kills_the_container(bench: Workbench) -> None:
    hook = {"lifecycle": {"postStart": {"exec": {"command": ["false"]}}}}
    pod = run_pod(bench, 1, container=hook)
    assert container_state(pod)["terminated"]["exitCode"] == 137
    assert bench.messages("FailedPostStartHook") == ["PostStartHook failed"]


def test_a_deleted_pod_is_not_ready_at_once_and_gone_soon(bench: Workbench) -> None:
    run_pod(bench)
    bench.client.delete(PODS, "shop", "p")
    bench.settle()
    assert condition_status(bench.pod(), "Ready") == "False"
    assert reason_of(bench.pod()) == "Running"
    assert bench.messages("Killing") == ["Stopping container c"]
    last = bench.history(PODS, "p", container_state)
    bench.settle(0.05)
    assert bench.find(PODS, "p") is None
    assert last[-1]["terminated"]["exitCode"] == 0


@pytest.mark.parametrize(
    ("hook", "gone_after"),
    [
        pytest.param({"exec": {"command": ["sleep", "5"]}}, 5.05, id="a command that sleeps"),
        pytest.param({"exec": {"command": ["sh", "-c", "sleep 5"]}}, 5.05, id="a script that sleeps"),
        pytest.param({"sleep": {"seconds": 5}}, 5.05, id="a sleep action"),
        pytest.param({"httpGet": {"path": "/", "port": 80}}, 0.05, id="a request"),
        pytest.param({"exec": {"command": ["sleep", "60"]}}, 30.05, id="no longer than the grace period"),
    ],
)
def test_a_pre_stop_hook_delays_the_end(bench: Workbench, hook: Object, gone_after: float) -> None:
    run_pod(bench, container={"lifecycle": {"preStop": hook}})
    bench.client.delete(PODS, "shop", "p")
    bench.settle(gone_after - 0.04)
    assert bench.find(PODS, "p") is not None
    bench.settle(0.04)
    assert bench.find(PODS, "p") is None


def test_a_second_delete_shortens_the_grace_period(bench: Workbench) -> None:
    run_pod(bench, annotations={"sandbox.prograde.io/termination": "ignore"})
    bench.client.delete(PODS, "shop", "p")
    bench.settle(5)
    assert bench.find(PODS, "p") is not None
    bench.client.delete(PODS, "shop", "p", grace_seconds=2)
    last = bench.history(PODS, "p", container_state)
    bench.settle(1.9)
    assert bench.find(PODS, "p") is not None
    bench.settle(0.2)
    assert bench.find(PODS, "p") is None
    assert last[-1]["terminated"]["exitCode"] == 137


def test_deleting_with_grace_zero_is_immediate(bench: Workbench) -> None:
    run_pod(bench)
    bench.client.delete(PODS, "shop", "p", grace_seconds=0)
    assert bench.find(PODS, "p") is None


def test_a_pod_in_back_off_goes_at_once(bench: Workbench) -> None:
    run_pod(bench, 15, container={"image": "bad-image:1"})
    bench.client.delete(PODS, "shop", "p")
    bench.settle()
    assert bench.find(PODS, "p") is None


def test_a_pod_with_a_finalizer_stops_but_stays(bench: Workbench) -> None:
    obj = pod_object()
    obj["metadata"]["finalizers"] = ["example.com/keep"]
    bench.create(PODS, obj)
    bench.settle(1)
    bench.client.delete(PODS, "shop", "p")
    bench.settle(60)
    assert bench.pod()["metadata"]["deletionGracePeriodSeconds"] == 0
    bench.patch(PODS, "p", {"metadata": {"finalizers": None}})
    bench.settle(1)
    assert bench.find(PODS, "p") is None


def test_replacements_start_while_terminating_pods_linger(bench: Workbench) -> None:
    template = replica_set(4)["spec"]["template"]
    template["spec"] = {
        "containers": [{"name": "c", "image": "nginx:1", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}]
    }
    bench.create(REPLICASETS, replica_set(4, template=template))
    bench.settle(1)
    for name in bench.names(PODS)[:3]:
        bench.client.delete(PODS, "shop", name)
    bench.settle(2)
    assert len(bench.pods()) == 7
    assert bench.get(REPLICASETS, "cart")["status"]["replicas"] == 4
    bench.settle(4)
    assert len(bench.pods()) == 4


# -- environment -----------------------------------------------------------------------------------------------------


def test_a_missing_config_map_keeps_the_container_from_being_created(bench: Workbench) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "a"}}}]
    pod = run_pod(bench, container={"env": env, "command": ["sh", "-c", "echo $(A)"]})
    assert reason_of(pod) == "CreateContainerConfigError"
    assert container_state(pod)["waiting"]["message"] == 'configmap "conf" not found'
    bench.create(("", "configmaps"), {"metadata": {"name": "conf"}, "data": {"a": "hello"}})
    bench.settle(7)
    assert bench.sandbox.controllers is not None
    assert bench.sandbox.controllers.kubelet.logs.read_log("shop", "p") == b"hello\n"


# -- annotations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotations", "after", "reason", "ready"),
    [
        pytest.param({"start-delay": "5s"}, 4, "ContainerCreating", "False", id="start-delay holds the start back"),
        pytest.param({"start-delay": "5s"}, 6, "Running", "True", id="start-delay is over"),
        pytest.param({"ready-after": "5s"}, 4, "Running", "False", id="ready-after holds readiness back"),
        pytest.param({"ready-after": "5s"}, 6, "Running", "True", id="ready-after is over"),
        pytest.param({"never-ready": "true"}, 600, "Running", "False", id="never-ready"),
        pytest.param({"never-ready": "false"}, 1, "Running", "True", id="never-ready that is false"),
        pytest.param({"fail": "image"}, 0.5, "ErrImagePull", "False", id="fail image"),
        pytest.param({"fail": "start"}, 0.5, "RunContainerError", "False", id="fail start"),
        pytest.param({"fail": "crash"}, 1.7, "Error", "False", id="fail crash"),
        pytest.param({"fail": "crash@10s"}, 9, "Running", "True", id="fail crash later: before"),
        pytest.param({"fail": "crash@10s"}, 10.7, "Error", "False", id="fail crash later: after"),
        pytest.param({"fail": "oom"}, 1.7, "OOMKilled", "False", id="fail oom"),
        pytest.param({"fail": "unready@30s"}, 29, "Running", "True", id="fail unready: before"),
        pytest.param({"fail": "unready@30s"}, 31, "Running", "False", id="fail unready: after"),
        pytest.param({"fail": "unready"}, 5, "Running", "False", id="fail unready at once"),
        pytest.param({"exit-after": "5s"}, 5.7, "Completed", "False", id="exit-after without a code"),
        pytest.param({"exit-after": "5s", "exit-code": "3"}, 5.7, "Error", "False", id="exit-after with a code"),
        pytest.param({"exit-code": "3"}, 1.7, "Error", "False", id="exit-code alone"),
    ],
)
def test_annotations_inject_faults(
    bench: Workbench, annotations: dict[str, str], after: float, reason: str, ready: str
) -> None:
    prefixed = {f"sandbox.prograde.io/{name}": value for name, value in annotations.items()}
    pod = run_pod(bench, after, annotations=prefixed)
    assert (reason_of(pod), condition_status(pod, "Ready")) == (reason, ready)


def test_restart_every_restarts_without_back_off(bench: Workbench) -> None:
    pod = run_pod(bench, 100, annotations={"sandbox.prograde.io/restart-every": "10s"})
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 9
    assert reason_of(pod) == "Running"


def test_an_annotation_wins_over_the_image(bench: Workbench) -> None:
    pod = run_pod(bench, 1.7, container={"image": "app:oom"}, annotations={"sandbox.prograde.io/fail": "crash"})
    assert container_state(pod)["terminated"]["reason"] == "Error"


def test_an_annotation_set_on_a_running_pod_takes_effect(bench: Workbench) -> None:
    run_pod(bench)
    bench.patch(PODS, "p", {"metadata": {"annotations": {"sandbox.prograde.io/fail": "unready"}}})
    bench.settle()
    assert condition_status(bench.pod(), "Ready") == "False"
    bench.patch(PODS, "p", {"metadata": {"annotations": {"sandbox.prograde.io/fail": None}}})
    bench.settle()
    assert condition_status(bench.pod(), "Ready") == "True"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("fail", "sometimes", "'sometimes' is none of image, start, crash, oom, unready"),
        ("exit-code", "300", "'300' is no exit code between 0 and 255"),
        ("ready-after", "soon", "'soon' is no duration such as 30s or 1m30s"),
        ("never-ready", "yes", '\'yes\' is neither "true" nor "false"'),
    ],
)
def test_an_annotation_that_means_nothing_is_reported_and_ignored(
    bench: Workbench, name: str, value: str, why: str
) -> None:
    pod = run_pod(bench, annotations={f"sandbox.prograde.io/{name}": value})
    assert condition_status(pod, "Ready") == "True"
    assert bench.messages("InvalidBehaviour") == [f"annotation sandbox.prograde.io/{name} is ignored: {why}"]


@pytest.mark.parametrize(
    ("termination", "gone_after"), [("3s", 3.0), ("ignore", 30.0), ("0", 0.0)], ids=["slow", "deaf", "at once"]
)
def test_termination_says_how_long_a_process_takes_to_stop(
    bench: Workbench, termination: str, gone_after: float
) -> None:
    run_pod(bench, annotations={"sandbox.prograde.io/termination": termination})
    bench.client.delete(PODS, "shop", "p")
    if gone_after:
        bench.settle(gone_after - 0.1)
        assert bench.find(PODS, "p") is not None
    bench.settle(0.1)
    assert bench.find(PODS, "p") is None


@pytest.mark.parametrize(
    ("image", "after", "reason", "ready"),
    [
        pytest.param("shop/app:never-ready", 60, "Running", "False", id="never-ready"),
        pytest.param("shop/bad-health:1", 60, "Running", "False", id="bad-health"),
        pytest.param("shop/app:slow-20", 19, "Running", "False", id="slow-N: before"),
        pytest.param("shop/app:slow-20", 21, "Running", "True", id="slow-N: after"),
        pytest.param("shop/zoom:bloom", 5, "Running", "True", id="oom inside a word means nothing"),
        pytest.param("shop/crash:1", 5, "Running", "True", id="crash in a name means nothing"),
        pytest.param("nginx:1.19-alpine-argo-error", 0.5, "ErrImagePull", "False", id="argo-error"),
        pytest.param("nonexistent-image-that-does-not-exist:latest", 0.5, "ErrImagePull", "False", id="nonexistent"),
        pytest.param("argoproj/rollouts-demo:blue", 1, "Running", "True", id="an ordinary image"),
    ],
)
def test_image_names_choose_a_behaviour(bench: Workbench, image: str, after: float, reason: str, ready: str) -> None:
    pod = run_pod(bench, after, container={"image": image})
    assert (reason_of(pod), condition_status(pod, "Ready")) == (reason, ready)


# -- faults ----------------------------------------------------------------------------------------------------------


def test_a_paused_kubelet_does_nothing_until_resumed(bench: Workbench) -> None:
    assert bench.sandbox.controllers is not None
    kubelet = bench.sandbox.controllers.kubelet
    kubelet.pause()
    pod = run_pod(bench, 60)
    assert condition_status(pod, "PodScheduled") == "True"
    assert condition_status(pod, "Ready") == ""
    kubelet.resume()
    bench.settle(1)
    assert condition_status(bench.pod(), "Ready") == "True"


def test_failed_pods_show_the_reason_and_are_replaced(bench: Workbench) -> None:
    bench.create(REPLICASETS, replica_set(2))
    bench.settle(1)
    assert bench.sandbox.controllers is not None
    failed = bench.sandbox.controllers.fail_pods("shop", {"matchLabels": {"app": "cart"}}, "Evicted", "no memory")
    assert len(failed) == 2
    bench.settle(1)
    pod = bench.get(PODS, failed[0])
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "Evicted")
    assert condition_status(pod, "Ready") == "False"
    assert len(bench.pods()) == 4


def test_gate_conditions_of_others_are_kept_through_a_restart(bench: Workbench) -> None:
    pod = run_pod(bench, annotations={"sandbox.prograde.io/restart-every": "10s"})
    extra = {**ready_condition(bench.now), "type": "example.com/mark"}
    bench.patch(PODS, "p", {"status": {"conditions": [*pod["status"]["conditions"], extra]}}, "status")
    bench.settle(25)
    assert condition_status(bench.pod(), "example.com/mark") == "True"
