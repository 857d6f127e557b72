"""Where the cluster is and who we are there: from kubeconfig files, overriding flags, or the pod we run in.

    files ──merge──▶ context ──▶ cluster + user ◀── overrides (flags)
                                      │
                                      ▼
                               ConnectionConfig ──▶ prograde.kube.http

How files are merged is told in `prograde.kube.kubeconfig`. Nothing is written back, and neither the environment nor the
home folder is read here: callers pass paths and environment.

Every complaint is a `ConfigError` that names file, field and remedy. As kubectl's loader does, credentials that would
go over plain HTTP are left out: anybody on the way could read them.
"""

import base64
import binascii
import ipaddress
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from prograde.kube.credentials import (
    ClusterInfo,
    Credentials,
    ExecCredentials,
    FixedCredentials,
    Identity,
    TokenFileCredentials,
    basic_authorization,
)
from prograde.kube.errors import ConfigError
from prograde.kube.kubeconfig import (
    Cluster,
    Context,
    Entry,
    Kubeconfig,
    User,
    kubeconfig_paths,
    read_file,
    read_kubeconfigs,
)

__all__ = [
    "ConnectionConfig",
    "Impersonation",
    "Overrides",
    "TlsConfig",
    "kubeconfig_paths",
    "load_in_cluster",
    "load_kubeconfig",
    "proxy_from_environment",
]

logger = logging.getLogger(__name__)

SERVICE_ACCOUNT_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
"""The cluster extension that is handed to exec plugins as `config`."""


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to know the server. Client certificates are part of the credentials."""

    certificate_authority: bytes = b""
    """PEM; empty for the system's authorities."""
    server_name: str = ""
    """Name to expect in the certificate; empty for the URL's host."""
    insecure_skip_verify: bool = False


class Impersonation(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf requests are made."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


class ConnectionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that a transport needs, and the namespace that commands default to."""

    server: str
    """URL without trailing slash; may have a path."""
    credentials: Credentials
    tls: TlsConfig = TlsConfig()
    proxy_url: str = ""
    impersonation: Impersonation = Impersonation()
    disable_compression: bool = False
    namespace: str = "default"
    context: str = ""


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What flags say on top of the files; empty means not given. A token or basic login replaces the user's own."""

    context: str = ""
    cluster: str = ""
    user: str = ""
    namespace: str = ""
    server: str = ""
    token: str = ""
    username: str = ""
    password: str = ""
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    proxy_url: str = ""
    disable_compression: bool = False
    impersonate_user: str = ""
    impersonate_uid: str = ""
    impersonate_groups: tuple[str, ...] = ()


# -- entry points -----------------------------------------------------------------------------------------------


def load_kubeconfig(
    paths: Sequence[Path],
    overrides: Overrides | None = None,
    *,
    environ: Mapping[str, str],
    now: Callable[[], datetime],
    is_interactive: bool = False,
) -> ConnectionConfig:
    """Return the connection that the files and overrides describe. Files that do not exist are skipped.

    Args:
        environ: for exec plugins and the usual proxy variables.
        now: for the expiry of what exec plugins hand out.
        is_interactive: whether exec plugins may talk to the user on standard input.

    Raises:
        ConfigError: no file exists and no server is given, something cannot be read, or a part is missing or wrong.
    """
    overrides = overrides or Overrides()
    merged = read_kubeconfigs(paths)
    if not merged.paths and not overrides.server:
        tried = ", ".join(map(str, paths)) or "nothing"
        raise ConfigError(f"no kubeconfig found (tried {tried}): set KUBECONFIG or use --kubeconfig")
    context_name, context = _pick_context(merged, overrides)
    cluster_entry = _pick_cluster(merged, context, overrides)
    user_where, user = _pick_user(merged, context, overrides)
    cluster = cluster_entry.value
    cluster_where = f"{cluster_entry.path}: clusters[{overrides.cluster or context.cluster}].cluster"
    tls = _tls_of(cluster, cluster_where)
    server = _server_url(cluster, user, cluster_where)
    proxy_url = cluster.proxy_url or proxy_from_environment(server, environ)
    _check_proxy(proxy_url, f"{cluster_where}.proxy-url")
    credentials: Credentials = FixedCredentials(Identity())
    if server.startswith("https:"):
        info = ClusterInfo(
            server=server,
            tls_server_name=tls.server_name,
            insecure_skip_tls_verify=tls.insecure_skip_verify,
            certificate_authority_data=base64.b64encode(tls.certificate_authority).decode(),
            proxy_url=cluster.proxy_url,
            config=next((ext.extension for ext in cluster.extensions or () if ext.name == EXEC_EXTENSION), None),
        )
        credentials = _credentials_of(user, user_where, info, environ, now, is_interactive)
    elif msgspec.structs.replace(user, as_user="", as_uid="", as_groups=None, as_user_extra=None) != User():
        logger.warning("%s: credentials are not sent over plain HTTP", server)
    return ConnectionConfig(
        server=server,
        credentials=credentials,
        tls=tls,
        proxy_url=proxy_url,
        impersonation=_impersonation_of(user, overrides, user_where),
        disable_compression=cluster.disable_compression,
        namespace=overrides.namespace or context.namespace or "default",
        context=context_name,
    )


def load_in_cluster(
    environ: Mapping[str, str], *, namespace: str = "", folder: Path = SERVICE_ACCOUNT_FOLDER
) -> ConnectionConfig:
    """Return the connection of the pod we run in, with the token that the kubelet keeps fresh.

    Raises:
        ConfigError: we do not run in a pod, or its service account token is not mounted.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ConfigError(
            "not inside a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; use --kubeconfig"
        )
    token, authority = folder / "token", folder / "ca.crt"
    if not token.exists():
        raise ConfigError(f"{token}: no service account token is mounted: check automountServiceAccountToken")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    namespace_file = folder / "namespace"
    if not namespace and namespace_file.exists():
        namespace = read_file(namespace_file, str(namespace_file)).decode(errors="replace").strip()
    return ConnectionConfig(
        server=server,
        credentials=TokenFileCredentials(token),
        tls=TlsConfig(certificate_authority=read_file(authority, str(authority))),
        proxy_url=proxy_from_environment(server, environ),
        namespace=namespace or "default",
    )


def proxy_from_environment(server: str, environ: Mapping[str, str]) -> str:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY ask for; ``""`` for none, as always for loopback."""
    url = urlsplit(server)
    name = f"{url.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name) or ""
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    if not proxy or _is_loopback(host):
        return ""
    excluded = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_excludes(entry.strip().lower(), host, port) for entry in excluded.split(",") if entry.strip()):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


