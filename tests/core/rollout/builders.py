"""Builders of snapshots, and a small world in which plans are carried out at once and pods obey.

`World` holds one Rollout and its relatives as the API server would. Plans are applied through the very patches that
they carry, with the versions they name, so a plan that would conflict or write nonsense fails here too. Pods do what
the test says: `World.settle_pods` makes every ReplicaSet complete, except those whose image is in `broken_images`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.experiment import Experiment
from prograde.api.meta import Condition, LabelSelector, ObjectMeta, OwnerReference, find_condition
from prograde.api.podtemplate import pod_template_hash
from prograde.api.rollout import (
    BlueGreenStrategy,
    CanaryStep,
    CanaryStrategy,
    PauseCondition,
    Rollout,
    RolloutPause,
    RolloutSpec,
    RolloutStatus,
    RolloutStrategy,
    SetCanaryScale,
)
from prograde.api.workloadref import Workload
from prograde.api.workloads import (
    Deployment,
    Pod,
    PodStatus,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    Service,
    ServiceSpec,
)
from prograde.core.objects import ObjectRef, Objects
from prograde.core.plan import (
    Action,
    AdoptReplicaSet,
    CreateAnalysisRun,
    CreateExperiment,
    CreateObject,
    CreateReplicaSet,
    DeleteAnalysisRun,
    DeleteExperiment,
    DeleteReplicaSet,
    Event,
    EvictPod,
    JsonObject,
    PatchObject,
    PatchPodMetadata,
    PatchReplicaSet,
    PatchRollout,
    PatchService,
    Plan,
    PluginCall,
    ReleaseReplicaSet,
    ScaleWorkload,
    TerminateAnalysisRun,
    TerminateExperiment,
)
from prograde.core.rollout.planner import plan_rollout
from prograde.core.rollout.replicasets import hash_of, revision_of, size_of
from prograde.core.rollout.snapshot import CreateFailure, PluginAnswer, RolloutSnapshot
from prograde.core.rollout.status import status_patch
from prograde.core.routing import RoutersOf, no_routers

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMESPACE = "shop"
NAME = "cart"
UID = "rollout-uid"
LABELS = {"app": "cart"}

replace = msgspec.structs.replace


# ---- Pieces -----------------------------------------------------------------------------------------------------


def weight(value: int) -> CanaryStep:
    return CanaryStep(set_weight=value)


def pause(duration: int | str | None = None) -> CanaryStep:
    return CanaryStep(pause=RolloutPause(duration=duration))


def canary_scale(**members: Any) -> CanaryStep:
    return CanaryStep(set_canary_scale=SetCanaryScale(**members))


def template(image: str = "v1", **members: Any) -> msgspec.Raw:
    value = {
        "metadata": {"labels": dict(LABELS)},
        "spec": {"containers": [{"name": "main", "image": image}], **members},
    }
    return msgspec.Raw(msgspec.json.encode(value))


def rollout(
    *,
    canary: CanaryStrategy | None = None,
    blue_green: BlueGreenStrategy | None = None,
    image: str = "v1",
    replicas: int | None = 3,
    status: RolloutStatus | None = None,
    annotations: Mapping[str, str] | None = None,
    generation: int = 1,
    **spec: Any,
) -> Rollout:
    """Return a Rollout; without a strategy a canary without steps."""
    if canary is None and blue_green is None:
        canary = CanaryStrategy()
    return Rollout(
        metadata=ObjectMeta(
            name=NAME,
            namespace=NAMESPACE,
            uid=UID,
            resource_version="1",
            generation=generation,
            creation_timestamp=NOW - timedelta(hours=1),
            annotations=dict(annotations or {}),
        ),
        spec=RolloutSpec(
            **{
                "replicas": replicas,
                "selector": LabelSelector(match_labels=dict(LABELS)),
                "template": template(image),
                "strategy": RolloutStrategy(canary=canary, blue_green=blue_green),
                **spec,
            }
        ),
        status=status or RolloutStatus(),
    )


def hash_for(image: str) -> str:
    """Return the hash of the standard template with this image."""
    return pod_template_hash(template(image))


def owner(uid: str = UID, kind: str = "Rollout", name: str = NAME) -> OwnerReference:
    return OwnerReference(
        api_version=names.API_VERSION, kind=kind, name=name, uid=uid, controller=True, block_owner_deletion=True
    )


def replica_set(
    image: str = "v1",
    *,
    size: int = 0,
    available: int | None = None,
    ready: int | None = None,
    actual: int | None = None,
    revision: int | str | None = 1,
    desired: int | str | None = 3,
    age: timedelta = timedelta(minutes=10),
    annotations: Mapping[str, str] | None = None,
    owners: Sequence[OwnerReference] | None = None,
    pod_hash: str | None = None,
    labels: Mapping[str, str] | None = None,
    conditions: Sequence[Condition] = (),
    deleting: bool = False,
    **spec: Any,
) -> ReplicaSet:
    """Return a ReplicaSet of the standard Rollout; everything that is not said is as if all pods were fine."""
    pod_hash = hash_for(image) if pod_hash is None else pod_hash
    available = size if available is None else available
    marks = {}
    if revision is not None:
        marks[names.REVISION_ANNOTATION] = str(revision)
    if desired is not None:
        marks[names.DESIRED_REPLICAS_ANNOTATION] = str(desired)
    own = msgspec.json.decode(spec.pop("template", template(image)))
    own["metadata"]["labels"][names.POD_TEMPLATE_HASH_LABEL] = pod_hash
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"{NAME}-{pod_hash}",
            namespace=NAMESPACE,
            uid=f"uid-of-{pod_hash}",
            resource_version="1",
            generation=1,
            creation_timestamp=NOW - age,
            deletion_timestamp=NOW if deleting else None,
            labels={**LABELS, names.POD_TEMPLATE_HASH_LABEL: pod_hash, **(labels or {})},
            annotations={**marks, **(annotations or {})},
            owner_references=(owner(),) if owners is None else tuple(owners),
        ),
        spec=ReplicaSetSpec(
            replicas=size,
            selector=LabelSelector(match_labels={**LABELS, names.POD_TEMPLATE_HASH_LABEL: pod_hash}),
            template=msgspec.Raw(msgspec.json.encode(own)),
            **spec,
        ),
        status=ReplicaSetStatus(
            replicas=size if actual is None else actual,
            ready_replicas=available if ready is None else ready,
            available_replicas=available,
            observed_generation=1,
            conditions=tuple(conditions),
        ),
    )


def service(name: str, *, selects: str = "", managed_by: str | None = None) -> Service:
    """Return a Service that selects the standard labels, and the hash `selects` if given."""
    return Service(
        metadata=ObjectMeta(
            name=name,
            namespace=NAMESPACE,
            uid=f"uid-of-{name}",
            resource_version="1",
            annotations={names.MANAGED_BY_ANNOTATION: managed_by} if managed_by else {},
        ),
        spec=ServiceSpec(selector={**LABELS, **({names.POD_TEMPLATE_HASH_LABEL: selects} if selects else {})}),
    )


def pod(
    name: str,
    parent: ReplicaSet,
    *,
    age: timedelta = timedelta(minutes=10),
    ready: bool = True,
    ready_for: timedelta = timedelta(minutes=5),
    deleting: bool = False,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Pod:
    """Return a pod of the ReplicaSet."""
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=NAMESPACE,
            uid=f"uid-of-{name}",
            resource_version="1",
            creation_timestamp=NOW - age,
            deletion_timestamp=NOW if deleting else None,
            labels={**parent.metadata.labels, **(labels or {})},
            annotations=dict(annotations or {}),
            owner_references=(owner(uid=parent.metadata.uid, kind="ReplicaSet", name=parent.metadata.name),),
        ),
        status=PodStatus(
            phase="Running",
            conditions=(
                Condition(
                    type="Ready",
                    status="True" if ready else "False",
                    last_transition_time=NOW - ready_for,
                ),
            ),
        ),
    )


def condition(kind: str, status: str, reason: str, *, message: str = "", ago: timedelta = timedelta()) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_update_time=NOW - ago,
        last_transition_time=NOW - ago,
    )


def progressing(reason: str, status: str = "True", *, message: str = "", ago: timedelta = timedelta()) -> Condition:
    return condition(names.CONDITION_PROGRESSING, status, reason, message=message, ago=ago)


# ---- The world --------------------------------------------------------------------------------------------------


class Conflict(Exception):
    """A write was decided on an older version of the object."""


T = TypeVar("T", Rollout, ReplicaSet, Service)
Run = TypeVar("Run", AnalysisRun, Experiment)


class World:
    """One Rollout and what belongs to it. Time stands still unless told otherwise."""

    def __init__(self, rollout: Rollout, *replica_sets: ReplicaSet, services: Sequence[Service] = ()) -> None:
        self.rollout = rollout
        self.replica_sets = {each.metadata.name: each for each in replica_sets}
        self.services = {each.metadata.name: each for each in services}
        self.pods: list[Pod] = []
        self.analysis_runs: list[AnalysisRun] = []
        self.experiments: list[Experiment] = []
        self.now = NOW
        self.broken_images: set[str] = set()
        self.events: list[Event] = []
        self.status_writes = 0
        self.writes: list[str] = []
        self.plans: list[Plan[RolloutStatus]] = []
        self.workload: Workload | None = None
        self.create_failure: CreateFailure | None = None
        self.objects: dict[ObjectRef, JsonObject] = {}
        """Whatever routers read and write."""
        self.templates: dict[str, AnalysisTemplate] = {}
        self.cluster_templates: dict[str, ClusterAnalysisTemplate] = {}
        self.taken: list[AnalysisRun | Experiment] = []
        """What the API server has under names that the caches do not know yet."""
        self.plugin: Callable[[PluginCall], PluginAnswer] | None = None
        """Answers the calls of step plugins; the calls themselves are in `plugin_calls`."""
        self.plugin_calls: list[PluginCall] = []
        self.routers_of: RoutersOf = no_routers
        self.after_write: Callable[[Action], None] = lambda action: None
        """Looks at the world after every single write of a plan."""
        self._version = 100

    # ---- What a test does to it ---------------------------------------------------------------------------------

    def tick(self, seconds: float = 1) -> None:
        self.now += timedelta(seconds=seconds)

    def change_spec(self, **changes: Any) -> None:
        """Change the spec as a user does; the generation rises."""
        metadata = replace(
            self.rollout.metadata, generation=self.rollout.metadata.generation + 1, resource_version=self._next()
        )
        self.rollout = replace(self.rollout, metadata=metadata, spec=replace(self.rollout.spec, **changes))

    def change_strategy(self, **changes: Any) -> None:
        """Change the canary strategy as a user does."""
        canary = self.rollout.spec.strategy.canary
        assert canary is not None
        self.change_spec(strategy=RolloutStrategy(canary=replace(canary, **changes)))

    def set_image(self, image: str) -> None:
        self.change_spec(template=template(image))

    def change_status(self, **changes: Any) -> None:
        """Patch the status as the command line does."""
        self.rollout = replace(
            self.rollout,
            metadata=replace(self.rollout.metadata, resource_version=self._next()),
            status=replace(self.rollout.status, **changes),
        )

    def settle_pods(self) -> bool:
        """Let every ReplicaSet have its pods, available unless its image is broken; tell whether that changes any."""
        changed = False
        for name, each in self.replica_sets.items():
            size = size_of(each)
            good = 0 if self.image_of(each) in self.broken_images else size
            status = ReplicaSetStatus(
                replicas=size,
                ready_replicas=good,
                available_replicas=good,
                observed_generation=each.metadata.generation,
            )
            if status != each.status:
                changed = True
                self.replica_sets[name] = replace(each, status=status)
        return changed

    # ---- What the controller does -------------------------------------------------------------------------------

    def snapshot(self) -> RolloutSnapshot:
        return RolloutSnapshot(
            rollout=self.rollout,
            replica_sets=tuple(self.replica_sets.values()),
            services=dict(self.services),
            pods=tuple(self.pods),
            analysis_runs=tuple(self.analysis_runs),
            experiments=tuple(self.experiments),
            workload=self.workload,
            create_failure=self.create_failure,
            objects=Objects(found=dict(self.objects)),
            analysis_templates=dict(self.templates),
            cluster_analysis_templates=dict(self.cluster_templates),
        )

    def plan(self) -> Plan[RolloutStatus]:
        """Plan, with answers to whatever the plan asks: runs that are missing do not exist, plugins are called."""
        snapshot = self.snapshot()
        for _ in range(10):
            plan = plan_rollout(snapshot, self.now, self.routers_of)
            if plan.wants_runs:
                snapshot = replace(snapshot, looked_up=snapshot.looked_up | set(plan.wants_runs))
            elif plan.wants_plugin_calls:
                assert self.plugin is not None, "no plugin was to be called"
                self.plugin_calls += plan.wants_plugin_calls
                answers = tuple(map(self.plugin, plan.wants_plugin_calls))
                snapshot = replace(snapshot, plugin_answers=snapshot.plugin_answers + answers)
            elif holders := self._holders(plan):
                snapshot = replace(snapshot, taken=snapshot.taken + holders)
            else:
                return plan
        raise AssertionError("no plan after ten answers")

    def _holders(self, plan: Plan[RolloutStatus]) -> tuple[AnalysisRun | Experiment, ...]:
        """Return what holds the names that the plan wants to create."""
        wanted = {each.name for each in plan.actions if isinstance(each, CreateAnalysisRun | CreateExperiment)}
        return tuple(each for each in self.taken if each.metadata.name in wanted)

    def step(self) -> Plan[RolloutStatus]:
        """Plan once and carry the plan out."""
        plan = self.plan()
        self.apply(plan)
        return plan

    def apply(self, plan: Plan[RolloutStatus], stop_after: int | None = None) -> None:
        """Carry out a plan, or only its first `stop_after` actions, as if the controller had died after them."""
        self.plans.append(plan)
        for position, action in enumerate(plan.actions):
            if position == stop_after:
                return
            self._carry_out(action)
            self.after_write(action)
            self.events.extend(action.events)
        if stop_after is not None:
            return
        if plan.status is not None:
            patch = status_patch(self.rollout.status, plan.status)
            assert patch, "a status that changes nothing must not be written"
            self.rollout = self._patched(self.rollout, patch)
            self.status_writes += 1
            self.writes.append("PatchStatus")
        self.events.extend(plan.events)

    def run(self, *, passes_max: int = 60, each: Callable[[], None] | None = None) -> list[str]:
        """Plan, apply and let the pods settle until nothing changes; return what `shape` said after each write."""
        shapes: list[str] = []
        for _ in range(passes_max):
            plan = self.step()
            if each is not None:
                each()
            if not plan.writes_nothing and (not shapes or shapes[-1] != self.shape()):
                shapes.append(self.shape())
            settled = self.settle_pods()
            if plan.writes_nothing and not settled:
                return shapes
        raise AssertionError(f"still moving after {passes_max} passes; the last shapes are {shapes[-5:]}")

    def run_to_phase(self, phase: str) -> None:
        self.run()
        assert self.rollout.status.phase == phase, self.rollout.status.message

    # ---- What a test looks at -----------------------------------------------------------------------------------

    @property
    def status(self) -> RolloutStatus:
        return self.rollout.status

    def shape(self) -> str:
        """Return the sizes of all ReplicaSets, oldest first: ``8/2``."""
        ordered = sorted(
            self.replica_sets.values(), key=lambda each: (each.metadata.creation_timestamp, each.metadata.name)
        )
        return "/".join(str(size_of(each)) for each in ordered)

    def of_image(self, image: str) -> ReplicaSet:
        return next(each for each in self.replica_sets.values() if self.image_of(each) == image)

    def revision(self, image: str) -> int | None:
        return revision_of(self.of_image(image))

    def hash(self, image: str) -> str:
        return hash_of(self.of_image(image))

    @staticmethod
    def image_of(replica_set: ReplicaSet) -> str:
        return str(msgspec.json.decode(replica_set.spec.template)["spec"]["containers"][0]["image"])

    def condition(self, kind: str) -> Condition | None:
        return find_condition(self.status.conditions, kind)

    def reason(self, kind: str = names.CONDITION_PROGRESSING) -> str:
        found = self.condition(kind)
        return found.reason if found is not None else ""

    def event_reasons(self) -> list[str]:
        return [each.reason for each in self.events]

    def selected(self, service_name: str) -> str:
        return self.services[service_name].spec.selector.get(names.POD_TEMPLATE_HASH_LABEL, "")

    # ---- The API server -----------------------------------------------------------------------------------------

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _carry_out(self, action: Action) -> None:
        self.writes.append(type(action).__name__)
        match action:
            case CreateReplicaSet():
                self._create(action.manifest)
            case PatchReplicaSet():
                self.replica_sets[action.name] = self._patched(self.replica_sets[action.name], action.merge_patch())
            case AdoptReplicaSet():
                self._add_owner(action)
            case ReleaseReplicaSet():
                old = self.replica_sets[action.name]
                kept = tuple(each for each in old.metadata.owner_references if each.uid != action.owner_uid)
                self.replica_sets[action.name] = replace(old, metadata=replace(old.metadata, owner_references=kept))
            case DeleteReplicaSet():
                if self.replica_sets[action.name].metadata.resource_version != action.resource_version:
                    raise Conflict(action)
                del self.replica_sets[action.name]
            case PatchService():
                self.services[action.name] = self._patched(self.services[action.name], action.merge_patch())
            case PatchRollout():
                patch = action.merge_patch()
                self.rollout = self._patched(self.rollout, patch)
                if "spec" in patch:
                    metadata = replace(self.rollout.metadata, generation=self.rollout.metadata.generation + 1)
                    self.rollout = replace(self.rollout, metadata=metadata)
            case ScaleWorkload():
                self._scale_workload(action)
            case EvictPod():
                self.pods = [each for each in self.pods if each.metadata.name != action.name]
            case PatchPodMetadata():
                self.pods = [
                    self._patch_pod(each, action) if each.metadata.name == action.name else each for each in self.pods
                ]
            case CreateAnalysisRun():
                self.analysis_runs.append(self._created(action.manifest, AnalysisRun))
            case CreateExperiment():
                self.experiments.append(self._created(action.manifest, Experiment))
            case TerminateAnalysisRun():
                self.analysis_runs = [
                    replace(each, spec=replace(each.spec, terminate=True))
                    if each.metadata.name == action.name
                    else each
                    for each in self.analysis_runs
                ]
            case DeleteAnalysisRun():
                self.analysis_runs = [each for each in self.analysis_runs if each.metadata.name != action.name]
            case TerminateExperiment():
                self.experiments = [
                    replace(each, spec=replace(each.spec, terminate=True))
                    if each.metadata.name == action.name
                    else each
                    for each in self.experiments
                ]
            case DeleteExperiment():
                self.experiments = [each for each in self.experiments if each.metadata.name != action.name]
            case CreateObject():
                assert action.ref not in self.objects, "the plan creates what exists"
                self.objects[action.ref] = action.manifest
            case PatchObject():
                merged = merged_into(self.objects[action.ref], action.patch)
                self.objects[action.ref] = msgspec.json.decode(msgspec.json.encode(merged))
            case _:
                raise AssertionError(f"no such action: {action}")

    def _scale_workload(self, action: ScaleWorkload) -> None:
        deployment = self.workload
        assert isinstance(deployment, Deployment)
        assert (deployment.metadata.name, deployment.metadata.uid) == (action.ref.name, action.uid)
        metadata, spec = deployment.metadata, deployment.spec
        self.workload = replace(
            deployment,
            metadata=replace(
                metadata,
                generation=metadata.generation + (spec.replicas != action.replicas),
                annotations={**metadata.annotations, **action.annotations},
            ),
            spec=replace(spec, replicas=action.replicas),
        )

    def _add_owner(self, action: AdoptReplicaSet) -> None:
        metadata = action.strategic_merge_patch()["metadata"]
        assert isinstance(metadata, dict)
        added = msgspec.convert(metadata["ownerReferences"], type=tuple[OwnerReference, ...])
        old = self.replica_sets[action.name]
        owners = old.metadata.owner_references + added
        self.replica_sets[action.name] = replace(old, metadata=replace(old.metadata, owner_references=owners))

    def _created(self, manifest: JsonObject, kind: type[Run]) -> Run:
        """Return a run as the API server would store it."""
        self.tick()
        created = msgspec.json.decode(msgspec.json.encode(manifest), type=kind)
        name = created.metadata.name
        known = [*self.analysis_runs, *self.experiments, *self.taken]
        assert not any(isinstance(each, kind) and each.metadata.name == name for each in known), f"{name} exists"
        metadata = replace(
            created.metadata,
            uid=f"uid-of-{name}",
            resource_version=self._next(),
            generation=1,
            creation_timestamp=self.now.replace(microsecond=0),
        )
        return replace(created, metadata=metadata)

    def _create(self, manifest: JsonObject) -> None:
        self.tick()
        created = msgspec.json.decode(msgspec.json.encode(manifest), type=ReplicaSet)
        name = created.metadata.name
        assert name not in self.replica_sets, "the plan creates what exists"
        metadata = replace(
            created.metadata,
            uid=f"uid-of-{name}",
            resource_version=self._next(),
            generation=1,
            creation_timestamp=self.now.replace(microsecond=0),
        )
        self.replica_sets[name] = replace(created, metadata=metadata)

    def _patched(self, obj: T, patch: JsonObject) -> T:
        metadata = patch.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if version not in (None, obj.metadata.resource_version):
            raise Conflict(f"{obj.metadata.name}: decided on {version}, is {obj.metadata.resource_version}")
        value = msgspec.json.decode(msgspec.json.encode(obj))
        merged = merged_into(value, patch)
        merged["metadata"]["resourceVersion"] = self._next()
        if isinstance(obj, ReplicaSet) and "spec" in patch:
            merged["metadata"]["generation"] = obj.metadata.generation + 1
        return msgspec.json.decode(msgspec.json.encode(merged), type=type(obj))

    @staticmethod
    def _patch_pod(target: Pod, action: PatchPodMetadata) -> Pod:
        merged = merged_into(msgspec.json.decode(msgspec.json.encode(target)), action.merge_patch())
        return msgspec.json.decode(msgspec.json.encode(merged), type=Pod)


def merged_into(value: Any, patch: Any) -> Any:
    """Apply a JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, each in patch.items():
        if each is None:
            result.pop(key, None)
        else:
            result[key] = merged_into(result.get(key), each)
    return result


def paused_for(reason: str, ago: timedelta = timedelta()) -> PauseCondition:
    return PauseCondition(reason=reason, start_time=NOW - ago)
