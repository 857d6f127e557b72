"""The write path of the API server, on JSON objects: create, update, patch and apply.

Whoever changes something ends up here, over HTTP, in process or as a built-in controller, and takes the same way:

1. read the request's metadata and find the stored object; names, preconditions and the namespace must fit;
2. put together the new object: the request's part of it (spec or status), the rest from the store;
3. prune, default and validate against the schema; let the kind's strategy prepare and validate;
4. compare with what is stored: equal means done, with no new revision and no event;
5. note who owns which fields, count the generation, store.

Removing the last finalizer of an object that waits for it ends its life; that too happens here. Deleting is
`prograde.sandbox.deletion`; scale, eviction and the like are `prograde.sandbox.subresources`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID

import msgspec

from prograde.api.scalars import go_quote
from prograde.sandbox import apply
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.forms import copy_object, object_as, present, to_storage
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.metadata import validate_metadata
from prograde.sandbox.objectmeta import coerce_metadata, generate_name
from prograde.sandbox.registry import Registry
from prograde.sandbox.schema import strict_error
from prograde.sandbox.shapes import UNTYPED, Shape
from prograde.sandbox.store import Entry, Store
from prograde.sandbox.strategy import WriteContext
from prograde.sandbox.updates import (
    SYSTEM_FIELDS,
    PatchType,
    check_preconditions,
    combined,
    counts_generations,
    is_finished,
    is_new_generation,
    is_same,
    keep_system_fields,
    not_settable,
    patched,
    without_spec,
)

__all__ = [
    "FieldValidation",
    "ManagedFieldsMode",
    "PatchType",
    "Verbs",
    "WriteOptions",
    "Written",
    "json_time",
]

FieldValidation: TypeAlias = Literal["Strict", "Warn", "Ignore"]
ManagedFieldsMode: TypeAlias = Literal["full", "apply", "off"]
"""Track every writer, only objects that server-side apply has touched, or nobody (half the cost of a write)."""

GENERATE_NAME_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a request says about how to write; the defaults are those of a write without options."""

    manager: str = "unknown"
    validation: FieldValidation = "Warn"
    is_dry_run: bool = False
    force: bool = False
    duplicate_fields: tuple[str, ...] = ()
    """Fields that the body names twice, found by whoever decoded it."""
    is_trusted: bool = False
    """Whether an update is taken as it comes: nothing pruned, defaulted or validated."""


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: the object as the request's version sees it, shared."""

    obj: Object
    entry: Entry | None = None
    """What is stored now; None after a dry run, or when the object is gone."""
    is_created: bool = False
    warnings: tuple[str, ...] = ()


class WriteHook(Protocol):
    """Called after a write was stored: ``hook(kind, entry, previous)``; a None entry means that it was removed."""

    def __call__(self, kind: Kind, entry: Entry | None, previous: Entry | None) -> None: ...


def json_time(now: datetime) -> str:
    """Return an instant as objects carry it: UTC, whole seconds (later ones are cut, never rounded)."""
    return f"{now.replace(microsecond=0, tzinfo=None).isoformat()}Z"  # several times as fast as strftime


