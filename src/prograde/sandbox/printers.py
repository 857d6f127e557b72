"""What `kubectl get` shows of the built-in kinds: columns and how each cell is made.

A printer gets an object in its stored form and the time, and returns one cell per column. Ages are texts, counts are
numbers; an absent value reads ``<none>``, as people are used to. Pods have the longest story, in `_pod`: their Status
cell names the first thing that keeps them from working.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from prograde.api.ages import human_duration
from prograde.sandbox.client import Resource
from prograde.sandbox.kinds import Column, Object

__all__ = ["DEFAULT_PRINTER", "PRINTERS", "Printer", "age_of", "parse_time"]

Cells: TypeAlias = list[Any]

_NONE = "<none>"
_UNKNOWN = "<unknown>"
_UNSET = "<unset>"
_LISTED_MAX = 3
"""Endpoints, ports and hosts beyond the third are only counted: a cell is for a glance."""


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of one kind and the function that fills them, in the same order."""

    columns: tuple[Column, ...]
    cells: Callable[[Object, datetime], Cells]


def parse_time(text: Any) -> datetime | None:
    """Return an RFC 3339 time, None when absent or malformed."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def age_of(text: Any, now: datetime) -> str:
    """Return how long ago a time was, ``<unknown>`` when there is none."""
    then = parse_time(text)
    return _UNKNOWN if then is None else human_duration(now - then)


def _age(obj: Object, now: datetime) -> str:
    return age_of(obj["metadata"].get("creationTimestamp"), now)


def _spec(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def _status(obj: Object) -> Mapping[str, Any]:
    return obj.get("status") or {}


def _name(obj: Object) -> str:
    name: str = obj["metadata"]["name"]
    return name


def _containers(obj: Object) -> tuple[str, str]:
    """Return the names and the images of a pod template's containers, comma-separated."""
    template = (_spec(obj).get("template") or {}).get("spec") or {}
    containers = template.get("containers") or []
    names = ",".join(container.get("name", "") for container in containers)
    return names, ",".join(container.get("image", "") for container in containers)


def _selector(selector: Any) -> str:
    """Return a selector, a plain label map or a LabelSelector, as text."""
    if not selector:
        return _NONE
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
    return ",".join(terms) or _NONE


def _listed(items: Sequence[str], *, empty: str = _NONE) -> str:
    if not items:
        return empty
    more = len(items) - _LISTED_MAX
    text = ",".join(items[:_LISTED_MAX])
    return f"{text} + {more} more..." if more > 0 else text


def _condition(obj: Object, kind: str) -> Mapping[str, Any]:
    for condition in _status(obj).get("conditions") or []:
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}


def _is_true(obj: Object, kind: str) -> bool:
    return _condition(obj, kind).get("status") == "True"


# -- pods --------------------------------------------------------------------------------------------------------


def _pod(obj: Object, now: datetime) -> Cells:
    spec, status = _spec(obj), _status(obj)
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or []) + len(sidecars)
    reason, ready, restarts, last_restart = _pod_progress(obj, sidecars)
    restarts_text = str(restarts)
    if restarts and last_restart is not None:
        restarts_text += f" ({human_duration(now - last_restart)} ago)"
    gates = [gate.get("conditionType", "") for gate in spec.get("readinessGates") or []]
    passed = sum(1 for gate in gates if _is_true(obj, gate))
    return [
        _name(obj),
        f"{ready}/{total}",
        reason,
        restarts_text,
        _age(obj, now),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"{passed}/{len(gates)}" if gates else _NONE,
    ]


def _pod_progress(obj: Object, sidecars: set[str]) -> tuple[str, int, int, datetime | None]:
    """Return the Status cell, how many containers are ready, the restarts and when the last one was."""
    spec, status = _spec(obj), _status(obj)
    reason = status.get("reason") or status.get("phase") or _UNKNOWN
    if _condition(obj, "PodScheduled").get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    init_total = len(spec.get("initContainers") or [])
    ready = restarts = sidecar_restarts = 0
    ends: list[datetime] = []
    is_initializing = False
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        is_sidecar = container.get("name") in sidecars
        restarts += container.get("restartCount", 0)
        sidecar_restarts += container.get("restartCount", 0) if is_sidecar else 0
        ends += _last_end(container)
        ready += 1 if is_sidecar and container.get("ready") else 0
        blocked = _init_blocked(container, index, init_total, is_sidecar)
        if blocked is not None:
            reason, is_initializing = blocked, True
            break
    if not is_initializing or _is_true(obj, "Initialized"):
        restarts = sidecar_restarts
        has_running = False
        for container in reversed(status.get("containerStatuses") or []):
            restarts += container.get("restartCount", 0)
            ends += _last_end(container)
            state = container.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated is not None:
                reason = _termination(terminated)
            elif container.get("ready") and state.get("running") is not None:
                has_running = True
                ready += 1
        if reason == "Completed" and has_running:
            reason = "Running" if _is_true(obj, "Ready") else "NotReady"
    if "deletionTimestamp" in obj["metadata"]:
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return reason, ready, restarts, max(ends, default=None)


