"""Label selectors, in objects and in queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.meta import LabelSelector, LabelSelectorRequirement
from prograde.api.selectors import (
    EVERYTHING,
    InvalidSelector,
    Requirement,
    Selector,
    compile_selector,
    format_selector,
    labels_as_text,
    parse_selector,
    selector_matches,
    selector_with_label,
)

LABELS = {"app": "shop", "tier": "web", "size": "5", "empty": ""}


def expression(key: str, operator: str, *values: str) -> LabelSelectorRequirement:
    return LabelSelectorRequirement(key=key, operator=operator, values=values)


@pytest.mark.parametrize(
    ("query", "is_match"),
    [
        ("", True),
        ("app=shop", True),
        ("app==shop", True),
        ("app=other", False),
        ("absent=", False),
        ("empty=", True),
        ("app!=other", True),
        ("app!=shop", False),
        ("absent!=x", True),
        ("app in (shop, cart)", True),
        ("app in (cart)", False),
        ("absent in (x)", False),
        ("empty in (x,)", True),
        ("app notin (cart)", True),
        ("app notin (shop,cart)", False),
        ("absent notin (x)", True),
        ("app", True),
        ("absent", False),
        ("!absent", True),
        ("! app", False),
        ("size>4", True),
        ("size>5", False),
        ("size<6", True),
        ("size < 5", False),
        ("app>1", False),
        ("absent<1", False),
        ("app=shop,tier=web", True),
        ("app=shop,tier=db", False),
        (" app = shop , !absent ", True),
    ],
)
def test_a_query_selects(query, is_match):
    assert parse_selector(query).matches(LABELS) is is_match


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a,", "found '', expected: identifier after ','"),
        ("a in x", "found 'x', expected: '('"),
        ("a in (x", "found '', expected: ',' or ')'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a>b", "the value must be an integer"),
        ("-a=b", "name part must consist of alphanumeric characters"),
        ("x/y/z", "a qualified name must consist of"),
        ("a=-b", "a valid label must be an empty string or consist of"),
        (f"a={'x' * 64}", "must be no more than 63 characters"),
        ("!", "found '', expected: !, identifier, or 'end of string'"),
    ],
)
def test_a_malformed_query_says_what_was_expected(query, message):
    with pytest.raises(InvalidSelector) as caught:
        parse_selector(query)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("selector", "is_match"),
    [
        pytest.param(None, False, id="none selects nothing"),
        pytest.param(LabelSelector(), True, id="empty selects everything"),
        pytest.param(LabelSelector(match_labels={"app": "shop"}), True, id="label"),
        pytest.param(LabelSelector(match_labels={"app": "shop", "x": "y"}), False, id="all labels must match"),
        pytest.param(LabelSelector(match_expressions=(expression("app", "In", "shop"),)), True, id="In"),
        pytest.param(LabelSelector(match_expressions=(expression("app", "NotIn", "shop"),)), False, id="NotIn"),
        pytest.param(LabelSelector(match_expressions=(expression("app", "Exists"),)), True, id="Exists"),
        pytest.param(LabelSelector(match_expressions=(expression("app", "DoesNotExist"),)), False, id="DoesNotExist"),
        pytest.param(
            LabelSelector(match_labels={"app": "shop"}, match_expressions=(expression("tier", "In", "db"),)),
            False,
            id="both parts must match",
        ),
    ],
)
def test_a_selector_of_an_object_selects(selector, is_match):
    assert selector_matches(selector, LABELS) is is_match
    if selector is not None:
        assert compile_selector(selector).matches(LABELS) is is_match


@pytest.mark.parametrize(
    "bad",
    [
        expression("a", "Equals", "b"),
        expression("a", "In"),
        expression("a", "Exists", "b"),
        expression("a b", "Exists"),
        expression("a", "In", "b c"),
    ],
)
def test_a_malformed_expression_cannot_be_compiled(bad):
    with pytest.raises(InvalidSelector):
        compile_selector(LabelSelector(match_expressions=(bad,)))


def test_an_unknown_operator_is_an_error_even_when_only_asked_for_a_match():
    with pytest.raises(InvalidSelector, match='"Equals" is not a valid label selector operator'):
        selector_matches(LabelSelector(match_expressions=(expression("a", "Equals", "b"),)), {})


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, "<none>"),
        (LabelSelector(), "<none>"),
        (LabelSelector(match_labels={"k2": "v2", "k": "v"}), "k=v,k2=v2"),
        (
            LabelSelector(
                match_labels={"z": "1"},
                match_expressions=(
                    expression("a", "In", "y", "x"),
                    expression("b", "NotIn", "x"),
                    expression("c", "Exists"),
                    expression("d", "DoesNotExist"),
                ),
            ),
            "a in (x,y),b notin (x),c,!d,z=1",
        ),
        (LabelSelector(match_expressions=(expression("a", "Equals"),)), "<error>"),
    ],
)
def test_a_selector_is_written_sorted_as_a_query(selector, text):
    assert format_selector(selector) == text


def test_labels_are_written_as_a_query_for_them():
    assert labels_as_text({"b": "2", "a": "1"}) == "a=1,b=2"
    assert labels_as_text({}) == "<none>"


def test_a_replica_sets_selector_is_the_rollouts_with_the_hash():
    selector = LabelSelector(match_labels={"app": "shop"}, match_expressions=(expression("a", "Exists"),))
    assert selector_with_label(selector, "hash", "abc") == LabelSelector(
        match_labels={"app": "shop", "hash": "abc"}, match_expressions=selector.match_expressions
    )
    assert selector.match_labels == {"app": "shop"}


words = st.text("abcxyz019", min_size=1, max_size=5)
requirements = st.one_of(
    st.builds(Requirement, words, st.sampled_from(["=", "!="]), st.tuples(words)),
    st.builds(Requirement, words, st.sampled_from(["in", "notin"]), st.lists(words, min_size=1).map(tuple)),
    st.builds(Requirement, words, st.sampled_from(["exists", "!"])),
)


@given(st.lists(requirements), st.dictionaries(words, words))
def test_a_written_selector_reads_back_and_selects_the_same(parts, labels):
    selector = Selector(tuple(parts))
    again = parse_selector(str(selector))
    assert again.matches(labels) == selector.matches(labels)
    assert str(parse_selector(str(again))) == str(again)


def test_everything_is_the_empty_query():
    assert parse_selector("") == EVERYTHING
    assert str(EVERYTHING) == ""
