"""Pod templates: raw JSON that is hashed, compared, defaulted and carefully edited, never interpreted.

`fields` is the order in which Argo Rollouts serialises them, `canonical` that serialisation, `hashing` the names of
revisions, `comparison` the question whether a ReplicaSet was made from a template, `defaults` what API servers fill in,
`editing` how labels and terms get into a raw template.
"""

from prograde.api.podtemplate.canonical import canonical, go_json
from prograde.api.podtemplate.comparison import is_same_template, remove_injected_anti_affinity
from prograde.api.podtemplate.defaults import default_pod, default_pod_spec, default_pod_template
from prograde.api.podtemplate.editing import (
    TemplateMetadata,
    is_injected_term,
    template_metadata,
    with_anti_affinity,
    with_metadata,
    without_metadata,
)
from prograde.api.podtemplate.hashing import pod_template_hash, step_hash

__all__ = [
    "TemplateMetadata",
    "canonical",
    "default_pod",
    "default_pod_spec",
    "default_pod_template",
    "go_json",
    "is_injected_term",
    "is_same_template",
    "pod_template_hash",
    "remove_injected_anti_affinity",
    "step_hash",
    "template_metadata",
    "with_anti_affinity",
    "with_metadata",
    "without_metadata",
]
