"""`prograde help [command]`: the same as ``--help`` after the command."""

import click

from prograde.cli.framework import CliError, KubectlGroup, command

__all__ = ["help_"]


@command(
    "help", usage="[command]", text="Help about any command.", examples="# About one command\nprograde help promote"
)
@click.argument("path", nargs=-1)
@click.pass_context
def help_(ctx: click.Context, *, path: tuple[str, ...]) -> None:
    at = ctx.find_root()
    for name in path:
        found = at.command.get_command(at, name) if isinstance(at.command, KubectlGroup) else None
        if found is None:
            raise CliError(f'unknown help topic "{" ".join(path)}"')
        at = click.Context(found, info_name=found.name, parent=at)
    click.echo(at.get_help())
