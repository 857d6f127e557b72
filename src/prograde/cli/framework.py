"""Commands that look and fail like those of kubectl.

Scripts and people match the form of help texts and errors of kubectl plugins, so this module bends click to it:

- help has the blocks Usage, Aliases, Examples, Available Commands, Flags and Global Flags;
- the connection flags may stand before or after the name of the command;
- a wrong number of arguments prints the usage to stderr, any other failure one line ``Error: …``; both exit with 1;
- commands are imported when they run, so that ``--help`` and shell completion answer at once.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.types import BoolParamType

__all__ = ["CliError", "Entry", "KubectlCommand", "KubectlGroup", "command", "run"]

_F = TypeVar("_F", bound=Callable[..., Any])


class CliError(Exception):
    """A failure to report as one line ``Error: <message>`` with exit code 1."""


class WrongArguments(click.UsageError):
    """The number of positional arguments is not what the command takes: its usage is the whole answer."""

    def __init__(self, message: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        assert isinstance(ctx.command, _KubectlHelp), f"{ctx.command} has no usage of ours"
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
            blocks.append("Examples:\n" + self.examples.strip("\n"))
        blocks.extend(self._command_blocks(ctx))
        local, connection = _split_flags(self.get_params(ctx))
        if local:
            blocks.append("Flags:\n" + _flag_table(local))
        if connection:
            blocks.append("Global Flags:\n" + _flag_table(connection))
        return "\n\n".join(blocks)

    def _usages(self, ctx: click.Context) -> list[str]:
        return [f"{_path_of(ctx)} {line}".strip() for line in (self.usage_lines or ["[flags]"])]

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
        except (click.NoSuchOption, click.BadOptionUsage, click.BadParameter):
            raise
        except click.UsageError as err:
            raise WrongArguments(err.format_message(), ctx) from err


class KubectlGroup(_KubectlHelp, click.Group):
    """A command with sub-commands that are imported on use.

    Without a sub-command it prints its usage to stderr and exits with 1.
    """

    def __init__(self, name: str, entries: Mapping[str, Entry], **attributes: Any) -> None:
        usage_lines = attributes.pop("usage_lines", ("COMMAND", "[command]"))
        examples = attributes.pop("examples", "")
        super().__init__(name=name, no_args_is_help=False, invoke_without_command=True, **attributes)
        self.entries = entries
        self.usage_lines = usage_lines
        self.examples = examples
        self.callback = lambda **_: None

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
        if not ctx._protected_args and not ctx.args:  # noqa: SLF001 - click has no public name for it
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
) -> Callable[[Callable[..., Any]], KubectlCommand]:
    """Return a decorator like `click.command` for a `KubectlCommand`.

    `text` opens the help; `usage` is what follows the command's own name in the usage block, a string per line.
    """

    def decorate(function: Callable[..., Any]) -> KubectlCommand:
        made = click.command(name, cls=KubectlCommand, help=text)(function)
        made.usage_lines = [usage] if isinstance(usage, str) else usage
        made.examples = examples
        made.aliases = aliases
        return made

    return decorate


def run(root: click.Command, arguments: Sequence[str], program: str) -> int:
    """Run `root` and return the exit code; every failure is reported on stderr in kubectl's form."""
    try:
        result = root.main(list(arguments), prog_name=program, standalone_mode=False)
    except WrongArguments as err:
        click.echo(err.usage_text, err=True)
        return 1
    except click.NoSuchOption as err:
        return _fail(_unknown_flag(err))
    except click.UsageError as err:
        return _fail(err.format_message())
    except click.ClickException as err:
        return _fail(err.format_message())
    except CliError as err:
        return _fail(str(err))
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough. Keep the interpreter from complaining at its exit.
        sys.stdout = None
        return 0
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    click.echo(f"Error: {message}", err=True)
    return 1


def _unknown_flag(err: click.NoSuchOption) -> str:
    name = err.option_name
    if name.startswith("--"):
        return f"unknown flag: {name}"
    return f"unknown shorthand flag: '{name.lstrip('-')[:1]}' in {name}"


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
        kind = "" if option.is_flag or option.count or isinstance(option.type, BoolParamType) else _type_name(option)
        rows.append((f"{head} {kind}".rstrip(), (option.help or "") + _default_of(option)))
    width = max(len(head) for head, _ in rows) + 3
    return "\n".join(f"{head:<{width}}{text}" for head, text in rows)


def _type_name(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    name = {"integer": "int", "text": "string", "path": "string", "float": "float"}.get(option.type.name, "string")
    return f"{name}s" if option.multiple else name


def _default_of(option: click.Option) -> str:
    default = option.default
    if default in (None, False, "", 0, ()) or callable(default) or option.multiple or "UNSET" in repr(default):
        return ""
    return f' (default "{default}")' if isinstance(default, str) else f" (default {str(default).lower()})"
