"""JSONPath as Kubernetes' client library reads it."""

from typing import Any

import pytest

from prograde.templating.jsonpath import InvalidJsonPath, NotFound, parse_jsonpath

DOCUMENT: dict[str, Any] = {
    "ok": True,
    "n": 5.0,
    "none": None,
    "text": "hello",
    "a.b": 1.0,
    "data": {"value": 0.5, "list": [1.0, 2.0, 3.0], "empty": []},
    "items": [{"name": "x", "v": 1.0}, {"name": "y", "v": 2.0}, {"name": "z"}],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("{$.data.value}", [0.5]),
        ("{.data.value}", [0.5]),
        ("{@.data.value}", [0.5]),
        ("{$}", [DOCUMENT]),
        ("{}", [DOCUMENT]),
        ("$.data.value", ["$.data.value"]),
        ("x{$.n}", ["x", 5.0]),
        ("{.n} and {.ok}", [5.0, " and ", True]),
        ("", []),
        (r"{.a\.b}", [1.0]),
        ("{['text']}", ["hello"]),
        (r"{['a\.b']}", [1.0]),
        ("{.data['value']}", [0.5]),
        ("{['data.value']}", [0.5]),
        ("{.data.list[0]}", [1.0]),
        ("{.data.list[-1]}", [3.0]),
        ("{.data.list[*]}", [1.0, 2.0, 3.0]),
        ("{.data.list[0:2]}", [1.0, 2.0]),
        ("{.data.list[1:]}", [2.0, 3.0]),
        ("{.data.list[:-1]}", [1.0, 2.0]),
        ("{.data.list[::2]}", [1.0, 3.0]),
        ("{.data.list[0,2]}", [1.0, 3.0]),
        ("{.data.list[5:9]}", []),
        ("{['ok','n']}", [True, 5.0]),
        ("{.items[*].name}", ["x", "y", "z"]),
        ("{.items[*].v}", [1.0, 2.0]),
        ("{.data.*}", [0.5, [1.0, 2.0, 3.0], []]),
        ("{.data.list.*}", [1.0, 2.0, 3.0]),
        ("{..name}", ["x", "y", "z"]),
        ("{.items[?(@.name=='y')].v}", [2.0]),
        ('{.items[?(@.name == "y")].v}', [2.0]),
        ("{.items[?(@.v>1.0)].name}", ["y"]),
        ("{.items[?(@.v>=1)].name}", ["x", "y"]),
        ("{.items[?(@.v<2.0)].name}", ["x"]),
        ("{.items[?(@.v!=1.0)].name}", ["y"]),
        ("{.items[?(@.v)].name}", ["x", "y"]),
        ("{.items[?(@.name=='q')]}", []),
        ("{range .items[*]}{.name},{end}", ["x", ",", "y", ",", "z", ","]),
        ("{'text'}", ["text"]),
        ("{1}", [1]),
        ("{1.5}", [1.5]),
        ("{true}", [True]),
        ("{.none}", [None]),
        ("{ .n }", [5.0]),
    ],
)
def test_a_path_leads_to_values(path: str, found: list[Any]) -> None:
    assert parse_jsonpath(path).find(DOCUMENT) == found


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{.missing}", "missing is not found"),
        ("{.data.missing}", "missing is not found"),
        ("{.none.x}", "x is not found"),
        ("{.text.x}", "x is not found"),
        ("{..missing}", "missing is not found"),
        ("{.data.list[5]}", "array index out of bounds: index 5, length 3"),
        ("{.data.list[-9]}", "array index out of bounds: index -6, length 3"),
        ("{.data[0]}", "map[string]interface {} is not array or slice"),
        ("{.text[0]}", "string is not array or slice"),
        ("{.n[0]}", "float64 is not array or slice"),
        ("{.items[?(@.name>1.0)]}", "incompatible types for comparison"),
    ],
)
def test_what_is_not_there_is_said_so(path: str, message: str) -> None:
    with pytest.raises(NotFound) as caught:
        parse_jsonpath(path).find(DOCUMENT)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{.a", "unclosed action"),
        ("{", "unclosed action"),
        ("{#}", "unrecognized character in action: U+0023 '#'"),
        ('{["name"]}', 'invalid array index "name"'),
        ("{[x]}", "invalid array index x"),
        ("{[]}", "invalid array index "),
        ("{.a[0}", "unterminated array"),
        ("{.a[0:1:0]}", "step must be > 0"),
        ("{end}", "not in range, nothing to end"),
        ("{range .a}{.b}", "unclosed action"),
        ("{'a}", "unterminated quoted string: 'a}"),
        ("{.a[?(@.b]}", "unrecognized character in action: U+005D ']'"),
        ("{foo}", "unrecognized identifier foo"),
    ],
)
def test_what_is_no_path_is_said_so(path: str, message: str) -> None:
    with pytest.raises(InvalidJsonPath) as caught:
        parse_jsonpath(path)
    assert str(caught.value) == message
