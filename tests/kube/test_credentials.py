"""Tokens that change, and programs that hand out identities."""

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.kube.virtual_time import virtual_time, wall_clock

from prograde.kube.credentials import (
    ClusterInfo,
    ExecCredentials,
    ExecSpec,
    FixedCredentials,
    Identity,
    TokenFileCredentials,
    run_plugin,
)
from prograde.kube.errors import ConfigError

V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


def credential(token: str = "", *, version: str = V1, **status: Any) -> bytes:
    if token:
        status["token"] = token
    return json.dumps({"kind": "ExecCredential", "apiVersion": version, "status": status}).encode()


class Plugin:
    """Stands where a program is run; answers in order, the last answer for ever."""

    def __init__(self, *answers: bytes | OSError, seconds: float = 0) -> None:
        self.answers = list(answers)
        self.seconds = seconds
        self.runs: list[tuple[list[str], Mapping[str, str], bool]] = []

    async def __call__(self, command: list[str], environ: Mapping[str, str], interactive: bool) -> bytes:
        self.runs.append((command, environ, interactive))
        await asyncio.sleep(self.seconds)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


def credentials(plugin: Plugin, *, is_interactive: bool = False, **spec: Any) -> ExecCredentials:
    fields: dict[str, Any] = {"api_version": V1, "command": "plugin", "interactive_mode": "IfAvailable"}
    return ExecCredentials(
        ExecSpec(**fields | spec),
        where="config: users[u].user.exec",
        cluster=ClusterInfo(server="https://api"),
        environ={"PATH": "/bin"},
        is_interactive=is_interactive,
        now=wall_clock,
        run=plugin,
    )


# -- token files ------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_token_file_is_read_again_every_minute(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    tokens = TokenFileCredentials(file)
    assert (await tokens.get()).authorization == "Bearer one"
    file.write_text("two")
    await asyncio.sleep(59)
    assert (await tokens.get()).authorization == "Bearer one"
    await asyncio.sleep(1)
    assert (await tokens.get()).authorization == "Bearer two"


@virtual_time
async def test_a_refused_token_is_read_again_at_once_and_retried_only_if_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    tokens = TokenFileCredentials(file)
    used = await tokens.get()
    assert await tokens.renew(used) is False
    file.write_text("two")
    assert await tokens.renew(used) is True
    assert (await tokens.get()).authorization == "Bearer two"


@pytest.mark.parametrize("damage", ["missing", "empty", "binary"])
def test_while_the_file_is_being_replaced_the_old_token_stays(tmp_path: Path, damage: str) -> None:
    @virtual_time
    async def check() -> None:
        file = tmp_path / "token"
        file.write_text("one")
        tokens = TokenFileCredentials(file)
        await tokens.get()
        await asyncio.sleep(100)
        match damage:
            case "missing":
                file.unlink()
            case "empty":
                file.write_text("")
            case _:
                file.write_bytes(b"\xff\xfe")
        assert (await tokens.get()).authorization == "Bearer one"

    check()


@virtual_time
async def test_a_token_file_that_was_never_readable_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"token: cannot read the token file: .*No such file"):
        await TokenFileCredentials(tmp_path / "token").get()
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(ConfigError, match="token: the token file is empty"):
        await TokenFileCredentials(tmp_path / "token").get()


@virtual_time
async def test_fixed_credentials_are_not_worth_a_retry() -> None:
    identity = Identity(authorization="Bearer x")
    fixed = FixedCredentials(identity)
    assert await fixed.get() is identity
    assert await fixed.renew(identity) is False


# -- exec plugins -----------------------------------------------------------------------------------------------


@virtual_time
async def test_a_plugin_runs_once_until_its_credential_expires() -> None:
    expiry = (wall_clock() + timedelta(minutes=10)).isoformat()
    plugin = Plugin(credential("one", expirationTimestamp=expiry), credential("two"))
    source = credentials(plugin)
    for _ in range(5):
        assert (await source.get()).authorization == "Bearer one"
    await asyncio.sleep(589)
    assert (await source.get()).authorization == "Bearer one"
    await asyncio.sleep(1)  # within ten seconds of the end
    assert (await source.get()).authorization == "Bearer two"
    await asyncio.sleep(10**6)
    assert (await source.get()).authorization == "Bearer two"  # without expiry it stays
    assert len(plugin.runs) == 2


@virtual_time
async def test_a_refused_credential_is_asked_for_again() -> None:
    plugin = Plugin(credential("one"), credential("two"))
    source = credentials(plugin)
    used = await source.get()
    assert await source.renew(used) is True
    assert (await source.get()).authorization == "Bearer two"
    assert await source.renew(used) is True  # a slow request with the old one: nothing to forget
    assert (await source.get()).authorization == "Bearer two"
    assert len(plugin.runs) == 2


