"""Fusion beyond equal weights: found by cross-validation, of kernels, with other methods' scores and features."""

import csv
import json

import numpy as np
import pytest

from keras_fvvae.errors import DataError, RunError
from keras_fvvae.evaluation.fusion import late_fusion
from keras_fvvae.evaluation.score_tables import read_scores, scores_csv
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.svm.kernels import kernel_matrix, out_of_fold_scores
from keras_fvvae.tasks.scores.fuse import fuse
from tests.support.written_runs import make_streams, write_run

C = 100.0  # the recipe's


class _Data:
    """Two runs on the same items whose scores are those of SVMs on their vectors."""

    def __init__(self, folder, recipe):
        self.folder, self.recipe = folder, recipe
        self.class_names, self.train, self.test, self.streams = make_streams()
        self.train_labels, self.test_labels = (
            np.array([self.class_names.index(label) for label in part.values()]) for part in (self.train, self.test)
        )
        self.scores = [self._scores(vectors) for vectors in self.streams]
        self.runs = [self.run(name, index) for index, name in enumerate(("rgb", "flow"))]

    def _scores(self, vectors):
        count = len(self.train)
        return OneVsRestSVM(C).fit(vectors[:count], self.train_labels).decision_function(vectors[count:])

    def run(self, name, stream, class_names=None, **changed):
        """Writes a run; its scores are in the order of the class names."""
        names = class_names or self.class_names
        scores = self.scores[stream][:, [self.class_names.index(one) for one in names]]
        parts = {"train": self.train, "test": self.test, "scores": scores, "vectors": self.streams[stream], **changed}
        return write_run(self.folder / name, self.recipe, names, **parts)

    def held_out(self, vectors, seed=0):
        gram = kernel_matrix(vectors, range(len(self.train)))
        return out_of_fold_scores(gram, self.train_labels, 4, C, seed=seed)


@pytest.fixture
def data(tmp_path, recipe):
    return _Data(tmp_path, recipe.replace(svm_c=C))


def test_fixed_weights(data):
    result = fuse(data.runs, weights=[3, 1], resamples=50)
    fused = late_fusion(data.scores, [3, 1])
    assert result["fusion"]["accuracy"] == np.mean(fused.argmax(axis=1) == data.test_labels)
    assert list(result["weights"].values()) == [0.75, 0.25]
    assert result["training_accuracy"] is None
    assert result["left_out_training"] == 0
    assert result["gain"] > 0
    best = max(result["streams"], key=lambda name: result["streams"][name]["accuracy"])
    assert result["comparison"]["best_stream"] == best
    assert result["comparison"]["accuracy"]["value"] == pytest.approx(result["gain"])
    assert json.loads(json.dumps(result)) == result


def test_weights_by_cross_validation(data):
    """Those of the best accuracy of held-out training items, by the same folds in all streams."""
    result = fuse(data.runs, "cross-validation", resamples=0)
    held_out = [data.held_out(vectors) for vectors in data.streams]
    shares = np.arange(21) / 20
    accuracies = [np.mean(late_fusion(held_out, [s, 1 - s]).argmax(axis=1) == data.train_labels) for s in shares]
    assert result["training_accuracy"] == max(accuracies)
    chosen = result["weights"][str(data.runs[0])]
    best = [share for share, accuracy in zip(shares, accuracies, strict=True) if accuracy == max(accuracies)]
    assert chosen == pytest.approx(min(best, key=lambda share: abs(share - 0.5)))


def test_weights_do_not_depend_on_the_test_items(data):
    """Test scores of noise, test labels permuted: the weights stay."""
    found = fuse(data.runs, "cross-validation", resamples=0)
    noise = np.random.default_rng(5).normal(size=(40, 4))
    names = np.random.default_rng(6).permutation(list(data.test.values())).tolist()
    test = dict(zip(data.test, names, strict=True))
    runs = [data.run(f"noise{i}", i, test=test, scores=noise[::step]) for i, step in enumerate((1, -1))]
    again = fuse(runs, "cross-validation", resamples=0)
    assert list(again["weights"].values()) == list(found["weights"].values())
    assert again["training_accuracy"] == found["training_accuracy"]
    assert again["fusion"]["accuracy"] < 0.6 < found["fusion"]["accuracy"]


@pytest.mark.parametrize("weights", [None, [0.6, 0.4]], ids=str)
def test_kernels_are_concatenated_vectors(data, weights):
    result = fuse(data.runs, weights, method="kernel", resamples=0, out=data.folder / "fused.csv")
    shares = np.sqrt(weights or [0.5, 0.5])
    joined = np.concatenate([share * vectors for share, vectors in zip(shares, data.streams, strict=True)], axis=1)
    expected = data._scores(joined)
    written = read_scores(data.folder / "fused.csv")
    assert np.allclose(written.values, expected, atol=5e-3)
    assert result["fusion"]["accuracy"] == np.mean(expected.argmax(axis=1) == data.test_labels)
    assert result["method"] == "kernel"


