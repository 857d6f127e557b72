"""Events as the built-in components write them, and the sweep that removes old ones.

A repeated message about the same object raises the count of one Event instead of adding another. An Event that cannot
be written (its namespace is going away, say) is dropped: nobody's work depends on it.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.objects import format_time, parse_time
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object

__all__ = ["EVENTS", "EventRecorder", "EventSweeper"]

EVENTS: Resource = ("", "events")

CORRELATED_MAX = 4096
"""Events remembered for counting repetitions, as many as client-go remembers."""

NAME_ATTEMPTS_MAX = 64
"""More events than that about one object within a microsecond would be a bug."""

SWEEP_INTERVAL = timedelta(minutes=1)


class EventRecorder:
    """Writes Events in the name of one component."""

    def __init__(
        self, client: LocalClient, now: Callable[[], datetime], component: str, *, is_silent: bool = False
    ) -> None:
        """A silent recorder writes nothing."""
        self._is_silent = is_silent
        self._client = client
        self._now = now
        self._component = component
        self._recent: OrderedDict[tuple[str, ...], tuple[str, str, int]] = OrderedDict()
        self._last_nanoseconds = 0

    def record(
        self,
        obj: Object,
        api_version: str,
        kind: str,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        field_path: str = "",
        host: str = "",
    ) -> None:
        """Write an Event about `obj`; the kind is passed because stored built-ins may not carry theirs."""
        if self._is_silent:
            return
        meta = obj["metadata"]
        identity = (meta["uid"], type_, reason, message, field_path)
        try:
            if not self._count_again(identity):
                self._create(obj, (api_version, kind), identity, host)
        except StatusError:
            self._recent.pop(identity, None)

    def _count_again(self, identity: tuple[str, ...]) -> bool:
        known = self._recent.get(identity)
        if known is None:
            return False
        namespace, name, count = known
        patch = {"count": count + 1, "lastTimestamp": format_time(self._now())}
        try:
            self._client.patch(EVENTS, namespace, name, patch)
        except StatusError as err:
            if err.code != 404:
                raise
            return False  # swept meanwhile: start over
        self._recent[identity] = (namespace, name, count + 1)
        self._recent.move_to_end(identity)
        return True

    def _create(self, obj: Object, gvk: tuple[str, str], identity: tuple[str, ...], host: str) -> None:
        uid, type_, reason, message, field_path = identity
        meta = obj["metadata"]
        now = self._now()
        # Cluster-scoped objects have their Events in the default namespace.
        namespace = meta.get("namespace") or "default"
        involved = {
            "apiVersion": gvk[0],
            "kind": gvk[1],
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": uid,
            "resourceVersion": meta.get("resourceVersion", ""),
            "fieldPath": field_path,
        }
        source = {"component": self._component, "host": host}
        moment = format_time(now)
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "involvedObject": {key: value for key, value in involved.items() if value},
            "reason": reason,
            "message": message,
            "source": {key: value for key, value in source.items() if value},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": type_,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": host,
        }
        name = self._create_under_free_name(namespace, meta["name"], now, event)
        self._recent[identity] = (namespace, name, 1)
        if len(self._recent) > CORRELATED_MAX:
            self._recent.popitem(last=False)

    def _create_under_free_name(self, namespace: str, stem: str, now: datetime, event: Object) -> str:
        """Create the Event as ``<object>.<hexadecimal nanoseconds>`` and return its name.

        Where the clock stands still the number is counted up, past what another recorder took at this instant.
        """
        for _ in range(NAME_ATTEMPTS_MAX):
            nanoseconds = int(now.timestamp() * 1_000_000) * 1000
            self._last_nanoseconds = max(nanoseconds, self._last_nanoseconds + 1)
            name = f"{stem}.{self._last_nanoseconds:x}"
            try:
                self._client.create(EVENTS, namespace, {**event, "metadata": {"name": name, "namespace": namespace}})
            except StatusError as err:
                if err.reason != "AlreadyExists":
                    raise
            else:
                return name
        raise StatusError.already_exists("", "events", name)


class EventSweeper(Controller):
    """Deletes Events that were last seen longer ago than their time to live."""

    name: ClassVar[str] = "event-sweeper"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({EVENTS})

    def __init__(self, client: LocalClient, now: Callable[[], datetime], time_to_live: timedelta) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._time_to_live = time_to_live
        self._last_seen: OrderedDict[Key, str] = OrderedDict()

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        meta = new["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        if change == "DELETED":
            self._last_seen.pop(key, None)
            return
        if not self._last_seen:
            self.enqueue_at((), self._now() + SWEEP_INTERVAL)
        self._last_seen[key] = new.get("lastTimestamp") or new.get("eventTime") or meta["creationTimestamp"]
        self._last_seen.move_to_end(key)

    def reconcile(self, key: Key) -> datetime | None:
        """Delete from the oldest end; Events are kept in the order in which they were last written."""
        now = self._now()
        for (namespace, name), last_seen in list(self._last_seen.items()):
            if parse_time(last_seen) + self._time_to_live > now:
                break
            self._client.delete(EVENTS, namespace, name)
        return now + SWEEP_INTERVAL if self._last_seen else None
