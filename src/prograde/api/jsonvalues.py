"""JSON values as Kubernetes compares and patches them."""

from typing import Any

__all__ = ["json_equal", "merge_patch_between"]


def json_equal(left: Any, right: Any) -> bool:
    """Compare two JSON values: 1 equals 1.0, but true does not equal 1."""
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(json_equal(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(json_equal, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def merge_patch_between(old: Any, new: Any) -> Any:
    """Return the smallest merge patch that turns `old` into `new`, ``{}`` when they are equal.

    A merge patch cannot say "set to null": a null inside an object of `new` comes out as an absent member.
    """
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif not json_equal(old[key], value):
            patch[key] = merge_patch_between(old[key], value)
    return patch
