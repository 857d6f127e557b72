"""InfluxDB's Flux queries and their annotated CSV."""

import gzip
import json
from typing import Any

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import measure, metric_of
from tests.providers.stored_secrets import client_with, own_secret

from prograde.api.analysis import Measurement

PATH = "/api/v2/query"
SECRET = {"authToken": "t0ken-s3cr3t", "org": "my org"}


def table(kind: str, *values: str, default: str = "") -> str:
    """Write a table with one column of values, as InfluxDB does."""
    rows = "".join(f",,{index},{value}\r\n" for index, value in enumerate(values))
    return (
        f"#datatype,string,long,{kind}\r\n#group,false,false,false\r\n#default,_result,,{default}\r\n"
        f",result,table,_value\r\n{rows}\r\n"
    )


async def query(server: FakeServer, condition: str = "true", **config: Any) -> Measurement:
    client = await own_secret("influxdb", {**SECRET, "address": server.url})
    metric = metric_of({"influxdb": {"query": 'from(bucket: "b")', **config}}, successCondition=condition)
    return await measure(metric, {}, client)


@pytest.mark.parametrize(
    ("body", "condition", "value"),
    [
        (table("double", "1.0", "6.6"), "result[0] == 1 && result[1] == 6.6", "[1 6.6]"),
        (table("long", "10", "20"), "result[1] == 20", "[10 20]"),
        (table("unsignedLong", "18446744073709551615"), "len(result) == 1", "[18446744073709551615]"),
        (table("double", "1000000"), "result[0] == 1000000", "[1e+06]"),
        (table("boolean", "true", "false", "t"), "result[0] && !result[1] && result[2]", "[true false true]"),
        (table("string", "a b", '"c,""d"""'), "result[1] == 'c,\"d\"'", '[a b c,"d"]'),
        (table("double", "", "2"), "result[0] == nil", "[<nil> 2]"),
        (table("double", "", default="3.5"), "result[0] == 3.5", "[3.5]"),
        (table("duration", "1h30m"), 'result[0] == duration("90m")', "[1h30m0s]"),
        (table("base64Binary", "AQID"), "len(result[0]) == 3", "[[1 2 3]]"),
        (
            table("dateTime:RFC3339", "2026-03-01T12:00:00Z"),
            "result[0].Year() == 2026",
            "[2026-03-01 12:00:00 +0000 UTC]",
        ),
        (
            table("dateTime:RFC3339Nano", "2026-03-01T12:00:00.5Z"),
            "result[0].Minute() == 0",
            "[2026-03-01 12:00:00.5 +0000 UTC]",
        ),
        (table("double", "1") + table("long", "2"), "len(result) == 2", "[1 2]"),
        (table("double", "1").rstrip() + "\r\n" + table("long", "2"), "len(result) == 2", "[1 2]"),
        (table("double", "1").replace("table", "error"), "len(result) == 1", "[1]"),
        (table("double", "1").replace("_value", "other"), "result[0] == nil", "[<nil>]"),
    ],
)
async def test_values_have_the_type_of_their_annotation(
    server: FakeServer, body: str, condition: str, value: str
) -> None:
    server.says(PATH, body, Content_Type="text/csv")
    measurement = await query(server, condition)
    assert (measurement.phase, measurement.value, measurement.message) == ("Successful", value, "")


async def test_a_query_says_which_annotations_it_wants(server: FakeServer) -> None:
    server.says(PATH, table("double", "1"))
    await query(server)
    (asked,) = server.asked
    assert (asked.method, asked.query) == ("POST", {"org": "my org"})
    assert asked.headers["Authorization"] == "Token t0ken-s3cr3t"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Accept-Encoding"] == "gzip"
    assert json.loads(asked.body) == {
        "dialect": {"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": True},
        "query": 'from(bucket: "b")',
        "type": "flux",
    }


async def test_a_path_in_the_address_is_kept(server: FakeServer) -> None:
    server.says(f"/influx{PATH}", table("double", "1"))
    client = await own_secret("mine", {**SECRET, "address": f"{server.url}/influx/"})
    measurement = await measure(metric_of({"influxdb": {"query": "q", "profile": "mine"}}), {}, client)
    assert measurement.value == "[1]"


