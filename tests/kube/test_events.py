"""Events: counted, combined, limited, and never in the way."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.kube.fake_transport import FakeServer, Fault, refusal
from tests.kube.virtual_time import settle, virtual_time, wall_clock

from prograde.kube.client import Client
from prograde.kube.errors import ConnectFailed
from prograde.kube.events import MINOR_QUEUE_MAX, EventCorrelator, EventRecorder, ObjectReference, Occurrence

PATH = "api/v1/events"
CART = ObjectReference(api_version="argoproj.io/v1alpha1", kind="Rollout", namespace="shop", name="cart", uid="u1")


START = datetime(2026, 1, 1, tzinfo=UTC)


def happened(
    message: str = "hello",
    *,
    reason: str = "Scaled",
    after: timedelta = timedelta(),
    about: ObjectReference = CART,
    type: Any = "Normal",  # noqa: A002 - the field's name
) -> Occurrence:
    return Occurrence(about=about, type=type, reason=reason, message=message, at=START + after)


class World:
    def __init__(self, **options: Any) -> None:
        self.server = FakeServer()
        client = Client(self.server, qps=0, rng=random.Random(1))
        self.recorder = EventRecorder(
            client, component="rollouts-controller", now=wall_clock, rng=random.Random(1), **options
        )
        self.task = asyncio.create_task(self.recorder.run())

    def record(self, message: str = "hello", *, reason: str = "Scaled", about: ObjectReference = CART) -> None:
        self.recorder.record(about, "Normal", reason, message)

    def events(self) -> list[tuple[str, int]]:
        return [(obj["message"], obj["count"]) for obj in self.server.objects.values()]

    async def end(self) -> None:
        self.recorder.close()
        await self.task


@virtual_time
async def test_an_event_says_what_happened_to_whom_when_and_who_says_so() -> None:
    world = World()
    about = ObjectReference(
        api_version="argoproj.io/v1alpha1",
        kind="Rollout",
        namespace="shop",
        name="cart",
        uid="u1",
        resource_version="7",
    )
    world.recorder.record(about, "Warning", "RolloutAborted", "aborted", annotations={"revision": "2"})
    await settle()
    (request,) = world.server.requests
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/shop/events")
    body = json.loads(request.body)
    assert body["metadata"].pop("name").startswith("cart.")
    assert body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "shop", "annotations": {"revision": "2"}},
        "involvedObject": {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "namespace": "shop",
            "name": "cart",
            "uid": "u1",
            "resourceVersion": "7",
        },
        "reason": "RolloutAborted",
        "message": "aborted",
        "source": {"component": "rollouts-controller"},
        "firstTimestamp": "2026-01-01T00:16:40Z",
        "lastTimestamp": "2026-01-01T00:16:40Z",
        "count": 1,
        "type": "Warning",
        "reportingComponent": "rollouts-controller",
        "reportingInstance": "",
    }
    await world.end()


@virtual_time
async def test_events_about_cluster_scoped_objects_go_to_the_default_namespace() -> None:
    world = World(host="node-1")
    world.record(about=ObjectReference(api_version="v1", kind="Node", name="n1"))
    await settle()
    (event,) = world.server.objects.values()
    assert event["metadata"]["namespace"] == "default"
    assert event["source"] == {"component": "rollouts-controller", "host": "node-1"}
    assert event["reportingInstance"] == "node-1"
    await world.end()


@virtual_time
async def test_the_same_again_is_a_patch_of_count_and_time() -> None:
    world = World()
    world.record()
    await asyncio.sleep(5)
    world.record()
    world.record()
    await settle()
    assert world.events() == [("hello", 3)]
    assert [request.method for request in world.server.requests] == ["POST", "PATCH", "PATCH"]
    expected = {"count": 3, "lastTimestamp": "2026-01-01T00:16:45Z", "message": "hello"}
    assert json.loads(world.server.requests[-1].body) == expected
    (event,) = world.server.objects.values()
    assert event["firstTimestamp"] == "2026-01-01T00:16:40Z"
    await world.end()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"about": ObjectReference(kind="Rollout", namespace="shop", name="other")}, id="object"),
        pytest.param({"reason": "Other"}, id="reason"),
        pytest.param({"message": "other"}, id="message"),
        pytest.param({"type": "Warning"}, id="type"),
        pytest.param({"about": msgspec.structs.replace(CART, uid="u2")}, id="UID"),
        pytest.param({"about": msgspec.structs.replace(CART, field_path="spec.x")}, id="field"),
        pytest.param({}, id="nothing differs"),
    ],
)
def test_only_what_differs_is_another_event(other: dict[str, Any]) -> None:
    correlator = EventCorrelator()
    first = correlator.correlate(happened())
    second = correlator.correlate(happened(**other))
    assert first is not None
    assert second is not None
    assert (second.known is first.known) == (not other)
    assert second.count == (1 if other else 2)


def correlate(correlator: EventCorrelator, occurrence: Occurrence) -> tuple[str, int] | None:
    result = correlator.correlate(occurrence)
    return (result.occurrence.message, result.count) if result else None


def test_from_the_tenth_similar_message_on_they_are_combined_into_one_event_that_is_counted() -> None:
    correlator = EventCorrelator()
    results = [correlate(correlator, happened(f"message {n}")) for n in range(12)]
    assert results == [(f"message {n}", 1) for n in range(9)] + [
        ("(combined from similar events): message 9", 1),
        ("(combined from similar events): message 10", 2),
        ("(combined from similar events): message 11", 3),
    ]


def test_after_ten_quiet_minutes_similar_messages_are_told_apart_again() -> None:
    correlator = EventCorrelator()
    for n in range(10):
        correlate(correlator, happened(f"message {n}"))
    assert correlate(correlator, happened("x", after=timedelta(minutes=10))) == (
        "(combined from similar events): x",
        2,
    )
    assert correlate(correlator, happened("y", after=timedelta(minutes=20, seconds=1))) == ("y", 1)


def test_repeated_messages_do_not_count_as_similar_ones() -> None:
    correlator = EventCorrelator()
    results = [correlate(correlator, happened(f"message {n % 3}")) for n in range(24)]
    assert results[-1] == ("message 2", 8)


def test_an_object_that_never_stops_gets_25_events_and_then_one_in_five_minutes() -> None:
    correlator = EventCorrelator()
    results = [correlate(correlator, happened()) for _ in range(40)]
    assert results == [("hello", n + 1) for n in range(25)] + [None] * 15
    assert correlate(correlator, happened(after=timedelta(minutes=4, seconds=59))) is None
    # What was suppressed has been counted.
    assert correlate(correlator, happened(after=timedelta(minutes=5))) == ("hello", 42)
    assert correlate(correlator, happened(after=timedelta(minutes=5))) is None


def test_a_noisy_object_does_not_silence_another() -> None:
    correlator = EventCorrelator()
    for _ in range(100):
        correlate(correlator, happened())
    other = ObjectReference(kind="Rollout", namespace="shop", name="other")
    assert correlate(correlator, happened(about=other)) == ("hello", 1)


def test_a_wall_clock_that_steps_back_neither_fails_nor_grants_more() -> None:
    correlator = EventCorrelator()
    for _ in range(30):
        correlate(correlator, happened(after=timedelta(hours=1)))
    assert correlate(correlator, happened()) is None


def test_names_never_repeat_and_fit_the_limit() -> None:
    correlator = EventCorrelator()
    names = [correlator.new_name("x" * 253, START) for _ in range(100)]
    names += [correlator.new_name("x" * 235 + "-.y", START)]
    assert len(set(names)) == 101
    assert all(len(name) <= 253 for name in names)
    assert names[-1].startswith("x" * 235 + ".")


def test_what_is_remembered_is_bounded() -> None:
    correlator = EventCorrelator()
    for n in range(5000):
        about = ObjectReference(kind="Rollout", namespace="shop", name=f"r{n}")
        assert correlate(correlator, happened(about=about)) == ("hello", 1)
    for memory in (correlator._groups, correlator._known, correlator._buckets):
        assert len(memory._values) == 4096


# -- writing ----------------------------------------------------------------------------------------------------


@virtual_time
async def test_an_event_that_the_server_has_forgotten_is_created_again_with_its_count() -> None:
    world = World()
    world.record()
    await settle()
    world.server.objects.clear()
    world.record()
    await settle()
    assert world.events() == [("hello", 2)]
    assert [request.method for request in world.server.requests] == ["POST", "PATCH", "POST"]
    await world.end()


@virtual_time
async def test_a_name_that_is_taken_is_replaced() -> None:
    world = World()
    world.server.faults.append(Fault(answer=refusal(409, "AlreadyExists")))
    world.record()
    await asyncio.sleep(30)
    assert world.events() == [("hello", 1)]
    names = [json.loads(request.body)["metadata"]["name"] for request in world.server.requests]
    assert names[0] != names[1]
    world.record()
    await settle()
    assert world.events() == [("hello", 2)]
    await world.end()


@virtual_time
async def test_an_event_whose_answer_was_lost_is_not_written_twice() -> None:
    world = World()
    world.server.faults.append(Fault(error=ConnectionResetError("cut"), after_effect=True))
    world.record()
    await asyncio.sleep(60)
    assert world.events() == [("hello", 1)]
    assert len(world.server.requests) == 2
    world.record()
    await settle()
    assert world.events() == [("hello", 2)]
    await world.end()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(error=ConnectFailed("refused")), id="refused"),
        pytest.param(Fault(error=TimeoutError()), id="time-out"),
        pytest.param(Fault(answer=refusal(429, "TooManyRequests")), id="429"),
        pytest.param(Fault(answer=refusal(500, "InternalError")), id="500"),
    ],
)
def test_a_server_that_is_away_for_a_minute_costs_no_event(fault: Fault) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        outage = Fault(answer=fault.answer, error=fault.error, times=10**9)
        world.server.faults.append(outage)
        for n in range(5):
            world.record(f"message {n}")
        await asyncio.sleep(60)
        world.server.faults.clear()
        await asyncio.sleep(30)
        assert world.events() == [(f"message {n}", 1) for n in range(5)]
        await world.end()

    check()


@virtual_time
async def test_a_server_that_is_away_for_long_costs_events_but_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    world = World(queue_max=3)
    world.server.faults.append(Fault(error=ConnectionResetError("cut"), times=10**9))
    world.record("first")
    await settle()
    for n in range(5):
        world.record(f"message {n}")
    assert world.recorder.dropped == 2
    await asyncio.sleep(115)
    assert "gave up on event Scaled about Rollout cart" in caplog.text
    world.server.faults.clear()
    await asyncio.sleep(30)
    assert [message for message, _ in world.events()] == ["message 0", "message 1", "message 2"]
    await world.end()


@pytest.mark.parametrize(
    ("refused", "is_logged"),
    [
        (refusal(403, "Forbidden", "no rights"), True),
        (refusal(422, "Invalid", "bad"), True),
        (refusal(404, "NotFound", 'namespaces "shop" not found'), True),
        (refusal(403, "Forbidden", "x", details={"causes": [{"reason": "NamespaceTerminating"}]}), False),
    ],
)
def test_a_refused_event_is_dropped_and_the_next_one_written(
    refused: Any, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.server.faults.append(Fault(answer=refused))
        world.record("refused")
        world.record("fine")
        await settle()
        assert world.events() == [("fine", 1)]
        assert ("the server refused an event about Rollout cart" in caplog.text) is is_logged
        await world.end()

    check()


@virtual_time
async def test_recording_never_waits_for_the_server() -> None:
    world = World()
    world.server.latency_seconds = 10
    started_at = asyncio.get_running_loop().time()
    for n in range(100):
        world.record(f"message {n}", about=ObjectReference(kind="Rollout", namespace="shop", name=f"r{n}"))
    assert asyncio.get_running_loop().time() == started_at
    await asyncio.sleep(1001)
    assert len(world.events()) == 100
    await world.end()


# -- ending -----------------------------------------------------------------------------------------------------


@virtual_time
async def test_closing_writes_what_is_queued_and_takes_no_more() -> None:
    world = World()
    world.server.latency_seconds = 0.5
    for n in range(5):
        world.record(f"message {n}")
    await world.end()
    assert len(world.events()) == 5
    world.record("too late")
    assert world.recorder.dropped == 1


@virtual_time
async def test_closing_an_idle_recorder_ends_it_at_once() -> None:
    world = World()
    await settle()
    async with asyncio.timeout(0.001):
        await world.end()


@virtual_time
async def test_a_server_that_is_away_holds_up_the_end_for_five_seconds_only() -> None:
    world = World()
    world.server.faults.append(Fault(hang=True, times=10**9))
    world.record("a")
    world.record("b")
    await settle()
    started_at = asyncio.get_running_loop().time()
    await world.end()
    assert asyncio.get_running_loop().time() - started_at == pytest.approx(5)


@virtual_time
async def test_a_runaway_message_is_cut() -> None:
    world = World()
    world.record("x" * 10_000_000)
    await settle()
    assert len(world.events()[0][0]) == 16_384
    await world.end()


@virtual_time
async def test_thousands_of_minor_events_are_all_written_but_after_everything_else() -> None:
    world = World(queue_max=3)
    for n in range(2000):
        about = msgspec.structs.replace(CART, name=f"cart-{n}", uid=f"u{n}")
        world.recorder.record(about, "Normal", "Added", f"added {n}", is_minor=True)
    for n in range(3):
        world.record(f"aborted {n}")
    await settle()
    await asyncio.sleep(1)
    messages = [message for message, _ in world.events()]
    assert messages[:3] == ["aborted 0", "aborted 1", "aborted 2"]
    assert sorted(messages[3:]) == sorted(f"added {n}" for n in range(2000))
    assert world.recorder.dropped == 0
    await world.end()


@virtual_time
async def test_minor_events_beyond_all_measure_are_dropped_without_a_line_for_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    for _ in range(MINOR_QUEUE_MAX + 5):
        world.recorder.record(CART, "Normal", "Added", "added", is_minor=True)
    assert world.recorder.dropped == 5
    assert "dropped" not in caplog.text
    world.record("still heard")
    await settle()
    assert world.events()[0][0] == "still heard"
    await world.end()
