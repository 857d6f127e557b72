"""The fields of pod templates and canary steps in the order in which Argo Rollouts serialises them.

Hashes are taken over that serialisation, so this table is frozen history, not a schema: an order that changes here
changes hashes, and changed hashes redeploy workloads. When Kubernetes adds a field, add it at the place where Go's
struct has it; templates that do not use it keep their hash. (What may be written in a template is in `podschema`.)

One line per type, continued lines are indented. Behind a field:

==========  ==========================================================================================================
``*``       a pointer: written whenever it is present, even if 0, false or empty. Without mark a scalar, list or map is
            left out when it is empty; an object is written whenever it is present.
``!``       always written: an object as ``{}``, a text as ``""``
``!0``      always written, as 0 when absent
``!~``      always written, as null when absent
``:Type``   holds an object of that type, or a list of them; ``Quantity``, ``Quantities``, ``StringMatches`` (a map of
            StringMatch) and ``Raw`` are known to `canonical`
``+Type``   the fields of that type at this place
==========  ==========================================================================================================
"""

from typing import Final, NamedTuple

__all__ = ["TYPES", "Field"]


class Field(NamedTuple):
    """One field of a type."""

    name: str
    type: str
    """The name of the type of an object or of the objects of a list, empty for anything else."""
    mark: str
    """``*``, ``!``, ``!0``, ``!~`` or nothing."""


