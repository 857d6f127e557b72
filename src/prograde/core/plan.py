"""What a decision is made of: a `Plan` of ordered actions, the new status, events and the reasons for waiting.

A planner turns a snapshot into a plan and does nothing itself; `controller.apply` carries it out. The contract:

* `Plan.groups` are carried out one after the other. The actions *within* a group do not depend on each other and may
  go out concurrently. When an action fails, the rest of its group may finish, but no later group, no status and no
  event of the plan is written; the next snapshot leads to the rest.
* After the last group, `Plan.status` is written as a merge patch of what changed (`merge_patch`), and only then are
  `Plan.events` recorded, in order. Events that belong to one action are carried by the action and recorded when it
  has succeeded, in the order in which the plan lists the actions.
* `Plan.error` says that something outside keeps the pass from going on (a router's object is missing): the status then
  says no more than how things stand, and the pass counts as failed.
* An action that changes an object on the strength of what was read carries the `resource_version` that it was decided
  on, so that a decision made on a stale view ends as a conflict and not as a silent overwrite. Patches hold only
  what changes: a typed view knows a part of an object and must never be written back whole.
* A plan that is cut short anywhere is harmless. Nothing is remembered between two plans but what the cluster holds.

The bodies of the patches are made here (`merge_patch` of each action), because what a patch says *is* the decision;
which path and which content type carry it is up to `controller.apply`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Generic, Literal, TypeVar

import msgspec

from prograde.core.objects import Json, JsonObject, ObjectRef

__all__ = [
    "Action",
    "AdoptReplicaSet",
    "CreateAnalysisRun",
    "CreateExperiment",
    "CreateObject",
    "CreateReplicaSet",
    "CreateService",
    "DeleteAnalysisRun",
    "DeleteExperiment",
    "DeleteReplicaSet",
    "DeleteService",
    "Event",
    "EvictPod",
    "Json",
    "JsonObject",
    "PatchObject",
    "PatchPodMetadata",
    "PatchReplicaSet",
    "PatchRollout",
    "PatchService",
    "Plan",
    "PluginCall",
    "ReleaseReplicaSet",
    "RunRef",
    "ScaleWorkload",
    "TerminateAnalysisRun",
    "TerminateExperiment",
    "Wait",
    "WaitReason",
]


class Event(msgspec.Struct, frozen=True):
    """A Kubernetes Event about the object that the plan is for."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


