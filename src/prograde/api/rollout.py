"""Rollout: the wanted state with its strategy, and the status that is its memory.

Read top-down: `Rollout`, its `RolloutSpec`, the strategies, the canary steps, traffic routing; then the status. As
everywhere, defaults are not stored here, see `defaults`. Field order within the step types is the wire order that the
step hash depends on.

A Rollout with ``workloadRef`` gets template and selector from another workload; they are filled in in memory only, see
`workloadref`.
"""

from typing import ClassVar

import msgspec

from prograde.api.analysis import AnalysisTemplateRef, DryRun, FieldRef, MeasurementRetention, PodTemplateMetadata
from prograde.api.experiment import ExperimentService
from prograde.api.meta import (
    NO_RAW,
    Condition,
    LabelSelector,
    ObjectMeta,
    Time,
    WireStruct,
    own_raw,
    own_raw_values,
)
from prograde.api.names import API_VERSION, ROLLOUT
from prograde.api.scalars import IntOrString, whole_seconds

# --- Analysis as a strategy refers to it --------------------------------------------------------------------


class AnalysisArgumentValueFrom(WireStruct, frozen=True, kw_only=True):
    """Where a value comes from; `pod_template_hash_value` is ``Stable`` or ``Latest`` and wins over `field_ref`."""

    pod_template_hash_value: str | None = None
    field_ref: FieldRef | None = None


class AnalysisArgument(WireStruct, frozen=True, kw_only=True):
    """A value for an argument of a template."""

    name: str = msgspec.field(default_factory=str)
    value: str = ""
    value_from: AnalysisArgumentValueFrom | None = None


class RolloutAnalysis(WireStruct, frozen=True, kw_only=True):
    """Templates to combine into one run, and what to give them."""

    templates: tuple[AnalysisTemplateRef, ...] = ()
    args: tuple[AnalysisArgument, ...] = ()
    dry_run: tuple[DryRun, ...] = ()
    measurement_retention: tuple[MeasurementRetention, ...] = ()
    analysis_run_metadata: PodTemplateMetadata | None = None


class BackgroundAnalysis(RolloutAnalysis, frozen=True, kw_only=True):
    """Analysis beside the steps, from step `starting_step` on (absent: from the first)."""

    starting_step: int | None = None


# --- Canary steps -------------------------------------------------------------------------------------------


class RolloutPause(WireStruct, frozen=True, kw_only=True):
    """A pause; without duration until somebody resumes."""

    duration: IntOrString | None = None


class ExperimentStepTemplate(WireStruct, frozen=True, kw_only=True):
    """A template of an experiment step; `spec_ref` is ``canary`` or ``stable``."""

    name: str = msgspec.field(default_factory=str)
    spec_ref: str = msgspec.field(default_factory=str)
    replicas: int | None = None
    metadata: PodTemplateMetadata = PodTemplateMetadata()
    selector: LabelSelector | None = None
    weight: int | None = None
    service: ExperimentService | None = None


class ExperimentStepAnalysis(WireStruct, frozen=True, kw_only=True):
    """One analysis of an experiment step."""

    name: str = msgspec.field(default_factory=str)
    template_name: str = msgspec.field(default_factory=str)
    cluster_scope: bool | None = None
    args: tuple[AnalysisArgument, ...] = ()
    required_for_completion: bool = False


class ExperimentStep(WireStruct, frozen=True, kw_only=True):
    """The Experiment that a step creates."""

    templates: tuple[ExperimentStepTemplate, ...] = msgspec.field(default_factory=tuple)
    duration: str = ""
    analyses: tuple[ExperimentStepAnalysis, ...] = ()
    dry_run: tuple[DryRun, ...] = ()
    analysis_run_metadata: PodTemplateMetadata = PodTemplateMetadata()
    scale_down_delay_seconds: int | None = None


class SetCanaryScale(WireStruct, frozen=True, kw_only=True):
    """The size of the canary apart from its traffic."""

    weight: int | None = None
    replicas: int | None = None
    match_traffic_weight: bool = False


class StringMatch(WireStruct, frozen=True, kw_only=True):
    """How to compare a string; exactly one member is expected to be non-empty."""

    exact: str = ""
    prefix: str = ""
    regex: str = ""


