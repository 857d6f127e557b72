"""Nothing that somebody writes into a condition may take the controller down, or hold it up."""

import contextlib
import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.expr.conditions import evaluate
from prograde.expr.errors import CompileError, ExpressionError, RunError
from prograde.expr.syntax import parse

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def value_of(expression: str, result: object = 5.0) -> object:
    return evaluate(expression, result, lambda: NOW)


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(CompileError, match="exceeds maximum allowed nodes"):
        parse(" + ".join(["1"] * 6000))


@pytest.mark.parametrize("opening", ["(", "[", "-", "not ", "all([1], ", "result[", "1 ? 2 : "])
def test_deep_nesting_is_refused(opening: str) -> None:
    with pytest.raises(CompileError, match="nested too deeply|unexpected token"):
        parse(opening * 3000 + "1")


@pytest.mark.parametrize(
    "expression",
    [
        "len(1..2000000)",
        "repeat('a', 1000001)",
        "map(1..1000, map(1..1000, map(1..1000, 1)))",
        "sum(map(1..1000, len(map(1..1000, [#]))))",
    ],
)
def test_memory_is_bounded(expression: str) -> None:
    with pytest.raises(RunError, match="memory budget exceeded"):
        value_of(expression)


def test_patterns_run_in_linear_time() -> None:
    assert value_of("result matches '(a+)+$'", "a" * 5000 + "b") is False


def test_the_clock_is_the_callers() -> None:
    assert value_of("now() - date('2026-01-02T03:04:04Z') == duration('1s')") is True
    later = NOW + timedelta(hours=1)
    assert evaluate("now().Hour()", 1.0, lambda: later) == 4


def test_a_syntax_error_says_where() -> None:
    with pytest.raises(CompileError) as caught:
        parse("result >> 1")
    assert caught.value.position == 8


@given(st.text(alphabet=string.printable, max_size=60))
def test_no_text_does_more_than_be_wrong(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        value_of(text)


TOKENS = (
    "result 1 2.5 'a' true nil ( ) [ ] { } , : ; ? . ?. .. # + - * / % ** == != < > and or not in matches ?? | len("
    " map( filter( all( sum( let x = if else duration('1s') now() $env"
)


@given(
    st.lists(st.sampled_from(TOKENS.split()), max_size=14),
    st.sampled_from([5.0, None, "a", [1.0, "b"], {"a": {"b": 1.0}}, True]),
)
def test_no_sequence_of_tokens_does_more_than_be_wrong(tokens: list[str], result: object) -> None:
    with contextlib.suppress(ExpressionError):
        value_of(" ".join(tokens), result)
