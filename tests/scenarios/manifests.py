"""Where the scenarios find their manifests."""

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
