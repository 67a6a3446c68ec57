"""Status and metadata of models as TensorFlow Serving's messages, which REST prints and gRPC sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

if TYPE_CHECKING:
    from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
    from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse

    from keras_fvvae.serving.engine.repository import VersionStatus
    from keras_fvvae.serving.engine.servable import Servable

_JSON = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}


def status_response(statuses: list[VersionStatus]) -> GetModelStatusResponse:
    """`GetModelStatusResponse` of a list of `VersionStatus`."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        entry = response.model_version_status.add(version=status.version, state=status.state)
        entry.status.error_code = _code(entry.status, status.error_code)
        entry.status.error_message = status.error_message
    return response


def status_json(statuses: list[VersionStatus]) -> dict:
    """The same as the object that REST answers."""
    return json_format.MessageToDict(status_response(statuses), **_JSON)


def signature_map(servable: Servable) -> SignatureDefMap:
    """`SignatureDefMap` of a servable."""
    result = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.definitions.items():
        result.signature_def[name].CopyFrom(definition)
    return result


def metadata_response(servable: Servable) -> GetModelMetadataResponse:
    """`GetModelMetadataResponse` of a servable."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata["signature_def"].Pack(signature_map(servable))
    return response


def metadata_json(servable: Servable) -> dict:
    """The same as the object that REST answers."""
    return {
        "model_spec": {"name": servable.name, "signature_name": "", "version": str(servable.version)},
        "metadata": {"signature_def": json_format.MessageToDict(signature_map(servable), **_JSON)},
    }


def _code(message, name):
    return message.DESCRIPTOR.fields_by_name["error_code"].enum_type.values_by_name[name].number
