"""What is taken for an image, a video file, or a folder of frames, by name."""

import os
import re
from pathlib import Path

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
VIDEO_EXTENSIONS = (
    ".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv",
)  # fmt: skip
# A frame's name ends in its number: img_00001.jpg, frame-12.png, 000001.jpg. Flow frames are flow_x_00001.jpg and
# flow_y_00001.jpg.
_FRAME = re.compile(r"^(?P<stem>.*?)(?P<number>\d+)\.(?:jpg|jpeg|png|bmp|webp)$", re.IGNORECASE)
FLOW_STEMS = ("flow_x_", "flow_y_")


def is_image(name: str | Path) -> bool:
    """Whether a file name is that of an image."""
    return str(name).lower().endswith(IMAGE_EXTENSIONS)


def is_video(name: str | Path) -> bool:
    """Whether a file name is that of a video."""
    return str(name).lower().endswith(VIDEO_EXTENSIONS)


def numbered_frames(folder: str | Path) -> dict[str, list[Path]]:
    """The frames of a folder in the order of their numbers, which may start anywhere.

    Args:
        folder: path of a folder.

    Returns:
        Dictionary from stem (`"img_"`, `"flow_x_"`, `""`) to the list of paths.

    Raises:
        OSError: if the folder cannot be read.
    """
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _FRAME.match(entry.name)
            if match and not entry.name.startswith("."):
                found.setdefault(match["stem"], []).append((int(match["number"]), entry.name))
    return {stem: [Path(folder, name) for _, name in sorted(rows)] for stem, rows in sorted(found.items())}
