"""Random releases with random users and random accidents; the number in a test's name plays the same one again."""

import pytest

from prograde.simulator.runs import run_seed

SEEDS = range(200)
"""What a test run can afford, some 20 seconds. ``make simulate SEEDS=100000`` plays more."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_keeps_every_promise_and_ends_healthy_and_silent(seed: int) -> None:
    run = run_seed(seed)
    assert not run.failure, run.story()


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_makes_the_same_run_write_for_write(seed: int) -> None:
    one, other = run_seed(seed), run_seed(seed)
    assert one.log == other.log
    assert len(one.log) > 50
    assert one.digest == other.digest


def test_other_seeds_make_other_runs() -> None:
    assert run_seed(1).digest != run_seed(2).digest
