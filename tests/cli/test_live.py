"""Every command against a real API server with a real controller, each its own process."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.live import Cluster, cluster_with_controller, environment, rollout, steady, until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_with_controller(tmp_path_factory.mktemp("cluster")) as made:
        made.apply(rollout("idle"), rollout("steps"), rollout("restarted"))
        for name in ("idle", "steps", "restarted"):
            assert made.prograde("status", name, "-t", "30s").out.endswith("Healthy\n")
        yield made


def bash(cluster: Cluster, script: str) -> tuple[str, str]:
    ended = subprocess.run(
        ["bash", "-c", script], env=environment(cluster.kubeconfig), capture_output=True, text=True, check=False
    )
    return ended.stdout, ended.stderr


def explain(cluster: Cluster, name: str) -> str:
    ended = cluster.prograde("explain", name)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def test_a_canary_through_promote_undo_abort_and_retry(cluster: Cluster) -> None:
    run = cluster.prograde
    assert run("set", "image", "steps", "web=web:2") == (0, 'rollout "steps" image updated\n', "")
    cluster.wait_for("steps", "Paused")
    tree = run("get", "rollout", "steps")
    assert tree.err == ""
    assert (
        steady(tree.out)
        == """\
Name:  steps
Namespace:  default
Status:  ॥ Paused
Message:  CanaryPauseStep
Strategy:  Canary
  Step:  1/2
  SetWeight:  50
  ActualWeight:  50
Images:  web:1 (stable)
                 web:2 (canary)
Replicas:
  Desired:  2
  Current:  2
  Updated:  1
  Ready:  2
  Available:  2

NAME  KIND  STATUS  AGE  INFO
⟳ steps  Rollout  ॥ Paused  AGE
├──# revision:2
│  └──⧉ steps-HASH  ReplicaSet  ✔ Healthy  AGE  canary
│     └──□ steps-HASH-POD  Pod  ✔ Running  AGE  ready:1/1
└──# revision:1
   └──⧉ steps-HASH  ReplicaSet  ✔ Healthy  AGE  stable
      └──□ steps-HASH-POD  Pod  ✔ Running  AGE  ready:1/1
