"""TensorFlow Serving's gRPC services: `PredictionService` (Predict, GetModelMetadata) and `ModelService` (status)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_fvvae.serving.engine.signatures import find_signature
from keras_fvvae.serving.errors import ServingError, invalid

if TYPE_CHECKING:
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse
    from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse

    from keras_fvvae.serving.engine.engine import Engine
    from keras_fvvae.serving.engine.repository import VersionStatus
    from keras_fvvae.serving.engine.servable import Servable


def add_services(server: grpc.aio.Server, engine: Engine) -> None:
    """Registers both services.

    Args:
        server: a `grpc.aio.Server`.
        engine: an `Engine`.
    """
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(engine), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(engine), server)


def status_response(statuses: list[VersionStatus]) -> GetModelStatusResponse:
    """`GetModelStatusResponse` of a list of `VersionStatus`."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        entry = response.model_version_status.add(version=status.version, state=status.state)
        codes = entry.status.DESCRIPTOR.fields_by_name["error_code"].enum_type.values_by_name
        entry.status.error_code = codes[status.error_code].number
        entry.status.error_message = status.error_message
    return response


def metadata_response(servable: Servable) -> GetModelMetadataResponse:
    """`GetModelMetadataResponse` of a servable."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.definitions.items():
        signatures.signature_def[name].CopyFrom(definition)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata["signature_def"].Pack(signatures)
    return response


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, engine):
        self._engine = engine

    async def Predict(self, request, context):  # noqa: N802  (the protocol's name)
        return await _answered(self._engine, request, context, self._predict(request))

    async def GetModelMetadata(self, request, context):  # noqa: N802
        return await _answered(self._engine, request, context, self._metadata(request))

    async def _predict(self, request):
        with self._engine.pending() as held:
            held.add(request.ByteSize())
            servable, outputs, (name,) = await self._engine.predict(
                request.model_spec.name,
                *_which(request.model_spec),
                lambda servable: self._parse(request, servable),
                held,
            )
            names = request.output_filter or outputs
            return await self._engine.lanes.run(held.size, _response, servable, name, outputs, names)

    def _parse(self, request, servable):
        signature = find_signature(servable.signatures, request.model_spec.signature_name)
        limit = self._engine.settings.max_request_bytes
        inputs = {name: tensor_array(name, proto, limit) for name, proto in request.inputs.items()}
        signature.check(inputs)
        unknown = set(request.output_filter) - set(signature.outputs)
        if unknown:
            raise invalid(f"output tensor alias not found in signature: {', '.join(sorted(unknown))}")
        return signature, inputs, signature.name

    async def _metadata(self, request):
        if list(request.metadata_field) != ["signature_def"]:
            raise invalid('`metadata_field` must be ["signature_def"].')
        version, label = _which(request.model_spec)
        return metadata_response(self._engine.repository.model(request.model_spec.name).find(version, label))


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, engine):
        self._engine = engine

    async def GetModelStatus(self, request, context):  # noqa: N802
        return await _answered(self._engine, request, context, self._status(request))

    async def _status(self, request):
        version, label = _which(request.model_spec)
        return status_response(self._engine.repository.statuses(request.model_spec.name, version, label))


class ReadableRequests(grpc.aio.ServerInterceptor):
    """Bytes that are no message are the client's mistake; gRPC itself logs a traceback each."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Replaces how a call's request is read."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        async def checked(request, context):
            if request is None:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The request is not a message of this call.")
            return await handler.unary_unary(request, context)

        def read(content):
            try:
                return handler.request_deserializer(content)
            except Exception:  # protobuf's DecodeError is another class in each of its implementations
                return None

        return grpc.unary_unary_rpc_method_handler(checked, read, handler.response_serializer)


def _response(servable, signature, outputs, names):
    response = predict_pb2.PredictResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.model_spec.signature_name = signature
    for name in names:
        response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
    return response


async def _answered(engine, request, context, answer):
    try:
        with engine.measured(request.model_spec.name, "gRPC"):
            return await answer
    except ServingError as error:
        await context.abort(grpc.StatusCode[error.code], str(error))
    except (asyncio.CancelledError, grpc.aio.AbortError):
        raise
    except Exception as error:  # a defect: the client learns its kind, the log the rest
        await context.abort(grpc.StatusCode.INTERNAL, f"Internal error: {type(error).__name__}")


def _which(spec):
    version = spec.version.value if spec.HasField("version") else None
    return version, spec.version_label or None


def tensor_array(name: str, proto: TensorProto, max_bytes: int) -> np.ndarray:
    """The array of a `TensorProto`, whose shape may not promise more than was sent.

    Args:
        name: of the input, for the error.
        proto: the message.
        max_bytes: size of an array whose single value is repeated, as the format allows.

    Returns:
        Array; strings are objects of bytes.

    Raises:
        ServingError: INVALID_ARGUMENT if it is damaged.

    Example:
        >>> tensor_array("x", tf.make_tensor_proto([[1.0, 2.0]]), 100).tolist()
        [[1.0, 2.0]]
    """
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype)
        shape = tf.TensorShape(proto.tensor_shape).as_list()
        if None in shape:
            raise ValueError("its shape is not fully known")
        elements = 1
        for side in shape:
            elements *= side  # Python's integers do not overflow
        if elements * max(dtype.size, 1) > max_bytes:
            raise ValueError(f"its shape {shape} is larger than a request may be")
        if dtype == tf.string and len(proto.string_val) != elements:
            raise ValueError(f"it has {len(proto.string_val)} values for the shape {shape}")
        array = np.asarray(tf.make_ndarray(proto))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise invalid(f"Input {name} cannot be read: {error}") from error
    return array