class WaitReason(StrEnum):
    """Why a plan does not go further by itself. The values are shown to people and may be matched by scripts.

    Of several reasons that one is shown first which stands first here: what stops everything, what a person has to do,
    what the next step needs, what merely has to end, what is still to come.
    """

    INVALID_SPEC = "InvalidSpec"
    NOT_SUPPORTED = "NotSupported"
    WORKLOAD = "Workload"
    """The referenced workload is not there, or cannot be used."""
    WRITE_FAILED = "WriteFailed"
    TRAFFIC_NOT_ROUTED = "TrafficNotRouted"
    """A router cannot do what it is asked for, and nothing goes on before it can."""
    ABORTED = "Aborted"
    PROGRESS_DEADLINE = "ProgressDeadlineExceeded"
    USER_PAUSE = "UserPause"
    INCONCLUSIVE = "Inconclusive"
    PAUSE_STEP = "PauseStep"
    BLUE_GREEN_PAUSE = "BlueGreenPause"
    REPLICA_FAILURE = "ReplicaFailure"
    PODS_NOT_CREATED = "PodsNotCreated"
    PODS_NOT_AVAILABLE = "PodsNotAvailable"
    STABLE_CAPACITY = "StableCapacity"
    """The stable revision cannot serve the share of traffic that it would get."""
    SERVICE_NOT_SWITCHED = "ServiceNotSwitched"
    WEIGHT_NOT_VERIFIED = "WeightNotVerified"
    ANALYSIS = "Analysis"
    EXPERIMENT = "Experiment"
    STEP_PLUGIN = "StepPlugin"
    PODS_TERMINATING = "PodsTerminating"
    """Behind what an update does meanwhile: that goes on beside pods which are on their way out."""
    SCALE_DOWN_DELAY = "ScaleDownDelay"
    RESTART = "Restart"
    DEADLINE_NEAR = "ProgressDeadlineNear"
    """Nothing is wrong yet."""
    OBSERVATION = "Observation"
    """The plan's own writes have to come back through the watch first."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why the goal is not reached yet, complete enough to be shown as it is.

    `object` names what is waited for as ``Kind name``, `field` the spec or status field that decides, `since` when the
    waiting began and `until` when it ends by itself; None where that is not known or does not apply. `remedy` says what
    a person can do, and is empty when there is nothing to do but wait.
    """

    reason: WaitReason
    message: str
    object: str = ""
    field: str = ""
    since: datetime | None = None
    until: datetime | None = None
    remedy: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One write to the cluster, in the namespace of the object that the plan is for."""

    events: tuple[Event, ...] = ()


class AdoptReplicaSet(Action, frozen=True, kw_only=True):
    """Make an orphan ours by adding a controller owner reference.

    Before the write, the owner must be read from the API server (not from a cache): another UID or a deletion
    timestamp there means that the plan is for an object that is gone, and the adoption is an error. A ReplicaSet that
    has vanished meanwhile is no error.

    To be sent as a *strategic* merge patch, which adds to the owners instead of replacing them.
    """

    name: str
    uid: str
    owner_api_version: str
    owner_kind: str
    owner_name: str
    owner_uid: str

    def strategic_merge_patch(self) -> JsonObject:
        """The UID makes the write fail when the name has been taken by another object meanwhile."""
        owner: JsonObject = {
            "apiVersion": self.owner_api_version,
            "kind": self.owner_kind,
            "name": self.owner_name,
            "uid": self.owner_uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        return {"metadata": {"uid": self.uid, "ownerReferences": [owner]}}


class ReleaseReplicaSet(Action, frozen=True, kw_only=True):
    """Drop our owner reference from a ReplicaSet that the selector no longer selects.

    To be sent as a *strategic* merge patch, which can delete one list entry. Not found (404) and gone from under the
    UID (422) are no errors: there is nothing left to release.
    """

    name: str
    uid: str
    owner_uid: str

    def strategic_merge_patch(self) -> JsonObject:
        return {"metadata": {"uid": self.uid, "ownerReferences": [{"$patch": "delete", "uid": self.owner_uid}]}}


class CreateReplicaSet(Action, frozen=True, kw_only=True):
    """Create the ReplicaSet of a new revision, without pods.

    A failure is a fact for the next decision and not the end of it: `controller.apply` reports it, with the existing
    ReplicaSet (read from the API server) when the name is taken, and the shell plans again with
    `RolloutSnapshot.create_failure` set.
    """

    name: str
    manifest: JsonObject


class PatchReplicaSet(Action, frozen=True, kw_only=True):
    """Change the size, the annotations or the pod template's extras of one ReplicaSet; never what its pods run.

    Fields that are None or empty stay as they are. An annotation or label that is mapped to None is removed.
    """

    name: str
    resource_version: str
    replicas: int | None = None
    min_ready_seconds: int | None = None
    annotations: Mapping[str, str | None] = {}
    template_labels: Mapping[str, str | None] = {}
    template_annotations: Mapping[str, str | None] = {}
    affinity: JsonObject | None = None
    """What changes in ``spec.template.spec.affinity``, as a merge patch; None for nothing."""

    def merge_patch(self) -> JsonObject:
        metadata: JsonObject = {"resourceVersion": self.resource_version}
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        spec: JsonObject = {}
        if self.replicas is not None:
            spec["replicas"] = self.replicas
        if self.min_ready_seconds is not None:
            spec["minReadySeconds"] = self.min_ready_seconds
        template: JsonObject = {}
        template_metadata: JsonObject = {}
        if self.template_labels:
            template_metadata["labels"] = dict(self.template_labels)
        if self.template_annotations:
            template_metadata["annotations"] = dict(self.template_annotations)
        if template_metadata:
            template["metadata"] = template_metadata
        if self.affinity is not None:
            template["spec"] = {"affinity": self.affinity}
        if template:
            spec["template"] = template
        return {"metadata": metadata, "spec": spec} if spec else {"metadata": metadata}


class DeleteReplicaSet(Action, frozen=True, kw_only=True):
    """Delete a ReplicaSet of the revision history, provided that it is still the one that was seen (UID and version).

    Not found is no error.
    """

    name: str
    uid: str
    resource_version: str


class PatchService(Action, frozen=True, kw_only=True):
    """Change entries of a Service's selector and annotations; None removes an entry. Other entries stay untouched.

    `resource_version` is set where two Rollouts might take the Service at the same time: one of them then conflicts.
    """

    name: str
    resource_version: str = ""
    selector: Mapping[str, str | None] = {}
    annotations: Mapping[str, str | None] = {}

    def merge_patch(self) -> JsonObject:
        metadata: JsonObject = {"resourceVersion": self.resource_version} if self.resource_version else {}
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        patch: JsonObject = {"metadata": metadata} if metadata else {}
        if self.selector:
            patch["spec"] = {"selector": dict(self.selector)}
        return patch


class CreateService(Action, frozen=True, kw_only=True):
    """Create the Service of an Experiment's template; a taken name and any refusal are facts for the next decision."""

    name: str
    manifest: JsonObject


