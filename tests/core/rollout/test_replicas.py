"""The replica arithmetic as tables: who has how many pods, and what one move makes of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prograde.core.rollout.replicas import (
    CanaryScale,
    Counts,
    Limits,
    ProgressThreshold,
    Size,
    Weights,
    abort_weight,
    approximate_weight,
    desired_weight,
    effective_canary_scale,
    is_new_at_target,
    is_stable_at_target,
    last_set_weight,
    limits,
    next_counts,
    pods_for_weight,
    resized_in_proportion,
    room_to_scale_down,
    routed_counts,
    scale_down_others,
)

# ---- Limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "max_surge", "max_unavailable", "expected"),
    [
        pytest.param(1, "25%", "25%", (1, 0), id="one pod may be surged"),
        pytest.param(3, "25%", "25%", (1, 0)),
        pytest.param(4, "25%", "25%", (1, 1)),
        pytest.param(10, "25%", "25%", (3, 2), id="surge rounds up, unavailable down"),
        pytest.param(10, "39%", "39%", (4, 3)),
        pytest.param(10, None, "39%", (0, 3)),
        pytest.param(10, "39%", None, (4, 0)),
        pytest.param(10, None, None, (0, 1), id="both absent: one may be missing"),
        pytest.param(10, "0%", "0%", (0, 1)),
        pytest.param(10, "0%", "1%", (0, 1), id="both zero after rounding"),
        pytest.param(10, 0, 0, (0, 1)),
        pytest.param(2, "1%", "0%", (1, 0)),
        pytest.param(5, None, 10, (0, 5), id="unavailable is capped at the number of pods"),
        pytest.param(5, 10, 0, (10, 0), id="surge is not capped"),
        pytest.param(10, "25", "25", (3, 2), id="a string without a sign is a percentage too"),
        pytest.param(0, "25%", "25%", (0, 0), id="nothing can be missing from nothing"),
        pytest.param(0, 1, 1, (1, 0)),
        pytest.param(10, "many", "25%", (0, 2), id="no number counts as 0"),
        pytest.param(10, "25%", "2.5%", (3, 0), id="only whole percentages are numbers"),
        pytest.param(10, "many", "2.5%", (0, 1), id="no numbers at all"),
    ],
)
def test_limits_resolve_percentages_of_the_wanted_pods(total, max_surge, max_unavailable, expected):
    assert limits(total, max_surge, max_unavailable) == Limits(surge=expected[0], unavailable=expected[1])


# ---- Which weight ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step_weights", "index", "goes_full", "is_aborted", "expected"),
    [
        pytest.param([10, None, 50], 0, False, False, 10, id="at the weight"),
        pytest.param([10, None, 50], 1, False, False, 10, id="a pause keeps the weight before it"),
        pytest.param([10, None, 50], 2, False, False, 50),
        pytest.param([10, None, 50], 3, False, False, 100, id="all steps done"),
        pytest.param([10, None, 50], 7, False, False, 100, id="index beyond the count"),
        pytest.param([None, 10], 0, False, False, 0, id="nothing set yet"),
        pytest.param([0, None], 1, False, False, 0, id="weight 0 is a weight"),
        pytest.param([], 0, False, False, 100, id="no steps: a rolling update"),
        pytest.param([10], 0, False, True, 0, id="aborted"),
        pytest.param([10], 1, False, True, 0, id="aborted after the last step"),
        pytest.param([10], 0, True, False, 100, id="nothing to split"),
        pytest.param([10], 0, True, True, 100, id="full promotion wins over an abort"),
    ],
)
def test_desired_weight_is_the_last_one_set_unless_there_is_nothing_to_split(
    step_weights, index, goes_full, is_aborted, expected
):
    assert desired_weight(step_weights, index, goes_full=goes_full, is_aborted=is_aborted) == expected


def test_desired_weight_uses_the_maximum_of_the_router():
    assert desired_weight([], 0, goes_full=False, is_aborted=False, max_weight=1000) == 1000


def test_last_set_weight_looks_backwards_only():
    assert last_set_weight([None, 20, None, 40], 2) == 20


# ---- The nearest split -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "weights", "surge", "expected"),
    [
        (0, [0, 1, 50, 99, 100], 0, (0, 0)),
        (0, [0, 1, 50, 99, 100], 1, (0, 0)),
        (1, [0, 1, 49], 0, (0, 1)),
        (1, [50, 99, 100], 0, (1, 0)),
        (1, [0], 1, (0, 1)),
        (1, [*range(1, 100)], 1, (1, 1)),
        (1, [100], 1, (1, 0)),
        (2, [1, 50, 99], 0, (1, 1)),
        (2, [1], 1, (1, 2)),
        (2, [50], 1, (1, 1)),
        (2, [99], 1, (2, 1)),
        (3, [*range(10, 50)], 0, (1, 2)),
        (3, [50], 0, (2, 1)),
        (3, [10, 25], 1, (1, 3)),
        (3, [33, 34], 1, (1, 2)),
        (3, [49, 50], 1, (2, 2)),
        (10, [0], 0, (0, 10)),
        (10, [0], 1, (0, 10)),
        (10, [1, 14], 0, (1, 9)),
        (10, [15, 16, 20, 23], 0, (2, 8)),
        (10, [99], 0, (9, 1)),
        (10, [100], 0, (10, 0)),
        (10, [1], 1, (1, 10)),
        (10, [18, 19], 1, (2, 9)),
        (10, [20, 23], 1, (2, 8)),
        (10, [24, 25], 1, (3, 8)),
        (10, [99], 1, (10, 1)),
        (10, [100], 1, (10, 0)),
    ],
)
def test_approximate_weight_takes_the_nearest_split(total, weights, surge, expected):
    for weight in weights:
        assert approximate_weight(total, weight, 100, surge) == Counts(*expected), f"{weight} % of {total}"


@pytest.mark.parametrize(
    ("total", "weight", "expected"),
    [(2, 75, (1, 1)), (5, 90, (4, 1)), (10, 95, (9, 1)), (25, 98, (24, 1)), (50, 99, (49, 1))],
)
def test_a_tie_below_the_whole_without_surge_still_gives_the_canary_its_pods(total, weight, expected):
    """Argo Rollouts scales the canary to 0 here, although its steps asked for nearly everything."""
    assert approximate_weight(total, weight, 100, 0) == Counts(*expected)


def test_products_beyond_32_bits_are_exact():
    assert approximate_weight(23, 10**8, 10**8, 0) == Counts(canary=23, stable=0)
    assert approximate_weight(100_000, 10**8 - 1, 10**8, 0) == Counts(canary=99_999, stable=1)


@given(total=st.integers(0, 300), weight=st.integers(0, 1000), surge=st.integers(0, 3))
def test_a_split_has_the_wanted_sum_and_no_empty_side(total, weight, surge):
    split = approximate_weight(total, weight, 1000, surge)
    assert split.canary >= 0
    assert split.stable >= 0
    assert split.canary + split.stable in ({total} if surge == 0 or total == 0 else {total, total + 1})
    if 0 < weight < 1000 and (total > 1 or (total == 1 and surge > 0)):
        assert split.canary > 0
        assert split.stable > 0


@given(total=st.integers(0, 120), surge=st.integers(0, 1))
def test_a_larger_weight_never_means_fewer_canaries(total, surge):
    shares = [approximate_weight(total, weight, 100, surge) for weight in range(101)]
    for smaller, larger in pairwise(shares):
        assert smaller.canary * max(1, larger.canary + larger.stable) <= larger.canary * max(
            1, smaller.canary + smaller.stable
        )


# ---- One move of a basic canary --------------------------------------------------------------------------------------


def size(text: str | None) -> Size | None:
    if text is None:
        return None
    spec, available = text.split("/")
    return Size(spec=int(spec), available=int(available))


MOVES = [
    # total, weight, surge, unavailable, stable, new, others -> stable, new
    pytest.param(10, 20, 2, 0, "10/10", "0/0", 0, (10, 2), id="surge as a number"),
    pytest.param(10, 20, "20%", 0, "10/10", "0/0", 0, (10, 2), id="surge as a percentage"),
    pytest.param(10, 20, "20%", 0, "10/10", "2/2", 0, (8, 2), id="extra stable pods leave"),
    pytest.param(10, 30, 2, 0, "10/10", "0/0", 0, (10, 2), id="not past the surge"),
    pytest.param(10, 20, 0, 2, "10/10", "0/0", 0, (8, 0), id="make room first"),
    pytest.param(10, 20, 0, "20%", "10/10", "0/0", 0, (8, 0), id="unavailable as a percentage"),
    pytest.param(10, 30, 0, 2, "10/10", "0/0", 0, (8, 0), id="not past the unavailable"),
    pytest.param(10, 50, 2, 1, "10/10", "0/0", 0, (9, 2), id="surge and unavailable at once"),
    pytest.param(10, 0, 1, 1, "10/10", "1/1", 0, (10, 0), id="weight 0"),
    pytest.param(10, 100, 1, 1, "1/1", "10/10", 0, (0, 10), id="weight 100"),
    pytest.param(10, 100, 3, 0, "7/8", "6/3", 0, (7, 6), id="available beyond the size counts as the size"),
    pytest.param(1, 20, 1, 0, "1/1", "0/0", 0, (1, 1), id="one pod with surge"),
    pytest.param(1, 90, 1, 0, "1/1", "0/0", 0, (1, 1), id="one pod with surge, nearly all"),
    pytest.param(1, 49, 0, 1, "1/1", "0/0", 0, (1, 0), id="one pod without surge: below half no canary"),
    pytest.param(1, 51, 0, 1, "1/1", "0/0", 0, (0, 0), id="one pod without surge: the stable one leaves first"),
    pytest.param(1, 51, 0, 1, "0/0", "0/0", 0, (0, 1), id="one pod without surge: then the canary comes"),
    pytest.param(10, 30, 1, 0, "1/1", "0/0", 3, (7, 1), id="stable grows before the canary; others take room"),
    pytest.param(10, 30, 0, 3, "8/5", "4/4", 0, (7, 3), id="both shrink from above the limit"),
    pytest.param(10, 100, 1, 0, "10/2", "10/8", 0, (2, 9), id="the growing side is trimmed to the limit"),
    pytest.param(10, 30, 0, 1, "8/6", "4/2", 3, (8, 4), id="nothing shrinks while others have pods"),
    pytest.param(10, 5, 0, 1, "10/10", "0/0", 0, (9, 0), id="5 percent of 10 is one pod"),
    pytest.param(10, 5, 0, 1, "9/9", "0/0", 0, (9, 1), id="which comes in the next move"),
    pytest.param(10, 10, "0%", "0%", "10/10", "0/0", 0, (9, 0), id="both limits zero"),
    pytest.param(10, 10, 0, 1, "10/10", "0/0", 0, (9, 0), id="ten percent"),
    pytest.param(4, 100, 1, 0, "4/1", "0/0", 0, (4, 1), id="unhealthy stable: still only the surge"),
    pytest.param(4, 100, 1, 0, "4/1", "1/1", 0, (3, 1), id="unhealthy stable may give up one"),
    pytest.param(3, 99, 0, 2, "3/3", "0/0", 0, (1, 0), id="99 percent keeps one stable pod"),
    pytest.param(3, 99, 0, 2, "1/1", "0/0", 0, (1, 2), id="then two canaries"),
    pytest.param(4, 0, 1, 0, "0/0", "4/4", 0, (1, 4), id="abort: surge a stable pod"),
    pytest.param(4, 0, 1, 0, "1/0", "4/4", 0, (1, 4), id="abort: wait for it"),
    pytest.param(4, 0, 1, 0, "1/1", "4/4", 0, (1, 3), id="abort: then a canary leaves"),
    pytest.param(4, 100, 4, 4, "4/4", "0/0", 0, (0, 4), id="full promotion with all limits open"),
    pytest.param(4, 100, 3, 0, "4/4", "0/0", 0, (4, 3), id="full promotion honours the surge"),
    pytest.param(10, 100, 3, 0, "9/9", "4/4", 0, (6, 4), id="after the last step the shift goes on gradually"),
    pytest.param(10, 20, 1, 0, "5/5", "0/0", 0, (8, 2), id="wanted pods doubled while paused"),
    pytest.param(5, 40, 0, 1, "3/3", "1/1", 0, (3, 2), id="room left by the unavailable is used"),
    pytest.param(10, 10, 0, 1, None, "10/0", 0, (0, 10), id="the new one is the stable one"),
    pytest.param(10, 50, 0, 1, None, "9/9", 0, (0, 10), id="first deployment"),
    pytest.param(10, 50, 0, 1, None, None, 0, (0, 10), id="first deployment, nothing there"),
    pytest.param(5, 20, 1, 0, "5/5", "1/0", 0, (5, 1), id="wait for the canary"),
    pytest.param(5, 20, 1, 0, "5/5", "1/1", 0, (4, 1), id="then stable shrinks"),
    pytest.param(1, 100, 1, 0, "1/1", "1/0", 0, (1, 1), id="one pod: no gap"),
    pytest.param(1, 100, 1, 0, "1/1", "1/1", 0, (0, 1), id="one pod: done"),
    pytest.param(5, 100, 0, 1, None, "10/0", 0, (0, 5), id="shrinking a promoted revision does not wait for pods"),
    pytest.param(0, 50, 1, 0, "3/3", "2/2", 0, (1, 0), id="scaled to zero: down to the surge at once"),
    pytest.param(0, 50, 1, 0, None, "2/2", 0, (0, 0), id="scaled to zero"),
]


@pytest.mark.parametrize(("total", "weight", "surge", "unavailable", "stable", "new", "others", "expected"), MOVES)
def test_one_move(total, weight, surge, unavailable, stable, new, others, expected):
    moved = next_counts(
        total, weight, limits(total, surge, unavailable), new=size(new), stable=size(stable), others_spec=others
    )
    assert (moved.stable, moved.canary) == expected


def trace(total: int, weight: int, bounds: Limits, stable: int, new: int, *, ready: int | None = None) -> list[str]:
    """Repeat moves as passes do: stable first, and a pass ends with the first side that changed; as `new/stable`."""
    seen = [f"{new}/{stable}"]
    for _ in range(4 * (total + 4)):
        available = new if ready is None else min(new, ready)
        moved = next_counts(total, weight, bounds, new=Size(new, available), stable=Size(stable, stable))
        if moved.stable != stable:
            stable = moved.stable
        elif moved.canary != new:
            new = moved.canary
        else:
            return seen
        seen.append(f"{new}/{stable}")
    raise AssertionError(f"does not come to rest: {seen}")


@pytest.mark.parametrize(
    ("total", "weight", "surge", "unavailable", "expected"),
    [
        pytest.param(10, 100, 3, 2, "0/10 0/8 5/8 5/3 10/3 10/0", id="rolling update of ten"),
        pytest.param(5, 50, 1, 0, "0/5 1/5 1/4 2/4 2/3 3/3", id="half of five"),
        pytest.param(2, 100, 0, 1, "0/2 0/1 1/1 1/0 2/0", id="two without surge"),
        pytest.param(4, 100, "25%", "25%", "0/4 0/3 2/3 2/1 4/1 4/0", id="rolling update of four"),
        pytest.param(10, 100, "25%", "25%", "0/10 0/8 5/8 5/3 10/3 10/0"),
        pytest.param(1, 100, "25%", "25%", "0/1 1/1 1/0", id="rolling update of one"),
        pytest.param(3, 100, "25%", "25%", "0/3 1/3 1/2 2/2 2/1 3/1 3/0", id="rolling update of three"),
        pytest.param(10, 20, "25%", "25%", "0/10 0/8 2/8", id="one fifth of ten"),
    ],
)
def test_moves_repeated_with_pods_ready_at_once(total, weight, surge, unavailable, expected):
    assert trace(total, weight, limits(total, surge, unavailable), total, 0) == expected.split()


def test_an_abort_goes_back_one_pod_at_a_time():
    assert trace(4, 0, Limits(1, 0), 0, 4) == ["4/0", "4/1", "3/1", "3/2", "2/2", "2/3", "1/3", "1/4", "0/4"]


@pytest.mark.parametrize(
    ("totals", "surge", "unavailable", "expected"),
    [
        pytest.param([4, 8, 4], "100%", "25%", ["4/3", "8/3", "4/3"], id="full surge"),
        pytest.param([4, 8, 4], 2, 0, ["2/4", "6/4", "2/4"], id="surge of two"),
    ],
)
def test_canaries_that_never_become_ready_stop_the_update_within_the_limits(totals, surge, unavailable, expected):
    stable, new, seen = totals[0], 0, []
    for total in totals:
        last = trace(total, 100, limits(total, surge, unavailable), stable, new, ready=0)[-1]
        new, stable = map(int, last.split("/"))
        seen.append(last)
    assert seen == expected


def test_a_canary_does_not_shrink_until_stable_pods_are_available():
    moved = next_counts(3, 0, Limits(2, 0), new=Size(2, 2), stable=Size(3, 1))
    assert moved == Counts(canary=2, stable=3)


def test_scaling_while_paused_keeps_the_ratio():
    stable, new = 1, 1
    for total, expected in ((8, "2/6"), (4, "1/3")):
        last = trace(total, 25, limits(total, "25%", "25%"), stable, new)[-1]
        assert last == expected
        new, stable = map(int, last.split("/"))


# Available beyond its size is a ReplicaSet whose status has not followed its last scaling yet.
sides = st.integers(0, 30).flatmap(lambda spec: st.builds(Size, st.just(spec), st.integers(0, spec + 4)))


@given(
    total=st.integers(0, 30),
    weight=st.integers(0, 100),
    surge=st.integers(0, 10),
    unavailable=st.integers(0, 10),
    new=sides,
    stable=sides,
)
def test_a_move_never_exceeds_the_surge_and_never_takes_needed_pods(total, weight, surge, unavailable, new, stable):
    bounds = limits(total, surge, unavailable)
    moved = next_counts(total, weight, bounds, new=new, stable=stable)
    pods_max, available_min = total + bounds.surge, total - bounds.unavailable
    assert min(moved.canary, moved.stable) >= 0
    if new.spec + stable.spec <= pods_max:
        assert moved.canary + moved.stable <= pods_max
    # Pods that are not ready are removed first, so what stays available is the smaller of size and availability.
    kept = min(new.available, moved.canary) + min(stable.available, moved.stable)
    assert kept >= min(available_min, new.lasting + stable.lasting)


@given(
    total=st.integers(0, 30),
    weight=st.integers(0, 100),
    surge=st.integers(0, 10),
    unavailable=st.integers(0, 10),
    new=st.integers(0, 40),
    stable=st.integers(0, 40),
)
def test_moves_come_to_rest_at_the_nearest_split(total, weight, surge, unavailable, new, stable):
    bounds = limits(total, surge, unavailable)
    target = approximate_weight(total, weight, 100, bounds.surge)
    assert trace(total, weight, bounds, stable, new)[-1] == f"{target.canary}/{target.stable}"


@given(total=st.integers(1, 30), weights=st.tuples(st.integers(0, 100), st.integers(0, 100)), surge=st.integers(0, 5))
def test_towards_a_larger_weight_the_canary_only_grows_and_stable_only_shrinks(total, weights, surge):
    bounds = limits(total, surge, 1)
    low, high = sorted(weights)
    start = approximate_weight(total, low, 100, bounds.surge)
    end = approximate_weight(total, high, 100, bounds.surge)
    steps = [tuple(map(int, each.split("/"))) for each in trace(total, high, bounds, start.stable, start.canary)]
    for (canary, stable), (canary_next, stable_next) in pairwise(steps):
        assert canary_next >= canary
        # The total may rise by the one surged pod: then stable grows first, towards its target.
        assert stable_next <= max(stable, end.stable)


# ---- A changed number of pods while nothing may move -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "surge", "unavailable", "stable", "new", "expected"),
    [
        pytest.param(20, 1, 0, "8/8", "2/2", (16, 4), id="twice as many"),
        pytest.param(5, 1, 0, "8/8", "2/2", (4, 1), id="half as many"),
        pytest.param(5, 1, 0, "10/10", "0/0", (5, 0), id="no canary yet"),
        pytest.param(5, 1, 0, "0/0", "10/10", (0, 5), id="no stable left"),
        pytest.param(0, 1, 0, "8/8", "2/2", (0, 0), id="none"),
        pytest.param(6, 6, 0, "10/10", "5/0", (6, 2), id="a broken canary carries nothing"),
        pytest.param(6, 6, 2, "10/10", "5/0", (4, 2), id="as far as pods may be missing"),
        pytest.param(6, 1, 0, "4/0", "4/4", (3, 4), id="a broken stable side carries nothing either"),
        pytest.param(6, 1, 0, "4/2", "4/1", (4, 4), id="too few are available already"),
    ],
)
def test_a_changed_number_keeps_the_proportion_but_never_gives_up_needed_pods(
    total, surge, unavailable, stable, new, expected
):
    counts = resized_in_proportion(total, Limits(surge, unavailable), new=size(new), stable=size(stable))
    assert (counts.stable, counts.canary) == expected


def test_a_changed_number_grows_no_further_than_the_surge_with_the_pods_of_others():
    counts = resized_in_proportion(3, Limits(1, 0), new=Size(0, 0), stable=Size(1, 1), others=[Size(2, 2)])
    assert counts == Counts(canary=0, stable=2)


def test_a_changed_number_may_shrink_by_what_others_carry():
    counts = resized_in_proportion(3, Limits(1, 0), new=Size(2, 0), stable=Size(4, 4), others=[Size(2, 1)])
    assert counts == Counts(canary=1, stable=2)


@given(total=st.integers(0, 30), surge=st.integers(0, 5), unavailable=st.integers(0, 5), new=sides, stable=sides)
def test_a_changed_number_never_takes_needed_pods(total, surge, unavailable, new, stable):
    assume(new.spec + stable.spec > 0)
    bounds = limits(total, surge, unavailable)
    counts = resized_in_proportion(total, bounds, new=new, stable=stable)
    kept = min(counts.canary, new.available) + min(counts.stable, stable.available)
    assert kept >= min(total - bounds.unavailable, new.lasting + stable.lasting)
    assert counts.canary + counts.stable <= max(new.spec + stable.spec, total + bounds.surge)


# ---- Other revisions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("others", "room", "expected"),
    [
        pytest.param("5/5 5/5", 6, [0, 4], id="the first given leaves first"),
        pytest.param("10/8", 0, [8], id="pods that are not available go without room"),
        pytest.param("10/8", 3, [5], id="and further by the room"),
        pytest.param("10/8", 8, [0]),
        pytest.param("3/0", -2, [0], id="crashing pods go though too few are available"),
        pytest.param("2/2", 0, [2], id="no room"),
        pytest.param("0/3", 3, [0], id="already leaving"),
        pytest.param("1/1 2/5", 2, [0, 1], id="one that is shrinking already does not block"),
        pytest.param("", 5, [], id="none"),
    ],
)
def test_others_shrink_within_the_room(others, room, expected):
    assert scale_down_others([size(each) for each in others.split()], room) == tuple(expected)


def test_old_revisions_with_an_unavailable_new_one_keep_what_is_needed():
    room = room_to_scale_down([Size(5, 0), Size(5, 5), Size(5, 5)], 4, 0)
    assert scale_down_others([Size(5, 5), Size(5, 5)], room) == (0, 4)


def test_pods_that_are_leaving_already_are_not_spare_twice():
    """The status of a scaled-down ReplicaSet lags behind; Argo Rollouts would give rs1's pods away as well."""
    sizes = [Size(5, 0), Size(0, 5), Size(4, 5)]
    assert room_to_scale_down(sizes, 4, 0) == 0


