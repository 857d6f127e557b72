"""How a plan reads: every change on a line of its own that fits, and the difference never cut away."""

from datetime import UTC, datetime
from typing import Any

import pytest

from prograde.cli.outcome import Applied, Outcome, Pass, text_of
from prograde.cli.writes import Change, Write
from prograde.core.plan import Event, Wait, WaitReason

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONG = "registry.example.com/a/rather/long/path/of/an/image"


def line(old: Any, new: Any, *, field: str = "spec.x", width: int = 100) -> str:
    applied = Applied(object="Rollout cart", is_new=False, changes=(Change(field=field, old=old, new=new),))
    return text_of(Outcome(name="cart", namespace="shop", applied=(applied,)), NOW, width=width).splitlines()[2]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(1, 2, "~ spec.x: 1 -> 2", id="numbers"),
        pytest.param(None, "new", "+ spec.x: new", id="added"),
        pytest.param("old", None, "- spec.x: old", id="removed"),
        pytest.param(False, True, "~ spec.x: false -> true", id="booleans"),
        pytest.param("", "a", '~ spec.x: "" -> a', id="empty text"),
        pytest.param("a\nb", "c", '~ spec.x: "a\\nb" -> c', id="text of several lines"),
        pytest.param([], {}, "~ spec.x: [] -> {}", id="other kinds"),
        pytest.param(
            f"{LONG}:blue", f"{LONG}:yellow", "~ spec.x: …of/an/image:blue -> …of/an/image:yellow", id="long images"
        ),
    ],
)
def test_a_change_in_one_line(old: Any, new: Any, expected: str) -> None:
    assert line(old, new) == f"    {expected}"


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize(
    ("old", "new"), [("a" * 300, "b" * 300), ("short", "b" * 300), ("a" * 300, None), (None, "b" * 300)]
)
def test_a_change_fits_into_its_width(width: int, old: Any, new: Any) -> None:
    shown = line(old, new, width=width)
    assert len(shown) <= width
    assert "…" in shown
    assert "short" in shown or "short" not in (old, new)


def test_a_field_without_room_keeps_a_little_of_its_values() -> None:
    field = "spec." + "x" * 120
    assert line("a" * 50, "b" * 50, field=field) == f"    ~ {field}: {'a' * 19}… -> {'b' * 19}…"


def test_everything_of_a_pass_is_told() -> None:
    write = Write(verb="patch", kind="Rollout", name="cart", subresource="status", changes=(Change(field="a", new=1),))
    shown = Pass(
        writes=(write, Write(verb="evict", kind="Pod", name="cart-1", subresource="eviction")),
        events=(Event("Reason", "what happens", "Warning"),),
        waits=(Wait(reason=WaitReason.OBSERVATION, message="for something"),),
        requeue_at=NOW.replace(second=35),
        error="the route is gone",
    )
    text = text_of(Outcome(name="cart", namespace="shop", passes=(shown,), notes=("a note",)), NOW)
    assert text.splitlines() == [
        "Rollout shop/cart",
        "  note: a note",
        "",
        "the next reconcile makes 2 writes:",
        "  patch Rollout cart status",
        "    + a: 1",
        "  evict Pod cart-1",
        "  event Warning Reason: what happens",
        "  fails: the route is gone",
        "  waits: for something",
        "  looks again in 30 s, and at every change before that",
    ]


@pytest.mark.parametrize("reason", ["InvalidSpec", "NotSupported", "Workload"])
def test_a_rollout_that_would_be_left_alone_is_an_error(reason: str) -> None:
    wait = Wait(reason=WaitReason(reason), message="wrong")
    assert Outcome(name="cart", namespace="shop", passes=(Pass(waits=(wait,)),)).error == "wrong"
    other = Wait(reason=WaitReason.PAUSE_STEP, message="paused")
    assert Outcome(name="cart", namespace="shop", passes=(Pass(waits=(other,)),)).error == ""
