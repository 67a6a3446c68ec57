"""Files as the inputs of a signature: the bytes of an image, or frames of a video."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason

# As the paper samples videos (Section 5.2).
NUM_FRAMES = 25
# Close to lossless in its effect on scores at a quarter of PNG's size.
JPEG_QUALITY = 95


def read_image(path: str | Path) -> bytes:
    """The bytes of an image file; of BMP and WebP, not all of which TensorFlow reads, as `plain_image` gives them.

    Raises:
        DataError: if it cannot be read or is empty, with the path.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {reason(error)}") from error
    if not content:
        raise DataError(f"{path}: the file is empty")
    if not content.startswith((b"BM", b"RIFF")):
        return content
    # TensorFlow comes with it, and is not needed for the others.
    from keras_fvvae.data.readers.plain_image import plain_image

    try:
        return plain_image(content)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def read_frames(
    path: str | Path, count: int = NUM_FRAMES, lossless: bool = False, step: int | None = None
) -> list[bytes]:
    """Frames of a video as encoded images, chosen as in training.

    Args:
        path: a video file, or a folder of numbered frames.
        count: frames, uniformly spaced; a shorter video gives all of its own.
        lossless: PNG instead of JPEG.
        step: every so many-th frame instead of `count`.

    Returns:
        List of bytes.

    Raises:
        DataError: if it is no video, none of its frames can be decoded or too many are asked for, with the path.
    """
    # TensorFlow comes with it, and is not needed where only images are sent.
    from keras_fvvae.data.readers.video import read_video
    from keras_fvvae.data.views import Views, check_count

    views = Views((1, 1), frames=count, frame_step=step)

    def wanted(total):
        positions = views.positions(total)
        check_count(views, positions, total)
        return positions

    try:
        video = read_video(path, wanted, lambda frame: _encoded(frame, lossless))
    except OSError as error:
        raise DataError(f"{path}: {reason(error)}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return list(video.frames.values())


def frames_batch(videos: Sequence[Sequence[bytes]]) -> dict[str, np.ndarray]:
    """Videos of different lengths as the two inputs of a video model.

    Args:
        videos: list of lists of bytes.

    Returns:
        Dictionary of `frames`, an object array `(videos, longest)` padded with no bytes, and `num_frames`, int32.

    Example:
        >>> frames_batch([[b"a", b"b"], [b"c"]])["frames"].tolist()
        [[b'a', b'b'], [b'c', b'']]
    """
    frames = np.full((len(videos), max(map(len, videos))), b"", object)
    for row, video in zip(frames, videos, strict=True):
        row[: len(video)] = video
    return {"frames": frames, "num_frames": np.array([len(video) for video in videos], np.int32)}


def _encoded(frame, lossless):
    import cv2

    options = (".png", []) if lossless else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    _, content = cv2.imencode(options[0], frame[:, :, ::-1], options[1])
    return content.tobytes()
