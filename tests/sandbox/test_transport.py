import json

import pytest

from prograde.kube.transport import Request
from prograde.sandbox.cluster import Sandbox

MAPS = "/api/v1/namespaces/default/configmaps"
BODY = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}).encode()


async def test_a_request_goes_in_and_the_whole_answer_comes_out() -> None:
    sandbox = Sandbox(controllers=False)
    transport = sandbox.transport("shop/2.0 (linux)")

    answer = await transport.request(Request(method="POST", path=MAPS, body=BODY))
    assert answer.status == 201
    (entry,) = json.loads(answer.body)["metadata"]["managedFields"]
    assert entry["manager"] == "shop"
    (logged,) = sandbox.request_log
    assert (logged.verb, logged.resource, logged.namespace, logged.client, logged.status) == (
        "create",
        "configmaps",
        "default",
        "shop",
        201,
    )
    assert logged.size == len(answer.body)


async def test_a_client_that_names_itself_keeps_its_name() -> None:
    sandbox = Sandbox(controllers=False)
    await sandbox.transport("other").request(Request(method="GET", path=MAPS, headers={"user-agent": "me/1"}))
    assert [entry.client for entry in sandbox.request_log] == ["me"]


async def test_an_answer_that_is_complete_can_be_read_as_a_stream() -> None:
    sandbox = Sandbox(controllers=False)
    async with sandbox.transport().stream(Request(method="GET", path="/healthz")) as stream:
        assert (stream.status, [chunk async for chunk in stream.chunks()]) == (200, [b"ok"])


async def test_a_watch_that_ends_can_be_read_as_one_answer() -> None:
    sandbox = Sandbox(controllers=False)
    sandbox.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    query = (("watch", "1"), ("timeoutSeconds", "1"))
    answer = await sandbox.transport().request(Request(method="GET", path=MAPS, query=query))
    assert json.loads(answer.body)["type"] == "ADDED"


async def test_leaving_a_stream_ends_its_watch() -> None:
    sandbox = Sandbox(controllers=False)
    sandbox.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    async with sandbox.transport().stream(Request(method="GET", path=MAPS, query=(("watch", "1"),))) as stream:
        async for _ in stream.chunks():
            assert sandbox.api.watch_count == 1
            break
    assert sandbox.api.watch_count == 0


async def test_a_closed_transport_reaches_nobody() -> None:
    transport = Sandbox(controllers=False).transport()
    await transport.close()
    with pytest.raises(ConnectionError):
        await transport.request(Request(method="GET", path="/version"))
