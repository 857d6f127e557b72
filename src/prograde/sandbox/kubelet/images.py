"""What an image's name promises: a reference that can or cannot be pulled, and how its program behaves.

No image is ever fetched. A few words in a reference choose a behaviour, so that a manifest can show a failure without
any annotation; every other image is a server that starts at once and answers every request.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

__all__ = ["DEFAULT_RULES", "ImageRule", "ImageTraits", "image_id", "image_traits", "normalized_reference"]

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?/)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"{_DOMAIN}{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
"""The grammar of image references: optional registry, lower-case path, optional tag and digest."""

CRASH_SECONDS = 1.0
"""How long a crashing program runs: long enough to be seen running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTraits:
    """What the simulation makes of an image."""

    pull: Literal["present", "missing", "invalid"] = "present"
    exit_after_seconds: float | None = None
    """None: the image's program runs for ever."""
    exit_code: int = 0
    exit_reason: str = ""
    ready_after_seconds: float = 0
    are_probes_failing: bool = False


@dataclass(frozen=True, slots=True)
class ImageRule:
    """One row of the table: where `pattern` is searched, and the traits it gives; `{n}` groups are numbers."""

    part: Literal["reference", "tag"]
    pattern: str
    traits: ImageTraits
    seconds_group: bool = False
    """Whether the pattern's first group is the number of seconds until the program is ready."""


DEFAULT_RULES: tuple[ImageRule, ...] = (
    ImageRule(
        "reference",
        r"does-not-exist|nonexist|no-such|invalid-image|argo-error|bad-image",
        ImageTraits(pull="missing"),
    ),
    ImageRule("tag", r"crash", ImageTraits(exit_after_seconds=CRASH_SECONDS, exit_code=1)),
    # Whole words: "zoom" and "bloom" are honest images.
    ImageRule(
        "tag",
        r"(?<![a-z0-9])oom(?![a-z0-9])",
        ImageTraits(exit_after_seconds=CRASH_SECONDS, exit_code=137, exit_reason="OOMKilled"),
    ),
    ImageRule("reference", r"never-ready|bad-health", ImageTraits(are_probes_failing=True)),
    ImageRule("tag", r"(?<![a-z0-9])slow-(\d{1,4})(?!\d)", ImageTraits(), seconds_group=True),
)
"""In order; the first that matches decides."""


@lru_cache(maxsize=1024)
def image_traits(image: str, rules: tuple[ImageRule, ...] = DEFAULT_RULES) -> ImageTraits:
    """Return the traits of an image reference; one that is no reference at all is `invalid`."""
    parsed = _REFERENCE.fullmatch(image)
    if parsed is None:
        return ImageTraits(pull="invalid")
    tag = parsed["tag"] or ""
    for rule in rules:
        found = re.search(rule.pattern, image if rule.part == "reference" else tag)
        if found is not None:
            return replace(rule.traits, ready_after_seconds=float(found[1])) if rule.seconds_group else rule.traits
    return ImageTraits()


@lru_cache(maxsize=1024)
def normalized_reference(image: str) -> str:
    """Return the reference as a container runtime reports it: with registry, and with a tag unless it has a digest."""
    first, _, rest = image.partition("/")
    if not rest:
        image = f"docker.io/library/{image}"
    elif not ("." in first or ":" in first or first == "localhost"):
        image = f"docker.io/{image}"
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


def image_id(image: str, digest: str) -> str:
    """Return the image ID that a container status shows, for a digest of 64 hexadecimal characters."""
    name = normalized_reference(image)
    repository = name.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@sha256:{digest}"
