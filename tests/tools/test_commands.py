"""The command line: what is printed, written, and said when something is wrong."""

import json
import subprocess
import sys

import pytest
from keras_fvvae.tools import main as tools_main

from ..tasks.conftest import write_digits

SETTINGS = ["latent_dim=3", "batch_size=8", "steps=4", "sampled_descriptors=20", "descriptors=dense"]


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Calls `keras-fvvae ARGUMENTS`; returns exit code, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["keras-fvvae", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            tools_main.main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def _train_arguments(data, out):
    settings = [argument for setting in SETTINGS for argument in ("--set", setting)]
    return [
        "train", "--data", data, "--out", out, "--cache", out.parent / "cache", "--backbone", "DigitsConvNet",
        "--input-size", 8, *settings,
    ]  # fmt: skip


def test_train_predict_export(tmp_path, run_command):
    data, out = write_digits(tmp_path / "data"), tmp_path / "run"
    code, output, _ = run_command(*_train_arguments(data, out))
    assert code == 0
    assert "FV-VAE" in output
    assert "18 training and 6 test images of 3 classes" in " ".join(output.split())
    report = (out / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 4
    assert sorted(path.stem for path in (out / "figures").iterdir()) == [
        "confusion_matrix", "embedding", "examples", "loss_curves",
    ]  # fmt: skip

    image = next((data / "7").iterdir())
    code, output, errors = run_command("predict", out, image, tmp_path / "absent.png", "--top-k", 2)
    assert code == 0
    assert output.startswith(f"{image}: ")
    assert output.count("(") == 2
    assert "absent.png: cannot be opened: No such file or directory" in errors
    code, output, _ = run_command("predict", out, image, "--json")
    assert set(json.loads(output)) == {"file", "labels", "scores"}
    assert run_command("predict", out, tmp_path / "absent.png")[0] == 1

    code, output, _ = run_command("export", out, "--out", tmp_path / "served")
    assert code == 0
    assert output.strip() == str(tmp_path / "served" / "1")
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "The recipe image_folder needs --data"),
        (["train", "--data", "/nowhere"], "Error: The data folder or list /nowhere does not exist."),
        (["train", "digit_conv"], "Error: Unknown zoo entry 'digit_conv'; did you mean 'digits_conv'?"),
        (["train", "digits_conv", "--data", "x"], "brings its own data"),
        (["train", "--data", "x", "--set", "latent_dims=3"], "did you mean 'latent_dim'?"),
        (["train", "--data", "x", "--set", "latent_dim=0"], "`latent_dim` must be a positive integer. Received: 0"),
        (["train", "--data", "x", "--set", "steps"], "'steps' is not of the form key=value"),
        (["predict", "/nowhere", "x.jpg"], "Error: /nowhere is not a run of keras_fvvae"),
        (["export", "/nowhere", "--out", "x"], "Error: /nowhere is not a run of keras_fvvae"),
        (["zoo", "show", "nothing"], "Error: Unknown zoo entry 'nothing'"),
        (["trian"], "No such command 'trian'"),
    ],
)
def test_mistakes_end_in_one_sentence(run_command, arguments, message):
    code, _, errors = run_command(*arguments)
    assert code in (1, 2)
    assert message in errors
    assert "Traceback" not in errors


def test_missing_weights(run_command, tmp_path):
    data = write_digits(tmp_path / "data")
    code, _, errors = run_command(
        "train", "--data", data, "--out", tmp_path / "run", "--backbone", "MobileNetV2", "--backbone-weights", "none.h5"
    )
    assert code == 1
    assert errors.startswith("Error: The backbone weights none.h5 are not a file.")


def test_interrupt(run_command, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_fvvae.tasks.train.fit", interrupted)
    code, _, errors = run_command(*_train_arguments(write_digits(tmp_path / "data"), tmp_path / "run"))
    assert code == 130
    assert "the same command continues" in errors


def test_zoo(run_command):
    assert run_command("zoo", "list", "dig*")[1] == "digits_conv\n"
    assert "latent_dim: 255" in run_command("zoo", "show", "image_folder")[1]


def test_help_does_not_import_tensorflow():
    code = (
        "import sys; sys.argv = ['keras-fvvae', '--help']\n"
        "from keras_fvvae.tools.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for command in tools_main.COMMANDS:
        assert command in result.stdout
