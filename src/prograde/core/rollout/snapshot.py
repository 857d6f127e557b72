"""Everything that a decision about one Rollout may look at, as one frozen value.

`controller.gather` builds a `RolloutSnapshot` from its caches; nothing in `core` reads anything else. Objects that are
expensive to read are asked for: a plan with `wants_pods` means "list the pods and plan again", one with `wants_runs`
"look whether these exist", and one with `wants_plugin_calls` "call these plugins". What an action could not do comes
back here as well (`create_failure`, `taken`), because a failed create is a fact to decide on.
"""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.experiment import Experiment
from prograde.api.rollout import Rollout
from prograde.api.workloadref import Workload
from prograde.api.workloads import Pod, ReplicaSet, Service
from prograde.core.objects import ObjectRef, Objects
from prograde.core.plan import PluginCall, RunRef

__all__ = ["CreateFailure", "PluginAnswer", "RolloutSnapshot"]


class PluginAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one call of a step plugin."""

    call: PluginCall
    phase: str = ""
    """``Running``, ``Successful``, ``Failed`` or ``Error``; empty leaves it to the operation."""
    message: str = ""
    requeue_after: timedelta = timedelta(0)
    """How long to wait before the next `Run` of a plugin that is still running."""
    status: bytes = b""
    """JSON that the plugin wants to be given at the next call; empty for none."""
    exception: str = ""
    """The plugin failed to answer, in its own words or those of the time limit. Nothing else is set then."""
    unusable: str = ""
    """Why the plugin cannot be called at all: it is unknown, or does not load. Nothing else is set then."""
    is_disabled: bool = False
    """The operator has switched the plugin off. Nothing else is set then."""
    is_missing: bool = False
    """The call has not been made, since somebody only wants to know the plan. Nothing else is set then."""

    @classmethod
    def not_called(cls, call: PluginCall) -> "PluginAnswer":
        """Stand for the answer to a call that is not to be made."""
        return cls(call=call, is_missing=True)


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
    sharing: Mapping[ObjectRef, tuple[Rollout, ...]] = {}
    """Those of `objects` that other Rollouts route with, too, and these Rollouts."""
    workload: Workload | None = None
    """The workload that `spec.workloadRef` names; None when it does not exist, or none is named."""
    workload_error: str = ""
    """Why the workload could not even be looked for; empty when it was."""
    looked_up: frozenset[RunRef] = frozenset()
    """Runs that a plan has asked for: those of them that are not in the snapshot do not exist."""
    plugin_answers: tuple[PluginAnswer, ...] = ()
    """What the step plugins have answered that a plan of this pass wanted to be called."""
    taken: tuple[AnalysisRun | Experiment, ...] = ()
    """Objects that hold the names under which the previous plan of this pass wanted to create some."""
    create_failure: CreateFailure | None = None
