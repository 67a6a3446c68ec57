"""Keras layers of FV-VAE, and of the representations it is compared with."""

from keras_fvvae.layers.action_vlad import ActionVLAD
from keras_fvvae.layers.average_pooling import AveragePooling
from keras_fvvae.layers.backbone_preprocessing import BackbonePreprocessing
from keras_fvvae.layers.bilinear_pooling import BilinearPooling
from keras_fvvae.layers.concatenation import Concatenation
from keras_fvvae.layers.cross_layer_pooling import CrossLayerPooling
from keras_fvvae.layers.descriptor_normalization import DescriptorNormalization
from keras_fvvae.layers.descriptor_sampling import DescriptorSampling
from keras_fvvae.layers.fisher_maclaurin import FisherMaclaurin
from keras_fvvae.layers.fisher_normalization import FisherNormalization
from keras_fvvae.layers.fisher_vector_head import FisherVectorHead
from keras_fvvae.layers.fvvae_layer import FVVAELayer
from keras_fvvae.layers.global_activations import GlobalActivations
from keras_fvvae.layers.gmm_fisher_vector import GMMFisherVector
from keras_fvvae.layers.gram_pca import GramPCA
from keras_fvvae.layers.learnt_guidance_pooling import LearntGuidancePooling
from keras_fvvae.layers.net_vlad import NetVLAD
from keras_fvvae.layers.random_maclaurin import RandomMaclaurin
from keras_fvvae.layers.spatial_pyramid_pooling import SpatialPyramidPooling
from keras_fvvae.layers.spectral_normalization import SpectralNormalization
from keras_fvvae.layers.tensor_sketch import TensorSketch
from keras_fvvae.layers.vector_normalization import VectorNormalization
from keras_fvvae.layers.vlad import VLAD

__all__ = [
    "VLAD",
    "ActionVLAD",
    "AveragePooling",
    "BackbonePreprocessing",
    "BilinearPooling",
    "Concatenation",
    "CrossLayerPooling",
    "DescriptorNormalization",
    "DescriptorSampling",
    "FVVAELayer",
    "FisherMaclaurin",
    "FisherNormalization",
    "FisherVectorHead",
    "GMMFisherVector",
    "GlobalActivations",
    "GramPCA",
    "LearntGuidancePooling",
    "NetVLAD",
    "RandomMaclaurin",
    "SpatialPyramidPooling",
    "SpectralNormalization",
    "TensorSketch",
    "VectorNormalization",
]
