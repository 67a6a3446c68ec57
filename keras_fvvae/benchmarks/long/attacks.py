"""Honest clients of a server that is attacked: what they wait for, and how much memory the server takes.

    python -m keras_fvvae.benchmarks.long.attacks [--seconds 300] [--attacks NAME ...] [--nice 19] [--out FILE]

Two clients ask for the class of one JPEG of 500x375 pixels a few times a second, first on a quiet server, then while
another process of this machine attacks in all these ways at once: requests for answers of half a gigabyte, the
largest answers that are allowed, JPEGs of 40,000 scans, connections that send nothing, half a header or half a body,
answers that are not read, bodies of 64 MiB that are announced and not sent, and JSON of millions of numbers. A refusal
(429 or 503) is asked again after what `Retry-After` says, and the time counts until the answer is there. Attackers
elsewhere would not take the server's processor: these have the lowest priority (--nice).
"""

import argparse
import collections
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import requests

from keras_fvvae.benchmarks.harness.request_bodies import body_of
from keras_fvvae.benchmarks.long.attackers import NAME, PATH, PATIENCE
from keras_fvvae.benchmarks.long.serving import jpeg, metric, server
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe

SIZE, CLASSES = 224, 50
GOOD_CLIENTS, PAUSE = 2, 0.25


def main() -> None:
    """Prints a table, and writes it as JSON with --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="of the attack; a tenth of it is quiet before")
    parser.add_argument("--attacks", nargs="+", help="some of them, as they are called in the table")
    parser.add_argument("--nice", type=int, default=19, help="of the attackers, who share the server's processor")
    parser.add_argument("--out", help="JSON file to write the result to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / NAME
        _export(model)
        rows = _measure(str(model), arguments.seconds, arguments.attacks, arguments.nice)
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


def _measure(model: str, seconds: float, chosen: list[str] | None, nice: int) -> list[dict]:
    rows = []
    print("| | requests | answered | asked again | p50, ms | p99, ms | longest, ms | server's memory, most, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with server([model]) as url:
        _ask_for(url, 3)  # the first calls of a graph are slow
        for phase, length in (("quiet", seconds / 10), ("attacked", seconds), ("quiet again", seconds / 10)):
            with _attackers(url, chosen, nice) if phase == "attacked" else _nobody() as attacked:
                rows.append({"phase": phase, **_ask_for(url, length)})
            rows[-1] |= attacked
            print(_line(rows[-1]), flush=True)
    row, ratio = rows[1], rows[1]["p99_ms"] / rows[0]["p50_ms"]
    print("\nAttacks: " + ", ".join(f"{name} {count:,}" for name, count in row["attacks"].items()) + ".")
    server_cores, attackers_cores = (row[key] / row["seconds"] for key in ("server_cpu_s", "attackers_cpu_s"))
    print(
        f"Cores in use while it was attacked: by the server {server_cores:.2f}, by the attackers {attackers_cores:.2f}."
    )
    print(f"p99 under attack / p50 of the quiet server: {ratio:.1f}")
    return rows


def _ask_for(url: str, seconds: float) -> dict:
    """Latencies of the honest clients, and the server's time and the most memory it had, by `metric` every second."""
    body, begin = body_of([jpeg()]), time.monotonic()
    end = begin + seconds
    latencies: list[float] = []
    failures: list[float] = []
    repeats, memory, cpu = [], [], []

    def client():
        while time.monotonic() < end:
            start = time.monotonic()
            answer = None
            while time.monotonic() - start < PATIENCE:
                try:
                    answer = requests.post(url + PATH, data=body, timeout=PATIENCE)
                except requests.ConnectionError:
                    repeats.append("The connection was closed.")
                    continue
                if answer.status_code not in (429, 503):
                    break
                repeats.append(answer.json()["error"])
                time.sleep(float(answer.headers["retry-after"]))
            (latencies if answer is not None and answer.ok else failures).append(time.monotonic() - start)
            time.sleep(PAUSE)

    def watch():
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException, TypeError):  # refused, or without that number
                memory.append(metric(url, "process_resident_memory_bytes") / 1e6)
                cpu.append(metric(url, "process_cpu_seconds_total"))
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
        "repeats": dict(collections.Counter(repeats)),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p99_ms": float(np.percentile(milliseconds, 99)),
        "longest_ms": float(milliseconds.max()),
        "memory_mb": max(memory),
        "seconds": time.monotonic() - begin,
        "server_cpu_s": cpu[-1] - cpu[0],
    }


def _line(row):
    return (
        f"| {row['phase']} | {row['requests']:,} | {row['answered']:,} | {sum(row['repeats'].values()):,} | "
        f"{row['p50_ms']:.0f} | {row['p99_ms']:.0f} | {row['longest_ms']:.0f} | {row['memory_mb']:,.0f} |"
    )


@contextlib.contextmanager
def _nobody() -> Iterator[dict]:
    yield {}


@contextlib.contextmanager
def _attackers(url: str, chosen: list[str] | None, nice: int) -> Iterator[dict]:
    """Attacks from a process of its own; at the end the dictionary has what that says."""
    command = [sys.executable, "-m", "keras_fvvae.benchmarks.long.attackers", "--nice", str(nice), url]
    command += chosen or []
    said: dict = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield said
        said |= json.loads(process.communicate()[0])


if __name__ == "__main__":
    main()
