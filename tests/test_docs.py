"""Every Python block of the documentation and every `keras-fvvae` command of the README is executed."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from keras_fvvae.tools import main as tools_main

from keras_fvvae.data import load_digits

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
    "video_folder": "--input-size 192 --set resize_to=[192,192] --set frames=1 --set steps=2 --cache cache",
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


def test_readme(tmp_path, monkeypatch, capsys):
    """In the README's order, in one folder: its commands make what its Python reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))  # where the local zoo is
    digits = load_digits()
    for name, label in (("cat", 0), ("dog", 1)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(1, 7):
            pixels = digits.read((digits.labels == label).nonzero()[0][number])
            (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(tf.io.encode_jpeg(pixels).numpy())
    keras.applications.VGG19(include_top=False, weights=None).save_weights("vgg19.weights.h5")
    shutil.copytree(tmp_path / "photos" / "cat", tmp_path / "unlabelled")
    commands = [
        line for block in _blocks(README, "sh") for line in block.splitlines() if line.startswith("keras-fvvae")
    ]
    assert len(commands) == 20
    for command in commands:
        extra = next((extra for option, extra in SHORTENED.items() if f"{option} " in command), "")
        monkeypatch.setattr(sys, "argv", shlex.split(f"{command} {extra}"))
        with pytest.raises(SystemExit) as stop:
            tools_main.main()
        assert not stop.value.code, (command, capsys.readouterr().err)
    assert (tmp_path / "runs" / "pretrained_pretraining" / "manifest.json").is_file()
    namespace = {}
    for block in _blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["vectors"].shape == (8, 32, 16)
    assert namespace["vector"].shape == (1, 512 * 256)


def test_every_relative_link_exists():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
