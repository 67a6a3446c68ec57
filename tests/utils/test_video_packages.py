"""Without OpenCV and PyAV images are trained and explained as ever; videos are refused with the extra's name."""

import subprocess
import sys

import pytest

from keras_fvvae.data.readers.video import require_packages
from keras_fvvae.errors import KerasFVVAEError
from keras_fvvae.utils import video_packages
from tests.support.small_data import write_digits
from tests.support.video_files import numbered_frames, write_video

WITHOUT = "import sys; sys.modules['av'] = sys.modules['cv2'] = None\n"
COMMAND = WITHOUT + "sys.argv[0] = 'keras-fvvae'; from keras_fvvae.tools.main import main; main()"
IMPORTS = WITHOUT + (
    "import importlib, pkgutil, keras_fvvae\n"
    "for module in pkgutil.walk_packages(keras_fvvae.__path__, 'keras_fvvae.'):\n"
    "    if module.name.endswith('__main__'):\n"
    "        continue\n"
    "    try:\n"
    "        importlib.import_module(module.name)\n"
    "    except ModuleNotFoundError as error:\n"
    "        if (error.name or '').partition('.')[0] in ('av', 'cv2'):\n"
    "            raise\n"
)
SAID = 'needs {}: pip install "keras_fvvae[video]"'


def _run(program, *words, folder=None):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, timeout=300, cwd=folder
    )


@pytest.mark.system
@pytest.mark.once
def test_every_module_is_imported_without_them():
    done = _run(IMPORTS)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.system
@pytest.mark.once
def test_images_need_neither(tmp_path):
    """A training with its report, and a heat map."""
    write_digits(tmp_path / "photos", classes=range(6), count=6)
    settings = ["--backbone", "DigitsConvNet", "--input-size", "8", "--backbone-weights", "none", "--set", "steps=2"]
    train = ["train", "--data", "photos", "--out", "run", "--cache", "cache", *settings]
    for words in (train, ["explain", "run", min((tmp_path / "photos" / "1").iterdir()), "--out", "why"]):
        done = _run(COMMAND, *words, folder=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h2>Examples</h2>" in page
    assert "cannot be drawn" not in page
    assert list((tmp_path / "why" / "1").glob("*.png"))


@pytest.mark.system
@pytest.mark.once
def test_videos_name_the_extra_before_anything_is_computed(tmp_path):
    for name in "ab":
        (tmp_path / "clips" / name).mkdir(parents=True)
        write_video(tmp_path / "clips" / name / "1.avi", numbered_frames(4))
    done = _run(COMMAND, "train", "--data", "clips", "--backbone-weights", "none", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "Error: Work on videos " + SAID.format("av")
    assert "Activations" not in done.stderr


@pytest.fixture
def absent(monkeypatch):
    """Neither package is installed."""
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setitem(sys.modules, "cv2", None)


def test_names_in_the_package_index(absent):
    assert video_packages.missing_packages() == ["av", "opencv-python-headless"]


def test_what_is_needed_depends_on_what_is_read(absent, tmp_path):
    frames, flow = tmp_path / "frames", tmp_path / "flow"
    for folder, names in ((frames, ["img_00001.jpg"]), (flow, ["flow_x_00001.jpg", "flow_y_00001.jpg"])):
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"")
    require_packages([numbered_frames(2), frames, flow], is_flow=False)
    require_packages([flow], is_flow=True)
    for sources, is_flow, package in (
        ([frames, tmp_path / "1.avi"], False, "av"),
        ([flow, frames], True, "cv2"),
        ([numbered_frames(2)], True, "cv2"),
    ):
        with pytest.raises(KerasFVVAEError) as caught:
            require_packages(sources, is_flow)
        assert str(caught.value) == "Work on videos " + SAID.format(package)


@pytest.mark.parametrize("name", ["av", "cv2"])
def test_the_first_use_says_what_is_missing(absent, name):
    package = getattr(video_packages, name)
    with pytest.raises(KerasFVVAEError, match="keras_fvvae.video"):
        _ = package.anything
    with pytest.raises(AttributeError):
        _ = package.__wrapped__  # what doctest asks of any object


def test_they_stand_for_the_packages():
    import av
    import cv2

    assert video_packages.cv2.resize is cv2.resize
    assert video_packages.av.open is av.open
    assert video_packages.av.__version__ == av.__version__
    assert video_packages.missing_packages() == []
