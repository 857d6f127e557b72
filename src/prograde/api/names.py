"""Every name that Prograde shares with a cluster: labels, annotations, condition types, reasons, finalizers.

These strings are the compatibility surface: users, dashboards, Argo CD and notification triggers match them, so a
constant here never changes its value. Names of Python constants say what the string marks; the string itself stays
as Argo Rollouts writes it, irregular prefixes included.
"""

from typing import Final

# --- Group, version, kinds ----------------------------------------------------------------------------------

GROUP: Final = "argoproj.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

ROLLOUT: Final = "Rollout"
ANALYSIS_TEMPLATE: Final = "AnalysisTemplate"
CLUSTER_ANALYSIS_TEMPLATE: Final = "ClusterAnalysisTemplate"
ANALYSIS_RUN: Final = "AnalysisRun"
EXPERIMENT: Final = "Experiment"

PLURALS: Final = {
    ROLLOUT: "rollouts",
    ANALYSIS_TEMPLATE: "analysistemplates",
    CLUSTER_ANALYSIS_TEMPLATE: "clusteranalysistemplates",
    ANALYSIS_RUN: "analysisruns",
    EXPERIMENT: "experiments",
}
SHORT_NAMES: Final = {
    ROLLOUT: "ro",
    ANALYSIS_TEMPLATE: "at",
    CLUSTER_ANALYSIS_TEMPLATE: "cat",
    ANALYSIS_RUN: "ar",
    EXPERIMENT: "exp",
}

# --- Labels -------------------------------------------------------------------------------------------------

POD_TEMPLATE_HASH_LABEL: Final = "rollouts-pod-template-hash"
"""On ReplicaSets, their selectors, templates and pods; in Service selectors; on AnalysisRuns and Experiments."""

ROLLOUT_TYPE_LABEL: Final = "rollout-type"
"""On an AnalysisRun: which part of the strategy asked for it (`ANALYSIS_STEP` and its siblings)."""

STEP_INDEX_LABEL: Final = "step-index"
INSTANCE_ID_LABEL: Final = "argo-rollouts.argoproj.io/controller-instance-id"
JOB_RUN_UID_LABEL: Final = "analysisrun.argoproj.io/uid"
ISTIO_PRIMARY_CLUSTER_LABEL: Final = "istio.argoproj.io/primary-cluster"

ANALYSIS_STEP: Final = "Step"
ANALYSIS_BACKGROUND: Final = "Background"
ANALYSIS_PRE_PROMOTION: Final = "PrePromotion"
ANALYSIS_POST_PROMOTION: Final = "PostPromotion"

# --- Annotations --------------------------------------------------------------------------------------------

REVISION_ANNOTATION: Final = "rollout.argoproj.io/revision"
REVISION_HISTORY_ANNOTATION: Final = "rollout.argoproj.io/revision-history"
DESIRED_REPLICAS_ANNOTATION: Final = "rollout.argoproj.io/desired-replicas"
WORKLOAD_GENERATION_ANNOTATION: Final = "rollout.argoproj.io/workload-generation"
REPLACED_BY_ANNOTATION: Final = "prograde.io/replaced-by-rollout"
"""On a Deployment: the UIDs of the Rollouts that have taken over from it for good, with commas between them."""

SCALED_BY_ANNOTATION: Final = "prograde.io/scaled-by-rollout"
"""On a Deployment: the UID of the Rollout that has scaled it last."""

REPLICAS_BEFORE_ANNOTATION: Final = "prograde.io/replicas-before-rollout"
"""On a Deployment: how many pods it had before a Rollout began to replace them."""

EPHEMERAL_METADATA_ANNOTATION: Final = "rollout.argoproj.io/ephemeral-metadata"
SCALE_DOWN_DEADLINE_ANNOTATION: Final = "scale-down-deadline"
MANAGED_BY_ANNOTATION: Final = "argo-rollouts.argoproj.io/managed-by-rollouts"
EXPERIMENT_NAME_ANNOTATION: Final = "experiment.argoproj.io/name"
EXPERIMENT_TEMPLATE_NAME_ANNOTATION: Final = "experiment.argoproj.io/template-name"
JOB_RUN_NAME_ANNOTATION: Final = "analysisrun.argoproj.io/name"
JOB_RUN_NAMESPACE_ANNOTATION: Final = "analysisrun.argoproj.io/namespace"
JOB_METRIC_NAME_ANNOTATION: Final = "analysisrun.argoproj.io/metric-name"
MANAGED_ALB_ANNOTATIONS_ANNOTATION: Final = "rollouts.argoproj.io/managed-alb-annotations"
MANAGED_ALB_ACTIONS_ANNOTATION: Final = "rollouts.argoproj.io/managed-alb-actions"
"""The older form of `MANAGED_ALB_ANNOTATIONS_ANNOTATION`, read for migration only."""

