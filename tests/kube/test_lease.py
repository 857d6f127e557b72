"""Leader election: one leader at a time, whatever clocks and connections do."""

import asyncio
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.kube.fake_transport import FakeServer, Fault, refusal
from tests.kube.virtual_time import settle, virtual_time, wall_clock

from prograde.kube.client import Client
from prograde.kube.errors import ConfigError
from prograde.kube.lease import LeaderElector, LeadershipLost, format_micro_time
from prograde.kube.transport import Request

PATH = "apis/coordination.k8s.io/v1/leases"
KEY = (PATH, "rollouts", "lock")


def now() -> float:
    return asyncio.get_running_loop().time()


class Candidate:
    """A process that wants to lead; `terms` are the times between which it believed it did."""

    def __init__(self, server: FakeServer, name: str, *, clock_skew: timedelta = timedelta(), **options: Any) -> None:
        self.server = server
        self.seen: list[str] = []
        self.started: list[float] = []
        self.ended: list[float] = []
        self.finish = asyncio.Event()
        self.elector = LeaderElector(
            Client(server, qps=0, rng=random.Random(1)),
            namespace="rollouts",
            name="lock",
            identity=name,
            now=lambda: wall_clock() + clock_skew,
            rng=random.Random(name),
            on_new_leader=self.seen.append,
            **options,
        )
        self.task = asyncio.create_task(self.elector.run(self.lead))

    async def lead(self) -> str:
        self.started.append(now())
        try:
            await self.finish.wait()
            return "done"
        finally:
            self.ended.append(now())

    async def outcome(self) -> BaseException | str:
        (result,) = await asyncio.gather(self.task, return_exceptions=True)
        return result

    async def stop(self) -> None:
        self.task.cancel()
        await self.outcome()


def spec_of(server: FakeServer) -> dict[str, Any]:
    spec: dict[str, Any] = server.objects[KEY]["spec"]
    return spec


def writes(request: Request) -> bool:
    return request.method in ("PUT", "POST")


@virtual_time
async def test_the_first_candidate_creates_the_lease_and_leads_at_once() -> None:
    server = FakeServer()
    candidate = Candidate(server, "a")
    await settle()
    assert candidate.elector.is_leader
    assert candidate.seen == ["a"]
    assert spec_of(server) == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:16:40.000000Z",
        "renewTime": "2026-01-01T00:16:40.000000Z",
        "leaseTransitions": 0,
    }
    await candidate.stop()


@virtual_time
async def test_the_leader_renews_every_retry_period_with_one_request() -> None:
    server = FakeServer()
    candidate = Candidate(server, "a")
    await asyncio.sleep(100)
    assert len(server.requests_to("PUT")) == 49
    assert len(server.requests_to("GET")) == 1
    assert spec_of(server)["acquireTime"] == "2026-01-01T00:16:40.000000Z"
    assert spec_of(server)["renewTime"] == "2026-01-01T00:18:18.000000Z"
    assert spec_of(server)["leaseTransitions"] == 0
    await candidate.stop()


@virtual_time
async def test_only_get_create_and_update_are_used() -> None:
    server = FakeServer()
    first, second = Candidate(server, "a", release=True), Candidate(server, "b")
    await asyncio.sleep(60)
    await first.stop()
    await asyncio.sleep(60)
    await second.stop()
    assert {request.method for request in server.requests} == {"GET", "POST", "PUT"}


@virtual_time
async def test_a_second_candidate_waits_while_the_first_renews() -> None:
    server = FakeServer()
    first = Candidate(server, "a")
    await settle()
    second = Candidate(server, "b")
    await asyncio.sleep(3600)
    assert second.seen == ["a"]
    assert not second.started
    assert not second.elector.is_leader
    assert second.elector.leader == "a"
    await first.stop()
    await second.stop()


@virtual_time
async def test_when_the_leader_dies_another_takes_over_after_the_lease_duration() -> None:
    server = FakeServer()
    first = Candidate(server, "a")
    await settle()
    second = Candidate(server, "b")
    await asyncio.sleep(60)
    await first.stop()  # without giving back: as if killed
    stopped_at = now()
    await asyncio.sleep(30)
    assert second.elector.is_leader
    # It sees the last renewal at most a wait of 4.4 s late, and looks again as late after the 15 s.
    assert 13 <= second.started[0] - stopped_at <= 15 + 2 * 4.4
    assert spec_of(server)["leaseTransitions"] == 1
    assert second.seen == ["a", "b"]
    await second.stop()


