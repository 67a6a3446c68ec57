"""What a recipe's representation learns, whatever it is: the loss of Eq. 8, a codebook, a softmax, or nothing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.representations import (
    FVVAE_TRAINING,
    REPRESENTATIONS,
    SOFTMAX_TRAINING,
    representation_title,
)
from keras_fvvae.builders.trainable import build_fvvae, build_softmax, compile_stage
from keras_fvvae.data.collection import Positions
from keras_fvvae.errors import DataError, RecipeError, WeightsError
from keras_fvvae.models import FVVAE, FisherEncoder
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs import files
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.initial import InitialRun
from keras_fvvae.training.checkpoints import History
from keras_fvvae.training.fit import CHECKPOINT_SECONDS, fit
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.inputs.sampled import trained_on
from keras_fvvae.training.processes.interface import Processes
from keras_fvvae.training.processes.one_process import OneProcess
from keras_fvvae.training.selection.best_step import Selection, scored_items, scored_steps
from keras_fvvae.training.selection.validation_part import ValidationPart
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
        selection: the `Selection` that kept the best step, once `run` was called with a validation part.

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
        self.by_softmax = False
        self.donor: InitialRun | None = None
        self.selection: Selection | None = None
        self._initial: InitialRun | None = None
        kind = REPRESENTATIONS[recipe.representation].training
        below = None if frozen else backbone
        if kind == FVVAE_TRAINING:
            if recipe.lambda3 and num_classes is None:
                raise DataError("Without labels only FV-VAE minus can be trained: set `lambda3=0`.")
            if recipe.refit and not (frozen and recipe.validation):
                raise RecipeError("`refit` needs a frozen backbone and a part that chooses, such as `validation=0.2`.")
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
        self._initial = initial

    def take_over(self, donor: InitialRun) -> None:
        """Takes the trained FV-VAE of an `InitialRun`; `run` then trains nothing.

        Raises:
            WeightsError: for representations without one, and if it is of another architecture.
        """
        if self.fvvae is None:
            raise WeightsError(f"{representation_title(self.recipe)} cannot be taken over; only FV-VAE can.")
        donor.copy_whole_fvvae(self.fvvae.fvvae)
        self.donor = donor

    @property
    def learns_by_steps(self) -> bool:
        """Whether `run` trains anything step by step, so that a validation part can choose one."""
        return self.donor is None and (self.fvvae is not None or self.by_softmax)

    def run(
        self,
        inputs: PixelInputs | ActivationInputs,
        indices: Positions,
        run: RunFolder,
        *,
        verbose: int = 1,
        workers: Processes | None = None,
        held_out: Positions = (),
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> History:
        """Trains on items of the inputs; returns the history of losses, empty where nothing is learnt by steps.

        Args:
            inputs: `PixelInputs` or `ActivationInputs`.
            indices: positions of the training items.
            run: a `RunFolder`, for checkpoints.
            verbose: 1 for progress bars.
            workers: `Workers` of `keras_fvvae.training.processes.workers`; a codebook is fitted by each for itself.
            held_out: positions, among the training items, of the validation part: nothing is learnt by steps from it,
                and the step is kept whose vectors classify it best. Empty (default): the last step is.
            checkpoint_seconds: as for `keras_fvvae.training.fit.fit`.
        """
        learnt = np.setdiff1d(indices, held_out)
        fit_options: dict[str, Any] = {"verbose": verbose, "workers": workers, "checkpoint_seconds": checkpoint_seconds}
        if self.fvvae is not None:
            if self.donor:
                history = self.donor.history
            else:
                model, batches = trained_on(inputs, self.fvvae, self.recipe)
                if len(held_out):
                    self.selection = self._selection(self._encoder_of_fvvae(), inputs, learnt, held_out, self.recipe)
                history = fit(model, batches, learnt, self.recipe, run, selection=self.selection, **fit_options)
                if self.recipe.refit and self.selection is not None:
                    history = self._refit(inputs, indices, run, fit_options)
            self.encoder = self._encoder_of_fvvae()
            adapt_head(self.encoder, inputs, indices, verbose)
            return history
        adapt_head(self.encoder, inputs, indices, verbose)
        if not self.by_softmax:
            return {}
        history = self._softmax_stages(inputs, learnt, held_out, run, fit_options)
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

    def _refit(self, inputs, indices, run, fit_options):
        """Trains the FV-VAE anew, on the validation part too, for the steps that were kept; its history."""
        workers = fit_options["workers"] or OneProcess()
        best = self.selection.best_step if workers.is_chief else 0  # who scores
        steps = int(workers.share(np.array([best], "int64")).item())
        keras.utils.set_random_seed(self.recipe.seed)  # the same beginning when a training that was killed goes on
        self.fvvae = build_fvvae(self.recipe, None, self.num_classes, self.shape)
        if self._initial is not None:
            self.start_from(self._initial)
        model, batches = trained_on(inputs, self.fvvae, self.recipe)
        return fit(
            model,
            batches,
            indices,
            self.recipe.replace(steps=steps),
            run,
            checkpoints=f"{files.CHECKPOINTS}-all",
            title="On all items",
            **fit_options,
        )

    def _encoder_of_fvvae(self):
        below = self.fvvae.backbone
        return build_encoder(self.recipe, below, self.fvvae, None if below else self.shape)

    def _selection(self, encoder, inputs, learnt, held_out, schedule):
        recipe = self.recipe
        due = scored_steps(schedule.steps, recipe.validate_every)
        items = scored_items(schedule.steps, recipe.batch_size, len(due))
        part = ValidationPart(encoder, inputs, learnt, held_out, recipe.svm_c, max_items=items)
        return Selection(part, due=due, patience=recipe.patience)

    def _softmax_stages(self, inputs, indices, held_out, run, fit_options):
        recipe, history = self.recipe, {}
        model = build_softmax(recipe, self.encoder, self.num_classes, self.shape)
        for number, stage in enumerate(recipe.softmax_stages, start=1):
            if number > 1:
                compile_stage(model, recipe, stage)
            schedule = recipe.replace(steps=stage.steps, learning_rate=stage.learning_rate, stages=[])
            name = "checkpoints" if number == 1 else f"checkpoints-{number}"
            # A classifier that is trained alone leaves the vectors as they are.
            if len(held_out) and stage.train == "all":
                self.selection = self._selection(self.encoder, inputs, indices, held_out, schedule)
            losses = fit(
                model,
                inputs,
                indices,
                schedule,
                run,
                checkpoints=name,
                title=f"Softmax, stage {number}",
                selection=self.selection if stage.train == "all" else None,
                **fit_options,
            )
            for key, values in losses.items():
                history.setdefault(key, []).extend(values)
        return history
