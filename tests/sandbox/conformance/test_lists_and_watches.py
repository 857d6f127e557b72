"""Rows 53 to 67: lists, pages, watches, bookmarks and what reflectors rely on."""

import asyncio
import time
from typing import Any

import pytest
from tests.sandbox.conformance.harness import (
    NAMESPACE,
    ROLLOUTS,
    Http,
    Kubectl,
    config_map,
    deployment,
    rollout,
)

from prograde.kube.transport import Request
from prograde.sandbox.cluster import Sandbox

CONFIG_MAPS = f"{NAMESPACE}/configmaps"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def name_of(event: Any) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


async def test_row_53_list_then_watch_loses_and_repeats_nothing_under_writers(http: Http) -> None:
    async def write(writer: int) -> None:
        for index in range(25):
            await http("POST", CONFIG_MAPS, config_map(f"w{writer}-{index}"))

    writers = [asyncio.create_task(write(number)) for number in range(8)]
    await asyncio.sleep(0)
    listed = (await http("GET", CONFIG_MAPS, resourceVersion="0", limit="500")).json
    names = [item["metadata"]["name"] for item in listed["items"]]
    async with http.watch(CONFIG_MAPS, resourceVersion=listed["metadata"]["resourceVersion"]) as events:
        seen = [event["object"] for event in await events.take(200 - len(names))]
    await asyncio.gather(*writers)

    names += [obj["metadata"]["name"] for obj in seen]
    assert len(names) == len(set(names)) == 200
    revisions = [int(obj["metadata"]["resourceVersion"]) for obj in seen]
    assert revisions == sorted(revisions)


async def test_row_54_a_streaming_list_ends_with_an_annotated_bookmark(http: Http) -> None:
    for name in ("b", "a"):
        http.sandbox.create(config_map(name))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}

    async with http.watch(CONFIG_MAPS, **query) as events:
        first, second, bookmark = await events.take(3)
        assert [name_of(first), name_of(second)] == [("ADDED", "a"), ("ADDED", "b")]
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"] == {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {
                "resourceVersion": str(http.sandbox.revision),
                "creationTimestamp": None,
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        }
        http.sandbox.create(config_map("c"))
        assert name_of(await events.next()) == ("ADDED", "c")


async def test_row_54_kubectl_waits_with_a_streaming_list(kubectl: Kubectl) -> None:
    kubectl.sandbox.create(deployment("web"))

    waited = await kubectl(
        "wait", "--for=condition=Available", "deploy/web", "--timeout=20s", KUBE_FEATURE_WatchListClient="true"
    )
    assert waited == "deployment.apps/web condition met\n"


