"""Volumes and their sources, in the notation of `prograde.api.podschema.notation`."""

TEXT = """
# VolumeSource: Where the files of a volume come from; exactly one source is set.
hostPath                    HostPathVolumeSource               A file or directory of the node.
emptyDir                    EmptyDirVolumeSource               An empty directory that lives as long as the pod.
gcePersistentDisk           GCEPersistentDiskVolumeSource      A Google disk; old, use a claim.
awsElasticBlockStore        AWSElasticBlockStoreVolumeSource   An Amazon disk; old, use a claim.
gitRepo                     GitRepoVolumeSource                A clone of a Git repository; old, use an init
    container.
secret                      SecretVolumeSource                 The keys of a Secret, as files.
nfs                         NFSVolumeSource                    A directory of an NFS server.
iscsi                       ISCSIVolumeSource                  An iSCSI disk.
glusterfs                   GlusterfsVolumeSource              A Glusterfs volume; no longer supported.
persistentVolumeClaim       PersistentVolumeClaimVolumeSource  A PersistentVolumeClaim of the same namespace.
rbd                         RBDVolumeSource                    A Ceph block device; no longer supported.
flexVolume                  FlexVolumeSource                   A volume of a FlexVolume driver; old, use CSI.
cinder                      CinderVolumeSource                 An OpenStack disk; old, use a claim.
cephfs                      CephFSVolumeSource                 A Ceph file system; no longer supported.
flocker                     FlockerVolumeSource                A Flocker volume; no longer supported.
downwardAPI                 DownwardAPIVolumeSource            Fields of the pod, as files.
fc                          FCVolumeSource                     A Fibre Channel disk.
azureFile                   AzureFileVolumeSource              An Azure file share; old, use a claim.
configMap                   ConfigMapVolumeSource              The keys of a ConfigMap, as files.
vsphereVolume               VsphereVirtualDiskVolumeSource     A vSphere disk; old, use a claim.
quobyte                     QuobyteVolumeSource                A Quobyte volume; no longer supported.
azureDisk                   AzureDiskVolumeSource              An Azure disk; old, use a claim.
photonPersistentDisk        PhotonPersistentDiskVolumeSource   A Photon disk; no longer supported.
projected                   ProjectedVolumeSource              Several sources in one directory.
portworxVolume              PortworxVolumeSource               A Portworx volume; old, use a claim.
scaleIO                     ScaleIOVolumeSource                A ScaleIO volume; no longer supported.
storageos                   StorageOSVolumeSource              A StorageOS volume; no longer supported.
csi                         CSIVolumeSource                    A volume that a CSI driver makes for the pod.
ephemeral                   EphemeralVolumeSource              A claim that is made for the pod and removed with it.
image                       ImageVolumeSource                  The files of an OCI image or artifact, read-only.

# Volume: Files that the containers of a pod may mount; without a source it is an empty directory.
name!                       string              Name of the volume, unique in the pod; a DNS label.
+VolumeSource

# HostPathVolumeSource: A file or directory of the node.
path!                       string              Path on the node.
type                        string              What must be there or is made: DirectoryOrCreate, Directory,
    FileOrCreate, File, Socket, CharDevice or BlockDevice; empty checks nothing.

# EmptyDirVolumeSource: An empty directory that lives as long as the pod.
medium                      string              Memory for a file system in memory; empty for the disk of the node.
sizeLimit                   quantity            The most it may hold.

# GCEPersistentDiskVolumeSource: A Google disk.
pdName!                     string              Name of the disk.
fsType                      string              File system, such as ext4.
partition                   int32               Partition to mount; absent means the whole disk.
readOnly                    boolean             Mount it read-only.

# AWSElasticBlockStoreVolumeSource: An Amazon disk.
volumeID!                   string              ID of the disk.
fsType                      string              File system, such as ext4.
partition                   int32               Partition to mount; absent means the whole disk.
readOnly                    boolean             Mount it read-only.

# GitRepoVolumeSource: A clone of a Git repository.
repository!                 string              URL of the repository.
revision                    string              Commit to check out.
directory                   string              Directory to clone into; must not contain "..".

# SecretVolumeSource: The keys of a Secret, as files.
secretName                  string              Name of the Secret.
items                       list(KeyToPath)     Keys to show, and where; absent shows all.
defaultMode                 int32               Permissions of the files, 0 to 0777; 0644 by default.
optional                    boolean             Whether the Secret or its keys may be absent.

# KeyToPath: A key and the file it becomes.
key!                        string              The key.
path!                       string              Path of the file in the volume; relative, without "..".
mode                        int32               Permissions of the file; defaultMode by default.

# NFSVolumeSource: A directory of an NFS server.
server!                     string              Host name or address of the server.
path!                       string              Path the server exports.
readOnly                    boolean             Mount it read-only.

# ISCSIVolumeSource: An iSCSI disk.
targetPortal!               string              Address of the target, with a port unless it is 860 or 3260.
iqn!                        string              Qualified name of the target.
lun!                        int32               Number of the logical unit.
iscsiInterface              string              Interface to use; default (TCP) by default.
fsType                      string              File system, such as ext4.
readOnly                    boolean             Mount it read-only.
portals                     list(string)        Further addresses of the target.
chapAuthDiscovery           boolean             Authenticate the discovery with CHAP.
chapAuthSession             boolean             Authenticate the session with CHAP.
secretRef                   LocalObjectReference  Secret with the CHAP credentials.
initiatorName               string              Name of the initiator; makes a new interface for this volume.

# GlusterfsVolumeSource: A Glusterfs volume.
endpoints!                  string              Endpoints object that lists the servers.
path!                       string              Name of the volume.
readOnly                    boolean             Mount it read-only.

# PersistentVolumeClaimVolumeSource: A PersistentVolumeClaim of the same namespace.
claimName!                  string              Name of the claim.
readOnly                    boolean             Mount it read-only.

# RBDVolumeSource: A Ceph block device.
monitors!                   list(string)        Addresses of the monitors.
image!                      string              Name of the image.
fsType                      string              File system, such as ext4.
pool                        string              Name of the pool; rbd by default.
user                        string              User to authenticate as; admin by default.
keyring                     string              Key ring of the user; /etc/ceph/keyring by default.
secretRef                   LocalObjectReference  Secret with the credentials, in place of the key ring.
readOnly                    boolean             Mount it read-only.

# FlexVolumeSource: A volume of a FlexVolume driver.
driver!                     string              Name of the driver.
fsType                      string              File system, such as ext4.
secretRef                   LocalObjectReference  Secret passed to the driver.
readOnly                    boolean             Mount it read-only.
options                     map(string)         Options passed to the driver.

# CinderVolumeSource: An OpenStack disk.
volumeID!                   string              ID of the disk.
fsType                      string              File system, such as ext4.
readOnly                    boolean             Mount it read-only.
secretRef                   LocalObjectReference  Secret with the credentials.

# CephFSVolumeSource: A Ceph file system.
monitors!                   list(string)        Addresses of the monitors.
path                        string              Directory to mount; / by default.
user                        string              User to authenticate as; admin by default.
secretFile                  string              Key ring of the user; /etc/ceph/user.secret by default.
secretRef                   LocalObjectReference  Secret with the credentials, in place of the key ring.
readOnly                    boolean             Mount it read-only.

# FlockerVolumeSource: A Flocker volume.
datasetName                 string              Name of the data set.
datasetUUID                 string              Identity of the data set.

# DownwardAPIVolumeSource: Fields of the pod, as files.
items                       list(DownwardAPIVolumeFile)  The files.
defaultMode                 int32               Permissions of the files, 0 to 0777; 0644 by default.

# DownwardAPIVolumeFile: A file with a field of the pod or a resource of a container.
path!                       string              Path of the file in the volume; relative, without "..".
fieldRef                    ObjectFieldSelector    A field of the pod: labels, annotations, name, namespace or uid.
resourceFieldRef            ResourceFieldSelector  A limit or request of a container.
mode                        int32               Permissions of the file; defaultMode by default.

# FCVolumeSource: A Fibre Channel disk.
targetWWNs                  list(string)        World wide names of the targets.
lun                         int32               Number of the logical unit.
fsType                      string              File system, such as ext4.
readOnly                    boolean             Mount it read-only.
wwids                       list(string)        World wide identifiers, in place of targetWWNs and lun.

# AzureFileVolumeSource: An Azure file share.
secretName!                 string              Secret with the name and key of the storage account.
shareName!                  string              Name of the share.
readOnly                    boolean             Mount it read-only.

# ConfigMapVolumeSource: The keys of a ConfigMap, as files.
name                        string=             Name of the ConfigMap.
items                       list(KeyToPath)     Keys to show, and where; absent shows all.
defaultMode                 int32               Permissions of the files, 0 to 0777; 0644 by default.
optional                    boolean             Whether the ConfigMap or its keys may be absent.

# VsphereVirtualDiskVolumeSource: A vSphere disk.
volumePath!                 string              Path of the disk.
fsType                      string              File system, such as ext4.
storagePolicyName           string              Name of the storage policy.
storagePolicyID             string              ID of the storage policy.

# QuobyteVolumeSource: A Quobyte volume.
registry!                   string              Addresses of the registries, separated by commas.
volume!                     string              Name of the volume.
readOnly                    boolean             Mount it read-only.
user                        string              User to map accesses to.
group                       string              Group to map accesses to.
tenant                      string              Tenant that owns the volume.

# AzureDiskVolumeSource: An Azure disk.
diskName!                   string              Name of the disk.
diskURI!                    string              URI of the disk.
cachingMode                 string              None, ReadOnly or ReadWrite.
fsType                      string=ext4         File system.
readOnly                    boolean=false       Mount it read-only.
kind                        string              Shared, Dedicated or Managed.

# PhotonPersistentDiskVolumeSource: A Photon disk.
pdID!                       string              ID of the disk.
fsType                      string              File system, such as ext4.

# ProjectedVolumeSource: Several sources in one directory.
sources                     list(VolumeProjection)  The sources.
defaultMode                 int32               Permissions of the files, 0 to 0777; 0644 by default.

# VolumeProjection: One source of a projected volume; exactly one field is set.
secret                      SecretProjection               The keys of a Secret.
downwardAPI                 DownwardAPIProjection          Fields of the pod.
configMap                   ConfigMapProjection            The keys of a ConfigMap.
serviceAccountToken         ServiceAccountTokenProjection  A token of the ServiceAccount.
clusterTrustBundle          ClusterTrustBundleProjection   Trusted certificates of the cluster.
podCertificate              PodCertificateProjection       A private key and certificate for the pod.

# SecretProjection: The keys of a Secret, as files.
name                        string=             Name of the Secret.
items                       list(KeyToPath)     Keys to show, and where; absent shows all.
optional                    boolean             Whether the Secret or its keys may be absent.

# DownwardAPIProjection: Fields of the pod, as files.
items                       list(DownwardAPIVolumeFile)  The files.

# ConfigMapProjection: The keys of a ConfigMap, as files.
name                        string=             Name of the ConfigMap.
items                       list(KeyToPath)     Keys to show, and where; absent shows all.
optional                    boolean             Whether the ConfigMap or its keys may be absent.

# ServiceAccountTokenProjection: A token of the ServiceAccount, renewed before it expires.
audience                    string              Whom the token is for; the API server by default.
expirationSeconds           int64               Seconds the token is valid, at least 600; 3600 by default.
path!                       string              Path of the file in the volume.

# ClusterTrustBundleProjection: Trusted certificates of ClusterTrustBundles, in one PEM file.
name                        string              A single bundle, by name.
signerName                  string              All bundles of a signer; excludes name.
labelSelector               LabelSelector       Which bundles of the signer; absent means none.
optional                    boolean             Whether the bundles may be absent.
path!                       string              Path of the file in the volume.

# PodCertificateProjection: A private key and a certificate for it, renewed before it expires.
signerName!                 string              Signer that issues the certificate.
keyType!                    string              RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521 or ED25519.
maxExpirationSeconds        int32               The longest time the certificate may be valid; a day by default.
credentialBundlePath        string              File for key and certificates together.
keyPath                     string              File for the key.
certificateChainPath        string              File for the certificates.

# PortworxVolumeSource: A Portworx volume.
volumeID!                   string              ID of the volume.
fsType                      string              File system, such as ext4.
readOnly                    boolean             Mount it read-only.

# ScaleIOVolumeSource: A ScaleIO volume.
gateway!                    string              Host of the gateway.
system!                     string              Name of the storage system.
secretRef!                  LocalObjectReference  Secret with the credentials.
sslEnabled                  boolean             Talk to the gateway over TLS.
protectionDomain            string              Name of the protection domain.
storagePool                 string              Name of the storage pool.
storageMode                 string=ThinProvisioned  ThickProvisioned or ThinProvisioned.
volumeName                  string              Name of the volume.
fsType                      string=xfs          File system.
readOnly                    boolean             Mount it read-only.

# StorageOSVolumeSource: A StorageOS volume.
volumeName                  string              Name of the volume.
volumeNamespace             string              Scope of the name; the namespace of the pod by default.
fsType                      string              File system, such as ext4.
readOnly                    boolean             Mount it read-only.
secretRef                   LocalObjectReference  Secret with the credentials.

# CSIVolumeSource: A volume that a CSI driver makes for the pod.
driver!                     string              Name of the driver.
readOnly                    boolean             Mount it read-only.
fsType                      string              File system, such as ext4; the choice of the driver by default.
volumeAttributes            map(string)         Options for the driver.
nodePublishSecretRef        LocalObjectReference  Secret passed to the driver.

# EphemeralVolumeSource: A claim that is made for the pod and removed with it.
volumeClaimTemplate         PersistentVolumeClaimTemplate  The claim to make.

# PersistentVolumeClaimTemplate: A PersistentVolumeClaim to make.
metadata                    ObjectMeta          Labels and annotations of the claim.
spec!                       PersistentVolumeClaimSpec  What is claimed.

# PersistentVolumeClaimSpec: A request for storage.
accessModes                 list(string)        ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod.
selector                    LabelSelector       Volumes to choose from, by label.
resources                   VolumeResourceRequirements  How much storage is needed.
volumeName                  string              The volume that is bound to the claim.
storageClassName            string              StorageClass to make the volume with.
volumeMode                  string              Filesystem (the default) or Block.
dataSource                  TypedLocalObjectReference  A claim or snapshot to fill the volume from.
dataSourceRef               TypedObjectReference  As dataSource, for any kind of object.
volumeAttributesClassName   string              VolumeAttributesClass of the volume.

# VolumeResourceRequirements: How much storage is needed.
limits                      map(quantity)       The most the volume may hold.
requests                    map(quantity)       The least the volume must hold.

# TypedLocalObjectReference atomic: An object of the same namespace, of any kind.
apiGroup                    string              API group of the kind; empty for the core group.
kind!                       string              Kind of the object.
name!                       string              Name of the object.

# TypedObjectReference: An object of any kind.
apiGroup                    string              API group of the kind; empty for the core group.
kind!                       string              Kind of the object.
name!                       string              Name of the object.
namespace                   string              Namespace of the object; that of the claim by default.

# ImageVolumeSource: The files of an OCI image or artifact.
reference                   string              The image, as in the image field of a container.
pullPolicy                  string              Always, Never or IfNotPresent.
"""
