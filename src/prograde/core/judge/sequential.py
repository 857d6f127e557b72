"""Evidence about a canary that may be looked at after every interval without being misled by looking often.

Within one interval the canary shows x bad of n requests and the stable version y bad of m. Given x + y, and if the
canary's risk is rho times that of the stable version, each bad request is the canary's with probability

    p(rho) = rho w / (rho w + 1 - w)        w = n / (n + m)

whatever the rate of errors is at that time, since both serve the same minute. Evidence against "at most `margin`
times" is the average, over a grid of worse ratios, of the likelihood ratio between that ratio and the margin. While
the canary is no worse its expectation is at most one, so it ever reaches 1/alpha with probability at most alpha
(Ville); that is why it may be looked at whenever one likes. Evidence for safety is the same with better ratios.

Errors that come in bursts are not independent. The logarithm is divided by a dispersion, the ratio of variance and
mean over the intervals of the version that varies more. That is a heuristic, not a theorem; simulations say how far it
carries.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

__all__ = [
    "Dispersion",
    "RateState",
    "ShareState",
    "SignState",
    "evidence",
    "ratio_interval",
    "updated_rate",
    "updated_share",
    "updated_sign",
]

STEPS: Final = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""How many times worse (for safety: better) than the margin the alternatives are."""
LOG_MAX: Final = 600.0
EVIDENCE_MAX: Final = 1e260
"""More is not told apart; unlike infinity, it is a number of JSON."""
VOTES: Final = (0.6, 0.75, 0.9, 0.99)
LOOKS_MIN: Final = 3
WINDOW: Final = 30
"""For how many intervals the dispersion remembers."""


