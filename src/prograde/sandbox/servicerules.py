"""Services: addresses and ports that the server gives, defaults, and what must not change."""

from collections.abc import Iterator, Mapping
from typing import Any

from prograde.api.syntax import port_name_errors
from prograde.sandbox.causes import duplicate, immutable, invalid, not_supported, required
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Object
from prograde.sandbox.writecontext import WriteContext

__all__ = ["prepare_service", "prepare_service_update", "service_causes"]

_HEADLESS = "None"
_PORT_MAX = 65535
_TYPE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "externalTrafficPolicy": ("NodePort", "LoadBalancer"),
    "allocateLoadBalancerNodePorts": ("LoadBalancer",),
}
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def prepare_service(service: Object, context: WriteContext) -> None:
    """Fill in a new Service and give it an address, and node ports where its type asks for them."""
    spec = service.setdefault("spec", {})
    _default(spec)
    _allocate(service, spec, context)
    service["status"] = {"loadBalancer": {}}


def prepare_service_update(old: Object, service: Object, context: WriteContext) -> None:
    """Keep the address and the node ports of the Service where the update does not mention them."""
    spec = service.setdefault("spec", {})
    before = old.get("spec") or {}
    _default(spec)
    if spec["type"] == "ExternalName":
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(name, None)
        return
    if before.get("clusterIP") and not spec.get("clusterIP"):
        spec["clusterIP"] = before["clusterIP"]
    if spec.get("clusterIP") == before.get("clusterIP") and before.get("clusterIPs"):
        spec["clusterIPs"] = before["clusterIPs"]
    _forget_type(spec, before)
    node_ports = {(port.get("port"), port.get("protocol")): port.get("nodePort") for port in before.get("ports") or ()}
    if _has_node_ports(spec):
        for port in spec.get("ports") or ():
            kept = node_ports.get((port.get("port"), port.get("protocol")))
            if kept and not port.get("nodePort"):
                port["nodePort"] = kept
    _allocate(service, spec, context, before)


def _forget_type(spec: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Drop what only the former type had, unless the update sets it to something of its own."""
    if spec["type"] == before.get("type"):
        return
    given = {port.get("nodePort") for port in before.get("ports") or ()}
    if not _has_node_ports(spec):
        for port in spec.get("ports") or ():
            if port.get("nodePort") in given:
                port.pop("nodePort", None)
    for name, types in _TYPE_FIELDS.items():
        if spec["type"] not in types and spec.get(name) == before.get(name):
            spec.pop(name, None)


def _default(spec: dict[str, Any]) -> None:
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}).setdefault("timeoutSeconds", 10800)
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _has_node_ports(spec: Mapping[str, Any]) -> bool:
    if spec["type"] == "LoadBalancer":
        return bool(spec.get("allocateLoadBalancerNodePorts", True))
    return bool(spec["type"] == "NodePort")


def _allocate(
    service: Object, spec: dict[str, Any], context: WriteContext, before: Mapping[str, Any] | None = None
) -> None:
    """Take the address and the ports that the Service needs and does not have yet."""
    before = before or {}
    if spec["type"] == "ExternalName":
        return
    wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
    if wanted != _HEADLESS and wanted != before.get("clusterIP"):
        try:
            wanted = context.allocate_ip(wanted)
        except ValueError as error:
            raise _refused(service, invalid("spec.clusterIPs", [wanted], str(error))) from error
    spec["clusterIP"] = wanted
    spec.setdefault("clusterIPs", [wanted])
    if not _has_node_ports(spec):
        return
    taken = {port.get("nodePort") for port in before.get("ports") or ()}
    for index, port in enumerate(spec.get("ports") or ()):
        number = port.get("nodePort") or 0
        if number and number in taken:
            continue
        try:
            port["nodePort"] = context.allocate_port(number)
        except ValueError as error:
            raise _refused(service, invalid(f"spec.ports[{index}].nodePort", number, str(error))) from error


def _refused(service: Object, cause: Cause) -> StatusError:
    return StatusError.invalid("", "Service", service["metadata"].get("name", ""), [cause])


def service_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    """Yield what is wrong with a Service."""
    spec = new["spec"]
    if spec["type"] not in _TYPES:
        yield not_supported("spec.type", spec["type"], *_TYPES)
    if spec["sessionAffinity"] not in ("ClientIP", "None"):
        yield not_supported("spec.sessionAffinity", spec["sessionAffinity"], "ClientIP", "None")
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    elif spec["type"] != "ExternalName" and not spec.get("ports") and spec.get("clusterIP") != _HEADLESS:
        yield required("spec.ports")
    if spec["type"] in ("NodePort", "LoadBalancer") and spec.get("clusterIP") == _HEADLESS:
        yield invalid("spec.clusterIPs[0]", _HEADLESS, f"may not be set to 'None' for {spec['type']} services")
    yield from _port_causes(spec.get("ports") or [])
    if old is not None:
        before = old["spec"].get("clusterIP")
        was_addressed = before and old["spec"].get("type") != "ExternalName" and spec["type"] != "ExternalName"
        if was_addressed and spec.get("clusterIP") != before:
            yield immutable("spec.clusterIP", spec.get("clusterIP"))


def _port_causes(ports: list[Any]) -> Iterator[Cause]:
    names: set[str] = set()
    numbers: set[tuple[int, str]] = set()
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if name:
            if name in names:
                yield duplicate(f"{field}.name", name)
            names.add(name)
        elif len(ports) > 1:
            yield required(f"{field}.name")
        number = port.get("port") or 0
        if not 0 < number <= _PORT_MAX:
            yield invalid(f"{field}.port", number, f"must be between 1 and {_PORT_MAX}, inclusive")
        if (number, port["protocol"]) in numbers:
            yield duplicate(field, {"port": number, "protocol": port["protocol"]})
        numbers.add((number, port["protocol"]))
        if port["protocol"] not in ("TCP", "UDP", "SCTP"):
            yield not_supported(f"{field}.protocol", port["protocol"], "SCTP", "TCP", "UDP")
        yield from _target_causes(port.get("targetPort"), f"{field}.targetPort")


def _target_causes(target: Any, field: str) -> Iterator[Cause]:
    if isinstance(target, int):
        if not 0 < target <= _PORT_MAX:
            yield invalid(field, target, f"must be between 1 and {_PORT_MAX}, inclusive")
    elif isinstance(target, str):
        for problem in port_name_errors(target):
            yield invalid(field, target, problem)
