"""The cluster side of this package against the embedded cluster: a server that was written without knowing it.

Everything runs in one process and in virtual time; what goes wrong is drawn from a seed that a failing test names.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.kube.virtual_time import virtual_time, wall_clock

from prograde.api.meta import ObjectMeta, key_of
from prograde.kube import errors
from prograde.kube.client import APPLY_PATCH, JSON_PATCH, STRATEGIC_PATCH, Client
from prograde.kube.events import EventRecorder, ObjectReference
from prograde.kube.informer import Informer
from prograde.kube.lease import LeaderElector, LeadershipLost
from prograde.kube.resources import LEASES, PODS, Key, Resource
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import (
    Answer,
    CutWatch,
    Delay,
    DelayEvents,
    Disconnect,
    ExpireWatch,
    RepeatEvents,
    WithholdBookmarks,
)

CONFIG_MAPS = Resource(plural="configmaps", kind="ConfigMap")
ROLLOUTS = Resource(group="argoproj.io", version="v1alpha1", plural="rollouts", kind="Rollout")
DEPLOYMENTS = Resource(group="apps", plural="deployments", kind="Deployment")


class ConfigMap(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    data: dict[str, str] = {}


decode = msgspec.json.Decoder(ConfigMap).decode


def make_sandbox(**options: Any) -> Sandbox:
    return Sandbox(now=wall_clock, controllers=False, **options)


def client_of(sandbox: Sandbox, **options: Any) -> Client:
    return Client(sandbox.transport("test/1"), rng=random.Random(1), **{"qps": 0, **options})


def config_map(name: str, value: str = "", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "data": {"value": value},
    }


class Mirror:
    """What a subscriber knows from being told of changes only."""

    def __init__(self) -> None:
        self.objects: dict[Key, ConfigMap] = {}
        self.versions: dict[str, int] = {}
        self.complaints: list[str] = []

    def on_change(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        key, known = key_of(obj), self.objects.get(key_of(obj))
        if old is None and known is not None:
            self.complaints.append(f"{key}: added twice")
        if old is not None and known is None:
            self.complaints.append(f"{key}: changed or deleted, yet never added")
        if old is not None and new is not None and known is not old:
            self.complaints.append(f"{key}: the old object is not the one told before")
        version = int(obj.metadata.resource_version)
        if version < self.versions.get(obj.metadata.uid, 0):
            self.complaints.append(f"{key}: went back to version {version}")
        self.versions[obj.metadata.uid] = version
        if new is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = new


@asynccontextmanager
async def informing(sandbox: Sandbox, **options: Any) -> AsyncIterator[tuple[Informer[ConfigMap], Mirror]]:
    mirror = Mirror()
    rng = random.Random(1)
    informer = Informer(client_of(sandbox), CONFIG_MAPS, decode, rng=rng, namespace="default", **options)
    informer.subscribe(mirror.on_change)
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(3600):
            await informer.wait_synced()
        yield informer, mirror
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def stored(sandbox: Sandbox) -> dict[str, tuple[str, str]]:
    """Return version and value of what the server has, by name."""
    found = sandbox.list("configmaps", "default")
    return {obj["metadata"]["name"]: (obj["metadata"]["resourceVersion"], obj["data"]["value"]) for obj in found}


def known(objects: list[ConfigMap]) -> dict[str, tuple[str, str]]:
    return {obj.metadata.name: (obj.metadata.resource_version, obj.data["value"]) for obj in objects}


def write_something(sandbox: Sandbox, rng: random.Random) -> None:
    """Create, change, delete, or delete and create again one of a few objects."""
    name, value = f"m{rng.randrange(6)}", str(rng.randrange(1000))
    exists = name in stored(sandbox)
    choice = rng.random()
    if exists and choice < 0.3:
        sandbox.delete("configmaps", name)
        if choice < 0.1:
            sandbox.create(config_map(name, value))
    elif exists:
        sandbox.patch("configmaps", name, {"data": {"value": value}})
    else:
        sandbox.create(config_map(name, value))


FAULTS: list[Callable[[Sandbox, random.Random], object]] = [
    lambda sandbox, rng: sandbox.faults.add(CutWatch(rng.randrange(4)), verbs="watch", probability=0.5),
    lambda sandbox, rng: sandbox.faults.add(
        CutWatch(rng.randrange(4), is_mid_line=True), verbs="watch", probability=0.5
    ),
    lambda sandbox, rng: sandbox.faults.add(ExpireWatch(rng.randrange(4)), verbs="watch", probability=0.3),
    lambda sandbox, rng: sandbox.faults.add(RepeatEvents(rng.randrange(1, 20)), verbs="watch", probability=0.5),
    lambda sandbox, rng: sandbox.faults.add(DelayEvents(rng.random() * 20), verbs="watch", probability=0.5),
    lambda sandbox, rng: sandbox.faults.add(WithholdBookmarks(), verbs="watch"),
    lambda sandbox, rng: sandbox.faults.add(Answer(429, retry_after_seconds=rng.randrange(3)), probability=0.3),
    lambda sandbox, rng: sandbox.faults.add(Answer(500), probability=0.3),
    lambda sandbox, rng: sandbox.faults.add(Answer(503, when="after"), probability=0.3),
    lambda sandbox, rng: sandbox.faults.add(Disconnect(), probability=0.3),
    lambda sandbox, rng: sandbox.faults.add(Disconnect(when="after", silent_seconds=rng.random() * 5), probability=0.3),
    lambda sandbox, rng: sandbox.faults.add(Delay(rng.random() * 10), probability=0.5),
]


@pytest.mark.parametrize("seed", range(60))
def test_under_any_mixture_of_faults_an_informer_ends_up_with_what_the_server_has(seed: int) -> None:
    @virtual_time
    async def check() -> None:
        rng = random.Random(seed)
        sandbox = make_sandbox(seed_number=seed)
        for add_fault in rng.sample(FAULTS, rng.randrange(1, 6)):
            add_fault(sandbox, rng)
        async with informing(sandbox, page_size=rng.choice([1, 2, 500])) as (informer, mirror):
            for _ in range(150):
                write_something(sandbox, rng)
                if rng.random() < 0.02:
                    sandbox.compact()
                if rng.random() < 0.02:
                    sandbox.expire_watches()
                await asyncio.sleep(rng.choice([0, 0, 0.1, 5]))
            sandbox.faults.heal()
            # A watch that began with a fault keeps it for its life of at most 330 s, a back-off is at most 60 s.
            await asyncio.sleep(700)
            assert known(informer.all()) == stored(sandbox)
            assert known(list(mirror.objects.values())) == stored(sandbox)
            assert mirror.complaints == []
        assert len(sandbox.request_log) < 3000

    check()


@virtual_time
async def test_label_selectors_are_applied_by_the_server_and_leaving_them_is_a_deletion() -> None:
    sandbox = make_sandbox()
    sandbox.create(config_map("a", labels={"app": "x"}))
    sandbox.create(config_map("b"))
    async with informing(sandbox, label_selector="app=x") as (informer, mirror):
        await asyncio.sleep(1)
        assert set(known(informer.all())) == {"a"}
        sandbox.patch("configmaps", "b", {"metadata": {"labels": {"app": "x"}}})
        sandbox.patch("configmaps", "a", {"metadata": {"labels": {"app": "y"}}})
        await asyncio.sleep(1)
        assert set(known(informer.all())) == {"b"}
        assert mirror.complaints == []


@virtual_time
async def test_days_of_quiet_need_no_new_list() -> None:
    sandbox = make_sandbox()
    async with informing(sandbox) as (informer, _):
        for n in range(24):
            await asyncio.sleep(3600)
            sandbox.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{n}"}})
        sandbox.create(config_map("a", "1"))
        await asyncio.sleep(1)
        assert "a" in known(informer.all())
        lists = [entry for entry in sandbox.request_log if entry.verb == "list"]
        assert len(lists) <= 1


# -- the client's verbs and errors ------------------------------------------------------------------------------


@virtual_time
async def test_every_kind_of_patch() -> None:
    sandbox = make_sandbox()
    client = client_of(sandbox)
    await client.create(CONFIG_MAPS, "default", config_map("a", "0"))
    await client.patch(CONFIG_MAPS, "default", "a", {"data": {"value": "1"}})
    operations = [{"op": "test", "path": "/data/value", "value": "1"}, {"op": "add", "path": "/data/x", "value": "2"}]
    await client.patch(CONFIG_MAPS, "default", "a", operations, content_type=JSON_PATCH)
    await client.patch(CONFIG_MAPS, "default", "a", {"data": {"y": "3"}}, content_type=STRATEGIC_PATCH)
    applied = config_map("a") | {"data": {"z": "4"}}
    answer = await client.patch(
        CONFIG_MAPS, "default", "a", applied, content_type=APPLY_PATCH, field_manager="me", force=True
    )
    assert answer.to(ConfigMap).data == {"value": "1", "x": "2", "y": "3", "z": "4"}


@virtual_time
async def test_refusals_come_out_as_their_types() -> None:
    sandbox = make_sandbox()
    client = client_of(sandbox)
    answer = await client.create(CONFIG_MAPS, "default", config_map("a"))
    version = answer.to(ConfigMap).metadata.resource_version
    with pytest.raises(errors.AlreadyExists, match=r'create configmaps default: configmaps "a" already exists'):
        await client.create(CONFIG_MAPS, "default", config_map("a"))
    with pytest.raises(errors.NotFound, match=r'get configmaps default/b: configmaps "b" not found'):
        await client.get(CONFIG_MAPS, "default", "b")
    await client.patch(CONFIG_MAPS, "default", "a", {"data": {"value": "new"}})
    with pytest.raises(errors.Conflict, match="the object has been modified"):
        await client.update(CONFIG_MAPS, "default", "a", config_map("a", resourceVersion=version))
    with pytest.raises(errors.Conflict, match="precondition"):
        await client.delete(CONFIG_MAPS, "default", "a", uid="other")
    with pytest.raises(errors.Invalid) as invalid:
        await client.create(CONFIG_MAPS, "default", config_map("Not A Name"))
    assert invalid.value.causes[0].field == "metadata.name"
    with pytest.raises(errors.NotFound):
        await client.create(CONFIG_MAPS, "nowhere", config_map("a") | {"metadata": {"name": "a"}})
    with pytest.raises(errors.BadRequest):
        await client.create(CONFIG_MAPS, "default", b"{")


@virtual_time
async def test_an_expired_watch_is_gone() -> None:
    sandbox = make_sandbox()
    client = client_of(sandbox)
    sandbox.create(config_map("a"))
    sandbox.patch("configmaps", "a", {"data": {"value": "1"}})
    sandbox.compact()
    async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=5) as pieces:
        assert b'"code":410' in b"".join([piece async for piece in pieces])


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (ROLLOUTS, True),
        (DEPLOYMENTS, True),
        (PODS, True),
        (Resource(group="networking.istio.io", plural="virtualservices", kind="VirtualService"), False),
        (Resource(group="argoproj.io", version="v1", plural="rollouts", kind="Rollout"), False),
        (Resource(group="apps", plural="gadgets", kind="Gadget"), False),
    ],
)
def test_discovery(resource: Resource, expected: bool) -> None:
    @virtual_time
    async def check() -> None:
        assert await client_of(make_sandbox()).serves(resource) is expected

    check()


# -- leases and events ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_under_any_mixture_of_faults_there_are_never_two_leaders_and_at_last_there_is_one(seed: int) -> None:
    @virtual_time
    async def check() -> None:
        rng = random.Random(seed)
        sandbox = make_sandbox(seed_number=seed)
        leading: set[str] = set()

        async def process(name: str) -> None:
            """Want to lead, for ever; a process that has lost the lease starts anew with another identity."""
            skew = timedelta(seconds=rng.randrange(-3600, 3600))
            for life in range(1000):
                identity = f"{name}-{life}"

                async def lead(identity: str = identity) -> None:
                    leading.add(identity)
                    assert leading == {identity}, f"two leaders: {leading}"
                    try:
                        await asyncio.Event().wait()
                    finally:
                        leading.discard(identity)

                elector = LeaderElector(
                    client_of(sandbox),
                    namespace="default",
                    name="lock",
                    identity=identity,
                    now=lambda: wall_clock() + skew,
                    rng=random.Random(f"{seed} {identity}"),
                    release=rng.random() < 0.5,
                )
                try:
                    async with asyncio.timeout(rng.uniform(20, 300)):
                        await elector.run(lead)
                except (LeadershipLost, TimeoutError):
                    await asyncio.sleep(rng.random() * 10)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(process(name)) for name in "abc"]
            for _ in range(40):
                sandbox.faults.heal()
                if rng.random() < 0.5:
                    sandbox.faults.add(Answer(rng.choice([409, 429, 500, 503])), probability=rng.random())
                if rng.random() < 0.5:
                    sandbox.faults.add(Delay(rng.random() * 12), probability=rng.random())
                if rng.random() < 0.5:
                    when = rng.choice(["before", "after"])
                    sandbox.faults.add(Disconnect(when, rng.random() * 5), probability=rng.random())
                await asyncio.sleep(rng.random() * 60)
            sandbox.faults.heal()
            led_seconds = 0
            for _ in range(600):
                await asyncio.sleep(1)
                led_seconds += len(leading)
            assert led_seconds > 300  # changes of leader included, after which the others wait for up to 24 s
            for task in tasks:
                task.cancel()

    check()


@virtual_time
async def test_a_lease_is_valid_to_the_server() -> None:
    sandbox = make_sandbox()
    elector = LeaderElector(
        client_of(sandbox), namespace="default", name="lock", identity="me", now=wall_clock, rng=random.Random(1)
    )
    finish = asyncio.Event()

    async def lead() -> None:
        await finish.wait()

    task = asyncio.create_task(elector.run(lead))
    await asyncio.sleep(10)
    lease = sandbox.get((LEASES.group, LEASES.plural), "lock")
    assert lease["spec"]["holderIdentity"] == "me"
    assert lease["spec"]["renewTime"] == "2026-01-01T00:16:48.000000Z"
    finish.set()
    await task


@virtual_time
async def test_events_are_valid_to_the_server_and_counted() -> None:
    sandbox = make_sandbox()
    obj = sandbox.create(config_map("a"))
    recorder = EventRecorder(client_of(sandbox), component="test", now=wall_clock, rng=random.Random(1))
    task = asyncio.create_task(recorder.run())
    about = ObjectReference(
        api_version="v1", kind="ConfigMap", namespace="default", name="a", uid=obj["metadata"]["uid"]
    )
    sandbox.faults.add(Disconnect(when="after"), verbs="create", resource="events", times=1)
    for _ in range(3):
        recorder.record(about, "Normal", "Tested", "it works")
    recorder.record(about, "Warning", "Failed", "it does not")
    await asyncio.sleep(60)
    found = [(event["reason"], event["count"], event["type"]) for event in sandbox.events("ConfigMap/a")]
    assert sorted(found) == [("Failed", 1, "Warning"), ("Tested", 3, "Normal")]
    recorder.close()
    await task