class Dispersion(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How much more than independent events those of the stable version vary from interval to interval."""

    looks: float = 0.0
    expected: float = 0.0
    """Bad requests so far; like all of these sums, it fades."""
    requests: float = 0.0
    squares: float = 0.0

    def factor(self) -> float:
        """Return the ratio of variance and mean, 1 unless it is higher than independent events make likely."""
        if self.looks < 2:
            return 1.0
        ratio = self.squares / (self.looks - 1)
        return ratio if ratio > 1 + math.sqrt(2 / (self.looks - 1)) else 1.0

    def after(self, bad: float, total: float) -> "Dispersion":
        """Return what is known after a further interval, by its Pearson residual against the rate before it."""
        if total <= 0:
            return self
        keep = 1 - 1 / WINDOW
        expected, requests = keep * self.expected + bad, keep * self.requests + total
        # Half an event keeps the first event of all from being an infinite surprise.
        mean = (expected + 0.5) / requests * total
        return Dispersion(
            looks=keep * self.looks + 1,
            expected=expected,
            requests=requests,
            squares=keep * self.squares + (bad - mean) ** 2 / mean,
        )


class RateState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept about one rate."""

    harm: tuple[float, ...] = (0.0,) * len(STEPS)
    safe: tuple[float, ...] = (0.0,) * len(STEPS)
    canary: tuple[float, float] = (0.0, 0.0)
    """Bad and all requests so far."""
    stable: tuple[float, float] = (0.0, 0.0)
    canary_dispersion: Dispersion = Dispersion()
    stable_dispersion: Dispersion = Dispersion()
    looks: int = 0
    largest: float = 0.0
    """The largest evidence of harm at a look that counted: what was proved stays proved."""

    def dispersion(self) -> float:
        """Return the dispersion to divide by: that of the version that varies more.

        The canary's own catches the single burst in a version with little traffic, which the other cannot know of.
        """
        return max(self.canary_dispersion.factor(), self.stable_dispersion.factor())

    def safety(self) -> float:
        """Return the evidence that the canary is not worse than the margin for safety."""
        return evidence(self.safe, self.dispersion())


class ShareState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept about the share of requests: evidence for too many and for too few at the canary."""

    over: tuple[float, ...] = (0.0,) * len(STEPS)
    under: tuple[float, ...] = (0.0,) * len(STEPS)


class SignState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept about a gauge: bets on how many blocks of intervals the canary loses."""

    bets: tuple[float, ...] = (0.0,) * len(VOTES)
    safe_bets: tuple[float, ...] = (0.0,) * len(VOTES)
    block: tuple[float, float, int] = (0.0, 0.0, 0)
    """Differences of the unfinished block, against the harm and the safety margin, and how many there are."""
    looks: int = 0
    largest: float = 0.0


def evidence(logs: Sequence[float], dispersion: float = 1.0) -> float:
    """Return the average of exponentials, however large they are."""
    top = max(logs) / dispersion
    if top > LOG_MAX:
        return EVIDENCE_MAX
    return math.fsum(math.exp(each / dispersion) for each in logs) / len(logs)


def updated_rate(
    state: RateState,
    canary: tuple[float, float],
    stable: tuple[float, float],
    *,
    margin: float,
    safe_margin: float,
    looks_min: int = LOOKS_MIN,
) -> RateState:
    """Return the state after one interval with bad and all requests of both versions.

    The first `looks_min - 1` looks do not count, for nothing is known about bursts by then.
    """
    (x, n), (y, m) = canary, stable
    x, y = min(x, n), min(y, m)
    weight = n / (n + m) if n + m > 0 else 0.0
    harm, safe = state.harm, state.safe
    if 0 < weight < 1 and x + y > 0:
        harm = _grown(harm, x, y, weight, margin, [margin * step for step in STEPS])
        safe = _grown(safe, x, y, weight, safe_margin, [safe_margin / step for step in STEPS])
    after = RateState(
        harm=harm,
        safe=safe,
        canary=(state.canary[0] + x, state.canary[1] + n),
        stable=(state.stable[0] + y, state.stable[1] + m),
        canary_dispersion=state.canary_dispersion.after(x, n),
        stable_dispersion=state.stable_dispersion.after(y, m),
        looks=state.looks + (n > 0 and m > 0),
        largest=state.largest,
    )
    if after.looks < looks_min:
        return after
    return msgspec.structs.replace(after, largest=max(after.largest, evidence(harm, after.dispersion())))


def updated_share(state: ShareState, canary: float, stable: float, *, share: float, tolerance: float) -> ShareState:
    """Return the state after one interval: do the requests match the share that the router claims?"""
    return ShareState(
        over=_grown(state.over, canary, stable, share, tolerance, [tolerance * step for step in STEPS]),
        under=_grown(state.under, canary, stable, share, 1 / tolerance, [1 / tolerance / step for step in STEPS]),
    )


def _grown(
    logs: Sequence[float], x: float, y: float, weight: float, null: float, ratios: Sequence[float]
) -> tuple[float, ...]:
    at_null = null * weight + 1 - weight
    return tuple(
        log + x * math.log(ratio / null) - (x + y) * math.log((ratio * weight + 1 - weight) / at_null)
        for log, ratio in zip(logs, ratios, strict=True)
    )


def ratio_interval(state: RateState, level: float) -> tuple[float, float, float]:
    """Return the ratio of the rates with an interval, for information: its level holds at one time, not at all."""
    (x, n), (y, m) = state.canary, state.stable
    if n <= 0 or m <= 0:
        return 1.0, 0.0, math.inf
    # Half an event on each side keeps the logarithm finite.
    ratio = (x + 0.5) / n / ((y + 0.5) / m)
    width = _quantile(level) * math.sqrt(state.dispersion() * (1 / (x + 0.5) + 1 / (y + 0.5)))
    return ratio, ratio * math.exp(-width), ratio * math.exp(width)


def _quantile(level: float) -> float:
    from statistics import NormalDist  # here, for it takes a while and is only wanted to describe a result

    return NormalDist().inv_cdf((1 + level) / 2)


def updated_sign(
    state: SignState, canary: float, stable: float, *, margin: float, safe_margin: float, block: int
) -> SignState:
    """Return the state after one interval with one number of each version; a full block casts one vote."""
    worse = state.block[0] + canary - margin * stable
    unsafe = state.block[1] + canary - safe_margin * stable
    count = state.block[2] + 1
    looks = state.looks + 1
    if count < block:
        return msgspec.structs.replace(state, block=(worse, unsafe, count), looks=looks)
    bets = _voted(state.bets, worse > 0)
    return SignState(
        bets=bets,
        safe_bets=_voted(state.safe_bets, unsafe < 0),
        looks=looks,
        largest=max(state.largest, evidence(bets)),
    )


def _voted(bets: Sequence[float], won: bool) -> tuple[float, ...]:
    return tuple(bet + math.log(2 * (vote if won else 1 - vote)) for bet, vote in zip(bets, VOTES, strict=True))
