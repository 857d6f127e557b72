"""Datadog, both versions of its query API."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import measure, metric_of
from tests.providers.stored_secrets import client_with, own_secret

from prograde.api.analysis import Measurement

KEYS = {"api-key": "0123456789abcdef", "app-key": "fedcba9876543210"}
NO_CREDENTIALS = "failed to find the credentials for datadog metrics provider"
NIL = "metric result is nil or empty: no data returned from the metric provider"
V1 = "/api/v1/query"
V2 = "/api/v2/query/scalar"


async def query(server: FakeServer, *, conditions: Mapping[str, Any] | None = None, **config: Any) -> Measurement:
    datadog = {"query": "avg:errors{*}", **config}
    client = await own_secret("datadog", {**KEYS, "address": server.url})
    return await measure(metric_of({"datadog": datadog}, **(conditions or {})), {}, client)


def columns(*given: tuple[str | None, list[Any]]) -> str:
    columns = [
        {"name": f"c{index}", "values": values, **({"type": kind} if kind is not None else {})}
        for index, (kind, values) in enumerate(given)
    ]
    return json.dumps({"data": {"attributes": {"columns": columns}}})


# ---- Credentials ----------------------------------------------------------------------------------------------------


async def test_the_environment_counts_if_it_is_complete(server: FakeServer) -> None:
    server.says(V1, '{"series":[]}')
    environment = {"DD_API_KEY": "from-env", "DD_APP_KEY": "app-env", "DD_ADDRESS": server.url}
    client = await own_secret("datadog", {**KEYS, "address": "http://127.0.0.1:9"})
    await measure(metric_of({"datadog": {"query": "q"}}), environment, client)
    assert server.asked[0].headers["DD-API-KEY"] == "from-env"
    assert server.asked[0].headers["DD-APPLICATION-KEY"] == "app-env"


@pytest.mark.parametrize(
    "environment",
    [
        {"DD_API_KEY": "from-env", "DD_APP_KEY": "app-env"},
        {"DD_API_KEY": "", "DD_APP_KEY": "app-env", "DD_ADDRESS": "http://127.0.0.1:9"},
    ],
)
async def test_an_incomplete_environment_is_ignored(server: FakeServer, environment: dict[str, str]) -> None:
    server.says(V1, '{"series":[]}')
    client = await own_secret("datadog", {**KEYS, "address": server.url})
    await measure(metric_of({"datadog": {"query": "q"}}), environment, client)
    assert server.asked[0].headers["DD-API-KEY"] == KEYS["api-key"]


@pytest.mark.parametrize(
    ("reference", "namespace"), [({"name": "mine"}, "argo-rollouts"), ({"name": "mine", "namespaced": True}, "shop")]
)
async def test_a_named_secret_is_the_only_one_that_counts(
    server: FakeServer, reference: dict[str, Any], namespace: str
) -> None:
    server.says(V1, '{"series":[]}')
    entries = {"api-key": "named-key", "app-key": "app", "address": server.url}
    environment = {"DD_API_KEY": "from-env", "DD_APP_KEY": "app-env", "DD_ADDRESS": "http://127.0.0.1:9"}
    metric = metric_of({"datadog": {"query": "q", "secretRef": reference}})
    await measure(metric, environment, await client_with((namespace, "mine", entries)))
    assert server.asked[0].headers["DD-API-KEY"] == "named-key"
    missing = await measure(metric, environment, await own_secret("datadog", KEYS))
    assert missing.message == NO_CREDENTIALS


@pytest.mark.parametrize("entries", [{}, {"api-key": "x"}, {"app-key": "x"}, {"api-key": "", "app-key": "x"}])
async def test_a_secret_without_both_keys_is_none(entries: dict[str, str]) -> None:
    client = await own_secret("datadog", entries)
    measurement = await measure(metric_of({"datadog": {"query": "q"}}), {}, client)
    assert (measurement.phase, measurement.message) == ("Error", NO_CREDENTIALS)


async def test_a_secret_of_the_run_needs_a_name() -> None:
    metric = metric_of({"datadog": {"query": "q", "secretRef": {"namespaced": True}}})
    assert (await measure(metric)).message == "secret name is required for namespaced credentials"


async def test_the_address_is_datadogs_unless_the_secret_says_otherwise() -> None:
    from prograde.providers.datadog import ADDRESS

    assert ADDRESS == "https://api.datadoghq.com"
    client = await own_secret("datadog", {**KEYS, "address": "://wrong.schema"})
    measurement = await measure(metric_of({"datadog": {"query": "q"}}), {}, client)
    assert measurement.message == 'parse "://wrong.schema": missing protocol scheme'


async def test_a_slash_at_the_end_of_the_address_does_not_count(server: FakeServer) -> None:
    server.says(V1, '{"series":[]}')
    client = await own_secret("datadog", {**KEYS, "address": f"{server.url}/"})
    await measure(metric_of({"datadog": {"query": "q"}}), {}, client)
    assert server.asked[0].path == V1


# ---- What fits together ---------------------------------------------------------------------------------------------

REVIEW = "Please review the Analysis Template."


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, f"Must have either a query or queries. {REVIEW}"),
        ({"query": "q", "queries": {"a": "b"}}, f"Cannot have both a query and queries. {REVIEW}"),
        (
            {"queries": {"a": "b"}, "apiVersion": "v1"},
            "Query is empty. API Version v1 only supports using the query parameter in your Analysis Template.",
        ),
        (
            {"query": "q", "formula": "a", "apiVersion": "v2"},
            f"Formula are only valid when queries are set. {REVIEW}",
        ),
        (
            {"queries": {"a": "b", "c": "d"}, "apiVersion": "v2"},
            "When multiple queries are provided you must include a formula.",
        ),
        ({"query": "q", "aggregator": "sum"}, f"Aggregator is not supported in v1. {REVIEW}"),
        (
            {"query": "q", "requestTimeout": "soon"},
            f'Could not parse the request timeout: time: invalid duration "soon". {REVIEW}',
        ),
        (
            {"query": "q", "requestTimeout": "0s"},
            f"Request timeout must be a positive duration (e.g. 30s). {REVIEW}",
        ),
        (
            {"query": "q", "requestTimeout": "-1s"},
            f"Request timeout must be a positive duration (e.g. 30s). {REVIEW}",
        ),
        ({"query": "q", "interval": "often"}, 'time: invalid duration "often"'),
    ],
)
async def test_what_does_not_fit_together_is_never_sent(config: dict[str, Any], message: str) -> None:
    client = await own_secret("datadog", {**KEYS, "address": "http://127.0.0.1:9"})
    measurement = await measure(metric_of({"datadog": config}), {}, client)
    assert (measurement.phase, measurement.message) == ("Error", message)


# ---- Version 1 ------------------------------------------------------------------------------------------------------


async def test_version_1_asks_by_get(server: FakeServer) -> None:
    server.says(V1, '{"series":[{"pointlist":[[1,0.5]]}]}')
    measurement = await query(server, interval="10m")
    assert (measurement.phase, measurement.value) == ("Successful", "0.5")
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("GET", V1, b"")
    assert asked.query == {"from": "1772365800", "query": "avg:errors{*}", "to": "1772366400"}
    assert asked.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "condition", "phase", "value", "message"),
    [
        (
            '{"series":[{"pointlist":[[1,0.0020],[2,0.0003332881882246533]]}]}',
            "result < 0.001",
            "Successful",
            "0.0003332881882246533",
            "",
        ),
        ('{"series":[{"pointlist":[[1,7],[2,null],[3,null]]}]}', "result == 7", "Successful", "7", ""),
        ('{"Series":[{"PointList":[[1,2]]}]}', "result == 2", "Successful", "2", ""),
        ('{"series":[]}', "default(result, 0) < 0.05", "Successful", "[]", ""),
        ('{"series":[]}', "default(result, 1) < 0.05", "Failed", "[]", ""),
        (
            '{"series":[]}',
            "result < 0.05",
            "Error",
            "",
            f'could not evaluate successCondition "result < 0.05": {NIL}',
        ),
        ("{}", "result == nil", "Successful", "null", ""),
        ('{"series":[{"pointlist":[],"unit":"x"}]}', "result == nil", "Successful", '[{"pointlist":[]}]', ""),
        ('{"series":[{"scope":"x"}]}', "result == nil", "Successful", '[{"pointlist":null}]', ""),
        ('{"series":[{"pointlist":[[1,null]]}]}', "result == nil", "Successful", '[{"pointlist":[[1,null]]}]', ""),
        ('{"series":[{"pointlist":[[1]]}]}', "true", "Error", "", "Datapoint does not have 2 values"),
        ('{"series":[{"pointlist":[[1,2,3]]}]}', "true", "Error", "", "Datapoint does not have 2 values"),
    ],
)
async def test_the_newest_point_of_the_first_series_counts(
    server: FakeServer, body: str, condition: str, phase: str, value: str, message: str
) -> None:
    server.says(V1, body)
    measurement = await query(server, conditions={"successCondition": condition})
    assert (measurement.phase, measurement.value, measurement.message) == (phase, value, message)


# ---- Version 2 ------------------------------------------------------------------------------------------------------


async def test_version_2_asks_in_milliseconds(server: FakeServer) -> None:
    server.says(V2, columns(("number", [0.5])))
    measurement = await query(server, apiVersion="v2", interval="10m")
    assert (measurement.phase, measurement.value) == ("Successful", "0.5")
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", V2)
    assert json.loads(asked.body) == {
        "data": {
            "attributes": {
                "from": 1772365800000,
                "to": 1772366400000,
                "queries": [
                    {"aggregator": "last", "data_source": "metrics", "name": "query", "query": "avg:errors{*}"}
                ],
                "formulas": [],
            },
            "type": "scalar_request",
        }
    }


async def test_several_queries_are_sent_in_order_with_their_formula(server: FakeServer) -> None:
    server.says(V2, columns(("number", [1])))
    await query(server, query="", queries={"b": "qb", "a": "qa"}, formula="a/b", aggregator="sum", apiVersion="v2")
    attributes = json.loads(server.asked[0].body)["data"]["attributes"]
    assert [(each["name"], each["query"], each["aggregator"]) for each in attributes["queries"]] == [
        ("a", "qa", "sum"),
        ("b", "qb", "sum"),
    ]
    assert attributes["formulas"] == [{"formula": "a/b"}]


@pytest.mark.parametrize(
    ("body", "condition", "phase", "value", "groups"),
    [
        (columns((None, [0.5])), "result == 0.5", "Successful", "0.5", None),
        (columns(("", [0.5, 9])), "result == 0.5", "Successful", "0.5", None),
        (columns(("number", [None])), "result == nil", "Successful", "[]", None),
        (columns(("number", [])), "default(result, 0) == 0", "Successful", "[]", None),
        (columns(), "result == nil", "Successful", "[]", None),
        ("{}", "result == nil", "Successful", "[]", None),
        (columns(("group", [["a"]])), "result == nil", "Successful", "[]", None),
        (columns(("text", [1]), ("number", [2])), "result == 2", "Successful", "2", None),
        (
            columns(("group", [["GET /a"]]), ("number", [0.087])),
            "max(result) < 0.05",
            "Failed",
            "[0.087]",
            [("GET /a", 0.087)],
        ),
        (
            columns(("number", [1, 2]), ("group", [["us"], ["eu"]]), ("group", [["a"], ["x", "y"]])),
            "len(result) == 2",
            "Successful",
            "[1,2]",
            [("us,a", 1), ("eu,x,y", 2)],
        ),
        (
            columns(("group", [["a"], ["b"], ["c"], ["d"], ["e"]]), ("number", [None, 0.02, 0.03, None, 0.5])),
            "len(result) == 3",
            "Successful",
            "[0.02,0.03,0.5]",
            [("b", 0.02), ("c", 0.03), ("e", 0.5)],
        ),
    ],
)
async def test_groups_make_a_list(
    server: FakeServer, body: str, condition: str, phase: str, value: str, groups: list[tuple[str, float]] | None
) -> None:
    server.says(V2, body)
    measurement = await query(server, conditions={"successCondition": condition}, apiVersion="v2")
    assert (measurement.phase, measurement.value, measurement.message) == (phase, value, "")
    shown = None
    if "groups" in measurement.metadata:
        shown = [(each["name"], each["value"]) for each in json.loads(measurement.metadata["groups"])]
    assert shown == groups
    assert "groups_truncated" not in measurement.metadata


async def test_one_group_is_a_list_too(server: FakeServer) -> None:
    server.says(V2, columns(("group", [["a"]]), ("number", [0.5])))
    measurement = await query(server, conditions={"successCondition": "result < 1"}, apiVersion="v2")
    assert measurement.phase == "Error"
    assert measurement.message.startswith('could not evaluate successCondition "result < 1": ')
    assert (measurement.value, measurement.metadata) == ("", {})


@pytest.mark.parametrize(("count", "is_truncated"), [(100, False), (125, True)])
async def test_of_many_groups_the_lowest_and_the_highest_are_kept(
    server: FakeServer, count: int, is_truncated: bool
) -> None:
    order = sorted(range(count), key=lambda i: i * 37 % count)
    server.says(V2, columns(("group", [[f"g{i}"] for i in order]), ("number", [float(i) for i in order])))
    measurement = await query(server, conditions={"successCondition": f"len(result) == {count}"}, apiVersion="v2")
    assert measurement.phase == "Successful"
    assert len(json.loads(measurement.value)) == count
    kept = [each["value"] for each in json.loads(measurement.metadata["groups"])]
    assert len(kept) == 100
    assert measurement.metadata.get("groups_truncated") == ("true" if is_truncated else None)
    assert kept == ([*range(50), *range(75, 125)] if is_truncated else order)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"data":{"errors":"bad metric"}}', "There were errors in your query: bad metric"),
        (columns(("number", [1, "oops"])), 'could not parse numeric value "\\"oops\\"" in column "c0": '),
        (columns(("number", [True])), 'could not parse numeric value "true" in column "c0": '),
        (columns(("group", ["x"]), ("number", [1])), "could not parse group label at index 0"),
        (columns(("group", [["a"], 42]), ("number", [1, 2])), "could not parse group label at index 1"),
        (columns(("group", [None]), ("number", [1])), "could not parse group label at index 0"),
        (columns(("group", [[]]), ("number", [1])), "could not parse group label at index 0"),
        (columns(("group", [[7]]), ("number", [1])), "could not parse group label at index 0"),
        (columns(("group", [["a"]]), ("number", [1, 2])), "could not parse group label at index 1"),
        ('{"data":{"attributes":{"columns":[{"values":"invalid"}]}}}', "Could not parse JSON body: "),
        ('{"data":"x"}', "Could not parse JSON body: "),
        ("[]", "Could not parse JSON body: "),
    ],
)
async def test_an_answer_of_version_2_that_makes_no_sense_is_an_error(
    server: FakeServer, body: str, message: str
) -> None:
    server.says(V2, body)
    measurement = await query(server, apiVersion="v2")
    assert (measurement.phase, measurement.value) == ("Error", "")
    assert measurement.message.startswith(message)


# ---- Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, '{"errors":["x"]}', 'received authentication error response code: 401 {"errors":["x"]}'),
        (403, "no", "received authentication error response code: 403 no"),
        (429, "slow down", "received non 2xx response code: 429 slow down"),
        (201, "{}", "received non 2xx response code: 201 {}"),
        (500, "<html>", "received non 2xx response code: 500 <html>"),
        (200, "<html>", "Could not parse JSON body: invalid character '<' looking for beginning of value"),
        (200, "", "Could not parse JSON body: unexpected end of JSON input"),
        (200, '{"series":"invalid"}', "Could not parse JSON body: "),
        (200, '{"series":[{"pointlist":[[1,"2"]]}]}', "Could not parse JSON body: "),
        (200, '{"series":[{"pointlist":[1]}]}', "Could not parse JSON body: "),
        (200, '{"series":[[]]}', "Could not parse JSON body: "),
    ],
)
async def test_every_refusal_says_what_the_server_has_said(
    server: FakeServer, status: int, body: str, message: str
) -> None:
    server.says(V1, body, status=status)
    measurement = await query(server)
    assert measurement.phase == "Error"
    assert measurement.message.startswith(message)


async def test_a_server_that_repeats_the_keys_does_not_make_them_public(server: FakeServer) -> None:
    server.says(V1, f"unknown keys {KEYS['api-key']} and {KEYS['app-key']}", status=403)
    measurement = await query(server)
    assert measurement.message == "received authentication error response code: 403 unknown keys ***** and *****"


async def test_a_long_answer_does_not_fill_the_status(server: FakeServer) -> None:
    server.says(V1, "x" * 100_000, status=500)
    assert len((await query(server)).message) < 1200


async def test_a_query_in_a_body_is_not_sent_anywhere_else(server: FakeServer) -> None:
    server.says(V2, "moved", status=307, Location=f"{server.url}/elsewhere")
    measurement = await query(server, apiVersion="v2")
    assert measurement.message == "received non 2xx response code: 307 moved"
    assert len(server.asked) == 1


async def test_a_slow_server_is_given_up(server: FakeServer) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    server.answers[V1] = slow
    measurement = await query(server, requestTimeout="50ms")
    assert measurement.phase == "Error"
    assert "no answer within 0.05 s" in measurement.message


async def test_a_server_that_asks_for_patience_gets_it(server: FakeServer) -> None:
    async def busy_once(_: web.Request) -> web.Response:
        if len(server.asked) == 1:
            return web.Response(status=429, headers={"Retry-After": "0"})
        return web.Response(text='{"series":[{"pointlist":[[1,2]]}]}')

    server.answers[V1] = busy_once
    assert (await query(server)).value == "2"
