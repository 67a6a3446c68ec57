"""Time and memory of an index of very many vectors; and what a query costs beside its network.

    python -m keras_fvvae.benchmarks.long.search [--items 1000000] [--length 512] [--graph-items 20000] \
        [--index INDEX --image FILE] [--markdown docs/benchmarks/search.md]

Seconds are of the clock and, in brackets, of the processor: the first depend on what else the machine does. Vectors are
drawn around random centres, a thousand rows at a time. Building, searching and the graph run in processes
of their own, whose largest resident memory is told: pages of mapped files count too. Every answer is checked: a query
is a stored vector with a little noise, which has to come first.

With --index, one that `keras-fvvae index` has made: the seconds of encoding one image and searching against those of
the network alone, the smallest of several turns.
"""

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_fvvae.benchmarks.harness.children import call_in_child
from keras_fvvae.search import Index
from keras_fvvae.utils.cores import usable_cores

CENTRES = 1000
ROWS = 1000
NOISE = 0.5
TURNS = 5


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float16"])
    parser.add_argument("--graph-items", type=int, default=0, help="of an approximate search; 0: none")
    parser.add_argument("--index", help="for the cost of a query")
    parser.add_argument("--image", help="the query")
    parser.add_argument("--markdown", help="file for the result")
    arguments = parser.parse_args()
    lines = ["| what | seconds (of the processor) | peak memory (MiB) |", "| --- | --- | --- |"]

    def tell(what, seconds, peak=""):
        lines.append(f"| {what} | {seconds} | {peak} |")
        print(lines[-1], flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for dtype in arguments.dtypes:
            path = str(Path(folder, dtype))
            _measure(tell, path, arguments.items, arguments.length, dtype, False)
        if arguments.graph_items:
            _measure(tell, str(Path(folder, "graph")), arguments.graph_items, arguments.length, "float32", True)
    if arguments.index:
        for what, (seconds, own) in query_cost(arguments.index, arguments.image).items():
            tell(f"a query: {what}", f"{seconds:.4f} ({own:.4f})")
    if arguments.markdown:
        machine = f"{platform.processor() or platform.machine()}, {usable_cores()} cores"
        text = f"# Search\n\n`python -m {__spec__.name}`: {machine}.\n\n"
        Path(arguments.markdown).write_text(text + "\n".join(lines) + "\n")


def _measure(tell, path, items, length, dtype, graph):
    what = f"{items:,} x {length}, {dtype}{', graph' * graph}"
    module = __spec__.name
    built = call_in_child(
        f"{module}:build", {"path": path, "items": items, "length": length, "dtype": dtype, "graph": graph}
    )
    found = call_in_child(f"{module}:search", {"path": path, "graph": graph})
    for outcome in (built, found):
        if outcome.reason:
            raise SystemExit(f"{what}: {outcome.reason}")
    for name, seconds, peak in [
        ("build", built.value, built.peak_mb),
        *((name, seconds, found.peak_mb) for name, seconds in found.value.items()),
    ]:
        text = f"{seconds:.2f}" if isinstance(seconds, float) else f"{seconds[0]:.3g} ({seconds[1]:.3g})"
        tell(f"{name}: {what}", text, f"{peak:.0f}")


def build(path: str, items: int, length: int, dtype: str, graph: bool) -> tuple[float, float]:
    """Builds an index; returns the seconds, of drawing the vectors too."""
    names = [str(number) for number in range(items)]
    start = _now()
    Index.build(path, _blocks(items, length), names, dtype=dtype, approximate=graph)
    return _since(start)


def search(path: str, graph: bool) -> dict[str, tuple[float, float] | float]:
    """Opens an index and searches; returns seconds by what was done, and the share that the graph finds.

    Raises:
        ValueError: if a query's own vector is not the first, or the graph misses more than a tenth.
    """
    start = _now()
    index = Index.open(path)
    seconds: dict[str, tuple[float, float] | float] = {"open, SHA-256 of all files": _since(start)}
    generator = np.random.default_rng(1)
    own = np.sort(generator.choice(len(index), min(100, len(index)), replace=False))
    queries = np.asarray(index.vectors[own], "float32")
    queries += generator.normal(0, 0.1 / np.sqrt(queries.shape[1]), queries.shape).astype("float32")
    for what, count in (("a query", 1), ("100 queries", len(own))):
        turns = []
        for _ in range(TURNS if count == 1 else 1):
            start = _now()
            exact = index.search(queries[:count], k=10)
            turns.append(_since(start))
        seconds[f"{what}, exact"] = min(turns)
    if not np.array_equal(exact.positions[:, 0], own):
        raise ValueError("a query's own vector is not its nearest")
    if graph:
        start = _now()
        found = index.search(queries, k=10, approximate=True)
        seconds["100 queries, by the graph, which is opened"] = _since(start)
        shares = [len(set(a) & set(b)) / 10 for a, b in zip(exact.positions, found.positions, strict=True)]
        seconds["share of the true nearest that the graph finds, no seconds"] = float(np.mean(shares))
    return seconds


def query_cost(index: str, image: str) -> dict[str, tuple[float, float]]:
    """Seconds of a query's parts from pixels on, the smallest of several turns."""
    from keras_fvvae.data.items import item_collection
    from keras_fvvae.data.views import read_resized
    from keras_fvvae.search import QueryEncoder
    from keras_fvvae.training.vectors import mean_raw_vectors

    queries = QueryEncoder(Index.open(index))
    encoder, views = queries.encoder, queries.reader.views
    (frames,) = read_resized(item_collection([image], queries.kind), 0, [views])
    pixels = views.crop(frames).numpy()

    def encode():
        return encoder.normalize_on_batch(mean_raw_vectors(encoder, pixels, [len(pixels)]))

    vector = encode()
    parts = {
        "the network alone": lambda: encoder.backbone.predict_on_batch(pixels),
        "encode": encode,
        f"search {len(queries.index):,} x {queries.index.vectors.shape[1]:,}": lambda: queries.index.search(vector),
        "encode and search": lambda: queries.index.search(encode()),
    }
    seconds = dict.fromkeys(parts, (float("inf"), float("inf")))
    for _ in range(10 * TURNS):
        for name, call in parts.items():
            start = _now()
            call()
            wall, own = _since(start)
            seconds[name] = min(seconds[name][0], wall), min(seconds[name][1], own)
    return seconds


def _now():
    return time.perf_counter(), time.process_time()


def _since(start):
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _blocks(items, length):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(CENTRES, length)).astype("float32")
    for start in range(0, items, ROWS):
        count = min(ROWS, items - start)
        noise = generator.standard_normal((count, length), "float32")
        yield centres[generator.integers(0, CENTRES, count)] + NOISE * noise


if __name__ == "__main__":
    main()
