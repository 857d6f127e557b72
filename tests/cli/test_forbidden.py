"""What every command says to somebody who may not do what it does: one line, and exit code 1."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.inprocess import Served, served
from tests.cli.stuck import rollout

from prograde.sandbox.auth import Rule, User

WRITES = ("create", "update", "patch", "delete")
USERS = {
    "nobody": User("nobody", deny=(Rule(("*",), ("*",)),)),
    "reader": User("reader", deny=(Rule(WRITES, ("*",)),)),
    "narrow": User(
        "narrow",
        deny=(
            Rule(("*",), ("analysistemplates.argoproj.io", "clusteranalysistemplates.argoproj.io", "pods")),
            Rule(("*",), ("leases.coordination.k8s.io",)),
        ),
    ),
}

READING = ["get rollout cart", "get experiment one", "list rollouts", "list experiments", "status cart",
           "status cart --watch=false", "explain cart", "explain --all", "plan cart", "undo cart",
           "set image cart web=web:2", "promote cart", "restart cart"]  # fmt: skip
WRITING = ["abort cart", "pause cart", "promote cart", "restart cart", "retry rollout cart",
           "set image cart web=web:2"]  # fmt: skip
ENDING = ["retry experiment one", "terminate experiment one", "terminate analysisrun one"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Served]:
    with served(USERS) as made:
        made.call(made.sandbox.apply, rollout(paused=True))
        yield made


@pytest.mark.parametrize("words", [*READING, *WRITING, *ENDING, "create analysisrun --from t"])
def test_who_may_do_nothing_is_told_what_he_may_not_do(
    cluster: Served, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    ended = cluster.command(capsys, *words.split(), token="nobody")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: ")
    assert 'User "nobody" cannot' in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("words", WRITING)
def test_who_may_only_read_is_told_what_he_may_not_write(
    cluster: Served, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    before = cluster.call(cluster.sandbox.get, "rollouts", "cart")
    ended = cluster.command(capsys, *words.split(), token="reader")
    assert (ended.code, ended.out) == (1, "")
    assert 'is forbidden: User "reader" cannot' in ended.err
    assert ended.err.count("\n") == 1
    assert cluster.call(cluster.sandbox.get, "rollouts", "cart") == before


def test_reading_is_enough_to_explain_and_to_plan(
    cluster: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    manifest = tmp_path / "new.yaml"
    manifest.write_text(json.dumps(rollout(image="web:2", paused=True)))
    assert cluster.command(capsys, "explain", "cart", token="reader").code == 0
    planned = cluster.command(capsys, "plan", "-f", str(manifest), token="reader")
    assert (planned.code, planned.err) == (2, "")
    assert "note: Rollout cart: no dry run is allowed, so it is merged here" in planned.out


def test_what_only_helps_need_not_be_readable(cluster: Served, capsys: pytest.CaptureFixture[str]) -> None:
    explained = cluster.command(capsys, "explain", "cart", token="narrow")
    assert (explained.code, explained.err) == (0, "")
    assert "controller: the lease argo-rollouts-controller-lock may not be read" in explained.out.splitlines()
