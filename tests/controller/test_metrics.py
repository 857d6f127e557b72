import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.kube.virtual_time import virtual_time

from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout
from prograde.controller.metrics import FORGET_AFTER_SECONDS, ControllerMetrics, metric_phase
from prograde.controller.resources import REPLICA_SETS, ROLLOUTS
from prograde.core.plan import Event
from prograde.core.rollout.duration import Attempt
from prograde.kube.client import Call


def rollout(strategy: dict[str, Any] | None = None, **status: Any) -> Rollout:
    body = {
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"replicas": 3, "strategy": strategy or {"canary": {}}},
        "status": status,
    }
    return msgspec.convert(body, Rollout)


def lines(metrics: ControllerMetrics, name: str) -> list[str]:
    text = metrics.registry.render().decode()
    return [line for line in text.splitlines() if line.startswith((name + "{", name + " "))]


@pytest.mark.parametrize(
    ("reason", "phase"),
    [
        ("NewReplicaSetAvailable", "Completed"),
        ("RolloutPaused", "Paused"),
        ("ReplicaSetCreateError", "Error"),
        ("ProgressDeadlineExceeded", "Timeout"),
        ("RolloutAborted", "Abort"),
        ("ReplicaSetUpdated", "Progressing"),
    ],
)
def test_the_phase_of_the_metric_follows_the_progressing_condition(reason: str, phase: str) -> None:
    condition = {"type": "Progressing", "status": "True", "reason": reason, "message": ""}
    assert metric_phase(rollout(conditions=[condition])) == phase


def test_an_invalid_spec_overrides_every_other_phase() -> None:
    conditions = [
        {"type": "Progressing", "status": "True", "reason": "RolloutPaused", "message": ""},
        {"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": ""},
    ]
    assert metric_phase(rollout(conditions=conditions)) == "InvalidSpec"
    assert metric_phase(rollout()) == "Progressing"


@pytest.mark.parametrize(
    ("strategy", "labels"),
    [
        ({"canary": {}}, 'strategy="canary",traffic_router=""'),
        ({"blueGreen": {"activeService": "a"}}, 'strategy="blueGreen",traffic_router=""'),
        ({"recreate": {}}, 'strategy="recreate",traffic_router=""'),
        ({"canary": {"trafficRouting": {"nginx": {"stableIngress": "i"}}}}, 'strategy="canary",traffic_router="Nginx"'),
        (
            {"canary": {"trafficRouting": {"alb": {"ingress": "i", "servicePort": 1}, "smi": {}}}},
            'strategy="canary",traffic_router="SMI"',
        ),
    ],
)
def test_rollout_info_names_strategy_and_router(strategy: dict[str, Any], labels: str) -> None:
    metrics = ControllerMetrics()
    metrics.collect_from(lambda: [rollout(strategy)], list, list)
    assert lines(metrics, "rollout_info") == [
        f'rollout_info{{namespace="shop",name="cart",{labels},phase="Progressing"}} 1'
    ]


def test_replica_gauges_and_the_deprecated_phase_series() -> None:
    metrics = ControllerMetrics()
    metrics.collect_from(lambda: [rollout(replicas=4, availableReplicas=3, updatedReplicas=1)], list, list)
    values = {
        name: lines(metrics, f"rollout_info_replicas_{name}")[0].split()[-1]
        for name in ("available", "unavailable", "desired", "updated")
    }
    assert values == {"available": "3", "unavailable": "1", "desired": "3", "updated": "1"}
    phases = lines(metrics, "rollout_phase")
    assert len(phases) == 6
    assert [line for line in phases if line.endswith(" 1")] == [
        'rollout_phase{namespace="shop",name="cart",strategy="canary",phase="Progressing"} 1'
    ]


@pytest.mark.parametrize(
    ("call", "labels"),
    [
        (
            Call(verb="patch", resource=ROLLOUTS, namespace="shop", name="cart"),
            'kind="rollouts",namespace="shop",name="cart",verb="Patch"',
        ),
        (
            Call(verb="list", resource=ROLLOUTS, namespace="shop"),
            'kind="rollouts",namespace="shop",name="N/A",verb="List"',
        ),
        (
            Call(verb="update", resource=REPLICA_SETS, namespace="shop", name="cart-1"),
            'kind="replicasets",namespace="shop",name="N/A",verb="Update"',
        ),
        (Call(verb="get", path="/version"), 'kind="Unknown",namespace="Unknown",name="Unknown",verb="Unknown"'),
    ],
)
def test_requests_are_counted_without_the_names_there_is_no_end_of(call: Call, labels: str) -> None:
    metrics = ControllerMetrics()
    metrics.observe_request(call, 200, 0.1)
    assert lines(metrics, "controller_clientset_k8s_request_total") == [
        f'controller_clientset_k8s_request_total{{{labels},status_code="200"}} 1'
    ]


