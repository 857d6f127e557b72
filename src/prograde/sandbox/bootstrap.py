"""What every cluster has from its first moment: system namespaces, the API's own Service, custom kinds."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from prograde.sandbox import crd
from prograde.sandbox.client import Resource
from prograde.sandbox.definitions import CRDS, Definitions
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.local import VerbsClient
from prograde.sandbox.verbs import Verbs, json_time

__all__ = ["API_SERVICE_IP", "SYSTEM_NAMESPACES", "install_definitions", "publish_api_endpoint", "seed"]

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
API_SERVICE_IP = "10.96.0.1"
DEFAULT_API_PORT = 6443

_prepared: dict[int, tuple[Object, Sequence[Kind]]] = {}
"""Kinds of definitions already seen, by identity of the definition (which the value keeps alive).

A test session builds hundreds of clusters with the same five definitions of 600 kB each.
"""


def seed(verbs: Verbs) -> None:
    """Create the system namespaces and the ``kubernetes`` Service."""
    client = VerbsClient(verbs, "kube-apiserver")
    for name in SYSTEM_NAMESPACES:
        client.create(("", "namespaces"), "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    labels = {"component": "apiserver", "provider": "kubernetes"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "labels": labels},
        "spec": {
            "clusterIP": API_SERVICE_IP,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": DEFAULT_API_PORT}],
        },
    }
    client.create(("", "services"), "default", service)
    publish_api_endpoint(verbs, "127.0.0.1", DEFAULT_API_PORT)


def publish_api_endpoint(verbs: Verbs, address: str, port: int) -> None:
    """Say in the ``kubernetes`` Endpoints and EndpointSlice where the API is served."""
    client = VerbsClient(verbs, "kube-apiserver")
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [
            {
                "addresses": [{"ip": address}],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    for resource, obj in ((("", "endpoints"), endpoints), (("discovery.k8s.io", "endpointslices"), slice_)):
        _put(client, resource, obj)


def _put(client: VerbsClient, resource: Resource, obj: Object) -> None:
    if client.get(resource, "default", obj["metadata"]["name"]) is None:
        client.create(resource, "default", obj)
    else:
        client.update(resource, "default", obj)


def install_definitions(verbs: Verbs, definitions: Definitions, crds: Iterable[Object]) -> None:
    """Store CustomResourceDefinitions as established ones; each must be valid and is shared, not copied."""
    for source in crds:
        known = _prepared.get(id(source))
        if known is None:
            known = (source, crd.kinds_of(source))
            _prepared[id(source)] = known
        spec = source["spec"]
        verbs.registry.replace((spec["group"], spec["names"]["plural"]), known[1])
        verbs.store.put(CRDS, _established(verbs, source, verbs.now()))


def _established(verbs: Verbs, source: Object, now: datetime) -> Object:
    metadata = {
        **source["metadata"],
        "uid": str(UUID(int=verbs.rng.getrandbits(128), version=4)),
        "creationTimestamp": json_time(now),
        "generation": 1,
    }
    spec = {**source["spec"], "names": dict(source["spec"]["names"])}
    stored = {**source, "spec": spec, "metadata": metadata}
    crd.prepare(stored)
    return {**stored, "status": crd.admit(stored, (), now)}
