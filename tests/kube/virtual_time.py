"""Tests that wait for hours in no time."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

from prograde.simulator.loop import EPOCH, VirtualTimeLoop, run_virtually, wall_clock

__all__ = ["EPOCH", "VirtualTimeLoop", "run_virtually", "settle", "virtual_time", "wall_clock"]

P = ParamSpec("P")


def virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test on a `VirtualTimeLoop`."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        run_virtually(main())

    return wrapper


async def settle() -> None:
    """Let everything that can run now run, without letting time pass."""
    for _ in range(50):
        await asyncio.sleep(0)