@virtual_time
async def test_a_lease_given_back_is_taken_at_the_next_look() -> None:
    server = FakeServer()
    first = Candidate(server, "a", release=True)
    await settle()
    second = Candidate(server, "b")
    await asyncio.sleep(61)
    await first.stop()
    stopped_at = now()
    released = json.loads(server.requests_to("PUT")[-1].body)["spec"]
    assert released["holderIdentity"] == ""
    assert released["leaseDurationSeconds"] == 1
    await asyncio.sleep(10)
    assert second.started[0] - stopped_at <= 4.4
    assert spec_of(server)["leaseTransitions"] == 1
    await second.stop()


@virtual_time
async def test_work_that_ends_by_itself_gives_its_result_and_the_lease_back() -> None:
    server = FakeServer()
    candidate = Candidate(server, "a", release=True)
    await asyncio.sleep(5)
    candidate.finish.set()
    assert await candidate.outcome() == "done"
    assert spec_of(server)["holderIdentity"] == ""
    assert not candidate.elector.is_leader


@virtual_time
async def test_work_that_fails_raises_its_own_error() -> None:
    server = FakeServer()
    elector = Candidate(server, "a", release=True).elector

    async def broken() -> None:
        raise ZeroDivisionError("oops")

    await asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError, match="oops"):
        await elector.run(broken)


@pytest.mark.parametrize("skew", [timedelta(days=-3), timedelta(hours=-1), timedelta(hours=1), timedelta(days=3)])
def test_clocks_that_disagree_change_nothing(skew: timedelta) -> None:
    @virtual_time
    async def check() -> None:
        server = FakeServer()
        first = Candidate(server, "a")
        await settle()
        second = Candidate(server, "b", clock_skew=skew)
        await asyncio.sleep(300)
        assert not second.started
        await first.stop()
        await asyncio.sleep(10)
        assert not second.started  # too early
        await asyncio.sleep(10)
        assert second.elector.is_leader
        await second.stop()

    check()


@virtual_time
async def test_a_candidate_that_starts_late_waits_a_whole_duration_before_it_takes_a_dead_leaders_lease() -> None:
    server = FakeServer()
    server.put(PATH, "rollouts", "lock", spec={"holderIdentity": "dead", "leaseDurationSeconds": 40})
    started_at = now()
    candidate = Candidate(server, "a")
    await asyncio.sleep(60)
    assert 40 <= candidate.started[0] - started_at <= 44.4
    await candidate.stop()


@pytest.mark.parametrize("holder", ["", None, "a"])
def test_a_lease_of_nobody_or_of_our_own_is_taken_at_once(holder: str | None) -> None:
    @virtual_time
    async def check() -> None:
        server = FakeServer()
        spec = {"holderIdentity": holder, "leaseTransitions": 4, "acquireTime": "2025-01-01T00:00:00.000000Z"}
        server.put(PATH, "rollouts", "lock", spec=spec)
        candidate = Candidate(server, "a")
        await settle()
        assert candidate.elector.is_leader
        assert spec_of(server)["leaseTransitions"] == (4 if holder == "a" else 5)
        assert spec_of(server)["acquireTime"].startswith("2025" if holder == "a" else "2026")
        await candidate.stop()

    check()


@virtual_time
async def test_fields_that_we_do_not_know_are_sent_back_as_they_came() -> None:
    server = FakeServer()
    server.put(
        PATH,
        "rollouts",
        "lock",
        metadata={"labels": {"team": "x"}, "ownerReferences": [{"uid": "u"}]},
        spec={"strategy": "OldestEmulationVersion", "preferredHolder": "z"},
    )
    candidate = Candidate(server, "a")
    await asyncio.sleep(10)
    assert server.objects[KEY]["metadata"]["labels"] == {"team": "x"}
    assert server.objects[KEY]["metadata"]["ownerReferences"] == [{"uid": "u"}]
    assert spec_of(server)["strategy"] == "OldestEmulationVersion"
    assert spec_of(server)["preferredHolder"] == "z"
    await candidate.stop()


