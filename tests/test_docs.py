"""Every Python block of the documentation and every `keras-fvvae` command of the README is executed."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from keras_fvvae.tools import main as tools_main

from keras_fvvae.data import load_digits
from keras_fvvae.estimators import recipe as estimator_recipe
from keras_fvvae.recipes import Recipe
from tests.support.less_data import BLOCKS, build_vgg19, fewer_digits, narrow_vgg19
from tests.support.written_runs import make_streams, write_run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NARROW = "--set 'backbone_options={filters: 4}'"
# Added to a README's command so that it ends in seconds: smaller images, few steps; the first that it contains.
SHORTENED = {
    "compare": f"--set steps=2 {NARROW}",
    "reproduce": f"--set steps=1 {NARROW}",
    "sweep": f"--set steps=1 {NARROW}",
    "representation=vlad": f"--set fine_tune_steps=2 {NARROW} --set 'representation_options={{num_centroids: 3}}'",
    "moving-digits": "--train 2 --test 1",
    "video_folder": (
        "--input-size 64 --set resize_to=[64,64] --set spp_levels=[2,1] --set frames=1 --set steps=2 --cache cache"
    ),
    "--backbone-weights": "--input-size 64 --set steps=2 --cache cache",
    "--backbone": "--input-size 32 --set steps=2 --cache cache --backbone-weights none",
}


def _blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _pages_blocks():
    return [
        (page.name, block)
        for page in sorted((ROOT / "docs").glob("*.md"))
        for block in _blocks(page.read_text(encoding="utf-8"), "python")
    ]


@pytest.mark.parametrize("number", range(len(_pages_blocks())))
def test_pages(number, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # embedded videos are written below it
    page, block = _pages_blocks()[number]
    exec(compile(block, f"docs/{page} block {number}", "exec"), {})


# Sections of the README that read what the sections before them in the walk have written.
WALKS = {
    "first": ("From a folder to a served model",),
    "images": ("Your own images", "Serving"),
    "videos": ("Your own videos", "The zoo"),
    "paper": ("The paper's tables and figures, on your data",),
    "python": ("In Python",),
    "methods": ("Every method beside it",),
}


def _sections():
    """Dictionary from heading to text."""
    return dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", README, flags=re.MULTILINE | re.DOTALL))


def _commands(text):
    return [line for block in _blocks(text, "sh") for line in block.splitlines() if line.startswith("keras-fvvae")]


def test_every_block_of_the_readme_is_in_a_walk():
    walked = [section for walk in WALKS.values() for section in walk]
    with_blocks = [name for name, text in _sections().items() if _commands(text) or _blocks(text, "python")]
    assert sorted(walked) == sorted(with_blocks)
    assert sum(len(_commands(text)) for text in _sections().values()) == len(_commands(README)) == 20
    assert sum(len(_blocks(text, "python")) for text in _sections().values()) == len(_blocks(README, "python")) == 6


@pytest.fixture
def _quick(monkeypatch):
    # What an estimator takes by itself has hundreds of steps.
    small = {"backbone": "VGG19", "input_size": [64, 64], "steps": 2}
    monkeypatch.setattr(estimator_recipe, "_PACKAGED", small)
    monkeypatch.setattr(estimator_recipe, "are_weights_installed", lambda number: True)
    with fewer_digits(), narrow_vgg19():
        yield


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("walk", WALKS)
def test_readme(walk, tmp_path, monkeypatch, capsys):
    """In the README's order, in one folder: its commands make what its Python reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))  # where the local zoo is
    text = "".join(_sections()[section] for section in WALKS[walk])
    _write_photos(tmp_path / "photos")
    shutil.copytree(tmp_path / "photos" / "cat", tmp_path / "unlabelled")
    if "vgg19.weights.h5" in text:
        build_vgg19().save_weights("vgg19.weights.h5")
    if walk == "paper":
        _write_runs(tmp_path / "runs")
    for command in _commands(text):
        extra = next((extra for option, extra in SHORTENED.items() if f"{option} " in command), "")
        monkeypatch.setattr(sys, "argv", shlex.split(f"{command} {extra}"))
        with pytest.raises(SystemExit) as stop:
            tools_main.main()
        assert not stop.value.code, (command, capsys.readouterr().err)
    namespace = {"tf": tf}  # imported by the README's first block
    for block in _blocks(text, "python"):
        exec(compile(block, "README.md", "exec"), namespace)
    CHECKS[walk](tmp_path, namespace)


def _write_photos(folder):
    digits = load_digits()
    for name, label in (("cat", 0), ("dog", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(1, 7):
            pixels = digits.read((digits.labels == label).nonzero()[0][number])
            (folder / name / f"{number}.jpg").write_bytes(tf.io.encode_jpeg(pixels).numpy())


def _write_runs(folder):
    """Finished runs in place of those of the videos, which another walk trains."""
    folder.mkdir()
    class_names, train, test, streams = make_streams()
    for name, vectors in zip(("rgb", "flow"), streams, strict=True):
        scores = vectors[len(train) :, : len(class_names)]
        write_run(folder / name, Recipe(name=name), class_names, train, test, scores, vectors)


def _check_images(folder, namespace):
    assert namespace["vector"].shape == (1, BLOCKS[-1][1] * 256)


def _check_videos(folder, namespace):
    assert (folder / "runs" / "pretrained_pretraining" / "manifest.json").is_file()
    assert (folder / "home" / "keras_fvvae" / "zoo" / "video_folder" / "1" / "manifest.json").is_file()


def _check_paper(folder, namespace):
    assert [path.name for path in folder.glob("runs/*") if path.name not in ("rgb", "flow")]


def _check_first(folder, namespace):
    assert (folder / "served" / "photos" / "1" / "saved_model.pb").is_file()


def _check_python(folder, namespace):
    assert namespace["vectors"].shape == (8, 32, 16)
    assert (folder / "runs" / "eight" / "manifest.json").is_file()


def _check_methods(folder, namespace):
    assert (folder / "runs" / "vlad" / "manifest.json").is_file()


CHECKS = {
    "first": _check_first,
    "images": _check_images,
    "videos": _check_videos,
    "paper": _check_paper,
    "python": _check_python,
    "methods": _check_methods,
}


def test_every_relative_link_exists():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
