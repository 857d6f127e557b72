"""Shell completion: the scripts, and the hidden command that they (and kubectl) ask for candidates.

kubectl completes a plugin by running an executable ``kubectl_complete-argo-rollouts`` that calls
``kubectl argo rollouts __complete WORD…``; the answer is one candidate a line, a tab and a description, and last a
line ``:<directive>``. Our own scripts use the same protocol, so there is one source of candidates.
"""

import asyncio
from collections.abc import Sequence
from enum import IntFlag

import click

from prograde.cli.flags import ConnectionFlags, ConnectionOption, connection_flags, connection_of
from prograde.cli.framework import TRUE_WORDS, CliError, KubectlGroup, command

__all__ = ["Directive", "candidates", "complete", "completion"]


class Directive(IntFlag):
    """What the shell shall do beside offering the candidates."""

    DEFAULT = 0
    ERROR = 1
    NO_SPACE = 2
    NO_FILE_COMPLETION = 4


_ROLLOUT_COMMANDS = {
    ("abort",), ("explain",), ("get", "rollout"), ("pause",), ("plan",), ("promote",), ("restart",),
    ("retry", "rollout"), ("set", "image"), ("status",), ("undo",),
}  # fmt: skip
"""The commands whose first argument is the name of a Rollout."""

_COMMANDS_OF_SEVERAL = {("abort",), ("explain",), ("pause",), ("retry", "rollout")}
"""Those of them that take any number of names."""

_SHELLS = ("bash", "zsh", "fish", "powershell")

_BASH = """# bash completion for {name}
__{ident}_complete()
{{
    local out directive
    COMPREPLY=()
    out=$("${{COMP_WORDS[0]}}" __completeNoDesc "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null) || return
    directive=${{out##*:}}
    out=${{out%:*}}
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$out" -- "${{COMP_WORDS[COMP_CWORD]}}"))
    if [[ $((directive & 2)) -ne 0 ]]; then compopt -o nospace; fi
    if [[ $((directive & 4)) -eq 0 && ${{#COMPREPLY[@]}} -eq 0 ]]; then compopt -o default; fi
}}
complete -F __{ident}_complete {name}
"""

_ZSH = """#compdef {name}
# zsh completion for {name}
_{ident}()
{{
    local -a lines items
    local line directive
    lines=("${{(@f)$(${{words[1]}} __complete "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
    directive=${{lines[-1]#:}}
    for line in "${{(@)lines[1,-2]}}"; do
        [[ -n $line ]] && items+=("${{${{line//:/\\\\:}}/$'\\t'/:}}")
    done
    _describe '{name}' items
    if (( (directive & 4) == 0 && ${{#items}} == 0 )); then _files; fi
}}
compdef _{ident} {name}
"""

_FISH = """# fish completion for {name}
function __{ident}_complete
    set -l words (commandline -opc)
    set -l lines ($words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null)
    for line in $lines
        string match -q -r '^:[0-9]+$' -- $line; or echo $line
    end
end
complete -c {name} -f -a '(__{ident}_complete)'
"""

