"""Keras layers of FV-VAE."""

from keras_fvvae.layers.backbone_preprocessing import BackbonePreprocessing
from keras_fvvae.layers.descriptor_normalization import DescriptorNormalization
from keras_fvvae.layers.descriptor_sampling import DescriptorSampling
from keras_fvvae.layers.fisher_normalization import FisherNormalization
from keras_fvvae.layers.fisher_vector_head import FisherVectorHead
from keras_fvvae.layers.fvvae_layer import FVVAELayer
from keras_fvvae.layers.spatial_pyramid_pooling import SpatialPyramidPooling

__all__ = [
    "BackbonePreprocessing",
    "DescriptorNormalization",
    "DescriptorSampling",
    "FVVAELayer",
    "FisherNormalization",
    "FisherVectorHead",
    "SpatialPyramidPooling",
]