class HeaderRoutingMatch(WireStruct, frozen=True, kw_only=True):
    """A header that sends a request to the canary."""

    header_name: str = msgspec.field(default_factory=str)
    header_value: StringMatch | None = None


class SetHeaderRoute(WireStruct, frozen=True, kw_only=True):
    """Route requests by header; without `match` the route is removed."""

    name: str = ""
    match: tuple[HeaderRoutingMatch, ...] = ()


class RouteMatch(WireStruct, frozen=True, kw_only=True):
    """Which requests are mirrored."""

    method: StringMatch | None = None
    path: StringMatch | None = None
    headers: dict[str, StringMatch] = msgspec.field(default_factory=dict)


class SetMirrorRoute(WireStruct, frozen=True, kw_only=True):
    """Mirror requests to the canary; without `match` the route is removed."""

    name: str = msgspec.field(default_factory=str)
    match: tuple[RouteMatch, ...] = ()
    percentage: int | None = None


class PluginStep(WireStruct, frozen=True, kw_only=True):
    """A step carried out by a plugin; `config` is JSON for it."""

    name: str = msgspec.field(default_factory=str)
    config: msgspec.Raw = NO_RAW

    def __post_init__(self) -> None:
        own_raw(self, "config")


class CanaryStep(WireStruct, frozen=True, kw_only=True):
    """One step; exactly one member is expected."""

    set_weight: int | None = None
    pause: RolloutPause | None = None
    experiment: ExperimentStep | None = None
    analysis: RolloutAnalysis | None = None
    set_canary_scale: SetCanaryScale | None = None
    set_header_route: SetHeaderRoute | None = None
    set_mirror_route: SetMirrorRoute | None = None
    plugin: PluginStep | None = None


# --- Traffic routing ----------------------------------------------------------------------------------------


class TlsRoute(WireStruct, frozen=True, kw_only=True):
    """Which TLS routes of a VirtualService are managed."""

    port: int = 0
    sni_hosts: tuple[str, ...] = ()


class TcpRoute(WireStruct, frozen=True, kw_only=True):
    """Which TCP route of a VirtualService is managed."""

    port: int = 0


class IstioVirtualService(WireStruct, frozen=True, kw_only=True):
    """A VirtualService, and which of its routes are managed."""

    name: str = msgspec.field(default_factory=str)
    routes: tuple[str, ...] = ()
    tls_routes: tuple[TlsRoute, ...] = ()
    tcp_routes: tuple[TcpRoute, ...] = ()


class IstioDestinationRule(WireStruct, frozen=True, kw_only=True):
    """A DestinationRule whose subsets are managed."""

    name: str = msgspec.field(default_factory=str)
    canary_subset_name: str = msgspec.field(default_factory=str)
    stable_subset_name: str = msgspec.field(default_factory=str)
    additional_subset_names: tuple[str, ...] = ()


class IstioTrafficRouting(WireStruct, frozen=True, kw_only=True):
    """Istio; exactly one of the two VirtualService fields is expected, an empty list counting as present."""

    virtual_service: IstioVirtualService | None = None
    destination_rule: IstioDestinationRule | None = None
    virtual_services: tuple[IstioVirtualService, ...] | None = None


class NginxTrafficRouting(WireStruct, frozen=True, kw_only=True):
    """The NGINX ingress controller; exactly one of the two ingress fields is expected."""

    annotation_prefix: str = ""
    stable_ingress: str = ""
    additional_ingress_annotations: dict[str, str] = msgspec.field(default_factory=dict)
    stable_ingresses: tuple[str, ...] | None = None
    canary_ingress_annotations: dict[str, str] = msgspec.field(default_factory=dict)


class StickinessConfig(WireStruct, frozen=True, kw_only=True):
    """Target group stickiness of an ALB."""

    enabled: bool = msgspec.field(default_factory=bool)
    duration_seconds: int = msgspec.field(default_factory=int)


class AlbTrafficRouting(WireStruct, frozen=True, kw_only=True):
    """The AWS load balancer controller; exactly one of the two ingress fields is expected."""

    ingress: str = ""
    service_port: int = msgspec.field(default_factory=int)
    root_service: str = ""
    annotation_prefix: str = ""
    stickiness_config: StickinessConfig | None = None
    ingresses: tuple[str, ...] | None = None


