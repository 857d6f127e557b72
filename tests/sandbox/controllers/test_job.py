"""Jobs: pods until enough have succeeded, back-off, deadlines, verdicts, and what is left afterwards."""

from datetime import timedelta
from typing import Any

import pytest
from tests.sandbox.controllers.workbench import PODS, Workbench, condition_status, run_alone

from prograde.sandbox.clock import ManualClock
from prograde.sandbox.controllers.events import EventRecorder
from prograde.sandbox.controllers.job import JOBS, JobController
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Object


def job(
    script: str = "exit 0", name: str = "check", restart: str = "Never", image: str = "busybox", **spec: Any
) -> Object:
    container = {"name": "c", "image": image, "command": ["sh", "-c", script]}
    template = {"spec": {"restartPolicy": restart, "containers": [container]}}
    return {"metadata": {"name": "check"}, "spec": {"template": template, **spec}}


class World(Workbench):
    def start(self, *args: Any, **spec: Any) -> Object:
        self.create(JOBS, job(*args, **spec))
        self.settle()
        return self.job

    @property
    def job(self) -> Object:
        return self.get(JOBS, "check")

    @property
    def status(self) -> Object:
        status: Object = self.job.get("status") or {}
        return status

    def conditions(self) -> list[tuple[str, str, str]]:
        return [(each["type"], each["status"], each.get("reason", "")) for each in self.status.get("conditions") or ()]

    def phases(self) -> list[str]:
        return sorted(pod["status"]["phase"] for pod in self.pods())


@pytest.fixture
def world() -> World:
    return World()


COMPLETE = [("SuccessCriteriaMet", "True", "CompletionsReached"), ("Complete", "True", "CompletionsReached")]


def failed(reason: str) -> list[tuple[str, str, str]]:
    return [("FailureTarget", "True", reason), ("Failed", "True", reason)]


def test_a_job_whose_pod_succeeds_completes(world: World) -> None:
    world.start("sleep 5; exit 0")
    assert (world.status["active"], "conditions" in world.status) == (1, False)
    world.settle(30)
    assert world.conditions() == COMPLETE
    assert world.status["succeeded"] == 1
    assert {"active", "failed"}.isdisjoint(world.status)
    assert world.status["startTime"] < world.status["completionTime"]
    assert world.messages("Completed") == ["Job completed"]
    assert world.messages("SuccessfulCreate") == [f"Created pod: {world.names(PODS)[0]}"]


