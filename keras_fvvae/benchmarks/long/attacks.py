"""Honest clients of a server that is attacked: what they wait for, and how much memory the server takes.

    python -m keras_fvvae.benchmarks.long.attacks [--seconds 300] [--out FILE]

Two clients ask for the class of one JPEG of 500x375 pixels a few times a second, first on a quiet server, then while
another process of this machine attacks in all these ways at once: requests for answers of half a gigabyte, the
largest answers that are allowed, JPEGs of 40,000 scans, connections that send nothing, half a header or half a body,
answers that are not read, bodies of 64 MiB that are announced and not sent, and JSON of millions of numbers. A refusal
(429 or 503) is asked again after what `Retry-After` says, and the time counts until the answer is there.
"""

import argparse
import base64
import contextlib
import io
import itertools
import json
import multiprocessing
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import requests
from PIL import Image

from keras_fvvae.benchmarks.long.serving import body_of, jpeg, metric, server
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe

NAME, SIZE, CLASSES = "birds", 224, 50
PATH = f"/v1/models/{NAME}:predict"
GOOD_CLIENTS, PAUSE, PATIENCE = 2, 0.25, 60.0
# Connections of each kind that sends nothing further; the server takes 1,024 in all.
SILENT = 400
SCANS = 40_000


def main() -> None:
    """Prints a table, and writes it as JSON with --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="of the attack; a tenth of it is quiet before")
    parser.add_argument("--out", help="JSON file to write the result to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / NAME
        _export(model)
        rows = _measure(str(model), arguments.seconds)
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(rows, indent=2))


def _export(path: Path) -> None:
    """A network whose vectors are long: 327,680 numbers each."""
    recipe = load_recipe(
        "image_folder",
        backbone="MobileNetV2",
        backbone_options={"alpha": 0.35},
        tap="out_relu",
        input_size=[SIZE, SIZE],
    )
    recipe = recipe.replace(information="none", vector_normalization="usual", lambda3=0.0)
    backbone = build_recipe_backbone(recipe, None)
    encoder = build_encoder(recipe, fvvae=build_fvvae(recipe, backbone, None), backbone=backbone)
    export_saved_model(build_classifier(encoder, [f"class {i}" for i in range(CLASSES)]), path, recipe_views(recipe))


def _measure(model: str, seconds: float) -> list[dict]:
    rows = []
    print("| | requests | answered | asked again | p50, ms | p99, ms | longest, ms | server's memory, most, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with server([model]) as url:
        _ask_for(url, 3)  # the first calls of a graph are slow
        for phase, length in (("quiet", seconds / 10), ("attacked", seconds), ("quiet again", seconds / 10)):
            with _attackers(url) if phase == "attacked" else contextlib.nullcontext() as counts:
                rows.append({"phase": phase, **_ask_for(url, length)})
            print(_line(rows[-1]), flush=True)
            if counts is not None:
                rows[-1]["attacks"] = dict(counts)
                print("".join(f"|  {name}: {count:,}" for name, count in sorted(counts.items())) + " | | | | | | |")
    ratio = rows[1]["p99_ms"] / rows[0]["p50_ms"]
    print(f"\np99 under attack / p50 of the quiet server: {ratio:.1f}")
    return rows


def _ask_for(url: str, seconds: float) -> dict:
    """Latencies of the honest clients, and the most memory that the server had, as `metric` of every second tells."""
    body, end = body_of([jpeg()]), time.monotonic() + seconds
    latencies: list[float] = []
    failures: list[float] = []
    repeats, memory = [], []

    def client():
        while time.monotonic() < end:
            start = time.monotonic()
            answer = None
            while time.monotonic() - start < PATIENCE:
                try:
                    answer = requests.post(url + PATH, data=body, timeout=PATIENCE)
                except requests.ConnectionError:
                    repeats.append("connection")
                    continue
                if answer.status_code not in (429, 503):
                    break
                repeats.append(answer.status_code)
                time.sleep(float(answer.headers["retry-after"]))
            (latencies if answer is not None and answer.ok else failures).append(time.monotonic() - start)
            time.sleep(PAUSE)

    def watch():
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                memory.append(metric(url, "process_resident_memory_bytes") / 1e6)
            time.sleep(1)

    threads = [threading.Thread(target=target) for target in (*[client] * GOOD_CLIENTS, watch)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    milliseconds = 1000 * np.array(latencies)
    return {
        "requests": len(latencies) + len(failures),
        "answered": len(latencies),
        "repeats": len(repeats),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p99_ms": float(np.percentile(milliseconds, 99)),
        "longest_ms": float(milliseconds.max()),
        "memory_mb": max(memory),
    }


def _line(row):
    return (
        f"| {row['phase']} | {row['requests']:,} | {row['answered']:,} | {row['repeats']:,} | {row['p50_ms']:.0f} | "
        f"{row['p99_ms']:.0f} | {row['longest_ms']:.0f} | {row['memory_mb']:,.0f} |"
    )


@contextlib.contextmanager
def _attackers(url: str) -> Iterator[MutableMapping[str, int]]:
    """Attacks from a process of its own, of the lowest priority: what they compute is not the server's work."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        counts = manager.dict()
        process = context.Process(target=_attack, args=(url, counts), daemon=True)
        process.start()
        try:
            yield counts
        finally:
            process.terminate()
            process.join()


def _attack(url: str, counts: MutableMapping[str, int]) -> None:
    os.nice(19)
    tiny = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(tiny, "PNG")
    content = base64.b64encode(tiny.getvalue()).decode()

    def encode(count):
        return json.dumps({"signature_name": "encode", "instances": [{"b64": content}] * count}).encode()

    posted = {
        "answers of half a gigabyte": encode(64),
        "the largest answers": encode(8),
        "scans": body_of([_many_scans()]),
        "JSON of numbers": b'{"instances": [' + b"1," * 2_000_000 + b"1]}",
    }
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    promise = head % (PATH.encode(), 64 << 20)
    silent = {"nothing": b"", "half a header": promise[:20], "half a body": promise + b"{", "promises": promise}

    def posting(body):
        return lambda: requests.post(url + PATH, data=body, timeout=PATIENCE)

    unread = head % (PATH.encode(), len(encode(8))) + encode(8)
    attacks = {
        **{name: posting(body) for name, body in posted.items()},
        **{name: _holder(url, text, SILENT) for name, text in silent.items()},
        "answers not read": _holder(url, unread, 4),
    }

    def repeat(name, attack):
        for count in itertools.count(1):
            with contextlib.suppress(requests.RequestException, OSError):
                attack()
            counts[name] = count

    threads = [threading.Thread(target=repeat, args=one, daemon=True) for one in attacks.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _holder(url: str, sent: bytes, most: int) -> Callable[[], None]:
    """Opens one more connection, sends that, and holds it; the oldest of so many is closed for it."""
    address, held = urlsplit(url), []

    def attack():
        held.append(socket.create_connection((address.hostname, address.port), timeout=PATIENCE))
        held[-1].sendall(sent)
        if len(held) > most:
            held.pop(0).close()
        time.sleep(0.005)

    return attack


def _many_scans() -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    written = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(written, "JPEG", progressive=True)
    content = written.getvalue()
    last = max(match.start() for match in re.finditer(rb"\xff\xda", content))
    return content[:-2] + content[last:-2] * SCANS + content[-2:]


if __name__ == "__main__":
    main()
