"""The controller's flags; what happens behind them is proven where it happens."""

import json

import pytest
from tests.cli.live import command

pytestmark = pytest.mark.cluster

NO_CLUSTER = "Error: no kubeconfig found (tried /nowhere): set KUBECONFIG or use --kubeconfig"


def test_version_is_printed_without_a_cluster() -> None:
    ended = command("prograde", "controller", "--version")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("prograde controller: v")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--no-such-flag",), "Error: unknown flag: --no-such-flag"),
        (("--leader-elect=false",), NO_CLUSTER),
        (("--leader-elect=true", "--namespaced", "--aws-verify-target-group=false"), NO_CLUSTER),
        (("--leader-elect=maybe",), 'Error: invalid argument "maybe" for "--leader-elect" flag: use true or false'),
        (
            ("--metricsPort", "70000"),
            'Error: invalid argument for "--metricsPort" flag: 70000 is not in the range 0<=x<=65535',
        ),
        (("--rollout-threads=0",), 'Error: invalid argument for "--rollout-threads" flag: 0 is not in the range x>=1'),
        (("--loglevel", "loud"), 'Error: not a valid logrus Level: "loud"'),
        (("--controllers", "everything"), "Error: unsupported controller: everything"),
        (
            ("--controllers=analysis",),
            "Error: --controllers: the AnalysisRun controller is not part of this version yet",
        ),
        (("--logformat", "xml"), NO_CLUSTER),
    ],
)  # fmt: skip
def test_flags_are_checked_before_anything_happens(words: tuple[str, ...], message: str) -> None:
    ended = command("prograde", "controller", *words)
    assert (ended.code, ended.out, ended.err.splitlines()[-1]) == (1, "", message)


@pytest.mark.parametrize(
    ("words", "notice"),
    [
        (("--metricsport=1",), "Flag --metricsport has been deprecated, use --metricsPort instead"),
        (
            ("--alb-verify-weight",),
            "Flag --alb-verify-weight has been deprecated, use --aws-verify-target-group instead",
        ),
    ],
)  # fmt: skip
def test_flags_without_effect_or_future_say_so(words: tuple[str, ...], notice: str) -> None:
    ended = command("prograde", "controller", *words)
    assert ended.err.splitlines()[0] == notice
    assert ended.err.splitlines()[-1] == NO_CLUSTER


def test_a_flag_without_effect_is_named_in_the_log() -> None:
    ended = command("prograde", "controller", "--traefik-api-group", "x", "--logformat", "json")
    line = json.loads(ended.err.splitlines()[0])
    assert line["level"] == "warning"
    assert line["msg"] == "Flag --traefik-api-group has no effect: what it configures is not part of this version yet"


def test_a_server_that_is_not_there_is_named() -> None:
    ended = command("prograde", "list", "rollouts", "-s", "http://127.0.0.1:1", "--kubeconfig", "/dev/null")
    assert (ended.code, ended.out) == (1, "")
    assert (
        ended.err
        == "Error: list rollouts.argoproj.io default: cannot connect to http://127.0.0.1:1: Connection refused\n"
    )


def test_the_plugin_shows_the_name_that_kubectl_users_type() -> None:
    ended = command("kubectl", "argo", "rollouts", "promote", "--help")
    assert "Usage:\n  kubectl-argo-rollouts promote ROLLOUT_NAME [flags]\n" in ended.out
    assert "kubectl argo rollouts promote guestbook --full" in ended.out
    assert command("kubectl", "argo", "rollouts", "version", "--short").out.startswith("kubectl-argo-rollouts: v")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts_ask_the_program_itself(shell: str) -> None:
    ended = command("kubectl-argo-rollouts", "completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert "kubectl-argo-rollouts" in ended.out
    assert "__complete" in ended.out
