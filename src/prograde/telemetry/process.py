"""Metrics of the process itself, read from ``/proc`` while being scraped (nothing on other systems)."""

import gc
import os
import platform
import resource
import time
from collections.abc import Iterable

from prograde.telemetry.metrics import Family, Sample

__all__ = ["collect_process", "resident_memory_bytes"]

_STARTED_AT_SECONDS = time.time()


def resident_memory_bytes() -> int:
    """Return the resident set size, or the peak where only that is known."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        # ru_maxrss counts KiB on Linux and bytes on macOS, the only place that gets here.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def collect_process() -> Iterable[Family]:
    """Yield the ``process_*`` and ``python_*`` families."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield _single(
        "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter",
        usage.ru_utime + usage.ru_stime,
    )  # fmt: skip
    yield _single("process_resident_memory_bytes", "Resident memory size in bytes.", "gauge", resident_memory_bytes())
    yield _single(
        "process_start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge",
        _STARTED_AT_SECONDS,
    )  # fmt: skip
    try:
        open_files = len(os.listdir("/proc/self/fd"))
    except OSError:
        pass
    else:
        yield _single("process_open_fds", "Number of open file descriptors.", "gauge", open_files)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield _single("process_max_fds", "Maximum number of open file descriptors.", "gauge", limit)
    yield Family(
        "python_gc_collections_total",
        "Number of times this generation was collected.",
        "counter",
        ("generation",),
        [Sample((str(number),), stats["collections"]) for number, stats in enumerate(gc.get_stats())],
    )
    version = platform.python_version()
    yield Family(
        "python_info",
        "Python platform information.",
        "gauge",
        ("version", "implementation"),
        [Sample((version, platform.python_implementation()), 1)],
    )


def _single(name: str, help_text: str, type_: str, value: float) -> Family:
    assert type_ in ("counter", "gauge")
    return Family(name, help_text, "counter" if type_ == "counter" else "gauge", (), [Sample((), value)])
