"""What one video costs an extraction (`keras-fvvae encode`), part by part: the figures of docs/scale.md.

    python -m keras_fvvae.benchmarks.long.extraction --data UCF-101 [--items 3000]

Seconds are CPU time of all threads, so that other programs on the machine change them little. The clips are 10 s of
H.264 at 30 frames/s, made by repeating and resizing the frames of a video of --data. Weights are random: they do not
change the speed.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.data import Collection, Views
from keras_fvvae.data.readers.media import is_video
from keras_fvvae.data.readers.video import read_video
from keras_fvvae.data.views import read_resized
from keras_fvvae.encoding.item_encoder import Encoding, Result
from keras_fvvae.encoding.items import Item, list_items
from keras_fvvae.encoding.output import Output
from keras_fvvae.encoding.processes import encode_in_processes
from keras_fvvae.recipes import Recipe, load_recipe
from keras_fvvae.utils.files import sha256
from keras_fvvae.utils.video_packages import av, cv2

FRAMES = 300  # 10 s at 30 frames/s
SIZES = ((256, 340), (720, 1280))  # how Kinetics is usually kept, and what it is cut from
VIEWS = Views((224, 224), resize_to=(240, 320), frames=25)
MEASURED_VIEWS = 5
INDEX_ITEMS = 100_000


def main() -> None:
    """Prints one line for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with a video")
    parser.add_argument("--items", default=3000, type=int, help="images for the memory of a process")
    arguments = parser.parse_args()
    source = next(path for path in sorted(arguments.data.rglob("*")) if is_video(path))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _reading(source, folder)
        _storing(folder)
        _index(folder)
        _network()
        _memory(folder, arguments.items)


def _cpu_seconds(job, repetitions=1):
    job()
    began = time.process_time()
    for _ in range(repetitions):
        job()
    return (time.process_time() - began) / repetitions


def _reading(source, folder):
    frames = list(read_video(str(source), lambda total: range(total)).frames.values())
    for height, width in SIZES:
        shown = [cv2.resize(frames[i % len(frames)], (width, height)) for i in range(FRAMES)]
        path = folder / f"{height}.mp4"
        _write_video(path, shown)
        collection = Collection([path], ["clip"], [0], ["test"], ["a"], kind="video")
        seconds = _cpu_seconds(lambda c=collection: read_resized(c, 0, [VIEWS]))
        size = path.stat().st_size / 1e6
        print(f"reading 25 of {FRAMES} frames of {width}x{height} ({size:.1f} MB): {seconds:.3f} s a clip", flush=True)


def _write_video(path, frames):
    """H.264 at 30 frames/s, as films of today are."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _network():
    recipe = load_recipe("ucf101_pool5")
    backbone = build_recipe_backbone(recipe, None)
    encoder = build_encoder(recipe, backbone, build_fvvae(recipe, backbone, 101))
    views = np.random.default_rng(0).uniform(0, 255, (MEASURED_VIEWS, 224, 224, 3)).astype("float32")
    maps = backbone.predict_on_batch(views)
    both = _cpu_seconds(lambda: encoder.predict_raw_on_batch(views))
    head = _cpu_seconds(lambda: encoder.head(encoder.descriptors(maps)), 3)
    both, head = both / len(views), head / len(views)
    print(f"VGG19 pool5 and raw vector of a view: {both:.3f} s, of which after the backbone: {head:.4f} s", flush=True)
    raw = encoder.predict_raw_on_batch(views)
    encoder.normalization.adapt(raw)
    final = _cpu_seconds(lambda: encoder.normalize_on_batch(raw[:1]), 3)
    print(f"normalisation of a video's vector of {raw[0].size:,}: {final:.4f} s", flush=True)


def _storing(folder):
    vectors = np.random.default_rng(0).normal(size=(128, 1, 131_072)).astype("float32")
    for dtype in ("float32", "float16"):
        output = Output(folder / dtype, Encoding("", "", VIEWS, "video", dtype=dtype))
        writer, began = output.writer(), time.process_time()
        for number, vector in enumerate(vectors):
            writer.keep(Result(f"{number}", vector))
        writer.flush()
        seconds = (time.process_time() - began) / len(vectors)
        size = sum(path.stat().st_size for path in output.open_store().path.iterdir()) / len(vectors)
        print(f"storing {dtype}: {seconds:.4f} s, {size / 1024:.1f} KiB a vector of 131,072", flush=True)


def _index(folder):
    """Resident memory of a parent: the items, and the keys of the store."""
    output = Output(folder / "index", Encoding("", "", VIEWS, "video"))
    store, names = output.open_store(), [f"{n % 700:03d}/{n:011d}_000010_000020.mp4" for n in range(INDEX_ITEMS)]
    for name in names:
        store.add(f"{name}:absent", np.zeros((1, 1), "float32"))
    store.flush()
    del store
    before = _resident(os.getpid())
    labels = ["test"] * len(names)
    collection = Collection([f"/data/kinetics/{n}" for n in names], names, [-1] * len(names), labels, [], kind="video")
    kept = (list_items(collection), output.open_store())
    print(f"listed and stored: {(_resident(os.getpid()) - before) / INDEX_ITEMS:.0f} bytes an item ({len(kept[1]):,})")


def _memory(folder, count):
    """Resident memory of parent and process after a tenth of so many images, and after all."""
    import keras

    recipe = Recipe(name="tiny", backbone="DigitsConvNet", input_size=[32, 32], descriptors="dense", latent_dim=31)
    backbone = build_recipe_backbone(recipe, None)
    encoder = build_encoder(recipe, backbone, build_fvvae(recipe, backbone, 2))
    encoder.adapt(keras.random.uniform((8, 32, 32, 3), 0, 255))
    encoder.save(folder / "tiny.keras")
    encoding = Encoding(str(folder / "tiny.keras"), sha256(folder / "tiny.keras"), Views((32, 32)), "image")
    cv2.imwrite(str(folder / "one.png"), np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype("uint8"))
    items = [Item(f"{n}", f"{n}", str(folder / "one.png")) for n in range(count)]
    writer = Output(folder / "memory", encoding).writer()
    for done, result in enumerate(encode_in_processes(encoding, items), start=1):
        writer.keep(result)
        if done in (count // 10, count - encoding.chunk_items):
            (child,) = (each for each in multiprocessing.active_children() if each.is_alive())
            sizes = [_resident(pid) / 2**20 for pid in (os.getpid(), child.pid)]
            print(f"after {done} images: parent {sizes[0]:.0f} MiB, process {sizes[1]:.0f} MiB", flush=True)


def _resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    main()
