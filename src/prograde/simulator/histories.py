"""What may happen to a Rollout, drawn from one integer: its spec, what its users do, and what goes wrong.

Nothing is executed here. A `History` is plain data that can be printed, so that a failure can be told as a story. Each
seed uses only some of the kinds of moves (a "swarm"): a history of nothing but crashes finds other mistakes than
one with a little of everything.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BROKEN_IMAGES", "GOOD_IMAGES", "NAME", "History", "Move", "history_of"]

Json = dict[str, Any]

NAME: Final = "subject"
GOOD_IMAGES: Final = tuple(f"argoproj/rollouts-demo:{color}" for color in ("blue", "green", "yellow", "red", "slow-3"))
BROKEN_IMAGES: Final = tuple(
    f"argoproj/rollouts-demo:{fault}" for fault in ("does-not-exist", "crash", "never-ready", "oom")
)
MOVES_MAX: Final = 24
"""Long enough for several updates and accidents on top of each other, short enough to be read."""


@dataclass(frozen=True, slots=True)
class Move:
    """Something that happens `after_seconds` after the move before."""

    after_seconds: float
    kind: str
    value: Any = None

    def __str__(self) -> str:
        return f"+{self.after_seconds:.3f}s {self.kind}" + ("" if self.value is None else f" {self.value}")


@dataclass(frozen=True, slots=True)
class History:
    """A seed's whole story."""

    seed: int
    spec: Json
    moves: tuple[Move, ...]

    @property
    def manifests(self) -> list[Json]:
        """Return the Rollout and the Services that it may name."""
        rollout = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": NAME, "namespace": "default"},
            "spec": self.spec,
        }
        return [rollout, *(service(name) for name in ("active", "preview"))]


