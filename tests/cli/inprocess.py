"""A served cluster in a thread of this process, and commands run against it as `main` runs them, in milliseconds."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from prograde.cli.framework import run
from prograde.cli.main import root_group
from prograde.sandbox.auth import User
from prograde.sandbox.cluster import Sandbox

T = TypeVar("T")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Served:
    """The cluster, the thread's loop that runs it, and how to reach it."""

    sandbox: Sandbox
    loop: asyncio.AbstractEventLoop
    kubeconfig: Path

    def call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call something of the cluster in its own thread."""

        async def there() -> T:
            return function(*arguments, **options)

        return asyncio.run_coroutine_threadsafe(there(), self.loop).result(30)

    def command(self, capsys: pytest.CaptureFixture[str], *words: str, token: str = "") -> Ended:
        """Run a command of `prograde`, as the administrator or as whoever has the token."""
        capsys.readouterr()
        flags = ["--kubeconfig", str(self.kubeconfig), *(["--token", token] if token else [])]
        code = run(root_group("prograde"), [*words, *flags], "prograde")
        return Ended(code, *capsys.readouterr())


@contextmanager
def served(users: Mapping[str, User] | None = None) -> Iterator[Served]:
    """Run a cluster until the context is left."""
    started: list[Served] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        sandbox = Sandbox(users=users)
        async with sandbox.serving() as endpoint:
            started.append(Served(sandbox, asyncio.get_running_loop(), endpoint.kubeconfig))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30), "the cluster did not start"
    try:
        yield started[0]
    finally:
        started[0].loop.call_soon_threadsafe(stop.set)
        thread.join(30)