def test_a_basic_canary_drops_an_abandoned_intermediate_revision():
    room = room_to_scale_down([Size(9, 9), Size(1, 1), Size(1, 1)], 10, 0)
    assert scale_down_others([Size(1, 1)], room) == (0,)


@given(
    others=st.lists(sides, max_size=5), new=sides, stable=sides, total=st.integers(0, 30), unavailable=st.integers(0, 5)
)
def test_scaling_others_down_never_takes_needed_pods(others, new, stable, total, unavailable):
    everything = [new, stable, *others]
    sizes = scale_down_others(others, room_to_scale_down(everything, total, unavailable))
    kept = new.lasting + stable.lasting
    kept += sum(min(after, before.available) for after, before in zip(sizes, others, strict=True))
    assert kept >= min(total - unavailable, sum(each.lasting for each in everything))
    for after, before in zip(sizes, others, strict=True):
        assert 0 <= after <= before.spec


# ---- With a traffic router -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "weight", "max_weight", "expected"),
    [
        (10, 0, 100, 0),
        (10, 20, 100, 2),
        (10, 25, 100, 3),
        (10, 33, 100, 4),
        (10, 99, 100, 10),
        (10, 100, 100, 10),
        (10, 200, 1000, 2),
        (23, 10**8, 10**8, 23),
        (0, 50, 100, 0),
    ],
)
def test_pods_for_a_weight_are_rounded_up(total, weight, max_weight, expected):
    assert pods_for_weight(total, weight, max_weight) == expected