def test_weights_of_kernels_by_cross_validation(data, monkeypatch):
    monkeypatch.setattr("keras_fvvae.tasks.scores.fuse.MAX_KERNEL_WEIGHTINGS", 6)  # steps of 0.2
    noise = np.random.default_rng(8).normal(size=(100, 12))
    streams = [data.streams[0], noise / np.linalg.norm(noise, axis=1, keepdims=True)]
    runs = [data.runs[0], data.run("noise", 1, vectors=streams[1])]
    result = fuse(runs, "cross-validation", method="kernel", resamples=0)
    first = result["weights"][str(runs[0])]
    assert first >= 0.6
    joined = np.concatenate([np.sqrt(w) * v for w, v in zip([first, 1 - first], streams, strict=True)], axis=1)
    expected = np.mean(data.held_out(joined).argmax(axis=1) == data.train_labels)
    assert result["training_accuracy"] == pytest.approx(expected, abs=0.02)


def test_classes_of_another_order_are_matched_by_name(data):
    names = [data.class_names[i] for i in (2, 0, 3, 1)]
    other = data.run("permuted", 1, class_names=names)
    for options in ({}, {"weights": "cross-validation"}, {"method": "kernel"}):
        result, expected = fuse([data.runs[0], other], **options), fuse(data.runs, **options)
        for key in ("fusion", "gain", "training_accuracy", "comparison"):
            assert json.dumps(result[key]).replace("permuted", "flow") == json.dumps(expected[key])
        assert list(result["streams"].values()) == list(expected["streams"].values())


def test_scores_of_another_method(data):
    """ActionVLAD's rule for IDT: 0.75 and 0.25 of the normalised scores; items in another order, classes too."""
    ids, order = list(data.test)[::-1], [3, 1, 0, 2]
    file = data.folder / "idt.csv"
    values = 50 * data.scores[1][::-1][:, order]
    names = [data.class_names[i] for i in order]
    file.write_text(scores_csv([name.removesuffix(".avi") for name in ids], names, values))
    result = fuse(data.runs[:1], [0.75, 0.25], scores=[file], normalize="l2", out=data.folder / "out.csv")
    fused = late_fusion(data.scores, [0.75, 0.25], normalize="l2")
    assert np.allclose(read_scores(data.folder / "out.csv").values, fused)
    assert result["streams"][str(file)]["accuracy"] == np.mean(data.scores[1].argmax(axis=1) == data.test_labels)
    with pytest.raises(DataError, match="holds no training items of the runs: without them weights cannot be found"):
        fuse(data.runs[:1], "cross-validation", scores=[file])
    with pytest.raises(ValueError, match="give `features` instead of `scores`"):
        fuse(data.runs[:1], scores=[file], method="kernel")


def test_scores_of_another_method_with_its_training_items(data):
    file = data.folder / "idt.csv"
    values = np.concatenate([data.held_out(data.streams[1]), data.scores[1]])
    file.write_text(scores_csv([*data.train, *data.test], data.class_names, values))
    result = fuse(data.runs[:1], "cross-validation", scores=[file])
    expected = fuse(data.runs, "cross-validation")
    assert list(result["weights"].values()) == list(expected["weights"].values())
    assert result["fusion"] == expected["fusion"]
    assert "taken to be cross-validated" in result["notes"][0]


@pytest.mark.parametrize("method", ["late", "kernel"])
def test_features_of_another_method(data, method):
    """Scaled to unit length and trained here, they are what a run of the same vectors is."""
    np.save(data.folder / "c3d.npy", 7 * data.streams[1][::-1])
    (data.folder / "c3d.ids.txt").write_text("\n".join([*data.train, *data.test][::-1]))
    weights = "cross-validation" if method == "late" else [0.6, 0.4]
    result = fuse(data.runs[:1], weights, features=[data.folder / "c3d.npy"], method=method)
    expected = fuse(data.runs, weights, method=method)
    assert list(result["weights"].values()) == pytest.approx(list(expected["weights"].values()))
    assert result["fusion"]["accuracy"] == pytest.approx(expected["fusion"]["accuracy"], abs=0.03)


def test_items_that_not_all_have_are_counted(data):
    train = dict(list(data.train.items())[6:])
    test = dict(list(data.test.items())[4:])
    vectors = data.streams[1][[*range(6, 60), *range(64, 100)]]
    run = data.run("part", 1, train=train, test=test, scores=data.scores[1][4:], vectors=vectors)
    result = fuse([data.runs[0], run], "cross-validation")
    assert (result["items"], result["left_out"], result["left_out_training"]) == (36, 4, 6)
    assert fuse([data.runs[0], run])["left_out_training"] == 0  # not used