class SmiTrafficRouting(WireStruct, frozen=True, kw_only=True):
    """A TrafficSplit of the Service Mesh Interface."""

    root_service: str = ""
    traffic_split_name: str = ""


class AmbassadorTrafficRouting(WireStruct, frozen=True, kw_only=True):
    """Mappings of Ambassador."""

    mappings: tuple[str, ...] = msgspec.field(default_factory=tuple)


class AppMeshVirtualService(WireStruct, frozen=True, kw_only=True):
    """A VirtualService of App Mesh, and which routes of its router are managed."""

    name: str = msgspec.field(default_factory=str)
    routes: tuple[str, ...] = ()


class AppMeshVirtualNodeReference(WireStruct, frozen=True, kw_only=True):
    """A VirtualNode by name."""

    name: str = msgspec.field(default_factory=str)


class AppMeshVirtualNodeGroup(WireStruct, frozen=True, kw_only=True):
    """The VirtualNodes of canary and stable."""

    canary_virtual_node_ref: AppMeshVirtualNodeReference | None = None
    stable_virtual_node_ref: AppMeshVirtualNodeReference | None = None


class AppMeshTrafficRouting(WireStruct, frozen=True, kw_only=True):
    """AWS App Mesh."""

    virtual_service: AppMeshVirtualService | None = None
    virtual_node_group: AppMeshVirtualNodeGroup | None = None


class TraefikTrafficRouting(WireStruct, frozen=True, kw_only=True):
    """A weighted TraefikService."""

    weighted_traefik_service_name: str = msgspec.field(default_factory=str)


class ApisixRoute(WireStruct, frozen=True, kw_only=True):
    """An ApisixRoute, and which of its rules are managed."""

    name: str = msgspec.field(default_factory=str)
    rules: tuple[str, ...] = ()


class ApisixTrafficRouting(WireStruct, frozen=True, kw_only=True):
    """Apache APISIX."""

    route: ApisixRoute | None = None


class ManagedRoute(WireStruct, frozen=True, kw_only=True):
    """A route that the controller may create."""

    name: str = msgspec.field(default_factory=str)


class TrafficRouting(WireStruct, frozen=True, kw_only=True):
    """Who routes the traffic; several routers may be present. `managed_routes` is None when absent."""

    istio: IstioTrafficRouting | None = None
    nginx: NginxTrafficRouting | None = None
    alb: AlbTrafficRouting | None = None
    smi: SmiTrafficRouting | None = None
    ambassador: AmbassadorTrafficRouting | None = None
    app_mesh: AppMeshTrafficRouting | None = None
    traefik: TraefikTrafficRouting | None = None
    managed_routes: tuple[ManagedRoute, ...] | None = None
    apisix: ApisixTrafficRouting | None = None
    plugins: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    max_traffic_weight: int | None = None

    def __post_init__(self) -> None:
        own_raw_values(self, "plugins")


# --- Strategies ---------------------------------------------------------------------------------------------


class RequiredAntiAffinity(WireStruct, frozen=True, kw_only=True):
    """A marker without fields."""


class PreferredAntiAffinity(WireStruct, frozen=True, kw_only=True):
    """The weight, 1 to 100, of the preference."""

    weight: int = msgspec.field(default_factory=int)


class AntiAffinity(WireStruct, frozen=True, kw_only=True):
    """Keep pods of the new version away from those of the stable one; exactly one member is expected."""

    preferred_during_scheduling_ignored_during_execution: PreferredAntiAffinity | None = None
    required_during_scheduling_ignored_during_execution: RequiredAntiAffinity | None = None


class PingPong(WireStruct, frozen=True, kw_only=True):
    """Two lasting Services that take turns in being the stable one."""

    ping_service: str = msgspec.field(default_factory=str)
    pong_service: str = msgspec.field(default_factory=str)


class ReplicaProgressThreshold(WireStruct, frozen=True, kw_only=True):
    """How many pods must be available to go on; any type but ``Percent`` means pods."""

    type: str = msgspec.field(default_factory=str)
    value: int = msgspec.field(default_factory=int)


