"""`prograde version`: what runs here; never asks a cluster."""

import platform

import click

from prograde import __version__
from prograde.cli.flags import connection_flags
from prograde.cli.framework import command, flag

__all__ = ["version"]


@command(
    "version",
    usage="[flags]",
    text="Print version",
    examples="# Get full version info\nprograde version\n\n# Get just plugin version number\nprograde version --short",
)
@flag("--short", help="print just the version number")
@connection_flags
@click.pass_context
def version(ctx: click.Context, *, short: bool) -> None:
    click.echo(f"{ctx.find_root().info_name}: v{__version__}")
    if short:
        return
    system = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    click.echo(f"  PythonVersion: {platform.python_version()}")
    click.echo(f"  Compiler: {platform.python_compiler()}")
    click.echo(f"  Platform: {platform.system().lower()}/{system}")
