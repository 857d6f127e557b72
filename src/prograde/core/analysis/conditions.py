"""What a measured value means: the success and the failure condition of its metric.

success      failure      phase
not given    not given    Successful
true/false   not given    Successful / Failed
not given    true/false   Failed / Successful
any          true         Failed
true         false        Successful
false        false        Inconclusive
"""

from collections.abc import Callable
from datetime import datetime

from prograde.api import names
from prograde.api.analysis import Metric
from prograde.expr.conditions import evaluate
from prograde.expr.errors import ExpressionError
from prograde.expr.values import Value, go_type

__all__ = ["InvalidCondition", "judge_value"]


class InvalidCondition(ValueError):
    """A condition has no answer for the measured value."""


def judge_value(metric: Metric, result: Value, clock: Callable[[], datetime]) -> str:
    """Return the phase of a measurement.

    `result` is the measured value as the provider types it: floats, `expr.values.Floats`, texts, maps.

    Raises:
        InvalidCondition: a condition is wrong or does not fit the value. Both are always evaluated.
    """
    succeeded = _answer("successCondition", metric.success_condition, result, clock)
    failed = _answer("failureCondition", metric.failure_condition, result, clock)
    if failed:
        return names.RUN_FAILED
    if succeeded is None:
        return names.RUN_SUCCESSFUL
    if succeeded:
        return names.RUN_SUCCESSFUL
    return names.RUN_FAILED if failed is None else names.RUN_INCONCLUSIVE


def _answer(field: str, condition: str, result: Value, clock: Callable[[], datetime]) -> bool | None:
    if not condition:
        return None
    try:
        value = evaluate(condition, result, clock)
        if not isinstance(value, bool):
            raise InvalidCondition(f"expected bool, but got {go_type(value)}")
    except (ExpressionError, InvalidCondition) as err:
        reason = str(err)
        if result is None or (isinstance(result, list) and not result):
            # Whatever else is wrong with it: the value is what is missing.
            reason = "metric result is nil or empty: no data returned from the metric provider"
        raise InvalidCondition(f'could not evaluate {field} "{condition}": {reason}') from None
    return value
