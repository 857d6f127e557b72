"""The part that all objects share: reading `metadata`, checking its syntax, inventing names.

`coerce_metadata` brings what a client sent into the form in which Kubernetes would have read it (nulls and empty maps
are absent, unknown fields are dropped and reported, wrong types refused). The two validate functions only look; their
causes are put together with those of the rest of the object, so that one answer lists everything that is wrong.
"""

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec

from prograde.sandbox.client import Resource
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Kind, Object

__all__ = [
    "ANNOTATIONS_BYTES_MAX",
    "coerce_metadata",
    "generate_name",
    "validate_metadata",
    "validate_metadata_update",
]

ANNOTATIONS_BYTES_MAX = 262_144
"""Kubernetes' limit on all annotations of an object together; large CRDs cannot be applied client-side because of it."""

_GENERATED_BASE_MAX = 58
_SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, so that no word comes out by accident."""


class _OwnerReference(msgspec.Struct):
    apiVersion: str = ""  # noqa: N815
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    blockOwnerDeletion: bool | None = None  # noqa: N815


class _ObjectMeta(msgspec.Struct):
    """The types that the fields must have; the names are the wire's."""

    name: str | None = None
    generateName: str | None = None  # noqa: N815
    namespace: str | None = None
    selfLink: str | None = None  # noqa: N815
    uid: str | None = None
    resourceVersion: str | None = None  # noqa: N815
    generation: int | None = None
    creationTimestamp: str | None = None  # noqa: N815
    deletionTimestamp: str | None = None  # noqa: N815
    deletionGracePeriodSeconds: int | None = None  # noqa: N815
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    ownerReferences: list[_OwnerReference] | None = None  # noqa: N815
    finalizers: list[str] | None = None
    managedFields: list[dict[str, Any]] | None = None  # noqa: N815


_KNOWN = frozenset(_ObjectMeta.__struct_fields__)


def coerce_metadata(obj: Object, kind: Kind) -> list[str]:
    """Bring ``obj["metadata"]`` into its canonical form, in place; return unknown fields as ``metadata.x``.

    An empty ``managedFields`` stays, since it asks the server to forget who owns what.

    Raises:
        StatusError: 400, a field has the wrong type.
    """
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = {}
    try:
        msgspec.convert(metadata, _ObjectMeta)
    except msgspec.ValidationError as err:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: metadata: {err}'
        raise StatusError.bad_request(message) from err
    unknown = [f"metadata.{name}" for name in metadata if name not in _KNOWN]
    obj["metadata"] = metadata = {
        name: value
        for name, value in metadata.items()
        if name in _KNOWN and name != "selfLink" and (value not in (None, "", {}, []) or _asks_to_forget(name, value))
    }
    for name in ("labels", "annotations"):
        values = metadata.get(name)
        if values and None in values.values():
            metadata[name] = {key: value or "" for key, value in values.items()}
    return unknown


def generate_name(base: str, rng: Random) -> str:
    """Return `base`, cut to 58 characters, with five random ones behind it."""
    return base[:_GENERATED_BASE_MAX] + "".join(rng.choices(_SAFE_LETTERS, k=5))


