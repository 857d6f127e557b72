"""AnalysisTemplate, ClusterAnalysisTemplate and AnalysisRun: what to measure and what came of it.

Conditions, arguments and durations are kept as written; `core.analysis` gives them meaning. Settings of providers that
are free-form by nature (Job specs, plugin configuration, JSON bodies) stay raw.
"""

from typing import ClassVar

import msgspec

from prograde.api.meta import NO_RAW, ObjectMeta, Time, WireStruct, own_raw, own_raw_values
from prograde.api.names import ANALYSIS_RUN, ANALYSIS_TEMPLATE, API_VERSION, CLUSTER_ANALYSIS_TEMPLATE
from prograde.api.scalars import IntOrString

__all__ = [
    "AnalysisRun",
    "AnalysisRunSpec",
    "AnalysisRunStatus",
    "AnalysisTemplate",
    "AnalysisTemplateRef",
    "AnalysisTemplateSpec",
    "Argument",
    "ArgumentValueFrom",
    "ClusterAnalysisTemplate",
    "DryRun",
    "FieldRef",
    "Measurement",
    "MeasurementRetention",
    "Metric",
    "MetricProvider",
    "MetricResult",
    "PodTemplateMetadata",
    "RunSummary",
    "SecretKeyRef",
    "TtlStrategy",
]


class PodTemplateMetadata(WireStruct, frozen=True, kw_only=True):
    """Labels and annotations to add to something we create or manage."""

    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


# --- Arguments ----------------------------------------------------------------------------------------------


class FieldRef(WireStruct, frozen=True, kw_only=True):
    """A path into an object."""

    field_path: str = msgspec.field(default_factory=str)


class SecretKeyRef(WireStruct, frozen=True, kw_only=True):
    """A key of a Secret in the run's namespace."""

    name: str = msgspec.field(default_factory=str)
    key: str = msgspec.field(default_factory=str)


class ArgumentValueFrom(WireStruct, frozen=True, kw_only=True):
    """Where the value of an argument comes from."""

    secret_key_ref: SecretKeyRef | None = None
    field_ref: FieldRef | None = None


class Argument(WireStruct, frozen=True, kw_only=True):
    """A declared argument. A value of None must be supplied by somebody; ``""`` is a value."""

    name: str = msgspec.field(default_factory=str)
    value: str | None = None
    value_from: ArgumentValueFrom | None = None


class DryRun(WireStruct, frozen=True, kw_only=True):
    """Metrics that are measured without having a say; `metric_name` is a regular expression, unanchored."""

    metric_name: str = msgspec.field(default_factory=str)


class MeasurementRetention(WireStruct, frozen=True, kw_only=True):
    """How many measurements to keep of the metrics whose names match."""

    metric_name: str = msgspec.field(default_factory=str)
    limit: int = msgspec.field(default_factory=int)


class AnalysisTemplateRef(WireStruct, frozen=True, kw_only=True):
    """A reference to a template, of the cluster if `cluster_scope`."""

    template_name: str = msgspec.field(default_factory=str)
    cluster_scope: bool | None = None


# --- Authentication and providers ---------------------------------------------------------------------------


class Sigv4(WireStruct, frozen=True, kw_only=True):
    """AWS request signing."""

    region: str = ""
    profile: str = ""
    role_arn: str = ""


class OAuth2(WireStruct, frozen=True, kw_only=True):
    """OAuth 2 client credentials."""

    token_url: str = ""
    client_id: str = ""
    client_secret: str = ""
    scopes: tuple[str, ...] = ()


class BasicAuth(WireStruct, frozen=True, kw_only=True):
    """HTTP basic authentication."""

    username: str = ""
    password: str = ""


class Authentication(WireStruct, frozen=True, kw_only=True):
    """How to authenticate at Prometheus or a web endpoint; values may contain ``{{args.x}}``."""

    sigv4: Sigv4 | None = None
    oauth2: OAuth2 | None = None
    basic_auth: BasicAuth | None = None


class Header(WireStruct, frozen=True, kw_only=True):
    """One HTTP header."""

    key: str = msgspec.field(default_factory=str)
    value: str = msgspec.field(default_factory=str)


class PrometheusRangeQuery(WireStruct, frozen=True, kw_only=True):
    """A range query; start and end are expressions, step is a duration."""

    start: str = ""
    end: str = ""
    step: str = ""


class PrometheusMetric(WireStruct, frozen=True, kw_only=True):
    """A Prometheus query. `timeout` is in seconds."""

    address: str = ""
    query: str = ""
    authentication: Authentication | None = None
    timeout: int | None = None
    insecure: bool = False
    headers: tuple[Header, ...] = ()
    range_query: PrometheusRangeQuery | None = None


class WebMetric(WireStruct, frozen=True, kw_only=True):
    """An HTTP request whose JSON answer is the measurement."""

    method: str = ""
    url: str = msgspec.field(default_factory=str)
    headers: tuple[Header, ...] = ()
    body: str = ""
    timeout_seconds: int = 0
    json_path: str = ""
    insecure: bool = False
    json_body: msgspec.Raw = NO_RAW
    authentication: Authentication | None = None

    def __post_init__(self) -> None:
        own_raw(self, "json_body")


