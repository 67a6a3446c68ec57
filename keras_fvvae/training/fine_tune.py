"""Fine-tuning of a backbone with a softmax, before its activations are encoded (the paper's `_ft` rows)."""

from __future__ import annotations

import keras

from keras_fvvae.backbones import set_trainable
from keras_fvvae.data import Collection
from keras_fvvae.data.collection import UNLABELLED
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs import files
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.checkpoints import History
from keras_fvvae.training.fit import CHECKPOINT_SECONDS, fit
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.processes.interface import Processes

# Caffe's customary setting for fine-tuning.
MOMENTUM = 0.9
DROPOUT = 0.5


def fine_tune(
    backbone: keras.Model,
    collection: Collection,
    recipe: Recipe,
    run: RunFolder,
    *,
    verbose: int = 1,
    workers: Processes | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> History:
    """Trains a backbone to classify single views, and leaves it frozen or trainable as the recipe says.

    A global average of the activations, dropout, and a dense layer to the classes, under softmax cross-entropy; the
    layer is thrown away afterwards. Views are random: a random frame of a video, a random crop, mirrored if the recipe
    says so. Interrupted, it continues like the FV-VAE's training.

    Args:
        backbone: model from `build_backbone`; trained in place.
        collection: a `Collection`; its labelled training items are used.
        recipe: a `Recipe` with `fine_tune_steps`.
        run: a `RunFolder`.
        verbose: 1 for a progress bar.
        workers: `Workers` of `keras_fvvae.training.processes.workers`; all end with the same weights. Default: one
            process.
        checkpoint_seconds: as for `keras_fvvae.training.fit.fit`.

    Returns:
        Dictionary from the name of each reported loss to the list of its values, one per step.

    Raises:
        RunError: if the loss becomes NaN or infinite.

    Reference:
        Qiu et al., CVPR 2017, Section 5.2, "pool5 fine-tuned", and Table 3.
    """
    set_trainable(backbone, recipe.fine_tune_from)
    model = keras.Sequential(
        [
            keras.Input(backbone.input.shape[1:]),
            backbone,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(DROPOUT, seed=recipe.seed),
            # By the recipe's seed alone: rows of an experiment share the backbone, whichever of them trains it.
            keras.layers.Dense(
                len(collection.class_names),
                kernel_initializer=keras.initializers.GlorotUniform(seed=recipe.seed),
                name="classes",
            ),
        ]
    )
    model.compile(
        keras.optimizers.SGD(recipe.fine_tune_learning_rate, momentum=MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    schedule = recipe.replace(
        steps=recipe.fine_tune_steps,
        batch_size=recipe.fine_tune_batch_size,
        learning_rate=recipe.fine_tune_learning_rate,
        views_per_step=1,
    )
    labelled = collection.indices("train")
    labelled = labelled[collection.labels[labelled] != UNLABELLED]
    inputs = PixelInputs(collection, schedule)
    history = fit(
        model,
        inputs,
        labelled,
        schedule,
        run,
        verbose=verbose,
        checkpoints=files.FINE_TUNING,
        title="Fine-tuning",
        workers=workers,
        checkpoint_seconds=checkpoint_seconds,
    )
    set_trainable(backbone, recipe.trainable_from)
    return history