def routed_case(steps: list[int | CanaryScale | None], index: int) -> tuple[int, CanaryScale | None]:
    weights = [step if isinstance(step, int) else None for step in steps]
    scales = [step if isinstance(step, CanaryScale) else None for step in steps]
    return (
        desired_weight(weights, index, goes_full=False, is_aborted=False),
        effective_canary_scale(scales, index, is_aborted=False, keeps_canary_on_abort=False),
    )


@pytest.mark.parametrize(
    ("total", "steps", "index", "pods_min", "expected"),
    [
        pytest.param(10, [10], 0, None, (1, 10), id="weight 10"),
        pytest.param(1, [CanaryScale(replicas=9), 100], 1, None, (9, 1), id="fixed size beyond the wanted pods"),
        pytest.param(4, [CanaryScale(weight=200), 100], 1, None, (8, 4), id="scale weight 200"),
        pytest.param(
            10,
            [CanaryScale(replicas=9, weight=100, matches_traffic_weight=True), 20],
            1,
            None,
            (2, 10),
            id="matching the traffic wins over the other members",
        ),
        pytest.param(10, [CanaryScale(replicas=3, weight=100), None], 1, None, (3, 10), id="replicas win over weight"),
        pytest.param(10, [CanaryScale(), 20], 1, None, (2, 10), id="an empty scale says nothing"),
        pytest.param(10, [5], 0, 2, (2, 10), id="minimum of two"),
        pytest.param(10, [0], 0, 2, (0, 10), id="nothing stays nothing"),
        pytest.param(10, [CanaryScale(replicas=1)], 0, 2, (1, 10), id="a fixed size is not raised"),
        pytest.param(1, [], 0, 2, (1, 1), id="minimum capped at the wanted pods"),
        pytest.param(10, [CanaryScale(replicas=0), 50], 1, None, (0, 10), id="fixed size 0 is honoured"),
    ],
)
def test_sizes_with_a_router(total, steps, index, pods_min, expected):
    weight, scale = routed_case(steps, index)
    assert routed_counts(total, weight, scale=scale, pods_min=pods_min) == Counts(*expected)