# -- choosing ---------------------------------------------------------------------------------------------------


def _pick_context(merged: Kubeconfig, overrides: Overrides) -> tuple[str, Context]:
    name = overrides.context or merged.current_context
    if not name:
        if overrides.server or overrides.cluster:
            return "", Context()
        if not merged.contexts:
            raise ConfigError(f"{merged.where}: contexts: there are none: is this the right kubeconfig?")
        raise ConfigError(
            f"{merged.where}: current-context is not set: choose one of {_names(merged.contexts)} with --context"
        )
    entry = merged.contexts.get(name)
    if entry is None:
        raise ConfigError(f"{merged.where}: context {name!r} does not exist: there are {_names(merged.contexts)}")
    return name, entry.value


def _pick_cluster(merged: Kubeconfig, context: Context, overrides: Overrides) -> Entry[Cluster]:
    name = overrides.cluster or context.cluster
    entry = merged.clusters.get(name)
    if entry is None:
        if not overrides.server:
            raise ConfigError(f"{merged.where}: cluster {name!r} does not exist: there are {_names(merged.clusters)}")
        entry = Entry(Path("flags"), Cluster())
    cluster = entry.value
    changes: dict[str, Any] = {}
    if overrides.server:
        changes["server"] = overrides.server
    if overrides.certificate_authority:
        changes |= {"certificate_authority": overrides.certificate_authority, "certificate_authority_data": ""}
    if overrides.insecure_skip_tls_verify:
        # The flag is meant to get past the file's authority, not to quarrel with it.
        changes |= {
            "insecure_skip_tls_verify": True,
            "certificate_authority": overrides.certificate_authority,
            "certificate_authority_data": "",
        }
    if overrides.tls_server_name:
        changes["tls_server_name"] = overrides.tls_server_name
    if overrides.proxy_url:
        changes["proxy_url"] = overrides.proxy_url
    if overrides.disable_compression:
        changes["disable_compression"] = True
    return Entry(entry.path, msgspec.structs.replace(cluster, **changes))


def _pick_user(merged: Kubeconfig, context: Context, overrides: Overrides) -> tuple[str, User]:
    name = overrides.user or context.user
    entry = merged.users.get(name)
    if entry is None and overrides.user:
        raise ConfigError(f"{merged.where}: user {name!r} does not exist: there are {_names(merged.users)}")
    user = entry.value if entry else User()
    where = f"{entry.path if entry else merged.where}: users[{name}].user"
    if overrides.token or overrides.username:
        kept = {"as_user": user.as_user, "as_uid": user.as_uid, "as_groups": user.as_groups}
        user = User(
            token=overrides.token,
            username=overrides.username,
            password=overrides.password,
            **kept,  # type: ignore[arg-type]
        )
        where = "flags"
    if overrides.client_certificate:
        user = msgspec.structs.replace(
            user, client_certificate=overrides.client_certificate, client_certificate_data=""
        )
    if overrides.client_key:
        user = msgspec.structs.replace(user, client_key=overrides.client_key, client_key_data="")
    return where, user


