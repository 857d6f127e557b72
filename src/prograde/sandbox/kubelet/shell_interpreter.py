"""The mini shell itself: runs the tree of a script on a clock of its own, on which only `sleep` takes time."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from prograde.sandbox.controllers.objects import WAIT_SECONDS_MAX
from prograde.sandbox.kubelet.program import Program, parse_seconds
from prograde.sandbox.kubelet.shell_syntax import (
    AndOr,
    Command,
    ForLoop,
    Group,
    If,
    Item,
    Loop,
    Node,
    Pipeline,
    ShellSyntaxError,
    Word,
    parse,
)

__all__ = ["SHELLS", "Shell"]

COMMANDS_MAX = 4_000
"""Commands of one script that are followed. A loop with a `sleep 1` in it is heard for a quarter of an hour or more."""

OUTPUT_LENGTH_MAX = 1_048_576
"""A container's log is cut at 1 MiB."""


SHELLS = frozenset({"sh", "bash", "ash", "dash"})
_SILENT = frozenset({":", "cd", "chmod", "chown", "cp", "export", "kill", "ln", "local", "ls", "mkdir", "mv",
                     "read", "readonly", "rm", "shift", "sync", "tee", "touch", "trap", "ulimit", "umask",
                     "unset"})  # fmt: skip
"""Commands that succeed without a trace: there is no file system."""
_CLIENTS = frozenset({"curl", "nc", "wget", "wrk"})
_SERVERS = frozenset({"apache2", "caddy", "envoy", "gunicorn", "haproxy", "http-echo", "httpd", "java", "nginx",
                      "node", "php-fpm", "python", "python3", "redis-server", "ruby", "uvicorn"})  # fmt: skip
"""Well-known programs that keep running, so that scripts which end in one do what their authors expect."""


