"""The sub-resources that are more than a part of their object: scale, eviction and binding.

``status`` and ``finalize`` are ordinary updates of a part and are done by `prograde.sandbox.verbs`; logs are in
`prograde.sandbox.logs`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from prograde.api.meta import LabelSelector
from prograde.api.selectors import InvalidSelector, format_selector, selector_matches
from prograde.sandbox.deletion import delete, parse_delete_options
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.forms import object_as
from prograde.sandbox.jsonpaths import find, parse_field_path, with_value
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.store import Entry
from prograde.sandbox.updates import PatchType, patched
from prograde.sandbox.verbs import Verbs, WriteOptions, Written, json_time

__all__ = ["SCALE_API_VERSION", "bind", "evict", "patch_scale", "scale_of", "update_scale"]

_Body = TypeVar("_Body", bound=msgspec.Struct)

SCALE_API_VERSION = "autoscaling/v1"
BUDGETS = ("policy", "poddisruptionbudgets")


class _Meta(msgspec.Struct):
    name: str | None = None
    uid: str | None = None
    resourceVersion: str | None = None  # noqa: N815  wire name


class _ScaleSpec(msgspec.Struct):
    replicas: int | None = None


class _Scale(msgspec.Struct):
    """The types of what a client may send; the object itself is kept beside it."""

    kind: str | None = None
    metadata: _Meta | None = None
    spec: _ScaleSpec | None = None


class _Eviction(msgspec.Struct):
    metadata: _Meta | None = None
    deleteOptions: dict[str, Any] | None = None  # noqa: N815


class _Target(msgspec.Struct):
    name: str | None = None


class _Binding(msgspec.Struct):
    metadata: _Meta | None = None
    target: _Target | None = None


def _typed(body: Object, kind: type[_Body]) -> _Body:
    """Return `body` with its types checked.

    Raises:
        StatusError: 400.
    """
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as err:
        name = kind.__name__.removeprefix("_")
        raise StatusError.bad_request(f"{name} cannot be handled as a {name}: {err}") from err


# -- scale -------------------------------------------------------------------------------------------------------


def scale_of(kind: Kind, obj: Object) -> Object:
    """Return the Scale of an object; absent counts read as 0."""
    assert kind.scale is not None, f"{kind.plural} have no scale"
    metadata = obj["metadata"]
    status: dict[str, Any] = {"replicas": _count(kind.scale.status_replicas, obj)}
    selector = _selector_text(kind.scale.label_selector, obj)
    if selector:
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": SCALE_API_VERSION,
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": _count(kind.scale.spec_replicas, obj)},
        "status": status,
    }


def update_scale(verbs: Verbs, kind: Kind, entry: Entry, scale: Object, options: WriteOptions) -> Written:
    """Set the number of replicas that a Scale asks for; the result's object is the Scale afterwards."""
    assert kind.scale is not None, f"{kind.plural} have no scale"
    name = entry.obj["metadata"]["name"]
    typed = _typed(scale, _Scale)
    sent = typed.metadata or _Meta()
    if typed.kind and typed.kind != "Scale":
        raise StatusError.bad_request(f"the kind in the data ({typed.kind}) does not match the expected kind (Scale)")
    if sent.name and sent.name != name:
        why = f"the name of the object ({sent.name}) does not match the name on the URL ({name})"
        raise StatusError.bad_request(why)
    replicas = (typed.spec or _ScaleSpec()).replicas or 0
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = Cause("FieldValueInvalid", message, "spec.replicas")
        raise StatusError.invalid("autoscaling", "Scale", name, [cause])
    obj = with_value(object_as(entry, kind), parse_field_path(kind.scale.spec_replicas), replicas)
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    if sent.resourceVersion:
        metadata["resourceVersion"] = sent.resourceVersion
    if sent.uid:
        metadata["uid"] = sent.uid
    obj["metadata"] = metadata
    namespace = metadata.get("namespace", "")
    written = verbs.update(kind, namespace, name, obj, options, subresource="scale")
    return Written(scale_of(kind, written.obj), written.entry, warnings=written.warnings)


def patch_scale(
    verbs: Verbs, kind: Kind, entry: Entry, patch_type: PatchType, patch: Any, options: WriteOptions
) -> Written:
    """Patch a Scale; one that is applied is merged, and its manager owns the number of replicas."""
    scale = scale_of(kind, object_as(entry, kind))
    if patch_type == "apply":
        patch_type = "merge"
    return update_scale(verbs, kind, entry, patched(scale, patch_type, patch), options)


def _count(path: str, obj: Object) -> int:
    values = find(path, obj)
    return values[0] if values and isinstance(values[0], int) else 0


def _selector_text(path: str, obj: Object) -> str:
    """Return the selector at `path` as text, whether it is text, a map of labels or a LabelSelector there."""
    values = find(path, obj) if path else []
    if not values or not values[0]:
        return ""
    value = values[0]
    if isinstance(value, str):
        return value
    if "matchLabels" not in value and "matchExpressions" not in value:
        value = {"matchLabels": value}
    text = format_selector(msgspec.convert(value, LabelSelector))
    return "" if text == "<none>" else text


