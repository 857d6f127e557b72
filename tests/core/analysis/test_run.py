"""Runs from beginning to end: what is measured when, and what comes of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from prograde.api.analysis import (
    AnalysisRun,
    AnalysisRunSpec,
    AnalysisRunStatus,
    Argument,
    ArgumentValueFrom,
    DryRun,
    Measurement,
    MeasurementRetention,
    Metric,
    MetricProvider,
    MetricResult,
    PrometheusMetric,
    RunSummary,
    SecretKeyRef,
    TtlStrategy,
)
from prograde.api.meta import ObjectMeta
from prograde.core.analysis.arguments import redacted
from prograde.core.analysis.run import AnalysisPlan, AnalysisSnapshot, Outcome, fold, plan_run
from prograde.core.analysis.schedule import Operation

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROMETHEUS = MetricProvider(prometheus=PrometheusMetric(address="http://prometheus", query="up"))


def metric(name: str = "errors", /, **fields: Any) -> Metric:
    return msgspec.structs.replace(Metric(name=name, provider=PROMETHEUS), **fields)


def run_of(*metrics: Metric, status: AnalysisRunStatus | None = None, **spec: object) -> AnalysisRun:
    return AnalysisRun(
        metadata=ObjectMeta(name="run", namespace="shop", uid="u"),
        spec=msgspec.structs.replace(AnalysisRunSpec(metrics=metrics or (metric(),)), **spec),
        status=status or AnalysisRunStatus(),
    )


def measured(phase: str, at: datetime = T0, message: str = "") -> Measurement:
    return Measurement(phase=phase, started_at=at, finished_at=at, value="1", message=message)


def result(name: str = "errors", *measurements: Measurement, **fields: object) -> MetricResult:
    base = MetricResult(name=name, phase="Running", measurements=measurements)
    counted = {
        "successful": sum(each.phase == "Successful" for each in measurements),
        "failed": sum(each.phase == "Failed" for each in measurements),
        "inconclusive": sum(each.phase == "Inconclusive" for each in measurements),
        "error": sum(each.phase == "Error" for each in measurements),
        "count": sum(each.phase in ("Successful", "Failed", "Inconclusive") for each in measurements),
    }
    return msgspec.structs.replace(base, **{**counted, **fields})


def running(*results: MetricResult, started_at: datetime | None = T0) -> AnalysisRunStatus:
    return AnalysisRunStatus(phase="Running", metric_results=results, started_at=started_at)


def plan(run: AnalysisRun, at: datetime = T0, **snapshot: object) -> AnalysisPlan:
    return plan_run(msgspec.structs.replace(AnalysisSnapshot(run=run), **snapshot), at)


def due(run: AnalysisRun, at: datetime = T0) -> list[tuple[str, str]]:
    return [(task.metric.name, task.operation.value) for task in plan(run, at).tasks]


class Simulation:
    """A run whose provider answers what it is told, on a clock of its own."""

    def __init__(self, run: AnalysisRun, now: datetime = T0) -> None:
        self.run = run
        self.now = now
        self.events: list[str] = []

    def step(self, *phases: str, message: str = "") -> AnalysisPlan:
        """Do one pass; the tasks that are due are answered with the phases, in their order."""
        planned = plan_run(AnalysisSnapshot(run=self.run, secrets={}), self.now)
        if planned.tasks:
            assert len(planned.tasks) == len(phases), [task.metric.name for task in planned.tasks]
            outcomes = [Outcome(measurement=measured(phase, self.now, message)) for phase in phases]
            planned = fold(self.run, planned.tasks, outcomes, {}, self.now)
        else:
            assert not phases, "nothing was due"
        if planned.status is not None:
            self.run = msgspec.structs.replace(self.run, status=planned.status)
        self.events += [event.reason for event in planned.events]
        return planned

    def measure(self, phases: Sequence[str], message: str = "") -> None:
        """Go from one due time to the next, with one answer each."""
        for phase in phases:
            planned = self.step(phase, message=message)
            if planned.requeue_at is not None:
                self.now = max(self.now, planned.requeue_at)

    @property
    def status(self) -> AnalysisRunStatus:
        return self.run.status

    def end(self) -> None:
        self.run = msgspec.structs.replace(self.run, spec=msgspec.structs.replace(self.run.spec, terminate=True))


# ---- Scheduling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "last", "seconds_ago", "is_due"),
    [
        ({"interval": "60s"}, "Successful", 61, True),
        ({"interval": "60s"}, "Successful", 60, True),
        ({"interval": "60s"}, "Successful", 59, False),
        ({}, "Successful", 3600, False),
        ({}, "Error", 11, True),
        ({}, "Error", 9, False),
        ({"interval": "5m"}, "Error", 11, True),
        ({"interval": "1s"}, "Error", 9, False),
        ({"interval": "5m", "count": 1}, "Successful", 900, False),
        ({"interval": "5m", "count": -1}, "Successful", 900, False),
        ({"interval": "5m", "count": "2"}, "Successful", 900, True),
        ({"interval": "5m", "count": "x"}, "Successful", 900, True),
    ],
)
def test_a_measurement_is_due_after_its_interval(
    fields: dict[str, object], last: str, seconds_ago: int, is_due: bool
) -> None:
    at = T0 - timedelta(seconds=seconds_ago)
    run = run_of(metric(**fields), status=running(result("errors", measured(last, at))))
    assert due(run) == ([("errors", "Run")] if is_due else [])


def test_a_failed_metric_stops_the_others_and_terminates_what_is_in_flight() -> None:
    failed = result("a", measured("Failed"), phase="Failed")
    in_flight = result("c", Measurement(phase="Running", started_at=T0, resume_at=T0 + timedelta(hours=1)))
    run = run_of(metric("a"), metric("b", interval="1s"), metric("c"), status=running(failed, in_flight))
    assert due(run) == [("c", "Terminate")]


def test_a_failed_dry_run_metric_stops_nobody() -> None:
    failed = result("a", measured("Failed"), phase="Failed", dry_run=True)
    run = run_of(metric("a"), metric("b"), status=running(failed), dry_run=(DryRun(metric_name="a"),))
    assert due(run) == [("b", "Run")]


def test_an_initial_delay_counts_from_the_start_of_the_run() -> None:
    simulation = Simulation(run_of(metric("late", initial_delay="5m"), metric("soon")))
    planned = simulation.step("Successful")
    assert simulation.status.started_at == T0
    assert planned.requeue_at == T0 + timedelta(minutes=5)
    simulation.now = T0 + timedelta(minutes=5)
    simulation.step("Successful")
    assert simulation.status.phase == "Successful"


def test_an_initial_delay_of_nothing_waits_for_the_start_of_the_run() -> None:
    simulation = Simulation(run_of(metric(initial_delay="0s")))
    assert simulation.step().requeue_at == T0
    assert simulation.status.started_at == T0
    simulation.step("Successful")
    assert simulation.status.phase == "Successful"


@pytest.mark.parametrize(
    ("resume_in_seconds", "terminate", "expected"),
    [(60, False, []), (0, False, ["Resume"]), (None, False, ["Resume"]), (60, True, ["Terminate"])],
)
def test_a_measurement_in_flight_is_resumed_when_its_provider_says_so(
    resume_in_seconds: int | None, terminate: bool, expected: list[str]
) -> None:
    resume_at = T0 + timedelta(seconds=resume_in_seconds) if resume_in_seconds is not None else None
    in_flight = result("errors", Measurement(phase="Running", started_at=T0, resume_at=resume_at))
    run = run_of(status=running(in_flight), terminate=terminate)
    assert [operation for _, operation in due(run)] == expected


def test_the_earliest_metric_says_when_to_look_again() -> None:
    run = run_of(
        metric("a", interval="30s"),
        metric("b", interval="10s"),
        status=running(result("a", measured("Successful")), result("b", measured("Successful"))),
    )
    assert plan(run).requeue_at == T0 + timedelta(seconds=10)


def test_a_measurement_in_flight_without_a_time_is_left_to_events() -> None:
    in_flight = result("errors", Measurement(phase="Running", started_at=T0, resume_at=T0 + timedelta(seconds=7)))
    assert plan(run_of(status=running(in_flight))).requeue_at == T0 + timedelta(seconds=7)


# ---- Metrics --------------------------------------------------------------------------------------------------------

S, F, E, I = "Successful", "Failed", "Error", "Inconclusive"  # noqa: E741
MANY = {"interval": "10s", "count": 100}


@pytest.mark.parametrize(
    ("fields", "phases", "expected", "message"),
    [
        ({}, [S], S, ""),
        ({}, [F], F, 'Metric "errors" assessed Failed due to failed (1) > failureLimit (0)'),
        ({}, [I], I, 'Metric "errors" assessed Inconclusive due to inconclusive (1) > inconclusiveLimit (0)'),
        ({"failure_limit": 3, **MANY}, [F, F, F], "Running", ""),
        (
            {"failure_limit": 3, **MANY},
            [F] * 4,
            F,
            'Metric "errors" assessed Failed due to failed (4) > failureLimit (3)',
        ),
        ({"failure_limit": -1, "consecutive_success_limit": 3, **MANY}, [F] * 9, "Running", ""),
        (
            {"inconclusive_limit": 2, "failure_limit": 1, **MANY},
            [I, F, I, F],
            F,
            'Metric "errors" assessed Failed due to failed (2) > failureLimit (1)',
        ),
        (
            {"inconclusive_limit": 2, **MANY},
            [I] * 3,
            I,
            'Metric "errors" assessed Inconclusive due to inconclusive (3) > inconclusiveLimit (2)',
        ),
        ({}, [E] * 4, "Running", ""),
        (
            {},
            [E] * 5,
            E,
            'Metric "errors" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4)',
        ),
        (
            {"consecutive_error_limit": 0},
            [E],
            E,
            'Metric "errors" assessed Error due to consecutiveErrors (1) > consecutiveErrorLimit (0)',
        ),
        ({"interval": "10s", "count": 3}, [E] * 4 + [S] + [E] * 4, "Running", ""),
        ({"consecutive_success_limit": 3, "failure_limit": -1, "interval": "10s"}, [S, S, F, S, S, S], S, ""),
        ({"consecutive_success_limit": 3, "failure_limit": 1, "interval": "10s"}, [S, S, F, S, S, S], S, ""),
        (
            {"consecutive_success_limit": 3, "failure_limit": -1, "interval": "10s", "count": 5},
            [S, S, F, S, S],
            F,
            'Metric "errors" assessed Failed due to consecutiveSuccessLimit (3) not reached',
        ),
        (
            {"consecutive_success_limit": 3, "failure_limit": 4, "interval": "10s", "count": 10},
            [S, S, F, S, S, F, S, S, F, S],
            I,
            'Metric "errors" assessed Inconclusive due to consecutiveSuccessLimit (3) not reached',
        ),
        (
            {"consecutive_success_limit": 1, "failure_limit": 0, "interval": "10s"},
            [F],
            F,
            'Metric "errors" assessed Failed due to failed (1) > failureLimit (0)',
        ),
        ({"failure_limit": 2, "interval": "10s", "count": 5}, [F, S, F, S, S], S, ""),
        ({"count": -1}, [S], S, ""),
        ({"interval": "10s"}, [S] * 30, "Running", ""),
    ],
)
def test_limits_decide_how_a_metric_ends(
    fields: dict[str, object], phases: list[str], expected: str, message: str
) -> None:
    simulation = Simulation(run_of(metric(**fields)))
    simulation.measure(phases)
    assert (simulation.status.phase, simulation.status.message) == (expected, message)


def test_the_summary_counts_by_the_phase_in_which_a_metric_has_ended() -> None:
    fields = {"consecutive_success_limit": 3, "failure_limit": -1, "interval": "10s", "count": 1}
    simulation = Simulation(run_of(metric(**{**fields, "count": 3})))
    simulation.measure([S, S, F])
    assert simulation.status.run_summary == RunSummary(count=1, failed=1)


def test_the_message_of_the_provider_is_told_with_the_limit() -> None:
    simulation = Simulation(run_of(metric("m")))
    simulation.measure([F], message="too slow")
    expected = 'Metric "m" assessed Failed due to failed (1) > failureLimit (0): "Error Message: too slow"'
    assert simulation.status.message == expected
    assert simulation.events == ["MetricFailed", "AnalysisRunFailed"]


# ---- Runs -----------------------------------------------------------------------------------------------------------


def test_a_failing_metric_ends_the_run_in_the_next_pass() -> None:
    simulation = Simulation(run_of(metric("a", interval="10s"), metric("b")))
    simulation.step(S, F)
    assert simulation.status.phase == "Running"
    simulation.step()
    assert simulation.status.phase == "Failed"
    assert simulation.status.completed_at == T0


def test_the_worst_metric_gives_its_name_to_the_message() -> None:
    simulation = Simulation(run_of(metric("good"), metric("bad")))
    simulation.step(S, F)
    assert simulation.status.message == 'Metric "bad" assessed Failed due to failed (1) > failureLimit (0)'


def test_of_equally_bad_metrics_the_first_is_named() -> None:
    simulation = Simulation(run_of(metric("first"), metric("second")))
    simulation.step(F, F)
    assert simulation.status.message.startswith('Metric "first"')


def test_a_run_that_is_ended_before_any_measurement_is_successful() -> None:
    simulation = Simulation(run_of(terminate=True))
    simulation.step()
    assert (simulation.status.phase, simulation.status.message) == ("Successful", "Run Terminated")
    assert simulation.status.metric_results == ()
    assert simulation.status.run_summary.successful == 0


def test_a_run_that_is_ended_while_all_is_well_is_successful() -> None:
    simulation = Simulation(run_of(metric(interval="10s", failure_limit=5, count=100)))
    simulation.measure([S, F, S])
    simulation.end()
    simulation.step()
    assert (simulation.status.phase, simulation.status.message) == ("Successful", "Run Terminated")
    assert simulation.status.metric_results[0].phase == "Successful"


def test_a_failure_replaces_the_message_of_a_terminated_run() -> None:
    simulation = Simulation(run_of(metric("a", interval="10s"), metric("b")))
    simulation.step(S, F)
    simulation.end()
    simulation.step()
    assert simulation.status.message == 'Metric "b" assessed Failed due to failed (1) > failureLimit (0)'


def test_a_terminated_measurement_in_flight_makes_the_run_inconclusive() -> None:
    in_flight = result("job", Measurement(phase="Running", started_at=T0))
    simulation = Simulation(run_of(metric("job"), status=running(in_flight), terminate=True))
    simulation.step(I)
    assert simulation.status.phase == "Inconclusive"
    assert simulation.status.message == (
        'Metric "job" assessed Inconclusive due to inconclusive (1) > inconclusiveLimit (0):'
        ' "Error Message: Metric Terminated"'
    )


def test_a_provider_that_ignores_termination_does_not_hold_the_run_up() -> None:
    in_flight = result("kayenta", Measurement(phase="Running", started_at=T0))
    simulation = Simulation(run_of(metric("kayenta"), status=running(in_flight), terminate=True))
    planned = plan_run(AnalysisSnapshot(run=simulation.run, secrets={}), T0)
    outcome = Outcome(measurement=Measurement(phase="Running", started_at=T0))
    folded = fold(simulation.run, planned.tasks, [outcome], {}, T0)
    assert folded.status is not None
    assert (folded.status.phase, folded.status.message) == ("Successful", "Run Terminated")
    assert folded.status.metric_results[0].phase == "Running"


def test_dry_run_metrics_change_no_outcome() -> None:
    run = run_of(metric("trial"), metric("real"), dry_run=(DryRun(metric_name="tri"),))
    simulation = Simulation(run)
    simulation.step(F, S)
    assert (simulation.status.phase, simulation.status.message) == ("Successful", "")
    assert simulation.status.dry_run_summary == RunSummary(count=1, failed=1)
    assert simulation.status.run_summary == RunSummary(count=1, successful=1)
    assert simulation.status.metric_results[0].message == "Metric assessed Failed due to failed (1) > failureLimit (0)"
    assert simulation.status.metric_results[0].dry_run


def test_a_run_of_dry_run_metrics_alone_is_successful() -> None:
    simulation = Simulation(run_of(metric(consecutive_error_limit=0), dry_run=(DryRun(metric_name=""),)))
    simulation.measure([E])
    assert simulation.status.phase == "Successful"


def test_a_dry_run_metric_delays_the_end_of_its_run() -> None:
    run = run_of(metric("trial", interval="10s", count=2), metric("real"), dry_run=(DryRun(metric_name="trial"),))
    simulation = Simulation(run)
    simulation.step(S, S)
    assert simulation.status.phase == "Running"
    simulation.now += timedelta(seconds=10)
    simulation.step(S)
    assert simulation.status.phase == "Successful"


def test_results_are_in_the_order_of_the_spec() -> None:
    simulation = Simulation(run_of(metric("b", initial_delay="1m"), metric("a", interval="10s")))
    simulation.step(S)
    simulation.now += timedelta(minutes=1)
    simulation.step(S, S)
    assert [each.name for each in simulation.status.metric_results] == ["b", "a"]


def test_a_completed_run_is_left_alone_whatever_is_done_to_it() -> None:
    run = run_of(status=AnalysisRunStatus(phase="Failed", completed_at=T0), terminate=True)
    assert plan(run, T0 + timedelta(days=1)) == AnalysisPlan()


def test_a_run_that_is_being_deleted_is_not_measured() -> None:
    run = run_of()
    run = msgspec.structs.replace(run, metadata=msgspec.structs.replace(run.metadata, deletion_timestamp=T0))
    assert plan(run) == AnalysisPlan()


def test_nothing_is_written_when_nothing_changes() -> None:
    simulation = Simulation(run_of(metric(interval="10s")))
    simulation.step(S)
    assert simulation.step().status is None


# ---- Arguments ------------------------------------------------------------------------------------------------------

SECRET = SecretKeyRef(name="tokens", key="api")
FROM_SECRET = Argument(name="token", value_from=ArgumentValueFrom(secret_key_ref=SECRET))


def with_query(query: str, **fields: Any) -> Metric:
    return metric(provider=MetricProvider(prometheus=PrometheusMetric(query=query)), **fields)


@pytest.mark.parametrize(
    ("metrics", "arguments", "message"),
    [
        ((metric(),), (Argument(name="x"),), 'Unable to resolve metric arguments: argument "x" was not supplied'),
        ((with_query("{{args.y}}"),), (), "Unable to resolve metric arguments: failed to resolve {{args.y}}"),
        ((metric(initial_delay="soon"),), (), "Analysis spec invalid: metrics[0]: invalid startDelay string:"),
        ((metric(), metric()), (), "Analysis spec invalid: metrics[1]: duplicate name 'errors'"),
        (
            (metric(interval="{{args.token}}"),),
            (FROM_SECRET,),
            "Analysis spec invalid: metrics[0].interval must not come from a Secret",
        ),
    ],
)
def test_what_cannot_be_measured_ends_in_an_error(
    metrics: tuple[Metric, ...], arguments: tuple[Argument, ...], message: str
) -> None:
    planned = plan(run_of(*metrics, args=arguments))
    assert planned.status is not None
    assert planned.status.phase == "Error"
    assert planned.status.message.startswith(message)
    assert planned.status.completed_at == T0
    assert [event.reason for event in planned.events] == ["AnalysisRunError"]


def test_rules_that_fit_no_metric_are_an_error() -> None:
    planned = plan(run_of(dry_run=(DryRun(metric_name="err"), DryRun(metric_name="x"))))
    assert planned.status is not None
    assert planned.status.message == "Analysis spec invalid: dryRun[1]: Rule didn't match any metric name(s)"


def test_placeholders_are_filled_with_whatever_the_value_is() -> None:
    value = 'foo "bar" \\ baz\nnext'
    run = run_of(
        with_query("{{ args.q }} {{args.q}}", success_condition="{{args.q}}"), args=(Argument(name="q", value=value),)
    )
    (task,) = plan(run).tasks
    assert task.metric.provider.prometheus is not None
    assert task.metric.provider.prometheus.query == f"{value} {value}"
    assert task.metric.success_condition == value


def test_secrets_are_asked_for_when_something_is_to_be_measured() -> None:
    run = run_of(with_query("{{args.token}}"), args=(FROM_SECRET,))
    assert plan(run) == AnalysisPlan(wants_secrets=(SECRET,))
    (task,) = plan(run, secrets={SECRET: "s3cr3t"}).tasks
    assert task.metric.provider.prometheus is not None
    assert task.metric.provider.prometheus.query == "s3cr3t"


def test_a_missing_secret_ends_the_run() -> None:
    planned = plan(run_of(args=(FROM_SECRET,)), missing_secret='secrets "tokens" not found')
    assert planned.status is not None
    assert planned.status.message == 'Unable to resolve metric arguments: secrets "tokens" not found'


def test_secret_values_are_unreadable_in_all_that_is_stored() -> None:
    run = run_of(with_query("{{args.token}}"), args=(FROM_SECRET,))
    secrets = {SECRET: "s3cr3t"}
    tasks = plan(run, secrets=secrets).tasks
    outcome = Outcome(
        measurement=Measurement(
            phase="Error", message="no s3cr3t here", value="s3cr3t", metadata={"url": "/s3cr3t"}, finished_at=T0
        ),
        metadata={"ResolvedPrometheusQuery": "s3cr3t"},
    )
    folded = fold(run, tasks, [outcome], secrets, T0)
    assert folded.status is not None
    assert "s3cr3t" not in msgspec.json.encode(folded.status).decode()
    assert folded.status.metric_results[0].metadata == {"ResolvedPrometheusQuery": "*****"}


# ---- Retention and time to live -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ((), 10),
        ((MeasurementRetention(metric_name="errors", limit=20),), 11),
        ((MeasurementRetention(metric_name="errors", limit=0),), 10),
        ((MeasurementRetention(metric_name=".*", limit=5), MeasurementRetention(metric_name="e", limit=3)), 3),
    ],
)
def test_the_newest_measurements_are_kept(rules: tuple[MeasurementRetention, ...], kept: int) -> None:
    simulation = Simulation(run_of(metric(interval="10s"), measurement_retention=rules))
    simulation.measure([S] * 11)
    (stored,) = simulation.status.metric_results
    assert len(stored.measurements) == kept
    assert stored.successful == 11
    assert stored.measurements[-1].finished_at == T0 + timedelta(seconds=100)


@pytest.mark.parametrize(
    ("phase", "strategy", "lives_seconds"),
    [
        ("Successful", TtlStrategy(seconds_after_completion=60), 61),
        ("Successful", TtlStrategy(seconds_after_completion=60, seconds_after_success=0), 1),
        ("Failed", TtlStrategy(seconds_after_completion=60, seconds_after_failure=5), 6),
        ("Failed", TtlStrategy(seconds_after_success=5), None),
        ("Error", TtlStrategy(seconds_after_completion=7, seconds_after_failure=1, seconds_after_success=1), 8),
        ("Inconclusive", TtlStrategy(seconds_after_completion=7), 8),
        ("Successful", None, None),
    ],
)
def test_a_completed_run_lives_as_long_as_it_is_told(
    phase: str, strategy: TtlStrategy | None, lives_seconds: int | None
) -> None:
    run = run_of(status=AnalysisRunStatus(phase=phase, completed_at=T0), ttl_strategy=strategy)
    if lives_seconds is None:
        assert plan(run, T0 + timedelta(days=9)) == AnalysisPlan()
        return
    expires_at = T0 + timedelta(seconds=lives_seconds)
    assert plan(run, T0).requeue_at == expires_at
    assert not plan(run, expires_at - timedelta(milliseconds=1)).deletes
    assert plan(run, expires_at).deletes


def test_a_run_that_completes_is_looked_at_again_when_its_time_is_over() -> None:
    simulation = Simulation(run_of(ttl_strategy=TtlStrategy(seconds_after_completion=9)))
    assert simulation.step(S).requeue_at == T0 + timedelta(seconds=10)


# ---- Two controllers ------------------------------------------------------------------------------------------------


def test_an_answer_that_comes_too_late_is_dropped() -> None:
    run = run_of(metric(interval="10s"))
    tasks = plan(run, secrets={}).tasks
    assert tasks[0].operation is Operation.RUN
    in_flight = running(result("errors", Measurement(phase="Running", started_at=T0)))
    changed = msgspec.structs.replace(run, status=in_flight)
    folded = fold(changed, tasks, [Outcome(measurement=measured(F))], {}, T0)
    assert folded.status is None or folded.status.metric_results[0].failed == 0


def test_an_answer_to_a_completed_run_is_dropped() -> None:
    run = run_of()
    tasks = plan(run, secrets={}).tasks
    completed = msgspec.structs.replace(run, status=AnalysisRunStatus(phase="Successful", completed_at=T0))
    assert fold(completed, tasks, [Outcome(measurement=measured(F))], {}, T0) == AnalysisPlan()


# ---- Answers that come while things change ---------------------------------------------------------------------------


def test_an_answer_that_another_controller_has_been_faster_with_is_dropped() -> None:
    once = run_of(metric(interval="1m"), status=running(result("errors", measured("Successful"))))
    (task,) = plan(once, T0 + timedelta(minutes=1)).tasks
    later = T0 + timedelta(minutes=1)
    twice = run_of(
        metric(interval="1m"), status=running(result("errors", measured("Successful"), measured("Successful", later)))
    )
    folded = fold(twice, [task], [Outcome(measurement=measured("Successful", later))], {}, later)
    assert folded.status is not None
    assert (folded.status.metric_results[0].count, len(folded.status.metric_results[0].measurements)) == (2, 2)


@pytest.mark.parametrize("operation", [Operation.RUN, Operation.RESUME])
def test_what_is_left_in_flight_when_the_run_was_told_to_end_is_stopped_next(operation: Operation) -> None:
    in_flight = Measurement(phase="Running", started_at=T0, resume_at=T0 + timedelta(minutes=1))
    before = running(result("errors", in_flight)) if operation is Operation.RESUME else AnalysisRunStatus()
    at = T0 + timedelta(minutes=1)
    (task,) = plan(run_of(status=before), at).tasks
    assert task.operation is operation
    told = run_of(status=before, terminate=True)
    still = Measurement(phase="Running", started_at=T0, resume_at=at + timedelta(hours=1))
    folded = fold(told, [task], [Outcome(measurement=still)], {}, at)
    assert folded.status is not None
    assert (folded.status.phase, folded.requeue_at) == ("Running", at)
    (stop,) = plan(run_of(status=folded.status, terminate=True), at).tasks
    assert (stop.operation, stop.measurement) == (Operation.TERMINATE, still)


# ---- Rules and placeholders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("test", "my-test-1", True),
        ("", "anything", True),
        ("*", "anything", False),
        (".*", "anything", True),
        ("^rate$", "rate", True),
        ("^rate$", "rates", False),
        (r"\pL+", "rate", True),
        ("(?=rate)", "rate", False),
        (r"(r)\1", "rr", False),
    ],
)
def test_rules_are_the_regular_expressions_of_go(pattern: str, name: str, fits: bool) -> None:
    run = run_of(metric(name), dry_run=(DryRun(metric_name=pattern),))
    planned = plan(run)
    assert bool(planned.tasks) is fits
    if not fits:
        assert planned.status is not None
        assert planned.status.message == "Analysis spec invalid: dryRun[0]: Rule didn't match any metric name(s)"


def test_a_rule_cannot_stop_the_clock() -> None:
    name = "a" * 40 + "b"
    assert plan(run_of(metric(name), dry_run=(DryRun(metric_name="(a+)+$"),))).status is not None


def test_a_run_without_metrics_is_told_so_whatever_its_arguments_are() -> None:
    run = AnalysisRun(spec=AnalysisRunSpec(args=(Argument(name="x"),)))
    planned = plan(run)
    assert planned.status is not None
    assert planned.status.message == "Analysis spec invalid: no metrics specified"


def test_of_several_unknown_placeholders_the_last_is_named() -> None:
    query = MetricProvider(prometheus=PrometheusMetric(query="{{args.query}}"))
    planned = plan(run_of(metric(success_condition="{{args.limit}}", provider=query)))
    assert planned.status is not None
    assert planned.status.message == "Unable to resolve metric arguments: failed to resolve {{args.query}}"


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param('a b&"c"/', id="as it is"),
        pytest.param("a%20b%26%22c%22/", id="in a path"),
        pytest.param("a%20b%26%22c%22%2F", id="in a part of a path"),
        pytest.param("a+b%26%22c%22%2F", id="in a query"),
        pytest.param(r"a b&\"c\"/", id="between quotation marks"),
        pytest.param(r"a b\u0026\"c\"/", id="in JSON"),
    ],
)
def test_a_secret_is_found_in_all_its_forms(shown: str) -> None:
    secrets = {SecretKeyRef(name="s", key="k"): 'a b&"c"/'}
    assert redacted(f"before {shown} after", secrets) == "before ***** after"