class _Exit(Exception):
    """The script ends with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Endless(Exception):
    """The script does not end, or not within what we follow."""


class _LoopControl(Exception):
    def __init__(self, *, is_break: bool) -> None:
        super().__init__(is_break)
        self.is_break = is_break


class Shell:
    """An interpreter whose clock starts at zero and moves only in `sleep`."""

    def __init__(self, environment: Mapping[str, str], started_at: datetime) -> None:
        self.exits_on_error = False
        self.traces = False
        self.positional: Sequence[str] = ()
        self._variables = dict(environment)
        self._started_at = started_at
        self._seconds = 0.0
        self._background_until = 0.0
        self._status = 0
        self._commands = 0
        self._output: list[tuple[float, str]] = []
        self._length = 0
        self._capture: list[str] | None = None
        self._is_silent = False
        self._condition_depth = 0

    def run_to_end(self, body: Callable[[], int], is_sleep_like: bool) -> Program:
        """Run `body` and return the program that it turned out to be."""
        exit_after: float | None = None
        code = 0
        try:
            code = body()
            exit_after = self._seconds
        except _Exit as end:
            code, exit_after = end.code, self._seconds
        except _LoopControl:
            exit_after = self._seconds
        except _Endless:
            pass
        except ShellSyntaxError as err:
            self._write(f"sh: syntax error: {err}\n")
            code, exit_after = 2, self._seconds
        output = tuple(sorted(self._output, key=lambda line: line[0]))
        return Program(output, exit_after, code, is_sleep_like=is_sleep_like)

    def run_script(self, script: str) -> int:
        self._run(parse(script))
        return self._status

    def _run(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.is_background:
                self._run_in_background(item.and_or)
            else:
                self._run_and_or(item.and_or)

    def _run_in_background(self, and_or: AndOr) -> None:
        started = self._seconds
        try:
            self._run_and_or(and_or)
        except _Exit:
            pass
        except _Endless:
            self._seconds = math.inf
        self._background_until = max(self._background_until, self._seconds)
        self._seconds, self._status = started, 0

    def _run_and_or(self, and_or: AndOr) -> None:
        is_condition = bool(and_or.rest)
        self._run_pipeline(and_or.first, is_condition)
        for index, (operator, pipeline) in enumerate(and_or.rest):
            if (self._status == 0) == (operator == "&&"):
                self._run_pipeline(pipeline, is_condition=index < len(and_or.rest) - 1)

    def _run_pipeline(self, pipeline: Pipeline, is_condition: bool) -> None:
        is_guarded = is_condition or pipeline.is_negated or self._condition_depth > 0
        self._condition_depth += is_guarded
        outer_silent = self._is_silent
        try:
            for index, stage in enumerate(pipeline.stages):
                # What a filter would do with its input is unknown: the last command speaks, `cat` and `tee` repeat.
                is_last = index == len(pipeline.stages) - 1
                self._is_silent = outer_silent or not (is_last or _repeats(pipeline.stages[index + 1]))
                self._run_node(stage)
        finally:
            self._is_silent = outer_silent
            self._condition_depth -= is_guarded
        if pipeline.is_negated:
            self._status = int(self._status == 0)
        if self._status and self.exits_on_error and not is_guarded:
            raise _Exit(self._status)

    def _run_node(self, node: Node) -> None:
        match node:
            case Command(words=words, is_silent=is_silent):
                outer_silent = self._is_silent
                self._is_silent = outer_silent or is_silent
                try:
                    self._run_command(words)
                finally:
                    self._is_silent = outer_silent
            case If():
                if self._holds(node.condition):
                    self._run(node.then)
                elif node.otherwise:
                    self._run(node.otherwise)
                else:
                    self._status = 0
            case Loop():
                self._loop(node)
            case ForLoop():
                for value in [field for word in node.words for field in self._expand(word)]:
                    self._variables[node.variable] = value
                    if not self._run_body(node.body):
                        break
            case Group(body=body):
                self._run(body)

    def _loop(self, loop: Loop) -> None:
        status = 0
        while self._holds(loop.condition) != loop.is_until:
            self._count()
            if not self._run_body(loop.body):
                break
            status = self._status
        self._status = status

    def _run_body(self, body: Sequence[Item]) -> bool:
        """Run a loop's body once; return whether the loop goes on."""
        try:
            self._run(body)
        except _LoopControl as control:
            return not control.is_break
        return True

    def _holds(self, condition: Sequence[Item]) -> bool:
        self._condition_depth += 1
        try:
            self._run(condition)
        finally:
            self._condition_depth -= 1
        return self._status == 0

    def _count(self) -> None:
        self._commands += 1
        if self._commands > COMMANDS_MAX:
            raise _Endless

    def _run_command(self, words: Sequence[Word]) -> None:
        self._count()
        rest = list(words)
        assignments: dict[str, str] = {}
        while rest and (
            found := re.match(r"([A-Za-z_]\w*)=", rest[0].pieces[0][0] if not rest[0].pieces[0][1] else "")
        ):
            pieces = ((rest[0].pieces[0][0][found.end() :], ""), *rest[0].pieces[1:])
            assignments[found[1]] = "".join(self._expand_piece(text, quote) for text, quote in pieces)
            rest.pop(0)
        argv = [field for word in rest for field in self._expand(word)]
        if self.traces:
            self._write("+ " + " ".join([f"{name}={value}" for name, value in assignments.items()] + argv) + "\n")
        if not argv:
            self._variables.update(assignments)
            self._status = 0
            return
        self._status = self.execute(argv)

    # -- commands ------------------------------------------------------------------------------------------------

    def execute(self, argv: Sequence[str], *, is_first_process: bool = False) -> int:
        """Run one command and return its exit code."""
        name, arguments = argv[0].rpartition("/")[2], list(argv[1:])
        match name:
            case "true" | "false":
                return int(name == "false")
            case "echo":
                return self._echo(arguments)
            case "printf":
                return self._printf(arguments)
            case "sleep":
                return self._sleep(arguments)
            case "test" | "[":
                return self._test(arguments, needs_bracket=name == "[")
            case "env" | "printenv":
                for variable, value in self._variables.items():
                    self._write(f"{variable}={value}\n")
                return 0
            case "date":
                moment = self._started_at + timedelta(seconds=self._seconds)
                self._write(moment.strftime("%a %b %e %H:%M:%S UTC %Y") + "\n")
                return 0
            case "hostname":
                self._write(self._variables.get("HOSTNAME", "") + "\n")
                return 0
            case "cat":
                return 0  # succeeds for every file, and there is nothing in it
            case _ if name in _CLIENTS:
                self._write(f"{name}: simulated, nothing was sent: {' '.join(arguments)}\n")
                return 0
            case _ if name in _SILENT and not is_first_process:
                return self._assign(arguments) if name in ("export", "local", "readonly") else 0
            case _ if name in SHELLS and "-c" in arguments[:-1]:
                self._run(parse(arguments[arguments.index("-c") + 1]))
                return self._status
            case _ if is_first_process or name in _SERVERS:
                raise _Endless
        return self._execute_shell_builtin(name, arguments)

    def _execute_shell_builtin(self, name: str, arguments: list[str]) -> int:
        match name:
            case "exit" | "return":
                raise _Exit(_integer(arguments[0]) % 256 if arguments else self._status)
            case "set":
                for flag in arguments:
                    if flag[:1] in ("-", "+"):  # anything else names an option, such as pipefail
                        self.exits_on_error = flag[0] == "-" if "e" in flag else self.exits_on_error
                        self.traces = flag[0] == "-" if "x" in flag else self.traces
                return 0
            case "wait":
                self._advance_to(max(self._seconds, self._background_until))
                return 0
            case "exec" | "command" | "nohup" | "timeout":
                if name == "timeout" and arguments:
                    arguments = arguments[1:]
                if not arguments:
                    return 0
                code = self.execute(arguments, is_first_process=name == "exec")
                if name == "exec":
                    raise _Exit(code)
                return code
            case "break" | "continue":
                raise _LoopControl(is_break=name == "break")
        self._write(f"sh: {name}: not found\n")
        return 127

    def _echo(self, arguments: list[str]) -> int:
        end = "\n"
        has_escapes = False
        while arguments and re.fullmatch(r"-[neE]+", arguments[0]):
            flags = arguments.pop(0)
            end = "" if "n" in flags else end
            has_escapes |= "e" in flags
        text = " ".join(arguments)
        self._write((_unescape(text) if has_escapes else text) + end)
        return 0

    def _printf(self, arguments: list[str]) -> int:
        if not arguments:
            return 2
        values = iter(arguments[1:])
        text = re.sub(r"%(?:%|[-0-9.]*[sdi])", lambda m: "%" if m[0] == "%%" else next(values, ""), arguments[0])
        self._write(_unescape(text))
        return 0

    def _sleep(self, arguments: list[str]) -> int:
        try:
            seconds = sum(parse_seconds(argument) for argument in arguments)
        except ValueError:
            seconds = -1.0
        if not arguments or seconds < 0:
            self._write(f"sleep: invalid number '{' '.join(arguments)}'\n")
            return 1
        self._advance_to(self._seconds + seconds)
        return 0

    def _advance_to(self, seconds: float) -> None:
        if seconds > WAIT_SECONDS_MAX:
            raise _Endless
        self._seconds = seconds

    def _assign(self, arguments: list[str]) -> int:
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if equals:
                self._variables[name] = value
        return 0

    def _test(self, arguments: list[str], *, needs_bracket: bool) -> int:
        if needs_bracket and (not arguments or arguments.pop() != "]"):
            self._write("sh: [: missing ]\n")
            return 2
        is_negated = arguments[:1] == ["!"] and len(arguments) > 1
        try:
            holds = _test_holds(arguments[1:] if is_negated else arguments)
        except ValueError as err:
            self._write(f"sh: test: {err}\n")
            return 2
        return int(holds == is_negated)

    def _write(self, text: str) -> None:
        if self._capture is not None:
            self._capture.append(text)
        elif not self._is_silent and self._length + len(text) <= OUTPUT_LENGTH_MAX:
            self._length += len(text)
            self._output.append((self._seconds, text))

    # -- expansion -----------------------------------------------------------------------------------------------

    def _expand(self, word: Word) -> list[str]:
        """Return the fields of a word: unquoted expansions are split at white space, quoted ones are not."""
        fields: list[str] = []
        current: str | None = None
        for text, quote in word.pieces:
            expanded = self._expand_piece(text, quote)
            if quote or ("$" not in text and "`" not in text):
                current = (current or "") + expanded
                continue
            parts = expanded.split()
            if not parts:
                continue
            if current is not None and expanded[:1].isspace():
                fields.append(current)
                current = None
            fields.extend([(current or "") + parts[0], *parts[1:]][:-1])
            current = parts[-1] if len(parts) > 1 else (current or "") + parts[0]
        return fields if current is None else [*fields, current]

    def _expand_piece(self, text: str, quote: str) -> str:
        if quote == "'":
            return text
        if quote == '"':
            text = re.sub(r"\\\n", "", text)
        result: list[str] = []
        position = 0
        while position < len(text):
            character = text[position]
            if quote == '"' and character == "\\" and text[position + 1 : position + 2] in tuple('"\\$`'):
                result.append(text[position + 1])
                position += 2
            elif character == "$" and text.startswith("$((", position) and "))" in text[position:]:
                end = text.index("))", position)
                result.append(str(self._arithmetic(text[position + 3 : end])))
                position = end + 2
            elif character == "$" and text.startswith("$(", position):
                end = _closing(text, position + 1)
                result.append(self._substitute(text[position + 2 : end]))
                position = end + 1
            elif character == "$" and (found := _VARIABLE.match(text, position)):
                result.append(self._variable(found))
                position = found.end()
            else:
                result.append(character)
                position += 1
        return "".join(result)

    def _variable(self, found: re.Match[str]) -> str:
        name = found["braced"] or found["plain"]
        if name == "?":
            return str(self._status)
        if name == "$":
            return "1"
        if name == "#":
            return str(len(self.positional))
        if name in ("@", "*"):
            return " ".join(self.positional)
        if name.isdigit():
            index = int(name) - 1
            return "sh" if index < 0 else self.positional[index] if index < len(self.positional) else ""
        value = self._variables.get(name, "")
        if not value and found["default"] is not None:
            return self._expand_piece(found["default"], '"')
        return value

    def _substitute(self, script: str) -> str:
        outer, self._capture = self._capture, []
        try:
            self._run(parse(script))
            text = "".join(self._capture)
        except _Exit as end:
            self._status = end.code
            text = "".join(self._capture)
        finally:
            self._capture = outer
        return text.rstrip("\n")

    def _arithmetic(self, expression: str) -> int:
        named = re.sub(r"\$?([A-Za-z_]\w*)", lambda m: self._variables.get(m[1], "") or "0", expression)
        tokens = re.findall(r"\d+|[-+*/%()]", named)
        if "".join(tokens) != re.sub(r"\s+", "", named):
            raise ShellSyntaxError(f"arithmetic expression: {expression.strip()!r} is not supported")
        return _Arithmetic(tokens).value()