class SecretRef(WireStruct, frozen=True, kw_only=True):
    """The Secret with Datadog's keys, in the run's namespace if `namespaced`."""

    name: str = ""
    namespaced: bool = False


class DatadogMetric(WireStruct, frozen=True, kw_only=True):
    """A Datadog query; the CRD defaults interval, apiVersion and requestTimeout."""

    interval: str = ""
    query: str = ""
    queries: dict[str, str] = msgspec.field(default_factory=dict)
    formula: str = ""
    api_version: str = ""
    aggregator: str = ""
    secret_ref: SecretRef = SecretRef()
    request_timeout: str = ""


class NewRelicMetric(WireStruct, frozen=True, kw_only=True):
    """A New Relic NRQL query. `timeout` is in seconds."""

    profile: str = ""
    query: str = msgspec.field(default_factory=str)
    timeout: int | None = None


class WavefrontMetric(WireStruct, frozen=True, kw_only=True):
    """A Wavefront query."""

    address: str = ""
    query: str = ""


class GraphiteMetric(WireStruct, frozen=True, kw_only=True):
    """A Graphite query."""

    address: str = ""
    query: str = ""


class InfluxdbMetric(WireStruct, frozen=True, kw_only=True):
    """An InfluxDB Flux query."""

    profile: str = ""
    query: str = ""


class SkyWalkingMetric(WireStruct, frozen=True, kw_only=True):
    """A SkyWalking GraphQL query."""

    address: str = ""
    query: str = ""
    interval: str = ""


class CloudWatchDimension(WireStruct, frozen=True, kw_only=True):
    """One dimension of a CloudWatch metric."""

    name: str = ""
    value: str = ""


class CloudWatchMetricName(WireStruct, frozen=True, kw_only=True):
    """A CloudWatch metric."""

    dimensions: tuple[CloudWatchDimension, ...] = ()
    metric_name: str = ""
    namespace: str | None = None


class CloudWatchMetricStat(WireStruct, frozen=True, kw_only=True):
    """A statistic over a CloudWatch metric."""

    metric: CloudWatchMetricName = CloudWatchMetricName()
    period: IntOrString = 0
    stat: str = ""
    unit: str = ""


class CloudWatchQuery(WireStruct, frozen=True, kw_only=True):
    """One query of a CloudWatch request."""

    id: str = ""
    expression: str | None = None
    label: str | None = None
    metric_stat: CloudWatchMetricStat | None = None
    period: IntOrString | None = None
    return_data: bool | None = None


class CloudWatchMetric(WireStruct, frozen=True, kw_only=True):
    """A CloudWatch request."""

    interval: str = ""
    metric_data_queries: tuple[CloudWatchQuery, ...] = ()


class KayentaThreshold(WireStruct, frozen=True, kw_only=True):
    """Scores at and above which a canary passes or is marginal."""

    # "pass" is a keyword of Python.
    pass_: int = msgspec.field(default_factory=int, name="pass")
    marginal: int = msgspec.field(default_factory=int)


class KayentaScopeDetail(WireStruct, frozen=True, kw_only=True):
    """One side of a comparison."""

    scope: str = msgspec.field(default_factory=str)
    region: str = msgspec.field(default_factory=str)
    step: int = msgspec.field(default_factory=int)
    start: str = msgspec.field(default_factory=str)
    end: str = msgspec.field(default_factory=str)


class KayentaScope(WireStruct, frozen=True, kw_only=True):
    """What to compare with what."""

    name: str = msgspec.field(default_factory=str)
    control_scope: KayentaScopeDetail = msgspec.field(default_factory=KayentaScopeDetail)
    experiment_scope: KayentaScopeDetail = msgspec.field(default_factory=KayentaScopeDetail)


class KayentaMetric(WireStruct, frozen=True, kw_only=True):
    """A Kayenta canary judgement."""

    address: str = msgspec.field(default_factory=str)
    application: str = msgspec.field(default_factory=str)
    canary_config_name: str = msgspec.field(default_factory=str)
    metrics_account_name: str = msgspec.field(default_factory=str)
    configuration_account_name: str = msgspec.field(default_factory=str)
    storage_account_name: str = msgspec.field(default_factory=str)
    threshold: KayentaThreshold = msgspec.field(default_factory=KayentaThreshold)
    scopes: tuple[KayentaScope, ...] = ()
    lookback: bool = False


class JobMetric(WireStruct, frozen=True, kw_only=True):
    """A Kubernetes Job whose outcome is the measurement; `spec` is a batch/v1 JobSpec."""

    metadata: PodTemplateMetadata = PodTemplateMetadata()
    spec: msgspec.Raw = NO_RAW

    def __post_init__(self) -> None:
        own_raw(self, "spec")


