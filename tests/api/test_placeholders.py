"""Placeholders in the texts of metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.placeholders import UnresolvedPlaceholder, substitute, substitute_all

VALUES = {"args.a": "1", "args.dotted.na-me": "2", "args.braces": "{{args.a}}", "args.empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain }} text", "plain }} text"),
        ("{{args.a}}", "1"),
        ("{{ args.a\t}}{{args.dotted.na-me}}", "12"),
        ("x{{args.empty}}y", "xy"),
        ("{{args.braces}}", "{{args.a}}"),
        ("{{args.a}}}}", "1}}"),
    ],
)
def test_tags_are_replaced_once(text, expected):
    assert substitute(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{args.b}}", "failed to resolve {{args.b}}"),
        ("{{ args.b }}", "failed to resolve {{ args.b }}"),
        ("{{args.b}} {{args.c}} {{args.a}}", "failed to resolve {{args.c}}"),
        ("{{}}", "failed to resolve {{}}"),
        ("{{{args.a}}", "failed to resolve {{{args.a}}"),
        ('a "b" {{args.a', 'Cannot find end tag="}}" in the template="a \\"b\\" {{args.a" starting from "args.a"'),
    ],
)
def test_a_tag_that_cannot_be_filled_is_an_error(text, message):
    with pytest.raises(UnresolvedPlaceholder) as caught:
        substitute(text, VALUES)
    assert str(caught.value) == message


def test_every_text_of_a_json_value_is_substituted_keys_included():
    value = {"{{args.a}}": ["{{args.a}}", 5, None, True, {"k": "{{args.dotted.na-me}}"}]}
    assert substitute_all(value, VALUES) == {"1": ["1", 5, None, True, {"k": "2"}]}


@given(st.text("{}ab ", max_size=30).filter(lambda text: "{{" not in text), st.text("{}ab", max_size=9))
def test_only_what_stands_in_double_braces_changes(text, value):
    assert substitute(text, {}) == text
    assert substitute(f"{text} {{{{args.a}}}}", {"args.a": value}) == f"{text} {value}"
