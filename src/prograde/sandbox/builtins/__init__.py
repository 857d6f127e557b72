"""The built-in kinds, one row each, in the order in which discovery lists them.

The order is a preference: kubectl resolves a short name such as ``ev`` to the first match, so core comes before
events.k8s.io, and within a group the better version comes first. What the server does to objects of a kind on a write
is in `sandbox.strategy`; what their fields are is in `sandbox.builtins.schemas`; how they print is in
`sandbox.tables`.
"""

import functools
from collections.abc import Iterator

from prograde.sandbox import strategy
from prograde.sandbox.builtins import schemas
from prograde.sandbox.kinds import Kind, ScalePaths

__all__ = ["builtin_kinds"]

_SCALE = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector")
_ALL = ("all",)


@functools.cache
def builtin_kinds() -> tuple[Kind, ...]:
    """Return every built-in kind, groups in their order of preference, versions of a resource best first."""
    return (
        *_core(),
        *_apps(),
        *_batch(),
        *_autoscaling(),
        *_policy_and_networking(),
        *_discovery_and_coordination(),
        *_access(),
        *_rest(),
    )


def _row(group: str, version: str, kind: str, plural: str, *short_names: str, **fields: object) -> Kind:
    fields.setdefault("schema", schemas.schema_of(group, version, kind))
    return Kind(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        short_names=short_names,
        **fields,  # type: ignore[arg-type]
    )


