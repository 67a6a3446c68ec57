"""The demo, with few steps."""

import numpy as np

from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.demo import demo


def test_demo(tmp_path):
    result = demo(tmp_path / "demo", steps=20, verbose=0)
    assert set(result.results.metrics) >= {"AVE", "FV-VAE minus", "FV-VAE"}
    assert result.results.metrics["FV-VAE"]["accuracy"] > 0.5
    assert result.difference < 1e-3
    assert result.saved_model == tmp_path / "demo" / "export" / "1"
    full, minus = (RunFolder.open(tmp_path / "demo" / name) for name in ("fv_vae", "fv_vae_minus"))
    assert minus.recipe.lambda3 == 0
    # The same backbone: average pooling is the same on both, up to the activations' float16.
    scores = [run.scores()["AVE"] for run in (full, minus)]
    assert np.abs(scores[0] - scores[1]).max() < 0.1
    html = result.report.read_text()
    for text in ("FV-VAE minus", "AVE", "Loss curves", "Confusion matrix", "Embedding", "Examples", "lambda3"):
        assert text in html
    assert "http" not in html.split("<body>")[1]  # self-contained

    again = demo(tmp_path / "demo", steps=20, verbose=0)
    assert again.results == result.results
    assert again.saved_model.name == "2"
