"""What an API server fills into pod templates and pods, as Kubernetes 1.34 does it.

The controller needs it to compare the template of a Rollout, which nobody has defaulted, with that of a ReplicaSet,
which the API server has. The sandbox needs it to be such an API server.

Functions change their argument in place, callers own it. They expect the shapes that the API server would accept and
leave anything else alone.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from prograde.api.scalars import InvalidQuantity, parse_quantity

__all__ = ["default_pod", "default_pod_spec", "default_pod_template"]

JsonObject: TypeAlias = dict[str, Any]

_CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")
_FILE_MODE: Final = 0o644
_TOKEN_SECONDS: Final = 3600


def default_pod_template(template: JsonObject) -> None:
    """Fill in the defaults of a PodTemplateSpec: of a ReplicaSet, Deployment, Job, PodTemplate or Experiment."""
    template["spec"] = _object(template.get("spec"))
    default_pod_spec(template["spec"])


def default_pod_spec(spec: JsonObject) -> None:
    """Fill in the defaults that templates and pods have in common."""
    _fill(spec, "restartPolicy", "Always")
    if not isinstance(spec.get("terminationGracePeriodSeconds"), int):
        spec["terminationGracePeriodSeconds"] = 30
    _fill(spec, "dnsPolicy", "ClusterFirst")
    _fill(spec, "schedulerName", "default-scheduler")
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    _round_quantities(spec.get("overhead"))
    _default_resources(spec)
    for volume in _objects(spec.get("volumes")):
        _default_volume(volume)
    for container in _containers(spec):
        _default_container(container)


def default_pod(spec: JsonObject) -> None:
    """Fill in the defaults of a pod's spec: those of templates, and those that only pods get."""
    default_pod_spec(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    for container in [*_objects(spec.get("initContainers")), *_objects(spec.get("containers"))]:
        resources = _object(container.get("resources"))
        limits = resources.get("limits")
        if limits and isinstance(limits, dict):
            requests = resources.setdefault("requests", {})
            for name, quantity in limits.items():
                requests.setdefault(name, quantity)
        if spec.get("hostNetwork"):
            for port in _objects(container.get("ports")):
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort")


# --- Containers -----------------------------------------------------------------------------------------------


def _default_container(container: JsonObject) -> None:
    _fill(container, "imagePullPolicy", _pull_policy(container.get("image")))
    _fill(container, "terminationMessagePath", "/dev/termination-log")
    _fill(container, "terminationMessagePolicy", "File")
    _default_resources(container)
    for port in _objects(container.get("ports")):
        _fill(port, "protocol", "TCP")
    for variable in _objects(container.get("env")):
        source = _object(variable.get("valueFrom"))
        _default_field_ref(source)
        file_key = source.get("fileKeyRef")
        if isinstance(file_key, dict) and file_key.get("optional") is None:
            file_key["optional"] = False
    for name in _PROBES:
        if isinstance(container.get(name), dict):
            _default_probe(container[name])
    lifecycle = _object(container.get("lifecycle"))
    for name in _HOOKS:
        _default_http_get(_object(lifecycle.get(name)))


_TAG = re.compile(r":(?P<tag>[^:/@]+)(?:@.*)?$")


def _pull_policy(image: Any) -> str:
    """Return Always for ``latest``, written or implied by neither tag nor digest; IfNotPresent for anything else."""
    text = image if isinstance(image, str) else ""
    match = _TAG.search(text.partition("@")[0])
    if match is None:
        return "IfNotPresent" if "@" in text else "Always"
    return "Always" if match["tag"] == "latest" else "IfNotPresent"


def _default_probe(probe: JsonObject) -> None:
    """Fill in a probe; 0 counts as unset."""
    _fill(probe, "timeoutSeconds", 1)
    _fill(probe, "periodSeconds", 10)
    _fill(probe, "successThreshold", 1)
    _fill(probe, "failureThreshold", 3)
    _default_http_get(probe)
    grpc = probe.get("grpc")
    if isinstance(grpc, dict) and grpc.get("service") is None:
        grpc["service"] = ""


def _default_http_get(handler: JsonObject) -> None:
    request = handler.get("httpGet")
    if isinstance(request, dict):
        _fill(request, "path", "/")
        _fill(request, "scheme", "HTTP")


def _default_field_ref(source: JsonObject) -> None:
    field_ref = source.get("fieldRef")
    if isinstance(field_ref, dict):
        _fill(field_ref, "apiVersion", "v1")


def _default_resources(owner: JsonObject) -> None:
    resources = _object(owner.get("resources"))
    _round_quantities(resources.get("limits"))
    _round_quantities(resources.get("requests"))


def _round_quantities(quantities: Any) -> None:
    """Round up to thousandths: nobody can be given less."""
    if not isinstance(quantities, dict):
        return
    for name, value in quantities.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                quantities[name] = str(parse_quantity(value).rounded_up_to_milli())
            except InvalidQuantity:
                continue


# --- Volumes --------------------------------------------------------------------------------------------------

_VOLUME_DEFAULTS: Final[dict[str, JsonObject]] = {
    "secret": {"defaultMode": _FILE_MODE},
    "configMap": {"defaultMode": _FILE_MODE},
    "downwardAPI": {"defaultMode": _FILE_MODE},
    "projected": {"defaultMode": _FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def _default_volume(volume: JsonObject) -> None:
    if all(value is None for key, value in volume.items() if key != "name"):
        volume["emptyDir"] = {}
    for kind, values in _VOLUME_DEFAULTS.items():
        source = volume.get(kind)
        if isinstance(source, dict):
            for name, value in values.items():
                # Pointers keep what is written, even if it is empty; plain texts do not.
                if source.get(name) is None or (source[name] == "" and kind in ("iscsi", "rbd", "scaleIO")):
                    source[name] = value
    for item in _objects(_object(volume.get("downwardAPI")).get("items")):
        _default_field_ref(item)
    for projection in _objects(_object(volume.get("projected")).get("sources")):
        for item in _objects(_object(projection.get("downwardAPI")).get("items")):
            _default_field_ref(item)
        token = projection.get("serviceAccountToken")
        if isinstance(token, dict) and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = _TOKEN_SECONDS
    claim = _object(_object(volume.get("ephemeral")).get("volumeClaimTemplate")).get("spec")
    if isinstance(claim, dict):
        if claim.get("volumeMode") is None:
            claim["volumeMode"] = "Filesystem"
        _default_resources(claim)
    image = volume.get("image")
    if isinstance(image, dict):
        _fill(image, "pullPolicy", _pull_policy(image.get("reference")))


# --- Shapes ---------------------------------------------------------------------------------------------------


def _fill(owner: JsonObject, name: str, value: Any) -> None:
    """Set a member that is absent or empty."""
    if not owner.get(name):
        owner[name] = value


def _containers(spec: JsonObject) -> Iterator[JsonObject]:
    for name in _CONTAINER_LISTS:
        yield from _objects(spec.get(name))


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> Iterator[JsonObject]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
