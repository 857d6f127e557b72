from collections.abc import Callable

import click
import pytest

from prograde.cli.flags import connection_flags, connection_of, connection_options
from prograde.cli.framework import CliError, Entry, KubectlGroup, command, run
from prograde.cli.main import COMMANDS, root_group

Run = Callable[..., tuple[int, str, str]]


@command("foo", usage="SOMETHING [flags]", text="Does foo.", aliases=("f", "fo"), examples="# Foo\nroot foo x")
@click.argument("something")
@click.option("--count", type=int, default=3, help="how often")
@connection_flags
@click.pass_context
def foo(ctx: click.Context, *, something: str, count: int) -> None:
    if something == "fail":
        raise CliError("it failed")
    click.echo(f"{something} {count} {connection_of(ctx).namespace}")


def make_root() -> KubectlGroup:
    entries = {"foo": Entry(f"{__name__}:foo", "Do foo", aliases=("f",)), "hidden": Entry("x:y", "", is_hidden=True)}
    return KubectlGroup(
        "root", entries, params=connection_options(), context_settings={"help_option_names": ["-h", "--help"]}
    )


@pytest.fixture
def run_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    group = make_root()
    # The command lives in this test module, which is not importable by name under every runner.
    monkeypatch.setattr(group, "get_command", lambda _, name: foo if name in ("foo", "f") else None)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(group, arguments, "root")
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_success_prints_to_stdout_only(run_it: Run) -> None:
    assert run_it("foo", "x") == (0, "x 3 \n", "")


def test_a_failure_is_one_line_on_stderr_and_exit_code_one(run_it: Run) -> None:
    assert run_it("foo", "fail") == (1, "", "Error: it failed\n")


@pytest.mark.parametrize(
    "arguments", [("-n", "shop", "foo", "x"), ("foo", "-n", "shop", "x"), ("foo", "x", "--namespace=shop")]
)
def test_connection_flags_stand_before_or_after_the_command(run_it: Run, arguments: tuple[str, ...]) -> None:
    assert run_it(*arguments) == (0, "x 3 shop\n", "")


@pytest.mark.parametrize("arguments", [("foo",), ("foo", "a", "b")])
def test_a_wrong_number_of_arguments_prints_the_usage_to_stderr(run_it: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run_it(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("Usage:\n  root foo SOMETHING [flags]\n\nAliases:\n  foo, f, fo\n\nExamples:\n# Foo\n")
    assert "Error:" not in err


def test_a_group_without_command_prints_its_usage_to_stderr(run_it: Run) -> None:
    code, out, err = run_it()
    assert (code, out) == (1, "")
    assert "Usage:\n  root COMMAND [flags]\n  root [command]\n" in err
    assert "Available Commands:\n  foo  Do foo\n" in err
    assert "hidden" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bar",), 'Error: unknown command "bar" for "root"\nRun \'root --help\' for usage.\n'),
        (("foo", "--nope"), "Error: unknown flag: --nope\n"),
        (("foo", "-z"), "Error: unknown shorthand flag: 'z' in -z\n"),
    ],
)
def test_unknown_words_are_named(run_it: Run, arguments: tuple[str, ...], message: str) -> None:
    assert run_it(*arguments) == (1, "", message)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_goes_to_stdout_with_all_blocks_in_order(run_it: Run, flag: str) -> None:
    code, out, err = run_it("foo", flag)
    assert (code, err) == (0, "")
    positions = [
        out.index(block) for block in ("Does foo.", "Usage:", "Aliases:", "Examples:", "Flags:", "Global Flags:")
    ]
    assert positions == sorted(positions)
    assert "      --count int   how often (default 3)\n" in out
    assert "  -h, --help        help for foo\n" in out
    assert "  -n, --namespace string" in out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_of_the_table_can_be_loaded(name: str) -> None:
    root = root_group("prograde")
    loaded = root.get_command(click.Context(root), name)
    assert loaded is not None
    assert loaded.name == name
