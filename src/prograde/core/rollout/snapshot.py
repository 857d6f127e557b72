"""Everything that a decision about one Rollout may look at, as one frozen value.

`controller.gather` builds a `RolloutSnapshot` from its caches; nothing in `core` reads anything else. Objects that are
expensive to read are asked for: a plan with `wants_pods` means "list the pods and plan again". What an action could not
do comes back here as well (`create_failure`), because a failed create is a fact to decide on.
"""

from collections.abc import Mapping

import msgspec

from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.experiment import Experiment
from prograde.api.rollout import Rollout
from prograde.api.workloadref import Workload
from prograde.api.workloads import Pod, ReplicaSet, Service
from prograde.core.objects import Objects

__all__ = ["CreateFailure", "RolloutSnapshot"]


class CreateFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why the ReplicaSet that the previous plan of this pass wanted could not be created."""

    name: str
    message: str
    """The API server's words."""
    existing: ReplicaSet | None = None
    """The ReplicaSet that holds the name already, read from the API server; None for any other failure."""


class RolloutSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One Rollout and its relatives at one instant."""

    rollout: Rollout
    replica_sets: tuple[ReplicaSet, ...] = ()
    """Those of the namespace that carry the pod-template-hash label and whose controller is this Rollout (by UID) or
    nobody. Others may be included; they are ignored."""
    services: Mapping[str, Service] = {}
    """The Services of the namespace that the Rollout and its Experiments name, by name; a missing entry means that
    it does not exist."""
    pods: tuple[Pod, ...] | None = None
    """The pods that the Rollout's selector selects; None when they were not listed."""
    analysis_runs: tuple[AnalysisRun, ...] = ()
    """Those whose controller is this Rollout."""
    experiments: tuple[Experiment, ...] = ()
    """Those whose controller is this Rollout."""
    analysis_templates: Mapping[str, AnalysisTemplate] = {}
    """Those of the namespace that the Rollout's analyses name, also by way of other templates, as far as they exist."""
    cluster_analysis_templates: Mapping[str, ClusterAnalysisTemplate] = {}
    objects: Objects = Objects()
    """What routers have asked for."""
    workload: Workload | None = None
    """The workload that `spec.workloadRef` names; None when it does not exist, or none is named."""
    taken: tuple[AnalysisRun | Experiment, ...] = ()
    """Objects that hold the names under which the previous plan of this pass wanted to create some."""
    create_failure: CreateFailure | None = None
