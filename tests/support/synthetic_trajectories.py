"""Small videos of which is known what moves: a textured square, the camera, both or nothing."""

import cv2
import numpy as np

HEIGHT, WIDTH, SIDE, FRAMES = 96, 128, 48, 18


def texture(height, width, seed=0):
    """Blurred noise, uint8 `(height, width)`."""
    noise = np.random.default_rng(seed).random((height, width)).astype("float32")
    return np.uint8(255 * cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 1, cv2.NORM_MINMAX))


def make_video(square=(0, 0), camera=(0, 0), count=FRAMES, size=(HEIGHT, WIDTH), seed=0):
    """A textured square in front of a textured background.

    Args:
        square: by how many pixels it moves per frame, to the right and down, from the middle of its way on; `None`
            for none.
        camera: by how many pixels the background moves per frame, and the square with it.
        count: number of frames.
        size: of the frames.
        seed: of the textures.

    Returns:
        uint8 array `(count, *size, 3)`.
    """
    height, width = size
    margin = (count - 1) * max(map(abs, camera))
    background = texture(height + 2 * margin, width + 2 * margin, seed)
    front = texture(SIDE, SIDE, seed + 1)
    frames = np.empty((count, height, width, 3), "uint8")
    for time in range(count):
        x, y = (margin - time * step for step in camera)
        frame = background[y : y + height, x : x + width].copy()
        if square is not None:
            x, y = (
                (side - SIDE) // 2 + round((time - (count - 1) / 2) * own) + time * step
                for side, own, step in zip((width, height), square, camera, strict=True)
            )
            frame[y : y + SIDE, x : x + SIDE] = front
        frames[time] = frame[..., np.newaxis]
    return frames
