"""The informer against a scripted server: nothing lost, nothing spinning, one bad object stops nobody."""

import asyncio
import gc
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.kube.fake_transport import (
    EXPIRED_EVENT,
    FakeServer,
    Fault,
    event_line,
    is_list,
    is_watch,
    refusal,
    status,
)
from tests.kube.virtual_time import settle, virtual_time

from prograde.api.meta import ObjectMeta
from prograde.kube.client import Client
from prograde.kube.informer import Informer, Undecodable, by_owner_uid
from prograde.kube.reflector import BrokenStream, lines
from prograde.kube.resources import Key, Resource
from prograde.kube.transport import Request

WIDGETS = Resource(group="example.com", plural="widgets", kind="Widget")
PATH = "apis/example.com/v1/widgets"


class Widget(msgspec.Struct, frozen=True, rename="camel"):
    metadata: ObjectMeta
    size: int = 0
    blob: msgspec.Raw = msgspec.Raw()


decode = msgspec.json.Decoder(Widget).decode


class World:
    """A server, an informer that follows it, and what its subscribers were told."""

    def __init__(self, **options: Any) -> None:
        self.server = FakeServer()
        self.told: list[tuple[str, str, int]] = []
        self.unreadable: list[Undecodable] = []
        client = Client(self.server, qps=0, rng=random.Random(1))
        self.informer = Informer(
            client,
            options.pop("resource", WIDGETS),
            options.pop("decode", decode),
            rng=random.Random(1),
            indexers={"owner": by_owner_uid, "size": lambda widget: [str(widget.size)]},
            on_undecodable=self.unreadable.append,
            **options,
        )
        self.informer.subscribe(self.on_change)

    def on_change(self, old: Widget | None, new: Widget | None) -> None:
        obj = new or old
        assert obj is not None
        verb = "add" if old is None else "delete" if new is None else "resync" if old is new else "update"
        self.told.append((verb, obj.metadata.name, obj.size))

    def put(self, name: str, size: Any = 0, namespace: str = "shop", **content: Any) -> dict[str, Any]:
        return self.server.put(PATH, namespace, name, size=size, **content)

    def remove(self, name: str, namespace: str = "shop") -> dict[str, Any]:
        return self.server.remove(PATH, namespace, name)

    def sizes(self) -> dict[str, int]:
        return {widget.metadata.name: widget.size for widget in self.informer.all()}

    def take_told(self) -> list[tuple[str, str, int]]:
        told = self.told[:]
        self.told.clear()
        return told

    def count(self, matches: Callable[[Request], bool]) -> int:
        return sum(map(matches, self.server.requests))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        task = asyncio.create_task(self.informer.run())
        try:
            async with asyncio.timeout(3600):
                await self.informer.wait_synced()
            yield self
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert self.server.open_streams == 0


def query_of(request: Request) -> dict[str, str]:
    return dict(request.query)


@virtual_time
async def test_first_list_and_then_every_change_reaches_store_and_subscribers() -> None:
    world = World()
    world.put("a", 1)
    async with world.running():
        assert world.informer.has_synced
        world.put("b", 2)
        world.put("a", 3)
        world.remove("b")
        await settle()
        assert world.told == [("add", "a", 1), ("add", "b", 2), ("update", "a", 3), ("delete", "b", 2)]
        assert world.sizes() == {"a": 3}
        assert world.informer.get(Key("shop", "a")) is not None
        assert world.informer.get(Key("shop", "b")) is None


@virtual_time
async def test_an_empty_collection_syncs_and_the_watch_starts_at_the_lists_version() -> None:
    world = World()
    async with world.running():
        assert len(world.informer) == 0
        await settle()
        assert query_of(world.server.requests[-1])["resourceVersion"] == "100"
        assert query_of(world.server.requests[-1])["allowWatchBookmarks"] == "true"
        assert 300 <= int(query_of(world.server.requests[-1])["timeoutSeconds"]) <= 600


@virtual_time
async def test_lists_go_page_by_page_of_500() -> None:
    world = World()
    for n in range(1201):
        world.put(f"w{n:04}")
    async with world.running():
        assert len(world.informer) == 1201
        assert [query_of(request).get("limit") for request in world.server.requests[:3]] == ["500"] * 3
        assert ["continue" in query_of(request) for request in world.server.requests[:3]] == [False, True, True]


