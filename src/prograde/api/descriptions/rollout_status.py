"""Descriptions of the Rollout's status; the notation is explained in `prograde.api.descriptions`."""

TEXT = """
# RolloutStatus: How a rollout stands. Written by the controller.
abort                       Whether the update was aborted; true until a retry or a new revision.
pauseConditions             Why the Rollout is paused, and since when; empty if it is not.
controllerPause             Whether the controller has paused the Rollout. With empty pauseConditions: somebody has
    resumed it.
abortedAt                   When the update was aborted.
currentPodHash              Pod template hash of the newest version.
currentStepHash             Hash of the steps; a change starts the update over.
replicas                    Number of pods of all versions.
updatedReplicas             Number of pods of the newest version.
readyReplicas               Number of pods that are ready.
availableReplicas           Number of pods that have been ready for minReadySeconds; with blue-green, of the active
    version.
currentStepIndex            Index of the step that is being carried out; the number of steps when all are done.
collisionCount              How often the hash of a new version was taken already; part of the hash.
observedGeneration          Generation of the Rollout that this status is for.
conditions                  Aspects of the state, each True, False or Unknown.
canary                      What belongs to the canary strategy.
blueGreen                   What belongs to the blue-green strategy.
HPAReplicas                 Number of pods for autoscalers to look at.
selector                    Label selector of the pods for autoscalers to look at, as a string.
stableRS                    Pod template hash of the version that was promoted last.
restartedAt                 The restartAt for which all pods have been restarted.
promoteFull                 Whether all steps, pauses and analysis are skipped until the new version is promoted.
phase                       Summary: Healthy, Progressing, Paused or Degraded.
message                     Why the Rollout is in this phase.
workloadObservedGeneration  Generation of the referenced workload that this status is for.
alb                         AWS resources behind the ingress.
albs                        AWS resources behind the ingresses.
duration                    How long the current update takes.

# PauseCondition: A reason for a pause.
reason!                     CanaryPauseStep, BlueGreenPause, InconclusiveAnalysisRun or InconclusiveExperiment.
startTime!                  When the pause began.

# Condition: One aspect of the state of an object.
type!                       Which aspect, such as Available or Progressing.
status!                     True, False or Unknown.
lastUpdateTime!             When the condition was last written.
lastTransitionTime!         When its status last changed.
reason!                     Why, in one word for programs.
message!                    Why, in a sentence for people.

# CanaryStatus: What belongs to the canary strategy.
currentStepAnalysisRunStatus        AnalysisRun of the current step.
currentBackgroundAnalysisRunStatus  AnalysisRun in the background.
currentExperiment                   Name of the Experiment of the current step.
weights                             How the traffic is split.
stablePingPong                      Which of the two Services is the stable one: ping or pong.
stepPluginStatuses                  How the plugins of the steps stand.

# RolloutAnalysisRunStatus: An AnalysisRun and how it stands.
name!                       Name of the AnalysisRun.
status!                     Its phase.
message                     Why it is in this phase.

# TrafficWeights: How the traffic is split.
canary!                     Share of the canary.
stable!                     Share of the stable version.
additional                  Shares of Experiments.
verified                    Whether the router has confirmed the weights; absent if it cannot.

# WeightDestination: The share of one version.
weight!                     The weight.
serviceName                 Service the traffic goes to.
podTemplateHash             Pod template hash of the pods it goes to.

# StepPluginStatus: How one operation of a plugin step stands.
index!                      Index of the step.
name!                       Name of the plugin.
message                     What the plugin says about its state.
phase                       Running, Successful, Failed or Error.
operation!                  Run, Terminate or Abort.
startedAt                   When the operation began.
updatedAt                   When this status last changed.
finishedAt                  When the operation ended.
backoff                     How long to wait before the plugin is called again.
executions                  How often the plugin was called.
disabled                    Whether the plugin is switched off, so that its step is skipped.
status                      What the plugin wants to remember between two calls.

# BlueGreenStatus: What belongs to the blue-green strategy.
previewSelector             Pod template hash that the preview Service selects.
activeSelector              Pod template hash that the active Service selects.
scaleUpPreviewCheckPoint    Whether the new version may be scaled to its full size.
prePromotionAnalysisRunStatus   AnalysisRun before the switch.
postPromotionAnalysisRunStatus  AnalysisRun after the switch.

# AlbStatus: The AWS resources behind an ingress.
loadBalancer                The load balancer.
canaryTargetGroup           Target group of the canary.
stableTargetGroup           Target group of the stable version.
ingress                     Name of the ingress.

# AwsResourceRef: An AWS resource.
name!                       Name of the resource.
arn!                        Amazon resource name.
fullName                    Full name, as CloudWatch uses it.

# DurationStatus: How long an update takes.
rolloutStartedAt            When the update began.
manualPauseStartedAt        When the current pause by hand began.
totalManualPauseDurationSeconds  Seconds spent in pauses by hand, without the current one.
finishedAt                  When the update ended.
completionStatus            How it ended: Promoted, FastPromoted, Aborted, RolledBack or FastRolledBack.
"""
