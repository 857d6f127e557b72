"""Scalars with a meaning of their own: int-or-string, Go durations, Kubernetes quantities, RFC 3339 times, Go text.

Int-or-string fields are read in four ways which must not be mixed up, because the same text means different things:

==========================  =====================  =================================================
function                    used for               a string is
==========================  =====================  =================================================
`scaled_value`              maxSurge and -Unav.    always a percentage, with or without ``%``
`unscaled_value`            "both are zero" check  the number before ``%``, or an integer, or 0
`integer_value`             metric counts, limits  an integer or 0
`pause_seconds`             pause.duration         seconds, or a Go duration; -1 if invalid
==========================  =====================  =================================================
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = [
    "IntOrString",
    "InvalidDuration",
    "InvalidQuantity",
    "InvalidTime",
    "Quantity",
    "canonical_quantity",
    "format_duration",
    "format_float",
    "format_time",
    "go_quote",
    "integer_value",
    "parse_duration",
    "parse_duration_nanoseconds",
    "parse_integer",
    "parse_quantity",
    "parse_time",
    "pause_seconds",
    "scaled_value",
    "unscaled_value",
    "whole_seconds",
]

IntOrString: TypeAlias = int | str

_INT64_MAX: Final = 2**63 - 1
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


# --- Integers and int-or-string -----------------------------------------------------------------------------

_INTEGER = re.compile(r"[+-]?0*[0-9]{1,19}")
"""Numbers of more digits do not fit 64 bits, and Python refuses to read really long ones."""

_PERCENTAGE = re.compile(r"[0-9]+%")


def parse_integer(text: str) -> int | None:
    """Return the 64-bit integer that `text` is, None for anything else; spaces and underscores are not allowed."""
    if not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if -_INT64_MAX - 1 <= value <= _INT64_MAX else None


def scaled_value(value: IntOrString, total: int, *, round_up: bool) -> int:
    """Return how many of `total` replicas a maxSurge (`round_up`) or maxUnavailable means.

    An integer stands for itself. Every string is a percentage, even without ``%``: ``"25"`` is a quarter. A string that
    is no integer once its ``%`` are gone counts as 0.
    """
    if isinstance(value, int):
        return value
    percent = parse_integer(value.replace("%", ""))
    if percent is None:
        return 0
    return -(-percent * total // 100) if round_up else percent * total // 100


def unscaled_value(value: IntOrString) -> int:
    """Return the bare number of a maxSurge or maxUnavailable, only good for asking whether it is zero.

    ``"25%"`` and ``"25"`` are 25; what cannot be read is 0.
    """
    if isinstance(value, int):
        return value
    return integer_value(value[:-1] if _PERCENTAGE.fullmatch(value) else value)


def integer_value(value: IntOrString | None) -> int:
    """Return the number of a metric's count or limit; absent or unreadable is 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    return parse_integer(value) or 0


def pause_seconds(duration: IntOrString | None) -> int:
    """Return the length of a pause in seconds: 0 when absent, -1 when it cannot be read or does not fit 32 bits.

    A string of digits is seconds; any other string is a Go duration, of which fractions of a second are dropped.
    """
    if duration is None:
        return 0
    seconds = duration if isinstance(duration, int) else parse_integer(duration)
    if seconds is None:
        try:
            nanoseconds = parse_duration_nanoseconds(str(duration))
        except InvalidDuration:
            return -1
        seconds = abs(nanoseconds) // _SECOND * (1 if nanoseconds >= 0 else -1)
    return seconds if _INT32_MIN <= seconds <= _INT32_MAX else -1


# --- Durations ----------------------------------------------------------------------------------------------

_SECOND: Final = 1_000_000_000
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek letter mu
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_DURATION_LENGTH_MAX: Final = 200
"""Far longer than anybody writes; Python refuses to read really long numbers."""

_DURATION_PART = re.compile(r"([0-9]*)(\.?)([0-9]*)([^0-9.]*)")


class InvalidDuration(ValueError):
    """A text is not a Go duration; the message is the one Go gives."""