async def test_a_compressed_answer_is_read(server: FakeServer) -> None:
    server.says(PATH, gzip.compress(table("double", "1").encode()), Content_Encoding="gzip")
    assert (await query(server)).value == "[1]"


FAILED = "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,out of memory,897\r\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "no results returned from flux query"),
        ("\r\n\r\n", "no results returned from flux query"),
        (table("double"), "no results returned from flux query"),
        (FAILED, "flux query: out of memory (897)"),
        (",error,reference\r\n,syntax,\r\n", "flux query: syntax"),
        (table("double", "1") + FAILED, "flux query: out of memory (897)"),
        (table("double", "one"), "flux query: 'one' is no double"),
        (table("long", "1.5"), "flux query: '1.5' is no long"),
        (table("dateTime:RFC3339", "noon"), "flux query: 'noon' is no dateTime:RFC3339"),
        (table("duration", "long"), "flux query: 'long' is no duration"),
        (table("base64Binary", "%"), "flux query: '%' is no base64Binary"),
        (table("polygon", "x"), "flux query: unknown data type polygon"),
        ("result,_value\r\na,1\r\n", "flux query: a table has no annotation of its types"),
        (table("double", "1") + ",,0", "flux query: a table has no annotation of its types"),
        (table("double", "1", "2,3"), "flux query: a row has 5 columns, its header 4"),
        (table("string", '"open'), "the answer is no CSV: "),
    ],
)
async def test_nothing_is_measured_with_an_answer_that_is_broken(server: FakeServer, body: str, message: str) -> None:
    server.says(PATH, body, Content_Type="text/csv")
    measurement = await query(server)
    assert (measurement.phase, measurement.value) == ("Error", "")
    assert measurement.message.startswith(message)


@pytest.mark.parametrize(
    ("status", "headers", "body", "message"),
    [
        (401, {}, '{"code":"unauthorized","message":"bad token"}', "unauthorized: bad token"),
        (500, {"Content_Type": "text/plain"}, "boom", "500 Internal Server Error: boom"),
        (429, {}, "{}", "too many requests: exceeded rate limit"),
        (503, {}, "{}", "unavailable: service temporarily unavailable"),
        (400, {"X_Influxdb_Error": "odd"}, "{}", "400 Bad Request: odd"),
        (400, {}, '{"code":"invalid"}', "Unexpected status code 400"),
        (400, {}, "{}", "Unexpected status code 400"),
        (400, {}, "<html>", "invalid character '<' looking for beginning of value"),
        (401, {}, '{"code":"unauthorized","message":"t0ken-s3cr3t?"}', "unauthorized: *****?"),
    ],
)
async def test_a_refusal_says_what_the_server_has_said(
    server: FakeServer, status: int, headers: dict[str, str], body: str, message: str
) -> None:
    server.says(PATH, body, status=status, **headers)
    measurement = await query(server)
    assert (measurement.phase, measurement.message) == ("Error", message)


async def test_an_answer_that_is_cut_is_an_error(server: FakeServer) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10000"})
        await response.prepare(request)
        await response.write(table("double", "1").encode())
        assert request.transport is not None
        request.transport.abort()
        return response

    server.answers[PATH] = cut
    measurement = await query(server)
    assert measurement.phase == "Error"
    assert measurement.message.startswith(f'Post "{server.url}{PATH}?org=my+org": ')


async def test_a_condition_that_cannot_be_evaluated_hides_the_value(server: FakeServer) -> None:
    server.says(PATH, table("double", "1"))
    measurement = await query(server, "result[7] > 1")
    assert (measurement.phase, measurement.value) == ("Error", "")


@pytest.mark.parametrize("entries", [{}, SECRET, {"authToken": "x"}, {**SECRET, "address": ""}])
async def test_a_secret_that_lacks_something_is_an_error(entries: dict[str, str]) -> None:
    client = await own_secret("influxdb", entries)
    measurement = await measure(metric_of({"influxdb": {"query": "q"}}), {}, client)
    assert measurement.message == "authToken, org, or address not found"


async def test_a_missing_secret_is_an_error() -> None:
    measurement = await measure(metric_of({"influxdb": {"query": "q"}}), {}, await client_with())
    assert measurement.message == 'secrets "influxdb" not found'