@virtual_time
async def test_a_continue_token_that_expires_leads_to_one_whole_list() -> None:
    world = World(page_size=2)
    for n in range(5):
        world.put(f"w{n}")
    world.server.faults.append(
        Fault(answer=refusal(410, "Expired"), matches=lambda request: "continue" in query_of(request))
    )
    async with world.running():
        assert len(world.informer) == 5
        assert "limit" not in query_of(world.server.requests[2])
        assert len(world.told) == 5


@virtual_time
async def test_selectors_and_namespace_go_to_the_server() -> None:
    world = World(namespace="shop", label_selector="app=x", field_selector="metadata.name=a")
    world.put("a", namespace="other")
    world.put("a", 7)
    async with world.running():
        await settle()
        assert world.sizes() == {"a": 7}
        for request in world.server.requests:
            assert request.path == "/apis/example.com/v1/namespaces/shop/widgets"
            assert query_of(request)["labelSelector"] == "app=x"
            assert query_of(request)["fieldSelector"] == "metadata.name=a"


@virtual_time
async def test_an_expired_watch_lists_anew_and_reports_what_was_deleted_meanwhile() -> None:
    world = World()
    world.put("stays", 1)
    world.put("goes", 2)
    world.put("changes", 3)
    # The first watch is cut at once and the history forgotten before the second one comes.
    world.server.faults.append(Fault(cut_after_bytes=0, error=ConnectionResetError("cut"), matches=is_watch))
    async with world.running():
        await settle()
        world.take_told()
        world.remove("goes")
        world.put("changes", 4)
        world.put("comes", 5)
        world.server.compact()
        await asyncio.sleep(30)
        assert world.take_told() == [("delete", "goes", 2), ("update", "changes", 4), ("add", "comes", 5)]
        assert world.sizes() == {"stays": 1, "changes": 4, "comes": 5}


@virtual_time
async def test_a_410_answer_to_the_watch_request_itself_also_lists_anew() -> None:
    world = World()
    world.put("a", 1)
    world.server.faults.append(Fault(answer=refusal(410, "Gone"), matches=is_watch))
    async with world.running():
        await asyncio.sleep(10)
        assert world.count(is_list) == 2
        world.put("b", 2)
        await settle()
        assert world.sizes() == {"a": 1, "b": 2}


@virtual_time
async def test_an_object_deleted_and_created_again_meanwhile_is_reported_as_two_objects() -> None:
    world = World()
    world.put("a", 1)
    world.server.faults.append(Fault(lines=(EXPIRED_EVENT,), end=True, matches=is_watch))
    async with world.running():
        await settle()
        world.take_told()
        world.remove("a")
        world.put("a", 2)
        await asyncio.sleep(10)
        assert world.take_told() == [("delete", "a", 1), ("add", "a", 2)]


@virtual_time
async def test_a_server_that_expires_every_watch_at_once_does_not_make_us_spin() -> None:
    world = World()
    world.server.faults.append(Fault(lines=(EXPIRED_EVENT,), end=True, matches=is_watch, times=10**9))
    async with world.running():
        await asyncio.sleep(3600)
        assert 60 < world.count(is_list) < 140  # 30 to 60 s apart, once backed off


@pytest.mark.parametrize("cut_at", [0, 1, 20, 60])
@pytest.mark.parametrize("error", [None, ConnectionResetError("cut"), TimeoutError()])
def test_a_line_cut_in_the_middle_is_resumed_and_nothing_is_lost(cut_at: int, error: OSError | None) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.server.faults.append(Fault(cut_after_bytes=cut_at, error=error, matches=is_watch))
        async with world.running():
            await settle()
            world.put("a", 1)
            world.put("b", 2)
            await asyncio.sleep(10)
            assert world.take_told() == [("add", "a", 1), ("add", "b", 2)]
            assert world.count(is_list) == 1
            assert world.count(is_watch) == 2

    check()


@virtual_time
async def test_a_cut_after_some_events_resumes_behind_the_last_whole_one() -> None:
    world = World()
    world.server.faults.append(Fault(cut_after_bytes=400, error=ConnectionResetError("cut"), matches=is_watch))
    async with world.running():
        await settle()
        for n in range(10):
            world.put(f"w{n}", n)
        await asyncio.sleep(10)
        assert world.take_told() == [("add", f"w{n}", n) for n in range(10)]
        assert query_of(world.server.requests[-1])["resourceVersion"] == "103"


