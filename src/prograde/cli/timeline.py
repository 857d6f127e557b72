"""A simulated release as a table for people: when, how far, how much traffic, which pods, and what happened.

      TIME     STEP  TRAFFIC TO NEW     OLD    NEW  WHAT HAPPENS
        0s  ◌   0/8  ░░░░░░░░░░    0%    5/5    0/1  ▸ released: web=example.com/shop:2
                                                     … revision 2 has 0 of 1 pod available

Pods are "available/wanted". A line is 100 columns wide at most; colour only wraps words and never changes them.
"""

import re
import textwrap
from collections.abc import Iterator
from typing import Final

from prograde.api.names import PHASE_DEGRADED, PHASE_HEALTHY, PHASE_PAUSED, PHASE_PROGRESSING
from prograde.simulator.timelines import Happening, Moment, Timeline, Verdict, Version

__all__ = ["span", "timeline_text"]

WIDTH: Final = 100
"""Fits half of a wide screen, and a code block of a merge request."""

BAR_CELLS: Final = 10

_GUTTER: Final = 53
"""Where the text of a line begins."""

_ICONS: Final = {PHASE_HEALTHY: "✔", PHASE_DEGRADED: "✖", PHASE_PAUSED: "॥", PHASE_PROGRESSING: "◌"}
_PHASE_COLOURS: Final = {PHASE_HEALTHY: 32, PHASE_DEGRADED: 31, PHASE_PAUSED: 33, PHASE_PROGRESSING: 94}

_BAD: Final = frozenset(
    {
        "RolloutAborted",
        "AnalysisRunFailed",
        "AnalysisRunError",
        "ExperimentFailed",
        "ExperimentError",
        "InvalidSpec",
        "ReplicaSetFailedCreate",
        "ErrorRate",
    }
)
_QUIET: Final = frozenset({"RolloutPaused", "RolloutResumed"})
"""What the reason for waiting says better."""


def timeline_text(timeline: Timeline, *, colour: bool) -> str:
    """Return what is printed about a release, ending in a newline."""
    paint = _Paint(colour)
    lines = [*_header(timeline, paint), "", *_table(timeline, paint), ""]
    lines += _verdict(timeline, timeline.verdict, paint)
    return "\n".join(lines) + "\n"


def span(seconds: float) -> str:
    """Return a length of time to the second, without units that are zero: ``42s``, ``3m20s``, ``2d3s``."""
    rest = round(seconds)
    text = ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


# --- the parts --------------------------------------------------------------------------------------------------


def _header(timeline: Timeline, paint: "_Paint") -> Iterator[str]:
    pods = f"{timeline.replicas} pod" + ("s" if timeline.replicas != 1 else "")
    yield f"{paint.bold(f'{timeline.namespace}/{timeline.name}')}: a {timeline.strategy} release of {pods}"
    for container, image in timeline.new_images.items():
        old = timeline.old_images.get(container, "")
        change = image if old == image else f"{old} → {image}"
        yield f"  {container}: {change}"
    for note in timeline.notes:
        yield paint.dim(f"  {note}")


def _table(timeline: Timeline, paint: "_Paint") -> Iterator[str]:
    yield paint.dim("      TIME     STEP  TRAFFIC TO NEW     OLD    NEW  WHAT HAPPENS")
    revisions = {each.hash_: each.revision for moment in timeline.moments for each in moment.versions}
    for moment in timeline.moments:
        texts = list(_texts(moment, timeline, revisions, paint))
        yield (_left(moment, paint) + (texts[0] if texts else "")).rstrip()
        for text in texts[1:]:
            yield " " * _GUTTER + text


def _left(moment: Moment, paint: "_Paint") -> str:
    step = f"{moment.step}/{moment.steps}" if moment.steps is not None else "-"
    icon = paint.phase(_ICONS.get(moment.phase, "?"), moment.phase)
    old = [each for each in moment.versions if not each.is_new]
    new = [each for each in moment.versions if each.is_new]
    return (
        f"{span(moment.seconds):>10}  {icon} {step:>5}  {_bar(moment.traffic_percent, paint)} "
        f"{moment.traffic_percent:>4.0f}%  {_pods(old):>6} {_pods(new):>6}  "
    )


