"""From counters that only grow to what happened since the last look, pod by pod.

A counter that is lower than before has started again, and all of it is new. A series that was never seen is new as
well, for error counters begin with their first error. One that is gone for a few looks may come back, so its value is
kept for a while; its past must not be counted again.
"""

from collections.abc import Mapping
from typing import Final
from zlib import crc32

import msgspec

__all__ = ["Counters", "counted"]

ABSENT_LOOKS_MAX: Final = 10


class Counters(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The last values of the series of one query, and for how many looks each has been away, by a short name."""

    values: dict[str, float] = {}
    absent: dict[str, int] = {}


def counted(before: Counters | None, now: Mapping[str, float]) -> tuple[Counters, float]:
    """Return what to remember, and by how much all series together have grown; the first look only remembers."""
    values = {f"{crc32(labels.encode()):08x}": value for labels, value in now.items() if value == value}
    if before is None:
        return Counters(values=values), 0.0
    grown = 0.0
    for name, value in values.items():
        last = before.values.get(name, 0.0)
        grown += value - last if value >= last else value
    absent = {name: before.absent.get(name, 0) + 1 for name in before.values if name not in values}
    absent = {name: looks for name, looks in absent.items() if looks <= ABSENT_LOOKS_MAX}
    return Counters(values=values | {name: before.values[name] for name in absent}, absent=absent), grown