_TEXT: Final = """\
PodTemplateSpec: metadata!:ObjectMeta spec!:PodSpec
ObjectMeta: name generateName namespace labels annotations finalizers
LabelSelector: matchLabels matchExpressions:LabelSelectorRequirement
LabelSelectorRequirement: key! operator! values
PodSpec: volumes:Volume initContainers:Container containers!~:Container ephemeralContainers:EphemeralContainer
    restartPolicy terminationGracePeriodSeconds* activeDeadlineSeconds* dnsPolicy nodeSelector serviceAccountName
    serviceAccount automountServiceAccountToken* nodeName hostNetwork hostPID hostIPC shareProcessNamespace*
    securityContext:PodSecurityContext imagePullSecrets:LocalObjectReference hostname subdomain affinity:Affinity
    schedulerName tolerations:Toleration hostAliases:HostAlias priorityClassName priority* dnsConfig:PodDNSConfig
    readinessGates:PodReadinessGate runtimeClassName* enableServiceLinks* preemptionPolicy* overhead:Quantities
    topologySpreadConstraints:TopologySpreadConstraint setHostnameAsFQDN* os:PodOS hostUsers*
    schedulingGates:PodSchedulingGate resourceClaims:PodResourceClaim resources:ResourceRequirements hostnameOverride*
Volume: name! +VolumeSource
Container: name! image command args workingDir ports:ContainerPort envFrom:EnvFromSource env:EnvVar
    resources!:ResourceRequirements resizePolicy:ContainerResizePolicy restartPolicy*
    restartPolicyRules:ContainerRestartRule volumeMounts:VolumeMount volumeDevices:VolumeDevice livenessProbe:Probe
    readinessProbe:Probe startupProbe:Probe lifecycle:Lifecycle terminationMessagePath terminationMessagePolicy
    imagePullPolicy securityContext:SecurityContext stdin stdinOnce tty
EphemeralContainer: +EphemeralContainerCommon targetContainerName
PodSecurityContext: seLinuxOptions:SELinuxOptions windowsOptions:WindowsSecurityContextOptions runAsUser* runAsGroup*
    runAsNonRoot* supplementalGroups supplementalGroupsPolicy* fsGroup* sysctls:Sysctl fsGroupChangePolicy*
    seccompProfile:SeccompProfile appArmorProfile:AppArmorProfile seLinuxChangePolicy*
LocalObjectReference: name
Affinity: nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
Toleration: key operator value effect tolerationSeconds*
HostAlias: ip! hostnames
PodDNSConfig: nameservers searches options:PodDNSConfigOption
PodReadinessGate: conditionType!
TopologySpreadConstraint: maxSkew!0 topologyKey! whenUnsatisfiable! labelSelector:LabelSelector minDomains*
    nodeAffinityPolicy* nodeTaintsPolicy* matchLabelKeys
PodOS: name!
PodSchedulingGate: name!
PodResourceClaim: name! resourceClaimName* resourceClaimTemplateName*
ResourceRequirements: limits:Quantities requests:Quantities claims:ResourceClaim
VolumeSource: hostPath:HostPathVolumeSource emptyDir:EmptyDirVolumeSource
    gcePersistentDisk:GCEPersistentDiskVolumeSource awsElasticBlockStore:AWSElasticBlockStoreVolumeSource
    gitRepo:GitRepoVolumeSource secret:SecretVolumeSource nfs:NFSVolumeSource iscsi:ISCSIVolumeSource
    glusterfs:GlusterfsVolumeSource persistentVolumeClaim:PersistentVolumeClaimVolumeSource rbd:RBDVolumeSource
    flexVolume:FlexVolumeSource cinder:CinderVolumeSource cephfs:CephFSVolumeSource flocker:FlockerVolumeSource
    downwardAPI:DownwardAPIVolumeSource fc:FCVolumeSource azureFile:AzureFileVolumeSource
    configMap:ConfigMapVolumeSource vsphereVolume:VsphereVirtualDiskVolumeSource quobyte:QuobyteVolumeSource
    azureDisk:AzureDiskVolumeSource photonPersistentDisk:PhotonPersistentDiskVolumeSource
    projected:ProjectedVolumeSource portworxVolume:PortworxVolumeSource scaleIO:ScaleIOVolumeSource
    storageos:StorageOSVolumeSource csi:CSIVolumeSource ephemeral:EphemeralVolumeSource image:ImageVolumeSource
ContainerPort: name hostPort containerPort!0 protocol hostIP
EnvFromSource: prefix configMapRef:ConfigMapEnvSource secretRef:SecretEnvSource
EnvVar: name! value valueFrom:EnvVarSource
ContainerResizePolicy: resourceName! restartPolicy!
ContainerRestartRule: action exitCodes:ContainerRestartRuleOnExitCodes
VolumeMount: name! readOnly recursiveReadOnly* mountPath! subPath mountPropagation* subPathExpr
VolumeDevice: name! devicePath!
Probe: +ProbeHandler initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold
    terminationGracePeriodSeconds*
Lifecycle: postStart:LifecycleHandler preStop:LifecycleHandler stopSignal*
SecurityContext: capabilities:Capabilities privileged* seLinuxOptions:SELinuxOptions
    windowsOptions:WindowsSecurityContextOptions runAsUser* runAsGroup* runAsNonRoot* readOnlyRootFilesystem*
    allowPrivilegeEscalation* procMount* seccompProfile:SeccompProfile appArmorProfile:AppArmorProfile
EphemeralContainerCommon: name! image command args workingDir ports:ContainerPort envFrom:EnvFromSource env:EnvVar
    resources!:ResourceRequirements resizePolicy:ContainerResizePolicy restartPolicy*
    restartPolicyRules:ContainerRestartRule volumeMounts:VolumeMount volumeDevices:VolumeDevice livenessProbe:Probe
    readinessProbe:Probe startupProbe:Probe lifecycle:Lifecycle terminationMessagePath terminationMessagePolicy
    imagePullPolicy securityContext:SecurityContext stdin stdinOnce tty
SELinuxOptions: user role type level
WindowsSecurityContextOptions: gmsaCredentialSpecName* gmsaCredentialSpec* runAsUserName* hostProcess*
Sysctl: name! value!
SeccompProfile: type! localhostProfile*
AppArmorProfile: type! localhostProfile*
NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
    preferredDuringSchedulingIgnoredDuringExecution:PreferredSchedulingTerm
PodAffinity: requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm
    preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm
PodAntiAffinity: requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm
    preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm
PodDNSConfigOption: name value*
ResourceClaim: name! request
HostPathVolumeSource: path! type*
EmptyDirVolumeSource: medium sizeLimit:Quantity
GCEPersistentDiskVolumeSource: pdName! fsType partition readOnly
AWSElasticBlockStoreVolumeSource: volumeID! fsType partition readOnly
GitRepoVolumeSource: repository! revision directory
SecretVolumeSource: secretName items:KeyToPath defaultMode* optional*
NFSVolumeSource: server! path! readOnly
ISCSIVolumeSource: targetPortal! iqn! lun!0 iscsiInterface fsType readOnly portals chapAuthDiscovery chapAuthSession
    secretRef:LocalObjectReference initiatorName*
GlusterfsVolumeSource: endpoints! path! readOnly
PersistentVolumeClaimVolumeSource: claimName! readOnly
RBDVolumeSource: monitors!~ image! fsType pool user keyring secretRef:LocalObjectReference readOnly
FlexVolumeSource: driver! fsType secretRef:LocalObjectReference readOnly options
CinderVolumeSource: volumeID! fsType readOnly secretRef:LocalObjectReference
CephFSVolumeSource: monitors!~ path user secretFile secretRef:LocalObjectReference readOnly
FlockerVolumeSource: datasetName datasetUUID
DownwardAPIVolumeSource: items:DownwardAPIVolumeFile defaultMode*
FCVolumeSource: targetWWNs lun* fsType readOnly wwids
AzureFileVolumeSource: secretName! shareName! readOnly
ConfigMapVolumeSource: +LocalObjectReference items:KeyToPath defaultMode* optional*
VsphereVirtualDiskVolumeSource: volumePath! fsType storagePolicyName storagePolicyID
QuobyteVolumeSource: registry! volume! readOnly user group tenant
AzureDiskVolumeSource: diskName! diskURI! cachingMode* fsType* readOnly* kind*
PhotonPersistentDiskVolumeSource: pdID! fsType
ProjectedVolumeSource: sources!~:VolumeProjection defaultMode*
PortworxVolumeSource: volumeID! fsType readOnly
ScaleIOVolumeSource: gateway! system! secretRef!~:LocalObjectReference sslEnabled protectionDomain storagePool
    storageMode volumeName fsType readOnly
StorageOSVolumeSource: volumeName volumeNamespace fsType readOnly secretRef:LocalObjectReference
CSIVolumeSource: driver! readOnly* fsType* volumeAttributes nodePublishSecretRef:LocalObjectReference
EphemeralVolumeSource: volumeClaimTemplate:PersistentVolumeClaimTemplate
ImageVolumeSource: reference pullPolicy
ConfigMapEnvSource: +LocalObjectReference optional*
SecretEnvSource: +LocalObjectReference optional*
EnvVarSource: fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector configMapKeyRef:ConfigMapKeySelector
    secretKeyRef:SecretKeySelector fileKeyRef:FileKeySelector
ContainerRestartRuleOnExitCodes: operator values
ProbeHandler: exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction grpc:GRPCAction
LifecycleHandler: exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction sleep:SleepAction
Capabilities: add drop
NodeSelector: nodeSelectorTerms!~:NodeSelectorTerm
PreferredSchedulingTerm: weight!0 preference!:NodeSelectorTerm
PodAffinityTerm: labelSelector:LabelSelector namespaces topologyKey! namespaceSelector:LabelSelector matchLabelKeys
    mismatchLabelKeys
WeightedPodAffinityTerm: weight!0 podAffinityTerm!:PodAffinityTerm
KeyToPath: key! path! mode*
DownwardAPIVolumeFile: path! fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector mode*
VolumeProjection: secret:SecretProjection downwardAPI:DownwardAPIProjection configMap:ConfigMapProjection
    serviceAccountToken:ServiceAccountTokenProjection clusterTrustBundle:ClusterTrustBundleProjection
    podCertificate:PodCertificateProjection
PersistentVolumeClaimTemplate: metadata!:ObjectMeta spec!:PersistentVolumeClaimSpec
ObjectFieldSelector: apiVersion fieldPath!
ResourceFieldSelector: containerName resource! divisor!:Quantity
ConfigMapKeySelector: +LocalObjectReference key! optional*
SecretKeySelector: +LocalObjectReference key! optional*
FileKeySelector: volumeName! path! key! optional*
ExecAction: command
HTTPGetAction: path port!0 host scheme httpHeaders:HTTPHeader
TCPSocketAction: port!0 host
GRPCAction: port!0 service!~
SleepAction: seconds!0
NodeSelectorTerm: matchExpressions:NodeSelectorRequirement matchFields:NodeSelectorRequirement
SecretProjection: +LocalObjectReference items:KeyToPath optional*
DownwardAPIProjection: items:DownwardAPIVolumeFile
ConfigMapProjection: +LocalObjectReference items:KeyToPath optional*
ServiceAccountTokenProjection: audience expirationSeconds* path!
ClusterTrustBundleProjection: name* signerName* labelSelector:LabelSelector optional* path!
PodCertificateProjection: signerName keyType maxExpirationSeconds* credentialBundlePath keyPath certificateChainPath
PersistentVolumeClaimSpec: accessModes selector:LabelSelector resources!:VolumeResourceRequirements volumeName
    storageClassName* volumeMode* dataSource:TypedLocalObjectReference dataSourceRef:TypedObjectReference
    volumeAttributesClassName*
HTTPHeader: name! value!
NodeSelectorRequirement: key! operator! values
VolumeResourceRequirements: limits:Quantities requests:Quantities
TypedLocalObjectReference: apiGroup!~ kind! name!
TypedObjectReference: apiGroup!~ kind! name! namespace*
"""

