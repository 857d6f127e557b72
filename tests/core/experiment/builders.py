"""Builders of Experiments and what belongs to them, and words for what a plan does."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from prograde.api.analysis import (
    AnalysisRun,
    AnalysisRunSpec,
    AnalysisRunStatus,
    AnalysisTemplate,
    AnalysisTemplateSpec,
    ClusterAnalysisTemplate,
    Metric,
    MetricProvider,
    WebMetric,
)
from prograde.api.experiment import (
    Experiment,
    ExperimentAnalysis,
    ExperimentAnalysisRunStatus,
    ExperimentService,
    ExperimentSpec,
    ExperimentStatus,
    ExperimentTemplate,
    ExperimentTemplateStatus,
)
from prograde.api.meta import LabelSelector, ObjectMeta, OwnerReference
from prograde.api.workloads import ReplicaSet, ReplicaSetStatus, Service
from prograde.core.experiment.context import make_context
from prograde.core.experiment.planner import plan_experiment
from prograde.core.experiment.snapshot import ExperimentSnapshot
from prograde.core.experiment.templates import replica_set_of
from prograde.core.plan import Plan

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NAME, NAMESPACE, UID = "compare", "shop", "experiment-uid"
OWNER = OwnerReference(
    api_version="argoproj.io/v1alpha1",
    kind="Experiment",
    name=NAME,
    uid=UID,
    controller=True,
    block_owner_deletion=True,
)

replace = msgspec.structs.replace


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def pods(name: str, ports: Sequence[dict[str, Any]] = (), **labels: str) -> msgspec.Raw:
    container: dict[str, Any] = {"name": "web", "image": f"{name}:1"}
    if ports:
        container["ports"] = list(ports)
    body = {"metadata": {"labels": {"app": name, **labels}}, "spec": {"containers": [container]}}
    return msgspec.Raw(msgspec.json.encode(body))


def template(name: str = "a", *, ports: Sequence[dict[str, Any]] = (), **members: Any) -> ExperimentTemplate:
    given = {"selector": LabelSelector(match_labels={"app": name}), "template": pods(name, ports), **members}
    return ExperimentTemplate(name=name, **given)


def with_service(name: str = "a", service: str = "", **members: Any) -> ExperimentTemplate:
    return template(name, **{"service": ExperimentService(name=service), "ports": [{"containerPort": 8080}], **members})


def experiment(
    *templates: ExperimentTemplate,
    status: ExperimentStatus | None = None,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> Experiment:
    return Experiment(
        metadata=ObjectMeta(name=NAME, namespace=NAMESPACE, uid=UID, labels=labels or {}),
        spec=ExperimentSpec(templates=templates or (template(),), **spec),
        status=status or ExperimentStatus(phase="Pending"),
    )


def entry(name: str = "a", status: str = "Running", available: int = 1, **members: Any) -> ExperimentTemplateStatus:
    given = {
        "replicas": available,
        "updated_replicas": available,
        "ready_replicas": available,
        "available_replicas": available,
        "last_transition_time": ago(100),
        **members,
    }
    return ExperimentTemplateStatus(name=name, status=status, **given)


def state(
    *templates: ExperimentTemplateStatus, phase: str = "Running", available_ago: float | None = 10, **members: Any
) -> ExperimentStatus:
    return ExperimentStatus(
        phase=phase,
        available_at=None if available_ago is None else ago(available_ago),
        template_statuses=templates,
        **members,
    )


def replica_set(
    of: Experiment, name: str = "a", *, size: int = 1, available: int | None = None, deadline: str = "", **status: int
) -> ReplicaSet:
    """Return the ReplicaSet of a template as the API server holds it."""
    wanted = next(each for each in of.spec.templates if each.name == name)
    made = replica_set_of(make_context(ExperimentSnapshot(experiment=of), NOW), wanted)
    annotations = {**made.metadata.annotations, **({"scale-down-deadline": deadline} if deadline else {})}
    there = size if available is None else available
    counts = {"replicas": there, "ready_replicas": there, "available_replicas": there, **status}
    return ReplicaSet(
        metadata=replace(made.metadata, uid=f"uid-{name}", resource_version="7", annotations=annotations),
        spec=replace(made.spec, replicas=size),
        status=ReplicaSetStatus(**counts),
    )


def service(name: str, template_name: str = "a", uid: str = UID, **annotations: str) -> Service:
    return Service(
        metadata=ObjectMeta(
            name=name,
            namespace=NAMESPACE,
            uid=f"uid-{name}",
            annotations={
                "experiment.argoproj.io/name": NAME,
                "experiment.argoproj.io/template-name": template_name,
                **annotations,
            },
            owner_references=(replace(OWNER, uid=uid),),
        )
    )


def analysis(name: str = "errors", template_name: str = "", **members: Any) -> ExperimentAnalysis:
    return ExperimentAnalysis(name=name, template_name=template_name or name, **members)


def judged(name: str = "errors", phase: str = "Running", message: str = "") -> ExperimentAnalysisRunStatus:
    run = f"{NAME}-{name}" if phase else ""
    return ExperimentAnalysisRunStatus(name=name, analysis_run=run, phase=phase, message=message)


def analysis_template(name: str = "errors", **spec: Any) -> AnalysisTemplate:
    provider = MetricProvider(web=WebMetric(url="http://metrics.example", json_path="{$.value}"))
    given = {"metrics": (Metric(name=name, provider=provider),), **spec}
    return AnalysisTemplate(metadata=ObjectMeta(name=name, namespace=NAMESPACE), spec=AnalysisTemplateSpec(**given))


def cluster_template(name: str = "errors", **spec: Any) -> ClusterAnalysisTemplate:
    return ClusterAnalysisTemplate(metadata=ObjectMeta(name=name), spec=analysis_template(name, **spec).spec)


def run(name: str = "errors", phase: str = "Running", message: str = "", **members: Any) -> AnalysisRun:
    given = {"owner": OWNER, "terminate": False, "spec": None, **members}
    spec = given["spec"] or AnalysisRunSpec(metrics=analysis_template(name).spec.metrics)
    return AnalysisRun(
        metadata=ObjectMeta(
            name=f"{NAME}-{name}", namespace=NAMESPACE, uid=f"uid-{name}", owner_references=(given["owner"],)
        ),
        spec=replace(spec, terminate=given["terminate"]),
        status=AnalysisRunStatus(phase=phase, message=message),
    )


def look(of: Experiment, *objects: Any, at: datetime = NOW, **more: Any) -> Plan[ExperimentStatus]:
    """Return the plan for an Experiment among these objects; templates are known by their names."""
    snapshot = ExperimentSnapshot(
        experiment=of,
        replica_sets=tuple(each for each in objects if isinstance(each, ReplicaSet)),
        services=tuple(each for each in objects if isinstance(each, Service)),
        analysis_runs=tuple(each for each in objects if isinstance(each, AnalysisRun)),
        analysis_templates={each.metadata.name: each for each in objects if isinstance(each, AnalysisTemplate)},
        cluster_analysis_templates={
            each.metadata.name: each for each in objects if isinstance(each, ClusterAnalysisTemplate)
        },
        **more,
    )
    return plan_experiment(snapshot, at)


def done(plan: Plan[ExperimentStatus]) -> list[tuple[str, str]]:
    """Return the actions as kind and name."""
    return [(type(each).__name__, each.name) for each in plan.actions]


def told(plan: Plan[ExperimentStatus]) -> list[tuple[str, str, str]]:
    return [(each.type, each.reason, each.message) for each in plan.all_events]


def status_of(plan: Plan[ExperimentStatus], of: Experiment) -> ExperimentStatus:
    """Return the status as it is after the plan."""
    return plan.status if plan.status is not None else of.status
