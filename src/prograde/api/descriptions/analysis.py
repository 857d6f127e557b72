"""Descriptions of templates, runs and experiments; the notation is explained in `prograde.api.descriptions`."""

TEXT = """
# AnalysisTemplate: What to measure, and when it counts as good, for Rollouts and Experiments of the same namespace.
spec!                       What to measure, and when it counts as good.

# ClusterAnalysisTemplate: What to measure, and when it counts as good, for Rollouts and Experiments of all namespaces.
spec!                       What to measure, and when it counts as good.

# AnalysisTemplateSpec: What to measure, and when it counts as good.
metrics                     Metrics to measure.
args                        Arguments that metrics may use as {{args.<name>}}.
dryRun                      Metrics that are measured without having a say.
measurementRetention        How many measurements to keep, by metric.
templates                   Further templates whose metrics and arguments are added to these.

# AnalysisTemplateRef: A template, by name.
templateName                Name of the AnalysisTemplate.
clusterScope                Whether templateName names a ClusterAnalysisTemplate.

# PodTemplateMetadata: Labels and annotations.
labels                      Labels to set.
annotations                 Annotations to set.

# Argument: An argument of a template.
name!                       Name of the argument.
value                       The value; in a template, the default. Without value and valueFrom the user must supply
    one.
valueFrom                   Where the value comes from, in place of value.

# ArgumentValueFrom: Where a value comes from; exactly one field is set.
secretKeyRef                A key of a Secret in the same namespace. The value never shows in the status.
fieldRef                    A field of the object that starts the analysis.

# SecretKeyRef: A key of a Secret.
name!                       Name of the Secret.
key!                        The key.

# FieldRef: A field of an object.
fieldPath!                  Path of the field, such as metadata.labels['app'] or status.stableRS.

# DryRun: Metrics that are measured without having a say.
metricName!                 Regular expression for the names of the metrics; .* for all of them.

# MeasurementRetention: How many measurements to keep of some metrics.
metricName!                 Regular expression for the names of the metrics; .* for all of them.
limit!                      Number of measurements to keep of each; 10 without a rule.

# Metric: One thing to measure, how often, and when it counts as good or bad.
name!                       Name of the metric, unique in the run.
interval                    Time between two measurements, such as 30s or 5m. Without it and without count there is a
    single measurement.
initialDelay                Time to wait before the first measurement, such as 1m.
count                       Number of measurements; unlimited by default if there is an interval, else 1.
successCondition            Expression over result that is true if a measurement is good, such as result[0] >= 0.95.
    Alone it makes all other measurements bad.
failureCondition            Expression over result that is true if a measurement is bad. Together with
    successCondition, a measurement for which neither is true is inconclusive.
failureLimit                Number of bad measurements that are tolerated; 0 by default, -1 tolerates any number.
inconclusiveLimit           Number of inconclusive measurements that are tolerated; 0 by default.
consecutiveErrorLimit       Number of errors in a row that are tolerated; 4 by default.
consecutiveSuccessLimit     Number of good measurements in a row after which the metric has succeeded; 0, the default,
    asks for all measurements.
provider!                   Who measures: exactly one provider.

# MetricProvider: Who measures; exactly one field is set.
prometheus                  A query to Prometheus.
kayenta                     A canary judgement by Kayenta.
web                         An HTTP request with a JSON answer.
datadog                     A query to Datadog.
wavefront                   A query to Wavefront.
newRelic                    An NRQL query to New Relic.
job                         A Kubernetes Job; its success or failure is the measurement.
cloudWatch                  A query to Amazon CloudWatch.
graphite                    A query to Graphite.
influxdb                    A Flux query to InfluxDB.
skywalking                  A GraphQL query to Apache SkyWalking.
plugin                      A metric plugin: its configuration by name of the plugin.

# PrometheusMetric: A query to Prometheus.
address                     URL of the server; that of the controller's environment by default.
query                       PromQL query.
authentication              How to authenticate.
timeout                     Seconds to wait for the answer; 30 by default.
insecure                    Whether to skip the check of the server's certificate.
headers                     HTTP headers to send.
rangeQuery                  Asks for a range of time in place of an instant.

# PrometheusRangeQuery: The range of time to ask for.
start                       Expression for the beginning, such as now() - duration("5m").
end                         Expression for the end, such as now().
step                        Time between two samples, such as 1m.

# Authentication: How to authenticate; at most one field is set. Values may contain {{args.<name>}}.
sigv4                       AWS request signing.
oauth2                      OAuth 2 client credentials.
basicAuth                   User name and password.

# Sigv4: AWS request signing.
region                      AWS region.
profile                     Profile of the AWS configuration.
roleArn                     Role to assume.

# OAuth2: OAuth 2 client credentials.
tokenUrl                    URL to get the token from.
clientId                    Client ID.
clientSecret                Client secret.
scopes                      Scopes to ask for.

# BasicAuth: User name and password.
username                    User name.
password                    Password.

# Header: An HTTP header.
key!                        Name of the header.
value!                      Its value.

# WebMetric: An HTTP request with a JSON answer.
method                      GET (the default), POST or PUT.
url!                        URL to call.
headers                     Headers to send.
body                        Body to send, as text; not together with jsonBody.
timeoutSeconds              Seconds to wait for the answer; 10 by default.
jsonPath                    JSONPath to the value in the answer, such as {$.data.ok}; the whole answer by default.
insecure                    Whether to skip the check of the server's certificate.
jsonBody                    Body to send, as a JSON object; not together with body.
authentication              How to authenticate.

# DatadogMetric: A query to Datadog.
interval                    Length of the time to look at, up to now; 5m by default.
query                       The query; not together with queries.
queries                     Several queries by name, for use in formula. Only with apiVersion v2.
formula                     Formula over queries. Only with apiVersion v2.
apiVersion                  Version of the API: v1 (the default) or v2.
aggregator                  How the points become one number; last by default. Only with apiVersion v2.
secretRef                   Secret with the keys; that of the controller's namespace by default.
requestTimeout              How long to wait for the answer; 10s by default.

# SecretRef: The Secret with the keys for Datadog.
name                        Name of the Secret; datadog by default.
namespaced                  Whether the Secret is in the namespace of the analysis.

# NewRelicMetric: An NRQL query to New Relic.
profile                     Secret with account and key; newrelic by default.
query!                      NRQL query.
timeout                     Seconds to wait for the answer; 5 by default.

# WavefrontMetric: A query to Wavefront.
address                     Address of the server.
query                       The query.

# GraphiteMetric: A query to Graphite.
address                     URL of the server.
query                       The target expression.

# InfluxdbMetric: A Flux query to InfluxDB.
profile                     Secret with address, organisation and token; influxdb by default.
query                       Flux query.

# SkyWalkingMetric: A GraphQL query to Apache SkyWalking.
address                     URL of the server.
query                       GraphQL query.
interval                    Length of the time to look at, up to now; 5m by default.

# CloudWatchMetric: A query to Amazon CloudWatch.
interval                    Length of the time to look at, up to now; 5m by default.
metricDataQueries!          Queries, as in the GetMetricData call.

# CloudWatchQuery: One query of a GetMetricData call.
id                          Name of the query, unique in the call.
expression                  Expression over other queries, in place of metricStat.
label                       Label of the result.
metricStat                  Statistic over a metric, in place of expression.
period                      Seconds per point.
returnData                  Whether the result is returned, or only used in expressions.

# CloudWatchMetricStat: A statistic over a metric.
metric                      The metric.
period                      Seconds per point.
stat                        The statistic, such as Sum or p99.
unit                        Unit of the metric.

# CloudWatchMetricName: A metric.
dimensions                  Dimensions of the metric.
metricName                  Name of the metric.
namespace                   CloudWatch namespace of the metric.

# CloudWatchDimension: A dimension of a metric.
name                        Name of the dimension.
value                       Its value.

# KayentaMetric: A canary judgement by Kayenta.
address!                    URL of the server.
application!                Name of the application.
canaryConfigName!           Name of the canary configuration.
metricsAccountName!         Account to read the metrics with.
configurationAccountName!   Account to read the configuration with.
storageAccountName!         Account to store results with.
threshold!                  Scores that decide.
scopes!                     What to compare with what.
lookback                    Without a start: whether to look back to the start of the run, or only as far as one
    interval.

# KayentaThreshold: Scores from 0 to 100 that decide.
pass!                       Score from which on the canary is good.
marginal!                   Score from which on the canary is not bad.

# KayentaScope: What to compare with what.
name!                       Name of the scope in the configuration.
controlScope!               The stable version.
experimentScope!            The canary.

# KayentaScopeDetail: One side of a comparison.
scope!                      Name of the scope in the metrics store.
region!                     Region to look at.
step!                       Seconds per point.
start!                      Beginning of the time to look at, in RFC 3339; empty for the choice by lookback.
end!                        End of the time to look at, in RFC 3339; empty for now.

# JobMetric: A Kubernetes Job.
metadata                    Labels and annotations of the Job.
spec!                       What the Job does.

# AnalysisRun: One run of metrics, started by a Rollout, an Experiment or by hand.
spec!                       What to measure. Only terminate and ttlStrategy should be changed later.
status                      What came of it. Written by the controller.

# AnalysisRunSpec: What to measure.
metrics!                    Metrics to measure.
args                        Values that metrics may use as {{args.<name>}}.
terminate                   Ends the run early: no more measurements are begun.
dryRun                      Metrics that are measured without having a say.
measurementRetention        How many measurements to keep, by metric.
ttlStrategy                 When the run is removed after its end; never if absent.

# TtlStrategy: When a run is removed after its end.
secondsAfterCompletion      Seconds to keep a run, whatever came of it.
secondsAfterFailure         Seconds to keep a failed run.
secondsAfterSuccess         Seconds to keep a successful run.

# AnalysisRunStatus: What came of a run.
phase!                      Pending, Running, Successful, Failed, Error or Inconclusive.
message                     Why the run is in this phase.
metricResults               What came of each metric.
startedAt                   When the run began.
runSummary                  How many metrics ended how, without those of dry runs.
dryRunSummary               How many metrics of dry runs ended how.
completedAt                 When the run ended.

# RunSummary: How many metrics ended how.
count                       Number of metrics.
successful                  Number of successful ones.
failed                      Number of failed ones.
inconclusive                Number of inconclusive ones.
error                       Number of ones with errors.

# MetricResult: What came of one metric.
name!                       Name of the metric.
phase!                      Pending, Running, Successful, Failed, Error or Inconclusive.
measurements                The last measurements.
message                     Why the metric is in this phase.
count                       Number of measurements, without errors.
successful                  Number of good measurements.
failed                      Number of bad measurements.
inconclusive                Number of inconclusive measurements.
error                       Number of errors.
consecutiveError            Number of errors in a row up to now.
dryRun                      Whether the metric has no say.
metadata                    What the provider tells about the metric, such as the resolved query.
consecutiveSuccess          Number of good measurements in a row up to now.

# Measurement: One measurement.
phase!                      Running, Successful, Failed, Error or Inconclusive.
message                     Why the measurement is in this phase.
startedAt                   When the measurement began.
finishedAt                  When the measurement ended.
value                       What was measured.
metadata                    What the provider needs or tells about the measurement.
resumeAt                    When to look again at a measurement that takes time.

# Experiment: Versions that run beside each other for a while, with analyses that judge them.
spec!                       What to run, and for how long.
status                      How the experiment stands. Written by the controller.

# ExperimentSpec: What to run, and for how long.
templates!                  Versions to run beside each other.
duration                    How long to run, such as 30m, counted from when all pods are available; until the analyses
    are done if absent.
progressDeadlineSeconds     Seconds within which the pods must become available; 600 by default.
terminate                   Ends the experiment early.
analyses                    Analyses to run while the versions are up.
scaleDownDelaySeconds       Seconds the pods keep running after the end; 30 by default.
dryRun                      Metrics that are measured without having a say.
measurementRetention        How many measurements to keep, by metric.
analysisRunMetadata         Labels and annotations for the AnalysisRuns.

# ExperimentTemplate: One version; its pods belong to a ReplicaSet.
name!                       Name of the template, unique in the experiment.
replicas                    Number of pods; 1 by default.
minReadySeconds             Seconds a new pod must be ready before it counts as available.
selector!                   Chooses the pods by label; it must match the labels of the template and choose no others.
template!                   The pods.
service                     Creates a Service for the pods.

# ExperimentService: A Service for the pods of a template.
name                        Name of the Service; that of the ReplicaSet by default.

# ExperimentAnalysis: One analysis of an experiment.
name!                       Name of the analysis, unique in the experiment.
templateName!               Name of the AnalysisTemplate.
clusterScope                Whether templateName names a ClusterAnalysisTemplate.
args                        Values for the arguments of the template. They may contain
    {{templates.<name>.podTemplateHash}}, {{templates.<name>.replicaset.name}}, {{experiment.availableAt}} and
    {{experiment.finishedAt}}.
requiredForCompletion       Whether the experiment goes on until this analysis has completed.

# ExperimentStatus: How an experiment stands.
phase                       Pending, Running, Successful, Failed, Error or Inconclusive.
message                     Why the experiment is in this phase.
availableAt                 When all pods were available; the duration counts from here.
templateStatuses            How each version stands.
analysisRuns                How each analysis stands.
conditions                  Aspects of the state, each True, False or Unknown.

# ExperimentTemplateStatus: How one version stands.
name!                       Name of the template.
replicas!                   Number of pods.
updatedReplicas!            Number of pods of the current template.
readyReplicas!              Number of pods that are ready.
availableReplicas!          Number of pods that have been ready for minReadySeconds.
collisionCount              How often the hash of the template was taken already; part of the hash.
status                      Progressing, Running, Successful, Failed or Error.
message                     Why the version is in this state.
lastTransitionTime          When the state last changed.
serviceName                 Service for the pods.
podTemplateHash             Hash of the template.

# ExperimentAnalysisRunStatus: How one analysis stands.
name!                       Name of the analysis.
analysisRun!                Name of the AnalysisRun.
phase!                      Its phase.
message                     Why it is in this phase.
"""
