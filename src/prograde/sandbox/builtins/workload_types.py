"""Pods and what runs them, in the notation of `prograde.api.podschema.notation`."""

TEXT = """
# Pod: One or more containers that run together on a node.
spec                        PodSpec             What runs in the pod, and how.
status                      PodStatus           What the kubelet has seen of the pod.

# PodStatus: What the kubelet has seen of a pod.
phase                       string              Pending, Running, Succeeded, Failed or Unknown.
conditions                  list(PodCondition;type)  Scheduled, Initialized, ContainersReady, Ready and those of
    readiness gates.
message                     string              Why the pod is in this state, for people.
reason                      string              Why the pod is in this state, in one word, for example Evicted.
nominatedNodeName           string              Node that is being cleared for the pod.
hostIP                      string              Address of the node.
hostIPs                     list(HostIP;ip)     Addresses of the node.
podIP                       string              Address of the pod.
podIPs                      list(PodIP;ip)      Addresses of the pod.
startTime                   time                When the kubelet accepted the pod.
initContainerStatuses       list(ContainerStatus)  States of the init containers, in their order.
containerStatuses           list(ContainerStatus)  States of the containers.
ephemeralContainerStatuses  list(ContainerStatus)  States of the debugging containers.
qosClass                    string              Guaranteed, Burstable or BestEffort, from the resources.
resize                      string              State of a change of resources.
resourceClaimStatuses       list(PodResourceClaimStatus;name)  State of the resource claims.
extendedResourceClaimStatus  object             State of claims made for extended resources.
allocatedResources          map(quantity)       Resources set aside on the node for the whole pod.
resources                   ResourceRequirements  Resources in force for the whole pod.
observedGeneration          int64               Generation of the pod that this status is about.

# PodCondition: One aspect of a pod's state.
type!                       string              Which aspect.
status!                     string              True, False or Unknown.
lastProbeTime               time                When the condition was last looked at.
lastTransitionTime          time                When the status last changed.
reason                      string              Why, in one word.
message                     string              Why, for people.
observedGeneration          int64               Generation of the pod that this condition is about.

# HostIP: An address of a node.
ip!                         string              The address.

# PodIP: An address of a pod.
ip!                         string              The address.

# PodResourceClaimStatus: The claim made for an entry of resourceClaims.
name!                       string              Name of the entry.
resourceClaimName           string              Name of the ResourceClaim.

# ContainerStatus: State of one container.
name!                       string              Name of the container.
state                       ContainerState      What the container does now.
lastState                   ContainerState      How it ended the last time.
ready!                      boolean             Whether it passes its readiness probe.
restartCount!               int32               How often it was started again.
image!                      string              Image that runs.
imageID!                    string              Digest of the image.
containerID                 string              Identity at the runtime.
started                     boolean             Whether it passed its startup probe.
allocatedResources          map(quantity)       Resources set aside on the node.
resources                   ResourceRequirements  Resources in force.
volumeMounts                list(VolumeMountStatus;mountPath)  Mounts in force.
user                        ContainerUser       User the first process runs as.
allocatedResourcesStatus    list(ResourceStatus;name)  Health of devices.
stopSignal                  string              Signal that stops the container.

# VolumeMountStatus: A mount in force.
name!                       string              Name of the volume.
mountPath!                  string              Where it is mounted.
readOnly                    boolean             Whether it can be written to.
recursiveReadOnly           string              Whether mounts below it can be written to.

# ContainerUser: The user of a container's first process.
linux                       LinuxContainerUser  The user, on Linux.

# LinuxContainerUser: A user on Linux.
uid!                        int64               User ID.
gid!                        int64               Group ID.
supplementalGroups          list(int64)         Further group IDs.

# ResourceStatus: Health of the devices of one resource.
name!                       string              Name of the resource.
resources                   list(ResourceHealth;resourceID)  Health of each device.

# ResourceHealth: Health of one device.
resourceID!                 string              Identity of the device.
health                      string              Healthy, Unhealthy or Unknown.
message                     string              Why, for people.

# ContainerState: Exactly one of the three states is set.
waiting                     ContainerStateWaiting  The container is not running yet, or not again.
running                     ContainerStateRunning  The container runs.
terminated                  ContainerStateTerminated  The container has ended.

# ContainerStateWaiting: Why a container does not run.
reason                      string              Why, in one word, for example ImagePullBackOff.
message                     string              Why, for people.

# ContainerStateRunning: Since when a container runs.
startedAt                   time                When it was started.

# ContainerStateTerminated: How a container ended.
exitCode!                   int32               Exit code of the first process.
signal                      int32               Signal that ended it.
reason                      string              Why, in one word, for example Completed, Error or OOMKilled.
message                     string              Last words, for people.
startedAt                   time                When it was started.
finishedAt                  time                When it ended.
containerID                 string              Identity at the runtime.

# PodTemplate: A template for pods, stored for others to copy.
template                    PodTemplateSpec     The pods to make.

# ReplicaSet: Keeps a number of equal pods running.
spec                        ReplicaSetSpec      What is wanted.
status                      ReplicaSetStatus    What is there.

# ReplicaSetSpec: The wanted pods.
replicas                    int32               Number of pods wanted; 1 by default.
minReadySeconds             int32               Seconds a pod must be ready before it counts as available.
selector!                   LabelSelector       Pods of this set; must match the labels of the template and never
    changes.
template                    PodTemplateSpec     The pods to make.

# ReplicaSetStatus: The pods that are there.
replicas!                   int32               Pods that are not ending.
fullyLabeledReplicas        int32               Pods with all labels of the template.
readyReplicas               int32               Pods that are ready.
availableReplicas           int32               Pods that have been ready for minReadySeconds.
terminatingReplicas         int32               Pods that are ending.
observedGeneration          int64               Generation that this status is about.
conditions                  list(WorkloadCondition;type)  Further state, such as ReplicaFailure.

# WorkloadCondition: One aspect of a workload's state.
type!                       string              Which aspect.
status!                     string              True, False or Unknown.
lastProbeTime               time                When the condition was last looked at.
lastUpdateTime              time                When the condition was last written.
lastTransitionTime          time                When the status last changed.
reason                      string              Why, in one word.
message                     string              Why, for people.

# ReplicationController: The predecessor of the ReplicaSet.
spec                        ReplicationControllerSpec  What is wanted.
status                      ReplicaSetStatus    What is there.

# ReplicationControllerSpec: The wanted pods.
replicas                    int32               Number of pods wanted; 1 by default.
minReadySeconds             int32               Seconds a pod must be ready before it counts as available.
selector                    map(string)         Labels of the pods.
template                    PodTemplateSpec     The pods to make.

# Deployment: Rolls pods out and keeps them running, through ReplicaSets.
spec                        DeploymentSpec      What is wanted.
status                      DeploymentStatus    What is there.

# DeploymentSpec: The wanted pods, and how to get from one version to the next.
replicas                    int32               Number of pods wanted; 1 by default.
selector!                   LabelSelector       Pods of this Deployment; must match the labels of the template and
    never changes.
template!                   PodTemplateSpec     The pods to make.
strategy                    DeploymentStrategy  How old pods give way to new ones.
minReadySeconds             int32               Seconds a pod must be ready before it counts as available.
revisionHistoryLimit        int32               Old ReplicaSets to keep for going back; 10 by default.
paused                      boolean             Hold the roll-out.
progressDeadlineSeconds     int32               Seconds without progress after which the roll-out counts as failed;
    600 by default.

# DeploymentStrategy: How old pods give way to new ones.
type                        string              RollingUpdate (the default) or Recreate.
rollingUpdate               RollingUpdateDeployment  Limits of a rolling update.

# RollingUpdateDeployment: Limits of a rolling update.
maxUnavailable              intOrString         Pods that may be missing, as a number or percentage; 25% by default.
maxSurge                    intOrString         Pods that may be there in addition; 25% by default.

# DeploymentStatus: The pods that are there.
observedGeneration          int64               Generation that this status is about.
replicas                    int32               Pods that are not ending.
updatedReplicas             int32               Pods of the current template.
readyReplicas               int32               Pods that are ready.
availableReplicas           int32               Pods that have been ready for minReadySeconds.
unavailableReplicas         int32               Pods that are missing or not available.
terminatingReplicas         int32               Pods that are ending.
conditions                  list(WorkloadCondition;type)  Available, Progressing and ReplicaFailure.
collisionCount              int32               Counts name clashes of ReplicaSets.

# StatefulSet: Pods with names and storage of their own. This cluster stores it but does not run it.
spec                        StatefulSetSpec     What is wanted.
status                      StatefulSetStatus   What is there.

# StatefulSetSpec: The wanted pods and their storage.
replicas                    int32               Number of pods wanted; 1 by default.
selector!                   LabelSelector       Pods of this set; must match the labels of the template.
template!                   PodTemplateSpec     The pods to make.
volumeClaimTemplates        list(EmbeddedClaim)  Claims to make for each pod.
serviceName                 string              Service that gives the pods their host names.
podManagementPolicy         string              OrderedReady (the default) or Parallel.
updateStrategy              StatefulSetUpdateStrategy  How pods are replaced.
revisionHistoryLimit        int32               Old revisions to keep; 10 by default.
minReadySeconds             int32               Seconds a pod must be ready before it counts as available.
persistentVolumeClaimRetentionPolicy  object    When the claims are removed.
ordinals                    object              First number of the pods.

# EmbeddedClaim: A claim to make.
apiVersion                  string              Group and version of the API that the claim belongs to.
kind                        string              PersistentVolumeClaim.
metadata                    ObjectMeta          Name, labels and other metadata of the claim.
+PersistentVolumeClaim

# StatefulSetUpdateStrategy: How pods are replaced.
type                        string              RollingUpdate (the default) or OnDelete.
rollingUpdate               RollingUpdateStatefulSet  Limits of a rolling update.

# RollingUpdateStatefulSet: Limits of a rolling update.
partition                   int32               Pods below this number keep the old version.
maxUnavailable              intOrString         Pods that may be missing.

# StatefulSetStatus: The pods that are there.
observedGeneration          int64               Generation that this status is about.
replicas!                   int32               Pods that are there.
readyReplicas               int32               Pods that are ready.
currentReplicas             int32               Pods of the current revision.
updatedReplicas             int32               Pods of the new revision.
availableReplicas           int32               Pods that have been ready for minReadySeconds.
currentRevision             string              The current revision.
updateRevision              string              The new revision.
collisionCount              int32               Counts name clashes.
conditions                  list(WorkloadCondition;type)  Further state.

# DaemonSet: One pod on every node. This cluster stores it but does not run it.
spec                        DaemonSetSpec       What is wanted.
status                      DaemonSetStatus     What is there.

# DaemonSetSpec: The wanted pods.
selector!                   LabelSelector       Pods of this set; must match the labels of the template.
template!                   PodTemplateSpec     The pods to make.
updateStrategy              DaemonSetUpdateStrategy  How pods are replaced.
minReadySeconds             int32               Seconds a pod must be ready before it counts as available.
revisionHistoryLimit        int32               Old revisions to keep; 10 by default.

# DaemonSetUpdateStrategy: How pods are replaced.
type                        string              RollingUpdate (the default) or OnDelete.
rollingUpdate               RollingUpdateDaemonSet  Limits of a rolling update.

# RollingUpdateDaemonSet: Limits of a rolling update.
maxUnavailable              intOrString         Nodes that may be without a pod; 1 by default.
maxSurge                    intOrString         Nodes that may have two pods; 0 by default.

# DaemonSetStatus: The pods that are there.
currentNumberScheduled!     int32               Nodes that run a pod and should.
numberMisscheduled!         int32               Nodes that run a pod and should not.
desiredNumberScheduled!     int32               Nodes that should run a pod.
numberReady!                int32               Nodes with a ready pod.
observedGeneration          int64               Generation that this status is about.
updatedNumberScheduled      int32               Nodes that run a pod of the current template.
numberAvailable             int32               Nodes with an available pod.
numberUnavailable           int32               Nodes that should have an available pod and have none.
collisionCount              int32               Counts name clashes.
conditions                  list(WorkloadCondition;type)  Further state.

# ControllerRevision: A former state of a workload, kept for going back.
data                        object              The state.
revision!                   int64               Number of the state.

# Job: Pods that run until enough of them have succeeded.
spec                        JobSpec             What is to be done.
status                      JobStatus           How far it is.

# JobStatus: How far a Job is.
conditions                  list(WorkloadCondition)  Complete, Failed, Suspended and what leads there.
startTime                   time                When the Job was started.
completionTime              time                When it succeeded.
active                      int32               Pods that are running or pending.
succeeded                   int32               Pods that succeeded.
failed                      int32               Pods that failed.
terminating                 int32               Pods that are ending.
ready                       int32               Active pods that are ready.
completedIndexes            string              Indexes that have succeeded, such as 1,3-5.
failedIndexes               string              Indexes that have failed.
uncountedTerminatedPods     UncountedTerminatedPods  Ended pods that the counts do not hold yet.

# UncountedTerminatedPods: Ended pods that the counts do not hold yet.
succeeded                   set(string)         UIDs of pods that succeeded.
failed                      set(string)         UIDs of pods that failed.

# CronJob: Makes Jobs at certain times. This cluster stores it but does not run it.
spec                        CronJobSpec         What is wanted.
status                      CronJobStatus       What has happened.

# CronJobSpec: Which Jobs to make, and when.
schedule!                   string              When, in the format of cron.
timeZone                    string              Time zone of the schedule.
startingDeadlineSeconds     int64               Seconds by which a Job may be late.
concurrencyPolicy           string              Allow (the default), Forbid or Replace when the last Job still runs.
suspend                     boolean             Make no further Jobs.
jobTemplate!                JobTemplateSpec     The Jobs to make.
successfulJobsHistoryLimit  int32               Succeeded Jobs to keep; 3 by default.
failedJobsHistoryLimit      int32               Failed Jobs to keep; 1 by default.

# CronJobStatus: What has happened.
active                      list(ObjectReference)  Jobs that run.
lastScheduleTime            time                When the last Job was made.
lastSuccessfulTime          time                When the last Job succeeded.
"""
