"""All built-in controllers, the scheduler and the kubelet on one loop: everything in the cluster that acts by itself.

Each part writes through a client that carries the manager name of its real counterpart, so that managed fields and
conflicts look as on a real cluster. One seeded generator serves all: the same seed and the same requests at the same
times give the same cluster, event for event.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prograde.sandbox.client import LocalClient
from prograde.sandbox.controllers.base import WorkLoop
from prograde.sandbox.controllers.deployment import DeploymentController
from prograde.sandbox.controllers.disruption import DisruptionController
from prograde.sandbox.controllers.endpoints import EndpointsController
from prograde.sandbox.controllers.events import EventRecorder, EventSweeper
from prograde.sandbox.controllers.gc import GarbageCollector
from prograde.sandbox.controllers.index import PodIndex
from prograde.sandbox.controllers.job import JobController
from prograde.sandbox.controllers.namespace import NamespaceController
from prograde.sandbox.controllers.node import NodeController, NodeTemplate
from prograde.sandbox.controllers.replicaset import ReplicaSetController
from prograde.sandbox.controllers.service import LoadBalancerController
from prograde.sandbox.kubelet.addresses import node_address
from prograde.sandbox.kubelet.images import DEFAULT_RULES, ImageRule
from prograde.sandbox.kubelet.kubelet import Kubelet
from prograde.sandbox.kubelet.profiles import PROFILES, Profile
from prograde.sandbox.kubelet.scheduler import Scheduler

__all__ = ["ControllerManager", "ManagerOptions"]

CONTROLLER_MANAGER = "kube-controller-manager"
KUBELET = "kubelet"
SCHEDULER = "kube-scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerOptions:
    """What may differ between clusters."""

    profile: Profile = field(default_factory=lambda: PROFILES["fast"])
    nodes: NodeTemplate = field(default_factory=lambda: NodeTemplate(address_of=node_address))
    has_heartbeats: bool = False
    """Whether nodes renew their Leases; a simulation does without."""
    event_time_to_live: timedelta = timedelta(hours=1)
    root_certificate: str = ""
    """What `kube-root-ca.crt` contains, in PEM; empty on a cluster without TLS."""
    image_rules: tuple[ImageRule, ...] = DEFAULT_RULES
    is_lean: bool = False
    """Whether to do without endpoints and events, which nothing in the cluster itself reads."""
    speed: float = 1.0
    """Seconds of cluster time per second of the asyncio clock."""


class ControllerManager:
    """Starts and runs the controllers of one cluster; also the handle for faults of nodes and kubelets."""

    def __init__(
        self,
        client_for: Callable[[str], LocalClient],
        now: Callable[[], datetime],
        rng: random.Random,
        options: ManagerOptions,
        *,
        evict: Callable[[str, str], None],
    ) -> None:
        """Wire everything up, without starting it.

        Args:
            client_for: returns a client that writes in the name of a manager.
            now: the cluster's time, aware UTC.
            rng: source of all jitter.
            options: what may differ between clusters.
            evict: evicts a pod by namespace and name; raises `StatusError` 429 when a disruption budget forbids it.
        """
        client = client_for(CONTROLLER_MANAGER)
        kubelet_client, scheduler_client = client_for(KUBELET), client_for(SCHEDULER)

        def recorder(component: str, client: LocalClient = client) -> EventRecorder:
            return EventRecorder(client, now, component, is_silent=options.is_lean)

        profile = options.profile
        pods = PodIndex(client)
        self.loop = WorkLoop(client, now, speed=options.speed)
        self.kubelet = Kubelet(
            kubelet_client,
            now,
            rng,
            recorder("kubelet", kubelet_client),
            profile,
            rules=options.image_rules,
            speed=options.speed,
        )
        self.nodes = NodeController(
            client,
            now,
            recorder("node-controller"),
            options.nodes,
            set_down=self.kubelet.set_node_down,
            evict=evict,
            has_heartbeats=options.has_heartbeats,
        )
        self._pods = pods
        self._controllers = (
            pods,
            self.nodes,
            NamespaceController(client, now, options.root_certificate),
            # Before Deployments, so that a ReplicaSet has acted on its last count before it is given the next one.
            ReplicaSetController(client, now, pods, recorder("replicaset-controller")),
            DeploymentController(client, now, recorder("deployment-controller")),
            JobController(client, now, recorder("job-controller")),
            Scheduler(scheduler_client, now, recorder("default-scheduler", scheduler_client), profile),
            self.kubelet,
            *(() if options.is_lean else (EndpointsController(client, pods),)),
            DisruptionController(client, now, pods),
            LoadBalancerController(client),
            GarbageCollector(client, now, recorder("garbage-collector-controller")),
            EventSweeper(client, now, options.event_time_to_live),
        )

    def start(self) -> None:
        """Subscribe, register nodes, and take up every object that exists. Call once, before running."""
        self.loop.start(self._controllers)

    def sync(self) -> int:
        """Work until nothing is due now; return how many reconciles that took."""
        return self.loop.sync()

    def settle(self, until: datetime, advance: Callable[[datetime], None]) -> int:
        """Work through everything due up to `until`, moving the clock with `advance`."""
        return self.loop.settle(until, advance)

    def next_due(self) -> datetime | None:
        """Return when something happens next by itself, None for never."""
        return self.loop.next_due()

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    def fail_pods(
        self, namespace: str, selector: Mapping[str, Any], reason: str = "Evicted", message: str = "Failed on request."
    ) -> list[str]:
        """End all pods that a label selector object selects as Failed; return their names."""
        names = [pod["metadata"]["name"] for pod in self._pods.matching(namespace, selector)]
        for name in names:
            self.kubelet.fail_pod(namespace, name, reason, message)
        return names
