"""What `kubectl get` shows of the built-in kinds: columns and how each cell is made.

A printer gets an object in its stored form and the time, and returns one cell per column. Ages are texts, counts are
numbers; an absent value reads ``<none>``, as people are used to. Pods have the longest story, in
`prograde.sandbox.podprinter`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prograde.api.ages import human_duration
from prograde.sandbox.cells import (
    NONE,
    UNKNOWN,
    Cells,
    age_of,
    condition_of,
    is_true,
    name_of,
    object_age,
    parse_time,
    spec_of,
    status_of,
)
from prograde.sandbox.client import Resource
from prograde.sandbox.kinds import Column, Object
from prograde.sandbox.podprinter import pod_cells

__all__ = ["DEFAULT_PRINTER", "PRINTERS", "Printer"]

_UNSET = "<unset>"
_LISTED_MAX = 3
"""Endpoints, ports and hosts beyond the third are only counted: a cell is for a glance."""


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of one kind and the function that fills them, in the same order."""

    columns: tuple[Column, ...]
    cells: Callable[[Object, datetime], Cells]


def _containers(obj: Object) -> tuple[str, str]:
    """Return the names and the images of a pod template's containers, comma-separated."""
    template = (spec_of(obj).get("template") or {}).get("spec") or {}
    containers = template.get("containers") or []
    names = ",".join(container.get("name", "") for container in containers)
    return names, ",".join(container.get("image", "") for container in containers)


def _selector(selector: Any) -> str:
    """Return a selector, a plain label map or a LabelSelector, as text."""
    if not selector:
        return NONE
    labels = (
        selector.get("matchLabels", {}) if "matchLabels" in selector or "matchExpressions" in selector else selector
    )
    terms = [f"{key}={value}" for key, value in sorted((labels or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression.get("key", ""), ",".join(expression.get("values") or [])
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }.get(expression.get("operator"), "<error>")
        )
    return ",".join(terms) or NONE


def _listed(items: Sequence[str], *, empty: str = NONE) -> str:
    if not items:
        return empty
    more = len(items) - _LISTED_MAX
    text = ",".join(items[:_LISTED_MAX])
    return f"{text} + {more} more..." if more > 0 else text


# -- workloads ---------------------------------------------------------------------------------------------------


def _replica_set(obj: Object, now: datetime) -> Cells:
    status = status_of(obj)
    return [
        name_of(obj),
        spec_of(obj).get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        object_age(obj, now),
        *_containers(obj),
        _selector(spec_of(obj).get("selector")),
    ]


def _deployment(obj: Object, now: datetime) -> Cells:
    status = status_of(obj)
    return [
        name_of(obj),
        f"{status.get('readyReplicas', 0)}/{spec_of(obj).get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        object_age(obj, now),
        *_containers(obj),
        _selector(spec_of(obj).get("selector")),
    ]


def _stateful_set(obj: Object, now: datetime) -> Cells:
    ready = f"{status_of(obj).get('readyReplicas', 0)}/{spec_of(obj).get('replicas', 0)}"
    return [name_of(obj), ready, object_age(obj, now), *_containers(obj)]


def _daemon_set(obj: Object, now: datetime) -> Cells:
    status = status_of(obj)
    node_selector = ((spec_of(obj).get("template") or {}).get("spec") or {}).get("nodeSelector")
    return [
        name_of(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        _selector(node_selector),
        object_age(obj, now),
        *_containers(obj),
        _selector(spec_of(obj).get("selector")),
    ]


def _job(obj: Object, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    succeeded = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        completions = f"{succeeded}/{spec['completions']}"
    elif spec.get("parallelism", 1) > 1:
        completions = f"{succeeded}/1 of {spec['parallelism']}"
    else:
        completions = f"{succeeded}/1"
    started = parse_time(status.get("startTime"))
    ended = parse_time(status.get("completionTime")) or now
    duration = human_duration(ended - started) if started is not None else ""
    return [
        name_of(obj),
        _job_state(obj),
        completions,
        duration,
        object_age(obj, now),
        *_containers(obj),
        _selector(spec.get("selector")),
    ]


def _job_state(obj: Object) -> str:
    for state in ("Complete", "Failed"):
        if is_true(obj, state):
            return state
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    for state in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if is_true(obj, state):
            return state
    return "Running"


def _cron_job(obj: Object, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    last = status.get("lastScheduleTime")
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or []),
        age_of(last, now) if last else NONE,
        object_age(obj, now),
    ]


def _autoscaler(obj: Object, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(spec.get("minReplicas", _UNSET)),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        object_age(obj, now),
    ]


def _metrics(targets: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> str:
    if not targets:
        return NONE
    texts = []
    for index, metric in enumerate(targets):
        resource = metric.get("resource") or {}
        wanted = (resource.get("target") or {}).get("averageUtilization")
        seen = ((current[index].get("resource") or {}).get("current") or {}) if index < len(current) else {}
        if wanted is None:
            texts.append(f"{UNKNOWN}/{UNKNOWN}")
        else:
            share = seen.get("averageUtilization")
            shown = UNKNOWN if share is None else f"{share}%"
            texts.append(f"{resource.get('name', '')}: {shown}/{wanted}%")
    return _listed_metrics(texts)


def _listed_metrics(texts: Sequence[str]) -> str:
    shown = ", ".join(texts[:2])
    return f"{shown} + {len(texts) - 2} more..." if len(texts) > 2 else shown


def _budget(obj: Object, now: datetime) -> Cells:
    spec = spec_of(obj)
    limits = [str(spec[name]) if spec.get(name) is not None else "N/A" for name in ("minAvailable", "maxUnavailable")]
    return [name_of(obj), *limits, status_of(obj).get("disruptionsAllowed", 0), object_age(obj, now)]


# -- network -----------------------------------------------------------------------------------------------------


def _service(obj: Object, now: datetime) -> Cells:
    spec = spec_of(obj)
    kind = spec.get("type", "ClusterIP")
    ports = []
    for port in spec.get("ports") or []:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}")
    return [
        name_of(obj),
        kind,
        NONE if kind == "ExternalName" else spec.get("clusterIP") or NONE,
        _external_ip(obj, kind),
        ",".join(ports) or NONE,
        object_age(obj, now),
        _selector(spec.get("selector")),
    ]


def _external_ip(obj: Object, kind: str) -> str:
    spec = spec_of(obj)
    if kind == "ExternalName":
        return spec.get("externalName") or ""
    addresses = list(spec.get("externalIPs") or [])
    if kind == "LoadBalancer":
        addresses = _ingress_addresses(obj) + addresses
        return ",".join(addresses) or "<pending>"
    return ",".join(addresses) or NONE


def _ingress_addresses(obj: Object) -> list[str]:
    points = (status_of(obj).get("loadBalancer") or {}).get("ingress") or []
    return [point.get("ip") or point.get("hostname") or "" for point in points]


def _endpoints(obj: Object, now: datetime) -> Cells:
    listed: list[str] = []
    for subset in obj.get("subsets") or []:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or []]
        ports = [port.get("port") for port in subset.get("ports") or []]
        listed += [f"{address}:{port}" for port in ports for address in addresses] if ports else addresses
    return [name_of(obj), _listed(listed), object_age(obj, now)]


def _endpoint_slice(obj: Object, now: datetime) -> Cells:
    ports = [str(port.get("port") or "*") for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    return [
        name_of(obj),
        obj.get("addressType", ""),
        _listed(ports, empty=_UNSET),
        _listed(addresses, empty=_UNSET),
        object_age(obj, now),
    ]


def _ingress(obj: Object, now: datetime) -> Cells:
    spec = spec_of(obj)
    hosts = [rule["host"] for rule in spec.get("rules") or [] if rule.get("host")]
    return [
        name_of(obj),
        spec.get("ingressClassName") or NONE,
        _listed(hosts, empty="*"),
        ",".join(_ingress_addresses(obj)),
        "80, 443" if spec.get("tls") else "80",
        object_age(obj, now),
    ]


def _network_policy(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), _selector(spec_of(obj).get("podSelector")), object_age(obj, now)]


# -- everything else ---------------------------------------------------------------------------------------------


def _config_map(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), object_age(obj, now)]


