"""Kubeconfig files, flags and pods: where the cluster is, who we are, and what to do when that cannot be told."""

import asyncio
import base64
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.kube.virtual_time import run_virtually

from prograde.kube.config import (
    ConnectionConfig,
    Impersonation,
    Overrides,
    kubeconfig_paths,
    load_in_cluster,
    load_kubeconfig,
    proxy_from_environment,
)
from prograde.kube.credentials import Identity
from prograde.kube.errors import ConfigError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(
    cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, context: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": "dev",
        "clusters": [{"name": "c1", "cluster": {"server": "https://api:6443"} | (cluster or {})}],
        "users": [{"name": "u1", "user": user or {}}],
        "contexts": [{"name": "dev", "context": {"cluster": "c1", "user": "u1"} | (context or {})}],
    }


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: Any) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return file

    def load(self, content: Any = None, **options: Any) -> ConnectionConfig:
        """Load one file; keyword arguments are overrides, but for `environ`."""
        environ = options.pop("environ", {})
        path = self.write("config", kubeconfig() if content is None else content)
        return load_kubeconfig([path], Overrides(**options), environ=environ, now=lambda: NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def identity_of(config: ConnectionConfig) -> Identity:
    return run_virtually(config.credentials.get())


# -- choosing ---------------------------------------------------------------------------------------------------


def test_current_context_gives_server_and_namespace(folder: Folder) -> None:
    config = folder.load(kubeconfig(context={"namespace": "shop"}))
    assert (config.server, config.namespace, config.context) == ("https://api:6443", "shop", "dev")
    assert folder.load().namespace == "default"
    assert folder.load(kubeconfig(context={"namespace": "shop"}), namespace="other").namespace == "other"


def test_context_cluster_and_user_can_be_overridden(folder: Folder) -> None:
    content = kubeconfig(user={"token": "t1"})
    content["clusters"].append({"name": "c2", "cluster": {"server": "https://two:6443"}})
    content["users"].append({"name": "u2", "user": {"token": "t2"}})
    content["contexts"].append({"name": "two", "context": {"cluster": "c2", "user": "u2", "namespace": "n2"}})
    config = folder.load(content, context="two")
    assert (config.server, config.namespace, identity_of(config).authorization) == (
        "https://two:6443",
        "n2",
        "Bearer t2",
    )
    config = folder.load(content, cluster="c2")
    assert (config.server, identity_of(config).authorization) == ("https://two:6443", "Bearer t1")
    config = folder.load(content, user="u2")
    assert (config.server, identity_of(config).authorization) == ("https://api:6443", "Bearer t2")


def test_a_server_flag_needs_no_kubeconfig(tmp_path: Path) -> None:
    overrides = Overrides(server="https://flag:1", token="t")
    config = load_kubeconfig([tmp_path / "none"], overrides, environ={}, now=lambda: NOW)
    assert (config.server, identity_of(config).authorization) == ("https://flag:1", "Bearer t")


def test_flags_win_over_the_file(folder: Folder) -> None:
    authority = folder.write("other.crt", "OTHER")
    content = kubeconfig(
        cluster={"certificate-authority-data": b64("FILE"), "tls-server-name": "file", "proxy-url": "http://file:1"},
        user={"token": "file"},
    )
    config = folder.load(
        content,
        server="https://flag:2/",
        token="flag",
        certificate_authority=str(authority),
        tls_server_name="flag",
        proxy_url="http://flag:3",
        disable_compression=True,
    )
    assert config.server == "https://flag:2"
    assert config.tls.certificate_authority == b"OTHER"
    assert config.tls.server_name == "flag"
    assert config.proxy_url == "http://flag:3"
    assert config.disable_compression
    assert identity_of(config).authorization == "Bearer flag"


def test_the_insecure_flag_sets_the_files_authority_aside(folder: Folder) -> None:
    config = folder.load(kubeconfig(cluster={"certificate-authority-data": b64("CA")}), insecure_skip_tls_verify=True)
    assert config.tls.insecure_skip_verify
    assert config.tls.certificate_authority == b""


@pytest.mark.parametrize("override", [{"token": "flag"}, {"username": "me", "password": "pw"}])
def test_a_token_or_login_flag_replaces_whatever_the_user_has(folder: Folder, override: dict[str, str]) -> None:
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "never-run", "interactiveMode": "Never"},
        "as": "jane",
    }
    config = folder.load(kubeconfig(user=user), **override)
    expected = "Bearer flag" if "token" in override else "Basic " + b64("me:pw")
    assert identity_of(config).authorization == expected
    assert config.impersonation.user == "jane"


# -- merging ----------------------------------------------------------------------------------------------------


def test_several_files_are_merged_and_the_first_to_name_something_wins(folder: Folder) -> None:
    first = folder.write("a/one", {"users": [{"name": "u1", "user": {"token": "first"}}], "contexts": None})
    second = folder.write("b/two", kubeconfig(user={"token": "second"}, cluster={"certificate-authority": "ca.crt"}))
    folder.write("b/ca.crt", "CA")
    third = folder.write("three", kubeconfig(cluster={"server": "https://third"}) | {"current-context": "other"})
    missing = folder.path / "missing"
    config = load_kubeconfig([missing, first, second, third], environ={}, now=lambda: NOW)
    assert config.server == "https://api:6443"
    assert config.context == "dev"
    assert config.tls.certificate_authority == b"CA"  # relative to the file that names it
    assert identity_of(config).authorization == "Bearer first"


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("", ["/home/me/.kube/config"]),
        ("/a", ["/a"]),
        ("/a:/b:/a", ["/a", "/b"]),
        (":/a::", ["/a"]),
        (":", ["/home/me/.kube/config"]),
    ],
)
def test_paths_of_the_kubeconfig_variable(variable: str, expected: list[str]) -> None:
    assert [str(path) for path in kubeconfig_paths(variable, Path("/home/me"))] == expected


def test_empty_lists_and_files_as_kubectl_writes_them_are_read(folder: Folder) -> None:
    empty = folder.write("empty", "")
    nulls = folder.write("nulls", "clusters: null\ncontexts: null\nusers: null\ncurrent-context: ''\n")
    full = folder.write("full", kubeconfig())
    assert load_kubeconfig([empty, nulls, full], environ={}, now=lambda: NOW).context == "dev"


def test_names_that_yaml_takes_for_dates_stay_names(folder: Folder) -> None:
    text = yaml.safe_dump(kubeconfig()).replace("dev", "2026-01-01")
    assert folder.load(text).context == "2026-01-01"


# -- credentials ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param({}, Identity(), id="anonymous"),
        pytest.param({"token": "t"}, Identity(authorization="Bearer t"), id="token"),
        pytest.param({"tokenFile": "t.txt"}, Identity(authorization="Bearer from file"), id="token file"),
        pytest.param({"token": "t", "tokenFile": "t.txt"}, Identity(authorization="Bearer from file"), id="file wins"),
        pytest.param({"username": "me", "password": "pw"}, Identity(authorization="Basic " + b64("me:pw")), id="basic"),
        pytest.param(
            {"client-certificate": "c.pem", "client-key": "k.pem"},
            Identity(client_certificate=b"CERT", client_key=b"KEY"),
            id="certificate files",
        ),
        pytest.param(
            {"client-certificate-data": b64("C"), "client-key-data": b64("K"), "client-certificate": "c.pem"},
            Identity(client_certificate=b"C", client_key=b"K"),
            id="data wins over file",
        ),
        pytest.param(
            {"client-certificate": "c.pem", "client-key": "k.pem", "tokenFile": "t.txt"},
            Identity(authorization="Bearer from file", client_certificate=b"CERT", client_key=b"KEY"),
            id="certificate and token",
        ),
    ],
)
def test_users(folder: Folder, user: dict[str, Any], expected: Identity) -> None:
    folder.write("t.txt", "from file\n")
    folder.write("c.pem", "CERT")
    folder.write("k.pem", "KEY")
    assert identity_of(folder.load(kubeconfig(user=user))) == expected


def test_exec_plugins_get_cluster_and_a_command_relative_to_their_file(folder: Folder) -> None:
    plugin = folder.write(
        "bin/plugin",
        "#!/bin/sh\n"
        'echo "$KUBERNETES_EXEC_INFO" > "$(dirname "$0")/info"\n'
        "cat <<END\n"
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "$1$X"}}\n'
        "END\n",
    )
    plugin.chmod(0o755)
    spec = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./bin/plugin",
        "args": ["hello-"],
        "env": [{"name": "X", "value": "world"}],
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    cluster = {
        "certificate-authority-data": b64("CA"),
        "tls-server-name": "api",
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}],
    }
    config = folder.load(kubeconfig(cluster=cluster, user={"exec": spec}), environ={"PATH": "/usr/bin:/bin"})

    async def get() -> Identity:
        return await config.credentials.get()

    assert asyncio.run(get()).authorization == "Bearer hello-world"
    info = json.loads((folder.path / "bin/info").read_text())
    assert info["spec"] == {
        "interactive": False,
        "cluster": {
            "server": "https://api:6443",
            "tls-server-name": "api",
            "certificate-authority-data": b64("CA"),
            "config": {"audience": "x"},
        },
    }


