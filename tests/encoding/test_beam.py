"""The same store from Apache Beam's direct runner with several processes. Needs the extra `beam`."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_fvvae.encoding.beam import EncodePart
from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.item_encoder import Encoding, ItemEncoder
from keras_fvvae.encoding.items import Item
from keras_fvvae.encoding.plan import PLAN, write_plan
from keras_fvvae.errors import RunError

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="needs Apache Beam: pip install keras-fvvae[beam]"
)


def _assert_whole(extraction):
    store, encoder = extraction.output.open_store(), ItemEncoder(extraction.encoding)
    readable = [item for item in extraction.items if "broken" not in item.name]
    assert set(store) == {item.key for item in readable}
    for item in readable:
        (result,) = encoder.results(encoder.submit([item]))
        np.testing.assert_allclose(store[item.key], result.vector, atol=1e-6)


def test_plan(tmp_path, run, images):
    extraction = Extraction(run, images, tmp_path / "out")
    parts = write_plan(tmp_path / PLAN, extraction.items, extraction.encoding)
    lines = [line for name in parts for line in (tmp_path / PLAN / name).read_text().splitlines()]
    assert [Item(*json.loads(line)) for line in lines] == extraction.items
    assert list(parts.values()) == [32, 9]


@needs_beam
def test_direct_runner(tmp_path, run, videos, monkeypatch):
    monkeypatch.setattr(Encoding, "chunk_items", 2)
    extraction = Extraction(run, videos, tmp_path / "out")
    summary = extraction.run(processes=2, runner="DirectRunner", verbose=0)
    assert (summary.stored, list(summary.failed), summary.missing) == (9, ["broken.avi"], [])
    assert not (tmp_path / "out" / PLAN).exists()
    _assert_whole(extraction)
    assert extraction.run(processes=2, runner="DirectRunner", verbose=0) == summary


@needs_beam
def test_a_bundle_that_is_repeated(tmp_path, run, images):
    """Before its part was removed: everything again, the same store. After: nothing."""
    extraction = Extraction(run, images, tmp_path / "out")
    plan = tmp_path / "out" / PLAN
    parts = write_plan(plan, extraction.items, extraction.encoding)
    contents = {plan / name: (plan / name).read_bytes() for name in parts}
    encode = EncodePart(extraction.output)
    encode.setup()
    for part, content in contents.items():
        assert encode.process(str(part)) == [parts[part.name]]
        part.write_bytes(content)
        assert encode.process(str(part)) == [parts[part.name]]
        assert encode.process(str(part)) == []
    assert extraction.summary().complete
    _assert_whole(extraction)


@needs_beam
def test_a_pipeline_that_fails(tmp_path, run, videos):
    extraction = Extraction(run, videos, tmp_path / "out")
    object.__setattr__(extraction.encoding, "digest", "0" * 64)
    options = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
    with pytest.raises(RunError, match="pipeline on DirectRunner failed: .*is not the model"):
        extraction.run(runner="DirectRunner", beam_options=options, verbose=0)


@needs_beam
@pytest.mark.slow
def test_a_killed_pipeline_is_continued(tmp_path, run, images):
    """The pipeline and its workers are killed three times, at 2, 4 and 6 s after its start; then it is left alone."""
    code = "from keras_fvvae.tools.encode import command; command()"
    words = [sys.executable, "-c", code, run, "--data", images, "--out", tmp_path / "out", "--runner", "DirectRunner"]
    plan = tmp_path / "out" / PLAN
    for seconds in (2, 4, 6, None):
        process = subprocess.Popen([str(word) for word in words], start_new_session=True, stderr=subprocess.DEVNULL)
        old = set(plan.glob("*"))  # what the one before left
        if seconds:
            while process.poll() is None and not set(plan.glob("*")) - old:
                time.sleep(0.1)
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):  # it may have finished
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0
    _assert_whole(Extraction(run, images, tmp_path / "out"))
