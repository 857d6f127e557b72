"""Graphite's render API."""

from typing import Any

import pytest
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import measure, metric_of

from prograde.api.analysis import Measurement


async def query(server: FakeServer, text: str = "target=a.*.count&from=-5min", **conditions: Any) -> Measurement:
    return await measure(metric_of({"graphite": {"address": server.url, "query": text}}, **conditions))


@pytest.mark.parametrize(
    ("body", "condition", "phase", "value"),
    [
        ('[{"target":"a","datapoints":[[10,1],[5.5,2]]}]', "result[1] == 5.5", "Successful", "[10.000000,5.500000]"),
        ('[{"datapoints":[[null,1],[5,2]]}]', "len(result) == 1", "Successful", "[5.000000]"),
        ('[{"datapoints":[["100.0","1"]]}]', "result[0] == 100", "Successful", "[100.000000]"),
        ('[{"datapoints":[[1,null]]},{"datapoints":[[2,1]]}]', "result[0] == 1", "Successful", "[1.000000]"),
        ('[{"datapoints":[[null,1]]}]', "len(result) == 0", "Successful", "[]"),
        ('[{"datapoints":[[4,1]]}]', "result[0] > 5", "Failed", "[4.000000]"),
    ],
)
async def test_the_points_of_the_first_target_count(
    server: FakeServer, body: str, condition: str, phase: str, value: str
) -> None:
    server.says("/render", body)
    measurement = await query(server, successCondition=condition)
    assert (measurement.phase, measurement.value, measurement.message) == (phase, value, "")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("[]", 200, "no values found"),
        ('[{"target":"a","datapoints":[]}]', 200, "no values found"),
        ("foo", 400, "error response: foo"),
        ("<html>", 502, "error response: <html>"),
        ("invalid JSON", 200, "invalid character 'i' looking for beginning of value"),
        ("{}", 200, "json: "),
        ('[{"datapoints":[[10]]}]', 200, "error unmarshaling data point: [10]"),
        ('[{"datapoints":[10]}]', 200, "error unmarshaling data point: 10"),
        ('[{"datapoints":[[100,"f"]]}]', 200, 'strconv.ParseInt: parsing "f": invalid syntax'),
        ('[{"datapoints":[["x",1]]}]', 200, 'strconv.ParseFloat: parsing "x": invalid syntax'),
        ('[{"datapoints":[[[],1]]}]', 200, "error unmarshaling value: []"),
        ('[{"datapoints":[[100,[]]]}]', 200, "error unmarshaling timestamp: []"),
        ('[{"datapoints":[[1,1]]},{"datapoints":[[10]]}]', 200, "error unmarshaling data point: [10]"),
        ('[{"datapoints":"x"}]', 200, "json: "),
    ],
)
async def test_every_bad_answer_is_an_error_that_says_so(
    server: FakeServer, body: str, status: int, message: str
) -> None:
    server.says("/render", body, status=status)
    measurement = await query(server)
    assert measurement.phase == "Error"
    assert measurement.message.startswith(message)
    assert measurement.value == ""


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("target=b&from=-5min", "format=json&from=-5min&target=b"),
        ("\n  target=sum(a, b)\t\n  &from=-5min\n", "format=json&from=-5min&target=sum%28a%2Cb%29"),
        ("target=b&format=csv&target=a", "format=json&target=b&target=a"),
        ("target=b#from=-5min", "format=json&target=b"),
        ("target=a;b&from=%zz&until=now", "format=json&until=now"),
        ("", "format=json"),
    ],
)
async def test_a_query_is_sent_in_order_and_without_white_space(server: FakeServer, text: str, sent: str) -> None:
    seen = []

    async def remember(request: Any) -> Any:
        from aiohttp import web

        seen.append(request.raw_path)
        return web.Response(text="[]")

    server.answers["/base/render"] = remember
    metric = metric_of({"graphite": {"address": f"{server.url}/base/?own=dropped", "query": text}})
    await measure(metric)
    assert seen == [f"/base/render?{sent}"]


async def test_control_characters_are_never_sent(server: FakeServer) -> None:
    measurement = await query(server, "target=\x01")
    assert measurement.message.startswith('parse "./render?target=')
    assert measurement.message.endswith("net/url: invalid control character in URL")
    assert server.asked == []


@pytest.mark.parametrize("address", ["", ":::", "127.0.0.1:80", "http://h/%^&"])
async def test_an_address_that_is_none_is_an_error(address: str) -> None:
    measurement = await measure(metric_of({"graphite": {"address": address, "query": "target=a"}}))
    assert measurement.message == f"Graphite address {address} is not a valid URL"


async def test_an_address_without_a_known_scheme_is_an_error() -> None:
    measurement = await measure(metric_of({"graphite": {"address": "ftp://h", "query": "target=a"}}))
    assert measurement.message == 'Get "ftp://h/render?format=json&target=a": unsupported protocol scheme "ftp"'


async def test_the_value_is_shown_even_if_the_condition_is_none(server: FakeServer) -> None:
    server.says("/render", '[{"datapoints":[[10,1]]}]')
    measurement = await query(server, successCondition="result[0] 10.000000")
    assert (measurement.phase, measurement.value) == ("Error", "[10.000000]")
    assert measurement.message.startswith('could not evaluate successCondition "result[0] 10.000000"')


async def test_a_password_in_the_address_is_sent_and_not_shown(server: FakeServer) -> None:
    server.says("/render", '[{"datapoints":[[10,1]]}]')
    address = server.url.replace("://", "://u:s3cr3t@")
    measurement = await measure(metric_of({"graphite": {"address": address, "query": "target=a"}}))
    assert measurement.phase == "Successful"
    assert server.asked[0].headers["Authorization"].startswith("Basic ")
    closed = await measure(metric_of({"graphite": {"address": "http://u:s3cr3t@127.0.0.1:9", "query": "target=a"}}))
    assert closed.message.startswith('Get "http://u:***@127.0.0.1:9/render?format=json&target=a": ')
    assert "s3cr3t" not in closed.message
