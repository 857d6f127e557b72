"""A sandbox and a controller as processes of their own, and commands run beside them as a user would."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

BIN = Path(sys.executable).parent
PATIENCE_SECONDS = 30.0
STARTED = "Started controller"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(kubeconfig: Path | str = "/nowhere") -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "NO_COLOR", "TERM"))}
    return {**kept, "KUBECONFIG": str(kubeconfig), "PATH": f"{BIN}:{os.environ['PATH']}"}


def command(*words: str, kubeconfig: Path | str = "/nowhere", stdin: str | None = None) -> Ended:
    """Run a command that is installed beside this Python to its end."""
    ended = subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        env=environment(kubeconfig),
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@contextmanager
def process(*words: str, kubeconfig: Path | str = "/nowhere", log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command beside the test, its output in `log`; it is gone when the context is left."""
    with log.open("w") as file:
        started = subprocess.Popen(
            [str(BIN / words[0]), *words[1:]],
            env={**environment(kubeconfig), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


def until(is_reached: Callable[[], Any], what: str) -> None:
    """Ask again and again, for as long as a healthy system may need."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_reached():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Cluster:
    """A running sandbox, and a folder for logs."""

    folder: Path

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "sandbox" / "kubeconfig"

    def prograde(self, *words: str) -> Ended:
        return command("prograde", *words, kubeconfig=self.kubeconfig)

    def plugin(self, *words: str) -> Ended:
        """Run ``kubectl argo rollouts``."""
        return command("kubectl", "argo", "rollouts", *words, kubeconfig=self.kubeconfig)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        ended = command("kubectl", *words, kubeconfig=self.kubeconfig, stdin=stdin)
        assert ended.code == 0, ended.err
        return ended.out

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))

    def beside(self, *words: str, log: str) -> Any:
        return process(*words, kubeconfig=self.kubeconfig, log=self.folder / log)

    def controller(self, *flags: str, log: str = "controller.log") -> Any:
        ports = ("--address", "127.0.0.1", "--metricsPort", "0", "--healthzPort", "0")
        return self.beside("prograde", "controller", *ports, *flags, log=log)

    def log(self, name: str = "controller.log") -> str:
        return (self.folder / name).read_text()

    def wait_for_log(self, text: str, name: str = "controller.log") -> None:
        until(lambda: text in self.log(name), f"{text!r} in {name}")

    def view(self, name: str) -> dict[str, Any]:
        ended = self.prograde("get", "rollout", name, "-o", "json")
        assert ended.code == 0, ended.err
        found: dict[str, Any] = json.loads(ended.out)
        return found

    def wait_for(self, name: str, status: str, is_more: Callable[[dict[str, Any]], bool] = lambda _: True) -> None:
        def is_reached() -> bool:
            view = self.view(name)
            return view["status"] == status and is_more(view)

        until(is_reached, f"{name} is {status}")


@contextmanager
def sandbox(folder: Path, *flags: str) -> Iterator[Cluster]:
    cluster = Cluster(folder)
    words = ("sandbox", "--port", "0", "--profile", "fast", "--directory", str(folder / "sandbox"), "-o", "json")
    with process("prograde", *words, *flags, log=folder / "sandbox.log"):
        cluster.wait_for_log("}", "sandbox.log")
        yield cluster


@contextmanager
def cluster_with_controller(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        cluster = stack.enter_context(sandbox(folder))
        stack.enter_context(cluster.controller("--leader-elect=false"))
        cluster.wait_for_log(STARTED)
        yield cluster


def rollout(name: str, strategy: dict[str, Any] | None = None, *, image: str = "web:1", **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    canary = {"canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": [{"setWeight": 50}, {"pause": {}}]}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "strategy": strategy or canary,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}},
            **spec,
        },
    }


def steady(text: str) -> str:
    """Return output without what differs from run to run: hashes, pod suffixes, ages, padding."""
    text = re.sub(r"-[a-f0-9]{8,10}\b", "-HASH", text)
    text = re.sub(r"-HASH-[a-z0-9]{5}\b", "-HASH-POD", text)
    text = re.sub(r"  \d+s\b", "  AGE", text)
    return "\n".join(re.sub(r"(?<=[^\s│])  +", "  ", line).rstrip() for line in text.split("\n"))