@virtual_time
async def test_a_line_of_3_mb_in_small_pieces_arrives_whole() -> None:
    world = World()
    world.server.chunk_bytes = 1400
    async with world.running():
        await settle()
        world.put("big", 1, blob="x" * 3_000_000)
        world.put("next", 2)
        await asyncio.sleep(1)
        assert world.sizes() == {"big": 1, "next": 2}


@virtual_time
async def test_a_line_of_3_mb_that_is_cut_comes_again() -> None:
    world = World()
    world.server.faults.append(Fault(cut_after_bytes=2_000_000, error=ConnectionResetError("cut"), matches=is_watch))
    async with world.running():
        await settle()
        world.put("big", 1, blob="x" * 3_000_000)
        await asyncio.sleep(10)
        assert world.told == [("add", "big", 1)]


@virtual_time
async def test_pieces_of_one_byte_give_the_same_events() -> None:
    world = World()
    world.server.chunk_bytes = 1
    async with world.running():
        await settle()
        world.put("a", 1)
        await asyncio.sleep(1)
        assert world.sizes() == {"a": 1}


@virtual_time
async def test_quiet_watches_end_and_resume_from_their_bookmark_without_listing() -> None:
    world = World()
    async with world.running():
        world.server.put("api/v1/pods", "shop", "elsewhere")  # moves the version of the whole server
        await asyncio.sleep(1900)
        world.server.compact()  # everything before the bookmark is forgotten
        await asyncio.sleep(700)
        world.put("a", 1)
        await settle()
        assert world.sizes() == {"a": 1}
        assert world.count(is_list) == 1
        assert 4 <= world.count(is_watch) <= 10


@virtual_time
async def test_a_server_that_does_not_end_the_watch_in_time_is_hung_up_on() -> None:
    world = World()
    world.server.faults.append(Fault(hang=True, matches=is_watch))
    async with world.running():
        await asyncio.sleep(300)
        world.put("a", 1)
        assert world.count(is_watch) == 1
        await asyncio.sleep(331)
        assert world.sizes() == {"a": 1}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(answer=refusal(429, "TooManyRequests")), id="429"),
        pytest.param(Fault(answer=refusal(500, "InternalError")), id="500"),
        pytest.param(Fault(answer=refusal(503, "ServiceUnavailable")), id="503"),
        pytest.param(Fault(error=ConnectionRefusedError("refused")), id="refused"),
        pytest.param(Fault(error=TimeoutError()), id="time-out"),
        pytest.param(Fault(lines=(event_line("ERROR", status(500, "InternalError")),), end=True), id="ERROR event 500"),
        pytest.param(Fault(end=True), id="ended at once"),
        pytest.param(Fault(lines=(b"<html>502 Bad Gateway</html>\n",), end=True), id="not JSON"),
        pytest.param(Fault(lines=(event_line("SURPRISE", {}),), end=True), id="unknown type"),
    ],
)
def test_a_failing_watch_is_resumed_with_back_off_and_without_listing(fault: Fault) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.put("a", 1)
        script = Fault(answer=fault.answer, error=fault.error, lines=fault.lines, end=fault.end)
        script.matches, script.times = is_watch, 3
        world.server.faults.append(script)
        async with world.running():
            await settle()
            assert world.count(is_watch) == 1
            world.put("b", 2)
            await asyncio.sleep(60)
            assert world.count(is_watch) == 4
            assert world.count(is_list) == 1
            gaps = [b - a for a, b in zip(world.server.request_times[1:], world.server.request_times[2:], strict=False)]
            for gap, base in zip(gaps, (0.8, 1.6, 3.2), strict=True):
                assert base <= gap <= 2 * base + 0.1
            assert world.sizes() == {"a": 1, "b": 2}

    check()


@virtual_time
async def test_retry_after_on_a_watch_is_kept() -> None:
    world = World()
    world.server.faults.append(Fault(answer=refusal(429, "TooManyRequests", retry_after="17"), matches=is_watch))
    async with world.running():
        await asyncio.sleep(60)
        assert world.server.request_times[2] - world.server.request_times[1] >= 17


@virtual_time
async def test_an_event_that_can_never_be_read_is_stepped_over_by_a_list() -> None:
    world = World()
    world.server.faults.append(Fault(lines=(b"garbage\n",), end=True, matches=is_watch, times=5))
    async with world.running():
        await asyncio.sleep(200)
        assert world.count(is_list) == 2
        world.put("a", 1)
        await settle()
        assert world.sizes() == {"a": 1}


