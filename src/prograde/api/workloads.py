"""The built-in kinds that we read: ReplicaSet, Pod, Deployment, PodTemplate, Service and Ingress.

Only kept fields are here, so that a list of a thousand ReplicaSets decodes in milliseconds straight from the bytes.
Pod templates stay raw JSON: nobody but `podtemplate` looks inside, and what a newer API server adds to them survives.
"""

from typing import ClassVar

import msgspec

from prograde.api.meta import NO_RAW, Condition, LabelSelector, ObjectMeta, Time, WireStruct, own_raw

__all__ = [
    "Container",
    "ContainerState",
    "ContainerStatus",
    "Deployment",
    "DeploymentSpec",
    "DeploymentStatus",
    "Ingress",
    "IngressBackend",
    "IngressPath",
    "IngressRule",
    "IngressServiceBackend",
    "IngressServicePort",
    "IngressSpec",
    "Pod",
    "PodSpec",
    "PodStatus",
    "PodTemplate",
    "ReplicaSet",
    "ReplicaSetSpec",
    "ReplicaSetStatus",
    "Service",
    "ServicePort",
    "ServiceSpec",
]


# --- ReplicaSet ---------------------------------------------------------------------------------------------


class ReplicaSetSpec(WireStruct, frozen=True, kw_only=True):
    """The wanted state of one revision. Absent replicas mean 1."""

    replicas: int | None = None
    min_ready_seconds: int = 0
    selector: LabelSelector | None = None
    template: msgspec.Raw = NO_RAW

    def __post_init__(self) -> None:
        own_raw(self, "template")


class ReplicaSetStatus(WireStruct, frozen=True, kw_only=True):
    """What exists of one revision."""

    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(WireStruct, frozen=True, kw_only=True):
    """One revision of a Rollout, an Experiment's template or a Deployment."""

    API_VERSION: ClassVar = "apps/v1"
    KIND: ClassVar = "ReplicaSet"

    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


# --- Pod ----------------------------------------------------------------------------------------------------


class Container(WireStruct, frozen=True, kw_only=True):
    """Name and image of a container; an init container with restart policy ``Always`` is a sidecar."""

    name: str = ""
    image: str = ""
    restart_policy: str = ""


class PodSpec(WireStruct, frozen=True, kw_only=True):
    """The kept part of a pod's spec."""

    node_name: str = ""
    init_containers: tuple[Container, ...] = ()
    containers: tuple[Container, ...] = ()


class ContainerStateWaiting(WireStruct, frozen=True, kw_only=True):
    """Not started, and why."""

    reason: str = ""
    message: str = ""


class ContainerStateRunning(WireStruct, frozen=True, kw_only=True):
    """Started."""

    started_at: Time | None = None


class ContainerStateTerminated(WireStruct, frozen=True, kw_only=True):
    """Ended, and how."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None


class ContainerState(WireStruct, frozen=True, kw_only=True):
    """At most one member is present; none means waiting."""

    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(WireStruct, frozen=True, kw_only=True):
    """What the kubelet last said of one container."""

    name: str = ""
    image: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: ContainerState = ContainerState()


class PodStatus(WireStruct, frozen=True, kw_only=True):
    """What the kubelet last said of a pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: Time | None = None
    conditions: tuple[Condition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(WireStruct, frozen=True, kw_only=True):
    """One pod."""

    API_VERSION: ClassVar = "v1"
    KIND: ClassVar = "Pod"

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


# --- Deployment and PodTemplate (targets of workloadRef) ----------------------------------------------------


class DeploymentSpec(WireStruct, frozen=True, kw_only=True):
    """The kept part of a Deployment's spec. Absent replicas mean 1."""

    replicas: int | None = None
    paused: bool = False
    selector: LabelSelector | None = None
    template: msgspec.Raw = NO_RAW

    def __post_init__(self) -> None:
        own_raw(self, "template")


class DeploymentStatus(WireStruct, frozen=True, kw_only=True):
    """What exists of a Deployment."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


class Deployment(WireStruct, frozen=True, kw_only=True):
    """A Deployment, as the source of a Rollout's template."""

    API_VERSION: ClassVar = "apps/v1"
    KIND: ClassVar = "Deployment"

    metadata: ObjectMeta = ObjectMeta()
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class PodTemplate(WireStruct, frozen=True, kw_only=True):
    """A core PodTemplate, as the source of a Rollout's template; it has no selector."""

    API_VERSION: ClassVar = "v1"
    KIND: ClassVar = "PodTemplate"

    metadata: ObjectMeta = ObjectMeta()
    template: msgspec.Raw = NO_RAW

    def __post_init__(self) -> None:
        own_raw(self, "template")


# --- Service ------------------------------------------------------------------------------------------------


class ServicePort(WireStruct, frozen=True, kw_only=True):
    """One port of a Service."""

    name: str = ""
    protocol: str = ""
    port: int = 0
    target_port: int | str | None = None


class ServiceSpec(WireStruct, frozen=True, kw_only=True):
    """The kept part of a Service's spec."""

    type: str = ""
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    selector: dict[str, str] = msgspec.field(default_factory=dict)
    ports: tuple[ServicePort, ...] = ()


class Service(WireStruct, frozen=True, kw_only=True):
    """A Service whose selector a Rollout may manage."""

    API_VERSION: ClassVar = "v1"
    KIND: ClassVar = "Service"

    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()


# --- Ingress ------------------------------------------------------------------------------------------------


class IngressServicePort(WireStruct, frozen=True, kw_only=True):
    """A Service port by name or number."""

    name: str = ""
    number: int = 0


class IngressServiceBackend(WireStruct, frozen=True, kw_only=True):
    """A Service as backend."""

    name: str = ""
    port: IngressServicePort = IngressServicePort()


class IngressBackend(WireStruct, frozen=True, kw_only=True):
    """A backend. Without `service` it is of resource kind, unless it is of the v1beta1 shape with `service_name`."""

    service: IngressServiceBackend | None = None
    service_name: str = ""
    service_port: int | str | None = None


class IngressPath(WireStruct, frozen=True, kw_only=True):
    """One path of a host."""

    path: str = ""
    path_type: str = ""
    backend: IngressBackend = IngressBackend()


class IngressHttp(WireStruct, frozen=True, kw_only=True):
    """The paths of a host."""

    paths: tuple[IngressPath, ...] = ()


class IngressRule(WireStruct, frozen=True, kw_only=True):
    """The paths of one host, the empty host being all."""

    host: str = ""
    http: IngressHttp | None = None


class IngressSpec(WireStruct, frozen=True, kw_only=True):
    """The kept part of an Ingress's spec."""

    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    rules: tuple[IngressRule, ...] = ()


class Ingress(WireStruct, frozen=True, kw_only=True):
    """An Ingress of networking.k8s.io/v1, or of the v1beta1 shape."""

    API_VERSION: ClassVar = "networking.k8s.io/v1"
    KIND: ClassVar = "Ingress"

    metadata: ObjectMeta = ObjectMeta()
    spec: IngressSpec = IngressSpec()
