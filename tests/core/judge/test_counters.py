"""What has happened since the last look, by counters of pods that come and go."""

import math

import pytest

from prograde.core.judge.counters import ABSENT_LOOKS_MAX, Counters, counted


@pytest.mark.parametrize(
    ("looks", "grown"),
    [
        ([{"a": 5.0}], [0]),
        ([{"a": 5.0}, {"a": 8.0}], [0, 3]),
        ([{"a": 5.0}, {"a": 2.0}], [0, 2]),
        ([{"a": 5.0}, {"a": 6.0, "b": 4.0}], [0, 5]),
        ([{"a": 5.0, "b": 9.0}, {"a": 6.0}], [0, 1]),
        ([{"a": 5.0}, {}, {"a": 7.0}], [0, 0, 2]),
        ([{}, {"a": 3.0}], [0, 3]),
        ([{"a": 5.0}, {"a": math.nan}, {"a": 6.0}], [0, 0, 1]),
    ],
)
def test_counters_are_differenced_series_by_series(looks: list[dict[str, float]], grown: list[float]) -> None:
    state: Counters | None = None
    found = []
    for look in looks:
        state, by = counted(state, look)
        found.append(by)
    assert found == grown


def test_a_series_that_stays_away_is_forgotten() -> None:
    state, _ = counted(None, {"a": 5.0})
    for _ in range(ABSENT_LOOKS_MAX):
        state, _ = counted(state, {})
    assert state.values
    state, _ = counted(state, {})
    assert not state.values
    assert not state.absent
