"""Releases rehearsed on the command line: what is printed, what is in the JSON, and how it exits."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prograde.cli.framework import run
from prograde.cli.main import root_group
from prograde.simulator.release import next_image

EXAMPLES = Path(__file__).parents[2] / "examples"

CANARY = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop, namespace: store}
spec:
  replicas: 4
  progressDeadlineSeconds: 120
  selector: {matchLabels: {app: shop}}
  strategy:
    canary:
      %s
      steps:
      - setWeight: 25
      - pause: %s
      - setWeight: 50
      - pause: {duration: 24h}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - {name: web, image: "example.com/shop:1.9"}
      - {name: log, image: "example.com/log:7"}
"""


@pytest.fixture
def simulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command on a manifest and returns (exit code, stdout, stderr)."""

    def call(manifest: str, *arguments: str) -> tuple[int, str, str]:
        file = tmp_path / "rollout.yaml"
        file.write_text(manifest)
        code = run(root_group("prograde"), ["simulate", "-f", str(file), *arguments], "prograde")
        out, err = capsys.readouterr()
        return code, out, err

    return call


def manifest(*, pause: str = "{duration: 24h}", more: str = "maxSurge: 1") -> str:
    return CANARY % (more, pause)


def test_a_canary_of_two_days_is_told_step_by_step(simulate: Any) -> None:
    code, out, err = simulate(manifest(), "--pods-ready", "20s")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "store/shop: a Canary release of 4 pods"
    assert lines[1] == "  web: example.com/shop:1.9 → example.com/shop:1.10"
    assert lines[2] == "  log: example.com/log:7", "what does not change is shown as it is"
    story = [
        "0s  ◌   0/4  ░░░░░░░░░░    0%     3/3    0/1  ▸ released: web=example.com/shop:1.10",
        "20s  ॥   1/4  ██░░░░░░░░   25%",
        "· step 1/4 done: setWeight: 25",
        "… paused at step 2/4 for 24h (until 1d20s)",
        "1d20s  ◌   2/4",
        "✔   4/4  ██████████  100%       -    4/4  · revision 2 is stable: Completed all 4 canary",
        "✔ Healthy after 2d",
    ]
    position = 0
    for part in story:
        position = out.index(part, position)
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in out, "no colour where there is no terminal"


def test_two_days_take_less_than_a_second(simulate: Any) -> None:
    _, out, _ = simulate(manifest(), "-o", "json")
    verdict = msgspec.json.decode(out)["verdict"]
    assert verdict["seconds"] > 2 * 86400
    assert verdict["wallSeconds"] < 20, "this machine may be busy; alone it takes half a second"


def test_a_pause_without_an_end_is_named_with_what_would_end_it(simulate: Any) -> None:
    code, out, _ = simulate(manifest(pause="{}"))
    assert code == 3
    assert "॥ Paused and goes no further since" in out
    assert "→ to go on: prograde promote shop" in out


def test_a_user_promotes_at_the_given_time(simulate: Any) -> None:
    code, out, _ = simulate(manifest(pause="{}"), "--promote-at", "1h30m", "-o", "json")
    assert code == 0
    moments = msgspec.json.decode(out)["moments"]
    said = next(m for m in moments if any(h["kind"] == "user" and h["reason"] == "promote" for h in m["happenings"]))
    assert said["seconds"] == 5400


def test_a_version_that_cannot_start_is_degraded_and_can_be_aborted(simulate: Any) -> None:
    code, out, _ = simulate(manifest(), "--to", "example.com/shop:2", "--fail-image", "2", "--abort-at", "10m")
    assert code == 1
    assert "has timed out progressing" in out
    assert "▸ user: abort" in out
    assert "✖ Degraded since" in out
    assert "prograde retry rollout shop" in out


def test_what_is_not_in_the_input_is_made_up_and_said_so(simulate: Any) -> None:
    routed = (
        "canaryService: shop-canary\n      stableService: shop-stable\n"
        "      trafficRouting: {nginx: {stableIngress: shop}}"
    )
    text = manifest(more=routed)
    code, out, err = simulate(text)
    assert (code, err) == (0, "")
    for made_up in ("Service shop-stable is made up", "Service shop-canary is made up", "Ingress shop is made up"):
        assert made_up in out
    assert "25%     4/4    1/1" in out, "the router gives a quarter of the traffic to one pod of five"


def test_two_documents_are_the_version_before_and_after(simulate: Any) -> None:
    after = manifest().replace("shop:1.9", "shop:3.0").replace("setWeight: 25", "setWeight: 75")
    code, out, _ = simulate(manifest() + "---" + after)
    assert code == 0
    assert "web: example.com/shop:1.9 → example.com/shop:3.0" in out
    assert "step 1/4 done: setWeight: 75" in out


def test_images_are_set_by_container(simulate: Any) -> None:
    _, out, _ = simulate(manifest(), "--set-image", "log=example.com/log:8", "--from", "example.com/shop:1.8")
    assert "  web: example.com/shop:1.8\n" in out
    assert "  log: example.com/log:7 → example.com/log:8\n" in out


def test_an_analysis_fails_when_the_error_rate_begins(simulate: Any) -> None:
    more = "analysis: {templates: [{templateName: errors}]}"
    template = """
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors, namespace: store}
spec:
  metrics:
  - {name: errors, interval: 1m, provider: {web: {url: "http://x", jsonPath: "{$.ok}"}}}