_VARIABLE = re.compile(
    r"\$(?:\{(?P<braced>[A-Za-z_]\w*|[?$#@*]|\d+)(?::?-(?P<default>[^}]*))?\}|(?P<plain>[A-Za-z_]\w*|[?$#@*]|\d))"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "0": "\0"}


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text)


def _repeats(node: Node) -> bool:
    return isinstance(node, Command) and bool(node.words) and node.words[0].bare in ("cat", "tee")


def _closing(text: str, position: int) -> int:
    """Return the index of the parenthesis that closes the one at `position`."""
    depth = 0
    for index in range(position, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    raise ShellSyntaxError('missing ")"')


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 2  # "exit: Illegal number" ends a shell with code 2


_UNARY_FILES = frozenset({"-d", "-e", "-f", "-h", "-L", "-r", "-s", "-w", "-x", "-S", "-p"})
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}


def _test_holds(arguments: Sequence[str]) -> bool:
    """Return the truth of a `test` expression; every file exists.

    Raises:
        ValueError: the expression is none, or a number is none.
    """
    match list(arguments):
        case []:
            return False
        case [text]:
            return bool(text)
        case ["-z", text]:
            return not text
        case ["-n", text]:
            return bool(text)
        case [operator, _] if operator in _UNARY_FILES:
            return True
        case [left, "=" | "==", right]:
            return left == right
        case [left, "!=", right]:
            return left != right
        case [left, operator, right] if operator in _COMPARISONS:
            return _COMPARISONS[operator](int(left), int(right))
    raise ValueError(f"{' '.join(arguments)}: unknown operand")


