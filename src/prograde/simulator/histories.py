"""What may happen to a Rollout, drawn from one integer: its spec, what its users do, and what goes wrong.

Nothing is executed here. A `History` is plain data that can be printed, written to a file and cut down, so that a
failure can be told as a story. Each seed uses only some of the kinds of moves (a "swarm"): a history of nothing but
crashes finds other mistakes than one with a little of everything.

A seed means its history only together with `VERSION`, which counts up whenever the draw changes.
"""

import random
from collections.abc import Callable
from typing import Any, Final

import msgspec

from prograde.api.rollout import Rollout
from prograde.simulator import specs
from prograde.simulator.scenery import make_up
from prograde.simulator.specs import BROKEN_IMAGES, GOOD_IMAGES, NAME, WORKLOAD

__all__ = ["VERSION", "History", "Move", "history_of", "service", "surroundings"]

Json = dict[str, Any]

VERSION: Final = 4

MOVES_MAX: Final = 24
"""Long enough for several updates and accidents on top of each other, short enough to be read."""


class Move(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Something that happens `after_seconds` after the move before."""

    after_seconds: float
    kind: str
    value: Any = None

    def __str__(self) -> str:
        return f"+{self.after_seconds:.3f}s {self.kind}" + ("" if self.value is None else f" {self.value}")


class History(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A seed's whole story."""

    seed: int
    version: int = VERSION
    spec: Json
    scale_down: str = ""
    """Set, the template is that of a Deployment, and this is what becomes of the Deployment's own pods."""
    moves: tuple[Move, ...]

    @property
    def manifests(self) -> list[Json]:
        """Return the Rollout and what it may name: its Services, routing objects, templates, and its Deployment."""
        workload = [self._deployment()] if self.scale_down else []
        return [*workload, self.rollout, *surroundings(self.rollout)]

    @property
    def rollout(self) -> Json:
        spec = self.spec
        if self.scale_down:
            reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": WORKLOAD, "scaleDown": self.scale_down}
            spec = {**{name: value for name, value in spec.items() if name != "template"}, "workloadRef": reference}
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": NAME, "namespace": "default"},
            "spec": spec,
        }

    def _deployment(self) -> Json:
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": WORKLOAD, "namespace": "default"},
            "spec": {name: self.spec[name] for name in ("replicas", "selector", "template")},
        }


def surroundings(rollout: Json) -> list[Json]:
    """Return everything that a Rollout names, and the two Services that any strategy may name later."""
    typed = msgspec.json.decode(msgspec.json.encode(rollout), type=Rollout)
    services = [service(name) for name in ("active", "preview")]
    existing = [("Service", each["metadata"]["name"]) for each in services]
    return [*services, *(each.manifest for each in make_up(typed, existing))]


def service(name: str) -> Json:
    """Return the manifest of a Service in front of the Rollout's pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80}]},
    }


def history_of(seed: int) -> History:
    """Return the history that belongs to `seed`."""
    rng = random.Random(f"{VERSION} {seed}")
    spec, scale_down = specs.spec(rng), specs.scale_down(rng)
    kinds = [kind for kind in _MOVES if rng.random() < 0.4] or ["image"]
    kinds += ["image", "image", "promote", "heal", "heal"]
    moves = []
    for _ in range(rng.randint(4, MOVES_MAX)):
        kind = rng.choice(kinds)
        # Mostly in the middle of things, sometimes when they have come to rest.
        pause = rng.choice((rng.uniform(0, 0.3), rng.uniform(0, 2), rng.uniform(0, 20), rng.uniform(20, 90)))
        moves.append(Move(round(pause, 3), kind, _MOVES.get(kind, _nothing)(rng)))
    return History(seed=seed, spec=spec, scale_down=scale_down, moves=tuple(moves))


# ---- The moves -------------------------------------------------------------------------------------------------------


def _nothing(_: random.Random) -> None:
    return None


def _image(rng: random.Random) -> str:
    return rng.choice(BROKEN_IMAGES) if rng.random() < 0.25 else rng.choice(GOOD_IMAGES)


def _image_and_size(rng: random.Random) -> list[Any]:
    return [_image(rng), _size(rng)]


def _size(rng: random.Random) -> int:
    return rng.choice((0, 1, 2, 3, 5, 8))


def _seconds(rng: random.Random) -> float:
    return round(rng.choice((0.0, rng.uniform(0, 1), rng.uniform(1, 40))), 3)


def _trouble(rng: random.Random) -> list[Any]:
    """Return the verbs that a fault hits, the resource, its probability, and its number of times."""
    verbs = rng.choice(("patch", "create", "patch,create,delete", "get,list"))
    resource = rng.choice(("", "", "rollouts*", "replicasets", "services"))
    return [verbs, resource, rng.choice((0.1, 0.5, 1.0)), rng.choice((1, 2, 5, None))]


def _few(rng: random.Random) -> int:
    return rng.randint(0, 4)


def _share(rng: random.Random) -> float:
    return round(rng.random(), 3)


def _steps(rng: random.Random) -> list[Json]:
    return specs.steps(rng, is_routed=True)


def _writes_and_seconds(rng: random.Random) -> list[Any]:
    """Return after how many writes a controller crashes, and when it comes back."""
    return [rng.randint(1, 12), _seconds(rng)]


def _jump(rng: random.Random) -> float:
    """Return how far a clock jumps; mostly forward, as clocks that were wrong do."""
    return round(rng.choice((rng.uniform(0, 5), rng.uniform(5, 120), -rng.uniform(0, 5))), 3)


def _sizes(rng: random.Random) -> list[int]:
    return [rng.randint(1, 8) for _ in range(rng.randint(1, 6))]


_MOVES: Final[dict[str, Callable[[random.Random], Any]]] = {
    # What users do.
    "promote": _nothing,
    "promote-full": _nothing,
    "skip-step": _nothing,
    "abort": _nothing,
    "retry": _nothing,
    "image": _image,
    "image-and-size": _image_and_size,
    "undo": _share,
    "scale": _size,
    "steps": _steps,
    "limits": specs.limits,
    "strategy": specs.strategy,
    "pause": _nothing,
    "unpause": _nothing,
    "restart": _nothing,
    "delete-and-recreate": _seconds,
    "make-invalid": _nothing,
    "make-valid": _nothing,
    "lose-service": _seconds,
    # What other programs do.
    "autoscaler": _sizes,
    "gitops": _nothing,
    # What goes wrong.
    "conflicts": _trouble,
    "errors": _trouble,
    "too-many": _trouble,
    "lost-answers": _trouble,
    "disconnects": _trouble,
    "lost-after": _trouble,
    "slow": _seconds,
    "cut-watches": _few,
    "torn-watches": _few,
    "expired-watches": _few,
    "late-watches": _seconds,
    "repeated-events": _few,
    "stale-lists": _few,
    "forget-history": _nothing,
    "crash": _seconds,
    "crash-at-write": _writes_and_seconds,
    "rival": _seconds,
    "clock-jumps": _jump,
    "pods-fail": _share,
    "node-vanishes": _seconds,
    "kubelet-stops": _seconds,
    "heal": _nothing,
}
