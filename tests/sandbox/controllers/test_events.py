"""Events: repetition, names, other namespaces, and their end."""

from datetime import timedelta

import pytest
from tests.sandbox.controllers.workbench import EVENTS, NAMESPACES, Workbench

from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.kinds import Object

CONFIG_MAPS = ("", "configmaps")
NODES = ("", "nodes")


@pytest.fixture
def bench() -> Workbench:
    return Workbench()


def recorder(bench: Workbench, component: str = "tester") -> EventRecorder:
    return EventRecorder(bench.client, bench.sandbox.clock, component)


def subject(bench: Workbench) -> Object:
    return bench.create(CONFIG_MAPS, {"metadata": {"name": "m"}})


def test_an_event_names_object_component_and_time(bench: Workbench) -> None:
    obj = subject(bench)
    recorder(bench).record(obj, "v1", "ConfigMap", "Normal", "Seen", "looked at it")
    (event,) = [each for each in bench.objects(EVENTS) if each["reason"] == "Seen"]
    assert event["involvedObject"]["uid"] == obj["metadata"]["uid"]
    assert event["involvedObject"]["kind"] == "ConfigMap"
    assert event["metadata"]["name"].startswith("m.")
    assert (event["count"], event["type"], event["source"]["component"]) == (1, "Normal", "tester")
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2025-01-01T00:00:00Z"


def test_a_repeated_message_raises_the_count(bench: Workbench) -> None:
    obj, writer = subject(bench), recorder(bench)
    for _ in range(3):
        writer.record(obj, "v1", "ConfigMap", "Warning", "Bad", "again")
        bench.settle(10)
    (event,) = [each for each in bench.objects(EVENTS) if each["reason"] == "Bad"]
    assert event["count"] == 3
    assert (event["firstTimestamp"], event["lastTimestamp"]) == ("2025-01-01T00:00:00Z", "2025-01-01T00:00:20Z")


def test_different_messages_at_one_instant_are_different_events_from_any_recorder(bench: Workbench) -> None:
    obj, one, two = subject(bench), recorder(bench, "one"), recorder(bench, "two")
    for writer in (one, two):
        for message in ("a", "b"):
            writer.record(obj, "v1", "ConfigMap", "Normal", "Seen", message)
    assert bench.messages("Seen") == ["a", "b", "a", "b"]


def test_events_about_cluster_scoped_objects_are_in_the_default_namespace(bench: Workbench) -> None:
    node = bench.client.get(NODES, "", "sandbox-0")
    assert node is not None
    recorder(bench).record(node, "v1", "Node", "Normal", "Seen", "x")
    assert [each["reason"] for each in bench.client.list(EVENTS, "default")] == ["Seen"]


def test_an_event_that_cannot_be_written_is_dropped(bench: Workbench) -> None:
    obj, writer = subject(bench), recorder(bench)
    writer.record(obj, "v1", "ConfigMap", "Normal", "Seen", "before")
    bench.client.delete(NAMESPACES, "", "shop")
    bench.settle()
    writer.record(obj, "v1", "ConfigMap", "Normal", "Seen", "before")
    writer.record(obj, "v1", "ConfigMap", "Normal", "Seen", "after")
    assert bench.objects(EVENTS) == []


def test_old_events_are_swept_each_minute_and_repeated_ones_stay(bench: Workbench) -> None:
    obj, writer = subject(bench), recorder(bench)
    writer.record(obj, "v1", "ConfigMap", "Normal", "Once", "x")
    writer.record(obj, "v1", "ConfigMap", "Normal", "Twice", "x")
    bench.settle(timedelta(minutes=30).total_seconds())
    writer.record(obj, "v1", "ConfigMap", "Normal", "Twice", "x")
    bench.settle(timedelta(minutes=29, seconds=50).total_seconds())
    assert {each["reason"] for each in bench.objects(EVENTS)} == {"Once", "Twice"}
    bench.settle(70)
    assert {each["reason"] for each in bench.objects(EVENTS)} == {"Twice"}
    bench.settle(timedelta(minutes=30).total_seconds())
    assert bench.objects(EVENTS) == []


def test_a_swept_event_is_written_anew(bench: Workbench) -> None:
    obj, writer = subject(bench), recorder(bench)
    writer.record(obj, "v1", "ConfigMap", "Normal", "Seen", "x")
    bench.settle(timedelta(minutes=62).total_seconds())
    assert bench.messages("Seen") == []
    writer.record(obj, "v1", "ConfigMap", "Normal", "Seen", "x")
    assert bench.messages("Seen") == ["x"]