def service(name: str) -> Json:
    """Return the manifest of a Service in front of the Rollout's pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]},
    }


def history_of(seed: int) -> History:
    """Return the history that belongs to `seed`."""
    rng = random.Random(seed)
    spec = _spec(rng)
    kinds = [kind for kind in _MOVES if rng.random() < 0.5] or ["image"]
    kinds += ["image", "image", "promote", "heal", "heal"]
    moves = []
    for _ in range(rng.randint(4, MOVES_MAX)):
        kind = rng.choice(kinds)
        # Mostly in the middle of things, sometimes when they have come to rest.
        pause = rng.choice((rng.uniform(0, 0.3), rng.uniform(0, 2), rng.uniform(0, 20), rng.uniform(20, 90)))
        moves.append(Move(round(pause, 3), kind, _MOVES.get(kind, _nothing)(rng)))
    return History(seed, spec, tuple(moves))


# ---- The spec --------------------------------------------------------------------------------------------------------


def _spec(rng: random.Random) -> Json:
    spec: Json = {
        "replicas": rng.choice((1, 1, 2, 3, 4, 5, 7)),
        "progressDeadlineSeconds": rng.choice((15, 30, 60)),
        "selector": {"matchLabels": {"app": NAME}},
        "strategy": strategy(rng),
        "template": {
            "metadata": {"labels": {"app": NAME}},
            "spec": {"containers": [{"name": "demo", "image": GOOD_IMAGES[0]}]},
        },
    }
    if rng.random() < 0.4:
        spec["minReadySeconds"] = rng.choice((1, 3, 10))
    if rng.random() < 0.3:
        spec["progressDeadlineAbort"] = True
    if rng.random() < 0.3:
        spec["revisionHistoryLimit"] = rng.choice((2, 3))  # less is invalid with a scaleDownDelayRevisionLimit of 2
    if rng.random() < 0.2:
        spec["rollbackWindow"] = {"revisions": rng.choice((1, 2))}
    return spec


def strategy(rng: random.Random) -> Json:
    """Return a strategy of either kind."""
    return {"canary": _canary(rng)} if rng.random() < 0.6 else {"blueGreen": _blue_green(rng)}


def _canary(rng: random.Random) -> Json:
    canary: Json = _limits(rng)
    if rng.random() < 0.85:
        canary["steps"] = _steps(rng)
    if rng.random() < 0.2:
        canary |= {"stableService": "active", "canaryService": "preview"}
    if rng.random() < 0.2:
        canary["canaryMetadata"] = {"labels": {"role": "canary"}}
        canary["stableMetadata"] = {"labels": {"role": "stable"}}
    return canary


def _limits(rng: random.Random) -> Json:
    surge = rng.choice((None, 0, 1, 2, "10%", "25%", "50%", "100%"))
    unavailable = rng.choice((None, 0, 0, 1, 2, "10%", "25%", "50%"))
    if surge == 0 and unavailable == 0:
        unavailable = 1
    chosen = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {name: value for name, value in chosen.items() if value is not None}


def _steps(rng: random.Random) -> list[Json]:
    steps: list[Json] = []
    for _ in range(rng.randint(0, 5)):
        kind = rng.random()
        if kind < 0.55:
            steps.append({"setWeight": rng.choice((0, 1, 10, 20, 25, 33, 50, 66, 75, 90, 99, 100))})
        elif kind < 0.8:
            steps.append({"pause": {"duration": rng.choice((1, "2s", 5, "10s", "1m"))}})
        else:
            steps.append({"pause": {}})
    return steps


def _blue_green(rng: random.Random) -> Json:
    blue_green: Json = {"activeService": "active"}
    if rng.random() < 0.7:
        blue_green["previewService"] = "preview"
    if rng.random() < 0.7:
        blue_green["autoPromotionEnabled"] = rng.random() < 0.5
    if rng.random() < 0.4:
        blue_green["autoPromotionSeconds"] = rng.choice((1, 5, 20))
    if rng.random() < 0.4:
        blue_green["previewReplicaCount"] = rng.choice((1, 2, 3))
    if rng.random() < 0.6:
        blue_green["scaleDownDelaySeconds"] = rng.choice((0, 1, 5, 30))
    if rng.random() < 0.3:
        blue_green["scaleDownDelayRevisionLimit"] = rng.choice((0, 1, 2))
    if rng.random() < 0.4:
        blue_green["abortScaleDownDelaySeconds"] = rng.choice((0, 1, 10))
    return blue_green


# ---- The moves -------------------------------------------------------------------------------------------------------


def _nothing(_: random.Random) -> None:
    return None


def _image(rng: random.Random) -> str:
    return rng.choice(BROKEN_IMAGES) if rng.random() < 0.25 else rng.choice(GOOD_IMAGES)


def _image_and_size(rng: random.Random) -> tuple[str, int]:
    return _image(rng), _size(rng)


def _size(rng: random.Random) -> int:
    return rng.choice((0, 1, 2, 3, 5, 8))


def _seconds(rng: random.Random) -> float:
    return round(rng.choice((0.0, rng.uniform(0, 1), rng.uniform(1, 40))), 3)


def _trouble(rng: random.Random) -> tuple[str, str, float, int | None]:
    """Return the verbs that a fault hits, the resource, its probability, and its number of times."""
    verbs = rng.choice(("patch", "create", "patch,create,delete", "get,list"))
    resource = rng.choice(("", "", "rollouts*", "replicasets", "services"))
    return verbs, resource, rng.choice((0.1, 0.5, 1.0)), rng.choice((1, 2, 5, None))


def _few(rng: random.Random) -> int:
    return rng.randint(0, 4)


def _share(rng: random.Random) -> float:
    return round(rng.random(), 3)


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
    "limits": _limits,
    "strategy": strategy,
    "pause": _nothing,
    "unpause": _nothing,
    "restart": _nothing,
    "delete-and-recreate": _seconds,
    "make-invalid": _nothing,
    "make-valid": _nothing,
    "lose-service": _seconds,
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
    "rival": _seconds,
    "pods-fail": _share,
    "kubelet-stops": _seconds,
    "heal": _nothing,
}
