"""Containers with their probes, hooks and environment, in the notation of `prograde.api.podschema.notation`."""

TEXT = """
# Container: One container of a pod.
name!                       string              Name of the container, unique in the pod; a DNS label.
image                       string              Image to run.
command                     list(string)        Program to run in place of the image's entry point; $(NAME) is
    replaced by that environment variable.
args                        list(string)        Arguments in place of those of the image; $(NAME) is replaced as in
    command.
workingDir                  string              Directory to start in; that of the image by default.
ports                       list(ContainerPort;containerPort,protocol)  Ports the container listens on. Listing one
    documents it and gives it a name; leaving it out does not close it.
envFrom                     list(EnvFromSource) ConfigMaps and Secrets whose keys all become environment variables;
    later ones win, and env wins over them.
env                         list(EnvVar;name)   Environment variables.
resources                   ResourceRequirements  Resources to reserve for the container and to limit it to.
resizePolicy                list(ContainerResizePolicy)  What a change of the resources of a running container does.
restartPolicy               string              Overrides the policy of the pod; Always makes an init container a
    sidecar.
restartPolicyRules          list(ContainerRestartRule)  Rules by exit code that go before restartPolicy; the first
    match counts.
volumeMounts                list(VolumeMount;mountPath)  Volumes of the pod to mount into the file system.
volumeDevices               list(VolumeDevice;devicePath)  Volumes of the pod to use as block devices.
livenessProbe               Probe               Asks whether the container is alive; it is restarted if not.
readinessProbe              Probe               Asks whether the container can serve; it gets no traffic from Services
    if not.
startupProbe                Probe               Asks whether the container has started; the other probes wait for it.
lifecycle                   Lifecycle           Actions at the start and at the end of the container.
terminationMessagePath      string              File in which the container leaves its last words;
    /dev/termination-log by default.
terminationMessagePolicy    string              File, or FallbackToLogsOnError to take the end of the log after a
    failure.
imagePullPolicy             string              Always, Never or IfNotPresent. Always by default for the tag latest or
    none.
securityContext             SecurityContext     Security settings; they go before those of the pod.
stdin                       boolean             Keep standard input open.
stdinOnce                   boolean             Close standard input after the first client detaches.
tty                         boolean             Give the container a terminal; needs stdin.

# EphemeralContainer: A container added to a running pod for debugging.
+Container
targetContainerName         string              Container whose process namespace is shared.

# ContainerPort: A port a container listens on.
containerPort!              int32               Number of the port, 1 to 65535.
name                        string              Name by which Services and probes may refer to the port; unique in the
    pod.
hostPort                    int32               Port of the node that leads to it; best left out.
protocol                    string=TCP          TCP, UDP or SCTP.
hostIP                      string              Address of the node that hostPort is bound to.

# EnvFromSource: A ConfigMap or Secret whose keys all become environment variables.
prefix                      string              Text put before each key.
configMapRef                ConfigMapEnvSource  The ConfigMap.
secretRef                   SecretEnvSource     The Secret.

# ConfigMapEnvSource atomic: A ConfigMap as a source of environment variables.
name                        string=             Name of the ConfigMap.
optional                    boolean             Whether the ConfigMap may be absent.

# SecretEnvSource atomic: A Secret as a source of environment variables.
name                        string=             Name of the Secret.
optional                    boolean             Whether the Secret may be absent.

# EnvVar: An environment variable, with a value or with a source of one.
name!                       string              Name of the variable.
value                       string              Its value; $(NAME) is replaced by a variable defined before, $$ is a
    dollar sign.
valueFrom                   EnvVarSource        Where the value comes from, in place of value.

# EnvVarSource: Where the value of an environment variable comes from; exactly one source is set.
fieldRef                    ObjectFieldSelector     A field of the pod.
resourceFieldRef            ResourceFieldSelector   A limit or request of a container.
configMapKeyRef             ConfigMapKeySelector    A key of a ConfigMap.
secretKeyRef                SecretKeySelector       A key of a Secret.
fileKeyRef                  FileKeySelector         A key of an environment file in a volume.

# ObjectFieldSelector atomic: A field of the pod.
apiVersion                  string              Version the path is written for; v1 by default.
fieldPath!                  string              Path of the field, such as metadata.name or status.podIP.

# ResourceFieldSelector atomic: A limit or request of a container.
containerName               string              The container; needed in volumes, the same container in variables.
resource!                   string              Which one, such as limits.cpu or requests.memory.
divisor                     quantity            Unit of the result; 1 by default.

# ConfigMapKeySelector atomic: A key of a ConfigMap.
name                        string=             Name of the ConfigMap.
key!                        string              The key.
optional                    boolean             Whether the ConfigMap or the key may be absent.

# SecretKeySelector atomic: A key of a Secret.
name                        string=             Name of the Secret.
key!                        string              The key.
optional                    boolean             Whether the Secret or the key may be absent.

# FileKeySelector atomic: A key of an environment file in a volume.
volumeName!                 string              Volume that holds the file.
path!                       string              Path of the file in the volume.
key!                        string              The key in the file.
optional                    boolean=false       Whether the file or the key may be absent.

# ContainerResizePolicy: What a change of one resource does to a running container.
resourceName!               string              The resource: cpu or memory.
restartPolicy!              string              NotRequired (the default) or RestartContainer.

# ContainerRestartRule: What happens when a container ends in a certain way.
action!                     string              Restart.
exitCodes                   ContainerRestartRuleOnExitCodes  Exit codes the rule is for.

# ContainerRestartRuleOnExitCodes: A set of exit codes.
operator!                   string              In, or NotIn for all others.
values                      set(int32)          The exit codes, at most 255 of them.

# VolumeMount: Where a volume appears in the file system of a container.
name!                       string              Name of a volume of the pod.
readOnly                    boolean             Mount it read-only.
recursiveReadOnly           string              Whether mounts below are read-only too: Disabled, IfPossible or
    Enabled.
mountPath!                  string              Path in the container; must not contain a colon.
subPath                     string              Path in the volume to mount; its root by default.
mountPropagation            string              Whether mounts pass between container and node: None, HostToContainer
    or Bidirectional.
subPathExpr                 string              As subPath, with $(NAME) replaced by environment variables.

# VolumeDevice: Where a volume appears as a block device.
name!                       string              Name of a volume of the pod.
devicePath!                 string              Path of the device in the container.

# ProbeHandler: How to ask a container; exactly one of the ways is set.
exec                        ExecAction          Run a command in the container.
httpGet                     HTTPGetAction       Send an HTTP request.
tcpSocket                   TCPSocketAction     Open a TCP connection.
grpc                        GRPCAction          Call the gRPC health service.

# Probe: A question asked to a container again and again.
+ProbeHandler
initialDelaySeconds         int32               Seconds to wait after the start of the container.
timeoutSeconds              int32               Seconds after which a try has failed; 1 by default.
periodSeconds               int32               Seconds between two tries; 10 by default.
successThreshold            int32               Successes in a row that end a failure; 1 by default.
failureThreshold            int32               Failures in a row that count as one; 3 by default.
terminationGracePeriodSeconds  int64            Overrides the grace period of the pod when this probe ends the
    container.

# Lifecycle: Actions at the start and at the end of a container.
postStart                   LifecycleHandler    What to do right after the start; its failure ends the container.
preStop                     LifecycleHandler    What to do before the container is told to stop.
stopSignal                  string              Signal to stop the container with; needs the os of the pod to be set.

# LifecycleHandler: An action; exactly one of the ways is set.
exec                        ExecAction          Run a command in the container.
httpGet                     HTTPGetAction       Send an HTTP request.
tcpSocket                   TCPSocketAction     Not supported; kept for old objects.
sleep                       SleepAction         Wait.

# ExecAction: A command to run in the container.
command                     list(string)        Program and arguments; not passed through a shell. Exit code 0 is
    success.

# HTTPGetAction: An HTTP GET request; a status from 200 to 399 is success.
path                        string              Path to ask for.
port!                       intOrString         Number or name of the port.
host                        string              Host to connect to; the pod by default.
scheme                      string              HTTP (the default) or HTTPS.
httpHeaders                 list(HTTPHeader)    Headers to send.

# HTTPHeader: A header of a request.
name!                       string              Name of the header.
value!                      string              Its value.

# TCPSocketAction: A TCP connection to open.
port!                       intOrString         Number or name of the port.
host                        string              Host to connect to; the pod by default.

# GRPCAction: A call to the gRPC health service.
port!                       int32               Number of the port.
service                     string=             Name of the service to ask for.

# SleepAction: A wait.
seconds!                    int64               Seconds to wait.

# SecurityContext: Security settings of a container.
capabilities                Capabilities        Capabilities to add to and drop from those of the runtime.
privileged                  boolean             Give the container the rights of root on the node.
seLinuxOptions              SELinuxOptions      SELinux context of the container.
windowsOptions              WindowsSecurityContextOptions  Settings for Windows containers.
runAsUser                   int64               User ID to run as; that of the image by default.
runAsGroup                  int64               Group ID to run as.
runAsNonRoot                boolean             Refuse to start the container if it would run as root.
readOnlyRootFilesystem      boolean             Make the root file system read-only.
allowPrivilegeEscalation    boolean             Whether a process may gain more rights than its parent has.
procMount                   string              How /proc is mounted: Default or Unmasked.
seccompProfile              SeccompProfile      Seccomp profile of the container.
appArmorProfile             AppArmorProfile     AppArmor profile of the container.

# Capabilities: Linux capabilities to add and to drop.
add                         list(string)        Capabilities to add.
drop                        list(string)        Capabilities to drop; ALL drops every one.
"""
