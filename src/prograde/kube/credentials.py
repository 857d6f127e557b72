"""Who we are to an API server: tokens, certificates, and programs that hand them out.

A transport asks `get` before each request and `renew` after a 401. Three kinds:

- fixed: what the kubeconfig holds (token, basic authentication, client certificate);
- a token file, read again every minute, because kubelets replace service account tokens;
- an exec plugin (cloud providers, OIDC helpers): run once, kept until it expires or the server says 401.

Credentials belong to one server. They are never logged; errors of a plugin show what it wrote to standard error, which
is meant for people, and never its standard output.
"""

import asyncio
import base64
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from prograde.kube.errors import ConfigError

__all__ = [
    "ClusterInfo",
    "Credentials",
    "ExecCredentials",
    "ExecSpec",
    "FixedCredentials",
    "Identity",
    "TokenFileCredentials",
    "basic_authorization",
    "run_plugin",
]

logger = logging.getLogger(__name__)

TOKEN_FILE_SECONDS: Final = 60.0
"""How long a token that was read is used: kubelets renew it at 80 % of at least ten minutes."""

EXPIRY_MARGIN: Final = timedelta(seconds=10)
"""A credential this near its end is renewed first, so that it does not expire on the way."""

PLUGIN_SECONDS_MAX: Final = 60.0
PLUGIN_INTERACTIVE_SECONDS_MAX: Final = 600.0
"""Nobody types at a program without a terminal; with one, a browser log-in may take minutes."""

STDERR_CHARACTERS_MAX: Final = 500

EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What goes with a request: a header, and what the TLS handshake presents (PEM)."""

    authorization: str = ""
    client_certificate: bytes = b""
    client_key: bytes = b""

    def __repr__(self) -> str:
        """Show nothing: tracebacks and logs print arguments."""
        return "Identity(...)"


class Credentials(Protocol):
    """See the module's docstring.

    Raises:
        ConfigError: no identity can be had; the message names source and remedy.
    """

    async def get(self) -> Identity: ...

    async def renew(self, used: Identity) -> bool:
        """Forget `used`, which the server refused. Return whether another try with `get` makes sense."""
        ...


class FixedCredentials:
    """An identity that never changes."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def get(self) -> Identity:
        return self._identity

    async def renew(self, used: Identity) -> bool:
        return False


class TokenFileCredentials:
    """A bearer token in a file that somebody else replaces. `base` supplies the client certificate, if any."""

    def __init__(self, path: Path, base: Identity = Identity()) -> None:  # noqa: B008 - immutable
        self._path = path
        self._base = base
        self._identity: Identity | None = None
        self._read_at = 0.0

    async def get(self) -> Identity:
        now = asyncio.get_running_loop().time()
        if self._identity is None or now - self._read_at >= TOKEN_FILE_SECONDS:
            self._identity = self._read()
            self._read_at = now
        return self._identity

    async def renew(self, used: Identity) -> bool:
        """Read the file again; worth a retry if it holds another token."""
        self._identity = self._read()
        self._read_at = asyncio.get_running_loop().time()
        return self._identity != used

    def _read(self) -> Identity:
        """Return the token in the file. A file of a kilobyte on a local disk is read in place, not in a thread.

        While the file is being replaced it may be missing or empty: the token read before stays good for a while.
        """
        try:
            token = self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as err:
            if self._identity is not None:
                logger.warning("cannot read token file %s, keeping the token read before: %s", self._path, err)
                return self._identity
            raise ConfigError(f"{self._path}: cannot read the token file: {err}") from err
        if not token:
            if self._identity is not None:
                return self._identity
            raise ConfigError(f"{self._path}: the token file is empty")
        return msgspec.structs.replace(self._base, authorization=f"Bearer {token}")


