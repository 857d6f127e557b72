"""Commands that look and fail like those of kubectl.

Scripts and people match the form of help texts and errors of kubectl plugins, so this module bends click to it:

- help has the blocks Usage, Aliases, Examples, Available Commands, Flags and Global Flags;
- the connection flags may stand before or after the name of the command;
- a wrong number of arguments prints the usage to stderr, any other failure one line ``Error: …``; both exit with 1;
- boolean flags take ``--watch`` as well as ``--watch=false``;
- commands are imported when they run, so that ``--help`` and shell completion answer at once.
"""

import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

import click

__all__ = ["PLUGIN_NAME", "TRUE_WORDS", "CliError", "Entry", "KubectlCommand", "KubectlGroup", "command", "flag", "run"]

_F = TypeVar("_F", bound=Callable[..., Any])

PLUGIN_NAME: Final = "kubectl-argo-rollouts"
"""The name under which kubectl finds us, as ``kubectl argo rollouts``."""

TRUE_WORDS = ("1", "t", "T", "TRUE", "true", "True")
FALSE_WORDS = ("0", "f", "F", "FALSE", "false", "False")

_OFF = ":off"
"""Ends the inner name of a boolean flag's negative form; with the colon nobody uses it by accident."""


class CliError(Exception):
    """A failure to report as one line ``Error: <message>``."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class WrongArguments(click.UsageError):
    """The number of positional arguments is not what the command takes: its usage is the whole answer."""

    def __init__(self, message: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        assert isinstance(ctx.command, _KubectlHelp), f"{ctx.command} has no usage of ours"
        self.usage_exit_code = ctx.command.usage_exit_code
        self.usage_text = ctx.command.usage_text(ctx)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a command table: enough to list a command without importing it."""

    target: str
    """``package.module:attribute`` of the click command."""
    short_help: str
    aliases: tuple[str, ...] = ()
    is_hidden: bool = False


class _KubectlHelp(click.Command):
    """Help in kubectl's layout, shared by commands and groups."""

    usage_lines: Sequence[str] = ()
    aliases: Sequence[str] = ()
    examples: str = ""
    renamed_flags: Mapping[str, str] = MappingProxyType({})
    usage_exit_code: int = 1
    """For wrong flags and arguments; commands whose exit code tells more than success and failure have another one."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = f"help for {self.name}"
        return option

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        blocks = []
        if self.help:
            blocks.append(self.help.strip())
        blocks.append(self.usage_text(ctx))
        formatter.write("\n\n".join(blocks) + "\n")

    def usage_text(self, ctx: click.Context) -> str:
        """Return everything of the help but the description."""
        blocks = ["Usage:\n" + "\n".join(f"  {line}" for line in self._usages(ctx))]
        if self.aliases:
            blocks.append(f"Aliases:\n  {', '.join([self.name or '', *self.aliases])}")
        if self.examples:
            blocks.append("Examples:\n" + _as_called(self.examples.strip("\n"), ctx))
        blocks.extend(self._command_blocks(ctx))
        local, connection = _split_flags(self.get_params(ctx))
        if local:
            blocks.append("Flags:\n" + _flag_table(local))
        if connection:
            blocks.append("Global Flags:\n" + _flag_table(connection))
        return "\n\n".join(blocks)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        current = [_current_flag(word, self.renamed_flags) for word in args]
        return super().parse_args(ctx, _spell_out_booleans(self, ctx, current))

    def _usages(self, ctx: click.Context) -> list[str]:
        return [f"{_path_of(ctx)} {line}".strip() for line in self.usage_lines]

    def _command_blocks(self, ctx: click.Context) -> list[str]:
        return []


class KubectlCommand(_KubectlHelp, click.Command):
    """A leaf command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as err:
            if isinstance(err.param, click.Argument):
                raise WrongArguments(err.format_message(), ctx) from err
            raise
        except (click.NoSuchOption, click.BadOptionUsage, click.BadParameter) as err:
            err.ctx = err.ctx or ctx  # click does not always say whose flag it is
            raise
        except click.UsageError as err:
            raise WrongArguments(err.format_message(), ctx) from err


