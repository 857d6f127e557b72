"""Several signals and one decision."""

import msgspec
import pytest

from prograde.core.judge.panel import Arms, Panel, PanelState, Signal, decision, problems, updated

ERRORS = Signal(name="errors", bad="b", total="t")
SLOW = Signal(name="slow", kind="buckets", buckets="h", edge=0.5)
GAUGE = Signal(name="p95", kind="gauge", value="v", block=1)

HEALTHY = Arms(canary=(10, 1000), stable=(10, 1000))
BAD = Arms(canary=(40, 1000), stable=(10, 1000))


def judged(panel: Panel, arms: dict[str, Arms], looks: int) -> dict[str, object]:
    state = PanelState()
    for _ in range(looks):
        state = updated(panel, state, arms)
    return decision(panel, state)


def test_nothing_is_decided_at_first() -> None:
    result = decision(Panel(signals=(ERRORS, GAUGE)), PanelState())
    assert (result["verdict"], result["harm"], result["safe"], result["mismatch"]) == (
        "undecided",
        False,
        False,
        False,
    )


def test_one_bad_signal_is_harm() -> None:
    result = judged(Panel(signals=(ERRORS, SLOW)), {"errors": HEALTHY, "slow": BAD}, 10)
    assert result["verdict"] == "harm"
    signals = result["signals"]
    assert isinstance(signals, dict)
    assert (signals["errors"]["harm"], signals["slow"]["harm"]) == (False, True)
    assert signals["slow"]["canary"] == [400, 10_000]
    assert 3.5 < signals["slow"]["ratio"] < 4.5


def test_all_required_signals_have_to_be_proved_safe() -> None:
    arms = {"errors": HEALTHY}
    assert judged(Panel(signals=(ERRORS,)), arms, 60)["verdict"] == "safe"
    assert judged(Panel(signals=(ERRORS, SLOW)), arms, 60)["verdict"] == "undecided"
    free = msgspec.structs.replace(SLOW, required=False)
    assert judged(Panel(signals=(ERRORS, free)), arms, 60)["verdict"] == "safe"
    assert judged(Panel(signals=(free,)), {"slow": HEALTHY}, 60)["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("fields", "arms", "verdict"),
    [
        ({}, HEALTHY, "safe"),
        ({"requests_min": 60_001}, HEALTHY, "undecided"),
        ({"bad_min": 601}, HEALTHY, "undecided"),
        ({}, Arms(canary=(0, 1000), stable=(10, 1000)), "undecided"),
        ({"bad_min": 0}, Arms(canary=(0, 1000), stable=(10, 1000)), "safe"),
        ({"looks_min": 61}, HEALTHY, "undecided"),
        ({"looks_min": 61}, BAD, "undecided"),
    ],
)
def test_too_little_is_no_proof(fields: dict[str, int], arms: Arms, verdict: str) -> None:
    assert judged(Panel(signals=(ERRORS,), **fields), {"errors": arms}, 60)["verdict"] == verdict


@pytest.mark.parametrize(
    ("signals", "shares"),
    [
        ((ERRORS,), [0.05]),
        ((ERRORS, SLOW), [0.025, 0.025]),
        ((msgspec.structs.replace(ERRORS, critical=True), SLOW), [0.1 / 3, 0.05 / 3]),
        ((msgspec.structs.replace(ERRORS, weight=3.0), SLOW), [0.0375, 0.0125]),
    ],
)
def test_alpha_is_split_by_weight(signals: tuple[Signal, ...], shares: list[float]) -> None:
    panel = Panel(signals=signals)
    for signal, share in zip(signals, shares, strict=True):
        state = PanelState()
        while not decision(panel, state)["harm"]:
            before, state = state, updated(panel, state, {signal.name: BAD})
        assert state.rates[signal.name].largest >= 1 / share * 0.9999
        assert before.rates[signal.name].largest < 1 / share


def test_a_share_of_requests_that_does_not_match_prevents_safety() -> None:
    result = judged(Panel(signals=(ERRORS,), share=0.05), {"errors": HEALTHY}, 60)
    assert (result["verdict"], result["mismatch"]) == ("undecided", True)
    assert judged(Panel(signals=(ERRORS,), share=0.5), {"errors": HEALTHY}, 60)["mismatch"] is False


def test_a_gauge_is_said_to_be_approximate() -> None:
    panel = Panel(signals=(GAUGE,))
    bad = judged(panel, {"p95": Arms(canary=(1.3, 1), stable=(1.0, 1))}, 12)
    assert bad["verdict"] == "harm"
    assert bad["signals"]["p95"]["note"] == "approximate"  # type: ignore[index]
    assert judged(panel, {"p95": Arms(canary=(1.0, 1), stable=(1.0, 1))}, 12)["verdict"] == "safe"


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        ((ERRORS, SLOW, GAUGE), ""),
        ((ERRORS, ERRORS), "two signals have the same name"),
        ((Signal(name="x", kind="sum"),), "signal 'x': kind must be ratio, buckets or gauge, not 'sum'"),
        ((Signal(name="x"),), "signal 'x': a ratio needs bad and total"),
        ((Signal(name="x", kind="buckets", buckets="h"),), "signal 'x': a buckets needs edge"),
        ((Signal(name="x", kind="gauge"),), "signal 'x': a gauge needs value"),
        (
            (Signal(name="x", bad="b", total="t", counts="rate"),),
            "signal 'x': counts must be total or interval, not 'rate'",
        ),
        (
            (Signal(name="x", bad="b", total="t", margin=0),),
            "signal 'x': margins, weight and block must be positive",
        ),
    ],
)
def test_what_cannot_be_judged_is_said(signals: tuple[Signal, ...], message: str) -> None:
    assert problems(signals) == message


def test_margins_have_defaults_by_kind() -> None:
    assert [each.harm_margin() for each in (ERRORS, SLOW, GAUGE)] == [1.25, 1.10, 1.10]
    assert ERRORS.safety_margin() == 1.5
    assert Signal(name="x", margin=2).safety_margin() == 2
