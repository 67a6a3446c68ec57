"""Optical flow that was computed beforehand: the file that says how."""

import os
from pathlib import Path

from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason as reason_of
from keras_fvvae.utils.text import parse_json

SETTINGS = "flow.json"


def flow_settings(out: str | os.PathLike) -> dict:
    """How the flow in a folder was computed: method, bound, size, resize and frames, as `compute_flow` took them.

    Raises:
        DataError: if its `flow.json` cannot be read.
    """
    try:
        settings = parse_json((Path(out) / SETTINGS).read_bytes())
        return {key: settings[key] for key in ("method", "bound", "size", "resize", "frames")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = reason_of(error) if isinstance(error, OSError) else "its flow.json is damaged"
        raise DataError(f"The flow folder {out} cannot be used: {why}.") from error