@virtual_time
async def test_a_watch_that_is_forbidden_goes_back_to_the_list_which_says_so(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.put("a", 1)
    world.server.faults.append(Fault(answer=refusal(403, "Forbidden", "no rights"), matches=is_watch, times=2))
    async with world.running():
        await asyncio.sleep(60)
        assert world.count(is_list) == 3
        assert world.sizes() == {"a": 1}
    assert "watch widgets.example.com: no rights" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(answer=refusal(403, "Forbidden")), id="403"),
        pytest.param(Fault(answer=refusal(404, "NotFound")), id="kind not served yet"),
        pytest.param(Fault(answer=refusal(500, "InternalError")), id="500"),
        pytest.param(Fault(error=ConnectionRefusedError("refused")), id="refused"),
        pytest.param(Fault(answer=msgspec.structs.replace(refusal(200, ""), body=b"<html>")), id="not JSON"),
    ],
)
def test_a_failing_first_list_is_repeated_until_it_works_and_never_spins(fault: Fault) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.put("a", 1)
        failing = Fault(answer=fault.answer, error=fault.error, matches=is_list, times=10**9)
        world.server.faults.append(failing)
        task = asyncio.create_task(world.informer.run())
        await asyncio.sleep(1800)
        assert not world.informer.has_synced
        assert len(world.server.requests) < 400
        world.server.faults.clear()
        await asyncio.sleep(61)
        assert world.informer.has_synced
        assert world.sizes() == {"a": 1}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    check()


@virtual_time
async def test_repeated_synthetic_events_of_known_versions_are_not_reported_again() -> None:
    world = World()
    obj = world.put("a", 1)
    world.server.faults.append(Fault(lines=(event_line("ADDED", obj),), matches=is_watch))
    async with world.running():
        await settle()
        assert world.told == [("add", "a", 1)]


@virtual_time
async def test_old_news_told_again_does_not_take_an_object_back() -> None:
    world = World()
    old = world.put("a", 1)
    gone = world.remove("a")
    world.put("a", 2)
    again = (event_line("MODIFIED", old), event_line("DELETED", gone), event_line("BOOKMARK", old))
    world.server.faults.append(Fault(lines=again, matches=is_watch))
    async with world.running():
        await settle()
        assert world.told == [("add", "a", 2)]
        assert world.informer.resource_version == "103"
        world.put("a", 3)
        await settle()
        assert world.sizes() == {"a": 3}


@virtual_time
async def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    world = World()
    line = event_line("ADDED", {"metadata": {"name": "a", "namespace": "shop", "resourceVersion": "v-b"}, "size": 1})
    world.server.faults.append(Fault(lines=(line,), matches=is_watch))
    async with world.running():
        await settle()
        assert world.sizes() == {"a": 1}
        assert world.informer.resource_version == "v-b"


# -- objects that do not fit ------------------------------------------------------------------------------------


@virtual_time
async def test_one_object_of_the_wrong_type_does_not_stop_the_others() -> None:
    world = World()
    world.put("a", 1)
    world.put("bad", "a string")
    world.put("c", 3)
    async with world.running():
        assert world.sizes() == {"a": 1, "c": 3}
        failure = world.informer.failures[Key("shop", "bad")]
        assert [failure] == world.unreadable
        assert failure.resource_version == "102"
        assert str(failure).startswith("Widget shop/bad: Expected `int`, got `str` - at `$.size`")


@virtual_time
async def test_an_object_that_becomes_unreadable_keeps_its_last_good_version_until_it_can_be_read_again() -> None:
    world = World()
    world.put("a", 1)
    async with world.running():
        await settle()
        world.put("a", "broken")
        world.put("b", 2)
        await settle()
        assert world.sizes() == {"a": 1, "b": 2}
        assert [failure.key for failure in world.unreadable] == [Key("shop", "a")]
        world.put("a", 3)
        await settle()
        assert world.sizes() == {"a": 3, "b": 2}
        assert not world.informer.failures
        assert world.told == [("add", "a", 1), ("add", "b", 2), ("update", "a", 3)]


@virtual_time
async def test_an_unreadable_object_is_not_taken_for_deleted_by_a_new_list_nor_reported_twice() -> None:
    world = World()
    world.put("a", 1)
    async with world.running():
        await settle()
        world.put("a", "broken")
        await settle()
        world.server.faults.append(Fault(lines=(EXPIRED_EVENT,), end=True, matches=is_watch))
        await asyncio.sleep(700)
        assert world.count(is_list) == 2
        assert world.sizes() == {"a": 1}
        assert len(world.unreadable) == 1


