"""Evidence: what it is made of, that it does not mislead who looks often, and that it finds what is there."""

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.core.judge.sequential import (
    EVIDENCE_MAX,
    STEPS,
    Dispersion,
    RateState,
    ShareState,
    SignState,
    evidence,
    ratio_interval,
    updated_rate,
    updated_share,
    updated_sign,
)


def after(state: RateState, x: float, n: float, y: float, m: float, margin: float = 1.0) -> RateState:
    return updated_rate(state, (x, n), (y, m), margin=margin, safe_margin=1.5)


@pytest.mark.parametrize("margin", [1.0, 1.25])
def test_each_alternative_grows_by_its_likelihood_ratio(margin: float) -> None:
    state = after(RateState(), 3, 50, 5, 950, margin)
    for log, step in zip(state.harm, STEPS, strict=True):
        p = [ratio * 0.05 / (ratio * 0.05 + 0.95) for ratio in (margin * step, margin)]
        assert log == pytest.approx(3 * math.log(p[0] / p[1]) + 5 * math.log((1 - p[0]) / (1 - p[1])))
    for log, step in zip(state.safe, STEPS, strict=True):
        p = [ratio * 0.05 / (ratio * 0.05 + 0.95) for ratio in (1.5 / step, 1.5)]
        assert log == pytest.approx(3 * math.log(p[0] / p[1]) + 5 * math.log((1 - p[0]) / (1 - p[1])))


@given(st.integers(1, 12), st.floats(0.02, 0.9))
def test_evidence_is_fair_while_the_canary_is_at_the_margin(events: int, weight: float) -> None:
    p = 1.25 * weight / (1.25 * weight + 1 - weight)
    expected = 0.0
    for x in range(events + 1):
        chance = math.comb(events, x) * p**x * (1 - p) ** (events - x)
        state = after(RateState(), x, 1e6 * weight, events - x, 1e6 * (1 - weight), 1.25)
        expected += chance * evidence(state.harm)
    assert expected == pytest.approx(1)


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 900), (50, 0)])
def test_an_interval_without_requests_on_one_side_says_nothing(n: float, m: float) -> None:
    state = after(RateState(), 4, n, 9, m)
    assert (state.harm, state.safe) == (RateState().harm, RateState().safe)
    assert state.looks == 0


def test_more_bad_than_all_requests_counts_as_all() -> None:
    assert after(RateState(), 99, 50, 5, 950).canary == (50, 50)


def test_nothing_is_proved_before_the_third_look_and_stays_proved_after_it() -> None:
    state = RateState()
    for looks in (1, 2, 3):
        state = after(state, 20, 50, 9, 950)
        assert (state.largest >= 20) == (looks == 3)
    proved = state.largest
    for _ in range(30):
        state = after(state, 0, 50, 20, 950)
    assert state.largest == proved
    assert evidence(state.harm, state.dispersion()) < 20


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [([10, 9, 11, 10, 8, 12, 10], 1, 1), ([0, 0, 40, 0, 0, 50, 0, 0, 0, 40], 8, 80), ([7], 1, 1), ([], 1, 1)],
)
def test_dispersion_is_one_unless_events_come_in_bursts(counts: list[int], low: float, high: float) -> None:
    dispersion = Dispersion()
    for count in counts:
        dispersion = dispersion.after(count, 1000)
    assert low <= dispersion.factor() <= high


def test_one_burst_in_a_quiet_canary_is_no_evidence() -> None:
    state = RateState()
    for x in (0, 0, 0, 0, 10):
        state = after(state, x, 30, 6, 570)
    assert state.canary_dispersion.factor() > 5
    assert evidence(state.harm) > 20 > state.largest


@pytest.mark.parametrize(("logs", "value"), [([0.0, 0.0], 1.0), ([math.log(3), 0.0], 2.0), ([9e9], EVIDENCE_MAX)])
def test_evidence_is_an_average_and_never_infinite(logs: list[float], value: float) -> None:
    assert evidence(logs) == pytest.approx(value)


def minutes(seed: int, ratio: float, looks: int = 60) -> RateState:
    rng = random.Random(seed)
    state = RateState()
    for _ in range(looks):
        x = sum(rng.random() < 0.02 * ratio for _ in range(50))
        y = sum(rng.random() < 0.02 for _ in range(200))
        state = after(state, x, 50, y, 200)
    return state


def test_healthy_canaries_are_seldom_suspected_and_bad_ones_are_found() -> None:
    assert sum(minutes(seed, 1.0).largest >= 20 for seed in range(60)) <= 3
    assert all(minutes(seed, 5.0).largest >= 20 for seed in range(20))
    assert sum(minutes(seed, 0.5).safety() >= 20 for seed in range(20)) >= 15
    assert sum(minutes(seed, 2.0).safety() >= 20 for seed in range(60)) <= 3


def test_the_ratio_lies_in_its_interval() -> None:
    state = RateState(canary=(20, 1000), stable=(100, 10_000))
    ratio, low, high = ratio_interval(state, 0.95)
    assert ratio == pytest.approx(20.5 / 1000 / (100.5 / 10_000))
    assert low == pytest.approx(ratio / math.exp(1.959964 * math.sqrt(1 / 20.5 + 1 / 100.5)))
    assert low * high == pytest.approx(ratio**2)
    assert ratio_interval(RateState(), 0.95) == (1.0, 0.0, math.inf)


@pytest.mark.parametrize(
    ("n", "m", "over", "under"), [(50, 950, 0, 0), (52, 948, 0, 0), (200, 800, 1, 0), (5, 995, 0, 1), (0, 1000, 0, 1)]
)
def test_requests_that_do_not_match_the_weight_are_noticed(n: int, m: int, over: int, under: int) -> None:
    state = ShareState()
    for _ in range(5):
        state = updated_share(state, n, m, share=0.05, tolerance=1.25)
    assert (evidence(state.over) >= 40, evidence(state.under) >= 40) == (bool(over), bool(under))


def test_a_gauge_votes_once_per_block() -> None:
    state = SignState()
    for looks in range(1, 31):
        state = updated_sign(state, 1.3, 1.0, margin=1.1, safe_margin=1.5, block=3)
        assert (state.looks, state.block[2]) == (looks, looks % 3)
    # Ten votes of ten: the best bet has grown to (2 x 0.99) ^ 10.
    assert max(state.bets) == pytest.approx(10 * math.log(1.98))
    assert state.largest == evidence(state.bets) > 20
    assert evidence(state.safe_bets) > 20


def test_a_gauge_within_the_margin_loses_its_bets() -> None:
    state = SignState()
    for _ in range(10):
        state = updated_sign(state, 1.05, 1.0, margin=1.1, safe_margin=1.5, block=1)
    assert state.largest < 1


def test_the_state_is_small_and_survives_json() -> None:
    state = minutes(1, 5.0)
    text = msgspec.json.encode(state)
    assert len(text) < 2048
    assert msgspec.json.decode(text, type=RateState) == state
