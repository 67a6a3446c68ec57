"""`:search` by real sockets: neighbours, what makes them similar, thumbnails, and what is refused."""

import base64
import io
import shutil

import numpy as np
import pytest
import requests
from PIL import Image

from keras_fvvae.errors import RunError
from keras_fvvae.search import Index
from keras_fvvae.serving import Client, ModelConfig, Server, ServerSettings, ServingError
from tests.serving.searching.model import (
    ENCODING,
    NAMES,
    OTHER_DIGEST,
    build_index,
    noisy_png,
    save_search_model,
    vectors_of,
    write_files,
)

RED = (200, 20, 20)


def _settings(**options):
    return ServerSettings(port=0, grpc_port=None, poll_interval=0.1, **options)


@pytest.fixture(scope="module")
def server(search_model, saved_models, index):
    models = [
        ModelConfig("colors", str(search_model), index=index),
        ModelConfig("images", str(saved_models / "images")),
    ]
    with Server(models, _settings(max_neighbours=20, max_pixels=10_000)).running() as running:
        yield running


def _ask(server, contents, path="/v1/models/colors:search", **wanted):
    instances = [{"b64": base64.b64encode(content).decode()} for content in contents]
    response = requests.post(server.url + path, json={"instances": instances, **wanted})
    return response.status_code, response.json()


def _sum(side):
    return np.sum(side["contributions"], dtype="float64") + side["constant"]


@pytest.mark.parametrize("path", ["", "/versions/1"])
def test_neighbours_are_the_nearest(server, index, indexed_files, path):
    own = (indexed_files / NAMES[5]).read_bytes()
    queries = [own, noisy_png(RED, 99)]
    status, answer = _ask(server, queries, f"/v1/models/colors{path}:search", k=5)
    assert status == 200
    products = vectors_of(queries) @ np.asarray(index.vectors).T
    for row, result in enumerate(answer["results"]):
        assert [one["item"] for one in result["neighbours"]] == np.argsort(-products[row])[:5].tolist()
        for one in result["neighbours"]:
            assert (one["name"], one["label"]) == (NAMES[one["item"]], NAMES[one["item"]].split("/")[0])
            assert one["similarity"] == pytest.approx(products[row, one["item"]], abs=1e-6)
            assert one["same_file"] == (row == 0 and one["item"] == 5)
            assert one["picture"]
            assert "path" not in one
    assert str(indexed_files) not in str(answer)


def test_columns_and_all_items(server):
    inputs = {"image": [{"b64": base64.b64encode(noisy_png(RED, 3)).decode()}]}
    body = {"inputs": inputs, "k": 10**15, "sha256": [None]}
    (result,) = requests.post(f"{server.url}/v1/models/colors:search", json=body).json()["results"]
    assert len(result["neighbours"]) == len(NAMES)


@pytest.mark.parametrize("item", [None, 6])
def test_the_parts_add_up_on_both_sides(server, item):
    query = noisy_png(RED, 99)
    status, answer = _ask(server, [query], k=2, explain=True, **({} if item is None else {"item": item}))
    assert status == 200
    (result,) = answer["results"]
    explanation = result["explanation"]
    assert explanation["item"] == (result["neighbours"][0]["item"] if item is None else item)
    if item is None:
        assert explanation["similarity"] == pytest.approx(result["neighbours"][0]["similarity"], abs=1e-6)
    for side in ("query", "match"):
        assert np.shape(explanation[side]["contributions"]) == (4, 4)
        assert _sum(explanation[side]) == pytest.approx(explanation["similarity"], abs=1e-6)


def test_client(server, indexed_files, tmp_path):
    (tmp_path / "text.png").write_bytes(b"no image")
    files = [indexed_files / NAMES[0], tmp_path / "text.png", tmp_path / "none.png", indexed_files / NAMES[4]]
    with Client(server.url, "colors") as client:
        first, text, missing, last = client.search(files, k=1, explain=True)
    name, label = NAMES[0], "red"
    (found,) = first["neighbours"]
    assert found == {"name": name, "path": None, "label": label, "similarity": pytest.approx(1), "same_file": True}
    assert first["explanation"]["match"]["contributions"].dtype == np.float32
    assert last["neighbours"][0]["name"] == NAMES[4]
    assert "Unknown image file format" in text["error"]
    assert missing["error"] == "No such file or directory"
    with Client(server.url, "images") as client, pytest.raises(ServingError, match="The model images has no index"):
        list(client.search(files[:1]))
    with Client("grpc://localhost:1", "colors") as client, pytest.raises(ServingError, match="over REST"):
        client._transport.search("colors", None, {})


def test_thumbnails_indexes_and_metrics(server):
    response = requests.get(f"{server.url}/v1/models/colors/items/3")
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(response.content)).size == (5, 6)
    assert requests.get(f"{server.url}/indexes.json").json() == {"colors": {"items": 8, "kind": "image"}}
    text = requests.get(f"{server.url}/monitoring/prometheus/metrics").text
    assert 'serving_search_seconds_count{model="colors"}' in text
    assert 'entry="REST search",model="colors",status="OK"' in text


