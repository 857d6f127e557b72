"""New Relic's NerdGraph."""

import json
from typing import Any

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import context_for, measure, metric_of
from tests.providers.stored_secrets import client_with, own_secret

from prograde.api.analysis import Measurement
from prograde.providers import newrelic
from prograde.providers.newrelic import NewRelicProvider
from prograde.providers.registry import build_provider

KEY = "NRAK-0123456789"
SECRET = {"personal-api-key": KEY, "account-id": "12345"}
UNAUTHORIZED = (
    "401 response returned: Invalid credentials provided. Missing API key or an invalid API key was provided."
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newrelic, "RETRY_DELAYS", (0.0, 0.0, 0.0))


def rows(*results: dict[str, Any], **more: Any) -> str:
    return json.dumps({"data": {"actor": {"account": {"nrql": {"results": results}}}}, **more})


def failure(message: str, **extensions: str) -> dict[str, Any]:
    return {"message": message, "extensions": extensions}


async def query(server: FakeServer, condition: str = "true", **config: Any) -> Measurement:
    client = await own_secret("newrelic", {**SECRET, "base-url-nerdgraph": f"{server.url}/graphql"})
    metric = metric_of({"newRelic": {"query": "SELECT 1", **config}}, successCondition=condition)
    return await measure(metric, {}, client)


@pytest.mark.parametrize(
    ("body", "condition", "phase", "value"),
    [
        (
            rows({"count": 10, "average.duration": 12.34}),
            "result['average.duration'] < 15.0",
            "Successful",
            '{"average.duration":12.34,"count":10}',
        ),
        (
            rows({"count": 10}, {"count": 20}, {"count": 30}),
            "result[0].count == 10 && result[2].count > 20",
            "Successful",
            '[{"count":10},{"count":20},{"count":30}]',
        ),
        (rows({}, {}), "len(result) == 2", "Successful", "[{},{}]"),
        (
            rows({"count": 1}, errors=[failure("other"), failure("This field is deprecated! Use another.")]),
            "result.count > 5",
            "Failed",
            '{"count":1}',
        ),
    ],
)
async def test_one_row_is_a_map_and_several_are_a_list(
    server: FakeServer, body: str, condition: str, phase: str, value: str
) -> None:
    server.says("/graphql", body)
    measurement = await query(server, condition)
    assert (measurement.phase, measurement.value, measurement.message) == (phase, value, "")


async def test_half_a_character_can_be_stored(server: FakeServer) -> None:
    server.says("/graphql", '{"data":{"actor":{"account":{"nrql":{"results":[{"facet":"a\\ud800"}]}}}}}')
    assert (await query(server)).value == '{"facet":"a\ufffd"}'
    server.says("/graphql", '{"errors":[{"message":"a\\udfff"}]}')
    assert (await query(server)).message == "a\ufffd"


@pytest.mark.parametrize(("config", "seconds"), [({}, 5), ({"timeout": 0}, 0), ({"timeout": 60}, 60)])
async def test_the_query_is_a_variable_of_the_operation(
    server: FakeServer, config: dict[str, Any], seconds: int
) -> None:
    server.says("/graphql", rows({"count": 1}))
    await query(server, **config)
    (asked,) = server.asked
    assert asked.method == "POST"
    body = json.loads(asked.body)
    assert body["variables"] == {"accountId": 12345, "query": "SELECT 1", "timeout": seconds}
    for part in ("$query: Nrql!", "$accountId: Int!", "$timeout: Seconds!", "results"):
        assert part in body["query"]
    assert asked.headers["Api-Key"] == KEY
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["User-Agent"].startswith("argo-rollouts/")
    assert asked.headers["NewRelic-Requesting-Services"] == "newrelic-client-go"
    assert asked.headers["X-Query-Source-Component-Id"] == "newrelic-client-go"


async def test_the_environment_names_the_service_and_the_address(server: FakeServer) -> None:
    server.says("/graphql", rows({"count": 1}))
    environment = {"NEW_RELIC_NERDGRAPH_BASE_URL": f"{server.url}/graphql", "NEW_RELIC_SERVICE_NAME": "shop"}
    await measure(metric_of({"newRelic": {"query": "q"}}), environment, await own_secret("newrelic", SECRET))
    assert server.asked[0].headers["NewRelic-Requesting-Services"] == "shop|newrelic-client-go"
    assert server.asked[0].headers["X-Query-Source-Component-Id"] == "shop|newrelic-client-go"


@pytest.mark.parametrize(
    ("region", "url"),
    [
        (None, "https://api.newrelic.com/graphql"),
        ("us", "https://api.newrelic.com/graphql"),
        ("EU", "https://api.eu.newrelic.com/graphql"),
        ("jp", "https://api.jp.newrelic.com/graphql"),
        ("gov", "https://gov-api.newrelic.com/graphql"),
        ("FedRAMP", "https://gov-api.newrelic.com/graphql"),
        ("staging", "https://staging-api.newrelic.com/graphql"),
        ("local", "http://localhost:3000/graphql"),
        ("prod", "https://api.newrelic.com/graphql"),
        ("", "https://api.newrelic.com/graphql"),
    ],
)
async def test_the_region_decides_who_is_asked(region: str | None, url: str) -> None:
    entries = SECRET if region is None else {**SECRET, "region": region}
    async with context_for({}, await client_with(("argo-rollouts", "mine", entries))) as context:
        provider = await build_provider(metric_of({"newRelic": {"query": "q", "profile": "mine"}}), context)
    assert isinstance(provider, NewRelicProvider)
    assert provider.url == url
    assert provider.metadata() == {"ResolvedNewRelicQuery": "q"}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "account ID or personal API key not found"),
        ({"account-id": "1"}, "account ID or personal API key not found"),
        ({"personal-api-key": KEY, "base-url-rest": ""}, "account ID or personal API key not found"),
        ({**SECRET, "base-url-rest": ""}, "base URL can not be empty"),
        ({**SECRET, "base-url-nerdgraph": ""}, "nerdgraph base URL can not be empty"),
        (
            {"personal-api-key": KEY, "account-id": "abcdef"},
            'could not parse account ID: strconv.Atoi: parsing "abcdef": invalid syntax',
        ),
    ],
)
async def test_a_secret_that_lacks_something_is_an_error(entries: dict[str, str], message: str) -> None:
    client = await own_secret("newrelic", entries)
    measurement = await measure(metric_of({"newRelic": {"query": "q"}}), {}, client)
    assert (measurement.phase, measurement.message) == ("Error", message)


