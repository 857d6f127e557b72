"""The values of the language: what they are called, how they compare, add up and read as text.

Conditions are shared with systems written in Go, so its rules hold: integers have 64 bits and wrap around, a division
is always a float, a list of floats is another type than a list of anything, and messages name types as Go does. Most
values are plain Python ones; the classes here carry a name or a unit that Python's would lose.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from prograde.expr.errors import RunError

__all__ = [
    "AnyMap",
    "Byte",
    "Duration",
    "Floats",
    "Function",
    "Int64",
    "Ints",
    "ListMap",
    "Pair",
    "Pairs",
    "Record",
    "Strings",
    "Value",
    "add",
    "divide",
    "equal",
    "float_text",
    "go_kind",
    "go_type",
    "int_of_float",
    "is_integer",
    "is_less",
    "is_number",
    "modulo",
    "multiply",
    "power",
    "subtract",
    "text_of",
    "to_float",
    "wrapped",
]

Value: TypeAlias = Any
"""None, bool, int, float, str, bytes, list, dict, or one of the classes below and in `times`."""

_UINT64: Final = 1 << 64
_INT64_MIN: Final = -(1 << 63)


class Int64(int):
    """What ``asInt`` and some methods return: an integer, but not of the type of a literal."""


class Byte(int):
    """One byte of a string or of bytes."""


class Floats(list[float]):
    """A list that can hold nothing but floats, such as a range vector."""


class Ints(list[int]):
    """What ``a..b`` makes."""


class Strings(list[str]):
    """What ``split`` makes."""


class Pair(list[Value]):
    """Key and value, as ``toPairs`` makes them."""


class Pairs(list[Pair]):
    """What ``toPairs`` returns."""


class AnyMap(dict[Value, Value]):
    """A map whose keys may be anything, as ``fromPairs`` makes it."""


class ListMap(AnyMap):
    """What ``groupBy`` returns: lists by key."""


class Record(dict[str, Value]):
    """Fields with fixed names; `go_name` is what messages call it."""

    go_name = "struct"


class Function:
    """A function of the environment as a value."""

    def __init__(self, name: str, signature: str) -> None:
        self.name = name
        self.signature = signature


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time in nanoseconds."""

    nanoseconds: int

    def __str__(self) -> str:
        return _duration_text(self.nanoseconds)


_GO_TYPES: Final[dict[type, str]] = {
    type(None): "<nil>",
    bool: "bool",
    int: "int",
    Int64: "int64",
    Byte: "uint8",
    float: "float64",
    str: "string",
    bytes: "[]uint8",
    list: "[]interface {}",
    Floats: "[]float64",
    Ints: "[]int",
    Strings: "[]string",
    Pair: "[2]interface {}",
    Pairs: "[][2]interface {}",
    dict: "map[string]interface {}",
    AnyMap: "map[interface {}]interface {}",
    ListMap: "map[interface {}][]interface {}",
    Duration: "time.Duration",
}


def go_type(value: Value) -> str:
    """Return what Go calls the type of a value."""
    known = _GO_TYPES.get(type(value))
    if known is not None:
        return known
    if isinstance(value, Function):
        return value.signature
    return str(getattr(value, "go_name", type(value).__name__))


def go_kind(value: Value) -> str:
    """Return what Go calls the kind of a value, in which all lists and all maps are one; ``invalid`` for nil."""
    if value is None:
        return "invalid"
    if isinstance(value, Pair):
        return "array"
    if isinstance(value, (list, bytes)):
        return "slice"
    if isinstance(value, dict):
        return "struct" if isinstance(value, Record) else "map"
    return {"time.Duration": "int64"}.get(go_type(value), go_type(value))


# ---- Numbers --------------------------------------------------------------------------------------------------------


def is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def wrapped(number: int) -> int:
    """Return the number as 64 bits hold it."""
    number &= _UINT64 - 1
    return number - _UINT64 if number >> 63 else number


