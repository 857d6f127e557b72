"""What `prograde plan` has found out, and how it reads: by field for people, in full for programs."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from prograde.api.manifests import dump_yaml
from prograde.cli.writes import Change, Write
from prograde.core.plan import Event, Wait, WaitReason

__all__ = ["WIDTH", "Applied", "Outcome", "Pass", "structured", "text_of"]

Json = dict[str, Any]

_INVALID = (WaitReason.INVALID_SPEC, WaitReason.NOT_SUPPORTED, WaitReason.WORKLOAD)


class Pass(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One reconcile."""

    writes: tuple[Write, ...] = ()
    events: tuple[Event, ...] = ()
    waits: tuple[Wait, ...] = ()
    requeue_at: datetime | None = None
    error: str = ""


class Applied(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What applying one manifest would change."""

    object: str
    is_new: bool
    changes: tuple[Change, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What would become of one Rollout."""

    name: str
    namespace: str
    applied: tuple[Applied, ...] = ()
    """Empty without manifests."""
    passes: tuple[Pass, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_writes(self) -> bool:
        return any(each.writes for each in self.passes)

    @property
    def error(self) -> str:
        """Why the Rollout would be left alone; empty when it would not."""
        waits = self.passes[0].waits if self.passes else ()
        return next((wait.message for wait in waits if wait.reason in _INVALID), "")


# ---- Showing --------------------------------------------------------------------------------------------------------

WIDTH: Final = 100
"""What a line of text may take where there is no terminal that says how wide it is."""

_VALUE_MIN: Final = 20
"""A value is never cut to less than this."""

_UNCUT: Final = 10_000

_CONTEXT: Final = 12
"""How much of what two values have in common is shown before the difference."""

_BOLD, _RED, _GREEN, _YELLOW, _DIM, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


def text_of(outcome: Outcome, now: datetime, *, width: int = WIDTH, colour: bool = False) -> str:
    """Return the text for people: what the manifests change, then the writes of each pass with old and new values.

    Values are cut so that a change fits into `width` columns, if the name of its field leaves room.
    """

    def paint(code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if colour else text

    lines = [paint(_BOLD, f"Rollout {outcome.namespace}/{outcome.name}")]
    for each in outcome.applied:
        state = "is new" if each.is_new else "changes" if each.changes else "stays as it is"
        lines.append(f"  applied: {each.object} {state}")
        lines += [f"    {_change_text(change, width, paint)}" for change in each.changes]
    lines += [paint(_DIM, f"  note: {note}") for note in outcome.notes]
    for number, each_pass in enumerate(outcome.passes, 1):
        lines += _pass_text(each_pass, number, len(outcome.passes), now, width, paint)
    return "\n".join(lines)


def _pass_text(shown: Pass, number: int, count: int, now: datetime, width: int, paint: Any) -> Iterator[str]:
    title = "the next reconcile" if number == 1 else f"reconcile {number} (no pod having changed)"
    makes = "writes nothing" if not shown.writes else f"makes {_counted(len(shown.writes))}:"
    yield ""
    yield paint(_BOLD, f"{title} {makes}")
    for write in shown.writes:
        subresource = f" {write.subresource}" if write.subresource and write.verb != "evict" else ""
        code = {"create": _GREEN, "delete": _RED, "evict": _RED}.get(write.verb, _YELLOW)
        yield f"  {paint(code, write.verb)} {write.object}{subresource}"
        yield from (f"    {_change_text(change, width, paint)}" for change in write.changes)
    for event in shown.events:
        yield paint(_DIM, f"  event {event.type} {event.reason}: {event.message}")
    if shown.error:
        yield paint(_RED, f"  fails: {shown.error}")
    for wait in shown.waits:
        yield f"  waits: {wait.message}"
    if number == count and shown.requeue_at is not None:
        seconds = max(0, int((shown.requeue_at - now).total_seconds()))
        yield paint(_DIM, f"  looks again in {seconds} s, and at every change before that")


def _counted(count: int) -> str:
    return "1 write" if count == 1 else f"{count} writes"


def _change_text(change: Change, width: int, paint: Any) -> str:
    room = max(_VALUE_MIN, width - len(f"    ~ {change.field}: "))
    if change.old is None:
        return str(paint(_GREEN, f"+ {change.field}: {_value(change.new, room)}"))
    if change.new is None:
        return str(paint(_RED, f"- {change.field}: {_value(change.old, room)}"))
    old, new = _pair(_value(change.old, _UNCUT), _value(change.new, _UNCUT), room - len(" -> "))
    return str(paint(_YELLOW, f"~ {change.field}: {old} -> {new}"))


def _pair(old: str, new: str, room: int) -> tuple[str, str]:
    """Return both texts cut to fit, each showing where they begin to differ: in two long images that is the tag."""
    if len(old) + len(new) <= room:
        return old, new
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    if same > _CONTEXT:
        old, new = f"…{old[same - _CONTEXT :]}", f"…{new[same - _CONTEXT :]}"
    # A short one leaves its room to the other.
    old = _cut(old, max(room // 2, room - len(new)))
    return old, _cut(new, max(room // 2, room - len(old)))


def _value(value: Any, room: int) -> str:
    is_plain = isinstance(value, str) and value.isprintable() and value
    return _cut(value if is_plain else msgspec.json.encode(value).decode(), room)


def _cut(text: str, room: int) -> str:
    room = max(room, _VALUE_MIN)
    return text if len(text) <= room else f"{text[: room - 1]}…"


def structured(outcomes: Sequence[Outcome], output: str) -> str:
    values = []
    for outcome in outcomes:
        value = msgspec.to_builtins(outcome)
        for shown, each in zip(value["passes"], outcome.passes, strict=True):
            shown["writes"] = [_write_value(write) for write in each.writes]
        values.append(value)
    if output == "yaml":
        return dump_yaml(values).rstrip("\n")
    return msgspec.json.encode(values).decode()


def _write_value(write: Write) -> Json:
    return {
        "verb": write.verb,
        "object": write.object,
        "subresource": write.subresource,
        "body": write.body,
        "changes": msgspec.to_builtins(write.changes),
    }
