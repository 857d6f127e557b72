"""The client: paths, typed answers, typed errors, retries that are safe, throttling."""

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.kube.fake_transport import FakeServer, Fault, is_watch, refusal
from tests.kube.virtual_time import virtual_time

from prograde.api.meta import ObjectMeta
from prograde.kube import errors
from prograde.kube.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Call, Client
from prograde.kube.errors import ConnectFailed, DecodeError, KubeError, Unreachable
from prograde.kube.limiter import TokenBucket
from prograde.kube.resources import LEASES, PODS, Resource
from prograde.kube.transport import Request, Response

WIDGETS = Resource(group="example.com", version="v1alpha1", plural="widgets", kind="Widget")
NODES = Resource(plural="nodes", kind="Node", namespaced=False)
PATH = "apis/example.com/v1alpha1/widgets"


class Widget(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    size: int = 0


class World:
    def __init__(self, *, qps: float = 0, burst: int = 1) -> None:
        self.server = FakeServer()
        self.observed: list[tuple[str, int, float]] = []
        self.client = Client(self.server, qps=qps, burst=burst, rng=random.Random(1), observer=self.observe)

    def observe(self, call: Call, code: int, seconds: float) -> None:
        self.observed.append((str(call), code, seconds))

    def answer(self, *answers: Response | OSError) -> None:
        for answer in answers:
            fault = Fault(error=answer) if isinstance(answer, OSError) else Fault(answer=answer)
            self.server.faults.append(fault)


def ok(body: Any = None) -> Response:
    return Response(status=200, body=json.dumps(body if body is not None else {"metadata": {"name": "a"}}).encode())


# -- paths ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        (PODS, ("shop", "a"), "/api/v1/namespaces/shop/pods/a"),
        (PODS, (), "/api/v1/pods"),
        (PODS, ("shop", "a", "log"), "/api/v1/namespaces/shop/pods/a/log"),
        (WIDGETS, ("shop",), "/apis/example.com/v1alpha1/namespaces/shop/widgets"),
        (NODES, ("", "n1"), "/api/v1/nodes/n1"),
        (NODES, ("", "system:node"), "/api/v1/nodes/system%3Anode"),
        (WIDGETS, ("shop", "a/b c"), "/apis/example.com/v1alpha1/namespaces/shop/widgets/a%2Fb%20c"),
    ],
)
def test_paths(resource: Resource, arguments: tuple[str, ...], path: str) -> None:
    assert resource.path(*arguments) == path


def test_a_path_that_would_reach_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="cluster-scoped, yet namespace='shop'"):
        NODES.path("shop", "n1")
    with pytest.raises(ValueError, match="pods 'a': the resource is namespaced and the namespace is empty"):
        PODS.path("", "a")


def test_api_version_of_core_and_other_groups() -> None:
    assert (PODS.api_version, LEASES.api_version) == ("v1", "coordination.k8s.io/v1")
    assert (PODS.qualified, LEASES.qualified) == ("pods", "leases.coordination.k8s.io")


# -- verbs ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_get_returns_bytes_that_decode_into_a_type() -> None:
    world = World()
    world.server.put(PATH, "shop", "a", size=3)
    answer = await world.client.get(WIDGETS, "shop", "a")
    assert json.loads(answer.body)["size"] == 3
    assert answer.to(Widget).size == 3


@virtual_time
async def test_create_update_patch_and_delete_reach_the_server() -> None:
    world = World()
    client = world.client
    created = (await client.create(WIDGETS, "shop", {"metadata": {"name": "a"}, "size": 1})).to(Widget)
    assert created.metadata.resource_version == "101"
    body = {"metadata": {"name": "a", "resourceVersion": "101"}, "size": 2}
    assert (await client.update(WIDGETS, "shop", "a", body)).to(Widget).size == 2
    assert (await client.patch(WIDGETS, "shop", "a", {"size": 3})).to(Widget).size == 3
    await client.delete(WIDGETS, "shop", "a")
    with pytest.raises(errors.NotFound):
        await client.get(WIDGETS, "shop", "a")
    assert [request.method for request in world.server.requests] == ["POST", "PUT", "PATCH", "DELETE", "GET"]


