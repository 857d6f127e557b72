"""What is put into a rehearsed release and what comes out: `Conditions`, and a `Timeline` of moments with a verdict.

The names of a `Timeline`'s fields are those of the JSON that `prograde simulate` prints; they are added to and stay.
"""

from typing import Literal

import msgspec

__all__ = ["Action", "Conditions", "ErrorRate", "Happening", "Moment", "Timeline", "Verdict", "Version"]


class ErrorRate(msgspec.Struct, frozen=True):
    """The share of failing requests of the new version, from so many seconds after the release on."""

    percent: float
    from_seconds: float


class Action(msgspec.Struct, frozen=True, rename="camel"):
    """What a user does at a time after the release began."""

    seconds: float
    kind: Literal["promote", "promote-full", "abort", "retry"]


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest does not say."""

    images: dict[str, str] = {}
    """The new images by container; empty takes the next tag of the first container's image."""
    old_image: str = ""
    """The first container's image before the release; empty for what the manifest says."""
    pods_ready_seconds: float | None = None
    """From a pod's creation until it is ready, in place of its probes; None lets the embedded cluster decide."""
    failing_tags: tuple[str, ...] = ()
    """Images with such a tag cannot be pulled."""
    error_rate: ErrorRate | None = None
    error_limit_percent: float = 1.0
    """An AnalysisRun fails when the error rate is above this."""
    actions: tuple[Action, ...] = ()
    until_seconds: float = 7 * 24 * 3600.0


# --- the result -------------------------------------------------------------------------------------------------


class Version(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The pods of one revision."""

    revision: int
    hash_: str = msgspec.field(name="hash")
    is_new: bool
    is_stable: bool
    image: str
    wanted: int
    pods: int
    available: int
    traffic_percent: float


class Happening(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that happened, in words."""

    kind: Literal["user", "event", "wait", "note"]
    reason: str
    message: str
    until_seconds: float | None = None
    """For a wait that ends by itself: when, after the release began."""


class Moment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The state after something had changed."""

    seconds: float
    """Since the release began."""
    phase: str
    message: str
    step: int | None
    """How many steps are done; None for strategies without steps."""
    steps: int | None
    traffic_percent: float
    """The share of requests that the new version gets."""
    lost_percent: float
    """The share of requests that reaches no pod."""
    versions: tuple[Version, ...]
    happenings: tuple[Happening, ...]


class Verdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How it ended."""

    outcome: Literal["healthy", "degraded", "stuck"]
    phase: str
    message: str
    remedy: str
    """What a person can do about it; empty when all is well."""
    seconds: float
    """Virtual time from the release to the last change."""
    wall_seconds: float


class Timeline(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A whole simulated release. The names of the fields are those of the JSON output, and stay."""

    namespace: str
    name: str
    strategy: str
    replicas: int
    old_images: dict[str, str]
    new_images: dict[str, str]
    notes: tuple[str, ...]
    moments: tuple[Moment, ...]
    verdict: Verdict
