"""The rules that every object's metadata obeys, whatever its kind.

Names have a syntax that depends on the kind; labels, annotations, owner references and finalizers do not. Fields that
only the server sets (uid, creationTimestamp, deletionTimestamp) are overwritten rather than checked, by the API.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from prograde.api.syntax import dns_label_errors, dns_subdomain_errors, label_key_errors, label_value_errors
from prograde.sandbox.causes import forbidden, invalid, required
from prograde.sandbox.errors import Cause
from prograde.sandbox.kinds import Kind, Object

__all__ = ["ANNOTATIONS_BYTES_MAX", "label_causes", "validate_metadata"]

ANNOTATIONS_BYTES_MAX = 262_144
"""All keys and values of an object's annotations together; the API server's own limit."""

_DNS_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_DNS_1035_PATTERN = re.compile(_DNS_1035)
_SERVICE_NAME_LENGTH_MAX = 63

_RBAC_GROUP = "rbac.authorization.k8s.io"
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def validate_metadata(kind: Kind, new: Object, old: Object | None = None) -> list[Cause]:
    """Return what is wrong with the metadata of `new`; `old` is the stored object of an update."""
    metadata: Mapping[str, Any] = new.get("metadata") or {}
    causes: list[Cause] = []
    if old is None:
        causes += _name_causes(kind, metadata)
    causes += label_causes(metadata.get("labels") or {}, "metadata.labels")
    causes += _annotation_causes(metadata.get("annotations") or {}, "metadata.annotations")
    causes += _owner_causes(metadata.get("ownerReferences") or [])
    causes += _finalizer_causes(metadata, (old or {}).get("metadata") or {})
    return causes


def label_causes(labels: Mapping[str, str], field: str) -> Iterator[Cause]:
    """Yield what is wrong with labels."""
    for key, value in labels.items():
        for problem in label_key_errors(key):
            yield invalid(field, key, problem)
        for problem in label_value_errors(value):
            yield invalid(field, value, problem)


def _name_causes(kind: Kind, metadata: Mapping[str, Any]) -> Iterator[Cause]:
    prefix = metadata.get("generateName") or ""
    if prefix:
        # A prefix may end in what a whole name may not: the random suffix follows.
        for problem in _name_problems(kind, re.sub(r"[-.]+$", "", prefix)):
            yield invalid("metadata.generateName", prefix, problem)
    name = metadata.get("name") or ""
    if not name:
        if not prefix:
            yield required("metadata.name", "name or generateName is required")
        return
    for problem in _name_problems(kind, name):
        yield invalid("metadata.name", name, problem)


def _name_problems(kind: Kind, name: str) -> Iterator[str]:
    if kind.group == _RBAC_GROUP:
        if name in (".", ".."):
            yield f"may not be '{name}'"
        for character in "/%":
            if character in name:
                yield f"may not contain '{character}'"
        return
    if kind.group == "" and kind.kind == "Namespace":
        yield from dns_label_errors(name)
    elif kind.group == "" and kind.kind == "Service":
        yield from _service_name_errors(name)
    else:
        yield from dns_subdomain_errors(name)


def _service_name_errors(name: str) -> Iterator[str]:
    if len(name) > _SERVICE_NAME_LENGTH_MAX:
        yield f"must be no more than {_SERVICE_NAME_LENGTH_MAX} characters"
    if _DNS_1035_PATTERN.fullmatch(name) is None:
        yield (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
            f"validation is '{_DNS_1035}')"
        )


def _annotation_causes(annotations: Mapping[str, str], field: str) -> Iterator[Cause]:
    size = 0
    for key, value in annotations.items():
        size += len(key.encode()) + len(value.encode())
        for problem in label_key_errors(key.lower()):
            yield invalid(field, key, problem)
    if size > ANNOTATIONS_BYTES_MAX:
        message = f"Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes"
        yield Cause(reason="FieldValueTooLong", message=message, field=field)


def _owner_causes(references: list[Mapping[str, Any]]) -> Iterator[Cause]:
    controllers = 0
    for index, reference in enumerate(references):
        for member in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(member):
                yield required(f"metadata.ownerReferences[{index}].{member}", "must not be empty")
        controllers += reference.get("controller") is True
    if controllers > 1:
        problem = "Only one reference can have Controller set to true"
        yield invalid("metadata.ownerReferences", references, problem)


def _finalizer_causes(metadata: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    finalizers = metadata.get("finalizers") or []
    for finalizer in finalizers:
        for problem in label_key_errors(finalizer):
            yield invalid("metadata.finalizers", finalizer, problem)
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS and "." not in finalizer:
            problem = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid("metadata.finalizers", finalizer, problem)
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        problem = "finalizer orphan and foregroundDeletion cannot be both set"
        yield invalid("metadata.finalizers", "orphan", problem)
    added = sorted(set(finalizers) - set(old.get("finalizers") or []))
    if old.get("deletionTimestamp") and added:
        listed = ", ".join(f'"{each}"' for each in added)
        yield forbidden(
            "metadata.finalizers",
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}",
        )
