"""Commands on Rollouts that refer to another workload, and the documented way from a Deployment and back."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.live import Cluster, cluster_with_controller, environment, rollout, steady, until

pytestmark = pytest.mark.cluster

MIGRATION = Path(__file__).parents[2] / "docs" / "migration.md"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_with_controller(tmp_path_factory.mktemp("cluster")) as made:
        yield made


def workload(kind: str, name: str, image: str = "web:1") -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}}
    head = {"apiVersion": "v1" if kind == "PodTemplate" else "apps/v1", "kind": kind, "metadata": {"name": name}}
    if kind == "PodTemplate":
        return {**head, "template": template}
    return {**head, "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}}


def referring(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    made = rollout(name, {"canary": {}}, **spec)
    del made["spec"]["template"]
    reference = {"apiVersion": "v1" if kind == "PodTemplate" else "apps/v1", "kind": kind, "name": name}
    return {**made, "spec": {**made["spec"], "workloadRef": reference}}


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "PodTemplate"])
def test_set_image_undo_and_status_follow_the_reference(cluster: Cluster, kind: str) -> None:
    name, run = kind.lower(), cluster.prograde
    cluster.apply(workload(kind, name), referring(kind, name))
    assert run("status", name, "-t", "30s").out.endswith("Healthy\n")
    assert run("set", "image", name, "web=web:2") == (0, f'{name} "{name}" image updated\n', "")
    # Nobody has to wait in between: a change that the controller has not seen yet is no health.
    assert run("status", name, "-t", "30s").out.endswith("Healthy\n")
    assert [each["image"] for each in cluster.view(name)["images"]] == ["web:2"]
    assert run("undo", name) == (0, f"rollout '{name}' undo\n", "")
    assert run("status", name, "-t", "30s").code == 0
    assert [each["image"] for each in cluster.view(name)["images"]] == ["web:1"]
    # Without a template of its own there is nothing to compare with: undo writes what is there already.
    assert run("undo", name, "--to-revision", "3") == (0, f"rollout '{name}' undo\n", "")
    ended = run("undo", name, "--to-revision", "9")
    assert (ended.code, ended.err) == (1, "Error: unable to find specified revision 9 in history\n")
    ended = run("set", "image", name, "db=web:3")
    assert (ended.code, ended.err) == (1, 'Error: unable to find container named "db"\n')


def test_restart_and_get_work_as_ever(cluster: Cluster) -> None:
    cluster.apply(workload("Deployment", "shown"), referring("Deployment", "shown"))
    assert cluster.prograde("status", "shown", "-t", "30s").code == 0
    tree = cluster.prograde("get", "rollout", "shown")
    assert "Images:  web:1 (stable)" in steady(tree.out)
    before = {each["name"] for each in cluster.view("shown")["replicaSets"][0]["pods"]}
    # A pod of the very second in which a restart is asked for is as young as the restart.
    assert cluster.prograde("restart", "shown", "--in", "2s") == (0, "rollout 'shown' restarts in 2s\n", "")
    until(
        lambda: not before & {each["name"] for each in cluster.view("shown")["replicaSets"][0]["pods"]},
        "all pods are restarted",
    )


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"kind": "StatefulSet", "name": "x"}, "workload of type StatefulSet is not supported"),
        ({"kind": "Deployment", "name": "missing"}, 'deployments.apps "missing" not found'),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error(cluster: Cluster, reference: dict[str, str], message: str) -> None:
    made = referring("Deployment", "lost")
    cluster.apply({**made, "spec": {**made["spec"], "workloadRef": {"apiVersion": "apps/v1", **reference}}})
    ended = cluster.prograde("set", "image", "lost", "web=web:2")
    assert (ended.code, ended.out) == (1, "")
    assert message in ended.err
    cluster.wait_for("lost", "Degraded")
    cluster.kubectl("delete", "rollout", "lost")


def test_recreate_is_shown_by_its_name_and_its_versions_by_their_roles(cluster: Cluster) -> None:
    cluster.apply(rollout("solo", {"recreate": {}}))
    run = cluster.prograde
    assert run("status", "solo", "-t", "30s").code == 0
    assert run("set", "image", "solo", "web=web:never-ready").code == 0
    cluster.wait_for("solo", "Progressing", lambda view: view["updated"] == 2)
    text = steady(run("get", "rollout", "solo").out)
    assert "Strategy:  Recreate" in text
    assert "Images:  web:never-ready (new)" in text
    assert "SetWeight" not in text
    assert re.search(r"^solo +Recreate +Progressing", run("list", "rollouts").out, re.MULTILINE)
    assert run("promote", "solo", "--full") == (0, "rollout 'solo' fully promoted\n", "")
    assert run("abort", "solo") == (0, "rollout 'solo' aborted\n", "")
    cluster.wait_for("solo", "Degraded", lambda view: view["available"] == 2)
    assert "Images:  web:1 (stable)" in steady(run("get", "rollout", "solo").out)
    assert run("undo", "solo").code == 0
    assert run("status", "solo", "-t", "30s").out.endswith("Healthy\n")


def console_commands(text: str) -> list[str]:
    """Return the commands behind the prompts of a page, each with the lines of its here-document."""
    found: list[str] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        is_open = False
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(line[2:])
                is_open = "<<YAML" in line
            elif is_open:
                found[-1] += f"\n{line}"
                is_open = line != "YAML"
    return found


def test_the_documented_way_there_and_back_works_as_written(cluster: Cluster) -> None:
    commands = console_commands(MIGRATION.read_text())
    assert len(commands) > 10
    for each in commands:
        ended = subprocess.run(
            ["bash", "-ec", each],
            env=environment(cluster.kubeconfig),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, f"{each}\n{ended.stdout}\n{ended.stderr}"
        if each == "prograde status web":
            assert ended.stdout.endswith("Healthy\n")
    assert cluster.kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}") == "3"
    assert cluster.kubectl("get", "rollouts", "web", "--ignore-not-found") == ""


def test_the_documented_parting_from_a_deployment_starts_no_revision(cluster: Cluster) -> None:
    cluster.apply(workload("Deployment", "web"), {**referring("Deployment", "web")})
    assert cluster.prograde("status", "web", "-t", "30s").code == 0
    pods = {each["name"] for each in cluster.view("web")["replicaSets"][0]["pods"]}
    (script,) = re.findall(r"```sh\n(.*?)```", MIGRATION.read_text(), re.DOTALL)
    ended = subprocess.run(
        ["bash", "-ec", script], env=environment(cluster.kubeconfig), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    until(
        lambda: "workload-generation" not in cluster.kubectl("get", "rollout", "web", "-o", "yaml"),
        "the reference is forgotten",
    )
    assert cluster.prograde("status", "web", "-t", "30s").out.endswith("Healthy\n")
    (only,) = cluster.view("web")["replicaSets"]
    assert {each["name"] for each in only["pods"]} == pods