Action = Callable[[Client], Awaitable[Any]]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(
            lambda c: c.patch(WIDGETS, "shop", "a", {"x": 1}, subresource="status", field_manager="me", dry_run=True),
            (
                "PATCH",
                "/namespaces/shop/widgets/a/status",
                (("dryRun", "All"), ("fieldManager", "me")),
                MERGE_PATCH,
                {"x": 1},
            ),
            id="merge patch of a sub-resource",
        ),
        pytest.param(
            lambda c: c.patch(WIDGETS, "shop", "a", b"[]", content_type=JSON_PATCH),
            ("PATCH", "/namespaces/shop/widgets/a", (), JSON_PATCH, []),
            id="JSON patch given as bytes",
        ),
        pytest.param(
            lambda c: c.patch(WIDGETS, "shop", "a", {}, content_type=APPLY_PATCH, field_manager="me", force=True),
            ("PATCH", "/namespaces/shop/widgets/a", (("fieldManager", "me"), ("force", "true")), APPLY_PATCH, {}),
            id="server-side apply",
        ),
        pytest.param(
            lambda c: c.create(PODS, "shop", msgspec.Raw(b'{"a":1}'), name="a", subresource="eviction"),
            ("POST", "/namespaces/shop/pods/a/eviction", (), "application/json", {"a": 1}),
            id="eviction, body given raw",
        ),
        pytest.param(
            lambda c: c.create(WIDGETS, "shop", Widget(metadata=ObjectMeta(name="a"), size=2)),
            ("POST", "/namespaces/shop/widgets", (), "application/json", {"metadata": {"name": "a"}, "size": 2}),
            id="body given as a struct",
        ),
        pytest.param(
            lambda c: c.delete(
                WIDGETS,
                "shop",
                "a",
                uid="u",
                resource_version="5",
                grace_seconds=0,
                propagation="Foreground",
                dry_run=True,
            ),
            (
                "DELETE",
                "/namespaces/shop/widgets/a",
                (),
                "application/json",
                {
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "preconditions": {"uid": "u", "resourceVersion": "5"},
                    "gracePeriodSeconds": 0,
                    "propagationPolicy": "Foreground",
                    "dryRun": ["All"],
                },
            ),
            id="delete with every option",
        ),
    ],
)
def test_writes_on_the_wire(action: Action, expected: tuple[Any, ...]) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.answer(ok())
        await action(world.client)
        request = world.server.requests[0]
        method, path, query, content_type, body = expected
        assert (request.method, request.query) == (method, query)
        assert request.path.endswith(path)
        assert request.headers["content-type"] == content_type
        assert json.loads(request.body) == body

    check()


@virtual_time
async def test_list_follows_pages_and_decodes_each_object() -> None:
    world = World()
    for n in range(1001):
        world.server.put(PATH, "shop", f"w{n:04}", size=n)
    listing = await world.client.list(WIDGETS, "shop", label_selector="a=b")
    assert len(listing.to(Widget)) == 1001
    assert listing.resource_version == "1101"
    assert [dict(request.query)["labelSelector"] for request in world.server.requests] == ["a=b"] * 3


@virtual_time
async def test_list_repeats_in_one_piece_when_its_snapshot_expires() -> None:
    world = World()
    for n in range(501):
        world.server.put(PATH, "shop", f"w{n:04}")
    gone = refusal(410, "Expired", metadata={"continue": "fresh"})
    world.server.faults.append(Fault(answer=gone, matches=lambda r: any(k == "continue" for k, _ in r.query)))
    assert len((await world.client.list(WIDGETS, "shop")).items) == 501


@virtual_time
async def test_a_server_that_repeats_its_continue_token_is_not_followed_for_ever() -> None:
    world = World()
    world.server.faults.append(Fault(answer=ok({"metadata": {"continue": "x"}, "items": []}), times=10**9))
    with pytest.raises(DecodeError, match="repeats the continue token 'x'"):
        await world.client.list(WIDGETS)


