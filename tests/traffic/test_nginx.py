"""NGINX: the canary Ingress beside the user's own."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.traffic.world import NAMESPACE, UID, Cluster, header_route, rollout_with

from prograde.api.rollout import NginxTrafficRouting, Rollout, TrafficRouting, WeightDestination
from prograde.core.objects import INGRESSES, ObjectRef
from prograde.core.plan import CreateObject, Event, PatchObject, WaitReason
from prograde.core.routing import Routed
from prograde.traffic.nginx import NginxRouter, canary_ingress_name

PREFIX = "nginx.ingress.kubernetes.io"
STABLE_BACKEND = {"service": {"name": "stable", "port": {"number": 80}}}
CANARY_BACKEND = {"service": {"name": "canary", "port": {"number": 80}}}
OTHER_BACKEND = {"service": {"name": "other", "port": {"number": 80}}}


def ref(name: str) -> ObjectRef:
    return ObjectRef(INGRESSES, NAMESPACE, name)


def path_to(backend: dict[str, Any], path: str = "/") -> dict[str, Any]:
    return {"path": path, "pathType": "Prefix", "backend": backend}


def rule(*paths: dict[str, Any], host: str = "a.example") -> dict[str, Any]:
    return {"host": host, "http": {"paths": list(paths)}}


def ingress(*rules: Any, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Return an Ingress; without rules one path to the stable Service."""
    metadata = {"annotations": annotations} if annotations else {}
    return {"metadata": metadata, "spec": {**spec, "rules": list(rules) or [rule(path_to(STABLE_BACKEND))]}}


def owned(obj: dict[str, Any], uid: str = UID, **member: Any) -> dict[str, Any]:
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": uid, "controller": True}
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": [{**owner, **member}]}}