def _init_blocked(container: Mapping[str, Any], index: int, total: int, is_sidecar: bool) -> str | None:
    """Return why the pod has not come past this init container, None when it has."""
    state = container.get("state") or {}
    waiting, terminated = state.get("waiting") or {}, state.get("terminated")
    if terminated is not None and terminated.get("exitCode", 0) == 0 and not is_sidecar:
        return None
    if is_sidecar and container.get("started"):
        return None
    if terminated is not None:
        return f"Init:{_termination(terminated)}"
    if waiting.get("reason") and waiting["reason"] != "PodInitializing":
        return f"Init:{waiting['reason']}"
    return f"Init:{index}/{total}"


def _termination(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        reason: str = terminated["reason"]
        return reason
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _last_end(container: Mapping[str, Any]) -> list[datetime]:
    last = (container.get("lastState") or {}).get("terminated") or {}
    end = parse_time(last.get("finishedAt"))
    return [end] if end is not None else []


# -- workloads ---------------------------------------------------------------------------------------------------


def _replica_set(obj: Object, now: datetime) -> Cells:
    status = _status(obj)
    return [
        _name(obj),
        _spec(obj).get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _age(obj, now),
        *_containers(obj),
        _selector(_spec(obj).get("selector")),
    ]


def _deployment(obj: Object, now: datetime) -> Cells:
    status = _status(obj)
    return [
        _name(obj),
        f"{status.get('readyReplicas', 0)}/{_spec(obj).get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(obj, now),
        *_containers(obj),
        _selector(_spec(obj).get("selector")),
    ]


def _stateful_set(obj: Object, now: datetime) -> Cells:
    ready = f"{_status(obj).get('readyReplicas', 0)}/{_spec(obj).get('replicas', 0)}"
    return [_name(obj), ready, _age(obj, now), *_containers(obj)]


def _daemon_set(obj: Object, now: datetime) -> Cells:
    status = _status(obj)
    node_selector = ((_spec(obj).get("template") or {}).get("spec") or {}).get("nodeSelector")
    return [
        _name(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        _selector(node_selector),
        _age(obj, now),
        *_containers(obj),
        _selector(_spec(obj).get("selector")),
    ]


def _job(obj: Object, now: datetime) -> Cells:
    spec, status = _spec(obj), _status(obj)
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
        _name(obj),
        _job_state(obj),
        completions,
        duration,
        _age(obj, now),
        *_containers(obj),
        _selector(spec.get("selector")),
    ]


def _job_state(obj: Object) -> str:
    for state in ("Complete", "Failed"):
        if _is_true(obj, state):
            return state
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    for state in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if _is_true(obj, state):
            return state
    return "Running"


def _cron_job(obj: Object, now: datetime) -> Cells:
    spec, status = _spec(obj), _status(obj)
    last = status.get("lastScheduleTime")
    return [
        _name(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or _NONE,
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or []),
        age_of(last, now) if last else _NONE,
        _age(obj, now),
    ]


def _autoscaler(obj: Object, now: datetime) -> Cells:
    spec, status = _spec(obj), _status(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        _name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(spec.get("minReplicas", _UNSET)),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        _age(obj, now),
    ]


def _metrics(targets: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> str:
    if not targets:
        return _NONE
    texts = []
    for index, metric in enumerate(targets):
        resource = metric.get("resource") or {}
        wanted = (resource.get("target") or {}).get("averageUtilization")
        seen = ((current[index].get("resource") or {}).get("current") or {}) if index < len(current) else {}
        if wanted is None:
            texts.append(f"{_UNKNOWN}/{_UNKNOWN}")
        else:
            share = seen.get("averageUtilization")
            shown = _UNKNOWN if share is None else f"{share}%"
            texts.append(f"{resource.get('name', '')}: {shown}/{wanted}%")
    return _listed_metrics(texts)


def _listed_metrics(texts: Sequence[str]) -> str:
    shown = ", ".join(texts[:2])
    return f"{shown} + {len(texts) - 2} more..." if len(texts) > 2 else shown


def _budget(obj: Object, now: datetime) -> Cells:
    spec = _spec(obj)
    limits = [str(spec[name]) if spec.get(name) is not None else "N/A" for name in ("minAvailable", "maxUnavailable")]
    return [_name(obj), *limits, _status(obj).get("disruptionsAllowed", 0), _age(obj, now)]


# -- network -----------------------------------------------------------------------------------------------------


def _service(obj: Object, now: datetime) -> Cells:
    spec = _spec(obj)
    kind = spec.get("type", "ClusterIP")
    ports = []
    for port in spec.get("ports") or []:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}")
    return [
        _name(obj),
        kind,
        _NONE if kind == "ExternalName" else spec.get("clusterIP") or _NONE,
        _external_ip(obj, kind),
        ",".join(ports) or _NONE,
        _age(obj, now),
        _selector(spec.get("selector")),
    ]


def _external_ip(obj: Object, kind: str) -> str:
    spec = _spec(obj)
    if kind == "ExternalName":
        return spec.get("externalName") or ""
    addresses = list(spec.get("externalIPs") or [])
    if kind == "LoadBalancer":
        addresses = _ingress_addresses(obj) + addresses
        return ",".join(addresses) or "<pending>"
    return ",".join(addresses) or _NONE


def _ingress_addresses(obj: Object) -> list[str]:
    points = (_status(obj).get("loadBalancer") or {}).get("ingress") or []
    return [point.get("ip") or point.get("hostname") or "" for point in points]


def _endpoints(obj: Object, now: datetime) -> Cells:
    listed: list[str] = []
    for subset in obj.get("subsets") or []:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or []]
        ports = [port.get("port") for port in subset.get("ports") or []]
        listed += [f"{address}:{port}" for port in ports for address in addresses] if ports else addresses
    return [_name(obj), _listed(listed), _age(obj, now)]


