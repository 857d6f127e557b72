"""The language against recorded answers of the library that it has to agree with.

`answers.jsonl` holds one case a line: kind and value of `result`, the expression, and what expr-lang 1.17.8 made of
it, called from Go with the functions that conditions have: a value with its type, an error of the compiler, or one of
the run. Part of the expressions is written by hand, part is generated at random from a grammar.
"""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from prograde.expr.conditions import evaluate
from prograde.expr.errors import CompileError, RunError
from prograde.expr.times import NamedNumber
from prograde.expr.values import Duration, Floats, Value, float_text, go_type

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

DIFFERENT = {
    'string(timezone("UTC"))': "prints the name of the zone, not the fields of Go's structure",
    '"héllo"[1:2]': "Go's JSON, in which the answer is recorded, escapes half a character",
}

CASES = [json.loads(line) for line in Path(__file__).with_name("answers.jsonl").read_text().splitlines()]


def _result(kind: str, value: Any) -> Value:
    if kind == "float":
        return float(value)
    if kind == "floats":
        return Floats(float(each) for each in value)
    return json.loads(json.dumps(value), parse_int=float) if kind == "json" else value


def _shown(value: Value) -> str:
    """Write a value as the recording does: floats with an f, keys in order."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"f{float_text(value)}"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    if isinstance(value, (list, bytes)):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        pairs = sorted((_shown(key), _shown(each)) for key, each in value.items())
        return f"{{{', '.join(f'{key}: {each}' for key, each in pairs)}}}"
    if isinstance(value, NamedNumber):
        return str(value.number)
    return f"duration {value}" if isinstance(value, Duration) else str(value)


def _answer(expression: str, result: Value) -> tuple[str, str, str]:
    try:
        value = evaluate(expression, result, lambda: NOW)
    except CompileError as err:
        return "compile", "", str(err)
    except RunError as err:
        return "run", "", str(err)
    return "value", go_type(value), _shown(value)


def test_every_answer_is_the_recorded_one() -> None:
    wrong = [
        f"{expression!r} of {value!r}: {answer} and not {(stage, kind_name, text)}"
        for kind, value, expression, stage, kind_name, text in CASES
        if (answer := _answer(expression, _result(kind, value))) != (stage, kind_name, text)
        and expression not in DIFFERENT
    ]

    assert not wrong, "\n".join(wrong)


def test_there_are_enough_of_them() -> None:
    assert len(CASES) > 2400
    assert {stage for _, _, _, stage, _, _ in CASES} == {"value", "compile", "run"}


@pytest.mark.parametrize("expression", DIFFERENT)
def test_known_differences_are_still_there(expression: str) -> None:
    """A difference that is gone must leave the list."""
    kind, value, _, stage, kind_name, text = next(case for case in CASES if case[2] == expression)
    assert _answer(expression, _result(kind, value)) != (stage, kind_name, text)


def test_nan_is_neither_less_nor_greater_nor_equal() -> None:
    for operator in ("<", ">", "<=", ">=", "=="):
        assert evaluate(f"result {operator} 1", math.nan, lambda: NOW) is False
    assert evaluate("result != result", math.nan, lambda: NOW) is True
