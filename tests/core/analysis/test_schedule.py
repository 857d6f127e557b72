"""When measurements in flight are looked at again."""

from datetime import UTC, datetime, timedelta

import pytest

from prograde.api.analysis import AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, Measurement, Metric, MetricResult
from prograde.core.analysis.schedule import Operation, due_tasks

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
METRIC = Metric(name="smoke")


@pytest.mark.parametrize(
    ("resume_in_seconds", "ended_jobs", "is_due"),
    [
        (60, frozenset(), False),
        (60, frozenset({"another"}), False),
        (60, frozenset({"smoke.1"}), True),
        (0, frozenset(), True),
        (None, frozenset(), True),
    ],
)
@pytest.mark.parametrize("terminate", [False, True])
def test_a_measurement_is_due_at_its_time_and_when_its_job_has_ended(
    resume_in_seconds: int | None, ended_jobs: frozenset[str], is_due: bool, terminate: bool
) -> None:
    resume_at = NOW + timedelta(seconds=resume_in_seconds) if resume_in_seconds is not None else None
    in_flight = Measurement(phase="Running", started_at=NOW, resume_at=resume_at, metadata={"job-name": "smoke.1"})
    result = MetricResult(name="smoke", phase="Running", measurements=(in_flight,))
    run = AnalysisRun(
        spec=AnalysisRunSpec(metrics=(METRIC,), terminate=terminate),
        status=AnalysisRunStatus(phase="Running", metric_results=(result,)),
    )
    operations = [task.operation for task in due_tasks(run, [METRIC], NOW, ended_jobs)]
    if terminate:
        assert operations == [Operation.TERMINATE]
    else:
        assert operations == ([Operation.RESUME] if is_due else [])