def _endpoint_slice(obj: Object, now: datetime) -> Cells:
    ports = [str(port.get("port") or "*") for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    return [
        _name(obj),
        obj.get("addressType", ""),
        _listed(ports, empty=_UNSET),
        _listed(addresses, empty=_UNSET),
        _age(obj, now),
    ]


def _ingress(obj: Object, now: datetime) -> Cells:
    spec = _spec(obj)
    hosts = [rule["host"] for rule in spec.get("rules") or [] if rule.get("host")]
    return [
        _name(obj),
        spec.get("ingressClassName") or _NONE,
        _listed(hosts, empty="*"),
        ",".join(_ingress_addresses(obj)),
        "80, 443" if spec.get("tls") else "80",
        _age(obj, now),
    ]


def _network_policy(obj: Object, now: datetime) -> Cells:
    return [_name(obj), _selector(_spec(obj).get("podSelector")), _age(obj, now)]


# -- everything else ---------------------------------------------------------------------------------------------


def _config_map(obj: Object, now: datetime) -> Cells:
    return [_name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _age(obj, now)]


def _secret(obj: Object, now: datetime) -> Cells:
    return [_name(obj), obj.get("type", ""), len(obj.get("data") or {}), _age(obj, now)]


def _namespace(obj: Object, now: datetime) -> Cells:
    return [_name(obj), _status(obj).get("phase", ""), _age(obj, now)]


def _node(obj: Object, now: datetime) -> Cells:
    status = _status(obj)
    ready = _condition(obj, "Ready").get("status")
    states = [{"True": "Ready", None: "Unknown"}.get(ready, "NotReady")]
    if _spec(obj).get("unschedulable"):
        states.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    roles = sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))
    about = status.get("nodeInfo") or {}
    addresses = {address.get("type"): address.get("address") for address in status.get("addresses") or []}
    return [
        _name(obj),
        ",".join(states),
        ",".join(roles) or _NONE,
        _age(obj, now),
        about.get("kubeletVersion", ""),
        addresses.get("InternalIP") or _NONE,
        addresses.get("ExternalIP") or _NONE,
        about.get("osImage") or _UNKNOWN,
        about.get("kernelVersion") or _UNKNOWN,
        about.get("containerRuntimeVersion") or _UNKNOWN,
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
        _name(obj),
    ]


def _lease(obj: Object, now: datetime) -> Cells:
    return [_name(obj), _spec(obj).get("holderIdentity") or "", _age(obj, now)]


def _created_at(obj: Object, now: datetime) -> Cells:
    return [_name(obj), obj["metadata"].get("creationTimestamp", "")]


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
    return [_name(obj), f"{role.get('kind', '')}/{role.get('name', '')}", _age(obj, now), *bound]


def _plain(obj: Object, now: datetime) -> Cells:
    return [_name(obj), _age(obj, now)]


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
        _pod,
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
