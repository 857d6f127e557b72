"""Prometheus, as its server really answers."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import context_for, measure, metric_of

from prograde.api.analysis import Measurement

NO_DATA = "metric result is nil or empty: no data returned from the metric provider"


def answer(kind: str, result: Any, **more: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def vector(*values: str) -> str:
    return answer("vector", [{"metric": {"pod": str(i)}, "value": [1.5, each]} for i, each in enumerate(values)])


async def query(server: FakeServer, *, conditions: dict[str, Any] | None = None, **config: Any) -> Measurement:
    prometheus = {"address": server.url, "query": "up", **config}
    return await measure(metric_of({"prometheus": prometheus}, **(conditions or {})))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (answer("scalar", [1700000000.1, "10"]), "10"),
        (answer("scalar", [1, "0.95"]), "0.95"),
        (answer("scalar", [1, "100000000"]), "100000000"),
        (answer("scalar", [1, "1e-9"]), "0.000000001"),
        (answer("scalar", [1, "NaN"]), "NaN"),
        (answer("scalar", [1, "+Inf"]), "+Inf"),
        (answer("scalar", [1, "-Inf"]), "-Inf"),
        (vector("10", "20.5"), "[10,20.5]"),
        (vector(), "[]"),
        (answer("matrix", [{"values": [[1, "1"], [2, "2"]]}, {"values": [[1, "3"]]}]), "[1,2,3]"),
    ],
)
async def test_every_type_of_result_is_shown_in_full(server: FakeServer, body: str, value: str) -> None:
    server.says("/api/v1/query", body)
    measurement = await query(server)
    assert (measurement.phase, measurement.value, measurement.message) == ("Successful", value, "")
    assert measurement.started_at is not None
    assert measurement.finished_at is not None


@pytest.mark.parametrize(
    ("body", "success", "failure", "phase", "message"),
    [
        (vector("0.99"), "result[0] >= 0.95", "", "Successful", ""),
        (vector("0.90"), "result[0] >= 0.95", "", "Failed", ""),
        (vector(), "result[0] > 1", "", "Error", f'could not evaluate successCondition "result[0] > 1": {NO_DATA}'),
        (vector(), "len(result) == 0 || result[0] > 1", "", "Successful", ""),
        (answer("scalar", [1, "NaN"]), "result >= 0.95", "", "Failed", ""),
        (answer("scalar", [1, "NaN"]), "result >= 0.95", "result < 0.95", "Inconclusive", ""),
        (vector("1", "2"), "all(result, # > 0)", "", "Successful", ""),
    ],
)
async def test_conditions_see_floats(
    server: FakeServer, body: str, success: str, failure: str, phase: str, message: str
) -> None:
    server.says("/api/v1/query", body)
    measurement = await query(server, conditions={"successCondition": success, "failureCondition": failure})
    assert (measurement.phase, measurement.message) == (phase, message)
    if phase == "Error":
        assert measurement.value == ""


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, '{"status":"error","errorType":"execution","error":"too many"}', "execution: too many"),
        (400, '{"status":"error","errorType":"bad_data","error":"parse error"}', "bad_data: parse error"),
        (422, '{"status":"error","errorType":"execution","error":"x"}', "execution: x"),
        (400, vector("1"), "bad_response: inconsistent body for response code"),
        (404, "gone", "client_error: client error: 404"),
        (401, "{}", "client_error: client error: 401"),
        (500, "<html>", "server_error: server error: 500"),
        (503, "<html>", "server_error: server error: 503"),
        (304, "", "bad_response: bad response code 304"),
        (200, "<html>login</html>", "bad_response: "),
        (200, "[]", "bad_response: "),
        (200, '{"status":"success"}', "bad_response: "),
        (200, answer("vector", [{"metric": {}}]), "bad_response: "),
        (200, answer("vector", [{"value": [1, "abc"]}]), "bad_response: "),
        (200, answer("string", [1, "x"]), 'unexpected value type "string"'),
    ],
)
async def test_every_bad_answer_is_an_error_that_says_so(
    server: FakeServer, status: int, body: str, message: str
) -> None:
    server.says("*", body, status=status)
    measurement = await query(server)
    assert measurement.phase == "Error"
    assert measurement.message.startswith(message)
    assert measurement.value == ""


async def test_an_instant_query_is_a_form(server: FakeServer) -> None:
    server.says("/prom/api/v1/query", vector("1"))
    prometheus = {"address": f"{server.url}/prom/", "query": 'sum(rate(x{a="b"}[1m]))\n> 0'}
    measurement = await measure(metric_of({"prometheus": prometheus}))
    assert measurement.phase == "Successful"
    (asked,) = server.asked
    assert asked.method == "POST"
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    form = parse_qs(asked.body.decode())
    assert form == {"query": ['sum(rate(x{a="b"}[1m]))\n> 0'], "time": ["1772366400.123"]}


@pytest.mark.parametrize("status", [403, 405, 501])
async def test_a_server_that_takes_no_post_is_asked_by_get(server: FakeServer, status: int) -> None:
    async def only_get(request: web.Request) -> web.Response:
        if request.method != "GET":
            return web.Response(status=status)
        return web.Response(text=vector("3"), content_type="application/json")

    server.answers["/api/v1/query"] = only_get
    measurement = await query(server)
    assert measurement.value == "[3]"
    assert server.asked[1].query["query"] == "up"


async def test_a_range_query_has_start_end_and_step(server: FakeServer) -> None:
    server.says("/api/v1/query_range", answer("matrix", []))
    wanted = {"start": 'now() - duration("1h")', "end": "now()", "step": "30s"}
    measurement = await query(server, rangeQuery=wanted)
    assert measurement.value == "[]"
    form = parse_qs(server.asked[0].body.decode())
    assert form == {
        "query": ["up"], "start": ["1772362800.123"], "end": ["1772366400.123"], "step": ["30"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"start": "", "end": "now()", "step": "1m"}, "failed to parse rangeQuery.start as time: unexpected token EOF"),
        (
            {"start": "now()", "end": "1", "step": "1m"},
            "failed to parse rangeQuery.end as time: expected time.Time, but got int",
        ),
        (
            {"start": "now()", "end": "now()", "step": "x"},
            'failed to parse rangeQuery.step as duration: time: invalid duration "x"',
        ),
        ({"start": "result", "end": "now()", "step": "1m"}, "failed to parse rangeQuery.start as time: unknown name"),
    ],
)
async def test_times_that_are_none_are_never_sent(server: FakeServer, wanted: dict[str, str], message: str) -> None:
    measurement = await query(server, rangeQuery=wanted)
    assert measurement.message.startswith(message)
    assert server.asked == []


@pytest.mark.parametrize(
    ("config", "environment", "message"),
    [
        ({"address": ""}, {}, "prometheus address is not configured"),
        ({"address": "prometheus:9090"}, {}, "prometheus address is not is url format"),
        ({"address": ""}, {"ARGO_ROLLOUTS_PROMETHEUS_ADDRESS": "nonsense"}, "prometheus address is not is url format"),
        ({"timeout": -1}, {}, "prometheus timeout should not be negative"),
        (
            {"authentication": {"basicAuth": {"password": "x"}}},
            {},
            "missing mandatory parameter in metric for basic auth setup: username",
        ),
        (
            {"authentication": {"basicAuth": {"username": "x"}}},
            {},
            "missing mandatory parameter in metric for basic auth setup: password",
        ),
        (
            {"authentication": {"oauth2": {"tokenUrl": "http://127.0.0.1:9/"}}},
            {},
            "missing mandatory parameter in metric for OAuth2 setup",
        ),
    ],
)
async def test_a_configuration_that_cannot_work_is_an_error(
    config: dict[str, Any], environment: dict[str, str], message: str
) -> None:
    prometheus = {"address": "http://127.0.0.1:9", "query": "up", **config}
    measurement = await measure(metric_of({"prometheus": prometheus}), environment)
    assert (measurement.phase, measurement.message) == ("Error", message)


async def test_the_environment_gives_the_address_when_the_metric_has_none(server: FakeServer) -> None:
    server.says("*", vector("1"))
    environment = {"ARGO_ROLLOUTS_PROMETHEUS_ADDRESS": server.url}
    measurement = await measure(metric_of({"prometheus": {"query": "up"}}), environment)
    assert measurement.phase == "Successful"


async def test_the_address_of_the_metric_wins_over_the_environment(server: FakeServer) -> None:
    server.says("*", vector("1"))
    prometheus = {"address": server.url, "query": "up"}
    measurement = await measure(metric_of({"prometheus": prometheus}), {"ARGO_ROLLOUTS_PROMETHEUS_ADDRESS": "nonsense"})
    assert measurement.phase == "Successful"


async def test_a_timeout_of_nothing_fails_at_once(server: FakeServer) -> None:
    measurement = await query(server, timeout=0)
    assert "context deadline exceeded" in measurement.message
    assert server.asked == []


async def test_warnings_are_kept(server: FakeServer) -> None:
    server.says("*", answer("vector", [{"value": [1, "1"]}], warnings=["a", "b"]))
    assert (await query(server)).metadata == {"warnings": '"a", "b"'}


async def test_the_query_is_kept_with_the_metric() -> None:
    from prograde.providers.registry import build_provider

    async with context_for() as context:
        metric = metric_of({"prometheus": {"address": "http://127.0.0.1:9", "query": "up"}})
        assert (await build_provider(metric, context)).metadata() == {"ResolvedPrometheusQuery": "up"}


# ---- Authentication -------------------------------------------------------------------------------------------------


async def test_basic_authentication(server: FakeServer) -> None:
    server.says("*", vector("1"))
    await query(server, authentication={"basicAuth": {"username": "u", "password": "p:w"}})
    assert server.asked[0].headers["Authorization"] == f"Basic {base64.b64encode(b'u:p:w').decode()}"


async def test_a_custom_header_is_stronger_than_any_authentication(server: FakeServer) -> None:
    server.says("*", vector("1"))
    await query(
        server,
        authentication={"basicAuth": {"username": "u", "password": "p"}},
        headers=[{"key": "authorization", "value": "Bearer mine"}, {"key": "X-Scope-OrgID", "value": "7"}],
    )
    assert server.asked[0].headers["Authorization"] == "Bearer mine"
    assert server.asked[0].headers["X-Scope-OrgID"] == "7"


def oauth2(server: FakeServer) -> dict[str, Any]:
    return {
        "oauth2": {"tokenUrl": f"{server.url}/token", "clientId": "me", "clientSecret": "s/x", "scopes": ["a", "b"]}
    }


async def test_oauth2_asks_for_a_token_first(server: FakeServer) -> None:
    server.says("/token", '{"access_token": "t0k", "token_type": "bearer", "expires_in": 3600}')
    server.says("/api/v1/query", vector("1"))
    assert (await query(server, authentication=oauth2(server))).phase == "Successful"
    token, asked = server.asked
    assert token.headers["Authorization"] == f"Basic {base64.b64encode(b'me:s%2Fx').decode()}"
    assert parse_qs(token.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}
    assert asked.headers["Authorization"] == "Bearer t0k"


async def test_oauth2_sends_its_secret_in_the_body_if_that_is_wanted(server: FakeServer) -> None:
    async def wants_body(request: web.Request) -> web.Response:
        if "Authorization" in request.headers:
            return web.Response(status=401)
        return web.Response(text="access_token=t0k&token_type=bearer")

    server.answers["/token"] = wants_body
    server.says("/api/v1/query", vector("1"))
    assert (await query(server, authentication=oauth2(server))).phase == "Successful"
    assert parse_qs(server.asked[1].body.decode())["client_secret"] == ["s/x"]


async def test_a_token_that_is_refused_is_an_error(server: FakeServer) -> None:
    server.says("/token", "no", status=401)
    measurement = await query(server, authentication=oauth2(server))
    assert measurement.message == "oauth2: cannot fetch token: 401 Unauthorized\nResponse: no"


async def test_a_token_is_used_until_it_expires(server: FakeServer) -> None:
    from prograde.providers.registry import build_provider

    server.says("/token", '{"access_token": "t0k", "expires_in": 3600}')
    server.says("/api/v1/query", vector("1"))
    metric = metric_of({"prometheus": {"address": server.url, "query": "up", "authentication": oauth2(server)}})
    async with context_for() as context:
        for _ in range(3):
            await (await build_provider(metric, context)).run()
    assert [asked.path for asked in server.asked].count("/token") == 1


async def test_requests_to_amazon_are_signed(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server.says("*", vector("1"))
    address = f"{server.url}/workspaces/aps-workspaces"
    await measure(
        metric_of(
            {
                "prometheus": {
                    "address": address,
                    "query": "up",
                    "authentication": {"sigv4": {"region": "eu-west-1"}},
                }
            }
        )
    )
    signed = server.asked[0].headers["Authorization"]
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/aps/aws4_request" in signed


async def test_other_servers_get_no_signature(server: FakeServer) -> None:
    server.says("*", vector("1"))
    await query(server, authentication={"sigv4": {"region": "eu-west-1"}})
    assert "Authorization" not in server.asked[0].headers
