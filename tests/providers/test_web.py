"""Any HTTP endpoint as the source of a measurement."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import measure, metric_of

from prograde.api.analysis import Measurement


async def ask(
    server: FakeServer, *, path: str = "/x", conditions: dict[str, Any] | None = None, **config: Any
) -> Measurement:
    return await measure(metric_of({"web": {"url": f"{server.url}{path}", **config}}, **(conditions or {})))


@pytest.mark.parametrize(
    ("body", "json_path", "value"),
    [
        ('{"a": {"b": 1.5}}', "{$.a.b}", "1.5"),
        ('{"a": "text"}', "{$.a}", '"text"'),
        ('{"a": "1.2"}', "{$.a}", '"1.2"'),
        ('{"z": 1, "a": [true, null]}', "", '{"a":[true,null],"z":1}'),
        ('{"a": "<&>"}', "{$.a}", '"\\u003c\\u0026\\u003e"'),
        ('{"a": 100000000}', "{$.a}", "100000000"),
        ('{"items": [{"v": 1}, {"v": 2}, {"v": 3}]}', "{$.items[*].v}", "1"),
        ("5", "", "5"),
        ("null", "", "null"),
        ('"0"', "", '"0"'),
        ('{"a": null}', "{$.a}", "null"),
        ('{"a": 1}', "$.a", '"$.a"'),
        ("plain text", "{$.a}", "plain text"),
        ("{} x", "", "{} x"),
        ("NaN", "", "NaN"),
        ("", "", ""),
    ],
)
async def test_the_first_value_of_the_path_is_measured(
    server: FakeServer, body: str, json_path: str, value: str
) -> None:
    server.says("/x", body)
    measurement = await ask(server, jsonPath=json_path)
    assert (measurement.phase, measurement.value) == ("Successful", value)


@pytest.mark.parametrize(
    ("body", "condition", "phase"),
    [
        ('{"ok": true}', "result.ok", "Successful"),
        ('{"n": 5}', "result.n > 1 && result.n < 10", "Successful"),
        ('"0"', "asInt(result) > 0", "Failed"),
        ("", 'result == ""', "Successful"),
        ("ok", 'result == "ok"', "Successful"),
        ("null", "default(result, 1) == 1", "Successful"),
        ('{"n": 5}', 'result.n == "5"', "Failed"),
    ],
)
async def test_conditions_see_json_or_text(server: FakeServer, body: str, condition: str, phase: str) -> None:
    server.says("/x", body)
    assert (await ask(server, conditions={"successCondition": condition})).phase == phase


@pytest.mark.parametrize(
    ("body", "json_path", "message"),
    [
        ('{"a": 1}', "{$.novalue}", "Could not find JSONPath in body: novalue is not found"),
        ('{"a": [1, 2]}', "{$.a[5]}", "Could not find JSONPath in body: array index out of bounds: index 5, length 2"),
        ('{"a": [{"k": "x"}]}', "{$.a[?(@.k=='y')]}", "result of web metric produced no value"),
        ('{"a": 1}', "{$.a", "unclosed action"),
        ('{"a": 1}', "{#}", "unrecognized character in action: U+0023 '#'"),
    ],
)
async def test_a_path_that_leads_nowhere_is_an_error(
    server: FakeServer, body: str, json_path: str, message: str
) -> None:
    server.says("/x", body)
    measurement = await ask(server, jsonPath=json_path)
    assert (measurement.phase, measurement.message, measurement.value) == ("Error", message, "")


@pytest.mark.parametrize("status", [304, 400, 404, 500])
async def test_other_answers_than_good_ones_are_errors(server: FakeServer, status: int) -> None:
    server.says("/x", '{"secret": "body"}', status=status)
    assert (await ask(server)).message == f"received non 2xx response code: {status}"


async def test_an_answer_without_content_is_the_empty_text(server: FakeServer) -> None:
    server.says("/x", status=204)
    measurement = await ask(server, conditions={"successCondition": 'result == ""'})
    assert measurement.phase == "Successful"


async def test_redirects_are_followed(server: FakeServer) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently("/y")

    server.answers["/x"] = elsewhere
    server.says("/y", "1")
    assert (await ask(server)).value == "1"


async def test_a_body_is_sent_as_it_is(server: FakeServer) -> None:
    server.says("/x", "1")
    await ask(server, method="POST", body="a=1", headers=[{"key": "X-A", "value": "1"}, {"key": "x-a", "value": "2"}])
    (asked,) = server.asked
    assert (asked.method, asked.body) == ("POST", b"a=1")
    assert asked.headers["x-a"] == "2"


async def test_a_json_body_says_that_it_is_json(server: FakeServer) -> None:
    server.says("/x", "1")
    headers = [{"key": "content-type", "value": "text/plain"}]
    await ask(server, method="PUT", jsonBody={"q": ["x"]}, headers=headers)
    (asked,) = server.asked
    assert asked.method == "PUT"
    assert asked.headers["Content-Type"] == "application/json"
    assert json.loads(asked.body) == {"q": ["x"]}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"body": "x", "jsonBody": {"a": 1}, "method": "POST"}, "use either Body or JSONBody; both cannot exists"),
        ({"body": "x"}, "Body/JSONBody can only be used with POST or PUT WebMetric Method types"),
        ({"jsonBody": {"a": 1}}, "Body/JSONBody can only be used with POST or PUT WebMetric Method types"),
        (
            {"authentication": {"oauth2": {"tokenUrl": "http://127.0.0.1:9/"}}},
            "missing mandatory parameter in metric for OAuth2 setup",
        ),
    ],
)
async def test_a_request_that_makes_no_sense_is_never_sent(
    server: FakeServer, config: dict[str, Any], message: str
) -> None:
    measurement = await ask(server, **config)
    assert measurement.message.startswith(message)
    assert server.asked == []


async def test_a_post_without_body_is_fine(server: FakeServer) -> None:
    server.says("/x", "1")
    assert (await ask(server, method="POST")).phase == "Successful"


async def test_oauth2_brings_a_bearer_token(server: FakeServer) -> None:
    server.says("/token", '{"access_token": "t0k"}')
    server.says("/x", "1")
    config = {"oauth2": {"tokenUrl": f"{server.url}/token", "clientId": "me", "clientSecret": "s"}}
    await ask(server, authentication=config, headers=[{"key": "X-A", "value": "1"}])
    token, asked = server.asked
    assert "X-A" not in token.headers
    assert asked.headers["Authorization"] == "Bearer t0k"


async def test_a_refused_token_is_an_error(server: FakeServer) -> None:
    server.says("/token", "", status=401)
    config = {"oauth2": {"tokenUrl": f"{server.url}/token", "clientId": "me", "clientSecret": "s"}}
    measurement = await ask(server, authentication=config)
    assert "oauth2: cannot fetch token: 401 Unauthorized" in measurement.message


async def test_a_server_that_hangs_is_given_up_after_its_time(server: FakeServer) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(10)
        raise AssertionError

    server.answers["/x"] = hang
    measurement = await ask(server, timeoutSeconds=1)
    assert measurement.message.endswith("no answer within 1 s")
