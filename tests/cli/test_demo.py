"""The demo as a newcomer meets it: a process that plays its story, says what it kept, and ends."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prograde.cli.demo import first_of
from prograde.cli.framework import CliError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

PROGRADE = str(Path(sys.executable).with_name("prograde"))


def test_the_demo_tells_its_story_in_plain_lines_and_ends_well() -> None:
    started = time.monotonic()
    ran = subprocess.run([PROGRADE, "demo"], capture_output=True, text=True, timeout=90, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert time.monotonic() - started < 90
    assert ran.stderr == ""
    assert "\x1b" not in ran.stdout, "no colours and no redrawing where there is no terminal"
    acts = [
        "web=argoproj/rollouts-demo:yellow",
        "blue 90%  yellow 10%",
        "measured: error-rate of yellow 0.2% (Successful)",
    ]
    acts += [
        "yellow 66%  blue 34%",
        "Healthy",
        "web=argoproj/rollouts-demo:red",
        "measured: error-rate of red 5.0% (Failed)",
    ]
    acts += ["Degraded", "does-not-exist", "Degraded", "prograde abort", "prograde undo", "Healthy", "Summary"]
    position = 0
    for act in acts:
        position = ran.stdout.index(act, position)
    assert "Available pods never fell below 5 of 5" in ran.stdout
    assert "At no moment did a route lead to a version without available pods" in ran.stdout
    assert re.search(r"\d+ x patch rollouts/status", ran.stdout)


def test_control_c_ends_the_demo_at_once() -> None:
    process = subprocess.Popen([PROGRADE, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "Paused" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_kept_cluster_stays_up_and_can_be_used_until_control_c() -> None:
    process = subprocess.Popen([PROGRADE, "demo", "--keep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    kubeconfig = ""
    while not kubeconfig:
        line = process.stdout.readline()
        assert process.poll() is None
        if "export KUBECONFIG=" in line:
            kubeconfig = line.partition("KUBECONFIG=")[2].strip()
    status = subprocess.run(
        [PROGRADE, "--kubeconfig", kubeconfig, "status", "shop", "--watch=false"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (status.returncode, status.stdout) == (0, "Healthy\n")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert not Path(kubeconfig).exists(), "nothing is left behind"


async def test_a_controller_that_ends_by_itself_ends_the_demo_with_its_reason() -> None:
    async def fail() -> None:
        raise RuntimeError("no such group")

    for_ever = asyncio.create_task(asyncio.Event().wait())
    with pytest.raises(CliError, match="the demo's controller has ended: no such group"):
        await first_of(for_ever, controller=asyncio.create_task(fail()))
    for_ever.cancel()


async def test_the_end_of_the_story_counts_even_if_the_controller_ends_with_it() -> None:
    async def end() -> None:
        return None

    await first_of(asyncio.create_task(end()), controller=asyncio.create_task(end()))
