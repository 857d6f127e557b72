"""The output of `get rollout`: a header and the tree of revisions, ReplicaSets, pods, experiments and analyses.

Scripts match this output, so icons, order, labels and widths are fixed; colour only wraps cells and never changes them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from prograde.api.ages import human_duration
from prograde.api.scalars import parse_time
from prograde.cli.table import align
from prograde.dashboard.views import (
    AnalysisRunView,
    ExperimentView,
    ImageView,
    JobView,
    PodView,
    ReplicaSetView,
    RolloutView,
)

__all__ = ["experiment_text", "rollout_text"]

_LABEL_WIDTH = 17

_ICON_COLOURS = {"◷": 33, "◌": 94, "⚠": 31, "?": 33, "✔": 32, "✖": 31}
_TAG_COLOURS = {"canary": 33, "new": 33, "stable": 32, "active": 32, "preview": 94, "ping": 94, "pong": 94}
_PHASE_COLOURS = {"Pending": 94, "Running": 94}


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the tree before indentation; `children` follow it."""

    icon: str
    name: str
    kind: str
    state_icon: str
    status: str
    age: str
    info: str
    children: tuple["_Row", ...] = ()


def rollout_text(view: RolloutView, now: datetime, *, colour: bool) -> str:
    """Return what `get rollout` prints, ending in a newline."""
    paint = _Painter(colour)
    lines = _header(view, paint)
    for label, count in (
        ("Desired", view.desired),
        ("Current", view.current),
        ("Updated", view.updated),
        ("Ready", view.ready),
        ("Available", view.available),
    ):
        lines.append(_labelled(f"  {label}:", str(count)))
    root = _Row(
        "⟳", view.name, "Rollout", view.icon, view.status, _age(view.created_at, now), "",
        tuple(_revision_row(view, revision, now, paint) for revision in view.revisions),
    )  # fmt: skip
    return "\n".join([*lines, "", *_table(root, paint)]) + "\n"


def experiment_text(view: ExperimentView, now: datetime, *, colour: bool) -> str:
    """Return what `get experiment` prints, ending in a newline."""
    paint = _Painter(colour)
    lines = [_labelled("Name:", view.name), _labelled("Namespace:", view.namespace)]
    lines.append(_labelled("Status:", f"{paint.icon(view.icon)} {view.status}"))
    if view.message:
        lines.append(_labelled("Message:", view.message))
    lines += _images(view.images, paint)
    return "\n".join([*lines, "", *_table(_experiment_row(view, now, paint), paint)]) + "\n"


# --- Header ----------------------------------------------------------------------------------------------------------


def _header(view: RolloutView, paint: "_Painter") -> list[str]:
    lines = [
        _labelled("Name:", view.name),
        _labelled("Namespace:", view.namespace),
        _labelled("Status:", f"{paint.icon(view.icon)} {view.status}"),
    ]
    if view.message:
        lines.append(_labelled("Message:", view.message))
    lines.append(_labelled("Strategy:", view.strategy))
    if view.strategy == "Canary":
        lines.append(_labelled("  Step:", view.step))
        lines.append(_labelled("  SetWeight:", view.set_weight))
        lines.append(_labelled("  ActualWeight:", view.actual_weight))
    lines += _images(view.images, paint)
    lines.append("Replicas:")
    return lines


def _labelled(label: str, value: str) -> str:
    return f"{label:<{_LABEL_WIDTH}}{value}"


def _images(images: Sequence[ImageView], paint: "_Painter") -> Iterator[str]:
    for number, image in enumerate(images):
        tags = f" ({', '.join(map(paint.tag, image.tags))})" if image.tags else ""
        yield _labelled("" if number else "Images:", image.image + tags)


# --- Rows ------------------------------------------------------------------------------------------------------------


def _revision_row(view: RolloutView, revision: int, now: datetime, paint: "_Painter") -> _Row:
    children = (
        *(_replica_set_row(each, now, paint) for each in view.replica_sets if each.revision == revision),
        *(_experiment_row(each, now, paint) for each in view.experiments if each.revision == revision),
        *(_analysis_run_row(each, now, paint) for each in view.analysis_runs if each.revision == revision),
    )
    return _Row("#", f"revision:{revision}", "", " ", "", "", "", children)


