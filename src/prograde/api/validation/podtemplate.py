"""The pod template of a Rollout: what can be judged without an API server.

Here are the rules that catch the mistakes people make, with the words of the API server. The rest is left to it: a
template that it would refuse shows up when the ReplicaSet is created. So never be stricter than it is; a false alarm
blocks a user, a missed mistake only comes later.

Values of a wrong shape are passed over, for volumes and resources may hold anything.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from prograde.api.meta import NO_RAW
from prograde.api.scalars import InvalidQuantity, parse_quantity
from prograde.api.selectors import EVERYTHING, Selector
from prograde.api.syntax import (
    dns_label_errors,
    env_name_errors,
    label_key_errors,
    label_value_errors,
    port_name_errors,
)
from prograde.api.validation.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    required,
    unsupported,
)

__all__ = ["pod_template_errors"]

JsonObject: TypeAlias = dict[str, Any]

_PORT_MAX: Final = 65535
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_NOT_NEGATIVE: Final = "must be greater than or equal to 0"


def pod_template_errors(template: msgspec.Raw, selector: Selector | None, *, replicas: int) -> list[FieldError]:
    """Return what is wrong with ``spec.template``; a selector of None selects nothing."""
    value: Any = msgspec.json.decode(template) if template is not NO_RAW else {}
    metadata, spec = _object(_object(value).get("metadata")), _object(_object(value).get("spec"))
    labels = _texts(metadata.get("labels"))
    errors = []
    if selector is None or (selector != EVERYTHING and not selector.matches(labels)):
        shown = {key: labels[key] for key in sorted(labels)} or None
        errors.append(invalid("spec.template.metadata.labels", shown, "`selector` does not match template `labels`"))
    errors += _metadata_errors(labels, _texts(metadata.get("annotations")))
    errors += _pod_spec_errors(spec, "spec.template.spec")
    if replicas > 1:
        errors += _disk_errors(spec)
    restart_policy = spec.get("restartPolicy") or "Always"
    if restart_policy != "Always":
        errors.append(unsupported("spec.template.spec.restartPolicy", restart_policy, ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        path = "spec.template.spec.activeDeadlineSeconds"
        errors.append(forbidden(path, "activeDeadlineSeconds in ReplicaSet is not Supported"))
    return errors


def _metadata_errors(labels: dict[str, str], annotations: dict[str, str]) -> list[FieldError]:
    errors = []
    for key in sorted(labels):
        errors += [invalid("spec.template.labels", key, error) for error in label_key_errors(key)]
        errors += [invalid("spec.template.labels", labels[key], error) for error in label_value_errors(labels[key])]
    for key in sorted(annotations):
        # The keys of annotations may have capital letters in their prefix.
        errors += [invalid("spec.template.annotations", key, error) for error in label_key_errors(key.lower())]
    return errors


def _pod_spec_errors(spec: JsonObject, path: str) -> list[FieldError]:
    errors, volumes = _volume_errors(spec, f"{path}.volumes")
    containers = list(_objects(spec.get("containers")))
    if not containers:
        errors.append(required(f"{path}.containers"))
    names: set[str] = set()
    for index, container in containers:
        errors += _container_errors(container, volumes, f"{path}.containers[{index}]")
        errors += _name_taken_errors(container, names, f"{path}.containers[{index}].name")
        errors += _probe_errors(container, f"{path}.containers[{index}]")
    for index, container in _objects(spec.get("initContainers")):
        errors += _container_errors(container, volumes, f"{path}.initContainers[{index}]")
        errors += _name_taken_errors(container, names, f"{path}.initContainers[{index}].name")
    if spec.get("ephemeralContainers"):
        errors.append(forbidden(f"{path}.ephemeralContainers", "ephemeral containers not allowed in pod template"))
    return errors


def _name_taken_errors(container: JsonObject, names: set[str], path: str) -> list[FieldError]:
    name = container.get("name")
    if not name or not isinstance(name, str):
        return []
    if name in names:
        return [duplicate(path, name)]
    names.add(name)
    return []


# --- Volumes --------------------------------------------------------------------------------------------------


def _volume_errors(spec: JsonObject, path: str) -> tuple[list[FieldError], set[str]]:
    """Return errors, and the names that containers may mount."""
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, volume in _objects(spec.get("volumes")):
        name = _text(volume.get("name"))
        name_path = f"{path}[{index}].name"
        if not name:
            errors.append(required(name_path))
        elif complaints := dns_label_errors(name):
            errors += [invalid(name_path, name, complaint) for complaint in complaints]
        elif name in names:
            errors.append(duplicate(name_path, name))
        names.add(name)
    return errors, names


def _disk_errors(spec: JsonObject) -> list[FieldError]:
    """Several pods can share a GCE disk only for reading."""
    detail = "must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only"
    return [
        invalid(f"spec.template.spec.volumes[{index}].gcePersistentDisk.readOnly", False, detail)
        for index, volume in _objects(spec.get("volumes"))
        if isinstance(volume.get("gcePersistentDisk"), dict) and not volume["gcePersistentDisk"].get("readOnly")
    ]


# --- Containers -----------------------------------------------------------------------------------------------


def _container_errors(container: JsonObject, volumes: set[str], path: str) -> list[FieldError]:
    errors = []
    name, image = _text(container.get("name")), _text(container.get("image"))
    if not name:
        errors.append(required(f"{path}.name"))
    else:
        errors += [invalid(f"{path}.name", name, error) for error in dns_label_errors(name)]
    if not image:
        errors.append(required(f"{path}.image"))
    elif image != image.strip():
        errors.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    errors += _port_errors(container, f"{path}.ports")
    errors += _env_errors(container, f"{path}.env")
    errors += _mount_errors(container, volumes, f"{path}.volumeMounts")
    errors += _resource_errors(_object(container.get("resources")), f"{path}.resources")
    return errors


def _port_errors(container: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in _objects(container.get("ports")):
        name = _text(port.get("name"))
        if name:
            complaints = port_name_errors(name)
            errors += [invalid(f"{path}[{index}].name", name, complaint) for complaint in complaints]
            if not complaints and name in names:
                errors.append(duplicate(f"{path}[{index}].name", name))
            names.add(name)
        number = port.get("containerPort")
        if not number:
            errors.append(required(f"{path}[{index}].containerPort"))
        else:
            errors += _port_number_errors(number, f"{path}[{index}].containerPort")
        if port.get("hostPort"):
            errors += _port_number_errors(port["hostPort"], f"{path}[{index}].hostPort")
        protocol = port.get("protocol") or "TCP"
        if protocol not in _PROTOCOLS:
            errors.append(unsupported(f"{path}[{index}].protocol", protocol, _PROTOCOLS))
    return errors


def _port_number_errors(number: Any, path: str) -> list[FieldError]:
    if isinstance(number, int) and not 1 <= number <= _PORT_MAX:
        return [invalid(path, number, f"must be between 1 and {_PORT_MAX}, inclusive")]
    return []


def _env_errors(container: JsonObject, path: str) -> list[FieldError]:
    errors = []
    for index, variable in _objects(container.get("env")):
        name = _text(variable.get("name"))
        if not name:
            errors.append(required(f"{path}[{index}].name"))
        else:
            errors += [invalid(f"{path}[{index}].name", name, error) for error in env_name_errors(name)]
        if variable.get("value") and variable.get("valueFrom") is not None:
            errors.append(invalid(f"{path}[{index}].valueFrom", "", "may not be specified when `value` is not empty"))
    return errors


def _mount_errors(container: JsonObject, volumes: set[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    mounted: set[str] = set()
    is_privileged = _object(container.get("securityContext")).get("privileged") is True
    for index, mount in _objects(container.get("volumeMounts")):
        name, mount_path = _text(mount.get("name")), _text(mount.get("mountPath"))
        if not name:
            errors.append(required(f"{path}[{index}].name"))
        if name not in volumes:
            errors.append(not_found(f"{path}[{index}].name", name))
        if not mount_path:
            errors.append(required(f"{path}[{index}].mountPath"))
        if mount_path in mounted:
            errors.append(invalid(f"{path}[{index}].mountPath", mount_path, "must be unique"))
        mounted.add(mount_path)
        if mount.get("mountPropagation") == "Bidirectional" and not is_privileged:
            detail = "Bidirectional mount propagation is available only to privileged containers"
            errors.append(forbidden(f"{path}[{index}].mountPropagation", detail))
    return errors


def _resource_errors(resources: JsonObject, path: str) -> list[FieldError]:
    errors = []
    limits, requests = _object(resources.get("limits")), _object(resources.get("requests"))
    for name in sorted(requests):
        if name not in limits:
            continue
        try:
            request, limit = parse_quantity(requests[name]), parse_quantity(limits[name])
        except (InvalidQuantity, TypeError, ValueError, AttributeError):
            continue
        if request.nano > limit.nano:
            detail = f"must be less than or equal to {name} limit of {limit}"
            errors.append(invalid(f"{path}.requests", str(request), detail))
    return errors


_PROBE_NUMBERS: Final = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def _probe_errors(container: JsonObject, path: str) -> list[FieldError]:
    errors = []
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = _object(container.get(kind))
        for name in _PROBE_NUMBERS:
            number = probe.get(name)
            if isinstance(number, int) and number < 0:
                errors.append(invalid(f"{path}.{kind}.{name}", number, _NOT_NEGATIVE))
        successes = probe.get("successThreshold")
        if kind != "readinessProbe" and isinstance(successes, int) and successes > 1:
            errors.append(invalid(f"{path}.{kind}.successThreshold", successes, "must be 1"))
    return errors


# --- Shapes ---------------------------------------------------------------------------------------------------


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> Iterator[tuple[int, JsonObject]]:
    if isinstance(value, list):
        yield from ((index, item) for index, item in enumerate(value) if isinstance(item, dict))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> dict[str, str]:
    return {key: item for key, item in _object(value).items() if isinstance(item, str)}
