"""Addresses, and the members of answers."""

from typing import Any

import pytest
from tests.providers.measuring import context_for

from prograde.providers.base import ProviderError
from prograde.providers.credentials import hidden
from prograde.providers.vendor import ask, check_url, excerpt, interval_seconds, list_at, member


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("://wrong.schema", 'parse "://wrong.schema": missing protocol scheme'),
        ("127.0.0.1:80/x", 'parse "127.0.0.1:80/x": first path segment in URL cannot contain colon'),
        ("http://h/%^&", 'parse "http://h/%^&": invalid URL escape "%^&"'),
        ("http://h/\x01", 'parse "http://h/\\x01": net/url: invalid control character in URL'),
        ("http://h:port/", 'parse "http://h:port/": '),
    ],
)
def test_an_address_that_is_none_is_named_with_what_is_wrong(url: str, message: str) -> None:
    with pytest.raises(ProviderError) as caught:
        check_url(url)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("url", ["http://u:s3cr3t@h/%^&", "http://u:s3cr3t@h:port/", "ftp://u:s3cr3t@h/"])
async def test_a_password_in_an_address_is_not_shown(url: str) -> None:
    async with context_for() as context:
        with pytest.raises(ProviderError) as caught:
            await ask(context, "GET", url, timeout_seconds=1)
    assert "//u:***@h" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "http://h:80/a%20b?c=%zz", "h/a:b", "ftp://h", "HTTPS://u:p@h", "http://[::1]:9/"])
def test_any_other_text_may_be_an_address(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(("url", "scheme"), [("bad://h", "bad"), ("h/x", ""), ("example.com:80", "example.com")])
async def test_only_http_is_spoken(url: str, scheme: str) -> None:
    async with context_for() as context:
        with pytest.raises(ProviderError) as caught:
            await ask(context, "POST", url, timeout_seconds=1)
    assert str(caught.value) == f'Post "{url}": unsupported protocol scheme "{scheme}"'


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"a": {"b": 1.0}}, ("a", "b"), 1.0),
        ({"A": {"B": 1.0}}, ("a", "b"), 1.0),
        ({"A": 1.0, "a": 2.0}, ("a",), 2.0),
        ({"a": None}, ("a", "b"), None),
        ({}, ("a", "b"), None),
        (None, ("a",), None),
    ],
)
def test_members_match_whatever_their_case(value: Any, path: tuple[str, ...], found: Any) -> None:
    assert member(value, *path) == found


def test_what_is_no_object_has_no_members() -> None:
    with pytest.raises(ProviderError, match="^json: cannot use array as an object at a$"):
        member({"a": []}, "a", "b")


def test_what_is_no_list_is_an_error() -> None:
    assert list_at({}, "a") == []
    with pytest.raises(ProviderError, match="^json: cannot use bool as a list at a$"):
        list_at({"a": True}, "a")


@pytest.mark.parametrize(("text", "seconds"), [("", 300), ("90s", 90), ("1500ms", 1)])
def test_an_interval_is_in_whole_seconds(text: str, seconds: int) -> None:
    assert interval_seconds(text) == seconds


def test_a_credential_inside_of_another_is_hidden_with_it() -> None:
    assert hidden("abcdef and abc, d", "abc", "abcdef", "") == "***** and *****, d"


def test_a_long_answer_is_cut() -> None:
    assert excerpt("x" * 1024) == "x" * 1024
    assert excerpt("x" * 1025) == "x" * 1024 + "..."
