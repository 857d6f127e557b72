"""The command table: `prograde` and, under the name kubectl looks for, `kubectl-argo-rollouts`.

Both names know the same commands; each command lives in a module of its own and is imported when it runs.
"""

import os
import sys

from prograde.cli.flags import connection_options
from prograde.cli.framework import PLUGIN_NAME, Entry, KubectlGroup, run

__all__ = ["COMMANDS", "complete_for_kubectl", "main", "root_group"]

COMMANDS = {
    "abort": Entry("prograde.cli.mutate:abort", "Abort a rollout"),
    "completion": Entry("prograde.cli.completion:completion", "Generate completion script"),
    "controller": Entry("prograde.cli.controller:controller", "Run the controller"),
    "create": Entry("prograde.cli.create:create", "Create a Rollout, Experiment, AnalysisTemplate, or AnalysisRun"),
    "demo": Entry(
        "prograde.cli.demo:demo", "Watch a canary, a broken version, an abort and an undo on an embedded cluster"
    ),
    "explain": Entry("prograde.cli.explain:explain", "Explain what a rollout is waiting for"),
    "get": Entry("prograde.cli.get:get", "Get details about rollouts and experiments"),
    "help": Entry("prograde.cli.help:help_", "Help about any command"),
    "lint": Entry("prograde.cli.lint:lint", "Lint and validate a Rollout and its analysis"),
    "list": Entry("prograde.cli.list:list_", "List rollouts or experiments"),
    "pause": Entry("prograde.cli.mutate:pause", "Pause a rollout"),
    "plan": Entry("prograde.cli.plan:plan", "Show the writes that the next reconcile would make"),
    "promote": Entry("prograde.cli.promote:promote", "Promote a rollout"),
    "restart": Entry("prograde.cli.mutate:restart", "Restart the pods of a rollout"),
    "retry": Entry("prograde.cli.mutate:retry", "Retry a rollout or experiment"),
    "sandbox": Entry("prograde.cli.sandbox:sandbox", "Run an embedded cluster on this machine"),
    "set": Entry("prograde.cli.set_image:set_", "Update various values on resources"),
    "simulate": Entry("prograde.cli.simulate:simulate", "Rehearse a release in virtual time, without a cluster"),
    "status": Entry("prograde.cli.status:status", "Show the status of a rollout"),
    "terminate": Entry("prograde.cli.mutate:terminate", "Terminate an AnalysisRun or experiment"),
    "undo": Entry("prograde.cli.undo:undo", "Undo a rollout"),
    "version": Entry("prograde.cli.version:version", "Print version"),
    "__complete": Entry("prograde.cli.completion:complete", "", aliases=("__completeNoDesc",), is_hidden=True),
}


def root_group(program: str) -> KubectlGroup:
    """Return the root command under the name the user called."""
    return KubectlGroup(
        program,
        COMMANDS,
        params=connection_options(),
        context_settings={"help_option_names": ["-h", "--help"]},
        help="This command consists of multiple subcommands which can be used to manage Rollouts.",
        examples=(
            "# Get a rollout\nprograde get rollout guestbook\n\n"
            "# Watch a rollout\nprograde get rollout guestbook -w\n\n"
            "# Why is it waiting?\nprograde explain guestbook\n\n"
            "# What would this manifest do?\nprograde plan -f rollout.yaml\n\n"
            "# Pause, promote, abort or undo a rollout\nprograde pause guestbook\nprograde promote guestbook\n"
            "prograde abort guestbook\nprograde undo guestbook\n\n"
            "# A cluster on this machine, and the controller on it\nprograde sandbox\nprograde controller"
        ),
    )


def main() -> None:
    """Run the command line and exit."""
    program = os.path.basename(sys.argv[0])
    if program not in ("prograde", PLUGIN_NAME):
        program = "prograde"
    sys.exit(run(root_group(program), sys.argv[1:], program))


def complete_for_kubectl() -> None:
    """Answer kubectl, which runs ``kubectl_complete-argo-rollouts WORD...`` to complete ``kubectl argo rollouts``."""
    sys.exit(run(root_group(PLUGIN_NAME), ["__complete", *sys.argv[1:]], PLUGIN_NAME))
