"""Ages as Kubernetes tools print them: short, with the precision that matters at that age."""

from datetime import timedelta

__all__ = ["human_duration"]

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR = 365 * _DAY


def human_duration(elapsed: timedelta) -> str:
    """Return `elapsed` as ``90s``, ``3m20s``, ``119m``, ``3h59m``, ``47h``, ``7d``, ``2y5d``.

    Whole units are cut, never rounded. Clocks of two machines differ, so an age up to a second below zero reads
    ``0s``; anything further below is ``<invalid>``.
    """
    exact = elapsed.total_seconds()
    if exact < -1:
        return "<invalid>"
    seconds = max(0, int(exact))
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 10 * _MINUTE:
        return _two_units(seconds, _MINUTE, "m", 1, "s")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 8 * _HOUR:
        return _two_units(seconds, _HOUR, "h", _MINUTE, "m")
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    if seconds < 8 * _DAY:
        return _two_units(seconds, _DAY, "d", _HOUR, "h")
    if seconds < 2 * _YEAR:
        return f"{seconds // _DAY}d"
    if seconds < 8 * _YEAR:
        return _two_units(seconds, _YEAR, "y", _DAY, "d")
    return f"{seconds // _YEAR}y"


def _two_units(seconds: int, big: int, big_name: str, small: int, small_name: str) -> str:
    rest = seconds % big // small
    return f"{seconds // big}{big_name}{rest}{small_name}" if rest else f"{seconds // big}{big_name}"