def int_of_float(number: float) -> int:
    """Cut the fraction off; what does not fit, or is no number, is the smallest integer."""
    if math.isnan(number) or math.isinf(number):
        return _INT64_MIN
    whole = math.trunc(number)
    return whole if _INT64_MIN <= whole < -_INT64_MIN else _INT64_MIN


def to_float(value: Value) -> float:
    """Return a number as float.

    Raises:
        RunError: it is none.
    """
    if is_number(value):
        return float(value)
    raise RunError(f"invalid operation: float({go_type(value)})")


def _mismatch(operator: str, left: Value, right: Value) -> RunError:
    return RunError(f"invalid operation: {go_type(left)} {operator} {go_type(right)}")


def _numbers(operator: str, left: Value, right: Value) -> bool:
    """Tell whether both are integers; raise unless both are numbers."""
    if is_number(left) and is_number(right):
        return not isinstance(left, float) and not isinstance(right, float)
    raise _mismatch(operator, left, right)


def add(left: Value, right: Value) -> Value:
    """Add numbers, texts, durations, and durations to dates."""
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, Duration) and isinstance(right, Duration):
        return Duration(wrapped(left.nanoseconds + right.nanoseconds))
    moved = _moved(left, right, 1) or _moved(right, left, 1)
    if moved is not None:
        return moved
    if _numbers("+", left, right):
        return wrapped(int(left) + int(right))
    return float(left) + float(right)


def subtract(left: Value, right: Value) -> Value:
    """Subtract numbers, durations, dates, and durations from dates."""
    if isinstance(left, Duration) and isinstance(right, Duration):
        return Duration(wrapped(left.nanoseconds - right.nanoseconds))
    if hasattr(left, "since") and type(left) is type(right):
        return left.since(right)
    moved = _moved(left, right, -1)
    if moved is not None:
        return moved
    if _numbers("-", left, right):
        return wrapped(int(left) - int(right))
    return float(left) - float(right)


def _moved(instant: Value, duration: Value, direction: int) -> Value:
    """Return a date some time later or earlier; None unless these are a date and a duration."""
    if isinstance(duration, Duration) and hasattr(instant, "moved"):
        return instant.moved(direction * duration.nanoseconds)
    return None


def multiply(left: Value, right: Value) -> Value:
    """Multiply numbers and durations; a duration times a float is a float of nanoseconds."""
    if isinstance(left, Duration) or isinstance(right, Duration):
        plain = [each.nanoseconds if isinstance(each, Duration) else each for each in (left, right)]
        if not all(is_number(each) for each in plain):
            raise _mismatch("*", left, right)
        if any(isinstance(each, float) for each in plain):
            return float(plain[0]) * float(plain[1])
        return Duration(wrapped(int(plain[0]) * int(plain[1])))
    if _numbers("*", left, right):
        return wrapped(int(left) * int(right))
    return float(left) * float(right)


def divide(left: Value, right: Value) -> float:
    """Divide numbers as floats; by 0 gives an infinity, or NaN."""
    _numbers("/", left, right)
    dividend, divisor = float(left), float(right)
    if divisor != 0.0:
        return dividend / divisor
    if dividend == 0.0 or math.isnan(dividend):
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def modulo(left: Value, right: Value) -> int:
    """Return the remainder of integers, with the sign of the dividend."""
    if not is_integer(left) or not is_integer(right):
        raise _mismatch("%", left, right)
    if right == 0:
        raise RunError("runtime error: integer divide by zero")
    return int(math.fmod(left, right)) if abs(left) < 1 << 53 and abs(right) < 1 << 53 else _exact_modulo(left, right)


def _exact_modulo(left: int, right: int) -> int:
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def power(left: Value, right: Value) -> float:
    """Raise to a power, as floats."""
    base, exponent = to_float(left), to_float(right)
    try:
        return math.pow(base, exponent)
    except OverflowError:
        is_odd = exponent == math.trunc(exponent) and math.trunc(exponent) % 2 == 1
        return -math.inf if base < 0 and is_odd else math.inf
    except ValueError:
        # A negative base with a fraction as exponent, or 0 to a negative power.
        if base == 0.0:
            is_odd = exponent == math.trunc(exponent) and math.trunc(exponent) % 2 == 1
            return math.copysign(math.inf, base) if is_odd else math.inf
        return math.nan


