"""`prograde sandbox`: a Kubernetes-compatible cluster on this machine, until Ctrl-C."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import click
import msgspec

from prograde.api.manifests import ManifestError
from prograde.cli.connect import raise_as_cli_error, stop_on_signals
from prograde.cli.framework import CliError, command, flag
from prograde.sandbox.certificates import CertificatesUnavailable
from prograde.sandbox.clock import wall_clock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.endpoint import Endpoint
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kubelet.profiles import PROFILES
from prograde.sandbox.server import NotLoopback

__all__ = ["DEFAULT_PORT", "sandbox"]

DEFAULT_PORT = 6445
"""Beside 6443, which a real cluster on the same machine is likely to have."""


@command(
    "sandbox",
    usage="[flags]",
    text=(
        "Run an embedded cluster on this machine: a Kubernetes-compatible API server with Deployments, ReplicaSets, "
        "Services, a garbage collector and a kubelet that pretends. Nothing is pulled and no container runs.\n\n"
        "It listens on a loopback address, writes a kubeconfig, and forgets everything when it ends (Ctrl-C). Rollouts "
        "are known but nobody acts on them: run 'prograde controller' beside it."
    ),
    examples=(
        "# Start a cluster, and use it from another terminal\nprograde sandbox\n"
        "export KUBECONFIG=~/.prograde/sandbox/kubeconfig\nkubectl get nodes\n\n"
        "# With some manifests in it, on any free port\nprograde sandbox --port 0 -f examples/canary.yaml"
    ),
)
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, help="Port; 0 takes a free one")
@click.option("--listen", "host", default="127.0.0.1", help="Address to listen on")
@flag("--i-understand", help="Allow an address that other machines can reach")
@click.option("--directory", default="~/.prograde/sandbox", help="Folder for the kubeconfig and the certificates")
@flag("--insecure-http", help="Serve plain HTTP and let everybody in; for tests")
@click.option("--profile", type=click.Choice(sorted(PROFILES)), default="real", help="How fast pods start and stop")
@click.option("--nodes", type=click.IntRange(1, 1000), default=1, help="Number of simulated nodes")
@click.option("--seed", type=int, default=None, help="Seed of names, UIDs and start-up times; random by default")
@click.option("-f", "--filename", "files", multiple=True, help="Manifest to apply at the start; may be repeated")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the start message")
def sandbox(
    *,
    port: int,
    host: str,
    i_understand: bool,
    directory: str,
    insecure_http: bool,
    profile: str,
    nodes: int,
    seed: int | None,
    files: tuple[str, ...],
    output: str,
) -> None:
    manifests = [_read(name) for name in files]
    place = Path(directory).expanduser()

    async def run() -> None:
        cluster = Sandbox(
            now=wall_clock, seed_number=random.randrange(2**32) if seed is None else seed, profile=profile, nodes=nodes
        )
        for name, manifest in zip(files, manifests, strict=True):
            try:
                cluster.apply(manifest)
            except (StatusError, ManifestError) as err:
                raise CliError(f"{name}: {err}") from err
        async with AsyncExitStack() as stack:
            stop = await stack.enter_async_context(stop_on_signals())
            await stack.enter_async_context(cluster.running())
            try:
                endpoint = await stack.enter_async_context(
                    cluster.serving(
                        host=host,
                        port=port,
                        directory=place,
                        insecure_http=insecure_http,
                        allows_other_machines=i_understand,
                    )
                )
            except NotLoopback as err:
                raise CliError(f"--listen: {err}; if that is meant, add --i-understand") from err
            except OSError as err:
                raise CliError(
                    f"cannot listen on {host}:{port}: {err.strerror or err}; choose another port with --port"
                ) from err
            click.echo(_started(endpoint, output))
            await stop.wait()

    with raise_as_cli_error(CertificatesUnavailable):
        asyncio.run(run())


def _read(name: str) -> str:
    try:
        return Path(name).read_text()
    except OSError as err:
        raise CliError(f"{name}: {err.strerror or err}") from err


def _started(endpoint: Endpoint, output: str) -> str:
    if output == "json":
        return msgspec.json.encode({"server": endpoint.url, "kubeconfig": str(endpoint.kubeconfig)}).decode()
    return (
        f"The cluster listens on {endpoint.url}; Ctrl-C ends it.\n\n"
        f"  export KUBECONFIG={endpoint.kubeconfig}\n"
        "  kubectl get nodes\n"
        "  prograde controller    # acts on Rollouts"
    )