@dataclass
class Verbs:
    """The write verbs on one store."""

    store: Store
    registry: Registry
    now: Callable[[], datetime]
    rng: Random
    context: Callable[[], WriteContext]
    """Make what strategies may use of the world, for one write."""
    managed_fields: ManagedFieldsMode = "full"
    admit_create: Callable[[Kind, str, str], None] | None = None
    """Called as ``admit_create(kind, namespace, name)`` before a create; raises `StatusError` to refuse."""
    hooks: list[WriteHook] = field(default_factory=list)

    # -- verbs ---------------------------------------------------------------------------------------------------

    def get(self, kind: Kind, namespace: str, name: str) -> Entry:
        """Return what is stored.

        Raises:
            StatusError: 404.
        """
        entry = self.store.bucket(kind.storage_key).get(namespace, name)
        if entry is None:
            raise StatusError.not_found(kind.group, kind.plural, name)
        return entry

    def create(self, kind: Kind, namespace: str, obj: Object, options: WriteOptions = WriteOptions()) -> Written:
        """Store a new object; the top level of `obj` is handed over, what is below is copied."""
        unknown = self._read(kind, namespace, obj)
        obj["metadata"].pop("managedFields", None)
        return self._insert(kind, namespace, obj, options, unknown)

    def _insert(
        self,
        kind: Kind,
        namespace: str,
        obj: Object,
        options: WriteOptions,
        unknown: list[str],
        *,
        is_apply: bool = False,
    ) -> Written:
        metadata = obj["metadata"]
        if metadata.pop("resourceVersion", ""):
            raise StatusError.bad_request("resourceVersion should not be set on objects to be created")
        if self.admit_create is not None:
            self.admit_create(kind, namespace, metadata.get("name", ""))
        self._name_new(kind, namespace, metadata)
        for name in SYSTEM_FIELDS:
            metadata.pop(name, None)
        metadata["uid"] = str(UUID(int=self.rng.getrandbits(128), version=4))
        metadata["creationTimestamp"] = json_time(self.now())
        if counts_generations(kind):
            metadata["generation"] = 1
        if kind.has_status:
            obj.pop("status", None)
        obj, warnings = self._process(kind, obj, None, options, unknown)
        stored = self._stored_form(kind, obj)
        if kind.strategy.prepare_create is not None:
            kind.strategy.prepare_create(stored, self.context())
        if kind.strategy.validate is not None:
            kind.strategy.validate(stored, None)
        if self.managed_fields == "full" and not is_apply:
            self._track(kind, None, stored, options, "")
        if options.is_dry_run:
            return Written(present(stored, kind), None, is_created=True, warnings=warnings)
        entry = self.store.put(kind.storage_key, stored)
        self.after(kind, entry, None)
        return Written(object_as(entry, kind), entry, is_created=True, warnings=warnings)

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        obj: Object,
        options: WriteOptions = WriteOptions(),
        *,
        subresource: str = "",
    ) -> Written:
        """Replace an object, or the part of it that `subresource` (status, scale) stands for, by `obj`.

        The top level of `obj` is handed over, what is below is copied.
        """
        entry = self.get(kind, namespace, name)
        unknown = self._read(kind, namespace, obj)
        _check_name(obj, name)
        return self._replace(kind, entry, obj, options, subresource, unknown)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch_type: PatchType,
        patch: Any,
        options: WriteOptions = WriteOptions(),
        *,
        subresource: str = "",
    ) -> Written:
        """Change an object by a patch; apply creates an absent one."""
        if patch_type == "apply":
            return self.apply(kind, namespace, name, patch, options, subresource=subresource)
        entry = self.get(kind, namespace, name)
        obj = patched(object_as(entry, kind), patch_type, patch)
        unknown = self._read(kind, namespace, obj)
        _check_name(obj, name)
        return self._replace(kind, entry, obj, options, subresource, unknown, patch=patch)

    def apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        config: Any,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> Written:
        """Server-side apply `config` in the name of ``options.manager``."""
        if not isinstance(config, dict):
            raise StatusError.bad_request("error decoding patch: the body must be an object")
        config = dict(config)
        unknown = self._read(kind, namespace, config)
        config["metadata"].setdefault("name", name)
        _check_name(config, name)
        entry = self.store.bucket(kind.storage_key).get(namespace, name)
        if entry is None and config["metadata"].get("uid"):
            why = f"Precondition failed: UID in precondition: {config['metadata']['uid']}, UID in object meta: "
            raise StatusError.conflict(kind.group, kind.plural, name, why)
        if entry is None and subresource:
            raise StatusError.not_found(kind.group, kind.plural, name)
        if unknown and options.validation == "Strict":
            raise strict_error(config, [f'unknown field "{path}"' for path in unknown])
        if entry is not None:
            check_preconditions(kind, entry, config["metadata"])
        live = object_as(entry, kind) if entry is not None else None
        obj = dict(
            apply.server_side_apply(
                live,
                config,
                manager=options.manager,
                force=options.force,
                api_version=kind.api_version,
                subresource=subresource,
                now=self.now(),
                shape=shape_of(kind),
                ignored=not_settable(kind, config, subresource),
            )
        )
        self._read(kind, namespace, obj)
        if self.managed_fields == "off":
            obj["metadata"].pop("managedFields", None)
        if entry is None:
            return self._insert(kind, namespace, obj, options, [], is_apply=True)
        return self._replace(kind, entry, obj, options, subresource, [], is_apply=True)

    # -- steps ---------------------------------------------------------------------------------------------------

    def _read(self, kind: Kind, namespace: str, obj: Object) -> list[str]:
        """Check type and namespace of a request's object and bring its metadata into shape; return unknown fields."""
        api_version, name = obj.get("apiVersion") or "", obj.get("kind") or ""
        if not api_version and not name and not kind.is_custom:
            obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
        elif not name:
            raise StatusError.bad_request(f"Object 'Kind' is missing in '{_shortened(obj)}'")
        elif not api_version:
            raise StatusError.bad_request(f"Object 'apiVersion' is missing in '{_shortened(obj)}'")
        elif name != kind.kind:
            raise StatusError.bad_request(
                f"the kind in the data ({name}) does not match the expected kind ({kind.kind})"
            )
        elif api_version != kind.api_version:
            why = f"the API version in the data ({api_version}) does not match the expected API version"
            raise StatusError.bad_request(f"{why} ({kind.api_version})")
        unknown = coerce_metadata(obj, kind)
        metadata = obj["metadata"]
        if not kind.namespaced:
            metadata.pop("namespace", None)
        elif metadata.setdefault("namespace", namespace) != namespace:
            raise StatusError.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        return unknown

    def _name_new(self, kind: Kind, namespace: str, metadata: dict[str, Any]) -> None:
        """Make sure that a new object has a name that nobody has yet."""
        bucket = self.store.bucket(kind.storage_key)
        name = metadata.get("name", "")
        if name:
            if bucket.get(namespace, name) is not None:
                raise StatusError.already_exists(kind.group, kind.plural, name)
            return
        base = metadata.get("generateName", "")
        if not base:
            return  # validation will say that a name is required
        for _ in range(GENERATE_NAME_ATTEMPTS):
            name = generate_name(base, self.rng)
            if bucket.get(namespace, name) is None:
                metadata["name"] = name
                return
        raise StatusError.already_exists(kind.group, kind.plural, name)

    def _process(
        self,
        kind: Kind,
        obj: Object,
        old: Object | None,
        options: WriteOptions,
        unknown: list[str],
        patch: Any = None,
        *,
        keeps_spec: bool = False,
    ) -> tuple[Object, tuple[str, ...]]:
        """Prune, default and validate; return a private result and the warnings to send.

        With `keeps_spec`, ``obj["spec"]`` is the stored one and stays shared with it. `patch` is what brought `obj`
        about, for the error message; None when the request sent the whole object.

        Raises:
            StatusError: 400 or 422 for unknown fields under strict validation, 422 for an invalid object.
        """
        if options.is_trusted and old is not None:
            return copy_object(obj), ()
        causes = validate_metadata(kind, obj, old)
        managed_fields = obj["metadata"].pop("managedFields", None)  # large, ours, and no schema's business
        if kind.schema is not None and old is not None and keeps_spec:
            # What a write of the status takes over from the store has been through this already.
            result = kind.schema.process(without_spec(obj), old=without_spec(old), strictness=options.validation)
            spec = {"spec": obj["spec"]} if "spec" in obj else {}
            obj = {**{name: None for name in obj if name in result.obj or name in spec}, **result.obj, **spec}
            unknown = unknown + result.unknown_fields
            causes = causes + [cause for cause in result.causes if cause.field != "spec"]
        elif kind.schema is not None:
            result = kind.schema.process(obj, old=old, strictness=options.validation)
            obj, unknown, causes = result.obj, unknown + result.unknown_fields, causes + result.causes
        else:
            obj = copy_object(obj)
        if managed_fields is not None:
            obj["metadata"]["managedFields"] = managed_fields
        problems = [f'unknown field "{path}"' for path in unknown]
        problems += [f'duplicate field "{path}"' for path in options.duplicate_fields]
        name = obj["metadata"].get("name", "")
        if problems and options.validation == "Strict":
            if patch is None:
                raise strict_error(obj, problems)
            shown = go_quote(msgspec.json.encode(patch).decode())
            text = f"Invalid value: {shown}: strict decoding error: {', '.join(problems)}"
            raise StatusError.invalid(kind.group, kind.kind, name, [Cause("FieldValueInvalid", text, "patch")])
        if causes:
            raise StatusError.invalid(kind.group, kind.kind, name, causes)
        warnings = problems if options.validation == "Warn" else []
        if kind.deprecation_warning:
            warnings = [kind.deprecation_warning, *warnings]
        return obj, tuple(warnings)

    def _replace(
        self,
        kind: Kind,
        entry: Entry,
        obj: Object,
        options: WriteOptions,
        subresource: str,
        unknown: list[str],
        *,
        patch: Any = None,
        is_apply: bool = False,
    ) -> Written:
        """Store `obj`, which came in the version of `kind`, in the place of `entry`."""
        check_preconditions(kind, entry, obj["metadata"])
        old = object_as(entry, kind)
        forgets_managers = obj["metadata"].get("managedFields") in ([], [{}])
        obj = combined(kind, old, obj, subresource)
        keep_system_fields(old["metadata"], obj["metadata"])
        is_status = subresource == "status"
        obj, warnings = self._process(kind, obj, old, options, unknown, patch, keeps_spec=is_status)
        stored = self._stored_form(kind, obj)
        if not is_status and kind.strategy.prepare_update is not None:
            kind.strategy.prepare_update(entry.obj, stored, self.context())
        if kind.strategy.validate is not None:
            kind.strategy.validate(stored, entry.obj)
        if not is_status and is_new_generation(kind, entry.obj, stored):
            stored["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if not is_apply:
            self._credit(kind, entry.obj, stored, options, subresource, forgets=forgets_managers)
        if is_same(entry.obj, stored):
            return Written(old, entry, warnings=warnings)
        if options.is_dry_run:
            return Written(present(stored, kind), None, warnings=warnings)
        if is_finished(stored):
            gone = self.remove(kind, entry, stored)
            return Written(object_as(gone, kind), None, warnings=warnings)
        new = self.store.put(kind.storage_key, stored)
        self.after(kind, new, entry)
        return Written(object_as(new, kind), new, warnings=warnings)

    def remove(self, kind: Kind, entry: Entry, last_state: Object) -> Entry:
        """Take an object out of the store; `last_state` (stored form, private) is what watchers see."""
        gone = self.store.delete(kind.storage_key, last_state)
        self.after(kind, None, entry)
        return gone

    def assign_node(self, kind: Kind, entry: Entry, node: str) -> Entry:
        """Give a pod its node: a field that no update may set, and the condition that says so."""
        old = entry.obj
        conditions = [c for c in (old.get("status") or {}).get("conditions") or [] if c.get("type") != "PodScheduled"]
        since = json_time(self.now())
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": since}
        pod = {
            **old,
            "metadata": dict(old["metadata"]),
            "spec": {**old["spec"], "nodeName": node},
            "status": {**(old.get("status") or {}), "conditions": [*conditions, scheduled]},
        }
        new = self.store.put(kind.storage_key, pod)
        self.after(kind, new, entry)
        return new

    def after(self, kind: Kind, entry: Entry | None, previous: Entry | None) -> None:
        for hook in self.hooks:
            hook(kind, entry, previous)

    def _stored_form(self, kind: Kind, obj: Object) -> Object:
        stored = self.registry.stored(kind.storage_key)
        assert stored is not None, f"{kind.storage_key} is served but has no storage version"
        return to_storage(obj, kind, stored)

    def _credit(
        self, kind: Kind, old: Object, obj: Object, options: WriteOptions, subresource: str, *, forgets: bool
    ) -> None:
        """Note the request's manager as the owner of what it changed, unless nobody keeps count."""
        metadata = obj["metadata"]
        if self.managed_fields == "off" or forgets:
            metadata.pop("managedFields", None)
        elif "managedFields" not in metadata and "managedFields" in old["metadata"]:
            metadata["managedFields"] = old["metadata"]["managedFields"]
        if "managedFields" in metadata and not is_same(old, obj):
            self._track(kind, old, obj, options, subresource)

    def _track(self, kind: Kind, old: Object | None, obj: Object, options: WriteOptions, subresource: str) -> None:
        """Credit a writer for its changes. Fields are counted in the stored form, which renamed versions share."""
        fields = apply.track_update(
            old,
            obj,
            manager=options.manager,
            operation="Update",
            api_version=kind.api_version if kind.from_storage is None else obj["apiVersion"],
            subresource=subresource,
            now=self.now(),
            shape=shape_of(kind),
            ignored=not_settable(kind, obj, subresource),
        )
        if fields:
            obj["metadata"]["managedFields"] = fields
        else:
            obj["metadata"].pop("managedFields", None)


def shape_of(kind: Kind) -> Shape:
    """Return how objects of a kind merge."""
    shape: Shape = kind.schema.shape if kind.schema is not None else UNTYPED
    return shape


def _check_name(obj: Object, name: str) -> None:
    sent = obj["metadata"].get("name", "")
    if sent != name:
        why = f"the name of the object ({sent}) does not match the name on the URL ({name})"
        raise StatusError.bad_request(why)


def _shortened(obj: Object) -> str:
    text = msgspec.json.encode(obj).decode()
    return text if len(text) <= 256 else f"{text[:256]}…"
