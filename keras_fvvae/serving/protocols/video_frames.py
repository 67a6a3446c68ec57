"""An uploaded video as the inputs of a model: for browsers, which decode few formats and compute no optical flow."""

from __future__ import annotations

import base64
import dataclasses
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from keras_fvvae.data.readers.video_file import file_seconds
from keras_fvvae.errors import DataError
from keras_fvvae.serving.engine.answer_size import check_size
from keras_fvvae.serving.engine.signatures import find_signature
from keras_fvvae.serving.errors import ServingError, invalid
from keras_fvvae.serving.media import read_video_inputs
from keras_fvvae.serving.sampling import SAMPLING, read_sampling
from keras_fvvae.utils.video_packages import INSTALL, missing_packages

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.engine import Engine, Held
    from keras_fvvae.serving.engine.servable import Servable
    from keras_fvvae.serving.settings import ServerSettings


async def video_frames(
    engine: Engine, name: str, version: int | None, label: str | None, body: bytes, held: Held
) -> bytes:
    """The answer to `POST /v1/models/NAME:frames`, whose body is the file.

    Args:
        engine: that serves.
        name, version, label: of the model.
        body: the file.
        held: what the request holds of the memory; the answer is added.

    Returns:
        JSON: `inputs`, as `:predict` takes them, chosen as in the training of the model and in the limits of the
        server; and `seconds`, how long the video is, or null.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no video, PERMISSION_DENIED where the server decodes none,
            UNIMPLEMENTED without the extra `video`, and as `Engine.answering`.
    """
    if not engine.settings.videos:
        raise ServingError("PERMISSION_DENIED", "This server decodes no videos: send their frames.")
    if missing_packages():
        raise ServingError("UNIMPLEMENTED", f"This server cannot decode videos ({INSTALL}): send their frames.")
    over = threading.Event()
    async with engine.answering(name, version, label) as (_, servable):
        try:
            answer = await engine.lanes.decode_video(_answer, body, servable, engine.settings, over)
        finally:
            over.set()  # the thread ends at its next frame
    check_size(len(answer), engine.settings.max_response_bytes)
    held.add(len(answer))
    return answer


def _answer(body: bytes, servable: Servable, settings: ServerSettings, over: threading.Event) -> bytes:
    names = [name for name in find_signature(servable.signatures, "").inputs if name in ("frames", "flow_frames")]
    if not names:
        raise invalid("The model takes no videos.")
    told = read_sampling(servable.definitions[SAMPLING].method_name) if SAMPLING in servable.definitions else {}
    samplings = {
        name: dataclasses.replace(one, frames=min(one.frames, settings.max_images)) for name, one in told.items()
    }
    end = time.monotonic() + settings.request_timeout

    def watch(width, height):
        if width * height > settings.max_pixels:
            raise invalid(f"Its frames have {width * height:,} pixels; the limit is {settings.max_pixels:,}.")
        if over.is_set() or time.monotonic() > end:
            raise ServingError("DEADLINE_EXCEEDED", "The video takes longer to decode than an answer may.")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video")  # FFmpeg looks at the content, not at a name
        path.write_bytes(body)
        try:
            images = read_video_inputs(path, names, samplings, watch)
            seconds = file_seconds(path)
        except DataError as error:
            raise invalid(f"The video cannot be used: {str(error).removeprefix(f'{path}: ')}.") from error
    inputs: dict[str, list] = {}
    for name, frames in images.items():
        if len(frames) > settings.max_images:
            raise invalid(f"{len(frames)} of its frames are asked for; the limit is {settings.max_images}.")
        inputs[name] = [[{"b64": base64.b64encode(frame).decode()} for frame in frames]]
        inputs[f"num_{name}"] = [len(frames)]
    return orjson.dumps({"inputs": inputs, "seconds": seconds})
