"""What every field of our resources means, for ``kubectl explain`` and for readers of the CRDs.

The texts stand apart from the types, so that the types stay readable. They are written like the type notation of
`prograde.api.podschema.notation`, without types, which the structs know::

    # RolloutPause: A wait.
    duration        How long to wait.

A heading names a struct and says what one such object is, as needed where lists hold them. Fields go by their wire
names; ``!`` marks those the API server demands. A line that starts with white space continues the one above. Texts are
for users of the resources: they speak of YAML, not of Python.
"""

import re
from dataclasses import dataclass, field
from functools import cache

from prograde.api.descriptions import analysis, rollout, rollout_status

__all__ = ["Description", "descriptions", "parse"]

_HEADING = re.compile(r"# (?P<name>\w+): (?P<summary>.+)")


@dataclass(slots=True)
class Description:
    """What the objects of one struct are, and what their fields mean."""

    summary: str
    fields: dict[str, str] = field(default_factory=dict)
    """Texts by wire name."""
    required: list[str] = field(default_factory=list)
    """Wire names of the fields that must be present."""


@cache
def descriptions() -> dict[str, Description]:
    """Return the descriptions of all structs by the name of the struct."""
    return parse(rollout.TEXT, rollout_status.TEXT, analysis.TEXT)


def parse(*texts: str) -> dict[str, Description]:
    """Read texts in the notation of this package.

    Raises:
        ValueError: a line without meaning, or a struct or field described twice.
    """
    found: dict[str, Description] = {}
    current: Description | None = None
    last_field = ""
    for line in "\n".join(texts).splitlines():
        if not line.strip():
            continue
        if heading := _HEADING.fullmatch(line):
            if heading["name"] in found:
                raise ValueError(f"{heading['name']} is described twice")
            current, last_field = Description(heading["summary"]), ""
            found[heading["name"]] = current
        elif current is None or (line[0].isspace() and not last_field):
            raise ValueError(f"the line belongs to no struct or field: {line!r}")
        elif line[0].isspace():
            current.fields[last_field] += " " + line.strip()
        else:
            name, _, text = line.partition(" ")
            last_field = name.rstrip("!")
            if not text.strip():
                raise ValueError(f"the field has no description: {line!r}")
            if last_field in current.fields:
                raise ValueError(f"the field is described twice: {line!r}")
            current.fields[last_field] = text.strip()
            if name.endswith("!"):
                current.required.append(last_field)
    return found
