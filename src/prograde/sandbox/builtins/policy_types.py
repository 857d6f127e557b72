"""Autoscaling, disruption, networking and access, in the notation of `prograde.api.podschema.notation`."""

TEXT = """
# HorizontalPodAutoscaler: Scales a workload by its load.
spec                        HorizontalPodAutoscalerSpec  What is wanted.
status                      HorizontalPodAutoscalerStatus  What is there.

# CrossVersionObjectReference atomic: An object that can be scaled.
kind!                       string              Its kind.
name!                       string              Its name.
apiVersion                  string              Its API version.

# HorizontalPodAutoscalerSpec: Which workload to scale, and by what.
scaleTargetRef!             CrossVersionObjectReference  The workload.
minReplicas                 int32               The fewest pods; 1 by default.
maxReplicas!                int32               The most pods.
metrics                     list(MetricSpec)    What the number of pods follows; 80% of the CPU requests by default.
behavior                    HorizontalPodAutoscalerBehavior  How fast to scale.

# MetricSpec: One thing that the number of pods follows.
type!                       string              Resource, ContainerResource, Pods, Object or External.
resource                    ResourceMetric      Use of a resource by the pods.
containerResource           ResourceMetric      Use of a resource by one container of the pods.
pods                        object              A metric of the pods.
object                      object              A metric of another object.
external                    object              A metric from outside.

# ResourceMetric: Use of a resource.
name!                       string              The resource: cpu or memory.
container                   string              The container, for ContainerResource.
target                      MetricTarget        What is aimed at.

# MetricTarget: What is aimed at.
type!                       string              Utilization, Value or AverageValue.
value                       quantity            The value.
averageValue                quantity            The value per pod.
averageUtilization          int32               Percentage of the requests.

# HorizontalPodAutoscalerBehavior: How fast to scale.
scaleUp                     ScalingRules        How fast to add pods.
scaleDown                   ScalingRules        How fast to remove pods.

# ScalingRules: How fast to scale in one direction.
stabilizationWindowSeconds  int32               Seconds over which the safest recommendation counts.
selectPolicy                string              Max (the default), Min or Disabled.
policies                    list(ScalingPolicy) Limits per time.
tolerance                   quantity            Deviation that is not acted upon.

# ScalingPolicy: A limit per time.
type!                       string              Pods or Percent.
value!                      int32               How many.
periodSeconds!              int32               In which time.

# HorizontalPodAutoscalerStatus: What is there.
observedGeneration          int64               Generation that this status is about.
lastScaleTime               time                When the number of pods was last changed.
currentReplicas             int32               Pods that were seen.
desiredReplicas             int32               Pods that were asked for.
currentMetrics              list(MetricStatus)  What was measured.
conditions                  list(PodCondition;type)  AbleToScale, ScalingActive and ScalingLimited.

# MetricStatus: One measurement.
type!                       string              As in the spec.
resource                    ResourceMetricStatus  Use of a resource by the pods.
containerResource           ResourceMetricStatus  Use of a resource by one container.
pods                        object              A metric of the pods.
object                      object              A metric of another object.
external                    object              A metric from outside.

# ResourceMetricStatus: Use of a resource.
name!                       string              The resource.
container                   string              The container.
current                     MetricValue         The measurement.

# MetricValue: A measurement.
value                       quantity            The value.
averageValue                quantity            The value per pod.
averageUtilization          int32               Percentage of the requests.

# HorizontalPodAutoscalerV1: Scales a workload by its CPU use.
spec                        HorizontalPodAutoscalerV1Spec  What is wanted.
status                      HorizontalPodAutoscalerV1Status  What is there.

# HorizontalPodAutoscalerV1Spec: Which workload to scale, and by what.
scaleTargetRef!             CrossVersionObjectReference  The workload.
minReplicas                 int32               The fewest pods; 1 by default.
maxReplicas!                int32               The most pods.
targetCPUUtilizationPercentage  int32           Percentage of the CPU requests to aim at; 80 by default.

# HorizontalPodAutoscalerV1Status: What is there.
observedGeneration          int64               Generation that this status is about.
lastScaleTime               time                When the number of pods was last changed.
currentReplicas!            int32               Pods that were seen.
desiredReplicas!            int32               Pods that were asked for.
currentCPUUtilizationPercentage  int32          Percentage that was measured.

# PodDisruptionBudget: How many pods voluntary disruptions may take away.
spec                        PodDisruptionBudgetSpec  What is wanted.
status                      PodDisruptionBudgetStatus  What is there.

# PodDisruptionBudgetSpec: Which pods, and how many must stay.
minAvailable                intOrString         Pods that must stay, as a number or percentage.
maxUnavailable              intOrString         Pods that may go, as a number or percentage.
selector                    LabelSelector       The pods.
unhealthyPodEvictionPolicy  string              IfHealthyBudget or AlwaysAllow, for pods that are not ready.

# PodDisruptionBudgetStatus: How many pods may go now.
observedGeneration          int64               Generation that this status is about.
disruptedPods               map(string)         Pods that are about to go, and since when.
disruptionsAllowed!         int32               Pods that may go.
currentHealthy!             int32               Healthy pods.
desiredHealthy!             int32               Healthy pods that are needed.
expectedPods!               int32               All pods that count.
conditions                  list(Condition;type)  DisruptionAllowed.

# Ingress: Leads HTTP requests from outside to Services.
spec                        IngressSpec         What is wanted.
status                      IngressStatus       What is there.

# IngressSpec: Which requests go where.
ingressClassName            string              Controller that serves the Ingress.
defaultBackend              IngressBackend      For requests that match no rule.
tls                         list(IngressTLS)    Certificates.
rules                       list(IngressRule)   Rules by host and path.

# IngressTLS: A certificate for hosts.
hosts                       list(string)        The hosts.
secretName                  string              Secret with the certificate.

# IngressRule: A rule for one host.
host                        string              The host; empty for all.
http                        HTTPIngressRuleValue  Where requests go, by path.

# HTTPIngressRuleValue: Where requests go, by path.
paths!                      list(HTTPIngressPath)  The paths.

# HTTPIngressPath: Where requests for a path go.
path                        string              The path.
pathType!                   string              Exact, Prefix or ImplementationSpecific.
backend!                    IngressBackend      Where they go.

# IngressBackend: A place requests go to.
service                     IngressServiceBackend  A port of a Service.
resource                    TypedLocalObjectReference  Another object.

# IngressServiceBackend: A port of a Service.
name!                       string              Name of the Service.
port                        ServiceBackendPort  The port.

# ServiceBackendPort atomic: A port, by name or number.
name                        string              Name of the port.
number                      int32               Number of the port.

# IngressStatus: What is there.
loadBalancer                IngressLoadBalancerStatus  State of the load balancer.

# IngressLoadBalancerStatus: State of a load balancer.
ingress                     list(LoadBalancerIngress)  Where it takes traffic.

# IngressClass: A controller that can serve Ingresses.
spec                        IngressClassSpec    Which one.

# IngressClassSpec: A controller for Ingresses.
controller                  string              Its name.
parameters                  object              An object with its settings.

# NetworkPolicy: Which traffic pods accept. This cluster stores it but does not enforce it.
spec                        NetworkPolicySpec   The policy.

# NetworkPolicySpec: Which traffic pods accept.
podSelector                 LabelSelector       The pods.
policyTypes                 list(string)        Ingress, Egress or both.
ingress                     list(object)        Traffic they accept.
egress                      list(object)        Traffic they may send.

# PolicyRule: Verbs on resources.
verbs!                      list(string)        The verbs; * for all.
apiGroups                   list(string)        The groups.
resources                   list(string)        The resources.
resourceNames               list(string)        Names of the objects; empty for all.
nonResourceURLs             list(string)        Paths that are no resources.

# Role: Rights in a namespace. This cluster stores it but grants everything to everybody.
rules                       list(PolicyRule)    The rights.

# ClusterRole: Rights in the whole cluster. This cluster stores it but grants everything to everybody.
rules                       list(PolicyRule)    The rights.
aggregationRule             object              ClusterRoles whose rights are added.

# RoleBinding: Who has the rights of a role.
subjects                    list(Subject)       Who has them.
roleRef!                    RoleRef             The role.

# ClusterRoleBinding: Who has the rights of a role in the whole cluster.
subjects                    list(Subject)       Who has them.
roleRef!                    RoleRef             The role.

# Subject atomic: A user, a group or a ServiceAccount.
kind!                       string              User, Group or ServiceAccount.
apiGroup                    string              API group of the kind.
name!                       string              Its name.
namespace                   string              Its namespace.

# RoleRef atomic: A role.
apiGroup!                   string              API group of the role.
kind!                       string              Role or ClusterRole.
name!                       string              Its name.

# SelfSubjectAccessReview: Asks whether the caller may do something.
spec                        AccessReviewSpec    The question.
status                      AccessReviewStatus  The answer.

# SubjectAccessReview: Asks whether somebody may do something.
spec                        AccessReviewSpec    The question.
status                      AccessReviewStatus  The answer.

# AccessReviewSpec: What somebody may want to do.
resourceAttributes          object              A verb on a resource.
nonResourceAttributes       object              A verb on a path.
user                        string              Who; the caller in a self review.
groups                      list(string)        Groups of the user.
uid                         string              Identity of the user.
extra                       map(list(string))   Further facts about the user.

# AccessReviewStatus: Whether it is allowed.
allowed                     boolean             It is.
denied                      boolean             It is forbidden, whoever else might allow it.
reason                      string              Why.
evaluationError             string              What went wrong.

# SelfSubjectRulesReview: Asks what the caller may do in a namespace.
spec                        RulesReviewSpec     The question.
status                      RulesReviewStatus   The answer.

# RulesReviewSpec: A question about a namespace.
namespace                   string              The namespace.

# RulesReviewStatus: What the caller may do.
resourceRules               list(PolicyRule)    Rights on resources.
nonResourceRules            list(PolicyRule)    Rights on paths.
incomplete                  boolean             There may be more.
evaluationError             string              What went wrong.

# SelfSubjectReview: Asks who the caller is.
status                      SelfSubjectReviewStatus  The answer.

# SelfSubjectReviewStatus: Who the caller is.
userInfo                    UserInfo            The caller.

# UserInfo: A user.
username                    string              The name.
uid                         string              The identity.
groups                      list(string)        The groups.
extra                       map(list(string))   Further facts.

# TokenReview: Asks whose token this is.
spec                        TokenReviewSpec     The question.
status                      TokenReviewStatus   The answer.

# TokenReviewSpec: A token.
token                       string              The token.
audiences                   list(string)        For whom it should be.

# TokenReviewStatus: Whose token it is.
authenticated               boolean             It is valid.
user                        UserInfo            Its user.
audiences                   list(string)        For whom it is.
error                       string              What went wrong.

# CustomResourceDefinition: Adds a kind of objects to the API.
spec!                       CustomResourceDefinitionSpec  The kind.
status                      CustomResourceDefinitionStatus  Whether it is served.

# CustomResourceDefinitionSpec: A kind of objects.
group!                      string              API group of the kind.
names!                      CustomResourceDefinitionNames  Its names.
scope!                      string              Namespaced or Cluster.
versions!                   list(CustomResourceDefinitionVersion)  Its versions; exactly one is stored.
conversion                  CustomResourceConversion  How versions are converted.
preserveUnknownFields       boolean             Keep fields that no schema knows; false for all but old definitions.

# CustomResourceDefinitionNames: Names of a kind.
plural!                     string              Name in paths.
singular                    string              Name of one object; the kind in lower case by default.
shortNames                  list(string)        Abbreviations.
kind!                       string              Name in manifests.
listKind                    string              Name of lists; the kind followed by List by default.
categories                  list(string)        Groups of kinds that it belongs to, such as all.

# CustomResourceConversion: How versions are converted.
strategy!                   string              None, which changes nothing but apiVersion.
webhook                     object              Settings of a webhook, which this server does not call.

# CustomResourceDefinitionVersion: One version of a kind.
name!                       string              Name of the version, such as v1alpha1.
served!                     boolean             It can be used.
storage!                    boolean             Objects are stored in it.
deprecated                  boolean             Users are warned.
deprecationWarning          string              The warning.
schema                      CustomResourceValidation  What objects may hold.
subresources                CustomResourceSubresources  Its sub-resources.
additionalPrinterColumns    list(CustomResourceColumnDefinition)  Columns that kubectl prints.
selectableFields            list(SelectableField)  Fields that objects can be selected by.

# CustomResourceValidation: What objects may hold.
openAPIV3Schema             object              A structural schema.

# CustomResourceSubresources: The sub-resources of a version.
status                      object              The status is written apart from the rest.
scale                       CustomResourceSubresourceScale  Objects can be scaled.

# CustomResourceSubresourceScale: Where the numbers for scaling are.
specReplicasPath!           string              Path of the wanted number, below .spec.
statusReplicasPath!         string              Path of the number that is there, below .status.
labelSelectorPath           string              Path of the selector of the pods, as text.

# CustomResourceColumnDefinition: A column that kubectl prints.
name!                       string              Heading.
type!                       string              string, integer, number, boolean or date.
format                      string              How the value is written.
description                 string              What the column shows.
priority                    int32               0 for columns that are always shown.
jsonPath!                   string              Where the value is.

# SelectableField: A field that objects can be selected by.
jsonPath!                   string              Where the value is.

# CustomResourceDefinitionStatus: Whether a kind is served.
conditions                  list(CustomResourceCondition;type)  NamesAccepted, Established and Terminating.
acceptedNames               CustomResourceDefinitionNames  The names it is served under.
storedVersions              list(string)        Versions that objects may be stored in.

# CustomResourceCondition: One aspect of a definition's state.
type!                       string              Which aspect.
status!                     string              True, False or Unknown.
lastTransitionTime          time                When the status last changed.
reason                      string              Why, in one word.
message                     string              Why, for people.
"""