def validate_metadata(kind: Kind, metadata: Mapping[str, Any]) -> list[Cause]:
    """Check names, labels, annotations, owner references and finalizers of an object about to be stored."""
    causes: list[Cause] = []
    name = metadata.get("name", "")
    if not name:
        causes.append(Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name"))
    else:
        rule = _NAME_RULES.get((kind.group, kind.plural), _subdomain)
        causes += [_invalid("metadata.name", name, problem) for problem in rule(name)]
    for label, value in metadata.get("labels", {}).items():
        causes += [_invalid("metadata.labels", label, problem) for problem in _qualified_name(label)]
        causes += [_invalid("metadata.labels", value, problem) for problem in _label_value(value)]
    causes += _validate_annotations(metadata.get("annotations", {}))
    causes += _validate_owners(metadata.get("ownerReferences", []))
    for finalizer in metadata.get("finalizers", []):
        causes += [_invalid("metadata.finalizers", finalizer, problem) for problem in _qualified_name(finalizer)]
    return causes


def validate_metadata_update(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Cause]:
    """Check what may not change: an object that is being deleted gains no finalizers."""
    if "deletionTimestamp" not in old:
        return []
    added = [name for name in new.get("finalizers", []) if name not in old.get("finalizers", [])]
    if not added:
        return []
    listed = ", ".join(f'"{name}"' for name in added)
    why = "no new finalizers can be added if the object is being deleted, found new finalizers"
    return [Cause("FieldValueForbidden", f"Forbidden: {why} []string{{{listed}}}", "metadata.finalizers")]


def _asks_to_forget(name: str, value: Any) -> bool:
    return name == "managedFields" and value == []


def _validate_annotations(annotations: Mapping[str, str]) -> list[Cause]:
    causes = []
    for key in annotations:
        causes += [_invalid("metadata.annotations", key, problem) for problem in _qualified_name(key.lower())]
    total = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if total > ANNOTATIONS_BYTES_MAX:
        message = f"Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes"
        causes.append(Cause("FieldValueTooLong", message, "metadata.annotations"))
    return causes


def _validate_owners(owners: list[Mapping[str, Any]]) -> list[Cause]:
    causes = []
    for index, owner in enumerate(owners):
        field = f"metadata.ownerReferences[{index}]"
        if not owner.get("apiVersion"):
            causes.append(_invalid(f"{field}.apiVersion", "", "version must not be empty"))
        for name in ("kind", "name", "uid"):
            if not owner.get(name):
                causes.append(_invalid(f"{field}.{name}", "", "must not be empty"))
    controllers = [owner.get("name", "") for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        why = (
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {controllers[0]} and {controllers[1]}'
        )
        value = msgspec.json.encode(owners).decode()
        causes.append(Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", "metadata.ownerReferences"))
    return causes


def _invalid(field: str, value: str, problem: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "{value}": {problem}', field)


_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(rf"({_NAME_PART.pattern})?")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    rf"'{_SUBDOMAIN.pattern}')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL.pattern}')"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_LABEL_1035.pattern}')"
)
_NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_NAME_PART.pattern}')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_LABEL_VALUE.pattern}')"
)


def _matching(pattern: re.Pattern[str], text: str, length_max: int) -> Callable[[str], list[str]]:
    def check(name: str) -> list[str]:
        problems = [f"must be no more than {length_max} characters"] if len(name) > length_max else []
        return problems if pattern.fullmatch(name) else [*problems, text]

    return check


_subdomain = _matching(_SUBDOMAIN, _SUBDOMAIN_TEXT, 253)
_label = _matching(_LABEL, _LABEL_TEXT, 63)
_label_1035 = _matching(_LABEL_1035, _LABEL_1035_TEXT, 63)
_name_part = _matching(_NAME_PART, _NAME_PART_TEXT, 63)
_label_value = _matching(_LABEL_VALUE, _LABEL_VALUE_TEXT, 63)


def _path_segment(name: str) -> list[str]:
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in name]


def _qualified_name(name: str) -> list[str]:
    prefix, slash, part = name.rpartition("/")
    problems = []
    if slash:
        if not prefix:
            problems.append("prefix part must be non-empty")
        elif "/" in prefix:
            return [
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
                "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
                f"validation is '{_NAME_PART.pattern}') with an optional DNS subdomain prefix and '/' (e.g. "
                "'example.com/MyName')"
            ]
        else:
            problems += [f"prefix part {problem}" for problem in _subdomain(prefix)]
    return [*problems, *(["name part must be non-empty"] if not part else _name_part(part))]


_NAME_RULES: Mapping[Resource, Callable[[str], list[str]]] = {
    ("", "namespaces"): _label,
    ("", "services"): _label_1035,
    ("rbac.authorization.k8s.io", "roles"): _path_segment,
    ("rbac.authorization.k8s.io", "clusterroles"): _path_segment,
    ("rbac.authorization.k8s.io", "rolebindings"): _path_segment,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _path_segment,
}
