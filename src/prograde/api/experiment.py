"""Experiment: templates that run beside each other for a while, with analyses that judge them."""

from typing import ClassVar

import msgspec

from prograde.api.analysis import Argument, DryRun, MeasurementRetention, PodTemplateMetadata
from prograde.api.meta import NO_RAW, Condition, LabelSelector, ObjectMeta, Time, WireStruct, own_raw
from prograde.api.names import API_VERSION, EXPERIMENT

__all__ = [
    "Experiment",
    "ExperimentAnalysis",
    "ExperimentAnalysisRunStatus",
    "ExperimentService",
    "ExperimentSpec",
    "ExperimentStatus",
    "ExperimentTemplate",
    "ExperimentTemplateStatus",
]


class ExperimentService(WireStruct, frozen=True, kw_only=True):
    """A Service to create for a template; without a name it is called like the ReplicaSet."""

    name: str = ""


class ExperimentTemplate(WireStruct, frozen=True, kw_only=True):
    """One template; its pods become a ReplicaSet. Absent replicas mean 1."""

    name: str = msgspec.field(default_factory=str)
    replicas: int | None = None
    min_ready_seconds: int = 0
    selector: LabelSelector | None = None
    template: msgspec.Raw = NO_RAW
    service: ExperimentService | None = None

    def __post_init__(self) -> None:
        own_raw(self, "template")


class ExperimentAnalysis(WireStruct, frozen=True, kw_only=True):
    """One analysis of an experiment, also as written in a canary step."""

    name: str = msgspec.field(default_factory=str)
    template_name: str = msgspec.field(default_factory=str)
    cluster_scope: bool | None = None
    args: tuple[Argument, ...] = ()
    required_for_completion: bool = False


class ExperimentSpec(WireStruct, frozen=True, kw_only=True):
    """What to run beside each other, and for how long; without `duration` until the analyses are done."""

    templates: tuple[ExperimentTemplate, ...] = msgspec.field(default_factory=tuple)
    duration: str = ""
    progress_deadline_seconds: int | None = None
    terminate: bool = False
    analyses: tuple[ExperimentAnalysis, ...] = ()
    scale_down_delay_seconds: int | None = None
    dry_run: tuple[DryRun, ...] = ()
    measurement_retention: tuple[MeasurementRetention, ...] = ()
    analysis_run_metadata: PodTemplateMetadata = PodTemplateMetadata()


class ExperimentTemplateStatus(WireStruct, frozen=True, kw_only=True):
    """What exists of one template. The counts are always written, the CRD requires them."""

    name: str = msgspec.field(default_factory=str)
    replicas: int = msgspec.field(default_factory=int)
    updated_replicas: int = msgspec.field(default_factory=int)
    ready_replicas: int = msgspec.field(default_factory=int)
    available_replicas: int = msgspec.field(default_factory=int)
    collision_count: int | None = None
    status: str = ""
    message: str = ""
    last_transition_time: Time | None = None
    service_name: str = ""
    pod_template_hash: str = ""


class ExperimentAnalysisRunStatus(WireStruct, frozen=True, kw_only=True):
    """Which run an analysis became, and how it stands."""

    name: str = msgspec.field(default_factory=str)
    analysis_run: str = msgspec.field(default_factory=str)
    phase: str = msgspec.field(default_factory=str)
    message: str = ""


class ExperimentStatus(WireStruct, frozen=True, kw_only=True):
    """How an experiment stands."""

    phase: str = ""
    message: str = ""
    available_at: Time | None = None
    template_statuses: tuple[ExperimentTemplateStatus, ...] = ()
    analysis_runs: tuple[ExperimentAnalysisRunStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Experiment(WireStruct, frozen=True, kw_only=True):
    """An experiment."""

    API_VERSION: ClassVar = API_VERSION
    KIND: ClassVar = EXPERIMENT

    metadata: ObjectMeta = ObjectMeta()
    spec: ExperimentSpec = msgspec.field(default_factory=ExperimentSpec)
    status: ExperimentStatus = ExperimentStatus()
