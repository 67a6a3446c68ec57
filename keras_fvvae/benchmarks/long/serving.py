"""The server under load: FV-VAE against the bare backbone on the same server, and a soak.

    python -m keras_fvvae.benchmarks.long.serving [--backbone VGG19] [--tap conv5_4] [--size 224] \
        [--clients 1 4 16] [--requests 48]
    python -m keras_fvvae.benchmarks.long.serving --soak 10000

The first serves two SavedModels side by side, the whole classifier and its bare backbone (decoding, resizing, the
backbone, and the mean of its map), once with batches and once without, and asks both in turns. Where other programs
disturb the clock, the ratio of the server's CPU time says what the classifier adds. Weights are random: they do not
change the speed. The second asks digits_conv's export until all requests are answered, and reads the server's memory on
the way.
"""

import argparse
import contextlib
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests
import tensorflow as tf

from keras_fvvae.benchmarks.harness.request_bodies import body_of
from keras_fvvae.benchmarks.suites.export import export_bare_backbone
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import load_digits
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe
from keras_fvvae.tasks.verify import encoded_images
from keras_fvvae.zoo import load

CLASSES = 200
MODES = {"batches of up to 32": ["--max-batch-size", "32"], "no batches": ["--max-batch-size", "1"]}
COMMAND = "import sys; sys.argv[0] = 'keras-fvvae'; from keras_fvvae.tools.serve import command; command()"


