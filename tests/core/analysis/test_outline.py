"""What is kept of finished runs is what somebody reads."""

import msgspec
import pytest
from tests.core.analysis.test_run import T0, measured, metric, result, run_of, running

from prograde.api.analysis import AnalysisRun, Argument, JobMetric, MetricProvider, RunSummary, TtlStrategy
from prograde.api.meta import NO_RAW
from prograde.controller.analysismetrics import run_metric_families
from prograde.core.analysis.outline import outlined
from prograde.core.analysis.run import AnalysisSnapshot, plan_run
from prograde.providers.registry import type_name_of

PROVIDERS = [
    *(
        msgspec.convert({name: {}}, MetricProvider)
        for name in ("prometheus", "kayenta", "web", "datadog", "wavefront", "newRelic", "cloudWatch", "graphite")
    ),
    MetricProvider(influxdb=msgspec.convert({}, MetricProvider.__annotations__["influxdb"])),
    MetricProvider(job=JobMetric()),
    MetricProvider(plugin={"acme/metric": NO_RAW}),
    MetricProvider(),
]


def finished(phase: str = "Failed", provider: MetricProvider | None = None) -> AnalysisRun:
    first = metric("errors", **({"provider": provider} if provider is not None else {}))
    status = msgspec.structs.replace(
        running(
            result("errors", *[measured(phase)] * 10, phase=phase),
            result("try", measured("Failed"), phase="Failed", dry_run=True),
        ),
        phase=phase,
        message="why",
        completed_at=T0,
        run_summary=RunSummary(count=1, failed=1),
    )
    return run_of(
        first,
        metric("try"),
        metric("never measured"),
        status=status,
        args=(Argument(name="a", value="b"),),
        terminate=True,
        ttl_strategy=TtlStrategy(seconds_after_completion=5),
    )


def test_a_run_that_goes_on_is_kept_as_it_is() -> None:
    run = run_of(status=running(result("errors", measured("Successful"))))
    assert outlined(run) is run


@pytest.mark.parametrize("phase", ["Successful", "Failed", "Error", "Inconclusive"])
def test_how_and_when_a_run_has_ended_is_kept(phase: str) -> None:
    before, after = finished(phase), outlined(finished(phase))
    assert after.metadata == before.metadata
    assert (after.spec.terminate, after.spec.ttl_strategy) == (True, before.spec.ttl_strategy)
    assert msgspec.structs.replace(after.status, metric_results=()) == msgspec.structs.replace(
        before.status, metric_results=()
    )


def test_measurements_queries_and_arguments_are_not_kept() -> None:
    after = outlined(finished())
    assert all(each.measurements == () for each in after.status.metric_results)
    assert after.spec.args == ()
    assert len(msgspec.json.encode(after)) < len(msgspec.json.encode(finished())) / 3


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda each: type_name_of(metric(provider=each)))
def test_the_figures_of_its_metrics_stay_the_same(provider: MetricProvider) -> None:
    before = finished(provider=provider)
    shown = [[list(family.samples) for family in run_metric_families((run,))] for run in (before, outlined(before))]
    assert shown[0] == shown[1]


def test_the_time_to_live_stays_the_same() -> None:
    plans = [plan_run(AnalysisSnapshot(run=run), T0) for run in (finished(), outlined(finished()))]
    assert plans[0] == plans[1]
    assert plans[0].requeue_at is not None


def test_runs_of_the_same_template_share_what_they_have_in_common() -> None:
    one, other = outlined(finished()), outlined(finished())
    assert one.spec.metrics is other.spec.metrics
    assert one.status.metric_results is other.status.metric_results
