"""A small FV-VAE model with known weights, its images, and its objective in NumPy."""

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.layers import FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import FVVAE
from keras_fvvae.optimizers import SGD
from tests.support.numpy_reference import NumpyFVVAE, pyramid_pooling, randomize

TERMS = ("reconstruction", "regularization", "classification")
LEVELS = (2, 1)
CLASSES = 3
# exp(-60): the noise of the sampling falls below the last bit of z.
NO_NOISE = -60.0
LABELS = np.array([0, 2, -1, 1, -1, 2])


def draw_maps(count=6, seed=0):
    return np.random.default_rng(seed).normal(scale=2.0, size=(count, 4, 5, 3)).astype("float32")


def build_model(loss_weights=(2.0, 0.5, 7.0), backbone=None, loss_reduction="sum", **arguments):
    """A built model with random weights whose training draws nothing."""
    arguments = {"latent_dim": 2, "num_classes": CLASSES, "dropout": 0.0, **arguments}
    model = FVVAE(SpatialPyramidPooling(LEVELS), FVVAELayer(**arguments), backbone, loss_weights, loss_reduction)
    model.build((None, 4, 5, 3))
    # A seed with which every unit fires for some descriptors and not for others.
    randomize(model.fvvae, seed=83).z_log_variance.assign(np.full(model.fvvae.latent_dim, NO_NOISE))
    return model


def compile_model(model, optimizer=None, **arguments):
    """Compiled to run operation by operation: a few small steps take a tenth of the time of tracing one.

    `run_eagerly=False` where a graph is what is tested, or where steps are many.
    """
    model.compile(optimizer or SGD(0.01), **{"jit_compile": False, "run_eagerly": True, **arguments})
    return model


def terms_in_numpy(model, maps, labels, weights=None):
    """The three terms of Eq. 8: means over images, and of the last one over labelled images."""
    reference = NumpyFVVAE(model.fvvae)
    weights = np.ones(len(maps)) if weights is None else weights
    values = {name: [] for name in TERMS}
    for image, label in zip(pyramid_pooling(maps, LEVELS, np.max), labels, strict=True):
        latents = [reference.encode(x) for x in image]
        pairs = zip(image, latents, strict=True)
        values["reconstruction"].append(np.mean([reference.reconstruction_loss(x, z) for x, z in pairs]))
        values["regularization"].append(np.mean([reference.regularization_loss(z) for z in latents]))
        values["classification"].append(reference.classification_loss(latents, label) if label >= 0 else 0.0)
    averaged = [weights, weights, weights * (labels >= 0)]
    return {name: np.average(values[name], weights=w) for name, w in zip(TERMS, averaged, strict=True)}


def loss_and_gradients(model, maps, labels=None, weights=None):
    with tf.GradientTape() as tape:
        loss = model.compute_loss(maps, labels, model(maps), weights, training=True)
    gradients = {}
    variables = model.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        gradients[variable_name(variable)] = np.zeros(variable.shape) if gradient is None else np.array(gradient)
    return float(loss), gradients


def variable_name(variable):
    """Path of a variable without the names of the model and of its layer, which are numbered."""
    return "/".join(variable.path.split("/")[2:])


def tiny_backbone():
    """Convolution, batch normalisation and dropout, twice, as `build_backbone` wraps them."""
    inputs = x = keras.Input((4, 5, 3))
    for block in (1, 2):
        x = keras.layers.Conv2D(3, 1, name=f"conv{block}")(x)
        x = keras.layers.BatchNormalization(name=f"norm{block}")(x)
        x = keras.layers.Dropout(0.5, seed=block, name=f"drop{block}")(x)
    images = keras.Input((4, 5, 3))
    return keras.Model(images, keras.Model(inputs, x, name="trunk")(images))
