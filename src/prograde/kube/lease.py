"""One leader among several processes, through a Lease object.

    wait ──lease free or expired──▶ create / update ──▶ lead ──renewal fails for too long──▶ LeadershipLost
     ▲                                   │                │
     └────── somebody else was faster ───┘                └── work ends or is cancelled ──▶ (give back)

Wall clocks of two machines are never compared. A candidate notes, on its own monotonic clock, when it *saw* the record
change; only when it has seen no change for the record's whole duration does it take over. A leader counts from the
moment it *sent* its last successful renewal, so it stops (after `renew_deadline`) well before anybody else starts
(after `lease_duration`). The times in the object are for people.

What this cannot give: work that ignores cancellation may still run when the next leader starts. Writes to the API
server are therefore made with preconditions, and `is_leader` may be asked right before those that are not.

Only get, create and update are used, so that common roles suffice. Renewals must not queue behind other requests: give
the elector a client of its own, without a rate limit.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import msgspec

from prograde.kube.client import Client
from prograde.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from prograde.kube.resources import LEASES

__all__ = ["InvalidElection", "LeaderElector", "LeadershipLost", "format_micro_time"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_JITTER: Final = 1.2
"""Candidates wait up to 2.2 retry periods, so that they do not all ask at the same moment."""

RELEASE_SECONDS_MAX: Final = 5.0
"""Giving back is a courtesy; a server that is away must not hold up the end of the process."""


class InvalidElection(ValueError):
    """The settings of an election contradict each other; the message says which."""


class LeadershipLost(Exception):
    """The lease could not be renewed in time, or somebody else holds it. The work has been cancelled."""


class _Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of a Lease's spec that elections are about. Times are kept as written."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A Lease whose other fields (labels, owners, future ones) are sent back as they came."""

    metadata: Mapping[str, msgspec.Raw]
    spec: Mapping[str, msgspec.Raw] = {}


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """The lease as last seen, and when we saw it change, on the loop's clock."""

    lease: _Lease
    spec: _Spec
    seen_at: float