def _secret(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data") or {}), object_age(obj, now)]


def _namespace(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), status_of(obj).get("phase", ""), object_age(obj, now)]


def _node(obj: Object, now: datetime) -> Cells:
    status = status_of(obj)
    ready = condition_of(obj, "Ready").get("status")
    states = [{"True": "Ready", None: "Unknown"}.get(ready, "NotReady")]
    if spec_of(obj).get("unschedulable"):
        states.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    roles = sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))
    about = status.get("nodeInfo") or {}
    addresses = {address.get("type"): address.get("address") for address in status.get("addresses") or []}
    return [
        name_of(obj),
        ",".join(states),
        ",".join(roles) or NONE,
        object_age(obj, now),
        about.get("kubeletVersion", ""),
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        about.get("osImage") or UNKNOWN,
        about.get("kernelVersion") or UNKNOWN,
        about.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _event(obj: Object, now: datetime) -> Cells:
    series = obj.get("series") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    about = obj.get("involvedObject") or {}
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or ""
    return [
        age_of(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        f"{component}, {host}" if component and host else component,
        (obj.get("message") or "").strip(),
        age_of(first, now),
        series.get("count") or obj.get("count") or 1,
        name_of(obj),
    ]


def _lease(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), spec_of(obj).get("holderIdentity") or "", object_age(obj, now)]


def _created_at(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), obj["metadata"].get("creationTimestamp", "")]


def _role_binding(obj: Object, now: datetime) -> Cells:
    role = obj.get("roleRef") or {}
    subjects = obj.get("subjects") or []

    def named(kind: str) -> str:
        return ", ".join(
            f"{subject['namespace']}/{subject['name']}" if subject.get("namespace") else subject.get("name", "")
            for subject in subjects
            if subject.get("kind") == kind
        )

    bound = [named("User"), named("Group"), named("ServiceAccount")]
    return [name_of(obj), f"{role.get('kind', '')}/{role.get('name', '')}", object_age(obj, now), *bound]


