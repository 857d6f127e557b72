"""What the server itself does to objects of the built-in kinds on a write: defaults, checks, fixed fields.

One constant per kind, a `Strategy` of up to three hooks, for the table in `sandbox.builtins`. Hooks see the *stored*
form of an object (a core Event, an autoscaler of v2), after its schema has pruned and defaulted it. Pods and workloads
are in `podrules` and `workloadrules`, Services in `servicerules`; the small kinds are here.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prograde.api.jsonvalues import json_equal
from prograde.api.podtemplate import default_pod_template
from prograde.sandbox import crd, podrules, servicerules, workloadrules
from prograde.sandbox.causes import forbidden, immutable, invalid, not_supported, required
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Object, Strategy
from prograde.sandbox.metadata import validate_metadata
from prograde.sandbox.views import autoscaler_from_v1, autoscaler_to_v1, event_from_core, event_to_core
from prograde.sandbox.writecontext import WriteContext

__all__ = [
    "WriteContext",
    "autoscaler_from_v1",
    "autoscaler_to_v1",
    "event_from_core",
    "event_to_core",
    "validate_metadata",
]

_Causes = Callable[[Object, Object | None], Iterable[Cause]]


def _group_and_kind(obj: Object) -> tuple[str, str]:
    return str(obj.get("apiVersion") or "").rpartition("/")[0], str(obj.get("kind") or "")


def _checked(causes_of: _Causes, *, only_spec: bool = False) -> Callable[[Object, Object | None], None]:
    """Make a hook that raises 422 for the causes found.

    Args:
        only_spec: the rules read nothing but the spec, so an update that leaves it alone (a status write) is not
            checked again.
    """

    def validate(new: Object, old: Object | None) -> None:
        if only_spec and old is not None and new.get("spec") == old.get("spec"):
            return
        causes = list(causes_of(new, old))
        if causes:
            group, kind = _group_and_kind(new)
            raise StatusError.invalid(group, kind, new["metadata"].get("name", ""), causes)

    return validate


def _defaulting(
    default: Callable[[Object], None], causes_of: _Causes | None = None, *, status: Mapping[str, Any] | None = None
) -> Strategy:
    """Return a strategy that fills in the same defaults on every write, and `status` on create."""

    def prepare_create(new: Object, context: WriteContext) -> None:
        default(new)
        if status is not None:
            new["status"] = dict(status)

    def prepare_update(old: Object, new: Object, context: WriteContext) -> None:
        default(new)

    validate = _checked(causes_of, only_spec=True) if causes_of is not None else None
    return Strategy(prepare_create=prepare_create, prepare_update=prepare_update, validate=validate)


# ------------------------------------------------------------------------------------------- pods, workloads, Services


def _pod_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    if old is not None:
        yield from podrules.pod_update_causes(old["spec"], new["spec"])
    yield from podrules.pod_spec_causes(new["spec"], "spec")


POD = Strategy(
    prepare_create=podrules.prepare_pod,
    prepare_update=podrules.prepare_pod_update,
    validate=_checked(_pod_causes, only_spec=True),
)


def _default_stored_template(obj: Object) -> None:
    default_pod_template(obj.setdefault("template", {}))


POD_TEMPLATE = _defaulting(_default_stored_template)
REPLICA_SET = _defaulting(workloadrules.default_replica_set, workloadrules.replica_set_causes, status={"replicas": 0})
REPLICATION_CONTROLLER = _defaulting(
    workloadrules.default_replication_controller,
    workloadrules.replication_controller_causes,
    status={"replicas": 0},
)
DEPLOYMENT = _defaulting(workloadrules.default_deployment, workloadrules.deployment_causes, status={})
STATEFUL_SET = _defaulting(
    workloadrules.default_stateful_set,
    workloadrules.stateful_set_causes,
    status={"replicas": 0, "availableReplicas": 0},
)
DAEMON_SET = _defaulting(
    workloadrules.default_daemon_set,
    workloadrules.daemon_set_causes,
    status={"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0},
)
CRON_JOB = _defaulting(workloadrules.default_cron_job, workloadrules.cron_job_causes, status={})
JOB = _defaulting(workloadrules.default_job, workloadrules.job_causes, status={})

SERVICE = Strategy(
    prepare_create=servicerules.prepare_service,
    prepare_update=servicerules.prepare_service_update,
    validate=_checked(servicerules.service_causes, only_spec=True),
)


# ---------------------------------------------------------------------------------------------------- configuration

_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_DATA_KEY_LENGTH_MAX = 253
_DATA_BYTES_MAX = 1024 * 1024
_OPAQUE = "Opaque"
_NEEDED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _data_causes(data: Mapping[str, str], field: str) -> Iterator[Cause]:
    for key in data:
        if len(key) > _DATA_KEY_LENGTH_MAX:
            yield invalid(f"{field}[{key}]", key, f"must be no more than {_DATA_KEY_LENGTH_MAX} characters")
        if _DATA_KEY.fullmatch(key) is None:
            yield invalid(
                f"{field}[{key}]",
                key,
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                f"'KEY_NAME',  or 'key-name', regex used for validation is '{_DATA_KEY.pattern}')",
            )


def _size_causes(*parts: Mapping[str, str]) -> Iterator[Cause]:
    if sum(len(value) for part in parts for value in part.values()) > _DATA_BYTES_MAX:
        message = f"Too long: may not be more than {_DATA_BYTES_MAX} bytes"
        yield Cause(reason="FieldValueTooLong", message=message, field="")


def _frozen_causes(new: Object, old: Object | None, *fields: str) -> Iterator[Cause]:
    """Yield which `fields` an update changes although the old object says that it is immutable."""
    if old is None or old.get("immutable") is not True:
        return
    if new.get("immutable") is not True:
        yield forbidden("immutable", "field is immutable when `immutable` is set")
    for name in fields:
        if not json_equal(old.get(name) or {}, new.get(name) or {}):
            yield forbidden(name, "field is immutable when `immutable` is set")


def _config_map_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    yield from _data_causes(data, "data")
    yield from _data_causes(binary, "binaryData")
    for key in sorted(data.keys() & binary.keys()):
        yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    yield from _size_causes(data, binary)
    yield from _frozen_causes(new, old, "data", "binaryData")


CONFIG_MAP = Strategy(validate=_checked(_config_map_causes))


def _fold_secret(secret: Object) -> None:
    """Move the plain text of ``stringData`` into ``data``, and say what the Secret is for."""
    plain = secret.pop("stringData", None) or {}
    if plain:
        data = secret.setdefault("data", {})
        for key, text in plain.items():
            data[key] = base64.b64encode(text.encode()).decode()
    if not secret.get("type"):
        secret["type"] = _OPAQUE
    for text in (secret.get("data") or {}).values():
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            why = f'Secret in version "v1" cannot be handled as a Secret: illegal base64 data: {error}'
            raise StatusError.bad_request(why) from error


def _secret_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    data = new.get("data") or {}
    yield from _data_causes(data, "data")
    yield from _size_causes(data)
    for key in _NEEDED_KEYS.get(new["type"], ()):
        if key not in data:
            yield required(f"data[{key}]")
    if old is not None and old.get("type") != new["type"]:
        yield immutable("type", new["type"])
    yield from _frozen_causes(new, old, "data")


def _prepare_secret_update(old: Object, new: Object, context: WriteContext) -> None:
    if not new.get("type"):
        new["type"] = old.get("type") or _OPAQUE
    _fold_secret(new)


SECRET = Strategy(
    prepare_create=lambda new, context: _fold_secret(new),
    prepare_update=_prepare_secret_update,
    validate=_checked(_secret_causes),
)


# ----------------------------------------------------------------------------------------------- the cluster itself

_NAME_LABEL = "kubernetes.io/metadata.name"


def _prepare_namespace(new: Object, context: WriteContext) -> None:
    finalizers = (new.setdefault("spec", {}).get("finalizers")) or []
    new["spec"]["finalizers"] = finalizers if "kubernetes" in finalizers else [*finalizers, "kubernetes"]
    new["status"] = {"phase": "Active"}
    _label_namespace(new)


def _prepare_namespace_update(old: Object, new: Object, context: WriteContext) -> None:
    """Keep the label with the name, and the finalizers until the namespace is on its way out."""
    if not new["metadata"].get("deletionTimestamp"):
        new["spec"] = old.get("spec") or {}
    _label_namespace(new)


def _label_namespace(namespace: Object) -> None:
    metadata = namespace["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), _NAME_LABEL: metadata["name"]}


NAMESPACE = Strategy(prepare_create=_prepare_namespace, prepare_update=_prepare_namespace_update)
NODE = Strategy(prepare_create=lambda new, context: new.update(status=new.get("status") or {}))


def _prepare_claim(claim: Object, context: WriteContext) -> None:
    """Fill in a claim and say that it is bound: there are no volumes here that it could wait for."""
    spec = claim.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    if not spec.get("volumeName"):
        spec["volumeName"] = f"pvc-{claim['metadata']['uid']}"
    capacity = (spec.get("resources") or {}).get("requests") or {}
    claim["status"] = {"phase": "Bound", "accessModes": spec.get("accessModes") or [], "capacity": capacity}


def _prepare_claim_update(old: Object, new: Object, context: WriteContext) -> None:
    before = old.get("spec") or {}
    for name in ("volumeMode", "volumeName"):
        if name in before:
            new.setdefault("spec", {}).setdefault(name, before[name])


def _claim_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        yield required("spec.resources[storage]")
    if old is not None:
        kept = {name: value for name, value in spec.items() if name != "resources"}
        if not json_equal(kept, {name: value for name, value in old["spec"].items() if name != "resources"}):
            problem = "spec is immutable after creation except resources.requests and volumeAttributesClassName"
            yield forbidden("spec", problem)


CLAIM = Strategy(
    prepare_create=_prepare_claim,
    prepare_update=_prepare_claim_update,
    validate=_checked(_claim_causes, only_spec=True),
)


def _default_priority_class(obj: Object) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
    obj.setdefault("value", 0)


def _priority_class_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    if old is not None and old.get("value") != new.get("value"):
        yield forbidden("value", "may not be changed in an update.")


PRIORITY_CLASS = Strategy(
    prepare_create=lambda new, context: _default_priority_class(new),
    prepare_update=lambda old, new, context: _default_priority_class(new),
    validate=_checked(_priority_class_causes),
)


def _default_role(obj: Object) -> None:
    if isinstance(obj.get("roleRef"), dict):
        obj["roleRef"].setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _role_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    if old is not None and not json_equal(old.get("roleRef"), new.get("roleRef")):
        yield invalid("roleRef", new.get("roleRef"), "cannot change roleRef")


ROLE = Strategy(
    prepare_create=lambda new, context: _default_role(new),
    prepare_update=lambda old, new, context: _default_role(new),
    validate=_checked(_role_causes),
)


def _crd_causes(new: Object, old: Object | None) -> Iterable[Cause]:
    return crd.validate(new, old)


CUSTOM_RESOURCE_DEFINITION = Strategy(
    prepare_create=lambda new, context: crd.prepare(new),
    prepare_update=lambda old, new, context: crd.prepare(new),
    validate=_checked(_crd_causes, only_spec=True),
)


# ----------------------------------------------------------------------------------------------------- events, leases


def _event_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    """An Event lives with the object it is about; those about cluster-scoped objects live in ``default``."""
    about = (new.get("involvedObject") or {}).get("namespace") or ""
    namespace = new["metadata"].get("namespace") or ""
    if about:
        if about != namespace:
            yield invalid("involvedObject.namespace", about, "does not match event.namespace")
    elif namespace not in ("default", "kube-system"):
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")


EVENT = Strategy(validate=_checked(_event_causes))


def _lease_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    if (seconds := spec.get("leaseDurationSeconds")) is not None and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if (transitions := spec.get("leaseTransitions")) is not None and transitions < 0:
        yield invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


LEASE = Strategy(validate=_checked(_lease_causes, only_spec=True))

ENDPOINTS = Strategy()
ENDPOINT_SLICE = Strategy()
LIMIT_RANGE = Strategy()
RESOURCE_QUOTA = Strategy()


# --------------------------------------------------------------------------------------------- autoscaling and policy

_DEFAULT_CPU_PERCENT = 80


def _default_autoscaler(autoscaler: Object) -> None:
    spec = autoscaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _DEFAULT_CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _autoscaler_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    target = spec.get("scaleTargetRef") or {}
    for name in ("kind", "name"):
        if not target.get(name):
            yield required(f"spec.scaleTargetRef.{name}")
    least, most = spec["minReplicas"], spec.get("maxReplicas") or 0
    if least < 1:
        yield invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield invalid("spec.maxReplicas", most, "must be greater than 0")
    if most < least:
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


AUTOSCALER = _defaulting(_default_autoscaler, _autoscaler_causes, status={"desiredReplicas": 0, "currentReplicas": 0})


def _budget_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    if spec.get("minAvailable") is None and spec.get("maxUnavailable") is None:
        yield required("spec", "exactly one of minAvailable and maxUnavailable must be set")


def _prepare_budget(new: Object, context: WriteContext) -> None:
    new.setdefault("spec", {})
    new["status"] = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}


DISRUPTION_BUDGET = Strategy(prepare_create=_prepare_budget, validate=_checked(_budget_causes, only_spec=True))


def _ingress_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield invalid("spec", spec, "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        yield from _backend_causes(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        for at, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            field = f"spec.rules[{index}].http.paths[{at}]"
            path_type = path.get("pathType")
            if not path_type:
                yield required(f"{field}.pathType", "pathType must be specified")
            elif path_type not in ("Exact", "ImplementationSpecific", "Prefix"):
                yield not_supported(f"{field}.pathType", path_type, "Exact", "ImplementationSpecific", "Prefix")
            elif path_type != "ImplementationSpecific" and not (path.get("path") or "").startswith("/"):
                yield invalid(f"{field}.path", path.get("path") or "", "must be an absolute path")
            yield from _backend_causes(path.get("backend") or {}, f"{field}.backend")


def _backend_causes(backend: Mapping[str, Any], field: str) -> Iterator[Cause]:
    service = backend.get("service")
    if service is None and backend.get("resource") is None:
        yield required(field, "port name or number is required")
    elif service is not None and backend.get("resource") is not None:
        yield invalid(field, "", "cannot set both resource and service backends")
    elif service is not None:
        port = service.get("port") or {}
        if not service.get("name"):
            yield required(f"{field}.service.name")
        if not port.get("name") and not port.get("number"):
            yield required(field, "port name or number is required")
        elif port.get("name") and port.get("number"):
            yield invalid(field, "", "cannot set both port name & port number")


INGRESS = Strategy(
    prepare_create=lambda new, context: new.update(status={"loadBalancer": {}}),
    validate=_checked(_ingress_causes, only_spec=True),
)


# ----------------------------------------------------------------------------------------------------------- reviews


def _answer_review(review: Object, context: WriteContext) -> None:
    """Answer a review: this cluster allows everything to everybody, and everybody is the caller."""
    user = {"username": context.user, "groups": list(context.groups)}
    match review.get("kind"):
        case "SelfSubjectAccessReview" | "SubjectAccessReview":
            review["status"] = {"allowed": True, "reason": "sandbox allows everything"}
        case "SelfSubjectRulesReview":
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            review["status"] = {
                "resourceRules": [everything],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": False,
            }
        case "SelfSubjectReview":
            review["status"] = {"userInfo": user}
        case "TokenReview":
            review["status"] = {"authenticated": True, "user": user}


REVIEW = Strategy(prepare_create=_answer_review)
