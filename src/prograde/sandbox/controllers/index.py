"""Pods by label, so that finding the pods of a selector does not scan a namespace.

Kept by observing changes, like the caches of real controllers; it holds keys only, the objects stay in the store.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.controllers.objects import controller_of, labels_of, matches
from prograde.sandbox.kinds import Object

__all__ = ["PODS", "PodIndex"]

PODS: Resource = ("", "pods")


class PodIndex(Controller):
    """Has no work of its own: it must be the first controller of a loop, so that the others find it up to date."""

    name: ClassVar[str] = "pod-index"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({PODS})

    def __init__(self, client: LocalClient) -> None:
        super().__init__()
        self._client = client
        # Dictionaries used as ordered sets: iteration order must not depend on string hashing.
        self._by_label: dict[tuple[str, str, str], dict[str, None]] = {}
        self._by_namespace: dict[str, dict[str, None]] = {}
        self._without_controller: dict[str, dict[str, None]] = {}

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        namespace, name = new["metadata"]["namespace"], new["metadata"]["name"]
        labels = labels_of(new)
        if previous is not None:
            for item in labels_of(previous).items():
                if change == "DELETED" or labels.get(item[0]) != item[1]:
                    _discard(self._by_label, (namespace, *item), name)
        if change == "DELETED":
            for item in labels.items():
                _discard(self._by_label, (namespace, *item), name)
            _discard(self._by_namespace, namespace, name)
            _discard(self._without_controller, namespace, name)
            return
        for item in labels.items():
            self._by_label.setdefault((namespace, *item), {})[name] = None
        self._by_namespace.setdefault(namespace, {})[name] = None
        if controller_of(new) is None:
            self._without_controller.setdefault(namespace, {})[name] = None
        else:
            _discard(self._without_controller, namespace, name)

    def reconcile(self, key: Key) -> None:
        raise AssertionError("the pod index never asks for work")

    def matching(self, namespace: str, selector: Mapping[str, Any]) -> Iterator[Object]:
        """Yield the namespace's pods that a label selector object selects, oldest known first."""
        names: dict[str, None] | None = None
        for item in (selector.get("matchLabels") or {}).items():
            candidates = self._by_label.get((namespace, *item), {})
            if names is None or len(candidates) < len(names):
                names = candidates
        for pod in self._pods(namespace, self._by_namespace.get(namespace, {}) if names is None else names):
            if matches(selector, labels_of(pod)):
                yield pod

    def orphans(self, namespace: str) -> Iterator[Object]:
        """Yield the namespace's pods that no controller manages."""
        return self._pods(namespace, self._without_controller.get(namespace, {}))

    def _pods(self, namespace: str, names: Iterable[str]) -> Iterator[Object]:
        for name in tuple(names):
            pod = self._client.get(PODS, namespace, name)
            if pod is not None:
                yield pod


def _discard(index: dict[Any, dict[str, None]], key: Any, name: str) -> None:
    names = index.get(key)
    if names is not None:
        names.pop(name, None)
        if not names:
            del index[key]
