"""A certificate authority of one's own, for one cluster on one machine.

kubectl sends its token over TLS only, so the cluster needs a certificate that kubectl can check: an authority made at
the first start, and a server certificate signed by it for all names of this machine that lead to it. The key never
leaves the cluster's directory. Made with the `cryptography` package, or with the ``openssl`` program where that package
is missing.
"""

import ipaddress
import os
import ssl
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which
from typing import NamedTuple

__all__ = ["Certificates", "CertificatesUnavailable", "ensure_certificates"]

VALID_DAYS = 365
CLOCK_TOLERANCE = timedelta(hours=1)
"""How far a clock may be behind ours without taking the certificates for not yet valid."""

RENEW_BEFORE = timedelta(days=30)

NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
ADDRESSES = ("127.0.0.1", "::1", "10.96.0.1")


class CertificatesUnavailable(RuntimeError):
    """Neither of the two ways to make certificates exists on this machine."""


class Certificates(NamedTuple):
    """Where the certificates of a cluster are."""

    authority: Path
    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Return what a server needs to prove that it is this cluster."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(["http/1.1"])
        return context


def ensure_certificates(directory: Path, extra_addresses: tuple[str, ...] = ()) -> Certificates:
    """Return the certificates in `directory`, made now unless there are some that will do for a while.

    `extra_addresses` are further IP addresses under which the cluster answers.

    Raises:
        CertificatesUnavailable: they would have to be made, and there is no way to.
    """
    found = Certificates(directory / "ca.crt", directory / "server.crt", directory / "server.key")
    made_for = directory / "server.names"
    addresses = tuple(dict.fromkeys((*ADDRESSES, *extra_addresses)))
    wanted = "\n".join((*NAMES, *addresses))
    if all(path.exists() for path in found) and made_for.exists() and made_for.read_text() == wanted:
        age = datetime.now(UTC) - datetime.fromtimestamp(found.certificate.stat().st_mtime, UTC)
        if age < timedelta(days=VALID_DAYS) - RENEW_BEFORE:
            return found
    try:
        texts = _made_by_library(addresses)
    except ImportError:
        texts = _made_by_openssl(addresses)
    for path, text in zip(found, texts, strict=True):
        write_private(path, text)
    write_private(made_for, wanted.encode())
    return found


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read; it is never readable by others, not even while it is written."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def _made_by_library(addresses: tuple[str, ...]) -> tuple[bytes, bytes, bytes]:
    """Return authority, certificate and key in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = name("prograde-sandbox-ca")

    def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_TOLERANCE)
            .not_valid_after(now + timedelta(days=VALID_DAYS))
        )

    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    authority = (
        builder(authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(authority_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    alternatives = [x509.DNSName(each) for each in NAMES]
    alternative_addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
    server = (
        builder(name("kube-apiserver"), server_key)
        .add_extension(x509.SubjectAlternativeName([*alternatives, *alternative_addresses]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return authority.public_bytes(pem), server.public_bytes(pem), key


def _made_by_openssl(addresses: tuple[str, ...]) -> tuple[bytes, bytes, bytes]:
    """Return authority, certificate and key in PEM, made by the openssl program."""
    program = which("openssl")
    if program is None:
        message = (
            "HTTPS needs a certificate, and neither the `cryptography` package nor the openssl program is there to "
            "make one: install prograde[sandbox], or serve plain HTTP with --insecure-http"
        )
        raise CertificatesUnavailable(message)
    alternatives = ",".join([*(f"DNS:{each}" for each in NAMES), *(f"IP:{each}" for each in addresses)])
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
    days = ["-days", str(VALID_DAYS)]
    with tempfile.TemporaryDirectory() as directory:

        def run(*arguments: str) -> None:
            try:
                subprocess.run([program, *arguments], cwd=directory, check=True, capture_output=True)
            except subprocess.CalledProcessError as err:
                raise CertificatesUnavailable(f"openssl failed: {err.stderr.decode(errors='replace')}") from err

        run(
            "req",
            "-x509",
            *curve,
            *days,
            "-subj",
            "/CN=prograde-sandbox-ca",
            "-addext",
            "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext",
            "keyUsage=critical,digitalSignature,keyCertSign,cRLSign",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        )
        run("req", *curve, "-subj", "/CN=kube-apiserver", "-keyout", "server.key", "-out", "server.csr")
        extensions = f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth\n"
        Path(directory, "extensions").write_text(extensions)
        signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-sha256", "-extfile", "extensions"]
        run("x509", "-req", "-in", "server.csr", *signing, *days, "-out", "server.crt")
        names = ("ca.crt", "server.crt", "server.key")
        authority, certificate, key = (Path(directory, name).read_bytes() for name in names)
        return authority, certificate, key
