"""From analysis templates to the spec of a run."""

import pytest

from prograde.api.analysis import (
    AnalysisTemplate,
    AnalysisTemplateRef,
    AnalysisTemplateSpec,
    Argument,
    ArgumentValueFrom,
    ClusterAnalysisTemplate,
    DryRun,
    FieldRef,
    MeasurementRetention,
    Metric,
)
from prograde.api.analysistemplates import (
    InvalidTemplates,
    TemplateNotFound,
    collect_templates,
    flatten_templates,
    merge_arguments,
    merge_into_run_spec,
)
from prograde.api.meta import ObjectMeta

SOURCE = ArgumentValueFrom(field_ref=FieldRef(field_path="p"))


def ref(name: str, *, cluster: bool = False) -> AnalysisTemplateRef:
    return AnalysisTemplateRef(template_name=name, cluster_scope=cluster or None)


def template(name: str, *references: AnalysisTemplateRef) -> dict[str, AnalysisTemplate]:
    spec = AnalysisTemplateSpec(templates=references)
    return {name: AnalysisTemplate(metadata=ObjectMeta(name=name), spec=spec)}


def cluster_template(name: str, *references: AnalysisTemplateRef) -> dict[str, ClusterAnalysisTemplate]:
    spec = AnalysisTemplateSpec(templates=references)
    return {name: ClusterAnalysisTemplate(metadata=ObjectMeta(name=name), spec=spec)}


def test_references_are_followed_depth_first_and_each_template_counts_once():
    namespaced = template("a", ref("c"), ref("x", cluster=True)) | template("b", ref("c"))
    namespaced |= template("c", ref("d")) | template("d")
    cluster = cluster_template("x", ref("d")) | cluster_template("a")
    collected = collect_templates([ref("a"), ref("b"), ref("a"), ref("a", cluster=True)], namespaced, cluster)
    assert [each.metadata.name for each in collected.namespaced] == ["a", "c", "d", "b"]
    assert [each.metadata.name for each in collected.cluster] == ["x", "a"]
    assert collected.names == ("a", "c", "d", "b", "x", "a")


@pytest.mark.parametrize(
    ("references", "name", "message", "is_nested"),
    [
        ([ref("z")], "z", "AnalysisTemplate 'z' not found", False),
        ([ref("a", cluster=True)], "a", "ClusterAnalysisTemplate 'a' not found", False),
        ([ref("a")], "y", "AnalysisTemplate 'y' not found", True),
    ],
)
def test_a_missing_template_is_named(references, name, message, is_nested):
    with pytest.raises(TemplateNotFound) as caught:
        collect_templates(references, template("a", ref("y")), {})
    assert (caught.value.name, str(caught.value), caught.value.is_nested) == (name, message, is_nested)


@pytest.mark.parametrize(
    ("namespaced", "circle"),
    [
        (template("a", ref("a")), "a -> a"),
        (template("a", ref("b")) | template("b", ref("c")) | template("c", ref("b")), "b -> c -> b"),
    ],
)
def test_a_circle_of_references_is_an_error_that_names_it(namespaced, circle):
    with pytest.raises(InvalidTemplates, match=f"in a circle: {circle}$"):
        collect_templates([ref("a")], namespaced, {})


def test_templates_of_one_name_in_both_scopes_may_refer_to_each_other():
    collected = collect_templates([ref("a")], template("a", ref("a", cluster=True)), cluster_template("a"))
    assert collected.names == ("a", "a")


def test_flattening_concatenates():
    one = AnalysisTemplateSpec(
        metrics=(Metric(name="a"),), args=(Argument(name="x", value="1"),), dry_run=(DryRun(metric_name="a"),)
    )
    other = AnalysisTemplateSpec(
        metrics=(Metric(name="b"),),
        args=(Argument(name="y"), Argument(name="x", value="1")),
        measurement_retention=(MeasurementRetention(metric_name="a", limit=1),),
    )
    assert flatten_templates([one, other]) == AnalysisTemplateSpec(
        metrics=(Metric(name="a"), Metric(name="b")),
        args=(Argument(name="x", value="1"), Argument(name="y")),
        dry_run=one.dry_run,
        measurement_retention=other.measurement_retention,
    )


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        (Argument(name="x", value="1"), Argument(name="x", value="1"), Argument(name="x", value="1")),
        (Argument(name="x", value="1"), Argument(name="x"), Argument(name="x", value="1")),
        (Argument(name="x"), Argument(name="x", value="2"), Argument(name="x", value="2")),
        (Argument(name="x", value_from=SOURCE), Argument(name="x"), Argument(name="x")),
        (Argument(name="x", value=""), Argument(name="x", value_from=SOURCE), Argument(name="x", value="")),
    ],
)
def test_an_argument_declared_twice(earlier, later, expected):
    specs = [AnalysisTemplateSpec(args=(earlier,)), AnalysisTemplateSpec(args=(later,))]
    assert flatten_templates(specs).args == (expected,)


def test_an_argument_with_two_values_is_an_error():
    specs = [AnalysisTemplateSpec(args=(Argument(name="x", value=value),)) for value in ("1", "2")]
    with pytest.raises(InvalidTemplates) as caught:
        flatten_templates(specs)
    assert str(caught.value) == "Argument `x` specified multiple times with different values: '1', '2'"


@pytest.mark.parametrize(
    ("given", "declared", "expected"),
    [
        ([Argument(name="x", value="2")], [Argument(name="x", value="1")], [Argument(name="x", value="2")]),
        ([Argument(name="x", value="")], [Argument(name="x", value="1")], [Argument(name="x", value="")]),
        ([Argument(name="x", value_from=SOURCE)], [Argument(name="x")], [Argument(name="x", value_from=SOURCE)]),
        (
            [Argument(name="x", value="1")],
            [Argument(name="x", value_from=SOURCE)],
            [Argument(name="x", value="1", value_from=SOURCE)],
        ),
        ([Argument(name="undeclared", value="1")], [], []),
        ([], [Argument(name="x", value_from=SOURCE)], [Argument(name="x", value_from=SOURCE)]),
    ],
)
def test_callers_give_values_to_declared_arguments(given, declared, expected):
    assert merge_arguments(given, declared) == tuple(expected)


def test_an_argument_without_value_is_an_error():
    with pytest.raises(InvalidTemplates, match=r"^args\.x was not resolved$"):
        merge_arguments([Argument(name="x")], [Argument(name="x")])


def test_the_rules_of_the_caller_come_first_and_may_not_repeat():
    spec = AnalysisTemplateSpec(dry_run=(DryRun(metric_name="a"),))
    merged = merge_into_run_spec(spec, [], [DryRun(metric_name="b")])
    assert merged.dry_run == (DryRun(metric_name="b"), DryRun(metric_name="a"))
    with pytest.raises(InvalidTemplates, match="two Dry-Run metric rules have the same name 'a'"):
        merge_into_run_spec(spec, [], [DryRun(metric_name="a")])
