"""Bringing several objects in line one after the other, as routers with one object per entry point do.

On the way forward the first object that cannot be brought in line ends it, in the plan as in the writes: traffic that
only half of the entry points send to a new version helps nobody. On the way back nothing is left out: the traffic
leaves the abandoned version wherever it can.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from prograde.core.plan import Action, Wait, WaitReason
from prograde.core.routing import Routed, RoutingIntent

__all__ = ["CannotRoute", "route_one_by_one"]

T = TypeVar("T")


class CannotRoute(Exception):
    """The objects do not allow what is wanted; the text is for people, as is the remedy."""

    def __init__(self, message: str, *, field: str, remedy: str, about: str = "") -> None:
        super().__init__(message)
        self.wait = Wait(
            reason=WaitReason.TRAFFIC_NOT_ROUTED, message=message, object=about, field=field, remedy=remedy
        )


def route_one_by_one(
    intent: RoutingIntent,
    items: Iterable[T],
    write_for: Callable[[T], Action | None],
    *,
    verified: bool | None = None,
    waits: tuple[Wait, ...] = (),
) -> Routed:
    """Return the writes for all items, each a group of its own, and the first error if there is any.

    Args:
        write_for: returns the write for one item, None if there is none to make; may raise `CannotRoute`.
        verified, waits: of a success.
    """
    actions: list[Action] = []
    failures: list[CannotRoute] = []
    for item in items:
        try:
            action = write_for(item)
        except CannotRoute as err:
            failures.append(err)
            if not intent.is_going_back:
                break
        else:
            actions += [action] if action is not None else []
    groups = (tuple(actions),) if actions and intent.is_going_back else tuple((action,) for action in actions)
    if failures:
        return Routed(groups=groups, error=str(failures[0]), waits=tuple(failure.wait for failure in failures))
    return Routed(groups=groups, verified=verified, waits=waits)
