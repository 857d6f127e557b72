"""Conditions on a measurement: the environment that they see, and their evaluation.

    result   the measured value
    asInt, asFloat, isNaN, isInf   conversions and tests
    isNil, default   look at the whole result, whatever they are given

The last two are as Argo Rollouts has them: ``default(result.field, 0)`` is the result and not the field.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from prograde.expr.compiler import EnvironmentFunction, Program, compile_expression
from prograde.expr.errors import RunError
from prograde.expr.kinds import ANY, BOOL, FLOAT, INT64, UNTYPED, Kind, kind_of
from prograde.expr.times import Instant
from prograde.expr.values import Int64, Value, go_type, int_of_float, is_number, text_of

__all__ = ["check", "evaluate", "evaluate_time"]

PROGRAMS_MAX: Final = 4096
"""Compiled expressions that are kept; a cluster has fewer conditions, and most are evaluated again and again."""


def _as_int(value: Value) -> Int64:
    if isinstance(value, str):
        return Int64(_parsed_int(value))
    if is_number(value):
        return Int64(int_of_float(value) if isinstance(value, float) else value)
    raise RunError(f"asInt() not supported on {go_type(value)} {text_of(value)}")


def _parsed_int(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise RunError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    # Longer numbers do not fit, and are slow to read.
    number = int(text) if len(digits.lstrip("0")) < 20 else 1 << 64
    if not -(1 << 63) <= number < 1 << 63:
        raise RunError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number


def _as_float(value: Value) -> float:
    if isinstance(value, str):
        return _parsed_float(value)
    if is_number(value):
        return float(value)
    raise RunError(f"asFloat() not supported on {go_type(value)} {text_of(value)}")


def _parsed_float(text: str) -> float:
    try:
        if text != text.strip() or not text.isascii():
            raise ValueError(text)
        plain = text.replace("_", "").lower()
        number = float.fromhex(text.replace("_", "")) if "0x" in plain else float(plain)
    except OverflowError:
        number = math.inf
        plain = ""
    except ValueError:
        raise RunError(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from None
    if math.isinf(number) and "inf" not in plain:
        raise RunError(f'strconv.ParseFloat: parsing "{text}": value out of range')
    return number


_FUNCTIONS: Final = {
    "asInt": EnvironmentFunction((ANY,), INT64, _as_int),
    "asFloat": EnvironmentFunction((ANY,), FLOAT, _as_float),
    "isNaN": EnvironmentFunction((FLOAT,), BOOL, math.isnan),
    "isInf": EnvironmentFunction((FLOAT,), BOOL, math.isinf),
    "isNil": EnvironmentFunction((ANY,), BOOL, None),
    "default": EnvironmentFunction((ANY, ANY), ANY, None),
}


def evaluate(source: str, result: Value, clock: Callable[[], datetime]) -> Value:
    """Return the value of an expression about a measured value.

    `clock` says what ``now()`` is, aware.

    Raises:
        ExpressionError: the expression is wrong, or has no value for this result.
    """
    program = _program(source, kind_of(result))
    functions: Mapping[str, Value] = {
        "isNil": lambda _: result is None,
        "default": lambda _, other: other if result is None else result,
    }
    return program({"result": result, **functions}, lambda: Instant.of(clock()))


def check(source: str) -> None:
    """Compile an expression about a measured value of which nothing is known.

    Raises:
        CompileError: it is wrong whatever is measured.
    """
    _program(source, UNTYPED)


def evaluate_time(source: str, clock: Callable[[], datetime]) -> datetime:
    """Return the point in time that an expression stands for, such as ``now() - duration("1h")``, to the microsecond.

    Raises:
        ExpressionError: the expression is wrong, or not about a time.
    """
    value = _time_program(source)({}, lambda: Instant.of(clock()))
    if not isinstance(value, Instant):
        raise RunError(f"expected time.Time, but got {go_type(value)}")
    return value.local + timedelta(microseconds=value.nanosecond // 1000)


@lru_cache(maxsize=PROGRAMS_MAX)
def _time_program(source: str) -> Program:
    return compile_expression(source, {}, {name: _FUNCTIONS[name] for name in ("isNaN", "isInf")})


@lru_cache(maxsize=PROGRAMS_MAX)
def _program(source: str, kind: Kind) -> Program:
    return compile_expression(source, {"result": kind}, _FUNCTIONS)
