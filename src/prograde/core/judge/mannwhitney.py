"""How far two samples are apart: the rank test of Mann and Whitney, inverted to a confidence interval for the shift.

The interval holds every shift that, taken from the canary's values, leaves ranks that the test would not reject. The
test is the normal approximation with averaged ranks, a correction of the variance for ties, and a continuity
correction of one half. The standardised rank sum falls in steps as the shift grows; its crossings of the quantiles
are found by Brent's method (Algorithms for Minimization Without Derivatives, chapter 4). Where a step lies exactly on
a quantile, every point of it is a crossing, so the method is part of the answer and not only a way to get it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

__all__ = ["AllTied", "Shift", "ranks", "shift_between"]

ROOT_TOLERANCE: Final = 1e-6
ROUNDS_MAX: Final = 1000
_EPSILON: Final = 2.0**-52


class AllTied(ValueError):
    """The samples leave nothing to rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """By how much the values of the canary are higher than those of the baseline."""

    lower: float
    upper: float
    estimate: float


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of every value, from 1; equal values share the average of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            found[i] = (start + 1 + end) / 2
        start = end
    return found


def shift_between(canary: Sequence[float], baseline: Sequence[float], level: float) -> Shift:
    """Return the shift from baseline to canary with its confidence interval of the given level.

    Raises:
        AllTied: some shift makes all values equal, so that there is nothing to compare.
    """
    lowest, highest = min(canary) - max(baseline), max(canary) - min(baseline)
    quantile = NormalDist().inv_cdf((1 - level) / 2)

    def crossing(height: float) -> float:
        def excess(shift: float) -> float:
            return _standardised(canary, baseline, shift) - height

        at_lowest, at_highest = excess(lowest), excess(highest)
        if at_lowest <= 0:
            return lowest
        if at_highest >= 0:
            return highest
        return _root(excess, lowest, highest, at_lowest, at_highest)

    return Shift(lower=crossing(-quantile), upper=crossing(quantile), estimate=crossing(0.0))


def _standardised(canary: Sequence[float], baseline: Sequence[float], shift: float) -> float:
    n, m = len(canary), len(baseline)
    ranked = ranks([value - shift for value in canary] + list(baseline))
    tied: dict[float, int] = {}
    for rank in ranked:
        tied[rank] = tied.get(rank, 0) + 1
    sum_of_ranks = math.fsum(ranked[:n]) - n * (n + 1) / 2 - n * m / 2
    ties = sum(count**3 - count for count in tied.values())
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    if variance <= 0:
        raise AllTied("cannot compute a confidence interval when all observations are tied")
    correction = math.copysign(0.5, sum_of_ranks) if sum_of_ranks else 0.0
    return (sum_of_ranks - correction) / math.sqrt(variance)


def _root(function: Callable[[float], float], low: float, high: float, at_low: float, at_high: float) -> float:
    """Find a zero between two points at which the function has different signs, by Brent's method.

    `best` is the best guess, `before` the one before it, and `other` lies on the other side of the zero.
    """
    before, best, other = low, high, low
    f_before, f_best, f_other = at_low, at_high, at_low
    for _ in range(ROUNDS_MAX):
        last_step = best - before
        if abs(f_other) < abs(f_best):
            before, best, other = best, other, best
            f_before, f_best, f_other = f_best, f_other, f_best
        tolerance = 2 * _EPSILON * abs(best) + ROOT_TOLERANCE / 2
        step = (other - best) / 2
        if abs(step) <= tolerance or f_best == 0:
            break
        if abs(last_step) >= tolerance and abs(f_before) > abs(f_best):
            p, q = _interpolated(before, best, other, f_before, f_best, f_other)
            if p < 0.75 * (other - best) * q - abs(tolerance * q) / 2 and p < abs(last_step * q / 2):
                step = p / q
        if abs(step) < tolerance:
            step = tolerance if step > 0 else -tolerance
        before, f_before = best, f_best
        best += step
        f_best = function(best)
        if (f_best > 0) == (f_other > 0) and f_best != 0:
            other, f_other = before, f_before
    return best


def _interpolated(
    before: float, best: float, other: float, f_before: float, f_best: float, f_other: float
) -> tuple[float, float]:
    """Return the step to the zero of a line or a parabola through the points, as a quotient with p not negative."""
    ratio = f_best / f_before
    if before == other:
        p, q = (other - best) * ratio, 1 - ratio
    else:
        r, s = f_before / f_other, f_best / f_other
        p = ratio * ((other - best) * r * (r - s) - (best - before) * (s - 1))
        q = (r - 1) * (s - 1) * (ratio - 1)
    return (p, -q) if p > 0 else (-p, q)
