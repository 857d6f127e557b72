"""The interval for the shift between two samples; expected values were computed with SciPy's ranks, step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.core.judge.mannwhitney import AllTied, ranks, shift_between

A = [9.49, 11.02, 9.55, 9.37, 8.14, 9.57, 12.22, 10.85], [12.07, 10.5, 10.79, 10.37, 6.67, 11.71, 11.01, 11.0]
B = (
    [9.62, 9.51, 11.22, 12.06, 13.61, 12.91, 14.04, 11.72, 13.62, 13.79, 11.68, 16.44],
    [11.11, 12.39, 8.76, 8.52, 9.31, 9.79, 11.26, 10.5, 9.11, 8.09],
)
C = (
    [6.96, 10.44, 6.38, 8.49, 8.85, 5.02, 8.1, 10.61, 3.97, 7.36],
    [9.79, 8.37, 10.99, 9.88, 7.07, 11.66, 11.34, 11.89, 12.88, 10.72, 10.24, 7.4, 11.23, 8.78, 9.09],
)
TIED = [1.0, 2, 2, 3, 5, 5, 8], [1.0, 1, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("samples", "level", "lower", "upper", "estimate"),
    [
        (A, 0.95, -2.22, 1.21, (-1.0, -0.95)),
        (A, 0.98, -2.36, 1.47, (-1.0, -0.95)),
        (B, 0.95, 0.95, 4.31, (2.61, 2.68)),
        (B, 0.98, 0.61, 4.68, (2.61, 2.68)),
        (C, 0.95, -4.27, -0.69, (-2.49, -2.44)),
        (C, 0.98, -4.61, -0.29, (-2.49, -2.44)),
        (TIED, 0.95, -1.0, 4.0, (1.0, 1.0)),
        (TIED, 0.98, -2.0, 5.0, (1.0, 1.0)),
    ],
)
def test_bounds_are_exact_to_the_tolerance_of_the_root(
    samples: tuple[list[float], list[float]],
    level: float,
    lower: float,
    upper: float,
    estimate: tuple[float, float],
) -> None:
    shift = shift_between(*samples, level)
    assert shift.lower == pytest.approx(lower, abs=1e-6)
    assert shift.upper == pytest.approx(upper, abs=1e-6)
    assert estimate[0] - 1e-6 <= shift.estimate <= estimate[1] + 1e-6


def test_without_a_change_of_sign_the_end_is_the_bound() -> None:
    shift = shift_between([5.0, 6.0], [1.0, 2.0], 0.98)
    assert (shift.lower, shift.upper) == (3.0, 5.0)


def test_single_values_cannot_be_compared() -> None:
    with pytest.raises(AllTied, match="all observations are tied"):
        shift_between([1.0], [2.0], 0.98)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([3.0, 1.0, 2.0], [3.0, 1.0, 2.0]),
        (TIED[0], [1.0, 2.5, 2.5, 4.0, 5.5, 5.5, 7.0]),
        ([4.0, 4.0, 4.0], [2.0, 2.0, 2.0]),
    ],
)
def test_equal_values_share_their_average_rank(values: list[float], expected: list[float]) -> None:
    assert ranks(values) == expected


samples = st.lists(st.integers(0, 40).map(float), min_size=3, max_size=12)


@given(samples, samples)
def test_exchanging_the_samples_turns_the_bounds_around(x: list[float], y: list[float]) -> None:
    if len({*x, *y}) == 1 or (len(set(x)) == 1 and len(set(y)) == 1):
        return
    there, back = shift_between(x, y, 0.98), shift_between(y, x, 0.98)
    assert there.lower == pytest.approx(-back.upper, abs=2e-6)
    assert there.upper == pytest.approx(-back.lower, abs=2e-6)


@given(samples, samples, st.integers(-20, 20))
def test_moving_the_canary_moves_the_bounds(x: list[float], y: list[float], by: int) -> None:
    if len(set(x)) == 1 and len(set(y)) == 1:
        return
    here, there = shift_between(x, y, 0.98), shift_between([each + by for each in x], y, 0.98)
    assert there.lower == pytest.approx(here.lower + by, abs=2e-6)
    assert there.upper == pytest.approx(here.upper + by, abs=2e-6)
    assert here.lower <= here.estimate + 1e-6
    assert here.estimate <= here.upper + 1e-6