# ---- Comparing ------------------------------------------------------------------------------------------------------


def equal(left: Value, right: Value) -> bool:
    """Compare like with like: numbers of any type, lists by element, maps with exactly the same types within."""
    if left is None or right is None:
        return left is None and right is None
    if is_number(left) and is_number(right):
        return bool(left == right)
    if isinstance(left, (list, bytes)) and isinstance(right, (list, bytes)):
        return len(left) == len(right) and all(equal(*pair) for pair in zip(_items(left), _items(right), strict=True))
    return _is_same(left, right)


def _items(values: list[Value] | bytes) -> Iterable[Value]:
    return values if isinstance(values, list) else (Byte(each) for each in values)


def _is_same(left: Value, right: Value) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_is_same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(_is_same(*pair) for pair in zip(left, right, strict=True))
    return bool(left == right)


def is_less(left: Value, right: Value, operator: str = "<", *written: Value) -> bool:
    """Compare numbers, texts (by bytes), dates and durations.

    `operator` and the operands as they are `written` are for the message only.

    Raises:
        RunError: they cannot be compared.
    """
    if is_number(left) and is_number(right):
        return bool(left < right)
    if isinstance(left, str) and isinstance(right, str):
        return left.encode("utf-8", "surrogatepass") < right.encode("utf-8", "surrogatepass")
    if type(left) is type(right) and (isinstance(left, Duration) or hasattr(left, "since")):
        return bool(left < right)
    shown = written or (left, right)
    raise _mismatch(operator, shown[0], shown[1])


# ---- As text --------------------------------------------------------------------------------------------------------

_EXPONENT_MIN: Final = -4
_EXPONENT_LIMIT: Final = 6


def float_text(number: float) -> str:
    """Write a float with as few digits as tell it from its neighbours, and with an exponent from ``1e+06`` on."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    prefix = "-" if sign else ""
    if number == 0:
        return f"{prefix}0"
    point = len(text) + exponent
    if not _EXPONENT_MIN <= point - 1 < _EXPONENT_LIMIT:
        mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
        power_of_ten = point - 1
        return f"{prefix}{mantissa}e{'-' if power_of_ten < 0 else '+'}{abs(power_of_ten):02d}"
    if point <= 0:
        return f"{prefix}0.{'0' * -point}{text}"
    if point >= len(text):
        return f"{prefix}{text}{'0' * (point - len(text))}"
    return f"{prefix}{text[:point]}.{text[point:]}"


def text_of(value: Value) -> str:
    """Write any value as Go prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (list, bytes)):
        return f"[{' '.join(text_of(each) for each in value)}]"
    if isinstance(value, Record):
        return f"{{{' '.join(text_of(each) for each in value.values())}}}"
    if isinstance(value, Mapping):
        pairs = sorted((_sort_key(key), text_of(key), text_of(each)) for key, each in value.items())
        return f"map[{' '.join(f'{key}:{each}' for _, key, each in pairs)}]"
    if isinstance(value, Function):
        return value.name
    return str(value)


def _sort_key(key: Value) -> tuple[int, float, str]:
    """Order keys as Go prints maps: numbers by value, texts by theirs."""
    if is_number(key):
        return (0, float(key), "")
    return (1, 0.0, text_of(key))


_UNITS: Final = ((3_600_000_000_000, "h"), (60_000_000_000, "m"))


def _duration_text(nanoseconds: int) -> str:
    """Write a duration as Go does, to the nanosecond."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    for size, unit in ((1_000, "ns"), (1_000_000, "µs"), (1_000_000_000, "ms")):
        if rest < size:
            return f"{sign}{_fraction(rest, size // 1000)}{unit}"
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return f"{sign}{''.join(parts)}{_fraction(rest, 1_000_000_000)}s"


def _fraction(amount: int, unit: int) -> str:
    whole, part = divmod(amount, unit)
    if not part:
        return str(whole)
    return f"{whole}.{part:0{len(str(unit)) - 1}d}".rstrip("0")