def _names(entries: Mapping[str, object]) -> str:
    return ", ".join(sorted(entries)) or "none"


# -- building ---------------------------------------------------------------------------------------------------


def _server_url(cluster: Cluster, user: User, where: str) -> str:
    server = cluster.server
    if not server:
        raise ConfigError(f"{where}.server: empty: give the URL of the API server")
    if "://" not in server:
        speaks_tls = bool(
            cluster.certificate_authority
            or cluster.certificate_authority_data
            or cluster.insecure_skip_tls_verify
            or user.client_certificate
            or user.client_certificate_data
        )
        server = f"{'https' if speaks_tls else 'http'}://{server}"
    try:
        url = urlsplit(server)
        is_usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is no number
        is_usable = False
    if not is_usable:
        raise ConfigError(f"{where}.server: {cluster.server!r} is not an http or https URL")
    return server.rstrip("/")


def _tls_of(cluster: Cluster, where: str) -> TlsConfig:
    field = f"{where}.certificate-authority"
    authority = _file_or_data(cluster.certificate_authority, cluster.certificate_authority_data, field)
    if authority and cluster.insecure_skip_tls_verify:
        raise ConfigError(f"{field}: cannot be combined with insecure-skip-tls-verify: remove one of them")
    return TlsConfig(
        certificate_authority=authority,
        server_name=cluster.tls_server_name,
        insecure_skip_verify=cluster.insecure_skip_tls_verify,
    )


def _credentials_of(
    user: User,
    where: str,
    cluster: ClusterInfo,
    environ: Mapping[str, str],
    now: Callable[[], datetime],
    is_interactive: bool,
) -> Credentials:
    if user.auth_provider is not None:
        raise ConfigError(
            f"{where}.auth-provider: {user.auth_provider.name!r} providers were removed from Kubernetes: "
            "configure an exec plugin instead"
        )
    if user.username and (user.token or user.token_file):
        raise ConfigError(f"{where}: both a token and a username are given: remove one of them")
    certificate = _file_or_data(user.client_certificate, user.client_certificate_data, f"{where}.client-certificate")
    key = _file_or_data(user.client_key, user.client_key_data, f"{where}.client-key")
    if bool(certificate) != bool(key):
        given, missing = ("client-certificate", "client-key") if certificate else ("client-key", "client-certificate")
        raise ConfigError(f"{where}: {given} is given without {missing}: give both")
    if user.exec is not None:
        return ExecCredentials(
            user.exec, where=f"{where}.exec", cluster=cluster, environ=environ, is_interactive=is_interactive, now=now
        )
    identity = Identity(client_certificate=certificate, client_key=key)
    if user.token_file:
        return TokenFileCredentials(Path(user.token_file), identity)
    if user.token:
        identity = msgspec.structs.replace(identity, authorization=f"Bearer {user.token}")
    elif user.username:
        identity = msgspec.structs.replace(identity, authorization=basic_authorization(user.username, user.password))
    return FixedCredentials(identity)


def _impersonation_of(user: User, overrides: Overrides, where: str) -> Impersonation:
    impersonation = Impersonation(
        user=overrides.impersonate_user or user.as_user,
        uid=overrides.impersonate_uid or user.as_uid,
        groups=overrides.impersonate_groups or user.as_groups or (),
        extra=user.as_user_extra or {},
    )
    if not impersonation.user and impersonation != Impersonation():
        raise ConfigError(f"{where}: uid, groups or extra are impersonated without a user: give `as` (--as) too")
    return impersonation


def _file_or_data(file: str, encoded: str, field: str) -> bytes:
    """Return the content of a `field` or of its `-data` twin, which wins."""
    if encoded:
        try:
            return base64.b64decode("".join(encoded.split()), validate=True)
        except binascii.Error as err:
            raise ConfigError(f"{field}-data: not base64: {err}") from err
    return read_file(Path(file), field) if file else b""


def _check_proxy(proxy_url: str, where: str) -> None:
    if proxy_url and urlsplit(proxy_url).scheme not in ("http", "https"):
        raise ConfigError(f"{where}: {proxy_url!r}: only http and https proxies are supported")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _excludes(entry: str, host: str, port: int) -> bool:
    """Return whether one NO_PROXY entry covers the host: ``*``, a network, or an address or domain, maybe with port.

    ``example.com`` stands for itself and its subdomains, ``.example.com`` and ``*.example.com`` for the latter only.
    """
    if entry == "*":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    try:
        url = urlsplit(f"//{entry}")
        if url.port not in (None, port):
            return False
    except ValueError:
        return False
    domain = (url.hostname or "").removeprefix("*")
    return host.endswith(domain) if domain.startswith(".") else f".{host}".endswith(f".{domain}")
