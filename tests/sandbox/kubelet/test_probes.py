"""Probes: exact delays, periods, thresholds, events, and restarts by liveness and startup."""

from datetime import timedelta
from typing import Any

import pytest
from tests.sandbox.controllers.workbench import EVENTS, PODS, Workbench, condition_status, container_state, pod_object

from prograde.sandbox.controllers.objects import condition_of, parse_time
from prograde.sandbox.kinds import Object

HTTP = {"httpGet": {"path": "/healthz", "port": 80}}


@pytest.fixture
def bench() -> Workbench:
    return Workbench("instant")


def run_pod(bench: Workbench, seconds: float, **spec: Any) -> Object:
    bench.create(PODS, pod_object(**spec))
    bench.settle(seconds)
    return bench.pod()


def test_the_first_look_comes_exactly_after_the_initial_delay(bench: Workbench) -> None:
    pod = run_pod(bench, 9.999, container={"readinessProbe": {**HTTP, "initialDelaySeconds": 10}})
    assert condition_status(pod, "Ready") == "False"
    bench.settle(0.001)
    ready = condition_of(bench.pod(), "Ready")
    assert ready is not None
    assert ready["status"] == "True"
    started = parse_time(container_state(pod)["running"]["startedAt"])
    assert parse_time(ready["lastTransitionTime"]) == started + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("probe", "ready_after"),
    [
        pytest.param({}, 0, id="at once by default"),
        pytest.param({"initialDelaySeconds": 3}, 3, id="initial delay"),
        pytest.param({"successThreshold": 3, "periodSeconds": 2}, 4, id="three successes two seconds apart"),
        pytest.param({"successThreshold": 2, "initialDelaySeconds": 1}, 11, id="the default period is ten seconds"),
    ],
)
def test_when_a_healthy_container_becomes_ready(bench: Workbench, probe: Object, ready_after: float) -> None:
    pod = run_pod(bench, max(0, ready_after - 0.1), container={"readinessProbe": {**HTTP, **probe}})
    if ready_after:
        assert condition_status(pod, "Ready") == "False"
    bench.settle(0.1)
    assert condition_status(bench.pod(), "Ready") == "True"


def test_readiness_is_lost_after_the_failure_threshold(bench: Workbench) -> None:
    probe = {**HTTP, "periodSeconds": 5, "failureThreshold": 2}
    annotations = {"sandbox.prograde.io/fail": "unready@12s"}
    run_pod(bench, 19, container={"readinessProbe": probe}, annotations=annotations)
    assert condition_status(bench.pod(), "Ready") == "True", "one failure at 15 s is not enough"
    bench.settle(1)
    assert condition_status(bench.pod(), "Ready") == "False"
    assert bench.messages("Unhealthy") == ["Readiness probe failed: HTTP probe failed with statuscode: 500"]


def test_repeated_failures_raise_the_count_of_one_event(bench: Workbench) -> None:
    run_pod(bench, 25, container={"image": "a:never-ready", "readinessProbe": {**HTTP, "periodSeconds": 5}})
    (event,) = [event for event in bench.objects(EVENTS) if event["reason"] == "Unhealthy"]
    assert event["count"] == 6
    assert event["type"] == "Warning"


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        ({"httpGet": {"port": 80}}, "HTTP probe failed with statuscode: 500"),
        ({"tcpSocket": {"port": 80}}, "connection refused"),
        ({"exec": {"command": ["cat", "/ok"]}}, "command failed"),
    ],
)
def test_what_a_failed_probe_says(bench: Workbench, handler: Object, message: str) -> None:
    run_pod(bench, 1, container={"image": "a:bad-health", "readinessProbe": handler})
    assert bench.messages("Unhealthy") == [f"Readiness probe failed: {message}"]


@pytest.mark.parametrize(
    ("command", "ready"),
    [
        (["cat", "/tmp/healthy"], "True"),
        (["test", "-f", "/tmp/healthy"], "True"),
        (["sh", "-c", "exit 0"], "True"),
        (["false"], "False"),
        (["sh", "-c", "exit 3"], "False"),
        (["sh", "-c", "sleep 5"], "False"),
        (["/bad-command"], "False"),
    ],
)
def test_exec_probes_run_in_the_mini_shell(bench: Workbench, command: list[str], ready: str) -> None:
    pod = run_pod(bench, 1, container={"readinessProbe": {"exec": {"command": command}}})
    assert condition_status(pod, "Ready") == ready


def test_a_failing_liveness_probe_restarts_the_container(bench: Workbench) -> None:
    probe = {**HTTP, "periodSeconds": 5, "failureThreshold": 3, "initialDelaySeconds": 5}
    run_pod(bench, 14.9, container={"image": "a:bad-health", "livenessProbe": probe})
    assert bench.pod()["status"]["containerStatuses"][0]["restartCount"] == 0
    bench.settle(0.2)
    assert bench.pod()["status"]["containerStatuses"][0]["restartCount"] == 1
    assert bench.messages("Unhealthy") == ["Liveness probe failed: HTTP probe failed with statuscode: 500"]


def test_killing_by_a_probe_is_told() -> None:
    bench = Workbench()
    probe = {**HTTP, "periodSeconds": 1}
    run_pod(bench, 5, container={"image": "a:bad-health", "livenessProbe": probe})
    assert bench.messages("Killing") == ["Container c failed liveness probe, will be restarted"]


def test_other_probes_wait_for_the_startup_probe(bench: Workbench) -> None:
    startup = {**HTTP, "initialDelaySeconds": 8}
    pod = run_pod(bench, 7, container={"startupProbe": startup, "readinessProbe": HTTP})
    (container,) = pod["status"]["containerStatuses"]
    assert (container["started"], container["ready"]) == (False, False)
    bench.settle(1)
    (container,) = bench.pod()["status"]["containerStatuses"]
    assert (container["started"], container["ready"]) == (True, True)


def test_a_failing_startup_probe_restarts_the_container(bench: Workbench) -> None:
    startup = {**HTTP, "periodSeconds": 1, "failureThreshold": 2}
    run_pod(bench, 1.5, container={"image": "a:bad-health", "startupProbe": startup})
    assert bench.pod()["status"]["containerStatuses"][0]["restartCount"] == 1


def test_a_settled_healthy_pod_is_not_probed_any_more(bench: Workbench) -> None:
    run_pod(bench, 1, container={"readinessProbe": {**HTTP, "periodSeconds": 1}, "livenessProbe": HTTP})
    before = bench.loop.reconcile_count
    bench.settle(600)
    # Only the sweep of old events, once a minute.
    assert bench.loop.reconcile_count - before <= 11