# -- trouble ----------------------------------------------------------------------------------------------------

FAULTS = [
    pytest.param(lambda: Fault(error=ConnectionResetError("cut")), id="connection reset"),
    pytest.param(lambda: Fault(error=ConnectionResetError("cut"), after_effect=True), id="answer lost"),
    pytest.param(lambda: Fault(error=TimeoutError()), id="time-out"),
    pytest.param(lambda: Fault(answer=refusal(409, "Conflict")), id="409"),
    pytest.param(lambda: Fault(answer=refusal(429, "TooManyRequests")), id="429"),
    pytest.param(lambda: Fault(answer=refusal(500, "InternalError")), id="500"),
    pytest.param(lambda: Fault(answer=refusal(403, "Forbidden")), id="403"),
    pytest.param(lambda: Fault(hang=True), id="hangs"),
]


@pytest.mark.parametrize("make_fault", FAULTS)
def test_a_renewal_that_fails_once_is_made_up_for(make_fault: Callable[[], Fault]) -> None:
    @virtual_time
    async def check() -> None:
        server = FakeServer()
        candidate = Candidate(server, "a")
        await asyncio.sleep(21)
        fault = make_fault()
        fault.matches = writes
        server.faults.append(fault)
        await asyncio.sleep(60)
        assert not server.faults
        assert candidate.elector.is_leader
        assert not candidate.ended
        assert spec_of(server)["leaseTransitions"] == 0
        await candidate.stop()

    check()


@pytest.mark.parametrize("make_fault", FAULTS[:1] + FAULTS[2:])
def test_renewals_that_keep_failing_end_the_work_within_the_renew_deadline(make_fault: Callable[[], Fault]) -> None:
    @virtual_time
    async def check() -> None:
        server = FakeServer()
        candidate = Candidate(server, "a")
        await asyncio.sleep(21)  # the last renewal was at 20
        fault = make_fault()
        fault.times = 10**9
        server.faults.append(fault)
        failing_since = now()
        with pytest.raises(LeadershipLost, match="lease rollouts/lock is lost, held by a"):
            await candidate.task
        assert candidate.ended[0] - failing_since <= 9.01
        assert not candidate.elector.is_leader

    check()


@virtual_time
async def test_a_process_that_was_held_up_past_the_deadline_stops_leading() -> None:
    server = FakeServer()
    candidate = Candidate(server, "a")
    await settle()
    loop = asyncio.get_running_loop()
    loop.now += 11  # type: ignore[attr-defined]  # something blocked the loop; nobody had a chance to notice
    assert not candidate.elector.is_leader
    assert isinstance(await candidate.outcome(), LeadershipLost)


@virtual_time
async def test_a_lease_taken_by_somebody_else_ends_the_work_at_the_next_renewal() -> None:
    server = FakeServer()
    candidate = Candidate(server, "a")
    await asyncio.sleep(5)
    server.put(PATH, "rollouts", "lock", spec={"holderIdentity": "thief", "leaseDurationSeconds": 15})
    with pytest.raises(LeadershipLost, match="held by thief"):
        await candidate.task
    assert candidate.ended[0] - candidate.started[0] == pytest.approx(6)
    assert candidate.seen == ["a", "thief"]
    assert spec_of(server)["holderIdentity"] == "thief"


@virtual_time
async def test_a_deleted_lease_is_created_again_by_its_leader() -> None:
    server = FakeServer()
    candidate = Candidate(server, "a")
    await asyncio.sleep(5)
    server.remove(PATH, "rollouts", "lock")
    await asyncio.sleep(5)
    assert candidate.elector.is_leader
    assert spec_of(server)["holderIdentity"] == "a"
    await candidate.stop()


@virtual_time
async def test_candidates_that_ask_at_the_same_moment_give_one_leader() -> None:
    server = FakeServer(latency_seconds=0.1)
    candidates = [Candidate(server, name) for name in "abcde"]
    await asyncio.sleep(30)
    assert sum(candidate.elector.is_leader for candidate in candidates) == 1
    for candidate in candidates:
        await candidate.stop()


