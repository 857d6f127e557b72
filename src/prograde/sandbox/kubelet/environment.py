"""A container's environment variables and its argument vector, from the pod and what it refers to."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from prograde.sandbox.kinds import Object

__all__ = ["ConfigError", "Lookup", "argv_of", "environment_of"]

Lookup: TypeAlias = Callable[[str, str], Object | None]
"""``lookup("configmaps" or "secrets", name)`` in the pod's namespace."""

_REFERENCE = re.compile(r"\$(?:\$|\(([^)\s]*)\))")


class ConfigError(Exception):
    """The container cannot be created yet: something that it refers to is missing."""


def argv_of(container: Object, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return command and args with ``$(NAME)`` replaced; unknown names stay as they are, ``$$`` is a dollar sign."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    return tuple(expand(word, environment) for word in words)


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` as the kubelet does, not as a shell would."""
    if "$" not in text:
        return text
    return _REFERENCE.sub(lambda found: "$" if found[0] == "$$" else environment.get(found[1], found[0]), text)


def environment_of(pod: Object, container: Object, pod_ip: str, host_ip: str, lookup: Lookup) -> dict[str, str]:
    """Return the variables in the order in which they are declared.

    Raises:
        ConfigError: a ConfigMap, a Secret or a key in one does not exist and is not optional.
    """
    variables: dict[str, str] = {"HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"]}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for kind, reference in _references(source, "configMapRef", "secretRef"):
            for key, value in _content(kind, reference, lookup).items():
                variables[prefix + key] = value
    for entry in container.get("env") or ():
        value = entry.get("value")
        if value is not None:
            variables[entry["name"]] = expand(value, variables)
        elif source := entry.get("valueFrom"):
            resolved = _resolve(pod, source, pod_ip, host_ip, lookup)
            if resolved is not None:
                variables[entry["name"]] = resolved
        else:
            variables[entry["name"]] = ""
    return variables


def _references(source: Mapping[str, Any], config_map: str, secret: str) -> list[tuple[str, Mapping[str, Any]]]:
    pairs = (("configmaps", source.get(config_map)), ("secrets", source.get(secret)))
    return [(kind, reference) for kind, reference in pairs if reference]


def _resolve(pod: Object, source: Mapping[str, Any], pod_ip: str, host_ip: str, lookup: Lookup) -> str | None:
    if field := source.get("fieldRef"):
        return _field(pod, field["fieldPath"], pod_ip, host_ip)
    for kind, reference in _references(source, "configMapKeyRef", "secretKeyRef"):
        content = _content(kind, reference, lookup)
        key = reference["key"]
        if key not in content and not reference.get("optional"):
            what = "ConfigMap" if kind == "configmaps" else "Secret"
            raise ConfigError(f"couldn't find key {key} in {what} {pod['metadata']['namespace']}/{reference['name']}")
        return content.get(key)
    return ""  # resource fields: a simulated node has no limits to report


def _content(kind: str, reference: Mapping[str, Any], lookup: Lookup) -> dict[str, str]:
    name = reference.get("name", "")
    found = lookup(kind, name)
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind.removesuffix("s")} "{name}" not found')
    content: dict[str, str] = found.get("data") or {}
    return content if kind == "configmaps" else {key: _decoded(value) for key, value in content.items()}


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode(errors="replace")
    except binascii.Error:
        return value


def _field(pod: Object, path: str, pod_ip: str, host_ip: str) -> str:
    meta = pod["metadata"]
    if (subscript := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)) is not None:
        return str((meta.get(subscript[1]) or {}).get(subscript[2], ""))
    fields = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta.get("namespace", ""),
        "metadata.uid": meta["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
    }
    return str(fields.get(path, ""))
