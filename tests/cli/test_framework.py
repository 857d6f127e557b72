from collections.abc import Callable

import click
import pytest

from prograde.cli.flags import connection_flags, connection_of, connection_options
from prograde.cli.framework import CliError, Entry, KubectlGroup, command, flag, run
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


@command("bar", usage="NAME", text="Does bar.", renamed_flags={"--old": "--follow"})
@click.argument("name")
@flag("-f", "--follow", default=True, help="go on")
@flag("--dry", help="only look")
def bar(*, name: str, follow: bool, dry: bool) -> None:
    click.echo(f"{name} {follow} {dry}")


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("x",), "x True False\n"),
        (("-f", "x"), "x True False\n"),
        (("--follow", "x", "--dry"), "x True True\n"),
        (("--follow=false", "x", "--dry=true"), "x False True\n"),
        (("-f=F", "x", "--dry=0"), "x False False\n"),
        (("--follow=false", "--follow", "x"), "x True False\n"),
        (("--", "--dry=true"), "--dry=true True False\n"),
    ],
)
def test_a_boolean_flag_takes_a_value_only_behind_an_equals_sign(
    arguments: tuple[str, ...], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bar, arguments, "bar") == 0
    assert capsys.readouterr() == (printed, "")


def test_a_renamed_flag_works_and_says_what_it_is_called_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bar, ("x", "--old=false"), "bar") == 0
    notice = "Flag --old has been deprecated, use --follow instead\n"
    assert capsys.readouterr() == ("x False False\n", notice)


def test_the_usage_of_a_command_always_mentions_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bar, (), "bar") == 1
    assert capsys.readouterr().err.startswith("Usage:\n  bar NAME [flags]\n\nFlags:\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dry=perhaps", "x"), 'invalid argument "perhaps" for "--dry" flag: use true or false'),
        (("foo", "--count"), "unknown flag: --count"),
    ],
)
def test_wrong_flags_are_named(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bar, arguments, "bar") == 1
    assert capsys.readouterr() == ("", f"Error: {message}\n")


def test_a_flag_without_its_value_is_named(run_it: Run) -> None:
    assert run_it("foo", "x", "--count") == (1, "", "Error: flag needs an argument: --count\n")
    assert run_it("foo", "x", "-n") == (1, "", "Error: flag needs an argument: 'n' in -n\n")


def test_help_is_also_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root_group("prograde"), ("help", "get", "ro"), "prograde") == 0
    assert "Usage:\n  prograde get rollout ROLLOUT_NAME [flags]\n" in capsys.readouterr().out
    assert run(root_group("prograde"), ("help", "nothing"), "prograde") == 1
    assert capsys.readouterr().err == 'Error: unknown help topic "nothing"\n'