def parse_duration_nanoseconds(text: str) -> int:
    """Return the nanoseconds of a Go duration such as ``1h30m`` or ``-1.5s``; there is no unit for days.

    Raises:
        InvalidDuration: `text` is empty, lacks a unit (only ``0`` may), has an unknown one or is too large.
    """
    invalid = InvalidDuration(f"time: invalid duration {go_quote(text)}")
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest or len(rest) > _DURATION_LENGTH_MAX:
        raise invalid
    total = 0
    while rest:
        match = _DURATION_PART.match(rest)
        assert match is not None, "the pattern matches the empty text"
        whole, _, fraction, unit = match.groups()
        if not whole and not fraction:
            raise invalid
        if not unit:
            raise InvalidDuration(f"time: missing unit in duration {go_quote(text)}")
        if unit not in _UNITS:
            raise InvalidDuration(f"time: unknown unit {go_quote(unit)} in duration {go_quote(text)}")
        # Exact, then cut to whole nanoseconds.
        total += int((whole + fraction) or "0") * _UNITS[unit] // 10 ** len(fraction)
        if total > _INT64_MAX + negative:
            raise invalid
        rest = rest[match.end() :]
    return -total if negative else total


def parse_duration(text: str) -> timedelta:
    """Return a Go duration as timedelta, cut to microseconds.

    Raises:
        InvalidDuration: as in `parse_duration_nanoseconds`.
    """
    nanoseconds = parse_duration_nanoseconds(text)
    microseconds = abs(nanoseconds) // 1000
    return timedelta(microseconds=microseconds if nanoseconds >= 0 else -microseconds)


def format_duration(duration: timedelta) -> str:
    """Write a duration as Go does: ``1h30m0s``, ``1.5s``, ``100ms``, ``0s``."""
    microseconds = duration // timedelta(microseconds=1)
    sign = "-" if microseconds < 0 else ""
    microseconds = abs(microseconds)
    if microseconds == 0:
        return "0s"
    if microseconds < 1000:
        return f"{sign}{microseconds}\u00b5s"
    if microseconds < 1_000_000:
        return f"{sign}{_decimal(microseconds, 3)}ms"
    minutes, rest = divmod(microseconds, 60_000_000)
    text = f"{_decimal(rest, 6)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
    return sign + text


def _decimal(value: int, places: int) -> str:
    """Write ``value / 10**places`` without trailing zeros."""
    whole, fraction = divmod(value, 10**places)
    digits = f"{fraction:0{places}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


# --- Quantities ---------------------------------------------------------------------------------------------

_DECIMAL_SUFFIXES: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_NAMES: Final = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIXES.items()}
_BINARY_SUFFIXES: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_QUANTITY = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?:(?P<binary>[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]+)|(?P<decimal>[numkMGTPE]?))"
)
_NANO: Final = 10**9
_EXPONENT_LIMIT: Final = 1000
"""Far beyond the largest quantity, so that a hostile exponent costs no memory."""

_QUANTITY_LENGTH_MAX: Final = 500
"""Far longer than anybody writes, and a number of 10 to the power of 308 still fits."""

QuantityFormat: TypeAlias = Literal["decimal", "binary", "exponent"]


class InvalidQuantity(ValueError):
    """A text is not a quantity."""


