"""From a video to its trajectories, frame by frame: memory does not grow with the video."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple

import numpy as np

from keras_fvvae.data.readers.flow import METHODS, optical_flow
from keras_fvvae.data.readers.video import read_video
from keras_fvvae.errors import DataError
from keras_fvvae.trajectories.camera import CameraMotion, align
from keras_fvvae.trajectories.descriptors import DESCRIPTORS, LENGTH, PATCH
from keras_fvvae.trajectories.sampling import scale_sizes
from keras_fvvae.trajectories.tracking import ScaleTracks
from keras_fvvae.utils.video_packages import cv2

# Side of the median filter of the flow, in pixels (Wang et al., IJCV 2013, Section 3.1).
MEDIAN = 3
DIMENSION = sum(DESCRIPTORS.values())


@dataclasses.dataclass(frozen=True)
class TrajectorySettings:
    """How trajectories are found.

    Args:
        method: of the optical flow, `"dis"` or `"farneback"` (the paper's).
        step: distance of the points where trajectories begin, in pixels. Default 5, the paper's.
        scales: spatial scales, at most; fewer where a side would be shorter than 32 pixels. Default 8, the paper's.
        longest_side: larger frames are reduced to it. Default 320, the size of UCF101: the volumes of 32 pixels were
            tuned on such videos, and time grows with the area.
        camera: whether to remove the camera's motion; `False` gives dense trajectories as of 2011.
        most: trajectories of a video that are kept, at most, drawn evenly; the Fisher vector is a mean over them.
            Default 10,000, or 8.5 MB on disk.
        seed: of the draw.

    Raises:
        ValueError: for values that cannot work.
    """

    method: str = "dis"
    step: int = 5
    scales: int = 8
    longest_side: int = 320
    camera: bool = True
    most: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"`method` must be one of {METHODS}. Received: method={self.method!r}")
        for name, least in (("step", 1), ("scales", 1), ("longest_side", PATCH), ("most", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` must be at least {least}. Received: {name}={getattr(self, name)}")


class Trajectories(NamedTuple):
    """Trajectories of a video.

    `descriptors` `(n, 426)` in float32 hold the parts that `DESCRIPTORS` names; `paths` `(n, 16, 2)` are places `x, y`
    in pixels of the video; `ends` `(n,)` are positions of the frames where they end; `total` is the number of
    trajectories found, of which `n` were drawn; `frames` those of the video; `damage` says what is wrong with a video
    that was used as far as it decodes, "" for a whole one.
    """

    descriptors: np.ndarray
    paths: np.ndarray
    ends: np.ndarray
    total: int
    frames: int
    damage: str


def extract_trajectories(
    source: str | os.PathLike | np.ndarray, settings: TrajectorySettings | None = None
) -> Trajectories:
    """Improved dense trajectories of a video.

    Points on a dense grid are tracked for 15 frames in median-filtered optical flow, at several scales. A homography
    between each two frames, found by RANSAC, gives the camera's motion; the flow is computed again to the next frame as
    it would look without it, and trajectories that do not move there are left out.

    Args:
        source: path of a video file or of a folder of frames, or a uint8 array `(frames, height, width, 3)`.
        settings: `TrajectorySettings`.

    Returns:
        `Trajectories`; of a video of less than 16 frames, or without motion of its own, none.

    Raises:
        DataError: if no frame can be decoded, or frames are smaller than 32x32 pixels.
        OSError: if it cannot be opened.

    Example:
        >>> noise = np.random.default_rng(0).random((80, 120)).astype("float32")
        >>> still = np.uint8(255 * cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 1, cv2.NORM_MINMAX))
        >>> video = np.repeat(still[np.newaxis, ..., np.newaxis], 3, axis=-1).repeat(18, axis=0)
        >>> extract_trajectories(video).descriptors.shape
        (0, 426)
        >>> for time, frame in enumerate(video):  # a square moves to the right
        ...     frame[20:60, 10 + 2 * time : 50 + 2 * time] = still[:40, :40, np.newaxis]
        >>> moving = extract_trajectories(video)
        >>> right, down = np.median(moving.paths[:, -1] - moving.paths[:, 0], axis=0)
        >>> bool(right > 15), bool(abs(down) < 1)
        (True, True)

    Reference:
        Wang and Schmid, "Action Recognition with Improved Trajectories", ICCV 2013, and their release; Wang et al.,
        "Dense Trajectories and Motion Boundary Descriptors for Action Recognition", IJCV 2013.
    """
    extraction = _Extraction(settings or TrajectorySettings())
    video = read_video(source, extraction.begin, extraction.add)
    descriptors, rest = np.split(extraction.drawn.rows(), [DIMENSION], axis=1)
    paths = rest[:, :-1].reshape(-1, LENGTH + 1, 2)
    ends = rest[:, -1].astype(int)
    return Trajectories(descriptors, paths, ends, extraction.drawn.total, video.total, video.damage)


class _Extraction:
    """Takes the frames of a video one after the other."""

    def __init__(self, settings):
        self.settings = settings

    def begin(self, total):
        """Begins anew; a second pass is made where a header lied. Returns the positions wanted: all."""
        self.count = 0
        self.camera = CameraMotion()
        self.drawn = _Draw(self.settings.most, self.settings.seed)
        return range(total)

    def add(self, pixels):
        gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
        if self.count == 0:
            self._prepare(gray.shape)
        # Also a video that changes its size on the way is brought to that of its first frame.
        scales = [_resized(gray, size) for size in self.sizes]
        if self.count:
            self._advance(scales)
        for tracks, image in zip(self.tracks, scales, strict=True):
            tracks.sample(image)
        self.previous = scales
        self.count += 1

    def _prepare(self, shape):
        height, width = (round(side * min(1, self.settings.longest_side / max(shape))) for side in shape)
        self.sizes = scale_sizes(height, width, self.settings.scales, PATCH)
        if not self.sizes:
            raise DataError(f"frames of {shape[1]}x{shape[0]} pixels are too small for trajectories")
        self.factors = np.float32([shape[1] / width, shape[0] / height])
        self.tracks = [ScaleTracks((width / w, height / h), self.settings.step) for h, w in self.sizes]

    def _advance(self, scales):
        flows = [self._flow(*pair) for pair in zip(self.previous, scales, strict=True)]
        own_flows = self._own_flows(scales[0], flows) if self.settings.camera else flows
        for tracks, *frame in zip(self.tracks, self.previous, flows, own_flows, strict=True):
            descriptors, paths = tracks.advance(*frame)
            ends = np.full((len(paths), 1), self.count)
            paths = (paths * self.factors).reshape(len(paths), 2 * (LENGTH + 1))
            self.drawn.add(np.concatenate([descriptors, paths, ends], axis=1))

    def _own_flows(self, following, flows):
        """The flows of all scales without the camera's motion."""
        homography = self.camera.homography(self.previous[0], following, flows[0])
        if homography is None:
            return flows
        aligned = align(following, self.previous[0], homography)
        return [self._flow(image, _resized(aligned, image.shape)) for image in self.previous]

    def _flow(self, previous, following):
        flow = optical_flow(previous, following, self.settings.method)
        return np.stack([cv2.medianBlur(np.ascontiguousarray(part), MEDIAN) for part in np.moveaxis(flow, -1, 0)], -1)


class _Draw:
    """At most so many rows of those that are added, each with the same chance, in the order they came."""

    def __init__(self, most, seed):
        self.most = most
        self.random = np.random.default_rng(seed)
        self.kept = [(np.zeros(0), np.zeros((0, DIMENSION + 2 * (LENGTH + 1) + 1), "float32"))]
        self.total = self.waiting = 0

    def add(self, rows):
        if len(rows) == 0:
            return
        self.kept.append((self.random.random(len(rows)), rows.astype("float32")))
        self.total += len(rows)
        self.waiting += len(rows)
        # Only now and then: sorting out copies all that is kept.
        if self.waiting > self.most:
            self._sort_out()

    def rows(self):
        self._sort_out()
        return self.kept[0][1]

    def _sort_out(self):
        keys, rows = (np.concatenate(parts) for parts in zip(*self.kept, strict=True))
        if len(keys) > self.most:
            best = np.sort(np.argpartition(keys, self.most)[: self.most])
            keys, rows = keys[best], rows[best]
        self.kept, self.waiting = [(keys, rows)], 0


def _resized(gray, size):
    return gray if gray.shape == tuple(size) else cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA)
