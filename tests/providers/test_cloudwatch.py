"""CloudWatch, as botocore talks to it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import measure, metric_of

from prograde.api.analysis import Measurement
from prograde.providers import cloudwatch

OK: dict[str, Any] = {"x-amzn-requestid": "1", "Content-Type": "application/x-amz-json-1.0"}


@pytest.fixture(autouse=True)
def amazon(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-key")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


def results(*values: list[float], **more: Any) -> str:
    found = [
        {"Id": f"m{i}", "Label": "rate", "StatusCode": "Complete", "Timestamps": [1767225600] * len(v), "Values": v}
        for i, v in enumerate(values)
    ]
    return json.dumps({"MetricDataResults": found, **more})


async def query(condition: str = "true", queries: list[dict[str, Any]] | None = None, **config: Any) -> Measurement:
    config_of = {"metricDataQueries": queries or [{"id": "rate", "expression": "a / b"}], **config}
    return await measure(metric_of({"cloudWatch": config_of}, successCondition=condition))


@pytest.mark.parametrize(
    ("body", "condition", "phase", "value"),
    [
        (results([0.1, 0.2, 0.3]), "result[0].Values[0] == 0.1", "Successful", "[[0.1 0.2 0.3]]"),
        (results([1.0], [2.0, 3.0]), "result[1].Values[1] == 3", "Successful", "[[1] [2 3]]"),
        (
            results([0.005] * 5),
            "len(result[0].Values) >= 5 and all(result[0].Values, {# <= 0.01})",
            "Successful",
            "[[0.005 0.005 0.005 0.005 0.005]]",
        ),
        (results([1000000.0]), "result[0].Values[0] > 2000000", "Failed", "[[1e+06]]"),
        (results([]), "len(result[0].Values) == 0", "Successful", "[[]]"),
        (results(), "len(result) == 0", "Successful", "[]"),
        (
            results([1.0]),
            "result[0].Id == 'm0' && result[0].Label == 'rate' && result[0].StatusCode == 'Complete'",
            "Successful",
            "[[1]]",
        ),
        (results([1.0]), "result[0].Timestamps[0].Year() == 2026", "Successful", "[[1]]"),
        (results([1.0]), "len(result[0].Messages) == 0", "Successful", "[[1]]"),
    ],
)
async def test_conditions_see_the_records(
    server: FakeServer, body: str, condition: str, phase: str, value: str
) -> None:
    server.says("/", body, **OK)
    measurement = await query(condition)
    assert (measurement.phase, measurement.value, measurement.message) == (phase, value, "")


async def test_the_value_is_shown_even_if_no_condition_can_be_evaluated(server: FakeServer) -> None:
    server.says("/", results([]), **OK)
    measurement = await query("result[0].Values[0] > 1")
    assert (measurement.phase, measurement.value) == ("Error", "[[]]")
    assert "index out of range" in measurement.message


async def test_messages_are_kept(server: FakeServer) -> None:
    server.says("/", results([1.0], Messages=[{"Code": "Partial", "Value": "too much"}]), **OK)
    measurement = await query()
    assert measurement.metadata == {"messages": '[{"Code":"Partial","Value":"too much"}]'}


async def test_the_call_is_signed_and_covers_the_last_minutes(server: FakeServer) -> None:
    server.says("/", results([1.0]), **OK)
    await query(interval="30m")
    (asked,) = server.asked
    assert asked.method == "POST"
    assert asked.headers["X-Amz-Target"] == "GraniteServiceVersion20100801.GetMetricData"
    assert asked.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/monitoring/aws4_request" in asked.headers["Authorization"]
    body = json.loads(asked.body)
    assert round(body["EndTime"] - body["StartTime"]) == 1800
    assert int(body["EndTime"]) == 1772366400


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ({"id": "a"}, {"Id": "a"}),
        ({}, {"Id": ""}),
        (
            {"id": "a", "expression": "b", "label": "l", "returnData": False, "period": "300"},
            {"Id": "a", "Expression": "b", "Label": "l", "ReturnData": False, "Period": 300},
        ),
        ({"id": "a", "period": "x"}, {"Id": "a", "Period": 0}),
        (
            {"id": "a", "metricStat": {"metric": {"metricName": "n"}, "period": 60, "stat": "Sum", "unit": ""}},
            {"Id": "a", "MetricStat": {"Metric": {"MetricName": "n"}, "Period": 60, "Stat": "Sum"}},
        ),
        (
            {
                "id": "a",
                "metricStat": {
                    "metric": {
                        "namespace": "ns",
                        "metricName": "n",
                        "dimensions": [{"name": "d", "value": "v"}],
                    },
                    "period": "60",
                    "stat": "p99",
                    "unit": "Count",
                },
            },
            {
                "Id": "a",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "ns",
                        "MetricName": "n",
                        "Dimensions": [{"Name": "d", "Value": "v"}],
                    },
                    "Period": 60,
                    "Stat": "p99",
                    "Unit": "Count",
                },
            },
        ),
    ],
)
async def test_what_is_not_given_is_not_sent(server: FakeServer, written: dict[str, Any], sent: dict[str, Any]) -> None:
    server.says("/", results([1.0]), **OK)
    assert (await query(queries=[written])).phase == "Successful"
    assert json.loads(server.asked[0].body)["MetricDataQueries"] == [sent]


async def test_a_refusal_says_what_amazon_has_said(server: FakeServer) -> None:
    server.says(
        "/",
        '{"__type":"com.amazonaws#InvalidParameterValueException","message":"bad period"}',
        status=400,
        **OK,
        x_amzn_query_error="ValidationError;Sender",
    )
    measurement = await query()
    assert (measurement.phase, measurement.value) == ("Error", "")
    assert "bad period" in measurement.message
    assert "GetMetricData" in measurement.message


@pytest.mark.parametrize("body", ["<html>login</html>", "{}", "[]", ""])
async def test_an_answer_of_something_else_is_an_error(server: FakeServer, body: str) -> None:
    server.says("/", body, **OK)
    measurement = await query()
    assert (measurement.phase, measurement.value) == ("Error", "")
    assert measurement.message != ""


async def test_a_service_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    measurement = await query()
    assert measurement.phase == "Error"
    assert "127.0.0.1:9" in measurement.message


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_REGION"])
async def test_without_credentials_or_a_region_nothing_is_sent(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    if missing == "AWS_REGION":
        monkeypatch.delenv("AWS_DEFAULT_REGION")
    measurement = await query()
    assert measurement.phase == "Error"
    assert ("credentials" if missing == "AWS_ACCESS_KEY_ID" else "region") in measurement.message
    assert server.asked == []


def write_credentials(path: Path, key: str) -> None:
    path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n")


async def test_credentials_that_appear_or_change_are_found(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def knows_the_second(request: web.Request) -> web.Response:
        if "AKIDSECOND" in request.headers["Authorization"]:
            return web.Response(text=results([1.0]), headers=OK)
        refusal = '{"__type":"x#UnrecognizedClientException","message":"the token is invalid"}'
        return web.Response(text=refusal, status=400, headers=OK)

    server.answers["/"] = knows_the_second
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert "credentials" in (await query()).message
    write_credentials(tmp_path / "credentials", "AKIDFIRST")
    assert "the token is invalid" in (await query()).message
    write_credentials(tmp_path / "credentials", "AKIDSECOND")
    assert (await query()).value == "[[1]]"


async def test_an_interval_that_is_none_is_an_error(server: FakeServer) -> None:
    assert (await query(interval="x")).message == 'time: invalid duration "x"'
    assert server.asked == []


async def test_an_answer_that_is_late_by_far_is_not_waited_for(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()

    async def late(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response(text=results([1.0]), headers=OK)

    server.answers["/"] = late
    monkeypatch.setattr(cloudwatch, "TIMEOUT_SECONDS", 0.05)
    measurement = await query()
    released.set()
    assert measurement.message == "GetMetricData: no answer within 0.05 s"
