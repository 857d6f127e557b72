"""Analyses: what a run is made of, when it begins, what becomes of it."""

import pytest
from tests.core.experiment.builders import (
    NAME,
    NAMESPACE,
    NOW,
    OWNER,
    analysis,
    analysis_template,
    cluster_template,
    done,
    entry,
    experiment,
    judged,
    look,
    replace,
    replica_set,
    run,
    state,
    status_of,
    template,
    told,
)

from prograde.api.analysis import (
    AnalysisTemplateRef,
    Argument,
    ArgumentValueFrom,
    DryRun,
    FieldRef,
    MeasurementRetention,
    PodTemplateMetadata,
    SecretKeyRef,
)
from prograde.api.codec import to_json
from prograde.core.experiment.analyses import concerns_owner
from prograde.core.experiment.snapshot import Refusal
from prograde.core.plan import CreateAnalysisRun, Event, RunRef, TerminateAnalysisRun, WaitReason

RUN = f"{NAME}-errors"
CLUSTER_TEMPLATE_MISSING = 'clusteranalysistemplate.argoproj.io "nope" not found'


def running(*analyses, before=(), **spec):
    """Return an Experiment whose templates have been available for ten seconds."""
    return experiment(analyses=analyses or (analysis(),), status=state(entry(), analysis_runs=before), **spec)


def seen(one, *objects, **more):
    return look(one, replica_set(one), *objects, **more)


def entry_of(plan, one):
    (found,) = status_of(plan, one).analysis_runs
    return found.analysis_run, found.phase, found.message


def created(plan):
    (create,) = plan.actions
    assert isinstance(create, CreateAnalysisRun)
    return create.manifest


# ---- Before ----------------------------------------------------------------------------------------------------------


def waiting(*analyses, **spec):
    return experiment(template(replicas=2), analyses=analyses, **spec)


def test_no_run_begins_before_all_templates_have_been_available():
    one = waiting(analysis())
    plan = look(one, replica_set(one, size=2, available=1), analysis_template())
    assert (done(plan), entry_of(plan, one)) == ([], ("", "", ""))
    now_available = look(one, replica_set(one, size=2), analysis_template())
    assert (done(now_available), now_available.status.available_at) == ([], NOW)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            analysis("a", "nope"),
            "AnalysisTemplate verification failed for analysis 'a': analysistemplate.argoproj.io \"nope\" not found",
        ),
        (
            analysis("a", "nope", cluster_scope=True),
            f"ClusterAnalysisTemplate verification failed for analysis 'a': {CLUSTER_TEMPLATE_MISSING}",
        ),
    ],
)
def test_a_template_that_does_not_exist_ends_the_experiment_before_it_has_begun(wanted, message):
    one = waiting(wanted)
    other_scope = analysis_template("nope") if wanted.cluster_scope else cluster_template("nope")
    plan = look(one, replica_set(one, size=2, available=0), other_scope)
    assert entry_of(plan, one) == ("", "Error", message)
    assert (plan.status.phase, plan.status.message) == ("Error", message)
    text = f"AnalysisRun 'a' transitioned from  -> Error: {message}"
    assert ("Warning", "AnalysisRunError", text) in told(plan)


def test_an_error_is_not_taken_back_when_the_template_appears():
    one = waiting(analysis(), scale_down_delay_seconds=0)
    broken = replace(one, status=look(one, replica_set(one, size=2, available=0)).status)
    plan = look(broken, replica_set(one, size=2, available=0), analysis_template())
    assert entry_of(plan, broken)[1] == "Error"
    assert [each.replicas for each in plan.actions] == [0]


def test_the_very_first_pass_is_pending_whatever_else_is_wrong():
    one = waiting(analysis())
    one = replace(one, status=replace(one.status, phase=""))
    plan = look(one)
    assert (plan.status.phase, plan.status.message, entry_of(plan, one)[1]) == ("Pending", "", "Error")
    assert look(replace(one, status=plan.status), replica_set(one, size=0)).status.phase == "Error"


