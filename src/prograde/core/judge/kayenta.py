"""The judge of Kayenta, NetflixACAJudge v1.0: two samples per metric, a class for each, a score for all.

    values ──▶ cleaned ──▶ no data? equal? ──▶ shift ──▶ High, Low or Pass ──▶ groups ──▶ score ──▶ Pass, Marginal, Fail

Its tolerance and its confidence level are fixed, as they are there. One thing differs: two different constants are
told apart by spreading each a little, there with fresh random numbers, here with the same normal scores every time,
so that a verdict can be repeated.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from prograde.core.judge.mannwhitney import ranks, shift_between

__all__ = ["EffectSize", "MetricClass", "MetricRules", "Verdict", "classify", "judge", "percentile", "score"]

LEVEL: Final = 0.98
TOLERANCE: Final = 0.25
SPREAD: Final = 1e-5
OUTLIER_FACTOR: Final = 3.0
NODATA_SHARE_MAX: Final = 0.5

HIGH, LOW, PASS, NODATA, NODATA_FAIL = "High", "Low", "Pass", "Nodata", "NodataFailMetric"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSize:
    """How large a difference has to be; what is not set is 1.0 for ``meanRatio`` and 0.5 for ``cles``."""

    measure: str = "meanRatio"
    allowed_increase: float | None = None
    allowed_decrease: float | None = None
    critical_increase: float | None = None
    critical_decrease: float | None = None

    def bound(self, given: float | None) -> float:
        """Return a bound, or its default."""
        return given if given is not None else 0.5 if self.measure == "cles" else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRules:
    """How one metric is judged."""

    name: str
    groups: tuple[str, ...] = ()
    direction: str = "either"
    replaces_nan: bool = False
    removes_outliers: bool = False
    outlier_factor: float = OUTLIER_FACTOR
    critical: bool = False
    must_have_data: bool = False
    muted: bool = False
    effect_size: EffectSize = EffectSize()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricClass:
    """What came of one metric. `effect` is NaN where there is none."""

    name: str
    label: str
    groups: tuple[str, ...] = ()
    is_critical: bool = False
    muted: bool = False
    effect: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of all metrics."""

    score: float
    label: str
    groups: Mapping[str, float]
    metrics: tuple[MetricClass, ...]


def judge(
    samples: Sequence[tuple[MetricRules, Sequence[float], Sequence[float]]],
    weights: Mapping[str, float],
    pass_score: float,
    marginal_score: float,
) -> Verdict:
    """Judge metrics by the values of canary and baseline, in this order.

    Raises:
        AllTied: values cannot be compared, for there is one on each side.
    """
    classes = tuple(classify(rules, canary, baseline) for rules, canary, baseline in samples)
    total, groups = score(classes, weights)
    label = "Pass" if total >= pass_score else "Marginal" if total >= marginal_score else "Fail"
    return Verdict(score=total, label=label, groups=groups, metrics=classes)


def classify(
    rules: MetricRules,
    canary: Sequence[float],
    baseline: Sequence[float],
    *,
    level: float = LEVEL,
    tolerance: float = TOLERANCE,
) -> MetricClass:
    """Return the class of one metric.

    Raises:
        AllTied: the values cannot be compared.
    """
    canary, baseline = _cleaned(rules, canary), _cleaned(rules, baseline)

    def result(label: str, *, critical: bool = False, effect: float = math.nan) -> MetricClass:
        return MetricClass(
            name=rules.name, label=label, groups=rules.groups, is_critical=critical, muted=rules.muted, effect=effect
        )

    if not canary or not baseline:
        if rules.replaces_nan:
            return result(PASS)
        if rules.must_have_data and not rules.critical:
            return result(NODATA_FAIL)
        return result(NODATA, critical=rules.critical)
    if sorted(canary) == sorted(baseline) or len({*canary, *baseline}) == 1:
        return result(PASS)
    if len(set(canary)) == 1 and len(set(baseline)) == 1:
        canary, baseline = _spread(canary), _spread(baseline)
    shift = shift_between(canary, baseline, level)
    allowance = tolerance * abs(shift.estimate)
    size = rules.effect_size
    effect = _effect(size, canary, baseline)
    if (
        rules.direction in ("increase", "either")
        and shift.lower > allowance
        and not effect < size.bound(size.allowed_increase)
    ):
        return result(HIGH, critical=rules.critical and not effect < size.bound(size.critical_increase), effect=effect)
    if (
        rules.direction in ("decrease", "either")
        and shift.upper < -allowance
        and not effect > size.bound(size.allowed_decrease)
    ):
        return result(LOW, critical=rules.critical and not effect > size.bound(size.critical_decrease), effect=effect)
    return result(PASS, effect=effect)


def score(classes: Sequence[MetricClass], weights: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """Return the score of everything, and that of each group; weights are in percent."""
    scored = [each for each in classes if not each.muted]
    groups: dict[str, float] = {}
    for name in dict.fromkeys(group for each in scored for group in each.groups):
        labels = [each.label for each in scored if name in each.groups and each.label != NODATA]
        groups[name] = 100 * labels.count(PASS) / len(labels) if labels else 100.0
    without_data = sum(each.label == NODATA for each in scored)
    if any(each.is_critical for each in scored) or (scored and without_data / len(scored) >= NODATA_SHARE_MAX):
        return 0.0, groups
    given = {name: weights[name] for name in groups if name in weights}
    rest = [name for name in groups if name not in given]
    share = (100 - sum(given.values())) / len(rest) if rest else 0.0
    total = math.fsum(groups[name] * given.get(name, share) / 100 for name in groups)
    return math.floor(total * 100 + 0.5) / 100, groups


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile of ordered values, with linear interpolation between the two nearest (type R-7)."""
    at = (len(ordered) - 1) * share
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def _cleaned(rules: MetricRules, values: Sequence[float]) -> list[float]:
    if rules.replaces_nan:
        kept = [0.0 if math.isnan(value) else value for value in values]
    else:
        kept = [value for value in values if not math.isnan(value)]
    if not rules.removes_outliers or not kept:
        return kept
    ordered = sorted(kept)
    first, third = percentile(ordered, 0.25), percentile(ordered, 0.75)
    reach = rules.outlier_factor * (third - first)
    low = min(percentile(ordered, 0.01), first - reach)
    high = max(percentile(ordered, 0.99), third + reach)
    return [value for value in kept if low <= value <= high]


def _spread(values: Sequence[float]) -> list[float]:
    """Spread a constant as a normal sample with a standard deviation of a hundred thousandth of it."""
    normal = NormalDist()
    count = len(values)
    return [value + abs(value) * SPREAD * normal.inv_cdf((i + 0.5) / count) for i, value in enumerate(values)]


def _effect(size: EffectSize, canary: Sequence[float], baseline: Sequence[float]) -> float:
    if size.measure == "cles":
        count = len(canary)
        ranked = ranks([*canary, *baseline])
        return (math.fsum(ranked[:count]) - count * (count + 1) / 2) / (count * len(baseline))
    above, below = math.fsum(canary) / len(canary), math.fsum(baseline) / len(baseline)
    return above / below if above and below else math.nan