def test_sizes_with_a_larger_maximum_weight():
    assert routed_counts(10, 200, max_weight=1000) == Counts(canary=2, stable=10)
    assert routed_counts(23, 10**8, max_weight=10**8) == Counts(canary=23, stable=23)


def test_a_canary_scale_stays_in_force_until_a_step_matches_the_traffic_again():
    steps: list[int | CanaryScale | None] = [
        None,
        CanaryScale(weight=25),
        None,
        50,
        None,
        CanaryScale(replicas=3),
        None,
        CanaryScale(matches_traffic_weight=True),
        None,
    ]
    sizes = []
    for index in (0, 2, 4, 6, 8, 9):
        weight, scale = routed_case(steps, index)
        sizes.append(routed_counts(4, weight, scale=scale).canary)
    assert sizes == [0, 1, 1, 3, 2, 4]


@pytest.mark.parametrize(
    ("keeps_canary", "expected"),
    [pytest.param(True, (1, 1), id="never scaled down"), pytest.param(False, (0, 1), id="scaled down after a delay")],
)
def test_an_abort_keeps_a_fixed_size_only_if_the_canary_is_kept(keeps_canary, expected):
    scale = effective_canary_scale([CanaryScale(replicas=1)], 0, is_aborted=True, keeps_canary_on_abort=keeps_canary)
    assert routed_counts(1, 0, scale=scale) == Counts(*expected)


