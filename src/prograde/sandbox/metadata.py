"""The rules that every object's metadata obeys, whatever its kind.

Names have a syntax that depends on the kind; labels, annotations, owner references and finalizers do not. Fields that
only the server sets (uid, creationTimestamp, deletionTimestamp) are overwritten rather than checked, by the API.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from prograde.sandbox.errors import Cause
from prograde.sandbox.formats import go_quote
from prograde.sandbox.kinds import Kind, Object

__all__ = [
    "ANNOTATIONS_BYTES_MAX",
    "is_dns_label",
    "is_dns_subdomain",
    "is_qualified_name",
    "label_problems",
    "validate_metadata",
]

ANNOTATIONS_BYTES_MAX = 262_144
"""All keys and values of an object's annotations together; the API server's own limit."""

_LABEL_TEXT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_TEXT = rf"{_LABEL_TEXT}(\.{_LABEL_TEXT})*"
_DNS_1035_TEXT = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME_PART_TEXT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_TEXT = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"

_LABEL = re.compile(_LABEL_TEXT)
_SUBDOMAIN = re.compile(_SUBDOMAIN_TEXT)
_DNS_1035 = re.compile(_DNS_1035_TEXT)
_NAME_PART = re.compile(_NAME_PART_TEXT)
_VALUE = re.compile(_VALUE_TEXT)

_SUBDOMAIN_ADVICE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_TEXT}')"
)
_LABEL_ADVICE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    f"'{_LABEL_TEXT}')"
)
_DNS_1035_ADVICE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_DNS_1035_TEXT}')"
)
_NAME_PART_ADVICE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_NAME_PART_TEXT}')"
)
_VALUE_ADVICE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE_TEXT}')"
)

_RBAC_GROUP = "rbac.authorization.k8s.io"
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def validate_metadata(kind: Kind, new: Object, old: Object | None = None) -> list[Cause]:
    """Return what is wrong with the metadata of `new`; `old` is the stored object of an update."""
    metadata: Mapping[str, Any] = new.get("metadata") or {}
    causes: list[Cause] = []
    if old is None:
        causes += _name_causes(kind, metadata)
    causes += _label_causes(metadata.get("labels") or {}, "metadata.labels")
    causes += _annotation_causes(metadata.get("annotations") or {}, "metadata.annotations")
    causes += _owner_causes(metadata.get("ownerReferences") or [])
    causes += _finalizer_causes(metadata, (old or {}).get("metadata") or {})
    return causes


def label_problems(key: str, value: str) -> Iterator[str]:
    """Yield what is wrong with one label; nothing for a good one."""
    yield from _qualified_name_problems(key)
    yield from _value_problems(value)


def is_dns_label(text: str) -> bool:
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_dns_subdomain(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_qualified_name(text: str) -> bool:
    return not any(_qualified_name_problems(text))


def _invalid(field: str, value: str, problem: str) -> Cause:
    return Cause(reason="FieldValueInvalid", message=f"Invalid value: {go_quote(value)}: {problem}", field=field)


def _name_causes(kind: Kind, metadata: Mapping[str, Any]) -> Iterator[Cause]:
    prefix = metadata.get("generateName") or ""
    if prefix:
        # A prefix may end in what a whole name may not: the random suffix follows.
        for problem in _name_problems(kind, re.sub(r"[-.]+$", "", prefix)):
            yield _invalid("metadata.generateName", prefix, problem)
    name = metadata.get("name") or ""
    if not name:
        if not prefix:
            yield Cause(
                reason="FieldValueRequired",
                message="Required value: name or generateName is required",
                field="metadata.name",
            )
        return
    for problem in _name_problems(kind, name):
        yield _invalid("metadata.name", name, problem)


def _name_problems(kind: Kind, name: str) -> Iterator[str]:
    if kind.group == _RBAC_GROUP:
        if name in (".", ".."):
            yield f"may not be '{name}'"
        for character in "/%":
            if character in name:
                yield f"may not contain '{character}'"
        return
    if kind.group == "" and kind.kind == "Namespace":
        longest, pattern, advice = 63, _LABEL, _LABEL_ADVICE
    elif kind.group == "" and kind.kind == "Service":
        longest, pattern, advice = 63, _DNS_1035, _DNS_1035_ADVICE
    else:
        longest, pattern, advice = 253, _SUBDOMAIN, _SUBDOMAIN_ADVICE
    if len(name) > longest:
        yield f"must be no more than {longest} bytes"
    if pattern.fullmatch(name) is None:
        yield advice


def _label_causes(labels: Mapping[str, str], field: str) -> Iterator[Cause]:
    for key, value in labels.items():
        for problem in _qualified_name_problems(key):
            yield _invalid(field, key, problem)
        for problem in _value_problems(value):
            yield _invalid(field, value, problem)


def _annotation_causes(annotations: Mapping[str, str], field: str) -> Iterator[Cause]:
    size = 0
    for key, value in annotations.items():
        size += len(key.encode()) + len(value.encode())
        for problem in _qualified_name_problems(key.lower()):
            yield _invalid(field, key, problem)
    if size > ANNOTATIONS_BYTES_MAX:
        message = f"Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes"
        yield Cause(reason="FieldValueTooLong", message=message, field=field)


def _qualified_name_problems(key: str) -> Iterator[str]:
    prefix, has_prefix, name = key.rpartition("/")
    if has_prefix:
        if not prefix:
            yield "prefix part must be non-empty"
        elif "/" in prefix:
            yield (
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
                "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
                f"validation is '{_NAME_PART_TEXT}') with an optional DNS subdomain prefix and '/' "
                "(e.g. 'example.com/MyName')"
            )
            return
        else:
            if len(prefix) > 253:
                yield "prefix part must be no more than 253 bytes"
            if _SUBDOMAIN.fullmatch(prefix) is None:
                yield f"prefix part {_SUBDOMAIN_ADVICE}"
    if not name:
        yield "name part must be non-empty"
    elif len(name) > 63:
        yield "name part must be no more than 63 bytes"
    if _NAME_PART.fullmatch(name) is None:
        yield _NAME_PART_ADVICE


def _value_problems(value: str) -> Iterator[str]:
    if len(value) > 63:
        yield "must be no more than 63 bytes"
    if _VALUE.fullmatch(value) is None:
        yield _VALUE_ADVICE


def _owner_causes(references: list[Mapping[str, Any]]) -> Iterator[Cause]:
    controllers = 0
    for index, reference in enumerate(references):
        for member in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(member):
                yield Cause(
                    reason="FieldValueRequired",
                    message="Required value: must not be empty",
                    field=f"metadata.ownerReferences[{index}].{member}",
                )
        controllers += reference.get("controller") is True
    if controllers > 1:
        message = "Invalid value: only one reference can have Controller set to true"
        yield Cause(reason="FieldValueInvalid", message=message, field="metadata.ownerReferences")


def _finalizer_causes(metadata: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    finalizers = metadata.get("finalizers") or []
    for finalizer in finalizers:
        for problem in _qualified_name_problems(finalizer):
            yield _invalid("metadata.finalizers", finalizer, problem)
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS and "." not in finalizer:
            problem = "name is neither a standard finalizer name nor is it fully qualified"
            yield _invalid("metadata.finalizers", finalizer, problem)
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        problem = "finalizer orphan and foregroundDeletion cannot be both set"
        yield _invalid("metadata.finalizers", "orphan", problem)
    added = sorted(set(finalizers) - set(old.get("finalizers") or []))
    if old.get("deletionTimestamp") and added:
        listed = ", ".join(f'"{each}"' for each in added)
        yield Cause(
            reason="FieldValueForbidden",
            message="Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{listed}}}",
            field="metadata.finalizers",
        )
