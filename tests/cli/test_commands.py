"""`explain`, `plan` and `set image` from their words to their exit codes, against a cluster over HTTPS."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.inprocess import Served, served
from tests.cli.stuck import rollout, service

from prograde.sandbox.faults import Answer


@pytest.fixture(scope="module")
def cluster() -> Iterator[Served]:
    with served() as made:
        for name in ("cart", "shop"):
            manifest = rollout()
            manifest["metadata"]["name"] = name
            made.call(made.sandbox.apply, manifest)
        made.call(made.sandbox.apply, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        made.call(made.sandbox.apply, [rollout()], namespace="other")
        yield made


def write(folder: Path, *objects: dict[str, Any]) -> str:
    path = folder / "new.yaml"
    path.write_text("\n---\n".join(map(json.dumps, objects)))
    return str(path)


# ---- explain ------------------------------------------------------------------------------------------------------


def test_explaining_is_a_success_unless_the_exit_code_is_asked_for(
    cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster.command(capsys, "explain", "cart").code == 0
    assert cluster.command(capsys, "explain", "cart", "--exit-code").code == 2
    assert cluster.command(capsys, "explain", "nothing", "--exit-code").code == 1


def test_several_rollouts_are_explained_in_the_order_asked_for(
    cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    out = cluster.command(capsys, "explain", "shop", "cart").out
    heads = [block.splitlines()[0].split(" is ")[0] for block in out.split("\n\n")]
    assert heads == ["Rollout default/shop", "Rollout default/cart"]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--all", ["default/cart", "default/shop"]),
        ("-A", ["default/cart", "default/shop", "other/cart"]),
    ],
)
def test_all_rollouts_are_explained(
    cluster: Served, capsys: pytest.CaptureFixture[str], flag: str, expected: list[str]
) -> None:
    found = json.loads(cluster.command(capsys, "explain", flag, "-o", "json").out)
    assert [f"{each['namespace']}/{each['name']}" for each in found] == expected


def test_a_namespace_without_rollouts_has_nothing_to_explain(
    cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster.command(capsys, "explain", "--all", "-n", "kube-system") == (0, "", "No resources found.\n")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_structured_forms_say_the_same_as_the_text(
    cluster: Served, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    out = cluster.command(capsys, "explain", "cart", "-o", form).out
    found = json.loads(out) if form == "json" else yaml.safe_load(out)
    text = cluster.command(capsys, "explain", "cart").out
    assert (found["name"], found["namespace"]) == ("cart", "default")
    first = found["waits"][0]
    assert first.keys() == {"reason", "message", "object", "field", "since", "until", "remedy"}
    assert first["object"] in text
    assert found["controller"]["lease"] == "argo-rollouts-controller-lock"


@pytest.mark.parametrize("words", [("explain",), ("explain", "cart", "--all"), ("plan",)])
def test_a_wrong_number_of_names_shows_the_usage(
    cluster: Served, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    ended = cluster.command(capsys, *words)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Usage:\n  prograde ")


# ---- plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_with_writes_has_its_own_exit_code(
    cluster: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ended = cluster.command(capsys, "plan", "-f", write(tmp_path, rollout(image="web:2")))
    assert (ended.code, ended.err) == (2, "")
    assert "the next reconcile makes 3 writes:" in ended.out
    live = cluster.command(capsys, "plan", "cart")
    assert live.code == 2, "no controller has created the first ReplicaSet"


def test_a_plan_is_written_in_full_for_programs(
    cluster: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("plan", "-f", write(tmp_path, rollout(image="web:2")), "--until-quiet", "-o")
    (found,) = json.loads(cluster.command(capsys, *words, "json").out)
    assert yaml.safe_load(cluster.command(capsys, *words, "yaml").out)[0].keys() == found.keys()
    created = found["passes"][0]["writes"][0]
    assert created["verb"] == "create"
    assert created["body"]["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    assert {"field": "spec.replicas", "old": None, "new": 0} in created["changes"]
    assert len(found["passes"]) > 1


def test_an_invalid_rollout_is_an_error_after_its_plan(
    cluster: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    strategy = {"blueGreen": {"activeService": "active"}}
    manifest = rollout(strategy)
    manifest["metadata"]["name"] = "fresh"
    alone = cluster.command(capsys, "plan", "-f", write(tmp_path, manifest))
    assert alone.code == 1
    assert 'service "active" not found' in alone.err
    together = cluster.command(capsys, "plan", "-f", write(tmp_path, manifest, service("active")))
    assert (together.code, together.err) == (2, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "new.yaml:2: while parsing"),
        ("just text", "not an object of Kubernetes: kind is missing"),
        ("kind: Rollout", "Rollout: metadata.name is missing"),
        ("kind: ConfigMap\nmetadata: {name: x}", "there is no Rollout in the manifests"),
        (
            "kind: Rollout\nmetadata: {name: x, namespace: elsewhere}",
            "metadata.namespace is elsewhere, and --namespace asks for default",
        ),
    ],
)
def test_files_that_cannot_be_planned(
    cluster: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(text)
    ended = cluster.command(capsys, "plan", "-n", "default", "-f", str(path))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: ")
    assert expected in ended.err


def test_a_file_that_is_not_there(cluster: Served, capsys: pytest.CaptureFixture[str]) -> None:
    ended = cluster.command(capsys, "plan", "-f", "/nowhere/new.yaml")
    assert (ended.code, ended.err) == (1, "Error: [Errno 2] No such file or directory: '/nowhere/new.yaml'\n")


def test_directories_and_lists_are_read_whole(
    cluster: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = rollout({"blueGreen": {"activeService": "active"}})
    first["metadata"]["name"] = "fresh"
    listed = {"apiVersion": "v1", "kind": "List", "items": [first, service("unused")]}
    (tmp_path / "a.json").write_text(json.dumps(listed))
    (tmp_path / "b.yml").write_text(json.dumps(service("active")))
    (tmp_path / "README.md").write_text("a: [")
    ended = cluster.command(capsys, "plan", "-f", str(tmp_path))
    assert (ended.code, ended.err) == (2, "")
    assert "applied: Service active is new" in ended.out


def test_a_manifest_may_come_from_a_pipe(
    cluster: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(rollout(image="web:2")).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    ended = cluster.command(capsys, "plan", "-f", "-")
    assert (ended.code, ended.err) == (2, "")
    assert "~ spec.template.spec.containers[web].image: web:1 -> web:2" in ended.out


def test_several_rollouts_of_a_file_are_planned_one_after_the_other_or_one_by_name(
    cluster: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = rollout(image="web:2")
    other["metadata"]["name"] = "shop"
    path = write(tmp_path, rollout(image="web:2"), other)
    both = json.loads(cluster.command(capsys, "plan", "-f", path, "-o", "json").out)
    assert [each["name"] for each in both] == ["cart", "shop"]
    one = json.loads(cluster.command(capsys, "plan", "shop", "-f", path, "-o", "json").out)
    assert [each["name"] for each in one] == ["shop"]


# ---- set image ----------------------------------------------------------------------------------------------------


def test_an_image_is_set_although_others_write_meanwhile(cluster: Served, capsys: pytest.CaptureFixture[str]) -> None:
    fault = cluster.call(cluster.sandbox.faults.add, Answer(409), verbs="update", resource="rollouts", times=2)
    ended = cluster.command(capsys, "set", "image", "shop", "web=web:9")
    assert ended == (0, 'rollout "shop" image updated\n', "")
    assert fault.hits == 2
    stored = cluster.call(cluster.sandbox.get, "rollouts", "shop")
    assert stored["spec"]["template"]["spec"]["containers"][0]["image"] == "web:9"


def test_an_image_that_cannot_be_set_for_conflicts_is_an_error(
    cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = cluster.call(cluster.sandbox.faults.add, Answer(409), verbs="update", resource="rollouts")
    ended = cluster.command(capsys, "set", "image", "shop", "web=web:10")
    cluster.call(cluster.sandbox.faults.remove, fault)
    assert ended.code == 1
    assert "the object has been modified" in ended.err
    assert ended.err.count("\n") == 1


# ---- controller ---------------------------------------------------------------------------------------------------


def test_an_election_that_cannot_work_is_one_line_of_error(cluster: Served, capsys: pytest.CaptureFixture[str]) -> None:
    ports = ("--address", "127.0.0.1", "--metricsPort", "0", "--healthzPort", "0")
    ended = cluster.command(capsys, "controller", *ports, "--leader-election-lease-duration=5s")
    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert last == "Error: leader election: lease_duration 0:00:05 must exceed renew_deadline 0:00:10"
    assert "Traceback" not in ended.err
