"""The camera's motion between two frames: a homography that most of the frame follows."""

from __future__ import annotations

import numpy as np

from keras_fvvae.utils.video_packages import cv2

# ORB features of a frame, at most: about what SURF finds on 320x240.
FEATURES = 1000
# Corners of a frame that are followed in the optical flow, at most; their quality and distance (authors' release).
CORNERS = 1000
CORNER_QUALITY = 0.001
CORNER_DISTANCE = 3
# Features are matched within this many pixels: between two frames nothing moves further.
REACH = 25.0
# RANSAC: a match that the homography puts this far off, in pixels, is an outlier.
TOLERANCE = 1.0
# Fewer matches, or fewer that agree, say nothing about the camera: it is taken to be still (authors' release).
LEAST_MATCHES = 50
LEAST_INLIERS = 25
# So close to the border, in pixels, frames cannot be aligned.
MARGIN = 5


class CameraMotion:
    """Estimates the camera's motion from frame to frame; it remembers the features of the frame before.

    Two kinds of matches complement each other: features matched by their appearance (ORB; the paper's SURF is not in
    OpenCV's wheels), and corners followed in the optical flow. RANSAC finds the homography that most of them obey. The
    paper also leaves out matches on people, found by a detector; that is not done here, so that a person who fills
    most of the frame can be taken for the camera's motion.

    Example:
        >>> noise = np.random.default_rng(0).random((96, 128)).astype("float32")
        >>> wide = np.uint8(255 * cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 1, cv2.NORM_MINMAX))
        >>> previous, following = wide[:, 2:], wide[:, :-2]  # everything moves to the right by 2
        >>> flow = np.full((96, 126, 2), (2, 0), "float32")
        >>> camera = CameraMotion()
        >>> camera.homography(previous, following, flow).round(1)[0, 2].item()
        2.0

    Reference:
        Wang and Schmid, ICCV 2013, Section 3.1; Rublee et al., "ORB: an efficient alternative to SIFT or SURF", 2011.
    """

    def __init__(self) -> None:
        self._detector = cv2.ORB_create(FEATURES)
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING)
        self._previous = None

    def homography(self, previous: np.ndarray, following: np.ndarray, flow: np.ndarray) -> np.ndarray | None:
        """The homography from one frame to the next.

        Args:
            previous: uint8 array `(height, width)`; that of the last call's `following`, if there was one.
            following: the next frame.
            flow: float32 array `(height, width, 2)`, the optical flow from one to the other in pixels.

        Returns:
            float64 array `(3, 3)` that maps `(x, y, 1)`; `None` where too little agrees.
        """
        before = self._previous or self._features(previous)
        self._previous = self._features(following)
        pairs = np.concatenate([self._match(before, self._previous), _follow_corners(previous, flow)])
        if len(pairs) < LEAST_MATCHES:
            return None
        found, inliers = cv2.findHomography(pairs[:, 0], pairs[:, 1], cv2.RANSAC, TOLERANCE)
        if found is None or not np.isfinite(found).all() or inliers.sum() < LEAST_INLIERS:
            return None
        return found

    def _features(self, gray):
        keypoints, descriptors = self._detector.detectAndCompute(gray, None)
        places = np.array([keypoint.pt for keypoint in keypoints], "float32")
        return places.reshape(-1, 2), descriptors

    def _match(self, before, after):
        """Pairs of places `(n, 2, 2)`."""
        (old, old_descriptors), (new, new_descriptors) = before, after
        if not len(old) or not len(new):
            return np.zeros((0, 2, 2), "float32")
        near_x, near_y = (np.abs(old[:, np.newaxis, axis] - new[:, axis]) <= REACH for axis in (0, 1))
        matches = self._matcher.match(old_descriptors, new_descriptors, (near_x & near_y).astype("uint8"))
        chosen = np.array([(match.queryIdx, match.trainIdx) for match in matches], int).reshape(-1, 2)
        return np.stack([old[chosen[:, 0]], new[chosen[:, 1]]], axis=1)


def _follow_corners(previous, flow):
    corners = cv2.goodFeaturesToTrack(previous, CORNERS, CORNER_QUALITY, CORNER_DISTANCE)
    if corners is None:
        return np.zeros((0, 2, 2), "float32")
    corners = corners.reshape(-1, 2)
    x, y = np.rint(corners).astype(int).T
    return np.stack([corners, corners + flow[y, x]], axis=1)


def align(following: np.ndarray, previous: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """The next frame as the camera would have seen it from where it was.

    What lies outside of the next frame is taken from the previous one: nothing moves there.

    Args:
        following: uint8 array `(height, width)`.
        previous: the frame before.
        homography: `(3, 3)`, from the previous to the next.

    Returns:
        uint8 array `(height, width)`.
    """
    size = following.shape[::-1]
    aligned = cv2.warpPerspective(following, homography, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    inner = np.zeros(following.shape, "uint8")
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
    inner = cv2.warpPerspective(inner, homography, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    return np.where(inner, aligned, previous)
