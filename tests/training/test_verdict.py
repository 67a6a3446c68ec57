import numpy as np
import pytest

from keras_fvvae.recipes import Recipe
from keras_fvvae.reporting.report import write_report
from keras_fvvae.runs.results import RunResults
from keras_fvvae.training import stages
from keras_fvvae.training.train import train
from keras_fvvae.training.verdict import compare, margins_of, nothing_encoded, warning

LABELS = np.arange(30) % 3


def _scores(wrong):
    """Scores of which the first `wrong` are wrong."""
    return np.eye(3)[np.where(np.arange(30) < wrong, (LABELS + 1) % 3, LABELS)]


def _compared(wrong, average_wrong):
    return compare(margins_of(_scores(wrong), LABELS), margins_of(_scores(average_wrong), LABELS))


@pytest.mark.parametrize(("wrong", "average_wrong"), [(0, 0), (0, 9), (5, 5), (5, 0), (8, 4)])
def test_nothing_is_said_where_it_helps_or_may_be_chance(wrong, average_wrong):
    assert warning("FV-VAE", _compared(wrong, average_wrong), Recipe(), "test images") == ""


def test_a_loss_that_is_no_chance():
    said = warning("FV-VAE", _compared(9, 0), Recipe(steps=600), "test images")
    assert said == (
        "FV-VAE is worse than average pooling (AVE) on the test images: 70.0 against 100.0 % (McNemar's p = 0.0039). "
        "Use AVE here (`--set representation=ave`), or try an earlier tap (`--tap`), `--set "
        "vector_normalization=spectral` or fewer steps than 600 (`--set steps=150`)."
    )


@pytest.mark.parametrize(
    ("changes", "has", "has_not"),
    [
        ({"vector_normalization": "spectral"}, "fewer steps", "vector_normalization"),
        ({"loss_reduction": "mean"}, "loss_reduction=sum", "nothing"),
        ({"representation": "vlad"}, "an earlier tap", "steps"),
    ],
)
def test_the_advice_is_about_the_recipe(changes, has, has_not):
    said = warning("It", _compared(9, 0), Recipe(**changes), "test videos")
    assert has in said
    assert has_not not in said


@pytest.mark.parametrize(("zero", "said"), [(200, True), (110, True), (90, False), (0, False)])
def test_vectors_in_which_nothing_is(zero, said):
    """A black image has none either: more than half of them are no images."""
    vectors = (np.arange(200) >= zero).astype("float32")[:, None].repeat(3, axis=1)
    text = nothing_encoded("FV-VAE", vectors, Recipe())
    if said:
        assert text.startswith("FV-VAE encodes nothing: ")
        assert text.endswith(" of 64 vectors looked at are zero. Try another tap (`--tap`).")
    else:
        assert text == ""


def test_results_of_files_without_a_warning():
    text = RunResults("10 test images", "FV-VAE", warning="It is worse.").to_json()
    assert RunResults.from_json(text).warning == "It is worse."
    assert RunResults.from_json(text.replace('  "warning": "It is worse.",\n', "")).warning == ""


@pytest.mark.parametrize(("checks", "said"), [(["warning"], "is worse."), (["warning", "nothing_encoded"], "is zero.")])
def test_a_run_says_it_and_its_report_says_it_first(checks, said, recipe, folder, tmp_path, monkeypatch):
    """That there is nothing in its vectors before what comes of it."""
    from keras_fvvae.data import load_folder

    texts = {"warning": "is worse.", "nothing_encoded": "is zero."}
    for check in checks:
        monkeypatch.setattr(stages, check, lambda *arguments, text=texts[check]: f"{arguments[0]} {text}")
    collection = load_folder(folder)
    run = train(recipe, collection, tmp_path / "run", backbone_weights=None, cache=tmp_path / "cache", verbose=0)
    assert run.results.warning == f"{run.results.representation} {said}"
    report = write_report([run.path], tmp_path / "report.html", collection).read_text()
    assert report.index(f"FV-VAE {said}") < report.index("Accuracy on the test")
