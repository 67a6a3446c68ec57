"""How the client speaks to a server: REST or gRPC, with the same methods."""

import base64
import json
from typing import Any

import numpy as np
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from keras_fvvae.serving.errors import ServingError
from keras_fvvae.serving.sampling import PRIVATE, SAMPLING, Sampling, read_sampling
from keras_fvvae.utils.extras import require
from keras_fvvae.utils.text import to_bytes

Metadata = tuple[dict[str, dict[str, list[str]]], dict[str, Sampling]]

# What may succeed when it is tried again; a prediction changes nothing, so that trying twice does no harm.
RETRIED = (429, 502, 503)
BACKOFF = 0.2
MAX_BACKOFF = 10
_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RestTransport:
    """TensorFlow Serving's REST protocol.

    Args:
        url: `http://HOST:PORT`.
        timeout: seconds for an answer.
        retries: further attempts after a refused connection or a full queue, with growing pauses.
    """

    def __init__(self, url: str, timeout: float, retries: int):
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        policy = Retry(
            total=retries,
            read=False,  # what was too slow is not asked again
            status_forcelist=RETRIED,
            allowed_methods=None,
            backoff_factor=BACKOFF,
            backoff_max=MAX_BACKOFF,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=policy))

    def models(self) -> list[str] | None:
        """Names of the server's models; `None` where it does not tell, as TensorFlow Serving."""
        try:
            return self._get("/models.json")
        except ServingError as error:
            if error.code == "UNAVAILABLE":  # there is none that could tell
                raise
            return None

    def status(self, model: str) -> list[dict[str, Any]]:
        """List of dictionaries: version, state, error_code, error_message."""
        found = self._get(f"/v1/models/{model}")["model_version_status"]
        return [{"version": int(one["version"]), "state": one["state"], **one.get("status", {})} for one in found]

    def metadata(self, model: str, which: tuple | None) -> Metadata:
        """By name of a signature the names of its inputs and outputs; and by input of frames how they are chosen."""
        found = self._get(_path(model, which) + "/metadata")["metadata"]["signature_def"]["signature_def"]
        signatures = {
            name: {key: sorted(one.get(key, {})) for key in ("inputs", "outputs")}
            for name, one in found.items()
            if not name.startswith(PRIVATE)
        }
        return signatures, read_sampling(found.get(SAMPLING, {}).get("method_name", ""))

    def predict(
        self, model: str, which: tuple | None, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature, dictionary from name to array."""
        body = {"signature_name": signature, "inputs": {name: _plain(value) for name, value in inputs.items()}}
        outputs = self._send("POST", _path(model, which) + ":predict", json.dumps(body))["outputs"]
        if not isinstance(outputs, dict):  # a single output comes without its name
            (name,) = self.metadata(model, which)[0][signature]["outputs"]
            outputs = {name: outputs}
        return {name: _array(value) for name, value in outputs.items()}

    def search(
        self, model: str, which: tuple | None, inputs: dict[str, np.ndarray], **wanted: Any
    ) -> list[dict[str, Any]]:
        """What `:search` answers: a dictionary for each query."""
        body = {"inputs": {name: _plain(value) for name, value in inputs.items()}, **wanted}
        results = self._send("POST", _path(model, which) + ":search", json.dumps(body)).get("results")
        if not isinstance(results, list):
            raise ServingError("UNKNOWN", f"{self._url} answered no neighbours: it is another server.")
        return results

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def _get(self, path):
        return self._send("GET", path)

    def _send(self, method, path, body=None):
        try:
            response = self._session.request(method, self._url + path, data=body, timeout=self._timeout)
        except requests.Timeout as error:
            raise ServingError(
                "DEADLINE_EXCEEDED", f"{self._url} gave no answer in {self._timeout:g} seconds."
            ) from error
        except requests.RequestException as error:
            raise ServingError("UNAVAILABLE", f"{self._url} cannot be reached: is the server running there?") from error
        try:
            content = response.json()
        except ValueError as error:
            text = response.text.strip()[:100]
            raise ServingError("UNKNOWN", f"{self._url} answered {response.status_code}, no JSON: {text!r}") from error
        if response.status_code != 200:
            message = content.get("error", "no reason given") if isinstance(content, dict) else "no reason given"
            raise ServingError(_CODES.get(response.status_code, "UNKNOWN"), message, response.status_code)
        return content


class GrpcTransport:
    """TensorFlow Serving's gRPC protocol; the same arguments."""

    def __init__(self, url: str, timeout: float, retries: int):
        self._url = url.removeprefix("grpc://")
        self._timeout = timeout
        self._grpc, self._predict_pb2, self._metadata_pb2, self._status_pb2, stubs, model_stubs = require(
            "grpc",
            "tensorflow_serving.apis.predict_pb2",
            "tensorflow_serving.apis.get_model_metadata_pb2",
            "tensorflow_serving.apis.get_model_status_pb2",
            "tensorflow_serving.apis.prediction_service_pb2_grpc",
            "tensorflow_serving.apis.model_service_pb2_grpc",
            extra="grpc",
            what="gRPC",
        )
        # gRPC's own retries; it allows five attempts at most.
        policy = {
            "maxAttempts": min(retries + 1, 5),
            "initialBackoff": f"{BACKOFF}s",
            "maxBackoff": f"{MAX_BACKOFF}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config = {"methodConfig": [{"name": [{}], **({"retryPolicy": policy} if retries else {})}]}
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.service_config", json.dumps(config)),
        ]
        self._channel = self._grpc.insecure_channel(self._url, options)
        self._stub = stubs.PredictionServiceStub(self._channel)
        self._model_stub = model_stubs.ModelServiceStub(self._channel)

    def models(self) -> list[str] | None:
        """gRPC has no list of models."""
        return None

    def status(self, model: str) -> list[dict[str, Any]]:
        """List of dictionaries: version, state, error_code, error_message."""
        request = self._spec(self._status_pb2.GetModelStatusRequest(), model)
        response = self._call(self._model_stub.GetModelStatus, request)
        result = []
        for one in response.model_version_status:
            state = type(one).State.Name(one.state)
            code = one.status.DESCRIPTOR.fields_by_name["error_code"].enum_type.values_by_number[one.status.error_code]
            result.append(
                {
                    "version": one.version,
                    "state": state,
                    "error_code": code.name,
                    "error_message": one.status.error_message,
                }
            )
        return result

    def metadata(self, model: str, which: tuple | None) -> Metadata:
        """The same as over REST."""
        request = self._spec(self._metadata_pb2.GetModelMetadataRequest(), model, which)
        request.metadata_field.append("signature_def")
        found = self._metadata_pb2.SignatureDefMap()
        self._call(self._stub.GetModelMetadata, request).metadata["signature_def"].Unpack(found)
        signatures = {
            name: {"inputs": sorted(one.inputs), "outputs": sorted(one.outputs)}
            for name, one in found.signature_def.items()
            if not name.startswith(PRIVATE)
        }
        sampling = found.signature_def[SAMPLING].method_name if SAMPLING in found.signature_def else ""
        return signatures, read_sampling(sampling)

    def predict(
        self, model: str, which: tuple | None, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature, dictionary from name to array."""
        import tensorflow as tf

        request = self._spec(self._predict_pb2.PredictRequest(), model, which)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        response = self._call(self._stub.Predict, request)
        return {name: np.asarray(tf.make_ndarray(value)) for name, value in response.outputs.items()}

    def search(
        self, model: str, which: tuple | None, inputs: dict[str, np.ndarray], **wanted: Any
    ) -> list[dict[str, Any]]:
        """TensorFlow Serving's gRPC protocol has no search."""
        raise ServingError("UNIMPLEMENTED", "A search is asked for over REST: give the server's http:// address.")

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _spec(self, request, model, which=None):
        request.model_spec.name = model
        kind, value = which or (None, None)
        if kind == "versions":
            request.model_spec.version.value = value
        elif kind == "labels":
            request.model_spec.version_label = value
        return request

    def _call(self, method, request):
        try:
            return method(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            message = error.details()
            if error.code() is self._grpc.StatusCode.UNAVAILABLE and "connect" in message:
                message = f"{self._url} cannot be reached: is the server running there?"
            raise ServingError(error.code().name, message) from error


def _path(model, which):
    return f"/v1/models/{model}" + (f"/{which[0]}/{which[1]}" if which else "")


def _plain(value):
    value = np.asarray(value)
    if value.dtype.kind not in "OS":
        return value.tolist()
    flat = np.empty(value.size, object)
    flat[:] = [{"b64": base64.b64encode(one).decode()} for one in value.reshape(-1)]
    return flat.reshape(value.shape).tolist()


def _array(value):
    """Floats as float32, which is what models answer; strings as objects of bytes, as over gRPC."""
    array = np.array(value)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind == "U":
        return np.array([to_bytes(one) for one in array.reshape(-1)], object).reshape(array.shape)
    return array
