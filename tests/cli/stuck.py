"""Ways for a Rollout to get stuck, each played against the embedded cluster and the real controller.

A situation is a coroutine that brings a `World` to the moment at which somebody asks why nothing happens.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from prograde.cli.diagnosis import Diagnosis
from prograde.cli.explain import examine, explanation
from prograde.kube.client import Client
from prograde.simulator.loop import wall_clock
from prograde.simulator.world import World

__all__ = ["NAME", "Situation", "assert_like", "canary", "diagnosis", "explained", "rollout", "service"]

NAME = "cart"

Situation = Callable[[World], Awaitable[None]]


def canary(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": list(steps), **more}}


def rollout(strategy: dict[str, Any] | None = None, *, image: str = "web:1", **spec: Any) -> dict[str, Any]:
    labels = {"app": NAME}
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    container = {"name": "web", "image": image, "ports": [{"containerPort": 8080}], "readinessProbe": probe}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": labels},
            "strategy": strategy or canary({"setWeight": 25}, {"pause": {}}),
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def service(name: str, **more: Any) -> dict[str, Any]:
    spec = {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, **more}, "spec": spec}


async def diagnosis(world: World, name: str = NAME) -> Diagnosis:
    client = Client(world.sandbox.transport("prograde"), qps=0)
    (found,) = await examine(client, "default", [name], wall_clock())
    return found


async def explained(world: World, name: str = NAME) -> list[str]:
    """Return the lines of the answer, without what differs from one cluster to the next."""
    return [_steady(line) for line in explanation(await diagnosis(world, name), wall_clock()).splitlines()]


def _steady(line: str) -> str:
    line = re.sub(r" \((?:since|at) [^)]*UTC\)", "", line)
    line = re.sub(r"-[0-9a-f]{8,10}-[a-z0-9]{5}\b", "-POD", line)
    return re.sub(r"-[0-9a-f]{8,10}\b", "-HASH", line)


_AGE = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def assert_like(line: str, expected: str) -> None:
    """Compare a line with its pattern, in which ``<90s>`` stands for an age of about so many seconds."""
    pieces = re.split(r"<(\d+)s>", expected)
    pattern = r"(\S+?)".join(re.escape(piece) for piece in pieces[::2])
    found = re.fullmatch(pattern, line)
    assert found is not None, f"\n   is {line}\n  not {expected}"
    for age, seconds in zip(found.groups(), map(int, pieces[1::2]), strict=True):
        parsed = _AGE.fullmatch(age)
        assert parsed is not None, line
        days, hours, minutes, rest = (int(each or 0) for each in parsed.groups())
        known = timedelta(days=days, hours=hours, minutes=minutes, seconds=rest).total_seconds()
        # An age is cut to its unit, and a cluster takes a moment for everything.
        assert seconds - 5 <= known <= seconds + 5, f"{age} is not about {seconds} s\n   in {line}"


async def updating(world: World, image: str = "web:2", *, after_seconds: float, **options: Any) -> None:
    """Bring up a healthy Rollout, change its image, and let time pass."""
    world.apply(rollout(**options))
    await world.until_phase(NAME, "Healthy")
    world.set_image(NAME, image)
    await asyncio.sleep(after_seconds)
