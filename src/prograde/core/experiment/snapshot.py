"""Everything that a decision about one Experiment may look at, as one frozen value.

What a write could not do comes back as a `Refusal`, because that is a fact to decide on: a template whose ReplicaSet
the API server does not accept is in error, and so is the Experiment.
"""

from collections.abc import Mapping

import msgspec

from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.experiment import Experiment
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.plan import Action, RunRef

__all__ = ["ExperimentSnapshot", "Refusal"]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What the API server will not do, however often it is asked; a failure that may pass is not reported here."""

    action: Action
    message: str
    """The API server's words."""
    existing: ReplicaSet | Service | AnalysisRun | None = None
    """The object that holds the name already, read from the API server; None for any other refusal. It may be one that
    the plan before has created, in a pass in which something else was refused."""
    is_unreadable: bool = False
    """The name is taken, but what holds it could not be read; the message says why."""


class ExperimentSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One Experiment and its relatives at one instant."""

    experiment: Experiment
    replica_sets: tuple[ReplicaSet, ...] = ()
    """Those whose controller is this Experiment."""
    services: tuple[Service, ...] = ()
    """Those whose controller is this Experiment."""
    analysis_runs: tuple[AnalysisRun, ...] = ()
    """Those whose controller is this Experiment."""
    analysis_templates: Mapping[str, AnalysisTemplate] = {}
    """Those of the namespace that the analyses name, also by way of other templates, as far as they exist."""
    cluster_analysis_templates: Mapping[str, ClusterAnalysisTemplate] = {}
    looked_up: frozenset[RunRef] = frozenset()
    """Runs that a plan has asked for: those of them that are not in the snapshot do not exist."""
    refusals: tuple[Refusal, ...] = ()
    """What of the previous plans of this pass was refused."""
