"""What a server that is measured is asked."""

import base64
import json
from collections.abc import Sequence


def body_of(images: Sequence[bytes], **more: str) -> bytes:
    """The body of a `:predict` request for encoded images.

    Args:
        images: their bytes.
        **more: further keys, such as `signature_name`.

    Example:
        >>> body_of([b"GIF"], signature_name="encode")
        b'{"instances": [{"b64": "R0lG"}], "signature_name": "encode"}'
    """
    return json.dumps({"instances": [{"b64": base64.b64encode(one).decode()} for one in images], **more}).encode()