def _replica_set_row(view: ReplicaSetView, now: datetime, paint: "_Painter") -> _Row:
    info = [paint.tag(tag) for tag in view.tags]
    if view.scale_down_deadline:
        info.append(f"delay:{_delay(view.scale_down_deadline, now)}")
    return _Row(
        "⧉", paint.name(view.name, view.tags), "ReplicaSet", view.icon, view.status, _age(view.created_at, now),
        ",".join(info), tuple(_pod_row(pod, now) for pod in view.pods),
    )  # fmt: skip


def _pod_row(view: PodView, now: datetime) -> _Row:
    info = f"ready:{view.ready}"
    if view.restarts > 0:
        info += f",restarts:{view.restarts}"
    return _Row("□", view.name, "Pod", view.icon, view.status, _age(view.created_at, now), info)


def _experiment_row(view: ExperimentView, now: datetime, paint: "_Painter") -> _Row:
    children = (
        *(_replica_set_row(each, now, paint) for each in view.replica_sets),
        *(_analysis_run_row(each, now, paint) for each in view.analysis_runs),
    )
    name = paint.phase(view.name, view.status)
    return _Row("Σ", name, "Experiment", view.icon, view.status, _age(view.created_at, now), "", children)


def _analysis_run_row(view: AnalysisRunView, now: datetime, paint: "_Painter") -> _Row:
    counts = (("✔", view.successful), ("✖", view.failed), ("?", view.inconclusive), ("⚠", view.error))
    info = ",".join(f"{paint.icon(icon)} {count}" for icon, count in counts if count > 0)
    return _Row(
        "α", paint.phase(view.name, view.status), "AnalysisRun", view.icon, view.status, _age(view.created_at, now),
        info, tuple(_job_row(job, now, paint) for job in view.jobs),
    )  # fmt: skip


def _job_row(view: JobView, now: datetime, paint: "_Painter") -> _Row:
    name = paint.phase(view.name, view.status)
    return _Row("⊞", name, "Job", view.icon, view.status, _age(view.created_at, now), "")


def _age(created_at: datetime | None, now: datetime) -> str:
    return human_duration(now - created_at) if created_at is not None else ""


def _delay(deadline: str, now: datetime) -> str:
    """Return how long the deadline is away, ``passed`` when it is over, nothing when it cannot be read."""
    try:
        at = parse_time(deadline)
    except ValueError:
        return ""
    return human_duration(at - now) if at > now else "passed"


# --- Lines -----------------------------------------------------------------------------------------------------------


def _table(root: _Row, paint: "_Painter") -> list[str]:
    cells = [["NAME", "KIND", "STATUS", "AGE", "INFO"]]
    for prefix, row in _walk(root, "", ""):
        status = f"{paint.icon(row.state_icon)} {row.status}" if row.status else row.state_icon
        cells.append([f"{prefix}{row.icon} {row.name}", row.kind, status, row.age, row.info])
    return align(cells)


def _walk(row: _Row, prefix: str, indent: str) -> Iterable[tuple[str, _Row]]:
    yield prefix, row
    for number, child in enumerate(row.children):
        is_last = number == len(row.children) - 1
        yield from _walk(child, indent + ("└──" if is_last else "├──"), indent + ("   " if is_last else "│  "))


class _Painter:
    """Wraps cells in colour codes, or leaves them alone."""

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on

    def icon(self, icon: str) -> str:
        return self._wrap(icon, _ICON_COLOURS.get(icon))

    def tag(self, tag: str) -> str:
        return self._wrap(tag, _TAG_COLOURS.get(tag))

    def name(self, name: str, tags: Sequence[str]) -> str:
        """Colour a ReplicaSet's name by the last of its roles."""
        colours = [_TAG_COLOURS[tag] for tag in tags if tag in _TAG_COLOURS]
        return self._wrap(name, colours[-1] if colours else None)

    def phase(self, name: str, phase: str) -> str:
        """Colour a run's name while it is under way."""
        return self._wrap(name, _PHASE_COLOURS.get(phase))

    def _wrap(self, text: str, code: int | None) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_on and code is not None else text