class KubectlGroup(_KubectlHelp, click.Group):
    """A command with sub-commands that are imported on use.

    Without a sub-command it prints its usage to stderr and exits with 1. With a `callback` it runs that instead, which
    also runs before a sub-command and has to tell the two apart.
    """

    def __init__(self, name: str, entries: Mapping[str, Entry], **attributes: Any) -> None:
        usage_lines = attributes.pop("usage_lines", ("COMMAND [flags]", "[command]"))
        examples = attributes.pop("examples", "")
        self.runs_alone = "callback" in attributes
        attributes.setdefault("callback", lambda **_: None)
        super().__init__(name=name, no_args_is_help=False, invoke_without_command=True, **attributes)
        self.entries = entries
        self.usage_lines = usage_lines
        self.examples = examples

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(name for name, entry in self.entries.items() if not entry.is_hidden)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for name, entry in self.entries.items():
            if cmd_name == name or cmd_name in entry.aliases:
                module, _, attribute = entry.target.partition(":")
                loaded = getattr(importlib.import_module(module), attribute)
                assert isinstance(loaded, click.Command), f"{entry.target} is no command"
                return loaded
        return None

    def invoke(self, ctx: click.Context) -> Any:
        if not self.runs_alone and not ctx._protected_args and not ctx.args:  # noqa: SLF001 - click has no public name for it
            raise WrongArguments("no command", ctx)
        return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            path = _path_of(ctx)
            raise CliError(f'unknown command "{args[0]}" for "{path}"\nRun \'{path} --help\' for usage.')
        return super().resolve_command(ctx, args)

    def _command_blocks(self, ctx: click.Context) -> list[str]:
        names = self.list_commands(ctx)
        if not names:
            return []
        width = max(map(len, names)) + 1
        rows = (f"  {name:<{width}} {self.entries[name].short_help}" for name in names)
        return ["Available Commands:\n" + "\n".join(rows)]


def command(
    name: str,
    *,
    usage: Sequence[str] | str,
    text: str,
    examples: str = "",
    aliases: Sequence[str] = (),
    renamed_flags: Mapping[str, str] = MappingProxyType({}),
    usage_exit_code: int = 1,
) -> Callable[[Callable[..., Any]], KubectlCommand]:
    """Return a decorator like `click.command` for a `KubectlCommand`.

    `text` opens the help; `usage` is what follows the command's own name in the usage block, a string per line.
    Examples are written for `prograde` and show ``kubectl argo rollouts`` where that was called. `renamed_flags` are
    old spellings that are still taken, with a notice on stderr, and the new ones.
    """

    def decorate(function: Callable[..., Any]) -> KubectlCommand:
        made = click.command(name, cls=KubectlCommand, help=text)(function)
        lines = [usage] if isinstance(usage, str) else usage
        made.usage_lines = [line if "[flags]" in line else f"{line} [flags]" for line in lines]
        made.examples = examples
        made.aliases = aliases
        made.renamed_flags = renamed_flags
        made.usage_exit_code = usage_exit_code
        return made

    return decorate


def flag(*names: str, default: bool = False, **attributes: Any) -> Callable[[_F], _F]:
    """Return a decorator that adds a boolean flag, which may be given as ``--x``, ``--x=true`` and ``--x=false``."""
    spellings = [f"{name}/{name}{_OFF}" if name.startswith("--") else name for name in names]
    return click.option(*spellings, default=default, **attributes)


