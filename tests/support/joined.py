"""A small classifier of branches at two taps with maps of unequal shapes, adapted, with an SVM of random weights."""

import keras
import numpy as np

from keras_fvvae import layers
from keras_fvvae.models import Classifier, FisherEncoder, JoinedEncoder

SIZE = (9, 8)


def small_images(*leading, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (*leading, *SIZE, 3)).astype("float32")


def small_backbone():
    """A model from images to maps 4x4x4, 2x3x5 and 2x3x5 again."""
    images = keras.Input((*SIZE, 3))
    early = keras.layers.Conv2D(4, 2, strides=2)(images)
    late = keras.layers.Conv2D(5, (3, 2))(early)
    return keras.Model(images, [early, late, late], name="small")


def small_branches():
    """FV-VAE over a pyramid, bilinear pooling and AVE, for the maps of `small_backbone`; the first needs `adapt`."""
    fvvae = layers.FVVAELayer(latent_dim=3, seed=1)
    return [
        FisherEncoder(
            layers.SpatialPyramidPooling((3, 1)), layers.FisherVectorHead(fvvae), layers.FisherNormalization()
        ),
        FisherEncoder(keras.layers.Reshape((-1, 5)), layers.BilinearPooling(), layers.SpectralNormalization(5)),
        FisherEncoder(keras.layers.Reshape((-1, 5)), layers.AveragePooling(), layers.VectorNormalization()),
    ]


def joined_classifier(branch_weights=(1, 3, 2)):
    """The `Classifier` of a `JoinedEncoder`."""
    keras.utils.set_random_seed(2)
    backbone, branches = small_backbone(), small_branches()
    branches[0].adapt(np.array(backbone(small_images(20, seed=7))[0]))
    classifier = Classifier(JoinedEncoder(branches, backbone, branch_weights), ["a", "b", "c"])
    classifier.build((None, *SIZE, 3))
    generator = np.random.default_rng(3)
    classifier.svm.set_weights([generator.normal(size=w.shape) for w in classifier.svm.get_weights()])
    return classifier
