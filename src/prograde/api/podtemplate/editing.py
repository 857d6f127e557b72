"""Read and change a raw pod template without touching what one does not mean to change.

Only the metadata, or the affinity, is decoded and written again; everything else stays byte for byte as it was.
"""

from typing import Any, Final

import msgspec

from prograde.api.meta import NO_RAW
from prograde.api.names import POD_TEMPLATE_HASH_LABEL
from prograde.api.rollout import AntiAffinity

__all__ = [
    "TemplateMetadata",
    "template_metadata",
    "with_anti_affinity",
    "with_metadata",
    "without_metadata",
]

_HOSTNAME_TOPOLOGY: Final = "kubernetes.io/hostname"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


class TemplateMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The labels and annotations of a template."""

    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class _Head(msgspec.Struct, frozen=True, gc=False):
    metadata: TemplateMetadata | None = None


_HEAD_DECODER: Final = msgspec.json.Decoder(_Head)


def template_metadata(template: msgspec.Raw) -> TemplateMetadata:
    """Return the labels and annotations of a template, empty where it has none or none of the right shape."""
    if template is NO_RAW or len(memoryview(template)) == 0:
        return TemplateMetadata()
    try:
        return _HEAD_DECODER.decode(template).metadata or TemplateMetadata()
    except msgspec.ValidationError:
        return _lenient_metadata(template)


def _lenient_metadata(template: msgspec.Raw) -> TemplateMetadata:
    metadata = _members(_members(template).get("metadata", NO_RAW))
    parts = {}
    for part in ("labels", "annotations"):
        values = msgspec.json.decode(metadata[part]) if part in metadata else None
        if isinstance(values, dict):
            parts[part] = {key: value for key, value in values.items() if isinstance(value, str)}
    return TemplateMetadata(**parts)


def with_metadata(
    template: msgspec.Raw, *, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> msgspec.Raw:
    """Return the template with these labels and annotations added or replaced."""
    old = template_metadata(template)
    return _with_head(
        template,
        labels={**old.labels, **(labels or {})},
        annotations={**old.annotations, **(annotations or {})},
    )


def without_metadata(
    template: msgspec.Raw, *, labels: tuple[str, ...] = (), annotations: tuple[str, ...] = ()
) -> msgspec.Raw:
    """Return the template without the labels and annotations of these keys."""
    old = template_metadata(template)
    return _with_head(
        template,
        labels={key: value for key, value in old.labels.items() if key not in labels},
        annotations={key: value for key, value in old.annotations.items() if key not in annotations},
    )


def _with_head(template: msgspec.Raw, *, labels: dict[str, str], annotations: dict[str, str]) -> msgspec.Raw:
    members = _members(template)
    metadata: dict[str, Any] = dict(_members(members.get("metadata", NO_RAW)))
    for part, values in (("labels", labels), ("annotations", annotations)):
        if values:
            metadata[part] = values
        else:
            metadata.pop(part, None)
    return _encoded({"metadata": metadata, **{key: value for key, value in members.items() if key != "metadata"}})


def with_anti_affinity(
    template: msgspec.Raw, anti_affinity: AntiAffinity, stable_hash: str, namespace: str
) -> msgspec.Raw:
    """Return the template of a new revision that keeps its pods away from those of the stable one.

    The term comes after those of the user. A term that was injected before is replaced, so that it follows the stable
    hash.
    """
    members = _members(template)
    spec = _members(members.get("spec", NO_RAW))
    affinity: dict[str, Any] = dict(_members(spec.get("affinity", NO_RAW)))
    terms: dict[str, Any] = {
        name: msgspec.json.decode(value) for name, value in _members(affinity.get("podAntiAffinity", NO_RAW)).items()
    }
    term = {
        "labelSelector": {
            "matchExpressions": [{"key": POD_TEMPLATE_HASH_LABEL, "operator": "In", "values": [stable_hash]}]
        },
        "namespaces": [namespace],
        "topologyKey": _HOSTNAME_TOPOLOGY,
    }
    for name in (_REQUIRED, _PREFERRED):
        kept = [user_term for user_term in terms.get(name) or () if not is_injected_term(user_term)]
        if name in terms:
            terms[name] = kept
            if not kept:
                del terms[name]
    if anti_affinity.required_during_scheduling_ignored_during_execution is not None:
        terms[_REQUIRED] = [*terms.get(_REQUIRED, ()), term]
    elif anti_affinity.preferred_during_scheduling_ignored_during_execution is not None:
        weight = anti_affinity.preferred_during_scheduling_ignored_during_execution.weight
        terms[_PREFERRED] = [*terms.get(_PREFERRED, ()), {"weight": weight, "podAffinityTerm": term}]
    affinity["podAntiAffinity"] = terms
    return _encoded({**members, "spec": {**spec, "affinity": affinity}})


def is_injected_term(term: Any) -> bool:
    """Say whether an anti-affinity term, weighted or not, asks for the hash label: then a controller put it there."""
    if not isinstance(term, dict):
        return False
    inner = term.get("podAffinityTerm", term)
    selector = inner.get("labelSelector") if isinstance(inner, dict) else None
    expressions = selector.get("matchExpressions") if isinstance(selector, dict) else None
    return isinstance(expressions, list) and any(
        isinstance(expression, dict) and expression.get("key") == POD_TEMPLATE_HASH_LABEL for expression in expressions
    )


_MEMBERS_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _members(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the members of a raw object, none if it is anything else."""
    if len(memoryview(raw)) == 0:
        return {}
    try:
        return _MEMBERS_DECODER.decode(raw)
    except msgspec.ValidationError:
        return {}


def _encoded(value: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