_POWERSHELL = """# powershell completion for {name}
Register-ArgumentCompleter -Native -CommandName '{name}' -ScriptBlock {{
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object {{ $_.ToString() }})
    if ($wordToComplete -eq '') {{ $words += '""' }}
    & '{name}' __complete @words 2>$null | Where-Object {{ $_ -notmatch '^:\\d+$' }} | ForEach-Object {{
        $parts = $_ -split "`t", 2
        $text = if ($parts.Count -gt 1) {{ $parts[1] }} else {{ $parts[0] }}
        [System.Management.Automation.CompletionResult]::new($parts[0], $parts[0], 'ParameterValue', $text)
    }}
}}
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "powershell": _POWERSHELL}


@command(
    "completion",
    usage="[bash|zsh|fish|powershell]",
    text="Generate a completion script for the given shell and write it to stdout.",
    examples="# Complete in this bash session\nsource <(prograde completion bash)",
)
@click.argument("arguments", nargs=-1)
@connection_flags
@click.pass_context
def completion(ctx: click.Context, *, arguments: tuple[str, ...]) -> None:
    program = ctx.find_root().info_name or "prograde"
    if len(arguments) != 1:
        raise CliError(f"accepts 1 arg(s), received {len(arguments)}")
    if arguments[0] not in _SHELLS:
        raise CliError(f'invalid argument "{arguments[0]}" for "{program} completion"')
    click.echo(_SCRIPTS[arguments[0]].format(name=program, ident=program.replace("-", "_")), nl=False)


@click.command(
    "__complete",
    hidden=True,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def complete(ctx: click.Context, *, words: tuple[str, ...]) -> None:
    root = ctx.find_root().command
    assert isinstance(root, KubectlGroup)
    described = ctx.info_name != "__completeNoDesc"
    found, directive = candidates(root, words, connection_of(ctx))
    for name, text in found:
        click.echo(f"{name}\t{text}" if described and text else name)
    click.echo(f":{int(directive)}")


def candidates(
    root: KubectlGroup, words: Sequence[str], connection: ConnectionFlags
) -> tuple[list[tuple[str, str]], Directive]:
    """Return (candidate, description) pairs for the last of `words`, which may be empty, and the directive."""
    *before, partial = words or ("",)
    ctx = click.Context(root, info_name=root.name)
    at: click.Command = root
    path: list[str] = []
    given: list[str] = []
    skip_value = False
    for index, word in enumerate(before):
        if skip_value:
            skip_value = False
        elif word.startswith("-"):
            skip_value = _takes_next_word(at, ctx, word)
            _note(connection, root, word, before[index + 1] if skip_value and index + 1 < len(before) else None)
        elif isinstance(at, KubectlGroup) and (child := at.get_command(ctx, word)) is not None:
            at = child
            path.append(child.name or word)
        else:
            given.append(word)
    if partial.startswith("-"):
        flags = sorted({max(p.opts, key=len): p for p in at.get_params(ctx) if isinstance(p, click.Option)}.items())
        return [
            (name, param.help or "") for name, param in flags if name.startswith(partial)
        ], Directive.NO_FILE_COMPLETION
    if skip_value:
        return [], Directive.DEFAULT
    if isinstance(at, KubectlGroup):
        rows = [(name, at.entries[name].short_help) for name in at.list_commands(ctx) if name.startswith(partial)]
        return rows, Directive.NO_FILE_COMPLETION
    if tuple(path) == ("completion",) and not given:
        return [(shell, "") for shell in _SHELLS if shell.startswith(partial)], Directive.NO_FILE_COMPLETION
    if tuple(path) in _COMMANDS_OF_SEVERAL or (tuple(path) in _ROLLOUT_COMMANDS and not given):
        names, directive = _rollout_names(partial, connection)
        return [each for each in names if each[0] not in given], directive
    return [], Directive.NO_FILE_COMPLETION


def _note(connection: ConnectionFlags, root: KubectlGroup, word: str, following: str | None) -> None:
    """Take a connection flag into account: names are completed from the cluster that the command will talk to."""
    name, equals, value = word.partition("=")
    for param in root.params:
        if not isinstance(param, ConnectionOption) or name not in param.opts:
            continue
        field = (param.name or "").removeprefix("connection_")
        given = value if equals else following
        if isinstance(getattr(connection, field), str) and given is not None:
            setattr(connection, field, given)
        elif param.is_flag:
            setattr(connection, field, not equals or value in TRUE_WORDS)


def _takes_next_word(at: click.Command, ctx: click.Context, word: str) -> bool:
    if "=" in word:
        return False
    options = [param for param in at.get_params(ctx) if isinstance(param, click.Option) and word in param.opts]
    return any(not option.is_flag for option in options)


def _rollout_names(partial: str, connection: ConnectionFlags) -> tuple[list[tuple[str, str]], Directive]:
    """Ask the cluster; a completion must never print an error into the user's prompt, so failures only say so."""
    from prograde.cli.connect import list_rollout_names

    try:
        names = asyncio.run(list_rollout_names(connection))
    except Exception:
        return [], Directive.ERROR
    return [(name, "") for name in names if name.startswith(partial)], Directive.NO_FILE_COMPLETION
