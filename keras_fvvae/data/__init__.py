"""Data sets of images and videos as they lie on disk, and what ships with scikit-learn, as one kind of collection."""

from keras_fvvae.data.collection import Collection
from keras_fvvae.data.crops import center_crop, random_view, ten_crops
from keras_fvvae.data.decoding import decode_image, resize_image
from keras_fvvae.data.digits import load_digits
from keras_fvvae.data.flow import FlowSettings, optical_flow, quantize_flow
from keras_fvvae.data.pipeline import training_batches, unreadable_items, view_batches
from keras_fvvae.data.video import read_video, uniform_positions
from keras_fvvae.data.views import Views

__all__ = [
    "Collection",
    "FlowSettings",
    "Views",
    "center_crop",
    "decode_image",
    "load_digits",
    "optical_flow",
    "quantize_flow",
    "random_view",
    "read_video",
    "resize_image",
    "ten_crops",
    "training_batches",
    "uniform_positions",
    "unreadable_items",
    "view_batches",
]
