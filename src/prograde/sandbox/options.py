"""The query of a write: who writes, how strictly, and whether at all."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from prograde.sandbox.deletion import dry_run_cause
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.verbs import PatchType, WriteOptions

__all__ = ["OptionsKind", "manager_of", "parse_write_options"]

OptionsKind: TypeAlias = Literal["CreateOptions", "UpdateOptions", "PatchOptions", "DeleteOptions"]

_MANAGER_MAX = 128
_TRUE = ("true", "True", "1")


def manager_of(user_agent: str) -> str:
    """Return the manager name of a client that gives none: its user agent up to the first slash."""
    return user_agent.partition("/")[0][:_MANAGER_MAX] or "unknown"


def parse_write_options(
    kind: OptionsKind,
    query: Mapping[str, str],
    user_agent: str,
    duplicates: tuple[str, ...] = (),
    patch_type: PatchType | None = None,
) -> WriteOptions:
    """Read the options of a write.

    Raises:
        StatusError: 422 that names every option that makes no sense.
    """
    causes = []
    manager = query.get("fieldManager", "")
    if len(manager) > _MANAGER_MAX:
        text = f"Too long: may not be more than {_MANAGER_MAX} bytes"
        causes.append(Cause("FieldValueTooLong", text, "fieldManager"))
    if not manager.isprintable():
        text = f'Invalid value: "{manager!a}": should only contain printable characters'
        causes.append(Cause("FieldValueInvalid", text, "fieldManager"))
    if patch_type == "apply" and not manager:
        causes.append(Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager"))
    validation = query.get("fieldValidation", "") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        text = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        causes.append(Cause("FieldValueNotSupported", text, "fieldValidation"))
    force = query.get("force", "")
    if force and patch_type is not None and patch_type != "apply":
        text = "Forbidden: may not be specified for non-apply patch"
        causes.append(Cause("FieldValueForbidden", text, "force"))
    dry_run = query.get("dryRun", "")
    if dry_run not in ("", "All"):
        causes.append(dry_run_cause([dry_run]))
    if causes:
        raise StatusError.invalid("meta.k8s.io", kind, "", causes)
    return WriteOptions(
        manager=manager or manager_of(user_agent),
        validation=validation,  # type: ignore[arg-type]  # checked above
        is_dry_run=dry_run == "All",
        force=force in _TRUE,
        duplicate_fields=duplicates,
    )
