"""What commands do over time: argument vectors, the mini shell, and scripts it cannot follow."""

from datetime import UTC, datetime

import pytest

from prograde.sandbox.kubelet.program import FOREVER, Program, parse_seconds
from prograde.sandbox.kubelet.shell import program_of

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def run(*argv: str, **environment: str) -> Program:
    return program_of(argv, environment, STARTED)


def script(text: str, **environment: str) -> Program:
    return run("sh", "-c", text, **environment)


def printed(program: Program) -> str:
    return "".join(text for _, text in program.output)


@pytest.mark.parametrize(
    ("argv", "exit_after", "code"),
    [
        pytest.param(["true"], 0, 0, id="true"),
        pytest.param(["false"], 0, 1, id="false"),
        pytest.param(["sleep", "3"], 3, 0, id="sleep"),
        pytest.param(["sleep", "2m"], 120, 0, id="sleep minutes"),
        pytest.param(["sleep", "1", "2"], 3, 0, id="sleep adds up"),
        pytest.param(["sleep", "infinity"], None, 0, id="sleep infinity"),
        pytest.param(["sleep", "1e99"], 0, 1, id="sleep wants plain numbers"),
        pytest.param(["sleep", "9" * 30], None, 0, id="sleep longer than any calendar"),
        pytest.param(["sleep"], 0, 1, id="sleep without a number"),
        pytest.param(["echo", "hi"], 0, 0, id="echo"),
        pytest.param(["test", "a", "=", "b"], 0, 1, id="test"),
        pytest.param(["[", "1", "-lt", "2", "]"], 0, 0, id="bracket"),
        pytest.param(["[", "1", "-lt", "2"], 0, 2, id="bracket that is not closed"),
        pytest.param(["/bin/sleep", "3"], 3, 0, id="a path in a standard directory"),
        pytest.param(["curl", "http://example"], 0, 0, id="clients succeed"),
        pytest.param(["cat", "/etc/hosts"], 0, 0, id="cat succeeds"),
        pytest.param([], None, 0, id="no command is a server"),
        pytest.param(["nginx", "-g", "daemon off;"], None, 0, id="other names are servers"),
        pytest.param(["/app/server"], None, 0, id="a program in a directory is a server"),
        pytest.param(["sh"], 0, 0, id="a shell without input ends"),
        pytest.param(["sh", "/entrypoint.sh"], None, 0, id="a script file is a server"),
        pytest.param(["sh", "-c", "-x", "sleep 1 && exit 3"], 1, 3, id="flags may follow -c"),
        pytest.param(["sh", "-xc", "exit 3"], 0, 3, id="flags together"),
        pytest.param(["bash", "-eu", "-o", "pipefail", "-c", "exit 4"], 0, 4, id="bash with options"),
        pytest.param(["sh", "-c", "exit $1", "sh", "7"], 0, 7, id="positional parameters"),
    ],
)
def test_argument_vectors(argv: list[str], exit_after: float | None, code: int) -> None:
    program = run(*argv)
    assert (program.exit_after_seconds, program.exit_code, program.start_error) == (exit_after, code, "")


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["/bad-command"], 'exec: "/bad-command": stat /bad-command: no such file or directory'),
        (["/usr/bin/does-not-exist"], "stat /usr/bin/does-not-exist: no such file or directory"),
        (["/unheard-of"], "stat /unheard-of: no such file or directory"),
        (["exit", "1"], 'exec: "exit": executable file not found in $PATH'),
        (["set", "-e"], 'exec: "set": executable file not found in $PATH'),
        ([""], "executable file not found in $PATH"),
    ],
)
def test_what_cannot_be_started(argv: list[str], why: str) -> None:
    assert why in run(*argv).start_error


