"""What the hooks of a built-in kind may use of the world while one object is being written."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from prograde.sandbox.kinds import Object

__all__ = ["WriteContext"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteContext:
    """Clock, chance, look-ups and addresses for one write, and who does it."""

    now: datetime
    rng: random.Random
    get: Callable[[tuple[str, str], str, str], Object | None]
    """``get((group, plural), namespace, name)`` looks up a stored object."""
    allocate_ip: Callable[[str], str]
    """Take a free cluster address, or the given one when it is not empty; a taken one raises `ValueError`."""
    allocate_port: Callable[[int], int]
    """Take a free node port, or the given one when it is not 0; a taken one raises `ValueError`."""
    user: str = "sandbox-admin"
    groups: tuple[str, ...] = ("system:masters", "system:authenticated")