def test_what_a_template_refers_to_is_not_looked_for_before_it_is_needed():
    nested = analysis_template(templates=(AnalysisTemplateRef(template_name="nope"),))
    one = waiting(analysis())
    plan = look(one, replica_set(one, size=2, available=1), nested)
    assert entry_of(plan, one)[1] == ""


# ---- A new run -------------------------------------------------------------------------------------------------------


def test_a_run_begins_in_the_pass_after_the_one_that_found_the_templates_available():
    one = running()
    plan = seen(one, analysis_template())
    assert entry_of(plan, one) == (RUN, "Pending", "")
    assert told(plan) == [("Normal", "AnalysisRunPending", "AnalysisRun 'errors' transitioned from  -> Pending")]
    assert created(plan) == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": RUN, "namespace": NAMESPACE, "ownerReferences": [to_json(OWNER)]},
        "spec": {"metrics": [to_json(each) for each in analysis_template().spec.metrics]},
    }


def test_a_run_carries_the_metadata_and_the_rules_of_the_experiment():
    instance = {"argo-rollouts.argoproj.io/controller-instance-id": "blue", "team": "shop"}
    one = running(
        analysis(cluster_scope=True),
        labels=instance,
        analysis_run_metadata=PodTemplateMetadata(labels={"a": "1"}, annotations={"b": "2"}),
        dry_run=(DryRun(metric_name="x.*"), DryRun(metric_name="errors")),
        measurement_retention=(MeasurementRetention(metric_name="errors", limit=3),),
    )
    manifest = created(seen(one, cluster_template(dry_run=(DryRun(metric_name="y"),))))
    assert manifest["metadata"]["labels"] == {
        "argo-rollouts.argoproj.io/controller-instance-id": "blue",
        "a": "1",
    }
    assert manifest["metadata"]["annotations"] == {"b": "2"}
    assert [each["metricName"] for each in manifest["spec"]["dryRun"]] == ["x.*", "errors", "y"]
    assert manifest["spec"]["measurementRetention"] == [{"metricName": "errors", "limit": 3}]


def test_added_labels_may_replace_the_instance():
    key = "argo-rollouts.argoproj.io/controller-instance-id"
    one = running(labels={key: "blue"}, analysis_run_metadata=PodTemplateMetadata(labels={key: "green"}))
    assert created(seen(one, analysis_template()))["metadata"]["labels"] == {key: "green"}


def test_nested_templates_are_collected_and_a_template_may_have_no_metric_of_its_own():
    outer = analysis_template(metrics=(), templates=(AnalysisTemplateRef(template_name="inner", cluster_scope=True),))
    manifest = created(seen(running(), outer, cluster_template("inner")))
    assert [each["name"] for each in manifest["spec"]["metrics"]] == ["inner"]
    assert created(seen(running(), analysis_template(metrics=())))["spec"]["metrics"] == []


SECRET = ArgumentValueFrom(secret_key_ref=SecretKeyRef(name="keys", key="token"))
FIELD = ArgumentValueFrom(field_ref=FieldRef(field_path="metadata.name"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("{{templates.a.replicaset.name}}", f"{NAME}-a"),
        ("{{ templates.a.replicaset.name }}:80", f"{NAME}-a:80"),
        ("{{experiment.availableAt}}", "2026-03-04T05:05:57Z"),
        ("{{experiment.finishedAt}}", "2026-03-04T05:10:57Z"),
    ],
)
def test_arguments_know_the_experiment(value, expected):
    one = running(analysis(args=(Argument(name="x", value=value),)), duration="5m")
    manifest = created(seen(one, analysis_template(args=(Argument(name="x"),))))
    assert manifest["spec"]["args"] == [{"name": "x", "value": expected}]


def test_arguments_know_the_hash_of_a_template():
    one = running(analysis(args=(Argument(name="x", value="{{templates.a.podTemplateHash}}"),)))
    manifest = created(seen(one, analysis_template(args=(Argument(name="x"),))))
    wanted = replica_set(one).metadata.labels["rollouts-pod-template-hash"]
    assert manifest["spec"]["args"] == [{"name": "x", "value": wanted}]


