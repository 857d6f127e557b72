"""What the conformance tests cannot see from outside: bookmarks in time, sharing of encoded lines."""

import asyncio
import json
from typing import Any

import pytest

from prograde.sandbox import watch as watch_module
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.listing import ListOptions
from prograde.sandbox.watch import JsonEvents, Watch

MAPS = ("", "configmaps")


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def open_watch(sandbox: Sandbox, **options: Any) -> Watch:
    kind = sandbox.kind(MAPS)
    return Watch(sandbox._store, kind, ListOptions(**options), JsonEvents(kind), default_timeout_seconds=60)


async def test_a_quiet_watch_gets_bookmarks_and_a_busy_one_does_not_need_them() -> None:
    sandbox = Sandbox(controllers=False)
    kind, options = sandbox.kind(MAPS), ListOptions(revision=sandbox.revision, allows_bookmarks=True)
    watch = Watch(sandbox._store, kind, options, JsonEvents(kind), default_timeout_seconds=60, bookmark_seconds=0.02)
    chunks = watch.chunks()

    first = json.loads(await anext(chunks))
    assert (first["type"], first["object"]["metadata"]["resourceVersion"]) == ("BOOKMARK", str(sandbox.revision))
    sandbox.client().create(("", "secrets"), "default", {**config_map("s"), "kind": "Secret"})
    second = json.loads(await anext(chunks))
    assert second["object"]["metadata"]["resourceVersion"] == str(sandbox.revision)
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_a_stopped_watch_sends_what_is_known_and_ends() -> None:
    sandbox = Sandbox(controllers=False)
    watch = open_watch(sandbox, revision=sandbox.revision)
    sandbox.create(config_map("a"))
    watch.stop()

    lines = [json.loads(line) async for line in watch.chunks()]
    assert [line["object"]["metadata"]["name"] for line in lines] == ["a"]


async def test_a_line_is_encoded_once_for_all_watchers_of_its_form() -> None:
    sandbox = Sandbox(controllers=False)
    kind = sandbox.kind(MAPS)
    encoded: list[str] = []

    class Counted(JsonEvents):
        def event(self, change_type: Any, entry: Any) -> bytes:
            encoded.append(entry.key)
            return super().event(change_type, entry)

    options = ListOptions(revision=sandbox.revision)
    watches = [Watch(sandbox._store, kind, options, Counted(kind), default_timeout_seconds=60) for _ in range(10)]
    sandbox.create(config_map("a"))
    for watch in watches:
        watch.stop()
    seen = await asyncio.gather(*(_all(watch) for watch in watches))

    assert len(set(seen)) == 1
    assert encoded == ["default/a"]


async def _all(watch: Watch) -> bytes:
    return b"".join([chunk async for chunk in watch.chunks()])


async def test_a_watch_leaves_no_waker_behind() -> None:
    sandbox = Sandbox(controllers=False)
    bucket = sandbox._store.bucket(MAPS)
    chunks = open_watch(sandbox, revision=sandbox.revision).chunks()
    sandbox.create(config_map("a"))
    await anext(chunks)
    assert len(bucket.wakers) == 1

    await chunks.aclose()  # type: ignore[attr-defined]
    assert bucket.wakers == {}


async def test_many_initial_objects_come_in_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "CHUNK_BYTES", 1000)
    sandbox = Sandbox(controllers=False)
    for index in range(10):
        sandbox.create(config_map(f"m{index}"))
    watch = open_watch(sandbox)
    watch.stop()

    chunks = [chunk async for chunk in watch.chunks()]
    assert len(chunks) > 1
    assert sum(chunk.count(b"\n") for chunk in chunks) == 10
    assert all(chunk.endswith(b"\n") for chunk in chunks)
