"""Every group at a tiny size: what is compared is the same thing, and the rows say so."""

import importlib
import inspect
import re

import cv2
import numpy as np
import pytest

from keras_fvvae.benchmarks.harness.children import Outcome
from keras_fvvae.benchmarks.harness.groups import GROUPS
from keras_fvvae.benchmarks.harness.images import image_paths
from keras_fvvae.benchmarks.suites import data, encode, export, growth, head, memory, peers, svm, training, validation
from keras_fvvae.errors import DataError
from keras_fvvae.recipes import load_recipe

NETWORK = {"backbone": "DigitsConvNet", "tap": None, "size": 8, "descriptors": "dense", "images": 3}


def _check(rows, references):
    """Every row has a positive ratio, and as many are compared with themselves."""
    assert all(row["ratio"] > 0 for row in rows)
    assert all(row["fastest"] <= row["median"] <= row["slowest"] for row in rows)
    assert [row["ratio"] for row in rows if row["what"] == row["against"]] == [1.0] * references


@pytest.mark.parametrize("name", GROUPS)
def test_sizes_are_what_the_group_takes(name):
    group, measure = GROUPS[name], importlib.import_module(f"keras_fvvae.benchmarks.suites.{name}").measure
    expected = set(inspect.signature(measure).parameters) - {"rounds", "peaks", "data"}
    assert set(group.full) == set(group.quick) == expected
    assert group.takes_data == ("data" in inspect.signature(measure).parameters)


@pytest.mark.system
def test_encode():
    rows = encode.measure(1, [NETWORK], batch_size=2)
    _check(rows, 1)
    assert [row["what"] for row in rows] == [
        encode.BARE,
        encode.FROM_FILES,
        encode.AVERAGES,
        encode.CACHED,
        encode.BOUND,
    ]
    assert {row["case"] for row in rows} == {"DigitsConvNet 8x8"}
    assert [row["at_most"] for row in rows] == [None, pytest.approx(1 / 0.9), pytest.approx(1 / 0.75), None, None]


def test_networks_with_options_are_told_apart():
    recipe = load_recipe("image_folder", backbone="MobileNetV2", tap=None, backbone_options={"alpha": 0.35})
    assert encode.network_name(recipe) == "MobileNetV2 alpha=0.35 448x448"


def test_head_agrees_with_tapes():
    rows = head.measure(1, images=2, descriptors=5, channels=8, latent_dim=3)
    _check(rows, 1)
    assert len(rows) == 5
    differences = [float(row["note"].removeprefix("largest difference ")) for row in rows[1:]]
    assert max(differences) < 1e-5


def test_peers_that_are_missing_are_said(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    rows = peers.measure(1, images=2, descriptors=[6], channels=8, components=3)
    _check(rows[:-2], 2)
    assert [row["reason"] for row in rows[-2:]] == [
        "not installed: pip install cyvlfeat",
        "not installed: pip install scikit-image",
    ]


@pytest.mark.parametrize("jobs", [peers.mixture_jobs, peers.vlad_jobs])
def test_peers_agree(jobs):
    differences = peers.differences_from_layer(jobs(peers.unit_descriptors(3, 20, 8), 4))
    assert max(differences.values()) < 1e-2  # those that are installed; one image and a batch in any case
    assert len(differences) >= 2


@pytest.mark.system
def test_training():
    settings = {
        "recipe": "image_folder",
        "map": [2, 2, 4],
        "classes": 3,
        "latent_dim": 3,
        "batch_size": 4,
        "sampled_descriptors": 3,
    }
    rows = training.measure(1, [settings])
    _check(rows, 1)
    assert rows[0]["what"] == training.PRODUCTS
    assert [row["at_most"] for row in rows if row["what"] == training.STEP] == [pytest.approx(1 / 0.6)]
    assert rows[0]["case"] == "image_folder, 4 maps of 2x2x4"
    assert settings["batch_size"] == 4  # not consumed


def test_validation():
    settings = {"latent_dim": 3, "batch_size": 8, "sampled_descriptors": 3, "steps": 60}
    rows = validation.measure(1, [{"recipe": "image_folder", "map": [3, 3, 4], "classes": 3, **settings}])
    _check(rows, 1)
    assert [row["what"] for row in rows] == ["2 of 60 training steps", validation.SCORE]
    assert rows[0]["case"] == "image_folder, 26 and 6 maps of 3x3x4"


@pytest.mark.system
def test_data_from_a_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "deep" / f"{number}.jpg"), np.full((20, 30, 3), number, "uint8"))
    rows = data.measure(1, images=2, size=8, batch_size=2, large=[32, 48], data=str(tmp_path))
    _check(rows, 2)
    assert [row["what"] for row in rows] == 2 * [data.BARE, data.RESIZED, data.EXACT, data.FAST]
    assert [row["case"] for row in rows[::4]] == ["", "48x32 to 8x8"]
    assert [row["at_most"] for row in rows] == [None, None, 3.0, *5 * [None]]


def test_images_are_chosen_evenly_or_made(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.jpg").touch()
    assert [path[-5] for path in image_paths(tmp_path, None, 3)] == ["0", "2", "4"]
    assert len(image_paths(tmp_path, None, 10)) == 6
    made = image_paths(None, tmp_path / "made", 2, (32, 48))
    assert [cv2.imread(path).shape for path in made] == [(32, 48, 3)] * 2
    with pytest.raises(DataError, match="no .jpg files"):
        image_paths(tmp_path / "absent", None, 1)


def test_svm_gives_the_decisions_of_linear_svc():
    rows = svm.measure(1, samples=30, features=200, classes=3)
    _check(rows, 1)
    (same,) = [row["note"] for row in rows if row["what"] == svm.SAME]
    assert float(re.search(r"differ by (\S+)", same)[1]) < 1e-3
    assert same.endswith("the same class in 100.0%")


@pytest.mark.system
def test_export():
    rows = export.measure(1, [{**NETWORK, "size": 16, "images": 2}], classes=2)
    _check(rows, 1)
    assert {row["what"] for row in rows} == {export.BARE, export.OURS}


def test_growth():
    rows = growth.measure(1, [20, 40], channels=8, latent_dim=3, components=2, features=8, classes=3)
    assert len(rows) == 10
    assert all(row["ratio"] == 1.0 for row in rows[::2])
    assert all(re.fullmatch(r"exponent -?\d\.\d\d, of CPU time -?\d\.\d\d", row["note"]) for row in rows[1::2])


def test_memory_compares_ten_times_the_items(monkeypatch):
    peaks = {"import_only": 600.0, 5: 700.0, 50: 770.0}

    def call(function, arguments):
        name = function.split(":")[1]
        if name == "fit_maps":
            return Outcome(None, None, 1.0, "killed by SIGKILL")
        return Outcome(None, peaks[arguments.get("count", name)], 1.0)

    monkeypatch.setattr(memory, "call_in_child", call)
    rows = memory.measure(2, {"encode": 900.0}, images=5, maps=5, files=2, size=8, latent_dim=3)
    assert rows[1]["ratio"] == 1.5
    assert (rows[3]["what"], rows[3]["ratio"], rows[3]["at_most"]) == ("50 items", pytest.approx(1.1), 1.05)
    assert rows[4] == {"case": "", "what": "training from cached maps", "reason": "killed by SIGKILL"}


def test_what_memory_runs():
    memory.encode_images(count=5, files=2, size=8, latent_dim=3)
    memory.fit_maps(count=64, size=8, latent_dim=3)
