"""Each disturbance, and that it stays legal."""

import json
from typing import Any

import pytest

from prograde.kube.transport import Request, Response
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import (
    Answer,
    CutWatch,
    Delay,
    DelayEvents,
    Disconnect,
    ExpireWatch,
    RepeatEvents,
    StaleList,
    WithholdBookmarks,
)
from prograde.sandbox.transport import InProcessTransport

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(controllers=False, seed_number=3)


@pytest.fixture
def transport(sandbox: Sandbox) -> InProcessTransport:
    return sandbox.transport("tester/1.0")


def get(name: str = "", **query: str) -> Request:
    return Request(method="GET", path=f"{MAPS}/{name}" if name else MAPS, query=tuple(query.items()))


def post(name: str) -> Request:
    return Request(method="POST", path=MAPS, body=json.dumps(config_map(name)).encode())


async def lines(transport: InProcessTransport, **query: str) -> list[Any]:
    async with transport.stream(get(watch="1", **query)) as stream:
        text = b"".join([chunk async for chunk in stream.chunks()])
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("status", "reason"),
    [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")],
)
async def test_an_error_before_the_write_leaves_nothing(
    sandbox: Sandbox, transport: InProcessTransport, status: int, reason: str
) -> None:
    sandbox.faults.add(Answer(status, retry_after_seconds=2), verbs="create", resource="configmaps")

    answer = await transport.request(post("a"))
    assert (answer.status, json.loads(answer.body)["reason"]) == (status, reason)
    if status != 409:
        assert answer.headers["retry-after"] == "2"
    assert sandbox.list("cm", "default") == []


async def test_an_answer_lost_after_the_write_has_taken_effect(sandbox: Sandbox, transport: InProcessTransport) -> None:
    sandbox.faults.add(Answer(504, "after"), verbs="create", times=1)
    assert (await transport.request(post("a"))).status == 504

    sandbox.faults.heal()
    sandbox.faults.add(Disconnect("after"), verbs="create", times=1)
    with pytest.raises(ConnectionError):
        await transport.request(post("b"))
    assert [obj["metadata"]["name"] for obj in sandbox.list("cm", "default")] == ["a", "b"]
    assert [entry.status for entry in sandbox.request_log] == [504, 0]


async def test_a_connection_broken_before_the_write(sandbox: Sandbox, transport: InProcessTransport) -> None:
    fault = sandbox.faults.add(Disconnect(silent_seconds=0.001), verbs="create", times=1)
    with pytest.raises(ConnectionError):
        await transport.request(post("a"))
    assert (fault.hits, fault.left) == (1, 0)
    assert (await transport.request(post("a"))).status == 201


@pytest.mark.parametrize(
    ("filters", "is_hit"),
    [
        ({}, True),
        ({"verbs": "get, list"}, True),
        ({"verbs": "create"}, False),
        ({"resource": "configmaps"}, True),
        ({"resource": "config*"}, True),
        ({"resource": "configmaps/status"}, False),
        ({"name": "a"}, True),
        ({"name": "b*"}, False),
        ({"client": "tester"}, True),
        ({"client": "kubectl"}, False),
        ({"times": 0}, False),
        ({"probability": 0.0}, False),
    ],
)
async def test_filters_choose_the_requests(
    sandbox: Sandbox, transport: InProcessTransport, filters: dict[str, Any], is_hit: bool
) -> None:
    sandbox.create(config_map("a"))
    sandbox.faults.add(Answer(500), **filters)
    assert (await transport.request(get("a"))).status == (500 if is_hit else 200)


async def test_the_seed_decides_which_requests_are_hit() -> None:
    async def statuses(seed: int) -> list[int]:
        sandbox = Sandbox(controllers=False, seed_number=seed)
        sandbox.faults.add(Answer(500), probability=0.5)
        transport = sandbox.transport()
        return [(await transport.request(get())).status for _ in range(40)]

    first = await statuses(1)
    assert first == await statuses(1)
    assert first != await statuses(2)
    assert {*first} == {200, 500}


async def test_documents_and_health_are_never_disturbed(sandbox: Sandbox, transport: InProcessTransport) -> None:
    sandbox.faults.add(Answer(500))
    assert (await transport.request(Request(method="GET", path="/version"))).status == 200


