"""Services, configuration, policy, access and the cluster itself, in the notation of
`prograde.api.podschema.notation`."""

TEXT = """
# ObjectReference atomic: An object, anywhere.
kind                        string              Its kind.
namespace                   string              Its namespace.
name                        string              Its name.
uid                         string              Its identity.
apiVersion                  string              Its API version.
resourceVersion             string              The version of it that is meant.
fieldPath                   string              The part of it that is meant.

# Condition: One aspect of an object's state.
type!                       string              Which aspect.
status!                     string              True, False or Unknown.
observedGeneration          int64               Generation that the condition is about.
lastTransitionTime!         time                When the status last changed.
reason!                     string              Why, in one word.
message!                    string              Why, for people.

# Service: One address for a changing set of pods.
spec                        ServiceSpec         What is wanted.
status                      ServiceStatus       What is there.

# ServiceSpec: Which pods, and how they are reached.
ports                       list(ServicePort;port,protocol)  Ports of the Service.
selector                    map(string)         Labels of the pods that serve.
clusterIP                   string              Address inside the cluster; given by the server unless None.
clusterIPs                  list(string)        Addresses inside the cluster.
type                        string              ClusterIP (the default), NodePort, LoadBalancer or ExternalName.
externalIPs                 list(string)        Further addresses that lead to the Service.
sessionAffinity             string              None (the default) or ClientIP, which keeps a client on one pod.
loadBalancerIP              string              Wanted address of the load balancer.
loadBalancerSourceRanges    list(string)        Networks that may use the load balancer.
externalName                string              Name that an ExternalName Service stands for.
externalTrafficPolicy       string              Cluster or Local.
healthCheckNodePort         int32               Port for health checks of the load balancer.
publishNotReadyAddresses    boolean             List pods that are not ready, too.
sessionAffinityConfig       object              Settings of the session affinity.
ipFamilies                  list(string)        Address families.
ipFamilyPolicy              string              SingleStack, PreferDualStack or RequireDualStack.
allocateLoadBalancerNodePorts  boolean          Whether a load balancer gets node ports.
loadBalancerClass           string              Kind of load balancer.
internalTrafficPolicy       string              Cluster (the default) or Local.
trafficDistribution         string              Preference among the pods, such as PreferClose.

# ServicePort: A port of a Service.
name                        string              Name of the port; needed when there are several.
protocol                    string=TCP          TCP, UDP or SCTP.
appProtocol                 string              Protocol spoken on it.
port!                       int32               Number of the port.
targetPort                  intOrString         Port of the pods, by number or name; the same number by default.
nodePort                    int32               Port on the nodes; given by the server for NodePort and LoadBalancer.

# ServiceStatus: What is there.
loadBalancer                LoadBalancerStatus  State of the load balancer.
conditions                  list(Condition;type)  Further state.

# LoadBalancerStatus: State of a load balancer.
ingress                     list(LoadBalancerIngress)  Where it takes traffic.

# LoadBalancerIngress: A place where a load balancer takes traffic.
ip                          string              Its address.
hostname                    string              Its name.
ipMode                      string              VIP or Proxy.
ports                       list(object)        State of its ports.

# Endpoints: Addresses of the pods behind a Service.
subsets                     list(EndpointSubset)  Addresses that share ports.

# EndpointSubset: Addresses that share ports.
addresses                   list(EndpointAddress)  Addresses that are ready.
notReadyAddresses           list(EndpointAddress)  Addresses that are not ready.
ports                       list(EndpointsPort) The ports.

# EndpointAddress atomic: The address of a pod.
ip!                         string              The address.
hostname                    string              Its host name.
nodeName                    string              Node of the pod.
targetRef                   ObjectReference     The pod.

# EndpointsPort atomic: A port of endpoints.
name                        string              Name of the port.
port!                       int32               Number of the port.
protocol                    string=TCP          TCP, UDP or SCTP.
appProtocol                 string              Protocol spoken on it.

# EndpointSlice: A part of the addresses behind a Service.
addressType!                string              IPv4, IPv6 or FQDN.
endpoints                   list(Endpoint)      The addresses.
ports                       list(EndpointPort)  The ports.

# Endpoint: The addresses of one pod.
addresses                   set(string)         Addresses of the pod.
conditions                  EndpointConditions  State of the pod.
hostname                    string              Its host name.
targetRef                   ObjectReference     The pod.
deprecatedTopology          map(string)         Labels of the node, in old objects.
nodeName                    string              Node of the pod.
zone                        string              Zone of the pod.
hints                       object              Where traffic should come from.

# EndpointConditions: State of an endpoint.
ready                       boolean             It may get traffic.
serving                     boolean             It passes its readiness probe, even when it is ending.
terminating                 boolean             It is ending.

# EndpointPort atomic: A port of a slice.
name                        string              Name of the port.
protocol                    string              TCP, UDP or SCTP.
port                        int32               Number of the port.
appProtocol                 string              Protocol spoken on it.

# ConfigMap: Settings for pods.
data                        map(string)         The settings, as text.
binaryData                  map(string)         Further settings, as base64.
immutable                   boolean             The settings never change.

# Secret: Confidential settings for pods.
data                        map(string)         The settings, as base64.
stringData                  map(string)         Settings as plain text, for writing only.
type                        string              What the Secret is for; Opaque by default.
immutable                   boolean             The settings never change.

# Namespace: A space for names of objects.
spec                        NamespaceSpec       What is wanted.
status                      NamespaceStatus     What is there.

# NamespaceSpec: What is wanted of a namespace.
finalizers                  list(string)        Duties that must be done before it may be removed.

# NamespaceStatus: State of a namespace.
phase                       string              Active or Terminating.
conditions                  list(PodCondition;type)  How its removal proceeds.

# Node: A machine that runs pods.
spec                        NodeSpec            What is wanted.
status                      NodeStatus          What is there.

# NodeSpec: What is wanted of a node.
podCIDR                     string              Network of its pods.
podCIDRs                    set(string)         Networks of its pods.
providerID                  string              Its identity at the provider.
unschedulable               boolean             It takes no further pods.
taints                      list(Taint)         What keeps pods away.
externalID                  string              No longer used.
configSource                object              No longer used.

# Taint: Keeps pods without a matching toleration away.
key!                        string              Key of the taint.
value                       string              Value of the taint.
effect!                     string              NoSchedule, PreferNoSchedule or NoExecute.
timeAdded                   time                When it was added.

# NodeStatus: State of a node.
capacity                    map(quantity)       All its resources.
allocatable                 map(quantity)       Resources that pods may use.
phase                       string              No longer used.
conditions                  list(NodeCondition;type)  Ready and the like.
addresses                   list(NodeAddress)   Its addresses.
daemonEndpoints             object              Ports of its daemons.
nodeInfo                    object              Its versions and identities.
images                      list(object)        Images it holds.
volumesInUse                list(string)        Volumes it uses.
volumesAttached             list(object)        Volumes attached to it.
config                      object              No longer used.
runtimeHandlers             list(object)        Container runtimes it has.
features                    object              What its runtime can do.

# NodeCondition: One aspect of a node's state.
type!                       string              Which aspect.
status!                     string              True, False or Unknown.
lastHeartbeatTime           time                When the node last reported it.
lastTransitionTime          time                When the status last changed.
reason                      string              Why, in one word.
message                     string              Why, for people.

# NodeAddress: An address of a node.
type!                       string              Hostname, InternalIP or ExternalIP.
address!                    string              The address.

# ServiceAccount: An identity for pods.
secrets                     list(ObjectReference;name)  Secrets its pods may use.
imagePullSecrets            list(LocalObjectReference)  Secrets with the credentials to pull images.
automountServiceAccountToken  boolean           Whether its token is mounted into pods.

# PersistentVolumeClaim: A request for storage.
spec                        PersistentVolumeClaimSpec  What is claimed.
status                      PersistentVolumeClaimStatus  What was given.

# PersistentVolumeClaimStatus: What was given.
phase                       string              Pending, Bound or Lost.
accessModes                 list(string)        How the volume may be used.
capacity                    map(quantity)       Size of the volume.
conditions                  list(PodCondition;type)  Further state.
allocatedResources          map(quantity)       Sizes being changed to.
allocatedResourceStatuses   map(string)         How those changes proceed.
currentVolumeAttributesClassName  string        Class of the volume.
modifyVolumeStatus          object              How a change of class proceeds.

# ResourceQuota: Limits of a namespace. This cluster stores it but does not enforce it.
spec                        ResourceQuotaSpec   The limits.
status                      ResourceQuotaStatus What is used.

# ResourceQuotaSpec: The limits of a namespace.
hard                        map(quantity)       Limit of each resource.
scopes                      list(string)        Objects that count.
scopeSelector               object              Objects that count, by selector.

# ResourceQuotaStatus: What is used of a quota.
hard                        map(quantity)       The limits in force.
used                        map(quantity)       What is used.

# LimitRange: Defaults and limits of resources in a namespace. This cluster stores it but does not enforce it.
spec                        LimitRangeSpec      The limits.

# LimitRangeSpec: Limits of resources.
limits                      list(LimitRangeItem)  Limits by type of object.

# LimitRangeItem: Limits for one type of object.
type!                       string              Pod, Container or PersistentVolumeClaim.
max                         map(quantity)       The most that may be asked for.
min                         map(quantity)       The least that must be asked for.
default                     map(quantity)       Limit of who gives none.
defaultRequest              map(quantity)       Request of who gives none.
maxLimitRequestRatio        map(quantity)       How far limit and request may be apart.

# Event: Something that happened to an object.
involvedObject              ObjectReference     The object.
reason                      string              What happened, in one word.
message                     string              What happened, for people.
source                      EventSource         Who saw it.
firstTimestamp              time                When it happened first.
lastTimestamp               time                When it happened last.
count                       int32               How often it happened.
type                        string              Normal or Warning.
eventTime                   time                When it happened first, to the microsecond.
series                      EventSeries         How it went on happening.
action                      string              What was done about it.
related                     ObjectReference     Another object that matters.
reportingComponent          string              Controller that saw it.
reportingInstance           string              Instance of that controller.

# EventSource: Who saw an event.
component                   string              Program.
host                        string              Machine.

# EventSeries: How an event went on happening.
count                       int32               How often.
lastObservedTime            time                When last.

# EventsEvent: Something that happened to an object.
eventTime                   time                When it happened first, to the microsecond.
series                      EventSeries         How it went on happening.
reportingController         string              Controller that saw it.
reportingInstance           string              Instance of that controller.
action                      string              What was done about it.
reason                      string              What happened, in one word.
regarding                   ObjectReference     The object.
related                     ObjectReference     Another object that matters.
note                        string              What happened, for people.
type                        string              Normal or Warning.
deprecatedSource            EventSource         Who saw it, in old events.
deprecatedFirstTimestamp    time                When it happened first, in old events.
deprecatedLastTimestamp     time                When it happened last, in old events.
deprecatedCount             int32               How often it happened, in old events.

# Lease: A claim that somebody holds for a while, such as leadership.
spec                        LeaseSpec           Who holds it, and until when.

# LeaseSpec: Who holds a lease, and until when.
holderIdentity              string              Who holds it.
leaseDurationSeconds        int32               Seconds after which others may take it.
acquireTime                 time                When it was taken.
renewTime                   time                When it was last renewed.
leaseTransitions            int32               How often it changed hands.
strategy                    string              How a holder is chosen.
preferredHolder             string              Who should hold it.

# PriorityClass: A named priority of pods.
value!                      int32               The priority.
globalDefault               boolean             For pods that name no class.
description                 string              What it is for.
preemptionPolicy            string              PreemptLowerPriority or Never.
"""
