"""Every Python block of the documentation is executed, and every command of the README and of the pages for users."""

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
from keras_fvvae.runs import files
from tests.support.less_data import BLOCKS, build_vgg19, fewer_digits, narrow_networks
from tests.support.written_runs import make_streams, write_run

ROOT = Path(__file__).parents[1]
# Pages of which every command and block is executed, in their order and one after the other in one folder.
WALKS = {
    "readme": ("README.md",),
    "quickstart": ("docs/quickstart.md", "docs/few_images.md", "docs/no_network.md"),
    "photos": ("docs/photos.md", "docs/serving.md"),
    "videos": ("docs/videos.md", "docs/two_streams.md", "docs/zoo.md"),
    "methods": ("docs/methods.md",),
    "python": ("docs/python.md",),
}
NARROW = "--set 'backbone_options={filters: 4}'"
# Added to a command so that it ends in seconds: smaller images, few steps; the first that it contains.
SHORTENED = {
    " compare": f"--set steps=2 {NARROW}",
    " reproduce": f"--set steps=1 {NARROW}",
    " sweep": f"--set steps=1 {NARROW}",
    "representation=vlad": f"--set fine_tune_steps=2 {NARROW} --set 'representation_options={{num_centroids: 3}}'",
    "moving-digits": "--train 2 --test 1",
    "video_folder": (
        "--input-size 64 --set resize_to=[64,64] --set spp_levels=[2,1] --set frames=1 --set steps=2 --cache cache"
    ),
    "--backbone-weights": "--input-size 64 --set steps=2 --cache cache",
    "train --data photos --out runs/photos": "--set input_size=[64,64] --set steps=2 --cache cache",
    "--backbone": "--input-size 32 --set steps=2 --cache cache --backbone-weights none",
}


def _blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def _pages_blocks():
    walked = {ROOT / page for pages in WALKS.values() for page in pages}
    return [
        (page.name, block)
        for page in sorted({*(ROOT / "docs").glob("*.md")} - walked)
        for block in _blocks(page.read_text(encoding="utf-8"), "python")
    ]


@pytest.mark.parametrize("number", range(len(_pages_blocks())))
def test_pages(number, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # embedded videos are written below it
    page, block = _pages_blocks()[number]
    exec(compile(block, f"docs/{page} block {number}", "exec"), {})


def _commands(text):
    return [line for block in _blocks(text, "sh") for line in block.splitlines() if line.startswith("keras-fvvae")]


def test_walks_hold_what_users_read():
    texts = [_text(page) for pages in WALKS.values() for page in pages]
    assert sum(len(_commands(text)) for text in texts) == 44
    assert sum(len(_blocks(text, "python")) for text in texts) == 7


@pytest.fixture
def _quick(monkeypatch):
    # What an estimator takes by itself has hundreds of steps.
    small = {"backbone": "VGG19", "input_size": [64, 64], "steps": 2}
    monkeypatch.setattr(estimator_recipe, "_PACKAGED", small)
    monkeypatch.setattr(estimator_recipe, "are_weights_installed", lambda number: True)
    with fewer_digits(), narrow_networks():
        yield


@pytest.mark.system
@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("walk", WALKS)
def test_walk(walk, tmp_path, monkeypatch, capsys):
    """Commands make what the Python reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))  # where the local zoo is
    text = "".join(map(_text, WALKS[walk]))
    _write_photos(tmp_path / "photos")
    shutil.copytree(tmp_path / "photos" / "cat", tmp_path / "unlabelled")
    if "vgg19.weights.h5" in text:
        build_vgg19().save_weights("vgg19.weights.h5")
    if walk == "methods":
        _write_runs(tmp_path / "runs")
    for command in _commands(text):
        extra = next((extra for option, extra in SHORTENED.items() if f"{option} " in f"{command} "), "")
        monkeypatch.setattr(sys, "argv", shlex.split(f"{command} {extra}"))
        with pytest.raises(SystemExit) as stop:
            tools_main.main()
        assert not stop.value.code, (command, capsys.readouterr().err)
    namespace = {"tf": tf}  # imported by the README's first block
    for block in _blocks(text, "python"):
        exec(compile(block, walk, "exec"), namespace)
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


def _check_readme(folder, namespace):
    assert (folder / "served" / "photos" / "1" / "saved_model.pb").is_file()
    assert (folder / "photos.index" / "manifest.json").is_file()


def _check_quickstart(folder, namespace):
    assert namespace["parts"].label == namespace["labels"][0]
    assert {path.suffix for path in (folder / "explained" / "cat").iterdir()} == {".png", ".svg", ".json"}
    # Copies of training items are passed over: of six files those of the two that were held out stay.
    assert len((folder / "to_label.csv").read_text().splitlines()) == 1 + 2
    assert list(folder.glob("zoo_folder/*/1/manifest.json"))


def _check_photos(folder, namespace):
    assert namespace["vector"].shape == (1, BLOCKS[-1][1] * 256)


def _check_videos(folder, namespace):
    assert (folder / "runs" / "pretrained_pretraining" / "manifest.json").is_file()
    assert (folder / "served" / "two_streams" / "1" / "saved_model.pb").is_file()
    assert (folder / "fused.csv").is_file()
    assert (folder / "home" / "keras_fvvae" / "zoo" / "video_folder" / "1" / "manifest.json").is_file()


def _check_methods(folder, namespace):
    assert (folder / "runs" / "vlad" / "manifest.json").is_file()
    assert [path.name for path in folder.glob("runs/*") if path.name not in ("rgb", "flow", "vlad")]


def _check_python(folder, namespace):
    assert namespace["vectors"].shape == (8, 32, 16)
    assert (folder / "runs" / "eight" / "manifest.json").is_file()


CHECKS = {
    "readme": _check_readme,
    "quickstart": _check_quickstart,
    "photos": _check_photos,
    "videos": _check_videos,
    "methods": _check_methods,
    "python": _check_python,
}


def test_every_relative_link_exists():
    above = [
        ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md")
    ]
    for page in (*above, *(ROOT / "docs").rglob("*.md")):
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_page_of_files_names_all():
    from keras_fvvae.search import approximate, folder, whitening
    from keras_fvvae.zoo import manifests

    index = {folder.MANIFEST, folder.SETTINGS, folder.ITEMS, folder.VECTORS, whitening.MEAN, whitening.DIRECTIONS}
    names = {*files.ARTIFACTS, files.MANIFEST, files.REPORT, files.LOCK, *index, approximate.GRAPH}
    names |= {manifests.CLASSIFIER, manifests.FVVAE_ONLY, manifests.INDEX, manifests.MANIFEST, manifests.RECIPE}
    assert [name for name in sorted(names) if name not in _text("docs/files.md")] == []


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", _text("README.md"), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
