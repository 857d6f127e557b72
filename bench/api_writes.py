"""Writes of the controller for one complete canary of 5 pods in 6 steps, counted by verb and resource.

Runs the real controller on the embedded cluster in virtual time, so the counts are the same on every machine.
"""

import asyncio
from collections import Counter
from pathlib import Path

from prograde.simulator.loop import run_virtually
from prograde.simulator.world import World, world

MANIFEST = Path(__file__).parents[1] / "examples" / "canary.yaml"
NAME = "canary-demo"
STEPS = [
    {"setWeight": 20},
    {"pause": {"duration": "30s"}},
    {"setWeight": 40},
    {"pause": {"duration": "30s"}},
    {"setWeight": 80},
    {"pause": {"duration": "30s"}},
]


def writes(it: World) -> Counter[str]:
    return Counter(
        f"{each.verb} {each.resource}"
        for each in it.sandbox.request_log
        if each.client == "rollouts-controller" and each.verb in ("create", "update", "patch", "delete")
    )


async def main() -> None:
    async with world(profile="real") as it:
        it.apply(MANIFEST)
        it.patch(NAME, {"spec": {"strategy": {"canary": {"steps": STEPS}}}})
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(60)
        before = writes(it)
        it.set_image(NAME, "argoproj/rollouts-demo:yellow")
        await it.until(lambda: it.phase(NAME) != "Healthy")
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(60)
        counted = writes(it) - before
        for what, count in sorted(counted.items()):
            print(f"{count:4} x {what}")
        status = counted["patch rollouts/status"]
        print(f"status writes per step: {status / len(STEPS):.2f} (goal: at most 3)")
        before = writes(it)
        reconciles = it.metrics.reconcile.count("default", NAME)
        await asyncio.sleep(24 * 3600)
        more = it.metrics.reconcile.count("default", NAME) - reconciles
        print(f"a day without change: {more} reconciles, {sum((writes(it) - before).values())} writes (goal: 0)")


if __name__ == "__main__":
    run_virtually(main())