def test_no_scale_is_in_force_after_the_last_step():
    assert effective_canary_scale([CanaryScale(replicas=1)], 1, is_aborted=False, keeps_canary_on_abort=False) is None


@pytest.mark.parametrize(
    ("steps", "recorded", "aborted_with", "expected"),
    [
        pytest.param([10], (10, 90), None, (1, 9), id="weight 10"),
        pytest.param([20], (10, 90), None, (2, 9), id="stable waits for the recorded traffic"),
        pytest.param([20, 60], (60, 40), ("6/6", "4/4"), (6, 8), id="abort"),
        pytest.param([20, 60], (60, 40), ("1/1", "4/4"), (6, 8), id="abort with few canaries"),
        pytest.param([20, 60], (60, 40), ("2/2", "8/4"), (6, 8), id="abort while stable grows"),
        pytest.param([20, 60], (60, 40), (None, None), (6, 10), id="abort, sizes unknown"),
        pytest.param([20], (20, 80), (None, None), (2, 10), id="abort at 20"),
        pytest.param([20], (10, 90), (None, None), (1, 10), id="abort at 10"),
    ],
)
def test_sizes_with_a_dynamic_stable_side_follow_the_recorded_traffic(steps, recorded, aborted_with, expected):
    weight = steps[0]
    if aborted_with is not None:
        new, stable = map(size, aborted_with)
        weight = 0
        if new is not None and stable is not None:
            weight = abort_weight(
                steps, 10, new_available=new.available, stable_available=stable.available, holds_canary=False
            )
    counts = routed_counts(10, weight, is_dynamic=True, recorded=Weights(*recorded))
    assert counts == Counts(*expected)


