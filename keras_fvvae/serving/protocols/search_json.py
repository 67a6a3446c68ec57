"""The JSON of `:search`: queries as `:predict` takes them for the signature `encode`, and what is asked of them.

{"instances": [{"b64": ...}], "k": 10}
{"results": [{"neighbours": [{"item": 3, "name": "cat/1.jpg", "label": "cat", "similarity": 0.93, ...}]}]}
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import orjson

from keras_fvvae.errors import unknown_name
from keras_fvvae.serving.engine.signatures import find_signature
from keras_fvvae.serving.errors import invalid
from keras_fvvae.serving.protocols.json_tensors import read_inputs, read_object
from keras_fvvae.serving.searching.searches import ENCODE, MAX_EXPLAINED, SearchRequest

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.signatures import Signature

DEFAULT_K = 10
_KEYS = ("instances", "inputs", "k", "sha256", "explain", "item")
_DIGEST = re.compile("[0-9a-f]{64}")


def parse_search(body: bytes, signatures: dict[str, Signature], items: int, max_neighbours: int) -> SearchRequest:
    """Reads the body of a `:search` request.

    Args:
        body: bytes: an object with `instances` or `inputs`, and, each of them optional, `k` (neighbours of each query),
            `sha256` (a list: of each query's file, or null; of images by default of the bytes that were sent),
            `explain` (a boolean) and `item` (the position of one, which is explained instead of the nearest).
        signatures: dictionary from name to `Signature`.
        items: of the index.
        max_neighbours: of all queries together.

    Raises:
        ServingError: INVALID_ARGUMENT, with what is wrong.
    """
    request = read_object(body)
    for key in request:
        if key not in _KEYS:
            raise invalid(unknown_name("key of a search", key[:100], _KEYS))
    signature = find_signature(signatures, ENCODE)
    inputs, _ = read_inputs(request, signature)
    queries = len(next(iter(inputs.values())))
    k = min(_whole(request, "k", 1, DEFAULT_K), items)
    if k * queries > max_neighbours:
        raise invalid(
            f"{k:,} neighbours of {queries:,} queries are more than the limit of {max_neighbours:,}: send "
            "fewer queries, or a smaller `k`."
        )
    explain, item = request.get("explain", False), None
    if not isinstance(explain, bool):
        raise invalid("`explain` must be true or false.")
    if explain and queries > MAX_EXPLAINED:
        raise invalid(f"At most {MAX_EXPLAINED} queries of a request are explained; it holds {queries:,}.")
    if "item" in request:
        item = _whole(request, "item", 0)
        if not explain:
            raise invalid("`item` is what is explained: it needs `explain`.")
        if item >= items:
            raise invalid(f"`item` must be less than {items:,}, the number of items in the index.")
    return SearchRequest(signature, inputs, k, _digests(request, inputs, queries), explain, item)


def format_results(results: list[dict[str, Any]]) -> bytes:
    """The answer.

    Example:
        >>> format_results([{"neighbours": [], "explanation": None}])
        b'{"results":[{"neighbours":[],"explanation":null}]}'
    """
    content = {"results": results}
    try:
        return orjson.dumps(content, default=_readable, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # names of files that are no UTF-8, which Python keeps as halves of surrogate pairs
        return json.dumps(content, default=_readable).encode()


def _readable(value):
    """Arrays, where a writer does not take them as they are."""
    return value.tolist()


def _whole(request, key, least, default=None):
    value = request.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise invalid(f"`{key}` must be an integer of at least {least}.")
    return value


def _digests(request, inputs, queries):
    given = request.get("sha256")
    if given is None:
        (value, *others) = inputs.values()
        is_file = not others and value.dtype == object and value.ndim == 1
        return [hashlib.sha256(content).hexdigest() for content in value] if is_file else [None] * queries
    if not isinstance(given, list) or len(given) != queries:
        raise invalid("`sha256` must be a list with one entry a query.")
    for one in given:
        if one is not None and not (isinstance(one, str) and _DIGEST.fullmatch(one)):
            raise invalid("`sha256` must hold 64 hexadecimal digits, or null, for each query.")
    return given