@pytest.mark.parametrize(
    ("text", "exit_after", "code", "output"),
    [
        pytest.param("echo a; echo b", 0, 0, "a\nb\n", id="semicolon"),
        pytest.param("echo a\n\n# remark\necho b # more", 0, 0, "a\nb\n", id="lines and comments"),
        pytest.param("false && echo a; true && echo b", 0, 0, "b\n", id="and"),
        pytest.param("false || echo a; true || echo b", 0, 0, "a\n", id="or"),
        pytest.param("false && echo a || echo b", 0, 0, "b\n", id="and then or"),
        pytest.param("! false && echo yes", 0, 0, "yes\n", id="negation"),
        pytest.param("sleep 5; exit 3", 5, 3, "", id="sleep then exit"),
        pytest.param("false; exit", 0, 1, "", id="exit keeps the last code"),
        pytest.param("exit 256", 0, 0, "", id="exit codes wrap"),
        pytest.param("nothing-like-this", 0, 127, "sh: nothing-like-this: not found\n", id="unknown command"),
        pytest.param("set -e; false; echo no", 0, 1, "", id="set -e stops"),
        pytest.param("set -e; false || true; echo yes", 0, 0, "yes\n", id="set -e spares conditions"),
        pytest.param("set -e; if false; then :; fi; echo yes", 0, 0, "yes\n", id="set -e spares if"),
        pytest.param("set -e; set +e; false; echo yes", 0, 0, "yes\n", id="set +e"),
        pytest.param("set -eo pipefail; echo yes", 0, 0, "yes\n", id="set -o"),
        pytest.param("set -x; echo a", 0, 0, "+ echo a\na\n", id="set -x traces"),
        pytest.param("A=1; echo $A ${A}b ${B:-none}", 0, 0, "1 1b none\n", id="variables"),
        pytest.param("A='x  y'; echo $A \"$A\"", 0, 0, "x y x  y\n", id="splitting and quoting"),
        pytest.param("echo '$A' \"\\$A\" \\$A", 0, 0, "$A $A $A\n", id="quoted dollars"),
        pytest.param("echo $(echo a b) \"$(printf '%s-%s' 1 2)\"", 0, 0, "a b 1-2\n", id="command substitution"),
        pytest.param("false; echo $?", 0, 0, "1\n", id="last code"),
        pytest.param("echo $((2 + 3 * (4 - 1) % 5))", 0, 0, "6\n", id="arithmetic"),
        pytest.param("echo -n a; echo -e 'b\\tc'", 0, 0, "ab\tc\n", id="echo flags"),
        pytest.param("echo a > /dev/null; echo b >&2; echo c 2>/dev/null", 0, 0, "b\nc\n", id="redirections"),
        pytest.param("echo a | cat; echo b | grep b; echo c", 0, 0, "a\nsh: grep: not found\nc\n", id="pipes"),
        pytest.param("if [ -f /x ]; then echo y; else echo n; fi", 0, 0, "y\n", id="if: every file exists"),
        pytest.param("if false; then echo a; elif true; then echo b; else echo c; fi", 0, 0, "b\n", id="elif"),
        pytest.param("for i in 1 2 3; do echo $i; sleep 1; done", 3, 0, "1\n2\n3\n", id="for"),
        pytest.param("i=0; while [ $i -lt 3 ]; do i=$((i+1)); sleep 2; done; echo $i", 6, 0, "3\n", id="while"),
        pytest.param("i=0; until [ $i -eq 2 ]; do i=$((i+1)); done; echo $i", 0, 0, "2\n", id="until"),
        pytest.param("for i in 1 2 3; do [ $i = 2 ] && break; echo $i; done", 0, 0, "1\n", id="break"),
        pytest.param("for i in 1 2 3; do [ $i = 2 ] && continue; echo $i; done", 0, 0, "1\n3\n", id="continue"),
        pytest.param("{ echo a; (echo b); }", 0, 0, "a\nb\n", id="groups"),
        pytest.param("sleep 5 & echo a; wait; exit 7", 5, 7, "a\n", id="background and wait"),
        pytest.param("echo $POD", 0, 0, "web-1\n", id="environment"),
        pytest.param("export A=1; env | cat; echo $A", 0, 0, "POD=web-1\nA=1\n1\n", id="export and env"),
        pytest.param("date", 0, 0, "Thu Jan  1 00:00:00 UTC 2026\n", id="date"),
        pytest.param("sleep 60; date", 60, 0, "Thu Jan  1 00:01:00 UTC 2026\n", id="date moves on"),
        pytest.param("exec sh -c 'exit 9'; echo no", 0, 9, "", id="exec"),
        pytest.param("timeout 5 true; touch /x; rm -f /x; mkdir -p /y", 0, 0, "", id="silent commands"),
        pytest.param("trap 'exit 0' TERM; sleep 1", 1, 0, "", id="trap"),
        pytest.param("echo a \\\n  b", 0, 0, "a b\n", id="line continuation"),
        pytest.param("", 0, 0, "", id="empty script"),
    ],
)
def test_scripts(text: str, exit_after: float, code: int, output: str) -> None:
    program = script(text, POD="web-1")
    assert (program.exit_after_seconds, program.exit_code, printed(program)) == (exit_after, code, output)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("echo 'a", "unterminated quoted string"),
        ('echo "a', "unterminated quoted string"),
        ("if true; then echo", 'unexpected end of file (expecting "fi")'),
        ("echo a; )", 'unexpected ")"'),
        ("&& true", 'unexpected "&&"'),
        ("cat <<EOF\nx\nEOF", "here-documents are not supported"),
        ("case a in a) ;; esac", '"case" is not supported'),
        ("echo $((1 / 0))", "division by zero"),
        ("echo $((1 +))", "arithmetic expression ends too early"),
        ("(" * 60, "nested too deeply"),
        ("x" * 70_000, "script longer than 65536 characters"),
    ],
)
def test_a_syntax_error_ends_with_code_2_and_says_so(text: str, complaint: str) -> None:
    program = script(text)
    assert (program.exit_after_seconds, program.exit_code) == (0, 2)
    assert printed(program) == f"sh: syntax error: {complaint}\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("while true; do echo x; sleep 1; done", id="a loop with sleep"),
        pytest.param("while :; do :; done", id="a busy loop"),
        pytest.param("until false; do true; done", id="an until loop"),
        pytest.param("echo up; nginx -g 'daemon off;'", id="a server at the end"),
        pytest.param("exec /app/server --port 80", id="exec of a server"),
        pytest.param("sleep infinity & wait", id="waiting for the endless"),
    ],
)
def test_scripts_without_end_run_for_ever(text: str) -> None:
    assert script(text).exit_after_seconds is None


def test_a_loop_is_heard_for_long_and_its_output_has_times() -> None:
    program = script("while true; do echo x; sleep 1; done")
    assert program.output[:3] == ((0, "x\n"), (1, "x\n"), (2, "x\n"))
    assert len(program.output) > 600


def test_a_trace_shows_every_command_before_its_output() -> None:
    assert printed(run("sh", "-c", "-x", "sleep 1 && exit 3")) == "+ sleep 1\n+ exit 3\n"


def test_only_sleeps_and_shells_are_deaf_as_first_process() -> None:
    assert run("sleep", "5").is_sleep_like
    assert script("sleep 5").is_sleep_like
    assert not FOREVER.is_sleep_like
    assert not run("nginx").is_sleep_like


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2), ("1.5s", 1.5), ("300ms", 0.3), ("1m30s", 90), ("2h", 7200), ("1d", 86400), (" 5s ", 5), (".5", 0.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 s", "s", "-1", "5x"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration such as 30s or 1m30s"):
        parse_seconds(text)