@pytest.mark.parametrize("source", [SECRET, FIELD])
def test_a_source_of_a_value_is_passed_on(source):
    one = running(analysis(args=(Argument(name="x", value_from=source),)))
    manifest = created(seen(one, analysis_template(args=(Argument(name="x"),))))
    assert manifest["spec"]["args"] == [to_json(Argument(name="x", value_from=source))]


@pytest.mark.parametrize(
    ("args", "objects", "cause"),
    [
        (
            (Argument(name="x", value="{{templates.nope.podTemplateHash}}"),),
            (analysis_template(args=(Argument(name="x"),)),),
            "failed to resolve {{templates.nope.podTemplateHash}}",
        ),
        (
            (Argument(name="x", value="{{not a real substitution}}"),),
            (analysis_template(),),
            "failed to resolve {{not a real substitution}}",
        ),
        ((Argument(name="x", value="{{args.x}}"),), (analysis_template(),), "failed to resolve {{args.x}}"),
        (
            (Argument(name="x", value="{{experiment.finishedAt}}"),),
            (analysis_template(),),
            "failed to resolve {{experiment.finishedAt}}",
        ),
        (
            (Argument(name="x", value="{{open"),),
            (analysis_template(),),
            'Cannot find end tag="}}" in the template="{{open" starting from "open"',
        ),
        ((), (analysis_template(args=(Argument(name="x"),)),), "args.x was not resolved"),
        ((), (), 'analysistemplate.argoproj.io "errors" not found'),
        (
            (),
            (analysis_template(templates=(AnalysisTemplateRef(template_name="bar2", cluster_scope=True),)),),
            'clusteranalysistemplate.argoproj.io "bar2" not found',
        ),
        (
            (),
            (analysis_template(dry_run=(DryRun(metric_name="d"),)),),
            "two Dry-Run metric rules have the same name 'd'",
        ),
    ],
)
def test_a_run_that_cannot_be_made_is_an_error(args, objects, cause):
    one = running(analysis(args=args), dry_run=(DryRun(metric_name="d"),))
    plan = seen(one, *objects)
    message = f"Failed to create AnalysisRun for analysis 'errors': {cause}"
    assert (done(plan), entry_of(plan, one)) == ([], ("", "Error", message))
    assert (plan.status.phase, plan.status.message) == ("Error", message)


def test_a_run_that_is_refused_is_an_error_and_not_tried_again():
    one = running(scale_down_delay_seconds=0)
    refused = Refusal(action=CreateAnalysisRun(name=RUN, manifest={}), message="too many")
    plan = seen(one, analysis_template(), refusals=(refused,))
    assert entry_of(plan, one)[2] == "Failed to create AnalysisRun for analysis 'errors': too many"
    again = replace(one, status=plan.status)
    assert ("CreateAnalysisRun", RUN) not in done(seen(again, analysis_template()))


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (run(phase=""), RUN),
        (run(phase="Running"), RUN),
        (run(phase="Successful"), f"{RUN}.1"),
        (run(terminate=True), f"{RUN}.1"),
        (run(owner=replace(OWNER, uid="other")), f"{RUN}.1"),
        (run(spec=run("latency").spec), f"{RUN}.1"),
    ],
    ids=["new", "running", "over", "told to stop", "somebody else's", "measures something else"],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_a_run_of_that_name_is_taken_when_it_is_what_is_wanted(holder, expected, is_known):
    one = running()
    refused = Refusal(action=CreateAnalysisRun(name=RUN, manifest={}), message="exists", existing=holder)
    plan = seen(one, analysis_template(), *([holder] if is_known else []), refusals=() if is_known else (refused,))
    assert entry_of(plan, one)[:2] == (expected, "Pending")
    assert done(plan) == ([] if expected == RUN else [("CreateAnalysisRun", expected)])


# ---- Under way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "warning"),
    [
        ("Running", False),
        ("Successful", False),
        ("Failed", True),
        ("Error", True),
        ("Inconclusive", True),
    ],
)
def test_the_phase_of_a_run_is_copied_and_told(phase, warning):
    one = running(before=(judged(phase="Pending"),), duration="1h")
    plan = seen(one, run(phase=phase, message="because"))
    assert entry_of(plan, one) == (RUN, phase, "because")
    event = told(plan)[0]
    assert event == (
        "Warning" if warning else "Normal",
        f"AnalysisRun{phase}",
        f"AnalysisRun 'errors' transitioned from Pending -> {phase}: because",
    )


