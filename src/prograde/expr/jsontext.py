"""JSON as the language reads and writes it: every number read is a float, what is written is indented by two spaces."""

import base64
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from prograde.expr.errors import RunError
from prograde.expr.times import Instant, NamedNumber, format_time
from prograde.expr.values import AnyMap, Duration, Value, float_text, go_type

__all__ = ["compact_json", "from_json", "to_json"]


def to_json(value: Value) -> str:
    """Write a value.

    Raises:
        RunError: JSON has nothing for it.
    """
    return "".join(_written(value, ""))


def compact_json(value: Value) -> str:
    """Write a value without white space, keys in order.

    Raises:
        RunError: JSON has nothing for it.
    """
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{compact_json(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact_json, value)) + "]"
    return to_json(value)


def _written(value: Value, indent: str) -> Iterator[str]:
    inner = indent + "  "
    if value is None:
        yield "null"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int):
        yield str(int(value))
    elif isinstance(value, float):
        yield _number(value)
    elif isinstance(value, str):
        yield _quoted(value)
    elif isinstance(value, bytes):
        yield _quoted(base64.b64encode(value).decode())
    elif isinstance(value, Duration):
        yield str(value.nanoseconds)
    elif isinstance(value, NamedNumber):
        yield str(value.number)
    elif isinstance(value, Instant):
        yield _quoted(format_time(value, "2006-01-02T15:04:05.999999999Z07:00"))
    elif isinstance(value, list):
        yield from _enclosed("[", "]", [_written(each, inner) for each in value], indent)
    elif isinstance(value, dict) and not isinstance(value, AnyMap):
        yield from _enclosed("{", "}", [_pair(key, value[key], inner) for key in sorted(value)], indent)
    else:
        raise RunError(f"json: unsupported type: {go_type(value)}")


def _pair(key: str, value: Value, indent: str) -> Iterator[str]:
    yield f"{_quoted(key)}: "
    yield from _written(value, indent)


def _enclosed(opening: str, closing: str, items: list[Iterator[str]], indent: str) -> Iterator[str]:
    if not items:
        yield opening + closing
        return
    yield opening
    for index, item in enumerate(items):
        yield f"{',' if index else ''}\n{indent}  "
        yield from item
    yield f"\n{indent}{closing}"


def _number(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        raise RunError(f"json: unsupported value: {float_text(value)}")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        text = repr(value) if "e" not in repr(value) else format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = repr(value).partition("e")
    mantissa = mantissa.removesuffix(".0")
    # Two digits of the exponent are enough where one is: 1e-7, not 1e-07.
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"


_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, which JSON can escape and UTF-8 cannot write."""

_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def _quoted(text: str) -> str:
    quoted = json.dumps(_SURROGATE.sub("\ufffd", text), ensure_ascii=False)
    return "".join(_ESCAPED.get(char, char) for char in quoted)


def from_json(text: str) -> Value:
    """Read a value.

    Raises:
        RunError: it is no JSON, in Go's words.
    """
    try:
        return json.loads(text, parse_int=_float, parse_float=_float, parse_constant=_refuse)
    except json.JSONDecodeError as err:
        raise RunError(_complaint(text, err)) from None


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise RunError(f"json: cannot unmarshal number {digits} into Go value of type float64")
    return number


def _refuse(constant: str) -> Any:
    raise json.JSONDecodeError("Expecting value", constant, 0)


def _complaint(text: str, err: json.JSONDecodeError) -> str:
    rest = text[err.pos :].lstrip(" \t\r\n")
    if not rest:
        return "unexpected end of JSON input"
    for literal in ("null", "true", "false"):
        if rest[0] == literal[0] and err.msg == "Expecting value":
            at = next((i for i, char in enumerate(literal) if rest[i : i + 1] != char), 0)
            found = rest[at : at + 1] or " "
            return f"invalid character '{found}' in literal {literal} (expecting '{literal[at]}')"
    where = {
        "Extra data": "after top-level value",
        "Expecting ':' delimiter": "after object key",
        "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    }.get(err.msg, "looking for beginning of value")
    if err.msg == "Expecting ',' delimiter":
        where = "after array element" if _is_in_array(text[: err.pos]) else "after object key:value pair"
    return f"invalid character '{rest[0]}' {where}"


def _is_in_array(before: str) -> bool:
    depth = 0
    for char in reversed(before):
        if char in "]}":
            depth += 1
        elif char in "[{":
            if depth == 0:
                return char == "["
            depth -= 1
    return False