_STEPS_TEXT: Final = """\
CanaryStep: setWeight* pause:RolloutPause experiment:ExperimentStep analysis:RolloutAnalysis
    setCanaryScale:SetCanaryScale setHeaderRoute:SetHeaderRoute setMirrorRoute:SetMirrorRoute plugin:PluginStep
RolloutPause: duration*
RolloutAnalysis: templates:AnalysisTemplateRef args:AnalysisArgument dryRun:DryRun
    measurementRetention:MeasurementRetention analysisRunMetadata:Metadata
AnalysisTemplateRef: templateName! clusterScope*
AnalysisArgument: name! value valueFrom:ValueFrom
ValueFrom: podTemplateHashValue* fieldRef:FieldRef
FieldRef: fieldPath!
DryRun: metricName!
MeasurementRetention: metricName! limit!0
Metadata: labels annotations
ExperimentStep: templates!~:ExperimentStepTemplate duration analyses:ExperimentStepAnalysis dryRun:DryRun
    analysisRunMetadata!:Metadata scaleDownDelaySeconds*
ExperimentStepTemplate: name! specRef! replicas* metadata!:Metadata selector:LabelSelector weight*
    service:ExperimentService
ExperimentService: name
ExperimentStepAnalysis: name! templateName! clusterScope* args:AnalysisArgument requiredForCompletion
SetCanaryScale: weight* replicas* matchTrafficWeight
SetHeaderRoute: name match:HeaderRoutingMatch
HeaderRoutingMatch: headerName! headerValue!~:StringMatch
SetMirrorRoute: name! match:RouteMatch percentage*
RouteMatch: method:StringMatch path:StringMatch headers:StringMatches
StringMatch: exact prefix regex
PluginStep: name! config:Raw
"""

_MARKS: Final = ("!0", "!~", "!", "*")


def _parse(text: str) -> dict[str, tuple[Field, ...]]:
    """Read the table, types inlined."""
    words: dict[str, list[str]] = {}
    for line in text.replace("\n    ", " ").splitlines():
        name, _, fields = line.partition(":")
        words[name] = fields.split()

    def fields_of(name: str) -> list[Field]:
        fields: list[Field] = []
        for word in words[name]:
            if word.startswith("+"):
                fields.extend(fields_of(word[1:]))
                continue
            marked, _, type_ = word.partition(":")
            mark = next((mark for mark in _MARKS if marked.endswith(mark)), "")
            fields.append(Field(marked.removesuffix(mark), type_, mark))
        return fields

    return {name: tuple(fields_of(name)) for name in words}


TYPES: Final = _parse(_TEXT + _STEPS_TEXT)
"""The fields of each type, in order."""
