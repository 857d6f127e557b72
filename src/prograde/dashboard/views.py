"""What people see of a Rollout: plain values, computed from the objects alone.

The command line prints these views and the dashboard sends them; both therefore agree on every status word, icon, tag
and order. Nothing here reads a clock: times stay times, whoever prints them turns them into ages.
"""

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import NO_RAW, ObjectMeta, find_condition
from prograde.api.names import (
    CONDITION_REPLICA_FAILURE,
    CONDITION_TRUE,
    EXPERIMENT_TEMPLATE_NAME_ANNOTATION,
    POD_TEMPLATE_HASH_LABEL,
    REVISION_ANNOTATION,
    SCALE_DOWN_DEADLINE_ANNOTATION,
)
from prograde.api.rollout import CanaryStrategy, Rollout
from prograde.api.workloadref import UnresolvedWorkload, Workload, resolve_workload
from prograde.api.workloads import Container, ContainerStatus, Pod, ReplicaSet
from prograde.core.rollout.status import phase_and_message

__all__ = [
    "AnalysisRunView",
    "ExperimentView",
    "ImageView",
    "JobView",
    "PodView",
    "ReplicaSetView",
    "RolloutView",
    "canary_weights",
    "experiment_view",
    "rollout_icon",
    "rollout_view",
    "run_icon",
    "step_text",
    "strategy_name",
]


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The base of all views; encodes to the JSON that `--output json` prints."""


class ImageView(View, frozen=True, kw_only=True):
    """An image that runs, and the roles it runs in."""

    image: str
    tags: tuple[str, ...] = ()


class PodView(View, frozen=True, kw_only=True):
    """A pod as `kubectl get pods` words it."""

    name: str
    status: str
    icon: str
    ready: str
    restarts: int
    created_at: datetime | None


class ReplicaSetView(View, frozen=True, kw_only=True):
    """One revision's pods. `tags` holds stable, canary, active, preview, ping and pong as they apply, in this order."""

    name: str
    revision: int
    status: str
    icon: str
    template: str
    images: tuple[str, ...]
    init_container_images: tuple[str, ...]
    tags: tuple[str, ...]
    scale_down_deadline: str
    created_at: datetime | None
    replicas: int
    available: int
    pods: tuple[PodView, ...]


class JobView(View, frozen=True, kw_only=True):
    """One Job that a metric ran."""

    name: str
    namespace: str
    metric_name: str
    status: str
    icon: str
    created_at: datetime | None


class AnalysisRunView(View, frozen=True, kw_only=True):
    """One AnalysisRun with the sums over its metrics, dry-run ones included."""

    name: str
    revision: int
    status: str
    icon: str
    successful: int
    failed: int
    inconclusive: int
    error: int
    created_at: datetime | None
    jobs: tuple[JobView, ...]


class ExperimentView(View, frozen=True, kw_only=True):
    """One Experiment and what it runs."""

    name: str
    namespace: str
    revision: int
    status: str
    icon: str
    message: str
    created_at: datetime | None
    images: tuple[ImageView, ...]
    replica_sets: tuple[ReplicaSetView, ...]
    analysis_runs: tuple[AnalysisRunView, ...]


class RolloutView(View, frozen=True, kw_only=True):
    """One Rollout and everything below it. `step`, `set_weight` and `actual_weight` are empty but for canaries."""

    name: str
    namespace: str
    status: str
    icon: str
    message: str
    strategy: str
    step: str
    set_weight: str
    actual_weight: str
    desired: int
    current: int
    updated: int
    ready: int
    available: int
    generation: str
    created_at: datetime | None
    restarted_at: datetime | None
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...]
    images: tuple[ImageView, ...]
    replica_sets: tuple[ReplicaSetView, ...]
    experiments: tuple[ExperimentView, ...]
    analysis_runs: tuple[AnalysisRunView, ...]

    @property
    def revisions(self) -> tuple[int, ...]:
        """The revisions of all children, newest first; a child without one belongs to revision 0."""
        children: Iterable[ReplicaSetView | ExperimentView | AnalysisRunView] = (
            *self.replica_sets,
            *self.experiments,
            *self.analysis_runs,
        )
        return tuple(sorted({child.revision for child in children}, reverse=True))


