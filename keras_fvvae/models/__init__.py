"""Keras models: the trainable FV-VAE, the encoder of images and videos, and the classifiers on top."""

from keras_fvvae.models.classifier import Classifier
from keras_fvvae.models.encoder import Encoder
from keras_fvvae.models.fisher_encoder import FisherEncoder
from keras_fvvae.models.fvvae import FVVAE
from keras_fvvae.models.joined_encoder import JoinedEncoder
from keras_fvvae.models.softmax_classifier import SoftmaxClassifier

__all__ = ["FVVAE", "Classifier", "Encoder", "FisherEncoder", "JoinedEncoder", "SoftmaxClassifier"]
