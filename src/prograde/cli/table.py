"""Columns that line up in a terminal."""

import re
from collections.abc import Sequence

__all__ = ["align", "visible_width"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def visible_width(text: str) -> int:
    """Return how many columns `text` takes; colour codes take none."""
    return len(_ANSI.sub("", text))


def align(rows: Sequence[Sequence[str]], *, gap: int = 2, minimum: Sequence[int] = ()) -> list[str]:
    """Return one line a row, every cell padded to its column's widest one plus `gap`, the last column to its width.

    `minimum` gives the least width of each column, 0 where it is missing.
    """
    if not rows:
        return []
    count = max(map(len, rows))
    widths = [
        max(
            [
                minimum[column] if column < len(minimum) else 0,
                *(visible_width(r[column]) for r in rows if column < len(r)),
            ]
        )
        for column in range(count)
    ]
    lines = []
    for row in rows:
        cells = [cell + " " * (widths[column] - visible_width(cell)) for column, cell in enumerate(row)]
        lines.append((" " * gap).join(cells))
    return lines
