"""The command line: what is printed, written, and said when something is wrong."""

import csv
import json
import shutil

import pytest

from keras_fvvae.errors import DataError
from tests.support.small_data import write_digits
from tests.support.video_files import broken_videos

SETTINGS = ["latent_dim=3", "batch_size=8", "steps=4", "sampled_descriptors=20", "descriptors=dense"]


def _train_arguments(data, out):
    settings = [argument for setting in SETTINGS for argument in ("--set", setting)]
    return [
        "train",
        "--data",
        data,
        "--out",
        out,
        "--cache",
        out.parent / "cache",
        "--backbone",
        "DigitsConvNet",
        "--input-size",
        8,
        *settings,
    ]


@pytest.mark.system
def test_train_predict_export(tmp_path, run_command):
    data, out = write_digits(tmp_path / "data"), tmp_path / "run"
    code, output, _ = run_command(*_train_arguments(data, out))
    assert code == 0
    assert "FV-VAE" in output
    assert "18 training and 6 test images of 3 classes" in " ".join(output.split())
    report = (out / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 7
    assert sorted(path.stem for path in (out / "figures").glob("*.png")) == [
        "class_accuracy",
        "confusion_matrix",
        "embedding",
        "examples",
        "loss_curves",
        "reliability",
        "retrieval",
    ]
    assert len(list((out / "figures").glob("*.svg"))) == 7

    image = next((data / "7").iterdir())
    code, output, errors = run_command("predict", out, image, tmp_path / "absent.png", "--top-k", 2)
    assert code == 0
    assert output.startswith(f"{image}: ")
    assert output.count("(") == 2
    assert "absent.png: cannot be opened: No such file or directory" in errors
    code, output, _ = run_command("predict", out, image, "--json")
    assert set(json.loads(output)) == {"file", "labels", "scores", "probabilities", "seen_in_training"}
    code, output, _ = run_command("predict", out, image, "--coverage", 0.01)
    assert output.startswith(f"{image}: none of these; ")
    assert output.count("% (") == 3
    assert run_command("predict", out, tmp_path / "absent.png")[0] == 1
    answers = tmp_path / "answers" / "of.csv"
    code, output, errors = run_command("predict", out, f"{data}/**/*.png", data / "absent.png", "--out", answers)
    assert (code, output.strip()) == (0, f"24 files: {answers}; 18 of them seen in training")
    rows = list(csv.DictReader(answers.open()))
    assert [row["seen_in_training"] for row in rows].count("content") == 18
    assert [bool(row["error"]) for row in rows] == [False] * 24 + [True]
    assert {row["label"] for row in rows[:24]} <= {"0", "1", "7"}
    code, output, errors = run_command("predict", out, answers, "--out", tmp_path / "again.jsonl")
    again = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()]
    assert [result["file"] for result in again] == [row["file"] for row in rows]
    assert [result.get("labels", [""])[0] for result in again] == [row["label"] for row in rows]
    (data / "clip.avi").write_bytes(b"")
    code, output, errors = run_command("predict", out, data, data / "clip.avi", "--top-k", 1)
    assert (code, len(output.splitlines())) == (0, 24)
    assert errors.splitlines()[-1] == f"{data / 'clip.avi'}: this model takes images, and this is a video"

    code, output, _ = run_command("export", out, "--out", tmp_path / "served")
    assert code == 0
    assert output.strip() == str(tmp_path / "served" / "1")
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()


VIDEO_SETTINGS = ["latent_dim=2", "batch_size=8", "steps=3", "sampled_descriptors=20", "descriptors=dense", "frames=3"]
SMALL_VIDEOS = ["--train", 2, "--test", 1, "--frames", 6, "--size", 32]


@pytest.fixture
def videos(tmp_path, run_command):
    """Moving digits as the command writes them, six of them not what they seem."""
    code, output, _ = run_command("data", "moving-digits", "--out", tmp_path / "videos", *SMALL_VIDEOS)
    assert (code, output) == (0, f"24 videos of 8 classes in {tmp_path / 'videos'}\n")
    broken_videos(tmp_path / "broken")
    for name in ("zero.avi", "text.mp4", "audio_only.mp4", "truncated.avi", "corrupt_middle.avi", "one_frame.avi"):
        shutil.copy(tmp_path / "broken" / name, tmp_path / "videos" / "train" / "grow" / name)
    return tmp_path / "videos"