"""
    )
    assert run("status", "steps", "--watch=false") == (0, "Paused - CanaryPauseStep\n", "")
    timed_out = (1, "Paused - CanaryPauseStep\n", "Error: Rollout status watch exceeded timeout\n")
    assert run("status", "-w", "steps", "--timeout=1s") == timed_out
    assert "paused at step 2/2" in explain(cluster, "steps")
    assert cluster.plugin("promote", "steps") == (0, "rollout 'steps' promoted\n", "")
    ended = run("status", "steps", "-t", "30s")
    assert (ended.code, ended.err, ended.out.splitlines()[-1]) == (0, "", "Healthy")

    assert run("undo", "steps", "--to-revision=9").err == "Error: unable to find specified revision 9 in history\n"
    skipped = "skipped rollback (current template already matches revision 2)"
    assert run("undo", "steps", "--to-revision=2") == (0, skipped, "")
    assert run("undo", "steps") == (0, "rollout 'steps' undo\n", "")
    cluster.wait_for("steps", "Paused", lambda view: view["step"] == "1/2")
    assert run("abort", "steps") == (0, "rollout 'steps' aborted\n", "")
    cluster.wait_for("steps", "Degraded")
    message = "RolloutAborted: Rollout aborted update to revision 3"
    error = f"Error: The rollout is in a degraded state with message: {message}\n"
    assert run("status", "steps", "--watch=false") == (1, "Degraded\n", error)
    assert run("status", "steps") == (1, f"Degraded - {message}\n", error)
    assert "status.abort" in explain(cluster, "steps")
    assert run("retry", "ro", "steps") == (0, "rollout 'steps' retried\n", "")
    cluster.wait_for("steps", "Paused")
    assert run("promote", "steps", "--full") == (0, "rollout 'steps' fully promoted\n", "")
    assert run("status", "steps", "-t", "30s").code == 0
    assert run("promote", "steps", "--full") == (0, "rollout 'steps' fully promoted\n", "")


def test_a_list_shows_one_padded_line_a_rollout(cluster: Cluster) -> None:
    assert cluster.prograde("list", "rollouts", "--name", "idle") == (
        0,
        (
            "NAME        STRATEGY   STATUS        STEP  SET-WEIGHT  READY  DESIRED  UP-TO-DATE  AVAILABLE\n"
            "idle        Canary     Healthy       2/2   100         2/2    2        2           2        \n"
        ),
        "",
    )
    everywhere = cluster.prograde("list", "ro", "-A", "--timestamps").out
    assert everywhere.startswith("TIMESTAMP             NAMESPACE  NAME  ")
    as_json = json.loads(cluster.prograde("list", "ro", "--name=idle", "-o", "json").out)
    assert as_json[0]["STATUS"] == "Healthy"


@pytest.mark.parametrize("words", [("list", "ro", "-n", "kube-system"), ("list", "experiments")])
def test_an_empty_list_says_so_on_stderr(cluster: Cluster, words: tuple[str, ...]) -> None:
    assert cluster.prograde(*words) == (0, "", "No resources found.\n")


def test_a_restart_replaces_every_pod(cluster: Cluster) -> None:
    def pods() -> set[str]:
        view = cluster.view("restarted")
        return {pod["name"] for each in view["replicaSets"] for pod in each["pods"]}

    before = pods()
    assert cluster.prograde("restart", "restarted") == (0, "rollout 'restarted' restarts in 0s\n", "")
    cluster.wait_for("restarted", "Healthy", lambda view: view["restartedAt"] is not None)
    until(lambda: len(pods()) == 2, "two pods")
    assert len(before) == 2
    assert not before & pods()


def test_pausing_by_hand_holds_an_update_until_it_is_promoted(cluster: Cluster) -> None:
    cluster.apply(rollout("held", {"canary": {}}))
    cluster.prograde("status", "held", "-t", "30s")
    assert cluster.prograde("pause", "held", "no-such", "idle") == (
        1,
        "rollout 'held' paused\n",
        'Error: rollouts.argoproj.io "no-such" not found\n',
    )
    cluster.wait_for("held", "Paused")
    assert cluster.view("idle")["status"] == "Healthy", "the names after a failure are left alone"
    cluster.prograde("set", "image", "held", "*=web:2")
    assert cluster.prograde("status", "held", "--watch=false").out == "Paused - manually paused\n"
    assert "spec.paused" in explain(cluster, "held")
    assert cluster.prograde("promote", "held").out == "rollout 'held' promoted\n"
    assert cluster.prograde("status", "held", "-t", "30s").code == 0


def test_explain_names_what_a_rollout_waits_for(cluster: Cluster) -> None:
    unknown = {"canary": {"canaryService": "nowhere", "stableService": "nowhere-else"}}
    cluster.apply(
        rollout("broken", image="web:does-not-exist"),
        rollout("unserved", unknown),
        rollout("slow", minReadySeconds=300),
        rollout("invalid", {"canary": {"maxSurge": 0, "maxUnavailable": 0}}),
    )
    cluster.wait_for("unserved", "Degraded")
    cluster.wait_for("invalid", "Degraded")
    cluster.wait_for("slow", "Progressing", lambda view: view["ready"] == 2)
    assert "waits for nothing" in explain(cluster, "idle")
    assert "has 0 of 2 pods available" in explain(cluster, "broken")
    assert "nowhere" in explain(cluster, "unserved")
    assert "maxUnavailable" in explain(cluster, "invalid").replace("MaxUnavailable", "maxUnavailable")
    assert "0 of 2 pods available" in explain(cluster, "slow")
    waits = json.loads(cluster.prograde("explain", "slow", "-o", "json").out)
    assert waits["phase"] == "Progressing"
    assert waits["waits"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("get", "rollout", "x"), 'rollout.argoproj.io "x" not found'),
        (("get", "rollout", "x", "-w"), 'rollout.argoproj.io "x" not found'),
        (("get", "exp", "x", "-w"), 'experiment.argoproj.io "x" not found'),
        (("status", "x"), 'rollout.argoproj.io "x" not found'),
        (("explain", "idl"), 'rollout.argoproj.io "idl" not found in namespace default; did you mean idle?'),
        (("promote", "x"), 'rollouts.argoproj.io "x" not found'),
        (("abort", "x"), 'rollouts.argoproj.io "x" not found'),
        (("retry", "exp", "x"), 'experiments.argoproj.io "x" not found'),
        (("undo", "x"), 'rollouts.argoproj.io "x" not found'),
        (("set", "image", "x", "a=b"), 'rollouts.argoproj.io "x" not found'),
        (("set", "image", "idle", "a=b"), 'unable to find container named "a"'),
        (("restart", "idle", "-i5"), 'invalid argument "5" for "-i, --in" flag: time: missing unit in duration "5"'),
        (("promote", "idle", "-c", "-a"), "Cannot use skip-current-step and skip-all-steps flags at the same time"),
        (("list", "ro", "--token", "wrong"), "Unauthorized"),
    ],
)  # fmt: skip
def test_a_failure_is_one_line_on_stderr(cluster: Cluster, words: tuple[str, ...], message: str) -> None:
    ended = cluster.prograde(*words)
    assert (ended.code, ended.out, ended.err.splitlines()[-1]) == (1, "", f"Error: {message}")


def test_watching_a_rollout_prints_every_change_and_ends_on_a_signal_or_in_time(cluster: Cluster) -> None:
    ended = cluster.prograde("get", "rollout", "idle", "-w", "--timeout-seconds", "1")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Name:            idle\n"), "no screen is cleared where there is none"
    with cluster.beside("prograde", "get", "ro", "idle", "-w", log="get.log") as watch:
        cluster.wait_for_log("Name:", "get.log")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0


def test_what_is_created_can_be_watched_from_its_beginning(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "new.json"
    file.write_text(json.dumps(rollout("new")), encoding="utf-8")
    with cluster.beside("prograde", "create", "-w", "-f", str(file), log="create.log") as watch:
        cluster.wait_for_log("✔ Healthy", "create.log")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0
    assert cluster.log("create.log").startswith("rollout.argoproj.io/new created\nName:            new\n")


def test_a_run_that_was_created_from_a_template_is_measured_by_its_job(cluster: Cluster, tmp_path: Path) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": ["{{args.command}}"]}]}
    job = {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    template = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "smoke"},
        "spec": {"args": [{"name": "command"}], "metrics": [{"name": "m", "provider": {"job": job}}]},
    }
    cluster.apply(template)
    for command, phase in (("true", "Successful"), ("false", "Failed")):
        made = cluster.prograde("create", "ar", "--from", "smoke", "--name", command, "-a", f"command={command}")
        assert made == (0, f"analysisrun.argoproj.io/{command} created\n", "")
        cluster.kubectl("wait", f"analysisrun/{command}", f"--for=jsonpath={{.status.phase}}={phase}", "--timeout=30s")


def test_status_fails_when_interrupted_or_when_its_rollout_is_deleted(cluster: Cluster) -> None:
    cluster.apply(rollout("leaving", minReadySeconds=300))
    with cluster.beside("prograde", "status", "leaving", log="interrupted.log") as status:
        cluster.wait_for_log("Progressing", "interrupted.log")
        status.send_signal(signal.SIGTERM)
        assert status.wait(10) == 1
    assert cluster.log("interrupted.log").endswith("Error: Rollout status watch exceeded timeout\n")
    with cluster.beside("prograde", "status", "leaving", log="deleted.log") as status:
        cluster.wait_for_log("Progressing", "deleted.log")
        cluster.kubectl("delete", "rollout", "leaving")
        assert status.wait(10) == 1
    assert cluster.log("deleted.log").endswith('Error: rollout.argoproj.io "leaving" was deleted\n')


def test_a_watched_list_prints_a_line_whenever_one_changes(cluster: Cluster) -> None:
    with cluster.beside("prograde", "list", "ro", "-w", "--name", "changing", log="list.log") as watch:
        cluster.wait_for_log("NAME", "list.log")
        cluster.apply(rollout("changing"))
        until(lambda: "Healthy" in cluster.log("list.log"), "a healthy line")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0
    assert cluster.log("list.log").count("NAME") == 1, "the header comes once"


def test_a_reader_that_has_seen_enough_is_no_error(cluster: Cluster) -> None:
    # The command writes again after the reader has gone: at the latest when its watch ends.
    ended = bash(cluster, "prograde get rollout steps -w --timeout-seconds 2 | head -1")
    assert ended == ("Name:            steps\n", "")


def test_names_are_completed_from_the_cluster(cluster: Cluster) -> None:
    assert cluster.prograde("__complete", "get", "rollout", "idl") == (0, "idle\n:4\n", "")
    assert cluster.plugin("__complete", "promote", "idl") == (0, "idle\n:4\n", "")
    assert cluster.prograde("__complete", "-n", "kube-system", "status", "") == (0, ":4\n", "")
    assert cluster.prograde("__complete", "status", "--token=wrong", "") == (0, ":1\n", "")
    assert cluster.prograde("__complete", "status", "idle", "") == (0, ":4\n", "")


def test_bash_completes_with_the_generated_script(cluster: Cluster) -> None:
    script = (
        "source <(prograde completion bash); COMP_WORDS=(prograde get rollout idl); COMP_CWORD=3; "
        '__prograde_complete; echo "${COMPREPLY[@]}"; COMP_WORDS=(prograde prom); COMP_CWORD=1; '
        '__prograde_complete; echo "${COMPREPLY[@]}"'
    )
    assert bash(cluster, script) == ("idle\npromote\n", "")
