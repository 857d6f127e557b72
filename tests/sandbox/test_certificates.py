import ssl
import stat
from pathlib import Path
from shutil import which

import pytest

from prograde.sandbox import certificates
from prograde.sandbox.certificates import Certificates, CertificatesUnavailable, ensure_certificates


def names_of(path: Path) -> set[tuple[str, str]]:
    decoded = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    return {(kind, name) for kind, name in decoded["subjectAltName"]}


def check(found: Certificates) -> None:
    found.server_context()
    names = names_of(found.certificate)
    for expected in (("DNS", "localhost"), ("DNS", "kubernetes.default.svc"), ("IP Address", "127.0.0.1")):
        assert expected in names
    trust = ssl.create_default_context(cafile=str(found.authority))
    assert [each["subject"] for each in trust.get_ca_certs()] == [((("commonName", "prograde-sandbox-ca"),),)]
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_library_makes_certificates_for_all_local_names(tmp_path: Path) -> None:
    check(ensure_certificates(tmp_path))


def test_the_openssl_program_stands_in_for_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if which("openssl") is None:
        pytest.skip("openssl is not installed")

    def missing(addresses: tuple[str, ...]) -> tuple[bytes, bytes, bytes]:
        raise ImportError("cryptography")

    monkeypatch.setattr(certificates, "_made_by_library", missing)
    check(ensure_certificates(tmp_path))


def test_without_either_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(addresses: tuple[str, ...]) -> tuple[bytes, bytes, bytes]:
        raise ImportError("cryptography")

    monkeypatch.setattr(certificates, "_made_by_library", missing)
    monkeypatch.setattr(certificates, "which", lambda program: None)
    with pytest.raises(CertificatesUnavailable, match=r"install prograde\[sandbox\]"):
        ensure_certificates(tmp_path)


def test_certificates_are_kept_until_another_address_is_needed(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path).certificate.read_bytes()
    assert ensure_certificates(tmp_path).certificate.read_bytes() == first

    other = ensure_certificates(tmp_path, ("192.0.2.1",))
    assert other.certificate.read_bytes() != first
    assert ("IP Address", "192.0.2.1") in names_of(other.certificate)
