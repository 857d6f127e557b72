"""Processes of a benchmark: a cluster served by a child, so that its cost can be told from that of its clients."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

__all__ = ["Cluster", "Usage", "resident_bytes", "served", "usage_of"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")

Usage = tuple[float, int]
"""CPU seconds so far, and bytes resident now."""


def usage_of(pid: int) -> Usage:
    """Return what a process has used, as the kernel counts it (CPU time in steps of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS, resident_bytes(pid)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


class Cluster:
    """A cluster in a child process, over plain HTTP."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(prepare: Callable[[Any], None] | None = None, **options: Any) -> Iterator[Cluster]:
    """Serve ``Sandbox(**options)`` from a child process; `prepare` is a module's function that fills it first."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs, prepare, options), daemon=True)
    child.start()
    try:
        assert child.pid is not None
        yield Cluster(child.pid, ours.recv())
    finally:
        ours.close()
        child.join(timeout=10)
        if child.is_alive():
            child.kill()


def _serve(pipe: Connection, prepare: Callable[[Any], None] | None, options: dict[str, Any]) -> None:
    from prograde.sandbox.clock import wall_clock
    from prograde.sandbox.cluster import Sandbox

    async def run() -> None:
        sandbox = Sandbox(now=wall_clock, **options)
        if prepare is not None:
            prepare(sandbox)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)  # readable once the parent hangs up
        async with sandbox.running(), sandbox.serving(insecure_http=True) as endpoint:
            pipe.send(int(endpoint.url.rpartition(":")[2]))
            await ended.wait()

    asyncio.run(run())


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