class ExecEnvVar(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    value: str = ""


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A kubeconfig user's `exec`."""

    api_version: str = ""
    command: str = ""
    args: tuple[str, ...] | None = None
    env: tuple[ExecEnvVar, ...] | None = None
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class ClusterInfo(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """What a plugin with `provideClusterInfo` is told of the cluster."""

    server: str
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority_data: str = ""
    proxy_url: str = ""
    config: Any = None


class _ExecStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    expiration_timestamp: datetime | None = None
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""


class _ExecCredential(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    kind: str = ""
    api_version: str = ""
    status: _ExecStatus | None = None


RunPlugin = Callable[[list[str], Mapping[str, str], bool], Awaitable[bytes]]
"""Run a program with arguments and environment, interactively or not, and return its standard output."""


class ExecCredentials:
    """An identity from a program, kept until it expires or is refused. Concurrent requests share one run.

    Args:
        spec: with `command` resolved against its kubeconfig's folder already.
        where: names the kubeconfig entry in errors.
        environ: what the program inherits.
        is_interactive: whether standard input is a terminal the program may use.
        now: tells when a credential has expired.
    """

    def __init__(
        self,
        spec: ExecSpec,
        *,
        where: str,
        cluster: ClusterInfo,
        environ: Mapping[str, str],
        is_interactive: bool,
        now: Callable[[], datetime],
        run: RunPlugin | None = None,
    ) -> None:
        self._check(spec, where, is_interactive)
        self._spec = spec
        self._where = where
        self._environ = environ
        self._is_interactive = is_interactive and spec.interactive_mode != "Never"
        self._now = now
        self._run = run or run_plugin
        self._cluster = cluster
        self._identity: Identity | None = None
        self._expires_at: datetime | None = None
        self._lock = asyncio.Lock()

    @staticmethod
    def _check(spec: ExecSpec, where: str, is_interactive: bool) -> None:
        if not spec.command:
            raise ConfigError(f"{where}.command: required: name the program to run")
        if spec.api_version not in EXEC_VERSIONS:
            expected = " or ".join(EXEC_VERSIONS)
            raise ConfigError(
                f"{where}.apiVersion: {spec.api_version!r} is not supported, expected {expected}; "
                "update the plugin and regenerate the kubeconfig"
            )
        if spec.interactive_mode not in ("Never", "IfAvailable", "Always") and (
            spec.interactive_mode or spec.api_version == EXEC_VERSIONS[0]
        ):
            raise ConfigError(
                f"{where}.interactiveMode: {spec.interactive_mode!r} must be Never, IfAvailable or Always"
            )
        if spec.interactive_mode == "Always" and not is_interactive:
            raise ConfigError(
                f"{where}.interactiveMode: {spec.command!r} must ask the user, but standard input is no terminal; "
                "log in from a terminal or use credentials that need no user"
            )

    async def get(self) -> Identity:
        async with self._lock:
            if self._identity is None or self._is_expired():
                await self._refresh()
            assert self._identity is not None
            return self._identity

    async def renew(self, used: Identity) -> bool:
        async with self._lock:
            if self._identity == used:  # else somebody else was faster
                self._identity = None
        return True

    def _is_expired(self) -> bool:
        return self._expires_at is not None and self._now() >= self._expires_at - EXPIRY_MARGIN

    async def _refresh(self) -> None:
        info: dict[str, Any] = {"interactive": self._is_interactive}
        if self._spec.provide_cluster_info:
            info["cluster"] = msgspec.to_builtins(self._cluster)
        request = {"kind": "ExecCredential", "apiVersion": self._spec.api_version, "spec": info}
        environ = {
            **self._environ,
            **{variable.name: variable.value for variable in self._spec.env or ()},
            "KUBERNETES_EXEC_INFO": json.dumps(request),
        }
        try:
            output = await self._run([self._spec.command, *(self._spec.args or ())], environ, self._is_interactive)
        except FileNotFoundError as err:
            hint = f": {self._spec.install_hint.strip()}" if self._spec.install_hint else ""
            raise ConfigError(f"{self._where}: program {self._spec.command!r} is not installed{hint}") from err
        except OSError as err:  # a time-out is one
            raise ConfigError(f"{self._where}: cannot run {self._spec.command!r}: {err}") from err
        self._identity, self._expires_at = self._parse(output)

    def _parse(self, output: bytes) -> tuple[Identity, datetime | None]:
        said = f"{self._where}: {self._spec.command!r} answered"
        try:
            credential = msgspec.json.decode(output, type=_ExecCredential)
        except msgspec.DecodeError as err:
            raise ConfigError(f"{said} something that is no ExecCredential: {err}") from err
        if credential.kind != "ExecCredential" or credential.api_version != self._spec.api_version:
            raise ConfigError(
                f"{said} {credential.kind} {credential.api_version}, expected ExecCredential {self._spec.api_version}"
            )
        status = credential.status
        if status is None or not (status.token or status.client_certificate_data):
            raise ConfigError(f"{said} neither a token nor a client certificate")
        if bool(status.client_certificate_data) != bool(status.client_key_data):
            raise ConfigError(f"{said} only one of clientCertificateData and clientKeyData")
        expires_at = status.expiration_timestamp
        if expires_at is not None and expires_at.tzinfo is None:
            raise ConfigError(f"{said} an expirationTimestamp without time zone")
        identity = Identity(
            authorization=f"Bearer {status.token}" if status.token else "",
            client_certificate=status.client_certificate_data.encode(),
            client_key=status.client_key_data.encode(),
        )
        return identity, expires_at


async def run_plugin(command: list[str], environ: Mapping[str, str], interactive: bool) -> bytes:
    """Run a program and return its standard output; it is killed when we are cancelled or it takes too long.

    Raises:
        FileNotFoundError: there is no such program in the PATH of `environ`.
        OSError: it could not be run, failed, or took too long; the message ends with what it said.
    """
    program = _find_program(command[0], environ.get("PATH", os.defpath))
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        env=dict(environ),
        stdin=None if interactive else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=None if interactive else asyncio.subprocess.PIPE,
    )
    seconds_max = PLUGIN_INTERACTIVE_SECONDS_MAX if interactive else PLUGIN_SECONDS_MAX
    try:
        async with asyncio.timeout(seconds_max):
            output, complaint = await process.communicate()
    except TimeoutError as err:
        raise TimeoutError(f"no answer within {seconds_max:.0f} s") from err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = " ".join((complaint or b"").decode(errors="replace").split())[-STDERR_CHARACTERS_MAX:]
        raise OSError(f"it failed with exit code {process.returncode}" + (f": {said}" if said else ""))
    return output


def _find_program(name: str, search_path: str) -> str:
    """Return the path of a program; a name with a slash is a path already."""
    candidates = [name] if "/" in name else [os.path.join(folder, name) for folder in search_path.split(os.pathsep)]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise FileNotFoundError(f"no program {name!r}")


def basic_authorization(username: str, password: str) -> str:
    """Return the header value of HTTP basic authentication."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
