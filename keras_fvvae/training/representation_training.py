"""What a recipe's representation learns, whatever it is: the loss of Eq. 8, a codebook, a softmax, or nothing."""

from __future__ import annotations

import keras

from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.representations import (
    FVVAE_TRAINING,
    REPRESENTATIONS,
    SOFTMAX_TRAINING,
    representation_title,
)
from keras_fvvae.builders.trainable import build_fvvae, build_softmax, compile_stage
from keras_fvvae.data.collection import Positions
from keras_fvvae.errors import DataError, WeightsError
from keras_fvvae.models import FVVAE, FisherEncoder
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.initial import InitialRun
from keras_fvvae.training.checkpoints import History
from keras_fvvae.training.fit import fit
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.inputs.sampled import trained_on
from keras_fvvae.training.processes.interface import Processes
from keras_fvvae.training.vectors import adapt_head


class RepresentationTraining:
    """The training of a representation: built at once, run when the inputs are there.

    Args:
        recipe: a `Recipe`.
        backbone: model from pixels to activation maps.
        frozen: whether the inputs are its activation maps.
        num_classes: of the data; `None` without labels.

    Attributes:
        encoder: the trained `FisherEncoder` for what the inputs give, its normalisation not adapted yet.

    Raises:
        DataError: without labels, for a recipe that learns from them.
        RecipeError: for settings that do not go together.
    """

    def __init__(self, recipe: Recipe, backbone: keras.Model, frozen: bool, num_classes: int | None):
        self.recipe = recipe
        self.backbone = backbone
        self.num_classes = num_classes
        self.shape = tuple(backbone.output.shape[1:])
        self.encoder: FisherEncoder
        self.fvvae: FVVAE | None = None
        self.donor: InitialRun | None = None
        kind = REPRESENTATIONS[recipe.representation].training
        below = None if frozen else backbone
        if kind == FVVAE_TRAINING:
            if recipe.lambda3 and num_classes is None:
                raise DataError("Without labels only FV-VAE minus can be trained: set `lambda3=0`.")
            self.fvvae = build_fvvae(recipe, below, num_classes, self.shape if frozen else None)
        else:
            # A backbone with trainable layers learns under any representation.
            self.by_softmax = kind == SOFTMAX_TRAINING or not frozen
            if self.by_softmax and num_classes is None:
                raise DataError(f"Without labels only FV-VAE minus can be trained, not {representation_title(recipe)}.")
            self.encoder = build_encoder(recipe, below, None, self.shape)

    def start_from(self, initial: InitialRun) -> None:
        """Takes encoder, decoder and variances of an `InitialRun`.

        Raises:
            WeightsError: for representations without them.
        """
        if self.fvvae is None:
            raise WeightsError(f"{representation_title(self.recipe)} cannot start from another run; only FV-VAE can.")
        initial.copy_fvvae(self.fvvae.fvvae)

    def take_over(self, donor: InitialRun) -> None:
        """Takes the trained FV-VAE of an `InitialRun`; `run` then trains nothing.

        Raises:
            WeightsError: for representations without one, and if it is of another architecture.
        """
        if self.fvvae is None:
            raise WeightsError(f"{representation_title(self.recipe)} cannot be taken over; only FV-VAE can.")
        donor.copy_whole_fvvae(self.fvvae.fvvae)
        self.donor = donor

    def run(
        self,
        inputs: PixelInputs | ActivationInputs,
        indices: Positions,
        run: RunFolder,
        verbose: int = 1,
        workers: Processes | None = None,
    ) -> History:
        """Trains on items of the inputs; returns the history of losses, empty where nothing is learnt by steps.

        Args:
            inputs: `PixelInputs` or `ActivationInputs`.
            indices: positions of the training items.
            run: a `RunFolder`, for checkpoints.
            verbose: 1 for progress bars.
            workers: `Workers` of `keras_fvvae.training.processes.workers`; a codebook is fitted by each for itself.
        """
        if self.fvvae is not None:
            if self.donor:
                history = self.donor.history
            else:
                model, batches = trained_on(inputs, self.fvvae, self.recipe)
                history = fit(model, batches, indices, self.recipe, run, verbose=verbose, workers=workers)
            below = self.fvvae.backbone
            self.encoder = build_encoder(self.recipe, below, self.fvvae, None if below else self.shape)
            adapt_head(self.encoder, inputs, indices, verbose)
            return history
        adapt_head(self.encoder, inputs, indices, verbose)
        if not self.by_softmax:
            return {}
        history = self._softmax_stages(inputs, indices, run, verbose, workers)
        if self.encoder.backbone is not None and not self.encoder.head.trainable_weights:
            adapt_head(self.encoder, inputs, indices, verbose)  # to what the backbone gives now
        return history

    def whole_encoder(self) -> FisherEncoder:
        """The encoder from pixels on, with the layers of `encoder`."""
        encoder = self.encoder
        if encoder.backbone is not None:
            return encoder
        whole = FisherEncoder(
            encoder.descriptors, encoder.head, encoder.normalization, self.backbone, encoder.compression
        )
        whole.build((None, *self.backbone.input.shape[1:]))
        return whole

    def _softmax_stages(self, inputs, indices, run, verbose, workers):
        recipe, history = self.recipe, {}
        model = build_softmax(recipe, self.encoder, self.num_classes, self.shape)
        for number, stage in enumerate(recipe.softmax_stages, start=1):
            if number > 1:
                compile_stage(model, recipe, stage)
            schedule = recipe.replace(steps=stage.steps, learning_rate=stage.learning_rate, stages=[])
            name = "checkpoints" if number == 1 else f"checkpoints-{number}"
            losses = fit(
                model,
                inputs,
                indices,
                schedule,
                run,
                verbose=verbose,
                checkpoints=name,
                title=f"Softmax, stage {number}",
                workers=workers,
            )
            for key, values in losses.items():
                history.setdefault(key, []).extend(values)
        return history