class _TemplateSpec(msgspec.Struct, frozen=True, rename="camel"):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class _Template(msgspec.Struct, frozen=True):
    """The part of a pod template that people see."""

    spec: _TemplateSpec = _TemplateSpec()


_decode_template = msgspec.json.Decoder(_Template).decode


def rollout_view(
    rollout: Rollout,
    *,
    replica_sets: Iterable[ReplicaSet] = (),
    pods: Iterable[Pod] = (),
    analysis_runs: Iterable[AnalysisRun] = (),
    experiments: Iterable[Experiment] = (),
    workload: Workload | None = None,
) -> RolloutView:
    """Return the view of `rollout`; objects that belong to others may be given and are left out.

    `workload` is what `spec.workloadRef` names, if it is there and may be read. A change of it that the controller has
    not seen yet then makes the Rollout wait, as a change of its own does.
    """
    with contextlib.suppress(UnresolvedWorkload):
        rollout = resolve_workload(rollout, workload)
    all_sets, all_pods, all_runs = tuple(replica_sets), tuple(pods), tuple(analysis_runs)
    uid = rollout.metadata.uid
    sets = _replica_set_views(uid, all_sets, all_pods, rollout)
    made_experiments = [
        experiment_view(experiment, replica_sets=all_sets, pods=all_pods, analysis_runs=all_runs)
        for experiment in experiments
        if _is_owned(experiment.metadata, uid)
    ]
    made_experiments.sort(key=lambda view: (-view.revision, _instant(view.created_at)))
    phase, message = phase_and_message(rollout, is_template_resolved=workload is not None)
    canary = rollout.spec.strategy.canary
    set_weight, actual_weight = canary_weights(rollout, sets)
    template = _template_of(rollout.spec.template)
    status = rollout.status
    return RolloutView(
        name=rollout.metadata.name,
        namespace=rollout.metadata.namespace,
        status=phase,
        icon=rollout_icon(phase),
        message=message,
        strategy=strategy_name(rollout),
        step=step_text(rollout),
        set_weight=str(set_weight) if canary else "",
        actual_weight=str(actual_weight) if canary else "",
        desired=1 if rollout.spec.replicas is None else rollout.spec.replicas,
        current=status.replicas,
        updated=status.updated_replicas,
        ready=status.ready_replicas,
        available=status.available_replicas,
        generation=status.observed_generation,
        created_at=rollout.metadata.creation_timestamp,
        restarted_at=status.restarted_at,
        containers=template.spec.containers,
        init_containers=template.spec.init_containers,
        images=_images(sets, [view for made in made_experiments for view in made.replica_sets]),
        replica_sets=sets,
        experiments=tuple(made_experiments),
        analysis_runs=_analysis_run_views(uid, all_runs),
    )


def experiment_view(
    experiment: Experiment,
    *,
    replica_sets: Iterable[ReplicaSet] = (),
    pods: Iterable[Pod] = (),
    analysis_runs: Iterable[AnalysisRun] = (),
) -> ExperimentView:
    """Return the view of `experiment`; objects of others may be given and are left out."""
    uid = experiment.metadata.uid
    sets = _replica_set_views(uid, tuple(replica_sets), tuple(pods), None)
    return ExperimentView(
        name=experiment.metadata.name,
        namespace=experiment.metadata.namespace,
        revision=_revision(experiment.metadata),
        status=experiment.status.phase,
        icon=run_icon(experiment.status.phase),
        message=experiment.status.message,
        created_at=experiment.metadata.creation_timestamp,
        images=_images((), sets),
        replica_sets=sets,
        analysis_runs=_analysis_run_views(uid, tuple(analysis_runs)),
    )


# --- Rollout ---------------------------------------------------------------------------------------------------------


def strategy_name(rollout: Rollout) -> str:
    """Return ``Canary``, ``BlueGreen``, ``Recreate`` or, when none is set, ``""``."""
    strategy = rollout.spec.strategy
    if strategy.canary is not None:
        return "Canary"
    if strategy.blue_green is not None:
        return "BlueGreen"
    return "Recreate" if strategy.recreate is not None else ""


