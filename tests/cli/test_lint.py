"""What `prograde lint` finds in a file."""

import json
from pathlib import Path
from typing import Any

import pytest

from prograde.api.manifests import dump_yaml
from prograde.cli.framework import run
from prograde.cli.lint import lint_file
from prograde.cli.main import root_group

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))
API = "argoproj.io/v1alpha1"


def web(name: str = "m", **fields: Any) -> dict[str, Any]:
    return {"name": name, "provider": {"web": {"url": "http://x", "jsonPath": "{$.x}"}}, **fields}


def template(*metrics: dict[str, Any], name: str = "t", kind: str = "AnalysisTemplate", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": {"metrics": list(metrics), **spec}}


def analysis_run(*metrics: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return template(*metrics, name="r", kind="AnalysisRun", **spec)


def rollout(strategy: dict[str, Any] | None = None, name: str = "cart", **spec: Any) -> dict[str, Any]:
    pods = {"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    body = {"selector": {"matchLabels": {"app": "cart"}}, "template": pods, "strategy": strategy or {"canary": {}}}
    return {"apiVersion": API, "kind": "Rollout", "metadata": {"name": name}, "spec": {**body, **spec}}


def service(name: str, app: str) -> dict[str, Any]:
    spec = {"selector": {"app": app}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def found(*documents: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the errors and the warnings about some objects in one file."""
    problems = lint_file("\n---\n".join(map(dump_yaml, documents)).encode(), "x.yaml")
    errors = [each.text for each in problems if not each.is_warning]
    return errors, [each.text for each in problems if each.is_warning]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_our_examples_have_no_errors(path: Path) -> None:
    assert [each.text for each in lint_file(path.read_bytes(), path.name) if not each.is_warning] == []


# ---- Rollouts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documents", "error"),
    [
        (
            [rollout({"canary": {"maxSurge": 0, "maxUnavailable": 0}})],
            "spec.strategy.maxSurge: Invalid value: 0: MaxSurge and MaxUnavailable both can not be zero",
        ),
        (
            [rollout(selector=None)],
            "spec.selector: Required value: Rollout has missing field '.spec.selector'",
        ),
        (
            [rollout({"canary": {"canaryService": "S", "stableService": "T"}}), service("S", "other")],
            'spec.strategy.canary.canaryService: Invalid value: "S": Service "S" has unmatch label "app" in rollout',
        ),
        (
            [rollout(replicaz=1)],
            'error unmarshaling JSON: while decoding JSON: json: unknown field "replicaz"',
        ),
    ],
)
def test_errors_of_a_rollout_have_the_words_that_are_known(documents: list[dict[str, Any]], error: str) -> None:
    assert found(*documents)[0][0] == error


def test_every_rollout_of_a_file_is_checked() -> None:
    wrong = {"canary": {"canaryService": "S", "stableService": "T"}}
    errors, _ = found(rollout(), rollout(wrong, "a"), service("S", "x"), rollout(wrong, "b"))
    assert len(errors) == 2


def test_what_a_file_does_not_contain_may_be_elsewhere() -> None:
    analysis = {"templates": [{"templateName": "gone"}, {"templateName": "all", "clusterScope": True}]}
    errors, warnings = found(rollout({"canary": {"canaryService": "S", "stableService": "T", "analysis": analysis}}))
    assert errors == []
    assert warnings == [
        'Rollout cart: AnalysisTemplate "gone" is not in this file',
        'Rollout cart: ClusterAnalysisTemplate "all" is not in this file',
    ]


def test_a_rollout_has_to_give_the_arguments_that_its_template_asks_for() -> None:
    asks = template(web(), args=[{"name": "host"}])
    analysis = {"templates": [{"templateName": "t"}]}
    errors, warnings = found(rollout({"canary": {"analysis": analysis}}), asks)
    assert [error.rpartition(": ")[2] for error in errors] == ["args.host was not resolved"]
    given = {**analysis, "args": [{"name": "host", "value": "x"}]}
    assert found(rollout({"canary": {"analysis": given}}), asks) == ([], warnings)


# ---- Analysis -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["AnalysisTemplate", "ClusterAnalysisTemplate", "AnalysisRun"])
@pytest.mark.parametrize("field", ["successCondition", "failureCondition"])
def test_a_condition_that_does_not_compile_is_an_error(kind: str, field: str) -> None:
    errors, _ = found(template(web("ok"), web(**{field: "result >"}), kind=kind))
    assert len(errors) == 1
    assert errors[0].startswith(f'{kind} t: spec.metrics[1].{field}: "result >" does not compile: unexpected token EOF')
    assert errors[0].endswith("(at character 9)")


@pytest.mark.parametrize(
    ("condition", "error"),
    [("rezult > 1", "unknown name rezult"), ("asInt(result, 1) > 1", "too many arguments to call asInt")],
)
def test_names_and_calls_are_checked(condition: str, error: str) -> None:
    (text,) = found(template(web(successCondition=condition)))[0]
    assert error in text


@pytest.mark.parametrize(
    "condition",
    ["result[0] >= 0.95", "result.a.b == 'x' and len(result) > 1", "all(result, {# > 1})", "asFloat(result) < 1"],
)
def test_a_condition_that_may_be_right_is_no_finding(condition: str) -> None:
    assert found(template(web(successCondition=condition))) == ([], [])


def test_arguments_fill_conditions_and_what_is_guessed_is_a_warning_at_most() -> None:
    args = [{"name": "limit"}, {"name": "operator"}, {"name": "wrong", "value": "> >"}]
    conditions = ["result > {{args.limit}}", "result {{args.operator}} 1", "result {{args.wrong}} 1"]
    errors, warnings = found(template(*(web(f"m{n}", successCondition=c) for n, c in enumerate(conditions)), args=args))
    assert [text[:47] for text in errors] == ["AnalysisTemplate t: spec.metrics[2].successCond"]
    assert [text[:47] for text in warnings] == ["AnalysisTemplate t: spec.metrics[1].successCond"]


def test_a_placeholder_that_nobody_declares_is_an_error() -> None:
    errors, _ = found(template(web(interval="{{args.every}}"), args=[{"name": "host"}]))
    assert errors == ["AnalysisTemplate t: spec.metrics[0]: failed to resolve {{args.every}}"]


def test_a_run_has_to_have_all_its_arguments() -> None:
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    args = [{"name": "a"}, {"name": "b", "value": ""}, {"name": "c", "valueFrom": secret}]
    assert found(analysis_run(web(), args=args))[0] == ['AnalysisRun r: spec.args: argument "a" was not supplied']
    assert found(template(web(), args=args)) == ([], [])


def test_what_the_controller_would_refuse_is_an_error() -> None:
    errors, _ = found(template(web(count=1, failureLimit=2)), analysis_run(web(), web()))
    limits = "failureLimit + consecutiveSuccessLimit (2 + 0) if both >= 0"
    assert errors == [
        f"AnalysisTemplate t: spec: metrics[0]: count (1) must be >= {limits}",
        "AnalysisRun r: spec: metrics[1]: duplicate name 'm'",
    ]


def test_what_depends_on_a_guess_is_not_an_error() -> None:
    errors, warnings = found(template(web(count="{{args.n}}", failureLimit=2), args=[{"name": "n"}]))
    assert errors == []
    assert len(warnings) == 1


def test_a_secret_must_not_decide() -> None:
    args = [{"name": "n", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    errors, _ = found(template(web(count="{{args.n}}"), args=args))
    assert errors[0] == "AnalysisTemplate t: spec: metrics[0].count must not come from a Secret"


@pytest.mark.parametrize(
    ("condition", "is_doubtful"),
    [
        ("default(result, 0) > 1", False),
        ("default(result.rate, 0) > 1", True),
        ("isNil(result)", False),
        ("isNil(result[0])", True),
        ("isNil(result) || result > 1", True),
        ("!isNil(result) && result > 1", True),
    ],
)
def test_functions_that_look_at_the_whole_result_are_pointed_out(condition: str, is_doubtful: bool) -> None:
    errors, warnings = found(template(web(successCondition=condition)))
    assert errors == []
    assert bool(warnings) is is_doubtful


def test_a_query_without_any_time_is_pointed_out() -> None:
    metric = {"name": "m", "provider": {"prometheus": {"address": "http://p", "query": "up", "timeout": 0}}}
    _, warnings = found(template(metric))
    assert warnings[0].startswith("AnalysisTemplate t: spec.metrics[0].provider.prometheus.timeout: 0 leaves no time")


def test_conditions_of_a_job_are_pointed_out() -> None:
    metric = {"name": "m", "provider": {"job": {"spec": {}}}, "successCondition": "result == 1"}
    assert "conditions of a job metric are ignored" in found(template(metric))[1][0]


def test_fields_that_templates_do_not_have_are_errors() -> None:
    errors, _ = found(template({**web(), "intervall": "1m"}))
    assert errors == ['AnalysisTemplate t: spec.metrics[0].intervall: unknown field "intervall"']


def test_templates_of_templates_are_put_together() -> None:
    inner = template(web("a", successCondition="{{args.op}}"), name="inner", args=[{"name": "op", "value": "result >"}])
    outer = template(name="outer", templates=[{"templateName": "inner"}])
    errors, _ = found(outer, inner)
    assert [text.split(":")[0] for text in errors] == ["AnalysisTemplate outer", "AnalysisTemplate inner"]
    same = template(web("a"), name="outer", templates=[{"templateName": "inner"}])
    assert found(same, inner)[0][0] == "AnalysisTemplate outer: two metrics have the same name 'a'"


def test_a_circle_is_an_error_and_a_missing_template_a_warning() -> None:
    one = template(name="one", templates=[{"templateName": "two"}])
    two = template(name="two", templates=[{"templateName": "one"}])
    assert found(one, two)[0][0] == (
        "AnalysisTemplate one: analysis templates refer to each other in a circle: two -> one -> two"
    )
    assert found(one) == ([], ["AnalysisTemplate one: AnalysisTemplate 'two' not found in this file"])


# ---- The command ----------------------------------------------------------------------------------------------------


def lint(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(root_group("prograde"), ["lint", *words], "prograde")
    return code, *capsys.readouterr()


def test_bodies_go_to_stdout_and_the_first_error_in_full_to_stderr(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(rollout({"canary": {"maxSurge": 0, "maxUnavailable": 0}})), encoding="utf-8")
    assert lint(capsys, "-f", str(path)) == (
        1,
        "Invalid value: 0: MaxSurge and MaxUnavailable both can not be zero\n",
        "Error: spec.strategy.maxSurge: Invalid value: 0: MaxSurge and MaxUnavailable both can not be zero\n",
    )


def test_warnings_go_to_stderr_and_fail_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(dump_yaml(template(web(successCondition="isNil(result.x)"))), encoding="utf-8")
    code, out, err = lint(capsys, "--filename", str(path))
    assert (code, out) == (0, "")
    assert err.startswith("Warning: AnalysisTemplate t: spec.metrics[0].successCondition: isNil() looks at")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "x.yaml:"),
        ("metadata: {}", "Object 'Kind' is missing"),
        ("- 1", "Object 'Kind' is missing"),
    ],
)
def test_what_is_no_manifest_is_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    code, out, err = lint(capsys, "-f", str(path))
    assert (code, out) == (1, "")
    assert message in err


@pytest.mark.parametrize(
    "text", ["", "---\n---\n", "{}", "apiVersion: v1\nkind: ConfigMap\n", "apiVersion: v1\nkind: Pod\n"]
)
def test_a_file_without_anything_of_ours_passes(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    assert lint(capsys, "-f", str(path)) == (0, "", "")


def test_a_file_has_to_be_named_and_to_exist(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = lint(capsys)
    assert (code, out) == (1, "")
    assert err.startswith("Usage:\n  prograde lint -f FILENAME [flags]")
    assert "No such file" in lint(capsys, "-f", "/does/not/exist")[2]