@virtual_time
async def test_a_leader_that_is_cut_off_stops_before_another_starts() -> None:
    server = FakeServer()
    first = Candidate(server, "a")
    await settle()
    second = Candidate(server, "b")
    await asyncio.sleep(31)
    cut_off = FakeServer(faults=[Fault(error=ConnectionResetError("cut"), times=10**9)])
    first.elector._client = Client(cut_off, qps=0, rng=random.Random(1))
    await asyncio.sleep(60)
    assert isinstance(await first.outcome(), LeadershipLost)
    assert first.ended[0] < second.started[0]
    await second.stop()


@virtual_time
async def test_an_api_server_that_is_away_at_the_start_is_waited_for() -> None:
    server = FakeServer(faults=[Fault(error=ConnectionRefusedError("refused"), times=20)])
    candidate = Candidate(server, "a")
    await asyncio.sleep(300)
    assert candidate.elector.is_leader
    await candidate.stop()


@virtual_time
async def test_credentials_that_fail_for_a_while_are_waited_for() -> None:
    server = FakeServer()
    candidate = Candidate(server, "a")
    broken = ConfigError("plugin is not there yet")
    real = server.request

    async def request(sent: Request) -> Any:
        if now() < 1010:
            raise broken
        return await real(sent)

    server.request = request  # type: ignore[method-assign]
    await asyncio.sleep(30)
    assert candidate.elector.is_leader
    await candidate.stop()


# -- ending -----------------------------------------------------------------------------------------------------


@virtual_time
async def test_while_work_ends_gracefully_the_lease_is_still_renewed() -> None:
    server = FakeServer()
    ended: list[float] = []

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(25)
            ended.append(now())

    candidate = Candidate(server, "x", release=True)
    await candidate.stop()
    candidate.task = asyncio.create_task(candidate.elector.run(slow_to_end))
    await asyncio.sleep(10)
    rival = Candidate(server, "b")
    candidate.task.cancel()
    await candidate.outcome()
    assert ended
    assert not rival.started
    await asyncio.sleep(5)
    assert rival.started
    await rival.stop()


@virtual_time
async def test_a_renewal_under_way_at_the_end_does_not_keep_the_lease_from_being_given_back() -> None:
    server = FakeServer(latency_seconds=0.5)
    candidate = Candidate(server, "a", release=True)
    await asyncio.sleep(3.2)
    assert candidate.started
    # A renewal has been sent whose answer will not be awaited.
    server.put(PATH, "rollouts", "lock", spec=spec_of(server) | {"renewTime": "2026-01-01T00:20:00.000000Z"})
    await candidate.stop()
    assert spec_of(server)["holderIdentity"] == ""


@virtual_time
async def test_a_server_that_is_away_does_not_hold_up_the_end() -> None:
    server = FakeServer()
    candidate = Candidate(server, "a", release=True)
    await asyncio.sleep(5)
    server.faults.append(Fault(hang=True, times=10**9))
    started_at = now()
    await candidate.stop()
    assert now() - started_at == pytest.approx(5)


# -- configuration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespace": ""}, "namespace is empty"),
        ({"name": ""}, "name is empty"),
        ({"identity": ""}, "identity is empty"),
        ({"lease_duration": timedelta(seconds=10)}, "lease_duration 0:00:10 must exceed renew_deadline 0:00:10"),
        ({"retry_period": timedelta(seconds=9)}, "renew_deadline 0:00:10 must exceed 1.2 times retry_period 0:00:09"),
        ({"retry_period": timedelta()}, "durations must be positive"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"namespace": "n", "name": "l", "identity": "i"} | options
    with pytest.raises(ValueError, match=message):
        LeaderElector(Client(FakeServer()), now=wall_clock, rng=random.Random(1), **settings)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 42, tzinfo=UTC), "2026-01-02T03:04:05.000042Z"),
        (datetime.fromisoformat("2026-01-02T03:04:05+02:00"), "2026-01-02T01:04:05.000000Z"),
    ],
)
def test_micro_times_have_six_digits(time: datetime, text: str) -> None:
    assert format_micro_time(time) == text