NOTIFIED_ANNOTATION: Final = "notified.notifications.argoproj.io"
SUBSCRIBE_ANNOTATION_PREFIX: Final = "notifications.argoproj.io/subscribe."
LAST_APPLIED_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
INGRESS_CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
DEPLOYMENT_REVISION_ANNOTATION: Final = "deployment.kubernetes.io/revision"

ANNOTATIONS_NOT_COPIED: Final = frozenset(
    {
        LAST_APPLIED_ANNOTATION,
        REVISION_ANNOTATION,
        REVISION_HISTORY_ANNOTATION,
        DESIRED_REPLICAS_ANNOTATION,
        NOTIFIED_ANNOTATION,
        WORKLOAD_GENERATION_ANNOTATION,
    }
)
"""Annotations of a Rollout that never travel to its ReplicaSets; all others do."""

# --- Finalizers ---------------------------------------------------------------------------------------------

FINALIZERS: Final[tuple[str, ...]] = ()
"""No controller of ours sets a finalizer: children go by garbage collection, routing objects by their own syncs."""

# --- Condition types ----------------------------------------------------------------------------------------

CONDITION_INVALID_SPEC: Final = "InvalidSpec"
CONDITION_AVAILABLE: Final = "Available"
CONDITION_PROGRESSING: Final = "Progressing"
CONDITION_REPLICA_FAILURE: Final = "ReplicaFailure"
CONDITION_PAUSED: Final = "Paused"
CONDITION_COMPLETED: Final = "Completed"
CONDITION_HEALTHY: Final = "Healthy"
CONDITION_RUNNING: Final = "Running"
"""Of Experiments only."""

CONDITION_TRUE: Final = "True"
CONDITION_FALSE: Final = "False"
CONDITION_UNKNOWN: Final = "Unknown"

# --- Reasons of conditions (most are event reasons too) -----------------------------------------------------

REASON_INVALID_SPEC: Final = "InvalidSpec"
REASON_AVAILABLE: Final = "AvailableReason"
REASON_REPLICA_SET_UPDATED: Final = "ReplicaSetUpdated"
REASON_REPLICA_SET_CREATE_ERROR: Final = "ReplicaSetCreateError"
REASON_NEW_REPLICA_SET_CREATED: Final = "NewReplicaSetCreated"
REASON_FOUND_NEW_REPLICA_SET: Final = "FoundNewReplicaSet"
REASON_NEW_REPLICA_SET_AVAILABLE: Final = "NewReplicaSetAvailable"
REASON_REPLICA_SET_NOT_AVAILABLE: Final = "ReplicaSetNotAvailable"
REASON_PROGRESS_DEADLINE_EXCEEDED: Final = "ProgressDeadlineExceeded"
REASON_ROLLOUT_PAUSED: Final = "RolloutPaused"
REASON_ROLLOUT_RESUMED: Final = "RolloutResumed"
REASON_ROLLOUT_RETRY: Final = "RolloutRetry"
REASON_ROLLOUT_ABORTED: Final = "RolloutAborted"
REASON_ROLLOUT_COMPLETED: Final = "RolloutCompleted"
REASON_ROLLOUT_NOT_COMPLETED: Final = "RolloutNotCompleted"
REASON_ROLLOUT_HEALTHY: Final = "RolloutHealthy"
REASON_EXPERIMENT_COMPLETED: Final = "ExperimentCompleted"

# --- Reasons of events alone --------------------------------------------------------------------------------

EVENT_SOURCE_COMPONENT: Final = "rollouts-controller"
EVENT_NORMAL: Final = "Normal"
EVENT_WARNING: Final = "Warning"

EVENT_ROLLOUT_ADDED_TO_INFORMER: Final = "RolloutAddedToInformer"
EVENT_ROLLOUT_DELETED: Final = "RolloutDeleted"
EVENT_ROLLOUT_UPDATED: Final = "RolloutUpdated"
EVENT_SCALING_REPLICA_SET: Final = "ScalingReplicaSet"
EVENT_SCALING_DEPLOYMENT: Final = "ScalingDeployment"
EVENT_ROLLOUT_STEP_COMPLETED: Final = "RolloutStepCompleted"
EVENT_SKIP_STEPS: Final = "SkipSteps"
EVENT_EXPERIMENT_CREATED: Final = "ExperimentCreated"
EVENT_SWITCH_SERVICE: Final = "SwitchService"
EVENT_RECONCILIATION_ERROR: Final = "ReconciliationError"
EVENT_STEP_PLUGIN_TRANSITION: Final = "StepPluginTransition"
EVENT_TRAFFIC_WEIGHT_UPDATED: Final = "TrafficWeightUpdated"
EVENT_TRAFFIC_ROUTING_ERROR: Final = "TrafficRoutingError"
EVENT_WEIGHT_VERIFY_ERROR: Final = "WeightVerifyError"
EVENT_TARGET_GROUP_VERIFIED: Final = "TargetGroupVerified"
EVENT_TARGET_GROUP_UNVERIFIED: Final = "TargetGroupUnverified"
EVENT_TARGET_GROUP_VERIFY_ERROR: Final = "TargetGroupVerifyError"
EVENT_LOAD_BALANCER_NOT_FOUND: Final = "LoadBalancerNotFound"
EVENT_ANALYSIS_RUN_PREFIX: Final = "AnalysisRun"
"""Followed by the phase: ``AnalysisRunFailed``."""

