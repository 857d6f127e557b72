"""`prograde simulate`: a release rehearsed in virtual time, with the real controller and no cluster."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from prograde.api.manifests import ManifestError, load_documents
from prograde.cli.framework import CliError, command
from prograde.cli.get import wants_colour
from prograde.cli.timeline import timeline_text
from prograde.sandbox.errors import StatusError
from prograde.simulator.release import CannotSimulate, simulate_release
from prograde.simulator.timelines import Action, Conditions, ErrorRate

__all__ = ["simulate"]

USAGE_EXIT_CODE: Final = 2
EXIT_CODES: Final = {"healthy": 0, "degraded": 1, "stuck": 3}

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LENGTH: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+|0")
_RATE: Final = re.compile(r"(?P<percent>\d+(?:\.\d+)?)%(?:@(?P<at>.+))?")


@command(
    "simulate",
    usage="-f ROLLOUT.yaml [flags]",
    text=(
        "Rehearse a release in virtual time: deploy the version in the manifests, release a new one, and print what "
        "happens, step by step. The controller is the real one, the cluster is an embedded one, and a pause of two "
        "days takes no time. No cluster is needed and none is touched.\n\n"
        "The input holds the Rollout and whatever belongs to it. Services, Ingresses, routes and analysis templates "
        "that it names and the input lacks are made up, and the output says which. Two documents of the same Rollout "
        "are the version before and after; otherwise --to or --set-image names the new images, or the first "
        "container's tag is counted up.\n\n"
        "Metrics are not queried. Every AnalysisRun lasts as long as its measurements take and succeeds, unless "
        "--error-rate is given: from that moment on, runs in progress and later ones fail if the rate is above "
        "--error-limit. What the conditions of the templates say makes no difference.\n\n"
        "Exit codes: 0 the new version is Healthy, 1 the Rollout is Degraded, 2 wrong usage, 3 it goes no further by "
        "itself (paused, stuck, or not done at --until). Times are relative to the release: 90s, 10m, 1h30m, 2d."
    ),
    examples=(
        "# How long does a release take, and where does it wait?\n"
        "prograde simulate -f rollout.yaml --promote-at 10m\n\n"
        "# What if the new version cannot start, or is bad after ten minutes?\n"
        "prograde simulate -f rollout.yaml --to shop:2 --fail-image 2\n"
        "prograde simulate -f rollout.yaml --pods-ready 20s --error-rate 3%@10m\n\n"
        "# For scripts and pull requests\nprograde simulate -f rollout.yaml -o json"
    ),
    usage_exit_code=USAGE_EXIT_CODE,
)
@click.option("-f", "--filename", "files", multiple=True, help="Manifests to simulate, - for stdin; may be repeated")
@click.option("--name", default="", help="Which Rollout, if there are several")
@click.option("--from", "old_image", default="", metavar="image", help="First container's image before the release")
@click.option("--to", "new_image", default="", metavar="image", help="First container's image after the release")
@click.option(
    "--set-image", "images", multiple=True, metavar="container=image", help="New image of a container; may be repeated"
)
@click.option(
    "--pods-ready", default="", metavar="duration", help="Time until a pod is ready, instead of what its probes say"
)
@click.option(
    "--fail-image",
    "failing",
    multiple=True,
    metavar="tag",
    help="Images with this tag cannot be pulled; may be repeated",
)
@click.option(
    "--error-rate", default="", metavar="percent@duration", help="Errors of the new version from a time on: 3%@10m"
)
@click.option("--error-limit", default="1%", metavar="percent", help="Error rate above which analysis fails")
@click.option("--promote-at", multiple=True, metavar="duration", help="When a user promotes; may be repeated")
@click.option("--promote-full-at", multiple=True, metavar="duration", help="When a user promotes in full")
@click.option("--abort-at", multiple=True, metavar="duration", help="When a user aborts; may be repeated")
@click.option("--retry-at", multiple=True, metavar="duration", help="When a user retries; may be repeated")
@click.option("--until", default="7d", metavar="duration", help="When to stop looking")
@click.option("-o", "--output", type=click.Choice(["timeline", "json"]), default="timeline", help="timeline or json")
@click.option("--no-color", is_flag=True, help="Do not colorize output")
def simulate(
    *,
    files: tuple[str, ...],
    name: str,
    old_image: str,
    new_image: str,
    images: tuple[str, ...],
    pods_ready: str,
    failing: tuple[str, ...],
    error_rate: str,
    error_limit: str,
    promote_at: tuple[str, ...],
    promote_full_at: tuple[str, ...],
    abort_at: tuple[str, ...],
    retry_at: tuple[str, ...],
    until: str,
    output: str,
    no_color: bool,
) -> int:
    if not files:
        raise _usage('required flag(s) "filename" not set')
    actions: list[Action] = []
    actions += (Action(_seconds("--promote-at", text), "promote") for text in promote_at)
    actions += (Action(_seconds("--promote-full-at", text), "promote-full") for text in promote_full_at)
    actions += (Action(_seconds("--abort-at", text), "abort") for text in abort_at)
    actions += (Action(_seconds("--retry-at", text), "retry") for text in retry_at)
    conditions = Conditions(
        images=_images(new_image, images),
        old_image=old_image,
        pods_ready_seconds=_seconds("--pods-ready", pods_ready) if pods_ready else None,
        failing_tags=failing,
        error_rate=_error_rate(error_rate) if error_rate else None,
        error_limit_percent=_percent("--error-limit", error_limit),
        actions=tuple(actions),
        until_seconds=_seconds("--until", until),
    )
    try:
        timeline = simulate_release(_documents(files), conditions, name=name)
    except CannotSimulate as err:
        raise _usage(str(err)) from err
    except StatusError as err:
        raise _usage(f"the manifests are refused: {err.message}") from err
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(timeline), indent=2))
    else:
        click.echo(timeline_text(timeline, colour=wants_colour(no_color)), nl=False)
    return EXIT_CODES[timeline.verdict.outcome]


def _usage(message: str) -> CliError:
    return CliError(message, exit_code=USAGE_EXIT_CODE)


def _documents(files: Iterable[str]) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    for file in files:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text()
            found = [document.value for document in load_documents(text, "stdin" if file == "-" else file)]
        except (OSError, UnicodeDecodeError) as err:
            raise _usage(f"{file}: {getattr(err, 'strerror', None) or err}") from err
        except ManifestError as err:
            raise _usage(str(err)) from err
        for value in found:
            items = value.get("items") if isinstance(value, dict) and value.get("kind") == "List" else [value]
            for item in items or ():
                if not isinstance(item, dict) or not item.get("kind"):
                    raise _usage(f"{file}: a document is no Kubernetes object: it has no kind")
                documents.append(item)
    return documents


def _images(first: str, others: Iterable[str]) -> dict[str, str]:
    images = {"": first} if first else {}
    for text in others:
        container, equals, image = text.partition("=")
        if not equals or not container or not image:
            raise _usage(f'invalid argument "{text}" for "--set-image" flag: write container=image')
        images[container] = image
    return images


def _seconds(flag: str, text: str) -> float:
    """Return a duration in seconds: a Go duration, and days."""
    if not _LENGTH.fullmatch(text):
        raise _usage(f'invalid argument "{text}" for "{flag}" flag: write a duration such as 90s, 10m, 1h30m or 2d')
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text))


def _percent(flag: str, text: str) -> float:
    found = _RATE.fullmatch(text)
    if found is None or found["at"] is not None or float(found["percent"]) > 100:
        raise _usage(f'invalid argument "{text}" for "{flag}" flag: write a percentage such as 1%')
    return float(found["percent"])


def _error_rate(text: str) -> ErrorRate:
    found = _RATE.fullmatch(text)
    if found is None or float(found["percent"]) > 100:
        raise _usage(f'invalid argument "{text}" for "--error-rate" flag: write percent@duration such as 3%@10m')
    return ErrorRate(float(found["percent"]), _seconds("--error-rate", found["at"]) if found["at"] else 0.0)