def _video_arguments(data, out, *settings):
    every = [argument for setting in (*VIDEO_SETTINGS, *settings) for argument in ("--set", setting)]
    return [
        "train",
        "--data",
        data,
        "--out",
        out,
        "--cache",
        out.parent / "cache",
        "--backbone",
        "DigitsConvNet",
        "--backbone-option",
        "filters=4",
        "--backbone-option",
        "strides=[2, 2, 1]",
        "--input-size",
        32,
        "--max-unreadable",
        0.2,
        *every,
    ]


@pytest.mark.system
def test_videos(tmp_path, run_command, videos):
    """Flow beforehand, two trainings, a prediction, their fusion."""
    flow = tmp_path / "flow"
    code, output, errors = run_command("flow", "--data", videos, "--out", flow, "--size", 32, 32, "--workers", 2)
    assert (code, output) == (0, f"26 videos written to {flow}, 0 were there, 4 could not be read\n")
    assert "train/grow/zero.avi: the file is empty\n" in errors
    assert "train/grow/one_frame.avi: it has a single frame; optical flow needs two\n" in errors
    code, output, _ = run_command("flow", "--data", videos, "--out", flow, "--size", 32, 32)
    assert (code, output) == (0, f"0 videos written to {flow}, 26 were there, 4 could not be read\n")

    code, output, errors = run_command(*_video_arguments(videos, tmp_path / "rgb"))
    assert code == 0
    assert "19 training and 8 test videos of 8 classes; RGB, 3 frames a video; DigitsConvNet" in " ".join(
        output.split()
    )
    assert f"3 videos could not be used; see {tmp_path / 'rgb' / 'skipped.csv'}." in errors
    assert (tmp_path / "rgb" / "report.html").read_text().count("data:image/png;base64,") == 7
    code, output, _ = run_command(*_video_arguments(flow, tmp_path / "flow_run", "modality=flow"))
    assert code == 0
    assert "18 training and 8 test videos of 8 classes; optical flow (dis, +-20 pixels)" in " ".join(output.split())

    good, bad = videos / "test" / "grow" / "grow_000.avi", videos / "train" / "grow" / "audio_only.mp4"
    code, output, errors = run_command("predict", tmp_path / "rgb", bad, good, "--top-k", 2)
    assert code == 0
    assert output.startswith(f"{good}: ")
    assert "There are no probabilities: `calibration: auto` needs 5 training videos of every class" in errors
    assert errors.endswith(f"{bad}: it has no video stream, only audio\n")
    code, output, _ = run_command("predict", tmp_path / "rgb", bad, "--json")
    assert (code, json.loads(output)) == (1, {"file": str(bad), "error": "it has no video stream, only audio"})

    runs = [tmp_path / "rgb", tmp_path / "flow_run"]
    code, output, _ = run_command("fuse", *runs)
    assert code == 0
    assert "late fusion" in output
    assert "points on 8 test items (0 left out)" in output
    code, output, _ = run_command("fuse", *runs, "--weight", 1, "--weight", 0, "--json")
    result = json.loads(output)
    assert result["fusion"]["accuracy"] == result["streams"][str(runs[0])]["accuracy"]


def test_data_check(tmp_path, run_command, videos):
    code, output, _ = run_command("data", "check", "--data", videos)
    assert code == 0
    assert "27 of 30 videos can be used; 0 are missing\n" in output
    assert "Width x height: 32x32 (24)" in output
    assert "3 cannot be used:\n" in output
    assert "  train/grow/zero.avi: the file is empty\n" in output
    assert "  train/grow/one_frame.avi: a single frame: it has no optical flow\n" in output
    assert "truncated: its header promises 30 frames" in output
    assert ["grow", "5", "1"] in [line.split() for line in output.splitlines()]
    code, output, _ = run_command("data", "check", "--data", videos, "--json")
    assert json.loads(output)["classes"]["grow"] == {"train": 5, "test": 1}
    (tmp_path / "list.csv").write_text("file,label\nbroken/zero.avi,a\nnone.avi,b\n")
    code, output, _ = run_command("data", "check", "--data", tmp_path / "list.csv")
    assert code == 1
    assert "0 of 1 videos can be used; 1 are missing\n" in output
    assert "1 listed but missing:\n  none.avi\n" in output


