"""SkyWalking's GraphQL."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import measure, metric_of

from prograde.api.analysis import Measurement

PATH = "/graphql"


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


async def query(server: FakeServer, condition: str = "true", **config: Any) -> Measurement:
    skywalking = {"address": server.url, "query": "query q($duration: Duration!) { x }", **config}
    return await measure(metric_of({"skywalking": skywalking}, successCondition=condition))


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(("config", "start"), [({"interval": "10m"}, "2026-03-01 1250"), ({}, "2026-03-01 1255")])
async def test_a_query_covers_the_last_minutes_by_the_local_clock(
    server: FakeServer, config: dict[str, str], start: str
) -> None:
    server.says(PATH, '{"data":{"count":10}}')
    assert (await query(server, **config)).phase == "Successful"
    (asked,) = server.asked
    assert (asked.method, asked.headers["Accept"]) == ("POST", "application/json; charset=utf-8")
    assert asked.headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(asked.body) == {
        "query": "query q($duration: Duration!) { x }",
        "variables": {"duration": {"start": start, "end": "2026-03-01 1300", "step": "MINUTE"}},
    }


@pytest.mark.parametrize(
    ("body", "status", "condition", "phase", "value"),
    [
        ('{"data":{"count":10}}', 200, "result.count == 10", "Successful", '{"count":10}'),
        ('{"data":[{"a":1},{"a":2},{"a":3}]}', 200, "len(result) == 3", "Successful", '[{"a":1},{"a":2},{"a":3}]'),
        ('{"data":{"b":1,"a":0.5},"errors":[]}', 200, "result.a > 1", "Failed", '{"a":0.5,"b":1}'),
        ('{"data":{"a":1}}', 500, "result.a == 1", "Successful", '{"a":1}'),
    ],
)
async def test_the_data_are_the_result(
    server: FakeServer, body: str, status: int, condition: str, phase: str, value: str
) -> None:
    server.says(PATH, body, status=status)
    measurement = await query(server, condition)
    assert (measurement.phase, measurement.value, measurement.message) == (phase, value, "")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ('{"data":null}', 200, "no results returned from SkyWalking query"),
        ("{}", 200, "no results returned from SkyWalking query"),
        ('{"data":{},"errors":[{"message":"bad"},{"message":"worse"}]}', 200, "graphql: bad"),
        ("<html>", 502, "graphql: server returned a non-200 status code: 502"),
        ("<html>", 200, "decoding response: invalid character '<' looking for beginning of value"),
        ("", 200, "decoding response: unexpected end of JSON input"),
        ("[]", 200, "decoding response: json: cannot use array as an object"),
    ],
)
async def test_every_bad_answer_is_an_error_that_says_so(
    server: FakeServer, body: str, status: int, message: str
) -> None:
    server.says(PATH, body, status=status)
    measurement = await query(server)
    assert (measurement.phase, measurement.message, measurement.value) == ("Error", message, "")


async def test_a_condition_that_cannot_be_evaluated_hides_the_value(server: FakeServer) -> None:
    server.says(PATH, '{"data":{"a":1}}')
    measurement = await query(server, "result.a > 'x'")
    assert (measurement.phase, measurement.value) == ("Error", "")


async def test_an_interval_that_is_none_is_an_error(server: FakeServer) -> None:
    assert (await query(server, interval="x")).message == 'time: invalid duration "x"'
    assert server.asked == []