# -- eviction ----------------------------------------------------------------------------------------------------


def evict(verbs: Verbs, kind: Kind, entry: Entry, eviction: Object, options: WriteOptions) -> Object:
    """Delete a pod unless a PodDisruptionBudget forbids it; return the Status to answer with.

    Raises:
        StatusError: 429, the budget is used up; 500, two budgets cover the pod.
    """
    name = entry.obj["metadata"]["name"]
    typed = _typed(eviction, _Eviction)
    sent = typed.metadata or _Meta()
    if sent.name and sent.name != name:
        raise StatusError.bad_request(f"name in URL does not match name in Eviction object: {sent.name}")
    asked = parse_delete_options(typed.deleteOptions or {}, {})
    is_dry_run = options.is_dry_run or asked.is_dry_run
    budget = _budget_of(verbs, entry.obj)
    if budget is not None and not _is_past_budgets(entry.obj):
        _spend(verbs, budget, entry.obj, is_dry_run=is_dry_run)
    current = verbs.get(kind, entry.obj["metadata"]["namespace"], name)
    delete(verbs, kind, current, replace(asked, is_dry_run=is_dry_run))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _is_past_budgets(pod: Object) -> bool:
    """Return whether a pod serves nobody any more, or not yet, so that its eviction disturbs nothing."""
    phase = (pod.get("status") or {}).get("phase", "Pending")
    return phase in ("Pending", "Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]


def _budget_of(verbs: Verbs, pod: Object) -> Entry | None:
    metadata = pod["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    covering = [
        entry
        for entry in verbs.store.bucket(BUDGETS).scan(metadata["namespace"])
        if _covers((entry.obj.get("spec") or {}).get("selector"), labels)
    ]
    if len(covering) > 1:
        why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise StatusError(500, "InternalError", why)
    return covering[0] if covering else None


def _covers(selector: Any, labels: Mapping[str, str]) -> bool:
    if selector is None:
        return False
    try:
        return selector_matches(msgspec.convert(selector, LabelSelector), labels)
    except (InvalidSelector, msgspec.ValidationError):
        return False


def _spend(verbs: Verbs, budget: Entry, pod: Object, *, is_dry_run: bool) -> None:
    """Take one disruption from a budget's status."""
    spec, status = budget.obj.get("spec") or {}, budget.obj.get("status") or {}
    is_ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in (pod.get("status") or {}).get("conditions") or []
    )
    if not is_ready:
        if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
            return
        desired = status.get("desiredHealthy", 0)
        if desired > 0 and status.get("currentHealthy", 0) >= desired:
            return
    metadata = budget.obj["metadata"]
    is_stale = status.get("observedGeneration", 0) < metadata.get("generation", 0)
    if is_stale or status.get("disruptionsAllowed", 0) <= 0:
        needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        text = f"The disruption budget {metadata['name']} needs {needs} healthy pods and has {has} currently"
        if is_stale:
            text = f"The disruption budget {metadata['name']} is still being processed by the server."
        message = "Cannot evict pod as it would violate the pod's disruption budget."
        causes = [Cause("DisruptionBudget", text)]
        raise StatusError(429, "TooManyRequests", message, causes=causes, retry_after_seconds=10 if is_stale else 0)
    if is_dry_run:
        return
    kind = verbs.registry.stored(BUDGETS)
    assert kind is not None, "there is a budget, so budgets are served"
    disrupted = {**(status.get("disruptedPods") or {}), pod["metadata"]["name"]: json_time(verbs.now())}
    spent = {"disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
    options = WriteOptions(manager="kube-apiserver")
    patch = {"status": spent}
    verbs.patch(kind, metadata["namespace"], metadata["name"], "merge", patch, options, subresource="status")


# -- binding -----------------------------------------------------------------------------------------------------


def bind(verbs: Verbs, kind: Kind, entry: Entry, binding: Object, options: WriteOptions) -> Object:
    """Assign a pod to a node, as a scheduler asks; return the Status to answer with.

    Raises:
        StatusError: 409, the pod has a node already or is being deleted.
    """
    metadata = entry.obj["metadata"]
    typed = _typed(binding, _Binding)
    name, node = metadata["name"], (typed.target or _Target()).name
    if not node:
        cause = Cause("FieldValueRequired", "Required value", "target.name")
        raise StatusError.invalid("", "Binding", name, [cause])
    uid = (typed.metadata or _Meta()).uid
    if uid and uid != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
        raise StatusError.conflict("", "pods/binding", name, why)
    if "deletionTimestamp" in metadata:
        raise StatusError.conflict(
            "", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host"
        )
    assigned = (entry.obj.get("spec") or {}).get("nodeName", "")
    if assigned:
        raise StatusError.conflict("", "pods/binding", name, f'pod {name} is already assigned to node "{assigned}"')
    if not options.is_dry_run:
        verbs.assign_node(kind, entry, node)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