def test_data_check_of_what_brings_its_own_data(run_command):
    code, output, _ = run_command("data", "check", "--dataset", "digits")
    assert code == 0
    assert "1797 of 1797 images can be used; 0 are missing\n" in output
    assert "Width x height: 8x8 (1797)" in output


def test_moving_digits_of_other_settings(tmp_path, run_command):
    run_command("data", "moving-digits", "--out", tmp_path / "videos", *SMALL_VIDEOS)
    assert run_command("data", "moving-digits", "--out", tmp_path / "videos", *SMALL_VIDEOS)[0] == 0
    code, _, errors = run_command("data", "moving-digits", "--out", tmp_path / "videos", *SMALL_VIDEOS, "--seed", 1)
    assert code == 1
    assert "holds moving digits of other settings (seed=0, not 1); use another folder" in errors
    code, _, errors = run_command("data", "moving-digits", "--out", tmp_path / "other", "--size", 33)
    assert (code, "`size` must be even" in errors) == (1, True)


@pytest.mark.parametrize("out", [".", "flow", "train/grow/flow"])
def test_flow_inside_the_data(run_command, videos, out):
    code, _, errors = run_command("flow", "--data", videos, "--out", videos / out)
    assert code == 2
    assert "the flow would become a part of the data set" in errors
    assert not (videos / "flow").exists()


def test_flow_of_what_it_cannot_be(tmp_path, run_command):
    data = write_digits(tmp_path / "data")
    code, _, errors = run_command("flow", "--data", data, "--out", tmp_path / "flow")
    assert (code, errors) == (1, "Error: Optical flow needs videos; this data set holds images.\n")
    code, _, errors = run_command(*_train_arguments(data, tmp_path / "run"), "--set", "modality=flow_stack")
    assert code == 1
    assert errors.endswith("optical flow, but the data are images.\n")
    (tmp_path / "file").write_text("")
    (tmp_path / "v" / "a").mkdir(parents=True)
    (tmp_path / "v" / "b").mkdir(parents=True)
    for name in "ab":
        (tmp_path / "v" / name / "1.avi").write_bytes(b"")
    code, _, errors = run_command("flow", "--data", tmp_path / "v", "--out", tmp_path / "file" / "flow")
    assert (code, errors.splitlines()[-1].endswith("file/flow cannot be used: Not a directory.")) == (1, True)
    code, output, errors = run_command("flow", "--data", tmp_path / "v", "--out", tmp_path / "flow")
    assert code == 1
    assert "0 were there, 2 could not be read" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fuse", "/nowhere"], "Error: Fusion needs at least two streams"),
        (["fuse", "/nowhere", "/nowhere"], "Error: One run is named twice."),
        (["fuse", "/nowhere", "/elsewhere"], "Error: The run /nowhere does not exist."),
        (["fuse", "/tmp", "/nowhere"], "Error: /tmp is not a run of keras_fvvae"),
        (["fuse", "a", "b", "--weight", "1"], "2 runs need 2 times --weight, or none."),
        (["fuse", "a", "b", "--weight", "-1", "--weight", "1"], "-1.0 is not in the range x>=0"),
        (["flow", "--data", "/nowhere", "--out", "x"], "Error: The data folder or list /nowhere does not exist."),
        (["flow", "--data", "/nowhere"], "Missing option '--out'"),
        (["flow", "--data", "/", "--out", "x", "--flow-method", "raft"], "'raft' is not one of 'dis', 'farneback'"),
        (["flow", "--data", "/", "--out", "x", "--size", "8", "8"], "8 is not in the range x>=16"),
        (["data", "check", "--data", "/nowhere"], "Error: The data folder or list /nowhere does not exist."),
        (
            ["data", "check", "--data", "/tmp", "--dataset", "digits"],
            "Error: The data set 'digits' brings its own data",
        ),
        (
            ["data", "check", "--data", ".", "--dataset", "folder", "--data-option", "test_fraction=x"],
            "test_fraction='x'",
        ),
        (["data", "check", "--data", ".", "--data-option", "tset=1"], "Unknown option of the data set"),
        (["data", "chekc"], "No such command 'chekc'; did you mean 'check'?"),
        (["train", "moving_digits_rgb", "--data-option", "frame=3"], "did you mean 'frames'?"),
        (["train", "moving_digits_rgb", "--data-option", "frames=x"], "cannot be loaded with frames='x'"),
        (["train", "moving_digits_flow", "--data", "x"], "brings its own data (moving_digits); leave out --data"),
        (["train", "--data", "x", "--set", "modality=depth"], "`modality` must be one of 'rgb', 'flow', 'flow_stack'"),
        (["train", "--data", "x", "--set", "resize_to=[100, 300]"], "`resize_to` [100, 300] must be at least as large"),
    ],
)
def test_mistakes_with_videos_end_in_one_sentence(run_command, arguments, message):
    code, _, errors = run_command(*arguments)
    assert code in (1, 2)
    assert message in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "The recipe photos_lite2 needs --data"),
        (["train", "--data", "/nowhere"], "Error: The data folder or list /nowhere does not exist."),
        (["train", "digit_conv"], "Error: Unknown zoo entry 'digit_conv'; did you mean 'digits_conv'?"),
        (["train", "digits_conv", "--data", "x"], "brings its own data"),
        (["train", "--data", "x", "--set", "latent_dims=3"], "did you mean 'latent_dim'?"),
        (["train", "--data", "x", "--set", "latent_dim=0"], "`latent_dim` must be a positive integer. Received: 0"),
        (["train", "--data", "x", "--set", "steps"], "'steps' is not of the form key=value"),
        (["predict", "/nowhere", "x.jpg"], "Error: The run /nowhere does not exist."),
        (["export", "/nowhere", "--out", "x"], "Error: The run /nowhere does not exist."),
        (["zoo", "show", "nothing"], "Error: Unknown zoo entry 'nothing'"),
        (["trian"], "No such command 'trian'; did you mean 'train'?"),
    ],
)
def test_mistakes_end_in_one_sentence(run_command, arguments, message):
    code, _, errors = run_command(*arguments)
    assert code in (1, 2)
    assert message in errors
    assert "Traceback" not in errors