@virtual_time
async def test_concurrent_requests_share_one_run() -> None:
    plugin = Plugin(credential("one"), seconds=3)
    source = credentials(plugin)
    identities = await asyncio.gather(*(source.get() for _ in range(20)))
    assert {identity.authorization for identity in identities} == {"Bearer one"}
    assert len(plugin.runs) == 1


@virtual_time
async def test_certificates_from_a_plugin() -> None:
    plugin = Plugin(credential(clientCertificateData="CERT", clientKeyData="KEY"))
    assert await credentials(plugin).get() == Identity(client_certificate=b"CERT", client_key=b"KEY")


@pytest.mark.parametrize(
    ("mode", "has_terminal", "expected"),
    [
        ("Never", True, False),
        ("IfAvailable", True, True),
        ("IfAvailable", False, False),
        ("Always", True, True),
    ],
)
def test_interactive_modes(mode: str, has_terminal: bool, expected: bool) -> None:
    @virtual_time
    async def check() -> None:
        plugin = Plugin(credential("one"))
        await credentials(plugin, interactive_mode=mode, is_interactive=has_terminal).get()
        _, environ, interactive = plugin.runs[0]
        assert interactive is expected
        assert json.loads(environ["KUBERNETES_EXEC_INFO"])["spec"]["interactive"] is expected

    check()


@virtual_time
async def test_v1beta1_needs_no_mode_and_gets_its_own_version() -> None:
    plugin = Plugin(credential("one", version=V1BETA1))
    source = credentials(plugin, api_version=V1BETA1, interactive_mode="")
    assert (await source.get()).authorization == "Bearer one"
    request = json.loads(plugin.runs[0][1]["KUBERNETES_EXEC_INFO"])
    assert request == {"kind": "ExecCredential", "apiVersion": V1BETA1, "spec": {"interactive": False}}
    assert plugin.runs[0][0] == ["plugin"]
    assert plugin.runs[0][1]["PATH"] == "/bin"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "answered something that is no ExecCredential"),
        (b"token", "answered something that is no ExecCredential"),
        (credential("x", version=V1BETA1), f"answered ExecCredential {V1BETA1}, expected ExecCredential {V1}"),
        (b'{"kind":"Pod","apiVersion":"v1"}', "answered Pod v1, expected ExecCredential"),
        (credential(), "neither a token nor a client certificate"),
        (credential(clientCertificateData="C"), "only one of clientCertificateData and clientKeyData"),
        (credential("x", expirationTimestamp="2026-01-01T00:00:00"), "expirationTimestamp without time zone"),
        (credential("x", expirationTimestamp="soon"), "no ExecCredential"),
        (FileNotFoundError("x"), "program 'plugin' is not installed: get it from example.com"),
        (TimeoutError("no answer within 60 s"), "cannot run 'plugin': no answer within 60 s"),
        (
            OSError("it failed with exit code 1: log in first"),
            "cannot run 'plugin': it failed with exit code 1: log in",
        ),
    ],
)
def test_a_plugin_that_goes_wrong_is_named_with_its_kubeconfig_entry(answer: bytes | OSError, message: str) -> None:
    @virtual_time
    async def check() -> None:
        source = credentials(Plugin(answer), install_hint="get it from example.com\n")
        with pytest.raises(ConfigError) as caught:
            await source.get()
        assert str(caught.value).startswith("config: users[u].user.exec: ")
        assert message in str(caught.value)

    check()


@virtual_time
async def test_a_plugin_that_failed_is_run_again_at_the_next_request() -> None:
    source = credentials(Plugin(OSError("not yet"), credential("one")))
    with pytest.raises(ConfigError):
        await source.get()
    assert (await source.get()).authorization == "Bearer one"


# -- real programs ----------------------------------------------------------------------------------------------


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_a_program_gets_arguments_and_environment_and_no_input(tmp_path: Path) -> None:
    script(tmp_path / "plugin", 'echo "$1 $X $(cat | wc -c)"')
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "X": "y"}
    assert (await run_plugin(["plugin", "a b"], environ, False)).split() == [b"a", b"b", b"y", b"0"]


async def test_a_program_that_fails_shows_what_it_said_on_standard_error_only(tmp_path: Path) -> None:
    program = script(tmp_path / "plugin", "echo secret; echo please log in >&2; exit 3")
    with pytest.raises(OSError, match="^it failed with exit code 3: please log in$"):
        await run_plugin([str(program)], {}, False)


async def test_a_missing_program_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "plugin").write_text("not executable")
    for name in ("plugin", str(tmp_path / "plugin"), str(tmp_path)):
        with pytest.raises(FileNotFoundError):
            await run_plugin([name], {"PATH": str(tmp_path)}, False)


async def test_a_program_is_killed_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = script(tmp_path / "plugin", f"echo $$ > {fifo}; exec sleep 100")
    running = asyncio.create_task(run_plugin([str(program)], {"PATH": "/usr/bin:/bin"}, False))
    pid = int(await asyncio.to_thread(fifo.read_text))  # returns once the program has written
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
