"""The worlds of `builders` with analyses, experiments and step plugins, and words for what happens to runs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from tests.core.rollout.bluegreen_world import BlueGreenWorld
from tests.core.rollout.builders import NOW, World, hash_for, owner, replace, rollout

from prograde.api import names
from prograde.api.analysis import (
    AnalysisRun,
    AnalysisRunStatus,
    AnalysisTemplate,
    AnalysisTemplateRef,
    AnalysisTemplateSpec,
    Argument,
    ClusterAnalysisTemplate,
    Metric,
    MetricProvider,
    WebMetric,
)
from prograde.api.experiment import Experiment, ExperimentStatus
from prograde.api.meta import ObjectMeta, OwnerReference
from prograde.api.rollout import (
    BackgroundAnalysis,
    CanaryStep,
    CanaryStrategy,
    ExperimentStep,
    ExperimentStepTemplate,
    PauseCondition,
    PluginStep,
    RolloutAnalysis,
)
from prograde.api.workloads import Service

V1, V2, V3 = hash_for("v1"), hash_for("v2"), hash_for("v3")

AnyWorld = TypeVar("AnyWorld", bound=World)


# ---- Pieces ----------------------------------------------------------------------------------------------------------


def metric(name: str) -> Metric:
    provider = MetricProvider(web=WebMetric(url="http://metrics.example", json_path="{$.value}"))
    return Metric(name=name, provider=provider, success_condition="result < 0.05")


def analysis_template(name: str, *metrics: str, args: Sequence[Argument] = (), **spec: Any) -> AnalysisTemplate:
    measured = tuple(metric(each) for each in (metrics or (name,)))
    return AnalysisTemplate(
        metadata=ObjectMeta(name=name, namespace="shop"),
        spec=AnalysisTemplateSpec(metrics=measured, args=tuple(args), **spec),
    )


def cluster_template(name: str, *metrics: str) -> ClusterAnalysisTemplate:
    spec = analysis_template(name, *metrics).spec
    return ClusterAnalysisTemplate(metadata=ObjectMeta(name=name), spec=spec)


def refs(*names_of_templates: str) -> tuple[AnalysisTemplateRef, ...]:
    return tuple(AnalysisTemplateRef(template_name=each) for each in names_of_templates)


def analysis(*names_of_templates: str, **members: Any) -> RolloutAnalysis:
    return RolloutAnalysis(templates=refs(*(names_of_templates or ("errors",))), **members)


def analysis_step(*names_of_templates: str, **members: Any) -> CanaryStep:
    return CanaryStep(analysis=analysis(*names_of_templates, **members))


def background(*names_of_templates: str, **members: Any) -> BackgroundAnalysis:
    return BackgroundAnalysis(templates=refs(*(names_of_templates or ("errors",))), **members)


def experiment_step(*templates: ExperimentStepTemplate, **members: Any) -> CanaryStep:
    templates = templates or (ExperimentStepTemplate(name="canary", spec_ref="canary"),)
    return CanaryStep(experiment=ExperimentStep(templates=templates, **members))


def plugin_step(name: str = "acme/approve", config: Any = None) -> CanaryStep:
    raw = {} if config is None else {"config": msgspec.Raw(msgspec.json.encode(config))}
    return CanaryStep(plugin=PluginStep(name=name, **raw))


def run(
    name: str,
    phase: str = "",
    *,
    kind: str = names.ANALYSIS_STEP,
    pod_hash: str = V2,
    step: int | None = 0,
    owners: Sequence[OwnerReference] | None = None,
    labels: dict[str, str] | None = None,
    message: str = "",
    age_seconds: int = 0,
    **spec: Any,
) -> AnalysisRun:
    """Return an AnalysisRun of the standard Rollout that nobody has created."""
    marks = {names.POD_TEMPLATE_HASH_LABEL: pod_hash, names.ROLLOUT_TYPE_LABEL: kind}
    if step is not None and kind == names.ANALYSIS_STEP:
        marks[names.STEP_INDEX_LABEL] = str(step)
    made = AnalysisRun(
        metadata=ObjectMeta(
            name=name,
            namespace="shop",
            uid=f"uid-of-{name}",
            labels=marks if labels is None else labels,
            owner_references=(owner(),) if owners is None else tuple(owners),
            creation_timestamp=NOW - timedelta(seconds=age_seconds),
        ),
        status=AnalysisRunStatus(phase=phase, message=message),
    )
    return replace(made, spec=replace(made.spec, **spec))


# ---- Worlds ----------------------------------------------------------------------------------------------------------


class RunsWorld(World):
    """A canary with runs. What may never happen is checked after every plan."""

    def apply(self, plan: Any, stop_after: int | None = None) -> None:
        super().apply(plan, stop_after)
        check_runs(self)

    @property
    def index(self) -> int | None:
        return self.status.current_step_index

    @property
    def pauses(self) -> list[str]:
        return [each.reason for each in self.status.pause_conditions]

    @property
    def step_entry(self) -> tuple[str, str] | None:
        entry = self.status.canary.current_step_analysis_run_status
        return None if entry is None else (entry.name, entry.status)

    @property
    def background_entry(self) -> tuple[str, str] | None:
        entry = self.status.canary.current_background_analysis_run_status
        return None if entry is None else (entry.name, entry.status)

    def resume(self) -> None:
        """Clear the pauses and nothing else, as dashboards do."""
        self.change_status(pause_conditions=())

    def promote(self) -> None:
        """Go on to the next step, as the command line does while no pause condition holds the Rollout."""
        self.change_status(pause_conditions=(), controller_pause=False, current_step_index=(self.index or 0) + 1)

    def abort(self) -> None:
        self.change_status(abort=True)

    def retry(self) -> None:
        self.change_status(abort=False)


def check_runs(world: World) -> None:
    """No two runs of one kind are ever at work for one Rollout."""
    at_work = [
        (each.metadata.labels.get(names.ROLLOUT_TYPE_LABEL), each.metadata.labels.get(names.STEP_INDEX_LABEL))
        for each in world.analysis_runs
        if each.status.phase not in names.COMPLETED_RUN_PHASES and not each.spec.terminate
    ]
    assert len(at_work) == len(set(at_work)), f"two runs measure the same: {at_work}"
    running = [
        each.metadata.name
        for each in world.experiments
        if each.status.phase not in names.COMPLETED_RUN_PHASES and not each.spec.terminate
    ]
    assert len(running) <= 1, f"two Experiments at once: {running}"


def deployed(
    *steps: CanaryStep,
    replicas: int = 2,
    templates: Sequence[AnalysisTemplate | ClusterAnalysisTemplate] = (),
    services: Sequence[Service] = (),
    **strategy: Any,
) -> RunsWorld:
    """A canary whose first version is stable and healthy."""
    world = RunsWorld(rollout(canary=CanaryStrategy(steps=steps, **strategy), replicas=replicas), services=services)
    for each in (analysis_template("errors"), analysis_template("latency"), *templates):
        if isinstance(each, AnalysisTemplate):
            world.templates[each.metadata.name] = each
        else:
            world.cluster_templates[each.metadata.name] = each
    world.run_to_phase("Healthy")
    world.events.clear()
    world.writes.clear()
    return world


def updating(*steps: CanaryStep, **options: Any) -> RunsWorld:
    """A canary that goes from v1 to v2 as far as it comes by itself."""
    world = deployed(*steps, **options)
    world.set_image("v2")
    world.run()
    return world


def updating_blue_green(**options: Any) -> BlueGreenWorld:
    """A blue-green Rollout that goes from v1 to v2 as far as it comes by itself."""
    world = BlueGreenWorld.create(**options)
    world.templates = {"errors": analysis_template("errors"), "latency": analysis_template("latency")}
    world.settle()
    assert world.status.phase == "Healthy", world.status.message
    world.tick(3600)
    world.set_image("v2")
    world.events.clear()
    world.settle()
    return world


# ---- What happens to runs --------------------------------------------------------------------------------------------


def run_names(world: World) -> list[str]:
    return [each.metadata.name for each in world.analysis_runs]


def find_run(world: World, name: str) -> AnalysisRun:
    return next(each for each in world.analysis_runs if each.metadata.name == name)


def set_phase(world: World, name: str, phase: str, message: str = "") -> None:
    """Let a run come to a phase, as its controller would write it."""
    found = find_run(world, name)
    changed = replace(found, status=AnalysisRunStatus(phase=phase, message=message))
    world.analysis_runs = [changed if each is found else each for each in world.analysis_runs]


def find_experiment(world: World, name: str) -> Experiment:
    return next(each for each in world.experiments if each.metadata.name == name)


def set_experiment(world: World, name: str, phase: str, message: str = "", **status: Any) -> None:
    """Let an Experiment come to a phase, as its controller would write it."""
    found = find_experiment(world, name)
    changed = replace(found, status=ExperimentStatus(phase=phase, message=message, **status))
    world.experiments = [changed if each is found else each for each in world.experiments]


def is_stopped(run: AnalysisRun | Experiment) -> bool:
    return run.spec.terminate


def paused(*reasons: str) -> tuple[PauseCondition, ...]:
    return tuple(PauseCondition(reason=each, start_time=NOW) for each in reasons)


def messages(world: World, reason: str) -> list[str]:
    return [each.message for each in world.events if each.reason == reason]
