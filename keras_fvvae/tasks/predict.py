"""Labels for image files from a trained run."""

import numpy as np

from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.pipeline import image_batches
from keras_fvvae.tasks.inputs import backbone_batch_size
from keras_fvvae.tasks.run_folder import RunFolder
from keras_fvvae.zoo import load_classifier


def predict(run, files, top_k=5):
    """Classifies image files.

    Args:
        run: path of a finished run.
        files: paths of images.
        top_k: labels per image.

    Yields:
        For every file in order a dictionary: `file` and either `labels` and `scores` (decision values, best first) or
        `error`, the reason why the file could not be used.

    Raises:
        RunError, WeightsError: if the run cannot be used.
    """
    folder = RunFolder.open(run)
    recipe = folder.recipe
    classifier = load_classifier(folder.path / "model.keras")
    names = np.array(classifier.class_names)
    collection = Collection(files, files, [UNLABELLED] * len(files), ["test"] * len(files), names)
    size = tuple(recipe.input_size)
    for batch in image_batches(collection, range(len(files)), size, backbone_batch_size(size), recipe.resize):
        scores = classifier.predict_on_batch(batch["image"])
        for index, reason, row in zip(batch["index"].numpy(), batch["reason"].numpy(), scores, strict=True):
            if reason:
                yield {"file": str(files[index]), "error": reason.decode()}
                continue
            best = np.argsort(-row)[:top_k]
            yield {"file": str(files[index]), "labels": names[best].tolist(), "scores": row[best].tolist()}