def test_impersonation_from_file_and_flags(folder: Folder) -> None:
    user = {"as": "jane", "as-uid": "7", "as-groups": ["dev"], "as-user-extra": {"scope": ["view"]}}
    expected = Impersonation(user="jane", uid="7", groups=("dev",), extra={"scope": ("view",)})
    assert folder.load(kubeconfig(user=user)).impersonation == expected
    flags = folder.load(kubeconfig(), impersonate_user="root", impersonate_groups=("a", "b"), impersonate_uid="0")
    assert flags.impersonation == Impersonation(user="root", uid="0", groups=("a", "b"))


def test_credentials_are_not_sent_over_plain_http(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    config = folder.load(kubeconfig(cluster={"server": "http://127.0.0.1:8080"}, user={"token": "secret"}))
    assert identity_of(config) == Identity()
    assert "http://127.0.0.1:8080: credentials are not sent over plain HTTP" in caplog.text
    caplog.clear()
    folder.load(kubeconfig(cluster={"server": "http://127.0.0.1:8080"}, user={"as": "jane"}))
    assert not caplog.text


@pytest.mark.parametrize(
    ("server", "cluster", "expected"),
    [
        ("https://api:6443/", {}, "https://api:6443"),
        ("https://host/k8s/clusters/c-1", {}, "https://host/k8s/clusters/c-1"),
        ("api:6443", {}, "http://api:6443"),
        ("api:6443", {"insecure-skip-tls-verify": True}, "https://api:6443"),
        ("https://[::1]:6443", {}, "https://[::1]:6443"),
    ],
)
def test_server_urls(folder: Folder, server: str, cluster: dict[str, Any], expected: str) -> None:
    assert folder.load(kubeconfig(cluster=cluster | {"server": server})).server == expected


def test_credentials_do_not_show_in_representations(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        config = folder.load(kubeconfig(user={"token": "secret"}))
    assert "secret" not in f"{config!r} {identity_of(config)!r} {caplog.text}"


# -- complaints -------------------------------------------------------------------------------------------------

EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "interactiveMode": "Never"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("a: [", "{config}: not YAML: ", id="malformed YAML"),
        pytest.param("just text", "{config}: the file: Expected object, got str", id="no mapping"),
        pytest.param("\x00", "{config}: not YAML: ", id="binary"),
        pytest.param("kind: Config", "{config}: contexts: there are none", id="no contexts"),
        pytest.param(
            kubeconfig() | {"current-context": ""},
            "{config}: current-context is not set: choose one of dev with --context",
            id="no current context",
        ),
        pytest.param(
            kubeconfig() | {"current-context": "prod"},
            "{config}: context 'prod' does not exist: there are dev",
            id="unknown context",
        ),
        pytest.param(
            kubeconfig(context={"cluster": "gone"}),
            "{config}: cluster 'gone' does not exist: there are c1",
            id="unknown cluster",
        ),
        pytest.param(
            kubeconfig(cluster={"server": ""}), "{config}: clusters[c1].cluster.server: empty", id="no server"
        ),
        pytest.param(
            kubeconfig(cluster={"server": "ftp://x"}),
            "{config}: clusters[c1].cluster.server: 'ftp://x' is not an http or https URL",
            id="other scheme",
        ),
        pytest.param(
            kubeconfig(cluster={"server": "https://x:port"}),
            "'https://x:port' is not an http or https URL",
            id="bad port",
        ),
        pytest.param(kubeconfig(cluster={"server": "https://"}), "'https://' is not an http", id="no host"),
        pytest.param(
            kubeconfig(cluster={"server": 5}),
            "{config}: clusters[0].cluster.server: Expected str, got int",
            id="wrong type",
        ),
        pytest.param(
            kubeconfig(user={"token": 12345}),
            "{config}: users[0].user.token: Expected str, got int",
            id="number as token",
        ),
        pytest.param(
            kubeconfig(cluster={"certificate-authority": "gone.crt"}),
            "{config}: clusters[c1].cluster.certificate-authority: cannot read {folder}/gone.crt: No such file",
            id="missing CA file",
        ),
        pytest.param(
            kubeconfig(cluster={"certificate-authority-data": "%%%"}),
            "{config}: clusters[c1].cluster.certificate-authority-data: not base64: ",
            id="CA data not base64",
        ),
        pytest.param(
            kubeconfig(cluster={"certificate-authority-data": b64("x"), "insecure-skip-tls-verify": True}),
            "certificate-authority: cannot be combined with insecure-skip-tls-verify",
            id="CA and insecure",
        ),
        pytest.param(
            kubeconfig(cluster={"proxy-url": "socks5://x:1"}),
            "{config}: clusters[c1].cluster.proxy-url: 'socks5://x:1': only http and https proxies are supported",
            id="socks proxy",
        ),
        pytest.param(
            kubeconfig(user={"client-certificate-data": b64("C")}),
            "{config}: users[u1].user: client-certificate is given without client-key",
            id="certificate without key",
        ),
        pytest.param(
            kubeconfig(user={"client-key-data": b64("K")}),
            "{config}: users[u1].user: client-key is given without client-certificate",
            id="key without certificate",
        ),
        pytest.param(
            kubeconfig(user={"token": "t", "username": "me"}),
            "{config}: users[u1].user: both a token and a username are given",
            id="token and login",
        ),
        pytest.param(
            kubeconfig(user={"auth-provider": {"name": "gcp", "config": {}}}),
            "{config}: users[u1].user.auth-provider: 'gcp' providers were removed from Kubernetes: configure an exec",
            id="auth provider",
        ),
        pytest.param(
            kubeconfig(user={"as-groups": ["dev"]}), "impersonated without a user: give `as`", id="groups without user"
        ),
        pytest.param(
            kubeconfig(user={"exec": EXEC | {"command": ""}}),
            "{config}: users[u1].user.exec.command: required",
            id="command",
        ),
        pytest.param(
            kubeconfig(user={"exec": EXEC | {"apiVersion": "client.authentication.k8s.io/v1alpha1"}}),
            "{config}: users[u1].user.exec.apiVersion: 'client.authentication.k8s.io/v1alpha1' is not supported",
            id="old plugin",
        ),
        pytest.param(
            kubeconfig(user={"exec": EXEC | {"interactiveMode": "Sometimes"}}),
            "exec.interactiveMode: 'Sometimes' must be Never, IfAvailable or Always",
            id="unknown mode",
        ),
        pytest.param(
            kubeconfig(user={"exec": {"apiVersion": EXEC["apiVersion"], "command": "x"}}),
            "exec.interactiveMode: '' must be",
            id="v1 needs a mode",
        ),
        pytest.param(
            kubeconfig(user={"exec": EXEC | {"interactiveMode": "Always"}}),
            "exec.interactiveMode: 'x' must ask the user, but standard input is no terminal",
            id="no terminal",
        ),
        pytest.param(
            kubeconfig() | {"users": [{"name": "u1"}, {"name": "u1"}]},
            "{config}: users: duplicate name 'u1': remove one",
            id="duplicate",
        ),
    ],
)
def test_complaints_name_file_field_and_remedy(folder: Folder, content: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        folder.load(content)
    assert message.format(config=folder.path / "config", folder=folder.path) in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"context": "x"}, "context 'x' does not exist: there are dev"),
        ({"cluster": "x"}, "cluster 'x' does not exist: there are c1"),
        ({"user": "x"}, "user 'x' does not exist: there are u1"),
        ({"certificate_authority": "/gone"}, "certificate-authority: cannot read /gone"),
        ({"impersonate_groups": ("x",)}, "impersonated without a user"),
    ],
)
def test_overrides_that_do_not_exist(folder: Folder, override: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        folder.load(**override)


def test_no_kubeconfig_at_all_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_kubeconfig([tmp_path / "a", tmp_path / "b"], environ={}, now=lambda: NOW)
    tried = f"{tmp_path}/a, {tmp_path}/b"
    assert str(caught.value) == f"no kubeconfig found (tried {tried}): set KUBECONFIG or use --kubeconfig"


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}: cannot read the kubeconfig: Is a directory"):
        load_kubeconfig([tmp_path], environ={}, now=lambda: NOW)


