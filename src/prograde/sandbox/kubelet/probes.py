"""Readiness, liveness and startup probes as counters over time.

A probe first looks `initialDelaySeconds` after the process started, then every `periodSeconds`; its result changes
after so many successes or failures in a row. What it would see is known from the container's behaviour, so a probe
that can only go on succeeding is not looked at again: a healthy pod costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from prograde.sandbox.controllers.objects import later
from prograde.sandbox.kinds import Object

__all__ = ["ProbeKind", "ProbeRun", "advance_probe", "declared_probes", "start_probe"]

ProbeKind: TypeAlias = Literal["startup", "readiness", "liveness"]
PROBE_FIELDS: dict[ProbeKind, str] = {
    "startup": "startupProbe",
    "readiness": "readinessProbe",
    "liveness": "livenessProbe",
}

Outcome: TypeAlias = Callable[[datetime], str]
"""Return what a probe sees at an instant: empty for success, else the failure in words."""


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """One probe of one running process."""

    kind: ProbeKind
    next_at: datetime | None
    """When it looks next; None when it need not look again, or may not yet (until the startup probe is through)."""
    successes: int = 0
    failures: int = 0
    is_passing: bool = False
    """The result so far. Liveness counts as passing and readiness as failing before the first look."""
    has_failed: bool = False
    """The failure threshold was reached: what happens then depends on the kind."""
    failure: str = ""
    """What the last look found, empty when it was well or there was none."""


def declared_probes(container: Object) -> dict[ProbeKind, Object]:
    """Return the container's probes that have a handler."""
    return {kind: container[field] for kind, field in PROBE_FIELDS.items() if container.get(field)}


def start_probe(kind: ProbeKind, probe: Object, started_at: datetime, now: datetime) -> ProbeRun:
    """Return a probe of a process that started at `started_at`, allowed to look from `now` on."""
    first = later(started_at, probe.get("initialDelaySeconds") or 0)
    return ProbeRun(kind, max(first, now), is_passing=kind == "liveness")


def advance_probe(
    run: ProbeRun, probe: Object, outcome: Outcome, changes_at: datetime | None, now: datetime
) -> ProbeRun:
    """Look once if it is time; `changes_at` is the next instant after which `outcome` may answer differently."""
    if run.next_at is None or run.next_at > now:
        return run
    period = timedelta(seconds=max(1, probe.get("periodSeconds") or 10))
    failure = outcome(now)
    if failure:
        failures = run.failures + 1
        has_failed = failures >= _threshold(probe, "failureThreshold", 3)
        # A failed startup or liveness probe ends the process, so there is nothing more to look at.
        is_over = has_failed and run.kind != "readiness"
        return replace(
            run,
            next_at=None if is_over else now + period,
            successes=0,
            failures=failures,
            is_passing=run.is_passing and not has_failed,
            has_failed=has_failed,
            failure=failure,
        )
    successes = run.successes + 1
    is_passing = run.is_passing or successes >= _threshold(probe, "successThreshold", 1)
    next_at: datetime | None = now + period
    if is_passing:
        next_at = None
        if run.kind != "startup" and changes_at is not None:
            # The first look at or after the change, in step with the period.
            periods = -(-(changes_at - now) // period)
            next_at = now + period * max(1, periods)
    return replace(
        run, next_at=next_at, successes=successes, failures=0, is_passing=is_passing, has_failed=False, failure=""
    )


def _threshold(probe: Any, field: str, default: int) -> int:
    return max(1, probe.get(field) or default)
