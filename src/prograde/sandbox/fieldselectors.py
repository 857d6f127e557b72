"""Field selectors: ``status.phase=Running,metadata.name!=web`` on lists and watches.

Every kind can be selected by name and namespace; beyond that only by the fields that a real API server knows for the
kind, and anything else is refused by name, since silently matching nothing (or everything) would hide a mistake.
Values compare as text; an absent field reads as its zero value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prograde.sandbox.client import Resource
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind, Object

__all__ = ["FieldSelector", "parse_field_selector"]

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

_EVENT_FIELDS: Mapping[str, tuple[str, ...]] = {
    **{f"involvedObject.{part}": (f"involvedObject.{part}", f"regarding.{part}") for part in _INVOLVED},
    **{f"regarding.{part}": (f"regarding.{part}", f"involvedObject.{part}") for part in _INVOLVED},
    "reason": ("reason",),
    "reportingComponent": ("reportingComponent", "reportingController"),
    "source": ("source.component", "deprecatedSource.component", "reportingComponent", "reportingController"),
    "type": ("type",),
}
"""Selector label to the paths that may hold its value; the first that does counts."""

_FIELDS: Mapping[Resource, Mapping[str, tuple[str, ...]]] = {
    ("", "pods"): {
        field: (field,)
        for field in (
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        )
    },
    ("", "events"): _EVENT_FIELDS,
    ("events.k8s.io", "events"): _EVENT_FIELDS,
    ("", "secrets"): {"type": ("type",)},
    ("", "namespaces"): {"status.phase": ("status.phase",)},
    ("", "nodes"): {"spec.unschedulable": ("spec.unschedulable",)},
    ("", "replicationcontrollers"): {"status.replicas": ("status.replicas",)},
    ("apps", "replicasets"): {"status.replicas": ("status.replicas",)},
    ("batch", "jobs"): {"status.successful": ("status.succeeded",)},
    ("", "services"): {"spec.clusterIP": ("spec.clusterIP",), "spec.type": ("spec.type",)},
}

_ZERO_VALUES: Mapping[str, str] = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}


@dataclass(frozen=True, slots=True)
class _Requirement:
    paths: tuple[tuple[str, ...], ...]
    value: str
    is_equal: bool
    absent: str

    def matches(self, obj: Object) -> bool:
        return (self._value_of(obj) == self.value) is self.is_equal

    def _value_of(self, obj: Object) -> str:
        for path in self.paths:
            value: Any = obj
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if value not in (None, ""):
                return _text(value)
        return self.absent


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A parsed selector; `name` and `namespace` are set when it demands exactly that one."""

    name: str | None = None
    namespace: str | None = None
    requirements: tuple[_Requirement, ...] = ()

    def matches(self, obj: Object) -> bool:
        metadata = obj["metadata"]
        if self.name is not None and metadata["name"] != self.name:
            return False
        if self.namespace is not None and metadata.get("namespace", "") != self.namespace:
            return False
        return all(requirement.matches(obj) for requirement in self.requirements)

    @property
    def is_empty(self) -> bool:
        return self.name is None and self.namespace is None and not self.requirements


def parse_field_selector(text: str, kind: Kind) -> FieldSelector:
    """Parse a selector for objects of `kind`.

    Raises:
        StatusError: 400, not a selector, or a field by which this kind cannot be selected.
    """
    names: dict[str, str] = {}
    requirements = []
    for term in _split(text):
        label, operator, value = _term(term, text)
        is_equal = operator != "!="
        if label in ("metadata.name", "metadata.namespace") and is_equal and names.setdefault(label, value) == value:
            continue
        paths = _paths(label, kind)
        absent = _ZERO_VALUES.get(label, "")
        requirements.append(_Requirement(tuple(tuple(path.split(".")) for path in paths), value, is_equal, absent))
    return FieldSelector(names.get("metadata.name"), names.get("metadata.namespace"), tuple(requirements))


def _paths(label: str, kind: Kind) -> tuple[str, ...]:
    if label in ("metadata.name", "metadata.namespace"):
        return (label,)
    known = _FIELDS.get((kind.group, kind.plural), {}).get(label)
    if known is not None:
        return known
    if label in kind.selectable_fields:
        return (label,)
    raise StatusError.bad_request(f"field label not supported: {label}")


def _term(term: str, text: str) -> tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        label, found, value = term.partition(operator)
        if found:
            return label.strip(), operator, _unescape(value, text)
    raise StatusError.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")


def _split(text: str) -> list[str]:
    """Split at commas that no backslash protects; empty terms do not count."""
    terms, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == ",":
            terms.append(text[start:at])
            start = at + 1
        at += 1
    return [term for term in [*terms, text[start:]] if term]


def _unescape(value: str, text: str) -> str:
    characters, at = [], 0
    while at < len(value):
        character = value[at]
        if character == "\\":
            at += 1
            character = value[at : at + 1]
            if character not in ("\\", ",", "="):
                raise StatusError.bad_request(f"invalid field selector: invalid escape sequence in '{text}'")
        elif character in ",=":
            raise StatusError.bad_request(f"invalid field selector: unescaped '{character}' in '{text}'")
        characters.append(character)
        at += 1
    return "".join(characters)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
