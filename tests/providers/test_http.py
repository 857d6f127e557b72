"""Servers that hang, rave, go round in circles or ask for patience."""

import asyncio

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer

from prograde.providers.http import BODY_BYTES_MAX, Http, HttpError


async def test_an_answer_comes_whole_whatever_its_status(server: FakeServer) -> None:
    server.says("/x", "broken", status=500, X_Seen="yes")
    async with Http() as http:
        answer = await http.request("GET", f"{server.url}/x", timeout_seconds=5)
    assert (answer.status, answer.text, answer.headers["X-Seen"]) == (500, "broken", "yes")


async def test_a_server_that_hangs_is_given_up(server: FakeServer) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        raise AssertionError

    server.answers["/x"] = hang
    async with Http() as http:
        with pytest.raises(HttpError, match=r'^Get "http://127.0.0.1:\d+/x": no answer within 0.1 s$'):
            await http.request("GET", f"{server.url}/x", timeout_seconds=0.1)


async def test_a_body_that_never_ends_is_given_up(server: FakeServer) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.02)

    server.answers["/x"] = drip
    async with Http() as http:
        with pytest.raises(HttpError, match="no answer within 0.2 s"):
            await http.request("GET", f"{server.url}/x", timeout_seconds=0.2)


async def test_a_body_that_is_too_large_is_not_read_to_its_end(server: FakeServer) -> None:
    server.says("/x", b"x" * (BODY_BYTES_MAX + 1))
    async with Http() as http:
        with pytest.raises(HttpError, match=f"larger than {BODY_BYTES_MAX} bytes"):
            await http.request("GET", f"{server.url}/x", timeout_seconds=10)


async def test_a_body_that_is_cut_is_an_error(server: FakeServer) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    server.answers["/x"] = cut
    async with Http() as http:
        with pytest.raises(HttpError, match=r'^Get "http'):
            await http.request("GET", f"{server.url}/x", timeout_seconds=5)


async def test_redirects_in_a_circle_end(server: FakeServer) -> None:
    async def round_and_round(_: web.Request) -> web.Response:
        raise web.HTTPFound("/x")

    server.answers["/x"] = round_and_round
    async with Http() as http:
        with pytest.raises(HttpError, match="stopped after 10 redirects"):
            await http.request("GET", f"{server.url}/x", timeout_seconds=5)
    assert len(server.asked) == 10


async def test_nobody_listening_is_said_so() -> None:
    async with Http() as http:
        with pytest.raises(HttpError, match=r'^Post "http://127.0.0.1:9/x": .*Cannot connect'):
            await http.request("POST", "http://127.0.0.1:9/x", timeout_seconds=5)


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://127.0.0.1/x"])
async def test_an_address_that_is_none_is_an_error_of_the_request(url: str) -> None:
    async with Http() as http:
        with pytest.raises(HttpError):
            await http.request("GET", url, timeout_seconds=5)


async def test_identical_requests_in_flight_are_sent_once(server: FakeServer) -> None:
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="1")

    server.answers["*"] = slow
    async with Http() as http:
        urls = [f"{server.url}/q?a=1"] * 5 + [f"{server.url}/q?a=2"]
        waiting = [asyncio.create_task(http.request("GET", url, timeout_seconds=5, shares=True)) for url in urls]
        await asyncio.sleep(0.1)
        release.set()
        answers = await asyncio.gather(*waiting)
    assert [answer.text for answer in answers] == ["1"] * 6
    assert len(server.asked) == 2


async def test_one_who_gives_up_does_not_end_a_shared_request(server: FakeServer) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response(text="late")

    server.answers["*"] = slow
    async with Http() as http:
        patient = asyncio.create_task(http.request("GET", server.url, timeout_seconds=5, shares=True))
        with pytest.raises(HttpError):
            await http.request("GET", server.url, timeout_seconds=0.1, shares=True)
        assert (await patient).text == "late"
    assert len(server.asked) == 1


async def test_a_server_that_asks_for_patience_is_asked_again_in_time(server: FakeServer) -> None:
    async def busy_at_first(_: web.Request) -> web.Response:
        if len(server.asked) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(text="now")

    server.answers["*"] = busy_at_first
    async with Http() as http:
        assert (await http.request("GET", server.url, timeout_seconds=5)).text == "now"


async def test_a_server_that_asks_for_too_much_patience_is_left_alone(server: FakeServer) -> None:
    server.says("*", status=429, Retry_After="60")
    async with Http() as http:
        for _ in range(3):
            with pytest.raises(HttpError, match=r"the server asks to come back in (59|60) s"):
                await http.request("GET", server.url, timeout_seconds=0.2)
    assert len(server.asked) == 1


async def test_a_refusal_without_a_time_is_an_answer(server: FakeServer) -> None:
    server.says("*", status=429)
    async with Http() as http:
        assert (await http.request("GET", server.url, timeout_seconds=5)).status == 429
