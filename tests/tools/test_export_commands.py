"""`keras-fvvae export` and `keras-fvvae explain` as commands."""

import click
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from keras_fvvae.tools import explain as explain_command
from keras_fvvae.tools import export as export_command

from keras_fvvae.data import load_folder
from keras_fvvae.errors import RunError
from keras_fvvae.training import train as task_train
from tests.support.small_data import TINIEST, write_digits


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    data = load_folder(write_digits(folder / "data"))
    task_train.train(TINIEST, data, folder / "run", backbone_weights=None, cache=folder / "cache", verbose=0)
    return folder / "run"


def _call(command, *arguments):
    result = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.system
def test_export(run, tmp_path):
    arguments = (run, "--out", tmp_path, "--version", 3, "--top-k", 2, "--half-svm", "--pca", 3, "--valid-output")
    code, output, _ = _call(export_command.command, *arguments)
    assert (code, output.strip()) == (0, str(tmp_path / "3"))
    outputs = tf.saved_model.load(output.strip()).signatures["serving_default"](image=tf.constant([b"bad"]))
    assert outputs["labels"].shape == (1, 2)
    assert not outputs["valid"].numpy().any()


def test_two_runs_of_images_are_refused(run, tmp_path):
    with pytest.raises(RunError, match="fused as frames and optical flow of videos"):
        _call(export_command.command, run, run, "--out", tmp_path)


def test_explain(run, tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(tf.io.encode_png(np.full((9, 9, 3), 200, "uint8")).numpy())
    code, output, errors = _call(explain_command.command, run, image, "/nowhere.png", "--out", tmp_path / "out")
    assert code == 0
    assert str(tmp_path / "out" / tmp_path.name / "image.png") in output
    assert "/nowhere.png: No such file or directory" in errors
    drawn = (tmp_path / "out" / tmp_path.name).iterdir()
    assert sorted(path.name for path in drawn) == ["image.json", "image.png", "image.svg"]
    code, _, _ = _call(explain_command.command, run, "/nowhere.png", "--out", tmp_path / "out")
    assert code == 1


def test_help_names_every_option():
    for command in (export_command.command, explain_command.command):
        assert isinstance(command, click.Command)
        code, text, _ = _call(command, "--help")
        assert code == 0
        assert all(option.opts[0] in text for option in command.params if option.param_type_name == "option")
