"""Trains the same FV-VAE on one and on two logical CPUs; run by a test in a process of its own.

Logical devices must be set before TensorFlow starts. Dropout is off and the noise of the sampling is made negligible:
the two trainings differ in the devices alone. Prints JSON: evaluations and weights by case and number of devices.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.layers import FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import FVVAE
from keras_fvvae.optimizers import RELEASE_MULTIPLIERS, SGD

# Global batches of six, three images a replica: 3 and 0, 1 and 3, 0 and 0 of them labelled.
LABELS = np.array([0, 2, 1, -1, -1, -1, -1, 1, -1, 0, 2, 1, -1, -1, -1, -1, -1, -1])
BATCH = 6


def _data(sample_weights):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(len(LABELS), 4, 5, 3)).astype("float32")
    weights = rng.random(len(LABELS)).astype("float32") + 0.5
    parts = (maps, LABELS, weights) if sample_weights else (maps, LABELS)
    return tf.data.Dataset.from_tensor_slices(parts).batch(BATCH)


def _train(strategy, sample_weights):
    with strategy.scope():
        # Weight decay of a backbone is a loss of the model, and counts once.
        regularizer = keras.regularizers.L2(0.1)
        backbone = keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Conv2D(3, 1, kernel_regularizer=regularizer)])
        fvvae = FVVAELayer(latent_dim=2, num_classes=3, dropout=0.0)
        model = FVVAE(SpatialPyramidPooling((2, 1)), fvvae, backbone, loss_weights=(1.0, 0.5, 20.0))
        model.build((None, 4, 5, 3))
        rng = np.random.default_rng(5)  # a seed with which every unit fires for some descriptors
        model.set_weights([rng.normal(scale=0.7, size=weight.shape) for weight in model.get_weights()])
        fvvae.z_log_variance.assign(np.full(2, -40.0))
        model.compile(SGD(0.01, learning_rate_multipliers=RELEASE_MULTIPLIERS), jit_compile=False)
    data = _data(sample_weights)
    maps = np.concatenate([batch[0] for batch in data])
    firing = np.mean(np.array(fvvae(model.compute_descriptors(maps))["reconstruction"]) > 0, axis=(0, 1)).tolist()
    before = model.evaluate(data, verbose=0, return_dict=True)
    history = model.fit(data, epochs=2, shuffle=False, verbose=0).history
    after = model.evaluate(data, verbose=0, return_dict=True)
    weights = [variable.numpy().tolist() for variable in model.trainable_variables]
    return {"firing": firing, "before": before, "history": history, "after": after, "weights": weights}


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # Two strategies of two devices in one process would share the keys of their collective operations.
    strategies = {1: tf.distribute.get_strategy(), 2: tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])}
    results = {
        name: {devices: _train(strategy, sample_weights) for devices, strategy in strategies.items()}
        for name, sample_weights in (("plain", False), ("weighted", True))
    }
    print(json.dumps(results))
