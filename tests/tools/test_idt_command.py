"""`keras-fvvae idt`: what is printed and written."""

import pytest
from click.testing import CliRunner
from keras_fvvae.tools.idt import command

from tests.support.synthetic_trajectories import make_video
from tests.support.video_files import write_video


@pytest.fixture
def data(tmp_path):
    """Two classes with a training and a test video, and a class without a test video."""
    motions = {("train", "left"): (-3, 0), ("train", "right"): (3, 0), ("test", "left"): (-3, 0)}
    motions |= {("test", "right"): (3, 0), ("train", "down"): (0, 2)}
    for (split, name), motion in motions.items():
        folder = tmp_path / "data" / split / name
        folder.mkdir(parents=True)
        write_video(folder / f"{name}_{split}.avi", make_video(motion, count=17))
    (tmp_path / "data" / "test" / "left" / "broken.avi").write_bytes(b"")
    return tmp_path / "data"


def call(*arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_vectors_and_scores(data, tmp_path):
    arguments = [
        "--data",
        data,
        "--out",
        tmp_path / "out",
        "--scales",
        1,
        "--components",
        2,
        "--workers",
        1,
        "--common-classes",
    ]
    code, output, errors = call(*arguments)
    assert code == 0, errors
    assert f"trajectories a video; vectors in {tmp_path / 'out' / 'vectors.npy'}\n" in output
    assert "100.0 (34.2 to 100.0) %  (2 training and 2 test videos of 2 classes; improved dense trajectories" in output
    assert "test/left/broken.avi: the file is empty\n" in errors
    assert "2 of 3 classes have both training and test videos" in errors
    assert (tmp_path / "out" / "scores.csv").read_text().startswith("id,left,right\n")
    code, again, _ = call(*arguments)
    assert (code, again) == (0, output)


def test_out_inside_the_data(data):
    code, _, errors = call("--data", data, "--out", data / "idt")
    assert code == 2
    assert "lies inside" in errors
    assert not (data / "idt").exists()
