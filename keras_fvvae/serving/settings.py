"""What the server is told: its limits, and the models it serves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.errors import RunError
from keras_fvvae.serving.extra import has_grpc
from keras_fvvae.utils.cores import usable_cores
from keras_fvvae.utils.extras import require

if TYPE_CHECKING:
    from keras_fvvae.serving.searching.interface import ServedIndex

HIGHEST_PORT = 65535


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """Addresses, batching and limits.

    Args:
        host: address to listen on. The default is this machine alone; `"0.0.0.0"` for all.
        port: port of REST, of the web page and of the metrics; TensorFlow Serving's. 0: any free one.
        grpc_port: port of gRPC. 0: any free one; `None`: no gRPC. Default: 8500, TensorFlow Serving's, where the extra
            `grpc` is installed, else none.
        max_batch_size: images that are computed at once. A request of more is computed in parts. The images of a video
            count each, so memory is bounded by this number; a video of more frames goes alone.
        batch_timeout: seconds that a request waits for others while a worker is idle; 0: none waits. Two milliseconds
            are nothing beside a backbone, and halve the work of a small model that few clients ask at once
            (docs/benchmarks/serving.md). While the workers are busy, batches form by themselves.
        workers: batches that are computed at the same time, and one more where none of light or none of heavy requests
            runs (`keras_fvvae.serving.engine.lanes`). Default: the number of cores.
        max_queued: images of light and of heavy requests each that wait at most; what comes beyond is refused with 503.
        max_images: images of one example at most: frames of a video.
        max_request_bytes: size of a request's body at most (413). 64 MiB hold 25 frames of full HD.
        max_pending_bytes: sum of the bodies, as far as they have arrived, and of the answers in memory at most (503). A
            quarter of it is for light requests alone.
        max_response_bytes: size of an answer at most (400), reckoned before it is computed where the signature tells
            its outputs' shapes. 64 MiB hold 20 vectors of 131,072 numbers as JSON, which takes up to 24 bytes for one.
        max_pixels: pixels of an image at most, read from its header before it is decoded, as a small file can claim
            more pixels than memory holds.
        max_connections: open connections over REST at most, and concurrent calls over gRPC. A further connection over
            REST takes the place of the one that has waited longest for its client to send; where none waits, 503.
        request_timeout: seconds from a request's body to its answer (504).
        receive_timeout: seconds for a request's header, for its body (408), and for a client to go on reading.
        stop_timeout: seconds that running requests have when the server is stopped.
        poll_interval: seconds between looks for new versions.
        allowed_hosts: further names of the server, as clients and proxies write them in `Host`, and sites whose pages
            may ask it. A server of this machine alone answers to addresses, `localhost` and these; another one to any
            name where none are given.

        max_neighbours: neighbours of an answer to `:search` at most, of all its queries together (400).
        pictures: whether the files of an index are read: for pictures of neighbours on the page, and for what a
            neighbour contributes to a similarity. Without them names, labels and similarities are told.
        videos: whether files of videos are decoded, by FFmpeg, for the page; else it sends frames as the browser
            decodes them, and models of optical flow take none from it.
        verify_operations: whether a SavedModel is refused, before it is loaded, that holds operations which no export
            of this library holds (`keras_fvvae.serving.operations`).

    Raises:
        ValueError: for a value that cannot work.

    Example:
        >>> ServerSettings(max_batch_size=8).port
        8501
        >>> ServerSettings(max_batch_size=0)
        Traceback (most recent call last):
        ...
        ValueError: `max_batch_size` must be at least 1. Received: max_batch_size=0
    """

    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int | None = dataclasses.field(default_factory=lambda: 8500 if has_grpc() else None)
    max_batch_size: int = 32
    batch_timeout: float = 0.002
    workers: int = dataclasses.field(default_factory=lambda: usable_cores())
    max_queued: int = 1024
    max_images: int = 128
    max_request_bytes: int = 64 << 20
    max_pending_bytes: int = 512 << 20
    max_response_bytes: int = 64 << 20
    max_pixels: int = 50_000_000
    max_connections: int = 1024
    request_timeout: float = 60.0
    receive_timeout: float = 30.0
    stop_timeout: float = 30.0
    poll_interval: float = 1.0
    allowed_hosts: tuple[str, ...] = ()
    max_neighbours: int = 10_000
    pictures: bool = True
    videos: bool = True
    verify_operations: bool = False

    def __post_init__(self):
        least = {"port": 0, "grpc_port": 0, "batch_timeout": 0, "stop_timeout": 0}
        if not isinstance(self.allowed_hosts, tuple | list):
            raise ValueError(
                f"`allowed_hosts` must be a tuple of names. Received: allowed_hosts={self.allowed_hosts!r}"
            )
        for name in ("verify_operations", "pictures", "videos"):
            if not isinstance(value := getattr(self, name), bool):
                raise ValueError(f"`{name}` must be true or false. Received: {name}={value!r}")
        for name, value in dataclasses.asdict(self).items():
            if name in ("host", "allowed_hosts", "verify_operations", "pictures", "videos") or value is None:
                continue
            positive = isinstance(value, float) and name not in least
            if value < least.get(name, 0 if positive else 1) or (positive and value == 0):
                bound = "positive" if positive else f"at least {least.get(name, 1)}"
                raise ValueError(f"`{name}` must be {bound}. Received: {name}={value!r}")
        for name in ("port", "grpc_port"):
            if (value := getattr(self, name)) is not None and value > HIGHEST_PORT:
                raise ValueError(f"`{name}` must be at most {HIGHEST_PORT}. Received: {name}={value!r}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One model to serve.

    Args:
        name: as in `/v1/models/NAME`.
        base_path: folder that holds one folder a version, named by its number.
        latest: that many of the highest versions are served. Ignored where `versions` are given.
        versions: the versions to serve; `"all"` for all.
        labels: version numbers by label, as in `/v1/models/NAME/labels/LABEL`.
        index: what `/v1/models/NAME:search` searches: a `keras_fvvae.search.Index` that the exported run has made.
            Default: nothing.

    Example:
        >>> ModelConfig("birds", "models/birds").wanted([3, 1, 2])
        [3]
        >>> ModelConfig("birds", "models/birds", versions=(1, 7)).wanted([3, 1, 2])
        [1]
    """

    name: str
    base_path: str
    latest: int = 1
    versions: tuple | str = ()
    labels: dict = dataclasses.field(default_factory=dict)
    index: ServedIndex | None = None

    def wanted(self, found: Iterable[int]) -> list[int]:
        """The versions to serve of those that were found."""
        if self.versions == "all":
            return sorted(found)
        if self.versions:
            return sorted(set(found) & set(self.versions))
        return sorted(found)[-self.latest :]


def read_models_config(path: str | Path) -> list[ModelConfig]:
    """The models of a `models.config` of TensorFlow Serving (a text proto `ModelServerConfig`).

    Args:
        path: the file. Relative base paths in it are relative to its folder.

    Returns:
        A list of `ModelConfig`.

    Raises:
        RunError: if the file cannot be read, or holds something else.
    """
    text_format, config_pb2 = require(
        "google.protobuf.text_format",
        "tensorflow_serving.config.model_server_config_pb2",
        extra="grpc",
        what="A models.config",
    )
    path = Path(path)
    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), config_pb2.ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not a models.config of TensorFlow Serving: {error}") from error
    if not config.model_config_list.config:
        raise RunError(f"{path} names no model: it needs a model_config_list with one config per model.")
    return [_model_config(one, path.parent) for one in config.model_config_list.config]


def _model_config(config, folder):
    policy = config.model_version_policy
    versions = "all" if policy.HasField("all") else tuple(policy.specific.versions)
    base_path = str(folder / config.base_path)
    return ModelConfig(config.name, base_path, policy.latest.num_versions or 1, versions, dict(config.version_labels))