@virtual_time
async def test_log_options_and_pieces() -> None:
    world = World()
    world.server.faults.append(Fault(answer=Response(status=200, body=b"line 1\nline 2\n")))
    async with world.client.log("shop", "a", container="main", follow=True, tail_lines=0, since_seconds=5) as pieces:
        assert b"".join([piece async for piece in pieces]) == b"line 1\nline 2\n"
    request = world.server.requests[0]
    assert request.path == "/api/v1/namespaces/shop/pods/a/log"
    assert request.query == (("container", "main"), ("follow", "true"), ("tailLines", "0"), ("sinceSeconds", "5"))
    assert world.server.open_streams == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ok({"resources": [{"name": "widgets"}, {"name": "widgets/status"}]}), True),
        (ok({"resources": [{"name": "gadgets"}]}), False),
        (ok({"resources": None}), False),
        (refusal(404, "NotFound"), False),
    ],
)
def test_whether_a_resource_is_served(answer: Response, expected: bool) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.answer(answer)
        assert await world.client.serves(WIDGETS) is expected
        assert world.server.requests[0].path == "/apis/example.com/v1alpha1"

    check()


@virtual_time
async def test_not_knowing_whether_a_resource_is_served_is_an_error_and_not_a_no() -> None:
    world = World()
    world.answer(refusal(403, "Forbidden"))
    with pytest.raises(errors.Forbidden):
        await world.client.serves(WIDGETS)


@virtual_time
async def test_an_answer_that_does_not_fit_names_call_and_field() -> None:
    world = World()
    world.server.put(PATH, "shop", "a", size="three")
    answer = await world.client.get(WIDGETS, "shop", "a")
    with pytest.raises(DecodeError, match=r"get widgets.example.com shop/a: .*Widget: .*`\$.size`"):
        answer.to(Widget)


# -- retries ----------------------------------------------------------------------------------------------------

READ: Action = lambda c: c.get(WIDGETS, "shop", "a")  # noqa: E731
WRITE: Action = lambda c: c.patch(WIDGETS, "shop", "a", {})  # noqa: E731


@pytest.mark.parametrize(
    ("action", "failure"),
    [
        pytest.param(READ, refusal(429, "TooManyRequests"), id="read, 429"),
        pytest.param(READ, refusal(429, "TooManyRequests", retry_after="1"), id="read, 429 with Retry-After"),
        pytest.param(READ, refusal(500, "InternalError"), id="read, 500"),
        pytest.param(READ, refusal(503, "ServiceUnavailable"), id="read, 503"),
        pytest.param(READ, refusal(504, "Timeout"), id="read, 504"),
        pytest.param(READ, ConnectionResetError("reset"), id="read, connection reset"),
        pytest.param(READ, TimeoutError(), id="read, time-out"),
        pytest.param(WRITE, refusal(429, "TooManyRequests", retry_after="1"), id="write, 429 with Retry-After"),
        pytest.param(WRITE, refusal(503, "ServiceUnavailable", retry_after="1"), id="write, 503 with Retry-After"),
        pytest.param(WRITE, ConnectFailed("refused"), id="write, nothing was sent"),
    ],
)
def test_safe_failures_are_retried(action: Action, failure: Response | OSError) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.answer(failure, failure, ok())
        await action(world.client)
        assert len(world.server.requests) == 3

    check()


