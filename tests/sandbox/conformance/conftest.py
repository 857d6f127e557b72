"""A served cluster for every test: plain HTTP for exact requests, TLS and a token for the real kubectl.

The name of each test begins with the row of the conformance checklist that it proves.
"""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.sandbox.conformance.harness import Http, Kubectl

from prograde.sandbox.clock import wall_clock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.endpoint import find_kubectl


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "conformance" in str(item.path):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """A cluster without controllers over plain HTTP: nothing moves but what the test does."""
    sandbox = Sandbox(now=wall_clock, controllers=False)
    async with (
        sandbox.serving(insecure_http=True) as endpoint,
        aiohttp.ClientSession(read_bufsize=2**22) as session,
    ):
        yield Http(session, endpoint.url, sandbox)


@pytest.fixture
async def kubectl() -> AsyncIterator[Kubectl]:
    """A complete running cluster and kubectl."""
    if find_kubectl() is None:
        pytest.skip("kubectl is not installed")
    sandbox = Sandbox(now=wall_clock)
    async with sandbox.running(), sandbox.serving() as endpoint:
        yield Kubectl(sandbox, endpoint)
