"""How long the stages of a pod's life take.

A profile says nothing about what a container does (that follows from its image, command and annotations), only how
quick the machinery around it is.
"""

from dataclasses import dataclass

__all__ = ["PROFILES", "Profile", "profile_named"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Durations in seconds. Ranges are (shortest, longest); a seeded generator picks one per container start."""

    name: str
    schedule_seconds: float
    """From creation to being assigned to a node."""
    admit_seconds: float
    """From assignment until the kubelet sees the pod."""
    pull_seconds: float
    start_seconds: tuple[float, float]
    """From the image being there until the process runs."""
    stop_seconds: float
    """From the termination signal until a well-behaved process is gone."""
    settle_seconds: float
    """How long a failed pull or an exited container shows as such before it shows as waiting to be tried again."""
    has_normal_events: bool = True
    """Whether the uneventful life of a pod is told by events; warnings always are."""
    is_sleep_deaf: bool = False
    """Whether `sleep` and shells ignore the termination signal, as the first process of a container really does."""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="instant",
            schedule_seconds=0,
            admit_seconds=0,
            pull_seconds=0,
            start_seconds=(0, 0),
            stop_seconds=0,
            settle_seconds=0,
            has_normal_events=False,
        ),
        Profile(
            name="fast",
            schedule_seconds=0.005,
            admit_seconds=0.005,
            pull_seconds=0.010,
            start_seconds=(0.030, 0.280),
            stop_seconds=0.050,
            settle_seconds=1,
        ),
        Profile(
            name="real",
            schedule_seconds=0.050,
            admit_seconds=0.100,
            pull_seconds=0.600,
            start_seconds=(0.800, 2.000),
            stop_seconds=1,
            settle_seconds=2,
        ),
        Profile(
            name="slow",
            schedule_seconds=0.500,
            admit_seconds=0.500,
            pull_seconds=5,
            start_seconds=(4, 10),
            stop_seconds=3,
            settle_seconds=3,
        ),
    )
}


def profile_named(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        ValueError: no such profile; the message lists those there are.
    """
    profile = PROFILES.get(name)
    if profile is None:
        raise ValueError(f"no kubelet profile {name!r}; choose one of {', '.join(PROFILES)}")
    return profile
