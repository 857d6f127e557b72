"""The judge as a provider: both versions are asked alike, and the evidence goes from measurement to measurement."""

import json
import math
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import RUN, context_for, measure, metric_of

from prograde.api.analysis import AnalysisRun, AnalysisRunStatus, Measurement, MetricResult
from prograde.providers.base import ProviderError, errored
from prograde.providers.judge import STATE_KEY
from prograde.providers.registry import build_provider

ERRORS = {"name": "errors", "bad": 'bad{hash="$hash"}', "total": 'all{hash="${hash}"}'}
Values = Callable[[str], dict[str, float]]


def config(**fields: Any) -> dict[str, Any]:
    return {"canary": {"hash": "new"}, "stable": {"hash": "old"}, **fields}


def says(server: FakeServer, values: Values) -> list[dict[str, str]]:
    """Answer instant queries with values by query, as one series per key, a JSON text of labels."""
    forms: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        form = {name: texts[0] for name, texts in parse_qs((await request.read()).decode()).items()}
        forms.append(form)
        result = [
            {"metric": json.loads(labels), "value": [1, str(value)]} for labels, value in values(form["query"]).items()
        ]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    server.answers["/api/v1/query"] = handler
    return forms


async def look(server: FakeServer, judge: dict[str, Any], before: list[Measurement], **fields: Any) -> Measurement:
    """Take the next measurement after others."""
    metric = metric_of({"plugin": {"prograde/judge": judge}}, **fields)
    run = AnalysisRun(
        metadata=RUN.metadata,
        status=AnalysisRunStatus(metric_results=(MetricResult(name="m", measurements=tuple(before[-10:])),)),
    )
    async with context_for({"ARGO_ROLLOUTS_PROMETHEUS_ADDRESS": server.url}) as context:
        context = type(context)(
            run=run, client=context.client, http=context.http, now=context.now, environment=context.environment
        )
        try:
            return await (await build_provider(metric, context)).run()
        except ProviderError as err:
            return errored(str(err), context.now(), context.now())


async def looks(server: FakeServer, judge: dict[str, Any], count: int, **fields: Any) -> list[Measurement]:
    taken: list[Measurement] = []
    for _ in range(count):
        taken.append(await look(server, judge, taken, **fields))
    return taken


def growing(canary: tuple[float, float], stable: tuple[float, float]) -> Values:
    """Return counters of bad and all requests that grow by so much with every query."""
    seen: dict[str, float] = {}

    def values(query: str) -> dict[str, float]:
        arm = canary if "new" in query else stable
        seen[query] = seen.get(query, 1000.0) + arm[0 if query.startswith("bad") else 1]
        return {'{"pod":"a"}': seen[query]}

    return values


async def test_harm_fails_the_measurement_and_stays(server: FakeServer) -> None:
    forms = says(server, growing((30, 300), (57, 5700)))
    taken = await looks(server, config(signals=[ERRORS]), 12, failureCondition="result.harm")
    assert [each.phase for each in taken[:3]] == ["Successful"] * 3
    assert taken[-1].phase == "Failed"
    value = json.loads(taken[-1].value)
    assert (value["verdict"], value["signals"]["errors"]["canary"]) == ("harm", [330, 3300])
    assert {form["query"] for form in forms} == {
        'bad{hash="new"}',
        'bad{hash="old"}',
        'all{hash="new"}',
        'all{hash="old"}',
    }
    assert len({form["time"] for form in forms}) == 1


async def test_a_gate_succeeds_once_safety_is_proved_and_is_undecided_before(server: FakeServer) -> None:
    says(server, growing((50, 5000), (50, 5000)))
    conditions = {"successCondition": "result.safe", "failureCondition": "result.harm"}
    taken = await looks(server, config(signals=[ERRORS]), 20, **conditions)
    assert taken[0].phase == "Inconclusive"
    assert taken[-1].phase == "Successful"


async def test_an_error_does_not_lose_the_evidence(server: FakeServer) -> None:
    says(server, growing((30, 300), (57, 5700)))
    judge = config(signals=[ERRORS])
    taken = await looks(server, judge, 4)
    handler = server.answers.pop("/api/v1/query")
    failed = await look(server, judge, taken)
    assert (failed.phase, failed.message) == ("Error", "signal 'errors': client_error: client error: 404")
    server.answers["/api/v1/query"] = handler
    after = json.loads((await look(server, judge, [*taken, failed])).value)
    assert after["signals"]["errors"]["canary"] == [120, 1200]


async def test_evidence_that_cannot_be_read_is_an_error(server: FakeServer) -> None:
    says(server, growing((1, 300), (57, 5700)))
    broken = Measurement(phase="Successful", metadata={STATE_KEY: "{"})
    measurement = await look(server, config(signals=[ERRORS]), [broken])
    assert measurement.phase == "Error"
    assert measurement.message.startswith("prograde/judge: the evidence so far cannot be read: ")


