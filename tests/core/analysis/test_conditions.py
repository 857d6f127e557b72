"""Success and failure conditions make the phase of a measurement."""

from datetime import UTC, datetime

import pytest

from prograde.api.analysis import Metric
from prograde.core.analysis.conditions import InvalidCondition, judge_value
from prograde.expr.values import Floats, Value

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NO_DATA = "metric result is nil or empty: no data returned from the metric provider"


def judge(result: Value, success: str = "", failure: str = "") -> str:
    metric = Metric(name="m", success_condition=success, failure_condition=failure)
    return judge_value(metric, result, lambda: NOW)


@pytest.mark.parametrize(
    ("success", "failure", "phase"),
    [
        ("", "", "Successful"),
        ("result > 1", "", "Successful"),
        ("result > 9", "", "Failed"),
        ("", "result > 1", "Failed"),
        ("", "result > 9", "Successful"),
        ("result > 1", "result > 1", "Failed"),
        ("result > 9", "result > 1", "Failed"),
        ("result > 1", "result > 9", "Successful"),
        ("result > 9", "result > 9", "Inconclusive"),
    ],
)
def test_both_conditions_decide_together(success: str, failure: str, phase: str) -> None:
    assert judge(5.0, success, failure) == phase


@pytest.mark.parametrize(
    ("result", "success", "failure", "message"),
    [
        (5.0, "result", "", 'could not evaluate successCondition "result": expected bool, but got float64'),
        (5.0, "true", "result >", 'could not evaluate failureCondition "result >": unexpected token EOF'),
        (5.0, "asInt(1)", "", 'could not evaluate successCondition "asInt(1)": expected bool, but got int64'),
        ("x", "result.a", "", 'could not evaluate successCondition "result.a": type string has no field a'),
        (None, "result > 1", "", f'could not evaluate successCondition "result > 1": {NO_DATA}'),
        (None, "result >", "", f'could not evaluate successCondition "result >": {NO_DATA}'),
        (Floats(), "result[0] > 1", "", f'could not evaluate successCondition "result[0] > 1": {NO_DATA}'),
        (
            "",
            "result > 1",
            "",
            'could not evaluate successCondition "result > 1": invalid operation: > (mismatched types string and int)',
        ),
        (
            {},
            "result.a > 1",
            "",
            'could not evaluate successCondition "result.a > 1": invalid operation: <nil> > int',
        ),
    ],
)
def test_a_condition_without_answer_says_why(result: Value, success: str, failure: str, message: str) -> None:
    with pytest.raises(InvalidCondition) as caught:
        judge(result, success, failure)
    assert str(caught.value) == message


def test_an_error_in_the_second_condition_counts_although_the_first_has_decided() -> None:
    with pytest.raises(InvalidCondition):
        judge(5.0, "result < 1", "nonsense")


def test_missing_data_can_be_given_a_meaning() -> None:
    assert judge(None, "default(result, 0) < 1") == "Successful"
    assert judge(Floats(), "len(result) == 0 || result[0] > 1") == "Successful"