def test_unlabelled_training_items_have_no_part(data):
    """They lie between the labelled ones and the test items."""
    train = {**data.train, "u1.avi": None, "u2.avi": None}
    vectors = np.insert(data.streams[1], [60, 60], 9.0, axis=0)
    run = data.run("unlabelled", 1, train=train, vectors=vectors)
    for options in ({"weights": "cross-validation"}, {"method": "kernel"}):
        assert fuse([data.runs[0], run], **options)["fusion"] == fuse(data.runs, **options)["fusion"]


def test_a_class_only_in_test_is_noted_and_does_not_rule(data):
    """Its score in a run is -1e9: of unit length it would leave nothing of the others."""
    train = {name: label for name, label in data.train.items() if label != "class 3"}
    keep = [i for i, label in enumerate(data.train.values()) if label != "class 3"] + list(range(60, 100))
    runs = []
    for index in (0, 1):
        scores = data.scores[index].copy()
        scores[:, 3] = -1e9
        runs.append(data.run(f"unseen{index}", index, train=train, scores=scores, vectors=data.streams[index][keep]))
    result = fuse(runs, normalize="l2", out=data.folder / "out.csv", resamples=0)
    values = read_scores(data.folder / "out.csv").values
    assert np.abs(values).max() <= 1
    assert np.abs(values[:, :3]).max() > 0.3
    assert (values.argmax(axis=1) < 3).all()
    assert result["fusion"]["accuracy"] > 0.4
    assert result["notes"] == ["1 classes have test items and no training items, such as 'class 3'."]
    assert fuse(runs, "cross-validation", resamples=0)["training_accuracy"] > 0.6


def test_what_does_not_go_together(data):
    with pytest.raises(RunError, match="'v000' is a training item of one of the runs .* and a test item of another"):
        fuse([data.runs[0], data.run("other_split", 1, train=dict(list(data.test.items())[:1]), test=data.train,
              scores=np.zeros((60, 4)), vectors=data.streams[0][:61])])  # fmt: skip
    bad = data.scores[1].copy()
    bad[3, 2] = np.nan
    with pytest.raises(DataError, match="the row of 'v063.avi' holds nan"):
        fuse([data.runs[0], data.run("nan", 1, scores=bad)])
    (data.runs[1] / "vectors.npy").unlink()
    assert fuse(data.runs)["items"] == 40
    with pytest.raises(RunError, match="is incomplete: vectors.npy is missing; restore it, or train again"):
        fuse(data.runs, "cross-validation")
    np.save(data.runs[1] / "vectors.npy", np.zeros((3, 2)))
    with pytest.raises(RunError, match="vectors.npy was altered after the training: its SHA-256 has changed"):
        fuse(data.runs, method="kernel")


def test_bad_files_of_other_methods(data):
    file = data.folder / "idt.csv"
    text = scores_csv(data.test, data.class_names, data.scores[0])
    for changed, message in (
        (text.replace("class 3", "class 9"), "idt.csv is of different classes"),
        (text + text.splitlines()[1] + "\n", "has the id 'v060.avi' more than once"),
        (text.replace("v0", "w0"), "have no test items in common"),
        (text.replace(repr(data.scores[0][0, 0]).split("(")[-1].rstrip(")"), "nan"), "holds nan"),
    ):
        file.write_text(changed)
        with pytest.raises((DataError, RunError), match=message):
            fuse(data.runs[:1], scores=[file])
    file.write_text("id,0,1\n" + "".join(f"{name},1,0\n" for name in data.test))
    with pytest.raises(DataError, match="holds no training items of the runs.*no SVM trained"):
        fuse(data.runs[:1], features=[file])
    with pytest.raises(DataError, match="named twice"):
        fuse(data.runs[:1], scores=[file, file])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "early"}, "`method` must be one of"),
        ({"weights": "test"}, "`weights` must be numbers, None or 'cross-validation'"),
        ({"weights": [1, 2, 3]}, "`weights` must be 2 numbers"),
        ({"weights": [1, -2], "method": "kernel"}, "`weights` must be 2 numbers"),
        ({"normalize": "l2", "method": "kernel"}, "`normalize` is for the scores of a late fusion"),
        ({"weights": "cross-validation", "folds": 1}, "`folds` must be from 2"),
    ],
)
def test_arguments_that_cannot_be(data, options, message):
    with pytest.raises(ValueError, match=message):
        fuse(data.runs, **options)


def test_the_written_file_is_a_score_file(data):
    fuse(data.runs, out=data.folder / "fused.csv")
    with open(data.folder / "fused.csv", newline="") as file:
        assert next(csv.reader(file)) == ["id", *data.class_names]
    result = fuse(data.runs[:1], [0, 1], scores=[data.folder / "fused.csv"])
    assert result["fusion"] == fuse(data.runs)["fusion"]
