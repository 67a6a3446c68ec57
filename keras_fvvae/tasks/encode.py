"""Representations of a whole collection, written to disk as they are made."""

import numpy as np
from keras import ops

from keras_fvvae.ops.normalization import l2_normalize, signed_sqrt
from keras_fvvae.progress import progress_bar
from keras_fvvae.statistics import FisherStatistics

# Rows normalised at a time.
BLOCK_ROWS = 256


def encode_fisher_vectors(encoder, inputs, train_count, path, verbose=1):
    """Encodes a collection and adapts the encoder's Fisher normalisation on its training part.

    Raw vectors are streamed to the file and normalised there, in place: memory does not grow with the collection.

    Args:
        encoder: a `FisherEncoder` for what the inputs give; its normalisation is adapted.
        inputs: `ImageInputs`, or `ActivationInputs` for an encoder without a backbone.
        train_count: the first so many images of the inputs' collection are the training part.
        path: `.npy` file to write: float32 `(images, C, latent_dim + 1)`.
        verbose: 1 for a progress bar.

    Raises:
        ValueError: for NaN or infinite vectors.
    """
    statistics = FisherStatistics(kronecker=encoder.normalization.information == "kronecker")
    count, row = len(inputs.collection), 0
    # Written in order, not through a memory map: on a full disk that would be a bus error, not an exception.
    with open(path, "wb") as file, progress_bar("Fisher vectors", count, enabled=bool(verbose)) as update:
        for batch in inputs.batches(np.arange(count)):
            raw = encoder.predict_raw_on_batch(batch)
            if row == 0:
                header = {"descr": "<f4", "fortran_order": False, "shape": (count, *raw.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(raw, "<f4"))
            if row < train_count:
                statistics.update(raw[: train_count - row])
            row += len(raw)
            update(row)
    encoder.normalization.set_statistics(statistics)
    vectors = np.load(path, mmap_mode="r+")
    for start in range(0, count, BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS]
        block[...] = ops.convert_to_numpy(encoder.normalization(np.array(block)))
    vectors.flush()


def encode_averages(backbone, inputs):
    """AVE: the mean of an image's local activations, signed square root and L2 normalised.

    Args:
        backbone: model from what the inputs give to activation maps; `None` where they are activation maps.
        inputs: `ImageInputs` or `ActivationInputs`.

    Returns:
        float32 array `(images, C)`.

    Reference:
        Qiu et al., CVPR 2017, Section 5.3 ("AVE").
    """
    means = []
    for batch in inputs.batches(np.arange(len(inputs.collection))):
        maps = batch if backbone is None else backbone.predict_on_batch(batch)
        means.append(np.mean(maps, axis=(1, 2), dtype="float32"))
    return ops.convert_to_numpy(l2_normalize(signed_sqrt(np.concatenate(means)), axis=-1))
