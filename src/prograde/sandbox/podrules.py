"""Pods and pod templates: what an API server fills in, refuses, and forbids to change.

Of the many rules for a pod those are checked that people run into; what is not checked is accepted. The same rules hold
for a pod and for the template of a workload, whose field paths begin with ``spec.template``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from prograde.api.jsonvalues import json_equal
from prograde.api.podtemplate import default_pod
from prograde.api.scalars import parse_quantity
from prograde.api.syntax import dns_label_errors, env_name_errors, port_name_errors
from prograde.sandbox.causes import duplicate, forbidden, invalid, not_supported, required
from prograde.sandbox.errors import Cause
from prograde.sandbox.kinds import Object
from prograde.sandbox.metadata import label_causes
from prograde.sandbox.writecontext import WriteContext

__all__ = ["pod_spec_causes", "pod_update_causes", "prepare_pod", "prepare_pod_update", "qos_class", "template_causes"]

_CONTAINER_LISTS = ("initContainers", "containers")
_PORT_MAX = 65535
_UNREACHABLE_SECONDS = 300
"""How long a pod stays on a node that is gone, unless it says otherwise."""

_PROBE_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_UPDATE_RULE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def prepare_pod(pod: Object, context: WriteContext) -> None:
    """Fill in a new pod: defaults, ServiceAccount, tolerations, and its first status."""
    spec = pod.setdefault("spec", {})
    default_pod(spec)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", _priority(spec.get("priorityClassName"), context))
    _tolerate_unreachable_nodes(spec)
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def prepare_pod_update(old: Object, pod: Object, context: WriteContext) -> None:
    """Fill in the defaults again, for what the update leaves out, and keep what the server had added."""
    spec = pod.setdefault("spec", {})
    default_pod(spec)
    before = old.get("spec") or {}
    for name in ("serviceAccountName", "serviceAccount", "preemptionPolicy", "priority", "tolerations", "nodeName"):
        if name in before:
            spec.setdefault(name, before[name])


def qos_class(spec: Mapping[str, Any]) -> str:
    """Return Guaranteed, Burstable or BestEffort, from the CPU and memory of all containers."""
    is_guaranteed, is_asking = True, False
    for name in _CONTAINER_LISTS:
        for container in spec.get(name) or ():
            resources = container.get("resources") or {}
            limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
            for resource in ("cpu", "memory"):
                limit, request = limits.get(resource), requests.get(resource, limits.get(resource))
                is_asking |= limit is not None or request is not None
                if limit is None or request is None or parse_quantity(limit).nano != parse_quantity(request).nano:
                    is_guaranteed = False
    if not is_asking:
        return "BestEffort"
    return "Guaranteed" if is_guaranteed else "Burstable"


def _priority(class_name: str | None, context: WriteContext) -> int:
    if not class_name:
        return 0
    found = context.get(("scheduling.k8s.io", "priorityclasses"), "", class_name)
    return int((found or {}).get("value") or 0)


def _tolerate_unreachable_nodes(spec: dict[str, Any]) -> None:
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        tolerated = [each.get("key") for each in tolerations if each.get("effect") in ("NoExecute", None)]
        if key not in tolerated and None not in tolerated:
            toleration = {"key": key, "operator": "Exists", "effect": "NoExecute"}
            tolerations.append({**toleration, "tolerationSeconds": _UNREACHABLE_SECONDS})


# ------------------------------------------------------------------------------------------------------ what is wrong


def template_causes(template: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """Yield what is wrong with a pod template at `field`."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    yield from label_causes(labels, f"{field}.metadata.labels")
    yield from pod_spec_causes(template.get("spec") or {}, f"{field}.spec")


def pod_spec_causes(spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """Yield what is wrong with a pod's spec at `field`."""
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _unique_label(volume, volumes, f"{field}.volumes[{index}].name")
    if not spec.get("containers"):
        yield required(f"{field}.containers")
    names: set[str] = set()
    for list_name in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(list_name) or ()):
            at = f"{field}.{list_name}[{index}]"
            yield from _unique_label(container, names, f"{at}.name")
            yield from _container_causes(container, volumes, at)
    policy = spec.get("restartPolicy")
    if policy not in ("Always", "OnFailure", "Never"):
        yield not_supported(f"{field}.restartPolicy", policy, "Always", "OnFailure", "Never")
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        yield invalid(f"{field}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        yield invalid(f"{field}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        if not gate.get("conditionType"):
            yield required(f"{field}.readinessGates[{index}].conditionType")


def _unique_label(named: Mapping[str, Any], seen: set[str], field: str) -> Iterator[Cause]:
    name = named.get("name") or ""
    if not name:
        yield required(field)
        return
    for problem in dns_label_errors(name):
        yield invalid(field, name, problem)
    if name in seen:
        yield duplicate(field, name)
    seen.add(name)


def _container_causes(container: Mapping[str, Any], volumes: set[str], field: str) -> Iterator[Cause]:
    image = container.get("image") or ""
    if not image:
        yield required(f"{field}.image")
    elif image != image.strip():
        yield invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    policy = container.get("imagePullPolicy")
    if policy not in ("Always", "IfNotPresent", "Never"):
        yield not_supported(f"{field}.imagePullPolicy", policy, "Always", "IfNotPresent", "Never")
    yield from _port_causes(container, field)
    for index, variable in enumerate(container.get("env") or ()):
        at = f"{field}.env[{index}]"
        if not variable.get("name"):
            yield required(f"{at}.name")
        else:
            for problem in env_name_errors(variable["name"]):
                yield invalid(f"{at}.name", variable["name"], problem)
        if variable.get("value") and variable.get("valueFrom"):
            yield invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty")
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at = f"{field}.volumeMounts[{index}]"
        name, path = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{at}.name")
        elif name not in volumes:
            yield Cause(reason="FieldValueNotFound", message=f'Not found: "{name}"', field=f"{at}.name")
        if not path:
            yield required(f"{at}.mountPath")
        elif path in paths:
            yield invalid(f"{at}.mountPath", path, "must be unique")
        paths.add(path)
    yield from _resource_causes(container.get("resources") or {}, f"{field}.resources")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe):
            yield from _probe_causes(container[probe], f"{field}.{probe}")


