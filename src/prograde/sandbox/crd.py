"""CustomResourceDefinitions: from a manifest to kinds that are served like any other.

In this order: `prepare` fills in what a definition may leave out, `validate` refuses what cannot be served, `admit`
decides about the names and writes the conditions into the status, `kinds_of` makes the rows. The server registers the
rows *before* it stores the status that says ``Established``, so that nobody can read the condition and then miss the
routes. On deletion the server adds `CLEANUP_FINALIZER`, `terminating_status` tells the world, and the definition goes
when its last instance has gone.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prograde.api.syntax import dns_label_errors, dns_subdomain_errors
from prograde.sandbox.causes import forbidden, immutable, invalid, not_supported, required
from prograde.sandbox.errors import Cause
from prograde.sandbox.kinds import Column, Kind, Object, ScalePaths
from prograde.sandbox.registry import version_priority
from prograde.sandbox.schema import OPEN, Schema

__all__ = [
    "CLEANUP_FINALIZER",
    "admit",
    "condition_of",
    "is_established",
    "kinds_of",
    "prepare",
    "terminating_status",
    "validate",
    "without_instances",
]

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
"""Holds a definition until all its objects are gone."""

_WEBHOOK_REMEDY = (
    "this server calls no conversion webhook: serve one version only, or set spec.conversion.strategy to None, which "
    "changes nothing but apiVersion"
)

_SCHEMAS_KEPT = 64
"""Compiled schemas shared between equal definitions: a test session loads the same five again and again."""


def prepare(crd: Object) -> None:
    """Fill in the names and the conversion that a definition may leave out; `crd` is changed in place."""
    spec = crd.get("spec")
    if not isinstance(spec, dict):
        return
    names = spec.get("names")
    if isinstance(names, dict) and names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})


def validate(crd: Object, old: Object | None = None) -> list[Cause]:
    """Return what keeps `crd` from being served; `old` is the stored definition of an update."""
    spec: Mapping[str, Any] = crd.get("spec") or {}
    causes = [*_group_causes(crd, spec), *_names_causes(spec), *_versions_causes(spec)]
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        if spec.get("scope"):
            causes.append(not_supported("spec.scope", spec["scope"], "Cluster", "Namespaced"))
        else:
            causes.append(required("spec.scope"))
    strategy = (spec.get("conversion") or {}).get("strategy", "None")
    if strategy not in ("None", "Webhook"):
        causes.append(not_supported("spec.conversion.strategy", strategy, "None", "Webhook"))
    if old is not None:
        causes += _change_causes(spec, old)
    return causes


def admit(crd: Object, others: Iterable[Object], now: datetime) -> Object:
    """Return the status of `crd`: accepted names, conditions and stored versions.

    A name that another definition of the group has already accepted is refused, and then nothing is served; neither
    is a definition whose versions only a webhook could convert. A definition that was established stays so.

    Args:
        others: the stored definitions; `crd` itself may be among them.
    """
    spec = crd["spec"]
    status: Object = {**(crd.get("status") or {})}
    conditions = list(status.get("conditions") or [])
    accepted, conflict = _accept_names(crd, others)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    named = ("True", "NoConflicts", "no conflicts found") if conflict is None else ("False", *conflict)
    if conflict is not None:
        established = ("False", "NotAccepted", "not all names are accepted")
    elif _needs_webhook(spec):
        established = ("False", "ConversionNotSupported", _WEBHOOK_REMEDY)
    else:
        established = ("True", "InitialNamesAccepted", "the initial names have been accepted")
    was_established = is_established(crd)
    _set_condition(conditions, "NamesAccepted", named, stamp)
    if not was_established:
        _set_condition(conditions, "Established", established, stamp)
    status["acceptedNames"] = accepted
    status["conditions"] = conditions
    stored: list[str] = list(status.get("storedVersions") or [])
    for version in spec["versions"]:
        if version.get("storage") and version["name"] not in stored:
            stored.append(version["name"])
    status["storedVersions"] = stored
    return status


def is_established(crd: Object) -> bool:
    """Return whether the objects of `crd` are served."""
    return (condition_of(crd, "Established") or {}).get("status") == "True"


def condition_of(crd: Object, type_: str) -> Mapping[str, Any] | None:
    for condition in (crd.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type_:
            found: Mapping[str, Any] = condition
            return found
    return None


def terminating_status(crd: Object, now: datetime) -> Object:
    """Return the status that says that the instances of `crd` are being deleted."""
    conditions = list((crd.get("status") or {}).get("conditions") or [])
    state = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
    _set_condition(conditions, "Terminating", state, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return {**(crd.get("status") or {}), "conditions": conditions}


def without_instances(crd: Object, now: datetime) -> Object:
    """Return a copy of `crd`, whose instances are gone: no clean-up finalizer, and a condition that says so."""
    conditions = list((crd.get("status") or {}).get("conditions") or [])
    state = ("False", "InstanceDeletionCompleted", "removed all instances")
    _set_condition(conditions, "Terminating", state, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    metadata = dict(crd["metadata"])
    metadata["finalizers"] = [each for each in metadata.get("finalizers") or () if each != CLEANUP_FINALIZER]
    if not metadata["finalizers"]:
        del metadata["finalizers"]
    return {**crd, "metadata": metadata, "status": {**(crd.get("status") or {}), "conditions": conditions}}


def kinds_of(crd: Object) -> list[Kind]:
    """Return the served versions of `crd` as rows, best version first."""
    spec = crd["spec"]
    names = (crd.get("status") or {}).get("acceptedNames") or spec["names"]
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    served = [version for version in spec["versions"] if version.get("served")]
    served.sort(key=lambda version: version_priority(version["name"]))
    return [_kind(spec, names, version, storage) for version in served]


# ---------------------------------------------------------------------------------------------------- making the rows


def _kind(spec: Mapping[str, Any], names: Mapping[str, Any], version: Mapping[str, Any], storage: str) -> Kind:
    subresources = version.get("subresources") or {}
    has_status = "status" in subresources
    scale = subresources.get("scale")
    warning = ""
    if version.get("deprecated"):
        default = f"{spec['group']}/{version['name']} {names['kind']} is deprecated"
        warning = version.get("deprecationWarning") or default
    return Kind(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or "",
        list_kind=names.get("listKind") or "",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec["scope"] == "Namespaced",
        storage_version=storage,
        has_status=has_status,
        scale=_scale_paths(scale) if scale else None,
        has_generation=True,
        is_custom=True,
        schema=_schema_of(spec, version),
        columns=_columns(version),
        selectable_fields=tuple(
            str(each.get("jsonPath", "")).removeprefix(".") for each in version.get("selectableFields") or ()
        ),
        deprecation_warning=warning,
    )


def _scale_paths(scale: Mapping[str, Any]) -> ScalePaths:
    return ScalePaths(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or "")


def _schema_of(spec: Mapping[str, Any], version: Mapping[str, Any]) -> Schema:
    raw = (version.get("schema") or {}).get("openAPIV3Schema") or OPEN
    if spec.get("preserveUnknownFields"):
        raw = {**raw, "x-kubernetes-preserve-unknown-fields": True}
    return _compiled(json.dumps(raw))


@functools.lru_cache(maxsize=_SCHEMAS_KEPT)
def _compiled(text: str) -> Schema:
    return Schema(json.loads(text))


def _columns(version: Mapping[str, Any]) -> tuple[Column, ...]:
    age: Mapping[str, Any] = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    columns: Sequence[Mapping[str, Any]] = version.get("additionalPrinterColumns") or (age,)
    return tuple(
        Column(
            name=column["name"],
            type=column["type"],
            json_path=column["jsonPath"],
            format=column.get("format") or "",
            description=column.get("description") or "",
            priority=column.get("priority") or 0,
        )
        for column in columns
    )


# ------------------------------------------------------------------------------------------------- names and conditions


def _accept_names(crd: Object, others: Iterable[Object]) -> tuple[Object, tuple[str, str] | None]:
    """Return the names to serve under, and (reason, message) of the first conflict or None."""
    spec = crd["spec"]
    wanted = spec["names"]
    own = crd["metadata"]["name"]
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["metadata"]["name"] == own or other["spec"]["group"] != spec["group"]:
            continue
        taken = (other.get("status") or {}).get("acceptedNames") or {}
        resources.update((taken.get("plural", ""), taken.get("singular", ""), *(taken.get("shortNames") or ())))
        kinds.update((taken.get("kind", ""), taken.get("listKind", "")))
    before = (crd.get("status") or {}).get("acceptedNames") or {}
    accepted: Object = {}
    conflict: tuple[str, str] | None = None
    for member, reason, taken_names in (
        ("plural", "PluralConflict", resources),
        ("singular", "SingularConflict", resources),
        ("shortNames", "ShortNamesConflict", resources),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        value = wanted.get(member)
        clashing = [each for each in (value if isinstance(value, list) else [value]) if each and each in taken_names]
        if clashing:
            conflict = conflict or (reason, f'"{clashing[0]}" is already in use')
            value = before.get(member)
        if value:
            accepted[member] = value
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    # Kind and plural are what clients need at all; an empty name says "none accepted yet".
    return {"kind": "", "plural": "", **accepted}, conflict


def _needs_webhook(spec: Mapping[str, Any]) -> bool:
    served = [version for version in spec["versions"] if version.get("served")]
    return len(served) > 1 and (spec.get("conversion") or {}).get("strategy") == "Webhook"


def _set_condition(conditions: list[Any], type_: str, state: tuple[str, str, str], stamp: str) -> None:
    status, reason, message = state
    at = next((index for index, each in enumerate(conditions) if each.get("type") == type_), len(conditions))
    before = conditions[at] if at < len(conditions) else {}
    since = before.get("lastTransitionTime") if before.get("status") == status else stamp
    conditions[at : at + 1] = [
        {"lastTransitionTime": since, "message": message, "reason": reason, "status": status, "type": type_}
    ]


# ----------------------------------------------------------------------------------------------------------- validation


def _group_causes(crd: Object, spec: Mapping[str, Any]) -> Iterator[Cause]:
    group = spec.get("group") or ""
    if not group:
        yield required("spec.group")
    elif dns_subdomain_errors(group) or "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    plural = (spec.get("names") or {}).get("plural") or ""
    name = crd["metadata"].get("name") or ""
    if plural and group and name != f"{plural}.{group}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def _names_causes(spec: Mapping[str, Any]) -> Iterator[Cause]:
    names = spec.get("names") or {}
    for member in ("plural", "singular", "kind", "listKind"):
        value = names.get(member) or ""
        field = f"spec.names.{member}"
        if not value:
            if member in ("plural", "kind"):
                yield required(field)
        elif dns_label_errors(value.lower() if member in ("kind", "listKind") else value):
            yield invalid(field, value, "must be a DNS label, letters of a kind may be upper case")
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")
    for index, value in enumerate(names.get("shortNames") or ()):
        if dns_label_errors(value):
            yield invalid(f"spec.names.shortNames[{index}]", value, "must be a DNS label")


def _versions_causes(spec: Mapping[str, Any]) -> Iterator[Cause]:
    versions: Sequence[Mapping[str, Any]] = spec.get("versions") or ()
    if not versions:
        yield required("spec.versions", "must have at least one version")
        return
    names = [version.get("name") or "" for version in versions]
    storing = [version for version in versions if version.get("storage")]
    if len(storing) != 1:
        yield invalid("spec.versions", names, "must have exactly one version marked as storage version")
    seen: set[str] = set()
    for index, version in enumerate(versions):
        field = f"spec.versions[{index}]"
        name = version.get("name") or ""
        if dns_label_errors(name):
            yield invalid(f"{field}.name", name, "must be a DNS label such as v1alpha1")
        if name in seen:
            yield invalid("spec.versions", names, "must contain unique version names")
        seen.add(name)
        yield from _version_causes(version, field, keeps_unknown=bool(spec.get("preserveUnknownFields")))


def _version_causes(version: Mapping[str, Any], field: str, *, keeps_unknown: bool) -> Iterator[Cause]:
    raw = (version.get("schema") or {}).get("openAPIV3Schema")
    if raw is None:
        if not keeps_unknown:
            yield required(f"{field}.schema.openAPIV3Schema", "schemas are required")
    else:
        at = f"{field}.schema.openAPIV3Schema"
        if raw.get("type") != "object":
            yield invalid(f"{at}.type", str(raw.get("type") or ""), "must be object at the root")
        yield from _structural_causes(raw, at)
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        for member, prefix in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
            path = scale.get(member) or ""
            if not path:
                yield required(f"{field}.subresources.scale.{member}")
            elif not path.startswith(prefix):
                problem = f"should be a json path under {prefix.rstrip('.')}"
                yield invalid(f"{field}.subresources.scale.{member}", path, problem)
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        for member in ("name", "type", "jsonPath"):
            if not column.get(member):
                yield required(f"{field}.additionalPrinterColumns[{index}].{member}")


def _structural_causes(raw: Any, field: str) -> Iterator[Cause]:
    """Yield where a schema is not structural: every place needs a type, lists need items, maps need their keys."""
    if not isinstance(raw, dict):
        yield invalid(field, str(raw), "must be a schema")
        return
    is_open = raw.get("x-kubernetes-int-or-string") or raw.get("x-kubernetes-preserve-unknown-fields")
    if not raw.get("type") and not is_open:
        yield required(f"{field}.type", "must not be empty for specified object fields")
    if raw.get("type") == "array" and "items" not in raw:
        yield required(f"{field}.items", "must be specified")
    if raw.get("x-kubernetes-list-type") == "map" and not raw.get("x-kubernetes-list-map-keys"):
        yield required(f"{field}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    additional = raw.get("additionalProperties")
    if raw.get("properties") and isinstance(additional, dict):
        yield forbidden(f"{field}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    for name, child in (raw.get("properties") or {}).items():
        yield from _structural_causes(child, f"{field}.properties[{name}]")
    if "items" in raw:
        yield from _structural_causes(raw["items"], f"{field}.items")
    if isinstance(additional, dict):
        yield from _structural_causes(additional, f"{field}.additionalProperties")


def _change_causes(spec: Mapping[str, Any], old: Object) -> Iterator[Cause]:
    before: Mapping[str, Any] = old.get("spec") or {}
    unchanging = ["group"] + (["scope", "names.kind", "names.plural"] if is_established(old) else [])
    for path in unchanging:
        old_value: Any = before
        new_value: Any = spec
        for member in path.split("."):
            old_value, new_value = (old_value or {}).get(member), (new_value or {}).get(member)
        if old_value != new_value:
            yield immutable(f"spec.{path}", new_value)
    offered = {version.get("name") for version in spec.get("versions") or ()}
    for index, name in enumerate((old.get("status") or {}).get("storedVersions") or ()):
        if name not in offered:
            problem = "must appear in spec.versions"
            yield invalid(f"status.storedVersions[{index}]", name, problem)
