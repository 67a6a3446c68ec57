"""Peak resident memory: of every group, and of ten times as many items against as many."""

import itertools
import tempfile
from pathlib import Path

from keras_fvvae.benchmarks.harness.children import call_in_child
from keras_fvvae.benchmarks.harness.rounds import absent_row, row

FACTOR = 10
# Ten times the items may take 5 % more: what allocators leave behind.
AT_MOST = 1.05
IMPORTED = "TensorFlow and Keras imported"
MB = "MB"


def measure(
    rounds: int, peaks: dict[str, float], images: int, maps: int, files: int, size: int, latent_dim: int
) -> list[dict]:
    """Rows of `peaks` (dictionary from a group to MB), and of so many items and ten times those.

    `images` are encoded, from `files` again and again; from `maps` in a store an FV-VAE is trained.

    Every figure of the latter is a process of its own; the smallest and largest of `rounds` are given.
    """
    imported = _peaks("import_only", {}, rounds)
    if isinstance(imported, str):
        return [absent_row(IMPORTED, imported)]
    base = min(imported)
    rows = [row(IMPORTED, IMPORTED, MB, imported, 1.0)]
    rows += [row(f"group {name}, peers included", IMPORTED, MB, [peak], peak / base) for name, peak in peaks.items()]
    network = {"size": size, "latent_dim": latent_dim}
    for what, function, smaller, arguments in (
        ("encoding images to a store", "encode_images", images, {"files": files, **network}),
        ("training from cached maps", "fit_maps", maps, network),
    ):
        counts = (smaller, FACTOR * smaller)
        values = {count: _peaks(function, {"count": count, **arguments}, rounds) for count in counts}
        failed = [value for value in values.values() if isinstance(value, str)]
        if failed:
            rows.append(absent_row(what, failed[0]))
            continue
        few, many = values.values()
        names = [f"{count:,} items" for count in counts]
        rows.append(row(names[0], names[0], MB, few, 1.0, case=what))
        rows.append(row(names[1], names[0], MB, many, max(many) / max(few), at_most=AT_MOST, case=what))
    return rows


def _peaks(function, arguments, rounds):
    """Peaks of so many calls; the reason of the first that failed."""
    peaks = []
    for _ in range(rounds):
        outcome = call_in_child(f"{__name__}:{function}", arguments)
        if outcome.reason:
            return outcome.reason
        peaks.append(outcome.peak_mb)
    return peaks


def import_only() -> None:
    """What every process has: the libraries."""
    import keras  # noqa: F401
    import tensorflow  # noqa: F401


def encode_images(count: int, files: int, size: int, latent_dim: int) -> None:
    """From image files to a store of normalised Fisher vectors, `files` of them again and again."""
    from keras_fvvae.benchmarks.harness.images import as_collection, image_paths
    from keras_fvvae.builders.encoders import build_encoder
    from keras_fvvae.builders.views import recipe_views
    from keras_fvvae.data import view_batches
    from keras_fvvae.features import FeatureStore

    recipe, backbone, model = _small_network(size, latent_dim)
    encoder = build_encoder(recipe, backbone, model)
    with tempfile.TemporaryDirectory() as folder:
        paths = list(itertools.islice(itertools.cycle(image_paths(None, folder, files, (64, 64))), count))
        store = FeatureStore(Path(folder, "store"), {}, dtype="float32")
        for batch in view_batches(as_collection(paths), range(count), recipe_views(recipe), 32):
            vectors = encoder.normalize_on_batch(encoder.predict_raw_on_batch(batch["views"]))
            for index, vector in zip(batch["index"].numpy(), vectors, strict=True):
                store.add(f"{index}", vector[None])
        store.flush()


def fit_maps(count: int, size: int, latent_dim: int) -> None:
    """A training from the cached activations of `count` images, each of which is seen once."""
    import numpy as np

    from keras_fvvae.benchmarks.harness.images import as_collection
    from keras_fvvae.builders.trainable import build_fvvae
    from keras_fvvae.runs.folder import RunFolder
    from keras_fvvae.training.fit import fit
    from keras_fvvae.training.inputs.activations import ActivationInputs

    recipe, backbone, _ = _small_network(size, latent_dim)
    recipe = recipe.replace(steps=count // recipe.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        collection = as_collection([f"{number}.jpg" for number in range(count)])
        inputs = ActivationInputs(collection, recipe, backbone, Path(folder, "maps"))
        rng = np.random.default_rng(0)
        for key in inputs.keys:
            inputs.store.add(key, rng.random((1, *inputs.shape), np.float32))
        inputs.store.flush()
        model = build_fvvae(recipe, None, None, activations_shape=inputs.shape)
        run = RunFolder.create(Path(folder, "run"), recipe, collection)
        fit(model, inputs, range(count), recipe, run, verbose=0)


def _small_network(size, latent_dim):
    from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
    from keras_fvvae.recipes import load_recipe

    recipe = load_recipe(
        "image_folder",
        backbone="DigitsConvNet",
        tap=None,
        input_size=[size, size],
        latent_dim=latent_dim,
        lambda3=0.0,
        information="none",
        batch_size=32,
    )
    backbone = build_recipe_backbone(recipe, None)
    return recipe, backbone, build_fvvae(recipe, backbone, None)
