"""What only a real socket shows; the API itself is proven by the conformance tests."""

import asyncio
import json

import aiohttp
import pytest

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import CutWatch, Disconnect
from prograde.sandbox.server import _host_name, _is_loopback

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST:80", "localhost"),
        ("127.0.0.1:6443", "127.0.0.1"),
        ("[::1]:6443", "::1"),
        ("[::1]", "::1"),
        ("", ""),
    ],
)
def test_the_host_is_read_without_its_port(header: str, name: str) -> None:
    assert _host_name(header) == name


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.8.9.1", True), ("::1", True), ("LocalHost", True), ("10.0.0.1", False), ("x.localhost", False), ("", False)],
)
def test_loopback_is_an_address_not_a_guess(host: str, expected: bool) -> None:
    assert _is_loopback(host) is expected


@pytest.mark.cluster
async def test_a_fault_that_breaks_the_connection_breaks_the_socket() -> None:
    sandbox = Sandbox(controllers=False)
    sandbox.create(config_map("a"))
    async with sandbox.serving(insecure_http=True) as endpoint, aiohttp.ClientSession() as session:
        sandbox.faults.add(Disconnect("after"), verbs="create", times=1)
        with pytest.raises(aiohttp.ClientError):
            await session.post(endpoint.url + MAPS, json=config_map("b"))
        assert len(sandbox.list("cm", "default")) == 2

        sandbox.faults.add(CutWatch(after_events=1, is_mid_line=True), verbs="watch", times=1)
        async with session.get(endpoint.url + MAPS, params={"watch": "1"}) as response:
            with pytest.raises(aiohttp.ClientError):
                await response.read()


@pytest.mark.cluster
async def test_a_watcher_that_hangs_up_is_forgotten() -> None:
    sandbox = Sandbox(controllers=False)
    async with sandbox.serving(insecure_http=True) as endpoint, aiohttp.ClientSession() as session:
        response = await session.get(endpoint.url + MAPS, params={"watch": "1"})
        async with asyncio.timeout(10):
            while sandbox.api.watch_count == 0:
                await asyncio.sleep(0.01)
            response.close()
            while sandbox.api.watch_count:
                await asyncio.sleep(0.01)


@pytest.mark.cluster
async def test_the_kubernetes_endpoints_name_the_real_port() -> None:
    sandbox = Sandbox(controllers=False)
    async with sandbox.serving(insecure_http=True) as endpoint:
        port = int(endpoint.url.rpartition(":")[2])
        assert sandbox.get("endpoints", "kubernetes")["subsets"][0]["ports"][0]["port"] == port
        (slice_,) = sandbox.list("endpointslices")
        assert slice_["ports"][0]["port"] == port


@pytest.mark.cluster
async def test_a_chunked_body_and_a_long_line_are_fine() -> None:
    sandbox = Sandbox(controllers=False)
    body = json.dumps({**config_map("a"), "data": {"k": "v" * 100_000}}).encode()

    async def pieces():  # type: ignore[no-untyped-def]
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]

    async with sandbox.serving(insecure_http=True) as endpoint, aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json", "X-Long": "x" * 20_000}
        async with session.post(endpoint.url + MAPS, data=pieces(), headers=headers) as response:
            assert response.status == 201