def test_a_fixed_size_leaves_a_dynamic_stable_side_whole_and_is_raised_to_the_minimum():
    counts = routed_counts(10, 50, scale=CanaryScale(replicas=1), pods_min=2, is_dynamic=True)
    assert counts == Counts(canary=2, stable=10)


def test_a_scale_weight_beyond_the_maximum_leaves_a_dynamic_stable_side_empty():
    assert routed_counts(4, 50, scale=CanaryScale(weight=200), is_dynamic=True) == Counts(canary=8, stable=0)


@pytest.mark.parametrize(
    ("stable_available", "holds_canary", "expected"),
    [
        pytest.param(9, False, 10, id="the canary still has its pods"),
        pytest.param(5, True, 10, id="held canary: what stable lacks counts"),
        pytest.param(9, True, 0, id="held canary: stable lacks nothing that a step needs"),
        pytest.param(10, True, 0, id="stable is complete"),
    ],
)
def test_the_weight_of_an_abort_steps_down_with_the_pods(stable_available, holds_canary, expected):
    weight = abort_weight(
        [10, None, 50], 10, new_available=5, stable_available=stable_available, holds_canary=holds_canary
    )
    assert weight == expected


def test_the_weight_of_an_abort_without_pods_is_zero():
    assert abort_weight([10, 50], 0, new_available=0, stable_available=0, holds_canary=False) == 0


