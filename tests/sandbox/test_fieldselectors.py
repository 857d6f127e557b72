import pytest

from prograde.sandbox.builtins import builtin_kinds
from prograde.sandbox.errors import StatusError
from prograde.sandbox.fieldselectors import parse_field_selector
from prograde.sandbox.kinds import Kind, Object

KINDS = {(kind.group, kind.plural): kind for kind in builtin_kinds()}
WIDGET = Kind(group="example.com", version="v1", kind="Widget", plural="widgets", selectable_fields=("spec.colour",))


def obj(**fields: object) -> Object:
    return {"metadata": {"name": "web", "namespace": "shop"}, **fields}


EVENT = obj(
    involvedObject={"kind": "Pod", "name": "web-1", "uid": "u1"},
    reason="Started",
    source={"component": "kubelet"},
    type="Normal",
)


@pytest.mark.parametrize(
    ("resource", "text", "subject", "expected"),
    [
        (("", "pods"), "", obj(), True),
        (("", "pods"), "metadata.name=web", obj(), True),
        (("", "pods"), "metadata.name==web,metadata.namespace=shop", obj(), True),
        (("", "pods"), "metadata.name!=web", obj(), False),
        (("", "pods"), "metadata.name=web,metadata.name=api", obj(), False),
        (("", "pods"), "metadata.namespace=other", obj(), False),
        (("", "pods"), "status.phase=Running", obj(status={"phase": "Running"}), True),
        (("", "pods"), "status.phase!=Running", obj(), True),
        (("", "pods"), "spec.nodeName=", obj(spec={}), True),
        (("", "pods"), "spec.hostNetwork=false", obj(spec={}), True),
        (("", "pods"), "spec.hostNetwork=true", obj(spec={"hostNetwork": True}), True),
        (("", "nodes"), "spec.unschedulable=true", obj(spec={"unschedulable": True}), True),
        (("", "nodes"), "spec.unschedulable=false", obj(), True),
        (("apps", "replicasets"), "status.replicas=0", obj(status={}), True),
        (("apps", "replicasets"), "status.replicas=3", obj(status={"replicas": 3}), True),
        (("batch", "jobs"), "status.successful=1", obj(status={"succeeded": 1}), True),
        (("", "secrets"), "type=Opaque", obj(type="Opaque"), True),
        (("", "services"), "spec.type=ClusterIP", obj(spec={"type": "ClusterIP"}), True),
        (("", "namespaces"), "status.phase=Active", obj(status={"phase": "Active"}), True),
        (("", "events"), "involvedObject.uid=u1,involvedObject.kind=Pod", EVENT, True),
        (("events.k8s.io", "events"), "regarding.name=web-1", EVENT, True),
        (("", "events"), "source=kubelet,type!=Warning,reason=Started", EVENT, True),
        (("", "events"), "reportingComponent=kubelet", EVENT, False),
        (("", "secrets"), r"type=a\,b\=c\\d", obj(type=r"a,b=c\d"), True),
    ],
)
def test_selectors_match_as_on_a_real_server(
    resource: tuple[str, str], text: str, subject: Object, expected: bool
) -> None:
    assert parse_field_selector(text, KINDS[resource]).matches(subject) is expected


def test_a_name_or_namespace_that_must_be_is_known_for_indexes() -> None:
    selector = parse_field_selector("metadata.name=web,metadata.namespace=shop", WIDGET)
    assert (selector.name, selector.namespace, selector.is_empty) == ("web", "shop", False)
    assert parse_field_selector("", WIDGET).is_empty


def test_a_custom_kind_is_selected_by_the_fields_it_declares() -> None:
    assert parse_field_selector("spec.colour=red", WIDGET).matches(obj(spec={"colour": "red"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spec.foo=1", "field label not supported: spec.foo"),
        ("spec.colour=red,other!=x", "field label not supported: other"),
        ("nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'"),
        ("spec.colour=a=b", "unescaped '='"),
        (r"spec.colour=a\b", "invalid escape sequence"),
    ],
)
def test_what_cannot_be_selected_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(StatusError, match=message) as raised:
        parse_field_selector(text, WIDGET)
    assert raised.value.code == 400
