"""Which form of an answer a client accepts, and which form its request body has.

Clients list several media types in order of preference; the first one that this server can produce wins, and the
quality values that no Kubernetes client sends do not matter (except 0, "never"). Answers are JSON, YAML where asked
for, tables for kubectl, bare metadata for metadata informers. Protobuf is read but never written: every client that
prefers it also lists JSON.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from prograde.sandbox.errors import StatusError

__all__ = ["Accepted", "Form", "Where", "negotiate", "unsupported_media_type"]

Form: TypeAlias = Literal["json", "yaml", "table", "metadata", "discovery"]

Where: TypeAlias = Literal["plain", "objects", "watch", "discovery"]
"""What kind of answer is negotiated: each allows other ``as=`` transformations."""

_JSON_TYPES = ("application/json", "application/*", "*/*")
_NOT_ACCEPTABLE = "only the following media types are accepted: application/json, application/yaml"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The form to answer in; `version` is that of a table (``v1``) or of a discovery document (``v2``)."""

    form: Form
    version: str = ""

    @property
    def content_type(self) -> str:
        if self.form == "discovery":
            return f"application/json;g=apidiscovery.k8s.io;v={self.version};as=APIGroupDiscoveryList"
        return "application/yaml" if self.form == "yaml" else "application/json"


_JSON = Accepted("json")


@lru_cache(maxsize=512)
def negotiate(accept: str, where: Where) -> Accepted:
    """Return the first form in an ``Accept`` header that can be produced; an empty header accepts anything.

    Raises:
        StatusError: 406, the client accepts nothing that this server speaks.
    """
    if not accept.strip():
        return _JSON
    for element in accept.split(","):
        media, *parameters = (part.strip() for part in element.split(";"))
        options = {key.strip().lower(): value.strip() for key, _, value in (text.partition("=") for text in parameters)}
        if _is_zero(options.get("q", "1")):
            continue
        accepted = _offer(media.lower(), options, where)
        if accepted is not None:
            return accepted
    raise StatusError(406, "NotAcceptable", _NOT_ACCEPTABLE)


def unsupported_media_type(accepted: str) -> StatusError:
    """Return the 415 for a request body; `accepted` lists what would have been understood."""
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return StatusError(415, "UnsupportedMediaType", message)


def _is_zero(quality: str) -> bool:
    try:
        return float(quality) == 0
    except ValueError:
        return False


def _offer(media: str, options: dict[str, str], where: Where) -> Accepted | None:
    transform = options.get("as")
    if media in _JSON_TYPES:
        if transform is None:
            return _JSON
        return _transformed(transform, options.get("g", ""), options.get("v", ""), where)
    if media == "application/yaml" and transform is None and where != "watch":
        return Accepted("yaml")
    return None


def _transformed(transform: str, group: str, version: str, where: Where) -> Accepted | None:
    if where == "discovery" and transform == "APIGroupDiscoveryList" and group == "apidiscovery.k8s.io":
        return Accepted("discovery", version) if version in ("v2", "v2beta1") else None
    if where in ("objects", "watch") and group == "meta.k8s.io" and version in ("v1", "v1beta1"):
        if transform == "Table":
            return Accepted("table", version)
        if transform in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Accepted("metadata", version)
    return None
