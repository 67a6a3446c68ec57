"""Frames from video files against bare decoding and against the bare backbone, and the memory over many items.

    python -m keras_fvvae.benchmarks.long.video [--data DIR] [--backbone VGG19] [--tap pool5] [--memory-items 10000]

Every row is measured in one run: rounds are interleaved in random order, and medians are taken. Without --data, videos
of moving digits (240x240, 32 frames) are written. Weights are random: they do not change the speed.
"""

import argparse
import gc
import json
import os
import platform
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_fvvae.backbones import build_backbone
from keras_fvvae.data import Collection, Views, view_batches
from keras_fvvae.data.batch_sizes import items_per_batch
from keras_fvvae.data.datasets.moving_digits import load_moving_digits
from keras_fvvae.data.readers.media import is_video
from keras_fvvae.utils.cores import usable_cores
from keras_fvvae.utils.video_packages import av


def main() -> None:
    """Prints a table and writes it as JSON."""
    arguments = _arguments()
    views = Views((224, 224), resize_to=(240, 320), frames=25, modality=arguments.modality)
    backbone = build_backbone(arguments.backbone, arguments.tap or None, views.size, channels=views.channels)
    with tempfile.TemporaryDirectory() as folder:
        paths = _videos(arguments, folder)
        collection = _collection(paths)
        items = items_per_batch(views, "video")

        def batches():
            return view_batches(collection, range(len(paths)), views, items)

        in_memory = [batch["views"] for batch in batches()]
        count = sum(len(batch) for batch in in_memory)
        jobs = {
            "bare backbone, views in memory": lambda: [backbone.predict_on_batch(views) for views in in_memory],
            "activations from video files": lambda: [backbone.predict_on_batch(b["views"]) for b in batches()],
            "views from video files, no backbone": lambda: [batch["index"] for batch in batches()],
            "bare decoding, PyAV, one thread": lambda: [_decode(path) for path in paths],
        }
        seconds, cpu_seconds = _measure(jobs, arguments.rounds)
        rows = _report(arguments, seconds, cpu_seconds, len(paths), count)
        memory = _memory(paths, views, arguments.memory_items) if arguments.memory_items else []
    if arguments.out:
        result = {"arguments": vars(arguments), "rows": rows, "memory": memory}
        Path(arguments.out).write_text(json.dumps(result, indent=2))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of videos, searched in depth; default: made for the run")
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="VGG19")
    parser.add_argument("--tap", default="pool5", help="empty for the last convolutional stage")
    parser.add_argument("--modality", default="rgb", choices=("rgb", "flow", "flow_stack"))
    parser.add_argument(
        "--memory-items", type=int, default=0, help="read so many videos, repeated, and watch the memory"
    )
    parser.add_argument("--out", help="JSON file to write the result to")
    return parser.parse_args()


def _videos(arguments, folder):
    if not arguments.data:
        return load_moving_digits(folder, 3, 1, frames=32, size=240, verbose=0).sources[: arguments.videos]
    paths = sorted(path for path in Path(arguments.data).rglob("*") if is_video(path.name))
    return paths[:: max(1, len(paths) // arguments.videos)][: arguments.videos]


def _collection(paths):
    return Collection(paths, range(len(paths)), [0] * len(paths), ["test"] * len(paths), ["a"], kind="video")


def _decode(path):
    with av.open(os.fspath(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def _measure(jobs, rounds):
    seconds, cpu_seconds = ({name: [] for name in jobs} for _ in range(2))
    for name in jobs:
        jobs[name]()  # compiles, and fills the file cache
    for _ in range(rounds):
        for name in random.sample(list(jobs), len(jobs)):
            start, cpu_start = time.perf_counter(), time.process_time()
            jobs[name]()
            seconds[name].append(time.perf_counter() - start)
            cpu_seconds[name].append(time.process_time() - cpu_start)
    return seconds, cpu_seconds


def _report(arguments, seconds, cpu_seconds, videos, frames):
    bare = next(iter(seconds))
    rows = [
        {
            "what": name,
            "frames_per_second": frames / statistics.median(seconds[name]),
            "time_ratio": statistics.median(seconds[name]) / statistics.median(seconds[bare]),
            "cpu_time_ratio": statistics.median(cpu_seconds[name]) / statistics.median(cpu_seconds[bare]),
        }
        for name in seconds
    ]
    print(
        f"{arguments.backbone} {arguments.tap}, {arguments.modality}, {videos} videos, {frames} views of 224x224, "
        f"{arguments.rounds} rounds; TensorFlow {tf.__version__}, {platform.machine()} CPU, {usable_cores()} cores, "
        f"{len(tf.config.list_logical_devices('GPU'))} GPU\n"
    )
    print("| what | views per second | time, ratio to the bare backbone | the same, CPU time |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        ratios = f"{row['time_ratio']:.3f} | {row['cpu_time_ratio']:.3f}"
        print(f"| {row['what']} | {row['frames_per_second']:.1f} | {ratios} |")
    return rows


def _memory(paths, views, items):
    """Resident memory in MB while `items` videos are read, the given ones again and again."""
    collection = _collection([paths[i % len(paths)] for i in range(items)])
    samples, step = [], max(1, items // 10)
    done = 0
    for batch in view_batches(collection, np.arange(items), views, 1):
        done += len(batch["index"])
        if done % step == 0:
            gc.collect()
            samples.append((done, _resident()))
    print("\n| videos read | resident memory, MB |\n| --- | --- |")
    for count, megabytes in samples:
        print(f"| {count} | {megabytes} |")
    return samples


def _resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


if __name__ == "__main__":
    main()