def canary_ingress(weight: int, *rules: Any, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a canary Ingress as the router has made it."""
    marks = {f"{PREFIX}/canary": "true", f"{PREFIX}/canary-weight": str(weight)}
    return owned(
        ingress(*rules or [rule(path_to(CANARY_BACKEND))], annotations={**marks, **(annotations or {})}, **spec)
    )


class Web:
    """A Rollout called web, its router and the Ingresses around it."""

    def __init__(
        self,
        objects: dict[str, dict[str, Any]],
        *,
        max_weight: int | None = None,
        name: str = "web",
        unserved: bool = False,
        **nginx: Any,
    ) -> None:
        config = NginxTrafficRouting(
            **(nginx if "stable_ingresses" in nginx else {"stable_ingress": "web-ing", **nginx})
        )
        self.rollout: Rollout = rollout_with(TrafficRouting(nginx=config, max_traffic_weight=max_weight), name=name)
        self.router = NginxRouter(self.rollout, config)
        self.cluster = Cluster(
            {ref(each): obj for each, obj in objects.items()}, unserved=[INGRESSES] if unserved else []
        )
        self._max_weight = 100 if max_weight is None else max_weight

    def ask(self, weight: int, **wish: Any) -> Routed:
        return self.cluster.ask(self.router, self.rollout, weight, max_weight=self._max_weight, **wish)

    def route(self, weight: int, **wish: Any) -> list[Any]:
        """Route, expecting success, and return the writes."""
        routed = self.ask(weight, **wish)
        assert (routed.error, routed.waits, routed.events, routed.verified) == ("", (), (), None)
        return self.cluster.carry_out(routed)

    def ingress(self, name: str = "web-web-ing-canary") -> Any:
        return self.cluster.objects[ref(name)]

    def annotations(self, name: str = "web-web-ing-canary") -> Any:
        return self.ingress(name)["metadata"]["annotations"]


def test_the_router_reads_the_stable_ingresses_and_their_canaries() -> None:
    web = Web({}, stable_ingresses=("a", "b", "a"))
    assert web.router.name == "Nginx"
    assert web.router.wanted().refs == (ref("a"), ref("web-a-canary"), ref("b"), ref("web-b-canary"))
    assert web.router.wanted().selections == ()


def test_a_canary_ingress_is_made_of_the_rules_that_lead_to_the_stable_service() -> None:
    stable = ingress(
        rule(path_to(STABLE_BACKEND), path_to(OTHER_BACKEND, "/api")),
        rule(path_to(OTHER_BACKEND), host="b.example"),
        annotations={"kubernetes.io/ingress.class": "nginx", "my.org/x": "1"},
        tls=[{"hosts": ["a.example"], "secretName": "t"}],
        defaultBackend=STABLE_BACKEND,
    )
    web = Web({"web-ing": stable})
    (create,) = web.route(15)
    assert create == CreateObject(
        ref=ref("web-web-ing-canary"),
        manifest={
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": "web-web-ing-canary",
                "namespace": NAMESPACE,
                "annotations": {
                    "kubernetes.io/ingress.class": "nginx",
                    "nginx.ingress.kubernetes.io/canary": "true",
                    "nginx.ingress.kubernetes.io/canary-weight": "15",
                },
                "ownerReferences": [
                    {
                        "apiVersion": "argoproj.io/v1alpha1",
                        "kind": "Rollout",
                        "name": "web",
                        "uid": UID,
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "spec": {
                "tls": [{"hosts": ["a.example"], "secretName": "t"}],
                "rules": [rule(path_to(CANARY_BACKEND), path_to(OTHER_BACKEND, "/api"))],
            },
        },
        events=(Event("CreatingCanaryIngress", "Creating canary ingress `web-web-ing-canary` with weight `15`"),),
        failure=Event("TrafficRoutingError", "error creating canary ingress `web-web-ing-canary`", "Warning"),
    )
    assert web.cluster.objects[ref("web-ing")]["spec"] == stable["spec"]
    assert web.route(15) == []


def test_a_new_weight_is_one_patch_that_holds_nothing_else() -> None:
    web = Web({"web-ing": ingress(), "web-web-ing-canary": canary_ingress(10)})
    assert web.route(15) == [
        PatchObject(
            ref=ref("web-web-ing-canary"),
            patch={"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary-weight": "15"}}},
            events=(Event("PatchingCanaryIngress", "Updating Ingress `web-web-ing-canary` to desiredWeight '15'"),),
            failure=Event("TrafficRoutingError", "error patching canary ingress `web-web-ing-canary`", "Warning"),
        )
    ]


def test_nothing_is_written_when_the_canary_is_as_it_should_be() -> None:
    web = Web({"web-ing": ingress(), "web-web-ing-canary": canary_ingress(10)})
    assert web.ask(10) == Routed()


def test_a_canary_that_turns_up_after_a_create_that_was_refused_is_patched() -> None:
    web = Web({"web-ing": ingress()})
    assert isinstance(web.ask(10).groups[0][0], CreateObject)
    web.cluster.put(ref("web-web-ing-canary"), canary_ingress(5))
    (patch,) = web.route(10)
    assert patch.patch == {"metadata": {"annotations": {f"{PREFIX}/canary-weight": "10"}}}


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(ingress(), id="no owner"),
        pytest.param(owned(ingress(), uid="another"), id="another controller"),
        pytest.param(owned(ingress(), controller=False), id="owned, but not controlled"),
    ],
)
def test_a_canary_ingress_of_somebody_else_is_left_alone(existing: dict[str, Any]) -> None:
    routed = Web({"web-ing": ingress(), "web-web-ing-canary": existing}).ask(10)
    assert routed.groups == ()
    assert routed.error == "canary ingress `web-web-ing-canary` controlled by different object"
    (wait,) = routed.waits
    assert (wait.reason, wait.object) == (WaitReason.TRAFFIC_NOT_ROUTED, "Ingress web-ing")
    assert wait.field == "spec.strategy.canary.trafficRouting.nginx"
    assert wait.remedy == "delete Ingress web-web-ing-canary, so that it can be created for this Rollout"


@pytest.mark.parametrize(
    ("objects", "error"),
    [
        pytest.param(
            {},
            'error retrieving stableIngress `web-ing` from cache: ingress.networking.k8s.io "web-ing" not found',
            id="missing",
        ),
        pytest.param(
            {"web-ing": ingress(rule(path_to(OTHER_BACKEND)))},
            "ingress `web-ing` has no rules using service stable backend",
            id="leads elsewhere",
        ),
        pytest.param(
            {"web-ing": {"metadata": {}, "spec": {"defaultBackend": STABLE_BACKEND}}},
            "ingress `web-ing` has no rules using service stable backend",
            id="the default backend does not count",
        ),
    ],
)
def test_a_stable_ingress_that_cannot_be_copied_is_an_error_before_any_write(
    objects: dict[str, Any], error: str
) -> None:
    routed = Web({**objects, "web-web-ing-canary": canary_ingress(10)}).ask(20)
    assert (routed.groups, routed.error) == ((), error)
    assert [(wait.message, wait.object) for wait in routed.waits] == [(error, "Ingress web-ing")]
    assert routed.waits[0].remedy in (
        "create the Ingress, or name one that exists",
        "let a path of the Ingress lead to Service stable",
    )


def test_an_api_server_without_ingresses_is_an_error_that_says_so() -> None:
    routed = Web({}, unserved=True).ask(10)
    assert routed.error == (
        "error retrieving stableIngress `web-ing` from cache: the API server does not know ingresses.networking.k8s.io"
    )


def test_each_canary_mirrors_the_certificates_of_its_own_stable_ingress() -> None:
    first, second = [{"hosts": ["a"], "secretName": "a"}], [{"hosts": ["b"], "secretName": "b"}]
    web = Web({"a": ingress(tls=first), "b": ingress(tls=second), "c": ingress()}, stable_ingresses=("a", "b", "c"))
    web.route(10)
    assert web.ingress("web-a-canary")["spec"]["tls"] == first
    assert web.ingress("web-b-canary")["spec"]["tls"] == second
    assert "tls" not in web.ingress("web-c-canary")["spec"]
    del web.cluster.objects[ref("a")]["spec"]["tls"]
    (patch,) = web.route(10)
    assert patch.patch["spec"] == {"tls": None}


@pytest.mark.parametrize(
    ("annotations", "spec"),
    [
        ({"kubernetes.io/ingress.class": "nginx"}, {}),
        ({}, {"ingressClassName": "nginx-ext"}),
        ({"kubernetes.io/ingress.class": "nginx"}, {"ingressClassName": "nginx-ext"}),
    ],
)
def test_the_class_is_copied_however_it_is_written(annotations: dict[str, str], spec: dict[str, str]) -> None:
    web = Web({"web-ing": ingress(annotations=annotations, **spec)})
    web.route(10)
    assert web.annotations().items() >= annotations.items()
    assert {key: value for key, value in web.ingress()["spec"].items() if key != "rules"} == spec
    assert "kubernetes.io/ingress.class" not in web.annotations() or annotations


def test_annotations_and_labels_of_others_stay_and_ours_are_put_right() -> None:
    canary = canary_ingress(10, annotations={f"{PREFIX}/canary": "false", "other.org/note": "mine"})
    canary["metadata"] |= {"labels": {"team": "a"}, "finalizers": ["other.org/x"]}
    web = Web({"web-ing": ingress(), "web-web-ing-canary": canary})
    (patch,) = web.route(10)
    assert patch.patch == {"metadata": {"annotations": {f"{PREFIX}/canary": "true"}}}
    assert web.annotations()["other.org/note"] == "mine"
    assert web.ingress()["metadata"]["labels"] == {"team": "a"}
    assert web.ingress()["metadata"]["finalizers"] == ["other.org/x"]


def test_further_annotations_get_the_prefix_unless_they_have_it_or_are_meant_verbatim() -> None:
    web = Web(
        {"web-ing": ingress()},
        additional_ingress_annotations={"canary-by-header": "X-Foo", f"{PREFIX}/canary-by-cookie": "c", "canary": "no"},
        canary_ingress_annotations={"my.org/anything": "1", f"{PREFIX}/canary-by-cookie": "wins"},
    )
    web.route(10)
    assert web.annotations() == {
        f"{PREFIX}/canary-by-header": "X-Foo",
        f"{PREFIX}/canary-by-cookie": "wins",
        "my.org/anything": "1",
        f"{PREFIX}/canary": "true",
        f"{PREFIX}/canary-weight": "10",
    }


def test_the_prefix_of_all_annotations_can_be_another_one() -> None:
    web = Web(
        {"web-ing": ingress()},
        annotation_prefix="customingress.nginx.ingress.kubernetes.io",
        additional_ingress_annotations={"canary-by-header": "X-Foo"},
        max_weight=1000,
    )
    web.route(10)
    assert web.annotations() == {
        "customingress.nginx.ingress.kubernetes.io/canary-by-header": "X-Foo",
        "customingress.nginx.ingress.kubernetes.io/canary": "true",
        "customingress.nginx.ingress.kubernetes.io/canary-weight": "10",
        "customingress.nginx.ingress.kubernetes.io/canary-weight-total": "1000",
    }


def test_an_annotation_that_leaves_the_rollout_stays_on_the_canary_ingress() -> None:
    canary = canary_ingress(10, annotations={f"{PREFIX}/canary-by-header": "X-Foo"})
    assert Web({"web-ing": ingress(), "web-web-ing-canary": canary}).route(10) == []


def test_the_total_of_the_weights_is_written_when_it_is_set() -> None:
    web = Web({"web-ing": ingress(), "web-web-ing-canary": canary_ingress(10)}, max_weight=1000)
    (patch,) = web.route(15)
    assert patch.patch == {
        "metadata": {"annotations": {f"{PREFIX}/canary-weight": "15", f"{PREFIX}/canary-weight-total": "1000"}}
    }


def test_a_total_that_is_no_longer_set_goes_because_weights_would_mean_less() -> None:
    canary = canary_ingress(10, annotations={f"{PREFIX}/canary-weight-total": "1000"})
    web = Web({"web-ing": ingress(), "web-web-ing-canary": canary})
    (patch,) = web.route(10)
    assert patch.patch == {"metadata": {"annotations": {f"{PREFIX}/canary-weight-total": None}}}
    assert web.route(10) == []


def test_a_total_among_the_users_own_annotations_stays() -> None:
    web = Web({"web-ing": ingress()}, additional_ingress_annotations={"canary-weight-total": "200"})
    web.route(10)
    assert web.annotations()[f"{PREFIX}/canary-weight-total"] == "200"
    assert web.route(10) == []


def test_a_changed_path_replaces_the_rules_of_the_canary_on_the_version_that_was_read() -> None:
    stable = ingress(rule(path_to(STABLE_BACKEND, "/bar")))
    web = Web({"web-ing": stable, "web-web-ing-canary": canary_ingress(10, rule(path_to(CANARY_BACKEND, "/foo")))})
    version = web.ingress()["metadata"]["resourceVersion"]
    (patch,) = web.route(10)
    assert patch.patch == {
        "metadata": {"resourceVersion": version},
        "spec": {"rules": [rule(path_to(CANARY_BACKEND, "/bar"))]},
    }


def test_names_are_cut_before_the_suffix() -> None:
    rollout = rollout_with(None)
    name = canary_ingress_name(rollout, "i" * 260)
    assert len(name) == 253
    assert name == "web-" + "i" * 242 + "-canary"
    assert len(canary_ingress_name(rollout, "i" * 242)) == 253
    assert canary_ingress_name(rollout, "i" * 241) == "web-" + "i" * 241 + "-canary"
    assert canary_ingress_name(rollout, "") == ""


def test_several_stable_ingresses_are_handled_one_by_one_and_the_first_error_ends_it() -> None:
    objects = {"a": ingress(), "b": ingress(rule(path_to(OTHER_BACKEND))), "c": ingress()}
    web = Web(objects, stable_ingresses=("a", "b", "c"))
    routed = web.ask(10)
    assert routed.error == "ingress `b` has no rules using service stable backend"
    assert [[action.ref for action in group] for group in routed.groups] == [[ref("web-a-canary")]]
    web.cluster.carry_out(routed)
    web.cluster.put(ref("b"), ingress())
    assert [action.ref.name for action in web.route(10)] == ["web-b-canary", "web-c-canary"]


def test_on_the_way_back_every_ingress_is_brought_in_line_that_can_be() -> None:
    objects = {"b": ingress(), "c": ingress(), "web-b-canary": canary_ingress(50), "web-c-canary": canary_ingress(50)}
    web = Web(objects, stable_ingresses=("a", "b", "c"))
    assert web.ask(0).groups == ()
    routed = web.ask(0, is_going_back=True)
    assert [[action.ref.name for action in group] for group in routed.groups] == [["web-b-canary", "web-c-canary"]]
    assert routed.error == ('error retrieving stableIngress `a` from cache: ingress.networking.k8s.io "a" not found')
    assert [wait.object for wait in routed.waits] == ["Ingress a"]


def test_several_stable_ingresses_are_groups_of_their_own_so_that_a_failure_stops_the_rest() -> None:
    routed = Web({"a": ingress(), "b": ingress()}, stable_ingresses=("a", "b", "a")).ask(10)
    assert [len(group) for group in routed.groups] == [1, 1]


def test_an_empty_list_of_ingresses_routes_nothing() -> None:
    web = Web({}, stable_ingresses=())
    assert web.ask(10) == Routed()
    assert web.router.wanted().refs == ()


def test_after_the_promotion_the_canary_ingress_stays_with_no_weight() -> None:
    web = Web({"web-ing": ingress(), "web-web-ing-canary": canary_ingress(100)})
    web.route(0)
    assert web.annotations() == {f"{PREFIX}/canary": "true", f"{PREFIX}/canary-weight": "0"}


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param({"host": "a.example"}, id="a rule without paths"),
        pytest.param(rule({"path": "/r", "backend": {"resource": {"kind": "Bucket", "name": "b"}}}), id="a resource"),
        pytest.param({"http": None}, id="null"),
        pytest.param(None, id="no rule at all"),
    ],
)
def test_what_leads_to_no_service_is_passed_over(strange: Any) -> None:
    web = Web({"web-ing": ingress(strange, rule(path_to(STABLE_BACKEND)))})
    web.route(10)
    assert web.ingress()["spec"]["rules"] == [rule(path_to(CANARY_BACKEND))]


def test_a_path_to_a_resource_is_copied_with_the_rule_that_has_it() -> None:
    resource = {"path": "/r", "pathType": "Prefix", "backend": {"resource": {"kind": "Bucket", "name": "b"}}}
    web = Web({"web-ing": ingress(rule(resource, path_to(STABLE_BACKEND)))})
    web.route(10)
    assert web.ingress()["spec"]["rules"] == [rule(resource, path_to(CANARY_BACKEND))]


def test_destinations_and_header_routes_mean_nothing_here() -> None:
    web = Web({"web-ing": ingress(), "web-web-ing-canary": canary_ingress(10)})
    extra = WeightDestination(weight=5, service_name="exp", pod_template_hash="abc")
    assert web.ask(10, additional=[extra], routes=[header_route("hdr", X_Canary="true")]) == Routed()


BACKENDS = st.sampled_from([STABLE_BACKEND, OTHER_BACKEND, CANARY_BACKEND, {"resource": {"name": "b"}}, {}])
RULES = st.lists(
    st.builds(
        lambda backends, host: rule(*(path_to(each, f"/{i}") for i, each in enumerate(backends)), host=host),
        st.lists(BACKENDS, max_size=3),
        st.sampled_from(["a.example", "b.example"]),
    ),
    max_size=3,
)
TEXTS = st.dictionaries(
    st.sampled_from([f"{PREFIX}/canary", "x.org/a", f"{PREFIX}/canary-weight-total"]), st.text(max_size=3)
)


@given(
    rules=RULES,
    old_rules=RULES,
    annotations=TEXTS,
    old=TEXTS,
    labels=TEXTS,
    weight=st.integers(0, 100),
    max_weight=st.sampled_from([None, 100, 1000]),
    has_canary=st.booleans(),
)
def test_routing_twice_writes_once_and_keeps_what_others_wrote(
    rules: list[Any],
    old_rules: list[Any],
    annotations: dict[str, str],
    old: dict[str, str],
    labels: dict[str, str],
    weight: int,
    max_weight: int | None,
    has_canary: bool,
) -> None:
    stable = ingress(*rules, rule(path_to(STABLE_BACKEND)), annotations=annotations)
    canary = owned(ingress(*old_rules, annotations=old))
    canary["metadata"]["labels"] = labels
    before = copy.deepcopy(stable["spec"])
    web = Web({"web-ing": stable, **({"web-web-ing-canary": canary} if has_canary else {})}, max_weight=max_weight)
    assert len(web.route(weight)) <= 1
    assert web.route(weight) == []
    assert web.cluster.objects[ref("web-ing")]["spec"] == before
    found = web.annotations()
    assert found[f"{PREFIX}/canary-weight"] == str(weight)
    assert found.get(f"{PREFIX}/canary-weight-total") == (None if max_weight is None else str(max_weight))
    if has_canary:
        assert found.get("x.org/a") == old.get("x.org/a")
        assert web.ingress()["metadata"]["labels"] == labels
    services = [
        path["backend"].get("service") for each in web.ingress()["spec"]["rules"] for path in each["http"]["paths"]
    ]
    assert STABLE_BACKEND["service"] not in services
