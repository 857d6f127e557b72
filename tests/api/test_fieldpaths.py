"""Field paths of a Rollout, and placeholders."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.codec import decode
from prograde.api.fieldpaths import InvalidFieldPath, resolve_field_path
from prograde.api.rollout import Rollout

ROLLOUT = decode(
    b"""{
        "metadata": {"name": "cart", "namespace": "shop", "uid": "u-1", "labels": {"b": "2", "a": "x \\"y\\""},
                     "annotations": {"example.com/Note": "n"}},
        "spec": {"replicas": 1000000, "paused": true,
                 "strategy": {"canary": {"steps": [{"setWeight": 5}, {"pause": {}}]}},
                 "template": {"spec": {"containers": [{"image": "web:1"}], "half": 0.5, "none": null, "off": false}}},
        "status": {"HPAReplicas": 3}
    }""",
    Rollout,
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "cart"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['b']", "2"),
        ("metadata.labels['missing']", ""),
        ("metadata.annotations['example.com/Note']", "n"),
        ("metadata.labels", 'a="x \\"y\\""\nb="2"'),
        ("metadata.annotations", 'example.com/Note="n"'),
        ("spec.strategy.canary.steps[0].setWeight", "5"),
        ("spec.strategy.canary.steps.0.setWeight", "5"),
        ("spec.replicas", "1000000"),
        ("spec.paused", "true"),
        ("spec.template.spec.off", "false"),
        ("spec.template.spec.half", "0.5"),
        ("spec.template.spec.containers[0].image", "web:1"),
        ("status.HPAReplicas", "3"),
        ("kind", "Rollout"),
        (".spec..replicas.", "1000000"),
    ],
)
def test_a_path_leads_to_a_value(path, value):
    assert resolve_field_path(ROLLOUT, path) == value


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("metadata", "unsupported fieldPath: metadata"),
        ("metadata.generation", "unsupported fieldPath: metadata.generation"),
        ("metadata.label['app']", "fieldPath \"metadata.label['app']\" does not support subscript"),
        ("metadata.name['x']", "fieldPath \"metadata.name['x']\" does not support subscript"),
        ("metadata.labels['a b']", "invalid key subscript in metadata.labels: name part must consist of"),
        ("spec.strategy.canary.steps[x]", "invalid index 'x'"),
        ("spec.strategy.canary.steps[2]", "index 2 out of range"),
        ("spec.strategy.canary.steps[-1]", "index -1 out of range"),
        ("spec.nowhere", "invalid path spec.nowhere in rollout"),
        ("spec.replicas.deeper", "invalid path spec.replicas.deeper in rollout"),
        ("spec.template.spec.none", "invalid path spec.template.spec.none in rollout"),
        ("spec.strategy", "path spec.strategy in rollout must terminate in a primitive value"),
        ("spec.strategy.canary.steps", "path spec.strategy.canary.steps in rollout must terminate in a primitive"),
        ("", "path  in rollout must terminate in a primitive value"),
    ],
)
def test_a_path_that_leads_nowhere_says_why(path, message):
    with pytest.raises(InvalidFieldPath) as caught:
        resolve_field_path(ROLLOUT, path)
    assert str(caught.value).startswith(message)


@given(st.text("specmta.[]'0123-/ ", max_size=20))
def test_any_path_gives_a_text_or_the_error_made_for_it(path):
    with contextlib.suppress(InvalidFieldPath):
        assert isinstance(resolve_field_path(ROLLOUT, path), str)