def step_text(rollout: Rollout) -> str:
    """Return ``index/count`` of a canary that has steps and is at one, else ``""``."""
    canary = rollout.spec.strategy.canary
    if canary is None or not canary.steps or rollout.status.current_step_index is None:
        return ""
    return f"{rollout.status.current_step_index}/{len(canary.steps)}"


def canary_weights(rollout: Rollout, replica_sets: Sequence[ReplicaSetView] = ()) -> tuple[int, int]:
    """Return the weight that the steps ask for and the weight that the canary has.

    Without traffic routing the latter is the canary's share of the available pods, in whole units.
    """
    canary = rollout.spec.strategy.canary
    status = rollout.status
    if canary is None:
        return 0, 0
    routing = canary.traffic_routing
    maximum = routing.max_traffic_weight if routing and routing.max_traffic_weight is not None else 100
    index = status.current_step_index
    is_at_step = bool(canary.steps) and index is not None and index < len(canary.steps)
    if status.abort:
        set_weight = 0
    elif not is_at_step:
        set_weight = maximum
    else:
        assert index is not None
        set_weight = _weight_at(canary, index)
    if not is_at_step:
        return set_weight, maximum
    if status.available_replicas <= 0:
        return set_weight, 0
    if routing is None:
        available = next((view.available for view in replica_sets if "canary" in view.tags), 0)
        return set_weight, available * maximum // status.available_replicas
    return set_weight, status.canary.weights.canary.weight if status.canary.weights else set_weight


def _weight_at(canary: CanaryStrategy, index: int) -> int:
    for step in reversed(canary.steps[: index + 1]):
        if step.set_weight is not None:
            return step.set_weight
    return 0


_ROLLOUT_ICONS = {
    "Progressing": "◌",
    "Error": "⚠",
    "InvalidSpec": "⚠",
    "Paused": "॥",
    "Healthy": "✔",
    "Degraded": "✖",
    "Unknown": "?",
    "ScaledDown": "•",
}
_RUN_ICONS = {"Successful": "✔", "Inconclusive": "?", "Failed": "✖", "Error": "⚠", "Running": "◌", "Pending": "◷"}
_REPLICA_SET_ICONS = {"Progressing": "◌", "Healthy": "✔", "ReplicaFailure": "✖", "ScaledDown": "•"}


def rollout_icon(phase: str) -> str:
    return _ROLLOUT_ICONS.get(phase, " ")


def run_icon(phase: str) -> str:
    """Return the icon of an AnalysisRun, an Experiment or a Job."""
    return _RUN_ICONS.get(phase, " ")


# --- ReplicaSets -----------------------------------------------------------------------------------------------------


def _replica_set_views(
    owner_uid: str, replica_sets: Sequence[ReplicaSet], pods: Sequence[Pod], rollout: Rollout | None
) -> tuple[ReplicaSetView, ...]:
    views = [
        _replica_set_view(replica_set, pods, rollout)
        for replica_set in replica_sets
        if _is_owned(replica_set.metadata, owner_uid)
    ]
    return tuple(sorted(views, key=lambda view: (-view.revision, view.name)))


def _replica_set_view(replica_set: ReplicaSet, pods: Sequence[Pod], rollout: Rollout | None) -> ReplicaSetView:
    metadata = replica_set.metadata
    template = _template_of(replica_set.spec.template)
    status = _replica_set_status(replica_set)
    own_pods = [_pod_view(pod) for pod in pods if _is_owned(pod.metadata, metadata.uid)]
    return ReplicaSetView(
        name=metadata.name,
        revision=_revision(metadata),
        status=status,
        icon=_REPLICA_SET_ICONS.get(status, " "),
        template=metadata.annotations.get(EXPERIMENT_TEMPLATE_NAME_ANNOTATION, ""),
        images=tuple(container.image for container in template.spec.containers),
        init_container_images=tuple(container.image for container in template.spec.init_containers),
        tags=_tags(metadata.labels.get(POD_TEMPLATE_HASH_LABEL, ""), rollout) if rollout else (),
        scale_down_deadline=metadata.annotations.get(SCALE_DOWN_DEADLINE_ANNOTATION, ""),
        created_at=metadata.creation_timestamp,
        replicas=replica_set.status.replicas,
        available=replica_set.status.available_replicas,
        pods=tuple(sorted(own_pods, key=lambda view: (_instant(view.created_at), view.name))),
    )