def test_pods_carry_the_labels_and_the_owner_of_their_job(world: World) -> None:
    created = world.start("sleep 60")
    (pod,) = world.pods()
    uid = created["metadata"]["uid"]
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "check"
    assert pod["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] == uid
    assert pod["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "check",
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_without_retries_the_first_failure_fails_the_job(world: World) -> None:
    world.start("exit 1", backoffLimit=0)
    world.settle(60)
    assert world.conditions() == failed("BackoffLimitExceeded")
    assert (world.status["failed"], world.phases()) == (1, ["Failed"])
    assert world.messages("BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]
    assert "completionTime" not in world.status


def test_failures_are_replaced_after_a_growing_delay_until_the_limit(world: World) -> None:
    failures = world.history(JOBS, "check", lambda each: (each.get("status") or {}).get("failed", 0))
    world.start("exit 1", backoffLimit=2)
    world.settle(8)
    assert len(world.pods()) == 1
    world.settle(8)
    assert len(world.pods()) == 2
    world.settle(12)
    assert len(world.pods()) == 2
    world.settle(30)
    assert world.conditions() == failed("BackoffLimitExceeded")
    assert (len(world.pods()), failures) == (3, [0, 1, 2, 3])


@pytest.mark.parametrize(("limit", "restarts"), [(0, 1), (2, 2)])
def test_restarts_within_a_pod_count_like_failed_pods(world: World, limit: int, restarts: int) -> None:
    seen: list[int] = world.history(
        JOBS,
        "check",
        lambda _: max((p["status"]["containerStatuses"][0]["restartCount"] for p in world.pods()), default=0),
    )
    world.start("exit 1", restart="OnFailure", backoffLimit=limit)
    world.settle(600)
    assert world.conditions() == failed("BackoffLimitExceeded")
    assert max(seen) == restarts
    assert world.pods() == []


def test_a_job_that_is_active_for_too_long_fails_and_loses_its_pods(world: World) -> None:
    order = world.history(
        JOBS, "check", lambda each: [c["type"] for c in (each.get("status") or {}).get("conditions", ())]
    )
    world.start("sleep 600", activeDeadlineSeconds=10)
    world.settle(9)
    assert world.conditions() == []
    world.settle(2)
    assert world.conditions() == failed("DeadlineExceeded")
    assert order == [[], ["FailureTarget"], ["FailureTarget", "Failed"]]
    assert world.messages("DeadlineExceeded") == ["Job was active longer than specified deadline"]
    world.settle(60)
    assert world.pods() == []


def test_no_more_pods_than_the_parallelism_work_at_once(world: World) -> None:
    active = world.history(JOBS, "check", lambda each: (each.get("status") or {}).get("active", 0))
    world.start("sleep 5; exit 0", completions=5, parallelism=2)
    world.settle(120)
    assert world.conditions() == COMPLETE
    assert (world.status["succeeded"], len(world.pods()), max(active)) == (5, 5, 2)


def test_fewer_pods_are_wanted_when_parallelism_is_lowered_and_none_of_them_has_failed(world: World) -> None:
    world.start("sleep 600", completions=5, parallelism=3)
    world.settle(5)
    world.patch(JOBS, "check", {"spec": {"parallelism": 1}})
    world.settle(60)
    assert (world.status["active"], "failed" in world.status, len(world.pods())) == (1, False, 1)


def test_pods_that_share_a_queue_are_done_when_one_succeeds_and_none_works(world: World) -> None:
    world.create(JOBS, job("sleep 5; exit 0", parallelism=3, completions=None))
    world.settle(60)
    assert world.conditions() == COMPLETE
    assert world.status["succeeded"] == 3


def test_a_suspended_job_has_no_pods_and_starts_anew_when_resumed(world: World) -> None:
    world.start("sleep 20", suspend=True, activeDeadlineSeconds=30)
    assert (world.pods(), world.conditions()) == ([], [("Suspended", "True", "JobSuspended")])
    assert "startTime" not in world.status
    world.patch(JOBS, "check", {"spec": {"suspend": False}})
    world.settle(5)
    assert (len(world.pods()), world.conditions()) == (1, [("Suspended", "False", "JobResumed")])
    world.patch(JOBS, "check", {"spec": {"suspend": True}})
    world.settle(100)
    assert (world.pods(), world.status.get("failed")) == ([], None)
    world.patch(JOBS, "check", {"spec": {"suspend": False}})
    world.settle(60)
    assert [each[0] for each in world.conditions()] == ["Suspended", "SuccessCriteriaMet", "Complete"]
    assert world.messages("Suspended") == ["Job suspended"]
    assert set(world.messages("Resumed")) == {"Job resumed"}


def test_a_finished_job_is_deleted_when_its_time_is_over(world: World) -> None:
    world.start("exit 0", ttlSecondsAfterFinished=30)
    world.settle(20)
    assert condition_status(world.job, "Complete") == "True"
    world.settle(60)
    assert world.find(JOBS, "check") is None
    assert world.pods() == []


def test_without_a_time_to_live_a_finished_job_stays(world: World) -> None:
    world.start("exit 0")
    world.settle(86400)
    assert len(world.pods()) == 1


def test_a_deleted_pod_of_a_job_is_a_failure_and_is_replaced(world: World) -> None:
    world.start("sleep 600")
    world.settle(5)
    (first,) = world.names(PODS)
    world.client.delete(PODS, "shop", first)
    world.settle(60)
    assert (world.status["failed"], world.status["active"]) == (1, 1)
    assert world.names(PODS) != [first]


def test_what_a_deleted_pod_has_achieved_still_counts(world: World) -> None:
    world.start("sleep 5; exit 0", completions=2)
    world.settle(8)
    done = next(pod for pod in world.pods() if pod["status"]["phase"] == "Succeeded")
    world.client.delete(PODS, "shop", done["metadata"]["name"])
    world.settle(60)
    assert (world.status["succeeded"], world.conditions()) == (2, COMPLETE)


def test_an_image_that_cannot_be_pulled_keeps_the_job_active(world: World) -> None:
    world.start(image="does-not-exist:1")
    world.settle(120)
    assert (world.status["active"], world.conditions()) == (1, [])
    (pod,) = world.pods()
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] in ("ErrImagePull", "ImagePullBackOff")


def test_a_command_that_is_no_program_fails_the_job(world: World) -> None:
    broken = job(backoffLimit=0)
    broken["spec"]["template"]["spec"]["containers"][0]["command"] = ["exit", "1"]
    world.create(JOBS, broken)
    world.settle(60)
    assert world.conditions() == failed("BackoffLimitExceeded")


def test_a_job_waits_for_terminating_pods_when_it_replaces_only_failed_ones(world: World) -> None:
    world.start("sleep 600", podReplacementPolicy="Failed")
    world.settle(5)
    (first,) = world.names(PODS)
    world.client.delete(PODS, "shop", first)
    world.settle()
    assert world.names(PODS) == [first]
    assert (world.status["terminating"], "failed" in world.status) == (1, False)
    world.settle(90)
    assert (len(world.pods()), world.status["failed"]) == (1, 1)
    assert world.names(PODS) != [first]


def test_pods_that_are_refused_are_told_about_and_tried_again() -> None:
    world = World(controllers=False)
    recorder = EventRecorder(world.client, world.sandbox.clock, "job-controller")
    work = run_alone(world, JobController(world.client, world.sandbox.clock, recorder))
    refusal = StatusError.forbidden("", "pods", "p", "quota")
    world.client.refusal = lambda resource, obj: refusal if resource == PODS else None
    world.create(JOBS, job())
    work.sync()
    assert (world.pods(), world.messages("FailedCreate")) == ([], ['Error creating: pods "p" is forbidden: quota'])
    world.client.refusal = lambda resource, obj: None
    clock = world.sandbox.clock
    assert isinstance(clock, ManualClock)
    work.settle(world.now + timedelta(seconds=1), clock.move_to)
    assert len(world.pods()) == 1
