"""What conformance tests speak with: an exact HTTP client, watch readers, kubectl, and small manifests."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.endpoint import Endpoint, KubectlResult

NAMESPACE = "/api/v1/namespaces/default"
ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class Reply(NamedTuple):
    """An answer over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        text: str = self.json["message"]
        return text


class Http:
    """A plain HTTP client of one cluster that sends exactly what it is told."""

    def __init__(self, session: aiohttp.ClientSession, url: str, sandbox: Sandbox) -> None:
        self.session = session
        self.url = url
        self.sandbox = sandbox

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        **query: str,
    ) -> Reply:
        """Send a request; query names may be written with a trailing underscore.

        `body` is JSON unless it is bytes; an empty `content_type` sends none.
        """
        sent = dict(headers or {})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None and content_type != "":
            sent.setdefault("Content-Type", content_type or "application/json")
        params = {name.rstrip("_"): value for name, value in query.items()}
        async with self.session.request(
            method,
            self.url + path,
            data=io.BytesIO(data) if data else data,
            headers=sent,
            params=params,
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
            allow_redirects=False,
            auto_decompress=False,
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def patch(self, path: str, patch: Any, kind: str = "merge", **query: str) -> Reply:
        return await self("PATCH", path, patch, content_type=PATCH_TYPES[kind], **query)

    @asynccontextmanager
    async def watch(self, path: str, *, accept: str = "application/json", **query: str) -> AsyncIterator["EventReader"]:
        """Open a watch and hand over its events."""
        async with self.session.get(
            self.url + path, params={"watch": "true", **query}, headers={"Accept": accept}
        ) as response:
            yield EventReader(response)


class EventReader:
    """The events of one watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Any:
        """Return the next event; None at the end of the stream."""
        line = await self.response.content.readline()
        return json.loads(line) if line else None

    async def take(self, count: int) -> list[Any]:
        return [await self.next() for _ in range(count)]

    async def rest(self) -> list[Any]:
        """Return all events up to the end of the stream."""
        events = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events


class Kubectl:
    """The real kubectl on one cluster, over TLS with a token."""

    def __init__(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        self.sandbox = sandbox
        self.endpoint = endpoint

    async def run(self, *arguments: str, stdin: str = "", **environment: str) -> KubectlResult:
        return await self.endpoint.kubectl(*arguments, stdin=stdin, **environment)

    async def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """Run a command that must succeed and return what it prints."""
        result = await self.run(*arguments, stdin=stdin, **environment)
        assert result.code == 0, f"kubectl {' '.join(arguments)}: {result.stdout}{result.stderr}"
        return result.stdout

    async def fails(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """Run a command that must fail and return its complaint."""
        result = await self.run(*arguments, stdin=stdin, **environment)
        assert result.code != 0, f"kubectl {' '.join(arguments)}: {result.stdout}"
        return result.stderr


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def rollout(name: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
            "strategy": {"canary": {"steps": [{"setWeight": 20}]}},
            **spec,
        },
    }


def deployment(name: str, *images: str, replicas: int = 1) -> dict[str, Any]:
    containers = [{"name": f"c{index}", "image": image} for index, image in enumerate(images or ("nginx:1.19",))]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
        },
    }


def pod(name: str, image: str = "nginx:1.19", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": image}], **spec},
    }


def widget_definition(*versions: dict[str, Any], **names: Any) -> dict[str, Any]:
    """A small CustomResourceDefinition: widgets.example.com."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], **names},
            "versions": list(versions) or [widget_version("v1")],
        },
    }


def widget_version(name: str, *, storage: bool = True, properties: Any = None, **more: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": properties or {"size": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object", "properties": {}}}}
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


def widget(name: str, version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"example.com/{version}",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }
