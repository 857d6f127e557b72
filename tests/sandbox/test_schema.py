"""Structural schemas: prune, default, validate, in the API server's words."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.crd import custom_resource_definition
from prograde.sandbox.errors import StatusError
from prograde.sandbox.schema import OPEN, Schema, copy_json, strict_error

STRING = {"type": "string"}
INTEGER = {"type": "integer"}
INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}


def schema_with(**properties: Any) -> Schema:
    """Return the schema of an object whose spec has these properties."""
    return Schema({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


def widget(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def rollout_schema() -> Schema:
    definition = custom_resource_definition("Rollout")
    return Schema(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


# -------------------------------------------------------------------------------------------------------- pruning


def test_unknown_fields_are_removed_and_named_by_their_path() -> None:
    schema = schema_with(a=STRING, list={"type": "array", "items": {"type": "object", "properties": {"b": STRING}}})
    result = schema.process(widget(a="x", foo=1, list=[{"b": "y"}, {"b": "z", "bar": {}}]), strictness="Strict")
    assert result.obj["spec"] == {"a": "x", "list": [{"b": "y"}, {"b": "z"}]}
    assert result.unknown_fields == ["spec.foo", "spec.list[1].bar"]
    assert result.causes == []


def test_unknown_fields_are_removed_without_a_word_when_validation_is_off() -> None:
    result = schema_with(a=STRING).process(widget(foo=1), strictness="Ignore")
    assert result.obj["spec"] == {}
    assert result.unknown_fields == []


def test_a_node_that_preserves_unknown_fields_keeps_them_but_prunes_what_it_declares() -> None:
    open_node = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"known": {"type": "object", "properties": {"a": STRING}}},
    }
    result = schema_with(open=open_node).process(
        widget(open={"extra": {"deep": [1.0, None]}, "known": {"a": "x", "b": "y"}}), strictness="Strict"
    )
    assert result.obj["spec"]["open"] == {"extra": {"deep": [1.0, None]}, "known": {"a": "x"}}
    assert isinstance(result.obj["spec"]["open"]["extra"]["deep"][0], float)
    assert result.unknown_fields == ["spec.open.known.b"]


def test_additional_properties_are_processed_by_their_schema() -> None:
    values = {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": STRING}}}
    result = schema_with(map=values).process(widget(map={"any": {"a": "x", "b": 1}}), strictness="Warn")
    assert result.obj["spec"]["map"] == {"any": {"a": "x"}}
    assert result.unknown_fields == ["spec.map.any.b"]


def test_additional_properties_true_keeps_everything() -> None:
    result = schema_with(map={"type": "object", "additionalProperties": True}).process(widget(map={"a": {"b": 1}}))
    assert result.obj["spec"]["map"] == {"a": {"b": 1}}


def test_an_embedded_resource_keeps_its_type_and_metadata() -> None:
    embedded = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"spec": {"type": "object", "properties": {"a": STRING}}},
    }
    inner = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n", "foo": 1}, "spec": {"a": "x"}, "other": 1}
    result = schema_with(template=embedded).process(widget(template=inner), strictness="Strict")
    assert result.obj["spec"]["template"] == {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {"name": "n"},
        "spec": {"a": "x"},
    }
    assert result.unknown_fields == ["spec.template.metadata.foo", "spec.template.other"]


def test_the_root_keeps_type_and_metadata_although_its_schema_does_not_mention_them() -> None:
    result = Schema({"type": "object"}).process({**widget(), "extra": 1}, strictness="Strict")
    assert result.obj == {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    assert result.unknown_fields == ["spec", "extra"]


def test_an_open_schema_keeps_everything() -> None:
    assert Schema(OPEN).process(widget(a={"b": [None]})).obj == widget(a={"b": [None]})


def test_empty_maps_lists_and_the_order_of_keys_survive() -> None:
    schema = schema_with(z={"type": "object"}, a={"type": "array", "items": STRING}, m=STRING)
    assert list(schema.process(widget(z={}, m="", a=[])).obj["spec"].items()) == [("z", {}), ("m", ""), ("a", [])]


def test_the_result_shares_nothing_with_the_input() -> None:
    schema = schema_with(
        open={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        any={"x-kubernetes-preserve-unknown-fields": True},
        list={"type": "array", "items": {"type": "object", "default": {}, "properties": {"d": {"type": "object"}}}},
        filled={"type": "object", "default": {"a": {}}, "x-kubernetes-preserve-unknown-fields": True},
    )
    obj = widget(open={"a": {"b": []}}, any=[{}], list=[{"d": {}}])
    before = copy.deepcopy(obj)
    for _ in range(2):
        processed = schema.process(obj).obj
        assert processed["spec"]["filled"] == {"a": {}}
        processed["spec"]["open"]["a"]["b"].append(1)
        processed["spec"]["any"][0]["x"] = 1
        processed["spec"]["list"][0]["d"]["x"] = 1
        processed["spec"]["filled"]["a"]["x"] = 1
        processed["metadata"]["name"] = "changed"
    assert obj == before


# ------------------------------------------------------------------------------------------------------ defaulting


@pytest.mark.parametrize(
    ("property_schema", "spec", "expected"),
    [
        pytest.param({"type": "string", "default": "TCP"}, {}, {"p": "TCP"}, id="absent gets the default"),
        pytest.param({"type": "string", "default": "TCP"}, {"p": "UDP"}, {"p": "UDP"}, id="present stays"),
        pytest.param({"type": "string", "default": "TCP"}, {"p": ""}, {"p": ""}, id="empty is present"),
        pytest.param({"type": "string", "default": "TCP"}, {"p": None}, {"p": "TCP"}, id="null gets the default"),
        pytest.param({"type": "string"}, {"p": None}, {}, id="null without default is dropped"),
        pytest.param({"type": "string", "nullable": True}, {"p": None}, {"p": None}, id="nullable null stays"),
        pytest.param(
            {"type": "string", "nullable": True, "default": "x"}, {"p": None}, {"p": None}, id="nullable beats default"
        ),
        pytest.param({"type": "object", "nullable": True}, {"p": None}, {"p": None}, id="nullable object"),
        pytest.param(
            {"type": "array", "nullable": True, "items": STRING}, {"p": None}, {"p": None}, id="nullable list"
        ),
        pytest.param(
            {"type": "object", "properties": {"q": {"type": "string", "default": "x"}}},
            {},
            {},
            id="defaults do not create their parents",
        ),
        pytest.param(
            {"type": "object", "default": {}, "properties": {"q": {"type": "string", "default": "x"}}},
            {},
            {"p": {"q": "x"}},
            id="a default is defaulted in turn",
        ),
        pytest.param(
            {"type": "array", "items": {"type": "object", "properties": {"q": {"type": "integer", "default": 1}}}},
            {"p": [{}, {"q": 2}]},
            {"p": [{"q": 1}, {"q": 2}]},
            id="in items",
        ),
        pytest.param(
            {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"q": {"type": "boolean", "default": False}}},
            },
            {"p": {"any": {}}},
            {"p": {"any": {"q": False}}},
            id="in additional properties",
        ),
    ],
)
def test_defaults_fill_what_is_absent(property_schema: Any, spec: Any, expected: Any) -> None:
    result = schema_with(p=property_schema).process(widget(**spec))
    assert result.obj["spec"] == expected
    assert result.causes == []


# ------------------------------------------------------------------------------------------------------ validation


@pytest.mark.parametrize(
    ("property_schema", "value", "reason", "message"),
    [
        pytest.param(
            INTEGER,
            "string",
            "TypeInvalid",
            'Invalid value: "string": spec.p in body must be of type integer: "string"',
            id="wrong type",
        ),
        pytest.param(
            STRING, 1, "TypeInvalid", 'Invalid value: "integer": spec.p in body must be of type string: "integer"'
        ),
        pytest.param(
            {"type": "boolean"},
            "true",
            "TypeInvalid",
            'Invalid value: "string": spec.p in body must be of type boolean: "string"',
        ),
        pytest.param(
            INTEGER, True, "TypeInvalid", 'Invalid value: "boolean": spec.p in body must be of type integer: "boolean"'
        ),
        pytest.param(
            INTEGER, 1.5, "TypeInvalid", 'Invalid value: "number": spec.p in body must be of type integer: "number"'
        ),
        pytest.param(
            {"type": "object"},
            [],
            "TypeInvalid",
            'Invalid value: "array": spec.p in body must be of type object: "array"',
        ),
        pytest.param(
            {"type": "array", "items": STRING},
            {},
            "TypeInvalid",
            'Invalid value: "object": spec.p in body must be of type array: "object"',
        ),
        pytest.param(
            INT_OR_STRING,
            0.5,
            "TypeInvalid",
            'Invalid value: "number": spec.p in body must be of type integer,string: "number"',
        ),
        pytest.param(
            {"type": "string", "enum": ["a", "b"]},
            "q",
            "NotSupported",
            'Unsupported value: "q": supported values: "a", "b"',
        ),
        pytest.param(
            {"type": "integer", "minimum": 0},
            -1,
            "Invalid",
            "Invalid value: -1: spec.p in body should be greater than or equal to 0",
        ),
        pytest.param(
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            0,
            "Invalid",
            "Invalid value: 0: spec.p in body should be greater than 0",
        ),
        pytest.param(
            {"type": "number", "maximum": 10},
            10.5,
            "Invalid",
            "Invalid value: 10.5: spec.p in body should be less than or equal to 10",
        ),
        pytest.param(
            {"type": "number", "maximum": 10, "exclusiveMaximum": True},
            10,
            "Invalid",
            "Invalid value: 10: spec.p in body should be less than 10",
        ),
        pytest.param(
            {"type": "integer", "multipleOf": 5},
            7,
            "Invalid",
            "Invalid value: 7: spec.p in body should be a multiple of 5",
        ),
        pytest.param(
            {"type": "integer", "format": "int32"},
            2**31,
            "Invalid",
            'Invalid value: 2147483648: spec.p in body must be of type int32: "2147483648"',
        ),
        pytest.param(
            {"type": "string", "minLength": 1},
            "",
            "Invalid",
            'Invalid value: "": spec.p in body should be at least 1 chars long',
        ),
        pytest.param({"type": "string", "maxLength": 2}, "abc", "TooLong", "Too long: may not be more than 2 bytes"),
        pytest.param(
            {"type": "string", "pattern": "^a+$"},
            "ab",
            "Invalid",
            "Invalid value: \"ab\": spec.p in body should match '^a+$'",
        ),
        pytest.param(
            {"type": "string", "pattern": "^a+$"},
            "a\n",
            "Invalid",
            "Invalid value: \"a\\n\": spec.p in body should match '^a+$'",
            id="the end is the very end",
        ),
        pytest.param(
            {"type": "string", "format": "date-time"},
            "yesterday",
            "Invalid",
            'Invalid value: "yesterday": spec.p in body must be of type date-time: "yesterday"',
        ),
        pytest.param(
            {"type": "array", "items": STRING, "minItems": 1},
            [],
            "Invalid",
            "Invalid value: 0: spec.p in body should have at least 1 items",
        ),
        pytest.param(
            {"type": "array", "items": STRING, "maxItems": 1},
            ["a", "b"],
            "TooMany",
            "Too many: 2: must have at most 1 items",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": STRING, "minProperties": 1},
            {},
            "Invalid",
            "Invalid value: 0: spec.p in body should have at least 1 properties",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": STRING, "maxProperties": 1},
            {"a": "", "b": ""},
            "TooMany",
            "Too many: 2: must have at most 1 items",
        ),
        pytest.param(
            {"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]},
            "c",
            "Invalid",
            'Invalid value: "": "spec.p" must validate at least one schema (anyOf)',
        ),
        pytest.param(
            {"type": "string", "oneOf": [{"pattern": "a"}, {"pattern": "b"}]},
            "c",
            "Invalid",
            'Invalid value: "": "spec.p" must validate one and only one schema (oneOf). Found none valid',
        ),
        pytest.param(
            {"type": "string", "oneOf": [{"pattern": "a"}, {"pattern": "b"}]},
            "ab",
            "Invalid",
            'Invalid value: "": "spec.p" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
        pytest.param(
            {"type": "integer", "allOf": [{"minimum": 1}, {"maximum": 3}]},
            4,
            "Invalid",
            'Invalid value: "": "spec.p" must validate all the schemas (allOf)',
        ),
        pytest.param(
            {"type": "string", "not": {"enum": ["a"]}},
            "a",
            "Invalid",
            'Invalid value: "": "spec.p" must not validate the schema (not)',
        ),
    ],
)
def test_a_violation_is_worded_as_the_api_server_does(
    property_schema: Any, value: Any, reason: str, message: str
) -> None:
    (cause,) = schema_with(p=property_schema).process(widget(p=value)).causes
    assert (cause.field, cause.reason, cause.message) == ("spec.p", f"FieldValue{reason}", message)


@pytest.mark.parametrize(
    ("property_schema", "value"),
    [
        (INT_OR_STRING, 1),
        (INT_OR_STRING, "25%"),
        ({"type": "integer", "format": "int64"}, 2**40),
        (INTEGER, 2.0),
        ({"type": "number"}, 1),
        ({"type": "number", "multipleOf": 0.1}, 0.3),
        ({"type": "string", "pattern": "a"}, "bab"),
        ({"type": "string", "pattern": "^[[:alpha:]]+$"}, "abc"),
        ({"type": "string", "pattern": "("}, "a pattern that cannot be read is not checked"),
        ({"type": "string", "format": "never-heard-of"}, "x"),
        ({"type": "string", "format": "date-time"}, "2026-11-25T10:00:00.123456Z"),
        ({"type": "string", "format": "duration"}, "1h30m"),
        ({"type": "string", "format": "byte"}, "YWJj"),
        ({"type": "string", "format": "ipv4"}, "10.0.0.1"),
        ({"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]}, "b"),
        ({"type": "integer", "enum": [1, 2]}, 2),
        ({"x-kubernetes-preserve-unknown-fields": True}, [None, {"a": 1}]),
    ],
)
def test_a_value_that_fits_stays_as_it_is(property_schema: Any, value: Any) -> None:
    result = schema_with(p=property_schema).process(widget(p=value))
    assert result.causes == []
    assert result.obj["spec"]["p"] == value
    assert type(result.obj["spec"]["p"]) is type(value)


@pytest.mark.parametrize(
    ("format_name", "value"),
    [
        ("date", "2026-13-01"),
        ("date", "20261101"),
        ("date-time", "2026-02-30T10:00:00Z"),
        ("date-time", "2026-11-25 10:00:00"),
        ("duration", "soon"),
        ("byte", "not base64!"),
        ("ipv4", "10.0.0.256"),
        ("ipv6", "10.0.0.1"),
        ("cidr", "10.0.0.0/33"),
        ("uuid", "123"),
        ("mac", "00:11:22"),
        ("hostname", "-a"),
        ("email", "nobody"),
    ],
)
def test_known_formats_are_checked(format_name: str, value: str) -> None:
    (cause,) = schema_with(p={"type": "string", "format": format_name}).process(widget(p=value)).causes
    assert f"must be of type {format_name}" in cause.message


def test_a_missing_required_field_is_reported_at_its_own_path() -> None:
    schema = schema_with(
        list={"type": "array", "items": {"type": "object", "required": ["a"], "properties": {"a": STRING}}}
    )
    (cause,) = schema.process(widget(list=[{"a": "x"}, {}])).causes
    assert (cause.reason, cause.message, cause.field) == ("FieldValueRequired", "Required value", "spec.list[1].a")


def test_a_default_satisfies_required() -> None:
    inner = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "default": "x"}}}
    assert schema_with(p=inner).process(widget(p={})).causes == []


def test_all_violations_are_reported_in_document_order() -> None:
    schema = schema_with(a=INTEGER, b=STRING, c={"type": "array", "items": INTEGER})
    causes = schema.process(widget(c=[1, "x"], a="y", b=2)).causes
    assert [cause.field for cause in causes] == ["spec.c[1]", "spec.a", "spec.b"]


@pytest.mark.parametrize(
    ("list_schema", "value", "message"),
    [
        pytest.param(
            {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
            ["a", "b", "a"],
            'Duplicate value: "a"',
            id="set",
        ),
        pytest.param(
            {"type": "array", "items": INTEGER, "uniqueItems": True}, [1, 2, 1], "Duplicate value: 1", id="uniqueItems"
        ),
        pytest.param(
            {
                "type": "array",
                "items": {"type": "object", "properties": {"port": INTEGER, "protocol": {**STRING, "default": "TCP"}}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
            },
            [{"port": 1}, {"port": 1, "protocol": "UDP"}, {"port": 1, "protocol": "TCP"}],
            'Duplicate value: {"port":1,"protocol":"TCP"}',
            id="map, after defaulting",
        ),
    ],
)
def test_items_that_cannot_be_told_apart_are_reported(list_schema: Any, value: Any, message: str) -> None:
    (cause,) = schema_with(p=list_schema).process(widget(p=value)).causes
    assert (cause.reason, cause.message, cause.field) == ("FieldValueDuplicate", message, "spec.p[2]")


def test_rules_inside_any_of_see_members_and_items() -> None:
    needs_one = {
        "type": "object",
        "properties": {"a": STRING, "b": {"type": "array", "items": INTEGER}},
        "anyOf": [
            {"required": ["a"]},
            {"properties": {"b": {"minItems": 1, "items": {"minimum": 1}}}, "required": ["b"]},
        ],
    }
    schema = schema_with(p=needs_one)
    assert schema.process(widget(p={"a": "x"})).causes == []
    assert schema.process(widget(p={"b": [1]})).causes == []
    for bad in ({}, {"b": []}, {"b": [0]}):
        assert len(schema.process(widget(p=bad)).causes) == 1


# ------------------------------------------------------------------------------------------------ metadata and typed


def test_metadata_of_the_wrong_type_cannot_be_decoded() -> None:
    obj = {**widget(), "metadata": {"name": "w", "labels": {"a": 1}}}
    with pytest.raises(StatusError) as caught:
        Schema(OPEN).process(obj)
    assert caught.value.code == 400
    assert caught.value.message == (
        'Widget in version "v1" cannot be handled as a Widget: json: cannot unmarshal number into Go struct field '
        "Widget.metadata.labels.a of type string"
    )


def test_what_a_schema_demands_of_metadata_is_validated() -> None:
    demands = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}
    schema = Schema({"type": "object", "properties": {"metadata": demands}})
    obj = {**widget(), "metadata": {"name": "long", "labels": {"kept": "yes"}}}
    result = schema.process(obj, strictness="Strict")
    assert [cause.field for cause in result.causes] == ["metadata.name"]
    assert result.obj["metadata"] == obj["metadata"]


TYPED = Schema(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["needed"],
                "properties": {
                    "replicas": {"type": "integer", "format": "int32"},
                    "share": INT_OR_STRING,
                    "cpu": {**INT_OR_STRING, "pattern": "^[0-9.]+m?$"},
                    "ports": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"port": INTEGER}},
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port"],
                    },
                },
            }
        },
    },
    is_typed=True,
)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"replicas": "3"}, "cannot unmarshal string into Go struct field Widget.spec.replicas of type int32"),
        ({"replicas": 1.5}, "cannot unmarshal number into Go struct field Widget.spec.replicas of type int32"),
        (
            {"replicas": 2**31},
            "cannot unmarshal number 2147483648 into Go struct field Widget.spec.replicas of type int32",
        ),
        ({"replicas": True}, "cannot unmarshal bool into Go struct field Widget.spec.replicas of type int32"),
        ({"share": 0.5}, "cannot unmarshal number into Go struct field Widget.spec.share of type intstr.IntOrString"),
        ({"ports": {}}, "cannot unmarshal object into Go struct field Widget.spec.ports of type []"),
    ],
)
def test_a_typed_kind_refuses_a_wrong_type_before_anything_else(spec: Any, problem: str) -> None:
    with pytest.raises(StatusError) as caught:
        TYPED.process(widget(**spec))
    assert caught.value.code == 400
    assert caught.value.message == f'Widget in version "v1" cannot be handled as a Widget: json: {problem}'


@pytest.mark.parametrize(
    ("written", "stored"), [(0.001, "1m"), ("1000m", "1"), (2, "2"), ("0.5", "500m"), ("1500m", "1500m")]
)
def test_quantities_of_a_typed_kind_are_stored_in_their_canonical_form(written: Any, stored: str) -> None:
    assert TYPED.process(widget(cpu=written)).obj["spec"]["cpu"] == stored


def test_what_is_no_quantity_cannot_be_decoded() -> None:
    with pytest.raises(StatusError) as caught:
        TYPED.process(widget(cpu="much"))
    assert caught.value.code == 400


def test_a_typed_kind_leaves_required_and_unique_to_its_strategy() -> None:
    result = TYPED.process(widget(ports=[{"port": 1}, {"port": 1}]))
    assert result.causes == []


# --------------------------------------------------------------------------------------------------- with the old one


def rollout(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "cart"},
        "spec": {"selector": {"matchLabels": {"app": "cart"}}, "template": {}, **spec},
    }


def test_the_selector_of_a_rollout_is_immutable() -> None:
    schema = rollout_schema()
    old = schema.process(rollout()).obj
    assert schema.process(rollout(replicas=2), old=old).causes == []
    (cause,) = schema.process(rollout(selector={"matchLabels": {"app": "other"}}), old=old).causes
    assert cause.field == "spec.selector"
    assert cause.reason == "FieldValueInvalid"
    assert cause.message == 'Invalid value: {"matchLabels":{"app":"other"}}: .spec.selector is immutable'


def test_a_selector_may_come_and_go_because_a_transition_needs_both_sides() -> None:
    schema = rollout_schema()
    without = rollout()
    del without["spec"]["selector"]
    assert schema.process(rollout(), old=without).causes == []
    assert schema.process(without, old=rollout()).causes == []


def test_transition_rules_pair_up_items_by_key_and_members_by_name() -> None:
    fixed = {
        "type": "string",
        "x-kubernetes-validations": [{"rule": "oldSelf  == self", "reason": "FieldValueForbidden"}],
    }
    schema = schema_with(
        items={
            "type": "array",
            "items": {"type": "object", "properties": {"name": STRING, "value": fixed}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        map={"type": "object", "additionalProperties": fixed},
    )
    old = widget(items=[{"name": "a", "value": "1"}, {"name": "b", "value": "2"}], map={"x": "1"})
    new = widget(items=[{"name": "b", "value": "3"}, {"name": "a", "value": "1"}], map={"x": "2", "y": "1"})
    causes = schema.process(new, old=old).causes
    assert [(cause.field, cause.message) for cause in causes] == [
        ("spec.items[0].value", "Forbidden: failed rule: oldSelf  == self"),
        ("spec.map.x", "Forbidden: failed rule: oldSelf  == self"),
    ]


def test_a_rule_may_report_at_a_field_below_it() -> None:
    rule = {"rule": "self == oldSelf", "message": "is fixed", "fieldPath": ".a"}
    schema = schema_with(p={"type": "object", "properties": {"a": STRING}, "x-kubernetes-validations": [rule]})
    (cause,) = schema.process(widget(p={"a": "x"}), old=widget(p={"a": "y"})).causes
    assert (cause.field, cause.message) == ("spec.p.a", 'Invalid value: {"a":"x"}: is fixed')


def test_a_rule_of_another_form_is_skipped_with_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    rule = {"rule": "self.size() > 3", "message": "too short"}
    schema = schema_with(p={"type": "string", "x-kubernetes-validations": [rule]})
    for _ in range(2):
        assert schema.process(widget(p="a"), old=widget(p="b")).causes == []
    assert [record.getMessage() for record in caplog.records] == [
        "rule 'self.size() > 3' at spec.p is not evaluated here"
    ]


def test_a_stricter_schema_does_not_lock_objects_that_were_valid_before() -> None:
    schema = schema_with(
        a={"type": "integer", "maximum": 3},
        b=STRING,
        list={"type": "array", "items": {"type": "integer", "maximum": 3}},
        need={"type": "object", "required": ["x"], "properties": {"x": STRING, "y": STRING}},
    )
    old = widget(a=5, list=[5], need={})
    assert schema.process(widget(a=5, b="new", list=[5], need={}), old=old).causes == []
    causes = schema.process(widget(a=6, list=[5, 6], need={"y": "z"}), old=old).causes
    assert [cause.field for cause in causes] == ["spec.a", "spec.list[0]", "spec.list[1]", "spec.need.x"]


# ----------------------------------------------------------------------------------------------------------- rollouts


def test_a_rollout_keeps_the_spelling_of_quantities() -> None:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": 0.001, "memory": "1024Mi"}}}
    obj = rollout(template={"spec": {"containers": [container]}})
    assert rollout_schema().process(obj).obj["spec"]["template"]["spec"]["containers"][0] == container


def test_a_rollout_gets_the_protocol_of_its_ports_and_no_other_default_of_a_pod() -> None:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}
    obj = rollout(template={"spec": {"containers": [container]}})
    processed = rollout_schema().process(obj).obj["spec"]["template"]["spec"]
    assert processed == {"containers": [{**container, "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}


@pytest.mark.parametrize(
    ("max_surge", "is_valid"), [("25%", True), (1, True), (0, True), (1.5, False), (True, False), ([], False)]
)
def test_a_rollouts_max_surge_is_an_integer_or_a_text(max_surge: Any, is_valid: bool) -> None:
    result = rollout_schema().process(rollout(strategy={"canary": {"maxSurge": max_surge}}))
    assert (result.causes == []) is is_valid


def test_a_rollouts_replicas_are_no_text() -> None:
    (cause,) = rollout_schema().process(rollout(replicas="3")).causes
    assert cause.field == "spec.replicas"
    assert cause.message == 'Invalid value: "string": spec.replicas in body must be of type integer: "string"'


# ---------------------------------------------------------------------------------------------------------- the rest


def test_strict_validation_names_every_problem() -> None:
    error = strict_error(widget(), ['unknown field "spec.foo"', 'unknown field "spec.bar"'])
    assert (error.code, error.reason) == (400, "BadRequest")
    assert error.message == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: '
        'unknown field "spec.foo", unknown field "spec.bar"'
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_a_copy_equals_its_original_and_shares_no_container(value: Any) -> None:
    copied = copy_json(value)
    assert copied == value
    if isinstance(value, dict | list):
        assert copied is not value


@given(st.dictionaries(st.sampled_from(["a", "list", "open", "other"]), json_values, max_size=4))
def test_processing_is_idempotent_whatever_comes(spec: dict[str, Any]) -> None:
    schema = schema_with(
        a={"type": "string", "default": "x"},
        list={"type": "array", "items": {"type": "object", "properties": {"q": {"type": "integer", "default": 1}}}},
        open={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    )
    once = schema.process(widget(**spec), strictness="Strict")
    twice = schema.process(once.obj, strictness="Strict")
    assert twice.obj == once.obj
    assert twice.unknown_fields == []
    assert twice.causes == once.causes
