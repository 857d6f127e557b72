"""What plans ask for, answered by a real API server."""

from typing import Any

import msgspec
import pytest
from tests.controller.test_apply import POD, ROLLOUT, experiment, run
from tests.kube.virtual_time import virtual_time

from prograde.api.rollout import Rollout
from prograde.controller.questions import answered, no_plugins
from prograde.core.plan import Plan, PluginCall, RunRef
from prograde.core.rollout.snapshot import PluginAnswer, RolloutSnapshot
from prograde.kube.client import Client
from prograde.kube.errors import ApiError
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer
from prograde.simulator.loop import EPOCH


class Stage:
    def __init__(self) -> None:
        self.sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
        self.client = Client(self.sandbox.transport("controller"), qps=0)
        made = self.sandbox.apply(ROLLOUT)[0]
        self.rollout = msgspec.json.decode(msgspec.json.encode(made), type=Rollout)
        self.snapshot = RolloutSnapshot(rollout=self.rollout)

    def owned(self, obj: dict[str, Any], uid: str = "") -> None:
        owner = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "name": "cart",
            "uid": uid or self.rollout.metadata.uid,
            "controller": True,
        }
        self.sandbox.create({**obj, "metadata": {**obj["metadata"], "ownerReferences": [owner]}})

    async def ask(self, plan: Plan[Any]) -> RolloutSnapshot:
        return await answered(self.client, no_plugins, self.snapshot, plan)


@virtual_time
async def test_pods_are_those_that_the_selector_selects() -> None:
    on = Stage()
    on.sandbox.apply([POD, {**POD, "metadata": {"name": "other", "labels": {"app": "other"}}}])
    pods = (await on.ask(Plan(wants_pods=True))).pods
    assert pods is not None
    assert [pod.metadata.name for pod in pods] == ["p"]


@virtual_time
async def test_recorded_runs_are_looked_up_by_name_and_what_does_not_exist_is_known_not_to() -> None:
    on = Stage()
    on.owned(run("r"))
    on.owned(experiment("e"))
    wanted = (RunRef("AnalysisRun", "r"), RunRef("Experiment", "e"), RunRef("AnalysisRun", "missing"))
    snapshot = await on.ask(Plan(wants_runs=wanted))
    assert [each.metadata.name for each in snapshot.analysis_runs] == ["r"]
    assert [each.metadata.name for each in snapshot.experiments] == ["e"]
    assert snapshot.looked_up == frozenset(wanted)


@virtual_time
async def test_a_run_of_somebody_else_under_a_recorded_name_is_not_ours() -> None:
    on = Stage()
    on.owned(run("r"), uid="of-a-rollout-before")
    snapshot = await on.ask(Plan(wants_runs=(RunRef("AnalysisRun", "r"),)))
    assert snapshot.analysis_runs == ()
    assert snapshot.looked_up == {RunRef("AnalysisRun", "r")}


@virtual_time
async def test_a_run_that_cannot_be_read_is_no_missing_run() -> None:
    on = Stage()
    on.sandbox.faults.add(Answer(403), verbs="get", resource="analysisruns")
    with pytest.raises(ApiError, match="get analysisruns"):
        await on.ask(Plan(wants_runs=(RunRef("AnalysisRun", "r"),)))


@virtual_time
async def test_plugins_are_called_one_after_the_other_and_their_answers_add_up() -> None:
    on = Stage()
    calls = tuple(PluginCall(index=index, name="org/step", operation="Run") for index in range(2))
    called: list[PluginCall] = []

    async def call_plugin(rollout: Rollout, call: PluginCall) -> PluginAnswer:
        called.append(call)
        return PluginAnswer(call=call, phase="Successful")

    on.snapshot = await answered(on.client, call_plugin, on.snapshot, Plan(wants_plugin_calls=calls[:1]))
    on.snapshot = await answered(on.client, call_plugin, on.snapshot, Plan(wants_plugin_calls=calls[1:]))
    assert called == list(calls)
    assert [answer.call for answer in on.snapshot.plugin_answers] == list(calls)


@virtual_time
async def test_without_plugins_each_is_unknown() -> None:
    on = Stage()
    call = PluginCall(index=0, name="org/step", operation="Run")
    (answer,) = (await on.ask(Plan(wants_plugin_calls=(call,)))).plugin_answers
    assert answer.unusable == "plugin org/step not configured in configmap"
