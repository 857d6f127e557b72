"""Experiments of canary steps: whether one runs now, and which traffic its templates get."""

from prograde.api import names
from prograde.api.experiment import Experiment
from prograde.api.rollout import ExperimentStep, WeightDestination
from prograde.core.rollout.context import RolloutContext

__all__ = ["current_experiment", "destinations"]


def destinations(context: RolloutContext) -> tuple[WeightDestination, ...]:
    """Return the further destinations of traffic: the weighted templates of the Experiment, while it is running.

    In the order of the Experiment's own status, which knows the Services and hashes behind the templates. Before it is
    running and after it has ended there are none, so that the traffic is gone before its pods are.
    """
    step, experiment = _last_step(context), current_experiment(context)
    if step is None or experiment is None or experiment.status.phase != names.RUN_RUNNING:
        return ()
    weights = {each.name: each.weight for each in step.templates}
    found = []
    for template in experiment.status.template_statuses:
        weight = weights.get(template.name)
        if weight is not None:
            found.append(
                WeightDestination(
                    weight=weight, service_name=template.service_name, pod_template_hash=template.pod_template_hash
                )
            )
    return tuple(found)


def current_experiment(context: RolloutContext) -> Experiment | None:
    """Return the Experiment that the status records; None when it records none, or that one is gone."""
    name = context.status.canary.current_experiment
    return next((each for each in context.snapshot.experiments if name and each.metadata.name == name), None)


def _last_step(context: RolloutContext) -> ExperimentStep | None:
    """Return the experiment of the current step, or of the last one before it that has any."""
    index = context.step_index
    until = 0 if index is None else index + 1
    return next((each.experiment for each in reversed(context.steps[:until]) if each.experiment is not None), None)
