"""From encoded queries to neighbours, and to what makes a query and a neighbour similar."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.serving.engine.answer_size import JSON_NUMBER_BYTES, actual_bytes, check_size
from keras_fvvae.serving.engine.lanes import LIGHT_BYTES
from keras_fvvae.serving.errors import ServingError, invalid
from keras_fvvae.serving.searching.encoders import why_not_searched
from keras_fvvae.serving.searching.item_files import ItemFiles

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.engine import Engine, Held
    from keras_fvvae.serving.engine.servable import Servable
    from keras_fvvae.serving.engine.signatures import Signature
    from keras_fvvae.serving.searching.interface import ServedIndex

ENCODE, EXPLAIN = "encode", "explain_match"
# The further input of the signature that explains, and the output of the one that encodes.
MATCH, VECTOR = "match", "fisher_vector"
# Queries of a request that can be explained: each takes the network twice more.
MAX_EXPLAINED = 16
# Of a neighbour as JSON at most, without its name and label.
_NEIGHBOUR_BYTES = 200


@dataclasses.dataclass
class SearchRequest:
    """What is asked of a batch of queries.

    Attributes:
        signature: the one that encodes.
        inputs: of the queries, dictionary from name to array.
        k: how many neighbours of each.
        digests: SHA-256 of each query's file, or `None`.
        explain: whether the parts of a similarity are wanted.
        item: position of the item that each query's similarity is explained to. Default: its nearest.
    """

    signature: Signature
    inputs: dict[str, np.ndarray]
    k: int
    digests: list[str | None]
    explain: bool = False
    item: int | None = None


class Searches:
    """The searches of one server. Each index has a thread of its own: its products take all cores as it is.

    Args:
        engine: an `Engine`.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        settings = engine.settings
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._files: dict[str, ItemFiles] = {}
        for name, model in engine.repository.models.items():
            if (index := model.config.index) is not None:
                self._threads[name] = ThreadPoolExecutor(1, thread_name_prefix="search")
                self._files[name] = ItemFiles(index, settings.pictures, settings.max_pixels, settings.max_images)

    def described(self) -> dict[str, dict[str, Any]]:
        """By name of a model that can be searched, what its index holds."""
        found = {}
        for name in self._threads:
            index = self.index(name)
            found[name] = {"items": len(index), "kind": (index.encoding or {}).get("kind")}
        return found

    def index(self, name: str) -> ServedIndex:
        """The index of a model.

        Raises:
            ServingError: NOT_FOUND if it has none.
        """
        index = self._engine.repository.model(name).config.index
        if index is None:
            raise ServingError("NOT_FOUND", f"The model {name} has no index: `keras-fvvae serve --index` gives it one.")
        return index

    async def thumbnail(self, name: str, position: int) -> bytes:
        """A JPEG of an item.

        Raises:
            ServingError: NOT_FOUND if there is no such item, or its file is not there, or another one by now.
        """
        if position >= len(self.index(name)):
            raise ServingError("NOT_FOUND", f"The index of {name} has no item {position}.")
        # As heavy work: how large the file is, is not known yet.
        return await self._engine.lanes.run(LIGHT_BYTES + 1, self._files[name].thumbnail, position)

    async def search(
        self,
        name: str,
        version: int | None,
        label: str | None,
        parse: Callable[[Servable, ServedIndex], SearchRequest],
        held: Held,
    ) -> list[dict[str, Any]]:
        """Answers one request.

        Args:
            name, version, label: as of `Engine.predict`.
            parse: from the servable and the index to what is asked; runs in a thread.
            held: what the request holds of the memory; the answer is added.

        Returns:
            For every query a dictionary: `neighbours`, and, if it was asked for, `explanation`; or `error`.

        Raises:
            ServingError: why there is no answer.
        """
        engine, index = self._engine, self.index(name)
        async with engine.answering(name, version, label) as (_, servable):
            if why_not_searched(index, servable.encoder):
                raise ServingError(
                    "NOT_FOUND",
                    f"Version {servable.version} of {name} has no index: that of {name} is of another model.",
                )

            def parsed(servable):
                request = parse(servable, index)
                return request.signature, request.inputs, request

            outputs, (request,) = await engine.compute(servable, parsed, held)
            if not np.issubdtype(outputs[VECTOR].dtype, np.floating) or outputs[VECTOR].ndim != 2:
                raise ServingError("INTERNAL", f"The model {name} does not encode vectors.")
            readable = np.isfinite(outputs[VECTOR]).all(axis=1)
            results: list[dict[str, Any]] = [
                {"neighbours": []} if one else {"error": "it cannot be decoded, or has no vector"} for one in readable
            ]
            if readable.any():
                rows = np.flatnonzero(readable)
                found = await self._nearest(name, index, outputs[VECTOR][rows], request.k)
                self._tell(name, index, request, results, rows, found, held)
            if request.explain:
                for row in np.flatnonzero(readable).tolist():
                    vector = outputs[VECTOR][row : row + 1]
                    query = {key: value[row : row + 1] for key, value in request.inputs.items()}
                    match = results[row]["neighbours"][0]["item"] if request.item is None else request.item
                    results[row]["explanation"] = await self._explained(name, servable, query, vector, match, held)
            return results

    def close(self) -> None:
        """Ends the threads when what they do has ended; what waits for them is given up."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    async def _nearest(self, name, index, vectors, k):
        start = time.perf_counter()
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads[name], lambda: index.search(vectors, k))
        self._engine.metrics.search_seconds.labels(name).observe(time.perf_counter() - start)
        return found

    def _tell(self, name, index, request, results, rows, found, held):
        """Fills in the neighbours, if the answer is not too large with them."""
        items, files = index.items, self._files[name]
        size = 0
        for row, positions, similarities in zip(
            rows.tolist(), found.positions.tolist(), found.similarities.tolist(), strict=True
        ):
            digest = request.digests[row]
            for position, similarity in zip(positions, similarities, strict=True):
                label = items.labels[position]
                neighbour = {
                    "item": position,
                    "name": items.names[position],
                    "label": label,
                    "similarity": similarity,
                    "same_file": digest is not None and digest == items.digests[position],
                    "picture": files.known(position),
                }
                results[row]["neighbours"].append(neighbour)
                # A character is written in 12 bytes at most.
                size += _NEIGHBOUR_BYTES + 12 * (len(neighbour["name"]) + len(label or ""))
        check_size(size, self._engine.settings.max_response_bytes)
        held.add(size)

    async def _explained(self, name, servable, query, vector, match, held):
        """The cosine of a query and an item, and its parts on both."""
        index, files = self.index(name), self._files[name]
        explains = servable.signatures.get(EXPLAIN)
        if explains is None:
            raise invalid(f"The model {name} has no signature {EXPLAIN!r}: its similarities are not split.")
        names = list(query)
        other, missing = None, ""
        try:
            other = await self._engine.lanes.run(LIGHT_BYTES + 1, files.inputs, match, names)
            held.add(sum(len(content) for value in other.values() if value.dtype == object for content in value.flat))
        except ServingError as error:
            if error.code != "NOT_FOUND":
                raise
            missing = str(error)

        async def computed(signature, inputs):
            outputs, _ = await self._engine.compute(servable, lambda _: (signature, inputs), held)
            return outputs

        if other is not None:
            # By the same graph as its parts, so that both sides are parts of one similarity.
            other_vector = (await computed(servable.signatures[ENCODE], other))[VECTOR]
        elif index.whitening is None:
            other_vector = np.asarray(index.vectors[match : match + 1], "float32")
        else:
            return {"item": match, "error": f"{missing} Its vector, before it was whitened, is not known without."}
        own = await computed(explains, {**query, MATCH: other_vector})
        sides: dict[str, Any] = {"query": _side(own)}
        if other is None:
            sides["error"] = missing
        else:
            outputs = await computed(explains, {**other, MATCH: vector})
            sides["match"] = _side(outputs)
            own = {**own, **{f"match_{key}": value for key, value in outputs.items()}}
        size = actual_bytes(own, JSON_NUMBER_BYTES)
        check_size(size, self._engine.settings.max_response_bytes)
        held.add(size)
        return {"item": match, "similarity": float(own["similarity"][0]), **sides}


def _side(outputs):
    """The parts of one of two similar items: they and the constant add up to the similarity."""
    return {"contributions": outputs["contributions"][0], "constant": float(outputs["constant"][0])}
