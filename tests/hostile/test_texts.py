"""JSON and YAML: recipes, annotations, predictions, manifests; whatever breaks a parser or what comes after it."""

import json

import pytest

from keras_fvvae.data.datasets.activitynet import load_activitynet
from keras_fvvae.evaluation.activitynet import read_predictions
from keras_fvvae.evaluation.score_tables import read_scores
from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.manifest import read_manifest
from keras_fvvae.serving.sampling import Sampling, read_sampling
from keras_fvvae.utils.text import parse_json, parse_yaml
from keras_fvvae.zoo.manifests import parse_index, parse_manifest
from tests.support.hostile import Refused, check

ZEROS = "0" * 64
BILLIONS = "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))])
JSON = {
    "an object": ('{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}),
    "a byte order mark": (b"\xef\xbb\xbf[1]", [1]),
    "letters": ('["猫", "\\u732b"]', ["猫", "猫"]),
    "a pair of surrogates": ('["\\ud83d\\ude00"]', ["😀"]),
    "a byte of a name of a file": ('["caf\\udce9"]', ["caf\udce9"]),
    "nothing": ("", Refused("Expecting value")),
    "a page of a server": ("<html>", Refused("Expecting value")),
    "half": ('{"a": [1', Refused("Expecting")),
    "single quotes": ("{'a': 1}", Refused("Expecting property name")),
    "a comma too many": ("[1,]", Refused("Expecting value|Illegal trailing comma")),
    "a comment": ("[1] // one", Refused("Extra data")),
    "NaN": ("[NaN]", Refused("it holds nan, which is not finite")),
    "infinity": ("[-Infinity]", Refused("it holds -inf")),
    "1e999": ("[1e999]", Refused("it holds inf")),
    "5,000 digits": ("7" * 5000, Refused("an integer of too many digits")),
    "400 digits": ("7" * 400, Refused("an integer of too many digits")),
    "100,000 brackets": ("[" * 100_000, Refused("deep|recursion|Expecting")),
    "200 brackets": ("[" * 200 + "]" * 200, Refused("nested more than 100 deep")),
    "200 braces": ('{"a":' * 200 + "1" + "}" * 200, Refused("nested more than 100 deep")),
    "half of a pair": ('["\\ud800"]', Refused("it holds text that is no Unicode")),
    "half of a pair as a key": ('{"\\udfff": 1}', Refused("it holds text that is no Unicode")),
    "Latin-1": (b'["\xe9"]', Refused("it is not UTF-8 .byte 2.")),
    "UTF-16": ('["a"]'.encode("utf-16"), Refused("it is not UTF-8|Expecting")),
    "a control character": ('["a\nb"]', Refused("Invalid control character")),
    "an escape that is none": (r'["\q"]', Refused("Invalid .*escape")),
}
YAML = {
    "a mapping": ("a: [1, 2.5, null, yes]", {"a": [1, 2.5, None, True]}),
    "JSON": ('{"a": 1}', {"a": 1}),
    "an alias": ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
    "nothing": ("", None),
    "an alias of itself": ("a: &a [*a]", Refused("nested more than 100 deep")),
    "an alias of itself in a mapping": ("a: &a {b: *a}", Refused("nested more than 100 deep")),
    "billions of values": (BILLIONS, Refused("it holds more than 1,000,000 values")),
    "an alias of nothing": ("a: *b", Refused("undefined alias")),
    "5,000 brackets": ("[" * 5000, Refused("nested|nesting|expected|recursion")),
    "an object of Python": ("!!python/object/apply:os.system ['true']", Refused("could not determine a constructor")),
    "a name of Python": ("!!python/name:os.system", Refused("could not determine a constructor")),
    "another tag": ("!secret x", Refused("could not determine a constructor")),
    "a time that is none": ("a: !!timestamp x", Refused("")),
    "a number that is none": ("a: !!int x", Refused("invalid literal")),
    "5,000 digits": ("a: " + "7" * 5000, Refused("an integer of too many digits")),
    "NaN": ("a: .nan", Refused("it holds nan")),
    "infinity": ("a: -.inf", Refused("it holds -inf")),
    "half of a pair": ('a: "\\ud800"', Refused("it holds text that is no Unicode")),
    "tabs": ("a:\n\t- 1", Refused("cannot start any token")),
    "two documents": ("a: 1\n---\nb: 2", Refused("expected a single document")),
    "half": ("a: [1", Refused("expected ',' or ']'")),
    "a control character": ("a: \x07", Refused("(special|control) characters are not allowed")),
    "a list as a key": ("? [1]\n: 2", Refused("unhashable")),
}
RECIPES = {
    "nothing": ("", Refused("does not hold a recipe: a mapping of keys")),
    "a list": ("[1, 2]", Refused("does not hold a recipe")),
    "text": ("hello", Refused("does not hold a recipe")),
    "an unknown key": ("latent_dims: 3", Refused("'latent_dims'; did you mean 'latent_dim'")),
    "a key that is a number": ("3: 4", Refused("Unknown recipe key '3'")),
    "text for a number": ("latent_dim: many", Refused("`latent_dim` must be a positive integer. Received: 'many'")),
    "true for a number": ("latent_dim: true", Refused("`latent_dim` must be a positive integer. Received: True")),
    "zero": ("steps: 0", Refused("`steps` must be a positive integer")),
    "a negative size": ("input_size: [-8, 8]", Refused("`input_size` must be")),
    "a number for text": ("backbone: 5", Refused("`backbone` must be")),
    "an unknown choice": ("normalization: l3", Refused("`normalization` must be one of")),
    "a pattern that is none": (
        "learning_rate_multipliers: {'(': 1}",
        Refused("must be a mapping from regular expressions"),
    ),
    "a newer format": ("format: 99", Refused("was written by a newer keras_fvvae .recipe format 99.; upgrade it")),
    "a format that is text": ('format: "x"', Refused("`format` must be an integer from 1 to 2. Received: 'x'")),
    "a format that is true": ("format: true", Refused("`format` must be an integer")),
    "weights that are a text": (
        "weights: x.keras",
        Refused("`weights` must be empty, or a mapping with `sha256`, 64 hex"),
    ),
    "weights without a digest": ("weights: {file: x.keras}", Refused("`weights` must be empty, or a mapping")),
    "weights of a file that is a number": (
        f"weights: {{file: 5, sha256: '{ZEROS}'}}",
        Refused("`weights` must be empty, or"),
    ),
    "weights that lead out by their file": (
        f"weights: {{file: ../x, sha256: '{ZEROS}'}}",
        Refused("`weights` must be"),
    ),
    "weights that lead out by their digest": (
        "weights: {url: 'https://h/x', sha256: '../../x'}",
        Refused("`weights` must be"),
    ),
    "a digest of 63 digits": (f"weights: {{file: x, sha256: '{ZEROS[1:]}'}}", Refused("`weights` must be empty")),
    "a digest of other letters": (f"weights: {{file: x, sha256: '{'g' * 64}'}}", Refused("`weights` must be empty")),
    "a digest and a new line": (f'weights: {{file: x, sha256: "{ZEROS}\\n"}}', Refused("`weights` must be empty")),
    "options of no mapping": ("dataset_options: [1]", Refused("`dataset_options` must be a mapping")),
    "a bomb": (BILLIONS, Refused("is not valid YAML: it holds more than 1,000,000 values")),
    "code": ("steps: !!python/object/apply:os.system ['true']", Refused("is not valid YAML: could not determine")),
    "binary": (b"\x89PNG\xff", Refused("cannot be read as UTF-8 text")),
}
DATABASE = {"x": {"subset": "training", "annotations": [{"label": "A", "segment": [0, 1]}]}}
ANNOTATIONS = {
    "a list": ([], Refused("it must be a JSON object of videos")),
    "nothing in it": ({}, Refused("neither a `database` nor videos with `annotations`")),
    "no subset": ({"database": {"x": {}}}, Refused("names no subset for the video 'x'")),
    "a video that is a number": ({"database": {"x": 3}}, Refused("names no subset for the video 'x'")),
    "a segment of one": (
        {"database": {"x": {"subset": "training", "annotations": [{"label": "A", "segment": [0]}]}}},
        Refused("each annotation of the video 'x' must be"),
    ),
    "a segment of text": (
        {"database": {"x": {"subset": "training", "annotations": [{"label": "A", "segment": ["a", "b"]}]}}},
        Refused("each annotation of the video 'x' must be"),
    ),
    "annotations that are text": (
        {"database": {"x": {"subset": "training", "annotations": "A"}}},
        Refused("each annotation of the video 'x' must"),
    ),
    "no validation": ({"database": DATABASE}, Refused("is of the subset 'validation'; it has 'training'")),
}
PREDICTIONS = {
    "plain": ({"x": [{"label": "A", "score": 1}]}, {"x": [("A", 1.0)]}),
    "a number in a text": ({"x": [{"label": "A", "score": "0.5"}]}, {"x": [("A", 0.5)]}),
    "spellings": ({"./x": [{"label": "A", "score": 1}]}, {"x": [("A", 1.0)]}),
    "no score": ({"x": [{"label": "A"}]}, Refused("the predictions of 'x' must be a list of")),
    "a score that is text": (
        {"x": [{"label": "A", "score": "high"}]},
        Refused("the predictions of 'x' must be a list of"),
    ),
    "a score that is a list": ({"x": [{"label": "A", "score": []}]}, Refused("the predictions of 'x' must be a list")),
    "an object": ({"x": {"A": 1}}, Refused("the predictions of 'x' must be a list")),
    "a number": ({"x": 7}, Refused("the predictions of 'x' must be a list")),
    "NaN": (
        {"x": [{"label": "A", "score": float("nan")}]},
        Refused("the score of 'A' for 'x' is nan; it must be finite"),
    ),
    "a video twice": ({"x": [], "./x": []}, Refused("names the video 'x' twice, also as './x'")),
}
TABLES = {
    "plain": ({"ids": ["x"], "class_names": ["A"], "scores": [[1]]}, [[1.0]]),
    "rows of two lengths": (
        {"ids": ["x", "y"], "class_names": ["A"], "scores": [[1], [1, 2]]},
        Refused("rows of numbers, all"),
    ),
    "text": ({"ids": ["x"], "class_names": ["A"], "scores": [["high"]]}, Refused("`scores` must be rows of numbers")),
    "another number of ids": (
        {"ids": [], "class_names": ["A"], "scores": [[1]]},
        Refused("has 0 ids for values of shape"),
    ),
    "another number of classes": (
        {"ids": ["x"], "class_names": [], "scores": [[1]]},
        Refused("has 0 classes for 1 columns"),
    ),
    "ids that are numbers": (
        {"ids": [1], "class_names": ["A"], "scores": [[1]]},
        Refused("`ids` must be a list of texts"),
    ),
    "ids that are a text": (
        {"ids": "x", "class_names": ["A"], "scores": [[1]]},
        Refused("`ids` must be a list of texts"),
    ),
    "classes that are none": (
        {"ids": ["x"], "class_names": None, "scores": [[1]]},
        Refused("`class_names` must be a list"),
    ),
    "a number alone": ({"ids": ["x"], "class_names": ["A"], "scores": 1}, Refused("has 1 ids for values of shape")),
}
MANIFEST = {
    "format": 1,
    "entry": "e",
    "version": 1,
    "files": {name: {"sha256": ZEROS, "size": 1} for name in ("model.keras", "recipe.yaml")},
}
BROKEN = Refused("m is damaged: it is not the manifest of a pack")
PACKS = {
    "plain": ({}, MANIFEST),
    "a format that is text": ({"format": "x"}, BROKEN),
    "no format": ({"format": None}, BROKEN),
    "a newer format": ({"format": 2}, Refused("was written by a newer keras_fvvae .format 2.; upgrade it")),
    "another entry": ({"entry": "other"}, Refused("is of a pack of 'other', not of 'e'")),
    "a version that is text": ({"version": "1"}, BROKEN),
    "no files": ({"files": {}}, BROKEN),
    "files that are a list": ({"files": ["model.keras", "recipe.yaml"]}, BROKEN),
    "no recipe": ({"files": {"model.keras": {"sha256": ZEROS, "size": 1}}}, BROKEN),
    "a file that leads out": ({"files": {**MANIFEST["files"], "../x": {"sha256": ZEROS, "size": 1}}}, BROKEN),
    "a hidden file": ({"files": {**MANIFEST["files"], ".x": {"sha256": ZEROS, "size": 1}}}, BROKEN),
    "a digest that is none": ({"files": {**MANIFEST["files"], "a": {"sha256": "x", "size": 1}}}, BROKEN),
    "a size that is text": ({"files": {**MANIFEST["files"], "a": {"sha256": ZEROS, "size": "1"}}}, BROKEN),
    "two models": ({"files": {**MANIFEST["files"], "fvvae.keras": {"sha256": ZEROS, "size": 1}}}, BROKEN),
}
NO_INDEX = Refused("i is damaged: it is not an index of packs")
INDICES = {
    "plain": ({"entry": "e", "versions": [1, 3, 2], "latest": 3}, [3, 2, 1]),
    "a list": ([1], NO_INDEX),
    "no versions": ({"entry": "e", "versions": [], "latest": 0}, NO_INDEX),
    "another latest": ({"entry": "e", "versions": [1, 2], "latest": 1}, NO_INDEX),
    "versions that are paths": ({"entry": "e", "versions": ["../.."], "latest": "../.."}, NO_INDEX),
    "versions that are none": ({"entry": "e", "versions": [None], "latest": None}, NO_INDEX),
    "another entry": ({"entry": "x", "versions": [1], "latest": 1}, Refused("i lists packs of 'x', not of 'e'")),
}
RUNS = {
    "nothing": ("", Refused("manifest.json")),
    "a list": ("[]", Refused("manifest.json")),
    "digests that are a list": ('{"format": 2, "sha256": []}', Refused("manifest.json")),
    "no digests": ('{"format": 2}', Refused("manifest.json")),
    "a newer format": ('{"format": 99, "sha256": {}}', Refused("newer")),
    "a format that is text": ('{"format": "x", "sha256": {}}', Refused("manifest.json")),
}
SAMPLINGS = {
    "plain": ('{"frames": {"frames": 5, "size": [8, 9]}}', {"frames": Sampling(5, size=(8, 9))}),
    "a step": ('{"frames": {"frames": 5, "frame_step": 2}}', {"frames": Sampling(5, 2)}),
    "no JSON": ("tensorflow/serving/predict", {}),
    "a list": ("[1]", {}),
    "frames that are none": ('{"frames": {"frames": 0}}', {}),
    "frames that are true": ('{"frames": {"frames": true}}', {}),
    "billions of frames": ('{"frames": {"frames": 1e999}}', {}),
    "a size of three": ('{"frames": {"frames": 5, "size": [1, 2, 3]}}', {"frames": Sampling(5)}),
    "a step that is text": ('{"frames": {"frames": 5, "frame_step": "2"}}', {"frames": Sampling(5)}),
}


@pytest.mark.parametrize("name", JSON)
def test_json(name):
    content, expected = JSON[name]
    check(lambda: parse_json(content), expected)


@pytest.mark.parametrize("name", YAML)
def test_yaml(name):
    content, expected = YAML[name]
    check(lambda: parse_yaml(content), expected)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes(tmp_path, name):
    content, expected = RECIPES[name]
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check(lambda: load_recipe(path), expected)


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations(tmp_path, name):
    content, expected = ANNOTATIONS[name]
    (tmp_path / "activity_net.json").write_text(json.dumps(content))
    check(lambda: load_activitynet(tmp_path), expected)


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions(tmp_path, name):
    results, expected = PREDICTIONS[name]
    (tmp_path / "a.json").write_text(json.dumps({"version": "", "results": results, "external_data": {}}))
    check(lambda: read_predictions(tmp_path / "a.json"), expected)


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, name):
    content, expected = TABLES[name]
    (tmp_path / "a.json").write_text(json.dumps(content))
    check(lambda: read_scores(tmp_path / "a.json").values.tolist(), expected)


@pytest.mark.parametrize("name", PACKS)
def test_manifests_of_packs(name):
    changes, expected = PACKS[name]
    check(lambda: parse_manifest(json.dumps({**MANIFEST, **changes}).encode(), "m", "e"), expected)


@pytest.mark.parametrize("name", INDICES)
def test_indices_of_packs(name):
    content, expected = INDICES[name]
    check(lambda: parse_index(json.dumps(content).encode(), "i", "e"), expected)


@pytest.mark.parametrize("name", RUNS)
def test_manifests_of_runs(tmp_path, name):
    content, expected = RUNS[name]
    (tmp_path / "manifest.json").write_text(content)
    check(lambda: read_manifest(tmp_path), expected)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_samplings_of_exports(name):
    content, expected = SAMPLINGS[name]
    check(lambda: read_sampling(content), expected)
