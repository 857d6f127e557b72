"""The loop on which hours take no time."""

import asyncio

import pytest

from prograde.simulator.loop import EPOCH, TimeStandsStill, run_virtually, wall_clock


def test_a_day_passes_in_no_time_and_in_order() -> None:
    async def main() -> list[str]:
        done: list[str] = []

        async def after(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            done.append(name)

        await asyncio.gather(after(86400, "day"), after(3600, "hour"), after(0.1, "moment"))
        return done

    assert run_virtually(main()) == ["moment", "hour", "day"]


def test_the_wall_clock_goes_with_the_loop() -> None:
    async def main() -> float:
        before = wall_clock()
        assert before > EPOCH
        await asyncio.sleep(90)
        return (wall_clock() - before).total_seconds()

    assert run_virtually(main()) == pytest.approx(90)


def test_waiting_for_nothing_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtually(main())


def test_running_in_circles_without_waiting_is_found_out_and_cleaned_up_after() -> None:
    closed: list[bool] = []

    async def main() -> None:
        try:
            while True:
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(TimeStandsStill, match="it is still 1000"):
        run_virtually(main())
    assert closed == [True]
