"""Endpoints and EndpointSlices: which pods a Service means, and which of them are ready.

Both objects are planned from the same list of addresses. A Service without a selector is its owner's business: nothing
is written for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.index import PODS, PodIndex
from prograde.sandbox.controllers.objects import (
    controller_of,
    is_deleting,
    is_pod_ready,
    is_terminal,
    labels_of,
    owner_reference,
)
from prograde.sandbox.kinds import Object

__all__ = ["Endpoint", "EndpointsController", "plan_endpoints", "plan_slices", "service_endpoints"]

SERVICES: Resource = ("", "services")
ENDPOINTS: Resource = ("", "endpoints")
SLICES: Resource = ("discovery.k8s.io", "endpointslices")

SLICE_LENGTH_MAX = 100
ENDPOINTS_LENGTH_MAX = 1000
"""An Endpoints object is cut off here, as by the real controller; slices go on."""

MANAGED_BY = "endpointslice-controller.k8s.io"
HEADLESS_LABEL = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod behind a Service."""

    address: str
    node: str
    pod: str
    pod_uid: str
    namespace: str
    hostname: str
    is_ready: bool
    """Takes traffic now: ready and not terminating, or the Service asks for all."""
    is_serving: bool
    """Would answer: ready, terminating or not."""
    is_terminating: bool
    ports: tuple[tuple[str, int, str, str], ...]
    """(name, number, protocol, application protocol), named ports resolved for this pod."""

    @property
    def target(self) -> Object:
        return {"kind": "Pod", "name": self.pod, "namespace": self.namespace, "uid": self.pod_uid}


def service_endpoints(service: Object, pods: Iterable[Object]) -> list[Endpoint]:
    """Return the endpoints of a Service from the pods it selects, in order of pod names."""
    publishes_all = bool(service["spec"].get("publishNotReadyAddresses"))
    found: list[Endpoint] = []
    for pod in pods:
        address = (pod.get("status") or {}).get("podIP")
        if not address or is_terminal(pod):
            continue
        meta, is_ready, terminating = pod["metadata"], is_pod_ready(pod), is_deleting(pod)
        found.append(
            Endpoint(
                address=address,
                node=pod["spec"].get("nodeName", ""),
                pod=meta["name"],
                pod_uid=meta["uid"],
                namespace=meta["namespace"],
                hostname=pod["spec"].get("hostname", ""),
                is_ready=publishes_all or (is_ready and not terminating),
                is_serving=is_ready or (publishes_all and not terminating),
                is_terminating=terminating,
                ports=_ports(service, pod),
            )
        )
    return sorted(found, key=lambda endpoint: endpoint.pod)


def _ports(service: Object, pod: Object) -> tuple[tuple[str, int, str, str], ...]:
    ports = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        number = _target_port(port, protocol, pod)
        if number is not None:
            ports.append((port.get("name", ""), number, protocol, port.get("appProtocol", "")))
    return tuple(ports)