def _core() -> Iterator[Kind]:
    def core(kind: str, plural: str, *short_names: str, **fields: object) -> Kind:
        return _row("", "v1", kind, plural, *short_names, **fields)

    yield core("ConfigMap", "configmaps", "cm", strategy=strategy.CONFIG_MAP)
    yield core("Endpoints", "endpoints", "ep", singular="endpoints", strategy=strategy.ENDPOINTS)
    yield core(
        "Event",
        "events",
        "ev",
        strategy=strategy.EVENT,
        selectable_fields=(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ),
    )
    yield core("LimitRange", "limitranges", "limits", strategy=strategy.LIMIT_RANGE)
    yield core(
        "Namespace",
        "namespaces",
        "ns",
        namespaced=False,
        has_status=True,
        subresources=("finalize",),
        strategy=strategy.NAMESPACE,
        selectable_fields=("status.phase",),
    )
    yield core(
        "Node",
        "nodes",
        "no",
        namespaced=False,
        has_status=True,
        strategy=strategy.NODE,
        selectable_fields=("spec.unschedulable",),
    )
    yield core("PersistentVolumeClaim", "persistentvolumeclaims", "pvc", has_status=True, strategy=strategy.CLAIM)
    yield core(
        "Pod",
        "pods",
        "po",
        categories=_ALL,
        has_status=True,
        has_generation=True,
        subresources=("log", "eviction", "binding"),
        strategy=strategy.POD,
        selectable_fields=(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
    )
    yield core("PodTemplate", "podtemplates", has_generation=True, strategy=strategy.POD_TEMPLATE)
    yield core(
        "ReplicationController",
        "replicationcontrollers",
        "rc",
        categories=_ALL,
        has_status=True,
        has_generation=True,
        scale=_SCALE,
        strategy=strategy.REPLICATION_CONTROLLER,
        selectable_fields=("status.replicas",),
    )
    yield core("ResourceQuota", "resourcequotas", "quota", has_status=True, strategy=strategy.RESOURCE_QUOTA)
    yield core("Secret", "secrets", strategy=strategy.SECRET, selectable_fields=("type",))
    yield core("ServiceAccount", "serviceaccounts", "sa", subresources=("token",))
    yield core(
        "Service",
        "services",
        "svc",
        categories=_ALL,
        has_status=True,
        strategy=strategy.SERVICE,
        selectable_fields=("spec.clusterIP", "spec.type"),
    )


def _apps() -> Iterator[Kind]:
    def apps(kind: str, plural: str, *short_names: str, **fields: object) -> Kind:
        return _row("apps", "v1", kind, plural, *short_names, **fields)

    yield apps("ControllerRevision", "controllerrevisions")
    yield apps(
        "DaemonSet",
        "daemonsets",
        "ds",
        categories=_ALL,
        has_status=True,
        has_generation=True,
        strategy=strategy.DAEMON_SET,
    )
    yield apps(
        "Deployment",
        "deployments",
        "deploy",
        categories=_ALL,
        has_status=True,
        has_generation=True,
        scale=_SCALE,
        strategy=strategy.DEPLOYMENT,
    )
    yield apps(
        "ReplicaSet",
        "replicasets",
        "rs",
        categories=_ALL,
        has_status=True,
        has_generation=True,
        scale=_SCALE,
        strategy=strategy.REPLICA_SET,
        selectable_fields=("status.replicas",),
    )
    yield apps(
        "StatefulSet",
        "statefulsets",
        "sts",
        categories=_ALL,
        has_status=True,
        has_generation=True,
        scale=_SCALE,
        strategy=strategy.STATEFUL_SET,
    )


def _batch() -> Iterator[Kind]:
    yield _row(
        "batch",
        "v1",
        "CronJob",
        "cronjobs",
        "cj",
        categories=_ALL,
        has_status=True,
        has_generation=True,
        strategy=strategy.CRON_JOB,
    )
    yield _row(
        "batch",
        "v1",
        "Job",
        "jobs",
        categories=_ALL,
        has_status=True,
        has_generation=True,
        strategy=strategy.JOB,
        selectable_fields=("status.successful",),
    )


def _autoscaling() -> Iterator[Kind]:
    for version in ("v2", "v1"):
        is_view = version == "v1"
        yield _row(
            "autoscaling",
            version,
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
            "hpa",
            categories=_ALL,
            has_status=True,
            storage_version="v2",
            to_storage=strategy.autoscaler_from_v1 if is_view else None,
            from_storage=strategy.autoscaler_to_v1 if is_view else None,
            strategy=strategy.AUTOSCALER,
        )


def _policy_and_networking() -> Iterator[Kind]:
    yield _row(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "pdb",
        has_status=True,
        has_generation=True,
        strategy=strategy.DISRUPTION_BUDGET,
    )
    yield _row(
        "networking.k8s.io",
        "v1",
        "IngressClass",
        "ingressclasses",
        namespaced=False,
        has_generation=True,
    )
    yield _row(
        "networking.k8s.io",
        "v1",
        "Ingress",
        "ingresses",
        "ing",
        has_status=True,
        has_generation=True,
        strategy=strategy.INGRESS,
    )
    yield _row("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", has_generation=True)


def _discovery_and_coordination() -> Iterator[Kind]:
    yield _row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", strategy=strategy.ENDPOINT_SLICE)
    yield _row("coordination.k8s.io", "v1", "Lease", "leases", strategy=strategy.LEASE)
    yield _row(
        "events.k8s.io",
        "v1",
        "Event",
        "events",
        "ev",
        stored_as=("", "events"),
        to_storage=strategy.event_to_core,
        from_storage=strategy.event_from_core,
        strategy=strategy.EVENT,
        selectable_fields=(
            "metadata.name",
            "metadata.namespace",
            "reason",
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.uid",
            "reportingController",
            "type",
        ),
    )


def _access() -> Iterator[Kind]:
    rbac = "rbac.authorization.k8s.io"
    yield _row(rbac, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False, strategy=strategy.ROLE)
    yield _row(rbac, "v1", "ClusterRole", "clusterroles", namespaced=False, strategy=strategy.ROLE)
    yield _row(rbac, "v1", "RoleBinding", "rolebindings", strategy=strategy.ROLE)
    yield _row(rbac, "v1", "Role", "roles", strategy=strategy.ROLE)
    for kind, plural in (
        ("SelfSubjectAccessReview", "selfsubjectaccessreviews"),
        ("SelfSubjectRulesReview", "selfsubjectrulesreviews"),
        ("SubjectAccessReview", "subjectaccessreviews"),
    ):
        yield _row(
            "authorization.k8s.io", "v1", kind, plural, namespaced=False, is_stored=False, strategy=strategy.REVIEW
        )
    for kind, plural in (("SelfSubjectReview", "selfsubjectreviews"), ("TokenReview", "tokenreviews")):
        yield _row(
            "authentication.k8s.io", "v1", kind, plural, namespaced=False, is_stored=False, strategy=strategy.REVIEW
        )


def _rest() -> Iterator[Kind]:
    yield _row(
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
        "pc",
        namespaced=False,
        has_generation=True,
        strategy=strategy.PRIORITY_CLASS,
    )
    yield _row(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd",
        "crds",
        namespaced=False,
        has_status=True,
        has_generation=True,
        categories=("api-extensions",),
        strategy=strategy.CUSTOM_RESOURCE_DEFINITION,
    )