# -- in a cluster -----------------------------------------------------------------------------------------------

IN_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def test_in_a_pod_the_service_account_is_used(folder: Folder) -> None:
    folder.write("token", "abc\n")
    folder.write("ca.crt", "CA")
    folder.write("namespace", "rollouts\n")
    config = load_in_cluster(IN_POD, folder=folder.path)
    assert (config.server, config.namespace) == ("https://10.0.0.1:443", "rollouts")
    assert config.tls.certificate_authority == b"CA"
    assert identity_of(config).authorization == "Bearer abc"
    assert load_in_cluster(IN_POD, folder=folder.path, namespace="other").namespace == "other"


def test_ipv6_service_addresses_are_bracketed(folder: Folder) -> None:
    folder.write("token", "abc")
    folder.write("ca.crt", "CA")
    config = load_in_cluster(IN_POD | {"KUBERNETES_SERVICE_HOST": "fd00::1"}, folder=folder.path)
    assert config.server == "https://[fd00::1]:443"
    assert config.namespace == "default"


def test_outside_a_cluster_and_without_token_the_error_says_so(folder: Folder) -> None:
    with pytest.raises(ConfigError, match="not inside a cluster: KUBERNETES_SERVICE_HOST"):
        load_in_cluster({}, folder=folder.path)
    with pytest.raises(ConfigError, match="no service account token is mounted"):
        load_in_cluster(IN_POD, folder=folder.path)
    folder.write("token", "abc")
    with pytest.raises(ConfigError, match=r"ca.crt: cannot read"):
        load_in_cluster(IN_POD, folder=folder.path)


