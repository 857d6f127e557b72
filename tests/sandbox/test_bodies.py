from typing import Any

import pytest

from prograde.sandbox.bodies import BODY_BYTES_MAX, decode_object, decode_options, decode_patch
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind

CUSTOM = Kind(group="e.io", version="v1", kind="Thing", plural="things", is_custom=True)
BUILTIN = Kind(group="", version="v1", kind="ConfigMap", plural="configmaps")


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "application/json; charset=utf-8", "Application/JSON"]
)
def test_json_is_what_is_meant_when_nothing_is_said(content_type: str) -> None:
    assert decode_object(b'{"a": 1.0, "b": 1}', content_type, CUSTOM) == ({"a": 1.0, "b": 1}, ())


def test_yaml_is_read_like_a_manifest() -> None:
    assert decode_object(b"a: 2020-01-01\nb: [1]\n", "application/yaml", CUSTOM) == ({"a": "2020-01-01", "b": [1]}, ())


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (b'{"a":1,"a":2}', ("a",)),
        (b'{"s":{"b":1,"c":[{"d":1,"d":2}],"b":2},"s":{}}', ("s.c[0].d", "s.b", "s")),
        (b'{"a" : 1, "b" :2}', ()),
        (b'{"text":"x\\":y","more":"{\\"k\\":1}"}', ()),
    ],
)
def test_keys_that_come_twice_are_found_with_their_path(text: bytes, paths: tuple[str, ...]) -> None:
    assert decode_object(text, "", CUSTOM)[1] == paths


@pytest.mark.parametrize(
    ("body", "content_type", "kind", "code"),
    [
        (b"{", "", CUSTOM, 400),
        (b"[]", "", CUSTOM, 400),
        (b"null", "", CUSTOM, 400),
        (b"3", "", CUSTOM, 400),
        (b"true", "", CUSTOM, 400),
        (b"a: [", "application/yaml", CUSTOM, 400),
        (b"a: 1\n---\nb: 2", "application/yaml", CUSTOM, 400),
        (b"", "application/yaml", CUSTOM, 400),
        (b"nope", "application/vnd.kubernetes.protobuf", BUILTIN, 400),
        (b"k8s\0", "application/vnd.kubernetes.protobuf", CUSTOM, 415),
        (b"{}", "text/plain", CUSTOM, 415),
        (b"x" * (BODY_BYTES_MAX + 1), "", CUSTOM, 413),
        (b"[" * 200_000, "", CUSTOM, 400),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_code(body: bytes, content_type: str, kind: Kind, code: int) -> None:
    with pytest.raises(StatusError) as raised:
        decode_object(body, content_type, kind)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json-patch+json", b"[]", ("json", [], ())),
        ("application/merge-patch+json", b'{"a":null}', ("merge", {"a": None}, ())),
        ("application/strategic-merge-patch+json", b"{}", ("strategic", {}, ())),
        ("application/apply-patch+yaml", b'{"a":1}', ("apply", {"a": 1}, ())),
        ("application/apply-patch+yaml", b"a: 1", ("apply", {"a": 1}, ())),
    ],
)
def test_patches_are_known_by_their_content_type(content_type: str, body: bytes, expected: Any) -> None:
    assert decode_patch(body, content_type, BUILTIN) == expected


def test_a_malformed_patch_is_a_bad_request() -> None:
    with pytest.raises(StatusError, match="error decoding patch: ") as raised:
        decode_patch(b"{", "application/merge-patch+json", CUSTOM)
    assert raised.value.code == 400


def test_delete_options_are_optional() -> None:
    assert decode_options(b"", "") is None
    assert decode_options(b' {"gracePeriodSeconds":0}', "application/json") == {"gracePeriodSeconds": 0}
    with pytest.raises(StatusError, match="must be of type DeleteOptions"):
        decode_options(b"[]", "")
