"""String formats and patterns as the API server checks them.

Unknown formats are ignored, as the API server does. Patterns are RE2 there and `re` here: the few spellings that differ
are rewritten, and a pattern that `re` cannot read is not checked.
"""

import base64
import binascii
import functools
import ipaddress
import logging
import re
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType

__all__ = ["INTEGER_RANGES", "STRING_FORMATS", "compile_pattern"]

_log = logging.getLogger(__name__)

INTEGER_RANGES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1)}
)

_DATE_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]\d\d:\d\d)"
)
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d|w)")
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_MAC = re.compile(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}", re.IGNORECASE)
_HOSTNAME = re.compile(
    r"(?=.{1,255}$)[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _is_date_time(text: str) -> bool:
    return _DATE_TIME.fullmatch(text) is not None and _is_date(text[:10])


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_duration(text: str) -> bool:
    unsigned = text.removeprefix("-").removeprefix("+")
    return unsigned == "0" or re.fullmatch(f"({_DURATION.pattern} ?)+", unsigned) is not None


def _parses(parser: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parser(text)
        except ValueError:
            return False
        return True

    return check


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


STRING_FORMATS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "date-time": _is_date_time,
        "datetime": _is_date_time,
        "date": _is_date,
        "byte": _is_base64,
        "duration": _is_duration,
        "ipv4": _parses(ipaddress.IPv4Address),
        "ipv6": _parses(ipaddress.IPv6Address),
        "cidr": _parses(functools.partial(ipaddress.ip_network, strict=False)),
        "uuid": _matches(_UUID),
        "mac": _matches(_MAC),
        "hostname": _matches(_HOSTNAME),
        "email": _matches(_EMAIL),
    }
)
"""Format name -> whether a text has that format."""

_POSIX_CLASSES = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:digit:]": "0-9",
    "[:lower:]": "a-z",
    "[:upper:]": "A-Z",
    "[:space:]": r"\t\n\v\f\r ",
    "[:word:]": "0-9A-Za-z_",
    "[:xdigit:]": "0-9A-Fa-f",
    "[:punct:]": r"!-/:-@\[-`{-~",
}


@functools.lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """Return the compiled `pattern`, to be searched anywhere in a text; None when it cannot be read."""
    translated = pattern
    for posix, characters in _POSIX_CLASSES.items():
        translated = translated.replace(posix, characters)
    # RE2's `$` and `\z` mean the very end; the `$` of `re` also matches before a final newline.
    translated = re.sub(
        r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$",
        lambda found: r"\Z" if found.group() in ("$", r"\z") else found.group(),
        translated,
        flags=re.DOTALL,
    )
    try:
        return re.compile(translated, re.ASCII)
    except re.error as error:
        _log.warning("pattern %r is not checked: %s", pattern, error)
        return None