"""
    code, out, _ = simulate(manifest(more=more) + template, "--error-rate", "3%@10m")
    assert code == 1
    assert "! from now on 3% of the new version's requests" in out
    assert "simulated error rate 3% is above the limit of 1%" in out
    code, _, _ = simulate(manifest(more=more) + template, "--error-rate", "3%@10m", "--error-limit", "5%")
    assert code == 0


def test_until_ends_a_simulation_early(simulate: Any) -> None:
    code, out, _ = simulate(manifest(), "--until", "1h")
    assert code == 3
    assert "paused at step 2/4 for 24h" in out


def test_the_fields_of_the_json_output_stay(simulate: Any) -> None:
    code, out, err = simulate(manifest(), "-o", "json")
    assert (code, err) == (0, "")
    timeline = msgspec.json.decode(out)
    assert list(timeline) == [
        "namespace", "name", "strategy", "replicas", "oldImages", "newImages", "notes", "moments", "verdict",
    ]  # fmt: skip
    first = timeline["moments"][0]
    assert list(first) == [
        "seconds", "phase", "message", "step", "steps", "trafficPercent", "lostPercent", "versions", "happenings",
    ]  # fmt: skip
    assert list(first["versions"][0]) == [
        "revision", "hash", "isNew", "isStable", "image", "wanted", "pods", "available", "trafficPercent",
    ]  # fmt: skip
    assert list(first["happenings"][0]) == ["kind", "reason", "message", "untilSeconds"]
    assert list(timeline["verdict"]) == ["outcome", "phase", "message", "remedy", "seconds", "wallSeconds"]
    assert timeline["verdict"]["outcome"] == "healthy"
    assert timeline["moments"][-1]["trafficPercent"] == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pods-ready", "soon"], 'invalid argument "soon" for "--pods-ready" flag: write a duration'),
        (["--promote-at", "5"], 'invalid argument "5" for "--promote-at" flag'),
        (["--error-rate", "lots"], 'invalid argument "lots" for "--error-rate" flag: write percent@duration'),
        (["--error-rate", "101%@1m"], 'invalid argument "101%@1m"'),
        (["--error-limit", "1%@1m"], 'invalid argument "1%@1m" for "--error-limit" flag'),
        (["--set-image", "web"], 'invalid argument "web" for "--set-image" flag: write container=image'),
        (["--set-image", "db=x:1"], "there is no container db; there are log, web"),
        (["--to", "example.com/shop:1.9"], "nothing is released"),
        (["--name", "other"], 'there is no Rollout "other" in the input'),
        (["--until"], "flag needs an argument: --until"),
        (["--bogus"], "unknown flag: --bogus"),
        (["-o", "xml"], 'invalid argument for "-o, --output" flag'),
        (["-f", "/no/such/file"], "/no/such/file: No such file or directory"),
        (["--from", "example.com/shop:does-not-exist"], "the current version does not become Healthy"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_line(simulate: Any, arguments: list[str], message: str) -> None:
    code, out, err = simulate(manifest(), *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert message in err


def test_without_a_manifest_it_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root_group("prograde"), ["simulate"], "prograde") == 2
    assert capsys.readouterr().err == 'Error: required flag(s) "filename" not set\n'


def test_an_invalid_rollout_is_told_in_its_own_words(simulate: Any) -> None:
    code, _, err = simulate(manifest().replace("setWeight: 25", "setWeight: 250"))
    assert code == 2
    assert "setWeight" in err


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("shop:1.9", "shop:1.10"),
        ("shop:v2", "shop:v3"),
        ("registry:5000/shop:1", "registry:5000/shop:2"),
        ("shop:blue", "shop:blue-next"),
        ("shop", "shop:next"),
        ("registry:5000/shop", "registry:5000/shop:next"),
        ("shop:1@sha256:" + "0" * 64, "shop:2"),
        ("shop@sha256:" + "0" * 64, "shop:next"),
    ],
)
def test_the_next_image_counts_the_tag_up(image: str, expected: str) -> None:
    assert next_image(image) == expected


def test_the_examples_can_be_rehearsed_from_a_shell() -> None:
    program = Path(sys.executable).with_name("prograde")
    command = [str(program), "simulate", "-f", str(EXAMPLES / "canary.yaml"), "--promote-at", "1m"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "✔ Healthy after" in ran.stdout