class DeleteService(Action, frozen=True, kw_only=True):
    """Delete the Service of an Experiment's template. Not found is no error."""

    name: str
    uid: str


class PatchRollout(Action, frozen=True, kw_only=True):
    """Write what a controller may write outside of the status: the revision annotation and the default of `replicas`.

    `resource_version` is set where a concurrent change must win over ours; empty means "whatever is there".
    """

    name: str
    annotations: Mapping[str, str | None] = {}
    replicas: int | None = None
    resource_version: str = ""

    def merge_patch(self) -> JsonObject:
        metadata: JsonObject = {}
        if self.resource_version:
            metadata["resourceVersion"] = self.resource_version
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        patch: JsonObject = {"metadata": metadata} if metadata else {}
        if self.replicas is not None:
            patch["spec"] = {"replicas": self.replicas}
        return patch


class PatchPodMetadata(Action, frozen=True, kw_only=True):
    """Set or remove (None) labels and annotations of one running pod. A pod that has vanished is no error."""

    name: str
    uid: str
    labels: Mapping[str, str | None] = {}
    annotations: Mapping[str, str | None] = {}

    def merge_patch(self) -> JsonObject:
        metadata: JsonObject = {"uid": self.uid}
        if self.labels:
            metadata["labels"] = dict(self.labels)
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        return {"metadata": metadata}


class EvictPod(Action, frozen=True, kw_only=True):
    """Evict one pod through the eviction sub-resource, so that disruption budgets hold.

    Not found is no error. A refusal by a disruption budget (429) is no error either, but it ends the plan before its
    status: that status says that every pod has been evicted. The plan's `requeue_at` stands.
    """

    name: str
    uid: str


class CreateObject(Action, frozen=True, kw_only=True):
    """Create an object of any kind. That it exists already is an error: the next snapshot has it.

    `failure` is recorded when the API server refuses, its message being completed by a colon and the server's words.
    """

    ref: ObjectRef
    manifest: JsonObject
    failure: Event | None = None


class PatchObject(Action, frozen=True, kw_only=True):
    """Change an object of any kind by a JSON merge patch.

    The patch carries the resource version where it replaces a list, so that no concurrent change of that list is lost.
    `failure` is recorded when the API server refuses, its message being completed by a colon and the server's words; a
    conflict is not reported, since the next snapshot settles it.
    """

    ref: ObjectRef
    patch: JsonObject
    failure: Event | None = None


class ScaleWorkload(Action, frozen=True, kw_only=True):
    """Set the number of pods of the workload that a Rollout refers to, and annotations that say why.

    Not found is no error, and neither is another UID: what was to be scaled is gone. Any other failure lets the plan
    go on, for a status must not wait for a foreign object; then the pass counts as failed and is tried again.
    """

    ref: ObjectRef
    uid: str
    replicas: int
    annotations: Mapping[str, str] = {}