async def test_a_watch_is_cut_cleanly_after_so_many_events(sandbox: Sandbox, transport: InProcessTransport) -> None:
    for name in ("a", "b", "c"):
        sandbox.create(config_map(name))
    sandbox.faults.add(CutWatch(after_events=2), verbs="watch", times=1)
    assert [line["object"]["metadata"]["name"] for line in await lines(transport)] == ["a", "b"]

    sandbox.faults.add(CutWatch(), verbs="watch")
    assert await lines(transport) == []
    assert sandbox.api.watch_count == 0


async def test_a_watch_breaks_in_the_middle_of_a_line(sandbox: Sandbox, transport: InProcessTransport) -> None:
    for name in ("a", "b"):
        sandbox.create(config_map(name))
    sandbox.faults.add(CutWatch(after_events=1, is_mid_line=True), verbs="watch")

    received: list[bytes] = []

    async def read() -> None:
        async with transport.stream(get(watch="1")) as stream:
            async for chunk in stream.chunks():
                received.append(chunk)

    with pytest.raises(ConnectionError):
        await read()
    whole, half = b"".join(received).split(b"\n")
    assert json.loads(whole)["object"]["metadata"]["name"] == "a"
    with pytest.raises(json.JSONDecodeError):
        json.loads(half)
    assert sandbox.api.watch_count == 0


@pytest.mark.parametrize("after", [0, 1])
async def test_a_watch_expires_with_an_error_event(sandbox: Sandbox, transport: InProcessTransport, after: int) -> None:
    for name in ("a", "b"):
        sandbox.create(config_map(name))
    sandbox.faults.add(ExpireWatch(after_events=after), verbs="watch")

    *events, last = await lines(transport)
    assert len(events) == after
    assert (last["type"], last["object"]["code"]) == ("ERROR", 410)


async def test_events_come_late_and_in_order(sandbox: Sandbox, transport: InProcessTransport) -> None:
    for name in ("a", "b"):
        sandbox.create(config_map(name))
    sandbox.faults.add(DelayEvents(0.001), verbs="watch")
    sandbox.faults.add(CutWatch(after_events=2), verbs="watch")
    sandbox.faults.add(Delay(0.001))

    assert [line["object"]["metadata"]["name"] for line in await lines(transport)] == ["a", "b"]


async def test_bookmarks_are_withheld_except_the_one_that_everybody_waits_for(
    sandbox: Sandbox, transport: InProcessTransport
) -> None:
    sandbox.faults.add(WithholdBookmarks(), verbs="watch")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}

    (only,) = await lines(transport, timeoutSeconds="1", **query)
    assert only["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_that_resumes_sees_some_events_again(sandbox: Sandbox, transport: InProcessTransport) -> None:
    for name in ("a", "b", "c"):
        sandbox.create(config_map(name))
    sandbox.faults.add(RepeatEvents(2), verbs="watch")
    sandbox.faults.add(CutWatch(after_events=2), verbs="watch")

    events = await lines(transport, resourceVersion=str(sandbox.revision))
    assert [event["object"]["metadata"]["name"] for event in events] == ["b", "c"]


async def test_a_list_of_any_age_may_be_stale_but_never_goes_back(
    sandbox: Sandbox, transport: InProcessTransport
) -> None:
    for name in ("a", "b", "c"):
        sandbox.create(config_map(name))
    fault = sandbox.faults.add(StaleList(1), verbs="list")

    async def listed(**query: str) -> tuple[int, list[str]]:
        answer: Response = await transport.request(get(**query))
        body = json.loads(answer.body)
        return int(body["metadata"]["resourceVersion"]), [item["metadata"]["name"] for item in body["items"]]

    newest = sandbox.revision
    assert await listed(resourceVersion="0") == (newest - 1, ["a", "b"])
    assert await listed() == (newest, ["a", "b", "c"])
    sandbox.faults.remove(fault)
    sandbox.faults.add(StaleList(2), verbs="list")
    assert await listed(resourceVersion="0") == (newest - 1, ["a", "b"])
