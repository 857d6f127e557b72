"""Writes of the controller for one complete canary of 5 pods in 6 steps, counted by verb and resource.

Once without a traffic router, and once with each. Runs the real controller on the embedded cluster in virtual time, so
the counts are the same on every machine. Events are counted apart: they are best effort, and limited per object.
"""

import asyncio
from collections import Counter
from pathlib import Path

from prograde.api.crd import custom_resource_definitions
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.routingkinds import routing_definitions
from prograde.simulator.loop import run_virtually, wall_clock
from prograde.simulator.world import World, world

EXAMPLES = Path(__file__).parents[1] / "examples"
VARIANTS = {
    "no router": "canary.yaml",
    "NGINX Ingress": "canary-nginx.yaml",
    "Gateway API": "canary-gateway-api.yaml",
    "Istio": "canary-istio.yaml",
}
STEPS = [
    {"setWeight": 20},
    {"pause": {"duration": "30s"}},
    {"setWeight": 40},
    {"pause": {"duration": "30s"}},
    {"setWeight": 80},
    {"pause": {"duration": "30s"}},
]
AFTERWARDS_SECONDS = 120.0
"""Long enough for the pods of the old version to go, which stay for 30 s behind a router."""


def writes(it: World) -> Counter[str]:
    return Counter(
        f"{each.verb} {each.resource}"
        for each in it.sandbox.request_log
        if each.client == "rollouts-controller" and each.is_write
    )


async def canary(example: str) -> None:
    """Bring out one version and print what was written for it, and in the day after."""
    crds = [*custom_resource_definitions(), *routing_definitions()]
    sandbox = Sandbox(now=wall_clock, seed_number=7, profile="real", crds=crds)
    async with world(sandbox=sandbox) as it:
        it.apply(EXAMPLES / example)
        (rollout,) = it.sandbox.list("rollouts")
        name = rollout["metadata"]["name"]
        it.patch(name, {"spec": {"strategy": {"canary": {"steps": STEPS}}}})
        await it.until_phase(name, "Healthy")
        await asyncio.sleep(AFTERWARDS_SECONDS)
        before = writes(it)
        it.set_image(name, "argoproj/rollouts-demo:yellow")
        await it.until(lambda: it.phase(name) != "Healthy")
        await it.until_phase(name, "Healthy")
        await asyncio.sleep(AFTERWARDS_SECONDS)
        counted = writes(it) - before
        events = sum(counted.pop(what, 0) for what in ("create events", "patch events"))
        for what, count in sorted(counted.items()):
            print(f"{count:4} x {what}")
        print(f"{sum(counted.values()):4} writes in all, and {events} of Events")
        status = counted["patch rollouts/status"]
        print(f"status writes per step: {status / len(STEPS):.2f} (goal: at most 3)")
        before = writes(it)
        reconciles = it.metrics.reconcile.count("default", name)
        await asyncio.sleep(24 * 3600)
        more = it.metrics.reconcile.count("default", name) - reconciles
        print(f"a day without change: {more} reconciles, {sum((writes(it) - before).values())} writes (goal: 0)")


if __name__ == "__main__":
    for variant, manifest in VARIANTS.items():
        print(f"-- {variant}")
        run_virtually(canary(manifest))
