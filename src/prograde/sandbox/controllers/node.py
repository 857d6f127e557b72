"""Nodes: registered at the start, kept alive by a Lease when asked to, and the faults that happen to them.

A node that fails falls silent. After 40 s it is marked as unreachable and its pods as not ready; after another 300 s
(or as long as a pod tolerates it) its pods are deleted, and their controllers replace them elsewhere. The deleted pods
stay Terminating until the node comes back, since only its kubelet can say that they are gone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.index import PODS
from prograde.sandbox.controllers.objects import (
    WAIT_SECONDS_MAX,
    condition_of,
    controller_of,
    format_time,
    is_deleting,
    is_pod_ready,
    is_terminal,
    with_condition,
)
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["NODES", "NodeController", "NodeTemplate"]

NODES: Resource = ("", "nodes")
LEASES: Resource = ("coordination.k8s.io", "leases")

UNREACHABLE_AFTER = timedelta(seconds=40)
"""How long the control plane waits for a silent node."""

TOLERATION = timedelta(seconds=300)
"""How long pods stay on an unreachable node unless they say otherwise."""

HEARTBEAT_INTERVAL = timedelta(seconds=10)
LEASE_SECONDS = 40

UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTemplate:
    """What the simulated nodes say about themselves."""

    count: int = 1
    version: str = "v1.34.0+prograde"
    address_of: Callable[[int], str]
    """By index."""


class NodeController(Controller):
    """Reconciles nodes by name, and (name, "lease") for their heart-beats."""

    name: ClassVar[str] = "node"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({PODS})

    def __init__(
        self,
        client: LocalClient,
        now: Callable[[], datetime],
        recorder: EventRecorder,
        template: NodeTemplate,
        *,
        set_down: Callable[[str, bool], None],
        evict: Callable[[str, str], None],
        has_heartbeats: bool,
    ) -> None:
        """`set_down` tells the kubelet of a node to stop or to go on; `evict` asks for a pod's eviction by namespace
        and name, raising `StatusError` 429 when a budget forbids it."""
        super().__init__()
        self._client = client
        self._now = now
        self._recorder = recorder
        self._template = template
        self._set_down = set_down
        self._evict = evict
        self._has_heartbeats = has_heartbeats
        self._silent_since: dict[str, datetime] = {}

    def start(self) -> None:
        for index in range(self._template.count):
            name = f"sandbox-{index}"
            if self._client.get(NODES, "", name) is None:
                self._register(name, index)
            if self._has_heartbeats:
                self.enqueue((name, "lease"))

    def _register(self, name: str, index: int) -> None:
        self._client.create(NODES, "", _new_node(name))
        status = _node_status(self._template, name, index, format_time(self._now()))
        self._client.patch(NODES, "", name, {"status": status}, subresource="status")

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        """A pod that arrives on a silent node, or becomes ready there by another's hand, needs a look."""
        node = new["spec"].get("nodeName", "")
        if change != "DELETED" and node in self._silent_since:
            self.enqueue((node,))

    def reconcile(self, key: Key) -> datetime | None:
        if len(key) == 2:
            return self._beat(key[0])
        (name,) = key
        since = self._silent_since.get(name)
        node = self._client.get(NODES, "", name)
        if since is None or node is None:
            return None
        unreachable_at = since + UNREACHABLE_AFTER
        if self._now() < unreachable_at:
            return unreachable_at
        self._mark_unreachable(node)
        return self._evict_from(name, unreachable_at)

    # -- faults --------------------------------------------------------------------------------------------------

    def cordon(self, name: str, is_cordoned: bool = True) -> None:
        """Keep new pods away from a node, or let them come again.

        Raises:
            StatusError: 404.
        """
        self._client.patch(NODES, "", name, {"spec": {"unschedulable": is_cordoned or None}})

    def drain(self, name: str) -> list[str]:
        """Cordon a node and evict its pods; return those that a disruption budget holds back, as namespace/name."""
        self.cordon(name)
        held: list[str] = []
        for pod in list(self._client.pods_on_node(name)):
            owner = controller_of(pod)
            if is_deleting(pod) or (owner is not None and owner["kind"] == "DaemonSet"):
                continue
            meta = pod["metadata"]
            try:
                self._evict(meta["namespace"], meta["name"])
            except StatusError as err:
                if err.code != 429:
                    raise
                held.append(f"{meta['namespace']}/{meta['name']}")
        return held

    def fail(self, name: str) -> None:
        """Let a node fall silent: its kubelet stops, nobody is told."""
        self._set_down(name, True)
        self._silent_since.setdefault(name, self._now())
        self.enqueue((name,))

    def recover(self, name: str) -> None:
        """Bring a silent node back."""
        self._silent_since.pop(name, None)
        node = self._client.get(NODES, "", name)
        if node is not None:
            taints = [t for t in (node.get("spec") or {}).get("taints") or () if t["key"] != UNREACHABLE_TAINT]
            self._client.patch(NODES, "", name, {"spec": {"taints": taints or None}})
            self._write_ready(node, "True", "KubeletReady", "kubelet is posting ready status")
            self._recorder.record(node, "v1", "Node", "Normal", "NodeReady", f"Node {name} status is now: NodeReady")
        self._set_down(name, False)

    def _mark_unreachable(self, node: Object) -> None:
        name = node["metadata"]["name"]
        ready = condition_of(node, "Ready")
        if ready is not None and ready["status"] != "Unknown":
            self._write_ready(node, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
            message = f"Node {name} status is now: NodeNotReady"
            self._recorder.record(node, "v1", "Node", "Normal", "NodeNotReady", message)
        taints = (node.get("spec") or {}).get("taints") or []
        if not any(taint["key"] == UNREACHABLE_TAINT for taint in taints):
            moment = format_time(self._now())
            added = [
                {"key": UNREACHABLE_TAINT, "effect": "NoSchedule", "timeAdded": moment},
                {"key": UNREACHABLE_TAINT, "effect": "NoExecute", "timeAdded": moment},
            ]
            self._client.patch(NODES, "", name, {"spec": {"taints": [*taints, *added]}})
        for pod in list(self._client.pods_on_node(name)):
            if is_pod_ready(pod):
                self._mark_pod_not_ready(pod)

    def _mark_pod_not_ready(self, pod: Object) -> None:
        meta, ready = pod["metadata"], condition_of(pod, "Ready")
        assert ready is not None, "only ready pods are marked"
        condition = {**ready, "status": "False", "lastTransitionTime": format_time(self._now())}
        patch = {"conditions": with_condition(pod["status"]["conditions"], condition)}
        self._client.patch(PODS, meta["namespace"], meta["name"], {"status": patch}, subresource="status")
        self._recorder.record(pod, "v1", "Pod", "Warning", "NodeNotReady", "Node is not ready")

    def _evict_from(self, name: str, unreachable_at: datetime) -> datetime | None:
        """Delete the pods that have stayed long enough; return when the next one's time is up."""
        wake_at: datetime | None = None
        for pod in list(self._client.pods_on_node(name)):
            toleration = _toleration(pod)
            if toleration is None or is_deleting(pod) or is_terminal(pod):
                continue
            due = unreachable_at + toleration
            if due > self._now():
                wake_at = due if wake_at is None else min(wake_at, due)
                continue
            meta = pod["metadata"]
            message = f"Marking for deletion Pod {meta['namespace']}/{meta['name']}"
            self._recorder.record(pod, "v1", "Pod", "Normal", "TaintManagerEviction", message)
            self._client.delete(PODS, meta["namespace"], meta["name"], uid=meta["uid"])
        return wake_at

    def _write_ready(self, node: Object, status: str, reason: str, message: str) -> None:
        moment = format_time(self._now())
        condition = {
            "type": "Ready",
            "status": status,
            "lastHeartbeatTime": moment,
            "lastTransitionTime": moment,
            "reason": reason,
            "message": message,
        }
        conditions = with_condition((node.get("status") or {}).get("conditions") or [], condition)
        name = node["metadata"]["name"]
        self._client.patch(NODES, "", name, {"status": {"conditions": conditions}}, subresource="status")

    # -- heart-beats ---------------------------------------------------------------------------------------------

    def _beat(self, name: str) -> datetime:
        now = self._now()
        if name not in self._silent_since:
            moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            if self._client.get(LEASES, "kube-node-lease", name) is None:
                spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": moment}
                metadata = {"name": name, "namespace": "kube-node-lease"}
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
                self._client.create(LEASES, "kube-node-lease", lease)
            else:
                self._client.patch(LEASES, "kube-node-lease", name, {"spec": {"renewTime": moment}})
        return now + HEARTBEAT_INTERVAL


def _toleration(pod: Object) -> timedelta | None:
    """Return how long a pod stays on an unreachable node, None for ever."""
    limits: list[float] = []
    for toleration in pod["spec"].get("tolerations") or ():
        if toleration.get("effect") in (None, "", "NoExecute") and toleration.get("key") in (
            None,
            "",
            UNREACHABLE_TAINT,
        ):
            seconds = toleration.get("tolerationSeconds")
            if seconds is None:
                return None
            limits.append(seconds)
    return timedelta(seconds=min(*limits, WAIT_SECONDS_MAX)) if limits else TOLERATION


def _new_node(name: str) -> Object:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "sandbox",
        "topology.kubernetes.io/region": "local",
        "topology.kubernetes.io/zone": "local-a",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": f"sandbox://{name}"},
    }


def _node_status(template: NodeTemplate, name: str, index: int, moment: str) -> Object:
    room: dict[str, Any] = {"cpu": "1k", "memory": "1Ti", "ephemeral-storage": "10Ti", "pods": "110k"}
    pressures = (
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    )
    states = [(type_, "False", reason, message) for type_, reason, message in pressures]
    states.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    return {
        "capacity": room,
        "allocatable": room,
        "conditions": [
            {
                "type": type_,
                "status": status,
                "lastHeartbeatTime": moment,
                "lastTransitionTime": moment,
                "reason": reason,
                "message": message,
            }
            for type_, status, reason, message in states
        ],
        "addresses": [
            {"type": "InternalIP", "address": template.address_of(index)},
            {"type": "Hostname", "address": name},
        ],
        "nodeInfo": {
            "machineID": name,
            "systemUUID": name,
            "bootID": name,
            "kernelVersion": "simulated",
            "osImage": "Prograde sandbox",
            "containerRuntimeVersion": "simulated://1.0",
            "kubeletVersion": template.version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }
