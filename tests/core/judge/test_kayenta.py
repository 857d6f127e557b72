"""Every rule of Kayenta's judge, by examples that can be followed by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.core.judge.kayenta import EffectSize, MetricClass, MetricRules, classify, judge, percentile, score

NAN = math.nan
BASE = [10.0, 11, 12, 13, 14, 15, 16, 17, 18, 19]
MUCH_HIGHER = [value * 3 for value in BASE]
MUCH_LOWER = [value / 3 for value in BASE]
RULES = MetricRules(name="m")


def rules(**fields: object) -> MetricRules:
    return MetricRules(name="m", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "canary", "baseline", "label", "critical"),
    [
        # NaN
        (rules(), [NAN, *BASE], BASE, "Pass", False),
        (rules(), [NAN], BASE, "Nodata", False),
        (rules(replaces_nan=True), [NAN], [0.0], "Pass", False),
        (rules(replaces_nan=True), [NAN] * 10, BASE, "Low", False),
        # No data
        (rules(replaces_nan=True), [], BASE, "Pass", False),
        (rules(), [], BASE, "Nodata", False),
        (rules(), BASE, [], "Nodata", False),
        (rules(must_have_data=True), [], BASE, "NodataFailMetric", False),
        (rules(must_have_data=True, critical=True), [], BASE, "Nodata", True),
        (rules(critical=True), [], BASE, "Nodata", True),
        # Identical and constant
        (rules(), BASE, list(reversed(BASE)), "Pass", False),
        (rules(), [1.0], [1.0, 1.0], "Pass", False),
        (rules(), [10.0] * 10, [20.0] * 10, "Low", False),
        (rules(), [20.0] * 10, [10.0] * 10, "High", False),
        (rules(), [-20.0] * 10, [-10.0] * 10, "Pass", False),
        (rules(), [5.0] * 10, [0.0] * 10, "High", False),
        # Direction
        (rules(), MUCH_HIGHER, BASE, "High", False),
        (rules(), MUCH_LOWER, BASE, "Low", False),
        (rules(direction="increase"), MUCH_HIGHER, BASE, "High", False),
        (rules(direction="increase"), MUCH_LOWER, BASE, "Pass", False),
        (rules(direction="decrease"), MUCH_HIGHER, BASE, "Pass", False),
        (rules(direction="decrease"), MUCH_LOWER, BASE, "Low", False),
        # Effect size
        (rules(effect_size=EffectSize(allowed_increase=3.5)), MUCH_HIGHER, BASE, "Pass", False),
        (rules(effect_size=EffectSize(allowed_increase=2.5)), MUCH_HIGHER, BASE, "High", False),
        (rules(effect_size=EffectSize(allowed_decrease=0.2)), MUCH_LOWER, BASE, "Pass", False),
        (rules(effect_size=EffectSize(allowed_decrease=0.5)), MUCH_LOWER, BASE, "Low", False),
        (rules(effect_size=EffectSize(measure="cles", allowed_increase=0.9)), MUCH_HIGHER, BASE, "High", False),
        (rules(effect_size=EffectSize(allowed_increase=9)), BASE, [0.0] * 9, "High", False),
        # Critical
        (rules(critical=True), MUCH_HIGHER, BASE, "High", True),
        (rules(critical=True), MUCH_LOWER, BASE, "Low", True),
        (rules(critical=True), BASE, BASE, "Pass", False),
        (rules(critical=True, effect_size=EffectSize(critical_increase=4)), MUCH_HIGHER, BASE, "High", False),
        (rules(critical=True, effect_size=EffectSize(critical_increase=2)), MUCH_HIGHER, BASE, "High", True),
        (rules(critical=True, effect_size=EffectSize(critical_decrease=0.1)), MUCH_LOWER, BASE, "Low", False),
        (rules(critical=True, effect_size=EffectSize(critical_increase=9)), BASE, [0.0] * 9, "High", True),
    ],
)
def test_a_metric_gets_its_class(
    wanted: MetricRules, canary: list[float], baseline: list[float], label: str, critical: bool
) -> None:
    found = classify(wanted, canary, baseline)
    assert (found.label, found.is_critical) == (label, critical)


def test_the_effect_is_a_ratio_of_means_or_how_often_the_canary_is_higher() -> None:
    assert classify(RULES, MUCH_HIGHER, BASE).effect == pytest.approx(3)
    assert math.isnan(classify(RULES, BASE, [0.0] * 9).effect)
    tied = classify(rules(effect_size=EffectSize(measure="cles")), [1.0, 2, 2, 3, 5, 5, 8], [1.0, 1, 2, 3, 3, 4])
    assert tied.effect == pytest.approx(2 / 3)


def test_a_shift_within_the_tolerance_passes() -> None:
    # All that is known is a shift between 0.6 and 4.7, around 2.6: more than a quarter of that is not certain.
    canary = [9.62, 9.51, 11.22, 12.06, 13.61, 12.91, 14.04, 11.72, 13.62, 13.79, 11.68, 16.44]
    baseline = [11.11, 12.39, 8.76, 8.52, 9.31, 9.79, 11.26, 10.5, 9.11, 8.09]
    assert classify(RULES, canary, baseline).label == "Pass"
    assert classify(RULES, canary, baseline, level=0.95).label == "High"
    assert classify(RULES, canary, baseline, tolerance=0.1).label == "High"


def test_outliers_go_only_if_wanted_and_beyond_both_fences() -> None:
    canary = [*BASE * 20, 1e9]
    assert classify(rules(), canary, BASE).effect > 1000
    assert classify(rules(removes_outliers=True), canary, BASE).effect == pytest.approx(1)
    # In ten values the 99th percentile is close to the largest one, but below it.
    assert classify(rules(removes_outliers=True), [*BASE[:9], 1e9], BASE).effect < 1
    # A wider fence lets it stay.
    assert classify(rules(removes_outliers=True, outlier_factor=1e9), canary, BASE).effect > 1000


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1.04), (0.25, 2), (0.5, 5), (0.75, 8), (0.99, 29.12)])
def test_percentiles_interpolate(share: float, expected: float) -> None:
    assert percentile([1, 2, 5, 8, 30], share) == pytest.approx(expected)


def of(label: str, *groups: str, critical: bool = False, muted: bool = False) -> MetricClass:
    return MetricClass(name="m", label=label, groups=groups, is_critical=critical, muted=muted)


@pytest.mark.parametrize(
    ("classes", "weights", "total", "groups"),
    [
        ([of("Pass", "a")], {}, 100, {"a": 100}),
        ([of("Pass", "a"), of("High", "a"), of("Low", "a")], {}, 33.33, {"a": 100 / 3}),
        ([of("Pass", "a"), of("NodataFailMetric", "a")], {}, 50, {"a": 50}),
        ([of("Pass", "a"), of("Pass", "a"), of("Nodata", "a")], {}, 100, {"a": 100}),
        ([of("Pass", "a"), of("High", "a"), of("Nodata", "b")], {"a": 60, "b": 40}, 70, {"a": 50, "b": 100}),
        ([of("Pass", "a"), of("High", "b"), of("High", "c")], {"a": 60}, 60, {"a": 100, "b": 0, "c": 0}),
        ([of("Pass", "a"), of("High", "b")], {}, 50, {"a": 100, "b": 0}),
        ([of("Pass", "a", "b"), of("High", "b")], {}, 75, {"a": 100, "b": 50}),
        ([of("Pass", "a"), of("High", "a", critical=True)], {}, 0, {"a": 50}),
        ([of("Pass", "a"), of("Nodata", "a")], {}, 0, {"a": 100}),
        ([of("Pass", "a"), of("High", "a", muted=True)], {}, 100, {"a": 100}),
        ([of("Pass", "a"), of("High", "a", critical=True, muted=True)], {}, 100, {"a": 100}),
        ([], {}, 0, {}),
    ],
)
def test_classes_add_up_to_a_score(
    classes: list[MetricClass], weights: dict[str, float], total: float, groups: dict[str, float]
) -> None:
    found, by_group = score(classes, weights)
    assert found == pytest.approx(total)
    assert by_group == pytest.approx(groups)


@pytest.mark.parametrize(
    ("pass_score", "marginal", "label"),
    [(50, 20, "Pass"), (51, 50, "Marginal"), (90, 51, "Fail")],
)
def test_thresholds_give_the_verdict(pass_score: float, marginal: float, label: str) -> None:
    both = [(rules(groups=("a",)), BASE, BASE), (rules(groups=("a",)), MUCH_HIGHER, BASE)]
    verdict = judge(both, {}, pass_score, marginal)
    assert (verdict.score, verdict.label) == (50, label)
    assert [each.label for each in verdict.metrics] == ["Pass", "High"]


values = st.lists(st.integers(1, 30).map(float), min_size=3, max_size=10)
OPPOSITE = {"High": "Low", "Low": "High", "Pass": "Pass"}


@given(values, values)
def test_versions_that_change_places_get_the_opposite_class(x: list[float], y: list[float]) -> None:
    assert classify(RULES, y, x).label == OPPOSITE[classify(RULES, x, y).label]


@given(values)
def test_a_version_is_never_different_from_itself(x: list[float]) -> None:
    assert classify(RULES, x, x).label == "Pass"
