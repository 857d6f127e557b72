"""What is known before anything is decided about an Experiment, and the draft of a decision.

The context is a view of the snapshot: which ReplicaSet and which Services belong to which template, what the status
says of each, and whether the Experiment is being wound up. All of that comes from the *stored* status; what a pass
finds out counts from the next one on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from prograde.api import defaults, names
from prograde.api.experiment import (
    Experiment,
    ExperimentAnalysisRunStatus,
    ExperimentSpec,
    ExperimentStatus,
    ExperimentTemplate,
    ExperimentTemplateStatus,
)
from prograde.api.meta import Object, controller_of, is_controlled_by
from prograde.api.scalars import InvalidDuration, parse_duration, whole_seconds
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.experiment.snapshot import ExperimentSnapshot, Refusal
from prograde.core.plan import Action, Event, Wait

__all__ = ["LEFT_OVER_RETRY", "Ambiguous", "Draft", "ExperimentContext", "is_terminating", "make_context"]

Child = TypeVar("Child", ReplicaSet, Service)
Named = TypeVar("Named", ExperimentTemplate, ExperimentTemplateStatus)

LEFT_OVER_RETRY: Final = timedelta(seconds=1)
"""When to look again for a name that somebody is about to give up."""


class Ambiguous(ValueError):
    """Two ReplicaSets say that they are the one of a template."""


@dataclass(frozen=True, slots=True)
class ExperimentContext:
    """The facts of one pass."""

    snapshot: ExperimentSnapshot
    now: datetime
    stamp: datetime
    """`now` as it is stored."""
    status: ExperimentStatus
    """As stored, with one entry for each name."""
    replica_sets: dict[str, ReplicaSet]
    """By template; also of templates that the spec no longer names."""
    services: dict[str, tuple[Service, ...]]
    """By template; also of templates that the spec no longer names."""
    is_terminating: bool
    is_valid: bool
    """False when the spec is not, and the Experiment is only wound up."""

    @property
    def experiment(self) -> Experiment:
        return self.snapshot.experiment

    @property
    def spec(self) -> ExperimentSpec:
        return self.snapshot.experiment.spec

    @property
    def templates(self) -> tuple[ExperimentTemplate, ...]:
        """The templates of the spec, each name once."""
        return tuple(each for each in _first_of_each_name(self.spec.templates) if each.name)

    @property
    def ends_at(self) -> datetime | None:
        """When the duration is over; None without a duration, and before it has begun."""
        duration, begun_at = duration_of(self.spec), self.status.available_at
        return None if duration is None or begun_at is None else begun_at + duration

    @property
    def is_duration_over(self) -> bool:
        return self.ends_at is not None and self.ends_at <= self.now

    @property
    def progress_deadline(self) -> timedelta:
        return timedelta(seconds=defaults.effective_progress_deadline_seconds(self.spec))

    def template_status(self, name: str) -> ExperimentTemplateStatus | None:
        return next((each for each in self.status.template_statuses if each.name == name), None)

    def analysis_status(self, name: str) -> ExperimentAnalysisRunStatus | None:
        return next((each for each in self.status.analysis_runs if each.name == name), None)

    def desired(self, template: ExperimentTemplate) -> int:
        """Return how many pods a template is to have now."""
        stored = self.template_status(template.name)
        if self.is_terminating or (stored is not None and stored.status in names.COMPLETED_TEMPLATE_STATUSES):
            return 0
        return defaults.effective_experiment_replicas(template)

    def refusal(self, kind: type[Action], name: str) -> Refusal | None:
        """Return why an action on the object of this name was refused in this pass; None if it was not."""
        return next(
            (
                each
                for each in self.snapshot.refusals
                if isinstance(each.action, kind) and getattr(each.action, "name", None) == name
            ),
            None,
        )

    def is_of_template(self, obj: Object, template: str) -> bool:
        """Tell whether an object is ours, and made for this template."""
        annotations = obj.metadata.annotations
        return (
            is_controlled_by(obj, self.experiment.metadata.uid)
            and annotations.get(names.EXPERIMENT_NAME_ANNOTATION) == self.experiment.metadata.name
            and annotations.get(names.EXPERIMENT_TEMPLATE_NAME_ANNOTATION) == template
        )

    def is_left_over(self, obj: Object) -> bool:
        """Tell whether an object that is not ours is about to go, maybe as that of an earlier one of our name."""
        owner = controller_of(obj)
        return obj.metadata.deletion_timestamp is not None or (
            owner is not None
            and (owner.kind, owner.name) == (names.EXPERIMENT, self.experiment.metadata.name)
            and owner.uid != self.experiment.metadata.uid
        )


@dataclass(slots=True)
class Draft:
    """What a pass decides, as it goes along."""

    creates: list[Action] = field(default_factory=list)
    """ReplicaSets and Services; a Service is there before its pods."""
    changes: list[Action] = field(default_factory=list)
    """Sizes, and what is deleted."""
    runs: list[Action] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    due: list[datetime] = field(default_factory=list)
    """When to look again."""

    def record(self, reason: str, message: str, *, is_warning: bool = False) -> None:
        self.events.append(Event(reason, message, names.EVENT_WARNING if is_warning else names.EVENT_NORMAL))

    @property
    def groups(self) -> tuple[tuple[Action, ...], ...]:
        return tuple(tuple(group) for group in (self.creates, self.changes, self.runs) if group)


def make_context(snapshot: ExperimentSnapshot, now: datetime, *, is_valid: bool = True) -> ExperimentContext:
    """Return the facts of a pass.

    Raises:
        Ambiguous: two ReplicaSets claim the same template of the spec.
    """
    experiment = snapshot.experiment
    status = _without_doubles(experiment.status)
    in_spec = {each.name for each in experiment.spec.templates}
    replica_sets: dict[str, ReplicaSet] = {}
    for each, template in _claimed(experiment, snapshot.replica_sets):
        if template in replica_sets and template in in_spec:
            raise Ambiguous(f"multiple ReplicaSets match single experiment template: {template}")
        replica_sets[template] = each
    services: dict[str, tuple[Service, ...]] = {}
    for service, template in _claimed(experiment, snapshot.services):
        services[template] = (*services.get(template, ()), service)
    return ExperimentContext(
        snapshot=snapshot,
        now=now,
        stamp=whole_seconds(now),
        status=status,
        replica_sets=replica_sets,
        services=services,
        is_terminating=is_terminating(experiment.spec, status),
        is_valid=is_valid,
    )


def duration_of(spec: ExperimentSpec) -> timedelta | None:
    """Return how long the Experiment is to run; None without end, also where the text is none (the spec is invalid)."""
    try:
        return parse_duration(spec.duration) if spec.duration else None
    except InvalidDuration:
        return None


def is_terminating(spec: ExperimentSpec, status: ExperimentStatus) -> bool:
    """Tell whether an Experiment is being wound up: no pods are wanted any more, and no new runs."""
    required = [each.name for each in spec.analyses if each.required_for_completion]
    phases = {each.name: each.phase for each in status.analysis_runs}
    return (
        spec.terminate
        or status.phase in names.COMPLETED_RUN_PHASES
        or any(each.status in _FAILED_TEMPLATE for each in status.template_statuses)
        or any(phase in _FAILED_RUN for phase in phases.values())
        or (bool(required) and all(phases.get(name) == names.RUN_SUCCESSFUL for name in required))
    )


_FAILED_TEMPLATE = (names.TEMPLATE_FAILED, names.TEMPLATE_ERROR)
_FAILED_RUN = (names.RUN_FAILED, names.RUN_ERROR, names.RUN_INCONCLUSIVE)


def _claimed(experiment: Experiment, objects: Iterable[Child]) -> Iterable[tuple[Child, str]]:
    """Yield the objects that belong to the Experiment, each with the name of its template."""
    for each in objects:
        template = each.metadata.annotations.get(names.EXPERIMENT_TEMPLATE_NAME_ANNOTATION, "")
        is_named = each.metadata.annotations.get(names.EXPERIMENT_NAME_ANNOTATION) == experiment.metadata.name
        if template and is_named and is_controlled_by(each, experiment.metadata.uid):
            yield each, template


def _without_doubles(status: ExperimentStatus) -> ExperimentStatus:
    """Return the status with the first entry of each template. (Argo Rollouts may have left more of them.)"""
    return msgspec.structs.replace(status, template_statuses=_first_of_each_name(status.template_statuses))


def _first_of_each_name(entries: Iterable[Named]) -> tuple[Named, ...]:
    by_name: dict[str, Named] = {}
    for each in entries:
        by_name.setdefault(each.name, each)
    return tuple(by_name.values())
