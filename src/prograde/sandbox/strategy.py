"""What the server itself does to objects of the built-in kinds on a write: defaults, immutable fields, checks.

Hooks run on the *stored* form of an object (a core Event, a v2 autoscaler) after its schema has been processed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from prograde.sandbox.kinds import Object, Strategy
from prograde.sandbox.metadata import validate_metadata
from prograde.sandbox.views import autoscaler_from_v1, autoscaler_to_v1, event_from_core, event_to_core

__all__ = [
    "WriteContext",
    "autoscaler_from_v1",
    "autoscaler_to_v1",
    "event_from_core",
    "event_to_core",
    "validate_metadata",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteContext:
    """What a hook may use of the world."""

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


_PLAIN = Strategy()
(
    AUTOSCALER,
    CLAIM,
    CONFIG_MAP,
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    ENDPOINTS,
    ENDPOINT_SLICE,
    EVENT,
    INGRESS,
    JOB,
    LEASE,
    LIMIT_RANGE,
    NAMESPACE,
    NODE,
    POD,
    POD_TEMPLATE,
    PRIORITY_CLASS,
    REPLICATION_CONTROLLER,
    REPLICA_SET,
    RESOURCE_QUOTA,
    REVIEW,
    ROLE,
    SECRET,
    SERVICE,
    STATEFUL_SET,
) = (_PLAIN,) * 27
