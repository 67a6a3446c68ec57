"""Files as the inputs of a signature: the bytes of an image, or frames of a video."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.serving.errors import ServingError
from keras_fvvae.serving.sampling import Sampling
from keras_fvvae.utils.files import reason
from keras_fvvae.utils.labels import UNLABELLED
from keras_fvvae.utils.video_packages import cv2

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
    path: str | Path,
    count: int = NUM_FRAMES,
    lossless: bool = False,
    step: int | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> list[bytes]:
    """Frames of a video as encoded images, chosen as in training.

    Args:
        path: a video file, or a folder of numbered frames.
        count: frames, uniformly spaced; a shorter video gives all of its own.
        lossless: PNG instead of JPEG.
        step: every so many-th frame instead of `count`.
        watch: see `keras_fvvae.data.readers.video.read_video`.

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
        video = read_video(path, wanted, lambda frame: _encoded(frame, lossless), watch=watch)
    except OSError as error:
        raise DataError(f"{path}: {reason(error)}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return list(video.frames.values())


def read_flow(path: str | Path, sampling: Sampling, watch: Callable[[int, int], None] | None = None) -> list[bytes]:
    """Optical flow of a video as PNG of x, y and magnitude, computed as in training.

    Args:
        path: a video file, a folder of numbered frames, or of flow computed beforehand (`flow_x_00001.jpg`, ...).
        sampling: of the input of flow frames, as the export tells it.
        watch: see `keras_fvvae.data.readers.video.read_video`.

    Returns:
        List of bytes.

    Raises:
        DataError: if it is no video of two frames at least, or none can be decoded, with the path.
        ServingError: FAILED_PRECONDITION for an export that does not tell how flow is computed.
    """
    from keras_fvvae.data.collection import Collection
    from keras_fvvae.data.readers.flow import FlowSettings
    from keras_fvvae.data.views import Views, read_resized

    if sampling.resize_to is None or sampling.modality != "flow":
        raise ServingError(
            "FAILED_PRECONDITION", "The export does not tell how its optical flow is computed: export the model again."
        )
    try:
        views = Views(
            sampling.resize_to,
            resize=sampling.resize,
            modality=sampling.modality,
            frames=sampling.frames,
            frame_step=sampling.frame_step,
            flow=FlowSettings(sampling.flow_method, sampling.flow_bound),
        )
    except ValueError as error:
        raise ServingError("FAILED_PRECONDITION", f"The export tells another kind of optical flow: {error}") from error
    video = Collection([path], [str(path)], [UNLABELLED], ["train"], [], kind="video")
    try:
        (images,) = read_resized(video, 0, [views], watch=watch)
    except (OSError, DataError) as error:
        raise DataError(f"{path}: {reason(error) if isinstance(error, OSError) else error}") from error
    return [_encoded(image, lossless=True) for image in images]


def read_video_inputs(
    path: str | Path,
    names: Iterable[str],
    samplings: dict[str, Sampling],
    watch: Callable[[int, int], None] | None = None,
) -> dict[str, list[bytes]]:
    """What the inputs of a signature take of a video.

    Args:
        path: as in `read_frames`, and for flow alone as in `read_flow`.
        names: of the signature's inputs; `"frames"`, `"flow_frames"`, or both are looked for.
        samplings: how the export tells that frames are chosen, by input. Without it frames are as the paper's.
        watch: see `keras_fvvae.data.readers.video.read_video`.

    Returns:
        Dictionary from input to a list of encoded images; `frames_batch` makes inputs of these.

    Raises:
        DataError, ServingError: as `read_frames` and `read_flow`.
    """
    inputs = {}
    if "frames" in names:
        sampling = samplings.get("frames", Sampling(NUM_FRAMES))
        inputs["frames"] = read_frames(path, sampling.frames, step=sampling.frame_step, watch=watch)
    if "flow_frames" in names:
        inputs["flow_frames"] = read_flow(path, samplings.get("flow_frames", Sampling(NUM_FRAMES)), watch)
    return inputs


def frames_batch(videos: Sequence[Sequence[bytes]], name: str = "frames") -> dict[str, np.ndarray]:
    """Videos of different lengths as two inputs of a video model.

    Args:
        videos: list of lists of bytes.
        name: `"frames"` or `"flow_frames"`.

    Returns:
        Dictionary of `name`, an object array `(videos, longest)` padded with no bytes, and `"num_" + name`, int32.

    Example:
        >>> frames_batch([[b"a", b"b"], [b"c"]])["frames"].tolist()
        [[b'a', b'b'], [b'c', b'']]
    """
    frames = np.full((len(videos), max(map(len, videos))), b"", object)
    for row, video in zip(frames, videos, strict=True):
        row[: len(video)] = video
    return {name: frames, f"num_{name}": np.array([len(video) for video in videos], np.int32)}


def _encoded(frame, lossless):
    options = (".png", []) if lossless else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    _, content = cv2.imencode(options[0], frame[:, :, ::-1], options[1])
    return content.tobytes()