EVENT_ANALYSIS_RUN_TERMINATING: Final = "AnalysisRunTerminating"
EVENT_TEMPLATE_PREFIX: Final = "Template"
"""On an Experiment, followed by the template's status: ``TemplateRunning``."""

EVENT_EXPERIMENT_PREFIX: Final = "Experiment"
"""Followed by the phase: ``ExperimentRunning``."""

EVENT_REPLICA_SET_UPDATE_ERROR: Final = "ReplicaSetUpdateError"

# --- Pause reasons, phases and other closed sets of the status ----------------------------------------------

PAUSE_INCONCLUSIVE_ANALYSIS: Final = "InconclusiveAnalysisRun"
PAUSE_INCONCLUSIVE_EXPERIMENT: Final = "InconclusiveExperiment"
PAUSE_CANARY_STEP: Final = "CanaryPauseStep"
PAUSE_BLUE_GREEN: Final = "BlueGreenPause"

PHASE_HEALTHY: Final = "Healthy"
PHASE_DEGRADED: Final = "Degraded"
PHASE_PROGRESSING: Final = "Progressing"
PHASE_PAUSED: Final = "Paused"
PHASE_INVALID_SPEC: Final = "InvalidSpec"
"""Only in metrics; the status of an invalid Rollout says Degraded."""

RUN_PENDING: Final = "Pending"
RUN_RUNNING: Final = "Running"
RUN_SUCCESSFUL: Final = "Successful"
RUN_FAILED: Final = "Failed"
RUN_ERROR: Final = "Error"
RUN_INCONCLUSIVE: Final = "Inconclusive"
RUN_PHASES_BEST_FIRST: Final = (
    RUN_SUCCESSFUL,
    RUN_RUNNING,
    RUN_PENDING,
    RUN_INCONCLUSIVE,
    RUN_ERROR,
    RUN_FAILED,
)
COMPLETED_RUN_PHASES: Final = frozenset({RUN_SUCCESSFUL, RUN_FAILED, RUN_ERROR, RUN_INCONCLUSIVE})

TEMPLATE_PROGRESSING: Final = "Progressing"
TEMPLATE_RUNNING: Final = "Running"
TEMPLATE_SUCCESSFUL: Final = "Successful"
TEMPLATE_FAILED: Final = "Failed"
TEMPLATE_ERROR: Final = "Error"
COMPLETED_TEMPLATE_STATUSES: Final = frozenset({TEMPLATE_SUCCESSFUL, TEMPLATE_FAILED, TEMPLATE_ERROR})

COMPLETION_PROMOTED: Final = "Promoted"
COMPLETION_FAST_PROMOTED: Final = "FastPromoted"
COMPLETION_ABORTED: Final = "Aborted"
COMPLETION_SUPERSEDED: Final = "Superseded"
COMPLETION_ROLLED_BACK: Final = "RolledBack"
COMPLETION_FAST_ROLLED_BACK: Final = "FastRolledBack"

STEP_PLUGIN_RUN: Final = "Run"
STEP_PLUGIN_TERMINATE: Final = "Terminate"
STEP_PLUGIN_ABORT: Final = "Abort"
STEP_PLUGIN_PHASES: Final = frozenset({"Running", "Successful", "Failed", "Error"})

SPEC_REF_CANARY: Final = "canary"
SPEC_REF_STABLE: Final = "stable"
HASH_VALUE_STABLE: Final = "Stable"
HASH_VALUE_LATEST: Final = "Latest"
PROGRESS_PERCENT: Final = "Percent"
PROGRESS_PODS: Final = "Pods"
PING: Final = "ping"
PONG: Final = "pong"
SCALE_DOWN_NEVER: Final = "never"
SCALE_DOWN_ON_SUCCESS: Final = "onsuccess"
SCALE_DOWN_PROGRESSIVELY: Final = "progressively"
