"""Writes `adapted_layers.keras` and `.npz`: layers in one model as version 0.1 saved it, and what they gave.

Run it in a checkout of version 0.1 (`git checkout ab9606b`): `python make_adapted_layers.py FOLDER`.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from keras_fvvae import layers


def main(folder):
    rng = np.random.default_rng(0)
    maps = rng.random((3, 6, 5, 4)).astype("float32")
    guidance = rng.random((3, 6, 5, 2)).astype("float32")
    inputs = [keras.Input((6, 5, 4)), keras.Input((6, 5, 2))]
    descriptors, flat = keras.layers.Reshape((30, 4))(inputs[0]), maps.reshape(3, 30, 4)
    made = {
        "vlad": layers.VLAD(3, "improved"),
        "gmm_fisher_vector": layers.GMMFisherVector(2),
        "net_vlad": layers.NetVLAD(3, normalize=False),
        "net_vlad_normalized": layers.NetVLAD(3, alpha=2.0),
        "bilinear_pooling": layers.BilinearPooling(normalize=True),
        "random_maclaurin": layers.RandomMaclaurin(dimension=7, normalize=True),
        "tensor_sketch": layers.TensorSketch(dimension=8),
        "fisher_vector_head": layers.FisherVectorHead(layers.FVVAELayer(latent_dim=2, num_classes=3)),
        "fisher_maclaurin": layers.FisherMaclaurin(
            layers.FVVAELayer(latent_dim=2), dimension=9, information="separable", normalize=True
        ),
        "learnt_guidance_pooling": layers.LearntGuidancePooling(2, normalize=False),
    }
    outputs = {}
    for name, layer in made.items():
        if hasattr(layer, "adapt"):
            layer.adapt(flat)
        outputs[name] = layer(descriptors)
    cross = layers.CrossLayerPooling(components=5)
    cross.adapt([[maps, guidance]])
    outputs["cross_layer_pooling"] = cross(inputs)
    sampled = layers.DescriptorSampling(count=4, seed=2)(descriptors)
    vectors = layers.Concatenation()(inputs[0])
    pca = layers.GramPCA(components=2, whiten=True, normalize=True)
    pca.adapt(maps.reshape(3, -1))
    outputs["gram_pca"] = pca(vectors)
    outputs["vector_normalization"] = layers.VectorNormalization(("blocks", "l2"), blocks=2)(
        layers.AveragePooling()(sampled)
    )
    normalization = layers.FisherNormalization()
    normalization.adapt(np.array(made["fisher_vector_head"](flat)))
    outputs["fisher_normalization"] = normalization(outputs["fisher_vector_head"])
    model = keras.Model(inputs, outputs)
    model.save(Path(folder) / "adapted_layers.keras")
    results = {name: np.array(one) for name, one in model([maps, guidance]).items()}
    np.savez_compressed(Path(folder) / "adapted_layers.npz", maps=maps, guidance=guidance, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