@pytest.mark.parametrize(
    "query",
    [
        {"watch": "1", "sendInitialEvents": "true"},
        {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
        {"resourceVersionMatch": "NotOlderThan"},
        {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
        {"resourceVersionMatch": "Sometimes", "resourceVersion": "1"},
        {"resourceVersionMatch": "Exact", "resourceVersion": "1001", "continue_": "e30"},
        {"watch": "1", "resourceVersionMatch": "NotOlderThan"},
    ],
)
async def test_row_55_combinations_of_options_that_make_no_sense_are_invalid(http: Http, query: dict[str, str]) -> None:
    reply = await http("GET", CONFIG_MAPS, **query)

    assert (reply.status, reply.json["reason"]) == (422, "Invalid")
    assert reply.message.startswith('ListOptions.meta.k8s.io "" is invalid: ')


async def test_row_56_a_watch_from_forgotten_history_gets_one_error_event(http: Http) -> None:
    old = http.sandbox.revision
    http.sandbox.create(config_map("a"))
    http.sandbox.compact()

    async with http.watch(CONFIG_MAPS, resourceVersion=str(old)) as events:
        assert events.response.status == 200
        (event,) = await events.rest()
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"] == f"too old resource version: {old} ({http.sandbox.revision})"


async def test_row_57_a_watch_from_the_future_waits_for_it(http: Http) -> None:
    ahead = http.sandbox.revision + 2

    async with http.watch(CONFIG_MAPS, resourceVersion=str(ahead)) as events:
        for name in ("a", "b", "c"):
            http.sandbox.create(config_map(name))
        assert name_of(await events.next()) == ("ADDED", "c")


async def test_row_57_a_list_for_a_near_version_waits_until_it_is_there(http: Http) -> None:
    asked = asyncio.create_task(http("GET", CONFIG_MAPS, resourceVersion=str(http.sandbox.revision + 1)))
    await asyncio.sleep(0.05)
    http.sandbox.create(config_map("a"))

    assert [item["metadata"]["name"] for item in (await asked).json["items"]] == ["a"]


async def test_row_58_objects_enter_and_leave_a_selection(http: Http) -> None:
    http.sandbox.create(config_map("a", {"app": "x"}, text="before"))

    async with http.watch(CONFIG_MAPS, labelSelector="app=x") as events:
        assert name_of(await events.next()) == ("ADDED", "a")
        http.sandbox.patch("cm", "a", {"metadata": {"labels": {"app": "y"}}, "data": {"text": "after"}})
        left = await events.next()
        http.sandbox.patch("cm", "a", {"data": {"text": "unseen"}})
        http.sandbox.patch("cm", "a", {"metadata": {"labels": {"app": "x"}}})
        entered = await events.next()
        http.sandbox.patch("cm", "a", {"data": {"text": "changed"}})
        changed = await events.next()
        http.sandbox.delete("cm", "a")
        gone = await events.next()

    assert left["type"] == "DELETED"
    assert (left["object"]["data"], left["object"]["metadata"]["labels"]) == ({"text": "before"}, {"app": "x"})
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in (left, entered, changed, gone)]
    assert versions == [versions[0], versions[0] + 2, versions[0] + 3, versions[0] + 4]
    assert [event["type"] for event in (entered, changed, gone)] == ["ADDED", "MODIFIED", "DELETED"]


async def test_row_59_selecting_by_name_does_not_depend_on_how_many_there_are() -> None:
    sandbox = Sandbox(controllers=False, managed_fields="off")
    transport = sandbox.transport()
    query = (("fieldSelector", "metadata.name=m7"),)
    request = Request(method="GET", path=CONFIG_MAPS, query=query)

    async def seconds() -> float:
        started = time.perf_counter()
        for _ in range(50):
            reply = await transport.request(request)
        assert reply.body.count(b'"m7"') == 1
        return time.perf_counter() - started

    client = sandbox.client()
    for index in range(10):
        client.create(("", "configmaps"), "default", config_map(f"m{index}"))
    few = min([await seconds() for _ in range(5)])
    for index in range(10, 20_000):
        client.create(("", "configmaps"), "default", config_map(f"m{index}"))
    many = min([await seconds() for _ in range(5)])
    assert many < few * 20, "a scan of 20,000 objects would take a thousand times longer than one of ten"


async def test_row_60_bookmarks_come_only_if_allowed_and_the_timeout_ends_cleanly(http: Http) -> None:
    revision = str(http.sandbox.revision)

    async with http.watch(CONFIG_MAPS, resourceVersion=revision, timeoutSeconds="1") as events:
        assert await events.rest() == []
    query = {"resourceVersion": revision, "timeoutSeconds": "1", "allowWatchBookmarks": "true"}
    async with http.watch(CONFIG_MAPS, **query) as events:
        (bookmark,) = await events.rest()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["resourceVersion"] == revision
    assert "annotations" not in bookmark["object"]["metadata"]


async def test_row_61_pages_show_one_moment(http: Http) -> None:
    for index in range(10):
        http.sandbox.create(config_map(f"m{index}"))
    moment = str(http.sandbox.revision)
    names, token, remaining = [], "", []
    while True:
        query = {"continue_": token} if token else {}
        page = (await http("GET", CONFIG_MAPS, limit="3", **query)).json
        names += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"]["resourceVersion"] == moment
        remaining.append(page["metadata"].get("remainingItemCount"))
        if not (token := page["metadata"].get("continue", "")):
            break
        http.sandbox.delete("cm", names[-1])
        http.sandbox.delete("cm", f"m{len(names) + 1}") if len(names) < 9 else None
        http.sandbox.create(config_map(f"m{len(names)}-new"))

    assert names == [f"m{index}" for index in range(10)]
    assert remaining == [7, 4, 1, None]


async def test_row_61_pages_with_a_selector_do_not_count_what_remains(http: Http) -> None:
    for index in range(4):
        http.sandbox.create(config_map(f"m{index}", {"odd": str(index % 2)}))

    page = (await http("GET", CONFIG_MAPS, limit="1", labelSelector="odd=1")).json
    assert page["metadata"]["continue"]
    assert "remainingItemCount" not in page["metadata"]
    rest = (
        await http("GET", CONFIG_MAPS, limit="9", labelSelector="odd=1", continue_=page["metadata"]["continue"])
    ).json
    assert [item["metadata"]["name"] for item in rest["items"]] == ["m3"]


async def test_row_62_an_empty_list_has_a_version_from_which_to_watch(http: Http) -> None:
    listed = (await http("GET", ROLLOUTS)).json
    assert listed["items"] == []

    async with http.watch(ROLLOUTS, resourceVersion=listed["metadata"]["resourceVersion"]) as events:
        http.sandbox.create(rollout("x"))
        assert name_of(await events.next()) == ("ADDED", "x")


async def test_row_63_a_watcher_that_does_not_read_is_cut_and_nobody_else_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prograde.sandbox.store.QUEUE_MAX", 100)
    sandbox = Sandbox(controllers=False)
    transport = sandbox.transport()
    watch = Request(method="GET", path=CONFIG_MAPS, query=(("watch", "1"),))
    client = sandbox.client()
    async with transport.stream(watch) as slow, transport.stream(watch) as quick:
        slow_chunks, quick_chunks = slow.chunks(), quick.chunks()
        client.create(("", "configmaps"), "default", config_map("first"))
        assert b'"first"' in await anext(slow_chunks)
        seen = (await anext(quick_chunks)).count(b"\n")
        for index in range(150):
            client.create(("", "configmaps"), "default", config_map(f"m{index}"))
            if index % 10 == 9:
                seen += (await anext(quick_chunks)).count(b"\n")
        assert seen == 151
        assert [chunk async for chunk in slow_chunks] == []


async def test_row_64_metadata_alone_can_be_listed_and_watched(http: Http) -> None:
    http.sandbox.create(rollout("x"))

    listed = (await http("GET", ROLLOUTS, headers={"Accept": METADATA_LIST})).json
    assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    (item,) = listed["items"]
    assert set(item) == {"kind", "apiVersion", "metadata"}
    one = (await http("GET", f"{ROLLOUTS}/x", headers={"Accept": METADATA})).json
    assert (one["kind"], one["metadata"]["name"]) == ("PartialObjectMetadata", "x")
    async with http.watch(ROLLOUTS, accept=METADATA) as events:
        event = await events.next()
    assert event["object"] == item


async def test_row_66_kubectl_watches_as_table_and_as_objects(kubectl: Kubectl) -> None:
    async def change() -> None:
        await asyncio.sleep(0.5)
        for number in ("1", "2"):
            kubectl.sandbox.patch("cm", "a", {"data": {"n": number}, "metadata": {"labels": {"n": number}}})

    kubectl.sandbox.create(config_map("a"))
    for arguments, expected in (
        (("get", "cm", "a", "-w", "--request-timeout=2s"), "NAME   DATA   AGE\na      "),
        (("get", "cm", "a", "-w", "-o", "name", "--request-timeout=2s"), "configmap/a\nconfigmap/a\nconfigmap/a\n"),
    ):
        result, _ = await asyncio.gather(kubectl.run(*arguments), change())
        assert result.stdout.startswith(expected)
        assert result.stdout.count("NAME") <= 1
        assert len(result.stdout.splitlines()) >= 3
        kubectl.sandbox.patch("cm", "a", {"data": None, "metadata": {"labels": None}})


async def test_row_66_a_watched_table_names_its_columns_once(http: Http) -> None:
    http.sandbox.create(config_map("a", x="y"))

    async with http.watch(CONFIG_MAPS, accept=TABLE) as events:
        first = (await events.next())["object"]
        http.sandbox.create(config_map("b"))
        second = (await events.next())["object"]
    assert [column["name"] for column in first["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert first["rows"][0]["cells"] == ["a", 1, "0s"]
    assert "columnDefinitions" not in second
    assert second["rows"][0]["object"]["metadata"]["name"] == "b"


async def test_row_66_kubectl_waits_for_conditions_paths_and_deletion(kubectl: Kubectl) -> None:
    kubectl.sandbox.create(deployment("web"))
    kubectl.sandbox.create(rollout("cart"))

    assert "condition met" in await kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=20s")
    path = "--for=jsonpath={.status.readyReplicas}=1"
    assert "condition met" in await kubectl("wait", path, "deploy/web", "--timeout=20s")
    waiting = asyncio.create_task(kubectl("wait", "--for=delete", "rollout/cart", "--timeout=20s"))
    await asyncio.sleep(0.3)
    kubectl.sandbox.delete("ro", "cart")
    assert await waiting == "rollout.argoproj.io/cart condition met\n"
    kubectl.sandbox.create(rollout("cart"))
    moment = {"lastUpdateTime": "2025-01-01T00:00:00Z", "lastTransitionTime": "2025-01-01T00:00:00Z"}
    status = {"conditions": [{"type": "Paused", "status": "True", "reason": "R", "message": "m", **moment}]}
    kubectl.sandbox.patch("ro", "cart", {"status": status}, subresource="status")
    paused = await kubectl("wait", "--for=condition=Paused", "rollout/cart", "--timeout=20s")
    assert paused == "rollout.argoproj.io/cart condition met\n"


async def test_row_66_kubectl_follows_events(kubectl: Kubectl) -> None:
    kubectl.sandbox.create(deployment("web"))

    result = await kubectl.run("events", "-w", "--request-timeout=2s")
    assert "Scaled up replica set" in result.stdout


async def test_row_67_lists_are_sorted_and_only_custom_items_say_what_they_are(http: Http) -> None:
    http.sandbox.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})
    for namespace, name in (("default", "b"), ("default", "a-1"), ("default", "a"), ("a", "z")):
        http.sandbox.create(config_map(name), namespace=namespace)
    http.sandbox.create(rollout("x"))

    maps = (await http("GET", "/api/v1/configmaps")).json
    assert (maps["kind"], maps["apiVersion"]) == ("ConfigMapList", "v1")
    keys = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in maps["items"]]
    assert keys == [("a", "z"), ("default", "a"), ("default", "a-1"), ("default", "b")]
    assert all("kind" not in item and "apiVersion" not in item for item in maps["items"])
    (item,) = (await http("GET", ROLLOUTS)).json["items"]
    assert (item["kind"], item["apiVersion"]) == ("Rollout", "argoproj.io/v1alpha1")