def _bar(percent: float, paint: "_Paint") -> str:
    full = round(percent / 100 * BAR_CELLS)
    full = min(max(full, 1 if percent > 0 else 0), BAR_CELLS if percent >= 100 else BAR_CELLS - 1)
    return paint.cyan("█" * full) + paint.dim("░" * (BAR_CELLS - full))


def _pods(versions: list[Version]) -> str:
    wanted, available = sum(each.wanted for each in versions), sum(each.available for each in versions)
    return f"{available}/{wanted}" if wanted or available else "-"


def _texts(moment: Moment, timeline: Timeline, revisions: dict[str, int], paint: "_Paint") -> Iterator[str]:
    """Yield the words of a moment, line by line."""
    events = {each.message for each in moment.happenings if each.kind == "event"}
    for each in moment.happenings:
        if each.reason in _QUIET or (each.kind == "wait" and each.message in events):
            continue
        text = _named(_worded(each), timeline.name, revisions)
        if each.kind == "wait":
            yield from (paint.dim(line) for line in _wrapped("… ", text))
        elif each.kind == "user":
            yield from (paint.bold(line) for line in _wrapped("▸ ", text))
        elif each.reason in _BAD:
            yield from (paint.red(line) for line in _wrapped("! ", text))
        else:
            yield from _wrapped("· ", text)
    if moment.lost_percent:
        yield from (paint.red(line) for line in _wrapped("! ", f"{moment.lost_percent:g}% of requests reach no pod"))


def _worded(happening: Happening) -> str:
    """Return the words of a happening, short enough for a column."""
    text = happening.message
    if happening.until_seconds is not None:
        return f"{text} (until {span(happening.until_seconds)})"
    text = re.sub(r"^Rollout step (\S+) completed \((.*)\)$", r"step \1 done: \2", text)
    text = re.sub(r"^Switched selector for service '(.*)' from '(.*)' to '(.*)'$", r"Service \1: \2 → \3", text)
    return re.sub(r"^Rollout completed update to (revision \d+) \(\w+\): ", r"\1 is stable: ", text)


def _named(text: str, name: str, revisions: dict[str, int]) -> str:
    """Replace ReplicaSets and hashes by the revisions that people count in."""
    for hash_, revision in revisions.items():
        if hash_ and revision:
            text = text.replace(f"ReplicaSet {name}-{hash_}", f"revision {revision}")
            text = text.replace(f'ReplicaSet "{name}-{hash_}"', f"revision {revision}")
            text = re.sub(rf"(?<![\w-]){re.escape(hash_)}(?![\w-])", f"revision {revision}", text)
    return text


def _wrapped(mark: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH - _GUTTER, initial_indent=mark, subsequent_indent="  ", break_on_hyphens=False
    ) or [mark.rstrip()]


def _verdict(timeline: Timeline, verdict: Verdict, paint: "_Paint") -> Iterator[str]:
    icon = paint.phase(_ICONS.get(verdict.phase, "?"), verdict.phase)
    after = span(verdict.seconds)
    if verdict.outcome == "healthy":
        yield f"{icon} {paint.bold('Healthy')} after {after}: the new version has all the traffic"
    else:
        revisions = {each.hash_: each.revision for moment in timeline.moments for each in moment.versions}
        said = _named(verdict.message, timeline.name, revisions)
        how = "since" if verdict.outcome == "degraded" else "and goes no further since"
        yield from textwrap.wrap(f"{icon} {verdict.phase} {how} {after}: {said}", WIDTH, subsequent_indent="  ")
        if verdict.remedy:
            yield from textwrap.wrap(f"→ {verdict.remedy}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    yield paint.dim(f"  {after} of virtual time took {verdict.wall_seconds:.2f} s")


class _Paint:
    """Colours words, or leaves them alone."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def bold(self, text: str) -> str:
        return self._wrap(text, 1)

    def dim(self, text: str) -> str:
        return self._wrap(text, 2)

    def red(self, text: str) -> str:
        return self._wrap(text, 31)

    def cyan(self, text: str) -> str:
        return self._wrap(text, 36)

    def phase(self, text: str, phase: str) -> str:
        return self._wrap(text, _PHASE_COLOURS.get(phase, 33))

    def _wrap(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text
