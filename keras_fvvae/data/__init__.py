"""Data sets of images and videos as they lie on disk, and what ships with packages, as one kind of collection."""

from keras_fvvae.data.catalogue import load_dataset
from keras_fvvae.data.collection import Collection
from keras_fvvae.data.crops import center_crop, random_view, ten_crops
from keras_fvvae.data.datasets.activitynet import load_activitynet
from keras_fvvae.data.datasets.cub import load_cub
from keras_fvvae.data.datasets.digits import load_digits
from keras_fvvae.data.datasets.folder import load_folder
from keras_fvvae.data.datasets.listing import load_list
from keras_fvvae.data.datasets.moving_digits import load_moving_digits, write_moving_digits
from keras_fvvae.data.datasets.textiles import load_textiles
from keras_fvvae.data.datasets.tfds import load_tfds
from keras_fvvae.data.datasets.ucf101 import load_ucf101
from keras_fvvae.data.pipeline import training_batches, unreadable_items, view_batches
from keras_fvvae.data.readers.flow import FlowSettings, optical_flow, quantize_flow
from keras_fvvae.data.readers.image import decode_image, resize_image
from keras_fvvae.data.readers.video import read_video, uniform_positions
from keras_fvvae.data.textile_defects import paste_defect
from keras_fvvae.data.views import Views

__all__ = [
    "Collection",
    "FlowSettings",
    "Views",
    "center_crop",
    "decode_image",
    "load_activitynet",
    "load_cub",
    "load_dataset",
    "load_digits",
    "load_folder",
    "load_list",
    "load_moving_digits",
    "load_textiles",
    "load_tfds",
    "load_ucf101",
    "optical_flow",
    "paste_defect",
    "quantize_flow",
    "random_view",
    "read_video",
    "resize_image",
    "ten_crops",
    "training_batches",
    "uniform_positions",
    "unreadable_items",
    "view_batches",
    "write_moving_digits",
]