def test_texts_with_percent_signs_stay_as_they_are():
    one = running(before=(judged(),), duration="1h")
    plan = seen(one, run(phase="Failed", message="5%d > 4%s"))
    assert told(plan)[0][2].endswith(": 5%d > 4%s")


def test_a_run_that_nobody_has_begun_yet_stays_pending():
    one = running(before=(judged(phase="Pending"),), duration="1h")
    plan = seen(one, run(phase=""))
    assert entry_of(plan, one) == (RUN, "Pending", "")
    assert told(plan) == []


def test_a_run_that_is_over_is_not_looked_at_any_more():
    one = running(before=(judged(phase="Successful"),), duration="1h")
    assert not seen(one).is_question
    assert entry_of(seen(one, run(phase="Failed")), one)[1] == "Successful"


def test_a_run_that_the_cache_lacks_is_looked_up_and_its_absence_is_an_error():
    one = running(before=(judged(),), duration="1h")
    ref = RunRef("AnalysisRun", RUN)
    assert seen(one).wants_runs == (ref,)
    plan = seen(one, looked_up=frozenset({ref}))
    message = f'analysisruns.argoproj.io "{RUN}" not found'
    assert entry_of(plan, one) == (RUN, "Error", message)
    assert (plan.status.phase, plan.status.message) == ("Error", message)
    found = seen(one, run(), looked_up=frozenset({ref}))
    assert entry_of(found, one)[1] == "Running"


def test_runs_are_stopped_when_the_experiment_is_and_followed_to_their_end():
    one = running(before=(judged(),), terminate=True, duration="1h")
    plan = seen(one, run())
    stop = TerminateAnalysisRun(name=RUN, events=(Event("AnalysisRunTerminating", f"Terminating errors ({RUN})"),))
    assert plan.groups[-1] == (stop,)
    stopped = seen(one, run(terminate=True))
    assert ("TerminateAnalysisRun", RUN) not in done(stopped)
    ended = seen(one, run(phase="Successful", message="Run Terminated", terminate=True))
    assert entry_of(ended, one) == (RUN, "Successful", "Run Terminated")


def test_no_run_begins_when_the_experiment_is_wound_up():
    one = running(terminate=True)
    plan = seen(one, analysis_template())
    assert ("CreateAnalysisRun", RUN) not in done(plan)
    assert (plan.status.phase, entry_of(plan, one)) == ("Successful", ("", "", ""))


def test_a_run_of_an_analysis_that_left_the_spec_is_stopped():
    one = experiment(status=state(entry(), analysis_runs=(judged(),)))
    plan = seen(one, run())
    assert done(plan) == [("TerminateAnalysisRun", RUN)]
    assert [each.name for each in status_of(plan, one).analysis_runs] == ["errors"]
    assert done(seen(one, run(phase="Failed"))) == []


def test_templates_that_vanish_after_the_end_change_nothing():
    ended = state(entry(status="Successful", available=0), phase="Successful", available_ago=None)
    one = experiment(analyses=(analysis(),), status=replace(ended, analysis_runs=(judged(phase=""),)))
    assert status_of(look(one, replica_set(one, size=0)), one).analysis_runs == (judged(phase=""),)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("AnalysisRunFailed", True),
        ("AnalysisRunRunning", True),
        ("AnalysisRunTerminating", False),
        ("TemplateFailed", False),
        ("ExperimentFailed", False),
    ],
)
def test_only_the_phases_of_runs_are_told_to_the_rollout(reason, expected):
    assert concerns_owner(Event(reason, "")) is expected


def test_a_required_analysis_says_what_is_waited_for():
    one = running(analysis(required_for_completion=True), before=(judged(),))
    (wait,) = seen(one, run()).waits
    assert wait.reason == WaitReason.ANALYSIS
    assert wait.message == f"analysis errors has to end first, its AnalysisRun {RUN} is Running"