def test_files_that_are_others_by_now(search_model, tmp_path):
    """A file that has gone, was altered, or was replaced by a pipe or a huge image is neither shown nor explained."""
    import os

    folder = write_files(tmp_path / "files")
    index = build_index(tmp_path / "index", folder)
    (folder / NAMES[0]).unlink()
    (folder / NAMES[1]).write_bytes(noisy_png(RED, 77))
    (folder / NAMES[2]).unlink()
    os.mkfifo(folder / NAMES[2])
    expected = ["is not there any more", "was altered after it was indexed", "is not there any more", None]
    with Server([ModelConfig("colors", str(search_model), index=index)], _settings()).running() as server:
        for item, message in enumerate(expected):
            response = requests.get(f"{server.url}/v1/models/colors/items/{item}")
            _, answer = _ask(server, [noisy_png(RED, 5)], explain=True, item=item)
            explanation = answer["results"][0]["explanation"]
            assert _sum(explanation["query"]) == pytest.approx(explanation["similarity"], abs=1e-6)
            if message is None:
                assert response.status_code == 200
                assert "match" in explanation
                continue
            assert response.status_code == 404
            for told in (response.json()["error"], explanation["error"]):
                assert told == f"The file of {NAMES[item]!r} {message}."
            assert "match" not in explanation
        # What was shown is not shown any more once it is another file.
        (folder / NAMES[3]).write_bytes(noisy_png(RED, 78))
        assert requests.get(f"{server.url}/v1/models/colors/items/3").status_code == 404


def test_names_of_all_kinds(search_model, index, tmp_path):
    """Of files that are no UTF-8, of markup, and long ones, which make an answer too large."""
    names = ["caf\udce9.png", "<img src=x onerror=alert(1)>.png", *(f"{number}" + "x" * 9000 for number in range(4))]
    vectors = np.asarray(index.vectors[[0, 0, 4, 5, 6, 7]])
    other = Index.build(tmp_path / "index", vectors, names, encoding=ENCODING, model="a run")
    models = [ModelConfig("colors", str(search_model), index=other)]
    with Server(models, _settings(max_response_bytes=200_000)).running() as server:
        _, answer = _ask(server, [noisy_png(RED, 5)], k=2)
        assert {one["name"] for one in answer["results"][0]["neighbours"]} == set(names[:2])
        assert not any(one["picture"] for one in answer["results"][0]["neighbours"])
        status, answer = _ask(server, [noisy_png(RED, 5)], k=10)
        assert status == 400
        assert "more than the limit of 200,000" in answer["error"]


def test_without_pictures(search_model, index):
    models = [ModelConfig("colors", str(search_model), index=index)]
    with Server(models, _settings(pictures=False)).running() as server:
        _, answer = _ask(server, [noisy_png(RED, 5)], explain=True)
        result = answer["results"][0]
        assert not any(one["picture"] for one in result["neighbours"])
        assert "is not shown" in result["explanation"]["error"]
        assert requests.get(f"{server.url}/v1/models/colors/items/0").status_code == 404


def test_whitened_vectors_are_explained_by_the_models(search_model, tmp_path):
    folder = write_files(tmp_path / "files")
    index = build_index(tmp_path / "index", folder, whiten=True, dimension=2)
    (folder / NAMES[0]).unlink()
    with Server([ModelConfig("colors", str(search_model), index=index)], _settings()).running() as server:
        query = noisy_png(RED, 5)
        _, answer = _ask(server, [query], explain=True, item=1)
        explanation = answer["results"][0]["explanation"]
        both = vectors_of([query, (folder / NAMES[1]).read_bytes()])
        assert explanation["similarity"] == pytest.approx(both[0] @ both[1], abs=1e-6)
        assert _sum(explanation["match"]) == pytest.approx(explanation["similarity"], abs=1e-6)
        _, answer = _ask(server, [query], explain=True, item=0)
        assert "before it was whitened" in answer["results"][0]["explanation"]["error"]


def test_another_model_is_refused_at_the_start(saved_models, search_model, index, indexed_files, tmp_path):
    refused = {
        "of another model than those in": ENCODING | {"model": OTHER_DIGEST},
        "of other sizes or crops than": ENCODING | {"views": {"size": [5, 5]}},
    }
    for number, (message, encoding) in enumerate(refused.items()):
        other = build_index(tmp_path / str(number), indexed_files, encoding)
        with (
            pytest.raises(RunError, match=f"Version 1 in .* cannot be searched: it makes vectors {message}"),
            Server([ModelConfig("colors", str(search_model), index=other)], _settings()).running(),
        ):
            pass
    with (
        pytest.raises(RunError, match="it does not tell which model it was exported from"),
        Server([ModelConfig("images", str(saved_models / "images"), index=index)], _settings()).running(),
    ):
        pass


def test_a_new_version_of_another_model_is_served_and_not_searched(search_model, index, tmp_path):
    shutil.copytree(search_model, tmp_path / "colors")
    models = [ModelConfig("colors", str(tmp_path / "colors"), index=index, versions="all")]
    with Server(models, _settings()).running() as server, Client(server.url, "colors") as client:
        save_search_model(tmp_path / "2", OTHER_DIGEST).rename(tmp_path / "colors" / "2")
        while not any(one["version"] == 2 and one["state"] == "AVAILABLE" for one in client.status()):
            pass
        status, answer = _ask(server, [noisy_png(RED, 5)])
        assert status == 404
        assert answer["error"] == "Version 2 of colors has no index: that of colors is of another model."
        assert _ask(server, [noisy_png(RED, 5)], "/v1/models/colors:predict")[0] == 200
        assert _ask(server, [noisy_png(RED, 5)], "/v1/models/colors/versions/1:search")[0] == 200
