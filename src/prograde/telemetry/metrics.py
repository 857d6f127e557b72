"""A small metrics registry that writes the Prometheus text format.

Dashboards and alerts match our metric names to the letter, also counters without the ``_total`` suffix
(``rollout_reconcile_error``), which the usual client library renames on exposition. So the registry is our own:
counters, gauges and histograms that hold plain floats, and *collectors*, functions that compute samples from caches
while being scraped, so that a gauge about an object vanishes together with the object.

Single-threaded by design: everything runs on one event loop.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

__all__ = ["CONTENT_TYPE", "Counter", "Family", "Gauge", "Histogram", "Registry", "Sample"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MetricType = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of exposition: label values in the order of the family's label names."""

    values: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """A gauge or counter family computed at scrape time by a collector."""

    name: str
    help: str
    type: MetricType
    labels: tuple[str, ...]
    samples: Iterable[Sample]


class _Metric:
    """What counters, gauges and histograms share: a name, label names, and one child per tuple of label values."""

    type: MetricType

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self.name = name
        self.help = help_text
        self.labels = tuple(labels)

    def render(self, lines: list[str]) -> None:
        raise NotImplementedError

    def discard(self, predicate: Callable[[dict[str, str]], bool]) -> None:
        """Forget every series whose labels satisfy `predicate`."""
        raise NotImplementedError


_M = TypeVar("_M", bound=_Metric)


class Counter(_Metric):
    """A value that only goes up."""

    type: MetricType = "counter"

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, help_text, labels)
        self._values: dict[tuple[str, ...], float] = {}

    def inc(self, *values: str, by: float = 1.0) -> None:
        assert len(values) == len(self.labels), f"{self.name} takes labels {self.labels}, got {values}"
        assert by >= 0, f"{self.name}: a counter never goes down, got {by}"
        self._values[values] = self._values.get(values, 0.0) + by

    def value(self, *values: str) -> float:
        return self._values.get(values, 0.0)

    def render(self, lines: list[str]) -> None:
        _header(lines, self.name, self.help, self.type)
        for values, value in sorted(self._values.items()):
            lines.append(f"{self.name}{_labels(self.labels, values)} {_number(value)}")

    def discard(self, predicate: Callable[[dict[str, str]], bool]) -> None:
        for values in [v for v in self._values if predicate(dict(zip(self.labels, v, strict=True)))]:
            del self._values[values]


class Gauge(Counter):
    """A value that is set."""

    type: MetricType = "gauge"

    def set(self, value: float, *values: str) -> None:
        assert len(values) == len(self.labels), f"{self.name} takes labels {self.labels}, got {values}"
        self._values[values] = value


class Histogram(_Metric):
    """Counts of observations at or below each upper bound, with their sum."""

    type: MetricType = "histogram"

    def __init__(self, name: str, help_text: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> None:
        super().__init__(name, help_text, labels)
        assert list(buckets) == sorted(buckets), f"{name}: buckets must ascend, got {buckets}"
        self.buckets = tuple(buckets)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, *values: str) -> None:
        assert len(values) == len(self.labels), f"{self.name} takes labels {self.labels}, got {values}"
        counts = self._counts.get(values)
        if counts is None:
            counts = self._counts[values] = [0] * (len(self.buckets) + 1)
        counts[bisect_left(self.buckets, value)] += 1
        self._sums[values] = self._sums.get(values, 0.0) + value

    def count(self, *values: str) -> int:
        return sum(self._counts.get(values, ()))

    def sum(self, *values: str) -> float:
        return self._sums.get(values, 0.0)

    def render(self, lines: list[str]) -> None:
        _header(lines, self.name, self.help, self.type)
        names = (*self.labels, "le")
        bounds = (*(_number(bound) for bound in self.buckets), "+Inf")
        for values, counts in sorted(self._counts.items()):
            running = 0
            for bound, count in zip(bounds, counts, strict=True):
                running += count
                lines.append(f"{self.name}_bucket{_labels(names, (*values, bound))} {running}")
            lines.append(f"{self.name}_sum{_labels(self.labels, values)} {_number(self._sums[values])}")
            lines.append(f"{self.name}_count{_labels(self.labels, values)} {running}")

    def discard(self, predicate: Callable[[dict[str, str]], bool]) -> None:
        for values in [v for v in self._counts if predicate(dict(zip(self.labels, v, strict=True)))]:
            del self._counts[values], self._sums[values]


Collector = Callable[[], Iterable[Family]]


class Registry:
    """All metrics of one process; several registries live side by side in tests and in the simulator."""

    def __init__(self) -> None:
        self._metrics: list[_Metric] = []
        self._collectors: list[Collector] = []

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        return self._add(Counter(name, help_text, labels))

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        return self._add(Gauge(name, help_text, labels))

    def histogram(self, name: str, help_text: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
        return self._add(Histogram(name, help_text, buckets, labels))

    def _add(self, metric: _M) -> _M:
        assert all(metric.name != other.name for other in self._metrics), f"{metric.name} is registered twice"
        self._metrics.append(metric)
        return metric

    def collect_with(self, collector: Collector) -> None:
        """Call `collector` on every scrape."""
        self._collectors.append(collector)

    def discard(self, predicate: Callable[[dict[str, str]], bool]) -> None:
        """Forget every stored series whose labels satisfy `predicate`, for example those of a deleted object."""
        for metric in self._metrics:
            metric.discard(predicate)

    def render(self) -> bytes:
        """Return the exposition of everything, families ordered by name of registration."""
        lines: list[str] = []
        for metric in self._metrics:
            metric.render(lines)
        for collector in self._collectors:
            for family in collector():
                _header(lines, family.name, family.help, family.type)
                for sample in family.samples:
                    lines.append(f"{family.name}{_labels(family.labels, sample.values)} {_number(sample.value)}")
        lines.append("")
        return "\n".join(lines).encode()


def _header(lines: list[str], name: str, help_text: str, type_: str) -> None:
    escaped = help_text.replace("\\", "\\\\").replace("\n", "\\n")
    lines.append(f"# HELP {name} {escaped}")
    lines.append(f"# TYPE {name} {type_}")


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))
