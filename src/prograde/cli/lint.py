"""`prograde lint`: what is wrong with the Rollouts and the analysis in a file, without a cluster.

    file ──▶ documents ──▶ Rollouts, strictly read, checked alone and against what they refer to in the same file
                      └──▶ analysis templates and runs: placeholders, arguments, conditions

Errors go to stdout, one in a line, and the first of them is the command's failure. Warnings go to stderr and fail
nothing. What a file refers to and does not contain may be in the cluster, so it is a warning, too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from prograde.api import names
from prograde.api.analysis import (
    AnalysisRun,
    AnalysisRunSpec,
    AnalysisTemplate,
    AnalysisTemplateSpec,
    ClusterAnalysisTemplate,
)
from prograde.api.analysistemplates import InvalidTemplates, TemplateNotFound, collect_templates, flatten_templates
from prograde.api.manifests import Document, ManifestError, check_fields, decode_document, load_documents
from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout
from prograde.api.validation import References, validate_references, validate_rollout
from prograde.api.workloads import Ingress, Service
from prograde.cli.flags import connection_flags
from prograde.cli.framework import CliError, WrongArguments, command
from prograde.controller.templates import template_references
from prograde.core.analysis.lint import lint_analysis

__all__ = ["Problem", "lint", "lint_file"]

T = TypeVar("T", Rollout, AnalysisTemplate, ClusterAnalysisTemplate, AnalysisRun, Service, Ingress)

_INGRESS_GROUPS: Final = ("networking.k8s.io", "extensions")
_ISTIO_GROUP: Final = "networking.istio.io"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `body` is the line on stdout, `text` how it reads as the failure of the command."""

    body: str
    text: str
    is_warning: bool = False


class _File:
    """The documents of a file, sorted by what they are."""

    def __init__(self, documents: list[Document]) -> None:
        self._documents = documents
        self.rollouts = self._all(names.GROUP, names.ROLLOUT, Rollout)
        self.templates = self._all(names.GROUP, names.ANALYSIS_TEMPLATE, AnalysisTemplate)
        self.cluster_templates = self._all(names.GROUP, names.CLUSTER_ANALYSIS_TEMPLATE, ClusterAnalysisTemplate)
        self.runs = self._all(names.GROUP, names.ANALYSIS_RUN, AnalysisRun)
        self.services = self._all("", "Service", Service)
        self.ingresses = [pair for group in _INGRESS_GROUPS for pair in self._all(group, "Ingress", Ingress)]

    def _all(self, group: str, kind: str, type_: type[T]) -> list[tuple[Document, T]]:
        found = [each for each in self._documents if _identity(each.value) == (group, kind)]
        return [(each, decode_document(each, type_)[0]) for each in found]

    def references(self) -> References:
        """Return what a Rollout of this file can be checked against; names count, namespaces do not."""
        return References(
            services={each.metadata.name: each for _, each in self.services},
            analysis_templates={each.metadata.name: each for _, each in self.templates},
            cluster_analysis_templates={each.metadata.name: each for _, each in self.cluster_templates},
            ingresses={each.metadata.name: each for _, each in self.ingresses},
            is_complete=False,
        )

    def virtual_services(self, namespace: str) -> dict[NamespacedName, Any]:
        """Return the VirtualServices as if they all were where the Rollout is."""
        found = [each.value for each in self._documents if _identity(each.value) == (_ISTIO_GROUP, "VirtualService")]
        named = {str((each.get("metadata") or {}).get("name", "")): each for each in found}
        return {NamespacedName(namespace, name): each for name, each in named.items()}


def _identity(value: Any) -> tuple[str, str]:
    group, slash, _ = str(value.get("apiVersion", "")).rpartition("/")
    return (group if slash else "", str(value["kind"]))


def lint_file(text: bytes, source: str) -> list[Problem]:
    """Return what is wrong with the objects in a file, in their order by kind.

    Raises:
        CliError: the file is no manifest.
    """
    try:
        documents = load_documents(text, source)
        for document in documents:
            if not isinstance(document.value, dict) or not document.value.get("kind"):
                if document.value in ({}, None):
                    continue
                raise CliError(f"{source}:{document.line}: Object 'Kind' is missing")
        file = _File([each for each in documents if each.value])
    except ManifestError as err:
        raise CliError(str(err)) from err
    return [
        *(problem for document, rollout in file.rollouts for problem in _rollout_problems(file, document, rollout)),
        *_analysis_problems(file),
    ]


