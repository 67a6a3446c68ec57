"""The client of a server that speaks TensorFlow Serving's protocols: this library's, or TensorFlow Serving itself."""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.serving.errors import ServingError
from keras_fvvae.serving.media import frames_batch, read_image, read_video_inputs
from keras_fvvae.serving.sampling import Sampling
from keras_fvvae.serving.transports import GrpcTransport, RestTransport
from keras_fvvae.utils.files import sha256
from keras_fvvae.utils.text import from_bytes

# Codes that are about a file and not about the server: the other files may do.
_FILE_ERRORS = ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE")


class Client:
    """Asks a server for labels or Fisher vectors of files, or for any signature's outputs.

    Args:
        url: `"http://HOST:8501"` for REST, `"grpc://HOST:8500"` for gRPC (which needs the extra `serving`).
        model: its name. Default: the only one there is, which this library's server tells over REST.
        version: number of a version. Default: the newest.
        label: of a version; not with `version`.
        timeout: seconds for an answer.
        retries: further attempts where the server cannot be reached or its queue is full, after 0.2, 0.4, ... seconds.

    Raises:
        ValueError: for a URL of another kind, or a version and a label.

    Example:
        ```python
        client = keras_fvvae.serving.Client("http://localhost:8501", model="birds")
        for result in client.classify(["a.jpg", "b.jpg"]):
            print(result["file"], result["labels"][0], result["scores"][0])
        ```
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
    ):
        if not url.startswith(("http://", "https://", "grpc://")):
            raise ValueError(f"`url` must begin with http://, https:// or grpc://. Received: url={url!r}")
        if version is not None and label is not None:
            raise ValueError(f"Give `version` or `label`. Received: version={version}, label={label!r}")
        transport = GrpcTransport if url.startswith("grpc://") else RestTransport
        self._transport = transport(url, timeout, retries)
        self._model = model
        self._which = ("versions", version) if version is not None else ("labels", label) if label is not None else None
        self._metadata: tuple[dict[str, dict[str, list[str]]], dict[str, Sampling]] | None = None

    @property
    def model(self) -> str:
        """Name of the model.

        Raises:
            ServingError: if none was given and the server does not tell exactly one.
        """
        if self._model is None:
            names = self._transport.models()
            if not names or len(names) > 1:
                known = f": {', '.join(names)}" if names else ", and the server does not tell them"
                raise ServingError("INVALID_ARGUMENT", f"Name the model to ask{known}.")
            (self._model,) = names
        return self._model

    def status(self) -> list[dict[str, Any]]:
        """The model's versions: list of dictionaries with version, state, error_code and error_message."""
        return self._transport.status(self.model)

    def signatures(self) -> dict[str, dict[str, list[str]]]:
        """Dictionary from signature name to its `inputs` and `outputs`, lists of names."""
        return self._described()[0]

    def samplings(self) -> dict[str, Sampling]:
        """By input of frames how these were chosen in the training of the model; empty where its export does not tell.

        Models exported by keras_fvvae 0.1, and by other programs, do not.
        """
        return self._described()[1]

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Waits until a version of the model answers.

        Raises:
            ServingError: DEADLINE_EXCEEDED with the last reason.
        """
        end = time.monotonic() + seconds
        while True:
            why: str | ServingError = "no version is available"
            try:
                if any(one["state"] == "AVAILABLE" for one in self.status()):
                    return
            except ServingError as error:
                why = error
            if time.monotonic() > end:
                raise ServingError("DEADLINE_EXCEEDED", f"The model was not ready after {seconds:g} seconds: {why}")
            time.sleep(0.1)

    def predict(self, inputs: dict[str, Any], signature: str = "serving_default") -> dict[str, np.ndarray]:
        """Outputs of a signature.

        Args:
            inputs: dictionary from input name to array; strings are bytes.
            signature: its name.

        Returns:
            Dictionary from output name to array; strings are bytes.

        Raises:
            ServingError: the server's reason, or why it cannot be reached.
        """
        arrays = {name: _array(value) for name, value in inputs.items()}
        return self._transport.predict(self.model, self._which, signature, arrays)

    def classify(
        self, files: Iterable[str | Path], top_k: int = 5, num_frames: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Labels of files, one request a file.

        Args:
            files: paths of images, or of videos (files or folders of frames) for a model of videos. Where the
                model takes optical flow, it is computed here, as in the training.
            top_k: labels per file, as far as the model returns so many.
            num_frames: frames that are sent of a video, uniformly spaced. Default: as in the training of the model,
                where its export tells (`samplings`), else 25.

        Yields:
            For every file in order a dictionary: `file`, and either `labels` and `scores` (decision values, best
            first), with `probabilities` of these and `answer` (a label, or `None` for none of these) where the model's
            export has them, or `error`, the reason why this file could not be used.

        Raises:
            ServingError: if the server, not a file, is the reason.
        """
        for file, outputs in self._predicted(files, "serving_default", num_frames):
            if "error" not in outputs:
                labels = [from_bytes(label) for label in outputs["labels"][0][:top_k]]
                result = {"labels": labels, "scores": outputs["label_scores"][0][:top_k].tolist()}
                if "label_probabilities" in outputs:
                    result["probabilities"] = outputs["label_probabilities"][0][:top_k].tolist()
                if "answer" in outputs:
                    result["answer"] = from_bytes(outputs["answer"][0]) or None
                outputs = result
            yield {"file": str(file), **outputs}

    def encode(self, files: Iterable[str | Path], num_frames: int | None = None) -> Iterator[dict[str, Any]]:
        """Fisher vectors of files, one request a file.

        Args:
            files, num_frames: as in `classify`.

        Yields:
            For every file in order a dictionary: `file`, and either `fisher_vector`, a float32 array `(D,)`, with
            `flow_fisher_vector` where the model fuses two streams, or `error`.

        Raises:
            ServingError: as `classify`.
        """
        for file, outputs in self._predicted(files, "encode", num_frames):
            if "error" not in outputs:
                vectors = {name: value[0] for name, value in outputs.items() if name.endswith("fisher_vector")}
                outputs = dict.fromkeys(["fisher_vector"], *vectors.values()) if len(vectors) == 1 else vectors
            yield {"file": str(file), **outputs}

    def search(
        self, files: Iterable[str | Path], k: int = 10, num_frames: int | None = None, *, explain: bool = False
    ) -> Iterator[dict[str, Any]]:
        """The most similar items of the index that the model is served with (`keras-fvvae serve --index`), over REST.

        Args:
            files, num_frames: as in `classify`.
            k: neighbours of each file.
            explain: whether it is told what makes each file and its nearest neighbour similar.

        Yields:
            For every file in order a dictionary as `keras_fvvae.search.QueryEncoder.search` gives it, but that a
            neighbour's `path` is `None`: where its file lies on the server is not told. With `explain` it has an
            `explanation`: a dictionary of `similarity`, `query` and `match`, each of these with `contributions`, an
            array `(H, W)` or `(frames, H, W)` over the picture, and `constant`, which add up to the similarity; where
            the neighbour's file cannot be read there, `error` instead of `match`.

        Raises:
            ServingError: as `classify`; NOT_FOUND where the model has no index.
        """

        def ask(file, inputs):
            digest = sha256(file) if Path(file).is_file() else None
            arrays = {name: _array(value) for name, value in inputs.items()}
            (result,) = self._transport.search(self.model, self._which, arrays, k=k, sha256=[digest], explain=explain)
            return result

        for file, result in self._each(files, "encode", num_frames, ask):
            if "error" not in result:
                result["neighbours"] = [
                    {key: one.get(key) for key in ("name", "path", "label", "similarity", "same_file")}
                    for one in result["neighbours"]
                ]
                for side in (result.get("explanation", {}).get(key, {}) for key in ("query", "match")):
                    if side:
                        side["contributions"] = np.asarray(side["contributions"], "float32")
            yield {"file": str(file), **result}

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _described(self):
        if self._metadata is None:
            self._metadata = self._transport.metadata(self.model, self._which)
        return self._metadata

    def _predicted(self, files, signature, num_frames):
        return self._each(files, signature, num_frames, lambda file, inputs: self.predict(inputs, signature))

    def _each(self, files, signature, num_frames, ask):
        """Pairs of a file and what `ask` gives for it as inputs of a signature, or why it cannot be used."""
        known = self.signatures()
        if signature not in known:
            names = ", ".join(sorted(known))
            raise ServingError("INVALID_ARGUMENT", f"The model has no signature {signature!r}; it has {names}.")
        names = known[signature]["inputs"]
        videos = {"frames", "flow_frames"}.intersection(names)
        samplings = self.samplings() if videos else {}
        if num_frames is not None:
            told = {name: samplings.get(name, Sampling(num_frames)) for name in videos}
            samplings = {
                name: dataclasses.replace(one, frames=num_frames, frame_step=None) for name, one in told.items()
            }
        for file in files:
            try:
                inputs: dict[str, Any] = {}
                if videos:
                    for name, images in read_video_inputs(file, names, samplings).items():
                        inputs |= frames_batch([images], name)
                else:
                    inputs = {names[0]: [read_image(file)]}
                outputs = ask(file, inputs)
            except DataError as error:
                yield file, {"error": str(error).removeprefix(f"{file}: ")}
                continue
            except ServingError as error:
                if error.code not in _FILE_ERRORS:
                    raise
                yield file, {"error": str(error)}
                continue
            if not np.all(outputs.get("valid", True)):
                outputs = {"error": "the server could not decode it"}
            yield file, outputs


def predict_on_server(
    url: str, files: Iterable[str | Path], top_k: int = 5, model: str | None = None
) -> Iterator[dict[str, Any]]:
    """What `keras-fvvae predict --server URL` does: `Client.classify`, in the form of `tasks.predict.predict`.

    Args:
        url: as in `Client`.
        files: paths.
        top_k: labels per file.
        model: its name. Default: the only one.

    Yields:
        For every file a dictionary: `file`, and `labels` and `scores`, or `error`.

    Raises:
        ServingError: if the server cannot be reached or used.
    """
    with Client(url, model) as client:
        yield from client.classify(files, top_k)


def _array(value):
    if isinstance(value, np.ndarray):
        return value
    array = np.array(value, object)
    return array if array.size and isinstance(array.flat[0], (bytes, str)) else np.array(value)
