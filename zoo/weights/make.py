"""Trains the weights that ship with entries of the zoo and records their SHA-256 and accuracy in the recipes.

Run from a checkout: `make weights`, or `python zoo/weights/make.py NAME ...` for some of them. The recipe's seed makes
it repeatable on one kind of machine.
"""

import platform
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from keras_fvvae.data import load_dataset
from keras_fvvae.recipes import load_recipe
from keras_fvvae.training.train import train
from keras_fvvae.utils.files import sha256

# All whose data are embedded or come from the package index: `textiles_lite2` needs `keras_fvvae[lite,textiles]`.
NAMES = ("digits_conv", "moving_digits_rgb", "moving_digits_flow", "textiles_lite2")
ZOO = Path(__file__).parents[1]


def make(name: str) -> None:
    """Writes `zoo/weights/NAME.keras` and what was measured with it to `zoo/NAME.yaml`."""
    recipe = load_recipe(name, weights={}, measured=[])
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, load_dataset(None, recipe.dataset, **recipe.dataset_options), Path(folder) / name)
        weights = ZOO / "weights" / f"{name}.keras"
        shutil.copyfile(run.model_path, weights)
        results = run.results
    measured = {
        "command": "make weights",
        "protocol": results.protocol,
        "machine": f"{platform.machine()}, CPU",
        "accuracy": {row: round(results.metrics[row]["accuracy"], 4) for row in ("FV-VAE", "AVE")},
    }
    entry = ZOO / f"{name}.yaml"
    # What is above is written by hand, and stays as it is.
    settings = entry.read_text(encoding="utf-8").split("\nweights:")[0].rstrip("\n")
    made = {"weights": {"file": weights.name, "sha256": sha256(weights)}, "measured": [measured]}
    entry.write_text(f"{settings}\n{yaml.safe_dump(made, sort_keys=False, width=120)}", encoding="utf-8")


if __name__ == "__main__":
    for entry_name in sys.argv[1:] or NAMES:
        make(entry_name)
