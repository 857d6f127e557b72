"""Kayenta: a judgement is begun, and looked after until it is there."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer
from tests.providers.measuring import NOW, RUN, context_for, measure, metric_of

from prograde.api.analysis import AnalysisRunStatus, Measurement, Metric
from prograde.api.scalars import whole_seconds
from prograde.providers.base import Provider, ProviderError, errored
from prograde.providers.registry import build_provider

STARTED = whole_seconds(NOW)
SIDE = {"scope": "app", "region": "eu", "step": 60, "start": "", "end": ""}
FIXED = {**SIDE, "start": "2026-02-01T00:00:00Z", "end": "2026-02-01T01:00:00Z"}


def metric(server: FakeServer, control: Any = SIDE, experiment: Any = SIDE, **config: Any) -> Metric:
    kayenta = {
        "address": server.url,
        "application": "gu&est",
        "canaryConfigName": "wanted",
        "metricsAccountName": "metrics acc",
        "configurationAccountName": "config/acc",
        "storageAccountName": "storage?acc",
        "threshold": {"pass": 90, "marginal": 75},
        "scopes": [{"name": "default", "controlScope": control, "experimentScope": experiment}],
        **config,
    }
    interval = kayenta.pop("interval", "5m")
    return metric_of({"kayenta": kayenta}, interval=interval)


@pytest.fixture
def kayenta(server: FakeServer) -> FakeServer:
    server.says("/canaryConfig", '[{"id":"other-id","name":"other"},{"id":"id/1","name":"wanted"}]')
    server.says("/canary/id/1", '{"canaryExecutionId":"exec-1"}')
    return server


async def test_a_judgement_is_begun(kayenta: FakeServer) -> None:
    measurement = await measure(metric(kayenta, FIXED, {**FIXED, "scope": "canary"}))
    assert measurement == Measurement(
        phase="Running",
        started_at=STARTED,
        metadata={"canaryExecutionId": "exec-1"},
        resume_at=STARTED + timedelta(seconds=15),
    )
    lookup, begun = kayenta.asked
    assert (lookup.method, lookup.path) == ("GET", "/canaryConfig")
    assert lookup.query == {"application": "gu&est", "configurationAccountName": "storage?acc"}
    assert (begun.method, begun.headers["Content-Type"]) == ("POST", "application/json")
    assert begun.query == {
        "application": "gu&est",
        "metricsAccountName": "metrics acc",
        "configurationAccountName": "config/acc",
        "storageAccountName": "storage?acc",
    }
    side = {
        "scope": "app",
        "location": "eu",
        "step": 60,
        "start": "2026-02-01T00:00:00Z",
        "end": "2026-02-01T01:00:00Z",
    }
    assert json.loads(begun.body) == {
        "scopes": {"default": {"controlScope": side, "experimentScope": {**side, "scope": "canary"}}},
        "thresholds": {"pass": 90, "marginal": 75},
    }


async def test_a_scope_without_times_covers_the_interval(kayenta: FakeServer) -> None:
    await measure(metric(kayenta))
    scope = json.loads(kayenta.asked[1].body)["scopes"]["default"]
    for side in ("controlScope", "experimentScope"):
        assert (scope[side]["start"], scope[side]["end"]) == ("2026-03-01T11:55:00Z", "2026-03-01T12:00:00Z")


@pytest.mark.parametrize(
    ("begun", "start"),
    [
        (datetime(2019, 3, 29, 1, 8, 34, tzinfo=UTC), "2019-03-29T01:08:34Z"),
        (None, "2026-03-01T12:00:00Z"),
    ],
)
async def test_with_lookback_it_covers_the_whole_run(kayenta: FakeServer, begun: datetime | None, start: str) -> None:
    async with context_for() as context:
        run = msgspec.structs.replace(RUN, status=AnalysisRunStatus(started_at=begun))
        wanted = metric(kayenta, lookback=True, interval="")
        provider = await build_provider(wanted, dataclasses.replace(context, run=run))
        await provider.run()
    scope = json.loads(kayenta.asked[1].body)["scopes"]["default"]
    assert scope["controlScope"]["start"] == start
    assert scope["experimentScope"]["end"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("control", "experiment", "config", "message"),
    [
        (
            {**SIDE, "start": "x"},
            SIDE,
            {},
            "controlScope.start and experimentScope.start must both be set or be empty",
        ),
        (SIDE, {**SIDE, "end": "x"}, {}, "controlScope.end and experimentScope.end must both be set or be empty"),
        (SIDE, SIDE, {"interval": ""}, 'Invalid duration "": time: invalid duration ""'),
    ],
)
async def test_scopes_that_make_no_sense_are_never_judged(
    kayenta: FakeServer, control: Any, experiment: Any, config: dict[str, str], message: str
) -> None:
    measurement = await measure(metric(kayenta, control, experiment, **config))
    assert (measurement.phase, measurement.message) == ("Error", message)
    assert [asked.method for asked in kayenta.asked] == ["GET"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("", 500, "Invalid Response: HTTP 500"),
        ("[]", 200, "Canary config not found"),
        ('[{"id":"1","name":"other"}]', 200, "Canary config not found"),
        ("{}", 200, "json: the answer is no list of configurations"),
        ("<html>", 200, "invalid character '<' looking for beginning of value"),
    ],
)
async def test_without_its_configuration_nothing_is_judged(
    server: FakeServer, body: str, status: int, message: str
) -> None:
    server.says("/canaryConfig", body, status=status)
    measurement = await measure(metric(server))
    assert (measurement.phase, measurement.message) == ("Error", message)
    assert {asked.method for asked in server.asked} == {"GET"}


async def test_the_configuration_may_be_in_the_account_for_configurations(kayenta: FakeServer) -> None:
    async def by_account(request: web.Request) -> web.Response:
        is_there = request.query["configurationAccountName"] == "config/acc"
        return web.Response(text='[{"id":"id/1","name":"wanted"}]' if is_there else "[]")

    kayenta.answers["/canaryConfig"] = by_account
    assert (await measure(metric(kayenta))).phase == "Running"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("", 500, "Invalid Response"),
        ('{"canaryExecutionId":""}', 200, "Invalid canaryExecutionId"),
        ("{}", 200, "Invalid canaryExecutionId"),
        ("<html>", 200, "invalid character '<' looking for beginning of value"),
    ],
)
async def test_a_judgement_that_does_not_begin_is_an_error(
    kayenta: FakeServer, body: str, status: int, message: str
) -> None:
    kayenta.says("/canary/id/1", body, status=status)
    measurement = await measure(metric(kayenta))
    assert (measurement.phase, measurement.message) == ("Error", message)


# ---- Looking after it -----------------------------------------------------------------------------------------------

BEGUN = Measurement(
    phase="Running",
    started_at=STARTED - timedelta(minutes=1),
    metadata={"canaryExecutionId": "exec/1"},
    resume_at=STARTED,
)


async def resume(server: FakeServer, body: str, status: int = 200) -> Measurement:
    server.says("/canary/exec/1", body, status=status)
    async with context_for() as context:
        provider: Provider = await build_provider(metric(server), context)
        try:
            return await provider.resume(BEGUN)
        except ProviderError as err:
            return errored(str(err), BEGUN.started_at, NOW, BEGUN)


def judged(score: Any) -> str:
    return json.dumps({"complete": True, "result": {"judgeResult": {"score": {"score": score}}}})


@pytest.mark.parametrize(
    ("score", "phase", "value"),
    [
        (100, "Successful", "100"),
        (90.0, "Successful", "90"),
        (89.9, "Inconclusive", "89"),
        (75, "Inconclusive", "75"),
        (74.99, "Failed", "74"),
        (60, "Failed", "60"),
        (0, "Failed", "0"),
    ],
)
async def test_the_score_decides(server: FakeServer, score: float, phase: str, value: str) -> None:
    measurement = await resume(server, judged(score))
    assert (measurement.phase, measurement.value) == (phase, value)
    assert (measurement.started_at, measurement.finished_at) == (BEGUN.started_at, STARTED)
    assert measurement.resume_at is None
    assert measurement.metadata == BEGUN.metadata


async def test_an_unfinished_judgement_is_looked_at_again(server: FakeServer) -> None:
    measurement = await resume(server, '{"complete":false}')
    assert measurement == msgspec.structs.replace(BEGUN, resume_at=STARTED + timedelta(seconds=15))


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("", 500, "Invalid Response"),
        ("{}", 200, "Missing Complete Status"),
        ('{"complete":"yes"}', 200, '.complete accessor error: "yes" is of the type string, expected bool'),
        ('{"complete":true}', 200, "Missing Score"),
        ('{"complete":true,"result":{"judgeResult":null}}', 200, "Missing Score"),
        (judged("90"), 200, "Missing Score"),
        ("<html>", 200, "invalid character '<' looking for beginning of value"),
    ],
)
async def test_a_judgement_without_a_score_is_an_error(
    server: FakeServer, body: str, status: int, message: str
) -> None:
    measurement = await resume(server, body, status)
    assert (measurement.phase, measurement.message, measurement.value) == ("Error", message, "")
    assert measurement.metadata == BEGUN.metadata


async def test_a_judgement_in_flight_is_left_alone_when_the_run_ends(server: FakeServer) -> None:
    async with context_for() as context:
        provider = await build_provider(metric(server), context)
        measurement = await provider.terminate(BEGUN)
        await provider.collect_garbage(1)
        assert provider.metadata() == {}
    assert (measurement.phase, measurement.finished_at, measurement.resume_at) == ("Inconclusive", STARTED, None)
    assert server.asked == []
