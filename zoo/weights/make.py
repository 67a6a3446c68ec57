"""Trains the weights that ship with `digits_conv` and records their SHA-256 and accuracy in its recipe.

Run from a checkout: `make weights`. The recipe's seed makes it repeatable on one kind of machine.
"""

import platform
import shutil
import tempfile
from pathlib import Path

import yaml

from keras_fvvae.data import load_digits
from keras_fvvae.recipes import load_recipe
from keras_fvvae.training.train import train
from keras_fvvae.utils.files import sha256

NAME = "digits_conv"
ZOO = Path(__file__).parents[1]


def main():
    """Writes `zoo/weights/digits_conv.keras` and updates `zoo/digits_conv.yaml`."""
    with tempfile.TemporaryDirectory() as folder:
        run = train(load_recipe(NAME, weights={}, measured=[]), load_digits(), Path(folder) / NAME)
        weights = ZOO / "weights" / f"{NAME}.keras"
        weights.parent.mkdir(exist_ok=True)
        shutil.copyfile(run.model_path, weights)
        results = run.results
    recipe_file = ZOO / f"{NAME}.yaml"
    recipe = yaml.safe_load(recipe_file.read_text(encoding="utf-8"))
    recipe["weights"] = {"file": weights.name, "sha256": sha256(weights)}
    recipe["measured"] = [
        {
            "command": "make weights",
            "protocol": results.protocol,
            "machine": f"{platform.machine()}, CPU",
            "accuracy": {name: round(results.metrics[name]["accuracy"], 4) for name in ("FV-VAE", "AVE")},
        }
    ]
    recipe_file.write_text(yaml.safe_dump(recipe, sort_keys=False, width=120), encoding="utf-8")


if __name__ == "__main__":
    main()
