"""What the tests of controllers and kubelet stand on: a sandbox with a manual clock, and short words for it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from prograde.sandbox.client import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.controllers.base import Controller, WorkLoop
from prograde.sandbox.controllers.objects import format_time
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object
from prograde.sandbox.local import VerbsClient

PODS: Resource = ("", "pods")
REPLICASETS: Resource = ("apps", "replicasets")
DEPLOYMENTS: Resource = ("apps", "deployments")
NAMESPACES: Resource = ("", "namespaces")
EVENTS: Resource = ("", "events")

CONTAINER: Object = {"name": "c", "image": "nginx:1"}


class RefusingClient(VerbsClient):
    """A client whose creates may be refused, as by a quota, and that notes its writes."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.client()._verbs, "kube-controller-manager")
        self.refusal: Callable[[Resource, Object], StatusError | None] = lambda resource, obj: None
        self.writes: list[str] = []

    def create(self, resource: Resource, namespace: str, obj: Object) -> Object:
        self.writes.append("create")
        if (err := self.refusal(resource, obj)) is not None:
            raise err
        return super().create(resource, namespace, obj)

    def patch(self, resource: Resource, namespace: str, name: str, patch: Any, **options: Any) -> Object:
        self.writes.append("patch")
        return super().patch(resource, namespace, name, patch, **options)

    def delete(self, resource: Resource, namespace: str, name: str, **options: Any) -> None:
        self.writes.append("delete")
        super().delete(resource, namespace, name, **options)


class Workbench:
    """A sandbox with the namespace ``shop``."""

    def __init__(self, profile: str = "fast", *, controllers: bool = True, nodes: int = 1) -> None:
        self.sandbox = Sandbox(profile=profile, controllers=controllers, crds=(), managed_fields="off", nodes=nodes)
        self.client = RefusingClient(self.sandbox)
        self.client.create(NAMESPACES, "", {"metadata": {"name": "shop"}})

    @property
    def now(self) -> datetime:
        return self.sandbox.clock()

    @property
    def loop(self) -> WorkLoop:
        assert self.sandbox.controllers is not None
        return self.sandbox.controllers.loop

    def settle(self, seconds: float = 0.0) -> None:
        self.sandbox.settle(seconds)

    def create(self, resource: Resource, obj: Object) -> Object:
        return self.client.create(resource, "shop", obj)

    def find(self, resource: Resource, name: str) -> Object | None:
        return self.client.get(resource, "shop", name)

    def get(self, resource: Resource, name: str) -> Object:
        found = self.find(resource, name)
        assert found is not None, f"{resource} {name} is gone"
        return found

    def patch(self, resource: Resource, name: str, patch: Object, subresource: str = "") -> Object:
        return self.client.patch(resource, "shop", name, patch, subresource=subresource)

    def objects(self, resource: Resource) -> list[Object]:
        return list(self.client.list(resource, "shop"))

    def names(self, resource: Resource) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.objects(resource)]

    def pods(self) -> list[Object]:
        return self.objects(PODS)

    def pod(self, name: str = "p") -> Object:
        return self.get(PODS, name)

    def messages(self, reason: str) -> list[str]:
        events = sorted(self.objects(EVENTS), key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [event["message"] for event in events if event["reason"] == reason]

    def history(self, resource: Resource, name: str, read: Callable[[Object], Any]) -> list[Any]:
        """Return a list that collects what `read` sees in an object, each time that it changes."""
        seen: list[Any] = []

        def look(change: str, changed: Resource, new: Object, previous: Object | None) -> None:
            if changed == resource and new["metadata"]["name"] == name:
                value = read(new)
                if not seen or seen[-1] != value:
                    seen.append(value)

        self.client.subscribe(look)
        return seen


def run_alone(bench: Workbench, *controllers: Controller) -> WorkLoop:
    """Start some controllers on a sandbox that has none."""
    loop = WorkLoop(bench.client, bench.sandbox.clock)
    loop.start(controllers)
    return loop


def pod_object(name: str = "p", *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    annotations = spec.pop("annotations", None)
    container = {**CONTAINER, **spec.pop("container", {})}
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def replica_set(replicas: int, name: str = "cart", app: str = "", **spec: Any) -> Object:
    labels = {"app": app or name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }


def ready_condition(moment: datetime, *, is_ready: bool = True) -> Object:
    return {"type": "Ready", "status": str(is_ready), "lastTransitionTime": format_time(moment)}


def container_state(pod: Object, container: str = "c") -> Object:
    status = pod.get("status") or {}
    for entry in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        if entry["name"] == container:
            state: Object = entry["state"]
            return state
    return {}


def reason_of(pod: Object, container: str = "c") -> str:
    """Return the waiting or terminated reason, or "Running"."""
    state = container_state(pod, container)
    detail = state.get("waiting") or state.get("terminated")
    return str(detail["reason"]) if detail else "Running" if "running" in state else ""


def condition_status(obj: Object, type_: str) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((each["status"] for each in conditions if each["type"] == type_), "")


def condition_of_pod(obj: Object, type_: str) -> Object:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == type_), {})