# ---- Has reality arrived? --------------------------------------------------------------------------------------------

PERCENT_90 = ProgressThreshold(kind="Percent", value=90)


@pytest.mark.parametrize(
    ("new", "target", "threshold", "expected"),
    [
        pytest.param(None, 0, None, False, id="no ReplicaSet"),
        pytest.param(None, 0, PERCENT_90, False, id="no ReplicaSet, with a threshold"),
        pytest.param("3/3", 3, None, True),
        pytest.param("3/2", 3, None, False),
        pytest.param("4/3", 3, None, False, id="size differs"),
        pytest.param("5/10", 10, None, False, id="only the pods are there"),
        pytest.param("10/9", 10, PERCENT_90, True),
        pytest.param("10/8", 10, PERCENT_90, False),
        pytest.param("10/9", 10, None, False),
        pytest.param("10/9", 10, ProgressThreshold(kind="Pods", value=9), True),
        pytest.param("10/7", 10, ProgressThreshold(kind="Pods", value=8), False),
        pytest.param("10/9", 10, ProgressThreshold(kind="Percent", value=-100), False, id="negative means absent"),
        pytest.param("10/10", 10, ProgressThreshold(kind="Percent", value=-100), True),
        pytest.param("10/100", 10, ProgressThreshold(kind="Percent", value=100), True),
        pytest.param("0/0", 0, PERCENT_90, True, id="nothing of nothing"),
        pytest.param(
            "3/2", 3, ProgressThreshold(kind="Percent", value=67), False, id="two thirds are below 67 percent"
        ),
        pytest.param("2/2", 2, ProgressThreshold(kind="Pods", value=9), True, id="more than all cannot be asked for"),
        pytest.param("2/1", 2, ProgressThreshold(kind="Pods", value=9), False),
    ],
)
def test_the_new_side_has_arrived(new, target, threshold, expected):
    assert is_new_at_target(size(new), target, threshold) is expected


@pytest.mark.parametrize(
    ("spec", "actual", "target", "expected"),
    [
        pytest.param(1, 1, 1, True, id="availability does not matter"),
        pytest.param(2, 3, 2, False, id="a pod is still terminating"),
        pytest.param(3, 3, 2, False, id="not scaled yet"),
    ],
)
def test_the_stable_side_has_arrived_when_no_pod_is_left_over(spec, actual, target, expected):
    assert is_stable_at_target(spec, actual, target) is expected
