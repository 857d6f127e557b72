"""A cluster that holds Secrets, for providers that find their credentials there."""

import base64
from collections.abc import Mapping

from prograde.kube.client import Client
from prograde.kube.resources import Resource
from prograde.sandbox.cluster import Sandbox

_SECRETS = Resource(plural="secrets", kind="Secret")


async def client_with(*secrets: tuple[str, str, Mapping[str, str]]) -> Client:
    """Return a client of a cluster with these Secrets: namespace, name, entries."""
    client = Client(Sandbox(crds=(), controllers=False, creates_namespaces=True).transport("tests"), qps=0)
    for namespace, name, entries in secrets:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in entries.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        await client.create(_SECRETS, namespace, body)
    return client


async def own_secret(name: str, entries: Mapping[str, str]) -> Client:
    """Return a client of a cluster with one Secret, in the namespace of the controller."""
    return await client_with(("argo-rollouts", name, entries))