def _replica_set_status(replica_set: ReplicaSet) -> str:
    if replica_set.metadata.generation > replica_set.status.observed_generation:
        return "Progressing"
    failure = find_condition(replica_set.status.conditions, CONDITION_REPLICA_FAILURE)
    if failure is not None and failure.status == CONDITION_TRUE:
        return "ReplicaFailure"
    wanted = replica_set.spec.replicas
    if wanted is not None and replica_set.status.available_replicas < wanted:
        return "Progressing"
    return "ScaledDown" if wanted == 0 else "Healthy"


def _tags(template_hash: str, rollout: Rollout) -> tuple[str, ...]:
    """Return the roles of the ReplicaSet with this hash. Without a hash label it has none."""
    status = rollout.status
    if not template_hash:
        return ()
    tags: list[str] = []
    if canary := rollout.spec.strategy.canary:
        is_stable = template_hash == status.stable_rs
        is_canary = not is_stable and template_hash == status.current_pod_hash
        if is_stable or is_canary:
            tags.append("stable" if is_stable else "canary")
            if canary.ping_pong is not None:
                stable_is_ping = status.canary.stable_ping_pong == "ping"
                tags.append("ping" if is_stable == stable_is_ping else "pong")
    elif rollout.spec.strategy.blue_green is not None:
        if template_hash == status.stable_rs:
            tags.append("stable")
        if template_hash == status.blue_green.active_selector:
            tags.append("active")
        elif template_hash == status.blue_green.preview_selector:
            tags.append("preview")
    elif rollout.spec.strategy.recreate is not None:
        if template_hash == status.stable_rs:
            tags.append("stable")
        elif template_hash == status.current_pod_hash:
            tags.append("new")
    return tuple(tags)


_TAG_ORDER = ("canary", "new", "stable", "active", "preview", "ping", "pong")


def _images(replica_sets: Sequence[ReplicaSetView], of_experiments: Sequence[ReplicaSetView]) -> tuple[ImageView, ...]:
    """Return the images that pods of these ReplicaSets run, each once, with all its roles, sorted by image."""
    tagged: list[tuple[ReplicaSetView, tuple[str, ...]]] = [
        (view, tuple(tag for tag in _TAG_ORDER if tag in view.tags)) for view in replica_sets
    ]
    tagged += [(view, (f"Σ:{view.template}",) if view.template else ()) for view in of_experiments]
    merged: dict[str, tuple[str, ...]] = {}
    for view, tags in tagged:
        if view.replicas <= 0:
            continue
        for image in view.images:
            if image not in merged:
                merged[image] = tags
            elif set(tags) - set(merged[image]):
                merged[image] = tuple(sorted({*merged[image], *tags}))
    return tuple(ImageView(image=image, tags=tags) for image, tags in sorted(merged.items()))


# --- Pods ------------------------------------------------------------------------------------------------------------


def _pod_view(pod: Pod) -> PodView:
    status, ready, restarts = _pod_status(pod)
    return PodView(
        name=pod.metadata.name,
        status=status,
        icon=_pod_icon(status),
        ready=f"{ready}/{len(pod.spec.containers)}",
        restarts=restarts,
        created_at=pod.metadata.creation_timestamp,
    )


def _pod_status(pod: Pod) -> tuple[str, int, int]:
    """Return the status word, the number of ready containers and the restarts, as `kubectl get pods` finds them."""
    reason = pod.status.reason or pod.status.phase
    init_reason, restarts = _init_status(pod)
    ready = 0
    if init_reason:
        reason = init_reason
    else:
        restarts = 0
        has_running = False
        for container in reversed(pod.status.container_statuses):
            restarts += container.restart_count
            state = container.state
            if state.waiting is not None and state.waiting.reason:
                reason = state.waiting.reason
            elif state.terminated is not None:
                reason = state.terminated.reason or _exit_text(container)
            elif container.ready and state.running is not None:
                has_running = True
                ready += 1
        if reason == "Completed" and has_running:
            reason = "Running"
    if pod.metadata.deletion_timestamp is not None:
        reason = "Unknown" if pod.status.reason == "NodeLost" else "Terminating"
    return reason, ready, restarts


