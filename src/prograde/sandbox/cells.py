"""Pieces of cells: the parts of an object that printers look at, and how times read."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from prograde.api.ages import human_duration
from prograde.sandbox.kinds import Object

__all__ = [
    "NONE",
    "UNKNOWN",
    "Cells",
    "age_of",
    "condition_of",
    "is_true",
    "name_of",
    "object_age",
    "parse_time",
    "spec_of",
    "status_of",
]

Cells: TypeAlias = list[Any]

NONE = "<none>"
UNKNOWN = "<unknown>"


def parse_time(text: Any) -> datetime | None:
    """Return an RFC 3339 time, None when absent or malformed."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def age_of(text: Any, now: datetime) -> str:
    """Return how long ago a time was, ``<unknown>`` when there is none."""
    then = parse_time(text)
    return UNKNOWN if then is None else human_duration(now - then)


def object_age(obj: Object, now: datetime) -> str:
    return age_of(obj["metadata"].get("creationTimestamp"), now)


def spec_of(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def status_of(obj: Object) -> Mapping[str, Any]:
    return obj.get("status") or {}


def name_of(obj: Object) -> str:
    name: str = obj["metadata"]["name"]
    return name


def condition_of(obj: Object, kind: str) -> Mapping[str, Any]:
    for condition in status_of(obj).get("conditions") or []:
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}


def is_true(obj: Object, kind: str) -> bool:
    return condition_of(obj, kind).get("status") == "True"
