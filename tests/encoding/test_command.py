"""`keras-fvvae encode`: what is printed, and that kills at any moment change nothing."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from keras_fvvae.tools.encode import command
from PIL import Image

from keras_fvvae import features
from keras_fvvae.encoding import extraction as module
from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.item_encoder import open_encoding
from keras_fvvae.encoding.output import Output
from keras_fvvae.errors import DataError, RunError

SHARDS = 10
# Every vector is a shard of the store at once, so that a kill leaves a part of them.
PROGRAM = """
import functools
from keras_fvvae.encoding import extraction
from keras_fvvae.tools.encode import command

extraction.Extraction = functools.partial(extraction.Extraction, shard_bytes=1)
command()
"""


def _call(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.system
def test_encode_and_verify(run, videos, tmp_path):
    out = tmp_path / "out"
    result = _call(run, "--data", videos, "--out", out, "--verify", "--shards", 3)
    assert result.exit_code == 1
    assert "0 of 10 items are stored" in result.stdout
    assert "10 are missing" in result.stdout
    assert result.stdout.count("missing)") == 3
    result = _call(run, "--data", videos, "--out", out)
    assert result.exit_code == 0, result.output
    assert "9 of 10 items are stored" in result.stdout
    assert "1 failed, 0 are missing" in result.stdout
    assert "broken.avi: not a video" in result.stderr
    assert "Encoding" in result.stderr
    result = _call(run, "--data", videos, "--out", tmp_path / "merged", "--merge", out, "--verify")
    assert result.exit_code == 0
    assert "9 of 10 items are stored" in result.stdout


def test_mistakes(run, videos, tmp_path, monkeypatch):
    out = ("--out", tmp_path / "out")
    assert "--shards counts what is missing" in _call(run, "--data", videos, *out, "--shards", 3).output
    assert "belongs to --runner" in _call(run, "--data", videos, *out, "--beam-option", "--a=b").output
    for arguments, kind, message in (
        ((run, "--data", videos, *out, "--shard", "0/3"), ValueError, "with i from 1 to n"),
        ((run, "--data", tmp_path / "absent", *out), DataError, "does not exist"),
        ((tmp_path, "--data", videos, *out), RunError, "is not a run"),
    ):
        result = _call(*arguments)
        assert isinstance(result.exception, kind), result.exception
        assert message in str(result.exception)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    result = _call(run, "--data", videos, *out, "--runner", "DirectRunner")
    assert isinstance(result.exception, RunError)
    assert str(result.exception) == "A `--runner` needs Apache Beam: pip install keras-fvvae[beam]"
    assert not (tmp_path / "out").exists()


def test_vectors_of_another_decoder_are_another_store(run, tmp_path):
    """A JPEG of three times the input's side is read at half its size, and what is stored says so."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype("uint8")
    Image.fromarray(pixels).save(data / "noise.jpg", quality=95)
    assert _call(run, "--data", data, "--out", out).exit_code == 0
    refused = _call(run, "--data", data, "--out", out, "--decoder", "fast")
    assert isinstance(refused.exception, RunError)
    assert _call(run, "--data", data, "--out", tmp_path / "fast", "--decoder", "fast").exit_code == 0
    exact, fast = (features.open(path)[0] for path in (out, tmp_path / "fast"))
    assert exact.shape == fast.shape
    assert not np.array_equal(exact, fast)
    stored = Output(out, open_encoding(run, "image", decoder="exact")).open_store()
    assert len(stored) == 1  # the run's own decoder, by name


def test_lists(run, images, tmp_path):
    rows = ["file,label", "part0/000.png,", "part1/001.png,", "part1/absent.png,"]
    (images / "list.csv").write_text("\n".join(rows) + "\n")
    extraction = Extraction(run, images / "list.csv", tmp_path / "out")
    (images / "list.csv").unlink()
    summary = extraction.summary()
    assert summary.missing == ["part0/000.png", "part1/001.png"]
    assert summary.failed == {"part1/absent.png": "it is listed, and not on disk"}


def _stored(out):
    return len(list(out.glob("*/shard-*.json")))


@pytest.mark.slow
def test_shards_killed_at_random(run, images, tmp_path):
    """Ten shards, each killed with SIGKILL at a random moment of its work; then all of them once more."""

    def start(out, *arguments):
        words = [sys.executable, "-c", PROGRAM, run, "--data", images, "--out", out, *arguments]
        return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    whole = start(tmp_path / "whole")
    assert whole.wait() == 0
    out, draw, killed = tmp_path / "killed", random.Random(0), 0
    for number in range(1, SHARDS + 1):
        before = _stored(out)
        process = start(out, "--shard", f"{number}/{SHARDS}")
        # By what is stored, not by the clock: how long a start takes depends on what else the machine does.
        wanted = before + draw.randrange(4)
        while process.poll() is None and _stored(out) <= wanted:
            time.sleep(0.001)
        if process.poll() is None:
            process.kill()
            killed += 1
        process.wait()
    assert killed >= 3
    output = Output(out, open_encoding(run, "image"))
    left = len(output.open_store())
    assert start(out).wait() == 0
    store, expected = output.open_store(), Output(tmp_path / "whole", output.encoding).open_store()
    assert list(store) == list(expected)
    assert left < len(store) == 40
    for key in store:
        np.testing.assert_allclose(store[key], expected[key], atol=1e-6)
    assert (out / "failed.csv").read_text() == (tmp_path / "whole" / "failed.csv").read_text()


def test_other_formats(run, images, tmp_path):
    """The file has the store's vectors in the data's order, with the labels that the data have."""
    pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    for form, suffix in (("parquet", "parquet"), ("hdf5", "h5")):
        result = _call(run, "--data", images, "--dataset", "folder", "--kind", "image", "--out", out, "--format", form)
        assert result.exit_code == 0, result.output
        assert f"Vectors: {out}/vectors.{suffix}" in result.stdout
        vectors, stored = features.open(out / f"vectors.{suffix}"), features.open(out)
        assert len(vectors) == len(stored) == 40
        assert stored.ids == sorted(vectors.ids)
        assert vectors.labels == [name.split("/")[0] for name in vectors.ids]
        order = np.argsort(vectors.ids)
        np.testing.assert_array_equal(vectors[order], stored[:])
        assert [vectors.labels[row] for row in order] == stored.labels
    part = _call(run, "--data", images, "--out", out, "--format", "hdf5", "--shard", "2/3")
    assert f"Vectors: {out}/vectors-2-of-3.h5" in part.stdout
    assert 0 < len(features.open(out / "vectors-2-of-3.h5")) < 40
    assert "leave out --format" in _call(run, "--data", images, "--out", out, "--format", "hdf5", "--verify").output
