import re
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.dashboard.objects import analysis_run, experiment, owner, pod, replica_set, rollout

from prograde.cli.tree import experiment_text, rollout_text
from prograde.dashboard.views import experiment_view, rollout_view

NOW = datetime(2026, 1, 1, 0, 2, tzinfo=UTC)
STEPS = {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}}


def text_of(subject: Any, *, colour: bool = False, **children: Any) -> str:
    text = rollout_text(rollout_view(subject, **children), NOW, colour=colour)
    return "\n".join(line.rstrip() for line in text.split("\n"))


def test_a_canary_in_full() -> None:
    status = {
        "phase": "Paused",
        "message": "CanaryPauseStep",
        "currentStepIndex": 1,
        "stableRS": "aaa",
        "currentPodHash": "bbb",
        "replicas": 2,
        "updatedReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    job = {"phase": "Successful", "startedAt": "2026-01-01T00:01:00Z", "metadata": {"job-name": "0b1c.smoke.1"}}
    results = [{"name": "m", "phase": "Running", "successful": 3, "failed": 1, "measurements": [job]}]
    text = text_of(
        rollout(STEPS, status=status, replicas=2),
        replica_sets=[
            replica_set("shop-aaa", 1, "aaa", annotations={"scale-down-deadline": "2026-01-01T00:02:25Z"}),
            replica_set("shop-bbb", 2, "bbb"),
        ],
        pods=[
            pod("shop-bbb-x1", "shop-bbb", {"phase": "Running", "containerStatuses": [
                {"name": "c", "ready": True, "restartCount": 2, "state": {"running": {}}}]}),
        ],
        experiments=[experiment("shop-bbb-2-0", 2, "Running")],
        analysis_runs=[analysis_run("shop-bbb-2-1", 2, "Running", results)],
    )  # fmt: skip
    assert (
        text
        == """\
Name:            shop
Namespace:       web
Status:          ॥ Paused
Message:         CanaryPauseStep
Strategy:        Canary
  Step:          1/2
  SetWeight:     20
  ActualWeight:  50
Images:          img:shop-aaa (stable)
                 img:shop-bbb (canary)
Replicas:
  Desired:       2
  Current:       2
  Updated:       1
  Ready:         2
  Available:     2

NAME                     KIND         STATUS        AGE  INFO
⟳ shop                   Rollout      ॥ Paused      2m
├──# revision:2
│  ├──⧉ shop-bbb         ReplicaSet   ✔ Healthy     2m   canary
│  │  └──□ shop-bbb-x1   Pod          ✔ Running     2m   ready:1/1,restarts:2
│  ├──Σ shop-bbb-2-0     Experiment   ◌ Running     2m
│  └──α shop-bbb-2-1     AnalysisRun  ◌ Running     2m   ✔ 3,✖ 1
│     └──⊞ 0b1c.smoke.1  Job          ✔ Successful  60s
└──# revision:1
   └──⧉ shop-aaa         ReplicaSet   ✔ Healthy     2m   stable,delay:25s
"""
    )


def test_an_invalid_rollout_without_replica_sets_has_an_empty_step_and_no_images() -> None:
    condition = {"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": "broken"}
    text = text_of(rollout(STEPS, status={"conditions": [condition]}))
    assert "Status:          ✖ Degraded\nMessage:         InvalidSpec: broken\n" in text
    assert "  Step:\n  SetWeight:     100\n  ActualWeight:  100\nReplicas:" in text
    assert "Images:" not in text


def test_blue_green_has_no_weights() -> None:
    text = text_of(rollout({"blueGreen": {"activeService": "a"}}))
    assert "Strategy:        BlueGreen\nReplicas:" in text


@pytest.mark.parametrize(
    ("deadline", "info"),
    [
        ("2026-01-01T00:02:25Z", "delay:25s"),
        ("2026-01-01T00:01:00Z", "delay:passed"),
        ("soon", "delay:"),
        ("2026-01-01T04:02:00Z", "delay:4h"),
    ],
)
def test_a_scale_down_deadline_shows_the_time_that_is_left(deadline: str, info: str) -> None:
    text = text_of(rollout(), replica_sets=[replica_set("a", 1, annotations={"scale-down-deadline": deadline})])
    assert re.search(rf"  {re.escape(info)}$", text, re.MULTILINE)


def test_colour_wraps_cells_and_changes_nothing_else() -> None:
    status = {"phase": "Healthy", "stableRS": "aaa", "currentPodHash": "aaa"}
    sets = [replica_set("shop-aaa", 1, "aaa")]
    plain = text_of(rollout(status=status), replica_sets=sets)
    coloured = text_of(rollout(status=status), replica_sets=sets, colour=True)
    assert "\x1b[32m✔\x1b[0m Healthy" in coloured
    assert "(\x1b[32mstable\x1b[0m)" in coloured
    assert "⧉ \x1b[32mshop-aaa\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_an_experiment_is_the_root_of_its_own_tree() -> None:
    of = replica_set(
        "exp-base", 1, image="web:1",
        annotations={"experiment.argoproj.io/template-name": "base"},
        owner=owner("Experiment", "exp", "uid-exp"),
    )  # fmt: skip
    view = experiment_view(experiment("exp", 1, "Running"), replica_sets=[of], pods=[pod("p", "exp-base")])
    lines = [line.rstrip() for line in experiment_text(view, NOW, colour=False).splitlines()]
    assert lines == [
        "Name:            exp",
        "Namespace:       web",
        "Status:          ◌ Running",
        "Images:          web:1 (Σ:base)",
        "",
        "NAME           KIND        STATUS     AGE  INFO",
        "Σ exp          Experiment  ◌ Running  2m",
        "└──⧉ exp-base  ReplicaSet  ✔ Healthy  2m",
        "   └──□ p      Pod         ✔ Running  2m   ready:1/1",
    ]
