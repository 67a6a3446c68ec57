"""Texts that break parsers or what comes after them: every reader of a user's file refuses them in one sentence."""

import json

import numpy as np
import pytest

from keras_fvvae.data.datasets.activitynet import load_activitynet
from keras_fvvae.data.datasets.listing import load_list
from keras_fvvae.errors import KerasFVVAEError
from keras_fvvae.evaluation.activitynet import read_blocked, read_predictions
from keras_fvvae.evaluation.score_tables import read_features, read_scores
from keras_fvvae.recipes import load_recipe
from keras_fvvae.tasks.scores.evaluate import evaluate

HOSTILE_JSON = {
    "depth": "[" * 100_000,
    "digits": "7" * 5000,
    "float": '{"results": {"v": [{"label": "a", "score": 1e999}]}, "version": "", "external_data": {}}',
    "surrogate": r'{"ids": ["\ud800"], "class_names": ["a"], "scores": [[1]], "file": "\ud800.jpg"}',
    "cut": '{"a": [1',
}
HOSTILE_YAML = {
    "depth": "[" * 5000 + "]" * 5000,
    "digits": "steps: " + "7" * 5000,
    "float": "lambda3: .nan",
    "surrogate": 'description: "\\ud800"',
    "cut": "steps: [1",
    "alias": "steps: &a [*a]",
    "billions": "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]),
    "timestamp": "name: !!timestamp x",
}
HOSTILE_CSV = {"field": "id,a\n" + "x" * 200_000 + ",1\n", "digits": "id,a\nx," + "7" * 5000 + "\n"}


def _refused(function, *arguments, **options):
    with pytest.raises(KerasFVVAEError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    str(caught.value).encode()  # it can be printed


@pytest.mark.parametrize("kind", HOSTILE_JSON)
@pytest.mark.parametrize("reader", [read_scores, read_predictions, load_list, load_activitynet])
def test_json(tmp_path, reader, kind):
    path = tmp_path / ("a.jsonl" if reader is load_list else "a.json")
    path.write_text(HOSTILE_JSON[kind])
    _refused(reader, path)


@pytest.mark.parametrize("kind", ["depth", "digits", "surrogate"])
def test_blocked_videos(tmp_path, kind):
    """What is no JSON is a list of lines."""
    path = tmp_path / "a.json"
    path.write_text(HOSTILE_JSON[kind])
    assert read_blocked(path) == {HOSTILE_JSON[kind]}


@pytest.mark.parametrize("kind", HOSTILE_YAML)
def test_recipes(tmp_path, kind):
    path = tmp_path / "recipe.yaml"
    path.write_text(HOSTILE_YAML[kind])
    _refused(load_recipe, path)


@pytest.mark.parametrize("kind", HOSTILE_CSV)
@pytest.mark.parametrize("reader", [read_scores, read_features])
def test_csv(tmp_path, reader, kind):
    path = tmp_path / "a.csv"
    path.write_text(HOSTILE_CSV[kind])
    _refused(reader, path)


def test_labels(tmp_path):
    (tmp_path / "labels.csv").write_text(HOSTILE_CSV["field"].replace("id,a", "id,label"))
    (tmp_path / "scores.json").write_text(json.dumps({"ids": ["x"], "class_names": ["a", "b"], "scores": [[1, 2]]}))
    _refused(evaluate, [], [tmp_path / "scores.json"], labels=tmp_path / "labels.csv")
    assert np.isfinite(read_scores(tmp_path / "scores.json").values).all()
