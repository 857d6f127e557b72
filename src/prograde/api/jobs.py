"""batch/v1 Jobs, as far as the outcome of a measurement depends on them."""

from typing import ClassVar, Final

import msgspec

from prograde.api.meta import Condition, LabelSelector, ObjectMeta, WireStruct

__all__ = ["JOB_COMPLETE", "JOB_FAILED", "Job", "job_outcome"]

JOB_COMPLETE: Final = "Complete"
JOB_FAILED: Final = "Failed"


class JobSpec(WireStruct, frozen=True, kw_only=True):
    """The kept part of a Job's spec."""

    selector: LabelSelector | None = None


class JobStatus(WireStruct, frozen=True, kw_only=True):
    """The kept part of a Job's status."""

    conditions: tuple[Condition, ...] = ()


class Job(WireStruct, frozen=True, kw_only=True):
    """One Job."""

    API_VERSION: ClassVar = "batch/v1"
    KIND: ClassVar = "Job"

    metadata: ObjectMeta = ObjectMeta()
    spec: JobSpec = msgspec.field(default_factory=JobSpec)
    status: JobStatus = msgspec.field(default_factory=JobStatus)


def job_outcome(job: Job) -> str:
    """Return the type of the condition that has ended a Job, ``""`` while there is none.

    The status of the condition does not matter, and of several the last one counts.
    """
    ends = [each.type for each in job.status.conditions if each.type in (JOB_COMPLETE, JOB_FAILED)]
    return ends[-1] if ends else ""
