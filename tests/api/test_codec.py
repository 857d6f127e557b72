"""JSON in and out: tolerance, raw parts, what is left out when written."""

import gc
import json
import typing
from datetime import UTC, datetime

import msgspec
import pytest

from prograde.api import analysis, experiment, meta, rollout, workloads
from prograde.api.codec import DecodeError, decode, decode_list, decode_object, encode, to_json, wire_fields
from prograde.api.meta import NO_RAW, Condition, ObjectMeta, WireStruct
from prograde.api.rollout import CanaryStep, Rollout, RolloutPause, RolloutSpec, RolloutStatus, StepPluginStatus
from prograde.api.workloads import Pod, ReplicaSet

TEMPLATE = b'{ "metadata" : {"labels":{"app":"shop"}} ,\n"spec":{"containers":[{"name":"a","image":"b", "x": 1.0}]}}'


def rollout_bytes(spec: bytes = b"{}") -> bytes:
    return b'{"metadata":{"namespace":"shop","name":"cart"},"spec":%s}' % spec


# --- Reading --------------------------------------------------------------------------------------------------


def test_unknown_fields_of_any_age_are_skipped():
    text = b'{"kind":"Rollout","spec":{"newField":{"a":[1]},"replicas":2},"status":{"later":true,"phase":"Healthy"}}'
    obj, problems = decode_object(text, Rollout)
    assert (obj.spec.replicas, obj.status.phase, problems) == (2, "Healthy", ())


@pytest.mark.parametrize(
    "field", ["replicas", "selector", "template", "workloadRef", "strategy", "restartAt", "paused"]
)
def test_null_is_absence(field):
    obj, problems = decode_object(rollout_bytes(b'{"%s":null,"minReadySeconds":3}' % field.encode()), Rollout)
    assert problems == ()
    assert obj.spec == RolloutSpec(min_ready_seconds=3)


def test_null_in_lists_and_maps_is_the_empty_value():
    spec = b'{"strategy":{"canary":{"steps":[null,{"setWeight":5}],"canaryMetadata":{"labels":{"a":null,"b":"c"}}}}}'
    obj, problems = decode_object(rollout_bytes(spec), Rollout)
    assert problems == ()
    canary = obj.spec.strategy.canary
    assert canary.steps == (CanaryStep(), CanaryStep(set_weight=5))
    assert canary.canary_metadata.labels == {"a": "", "b": "c"}


def test_a_field_of_the_wrong_type_is_left_out_and_named_and_all_others_are_kept():
    text = rollout_bytes(
        b'{"replicas":"3","minReadySeconds":7,"template":%s,"strategy":{"canary":{"maxSurge":true,"steps":'
        b'[{"setWeight":"x"},7,{"pause":{"duration":"10s"}}]}}}' % TEMPLATE
    )
    obj, problems = decode_object(text, Rollout)
    assert [str(problem) for problem in problems] == [
        "Rollout shop/cart: spec.replicas: expected int, got str",
        "Rollout shop/cart: spec.strategy.canary.steps[0].setWeight: expected int, got str",
        "Rollout shop/cart: spec.strategy.canary.steps[1]: expected object, got int",
        "Rollout shop/cart: spec.strategy.canary.maxSurge: expected int | str, got bool",
    ]
    assert obj.spec.replicas is None
    assert obj.spec.min_ready_seconds == 7
    assert bytes(obj.spec.template) == TEMPLATE
    assert obj.spec.strategy.canary.steps == (
        CanaryStep(),
        CanaryStep(),
        CanaryStep(pause=RolloutPause(duration="10s")),
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"metadata":{"name":"a","labels":{"x":1}}}', "metadata.labels.x"),
        (b'{"metadata":{"name":"a","labels":[]}}', "metadata.labels"),
        (b'{"metadata":{"name":"a"},"status":{"conditions":[{"type":5}]}}', "status.conditions[0].type"),
        (b'{"metadata":{"name":"a"},"status":{"abortedAt":"yesterday"}}', "status.abortedAt"),
        (b'{"metadata":{"name":"a"},"status":{"abortedAt":"2026-01-02T03:04:05"}}', "status.abortedAt"),
        (b'{"metadata":{"name":"a"},"status":{"HPAReplicas":1.5}}', "status.HPAReplicas"),
        (b'{"metadata":{"name":"a"},"status":{"observedGeneration":4}}', "status.observedGeneration"),
        (b'{"metadata":{"name":"a"},"spec":[]}', "spec"),
        (b'{"metadata":{"name":"a"},"spec":{"strategy":{"canary":{"trafficRouting":{"plugins":[]}}}}}',
         "spec.strategy.canary.trafficRouting.plugins"),
    ],
)  # fmt: skip
def test_the_path_of_a_wrong_value_is_exact(text, path):
    _, problems = decode_object(text, Rollout)
    assert [(problem.object_name, problem.path) for problem in problems] == [("Rollout a", path)]


