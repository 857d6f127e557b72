"""Protobuf request bodies of built-in kinds, turned into the JSON that an older client would have sent."""

from prograde.sandbox.kinds import Object

__all__ = ["ProtobufError", "decode"]


class ProtobufError(ValueError):
    """The body is no Kubernetes protobuf, or of a kind without a wire table."""


def decode(body: bytes) -> Object:
    """Return the object in `body`.

    Raises:
        ProtobufError: the body cannot be decoded.
    """
    raise ProtobufError("not yet decoded")