class CanaryStrategy(WireStruct, frozen=True, kw_only=True):
    """A canary; without steps a rolling update."""

    canary_service: str = ""
    stable_service: str = ""
    steps: tuple[CanaryStep, ...] = ()
    traffic_routing: TrafficRouting | None = None
    max_unavailable: IntOrString | None = None
    max_surge: IntOrString | None = None
    analysis: BackgroundAnalysis | None = None
    anti_affinity: AntiAffinity | None = None
    canary_metadata: PodTemplateMetadata | None = None
    stable_metadata: PodTemplateMetadata | None = None
    scale_down_delay_seconds: int | None = None
    scale_down_delay_revision_limit: int | None = None
    abort_scale_down_delay_seconds: int | None = None
    dynamic_stable_scale: bool = False
    ping_pong: PingPong | None = None
    min_pods_per_replica_set: int | None = None
    replica_progress_threshold: ReplicaProgressThreshold | None = None


class BlueGreenStrategy(WireStruct, frozen=True, kw_only=True):
    """Two full versions and one switch."""

    active_service: str = msgspec.field(default_factory=str)
    preview_service: str = ""
    preview_replica_count: int | None = None
    auto_promotion_enabled: bool | None = None
    auto_promotion_seconds: int = 0
    max_unavailable: IntOrString | None = None
    scale_down_delay_seconds: int | None = None
    scale_down_delay_revision_limit: int | None = None
    pre_promotion_analysis: RolloutAnalysis | None = None
    anti_affinity: AntiAffinity | None = None
    post_promotion_analysis: RolloutAnalysis | None = None
    preview_metadata: PodTemplateMetadata | None = None
    active_metadata: PodTemplateMetadata | None = None
    abort_scale_down_delay_seconds: int | None = None


class RecreateStrategy(WireStruct, frozen=True, kw_only=True):
    """The old version goes before the new one comes. Nothing about it can be set; an extension of Prograde."""


class RolloutStrategy(WireStruct, frozen=True, kw_only=True):
    """Exactly one member is expected."""

    blue_green: BlueGreenStrategy | None = None
    canary: CanaryStrategy | None = None
    recreate: RecreateStrategy | None = None


# --- Spec ---------------------------------------------------------------------------------------------------


class WorkloadRef(WireStruct, frozen=True, kw_only=True):
    """The workload whose pod template is rolled out; `scale_down` says what becomes of a Deployment's own pods."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    scale_down: str = ""


class AnalysisRunStrategy(WireStruct, frozen=True, kw_only=True):
    """How many finished AnalysisRuns and Experiments are kept."""

    successful_run_history_limit: int | None = None
    unsuccessful_run_history_limit: int | None = None


class RollbackWindow(WireStruct, frozen=True, kw_only=True):
    """How far back a rollback may skip the steps; 0 is off."""

    revisions: int = 0


class RolloutSpec(WireStruct, frozen=True, kw_only=True):
    """What the user wants. The template is raw JSON, `NO_RAW` when absent."""

    replicas: int | None = None
    selector: LabelSelector | None = None
    template: msgspec.Raw = NO_RAW
    workload_ref: WorkloadRef | None = None
    min_ready_seconds: int = 0
    strategy: RolloutStrategy = RolloutStrategy()
    revision_history_limit: int | None = None
    paused: bool = False
    progress_deadline_seconds: int | None = None
    progress_deadline_abort: bool = False
    restart_at: Time | None = None
    analysis: AnalysisRunStrategy | None = None
    rollback_window: RollbackWindow | None = None

    def __post_init__(self) -> None:
        own_raw(self, "template")
        if self.restart_at is not None:
            # The one time that people write: any offset, perhaps fractions. It is copied to the status and compared.
            msgspec.structs.force_setattr(self, "restart_at", whole_seconds(self.restart_at))


# --- Status -------------------------------------------------------------------------------------------------


class PauseCondition(WireStruct, frozen=True, kw_only=True):
    """One reason for being paused, and since when."""

    reason: str = msgspec.field(default_factory=str)
    start_time: Time | None = None


class RolloutAnalysisRunStatus(WireStruct, frozen=True, kw_only=True):
    """The run that belongs to the current state, by name; `status` is its phase."""

    name: str = msgspec.field(default_factory=str)
    status: str = msgspec.field(default_factory=str)
    message: str = ""


class WeightDestination(WireStruct, frozen=True, kw_only=True):
    """How much traffic goes to one set of pods."""

    weight: int = msgspec.field(default_factory=int)
    service_name: str = ""
    pod_template_hash: str = ""


class TrafficWeights(WireStruct, frozen=True, kw_only=True):
    """The weights last set. `verified` is None when the router cannot tell."""

    canary: WeightDestination = msgspec.field(default_factory=WeightDestination)
    stable: WeightDestination = msgspec.field(default_factory=WeightDestination)
    additional: tuple[WeightDestination, ...] = ()
    verified: bool | None = None


class StepPluginStatus(WireStruct, frozen=True, kw_only=True):
    """The state of one operation of one plugin step; `status` is the plugin's own JSON."""

    index: int = msgspec.field(default_factory=int)
    name: str = msgspec.field(default_factory=str)
    message: str = ""
    phase: str = ""
    operation: str = msgspec.field(default_factory=str)
    started_at: Time | None = None
    updated_at: Time | None = None
    finished_at: Time | None = None
    backoff: str = ""
    executions: int = 0
    disabled: bool = False
    status: msgspec.Raw = NO_RAW

    def __post_init__(self) -> None:
        own_raw(self, "status")