def _init_status(pod: Pod) -> tuple[str, int]:
    """Return the ``Init:…`` word of the first init container that is not done (``""`` for none), and the restarts."""
    sidecars = {container.name for container in pod.spec.init_containers if container.restart_policy == "Always"}
    restarts = 0
    for index, container in enumerate(pod.status.init_container_statuses):
        restarts += container.restart_count
        state = container.state
        if state.terminated is not None:
            if state.terminated.exit_code == 0:
                continue
            return f"Init:{state.terminated.reason or _exit_text(container)}", restarts
        if container.name in sidecars and container.started:
            if container.ready:
                continue
            return "", restarts
        if state.waiting is not None and state.waiting.reason not in ("", "PodInitializing"):
            return f"Init:{state.waiting.reason}", restarts
        return f"Init:{index}/{len(pod.spec.init_containers)}", restarts
    return "", restarts


def _exit_text(container: ContainerStatus) -> str:
    terminated = container.state.terminated
    assert terminated is not None
    return f"Signal:{terminated.signal}" if terminated.signal else f"ExitCode:{terminated.exit_code}"


_POD_ICONS = {
    "Pending": "◌",
    "Terminating": "◌",
    "ContainerCreating": "◌",
    "Running": "✔",
    "Completed": "✔",
    "Failed": "✖",
    "InvalidImageName": "✖",
    "CrashLoopBackOff": "✖",
    "ImagePullBackOff": "⚠",
    "RegistryUnavailable": "⚠",
    "Unknown": "?",
}


def _pod_icon(status: str) -> str:
    if status.startswith("Init:"):
        return "◌"
    if status.startswith(("Signal:", "ExitCode:")):
        return "✖"
    if status.endswith("Error") or status.startswith("Err"):
        return "⚠"
    return _POD_ICONS.get(status, " ")


# --- AnalysisRuns and Jobs ------------------------------------------------------------------------------------------


def _analysis_run_views(owner_uid: str, runs: Sequence[AnalysisRun]) -> tuple[AnalysisRunView, ...]:
    views = [_analysis_run_view(run) for run in runs if _is_owned(run.metadata, owner_uid)]
    # Three stable sorts, the least important first: the name descends while the creation time ascends.
    views.sort(key=lambda view: view.name, reverse=True)
    views.sort(key=lambda view: _instant(view.created_at))
    views.sort(key=lambda view: view.revision, reverse=True)
    return tuple(views)


def _analysis_run_view(run: AnalysisRun) -> AnalysisRunView:
    results = run.status.metric_results
    jobs = tuple(
        JobView(
            name=measurement.metadata["job-name"],
            namespace=measurement.metadata.get("job-namespace", run.metadata.namespace),
            metric_name=result.name,
            status=measurement.phase,
            icon=run_icon(measurement.phase),
            created_at=measurement.started_at,
        )
        for result in results
        for measurement in result.measurements
        if "job-name" in measurement.metadata
    )
    return AnalysisRunView(
        name=run.metadata.name,
        revision=_revision(run.metadata),
        status=run.status.phase,
        icon=run_icon(run.status.phase),
        successful=sum(result.successful for result in results),
        failed=sum(result.failed for result in results),
        inconclusive=sum(result.inconclusive for result in results),
        error=sum(result.error for result in results),
        created_at=run.metadata.creation_timestamp,
        jobs=jobs,
    )


# --- Metadata --------------------------------------------------------------------------------------------------------


def _is_owned(metadata: ObjectMeta, uid: str) -> bool:
    return any(owner.uid == uid for owner in metadata.owner_references)


def _revision(metadata: ObjectMeta) -> int:
    try:
        return int(metadata.annotations.get(REVISION_ANNOTATION, "0"))
    except ValueError:
        return 0


def _instant(time: datetime | None) -> float:
    return time.timestamp() if time else 0.0


def _template_of(raw: msgspec.Raw) -> _Template:
    """Decode what people see of a pod template; a broken one shows nothing rather than breaking the whole view."""
    if raw is NO_RAW:
        return _Template()
    try:
        return _decode_template(raw)
    except msgspec.ValidationError:
        return _Template()
