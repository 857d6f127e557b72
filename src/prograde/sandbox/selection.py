"""Which objects a list, watch or bulk delete is about: namespace, labels and fields, and the shortest way to them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from prograde.api.selectors import EVERYTHING, InvalidSelector, Selector, parse_selector
from prograde.sandbox.errors import StatusError
from prograde.sandbox.fieldselectors import FieldSelector, parse_field_selector
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.store import Bucket, Entry

__all__ = ["Selection", "parse_selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """A namespace (None: all), a label selector and a field selector that must all fit."""

    namespace: str | None = None
    labels: Selector = EVERYTHING
    fields: FieldSelector = field(default_factory=FieldSelector)

    @property
    def is_everything(self) -> bool:
        """True when only the namespace limits the choice."""
        return not self.labels.requirements and self.fields.is_empty

    def matches(self, obj: Object) -> bool:
        metadata = obj["metadata"]
        if self.namespace is not None and metadata.get("namespace", "") != self.namespace:
            return False
        if self.labels.requirements and not self.labels.matches(metadata.get("labels") or {}):
            return False
        return self.fields.is_empty or self.fields.matches(obj)

    def find(self, bucket: Bucket) -> Iterable[Entry]:
        """Return the current matches in key order, through an index where one fits."""
        namespace = self.namespace if self.namespace is not None else self.fields.namespace
        if self.fields.name is not None and (namespace is not None or not bucket.is_namespaced):
            entry = bucket.get(namespace or "", self.fields.name)
            return [entry] if entry is not None and self.matches(entry.obj) else []
        for requirement in self.labels.requirements:
            if requirement.operator == "=":
                candidates = bucket.with_label(requirement.key, requirement.values[0])
                return [entry for entry in candidates if self.matches(entry.obj)]
        entries = bucket.scan(namespace or None)
        return entries if self.is_everything else (entry for entry in entries if self.matches(entry.obj))


def parse_selection(kind: Kind, namespace: str | None, labels: str, fields: str) -> Selection:
    """Read the selectors of a request.

    Raises:
        StatusError: 400, one of them cannot be read or names an unknown field.
    """
    try:
        label_selector = parse_selector(labels)
    except InvalidSelector as err:
        raise StatusError.bad_request(f"unable to parse requirement: {err}") from err
    return Selection(namespace, label_selector, parse_field_selector(fields, kind))
