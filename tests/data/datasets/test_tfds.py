"""TensorFlow Datasets with real builders and real TFRecords; nothing is downloaded."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.data.catalogue import load_dataset
from keras_fvvae.data.datasets.tfds import load_tfds
from keras_fvvae.errors import DataError

SIZES = {"train": 5, "test": 3}


@pytest.fixture(scope="module")
def builders(tmp_path_factory):
    """Builders of a data set of images and of one of videos."""
    tfds = pytest.importorskip("tensorflow_datasets", reason="needs tensorflow_datasets: pip install keras_fvvae[tfds]")
    features = tfds.features

    class TinyImages(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            described = {
                "image": features.Image(shape=(None, None, 3), encoding_format="png"),
                "mask": features.Image(shape=(None, None, 1)),
                "label": features.ClassLabel(names=["dog", "cat", "unseen"]),
                "tags": features.Sequence(features.ClassLabel(names=["b", "a"])),
                "species": features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=features.FeaturesDict(described), supervised_keys=("image", "label")
            )

        def _split_generators(self, _):
            return {name: self._generate_examples(size) for name, size in SIZES.items()}

        def _generate_examples(self, size):
            for i in range(size):
                pixels = np.full((4, 6, 3), 10 * size + i, "uint8")
                tags = [0, 1][: i % 3]
                yield i, {"image": pixels, "mask": pixels[..., :1], "label": i % 2, "tags": tags, "species": "é"}

    class TinyVideos(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("2.0.0")

        def _info(self):
            described = {
                "video": features.Video(shape=(None, 4, 6, 3), encoding_format="jpeg"),
                "class": features.Text(),
            }
            return tfds.core.DatasetInfo(builder=self, features=features.FeaturesDict(described))

        def _split_generators(self, _):
            return {"train": self._generate_examples(2)}

        def _generate_examples(self, size):
            for i in range(size):
                yield i, {"video": np.full((i + 2, 4, 6, 3), 100 * i, "uint8"), "class": "yx"[i]}

    data_dir = tmp_path_factory.mktemp("records")
    built = {"images": TinyImages(data_dir=data_dir), "videos": TinyVideos(data_dir=data_dir)}
    for builder in built.values():
        builder.download_and_prepare()
    return built | {"data_dir": data_dir}


def _pixels(builder, split):
    """What TensorFlow Datasets itself decodes, as pairs of value and label in any order."""
    return sorted((int(e["image"][0, 0, 0]), int(e["label"])) for e in builder.as_dataset(split=split))


def test_images(builders, tmp_path):
    collection = load_tfds(builders["images"], tmp_path)
    assert (collection.kind, collection.class_names) == ("image", ["dog", "cat", "unseen"])
    for split, size in SIZES.items():
        indices = collection.indices(split)
        assert len(indices) == size
        decoded = [int(tf.io.decode_image(collection.read(i))[0, 0, 0]) for i in indices]
        assert sorted(zip(decoded, collection.labels[indices].tolist(), strict=True)) == _pixels(
            builders["images"], split
        )
    assert all(source.suffix == ".png" and source.read_bytes()[:4] == b"\x89PNG" for source in collection.sources)


def test_videos(builders, tmp_path):
    collection = load_tfds(builders["videos"], tmp_path, test=None, label="class")
    assert (collection.kind, collection.class_names, len(collection)) == ("video", ["x", "y"], 2)
    for source, label in zip(collection.sources, collection.labels, strict=True):
        frames = sorted(source.iterdir())
        number = 1 - label  # The first video is of the class y.
        assert [frame.name for frame in frames] == [f"img_{i:05d}.jpg" for i in range(1, number + 3)]
        assert abs(int(tf.io.decode_jpeg(frames[0].read_bytes())[0, 0, 0]) - 100 * number) < 3


def test_a_second_call_only_lists(builders, tmp_path):
    first = load_tfds(builders["images"], tmp_path)
    times = [source.stat().st_mtime_ns for source in first.sources]
    first.sources[1].write_bytes(b"mine")  # Would be mended if anything were written.
    second = load_tfds(builders["images"], tmp_path)
    assert second.sources[1].read_bytes() == b"mine"
    assert (second.names, second.labels.tolist()) == (first.names, first.labels.tolist())
    assert [source.stat().st_mtime_ns for source in second.sources][2:] == times[2:]


def test_an_interrupted_call_is_continued(builders, tmp_path):
    first = load_tfds(builders["images"], tmp_path)
    folder = first.sources[0].parents[1]
    whole = [source.read_bytes() for source in first.sources]
    times = [source.stat().st_mtime_ns for source in first.sources]
    (folder / "collection.json").unlink()
    first.sources[3].unlink()
    first.sources[4].write_bytes(b"torn")
    second = load_tfds(builders["images"], tmp_path)
    assert [source.read_bytes() for source in second.sources] == whole
    assert [source.stat().st_mtime_ns for source in second.sources][:3] == times[:3]
    # A file that was deleted from a whole folder is written again.
    second.sources[0].unlink()
    assert load_tfds(builders["images"], tmp_path).sources[0].read_bytes() == whole[0]
    assert not list(folder.rglob("*partial*"))
    (folder / "collection.json").write_text(json.dumps({"rows": []})[:-3])
    assert len(load_tfds(builders["images"], tmp_path)) == 8


def test_features_and_splits_of_choice(builders, tmp_path):
    several = load_tfds(builders["images"], tmp_path, train="train[:3]", test="train[3:]", label="tags")
    assert [len(several.indices(split)) for split in ("train", "test")] == [3, 2]
    assert several.class_names == ["b", "a"]
    assert sorted(several.label_sets) == [(), (), (0,), (0,), (0, 1)]
    assert sorted(several.labels.tolist()) == [-1, -1, 0, 0, 0]
    masks = load_tfds(builders["images"], tmp_path, image="mask", label="species")
    assert masks.class_names == ["é"]
    assert tf.io.decode_image(masks.read(0)).shape[-1] == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_by_name_and_through_the_catalogue(builders, tmp_path):
    by_name = load_tfds("tiny_images", tmp_path, data_dir=builders["data_dir"])
    assert len(by_name) == 8
    again = load_dataset(tmp_path, "tfds", builder="tiny_images", data_dir=builders["data_dir"])
    assert again.sources == by_name.sources


def test_messages(builders, tmp_path):
    images = builders["images"]
    with pytest.raises(DataError, match="no data set 'tiny_image'"):
        load_tfds("tiny_image", tmp_path)
    with pytest.raises(DataError, match="no split 'val'; it has .*train"):
        load_tfds(images, tmp_path, test="val")
    with pytest.raises(DataError, match="no feature 'imag'; it has .*image"):
        load_tfds(images, tmp_path, image="imag")
    with pytest.raises(DataError, match="needs `image`, one of its features .*: image, mask"):
        load_tfds(images, tmp_path, image="species")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written to .*Not a directory"):
        load_tfds(images, tmp_path / "file")


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match=r"TensorFlow Datasets need.*pip install keras_fvvae\[tfds\]"):
        load_tfds("caltech_birds2011", tmp_path)
