"""How the frames of a video are chosen for a model, as its export tells whoever asks for its metadata.

TensorFlow Serving passes on what is in the map of signatures and nothing else of an export. So the sampling stands
there as a signature that nobody can call, without inputs and outputs, whose `method_name` is a text in JSON:

    {"frames": {"modality": "rgb", "frames": 5, "frame_step": null, "size": [224, 224], ...}}

One entry for each input of frames; `size` is that of the view that the backbone sees, (height, width).
"""

from __future__ import annotations

import dataclasses
import json

from keras_fvvae.utils.text import TextError, parse_json

# Its name begins as that of TensorFlow's own initialisation, which is none to call either.
SAMPLING = "__sampling__"
PRIVATE = "__"


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Which frames of a video a model was trained on.

    Args:
        frames: their number, uniformly spaced.
        frame_step: every so many-th frame instead.
        modality: `"rgb"`, or `"flow"` for optical flow from a frame to the next.
        size: `(height, width)` that the backbone sees.
        resize_to: `(height, width)` that frames are brought to before they are cropped, and before their flow is
            computed. `None`: the export does not tell.
        resize: how, see `keras_fvvae.data.resize_image`.
        flow_method: of optical flow, see `keras_fvvae.data.FlowSettings`.
        flow_bound: in pixels, likewise.
    """

    frames: int
    frame_step: int | None = None
    modality: str = "rgb"
    size: tuple[int, int] | None = None
    resize_to: tuple[int, int] | None = None
    resize: str = "squeeze"
    flow_method: str = "dis"
    flow_bound: float = 20.0


def sampling_text(samplings: dict[str, Sampling]) -> str:
    """The text of the samplings of a model's inputs.

    Example:
        >>> sampling_text({"frames": Sampling(5)})[:43]
        '{"frames": {"frames": 5, "frame_step": null'
    """
    return json.dumps({name: dataclasses.asdict(one) for name, one in samplings.items()})


def read_sampling(text: str) -> dict[str, Sampling]:
    """The samplings in such a text; none of what cannot be understood: servers and exports may be of any origin.

    Example:
        >>> read_sampling('{"frames": {"frames": 5}, "flow_frames": 3}')
        {'frames': Sampling(frames=5, frame_step=None, modality='rgb', size=None, resize_to=None, ...)}
        >>> read_sampling("tensorflow/serving/predict")
        {}
    """
    try:
        content = parse_json(text)
    except TextError:
        return {}
    result = {}
    for name, one in content.items() if isinstance(content, dict) else ():
        if not isinstance(one, dict) or not _is_count(one.get("frames")):
            continue
        step, bound = one.get("frame_step"), one.get("flow_bound")
        result[name] = Sampling(
            one["frames"],
            step if _is_count(step) else None,
            size=_size(one.get("size")),
            resize_to=_size(one.get("resize_to")),
            flow_bound=bound if isinstance(bound, int | float) and bound > 0 else Sampling.flow_bound,
            **{key: str(one[key]) for key in ("modality", "resize", "flow_method") if key in one},
        )
    return result


def _size(value):
    return tuple(value) if isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)) else None


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
