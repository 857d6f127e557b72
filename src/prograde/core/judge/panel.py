"""Several signals, one decision: harm as soon as one is proved to be worse, safe once all are proved to be fine.

The permitted share of false alarms, alpha, is split over the signals by their weights, so that together they stay
within it whatever they have to do with each other. Safety needs all signals, and so no split.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from prograde.core.judge.counters import Counters
from prograde.core.judge.sequential import (
    LOOKS_MIN,
    RateState,
    ShareState,
    SignState,
    evidence,
    ratio_interval,
    updated_rate,
    updated_share,
    updated_sign,
)

__all__ = ["Arms", "Panel", "PanelState", "Signal", "decision", "problems", "updated"]

Pair = tuple[float, float]
MARGINS: Final = {"ratio": 1.25, "buckets": 1.10, "gauge": 1.10}
SAFE_MARGIN: Final = 1.5


class Signal(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One thing in which the canary may be worse than the stable version.

    ``ratio`` compares bad of all requests, ``buckets`` those slower than `edge` seconds, ``gauge`` one number.
    """

    name: str
    kind: str = "ratio"
    margin: float | None = None
    safe_margin: float | None = None
    critical: bool = False
    weight: float | None = None
    required: bool = True
    """Whether safety has to be proved for it."""
    bad: str = ""
    total: str = ""
    buckets: str = ""
    edge: float | None = None
    value: str = ""
    counts: str = "total"
    """``total`` if the queries give counters, ``interval`` if they give what happened since the last look."""
    block: int = 3

    def harm_margin(self) -> float:
        """Return up to which ratio a canary is no worse."""
        return self.margin if self.margin is not None else MARGINS[self.kind]

    def safety_margin(self) -> float:
        """Return below which ratio a canary is safe."""
        return self.safe_margin if self.safe_margin is not None else max(SAFE_MARGIN, self.harm_margin())

    def share_of_alpha(self) -> float:
        """Return its weight; what is critical may use up twice as much of alpha."""
        return self.weight if self.weight is not None else 2.0 if self.critical else 1.0


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """How all signals are judged together."""

    signals: tuple[Signal, ...]
    alpha: float = 0.05
    requests_min: int = 200
    bad_min: int = 1
    looks_min: int = LOOKS_MIN
    share: float | None = None
    share_tolerance: float = 1.25


class PanelState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept from look to look."""

    rates: dict[str, RateState] = {}
    signs: dict[str, SignState] = {}
    share: ShareState = ShareState()
    counters: dict[str, Counters] = {}


class Arms(msgspec.Struct, frozen=True, kw_only=True):
    """What one interval has shown of one signal: bad and all requests of each version, or a number in place of bad."""

    canary: Pair
    stable: Pair


def updated(panel: Panel, state: PanelState, seen: Mapping[str, Arms]) -> PanelState:
    """Return the state after one interval; a signal that is not in `seen` has shown nothing."""
    rates, signs, share = dict(state.rates), dict(state.signs), state.share
    has_checked_share = False
    for signal in panel.signals:
        arms = seen.get(signal.name)
        if arms is None:
            continue
        if signal.kind == "gauge":
            signs[signal.name] = updated_sign(
                signs.get(signal.name, SignState()),
                arms.canary[0],
                arms.stable[0],
                margin=signal.harm_margin(),
                safe_margin=signal.safety_margin(),
                block=signal.block,
            )
            continue
        rates[signal.name] = updated_rate(
            rates.get(signal.name, RateState()),
            arms.canary,
            arms.stable,
            margin=signal.harm_margin(),
            safe_margin=signal.safety_margin(),
            looks_min=panel.looks_min,
        )
        if panel.share is not None and not has_checked_share:
            has_checked_share = True
            share = updated_share(
                share, arms.canary[1], arms.stable[1], share=panel.share, tolerance=panel.share_tolerance
            )
    return PanelState(rates=rates, signs=signs, share=share, counters=state.counters)


def decision(panel: Panel, state: PanelState) -> dict[str, Any]:
    """Return what conditions see: ``harm``, ``safe``, ``mismatch``, the verdict in one word, and every signal."""
    weights = sum(signal.share_of_alpha() for signal in panel.signals)
    signals: dict[str, Any] = {}
    for signal in panel.signals:
        needed = weights / (panel.alpha * signal.share_of_alpha())
        if signal.kind == "gauge":
            signals[signal.name] = _of_gauge(panel, state.signs.get(signal.name, SignState()), needed)
        else:
            signals[signal.name] = _of_rate(panel, state.rates.get(signal.name, RateState()), needed)
    harm = any(each["harm"] for each in signals.values())
    required = [signals[signal.name]["safe"] for signal in panel.signals if signal.required]
    mismatch = _is_mismatch(panel, state.share)
    safe = not harm and not mismatch and bool(required) and all(required)
    verdict = "harm" if harm else "safe" if safe else "undecided"
    return {"verdict": verdict, "harm": harm, "safe": safe, "mismatch": mismatch, "signals": signals}


def _of_rate(panel: Panel, state: RateState, needed: float) -> dict[str, Any]:
    ratio, low, high = ratio_interval(state, 1 - panel.alpha)
    enough = (
        state.looks >= panel.looks_min
        and state.canary[1] >= panel.requests_min
        and min(state.canary[0], state.stable[0]) >= panel.bad_min
    )
    return {
        "harm": state.largest >= needed,
        "safe": enough and state.safety() >= 1 / panel.alpha,
        "evidence": _short(state.largest),
        "safety": _short(state.safety()),
        "ratio": _short(ratio),
        "interval": [_short(low), _short(min(high, 1e9))],
        "dispersion": _short(state.dispersion()),
        "canary": [_short(each) for each in state.canary],
        "stable": [_short(each) for each in state.stable],
    }


def _of_gauge(panel: Panel, state: SignState, needed: float) -> dict[str, Any]:
    safety = evidence(state.safe_bets)
    return {
        "harm": state.largest >= needed,
        "safe": safety >= 1 / panel.alpha,
        "evidence": _short(state.largest),
        "safety": _short(safety),
        "looks": float(state.looks),
        "note": "approximate",
    }


def _is_mismatch(panel: Panel, share: ShareState) -> bool:
    return max(evidence(share.over), evidence(share.under)) >= 2 / panel.alpha


def _short(number: float) -> float:
    """Return a number as it is worth showing."""
    return float(f"{number:.4g}") if abs(number) < 1e4 or abs(number) > 1e12 else float(round(number))


def problems(signals: Sequence[Signal]) -> str:
    """Return what is wrong with signals, or nothing."""
    if len({signal.name for signal in signals}) < len(signals):
        return "two signals have the same name"
    needs = {"ratio": ("bad", "total"), "buckets": ("buckets", "edge"), "gauge": ("value",)}
    for signal in signals:
        if signal.kind not in needs:
            return f"signal '{signal.name}': kind must be ratio, buckets or gauge, not '{signal.kind}'"
        missing = [field for field in needs[signal.kind] if getattr(signal, field) in ("", None)]
        if missing:
            return f"signal '{signal.name}': a {signal.kind} needs {' and '.join(missing)}"
        if signal.counts not in ("total", "interval"):
            return f"signal '{signal.name}': counts must be total or interval, not '{signal.counts}'"
        if signal.harm_margin() <= 0 or signal.safety_margin() <= 0 or signal.share_of_alpha() <= 0 or signal.block < 1:
            return f"signal '{signal.name}': margins, weight and block must be positive"
    return ""