async def test_no_data_is_no_decision(server: FakeServer) -> None:
    says(server, lambda query: {})
    taken = await looks(server, config(signals=[ERRORS]), 5, failureCondition="result.harm")
    assert taken[-1].phase == "Successful"
    assert json.loads(taken[-1].value)["verdict"] == "undecided"


async def test_slow_requests_are_those_beyond_the_nearest_bucket(server: FakeServer) -> None:
    looked = 0

    def values(query: str) -> dict[str, float]:
        nonlocal looked
        looked += 1
        slow = 30 if "new" in query else 10
        time = looked * 1000
        return {
            '{"le":"0.1","pod":"a"}': time / 2,
            '{"le":"0.45","pod":"a"}': time - slow * looked,
            '{"le":"+Inf","pod":"a"}': time,
        }

    says(server, values)
    signal = {"name": "slow", "kind": "buckets", "buckets": 'h{hash="$hash"}', "edge": 0.5}
    taken = await looks(server, config(signals=[signal]), 2)
    # Both versions are asked in turn, so that two queries lie between the looks at one of them.
    assert json.loads(taken[-1].value)["signals"]["slow"]["canary"] == [60, 2000]
    assert json.loads(taken[-1].value)["signals"]["slow"]["stable"] == [20, 2000]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('{"pod":"a"}', "signal 'slow': the series of a histogram need the label le"),
        ('{"le":"+Inf"}', "signal 'slow': a histogram needs the bucket +Inf and another one"),
        ('{"le":"0.5"}', "signal 'slow': a histogram needs the bucket +Inf and another one"),
    ],
)
async def test_what_is_no_histogram_is_said(server: FakeServer, labels: str, message: str) -> None:
    says(server, lambda query: {labels: 1.0})
    signal = {"name": "slow", "kind": "buckets", "buckets": "h", "edge": 0.5}
    assert (await look(server, config(signals=[signal]), [])).message == message


async def test_counts_of_the_interval_are_rounded(server: FakeServer) -> None:
    says(server, lambda query: {'{"pod":"a"}': 1.4, '{"pod":"b"}': 1.3, '{"pod":"c"}': math.nan})
    taken = await looks(server, config(signals=[{**ERRORS, "counts": "interval"}]), 1)
    assert json.loads(taken[-1].value)["signals"]["errors"]["canary"] == [3, 3]


async def test_gauges_are_averaged_over_their_series(server: FakeServer) -> None:
    says(server, lambda query: {'{"pod":"a"}': 1.0, '{"pod":"b"}': 3.0 if "new" in query else 1.0})
    signal = {"name": "p95", "kind": "gauge", "value": 'p{hash="$hash"}', "block": 1}
    taken = await looks(server, config(signals=[signal]), 8, failureCondition="result.harm")
    assert taken[-1].phase == "Failed"


async def test_only_labels_of_the_versions_are_filled_in(server: FakeServer) -> None:
    forms = says(server, lambda query: {})
    signal = {"name": "e", "bad": 'b{hash="$hash",path=~"/a$",to="$other"}', "total": "t$hash"}
    await look(server, config(signals=[signal]), [])
    assert [form["query"] for form in forms] == [
        'b{hash="new",path=~"/a$",to="$other"}',
        "tnew",
        'b{hash="old",path=~"/a$",to="$other"}',
        "told",
    ]


async def test_a_scalar_is_one_series_and_conditions_see_every_number(server: FakeServer) -> None:
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}}
    server.says("/api/v1/query", json.dumps(scalar))
    signal = {**ERRORS, "counts": "interval"}
    condition = "result.signals.errors.canary[1] == 7 && result.signals.errors.ratio < 2 && !result.safe"
    measurement = await look(server, config(signals=[signal]), [], successCondition=condition)
    assert (measurement.phase, measurement.message) == ("Successful", "")


@pytest.mark.parametrize(("body", "total"), [("7", 7), ('{"a": 3, "b": 4, "c": "x"}', 7)])
async def test_the_web_answers_with_a_number_or_a_map_of_numbers(server: FakeServer, body: str, total: int) -> None:
    for path in ("/new/bad", "/new/all", "/old/bad", "/old/all"):
        server.says(path, body)
    signal = {
        "name": "e",
        "counts": "interval",
        "bad": f"{server.url}/$hash/bad",
        "total": f"{server.url}/$hash/all",
    }
    measurement = await look(server, config(signals=[signal], web={"url": ""}), [])
    assert json.loads(measurement.value)["signals"]["e"]["stable"] == [total, total]