@pytest.mark.parametrize(
    "text", [b"", b"[", b"{", b"nonsense", b'{"spec":}', b"[]", b"7", b"null", b'"x"', b'{"spec":{"replicas":"3"']
)
def test_what_is_no_json_object_is_an_error(text):
    with pytest.raises(DecodeError):
        decode(text, Rollout)


def test_json_nested_without_end_is_an_error_and_no_crash():
    with pytest.raises(DecodeError):
        decode(b'{"spec":' * 100_000, Rollout)


def test_one_broken_object_does_not_stop_a_list():
    items = [
        b'{"metadata":{"name":"good"}}',
        b'{"metadata":{"name":"bad"},"spec":{"replicas":{}}}',
        b"7",
        b'{"metadata":{"name":"last"}}',
    ]
    text = b'{"metadata":{"resourceVersion":"12","continue":"abc","remainingItemCount":3},"items":[%s]}'
    result = decode_list(text % b",".join(items), Rollout)
    assert [item.metadata.name for item in result.items] == ["good", "bad", "last"]
    assert [str(problem) for problem in result.problems] == [
        "Rollout bad: spec.replicas: expected int, got object",
        "Rollout: items[2]: not the JSON of a Rollout: expected object, got int",
    ]
    assert (result.metadata.resource_version, result.metadata.continue_, result.metadata.remaining_item_count) == (
        "12",
        "abc",
        3,
    )


@pytest.mark.parametrize("text", [b'{"items":[]}', b'{"items":null}', b"{}", b'{"metadata":{}}'])
def test_an_empty_list_is_fine(text):
    assert decode_list(text, Rollout).items == ()


@pytest.mark.parametrize("text", [b"", b"[]", b'{"items":{}}', b'{"items":[{]}', b'{"items":[{"spec":7},{]}'])
def test_what_is_no_list_is_an_error(text):
    with pytest.raises(DecodeError):
        decode_list(text, Rollout)


def test_a_template_comes_out_byte_for_byte_and_does_not_keep_the_list_alive():
    padding = b'{"metadata":{"name":"%s"}}' % (b"x" * 1_000_000)
    text = b'{"items":[%s,{"metadata":{"name":"a"},"spec":{"template":%s}}]}' % (padding, TEMPLATE)
    item = decode_list(text, ReplicaSet).items[1]
    assert bytes(item.spec.template) == TEMPLATE
    assert not [
        owner for owner in gc.get_referents(item.spec.template) if isinstance(owner, bytes) and len(owner) > 10_000
    ]
    assert encode(item.spec) == b'{"template":' + TEMPLATE + b"}"


@pytest.mark.parametrize("text", [b"{}", b'{"template":null}'])
def test_an_absent_template_has_one_form(text):
    assert decode(text, RolloutSpec).template is NO_RAW
    assert encode(decode(text, RolloutSpec)) == b"{}"


def test_managed_fields_and_other_fields_that_nobody_reads_are_not_kept():
    pod = decode(b'{"metadata":{"name":"a","managedFields":[{}]},"spec":{"volumes":[{}],"nodeName":"n"}}', Pod)
    assert encode(pod) == b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"nodeName":"n"}}'


def test_a_time_that_a_person_wrote_becomes_whole_seconds_in_utc():
    spec = decode(b'{"restartAt":"2026-01-02T03:04:05.7+02:00"}', RolloutSpec)
    assert spec.restart_at == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert encode(spec) == b'{"restartAt":"2026-01-02T01:04:05Z"}'


