"""Discovery: what is served, told in two forms.

The aggregated form has everything about all groups in two documents and is what current clients ask for; the legacy
form spreads the same over one document per group version. Both are made from the registry, kept as bytes until it
changes, and carry an ETag, so that asking again costs nothing.
"""

import hashlib
from typing import Any

import msgspec

from prograde.sandbox.kinds import Kind
from prograde.sandbox.negotiation import Accepted
from prograde.sandbox.registry import Registry

__all__ = ["Discovery", "Document", "verbs_of"]

_STORED_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "binding": ("", "v1", "Binding"),
}
_SUBRESOURCE_VERBS = {
    "log": ("get",),
    "eviction": ("create",),
    "token": ("create",),
    "binding": ("create",),
    "finalize": ("update",),
}
_PART_VERBS = ("get", "patch", "update")


class Document(msgspec.Struct, frozen=True):
    """An encoded discovery document."""

    body: bytes
    etag: str


def verbs_of(kind: Kind) -> tuple[str, ...]:
    """Return the verbs that a resource understands: reviews are answered, not stored."""
    return _STORED_VERBS if kind.is_stored else ("create",)


class Discovery:
    """Both forms, for one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._documents: dict[tuple[str, ...], Document] = {}

    def aggregated(self, root: str, accepted: Accepted) -> Document:
        """Return the APIGroupDiscoveryList of ``/api`` or ``/apis``."""
        return self._cached(("aggregated", root, accepted.version), lambda: self._group_list(root, accepted.version))

    def core_versions(self) -> Document:
        """Return ``/api``."""
        server = {"clientCIDR": "0.0.0.0/0", "serverAddress": ""}
        value = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [server]}
        return self._cached(("core",), lambda: value)

    def groups(self) -> Document:
        """Return ``/apis``."""

        def make() -> Any:
            groups = [self._group(group) for group in self._registry.groups() if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

        return self._cached(("groups",), make)

    def group(self, group: str) -> Document | None:
        """Return ``/apis/{group}``, None for a group that is not served."""
        if not group or group not in self._registry.groups():
            return None
        return self._cached(("group", group), lambda: {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)})

    def resources(self, group: str, version: str) -> Document | None:
        """Return ``/apis/{group}/{version}`` (``/api/v1`` for the empty group), None when it is not served."""
        kinds = self._registry.of_version(group, version)
        if not kinds:
            return None

        def make() -> Any:
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{group}/{version}" if group else version,
                "resources": [entry for kind in kinds for entry in _legacy_entries(kind)],
            }

        return self._cached(("resources", group, version), make)

    def _cached(self, name: tuple[str, ...], make: Any) -> Document:
        if self._generation != self._registry.generation:
            self._documents.clear()
            self._generation = self._registry.generation
        document = self._documents.get(name)
        if document is None:
            body = msgspec.json.encode(make() if callable(make) else make)
            document = Document(body, f'"{hashlib.sha256(body).hexdigest().upper()}"')
            self._documents[name] = document
        return document

    def _group(self, group: str) -> dict[str, Any]:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version} for version in self._registry.versions(group)
        ]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _group_list(self, root: str, version: str) -> dict[str, Any]:
        groups = [group for group in self._registry.groups() if (group == "") is (root == "api")]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [self._aggregated_group(group) for group in groups],
        }

    def _aggregated_group(self, group: str) -> dict[str, Any]:
        versions = [
            {
                "version": version,
                "freshness": "Current",
                "resources": [_aggregated_entry(kind) for kind in self._registry.of_version(group, version)],
            }
            for version in self._registry.versions(group)
        ]
        return {"metadata": {"name": group} if group else {}, "versions": versions}


def _subresources(kind: Kind) -> list[tuple[str, tuple[str, str, str], tuple[str, ...]]]:
    """Return name, response kind and verbs of each sub-resource."""
    own = (kind.group, kind.version, kind.kind)
    names = [*(["status"] if kind.has_status else []), *(["scale"] if kind.scale else []), *kind.subresources]
    return [
        (name, _SUBRESOURCE_KINDS.get(name, own), _SUBRESOURCE_VERBS.get(name, _PART_VERBS))
        for name in dict.fromkeys(names)
    ]


def _aggregated_entry(kind: Kind) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular_name,
        "verbs": list(verbs_of(kind)),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    subresources = [
        {
            "subresource": name,
            "responseKind": {"group": group, "version": version, "kind": response_kind},
            "verbs": list(verbs),
        }
        for name, (group, version, response_kind), verbs in _subresources(kind)
    ]
    if subresources:
        entry["subresources"] = subresources
    return entry


def _legacy_entries(kind: Kind) -> list[dict[str, Any]]:
    """Return the APIResource of a kind, followed by those of its sub-resources."""
    entry: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular_name,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(verbs_of(kind)),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    entries = [entry]
    for name, (group, version, response_kind), verbs in _subresources(kind):
        sub: dict[str, Any] = {
            "name": f"{kind.plural}/{name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": response_kind,
            "verbs": list(verbs),
        }
        if (group, version) != (kind.group, kind.version):
            sub |= {"group": group, "version": version}
        entries.append(sub)
    return entries