@pytest.mark.parametrize(
    ("action", "failure", "error"),
    [
        pytest.param(
            WRITE, refusal(429, "TooManyRequests"), errors.TooManyRequests, id="429: eviction against a budget"
        ),
        pytest.param(WRITE, refusal(500, "InternalError"), errors.ServerError, id="500: may have happened"),
        pytest.param(WRITE, refusal(504, "Timeout"), errors.ServerTimeout, id="504: may have happened"),
        pytest.param(WRITE, ConnectionResetError("reset"), Unreachable, id="reset: may have happened"),
        pytest.param(WRITE, TimeoutError(), Unreachable, id="time-out: may have happened"),
        pytest.param(WRITE, refusal(409, "Conflict"), errors.Conflict, id="conflict"),
        pytest.param(READ, refusal(404, "NotFound"), errors.NotFound, id="not found"),
        pytest.param(READ, refusal(403, "Forbidden"), errors.Forbidden, id="forbidden"),
        pytest.param(
            READ, refusal(429, "TooManyRequests", retry_after="31"), errors.TooManyRequests, id="longer than we hold on"
        ),
    ],
)
def test_other_failures_go_to_the_caller_at_once(
    action: Action, failure: Response | OSError, error: type[KubeError]
) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.answer(failure, ok())
        with pytest.raises(error) as caught:
            await action(world.client)
        assert type(caught.value) is error
        assert len(world.server.requests) == 1

    check()


@virtual_time
async def test_retry_after_is_waited_for() -> None:
    world = World()
    world.answer(refusal(429, "TooManyRequests", retry_after="7"), ok())
    await world.client.patch(WIDGETS, "shop", "a", {})
    first, second = world.server.request_times
    assert second - first == pytest.approx(7)


@virtual_time
async def test_retries_grow_are_spread_and_end() -> None:
    world = World()
    world.server.faults.append(Fault(answer=refusal(503, "ServiceUnavailable"), times=100))
    with pytest.raises(errors.ServiceUnavailable):
        await world.client.get(WIDGETS, "shop", "a")
    times = world.server.request_times
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) == 5
    for number, gap in enumerate(gaps):
        assert 0.25 * 2**number <= gap <= 0.5 * 2**number


@virtual_time
async def test_a_write_whose_answer_is_lost_is_not_sent_twice() -> None:
    world = World()
    world.server.faults.append(Fault(error=ConnectionResetError("cut"), after_effect=True))
    with pytest.raises(Unreachable, match="create widgets.example.com shop: cut") as caught:
        await world.client.create(WIDGETS, "shop", {"metadata": {"name": "a"}})
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert isinstance(caught.value, OSError)
    assert len(world.server.requests) == 1
    assert (await world.client.get(WIDGETS, "shop", "a")).to(Widget).metadata.name == "a"


@virtual_time
async def test_a_kubeconfig_that_points_nowhere_fails_in_bounded_time_and_says_where() -> None:
    world = World()
    world.server.faults.append(
        Fault(error=ConnectFailed("cannot connect to https://nowhere:6443: refused"), times=10**9)
    )
    started_at = asyncio.get_running_loop().time()
    with pytest.raises(Unreachable, match="get widgets.example.com shop/a: cannot connect to https://nowhere:6443"):
        await world.client.get(WIDGETS, "shop", "a")
    assert asyncio.get_running_loop().time() - started_at < 20


@virtual_time
async def test_a_time_out_without_words_still_says_so() -> None:
    world = World()
    world.answer(TimeoutError())
    with pytest.raises(Unreachable, match="patch widgets.example.com shop/a: timed out"):
        await world.client.patch(WIDGETS, "shop", "a", {})


# -- streams ----------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_refused_watch_raises_its_typed_error_and_leaves_no_stream_open() -> None:
    world = World()
    world.server.faults.append(Fault(answer=refusal(410, "Expired", "too old"), matches=is_watch))
    with pytest.raises(errors.Gone, match="watch widgets.example.com shop: too old"):
        async with world.client.watch(WIDGETS, "shop", resource_version="1", timeout_seconds=5):
            pytest.fail("opened")
    assert world.server.open_streams == 0


@virtual_time
async def test_leaving_a_watch_early_hangs_up() -> None:
    world = World()
    world.server.put(PATH, "shop", "a")
    async with world.client.watch(WIDGETS, "shop", resource_version="100", timeout_seconds=60) as pieces:
        async for piece in pieces:
            assert b"ADDED" in piece
            break
    assert world.server.open_streams == 0


@virtual_time
async def test_a_stream_that_breaks_raises_unreachable() -> None:
    world = World()
    world.server.put(PATH, "shop", "a")
    world.server.faults.append(Fault(cut_after_bytes=10, error=ConnectionResetError("cut"), matches=is_watch))
    with pytest.raises(Unreachable, match="watch widgets.example.com: cut"):
        async with world.client.watch(WIDGETS, resource_version="100", timeout_seconds=60) as pieces:
            assert [len(piece) async for piece in pieces] == [10]


# -- observer and throttling ------------------------------------------------------------------------------------


@virtual_time
async def test_the_observer_sees_every_answer_with_verb_code_and_seconds() -> None:
    world = World()
    world.server.latency_seconds = 2
    world.answer(refusal(503, "ServiceUnavailable"), ConnectionResetError("reset"), ok())
    await world.client.get(WIDGETS, "shop", "a")
    assert world.observed == [
        ("get widgets.example.com shop/a", 503, pytest.approx(2)),
        ("get widgets.example.com shop/a", 0, pytest.approx(2)),
        ("get widgets.example.com shop/a", 200, pytest.approx(2)),
    ]


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (lambda c: c.list(WIDGETS), "list widgets.example.com"),
        (lambda c: c.list(WIDGETS, "shop"), "list widgets.example.com shop"),
        (lambda c: c.create(PODS, "shop", {}, name="a", subresource="eviction"), "create pods/eviction shop/a"),
        (lambda c: c.patch(WIDGETS, "shop", "a", {}, subresource="status"), "patch widgets.example.com/status shop/a"),
        (lambda c: c.delete(NODES, "", "n"), "delete nodes n"),
        (lambda c: c.request("GET", "/version"), "get /version"),
    ],
)
def test_calls_are_named_in_errors(action: Action, text: str) -> None:
    @virtual_time
    async def check() -> None:
        world = World()
        world.answer(refusal(403, "Forbidden", "no"))
        with pytest.raises(errors.Forbidden) as caught:
            await action(world.client)
        assert str(caught.value) == f"{text}: no"
        assert caught.value.message == "no"

    check()


@virtual_time
async def test_a_burst_passes_at_once_and_the_rest_at_the_given_rate() -> None:
    world = World(qps=10, burst=5)
    world.server.faults.append(Fault(answer=ok(), times=100))
    started_at = asyncio.get_running_loop().time()
    await asyncio.gather(*(world.client.get(WIDGETS, "shop", "a") for _ in range(25)))
    times = [time - started_at for time in world.server.request_times]
    assert times[:5] == [0] * 5
    assert times[5:] == pytest.approx([(n + 1) / 10 for n in range(20)])


@virtual_time
async def test_unused_time_refills_no_more_than_the_burst() -> None:
    bucket = TokenBucket(qps=10, burst=3)
    for _ in range(3):
        assert await bucket.wait() == 0
    await asyncio.sleep(3600)
    waits = [await bucket.wait() for _ in range(4)]
    assert waits == pytest.approx([0, 0, 0, 0.1])


@virtual_time
async def test_a_cancelled_caller_gives_its_slot_back() -> None:
    bucket = TokenBucket(qps=1, burst=1)
    await bucket.wait()
    waiting = asyncio.create_task(bucket.wait())
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await bucket.wait() == pytest.approx(0.5)


@virtual_time
async def test_without_a_rate_nobody_waits() -> None:
    bucket = TokenBucket(qps=0, burst=0)
    assert [await bucket.wait() for _ in range(1000)] == [0.0] * 1000


@virtual_time
async def test_closing_the_client_closes_the_transport() -> None:
    world = World()
    await world.client.close()
    assert world.server.is_closed


@virtual_time
async def test_raw_requests_carry_query_headers_and_body() -> None:
    world = World()
    world.answer(ok({"major": "1"}))
    answer = await world.client.request("POST", "/x", query=[("a", "b")], body=b"{}", headers={"accept": "text/plain"})
    assert answer.status == 200
    expected = Request(method="POST", path="/x", query=(("a", "b"),), headers={"accept": "text/plain"}, body=b"{}")
    assert world.server.requests == [expected]