# --- Writing --------------------------------------------------------------------------------------------------


def test_a_whole_object_begins_with_api_version_and_kind():
    assert encode(Rollout(metadata=ObjectMeta(name="a"))) == (
        b'{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"a"},"spec":{}}'
    )
    assert encode(ReplicaSet()) == b'{"apiVersion":"apps/v1","kind":"ReplicaSet"}'
    assert to_json(ReplicaSet()) == {"apiVersion": "apps/v1", "kind": "ReplicaSet"}


def test_unset_fields_are_left_out_and_pointers_keep_their_zero():
    status = RolloutStatus(current_step_index=0, replicas=0, abort=False, stable_rs="abc", hpa_replicas=2)
    assert to_json(status) == {"currentStepIndex": 0, "stableRS": "abc", "HPAReplicas": 2}


def test_what_the_crd_requires_is_always_written():
    assert to_json(Condition()) == {"type": "", "status": "", "reason": "", "message": ""}
    assert to_json(rollout.TrafficWeights()) == {"canary": {"weight": 0}, "stable": {"weight": 0}}
    assert to_json(experiment.ExperimentTemplateStatus()) == {
        "name": "", "replicas": 0, "updatedReplicas": 0, "readyReplicas": 0, "availableReplicas": 0,
    }  # fmt: skip


def test_to_json_gives_the_json_values_that_encode_writes_lists_included():
    status = StepPluginStatus(index=1, name="a", operation="Run", status=msgspec.Raw(b'{"x": [1, null]}'))
    assert to_json(status) == json.loads(encode(status))
    assert to_json(CanaryStep(analysis=rollout.RolloutAnalysis(dry_run=(analysis.DryRun(metric_name="a"),)))) == {
        "analysis": {"dryRun": [{"metricName": "a"}]}
    }


# --- All types ------------------------------------------------------------------------------------------------

TYPES = sorted(
    {
        value
        for module in (analysis, experiment, meta, rollout, workloads)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, WireStruct) and value is not WireStruct
    },
    key=lambda type_: type_.__name__,
)


def full_value(type_: typing.Any) -> typing.Any:
    """Return a value of a wire type in which every field is set to something that is not its default."""
    if isinstance(type_, type) and issubclass(type_, WireStruct):
        return type_(**{attribute: full_value(field_type) for attribute, _, field_type in wire_fields(type_)})
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is tuple:
        return (full_value(arguments[0]),)
    if origin is dict:
        return {"key": full_value(arguments[1])}
    if origin is typing.Annotated:
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    if arguments:
        return full_value(arguments[0])
    if type_ is msgspec.Raw:
        return msgspec.Raw(b'{ "b" : 1.0 }')
    return {str: "text", int: 7, bool: True}[type_]


@pytest.mark.parametrize("type_", TYPES, ids=lambda type_: type_.__name__)
def test_every_field_of_every_type_is_written_and_read_back(type_):
    value = full_value(type_)
    text = encode(value)
    members = json.loads(text)
    assert [name for _, name, _ in wire_fields(type_) if name not in members] == []
    again, problems = decode_object(text, type_)
    assert problems == ()
    assert encode(again) == text


@pytest.mark.parametrize("type_", TYPES, ids=lambda type_: type_.__name__)
def test_every_type_can_be_made_of_nothing(type_):
    assert decode(b"{}", type_) == type_()


WRONG = [b"null", b"true", b"7", b"1.5", b'"x"', b"[]", b"{}", b"[7]", b'["x"]', b'{"a":7}', b'[{"name":[]}]']


@pytest.mark.parametrize("type_", TYPES, ids=lambda type_: type_.__name__)
@pytest.mark.parametrize("wrong", WRONG, ids=bytes.decode)
def test_no_value_of_any_field_breaks_its_object(type_, wrong):
    for _, name, _ in wire_fields(type_):
        value, problems = decode_object(b'{"%s":%s}' % (name.encode(), wrong), type_)
        assert isinstance(value, type_)
        assert all(problem.path.startswith(name) for problem in problems)
        assert decode_object(encode(value), type_)[1] == ()
