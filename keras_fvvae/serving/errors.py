"""Errors of serving: a code that REST and gRPC share, and a reason."""

from keras_fvvae.errors import KerasFVVAEError

# TensorFlow Serving's table (`ToHTTPStatusCode` in model_servers/http_server.cc) for what occurs here.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class ServingError(KerasFVVAEError):
    """A request that failed.

    Args:
        code: name of a gRPC status code, such as `"INVALID_ARGUMENT"`.
        message: the reason, one sentence.
        http_status: status over REST where HTTP is more exact than the code (413, 408). Default: TensorFlow Serving's
            for the code.

    Example:
        >>> ServingError("NOT_FOUND", "No such model.").http_status
        404
    """

    def __init__(self, code: str, message: str, http_status: int | None = None):
        super().__init__(message)
        self.code = code
        self.http_status = http_status or HTTP_STATUS.get(code, 500)


def invalid(message: str) -> ServingError:
    """The client's mistake: 400."""
    return ServingError("INVALID_ARGUMENT", message)