def test_a_finished_release_is_recorded_with_its_manual_pause_apart() -> None:
    metrics = ControllerMetrics()
    total, paused = timedelta(seconds=300), timedelta(seconds=60)
    metrics.observe_attempt(Attempt(completion_status="Promoted", total=total, paused=paused))
    assert (metrics.duration.sum("Promoted"), metrics.duration.count("Promoted")) == (300, 1)
    assert metrics.progression.sum("Promoted") == 240
    assert metrics.manual_pause.sum("Promoted") == 60


@virtual_time
async def test_series_of_a_deleted_rollout_stay_for_a_scrape_and_then_go() -> None:
    metrics = ControllerMetrics()
    web = msgspec.convert({"metadata": {"name": "web", "namespace": "shop"}, "spec": {}}, Rollout)
    metrics.collect_from(lambda: [web], list, list)
    metrics.reconcile_error.inc("shop", "cart")
    metrics.reconcile_error.inc("shop", "web")
    metrics.observe_event(rollout(), Event(reason="RolloutPaused", message="Rollout is paused"))
    metrics.forget(NamespacedName("shop", "cart"))
    await asyncio.sleep(FORGET_AFTER_SECONDS - 1)
    assert len(lines(metrics, "rollout_reconcile_error")) == 2
    await asyncio.sleep(2)
    assert lines(metrics, "rollout_reconcile_error") == ['rollout_reconcile_error{namespace="shop",name="web"} 1']
    assert lines(metrics, "rollout_events_total") == []


@virtual_time
async def test_the_last_rollout_of_a_namespace_takes_the_series_without_a_name_along() -> None:
    metrics = ControllerMetrics()
    present = [rollout()]
    metrics.collect_from(lambda: present, list, list)
    for namespace in ("shop", "preview-17"):
        metrics.observe_request(Call(verb="create", resource=REPLICA_SETS, namespace=namespace), 201, 0.1)
    metrics.forget(NamespacedName("shop", "web"))
    metrics.forget(NamespacedName("preview-17", "web"))
    await asyncio.sleep(FORGET_AFTER_SECONDS + 1)
    left = lines(metrics, "controller_clientset_k8s_request_total")
    assert [line for line in left if 'namespace="shop"' in line] == left != []


@virtual_time
async def test_a_rollout_that_was_deleted_and_made_again_goes_on_counting() -> None:
    metrics = ControllerMetrics()
    metrics.collect_from(lambda: [rollout()], list, list)
    metrics.reconcile_error.inc("shop", "cart")
    metrics.forget(NamespacedName("shop", "cart"))
    await asyncio.sleep(FORGET_AFTER_SECONDS + 1)
    assert metrics.reconcile_error.value("shop", "cart") == 1


@virtual_time
async def test_rollouts_that_are_deleted_one_after_the_other_are_forgotten_in_turn() -> None:
    metrics = ControllerMetrics()
    for name in ("first", "second"):
        metrics.reconcile_error.inc("shop", name)
    metrics.collect_from(lambda: [rollout()], list, list)
    metrics.forget(NamespacedName("shop", "first"))
    await asyncio.sleep(30)
    metrics.forget(NamespacedName("shop", "second"))
    await asyncio.sleep(FORGET_AFTER_SECONDS - 29)
    assert lines(metrics, "rollout_reconcile_error") == ['rollout_reconcile_error{namespace="shop",name="second"} 1']
    await asyncio.sleep(30)
    assert lines(metrics, "rollout_reconcile_error") == []


def test_queues_report_depth_adds_and_unfinished_work() -> None:
    metrics = ControllerMetrics()
    observer = metrics.observe_queue("Rollouts")
    metrics.watch_unfinished("Rollouts", lambda: (3.5, 2.0))
    observer.added(1)
    observer.started(0, 0.5)
    observer.finished(0.1)
    observer.retried()
    assert lines(metrics, "workqueue_adds_total") == ['workqueue_adds_total{name="Rollouts"} 1']
    assert lines(metrics, "workqueue_depth") == ['workqueue_depth{name="Rollouts"} 0']
    assert lines(metrics, "workqueue_retries_total") == ['workqueue_retries_total{name="Rollouts"} 1']
    assert lines(metrics, "workqueue_unfinished_work_seconds") == [
        'workqueue_unfinished_work_seconds{name="Rollouts"} 3.5'
    ]
    assert lines(metrics, "workqueue_longest_running_processor_seconds")[0].endswith(" 2")


def test_version_metrics_are_there() -> None:
    metrics = ControllerMetrics()
    assert len(lines(metrics, "argo_rollouts_controller_info")) == 1
    assert len(lines(metrics, "build_info")) == 1