@virtual_time
async def test_deleting_an_unreadable_object_reports_the_last_good_version_as_deleted() -> None:
    world = World()
    world.put("a", 1)
    world.put("never-good", "broken")
    async with world.running():
        await settle()
        world.put("a", "broken")
        world.remove("a")
        world.remove("never-good")
        await settle()
        assert world.told == [("add", "a", 1), ("delete", "a", 1)]
        assert not world.informer.failures


@virtual_time
async def test_an_unreadable_object_deleted_while_away_is_forgotten() -> None:
    world = World()
    world.put("bad", "broken")
    world.server.faults.append(Fault(lines=(EXPIRED_EVENT,), end=True, matches=is_watch))
    async with world.running():
        await settle()
        world.remove("bad")
        await asyncio.sleep(30)
        assert not world.informer.failures


@virtual_time
async def test_with_a_nameless_object_in_a_list_nothing_is_taken_for_deleted() -> None:
    world = World()
    world.put("a", 1)
    world.server.faults.append(Fault(lines=(EXPIRED_EVENT,), end=True, matches=is_watch))
    async with world.running():
        await settle()
        world.server.objects[(PATH, "shop", "a")] = {"metadata": {"name": 5}}
        await asyncio.sleep(30)
        assert world.sizes() == {"a": 1}
        assert world.unreadable[0].key is None
        assert "(unknown name)" in str(world.unreadable[0])


# -- subscribers, indexes, resync -------------------------------------------------------------------------------


@virtual_time
async def test_a_subscriber_that_raises_is_logged_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def broken(old: Widget | None, new: Widget | None) -> None:
        raise ZeroDivisionError("oops")

    world.informer.subscribe(broken)
    late: list[str] = []
    world.informer.subscribe(lambda old, new: late.append((new or old).metadata.name))
    world.put("a", 1)
    async with world.running():
        world.put("b", 2)
        await settle()
        assert late == ["a", "b"]
    assert caplog.text.count("a subscriber failed on Widget shop/a") == 1
    assert "ZeroDivisionError: oops" in caplog.text


@virtual_time
async def test_a_late_subscriber_is_told_of_everything_here_and_can_leave() -> None:
    world = World()
    world.put("a", 1)
    async with world.running():
        await settle()
        late: list[Any] = []
        leave = world.informer.subscribe(lambda old, new: late.append((old, new.metadata.name)))
        assert late == [(None, "a")]
        leave()
        leave()
        world.put("a", 2)
        await settle()
        assert len(late) == 1


@virtual_time
async def test_indexes_follow_every_change() -> None:
    world = World()
    world.put("a", 1, metadata={"ownerReferences": [{"uid": "u1"}, {"uid": "u2"}]})
    world.put("b", 1, namespace="other", metadata={"ownerReferences": [{"uid": "u1"}]})

    def found(index: str, value: str) -> list[str]:
        return sorted(widget.metadata.name for widget in world.informer.find(index, value))

    async with world.running():
        await settle()
        assert found("owner", "u1") == ["a", "b"]
        assert found("owner", "u2") == ["a"]
        assert found("namespace", "shop") == ["a"]
        assert found("size", "1") == ["a", "b"]
        world.put("a", 2, metadata={"ownerReferences": [{"uid": "u2"}]})
        world.remove("b", namespace="other")
        await settle()
        assert found("owner", "u1") == []
        assert found("owner", "u2") == ["a"]
        assert found("size", "1") == []
        assert found("size", "2") == ["a"]
        with pytest.raises(KeyError):
            world.informer.find("colour", "red")


@virtual_time
async def test_values_that_left_an_index_leave_no_memory_behind() -> None:
    world = World()
    async with world.running():
        await settle()
        for n in range(20):
            world.put("a", 1, metadata={"ownerReferences": [{"uid": f"u{n}"}]})
        await settle()
        assert world.informer._store._indexes["owner"].keys() == {"u19"}


@virtual_time
async def test_resync_hands_out_every_object_again_unchanged() -> None:
    world = World(resync_seconds=900)
    world.put("a", 1)
    world.put("b", 2)
    async with world.running():
        await asyncio.sleep(2000)
        assert world.told == [("add", "a", 1), ("add", "b", 2)] + [("resync", "a", 1), ("resync", "b", 2)] * 2


