"""Improved dense trajectories: points tracked through a video, without the camera's motion, and what surrounds them."""

from keras_fvvae.trajectories.descriptors import DESCRIPTORS
from keras_fvvae.trajectories.extraction import Trajectories, TrajectorySettings, extract_trajectories

__all__ = ["DESCRIPTORS", "Trajectories", "TrajectorySettings", "extract_trajectories"]
