"""What routers read: from caches that begin with their first use, or from the server where that is not possible."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.controller.knobs import KNOB_DEFINITION, KNOBS, SELECTION_LABEL, knob, knob_routers
from tests.controller.test_apply import ROLLOUT
from tests.kube.virtual_time import virtual_time

from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout
from prograde.controller.ondemand import InformersOnDemand
from prograde.controller.resources import ROLLOUTS
from prograde.controller.routing import FirstListMissing, RoutingObject, RoutingObjects, by_object, wanted_by
from prograde.core.objects import INGRESSES, ObjectKind, ObjectRef, Objects
from prograde.core.routing import Routed, Router, RoutersOf, RoutingIntent, Wanted
from prograde.kube.client import Client
from prograde.kube.errors import Forbidden
from prograde.kube.informer import Informer
from prograde.kube.resources import Resource
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer
from prograde.simulator.loop import EPOCH

REF = ObjectRef(KNOBS, "default", "cart")


def rollout(name: str = "cart", **metadata: Any) -> dict[str, Any]:
    strategy = {"canary": {"trafficRouting": {}}}
    return {**ROLLOUT, "metadata": {"name": name, **metadata}, "spec": {**ROLLOUT["spec"], "strategy": strategy}}


class Stage:
    """A cluster, the Rollouts of which are followed, and what they route with."""

    def __init__(
        self,
        routers_of: RoutersOf = knob_routers,
        *,
        has_knobs: bool = True,
        namespace: str = "",
        versions: dict[str, str] | None = None,
    ) -> None:
        self.sandbox = Sandbox(now=lambda: EPOCH, controllers=False, creates_namespaces=True)
        if has_knobs:
            self.sandbox.apply(KNOB_DEFINITION)
        self.woken: list[tuple[str, bool]] = []
        self.changed: list[str] = []
        client = Client(self.sandbox.transport("controller"), qps=0)
        rng = random.Random(1)
        self.rollouts = Informer(
            client,
            ROLLOUTS,
            msgspec.json.Decoder(Rollout).decode,
            rng=rng,
            indexers={"object": by_object(routers_of)},
        )
        self.informers = InformersOnDemand()
        self.objects = RoutingObjects(
            client,
            self.informers,
            self.rollouts,
            routers_of,
            wake=lambda key, urgent: self.woken.append((key.name, urgent)),
            changed=lambda kind, obj: self.changed.append(f"{kind.kind} {obj.metadata.name}"),
            rng=rng,
            versions=versions or {},
            namespace=namespace,
            ingress_classes=frozenset({"nginx", "alb"}),
        )

    def requests(self, resource: str = "knobs") -> list[str]:
        return [
            each.verb for each in self.sandbox.request_log if each.resource == resource and each.client == "controller"
        ]

    async def read(self, name: str = "cart") -> Objects:
        """Read as a pass does that is put off until the first list is there."""
        for _ in range(3):
            found = self.rollouts.get(NamespacedName("default", name))
            assert found is not None
            try:
                return await self.objects.read(found)
            except FirstListMissing:
                await asyncio.sleep(1)
        raise AssertionError("no first list")


@asynccontextmanager
async def stage(*rollouts: dict[str, Any], **options: Any) -> AsyncIterator[Stage]:
    on = Stage(**options)
    on.sandbox.apply(list(rollouts))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(on.rollouts.run()), group.create_task(on.informers.run())]
        await on.rollouts.wait_synced()
        yield on
        for task in tasks:
            task.cancel()


# --- From the cache ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_kind_is_listed_when_it_is_first_wanted_and_the_pass_is_put_off_until_then() -> None:
    async with stage(rollout()) as on:
        on.sandbox.apply(knob(weight=5))
        await asyncio.sleep(60)
        assert on.requests() == [], "nobody has asked"
        found = on.rollouts.get(NamespacedName("default", "cart"))
        assert found is not None
        with pytest.raises(FirstListMissing, match=r"knobs\.example\.com"):
            await on.objects.read(found)
        await asyncio.sleep(1)
        assert on.woken[-1] == ("cart", False), "the first list wakes the Rollout"
        objects = await on.objects.read(found)
        assert objects.found[REF]["spec"] == {"weight": 5}
        assert objects.unserved == frozenset()
        await on.read()
        assert on.requests() == ["list", "watch"], "one list and one watch serve all passes and all Rollouts"


@virtual_time
async def test_an_object_is_read_without_its_managed_fields_and_belongs_to_the_reader() -> None:
    async with stage(rollout()) as on:
        stored = on.sandbox.apply(knob(labels={"a": "b"}, annotations={"c": "d"}))[0]
        assert stored["metadata"]["managedFields"], "else this proves nothing"
        first: Any = (await on.read()).get(REF)
        assert first["metadata"] == {key: value for key, value in stored["metadata"].items() if key != "managedFields"}
        assert (first["apiVersion"], first["kind"]) == ("example.com/v1", "Knob")
        first["spec"]["weight"] = 99
        second: Any = (await on.read()).get(REF)
        assert second["spec"]["weight"] == 0


@virtual_time
async def test_an_object_that_does_not_exist_is_not_found_and_its_kind_is_served() -> None:
    async with stage(rollout()) as on:
        objects = await on.read()
        assert objects.get(REF) is None
        assert objects.unserved == frozenset()


@virtual_time
async def test_selected_objects_are_found_by_label_in_their_namespace_only() -> None:
    async with stage(rollout(labels={SELECTION_LABEL: "x"})) as on:
        on.sandbox.apply([knob("one", labels={SELECTION_LABEL: "x"}), knob("two", labels={SELECTION_LABEL: "y"})])
        on.sandbox.apply(knob("three", labels={SELECTION_LABEL: "x"}), namespace="other")
        assert [ref.name for ref in (await on.read()).found] == ["one"]


@virtual_time
async def test_without_routers_nothing_is_asked_for() -> None:
    async with stage(ROLLOUT) as on:
        assert await on.read() == Objects()
        assert on.requests() == []


@virtual_time
async def test_the_version_of_a_kind_is_the_operators_where_he_has_chosen_one() -> None:
    async with stage(rollout(), versions={"example.com": "v2"}) as on:
        on.sandbox.apply(knob())
        found: Any = (await on.read()).get(REF)
        assert found["apiVersion"] == "example.com/v2"
        paths = {each.path for each in on.sandbox.request_log if each.resource == "knobs" and not each.is_write}
        assert paths == {"/apis/example.com/v2/knobs"}


# --- Whom a change wakes ----------------------------------------------------------------------------------------------


@virtual_time
async def test_whatever_happens_to_an_object_wakes_the_rollouts_that_name_it_and_no_others() -> None:
    async with stage(rollout(), rollout("other")) as on:
        await on.read()
        on.woken.clear()
        on.sandbox.apply(knob())
        await asyncio.sleep(1)
        on.sandbox.patch("knobs", "cart", {"spec": {"weight": 7}})
        await asyncio.sleep(1)
        on.sandbox.delete("knobs", "cart")
        await asyncio.sleep(1)
        assert on.woken == [("cart", True)] * 3
        assert on.changed == ["Knob cart"] * 2, "of what is gone nothing can be cleaned"


@virtual_time
async def test_an_object_that_enters_or_leaves_a_selection_wakes_the_rollout() -> None:
    async with stage(rollout(labels={SELECTION_LABEL: "x"})) as on:
        await on.read()
        on.woken.clear()
        on.sandbox.apply(knob("one", labels={SELECTION_LABEL: "y"}))
        await asyncio.sleep(1)
        assert on.woken == []
        for value in ("x", "y"):
            on.sandbox.patch("knobs", "one", {"metadata": {"labels": {SELECTION_LABEL: value}}})
            await asyncio.sleep(1)
        assert on.woken == [("cart", True)] * 2


@virtual_time
async def test_a_rollout_that_wants_something_else_now_is_woken_by_that() -> None:
    async with stage(rollout(annotations={"knob-in": "there"})) as on:
        await on.read()
        on.woken.clear()
        on.sandbox.patch("rollouts", "cart", {"metadata": {"annotations": None}})
        await asyncio.sleep(1)
        on.sandbox.apply(knob(), namespace="there")
        await asyncio.sleep(1)
        assert on.woken == []
        on.sandbox.apply(knob())
        await asyncio.sleep(1)
        assert on.woken == [("cart", True)]


@virtual_time
async def test_whoever_else_routes_with_an_object_is_known() -> None:
    selecting = rollout("selecting", labels={SELECTION_LABEL: "x"})
    async with stage(rollout(), selecting, rollout("apart", labels={SELECTION_LABEL: "y"})) as on:
        on.sandbox.apply(knob(labels={SELECTION_LABEL: "x"}))
        for name, others in (("cart", ["selecting"]), ("selecting", ["cart"]), ("apart", [])):
            objects = await on.read(name)
            one = on.rollouts.get(NamespacedName("default", name))
            assert one is not None
            sharing = on.objects.sharing(one, objects)
            assert [other.metadata.name for other in sharing.get(REF, ())] == others


class _Named:
    """Wants one object of a kind, named like the Rollout."""

    name = "Named"

    def __init__(self, kind: ObjectKind, rollout: Rollout) -> None:
        self._wanted = Wanted((ObjectRef(kind, rollout.metadata.namespace, rollout.metadata.name),))

    def wanted(self) -> Wanted:
        return self._wanted

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        return Routed()


def ingress_routers(rollout: Rollout) -> tuple[Router, ...]:
    return (_Named(INGRESSES, rollout),)


@pytest.mark.parametrize(
    ("annotation", "field", "wakes"),
    [
        ("nginx", None, True),
        (None, "nginx", True),
        (None, "alb", True),
        ("other", "nginx", False),
        ("nginx", "other", True),
        (None, "other", False),
        (None, None, False),
    ],
)
@virtual_time
async def test_an_ingress_wakes_rollouts_if_its_class_is_one_of_those_that_are_looked_after(
    annotation: str | None, field: str | None, wakes: bool
) -> None:
    async with stage(rollout(), routers_of=ingress_routers) as on:
        await on.read()
        on.woken.clear()
        annotations = {"kubernetes.io/ingress.class": annotation} if annotation else {}
        spec: dict[str, Any] = {"defaultBackend": {"service": {"name": "cart", "port": {"number": 80}}}}
        on.sandbox.create(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": "cart", "annotations": annotations},
                "spec": {**spec, **({"ingressClassName": field} if field else {})},
            }
        )
        await asyncio.sleep(1)
        assert on.woken == ([("cart", True)] if wakes else [])
        found: Any = (await on.read()).get(ObjectRef(INGRESSES, "default", "cart"))
        assert found["kind"] == "Ingress", "it is read whatever its class"


def _defective(rollout: Rollout) -> tuple[Router, ...]:
    raise RuntimeError("a router with a defect")


@virtual_time
async def test_a_defect_of_a_router_is_logged_and_does_not_keep_rollouts_from_being_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage(rollout(), routers_of=_defective) as on:
        assert any("which objects Rollout default/cart routes with" in each.getMessage() for each in caplog.records)
        on.sandbox.apply(rollout("later"))
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="defect"):
            await on.read("later")


def test_what_several_routers_want_is_wanted_once() -> None:
    body = msgspec.json.encode(rollout(namespace="default"))
    one = msgspec.json.decode(body, type=Rollout)
    assert wanted_by(one, lambda _: (*knob_routers(one), *knob_routers(one))) == Wanted((REF,))


# --- What cannot be followed ------------------------------------------------------------------------------------------


@virtual_time
async def test_a_kind_that_is_not_served_is_reported_and_used_once_it_is() -> None:
    async with stage(rollout(), has_knobs=False) as on:
        assert (await on.read()).unserved == frozenset({KNOBS})
        await asyncio.sleep(600)
        assert 20 < len(on.requests()) < 200, "asked for again and again, but not in a loop"
        on.sandbox.apply(KNOB_DEFINITION)
        on.sandbox.apply(knob(weight=3))
        on.woken.clear()
        await asyncio.sleep(20)
        assert on.woken, "the Rollout is woken"
        objects = await on.read()
        assert objects.unserved == frozenset()
        assert objects.found[REF]["spec"] == {"weight": 3}


@virtual_time
async def test_a_kind_whose_definition_is_taken_away_is_reported_again() -> None:
    async with stage(rollout()) as on:
        on.sandbox.apply(knob())
        assert REF in (await on.read()).found
        on.sandbox.delete("customresourcedefinitions", "knobs.example.com", "")
        await asyncio.sleep(60)
        assert await on.read() == Objects(unserved=frozenset({KNOBS}))


@pytest.mark.parametrize("verb", ["list", "watch"])
@virtual_time
async def test_objects_that_may_be_read_but_not_followed_are_read_one_by_one(verb: str) -> None:
    async with stage(rollout()) as on:
        on.sandbox.apply(knob(weight=1))
        fault = on.sandbox.faults.add(Answer(403), verbs=verb, resource="knobs", client="controller")
        await on.read()
        await asyncio.sleep(1)
        on.sandbox.patch("knobs", "cart", {"spec": {"weight": 2}})
        assert (await on.read()).found[REF]["spec"] == {"weight": 2}, "fresh, although no watch tells of it"
        assert on.requests().count("get") >= 1
        assert on.objects.informer_of(_resource(KNOBS), "default") is None
        on.sandbox.faults.remove(fault)
        await asyncio.sleep(60)
        gets = on.requests().count("get")
        assert (await on.read()).found[REF]["spec"] == {"weight": 2}
        assert on.requests().count("get") == gets, "followed as soon as that is allowed"


@virtual_time
async def test_what_may_not_be_read_at_all_is_an_error_in_the_servers_words() -> None:
    async with stage(rollout()) as on:
        on.sandbox.faults.add(Answer(403), resource="knobs", client="controller")
        with pytest.raises(Forbidden, match=r"knobs\.example\.com"):
            await on.read()


@virtual_time
async def test_objects_of_another_namespace_than_the_watched_one_are_read_one_by_one() -> None:
    async with stage(rollout(annotations={"knob-in": "other"}), namespace="default") as on:
        on.sandbox.apply(knob(weight=4), namespace="other")
        ref = ObjectRef(KNOBS, "other", "cart")
        assert (await on.read()).found[ref]["spec"] == {"weight": 4}
        on.sandbox.delete("knobs", "cart", "other")
        assert ref not in (await on.read()).found
        listed = {each.namespace for each in on.sandbox.request_log if each.verb == "list" and each.resource == "knobs"}
        assert listed == {"default"}


@virtual_time
async def test_selected_objects_that_cannot_be_followed_are_listed_by_label() -> None:
    async with stage(rollout(labels={SELECTION_LABEL: "x"})) as on:
        on.sandbox.apply([knob("one", labels={SELECTION_LABEL: "x"}), knob("two", labels={SELECTION_LABEL: "y"})])
        on.sandbox.faults.add(Answer(403), verbs="watch", resource="knobs", client="controller")
        await on.read()
        await asyncio.sleep(1)
        assert [ref.name for ref in (await on.read()).found] == ["one"]


def _resource(kind: ObjectKind) -> Resource:
    return Resource(group=kind.group, version=kind.version, plural=kind.plural, kind=kind.kind)


def test_an_object_of_a_list_gets_the_kind_that_servers_leave_out() -> None:
    decode = RoutingObjects._decoder(INGRESSES, _resource(INGRESSES))
    obj = decode(b'{"metadata": {"name": "web", "managedFields": [{"manager": "kubectl"}]}, "spec": {}}')
    assert isinstance(obj, RoutingObject)
    assert obj.to_json() == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web"},
        "spec": {},
    }
