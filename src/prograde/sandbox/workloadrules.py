"""ReplicaSets, Deployments, Jobs and the workloads that are only stored: defaults, checks, fixed fields."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from prograde.api.jsonvalues import json_equal
from prograde.api.meta import LabelSelector
from prograde.api.podtemplate import default_pod_template
from prograde.api.scalars import scaled_value
from prograde.api.selectors import InvalidSelector, compile_selector
from prograde.sandbox.causes import forbidden, immutable, invalid, not_supported, required
from prograde.sandbox.errors import Cause
from prograde.sandbox.kinds import Object
from prograde.sandbox.podrules import template_causes

__all__ = [
    "cron_job_causes",
    "daemon_set_causes",
    "default_cron_job",
    "default_daemon_set",
    "default_deployment",
    "default_job",
    "default_replica_set",
    "default_replication_controller",
    "default_stateful_set",
    "deployment_causes",
    "job_causes",
    "replica_set_causes",
    "replication_controller_causes",
    "stateful_set_causes",
]

_CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
_JOB_NAME = "batch.kubernetes.io/job-name"
_OLD_CONTROLLER_UID = "controller-uid"
_OLD_JOB_NAME = "job-name"


def _spec_with_template(obj: Object) -> dict[str, Any]:
    """Return the spec of `obj`, its pod template filled in."""
    spec: dict[str, Any] = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    return spec


# ---------------------------------------------------------------------------------------------------------- defaults


def default_replica_set(obj: Object) -> None:
    _spec_with_template(obj).setdefault("replicas", 1)


def default_replication_controller(obj: Object) -> None:
    spec = _spec_with_template(obj)
    spec.setdefault("replicas", 1)
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels and not spec.get("selector"):
        spec["selector"] = dict(labels)


def default_deployment(obj: Object) -> None:
    spec = _spec_with_template(obj)
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        limits = strategy.setdefault("rollingUpdate", {})
        limits.setdefault("maxUnavailable", "25%")
        limits.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def default_stateful_set(obj: Object) -> None:
    spec = _spec_with_template(obj)
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    update = spec.setdefault("updateStrategy", {})
    if update.setdefault("type", "RollingUpdate") == "RollingUpdate":
        update.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def default_daemon_set(obj: Object) -> None:
    spec = _spec_with_template(obj)
    update = spec.setdefault("updateStrategy", {})
    if update.setdefault("type", "RollingUpdate") == "RollingUpdate":
        limits = update.setdefault("rollingUpdate", {})
        limits.setdefault("maxUnavailable", 1)
        limits.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def default_job(job: Object) -> None:
    """Fill in a Job, and unless ``manualSelector`` is set the selector and labels that tie its pods to it by UID."""
    spec = _spec_with_template(job)
    _default_job_numbers(spec)
    if spec.get("manualSelector"):
        return
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    labels |= {_CONTROLLER_UID: uid, _OLD_CONTROLLER_UID: uid, _JOB_NAME: name, _OLD_JOB_NAME: name}
    selector = spec.setdefault("selector", {})
    selector.setdefault("matchLabels", {})[_CONTROLLER_UID] = uid


def _default_job_numbers(spec: dict[str, Any]) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    replaces_early = not spec.get("podFailurePolicy")
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed" if replaces_early else "Failed")


def default_cron_job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    default_pod_template(spec.setdefault("jobTemplate", {}).setdefault("spec", {}).setdefault("template", {}))


# ------------------------------------------------------------------------------------------------------- what is wrong


def replica_set_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    yield from _count_causes(spec, "replicas", "minReadySeconds")
    yield from _selector_causes(spec, "replica set")
    yield from _lasting_template_causes(spec)
    yield from _fixed_causes(new, old, "selector")


def replication_controller_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    yield from _count_causes(spec, "replicas", "minReadySeconds")
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    selector = spec.get("selector") or {}
    if not selector:
        yield required("spec.selector")
    elif not selector.items() <= labels.items():
        problem = "`selector` does not match template `labels`"
        yield invalid("spec.template.metadata.labels", labels, problem)
    yield from _lasting_template_causes(spec)


def deployment_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    yield from _count_causes(spec, "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    yield from _selector_causes(spec, "deployment")
    yield from _lasting_template_causes(spec)
    yield from _strategy_causes(spec["strategy"])
    if (deadline := spec.get("progressDeadlineSeconds")) is not None and deadline <= spec.get("minReadySeconds", 0):
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    yield from _fixed_causes(new, old, "selector")


def _strategy_causes(strategy: Mapping[str, Any]) -> Iterator[Cause]:
    limits = strategy.get("rollingUpdate")
    match strategy.get("type"):
        case "Recreate":
            if limits is not None:
                problem = "may not be specified when strategy `type` is 'Recreate'"
                yield forbidden("spec.strategy.rollingUpdate", problem)
        case "RollingUpdate":
            limits = limits or {}
            for name in ("maxUnavailable", "maxSurge"):
                yield from _share_causes(limits.get(name), f"spec.strategy.rollingUpdate.{name}")
            if _is_nothing(limits.get("maxUnavailable")) and _is_nothing(limits.get("maxSurge")):
                problem = "may not be 0 when `maxSurge` is 0"
                yield invalid("spec.strategy.rollingUpdate.maxUnavailable", limits.get("maxUnavailable"), problem)
        case other:
            yield not_supported("spec.strategy.type", other, "Recreate", "RollingUpdate")


def _share_causes(value: Any, field: str) -> Iterator[Cause]:
    """Yield what is wrong with a number of pods that may be a percentage."""
    if isinstance(value, int):
        if value < 0:
            yield invalid(field, value, "must be greater than or equal to 0")
    elif isinstance(value, str) and not (value.endswith("%") and value[:-1].isascii() and value[:-1].isdigit()):
        yield invalid(
            field,
            value,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex "
            "used for validation is '[0-9]+%')",
        )


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, int | str) and scaled_value(value, 100, round_up=True) == 0)


def stateful_set_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    yield from _count_causes(new["spec"], "replicas", "minReadySeconds")
    yield from _selector_causes(new["spec"], "statefulset")
    yield from _lasting_template_causes(new["spec"])
    yield from _fixed_causes(new, old, "selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")


def daemon_set_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    yield from _count_causes(new["spec"], "minReadySeconds")
    yield from _selector_causes(new["spec"], "daemonset")
    yield from _lasting_template_causes(new["spec"])
    yield from _fixed_causes(new, old, "selector")


def job_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    yield from _count_causes(
        spec, "parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"
    )
    yield from _job_template_causes(spec, "spec")
    if old is None:
        yield from _selector_causes(spec, "job")
        return
    names = ["selector", "completionMode", "template"]
    if spec.get("completionMode") != "Indexed":
        names.append("completions")
    if (old["spec"].get("suspend") or spec.get("suspend")) and not (old.get("status") or {}).get("startTime"):
        names.remove("template")  # a queueing controller may still place the pods of a Job that has not begun
    yield from _fixed_causes(new, old, *names)


def cron_job_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    if not spec.get("schedule"):
        yield required("spec.schedule")
    if spec["concurrencyPolicy"] not in ("Allow", "Forbid", "Replace"):
        yield not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], "Allow", "Forbid", "Replace")
    yield from _job_template_causes(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")


def _job_template_causes(spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    yield from template_causes(spec["template"], f"{field}.template")
    policy = (spec["template"].get("spec") or {}).get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        yield not_supported(f"{field}.template.spec.restartPolicy", policy, "OnFailure", "Never")


def _lasting_template_causes(spec: Mapping[str, Any]) -> Iterator[Cause]:
    """Yield what is wrong with the template of pods that are meant to run for ever."""
    yield from template_causes(spec["template"], "spec.template")
    pod_spec = spec["template"].get("spec") or {}
    if pod_spec.get("restartPolicy") in ("OnFailure", "Never"):
        yield not_supported("spec.template.spec.restartPolicy", pod_spec["restartPolicy"], "Always")
    if pod_spec.get("activeDeadlineSeconds") is not None:
        problem = "activeDeadlineSeconds in ReplicaSet is not Supported"
        yield forbidden("spec.template.spec.activeDeadlineSeconds", problem)


def _count_causes(spec: Mapping[str, Any], *names: str) -> Iterator[Cause]:
    for name in names:
        if (spec.get(name) or 0) < 0:
            yield invalid(f"spec.{name}", spec[name], "must be greater than or equal to 0")


def _selector_causes(spec: Mapping[str, Any], noun: str) -> Iterator[Cause]:
    raw = spec.get("selector")
    if raw is None:
        yield required("spec.selector")
        return
    if not raw.get("matchLabels") and not raw.get("matchExpressions"):
        yield invalid("spec.selector", raw, f"empty selector is invalid for {noun}")
        return
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    try:
        matches = compile_selector(msgspec.convert(raw, LabelSelector)).matches(labels)
    except (InvalidSelector, msgspec.ValidationError) as error:
        yield invalid("spec.selector", raw, str(error))
        return
    if not matches:
        problem = "`selector` does not match template `labels`"
        yield invalid("spec.template.metadata.labels", labels, problem)


def _fixed_causes(new: Object, old: Object | None, *names: str) -> Iterator[Cause]:
    """Yield which of these fields of the spec an update changes although they are fixed."""
    if old is None:
        return
    for name in names:
        if not json_equal(old["spec"].get(name), new["spec"].get(name)):
            yield immutable(f"spec.{name}", new["spec"].get(name))
