"""Descriptions of the Rollout's spec; the notation is explained in `prograde.api.descriptions`."""

TEXT = """
# Rollout: A workload like a Deployment, whose pods are replaced by canary or blue-green.
spec!                       What you want: the pods, how many of them, and how a new version takes over.
status                      How the rollout stands. Written by the controller.

# RolloutSpec: What you want: the pods, how many of them, and how a new version takes over.
replicas                    Number of pods; 1 if absent, which is then written here for autoscalers to find. An
    autoscaler changes it through the scale sub-resource.
selector                    Chooses the pods of this Rollout by label; it must match the labels of the template. Pods
    that it chooses must belong to nobody else. It cannot be changed. May be absent with workloadRef, which then
    provides it.
template                    The pods. Any change of it starts a new revision that the strategy rolls out. Must be left
    out with workloadRef.
workloadRef                 Takes the pod template from another workload, such as an existing Deployment, in place of
    template.
minReadySeconds             Seconds a new pod must be ready, without a container crashing, before it counts as
    available.
strategy                    How a new version takes over from the old one: exactly one of canary and blueGreen.
revisionHistoryLimit        Number of old ReplicaSets to keep so that a rollback is possible; 10 by default.
paused                      Pauses the Rollout: nothing is rolled out until it is false again. Pods that crash are
    still replaced, and changes of replicas still followed.
progressDeadlineSeconds     Seconds within which an update must make progress, or else the Rollout is degraded; 600 by
    default. The clock stops during pauses. Must be greater than minReadySeconds.
progressDeadlineAbort       Aborts the update when the progress deadline has passed, in place of only reporting it.
restartAt                   Restarts all pods that were created before this time, a few at once, as soon as it has
    come. Set by "kubectl argo rollouts restart".
analysis                    How many finished AnalysisRuns and Experiments are kept.
rollbackWindow              How recent a revision must be so that going back to it skips steps and analysis.

# WorkloadRef: A workload in the same namespace whose pod template is rolled out.
apiVersion                  API version of the workload, such as apps/v1.
kind                        Kind of the workload: Deployment, ReplicaSet or PodTemplate.
name                        Name of the workload.
scaleDown                   What becomes of the Deployment's own pods: never (the default) leaves them, onsuccess
    scales them down when the Rollout is healthy, progressively as the Rollout scales up.

# AnalysisRunStrategy: How many finished AnalysisRuns and Experiments are kept.
successfulRunHistoryLimit   Number of successful AnalysisRuns, and of successful Experiments, to keep; 5 by default.
unsuccessfulRunHistoryLimit  Number of failed, errored and inconclusive AnalysisRuns, and of such Experiments, to
    keep; 5 by default.

# RollbackWindow: How recent a revision must be so that going back to it is fast.
revisions                   Number of revisions. Going back by at most so many skips all steps, pauses and analysis;
    0, the default, never does.

# RolloutStrategy: How a new version takes over: exactly one of these.
blueGreen                   Runs the new version next to the old one at full size, and then switches a Service to it
    at once.
canary                      Shifts pods, and with a traffic router also requests, to the new version step by step.
recreate                    Removes every pod of the old version before the first pod of the new one starts. Nothing
    serves in between. For versions that must never run side by side.

# BlueGreenStrategy: Two full versions and one switch.
activeService!              Service for the users. The controller points it at the version that is promoted.
previewService              Service for trying out the new version. The controller points it at the newest version.
previewReplicaCount         Number of pods of the new version before it is promoted; as many as replicas by default.
    It is scaled to the full size before the switch.
autoPromotionEnabled        Whether the switch happens by itself as soon as the new version is ready; true by default.
    With false the Rollout pauses until somebody promotes it.
autoPromotionSeconds        Seconds to wait before the switch happens by itself, counted from when the new version is
    ready. Without effect if autoPromotionEnabled is false.
maxUnavailable              How many pods may be missing while pods are restarted: a number, or a percentage of
    replicas; 25% by default.
scaleDownDelaySeconds       Seconds the old version keeps running after the switch, so that clients with old endpoints
    still find it and going back is instant; 30 by default.
scaleDownDelayRevisionLimit  Number of old versions that may keep running during their delay; unlimited by default.
prePromotionAnalysis        Analysis of the new version before the switch. Its failure aborts the update.
postPromotionAnalysis       Analysis after the switch, while the old version still runs. Its failure switches back.
antiAffinity                Keeps pods of the new version away from nodes with pods of the old one.
previewMetadata             Labels and annotations that pods carry while their version is the preview.
activeMetadata              Labels and annotations that pods carry while their version is active.
abortScaleDownDelaySeconds  Seconds the new version keeps running after an abort; 30 by default, 0 never scales it
    down.

# RecreateStrategy: The old version goes before the new one comes. An empty object; there is nothing to set.

# CanaryStrategy: A shift to the new version, step by step.
canaryService               Service that the controller points at the pods of the new version. Needed by most traffic
    routers.
stableService               Service that the controller points at the pods of the stable version. Needed by most
    traffic routers.
steps                       What happens during an update, in this order. Without steps the update is a rolling update
    with maxSurge and maxUnavailable. A change of the steps starts the update over.
trafficRouting              Who splits the requests between the versions. Without it the split follows the numbers of
    pods.
maxUnavailable              How many pods may be missing during the update: a number, or a percentage of replicas
    (rounded down); 25% by default. Not 0 if maxSurge is 0.
maxSurge                    How many pods there may be beyond replicas during the update: a number, or a percentage of
    replicas (rounded up); 25% by default. Not 0 if maxUnavailable is 0.
analysis                    Analysis that runs in the background during the whole update. Its failure aborts the
    update.
antiAffinity                Keeps pods of the new version away from nodes with pods of the old one.
canaryMetadata              Labels and annotations that pods carry while their version is the canary.
stableMetadata              Labels and annotations that pods carry while their version is stable.
scaleDownDelaySeconds       Seconds the old version keeps running after all traffic has left it; 30 by default. Only
    with trafficRouting and without dynamicStableScale.
scaleDownDelayRevisionLimit  Number of old versions that may keep running during their delay; unlimited by default.
abortScaleDownDelaySeconds  Seconds the canary keeps running after an abort; 30 by default, 0 never scales it down.
    Only with trafficRouting.
dynamicStableScale          Scales the stable version down as traffic leaves it, to save pods; an abort then has to
    wait until it is back. Only with trafficRouting.
pingPong                    Two Services that take turns in being stable and canary, so that load balancers which are
    slow to notice changed endpoints never see one change under traffic.
minPodsPerReplicaSet        The least number of pods of a version that gets any traffic, for high availability. Only
    with trafficRouting.
replicaProgressThreshold    How many pods of the canary must be available to go on to the next step; all by default.

# PingPong: Two lasting Services that take turns in being the stable one.
pingService!                The one Service.
pongService!                The other Service.

# ReplicaProgressThreshold: How many pods of the canary must be available to go on.
type!                       Percent for a percentage of the wanted pods, Pods for a number.
value!                      The percentage or number.

# AntiAffinity: Keeps pods of the new version away from nodes with pods of the old one; exactly one of the two.
preferredDuringSchedulingIgnoredDuringExecution  Rather run on other nodes, but start in any case.
requiredDuringSchedulingIgnoredDuringExecution   Only run on other nodes. With too few nodes the update does not get
    on.

# PreferredAntiAffinity: A preference for other nodes.
weight!                     How much the preference counts, from 1 to 100.

# RequiredAntiAffinity: A demand for other nodes.

# CanaryStep: One step of an update; exactly one field is set.
setWeight                   Percentage of the traffic for the canary, 0 to 100 (or to maxTrafficWeight of
    trafficRouting). Without trafficRouting it is reached as nearly as the number of pods allows.
pause                       Waits for some time, or until somebody promotes the Rollout.
experiment                  Runs an Experiment and waits for it. Its failure aborts the update.
analysis                    Runs an analysis and waits for it. Its failure aborts the update.
setCanaryScale              Sets the number of pods of the canary apart from its share of the traffic. In force until
    the next setCanaryScale. Only with trafficRouting.
setHeaderRoute              Sends requests with certain headers to the canary. Only with a router that can.
setMirrorRoute              Sends copies of requests to the canary, whose answers are thrown away. Only with a router
    that can.
plugin                      Runs a step plugin and waits for it.

# RolloutPause: A wait.
duration                    How long to wait: seconds as a number, or a string such as 30s, 5m or 1h. Without it,
    until somebody promotes the Rollout.

# SetCanaryScale: The number of pods of the canary; at most one field is set.
weight                      Percentage of replicas.
replicas                    Number of pods.
matchTrafficWeight          Lets the number of pods follow the share of the traffic again, which is the default.

# SetHeaderRoute: Sends requests with certain headers to the canary.
name                        Name of the route; it must be listed in managedRoutes of trafficRouting.
match                       Headers that a request must have, all of them. Without any the route is removed.

# HeaderRoutingMatch: A header and what it must hold.
headerName!                 Name of the header.
headerValue!                What it must hold.

# StringMatch: How to compare a string; exactly one field is set.
exact                       Equal to this string.
prefix                      Begins with this string.
regex                       Matches this regular expression.

# SetMirrorRoute: Sends copies of requests to the canary.
name!                       Name of the route; it must be listed in managedRoutes of trafficRouting.
match                       Which requests are copied; those that match any entry. Without any the route is removed.
percentage                  Percentage of the matching requests that is copied; 100 by default.

# RouteMatch: Which requests are copied; all fields that are set must match.
method                      Method of the request.
path                        Path of the request.
headers                     Headers of the request, by name.

# PluginStep: A step that a plugin carries out.
name!                       Name of the plugin, as in the argo-rollouts-config ConfigMap: <namespace>/<name>.
config                      Configuration for the plugin; what it may hold is up to the plugin.

# ExperimentStep: The Experiment that a step creates.
templates!                  Versions to run beside each other.
duration                    How long the Experiment runs, such as 10m; until its analyses are done if absent.
analyses                    Analyses to run while the versions are up.
dryRun                      Metrics that are measured without having a say.
analysisRunMetadata         Labels and annotations for the AnalysisRuns.
scaleDownDelaySeconds       Seconds the pods keep running after the Experiment has ended; 30 by default.

# ExperimentStepTemplate: One version of an experiment step.
name!                       Name of the template, unique in the step.
specRef!                    The pod template to run: canary for the new version, stable for the old one.
replicas                    Number of pods; 1 by default.
metadata                    Labels and annotations to add to the pods. The labels are added to the selector as well.
selector                    Chooses the pods; that of the version by default.
weight                      Percentage of the traffic for these pods. Only with a router that can.
service                     Creates a Service for these pods.

# ExperimentStepAnalysis: One analysis of an experiment step.
name!                       Name of the analysis, unique in the step.
templateName!               Name of the AnalysisTemplate.
clusterScope                Whether templateName names a ClusterAnalysisTemplate.
args                        Values for the arguments of the template.
requiredForCompletion       Whether the Experiment goes on until this analysis has completed.

# RolloutAnalysis: An analysis of a new version.
templates                   Templates to combine into one AnalysisRun.
args                        Values for the arguments of the templates.
dryRun                      Metrics that are measured without having a say.
measurementRetention        How many measurements to keep, by metric.
analysisRunMetadata         Labels and annotations for the AnalysisRun.

# BackgroundAnalysis: An analysis that runs during the whole update.
templates                   Templates to combine into one AnalysisRun.
args                        Values for the arguments of the templates.
dryRun                      Metrics that are measured without having a say.
measurementRetention        How many measurements to keep, by metric.
analysisRunMetadata         Labels and annotations for the AnalysisRun.
startingStep                Index of the step with which the analysis starts; 0, the first, by default.

# AnalysisArgument: A value for an argument.
name!                       Name of the argument.
value                       The value.
valueFrom                   Where the value comes from, in place of value.

# AnalysisArgumentValueFrom: Where a value comes from; exactly one field is set.
podTemplateHashValue        The pod template hash of a version: Stable or Latest.
fieldRef                    A field of the Rollout.

# TrafficRouting: Who splits the requests; every router that is set is driven.
istio                       Istio: weights in VirtualServices, or subsets of a DestinationRule.
nginx                       The NGINX ingress controller: a second ingress with canary annotations.
alb                         The AWS load balancer controller: weights in an annotation of the ingress.
smi                         Service Mesh Interface: a TrafficSplit.
ambassador                  Ambassador: a second Mapping with a weight.
appMesh                     AWS App Mesh: weights in a virtual router.
traefik                     Traefik: weights in a TraefikService.
managedRoutes               Routes that steps may create, the first with the highest priority. Needed for
    setHeaderRoute and setMirrorRoute.
apisix                      Apache APISIX: weights in an ApisixRoute.
plugins                     Routers that are plugins: their configuration by name of the plugin.
maxTrafficWeight            The weight that stands for all traffic; 100 by default. Only with nginx and plugins.

# ManagedRoute: A route that steps may create.
name!                       Name of the route.

# IstioTrafficRouting: Traffic routing with Istio; exactly one of virtualService and virtualServices is set.
virtualService              VirtualService whose weights are set.
destinationRule             DestinationRule whose subsets stand for the versions, in place of canaryService and
    stableService.
virtualServices             VirtualServices whose weights are set.

# IstioVirtualService: A VirtualService and which of its routes are managed.
name!                       Name of the VirtualService; name.namespace for one in another namespace.
routes                      Names of the HTTP routes to manage; may be left out if there is only one.
tlsRoutes                   TLS routes to manage.
tcpRoutes                   TCP routes to manage.

# TlsRoute: TLS routes of a VirtualService, by what they match.
port                        Port that the route matches.
sniHosts                    SNI hosts that the route matches.

# TcpRoute: TCP routes of a VirtualService, by what they match.
port                        Port that the route matches.

# IstioDestinationRule: A DestinationRule whose subsets stand for the versions.
name!                       Name of the DestinationRule.
canarySubsetName!           Subset of the canary.
stableSubsetName!           Subset of the stable version.
additionalSubsetNames       Further subsets in which the selectors of the versions are kept up to date.

# NginxTrafficRouting: Traffic routing with NGINX; exactly one of stableIngress and stableIngresses is set.
annotationPrefix            Prefix of the annotations that the ingress controller reads; nginx.ingress.kubernetes.io
    by default.
stableIngress               Ingress that sends traffic to stableService. Its copy for the canary is made by the
    controller.
additionalIngressAnnotations  Annotations for the canary ingress, to which annotationPrefix is added.
stableIngresses             Ingresses that send traffic to stableService.
canaryIngressAnnotations    Annotations for the canary ingress, as they are.

# AlbTrafficRouting: Traffic routing with an AWS load balancer; exactly one of ingress and ingresses is set.
ingress                     Ingress whose forward action gets the weights.
servicePort!                Port of the Services to send traffic to.
rootService                 Service that the ingress refers to; stableService by default.
annotationPrefix            Prefix of the annotations that the ingress controller reads; alb.ingress.kubernetes.io by
    default.
stickinessConfig            Sends a client to the same version for some time.
ingresses                   Ingresses whose forward actions get the weights.

# StickinessConfig: Stickiness of the target groups.
enabled!                    Whether clients stay with a version.
durationSeconds!            Seconds they stay, from 1 to 604800 (a week).

# SmiTrafficRouting: Traffic routing with the Service Mesh Interface.
rootService                 Service that clients use; stableService by default.
trafficSplitName            Name of the TrafficSplit; that of the Rollout by default.

# AmbassadorTrafficRouting: Traffic routing with Ambassador.
mappings!                   Mappings to split; for each the controller makes one for the canary.

# AppMeshTrafficRouting: Traffic routing with AWS App Mesh.
virtualService              Virtual service whose router gets the weights.
virtualNodeGroup            Virtual nodes of the two versions.

# AppMeshVirtualService: A virtual service and which routes of its router are managed.
name!                       Name of the virtual service.
routes                      Names of the routes to manage; all if absent.

# AppMeshVirtualNodeGroup: The virtual nodes of the two versions.
canaryVirtualNodeRef!       Virtual node of the canary.
stableVirtualNodeRef!       Virtual node of the stable version.

# AppMeshVirtualNodeReference: A virtual node.
name!                       Name of the virtual node.

# TraefikTrafficRouting: Traffic routing with Traefik.
weightedTraefikServiceName!  Name of the TraefikService that gets the weights.

# ApisixTrafficRouting: Traffic routing with Apache APISIX.
route                       ApisixRoute that gets the weights.

# ApisixRoute: An ApisixRoute and which of its rules are managed.
name!                       Name of the ApisixRoute.
rules                       Names of the rules to manage; by default the one that is called like the ApisixRoute.
"""