def _port_causes(container: Mapping[str, Any], field: str) -> Iterator[Cause]:
    names: set[str] = set()
    for index, port in enumerate(container.get("ports") or ()):
        at = f"{field}.ports[{index}]"
        name = port.get("name") or ""
        if name:
            for problem in port_name_errors(name):
                yield invalid(f"{at}.name", name, problem)
            if name in names:
                yield duplicate(f"{at}.name", name)
            names.add(name)
        number = port.get("containerPort") or 0
        if not number:
            yield required(f"{at}.containerPort")
        elif not 0 < number <= _PORT_MAX:
            yield invalid(f"{at}.containerPort", number, f"must be between 1 and {_PORT_MAX}, inclusive")
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            yield not_supported(f"{at}.protocol", port.get("protocol"), "SCTP", "TCP", "UDP")


def _resource_causes(resources: Mapping[str, Any], field: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for list_name, quantities in (("limits", limits), ("requests", requests)):
        for name, quantity in quantities.items():
            if parse_quantity(quantity).nano < 0:
                yield invalid(f"{field}.{list_name}[{name}]", quantity, "must be greater than or equal to 0")
    for name, quantity in requests.items():
        if name in limits and parse_quantity(quantity).nano > parse_quantity(limits[name]).nano:
            problem = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{field}.requests", quantity, problem)


def _probe_causes(probe: Mapping[str, Any], field: str) -> Iterator[Cause]:
    for name in _PROBE_NUMBERS:
        if (probe.get(name) or 0) < 0:
            yield invalid(f"{field}.{name}", probe[name], "must be greater than or equal to 0")
    handlers = [name for name in ("exec", "httpGet", "tcpSocket", "grpc") if probe.get(name) is not None]
    if not handlers:
        yield required(field, "must specify a handler type")
    for extra in handlers[1:]:
        yield forbidden(f"{field}.{extra}", "may not specify more than 1 handler type")
    if not field.endswith("readinessProbe") and (probe.get("successThreshold") or 1) != 1:
        yield invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")


# ------------------------------------------------------------------------------------------------------ what may change


def pod_update_causes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """Yield what a pod's spec may not change into: nearly everything is fixed at creation."""
    before, after = dict(old), dict(new)
    for list_name in _CONTAINER_LISTS:
        old_list, new_list = before.get(list_name) or [], after.get(list_name) or []
        if len(old_list) != len(new_list):
            yield forbidden(f"spec.{list_name}", f"pod updates may not add or remove {_spoken(list_name)}")
            return
        after[list_name] = [
            {**mine, "image": theirs.get("image")} for mine, theirs in zip(new_list, old_list, strict=True)
        ]
        before[list_name] = old_list
    yield from _deadline_causes(before.get("activeDeadlineSeconds"), after.get("activeDeadlineSeconds"))
    grace, new_grace = before.get("terminationGracePeriodSeconds"), after.get("terminationGracePeriodSeconds")
    kept_tolerations = before.get("tolerations") or []
    if all(any(json_equal(each, mine) for mine in after.get("tolerations") or ()) for each in kept_tolerations):
        after["tolerations"] = before.get("tolerations")
    gates = before.get("schedulingGates") or []
    if all(any(json_equal(each, gate) for gate in gates) for each in after.get("schedulingGates") or ()):
        after["schedulingGates"] = before.get("schedulingGates")
    if not before.get("nodeName"):
        after["nodeName"] = before.get("nodeName")  # the scheduler's decision
    after["activeDeadlineSeconds"] = before.get("activeDeadlineSeconds")
    if grace is not None and grace < 0 and new_grace == 1:
        after["terminationGracePeriodSeconds"] = grace
    changed = {name: value for name, value in after.items() if value is not None}
    if not json_equal(changed, {name: value for name, value in before.items() if value is not None}):
        yield forbidden("spec", _UPDATE_RULE)


def _spoken(list_name: str) -> str:
    return "init containers" if list_name == "initContainers" else "containers"


def _deadline_causes(old: int | None, new: int | None) -> Iterator[Cause]:
    """A deadline may be set or brought forward, never taken away or put off."""
    if old is not None and new is None:
        yield invalid("spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value")
    elif old is not None and new is not None and new > old:
        yield invalid("spec.activeDeadlineSeconds", new, f"must be less than or equal to previous value {old}")
