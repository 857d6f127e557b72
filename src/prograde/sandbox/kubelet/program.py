"""What a process does over its life, known in advance: the value that the mini shell produces and pods live by."""

import math
import re
from dataclasses import dataclass

__all__ = ["FOREVER", "Program", "parse_seconds"]

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|d|)")


@dataclass(frozen=True, slots=True)
class Program:
    """One run of a process, as seen from its start."""

    output: tuple[tuple[float, str], ...] = ()
    """(seconds after the start, text), in order of time."""
    exit_after_seconds: float | None = None
    """None: runs until it is stopped."""
    exit_code: int = 0
    reason: str = ""
    """Why it ended, where that is more than "Completed" or "Error"."""
    start_error: str = ""
    """Why it cannot be started at all; nothing else matters then."""
    is_sleep_like: bool = False
    """A bare `sleep` or a shell: as first process it would not react to a termination signal."""


FOREVER = Program()
"""A silent server."""


def parse_seconds(text: str) -> float:
    """Return the seconds of ``2``, ``1.5s``, ``300ms``, ``1m30s`` or ``infinity``.

    Raises:
        ValueError: it is no duration.
    """
    text = text.strip()
    if text in ("inf", "infinity"):
        return math.inf
    position, seconds = 0, 0.0
    while position < len(text) or not text:
        part = _SECONDS.match(text, position)
        if part is None or part.end() == position:
            raise ValueError(f"{text!r} is no duration such as 30s or 1m30s")
        seconds += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    return seconds
