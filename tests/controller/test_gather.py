"""When a cache is behind our own writes, on informers that follow a real API server."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from tests.controller.test_apply import ROLLOUT, replica_set
from tests.kube.virtual_time import virtual_time

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout
from prograde.api.workloads import ReplicaSet, Service
from prograde.controller.expectations import Expectations
from prograde.controller.gather import Caches, by_controller, by_service, is_behind, snapshot_of
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, REPLICA_SETS, ROLLOUTS, SERVICES
from prograde.kube.client import Client
from prograde.kube.informer import Indexer, Informer
from prograde.kube.resources import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.simulator.loop import EPOCH

KEY = NamespacedName("default", "cart")

T = TypeVar("T", Rollout, ReplicaSet, Service, AnalysisRun, Experiment)


@asynccontextmanager
async def following(sandbox: Sandbox, label_selector: str = "") -> AsyncIterator[Caches]:
    """Yield synced caches; `label_selector` is that of the Rollouts."""
    client = Client(sandbox.transport("controller"), qps=0)

    def informer(resource: Resource, kind: type[T], selector: str = "", **indexers: Indexer[T]) -> Informer[T]:
        decode = msgspec.json.Decoder(kind).decode
        rng = random.Random(1)
        return Informer(client, resource, decode, rng=rng, label_selector=selector, indexers=indexers)

    caches = Caches(
        rollouts=informer(ROLLOUTS, Rollout, label_selector, service=by_service),
        replica_sets=informer(REPLICA_SETS, ReplicaSet, controller=by_controller),
        services=informer(SERVICES, Service),
        analysis_runs=informer(ANALYSIS_RUNS, AnalysisRun, controller=by_controller),
        experiments=informer(EXPERIMENTS, Experiment, controller=by_controller),
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in caches.all]
        for each in caches.all:
            await each.wait_synced()
        yield caches
        for task in tasks:
            task.cancel()


@virtual_time
async def test_a_cache_is_behind_until_the_write_comes_back_through_the_watch() -> None:
    sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
    sandbox.apply(ROLLOUT)
    async with following(sandbox) as caches:
        expectations = Expectations()
        made = sandbox.create(replica_set("cart-1"))
        version = made["metadata"]["resourceVersion"]
        expectations.note(KEY, REPLICA_SETS, NamespacedName("default", "cart-1"), version, 0.0)
        assert is_behind(caches, expectations, KEY, 0.0)
        await asyncio.sleep(1)
        assert not is_behind(caches, expectations, KEY, 1.0)
        assert expectations.expected(KEY) == (), "what was seen is not kept"


@virtual_time
async def test_an_object_that_was_deleted_after_the_write_is_not_waited_for() -> None:
    sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
    async with following(sandbox) as caches:
        expectations = Expectations()
        version = sandbox.create(replica_set("cart-1"))["metadata"]["resourceVersion"]
        sandbox.delete("replicasets", "cart-1")
        await asyncio.sleep(1)
        expectations.note(KEY, REPLICA_SETS, NamespacedName("default", "cart-1"), version, 1.0)
        assert not is_behind(caches, expectations, KEY, 1.0)


@virtual_time
async def test_a_snapshot_holds_own_and_orphaned_replica_sets_and_none_of_other_owners() -> None:
    sandbox = Sandbox(now=lambda: EPOCH, controllers=False)
    uid = sandbox.apply(ROLLOUT)[0]["metadata"]["uid"]
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "cart", "controller": True}
    sandbox.create(replica_set("own", ownerReferences=[{**owner, "uid": uid}]))
    sandbox.create(replica_set("foreign", ownerReferences=[{**owner, "uid": "another"}]))
    sandbox.create(replica_set("orphan"))
    async with following(sandbox) as caches:
        snapshot = snapshot_of(caches, KEY)
        assert snapshot is not None
        assert {each.metadata.name for each in snapshot.replica_sets} == {"own", "orphan"}
        assert snapshot_of(caches, NamespacedName("default", "other")) is None