class LeaderElector:
    """See the module's docstring.

    Args:
        identity: unique per process, for example ``<hostname>_<uuid>``.
        now: the wall clock, aware; only written, never compared.
        release: give the lease back at the end, so that a successor need not wait for it to expire.
        on_new_leader: called with the identity of whoever is seen to lead, also with our own; must not raise.

    Raises:
        ValueError: the durations do not leave room for each other, or a name is missing.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        now: Callable[[], datetime],
        rng: random.Random,
        lease_duration: timedelta = timedelta(seconds=15),
        renew_deadline: timedelta = timedelta(seconds=10),
        retry_period: timedelta = timedelta(seconds=2),
        release: bool = False,
        on_new_leader: Callable[[str], None] | None = None,
    ) -> None:
        for argument, value in (("namespace", namespace), ("name", name), ("identity", identity)):
            if not value:
                raise InvalidElection(f"leader election: {argument} is empty")
        if lease_duration <= renew_deadline:
            raise InvalidElection(
                f"leader election: lease_duration {lease_duration} must exceed renew_deadline {renew_deadline}"
            )
        if renew_deadline <= retry_period * RETRY_JITTER:
            raise InvalidElection(
                f"leader election: renew_deadline {renew_deadline} must exceed {RETRY_JITTER} times "
                f"retry_period {retry_period}"
            )
        if retry_period <= timedelta() or lease_duration < timedelta(seconds=1):
            raise InvalidElection("leader election: durations must be positive, lease_duration at least a second")
        self.identity = identity
        self._client = client
        self._namespace = namespace
        self._name = name
        self._now = now
        self._rng = rng
        self._lease_duration = lease_duration
        self._renew_deadline_seconds = renew_deadline.total_seconds()
        self._retry_seconds = retry_period.total_seconds()
        self._release = release
        self._on_new_leader = on_new_leader
        self._record: _Record | None = None
        self._reported_leader = ""
        self._renewed_at: float | None = None

    @property
    def is_leader(self) -> bool:
        """Return whether we hold the lease and have renewed it recently enough. True only while `run` works."""
        if self._renewed_at is None:
            return False
        return asyncio.get_running_loop().time() < self._renewed_at + self._renew_deadline_seconds

    @property
    def leader(self) -> str:
        """Return the identity of the leader as last seen; ``""`` if there is none or nobody knows yet."""
        return (self._record.spec.holder_identity or "") if self._record else ""

    async def run(self, lead: Callable[[], Awaitable[T]]) -> T:
        """Wait for leadership, then run `lead` for as long as it lasts. Return its result.

        Raises:
            LeadershipLost: after `lead` has been cancelled and has ended.
        """
        await self._acquire()
        logger.info("acquired lease %s/%s as %s", self._namespace, self._name, self.identity)
        work = asyncio.ensure_future(lead())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait([work, renewing], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await _cancel(work)
                renewing.result()  # raises if renewing ended by a bug
                raise LeadershipLost(f"lease {self._namespace}/{self._name} is lost, held by {self.leader or 'nobody'}")
            return work.result()
        finally:
            # The lease is renewed until the work has ended: a graceful end may take its time.
            try:
                await _cancel(work)
            finally:
                renewing.cancel()
            await _cancel(renewing)
            was_leader = self.is_leader
            self._renewed_at = None
            if was_leader and self._release:
                await self._give_back()

    # -- below --------------------------------------------------------------------------------------------------

    async def _acquire(self) -> None:
        """Try until we hold the lease."""
        while True:
            if await self._try_once():
                return
            await asyncio.sleep(self._retry_seconds * (1 + self._rng.random() * RETRY_JITTER))

    async def _renew(self) -> None:
        """Renew until that has failed for too long, then return."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._retry_seconds)
            assert self._renewed_at is not None
            if not self.is_leader:
                # The loop was held up for longer than the deadline. Somebody else may have started meanwhile.
                logger.error("lease %s/%s: the process was held up past its deadline", self._namespace, self._name)
                return
            try:
                async with asyncio.timeout_at(self._renewed_at + self._renew_deadline_seconds):
                    while not await self._try_once():
                        if self.leader not in ("", self.identity):
                            return  # somebody has taken it: there is nothing to wait for
                        await asyncio.sleep(self._retry_seconds)
            except TimeoutError:
                silent_seconds = loop.time() - self._renewed_at
                logger.error("lease %s/%s could not be renewed for %.1f s", self._namespace, self._name, silent_seconds)
                return

    async def _try_once(self) -> bool:
        """Take or renew the lease if we may; return whether we hold it. API failures count as no.

        A try gets half the deadline, so that one dead connection leaves time for another.
        """
        started_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._renew_deadline_seconds / 2):
                holds = await self._take_or_renew(started_at)
        except (KubeError, TimeoutError) as err:
            logger.warning("lease %s/%s: %s", self._namespace, self._name, str(err) or "no answer in time")
            return False
        finally:
            self._report_leader()
        if holds:
            self._renewed_at = started_at
        return holds

    async def _take_or_renew(self, started_at: float) -> bool:
        if self.is_leader and self._record is not None:
            # We wrote the record last, so it is very likely current: one request less.
            try:
                await self._write(self._record)
                return True
            except (Conflict, NotFound):
                pass
        try:
            self._observe((await self._client.get(LEASES, self._namespace, self._name)).to(_Lease))
        except NotFound:
            return await self._create()
        assert self._record is not None
        if self._is_taken(self._record, started_at):
            return False
        try:
            await self._write(self._record)
        except (Conflict, NotFound):
            return False  # somebody was faster
        return True

    def _is_taken(self, record: _Record, now: float) -> bool:
        """Return whether somebody else holds the lease and has renewed it, as far as we saw, within its duration."""
        if record.spec.holder_identity in (None, "", self.identity):
            return False
        duration_seconds = record.spec.lease_duration_seconds
        if duration_seconds is None:
            duration_seconds = int(self._lease_duration.total_seconds())
        return now < record.seen_at + duration_seconds

    async def _create(self) -> bool:
        now = format_micro_time(self._now())
        spec = self._spec(acquire_time=now, renew_time=now, transitions=0)
        metadata = {"name": self._name, "namespace": self._namespace}
        body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
        try:
            answer = await self._client.create(LEASES, self._namespace, body, name=self._name)
        except AlreadyExists:
            return False
        self._observe(answer.to(_Lease))
        return True

    async def _write(self, record: _Record) -> None:
        """Write the record with us as holder; its resourceVersion guards against a candidate that was faster.

        Raises:
            Conflict: it has changed since.
        """
        now = format_micro_time(self._now())
        is_ours = record.spec.holder_identity == self.identity
        transitions = record.spec.lease_transitions or 0
        spec = self._spec(
            acquire_time=record.spec.acquire_time or now if is_ours else now,
            renew_time=now,
            transitions=transitions if is_ours else transitions + 1,
        )
        await self._update(record, spec)

    async def _give_back(self) -> None:
        """Write that nobody holds the lease, so that the next candidate takes it at its next look."""
        assert self._record is not None
        now = format_micro_time(self._now())
        spec = {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": self._record.spec.lease_transitions or 0,
        }
        try:
            async with asyncio.timeout(RELEASE_SECONDS_MAX):
                try:
                    await self._update(self._record, spec)
                except Conflict:
                    # A renewal was under way when we stopped.
                    self._observe((await self._client.get(LEASES, self._namespace, self._name)).to(_Lease))
                    if self.leader == self.identity:
                        await self._update(self._record, spec)
        except (KubeError, TimeoutError) as err:
            logger.warning("lease %s/%s could not be given back: %s", self._namespace, self._name, err)

    async def _update(self, record: _Record, spec: Mapping[str, object]) -> None:
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": record.lease.metadata,
            "spec": {**record.lease.spec, **spec},
        }
        self._observe((await self._client.update(LEASES, self._namespace, self._name, body)).to(_Lease))

    def _spec(self, *, acquire_time: str, renew_time: str, transitions: int) -> dict[str, object]:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._lease_duration.total_seconds()),
            "acquireTime": acquire_time,
            "renewTime": renew_time,
            "leaseTransitions": transitions,
        }

    def _observe(self, lease: _Lease) -> None:
        """Remember the lease; the moment of seeing it only if it differs from what was seen before."""
        spec = msgspec.json.decode(msgspec.json.encode(lease.spec), type=_Spec)
        is_same = self._record is not None and self._record.spec == spec
        seen_at = self._record.seen_at if is_same and self._record else asyncio.get_running_loop().time()
        self._record = _Record(lease=lease, spec=spec, seen_at=seen_at)

    def _report_leader(self) -> None:
        if self.leader != self._reported_leader:
            self._reported_leader = self.leader
            if self._on_new_leader is not None and self.leader:
                self._on_new_leader(self.leader)


async def _cancel(task: "asyncio.Future[T]") -> None:
    """Cancel a task and wait until it has ended; its outcome is asked for elsewhere."""
    task.cancel()
    await asyncio.wait([task])


def format_micro_time(time: datetime) -> str:
    """Write a time as Kubernetes' MicroTime: always six digits."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
