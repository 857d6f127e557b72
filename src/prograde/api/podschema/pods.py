"""The pod template and what belongs to the pod as a whole, in the notation of `prograde.api.podschema.notation`."""

TEXT = """
# PodTemplateSpec: The pods to make: their metadata and what runs in them.
metadata                    ObjectMeta          Labels, annotations and other metadata of the pods.
spec                        PodSpec             What runs in the pods, and how.

# PodSpec: What runs in a pod, where, and with which rights.
containers!                 list(Container;name)           Containers of the pod; at least one.
initContainers              list(Container;name)           Containers that run one after the other, each to its end,
    before the others start; those with restartPolicy Always keep running beside them.
ephemeralContainers         list(EphemeralContainer;name)  Containers added to a running pod for debugging. They are
    set through a sub-resource of the pod, never in a template.
volumes                     list(Volume;name)              Volumes that the containers may mount.
restartPolicy               string              When ended containers are started again: Always, OnFailure or Never. A
    Rollout accepts only Always, which is the default.
terminationGracePeriodSeconds  int64            Seconds a pod gets between the request to stop and the kill; 30 by
    default.
activeDeadlineSeconds       int64               Seconds a pod may be active before it is stopped. Not for pods of a
    Rollout.
dnsPolicy                   string              Where names are resolved: ClusterFirst (the default),
    ClusterFirstWithHostNet, Default (as the node does) or None (only dnsConfig counts).
nodeSelector                map(string)         Labels a node must have to run the pod.
serviceAccountName          string              ServiceAccount the pod acts as.
serviceAccount              string              Old name of serviceAccountName.
automountServiceAccountToken  boolean           Whether the token of the ServiceAccount is mounted.
nodeName                    string              Node to run on, past the scheduler. Filled in by the scheduler
    otherwise.
hostNetwork                 boolean             Use the network of the node instead of an own one.
hostPID                     boolean             Share the process IDs of the node.
hostIPC                     boolean             Share the inter-process communication of the node.
shareProcessNamespace       boolean             Let all containers of the pod see each other's processes.
securityContext             PodSecurityContext  Security settings of the pod and defaults for its containers.
imagePullSecrets            list(LocalObjectReference;name)  Secrets with the credentials to pull the images.
hostname                    string              Host name of the pod; the name of the pod by default.
subdomain                   string              Makes the full host name hostname.subdomain.namespace.svc.<cluster
    domain>.
affinity                    Affinity            Which nodes and which neighbours the pod wants or avoids.
schedulerName               string              Scheduler that places the pod.
tolerations                 list(Toleration)    Taints of nodes that do not keep the pod away.
hostAliases                 list(HostAlias;ip)  Extra lines for the hosts file of the pod.
priorityClassName           string              PriorityClass from which the priority is taken.
priority                    int32               Priority of the pod; pods with a higher one may displace it.
dnsConfig                   PodDNSConfig        DNS settings added to those of dnsPolicy.
readinessGates              list(PodReadinessGate)  Further conditions that must be True for the pod to count as
    ready.
runtimeClassName            string              RuntimeClass that runs the pod.
enableServiceLinks          boolean             Describe the Services of the namespace in environment variables; true
    by default.
preemptionPolicy            string              Whether the pod may displace others: PreemptLowerPriority or Never.
overhead                    map(quantity)       Resources the runtime itself takes, on top of those of the containers.
topologySpreadConstraints   list(TopologySpreadConstraint;topologyKey,whenUnsatisfiable)  How the pods spread over
    zones, nodes and the like; all constraints must hold.
setHostnameAsFQDN           boolean             Use the full domain name as the host name.
os                          PodOS               Operating system of the pod; some fields are only for one of them.
hostUsers                   boolean             Use the user IDs of the node; false gives the pod a user namespace of
    its own.
schedulingGates             list(PodSchedulingGate;name)  Hold the pod back from scheduling until the list is empty.
resourceClaims              list(PodResourceClaim;name)   Claims of devices that must be allocated before the pod
    starts.
resources                   ResourceRequirements          Resources of all containers of the pod together.
hostnameOverride            string              Host name exactly as the pod shall see it, in place of hostname and
    subdomain.

# LocalObjectReference atomic: An object of the same namespace, by name.
name                        string=             Name of the object.

# PodSecurityContext: Security settings of a pod; a container may override those that it has too.
seLinuxOptions              SELinuxOptions      SELinux context of all containers.
windowsOptions              WindowsSecurityContextOptions  Settings for Windows containers.
runAsUser                   int64               User ID to run as; that of the image by default.
runAsGroup                  int64               Group ID to run as.
runAsNonRoot                boolean             Refuse to start a container that would run as root.
supplementalGroups          list(int64)         Further groups of the first process of each container.
supplementalGroupsPolicy    string              Whether groups of the image count too: Merge (the default) or Strict.
fsGroup                     int64               Group that owns the volumes; their files are made writable for it.
sysctls                     list(Sysctl)        Kernel parameters to set for the pod.
fsGroupChangePolicy         string              When the ownership of volumes is changed: OnRootMismatch or Always.
seccompProfile              SeccompProfile      Seccomp profile of the containers.
appArmorProfile             AppArmorProfile     AppArmor profile of the containers.
seLinuxChangePolicy         string              How the SELinux label gets on the volumes: Recursive or MountOption.

# SELinuxOptions: Labels of an SELinux context.
user                        string              User label.
role                        string              Role label.
type                        string              Type label.
level                       string              Level label.

# WindowsSecurityContextOptions: Security settings for Windows containers.
gmsaCredentialSpecName      string              Name of the GMSA credential spec.
gmsaCredentialSpec          string              The GMSA credential spec itself; an admission webhook fills it in.
runAsUserName               string              User name to run as; that of the image by default.
hostProcess                 boolean             Run as a host process container; the same for all containers of a pod.

# SeccompProfile: Which system calls are allowed.
type!                       string              RuntimeDefault, Unconfined, or Localhost for a profile on the node.
localhostProfile            string              Path of the profile, under the kubelet's seccomp directory; for
    Localhost only.

# AppArmorProfile: What AppArmor allows.
type!                       string              RuntimeDefault, Unconfined, or Localhost for a profile loaded on the
    node.
localhostProfile            string              Name of the profile; for Localhost only.

# Sysctl: A kernel parameter.
name!                       string              Name of the parameter.
value!                      string              Value to set.

# HostAlias: An address and the names it goes by.
ip!                         string              The address.
hostnames                   list(string)        Names for the address.

# PodDNSConfig: DNS settings of a pod, added to those of its dnsPolicy.
nameservers                 list(string)        Addresses of further name servers.
searches                    list(string)        Further domains to search short names in.
options                     list(PodDNSConfigOption)  Further resolver options; they win over those of the dnsPolicy.

# PodDNSConfigOption: An option of the resolver.
name                        string              Name of the option.
value                       string              Value of the option, for those that take one.

# PodReadinessGate: A condition that must be True for the pod to count as ready.
conditionType!              string              Type of the condition in the status of the pod.

# PodOS: The operating system of a pod.
name!                       string              linux or windows.

# PodSchedulingGate: A reason to hold a pod back from scheduling.
name!                       string              Name of the gate; whoever set it removes it.

# PodResourceClaim: A claim of devices that the containers refer to; exactly one of the two sources is set.
name!                       string              Name by which the containers refer to the claim.
resourceClaimName           string              A ResourceClaim of the same namespace.
resourceClaimTemplateName   string              A ResourceClaimTemplate from which each pod gets a claim of its own.

# Affinity: Which nodes and which neighbours a pod wants or avoids.
nodeAffinity                NodeAffinity        Nodes the pod must or should run on.
podAffinity                 PodAffinity         Pods to be near to.
podAntiAffinity             PodAntiAffinity     Pods to stay away from.

# NodeAffinity: Nodes a pod must or should run on.
requiredDuringSchedulingIgnoredDuringExecution   NodeSelector  Nodes the pod may be placed on.
preferredDuringSchedulingIgnoredDuringExecution  list(PreferredSchedulingTerm)  Nodes the pod is rather placed on; the
    weights of all terms that match a node are added up.

# NodeSelector atomic: Nodes that match at least one of the terms.
nodeSelectorTerms!          list(NodeSelectorTerm)  Terms of which one must match.

# NodeSelectorTerm atomic: Requirements that all must hold; an empty term matches no node.
matchExpressions            list(NodeSelectorRequirement)  Requirements on the labels of the node.
matchFields                 list(NodeSelectorRequirement)  Requirements on the fields of the node.

# NodeSelectorRequirement: A requirement on a label or field of a node.
key!                        string              Key of the label, or name of the field.
operator!                   string              In, NotIn, Exists, DoesNotExist, Gt or Lt.
values                      list(string)        Values to compare with: none for Exists and DoesNotExist, one integer
    for Gt and Lt.

# PreferredSchedulingTerm: A preference among nodes.
weight!                     int32               How much the preference counts, 1 to 100.
preference!                 NodeSelectorTerm    Nodes that are preferred.

# PodAffinity: Pods that a pod must or should be near to.
requiredDuringSchedulingIgnoredDuringExecution   list(PodAffinityTerm)          Neighbours that must be there; all
    terms hold.
preferredDuringSchedulingIgnoredDuringExecution  list(WeightedPodAffinityTerm)  Neighbours that are preferred, with
    weights.

# PodAntiAffinity: Pods that a pod must or should stay away from.
requiredDuringSchedulingIgnoredDuringExecution   list(PodAffinityTerm)          Neighbours that must not be there; all
    terms hold.
preferredDuringSchedulingIgnoredDuringExecution  list(WeightedPodAffinityTerm)  Neighbours that are avoided, with
    weights.

# PodAffinityTerm: Pods, and the part of the cluster in which they count as near.
labelSelector               LabelSelector       Pods that are meant; absent means none.
namespaces                  list(string)        Namespaces to look in, together with namespaceSelector; neither means
    the namespace of the pod.
topologyKey!                string              Label of nodes: those with the same value are near to each other.
namespaceSelector           LabelSelector       Namespaces to look in, by label; an empty selector means all.
matchLabelKeys              list(string)        Label keys whose values are taken from the new pod and must be equal.
mismatchLabelKeys           list(string)        Label keys whose values are taken from the new pod and must differ.

# WeightedPodAffinityTerm: A preference among neighbours.
weight!                     int32               How much the preference counts, 1 to 100.
podAffinityTerm!            PodAffinityTerm     Neighbours that are meant.

# Toleration: Lets a pod run on nodes with a matching taint.
key                         string              Key of the taint; empty, with operator Exists, means every taint.
operator                    string              Exists, or Equal (the default), which compares the values too.
value                       string              Value of the taint; must be empty for Exists.
effect                      string              NoSchedule, PreferNoSchedule or NoExecute; empty means all effects.
tolerationSeconds           int64               For NoExecute: seconds the pod stays after the taint appears; absent
    means for ever.

# TopologySpreadConstraint: How evenly matching pods spread over the parts of a cluster.
maxSkew!                    int32               How far the numbers of pods in two parts may differ.
topologyKey!                string              Label of nodes whose values are the parts, such as
    topology.kubernetes.io/zone.
whenUnsatisfiable!          string              DoNotSchedule, or ScheduleAnyway to make it a preference.
labelSelector               LabelSelector       Pods that are counted.
minDomains                  int32               Number of parts there must at least be; only for DoNotSchedule.
nodeAffinityPolicy          string              Whether nodeAffinity and nodeSelector limit the counted nodes: Honor
    or Ignore.
nodeTaintsPolicy            string              Whether taints limit the counted nodes: Honor or Ignore.
matchLabelKeys              list(string)        Label keys whose values are taken from the new pod to select what is
    counted.

# ResourceRequirements: Resources to reserve and to limit.
limits                      map(quantity)       The most that may be used, by resource name (cpu, memory, ...).
requests                    map(quantity)       What is reserved, by resource name; the limits by default.
claims                      list(ResourceClaim;name)  Claims of the pod, from resourceClaims, that are used here.

# ResourceClaim: A claim of the pod that a container uses.
name!                       string              Name of an entry in resourceClaims of the pod.
request                     string              A single request of that claim; empty means all of it.
"""