class BlueGreenStatus(WireStruct, frozen=True, kw_only=True):
    """Which hashes the Services select, and the runs around the switch."""

    preview_selector: str = ""
    active_selector: str = ""
    scale_up_preview_check_point: bool = False
    pre_promotion_analysis_run_status: RolloutAnalysisRunStatus | None = None
    post_promotion_analysis_run_status: RolloutAnalysisRunStatus | None = None


class CanaryStatus(WireStruct, frozen=True, kw_only=True):
    """What belongs to the current step, and the traffic."""

    current_step_analysis_run_status: RolloutAnalysisRunStatus | None = None
    current_background_analysis_run_status: RolloutAnalysisRunStatus | None = None
    current_experiment: str = ""
    weights: TrafficWeights | None = None
    stable_ping_pong: str = ""
    step_plugin_statuses: tuple[StepPluginStatus, ...] = ()


class AwsResourceRef(WireStruct, frozen=True, kw_only=True):
    """An AWS resource."""

    name: str = msgspec.field(default_factory=str)
    arn: str = msgspec.field(default_factory=str)
    full_name: str = ""


class AlbStatus(WireStruct, frozen=True, kw_only=True):
    """The load balancer and target groups behind one ingress."""

    load_balancer: AwsResourceRef | None = None
    canary_target_group: AwsResourceRef | None = None
    stable_target_group: AwsResourceRef | None = None
    ingress: str = ""


class DurationStatus(WireStruct, frozen=True, kw_only=True):
    """Timing of the current attempt; it is complete when both start and finish are set."""

    rollout_started_at: Time | None = None
    manual_pause_started_at: Time | None = None
    total_manual_pause_duration_seconds: int | None = None
    finished_at: Time | None = None
    completion_status: str = ""


class RolloutStatus(WireStruct, frozen=True, kw_only=True):
    """What the controller knows and remembers.

    `stable_rs` and the selectors hold hashes, not names. `observed_generation` is a decimal string, and on ancient
    objects any other string. `current_step_index` is None without steps and the number of steps when all are done.
    """

    abort: bool = False
    pause_conditions: tuple[PauseCondition, ...] = ()
    controller_pause: bool = False
    aborted_at: Time | None = None
    current_pod_hash: str = ""
    current_step_hash: str = ""
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    current_step_index: int | None = None
    collision_count: int | None = None
    observed_generation: str = ""
    conditions: tuple[Condition, ...] = ()
    canary: CanaryStatus = CanaryStatus()
    blue_green: BlueGreenStatus = BlueGreenStatus()
    hpa_replicas: int = msgspec.field(default=0, name="HPAReplicas")
    selector: str = ""
    stable_rs: str = msgspec.field(default="", name="stableRS")
    restarted_at: Time | None = None
    promote_full: bool = False
    phase: str = ""
    message: str = ""
    workload_observed_generation: str = ""
    alb: AlbStatus | None = None
    albs: tuple[AlbStatus, ...] = ()
    duration: DurationStatus | None = None


class Rollout(WireStruct, frozen=True, kw_only=True):
    """A Rollout."""

    API_VERSION: ClassVar = API_VERSION
    KIND: ClassVar = ROLLOUT

    metadata: ObjectMeta = ObjectMeta()
    spec: RolloutSpec = msgspec.field(default_factory=RolloutSpec)
    status: RolloutStatus = RolloutStatus()
