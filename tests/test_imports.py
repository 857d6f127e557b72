"""What starting up may cost, counted in modules: a number that does not depend on the machine."""

import subprocess
import sys

import pytest

_COUNT = """
import sys
before = set(sys.modules)
{statement}
print("\\n".join(sorted(set(sys.modules) - before)))
"""

HEAVY = ("aiohttp", "yaml", "asyncio", "ssl", "msgspec", "prograde.api", "prograde.kube", "prograde.sandbox")


def loaded_by(statement: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-I", "-c", _COUNT.format(statement=statement)], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


HELP = """
import click
from prograde.cli.main import root_group
root = root_group("prograde")
root.get_help(click.Context(root))
"""


def test_the_help_loads_click_and_next_to_nothing_else() -> None:
    ours = loaded_by(HELP) - loaded_by("import click")
    assert not [name for name in ours if name.startswith(HEAVY)]
    assert len(ours) <= 18, sorted(ours)


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import prograde", ("click", "msgspec", "prograde.api")),
        ("import prograde.core.rollout.planner", ("asyncio", "logging", "aiohttp", "yaml", "socket", "ssl")),
        ("import prograde.controller.manager", ("click", "cryptography", "prograde.sandbox", "prograde.cli", "yaml")),
        ("import prograde.sandbox.cluster", ("cryptography", "prograde.core", "prograde.controller", "click")),
    ],
)
def test_a_part_does_not_load_what_it_does_not_need(statement: str, forbidden: tuple[str, ...]) -> None:
    loaded = loaded_by(statement)
    assert not [
        name for name in loaded if name in forbidden or name.startswith(tuple(f"{each}." for each in forbidden))
    ]
