"""What is taken for an image, a video file, or a folder of frames: by name, and where that does not tell by content."""

import os
import re
from pathlib import Path

from keras_fvvae.data.readers.regular_file import require_regular
from keras_fvvae.errors import DataError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
VIDEO_EXTENSIONS = (
    ".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv",
    ".mts", ".m2ts", ".vob", ".asf", ".3g2", ".divx", ".f4v", ".mpe", ".qt", ".m2v", ".mxf", ".ogm", ".rm", ".rmvb",
    ".xvid", ".y4m", ".h264", ".hevc", ".mjpeg", ".mjpg", ".wtv", ".dv", ".m1v", ".m2t", ".mk3d", ".ivf", ".nut",
)  # fmt: skip
# A frame's name ends in its number: img_00001.jpg, frame-12.png, 000001.jpg. Flow frames are flow_x_00001.jpg and
# flow_y_00001.jpg.
_FRAME = re.compile(r"^(?P<stem>.*?)(?P<number>\d+)\.(?:jpg|jpeg|png|bmp|webp)$", re.IGNORECASE)
FLOW_STEMS = ("flow_x_", "flow_y_")

# How containers of videos begin. FFmpeg itself takes nearly anything for something, a text for a teletype's pictures.
_BEGINNINGS = re.compile(
    rb"....(?:ftyp(?!hei|hev|mif|msf|avif|avis)|moov|mdat|wide|pnot)"  # MP4, QuickTime; not HEIC and AVIF, images
    rb"|RIFF....AVI |\x1a\x45\xdf\xa3"  # AVI; Matroska and WebM
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01"  # ASF and WMV; Flash
    rb"|\x00\x00\x01[\xba\xb3]"  # MPEG's program streams, and its transport streams, in packets of 188 or 192 bytes
    rb"|\x47.{187}\x47.{187}\x47|.{4}\x47.{191}\x47.{191}\x47"
    rb"|OggS|\.RMF|\x06\x0e\x2b\x34\x02\x05\x01|YUV4MPEG2 |DKIF|nut/multimedia"  # Ogg, Real, MXF, Y4M, IVF, NUT
    rb"|\x00{2,3}\x01[\x09\x40\x67]",  # H.264 and HEVC without a container
    re.DOTALL,
)
_BEGINNING = 600


def is_image(name: str | os.PathLike) -> bool:
    """Whether a file name is that of an image."""
    return str(name).lower().endswith(IMAGE_EXTENSIONS)


def is_video(name: str | os.PathLike) -> bool:
    """Whether a file name is that of a video."""
    return str(name).lower().endswith(VIDEO_EXTENSIONS)


def is_video_file(path: str | os.PathLike) -> bool:
    """Whether a file is a video: by its name, or where that says neither video nor image, by what is in it.

    Args:
        path: of a file. One that cannot be read is none.
    """
    if is_video(path) or is_image(path):
        return is_video(path)
    try:
        require_regular(path)
        with open(path, "rb") as file:
            beginning = file.read(_BEGINNING)
    except (OSError, DataError):
        return False
    return bool(_BEGINNINGS.match(beginning)) and _has_video(path)


def _has_video(path):
    from keras_fvvae.data.readers.video_file import opened_video

    try:
        with opened_video(path):
            return True
    except (OSError, DataError):
        return False


def numbered_frames(folder: str | os.PathLike[str]) -> dict[str, list[Path]]:
    """The frames of a folder in the order of their numbers, which may start anywhere.

    Args:
        folder: path of a folder.

    Returns:
        Dictionary from stem (`"img_"`, `"flow_x_"`, `""`) to the list of paths.

    Raises:
        OSError: if the folder cannot be read.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _FRAME.match(entry.name)
            if match and not entry.name.startswith("."):
                found.setdefault(match["stem"], []).append((int(match["number"]), entry.name))
    return {stem: [Path(folder, name) for _, name in sorted(rows)] for stem, rows in sorted(found.items())}