# -- proxies ----------------------------------------------------------------------------------------------------

PROXY = {"HTTPS_PROXY": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("server", "environ", "expected"),
    [
        ("https://api.example.com:6443", {}, ""),
        ("https://api.example.com:6443", PROXY, "http://proxy:3128"),
        ("https://api.example.com:6443", {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ("https://api.example.com:6443", {"HTTP_PROXY": "http://proxy"}, ""),
        ("http://api.example.com", {"HTTP_PROXY": "http://proxy"}, "http://proxy"),
        ("https://127.0.0.1:6443", PROXY, ""),
        ("https://[::1]:6443", PROXY, ""),
        ("https://localhost:6443", PROXY, ""),
        ("https://api.example.com", PROXY | {"NO_PROXY": "*"}, ""),
        ("https://api.example.com", PROXY | {"NO_PROXY": "x, example.com"}, ""),
        ("https://api.example.com", PROXY | {"no_proxy": ".example.com"}, ""),
        ("https://api.example.com", PROXY | {"NO_PROXY": "*.EXAMPLE.com"}, ""),
        ("https://example.com", PROXY | {"NO_PROXY": ".example.com"}, "http://proxy:3128"),
        ("https://example.com", PROXY | {"NO_PROXY": "example.com"}, ""),
        ("https://badexample.com", PROXY | {"NO_PROXY": "example.com"}, "http://proxy:3128"),
        ("https://example.com:6443", PROXY | {"NO_PROXY": "example.com:6443"}, ""),
        ("https://example.com:6443", PROXY | {"NO_PROXY": "example.com:443"}, "http://proxy:3128"),
        ("https://10.1.2.3:6443", PROXY | {"NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://10.1.2.3:6443", PROXY | {"NO_PROXY": "10.1.2.3"}, ""),
        ("https://10.1.2.3:6443", PROXY | {"NO_PROXY": "10.1.2.3:443"}, "http://proxy:3128"),
        ("https://11.1.2.3:6443", PROXY | {"NO_PROXY": "10.0.0.0/8,,x:port"}, "http://proxy:3128"),
        ("https://[fd00::1]:6443", PROXY | {"NO_PROXY": "fd00::/8"}, ""),
    ],
)
def test_proxies_from_the_environment(server: str, environ: dict[str, str], expected: str) -> None:
    assert proxy_from_environment(server, environ) == expected


def test_a_proxy_in_the_kubeconfig_wins_over_the_environment(folder: Folder) -> None:
    config = folder.load(kubeconfig(cluster={"proxy-url": "http://file:1"}), environ=PROXY)
    assert config.proxy_url == "http://file:1"
    assert folder.load(environ=PROXY).proxy_url == "http://proxy:3128"
