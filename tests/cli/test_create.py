"""Creating objects from files, AnalysisRuns from templates, and ending what runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.inprocess import Ended, Served, served

from prograde.api.manifests import dump_yaml
from prograde.cli.framework import run
from prograde.cli.main import root_group

METRIC = {"name": "m", "provider": {"web": {"url": "http://{{args.host}}", "jsonPath": "{$.x}"}}}


def template(name: str = "t", args: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    spec = {"metrics": [METRIC], **({"args": args} if args is not None else {}), **more.pop("spec", {})}
    kind = more.pop("kind", "AnalysisTemplate")
    metadata = {"name": name, **more.pop("metadata", {})}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, **more}


HOST = [{"name": "host"}, {"name": "port", "value": "80"}]


class Shell:
    def __init__(self, cluster: Served, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.cluster = cluster
        self._capsys = capsys
        self._folder = folder

    def __call__(self, *words: str) -> Ended:
        return self.cluster.command(self._capsys, *words)

    def file(self, body: dict[str, Any] | str, name: str = "x.yaml") -> str:
        path = self._folder / name
        path.write_text(body if isinstance(body, str) else dump_yaml(body), encoding="utf-8")
        return str(path)

    def apply(self, body: dict[str, Any]) -> None:
        self.cluster.call(self.cluster.sandbox.apply, body)

    def objects(self, resource: str) -> list[dict[str, Any]]:
        return self.cluster.call(self.cluster.sandbox.list, resource)

    def only_run(self) -> dict[str, Any]:
        (only,) = self.objects("analysisruns")
        return only


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Shell]:
    with served() as cluster:
        yield Shell(cluster, capsys, tmp_path)


PODS: dict[str, Any] = {
    "selector": {"matchLabels": {"app": "cart"}},
    "template": {"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}},
}
ROLLOUT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Rollout",
    "metadata": {"name": "cart"},
    "spec": {**PODS, "strategy": {"canary": {}}},
}
RUN = {**template("r"), "kind": "AnalysisRun"}
EXPERIMENT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "e"},
    "spec": {"templates": [{"name": "a", **PODS}]},
}


@pytest.mark.parametrize(
    ("body", "created"),
    [
        (ROLLOUT, "rollout.argoproj.io/cart"),
        (EXPERIMENT, "experiment.argoproj.io/e"),
        (RUN, "analysisrun.argoproj.io/r"),
        (template(), "analysistemplate.argoproj.io/t"),
        (template(kind="ClusterAnalysisTemplate"), "clusteranalysistemplate.argoproj.io/t"),
    ],
)
def test_each_kind_can_be_created_from_a_file(shell: Shell, body: dict[str, Any], created: str) -> None:
    assert shell("create", "-f", shell.file(body)) == (0, f"{created} created\n", "")


def test_several_files_are_created_and_of_each_the_first_document(shell: Shell) -> None:
    first = shell.file(f"{dump_yaml(template('a'))}\n---\n{dump_yaml(template('b'))}", "1.yaml")
    second = shell.file(json.dumps(template("c", metadata={"namespace": "default"})), "2.json")
    ended = shell("create", "-f", first, "-f", second)
    assert ended.out == "analysistemplate.argoproj.io/a created\nanalysistemplate.argoproj.io/c created\n"
    assert len(shell.objects("analysistemplates")) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"apiVersion": "apps/v1", "kind": "Deployment"}, "creates of apps/Deployment unsupported"),
        ({"apiVersion": "v1", "kind": "Service"}, "creates of /Service unsupported"),
        (template(spec={"metrix": []}), 'spec.metrix: unknown field "metrix"'),
        ("- 1", "no object in it"),
    ],
)
def test_what_cannot_be_created_is_an_error(shell: Shell, body: dict[str, Any] | str, message: str) -> None:
    ended = shell("create", "-f", shell.file(body))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: ")
    assert message in ended.err
    assert shell.objects("analysistemplates") == []


def test_a_file_is_needed_and_has_to_exist(shell: Shell) -> None:
    ended = shell("create")
    assert (ended.code, ended.out) == (1, "")
    assert "analysisrun" in ended.err
    assert "No such file" in shell("create", "-f", "/does/not/exist").err


def test_only_one_object_that_can_be_watched_is_watched(shell: Shell) -> None:
    file = shell.file(template())
    assert shell("create", "-w", "-f", file, "-f", file).err == "Error: Cannot watch multiple resources\n"
    ended = shell("create", "-w", "-f", file)
    assert ended.err == "Error: Can only watch resources of type Rollout or Experiment\n"
    assert shell.objects("analysistemplates") == []


# ---- AnalysisRuns ---------------------------------------------------------------------------------------------------


def test_a_run_is_made_of_a_template_with_its_labels_and_annotations(shell: Shell) -> None:
    shell.apply(template(args=HOST, metadata={"labels": {"a": "b"}, "annotations": {"c": "d"}}))
    ended = shell("create", "analysisrun", "--from", "t", "-a", "host=x=y", "--argument", "unknown=1")
    made = shell.only_run()
    name = made["metadata"]["name"]
    assert ended == (0, f"analysisrun.argoproj.io/{name} created\n", "")
    assert name.startswith("t-")
    assert made["metadata"]["labels"] == {"a": "b"}
    assert made["metadata"]["annotations"] == {"c": "d"}
    assert made["spec"]["args"] == [{"name": "host", "value": "x=y"}, {"name": "port", "value": "80"}]
    assert [metric["name"] for metric in made["spec"]["metrics"]] == ["m"]


def test_a_template_without_arguments_takes_all_that_are_given(shell: Shell) -> None:
    shell.apply(template())
    assert shell("create", "ar", "--from", "t", "-a", "host=x").code == 0
    assert shell.only_run()["spec"]["args"] == [{"name": "host", "value": "x"}]


def test_cluster_templates_are_looked_for_when_asked(shell: Shell) -> None:
    shell.apply(template(kind="ClusterAnalysisTemplate"))
    assert shell("create", "ar", "--from", "t").err == 'Error: analysistemplates.argoproj.io "t" not found\n'
    assert shell("create", "ar", "--global", "--from", "t").code == 0
    ended = shell("create", "ar", "--global", "--from", "x")
    assert ended.err == 'Error: clusteranalysistemplates.argoproj.io "x" not found\n'


@pytest.mark.parametrize("kind", ["AnalysisTemplate", "ClusterAnalysisTemplate"])
def test_a_template_can_come_from_a_file(shell: Shell, kind: str) -> None:
    file = shell.file(template(args=HOST, kind=kind))
    assert shell("create", "analysisrun", "--from-file", file).err == "Error: args.host was not resolved\n"
    assert shell("create", "analysisrun", "--from-file", file, "-a", "host=x").code == 0
    assert shell.only_run()["kind"] == "AnalysisRun"


def test_names_can_be_chosen(shell: Shell) -> None:
    shell.apply(template())
    ended = shell("create", "ar", "--from", "t", "--name", "mine")
    assert ended.out == "analysisrun.argoproj.io/mine created\n"
    assert shell("create", "ar", "--from", "t", "--generate-name", "gen-").out.startswith(
        "analysisrun.argoproj.io/gen-"
    )


def test_a_template_without_a_name_needs_one_for_the_run(shell: Shell) -> None:
    nameless = template()
    del nameless["metadata"]["name"]
    file = shell.file(nameless)
    assert shell("create", "ar", "--from-file", file).err == "Error: name is invalid\n"
    assert shell("create", "ar", "--from-file", file, "--name", "x").code == 0


def test_an_instance_id_replaces_the_labels(shell: Shell) -> None:
    shell.apply(template(metadata={"labels": {"a": "b"}}))
    assert shell("create", "ar", "--from", "t", "--instance-id", "blue").code == 0
    assert shell.only_run()["metadata"]["labels"] == {"argo-rollouts.argoproj.io/controller-instance-id": "blue"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one of --from or --from-file must be specified"),
        (("--from", "t", "--from-file", "x"), "one of --from or --from-file must be specified"),
        (("--from", "t", "-a", "host"), "arguments must be in the form NAME=VALUE"),
        (("--from", "t", "-a", "port=1"), "args.host was not resolved"),
    ],
)
def test_wrong_uses_are_errors(shell: Shell, words: tuple[str, ...], message: str) -> None:
    shell.apply(template(args=HOST))
    assert shell("create", "analysisrun", *words) == (1, "", f"Error: {message}\n")


def test_only_templates_make_runs(shell: Shell) -> None:
    ended = shell("create", "analysisrun", "--from-file", shell.file(ROLLOUT))
    assert ended.err == "Error: creates of argoproj.io/Rollout unsupported\n"


def test_templates_of_templates_are_put_together(shell: Shell) -> None:
    inner = template("inner", [{"name": "host"}])
    shell.apply(inner)
    outer = template("outer")
    outer["spec"] = {"metrics": [{**METRIC, "name": "own"}], "templates": [{"templateName": "inner"}]}
    shell.apply(outer)
    assert shell("create", "ar", "--from", "outer", "-a", "host=x").code == 0
    spec = shell.only_run()["spec"]
    assert [metric["name"] for metric in spec["metrics"]] == ["own", "m"]
    assert spec["args"] == [{"name": "host", "value": "x"}]


# ---- Ending ---------------------------------------------------------------------------------------------------------


def test_runs_and_experiments_are_terminated(shell: Shell) -> None:
    for name in ("r", "s"):
        shell.apply({**RUN, "metadata": {"name": name}})
    shell.apply(EXPERIMENT)
    ended = shell("terminate", "analysisrun", "r", "s", "gone")
    assert ended.out == "analysisRun 'r' terminated\nanalysisRun 's' terminated\n"
    assert ended.err == 'Error: analysisruns.argoproj.io "gone" not found\n'
    assert all(each["spec"]["terminate"] is True for each in shell.objects("analysisruns"))
    assert shell("terminate", "exp", "e") == (0, "experiment 'e' retried\n", "")
    assert shell.objects("experiments")[0]["spec"]["terminate"] is True


def test_what_to_terminate_has_to_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root_group("prograde"), ["terminate"], "prograde") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage:\n  prograde terminate <analysisrun|experiment> RESOURCE_NAME [flags]")