def _plain(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), object_age(obj, now)]


def _columns(*names: str) -> tuple[Column, ...]:
    """Make columns from short notes: ``Restarts``, ``#Desired`` for a number, ``+IP`` for wide output only."""
    columns = []
    for note in names:
        is_wide, is_number = "+" in note[:2], "#" in note[:2]
        name = note.lstrip("+#")
        columns.append(
            Column(
                name,
                "integer" if is_number else "string",
                format="name" if name == "Name" and not is_wide else "",
                description=f"{name} of the object",
                priority=1 if is_wide else 0,
            )
        )
    return tuple(columns)


_WIDE_TEMPLATE = ("+Containers", "+Images")

DEFAULT_PRINTER = Printer(_columns("Name", "Age"), _plain)

PRINTERS: Mapping[Resource, Printer] = {
    ("", "pods"): Printer(
        _columns("Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"),
        pod_cells,
    ),
    ("apps", "replicasets"): Printer(
        _columns("Name", "#Desired", "#Current", "#Ready", "Age", *_WIDE_TEMPLATE, "+Selector"), _replica_set
    ),
    ("", "replicationcontrollers"): Printer(
        _columns("Name", "#Desired", "#Current", "#Ready", "Age", *_WIDE_TEMPLATE, "+Selector"), _replica_set
    ),
    ("apps", "deployments"): Printer(
        _columns("Name", "Ready", "#Up-to-date", "#Available", "Age", *_WIDE_TEMPLATE, "+Selector"), _deployment
    ),
    ("apps", "statefulsets"): Printer(_columns("Name", "Ready", "Age", *_WIDE_TEMPLATE), _stateful_set),
    ("apps", "daemonsets"): Printer(
        _columns(
            "Name",
            "#Desired",
            "#Current",
            "#Ready",
            "#Up-to-date",
            "#Available",
            "Node Selector",
            "Age",
            *_WIDE_TEMPLATE,
            "+Selector",
        ),
        _daemon_set,
    ),
    ("batch", "jobs"): Printer(
        _columns("Name", "Status", "Completions", "Duration", "Age", *_WIDE_TEMPLATE, "+Selector"), _job
    ),
    ("batch", "cronjobs"): Printer(
        _columns("Name", "Schedule", "Timezone", "Suspend", "#Active", "Last Schedule", "Age"), _cron_job
    ),
    ("autoscaling", "horizontalpodautoscalers"): Printer(
        _columns("Name", "Reference", "Targets", "MinPods", "#MaxPods", "#Replicas", "Age"), _autoscaler
    ),
    ("policy", "poddisruptionbudgets"): Printer(
        _columns("Name", "Min Available", "Max Unavailable", "#Allowed Disruptions", "Age"), _budget
    ),
    ("", "services"): Printer(
        _columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"), _service
    ),
    ("", "endpoints"): Printer(_columns("Name", "Endpoints", "Age"), _endpoints),
    ("discovery.k8s.io", "endpointslices"): Printer(
        _columns("Name", "AddressType", "Ports", "Endpoints", "Age"), _endpoint_slice
    ),
    ("networking.k8s.io", "ingresses"): Printer(
        _columns("Name", "Class", "Hosts", "Address", "Ports", "Age"), _ingress
    ),
    ("networking.k8s.io", "networkpolicies"): Printer(_columns("Name", "Pod-Selector", "Age"), _network_policy),
    ("", "configmaps"): Printer(_columns("Name", "#Data", "Age"), _config_map),
    ("", "secrets"): Printer(_columns("Name", "Type", "#Data", "Age"), _secret),
    ("", "namespaces"): Printer(_columns("Name", "Status", "Age"), _namespace),
    ("", "nodes"): Printer(
        _columns(
            "Name",
            "Status",
            "Roles",
            "Age",
            "Version",
            "+Internal-IP",
            "+External-IP",
            "+OS-Image",
            "+Kernel-Version",
            "+Container-Runtime",
        ),
        _node,
    ),
    ("", "events"): Printer(
        _columns(
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "+Subobject",
            "+Source",
            "Message",
            "+First Seen",
            "+#Count",
            "+Name",
        ),
        _event,
    ),
    ("coordination.k8s.io", "leases"): Printer(_columns("Name", "Holder", "Age"), _lease),
    ("apiextensions.k8s.io", "customresourcedefinitions"): Printer(_columns("Name", "Created At"), _created_at),
    ("rbac.authorization.k8s.io", "roles"): Printer(_columns("Name", "Created At"), _created_at),
    ("rbac.authorization.k8s.io", "clusterroles"): Printer(_columns("Name", "Created At"), _created_at),
    ("rbac.authorization.k8s.io", "rolebindings"): Printer(
        _columns("Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts"), _role_binding
    ),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): Printer(
        _columns("Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts"), _role_binding
    ),
}
"""By the resource that stores the objects: both versions of a kind print alike."""
