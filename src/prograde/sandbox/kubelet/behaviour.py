"""How one container will behave, decided from annotations on its pod, then from its image.

The annotations are the fault-injection interface: put on a pod template (or on a running pod), they show any failure
without special images. They win over what the image's name promises:

    sandbox.prograde.io/start-delay: 5s        the process starts that much later
    sandbox.prograde.io/ready-after: 20s       answers readiness probes only so long after its start
    sandbox.prograde.io/never-ready: "true"    never answers readiness probes
    sandbox.prograde.io/fail: KIND[@TIME]      image, start, crash, oom or unready; TIME after the start
    sandbox.prograde.io/exit-code: "3"         exits with this code ...
    sandbox.prograde.io/exit-after: 1m         ... after this time
    sandbox.prograde.io/restart-every: 30s     exits and comes back at once, again and again
    sandbox.prograde.io/log: text              what it prints at its start
    sandbox.prograde.io/termination: 3s        takes that long to stop ("ignore": until it is killed)

`metrics`, `error-rate` and `latency-ms` under the same prefix describe traffic and are read by the flow model.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

from prograde.sandbox.kubelet.images import CRASH_SECONDS, ImageRule, image_traits
from prograde.sandbox.kubelet.program import parse_seconds

__all__ = ["ANNOTATION_PREFIX", "Behaviour", "Exit", "behaviour_of", "sandbox_annotations"]

ANNOTATION_PREFIX = "sandbox.prograde.io/"
_Value = TypeVar("_Value")
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Exit:
    """How and when a process ends by itself, counted from its start."""

    after_seconds: float
    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the simulation lets happen to one container."""

    pull: Literal["present", "missing", "invalid"] = "present"
    start_delay_seconds: float = 0
    start_error: str = ""
    exit: Exit | None = None
    """Overrides what the command would do; None: the command decides."""
    restarts_at_once: bool = False
    ready_after_seconds: float = 0
    unready_after_seconds: float = math.inf
    """When it stops answering readiness probes for good; 0: it never does."""
    are_probes_failing: bool = False
    """All probes fail, liveness and startup included."""
    stop_seconds: float | None = None
    """Time from the termination signal to the exit; infinite: only killing helps; None: as the profile says."""
    log: str = ""
    problems: tuple[str, ...] = ()
    """Annotations that could not be understood, for the user; they count as absent."""


def sandbox_annotations(annotations: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return the annotations that steer the simulation, without their prefix: a key for `behaviour_of`."""
    return tuple(
        (name.removeprefix(ANNOTATION_PREFIX), value)
        for name, value in (annotations or {}).items()
        if name.startswith(ANNOTATION_PREFIX)
    )


@lru_cache(maxsize=1024)
def behaviour_of(image: str, annotations: tuple[tuple[str, str], ...], rules: tuple[ImageRule, ...]) -> Behaviour:
    """Return the behaviour of a container from its image and the result of `sandbox_annotations`."""
    traits = image_traits(image, rules)
    reader = _Reader(dict(annotations))
    failure, failure_seconds = reader.failure()
    exits = _exit(reader, failure, failure_seconds)
    if exits is None and traits.exit_after_seconds is not None:
        exits = Exit(traits.exit_after_seconds, traits.exit_code, traits.exit_reason)
    unready_after = failure_seconds or 0.0 if failure == "unready" else math.inf
    if reader.truth("never-ready"):
        unready_after = 0.0
    return Behaviour(
        pull="missing" if failure == "image" else traits.pull,
        start_delay_seconds=reader.seconds("start-delay") or 0,
        start_error="injected: the container may not start" if failure == "start" else "",
        exit=exits,
        restarts_at_once=reader.seconds("restart-every") is not None,
        ready_after_seconds=_first(reader.seconds("ready-after"), traits.ready_after_seconds),
        unready_after_seconds=0.0 if traits.are_probes_failing else unready_after,
        are_probes_failing=traits.are_probes_failing,
        stop_seconds=reader.seconds("termination", ignore=math.inf),
        log=reader.text("log"),
        problems=tuple(reader.problems),
    )


def _exit(reader: "_Reader", failure: str, failure_seconds: float | None) -> Exit | None:
    restart_every = reader.seconds("restart-every")
    exit_after = reader.seconds("exit-after")
    code = reader.integer("exit-code")
    if failure == "crash":
        return Exit(_first(failure_seconds, _first(exit_after, CRASH_SECONDS)), _first(code, 1))
    if failure == "oom":
        return Exit(_first(failure_seconds, _first(exit_after, CRASH_SECONDS)), 137, "OOMKilled")
    if restart_every is not None:
        return Exit(restart_every, _first(code, 1))
    if exit_after is not None or code is not None:
        return Exit(_first(exit_after, CRASH_SECONDS), code or 0)
    return None


def _first(value: _Value | None, otherwise: _Value) -> _Value:
    return otherwise if value is None else value


class _Reader:
    """Reads annotation values and collects complaints."""

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        return self._annotations.get(name, "")

    def seconds(self, name: str, ignore: float | None = None) -> float | None:
        text = self._annotations.get(name)
        if text is None:
            return None
        if text == "ignore" and ignore is not None:
            return ignore
        try:
            return parse_seconds(text)
        except ValueError as err:
            self._complain(name, str(err))
            return None

    def integer(self, name: str) -> int | None:
        text = self._annotations.get(name)
        if text is None:
            return None
        if not text.isdigit() or int(text) > 255:
            self._complain(name, f"{text!r} is no exit code between 0 and 255")
            return None
        return int(text)

    def truth(self, name: str) -> bool:
        text = self._annotations.get(name, "false")
        if text not in _TRUTHS:
            self._complain(name, f'{text!r} is neither "true" nor "false"')
        return _TRUTHS.get(text, False)

    def failure(self) -> tuple[str, float | None]:
        """Return the kind of ``fail`` and its time, ("", None) for none."""
        text = self._annotations.get("fail", "")
        kind, at, moment = text.partition("@")
        if text and kind not in ("image", "start", "crash", "oom", "unready"):
            self._complain("fail", f"{kind!r} is none of image, start, crash, oom, unready")
            return "", None
        try:
            return kind, parse_seconds(moment) if at else None
        except ValueError as err:
            self._complain("fail", str(err))
            return "", None

    def _complain(self, name: str, why: str) -> None:
        problem = f"annotation {ANNOTATION_PREFIX}{name} is ignored: {why}"
        if problem not in self.problems:
            self.problems.append(problem)