class CreateAnalysisRun(Action, frozen=True, kw_only=True):
    """Create an AnalysisRun.

    That the name is taken is a fact for the next decision: `controller.apply` reports the existing one, read from the
    API server, and the shell plans again with it in `RolloutSnapshot.taken`. `failure` is recorded for any other
    refusal, its message being completed by the server's words.
    """

    name: str
    manifest: JsonObject
    failure: Event | None = None


class CreateExperiment(Action, frozen=True, kw_only=True):
    """Create an Experiment; a taken name and any other refusal are dealt with as for `CreateAnalysisRun`."""

    name: str
    manifest: JsonObject
    failure: Event | None = None


class TerminateAnalysisRun(Action, frozen=True, kw_only=True):
    """Ask an AnalysisRun to stop (``spec.terminate``). Not found is no error."""

    name: str


class DeleteAnalysisRun(Action, frozen=True, kw_only=True):
    """Delete a finished AnalysisRun of the history. Not found is no error."""

    name: str
    uid: str


class TerminateExperiment(Action, frozen=True, kw_only=True):
    """Ask an Experiment to stop (``spec.terminate``). Not found is no error."""

    name: str


class DeleteExperiment(Action, frozen=True, kw_only=True):
    """Delete a finished Experiment of the history. Not found is no error."""

    name: str
    uid: str


# ---- What a decision asks for -----------------------------------------------------------------------------------


class RunRef(msgspec.Struct, frozen=True, order=True):
    """An AnalysisRun or Experiment by kind and name, in the namespace of the object that the plan is for."""

    kind: Literal["AnalysisRun", "Experiment"]
    name: str


class PluginCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a step plugin. A plugin does something in the world, so it is called once for every such call."""

    index: int
    """Of the step, from 0."""
    name: str
    """Of the plugin, ``namespace/name``."""
    operation: Literal["Run", "Terminate", "Abort"]
    config: bytes = b""
    """JSON, as the step has it; empty if it has none."""
    status: bytes = b""
    """JSON that the plugin's last `Run` has returned; empty before that."""


StatusT = TypeVar("StatusT")


class Plan(msgspec.Struct, Generic[StatusT], frozen=True, kw_only=True):
    """The whole decision about one object at one instant; see the module for the order of carrying it out."""

    groups: tuple[tuple[Action, ...], ...] = ()
    status: StatusT | None = None
    """The complete new status; None when the persisted one is right as it is."""
    events: tuple[Event, ...] = ()
    waits: tuple[Wait, ...] = ()
    """Why the goal is not reached, the most important reason first; empty when it is reached."""
    requeue_at: datetime | None = None
    """When to look again although nothing may have happened; None leaves it to events and the resync."""
    error: str = ""
    """Why this pass fails although everything above is right: set, the groups are carried out and the events recorded,
    then the pass ends as failed and is tried again with back-off. The status only says how things stand: an abort,
    a progress deadline that has passed."""
    wants_pods: bool = False
    """The decision needs the pods, which the snapshot does not hold: list them and plan again. Nothing else is set."""
    wants_runs: tuple[RunRef, ...] = ()
    """The decision needs these, which the status records and the snapshot lacks, for a cache may be behind: read them
    from the API server, add what exists to the snapshot and all of them to its `looked_up`, and plan again. Nothing
    else is set."""
    wants_plugin_calls: tuple[PluginCall, ...] = ()
    """The decision needs the answers of step plugins: make the calls in this order, add the answers to the snapshot,
    and plan again. Nothing else is set. Whoever only wants to know the plan adds `PluginAnswer.not_called` instead."""

    @property
    def is_question(self) -> bool:
        """True when this is no decision yet but asks for something that the snapshot lacks."""
        return self.wants_pods or bool(self.wants_runs) or bool(self.wants_plugin_calls)

    @property
    def actions(self) -> Iterator[Action]:
        """All actions, in the order of their groups."""
        return (action for group in self.groups for action in group)

    @property
    def all_events(self) -> tuple[Event, ...]:
        """The events in the order in which they are recorded when every write succeeds."""
        return tuple(event for action in self.actions for event in action.events) + self.events

    @property
    def writes_nothing(self) -> bool:
        """True when carrying out this plan would change nothing in the cluster."""
        is_empty = not self.groups and self.status is None and not self.events and not self.error
        return is_empty and not self.is_question