async def test_a_secret_that_is_missing_is_an_error() -> None:
    measurement = await measure(metric_of({"newRelic": {"query": "q"}}), {}, await client_with())
    assert measurement.message == 'secrets "newrelic" not found'


async def test_a_negative_timeout_is_never_sent(server: FakeServer) -> None:
    assert (await query(server, timeout=-1)).message == "timeout value needs to be a positive value"
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, rows(), "no results returned from NRQL query"),
        (200, rows({}), "no results returned from NRQL query"),
        (200, "{}", "no results returned from NRQL query"),
        (200, '{"data":{"actor":null}}', "no results returned from NRQL query"),
        (200, '{"errors":[{"message":"a"},{"message":"b"}]}', "a, b"),
        (200, json.dumps({"errors": [failure("bad key", error_code="BAD_API_KEY")]}), "bad key"),
        (200, "<html>", "invalid character '<' looking for beginning of value"),
        (200, "[]", "json: cannot use array as an object"),
        (200, '{"data":{"actor":{"account":{"nrql":{"results":[1]}}}}}', "json: a row of the results is no object"),
        (404, "gone", "resource not found"),
        (402, "{}", "Payment Required"),
        (401, '{"errors":[{"message":"no"}]}', UNAUTHORIZED),
        (403, json.dumps({"errors": [failure("no", error_code="BAD_API_KEY")]}), UNAUTHORIZED),
        (401, "<html>", "401 response returned"),
        (400, '{"errors":[{"message":"syntax"}]}', "400 response returned: syntax"),
        (501, "", "501 response returned"),
    ],
)
async def test_every_bad_answer_is_an_error_that_says_so(
    server: FakeServer, status: int, body: str, message: str
) -> None:
    server.says("/graphql", body, status=status)
    measurement = await query(server)
    assert (measurement.phase, measurement.message, measurement.value) == ("Error", message, "")
    assert len(server.asked) == 1


GIVEN_UP = "POST {url}/graphql giving up after 4 attempt(s)"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (429, "", GIVEN_UP),
        (500, "", GIVEN_UP),
        (503, "<html>", GIVEN_UP),
        (200, json.dumps({"errors": [failure("slow down", errorClass="TOO_MANY_REQUESTS")]}), GIVEN_UP),
        (200, json.dumps({"errors": [failure("late", errorClass="TIMEOUT")]}), "maximum retries reached: late"),
        (200, json.dumps({"errors": [failure("x", errorClass="SERVER_ERROR")]}), "maximum retries reached: x"),
        (
            200,
            json.dumps({"errors": [failure("a"), failure("b", errorClass="INTERNAL_SERVER_ERROR")]}),
            "maximum retries reached: a, b",
        ),
    ],
)
async def test_a_server_that_is_busy_or_broken_is_asked_four_times(
    server: FakeServer, status: int, body: str, message: str
) -> None:
    server.says("/graphql", body, status=status)
    measurement = await query(server)
    assert measurement.message == message.format(url=server.url)
    assert len(server.asked) == 4


async def test_a_server_that_recovers_is_believed(server: FakeServer) -> None:
    async def broken_twice(_: web.Request) -> web.Response:
        if len(server.asked) < 3:
            return web.Response(status=502)
        return web.Response(text=rows({"count": 1}))

    server.answers["/graphql"] = broken_twice
    assert (await query(server)).value == '{"count":1}'


async def test_a_server_that_is_not_there_is_asked_four_times() -> None:
    client = await own_secret("newrelic", {**SECRET, "base-url-nerdgraph": "http://127.0.0.1:9/graphql"})
    measurement = await measure(metric_of({"newRelic": {"query": "q"}}), {}, client)
    prefix = 'POST http://127.0.0.1:9/graphql giving up after 4 attempt(s): Post "http://127.0.0.1:9/graphql": '
    assert measurement.message.startswith(prefix)


async def test_an_address_that_cannot_work_is_not_tried_again() -> None:
    client = await own_secret("newrelic", {**SECRET, "base-url-nerdgraph": "bad://host"})
    measurement = await measure(metric_of({"newRelic": {"query": "q"}}), {}, client)
    assert measurement.message == 'Post "bad://host": unsupported protocol scheme "bad"'


async def test_a_server_that_repeats_the_key_does_not_make_it_public(server: FakeServer) -> None:
    server.says("/graphql", json.dumps({"errors": [failure(f"unknown key {KEY}")]}))
    assert (await query(server)).message == "unknown key *****"
