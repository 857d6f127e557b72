"""The flags that every command takes: which cluster, as whom, which namespace, how much to log.

They may stand before or after the name of the command, so each command declares them and they all write into one
`ConnectionFlags` at the root of the click context.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from prograde.cli.framework import CliError, flag

__all__ = ["ConnectionFlags", "connection_flags", "connection_of"]

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(slots=True)
class ConnectionFlags:
    """What the user asked for; empty means: as the kubeconfig says."""

    namespace: str = ""
    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    user: str = ""
    server: str = ""
    token: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    as_uid: str = ""
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    disable_compression: bool = False
    cache_dir: str = ""
    request_timeout: str = "0"
    kloglevel: int = 0
    loglevel: str = "info"


class ConnectionOption(click.Option):
    """A persistent flag; `is_connection_flag` puts it into the Global Flags of the help."""

    is_connection_flag = True


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    flags = connection_of(ctx)
    name = param.name
    assert name is not None
    if name == "connection_loglevel" and value != "info":
        _check_level(value)
    if ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None):
        setattr(flags, name.removeprefix("connection_"), value)


def _check_level(text: str) -> None:
    # Imported late: most commands are run without the flag, and help texts should not wait for it.
    from prograde.telemetry.logs import parse_level

    try:
        parse_level(text)
    except ValueError as err:
        raise CliError(str(err)) from err


_FLAGS: tuple[tuple[tuple[str, ...], str, dict[str, Any]], ...] = (
    (("--as", "as_user"), "Username to impersonate for the operation.", {}),
    (("--as-group", "as_groups"), "Group to impersonate for the operation, may be repeated.", {"multiple": True}),
    (("--as-uid", "as_uid"), "UID to impersonate for the operation.", {}),
    (("--cache-dir", "cache_dir"), "Default cache directory.", {}),
    (("--certificate-authority", "certificate_authority"), "Path to a cert file for the certificate authority.", {}),
    (("--client-certificate", "client_certificate"), "Path to a client certificate file for TLS.", {}),
    (("--client-key", "client_key"), "Path to a client key file for TLS.", {}),
    (("--cluster", "cluster"), "The name of the kubeconfig cluster to use.", {}),
    (("--context", "context"), "The name of the kubeconfig context to use.", {}),
    (
        ("--disable-compression", "disable_compression"),
        "Do not ask the server for compressed responses.",
        {"is_flag": True},
    ),
    (
        ("--insecure-skip-tls-verify", "insecure_skip_tls_verify"),
        "Do not check the server's certificate. This makes your HTTPS connections insecure.",
        {"is_flag": True},
    ),
    (("-v", "--kloglevel", "kloglevel"), "Log level of the Kubernetes client.", {"type": int, "default": 0}),
    (("--kubeconfig", "kubeconfig"), "Path to the kubeconfig file to use for CLI requests.", {}),
    (("--loglevel", "loglevel"), "Log level of this program.", {"default": "info"}),
    (("-n", "--namespace", "namespace"), "If present, the namespace scope for this CLI request.", {}),
    (
        ("--request-timeout", "request_timeout"),
        "How long to wait for one server request, such as 1s, 2m, 3h; 0 means no limit.",
        {"default": "0"},
    ),
    (("-s", "--server", "server"), "The address and port of the Kubernetes API server.", {}),
    (("--tls-server-name", "tls_server_name"), "Name to check the server's certificate against.", {}),
    (("--token", "token"), "Bearer token for authentication to the API server.", {}),
    (("--user", "user"), "The name of the kubeconfig user to use.", {}),
)


def connection_flags(function: _F) -> _F:
    """Add the flags of `ConnectionFlags` to a command; the command reads them with `connection_of`."""
    for names, text, given in reversed(_FLAGS):
        attributes = dict(given)
        *spellings, target = names
        add = flag if attributes.pop("is_flag", False) else click.option
        option = add(
            *spellings,
            f"connection_{target}",
            cls=ConnectionOption,
            help=text,
            expose_value=False,
            callback=_remember,
            **attributes,
        )
        function = option(function)
    return function


def connection_options() -> list[click.Parameter]:
    """Return the flags as parameters, for a group that is made without a function."""

    def holder() -> None: ...

    made: list[click.Parameter] = connection_flags(holder).__click_params__  # type: ignore[attr-defined]
    return list(reversed(made))


def connection_of(ctx: click.Context | None = None) -> ConnectionFlags:
    """Return the flags of this invocation, shared by all levels of the command line."""
    root = (ctx or click.get_current_context()).find_root()
    if not isinstance(root.obj, ConnectionFlags):
        root.obj = ConnectionFlags()
    return root.obj
