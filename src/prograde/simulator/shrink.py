"""Cutting a failing history down: less and less happens, as long as the same promise is still broken.

Three things are tried, over and over until nothing helps any more: to leave out moves (many at once first), to make
what is left simpler (shorter waits, fewer and later pods, plain values), and to leave parts of the spec out. What is
left is small enough to be read as a story, and can be written to a file and played again without its seed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from prograde.simulator.histories import History, Move
from prograde.simulator.runs import Run, run_history

__all__ = ["read_history", "shrink", "written_history"]

RUNS_MAX: Final = 2_000
"""A failing history has been as small as it gets long before; this bounds one that fails by chance."""

NEEDED: Final = frozenset({"selector", "template", "strategy", "replicas", "canary", "blueGreen", "recreate"})
"""Parts of the spec without which there is no Rollout to speak of."""

ATOMIC: Final = frozenset({"template", "selector", "plugins", "istio", "nginx", "pingPong"})
"""Parts that mean something as a whole only: half of a router fails by itself, and in another way."""


def shrink(failed: Run, tell: Callable[[str], None] = lambda text: None) -> Run:
    """Return the run of the smallest history found that breaks the same promise as `failed`."""
    assert failed.failure, "only what fails can be cut down"
    best, left = failed, RUNS_MAX
    is_smaller = True
    while is_smaller and left > 0:
        is_smaller = False
        for candidate in _smaller(best.history):
            left -= 1
            run = _tried(candidate)
            if run is not None and run.broken == failed.broken:
                best, is_smaller = run, True
                tell(f"{len(candidate.moves)} moves, {_size(candidate)} characters")
                break
            if left <= 0:
                break
    return best


def written_history(history: History) -> str:
    """Return a history as JSON that `read_history` understands."""
    return msgspec.json.format(msgspec.json.encode(history), indent=1).decode()


def read_history(path: Path) -> History:
    """Return the history in a file.

    Raises:
        msgspec.DecodeError: the file holds something else.
    """
    return msgspec.json.decode(path.read_bytes(), type=History)


def _tried(history: History) -> Run | None:
    """Return the run of a history; None when there is no such history, as after leaving out too much."""
    try:
        return run_history(history)
    except (KeyError, TypeError, ValueError, LookupError, RuntimeError):
        return None
    except Exception as err:
        if type(err).__name__ == "StatusError":
            return None
        raise


def _smaller(history: History) -> Iterator[History]:
    """Yield histories that are a little smaller, the boldest cuts first."""
    moves = history.moves
    size = len(moves)
    while size >= 1:
        for start in range(0, len(moves), size):
            yield _with(history, moves=_without(moves, start, start + size))
        size //= 2
    for spec in _smaller_values(history.spec):
        yield _with(history, spec=spec)
    for index, move in enumerate(moves):
        for simpler in _simpler_moves(move):
            yield _with(history, moves=(*moves[:index], simpler, *moves[index + 1 :]))


def _without(moves: tuple[Move, ...], start: int, end: int) -> tuple[Move, ...]:
    """Leave moves out, and let those behind keep their time: timing is often what matters."""
    gone = sum(move.after_seconds for move in moves[start:end])
    rest = moves[end:]
    if rest:
        rest = (msgspec.structs.replace(rest[0], after_seconds=round(rest[0].after_seconds + gone, 3)), *rest[1:])
    return (*moves[:start], *rest)


def _simpler_moves(move: Move) -> Iterator[Move]:
    for seconds in (0.0, 1.0, 30.0, round(move.after_seconds)):
        if seconds < move.after_seconds and seconds != move.after_seconds:
            yield msgspec.structs.replace(move, after_seconds=float(seconds))
    if isinstance(move.value, dict):
        for value in _smaller_values(move.value):
            yield msgspec.structs.replace(move, value=value)
    elif isinstance(move.value, float) and move.value != round(move.value):
        yield msgspec.structs.replace(move, value=float(round(move.value)))


def _smaller_values(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the object without one member, or with a smaller one; lists lose one item, numbers come down to 1."""
    for key, member in value.items():
        if key not in NEEDED:
            yield {name: each for name, each in value.items() if name != key}
        if isinstance(member, dict) and key not in ATOMIC:
            for smaller in _smaller_values(member):
                yield {**value, key: smaller}
        elif isinstance(member, list):
            for index in range(len(member)):
                yield {**value, key: [*member[:index], *member[index + 1 :]]}
        elif isinstance(member, int) and not isinstance(member, bool) and member > 1:
            yield {**value, key: 1}
            yield {**value, key: member - 1}


def _with(history: History, **changes: Any) -> History:
    return msgspec.structs.replace(history, **changes)


def _size(history: History) -> int:
    return len(msgspec.json.encode(history))
