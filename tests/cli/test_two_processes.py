"""A sandbox and controllers as separate processes, which are asked to stop, and killed."""

import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.live import STARTED, Cluster, process, rollout, sandbox

pytestmark = pytest.mark.cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "canary.yaml"
NAME = "canary-demo"
COLOURS = ("yellow", "green", "orange", "purple", "red", "blue")
KILLS = 20

ELECTION = (
    "--leader-election-lease-duration=3s",
    "--leader-election-renew-deadline=2s",
    "--leader-election-retry-period=200ms",
)
LEADS = "I am the new leader"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with sandbox(tmp_path) as made:
        yield made


def push_on(cluster: Cluster, images: list[str]) -> None:
    """Do what a user would do next: promote a waiting canary, or roll out the next version."""
    view = cluster.view(NAME)
    if view["status"] == "Paused" and view["step"] == "1/8":
        assert cluster.prograde("promote", NAME).code == 0
    elif view["status"] == "Healthy":
        images.append(f"argoproj/rollouts-demo:{COLOURS[len(images) % len(COLOURS)]}")
        assert cluster.prograde("set", "image", NAME, f"demo={images[-1]}").code == 0


def test_a_rollout_ends_the_same_although_the_controller_is_killed_at_twenty_random_moments(cluster: Cluster) -> None:
    rng = random.Random(20)
    cluster.kubectl("apply", "-f", "-", stdin=EXAMPLE.read_text().replace("10s", "1s"))
    images: list[str] = []
    for _ in range(KILLS):
        with cluster.controller("--leader-elect=false") as controller:
            cluster.wait_for_log(STARTED)
            push_on(cluster, images)
            time.sleep(rng.uniform(0, 0.7))
            controller.kill()
            assert controller.wait() == -signal.SIGKILL
    with cluster.controller("--leader-elect=false"):
        if not images:
            cluster.wait_for(NAME, "Healthy")
            push_on(cluster, images)
        deadline = time.monotonic() + 40
        while (view := cluster.view(NAME))["status"] != "Healthy":
            assert time.monotonic() < deadline, view
            if view["status"] == "Paused" and view["step"] == "1/8":
                cluster.prograde("promote", NAME)
            cluster.prograde("status", NAME, "-t", "1s")
        assert "Traceback" not in cluster.log()
    running = [each for each in view["replicaSets"] if each["replicas"]]
    assert [each["images"] for each in running] == [[images[-1]]]
    assert (running[0]["available"], len(running[0]["pods"])) == (5, 5)
    revisions = [each["revision"] for each in view["replicaSets"]]
    assert len(set(revisions)) == len(revisions)
    assert running[0]["revision"] == max(revisions) == len(images) + 1


def test_a_standby_takes_over_from_a_leader_that_stops_and_from_one_that_is_killed(cluster: Cluster) -> None:
    cluster.apply(rollout("shop"))
    with cluster.controller(*ELECTION, log="a.log") as first:
        cluster.wait_for_log(LEADS, "a.log")
        with cluster.controller(*ELECTION, log="b.log") as second:
            assert cluster.prograde("status", "shop", "-t", "30s").code == 0
            cluster.wait_for_log("New leader elected", "b.log")
            assert STARTED not in cluster.log("b.log"), "a standby watches nothing"
            first.terminate()
            assert first.wait(10) == 0
            cluster.wait_for_log(LEADS, "b.log")
            with cluster.controller(*ELECTION, log="c.log"):
                cluster.wait_for_log("New leader elected", "c.log")
                second.kill()
                cluster.prograde("set", "image", "shop", "web=web:2")
                cluster.wait_for_log(LEADS, "c.log")
                cluster.wait_for("shop", "Paused")


def test_the_first_signal_ends_a_controller_in_order_and_a_second_one_at_once(cluster: Cluster) -> None:
    with cluster.controller("--leader-elect=false", log="first.log") as controller:
        cluster.wait_for_log(STARTED, "first.log")
        controller.send_signal(signal.SIGINT)
        assert controller.wait(10) == 0
    with cluster.controller("--leader-elect=false", log="second.log") as controller:
        cluster.wait_for_log(STARTED, "second.log")
        # While it is stopped both signals wait, so that they arrive together.
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            controller.send_signal(number)
        assert controller.wait(10) == 1


def test_a_taken_port_is_named_with_the_flag_that_chooses_another(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("prograde", "controller", "--address", "127.0.0.1", "--healthzPort", str(port))
        with process(*words, kubeconfig=cluster.kubeconfig, log=cluster.folder / "port.log") as controller:
            assert controller.wait(20) == 1
        last = cluster.log("port.log").splitlines()[-1]
        assert last.startswith(f"Error: cannot listen on 127.0.0.1:{port} for /healthz: ")
        assert last.endswith("choose another with --healthzPort")
