"""From a run to a served index: the commands, and a server's answers against those of `search --index`."""

import base64
import json

import numpy as np
import pytest
import requests
from click.testing import CliRunner
from keras_fvvae.tools.search import command as search_command

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import load_folder, load_moving_digits
from keras_fvvae.errors import RunError
from keras_fvvae.export import export_saved_model
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.search import Index, QueryEncoder, index_data
from keras_fvvae.serving import Client, ModelConfig, Server, ServerSettings
from keras_fvvae.tasks.explain_match import explain_match
from keras_fvvae.tasks.export_runs import export_runs
from keras_fvvae.training.train import train
from keras_fvvae.utils.files import sha256
from tests.encoding.conftest import write_run
from tests.support.small_data import TINIEST, write_digits

pytest.importorskip("uvicorn", reason="needs the extra: pip install keras_fvvae[serving]")
pytestmark = pytest.mark.system

SETTINGS = ServerSettings(port=0, grpc_port=None)


def _served(run, index, folder, **options):
    version = export_runs([run], folder / "served", **options)
    models = [ModelConfig("tiny", str(version.parent), index=Index.open(index))]
    return Server(models, SETTINGS).running()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A run, its index, and its data."""
    folder = tmp_path_factory.mktemp("served")
    data = write_digits(folder / "data")
    run = train(TINIEST, load_folder(data), folder / "run", backbone_weights=None, cache=folder / "cache", verbose=0)
    index_data(run.path, data, folder / "index", verbose=0)
    return run.path, folder / "index", data


def _search(*arguments):
    result = CliRunner().invoke(search_command, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_same_as_without_a_server(images, tmp_path):
    run, index, data = images
    files = sorted(data.glob("*/*.png"))[:12:4]
    with _served(run, index, tmp_path, valid_output=True) as server:
        # Cosines of the query itself are 1.0000, of others they agree beyond the digits that are told.
        local, served = (_search(*files, *where, "-k", 3) for where in (("--index", index), ("--server", server.url)))
        assert [line[:9] + line[15:] for line in served.splitlines()] == [
            line[:9] + line[15:] for line in local.splitlines()
        ]
        (broken := tmp_path / "broken.png").write_bytes(b"no image")
        lines = _search(files[0], broken, "--server", server.url, "--json", "-k", 1).splitlines()
        first, last = map(json.loads, lines)
        assert first["neighbours"][0]["same_file"]
        assert last == {"file": str(broken), "error": "it cannot be decoded, or has no vector"}
        with Client(server.url) as client:
            served = next(client.search(files[:1], k=4, explain=True))
        local = next(QueryEncoder(Index.open(index)).search(files[:1], k=4))
        for one, other in zip(served["neighbours"], local["neighbours"], strict=True):
            assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-5)
        parts = served["explanation"]["match"]
        assert np.sum(parts["contributions"]) + parts["constant"] == pytest.approx(1, abs=1e-5)


def test_of_an_item_as_explain_match(images, tmp_path):
    run, index, data = images
    query, other = sorted(data.glob("*/*.png"))[:2]
    opened = Index.open(index)
    item = opened.items.names.index(str(other.relative_to(data)))
    (told,) = explain_match(run, [query], other, tmp_path / "pictures")
    local = json.loads((tmp_path / "pictures" / told["picture"]).with_suffix(".json").read_text())
    with _served(run, index, tmp_path) as server:
        body = {"instances": [{"b64": base64.b64encode(query.read_bytes()).decode()}], "explain": True, "item": item}
        (result,) = requests.post(f"{server.url}/v1/models/tiny:search", json=body).json()["results"]
    explanation = result["explanation"]
    assert explanation["similarity"] == pytest.approx(local["similarity"], abs=1e-5)
    for side in ("query", "match"):
        assert np.shape([explanation[side]["contributions"]]) == np.shape(local[f"{side}_maps"])
        total = np.sum(explanation[side]["contributions"]) + explanation[side]["constant"]
        assert total == pytest.approx(local["similarity"], abs=1e-5)


def test_compressed_exports_are_none_of_the_runs_model(images, tmp_path):
    run, index, _ = images
    with pytest.raises(RunError, match="export a run, without --pca"), _served(run, index, tmp_path, pca_components=3):
        pass


def test_videos(tmp_path):
    run = RunFolder.open(write_run(tmp_path / "run", kind="video"))
    load_moving_digits(tmp_path / "videos", 1, 1, 12, 32, verbose=0)
    index = index_data(run.path, tmp_path / "videos", tmp_path / "index", kind="video", verbose=0)
    names, files = index.items.names[:2], index.items.paths[:2]
    views, digest = recipe_views(run.recipe, "video"), sha256(run.model_path)
    export_saved_model(run.classifier(), tmp_path / "served", views, "video", model_digest=digest)
    with (
        Server([ModelConfig("tiny", str(tmp_path / "served"), index=index)], SETTINGS).running() as server,
        Client(server.url) as client,
    ):
        for name, result in zip(names, client.search(files, k=100, explain=True), strict=True):
            assert [one["name"] for one in result["neighbours"] if one["same_file"]] == [name]
            explanation = result["explanation"]
            for side in ("query", "match"):
                assert explanation[side]["contributions"].ndim == 3
                total = np.sum(explanation[side]["contributions"], dtype="float64") + explanation[side]["constant"]
                assert total == pytest.approx(explanation["similarity"], abs=1e-5)
        response = requests.get(f"{server.url}/v1/models/tiny/items/0")
        assert response.headers["content-type"] == "image/jpeg"
