"""`prograde create`: objects from files, and AnalysisRuns from analysis templates.

A run is made of its template as it is written, with the arguments filled in: labels and annotations come along, and
what the API server has added stays behind. Templates of templates are put together as the controller does it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, AnalysisTemplate, Argument, ClusterAnalysisTemplate
from prograde.api.analysistemplates import (
    InvalidTemplates,
    TemplateNotFound,
    collect_templates,
    flatten_templates,
    merge_arguments,
)
from prograde.api.codec import decode, to_json
from prograde.api.experiment import Experiment
from prograde.api.manifests import Document, ManifestError, check_fields, load_documents
from prograde.api.rollout import Rollout
from prograde.cli.connect import Session, in_session
from prograde.cli.flags import connection_flags, connection_options
from prograde.cli.framework import CliError, Entry, KubectlGroup, WrongArguments, command, flag
from prograde.cli.get import get_experiment, get_rollout
from prograde.controller.resources import (
    ANALYSIS_RUNS,
    ANALYSIS_TEMPLATES,
    CLUSTER_ANALYSIS_TEMPLATES,
    EXPERIMENTS,
    ROLLOUTS,
)
from prograde.kube.resources import Resource

__all__ = ["create", "create_analysis_run", "run_of_template"]

Json = dict[str, Any]

_KINDS: Final[Mapping[str, tuple[Resource, type[msgspec.Struct]]]] = {
    each.kind: (each, kind)
    for each, kind in (
        (ROLLOUTS, Rollout),
        (EXPERIMENTS, Experiment),
        (ANALYSIS_RUNS, AnalysisRun),
        (ANALYSIS_TEMPLATES, AnalysisTemplate),
        (CLUSTER_ANALYSIS_TEMPLATES, ClusterAnalysisTemplate),
    )
}
_WATCHED: Final = {names.ROLLOUT: get_rollout, names.EXPERIMENT: get_experiment}
_SERVER_FIELDS: Final = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink")
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class _Named(msgspec.Struct, frozen=True):
    metadata: dict[str, Any] = {}


async def _create(session: Session, resource: Resource, body: Json) -> str:
    """Create an object, say so, and return its name."""
    namespace = (body.get("metadata") or {}).get("namespace") or session.namespace
    answer = await session.client.create(resource, namespace if resource.namespaced else "", body)
    name = str(answer.to(_Named).metadata.get("name", ""))
    click.echo(f"{resource.kind.lower()}.{resource.group}/{name} created")
    return name


def _first_document(file: str) -> Document:
    """Return the first document of a local file.

    Raises:
        CliError: the file cannot be read, or there is no object in it.
    """
    try:
        documents = load_documents(Path(file).read_bytes(), file)
    except (OSError, ManifestError) as err:
        raise CliError(str(err)) from err
    if not documents or not isinstance(documents[0].value, dict):
        raise CliError(f"{file}: no object in it")
    return documents[0]


def _checked(document: Document, *kinds: str) -> tuple[Resource, Json]:
    """Return the object of a document, and where objects of its kind live.

    Raises:
        CliError: it is of another kind, or has fields that its kind does not have.
    """
    body: Json = document.value
    group, _, _ = str(body.get("apiVersion", "")).rpartition("/")
    kind = str(body.get("kind", ""))
    if group != names.GROUP or kind not in (kinds or _KINDS):
        raise CliError(f"creates of {group}/{kind} unsupported")
    resource, type_ = _KINDS[kind]
    problems = check_fields(document, type_)
    if problems:
        raise CliError("\n".join(f"{document.source}:{each.line}: {each.path}: {each.message}" for each in problems))
    return resource, body


def _create_files(ctx: click.Context, files: Sequence[str], *, watch: bool, no_color: bool) -> None:
    if watch and len(files) > 1:
        raise CliError("Cannot watch multiple resources")
    bodies = [_checked(_first_document(file)) for file in files]
    if watch and bodies[0][0].kind not in _WATCHED:
        raise CliError("Can only watch resources of type Rollout or Experiment")
    created: list[str] = []

    async def work(session: Session) -> None:
        for resource, body in bodies:
            created.append(await _create(session, resource, body))

    in_session(work)
    if watch:
        ctx.invoke(_WATCHED[bodies[0][0].kind], name=created[0], watch=True, no_color=no_color)


def _run_group(*, files: tuple[str, ...], watch: bool, no_color: bool) -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is not None:
        return
    if not files:
        raise WrongArguments("name a file", ctx)
    _create_files(ctx, files, watch=watch, no_color=no_color)


# ---- AnalysisRuns ---------------------------------------------------------------------------------------------------


def _arguments(words: Sequence[str]) -> tuple[Argument, ...]:
    """Read ``NAME=VALUE``.

    Raises:
        CliError: there is no ``=``.
    """
    arguments = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise CliError("arguments must be in the form NAME=VALUE")
        arguments.append(Argument(name=name, value=value))
    return tuple(arguments)


def run_of_template(
    template: Json, arguments: Sequence[Argument], *, name: str = "", generate_name: str = "", instance_id: str = ""
) -> Json:
    """Return the AnalysisRun that a template makes.

    Without a name it gets a generated one that begins as `generate_name` says, or else as the template is called.

    Raises:
        CliError: neither the template nor anybody else says how it is to be called.
        InvalidTemplates: an argument has no value.
    """
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if key not in _SERVER_FIELDS}
    metadata.pop("namespace", None)
    old_name = metadata.pop("name", "")
    metadata.pop("generateName", None)
    annotations = {key: text for key, text in (metadata.pop("annotations", None) or {}).items() if key != _LAST_APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    if name:
        metadata["name"] = name
    else:
        metadata["generateName"] = generate_name or (f"{old_name}-" if old_name else "")
        if not metadata["generateName"]:
            raise CliError("name is invalid")
    if instance_id:
        metadata["labels"] = {names.INSTANCE_ID_LABEL: instance_id}
    spec = {key: value for key, value in (template.get("spec") or {}).items() if key != "templates"}
    declared = spec.get("args")
    if declared:
        typed = tuple(decode(msgspec.json.encode(each), Argument) for each in declared)
        spec["args"] = [to_json(each) for each in merge_arguments(arguments, typed)]
    elif arguments:
        spec["args"] = [to_json(each) for each in arguments]
    return {"apiVersion": names.API_VERSION, "kind": names.ANALYSIS_RUN, "metadata": metadata, "spec": spec}


async def _composed(session: Session, template: Json) -> Json:
    """Return the template with those that it refers to put into it.

    Raises:
        InvalidTemplates, TemplateNotFound: they do not fit, or are not there.
    """
    typed = decode(msgspec.json.encode(template), AnalysisTemplate)
    if not typed.spec.templates:
        return template
    listing = await session.client.list(ANALYSIS_TEMPLATES, session.namespace)
    cluster_listing = await session.client.list(CLUSTER_ANALYSIS_TEMPLATES, "")
    found = collect_templates(
        typed.spec.templates,
        {each.metadata.name: each for each in listing.to(AnalysisTemplate)},
        {each.metadata.name: each for each in cluster_listing.to(ClusterAnalysisTemplate)},
    )
    return {**template, "spec": to_json(flatten_templates([typed.spec, *found.specs]))}


@command(
    "analysisrun",
    usage="[flags]",
    aliases=("ar",),
    text="Create an AnalysisRun from an AnalysisTemplate or a ClusterAnalysisTemplate, of the cluster or of a file.",
    examples="# Create an AnalysisRun from a template of the cluster\n"
    "prograde create analysisrun --from my-template\n\n"
    "# The same with arguments\nprograde create ar --from my-template -a host=cart -a port=80\n\n"
    "# From a ClusterAnalysisTemplate\nprograde create analysisrun --global --from my-template\n\n"
    "# From a file\nprograde create analysisrun --from-file my-template.yaml",
)
@click.option("--from", "source", default="", metavar="string", help="Create from an AnalysisTemplate of the cluster")
@click.option("--from-file", "file", default="", metavar="string", help="Create from an AnalysisTemplate in a file")
@flag("--global", "is_global", help="--from names a ClusterAnalysisTemplate")
@click.option("-a", "--argument", "words", multiple=True, metavar="string",
              help="An argument, as NAME=VALUE; may be repeated")  # fmt: skip
@click.option("--name", default="", metavar="string", help="Name of the run")
@click.option("--generate-name", default="", metavar="string", help="Beginning of the name of the run, to be completed")
@click.option("--instance-id", default="", metavar="string", help="Instance ID of the controller that is to measure")
@connection_flags
def create_analysis_run(
    *,
    source: str,
    file: str,
    is_global: bool,
    words: tuple[str, ...],
    name: str,
    generate_name: str,
    instance_id: str,
) -> None:
    if bool(source) == bool(file):
        raise CliError("one of --from or --from-file must be specified")
    arguments = _arguments(words)
    kinds = (names.ANALYSIS_TEMPLATE, names.CLUSTER_ANALYSIS_TEMPLATE)
    written = _checked(_first_document(file), *kinds)[1] if file else None

    async def work(session: Session) -> None:
        template = written
        if template is None:
            resource = CLUSTER_ANALYSIS_TEMPLATES if is_global else ANALYSIS_TEMPLATES
            answer = await session.client.get(resource, "" if is_global else session.namespace, source)
            template = answer.to(dict)
        try:
            run = run_of_template(
                await _composed(session, template),
                arguments,
                name=name,
                generate_name=generate_name,
                instance_id=instance_id,
            )
        except (InvalidTemplates, TemplateNotFound) as err:
            raise CliError(str(err)) from err
        await _create(session, ANALYSIS_RUNS, run)

    in_session(work)


create = KubectlGroup(
    "create",
    {
        "analysisrun": Entry(
            "prograde.cli.create:create_analysis_run", "Create an AnalysisRun from a template", aliases=("ar",)
        ),
    },
    usage_lines=("-f FILENAME [flags]", "[command]"),
    params=[
        click.Option(["-f", "--filename", "files"], multiple=True, metavar="string", help="File with one object"),
        click.Option(["-w", "--watch/--watch:off", "watch"], default=False, help="Watch live updates after creating"),
        click.Option(["--no-color/--no-color:off", "no_color"], default=False, help="Do not colorize output"),
        *connection_options(),
    ],
    callback=_run_group,
    examples="# Create an experiment and watch it\nprograde create -f my-experiment.yaml -w",
    help="Create a Rollout, Experiment, AnalysisTemplate, ClusterAnalysisTemplate, or AnalysisRun from a file.",
)