def _target_port(port: Mapping[str, Any], protocol: str, pod: Object) -> int | None:
    """Return the number that a Service port means in a pod, None for a name that the pod does not have."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    for container in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())):
        for each in container.get("ports") or ():
            if each.get("name") == target and (each.get("protocol") or "TCP") == protocol:
                number: int = each["containerPort"]
                return number
    return int(target) if str(target).isdigit() else None


def plan_slices(service: Object, endpoints: Sequence[Endpoint]) -> list[Object]:
    """Return the wanted EndpointSlices without names: pods with the same port numbers share slices."""
    groups: dict[tuple[tuple[str, int, str, str], ...], list[Endpoint]] = {}
    for endpoint in endpoints:
        groups.setdefault(endpoint.ports, []).append(endpoint)
    if not groups:
        groups[()] = []  # an empty slice says that the Service is known and has nobody
    labels = {
        **{name: value for name, value in labels_of(service).items() if name != HEADLESS_LABEL},
        "kubernetes.io/service-name": service["metadata"]["name"],
        "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
    }
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS_LABEL] = ""
    slices = []
    for ports, members in groups.items():
        for start in range(0, max(1, len(members)), SLICE_LENGTH_MAX):
            slices.append(
                {
                    "metadata": {
                        "generateName": f"{service['metadata']['name']}-",
                        "namespace": service["metadata"]["namespace"],
                        "labels": labels,
                        "ownerReferences": [owner_reference(service, "v1", "Service")],
                    },
                    "addressType": "IPv4",
                    "endpoints": [_slice_endpoint(each) for each in members[start : start + SLICE_LENGTH_MAX]],
                    "ports": [_slice_port(port) for port in ports],
                }
            )
    return slices


def _slice_endpoint(endpoint: Endpoint) -> Object:
    return {
        "addresses": [endpoint.address],
        "conditions": {
            "ready": endpoint.is_ready,
            "serving": endpoint.is_serving,
            "terminating": endpoint.is_terminating,
        },
        "targetRef": endpoint.target,
        **({"hostname": endpoint.hostname} if endpoint.hostname else {}),
        **({"nodeName": endpoint.node} if endpoint.node else {}),
    }


def _slice_port(port: tuple[str, int, str, str]) -> Object:
    name, number, protocol, app_protocol = port
    shown: Object = {"name": name, "port": number, "protocol": protocol}
    if app_protocol:
        shown["appProtocol"] = app_protocol
    return shown


def plan_endpoints(service: Object, endpoints: Sequence[Endpoint]) -> Object:
    """Return the wanted Endpoints object of a Service."""
    groups: dict[tuple[tuple[str, int, str, str], ...], list[Endpoint]] = {}
    for endpoint in endpoints[:ENDPOINTS_LENGTH_MAX]:
        if endpoint.is_ready or not endpoint.is_terminating:
            groups.setdefault(endpoint.ports, []).append(endpoint)
    subsets = []
    for ports, members in groups.items():
        subset: Object = {}
        for field, is_ready in (("addresses", True), ("notReadyAddresses", False)):
            addresses = [_endpoints_address(each) for each in members if each.is_ready == is_ready]
            if addresses:
                subset[field] = addresses
        if ports:
            subset["ports"] = [{k: v for k, v in _slice_port(port).items() if v != ""} for port in ports]
        subsets.append(subset)
    labels = {**labels_of(service), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS_LABEL] = ""
    meta = service["metadata"]
    return {"metadata": {"name": meta["name"], "namespace": meta["namespace"], "labels": labels}, "subsets": subsets}


def _endpoints_address(endpoint: Endpoint) -> Object:
    address: Object = {"ip": endpoint.address, "targetRef": endpoint.target}
    if endpoint.hostname:
        address["hostname"] = endpoint.hostname
    if endpoint.node:
        address["nodeName"] = endpoint.node
    return address


class EndpointsController(Controller):
    """Reconciles (namespace, name) of one Service."""

    name: ClassVar[str] = "endpoints"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({SERVICES, PODS, ENDPOINTS, SLICES})

    def __init__(self, client: LocalClient, pods: PodIndex) -> None:
        super().__init__()
        self._client = client
        self._pods = pods
        # Each Service is filed under one label of its selector: a pod that it selects must carry that one.
        self._services: dict[tuple[str, str, str], dict[Key, None]] = {}
        self._selectors: dict[Key, Mapping[str, str]] = {}

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        meta = new["metadata"]
        if resource == PODS:
            before = _seen_by_service(previous) if previous is not None else None
            if change == "MODIFIED" and before == _seen_by_service(new):
                return
            for pod in (new, previous):
                if pod is not None:
                    self._enqueue_services_of(pod)
        elif resource == SERVICES:
            key = (meta["namespace"], meta["name"])
            self._file(key, None if change == "DELETED" else new["spec"].get("selector"))
            self.enqueue(key)
        elif change == "DELETED":
            # Somebody removed what we wrote.
            service = meta["name"] if resource == ENDPOINTS else (controller_of(new) or {}).get("name", "")
            if (meta["namespace"], service) in self._selectors:
                self.enqueue((meta["namespace"], service))

    def _file(self, key: Key, selector: Mapping[str, str] | None) -> None:
        known = self._selectors.pop(key, None)
        if known:
            self._services[key[0], *next(iter(sorted(known.items())))].pop(key, None)
        if selector:
            self._selectors[key] = selector
            self._services.setdefault((key[0], *next(iter(sorted(selector.items())))), {})[key] = None

    def _enqueue_services_of(self, pod: Object) -> None:
        namespace, labels = pod["metadata"]["namespace"], labels_of(pod)
        for item in labels.items():
            for key in self._services.get((namespace, *item), ()):
                if self._selectors[key].items() <= labels.items():
                    self.enqueue(key)

    def reconcile(self, key: Key) -> None:
        service = self._client.get(SERVICES, *key)
        if service is None:
            if self._client.get(ENDPOINTS, *key) is not None:
                self._client.delete(ENDPOINTS, *key)
            return  # slices have an owner and go with it
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("type") == "ExternalName" or is_deleting(service):
            return
        endpoints = service_endpoints(service, self._pods.matching(key[0], {"matchLabels": selector}))
        self._write_slices(service, plan_slices(service, endpoints))
        self._write_endpoints(key, plan_endpoints(service, endpoints))

    def _write_slices(self, service: Object, wanted: list[Object]) -> None:
        """Make the slices that exist into those wanted, changing as few as possible."""
        resource_slices = [
            obj
            for resource, obj in self._client.dependents(service["metadata"]["uid"])
            if resource == SLICES and not is_deleting(obj)
        ]
        left = sorted(resource_slices, key=lambda obj: str(obj["metadata"]["name"]))
        missing = []
        for each in wanted:
            same = next((obj for obj in left if _is_same_slice(obj, each)), None)
            if same is not None:
                left.remove(same)
            else:
                missing.append(each)
        namespace = service["metadata"]["namespace"]
        for each in missing:
            if left:
                reused = left.pop(0)
                patch = {name: each[name] for name in ("endpoints", "ports")}
                patch["metadata"] = {"labels": each["metadata"]["labels"]}
                self._client.patch(SLICES, namespace, reused["metadata"]["name"], patch)
            else:
                self._client.create(
                    SLICES, namespace, {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **each}
                )
        for obj in left:
            self._client.delete(SLICES, namespace, obj["metadata"]["name"], uid=obj["metadata"]["uid"])

    def _write_endpoints(self, key: Key, wanted: Object) -> None:
        current = self._client.get(ENDPOINTS, *key)
        if current is None:
            self._client.create(ENDPOINTS, key[0], {"apiVersion": "v1", "kind": "Endpoints", **wanted})
        elif (current.get("subsets") or []) != wanted["subsets"] or labels_of(current) != labels_of(wanted):
            patch = {"metadata": {"labels": wanted["metadata"]["labels"]}, "subsets": wanted["subsets"] or None}
            self._client.patch(ENDPOINTS, key[0], key[1], patch)


def _is_same_slice(obj: Object, wanted: Object) -> bool:
    shown = (obj.get("endpoints") or [], obj.get("ports") or [], labels_of(obj))
    return shown == (wanted["endpoints"], wanted["ports"], wanted["metadata"]["labels"])


def _seen_by_service(pod: Object) -> tuple[Any, ...]:
    """Return what of a pod shows in endpoints; other changes are not worth a pass."""
    return (
        pod["metadata"].get("labels"),
        (pod.get("status") or {}).get("podIP"),
        is_pod_ready(pod),
        is_deleting(pod),
        is_terminal(pod),
    )
