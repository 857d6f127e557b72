"""Dates, time zones and Go's layouts for them.

A date has nanoseconds, which Python's do not have, and prints in the zone it was given. Layouts are written as what the
reference time, Monday 2 January 2006 15:04:05 at -0700, looks like.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import total_ordering
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prograde.expr.errors import RunError
from prograde.expr.values import Duration, Int64, Value, wrapped

__all__ = ["METHODS", "Instant", "NamedNumber", "Zone", "default_layouts", "parse_time", "zone_named"]

_SECOND: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


@dataclass(frozen=True, slots=True)
class NamedNumber:
    """A month or a day of the week: a number of a type of its own that prints as a word."""

    number: int
    go_name: str
    names: tuple[str, ...] = field(compare=False)

    def __str__(self) -> str:
        return self.names[self.number]


def _month_of(at: datetime) -> NamedNumber:
    return NamedNumber(at.month, "time.Month", ("", *_MONTHS))


def _weekday_of(at: datetime) -> NamedNumber:
    return NamedNumber(at.isoweekday() % 7, "time.Weekday", _DAYS)


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone by name."""

    name: str
    info: tzinfo = field(compare=False)

    @property
    def go_name(self) -> str:
        return "*time.Location"

    def __str__(self) -> str:
        return self.name


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Instant:
    """A point in time: nanoseconds since 1970, shown in a zone."""

    nanoseconds: int
    zone: tzinfo = UTC

    @property
    def go_name(self) -> str:
        return "time.Time"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instant) and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: "Instant") -> bool:
        return self.nanoseconds < other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    @classmethod
    def of(cls, moment: datetime, nanosecond: int | None = None) -> "Instant":
        """Take an aware datetime; `nanosecond` replaces its microseconds."""
        whole = (moment.replace(microsecond=0) - _EPOCH) // timedelta(seconds=1)
        part = moment.microsecond * 1000 if nanosecond is None else nanosecond
        return cls(whole * _SECOND + part, moment.tzinfo or UTC)

    @property
    def local(self) -> datetime:
        """Whole seconds, in the zone."""
        return (_EPOCH + timedelta(seconds=self.nanoseconds // _SECOND)).astimezone(self.zone)

    @property
    def nanosecond(self) -> int:
        return self.nanoseconds % _SECOND

    def moved(self, nanoseconds: int) -> "Instant":
        return Instant(self.nanoseconds + nanoseconds, self.zone)

    def since(self, other: "Instant") -> Duration:
        return Duration(wrapped(self.nanoseconds - other.nanoseconds))

    def __str__(self) -> str:
        return format_time(self, "2006-01-02 15:04:05.999999999 -0700 MST")


def zone_named(name: str) -> Zone:
    """Return a zone of the database; ``UTC`` and the empty name are UTC.

    Raises:
        RunError: there is none of that name.
    """
    if name in ("", "UTC"):
        return Zone("UTC", UTC)
    try:
        return Zone(name, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RunError(f"unknown time zone {name}") from None


# ---- Layouts --------------------------------------------------------------------------------------------------------

# Longest first: "January" before "Jan", ".000" before "0".
_ELEMENTS: Final = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|Z07:00:00|Z070000|Z07:00|Z0700|Z07|-07:00:00|-070000|-07:00|-0700|-07|002|__2|_2"
    r"|[.,]0+(?!\d)|[.,]9+(?!\d)|01|02|03|04|05|06|15|PM|pm|1|2|3|4|5"
)
_FRACTION: Final = re.compile(r"[.,]\d+")
_ZONE_ABBREVIATION: Final = re.compile(r"[A-Z]{3,4}(?:ST)?|[+-]\d{2}(?:\d{2})?|GMT[+-]\d{1,2}")


def _offset_text(offset: timedelta, form: str) -> str:
    seconds = int(offset.total_seconds())
    if form.startswith("Z"):
        if seconds == 0:
            return "Z"
        form = "-" + form[1:]
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    hours, minutes, rest = seconds // 3600, seconds % 3600 // 60, seconds % 60
    separator = ":" if ":" in form else ""
    parts = [f"{hours:02d}", f"{minutes:02d}", f"{rest:02d}"][: len(form.replace(":", "")) // 2]
    return sign + separator.join(parts)


def _zone_name(moment: datetime) -> str:
    name = moment.tzname() or ""
    if isinstance(moment.tzinfo, timezone) and moment.tzinfo is not UTC:
        offset = moment.utcoffset() or timedelta()
        return _offset_text(offset, "-0700") if offset else "UTC"
    return name


def format_time(instant: Instant, layout: str) -> str:
    """Write a date in Go's layout."""
    at = instant.local
    offset = at.utcoffset() or timedelta()

    def element(match: re.Match[str]) -> str:
        form = match.group()
        if form[0] in ".," and len(form) > 1:
            digits = f"{instant.nanosecond:09d}"[: len(form) - 1]
            if form[1] == "9":
                digits = digits.rstrip("0")
                return form[0] + digits if digits else ""
            return form[0] + digits
        if form[0] == "Z" or form.startswith("-0"):
            return _offset_text(offset, form)
        return _WRITE[form](at)

    return _ELEMENTS.sub(element, layout)


_WRITE: Final[dict[str, Callable[[datetime], str]]] = {
    "January": lambda at: _MONTHS[at.month - 1],
    "Jan": lambda at: _MONTHS[at.month - 1][:3],
    "1": lambda at: str(at.month),
    "01": lambda at: f"{at.month:02d}",
    "Monday": lambda at: _DAYS[at.isoweekday() % 7],
    "Mon": lambda at: _DAYS[at.isoweekday() % 7][:3],
    "2": lambda at: str(at.day),
    "_2": lambda at: f"{at.day:2d}",
    "02": lambda at: f"{at.day:02d}",
    "__2": lambda at: f"{at.timetuple().tm_yday:3d}",
    "002": lambda at: f"{at.timetuple().tm_yday:03d}",
    "15": lambda at: f"{at.hour:02d}",
    "3": lambda at: str(at.hour % 12 or 12),
    "03": lambda at: f"{at.hour % 12 or 12:02d}",
    "4": lambda at: str(at.minute),
    "04": lambda at: f"{at.minute:02d}",
    "5": lambda at: str(at.second),
    "05": lambda at: f"{at.second:02d}",
    "2006": lambda at: f"{at.year:04d}",
    "06": lambda at: f"{at.year % 100:02d}",
    "PM": lambda at: "PM" if at.hour >= 12 else "AM",
    "pm": lambda at: "pm" if at.hour >= 12 else "am",
    "MST": _zone_name,
}

_READ: Final[dict[str, str]] = {
    "January": f"(?P<month_name>{'|'.join(_MONTHS)})",
    "Jan": f"(?P<month_short>{'|'.join(month[:3] for month in _MONTHS)})",
    "1": r"(?P<month>\d{1,2})",
    "01": r"(?P<month>\d{2})",
    "Monday": f"(?:{'|'.join(_DAYS)})",
    "Mon": f"(?:{'|'.join(day[:3] for day in _DAYS)})",
    "2": r"(?P<day>\d{1,2})",
    "_2": r"[ ]?(?P<day>\d{1,2})",
    "02": r"(?P<day>\d{2})",
    "__2": r"[ ]{0,2}(?P<yearday>\d{1,3})",
    "002": r"(?P<yearday>\d{3})",
    "15": r"(?P<hour>\d{2})",
    "3": r"(?P<hour12>\d{1,2})",
    "03": r"(?P<hour12>\d{2})",
    "4": r"(?P<minute>\d{1,2})",
    "04": r"(?P<minute>\d{2})",
    "5": r"(?P<second>\d{1,2})(?P<fraction>[.,]\d+)?",
    "05": r"(?P<second>\d{2})(?P<fraction>[.,]\d+)?",
    "2006": r"(?P<year>\d{4})",
    "06": r"(?P<year2>\d{2})",
    "PM": r"(?P<half>AM|PM)",
    "pm": r"(?P<half>am|pm)",
    "MST": r"(?P<zone>UTC|[A-Z]{3,4}|[+-]\d{2}(?:\d{2})?)",
    "-07": r"(?P<offset>[+-]\d{2})",
    "-0700": r"(?P<offset>[+-]\d{4})",
    "-07:00": r"(?P<offset>[+-]\d{2}:\d{2})",
    "-070000": r"(?P<offset>[+-]\d{6})",
    "-07:00:00": r"(?P<offset>[+-]\d{2}:\d{2}:\d{2})",
}

default_layouts: Final = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
)
"""What ``date`` tries when it is given no layout."""


def _pattern(layout: str) -> re.Pattern[str]:
    parts, seen, position = [], set(), 0
    for match in _ELEMENTS.finditer(layout):
        parts.append(re.escape(layout[position : match.start()]))
        position = match.end()
        form = match.group()
        if form[0] in ".,":
            parts.append(r"(?P<fraction>[.,]\d+)" if form[1] == "0" else r"(?P<fraction>[.,]\d+)?")
        elif form[0] == "Z":
            inner = _READ["-" + form[1:]]
            parts.append(f"(?:Z|{inner})")
        else:
            parts.append(_READ[form])
    parts.append(re.escape(layout[position:]))
    text = "".join(parts)
    # A field that is written twice has to be read twice; the first one counts.
    for name in re.findall(r"\(\?P<(\w+)>", text):
        if name in seen:
            text = _rename_second(text, name)
        seen.add(name)
    return re.compile(text)


def _rename_second(text: str, name: str) -> str:
    first, group, rest = text.partition(f"(?P<{name}>")
    return first + group + rest.replace(f"(?P<{name}>", "(?:", 1)


def parse_time(text: str, layout: str, zone: tzinfo = UTC) -> Instant | None:
    """Read a date; None if it does not fit. Without an offset in the text it is in `zone`."""
    match = _pattern(layout).fullmatch(text)
    if match is None:
        return None
    found = {name: value for name, value in match.groupdict().items() if value is not None}
    try:
        moment = datetime(_year(found), _month(found), int(found.get("day", 1)), *_clock(found), tzinfo=zone)
    except ValueError:
        return None
    if "yearday" in found:
        moment = moment.replace(month=1, day=1) + timedelta(days=int(found["yearday"]) - 1)
    if "offset" in found:
        moment = moment.replace(tzinfo=_offset_zone(found["offset"]))
    elif found.get("zone") == "UTC" or match.group().endswith("Z"):
        moment = moment.replace(tzinfo=UTC)
    fraction = found.get("fraction", "")
    return Instant.of(moment, int(fraction[1:].ljust(9, "0")[:9]) if fraction else 0)


def _year(found: dict[str, str]) -> int:
    if "year2" in found:
        short = int(found["year2"])
        return short + (1900 if short >= 69 else 2000)
    return int(found.get("year", 1)) or 1


def _month(found: dict[str, str]) -> int:
    if "month_name" in found:
        return _MONTHS.index(found["month_name"]) + 1
    if "month_short" in found:
        return [month[:3] for month in _MONTHS].index(found["month_short"]) + 1
    return int(found.get("month", 1))


def _clock(found: dict[str, str]) -> tuple[int, int, int]:
    hour = int(found.get("hour", 0))
    if "hour12" in found:
        hour = int(found["hour12"])
        half = found.get("half", "").lower()
        hour = hour % 12 + (12 if half == "pm" else 0) if half else hour
    return hour, int(found.get("minute", 0)), int(found.get("second", 0))


def _offset_zone(text: str) -> tzinfo:
    digits = text[1:].replace(":", "").ljust(6, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


# ---- Methods --------------------------------------------------------------------------------------------------------

_Method = Callable[..., Value]


def _round(duration: Duration, unit: Duration) -> Duration:
    if unit.nanoseconds <= 0:
        return duration
    size = unit.nanoseconds
    whole, rest = divmod(abs(duration.nanoseconds), size)
    rounded = (whole + (rest * 2 >= size)) * size
    return Duration(wrapped(-rounded if duration.nanoseconds < 0 else rounded))


def _truncate(duration: Duration, unit: Duration) -> Duration:
    if unit.nanoseconds <= 0:
        return duration
    size = abs(duration.nanoseconds) // unit.nanoseconds * unit.nanoseconds
    return Duration(-size if duration.nanoseconds < 0 else size)


def _toward_zero(nanoseconds: int, unit: int) -> Int64:
    return Int64(abs(nanoseconds) // unit * (-1 if nanoseconds < 0 else 1))


METHODS: Final[dict[str, dict[str, tuple[tuple[str, ...], str, _Method]]]] = {
    "time.Duration": {
        "Hours": ((), "float64", lambda d: d.nanoseconds / (3600 * _SECOND)),
        "Minutes": ((), "float64", lambda d: d.nanoseconds / (60 * _SECOND)),
        "Seconds": ((), "float64", lambda d: d.nanoseconds / _SECOND),
        "Milliseconds": ((), "int64", lambda d: _toward_zero(d.nanoseconds, 1_000_000)),
        "Microseconds": ((), "int64", lambda d: _toward_zero(d.nanoseconds, 1_000)),
        "Nanoseconds": ((), "int64", lambda d: Int64(d.nanoseconds)),
        "Abs": ((), "time.Duration", lambda d: Duration(abs(d.nanoseconds))),
        "Round": (("time.Duration",), "time.Duration", _round),
        "Truncate": (("time.Duration",), "time.Duration", _truncate),
        "String": ((), "string", str),
    },
    "time.Time": {
        "Year": ((), "int", lambda t: t.local.year),
        "Month": ((), "time.Month", lambda t: _month_of(t.local)),
        "Day": ((), "int", lambda t: t.local.day),
        "Hour": ((), "int", lambda t: t.local.hour),
        "Minute": ((), "int", lambda t: t.local.minute),
        "Second": ((), "int", lambda t: t.local.second),
        "Nanosecond": ((), "int", lambda t: t.nanosecond),
        "YearDay": ((), "int", lambda t: t.local.timetuple().tm_yday),
        "Weekday": ((), "time.Weekday", lambda t: _weekday_of(t.local)),
        "Unix": ((), "int64", lambda t: Int64(t.nanoseconds // _SECOND)),
        "UnixMilli": ((), "int64", lambda t: Int64(t.nanoseconds // 1_000_000)),
        "UnixMicro": ((), "int64", lambda t: Int64(t.nanoseconds // 1_000)),
        "UnixNano": ((), "int64", lambda t: Int64(t.nanoseconds)),
        "Add": (("time.Duration",), "time.Time", lambda t, d: t.moved(d.nanoseconds)),
        "Sub": (("time.Time",), "time.Duration", lambda t, u: t.since(u)),
        "Before": (("time.Time",), "bool", lambda t, u: t < u),
        "After": (("time.Time",), "bool", lambda t, u: t > u),
        "Equal": (("time.Time",), "bool", lambda t, u: t == u),
        "Compare": (("time.Time",), "int", lambda t, u: (t > u) - (t < u)),
        "IsZero": ((), "bool", lambda t: t.nanoseconds == -62135596800 * _SECOND),
        "UTC": ((), "time.Time", lambda t: Instant(t.nanoseconds, UTC)),
        "In": (("*time.Location",), "time.Time", lambda t, z: Instant(t.nanoseconds, z.info)),
        "Format": (("string",), "string", format_time),
        "String": ((), "string", str),
    },
}
"""The methods of dates and durations: the types of the arguments, that of the result, and what they do."""