class MetricProvider(WireStruct, frozen=True, kw_only=True):
    """Who measures: exactly one member is expected, every plugin counting as one."""

    prometheus: PrometheusMetric | None = None
    kayenta: KayentaMetric | None = None
    web: WebMetric | None = None
    datadog: DatadogMetric | None = None
    wavefront: WavefrontMetric | None = None
    new_relic: NewRelicMetric | None = None
    job: JobMetric | None = None
    cloud_watch: CloudWatchMetric | None = None
    graphite: GraphiteMetric | None = None
    influxdb: InfluxdbMetric | None = None
    skywalking: SkyWalkingMetric | None = None
    plugin: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        own_raw_values(self, "plugin")


class Metric(WireStruct, frozen=True, kw_only=True):
    """One thing to measure, how often, and when it counts as good or bad."""

    name: str = msgspec.field(default_factory=str)
    interval: str = ""
    initial_delay: str = ""
    count: IntOrString | None = None
    success_condition: str = ""
    failure_condition: str = ""
    failure_limit: IntOrString | None = None
    inconclusive_limit: IntOrString | None = None
    consecutive_error_limit: IntOrString | None = None
    consecutive_success_limit: IntOrString | None = None
    provider: MetricProvider = msgspec.field(default_factory=MetricProvider)


# --- Templates ----------------------------------------------------------------------------------------------


class AnalysisTemplateSpec(WireStruct, frozen=True, kw_only=True):
    """What a template contributes to a run."""

    metrics: tuple[Metric, ...] = ()
    args: tuple[Argument, ...] = ()
    dry_run: tuple[DryRun, ...] = ()
    measurement_retention: tuple[MeasurementRetention, ...] = ()
    templates: tuple[AnalysisTemplateRef, ...] = ()


class AnalysisTemplate(WireStruct, frozen=True, kw_only=True):
    """A template of one namespace."""

    API_VERSION: ClassVar = API_VERSION
    KIND: ClassVar = ANALYSIS_TEMPLATE

    metadata: ObjectMeta = ObjectMeta()
    spec: AnalysisTemplateSpec = msgspec.field(default_factory=AnalysisTemplateSpec)


class ClusterAnalysisTemplate(WireStruct, frozen=True, kw_only=True):
    """A template for all namespaces."""

    API_VERSION: ClassVar = API_VERSION
    KIND: ClassVar = CLUSTER_ANALYSIS_TEMPLATE

    metadata: ObjectMeta = ObjectMeta()
    spec: AnalysisTemplateSpec = msgspec.field(default_factory=AnalysisTemplateSpec)


# --- AnalysisRun --------------------------------------------------------------------------------------------


class TtlStrategy(WireStruct, frozen=True, kw_only=True):
    """How many seconds a completed run is kept; None keeps it."""

    seconds_after_completion: int | None = None
    seconds_after_failure: int | None = None
    seconds_after_success: int | None = None


class AnalysisRunSpec(WireStruct, frozen=True, kw_only=True):
    """What to measure. Fixed after creation, but for `terminate` and the TTL."""

    metrics: tuple[Metric, ...] = msgspec.field(default_factory=tuple)
    args: tuple[Argument, ...] = ()
    terminate: bool = False
    dry_run: tuple[DryRun, ...] = ()
    measurement_retention: tuple[MeasurementRetention, ...] = ()
    ttl_strategy: TtlStrategy | None = None


class Measurement(WireStruct, frozen=True, kw_only=True):
    """One measurement."""

    phase: str = msgspec.field(default_factory=str)
    message: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None
    value: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    resume_at: Time | None = None


class MetricResult(WireStruct, frozen=True, kw_only=True):
    """What came of one metric; `count` leaves out errors."""

    name: str = msgspec.field(default_factory=str)
    phase: str = msgspec.field(default_factory=str)
    measurements: tuple[Measurement, ...] = ()
    message: str = ""
    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    dry_run: bool = False
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    consecutive_success: int = 0


class RunSummary(WireStruct, frozen=True, kw_only=True):
    """How many metrics there are and how the completed ones ended."""

    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0


class AnalysisRunStatus(WireStruct, frozen=True, kw_only=True):
    """What came of a run; an empty phase means that nobody has looked at it yet."""

    phase: str = msgspec.field(default_factory=str)
    message: str = ""
    metric_results: tuple[MetricResult, ...] = ()
    started_at: Time | None = None
    run_summary: RunSummary = RunSummary()
    dry_run_summary: RunSummary | None = None
    completed_at: Time | None = None


class AnalysisRun(WireStruct, frozen=True, kw_only=True):
    """One run of metrics."""

    API_VERSION: ClassVar = API_VERSION
    KIND: ClassVar = ANALYSIS_RUN

    metadata: ObjectMeta = ObjectMeta()
    spec: AnalysisRunSpec = msgspec.field(default_factory=AnalysisRunSpec)
    status: AnalysisRunStatus = AnalysisRunStatus()
