"""Completion as shells and kubectl really ask for it, against a live cluster."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from tests.cli.live import Cluster, environment, rollout, sandbox

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with sandbox(tmp_path_factory.mktemp("completion")) as made:
        made.apply(rollout("idle"), rollout("steps"))
        yield made


def shell(cluster: Cluster, program: str, *flags: str) -> list[str]:
    """Run a script in a shell, if there is one; return the lines that it prints."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    ended = subprocess.run(
        [program, *flags], env=environment(cluster.kubeconfig), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


WORDS = [
    pytest.param("prograde get rollout idl", ["idle"], id="names"),
    pytest.param("prograde expl", ["explain"], id="commands"),
    pytest.param("prograde plan st", ["steps"], id="the first name"),
    pytest.param("prograde explain idle s", ["steps"], id="the second name"),
]


@pytest.mark.parametrize(("line", "expected"), WORDS)
def test_bash(cluster: Cluster, line: str, expected: list[str]) -> None:
    position = len(line.split()) - 1
    script = (
        f"source <(prograde completion bash); COMP_WORDS=({line}); COMP_CWORD={position}; __prograde_complete; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert shell(cluster, "bash", "-c", script) == expected


@pytest.mark.parametrize(("line", "expected"), WORDS)
def test_zsh(cluster: Cluster, line: str, expected: list[str]) -> None:
    # The two functions that the completion system would have defined.
    script = (
        'compdef() { : }; _describe() { for each in "${(@P)2}"; print -r -- "${each%%:*}" }; '
        f"source <(prograde completion zsh); words=({line}); CURRENT=${{#words}}; _prograde"
    )
    assert shell(cluster, "zsh", "-f", "-c", script) == expected


@pytest.mark.parametrize(("line", "expected"), WORDS)
def test_fish(cluster: Cluster, line: str, expected: list[str]) -> None:
    lines = shell(cluster, "fish", "--no-config", "-c", f"prograde completion fish | source; complete -C '{line}'")
    assert [each.split("\t")[0] for each in lines] == expected


@pytest.mark.parametrize(("line", "expected"), WORDS)
def test_powershell(cluster: Cluster, line: str, expected: list[str]) -> None:
    script = (
        "prograde completion powershell | Out-String | Invoke-Expression; "
        f"(TabExpansion2 '{line}' {len(line)}).CompletionMatches | ForEach-Object {{ $_.CompletionText }}"
    )
    assert shell(cluster, "pwsh", "-NoProfile", "-NonInteractive", "-Command", script) == expected


def test_kubectl_completes_the_plugin(cluster: Cluster) -> None:
    out = cluster.kubectl("__complete", "argo", "rollouts", "get", "rollout", "idl")
    assert out.splitlines() == ["idle", ":4"]
    commands = cluster.kubectl("__complete", "argo", "rollouts", "prom").splitlines()
    assert commands[0].split("\t") == ["promote", "Promote a rollout"]


def test_no_name_is_offered_twice_and_none_where_one_is_enough(cluster: Cluster) -> None:
    assert cluster.prograde("__complete", "explain", "idle", "").out == "steps\n:4\n"
    assert cluster.prograde("__complete", "abort", "idle", "steps", "").out == ":4\n"
    assert cluster.prograde("__complete", "plan", "idle", "").out == ":4\n"