class _Arithmetic:
    """Whole numbers with + - * / % and parentheses."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = list(tokens)

    def value(self) -> int:
        result = self._sum()
        if self._tokens:
            raise ShellSyntaxError(f"arithmetic syntax error near {self._tokens[0]!r}")
        return result

    def _sum(self) -> int:
        result = self._product()
        while self._tokens and self._tokens[0] in "+-":
            sign = 1 if self._tokens.pop(0) == "+" else -1
            result += sign * self._product()
        return result

    def _product(self) -> int:
        result = self._atom()
        while self._tokens and self._tokens[0] in "*/%":
            operator = self._tokens.pop(0)
            right = self._atom()
            if operator == "*":
                result *= right
            elif right == 0:
                raise ShellSyntaxError("division by zero")
            else:
                quotient = abs(result) // abs(right) * (1 if (result < 0) == (right < 0) else -1)
                result = quotient if operator == "/" else result - quotient * right
        return result

    def _atom(self) -> int:
        if not self._tokens:
            raise ShellSyntaxError("arithmetic expression ends too early")
        token = self._tokens.pop(0)
        if token == "-":
            return -self._atom()
        if token == "(":
            result = self._sum()
            if not self._tokens or self._tokens.pop(0) != ")":
                raise ShellSyntaxError('arithmetic expression: missing ")"')
            return result
        if not token.isdigit():
            raise ShellSyntaxError(f"arithmetic syntax error near {token!r}")
        return int(token)
