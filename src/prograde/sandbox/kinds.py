"""What a kind is to the API server: names, scope, sub-resources, schema and at most a few hooks.

A built-in kind and one that a CustomResourceDefinition brings are the same type of row; nothing else in the server
asks where a kind came from. Versions of one resource share storage: `Kind.storage_key` is the same for all of them,
and an object is stored in `storage_version`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["Column", "Kind", "Object", "ScalePaths", "Strategy"]

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object as JSON values. Stored objects are shared and must never be changed in place."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table that `kubectl get` prints."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    cell: Callable[[Object], Any] | None = None
    """Compute the cell of a built-in kind; None for a custom resource, which has `json_path` instead."""
    json_path: str = ""
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the ``scale`` sub-resource finds its values, as simple JSON paths such as ``.spec.replicas``."""

    spec_replicas: str
    status_replicas: str
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class Strategy:
    """What the server itself does to objects of one built-in kind on a write; every hook may raise `StatusError`.

    Hooks get private copies and may change `new` in place. `context` is the `sandbox.strategy.WriteContext` (clock,
    random generator, address allocation, look-ups).
    """

    prepare_create: Callable[[Object, Any], None] | None = None
    prepare_update: Callable[[Object, Object, Any], None] | None = None
    """Called as ``prepare_update(old, new, context)``."""
    validate: Callable[[Object, Object | None], None] | None = None
    """Called as ``validate(new, old)`` after preparing and defaulting; `old` is None on create."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One served version of one resource."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str = ""
    """Empty: `kind` in lower case, see `singular_name`."""
    list_kind: str = ""
    """Empty: `kind` followed by ``List``, see `list_kind_name`."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    storage_version: str = ""
    """Empty: this version is the stored one."""
    stored_as: tuple[str, str] | None = None
    """(group, plural) of another kind that stores these objects (the two views of an Event); None for its own."""
    to_storage: Callable[[Object], Object] | None = None
    """Convert a private object of this version to the stored form (names of fields; the server rewrites apiVersion).

    None: the versions differ in apiVersion only. May change its argument and must return the result.
    """
    from_storage: Callable[[Object], Object] | None = None
    """The way back, on a private copy of a stored object."""
    has_status: bool = False
    """A ``status`` sub-resource exists, so that main writes leave status alone and status writes all else."""
    scale: ScalePaths | None = None
    has_generation: bool = False
    is_custom: bool = False
    is_stored: bool = True
    """False for reviews, which are answered and forgotten."""
    subresources: tuple[str, ...] = ()
    """Further sub-resources, such as ``log`` and ``eviction``."""
    schema: Any = None
    """A `sandbox.schema.Schema`, or None: keep whatever is sent."""
    strategy: Strategy = field(default_factory=Strategy)
    columns: tuple[Column, ...] = ()
    selectable_fields: tuple[str, ...] = ()
    """JSON paths without the leading dot that field selectors may name, beside metadata.name and .namespace."""
    deprecation_warning: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind_name(self) -> str:
        return self.list_kind or f"{self.kind}List"

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()

    @property
    def storage_key(self) -> tuple[str, str]:
        """The (group, plural) under which all versions of this resource are stored."""
        return self.stored_as or (self.group, self.plural)

    @property
    def is_storage_form(self) -> bool:
        """True when stored objects already read as this kind, so that their bytes can be sent as they are."""
        return self.stored_as is None and self.storage_version in ("", self.version)