async def test_the_spellings_of_watch_are_all_understood(http: Http) -> None:
    http.sandbox.create(config_map("a"))

    for spelling in ("1", "true", "True"):
        reply = await http("GET", CONFIG_MAPS, watch=spelling, timeoutSeconds="1")
        assert reply.json["type"] == "ADDED"


async def test_deleting_a_collection_honours_its_selectors(http: Http) -> None:
    for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
        http.sandbox.create(config_map(name, {"app": app}))

    reply = await http("DELETE", CONFIG_MAPS, {"propagationPolicy": "Background"}, labelSelector="app=x")
    assert (reply.status, reply.json["kind"]) == (200, "ConfigMapList")
    assert [item["metadata"]["name"] for item in reply.json["items"]] == ["a", "b"]
    assert [obj["metadata"]["name"] for obj in http.sandbox.list("cm")] == ["c"]


async def test_a_cluster_that_stops_ends_its_watches_cleanly() -> None:
    import aiohttp

    sandbox = Sandbox(controllers=False)
    async with aiohttp.ClientSession() as session:
        async with sandbox.serving(insecure_http=True) as endpoint:
            response = await session.get(f"{endpoint.url}{CONFIG_MAPS}", params={"watch": "1"})
            reading = asyncio.create_task(response.read())
            await asyncio.sleep(0.05)
            assert sandbox.api.watch_count == 1
        assert await reading == b""
    assert sandbox.api.watch_count == 0
