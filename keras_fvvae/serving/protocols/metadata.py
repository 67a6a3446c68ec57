"""Status and metadata of models as the objects that TensorFlow Serving's REST answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import json_format

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.repository import VersionStatus
    from keras_fvvae.serving.engine.servable import Servable

_JSON = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}


def status_json(statuses: list[VersionStatus]) -> dict:
    """`GetModelStatusResponse` of a list of `VersionStatus`."""
    return {
        "model_version_status": [
            {
                "version": str(status.version),
                "state": status.state,
                "status": {"error_code": status.error_code, "error_message": status.error_message},
            }
            for status in statuses
        ]
    }


def metadata_json(servable: Servable) -> dict:
    """`GetModelMetadataResponse` of a servable."""
    definitions = {
        name: json_format.MessageToDict(definition, **_JSON) for name, definition in servable.definitions.items()
    }
    return {
        "model_spec": {"name": servable.name, "signature_name": "", "version": str(servable.version)},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }
