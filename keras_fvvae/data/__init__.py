"""Data sets of images as they lie on disk, and what ships with scikit-learn, as one kind of collection."""

from keras_fvvae.data.collection import Collection
from keras_fvvae.data.decoding import decode_image, resize_image
from keras_fvvae.data.digits import load_digits
from keras_fvvae.data.folder import load_image_folder
from keras_fvvae.data.pipeline import image_batches, unreadable_images

__all__ = [
    "Collection",
    "decode_image",
    "image_batches",
    "load_digits",
    "load_image_folder",
    "resize_image",
    "unreadable_images",
]
