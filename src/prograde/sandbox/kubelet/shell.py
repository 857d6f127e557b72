"""What a container's command does over time, worked out in advance.

`program_of` turns an argument vector into a `Program`: what is printed when, and after how many seconds the process
exits with which code. Nothing is executed. Shell scripts are interpreted by a mini shell on a clock of its own:
`sleep` moves that clock, and what follows happens later. A script without end is followed for so many commands, and
from then on the program runs silently for ever.

Which first words are understood:

    nothing                        the image's own program: a server
    sh, bash, ash with -c          the mini shell
    sleep, echo, true, test, ...   the same built-ins, without a shell
    exit, cd, set, ...             exist only inside shells: the container cannot start
    curl, wget, wrk, nc            succeed and print a line
    a path that no image has       the container cannot start
    anything else                  a server: runs for ever
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from prograde.sandbox.kubelet.program import FOREVER, Program
from prograde.sandbox.kubelet.shell_interpreter import SHELLS, Shell

__all__ = ["program_of"]

_SHELL_ONLY = frozenset({":", ".", "break", "cd", "continue", "eval", "exec", "exit", "export", "read", "return", "set",
                         "shift", "source", "trap", "unset", "wait"})  # fmt: skip

_BAD_PATH = re.compile(r"bad|no-such|nonexist|does-not-exist|missing|invalid", re.IGNORECASE)
_GOOD_PATH = re.compile(r"/[^/]+/.+|/(?:app|main|manager|run|server|start|[\w.-]*entrypoint|[\w.-]+\.sh|rollouts-demo)")
"""Absolute paths that an image may well have: anything in a directory, and usual names in the root."""


def program_of(argv: Sequence[str], environment: Mapping[str, str], started_at: datetime) -> Program:
    """Return what a process with these arguments does; `started_at` is only read by `date`."""
    if not argv:
        return FOREVER
    executable = argv[0]
    if executable.startswith("/") and (_BAD_PATH.search(executable) or not _GOOD_PATH.fullmatch(executable)):
        return Program(start_error=_start_error(executable, f"stat {executable}: no such file or directory"))
    name = executable.rpartition("/")[2]
    if name in _SHELL_ONLY or not name:
        return Program(start_error=_start_error(executable, "executable file not found in $PATH"))
    shell = Shell(environment, started_at)
    if name in SHELLS:
        return _shell_program(shell, argv[1:])
    return shell.run_to_end(lambda: shell.execute([name, *argv[1:]], is_first_process=True), name == "sleep")


def _start_error(executable: str, why: str) -> str:
    return (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        f'runc create failed: unable to start container process: exec: "{executable}": {why}: unknown'
    )


def _shell_program(shell: Shell, arguments: Sequence[str]) -> Program:
    """Run ``sh [flags] -c [flags] SCRIPT [name arguments...]``."""
    flags, rest = "", list(arguments)
    while rest and rest[0][:1] in "-+" and len(rest[0]) > 1:
        flag = rest.pop(0)
        if flag == "--":
            break
        flags += flag[1:] if flag.startswith("-") and not flag.startswith("--") else ""
        if flag.endswith("o") and rest:
            rest.pop(0)  # the name of an option, such as pipefail
    if "c" not in flags:
        # A script file is a program that we cannot read: a server. A shell without input ends at once.
        return FOREVER if rest else Program(exit_after_seconds=0.0, is_sleep_like=True)
    shell.exits_on_error = "e" in flags
    shell.traces = "x" in flags
    shell.positional = rest[2:]  # the word after the script is $0
    return shell.run_to_end(lambda: shell.run_script(rest[0] if rest else ""), is_sleep_like=True)
