"""From answers to error types: the reason decides, the code helps out, and the message names the call."""

import json
from typing import Any

import pytest
from tests.kube.fake_transport import refusal

from prograde.kube import errors
from prograde.kube.errors import ApiError, from_response
from prograde.kube.transport import Response


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (405, "MethodNotAllowed", errors.MethodNotAllowed),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Gone),
        (410, "Gone", errors.Gone),
        (413, "RequestEntityTooLarge", errors.TooLarge),
        (415, "UnsupportedMediaType", errors.UnsupportedMediaType),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (500, "ServerTimeout", errors.ServerTimeout),
        (503, "ServiceUnavailable", errors.ServiceUnavailable),
        (504, "Timeout", errors.ServerTimeout),
        (404, "", errors.NotFound),
        (409, "", errors.Conflict),
        (502, "", errors.ServerError),
        (418, "Teapot", ApiError),
    ],
)
def test_reason_and_code_give_the_type(code: int, reason: str, error: type[ApiError]) -> None:
    err = from_response(refusal(code, reason, "because"), call="get pods shop/a")
    assert type(err) is error
    assert (str(err), err.message, err.reason, err.code) == ("get pods shop/a: because", "because", reason, code)


@pytest.mark.parametrize(
    ("code", "body", "error", "message"),
    [
        (
            502,
            b"<html>\n <h1>Bad Gateway</h1></html>",
            errors.ServerError,
            "HTTP 502: <html> <h1>Bad Gateway</h1></html>",
        ),
        (404, b"404 page not found\n", errors.NotFound, "HTTP 404: 404 page not found"),
        (403, b"", errors.Forbidden, "the server answered HTTP 403"),
        (401, b"{}", errors.Unauthorized, "HTTP 401: {}"),
        (503, b"[1]", errors.ServiceUnavailable, "HTTP 503: [1]"),
        (500, b"\xff\xfe", errors.ServerError, "HTTP 500"),
        (301, b"", ApiError, "HTTP 301"),
    ],
)
def test_a_body_that_is_no_status_is_told_by_its_code(
    code: int, body: bytes, error: type[ApiError], message: str
) -> None:
    err = from_response(Response(status=code, body=body), call="list pods")
    assert type(err) is error
    assert message in str(err)


def test_a_long_page_is_quoted_in_part() -> None:
    err = from_response(Response(status=502, body=b"x" * 100_000), call="list pods")
    assert len(str(err)) < 300


def test_causes_of_an_invalid_object() -> None:
    causes = [
        {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"},
        {"reason": "FieldValueInvalid", "message": "Invalid value: -1", "field": "spec.replicas"},
    ]
    details = {"name": "x", "group": "argoproj.io", "kind": "Rollout", "causes": causes}
    err = from_response(refusal(422, "Invalid", "invalid", details=details), call="create rollouts")
    assert isinstance(err, errors.Invalid)
    assert [(cause.field, cause.reason) for cause in err.causes] == [
        ("spec.selector", "FieldValueRequired"),
        ("spec.replicas", "FieldValueInvalid"),
    ]
    assert err.has_cause("FieldValueInvalid")
    assert not err.has_cause("NamespaceTerminating")


def test_an_error_without_details_has_no_causes() -> None:
    err = from_response(refusal(500, "InternalError"), call="")
    assert err.causes == ()
    assert str(err) == "because"
    assert from_response(refusal(500, "InternalError", details={"causes": None}), call="").causes == ()


@pytest.mark.parametrize(
    ("headers", "details", "expected"),
    [
        pytest.param({"retry-after": "7"}, {}, 7.0, id="seconds"),
        pytest.param({"retry-after": " 0 "}, {}, 0.0, id="zero"),
        pytest.param({}, {"retryAfterSeconds": 3}, 3.0, id="only in the body"),
        pytest.param({"retry-after": "7"}, {"retryAfterSeconds": 3}, 7.0, id="the header wins"),
        pytest.param({}, {}, None, id="nothing"),
        pytest.param({"retry-after": "soon"}, {}, None, id="nonsense"),
        pytest.param({"retry-after": "-5"}, {}, None, id="negative"),
        pytest.param({"retry-after": "99999999"}, {}, 3600.0, id="absurdly long"),
        pytest.param(
            {"retry-after": "Wed, 25 Nov 2026 14:00:30 GMT", "date": "Wed, 25 Nov 2026 14:00:00 GMT"},
            {},
            30.0,
            id="date",
        ),
        pytest.param(
            {"retry-after": "Wed, 25 Nov 2026 13:00:00 GMT", "date": "Wed, 25 Nov 2026 14:00:00 GMT"},
            {},
            0.0,
            id="past",
        ),
        pytest.param({"retry-after": "Wed, 25 Nov 2026 14:00:30 GMT"}, {}, None, id="date without the server's clock"),
    ],
)
def test_retry_after(headers: dict[str, str], details: dict[str, Any], expected: float | None) -> None:
    body = {"kind": "Status", "status": "Failure", "message": "m", "reason": "TooManyRequests", "details": details}
    err = from_response(Response(status=429, headers=headers, body=json.dumps(body).encode()), call="")
    assert err.retry_after_seconds == expected


def test_an_expired_continue_token_brings_a_fresh_one() -> None:
    err = from_response(refusal(410, "Expired", metadata={"continue": "fresh"}), call="")
    assert isinstance(err, errors.Gone)
    assert err.continue_token == "fresh"
    bare = from_response(Response(status=410), call="")
    assert isinstance(bare, errors.Gone)
    assert bare.continue_token == ""


def test_unreachable_is_both_ours_and_an_os_error() -> None:
    err = errors.Unreachable("get pods: refused")
    assert isinstance(err, OSError)
    assert isinstance(err, errors.KubeError)
    assert str(err) == "get pods: refused"
