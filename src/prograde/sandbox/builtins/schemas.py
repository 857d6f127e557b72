"""Schemas of the built-in kinds."""

from prograde.sandbox.schema import OPEN, Schema

__all__ = ["schema_of"]


def schema_of(group: str, version: str, kind: str) -> Schema:
    """Return the schema of a built-in kind."""
    return Schema(OPEN, is_typed=True)
