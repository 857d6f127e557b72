"""What ``/metrics`` shows of analysis."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.controller.test_metrics import lines
from tests.kube.virtual_time import virtual_time

from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.codec import decode
from prograde.api.meta import NamespacedName
from prograde.controller.metrics import FORGET_AFTER_SECONDS, ControllerMetrics

WEB = {"name": "rate", "provider": {"web": {"url": "http://x", "jsonPath": "{$.x}"}}}
JOB = {"name": "smoke", "provider": {"job": {"spec": {}}}}


def run(*metrics: dict[str, Any], **status: Any) -> AnalysisRun:
    body = {"metadata": {"name": "r", "namespace": "shop"}, "spec": {"metrics": metrics}, "status": status}
    return decode(msgspec.json.encode(body), AnalysisRun)


def metrics_of(*runs: AnalysisRun) -> ControllerMetrics:
    metrics = ControllerMetrics()
    metrics.collect_from(list, lambda: runs, list)
    return metrics


@pytest.mark.parametrize("phase", ["Error", "Failed", "Successful", "Running", "Inconclusive", ""])
def test_runs_are_shown_by_their_phase(phase: str) -> None:
    metrics = metrics_of(run(phase=phase))
    assert lines(metrics, "analysis_run_info") == [f'analysis_run_info{{namespace="shop",name="r",phase="{phase}"}} 1']
    on = [line for line in lines(metrics, "analysis_run_phase") if line.endswith(" 1")]
    assert on == [f'analysis_run_phase{{namespace="shop",name="r",phase="{phase or "Pending"}"}} 1']
    assert len(lines(metrics, "analysis_run_phase")) == 6


@pytest.mark.parametrize(
    ("provider", "type_name"),
    [
        ("prometheus", "Prometheus"),
        ("job", "Job"),
        ("kayenta", "Kayenta"),
        ("web", "Web"),
        ("datadog", "Datadog"),
        ("wavefront", "Wavefront"),
        ("newRelic", "NewRelic"),
        ("cloudWatch", "CloudWatch"),
        ("graphite", "Graphite"),
        ("influxdb", "Influxdb"),
        ("skywalking", "skywalking"),
    ],
)
def test_each_metric_is_shown_with_its_type(provider: str, type_name: str) -> None:
    metrics = metrics_of(run({"name": "m", "provider": {provider: {}}}))
    assert lines(metrics, "analysis_run_metric_type") == [
        f'analysis_run_metric_type{{namespace="shop",name="r",metric="m",type="{type_name}"}} 1'
    ]


@pytest.mark.parametrize(("provider", "type_name"), [({"plugin": {"a/b": {}}}, "RPCPlugin"), ({}, "Unknown Provider")])
def test_plugins_and_unknown_providers_have_a_type_too(provider: dict[str, Any], type_name: str) -> None:
    (line,) = lines(metrics_of(run({"name": "m", "provider": provider})), "analysis_run_metric_type")
    assert f'type="{type_name}"' in line


def test_metrics_that_were_measured_are_shown_by_their_phase() -> None:
    results = [
        {"name": "rate", "phase": "Failed", "dryRun": True},
        {"name": "smoke", "phase": ""},
    ]
    metrics = metrics_of(run(WEB, JOB, {**WEB, "name": "later"}, metricResults=results))
    about = 'analysis_run_metric_phase{namespace="shop",name="r",'
    assert [line for line in lines(metrics, "analysis_run_metric_phase") if line.endswith(" 1")] == [
        f'{about}metric="rate",type="Web",dry_run="true",phase="Failed"}} 1',
        f'{about}metric="smoke",type="Job",dry_run="false",phase="Pending"}} 1',
    ]
    assert len(lines(metrics, "analysis_run_metric_phase")) == 12


def test_templates_are_shown_with_their_metrics() -> None:
    spec = {"metrics": [WEB, JOB]}
    body = msgspec.json.encode({"metadata": {"name": "t", "namespace": "shop"}, "spec": spec})
    shared = msgspec.json.encode({"metadata": {"name": "all"}, "spec": {"metrics": [JOB]}})
    metrics = ControllerMetrics()
    metrics.collect_templates_from(lambda: [decode(body, AnalysisTemplate), decode(shared, ClusterAnalysisTemplate)])
    assert lines(metrics, "analysis_template_info") == [
        'analysis_template_info{namespace="shop",name="t"} 1',
        'analysis_template_info{namespace="",name="all"} 1',
    ]
    assert lines(metrics, "analysis_template_metric_info") == [
        'analysis_template_metric_info{namespace="shop",name="t",type="Web",metric="rate"} 1',
        'analysis_template_metric_info{namespace="shop",name="t",type="Job",metric="smoke"} 1',
        'analysis_template_metric_info{namespace="",name="all",type="Job",metric="smoke"} 1',
    ]


@virtual_time
async def test_the_series_of_deleted_runs_go_a_scrape_later_unless_the_run_is_back() -> None:
    present = [run()]
    metrics = ControllerMetrics()
    metrics.collect_from(list, lambda: present, list)
    for name in ("r", "gone"):
        metrics.analysis_run_reconcile.observe(0.1, "shop", name)
        metrics.analysis_run_reconcile_error.inc("shop", name)
        metrics.forget_analysis_run(NamespacedName("shop", name))
    await asyncio.sleep(FORGET_AFTER_SECONDS - 1)
    assert len(lines(metrics, "analysis_run_reconcile_error")) == 2
    await asyncio.sleep(2)
    assert lines(metrics, "analysis_run_reconcile_error") == [
        'analysis_run_reconcile_error{namespace="shop",name="r"} 1'
    ]
    assert 'name="gone"' not in metrics.registry.render().decode()
