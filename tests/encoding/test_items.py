"""Keys and shards: the same on every machine, whatever the order of the files."""

import shutil

import numpy as np
import pytest

from keras_fvvae.data.datasets.folder import load_folder
from keras_fvvae.encoding.items import Shard, item_key, list_items, parse_shard, shard_of
from keras_fvvae.features.encoded_folder import name_of

NAMES = [f"class {n % 7}/video{n:04d}.avi" for n in range(1000)]


@pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1.0/3"])
def test_bad_shards(text):
    with pytest.raises(ValueError, match=r"with i from 1 to n, such as 1/10"):
        parse_shard(text)


def test_shards_are_even_and_fixed():
    numbers = [shard_of(name, 10) for name in NAMES]
    assert set(numbers) == set(range(1, 11))
    assert max(np.bincount(numbers)[1:]) < 140
    # Written down: another digest would move the items of a running extraction to other machines.
    assert numbers[:8] == [3, 2, 6, 6, 4, 2, 1, 6]
    assert shard_of(NAMES[0], 1) == 1


def test_shards_part_a_collection(images):
    collection = load_folder(images, unlabelled=True)
    everything = list_items(collection)
    parts = [list_items(collection, Shard(number, 4)) for number in range(1, 5)]
    assert sorted(item for part in parts for item in part) == sorted(everything)
    shuffled = collection.subset(np.random.default_rng(0).permutation(len(collection)))
    assert sorted(list_items(shuffled, Shard(2, 4))) == sorted(parts[1])
    some = collection.subset(range(0, len(collection), 2))
    assert set(list_items(some, Shard(2, 4))) < set(parts[1])


def test_keys_of_a_copy_are_the_same(images, tmp_path):
    copy = shutil.copytree(images, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    keys = [item.key for item in list_items(load_folder(images, unlabelled=True))]
    assert [item.key for item in list_items(load_folder(copy, unlabelled=True))] == keys
    name = name_of(keys[-1])
    with open(copy / name, "ab") as file:
        file.write(b"more")
    assert [item.key for item in list_items(load_folder(copy, unlabelled=True))] != keys


def test_key_of_frames_and_arrays(tmp_path):
    for number in range(3):
        (tmp_path / f"img_{number:05d}.jpg").write_bytes(b"x" * number)
    assert item_key("v", tmp_path) == "v:3x3"
    image = np.zeros((2, 2, 3), "uint8")
    assert item_key("a", image) == item_key("a", image.copy()) != item_key("a", image + 1)