def run(root: click.Command, arguments: Sequence[str], program: str) -> int:
    """Run `root` and return the exit code; every failure is reported on stderr in kubectl's form."""
    try:
        result = root.main(list(arguments), prog_name=program, standalone_mode=False)
    except WrongArguments as err:
        click.echo(err.usage_text, err=True)
        return err.usage_exit_code
    except click.NoSuchOption as err:
        return _fail(_unknown_flag(err), _exit_code_of(err))
    except click.BadOptionUsage as err:
        return _fail(_flag_without_value(err.option_name), _exit_code_of(err))
    except click.BadParameter as err:
        return _fail(_invalid_value(err), _exit_code_of(err))
    except click.ClickException as err:
        return _fail(err.format_message())
    except CliError as err:
        return _fail(str(err), err.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        return _stop_writing()
    return result if isinstance(result, int) else 0


def _stop_writing() -> int:
    """Return the exit code for the case that the reader of a pipe (head, less) has seen enough."""
    # What is still buffered has no reader either; without this the interpreter would complain at its exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _fail(message: str, exit_code: int = 1) -> int:
    click.echo(f"Error: {message}", err=True)
    return exit_code


def _exit_code_of(err: click.UsageError) -> int:
    command = err.ctx.command if err.ctx is not None else None
    return command.usage_exit_code if isinstance(command, _KubectlHelp) else 1


def _unknown_flag(err: click.NoSuchOption) -> str:
    name = err.option_name
    if name.startswith("--"):
        return f"unknown flag: {name}"
    return f"unknown shorthand flag: '{name.lstrip('-')[:1]}' in {name}"


def _flag_without_value(name: str) -> str:
    if name.startswith("--"):
        return f"flag needs an argument: {name}"
    return f"flag needs an argument: '{name.lstrip('-')}' in {name}"


def _invalid_value(err: click.BadParameter) -> str:
    """Return the message in the words of kubectl; a text that names its flag itself is left alone."""
    if not isinstance(err.param, click.Option) or "flag:" in err.message:
        return err.message
    return f'invalid argument for "{", ".join(sorted(err.param.opts, key=len))}" flag: {err.message.rstrip(".")}'


def _current_flag(word: str, renamed: Mapping[str, str]) -> str:
    name, equals, value = word.partition("=")
    if name not in renamed:
        return word
    click.echo(f"Flag {name} has been deprecated, use {renamed[name]} instead", err=True)
    return renamed[name] + equals + value


def _spell_out_booleans(command: click.Command, ctx: click.Context, args: list[str]) -> list[str]:
    """Turn ``--watch=false`` into the words that click knows; click's own flags take no value.

    Raises:
        CliError: the value of a boolean flag is none.
    """
    options = {name: each for each in command.get_params(ctx) if isinstance(each, click.Option) for name in each.opts}
    spelled: list[str] = []
    is_value = False
    for position, word in enumerate(args):
        name, equals, value = word.partition("=")
        option = options.get(name)
        if is_value:
            is_value = False
        elif word == "--" or (isinstance(command, click.Group) and not word.startswith("-")):
            return spelled + args[position:]
        elif option is not None and not equals:
            is_value = not option.is_flag and not option.count
        elif option is not None and option.is_flag:
            word = _spelled_out(option, value)
        spelled.append(word)
    return spelled


def _spelled_out(option: click.Option, value: str) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if value in TRUE_WORDS:
        return option.opts[-1]
    if value in FALSE_WORDS and option.secondary_opts:
        return option.secondary_opts[0]
    raise CliError(f'invalid argument "{value}" for "{names}" flag: use true or false')


def _as_called(examples: str, ctx: click.Context) -> str:
    if ctx.find_root().info_name != PLUGIN_NAME:
        return examples
    return re.sub(r"\bprograde ", "kubectl argo rollouts ", examples)


def _path_of(ctx: click.Context) -> str:
    names = []
    walk: click.Context | None = ctx
    while walk is not None:
        names.append(walk.info_name or "")
        walk = walk.parent
    return " ".join(reversed(names))


def _split_flags(params: Sequence[click.Parameter]) -> tuple[list[click.Option], list[click.Option]]:
    options = [param for param in params if isinstance(param, click.Option) and not param.hidden]
    local = [option for option in options if not getattr(option, "is_connection_flag", False)]
    return local, [option for option in options if getattr(option, "is_connection_flag", False)]


def _flag_table(options: Sequence[click.Option]) -> str:
    rows = []
    for option in sorted(options, key=lambda option: max(option.opts, key=len).lstrip("-")):
        longest = max(option.opts, key=len)
        short = next((name for name in option.opts if len(name) == 2), "")
        head = f"  {short}, {longest}" if short else f"      {longest}"
        kind = "" if option.is_flag or option.count else _type_name(option)
        rows.append((f"{head} {kind}".rstrip(), (option.help or "") + _default_of(option)))
    width = max(len(head) for head, _ in rows) + 3
    return "\n".join(f"{head:<{width}}{text}" for head, text in rows)


_TYPE_NAMES = {"integer": "int", "integer range": "int", "float": "float", "float range": "float"}
"""What Kubernetes calls the types of values; everything else is a string."""


def _type_name(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    name = _TYPE_NAMES.get(option.type.name, "string")
    return f"{name}s" if option.multiple else name


def _default_of(option: click.Option) -> str:
    default = option.default
    if default in (None, False, "", 0, ()) or callable(default) or option.multiple or "UNSET" in repr(default):
        return ""
    return f' (default "{default}")' if isinstance(default, str) else f" (default {str(default).lower()})"