# ---- Rollouts -------------------------------------------------------------------------------------------------------


def _rollout_problems(file: _File, document: Document, rollout: Rollout) -> Iterator[Problem]:
    for each in check_fields(document, Rollout):
        text = f"{each.path}: {each.message}"
        if each.message.startswith("unknown field"):
            text = f"error unmarshaling JSON: while decoding JSON: json: {each.message}"
        yield Problem(body=text, text=text)
    references = msgspec.structs.replace(
        file.references(), virtual_services=file.virtual_services(rollout.metadata.namespace)
    )
    for error in (*validate_rollout(rollout), *validate_references(rollout, references)):
        yield Problem(body=error.body, text=str(error))
    known = {False: references.analysis_templates or {}, True: references.cluster_analysis_templates or {}}
    for reference in dict.fromkeys(template_references(rollout)):
        if reference.template_name not in known[bool(reference.cluster_scope)]:
            kind = names.CLUSTER_ANALYSIS_TEMPLATE if reference.cluster_scope else names.ANALYSIS_TEMPLATE
            yield _warning(f'Rollout {rollout.metadata.name}: {kind} "{reference.template_name}" is not in this file')


# ---- Analysis -------------------------------------------------------------------------------------------------------


def _analysis_problems(file: _File) -> Iterator[Problem]:
    templates = {each.metadata.name: each for _, each in file.templates}
    cluster_templates = {each.metadata.name: each for _, each in file.cluster_templates}
    all_templates: list[tuple[Document, AnalysisTemplate | ClusterAnalysisTemplate]] = [
        *file.templates,
        *file.cluster_templates,
    ]
    for document, template in all_templates:
        where = f"{document.value['kind']} {template.metadata.name}"
        yield from _field_problems(document, type(template), where)
        try:
            found = collect_templates(template.spec.templates, templates, cluster_templates)
            spec = flatten_templates([template.spec, *found.specs])
        except InvalidTemplates as err:
            yield _error(where, "", str(err))
            continue
        except TemplateNotFound as err:
            yield _warning(f"{where}: {err} in this file")
            spec = template.spec
        yield from _findings(_run_spec(spec), where, is_template=True)
    for document, run in file.runs:
        where = f"{names.ANALYSIS_RUN} {run.metadata.name or run.metadata.generate_name}"
        yield from _field_problems(document, AnalysisRun, where)
        yield from _findings(run.spec, where, is_template=False)


def _run_spec(spec: AnalysisTemplateSpec) -> AnalysisRunSpec:
    return AnalysisRunSpec(
        metrics=spec.metrics,
        args=spec.args,
        dry_run=spec.dry_run,
        measurement_retention=spec.measurement_retention,
    )


def _field_problems(document: Document, type_: type[msgspec.Struct], where: str) -> Iterator[Problem]:
    return (_error(where, each.path, each.message) for each in check_fields(document, type_))


def _findings(spec: AnalysisRunSpec, where: str, *, is_template: bool) -> Iterator[Problem]:
    for severity, path, message in lint_analysis(spec, is_template=is_template):
        below = f"spec.{path}" if path else "spec"
        if severity == "warning":
            yield _warning(f"{where}: {below}: {message}")
        else:
            yield _error(where, below, message)


def _error(where: str, path: str, message: str) -> Problem:
    text = f"{where}: {path}: {message}" if path else f"{where}: {message}"
    return Problem(body=text, text=text)


def _warning(text: str) -> Problem:
    return Problem(body=text, text=text, is_warning=True)


@command(
    "lint",
    usage="-f FILENAME [flags]",
    text="Lint and validate the Rollouts of a file, with the Services, Ingresses, VirtualServices and analysis "
    "templates beside them, and compile every condition. No cluster is asked.",
    examples="# Lint a rollout\nprograde lint -f my-rollout.yaml",
)
@click.option("-f", "--filename", "file", default="", metavar="string", help="File to lint")
@connection_flags
@click.pass_context
def lint(ctx: click.Context, *, file: str) -> None:
    if not file:
        raise WrongArguments("name a file", ctx)
    try:
        text = Path(file).read_bytes()
    except OSError as err:
        raise CliError(str(err)) from err
    problems = lint_file(text, file)
    for problem in problems:
        click.echo(f"Warning: {problem.body}" if problem.is_warning else problem.body, err=problem.is_warning)
    first = next((each for each in problems if not each.is_warning), None)
    if first is not None:
        raise CliError(first.text)
