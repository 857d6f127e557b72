"""Kubeconfig files: the format, and several of them merged into one.

For every name, and for the current context, the first file that has it wins, and relative paths count from the folder
of the file they stand in; both as kubectl does. What the parts mean together is the business of
`prograde.kube.config`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from prograde.kube.credentials import ExecSpec
from prograde.kube.errors import ConfigError

__all__ = ["Cluster", "Context", "Entry", "Kubeconfig", "User", "kubeconfig_paths", "read_file", "read_kubeconfigs"]

T = TypeVar("T")


class _Extension(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    extension: Any = None


class Cluster(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    proxy_url: str = ""
    disable_compression: bool = False
    extensions: tuple[_Extension, ...] | None = None


class _AuthProvider(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""


class User(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(name="tokenFile", default="")
    username: str = ""
    password: str = ""
    as_user: str = msgspec.field(name="as", default="")
    as_uid: str = ""
    as_groups: tuple[str, ...] | None = None
    as_user_extra: dict[str, tuple[str, ...]] | None = None
    exec: ExecSpec | None = None
    auth_provider: _AuthProvider | None = None


class Context(msgspec.Struct, frozen=True, kw_only=True):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    cluster: Cluster | None = None


class _NamedUser(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    user: User | None = None


class _NamedContext(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    context: Context | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    current_context: str | None = None
    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None


class Entry(msgspec.Struct, Generic[T], frozen=True):
    """A cluster, user or context, and the file it comes from."""

    path: Path
    value: T


class Kubeconfig(msgspec.Struct, frozen=True, kw_only=True):
    """The merged files. `paths` are those that exist."""

    paths: tuple[Path, ...]
    current_context: str
    clusters: Mapping[str, Entry[Cluster]]
    users: Mapping[str, Entry[User]]
    contexts: Mapping[str, Entry[Context]]

    @property
    def where(self) -> str:
        """Return the files, for messages."""
        return ", ".join(map(str, self.paths)) or "kubeconfig"


def kubeconfig_paths(variable: str, home: Path) -> list[Path]:
    """Return the files that the KUBECONFIG variable lists, or the default file when it is empty."""
    paths = [Path(part).expanduser() for part in variable.split(":") if part]
    return list(dict.fromkeys(paths)) or [home / ".kube" / "config"]


def read_kubeconfigs(paths: Sequence[Path]) -> Kubeconfig:
    """Read and merge the files; those that do not exist are skipped.

    Raises:
        ConfigError: a file cannot be read, is no YAML, or has a field of the wrong type.
    """
    existing: list[Path] = []
    current_context = ""
    clusters: dict[str, Entry[Cluster]] = {}
    users: dict[str, Entry[User]] = {}
    contexts: dict[str, Entry[Context]] = {}
    for path in paths:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as err:
            raise ConfigError(f"{path}: cannot read the kubeconfig: {err.strerror or err}") from err
        existing.append(path)
        file = _parse(path, content)
        current_context = current_context or file.current_context or ""
        for cluster in _distinct(path, "clusters", file.clusters):
            value = _anchor_cluster(cluster.cluster or Cluster(), path)
            clusters.setdefault(cluster.name, Entry(path, value))
        for user in _distinct(path, "users", file.users):
            users.setdefault(user.name, Entry(path, _anchor_user(user.user or User(), path)))
        for context in _distinct(path, "contexts", file.contexts):
            contexts.setdefault(context.name, Entry(path, context.context or Context()))
    return Kubeconfig(
        paths=tuple(existing), current_context=current_context, clusters=clusters, users=users, contexts=contexts
    )


def read_file(path: Path, field: str) -> bytes:
    """Return the content of the file that `field` names.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as err:
        raise ConfigError(f"{field}: cannot read {path}: {err.strerror or err}") from err


def _parse(path: Path, content: bytes) -> _File:
    import yaml  # only those who read a kubeconfig pay for the import

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # A name such as 2024-01-01 is text to Kubernetes, while YAML 1.1 would make a date of it.
    resolvers = {
        first: [(tag, pattern) for tag, pattern in candidates if tag != "tag:yaml.org,2002:timestamp"]
        for first, candidates in base.yaml_implicit_resolvers.items()
    }
    loader = type("KubeconfigLoader", (base,), {"yaml_implicit_resolvers": resolvers})
    try:
        tree = yaml.load(content, Loader=loader)
    except (yaml.YAMLError, ValueError) as err:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(err).split())}") from err
    if tree is None:
        return _File()
    try:
        return msgspec.convert(tree, _File)
    except msgspec.ValidationError as err:
        raise ConfigError(f"{path}: {_readable(str(err))}") from err


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _distinct(path: Path, field: str, entries: Sequence[N] | None) -> Sequence[N]:
    """Return the entries of a list, whose names must differ."""
    names = [entry.name for entry in entries or ()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: {field}: duplicate name {twice!r}: remove one of the entries")
    return entries or ()


def _anchor_cluster(cluster: Cluster, path: Path) -> Cluster:
    return msgspec.structs.replace(cluster, certificate_authority=_anchor(cluster.certificate_authority, path))


def _anchor_user(user: User, path: Path) -> User:
    command = user.exec.command if user.exec else ""
    return msgspec.structs.replace(
        user,
        client_certificate=_anchor(user.client_certificate, path),
        client_key=_anchor(user.client_key, path),
        token_file=_anchor(user.token_file, path),
        # A bare name is looked up in PATH; only one with a slash is a path.
        exec=msgspec.structs.replace(user.exec, command=_anchor(command, path))
        if user.exec and "/" in command
        else user.exec,
    )


def _anchor(file: str, kubeconfig: Path) -> str:
    """Return `file` as seen from the folder of the kubeconfig that names it."""
    return str(kubeconfig.absolute().parent / file) if file else ""


def _readable(message: str) -> str:
    """Turn msgspec's ``... - at `$.users[0].name` `` into a message that begins with the field."""
    complaint, _, path = message.partition(" - at `$")
    return f"{path.strip('.`') or 'the file'}: {complaint.replace('`', '')}"
