"""Informers that begin when somebody needs them, for kinds that most clusters, or most Rollouts, do not have.

Once begun they stay. Whoever has had one Rollout that needs them will have another, a list of everything costs the API
server more than a watch that is silent, and there are never more of them than kinds.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from prograde.api.meta import Object
from prograde.kube.informer import Informer

__all__ = ["InformersOnDemand", "OnDemand"]

T = TypeVar("T", bound=Object)


class InformersOnDemand:
    """Runs them, as long as `run` runs."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._early: list[tuple[Informer[Any], Callable[[], None]]] = []

    async def run(self) -> None:
        """Run what has been started until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for informer, synced in self._early:
                self._create(group, informer, synced)
            self._early.clear()
            await asyncio.Event().wait()

    def start(self, informer: Informer[Any], synced: Callable[[], None]) -> None:
        """Start an informer, to be called once for each; `synced` is told when its first list is there."""
        if self._group is None:
            self._early.append((informer, synced))
        else:
            self._create(self._group, informer, synced)

    @staticmethod
    def _create(group: asyncio.TaskGroup, informer: Informer[Any], synced: Callable[[], None]) -> None:
        async def tell() -> None:
            await informer.wait_synced()
            synced()

        group.create_task(informer.run(), name=f"informer {informer.resource.qualified}")
        group.create_task(tell(), name=f"first list {informer.resource.qualified}")


class OnDemand(Generic[T]):
    """One such informer.

    Args:
        synced: told when the first list is there, so that whoever waits can be woken.
    """

    def __init__(self, informers: InformersOnDemand, informer: Informer[T], synced: Callable[[], None]) -> None:
        self._informers = informers
        self._informer = informer
        self._synced = synced
        self._is_started = False

    @property
    def informer(self) -> Informer[T]:
        """Return the informer as it is; empty and without a first list while nobody has needed it."""
        return self._informer

    @property
    def is_started(self) -> bool:
        return self._is_started

    def use(self) -> Informer[T]:
        """Return the informer, started now if it was not before."""
        if not self._is_started:
            self._is_started = True
            self._informers.start(self._informer, self._synced)
        return self._informer
