import pytest

from prograde.kube.transport import Request
from prograde.sandbox import requestlog
from prograde.sandbox.requestlog import RequestLog

PODS = "/api/v1/namespaces/shop/pods"


@pytest.mark.parametrize(
    ("method", "path", "query", "verb", "is_write"),
    [
        ("GET", PODS, (), "list", False),
        ("GET", PODS, (("watch", "true"),), "watch", False),
        ("GET", f"{PODS}/p", (), "get", False),
        ("HEAD", f"{PODS}/p", (), "get", False),
        ("POST", PODS, (), "create", True),
        ("PUT", f"{PODS}/p", (), "update", True),
        ("PATCH", f"{PODS}/p/status", (), "patch", True),
        ("DELETE", f"{PODS}/p", (), "delete", True),
        ("DELETE", PODS, (), "deletecollection", True),
        ("GET", "/version", (), "get", False),
        ("OPTIONS", PODS, (), "options", False),
    ],
)
def test_requests_are_known_by_their_verbs(
    method: str, path: str, query: tuple[tuple[str, str], ...], verb: str, is_write: bool
) -> None:
    log = RequestLog()
    log.add(Request(method=method, path=path, query=query), 200, 0, 0.0)
    (entry,) = log
    assert (entry.verb, entry.is_write) == (verb, is_write)
    assert len(log.writes()) == is_write


def test_an_entry_says_what_it_was_about() -> None:
    log = RequestLog()
    request = Request(method="PATCH", path=f"{PODS}/p/status", headers={"user-agent": "me/1.0 (x)"})
    log.add(request, 409, 12, 0.5)
    (entry,) = log
    assert (entry.resource, entry.namespace, entry.name, entry.client) == ("pods/status", "shop", "p", "me")
    assert (entry.status, entry.size, entry.seconds) == (409, 12, 0.5)


def test_the_log_is_a_ring_and_the_counts_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requestlog, "REQUESTS_KEPT", 3)
    log = RequestLog()
    for index in range(5):
        log.add(Request(method="GET", path=f"{PODS}/p{index}"), 200, 0, 0.0)
    assert [entry.name for entry in log] == ["p2", "p3", "p4"]
    assert log.counts == {("get", 200): 5}
    log.clear()
    assert (len(log), log.counts) == (0, {("get", 200): 5})
