"""Histories on paper: drawing, writing, cutting down."""

from pathlib import Path

import msgspec
import pytest

from prograde.simulator.histories import VERSION, History, Move, history_of
from prograde.simulator.runs import Run, run_history
from prograde.simulator.shrink import read_history, shrink, written_history


def test_a_seed_means_the_same_history_every_time() -> None:
    assert history_of(7) == history_of(7)
    assert history_of(7) != history_of(8)


def test_histories_use_every_strategy_every_router_and_every_kind_of_move() -> None:
    drawn = [history_of(seed) for seed in range(400)]
    text = " ".join(msgspec.json.encode(history.spec).decode() for history in drawn)
    for word in ("blueGreen", "recreate", "nginx", "gatewayAPI", "virtualService", "destinationRule", "pingPong"):
        assert word in text
    for word in ("setCanaryScale", "setHeaderRoute", "setMirrorRoute", "dynamicStableScale", "rollbackWindow"):
        assert word in text
    kinds = {move.kind for history in drawn for move in history.moves}
    assert {"crash-at-write", "rival", "clock-jumps", "node-vanishes", "autoscaler", "gitops", "promote"} <= kinds
    assert len(kinds) >= 40


def test_a_history_goes_to_a_file_and_back(tmp_path: Path) -> None:
    history = history_of(3)
    file = tmp_path / "history.json"
    file.write_text(written_history(history))
    assert read_history(file) == history


def test_a_history_of_another_version_is_not_played_as_one_of_this() -> None:
    other = msgspec.structs.replace(history_of(1), version=VERSION - 1)
    with pytest.raises(AssertionError, match="version"):
        run_history(other)


def failing() -> Run:
    """Return the run of a history that fails for good: the steps name a router that there is none for."""
    history = history_of(1)
    strategy = {"canary": {"trafficRouting": {"plugins": {"example.com/none": {}}}, "steps": [{"setWeight": 10}]}}
    spec = {**history.spec, "replicas": 3, "minReadySeconds": 2, "strategy": strategy}
    moves = [Move(0.5, "scale", 2), Move(1.25, "image", "argoproj/rollouts-demo:red"), Move(3.0, "promote")]
    return run_history(History(seed=1, spec=spec, moves=tuple(moves)))


def test_a_failing_history_is_cut_down_to_what_breaks_the_same_promise() -> None:
    run = failing()
    assert run.failure
    smallest = shrink(run)
    assert smallest.broken == run.broken
    assert len(smallest.history.moves) == 0
    assert len(written_history(smallest.history)) < len(written_history(run.history))
    again = run_history(read_again(smallest.history))
    assert again.failure == smallest.failure


def read_again(history: History) -> History:
    return msgspec.json.decode(written_history(history), type=History)


def test_a_story_names_the_seed_the_version_and_how_to_see_it_again() -> None:
    story = failing().story()
    assert story.startswith(f"seed 1 (version {VERSION}): ")
    assert "--seeds 1 --start 1" in story
    assert "--shrink 1" in story
    assert "last writes:" in story