async def test_the_web_may_not_answer_with_a_text(server: FakeServer) -> None:
    server.says("*", '"many"')
    signal = {"name": "e", "bad": f"{server.url}/b", "total": f"{server.url}/t"}
    measurement = await look(server, config(signals=[signal], web={"url": ""}), [])
    assert measurement.message == "signal 'e': the answer is neither a number nor a map of numbers"


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (config(), "either signals or kayenta must be given"),
        (config(signals=[ERRORS], alpha=1), "alpha must be between 0 and 1"),
        (config(signals=[ERRORS], share=1), "share must be between 0 and 1"),
        (config(signals=[ERRORS], shareTolerance=1), "shareTolerance must be above 1"),
        (config(signals=[ERRORS], stable={"hash": "new"}), "canary and stable are the same"),
        (config(signals=[{"name": "x"}]), "signal 'x': a ratio needs bad and total"),
        (config(kayenta={"metrics": [], "thresholds": {"pass": 95, "marginal": 75}}), "kayenta has no metrics"),
        (config(signal=[]), "Object contains unknown field `signal`"),
    ],
)
async def test_a_wrong_configuration_is_an_error(judge: dict[str, Any], message: str) -> None:
    measurement = await measure(metric_of({"plugin": {"prograde/judge": judge}}))
    assert (measurement.phase, measurement.message) == ("Error", f"prograde/judge: {message}")


# ---- As Kayenta does ------------------------------------------------------------------------------------------------

LATENCY = {"name": "latency", "query": 'p{hash="$hash"}', "groups": ["all"], "direction": "increase"}
THRESHOLDS = {"pass": 95, "marginal": 75}


@pytest.mark.parametrize(
    ("factor", "conditions", "phase", "verdict"),
    [
        (1, {}, "Successful", "Pass"),
        (3, {}, "Failed", "Fail"),
        (3, {"successCondition": "result.score >= 0"}, "Successful", "Fail"),
        (1, {"failureCondition": "result.score > 50"}, "Failed", "Pass"),
    ],
)
async def test_samples_are_judged_as_kayenta_does(
    server: FakeServer, factor: float, conditions: dict[str, str], phase: str, verdict: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        form = {name: texts[0] for name, texts in parse_qs((await request.read()).decode()).items()}
        assert float(form["end"]) - float(form["start"]) == pytest.approx(1800, abs=0.01)
        assert form["step"] == "60"
        scale = factor if "new" in form["query"] else 1
        points = [[i, str(scale * (10 + i))] for i in range(20)]
        data = {"resultType": "matrix", "result": [{"metric": {}, "values": [*points, [20, "NaN"]]}]}
        return web.json_response({"status": "success", "data": data})

    server.answers["/api/v1/query_range"] = handler
    judge = config(kayenta={"metrics": [LATENCY], "thresholds": THRESHOLDS})
    measurement = await look(server, judge, [], **conditions)
    assert (measurement.phase, measurement.message) == (phase, "")
    assert json.loads(measurement.value)["verdict"] == verdict


async def test_a_marginal_score_is_inconclusive(server: FakeServer) -> None:
    server.says("/new", json.dumps([30, 33, 36, 39, 42, 45, 48, 51]))
    server.says("/old", json.dumps([10, 11, 12, 13, 14, 15, 16, 17]))
    worse = {"name": "worse", "query": f"{server.url}/$hash", "groups": ["a"]}
    same = {"name": "same", "query": f"{server.url}/old", "groups": ["b"]}
    kayenta = {"metrics": [worse, same], "thresholds": THRESHOLDS, "groupWeights": {"a": 20, "b": 80}}
    measurement = await look(server, config(kayenta=kayenta, web={"url": ""}), [])
    assert measurement.phase == "Inconclusive"
    value = json.loads(measurement.value)
    assert (value["score"], value["metrics"]) == (80, {"worse": "High", "same": "Pass"})


@pytest.mark.parametrize(
    ("body", "more", "message"),
    [
        ("5", {}, "the answer is no list of numbers"),
        ("[1]", {"lookback": "long"}, 'prograde/judge: lookback: time: invalid duration "long"'),
    ],
)
async def test_samples_that_cannot_be_read_are_an_error(
    server: FakeServer, body: str, more: dict[str, str], message: str
) -> None:
    server.says("*", body)
    metric = {"name": "x", "query": f"{server.url}/$hash"}
    kayenta = {"metrics": [metric], "thresholds": THRESHOLDS, **more}
    measurement = await look(server, config(kayenta=kayenta, web={"url": ""}), [])
    assert (measurement.phase, measurement.message) == ("Error", message)


async def test_the_state_of_a_signal_stays_small(server: FakeServer) -> None:
    says(server, growing((3, 300), (57, 5700)))
    taken = await looks(server, config(signals=[ERRORS]), 12)
    assert len(taken[-1].metadata[STATE_KEY]) < 2048
    assert msgspec.json.decode(taken[-1].metadata[STATE_KEY])["rates"]["errors"]["looks"] == 11