def main() -> None:
    """Prints a table, and writes it as JSON with --out."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        report = (_soak if arguments.soak else _compare)(arguments, Path(folder))
    if arguments.out:
        Path(arguments.out).write_text(json.dumps({"arguments": vars(arguments), "rows": report}, indent=2))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="VGG19")
    parser.add_argument("--tap", default="conv5_4", help="empty for the last convolutional stage")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--requests", type=int, default=48, help="per model, mode and number of clients")
    parser.add_argument("--batch-timeout-ms", type=float, default=2.0)
    parser.add_argument("--max-batch-size", type=int, default=32, help="of the soak")
    parser.add_argument("--soak", type=int, default=0, help="requests to digits_conv instead of the comparison")
    parser.add_argument("--out", help="JSON file to write the result to")
    return parser.parse_args()


def _compare(arguments, folder):
    recipe = load_recipe(
        "image_folder",
        backbone=arguments.backbone,
        tap=arguments.tap or None,
        input_size=[arguments.size, arguments.size],
    ).replace(lambda3=0.0, information="none")
    backbone = build_recipe_backbone(recipe, None)
    encoder = build_encoder(recipe, fvvae=build_fvvae(recipe, backbone, None), backbone=backbone)
    classifier = build_classifier(encoder, [f"class {i}" for i in range(CLASSES)])
    export_saved_model(classifier, folder / "fv_vae", recipe_views(recipe))
    export_bare_backbone(backbone, folder / "backbone" / "1", (arguments.size, arguments.size))
    (folder / "models.config").write_text(
        "model_config_list {\n"
        + "".join(f'config {{ name: "{name}" base_path: "{name}" }}\n' for name in ("backbone", "fv_vae"))
        + "}\n"
    )
    body = body_of([jpeg()])
    rows = []
    print(
        f"{recipe.backbone} {recipe.tap or ''} {arguments.size}x{arguments.size}, JPEG of 500x375, {CLASSES} classes; "
        f"TensorFlow {tf.__version__}, {platform.machine()} CPU\n"
    )
    print("| mode | clients | model | requests per second | ms, median (95 %) | CPU ms per request |")
    print("| --- | --- | --- | --- | --- | --- |")
    for mode, options in MODES.items():
        options = [*options, "--batch-timeout-ms", str(arguments.batch_timeout_ms)]
        with server(["--config", str(folder / "models.config"), *options]) as url:
            for name in ("backbone", "fv_vae"):
                _load(url, name, body, 2, max(arguments.clients))  # the first calls of a graph are slow
            for clients in arguments.clients:
                pair = {}
                for name in ("backbone", "fv_vae"):
                    pair[name] = _load(url, name, body, arguments.requests, clients)
                    rows.append({"mode": mode, "clients": clients, "model": name, **pair[name]})
                    print(_line(rows[-1]), flush=True)
                share = 1 - pair["backbone"]["cpu_ms"] / pair["fv_vae"]["cpu_ms"]
                time_share = 1 - pair["fv_vae"]["per_second"] / pair["backbone"]["per_second"]
                print(f"| {mode} | {clients} | FV-VAE's share | {time_share:.1%} of the time | | {share:.1%} |")
    return rows


def _soak(arguments, folder):
    recipe = load_recipe("digits_conv", information="none")
    model = load("digits_conv", weights=None)
    encoder = build_encoder(recipe, fvvae=model, backbone=model.backbone)
    classifier = build_classifier(encoder, [f"digit {i}" for i in range(10)])
    export_saved_model(classifier, folder / "digits", recipe_views(recipe))
    bodies = [body_of([content]) for content in encoded_images(load_digits(), range(64))]
    clients = max(arguments.clients)
    rows, failed = [], 0
    options = ["--max-batch-size", str(arguments.max_batch_size), "--batch-timeout-ms", str(arguments.batch_timeout_ms)]
    print("| requests | resident memory, MB | requests per second | CPU ms per request |\n| --- | --- | --- | --- |")
    with (
        server([str(folder / "digits"), *options]) as url,
        ThreadPoolExecutor(clients) as pool,
        requests.Session() as session,
    ):
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=clients))
        address, step = f"{url}/v1/models/digits:predict", max(1, arguments.soak // 10)
        for done in range(0, arguments.soak, step):
            start, cpu = time.perf_counter(), metric(url, "process_cpu_seconds_total")
            jobs = [pool.submit(session.post, address, bodies[i % len(bodies)]) for i in range(step)]
            failed += sum(job.result().status_code != 200 for job in jobs)
            seconds = time.perf_counter() - start
            memory = metric(url, "process_resident_memory_bytes") / 1e6
            cpu = 1000 * (metric(url, "process_cpu_seconds_total") - cpu) / step
            rows.append({"requests": done + step, "megabytes": memory, "per_second": step / seconds, "cpu_ms": cpu})
            print(f"| {done + step:,} | {memory:,.1f} | {step / seconds:.0f} | {cpu:.2f} |", flush=True)
    print(f"\n{failed} of {rows[-1]['requests']:,} requests failed; {clients} clients.")
    return rows


@contextlib.contextmanager
def server(arguments: list[str]) -> Iterator[str]:
    """A server of these arguments, in a process of its own; gives its URL."""
    command = [sys.executable, "-c", COMMAND, *arguments, "--port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield re.search(r"Page (http\S+)/ ", process.stdout.readline())[1]
    finally:
        process.terminate()
        process.communicate()


def _load(url, name, body, count, clients):
    """Throughput, latencies and the server's CPU time of `count` requests by so many clients at once."""
    latencies = []
    address = f"{url}/v1/models/{name}:predict"

    def ask(session):
        start = time.perf_counter()
        answer = session.post(address, body)
        assert answer.status_code == 200, answer.text
        latencies.append(time.perf_counter() - start)

    cpu = metric(url, "process_cpu_seconds_total")
    with requests.Session() as session, ThreadPoolExecutor(clients) as pool:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=clients))
        start = time.perf_counter()
        for job in [pool.submit(ask, session) for _ in range(max(count, clients))]:
            job.result()
        seconds = time.perf_counter() - start
    cpu = metric(url, "process_cpu_seconds_total") - cpu
    return {
        "per_second": len(latencies) / seconds,
        "median_ms": 1000 * statistics.median(latencies),
        "p95_ms": 1000 * float(np.percentile(latencies, 95)),
        "cpu_ms": 1000 * cpu / len(latencies),
    }


def _line(row):
    return (
        f"| {row['mode']} | {row['clients']} | {row['model']} | {row['per_second']:.2f} | "
        f"{row['median_ms']:.0f} ({row['p95_ms']:.0f}) | {row['cpu_ms']:.0f} |"
    )


def metric(url: str, name: str) -> float:
    """One of a server's metrics."""
    text = requests.get(f"{url}/monitoring/prometheus/metrics").text
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def jpeg() -> bytes:
    """Of 500x375 pixels."""
    coarse = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype("float32")
    image = tf.cast(tf.clip_by_value(tf.image.resize(coarse, (375, 500), method="bicubic"), 0, 255), tf.uint8)
    return tf.io.encode_jpeg(image).numpy()


if __name__ == "__main__":
    main()
