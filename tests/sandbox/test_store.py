"""Revisions, history, snapshots and indexes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.sandbox import store as store_module
from prograde.sandbox.clock import ManualClock
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object
from prograde.sandbox.store import FIRST_REVISION, Compacted, Entry, Overrun, Store

MAPS = ("", "configmaps")
PODS = ("", "pods")


def obj(name: str, namespace: str = "ns", **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name, **metadata}}


def pod(name: str, node: str = "") -> Object:
    return {**obj(name), "kind": "Pod", "spec": {"nodeName": node} if node else {}}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2025, 1, 1, tzinfo=UTC))


@pytest.fixture
def store(clock: ManualClock) -> Store:
    return Store(clock)


def names(entries: Any) -> list[str]:
    return [entry.obj["metadata"]["name"] for entry in entries]


def test_all_resources_share_one_counter_and_objects_carry_it(store: Store) -> None:
    first = store.put(MAPS, obj("a"))
    second = store.put(PODS, pod("p"))
    third = store.put(MAPS, obj("a", labels={"x": "y"}))

    assert [entry.revision for entry in (first, second, third)] == [FIRST_REVISION + n for n in (1, 2, 3)]
    assert third.obj["metadata"]["resourceVersion"] == str(third.revision)
    assert store.delete(MAPS, obj("a")).revision == store.revision == third.revision + 1


def test_bytes_begin_with_the_type_and_the_rest_can_be_spliced(store: Store) -> None:
    entry = store.put(MAPS, {"metadata": {"name": "a"}, "kind": "ConfigMap", "data": {}, "apiVersion": "v1"})

    assert (
        entry.raw
        == b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"1001"},"data":{}}'
    )
    assert b'{"apiVersion":"v1","kind":"ConfigMap",' + entry.body() == entry.raw


def test_keys_are_in_byte_order_of_namespace_and_name(store: Store) -> None:
    for namespace, name in (("b", "a"), ("a", "z"), ("a-b", "c"), ("a", "b-1"), ("a", "b")):
        store.put(MAPS, obj(name, namespace))
    bucket = store.bucket(MAPS)

    assert [entry.key for entry in bucket.scan()] == ["a-b/c", "a/b", "a/b-1", "a/z", "b/a"]
    assert [entry.key for entry in bucket.scan("a")] == ["a/b", "a/b-1", "a/z"]
    assert [entry.key for entry in bucket.scan("a", after="a/b")] == ["a/b-1", "a/z"]
    assert bucket.count("a") == 3


def test_a_cursor_reads_each_change_once(store: Store) -> None:
    store.put(MAPS, obj("a"))
    cursor = store.bucket(MAPS).cursor(store.revision)
    store.put(MAPS, obj("b"))
    store.put(PODS, pod("p"))
    store.delete(MAPS, obj("a"))

    assert [(change.type, change.entry.key) for change in cursor.read()] == [("ADDED", "ns/b"), ("DELETED", "ns/a")]
    assert cursor.read() == []


def test_a_deletion_has_its_own_revision_and_remembers_what_was_before(store: Store) -> None:
    before = store.put(MAPS, obj("a"))
    cursor = store.bucket(MAPS).cursor(before.revision)
    store.delete(MAPS, obj("a"))

    (change,) = cursor.read()
    assert change.revision == before.revision + 1
    assert change.previous is before


def test_history_before_the_floor_is_refused(store: Store) -> None:
    start = store.revision
    store.put(MAPS, obj("a"))
    store.compact(MAPS)
    bucket = store.bucket(MAPS)

    with pytest.raises(Compacted, match=f"too old resource version: {start} \\({store.revision}\\)"):
        bucket.cursor(start)
    with pytest.raises(Compacted):
        list(bucket.scan(revision=start))
    assert bucket.cursor(store.revision).read() == []


def test_a_cursor_whose_place_was_forgotten_is_overrun(store: Store) -> None:
    cursor = store.bucket(MAPS).cursor(store.revision)
    store.put(MAPS, obj("a"))
    store.compact()

    with pytest.raises(Overrun):
        cursor.read()


def test_a_cursor_with_too_much_to_read_is_overrun(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "QUEUE_MAX", 3)
    cursor = store.bucket(MAPS).cursor(store.revision)
    for index in range(4):
        store.put(MAPS, obj(f"m{index}"))

    with pytest.raises(Overrun):
        cursor.read()


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        pytest.param(timedelta(minutes=1), 64, id="young changes stay beyond the minimum"),
        pytest.param(timedelta(minutes=6), 16, id="old ones go down to the minimum"),
    ],
)
def test_history_keeps_a_number_or_an_age_whichever_is_more(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, age: timedelta, kept: int
) -> None:
    monkeypatch.setattr(store_module, "HISTORY_MIN", 16)
    monkeypatch.setattr(store_module, "_TRIM_EVERY", 64)
    for index in range(63):
        store.put(MAPS, obj(f"m{index}"))
    clock.move_to(clock() + age)
    store.put(MAPS, obj("last"))

    assert len(store.bucket(MAPS).changes) == kept


def test_history_has_an_upper_limit_whatever_its_age(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HISTORY_MIN", 4)
    monkeypatch.setattr(store_module, "HISTORY_MAX", 8)
    monkeypatch.setattr(store_module, "_TRIM_EVERY", 16)
    for index in range(16):
        store.put(MAPS, obj(f"m{index}"))

    bucket = store.bucket(MAPS)
    assert len(bucket.changes) == 8
    assert bucket.floor == bucket.changes[0].revision - 1


def test_owners_and_nodes_are_indexed_as_they_change(store: Store) -> None:
    store.put(MAPS, obj("a", ownerReferences=[{"uid": "1"}, {"uid": "2"}]))
    store.put(PODS, pod("p"))
    assert [(resource, entry.key) for resource, entry in store.owned_by("1")] == [(MAPS, "ns/a")]
    assert names(store.on_node("")) == ["p"]

    store.put(MAPS, obj("a", ownerReferences=[{"uid": "2"}]))
    store.put(PODS, pod("p", "n1"))
    assert store.owned_by("1") == []
    assert len(store.owned_by("2")) == 1
    assert (names(store.on_node("n1")), store.on_node("")) == (["p"], [])

    store.delete(MAPS, obj("a", ownerReferences=[{"uid": "2"}]))
    store.delete(PODS, pod("p", "n1"))
    assert (store.owned_by("2"), store.on_node("n1")) == ([], [])


def test_labels_are_indexed_from_their_first_use_on(store: Store) -> None:
    store.put(MAPS, obj("a", labels={"app": "x"}))
    bucket = store.bucket(MAPS)
    assert names(bucket.with_label("app", "x")) == ["a"]

    store.put(MAPS, obj("b", labels={"app": "x"}))
    store.put(MAPS, obj("a", labels={"app": "y"}))
    store.put(MAPS, obj("c"))
    assert (names(bucket.with_label("app", "x")), names(bucket.with_label("app", "y"))) == (["b"], ["a"])
    store.delete(MAPS, obj("b"))
    assert bucket.with_label("app", "x") == []


def test_objects_and_their_number_have_limits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.revision
    with pytest.raises(StatusError, match="etcdserver: request is too large"):
        store.put(MAPS, {**obj("a"), "data": {"x": "y" * 1_600_000}})
    assert (store.revision, len(store.bucket(MAPS))) == (before, 0)

    monkeypatch.setattr(store_module, "OBJECTS_MAX", 1)
    store.put(MAPS, obj("a"))
    with pytest.raises(StatusError, match="no more than 1 objects"):
        store.put(MAPS, obj("b"))
    store.put(MAPS, obj("a", labels={"x": "y"}))


def test_a_clone_goes_its_own_way(store: Store, clock: ManualClock) -> None:
    store.put(MAPS, obj("a", ownerReferences=[{"uid": "1"}]))
    twin = store.clone(clock)
    twin.put(MAPS, obj("b"))
    store.delete(MAPS, obj("a"))

    assert (names(store.bucket(MAPS).scan()), names(twin.bucket(MAPS).scan())) == ([], ["a", "b"])
    assert (len(store.owned_by("1")), len(twin.owned_by("1"))) == (0, 1)


def test_a_dropped_resource_wakes_whoever_waits_for_it(store: Store) -> None:
    woken: list[str] = []
    bucket = store.bucket(MAPS)
    bucket.wakers["me"] = lambda: woken.append("me")
    store.drop(MAPS)

    assert (woken, bucket.is_dropped) == (["me"], True)
    assert store.bucket(MAPS) is not bucket


def test_subscribers_hear_of_changes_in_order(store: Store) -> None:
    heard: list[tuple[str, str, str | None]] = []

    def note(change: str, resource: Any, entry: Entry, previous: Entry | None) -> None:
        heard.append((change, entry.key, previous.key if previous is not None else None))

    store.subscribe(note)
    store.put(MAPS, obj("a"))
    store.put(MAPS, obj("a"))
    store.delete(MAPS, obj("a"))
    assert heard == [("ADDED", "ns/a", None), ("MODIFIED", "ns/a", "ns/a"), ("DELETED", "ns/a", "ns/a")]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30))
def test_every_moment_of_the_past_can_be_seen_again(steps: list[tuple[str, bool]]) -> None:
    store = Store(ManualClock())
    bucket = store.bucket(MAPS)
    moments: list[tuple[int, list[bytes]]] = [(store.revision, [])]
    for name, is_put in steps:
        if is_put:
            store.put(MAPS, obj(name))
        elif bucket.get("ns", name) is not None:
            store.delete(MAPS, obj(name))
        moments.append((store.revision, [entry.raw for entry in bucket.scan()]))

    for revision, expected in moments:
        assert [entry.raw for entry in bucket.scan(revision=revision)] == expected
