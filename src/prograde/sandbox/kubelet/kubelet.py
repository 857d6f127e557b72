"""The kubelet of every node: the shell around `pods.step`.

It supplies the facts (behaviour, environment, images on the node, jitter), carries out a step's outcome (events, one
status write, removal), and remembers each pod's `PodRun`. A node that is down, or a kubelet that is paused, does
nothing until it comes back; then it looks at all its pods.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.index import PODS
from prograde.sandbox.controllers.objects import format_time, is_deleting, is_terminal
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object
from prograde.sandbox.kubelet.addresses import PodAddresses
from prograde.sandbox.kubelet.behaviour import Behaviour, behaviour_of, sandbox_annotations
from prograde.sandbox.kubelet.containers import ContainerRun, PodEvent
from prograde.sandbox.kubelet.environment import environment_of
from prograde.sandbox.kubelet.images import DEFAULT_RULES, ImageRule
from prograde.sandbox.kubelet.logs import LogReader
from prograde.sandbox.kubelet.pods import PodFacts, PodRun, Step, begin_pod, step
from prograde.sandbox.kubelet.profiles import Profile
from prograde.sandbox.kubelet.status import PodAddress

__all__ = ["Kubelet"]

NODES: Resource = ("", "nodes")


class Kubelet(Controller):
    """Reconciles (namespace, name) of one pod that is assigned to a node."""

    name: ClassVar[str] = "kubelet"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({PODS})

    def __init__(
        self,
        client: LocalClient,
        now: Callable[[], datetime],
        rng: random.Random,
        recorder: EventRecorder,
        profile: Profile,
        *,
        rules: tuple[ImageRule, ...] = DEFAULT_RULES,
        speed: float = 1.0,
    ) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._rng = rng
        self._recorder = recorder
        self._profile = profile
        self._rules = rules
        self._addresses = PodAddresses()
        self._runs: dict[str, PodRun] = {}
        self._jitter: dict[str, float] = {}
        self._images: dict[str, set[str]] = {}
        self._down: set[str] = set()
        self._is_paused = False
        self._is_writing = False
        self.logs = LogReader(client, now, self._container_runs, speed=speed)

    # -- faults --------------------------------------------------------------------------------------------------

    def set_node_down(self, node: str, is_down: bool) -> None:
        """Stop or resume everything on one node, as when its machine loses power or comes back."""
        if is_down:
            self._down.add(node)
        else:
            self._down.discard(node)
            self._look_at_pods_of(node)

    def pause(self) -> None:
        """Stop reacting on all nodes; pods stay as they are."""
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        for node in self._client.list(NODES):
            self._look_at_pods_of(node["metadata"]["name"])

    def fail_pod(self, namespace: str, name: str, reason: str, message: str) -> None:
        """End a pod at once as Failed, as an eviction for lack of memory does. Unknown or finished pods are left."""
        pod = self._client.get(PODS, namespace, name)
        if pod is None or is_terminal(pod):
            return
        patch = {"uid": pod["metadata"]["uid"]}
        status = {
            "phase": "Failed",
            "reason": reason,
            "message": message,
            "conditions": _failed_conditions(pod, self._now()),
        }
        self._client.patch(PODS, namespace, name, {"metadata": patch, "status": status}, subresource="status")
        self._recorder.record(pod, "v1", "Pod", "Warning", reason, message, host=pod["spec"].get("nodeName", ""))

    def _look_at_pods_of(self, node: str) -> None:
        for pod in self._client.pods_on_node(node):
            self.enqueue((pod["metadata"]["namespace"], pod["metadata"]["name"]))

    # -- the loop ------------------------------------------------------------------------------------------------

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        if change == "DELETED":
            self._forget(new["metadata"]["uid"])
        elif not self._is_writing and new["spec"].get("nodeName") and (not is_terminal(new) or is_deleting(new)):
            self.enqueue((new["metadata"]["namespace"], new["metadata"]["name"]))

    def _forget(self, uid: str) -> None:
        run = self._runs.pop(uid, None)
        self._jitter.pop(uid, None)
        if run is not None:
            self._addresses.give_back(run.address.pod_ip)
        self.logs.notify(uid)

    def reconcile(self, key: Key) -> datetime | None:
        pod = self._client.get(PODS, *key)
        node = pod["spec"].get("nodeName", "") if pod is not None else ""
        if pod is None or not node or self._is_paused or node in self._down:
            return None
        run = self._runs.get(pod["metadata"]["uid"])
        if run is None:
            if is_terminal(pod) and not is_deleting(pod):
                return None
            run = self._begin(pod, node)
        outcome = step(pod, run, self._facts(pod, run, node), self._now())
        self._runs[run.uid] = outcome.run
        self._note_images(node, outcome.run)
        self._carry_out(pod, node, outcome)
        self.logs.notify(run.uid)
        return outcome.wake_at

    def _begin(self, pod: Object, node: str) -> PodRun:
        uid = pod["metadata"]["uid"]
        self._jitter[uid] = self._rng.random()
        host_ip = self._host_ip(node)
        known = (pod.get("status") or {}).get("podIP", "")
        pod_ip = host_ip if pod["spec"].get("hostNetwork") else self._addresses.take(known)
        annotations = sandbox_annotations(pod["metadata"].get("annotations"))
        if annotations:
            for problem in behaviour_of(pod["spec"]["containers"][0]["image"], annotations, self._rules).problems:
                self._tell(pod, node, PodEvent("Warning", "InvalidBehaviour", problem))
        return begin_pod(pod, PodAddress(host_ip, pod_ip), self._profile, self._now())

    def _host_ip(self, node: str) -> str:
        found = self._client.get(NODES, "", node)
        addresses = ((found or {}).get("status") or {}).get("addresses") or ()
        return next((each["address"] for each in addresses if each["type"] == "InternalIP"), "127.0.0.1")

    def _facts(self, pod: Object, run: PodRun, node: str) -> PodFacts:
        meta = pod["metadata"]
        annotations = sandbox_annotations(meta.get("annotations"))
        images = self._images.setdefault(node, set())
        base = self._jitter[run.uid]

        def look_up(plural: str, name: str) -> Object | None:
            return self._client.get(("", plural), meta["namespace"], name)

        def behaviour(image: str) -> Behaviour:
            return behaviour_of(image, annotations, self._rules)

        return PodFacts(
            profile=self._profile,
            behaviour_of=behaviour,
            environment_of=lambda c: environment_of(pod, c, run.address.pod_ip, run.address.host_ip, look_up),
            has_image=images.__contains__,
            jitter_of=lambda name, restarts: (base + _share(name, restarts)) % 1,
        )

    def _note_images(self, node: str, run: PodRun) -> None:
        images = self._images[node]
        for each in (*run.init, *run.main):
            if each.process is not None:
                images.add(each.image)

    def _carry_out(self, pod: Object, node: str, outcome: Step) -> None:
        meta = pod["metadata"]
        for event in outcome.events:
            if event.type == "Warning" or self._profile.has_normal_events:
                self._tell(pod, node, event)
        # A pod that vanishes in the same instant need not be seen to stop first.
        if outcome.status and not (outcome.is_gone and not self._profile.stop_seconds):
            patch = {"metadata": {"uid": meta["uid"]}, "status": outcome.status}
            self._is_writing = True
            try:
                self._client.patch(PODS, meta["namespace"], meta["name"], patch, subresource="status")
            finally:
                self._is_writing = False
        if outcome.is_gone:
            try:
                self._client.delete(PODS, meta["namespace"], meta["name"], uid=meta["uid"], grace_seconds=0)
            except StatusError as err:
                if err.code not in (404, 409):
                    raise  # gone already, or another pod of this name: either way not ours any more

    def _tell(self, pod: Object, node: str, event: PodEvent) -> None:
        path = ""
        if event.container:
            path = f"spec.{'initContainers' if event.is_init else 'containers'}{{{event.container}}}"
        self._recorder.record(pod, "v1", "Pod", event.type, event.reason, event.message, field_path=path, host=node)

    def _container_runs(self, uid: str) -> Sequence[ContainerRun]:
        run = self._runs.get(uid)
        return (*run.init, *run.main) if run is not None else ()


@lru_cache(maxsize=4096)
def _share(name: str, restarts: int) -> float:
    """Return a fixed number between 0 and 1, so that containers of one pod and their restarts differ."""
    return zlib.crc32(f"{name}/{restarts}".encode()) / 2**32


def _failed_conditions(pod: Object, now: datetime) -> list[Object]:
    failed = {"status": "False", "reason": "PodFailed", "lastTransitionTime": format_time(now)}
    conditions = (pod.get("status") or {}).get("conditions") or []
    return [{**each, **failed} if each["type"] in ("Ready", "ContainersReady") else each for each in conditions]
