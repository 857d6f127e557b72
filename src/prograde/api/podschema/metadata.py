"""Metadata and selectors, in the notation of `prograde.api.podschema.notation`."""

TEXT = """
# ObjectMeta: What every object says about itself.
name                        string              Name, unique among the objects of its kind in the namespace. It cannot
    be changed.
generateName                string              Prefix from which the server makes a unique name when none is given.
namespace                   string              Namespace the object lives in; empty for objects of the whole cluster.
selfLink                    string              No longer filled in; kept for old clients.
uid                         string              Identity of this object in time and space, set by the server.
resourceVersion             string              Opaque version of the stored object, for conflict detection and
    watches.
generation                  int64               Counts the changes of the desired state.
creationTimestamp           time                When the server created the object.
deletionTimestamp           time                When the object is due to be removed; set once its deletion was asked
    for.
deletionGracePeriodSeconds  int64               Seconds the object may take to end after its deletion was asked for.
labels                      map(string)         Keys and values to organise and select objects by.
annotations                 map(string)         Keys and values that tools attach to the object; not for selecting.
ownerReferences             list(OwnerReference;uid)  Objects this one depends on; it is removed when all of them are
    gone.
finalizers                  set(string)         Names of duties that must be done before the object may be removed.
managedFields               list(ManagedFieldsEntry)  Which manager set which fields; kept by the server.

# OwnerReference atomic: An object, in the same namespace or without one, that owns this object.
apiVersion!                 string              API version of the owner.
kind!                       string              Kind of the owner.
name!                       string              Name of the owner.
uid!                        string              Identity of the owner.
controller                  boolean             Whether this owner is the one that manages the object.
blockOwnerDeletion          boolean             Whether a foreground deletion of the owner waits for this object to
    go.

# ManagedFieldsEntry: The fields one manager has set in one way.
manager                     string              Name of the program that manages the fields.
operation                   string              How they were set: Apply or Update.
apiVersion                  string              Version of the resource the field names belong to.
time                        time                When the set of fields last changed.
fieldsType                  string              Format of the field set; FieldsV1 is the only one.
fieldsV1                    object              The set of fields, as a trie of field names and list keys.
subresource                 string              Sub-resource through which they were set; empty for the main one.

# TemplateMeta: Labels and annotations; a template keeps nothing else of its metadata.
labels                      map(string)         Labels of the objects made from the template.
annotations                 map(string)         Annotations of the objects made from the template.

# LabelSelector atomic: Chooses objects by their labels. All requirements must hold; an empty selector chooses all.
matchLabels                 map(string)         Labels that must be present with exactly these values.
matchExpressions            list(LabelSelectorRequirement)  Further requirements on labels; all of them must hold.

# LabelSelectorRequirement: A requirement on one label.
key!                        string              Key of the label.
operator!                   string              How the label relates to the values: In, NotIn, Exists or
    DoesNotExist.
values                      list(string)        Values to compare with; must be empty for Exists and DoesNotExist.
"""
