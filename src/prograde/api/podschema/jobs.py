"""Jobs, which the Job metric provider creates, in the notation of `prograde.api.podschema.notation`."""

TEXT = """
# JobTemplateSpec: A Job to make.
metadata                    ObjectMeta          Labels, annotations and other metadata of the Job.
spec                        JobSpec             What the Job does.

# JobSpec: Pods that run until enough of them have succeeded.
parallelism                 int32               Pods to run at the same time; 1 by default.
completions                 int32               Pods that must succeed; absent means that one success ends the Job.
activeDeadlineSeconds       int64               Seconds after which the Job has failed.
podFailurePolicy            PodFailurePolicy    What a failed pod means, by exit code and condition.
successPolicy               SuccessPolicy       When an indexed Job has succeeded before all its pods have.
backoffLimit                int32               Failures after which the Job has failed; 6 by default.
backoffLimitPerIndex        int32               Failures after which an index has failed; for indexed Jobs.
maxFailedIndexes            int32               Failed indexes after which the Job has failed.
selector                    LabelSelector       Pods of the Job; set by the server.
manualSelector              boolean             Whether selector and labels are given by hand.
template!                   PodTemplateSpec     The pods to run; their restartPolicy is Never or OnFailure.
ttlSecondsAfterFinished     int32               Seconds after its end at which the Job is removed; absent keeps it.
completionMode              string              NonIndexed (the default) or Indexed, which numbers the pods.
suspend                     boolean             Hold the Job: its pods are removed until this is false again.
podReplacementPolicy        string              When a pod is replaced: TerminatingOrFailed or Failed.
managedBy                   string              Controller that runs the Job; the built-in one by default.

# PodFailurePolicy: What failed pods mean.
rules!                      list(PodFailurePolicyRule)  Rules in their order; the first that matches counts.

# PodFailurePolicyRule: What a pod that failed in a certain way means; exactly one requirement is set.
action!                     string              FailJob, FailIndex, Ignore or Count.
onExitCodes                 PodFailurePolicyOnExitCodesRequirement  Requirement on the exit codes.
onPodConditions             list(PodFailurePolicyOnPodConditionsPattern)  Conditions of the pod, of which one must
    match.

# PodFailurePolicyOnExitCodesRequirement: A set of exit codes.
containerName               string              Container whose exit code counts; absent means all.
operator!                   string              In, or NotIn for all others.
values!                     set(int32)          The exit codes, sorted; 0 is not allowed with In.

# PodFailurePolicyOnPodConditionsPattern: A condition of a pod.
type!                       string              Type of the condition.
status                      string              Status of the condition; True by default.

# SuccessPolicy: When a Job has succeeded early.
rules!                      list(SuccessPolicyRule)  Rules in their order; one that holds is enough.

# SuccessPolicyRule: Pods that must have succeeded; at least one field is set.
succeededIndexes            string              Indexes that must have succeeded, such as 1,3-5.
succeededCount              int32               How many indexes must have succeeded.
"""