@virtual_time
async def test_without_resync_period_objects_are_handed_out_once() -> None:
    world = World()
    world.put("a", 1)
    async with world.running():
        await asyncio.sleep(5000)
        assert world.told == [("add", "a", 1)]


@virtual_time
async def test_cluster_scoped_objects_have_an_empty_namespace() -> None:
    world = World(resource=Resource(plural="widgets", group="example.com", kind="Widget", namespaced=False))
    world.put("a", 1, namespace="")
    async with world.running():
        assert world.informer.get(Key("", "a")) is not None


@virtual_time
async def test_a_cached_object_keeps_its_own_bytes_alive_and_not_the_page_it_came_in() -> None:
    world = World()
    for n in range(100):
        world.put(f"w{n}", n, blob="x" * 100_000)
    tracemalloc.start()
    try:
        async with world.running():
            await settle()
            for n in range(1, 100):
                world.remove(f"w{n}")
            await settle()
            world.server.requests.clear()
            world.server._snapshots.clear()
            world.take_told()
            gc.collect()
            assert world.sizes() == {"w0": 0}
            biggest = max(trace.size for trace in tracemalloc.take_snapshot().traces)
            assert 100_000 <= biggest < 200_000  # the page had ten million bytes
    finally:
        tracemalloc.stop()


# -- lines ------------------------------------------------------------------------------------------------------


async def _stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b"a\nb\n"], [b"a", b"b"], id="two in one piece"),
        pytest.param([b"a", b"b", b"\n"], [b"ab"], id="one in three pieces"),
        pytest.param([b"a\nb", b"c\nd\n"], [b"a", b"bc", b"d"], id="across pieces"),
        pytest.param([b"a\nrest"], [b"a"], id="what follows the last newline is dropped"),
        pytest.param([b"\n\na\n\n"], [b"a"], id="empty lines are skipped"),
        pytest.param([b"a\r\n"], [b"a\r"], id="carriage return is JSON white space"),
        pytest.param([], [], id="nothing"),
    ],
)
async def test_lines(pieces: list[bytes], expected: list[bytes]) -> None:
    assert [line async for line in lines(_stream(*pieces))] == expected


async def test_an_endless_line_is_refused_before_it_fills_the_memory() -> None:
    async def endless() -> AsyncIterator[bytes]:
        piece = b"x" * (1 << 20)
        while True:
            yield piece

    with pytest.raises(BrokenStream, match="longer than"):
        _ = [line async for line in lines(endless())]


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_asked", [is_list, is_watch])
@pytest.mark.parametrize(("code", "reason"), [(403, "Forbidden"), (404, "NotFound"), (405, "MethodNotAllowed")])
def test_why_the_server_does_not_let_us_follow_is_known_until_it_does(
    code: int, reason: str, is_asked: Callable[[Request], bool]
) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.server.faults.append(Fault(answer=refusal(code, reason), times=10**9, matches=is_asked))
        assert world.informer.refusal is None, "not asked yet"
        task = asyncio.create_task(world.informer.run())
        await asyncio.sleep(300)
        assert world.informer.refusal is not None
        assert (world.informer.refusal.code, world.informer.refusal.message) == (code, "because")
        assert world.informer.has_synced is (is_asked is is_watch)
        world.server.faults.clear()
        await asyncio.sleep(120)
        assert world.informer.refusal is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    check()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(answer=refusal(500, "InternalError"), times=10**9),
        Fault(answer=refusal(429, "TooManyRequests"), times=10**9),
        Fault(answer=refusal(410, "Expired"), times=10**9, matches=is_watch),
        Fault(error=ConnectionResetError("cut"), times=10**9),
    ],
)
def test_a_failure_that_passes_by_itself_is_no_refusal(fault: Fault) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.server.faults.append(fault)
        task = asyncio.create_task(world.informer.run())
        await asyncio.sleep(60)
        assert world.informer.refusal is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    check()


@virtual_time
async def test_a_list_that_fails_in_the_same_way_again_and_again_is_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.server.faults.append(Fault(answer=refusal(404, "NotFound", "no such kind"), times=3, matches=is_list))
    world.server.faults.append(Fault(answer=refusal(403, "Forbidden", "not for you"), times=3, matches=is_list))
    async with world.running():
        warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
        assert warnings == [
            "cannot list, will try again: list widgets.example.com: no such kind",
            "cannot list, will try again: list widgets.example.com: not for you",
        ]
