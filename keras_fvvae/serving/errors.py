"""Errors of serving: a code that REST and gRPC share, and a reason."""

import re

from keras_fvvae.errors import KerasFVVAEError

# Of a message: what a client sent, a name of 100,000 letters for example, must not come back whole; over gRPC it would
# not fit the header that carries it.
MAX_MESSAGE = 1000
_FOLDERS = re.compile(r"(?<![\w/])(?:~|[A-Za-z]:)?/(?:[^\s'\"`,;:<>|]*/)?(?=[^\s/'\"`,;:<>|])")
# TensorFlow Serving's table (`ToHTTPStatusCode` in model_servers/http_server.cc) for what occurs here.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "PERMISSION_DENIED": 403,
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
        message: the reason, one sentence; cut where it is longer than 1,000 characters.
        http_status: status over REST where HTTP is more exact than the code (413, 408). Default: TensorFlow Serving's
            for the code.

    Example:
        >>> ServingError("NOT_FOUND", "No such model.").http_status
        404
    """

    def __init__(self, code: str, message: str, http_status: int | None = None):
        super().__init__(message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}...")
        self.code = code
        self.http_status = http_status or HTTP_STATUS.get(code, 500)


def invalid(message: str) -> ServingError:
    """The client's mistake: 400."""
    return ServingError("INVALID_ARGUMENT", message)


def without_paths(message: str) -> str:
    """A message without the folders of the paths in it, for clients: how the server's disk looks is not theirs.

    Example:
        >>> without_paths("OSError: '/srv/models/birds/1/saved_model.pb' cannot be read, nor /etc/x.")
        "OSError: 'saved_model.pb' cannot be read, nor x."
    """
    return _FOLDERS.sub("", message)
