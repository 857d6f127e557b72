"""How long it takes to plan one Rollout, and what that costs in calls.

    .venv/bin/python bench/plan.py

Prints the median time of `plan_rollout` for a Rollout with three ReplicaSets in several states, as a share of the goal
of one millisecond, and the number of bytecode instructions of one plan, which does not depend on the machine.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.core.rollout.builders import World, pause, rollout, weight

from prograde.api.rollout import CanaryStrategy
from prograde.core.rollout.planner import plan_rollout

GOAL_SECONDS = 0.001
ROUNDS = 2000


def worlds() -> dict[str, World]:
    """Return worlds with three ReplicaSets each, in states that a controller meets all day."""
    steps = CanaryStrategy(steps=(weight(20), pause(), weight(40), pause(), weight(60), pause()))
    found = {}
    for state in ("idle", "paused", "moving"):
        world = World(rollout(canary=steps, replicas=5))
        world.run()
        for image in ("v2", "v3"):
            world.set_image(image)
            world.run()
            if image == "v2" or state == "idle":
                world.change_status(promote_full=True)
                world.run()
        if state == "moving":
            world.change_status(pause_conditions=())
            world.step()
        assert len(world.replica_sets) == 3
        found[state] = world
    return found


def instructions_of(plan: Callable[[], object]) -> int:
    """Count the bytecode instructions that the interpreter executes for one plan."""
    count = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    plan()
    sys.settrace(None)
    return count


def main() -> None:
    for state, world in worlds().items():
        snapshot, now = world.snapshot(), world.now
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            plan_rollout(snapshot, now)
            times.append(time.perf_counter() - started)
        median = statistics.median(times)
        count = instructions_of(lambda snapshot=snapshot, now=now: plan_rollout(snapshot, now))
        print(f"{state:8} {median * 1e6:6.0f} us = {median / GOAL_SECONDS:.2f} of the goal, {count} instructions")


if __name__ == "__main__":
    main()
