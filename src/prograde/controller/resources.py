"""The resources that the controller reads and writes."""

from collections.abc import Mapping
from typing import Final

from prograde.api.names import (
    ANALYSIS_RUN,
    ANALYSIS_TEMPLATE,
    CLUSTER_ANALYSIS_TEMPLATE,
    EXPERIMENT,
    GROUP,
    PLURALS,
    ROLLOUT,
    VERSION,
)
from prograde.core.objects import ObjectKind
from prograde.kube.resources import PODS, Resource

__all__ = [
    "ANALYSIS_RUNS",
    "ANALYSIS_TEMPLATES",
    "CLUSTER_ANALYSIS_TEMPLATES",
    "DEPLOYMENTS",
    "EXPERIMENTS",
    "FIELD_MANAGER",
    "PODS",
    "POD_TEMPLATES",
    "REPLICA_SETS",
    "ROLLOUTS",
    "SECRETS",
    "SERVICES",
    "resource_of",
]

FIELD_MANAGER: Final = "rollouts-controller"
"""Who we are in the managed fields of what we write."""

ROLLOUTS: Final = Resource(group=GROUP, version=VERSION, plural=PLURALS[ROLLOUT], kind=ROLLOUT)
ANALYSIS_RUNS: Final = Resource(group=GROUP, version=VERSION, plural=PLURALS[ANALYSIS_RUN], kind=ANALYSIS_RUN)
EXPERIMENTS: Final = Resource(group=GROUP, version=VERSION, plural=PLURALS[EXPERIMENT], kind=EXPERIMENT)
ANALYSIS_TEMPLATES: Final = Resource(
    group=GROUP, version=VERSION, plural=PLURALS[ANALYSIS_TEMPLATE], kind=ANALYSIS_TEMPLATE
)
CLUSTER_ANALYSIS_TEMPLATES: Final = Resource(
    group=GROUP,
    version=VERSION,
    plural=PLURALS[CLUSTER_ANALYSIS_TEMPLATE],
    kind=CLUSTER_ANALYSIS_TEMPLATE,
    namespaced=False,
)
DEPLOYMENTS: Final = Resource(group="apps", plural="deployments", kind="Deployment")
POD_TEMPLATES: Final = Resource(plural="podtemplates", kind="PodTemplate")
REPLICA_SETS: Final = Resource(group="apps", plural="replicasets", kind="ReplicaSet")
SECRETS: Final = Resource(plural="secrets", kind="Secret")
SERVICES: Final = Resource(plural="services", kind="Service")


def resource_of(kind: ObjectKind, versions: Mapping[str, str]) -> Resource:
    """Return how a kind is reached; `versions` are those that an operator has chosen, by group."""
    version = versions.get(kind.group, kind.version)
    return Resource(group=kind.group, version=version, plural=kind.plural, kind=kind.kind)