class Quantity(NamedTuple):
    """An amount of a resource: its exact value in units of 10⁻⁹, and the family of suffixes it is written with."""

    nano: int
    format: QuantityFormat

    def __str__(self) -> str:
        """Write the canonical form: the largest suffix that leaves a whole number."""
        if self.nano == 0:
            return "0"
        if self.format == "binary" and abs(self.nano) >= 1024 * _NANO and self.nano % _NANO == 0:
            value, power = self.nano // _NANO, 0
            while value % 1024 == 0 and power < len(_BINARY_SUFFIXES) - 1:
                value, power = value // 1024, power + 1
            return f"{value}{_BINARY_SUFFIXES[power]}"
        value, exponent = self.nano, -9
        while value % 1000 == 0 and exponent < 18:
            value, exponent = value // 1000, exponent + 3
        if self.format == "exponent":
            return f"{value}e{exponent}" if exponent else str(value)
        return f"{value}{_DECIMAL_NAMES[exponent]}"

    def rounded_up_to_milli(self) -> "Quantity":
        """Return the quantity with everything below a thousandth rounded away from zero."""
        unit = 10**6
        magnitude = -(-abs(self.nano) // unit) * unit
        return Quantity(magnitude if self.nano >= 0 else -magnitude, self.format)


def parse_quantity(value: str | float) -> Quantity:
    """Read a quantity such as ``150m``, ``1.5Gi``, ``1e3`` or the number 0.15.

    What is finer than 10⁻⁹ is rounded away from zero, what is larger than 2⁶³-1 is cut down to it.

    Raises:
        InvalidQuantity: `value` is none.
    """
    text = value.strip() if isinstance(value, str) else format(Decimal(repr(value)), "f")
    match = _QUANTITY.fullmatch(text) if len(text) <= _QUANTITY_LENGTH_MAX else None
    if match is None or not (match["whole"] or match["fraction"]):
        raise InvalidQuantity(
            f"{go_quote(text)} is not a quantity: expected a number with an optional suffix such as m, k, Mi or e3"
        )
    whole, fraction = match["whole"], match["fraction"] or ""
    nano = int((whole + fraction) or "0") * _NANO
    divisor = 10 ** len(fraction)
    format_: QuantityFormat = "decimal"
    if match["binary"]:
        nano *= 1024 ** _BINARY_SUFFIXES.index(match["binary"])
        format_ = "binary"
    else:
        if match["exponent"]:
            exponent = max(-_EXPONENT_LIMIT, min(_EXPONENT_LIMIT, int(match["exponent"])))
            format_ = "exponent"
        else:
            exponent = _DECIMAL_SUFFIXES[match["decimal"]]
        if exponent >= 0:
            nano *= 10**exponent
        else:
            divisor *= 10**-exponent
    nano = min(-(-nano // divisor), _INT64_MAX * _NANO)
    if format_ == "binary" and nano < _NANO:
        format_ = "decimal"
    return Quantity(-nano if match["sign"] == "-" else nano, format_)


def canonical_quantity(value: str | float) -> str:
    """Return the canonical text of a quantity: ``2000m`` becomes ``2``, ``1.5Gi`` becomes ``1536Mi``.

    Raises:
        InvalidQuantity: `value` is none.
    """
    return str(parse_quantity(value))


# --- Times --------------------------------------------------------------------------------------------------

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


class InvalidTime(ValueError):
    """A text is not an RFC 3339 time."""


def parse_time(text: str) -> datetime:
    """Return an RFC 3339 time as aware UTC datetime, cut to whole seconds.

    Raises:
        InvalidTime: `text` is not such a time.
    """
    if not _TIME.fullmatch(text):
        raise InvalidTime(f"{go_quote(text)} is not an RFC 3339 time such as 2026-01-02T03:04:05Z")
    try:
        # The fraction is dropped anyway, and the standard library takes at most six digits of it.
        parsed = datetime.fromisoformat(re.sub(r"\.\d+", "", text))
    except ValueError as err:
        raise InvalidTime(f"{go_quote(text)} is not an RFC 3339 time: {err}") from err
    return whole_seconds(parsed)


def format_time(time: datetime) -> str:
    """Write an aware datetime as ``2026-01-02T03:04:05Z``."""
    return whole_seconds(time).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole_seconds(time: datetime) -> datetime:
    """Return `time` in UTC, cut to the whole seconds that the wire has."""
    assert time.tzinfo is not None, "times are aware"
    return time.astimezone(UTC).replace(microsecond=0)


# --- Text as Go writes it -----------------------------------------------------------------------------------

_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def go_quote(text: str) -> str:
    """Quote `text` as Go's ``%q`` does; messages that tools match contain such text."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_quote_character(character) for character in text) + '"'


def _quote_character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def format_float(value: float) -> str:
    """Write a finite number as Go's ``%v`` writes a float64: ``100``, ``0.5``, ``1e+06``, ``1.5e-07``.

    The fewest digits that read back the same; in plain notation while the decimal exponent is in -4..5.
    """
    sign, digits, power = Decimal(repr(float(value))).normalize().as_tuple()
    assert isinstance(power, int), "infinities and NaN are not JSON"
    text = "".join(map(str, digits))
    exponent = len(text) - 1 + power if text != "0" else 0
    if not -4 <= exponent <= 5:
        mantissa = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
        plain = f"{mantissa}e{exponent:+03d}"
    elif exponent < 0:
        plain = "0." + "0" * (-exponent - 1) + text
    elif len(text) <= exponent + 1:
        plain = text.ljust(exponent + 1, "0")
    else:
        plain = f"{text[: exponent + 1]}.{text[exponent + 1 :]}"
    return f"-{plain}" if sign else plain
