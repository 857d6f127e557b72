"""``spec.workloadRef``: a Rollout whose pod template is that of another workload.

`resolve_workload` fills the template, and a selector if the Rollout has none, into a copy of the Rollout that never
leaves the process: a patch is computed from the status, and the whole object is never written back.
"""

from typing import Final, TypeAlias

import msgspec

from prograde.api.names import WORKLOAD_GENERATION_ANNOTATION
from prograde.api.podtemplate import template_metadata
from prograde.api.rollout import Rollout, WorkloadRef
from prograde.api.workloads import Deployment, PodTemplate, ReplicaSet

__all__ = [
    "UnresolvedWorkload",
    "Workload",
    "resolve_workload",
    "workload_index_key",
    "workload_resource",
    "workload_type",
]

Workload: TypeAlias = Deployment | ReplicaSet | PodTemplate

_TYPES: Final[dict[tuple[str, str], tuple[str, type[Workload]]]] = {
    ("", "PodTemplate"): ("podtemplates", PodTemplate),
    ("apps", "Deployment"): ("deployments", Deployment),
    ("apps", "ReplicaSet"): ("replicasets", ReplicaSet),
}


class UnresolvedWorkload(ValueError):
    """A workloadRef cannot be resolved. Nothing of the Rollout may be claimed, released or scaled until it can."""


def _group_and_kind(reference: WorkloadRef) -> tuple[str, str]:
    group, slash, _ = reference.api_version.partition("/")
    return (group if slash else "", reference.kind)


def workload_resource(reference: WorkloadRef) -> tuple[str, str]:
    """Return (group, plural) of the kind that is referred to.

    Raises:
        UnresolvedWorkload: templates of that kind are not supported.
    """
    group, kind = _group_and_kind(reference)
    if (group, kind) not in _TYPES:
        raise UnresolvedWorkload(f"workload of type {group}/{kind} is not supported")
    return group, _TYPES[group, kind][0]


def workload_type(reference: WorkloadRef) -> type[Workload]:
    """Return the type that objects of the kind referred to are decoded to.

    Raises:
        UnresolvedWorkload: templates of that kind are not supported.
    """
    workload_resource(reference)
    return _TYPES[_group_and_kind(reference)][1]


def workload_index_key(kind: type[Workload], namespace: str, name: str) -> str:
    """Return the key under which Rollouts are found by what they refer to, in whatever version of its group."""
    return f"{kind.KIND} {namespace}/{name}"


def resolve_workload(rollout: Rollout, workload: Workload | None) -> Rollout:
    """Return the Rollout with template, selector and generation annotation of its workload filled in.

    A Rollout without workloadRef comes back without that annotation. A `workload` of None was not found.

    Raises:
        UnresolvedWorkload: the Rollout has a template of its own, the kind is not supported, or the object is missing.
    """
    reference = rollout.spec.workload_ref
    if reference is None:
        return _with_generation(rollout, None)
    own = template_metadata(rollout.spec.template)
    if own.labels or own.annotations:
        raise UnresolvedWorkload("template must be empty for workload reference rollout")
    group, plural = workload_resource(reference)
    if workload is None:
        resource = f"{plural}.{group}" if group else plural
        raise UnresolvedWorkload(f'{resource} "{rollout.metadata.namespace}/{reference.name}" not found')
    selector = rollout.spec.selector
    if isinstance(workload, PodTemplate):
        template = workload.template
    else:
        template = workload.spec.template
        if selector is None or not (selector.match_labels or selector.match_expressions):
            # An empty selector would select every pod of the namespace. Nobody means that.
            selector = workload.spec.selector
    spec = msgspec.structs.replace(rollout.spec, template=template, selector=selector)
    return _with_generation(msgspec.structs.replace(rollout, spec=spec), workload.metadata.generation)


def _with_generation(rollout: Rollout, generation: int | None) -> Rollout:
    annotations = dict(rollout.metadata.annotations)
    if generation is None:
        annotations.pop(WORKLOAD_GENERATION_ANNOTATION, None)
    else:
        annotations[WORKLOAD_GENERATION_ANNOTATION] = str(generation)
    if annotations == rollout.metadata.annotations:
        return rollout
    metadata = msgspec.structs.replace(rollout.metadata, annotations=annotations)
    return msgspec.structs.replace(rollout, metadata=metadata)
