from datetime import UTC, datetime, timedelta

from prograde.sandbox.clock import DEFAULT_START, ManualClock, accelerated_clock, wall_clock


def test_a_manual_clock_stands_still_and_never_goes_back() -> None:
    clock = ManualClock()
    assert clock() == clock() == DEFAULT_START
    clock.move_to(DEFAULT_START + timedelta(seconds=5))
    clock.move_to(DEFAULT_START)
    assert clock() == DEFAULT_START + timedelta(seconds=5)


def test_the_wall_clock_knows_its_zone() -> None:
    assert wall_clock().tzinfo is UTC
    assert abs(wall_clock() - datetime.now(UTC)) < timedelta(seconds=5)


def test_an_accelerated_clock_runs_ahead() -> None:
    clock = accelerated_clock(1_000_000)
    first = clock()
    while clock() - first < timedelta(seconds=1):
        pass  # a microsecond is a second here
    assert clock() > wall_clock()
