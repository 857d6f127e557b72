"""What every object has: type, metadata, owners, conditions, and the key under which we speak of it.

All wire types follow four rules. They are frozen, so a snapshot may share them. Their Python names are the wire names
in snake case. A scalar whose zero means "unset" has that zero as default and is left out when written; a scalar for
which zero and absence differ is ``None`` when absent. And only the fields that somebody reads are kept, which is what
makes a cache of thousands of objects small; never write such an object back whole, send a patch.

Structs skip the cyclic garbage collector (``gc=False``): decoded trees cannot contain cycles.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Final, NamedTuple, Protocol, TypeAlias

import msgspec

__all__ = [
    "NO_RAW",
    "Condition",
    "LabelSelector",
    "LabelSelectorRequirement",
    "ListMeta",
    "NamespacedName",
    "Object",
    "ObjectMeta",
    "Owner",
    "OwnerReference",
    "Time",
    "WireStruct",
    "controller_of",
    "controller_reference",
    "find_condition",
    "is_controlled_by",
    "key_of",
    "own_raw",
    "own_raw_values",
]

Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""An instant in UTC with second precision, RFC 3339 on the wire. Whoever stores the current time cuts it first, with
`scalars.whole_seconds`."""

NO_RAW: Final = msgspec.Raw()
"""An absent raw field. Test with ``is NO_RAW``."""


class WireStruct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """The base of everything that travels as JSON."""


class OwnerReference(WireStruct, frozen=True, kw_only=True):
    """A pointer from a child to its owner."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(WireStruct, frozen=True, kw_only=True):
    """The kept part of an object's metadata; managed fields are dropped, they weigh more than all the rest."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()


class ListMeta(WireStruct, frozen=True, kw_only=True):
    """Metadata of a list answer."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class Condition(WireStruct, frozen=True, kw_only=True):
    """One observed aspect of an object. `status` is ``True``, ``False`` or ``Unknown``.

    Type, status, reason and message are always written, even when empty: the CRDs require them.
    """

    type: str = msgspec.field(default_factory=str)
    status: str = msgspec.field(default_factory=str)
    last_update_time: Time | None = None
    last_transition_time: Time | None = None
    reason: str = msgspec.field(default_factory=str)
    message: str = msgspec.field(default_factory=str)


class LabelSelectorRequirement(WireStruct, frozen=True, kw_only=True):
    """One expression of a selector; `operator` is In, NotIn, Exists or DoesNotExist."""

    key: str = msgspec.field(default_factory=str)
    operator: str = msgspec.field(default_factory=str)
    values: tuple[str, ...] = ()


class LabelSelector(WireStruct, frozen=True, kw_only=True):
    """A label query: all of `match_labels` and all of `match_expressions` must hold."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class NamespacedName(NamedTuple):
    """The key of an object within its kind; cluster-scoped objects have namespace ``""``."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @classmethod
    def parse(cls, key: str) -> "NamespacedName":
        """Read ``namespace/name`` or ``name``, the inverse of `str`."""
        namespace, _, name = key.rpartition("/")
        return cls(namespace, name)


class Object(Protocol):
    """Anything with metadata."""

    @property
    def metadata(self) -> ObjectMeta: ...


def key_of(obj: Object) -> NamespacedName:
    """Return the key of `obj`."""
    return NamespacedName(obj.metadata.namespace, obj.metadata.name)


def controller_of(obj: Object) -> OwnerReference | None:
    """Return the owner reference marked as controller, None for an orphan."""
    return next((owner for owner in obj.metadata.owner_references if owner.controller), None)


class Owner(Object, Protocol):
    """An object of a known kind."""

    API_VERSION: ClassVar[str]
    KIND: ClassVar[str]


def controller_reference(owner: Owner) -> OwnerReference:
    """Return the reference that makes an object a child of `owner`, deleted with it."""
    return OwnerReference(
        api_version=owner.API_VERSION,
        kind=owner.KIND,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def is_controlled_by(obj: Object, uid: str) -> bool:
    """Say whether the controlling owner of `obj` has this UID."""
    owner = controller_of(obj)
    return owner is not None and owner.uid == uid


def find_condition(conditions: tuple[Condition, ...], condition_type: str) -> Condition | None:
    """Return the condition of this type, None when there is none."""
    return next((condition for condition in conditions if condition.type == condition_type), None)


def own_raw(obj: msgspec.Struct, field: str) -> None:
    """Let a raw field of a struct under construction own its bytes.

    A decoded raw value is a view that keeps the whole answer of a list request alive; a copy lets that go. ``null`` and
    empty become `NO_RAW`, so that absence has one form.
    """
    raw: msgspec.Raw = getattr(obj, field)
    if raw is NO_RAW:
        return
    size = len(memoryview(raw))
    is_absent = size == 0 or (size == len(b"null") and bytes(raw) == b"null")
    msgspec.structs.force_setattr(obj, field, NO_RAW if is_absent else raw.copy())


def own_raw_values(obj: msgspec.Struct, field: str) -> None:
    """Let the raw values of a map under construction own their bytes."""
    raws: dict[str, msgspec.Raw] = getattr(obj, field)
    if raws:
        msgspec.structs.force_setattr(obj, field, {key: raw.copy() for key, raw in raws.items()})
