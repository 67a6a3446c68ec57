"""Optical flow computed beforehand, as folders of frames."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.collection import Collection
from keras_fvvae.data.readers.flow import FlowSettings, optical_flow, quantize_flow
from keras_fvvae.data.readers.image import RESIZE_MODES, resize_pixels
from keras_fvvae.data.readers.media import FLOW_STEMS, is_video
from keras_fvvae.data.readers.video import read_video
from keras_fvvae.data.stored_flow import SETTINGS, flow_settings
from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import PARTIAL, remove_leftovers, replacing, write_json
from keras_fvvae.utils.files import reason as reason_of
from keras_fvvae.utils.progress import progress_bar
from keras_fvvae.utils.video_packages import cv2

# JPEG quality: 95 keeps displacements to about a tenth of a pixel at a third of PNG's size.
QUALITY = 95
# A video's folder that got no frame for so many seconds was left by a kill: another process may still write the others.
LEFTOVER_SECONDS = 600


class _WriteError(DataError):
    """The flow, not one video, is what is wrong."""


def compute_flow(
    collection: Collection,
    out: str | os.PathLike,
    settings: FlowSettings,
    size: tuple[int, int] = (240, 320),
    resize: str = "squeeze",
    frames: bool = False,
    workers: int | None = None,
    verbose: int = 1,
) -> dict[str, Any]:
    """Writes the optical flow of every pair of frames of every video to `out/<name without extension>/`.

    `flow_x_00001.jpg` and `flow_y_00001.jpg` belong to the first and the second frame. Such a folder is as good as the
    video file in every data set layout: put `out` in the place of the videos. Resumable: a video's folder is written
    beside and renamed, and those that are there already are left as they are.

    Args:
        collection: a `Collection` of videos.
        out: folder to write.
        settings: `FlowSettings`.
        size: `(height, width)` that frames are brought to first: displacements are in its pixels.
        resize: `"squeeze"`, `"crop"` or `"pad"`.
        frames: whether to write the frames too, as `img_00001.jpg`, from the same decoding.
        workers: threads. Default: as `concurrent.futures` chooses.
        verbose: 1 for a progress bar.

    Returns:
        Dictionary: `written`, `present` (done before) and `skipped`: by name the reason.

    Raises:
        DataError: if the folder cannot be written, holds flow of other settings, or other files; videos written before
            stay. If two videos would go to one folder.
    """
    if collection.kind != "video":
        raise DataError("Optical flow needs videos; this data set holds images.")
    if resize not in RESIZE_MODES:
        raise ValueError(f"`resize` must be one of {RESIZE_MODES}. Received: resize={resize!r}")
    out = Path(out)
    targets = [_target(out, name) for name in collection.names]
    _require_distinct(targets, collection.names)
    chosen = {"method": settings.method, "bound": settings.bound, "size": list(size), "resize": resize}
    _claim(out, {**chosen, "frames": frames})
    _remove_leftovers({target.parent for target in targets})
    todo = [index for index, target in enumerate(targets) if not target.exists()]
    skipped = {}

    def one(index):
        try:
            _write_video(collection.sources[index], targets[index], settings, tuple(size), resize, frames)
        except _WriteError:
            raise
        except (ValueError, DataError) as error:
            return index, str(error)
        except OSError as error:
            return index, f"cannot be opened: {reason_of(error)}"
        return index, ""

    with (
        progress_bar("Optical flow", len(todo), enabled=bool(verbose)) as update,
        ThreadPoolExecutor(workers) as pool,
    ):
        futures = [pool.submit(one, index) for index in todo]
        try:
            for done, future in enumerate(futures, start=1):
                index, problem = future.result()
                if problem:
                    skipped[collection.names[index]] = problem
                update(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # the videos at work are finished, no other is begun
            raise
    return {"written": len(todo) - len(skipped), "present": len(targets) - len(todo), "skipped": skipped}


def _claim(out, settings):
    """Writes the settings, or checks that those of earlier flow in the folder are the same."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / SETTINGS).exists():
            foreign = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
            if foreign:
                raise DataError(f"{out} holds other files than optical flow ({foreign[0]!r}); choose an empty folder.")
            write_json(out / SETTINGS, settings)
    except OSError as error:
        raise DataError(f"The flow folder {out} cannot be used: {reason_of(error)}.") from error
    before = flow_settings(out)
    if before != settings:
        raise DataError(f"{out} holds flow of other settings ({before}); choose another folder.")


def _target(out, name):
    """Folder of a video's frames: its name below the data folder, without the extension."""
    path = Path(name)
    path = path.with_suffix("") if is_video(name) else path  # of a folder of frames, a dot is part of the name
    return out.joinpath(*(part for part in path.parts if part not in ("..", path.anchor)))


def _require_distinct(targets, names):
    seen = {}
    for target, name in zip(targets, names, strict=True):
        if seen.setdefault(target, name) != name:
            raise DataError(f"{seen[target]} and {name} would both go to {target}: rename one of them.")
    for target, name in seen.items():
        outer = next((parent for parent in target.parents if parent in seen), None)
        if outer:
            raise DataError(f"{name} would go into {outer}, the folder of {seen[outer]}: rename one of them.")


def _remove_leftovers(folders):
    """Removes what killed processes left half-written."""
    for folder in folders:
        remove_leftovers(folder.glob(f"{PARTIAL}*"), LEFTOVER_SECONDS)


@contextlib.contextmanager
def _writing(folder):
    try:
        yield
    except OSError as error:
        raise _WriteError(
            f"The flow cannot be written to {folder}: {reason_of(error)}. The videos done are kept: repeat the call to "
            f"continue."
        ) from error


def _write_video(source, target, settings, size, resize, frames):
    with contextlib.ExitStack() as stack:
        with _writing(target.parent):
            partial = stack.enter_context(replacing(target, folder=True))
        writer = _PairWriter(partial, settings, frames)

        def resized(pixels):
            writer.add(np.round(resize_pixels(pixels, size, resize)).astype("uint8"))

        read_video(source, writer.begin, resized)
        if writer.count < 2:
            raise DataError("it has a single frame; optical flow needs two")
        with _writing(target.parent):
            try:
                stack.close()  # renames it
            except OSError:
                if not target.exists():  # else another process was faster
                    raise


class _PairWriter:
    """Takes frames one after the other and writes their flow: memory does not grow with the video."""

    def __init__(self, folder, settings, frames):
        self.folder = folder
        self.settings = settings
        self.frames = frames
        self.begin(0)

    def begin(self, total):
        """Begins anew; a second pass is made where a header lied. Returns the positions wanted: all."""
        self.previous, self.count = None, 0
        return range(total)

    def add(self, pixels):
        self.count += 1
        if self.frames:
            self._write(f"img_{self.count:05d}.jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        if self.previous is not None:
            flow = quantize_flow(optical_flow(self.previous, pixels, self.settings.method), self.settings.bound)
            for axis, stem in enumerate(FLOW_STEMS):
                self._write(f"{stem}{self.count - 1:05d}.jpg", flow[..., axis])
        self.previous = pixels

    def _write(self, name, image):
        _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        with _writing(self.folder.parent):
            (self.folder / name).write_bytes(content)