def test_a_tap_alone_keeps_the_network_whose_weights_are_here(run_command, tmp_path):
    data = write_digits(tmp_path / "data")
    code, _, errors = run_command("train", "--data", data, "--out", tmp_path / "run", "--tap", "nothing")
    assert code == 1
    assert "'nothing'" in errors
    assert "EfficientNetLite2" in errors


def test_missing_weights(run_command, tmp_path):
    data = write_digits(tmp_path / "data")
    code, _, errors = run_command(
        "train", "--data", data, "--out", tmp_path / "run", "--backbone", "MobileNetV2", "--backbone-weights", "none.h5"
    )
    assert code == 1
    assert errors.startswith("Error: The backbone weights none.h5 are not a file.")


def test_interrupt(run_command, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_fvvae.training.representation_training.fit", interrupted)
    code, _, errors = run_command(*_train_arguments(write_digits(tmp_path / "data"), tmp_path / "run"))
    assert code == 130
    assert "the same command continues" in errors


@pytest.mark.parametrize(
    ("weights", "entry"), [([], "video_lite2"), (["--backbone-weights", __file__], "video_folder")]
)
def test_videos_are_trained_by_an_entry_for_videos(run_command, videos, monkeypatch, weights, entry):
    def stop(recipe, collection, out, **options):
        raise DataError(f"{recipe.name} {collection.kind} {out}")

    monkeypatch.setattr("keras_fvvae.training.train.train", stop)
    assert run_command("train", "--data", videos, *weights)[2] == f"Error: {entry} video runs/{entry}\n"


def test_zoo(run_command):
    assert run_command("zoo", "list", "dig*")[1] == "digits_conv\n"
    assert "latent_dim: 255" in run_command("zoo", "show", "image_folder")[1]
